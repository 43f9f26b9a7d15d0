/* cellctl forget, prune, tag: retention and space. */
#include "base/text.h"
#include "ctl.h"
#include "ctl_snapshot.h"
#include "ctl_waits.h"
#include "removal/removal_forget.h"
#include "removal/removal_prune.h"
#include "removal/removal_tag.h"

#include <stdlib.h>
#include <string.h>

enum { TAGS_MAX = 64 };

static const char *const unused_default = "5%";

/* --- prune --- */

struct prune {
    struct ctl *ctl;
    struct removal_prune *running;
    struct removal_prune_summary summary;
};

static void on_stage(void *user, const char *words)
{
    struct prune *prune = user;
    ctl_live(&prune->ctl->out, words);
    ctl_say_more(&prune->ctl->out, "%s ...", words);
}

static void on_pruned(void *user, enum err e, const struct removal_prune_summary *summary,
                      const struct errmsg *msg)
{
    struct prune *prune = user;
    ctl_live(&prune->ctl->out, "");
    prune->ctl->cancel = NULL;
    prune->summary = *summary;
    ctl_done(prune->ctl, e, msg);
}

static void cancel_prune(struct ctl *ctl)
{
    removal_prune_cancel(((struct prune *)ctl->operation)->running);
}

static void prune_json(struct ctl *ctl, const struct removal_prune_summary *s, enum err *e)
{
    struct json_line *line;
    if (json_line_new("prune_summary", &line) != ERR_OK)
        return;
    json_line_bool(line, "dry_run", ctl->options.dry_run);
    json_line_u64(line, "segments", s->segments);
    json_line_u64(line, "bytes", s->bytes);
    json_line_u64(line, "bytes_needed", s->bytes_needed);
    json_line_u64(line, "segments_condemned", s->segments_condemned);
    json_line_u64(line, "segments_repacked", s->segments_repacked);
    json_line_u64(line, "segments_reencoded", s->segments_reencoded);
    json_line_u64(line, "bytes_repacked", s->bytes_repacked);
    json_line_u64(line, "bytes_unused", s->bytes_unused_left);
    json_line_u64(line, "shard_bytes_condemned", s->shard_bytes_condemned);
    json_line_u64(line, "segments_deleted", s->segments_ordered);
    json_line_u64(line, "segments_waiting", s->segments_waiting);
    json_line_u64(line, "devices_waited_for", s->devices_waited_for);
    json_line_u64(line, "orders_answered", s->orders_answered);
    json_line_u64(line, "orders_waiting", s->orders_waiting);
    json_line_u64(line, "hold_seconds", s->hold_s);
    *e = ctl_waits(ctl, line);
    ctl_json(&ctl->out, line);
}

/* The verb of a count, or what a dry run says in its place. */
static const char *would(const struct ctl *ctl, uint64_t count, const char *one, const char *many)
{
    return ctl->options.dry_run ? "would be" : count == 1 ? one : many;
}

static void prune_words(struct ctl *ctl, const struct removal_prune_summary *s)
{
    char stored[TEXT_SIZE_SIZE], needed[TEXT_SIZE_SIZE], gone[TEXT_SIZE_SIZE];
    char moved[TEXT_SIZE_SIZE], left[TEXT_SIZE_SIZE], hold[TEXT_DURATION_SIZE];
    struct ctl_output *out = &ctl->out;
    ctl_say(out, "%s in %s, of which snapshots need %s.", text_size(s->bytes, stored),
            TEXT_COUNT(s->segments, "segment"), text_size(s->bytes_needed, needed));
    if (s->segments_repacked > 0)
        ctl_say(
            out, "%s %s repacked (%s).", TEXT_COUNT(s->segments_repacked, "partly needed segment"),
            would(ctl, s->segments_repacked, "was", "were"), text_size(s->bytes_repacked, moved));
    if (s->segments_reencoded > 0)
        ctl_say(out, "Of these, %llu can bear more losses than when the swarm was smaller.",
                (unsigned long long)s->segments_reencoded);
    if (s->segments_condemned > 0)
        ctl_say(out, "%s %s not needed any more: %s on the cells' disks.",
                TEXT_COUNT(s->segments_condemned, "segment"),
                would(ctl, s->segments_condemned, "is", "are"),
                text_size(s->shard_bytes_condemned, gone));
    else
        ctl_say(out, "There is no segment of which nothing is needed.");
    if (s->bytes_unused_left > 0)
        ctl_say(out, "%s that nobody needs stay beside what is needed (--max-unused).",
                text_size(s->bytes_unused_left, left));
    if (ctl->options.dry_run)
        ctl_say(out, "This was a dry run: nothing was changed.");
    if (s->segments_ordered > 0)
        ctl_say(out,
                "The cells are told to delete %s; they go on keeping what they delete for %s, in "
                "which \"cellctl undelete\" brings it back.",
                TEXT_COUNT(s->segments_ordered, "segment"), text_duration(s->hold_s, hold));
    if (s->segments_waiting > 0)
        ctl_say(out,
                "Not deleted yet: %s, which %s may still refer to until its next backup (at most "
                "60 days; --exclude-device NAME waits for one no longer).",
                TEXT_COUNT(s->segments_waiting, "segment"),
                TEXT_COUNT(s->devices_waited_for, "other device"));
    if (s->orders_waiting > 0)
        ctl_say(out,
                "%s %s not answered yet; the coordinator tells cells that were away, and so does "
                "the next prune or backup.",
                TEXT_COUNT(s->orders_waiting, "order"), s->orders_waiting == 1 ? "is" : "are");
}

int ctl_prune_run(struct ctl *ctl, bool rewrite)
{
    static const struct removal_prune_events events = {.stage = on_stage, .done = on_pruned};
    struct prune prune = {.ctl = ctl};
    struct removal_prune_options options = {
        .excluded = ctl->options.exclude_devices.items,
        .excluded_count = ctl->options.exclude_devices.count,
        .dry_run = ctl->options.dry_run,
        .rewrite = rewrite,
    };
    const char *unused = ctl->options.max_unused ? ctl->options.max_unused
                         : rewrite               ? "unlimited"
                                                 : unused_default;
    enum err e = removal_prune_parse_unused(unused, &options, &ctl->msg);
    if (e != ERR_OK)
        return ctl_fail(&ctl->out, CTL_USAGE, ctl->msg.text);
    ctl->operation = &prune;
    e = removal_prune_start(ctl->vault, &options, &events, &prune, &prune.running, &ctl->msg);
    if (e == ERR_OK) {
        ctl->cancel = cancel_prune;
        e = ctl_wait(ctl);
    }
    if (e == ERR_NOT_ENOUGH && !ctl->interrupted)
        return ctl_fail(&ctl->out, CTL_NOT_ENOUGH, ctl->msg.text);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    if (ctl->out.json)
        prune_json(ctl, &prune.summary, &e);
    else {
        prune_words(ctl, &prune.summary);
        e = ctl_waits(ctl, NULL);
    }
    return e == ERR_OK ? CTL_OK : ctl_failed(ctl, e);
}

int ctl_prune(struct ctl *ctl)
{
    const int code = ctl_open_swarm(ctl, VAULT_WRITE);
    return code == CTL_OK ? ctl_prune_run(ctl, false) : code;
}

/* --- forget --- */

struct forget {
    struct ctl *ctl;
    struct removal_forget *running;
    struct removal_forget_summary summary;
    struct retention_policy policy;
    struct retention_tags *tags; /* owned */
    struct slice *texts;         /* owned */
    bool has_policy;
};

static void json_reasons(struct json_line *line, const struct removal_forget_group *group)
{
    json_line_open_array(line, "reasons");
    for (size_t i = 0; i < group->count; i++) {
        if (!group->items[i].keep)
            continue;
        json_line_open_object(line, NULL);
        json_line_open_object(line, "snapshot");
        ctl_snapshot_json(line, group->snapshots[i]);
        json_line_close(line);
        json_line_open_array(line, "matches");
        for (unsigned bit = 0; bit < 32; bit++)
            if (group->items[i].reasons & 1u << bit)
                json_line_text(line, NULL, retention_reason(1u << bit));
        json_line_close(line);
        json_line_close(line);
    }
    json_line_close(line);
}

static void json_half(struct json_line *line, const char *key,
                      const struct removal_forget_group *group, bool keep)
{
    json_line_open_array(line, key);
    for (size_t i = 0; i < group->count; i++) {
        if (group->items[i].keep != keep)
            continue;
        json_line_open_object(line, NULL);
        ctl_snapshot_json(line, group->snapshots[i]);
        json_line_close(line);
    }
    json_line_close(line);
}

/* The fields with which restic describes a group; what it was not grouped by is null. */
static void group_json(struct forget *forget, const struct removal_forget_group *group, unsigned by)
{
    struct json_line *line;
    if (json_line_new("forget_group", &line) != ERR_OK)
        return;
    if (by & RETENTION_BY_TAGS)
        ctl_snapshot_texts(line, "tags", group->like->tags, group->like->tag_count);
    else
        json_line_null(line, "tags");
    if (by & RETENTION_BY_HOST)
        json_line_bytes(line, "host", group->like->host);
    else
        json_line_text(line, "host", "");
    if (by & RETENTION_BY_PATHS)
        ctl_snapshot_texts(line, "paths", group->like->paths, group->like->path_count);
    else
        json_line_null(line, "paths");
    json_half(line, "keep", group, true);
    json_half(line, "remove", group, false);
    json_reasons(line, group);
    ctl_json(&forget->ctl->out, line);
}

static void say_one(struct ctl *ctl, const struct vault_snapshot *s,
                    const struct retention_item *item)
{
    char id[ID_TEXT_SIZE], when[CTL_TIME_SIZE], why[256] = "";
    for (unsigned bit = 0; item->keep && bit < 32; bit++) {
        if (!(item->reasons & 1u << bit))
            continue;
        const size_t used = strlen(why);
        snprintf(why + used, sizeof(why) - used, "%s%s", used ? ", " : "  ",
                 retention_reason(1u << bit));
    }
    ctl_say(&ctl->out, "  %s  %.10s  %s%s", item->keep ? "keep  " : "remove", id_format(&s->id, id),
            ctl_time(s->snapshot.time_ns, when), why);
}

static unsigned group_by(const struct ctl *ctl, struct errmsg *msg, enum err *e)
{
    unsigned by = RETENTION_BY_HOST | RETENTION_BY_PATHS;
    *e = ctl->options.group_by ? retention_parse_group(ctl->options.group_by, &by, msg) : ERR_OK;
    return by;
}

static void on_group(void *user, const struct removal_forget_group *group)
{
    struct forget *forget = user;
    struct ctl *ctl = forget->ctl;
    char text[CTL_TEXT_SIZE];
    enum err e;
    const unsigned by = group_by(ctl, &ctl->msg, &e);
    if (ctl->out.json) {
        group_json(forget, group, by);
        return;
    }
    ctl_say(&ctl->out, "snapshots of %s%s",
            by & RETENTION_BY_HOST ? ctl_text(group->like->host, text) : "all hosts",
            by & RETENTION_BY_PATHS ? ":" : "");
    for (size_t i = 0; by & RETENTION_BY_PATHS && i < group->like->path_count; i++)
        ctl_say(&ctl->out, "  %s", ctl_text(group->like->paths[i], text));
    for (size_t i = 0; i < group->count; i++)
        say_one(ctl, group->snapshots[i], &group->items[i]);
}

static void on_removed(void *user, const struct vault_snapshot *snapshot)
{
    struct forget *forget = user;
    char id[ID_TEXT_SIZE];
    if (!forget->has_policy)
        ctl_say(&forget->ctl->out, "%s snapshot %.10s",
                forget->ctl->options.dry_run ? "would forget" : "forgetting",
                id_format(&snapshot->id, id));
}

static void on_forgotten(void *user, enum err e, const struct removal_forget_summary *summary,
                         const struct errmsg *msg)
{
    struct forget *forget = user;
    forget->ctl->cancel = NULL;
    forget->summary = *summary;
    ctl_done(forget->ctl, e, msg);
}

static void cancel_forget(struct ctl *ctl)
{
    removal_forget_cancel(((struct forget *)ctl->operation)->running);
}

static enum err parse_counts(struct forget *forget, struct errmsg *msg)
{
    const struct ctl_options *o = &forget->ctl->options;
    const struct {
        const char *count, *within, *count_flag, *within_flag;
    } flags[RETENTION_PERIODS] = {
        {o->keep_last, o->keep_within, "--keep-last", "--keep-within"},
        {o->keep_hourly, o->keep_within_hourly, "--keep-hourly", "--keep-within-hourly"},
        {o->keep_daily, o->keep_within_daily, "--keep-daily", "--keep-within-daily"},
        {o->keep_weekly, o->keep_within_weekly, "--keep-weekly", "--keep-within-weekly"},
        {o->keep_monthly, o->keep_within_monthly, "--keep-monthly", "--keep-within-monthly"},
        {o->keep_yearly, o->keep_within_yearly, "--keep-yearly", "--keep-within-yearly"},
    };
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < RETENTION_PERIODS; i++) {
        if (flags[i].count)
            e = retention_parse_count(flags[i].count, flags[i].count_flag, &forget->policy.keep[i],
                                      msg);
        if (e == ERR_OK && flags[i].within)
            e = retention_parse_span(flags[i].within, flags[i].within_flag,
                                     &forget->policy.within[i], msg);
        forget->has_policy |= flags[i].count || flags[i].within;
    }
    return e;
}

/* Each --keep-tag: a snapshot that has all of "a,b". */
static enum err parse_tags(struct forget *forget)
{
    const struct ctl_list *list = &forget->ctl->options.keep_tags;
    forget->tags = calloc(list->count + 1, sizeof(*forget->tags));
    forget->texts = calloc(list->count * TAGS_MAX + 1, sizeof(*forget->texts));
    if (!forget->tags || !forget->texts)
        return ERR_NOMEM;
    for (size_t i = 0; i < list->count; i++) {
        struct slice *texts = forget->texts + i * TAGS_MAX;
        forget->tags[i] = (struct retention_tags){
            .tags = texts, .count = vault_select_cut(list->items[i], texts, TAGS_MAX)};
    }
    forget->policy.tags = forget->tags;
    forget->policy.tag_count = list->count;
    forget->has_policy |= list->count > 0;
    return ERR_OK;
}

static struct vault_select selection(const struct ctl *ctl)
{
    const struct ctl_options *o = &ctl->options;
    return (struct vault_select){
        .snapshots = o->arguments.items,
        .snapshot_count = o->arguments.count,
        .host = o->host,
        .tags = o->tags.items,
        .tag_count = o->tags.count,
        .paths = o->paths.items,
        .path_count = o->paths.count,
    };
}

static enum err run_forget(struct forget *forget)
{
    static const struct removal_forget_events events = {
        .group = on_group, .removed = on_removed, .done = on_forgotten};
    struct ctl *ctl = forget->ctl;
    enum err e;
    const struct removal_forget_options options = {
        .select = selection(ctl),
        .policy = ctl->options.arguments.count > 0 ? NULL : &forget->policy,
        .group_by = group_by(ctl, &ctl->msg, &e),
        .dry_run = ctl->options.dry_run,
    };
    if (e != ERR_OK)
        return e;
    ctl->operation = forget;
    e = removal_forget_start(ctl->vault, &options, &events, forget, &forget->running, &ctl->msg);
    if (e == ERR_OK) {
        ctl->cancel = cancel_forget;
        e = ctl_wait(ctl);
    }
    return e;
}

static void forget_tell(struct ctl *ctl, const struct removal_forget_summary *s)
{
    struct json_line *line;
    if (ctl->out.json && json_line_new("summary", &line) == ERR_OK) {
        json_line_u64(line, "snapshots_kept", s->kept);
        json_line_u64(line, "snapshots_removed", s->removed);
        json_line_bool(line, "dry_run", ctl->options.dry_run);
        ctl_json(&ctl->out, line);
    } else if (!ctl->out.json) {
        ctl_say(&ctl->out, "%s %s, %llu kept.%s", TEXT_COUNT(s->removed, "snapshot"),
                ctl->options.dry_run ? "would be forgotten" : "forgotten",
                (unsigned long long)s->kept,
                s->removed > 0 && !ctl->options.prune && !ctl->options.dry_run
                    ? " \"cellctl prune\" frees their space."
                    : "");
    }
}

static int forget_all(struct forget *forget)
{
    struct ctl *ctl = forget->ctl;
    enum err e = run_forget(forget);
    if (e == ERR_USAGE || e == ERR_FORMAT)
        return ctl_fail(&ctl->out, CTL_USAGE, ctl->msg.text);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    forget_tell(ctl, &forget->summary);
    return ctl->options.prune && !ctl->options.dry_run ? ctl_prune_run(ctl, false) : CTL_OK;
}

int ctl_forget(struct ctl *ctl)
{
    struct forget forget = {.ctl = ctl};
    enum err e = parse_counts(&forget, &ctl->msg);
    int code = CTL_OK;
    if (e == ERR_OK)
        e = parse_tags(&forget);
    if (e == ERR_OK)
        (void)group_by(ctl, &ctl->msg, &e);
    if (e != ERR_OK)
        code = ctl_fail(&ctl->out, e == ERR_NOMEM ? CTL_FAILED : CTL_USAGE, ctl->msg.text);
    else if (forget.has_policy && ctl->options.arguments.count > 0)
        code = ctl_fail(&ctl->out, CTL_USAGE,
                        "forget takes snapshots or a policy (--keep-...), not both");
    else if (!forget.has_policy && ctl->options.arguments.count == 0)
        code = ctl_fail(&ctl->out, CTL_USAGE,
                        "forget needs snapshots or a policy (--keep-...): nothing is forgotten; "
                        "see: cellctl forget --help");
    if (code == CTL_OK)
        code = ctl_open_swarm(ctl, VAULT_WRITE);
    if (code == CTL_OK)
        code = forget_all(&forget);
    free(forget.tags);
    free(forget.texts);
    return code;
}

/* --- tag --- */

struct tag {
    struct ctl *ctl;
    struct removal_tag *running;
    uint64_t changed;
};

static void on_changed(void *user, const struct id *old, const struct id *now)
{
    struct tag *tag = user;
    struct ctl *ctl = tag->ctl;
    char before[ID_TEXT_SIZE], after[ID_TEXT_SIZE];
    struct json_line *line;
    if (ctl->out.json && json_line_new("changed", &line) == ERR_OK) {
        json_line_id(line, "old_snapshot_id", old);
        json_line_id(line, "new_snapshot_id", now);
        ctl_json(&ctl->out, line);
    } else if (!ctl->out.json) {
        ctl_say(&ctl->out, "snapshot %.10s is %.10s now", id_format(old, before),
                id_format(now, after));
    }
}

static void on_tagged(void *user, enum err e, uint64_t changed, const struct errmsg *msg)
{
    struct tag *tag = user;
    tag->ctl->cancel = NULL;
    tag->changed = changed;
    ctl_done(tag->ctl, e, msg);
}

static void cancel_tag(struct ctl *ctl)
{
    removal_tag_cancel(((struct tag *)ctl->operation)->running);
}

int ctl_tag(struct ctl *ctl)
{
    static const struct removal_tag_events events = {.changed = on_changed, .done = on_tagged};
    const struct ctl_options *o = &ctl->options;
    struct tag tag = {.ctl = ctl};
    struct json_line *line;
    const struct removal_tag_options options = {
        .select = selection(ctl),
        .set = o->tags_set.items,
        .set_count = o->tags_set.count,
        .add = o->tags_add.items,
        .add_count = o->tags_add.count,
        .remove = o->tags_remove.items,
        .remove_count = o->tags_remove.count,
    };
    if (options.set_count + options.add_count + options.remove_count == 0)
        return ctl_fail(&ctl->out, CTL_USAGE, "tag needs --add, --remove or --set");
    if (options.set_count > 0 && options.add_count + options.remove_count > 0)
        return ctl_fail(&ctl->out, CTL_USAGE, "tag takes --set, or --add and --remove, not both");
    const int code = ctl_open_swarm(ctl, VAULT_WRITE);
    if (code != CTL_OK)
        return code;
    ctl->operation = &tag;
    enum err e = removal_tag_start(ctl->vault, &options, &events, &tag, &tag.running, &ctl->msg);
    if (e == ERR_OK) {
        ctl->cancel = cancel_tag;
        e = ctl_wait(ctl);
    }
    if (e == ERR_USAGE)
        return ctl_fail(&ctl->out, CTL_USAGE, ctl->msg.text);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    if (ctl->out.json && json_line_new("summary", &line) == ERR_OK) {
        json_line_u64(line, "changed_snapshots", tag.changed);
        ctl_json(&ctl->out, line);
    } else if (!ctl->out.json) {
        ctl_say(&ctl->out, "The tags of %s were changed.", TEXT_COUNT(tag.changed, "snapshot"));
    }
    return CTL_OK;
}

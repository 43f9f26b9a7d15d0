/* cellctl backup: a snapshot of some paths. */
#include "backup/backup.h"
#include "base/text.h"
#include "ctl.h"
#include "ctl_stream.h"
#include "health/health_debts.h"
#include "health/health_renew.h"
#include "health/health_repairs.h"
#include "removal/removal_orders.h"
#include "transfer/transfer_grants.h"
#include "transfer/transfer_registrations.h"
#include "uvio/uvio_net.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct backup_command {
    struct ctl *ctl;
    struct backup *running;
    struct backup_summary summary;
    int64_t time_ns; /* of --time; 0: now */
    struct ctl_progress progress;
    struct fs_exclude *exclude;
    struct health_repairs *repairing;
    struct health_repairs_summary repairs;
    struct health_debts *paying;
    struct health_debts_summary debts;
    struct ctl_stream *stream; /* NULL: paths */
    const char **command;      /* owned array */
    const char **paths;        /* owned array: those of the arguments that are there */
    size_t path_count;
    char *tag_texts;   /* owned; `tags` point into it */
    const char **tags; /* owned array: of --tag, cut at commas */
    size_t tag_count;
};

static uint64_t now_ms(const struct ctl *ctl)
{
    return clock_mono_ms(uvio_clock(ctl->io));
}

static void on_problem(void *user, enum err e, struct slice path, const char *sentence)
{
    struct backup_command *backup = user;
    if (e == ERR_OK)
        ctl_warn(&backup->ctl->out, sentence);
    else
        ctl_problem(&backup->ctl->out, "archival", path, sentence);
}

static void on_change(void *user, const struct backup_change *change)
{
    struct backup_command *backup = user;
    struct ctl_output *out = &backup->ctl->out;
    const char *action = change->known ? "modified" : "new";
    char path[CTL_TEXT_SIZE], bytes[TEXT_SIZE_SIZE];
    struct json_line *line;
    if (!out->json) {
        ctl_say_more(out, "%-9s %s%s%s", action, ctl_text(change->path, path),
                     change->is_file ? ", " : "",
                     change->is_file ? text_size(change->size, bytes) : "");
    } else if (json_line_new("verbose_status", &line) == ERR_OK) {
        json_line_text(line, "action", action);
        json_line_path(line, "item", change->path);
        json_line_u64(line, "data_size", change->size);
        ctl_json(out, line);
    }
}

static void on_progress(void *user, const struct backup_progress *progress)
{
    struct backup_command *backup = user;
    const struct ctl_progress_now now = {
        .bytes = progress->bytes_done,
        .bytes_total = progress->walked ? progress->bytes_total : 0,
        .files = progress->files_done,
        .files_total = progress->walked ? progress->files_total : 0,
        .now_ms = now_ms(backup->ctl),
    };
    ctl_progress_show(&backup->progress, &now);
}

static void on_done(void *user, enum err e, const struct backup_summary *summary,
                    const struct errmsg *msg)
{
    struct backup_command *backup = user;
    backup->running = NULL;
    backup->ctl->cancel = NULL;
    if (summary)
        backup->summary = *summary;
    ctl_done(backup->ctl, e, msg);
}

static void cancel(struct ctl *ctl)
{
    struct backup_command *backup = ctl->operation;
    if (backup->running)
        backup_cancel(backup->running);
    if (backup->paying)
        health_debts_cancel(backup->paying);
    if (backup->repairing)
        health_repairs_cancel(backup->repairing);
}

static void on_repaired(void *user, enum err e, const struct health_repairs_summary *summary,
                        const struct errmsg *msg)
{
    struct backup_command *backup = user;
    backup->repairing = NULL;
    backup->ctl->cancel = NULL;
    backup->repairs = *summary;
    ctl_done(backup->ctl, e, msg);
}

/* What the swarm wants to be made anew of this account's shards: we run anyway. */
static enum err take_repairs(struct ctl *ctl, struct backup_command *backup)
{
    if (ctl->options.dry_run)
        return ERR_OK;
    enum err e =
        health_repairs_take(ctl->vault, on_repaired, backup, &backup->repairing, &ctl->msg);
    if (e == ERR_OK) {
        ctl->cancel = cancel;
        e = ctl_wait(ctl);
    }
    return e;
}

static void on_paid(void *user, enum err e, const struct health_debts_summary *summary,
                    const struct errmsg *msg)
{
    struct backup_command *backup = user;
    backup->paying = NULL;
    backup->ctl->cancel = NULL;
    backup->debts = *summary;
    ctl_done(backup->ctl, e, msg);
}

/* Debts of earlier runs, now that this one's own snapshot is safe. What is still owed afterwards
   takes the place of what this run left. */
static enum err pay_debts(struct ctl *ctl, struct backup_command *backup)
{
    if (ctl->options.dry_run)
        return ERR_OK;
    enum err e = health_debts_pay(ctl->vault, on_paid, backup, &backup->paying, &ctl->msg);
    if (e == ERR_OK) {
        ctl->cancel = cancel;
        e = ctl_wait(ctl);
    }
    backup->summary.debts = backup->debts.owed;
    return e;
}

static void on_orders(void *user, enum err e, const struct removal_orders_summary *summary,
                      const struct errmsg *msg)
{
    struct backup_command *backup = user;
    (void)summary;
    ctl_done(backup->ctl, e, msg);
}

/* Delete orders of an earlier prune that somebody has not answered yet. */
static enum err send_orders(struct ctl *ctl, struct backup_command *backup)
{
    struct removal_orders *orders;
    if (ctl->options.dry_run)
        return ERR_OK;
    const enum err e = removal_orders_send(ctl->vault, on_orders, backup, &orders, &ctl->msg);
    return e == ERR_OK ? ctl_wait(ctl) : e;
}

static void tell_json(struct ctl *ctl, const struct backup_summary *s,
                      const struct health_repairs_summary *repairs)
{
    struct json_line *line;
    if (json_line_new("summary", &line) != ERR_OK)
        return;
    json_line_bool(line, "dry_run", ctl->options.dry_run);
    json_line_u64(line, "files_new", s->files_new);
    json_line_u64(line, "files_changed", s->files_changed);
    json_line_u64(line, "files_unmodified", s->files_unmodified);
    json_line_u64(line, "dirs_new", s->dirs_new);
    json_line_u64(line, "dirs_changed", s->dirs_changed);
    json_line_u64(line, "dirs_unmodified", s->dirs_unmodified);
    json_line_u64(line, "data_blobs", s->data_blobs);
    json_line_u64(line, "tree_blobs", s->tree_blobs);
    json_line_u64(line, "data_added", s->data_added);
    json_line_u64(line, "data_added_packed", s->data_added_packed);
    json_line_u64(line, "bytes_sent", s->bytes_sent);
    json_line_u64(line, "total_files_processed", s->total_files_processed);
    json_line_u64(line, "total_bytes_processed", s->total_bytes_processed);
    json_line_real(line, "total_duration", (double)s->total_duration_ms / 1000);
    if (id_is_zero(&s->snapshot_id))
        json_line_null(line, "snapshot_id");
    else
        json_line_id(line, "snapshot_id", &s->snapshot_id);
    json_line_u64(line, "cells_used", s->cells_used);
    if (s->margin_min == INT32_MAX)
        json_line_null(line, "margin_min");
    else
        json_line_i64(line, "margin_min", s->margin_min);
    json_line_u64(line, "debts", s->debts);
    json_line_bool(line, "below_level", s->below_level);
    json_line_u64(line, "shards_repaired", repairs->shards);
    ctl_json(&ctl->out, line);
}

static void tell(struct ctl *ctl, const struct backup_summary *s,
                 const struct health_repairs_summary *repairs)
{
    char processed[TEXT_SIZE_SIZE], added[TEXT_SIZE_SIZE], packed[TEXT_SIZE_SIZE];
    char sent[TEXT_SIZE_SIZE], took[TEXT_DURATION_SIZE], id[ID_TEXT_SIZE];
    if (ctl->out.json) {
        tell_json(ctl, s, repairs);
        return;
    }
    ctl_say(&ctl->out,
            "Files: %llu new, %llu changed, %llu unmodified. Directories: %llu new, %llu "
            "changed, %llu unmodified.",
            (unsigned long long)s->files_new, (unsigned long long)s->files_changed,
            (unsigned long long)s->files_unmodified, (unsigned long long)s->dirs_new,
            (unsigned long long)s->dirs_changed, (unsigned long long)s->dirs_unmodified);
    ctl_say(&ctl->out, "%s with %s in %s; %s were new (%s packed), %s sent to %s.",
            TEXT_COUNT(s->total_files_processed, "file"),
            text_size(s->total_bytes_processed, processed),
            text_duration(s->total_duration_ms / 1000, took), text_size(s->data_added, added),
            text_size(s->data_added_packed, packed), text_size(s->bytes_sent, sent),
            TEXT_COUNT(s->cells_used, "cell"));
    if (ctl->options.dry_run)
        ctl_say(&ctl->out, "This was a dry run: nothing was sent or kept.");
    else
        ctl_say(&ctl->out, "%sSnapshot %.10s is saved.%s", ctl_tint(&ctl->out, CTL_GOOD),
                id_format(&s->snapshot_id, id), ctl_tint(&ctl->out, CTL_PLAIN));
    if (s->below_level)
        ctl_print(&ctl->out,
                  "Too few households are awake for the level that was chosen: this snapshot is "
                  "stored as %u+%u.",
                  s->k, s->m);
    if (s->debts > 0)
        ctl_print(
            &ctl->out,
            "%s %s missing, a debt to be paid by the next backup: until then less can be lost than "
            "%u+%u promises.",
            TEXT_COUNT(s->debts, "shard"), s->debts == 1 ? "is" : "are", s->k, s->m);
}

/* Those of the paths that are there; the others are said, and the rest is backed up. */
static enum err existing_paths(struct ctl *ctl, struct backup_command *backup)
{
    const struct ctl_list *words = &ctl->options.arguments;
    struct errmsg why;
    struct stat st;
    backup->paths = calloc(words->count, sizeof(*backup->paths));
    if (!backup->paths)
        return ERR_NOMEM;
    for (size_t i = 0; i < words->count; i++) {
        const char *path = words->items[i];
        if (lstat(*path ? path : ".", &st) == 0) {
            backup->paths[backup->path_count++] = path;
        } else {
            (void)err_say_errno(&why, errno, "cannot back up %s", path);
            ctl_problem(&ctl->out, "scan", slice_text(path), why.text);
        }
    }
    return backup->path_count > 0
               ? ERR_OK
               : err_say(&ctl->msg, ERR_NOT_FOUND, "there is nothing of what is to be backed up");
}

/* What is to be backed up: paths, or one of the streams. */
static enum err source(struct ctl *ctl, struct backup_command *backup)
{
    const struct ctl_options *o = &ctl->options;
    const struct ctl_list *words = &o->arguments;
    const bool input = o->from_stdin || o->stdin_filename;
    if (o->stdin_from_command && words->count == 0)
        return err_say(&ctl->msg, ERR_USAGE,
                       "--stdin-from-command needs a command behind \"--\"; see: cellctl backup "
                       "--help");
    if (!o->stdin_from_command && input && words->count > 0)
        return err_say(&ctl->msg, ERR_USAGE,
                       "backup takes either paths or standard input, not both: '%s'",
                       words->items[0]);
    if (!o->stdin_from_command && !input)
        return words->count > 0 ? existing_paths(ctl, backup)
                                : err_say(&ctl->msg, ERR_USAGE,
                                          "backup needs PATH...; see: cellctl backup --help");
    if (o->stdin_from_command) {
        backup->command = calloc(words->count + 1, sizeof(*backup->command));
        if (!backup->command)
            return ERR_NOMEM;
        memcpy(backup->command, words->items, words->count * sizeof(*backup->command));
    }
    return ctl_stream_new(o->stdin_filename ? o->stdin_filename : "stdin", backup->command,
                          &backup->stream);
}

static enum err cut_tags(struct ctl *ctl, struct backup_command *backup)
{
    const struct ctl_list *list = &ctl->options.tags;
    size_t size = 1;
    for (size_t i = 0; i < list->count; i++)
        size += strlen(list->items[i]) + 1;
    backup->tag_texts = calloc(size, 1);
    backup->tags = calloc(size, sizeof(*backup->tags)); /* a tag has a byte at least */
    if (!backup->tag_texts || !backup->tags)
        return ERR_NOMEM;
    char *at = backup->tag_texts, *rest = NULL;
    for (size_t i = 0; i < list->count; i++)
        at = stpcpy(stpcpy(at, list->items[i]), ",");
    for (char *tag = strtok_r(backup->tag_texts, ",", &rest); tag; tag = strtok_r(NULL, ",", &rest))
        backup->tags[backup->tag_count++] = tag;
    return ERR_OK;
}

static enum err patterns(struct ctl *ctl, struct backup_command *backup)
{
    enum err e = fs_exclude_new(&backup->exclude);
    const struct ctl_options *options = &ctl->options;
    for (size_t i = 0; e == ERR_OK && i < options->exclude.count; i++)
        e = fs_exclude_add(backup->exclude, options->exclude.items[i], false, &ctl->msg);
    for (size_t i = 0; e == ERR_OK && i < options->exclude_files.count; i++)
        e = fs_exclude_add_file(backup->exclude, options->exclude_files.items[i], false, &ctl->msg);
    return e;
}

static enum err upload_limit(struct ctl *ctl)
{
    uint64_t kib;
    if (!ctl->options.limit_upload)
        return ERR_OK;
    if (text_parse_u64(ctl->options.limit_upload, UINT32_MAX, &kib) != ERR_OK)
        return err_say(&ctl->msg, ERR_USAGE, "--limit-upload takes KiB a second, not '%s'",
                       ctl->options.limit_upload);
    uvio_net_limit_upload(ctl->net, (uint32_t)kib);
    return ERR_OK;
}

/* Local time; as restic takes it. */
static enum err parse_time(struct ctl *ctl, struct backup_command *backup)
{
    const char *text = ctl->options.time;
    struct tm tm = {.tm_isdst = -1};
    if (!text || !strcmp(text, "now"))
        return ERR_OK;
    const char *end = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
    const time_t time_s = end && !*end ? mktime(&tm) : -1;
    if (time_s <= 0)
        return err_say(&ctl->msg, ERR_USAGE, "--time takes \"2006-01-02 15:04:05\", not '%s'",
                       text);
    backup->time_ns = (int64_t)time_s * 1000000000;
    return ERR_OK;
}

static struct backup_options what(const struct ctl *ctl, const struct backup_command *backup)
{
    const struct ctl_options *o = &ctl->options;
    return (struct backup_options){
        .paths = backup->paths,
        .path_count = backup->path_count,
        .stream = backup->stream ? ctl_stream_vault(backup->stream) : NULL,
        .tags = backup->tags,
        .tag_count = backup->tag_count,
        .host = o->host,
        .program = "cellctl " CELLAR_VERSION,
        .exclude = backup->exclude,
        .exclude_texts = o->exclude.items,
        .exclude_text_count = o->exclude.count,
        .exclude_if_present = o->exclude_if_present.items,
        .exclude_if_present_count = o->exclude_if_present.count,
        .exclude_caches = o->exclude_caches,
        .one_file_system = o->one_file_system,
        .ignore_ctime = o->ignore_ctime,
        .ignore_inode = o->ignore_inode,
        .time_ns = backup->time_ns,
        .accept_risk = o->accept_risk,
        .dry_run = o->dry_run,
    };
}

static enum err run(struct ctl *ctl, struct backup_command *backup,
                    const struct backup_options *options)
{
    const struct backup_events events = {.problem = on_problem,
                                         .change = ctl->out.verbose ? on_change : NULL,
                                         .progress = on_progress,
                                         .done = on_done};
    ctl_progress_start(&backup->progress, &ctl->out, "backed up", now_ms(ctl));
    ctl->operation = backup;
    enum err e = ERR_OK;
    if (backup->stream && !options->dry_run)
        e = ctl_stream_start(backup->stream, &ctl->msg);
    if (e == ERR_OK)
        e = backup_start(ctl->vault, options, &events, backup, &backup->running, &ctl->msg);
    if (e == ERR_OK) {
        ctl->cancel = cancel;
        e = ctl_wait(ctl);
    }
    ctl_progress_end(&backup->progress);
    return e;
}

int ctl_backup(struct ctl *ctl)
{
    struct backup_command backup = {.ctl = ctl};
    const size_t given = ctl->options.arguments.count;
    enum err e = source(ctl, &backup);
    if (e == ERR_OK)
        e = patterns(ctl, &backup);
    if (e == ERR_OK)
        e = cut_tags(ctl, &backup);
    if (e == ERR_OK)
        e = parse_time(ctl, &backup);
    int code = CTL_OK;
    if (e != ERR_OK)
        code = ctl_fail(&ctl->out, e == ERR_NOMEM || e == ERR_NOT_FOUND ? CTL_FAILED : CTL_USAGE,
                        ctl->msg.text);
    if (code == CTL_OK)
        code = ctl_open_swarm(ctl, VAULT_WRITE);
    if (code != CTL_OK)
        goto out;
    const struct backup_options options = what(ctl, &backup);
    if (!options.dry_run)
        code = ctl_quota(ctl, &options);
    if (code != CTL_OK)
        goto out;
    e = upload_limit(ctl);
    if (e == ERR_OK)
        e = run(ctl, &backup, &options);
    if (e == ERR_USAGE) {
        code = ctl_fail(&ctl->out, CTL_USAGE, ctl->msg.text);
        goto out;
    }
    if (e != ERR_OK) {
        code = ctl_failed(ctl, e);
        goto out;
    }
    e = take_repairs(ctl, &backup);
    if (e == ERR_OK)
        e = pay_debts(ctl, &backup);
    if (e == ERR_OK)
        e = send_orders(ctl, &backup);
    if (e != ERR_OK) {
        code = ctl_failed(ctl, e);
        goto out;
    }
    if (!options.dry_run)
        e = transfer_registrations_send(ctl->vault, ctl_done, ctl, &ctl->msg);
    if (e == ERR_OK && !options.dry_run)
        e = ctl_wait(ctl);
    if (e == ERR_OK && !options.dry_run)
        e = transfer_grants_keep(ctl->vault, ctl_done, ctl, &ctl->msg);
    if (e == ERR_OK && !options.dry_run)
        e = ctl_wait(ctl);
    if (e == ERR_OK && !options.dry_run)
        e = health_renew(ctl->vault, ctl_done, ctl, &ctl->msg);
    if (e == ERR_OK && !options.dry_run)
        e = ctl_wait(ctl);
    if (e != ERR_OK) {
        code = ctl_failed(ctl, e);
        goto out;
    }
    tell(ctl, &backup.summary, &backup.repairs);
    if (backup.repairs.shards > 0)
        ctl_say(&ctl->out, "%s of %s that the swarm had lost %s made anew.",
                TEXT_COUNT(backup.repairs.shards, "shard"),
                TEXT_COUNT(backup.repairs.segments, "segment"),
                backup.repairs.shards == 1 ? "is" : "are");
    if (backup.debts.paid > 0)
        ctl_say(&ctl->out, "%s that %s missing %s stored now.",
                TEXT_COUNT(backup.debts.paid, "shard"), backup.debts.paid == 1 ? "was" : "were",
                backup.debts.paid == 1 ? "is" : "are");
    if (backup.summary.problems > 0 || (!backup.stream && backup.path_count < given))
        code = CTL_UNREADABLE;
    else if (backup.summary.debts > 0 || backup.summary.below_level)
        code = CTL_DEBTS;
out:
    fs_exclude_free(backup.exclude);
    ctl_stream_free(backup.stream);
    free(backup.command);
    free(backup.paths);
    free(backup.tags);
    free(backup.tag_texts);
    return code;
}

/* cellctl undelete: what was forgotten comes back, with the recovery phrase. */
#include "base/text.h"
#include "ctl.h"
#include "removal/removal_undelete.h"

struct undelete {
    struct ctl *ctl;
    struct vault_root *root;
    struct removal_undelete *running;
    struct removal_undelete_summary summary;
};

static void on_returned(void *user, const struct id *snapshot)
{
    struct undelete *undelete = user;
    struct ctl *ctl = undelete->ctl;
    char id[ID_TEXT_SIZE];
    struct json_line *line;
    if (!ctl->out.json)
        ctl_say(&ctl->out, "snapshot %.10s is back", id_format(snapshot, id));
    else if (json_line_new("returned", &line) == ERR_OK) {
        json_line_id(line, "snapshot_id", snapshot);
        ctl_json(&ctl->out, line);
    }
}

static void on_done(void *user, enum err e, const struct removal_undelete_summary *summary,
                    const struct errmsg *msg)
{
    struct undelete *undelete = user;
    undelete->ctl->cancel = NULL;
    undelete->summary = *summary;
    ctl_done(undelete->ctl, e, msg);
}

static void cancel(struct ctl *ctl)
{
    removal_undelete_cancel(((struct undelete *)ctl->operation)->running);
}

static void tell(struct ctl *ctl, const struct removal_undelete_summary *s)
{
    struct json_line *line;
    if (ctl->out.json && json_line_new("summary", &line) == ERR_OK) {
        json_line_u64(line, "snapshots_returned", s->snapshots);
        json_line_u64(line, "snapshots_gone", s->snapshots_gone);
        json_line_u64(line, "segments_returned", s->segments);
        json_line_u64(line, "segments_gone", s->segments_gone);
        json_line_u64(line, "orders_answered", s->orders_answered);
        json_line_u64(line, "orders_waiting", s->orders_waiting);
        ctl_json(&ctl->out, line);
    } else if (!ctl->out.json) {
        ctl_say(&ctl->out, "%s %s back, with %s that had been condemned.",
                TEXT_COUNT(s->snapshots, "snapshot"), s->snapshots == 1 ? "is" : "are",
                TEXT_COUNT(s->segments, "segment"));
        if (s->snapshots_gone > 0)
            ctl_print(&ctl->out,
                      "Of %llu more something is deleted for good; one that is named is "
                      "brought back as far as it goes.",
                      (unsigned long long)s->snapshots_gone);
        if (s->orders_waiting > 0)
            ctl_print(&ctl->out,
                      "No answer yet from %s: run it again, or make a backup, when they are awake.",
                      TEXT_COUNT(s->orders_waiting, "cell"));
    }
}

static enum err run(struct undelete *undelete)
{
    static const struct removal_undelete_events events = {.returned = on_returned, .done = on_done};
    struct ctl *ctl = undelete->ctl;
    const struct ctl_options *o = &ctl->options;
    const struct removal_undelete_options options = {
        .root = undelete->root,
        .select = {.snapshots = o->arguments.items,
                   .snapshot_count = o->arguments.count,
                   .host = o->host,
                   .tags = o->tags.items,
                   .tag_count = o->tags.count,
                   .paths = o->paths.items,
                   .path_count = o->paths.count},
    };
    ctl->operation = undelete;
    enum err e = removal_undelete_start(ctl->vault, &options, &events, undelete, &undelete->running,
                                        &ctl->msg);
    if (e == ERR_OK) {
        ctl->cancel = cancel;
        e = ctl_wait(ctl);
    }
    return e;
}

int ctl_undelete(struct ctl *ctl)
{
    struct undelete undelete = {.ctl = ctl};
    struct buf words = BUF_INIT(CTL_PHRASE_FILE_MAX);
    int code = ctl_open_swarm(ctl, VAULT_WRITE);
    if (code != CTL_OK)
        return code;
    enum err e = ctl_phrase(&ctl->options, &words, &ctl->msg);
    if (e == ERR_OK)
        e = vault_phrase_open(ctl->vault, (const char *)words.data, &undelete.root, &ctl->msg);
    ctl_secret_clear(&words);
    if (e == ERR_OK)
        e = run(&undelete);
    vault_phrase_close(undelete.root);
    if (e == ERR_USAGE)
        return ctl_fail(&ctl->out, CTL_USAGE, ctl->msg.text);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    tell(ctl, &undelete.summary);
    return undelete.summary.snapshots_gone > 0 ? CTL_NOT_ENOUGH : CTL_OK;
}

/* cellctl recover: a vault again from the phrase. */
#include "base/text.h"
#include "ctl_words.h"
#include "devices/devices_recover.h"
#include "uvio/uvio_net.h"

#include <stdlib.h>
#include <string.h>

struct recover {
    struct ctl *ctl;
    struct devices_recovery *recovery;
    struct devices_recovery_summary summary;
    struct ctl_words words;
};

static void on_problem(void *user, enum err e, const char *sentence)
{
    struct recover *recover = user;
    (void)e;
    ctl_problem(&recover->ctl->out, "recover", slice_of(NULL, 0), sentence);
}

static void on_done(void *user, enum err e, const struct devices_recovery_summary *summary,
                    const struct errmsg *msg)
{
    struct recover *recover = user;
    recover->summary = *summary;
    ctl_done(recover->ctl, e, msg);
}

static enum err begin(struct recover *recover, struct slice passphrase)
{
    struct ctl *ctl = recover->ctl;
    const struct vault_ports ports = {
        .clock = uvio_clock(ctl->io),
        .random = uvio_random(ctl->io),
        .work = uvio_work(ctl->io),
        .log = &ctl->log,
    };
    char *dir = ctl_vault_dir(&ctl->options);
    const struct devices_recovery_options options = {
        .dir = dir,
        .words = recover->words.words,
        .from = recover->words.from.items,
        .from_count = recover->words.from.count,
        .passphrase = passphrase,
        .device_name = ctl->options.device_name,
    };
    const enum err e =
        dir ? devices_recovery_new(&options, &ports, &recover->recovery, &ctl->msg) : ERR_NOMEM;
    free(dir);
    return e;
}

static enum err run(struct recover *recover)
{
    static const struct devices_recovery_events events = {.problem = on_problem, .done = on_done};
    struct ctl *ctl = recover->ctl;
    const struct uvio_net_options options = {.seed = devices_recovery_seed(recover->recovery)};
    enum err e = uvio_net_open(ctl->io, &options, &ctl->net, &ctl->msg);
    if (e == ERR_OK)
        e = devices_recovery_start(recover->recovery, ctl->net, &events, recover, &ctl->msg);
    return e == ERR_OK ? ctl_wait(ctl) : e;
}

static void tell(struct ctl *ctl, const struct devices_recovery_summary *s)
{
    struct json_line *line;
    if (!ctl->out.json) {
        ctl_say(&ctl->out, "The vault is there again: %s of %s, %s in %s are known.",
                TEXT_COUNT(s->snapshots, "snapshot"), TEXT_COUNT(s->devices, "device"),
                TEXT_COUNT(s->chunks, "chunk"), TEXT_COUNT(s->segments, "segment"));
        if (s->problems > 0)
            ctl_print(&ctl->out,
                      "Of the index %s could not be had; the next command asks again, best when "
                      "more cells are awake.",
                      TEXT_COUNT(s->problems, "piece"));
        ctl_say(&ctl->out, "Next: cellctl restore latest --target DIR");
    } else if (json_line_new("summary", &line) == ERR_OK) {
        json_line_id(line, "account", &s->account);
        json_line_u64(line, "devices", s->devices);
        json_line_u64(line, "snapshots", s->snapshots);
        json_line_u64(line, "segments", s->segments);
        json_line_u64(line, "chunks", s->chunks);
        json_line_u64(line, "problems", s->problems);
        ctl_json(&ctl->out, line);
    }
}

/* A vault is here, and no phrase was given: its index is what is to be recovered. */
static bool wants_index_only(struct ctl *ctl)
{
    const struct ctl_options *o = &ctl->options;
    if (o->phrase_file || o->from.count > 0 || o->no_passphrase)
        return false;
    char *dir = ctl_vault_dir(o);
    bool needed;
    const bool there = dir && vault_needs_passphrase(dir, &needed, NULL) == ERR_OK;
    free(dir);
    return there;
}

int ctl_recover(struct ctl *ctl)
{
    if (wants_index_only(ctl))
        return ctl_rebuild(ctl);
    struct recover recover = {.ctl = ctl};
    struct buf passphrase = BUF_INIT(CTL_PASSPHRASE_MAX);
    int code = CTL_OK;
    enum err e = ctl_start(ctl);
    if (e == ERR_OK)
        e = ctl_words_read(ctl, &recover.words);
    if (e == ERR_OK && !ctl->options.no_passphrase)
        e = ctl_passphrase(&ctl->options, true, &passphrase, &ctl->msg);
    if (e == ERR_OK)
        e = begin(&recover, buf_slice(&passphrase));
    ctl_secret_clear(&passphrase);
    if (e == ERR_USAGE)
        code = ctl_fail(&ctl->out, CTL_USAGE, ctl->msg.text);
    else if (e == ERR_OK)
        e = run(&recover);
    if (e == ERR_OK) {
        tell(ctl, &recover.summary);
        code = recover.summary.problems > 0 ? CTL_NOT_ENOUGH : CTL_OK;
    } else if (code == CTL_OK) {
        code = ctl_failed(ctl, e);
    }
    devices_recovery_free(recover.recovery);
    ctl_words_free(&recover.words);
    return code;
}

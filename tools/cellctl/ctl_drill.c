/* cellctl drill: a recovery rehearsed, from the phrase and the swarm alone, and what came of it. */
#include "base/text.h"
#include "ctl_scratch.h"
#include "ctl_words.h"
#include "devices/devices_recover.h"
#include "health/health_drill.h"
#include "restore/restore.h"
#include "uvio/uvio_net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct drill {
    struct ctl *ctl;
    struct ctl_words words;
    char *scratch;     /* owned; removed at the end */
    char *index, *dir; /* owned: below it, or where --target says: files restored to */
    struct devices_recovery *recovery;
    struct devices_recovery_summary recovered;
    struct restore *restoring;
    struct restore_summary restored;
    struct ctl_progress progress;
    struct ctl_scratch_counts counts;
    struct health_drill record;
    bool have_vault, recorded;
};

static uint64_t now_ms(const struct ctl *ctl)
{
    return clock_mono_ms(uvio_clock(ctl->io));
}

/* --- the recovery --- */

static void on_recovery_problem(void *user, enum err e, const char *sentence)
{
    struct drill *drill = user;
    (void)e;
    ctl_problem(&drill->ctl->out, "recover", slice_of(NULL, 0), sentence);
}

static void on_recovered(void *user, enum err e, const struct devices_recovery_summary *summary,
                         const struct errmsg *msg)
{
    struct drill *drill = user;
    drill->recovered = *summary;
    ctl_done(drill->ctl, e, msg);
}

static enum err recover(struct drill *drill)
{
    static const struct devices_recovery_events events = {.problem = on_recovery_problem,
                                                          .done = on_recovered};
    struct ctl *ctl = drill->ctl;
    const struct vault_ports ports = {
        .clock = uvio_clock(ctl->io),
        .random = uvio_random(ctl->io),
        .work = uvio_work(ctl->io),
        .log = &ctl->log,
    };
    const struct devices_recovery_options options = {
        .dir = drill->index,
        .words = drill->words.words,
        .from = drill->words.from.items,
        .from_count = drill->words.from.count,
        .rehearsal = true,
    };
    enum err e = devices_recovery_new(&options, &ports, &drill->recovery, &ctl->msg);
    if (e != ERR_OK)
        return e;
    const struct uvio_net_options net = {.seed = devices_recovery_seed(drill->recovery)};
    e = uvio_net_open(ctl->io, &net, &ctl->net, &ctl->msg);
    if (e == ERR_OK)
        e = devices_recovery_start(drill->recovery, ctl->net, &events, drill, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    if (e == ERR_OK && drill->have_vault &&
        !id_equal(&drill->recovered.account, vault_account(ctl->vault)))
        e = err_say(&ctl->msg, ERR_SECRET,
                    "these words are of another account than the vault's: the drill says nothing "
                    "about it");
    return e;
}

/* --- the restore --- */

static void on_restore_problem(void *user, enum err e, struct slice path, const char *sentence)
{
    struct drill *drill = user;
    char name[CTL_TEXT_SIZE], text[CTL_TEXT_SIZE + ERRMSG_SIZE + 4];
    if (e == ERR_OK)
        return; /* metadata that this user may not set here */
    snprintf(text, sizeof(text), "%s: %s", ctl_text(path, name), sentence);
    ctl_problem(&drill->ctl->out, "restore", path, text);
}

static void on_progress(void *user, const struct restore_progress *progress)
{
    struct drill *drill = user;
    const uint64_t percent = drill->record.sample_percent;
    const struct ctl_progress_now now = {
        .bytes = progress->bytes_done,
        .bytes_total = percent < 100 ? 0 : progress->bytes_total,
        .files = progress->files_done,
        .files_total = percent < 100 ? 0 : progress->files_total,
        .now_ms = now_ms(drill->ctl),
    };
    ctl_progress_show(&drill->progress, &now);
}

static void on_restored(void *user, enum err e, const struct restore_summary *summary,
                        const struct errmsg *msg)
{
    struct drill *drill = user;
    drill->restoring = NULL;
    drill->ctl->cancel = NULL;
    drill->restored = *summary;
    ctl_done(drill->ctl, e, msg);
}

static void cancel(struct ctl *ctl)
{
    struct drill *drill = ctl->operation;
    if (drill->restoring)
        restore_cancel(drill->restoring);
}

static enum err restore(struct drill *drill)
{
    static const struct restore_events events = {
        .problem = on_restore_problem, .progress = on_progress, .done = on_restored};
    struct ctl *ctl = drill->ctl;
    const uint64_t percent = drill->record.sample_percent;
    struct restore_options options = {
        .snapshot = ctl->options.arguments.count ? ctl->options.arguments.items[0] : "latest",
        .host = ctl->options.host,
        .target = drill->dir,
        .overwrite = FS_OVERWRITE_ALWAYS,
        .verify = true,
        .sample_percent = percent < 100 ? (unsigned)percent : 0,
    };
    random_fill(uvio_random(ctl->io), &options.sample_seed, sizeof(options.sample_seed));
    ctl_progress_start(&drill->progress, &ctl->out, "restored", now_ms(ctl));
    ctl->operation = drill;
    enum err e = restore_start(devices_recovery_vault(drill->recovery), &options, &events, drill,
                               &drill->restoring, &ctl->msg);
    if (e == ERR_OK) {
        ctl->cancel = cancel;
        e = ctl_wait(ctl);
    }
    ctl_progress_end(&drill->progress);
    return e;
}

/* --- the comparison, and the record --- */

static void on_different(void *user, const char *path)
{
    struct drill *drill = user;
    char name[CTL_TEXT_SIZE], text[CTL_TEXT_SIZE + 80];
    const struct slice item = slice_text(path);
    snprintf(text, sizeof(text), "%s: what came back has other bytes than the file here",
             ctl_text(item, name));
    ctl_problem(&drill->ctl->out, "compare", item, text);
}

static enum err record(struct drill *drill, uint64_t started_ms)
{
    struct ctl *ctl = drill->ctl;
    struct health_drill *r = &drill->record;
    r->time_s = (uint64_t)(clock_wall_ns(uvio_clock(ctl->io)) / 1000000000);
    r->files = drill->restored.files_restored;
    r->bytes = drill->restored.bytes_restored;
    r->failed = drill->restored.files_failed;
    r->compared = drill->counts.compared;
    r->different = drill->counts.different;
    r->problems = drill->recovered.problems;
    r->duration_ms = now_ms(ctl) - started_ms;
    r->passed = r->failed + r->different + r->problems == 0;
    if (!drill->have_vault)
        return ERR_OK;
    const enum err e = health_drill_write(vault_dir(ctl->vault), r, &ctl->msg);
    drill->recorded = e == ERR_OK;
    return e;
}

static void tell_json(struct drill *drill)
{
    const struct health_drill *r = &drill->record;
    struct json_line *line;
    if (json_line_new("summary", &line) != ERR_OK)
        return;
    json_line_bool(line, "passed", r->passed);
    json_line_id(line, "snapshot_id", &drill->restored.snapshot);
    json_line_u64(line, "sample_percent", r->sample_percent);
    json_line_u64(line, "files_restored", r->files);
    json_line_u64(line, "bytes_restored", r->bytes);
    json_line_u64(line, "files_failed", r->failed);
    json_line_u64(line, "files_compared", r->compared);
    json_line_u64(line, "files_different", r->different);
    json_line_u64(line, "problems", r->problems);
    json_line_real(line, "total_duration", (double)r->duration_ms / 1000);
    json_line_bool(line, "recorded", drill->recorded);
    ctl_json(&drill->ctl->out, line);
}

static void tell(struct drill *drill)
{
    const struct health_drill *r = &drill->record;
    struct ctl_output *out = &drill->ctl->out;
    char id[ID_TEXT_SIZE], bytes[TEXT_SIZE_SIZE], took[TEXT_DURATION_SIZE];
    if (out->json) {
        tell_json(drill);
        return;
    }
    ctl_say(out,
            "From the phrase and the swarm alone, %s (%s) of snapshot %.10s came back in %s; %llu "
            "could be compared with what is here, %llu of them differed.",
            TEXT_COUNT(r->files, "file"), text_size(r->bytes, bytes),
            id_format(&drill->restored.snapshot, id), text_duration(r->duration_ms / 1000, took),
            (unsigned long long)r->compared, (unsigned long long)r->different);
    if (drill->counts.skipped > 0)
        ctl_say(out, "Changed here since the snapshot, or gone: %s.",
                TEXT_COUNT(drill->counts.skipped, "file"));
    if (r->failed + r->problems > 0)
        ctl_print(out, "Not restored: %s; missing in the index: %s.", TEXT_COUNT(r->failed, "file"),
                  TEXT_COUNT(r->problems, "piece"));
    if (r->passed)
        ctl_say(out, "The drill passed.");
    else
        ctl_print(out, "The drill FAILED.");
    if (!drill->have_vault)
        ctl_say(out, "There is no vault on this machine: nothing was recorded.");
}

/* --- the order of things --- */

static enum err sample(struct drill *drill)
{
    const char *text = drill->ctl->options.sample;
    char *end = NULL;
    const unsigned long percent = text ? strtoul(text, &end, 10) : 100;
    if (text && (text[0] < '0' || text[0] > '9' || (end[0] && strcmp(end, "%") != 0) ||
                 percent < 1 || percent > 100))
        return err_say(&drill->ctl->msg, ERR_USAGE,
                       "--sample takes a percentage from 1 to 100, not '%s'", text);
    drill->record.sample_percent = percent;
    return ERR_OK;
}

static char *below(const char *dir, const char *name)
{
    const size_t size = strlen(dir) + strlen(name) + 2;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/%s", dir, name);
    return path;
}

/* The vault is opened to know whose words are asked for, and to record; a bare machine has none. */
static int open_vault(struct drill *drill)
{
    struct ctl *ctl = drill->ctl;
    struct errmsg msg;
    bool needed;
    char *dir = ctl_vault_dir(&ctl->options);
    const enum err e = dir ? vault_needs_passphrase(dir, &needed, &msg) : ERR_NOMEM;
    free(dir);
    if (e == ERR_NOT_FOUND) {
        const enum err started = ctl_start(ctl);
        return started == ERR_OK ? CTL_OK : ctl_failed(ctl, started);
    }
    drill->have_vault = true;
    return ctl_open(ctl, VAULT_READ);
}

static enum err run(struct drill *drill)
{
    struct ctl *ctl = drill->ctl;
    const struct ctl_scratch_events events = {on_different, drill};
    const uint64_t started_ms = now_ms(ctl);
    enum err e = ctl_words_read(ctl, &drill->words);
    if (e == ERR_OK)
        e = ctl_scratch_new(&drill->scratch, &ctl->msg);
    if (e != ERR_OK)
        return e;
    drill->index = below(drill->scratch, "vault");
    drill->dir = ctl->options.target ? strdup(ctl->options.target) : below(drill->scratch, "files");
    if (!drill->index || !drill->dir)
        return ERR_NOMEM;
    e = recover(drill);
    if (e == ERR_OK)
        e = restore(drill);
    if (e == ERR_OK)
        e = ctl_scratch_compare(drill->dir, &events, &drill->counts, &ctl->msg);
    return e == ERR_OK ? record(drill, started_ms) : e;
}

int ctl_drill(struct ctl *ctl)
{
    struct drill drill = {.ctl = ctl};
    if (sample(&drill) != ERR_OK)
        return ctl_fail(&ctl->out, CTL_USAGE, ctl->msg.text);
    int code = open_vault(&drill);
    if (code == CTL_OK) {
        const enum err e = run(&drill);
        if (e == ERR_OK) {
            tell(&drill);
            code = drill.restored.files_lost + drill.recovered.problems > 0 ? CTL_NOT_ENOUGH
                   : drill.record.passed                                    ? CTL_OK
                                                                            : CTL_FAILED;
        } else if (e == ERR_NOT_ENOUGH && !ctl->interrupted) {
            code = ctl_fail(&ctl->out, CTL_NOT_ENOUGH, ctl->msg.text);
        } else {
            code = ctl_failed(ctl, e);
        }
    }
    devices_recovery_free(drill.recovery);
    if (drill.scratch)
        ctl_scratch_remove(drill.scratch);
    ctl_words_free(&drill.words);
    free(drill.scratch);
    free(drill.index);
    free(drill.dir);
    return code;
}

/*
 * cellctl repair: what is missing or damaged on the cells is made again, now, from this machine.
 *
 *     check, as a writer ─▶ pay: missing shards from the others ─▶ what too few shards are left of:
 *                                                     a backup of the newest snapshot's paths,
 * which stores again what this machine still has
 */
#include "backup/backup.h"
#include "base/text.h"
#include "ctl.h"
#include "health/health_check.h"
#include "health/health_debts.h"
#include "health/health_lost.h"
#include "vault/vault_snapshots.h"

#include <stdlib.h>
#include <string.h>

struct repair {
    struct ctl *ctl;
    struct health_check *checking;
    struct health_debts *paying;
    struct backup *running;
    struct ctl_progress progress;
    struct health_check_summary check;
    struct health_debts_summary debts;
    struct backup_summary backup;
    struct health_lost lost;
    /* the newest snapshot of this device; owned texts */
    char **paths, **excludes;
    size_t path_count, exclude_count;
    bool backed_up;
};

static uint64_t now_ms(const struct ctl *ctl)
{
    return clock_mono_ms(uvio_clock(ctl->io));
}

static void cancel(struct ctl *ctl)
{
    struct repair *repair = ctl->operation;
    if (repair->checking)
        health_check_cancel(repair->checking);
    if (repair->paying)
        health_debts_cancel(repair->paying);
    if (repair->running)
        backup_cancel(repair->running);
}

/* The operation that was just begun. */
static enum err wait(struct repair *repair, enum err e)
{
    struct ctl *ctl = repair->ctl;
    if (e != ERR_OK)
        return e;
    ctl->cancel = cancel;
    e = ctl_wait(ctl);
    ctl->cancel = NULL;
    repair->checking = NULL;
    repair->paying = NULL;
    repair->running = NULL;
    return e;
}

/* --- check --- */

static void on_check_problem(void *user, enum err e, const char *sentence)
{
    struct repair *repair = user;
    (void)e;
    ctl_problem(&repair->ctl->out, "check", slice_of(NULL, 0), sentence);
}

static void on_check_progress(void *user, const struct health_check_progress *progress)
{
    struct repair *repair = user;
    const struct ctl_progress_now now = {
        .bytes = progress->bytes_read,
        .files = progress->segments_done,
        .files_total = progress->segments_total,
        .now_ms = now_ms(repair->ctl),
    };
    ctl_progress_show(&repair->progress, &now);
}

static void on_checked(void *user, enum err e, const struct health_check_summary *summary,
                       const struct errmsg *msg)
{
    struct repair *repair = user;
    repair->check = *summary;
    ctl_done(repair->ctl, e, msg);
}

static enum err check(struct repair *repair)
{
    static const struct health_check_events events = {
        .problem = on_check_problem, .progress = on_check_progress, .done = on_checked};
    struct ctl *ctl = repair->ctl;
    const struct health_check_options options = {.read_data = ctl->options.read_data,
                                                 .give_up = true};
    ctl_progress_start(&repair->progress, &ctl->out, "checked", now_ms(ctl));
    const enum err e = wait(repair, health_check_start(ctl->vault, &options, &events, repair,
                                                       &repair->checking, &ctl->msg));
    ctl_progress_end(&repair->progress);
    return e;
}

/* --- pay --- */

static void on_paid(void *user, enum err e, const struct health_debts_summary *summary,
                    const struct errmsg *msg)
{
    struct repair *repair = user;
    repair->debts = *summary;
    ctl_done(repair->ctl, e, msg);
}

static enum err pay(struct repair *repair)
{
    struct ctl *ctl = repair->ctl;
    return wait(repair, health_debts_pay(ctl->vault, on_paid, repair, &repair->paying, &ctl->msg));
}

/* --- a backup, where too few shards are left --- */

static enum err copy_texts(const struct slice *from, size_t count, char ***out, size_t *out_count)
{
    *out = calloc(count + 1, sizeof(**out));
    if (!*out)
        return ERR_NOMEM;
    for (*out_count = 0; *out_count < count; (*out_count)++) {
        const struct slice text = from[*out_count];
        (*out)[*out_count] = strndup((const char *)text.data, text.size);
        if (!(*out)[*out_count])
            return ERR_NOMEM;
    }
    return ERR_OK;
}

static void texts_free(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

static void on_snapshots(void *user, enum err e, const struct vault_snapshots *snapshots,
                         const struct errmsg *msg)
{
    struct repair *repair = user;
    const struct vault_snapshot *newest = NULL;
    for (size_t i = 0; e == ERR_OK && i < snapshots->count; i++) {
        if (id_equal(&snapshots->list[i].device, vault_device(repair->ctl->vault)))
            newest = &snapshots->list[i];
    }
    if (newest) {
        const struct snapshot *s = &newest->snapshot;
        e = copy_texts(s->paths, s->path_count, &repair->paths, &repair->path_count);
        if (e == ERR_OK)
            e = copy_texts(s->excludes, s->exclude_count, &repair->excludes,
                           &repair->exclude_count);
    }
    ctl_done(repair->ctl, e, msg);
}

static void on_backup_problem(void *user, enum err e, struct slice path, const char *sentence)
{
    struct repair *repair = user;
    if (e == ERR_OK)
        ctl_warn(&repair->ctl->out, sentence);
    else
        ctl_problem(&repair->ctl->out, "archival", path, sentence);
}

static void on_backed_up(void *user, enum err e, const struct backup_summary *summary,
                         const struct errmsg *msg)
{
    struct repair *repair = user;
    if (summary)
        repair->backup = *summary;
    ctl_done(repair->ctl, e, msg);
}

static void on_lost(void *user, enum err e, const struct health_lost *lost,
                    const struct errmsg *msg)
{
    struct repair *repair = user;
    repair->lost = *lost;
    ctl_done(repair->ctl, e, msg);
}

static enum err count_lost(struct repair *repair)
{
    struct ctl *ctl = repair->ctl;
    return wait(repair, health_lost_count(ctl->vault, on_lost, repair, &ctl->msg));
}

static enum err back_up(struct repair *repair, struct fs_exclude *exclude)
{
    static const struct backup_events events = {.problem = on_backup_problem, .done = on_backed_up};
    struct ctl *ctl = repair->ctl;
    const char *tag = "repair";
    const struct backup_options options = {
        .paths = (const char *const *)repair->paths,
        .path_count = repair->path_count,
        .tags = &tag,
        .tag_count = 1,
        .program = "cellctl " CELLAR_VERSION,
        .exclude = exclude,
        .exclude_texts = (const char *const *)repair->excludes,
        .exclude_text_count = repair->exclude_count,
    };
    const enum err e = wait(
        repair, backup_start(ctl->vault, &options, &events, repair, &repair->running, &ctl->msg));
    repair->backed_up = e == ERR_OK;
    return e;
}

static enum err store_again(struct repair *repair)
{
    struct ctl *ctl = repair->ctl;
    struct fs_exclude *exclude = NULL;
    enum err e = wait(repair, vault_snapshots(ctl->vault, on_snapshots, repair, &ctl->msg));
    if (e == ERR_OK && repair->path_count == 0)
        return ERR_OK; /* nothing of this machine was ever backed up */
    if (e == ERR_OK)
        e = fs_exclude_new(&exclude);
    for (size_t i = 0; e == ERR_OK && i < repair->exclude_count; i++)
        e = fs_exclude_add(exclude, repair->excludes[i], false, &ctl->msg);
    if (e == ERR_OK)
        e = back_up(repair, exclude);
    fs_exclude_free(exclude);
    return e;
}

/* --- words --- */

static void tell_json(struct repair *repair)
{
    const struct health_check_summary *c = &repair->check;
    struct json_line *line;
    if (json_line_new("summary", &line) != ERR_OK)
        return;
    json_line_u64(line, "segments", c->segments);
    json_line_u64(line, "shards_missing", c->shards_missing);
    json_line_u64(line, "shards_damaged", c->shards_damaged);
    json_line_u64(line, "shards_unreachable", c->shards_unreachable);
    json_line_u64(line, "shards_stored", repair->debts.paid);
    json_line_u64(line, "shards_owed", repair->debts.owed);
    json_line_u64(line, "bytes_sent", repair->debts.sent_bytes + repair->backup.bytes_sent);
    json_line_u64(line, "segments_given_up", c->given_up);
    json_line_u64(line, "segments_lost", repair->lost.segments);
    json_line_u64(line, "chunks_lost", repair->lost.chunks);
    if (repair->backed_up)
        json_line_id(line, "snapshot_id", &repair->backup.snapshot_id);
    else
        json_line_null(line, "snapshot_id");
    ctl_json(&repair->ctl->out, line);
}

static void tell(struct repair *repair)
{
    struct ctl_output *out = &repair->ctl->out;
    const struct health_check_summary *c = &repair->check;
    char id[ID_TEXT_SIZE];
    if (out->json) {
        tell_json(repair);
        return;
    }
    ctl_say(out, "%u of %s answered about %s: %s missing, %llu damaged.", c->cells_answered,
            TEXT_COUNT(c->cells_asked, "cell"), TEXT_COUNT(c->segments, "segment"),
            TEXT_COUNT(c->shards_missing, "shard"), (unsigned long long)c->shards_damaged);
    ctl_say(out, "%s %s made again and stored.", TEXT_COUNT(repair->debts.paid, "shard"),
            repair->debts.paid == 1 ? "was" : "were");
    if (c->given_up > 0)
        ctl_print(out, "%s %s too few shards left to be made again from them.",
                  TEXT_COUNT(c->given_up, "segment"), c->given_up == 1 ? "has" : "have");
    if (repair->backed_up)
        ctl_say(out, "Snapshot %.10s stored again what this machine still has of them.",
                id_format(&repair->backup.snapshot_id, id));
    if (repair->lost.chunks > 0)
        ctl_print(
            out, "%s of older snapshots %s lost; a restore lists the files that this touches.",
            TEXT_COUNT(repair->lost.chunks, "piece"), repair->lost.chunks == 1 ? "is" : "are");
    if (repair->debts.owed > 0)
        ctl_print(out, "%s still owed: too few cells could take what is missing.",
                  TEXT_COUNT(repair->debts.owed, "shard"));
    else if (repair->lost.chunks == 0)
        ctl_say(out, "Everything is as it should be, as far as the cells that answered go.");
}

static int run(struct repair *repair)
{
    struct ctl *ctl = repair->ctl;
    ctl->operation = repair;
    enum err e = check(repair);
    if (e == ERR_OK)
        e = pay(repair);
    if (e == ERR_OK)
        e = count_lost(repair);
    if (e == ERR_OK && repair->lost.chunks > 0)
        e = store_again(repair);
    if (e == ERR_OK && repair->lost.chunks > 0)
        e = count_lost(repair);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    tell(repair);
    if (repair->lost.chunks > 0)
        return CTL_NOT_ENOUGH;
    return repair->debts.owed + repair->backup.debts > 0 ? CTL_DEBTS : CTL_OK;
}

int ctl_repair(struct ctl *ctl)
{
    struct repair repair = {.ctl = ctl};
    int code = ctl_open_swarm(ctl, VAULT_WRITE);
    if (code == CTL_OK)
        code = run(&repair);
    texts_free(repair.paths, repair.path_count);
    texts_free(repair.excludes, repair.exclude_count);
    return code;
}

/* cellctl restore. */
#include "base/text.h"
#include "ctl.h"
#include "restore/restore.h"

#include <stdlib.h>
#include <string.h>

struct restore_command {
    struct ctl *ctl;
    struct restore *running;
    struct restore_summary summary;
    struct ctl_progress progress;
    struct fs_exclude *include, *exclude;
    uint64_t notes; /* of metadata that could not be set */
    char *snapshot; /* owned: SNAP without :SUBPATH */
    const char *subpath;
};

enum { NOTES_SHOWN = 20 };

static void on_problem(void *user, enum err e, struct slice path, const char *sentence)
{
    struct restore_command *restore = user;
    struct ctl *ctl = restore->ctl;
    char name[CTL_TEXT_SIZE], text[CTL_TEXT_SIZE + ERRMSG_SIZE + 4];
    if (e == ERR_OK) {
        if (restore->notes++ < NOTES_SHOWN || ctl->options.verbose)
            ctl_warn(&ctl->out, sentence);
        return;
    }
    snprintf(text, sizeof(text), "%s: %s", ctl_text(path, name), sentence);
    ctl_problem(&ctl->out, "restore", path, text);
}

static void on_progress(void *user, const struct restore_progress *progress)
{
    struct restore_command *restore = user;
    const struct ctl_progress_now now = {
        .bytes = progress->bytes_done,
        .bytes_total = progress->bytes_total,
        .files = progress->files_done,
        .files_total = progress->files_total,
        .now_ms = clock_mono_ms(uvio_clock(restore->ctl->io)),
    };
    ctl_progress_show(&restore->progress, &now);
}

static void on_done(void *user, enum err e, const struct restore_summary *summary,
                    const struct errmsg *msg)
{
    struct restore_command *restore = user;
    restore->running = NULL;
    restore->ctl->cancel = NULL;
    restore->summary = *summary;
    ctl_done(restore->ctl, e, msg);
}

static void cancel(struct ctl *ctl)
{
    struct restore_command *restore = ctl->operation;
    if (restore->running)
        restore_cancel(restore->running);
}

static void tell_json(struct ctl *ctl, const struct restore_summary *s)
{
    struct json_line *line;
    if (json_line_new("summary", &line) != ERR_OK)
        return;
    json_line_id(line, "snapshot_id", &s->snapshot);
    json_line_bool(line, "dry_run", ctl->options.dry_run);
    json_line_u64(line, "seconds_elapsed", s->total_duration_ms / 1000);
    json_line_real(line, "total_duration", (double)s->total_duration_ms / 1000);
    json_line_u64(line, "files_restored", s->files_restored);
    json_line_u64(line, "files_skipped", s->files_skipped);
    json_line_u64(line, "files_deleted", s->files_deleted);
    json_line_u64(line, "files_failed", s->files_failed);
    json_line_u64(line, "bytes_restored", s->bytes_restored);
    json_line_u64(line, "bytes_fetched", s->bytes_fetched);
    ctl_json(&ctl->out, line);
}

static void tell(struct restore_command *restore)
{
    struct ctl *ctl = restore->ctl;
    const struct restore_summary *s = &restore->summary;
    char id[ID_TEXT_SIZE], bytes[TEXT_SIZE_SIZE], fetched[TEXT_SIZE_SIZE], took[TEXT_DURATION_SIZE];
    if (ctl->out.json) {
        tell_json(ctl, s);
        return;
    }
    if (restore->notes > NOTES_SHOWN && !ctl->options.verbose)
        ctl_say(&ctl->out, "%s of metadata could not be set; -v lists all.",
                TEXT_COUNT(restore->notes - NOTES_SHOWN, "more piece"));
    ctl_say(&ctl->out, "%s %s (%s) of snapshot %.10s into %s in %s; %s came from the cells.",
            ctl->options.dry_run ? "Would restore" : "Restored",
            TEXT_COUNT(s->files_restored, "file"), text_size(s->bytes_restored, bytes),
            id_format(&s->snapshot, id), ctl->options.target,
            text_duration(s->total_duration_ms / 1000, took), text_size(s->bytes_fetched, fetched));
    if (s->files_skipped > 0)
        ctl_say(&ctl->out, "%s %s there already.", TEXT_COUNT(s->files_skipped, "file"),
                s->files_skipped == 1 ? "was" : "were");
    if (s->files_deleted > 0)
        ctl_say(&ctl->out, "Removed, as the snapshot does not have it: %s.",
                TEXT_COUNT(s->files_deleted, "file"));
    if (s->files_failed > 0)
        ctl_print(&ctl->out, "%s%s could not be restored: listed above.%s",
                  ctl_tint(&ctl->out, CTL_BAD), TEXT_COUNT(s->files_failed, "file"),
                  ctl_tint(&ctl->out, CTL_PLAIN));
}

static enum err patterns(struct ctl *ctl, const struct ctl_list *list, struct fs_exclude **out)
{
    enum err e = list->count ? fs_exclude_new(out) : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < list->count; i++)
        e = fs_exclude_add(*out, list->items[i], false, &ctl->msg);
    return e;
}

static enum err overwrite(struct ctl *ctl, enum fs_overwrite *out)
{
    static const char *const words[] = {"always", "if-changed", "never"};
    for (unsigned i = 0; i < ARRAY_COUNT(words); i++) {
        if (!ctl->options.overwrite || !strcmp(ctl->options.overwrite, words[i])) {
            *out = (enum fs_overwrite)i;
            return ERR_OK;
        }
    }
    return err_say(&ctl->msg, ERR_USAGE, "--overwrite takes always, if-changed or never, not '%s'",
                   ctl->options.overwrite);
}

static bool is_root(const char *dir)
{
    char *path = realpath(dir, NULL);
    const bool root = path && !strcmp(path, "/");
    free(path);
    return root;
}

/* What can be wrong before anything is opened. */
static enum err prepare(struct restore_command *restore, struct restore_options *options)
{
    struct ctl *ctl = restore->ctl;
    const struct ctl_options *o = &ctl->options;
    if (!o->target)
        return err_say(&ctl->msg, ERR_USAGE,
                       "restore needs --target DIR; see: cellctl restore --help");
    restore->snapshot = strdup(o->arguments.items[0]);
    if (!restore->snapshot)
        return ERR_NOMEM;
    char *colon = strchr(restore->snapshot, ':');
    if (colon) {
        *colon = 0;
        restore->subpath = colon + 1;
    }
    enum err e = overwrite(ctl, &options->overwrite);
    if (e == ERR_OK)
        e = patterns(ctl, &o->include, &restore->include);
    if (e == ERR_OK)
        e = patterns(ctl, &o->exclude, &restore->exclude);
    options->snapshot = restore->snapshot;
    options->subpath = restore->subpath;
    options->host = o->host;
    options->target = o->target;
    options->include = restore->include;
    options->exclude = restore->exclude;
    options->delete_others = o->delete_others;
    options->verify = o->verify;
    options->dry_run = o->dry_run;
    options->numeric_owners = o->numeric_owners;
    if (e == ERR_OK && o->delete_others && (restore->include || restore->exclude))
        return err_say(&ctl->msg, ERR_USAGE, "--delete goes with neither --include nor --exclude");
    if (e == ERR_OK && o->delete_others && is_root(o->target))
        return err_say(&ctl->msg, ERR_USAGE,
                       "--delete with --target / would remove whatever of this machine is not in "
                       "the snapshot; restore a SNAP:SUBPATH into its own directory instead");
    return e == ERR_FORMAT || e == ERR_TOO_LARGE ? ERR_USAGE : e;
}

static int run(struct restore_command *restore, const struct restore_options *options)
{
    static const struct restore_events events = {
        .problem = on_problem, .progress = on_progress, .done = on_done};
    struct ctl *ctl = restore->ctl;
    ctl_progress_start(&restore->progress, &ctl->out, "restored",
                       clock_mono_ms(uvio_clock(ctl->io)));
    ctl->operation = restore;
    enum err e = restore_start(ctl->vault, options, &events, restore, &restore->running, &ctl->msg);
    if (e == ERR_OK) {
        ctl->cancel = cancel;
        e = ctl_wait(ctl);
    }
    ctl_progress_end(&restore->progress);
    if (e == ERR_NOT_ENOUGH && !ctl->interrupted)
        return ctl_fail(&ctl->out, CTL_NOT_ENOUGH, ctl->msg.text);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    tell(restore);
    if (restore->summary.files_lost > 0)
        return CTL_NOT_ENOUGH;
    return restore->summary.files_failed > 0 ? CTL_FAILED : CTL_OK;
}

int ctl_restore(struct ctl *ctl)
{
    struct restore_command restore = {.ctl = ctl};
    struct restore_options options = {0};
    int code = CTL_OK;
    const enum err e = prepare(&restore, &options);
    if (e == ERR_USAGE)
        code = ctl_fail(&ctl->out, CTL_USAGE, ctl->msg.text);
    else if (e != ERR_OK)
        code = ctl_failed(ctl, e);
    if (code == CTL_OK)
        code = ctl_open_swarm(ctl, VAULT_READ);
    if (code == CTL_OK)
        code = run(&restore, &options);
    fs_exclude_free(restore.include);
    fs_exclude_free(restore.exclude);
    free(restore.snapshot);
    return code;
}

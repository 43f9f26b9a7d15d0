/* cellctl diff: restic's words for what is different. */
#include "base/text.h"
#include "browse/browse_diff.h"
#include "ctl.h"

struct diff {
    struct ctl *ctl;
    struct browse_diff *running;
    struct browse_diff_summary summary;
    uint64_t problems, lost;
};

/* --- on the vault's lane, while the loop only waits --- */

static enum err on_change(void *user, const char *modifier, struct slice path)
{
    struct diff *diff = user;
    struct ctl_output *out = &diff->ctl->out;
    char text[CTL_TEXT_SIZE];
    struct json_line *line;
    if (!out->json) {
        ctl_print(out, "%-5s%s", modifier, ctl_text(path, text));
    } else {
        if (json_line_new("change", &line) != ERR_OK)
            return ERR_NOMEM;
        json_line_path(line, "path", path);
        json_line_text(line, "modifier", modifier);
        ctl_json(out, line);
    }
    return ferror(stdout) ? ERR_IO : ERR_OK;
}

static void on_problem(void *user, struct slice path, enum err e, const char *sentence)
{
    struct diff *diff = user;
    char name[CTL_TEXT_SIZE], text[CTL_TEXT_SIZE + ERRMSG_SIZE + 64];
    diff->problems++;
    if (e == ERR_NOT_ENOUGH)
        diff->lost++;
    snprintf(text, sizeof(text), "%s: a part of it was not compared: %s", ctl_text(path, name),
             sentence);
    ctl_problem(&diff->ctl->out, "diff", path, text);
}

/* --- on the loop --- */

static void on_done(void *user, enum err e, const struct browse_diff_summary *summary,
                    const struct errmsg *msg)
{
    struct diff *diff = user;
    diff->summary = *summary;
    ctl_done(diff->ctl, e, msg);
}

static void cancel(struct ctl *ctl)
{
    struct diff *diff = ctl->operation;
    if (!ctl->ended)
        browse_diff_cancel(diff->running);
}

static void json_count(struct json_line *line, const char *key, uint64_t value, bool known)
{
    if (known)
        json_line_u64(line, key, value);
    else
        json_line_null(line, key);
}

static void json_side(struct json_line *line, const char *key, const struct browse_diff_side *side,
                      bool known)
{
    json_line_open_object(line, key);
    json_line_u64(line, "files", side->files);
    json_line_u64(line, "dirs", side->dirs);
    json_line_u64(line, "others", side->others);
    json_count(line, "data_blobs", side->data_blobs, known);
    json_count(line, "tree_blobs", side->tree_blobs, known);
    json_count(line, "bytes", side->bytes, known);
    json_line_close(line);
}

static void tell_json(const struct diff *diff)
{
    const struct browse_diff_summary *s = &diff->summary;
    struct json_line *line;
    if (json_line_new("statistics", &line) != ERR_OK)
        return;
    json_line_id(line, "source_snapshot", &s->old_snapshot);
    json_line_id(line, "target_snapshot", &s->new_snapshot);
    json_line_u64(line, "changed_files", s->changed_files);
    json_side(line, "added", &s->added, s->blobs_known);
    json_side(line, "removed", &s->removed, s->blobs_known);
    ctl_json(&diff->ctl->out, line);
}

static void tell(const struct diff *diff)
{
    struct ctl_output *out = &diff->ctl->out;
    const struct browse_diff_summary *s = &diff->summary;
    char added[TEXT_SIZE_SIZE], removed[TEXT_SIZE_SIZE];
    if (out->json) {
        tell_json(diff);
        return;
    }
    ctl_say(out, "%s", "");
    ctl_say(out, "Files:       %5llu new, %5llu removed, %5llu changed",
            (unsigned long long)s->added.files, (unsigned long long)s->removed.files,
            (unsigned long long)s->changed_files);
    ctl_say(out, "Dirs:        %5llu new, %5llu removed", (unsigned long long)s->added.dirs,
            (unsigned long long)s->removed.dirs);
    ctl_say(out, "Others:      %5llu new, %5llu removed", (unsigned long long)s->added.others,
            (unsigned long long)s->removed.others);
    if (!s->blobs_known) {
        ctl_say(out, "Blobs and their bytes could not be counted: %s.", s->blobs_why.text);
        return;
    }
    ctl_say(out, "Data Blobs:  %5llu new, %5llu removed", (unsigned long long)s->added.data_blobs,
            (unsigned long long)s->removed.data_blobs);
    ctl_say(out, "Tree Blobs:  %5llu new, %5llu removed", (unsigned long long)s->added.tree_blobs,
            (unsigned long long)s->removed.tree_blobs);
    ctl_say(out, "  Added:   %s\n  Removed: %s", text_size(s->added.bytes, added),
            text_size(s->removed.bytes, removed));
}

static enum err run(struct diff *diff)
{
    struct ctl *ctl = diff->ctl;
    const char *const *snapshots = ctl->options.arguments.items;
    const struct browse_diff_options options = {
        .old_snapshot = snapshots[0],
        .new_snapshot = snapshots[1],
        .host = ctl->options.host,
        .metadata = ctl->options.metadata,
        .change = on_change,
        .problem = on_problem,
        .done = on_done,
        .user = diff,
    };
    ctl_say(&ctl->out, "comparing snapshot %s to %s:\n", snapshots[0], snapshots[1]);
    ctl->operation = diff;
    enum err e = browse_diff_start(ctl->vault, &options, &diff->running, &ctl->msg);
    if (e == ERR_OK) {
        ctl->cancel = cancel;
        e = ctl_wait(ctl);
        ctl->cancel = NULL;
    }
    return e;
}

int ctl_diff(struct ctl *ctl)
{
    struct diff diff = {.ctl = ctl};
    const int code = ctl_open_swarm(ctl, VAULT_READ);
    if (code != CTL_OK)
        return code;
    const enum err e = run(&diff);
    if (e == ERR_NOT_ENOUGH && !ctl->interrupted)
        return ctl_fail(&ctl->out, CTL_NOT_ENOUGH, ctl->msg.text);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    tell(&diff);
    if (diff.lost > 0)
        return CTL_NOT_ENOUGH;
    return diff.problems > 0 ? CTL_FAILED : CTL_OK;
}

/* cellctl snapshots, ls, find: what is there. */
#include "base/text.h"
#include "ctl.h"
#include "ctl_snapshot.h"
#include "fs/fs_entry.h"
#include "fs/fs_exclude.h"
#include "vault/vault_walk.h"

#include <string.h>

/* --- snapshots --- */

static bool has_tags(const struct snapshot *s, const struct ctl_list *tags)
{
    for (size_t i = 0; i < tags->count; i++) {
        bool found = false;
        for (size_t j = 0; j < s->tag_count; j++)
            found |= slice_equal(s->tags[j], slice_text(tags->items[i]));
        if (!found)
            return false;
    }
    return true;
}

static void say_snapshot(struct ctl *ctl, const struct vault_snapshot *s)
{
    char id[ID_TEXT_SIZE], when[CTL_TIME_SIZE], bytes[TEXT_SIZE_SIZE];
    char host[CTL_TEXT_SIZE], text[CTL_TEXT_SIZE];
    const struct snapshot *p = &s->snapshot;
    ctl_print(&ctl->out, "%.10s  %s  %s  %llu files, %s%s", id_format(&s->id, id),
              ctl_time(p->time_ns, when), ctl_text(p->host, host),
              (unsigned long long)p->totals.files, text_size(p->totals.bytes, bytes),
              p->totals.unreadable ? "  (some could not be read)" : "");
    for (size_t i = 0; i < p->path_count; i++)
        ctl_print(&ctl->out, "            %s", ctl_text(p->paths[i], text));
    for (size_t i = 0; i < p->tag_count; i++)
        ctl_print(&ctl->out, "            tag %s", ctl_text(p->tags[i], text));
}

static void on_snapshots(void *user, enum err e, const struct vault_snapshots *snapshots,
                         const struct errmsg *msg)
{
    struct ctl *ctl = user;
    struct json_line *line;
    size_t shown = 0;
    for (size_t i = 0; e == ERR_OK && i < snapshots->count; i++) {
        const struct vault_snapshot *s = &snapshots->list[i];
        if (!has_tags(&s->snapshot, &ctl->options.tags) ||
            (ctl->options.host && !slice_equal(s->snapshot.host, slice_text(ctl->options.host))))
            continue;
        shown++;
        if (!ctl->out.json) {
            say_snapshot(ctl, s);
        } else if (json_line_new("snapshot", &line) == ERR_OK) {
            ctl_snapshot_json(line, s);
            ctl_json(&ctl->out, line);
        }
    }
    if (e == ERR_OK)
        ctl_say(&ctl->out, "%zu snapshots", shown);
    ctl_done(ctl, e, msg);
}

int ctl_snapshots(struct ctl *ctl)
{
    const int code = ctl_open_reading(ctl);
    if (code != CTL_OK)
        return code;
    enum err e = vault_snapshots(ctl->vault, on_snapshots, ctl, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    return e == ERR_OK ? CTL_OK : ctl_failed(ctl, e);
}

/* --- ls, find: these print from the vault's lane, while the loop only waits --- */

struct look {
    struct ctl *ctl;
    struct vault_walk *running;
    struct fs_exclude *patterns; /* find */
    struct id last;              /* find: the snapshot whose heading was printed */
    uint64_t problems, lost;
    bool long_lines;
};

static void json_entry(struct json_line *line, const struct vault_walk_entry *entry)
{
    struct slice name = entry->path;
    for (size_t i = entry->path.size; i > 1; i--) {
        if (entry->path.data[i - 1] == '/') {
            name = slice_of(entry->path.data + i, entry->path.size - i);
            break;
        }
    }
    if (name.size > 1 && name.data[0] == '/')
        name = slice_of(name.data + 1, name.size - 1);
    json_line_text(line, "struct_type", "node");
    json_line_path(line, "name", name);
    json_line_text(line, "type", fs_type_name((enum fs_type)entry->type));
    json_line_path(line, "path", entry->path);
    json_line_u64(line, "uid", entry->uid);
    json_line_u64(line, "gid", entry->gid);
    if (entry->type == FS_FILE)
        json_line_u64(line, "size", entry->size);
    json_line_u64(line, "mode", entry->mode);
    json_line_time(line, "mtime", entry->mtime_ns);
    json_line_time(line, "ctime", entry->ctime_ns);
    json_line_u64(line, "inode", entry->inode);
    if (entry->type == FS_SYMLINK)
        json_line_path(line, "linktarget", entry->target);
}

static enum err print_entry(void *user, const struct vault_walk_entry *entry)
{
    struct look *look = user;
    struct ctl_output *out = &look->ctl->out;
    char path[CTL_TEXT_SIZE], target[CTL_TEXT_SIZE] = "", bytes[TEXT_SIZE_SIZE];
    char when[CTL_TIME_SIZE];
    struct json_line *line;
    if (out->json) {
        if (json_line_new("node", &line) != ERR_OK)
            return ERR_NOMEM;
        json_line_id(line, "snapshot", &entry->snapshot->id);
        json_entry(line, entry);
        ctl_json(out, line);
        return ferror(stdout) ? ERR_IO : ERR_OK;
    }
    if (entry->type == FS_SYMLINK)
        ctl_text(entry->target, target);
    if (look->long_lines)
        ctl_print(out, "%-8s %04o %6u %6u %10s  %s  %s%s%s",
                  fs_type_name((enum fs_type)entry->type), entry->mode, entry->uid, entry->gid,
                  text_size(entry->size, bytes), ctl_time(entry->mtime_ns, when),
                  ctl_text(entry->path, path), target[0] ? " -> " : "", target);
    else
        ctl_print(out, "%s", ctl_text(entry->path, path));
    return ferror(stdout) ? ERR_IO : ERR_OK;
}

static enum err print_match(void *user, const struct vault_walk_entry *entry)
{
    struct look *look = user;
    char id[ID_TEXT_SIZE], when[CTL_TIME_SIZE];
    if (!fs_exclude_matches(look->patterns, entry->path))
        return ERR_OK;
    if (!id_equal(&look->last, &entry->snapshot->id))
        ctl_say(&look->ctl->out, "snapshot %.10s of %s:", id_format(&entry->snapshot->id, id),
                ctl_time(entry->snapshot->snapshot.time_ns, when));
    look->last = entry->snapshot->id;
    return print_entry(user, entry);
}

static void print_problem(void *user, struct slice path, enum err e, const char *sentence)
{
    struct look *look = user;
    char name[CTL_TEXT_SIZE], text[CTL_TEXT_SIZE + ERRMSG_SIZE + 4];
    look->problems++;
    if (e == ERR_NOT_ENOUGH)
        look->lost++;
    snprintf(text, sizeof(text), "%s: %s", ctl_text(path, name), sentence);
    ctl_problem(&look->ctl->out, "look", path, text);
}

static void cancel(struct ctl *ctl)
{
    struct look *look = ctl->operation;
    if (!ctl->ended)
        vault_walk_cancel(look->running);
}

static int walk(struct look *look, struct vault_walk_options *options)
{
    struct ctl *ctl = look->ctl;
    const int code = ctl_open_swarm(ctl, VAULT_READ);
    if (code != CTL_OK)
        return code;
    ctl->operation = look;
    options->host = ctl->options.host;
    options->problem = print_problem;
    options->user = look;
    enum err e = vault_walk_start(ctl->vault, options, ctl_done, ctl, &look->running, &ctl->msg);
    if (e == ERR_OK) {
        ctl->cancel = cancel;
        e = ctl_wait(ctl);
        ctl->cancel = NULL;
    }
    if (e == ERR_NOT_ENOUGH && !ctl->interrupted)
        return ctl_fail(&ctl->out, CTL_NOT_ENOUGH, ctl->msg.text);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    if (look->lost > 0)
        return CTL_NOT_ENOUGH;
    return look->problems > 0 ? CTL_FAILED : CTL_OK;
}

int ctl_ls(struct ctl *ctl)
{
    struct look look = {.ctl = ctl, .long_lines = true};
    const struct ctl_list *arguments = &ctl->options.arguments;
    struct vault_walk_options options = {
        .snapshot = arguments->items[0],
        .path = arguments->count > 1 ? arguments->items[1] : NULL,
        .entry = print_entry,
    };
    return walk(&look, &options);
}

int ctl_find(struct ctl *ctl)
{
    struct look look = {.ctl = ctl};
    struct vault_walk_options options = {.entry = print_match};
    enum err e = fs_exclude_new(&look.patterns);
    for (size_t i = 0; e == ERR_OK && i < ctl->options.arguments.count; i++)
        e = fs_exclude_add(look.patterns, ctl->options.arguments.items[i], false, &ctl->msg);
    int code;
    if (e == ERR_OK)
        code = walk(&look, &options);
    else
        code = ctl_fail(&ctl->out, e == ERR_NOMEM ? CTL_FAILED : CTL_USAGE, ctl->msg.text);
    fs_exclude_free(look.patterns);
    return code;
}

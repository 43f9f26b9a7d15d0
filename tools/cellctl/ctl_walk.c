/*
 * cellctl ls, find, stats: what a walk over snapshots tells. All of it is printed from the vault's
 * lane, while the loop only waits.
 */
#include "base/idmap.h"
#include "base/text.h"
#include "crypto/sha256.h"
#include "ctl.h"
#include "ctl_node.h"
#include "fs/fs_entry.h"
#include "fs/fs_exclude.h"

#include <string.h>
#include <time.h>

struct look {
    struct ctl *ctl;
    struct browse_walk *running;
    uint64_t problems, lost;
    struct id snapshot; /* that the walk is in; zero before the first */
    /* find */
    struct fs_exclude *patterns;
    int64_t newest_ns, oldest_ns;
    uint64_t hits; /* in this snapshot */
    bool any;      /* in one before */
    /* stats */
    uint64_t snapshots, files, bytes, pieces;
    struct idmap links;    /* (device, inode) of this snapshot that were counted */
    struct idmap contents; /* of files that were counted */
    struct idmap named;    /* paths, and pieces of paths, that were counted */
    struct id path;        /* of the file whose pieces come now, hashed */
    bool counts;           /* its pieces are counted */
};

static enum err printed(void)
{
    return ferror(stdout) ? ERR_IO : ERR_OK;
}

static void on_problem(void *user, struct slice path, enum err e, const char *sentence)
{
    struct look *look = user;
    char name[CTL_TEXT_SIZE], text[CTL_TEXT_SIZE + ERRMSG_SIZE + 4];
    look->problems++;
    if (e == ERR_NOT_ENOUGH)
        look->lost++;
    snprintf(text, sizeof(text), "%s: %s", ctl_text(path, name), sentence);
    ctl_problem(&look->ctl->out, look->ctl->command->name, path, text);
}

static void cancel(struct ctl *ctl)
{
    struct look *look = ctl->operation;
    if (!ctl->ended)
        browse_walk_cancel(look->running);
}

/* One walk, of a vault that is open. */
static enum err walk(struct look *look, struct browse_walk_options *options)
{
    struct ctl *ctl = look->ctl;
    ctl->operation = look;
    options->host = ctl->options.host;
    options->tags = ctl->options.tags.items;
    options->tag_count = ctl->options.tags.count;
    options->problem = on_problem;
    options->user = look;
    enum err e = browse_walk_start(ctl->vault, options, ctl_done, ctl, &look->running, &ctl->msg);
    if (e == ERR_OK) {
        ctl->cancel = cancel;
        e = ctl_wait(ctl);
        ctl->cancel = NULL;
    }
    return e;
}

/* A walk over each of `list`, or (when it is empty) one over all snapshots. */
static enum err walk_each(struct look *look, struct browse_walk_options *options,
                          const struct ctl_list *list)
{
    enum err e = ERR_OK;
    options->snapshot = NULL;
    if (list->count == 0)
        return walk(look, options);
    for (size_t i = 0; e == ERR_OK && i < list->count; i++) {
        options->snapshot = list->items[i];
        e = walk(look, options);
    }
    return e;
}

static int ended(const struct look *look, enum err e)
{
    struct ctl *ctl = look->ctl;
    if (e == ERR_NOT_ENOUGH && !ctl->interrupted)
        return ctl_fail(&ctl->out, CTL_NOT_ENOUGH, ctl->msg.text);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    if (look->lost > 0)
        return CTL_NOT_ENOUGH;
    return look->problems > 0 ? CTL_FAILED : CTL_OK;
}

static bool is_root(const struct browse_walk_entry *entry)
{
    return entry->path.size <= 1;
}

/* --- ls --- */

static void say_paths(const struct slice *paths, size_t count, char *out, size_t size)
{
    char text[CTL_TEXT_SIZE];
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? " " : "",
                                 ctl_text(paths[i], text));
}

static enum err list_heading(struct look *look, const struct browse_walk_entry *entry)
{
    struct ctl *ctl = look->ctl;
    const struct vault_snapshot *s = entry->snapshot;
    char id[ID_TEXT_SIZE], when[CTL_TIME_SIZE], paths[CTL_TEXT_SIZE], filter[CTL_TEXT_SIZE] = "";
    struct json_line *line;
    if (id_equal(&look->snapshot, &s->id))
        return ERR_OK;
    look->snapshot = s->id;
    if (ctl->out.json) {
        if (json_line_new("snapshot", &line) != ERR_OK)
            return ERR_NOMEM;
        ctl_snapshot_json(line, s);
        json_line_text(line, "struct_type", "snapshot");
        ctl_json(&ctl->out, line);
        return printed();
    }
    say_paths(s->snapshot.paths, s->snapshot.path_count, paths, sizeof(paths));
    if (ctl->options.arguments.count > 1)
        ctl_text(slice_text(ctl->options.arguments.items[1]), filter);
    ctl_say(&ctl->out, "snapshot %.10s of [%s] filtered by [%s] at %s:", id_format(&s->id, id),
            paths, filter, ctl_time(s->snapshot.time_ns, when));
    return ERR_OK;
}

static enum err list_entry(void *user, const struct browse_walk_entry *entry)
{
    struct look *look = user;
    struct ctl *ctl = look->ctl;
    struct json_line *line;
    const enum err e = list_heading(look, entry);
    if (e != ERR_OK || is_root(entry))
        return e;
    if (!ctl->out.json) {
        ctl_node_print(&ctl->out, entry, ctl->options.long_listing);
        return printed();
    }
    if (json_line_new("node", &line) != ERR_OK)
        return ERR_NOMEM;
    json_line_text(line, "struct_type", "node");
    json_line_id(line, "snapshot", &entry->snapshot->id);
    ctl_node_json(line, entry);
    ctl_json(&ctl->out, line);
    return printed();
}

int ctl_ls(struct ctl *ctl)
{
    struct look look = {.ctl = ctl};
    const struct ctl_list *arguments = &ctl->options.arguments;
    struct browse_walk_options options = {
        .snapshot = arguments->items[0],
        .path = arguments->count > 1 ? arguments->items[1] : NULL,
        .shallow = arguments->count > 1 && !ctl->options.recursive,
        .entry = list_entry,
    };
    const int code = ctl_open_swarm(ctl, VAULT_READ);
    return code == CTL_OK ? ended(&look, walk(&look, &options)) : code;
}

/* --- find --- */

/* How many there were in the snapshot that is left. */
static enum err end_hits(struct look *look)
{
    struct json_line *line;
    const uint64_t hits = look->hits;
    look->hits = 0;
    if (hits == 0 || !look->ctl->out.json)
        return ERR_OK;
    if (json_line_new("hits", &line) != ERR_OK)
        return ERR_NOMEM;
    json_line_id(line, "snapshot", &look->snapshot);
    json_line_u64(line, "hits", hits);
    ctl_json(&look->ctl->out, line);
    return printed();
}

static void find_heading(struct look *look, const struct browse_walk_entry *entry)
{
    char id[ID_TEXT_SIZE], when[CTL_TIME_SIZE];
    if (look->hits++ > 0)
        return;
    ctl_say(&look->ctl->out, "%sFound matching entries in snapshot %.10s from %s",
            look->any ? "\n" : "", id_format(&entry->snapshot->id, id),
            ctl_time(entry->snapshot->snapshot.time_ns, when));
    look->any = true;
}

static enum err find_entry(void *user, const struct browse_walk_entry *entry)
{
    struct look *look = user;
    struct ctl *ctl = look->ctl;
    struct json_line *line;
    enum err e = ERR_OK;
    if (!id_equal(&look->snapshot, &entry->snapshot->id))
        e = end_hits(look);
    look->snapshot = entry->snapshot->id;
    if (e != ERR_OK || is_root(entry) || !fs_exclude_matches(look->patterns, entry->path) ||
        entry->mtime_ns > look->newest_ns || entry->mtime_ns < look->oldest_ns)
        return e;
    find_heading(look, entry);
    if (!ctl->out.json) {
        ctl_node_print(&ctl->out, entry, ctl->options.long_listing);
        return printed();
    }
    if (json_line_new("match", &line) != ERR_OK)
        return ERR_NOMEM;
    json_line_id(line, "snapshot", &entry->snapshot->id);
    ctl_node_json(line, entry);
    ctl_json(&ctl->out, line);
    return printed();
}

/* "2026-03-01", "2026-03-01 12:00", "2026-03-01 12:00:00", local time; or seconds with a zone as
   RFC 3339 has it. */
static enum err parse_time(const char *text, int64_t *out_ns, struct errmsg *msg)
{
    static const char *const formats[] = {"%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S",
                                          "%Y-%m-%d %H:%M", "%Y-%m-%d"};
    for (size_t i = 0; text && i < ARRAY_COUNT(formats); i++) {
        struct tm tm = {.tm_isdst = -1};
        const char *end = strptime(text, formats[i], &tm);
        if (!end || *end)
            continue;
        const long offset_s = tm.tm_gmtoff;
        const time_t s = i == 0 ? timegm(&tm) - offset_s : mktime(&tm);
        *out_ns = (int64_t)s * 1000000000;
        return ERR_OK;
    }
    return text ? err_say(msg, ERR_USAGE,
                          "'%s' is no time: write 2026-03-01, or 2026-03-01 12:00:00, or "
                          "2026-03-01T12:00:00+01:00",
                          text)
                : ERR_OK;
}

static enum err prepare_find(struct look *look)
{
    struct ctl *ctl = look->ctl;
    enum err e = fs_exclude_new(&look->patterns);
    for (size_t i = 0; e == ERR_OK && i < ctl->options.arguments.count; i++)
        e = fs_exclude_add(look->patterns, ctl->options.arguments.items[i],
                           ctl->options.ignore_case, &ctl->msg);
    look->newest_ns = INT64_MAX;
    look->oldest_ns = INT64_MIN;
    if (e == ERR_OK)
        e = parse_time(ctl->options.newest, &look->newest_ns, &ctl->msg);
    if (e == ERR_OK)
        e = parse_time(ctl->options.oldest, &look->oldest_ns, &ctl->msg);
    return e;
}

int ctl_find(struct ctl *ctl)
{
    struct look look = {.ctl = ctl};
    struct browse_walk_options options = {.entry = find_entry};
    enum err e = prepare_find(&look);
    int code;
    if (e != ERR_OK)
        code = ctl_fail(&ctl->out, e == ERR_NOMEM ? CTL_FAILED : CTL_USAGE, ctl->msg.text);
    else
        code = ctl_open_swarm(ctl, VAULT_READ);
    if (code == CTL_OK) {
        e = walk_each(&look, &options, &ctl->options.snapshots);
        if (e == ERR_OK)
            e = end_hits(&look);
        code = ended(&look, e);
    }
    fs_exclude_free(look.patterns);
    return code;
}

/* --- stats --- */

/* Everything that a restore of each snapshot would write; hard links once in each. */
static enum err count_entry(void *user, const struct browse_walk_entry *entry)
{
    struct look *look = user;
    if (!id_equal(&look->snapshot, &entry->snapshot->id)) {
        idmap_free(&look->links);
        look->links = IDMAP_INIT;
        look->snapshots++;
    }
    look->snapshot = entry->snapshot->id;
    if (is_root(entry))
        return ERR_OK;
    if (entry->links > 1 && entry->type != FS_DIRECTORY) {
        struct id key = {0};
        put_le64(key.bytes, entry->inode * 0x9e3779b97f4a7c15u);
        put_le64(key.bytes + 8, entry->device);
        if (idmap_get(&look->links, &key))
            return ERR_OK;
        const enum err e = idmap_set(&look->links, &key, look);
        if (e != ERR_OK)
            return e;
    }
    look->files++;
    if (entry->type == FS_FILE)
        look->bytes += entry->size;
    return ERR_OK;
}

/* So many things are remembered, and no more: 40 bytes each, in a table that is half empty. */
enum { STATS_REMEMBERED_MAX = 1 << 22 };

/* *out: it was not there. */
static enum err remember(struct idmap *map, const struct id *key, bool *out)
{
    *out = idmap_get(map, key) == NULL;
    if (!*out)
        return ERR_OK;
    return map->count < STATS_REMEMBERED_MAX ? idmap_set(map, key, map) : ERR_TOO_LARGE;
}

static void next_snapshot(struct look *look, const struct browse_walk_entry *entry)
{
    look->snapshots += !id_equal(&look->snapshot, &entry->snapshot->id);
    look->snapshot = entry->snapshot->id;
}

/* Each content once, however many files have it. */
static enum err count_contents(void *user, const struct browse_walk_entry *entry)
{
    struct look *look = user;
    next_snapshot(look, entry);
    look->counts = false;
    if (entry->type != FS_FILE)
        return ERR_OK;
    const enum err e = remember(&look->contents, &entry->content, &look->counts);
    look->files += look->counts;
    look->bytes += look->counts ? entry->size : 0;
    return e;
}

/* The pieces of each content once for each path: as restic has it, under the path that shows the
   content first. */
static enum err count_paths(void *user, const struct browse_walk_entry *entry)
{
    struct look *look = user;
    bool fresh;
    next_snapshot(look, entry);
    look->counts = false;
    if (entry->type != FS_FILE)
        return ERR_OK;
    enum err e = remember(&look->contents, &entry->content, &look->counts);
    if (e != ERR_OK || !look->counts || entry->size == 0)
        return e;
    sha256(entry->path, look->path.bytes);
    e = remember(&look->named, &look->path, &fresh);
    look->files += fresh;
    return e;
}

static enum err count_piece(void *user, const struct id *piece, uint64_t bytes)
{
    struct look *look = user;
    struct id pair;
    bool fresh;
    if (!look->counts)
        return ERR_OK;
    uint8_t both[2 * ID_SIZE];
    memcpy(both, look->path.bytes, ID_SIZE);
    memcpy(both + ID_SIZE, piece->bytes, ID_SIZE);
    sha256(slice_of(both, sizeof(both)), pair.bytes);
    const enum err e = remember(&look->named, &pair, &fresh);
    look->pieces += fresh;
    look->bytes += fresh ? bytes : 0;
    return e;
}

static void tell_stats(const struct look *look, const char *mode)
{
    struct ctl_output *out = &look->ctl->out;
    char bytes[TEXT_SIZE_SIZE];
    struct json_line *line;
    if (!out->json) {
        ctl_print(out, "Stats in %s mode:", mode);
        ctl_print(out, "     Snapshots processed:  %llu", (unsigned long long)look->snapshots);
        if (look->pieces > 0)
            ctl_print(out, "        Total Blob Count:  %llu", (unsigned long long)look->pieces);
        ctl_print(out, "        Total File Count:  %llu", (unsigned long long)look->files);
        ctl_print(out, "              Total Size:  %s", text_size(look->bytes, bytes));
    } else if (json_line_new("stats", &line) == ERR_OK) {
        json_line_text(line, "mode", mode);
        json_line_u64(line, "total_size", look->bytes);
        json_line_u64(line, "total_file_count", look->files);
        if (look->pieces > 0)
            json_line_u64(line, "total_blob_count", look->pieces);
        json_line_u64(line, "snapshots_count", look->snapshots);
        ctl_json(out, line);
    }
}

static int walk_stats(struct ctl *ctl, const char *mode, struct browse_walk_options options)
{
    struct look look = {.ctl = ctl};
    int code = ctl_open_swarm(ctl, VAULT_READ);
    if (code != CTL_OK)
        return code;
    const enum err e = walk_each(&look, &options, &ctl->options.arguments);
    code = e == ERR_TOO_LARGE ? ctl_fail(&ctl->out, CTL_FAILED,
                                         "there are too many different files to be told apart "
                                         "here: name fewer snapshots")
                              : ended(&look, e);
    if (e == ERR_OK)
        tell_stats(&look, mode);
    idmap_free(&look.links);
    idmap_free(&look.contents);
    idmap_free(&look.named);
    return code;
}

int ctl_stats(struct ctl *ctl)
{
    const char *mode = ctl->options.mode ? ctl->options.mode : "restore-size";
    if (!strcmp(mode, "restore-size"))
        return walk_stats(ctl, mode, (struct browse_walk_options){.entry = count_entry});
    if (!strcmp(mode, "files-by-contents"))
        return walk_stats(ctl, mode,
                          (struct browse_walk_options){.entry = count_contents, .contents = true});
    if (!strcmp(mode, "blobs-per-file"))
        return walk_stats(ctl, mode,
                          (struct browse_walk_options){
                              .entry = count_paths, .contents = true, .piece = count_piece});
    if (strcmp(mode, "raw-data") != 0)
        return ctl_fail(&ctl->out, CTL_USAGE,
                        "--mode takes restore-size, files-by-contents, blobs-per-file or raw-data");
    if (ctl->options.arguments.count > 0 || ctl->options.host || ctl->options.tags.count > 0)
        return ctl_fail(&ctl->out, CTL_USAGE,
                        "raw-data is of all snapshots together: they share their pieces");
    return ctl_stats_raw(ctl);
}

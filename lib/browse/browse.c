#include "browse/browse.h"

#include "base/limits.h"

/* --- content: refs by their number, or by the bytes that lie before them --- */

static enum err list_refs(struct transfer_cache *chunks, struct transfer_cache_op *op,
                          const struct snapshot_ref *list, struct slice *out, struct errmsg *msg)
{
    struct slice bytes;
    enum err e = transfer_cache_get(chunks, op, &list->id, &bytes, msg);
    if (e == ERR_OK && snapshot_list_decode(bytes, list->bytes, out) != ERR_OK)
        e = err_say(msg, ERR_CORRUPT, "a list of pieces is damaged");
    return e;
}

/* Ref number `index` below `refs`; takes the refs that it passes off `index`. ERR_END: not here. */
static enum err ref_at(struct transfer_cache *chunks, struct transfer_cache_op *op, unsigned depth,
                       struct slice refs, uint64_t *index, struct snapshot_ref *out,
                       struct errmsg *msg)
{
    const size_t count = snapshot_ref_count(refs);
    if (depth == 0) {
        if (*index >= count) {
            *index -= count;
            return ERR_END;
        }
        *out = snapshot_ref_at(refs, *index);
        return ERR_OK;
    }
    for (size_t i = 0; i < count; i++) {
        const struct snapshot_ref list = snapshot_ref_at(refs, i);
        struct slice below;
        enum err e = list_refs(chunks, op, &list, &below, msg);
        if (e == ERR_OK)
            e = ref_at(chunks, op, depth - 1, below, index, out, msg);
        if (e != ERR_END)
            return e;
    }
    return ERR_END;
}

/* --- directories --- */

struct node {
    struct id id; /* of its chunk */
    struct snapshot_node_reader reader;
};

static enum err node_at(struct transfer_cache *chunks, struct transfer_cache_op *op,
                        const struct snapshot_content *directory, uint64_t number, struct node *out,
                        struct errmsg *msg)
{
    struct snapshot_ref ref;
    struct slice bytes;
    if (number >= BROWSE_PLACE_NODES_MAX)
        return err_say(msg, ERR_TOO_LARGE, "the directory has too many entries");
    enum err e = directory->depth > SNAPSHOT_DEPTH_MAX ? ERR_FORMAT : ERR_OK;
    if (e == ERR_OK)
        e = ref_at(chunks, op, directory->depth, directory->refs, &number, &ref, msg);
    if (e == ERR_OK)
        e = transfer_cache_get(chunks, op, &ref.id, &bytes, msg);
    if (e != ERR_OK)
        return e;
    out->id = ref.id;
    if (snapshot_node_open(&out->reader, bytes) != ERR_OK)
        return err_say(msg, ERR_CORRUPT, "a directory's node is damaged");
    return ERR_OK;
}

enum err browse_entry(struct transfer_cache *chunks, struct transfer_cache_op *op,
                      const struct snapshot_content *directory, uint64_t *place, uint64_t *next,
                      struct snapshot_entry *out, struct slice *out_bytes, struct errmsg *msg)
{
    struct node node;
    uint64_t number = *place >> BROWSE_PLACE_OFFSET_BITS;
    size_t offset = (size_t)(*place & ((1u << BROWSE_PLACE_OFFSET_BITS) - 1));
    for (;; number++, offset = BROWSE_PLACE_FIRST) {
        enum err e = node_at(chunks, op, directory, number, &node, msg);
        if (e != ERR_OK)
            return e;
        node.reader.at = offset > BROWSE_PLACE_FIRST ? offset : BROWSE_PLACE_FIRST;
        *place = browse_place(number, node.reader.at);
        e = snapshot_node_next(&node.reader, out, out_bytes, msg);
        if (e == ERR_END)
            continue;
        *next = browse_place(number, node.reader.at);
        return e;
    }
}

static int compare(struct slice a, struct slice b)
{
    const size_t size = a.size < b.size ? a.size : b.size;
    const int order = size ? memcmp(a.data, b.data, size) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

/* Where a node's entries begin, le32 each: worked out once and kept beside the node, so that
   looking up every name of a directory one by one does not read all of it each time. */
static enum err offsets_of(struct transfer_cache *chunks, const struct node *node,
                           struct slice *out, struct errmsg *msg)
{
    struct buf *note = transfer_cache_note(chunks, &node->id);
    struct snapshot_node_reader reader = node->reader;
    struct snapshot_entry entry;
    if (!note)
        return err_say(msg, ERR_STATE, "a directory's node went away");
    enum err e = note->size > 0 ? ERR_END : ERR_OK;
    while (e == ERR_OK) {
        const size_t at = reader.at;
        e = snapshot_node_next(&reader, &entry, NULL, msg);
        if (e == ERR_OK)
            e = buf_append_le32(note, (uint32_t)at);
    }
    e = e == ERR_END ? ERR_OK : e;
    if (e != ERR_OK)
        buf_clear(note);
    *out = buf_slice(note);
    return e;
}

static enum err find_in_node(struct transfer_cache *chunks, const struct node *node,
                             uint64_t number, struct slice name, uint64_t *place,
                             struct snapshot_entry *out, struct slice *out_bytes,
                             struct errmsg *msg)
{
    struct slice offsets = slice_of(NULL, 0);
    enum err e = offsets_of(chunks, node, &offsets, msg);
    size_t first = 0, end = offsets.size / sizeof(uint32_t);
    while (e == ERR_OK && first < end) {
        const size_t middle = first + (end - first) / 2;
        struct snapshot_node_reader reader = node->reader;
        reader.at = get_le32(offsets.data + middle * sizeof(uint32_t));
        *place = browse_place(number, reader.at);
        e = snapshot_node_next(&reader, out, out_bytes, msg);
        if (e != ERR_OK)
            return e;
        const int order = compare(out->name, name);
        if (order == 0)
            return ERR_OK;
        if (order < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return e == ERR_OK ? ERR_END : e;
}

/* How many nodes there are; lists of refs are read for it, nodes are not. */
static enum err count_nodes(struct transfer_cache *chunks, struct transfer_cache_op *op,
                            const struct snapshot_content *directory, uint64_t *out,
                            struct errmsg *msg)
{
    struct snapshot_ref ref;
    uint64_t left = BROWSE_PLACE_NODES_MAX;
    const enum err e = ref_at(chunks, op, directory->depth, directory->refs, &left, &ref, msg);
    *out = BROWSE_PLACE_NODES_MAX - left;
    if (e == ERR_OK)
        return err_say(msg, ERR_TOO_LARGE, "the directory has too many entries");
    return e == ERR_END ? ERR_OK : e;
}

enum err browse_find(struct transfer_cache *chunks, struct transfer_cache_op *op,
                     const struct snapshot_content *directory, struct slice name, uint64_t *place,
                     struct snapshot_entry *out, struct slice *out_bytes, struct errmsg *msg)
{
    struct node node;
    uint64_t first = 0, end;
    if (directory->depth > SNAPSHOT_DEPTH_MAX)
        return err_say(msg, ERR_FORMAT, "a directory's entry is damaged");
    enum err e = count_nodes(chunks, op, directory, &end, msg);
    if (e == ERR_OK && end == 0)
        return ERR_END;
    while (e == ERR_OK && end - first > 1) { /* the last node whose first name is not behind it */
        const uint64_t middle = first + (end - first) / 2;
        e = node_at(chunks, op, directory, middle, &node, msg);
        if (e == ERR_OK)
            e = snapshot_node_next(&node.reader, out, NULL, msg);
        if (e != ERR_OK && e != ERR_END)
            return e;
        if (e == ERR_OK && compare(out->name, name) <= 0)
            first = middle;
        else
            end = middle;
        e = ERR_OK;
    }
    if (e == ERR_OK)
        e = node_at(chunks, op, directory, first, &node, msg);
    return e == ERR_OK ? find_in_node(chunks, &node, first, name, place, out, out_bytes, msg) : e;
}

/* --- files --- */

/* A read of [from, from + size) of a file's data (its runs joined); a NULL `op` only expects. */
struct reading {
    struct transfer_cache *chunks;
    struct transfer_cache_op *op;
    uint64_t from, size, done;
    uint8_t *out;
    bool busy;
    struct errmsg *msg;
};

static bool overlaps(const struct reading *r, uint64_t at, uint64_t bytes)
{
    return at < r->from + r->size && at + bytes > r->from;
}

static enum err read_chunk(struct reading *r, const struct snapshot_ref *ref, uint64_t at)
{
    struct slice bytes;
    if (!r->op) {
        transfer_cache_expect(r->chunks, &ref->id);
        return ERR_OK;
    }
    const enum err e = transfer_cache_get(r->chunks, r->op, &ref->id, &bytes, r->msg);
    if (e == ERR_BUSY)
        r->busy = true; /* the rest is asked for too */
    if (e != ERR_OK)
        return e == ERR_BUSY ? ERR_OK : e;
    if (bytes.size != ref->bytes)
        return err_say(r->msg, ERR_CORRUPT, "a piece has another size than its file says");
    const uint64_t first = at > r->from ? at : r->from;
    const uint64_t end = at + bytes.size < r->from + r->size ? at + bytes.size : r->from + r->size;
    memcpy(r->out + (first - r->from), bytes.data + (first - at), (size_t)(end - first));
    r->done += end - first;
    return ERR_OK;
}

/* `at`: data bytes before `refs`. */
static enum err read_refs(struct reading *r, unsigned depth, struct slice refs, uint64_t at)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < snapshot_ref_count(refs); i++) {
        const struct snapshot_ref ref = snapshot_ref_at(refs, i);
        struct slice below, bytes;
        if (at >= r->from + r->size)
            break;
        if (overlaps(r, at, ref.bytes)) {
            if (depth == 0) {
                e = read_chunk(r, &ref, at);
            } else if (r->op) {
                e = list_refs(r->chunks, r->op, &ref, &below, r->msg);
                if (e == ERR_OK)
                    e = read_refs(r, depth - 1, below, at);
                else if (e == ERR_BUSY) {
                    r->busy = true;
                    e = ERR_OK;
                }
            } else if (transfer_cache_have(r->chunks, &ref.id, &bytes) &&
                       snapshot_list_decode(bytes, ref.bytes, &below) == ERR_OK) {
                e = read_refs(r, depth - 1, below, at);
            }
        }
        at += ref.bytes;
    }
    return e;
}

static enum err read_data(struct reading *r, const struct snapshot_entry *file)
{
    if (file->content.depth > SNAPSHOT_DEPTH_MAX)
        return err_say(r->msg, ERR_FORMAT, "a file's entry is damaged");
    return read_refs(r, file->content.depth, file->content.refs, 0);
}

/* The file's runs of data; one that is all of it when it has no holes. */
struct runs {
    struct slice bytes;
    size_t count;
    uint64_t whole_size;
    bool sparse;
};

static enum err runs_get(struct transfer_cache *chunks, struct transfer_cache_op *op,
                         const struct snapshot_entry *file, struct runs *out, struct errmsg *msg)
{
    uint64_t data;
    *out = (struct runs){.bytes = file->runs, .count = 1, .whole_size = file->size};
    if (!file->sparse)
        return ERR_OK;
    enum err e = ERR_OK;
    if (file->runs_ref.bytes > 0)
        e = transfer_cache_get(chunks, op, &file->runs_ref.id, &out->bytes, msg);
    if (e == ERR_OK && snapshot_runs_check(out->bytes, file->size, &data) != ERR_OK)
        e = err_say(msg, ERR_CORRUPT, "a sparse file's runs are damaged");
    out->sparse = true;
    out->count = out->bytes.size / SNAPSHOT_RUN_SIZE;
    return e;
}

static void run_at(const struct runs *runs, size_t index, uint64_t *offset, uint64_t *size)
{
    *offset = 0;
    *size = runs->whole_size;
    if (runs->sparse)
        snapshot_run_at(runs->bytes, index, offset, size);
}

enum err browse_read(struct transfer_cache *chunks, struct transfer_cache_op *op,
                     const struct snapshot_entry *file, uint64_t offset, uint8_t *out, size_t size,
                     size_t *got, struct errmsg *msg)
{
    struct runs runs;
    bool busy = false;
    uint64_t data_at = 0;
    *got = 0;
    if (offset >= file->size || size == 0)
        return ERR_OK;
    if (size > file->size - offset)
        size = (size_t)(file->size - offset);
    enum err e = runs_get(chunks, op, file, &runs, msg);
    if (e == ERR_OK && runs.sparse)
        memset(out, 0, size);
    for (size_t i = 0; e == ERR_OK && i < runs.count; i++) {
        uint64_t start, length;
        run_at(&runs, i, &start, &length);
        if (start >= offset + size)
            break;
        if (start + length > offset) {
            const uint64_t first = start > offset ? start : offset;
            const uint64_t end = start + length < offset + size ? start + length : offset + size;
            struct reading reading = {.chunks = chunks,
                                      .op = op,
                                      .from = data_at + (first - start),
                                      .size = end - first,
                                      .out = out + (first - offset),
                                      .msg = msg};
            e = read_data(&reading, file);
            if (e == ERR_OK && !reading.busy && reading.done != reading.size)
                e = err_say(msg, ERR_CORRUPT, "a file's pieces are fewer than its size says");
            busy |= reading.busy;
        }
        data_at += length;
    }
    if (e == ERR_OK && busy)
        return ERR_BUSY;
    *got = size;
    return e;
}

enum err browse_seek(struct transfer_cache *chunks, struct transfer_cache_op *op,
                     const struct snapshot_entry *file, uint64_t offset, bool hole, uint64_t *out,
                     struct errmsg *msg)
{
    struct runs runs;
    if (offset >= file->size)
        return ERR_END;
    const enum err e = runs_get(chunks, op, file, &runs, msg);
    if (e != ERR_OK)
        return e;
    *out = offset;
    for (size_t i = 0; i < runs.count; i++) {
        uint64_t start, size;
        run_at(&runs, i, &start, &size);
        if (start + size <= *out)
            continue;
        if (hole && start > *out)
            return ERR_OK;
        if (hole) {
            *out = start + size;
            continue;
        }
        *out = start > offset ? start : offset;
        return ERR_OK;
    }
    if (!hole)
        return ERR_END;
    *out = *out > file->size ? file->size : *out;
    return ERR_OK;
}

void browse_expect(struct transfer_cache *chunks, const struct snapshot_entry *file,
                   uint64_t offset, uint64_t size)
{
    struct reading reading = {.chunks = chunks, .from = offset, .size = size};
    if (file->sparse || offset >= file->size)
        return;
    if (size > file->size - offset)
        reading.size = file->size - offset;
    err_ignore(read_data(&reading, file));
}

#include "snapshot/snapshot_entry.h"

#include "cbor/cbor_write.h"

enum key {
    KEY_NAME,
    KEY_TYPE,
    KEY_MODE,
    KEY_UID,
    KEY_GID,
    KEY_USER,
    KEY_GROUP,
    KEY_SIZE,
    KEY_MTIME_S,
    KEY_MTIME_NS,
    KEY_CTIME_S,
    KEY_CTIME_NS,
    KEY_INODE,
    KEY_DEVICE,
    KEY_LINKS,
    KEY_RDEV_MAJOR,
    KEY_RDEV_MINOR,
    KEY_INODE_FLAGS,
    KEY_TARGET,
    KEY_XATTRS,
    KEY_REFS,
    KEY_DEPTH,
    KEY_RUNS,
    KEY_RUNS_REF, /* 23: the last that takes one byte */
};

enum {
    NAME_MAX_BYTES = 255,
    USER_MAX_BYTES = 255,
    TARGET_MAX_BYTES = 65535,
    XATTR_MAX_BYTES = 65536
};

static void write_number(struct cbor_writer *w, enum key key, uint64_t value)
{
    if (value == 0)
        return;
    cbor_write_key(w, key);
    cbor_write_u64(w, value);
}

static void write_bytes(struct cbor_writer *w, enum key key, struct slice bytes)
{
    if (bytes.size == 0)
        return;
    cbor_write_key(w, key);
    cbor_write_bytes(w, bytes);
}

static void write_time(struct cbor_writer *w, enum key key, int64_t s, uint32_t ns)
{
    cbor_write_key(w, key);
    cbor_write_i64(w, s);
    write_number(w, key + 1, ns);
}

static void write_content(struct cbor_writer *w, const struct snapshot_entry *entry)
{
    write_bytes(w, KEY_REFS, entry->content.refs);
    write_number(w, KEY_DEPTH, entry->content.depth);
    if (!entry->sparse)
        return;
    if (entry->runs_ref.bytes == 0) {
        cbor_write_key(w, KEY_RUNS); /* also when it is all hole */
        cbor_write_bytes(w, entry->runs);
        return;
    }
    uint8_t ref[SNAPSHOT_REF_SIZE];
    memcpy(ref, entry->runs_ref.id.bytes, ID_SIZE);
    put_le64(ref + ID_SIZE, entry->runs_ref.bytes);
    write_bytes(w, KEY_RUNS_REF, slice_of(ref, sizeof(ref)));
}

enum err snapshot_entry_encode(const struct snapshot_entry *entry, struct buf *out)
{
    const size_t before = out->size;
    struct cbor_writer writer = cbor_write_into(out), *w = &writer;
    cbor_write_map(w);
    cbor_write_key(w, KEY_NAME), cbor_write_bytes(w, entry->name);
    cbor_write_key(w, KEY_TYPE), cbor_write_u64(w, entry->type);
    cbor_write_key(w, KEY_MODE), cbor_write_u64(w, entry->mode);
    cbor_write_key(w, KEY_UID), cbor_write_u64(w, entry->uid);
    cbor_write_key(w, KEY_GID), cbor_write_u64(w, entry->gid);
    write_bytes(w, KEY_USER, entry->user);
    write_bytes(w, KEY_GROUP, entry->group);
    write_number(w, KEY_SIZE, entry->size);
    write_time(w, KEY_MTIME_S, entry->mtime_s, entry->mtime_ns);
    write_time(w, KEY_CTIME_S, entry->ctime_s, entry->ctime_ns);
    write_number(w, KEY_INODE, entry->inode);
    if (entry->links > 1) {
        write_number(w, KEY_DEVICE, entry->device);
        write_number(w, KEY_LINKS, entry->links);
    }
    write_number(w, KEY_RDEV_MAJOR, entry->rdev_major);
    write_number(w, KEY_RDEV_MINOR, entry->rdev_minor);
    write_number(w, KEY_INODE_FLAGS, entry->inode_flags);
    write_bytes(w, KEY_TARGET, entry->target);
    if (entry->xattrs.size > 0) {
        cbor_write_key(w, KEY_XATTRS);
        cbor_write_any(w, entry->xattrs);
    }
    write_content(w, entry);
    cbor_write_end(w);
    enum err e = cbor_write_finish(w);
    if (e == ERR_OK && out->size - before > SNAPSHOT_ENTRY_BYTES_MAX)
        e = ERR_TOO_LARGE;
    if (e != ERR_OK)
        out->size = before;
    return e;
}

static uint64_t read_number(struct cbor_reader *r, enum key key, uint64_t value_max)
{
    if (!cbor_read_key_optional(r, key))
        return 0;
    const uint64_t value = cbor_read_u64(r, value_max);
    if (value == 0)
        cbor_read_refuse(r, ERR_FORMAT); /* zero is left out */
    return value;
}

static struct slice read_bytes(struct cbor_reader *r, enum key key, size_t size_max)
{
    if (!cbor_read_key_optional(r, key))
        return slice_of(NULL, 0);
    const struct slice bytes = cbor_read_bytes(r, size_max);
    if (bytes.size == 0)
        cbor_read_refuse(r, ERR_FORMAT);
    return bytes;
}

static void read_time(struct cbor_reader *r, enum key key, int64_t *s, uint32_t *ns)
{
    cbor_read_key(r, key);
    *s = cbor_read_i64(r);
    *ns = (uint32_t)read_number(r, key + 1, 999999999);
}

/* The array's bytes, after a look at every one of them. */
static struct slice read_xattrs(struct cbor_reader *r)
{
    if (!cbor_read_key_optional(r, KEY_XATTRS))
        return slice_of(NULL, 0);
    const struct slice item = cbor_read_any(r);
    struct cbor_reader inner = cbor_read_over(item);
    const size_t count = cbor_read_array(&inner, 2 * SNAPSHOT_XATTRS_MAX);
    for (size_t i = 0; i < count / 2; i++) {
        const struct slice name = cbor_read_bytes(&inner, NAME_MAX_BYTES);
        const struct slice value = cbor_read_bytes(&inner, XATTR_MAX_BYTES);
        if (name.size == 0 || memchr(name.data, 0, name.size) || value.size > XATTR_MAX_BYTES)
            cbor_read_refuse(&inner, ERR_FORMAT);
    }
    if (r->e == ERR_OK)
        cbor_read_end(&inner);
    if (count == 0 || count % 2 != 0 || inner.e != ERR_OK)
        cbor_read_refuse(r, ERR_FORMAT);
    return item;
}

static void read_content(struct cbor_reader *r, struct snapshot_entry *out)
{
    out->content.refs = read_bytes(r, KEY_REFS, SNAPSHOT_INLINE_REFS * SNAPSHOT_REF_SIZE);
    out->content.depth = (unsigned)read_number(r, KEY_DEPTH, SNAPSHOT_DEPTH_MAX);
    if (cbor_read_key_optional(r, KEY_RUNS)) {
        out->sparse = true;
        out->runs = cbor_read_bytes(r, SNAPSHOT_INLINE_RUNS * SNAPSHOT_RUN_SIZE);
    }
    const struct slice ref = read_bytes(r, KEY_RUNS_REF, SNAPSHOT_REF_SIZE);
    if (ref.size == SNAPSHOT_REF_SIZE) {
        if (out->sparse)
            cbor_read_refuse(r, ERR_FORMAT);
        out->sparse = true;
        out->runs_ref = snapshot_ref_at(ref, 0);
        if (out->runs_ref.bytes == 0 || out->runs_ref.bytes > SNAPSHOT_RUNS_MAX * SNAPSHOT_RUN_SIZE)
            cbor_read_refuse(r, ERR_FORMAT);
    } else if (ref.size != 0) {
        cbor_read_refuse(r, ERR_FORMAT);
    }
}

static bool name_possible(struct slice name)
{
    if (name.size == 0)
        return true;
    return !memchr(name.data, '/', name.size) && !memchr(name.data, 0, name.size);
}

/* What the fields say together. */
static bool makes_sense(const struct snapshot_entry *entry)
{
    uint64_t bytes, data = entry->size;
    const struct slice refs = entry->content.refs;
    if (!name_possible(entry->name) || entry->type < 1 || entry->type > 7 || entry->type == 5)
        return false;
    if (refs.size % SNAPSHOT_REF_SIZE != 0 || snapshot_refs_bytes(refs, &bytes) != ERR_OK)
        return false;
    if (refs.size == 0 && entry->content.depth != 0)
        return false;
    if (entry->type == SNAPSHOT_TYPE_DIRECTORY)
        return !entry->sparse && entry->target.size == 0;
    if (entry->type != SNAPSHOT_TYPE_FILE)
        return !entry->sparse && refs.size == 0;
    if (entry->sparse && entry->runs_ref.bytes == 0 &&
        snapshot_runs_check(entry->runs, entry->size, &data) != ERR_OK)
        return false;
    if (entry->runs_ref.bytes != 0)
        return bytes <= entry->size && entry->target.size == 0;
    return bytes == data && entry->target.size == 0;
}

static void read_entry(struct cbor_reader *r, struct snapshot_entry *out)
{
    *out = (struct snapshot_entry){0};
    cbor_read_map(r);
    cbor_read_key(r, KEY_NAME), out->name = cbor_read_bytes(r, NAME_MAX_BYTES);
    cbor_read_key(r, KEY_TYPE), out->type = (uint8_t)cbor_read_u64(r, UINT8_MAX);
    cbor_read_key(r, KEY_MODE), out->mode = cbor_read_u32(r, 07777);
    cbor_read_key(r, KEY_UID), out->uid = cbor_read_u32(r, UINT32_MAX);
    cbor_read_key(r, KEY_GID), out->gid = cbor_read_u32(r, UINT32_MAX);
    out->user = read_bytes(r, KEY_USER, USER_MAX_BYTES);
    out->group = read_bytes(r, KEY_GROUP, USER_MAX_BYTES);
    out->size = read_number(r, KEY_SIZE, INT64_MAX);
    read_time(r, KEY_MTIME_S, &out->mtime_s, &out->mtime_ns);
    read_time(r, KEY_CTIME_S, &out->ctime_s, &out->ctime_ns);
    out->inode = read_number(r, KEY_INODE, UINT64_MAX);
    out->device = read_number(r, KEY_DEVICE, UINT64_MAX);
    out->links = (uint32_t)read_number(r, KEY_LINKS, UINT32_MAX);
    if (out->links == 1 || (out->links == 0 && out->device != 0))
        cbor_read_refuse(r, ERR_FORMAT);
    out->links = out->links ? out->links : 1;
    out->rdev_major = (uint32_t)read_number(r, KEY_RDEV_MAJOR, UINT32_MAX);
    out->rdev_minor = (uint32_t)read_number(r, KEY_RDEV_MINOR, UINT32_MAX);
    out->inode_flags = (uint32_t)read_number(r, KEY_INODE_FLAGS, UINT32_MAX);
    out->target = read_bytes(r, KEY_TARGET, TARGET_MAX_BYTES);
    out->xattrs = read_xattrs(r);
    read_content(r, out);
    cbor_read_end(r);
    if (r->e == ERR_OK && !makes_sense(out))
        cbor_read_refuse(r, ERR_FORMAT);
}

enum err snapshot_entry_decode(struct slice bytes, struct snapshot_entry *out, struct errmsg *msg)
{
    struct cbor_reader r = cbor_read_over(bytes);
    read_entry(&r, out);
    return cbor_read_finish(&r, msg, "an entry of a directory");
}

enum err snapshot_xattrs_encode(const struct snapshot_xattr *list, size_t count, struct buf *out)
{
    buf_clear(out);
    if (count == 0)
        return ERR_OK;
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_array(&w);
    for (size_t i = 0; i < count; i++) {
        cbor_write_bytes(&w, list[i].name);
        cbor_write_bytes(&w, list[i].value);
    }
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

void snapshot_xattrs_open(struct snapshot_xattrs *xattrs, struct slice bytes)
{
    *xattrs = (struct snapshot_xattrs){.reader = cbor_read_over(bytes)};
    if (bytes.size > 0)
        xattrs->left = cbor_read_array(&xattrs->reader, 2 * SNAPSHOT_XATTRS_MAX) / 2;
}

bool snapshot_xattrs_next(struct snapshot_xattrs *xattrs, struct snapshot_xattr *out)
{
    if (xattrs->left == 0)
        return false;
    xattrs->left--;
    out->name = cbor_read_bytes(&xattrs->reader, NAME_MAX_BYTES);
    out->value = cbor_read_bytes(&xattrs->reader, XATTR_MAX_BYTES);
    return xattrs->reader.e == ERR_OK;
}

enum err snapshot_run_append(struct buf *runs, uint64_t offset, uint64_t size)
{
    uint8_t bytes[SNAPSHOT_RUN_SIZE];
    put_le64(bytes, offset);
    put_le64(bytes + 8, size);
    return buf_append(runs, bytes, sizeof(bytes));
}

void snapshot_run_at(struct slice runs, size_t index, uint64_t *offset, uint64_t *size)
{
    *offset = get_le64(runs.data + index * SNAPSHOT_RUN_SIZE);
    *size = get_le64(runs.data + index * SNAPSHOT_RUN_SIZE + 8);
}

enum err snapshot_runs_check(struct slice runs, uint64_t size, uint64_t *out_data_bytes)
{
    uint64_t end = 0, data = 0;
    if (runs.size % SNAPSHOT_RUN_SIZE != 0 || runs.size / SNAPSHOT_RUN_SIZE > SNAPSHOT_RUNS_MAX)
        return ERR_FORMAT;
    for (size_t i = 0; i < runs.size / SNAPSHOT_RUN_SIZE; i++) {
        uint64_t at, run;
        snapshot_run_at(runs, i, &at, &run);
        if (run == 0 || at > size || run > size - at || (i > 0 && at <= end))
            return ERR_FORMAT;
        end = at + run;
        data += run;
    }
    *out_data_bytes = data;
    return ERR_OK;
}

enum err snapshot_node_start(struct buf *node)
{
    buf_clear(node);
    return buf_append_u8(node, SNAPSHOT_NODE_VERSION); /* also the CBOR item 1 */
}

/* FNV-1a: where a large directory is cut depends on names alone, so an added file moves no other
 * cut. */
bool snapshot_node_full(size_t node_bytes, struct slice last_name)
{
    if (node_bytes < SNAPSHOT_NODE_CUT_MIN_BYTES)
        return false;
    if (node_bytes >= SNAPSHOT_NODE_CUT_MAX_BYTES)
        return true;
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < last_name.size; i++)
        hash = (hash ^ last_name.data[i]) * 16777619u;
    return (hash & 0x3ff) == 0;
}

enum err snapshot_node_open(struct snapshot_node_reader *reader, struct slice bytes)
{
    *reader = (struct snapshot_node_reader){.bytes = bytes, .at = 1};
    if (bytes.size == 0 || bytes.size > SNAPSHOT_NODE_BYTES_MAX)
        return ERR_FORMAT;
    return bytes.data[0] == SNAPSHOT_NODE_VERSION ? ERR_OK : ERR_VERSION;
}

static bool comes_behind(struct slice name, struct slice before)
{
    const size_t size = name.size < before.size ? name.size : before.size;
    const int order = size ? memcmp(name.data, before.data, size) : 0;
    return order != 0 ? order > 0 : name.size > before.size;
}

enum err snapshot_node_next(struct snapshot_node_reader *reader, struct snapshot_entry *out,
                            struct slice *out_bytes, struct errmsg *msg)
{
    if (reader->at >= reader->bytes.size)
        return ERR_END;
    struct cbor_reader r =
        cbor_read_over(slice_of(reader->bytes.data + reader->at, reader->bytes.size - reader->at));
    read_entry(&r, out);
    if (r.e != ERR_OK)
        return err_say(msg, r.e, "a directory's entry near byte %zu is %s", reader->at + r.c.at,
                       err_words(r.e));
    if (out->name.size == 0 || !comes_behind(out->name, reader->last_name))
        return err_say(msg, ERR_FORMAT, "a directory's entries are not in order");
    if (out_bytes)
        *out_bytes = slice_of(reader->bytes.data + reader->at, r.c.at);
    reader->last_name = out->name;
    reader->at += r.c.at;
    return ERR_OK;
}

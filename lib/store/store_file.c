#include "store/store_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { AREA_HASH_AT = 48 };

static void shard_name(const struct id *segment, unsigned index, char *out, size_t size,
                       const char *format)
{
    char name[ID_TEXT_SIZE];
    id_format(segment, name);
    snprintf(out, size, format, name[0], name, index);
}

void store_shard_path(const struct id *segment, unsigned index, char out[STORE_PATH_SIZE])
{
    shard_name(segment, index, out, STORE_PATH_SIZE, "shards/%c/%s.%u");
}

void store_shard_folder(const struct id *segment, char out[STORE_PATH_SIZE])
{
    char name[ID_TEXT_SIZE];
    id_format(segment, name);
    snprintf(out, STORE_PATH_SIZE, "shards/%c", name[0]);
}

void store_quarantine_path(const struct id *segment, unsigned index, char out[STORE_PATH_SIZE])
{
    char name[ID_TEXT_SIZE];
    id_format(segment, name);
    snprintf(out, STORE_PATH_SIZE, "quarantine/%s.%u", name, index);
}

enum err store_shard_name_parse(const char *name, struct id *segment, unsigned *index)
{
    const char *dot = strchr(name, '.');
    uint64_t number;
    if (!dot || dot - name != ID_TEXT_LENGTH)
        return ERR_FORMAT;
    if (text_parse_u64(dot + 1, LIMIT_SHARDS - 1, &number) != ERR_OK)
        return ERR_FORMAT;
    *index = (unsigned)number;
    if (id_parse(name, ID_TEXT_LENGTH, segment) != ERR_OK)
        return ERR_FORMAT;
    /* only the name that we write: upper case and "007" would be files that no path leads to */
    char path[STORE_PATH_SIZE];
    store_shard_path(segment, *index, path);
    return strcmp(strrchr(path, '/') + 1, name) == 0 ? ERR_OK : ERR_FORMAT;
}

size_t store_area_bytes(size_t header_bytes, size_t record_bytes, uint32_t leaf_count)
{
    const size_t size =
        STORE_AREA_FIXED_SIZE + header_bytes + record_bytes + (size_t)leaf_count * SHA256_SIZE;
    return (size + STORE_AREA_UNIT - 1) / STORE_AREA_UNIT * STORE_AREA_UNIT;
}

/* Reads the fixed fields; the rest of the area is not there yet. */
static enum err read_fixed(const uint8_t *fixed, struct store_file *file, uint32_t *shard_bytes)
{
    struct cursor c = cursor_over(slice_of(fixed, STORE_AREA_FIXED_SIZE));
    struct slice magic;
    uint8_t version, index;
    uint16_t zero16;
    uint32_t area, header, record, leaves, zero32;
    if (cursor_take(&c, 4, &magic) || cursor_u8(&c, &version) || cursor_u8(&c, &index) ||
        cursor_le16(&c, &zero16) || cursor_le32(&c, &area) || cursor_le32(&c, &header) ||
        cursor_le32(&c, &record) || cursor_le32(&c, &leaves) || cursor_le32(&c, shard_bytes) ||
        cursor_le32(&c, &zero32) || cursor_copy(&c, file->grant, sizeof(file->grant)))
        return ERR_FORMAT;
    if (memcmp(magic.data, "CLSH", 4) != 0 || zero16 || zero32)
        return ERR_FORMAT;
    if (version != 1)
        return ERR_VERSION;
    if (header > SEGMENT_HEADER_SIZE_MAX || record > STORE_RECORD_MAX ||
        *shard_bytes > LIMIT_SHARD_BYTES || *shard_bytes == 0 ||
        leaves != segment_leaf_count(*shard_bytes) ||
        area != store_area_bytes(header, record, leaves))
        return ERR_FORMAT;
    file->index = index;
    file->header_bytes = header;
    file->record_bytes = record;
    file->leaf_count = leaves;
    file->area_bytes = area;
    return ERR_OK;
}

/* The area's own hash, then: is the segment header in it the one that `segment` names? */
static enum err check_area(struct store_file *file, const struct id *segment, unsigned index,
                           struct sha256 *hash, struct errmsg *msg)
{
    static const uint8_t zeros[SHA256_SIZE];
    uint8_t got[SHA256_SIZE];
    sha256_start(hash);
    sha256_add(hash, slice_of(file->area, AREA_HASH_AT));
    sha256_add(hash, slice_of(zeros, sizeof(zeros)));
    sha256_add(hash, slice_of(file->area + STORE_AREA_FIXED_SIZE,
                              file->area_bytes - STORE_AREA_FIXED_SIZE));
    sha256_finish(hash, got);
    if (memcmp(got, file->area + AREA_HASH_AT, sizeof(got)) != 0)
        return err_say(msg, ERR_CORRUPT, "the file's header is damaged");
    struct segment_header header;
    struct id id;
    const enum err e = segment_header_decode(store_file_header(file), &header, msg);
    if (e != ERR_OK)
        return e;
    segment_header_id(store_file_header(file), &id);
    if (!id_equal(&id, segment) || file->index != index || index >= (unsigned)header.k + header.m ||
        header.shard_bytes != file->shard_bytes)
        return err_say(msg, ERR_CORRUPT, "the file holds another shard than its name says");
    return ERR_OK;
}

static enum err read_all(struct disk_file *file, uint64_t offset, void *out, size_t size,
                         struct errmsg *msg)
{
    size_t got;
    const enum err e = disk_read_at(file, offset, out, size, &got, msg);
    if (e == ERR_OK && got != size)
        return err_say(msg, ERR_CORRUPT, "the file ends too early");
    return e;
}

static uint8_t *area_new(size_t size)
{
    return aligned_alloc(DISK_UNCACHED_ALIGN, size);
}

/* In one read, unless the area is larger than is usual. */
static enum err read_area(struct store_file *file, const char *path, struct errmsg *msg)
{
    enum { USUAL_BYTES = 2 * STORE_AREA_UNIT };
    size_t got;
    file->area = area_new(USUAL_BYTES);
    if (!file->area)
        return err_say(msg, ERR_NOMEM, "out of memory for a shard file");
    enum err e = disk_read_at(file->file, 0, file->area, USUAL_BYTES, &got, msg);
    if (e == ERR_OK && got < STORE_AREA_FIXED_SIZE)
        e = err_say(msg, ERR_CORRUPT, "the file ends too early");
    if (e == ERR_OK && (e = read_fixed(file->area, file, &file->shard_bytes)) != ERR_OK)
        err_say(msg, e, "%s is not a shard file of ours", path);
    if (e != ERR_OK || file->area_bytes <= got)
        return e;
    free(file->area);
    file->area = area_new(file->area_bytes);
    if (!file->area)
        return err_say(msg, ERR_NOMEM, "out of memory for a shard file");
    return read_all(file->file, 0, file->area, file->area_bytes, msg);
}

enum err store_file_open_path(struct store *store, const char *path, const struct id *segment,
                              unsigned index, struct sha256 *hash, struct store_file **out,
                              struct errmsg *msg)
{
    *out = NULL;
    struct store_file *file = calloc(1, sizeof(*file));
    if (!file)
        return err_say(msg, ERR_NOMEM, "out of memory for a shard file");
    enum err e = disk_open(store->options.disk, path, DISK_READ | DISK_UNCACHED, &file->file, msg);
    if (e == ERR_OK)
        e = read_area(file, path, msg);
    if (e == ERR_OK)
        e = check_area(file, segment, index, hash, msg);
    if (e != ERR_OK) {
        store_file_close(file);
        return err_wrap(msg, e, "cannot use the shard file %s", path);
    }
    *out = file;
    return ERR_OK;
}

enum err store_file_open(struct store *store, const struct id *segment, unsigned index,
                         struct store_file **out, struct errmsg *msg)
{
    char path[STORE_PATH_SIZE];
    struct sha256 *hash;
    *out = NULL;
    enum err e = sha256_new(&hash);
    if (e != ERR_OK)
        return err_say(msg, e, "out of memory for a shard file");
    store_shard_path(segment, index, path);
    e = store_file_open_path(store, path, segment, index, hash, out, msg);
    sha256_free(hash);
    if (e == ERR_NOT_FOUND && store_present(store, NULL) != ERR_OK)
        e = store_present(store, msg);
    return e;
}

void store_file_close(struct store_file *file)
{
    if (!file)
        return;
    disk_close(file->file);
    free(file->area);
    free(file);
}

struct slice store_file_header(const struct store_file *file)
{
    return slice_of(file->area + STORE_AREA_FIXED_SIZE, file->header_bytes);
}

struct slice store_file_record(const struct store_file *file)
{
    return slice_of(file->area + STORE_AREA_FIXED_SIZE + file->header_bytes, file->record_bytes);
}

const uint8_t *store_file_leaves(const struct store_file *file)
{
    return file->area + STORE_AREA_FIXED_SIZE + file->header_bytes + file->record_bytes;
}

uint32_t store_file_leaf_count(const struct store_file *file)
{
    return file->leaf_count;
}

uint32_t store_file_bytes(const struct store_file *file)
{
    return file->shard_bytes;
}

enum err store_file_read(struct store_file *file, uint64_t offset, void *out, size_t size,
                         struct errmsg *msg)
{
    return read_all(file->file, file->area_bytes + offset, out, size, msg);
}

/* All leaves against their hashes. */
static enum err check_leaves(struct store_file *file, struct sha256 *hash, uint8_t *leaf,
                             struct errmsg *msg)
{
    for (uint32_t i = 0; i < file->leaf_count; i++) {
        uint8_t got[SHA256_SIZE];
        const uint32_t size = segment_leaf_bytes(file->shard_bytes, i);
        const enum err e = store_file_read(file, (uint64_t)i * LIMIT_LEAF_BYTES, leaf, size, msg);
        if (e != ERR_OK)
            return e;
        sha256_leaf(hash, slice_of(leaf, size), got);
        if (memcmp(got, store_file_leaves(file) + (size_t)i * SHA256_SIZE, sizeof(got)) != 0)
            return err_say(msg, ERR_CORRUPT, "leaf %u of %u is damaged", i, file->leaf_count);
    }
    return ERR_OK;
}

enum err store_file_check(struct store_file *file, struct sha256 *hash, struct errmsg *msg)
{
    struct segment_header header;
    struct merkle_hash root;
    struct merkle_hash *leaves = malloc(sizeof(*leaves) * file->leaf_count);
    uint8_t *leaf = aligned_alloc(DISK_UNCACHED_ALIGN, LIMIT_LEAF_BYTES);
    enum err e = leaves && leaf ? ERR_OK : err_say(msg, ERR_NOMEM, "out of memory for a check");
    if (e == ERR_OK)
        e = check_leaves(file, hash, leaf, msg);
    if (e == ERR_OK)
        e = segment_header_decode(store_file_header(file), &header, msg);
    if (e == ERR_OK) {
        memcpy(leaves, store_file_leaves(file), sizeof(*leaves) * file->leaf_count);
        merkle_root(hash, leaves, file->leaf_count, &root);
        if (memcmp(&root, &header.roots[file->index], sizeof(root)) != 0)
            e = err_say(msg, ERR_CORRUPT, "the leaf hashes are not those of the segment's name");
    }
    free(leaf);
    free(leaves);
    return e;
}

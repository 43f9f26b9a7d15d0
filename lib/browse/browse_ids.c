#include "browse/browse_ids.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCK_RECORDS = 128 };

struct record {
    struct id id;
    uint64_t value;
};

struct part {
    struct record *records; /* owned; BLOCK_RECORDS: what is in no block yet */
    size_t count;
    uint64_t *blocks; /* owned; where in the file, by number */
    size_t block_count, block_capacity;
};

struct browse_ids {
    char *dir; /* owned */
    int fd;    /* -1: not needed yet */
    uint64_t count, blocks;
    struct part parts[BROWSE_IDS_PARTS];
};

enum err browse_ids_new(const char *dir, struct browse_ids **out)
{
    struct browse_ids *ids = calloc(1, sizeof(*ids));
    if (ids)
        ids->fd = -1;
    if (!ids || !(ids->dir = strdup(dir))) {
        free(ids);
        return ERR_NOMEM;
    }
    *out = ids;
    return ERR_OK;
}

void browse_ids_free(struct browse_ids *ids)
{
    if (!ids)
        return;
    for (size_t i = 0; i < BROWSE_IDS_PARTS; i++) {
        free(ids->parts[i].records);
        free(ids->parts[i].blocks);
    }
    if (ids->fd >= 0)
        close(ids->fd);
    free(ids->dir);
    free(ids);
}

static enum err open_file(struct browse_ids *ids, struct errmsg *msg)
{
    char *path = NULL;
    if (asprintf(&path, "%s/ids-XXXXXX", ids->dir) < 0)
        return err_say(msg, ERR_NOMEM, "out of memory");
    ids->fd = mkostemp(path, O_CLOEXEC);
    const int problem = errno;
    if (ids->fd >= 0)
        unlink(path);
    free(path);
    return ids->fd >= 0
               ? ERR_OK
               : err_say_errno(msg, problem, "cannot make a file for a while in %s", ids->dir);
}

/* The whole of `size` bytes, at block number `block`. */
static enum err block_io(const struct browse_ids *ids, bool write, void *bytes, uint64_t block,
                         struct errmsg *msg)
{
    const size_t size = BLOCK_RECORDS * sizeof(struct record);
    size_t done = 0;
    while (done < size) {
        const off_t at = (off_t)(block * size + done);
        const ssize_t n = write ? pwrite(ids->fd, (char *)bytes + done, size - done, at)
                                : pread(ids->fd, (char *)bytes + done, size - done, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_say_errno(msg, n < 0 ? errno : EIO, "cannot %s a file in %s",
                                 write ? "write" : "read", ids->dir);
        done += (size_t)n;
    }
    return ERR_OK;
}

static enum err spill(struct browse_ids *ids, struct part *part, struct errmsg *msg)
{
    enum err e = ids->fd < 0 ? open_file(ids, msg) : ERR_OK;
    if (e == ERR_OK && part->block_count == part->block_capacity) {
        const size_t capacity = part->block_capacity ? 2 * part->block_capacity : 16;
        uint64_t *blocks = realloc(part->blocks, capacity * sizeof(*blocks));
        if (!blocks)
            return err_say(msg, ERR_NOMEM, "out of memory");
        part->blocks = blocks;
        part->block_capacity = capacity;
    }
    if (e == ERR_OK)
        e = block_io(ids, true, part->records, ids->blocks, msg);
    if (e != ERR_OK)
        return e;
    part->blocks[part->block_count++] = ids->blocks++;
    part->count = 0;
    return ERR_OK;
}

enum err browse_ids_add(struct browse_ids *ids, const struct id *id, uintptr_t value,
                        struct errmsg *msg)
{
    struct part *part = &ids->parts[id->bytes[0]];
    enum err e = ERR_OK;
    if (ids->count == BROWSE_IDS_MAX)
        return err_say(msg, ERR_TOO_LARGE, "these are more than %llu pieces",
                       (unsigned long long)BROWSE_IDS_MAX);
    if (!part->records && !(part->records = calloc(BLOCK_RECORDS, sizeof(*part->records))))
        return err_say(msg, ERR_NOMEM, "out of memory");
    if (part->count == BLOCK_RECORDS)
        e = spill(ids, part, msg);
    if (e != ERR_OK)
        return e;
    part->records[part->count++] = (struct record){.id = *id, .value = value};
    ids->count++;
    return ERR_OK;
}

static enum err take(const struct record *records, size_t count, struct idmap *out,
                     struct errmsg *msg)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < count; i++)
        e = idmap_set(out, &records[i].id, (void *)(uintptr_t)records[i].value);
    return e == ERR_OK ? e : err_say(msg, e, "out of memory");
}

enum err browse_ids_part(struct browse_ids *ids, unsigned number, struct idmap *out,
                         struct errmsg *msg)
{
    const struct part *part = &ids->parts[number];
    struct record block[BLOCK_RECORDS];
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < part->block_count; i++) {
        e = block_io(ids, false, block, part->blocks[i], msg);
        if (e == ERR_OK)
            e = take(block, BLOCK_RECORDS, out, msg);
    }
    return e == ERR_OK ? take(part->records, part->count, out, msg) : e;
}

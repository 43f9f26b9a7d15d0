#include "store/store_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define MARKER    "shards/marker"
#define CLEAN_END "clean_end" /* fact: there while nobody has the store open */

static const char *const folders[] = {"shards", "incoming", "quarantine"};

static enum err make_folders(const struct disk *disk, struct errmsg *msg)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < ARRAY_COUNT(folders) && e == ERR_OK; i++)
        e = disk_make_dir(disk, folders[i], msg);
    static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";
    for (size_t i = 0; i < 32 && e == ERR_OK; i++) {
        char path[STORE_PATH_SIZE];
        snprintf(path, sizeof(path), "shards/%c", base32[i]);
        e = disk_make_dir(disk, path, msg);
    }
    return e;
}

static enum err write_marker(const struct disk *disk, const char *name, struct errmsg *msg)
{
    struct disk_file *file;
    enum err e = disk_open(disk, MARKER, DISK_WRITE | DISK_CREATE, &file, msg);
    if (e != ERR_OK)
        return e;
    e = disk_write_at(file, 0, name, ID_TEXT_LENGTH, msg);
    if (e == ERR_OK)
        e = disk_sync(file, msg);
    disk_close(file);
    if (e == ERR_OK)
        e = disk_sync_dir(disk, "shards", msg);
    return e == ERR_OK ? disk_sync_dir(disk, "", msg) : e;
}

/* Is this the disk on which this cell stores? */
static enum err check_marker(const struct disk *disk, const char *name, struct errmsg *msg)
{
    char found[ID_TEXT_SIZE] = {0};
    size_t got = 0;
    struct disk_file *file;
    enum err e = disk_open(disk, MARKER, DISK_READ, &file, NULL);
    if (e == ERR_NOT_FOUND)
        return err_say(msg, ERR_STATE,
                       "the file %s is not there: is the disk with the shards mounted?", MARKER);
    if (e == ERR_OK) {
        e = disk_read_at(file, 0, found, ID_TEXT_LENGTH, &got, msg);
        disk_close(file);
    }
    if (e != ERR_OK)
        return err_wrap(msg, e, "cannot read %s", MARKER);
    if (got != ID_TEXT_LENGTH || memcmp(found, name, ID_TEXT_LENGTH) != 0)
        return err_say(msg, ERR_STATE, "%s names another cell than this one (%s): this is its disk",
                       MARKER, name);
    return ERR_OK;
}

enum err store_present(struct store *store, struct errmsg *msg)
{
    struct disk_info info;
    if (disk_info(store->options.disk, MARKER, &info, NULL) == ERR_OK)
        return ERR_OK;
    return err_say(msg, ERR_BUSY,
                   "the file %s is not there any more: the disk with the shards is not mounted",
                   MARKER);
}

static enum err prepare_disk(struct store *store, struct errmsg *msg)
{
    const struct disk *disk = store->options.disk;
    char name[ID_TEXT_SIZE];
    id_format(&store->options.cell, name);
    struct disk_info info;
    const bool marked = disk_info(disk, MARKER, &info, NULL) == ERR_OK;
    if (marked || !store->options.first_start)
        return check_marker(disk, name, msg);
    const enum err e = make_folders(disk, msg);
    return e == ERR_OK ? write_marker(disk, name, msg) : e;
}

/* Opens the catalogue; one that is damaged is put aside and made anew from the files. */
static enum err open_catalogue(struct store *store, const struct store_options *options,
                               struct errmsg *msg)
{
    enum err e = store_catalogue_open(store, options->catalogue_path, options->vfs, msg);
    if (e != ERR_CORRUPT && e != ERR_FORMAT)
        return e;
    log_say(options->log, LOG_WARN, "the catalogue is damaged and is made anew from the shards: %s",
            msg ? msg->text : "");
    char aside[STORE_PATH_SIZE];
    snprintf(aside, sizeof(aside), "%s.damaged", STORE_CATALOGUE_NAME);
    e = disk_rename(options->disk, STORE_CATALOGUE_NAME, aside, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "cannot put the damaged catalogue aside");
    err_ignore(disk_remove(options->disk, STORE_CATALOGUE_NAME "-wal", NULL));
    err_ignore(disk_remove(options->disk, STORE_CATALOGUE_NAME "-shm", NULL));
    return store_catalogue_open(store, options->catalogue_path, options->vfs, msg);
}

/* After an end without store_close() the files and the catalogue may differ. */
static enum err after_an_unclean_end(struct store *store, struct errmsg *msg)
{
    struct buf fact = BUF_INIT(16);
    const enum err known = documents_fact_get(store->db, CLEAN_END, &fact, NULL);
    buf_free(&fact);
    enum err e = ERR_OK;
    if (known != ERR_OK)
        e = store_reconcile(store, msg);
    return e == ERR_OK ? documents_fact_put(store->db, CLEAN_END, slice_of(NULL, 0), msg) : e;
}

static enum err open_parts(struct store *store, const struct store_options *options,
                           struct errmsg *msg)
{
    enum err e = sha256_new(&store->hash);
    if (e != ERR_OK)
        return err_say(msg, e, "out of memory for a store");
    e = prepare_disk(store, msg);
    if (e == ERR_OK)
        e = open_catalogue(store, options, msg);
    if (e == ERR_OK)
        e = after_an_unclean_end(store, msg);
    uint64_t whole, damaged;
    if (e == ERR_OK)
        e = store_catalogue_counts(store, &whole, &damaged, &store->used_bytes, msg);
    return e;
}

enum err store_open(const struct store_options *options, struct store **out, struct errmsg *msg)
{
    *out = NULL;
    struct store *store = calloc(1, sizeof(*store));
    if (!store)
        return err_say(msg, ERR_NOMEM, "out of memory for a store");
    store->options = *options;
    store->options.catalogue_path = store->options.vfs = NULL;
    if (!options->reserve_bytes)
        store->options.reserve_bytes = STORE_RESERVE_BYTES;
    list_init(&store->puts);
    const enum err e = open_parts(store, options, msg);
    if (e == ERR_OK) {
        *out = store;
        return ERR_OK;
    }
    db_close(store->db);
    sha256_free(store->hash);
    free(store);
    return e;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    if (!atomic_load(&store->read_only) && !store->look_again)
        err_ignore(documents_fact_put(store->db, CLEAN_END, slice_text("1"), NULL));
    db_close(store->db);
    sha256_free(store->hash);
    free(store);
}

enum err store_free_bytes(struct store *store, uint64_t *out, struct errmsg *msg)
{
    struct disk_space space;
    const enum err e = disk_space(store->options.disk, &space, msg);
    if (e != ERR_OK)
        return e;
    const uint64_t give = store->options.give_bytes, reserve = store->options.reserve_bytes;
    const uint64_t taken = store->used_bytes + store->reserved_bytes;
    const uint64_t by_gift = taken < give ? give - taken : 0;
    /* what is reserved was allocated: the disk counts it as used already */
    const uint64_t by_disk = space.free_bytes > reserve ? space.free_bytes - reserve : 0;
    *out = by_gift < by_disk ? by_gift : by_disk;
    return ERR_OK;
}

enum err store_usage(struct store *store, struct store_usage *out, struct errmsg *msg)
{
    uint64_t bytes;
    enum err e = store_free_bytes(store, &out->free_bytes, msg);
    if (e == ERR_OK)
        e = store_catalogue_counts(store, &out->shard_count, &out->damaged_count, &bytes, msg);
    if (e != ERR_OK)
        return e;
    out->give_bytes = store->options.give_bytes;
    out->used_bytes = store->used_bytes;
    out->reserved_bytes = store->reserved_bytes;
    out->read_only = atomic_load(&store->read_only);
    return ERR_OK;
}

void store_set_give(struct store *store, uint64_t give_bytes)
{
    store->options.give_bytes = give_bytes;
}

struct db *store_db(struct store *store)
{
    return store->db;
}

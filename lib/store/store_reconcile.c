/*
 * Making catalogue and shard files agree again: after an unclean end, or when the catalogue is new.
 * The files are the truth. One folder is listed at a time, so memory is bounded by its names.
 */
#include "store/store_internal.h"

#include <stdio.h>
#include <stdlib.h>

struct names {
    struct buf found; /* id (32) ‖ u8 index each */
};

static enum err collect(void *user, const char *name, bool is_directory)
{
    struct names *names = user;
    struct id segment;
    unsigned index;
    if (is_directory || store_shard_name_parse(name, &segment, &index) != ERR_OK)
        return ERR_OK;
    const enum err e = buf_append(&names->found, segment.bytes, ID_SIZE);
    return e == ERR_OK ? buf_append_u8(&names->found, (uint8_t)index) : e;
}

/* A file that the catalogue does not know: its own header tells what it is. The payload is left to
   the scrub: the file got its name only after it had been checked and synced. */
static enum err adopt(struct store *store, const struct id *segment, unsigned index,
                      struct errmsg *msg)
{
    char path[STORE_PATH_SIZE];
    struct store_file *file;
    struct segment_header header;
    store_shard_path(segment, index, path);
    enum err e = store_file_open_path(store, path, segment, index, store->hash, &file, msg);
    if (e != ERR_OK) {
        log_say(store->options.log, LOG_WARN, "%s is put into quarantine: %s", path,
                msg ? msg->text : "");
        char aside[STORE_PATH_SIZE];
        store_quarantine_path(segment, index, aside);
        return disk_rename(store->options.disk, path, aside, msg);
    }
    e = segment_header_decode(store_file_header(file), &header, msg);
    if (e == ERR_OK) {
        struct store_shard shard = {
            .segment = *segment,
            .account = header.account,
            .index = index,
            .shard_bytes = file->shard_bytes,
            .state = STORE_WHOLE,
        };
        memcpy(shard.grant, file->grant, sizeof(shard.grant));
        e = store_catalogue_add(store, &shard, file->area_bytes + file->shard_bytes, msg);
    }
    store_file_close(file);
    return e;
}

/* A file of a dead name was to be removed when the cell ended. */
static enum err adopt_or_remove(struct store *store, const struct id *segment, unsigned index,
                                struct errmsg *msg)
{
    enum store_name name;
    const enum err e = store_removal_name(store, segment, &name, NULL, msg);
    if (e != ERR_OK || name != STORE_NAME_DEAD)
        return e == ERR_OK ? adopt(store, segment, index, msg) : e;
    store_remove_files(store, segment, index);
    return ERR_OK;
}

static enum err reconcile_folder(struct store *store, const char *folder, struct errmsg *msg)
{
    struct names names = {.found = BUF_INIT(1u << 30)};
    enum err e = disk_list(store->options.disk, folder, collect, &names, msg);
    for (size_t at = 0; at < names.found.size && e == ERR_OK; at += ID_SIZE + 1) {
        struct id segment;
        struct store_shard known;
        memcpy(segment.bytes, names.found.data + at, ID_SIZE);
        const unsigned index = names.found.data[at + ID_SIZE];
        e = store_catalogue_get(store, &segment, index, &known, NULL);
        if (e == ERR_NOT_FOUND || (e == ERR_OK && known.state == STORE_DAMAGED))
            e = adopt_or_remove(store, &segment, index, msg);
    }
    buf_free(&names.found);
    return e;
}

/* Rows whose file is gone: the shard is lost here, and is said to be. */
static enum err mark_missing(struct store *store, struct errmsg *msg)
{
    struct store_shard shard = {.index = 0};
    int index = -1;
    enum err e;
    while ((e = store_catalogue_next(store, &shard.segment, index, &shard, NULL)) == ERR_OK) {
        char path[STORE_PATH_SIZE];
        struct disk_info info;
        index = (int)shard.index;
        store_shard_path(&shard.segment, shard.index, path);
        if (shard.state != STORE_WHOLE ||
            disk_info(store->options.disk, path, &info, NULL) != ERR_NOT_FOUND)
            continue;
        log_say(store->options.log, LOG_WARN, "%s is missing", path);
        e = store_catalogue_set_state(store, &shard.segment, shard.index, STORE_DAMAGED, msg);
        if (e != ERR_OK)
            return e;
    }
    return e == ERR_NOT_FOUND ? ERR_OK : err_wrap(msg, e, "cannot read the cell's catalogue");
}

static enum err remember_name(void *user, const char *name, bool is_directory)
{
    return is_directory ? ERR_OK : buf_append(user, name, strlen(name) + 1);
}

/* What was under way when the cell ended was never receipted. */
static enum err remove_incoming(struct store *store, struct errmsg *msg)
{
    struct buf names = BUF_INIT(1u << 30);
    enum err e = disk_list(store->options.disk, "incoming", remember_name, &names, msg);
    for (size_t at = 0; at < names.size && e == ERR_OK;) {
        char path[STORE_PATH_SIZE];
        const char *name = (const char *)names.data + at;
        snprintf(path, sizeof(path), "incoming/%s", name);
        e = disk_remove(store->options.disk, path, msg);
        at += strlen(name) + 1;
    }
    buf_free(&names);
    return e;
}

static enum err reconcile_in_transaction(struct store *store, struct errmsg *msg)
{
    static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";
    enum err e = ERR_OK;
    for (size_t i = 0; i < 32 && e == ERR_OK; i++) {
        char folder[STORE_PATH_SIZE];
        snprintf(folder, sizeof(folder), "shards/%c", base32[i]);
        e = reconcile_folder(store, folder, msg);
    }
    return e == ERR_OK ? mark_missing(store, msg) : e;
}

enum err store_reconcile(struct store *store, struct errmsg *msg)
{
    enum err e = remove_incoming(store, msg);
    if (e == ERR_OK)
        e = db_begin(store->db, msg);
    if (e != ERR_OK)
        return e;
    e = reconcile_in_transaction(store, msg);
    if (e == ERR_OK)
        return db_commit(store->db, msg);
    db_rollback(store->db);
    return err_wrap(msg, e, "cannot compare the shards with the catalogue");
}

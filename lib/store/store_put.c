/*
 * A shard on its way to the disk.
 *
 * Happy path: begin (space reserved, temp file of the full size) -> write ... -> seal (root
 * checked, area written, fsync) -> commit (rename, fsync of the folder, catalogue). What can fail:
 * the peer stops (abort), the payload is not what the name says (seal: CORRUPT), the disk is full
 * (begin: FULL, since everything is allocated there), an fsync fails (seal or commit: IO, and the
 * store takes nothing any more). A process that dies leaves a temp file, or a whole file that the
 * catalogue does not know: store_reconcile() removes the one and adds the other.
 */
#include "store/store_internal.h"

#include "base/planted.h"

#include <stdio.h>
#include <stdlib.h>

static enum err check_live(struct store *store, const struct id *segment, struct errmsg *msg)
{
    enum store_name name;
    const enum err e = store_removal_name(store, segment, &name, NULL, msg);
    if (e == ERR_OK && name != STORE_NAME_LIVE)
        return err_say(msg, ERR_DENIED, "this segment was deleted, its name is not used again");
    return e;
}

static enum err check_names(struct store *store, const struct store_admission *a,
                            struct segment_header *header, struct errmsg *msg)
{
    struct id id;
    enum err e = segment_header_decode(a->header, header, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the segment header that came with the shard cannot be read");
    segment_header_id(a->header, &id);
    if (!id_equal(&id, &a->segment))
        return err_say(msg, ERR_CORRUPT,
                       "the segment header is not the one that the name stands for");
    if (a->index >= (unsigned)header->k + header->m)
        return err_say(msg, ERR_CORRUPT, "the segment has %u shards, there is no shard %u",
                       (unsigned)header->k + header->m, a->index);
    if (a->record.size > STORE_RECORD_MAX)
        return err_say(msg, ERR_TOO_LARGE, "a segment record may have %d bytes", STORE_RECORD_MAX);
    return check_live(store, &a->segment, msg);
}

/* The catalogue says that the shard is whole. The file is read, since a receipt comes of it: what
   has rotted goes into quarantine, and *whole is false. */
static enum err check_whole(struct store *store, const struct store_admission *a, bool *whole,
                            struct errmsg *msg)
{
    struct store_file *file;
    struct errmsg why;
    enum err e = store_file_open(store, &a->segment, a->index, &file, &why);
    if (e == ERR_OK) {
        e = store_file_check(file, store->hash, &why);
        store_file_close(file);
    }
    *whole = e == ERR_OK;
    if (e == ERR_OK || e == ERR_NOMEM)
        return e;
    log_say(store->options.log, LOG_WARN, "a shard that is brought again had to be: %s", why.text);
    return store_quarantine(store, &a->segment, a->index, msg);
}

/* Is it here already, or on its way? `replaces`: a damaged one is, in quarantine. */
static enum err check_new(struct store *store, const struct store_admission *a, bool *replaces,
                          struct errmsg *msg)
{
    struct store_shard known;
    bool whole = false;
    enum err e = store_catalogue_get(store, &a->segment, a->index, &known, NULL);
    if (e == ERR_OK && known.state == STORE_WHOLE) {
        e = check_whole(store, a, &whole, msg);
        if (e != ERR_OK)
            return e;
    }
    if (whole) {
        /* whoever gets a receipt now counts on it from now on */
        e = store_catalogue_set_receipt(store, &a->segment, a->index, a->now_s, msg);
        return e == ERR_OK ? err_say(msg, ERR_EXISTS, "the shard is stored already") : e;
    }
    *replaces = e == ERR_OK;
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return err_say(msg, e, "the cell's catalogue cannot be read");
    list_for_each(node, &store->puts)
    {
        const struct store_put *put = container_of(node, struct store_put, link);
        if (put->admission.index == a->index && id_equal(&put->admission.segment, &a->segment))
            return err_say(msg, ERR_BUSY, "the same shard is being stored right now");
    }
    return ERR_OK;
}

static enum err check_grant(struct store *store, const struct store_admission *a, uint32_t bytes,
                            struct errmsg *msg)
{
    uint64_t spent;
    const enum err e = store_grant_spent(store, a->grant, &spent, msg);
    if (e != ERR_OK)
        return e;
    if (PLANTED(FREE_BUDGET))
        spent = 0;
    list_for_each(node, &store->puts)
    {
        const struct store_put *put = container_of(node, struct store_put, link);
        if (memcmp(put->admission.grant, a->grant, sizeof(a->grant)) == 0)
            spent += put->shard_bytes;
    }
    if (a->now_s > a->grant_expires_s)
        return err_say(msg, ERR_QUOTA, "the grant has expired; ask the coordinator for a new one");
    if (spent > a->grant_bytes || bytes > a->grant_bytes - spent)
        return err_say(msg, ERR_QUOTA,
                       "the grant allows %llu bytes here, of which %llu are used; the shard has %u",
                       (unsigned long long)a->grant_bytes, (unsigned long long)spent, bytes);
    return ERR_OK;
}

static enum err check_space(struct store *store, uint64_t bytes, struct errmsg *msg)
{
    uint64_t free_bytes;
    if (atomic_load(&store->read_only))
        return err_say(msg, ERR_READ_ONLY,
                       "an fsync failed here: nothing is stored until the cell is started again");
    const enum err e = store_free_bytes(store, &free_bytes, msg);
    if (e == ERR_OK && bytes > free_bytes) {
        char need[TEXT_SIZE_SIZE], free_text[TEXT_SIZE_SIZE];
        return err_say(msg, ERR_FULL, "the shard needs %s and the cell has %s left to give",
                       text_size(bytes, need), text_size(free_bytes, free_text));
    }
    return e;
}

/* Lays the area out but for the leaf hashes and its own hash. */
static enum err make_area(struct store_put *put, const struct store_admission *a)
{
    put->area_bytes = store_area_bytes(a->header.size, a->record.size, put->leaf_count);
    put->area = aligned_alloc(DISK_UNCACHED_ALIGN, put->area_bytes);
    if (!put->area)
        return ERR_NOMEM;
    memset(put->area, 0, put->area_bytes);
    uint8_t *p = put->area;
    memcpy(p, "CLSH", 4);
    p[4] = 1;
    p[5] = (uint8_t)a->index;
    put_le32(p + 8, (uint32_t)put->area_bytes);
    put_le32(p + 12, (uint32_t)a->header.size);
    put_le32(p + 16, (uint32_t)a->record.size);
    put_le32(p + 20, put->leaf_count);
    put_le32(p + 24, put->shard_bytes);
    memcpy(p + 32, a->grant, sizeof(a->grant));
    p += STORE_AREA_FIXED_SIZE;
    memcpy(p, a->header.data, a->header.size);
    put->admission.header = slice_of(p, a->header.size);
    p += a->header.size;
    memcpy(p, a->record.data, a->record.size);
    put->admission.record = slice_of(p, a->record.size);
    return ERR_OK;
}

static uint8_t *leaf_hash(struct store_put *put, uint32_t leaf)
{
    return put->area + STORE_AREA_FIXED_SIZE + put->admission.header.size +
           put->admission.record.size + (size_t)leaf * SHA256_SIZE;
}

static enum err make_temp(struct store_put *put, struct errmsg *msg)
{
    const struct disk *disk = put->store->options.disk;
    const uint64_t number = random_u64(put->store->options.random);
    snprintf(put->temp_path, sizeof(put->temp_path), "incoming/%016llx",
             (unsigned long long)number);
    enum err e = disk_open(disk, put->temp_path,
                           DISK_READ | DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE | DISK_UNCACHED,
                           &put->file, msg);
    if (e == ERR_OK)
        e = disk_allocate(put->file, put->area_bytes + put->shard_bytes, msg);
    return e;
}

static void put_free(struct store_put *put)
{
    if (!put)
        return;
    disk_close(put->file);
    sha256_free(put->hash);
    free(put->area);
    free(put);
}

enum err store_put_begin(struct store *store, const struct store_admission *admission,
                         struct store_put **out, struct errmsg *msg)
{
    struct segment_header header;
    bool replaces = false;
    *out = NULL;
    enum err e = check_names(store, admission, &header, msg);
    if (e == ERR_OK)
        e = check_new(store, admission, &replaces, msg);
    if (e == ERR_OK)
        e = check_grant(store, admission, header.shard_bytes, msg);
    if (e != ERR_OK)
        return e;
    struct store_put *put = calloc(1, sizeof(*put));
    if (!put)
        return err_say(msg, ERR_NOMEM, "out of memory for a shard");
    put->store = store;
    put->replaces = replaces;
    put->admission = *admission;
    put->account = header.account;
    put->root = header.roots[admission->index];
    put->shard_bytes = header.shard_bytes;
    put->leaf_count = segment_leaf_count(header.shard_bytes);
    e = make_area(put, admission);
    if (e == ERR_OK)
        e = sha256_new(&put->hash);
    if (e != ERR_OK)
        err_say(msg, e, "out of memory for a shard");
    if (e == ERR_OK)
        e = check_space(store, put->area_bytes + put->shard_bytes, msg);
    if (e == ERR_OK && (e = make_temp(put, msg)) != ERR_OK && put->file) {
        disk_close(put->file);
        put->file = NULL;
        err_ignore(disk_remove(store->options.disk, put->temp_path, NULL));
    }
    if (e != ERR_OK) {
        put_free(put);
        return e;
    }
    store->reserved_bytes += put->area_bytes + put->shard_bytes;
    list_append(&store->puts, &put->link);
    *out = put;
    return ERR_OK;
}

uint32_t store_put_bytes(const struct store_put *put)
{
    return put->shard_bytes;
}

/* Hashes what lies in one leaf, which may begin or end here. */
static void hash_in_leaf(struct store_put *put, struct slice bytes)
{
    const uint32_t leaf = put->at / LIMIT_LEAF_BYTES;
    const uint32_t before = put->at % LIMIT_LEAF_BYTES;
    if (before == 0)
        sha256_start_leaf(put->hash);
    sha256_add(put->hash, bytes);
    put->at += (uint32_t)bytes.size;
    if (before + bytes.size == segment_leaf_bytes(put->shard_bytes, leaf))
        sha256_finish(put->hash, leaf_hash(put, leaf));
}

enum err store_put_write(struct store_put *put, struct slice bytes, struct errmsg *msg)
{
    if (bytes.size > put->shard_bytes - put->at)
        return err_say(msg, ERR_TOO_LARGE, "the shard has %u bytes, more were sent",
                       put->shard_bytes);
    const enum err e =
        disk_write_at(put->file, put->area_bytes + put->at, bytes.data, bytes.size, msg);
    if (e != ERR_OK)
        return e;
    while (bytes.size) {
        const size_t room = LIMIT_LEAF_BYTES - put->at % LIMIT_LEAF_BYTES;
        const size_t size = bytes.size < room ? bytes.size : room;
        hash_in_leaf(put, slice_of(bytes.data, size));
        bytes = slice_of(bytes.data + size, bytes.size - size);
    }
    return ERR_OK;
}

static bool root_matches(struct store_put *put)
{
    struct merkle_hash leaves[LIMIT_SHARD_BYTES / LIMIT_LEAF_BYTES];
    struct merkle_hash root;
    memcpy(leaves, leaf_hash(put, 0), (size_t)put->leaf_count * SHA256_SIZE);
    merkle_root(put->hash, leaves, put->leaf_count, &root);
    return memcmp(&root, &put->root, sizeof(root)) == 0;
}

/* After a failed sync nothing may be trusted to reach the disk. */
static enum err sync_failed(struct store *store, enum err e, struct errmsg *msg)
{
    atomic_store(&store->read_only, true);
    log_say(store->options.log, LOG_ERROR,
            "a sync of the disk failed, the cell stores nothing more: %s",
            msg ? msg->text : err_words(e));
    return err_wrap(msg, e, "the disk did not confirm what was written");
}

enum err store_put_seal(struct store_put *put, struct errmsg *msg)
{
    if (put->at != put->shard_bytes)
        return err_say(msg, ERR_FORMAT, "the shard has %u bytes, %u were sent", put->shard_bytes,
                       put->at);
    if (!root_matches(put))
        return err_say(msg, ERR_CORRUPT,
                       "the bytes are not those that the segment's name stands for");
    sha256_once(put->hash, slice_of(put->area, put->area_bytes), put->area + 48);
    enum err e = disk_write_at(put->file, 0, put->area, put->area_bytes, msg);
    if (e != ERR_OK)
        return e;
    if (atomic_load(&put->store->read_only))
        return err_say(msg, ERR_READ_ONLY, "an fsync failed here: nothing is stored any more");
    if (!PLANTED(SKIPPED_FSYNC) && (e = disk_sync(put->file, msg)) != ERR_OK)
        return sync_failed(put->store, e, msg);
    disk_close(put->file);
    put->file = NULL;
    put->sealed = true;
    return ERR_OK;
}

static enum err rename_into_place(struct store_put *put, struct errmsg *msg)
{
    char path[STORE_PATH_SIZE];
    store_shard_path(&put->admission.segment, put->admission.index, path);
    return disk_rename(put->store->options.disk, put->temp_path, path, msg);
}

/* Each folder once, however many of the puts lie in it. */
static enum err sync_folders(struct store *store, struct store_put **puts, size_t count,
                             const enum err *errors, struct errmsg *msg)
{
    uint32_t done = 0; /* bit: the folder of that base32 character */
    for (size_t i = 0; i < count; i++) {
        const uint32_t bit = 1u << (puts[i]->admission.segment.bytes[0] >> 3);
        char path[STORE_PATH_SIZE];
        if (errors[i] != ERR_OK || (done & bit))
            continue;
        done |= bit;
        store_shard_folder(&puts[i]->admission.segment, path);
        const enum err e = disk_sync_dir(store->options.disk, path, msg);
        if (e != ERR_OK)
            return sync_failed(store, e, msg);
    }
    return ERR_OK;
}

static enum err add_rows(struct store *store, struct store_put **puts, size_t count,
                         const enum err *errors, struct errmsg *msg)
{
    enum err e = db_begin(store->db, msg);
    if (e != ERR_OK)
        return e;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        if (errors[i] != ERR_OK)
            continue;
        struct store_shard shard = {
            .segment = puts[i]->admission.segment,
            .account = puts[i]->account,
            .index = puts[i]->admission.index,
            .shard_bytes = puts[i]->shard_bytes,
            .state = STORE_WHOLE,
            .receipt_s = puts[i]->admission.now_s,
        };
        memcpy(shard.grant, puts[i]->admission.grant, sizeof(shard.grant));
        e = store_catalogue_add(store, &shard, puts[i]->area_bytes + puts[i]->shard_bytes, msg);
    }
    if (e == ERR_OK)
        return db_commit(store->db, msg);
    db_rollback(store->db);
    return e;
}

/* A whole shard has taken the place of one in quarantine, whose file is of no more use. */
static void drop_quarantined(struct store *store, const struct store_put *put)
{
    char path[STORE_PATH_SIZE];
    uint64_t whole, damaged, bytes;
    store_quarantine_path(&put->admission.segment, put->admission.index, path);
    err_ignore(disk_remove(store->options.disk, path, NULL));
    if (store_catalogue_counts(store, &whole, &damaged, &bytes, NULL) == ERR_OK)
        store->used_bytes = bytes;
}

void store_put_commit(struct store *store, struct store_put **puts, size_t count, enum err *errors,
                      struct errmsg *msg)
{
    for (size_t i = 0; i < count; i++)
        errors[i] = puts[i]->sealed ? check_live(store, &puts[i]->admission.segment, msg)
                                    : ERR_STATE; /* it may have been deleted meanwhile */
    for (size_t i = 0; i < count; i++)
        if (errors[i] == ERR_OK)
            errors[i] = rename_into_place(puts[i], msg);
    enum err e = sync_folders(store, puts, count, errors, msg);
    if (e == ERR_OK)
        e = add_rows(store, puts, count, errors, msg);
    for (size_t i = 0; i < count; i++) {
        const uint64_t bytes = puts[i]->area_bytes + puts[i]->shard_bytes;
        const bool renamed = errors[i] == ERR_OK;
        if (renamed)
            errors[i] = e;
        if (!renamed)
            err_ignore(disk_remove(store->options.disk, puts[i]->temp_path, NULL));
        /* a renamed file uses space whatever became of its row */
        store->reserved_bytes -= bytes;
        store->used_bytes += renamed ? bytes : 0;
        if (errors[i] == ERR_OK && puts[i]->replaces)
            drop_quarantined(store, puts[i]);
        list_remove(&puts[i]->link);
        put_free(puts[i]);
    }
}

void store_put_abort(struct store *store, struct store_put *put)
{
    if (!put)
        return;
    store->reserved_bytes -= put->area_bytes + put->shard_bytes;
    list_remove(&put->link);
    disk_close(put->file);
    put->file = NULL;
    err_ignore(disk_remove(store->options.disk, put->temp_path, NULL));
    put_free(put);
}

/*
 * Shared by the files of store/ only.
 *
 * Shard file (docs/format-shard.md), little-endian:
 *
 *      0  "CLSH"
 *      4  u8 version = 1 | u8 index | u16 0
 *      8  u32 area size: a multiple of 4096, where the payload begins
 *     12  u32 header size | u32 record size | u32 leaf count | u32 shard_bytes | u32 0
 *     32  grant id (16)
 *     48  SHA-256 of the area with these 32 bytes zero
 *     80  segment header | segment record | leaf hashes (32 each) | zeros
 */
#pragma once

#include "base/cursor.h"
#include "base/list.h"
#include "base/text.h"
#include "crypto/sha256.h"
#include "db/db.h"
#include "documents/documents.h"
#include "segment/segment_header.h"
#include "store/store.h"

#include <stdatomic.h>

enum {
    STORE_AREA_UNIT = 4096,
    STORE_AREA_FIXED_SIZE = 80,
    STORE_AREA_MAX = 1 << 20,
    STORE_RECORD_MAX = 4096, /* of a segment record's document */
    STORE_PATH_SIZE = 96,    /* of a path below DATA */
};

struct store {
    struct store_options options; /* without catalogue_path and vfs */
    struct db *db;
    struct sha256 *hash; /* the lane's */
    struct list puts;    /* on their way: struct store_put.link */
    uint64_t used_bytes; /* of whole and damaged shards' files */
    uint64_t reserved_bytes;
    atomic_bool read_only;
    /* What store_catalogue_counts() has found; asked for with every heartbeat, so the rows are
       counted only after one of them has changed. */
    bool counted;
    uint64_t whole_count, damaged_count, file_bytes;
    bool removal_counted; /* the same for store_removal_state() */
    struct store_removal_state removal_state;
    bool look_again; /* a file may be left that no row names: the next start looks */
};

struct store_put {
    struct list link;
    struct store *store;
    struct store_admission admission; /* header and record point into `area` */
    struct id account;
    struct disk_file *file; /* of temp_path; NULL once sealed */
    struct sha256 *hash;
    struct merkle_hash root; /* as the header has it */
    uint8_t *area;           /* the file's area, being built */
    size_t area_bytes;
    uint32_t shard_bytes, leaf_count;
    uint32_t at; /* payload bytes taken so far */
    bool sealed;
    bool replaces; /* a damaged one, in quarantine */
    char temp_path[STORE_PATH_SIZE];
};

struct store_file {
    struct disk_file *file;
    uint8_t *area; /* owned */
    size_t area_bytes;
    unsigned index;
    uint32_t shard_bytes, leaf_count;
    size_t header_bytes, record_bytes;
    uint8_t grant[STORE_GRANT_ID_SIZE];
};

/* "shards/<c>/<segment>.<index>", <c> the segment's first base32 character. */
void store_shard_path(const struct id *segment, unsigned index, char out[STORE_PATH_SIZE]);
void store_shard_folder(const struct id *segment, char out[STORE_PATH_SIZE]);
void store_quarantine_path(const struct id *segment, unsigned index, char out[STORE_PATH_SIZE]);
/* "<segment>.<index>" back; ERR_FORMAT for any other name. */
MUST_CHECK enum err store_shard_name_parse(const char *name, struct id *segment, unsigned *index);

size_t store_area_bytes(size_t header_bytes, size_t record_bytes, uint32_t leaf_count);

/* Checks the area's hash, its fields, the segment header in it and that it belongs to (segment,
   index). The payload is not looked at. */
MUST_CHECK enum err store_file_open_path(struct store *store, const char *path,
                                         const struct id *segment, unsigned index,
                                         struct sha256 *hash, struct store_file **out,
                                         struct errmsg *msg);

/* Hashes the payload. CORRUPT: it is not what the leaf hashes say, or they are not the root's. */
MUST_CHECK enum err store_file_check(struct store_file *file, struct sha256 *hash,
                                     struct errmsg *msg);

/* What new shards may still take: by gift and by disk, the smaller. Asks the disk alone, so it
   costs the same however many shards there are: every admission asks. */
MUST_CHECK enum err store_free_bytes(struct store *store, uint64_t *out, struct errmsg *msg);

/* --- catalogue --- */

MUST_CHECK enum err store_catalogue_open(struct store *store, const char *path, const char *vfs,
                                         struct errmsg *msg);
/* Ends the transaction that was begun: commits it when `e` is ERR_OK, else rolls it back and
   returns `e`. */
MUST_CHECK enum err store_catalogue_end(struct store *store, enum err e, struct errmsg *msg);
/* Rows are about to change: what was counted is counted again. */
static inline void store_catalogue_changed(struct store *store)
{
    store->counted = store->removal_counted = false;
}
/* Adds or replaces the row, inside a transaction. `file_bytes`: with the area. */
MUST_CHECK enum err store_catalogue_add(struct store *store, const struct store_shard *shard,
                                        uint64_t file_bytes, struct errmsg *msg);
MUST_CHECK enum err store_catalogue_get(struct store *store, const struct id *segment,
                                        unsigned index, struct store_shard *out,
                                        struct errmsg *msg);
MUST_CHECK enum err store_catalogue_set_state(struct store *store, const struct id *segment,
                                              unsigned index, enum store_state state,
                                              struct errmsg *msg);
MUST_CHECK enum err store_catalogue_set_receipt(struct store *store, const struct id *segment,
                                                unsigned index, int64_t receipt_s,
                                                struct errmsg *msg);
MUST_CHECK enum err store_catalogue_remove(struct store *store, const struct id *segment,
                                           unsigned index, uint64_t *file_bytes,
                                           struct errmsg *msg);
/* The number of an account, made when it has none. */
MUST_CHECK enum err store_catalogue_account(struct store *store, const struct id *account,
                                            int64_t *out, struct errmsg *msg);
/* Removes a shard's file, wherever it lies. What fails is logged, and found by the next start. */
void store_remove_files(struct store *store, const struct id *segment, unsigned index);
/* The shard behind (segment, index) in their order; ERR_NOT_FOUND at the end. */
MUST_CHECK enum err store_catalogue_next(struct store *store, const struct id *segment, int index,
                                         struct store_shard *out, struct errmsg *msg);
/* Not inside a transaction that changes shards. */
MUST_CHECK enum err store_catalogue_counts(struct store *store, uint64_t *whole, uint64_t *damaged,
                                           uint64_t *bytes, struct errmsg *msg);
/* Compares the shard files with the catalogue: unknown ones are added, rows without a file become
   damaged ones, temp files are removed. */
MUST_CHECK enum err store_reconcile(struct store *store, struct errmsg *msg);

/* Shared by the files of the registry only. */
#pragma once

#include "db/db.h"
#include "documents/documents.h"
#include "registry.h"

struct registry_cell {
    uint32_t number; /* of its row; what the directory says for it */
    struct id id;
    uint8_t key[SIGN_PUBLIC_SIZE];
    struct buf addresses; /* owned; CBOR, address_list_encode() */
    char site[LIMIT_NAME_BYTES + 1];
    uint64_t sequence; /* of its statement */
    uint64_t give_bytes;
    bool claimed, leaving;
    struct id household;
    int64_t last_seen_s;
    uint64_t free_bytes, used_bytes, shard_count, damaged_count;
    bool unwritten; /* a heartbeat said something that is not in the database yet */
};

struct registry {
    struct registry_options options;
    struct db *db;
    struct registry_cell **cells; /* owned; by number - 1, no holes */
    size_t cell_count, cell_capacity;
    struct idmap by_id; /* -> struct registry_cell */

    struct buf list; /* the signed member list */
    struct id list_hash;
    uint64_t list_number;
    bool list_stale;
};

/* Facts. */
#define REGISTRY_FACT_LIST "members"

struct registry_cell *registry_cell_find(const struct registry *registry, const struct id *id);
enum wire_cell_state registry_cell_state(const struct registry *registry,
                                         const struct registry_cell *cell, int64_t now_s);
/* In memory; its number becomes the next one. */
MUST_CHECK enum err registry_cell_add(struct registry *registry, struct registry_cell **out);
/* Takes what a newer statement says; nothing when it is older. True when placement reads it. */
MUST_CHECK enum err registry_cell_take(struct registry_cell *cell,
                                       const struct member_statement *statement, bool *changed);
MUST_CHECK enum err registry_cell_write(struct registry *registry, const struct registry_cell *cell,
                                        struct errmsg *msg);
MUST_CHECK enum err registry_cells_load(struct registry *registry, struct errmsg *msg);
/* Whole GiB of the gift, at least 1 (0 without a gift), at most PLACEMENT_WEIGHT_MAX. */
uint16_t registry_weight(uint64_t give_bytes);

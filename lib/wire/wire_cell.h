/*
 * The smaller messages of a cell: have, an account's shards, claim, state. Shards themselves are in
 * wire_shard.h, heads in wire_heads.h.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"
#include "wire/wire_ids.h"

enum {
    WIRE_HAVE_ANSWERS = 65536, /* shards in one answer */
    WIRE_SHARD_NAMES = 4096,   /* in one piece of an account's list */
    WIRE_CODE_BYTES = 64,      /* claim code */
};

#define WIRE_HAVE_BYTES       WIRE_IDS_BYTES(WIRE_HAVE_IDS)
#define WIRE_HAVE_REPLY_BYTES (WIRE_HAVE_ANSWERS * 11u + 16u)
#define WIRE_NAMES_BYTES      (WIRE_SHARD_NAMES * 37u + 64u)
#define WIRE_CLAIM_BYTES      8192u
#define WIRE_STATE_BYTES      512u

/* --- POST /v1/have: which shards of these segments are here; the question is in wire_ids.h --- */

enum wire_shard_state {
    WIRE_SHARD_STORED = 1,
    WIRE_SHARD_DAMAGED = 2,
    WIRE_SHARD_WAITING = 3, /* deleted; readable until its hold is over */
    WIRE_SHARD_DEAD = 4,    /* the segment was freed, its name is never used again; index 0 */
};

struct wire_held {
    uint32_t position; /* of the segment in the question */
    uint8_t index;     /* of the shard */
    enum wire_shard_state state;
};

/* What is not in the answer is not here. In the order of positions. */
MUST_CHECK enum err wire_have_reply_encode(const struct wire_held *held, size_t count,
                                           struct buf *out);
MUST_CHECK enum err wire_have_reply_decode(struct slice in, struct wire_list *out);
bool wire_have_reply_next(struct wire_list *list, struct wire_held *out);

/* --- GET /v1/accounts/{account}/shards: everything held of an account, in pieces --- */

struct wire_shard_name {
    struct id segment;
    uint8_t index;
};

/* In the order of segment and index. `more`: there is more behind the last one. */
MUST_CHECK enum err wire_names_encode(const struct wire_shard_name *names, size_t count, bool more,
                                      struct buf *out);
MUST_CHECK enum err wire_names_decode(struct slice in, struct wire_list *out, bool *more);
bool wire_names_next(struct wire_list *list, struct wire_shard_name *out);

/* --- POST /v1/claim: "this cell is mine", for the cell's signature --- */

struct wire_claim {
    struct slice claim; /* document with the account's signature */
    struct slice code;  /* text from the cell's machine; size 0: none given */
};

/* Answered 200 with the claim signed by both. Encoding: FORMAT when the code cannot be one. */
MUST_CHECK enum err wire_claim_encode(const struct wire_claim *claim, struct buf *out);
MUST_CHECK enum err wire_claim_decode(struct slice in, struct wire_claim *out);

/* --- GET /v1/state: how the cell is --- */

struct wire_state {
    uint64_t given_bytes; /* what its owner gives */
    uint64_t used_bytes;
    uint64_t free_bytes; /* of what is given, and really free on the disk */
    uint64_t shard_count;
    uint64_t damaged_count;       /* quarantined */
    uint64_t scrub_checked_count; /* shards, in the round that is running */
    int64_t scrub_started_s;      /* 0: none is running */
    int64_t scrub_finished_s;     /* of the last full round; 0: never */
    int64_t scrub_next_s;         /* when the running round ends, or the next one; 0: not known */
    bool read_only;               /* a write failed: it serves, and takes nothing */
    bool leaving;                 /* its shards go to others */
    uint32_t trust;               /* of 1000, as the coordinator last said */
    uint64_t fault_count;
};

MUST_CHECK enum err wire_state_encode(const struct wire_state *state, struct buf *out);
MUST_CHECK enum err wire_state_decode(struct slice in, struct wire_state *out);

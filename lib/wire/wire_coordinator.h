/*
 * What only a coordinator answers: join, heartbeat, cells, place (segments and find
 * are in wire_directory.h). POST /v1/claims
 * takes a claim document as it is (at most WIRE_CLAIM_BYTES) and answers 200 with an empty body.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"
#include "wire/wire_list.h"

enum {
    WIRE_PLACE_CELLS = LIMIT_GROUP_CELLS, /* grants in one answer */
    WIRE_REDUNDANCY_BYTES = 16,           /* "4+2" */
};

#define WIRE_JOIN_BYTES       (LIMIT_MANIFEST_BYTES + 8192u)
#define WIRE_JOIN_REPLY_BYTES (LIMIT_MEMBER_LIST_BYTES + 65536u)
#define WIRE_HEARTBEAT_BYTES  16384u
#define WIRE_SINCE_BYTES      16u
#define WIRE_CELLS_ASKED      4096u /* IDs in a POST: its body is that of wire_ids.h */
#define WIRE_CELLS_BYTES      LIMIT_MEMBER_LIST_BYTES
#define WIRE_ACCOUNT_BYTES    64u
#define WIRE_PLACE_BYTES      (WIRE_PLACE_CELLS * 48u + 64u)
#define WIRE_GRANTS_BYTES     LIMIT_MESSAGE_BYTES

/* --- POST /v1/members/changes: the number of the list that the asker has; the answer is what
   identity/member_changes.h says --- */

MUST_CHECK enum err wire_since_encode(uint64_t number, struct buf *out);
MUST_CHECK enum err wire_since_decode(struct slice in, uint64_t *number);

/* --- POST /v1/join --- */

enum wire_join_kind { WIRE_JOIN_CELL = 1, WIRE_JOIN_ACCOUNT = 2 };

struct wire_join {
    enum wire_join_kind kind;
    struct slice invite;   /* document */
    struct slice document; /* cell: its member statement; account: its manifest number 1 */
};

struct wire_join_reply {
    struct slice coordinator; /* its certificate */
    struct slice members;     /* the member list, with the new cell in it */
    struct slice redundancy;  /* what this swarm uses, "4+2"; size 0: by the table of levels */
};

MUST_CHECK enum err wire_join_encode(const struct wire_join *join, struct buf *out);
MUST_CHECK enum err wire_join_decode(struct slice in, struct wire_join *out);
MUST_CHECK enum err wire_join_reply_encode(const struct wire_join_reply *reply, struct buf *out);
MUST_CHECK enum err wire_join_reply_decode(struct slice in, struct wire_join_reply *out);

/* --- POST /v1/heartbeat, from cells --- */

struct wire_heartbeat {
    struct slice statement; /* the member statement when it changed; size 0: the last one holds */
    uint64_t free_bytes;
    uint64_t used_bytes;
    uint64_t shard_count;
    uint64_t list_number; /* that the cell holds */
    uint64_t damaged_count;
    bool leaving; /* its shards are to go elsewhere, and no new ones to come */
};

struct wire_heartbeat_reply {
    uint64_t list_number; /* the newest; a cell that holds an older one GETs /v1/members */
    int64_t time_s;
    uint32_t interval_ms; /* until the next heartbeat */
    uint32_t work;        /* bits of wire_repair.h: worth asking for */
    bool drained;         /* for a cell that leaves: the directory names it no more, it can go */
    uint32_t trust; /* of 1000, and how often a shard of the cell was found to be missing or */
    uint64_t fault_count; /* wrong: who lost something is told */
    bool left_known;      /* a cell that leaves, and its shards have been counted: */
    uint64_t left_count;  /* so many are still to go to others, */
    uint64_t stuck_count; /* and so many segments of the swarm wait for a new cell */
};

MUST_CHECK enum err wire_heartbeat_encode(const struct wire_heartbeat *beat, struct buf *out);
MUST_CHECK enum err wire_heartbeat_decode(struct slice in, struct wire_heartbeat *out);
MUST_CHECK enum err wire_heartbeat_reply_encode(const struct wire_heartbeat_reply *reply,
                                                struct buf *out);
MUST_CHECK enum err wire_heartbeat_reply_decode(struct slice in, struct wire_heartbeat_reply *out);

/* --- GET /v1/cells: how they are just now --- */

enum wire_cell_state {
    WIRE_CELL_UP = 1,
    WIRE_CELL_ASLEEP = 2, /* missed heartbeats */
    WIRE_CELL_GONE = 3,   /* missed them beyond the grace time */
    WIRE_CELL_LEAVING = 4,
};

struct wire_cell {
    struct id id;
    enum wire_cell_state state;
    int64_t last_seen_s;
    uint64_t free_bytes;
    uint64_t used_bytes;
    /* How long the coordinator has watched it (older time counts less), and how much of that it was
       up. 0: not at all yet. */
    uint64_t observed_s, up_s;
};

struct wire_cells {
    int64_t time_s;
    uint64_t list_number;
    uint64_t exposure_s; /* of all cells together, as long as they were not gone */
    uint64_t loss_count; /* of them: gone for good, or came back empty */
    uint64_t gone_after_s;
    unsigned repair_percent; /* 1 to 100: less of m is left when repair begins */
    bool some;               /* only cells that were asked for are told (POST) */
    uint64_t up_count;       /* `some`: of the whole swarm */
};

MUST_CHECK enum err wire_cells_encode(const struct wire_cells *swarm, const struct wire_cell *cells,
                                      size_t count, struct buf *out);
MUST_CHECK enum err wire_cells_decode(struct slice in, struct wire_cells *swarm,
                                      struct wire_list *out);
bool wire_cells_next(struct wire_list *list, struct wire_cell *out);

/* --- GET /v1/account, from a device: what its account gives, uses and may use --- */

struct wire_account {
    uint64_t used_bytes;     /* shards of its segments, deleted ones until their hold is over */
    uint64_t given_bytes;    /* shards of others on its cells, proven */
    uint64_t allowed_bytes;  /* that it may use */
    uint64_t promised_bytes; /* by grants that may still be spent */
};

MUST_CHECK enum err wire_account_encode(const struct wire_account *account, struct buf *out);
MUST_CHECK enum err wire_account_decode(struct slice in, struct wire_account *out);

/* --- POST /v1/place: grants, ahead of need --- */

struct wire_want {
    struct id cell;
    uint64_t bytes; /* payload that the device means to store there */
};

MUST_CHECK enum err wire_place_encode(uint64_t list_number, const struct wire_want *wants,
                                      size_t count, struct buf *out);
MUST_CHECK enum err wire_place_decode(struct slice in, uint64_t *list_number,
                                      struct wire_list *out);
bool wire_place_next(struct wire_list *list, struct wire_want *out);

/* Grant documents in any order; cells that are refused have none. */
MUST_CHECK enum err wire_grants_encode(const struct slice *grants, size_t count, struct buf *out);
MUST_CHECK enum err wire_grants_decode(struct slice in, struct wire_list *out);
bool wire_grants_next(struct wire_list *list, struct slice *out);

/*
 * The client of a swarm: what a device (and later a repairing cell) does with the coordinator and
 * the cells. Members, placement and grants here; moving shards in swarm_upload.h and
 * swarm_gather.h; questions in swarm_have.h, swarm_heads.h and swarm_directory.h; becoming a member
 * in swarm_join.h.
 *
 *     swarm_open(&options, &swarm, msg);
 *     swarm_introduce(swarm, &hello, msg);           // what is shown on every connection
 *     swarm_refresh(swarm, refreshed, my, msg);      // newest list, who is up
 *     swarm_survey(swarm, &survey);                  // can k + m be placed?
 *     swarm_upload(...), swarm_gather(...)           // many at once
 *     swarm_close(swarm);                            // after every operation has ended
 *
 * Everything runs on the loop thread and is asynchronous: an error return means that no callback
 * follows; ERR_OK means exactly one end (`done`), never before the call returned. Each operation
 * has its cancel: done(ERR_CANCELLED) follows, not from inside the cancel. Heavy computing goes to
 * the work pool; the swarm has no threads of its own. Memory: a few KiB a member of the group and
 * an operation; the shards' bytes are the caller's.
 *
 * Cells are judged by what happened: one that failed is avoided for a while (doubling from
 * SWARM_AVOID_MS), one that is slow is hedged, one that is full gets nothing new for a while. A
 * coordinator that cannot be reached stops nothing but new grants: the cached list, or any cell's,
 * does.
 */
#pragma once

#include "base/log.h"
#include "identity/swarm_root.h"
#include "placement/placement.h"
#include "port/clock.h"
#include "port/net.h"
#include "port/random.h"
#include "port/work.h"
#include "wire/wire_coordinator.h"
#include "wire/wire_hello.h"

enum {
    SWARM_CELL_UPLOADS = 4, /* shards on their way to one cell at once */
    SWARM_CELL_FETCHES = 8, /* and from it */
    SWARM_AVOID_MS = 30000, /* after a first failure; doubles up to */
    SWARM_AVOID_MAX_MS = 600000,
    SWARM_FULL_MS = 600000,   /* a full cell is not asked again for so long */
    SWARM_HEDGE_MIN_MS = 300, /* nothing is called slow before */
    SWARM_HEDGE_FACTOR = 4,   /* and not before so many times what is usual */
    SWARM_SLOW_MS = 30000,    /* others are read from first for so long */
    SWARM_HEADS_CELLS = 16,   /* cells that keep an account's heads */
};

struct swarm;

struct swarm_options {
    struct net *net; /* all ports: borrowed until swarm_close */
    const struct clock *clock;
    const struct random *random;
    const struct work *work;
    const struct log *log;         /* may be NULL */
    const struct swarm_root *root; /* what certifies coordinators, and so lists. Copied */
    struct id account;             /* its own cells get none of its shards; zero: nobody's */
    struct id coordinator;         /* zero: not known, a list names it */
    const char *const *coordinator_addresses; /* copied */
    size_t coordinator_address_count;
    struct slice members;  /* the cached member list; may be empty. Copied */
    uint64_t grant_bytes;  /* asked of a cell at once; 0: 4 GiB */
    uint32_t hedge_min_ms; /* 0: SWARM_HEDGE_MIN_MS */
    uint32_t states_whole; /* 0: SWARM_STATES_WHOLE */
};

/* A cached list that does not verify is left out (and logged): a refresh brings another. ERR_NOMEM,
   ERR_USAGE. */
MUST_CHECK enum err swarm_open(const struct swarm_options *options, struct swarm **out,
                               struct errmsg *msg);

/* Every operation must have ended. NULL does nothing. */
void swarm_close(struct swarm *swarm);

/* What this device shows first on each connection, now and from now on; the bytes are copied. */
MUST_CHECK enum err swarm_introduce(struct swarm *swarm, const struct wire_hello *hello,
                                    struct errmsg *msg);

typedef void swarm_done_fn(void *user, enum err e, const struct errmsg *msg);

/* Who is a member and who is up: from the coordinator; when it cannot be reached, the highest list
   of a few cells, and ERR_OK all the same (swarm_coordinator_up() says which). Fails when there is
   no list at all: ERR_UNREACHABLE, or what the list is wrong about. One at a time (ERR_BUSY). */
MUST_CHECK enum err swarm_refresh(struct swarm *swarm, swarm_done_fn *done, void *user,
                                  struct errmsg *msg);

/* Did the coordinator answer the last time when it was asked? */
bool swarm_coordinator_up(const struct swarm *swarm);

/* This machine's wall clock and the coordinator's, which was told at the last refresh: the earlier
   and the later one. False: the coordinator has not answered in this run, and both are this
   machine's. What must not happen too soon waits by both. */
bool swarm_time(const struct swarm *swarm, int64_t *earlier_s, int64_t *later_s);

/* In a swarm of more members than that a refresh asks how some of them are: those of the group, the
   account's own, and those watched; of the others no state is known. */
enum { SWARM_STATES_WHOLE = 1024, SWARM_WATCH_MAX = 3072 };
bool swarm_is_large(const struct swarm *swarm);
/* Holders of what was stored, whose states are wanted too, from the next refresh on; copied, what
   is more than SWARM_WATCH_MAX is left out. Replaces those before. ERR_NOMEM. */
MUST_CHECK enum err swarm_watch(struct swarm *swarm, const struct id *cells, size_t count);
/* Members that are up, of all, as the coordinator last said. */
uint32_t swarm_members_up(const struct swarm *swarm);

uint64_t swarm_list_number(const struct swarm *swarm);    /* 0: there is none */
struct slice swarm_list_bytes(const struct swarm *swarm); /* to be cached; until a refresh */
struct id swarm_coordinator(const struct swarm *swarm);   /* zero: not known */

/* What a backup can count on, before it starts. */
struct swarm_survey {
    uint32_t members;          /* cells of the swarm */
    uint32_t own;              /* of them this account's: they get nothing of it */
    uint32_t cells;            /* of the group: outside own domains, eligible */
    uint32_t cells_up;         /* of the group, not known to be asleep, full or failing */
    uint32_t domains;          /* shards of one segment that could be placed if all were up */
    uint32_t domains_up;       /* that can be placed now */
    uint64_t observed_s, up_s; /* of the group's cells, by the coordinator; 0: not told */
};

void swarm_survey(const struct swarm *swarm, struct swarm_survey *out);

/* "Only 2 cells of other households can take shards now (of 5 in this swarm), and 4+2 needs 5": the
   error of an operation that needs k + ceil(m/2), ERR_OK when there are enough. */
MUST_CHECK enum err swarm_enough(const struct swarm *swarm, unsigned k, unsigned m,
                                 struct errmsg *msg);

/* Shards that must be receipted before a segment counts. */
static inline unsigned swarm_commit_count(unsigned k, unsigned m)
{
    return k + (m + 1) / 2;
}

/* --- members, as the newest list and the coordinator have them --- */

struct swarm_member {
    struct id id;
    struct id household; /* the claiming account; the cell's own ID while unclaimed */
    bool claimed;
    struct slice site;      /* text; borrowed until a refresh */
    struct slice addresses; /* CBOR, address_list_decode(); borrowed until a refresh */
    uint32_t weight;
    bool eligible;
    enum wire_cell_state state; /* 0: not told */
    int64_t last_seen_s;
    uint64_t free_bytes, used_bytes;
    uint64_t observed_s, up_s; /* watched by the coordinator; 0: not told, or not yet */
};

/* What the coordinator has seen of losses, and what it does about them. */
struct swarm_losses {
    uint64_t exposure_s;     /* for so long it has watched all cells together; 0: not told */
    uint64_t count;          /* of them are gone for good */
    uint64_t gone_after_s;   /* a silent cell's shards are made anew after so long */
    unsigned repair_percent; /* of m: less than that is left when repair begins */
};
void swarm_losses(const struct swarm *swarm, struct swarm_losses *out);

/* How the account stands with the coordinator. `account` is NULL with an error. */
typedef void swarm_account_fn(void *user, enum err e, const struct wire_account *account,
                              const struct errmsg *msg);
MUST_CHECK enum err swarm_account(struct swarm *swarm, swarm_account_fn *done, void *user,
                                  struct errmsg *msg);

size_t swarm_member_count(const struct swarm *swarm);
void swarm_member(const struct swarm *swarm, size_t number, struct swarm_member *out);
/* ERR_NOT_FOUND. */
MUST_CHECK enum err swarm_member_find(const struct swarm *swarm, const struct id *id,
                                      struct swarm_member *out);

/* --- grants: kept over restarts, so that backups go on without a coordinator --- */

/* Grants for so many bytes at each cell of the group, as far as those at hand do not do. Uploads
   ask by themselves when they have to; asking ahead saves them a round trip, and is what makes a
   later run possible when the coordinator is away. */
MUST_CHECK enum err swarm_grants_ask(struct swarm *swarm, uint64_t bytes_each, swarm_done_fn *done,
                                     void *user, struct errmsg *msg);

/* The unspent grants as bytes to be kept, and back. What is of another account or swarm, over, or
   not a grant is left out. ERR_FORMAT when the bytes are not from swarm_grants_save(). */
MUST_CHECK enum err swarm_grants_save(const struct swarm *swarm, struct buf *out);
MUST_CHECK enum err swarm_grants_load(struct swarm *swarm, struct slice bytes);

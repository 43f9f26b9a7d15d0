/*
 * Repair and proof: what a coordinator hands out, and what comes of it.
 *
 * Both are tickets (identity/ticket.h): a repair's names targets, a proof's has none. A cell that
 * heard in a heartbeat's answer that there is work asks for one, shows it to the cells that it
 * names (POST /v1/repair there, the ticket document as the body, answered with a wire_segment), and
 * reports.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"
#include "wire/wire_list.h"

/* Bits: of a heartbeat's answer (there is some), and of a request (I would do some). ORDERS only in
   a heartbeat's answer: delete orders wait for the cell (wire_removal.h). MANY the same: there are
   many proofs, another one can be asked for after each. */
enum { WIRE_WORK_REPAIR = 1, WIRE_WORK_PROOF = 2, WIRE_WORK_ORDERS = 4, WIRE_WORK_MANY = 8 };

enum {
    WIRE_TICKET_ID_SIZE = 16,
    WIRE_REPORT_FAULTS = 512,
    WIRE_DAMAGED = 1024,          /* shards in one report of damage */
    WIRE_TICKET_BYTES = 32 << 10, /* a ticket document */
};

#define WIRE_WORK_BYTES       16u
#define WIRE_WORK_REPLY_BYTES (WIRE_TICKET_BYTES + 64u)
#define WIRE_REPORT_BYTES     (LIMIT_SHARDS * 1028u + WIRE_REPORT_FAULTS * 44u + 256u)
#define WIRE_DAMAGE_BYTES     (WIRE_DAMAGED * 40u + 16u)
#define WIRE_AWAY_BYTES       64u

/* --- POST /v1/repairs, from a cell: is there a ticket for me? --- */

MUST_CHECK enum err wire_work_encode(unsigned wanted, struct buf *out);
MUST_CHECK enum err wire_work_decode(struct slice in, unsigned *wanted);

/* `kind` 0 and an empty ticket: nothing just now. */
struct wire_work_reply {
    unsigned kind;       /* one bit of WIRE_WORK_* */
    struct slice ticket; /* document */
};

MUST_CHECK enum err wire_work_reply_encode(const struct wire_work_reply *reply, struct buf *out);
MUST_CHECK enum err wire_work_reply_decode(struct slice in, struct wire_work_reply *out);

/* --- POST /v1/repairs/done: what became of a ticket --- */

enum wire_outcome {
    WIRE_OUTCOME_DONE = 1,         /* repair: receipts are here; proof: the shard is there */
    WIRE_OUTCOME_FAILED = 2,       /* nobody knows better than before: again later */
    WIRE_OUTCOME_INCONSISTENT = 3, /* k good shards do not make the others: never again */
    WIRE_OUTCOME_DISPROVED = 4,    /* proof: the cell answered, and has not what it should */
};

enum wire_fault_kind {
    WIRE_FAULT_MISSING = 2, /* the numbers of swarm/swarm_gather.h */
    WIRE_FAULT_DAMAGED = 3,
    WIRE_FAULT_LIED = 4,
};

struct wire_fault {
    uint8_t index;
    struct id cell;
    enum wire_fault_kind kind;
};

struct wire_report {
    uint8_t ticket[WIRE_TICKET_ID_SIZE];
    struct id segment;
    enum wire_outcome outcome;
    const struct slice *receipts;    /* to encode: documents */
    size_t receipt_count;            /* to encode, at most LIMIT_SHARDS */
    struct wire_list receipt_list;   /* decoded: wire_report_receipts_next() */
    const struct wire_fault *faults; /* to encode */
    size_t fault_count;              /* to encode, at most WIRE_REPORT_FAULTS */
    struct wire_list fault_list;     /* decoded: wire_report_faults_next() */
};

MUST_CHECK enum err wire_report_encode(const struct wire_report *report, struct buf *out);
MUST_CHECK enum err wire_report_decode(struct slice in, struct wire_report *out);
bool wire_report_receipts_next(struct wire_list *list, struct slice *out);
bool wire_report_faults_next(struct wire_list *list, struct wire_fault *out);

/* --- POST /v1/damage, from a cell: these shards of mine are damaged or missing --- */

struct wire_damaged {
    struct id segment;
    uint8_t index;
};

MUST_CHECK enum err wire_damage_encode(const struct wire_damaged *shards, size_t count,
                                       struct buf *out);
MUST_CHECK enum err wire_damage_decode(struct slice in, struct wire_list *out);
bool wire_damage_next(struct wire_list *list, struct wire_damaged *out);

/* --- POST /v1/away, from an admin of the claiming account: the cell will be silent till then ---
 */

MUST_CHECK enum err wire_away_encode(const struct id *cell, int64_t until_s, struct buf *out);
MUST_CHECK enum err wire_away_decode(struct slice in, struct id *cell, int64_t *until_s);

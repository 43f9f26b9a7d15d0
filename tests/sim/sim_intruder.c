/*
 * People who try what they must not: a device that was revoked, a stranger, forged signatures, used
 * up grants, old heads, old member lists, proofs that come too late or are made up. Each try must
 * be refused, and where it is a cell that refuses, counted.
 */
#include "sim_life_internal.h"

#include "cell_internal.h"
#include "crypto/sha256.h"
#include "documents/documents.h"
#include "identity/delete_order.h"
#include "identity/grant.h"
#include "identity/head.h"
#include "identity/signed_record.h"
#include "identity/ticket.h"
#include "placement/placement_lot.h"
#include "wire/wire_audit.h"
#include "wire/wire_coordinator.h"
#include "wire/wire_directory.h"
#include "wire/wire_heads.h"
#include "wire/wire_path.h"
#include "wire/wire_removal.h"
#include "wire/wire_repair.h"
#include "wire/wire_shard.h"

#include <stdlib.h>

enum { REPLY_MAX = 16 << 20, TRICK_SHARD = 4096, PROOF_LATE_MS = 31 * MINUTE_MS };

static void must(enum err e)
{
    if (e != ERR_OK)
        abort();
}

static int pick_running(struct sim_life *l)
{
    for (unsigned i = 0; i < 16; i++) {
        const unsigned c = (unsigned)life_below(l, l->options.cells);
        if (life_runs(l, c) && l->cells[c].fate == CELL_HERE)
            return (int)c;
    }
    return -1;
}

static uint64_t refused(struct sim_life *l, unsigned cell)
{
    struct cell_counters counters;
    sim_swarm_cell_counters(l->swarm, cell, &counters);
    return counters.refused_count;
}

static enum err ask_coordinator(struct sim_life *l, struct sim_node *from, enum net_method method,
                                const char *path, struct slice body, struct buf *reply)
{
    unsigned status;
    return sim_ask(l->swarm, from, &l->swarm->coordinator_node->id, "coordinator:1", method, path,
                   body, &status, reply);
}

static enum err ask_cell(struct sim_life *l, struct sim_node *from, unsigned cell,
                         enum net_method method, const char *path, struct slice body,
                         struct buf *reply)
{
    struct sim_cell *c = &l->swarm->cells[cell];
    unsigned status;
    return sim_ask(l->swarm, from, &c->node->id, c->address, method, path, body, &status, reply);
}

/* What must be refused by a cell that is reached. */
static enum err try_cell(struct sim_life *l, struct sim_node *from, unsigned cell,
                         enum net_method method, const char *path, struct slice body,
                         const char *what)
{
    struct buf reply = BUF_INIT(REPLY_MAX);
    const uint64_t before = refused(l, cell);
    const enum err e = ask_cell(l, from, cell, method, path, body, &reply);
    life_say(l, "%s at cell %u: %s", what, cell, err_name(e));
    l->result->attacks++;
    if (e == ERR_OK)
        life_break(l, "RIGHTS", "cell %u took %s", cell, what);
    else if (err_class(e) != ERR_CLASS_RETRYABLE && !l->cells[cell].calm_ms && e != ERR_NOT_FOUND &&
             e != ERR_CORRUPT && life_runs(l, cell) && refused(l, cell) <= before &&
             l->swarm->cells[cell].past.refused_count <= before)
        life_break(l, "COUNTED", "cell %u refused %s (%s) and did not count it", cell, what,
                   err_name(e));
    buf_free(&reply);
    return e;
}

/* --- shards of nobody's segments --- */

struct trick {
    struct id segment;
    uint8_t header[SEGMENT_HEADER_SIZE_MAX];
    uint8_t payload[TRICK_SHARD];
};

static void make_trick(struct sim_life *l, const struct sim_device *d, struct trick *t)
{
    struct segment_header header = {.suite = 1,
                                    .k = 2,
                                    .m = 1,
                                    .shard_bytes = TRICK_SHARD,
                                    .device_slot = d->slot,
                                    .epoch = 1,
                                    .account = d->account.account};
    struct merkle_hash leaf;
    struct sha256 *hash;
    must(sha256_new(&hash));
    put_le64(header.salt, sim_world_random(l->world));
    memset(t->payload, (int)life_below(l, 256), sizeof(t->payload));
    sha256_leaf(hash, slice_of(t->payload, TRICK_SHARD), leaf.bytes);
    merkle_root(hash, &leaf, 1, &header.roots[0]);
    sha256_free(hash);
    segment_header_encode(&header, t->header);
    segment_header_id(slice_of(t->header, segment_header_size(2, 1)), &t->segment);
}

static enum err put_trick(struct sim_life *l, const struct sim_device *d, const struct trick *t,
                          unsigned cell, struct slice grant)
{
    struct buf record = BUF_INIT(SIGNED_RECORD_BYTES_MAX), body = BUF_INIT(1 << 20);
    struct buf reply = BUF_INIT(REPLY_MAX);
    char path[WIRE_PATH_SIZE];
    const struct wire_path name = {.route = WIRE_SHARD, .id = t->segment, .index = 0};
    const struct signed_record r = {.segment = t->segment,
                                    .account = d->account.account,
                                    .slot = d->slot,
                                    .list_number = 1,
                                    .sequence = 1};
    must(signed_record_make(&r, &l->swarm->root, d->key, &record));
    const struct wire_prelude prelude = {.grant = grant,
                                         .record = buf_slice(&record),
                                         .header = slice_of(t->header, segment_header_size(2, 1))};
    must(wire_prelude_encode(&prelude, &body));
    must(buf_append(&body, t->payload, TRICK_SHARD));
    const enum err e = ask_cell(l, d->node, cell, NET_PUT, wire_path_format(&name, path),
                                buf_slice(&body), &reply);
    buf_free(&record);
    buf_free(&body);
    buf_free(&reply);
    return e;
}

/* --- grants --- */

static enum err get_grant(struct sim_life *l, const struct sim_device *d, unsigned cell,
                          uint64_t bytes, struct buf *out)
{
    const struct wire_want want = {.cell = l->swarm->cells[cell].node->id, .bytes = bytes};
    struct buf body = BUF_INIT(4096), reply = BUF_INIT(REPLY_MAX);
    struct wire_list list;
    struct slice doc;
    must(wire_place_encode(1, &want, 1, &body));
    enum err e = ask_coordinator(l, d->node, NET_POST, wire_path_plain(WIRE_PLACE),
                                 buf_slice(&body), &reply);
    if (e == ERR_OK &&
        (wire_grants_decode(buf_slice(&reply), &list) != ERR_OK || !wire_grants_next(&list, &doc)))
        e = ERR_NOT_FOUND;
    buf_clear(out);
    if (e == ERR_OK)
        must(buf_append(out, doc.data, doc.size));
    buf_free(&body);
    buf_free(&reply);
    return e;
}

/* A grant of one shard: a second one is too much. */
static void overspend(struct sim_life *l, unsigned cell)
{
    struct buf grant = BUF_INIT(GRANT_BYTES_MAX);
    struct trick t;
    if (get_grant(l, l->stranger, cell, TRICK_SHARD, &grant) == ERR_OK) {
        make_trick(l, l->stranger, &t);
        enum err e = put_trick(l, l->stranger, &t, cell, buf_slice(&grant));
        life_say(l, "a stranger stores what he was granted at cell %u: %s", cell, err_name(e));
        make_trick(l, l->stranger, &t);
        if (e == ERR_OK)
            e = put_trick(l, l->stranger, &t, cell, buf_slice(&grant));
        else
            e = ERR_QUOTA;
        l->result->attacks++;
        if (e == ERR_OK)
            life_break(l, "GRANT", "cell %u stored 8192 bytes under a grant of %u", cell,
                       TRICK_SHARD);
    }
    buf_free(&grant);
}

/* The stranger signs a grant himself. */
static void forge_grant(struct sim_life *l, unsigned cell)
{
    struct buf doc = BUF_INIT(GRANT_BYTES_MAX);
    struct trick t;
    const struct grant grant = {.incarnation = 1,
                                .account = l->stranger->account.account,
                                .device = l->stranger->node->id,
                                .cell = l->swarm->cells[cell].node->id,
                                .list_number = 1,
                                .expires_s = life_now_s(l) + 86400,
                                .budget_bytes = MIB(1)};
    const uint64_t before = refused(l, cell);
    must(grant_make(&grant, &l->swarm->root, l->stranger->key, &doc));
    make_trick(l, l->stranger, &t);
    const enum err e = put_trick(l, l->stranger, &t, cell, buf_slice(&doc));
    l->result->attacks++;
    if (e == ERR_OK)
        life_break(l, "RIGHTS", "cell %u took a forged grant", cell);
    else if (err_class(e) != ERR_CLASS_RETRYABLE && !l->cells[cell].calm_ms && e != ERR_NOT_FOUND &&
             e != ERR_CORRUPT && life_runs(l, cell) && refused(l, cell) <= before)
        life_break(l, "COUNTED", "cell %u refused a forged grant (%s) and did not count it", cell,
                   err_name(e));
    buf_free(&doc);
}

/* --- tickets --- */

static void forge_ticket(struct sim_life *l, unsigned cell)
{
    const unsigned from = (cell + 1) % l->options.cells;
    struct buf doc = BUF_INIT(TICKET_BYTES_MAX);
    struct ticket *ticket = calloc(1, sizeof(*ticket));
    if (!ticket)
        abort();
    if (l->backup->count && life_runs(l, from)) {
        const bool stale = life_below(l, 2) == 0;
        ticket->id[0] = 7;
        ticket->incarnation = 1;
        ticket->repairer = l->swarm->cells[from].node->id;
        ticket->segment = l->backup->segments[life_below(l, l->backup->count)].id;
        ticket->account = l->owner->account.account;
        ticket->list_number = 1;
        ticket->bytes_max = MIB(1);
        ticket->expires_s = stale ? SIM_WALL_START_NS / 1000000000 - 1 : life_now_s(l) + 3600;
        ticket->source_count = 1;
        ticket->sources[0].cell = l->swarm->cells[cell].node->id;
        must(ticket_make(ticket, &l->swarm->root,
                         stale ? l->swarm->coordinator_key : l->stranger->key, &doc));
        (void)try_cell(l, l->swarm->cells[from].node, cell, NET_POST, "/v1/repair", buf_slice(&doc),
                       stale ? "a ticket that is over" : "a forged ticket");
    }
    free(ticket);
    buf_free(&doc);
}

/* --- other people's shards --- */

static void read_foreign(struct sim_life *l, struct sim_device *d, unsigned cell, const char *what)
{
    char path[WIRE_PATH_SIZE];
    if (!l->backup->count)
        return;
    const unsigned s = (unsigned)life_below(l, l->backup->count);
    const struct wire_path name = {
        .route = WIRE_SHARD,
        .id = l->backup->segments[s].id,
        .index = (uint8_t)life_below(l, l->k + l->m),
    };
    (void)try_cell(l, d->node, cell, NET_GET, wire_path_format(&name, path), slice_of(NULL, 0),
                   what);
}

/* --- the thief --- */

static bool knows_revocation(struct sim_life *l, unsigned cell)
{
    struct buf doc = BUF_INIT(LIMIT_MANIFEST_BYTES);
    uint64_t number = 0;
    const enum err e = documents_manifest_get(store_db(l->swarm->cells[cell].store),
                                              &l->owner->account.account, &number, &doc, NULL);
    buf_free(&doc);
    return e == ERR_OK && number >= l->revoked_number;
}

static void thief_order(struct sim_life *l, unsigned segment, struct buf *body)
{
    struct buf doc = BUF_INIT(DELETE_ORDER_BYTES_MAX);
    const struct deed deed = {.account = l->owner->account.account,
                              .manifest_number = l->thief->manifest_number,
                              .slot = l->thief->slot,
                              .sequence = ++l->order_sequence,
                              .time_s = life_now_s(l)};
    must(delete_order_make(&deed, false, &l->backup->segments[segment].id, 1, &l->swarm->root,
                           l->thief->key, &doc));
    const struct wire_order order = {.kind = WIRE_ORDER_DELETE, .doc = buf_slice(&doc)};
    must(wire_delete_encode(&order, 1, body));
    buf_free(&doc);
}

static void publish_revocation(struct sim_life *l)
{
    unsigned acks;
    const enum err e = sim_backup_publish(l->backup, ++l->head_sequence, &acks);
    life_say(l, "the owner revokes the thief: %s, %u have it", err_name(e), acks);
}

/* With every key of a device he orders the cells to delete; its revocation comes within the hold.
 */
static void ransom(struct sim_life *l)
{
    struct buf body = BUF_INIT(DELETE_ORDER_BYTES_MAX), reply = BUF_INIT(REPLY_MAX);
    const unsigned s = (unsigned)life_below(l, l->backup->count);
    struct sim_promise *p = &l->promises[s];
    if (p->deleted)
        return;
    promise_look(l);
    p->deleted = p->threatened = true;
    p->ends_ms = life_now_ms(l) + l->swarm_options.hold_s * 1000;
    thief_order(l, s, &body);
    for (unsigned c = 0; c < l->options.cells; c++)
        if (life_runs(l, c)) {
            const enum err e = ask_cell(l, l->thief->node, c, NET_POST,
                                        wire_path_plain(WIRE_DELETE), buf_slice(&body), &reply);
            life_say(l, "a thief deletes segment %u at cell %u: %s", s, c, err_name(e));
        }
    sim_device_revoke(l->owner, l->thief);
    l->revoked_number = l->owner->manifest_number;
    l->thief_revoked_ms = life_now_ms(l);
    l->result->attacks++;
    publish_revocation(l);
    buf_free(&body);
    buf_free(&reply);
}

static void thief_goes_on(struct sim_life *l, unsigned cell)
{
    struct buf body = BUF_INIT(DELETE_ORDER_BYTES_MAX);
    const unsigned s = (unsigned)life_below(l, l->backup->count);
    if (!life_runs(l, cell) || !knows_revocation(l, cell))
        return;
    if (life_below(l, 2)) {
        read_foreign(l, l->thief, cell, "a question of a revoked device");
    } else {
        thief_order(l, s, &body);
        (void)try_cell(l, l->thief->node, cell, NET_POST, wire_path_plain(WIRE_DELETE),
                       buf_slice(&body), "a delete order of a revoked device");
    }
    buf_free(&body);
}

/* --- heads --- */

/* An old head of the owner's, shown again. What it does is seen by promise_check(). */
static void replay_head(struct sim_life *l, unsigned cell)
{
    struct buf doc = BUF_INIT(HEAD_BYTES_MAX), body = BUF_INIT(WIRE_HEADS_BYTES);
    struct buf reply = BUF_INIT(REPLY_MAX);
    char path[WIRE_PATH_SIZE];
    const struct wire_path name = {.route = WIRE_HEADS, .id = l->owner->account.account};
    if (l->head_sequence > 1) {
        sim_device_head(l->owner, 1 + life_below(l, l->head_sequence - 1), &doc);
        const struct slice head = buf_slice(&doc);
        must(wire_heads_encode(buf_slice(&l->owner->manifest), &head, 1, &body));
        wire_path_format(&name, path);
        const enum err e =
            life_below(l, 3) || !l->swarm->coordinator
                ? ask_cell(l, l->owner->node, cell, NET_PUT, path, buf_slice(&body), &reply)
                : ask_coordinator(l, l->owner->node, NET_PUT, path, buf_slice(&body), &reply);
        life_say(l, "an old head is shown again: %s", err_name(e));
        l->result->attacks++;
    }
    buf_free(&doc);
    buf_free(&body);
    buf_free(&reply);
}

/* --- proofs --- */

static enum err report_proof(struct sim_life *l, unsigned cell, enum wire_outcome outcome)
{
    struct buf body = BUF_INIT(WIRE_REPORT_BYTES), reply = BUF_INIT(REPLY_MAX);
    struct wire_report report = {.segment = l->proof_segment, .outcome = outcome};
    memcpy(report.ticket, l->proof_ticket, sizeof(report.ticket));
    must(wire_report_encode(&report, &body));
    const enum err e = ask_coordinator(l, l->swarm->cells[cell].node, NET_POST,
                                       wire_path_plain(WIRE_REPORT), buf_slice(&body), &reply);
    buf_free(&body);
    buf_free(&reply);
    return e;
}

/* A ticket for a proof in the cell's name, which the cell itself does not hear of. */
static bool take_proof(struct sim_life *l, unsigned cell)
{
    struct buf body = BUF_INIT(64), reply = BUF_INIT(WIRE_WORK_REPLY_BYTES);
    struct wire_work_reply work = {0};
    struct ticket *ticket = malloc(sizeof(*ticket));
    if (!ticket)
        abort();
    must(wire_work_encode(WIRE_WORK_PROOF, &body));
    const bool taken =
        ask_coordinator(l, l->swarm->cells[cell].node, NET_POST, wire_path_plain(WIRE_REPAIRS),
                        buf_slice(&body), &reply) == ERR_OK &&
        wire_work_reply_decode(buf_slice(&reply), &work) == ERR_OK && work.kind &&
        ticket_open(work.ticket, &l->swarm->root, &l->swarm->coordinator_node->id, ticket, NULL) ==
            ERR_OK;
    if (taken) {
        memcpy(l->proof_ticket, ticket->id, sizeof(l->proof_ticket));
        l->proof_segment = ticket->segment;
    }
    free(ticket);
    buf_free(&body);
    buf_free(&reply);
    return taken;
}

/* The lot falls on an auditor now and then only. */
static bool wait_for_proof(struct sim_life *l, unsigned cell)
{
    for (unsigned i = 0; i < 12 && !life_over(l); i++) {
        if (!life_runs(l, cell) || !l->swarm->coordinator)
            return false;
        if (take_proof(l, cell))
            return true;
        life_run(l, 20 * MINUTE_MS);
    }
    return false;
}

/* One auditor says of everybody that he has lost what he has. Always the same one: he is one voice.
 */
static void slander(struct sim_life *l)
{
    const unsigned auditor = 2;
    if (!wait_for_proof(l, auditor))
        return;
    l->cells[auditor].blamed = true;
    const enum err e = report_proof(l, auditor, WIRE_OUTCOME_DISPROVED);
    life_say(l, "cell %u slanders another one: %s", auditor, err_name(e));
    l->result->attacks++;
}

/* Told a minute after it was over. */
static void keep_proof(struct sim_life *l, unsigned cell)
{
    if (!wait_for_proof(l, cell))
        return;
    life_run(l, PROOF_LATE_MS);
    if (!life_runs(l, cell) || !l->swarm->coordinator)
        return;
    const enum err e = report_proof(l, cell, WIRE_OUTCOME_DONE);
    life_say(l, "a proof is told too late: %s", err_name(e));
    if (e == ERR_OK)
        life_break(l, "PROOF", "the coordinator counts a proof that was asked for %u minutes ago",
                   PROOF_LATE_MS / MINUTE_MS);
    l->result->attacks++;
}

/* A member asks for a proof on a day whose lot has not fallen on the two; or a stranger does. */
static void ask_without_lot(struct sim_life *l, unsigned cell)
{
    struct buf body = BUF_INIT(WIRE_LOT_BYTES);
    const unsigned from = (unsigned)life_below(l, l->options.cells);
    const struct member_list *members = l->swarm->cells[cell].cell->members;
    const struct id *asked = &l->swarm->cells[cell].node->id;
    struct wire_lot lot = {.day = cell_lot_day(l->swarm->cells[cell].cell)};
    if (l->backup->count == 0 || from == cell || !life_runs(l, from) || !members)
        return;
    lot.segment = l->backup->segments[life_below(l, l->backup->count)].id;
    const bool falls =
        placement_lot_falls(&l->swarm->cells[from].node->id, asked, lot.day, members->count);
    must(wire_lot_encode(&lot, &body));
    try_cell(l, falls ? l->stranger->node : l->swarm->cells[from].node, cell, NET_POST,
             wire_path_plain(WIRE_AUDIT), buf_slice(&body), "a question without a lot");
    buf_free(&body);
}

/* --- lists --- */

/* Somebody gives more, or less: a new list; and whoever sits on the coordinator's line shows the
   one before, and old changes, to the cells and to the owner's device. */
static void replay_list(struct sim_life *l, unsigned cell)
{
    struct sim_cell *c = &l->swarm->cells[cell];
    c->shape.give_bytes = GIB(1 + life_below(l, 4));
    cell_set_give(c->cell, c->shape.give_bytes);
    l->replay_until_ms = life_now_ms(l) + HOUR_MS;
    life_say(l, "cell %u gives %llu GiB; an old member list is shown instead", cell,
             (unsigned long long)(c->shape.give_bytes >> 30));
    life_run(l, 40 * MINUTE_MS);
    if (sim_backup_refresh(l->backup) != ERR_OK)
        life_say(l, "the owner's device does not hear who is there");
    promise_check(l);
    l->result->attacks++;
}

/* --- which --- */

void intruder_try(struct sim_life *l)
{
    const int cell = pick_running(l);
    if (cell < 0)
        return;
    const unsigned c = (unsigned)cell;
    switch (life_below(l, 11)) {
    case 0:
        overspend(l, c);
        break;
    case 1:
        forge_grant(l, c);
        break;
    case 2:
        forge_ticket(l, c);
        break;
    case 3:
        read_foreign(l, l->stranger, c, "a stranger's question");
        break;
    case 4:
    case 5:
        if (l->thief_revoked_ms)
            thief_goes_on(l, c);
        else if (l->backup->count && life_below(l, 4) == 0)
            ransom(l);
        break;
    case 6:
        replay_head(l, c);
        break;
    case 7:
        slander(l);
        break;
    case 8:
        keep_proof(l, c);
        break;
    case 9:
        ask_without_lot(l, c);
        break;
    default:
        replay_list(l, c);
        break;
    }
}

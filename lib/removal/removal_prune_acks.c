/*
 * When may a condemned list be acted on? Its own head must rest with enough, and every other device
 * that could build on a condemned segment must have published a head that names the list's head (or
 * a later one) as seen: from then on that device stores anew what it would have reused. Whatever it
 * published before is known here, was marked, and was rescued by this run's repacking. A device is
 * not waited for when it is revoked, excluded by name, reads nothing of others, or REMOVAL_WAIT_S
 * have passed by this machine's clock and by the coordinator's: one that has jumped decides
 * nothing.
 */
#include "removal/removal_prune_internal.h"

#include "identity/condemned.h"
#include "identity/delete_order.h"
#include "vault/vault_deed.h"
#include "wire/wire_removal.h"

#include <stdlib.h>

enum { PEERS_MAX = 65536 };

struct acks {
    struct vault *vault;
    const struct removal_prune_options *options;
    struct removal_prune_summary *summary;
    uint64_t kept;     /* sequence of our newest head that rests with enough */
    struct head *head; /* owned: room for one */
    struct id *peers;  /* owned; of the orders that are made */
    size_t peer_count;
};

/* --- acknowledgements --- */

/* Does the newest head of `device` name head `sequence` of `slot`? */
static enum err has_seen(struct acks *a, const struct manifest_device *device, uint32_t slot,
                         uint64_t sequence, bool *out, struct errmsg *msg)
{
    const enum err e = removal_waits_head(a->vault, device, a->head, msg);
    *out = e == ERR_OK && removal_waits_seen(a->head, slot, sequence);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Must this device have seen the list? */
static bool is_needed(const struct acks *a, const struct manifest_device *device,
                      uint32_t list_slot)
{
    return removal_waits_needed(a->vault, device, list_slot) &&
           !removal_prune_is_excluded(a->options, device);
}

static enum err acknowledged(struct acks *a, const struct index_record *record, bool *out,
                             struct errmsg *msg)
{
    const struct manifest *m = a->vault->manifest;
    int64_t now_s, later_s;
    const bool both = swarm_time(a->vault->swarm, &now_s, &later_s);
    const struct manifest_device *signer = removal_waits_signer(a->vault, record);
    enum err e = ERR_OK;
    uint32_t missing = 0;
    *out = signer && (!id_is_zero(&record->device) || record->head <= a->kept);
    if (!*out || (both && now_s > record->time_s + REMOVAL_WAIT_S))
        return ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < m->device_count; i++) {
        bool seen = true;
        if (is_needed(a, &m->devices[i], signer->slot))
            e = has_seen(a, &m->devices[i], signer->slot, record->head, &seen, msg);
        missing += !seen;
    }
    if (missing > a->summary->devices_waited_for)
        a->summary->devices_waited_for = missing;
    *out = missing == 0;
    return e;
}

/* --- orders --- */

static enum err add_peer(struct acks *a, const struct id *peer)
{
    for (size_t i = 0; i < a->peer_count; i++)
        if (id_equal(&a->peers[i], peer))
            return ERR_OK;
    if (a->peer_count == PEERS_MAX)
        return ERR_OK; /* the coordinator tells the rest */
    a->peers[a->peer_count++] = *peer;
    return ERR_OK;
}

/* Whoever has, or had, a shard of it. */
static enum err add_holders(struct acks *a, const struct id *segment, struct errmsg *msg)
{
    struct index_segment row;
    struct index_shard shards[LIMIT_SHARDS];
    size_t count = 0;
    enum err e = index_segment_get(a->vault->index, segment, &row, NULL);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    e = index_segment_shards(a->vault->index, row.number, shards, &count, msg);
    for (size_t i = 0; e == ERR_OK && i < count; i++)
        if (!id_is_zero(&shards[i].cell))
            e = add_peer(a, &shards[i].cell);
    return e;
}

static enum err make_order(struct acks *a, const struct id *segments, size_t count,
                           struct errmsg *msg)
{
    const struct id coordinator = {{0}};
    struct buf doc = BUF_INIT(DELETE_ORDER_BYTES_MAX);
    struct deed deed;
    a->peer_count = 0;
    enum err e = add_peer(a, &coordinator);
    for (size_t i = 0; e == ERR_OK && i < count; i++)
        e = add_holders(a, &segments[i], msg);
    if (e == ERR_OK)
        e = vault_deed_next(a->vault, &deed, msg);
    if (e == ERR_OK)
        e = delete_order_make(&deed, false, segments, count, &a->vault->swarm_root,
                              a->vault->device, &doc);
    if (e == ERR_OK)
        e = index_order_add(a->vault->index, WIRE_ORDER_DELETE, buf_slice(&doc), deed.time_s,
                            a->peers, a->peer_count, msg);
    if (e == ERR_OK)
        a->summary->segments_ordered += count;
    buf_free(&doc);
    return e;
}

/* The segments of a list that are still condemned: those in which something was needed again and
   could not be moved are not. */
static enum err order_list(struct acks *a, const struct index_record *record, struct errmsg *msg)
{
    struct id after = {{0}};
    struct id *ids = calloc(DELETE_ORDER_SEGMENTS_MAX, sizeof(*ids));
    size_t count = DELETE_ORDER_SEGMENTS_MAX;
    enum err e = ids ? ERR_OK : ERR_NOMEM;
    while (e == ERR_OK && count == DELETE_ORDER_SEGMENTS_MAX) {
        e = index_record_named(a->vault->index, record->number, &after, ids,
                               DELETE_ORDER_SEGMENTS_MAX, &count, msg);
        if (e == ERR_OK && count > 0)
            e = make_order(a, ids, count, msg);
    }
    free(ids);
    return e == ERR_OK
               ? index_record_set_orders(a->vault->index, record->number,
                                         clock_wall_ns(a->vault->ports.clock) / 1000000000, msg)
               : e;
}

static enum err count_waiting(struct acks *a, const struct index_record *record, struct errmsg *msg)
{
    uint64_t count;
    const enum err e = removal_waits_named(a->vault, record, &count, msg);
    a->summary->segments_waiting += e == ERR_OK ? count : 0;
    return e;
}

static enum err order_all(struct acks *a, struct errmsg *msg)
{
    struct index_record rows[16];
    size_t count = 16;
    uint64_t after = 0;
    enum err e = removal_waits_kept(a->vault, &a->kept, msg);
    while (e == ERR_OK && count == 16) {
        e = index_records(a->vault->index, INDEX_CONDEMNED_LIST, after, rows, 16, &count, msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            bool may = false;
            after = rows[i].number;
            if (rows[i].lifted || rows[i].orders_s != 0)
                continue;
            e = acknowledged(a, &rows[i], &may, msg);
            if (e == ERR_OK)
                e = may ? order_list(a, &rows[i], msg) : count_waiting(a, &rows[i], msg);
        }
    }
    return e;
}

enum err removal_prune_acks_order(struct vault *vault, const struct removal_prune_options *options,
                                  struct removal_prune_summary *summary, struct errmsg *msg)
{
    struct acks a = {.vault = vault, .options = options, .summary = summary};
    a.head = malloc(sizeof(*a.head));
    a.peers = calloc(PEERS_MAX, sizeof(*a.peers));
    enum err e = a.head && a.peers ? index_begin(vault->index, msg)
                                   : err_say(msg, ERR_NOMEM, "out of memory for delete orders");
    if (e == ERR_OK) {
        e = order_all(&a, msg);
        if (e == ERR_OK)
            e = index_commit(vault->index, msg);
        else
            index_rollback(vault->index);
    }
    free(a.head);
    free(a.peers);
    return e == ERR_OK ? e : err_wrap(msg, e, "cannot make the delete orders");
}

enum err removal_prune_acks_unkept(struct vault *vault, bool *out, struct errmsg *msg)
{
    struct index_record rows[16];
    size_t count = 16;
    uint64_t after = 0, kept = 0;
    enum err e = removal_waits_kept(vault, &kept, msg);
    *out = false;
    while (e == ERR_OK && count == 16) {
        e = index_records(vault->index, INDEX_CONDEMNED_LIST, after, rows, 16, &count, msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            after = rows[i].number;
            *out |= id_is_zero(&rows[i].device) && !rows[i].lifted && rows[i].orders_s == 0 &&
                    rows[i].head > kept;
        }
    }
    return e;
}

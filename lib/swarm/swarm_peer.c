#include "swarm/swarm_grant.h"
#include "swarm/swarm_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void swarm_peer_release(struct swarm_addresses *addresses)
{
    if (addresses && --addresses->uses == 0)
        free(addresses);
}

struct swarm_peer *swarm_peer_find(const struct swarm *swarm, const struct id *id)
{
    return idmap_get(&swarm->peers, id);
}

static void gate_init(struct swarm_gate *gate, unsigned limit)
{
    *gate = (struct swarm_gate){.limit = limit};
    list_init(&gate->waiting);
}

struct swarm_peer *swarm_peer_get(struct swarm *swarm, const struct id *id)
{
    struct swarm_peer *peer = idmap_get(&swarm->peers, id);
    if (peer)
        return peer;
    peer = calloc(1, sizeof(*peer));
    if (!peer)
        return NULL;
    peer->id = *id;
    peer->group = PLACEMENT_NONE;
    gate_init(&peer->uploads, SWARM_CELL_UPLOADS);
    gate_init(&peer->fetches, SWARM_CELL_FETCHES);
    if (swarm_members_fill(swarm, peer) != ERR_OK || idmap_set(&swarm->peers, id, peer) != ERR_OK) {
        swarm_peer_free(peer);
        return NULL;
    }
    return peer;
}

void swarm_peer_free(struct swarm_peer *peer)
{
    swarm_peer_release(peer->addresses);
    swarm_grant_free(peer->grant);
    free(peer);
}

enum err swarm_peer_set_addresses(struct swarm_peer *peer, const char *const *addresses,
                                  size_t count)
{
    size_t size = 0;
    if (count > LIMIT_ADDRESSES)
        count = LIMIT_ADDRESSES;
    for (size_t i = 0; i < count; i++)
        size += strlen(addresses[i]) + 1;
    struct swarm_addresses *made = calloc(1, sizeof(*made) + size);
    if (!made)
        return ERR_NOMEM;
    char *at = made->text;
    for (size_t i = 0; i < count; i++) {
        const size_t length = strlen(addresses[i]) + 1;
        memcpy(at, addresses[i], length);
        made->list[i] = at;
        at += length;
    }
    made->count = count;
    made->uses = 1;
    swarm_peer_release(peer->addresses);
    peer->addresses = made;
    return ERR_OK;
}

struct swarm_addresses *swarm_peer_target(struct swarm_peer *peer, struct net_target *out)
{
    *out = (struct net_target){.id = peer->id};
    if (peer->addresses) {
        peer->addresses->uses++;
        out->addresses = peer->addresses->list;
        out->address_count = peer->addresses->count;
    }
    return peer->addresses;
}

const char *swarm_peer_name(const struct swarm_peer *peer, char out[SWARM_PEER_NAME_SIZE])
{
    char id[ID_TEXT_SIZE];
    if (peer->is_coordinator)
        snprintf(out, SWARM_PEER_NAME_SIZE, "the coordinator");
    else
        snprintf(out, SWARM_PEER_NAME_SIZE, "cell %.8s", id_format(&peer->id, id));
    return out;
}

void swarm_peer_went(struct swarm *swarm, struct swarm_peer *peer, enum err e)
{
    switch (e) {
    case ERR_UNREACHABLE:
    case ERR_TIMEOUT:
    case ERR_WRONG_PEER:
    case ERR_PEER:
    case ERR_IO:
        break;
    case ERR_CANCELLED: /* these say nothing about it */
    case ERR_NOMEM:
        return;
    default: /* an answer, whatever it says */
        peer->failures = 0;
        peer->avoid_until_ms = 0;
        return;
    }
    uint64_t wait_ms = SWARM_AVOID_MS;
    for (unsigned i = 0; i < peer->failures && wait_ms < SWARM_AVOID_MAX_MS; i++)
        wait_ms *= 2;
    if (wait_ms > SWARM_AVOID_MAX_MS)
        wait_ms = SWARM_AVOID_MAX_MS;
    const uint64_t now_ms = swarm_now_ms(swarm);
    if (now_ms < peer->avoid_until_ms)
        return; /* one trouble breaks many calls: it counts once */
    peer->failures++;
    peer->avoid_until_ms = now_ms + wait_ms;
}

bool swarm_peer_good(const struct swarm *swarm, const struct swarm_peer *peer)
{
    return swarm_now_ms(swarm) >= peer->avoid_until_ms && peer->state != WIRE_CELL_ASLEEP &&
           peer->state != WIRE_CELL_GONE;
}

bool swarm_peer_quick(const struct swarm *swarm, const struct swarm_peer *peer)
{
    return swarm_peer_good(swarm, peer) && swarm_now_ms(swarm) >= peer->slow_until_ms;
}

void swarm_peer_slow(struct swarm *swarm, struct swarm_peer *peer)
{
    peer->slow_until_ms = swarm_now_ms(swarm) + SWARM_SLOW_MS;
}

bool swarm_peer_takes(const struct swarm *swarm, const struct swarm_peer *peer)
{
    const uint64_t now_ms = swarm_now_ms(swarm);
    return swarm_peer_good(swarm, peer) && peer->state != WIRE_CELL_LEAVING &&
           now_ms >= peer->full_until_ms && now_ms >= peer->refused_until_ms;
}

bool swarm_gate_enter(struct swarm_gate *gate, struct swarm_slot *slot)
{
    assert(!slot->waiting);
    if (gate->used < gate->limit) {
        gate->used++;
        return true;
    }
    slot->waiting = true;
    list_append(&gate->waiting, &slot->link);
    return false;
}

void swarm_gate_leave(struct swarm_gate *gate)
{
    assert(gate->used > 0);
    if (list_empty(&gate->waiting)) {
        gate->used--;
        return;
    }
    struct swarm_slot *slot = container_of(gate->waiting.next, struct swarm_slot, link);
    swarm_gate_forget(slot);
    slot->ready(slot);
}

void swarm_gate_forget(struct swarm_slot *slot)
{
    if (!slot->waiting)
        return;
    slot->waiting = false;
    list_remove(&slot->link);
}

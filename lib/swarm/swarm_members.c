#include "swarm/swarm_internal.h"

#include "identity/member_changes.h"
#include "wire/wire_ids.h"

#include <stdlib.h>

int64_t swarm_time_s(const struct swarm *swarm)
{
    return clock_wall_ns(swarm->clock) / 1000000000 + swarm->clock_ahead_s;
}

/* ---- a peer, as the list has it ---- */

static enum err peer_addresses(struct swarm_peer *peer, struct slice item)
{
    struct address_list *list = malloc(sizeof(*list));
    const char *texts[LIMIT_ADDRESSES];
    if (!list)
        return ERR_NOMEM;
    enum err e = address_list_decode(item, list);
    if (e == ERR_OK)
        e = swarm_peer_set_addresses(peer, texts, address_list_pointers(list, texts));
    free(list);
    return e == ERR_FORMAT || e == ERR_TOO_LARGE ? ERR_OK : e; /* a list of no use has none */
}

static void peer_state(struct swarm_peer *peer, const struct swarm_cell_state *state)
{
    peer->state = state->state;
    peer->last_seen_s = state->last_seen_s;
    peer->free_bytes = state->free_bytes;
    peer->used_bytes = state->used_bytes;
}

enum err swarm_members_fill(struct swarm *swarm, struct swarm_peer *peer)
{
    const struct member *member = swarm->list ? member_list_find(swarm->list, &peer->id) : NULL;
    peer->is_member = member != NULL;
    if (!member)
        return ERR_OK;
    peer_state(peer, &swarm->states[member - swarm->list->members]);
    return peer_addresses(peer, member->addresses);
}

/* ---- the group ---- */

static struct placement_cell cell_of(const struct member *member)
{
    return (struct placement_cell){
        .id = member->id,
        .household = member->household,
        .weight = member->eligible ? member->weight : 0,
        .site = member->site_number,
    };
}

enum err swarm_members_group(const struct swarm *swarm, const struct id *account,
                             struct placement_group *out)
{
    const struct member_list *list = swarm->list;
    const size_t count = list ? list->count : 0;
    struct placement_cell *cells = malloc((count + 1) * sizeof(*cells));
    if (!cells)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        cells[i] = cell_of(&list->members[i]);
    placement_group_pick(cells, count, account, 0, out);
    free(cells);
    return ERR_OK;
}

static enum err pick_group(struct swarm *swarm)
{
    enum err e = swarm_members_group(swarm, &swarm->account, &swarm->group);
    for (uint16_t i = 0; i < swarm->group.count && e == ERR_OK; i++) {
        swarm->group_peers[i] = swarm_peer_get(swarm, &swarm->group.cells[i].id);
        if (!swarm->group_peers[i])
            e = ERR_NOMEM;
        else
            swarm->group_peers[i]->group = i;
    }
    if (e != ERR_OK)
        swarm->group.count = swarm->group.domains = 0;
    return e;
}

/* ---- the coordinator ---- */

/* The addresses of its certificate in front of those that were known. */
static enum err take_coordinator(struct swarm *swarm, const struct coordinator_cert *cert)
{
    struct swarm_peer *peer = swarm_peer_get(swarm, &cert->id);
    const char *texts[2 * LIMIT_ADDRESSES];
    if (!peer)
        return ERR_NOMEM;
    if (swarm->coordinator)
        swarm->coordinator->is_coordinator = false;
    peer->is_coordinator = true;
    swarm->coordinator = peer;
    size_t count = address_list_pointers(&cert->addresses, texts);
    for (size_t i = 0; peer->addresses && i < peer->addresses->count; i++) {
        bool known = false;
        for (size_t j = 0; j < count; j++)
            known |= strcmp(texts[j], peer->addresses->list[i]) == 0;
        if (!known)
            texts[count++] = peer->addresses->list[i];
    }
    /* what was known is freed when the last call that borrows it ends, not before the copy */
    return swarm_peer_set_addresses(peer, texts, count);
}

/* ---- the list ---- */

void swarm_members_free(struct swarm *swarm)
{
    member_list_free(swarm->list);
    free(swarm->states);
    swarm->list = NULL;
    swarm->states = NULL;
}

/* What was told of the cells stays true under a new list. */
static void carry_states(const struct swarm *swarm, const struct member_list *list,
                         struct swarm_cell_state *states)
{
    for (size_t i = 0; swarm->list && i < list->count; i++) {
        const struct member *old = member_list_find(swarm->list, &list->members[i].id);
        if (old)
            states[i] = swarm->states[old - swarm->list->members];
    }
}

static enum err install(struct swarm *swarm, struct member_list *list,
                        struct swarm_cell_state *states)
{
    size_t at = 0;
    struct swarm_peer *peer;
    enum err e = ERR_OK;
    swarm_members_free(swarm);
    swarm->list = list;
    swarm->states = states;
    while ((peer = idmap_next(&swarm->peers, &at, NULL)) && e == ERR_OK) {
        peer->group = PLACEMENT_NONE;
        e = swarm_members_fill(swarm, peer);
    }
    if (e == ERR_OK)
        e = take_coordinator(swarm, &list->coordinator);
    return e == ERR_OK ? pick_group(swarm) : e;
}

enum err swarm_members_take(struct swarm *swarm, struct slice document, struct errmsg *msg)
{
    struct member_list *list;
    enum err e = member_changes_apply(document, swarm->list, &swarm->root, &list, msg);
    if (e != ERR_OK)
        return e;
    const int order = swarm->list ? member_list_compare(list, swarm->list) : 1;
    if (order <= 0) {
        e = order < 0
                ? err_say(msg, ERR_STALE, "member list %llu is older than the one that is here",
                          (unsigned long long)list->number)
                : ERR_OK;
        if (order == 0 && !id_equal(&list->hash, &swarm->list->hash))
            log_say(swarm->log, LOG_WARN,
                    "there are two different member lists with number %llu: the coordinator cheats",
                    (unsigned long long)list->number);
        goto free_list;
    }
    struct swarm_cell_state *states = calloc(list->count + 1, sizeof(*states));
    if (!states) {
        e = err_say(msg, ERR_NOMEM, "out of memory");
        goto free_list;
    }
    carry_states(swarm, list, states);
    e = install(swarm, list, states);
    return e == ERR_OK ? e : err_say(msg, e, "%s", err_words(e));
free_list:
    member_list_free(list);
    return e;
}

void swarm_members_states(struct swarm *swarm, struct wire_list *cells)
{
    struct wire_cell cell;
    while (swarm->list && wire_cells_next(cells, &cell)) {
        const struct member *member = member_list_find(swarm->list, &cell.id);
        struct swarm_peer *peer = swarm_peer_find(swarm, &cell.id);
        if (!member)
            continue;
        struct swarm_cell_state *state = &swarm->states[member - swarm->list->members];
        *state = (struct swarm_cell_state){cell.state,      cell.last_seen_s, cell.free_bytes,
                                           cell.used_bytes, cell.observed_s,  cell.up_s};
        if (peer)
            peer_state(peer, state);
    }
}

/* ---- what others may see of it ---- */

bool swarm_is_large(const struct swarm *swarm)
{
    return swarm_member_count(swarm) > swarm->states_whole;
}

enum err swarm_watch(struct swarm *swarm, const struct id *cells, size_t count)
{
    if (count > SWARM_WATCH_MAX)
        count = SWARM_WATCH_MAX;
    struct id *copy = malloc((count + 1) * sizeof(*copy));
    if (!copy)
        return ERR_NOMEM;
    if (count > 0)
        memcpy(copy, cells, count * sizeof(*copy));
    free(swarm->watched);
    swarm->watched = copy;
    swarm->watched_count = count;
    return ERR_OK;
}

static size_t add_id(struct id *ids, size_t count, const struct id *id)
{
    if (count < WIRE_CELLS_ASKED)
        ids[count++] = *id;
    return count;
}

enum err swarm_members_ask(const struct swarm *swarm, struct buf *body)
{
    struct id *ids = malloc(WIRE_CELLS_ASKED * sizeof(*ids));
    size_t count = 0;
    if (!ids)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < swarm->group.count; i++)
        count = add_id(ids, count, &swarm->group.cells[i].id);
    for (size_t i = 0; i < swarm->watched_count; i++)
        count = add_id(ids, count, &swarm->watched[i]);
    for (size_t i = 0; i < swarm_member_count(swarm); i++)
        if (id_equal(&swarm->list->members[i].household, &swarm->account))
            count = add_id(ids, count, &swarm->list->members[i].id);
    const enum err e = wire_ids_encode(ids, count, body);
    free(ids);
    return e;
}

uint32_t swarm_members_up(const struct swarm *swarm)
{
    uint32_t count = 0;
    if (swarm->some_states)
        return swarm->up_count;
    for (size_t i = 0; i < swarm_member_count(swarm); i++)
        count += swarm->states[i].state == WIRE_CELL_UP;
    return count;
}

uint64_t swarm_list_number(const struct swarm *swarm)
{
    return swarm->list ? swarm->list->number : 0;
}

struct slice swarm_list_bytes(const struct swarm *swarm)
{
    return swarm->list ? swarm->list->bytes : slice_of(NULL, 0);
}

struct id swarm_coordinator(const struct swarm *swarm)
{
    return swarm->coordinator ? swarm->coordinator->id : (struct id){0};
}

size_t swarm_member_count(const struct swarm *swarm)
{
    return swarm->list ? swarm->list->count : 0;
}

void swarm_member(const struct swarm *swarm, size_t number, struct swarm_member *out)
{
    const struct member *member = &swarm->list->members[number];
    const struct swarm_cell_state *state = &swarm->states[number];
    *out = (struct swarm_member){
        .id = member->id,
        .household = member->household,
        .claimed = member->claimed,
        .site = member->site,
        .addresses = member->addresses,
        .weight = member->weight,
        .eligible = member->eligible,
        .state = state->state,
        .last_seen_s = state->last_seen_s,
        .free_bytes = state->free_bytes,
        .used_bytes = state->used_bytes,
        .observed_s = state->observed_s,
        .up_s = state->up_s,
    };
}

void swarm_losses(const struct swarm *swarm, struct swarm_losses *out)
{
    *out = swarm->losses;
}

enum err swarm_member_find(const struct swarm *swarm, const struct id *id, struct swarm_member *out)
{
    const struct member *member = swarm->list ? member_list_find(swarm->list, id) : NULL;
    if (!member)
        return ERR_NOT_FOUND;
    swarm_member(swarm, (size_t)(member - swarm->list->members), out);
    return ERR_OK;
}

void swarm_survey(const struct swarm *swarm, struct swarm_survey *out)
{
    struct placement_cell up[LIMIT_GROUP_CELLS];
    struct placement_group group;
    *out = (struct swarm_survey){.members = (uint32_t)swarm_member_count(swarm)};
    for (size_t i = 0; i < out->members; i++)
        out->own += id_equal(&swarm->list->members[i].household, &swarm->account);
    out->cells = swarm->group.count;
    out->domains = swarm->group.domains;
    for (uint32_t i = 0; i < swarm->group.count; i++) {
        const struct member *member = member_list_find(swarm->list, &swarm->group.cells[i].id);
        out->observed_s += member ? swarm->states[member - swarm->list->members].observed_s : 0;
        out->up_s += member ? swarm->states[member - swarm->list->members].up_s : 0;
    }
    for (uint32_t i = 0; i < swarm->group.count; i++)
        if (swarm_peer_takes(swarm, swarm->group_peers[i]))
            up[out->cells_up++] = swarm->group.cells[i];
    placement_group_pick(up, out->cells_up, &swarm->account, 0, &group);
    out->domains_up = group.domains;
}

enum err swarm_enough(const struct swarm *swarm, unsigned k, unsigned m, struct errmsg *msg)
{
    struct swarm_survey survey;
    const unsigned needed = swarm_commit_count(k, m);
    swarm_survey(swarm, &survey);
    if (survey.domains_up >= needed)
        return ERR_OK;
    if (survey.members == 0)
        return err_say(msg, ERR_NOT_ENOUGH, "this swarm has no cells yet, and %u+%u needs %u", k, m,
                       needed);
    return err_say(msg, ERR_NOT_ENOUGH,
                   "only %u %s of other households can take shards now, and %u+%u needs %u "
                   "(the swarm has %u %s, %u of them yours, %u in other failure domains, %u of "
                   "those awake)",
                   survey.domains_up, survey.domains_up == 1 ? "cell" : "cells", k, m, needed,
                   survey.members, survey.members == 1 ? "cell" : "cells", survey.own,
                   survey.domains, survey.domains_up);
}

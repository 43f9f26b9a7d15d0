/*
 * Where a rebuilt shard goes: the order is the owner's own (placement/), the domains are those of
 * all the segment's shards, also of those on cells outside of the account's group.
 */
#include "registry_internal.h"

#include "base/planted.h"

#include <stdlib.h>

static uint32_t site_number(const char *site)
{
    uint32_t hash = 2166136261u; /* FNV-1a; two sites with one number only part shards more */
    for (const char *at = site; *at; at++)
        hash = (hash ^ (uint8_t)*at) * 16777619u;
    return *site ? hash | 1 : 0;
}

static enum err make_group(struct registry *registry, const struct id *account, int64_t now_s,
                           struct errmsg *msg)
{
    const uint64_t list = registry_list_number(registry);
    if (registry->group && registry->group_list == list &&
        id_equal(&registry->group_account, account))
        return ERR_OK;
    if (!registry->group)
        registry->group = malloc(sizeof(*registry->group));
    struct placement_cell *cells =
        calloc(registry->cell_count ? registry->cell_count : 1, sizeof(*cells));
    if (!cells || !registry->group) {
        free(cells);
        return err_say(msg, ERR_NOMEM, "out of memory for a placement");
    }
    for (size_t i = 0; i < registry->cell_count; i++) {
        const struct registry_cell *cell = registry->cells[i];
        const bool takes = registry_hold(registry, cell, now_s) == REGISTRY_HOLDS &&
                           registry_takes_new(registry, cell);
        cells[i] = (struct placement_cell){
            .id = cell->id,
            .household = cell->claimed ? cell->household : cell->id,
            .weight = takes ? registry_cell_weight(registry, cell) : 0,
            .site = site_number(cell->site),
        };
    }
    placement_group_pick(cells, registry->cell_count, account, 0, registry->group);
    free(cells);
    registry->group_account = *account;
    registry->group_list = list;
    return ERR_OK;
}

static bool share_domain(const struct registry_cell *a, const struct registry_cell *b)
{
    if (PLANTED(DOUBLE_PLACEMENT))
        return false;
    return a == b || (a->claimed && b->claimed && id_equal(&a->household, &b->household)) ||
           (a->site[0] && strcmp(a->site, b->site) == 0);
}

static bool takes_shard(const struct registry *registry, const struct registry_segment *segment,
                        const struct registry_cell *cell, int64_t now_s)
{
    return registry_cell_state(registry, cell, now_s) == WIRE_CELL_UP &&
           registry_takes_new(registry, cell) && cell->free_bytes >= segment->shard_bytes;
}

static bool had_it(const struct registry_segment *segment, const struct registry_cell *cell)
{
    for (size_t i = 0; i < segment->count; i++)
        if (segment->places[i].cell == cell)
            return true;
    return false;
}

/* First who was heard since a repair last missed it, or never was missed: else a cell that has just
   gone to sleep costs the k shards of a try again and again. Then who was missed; and last whose
   own copy is damaged: it may take it again, when there is nobody else. */
enum { RANKS = 3 };
static int rank(const struct registry_segment *segment, const struct registry_cell *cell)
{
    if (had_it(segment, cell))
        return 2;
    return cell->missed_s && cell->missed_s >= cell->last_seen_s ? 1 : 0;
}

static bool fits(struct registry_cell *const holders[LIMIT_SHARDS], unsigned index,
                 const struct registry_cell *cell)
{
    for (unsigned i = 0; i < LIMIT_SHARDS; i++)
        if (holders[i] && (holders[i] == cell || (i != index && share_domain(holders[i], cell))))
            return false;
    return true;
}

enum err registry_targets(struct registry *registry, const struct registry_segment *segment,
                          struct registry_cell *const holders[LIMIT_SHARDS], const uint8_t *indexes,
                          size_t count, int64_t now_s, struct registry_cell **out, size_t *placed,
                          struct errmsg *msg)
{
    struct registry_cell *used[LIMIT_SHARDS];
    uint16_t order[LIMIT_GROUP_CELLS];
    struct id account;
    *placed = 0;
    enum err e = registry_account_id(registry, segment->account, &account, msg);
    if (e == ERR_OK)
        e = make_group(registry, &account, now_s, msg);
    if (e != ERR_OK)
        return e;
    memcpy(used, holders, sizeof(used));
    placement_order(registry->group, &segment->id, order);
    for (size_t i = 0; i < count; i++) {
        out[i] = NULL;
        for (int wanted = 0; wanted < RANKS && !out[i]; wanted++) {
            for (uint32_t at = 0; at < registry->group->count && !out[i]; at++) {
                struct registry_cell *cell = registry->cells[registry->group->members[order[at]]];
                if (rank(segment, cell) == wanted && takes_shard(registry, segment, cell, now_s) &&
                    fits(used, indexes[i], cell))
                    out[i] = cell;
            }
        }
        if (out[i]) {
            used[indexes[i]] = out[i];
            (*placed)++;
        }
    }
    return ERR_OK;
}

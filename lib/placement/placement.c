#include "placement/placement.h"

#include <assert.h>
#include <stdlib.h>

/* ---- the group ---- */

struct scored {
    uint64_t score; /* higher is better */
    uint32_t index; /* in the caller's cells */
};

struct picking {
    const struct placement_cell *cells;
    struct scored best[LIMIT_GROUP_CELLS]; /* best first */
    uint32_t count;
};

static bool better(const struct picking *p, struct scored a, struct scored b)
{
    if (a.score != b.score)
        return a.score > b.score;
    return id_compare(&p->cells[a.index].id, &p->cells[b.index].id) < 0;
}

/* When the household has its full number in the group: where its worst one stands, else -1. */
static int household_worst(const struct picking *p, const struct id *household)
{
    int worst = -1;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        if (id_equal(&p->cells[p->best[i].index].household, household)) {
            seen++;
            worst = (int)i;
        }
    }
    return seen >= PLACEMENT_GROUP_HOUSEHOLD_MAX ? worst : -1;
}

static void picking_remove(struct picking *p, uint32_t at)
{
    memmove(&p->best[at], &p->best[at + 1], (p->count - at - 1) * sizeof(p->best[0]));
    p->count--;
}

static void picking_offer(struct picking *p, struct scored candidate)
{
    if (p->count == LIMIT_GROUP_CELLS && !better(p, candidate, p->best[p->count - 1]))
        return;
    int worst = household_worst(p, &p->cells[candidate.index].household);
    if (worst >= 0) {
        if (!better(p, candidate, p->best[worst]))
            return;
        picking_remove(p, (uint32_t)worst);
    } else if (p->count == LIMIT_GROUP_CELLS) {
        p->count--;
    }
    uint32_t at = p->count;
    while (at > 0 && better(p, candidate, p->best[at - 1]))
        at--;
    memmove(&p->best[at + 1], &p->best[at], (p->count - at) * sizeof(p->best[0]));
    p->best[at] = candidate;
    p->count++;
}

/* ---- domains: cells as pairings of households with sites ---- */

/* Numbers the households and sites of a group from 0. */
static void group_number(struct placement_group *group)
{
    uint16_t households = 0, sites = 0;
    for (uint16_t i = 0; i < group->count; i++) {
        const struct placement_cell *cell = &group->cells[i];
        uint16_t household = PLACEMENT_NONE, site = PLACEMENT_NONE;
        for (uint16_t j = 0; j < i; j++) {
            if (id_equal(&group->cells[j].household, &cell->household))
                household = group->households[j];
            if (cell->site != 0 && group->cells[j].site == cell->site)
                site = group->sites[j];
        }
        group->households[i] = household == PLACEMENT_NONE ? households++ : household;
        group->sites[i] = site == PLACEMENT_NONE ? sites++ : site;
    }
}

struct pairing {
    const struct placement_group *group;
    const uint16_t *order;            /* cells, the preferred ones first */
    uint16_t held[LIMIT_GROUP_CELLS]; /* site -> the cell that has it, or PLACEMENT_NONE */
    bool seen[LIMIT_GROUP_CELLS];     /* sites visited by the running search */
};

/* Finds a cell of `household`, the first in order for choice, whose site is free or can be freed by
   giving the household that has it another of its cells (Kuhn's augmenting path). Depth is bounded
   by the sites. */
static bool pairing_add(struct pairing *p, uint16_t household)
{
    for (uint32_t i = 0; i < p->group->count; i++) {
        const uint16_t cell = p->order[i];
        const uint16_t site = p->group->sites[cell];
        if (p->group->households[cell] != household || p->seen[site])
            continue;
        p->seen[site] = true;
        if (p->held[site] == PLACEMENT_NONE ||
            pairing_add(p, p->group->households[p->held[site]])) {
            p->held[site] = cell;
            return true;
        }
    }
    return false;
}

/* Pairs households with sites, in the order in which their cells come, until `wanted` have a cell.
   Marks the cells in `chosen`; returns how many there are. */
static uint32_t pairing_run(const struct placement_group *group, const uint16_t *order,
                            uint32_t wanted, bool chosen[LIMIT_GROUP_CELLS])
{
    struct pairing p = {.group = group, .order = order};
    bool tried[LIMIT_GROUP_CELLS] = {false};
    uint32_t found = 0;
    for (uint32_t i = 0; i < group->count; i++) {
        p.held[i] = PLACEMENT_NONE;
        chosen[i] = false;
    }
    for (uint32_t i = 0; i < group->count && found < wanted; i++) {
        const uint16_t household = group->households[order[i]];
        if (tried[household])
            continue;
        tried[household] = true;
        memset(p.seen, 0, sizeof(p.seen));
        found += pairing_add(&p, household);
    }
    for (uint32_t site = 0; site < group->count; site++)
        if (p.held[site] != PLACEMENT_NONE)
            chosen[p.held[site]] = true;
    return found;
}

static uint32_t group_domains(const struct placement_group *group)
{
    uint16_t order[LIMIT_GROUP_CELLS];
    bool chosen[LIMIT_GROUP_CELLS];
    for (uint16_t i = 0; i < group->count; i++)
        order[i] = i;
    return pairing_run(group, order, group->count, chosen);
}

void placement_group_pick(const struct placement_cell *cells, size_t count,
                          const struct id *account, uint32_t generation,
                          struct placement_group *out)
{
    struct picking p = {.cells = cells};
    for (size_t i = 0; i < count; i++) {
        if (cells[i].weight == 0 || id_equal(&cells[i].household, account))
            continue;
        picking_offer(&p,
                      (struct scored){.score = placement_hash(account, &cells[i].id, generation),
                                      .index = (uint32_t)i});
    }
    out->count = p.count;
    for (uint32_t i = 0; i < p.count; i++) {
        out->cells[i] = cells[p.best[i].index];
        out->members[i] = p.best[i].index;
    }
    group_number(out);
    out->domains = group_domains(out);
}

/* ---- a segment ---- */

struct ranked {
    uint64_t cost; /* -log2 of the hash, smaller is better; to be divided by the weight */
    uint64_t hash;
    uint32_t weight;
    uint16_t cell;
};

/* cost_a / weight_a against cost_b / weight_b without a division; then the hash, then the cell's
   place in the group, which the IDs decide. Costs are below 2^30 and weights below 2^16. */
static int ranked_compare(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    const uint64_t x = a->cost * b->weight, y = b->cost * a->weight;
    if (x != y)
        return x < y ? -1 : 1;
    if (a->hash != b->hash)
        return a->hash > b->hash ? -1 : 1;
    return a->cell < b->cell ? -1 : 1;
}

void placement_order(const struct placement_group *group, const struct id *segment,
                     uint16_t out[LIMIT_GROUP_CELLS])
{
    struct ranked ranked[LIMIT_GROUP_CELLS];
    for (uint16_t i = 0; i < group->count; i++) {
        const uint64_t hash = placement_hash(segment, &group->cells[i].id, 0);
        const uint32_t weight = group->cells[i].weight;
        ranked[i] = (struct ranked){
            .cost = placement_cost(hash),
            .hash = hash,
            .weight = weight < PLACEMENT_WEIGHT_MAX ? weight : PLACEMENT_WEIGHT_MAX,
            .cell = i,
        };
    }
    qsort(ranked, group->count, sizeof(ranked[0]), ranked_compare);
    for (uint32_t i = 0; i < group->count; i++)
        out[i] = ranked[i].cell;
}

bool placement_fits(const struct placement_group *group, const uint16_t *used, size_t used_count,
                    uint16_t candidate)
{
    assert(candidate < group->count);
    for (size_t i = 0; i < used_count; i++) {
        if (used[i] == PLACEMENT_NONE)
            continue;
        if (group->households[used[i]] == group->households[candidate] ||
            group->sites[used[i]] == group->sites[candidate])
            return false;
    }
    return true;
}

/* Gives the shards of sleeping cells to spares and takes those out of the list. */
static void plan_replace(const struct placement_group *group, const bool *asleep,
                         struct placement_plan *plan)
{
    for (uint32_t i = 0; i < plan->placed; i++)
        if (asleep[plan->cells[i]])
            plan->cells[i] = PLACEMENT_NONE;
    uint32_t kept = 0, hole = 0;
    for (uint32_t s = 0; s < plan->spare_count; s++) {
        while (hole < plan->placed && plan->cells[hole] != PLACEMENT_NONE)
            hole++;
        if (hole < plan->placed &&
            placement_fits(group, plan->cells, plan->placed, plan->spares[s]))
            plan->cells[hole] = plan->spares[s];
        else
            plan->spares[kept++] = plan->spares[s];
    }
    plan->spare_count = kept;
    plan->placed = 0;
    for (uint32_t i = 0; i < plan->count; i++)
        plan->placed += plan->cells[i] != PLACEMENT_NONE;
}

void placement_plan(const struct placement_group *group, const struct id *segment, uint32_t shards,
                    const bool *asleep, struct placement_plan *out)
{
    assert(shards <= LIMIT_SHARDS);
    uint16_t order[LIMIT_GROUP_CELLS];
    bool chosen[LIMIT_GROUP_CELLS];
    placement_order(group, segment, order);
    pairing_run(group, order, shards, chosen);

    *out = (struct placement_plan){.count = shards};
    for (uint32_t i = 0; i < group->count; i++) {
        const uint16_t cell = order[i];
        if (chosen[cell])
            out->cells[out->placed++] = cell;
        else if (!asleep || !asleep[cell])
            out->spares[out->spare_count++] = cell;
    }
    for (uint32_t i = out->placed; i < shards; i++)
        out->cells[i] = PLACEMENT_NONE;
    if (asleep)
        plan_replace(group, asleep, out);
}

uint16_t placement_find(const struct placement_group *group, const struct id *cell)
{
    for (uint16_t i = 0; i < group->count; i++)
        if (id_equal(&group->cells[i].id, cell))
            return i;
    return PLACEMENT_NONE;
}

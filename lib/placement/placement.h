/*
 * Which cells a segment's shards go to: a pure function of the signed member list, the same on
 * every machine (integers only), so that the owner can compute it and anybody can check it
 * (docs/placement.md).
 *
 *     placement_group_pick(cells, count, &account, generation, &group);  // once a member list
 *     placement_plan(&group, &segment, k + m, asleep, &plan);            // for each segment
 *     shard i goes to group.cells[plan.cells[i]], or, when that one fails, to the next spare that
 * fits
 *
 * Group: the at most 256 eligible cells with the best rendezvous scores for (account, generation),
 * never the account's own, at most PLACEMENT_GROUP_HOUSEHOLD_MAX of one household. Weights play no
 * part in it: they decide the order for each segment (weighted rendezvous), so a cell's share is
 * proportional to its weight however many cells there are.
 *
 * Failure domains: two shards of a segment never rest with one household, nor at one site. A
 * household is the owner's account; an unclaimed cell is a household of its own. Nothing here
 * allocates, so nothing fails.
 */
#pragma once

#include "base/id.h"
#include "base/limits.h"

enum {
    PLACEMENT_WEIGHT_MAX = 65535,
    PLACEMENT_GROUP_HOUSEHOLD_MAX = 16,
    PLACEMENT_NONE = 0xffff, /* no cell for this shard */
};

/* What placement reads of a member. */
struct placement_cell {
    struct id id;
    struct id household; /* the owner's account; the cell's own ID while nobody claimed it */
    uint32_t weight;     /* up to PLACEMENT_WEIGHT_MAX (more counts as that); 0: gets nothing new */
    uint32_t site;       /* equal numbers stand for one site; 0: none given, a site of its own */
};

struct placement_group {
    struct placement_cell cells[LIMIT_GROUP_CELLS]; /* best score first */
    uint32_t members[LIMIT_GROUP_CELLS];            /* where each stood in the list given */
    uint16_t households[LIMIT_GROUP_CELLS];         /* the households as small numbers */
    uint16_t sites[LIMIT_GROUP_CELLS];              /* and the sites */
    uint32_t count;
    uint32_t domains; /* most shards of one segment that can be placed without sharing a domain */
};

struct placement_plan {
    uint16_t cells[LIMIT_SHARDS]; /* shard -> number in group.cells, or PLACEMENT_NONE */
    uint32_t count;               /* shards asked for */
    uint32_t placed;              /* of them with a cell */
    uint16_t
        spares[LIMIT_GROUP_CELLS]; /* the others in order of preference, sleeping ones left out */
    uint32_t spare_count;
};

/* The rendezvous hash: SipHash-2-4 (Aumasson and Bernstein, 2012) with the first 16 bytes of
   `subject` as its key over cell ‖ rest of `subject` ‖ le64(number). Our own because it must be the
   same everywhere and cost some tens of nanoseconds; it guards nothing secret. */
uint64_t placement_hash(const struct id *subject, const struct id *cell, uint64_t number);

/* SipHash-2-4 itself, for its test vectors. */
uint64_t placement_siphash(const uint8_t key[16], struct slice message);

/* -log2((h + 1) / 2^32) with 24 fractional bits, h the upper half of `hash`: what is divided by the
   weight to get a cell's cost for a segment. By repeated squaring, exact to the last bit or one
   below. */
uint64_t placement_cost(uint64_t hash);

/* `cells` in any order: the outcome depends on the set alone. About 50 ns a cell. */
void placement_group_pick(const struct placement_cell *cells, size_t count,
                          const struct id *account, uint32_t generation,
                          struct placement_group *out);

/* All of the group's cells, cheapest first for this segment. */
void placement_order(const struct placement_group *group, const struct id *segment,
                     uint16_t out[LIMIT_GROUP_CELLS]);

/* `shards` cells for a segment and the spares. `asleep` (may be NULL: none) says by number in the
   group which cells are known to be asleep: the plan is made without looking at it, then the shard
   of a sleeping cell goes to the first spare that fits; where none fits it stays without a cell. So
   two devices with different news differ only in the sleeping cells' shards. */
void placement_plan(const struct placement_group *group, const struct id *segment, uint32_t shards,
                    const bool *asleep, struct placement_plan *out);

/* May `candidate` hold a shard beside the cells in `used` (PLACEMENT_NONE entries are passed over)?
 */
bool placement_fits(const struct placement_group *group, const uint16_t *used, size_t used_count,
                    uint16_t candidate);

/* The number of the cell in the group, or PLACEMENT_NONE. */
uint16_t placement_find(const struct placement_group *group, const struct id *cell);

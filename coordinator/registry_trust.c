/*
 * Trust: a number up to 1000, apart from uptime.
 *
 *     1000 ... 750    as everybody
 *      750 ... 500    on trial: few new shards, until it has proven more
 *      500 ... 250    no new shards
 *      below   250    those that it has move away
 *
 * A shard that others find to be missing or wrong costs three fifths of it, one that the cell
 * itself says to be a tenth (disks rot, but one that loses seven at once should get nothing new);
 * each proof gives 10 back, and to a cell that holds nothing which it could prove, each day. A
 * stranger begins on trial where there are enough others to have a choice; who was invited by
 * somebody who knows him does not. In a small swarm nobody is on trial: everybody is needed.
 */
#include "registry_internal.h"

enum {
    KEPT_TENTHS = 4,
    KEPT_TENTHS_HONEST = 9,
    STEP = 10,
    SMALL_HOUSEHOLDS = 12, /* fewer: a small swarm */
    TRIAL_WEIGHT_PART = 8, /* of what it gives counts */
    FORGIVE_S = 86400,
};

#define TRIAL_BYTES MIB(256)

void registry_households_changed(struct registry *registry)
{
    const struct id *seen[SMALL_HOUSEHOLDS];
    size_t count = 0;
    for (size_t i = 0; i < registry->cell_count && count < SMALL_HOUSEHOLDS; i++) {
        const struct id *household = registry_household(registry->cells[i]);
        size_t at = 0;
        while (at < count && !id_equal(seen[at], household))
            at++;
        if (at == count)
            seen[count++] = household;
    }
    registry->large = count == SMALL_HOUSEHOLDS;
}

static bool on_trial(const struct registry_cell *cell)
{
    return cell->trust < REGISTRY_TRUST_FULL;
}

static bool trial_is_full(const struct registry_cell *cell)
{
    return on_trial(cell) && cell->used_bytes >= TRIAL_BYTES;
}

bool registry_takes_new(const struct registry *registry, const struct registry_cell *cell)
{
    return cell->give_bytes > 0 && !cell->leaving && registry_trusted(cell) &&
           (!trial_is_full(cell) || !registry->large);
}

uint16_t registry_cell_weight(const struct registry *registry, const struct registry_cell *cell)
{
    const uint16_t weight = registry_weight(cell->give_bytes);
    if (weight <= TRIAL_WEIGHT_PART || !on_trial(cell) || !registry->large)
        return weight;
    return weight / TRIAL_WEIGHT_PART;
}

void registry_trust_begin(struct registry *registry, struct registry_cell *cell, bool stranger)
{
    cell->trust = REGISTRY_TRUST_MAX;
    if (stranger && registry->large)
        cell->trust = REGISTRY_TRUST_NEW;
}

static void set_trust(struct registry *registry, struct registry_cell *cell, uint32_t trust)
{
    const bool trusted = registry_trusted(cell), trial = on_trial(cell);
    cell->trust = trust > REGISTRY_TRUST_MAX ? REGISTRY_TRUST_MAX : trust ? trust : 1;
    cell->unwritten = true;
    const bool changed = trusted != registry_trusted(cell) || trial != on_trial(cell);
    registry->list_stale |= changed;
    if (changed)
        registry_look_again(registry);
}

void registry_trust_proven(struct registry *registry, struct registry_cell *cell)
{
    cell->proof_count++;
    set_trust(registry, cell, cell->trust + STEP);
}

void registry_trust_used(struct registry *registry, struct registry_cell *cell, uint64_t used_bytes)
{
    const bool full = trial_is_full(cell);
    cell->used_bytes = used_bytes;
    registry->list_stale |= full != trial_is_full(cell);
}

void registry_fault(struct registry *registry, struct registry_cell *cell, bool says_so)
{
    cell->fault_count++;
    set_trust(registry, cell, cell->trust * (says_so ? KEPT_TENTHS_HONEST : KEPT_TENTHS) / 10);
    log_say(registry->options.log, LOG_WARN, "a cell has lost a shard: its trust is %u of 1000",
            cell->trust);
}

void registry_trust_tick(struct registry *registry, int64_t now_s)
{
    const int64_t passed_s = now_s - registry->forgiven_s;
    if (passed_s >= 0 && passed_s < FORGIVE_S)
        return;
    registry->forgiven_s = now_s;
    for (size_t i = 0; i < registry->cell_count && passed_s < 2 * FORGIVE_S; i++) {
        struct registry_cell *cell = registry->cells[i];
        if (!registry_trusted(cell) && cell->held == 0 && registry->swept &&
            registry_cell_state(registry, cell, now_s) == WIRE_CELL_UP)
            set_trust(registry, cell, cell->trust + STEP);
    }
}

/* --- a few segments of each cell, so that one with little can be asked for a proof as well --- */

void registry_sample(struct registry *registry, struct registry_cell *cell,
                     const struct id *segment)
{
    cell->sample_seen++;
    if (cell->sample_count < REGISTRY_SAMPLES) {
        cell->samples[cell->sample_count++] = *segment;
        return;
    }
    /* each one seen stays with the same probability; the numbers need not be good */
    registry->sample_state = registry->sample_state * 6364136223846793005u + 1442695040888963407u;
    const uint64_t lot = (registry->sample_state >> 33) % cell->sample_seen;
    if (lot < REGISTRY_SAMPLES)
        cell->samples[lot] = *segment;
}

bool registry_sample_take(struct registry *registry, struct registry_cell *cell, struct id *segment)
{
    if (cell->sample_count == 0)
        return false;
    const size_t lot = (size_t)random_below(registry->options.random, cell->sample_count);
    *segment = cell->samples[lot];
    cell->samples[lot] = cell->samples[--cell->sample_count];
    return true;
}

/*
 * How cells do: for how long each was watched and up, how many have gone for good. What people are
 * told about their data's chances rests on these numbers alone (docs/durability.md).
 *
 * The time between two heartbeats counts as up when it is not longer than three intervals, else as
 * down; the time in which the coordinator itself was away counts as nothing. Older time fades: when
 * a cell has been watched for FADE_S, both of its numbers are halved. A loss is a cell that went
 * without leaving; when it comes back with its shards it was none.
 */
#include "registry_internal.h"

enum {
    LATE_BEATS = 3,
    PAUSE_S = 120,   /* no heartbeat and no tick for so long, */
    PAUSE_BEATS = 2, /* and for so many intervals: it was we who were away, or our clock jumped */
    FADE_S = 90 * 86400,
    FACT_BYTES = 32, /* the first two numbers alone until version 0.1 */
    DAY_S = 86400,
    JOIN_S = 2 * 3600, /* between two absences: they count as one, not all cells were heard yet */
};
#define WATCH_FACT "watch" /* le64 exposure_s, loss_count, deaf_from_s, deaf_until_s */

/* Nobody is to blame for a silence in which we did not listen, or for a jump of our clock. */
static void forgive(struct registry *registry, int64_t now_s)
{
    for (size_t i = 0; i < registry->cell_count; i++) {
        registry->cells[i]->unheard_s += now_s - registry->awake_s;
        registry->cells[i]->news = true;
    }
}

void registry_watch_deaf(struct registry *registry, int64_t from_s, int64_t until_s)
{
    if (registry->deaf_until_s && from_s - registry->deaf_until_s < JOIN_S &&
        registry->deaf_from_s < from_s)
        from_s = registry->deaf_from_s;
    registry->deaf_from_s = from_s;
    registry->deaf_until_s = until_s;
    registry->watch_changed = true;
}

bool registry_watch_was_deaf(const struct registry *registry, uint64_t day)
{
    if (day > INT64_MAX / DAY_S - 1)
        return false;
    const int64_t begins_s = (int64_t)day * DAY_S;
    return begins_s <= registry->deaf_until_s && begins_s + DAY_S > registry->deaf_from_s;
}

static void be_awake(struct registry *registry, int64_t now_s)
{
    const int64_t beats_s = (int64_t)(PAUSE_BEATS * registry->options.beat_ms / 1000);
    const int64_t pause_s = beats_s > PAUSE_S ? beats_s : PAUSE_S;
    const bool paused = now_s - registry->awake_s > pause_s || now_s < registry->awake_s;
    if (paused && registry->awake_s)
        forgive(registry, now_s);
    const bool first = registry->awake_since_s == 0; /* since we were started */
    if ((paused || first) && registry->awake_s && registry->awake_s < now_s)
        registry_watch_deaf(registry, registry->awake_s, now_s);
    if (paused || first)
        registry->awake_since_s = now_s;
    registry->awake_s = now_s;
}

/* The time since the cell was last seen, as far as we were there to see it. */
static uint64_t silence_s(const struct registry *registry, const struct registry_cell *cell,
                          int64_t now_s)
{
    const int64_t from_s =
        cell->last_seen_s > registry->awake_since_s ? cell->last_seen_s : registry->awake_since_s;
    return now_s > from_s ? (uint64_t)(now_s - from_s) : 0;
}

static bool is_late(const struct registry *registry, uint64_t silent_s)
{
    return silent_s * 1000 > LATE_BEATS * registry->options.beat_ms;
}

void registry_watch_beat(struct registry *registry, struct registry_cell *cell,
                         const struct wire_heartbeat *beat, int64_t now_s)
{
    be_awake(registry, now_s);
    const uint64_t silent_s = silence_s(registry, cell, now_s);
    cell->observed_s += silent_s;
    cell->up_s += is_late(registry, silent_s) ? 0 : silent_s;
    if (cell->observed_s > FADE_S) {
        cell->observed_s /= 2;
        cell->up_s /= 2;
    }
    if (!cell->lost)
        registry->exposure_s += silent_s;
    else if (beat->shard_count > 0 && registry->loss_count > 0)
        registry->loss_count--;
    cell->news |= cell->lost;
    cell->lost = false;
    registry->watch_heard = true;
}

void registry_watch_tick(struct registry *registry, int64_t now_s)
{
    be_awake(registry, now_s);
    for (size_t i = 0; i < registry->cell_count; i++) {
        struct registry_cell *cell = registry->cells[i];
        if (cell->lost || cell->leaving ||
            registry_cell_state(registry, cell, now_s) != WIRE_CELL_GONE)
            continue;
        cell->lost = true;
        cell->news = true;
        registry->loss_count++;
        registry->exposure_s += registry->options.gone_after_ms / 1000;
        registry->watch_changed = true;
    }
}

void registry_watch_read(const struct registry *registry, const struct registry_cell *cell,
                         int64_t now_s, uint64_t *observed_s, uint64_t *up_s)
{
    const uint64_t silent_s = silence_s(registry, cell, now_s);
    *observed_s = cell->observed_s + (is_late(registry, silent_s) ? silent_s : 0);
    *up_s = cell->up_s;
}

enum err registry_watch_load(struct registry *registry, struct errmsg *msg)
{
    struct buf fact = BUF_INIT(64);
    const enum err e = documents_fact_get(registry->db, WATCH_FACT, &fact, msg);
    if (e == ERR_OK && fact.size >= 16) {
        registry->exposure_s = get_le64(fact.data);
        registry->loss_count = get_le64(fact.data + 8);
    }
    if (e == ERR_OK && fact.size == FACT_BYTES) {
        registry->deaf_from_s = (int64_t)get_le64(fact.data + 16);
        registry->deaf_until_s = (int64_t)get_le64(fact.data + 24);
    }
    buf_free(&fact);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err registry_watch_flush(struct registry *registry, struct errmsg *msg)
{
    uint8_t fact[FACT_BYTES];
    if (!registry->watch_changed && !registry->watch_heard)
        return ERR_OK;
    put_le64(fact, registry->exposure_s);
    put_le64(fact + 8, registry->loss_count);
    put_le64(fact + 16, (uint64_t)registry->deaf_from_s);
    put_le64(fact + 24, (uint64_t)registry->deaf_until_s);
    const enum err e =
        documents_fact_put(registry->db, WATCH_FACT, slice_of(fact, sizeof(fact)), msg);
    registry->watch_changed = e != ERR_OK;
    registry->watch_heard = e != ERR_OK;
    return e;
}

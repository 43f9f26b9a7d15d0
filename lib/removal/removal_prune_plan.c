#include "removal/removal_prune_internal.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 256, HELD_MORE_S = 86400 };

enum err removal_prune_numbers_add(struct removal_prune_numbers *numbers, uint64_t number)
{
    if (numbers->count == numbers->capacity) {
        const size_t capacity = numbers->capacity ? 2 * numbers->capacity : 64;
        uint64_t *grown = realloc(numbers->list, capacity * sizeof(*grown));
        if (!grown)
            return ERR_NOMEM;
        numbers->list = grown;
        numbers->capacity = capacity;
    }
    numbers->list[numbers->count++] = number;
    return ERR_OK;
}

void removal_prune_plan_free(struct removal_prune_plan *plan)
{
    free(plan->dead.list);
    free(plan->repack.list);
    free(plan->rescue.list);
    *plan = (struct removal_prune_plan){0};
}

bool removal_prune_is_excluded(const struct removal_prune_options *options,
                               const struct manifest_device *device)
{
    char slot[16];
    snprintf(slot, sizeof(slot), "%u", device->slot);
    for (size_t i = 0; i < options->excluded_count; i++)
        if (!strcmp(options->excluded[i], device->name) || !strcmp(options->excluded[i], slot))
            return true;
    return false;
}

/* --- tidying --- */

/* The segments of a list whose hold is over: their rows go. A snapshot that was forgotten before
   the list was made cannot come back then, and goes too. */
static enum err remove_listed(struct vault *vault, const struct index_record *record,
                              struct errmsg *msg)
{
    struct id after = {{0}}, ids[PIECE];
    size_t count = PIECE;
    enum err e = ERR_OK;
    while (e == ERR_OK && count == PIECE) {
        e = index_record_named(vault->index, record->number, &after, ids, PIECE, &count, msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            struct index_segment row;
            e = index_segment_get(vault->index, &ids[i], &row, NULL);
            if (e == ERR_OK && row.state == INDEX_CONDEMNED)
                e = index_segment_remove(vault->index, row.number, msg);
            e = e == ERR_NOT_FOUND ? ERR_OK : e;
        }
    }
    return e;
}

/* The snapshots of a tombstone. *known: all of them were here, and this device's own. */
static enum err remove_snapshots(struct vault *vault, const struct index_record *tombstone,
                                 bool *known, struct errmsg *msg)
{
    struct id from = {{0}}, ids[PIECE];
    size_t count = PIECE;
    enum err e = ERR_OK;
    *known = true;
    while (e == ERR_OK && count == PIECE) {
        e = index_record_named(vault->index, tombstone->number, &from, ids, PIECE, &count, msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            struct index_snapshot row;
            e = index_snapshot_get(vault->index, &ids[i], &row, NULL, msg);
            *known &= e == ERR_OK && id_equal(&row.device, vault_device(vault));
            if (e == ERR_OK)
                e = index_snapshot_remove(vault->index, &ids[i], NULL);
            e = e == ERR_NOT_FOUND ? ERR_OK : e;
        }
    }
    return e;
}

/* A tombstone of ours that everybody has seen, and whose snapshots no catalogue lists from the next
   head on (a snapshot stands in its own device's catalogue alone), has nothing more to say. One
   that was not seen by somebody stays for good. */
static enum err remove_forgotten(struct vault *vault, int64_t before_s, uint64_t kept,
                                 struct errmsg *msg)
{
    struct index_record rows[16];
    size_t count = 16;
    uint64_t after = 0;
    enum err e = ERR_OK;
    while (e == ERR_OK && count == 16) {
        e = index_records(vault->index, INDEX_TOMBSTONE, after, rows, 16, &count, msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            bool known, seen = false;
            after = rows[i].number;
            if (rows[i].lifted || rows[i].time_s > before_s)
                continue;
            e = remove_snapshots(vault, &rows[i], &known, msg);
            if (e == ERR_OK && known && id_is_zero(&rows[i].device) && rows[i].head <= kept)
                e = removal_waits_all_seen(vault, rows[i].head, &seen, msg);
            if (e == ERR_OK && seen)
                e = index_record_remove(vault->index, rows[i].number, msg);
        }
    }
    return e;
}

static enum err tidy(struct vault *vault, struct errmsg *msg)
{
    int64_t now_s, later_s;
    const bool both = swarm_time(vault->swarm, &now_s, &later_s);
    struct index_record rows[16];
    size_t count = 16;
    uint64_t after = 0;
    uint64_t kept = 0;
    enum err e = index_uncondemn_unlisted(vault->index, msg);
    if (e == ERR_OK)
        e = removal_waits_kept(vault, &kept, msg);
    while (e == ERR_OK && count == 16) {
        e = index_records(vault->index, INDEX_CONDEMNED_LIST, after, rows, 16, &count, msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            after = rows[i].number;
            if (!both || rows[i].lifted || rows[i].orders_s == 0 ||
                now_s < rows[i].orders_s + (int64_t)vault->manifest->hold_s + HELD_MORE_S)
                continue;
            e = remove_listed(vault, &rows[i], msg);
            if (e == ERR_OK)
                e = remove_forgotten(vault, rows[i].time_s, kept, msg);
        }
    }
    return e;
}

enum err removal_prune_plan_tidy(struct vault *vault, struct errmsg *msg)
{
    enum err e = index_begin(vault->index, msg);
    if (e != ERR_OK)
        return e;
    e = tidy(vault, msg);
    if (e == ERR_OK)
        return index_commit(vault->index, msg);
    index_rollback(vault->index);
    return e;
}

/* --- planning --- */

struct candidate {
    uint64_t number, live_bytes, unused_bytes;
};

struct planning {
    struct vault *vault;
    const struct removal_prune_options *options;
    struct removal_prune_plan *plan;
    struct removal_prune_summary *summary;
    struct candidate *candidates; /* owned: partly dead segments */
    size_t count, capacity;
    uint64_t reencode_bytes;
    bool data_is_dead;   /* a segment of files' data is among the dead ones */
    uint64_t dead_bytes; /* sealed records of the dead ones */
};

/* Must it stay where it is? Another device finds its catalogue there; or a device that reads no
   condemned lists may still build on it. */
static enum err must_stay(const struct planning *p, const struct index_segment *row, bool *out,
                          struct errmsg *msg)
{
    const struct manifest_device *device =
        id_is_zero(&row->device) ? NULL : manifest_device_find(p->vault->manifest, &row->device);
    const bool blind = device && !device->revoked && !(device->capabilities & MANIFEST_READ) &&
                       !removal_prune_is_excluded(p->options, device);
    const enum err e = index_is_pinned(p->vault->index, &row->id, out, msg);
    *out |= blind;
    return e;
}

static enum err add_candidate(struct planning *p, const struct index_segment_live *live,
                              uint64_t unused)
{
    if (p->count == p->capacity) {
        const size_t capacity = p->capacity ? 2 * p->capacity : 256;
        struct candidate *grown = realloc(p->candidates, capacity * sizeof(*grown));
        if (!grown)
            return ERR_NOMEM;
        p->candidates = grown;
        p->capacity = capacity;
    }
    p->candidates[p->count++] = (struct candidate){live->number, live->live_bytes, unused};
    return ERR_OK;
}

/* Under a data key that was rotated away from? */
static bool is_old(const struct planning *p, const struct index_segment *row)
{
    const bool own = id_is_zero(&row->device) || id_equal(&row->device, vault_device(p->vault));
    return p->options->rewrite && own && row->epoch < vault_epoch_current(p->vault)->epoch;
}

/* Written when the swarm was smaller? */
static bool is_weak(const struct planning *p, const struct index_segment *row)
{
    return row->m < p->plan->level_m && p->reencode_bytes < REMOVAL_PRUNE_REENCODE_BYTES;
}

static enum err repack(struct planning *p, const struct index_segment *row, uint64_t live_bytes)
{
    p->summary->bytes_repacked += live_bytes;
    p->summary->shard_bytes_condemned += (uint64_t)(row->k + row->m) * row->shard_bytes;
    return removal_prune_numbers_add(&p->plan->repack, row->number);
}

static enum err look_at(struct planning *p, const struct index_segment_live *live,
                        struct errmsg *msg)
{
    struct removal_prune_summary *s = p->summary;
    struct index_segment row;
    bool stays = false;
    enum err e = index_segment_by_number(p->vault->index, live->number, &row, msg);
    if (e == ERR_OK)
        e = must_stay(p, &row, &stays, msg);
    if (e != ERR_OK)
        return e;
    const uint64_t unused =
        row.sealed_bytes > live->live_bytes ? row.sealed_bytes - live->live_bytes : 0;
    s->segments++;
    s->bytes += row.sealed_bytes;
    s->chunks_needed += live->live_chunks;
    s->bytes_needed += live->live_bytes;
    if (stays)
        return ERR_OK;
    if (live->live_chunks == 0) {
        s->shard_bytes_condemned += (uint64_t)(row.k + row.m) * row.shard_bytes;
        p->data_is_dead |= row.kind == INDEX_DATA;
        p->dead_bytes += row.sealed_bytes;
        return removal_prune_numbers_add(&p->plan->dead, live->number);
    }
    if (is_weak(p, &row)) {
        s->segments_reencoded++;
        p->reencode_bytes += live->live_bytes;
        return repack(p, &row, live->live_bytes);
    }
    if (is_old(p, &row))
        return repack(p, &row, live->live_bytes);
    s->bytes_unused_left += unused;
    return unused > 0 ? add_candidate(p, live, unused) : ERR_OK;
}

/* The emptiest first. */
static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *one = a, *two = b;
    const double first = (double)one->unused_bytes / (double)(one->live_bytes + 1);
    const double second = (double)two->unused_bytes / (double)(two->live_bytes + 1);
    if (first != second)
        return first > second ? -1 : 1;
    return one->number < two->number ? -1 : one->number > two->number;
}

static uint64_t unused_allowed(const struct planning *p)
{
    const struct removal_prune_options *o = p->options;
    if (o->unused == REMOVAL_UNUSED_UNLIMITED)
        return UINT64_MAX;
    if (o->unused == REMOVAL_UNUSED_BYTES)
        return o->unused_max;
    if (o->unused_max >= 100)
        return UINT64_MAX;
    return (uint64_t)((double)p->summary->bytes_needed * (double)o->unused_max /
                      (double)(100 - o->unused_max));
}

static enum err choose(struct planning *p, struct errmsg *msg)
{
    struct removal_prune_summary *s = p->summary;
    const uint64_t allowed = unused_allowed(p);
    enum err e = ERR_OK;
    if (p->count > 0)
        qsort(p->candidates, p->count, sizeof(*p->candidates), compare_candidates);
    for (size_t i = 0; e == ERR_OK && i < p->count && s->bytes_unused_left > allowed; i++) {
        struct index_segment row;
        e = index_segment_by_number(p->vault->index, p->candidates[i].number, &row, msg);
        if (e == ERR_OK)
            e = repack(p, &row, p->candidates[i].live_bytes);
        s->bytes_unused_left -= p->candidates[i].unused_bytes;
    }
    return e;
}

static enum err look_at_all(struct planning *p, struct errmsg *msg)
{
    struct index_segment_live rows[PIECE];
    size_t count = PIECE;
    uint64_t after = 0;
    enum err e = ERR_OK;
    while (e == ERR_OK && count == PIECE) {
        e = index_marks_live(p->vault->index, after, rows, PIECE, &count, msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            after = rows[i].number;
            e = look_at(p, &rows[i], msg);
        }
    }
    return e;
}

/* Each head leaves the catalogue before it behind, so there is always a little: a run that finds
   nothing else leaves it to one that does, as far as it may stay unneeded. */
static void leave_leftovers(struct planning *p)
{
    struct removal_prune_summary *s = p->summary;
    struct removal_prune_plan *plan = p->plan;
    const uint64_t allowed = unused_allowed(p);
    if (p->data_is_dead || plan->repack.count + plan->rescue.count > 0 ||
        s->bytes_unused_left > allowed || p->dead_bytes > allowed - s->bytes_unused_left)
        return;
    plan->dead.count = 0;
    s->bytes_unused_left += p->dead_bytes;
    s->shard_bytes_condemned = 0;
}

static enum err find_rescues(struct planning *p, struct errmsg *msg)
{
    uint64_t numbers[PIECE], after = 0;
    size_t count = PIECE;
    enum err e = ERR_OK;
    while (e == ERR_OK && count == PIECE) {
        e = index_marks_condemned(p->vault->index, after, numbers, PIECE, &count, msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            after = numbers[i];
            e = removal_prune_numbers_add(&p->plan->rescue, numbers[i]);
        }
    }
    return e;
}

enum err removal_prune_plan_make(struct vault *vault, const struct removal_prune_options *options,
                                 struct removal_prune_plan *plan,
                                 struct removal_prune_summary *summary, struct errmsg *msg)
{
    struct planning p = {.vault = vault, .options = options, .plan = plan, .summary = summary};
    uint64_t lost = 0;
    enum err e = index_marks_lost(vault->index, &lost, msg);
    if (e == ERR_OK && lost > 0)
        e = err_say(msg, ERR_CORRUPT,
                    "%llu pieces that snapshots need are in no segment that the index knows; "
                    "nothing is deleted. \"cellctl check\" says more, a new backup may heal it",
                    (unsigned long long)lost);
    if (e == ERR_OK)
        e = look_at_all(&p, msg);
    if (e == ERR_OK)
        e = choose(&p, msg);
    if (e == ERR_OK)
        e = find_rescues(&p, msg);
    if (e == ERR_OK)
        leave_leftovers(&p);
    free(p.candidates);
    summary->segments_condemned = plan->dead.count + plan->repack.count;
    summary->segments_repacked = plan->repack.count + plan->rescue.count;
    return e;
}

enum err removal_prune_parse_unused(const char *text, struct removal_prune_options *out,
                                    struct errmsg *msg)
{
    unsigned percent = 0;
    int used = 0;
    if (!strcmp(text, "unlimited")) {
        out->unused = REMOVAL_UNUSED_UNLIMITED;
        return ERR_OK;
    }
    if (sscanf(text, "%3u%%%n", &percent, &used) == 1 && used > 0 && !text[used] &&
        percent <= 100) {
        out->unused = REMOVAL_UNUSED_PERCENT;
        out->unused_max = percent;
        return ERR_OK;
    }
    out->unused = REMOVAL_UNUSED_BYTES;
    if (text_parse_size(text, &out->unused_max) == ERR_OK)
        return ERR_OK;
    return err_say(msg, ERR_USAGE,
                   "--max-unused takes a percentage (5%%), a size (200M) or "
                   "\"unlimited\", not '%s'",
                   text);
}

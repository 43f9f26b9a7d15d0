/*
 * Check: the index against what the cells say that they have, and with `read_data` against what
 * they really have: every shard is fetched and verified against its segment's name.
 *
 *     a page of segments (lane) ─▶ what have you of these? (all cells) ─▶ margins
 *                                    with read_data: each segment's shards, whole ─▶ faults
 *
 * On a vault opened for writing, shards that a cell says it does not have, or whose bytes are not
 * theirs, are marked as missing: the next backup makes them again. A cell that does not answer
 * changes nothing in the index; its shards do not count for the margin told here.
 *
 * With `give_up` a segment of which fewer than k shards are left, with those counted whose cells do
 * not answer, is LOST to the index: the next backup stores what of its chunks it meets again. One
 * that was lost and of which k shards answer now counts again.
 *
 * Memory: the pages (64 KiB), and with read_data two segments with their parity.
 */
#pragma once

#include "vault/vault.h"

struct health_check_options {
    bool read_data;
    bool give_up;         /* for repair, see below; needs a vault opened for writing */
    unsigned part, parts; /* only the segments whose number % parts == part - 1; 0: all */
};

struct health_check_summary {
    uint64_t segments, segments_below_target, segments_lost;
    uint64_t shards_missing, shards_damaged, shards_unreachable;
    uint64_t shards_read, bytes_read; /* with read_data */
    uint64_t errors;                  /* of the index itself */
    uint32_t cells_asked, cells_answered;
    uint64_t given_up;  /* with `give_up`: segments that are LOST, now or before */
    int32_t margin_min; /* INT32_MAX: there is no segment */
    bool marked;        /* what is missing is noted for the next backup */
};

struct health_check_progress {
    uint64_t segments_done, segments_total, bytes_read;
};

struct health_check_events {
    /* A sentence that names segment, shard and cell. */
    void (*problem)(void *user, enum err e, const char *sentence);
    void (*progress)(void *user, const struct health_check_progress *progress);
    void (*done)(void *user, enum err e, const struct health_check_summary *summary,
                 const struct errmsg *msg);
};

struct health_check;

/* After vault_refresh(). */
MUST_CHECK enum err health_check_start(struct vault *vault,
                                       const struct health_check_options *options,
                                       const struct health_check_events *events, void *user,
                                       struct health_check **out, struct errmsg *msg);
void health_check_cancel(struct health_check *check);

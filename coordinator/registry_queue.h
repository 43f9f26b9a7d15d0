/*
 * The repair queue, for its own files: registry_repair.c (what a segment needs, the rows, the
 * sweep), registry_ticket.c (who is at it) and registry_report.c (what came of it).
 */
#pragma once

#include "registry_internal.h"

/* What a segment needs just now. */
struct registry_need {
    unsigned alive, reachable; /* shards that are somewhere; on cells that are awake */
    bool moving;               /* some are only on cells whose shards are to go */
    struct registry_cell *sources[LIMIT_SHARDS]; /* awake; NULL: none */
    struct registry_cell *holders[LIMIT_SHARDS]; /* of what is somewhere; NULL: lost */
    uint8_t missing[LIMIT_SHARDS];               /* to be made: the lost ones first */
    size_t missing_count;
};

void registry_need_find(const struct registry *registry, const struct registry_segment *segment,
                        int64_t now_s, struct registry_need *out);
/* Is it worth a download of k shards? */
bool registry_need_is_due(const struct registry *registry, const struct registry_segment *segment,
                          const struct registry_need *need);

/* Runs a statement whose first parameter is a segment's ID. */
MUST_CHECK enum err registry_queue_run(struct registry *registry, const char *sql,
                                       const struct id *segment, int64_t second, int64_t third,
                                       struct errmsg *msg);
MUST_CHECK enum err registry_queue_forget(struct registry *registry, const struct id *segment,
                                          struct errmsg *msg);
/* Nobody's any more. */
MUST_CHECK enum err registry_queue_set(struct registry *registry, const struct id *segment,
                                       enum registry_repair_state state, int64_t due_s,
                                       struct errmsg *msg);
/* Back to READY: what `repairer` had, and whose lease is over. */
MUST_CHECK enum err registry_queue_give_back(struct registry *registry, const struct id *repairer,
                                             int64_t now_s, struct errmsg *msg);

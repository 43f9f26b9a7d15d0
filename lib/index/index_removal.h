/*
 * What the index knows of removal: the documents by which the account's devices forget snapshots
 * and condemn segments (*records*), which segments other devices still need where they are
 * (*pins*), and the delete orders that some cell has not answered yet.
 *
 * A snapshot is forgotten while a tombstone names it that is not lifted; a segment is condemned
 * while a condemned list does. Both follow from the records alone, in whatever order records,
 * snapshots and segments come: this room keeps the flags and states.
 */
#pragma once

#include "index/index.h"

/* The numbers are those of segment/'s types. */
enum index_record_type { INDEX_TOMBSTONE = 7, INDEX_CONDEMNED_LIST = 8, INDEX_LIFT = 9 };

struct index_record {
    struct id id;     /* of its chunk */
    struct id hash;   /* of the document */
    struct id device; /* in whose catalogue it stands; zero: ours */
    enum index_record_type type;
    uint64_t head;    /* sequence of that device's head with which it came */
    int64_t time_s;   /* as its deed says */
    int64_t orders_s; /* a condemned list: when its delete orders were made; 0: not yet */
    bool lifted;      /* it does not count */
    uint64_t number;  /* of the row; given by index_record_add() */
};

/* `named`: the snapshots of a tombstone, the segments of a condemned list, the documents (their
   hashes) of a lift. Sets the flags and states that follow. One that is there already is left as it
   is. *number_of_changes (may be NULL): segments that are condemned now and were committed. With
   `doubt`, cached directories become doubtful when there are any (index_cache.h); without, the
   caller knows that no cached directory names a chunk of them. */
MUST_CHECK enum err index_record_add(struct index *index, struct index_record *record,
                                     const struct id *named, size_t count, struct slice body,
                                     bool doubt, size_t *condemned, struct errmsg *msg);
/* It does not count (any more): its signer was not allowed to. */
MUST_CHECK enum err index_record_void(struct index *index, uint64_t number, struct errmsg *msg);
/* Nothing that it names is in the index any more, or will be: it is not told to anybody again. */
MUST_CHECK enum err index_record_remove(struct index *index, uint64_t number, struct errmsg *msg);
MUST_CHECK enum err index_record_set_orders(struct index *index, uint64_t number, int64_t orders_s,
                                            struct errmsg *msg);

/* In the order of their numbers, behind `after`; `type` 0: all. */
MUST_CHECK enum err index_records(struct index *index, enum index_record_type type, uint64_t after,
                                  struct index_record *out, size_t max, size_t *count,
                                  struct errmsg *msg);
/* Borrowed until the next call to this room. */
MUST_CHECK enum err index_record_body(struct index *index, uint64_t number, struct slice *out,
                                      struct errmsg *msg);
/* The IDs that a tombstone or condemned list names, behind `*after` (zero: from the first), which
   is set to the last one. */
MUST_CHECK enum err index_record_named(struct index *index, uint64_t number, struct id *after,
                                       struct id *out, size_t max, size_t *count,
                                       struct errmsg *msg);
/* Does a record of this type that is not lifted name it? */
MUST_CHECK enum err index_is_named(struct index *index, enum index_record_type type,
                                   const struct id *id, bool *out, struct errmsg *msg);

/* Segments that are condemned here and by no list: of a run that died before it published one. They
   are committed again. */
MUST_CHECK enum err index_uncondemn_unlisted(struct index *index, struct errmsg *msg);
/* COMMITTED -> CONDEMNED, without doubt: no cached directory needs a chunk that lies there and
   nowhere else once the run is through. */
MUST_CHECK enum err index_segment_condemn(struct index *index, uint64_t number, struct errmsg *msg);
/* Cached directories whose tree node is not marked become doubtful, and files on their way are
   forgotten: what the others name is marked. */
MUST_CHECK enum err index_dirs_doubt_unmarked(struct index *index, struct errmsg *msg);

/* --- marks (index.h), as prune needs them --- */

/* Which of `ids` are marked. */
MUST_CHECK enum err index_marks_has(struct index *index, const struct id *ids, size_t count,
                                    bool *out, struct errmsg *msg);
/* Marked chunks that no segment has. */
MUST_CHECK enum err index_marks_lost(struct index *index, uint64_t *out, struct errmsg *msg);
/* Condemned segments with marked chunks that are nowhere else, behind `after`: after
   index_marks_live() only. */
MUST_CHECK enum err index_marks_condemned(struct index *index, uint64_t after, uint64_t *out,
                                          size_t max, size_t *count, struct errmsg *msg);

/* --- which index object lists a segment --- */

/* Also makes it published. */
MUST_CHECK enum err index_listed_set(struct index *index, uint64_t number, const struct id *object,
                                     struct errmsg *msg);
/* Objects that list a segment of the states `states` (bits 1 << state), ascending behind `*after`,
   which is set to the last. */
MUST_CHECK enum err index_listed_objects(struct index *index, unsigned states, struct id *after,
                                         struct id *out, size_t max, size_t *count,
                                         struct errmsg *msg);

/* --- pins: segments in which another device's newest catalogue and its objects lie --- */

/* Replaces those of the device. */
MUST_CHECK enum err index_pins_set(struct index *index, const struct id *device,
                                   const struct id *segments, size_t count, struct errmsg *msg);
MUST_CHECK enum err index_is_pinned(struct index *index, const struct id *segment, bool *out,
                                    struct errmsg *msg);

/* --- orders --- */

struct index_order {
    uint64_t number;
    unsigned kind;  /* wire/'s: 1 delete, 2 undelete */
    struct id peer; /* a cell; zero: the coordinator */
};

/* An order waits for each of `peers` (any order, repeats allowed). */
MUST_CHECK enum err index_order_add(struct index *index, unsigned kind, struct slice doc,
                                    int64_t made_s, const struct id *peers, size_t count,
                                    struct errmsg *msg);
/* Those that wait, by peer and number, behind (`peer`, `number`) of *after (number 0: from the
   first). */
MUST_CHECK enum err index_orders(struct index *index, const struct index_order *after,
                                 struct index_order *out, size_t max, size_t *count,
                                 struct errmsg *msg);
/* How many answers are waited for. */
MUST_CHECK enum err index_orders_waiting(struct index *index, uint64_t *out, struct errmsg *msg);
/* Orders of this kind are not told to anybody any more. */
MUST_CHECK enum err index_orders_drop(struct index *index, unsigned kind, struct errmsg *msg);
MUST_CHECK enum err index_order_doc(struct index *index, uint64_t number, struct slice *out,
                                    struct errmsg *msg); /* borrowed until the next call */
/* Nobody waits for this answer any more; an order for which none waits is forgotten. */
MUST_CHECK enum err index_order_answered(struct index *index, const struct index_order *order,
                                         struct errmsg *msg);

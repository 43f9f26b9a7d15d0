/* What the files of this room share; the schema is in docs/index.md and index.c. */
#pragma once

#include "base/buf.h"
#include "db/db.h"
#include "index/index.h"

enum {
    INDEX_APPLICATION_ID = 0x43697831, /* "Cix1" */
    INDEX_SCHEMA_VERSION = 3,
    INDEX_BODY_BYTES_MAX = 4 << 20, /* of a snapshot, a head, a header */
    INDEX_FACT_BYTES_MAX = 1 << 20,
    INDEX_PATH_BYTES_MAX = 65536,
    INDEX_SHARD_SIZE = 5, /* in segment_shards: u8 state | u32 number of the cell's name */
    INDEX_KEY_SIZE = 8,   /* in segment_chunks: the start of a chunk's id */
};

struct index {
    struct db *db;   /* owned */
    struct buf held; /* owned: what was handed out "borrowed until the next call" */
    bool read_only;
};

/* A changing call outside a transaction is one by itself: begins when there is none. */
MUST_CHECK enum err index_enter(struct index *index, bool *own, struct errmsg *msg);
/* Several reads that must see one state. */
MUST_CHECK enum err index_enter_reading(struct index *index, bool *own, struct errmsg *msg);
/* Ends what enter began: commits when `e` is ERR_OK, else rolls back and returns `e`. */
MUST_CHECK enum err index_leave(struct index *index, bool own, enum err e, struct errmsg *msg);

/* ERR_CORRUPT, with a sentence: "the vault's index is damaged: <what>; ..." */
enum err index_damaged(struct errmsg *msg, const char *format, ...) PRINTF_LIKE(2, 3);

/* Copies `a` and `b` into index->held; *out_a, *out_b (b may be NULL) point there. */
MUST_CHECK enum err index_hold(struct index *index, struct slice a, struct slice *out_a,
                               struct slice b, struct slice *out_b, struct errmsg *msg);

/* Names: cells and devices by small numbers. 0 is the zero id. */
MUST_CHECK enum err index_name_number(struct index *index, const struct id *id, int64_t *out,
                                      struct errmsg *msg); /* makes one */
MUST_CHECK enum err index_name_find(struct index *index, const struct id *id, int64_t *out,
                                    struct errmsg *msg); /* 0: there is none */
MUST_CHECK enum err index_name_id(struct index *index, int64_t number, struct id *out,
                                  struct errmsg *msg);

/* For one column that must lie in low..high. */
MUST_CHECK enum err index_column_u32(struct db_statement *s, int column, uint32_t low,
                                     uint32_t high, uint32_t *out);

/* The row that a statement stands on, into one element. */
typedef enum err index_row_fn(struct db_statement *s, void *out, struct errmsg *msg);
/* Rows into out[0 .. *count - 1], of `size` bytes each: until there are `max`, or no more. Ends the
   statement. What was read before an error counts. */
MUST_CHECK enum err index_page(struct db_statement *s, index_row_fn *read, void *out, size_t size,
                               size_t max, size_t *count, struct errmsg *msg);

/* All that was cached of directories and files on their way may name chunks that are gone. */
MUST_CHECK enum err index_make_doubtful(struct index *index, struct errmsg *msg);

/* The chunks of one segment. */
MUST_CHECK enum err index_chunks_remove(struct index *index, uint64_t segment, struct errmsg *msg);

/* What index_marks_live() has worked out does not hold any more. */
MUST_CHECK enum err index_marks_changed(struct index *index, struct errmsg *msg);

/* Positions 0 .. count - 1 in the order of `ids` (`stride` bytes from one to the next), equal ones
   in the order of their positions; owned by the caller. NULL: out of memory. */
uint32_t *index_order(const struct id *ids, size_t stride, size_t count);

/*
 * The lines of a segment in an index object, and the same chunks as the index
 * has them. A line has no number of a record: records count up, and members of a group stand side
 * by side with one place. A line has no share either: it follows from the members' sizes.
 */
#pragma once

#include "base/buf.h"
#include "index/index.h"

/* `chunks` in the order of their records. */
MUST_CHECK enum err heads_lines_append(struct buf *lines, const struct index_chunk *chunks,
                                       size_t count);
/* `out` has room for all of them; chunk->segment is 0. CORRUPT, VERSION: as no writer makes them.
 */
MUST_CHECK enum err heads_lines_read(struct slice lines, struct index_chunk *out,
                                     struct errmsg *msg);

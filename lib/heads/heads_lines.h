/*
 * The lines of a segment in an index object, and the same chunks as the index has them.
 *
 * The lines need not be all that lies in the segment: a chunk that lies in another segment by now
 * has its line there (a segment that was lost, or condemned by a prune that died, is met like that
 * when it counts again before it was published). So a line tells the number of its record, and
 * members of a group stand side by side with one number and one place. A line has no share: it
 * follows from the sizes of the members that are listed.
 */
#pragma once

#include "base/buf.h"
#include "index/index.h"

/* `chunks` in the order of their records. */
MUST_CHECK enum err heads_lines_append(struct buf *lines, const struct index_chunk *chunks,
                                       size_t count);
/* `out` has room for all of them; chunk->segment is 0. CORRUPT, VERSION: as no writer makes them.
   What is accepted has records that grow, all below LIMIT_SEGMENT_RECORDS. */
MUST_CHECK enum err heads_lines_read(struct slice lines, struct index_chunk *out,
                                     struct errmsg *msg);

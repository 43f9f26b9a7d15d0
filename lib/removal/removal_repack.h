/*
 * Marked chunks out of condemned segments, into new ones.
 *
 *     a segment's marked chunks ─▶ read (reader, lane) ─▶ batch ─▶ writer ─▶ the next
 *
 * A chunk keeps its name, so nothing that refers to it changes. What has moved is in the index with
 * the new segment's commit; a run that dies leaves the rest where it was. Memory: the reader's
 * cache and one batch beside the writer's own.
 */
#pragma once

#include "transfer/transfer_writer.h"

struct removal_repack;

/* `numbers` (of condemned segments' rows) are borrowed until done. `done` comes when every batch is
   back from the writer, which still has to be flushed; the writer's own failure ends it too, with
   ERR_STATE, and is told by the writer. */
MUST_CHECK enum err removal_repack_start(struct vault *vault, struct transfer_writer *writer,
                                         const uint64_t *numbers, size_t count, vault_done_fn *done,
                                         void *user, struct removal_repack **out,
                                         struct errmsg *msg);
void removal_repack_cancel(struct removal_repack *repack);

/*
 * Very many IDs, each with a number, and what two such sets have apart, in bounded memory: they are
 * dealt out by their first byte into parts, whose records go to a file without a name. A part fits
 * into memory.
 *
 *     add ... add ─▶ 256 buffers of 5 KiB ─▶ blocks in the file, 8 bytes of memory for each
 *     part by part: its blocks ─▶ idmap
 *
 * Small sets never touch the disk. IDs are hashes, so the parts are alike; no more than
 * BROWSE_IDS_MAX are taken.
 */
#pragma once

#include "base/idmap.h"

enum { BROWSE_IDS_PARTS = 256 };
#define BROWSE_IDS_MAX ((uint64_t)1 << 28)

struct browse_ids;

/* `dir`: where the file is made, when it is needed; copied. NOMEM. */
MUST_CHECK enum err browse_ids_new(const char *dir, struct browse_ids **out);
void browse_ids_free(struct browse_ids *ids); /* NULL does nothing */

/* The same ID may come again. `value` is not 0. NOMEM; IO, FULL, DENIED: the file; TOO_LARGE. */
MUST_CHECK enum err browse_ids_add(struct browse_ids *ids, const struct id *id, uintptr_t value,
                                   struct errmsg *msg);

/* The IDs of one part, each once, under the newest of its values; *out is empty at first, and
   freed by the caller also after an error. NOMEM, IO. */
MUST_CHECK enum err browse_ids_part(struct browse_ids *ids, unsigned part, struct idmap *out,
                                    struct errmsg *msg);

/*
 * A question about segments by their IDs: the body of POST /v1/have (to a cell, at most
 * WIRE_HAVE_IDS of them) and of POST /v1/segments/find (to the coordinator, at most WIRE_FIND_IDS).
 * Answers name a segment by its position in the question.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "wire/wire_list.h"

enum { WIRE_HAVE_IDS = 4096, WIRE_FIND_IDS = 1024 };

/* The most that a question about `count` IDs takes. */
#define WIRE_IDS_BYTES(count) ((count)*34u + 16u)

MUST_CHECK enum err wire_ids_encode(const struct id *ids, size_t count, struct buf *out);
MUST_CHECK enum err wire_ids_decode(struct slice in, size_t count_max, struct wire_list *out);
bool wire_ids_next(struct wire_list *list, struct id *out);

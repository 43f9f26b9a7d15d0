/*
 * POST /v1/renewals, from a cell to the coordinator: have these accounts renewed their leases? The
 * question is at most WIRE_RENEWALS_MAX account IDs, as wire_ids.h writes them.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "wire/wire_list.h"

enum { WIRE_RENEWALS_MAX = 64, WIRE_RENEWAL_BYTES = 512 };

#define WIRE_RENEWALS_BYTES (WIRE_RENEWALS_MAX * (WIRE_RENEWAL_BYTES + 32u) + 16u)

/* For each account of the question in turn. */
struct wire_renewed {
    struct slice doc;   /* the newest renewal; size 0: none has come since this coordinator knows */
    int64_t received_s; /* when it came, or since when the coordinator waits for the first */
    bool over;          /* the lease is over for the coordinator, too: only then may it end */
};

MUST_CHECK enum err wire_renewals_encode(const struct wire_renewed *renewed, size_t count,
                                         struct buf *out);
MUST_CHECK enum err wire_renewals_decode(struct slice in, struct wire_list *out);
bool wire_renewals_next(struct wire_list *list, struct wire_renewed *out);

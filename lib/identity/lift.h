/* A lift, document "lift", signed by the account's root alone: these tombstones and condemned lists
 * (by document_hash() of each) do not count any more. It is what undeleting leaves behind; the
 * documents that it names stay where they are. */
#pragma once

#include "identity/deed.h"
#include "identity/id_list.h"

enum { LIFT_DOCUMENTS_MAX = 4096, LIFT_BYTES_MAX = 4096 * ID_SIZE + 512 };

struct lift {
    struct deed deed;
    struct id_list documents; /* filled in by _open: their hashes */
};

/* `documents` ascending, at least one. */
MUST_CHECK enum err lift_make(const struct deed *deed, const struct id *documents, size_t count,
                              const struct swarm_root *swarm, const struct sign_key *root,
                              struct buf *out);
/* Also ERR_DENIED when anybody but the account's root signed. */
MUST_CHECK enum err lift_open(struct slice bytes, const struct swarm_root *swarm, struct lift *out,
                              struct errmsg *msg);

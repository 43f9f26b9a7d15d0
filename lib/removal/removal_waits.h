/*
 * Whom deletions wait for: a condemned list may be acted on when every other device that could
 * build on its segments has published a head that has seen it (docs/retention.md). A device that is
 * lost and was never revoked holds every list back for REMOVAL_WAIT_S; who looks at the account's
 * status should learn that by its name.
 */
#pragma once

#include "base/limits.h"
#include "vault/vault.h"

enum { REMOVAL_WAIT_S = 60 * 86400 };

struct removal_wait {
    struct id device;
    uint32_t slot;
    char name[LIMIT_NAME_BYTES + 1];
    uint64_t segments; /* condemned, in lists that it has not seen */
    int64_t since_s;   /* of the oldest of these lists */
    int64_t until_s;   /* when nothing waits for the device any more, if it stays silent */
    int64_t last_s;    /* of its newest head; 0: it has published nothing */
};

/* Once for each device, in the order of the manifest. */
typedef void removal_wait_fn(void *user, const struct removal_wait *wait);

/* From the index and the manifest alone, as the last run left them; while nothing else uses the
   index. */
MUST_CHECK enum err removal_waits(struct vault *vault, removal_wait_fn *each, void *user,
                                  struct errmsg *msg);

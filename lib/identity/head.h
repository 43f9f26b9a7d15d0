/*
 * A head, document "head", signed by a device: where its newest snapshots lie. One hash chain a
 * device; the account's view is the union of its devices' newest heads. Two heads with one device
 * and sequence and different hashes are a fork.
 */
#pragma once

#include "identity/document.h"
#include "identity/manifest.h"

enum {
    HEAD_BYTES_MAX = 128 << 10,
    HEAD_SEALED_MAX = 96 << 10,
    HEAD_OTHERS_MAX = MANIFEST_DEVICES_MAX,
};

/* The newest head of another device that the signer had seen. */
struct head_other {
    uint32_t slot;
    uint64_t sequence;
    struct id hash;
};

/* About 13 KiB. */
struct head {
    struct id account;
    uint32_t slot;
    uint64_t sequence;        /* 1 for the first */
    struct id previous;       /* hash of the head before; zero for the first only */
    uint64_t manifest_number; /* the newest that the device knew */
    struct head_other others[HEAD_OTHERS_MAX]; /* ascending slots */
    size_t other_count;
    int64_t time_s;
    struct slice sealed; /* seal.h to the account's reading key; borrowed */
    /* filled in by _open, ignored by _make */
    struct id device;
    struct id hash; /* of the document's bytes */
};

MUST_CHECK enum err head_make(const struct head *head, const struct swarm_root *swarm,
                              const struct sign_key *device, struct buf *out);
/* `device` may be NULL: then the caller asks the manifest about the result's `device` and `slot`.
 */
MUST_CHECK enum err head_open(struct slice bytes, const struct swarm_root *swarm,
                              const struct id *device, struct head *out, struct errmsg *msg);

/* Does `next` follow `head` directly in the device's chain? ERR_OK; ERR_STALE when `next` is not
   newer; ERR_INCONSISTENT when it is a fork or another chain; ERR_NOT_ENOUGH when heads in between
   are missing. */
MUST_CHECK enum err head_follows(const struct head *head, const struct head *next,
                                 struct errmsg *msg);

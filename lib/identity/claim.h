/*
 * A claim: this cell belongs to this account (or no longer does). Both sign the same payload:
 *
 *     half   CBOR array [payload, account's signer key, signature]
 *     whole  CBOR array [payload, account's signer key, signature, cell's key, signature]
 *
 * the account's signature is of type "claim", the cell's of type "claim-cell". The account's signer
 * is its root or one of its admin devices: the opener tells which key it was, the caller asks the
 * manifest.
 */
#pragma once

#include "identity/document.h"

enum { CLAIM_BYTES_MAX = 512 };

struct claim {
    struct id account;
    uint64_t manifest_number;
    struct id cell;
    int64_t time_s;
    bool released; /* the cell belongs to the account no longer */
    /* filled in by _open, ignored by _make */
    uint8_t account_key[SIGN_PUBLIC_SIZE];
    struct id signer; /* of account_key */
    bool by_root;     /* account_key is the account's root */
    bool whole;       /* the cell has signed too (its key is `cell`'s, checked) */
};

/* The account's half. */
MUST_CHECK enum err claim_make(const struct claim *claim, const struct swarm_root *swarm,
                               const struct sign_key *account_key, struct buf *out);

/* The cell adds its signature to a half claim that claim_open() found to be in order. ERR_STATE
   when it is whole already; ERR_AUTH when it names another cell. */
MUST_CHECK enum err claim_countersign(struct slice half, const struct swarm_root *swarm,
                                      const struct sign_key *cell, struct buf *out);

MUST_CHECK enum err claim_open(struct slice bytes, const struct swarm_root *swarm,
                               struct claim *out, struct errmsg *msg);

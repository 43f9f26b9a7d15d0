/*
 * Who did it: the fields with which every document about removal begins. A device signs under its
 * slot, manifest number and a sequence that only grows (what a revocation bounds); the account's
 * root signs with `by_root`: the account's ID is that root's, or, when it has been replaced
 * (manifest.h), the slot says DEED_SLOT_ROOT. That is what the document says of itself; whether it
 * is so is for the manifest to say, deed_allowed().
 */
#pragma once

#include "identity/document.h"

struct manifest;

#define DEED_SLOT_ROOT UINT32_MAX

struct deed {
    struct id account;
    uint64_t manifest_number; /* the newest that the signer knew */
    uint32_t slot;            /* of the device; 0 or DEED_SLOT_ROOT with by_root */
    uint64_t sequence;        /* greater than that of the signer's deed before */
    int64_t time_s;
    /* filled in by _open, ignored by _make */
    struct id signer;
    bool by_root; /* it says that the account's root signed it */
};

/* Keys 0 to 4 of the payload. */
void deed_write(struct cbor_writer *w, const struct deed *deed);
void deed_read(struct document_reader *d, const struct swarm_root *swarm, struct deed *out);

/* May its signer do this, by the newest manifest of the account that is known here? The root may; a
   device may when it is in it, unrevoked, with `capability`. ERR_DENIED; ERR_STALE when the deed
   was signed under a newer manifest, which has to be shown first. */
MUST_CHECK enum err deed_allowed(const struct deed *deed, const struct manifest *m,
                                 unsigned capability, struct errmsg *msg);

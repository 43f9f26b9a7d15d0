/*
 * One example of each document, the ones of docs/format-identity.md, from fixed seeds; for this
 * room's tests and the fuzz target.
 *
 * `again` opens a document and makes it anew from what it got, with the same key: for every input
 * that is accepted the same bytes must come out, because there is one encoding of each document and
 * Ed25519 is deterministic.
 */
#pragma once

#include "base/buf.h"
#include "crypto/sign.h"
#include "identity/account.h"
#include "identity/swarm_root.h"

/* Everybody who signs. Made once (identity_world()), kept until the process ends. */
struct identity_world {
    struct swarm_root swarm;
    struct sign_key *root;                                /* the swarm's: phrase of 32 bytes 0x01 */
    struct sign_key *coordinator, *cell, *device, *admin; /* seeds of 32 bytes 0x02, 03, 04, 05 */
    struct account_keys account;                          /* phrase of 32 bytes 0x06 */
};

const struct identity_world *identity_world(void);

struct identity_example {
    const char *name; /* as in the page */
    const char *type; /* of the signature */
    const struct sign_key *(*key)(const struct identity_world *w);
    enum err (*build)(const struct identity_world *w, struct buf *out);
    enum err (*again)(const struct identity_world *w, struct slice in, struct buf *out);
};

extern const struct identity_example identity_examples[];
extern const size_t identity_example_count;

/* 32 equal bytes. */
struct id identity_id(uint8_t byte);

/* The document whose payload is `payload`, signed by the example's key as it should be: so that
   hostile payloads get past the signature. */
MUST_CHECK enum err identity_resign(const struct identity_example *example, struct slice payload,
                                    struct buf *out);

/* The payload inside a document. */
struct slice identity_payload(struct slice document);

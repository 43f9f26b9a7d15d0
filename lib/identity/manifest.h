/*
 * An account's manifest, document "manifest": its devices and their rights, sealed keys, claimed
 * cells, revocations. Signed by the account's root, or by an admin device that a root signature
 * inside certifies. Cells, coordinators and devices keep the highest number.
 *
 * Numbers: the upper 32 bits count what the root signed, the lower 32 what admins signed after it
 * (manifest_next_number). The root's signature on an admin covers the upper half, so a stolen or
 * revoked admin can never number its way past the root's next manifest. A person's first manifest
 * is signed by the root, number 1 << 32.
 *
 *     manifest_open(bytes, swarm, &m, msg)         // parsed, verified, owned
 *     manifest_follows(old, m, msg)                // may m replace old?
 *     manifest_device_find(m, &peer) + manifest_may(device, MANIFEST_PUT)
 *
 * To change one: open it (or manifest_new), change the arrays through the functions below, make it.
 */
#pragma once

#include "identity/account.h"
#include "identity/document.h"
#include "identity/invite.h"

/* Capabilities; the bits stand in documents. */
enum {
    MANIFEST_PUT = 1,
    MANIFEST_READ = 2,
    MANIFEST_DELETE = 4,
    MANIFEST_ADMIN = 8,
    MANIFEST_CAPABILITIES = 15,
};

enum {
    MANIFEST_DEVICES_MAX = 256,
    MANIFEST_EPOCHS_MAX = 1024,
    MANIFEST_CLAIMS_MAX = 4096,
    MANIFEST_ROOTS_MAX = 16,
    MANIFEST_DATA_KEY_SIZE = 32,
    MANIFEST_DATA_KEY_SEALED_SIZE = 32 + SEAL_OVERHEAD,
};

#define MANIFEST_HOLD_DEFAULT_S ((uint64_t)30 * 86400)
#define MANIFEST_HOLD_MAX_S     ((uint64_t)3660 * 86400)

struct manifest_epoch {
    uint32_t epoch;
    uint8_t sealed[MANIFEST_DATA_KEY_SEALED_SIZE]; /* the data key, seal.h to the reading key */
};

struct manifest_device {
    uint32_t slot; /* never given to another device */
    uint8_t key[SIGN_PUBLIC_SIZE];
    struct id id; /* of `key`; filled in by _open and manifest_add_device */
    uint8_t seal_key[SEAL_PUBLIC_SIZE];
    unsigned capabilities;
    char name[LIMIT_NAME_BYTES + 1];
    uint8_t admin_signature[SIGN_SIZE];           /* of the root, with MANIFEST_ADMIN only */
    bool has_secrets;                             /* with MANIFEST_READ only */
    uint8_t secrets[ACCOUNT_SECRETS_SEALED_SIZE]; /* account.h, sealed to seal_key */
    struct manifest_epoch *epochs;                /* owned; ascending */
    size_t epoch_count;
    bool revoked;
    uint64_t last_sequence; /* revoked: what it signed under a higher one is void */
    bool invited;
    uint8_t invite[INVITE_ID_SIZE]; /* invited: by this device invite, which counts once */
};

/* The root was replaced (another recovery phrase): each next one is signed by the one before, so
   the account keeps its ID. The last one counts, and certifies admins; those before it count for
   nothing any more. What they could read stays readable: their secrets are sealed on. */
struct manifest_root {
    uint8_t key[SIGN_PUBLIC_SIZE];                /* the next root's */
    uint8_t reading_before[SEAL_PUBLIC_SIZE];     /* the account's reading key before */
    uint8_t reading_after[SEAL_PUBLIC_SIZE];      /* and from then on */
    uint8_t signature[SIGN_SIZE];                 /* of the root before, over all three */
    uint8_t accepted[SIGN_SIZE];                  /* of `key` itself, over the same */
    uint8_t secrets[ACCOUNT_SECRETS_SEALED_SIZE]; /* before, sealed to reading_after */
};

struct manifest {
    uint8_t root[SIGN_PUBLIC_SIZE]; /* the first one: the account's ID is its hash */
    struct manifest_root roots[MANIFEST_ROOTS_MAX]; /* that came after it */
    size_t root_count;
    struct id account; /* of `root`; filled in by _open and _new */
    uint64_t number;
    int64_t time_s;
    uint64_t hold_s; /* how long cells keep what was deleted */
    uint8_t reading_key[SEAL_PUBLIC_SIZE];
    struct manifest_device *devices; /* owned; ascending slots, revoked ones stay */
    size_t device_count;
    struct id *claims; /* owned; cells, ascending */
    size_t claim_count;
    /* filled in by _open */
    struct id signer;
    bool by_root;
    struct id hash; /* of the document's bytes */
};

/* An empty manifest of the account whose keys these are. ERR_NOMEM. */
MUST_CHECK enum err manifest_new(const struct swarm_root *swarm,
                                 const uint8_t root[SIGN_PUBLIC_SIZE],
                                 const uint8_t reading_key[SEAL_PUBLIC_SIZE],
                                 struct manifest **out);
void manifest_free(struct manifest *m);

/* Appends the document, signed by the root or by an admin device. ERR_DENIED when `key` is neither.
 */
MUST_CHECK enum err manifest_make(const struct manifest *m, const struct swarm_root *swarm,
                                  const struct sign_key *key, struct buf *out);

/* Verifies the signer and every admin's certificate. Up to LIMIT_MANIFEST_BYTES. Also ERR_AUTH when
   the signer is neither the root nor an unrevoked admin in it. */
MUST_CHECK enum err manifest_open(struct slice bytes, const struct swarm_root *swarm,
                                  struct manifest **out, struct errmsg *msg);

/* The number after `number` (0: before the first). */
uint64_t manifest_next_number(uint64_t number, bool by_root);

/* May `next` stand in the place of `old`? ERR_STALE when its number is not higher.
   ERR_INCONSISTENT: same number and other bytes, another account, or a slot given away. ERR_DENIED
   when an admin signed what only the root may: it was no admin in `old` (nor certified for a newer
   row of the root's), or it changed an admin,
   the reading key, took a device, a sealed data key or a revocation away, or shortened the hold. */
MUST_CHECK enum err manifest_follows(const struct manifest *old, const struct manifest *next,
                                     struct errmsg *msg);

/* The root that counts. Borrowed. */
const uint8_t *manifest_root_now(const struct manifest *m);
/* Is, or was, this key a root of the account? */
bool manifest_is_root(const struct manifest *m, const struct id *key, bool *now);

/* NULL when there is none. Borrowed. */
const struct manifest_device *manifest_device_find(const struct manifest *m, const struct id *id);
const struct manifest_device *manifest_device_at(const struct manifest *m, uint32_t slot);

/* Not revoked, and has all of these capabilities. */
bool manifest_may(const struct manifest_device *device, unsigned capabilities);

/* Does what the device signed under this sequence hold (it is not revoked, or was so later)? */
bool manifest_valid(const struct manifest_device *device, uint64_t sequence);

const struct manifest_epoch *manifest_epoch_find(const struct manifest_device *device,
                                                 uint32_t epoch);
bool manifest_claims(const struct manifest *m, const struct id *cell);

/* Has a device joined by this invite? */
bool manifest_invite_used(const struct manifest *m, const uint8_t invite[INVITE_ID_SIZE]);

/* May who signed this device invite take such devices into the account: its root, or an unrevoked
   admin, who makes no admins? */
bool manifest_invites(const struct manifest *m, const struct invite_device *invite);

/* --- changing one: ERR_TOO_LARGE at the limits above, ERR_NOMEM, ERR_EXISTS, ERR_NOT_FOUND --- */

/* A copy of `device`, without its epochs, under the lowest slot never used, which is also told. */
MUST_CHECK enum err manifest_add_device(struct manifest *m, const struct manifest_device *device,
                                        uint32_t *slot);
MUST_CHECK enum err manifest_add_epoch(struct manifest *m, uint32_t slot,
                                       const struct manifest_epoch *epoch);
MUST_CHECK enum err manifest_add_claim(struct manifest *m, const struct id *cell);
MUST_CHECK enum err manifest_drop_claim(struct manifest *m, const struct id *cell);
MUST_CHECK enum err manifest_revoke(struct manifest *m, uint32_t slot, uint64_t last_sequence);

/* `next` is the account's root from this manifest on, which it has to sign. `old` is the root that
   counted; `secrets` are its account's, sealed to `reading_key`, the next reading key. What else is
   sealed to the old reading key is for the caller to seal anew. AUTH: `old` is not the root that
   counts. */
MUST_CHECK enum err manifest_replace_root(struct manifest *m, const struct swarm_root *swarm,
                                          const struct sign_key *old, const struct sign_key *next,
                                          const uint8_t reading_key[SEAL_PUBLIC_SIZE],
                                          const uint8_t secrets[ACCOUNT_SECRETS_SEALED_SIZE]);

/* The account's secrets before the root was replaced `back` times (0: just before the last time),
   from those that count now: to read what is sealed to an older reading key. NOT_FOUND: there are
   none; AUTH. */
MUST_CHECK enum err manifest_secrets_before(const struct manifest *m,
                                            const struct account_secrets *now, size_t back,
                                            struct account_secrets *out);

/* The root certifies every unrevoked admin anew for the manifest's `number`; before a root-signed
   manifest_make(). ERR_NOMEM. */
MUST_CHECK enum err manifest_certify_admins(struct manifest *m, const struct swarm_root *swarm,
                                            const struct sign_key *root);

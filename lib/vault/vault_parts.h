/*
 * The vault's parts, for what works on an open vault: this room's own files, and the rooms above,
 * which read the struct's members and change them by its functions only (joining and recovery,
 * which make a vault, fill in whose it is). Programs see vault.h.
 */
#pragma once

#include "base/file.h"
#include "config/config.h"
#include "crypto/secret.h"
#include "identity/account.h"
#include "identity/manifest.h"
#include "index/index.h"
#include "segment/segment_record.h"
#include "swarm/swarm.h"
#include "vault/vault.h"

enum { VAULT_EPOCHS_MAX = 64, VAULT_KEY_SIZE = 32 };

/* In secret_new() memory. */
struct vault_secrets {
    uint8_t device_seed[SIGN_SEED_SIZE];
    uint8_t seal_seed[SEAL_SEED_SIZE];
    struct account_secrets account;
    uint32_t slot;
    size_t epoch_count; /* our own data keys, ascending epochs; the last one is written with */
    struct vault_epoch {
        uint32_t epoch;
        uint8_t data_key[SEGMENT_DATA_KEY_SIZE];
    } epochs[VAULT_EPOCHS_MAX];
};

/* settings.ini */
struct vault_settings {
    char swarm_root[CONFIG_TEXT_SIZE];  /* its public key, hex */
    char coordinator[CONFIG_TEXT_SIZE]; /* its ID */
    struct config_list addresses;       /* its addresses */
    char redundancy[CONFIG_TEXT_SIZE];  /* "4+2", or empty */
    char swarm_redundancy[CONFIG_TEXT_SIZE];
    uint64_t compression;     /* zstd's level */
    uint64_t upload_kib_s;    /* 0: no limit */
    bool check_before_upload; /* open each finished segment once more */
};

struct vault {
    char *dir;
    enum vault_access access;
    struct vault_ports ports;
    struct vault_settings settings;
    struct swarm_root swarm_root;
    struct vault_secrets *secrets; /* owned, locked */
    uint8_t vault_key[VAULT_KEY_SIZE];
    unsigned keyslot; /* that opened it, from 0 */
    struct id account;
    struct sign_key *device;       /* owned */
    int lock_fd;                   /* -1: not held */
    bool rebuilding;               /* the index is being made anew: undone by vault_close() */
    struct index *index;           /* owned; in jobs of `lane` only, once the loop runs */
    struct work_lane *lane;        /* owned */
    struct manifest *manifest;     /* owned: the newest one known */
    struct buf manifest_bytes;     /* its document */
    struct net *net;               /* borrowed; NULL before vault_connect */
    struct swarm *swarm;           /* owned */
    uint64_t members_number;       /* of the list in DIR/members */
    struct vault_join_state *join; /* owned; while a new vault is not yet whole */
    char *phrase;                  /* owned, locked; of a new one */
};

/* Facts of the index that several files read: numbers. */
#define VAULT_FACT_HEAD_KEPT "head-kept" /* sequence of our newest head that rests with enough */
#define VAULT_FACT_RENEWED   "renewed"   /* when the account's lease was last renewed, seconds */
#define VAULT_FACT_LAST_DEED "last-deed" /* sequence of our last document about removal */

extern const struct config_key vault_settings_keys[];
extern const size_t vault_settings_key_count;

/* index_chunk.type: the segment's type, and whether the record is compressed. */
static inline uint8_t vault_type(uint8_t type, uint8_t flags)
{
    return (uint8_t)(type | (flags & SEGMENT_ZSTD ? 0x80 : 0));
}
static inline uint8_t vault_type_of(uint8_t both)
{
    return both & 0x7f;
}
static inline uint8_t vault_flags_of(uint8_t both)
{
    return both & 0x80 ? SEGMENT_ZSTD : 0;
}

/* DIR/name; owned by the caller (free). NULL: out of memory. */
char *vault_path(const struct vault *vault, const char *name);

/* --- vault_open.c --- */

/* Zeroed, with directory, lane and room for secrets. */
MUST_CHECK enum err vault_new(const char *dir, enum vault_access access,
                              const struct vault_ports *ports, struct vault **out,
                              struct errmsg *msg);
/* Makes this document the vault's manifest, if it may follow the one that is there. In memory only.
 */
MUST_CHECK enum err vault_manifest_take(struct vault *vault, struct slice bytes,
                                        struct errmsg *msg);

/* What is sealed to the account's reading key, or to one that it had before its phrase was
   replaced. `out` holds sealed.size - SEAL_OVERHEAD bytes. AUTH, NOMEM. */
MUST_CHECK enum err vault_unseal(const struct vault *vault, struct slice sealed, uint8_t *out);

/* Shows the newest manifest on all connections from now on. */
MUST_CHECK enum err vault_introduce(struct vault *vault, struct errmsg *msg);

/* --- vault_index.c --- */

/* DIR/name, which is INDEX_FILE but for one that is being made anew. */
MUST_CHECK enum err vault_index_open(struct vault *vault, const char *name, bool create,
                                     struct errmsg *msg);
/* In place of opening the index: an empty one beside it, the manifest from its copy. */
MUST_CHECK enum err vault_index_renew(struct vault *vault, struct errmsg *msg);
void vault_index_renew_undo(struct vault *vault);
/* The new index is whole: it takes the old one's place, which is kept as DIR/index.damaged. Both
   are closed. */
MUST_CHECK enum err vault_index_take_place(struct vault *vault, struct errmsg *msg);

/* --- vault_phrase.c --- */

struct vault_root {
    struct account_keys keys;
};

/* The keys that a phrase gives are those of an account of its own. When it stands in the place of
   another one (manifest.h), the account's ID and its chunk-id and cut-point keys are the first's.
 */
MUST_CHECK enum err vault_root_adapt(const struct manifest *m, struct account_keys *keys);

/* --- vault_create.c; for recovery too --- */

void vault_join_free(struct vault *vault);
/* The directory with its parents, 0700. */
MUST_CHECK enum err vault_make_dirs(const char *dir, struct errmsg *msg);
/* ERR_EXISTS when its directory holds a vault. */
MUST_CHECK enum err vault_refuse_existing(const struct vault *vault, struct errmsg *msg);
/* Adds this machine to `m` as a device with all capabilities, an epoch and its data key; fills in
   vault->secrets. Its own key is made too, when vault->device is NULL. */
MUST_CHECK enum err vault_make_device(struct vault *vault, const struct account_keys *keys,
                                      const char *name, struct manifest *m);
/* What a new device is called: `asked`, or when it is NULL the host's name. */
void vault_device_name(const char *asked, char out[LIMIT_NAME_BYTES + 1]);
/* All that an unfinished vault has left. */
void vault_remove_all(struct vault *vault);

/* The data key of `slot` and `epoch`: our own, or another device's by the account's reading key.
   NOT_FOUND; AUTH. */
MUST_CHECK enum err vault_data_key(const struct vault *vault, uint32_t slot, uint32_t epoch,
                                   uint8_t out[SEGMENT_DATA_KEY_SIZE]);

/* --- vault_epoch.c --- */

/* The data key that is written under: the newest of ours that the manifest has. */
const struct vault_epoch *vault_epoch_current(const struct vault *vault);

/* --- vault_keys.c: DIR/keys and DIR/key --- */

/* Writes both anew, with one slot; `passphrase` of size 0: a key file. */
MUST_CHECK enum err vault_keys_write(const struct vault *vault, struct slice passphrase,
                                     struct errmsg *msg);
/* The secrets as they are now, under the slots that are there. */
MUST_CHECK enum err vault_keys_save(const struct vault *vault, struct errmsg *msg);
/* Fills in secrets, vault_key, account, swarm root, device. */
MUST_CHECK enum err vault_keys_read(struct vault *vault, struct slice passphrase,
                                    struct errmsg *msg);

MUST_CHECK enum err vault_keys_need_passphrase(const char *dir, bool *out, struct errmsg *msg);

/* The keys of a device that may not read what others wrote: chunk-id and cut-point key from its
   first data key, no reading key. */
void vault_own_keys(const uint8_t data_key[SEGMENT_DATA_KEY_SIZE], struct account_secrets *out);

/* --- vault_file.c --- */

/* Behind what is in the file; durable. */
MUST_CHECK enum err vault_file_append(const char *path, struct slice bytes, struct errmsg *msg);
/* Takes DIR/lock; LOCKED names the process. *out_fd is closed to let go. `short_use`: for moments
   only; who comes meanwhile, and wants it for longer, waits. */
MUST_CHECK enum err vault_file_lock(const char *path, bool short_use, int *out_fd,
                                    struct errmsg *msg);

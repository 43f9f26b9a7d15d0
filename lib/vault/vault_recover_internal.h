/*
 * Of this room only.
 *
 *     vault_recover.c         finding the swarm, its members, manifest and heads; the new device
 *     vault_recover_index.c   the index, from the catalogues that the heads name
 */
#pragma once

#include "identity/address.h"
#include "identity/head.h"
#include "identity/phrase.h"
#include "vault/vault_reader.h"
#include "vault/vault_recover.h"

enum { RECOVERY_FROM_MAX = 64 };

struct recovery_secret {
    uint8_t entropy[PHRASE_ENTROPY_SIZE];
    struct account_keys keys;
    uint8_t passphrase[1024];
};

struct recovery_from {
    struct id id;
    char address[LIMIT_ADDRESS_BYTES + 1];
};

/* A device's newest head. */
struct recovery_head {
    struct buf bytes; /* the document */
    struct id device;
    uint32_t slot;
    uint64_t sequence;
};

struct vault_recovery {
    struct vault *vault;
    struct recovery_secret *secret; /* owned, locked */
    size_t passphrase_size;
    char device_name[LIMIT_NAME_BYTES + 1];
    struct recovery_from from[RECOVERY_FROM_MAX];
    size_t from_count, from_at;
    struct net *net;
    struct vault_recovery_events events;
    void *user;
    struct vault_recovery_summary summary;
    struct errmsg msg, why; /* why: what was wrong with the last address */
    struct buf certificate; /* the root's, for our key */
    struct buf members;     /* as a peer gave them */
    struct buf coordinator; /* its certificate, when known */
    const char *address;    /* borrowed by the question under way */
    bool files_made;
    /* what peers showed */
    struct manifest *manifest;
    struct recovery_head *heads;
    size_t head_count, head_at;
    unsigned k, m; /* as the newest head's segment has them */

    /* vault_recover_index.c */
    struct vault_reader *reader;
    struct buf catalogue;
    struct vault_segment *head_segment; /* owned */
    struct segment_entry head_entry;
    uint32_t head_record;
    struct recovery_segment {
        struct vault_segment *segment; /* owned; NULL: not known */
        struct buf record;
        bool added;
    } * segments; /* as the catalogue numbers them */
    size_t segment_count, segment_at;
    unsigned holder_at;
    size_t object_at;
    const struct id *device;
    vault_done_fn *index_done;
};

/* Reads everything that `head` leads to into the vault's index; done() also when parts could not be
   had (summary.problems). */
MUST_CHECK enum err vault_recover_index(struct vault_recovery *recovery,
                                        const struct recovery_head *head, vault_done_fn *done,
                                        struct errmsg *msg);
void vault_recover_index_clear(struct vault_recovery *recovery);

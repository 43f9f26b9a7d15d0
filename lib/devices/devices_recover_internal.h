/* Of this room only: what devices_recover.c works with. The indexes are read by heads_import.h. */
#pragma once

#include "devices/devices_recover.h"
#include "heads/heads_import.h"
#include "identity/address.h"
#include "identity/head.h"
#include "identity/phrase.h"

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
    bool unread; /* some of what it leads to could not be had */
};

struct devices_recovery {
    struct vault *vault;
    struct recovery_secret *secret; /* owned, locked */
    size_t passphrase_size;
    char device_name[LIMIT_NAME_BYTES + 1];
    struct recovery_from from[RECOVERY_FROM_MAX];
    size_t from_count, from_at;
    struct net *net;
    struct devices_recovery_events events;
    void *user;
    struct devices_recovery_summary summary;
    struct errmsg msg, why; /* why: what was wrong with the last address */
    struct buf certificate; /* the root's, for our key */
    struct buf members;     /* as a peer gave them */
    struct buf coordinator; /* its certificate, when known */
    const char *address;    /* borrowed by the question under way */
    bool files_made, rehearsal;
    /* what peers showed */
    struct manifest *manifest;
    struct recovery_head *heads;
    size_t head_count, head_at;
    bool rest;     /* the second round through them */
    unsigned k, m; /* as the newest head's segment has them */

    struct heads_import_summary read; /* of all heads */
    uint64_t problems_before;         /* this one */
};

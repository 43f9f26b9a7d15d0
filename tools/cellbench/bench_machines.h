/*
 * The machines of a swarm for a bench: a coordinator, cells with real stores that fsync, and a
 * device of one account, each with a net of its own on loopback, all on one loop. Their keys follow
 * from their numbers, so another process can play the device of a swarm that it did not start.
 *
 *     machines_begin(m, dir)            loop and keys; nothing runs
 *     machines_start_swarm(m, n)        the coordinator and n cells, joined when it returns
 *     machines_start_device(m, address) an account, joined and shown to everybody from now on
 *
 * Each stops the loop when it is done and leaves its error in `e` and `msg`. Nothing is ever
 * closed: the process ends, and what is open with it.
 */
#pragma once

#include "cell.h"
#include "coordinator.h"
#include "identity/account.h"
#include "identity/document.h"
#include "uvio/uvio_net.h"
#include "wire/wire_hello.h"

enum { MACHINES_CELLS_MAX = 16 };

struct machine {
    uint8_t seed[UVIO_NET_SEED_SIZE];
    struct sign_key *key;
    struct net *net;
    struct work_lane *lane;
    struct disk *disk;
    struct store *store;
    struct cell *cell;
    char catalogue[512];
    const char *address, *coordinator; /* borrowed by the cell for its life */
};

struct machines {
    const char *dir;
    struct uvio *io;
    struct sign_key *root_key;
    struct swarm_root root;
    struct buf certificate, cell_invite, account_invite, manifest;
    struct machine coordinator, device, cells[MACHINES_CELLS_MAX];
    unsigned cell_count, joined;
    struct registry *registry;
    struct coordinator *service;
    struct account_keys keys;
    struct wire_hello hello; /* what the device shows; borrows `manifest` */
    enum err e;
    struct errmsg msg;
};

MUST_CHECK enum err machines_begin(struct machines *m, const char *dir);
MUST_CHECK enum err machines_start_swarm(struct machines *m, unsigned cells);
MUST_CHECK enum err machines_start_device(struct machines *m, const char *coordinator);

/* True and the loop stopped when `e` is an error; the first one is kept. */
bool machines_failed(struct machines *m, enum err e, const struct errmsg *msg);
int64_t machines_wall_s(const struct machines *m);
/* The device's side: its loop, and the documents of machines_begin() and machines_start_device().
 */
void machines_end(struct machines *m);
/* Removes a directory with all that is in it. */
void machines_remove(const char *dir);
/* Gives the space of its files back and leaves them empty. An ext4 without a journal looks for
   minutes at every inode freed lately before it makes a file: what runs next would measure that. */
void machines_empty(const char *dir);

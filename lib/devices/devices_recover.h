/*
 * Recovery: a vault again on a bare machine, from the phrase and anybody of the swarm.
 *
 *     info ─▶ the swarm's root ─▶ account keys ─▶ members ─▶ manifest and heads, the highest shown
 *        (any cell or the coordinator)                          │
 *     settings ◀─ manifest out ◀─ index rebuilt ◀─ catalogues ◀─┘   a new device, root-signed
 *
 * The machine shows itself by a root certificate until its manifest is out. Nothing is believed but
 * what the root that the phrase gives has signed, or what it certifies; that nobody holds back a
 * newer head cannot be seen (docs/threat-model.md). The coordinator may be gone for good.
 *
 *     devices_recovery_new(&options, &ports, &recovery, msg);
 *     ... open a net with devices_recovery_seed(recovery) ...
 *     devices_recovery_start(recovery, net, &events, my, msg);     // then vault_open() as always
 *     devices_recovery_free(recovery);
 */
#pragma once

#include "vault/vault.h"

struct devices_recovery;

struct devices_recovery_options {
    const char *dir;         /* made, with its parents, 0700; must hold no vault */
    const char *words;       /* the 24 words */
    const char *const *from; /* "ID@host:port", asked in this order */
    size_t from_count;
    struct slice passphrase; /* size 0: a key file instead */
    const char *device_name; /* NULL: the host's */
    bool rehearsal;          /* nothing is made for good, see devices_recovery_vault() */
};

/* SECRET: the words; EXISTS: a vault is there; FORMAT, USAGE: an address. Copies all of it. */
MUST_CHECK enum err devices_recovery_new(const struct devices_recovery_options *options,
                                         const struct vault_ports *ports,
                                         struct devices_recovery **out, struct errmsg *msg);
const uint8_t *devices_recovery_seed(const struct devices_recovery *recovery);

struct devices_recovery_summary {
    struct id account;
    uint64_t devices; /* whose heads were found */
    uint64_t snapshots, segments, chunks;
    uint64_t problems; /* objects that could not be had: their snapshots or chunks are missing */
};

struct devices_recovery_events {
    void (*problem)(void *user, enum err e, const char *sentence);
    void (*done)(void *user, enum err e, const struct devices_recovery_summary *summary,
                 const struct errmsg *msg);
};

/* Once. UNREACHABLE: nobody of `from` answers; NOT_FOUND: nobody knows the account (a phrase of
   another swarm, or a typing mistake that the check of the words did not see); SECRET: the words
   have been replaced. After an error nothing is left in `dir`. */
MUST_CHECK enum err devices_recovery_start(struct devices_recovery *recovery, struct net *net,
                                           const struct devices_recovery_events *events, void *user,
                                           struct errmsg *msg);
/* Of a rehearsal that has ended well: the account as it was found, to restore from, until
   devices_recovery_free(), which removes `dir` again. No device was added, nobody was told of
   anything, and no secret is on the disk: on its connections this machine shows the root's
   certificate as a recovery does. */
struct vault *devices_recovery_vault(struct devices_recovery *recovery);

/* Not while it runs. NULL does nothing. */
void devices_recovery_free(struct devices_recovery *recovery);

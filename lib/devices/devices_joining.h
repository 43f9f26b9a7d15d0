/*
 * This machine as one more device of an existing account, by an invite of the account's own
 * (docs/devices.md).
 *
 *     keys of our own ─▶ manifest, from whoever keeps it (the invite opens that door) ─▶ request
 *     ─▶ waits until an admin device has taken us in ─▶ keys of the account ─▶ the vault is whole
 *
 * The two machines need not be on at the same time: the request rests with the coordinator and the
 * cells, and a run that was broken off goes on from DIR/joining with the same keys.
 *
 *     devices_joining_new(&options, &ports, &joining, msg);
 *     ... open a net with devices_joining_seed(joining) ...
 *     devices_joining_start(joining, net, &events, my, msg);       // then vault_open() as always
 *     devices_joining_free(joining);
 */
#pragma once

#include "vault/vault.h"

struct devices_joining;

struct devices_joining_options {
    const char *dir;         /* made, with its parents, 0700; must hold no whole vault */
    const char *invite;      /* "cellar-..."; NULL: the one with which an earlier run began */
    const char *const *from; /* "ID@host:port", asked when the invite's coordinator cannot be had */
    size_t from_count;
    struct slice passphrase; /* size 0: a key file instead */
    const char *device_name; /* NULL: the host's */
};

/* EXISTS: a whole vault is there, or another join is unfinished there. NOT_FOUND: no invite, and
   none in DIR. FORMAT, AUTH, DENIED: the invite. SECRET: an unfinished one has another passphrase.
   Copies all of it. */
MUST_CHECK enum err devices_joining_new(const struct devices_joining_options *options,
                                        const struct vault_ports *ports,
                                        struct devices_joining **out, struct errmsg *msg);
/* NOT_FOUND: nothing unfinished is there. */
MUST_CHECK enum err devices_joining_needs_passphrase(const char *dir, bool *out,
                                                     struct errmsg *msg);

const uint8_t *devices_joining_seed(const struct devices_joining *joining);
const struct id *devices_joining_device(const struct devices_joining *joining);
const struct id *devices_joining_account(const struct devices_joining *joining);

struct devices_joining_events {
    /* The request is out; once, when an admin has to do something. May be NULL. */
    void (*waiting)(void *user);
    /* ERR_OK: the vault is whole; `capabilities` as in devices.h. ERR_BUSY (with `wait`
       false): the request waits for an admin. DENIED: the invite does not count (any more).
       CANCELLED. After BUSY, CANCELLED and errors of the network a later run goes on. */
    void (*done)(void *user, enum err e, unsigned capabilities, const struct errmsg *msg);
};

/* Once. `wait`: until an admin has taken us in. */
MUST_CHECK enum err devices_joining_start(struct devices_joining *joining, struct net *net,
                                          bool wait, const struct devices_joining_events *events,
                                          void *user, struct errmsg *msg);
/* done(CANCELLED) follows soon. */
void devices_joining_cancel(struct devices_joining *joining);
/* Not while it runs. NULL does nothing. */
void devices_joining_free(struct devices_joining *joining);

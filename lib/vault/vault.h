/*
 * The vault: the directory in which a device keeps its settings, its wrapped keys and its index,
 * and what everything that is done with it has in common.
 *
 *     DIR/settings.ini   which swarm, where its coordinator was last, levels, habits
 *     DIR/keys           the device's and the account's keys under a vault key, which is wrapped
 *                        once for each slot (docs/vault.md)
 *     DIR/key            the vault key's own key, 0600, when there is no passphrase
 *     DIR/index.db       index/index.h
 *     DIR/members        the newest member list
 *     DIR/manifest       a copy of the account's manifest: with it the index can be made anew
 *     DIR/lock           held (flock) by the process that writes; a dead process holds nothing
 *
 * New account:
 *
 *     vault_create(&options, ports, &vault, msg);      // keys, manifest, phrase file; nothing sent
 *     ... open a net with vault_seed(vault) ...
 *     vault_connect(vault, net, msg);
 *     vault_join(vault, joined, my, msg);              // redeems the invite; then it is whole
 *     vault_close(vault);
 *
 * Any other time:
 *
 *     vault_open(&options, ports, &vault, msg);        // ERR_SECRET: ask for the passphrase
 *     ... net, vault_connect ...
 *     vault_refresh(vault, refreshed, my, msg);        // members, who is up
 *     backup_start(...)                          // what is done with it: the rooms above
 *     vault_close(vault);
 *
 * Loop thread only, but for vault_create() and vault_open(), which block (files, Argon2id) and are
 * called before the loop runs. The async contract is the house's: an error return means that no
 * callback follows.
 */
#pragma once

#include "base/log.h"
#include "port/clock.h"
#include "port/net.h"
#include "port/random.h"
#include "port/work.h"

struct vault;

struct vault_ports {
    const struct clock *clock; /* all borrowed until vault_close */
    const struct random *random;
    const struct work *work;
    const struct log *log; /* may be NULL */
};

typedef void vault_done_fn(void *user, enum err e, const struct errmsg *msg);

/* --- a new account --- */

struct vault_create_options {
    const char *dir;         /* made, with its parents, 0700 */
    const char *invite;      /* "cellar-..." */
    const char *phrase_file; /* NULL: the words are only in vault_phrase() */
    struct slice passphrase; /* size 0: a key file instead */
    const char *redundancy;  /* "4+2"; NULL: what the swarm says, else by the table of levels */
    uint64_t hold_s;         /* 0: 30 days */
    const char *device_name; /* NULL: the host's */
};

/* EXISTS when there is a vault in `dir`, or the phrase file exists; FORMAT, AUTH: the invite;
   DENIED, FULL, IO: the directory. */
MUST_CHECK enum err vault_create(const struct vault_create_options *options,
                                 const struct vault_ports *ports, struct vault **out,
                                 struct errmsg *msg);

/* The 24 words of a vault that was just created; until vault_close. NULL otherwise. */
const char *vault_phrase(const struct vault *vault);

/* Redeems the invite. On success settings.ini is written: from then on the vault exists. On failure
   whatever vault_create() wrote is removed again (the phrase file too: it opens nothing). DENIED:
   used up, expired, or of another swarm. */
MUST_CHECK enum err vault_join(struct vault *vault, struct net *net, vault_done_fn *done,
                               void *user, struct errmsg *msg);

/* --- one that exists --- */

enum vault_access {
    VAULT_READ,     /* never waits for another process, changes nothing */
    VAULT_WRITE,    /* takes the lock; LOCKED when a living process has it */
    VAULT_CATCH_UP, /* as WRITE when nobody has the lock, so that it can catch up with the account's
                       other devices (heads_sync.h), and vault_settle() makes it a reader; else as
                       READ */
};

struct vault_open_options {
    const char *dir;
    enum vault_access access;
    struct slice passphrase; /* size 0: with the key file */
    bool rebuild;            /* for writing: with an empty index, see heads_rebuild.h */
};

/* NOT_FOUND: no vault there. SECRET: a wrong passphrase, or none was given and one is needed
   (vault_needs_passphrase). LOCKED: the sentence names the process. */
MUST_CHECK enum err vault_open(const struct vault_open_options *options,
                               const struct vault_ports *ports, struct vault **out,
                               struct errmsg *msg);

/* Is a vault in use? ERR_OK: nobody holds its lock; LOCKED: a living process does, the sentence
   names it; NOT_FOUND: there is none. Who wants to write meanwhile waits. */
MUST_CHECK enum err vault_in_use(const char *dir, struct errmsg *msg);

/* Does it hold the lock? */
bool vault_may_write(const struct vault *vault);
/* Gives the lock back and reads from now on; when nothing is under way. */
MUST_CHECK enum err vault_settle(struct vault *vault, struct errmsg *msg);

/* NOT_FOUND when there is no vault. */
MUST_CHECK enum err vault_needs_passphrase(const char *dir, bool *out, struct errmsg *msg);

/* The device's Ed25519 seed, 32 secret bytes: what the net is opened with. Borrowed. */
const uint8_t *vault_seed(const struct vault *vault);

/* Binds it to a net (borrowed until vault_close) and says who we are on its connections. Also how
   many KiB/s may be sent is in the settings: vault_upload_limit(). */
MUST_CHECK enum err vault_connect(struct vault *vault, struct net *net, struct errmsg *msg);
uint32_t vault_upload_limit(const struct vault *vault);

/* Newest members and states; a writer keeps them in DIR/members. */
MUST_CHECK enum err vault_refresh(struct vault *vault, vault_done_fn *done, void *user,
                                  struct errmsg *msg);

/* Every operation must have ended. NULL does nothing. */
void vault_close(struct vault *vault);

/* --- what it is --- */

const struct id *vault_account(const struct vault *vault);
const struct id *vault_device(const struct vault *vault);
const char *vault_dir(const struct vault *vault);
/* The level in force now: asked for, else the swarm's, else by the number of other domains that
   placement sees. {0, 0} before the first refresh when it depends on it. */
void vault_level(const struct vault *vault, unsigned *k, unsigned *m);
/* Somebody asked for these k and m, by init or for the swarm: no other ones take their place. */
bool vault_level_is_fixed(const struct vault *vault);

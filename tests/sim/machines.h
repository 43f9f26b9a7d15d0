/*
 * Machines of one account on a swarm of the real daemons' code in the simulated world: their
 * vaults, trees of which everybody knows what is in them, and what is done with them. A call here
 * fails the test when what it does goes wrong; those that begin with machines_start_ only begin,
 * and machines_wait() awaits the end, whose result is in `e` and `msg`. One operation a machine at
 * a time.
 *
 * State n of the tree has a file that all states have, one that is different in each, one of its
 * own, and one that it shares with one neighbour (0 and 1, 2 and 3, ...).
 */
#pragma once

#include "backup/backup.h"
#include "harness/temp_dir.h"
#include "removal/removal_forget.h"
#include "removal/removal_prune.h"
#include "sim_swarm.h"

enum {
    MACHINES_CELLS = 7,
    MACHINES_HOLD_S = 7200,
    MACHINES_DAY_MS = 86400000,
    MACHINES_PATH_SIZE = 256,
};

/* A machine with a vault of the account. */
struct machine {
    struct machines *all;
    char vault_dir[MACHINES_PATH_SIZE];
    struct sim_node *tools; /* clock, work, random: never dies */
    struct sim_node *node;  /* the net */
    struct vault_ports ports;
    struct vault *vault;
    /* the operation that runs, or was the last */
    bool done;
    enum err e;
    struct errmsg msg;
    unsigned problems;
    struct id snapshot;
    struct removal_prune_summary pruned;
    uint64_t removed;
    /* what operations are told */
    const char *gives_up; /* a device, when it prunes; NULL: none */
    const char *backup_path, *forget_name;
    char forget_text[ID_TEXT_SIZE];
    struct backup_options backup_options;
    struct removal_forget_options forget_options;
    struct removal_prune_options prune_options;
};

/* The machine `a` has made the account and is open; `b` and `c` are nothing yet. */
struct machines {
    struct sim_world *sim;
    struct sim_swarm *swarm;
    char dir[TEMP_DIR_SIZE], tree[MACHINES_PATH_SIZE], phrase[MACHINES_PATH_SIZE];
    struct machine a, b, c;
    unsigned restores;
};

void machines_set_up(struct machines *w, uint64_t seed);
void machines_tear_down(struct machines *w);
/* Lets time pass. */
void machines_pass(struct machines *w, uint64_t ms);
/* Until `done` is set, which it takes back. */
void machines_wait(struct machine *m);
/* Fails with the sentence when the last operation did not go well. */
void machines_ok(const struct machine *m);
/* A vault_done_fn, for machines_wait(). */
void machines_done(void *user, enum err e, const struct errmsg *msg);

/* Opens the vault that the machine has, connects and refreshes it. */
void machines_open(struct machine *m);
void machines_refresh(struct machine *m);
/* The account's phrase. */
void machines_words(struct machines *w, char words[1024]);
/* Makes it another device of the account, from the phrase, and opens it. */
void machines_recover(struct machines *w, struct machine *m);
/* Only the first half, and not all of it need go well: what could not be had is in m->problems. */
void machines_recover_partly(struct machines *w, struct machine *m);

/* The tree, from now on. */
void machines_state(struct machines *w, unsigned n);
/* Of the tree as it is; the snapshot will be in m->snapshot. */
void machines_start_backup(struct machine *m);
/* Of this state. */
struct id machines_back_up(struct machine *m, unsigned state);
/* An error: it does not begin, and why is in m->msg. */
enum err machines_start_forget(struct machine *m, const struct id *snapshot);
void machines_forget(struct machine *m, const struct id *snapshot);
/* The summary will be in m->pruned. */
void machines_start_prune(struct machine *m);
void machines_prune(struct machine *m);
/* Reads what other devices have published. */
void machines_catch_up(struct machine *m);

/* The snapshot is there, and every file of it is what the state says. */
void machines_restores(struct machine *m, const struct id *snapshot, unsigned state);
/* Whole shards in all cells' stores. */
uint64_t machines_shards(struct machines *w);
/* Tombstones in the machine's index. */
unsigned machines_tombstones(const struct machine *m);

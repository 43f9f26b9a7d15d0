/*
 * A vault on a swarm of the real daemons' code in the simulated world, and a real tree for it to
 * back up: 100 small files in five directories, "large" (9 MiB), "sparse" (50 MiB, four bytes of
 * data), a link, an empty directory.
 */
#pragma once

#include "backup/backup.h"
#include "harness/temp_dir.h"
#include "sim_swarm.h"

enum { VAULT_FIXTURE_CELLS = 7 };

struct vault_fixture {
    struct sim_world *world;
    struct sim_swarm *swarm;
    struct sim_node *tools; /* whose clock, work and random bytes the vault has */
    struct sim_node *node;  /* whose net */
    char dir[TEMP_DIR_SIZE], tree[TEMP_DIR_SIZE + 16], vault_dir[TEMP_DIR_SIZE + 16];
    char phrase[TEMP_DIR_SIZE + 16];
    struct vault_ports ports;
    struct vault *vault;
    struct errmsg msg;
    bool done;
    enum err e;
    struct backup_summary summary;
    unsigned problems;
};

/* Until `done` is set; fails when nothing happens any more. */
void vault_fixture_wait(struct vault_fixture *f);
/* A vault_done_fn, for the wait. */
void vault_fixture_done(void *user, enum err e, const struct errmsg *msg);
/* A vault that exists, connected and refreshed; for writing. */
void vault_fixture_open(struct vault_fixture *f);
/* The tree; what came of it is in e, msg and summary. */
void vault_fixture_back_up(struct vault_fixture *f, bool dry_run);
/* Fails with the sentence when the last thing did not go well. */
void vault_fixture_ok(struct vault_fixture *f);
/* A file of the tree with pseudo-random bytes. */
void vault_fixture_write(struct vault_fixture *f, const char *name, size_t size, unsigned seed);
/* cmocka's: a swarm of seven cells, an account at 4+2, a tree of 102 files, nothing backed up. */
int vault_fixture_setup(void **state);
int vault_fixture_teardown(void **state);

/*
 * Bugs that are put in on purpose, to see that the simulator finds them (docs/testing.md).
 *
 *     if (PLANTED(SKIPPED_FSYNC) || (e = disk_sync(file, msg)) == ERR_OK) ...
 *
 * In every normal build PLANTED() is the constant false: no code, no data, no name of it is left.
 * A build with -Dplanted=true has all of them, and none is active until planted_choose() has named
 * one: that build serves tests/sim/cellsim alone and its programs must not be run for anything
 * else.
 */
#pragma once

#include <stdbool.h>

/* name, what it does */
#define PLANTED_BUGS(X)                                                                    \
    X(SKIPPED_FSYNC, "a shard's file is not synced before it is renamed")                  \
    X(EARLY_RECEIPT, "the receipt is signed before the shard is renamed and entered")      \
    X(DOUBLE_PLACEMENT, "a rebuilt shard goes to a domain that holds another one")         \
    X(LOST_REGISTRATION, "the directory says yes to a segment and rolls it back")          \
    X(SHORT_LEASE, "a ticket's work is given to somebody else after a tenth of its lease") \
    X(REVOKED_OBEYED, "a device that was revoked keeps its rights")                        \
    X(STALE_LIST, "a cell takes a member list that is older than its own")                 \
    X(ONE_SOURCE, "a repair believes its sources: leaves are not compared with the roots") \
    X(ONE_VOICE, "a single auditor's word makes a shard count as lost")                    \
    X(HOLD_NOT_WAITED, "what is deleted is freed at once")                                 \
    X(FREE_BUDGET, "what was stored under a grant is not counted")                         \
    X(OLD_PROOF, "a proof counts that was asked for long ago")                             \
    X(HEAD_ROLLED_BACK, "an older head replaces a newer one")                              \
    X(GREEDY_FREE, "freeing a segment frees all that came under the same grant")           \
    X(REPAIR_STORM, "a cell that sleeps counts as gone")                                   \
    X(UNEVEN_LEDGER, "a shard that moves is counted where it comes to and where it was")

enum planted_bug {
    PLANTED_NONE,
#define PLANTED_ENUM(name, words) PLANTED_##name,
    PLANTED_BUGS(PLANTED_ENUM)
#undef PLANTED_ENUM
        PLANTED_COUNT
};

#ifdef CELLAR_PLANTED
/* Set once, before anything else runs: the one global that may change, and no release has it. */
extern enum planted_bug planted_active;
#define PLANTED(name) (planted_active == PLANTED_##name)
/* By its name; false when there is none of that name. */
bool planted_choose(const char *name);
#else
#define PLANTED(name) false
#endif

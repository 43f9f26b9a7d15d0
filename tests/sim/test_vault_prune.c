/*
 * Forgetting and pruning on a swarm of the real daemons' code.
 *
 *     one device: what nothing needs is freed after the hold, tombstones go in the end
 *     several: a list is acted on only when the others have acknowledged it; backups of the one and
 *              prunes of the other, woven by the seed, never cost a snapshot a chunk; what a
 *              revoked device did is void
 */
#include "machines.h"

#include "devices/devices.h"
#include "store/store.h"
#include "vault/vault_parts.h"
#include "vault/vault_phrase.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- one device --- */

static void test_what_nothing_needs_is_freed_after_the_hold(void **state)
{
    (void)state;
    struct machines w;
    struct id s[4];
    machines_set_up(&w, 31);
    for (unsigned n = 0; n < 4; n++)
        s[n] = machines_back_up(&w.a, n);
    machines_forget(&w.a, &s[0]);
    machines_forget(&w.a, &s[1]);
    machines_prune(&w.a);
    assert_true(w.a.pruned.segments_condemned > 0);
    assert_int_equal(w.a.pruned.segments_ordered, w.a.pruned.segments_condemned);
    assert_int_equal(w.a.pruned.orders_waiting, 0);
    const uint64_t held = machines_shards(&w);
    machines_pass(&w, MACHINES_HOLD_S * 1000ull / 2);
    assert_int_equal(machines_shards(&w), held);
    machines_pass(&w, 2 * MACHINES_HOLD_S * 1000ull);
    assert_true(machines_shards(&w) < held);
    machines_restores(&w.a, &s[2], 2);
    machines_restores(&w.a, &s[3], 3);
    const struct removal_prune_summary first = w.a.pruned;
    assert_int_equal(machines_tombstones(&w.a), 2);
    machines_prune(&w.a);
    assert_true(w.a.pruned.segments_condemned < first.segments_condemned);
    machines_tear_down(&w);
}

/* A tombstone that everybody has seen goes when its snapshots cannot come back any more; who comes
   afterwards never hears of either. One that somebody has not seen stays. */
static void test_tombstones_go_when_everybody_has_seen_them(void **state)
{
    (void)state;
    struct machines w;
    struct id s[3];
    machines_set_up(&w, 32);
    for (unsigned n = 0; n < 3; n++)
        s[n] = machines_back_up(&w.a, n);
    machines_forget(&w.a, &s[0]);
    machines_prune(&w.a);
    assert_int_equal(machines_tombstones(&w.a), 1);
    machines_pass(&w, MACHINES_DAY_MS + 2 * MACHINES_HOLD_S * 1000ull);
    machines_prune(&w.a);
    assert_int_equal(machines_tombstones(&w.a), 0);
    (void)machines_back_up(&w.a, 4); /* a head without it */
    machines_restores(&w.a, &s[2], 2);
    machines_recover(&w, &w.b);
    assert_int_equal(machines_tombstones(&w.b), 0);
    if (machines_start_forget(&w.b, &s[0]) == ERR_OK)
        machines_wait(&w.b);
    assert_int_equal(w.b.e, ERR_NOT_FOUND);
    w.b.done = false;
    machines_restores(&w.b, &s[1], 1);
    /* from here on b is another device of the account: it sees a's next tombstone only when it
     * publishes */
    (void)machines_back_up(&w.b, 5);
    machines_catch_up(&w.a);
    machines_forget(&w.a, &s[1]);
    machines_prune(&w.a);
    (void)machines_back_up(&w.b, 6);
    machines_prune(&w.a);
    machines_pass(&w, MACHINES_DAY_MS + 2 * MACHINES_HOLD_S * 1000ull);
    machines_refresh(&w.a);
    machines_prune(&w.a);
    assert_int_equal(machines_tombstones(&w.a), 0);
    machines_restores(&w.a, &s[2], 2);
    machines_tear_down(&w);
}

/* --- two devices --- */

static void test_a_list_waits_for_the_other_device_to_acknowledge_it(void **state)
{
    (void)state;
    struct machines w;
    machines_set_up(&w, 41);
    const struct id first = machines_back_up(&w.a, 0), second = machines_back_up(&w.a, 2);
    machines_recover(&w, &w.b);
    const struct id theirs = machines_back_up(&w.b, 4);
    machines_forget(&w.a, &first);
    machines_prune(&w.a);
    assert_true(w.a.pruned.segments_condemned > 0);
    assert_int_equal(w.a.pruned.segments_ordered, 0);
    assert_int_equal(w.a.pruned.devices_waited_for, 1);
    const uint64_t held = machines_shards(&w);
    machines_pass(&w, 4 * MACHINES_HOLD_S * 1000ull);
    assert_int_equal(machines_shards(&w), held);
    /* a clock that jumps is no reason: only when the coordinator's says so too have 60 days passed
     */
    sim_node_clock_jump(w.a.tools, 100 * (int64_t)MACHINES_DAY_MS);
    machines_refresh(&w.a);
    machines_prune(&w.a);
    assert_int_equal(w.a.pruned.segments_ordered, 0);
    sim_node_clock_jump(w.a.tools, -100 * (int64_t)MACHINES_DAY_MS);
    machines_refresh(&w.a);
    /* b builds on what a has condemned: it learns so, and stores it anew */
    const struct id again = machines_back_up(&w.b, 0);
    machines_prune(&w.a);
    assert_true(w.a.pruned.segments_ordered > 0);
    machines_pass(&w, 4 * MACHINES_HOLD_S * 1000ull);
    machines_restores(&w.b, &again, 0);
    machines_restores(&w.b, &theirs, 4);
    machines_catch_up(&w.a);
    machines_restores(&w.a, &again, 0);
    machines_restores(&w.a, &second, 2);
    machines_tear_down(&w);
}

/* Cells sleep while a machine recovers: what it could not read of a's head it reads as soon as they
   are awake. (Found by cellsim, seed 310: the head counted as seen, and nobody asked again.) */
static void test_what_a_recovery_could_not_read_is_read_by_the_next_run(void **state)
{
    (void)state;
    struct machines w;
    machines_set_up(&w, 71);
    const struct id first = machines_back_up(&w.a, 0), second = machines_back_up(&w.a, 2);
    for (unsigned i = 1; i < MACHINES_CELLS; i++)
        sim_swarm_stop_cell(w.swarm, i, SIM_STOP);
    machines_recover_partly(&w, &w.b);
    assert_true(w.b.problems > 0);
    for (unsigned i = 1; i < MACHINES_CELLS; i++)
        sim_swarm_start_cell(w.swarm, i);
    machines_pass(&w, MACHINES_DAY_MS / 24);
    machines_open(&w.b);
    machines_catch_up(&w.b);
    machines_restores(&w.b, &first, 0);
    machines_restores(&w.b, &second, 2);
    machines_tear_down(&w);
}

struct shard_names {
    struct id segments[256];
    uint8_t indexes[256];
    size_t count;
};

static enum err name_shard(void *user, const struct store_shard *shard)
{
    struct shard_names *names = user;
    assert_true(names->count < 256);
    names->segments[names->count] = shard->segment;
    names->indexes[names->count++] = (uint8_t)shard->index;
    return ERR_OK;
}

static void name_shards(struct machines *w, unsigned cell, struct shard_names *out)
{
    out->count = 0;
    assert_int_equal(store_list(w->swarm->cells[cell].store, vault_account(w->a.vault), NULL, 0,
                                256, name_shard, out, &w->a.msg),
                     ERR_OK);
}

static bool is_named(const struct shard_names *names, const struct id *segment)
{
    for (size_t i = 0; i < names->count; i++)
        if (id_equal(&names->segments[i], segment))
            return true;
    return false;
}

/* While the newest of what another device has published cannot be read, nobody knows what it needs:
   nothing is condemned, unless that device is given up by name. */
static void test_nothing_is_deleted_while_a_head_cannot_be_read(void **state)
{
    (void)state;
    static struct shard_names before[MACHINES_CELLS], after;
    struct machines w;
    struct errmsg msg;
    machines_set_up(&w, 81);
    const struct id first = machines_back_up(&w.a, 0);
    machines_recover(&w, &w.b);
    for (unsigned c = 0; c < MACHINES_CELLS; c++)
        name_shards(&w, c, &before[c]);
    (void)machines_back_up(&w.a, 1); /* it shares "common" and "pair-0" with the first */
    for (unsigned c = 0; c < MACHINES_CELLS; c++) {
        name_shards(&w, c, &after);
        for (size_t i = 0; i < after.count; i++)
            if (!is_named(&before[c], &after.segments[i]))
                assert_int_equal(store_quarantine(w.swarm->cells[c].store, &after.segments[i],
                                                  after.indexes[i], &msg),
                                 ERR_OK);
    }
    machines_forget(&w.b, &first);
    machines_start_prune(&w.b);
    machines_wait(&w.b);
    assert_int_equal(w.b.e, ERR_NOT_ENOUGH);
    assert_non_null(strstr(w.b.msg.text, "first"));
    assert_int_equal(w.b.pruned.segments_condemned, 0);
    w.b.gives_up = "first";
    machines_prune(&w.b);
    assert_true(w.b.pruned.segments_condemned > 0);
    machines_tear_down(&w);
}

/* A thief's device forgets and condemns, and others believe it; then it is revoked, by one who had
   not seen that: none of it counts any more, anywhere. */
static void test_what_a_device_did_after_its_last_valid_head_is_void_everywhere(void **state)
{
    (void)state;
    struct machines w;
    struct vault_root *root;
    char words[1024];
    machines_set_up(&w, 51);
    const struct id first = machines_back_up(&w.a, 0), second = machines_back_up(&w.a, 2);
    machines_recover(&w, &w.b);
    machines_recover(&w, &w.c);
    machines_forget(&w.b, &first);
    machines_prune(&w.b);
    assert_true(w.b.pruned.segments_condemned > 0);
    machines_catch_up(&w.a);
    assert_int_equal(machines_start_forget(&w.a, &first), ERR_OK);
    machines_wait(&w.a);
    assert_int_equal(w.a.e, ERR_NOT_FOUND); /* it is forgotten */
    machines_words(&w, words);
    assert_int_equal(vault_phrase_open(w.c.vault, words, &root, &w.c.msg), ERR_OK);
    assert_int_equal(
        devices_revoke(w.c.vault, vault_device(w.b.vault), root, machines_done, &w.c, &w.c.msg),
        ERR_OK);
    machines_wait(&w.c);
    machines_ok(&w.c);
    vault_phrase_close(root);
    machines_catch_up(&w.a);
    machines_restores(&w.a, &first, 0);
    machines_restores(&w.a, &second, 2);
    (void)machines_back_up(&w.a, 4);
    machines_pass(&w, 4 * MACHINES_HOLD_S * 1000ull);
    machines_restores(&w.a, &first, 0);
    machines_tear_down(&w);
}

static void test_after_sixty_days_by_both_clocks_nobody_is_waited_for(void **state)
{
    (void)state;
    struct machines w;
    machines_set_up(&w, 61);
    const struct id first = machines_back_up(&w.a, 0), second = machines_back_up(&w.a, 2);
    machines_recover(&w, &w.b);
    machines_forget(&w.a, &first);
    machines_prune(&w.a);
    assert_int_equal(w.a.pruned.segments_ordered, 0);
    sim_node_clock_jump(w.a.tools, 61 * (int64_t)MACHINES_DAY_MS);
    sim_node_clock_jump(w.swarm->coordinator_node, 61 * (int64_t)MACHINES_DAY_MS);
    machines_refresh(&w.a);
    machines_prune(&w.a);
    assert_true(w.a.pruned.segments_ordered > 0);
    machines_restores(&w.a, &second, 2);
    /* b has not seen the tombstone: it stays, whatever the hold, so that b learns of it one day */
    machines_pass(&w, MACHINES_DAY_MS + 3 * MACHINES_HOLD_S * 1000ull);
    machines_refresh(&w.a);
    machines_prune(&w.a);
    assert_int_equal(machines_tombstones(&w.a), 1);
    machines_catch_up(&w.b);
    assert_int_equal(machines_tombstones(&w.b), 1);
    machines_tear_down(&w);
}

static bool both_done(void *user)
{
    struct machines *w = user;
    return w->a.done && w->b.done;
}

/* b's backup of what a forgets runs while a prunes; the seed says how they are woven. */
static void weave(uint64_t seed)
{
    struct machines w;
    machines_set_up(&w, seed);
    const struct id first = machines_back_up(&w.a, 0), second = machines_back_up(&w.a, 2);
    machines_recover(&w, &w.b);
    (void)machines_back_up(&w.b, 4);
    machines_forget(&w.a, &first);
    machines_state(&w, 0); /* b knows all of it, from a's first snapshot */
    machines_start_backup(&w.b);
    machines_pass(&w, sim_world_below(w.sim, 30));
    machines_start_prune(&w.a);
    assert_int_equal(sim_world_run_until(w.sim, both_done, &w, MACHINES_DAY_MS), ERR_OK);
    w.a.done = w.b.done = false;
    machines_ok(&w.a);
    machines_ok(&w.b);
    const struct id woven = w.b.snapshot;
    machines_pass(&w,
                  4 * MACHINES_HOLD_S * 1000ull); /* nothing comes to the rescue within the hold */
    for (unsigned round = 0; round < 3; round++) {
        machines_prune(&w.a);
        machines_pass(&w, 3 * MACHINES_HOLD_S * 1000ull);
        (void)machines_back_up(&w.b, 5);
        machines_prune(&w.b);
        (void)machines_back_up(&w.a, 6);
    }
    machines_pass(&w, 4 * MACHINES_HOLD_S * 1000ull);
    machines_catch_up(&w.a);
    machines_restores(&w.b, &woven, 0);
    machines_restores(&w.a, &woven, 0);
    machines_restores(&w.b, &second, 2);
    machines_tear_down(&w);
}

static void test_a_backup_beside_a_prune_of_another_device_loses_no_chunk(void **state)
{
    (void)state;
    const unsigned count = getenv("CELLAR_TEST_FULL") ? 40 : 12;
    for (unsigned i = 0; i < count; i++)
        weave(100 + i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_nothing_needs_is_freed_after_the_hold),
        cmocka_unit_test(test_tombstones_go_when_everybody_has_seen_them),
        cmocka_unit_test(test_a_list_waits_for_the_other_device_to_acknowledge_it),
        cmocka_unit_test(test_what_a_recovery_could_not_read_is_read_by_the_next_run),
        cmocka_unit_test(test_nothing_is_deleted_while_a_head_cannot_be_read),
        cmocka_unit_test(test_what_a_device_did_after_its_last_valid_head_is_void_everywhere),
        cmocka_unit_test(test_after_sixty_days_by_both_clocks_nobody_is_waited_for),
        cmocka_unit_test(test_a_backup_beside_a_prune_of_another_device_loses_no_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Power cuts and failing disks: what was committed is there and whole, whatever happens when. */
#include "store_fixture.h"

enum { SHARDS = 6 };

/* Stores some shards with the `at`-th disk operation failing, cuts the power, starts again. */
static bool scenario(void *user, uint64_t at, bool for_good)
{
    const unsigned operations = *(const unsigned *)user;
    void *state;
    fixture_setup(&state);
    struct fixture *f = state;
    struct fault fault = FAULT_INIT(at, for_good);
    struct shard s[SHARDS];
    enum err results[SHARDS];
    sim_disk_fail(f->node, operations, &fault, ERR_IO);
    for (unsigned i = 0; i < SHARDS; i++) {
        s[i] = shard_make(i + 1, i % 3, 8192);
        results[i] = shard_store(f, &s[i]);
    }
    sim_disk_fail(f->node, 0, NULL, ERR_OK);
    sim_node_crash(f->node, SIM_POWER);
    store_close(f->store);
    f->store = NULL;
    sim_node_start(f->node);
    assert_int_equal(fixture_open(f, false), ERR_OK);
    unsigned stored = 0;
    for (unsigned i = 0; i < SHARDS; i++) {
        if (results[i] == ERR_OK)
            assert_true(shard_is_whole(f, &s[i])); /* a receipt would have been signed */
        stored += shard_is_whole(f, &s[i]);
        const enum err again = shard_store(f, &s[i]);
        assert_true(again == ERR_OK || again == ERR_EXISTS);
        assert_true(shard_is_whole(f, &s[i]));
        free(s[i].payload);
    }
    struct store_usage usage;
    assert_int_equal(store_usage(f->store, &usage, NULL), ERR_OK);
    assert_int_equal(usage.shard_count, SHARDS);
    if (!fault.failed)
        assert_int_equal(stored, SHARDS);
    fixture_teardown(&state);
    return fault.failed > 0;
}

static void test_every_failing_write_and_a_power_cut_lose_nothing_committed(void **state)
{
    (void)state;
    unsigned operations = SIM_DISK_WRITE;
    assert_true(fault_loop(scenario, &operations, 4000) > SHARDS);
}

static void test_every_failing_sync_and_a_power_cut_lose_nothing_committed(void **state)
{
    (void)state;
    unsigned operations = SIM_DISK_SYNC;
    assert_true(fault_loop(scenario, &operations, 4000) > SHARDS);
}

static void test_every_failing_rename_and_a_power_cut_lose_nothing_committed(void **state)
{
    (void)state;
    unsigned operations = SIM_DISK_NAME;
    assert_true(fault_loop(scenario, &operations, 4000) > SHARDS);
}

/* The kernel drops what a failed fsync could not write: nothing may be promised after it. */
static void test_after_a_failed_fsync_nothing_is_taken_until_the_next_start(void **state)
{
    struct fixture *f = *state;
    struct shard a = shard_make(1, 0, 4096), b = shard_make(2, 0, 4096);
    struct fault fault = FAULT_INIT(0, false);
    sim_disk_fail(f->node, SIM_DISK_SYNC, &fault, ERR_IO);
    assert_int_not_equal(shard_store(f, &a), ERR_OK);
    assert_int_equal(shard_store(f, &b), ERR_READ_ONLY);
    struct store_usage usage;
    assert_int_equal(store_usage(f->store, &usage, NULL), ERR_OK);
    assert_true(usage.read_only);
    store_close(f->store);
    assert_int_equal(fixture_open(f, false), ERR_OK);
    assert_int_equal(shard_store(f, &b), ERR_OK);
    free(a.payload);
    free(b.payload);
}

/* Power cuts at moments drawn from the seed, in mid-put as well. */
static void test_power_cuts_at_random_moments_lose_nothing_committed(void **state)
{
    (void)state;
    const uint64_t seed = sim_world_test_seed(77);
    const unsigned rounds = getenv("CELLAR_TEST_FULL") ? 2000 : 60;
    for (unsigned round = 0; round < rounds; round++) {
        struct fixture *f = fixture_new(seed + round);
        void *fresh = f;
        struct shard s[SHARDS];
        bool committed[SHARDS] = {false};
        uint64_t r = seed + round;
        for (unsigned i = 0; i < SHARDS; i++) {
            s[i] = shard_make(1000 * round + i + 1, 0, 8192);
            r = r * 6364136223846793005u + 1442695040888963407u;
            struct store_put *put;
            enum err e = shard_seal(f, &s[i], &put);
            assert_int_equal(e, ERR_OK);
            if (r >> 61) { /* 7 of 8 are committed, the others are cut off under way */
                store_put_commit(f->store, &put, 1, &e, &f->msg);
                committed[i] = e == ERR_OK;
                assert_true(committed[i]);
            }
            if (committed[i] && r >> 62 != 3)
                continue;
            sim_node_crash(f->node, SIM_POWER);
            if (!committed[i])
                store_put_abort(f->store, put);
            store_close(f->store);
            sim_node_start(f->node);
            assert_int_equal(fixture_open(f, false), ERR_OK);
            for (unsigned j = 0; j <= i; j++)
                if (committed[j])
                    assert_true(shard_is_whole(f, &s[j]));
        }
        sim_node_crash(f->node, SIM_POWER);
        store_close(f->store);
        f->store = NULL;
        sim_node_start(f->node);
        assert_int_equal(fixture_open(f, false), ERR_OK);
        for (unsigned i = 0; i < SHARDS; i++) {
            if (committed[i])
                assert_true(shard_is_whole(f, &s[i]));
            free(s[i].payload);
        }
        fixture_teardown(&fresh);
    }
}

int main(void)
{
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_failing_write_and_a_power_cut_lose_nothing_committed),
        cmocka_unit_test(test_every_failing_sync_and_a_power_cut_lose_nothing_committed),
        cmocka_unit_test(test_every_failing_rename_and_a_power_cut_lose_nothing_committed),
        STORE_TEST(test_after_a_failed_fsync_nothing_is_taken_until_the_next_start),
        cmocka_unit_test(test_power_cuts_at_random_moments_lose_nothing_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

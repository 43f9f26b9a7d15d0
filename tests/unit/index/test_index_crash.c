/* index/: failing disks, power cuts and failing allocations. What was committed is there and whole,
   what was not has left no trace, and an error is an error. */
#include "index_fixture.h"

#include "harness/alloc_fault.h"
#include "harness/sim_disk.h"
#include "harness/sim_vfs.h"
#include "index/index_cache.h"

enum { SEGMENTS = 4, CHUNKS = 20 };

static enum err open_on(struct sim_node *node, struct index **out)
{
    const struct index_options options = {
        .path = INDEX_FILE, .vfs = node->vfs, .create = true, .exclusive = true};
    return index_open(&options, out, NULL);
}

static struct index_chunk make_chunk(unsigned segment_seed, uint64_t number, uint32_t record)
{
    return (struct index_chunk){.id = make_id('k', segment_seed * 1000 + record),
                                .segment = number,
                                .record = record,
                                .offset = record << 10,
                                .sealed_bytes = 1024,
                                .plain_bytes = 2000,
                                .type = 1};
}

/* All that a backup writes for one segment: the row, its chunks, its state, a directory, a fact. */
static enum err write_segment(struct index *index, unsigned seed)
{
    struct index_shard shards[3] = {{make_id('c', seed), INDEX_SHARD_STORED},
                                    {make_id('c', seed + 1), INDEX_SHARD_STORED},
                                    {{{0}}, INDEX_SHARD_DEBT}};
    struct index_segment segment = {.id = make_id('s', seed),
                                    .kind = INDEX_DATA,
                                    .state = INDEX_BUILDING,
                                    .k = 2,
                                    .m = 1,
                                    .shard_bytes = 65536,
                                    .chunk_count = CHUNKS};
    struct index_chunk chunks[CHUNKS];
    struct buf row;
    enum err e = index_dir_start(&row);
    if (e == ERR_OK)
        e = index_begin(index, NULL);
    if (e != ERR_OK)
        goto free_row;
    e = index_segment_add(index, &segment, slice_text("header"), slice_text("record"), shards,
                          NULL);
    for (uint32_t i = 0; i < CHUNKS; i++)
        chunks[i] = make_chunk(seed, segment.number, i);
    if (e == ERR_OK)
        e = index_chunks_add(index, chunks, CHUNKS, NULL);
    if (e == ERR_OK)
        e = index_segment_set_state(index, segment.number, INDEX_COMMITTED, NULL);
    if (e == ERR_OK)
        e = index_dir_put(index, slice_text("/a"), buf_slice(&row), NULL);
    if (e == ERR_OK)
        e = index_fact_put_number(index, "last", seed, NULL);
    if (e == ERR_OK)
        e = index_commit(index, NULL);
    else
        index_rollback(index);
free_row:
    buf_free(&row);
    return e;
}

/* All of a segment, or nothing. */
static bool segment_is_there(struct index *index, unsigned seed)
{
    struct id id = make_id('s', seed), ids[CHUNKS];
    struct index_segment segment = {0};
    struct index_chunk found[CHUNKS];
    enum err e = index_segment_get(index, &id, &segment, NULL);
    assert_true(e == ERR_OK || e == ERR_NOT_FOUND);
    for (uint32_t i = 0; i < CHUNKS; i++)
        ids[i] = make_chunk(seed, 0, i).id;
    OK(index_chunks_find(index, ids, CHUNKS, true, found, msg));
    for (uint32_t i = 0; i < CHUNKS; i++)
        assert_true(found[i].segment == segment.number && (e != ERR_OK || found[i].record == i));
    if (e != ERR_OK)
        return false;
    assert_true(segment.state == INDEX_COMMITTED && segment.debt_count == 1);
    struct index_shard shards[LIMIT_SHARDS];
    size_t count;
    OK(index_segment_shards(index, segment.number, shards, &count, msg));
    assert_int_equal(count, 3);
    return true;
}

/* Writes segments with the `at`-th disk operation failing, cuts the power, opens again. */
static bool disk_scenario(void *user, uint64_t at, bool for_good)
{
    struct sim_world *world = sim_world_new(at * 2 + for_good + 1);
    struct sim_node *node = sim_node_new(world, &(struct sim_identity){.name = "device"});
    struct fault fault = FAULT_INIT(at, for_good);
    struct index *index;
    enum err results[SEGMENTS];
    assert_int_equal(open_on(node, &index), ERR_OK);
    sim_disk_fail(node, *(const unsigned *)user, &fault, ERR_IO);
    for (unsigned i = 0; i < SEGMENTS; i++)
        results[i] = write_segment(index, i);
    sim_disk_fail(node, 0, NULL, ERR_OK);
    sim_node_crash(node, SIM_POWER);
    index_close(index);
    sim_node_start(node);
    assert_int_equal(open_on(node, &index), ERR_OK);
    OK(index_check(index, msg));
    for (unsigned i = 0; i < SEGMENTS; i++) {
        bool there = segment_is_there(index, i);
        if (results[i] == ERR_OK)
            assert_true(there);
        if (!there)
            assert_int_equal(write_segment(index, i), ERR_OK); /* a later run simply goes on */
        assert_true(segment_is_there(index, i));
    }
    if (!fault.failed)
        for (unsigned i = 0; i < SEGMENTS; i++)
            assert_int_equal(results[i], ERR_OK);
    index_close(index);
    assert_int_equal(sim_vfs_open_files(node), 0);
    sim_world_free(world);
    return fault.failed > 0;
}

static void test_every_failing_write_loses_nothing_committed(void **state)
{
    (void)state;
    unsigned operations = SIM_DISK_WRITE;
    assert_true(fault_loop(disk_scenario, &operations, 5000) > SEGMENTS);
}

static void test_every_failing_sync_loses_nothing_committed(void **state)
{
    (void)state;
    unsigned operations = SIM_DISK_SYNC;
    assert_true(fault_loop(disk_scenario, &operations, 5000) >= SEGMENTS);
}

static void test_power_cuts_at_random_moments_lose_nothing_committed(void **state)
{
    (void)state;
    const uint64_t seed = sim_world_test_seed(4711);
    const unsigned rounds = getenv("CELLAR_TEST_FULL") ? 1000 : 40;
    for (unsigned round = 0; round < rounds; round++) {
        struct sim_world *world = sim_world_new(seed + round);
        struct sim_node *node = sim_node_new(world, &(struct sim_identity){.name = "device"});
        struct index *index;
        unsigned committed = (unsigned)sim_world_below(world, SEGMENTS);
        assert_int_equal(open_on(node, &index), ERR_OK);
        for (unsigned i = 0; i < committed; i++)
            assert_int_equal(write_segment(index, i), ERR_OK);
        OK(index_begin(index, msg)); /* and one that is half written */
        OK(index_segment_add(
            index,
            &(struct index_segment){
                .id = make_id('s', 99), .kind = INDEX_DATA, .state = INDEX_BUILDING, .k = 1},
            slice_of(NULL, 0), slice_of(NULL, 0), &(struct index_shard){0}, msg));
        sim_node_crash(node, SIM_POWER);
        index_close(index);
        sim_node_start(node);
        assert_int_equal(open_on(node, &index), ERR_OK);
        OK(index_check(index, msg));
        for (unsigned i = 0; i < SEGMENTS; i++)
            assert_int_equal(segment_is_there(index, i), i < committed);
        assert_false(segment_is_there(index, 99));
        index_close(index);
        sim_world_free(world);
    }
}

/* Our own allocations (SQLite's lie in its library): each one fails, and says so. */
static bool alloc_scenario(void *user, uint64_t at, bool for_good)
{
    struct fixture *f = user;
    struct index *index = NULL;
    struct index_segment_live live[2];
    struct id id = make_id('k', 0);
    struct index_chunk chunk;
    struct index_dir dir = {0};
    size_t count;
    const struct index_options options = {.path = f->path};
    alloc_fault_arm(at, for_good);
    enum err e = index_open(&options, &index, NULL);
    if (e == ERR_OK)
        e = write_segment(index, 7);
    if (e == ERR_OK)
        e = index_chunks_find(index, &id, 1, false, &chunk, NULL);
    if (e == ERR_OK)
        e = index_marks_add(index, &id, 1, NULL, &count, NULL);
    if (e == ERR_OK)
        e = index_marks_live(index, 0, live, 2, &count, NULL);
    if (e == ERR_OK)
        e = index_dir_get(index, slice_text("/a"), &dir, NULL);
    if (e == ERR_OK)
        e = index_segment_chunks(index, live[0].number, &chunk, 1, &count, NULL);
    bool met = alloc_fault_disarm();
    assert_int_equal(e, met ? ERR_NOMEM : ERR_TOO_LARGE); /* CHUNKS do not fit into one */
    index_dir_free(&dir);
    struct id segment_id = make_id('s', 7);
    struct index_segment segment;
    if (index && index_segment_get(index, &segment_id, &segment, NULL) == ERR_OK)
        OK(index_segment_remove(index, segment.number, msg));
    index_close(index);
    return met;
}

static void test_every_failing_allocation_is_an_error(void **state)
{
    struct fixture *f = *state;
    index_close(f->index);
    f->index = NULL;
    assert_true(fault_loop(alloc_scenario, f, 5000) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_failing_write_loses_nothing_committed),
        cmocka_unit_test(test_every_failing_sync_loses_nothing_committed),
        cmocka_unit_test(test_power_cuts_at_random_moments_lose_nothing_committed),
        FIXTURE_TEST(test_every_failing_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

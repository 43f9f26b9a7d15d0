/* swarm_gather: the wanted bytes come out right whatever k cells still have, and no others do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "swarm_play.h"

#include <stdio.h>
#include <stdlib.h>

#define OK(call) assert_int_equal(call, ERR_OK)

struct scene {
    struct play play;
    struct play_segment segment;
    struct swarm_holder holders[LIMIT_SHARDS];
    size_t holder_count;
    struct play_gather gather;
};

static void scene_new(struct scene *scene, uint64_t seed, unsigned k, unsigned m,
                      uint32_t shard_bytes)
{
    play_new(&scene->play, sim_world_test_seed(seed), k + m);
    play_open(&scene->play, true, true);
    play_segment_new(&scene->play, &scene->segment, k, m, shard_bytes);
    scene->holder_count = play_store(&scene->play, &scene->segment, scene->holders);
}

static void scene_free(struct scene *scene)
{
    play_segment_free(&scene->segment);
    play_free(&scene->play);
}

static void gather(struct scene *scene, const struct swarm_range *ranges, size_t count)
{
    play_gather_start(&scene->play, &scene->segment,
                      &(struct swarm_gather_request){.holders = scene->holders,
                                                     .holder_count = scene->holder_count,
                                                     .ranges = ranges,
                                                     .range_count = count},
                      &scene->gather);
    play_wait(&scene->play, &scene->gather.end, 600000);
}

static void assert_ranges(const struct scene *scene, const struct swarm_range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_memory_equal(scene->gather.payload + ranges[i].offset,
                            scene->segment.bytes + ranges[i].offset, ranges[i].size);
}

/* All of the payload. */
static struct swarm_range all_of(const struct scene *scene)
{
    return (struct swarm_range){0, scene->segment.k * scene->segment.shard_bytes};
}

static bool has_fault(const struct scene *scene, unsigned cell, enum swarm_fault_kind kind)
{
    for (size_t i = 0; i < scene->gather.result.fault_count; i++)
        if (id_equal(&scene->gather.faults[i].cell, &scene->play.cells[cell].id) &&
            scene->gather.faults[i].kind == kind)
            return true;
    return false;
}

static void test_gather_reads_whole_leaves_of_what_is_wanted(void **state)
{
    (void)state;
    struct scene scene;
    scene_new(&scene, 1, 4, 2, 1 << 20);
    const struct swarm_range range = {(1 << 20) + 70000, 1000}; /* in leaf 1 of shard 1 */
    gather(&scene, &range, 1);
    OK(scene.gather.end.e);
    assert_ranges(&scene, &range, 1);
    assert_int_equal(scene.gather.result.fetches, 1);
    assert_int_equal(scene.gather.result.fetched_bytes, 65536);
    assert_int_equal(scene.play.cells[1].gets, 1);
    /* nothing beside the leaf was written to */
    assert_int_equal(scene.gather.payload[(1 << 20) + 65535], 0xee);
    assert_int_equal(scene.gather.payload[(1 << 20) + 131072], 0xee);
    play_gather_free(&scene.gather);
    scene_free(&scene);
}

static void test_gather_takes_a_range_over_the_edge_of_shards(void **state)
{
    (void)state;
    struct scene scene;
    scene_new(&scene, 2, 4, 2, 200 * 1024); /* the last leaf is a short one */
    const struct swarm_range ranges[] = {{200 * 1024 - 10, 20}, {3 * 200 * 1024 - 1, 1}};
    gather(&scene, ranges, 2);
    OK(scene.gather.end.e);
    assert_ranges(&scene, ranges, 2);
    play_gather_free(&scene.gather);
    scene_free(&scene);
}

static void test_gather_all_reads_data_shards_once(void **state)
{
    (void)state;
    struct scene scene;
    scene_new(&scene, 3, 4, 2, 200 * 1024);
    const struct swarm_range range = all_of(&scene);
    gather(&scene, &range, 1);
    OK(scene.gather.end.e);
    assert_ranges(&scene, &range, 1);
    assert_int_equal(scene.gather.result.fetches, 4);
    assert_int_equal(scene.gather.result.fetched_bytes, range.size);
    assert_int_equal(scene.gather.result.decoded_leaves, 0);
    play_gather_free(&scene.gather);
    scene_free(&scene);
}

enum trouble { GONE, MISSING, DAMAGED, LYING, TROUBLES };

static void make_trouble(struct scene *scene, unsigned cell, enum trouble trouble)
{
    struct play_cell *there = &scene->play.cells[cell];
    struct play_stored *stored = play_find(there, &scene->segment.id, cell);
    switch (trouble) {
    case GONE:
        sim_node_crash(there->node, SIM_KILL);
        break;
    case MISSING:
        stored->index = 99;
        break;
    case DAMAGED:
        stored->damaged = true;
        break;
    default:
        there->lies = true;
    }
}

/* Every set of m lost shards, each lost in another way: the bytes are right, the culprits named. */
static void test_gather_survives_every_loss_of_m(void **state)
{
    (void)state;
    static const enum swarm_fault_kind kinds[TROUBLES] = {
        SWARM_FAULT_UNREACHABLE, SWARM_FAULT_MISSING, SWARM_FAULT_DAMAGED, SWARM_FAULT_LIED};
    for (unsigned a = 0; a < 5; a++) {
        for (unsigned b = a + 1; b < 5; b++) {
            struct scene scene;
            const enum trouble first = (enum trouble)((a + b) % TROUBLES),
                               second = (enum trouble)((a * 2 + b) % TROUBLES);
            scene_new(&scene, 100 + a * 5 + b, 3, 2, 200 * 1024);
            make_trouble(&scene, a, first);
            make_trouble(&scene, b, second);
            const struct swarm_range range = all_of(&scene);
            gather(&scene, &range, 1);
            OK(scene.gather.end.e);
            assert_ranges(&scene, &range, 1);
            if (a < 3) { /* who is not asked cannot be named */
                assert_true(has_fault(&scene, a, kinds[first]));
                assert_true(scene.gather.result.decoded_leaves > 0);
            }
            play_gather_free(&scene.gather);
            scene_free(&scene);
        }
    }
}

/* Only the lost columns are fetched from the others. */
static void test_gather_decodes_column_by_column(void **state)
{
    (void)state;
    struct scene scene;
    scene_new(&scene, 4, 4, 2, 1 << 20);
    make_trouble(&scene, 2, MISSING);
    const struct swarm_range range = {2 * (1 << 20) + 5 * 65536 + 7, 100};
    gather(&scene, &range, 1);
    OK(scene.gather.end.e);
    assert_ranges(&scene, &range, 1);
    assert_int_equal(scene.gather.result.fetched_bytes, 4 * 65536);
    assert_int_equal(scene.gather.result.decoded_leaves, 1);
    assert_true(has_fault(&scene, 2, SWARM_FAULT_MISSING));
    play_gather_free(&scene.gather);
    scene_free(&scene);
}

static void test_gather_of_random_ranges_under_random_losses(void **state)
{
    (void)state;
    const unsigned rounds = getenv("CELLAR_TEST_FULL") ? 300 : 30;
    for (unsigned round = 0; round < rounds; round++) {
        struct scene scene;
        struct swarm_range ranges[6];
        scene_new(&scene, 1000 + round, 4, 3, 300 * 1024);
        const uint32_t size = all_of(&scene).size;
        for (unsigned lost = 0; lost < 3; lost++)
            scene.play.cells[sim_world_below(scene.play.world, 7)].lies = true;
        for (unsigned i = 0; i < 6; i++) {
            ranges[i].offset = (uint32_t)sim_world_below(scene.play.world, size);
            ranges[i].size =
                1 + (uint32_t)sim_world_below(scene.play.world, size - ranges[i].offset) / 4;
        }
        gather(&scene, ranges, 6);
        OK(scene.gather.end.e);
        assert_ranges(&scene, ranges, 6);
        play_gather_free(&scene.gather);
        scene_free(&scene);
    }
}

static void test_gather_of_too_few_says_what_is_missing(void **state)
{
    (void)state;
    struct scene scene;
    scene_new(&scene, 5, 3, 2, 8192);
    make_trouble(&scene, 0, GONE);
    make_trouble(&scene, 2, MISSING);
    make_trouble(&scene, 4, DAMAGED);
    const struct swarm_range range = all_of(&scene);
    gather(&scene, &range, 1);
    assert_int_equal(scene.gather.end.e, ERR_NOT_ENOUGH);
    assert_non_null(strstr(scene.gather.end.msg.text, "only 2 of the 3 shards"));
    assert_non_null(strstr(scene.gather.end.msg.text, "has it damaged"));
    assert_int_equal(scene.play.finds, 1); /* it asked the directory first, then everybody */
    assert_true(scene.play.cells[1].haves > 0);
    play_gather_free(&scene.gather);
    scene_free(&scene);
}

static void test_gather_asks_the_directory_when_it_knows_no_cells(void **state)
{
    (void)state;
    struct scene scene;
    scene_new(&scene, 6, 3, 2, 8192);
    for (unsigned i = 0; i < 5; i++)
        scene.play.directory[i] =
            (struct wire_shard_at){.index = (uint8_t)i, .cell = scene.play.cells[i].id};
    scene.play.directory_count = 5;
    scene.holder_count = 0;
    const struct swarm_range range = all_of(&scene);
    gather(&scene, &range, 1);
    OK(scene.gather.end.e);
    assert_ranges(&scene, &range, 1);
    assert_int_equal(scene.play.finds, 1);
    assert_int_equal(scene.play.cells[0].haves, 0);
    assert_int_equal(scene.gather.result.found_count, 3);
    play_gather_free(&scene.gather);
    scene_free(&scene);
}

static void test_gather_asks_everybody_when_the_directory_is_gone(void **state)
{
    (void)state;
    struct scene scene;
    scene_new(&scene, 7, 3, 2, 8192);
    sim_node_crash(scene.play.coordinator, SIM_POWER);
    scene.holders[0].cell = scene.play.cells[4].id; /* wrong */
    scene.holder_count = 1;
    const struct swarm_range range = all_of(&scene);
    gather(&scene, &range, 1);
    OK(scene.gather.end.e);
    assert_ranges(&scene, &range, 1);
    assert_true(scene.gather.result.found_count >= 3);
    play_gather_free(&scene.gather);
    scene_free(&scene);
}

static void test_gather_known_only_asks_nobody_else(void **state)
{
    (void)state;
    struct scene scene;
    scene_new(&scene, 8, 3, 2, 8192);
    const struct swarm_range range = all_of(&scene);
    play_gather_start(&scene.play, &scene.segment,
                      &(struct swarm_gather_request){.holders = scene.holders,
                                                     .holder_count = 2,
                                                     .ranges = &range,
                                                     .range_count = 1,
                                                     .known_only = true},
                      &scene.gather);
    play_wait(&scene.play, &scene.gather.end, 60000);
    assert_int_equal(scene.gather.end.e, ERR_NOT_ENOUGH);
    assert_int_equal(scene.play.finds, 0);
    assert_int_equal(scene.play.cells[3].haves, 0);
    play_gather_free(&scene.gather);
    scene_free(&scene);
}

static void test_gather_hedges_a_slow_cell(void **state)
{
    (void)state;
    struct scene scene;
    scene_new(&scene, 9, 4, 2, 512 * 1024);
    sim_net_set_line(scene.play.cells[1].node,
                     &(struct sim_line){.latency_us = 500, .up_bytes_s = 8192});
    const struct swarm_range range = all_of(&scene);
    const uint64_t start_ms = sim_world_now_ms(scene.play.world);
    gather(&scene, &range, 1);
    OK(scene.gather.end.e);
    assert_ranges(&scene, &range, 1);
    assert_true(sim_world_now_ms(scene.play.world) - start_ms < 3000); /* alone it takes 64 s */
    assert_int_equal(scene.gather.result.hedged, 1);
    play_gather_free(&scene.gather);
    /* it is remembered: the next one does not wait for it at all */
    const uint64_t again_ms = sim_world_now_ms(scene.play.world);
    gather(&scene, &range, 1);
    OK(scene.gather.end.e);
    assert_true(sim_world_now_ms(scene.play.world) - again_ms < 300);
    assert_int_equal(scene.gather.result.hedged, 0);
    play_gather_free(&scene.gather);
    scene_free(&scene);
}

/* A check that decodes what comes late has not seen it: the last cells of a segment could lose or
   swap their bytes and `check --read-data` would call them read. */
static void test_gather_every_waits_for_slow_cells_and_finds_their_faults(void **state)
{
    (void)state;
    struct scene scene;
    const uint8_t shards[] = {0, 1, 2, 3, 4, 5};
    scene_new(&scene, 14, 4, 2, 64 * 1024);
    sim_net_set_line(scene.play.cells[1].node,
                     &(struct sim_line){.latency_us = 500, .up_bytes_s = 8192});
    sim_net_set_line(scene.play.cells[5].node, &(struct sim_line){.latency_us = 400000});
    scene.play.cells[5].stored[0].damaged = true;
    const struct swarm_gather_request request = {.holders = scene.holders,
                                                 .holder_count = scene.holder_count,
                                                 .shards = shards,
                                                 .shard_count = 6,
                                                 .check_decoded = true,
                                                 .known_only = true,
                                                 .every = true};
    play_gather_start(&scene.play, &scene.segment, &request, &scene.gather);
    play_wait(&scene.play, &scene.gather.end, 600000);
    OK(scene.gather.end.e);
    assert_int_equal(scene.gather.result.hedged, 0);
    assert_int_equal(scene.gather.result.fault_count, 1);
    assert_int_equal(scene.gather.faults[0].kind, SWARM_FAULT_DAMAGED);
    assert_int_equal(scene.gather.faults[0].index, 5);
    assert_true(scene.gather.result.fetched_bytes >= 5 * 64 * 1024);
    play_gather_free(&scene.gather);
    scene_free(&scene);
}

static void test_gather_gets_past_a_cell_that_says_nothing(void **state)
{
    (void)state;
    struct scene scene;
    scene_new(&scene, 10, 2, 1, 64 * 1024);
    scene.play.cells[0].silent = true;
    const struct swarm_range range = {0, 100}; /* it alone is asked at first */
    const uint64_t start_ms = sim_world_now_ms(scene.play.world);
    gather(&scene, &range, 1);
    OK(scene.gather.end.e);
    assert_ranges(&scene, &range, 1);
    assert_true(sim_world_now_ms(scene.play.world) - start_ms < 8000);
    play_gather_free(&scene.gather);
    scene_free(&scene);
}

/* Whoever is known to sleep is not asked while others do. */
static void test_gather_lets_sleeping_cells_sleep(void **state)
{
    (void)state;
    struct scene scene;
    struct play_end end = {0};
    scene_new(&scene, 11, 3, 2, 8192);
    scene.play.cells[0].state = WIRE_CELL_ASLEEP;
    OK(swarm_refresh(scene.play.swarm, play_done, &end, NULL));
    play_wait(&scene.play, &end, 60000);
    const struct swarm_range range = all_of(&scene);
    gather(&scene, &range, 1);
    OK(scene.gather.end.e);
    assert_ranges(&scene, &range, 1);
    assert_int_equal(scene.play.cells[0].gets, 0);
    play_gather_free(&scene.gather);
    /* but when there are no others, it is */
    make_trouble(&scene, 1, MISSING);
    make_trouble(&scene, 3, MISSING);
    gather(&scene, &range, 1);
    OK(scene.gather.end.e);
    assert_ranges(&scene, &range, 1);
    assert_true(scene.play.cells[0].gets > 0);
    play_gather_free(&scene.gather);
    scene_free(&scene);
}

/* A lost parity shard, and a data shard, made again whole. */
static void test_gather_makes_whole_shards(void **state)
{
    (void)state;
    struct scene scene;
    static const uint8_t shards[] = {1, 4};
    scene_new(&scene, 12, 3, 2, 200 * 1024);
    make_trouble(&scene, 1, MISSING);
    make_trouble(&scene, 4, MISSING);
    play_gather_start(&scene.play, &scene.segment,
                      &(struct swarm_gather_request){.holders = scene.holders,
                                                     .holder_count = scene.holder_count,
                                                     .shards = shards,
                                                     .shard_count = 2,
                                                     .check_decoded = true},
                      &scene.gather);
    play_wait(&scene.play, &scene.gather.end, 60000);
    OK(scene.gather.end.e);
    assert_memory_equal(scene.gather.payload + 200 * 1024, scene.segment.shards[1].data,
                        200 * 1024);
    assert_memory_equal(scene.gather.parity + 200 * 1024, scene.segment.shards[4].data, 200 * 1024);
    play_gather_free(&scene.gather);
    scene_free(&scene);
}

/* A segment that was coded wrongly: every leaf verifies, and the outcome is not what the header
   says. Nobody is to blame but who made it. */
static void test_gather_tells_an_inconsistent_segment(void **state)
{
    (void)state;
    struct scene scene;
    static const uint8_t shards[] = {1};
    scene_new(&scene, 13, 2, 1, 8192);
    struct play_segment *segment = &scene.segment;
    struct play_stored *stored = play_find(&scene.play.cells[2], &segment->id, 2);
    struct sha256 *h;
    stored->bytes.data[0] ^= 1;
    OK(sha256_new(&h));
    sha256_leaf(h, buf_slice(&stored->bytes), stored->leaves[0].bytes);
    merkle_root(h, stored->leaves, 1, &segment->header.roots[2]);
    sha256_free(h);
    make_trouble(&scene, 1, MISSING);
    play_gather_start(&scene.play, segment,
                      &(struct swarm_gather_request){.holders = scene.holders,
                                                     .holder_count = scene.holder_count,
                                                     .shards = shards,
                                                     .shard_count = 1,
                                                     .check_decoded = true},
                      &scene.gather);
    play_wait(&scene.play, &scene.gather.end, 60000);
    assert_int_equal(scene.gather.end.e, ERR_INCONSISTENT);
    assert_false(has_fault(&scene, 2, SWARM_FAULT_LIED));
    play_gather_free(&scene.gather);
    scene_free(&scene);
}

static void test_gather_refuses_ranges_outside(void **state)
{
    (void)state;
    struct scene scene;
    struct errmsg msg;
    static const struct swarm_range bad[] = {{0, 0}, {0, 16385}, {16384, 1}, {UINT32_MAX, 1}};
    static const uint8_t parity[] = {2};
    scene_new(&scene, 14, 2, 1, 8192);
    struct swarm_gather_request request = {.header = &scene.segment.header, .range_count = 1};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        request.ranges = &bad[i];
        assert_int_equal(swarm_gather_start(scene.play.swarm, &request, NULL, NULL, NULL, &msg),
                         ERR_USAGE);
    }
    request.range_count = 0;
    request.shards = parity; /* without a place for it */
    request.shard_count = 1;
    assert_int_equal(swarm_gather_start(scene.play.swarm, &request, NULL, NULL, NULL, &msg),
                     ERR_USAGE);
    scene_free(&scene);
}

static void test_gather_of_a_single_copy(void **state)
{
    (void)state;
    struct scene scene;
    scene_new(&scene, 15, 1, 0, 8192);
    const struct swarm_range range = all_of(&scene);
    gather(&scene, &range, 1);
    OK(scene.gather.end.e);
    assert_ranges(&scene, &range, 1);
    play_gather_free(&scene.gather);
    scene.play.cells[0].lies = true;
    gather(&scene, &range, 1);
    assert_int_equal(scene.gather.end.e, ERR_NOT_ENOUGH);
    assert_true(has_fault(&scene, 0, SWARM_FAULT_LIED));
    play_gather_free(&scene.gather);
    scene_free(&scene);
}

static void test_gather_can_be_cancelled_at_any_moment(void **state)
{
    (void)state;
    for (unsigned steps = 0;; steps += 2) {
        struct scene scene;
        scene_new(&scene, 16, 3, 2, 200 * 1024);
        make_trouble(&scene, 0, LYING);
        scene.holder_count = 3; /* so that the directory and everybody are asked */
        const struct swarm_range range = all_of(&scene);
        play_gather_start(&scene.play, &scene.segment,
                          &(struct swarm_gather_request){.holders = scene.holders,
                                                         .holder_count = scene.holder_count,
                                                         .ranges = &range,
                                                         .range_count = 1},
                          &scene.gather);
        for (unsigned i = 0; i < steps && !scene.gather.end.done; i++)
            OK(sim_world_step(scene.play.world));
        const bool ended = scene.gather.end.done;
        if (ended) {
            OK(scene.gather.end.e);
            assert_ranges(&scene, &range, 1);
        } else {
            swarm_gather_cancel(scene.gather.gather);
            assert_false(scene.gather.end.done);
            swarm_gather_cancel(scene.gather.gather);
            play_wait(&scene.play, &scene.gather.end, 60000);
        }
        play_gather_free(&scene.gather);
        scene_free(&scene);
        if (ended)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gather_reads_whole_leaves_of_what_is_wanted),
        cmocka_unit_test(test_gather_takes_a_range_over_the_edge_of_shards),
        cmocka_unit_test(test_gather_all_reads_data_shards_once),
        cmocka_unit_test(test_gather_survives_every_loss_of_m),
        cmocka_unit_test(test_gather_decodes_column_by_column),
        cmocka_unit_test(test_gather_of_random_ranges_under_random_losses),
        cmocka_unit_test(test_gather_of_too_few_says_what_is_missing),
        cmocka_unit_test(test_gather_asks_the_directory_when_it_knows_no_cells),
        cmocka_unit_test(test_gather_asks_everybody_when_the_directory_is_gone),
        cmocka_unit_test(test_gather_known_only_asks_nobody_else),
        cmocka_unit_test(test_gather_hedges_a_slow_cell),
        cmocka_unit_test(test_gather_every_waits_for_slow_cells_and_finds_their_faults),
        cmocka_unit_test(test_gather_gets_past_a_cell_that_says_nothing),
        cmocka_unit_test(test_gather_lets_sleeping_cells_sleep),
        cmocka_unit_test(test_gather_makes_whole_shards),
        cmocka_unit_test(test_gather_tells_an_inconsistent_segment),
        cmocka_unit_test(test_gather_refuses_ranges_outside),
        cmocka_unit_test(test_gather_of_a_single_copy),
        cmocka_unit_test(test_gather_can_be_cancelled_at_any_moment),
    };
    return cmocka_run_group_tests_name("swarm gather", tests, NULL, NULL);
}

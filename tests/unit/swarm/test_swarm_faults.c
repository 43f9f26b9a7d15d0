/*
 * The N-th allocation fails, and the N-th call that is started: each operation still ends exactly
 * once, nothing is lost or used after it is free (ASan), and what it says it has done is done.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/alloc_fault.h"
#include "harness/fault.h"
#include "swarm_play.h"

#include "swarm/swarm_have.h"
#include "swarm/swarm_heads.h"

#include <stdlib.h>

#define OK(call) assert_int_equal(call, ERR_OK)

/* ---- allocations, but for those of the simulated servers ---- */

static struct {
    uint64_t at;
    bool for_good, armed, met;
} faults;

static void aside(bool on)
{
    if (!faults.armed)
        return;
    if (on) {
        const uint64_t seen = alloc_fault_seen();
        faults.met |= alloc_fault_disarm();
        faults.at = faults.at > seen ? faults.at - seen : faults.for_good ? 0 : UINT64_MAX;
    } else {
        alloc_fault_arm(faults.at, faults.for_good);
    }
}

static void arm(uint64_t at, bool for_good)
{
    faults.at = at;
    faults.for_good = for_good;
    faults.met = false;
    faults.armed = true;
    alloc_fault_arm(at, for_good);
}

static bool disarm(void)
{
    faults.armed = false;
    faults.met |= alloc_fault_disarm();
    return faults.met;
}

/* ---- the operations ---- */

struct ending {
    struct play_end end;
    struct swarm_upload_result uploaded;
    unsigned receipts;
};

static void receipted(void *user, unsigned index, const struct id *cell, struct slice receipt)
{
    (void)index, (void)cell, (void)receipt;
    ((struct ending *)user)->receipts++;
}

static void uploaded(void *user, enum err e, const struct swarm_upload_result *result,
                     const struct errmsg *msg)
{
    struct ending *ending = user;
    ending->uploaded = *result;
    play_done(&ending->end, e, msg);
}

static void gathered(void *user, enum err e, const struct swarm_gather_result *result,
                     const struct errmsg *msg)
{
    (void)result;
    play_done(&((struct ending *)user)->end, e, msg);
}

static void held(void *user, const struct id *cell, const struct wire_held *what)
{
    (void)user, (void)cell, (void)what;
}

static void have_done(void *user, enum err e, const struct swarm_have_result *result,
                      const struct errmsg *msg)
{
    (void)result;
    play_done(&((struct ending *)user)->end, e, msg);
}

static void heads_done(void *user, enum err e, const struct swarm_heads_result *result,
                       const struct errmsg *msg)
{
    (void)result;
    play_done(&((struct ending *)user)->end, e, msg);
}

enum operation { REFRESH, UPLOAD, GATHER, HAVE, HEADS, OPERATIONS };

struct scene {
    struct play play;
    struct play_segment segment;
    struct swarm_holder holders[LIMIT_SHARDS];
    uint8_t *payload;
    struct slice head;
    struct ending ending;
};

static enum err start(struct scene *scene, enum operation operation)
{
    struct swarm *swarm = scene->play.swarm;
    struct play_segment *segment = &scene->segment;
    static const struct swarm_range range = {0, 3 * 100 * 1024};
    switch (operation) {
    case REFRESH:
        return swarm_refresh(swarm, play_done, &scene->ending.end, NULL);
    case UPLOAD:
        return swarm_upload_start(
            swarm,
            &(struct swarm_upload_request){
                .segment = segment->id,
                .header = slice_of(segment->header_bytes, segment->header_size),
                .record = buf_slice(&segment->record),
                .k = segment->k,
                .m = segment->m,
                .shard_bytes = segment->shard_bytes,
                .shards = segment->shards},
            receipted, uploaded, &scene->ending, NULL, NULL);
    case GATHER:
        /* one holder is wrong, two are not known: it decodes, and has to look for more */
        return swarm_gather_start(swarm,
                                  &(struct swarm_gather_request){.segment = segment->id,
                                                                 .header = &segment->header,
                                                                 .holders = scene->holders,
                                                                 .holder_count = 3,
                                                                 .ranges = &range,
                                                                 .range_count = 1,
                                                                 .payload = scene->payload},
                                  gathered, &scene->ending, NULL, NULL);
    case HAVE:
        return swarm_have_start(swarm,
                                &(struct swarm_have_request){.segments = &segment->id,
                                                             .segment_count = 1,
                                                             .held = held,
                                                             .done = have_done,
                                                             .user = &scene->ending},
                                NULL, NULL);
    default:
        return swarm_heads_put(swarm,
                               &(struct swarm_heads_put){.account = scene->play.account,
                                                         .heads = &scene->head,
                                                         .head_count = 1,
                                                         .losses = 1,
                                                         .done = heads_done,
                                                         .user = &scene->ending},
                               NULL, NULL);
    }
}

static void scene_new(struct scene *scene, enum operation operation)
{
    memset(scene, 0, sizeof(*scene));
    play_new(&scene->play, 7, 6);
    play_open(&scene->play, true, operation != REFRESH);
    if (operation == REFRESH)
        play_sign_list(&scene->play);
    play_segment_new(&scene->play, &scene->segment, 3, 2, 100 * 1024);
    scene->head = slice_text("a head");
    scene->payload = malloc(3 * 100 * 1024);
    assert_non_null(scene->payload);
    if (operation == GATHER) {
        play_store(&scene->play, &scene->segment, scene->holders);
        play_find(&scene->play.cells[1], &scene->segment.id, 1)->index = 99;
    }
}

static void scene_free(struct scene *scene)
{
    free(scene->payload);
    play_segment_free(&scene->segment);
    play_free(&scene->play);
}

/* What was said is so. */
static void assert_honest(struct scene *scene, enum operation operation, enum err started)
{
    const struct ending *ending = &scene->ending;
    if (started != ERR_OK) {
        assert_int_equal(ending->end.times, 0);
        return;
    }
    assert_int_equal(ending->end.times, 1);
    if (operation == GATHER && ending->end.e == ERR_OK)
        assert_memory_equal(scene->payload, scene->segment.bytes, 3 * 100 * 1024);
    if (operation == UPLOAD) {
        assert_int_equal(ending->receipts, ending->uploaded.receipted);
        if (ending->end.e == ERR_OK)
            assert_true(ending->receipts >= 4);
    }
}

static bool is_over(void *user)
{
    return ((struct ending *)user)->end.done;
}

static bool allocations(void *user, uint64_t at, bool for_good)
{
    const enum operation operation = *(const enum operation *)user;
    struct scene scene;
    scene_new(&scene, operation);
    arm(at, for_good);
    const enum err started = start(&scene, operation);
    if (started == ERR_OK)
        OK(sim_world_run_until(scene.play.world, is_over, &scene.ending, 600000));
    const bool met = disarm();
    assert_honest(&scene, operation, started);
    if (!met) {
        OK(started);
        OK(scene.ending.end.e);
    }
    scene_free(&scene);
    return met;
}

static bool calls(void *user, uint64_t at, bool for_good)
{
    const enum operation operation = *(const enum operation *)user;
    struct fault fault = FAULT_INIT(at, for_good);
    struct scene scene;
    scene_new(&scene, operation);
    sim_net_fail_calls(scene.play.device, &fault);
    const enum err started = start(&scene, operation);
    if (started == ERR_OK)
        OK(sim_world_run_until(scene.play.world, is_over, &scene.ending, 600000));
    sim_net_fail_calls(scene.play.device, NULL);
    assert_honest(&scene, operation, started);
    if (fault.failed == 0) {
        OK(started);
        OK(scene.ending.end.e);
    }
    scene_free(&scene);
    return fault.failed > 0;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    play_aside = aside;
    for (enum operation operation = 0; operation < OPERATIONS; operation++) {
        const uint64_t points = fault_loop(allocations, &operation, 20000);
        print_message("operation %d: %llu allocations\n", (int)operation,
                      (unsigned long long)points);
    }
    play_aside = NULL;
}

static void test_every_call_may_fail(void **state)
{
    (void)state;
    for (enum operation operation = 0; operation < OPERATIONS; operation++)
        assert_true(fault_loop(calls, &operation, 1000) > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_every_call_may_fail),
    };
    return cmocka_run_group_tests_name("swarm faults", tests, NULL, NULL);
}

/*
 * Verdicts by lot: what cells have found of each other while the coordinator was away counts when
 * it is back, and only then, and nobody can choose whom he speaks about or how often.
 */
#include "registry_fixture.h"

#include "placement/placement_lot.h"
#include "wire/wire_audit.h"

enum { CELLS = 5, DAY_S = PLACEMENT_LOT_DAY_S, SHARD_BYTES = 4096, ABOUT = 0 };

/* Five cells (so every lot falls), one segment on four of them, cell 0 has shard 0. */
static struct fixture *swarm_new(void)
{
    struct fixture *f = fixture_new(3);
    const struct shard_at shards[] = {{0, 0}, {1, 1}, {2, 2}, {3, 3}};
    fixture_open(f);
    for (size_t i = 0; i < CELLS; i++) {
        join_cell(f, i);
        beat(f, i, GIB(100));
    }
    join_account(f, 0);
    join_account(f, 1);
    OK(register_segment(f, 0, 1, 2, 2, SHARD_BYTES, shards, 4));
    return f;
}

static void tick(struct fixture *f)
{
    bool busy;
    OK(registry_tick(f->registry, f->now_s, &busy, &f->msg));
}

/* The coordinator was away for so many days, and is back. */
static void be_away(struct fixture *f, unsigned days)
{
    tick(f);
    f->now_s += (int64_t)days * DAY_S;
    tick(f);
    for (size_t i = 0; i < CELLS; i++)
        beat(f, i, GIB(100));
}

static uint64_t today(const struct fixture *f)
{
    return (uint64_t)(f->now_s / DAY_S);
}

static uint32_t tell(struct fixture *f, size_t auditor, uint64_t day, enum wire_verdict_kind kind)
{
    struct buf body = BUF_INIT(WIRE_VERDICTS_BYTES);
    const struct wire_verdict verdict = {
        .day = day, .segment = segment_id(1), .cell = *cell_id(f, ABOUT), .kind = kind};
    struct wire_list list;
    uint32_t taken;
    OK(wire_verdicts_encode(&verdict, 1, &body));
    OK(wire_verdicts_decode(buf_slice(&body), &list));
    OK(registry_verdicts(f->registry, cell_id(f, auditor), &list, f->now_s, &taken, &f->msg));
    buf_free(&body);
    return taken;
}

static struct registry_cell_info info(struct fixture *f)
{
    struct registry_cell_info out;
    OK(registry_cell_info(f->registry, cell_id(f, ABOUT), &out));
    return out;
}

static void test_trust_falls_when_several_households_agree(void **state)
{
    (void)state;
    struct fixture *f = swarm_new();
    be_away(f, 5);
    assert_int_equal(tell(f, 1, today(f) - 2, WIRE_VERDICT_LACKS), 1);
    assert_int_equal(info(f).fault_count, 0); /* one voice is none */
    assert_int_equal(info(f).trust, 1000);
    assert_int_equal(tell(f, 2, today(f) - 1, WIRE_VERDICT_WRONG), 1);
    assert_int_equal(info(f).fault_count, 1);
    assert_true(info(f).trust < 500);
    struct registry_counts counts;
    OK(registry_counts(f->registry, f->now_s, &counts, &f->msg));
    assert_int_equal(counts.proofs_failed, 2);
    fixture_free(f);
}

static void test_the_same_household_is_one_voice(void **state)
{
    (void)state;
    struct fixture *f = swarm_new();
    OK(claim(f, 1, 1, false));
    OK(claim(f, 2, 1, false));
    be_away(f, 5);
    assert_int_equal(tell(f, 1, today(f) - 2, WIRE_VERDICT_LACKS), 1);
    assert_int_equal(tell(f, 2, today(f) - 2, WIRE_VERDICT_LACKS), 1);
    assert_int_equal(tell(f, 1, today(f) - 1, WIRE_VERDICT_LACKS), 1);
    assert_int_equal(info(f).fault_count, 0);
    OK(claim(f, ABOUT, 1, false)); /* and nobody speaks about his own */
    assert_int_equal(tell(f, 1, today(f) - 3, WIRE_VERDICT_PROVEN), 0);
    fixture_free(f);
}

static void test_a_day_and_a_pair_count_once(void **state)
{
    (void)state;
    struct fixture *f = swarm_new();
    be_away(f, 5);
    registry_fault(f->registry, registry_cell_find(f->registry, cell_id(f, ABOUT)), true);
    const uint32_t trust = info(f).trust;
    assert_int_equal(tell(f, 1, today(f) - 2, WIRE_VERDICT_PROVEN), 1);
    assert_int_equal(info(f).trust, trust + 10);
    assert_int_equal(tell(f, 1, today(f) - 2, WIRE_VERDICT_PROVEN), 0);
    assert_int_equal(tell(f, 1, today(f) - 2, WIRE_VERDICT_LACKS), 0);
    assert_int_equal(info(f).trust, trust + 10);
    assert_int_equal(tell(f, 1, today(f) - 1, WIRE_VERDICT_PROVEN), 1);
    assert_int_equal(info(f).trust, trust + 20);
    fixture_free(f);
}

/* While it was there it threw the lots itself: what is said of such a day counts for nothing; nor
   does what it cannot know of. */
static void test_only_days_count_on_which_the_coordinator_was_away(void **state)
{
    (void)state;
    struct fixture *f = swarm_new();
    assert_int_equal(tell(f, 1, today(f), WIRE_VERDICT_LACKS), 0);
    be_away(f, 5);
    assert_int_equal(tell(f, 1, today(f) - 6, WIRE_VERDICT_LACKS), 0);
    assert_int_equal(tell(f, 1, today(f) + 1, WIRE_VERDICT_LACKS), 0);
    assert_int_equal(tell(f, 1, UINT64_MAX, WIRE_VERDICT_LACKS), 0);
    assert_int_equal(tell(f, 1, today(f) - 5, WIRE_VERDICT_LACKS), 1);
    be_away(f, 60);
    assert_int_equal(tell(f, 1, today(f) - 50, WIRE_VERDICT_LACKS), 0); /* too long ago */
    assert_int_equal(tell(f, 1, today(f) - 10, WIRE_VERDICT_LACKS), 1);
    fixture_free(f);
}

/* It still knows when it was away when it is started again. */
static void test_the_absence_outlives_a_restart(void **state)
{
    (void)state;
    struct fixture *f = swarm_new();
    be_away(f, 5);
    OK(registry_flush(f->registry, &f->msg));
    registry_close(f->registry);
    fixture_open(f);
    f->now_s += 60;
    tick(f);
    assert_int_equal(tell(f, 1, today(f) - 3, WIRE_VERDICT_LACKS), 1);
    fixture_free(f);
}

static void test_who_has_the_shard_not_by_the_directory_is_not_spoken_about(void **state)
{
    (void)state;
    struct fixture *f = swarm_new();
    struct buf body = BUF_INIT(WIRE_VERDICTS_BYTES);
    struct wire_list list;
    uint32_t taken;
    be_away(f, 5);
    const struct wire_verdict verdicts[] = {
        /* has none of it; has another index; no segment, no cell of ours */
        {.day = today(f) - 1,
         .segment = segment_id(1),
         .cell = *cell_id(f, 4),
         .kind = WIRE_VERDICT_LACKS},
        {.day = today(f) - 1,
         .segment = segment_id(1),
         .cell = *cell_id(f, 2),
         .kind = WIRE_VERDICT_WRONG,
         .index = 3},
        {.day = today(f) - 1,
         .segment = segment_id(9),
         .cell = *cell_id(f, 2),
         .kind = WIRE_VERDICT_PROVEN},
        {.day = today(f) - 1,
         .segment = segment_id(1),
         .cell = segment_id(5),
         .kind = WIRE_VERDICT_LACKS},
    };
    OK(wire_verdicts_encode(verdicts, ARRAY_COUNT(verdicts), &body));
    OK(wire_verdicts_decode(buf_slice(&body), &list));
    OK(registry_verdicts(f->registry, cell_id(f, 1), &list, f->now_s, &taken, &f->msg));
    assert_int_equal(taken, 0);
    assert_int_equal(
        registry_verdicts(f->registry, sign_key_id(f->key), &list, f->now_s, &taken, &f->msg),
        ERR_DENIED);
    buf_free(&body);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trust_falls_when_several_households_agree),
        cmocka_unit_test(test_the_same_household_is_one_voice),
        cmocka_unit_test(test_a_day_and_a_pair_count_once),
        cmocka_unit_test(test_only_days_count_on_which_the_coordinator_was_away),
        cmocka_unit_test(test_the_absence_outlives_a_restart),
        cmocka_unit_test(test_who_has_the_shard_not_by_the_directory_is_not_spoken_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

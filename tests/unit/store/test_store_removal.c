/* Deleting: what is marked stays until its hold is over, what is freed is gone for good, and a
   power cut at any moment leaves one or the other. */
#include "store_fixture.h"

#include "store/store_internal.h"

enum { SHARDS = 5 };

static const struct store_moment START = {1000, NOW_S}, END = {5000, NOW_S + 100},
                                 LATER = {9000, NOW_S + 1000};

static struct store_removal removal_of(uint64_t sequence)
{
    struct store_removal removal = {.sequence = sequence, .ends = END};
    removal.account.bytes[0] = 7;
    removal.signer.bytes[0] = 3;
    return removal;
}

static uint32_t mark(struct fixture *f, const struct shard *s, uint64_t sequence)
{
    const struct store_removal removal = removal_of(sequence);
    uint32_t marked;
    assert_int_equal(store_removal_mark(f->store, &removal, &s->segment, 1, &marked, &f->msg),
                     ERR_OK);
    return marked;
}

static enum store_name name_of(struct fixture *f, const struct shard *s)
{
    enum store_name name;
    assert_int_equal(store_removal_name(f->store, &s->segment, &name, NULL, &f->msg), ERR_OK);
    return name;
}

static size_t due(struct fixture *f, const struct store_moment *now)
{
    struct store_removal out[16];
    size_t count;
    assert_int_equal(store_removal_due(f->store, now, out, 16, &count, &f->msg), ERR_OK);
    return count;
}

static uint64_t used(struct fixture *f)
{
    struct store_usage usage;
    assert_int_equal(store_usage(f->store, &usage, &f->msg), ERR_OK);
    return usage.used_bytes;
}

static void test_a_marked_segment_stays_and_counts_until_both_clocks_have_passed(void **state)
{
    struct fixture *f = *state;
    struct shard s = shard_make(1, 0, 8192);
    assert_int_equal(shard_store(f, &s), ERR_OK);
    const uint64_t before = used(f);
    assert_int_equal(mark(f, &s, 1), 1);
    assert_int_equal(name_of(f, &s), STORE_NAME_WAITING);
    assert_true(shard_is_whole(f, &s));
    assert_int_equal(used(f), before);
    const struct store_moment run_only = {LATER.run_ms, START.signed_s},
                              signed_only = {START.run_ms, LATER.signed_s};
    assert_int_equal(due(f, &START), 0);
    assert_int_equal(due(f, &run_only), 0);
    assert_int_equal(due(f, &signed_only), 0);
    assert_int_equal(due(f, &END), 1);
    struct store_removal_state what;
    assert_int_equal(store_removal_state(f->store, &what, &f->msg), ERR_OK);
    assert_int_equal(what.waiting_count, 1);
    assert_int_equal(what.waiting_bytes, before);
    assert_int_equal(what.next_run_ms, END.run_ms);
    free(s.payload);
}

static void test_a_freed_segment_is_gone_and_its_name_is_never_used_again(void **state)
{
    struct fixture *f = *state;
    struct shard s = shard_make(1, 0, 8192), other = shard_make(2, 0, 8192);
    assert_int_equal(shard_store(f, &s), ERR_OK);
    assert_int_equal(shard_store(f, &other), ERR_OK);
    const uint64_t before = used(f);
    mark(f, &s, 1);
    assert_int_equal(store_removal_free(f->store, &s.segment, 1, &f->msg), ERR_OK);
    assert_int_equal(used(f), before / 2);
    assert_false(shard_is_whole(f, &s));
    assert_true(shard_is_whole(f, &other));
    assert_int_equal(shard_store(f, &s), ERR_DENIED);
    store_close(f->store);
    assert_int_equal(fixture_open(f, false), ERR_OK);
    enum store_name name;
    struct id account;
    assert_int_equal(store_removal_name(f->store, &s.segment, &name, &account, &f->msg), ERR_OK);
    assert_int_equal(name, STORE_NAME_DEAD);
    assert_int_equal(account.bytes[0], 7);
    assert_int_equal(shard_store(f, &s), ERR_DENIED);
    free(s.payload);
    free(other.payload);
}

static void test_new_shards_of_what_waits_are_refused_also_those_under_way(void **state)
{
    struct fixture *f = *state;
    struct shard s = shard_make(1, 0, 8192);
    struct store_put *put;
    assert_int_equal(shard_store(f, &s), ERR_OK);
    assert_int_equal(store_quarantine(f->store, &s.segment, 0, &f->msg), ERR_OK);
    assert_int_equal(shard_seal(f, &s, &put), ERR_OK); /* a whole one is on its way */
    assert_int_equal(mark(f, &s, 1), 1);
    enum err e;
    store_put_commit(f->store, &put, 1, &e, &f->msg);
    assert_int_equal(e, ERR_DENIED);
    assert_false(shard_is_whole(f, &s));
    assert_int_equal(shard_store(f, &s), ERR_DENIED);
    free(s.payload);
}

static void test_taking_back_brings_it_to_life_and_the_old_order_does_not_count_again(void **state)
{
    struct fixture *f = *state;
    struct shard a = shard_make(1, 0, 8192), b = shard_make(2, 0, 8192);
    struct id account = {{7}}, stranger = {{8}};
    uint32_t undone;
    assert_int_equal(shard_store(f, &a), ERR_OK);
    assert_int_equal(shard_store(f, &b), ERR_OK);
    mark(f, &a, 4);
    mark(f, &b, 4);
    assert_int_equal(store_removal_undo(f->store, &stranger, NULL, 0, &undone, &f->msg), ERR_OK);
    assert_int_equal(undone, 0);
    assert_int_equal(store_removal_undo(f->store, &account, &a.segment, 1, &undone, &f->msg),
                     ERR_OK);
    assert_int_equal(undone, 1);
    assert_int_equal(name_of(f, &a), STORE_NAME_LIVE);
    assert_int_equal(name_of(f, &b), STORE_NAME_WAITING);
    assert_int_equal(mark(f, &a, 4), 0); /* replayed */
    assert_int_equal(mark(f, &a, 3), 0); /* older */
    assert_int_equal(name_of(f, &a), STORE_NAME_LIVE);
    assert_int_equal(due(f, &LATER), 1);
    assert_int_equal(mark(f, &a, 5), 1); /* a new order */
    assert_int_equal(store_removal_undo(f->store, &account, NULL, 0, &undone, &f->msg), ERR_OK);
    assert_int_equal(undone, 2);
    assert_int_equal(due(f, &LATER), 0);
    free(a.payload);
    free(b.payload);
}

static void test_only_the_accounts_own_segments_are_marked(void **state)
{
    struct fixture *f = *state;
    struct shard s = shard_make(1, 0, 8192);
    struct store_removal removal = removal_of(1);
    uint32_t marked;
    assert_int_equal(shard_store(f, &s), ERR_OK);
    removal.account.bytes[0] = 8;
    assert_int_equal(store_removal_mark(f->store, &removal, &s.segment, 1, &marked, &f->msg),
                     ERR_OK);
    assert_int_equal(marked, 0);
    assert_int_equal(name_of(f, &s), STORE_NAME_LIVE);
    free(s.payload);
}

static void test_a_second_order_can_only_shorten_the_hold(void **state)
{
    struct fixture *f = *state;
    struct shard s = shard_make(1, 0, 8192);
    struct store_removal removal = removal_of(2);
    uint32_t marked;
    assert_int_equal(shard_store(f, &s), ERR_OK);
    mark(f, &s, 1);
    removal.ends = LATER;
    assert_int_equal(store_removal_mark(f->store, &removal, &s.segment, 1, &marked, &f->msg),
                     ERR_OK);
    assert_int_equal(due(f, &END), 1);
    removal.ends = START; /* the root, at once */
    removal.by_root = true;
    assert_int_equal(store_removal_mark(f->store, &removal, &s.segment, 1, &marked, &f->msg),
                     ERR_OK);
    assert_int_equal(due(f, &START), 1);
    free(s.payload);
}

static void test_a_damaged_one_is_freed_from_the_quarantine(void **state)
{
    struct fixture *f = *state;
    struct shard s = shard_make(1, 0, 8192);
    assert_int_equal(shard_store(f, &s), ERR_OK);
    assert_int_equal(store_quarantine(f->store, &s.segment, 0, &f->msg), ERR_OK);
    mark(f, &s, 1);
    assert_int_equal(store_removal_free(f->store, &s.segment, 1, &f->msg), ERR_OK);
    assert_int_equal(used(f), 0);
    free(s.payload);
}

/* The at-th disk operation fails while some are marked, taken back and freed; then the power goes.
   What was said to be freed is gone, what was not marked is whole, nothing is damaged. */
static bool scenario(void *user, uint64_t at, bool for_good)
{
    const unsigned operations = *(const unsigned *)user;
    void *state;
    fixture_setup(&state);
    struct fixture *f = state;
    struct shard s[SHARDS];
    for (unsigned i = 0; i < SHARDS; i++) {
        s[i] = shard_make(i + 1, 0, 8192);
        assert_int_equal(shard_store(f, &s[i]), ERR_OK);
    }
    struct fault fault = FAULT_INIT(at, for_good);
    const struct store_removal removal = removal_of(1);
    const struct id segments[] = {s[0].segment, s[1].segment, s[2].segment};
    uint32_t marked, undone;
    sim_disk_fail(f->node, operations, &fault, ERR_IO);
    const enum err did_mark = store_removal_mark(f->store, &removal, segments, 3, &marked, &f->msg);
    const enum err did_undo =
        store_removal_undo(f->store, &removal.account, &segments[2], 1, &undone, &f->msg);
    const enum err did_free =
        did_mark == ERR_OK ? store_removal_free(f->store, segments, 2, &f->msg) : ERR_STATE;
    sim_disk_fail(f->node, 0, NULL, ERR_OK);
    sim_node_crash(f->node, SIM_POWER);
    store_close(f->store);
    f->store = NULL;
    sim_node_start(f->node);
    assert_int_equal(fixture_open(f, false), ERR_OK);
    for (unsigned i = 0; i < 2; i++) {
        const enum store_name name = name_of(f, &s[i]);
        assert_int_equal(shard_is_whole(f, &s[i]), name != STORE_NAME_DEAD);
        if (did_free == ERR_OK)
            assert_int_equal(name, STORE_NAME_DEAD);
        if (did_mark == ERR_OK)
            assert_int_not_equal(name, STORE_NAME_LIVE);
    }
    for (unsigned i = 2; i < SHARDS; i++)
        assert_true(shard_is_whole(f, &s[i]));
    if (did_mark == ERR_OK && did_undo == ERR_OK)
        assert_int_equal(name_of(f, &s[2]), STORE_NAME_LIVE);
    struct store_usage usage;
    assert_int_equal(store_usage(f->store, &usage, NULL), ERR_OK);
    assert_int_equal(usage.damaged_count, 0);
    for (unsigned i = 0; i < SHARDS; i++)
        free(s[i].payload);
    fixture_teardown(&state);
    return fault.failed > 0;
}

static void test_failing_writes_and_a_power_cut_leave_one_or_the_other(void **state)
{
    (void)state;
    unsigned operations = SIM_DISK_WRITE;
    assert_true(fault_loop(scenario, &operations, 4000) > 3);
}

static void test_failing_syncs_and_a_power_cut_leave_one_or_the_other(void **state)
{
    (void)state;
    unsigned operations = SIM_DISK_SYNC;
    assert_true(fault_loop(scenario, &operations, 4000) > 2);
}

static void test_failing_removals_and_a_power_cut_leave_one_or_the_other(void **state)
{
    (void)state;
    unsigned operations = SIM_DISK_NAME;
    assert_true(fault_loop(scenario, &operations, 4000) > 1);
}

/* A file that could not be removed goes at the next start, although the end was an orderly one. */
static void test_a_file_that_stayed_is_removed_by_the_next_start(void **state)
{
    struct fixture *f = *state;
    struct shard s = shard_make(1, 0, 8192);
    struct fault fault = FAULT_INIT(0, true);
    assert_int_equal(shard_store(f, &s), ERR_OK);
    mark(f, &s, 1);
    sim_disk_fail(f->node, SIM_DISK_NAME, &fault, ERR_IO);
    assert_int_equal(store_removal_free(f->store, &s.segment, 1, &f->msg), ERR_OK);
    sim_disk_fail(f->node, 0, NULL, ERR_OK);
    assert_true(shard_is_whole(f, &s)); /* the file is still there */
    store_close(f->store);
    assert_int_equal(fixture_open(f, false), ERR_OK);
    assert_false(shard_is_whole(f, &s));
    assert_int_equal(name_of(f, &s), STORE_NAME_DEAD);
    free(s.payload);
}

/* One shard goes, whole or damaged; one that came later than the order stays, and what is gone can
   come back. */
static void test_a_dropped_shard_is_gone_unless_it_came_back_since(void **state)
{
    struct fixture *f = *state;
    struct shard one = shard_make(1, 0, 8192), two = shard_make(2, 1, 8192);
    assert_int_equal(shard_store(f, &one), ERR_OK);
    assert_int_equal(shard_store(f, &two), ERR_OK);
    const uint64_t before = used(f);
    assert_int_equal(store_drop(f->store, &one.segment, 1, NOW_S + 1, &f->msg), ERR_NOT_FOUND);
    assert_int_equal(store_drop(f->store, &one.segment, 0, NOW_S, &f->msg), ERR_STALE);
    assert_true(shard_is_whole(f, &one));
    assert_int_equal(store_drop(f->store, &one.segment, 0, NOW_S + 1, &f->msg), ERR_OK);
    assert_int_equal(used(f), before / 2);
    assert_int_equal(store_drop(f->store, &one.segment, 0, NOW_S + 1, &f->msg), ERR_NOT_FOUND);
    assert_int_equal(name_of(f, &one), STORE_NAME_LIVE);
    assert_int_equal(store_quarantine(f->store, &two.segment, 1, &f->msg), ERR_OK);
    assert_int_equal(store_drop(f->store, &two.segment, 1, NOW_S + 1, &f->msg), ERR_OK);
    assert_int_equal(used(f), 0);
    assert_int_equal(shard_store(f, &one), ERR_OK);
    assert_true(shard_is_whole(f, &one));
    free(one.payload);
    free(two.payload);
}

/* One that is held can be read until its end by both clocks; a new receipt keeps it. */
static void test_a_moved_shard_is_held_and_kept_when_it_is_wanted_again(void **state)
{
    struct fixture *f = *state;
    struct shard one = shard_make(1, 0, 8192), two = shard_make(2, 1, 8192);
    struct store_removal_state what;
    size_t freed;
    assert_int_equal(shard_store(f, &one), ERR_OK);
    assert_int_equal(shard_store(f, &two), ERR_OK);
    assert_int_equal(store_drop_later(f->store, &one.segment, 0, NOW_S, &END, &f->msg), ERR_STALE);
    assert_int_equal(store_drop_later(f->store, &one.segment, 0, NOW_S + 1, &END, &f->msg), ERR_OK);
    assert_int_equal(store_drop_later(f->store, &two.segment, 1, NOW_S + 1, &END, &f->msg), ERR_OK);
    assert_int_equal(store_removal_state(f->store, &what, &f->msg), ERR_OK);
    assert_int_equal(what.moved_count, 2);
    assert_int_equal(what.next_run_ms, END.run_ms);
    assert_true(shard_is_whole(f, &one));
    /* the second one is sent again: whoever has that receipt counts on it */
    assert_int_equal(shard_store(f, &two), ERR_EXISTS);
    assert_int_equal(store_drop_due(f->store, &START, &freed, &f->msg), ERR_OK);
    assert_int_equal(freed, 0);
    assert_int_equal(store_drop_due(f->store, &END, &freed, &f->msg), ERR_OK);
    assert_int_equal(freed, 1);
    assert_true(shard_is_whole(f, &two));
    assert_int_equal(store_drop(f->store, &one.segment, 0, NOW_S + 1, &f->msg), ERR_NOT_FOUND);
    assert_int_equal(store_removal_state(f->store, &what, &f->msg), ERR_OK);
    assert_int_equal(what.moved_count, 0);
    /* what is damaged is of no use to anybody */
    assert_int_equal(store_quarantine(f->store, &two.segment, 1, &f->msg), ERR_OK);
    assert_int_equal(store_drop_later(f->store, &two.segment, 1, NOW_S + 1, &END, &f->msg), ERR_OK);
    assert_int_equal(used(f), 0);
    free(one.payload);
    free(two.payload);
}

/* What store_removal_state() remembers is what it would count. */
static void see_counts(struct fixture *f)
{
    struct store_removal_state remembered, counted;
    assert_int_equal(store_removal_state(f->store, &remembered, &f->msg), ERR_OK);
    f->store->removal_counted = false;
    assert_int_equal(store_removal_state(f->store, &counted, &f->msg), ERR_OK);
    assert_memory_equal(&remembered, &counted, sizeof(counted));
}

static void test_what_waits_is_counted_again_after_every_change(void **state)
{
    struct fixture *f = *state;
    struct shard a = shard_make(1, 0, 8192), b = shard_make(2, 0, 8192), c = shard_make(3, 0, 8192);
    const struct id account = {{7}};
    uint32_t undone;
    size_t freed;
    bool renewed;
    see_counts(f);
    assert_int_equal(shard_store(f, &a), ERR_OK);
    assert_int_equal(shard_store(f, &b), ERR_OK);
    assert_int_equal(shard_store(f, &c), ERR_OK);
    assert_int_equal(store_lease_begin(f->store, &START, &f->msg), ERR_OK);
    see_counts(f);
    assert_int_equal(mark(f, &a, 1), 1);
    see_counts(f);
    assert_int_equal(store_removal_undo(f->store, &account, &a.segment, 1, &undone, &f->msg),
                     ERR_OK);
    assert_int_equal(undone, 1);
    see_counts(f);
    assert_int_equal(mark(f, &a, 2), 1);
    assert_int_equal(store_removal_free(f->store, &a.segment, 1, &f->msg), ERR_OK);
    see_counts(f);
    assert_int_equal(store_drop_later(f->store, &b.segment, 0, NOW_S + 1, &END, &f->msg), ERR_OK);
    see_counts(f);
    assert_int_equal(store_drop_due(f->store, &LATER, &freed, &f->msg), ERR_OK);
    assert_int_equal(freed, 1);
    see_counts(f);
    assert_int_equal(store_lease_end(f->store, &account, &END, &f->msg), ERR_OK);
    see_counts(f);
    assert_int_equal(store_lease_renew(f->store, &account, &LATER, 1, &renewed, &f->msg), ERR_OK);
    assert_true(renewed);
    see_counts(f);
    free(a.payload);
    free(b.payload);
    free(c.payload);
}

int main(void)
{
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_a_marked_segment_stays_and_counts_until_both_clocks_have_passed),
        STORE_TEST(test_a_freed_segment_is_gone_and_its_name_is_never_used_again),
        STORE_TEST(test_new_shards_of_what_waits_are_refused_also_those_under_way),
        STORE_TEST(test_taking_back_brings_it_to_life_and_the_old_order_does_not_count_again),
        STORE_TEST(test_only_the_accounts_own_segments_are_marked),
        STORE_TEST(test_a_second_order_can_only_shorten_the_hold),
        STORE_TEST(test_a_damaged_one_is_freed_from_the_quarantine),
        STORE_TEST(test_a_dropped_shard_is_gone_unless_it_came_back_since),
        STORE_TEST(test_a_moved_shard_is_held_and_kept_when_it_is_wanted_again),
        STORE_TEST(test_a_file_that_stayed_is_removed_by_the_next_start),
        STORE_TEST(test_what_waits_is_counted_again_after_every_change),
        cmocka_unit_test(test_failing_writes_and_a_power_cut_leave_one_or_the_other),
        cmocka_unit_test(test_failing_syncs_and_a_power_cut_leave_one_or_the_other),
        cmocka_unit_test(test_failing_removals_and_a_power_cut_leave_one_or_the_other),
    };
    return cmocka_run_group_tests_name("store/removal", tests, NULL, NULL);
}

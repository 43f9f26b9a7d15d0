/*
 * The ledger: what accounts use, give and may use, counted from receipts; and that no arrangement
 * of accounts, cells and claims makes more quota than there are bytes proven and starters given.
 */
#include "registry_fixture.h"

#include "identity/delete_order.h"
#include "wire/wire_removal.h"
#include "wire/wire_repair.h"

enum { SHARD = 4 << 20 };

static int setup(void **state)
{
    struct fixture *f = fixture_new(0x1234567);
    fixture_open(f);
    for (size_t i = 0; i < 6; i++)
        join_cell(f, i);
    for (size_t i = 0; i < 3; i++)
        join_account(f, i);
    for (size_t i = 0; i < 3; i++)
        OK(claim(f, i, i, false)); /* cell i is account i's */
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static void store_one(struct fixture *f, size_t account, uint64_t segment)
{
    const struct shard_at shards[] = {{0, (account + 1) % 3}, {1, (account + 2) % 3}, {2, 3}};
    OK(register_segment(f, account, segment, 2, 1, SHARD, shards, 3));
}

/* Parity counts as used; what rests on a claimed cell counts as its owner's gift, once. */
static void test_ledger_counts_receipts(void **state)
{
    struct fixture *f = *state;
    store_one(f, 0, 1);
    assert_int_equal(standing(f, 0).used_bytes, 3 * SHARD);
    assert_int_equal(standing(f, 0).given_bytes, 0);
    assert_int_equal(standing(f, 1).given_bytes, SHARD);
    assert_int_equal(standing(f, 1).allowed_bytes, SHARD + MIB(64));
    assert_int_equal(standing(f, 1).used_bytes, 0);
    store_one(f, 0, 1); /* the same receipts again */
    assert_int_equal(standing(f, 0).used_bytes, 3 * SHARD);
    const struct shard_at again[] = {{0, 4},
                                     {0, 5}}; /* the shard has moved, or is said to be twice */
    OK(register_segment(f, 0, 1, 2, 1, SHARD, again, 2));
    assert_int_equal(standing(f, 0).used_bytes, 3 * SHARD);
    OK(registry_ledger_check(f->registry, &f->msg));
}

/* Only a share of what is given comes back as quota where the swarm says so. */
static void test_quota_is_given_times_the_ratio(void **state)
{
    struct fixture *f = *state;
    store_one(f, 0, 1);
    registry_close(f->registry);
    f->options.quota_percent = 50;
    fixture_open(f);
    assert_int_equal(standing(f, 1).allowed_bytes, SHARD / 2 + MIB(64));
}

/* A claim that is released, a cell that is gone, damaged or not trusted gives nothing. */
static void test_what_is_not_there_is_not_given(void **state)
{
    struct fixture *f = *state;
    const struct wire_damaged damaged = {.segment = segment_id(1), .index = 0};
    struct buf body = BUF_INIT(WIRE_DAMAGE_BYTES);
    struct wire_list list;
    store_one(f, 0, 1);
    OK(claim(f, 1, 1, true));
    assert_int_equal(standing(f, 1).given_bytes, 0);
    OK(claim(f, 1, 1, false));
    assert_int_equal(standing(f, 1).given_bytes, SHARD);
    OK(wire_damage_encode(&damaged, 1, &body));
    OK(wire_damage_decode(buf_slice(&body), &list));
    OK(registry_damage(f->registry, cell_id(f, 1), &list, f->now_s, &f->msg));
    assert_int_equal(standing(f, 1).given_bytes, 0);
    assert_int_equal(standing(f, 2).given_bytes, SHARD);
    f->registry->cells[2]->trust = REGISTRY_TRUST_NEW - 1;
    assert_int_equal(standing(f, 2).given_bytes, 0);
    f->registry->cells[2]->trust = REGISTRY_TRUST_MAX;
    f->now_s += 15 * 86400;
    assert_int_equal(standing(f, 2).given_bytes, 0);
    assert_int_equal(standing(f, 0).used_bytes, 3 * SHARD);
    buf_free(&body);
}

static uint32_t order(struct fixture *f, size_t account, uint64_t sequence, uint64_t segment,
                      bool undelete)
{
    const struct delete_order o = {
        .deed = {.account = f->accounts[account].keys.account,
                 .manifest_number = 1,
                 .slot = 0,
                 .time_s = f->now_s,
                 .sequence = sequence},
    };
    const struct id id = segment_id(segment);
    struct delete_order with = o;
    struct buf doc = BUF_INIT(DELETE_ORDER_BYTES_MAX);
    uint32_t count;
    OK(undelete
           ? delete_order_make_undo(&o.deed, &id, 1, &f->root, f->accounts[account].keys.root, &doc)
           : delete_order_make(&o.deed, false, &id, 1, &f->root, f->accounts[account].device,
                               &doc));
    OK(undelete ? delete_order_open_undo(buf_slice(&doc), &f->root, &with, &f->msg)
                : delete_order_open(buf_slice(&doc), &f->root, NULL, &with, &f->msg));
    const struct wire_order wire = {.kind = undelete ? WIRE_ORDER_UNDELETE : WIRE_ORDER_DELETE,
                                    .doc = buf_slice(&doc)};
    OK(registry_order_take(f->registry, &wire, &with, 30 * 86400, f->now_s, &count, &f->msg));
    buf_free(&doc);
    return count;
}

/* What is deleted counts until its hold is over, and again when it comes back. */
static void test_deleted_bytes_count_until_their_hold_is_over(void **state)
{
    struct fixture *f = *state;
    bool busy;
    store_one(f, 0, 1);
    assert_int_equal(order(f, 0, 1, 1, false), 1);
    assert_int_equal(standing(f, 0).used_bytes, 3 * SHARD);
    f->now_s += 29 * 86400;
    OK(registry_tick(f->registry, f->now_s, &busy, &f->msg));
    assert_int_equal(standing(f, 0).used_bytes, 3 * SHARD);
    OK(registry_ledger_check(f->registry, &f->msg));
    f->now_s += 2 * 86400;
    OK(registry_tick(f->registry, f->now_s, &busy, &f->msg));
    assert_int_equal(standing(f, 0).used_bytes, 0);
    OK(registry_ledger_check(f->registry, &f->msg));
    assert_int_equal(order(f, 0, 2, 1, true), 1);
    assert_int_equal(standing(f, 0).used_bytes, 3 * SHARD);
    OK(registry_ledger_check(f->registry, &f->msg));
}

/* Grants stop before the quota is passed, however they are asked for; a restart forgets none. */
static void test_grants_keep_within_the_quota(void **state)
{
    struct fixture *f = *state;
    uint64_t budget = 0, sum = 0;
    unsigned grants;
    for (unsigned i = 0; i < 40; i++) {
        const enum err e = place(f, 0, 1, 4, GIB(4), &budget, &grants);
        sum += budget;
        if (e != ERR_OK) {
            assert_int_equal(e, ERR_QUOTA);
            break;
        }
        assert_true(grants == 4);
        if (i == 2) {
            registry_close(f->registry);
            fixture_open(f);
        }
    }
    assert_true(sum > MIB(40) && sum <= MIB(64));
    assert_int_equal(place(f, 0, 1, 4, GIB(4), &budget, &grants), ERR_QUOTA);
    assert_true(strstr(f->msg.text, "quota") != NULL);
    /* what is stored under them is used, not promised any more; what was never spent comes back */
    store_one(f, 0, 1);
    assert_int_equal(standing(f, 0).promised_bytes, sum - 3 * SHARD);
    f->now_s += 15 * 86400;
    for (size_t i = 0; i < 6; i++)
        beat(f, i, GIB(1));
    assert_int_equal(standing(f, 0).promised_bytes, 0);
    OK(place(f, 0, 1, 4, GIB(4), &budget, &grants));
    assert_true(budget <= MIB(64) - 3 * SHARD);
}

/* --- cheating --- */

enum { PEOPLE = 5, BOXES = 10, SEGMENTS = 40, INDEXES = 4 };

/* The test's own count: each shard that somebody has ever signed for counts once. */
struct world {
    bool signed_for[SEGMENTS][INDEXES];
    int owner[SEGMENTS]; /* -1: nobody's yet */
    uint64_t proven;
};

static void cheat(struct fixture *f, struct world *w)
{
    const size_t who = fixture_below(f, PEOPLE), box = fixture_below(f, BOXES);
    const uint64_t segment = fixture_below(f, SEGMENTS);
    switch (fixture_below(f, 6)) {
    case 0: /* anybody claims anything, in turns */
        (void)claim(f, box, who, false);
        break;
    case 1:
        (void)claim(f, box, who, true);
        break;
    case 2: /* a disk without end */
        beat(f, box, UINT64_MAX >> 1);
        break;
    case 3: { /* time passes, some are gone */
        bool busy;
        f->now_s += (int64_t)fixture_below(f, 3 * 86400);
        OK(registry_tick(f->registry, f->now_s, &busy, &f->msg));
        break;
    }
    default: { /* a friend's cell, or one's own, signs for whatever is asked, twice if need be */
        struct shard_at shards[3];
        if (w->owner[segment] >= 0 && w->owner[segment] != (int)who)
            break;
        for (size_t i = 0; i < 3; i++)
            shards[i] =
                (struct shard_at){(uint8_t)fixture_below(f, INDEXES), fixture_below(f, BOXES)};
        OK(register_segment(f, who, segment, 2, 2, SHARD, shards, 3));
        w->owner[segment] = (int)who;
        for (size_t i = 0; i < 3; i++) {
            w->proven += w->signed_for[segment][shards[i].index] ? 0 : SHARD;
            w->signed_for[segment][shards[i].index] = true;
        }
    }
    }
}

/* The sum of all quotas is never above the bytes proven plus one starter an account's invite; and
   together nobody gains: what all may still use is at most their starters. */
static void test_no_arrangement_makes_more_quota(void **state)
{
    (void)state;
    const char *given = getenv("CELLAR_TEST_SEED");
    const uint64_t seed = given ? strtoull(given, NULL, 10) : 77;
    struct fixture *f = fixture_new(seed);
    struct world *w = calloc(1, sizeof(*w));
    print_message("seed %llu\n", (unsigned long long)seed);
    fixture_open(f);
    for (size_t i = 0; i < BOXES; i++)
        join_cell(f, i);
    for (size_t i = 0; i < PEOPLE; i++)
        join_account(f, i);
    for (size_t i = 0; i < SEGMENTS; i++)
        w->owner[i] = -1;
    for (unsigned step = 0; step < (getenv("CELLAR_TEST_FULL") ? 20000 : 1500); step++) {
        uint64_t allowed = 0, used = 0;
        cheat(f, w);
        for (size_t i = 0; i < PEOPLE; i++) {
            const struct registry_standing s = standing(f, i);
            allowed += s.allowed_bytes;
            used += s.used_bytes;
        }
        assert_true(allowed <= w->proven + PEOPLE * MIB(64));
        assert_true(allowed <= used + PEOPLE * MIB(64));
        if (step % 50 == 0)
            OK(registry_ledger_check(f->registry, &f->msg));
    }
    assert_true(w->proven > 0);
    free(w);
    fixture_free(f);
}

/* One person with two accounts and two cells lets them sign for what they do not have: what is
   gained here is used there. */
static void test_two_accounts_of_one_person_gain_nothing(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < 100; i++) {
        const struct shard_at at_b[] = {{0, 1}, {1, 1}}, at_a[] = {{0, 0}, {1, 0}};
        OK(register_segment(f, 0, 100 + i, 2, 0, SHARD, at_b, 2));
        OK(register_segment(f, 1, 500 + i, 2, 0, SHARD, at_a, 2));
    }
    const struct registry_standing a = standing(f, 0), b = standing(f, 1);
    assert_int_equal(a.allowed_bytes - a.used_bytes + b.allowed_bytes - b.used_bytes, 2 * MIB(64));
}

/* Own shards on the own cell are no gift. */
static void test_nobody_gives_to_himself(void **state)
{
    struct fixture *f = *state;
    const struct shard_at own[] = {{0, 0}, {1, 0}};
    OK(register_segment(f, 0, 1, 2, 0, SHARD, own, 2));
    assert_int_equal(standing(f, 0).given_bytes, 0);
    assert_int_equal(standing(f, 0).used_bytes, 2 * SHARD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ledger_counts_receipts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quota_is_given_times_the_ratio, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_there_is_not_given, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deleted_bytes_count_until_their_hold_is_over, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_grants_keep_within_the_quota, setup, teardown),
        cmocka_unit_test(test_no_arrangement_makes_more_quota),
        cmocka_unit_test_setup_teardown(test_two_accounts_of_one_person_gain_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_nobody_gives_to_himself, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

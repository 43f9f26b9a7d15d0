/* placement/: same answer everywhere, fair shares, little movement, never two shards in one domain.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "placement/placement.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The i-th ID of a kind: four SipHashes under the key 00 01 .. 0f. */
static struct id make_id(uint64_t kind, uint64_t number)
{
    uint8_t key[16], message[24];
    struct id id;
    for (uint8_t i = 0; i < 16; i++)
        key[i] = i;
    put_le64(message, kind);
    put_le64(message + 8, number);
    for (uint64_t word = 0; word < 4; word++) {
        put_le64(message + 16, word);
        put_le64(id.bytes + 8 * word, placement_siphash(key, slice_of(message, sizeof(message))));
    }
    return id;
}

enum { CELL = 1, ACCOUNT = 2, SEGMENT = 3 };

static void make_cells(struct placement_cell *cells, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct id id = make_id(CELL, i);
        cells[i] = (struct placement_cell){.id = id, .household = id, .weight = 1};
    }
}

static void test_siphash_matches_its_paper(void **state)
{
    (void)state;
    uint8_t key[16], message[15];
    for (uint8_t i = 0; i < 16; i++)
        key[i] = i;
    for (uint8_t i = 0; i < 15; i++)
        message[i] = i;
    assert_true(placement_siphash(key, slice_of(message, 15)) == 0xa129ca6149be45e5u);
    assert_true(placement_siphash(key, slice_of(message, 0)) == 0x726fdb47dd0e0e31u);
}

static void test_hash_is_siphash_of_its_parts(void **state)
{
    (void)state;
    const struct id subject = make_id(ACCOUNT, 5), cell = make_id(CELL, 6);
    uint8_t message[56];
    memcpy(message, cell.bytes, 32);
    memcpy(message + 32, subject.bytes + 16, 16);
    put_le64(message + 48, 77);
    assert_true(placement_hash(&subject, &cell, 77) ==
                placement_siphash(subject.bytes, slice_of(message, sizeof(message))));
}

/* Values of -log2((h+1)/2^32) * 2^24 from a 50-digit decimal logarithm. */
static void test_cost_is_the_logarithm(void **state)
{
    (void)state;
    assert_int_equal(placement_cost(0), 536870912);
    assert_int_equal(placement_cost(UINT64_MAX), 0);
    assert_int_equal(placement_cost(0x7fffffffffffffff), 16777216);
    assert_in_range(placement_cost(0x123456789abcdef0), 63984630, 63984632);
    assert_in_range(placement_cost(0xfedcba9876543210), 107814, 107816);
    uint64_t last = UINT64_MAX;
    for (uint64_t h = 0; h < (uint64_t)1 << 63; h = h * 2 + 0x12345678u) {
        const uint64_t cost = placement_cost(h);
        assert_true(cost <= last);
        last = cost;
    }
}

/* Computed by an independent program (Python's integers and decimals). */
static void test_order_is_the_golden_one(void **state)
{
    (void)state;
    static const uint32_t group_golden[12] = {11, 7, 2, 5, 0, 6, 1, 3, 4, 9, 8, 10};
    static const uint32_t order_golden[12] = {11, 7, 2, 10, 8, 4, 5, 6, 9, 1, 3, 0};
    struct placement_cell cells[12];
    make_cells(cells, 12);
    for (uint32_t i = 0; i < 12; i++)
        cells[i].weight = 1 + i % 4;
    const struct id account = make_id(ACCOUNT, 0), segment = make_id(SEGMENT, 0);
    struct placement_group group;
    placement_group_pick(cells, 12, &account, 1, &group);
    assert_int_equal(group.count, 12);
    assert_int_equal(group.domains, 12);
    uint16_t order[LIMIT_GROUP_CELLS];
    placement_order(&group, &segment, order);
    for (uint32_t i = 0; i < 12; i++) {
        assert_int_equal(group.members[i], group_golden[i]);
        assert_int_equal(group.members[order[i]], order_golden[i]);
    }
}

static void shuffle(struct placement_cell *cells, uint32_t count, unsigned seed)
{
    for (uint32_t i = count - 1; i > 0; i--) {
        const uint32_t j = (uint32_t)rand_r(&seed) % (i + 1);
        const struct placement_cell swap = cells[i];
        cells[i] = cells[j];
        cells[j] = swap;
    }
}

static void test_group_depends_on_the_set_alone(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    struct placement_cell *cells = calloc(COUNT, sizeof(*cells));
    assert_non_null(cells);
    make_cells(cells, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) /* some large households, so that the cap is at work */
        if (i % 3 == 0)
            cells[i].household = make_id(ACCOUNT, 100 + i % 10);
    const struct id account = make_id(ACCOUNT, 1);
    struct placement_group a, b;
    placement_group_pick(cells, COUNT, &account, 0, &a);
    assert_int_equal(a.count, LIMIT_GROUP_CELLS);
    for (unsigned seed = 1; seed <= 20; seed++) {
        shuffle(cells, COUNT, seed);
        placement_group_pick(cells, COUNT, &account, 0, &b);
        assert_int_equal(b.count, a.count);
        for (uint32_t i = 0; i < a.count; i++)
            assert_true(id_equal(&a.cells[i].id, &b.cells[i].id));
    }
    placement_group_pick(cells, COUNT, &account, 1, &b);
    uint32_t common = 0;
    for (uint32_t i = 0; i < b.count; i++)
        common += placement_find(&a, &b.cells[i].id) != PLACEMENT_NONE;
    assert_true(common < 100); /* another generation, another group: about 256 * 256 / 3000 stay */
    free(cells);
}

static void test_group_never_holds_the_owners_or_ineligible_cells(void **state)
{
    (void)state;
    struct placement_cell cells[40];
    make_cells(cells, 40);
    const struct id account = make_id(ACCOUNT, 1);
    for (uint32_t i = 0; i < 10; i++)
        cells[i].household = account;
    for (uint32_t i = 10; i < 15; i++)
        cells[i].weight = 0;
    struct placement_group group;
    placement_group_pick(cells, 40, &account, 0, &group);
    assert_int_equal(group.count, 25);
    for (uint32_t i = 0; i < group.count; i++)
        assert_true(group.members[i] >= 15);
    placement_group_pick(cells, 10, &account, 0, &group);
    assert_int_equal(group.count, 0);
    assert_int_equal(group.domains, 0);
    struct placement_plan plan;
    const struct id segment = make_id(SEGMENT, 0);
    placement_plan(&group, &segment, 6, NULL, &plan);
    assert_int_equal(plan.placed, 0);
    assert_int_equal(plan.cells[5], PLACEMENT_NONE);
}

static void test_group_caps_a_household(void **state)
{
    (void)state;
    struct placement_cell cells[100];
    make_cells(cells, 100);
    for (uint32_t i = 0; i < 60; i++)
        cells[i].household = make_id(ACCOUNT, 9);
    const struct id account = make_id(ACCOUNT, 1);
    struct placement_group group;
    placement_group_pick(cells, 100, &account, 0, &group);
    assert_int_equal(group.count, 40 + PLACEMENT_GROUP_HOUSEHOLD_MAX);
    assert_int_equal(group.domains, 41);
}

/* Every cell's share of shards is proportional to its weight, within five standard deviations. */
static void test_shares_follow_the_weights(void **state)
{
    (void)state;
    enum { CELLS = 200, SEGMENTS = 20000 };
    struct placement_cell cells[CELLS];
    uint32_t got[CELLS] = {0}, weights = 0;
    make_cells(cells, CELLS);
    for (uint32_t i = 0; i < CELLS; i++)
        weights += cells[i].weight = 1u + i % 4;
    const struct id account = make_id(ACCOUNT, 1);
    struct placement_group group;
    placement_group_pick(cells, CELLS, &account, 0, &group);
    for (uint32_t s = 0; s < SEGMENTS; s++) {
        const struct id segment = make_id(SEGMENT, s);
        uint16_t order[LIMIT_GROUP_CELLS];
        placement_order(&group, &segment, order);
        got[group.members[order[0]]]++; /* the first: exactly proportional in theory */
    }
    for (uint32_t i = 0; i < CELLS; i++) {
        const double expected = (double)SEGMENTS * cells[i].weight / weights;
        const double off = (double)got[i] - expected;
        assert_true(off * off < 25 * expected);
    }
}

static bool plan_has(const struct placement_group *group, const struct placement_plan *plan,
                     const struct id *cell)
{
    for (uint32_t i = 0; i < plan->count; i++)
        if (plan->cells[i] != PLACEMENT_NONE && id_equal(&group->cells[plan->cells[i]].id, cell))
            return true;
    return false;
}

/* One cell leaves: each segment loses at most that cell, and gains at most one. */
static void test_only_the_leavers_shards_move(void **state)
{
    (void)state;
    enum { CELLS = 60, SEGMENTS = 2000, SHARDS = 12 };
    struct placement_cell cells[CELLS];
    make_cells(cells, CELLS);
    for (uint32_t i = 0; i < CELLS; i++)
        cells[i].weight = 1 + i % 3;
    const struct id account = make_id(ACCOUNT, 1), leaver = cells[CELLS - 1].id;
    struct placement_group before, after;
    placement_group_pick(cells, CELLS, &account, 0, &before);
    placement_group_pick(cells, CELLS - 1, &account, 0, &after);
    uint32_t moved = 0, held = 0;
    for (uint32_t s = 0; s < SEGMENTS; s++) {
        const struct id segment = make_id(SEGMENT, s);
        struct placement_plan a, b;
        placement_plan(&before, &segment, SHARDS, NULL, &a);
        placement_plan(&after, &segment, SHARDS, NULL, &b);
        assert_int_equal(a.placed, SHARDS);
        assert_int_equal(b.placed, SHARDS);
        uint32_t gone = 0;
        for (uint32_t i = 0; i < SHARDS; i++) {
            const struct id *cell = &before.cells[a.cells[i]].id;
            if (!plan_has(&after, &b, cell)) {
                assert_true(id_equal(cell, &leaver));
                gone++;
            }
        }
        held += plan_has(&before, &a, &leaver);
        moved += gone;
    }
    assert_int_equal(moved, held);
    assert_true(held > 0);
}

static void plan_check(const struct placement_group *group, const struct placement_plan *plan,
                       const bool *asleep)
{
    uint32_t placed = 0;
    for (uint32_t i = 0; i < plan->count; i++) {
        if (plan->cells[i] == PLACEMENT_NONE)
            continue;
        placed++;
        assert_false(asleep && asleep[plan->cells[i]]);
        const struct placement_cell *a = &group->cells[plan->cells[i]];
        for (uint32_t j = 0; j < i; j++) {
            if (plan->cells[j] == PLACEMENT_NONE)
                continue;
            const struct placement_cell *b = &group->cells[plan->cells[j]];
            assert_false(id_equal(&a->household, &b->household));
            assert_false(a->site != 0 && a->site == b->site);
        }
        for (uint32_t j = 0; j < plan->spare_count; j++)
            assert_int_not_equal(plan->spares[j], plan->cells[i]);
    }
    assert_int_equal(placed, plan->placed);
}

static void test_plan_never_shares_a_domain(void **state)
{
    (void)state;
    unsigned seed = (unsigned)time(NULL);
    if (getenv("CELLAR_TEST_SEED"))
        seed = (unsigned)atoi(getenv("CELLAR_TEST_SEED"));
    print_message("CELLAR_TEST_SEED=%u\n", seed);
    const struct id account = make_id(ACCOUNT, 1);
    for (uint32_t round = 0; round < 400; round++) {
        struct placement_cell cells[48];
        bool asleep[LIMIT_GROUP_CELLS] = {false};
        const uint32_t count = 1 + (uint32_t)rand_r(&seed) % ARRAY_COUNT(cells);
        make_cells(cells, count);
        for (uint32_t i = 0; i < count; i++) {
            if (rand_r(&seed) % 2)
                cells[i].household = make_id(ACCOUNT, 10 + (uint64_t)rand_r(&seed) % 8);
            cells[i].site = (uint32_t)rand_r(&seed) % 8;
            cells[i].weight = 1 + (uint32_t)rand_r(&seed) % 100;
        }
        struct placement_group group;
        struct placement_plan plan;
        placement_group_pick(cells, count, &account, 0, &group);
        const struct id segment = make_id(SEGMENT, round);
        const uint32_t shards = 1 + (uint32_t)rand_r(&seed) % 20;
        placement_plan(&group, &segment, shards, NULL, &plan);
        plan_check(&group, &plan, NULL);
        /* as many as can be: the domains are counted the same way whatever the order */
        assert_int_equal(plan.placed, shards < group.domains ? shards : group.domains);
        for (uint32_t i = 0; i < group.count; i++)
            asleep[i] = rand_r(&seed) % 4 == 0;
        placement_plan(&group, &segment, shards, asleep, &plan);
        plan_check(&group, &plan, asleep);
    }
}

/* Two households, one of them at both sites: taking its cell at the shared site first would leave
 * one. */
static void test_plan_makes_room_at_a_shared_site(void **state)
{
    (void)state;
    struct placement_cell cells[3];
    make_cells(cells, 3);
    cells[0].household = cells[1].household = make_id(ACCOUNT, 9);
    cells[0].site = cells[2].site = 1;
    cells[1].site = 2;
    cells[0].weight = PLACEMENT_WEIGHT_MAX; /* nearly always the first in the order */
    const struct id account = make_id(ACCOUNT, 1);
    struct placement_group group;
    placement_group_pick(cells, 3, &account, 0, &group);
    assert_int_equal(group.domains, 2);
    for (uint32_t s = 0; s < 100; s++) {
        const struct id segment = make_id(SEGMENT, s);
        struct placement_plan plan;
        placement_plan(&group, &segment, 2, NULL, &plan);
        plan_check(&group, &plan, NULL);
        assert_int_equal(plan.placed, 2);
    }
}

static void test_plan_keeps_the_waking_cells_shards(void **state)
{
    (void)state;
    struct placement_cell cells[9];
    make_cells(cells, 9);
    const struct id account = make_id(ACCOUNT, 1);
    struct placement_group group;
    placement_group_pick(cells, 9, &account, 0, &group);
    for (uint32_t s = 0; s < 50; s++) {
        const struct id segment = make_id(SEGMENT, s);
        struct placement_plan all, some;
        bool asleep[LIMIT_GROUP_CELLS] = {false};
        placement_plan(&group, &segment, 6, NULL, &all);
        asleep[all.cells[2]] = true;
        placement_plan(&group, &segment, 6, asleep, &some);
        assert_int_equal(some.placed, 6);
        assert_int_equal(some.spare_count, 2);
        assert_int_equal(some.cells[2], all.spares[0]);
        for (uint32_t i = 0; i < 6; i++)
            assert_true(i == 2 || some.cells[i] == all.cells[i]);
        /* exactly n cells and one asleep: the shard waits */
        placement_plan(&group, &segment, 9, asleep, &some);
        assert_int_equal(some.placed, 8);
        assert_int_equal(some.count, 9);
    }
}

static void test_plan_with_one_other_household(void **state)
{
    (void)state;
    struct placement_cell cells[2];
    make_cells(cells, 2);
    cells[0].household = make_id(ACCOUNT, 1);
    struct placement_group group;
    placement_group_pick(cells, 2, &cells[0].household, 0, &group);
    assert_int_equal(group.count, 1);
    assert_int_equal(group.domains, 1);
    const struct id segment = make_id(SEGMENT, 1);
    struct placement_plan plan;
    placement_plan(&group, &segment, 2, NULL, &plan);
    assert_int_equal(plan.placed, 1);
    assert_int_equal(plan.cells[0], 0);
    assert_int_equal(plan.cells[1], PLACEMENT_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash_matches_its_paper),
        cmocka_unit_test(test_hash_is_siphash_of_its_parts),
        cmocka_unit_test(test_cost_is_the_logarithm),
        cmocka_unit_test(test_order_is_the_golden_one),
        cmocka_unit_test(test_group_depends_on_the_set_alone),
        cmocka_unit_test(test_group_never_holds_the_owners_or_ineligible_cells),
        cmocka_unit_test(test_group_caps_a_household),
        cmocka_unit_test(test_shares_follow_the_weights),
        cmocka_unit_test(test_only_the_leavers_shards_move),
        cmocka_unit_test(test_plan_never_shares_a_domain),
        cmocka_unit_test(test_plan_makes_room_at_a_shared_site),
        cmocka_unit_test(test_plan_keeps_the_waking_cells_shards),
        cmocka_unit_test(test_plan_with_one_other_household),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* placement/: levels, their words, and margins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "placement/placement_level.h"
#include "placement/placement_margin.h"

static void test_level_for_each_size_of_swarm(void **state)
{
    (void)state;
    static const uint32_t golden[][3] = {
        {0, 0, 0},  {1, 1, 0},   {2, 1, 1},   {3, 1, 2},        {4, 2, 2},           {5, 2, 3},
        {6, 2, 4},  {7, 4, 3},   {8, 4, 4},   {9, 4, 4},        {11, 4, 4},          {12, 8, 4},
        {23, 8, 4}, {24, 16, 8}, {25, 16, 8}, {1000000, 16, 8}, {UINT32_MAX, 16, 8},
    };
    for (size_t i = 0; i < ARRAY_COUNT(golden); i++) {
        const struct placement_level level = placement_level_for(golden[i][0]);
        assert_int_equal(level.k, golden[i][1]);
        assert_int_equal(level.m, golden[i][2]);
        assert_true(level.k + level.m <= golden[i][0]);
        assert_int_equal(placement_level_valid(level), golden[i][0] > 0);
    }
}

static void test_level_parse_takes_what_people_write(void **state)
{
    (void)state;
    struct placement_level level;
    assert_int_equal(placement_level_parse("4+2", &level, NULL), ERR_OK);
    assert_int_equal(level.k, 4);
    assert_int_equal(level.m, 2);
    assert_int_equal(placement_level_parse("1+0", &level, NULL), ERR_OK);
    assert_int_equal(placement_level_parse("200+55", &level, NULL), ERR_OK);
    static const char *const wrong[] = {
        "",     "4",    "+",      "4+",    "+2",   "0+2",           "4+2+1",
        "4 +2", "-4+2", "200+56", "256+0", "4+-2", "99999999999+1", "4+99999999999999999999",
        "4+2 "};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        struct errmsg msg = {""};
        level = (struct placement_level){7, 7};
        assert_int_equal(placement_level_parse(wrong[i], &level, &msg), ERR_FORMAT);
        assert_non_null(strstr(msg.text, "K+M"));
        assert_int_equal(level.k, 7);
    }
}

static void test_level_words_are_plain(void **state)
{
    (void)state;
    char out[PLACEMENT_WORDS_SIZE];
    assert_string_equal(placement_level_words(2, 6, "household", out),
                        "survives any two of the six other households");
    assert_string_equal(placement_level_words(1, 2, "household", out),
                        "survives any one of the two other households");
    assert_string_equal(placement_level_words(8, 40, "cell", out),
                        "survives any eight of the 40 other cells");
    assert_string_equal(placement_level_words(0, 1, "household", out),
                        "a single copy, lost when the one other household loses it");
    assert_string_equal(placement_level_words(0, 3, "household", out),
                        "survives no loss among the three other households");
    assert_string_equal(placement_level_words(-1, 3, "household", out),
                        "data is missing: one more shard is needed than there is");
    assert_string_equal(placement_level_words(-2, 3, "household", out),
                        "data is missing: two more shards are needed than there are");
    assert_string_equal(placement_level_words(0, 0, "household", out),
                        "there is no other household to keep anything");
}

static struct placement_shard shard_at(uint8_t household, bool alive)
{
    struct placement_shard s = {.alive = alive};
    s.household.bytes[0] = household;
    return s;
}

static void test_margin_counts_the_living(void **state)
{
    (void)state;
    struct placement_shard shards[6];
    for (uint8_t i = 0; i < 6; i++)
        shards[i] = shard_at(i, true);
    for (uint8_t dead = 0; dead <= 6; dead++) {
        assert_int_equal(placement_margin(shards, 6, 4), 2 - dead);
        assert_int_equal(placement_margin_plain(6u - dead, 4), 2 - dead);
        if (dead < 6)
            shards[dead].alive = false;
    }
    assert_int_equal(placement_margin(shards, 0, 1), -1);
}

static void test_margin_takes_the_fullest_domain_first(void **state)
{
    (void)state;
    /* four shards in three domains: 2 + 1 + 1 */
    struct placement_shard shards[4] = {shard_at(1, true), shard_at(2, true), shard_at(1, true),
                                        shard_at(3, true)};
    assert_int_equal(placement_margin(shards, 4, 1), 2);
    assert_int_equal(placement_margin(shards, 4, 2), 1);
    assert_int_equal(placement_margin(shards, 4, 3), 0);
    assert_int_equal(placement_margin(shards, 4, 4), 0);
    shards[0].alive = false;
    assert_int_equal(placement_margin(shards, 4, 2), 1);
    assert_int_equal(placement_margin(shards, 4, 4), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_level_for_each_size_of_swarm),
        cmocka_unit_test(test_level_parse_takes_what_people_write),
        cmocka_unit_test(test_level_words_are_plain),
        cmocka_unit_test(test_margin_counts_the_living),
        cmocka_unit_test(test_margin_takes_the_fullest_domain_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

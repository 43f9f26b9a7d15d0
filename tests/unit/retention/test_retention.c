/*
 * retention/: which snapshots stay. Each case is a list of local times, a policy and the times that
 * must stay, so a change of the calendar's arithmetic shows as a line of this table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "retention/retention.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ITEMS_MAX = 400 };

#define NS_S INT64_C(1000000000)

static void use_zone(const char *zone)
{
    setenv("TZ", zone, 1);
    tzset();
}

/* "2024-02-29 12:00:00", or with "Z" behind it: in UTC, for hours that come twice. */
static int64_t at(const char *text)
{
    struct tm tm = {.tm_isdst = -1};
    char zone = 0;
    const int got = sscanf(text, "%d-%d-%d %d:%d:%d%c", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
                           &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &zone);
    assert_true(got >= 6);
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    return (int64_t)(zone == 'Z' ? timegm(&tm) : mktime(&tm)) * NS_S;
}

struct rule_case {
    const char *name, *zone;
    struct retention_policy policy;
    const char *times[12]; /* any order */
    const char *kept;      /* a '1' for each that stays, else '0' */
};

/* Rules of Europe without the zone files, so that the test needs none. */
#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"

static const struct rule_case cases[] = {
    {"last 2 are the newest two",
     "UTC0",
     {.keep[RETENTION_LAST] = 2},
     {"2024-01-01 10:00:00", "2024-01-03 10:00:00", "2024-01-02 10:00:00"},
     "011"},
    {"one a day, the newest of it",
     "UTC0",
     {.keep[RETENTION_DAILY] = 2},
     {"2024-01-03 09:00:00", "2024-01-03 23:59:59", "2024-01-02 00:00:00", "2024-01-02 12:00:00",
      "2024-01-01 12:00:00"},
     "01010"},
    {"days without snapshots do not count",
     "UTC0",
     {.keep[RETENTION_DAILY] = 3},
     {"2024-01-01 10:00:00", "2024-03-01 10:00:00", "2024-09-01 10:00:00", "2023-01-01 10:00:00"},
     "1110"},
    {"the oldest stays while there are places",
     "UTC0",
     {.keep[RETENTION_MONTHLY] = 5},
     {"2024-01-01 10:00:00", "2024-01-02 10:00:00", "2024-01-03 10:00:00"},
     "101"},
    {"and not when they are used up",
     "UTC0",
     {.keep[RETENTION_MONTHLY] = 1},
     {"2024-01-01 10:00:00", "2024-01-02 10:00:00", "2024-01-03 10:00:00"},
     "001"},
    {"without end",
     "UTC0",
     {.keep[RETENTION_YEARLY] = RETENTION_ALL},
     {"2020-12-31 23:59:59", "2021-01-01 00:00:00", "2021-12-31 10:00:00", "2022-06-01 10:00:00"},
     "1011"},
    {"29 February is a day of its own",
     "UTC0",
     {.keep[RETENTION_DAILY] = 3},
     {"2024-02-28 10:00:00", "2024-02-29 10:00:00", "2024-03-01 10:00:00", "2024-02-29 09:00:00"},
     "1110"},
    {"31 December of a leap year and 1 January",
     "UTC0",
     {.keep[RETENTION_DAILY] = 2},
     {"2024-12-31 10:00:00", "2025-01-01 10:00:00", "2024-12-31 09:00:00"},
     "110"},
    {"1900 had no leap day",
     "UTC0",
     {.keep[RETENTION_DAILY] = 2},
     {"1900-02-28 10:00:00", "1900-03-01 10:00:00", "1900-02-28 09:00:00"},
     "110"},
    {"ISO week 53 of 2020 reaches into 2021",
     "UTC0",
     {.keep[RETENTION_WEEKLY] = 2},
     {"2020-12-28 10:00:00", "2021-01-03 23:00:00", "2021-01-04 00:00:00"},
     "011"},
    {"30 December 2024 is in week 1 of 2025",
     "UTC0",
     {.keep[RETENTION_WEEKLY] = 2},
     {"2024-12-29 23:59:59", "2024-12-30 00:00:00", "2025-01-05 23:00:00"},
     "101"},
    {"weeks before 1970",
     "UTC0",
     {.keep[RETENTION_WEEKLY] = 2},
     {"1969-12-28 23:00:00", "1969-12-29 00:00:00", "1970-01-04 23:00:00"},
     "101"},
    {"a day is local: 23:30 UTC is tomorrow in Berlin",
     BERLIN,
     {.keep[RETENTION_DAILY] = 1},
     {"2024-01-01 23:30:00Z", "2024-01-02 10:00:00Z", "2024-01-01 22:30:00Z"},
     "010"},
    {"the day of 23 hours",
     BERLIN,
     {.keep[RETENTION_DAILY] = 3},
     {"2024-03-30 23:30:00", "2024-03-31 00:30:00", "2024-03-31 23:30:00", "2024-04-01 00:30:00"},
     "1011"},
    {"the day of 25 hours",
     BERLIN,
     {.keep[RETENTION_DAILY] = 2},
     {"2024-10-27 00:30:00", "2024-10-27 23:30:00", "2024-10-26 23:30:00"},
     "011"},
    {"the hour that is not there",
     BERLIN,
     {.keep[RETENTION_HOURLY] = 2},
     {"2024-03-31 00:10:00Z", "2024-03-31 00:50:00Z", "2024-03-31 01:10:00Z"},
     "011"},
    {"the hour that comes twice is two",
     BERLIN,
     {.keep[RETENTION_HOURLY] = 3},
     {"2024-10-27 00:10:00Z", "2024-10-27 00:50:00Z", "2024-10-27 01:10:00Z",
      "2024-10-27 02:10:00Z"},
     "0111"},
    {"within a month, by the calendar",
     "UTC0",
     {.within[RETENTION_LAST] = {.months = 1}},
     {"2024-03-15 10:00:00", "2024-02-15 10:00:01", "2024-02-15 10:00:00"},
     "110"},
    {"within a day over the change to summer: 23 hours",
     BERLIN,
     {.within[RETENTION_LAST] = {.days = 1}},
     {"2024-03-31 12:00:00", "2024-03-30 12:00:01", "2024-03-30 12:00:00"},
     "110"},
    {"within 24 hours over the change",
     BERLIN,
     {.within[RETENTION_LAST] = {.hours = 24}},
     {"2024-03-31 12:00:00", "2024-03-30 11:00:01", "2024-03-30 11:00:00"},
     "110"},
    {"within a year back from 29 February",
     "UTC0",
     {.within[RETENTION_LAST] = {.years = 1}},
     {"2024-02-29 10:00:00", "2023-03-01 10:00:01", "2023-03-01 10:00:00"},
     "110"},
    {"daily within",
     "UTC0",
     {.within[RETENTION_DAILY] = {.days = 7}},
     {"2024-01-10 10:00:00", "2024-01-10 09:00:00", "2024-01-09 09:00:00", "2024-01-02 10:00:00"},
     "1010"},
    {"rules add up",
     "UTC0",
     {.keep[RETENTION_LAST] = 1, .keep[RETENTION_YEARLY] = 2},
     {"2024-01-10 10:00:00", "2023-12-31 10:00:00", "2023-01-01 10:00:00"},
     "110"},
};

static int64_t far_future(void)
{
    return INT64_MAX;
}

static void test_apply_keeps_what_the_table_says(void **state)
{
    (void)state;
    for (size_t c = 0; c < ARRAY_COUNT(cases); c++) {
        struct retention_item items[12] = {{0}};
        char got[13] = {0};
        size_t count = 0;
        use_zone(cases[c].zone);
        for (; count < 12 && cases[c].times[count]; count++)
            items[count].time_ns = at(cases[c].times[count]);
        assert_int_equal(retention_apply(&cases[c].policy, items, count, far_future(), NULL),
                         ERR_OK);
        for (size_t i = 0; i < count; i++) {
            got[i] = items[i].keep ? '1' : '0';
            assert_int_equal(items[i].keep, items[i].reasons != 0);
        }
        if (strcmp(got, cases[c].kept) != 0)
            fail_msg("%s: kept %s, should be %s", cases[c].name, got, cases[c].kept);
    }
}

/* Weeks as strftime() counts them (ISO 8601): two moments share one exactly when we say so. */
static void test_weeks_are_those_of_iso_8601(void **state)
{
    (void)state;
    use_zone("UTC0");
    for (int64_t day = -8000; day < 30000; day++) {
        struct retention_item items[2] = {
            {.time_ns = day * 86400 * NS_S},
            {.time_ns = (day + 1) * 86400 * NS_S},
        };
        char weeks[2][16];
        for (int i = 0; i < 2; i++) {
            const time_t t = (time_t)(day + i) * 86400;
            struct tm tm;
            gmtime_r(&t, &tm);
            strftime(weeks[i], sizeof(weeks[i]), "%G-%V", &tm);
        }
        struct retention_item three[3] = {items[0], items[1], {.time_ns = INT64_MIN / 2}};
        const struct retention_policy policy = {.keep[RETENTION_WEEKLY] = 2};
        assert_int_equal(retention_apply(&policy, three, 3, far_future(), NULL), ERR_OK);
        assert_true(three[1].keep);
        assert_int_equal(three[0].keep, strcmp(weeks[0], weeks[1]) != 0);
    }
}

/* A snapshot from a day when the clock was a year ahead does not make `within` forget the rest. */
static void test_a_clock_that_jumped_ahead_is_not_the_newest(void **state)
{
    (void)state;
    use_zone("UTC0");
    struct retention_item items[] = {{.time_ns = at("2025-06-01 10:00:00")},
                                     {.time_ns = at("2024-06-01 10:00:00")},
                                     {.time_ns = at("2024-05-20 10:00:00")},
                                     {.time_ns = at("2024-04-01 10:00:00")}};
    const struct retention_policy policy = {.within[RETENTION_LAST] = {.days = 30}};
    assert_int_equal(retention_apply(&policy, items, 4, at("2024-06-02 10:00:00"), NULL), ERR_OK);
    assert_true(items[0].keep && items[1].keep && items[2].keep);
    assert_false(items[3].keep);
    /* all of them in the future: nobody knows the time, everything stays */
    assert_int_equal(retention_apply(&policy, items, 4, at("2001-01-01 00:00:00"), NULL), ERR_OK);
    assert_true(items[0].keep && items[1].keep && items[2].keep && items[3].keep);
}

static void test_of_equal_times_the_later_item_is_newer(void **state)
{
    (void)state;
    use_zone("UTC0");
    struct retention_item items[] = {{.time_ns = 5}, {.time_ns = 5}, {.time_ns = 5}};
    const struct retention_policy policy = {.keep[RETENTION_LAST] = 1};
    assert_int_equal(retention_apply(&policy, items, 3, far_future(), NULL), ERR_OK);
    assert_false(items[0].keep || items[1].keep);
    assert_true(items[2].keep);
}

static void test_an_empty_policy_keeps_everything(void **state)
{
    (void)state;
    struct retention_item items[2] = {{.time_ns = 1}, {.time_ns = 2}};
    const struct retention_policy none = {.tag_count = 0};
    assert_true(retention_is_empty(&none));
    assert_int_equal(retention_apply(&none, items, 2, 3, NULL), ERR_OK);
    assert_true(items[0].keep && items[1].keep);
    assert_int_equal(items[0].reasons, RETENTION_NO_POLICY);
    assert_int_equal(retention_apply(&none, NULL, 0, 3, NULL), ERR_OK);
}

static struct slice t(const char *text)
{
    return slice_text(text);
}

static void test_tags_keep_when_all_of_one_list_are_there(void **state)
{
    (void)state;
    const struct slice a[] = {t("a")}, ab[] = {t("b"), t("a")}, c[] = {t("c")};
    const struct slice want_ab[] = {t("a"), t("b")}, want_c[] = {t("c")};
    const struct retention_tags lists[] = {{want_ab, 2}, {want_c, 1}};
    struct retention_item items[] = {{.time_ns = 1, .tags = a, .tag_count = 1},
                                     {.time_ns = 2, .tags = ab, .tag_count = 2},
                                     {.time_ns = 3, .tags = c, .tag_count = 1},
                                     {.time_ns = 4}};
    const struct retention_policy policy = {.tags = lists, .tag_count = 2};
    assert_int_equal(retention_apply(&policy, items, 4, far_future(), NULL), ERR_OK);
    assert_false(items[0].keep || items[3].keep);
    assert_true(items[1].keep && items[2].keep);
    assert_string_equal(retention_reason(items[1].reasons), "has tags");
}

static void test_groups_are_by_host_and_the_set_of_paths(void **state)
{
    (void)state;
    const struct slice xy[] = {t("/x"), t("/y")}, yx[] = {t("/y"), t("/x"), t("/y")},
                       x[] = {t("/x")}, odd[] = {t("/x/y")};
    struct retention_item items[] = {{.host = t("h"), .paths = xy, .path_count = 2},
                                     {.host = t("i"), .paths = xy, .path_count = 2},
                                     {.host = t("h"), .paths = yx, .path_count = 3},
                                     {.host = t("h"), .paths = x, .path_count = 1},
                                     {.host = t("h"), .paths = odd, .path_count = 1},
                                     {.host = t("i"), .paths = yx, .path_count = 2}};
    static const uint32_t by_both[] = {0, 1, 0, 2, 3, 1}, by_host[] = {0, 1, 0, 0, 0, 1};
    assert_int_equal(retention_group(items, 6, RETENTION_BY_HOST | RETENTION_BY_PATHS, NULL),
                     ERR_OK);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(items[i].group, by_both[i]);
    assert_int_equal(retention_group(items, 6, RETENTION_BY_HOST, NULL), ERR_OK);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(items[i].group, by_host[i]);
    assert_int_equal(retention_group(items, 6, 0, NULL), ERR_OK);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(items[i].group, 0);
    /* each group has its own newest one */
    const struct retention_policy policy = {.keep[RETENTION_LAST] = 1};
    assert_int_equal(retention_group(items, 6, RETENTION_BY_HOST, NULL), ERR_OK);
    for (size_t i = 0; i < 6; i++)
        items[i].time_ns = (int64_t)i;
    assert_int_equal(retention_apply(&policy, items, 6, far_future(), NULL), ERR_OK);
    assert_true(items[4].keep && items[5].keep);
    assert_false(items[0].keep || items[1].keep || items[2].keep || items[3].keep);
}

/* Against restic's rule written down naively: same snapshots whatever the order of the array. */
static void test_the_order_of_the_array_does_not_matter(void **state)
{
    (void)state;
    use_zone(BERLIN);
    const char *given = getenv("CELLAR_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : (unsigned)time(NULL);
    print_message("seed %u (repeat with CELLAR_SEED=%u)\n", seed, seed);
    for (int round = 0; round < 50; round++) {
        static struct retention_item items[ITEMS_MAX], shuffled[ITEMS_MAX];
        size_t kept = 0;
        for (size_t i = 0; i < ITEMS_MAX; i++)
            items[i] = (struct retention_item){
                .time_ns = (rand_r(&seed) % 20000000 * INT64_C(40) + (int64_t)i) * (NS_S / 7)};
        memcpy(shuffled, items, sizeof(items));
        for (size_t i = ITEMS_MAX - 1; i > 0; i--) {
            const size_t j = (size_t)rand_r(&seed) % (i + 1);
            const struct retention_item other = shuffled[i];
            shuffled[i] = shuffled[j];
            shuffled[j] = other;
        }
        const struct retention_policy policy = {.keep = {1, 5, 7, 4, 12, RETENTION_ALL},
                                                .within[RETENTION_LAST] = {.months = 2}};
        assert_int_equal(retention_apply(&policy, items, ITEMS_MAX, far_future(), NULL), ERR_OK);
        assert_int_equal(retention_apply(&policy, shuffled, ITEMS_MAX, far_future(), NULL), ERR_OK);
        for (size_t i = 0; i < ITEMS_MAX; i++) {
            kept += items[i].keep;
            for (size_t j = 0; j < ITEMS_MAX; j++)
                if (shuffled[j].time_ns == items[i].time_ns)
                    assert_int_equal(shuffled[j].keep, items[i].keep);
        }
        assert_true(kept > 5 && kept < ITEMS_MAX);
    }
}

static void test_times_at_the_ends_of_the_range(void **state)
{
    (void)state;
    use_zone("XXX+23:59:59");
    struct retention_item items[] = {
        {.time_ns = INT64_MIN}, {.time_ns = INT64_MAX}, {.time_ns = -1}};
    const struct retention_policy policy = {
        .keep = {1, 1, 1, 1, 1, 1}, .within[RETENTION_LAST] = {1000000, 1000000, 1000000, 1000000}};
    assert_int_equal(retention_apply(&policy, items, 3, far_future(), NULL), ERR_OK);
    assert_true(items[1].keep && items[2].keep);
}

static void test_parsing_takes_what_restic_takes(void **state)
{
    (void)state;
    struct retention_span span;
    int64_t number;
    unsigned by;
    assert_int_equal(retention_parse_span("1y5m7d2h", "--keep-within", &span, NULL), ERR_OK);
    assert_int_equal(span.years, 1);
    assert_int_equal(span.months, 5);
    assert_int_equal(span.days, 7);
    assert_int_equal(span.hours, 2);
    assert_int_equal(retention_parse_span("30d", "--keep-within", &span, NULL), ERR_OK);
    assert_true(span.days == 30 && !span.years && !span.hours);
    static const char *const wrong_spans[] = {"",     "d",   "3",   "3w",           "1d1y",
                                              "1d1d", "-1d", "1 d", "99999999999d", "1dx"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong_spans); i++) {
        struct errmsg msg;
        assert_int_equal(retention_parse_span(wrong_spans[i], "--keep-within", &span, &msg),
                         ERR_FORMAT);
        assert_non_null(strstr(msg.text, "--keep-within"));
    }
    assert_int_equal(retention_parse_count("7", "--keep-daily", &number, NULL), ERR_OK);
    assert_int_equal(number, 7);
    assert_int_equal(retention_parse_count("unlimited", "--keep-daily", &number, NULL), ERR_OK);
    assert_true(number == RETENTION_ALL);
    static const char *const wrong_counts[] = {"", "-1", "x", "7 ", "99999999999"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong_counts); i++)
        assert_int_equal(retention_parse_count(wrong_counts[i], "--keep-daily", &number, NULL),
                         ERR_FORMAT);
    assert_int_equal(retention_parse_group("host,paths", &by, NULL), ERR_OK);
    assert_int_equal(by, RETENTION_BY_HOST | RETENTION_BY_PATHS);
    assert_int_equal(retention_parse_group("", &by, NULL), ERR_OK);
    assert_int_equal(by, 0);
    static const char *const wrong_groups[] = {"host,", ",host", "hosts paths", "user", "hos"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong_groups); i++)
        assert_int_equal(retention_parse_group(wrong_groups[i], &by, NULL), ERR_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apply_keeps_what_the_table_says),
        cmocka_unit_test(test_weeks_are_those_of_iso_8601),
        cmocka_unit_test(test_a_clock_that_jumped_ahead_is_not_the_newest),
        cmocka_unit_test(test_of_equal_times_the_later_item_is_newer),
        cmocka_unit_test(test_an_empty_policy_keeps_everything),
        cmocka_unit_test(test_tags_keep_when_all_of_one_list_are_there),
        cmocka_unit_test(test_groups_are_by_host_and_the_set_of_paths),
        cmocka_unit_test(test_the_order_of_the_array_does_not_matter),
        cmocka_unit_test(test_times_at_the_ends_of_the_range),
        cmocka_unit_test(test_parsing_takes_what_restic_takes),
    };
    return cmocka_run_group_tests_name("retention", tests, NULL, NULL);
}

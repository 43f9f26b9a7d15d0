/* Protects the names under which people and Samba find a snapshot. */
#include "mount/mount_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define SECOND ((int64_t)1000000000)

static void set_zone(const char *zone)
{
    assert_int_equal(setenv("TZ", zone, 1), 0);
    tzset();
}

static const char *local(int64_t time_ns)
{
    static struct mount_name name;
    mount_names_local(&time_ns, 1, &name);
    return name.text;
}

static void test_local_time_carries_its_zone(void **state)
{
    const int64_t summer = 1782907200 * SECOND; /* 2026-07-01 12:00:00 UTC */
    (void)state;
    set_zone("UTC");
    assert_string_equal(local(summer), "2026-07-01T12:00:00Z");
    set_zone("CET-1CEST,M3.5.0,M10.5.0/3");
    assert_string_equal(local(summer), "2026-07-01T14:00:00+02:00");
    assert_string_equal(local(summer + 184 * 86400 * SECOND), "2027-01-01T13:00:00+01:00");
    set_zone("NST3:30");
    assert_string_equal(local(summer), "2026-07-01T08:30:00-03:30");
    set_zone("UTC");
    assert_string_equal(local(-1), "1969-12-31T23:59:59Z");
}

/* In the hour that comes twice the zone tells the two apart. */
static void test_the_repeated_hour_is_told_apart(void **state)
{
    (void)state;
    set_zone("CET-1CEST,M3.5.0,M10.5.0/3");
    assert_string_equal(local(1792888200 * SECOND), "2026-10-25T02:30:00+02:00");
    assert_string_equal(local(1792891800 * SECOND), "2026-10-25T02:30:00+01:00");
}

static void test_snapshots_of_one_second_get_numbers(void **state)
{
    const int64_t times[] = {5 * SECOND, 5 * SECOND + 1, 5 * SECOND + 999999999, 6 * SECOND};
    struct mount_name names[4];
    (void)state;
    set_zone("UTC");
    mount_names_local(times, 4, names);
    assert_string_equal(names[0].text, "1970-01-01T00:00:05Z");
    assert_string_equal(names[1].text, "1970-01-01T00:00:05Z-1");
    assert_string_equal(names[2].text, "1970-01-01T00:00:05Z-2");
    assert_string_equal(names[3].text, "1970-01-01T00:00:06Z");
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(names[i].snapshot, i);
}

static void test_gmt_names_are_utc_and_one_a_second(void **state)
{
    const int64_t times[] = {1782907200 * SECOND, 1782907200 * SECOND + 5, 1782907201 * SECOND};
    struct mount_name names[3];
    (void)state;
    set_zone("CET-1CEST,M3.5.0,M10.5.0/3");
    assert_int_equal(mount_names_gmt(times, 3, names), 2);
    assert_string_equal(names[0].text, "@GMT-2026.07.01-12.00.00");
    assert_int_equal(names[0].snapshot, 1); /* the newer one */
    assert_string_equal(names[1].text, "@GMT-2026.07.01-12.00.01");
    assert_int_equal(names[1].snapshot, 2);
    assert_int_equal(mount_names_gmt(times, 0, names), 0);
}

/* Whatever a host or a tag is called, its directory has a name that a directory can have. */
static void test_any_text_becomes_a_directory_name(void **state)
{
    char out[256];
    uint8_t longest[400];
    (void)state;
    mount_name_of(slice_text("a/b"), out);
    assert_string_equal(out, "a_b");
    mount_name_of(slice_of("a\0b", 3), out);
    assert_string_equal(out, "a_b");
    mount_name_of(slice_text(""), out);
    assert_string_equal(out, "_");
    mount_name_of(slice_text("."), out);
    assert_string_equal(out, "_");
    mount_name_of(slice_text(".."), out);
    assert_string_equal(out, "_");
    mount_name_of(slice_text("..."), out);
    assert_string_equal(out, "...");
    mount_name_of(slice_text("caf\xc3\xa9 \xff"), out);
    assert_string_equal(out, "caf\xc3\xa9 \xff");
    memset(longest, 'x', sizeof(longest));
    mount_name_of(slice_of(longest, sizeof(longest)), out);
    assert_int_equal(strlen(out), 255);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_local_time_carries_its_zone),
        cmocka_unit_test(test_the_repeated_hour_is_told_apart),
        cmocka_unit_test(test_snapshots_of_one_second_get_numbers),
        cmocka_unit_test(test_gmt_names_are_utc_and_one_a_second),
        cmocka_unit_test(test_any_text_becomes_a_directory_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

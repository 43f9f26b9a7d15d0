/* Protects the directories above the snapshots: which there are, and what stands in each. */
#include "mount/mount_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define SECOND ((int64_t)1000000000)

/* Three snapshots: two of host "a" (the second with tags), one of "b/c" in between. */
static struct vault_snapshot three[3];
static struct slice tags[2];

static struct vault_snapshots example(void)
{
    const char *const hosts[] = {"a", "b/c", "a"};
    setenv("TZ", "UTC", 1);
    tzset();
    tags[0] = slice_text("daily");
    tags[1] = slice_text("x");
    for (unsigned i = 0; i < 3; i++) {
        three[i] = (struct vault_snapshot){.id.bytes = {(uint8_t)(i + 1)}};
        three[i].snapshot.time_ns = (100 + i) * SECOND;
        three[i].snapshot.host = slice_text(hosts[i]);
        three[i].snapshot.root = slice_text("root");
        three[i].snapshot.totals.bytes = 1000;
        three[i].snapshot.totals.files = 7;
    }
    three[2].snapshot.tags = tags;
    three[2].snapshot.tag_count = 2;
    return (struct vault_snapshots){.list = three, .count = 3};
}

/* The names on a shelf, joined by spaces. */
static const char *names(const struct mount_view *view, enum mount_shelf_kind kind,
                         const char *label)
{
    static char text[1024];
    const struct mount_shelf *shelf = mount_view_shelf(view, kind, label);
    text[0] = 0;
    assert_non_null(shelf);
    for (size_t i = 0; i < shelf->count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
                 shelf->items[i].name);
    return text;
}

static void test_every_shelf_has_its_snapshots(void **state)
{
    const struct vault_snapshots all = example();
    struct mount_view *view;
    (void)state;
    assert_int_equal(mount_view_new(&all, NULL, NULL, 0, &view), ERR_OK);
    assert_string_equal(names(view, MOUNT_SHELF_ROOT, NULL),
                        "@GMT-1970.01.01-00.01.40 @GMT-1970.01.01-00.01.41 "
                        "@GMT-1970.01.01-00.01.42 hosts ids snapshots tags");
    assert_string_equal(names(view, MOUNT_SHELF_SNAPSHOTS, NULL),
                        "1970-01-01T00:01:40Z 1970-01-01T00:01:41Z 1970-01-01T00:01:42Z latest");
    assert_string_equal(names(view, MOUNT_SHELF_HOSTS, NULL), "a b_c");
    assert_string_equal(names(view, MOUNT_SHELF_HOST, "a"),
                        "1970-01-01T00:01:40Z 1970-01-01T00:01:42Z latest");
    assert_string_equal(names(view, MOUNT_SHELF_HOST, "b_c"), "1970-01-01T00:01:41Z latest");
    assert_string_equal(names(view, MOUNT_SHELF_TAGS, NULL), "daily x");
    assert_string_equal(names(view, MOUNT_SHELF_TAG, "daily"), "1970-01-01T00:01:42Z latest");
    assert_null(mount_view_shelf(view, MOUNT_SHELF_HOST, "nobody"));
    assert_int_equal(view->bytes, 3000);
    assert_int_equal(view->files, 21);
    mount_view_free(view);
}

/* "latest" leads to the newest by time, wherever the alphabet puts it. */
static void test_latest_leads_to_the_newest(void **state)
{
    const struct vault_snapshots all = example();
    struct mount_view *view;
    (void)state;
    assert_int_equal(mount_view_new(&all, NULL, NULL, 0, &view), ERR_OK);
    const struct mount_shelf *shelf = mount_view_shelf(view, MOUNT_SHELF_HOST, "a");
    const struct mount_item *latest = mount_shelf_find(shelf, slice_text("latest"));
    assert_non_null(latest);
    assert_int_equal(latest->kind, MOUNT_ITEM_LATEST);
    const struct mount_item *item = &shelf->items[latest->index];
    assert_string_equal(item->name, "1970-01-01T00:01:42Z");
    assert_int_equal(item->kind, MOUNT_ITEM_SNAPSHOT);
    assert_int_equal(view->snapshots[item->index].id.bytes[0], 3);
    assert_int_equal(shelf->time_ns, 102 * SECOND);
    assert_null(mount_shelf_find(shelf, slice_text("lates")));
    assert_null(mount_shelf_find(shelf, slice_text("latest2")));
    mount_view_free(view);
}

static void test_host_and_tags_choose(void **state)
{
    const struct vault_snapshots all = example();
    const char *const wanted[] = {"y", "x,daily"}, *const unknown[] = {"x,y", "y"};
    struct mount_view *view;
    (void)state;
    assert_int_equal(mount_view_new(&all, "b/c", NULL, 0, &view), ERR_OK);
    assert_int_equal(view->snapshot_count, 1);
    assert_string_equal(names(view, MOUNT_SHELF_HOSTS, NULL), "b_c");
    mount_view_free(view);
    assert_int_equal(mount_view_new(&all, NULL, wanted, 2, &view), ERR_OK);
    assert_int_equal(view->snapshot_count, 1);
    assert_int_equal(view->snapshots[0].id.bytes[0], 3);
    mount_view_free(view);
    assert_int_equal(mount_view_new(&all, NULL, unknown, 2, &view), ERR_OK);
    assert_int_equal(view->snapshot_count, 0);
    mount_view_free(view);
}

static void test_no_snapshots_at_all(void **state)
{
    const struct vault_snapshots none = {0};
    struct mount_view *view;
    (void)state;
    assert_int_equal(mount_view_new(&none, NULL, NULL, 0, &view), ERR_OK);
    assert_string_equal(names(view, MOUNT_SHELF_ROOT, NULL), "hosts ids snapshots tags");
    assert_string_equal(names(view, MOUNT_SHELF_SNAPSHOTS, NULL), "");
    mount_view_free(view);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_every_shelf_has_its_snapshots),
        cmocka_unit_test(test_latest_leads_to_the_newest),
        cmocka_unit_test(test_host_and_tags_choose),
        cmocka_unit_test(test_no_snapshots_at_all),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}

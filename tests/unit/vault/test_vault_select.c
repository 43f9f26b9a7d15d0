/* Which snapshots a filter means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vault/vault_select.h"

enum { COUNT = 4 };

static struct slice tags[3], paths[2];
static struct vault_snapshot list[COUNT];
static const struct vault_snapshots snapshots = {.list = list, .count = COUNT};
static struct id device;

/* 0: a, /x, no tags; 1: a, /x /y, tag t; 2: b, /x, tags t u; 3: b, /y, tag v */
static int set_up(void **state)
{
    (void)state;
    tags[0] = slice_text("t");
    tags[1] = slice_text("u");
    tags[2] = slice_text("v");
    paths[0] = slice_text("/x");
    paths[1] = slice_text("/y");
    const struct snapshot shapes[COUNT] = {
        {.host = slice_text("a"), .paths = paths, .path_count = 1},
        {.host = slice_text("a"), .paths = paths, .path_count = 2, .tags = tags, .tag_count = 1},
        {.host = slice_text("b"), .paths = paths, .path_count = 1, .tags = tags, .tag_count = 2},
        {.host = slice_text("b"),
         .paths = &paths[1],
         .path_count = 1,
         .tags = &tags[2],
         .tag_count = 1},
    };
    for (size_t i = 0; i < COUNT; i++) {
        list[i].snapshot = shapes[i];
        list[i].id.bytes[0] = (uint8_t)(16 * (i + 1));
    }
    return 0;
}

/* Bits of those that are chosen. */
static unsigned choose(const struct vault_select *select)
{
    bool chosen[COUNT];
    unsigned bits = 0;
    assert_int_equal(vault_select(&snapshots, select, &device, chosen, NULL), ERR_OK);
    for (unsigned i = 0; i < COUNT; i++)
        bits |= chosen[i] ? 1u << i : 0;
    return bits;
}

static void test_filters_go_together(void **state)
{
    (void)state;
    const char *const t[] = {"t"}, *const tu[] = {"t,u"}, *const t_or_v[] = {"t", "v"};
    const char *const none[] = {""}, *const x[] = {"/x"}, *const xy[] = {"/x", "/y"};
    assert_int_equal(choose(&(struct vault_select){0}), 15);
    assert_int_equal(choose(&(struct vault_select){.host = "a"}), 3);
    assert_int_equal(choose(&(struct vault_select){.tags = t, .tag_count = 1}), 6);
    assert_int_equal(choose(&(struct vault_select){.tags = tu, .tag_count = 1}), 4);
    assert_int_equal(choose(&(struct vault_select){.tags = t_or_v, .tag_count = 2}), 14);
    assert_int_equal(choose(&(struct vault_select){.tags = none, .tag_count = 1}), 1);
    assert_int_equal(choose(&(struct vault_select){.paths = x, .path_count = 1}), 7);
    assert_int_equal(choose(&(struct vault_select){.paths = xy, .path_count = 2}), 2);
    assert_int_equal(choose(&(struct vault_select){
                         .host = "b", .tags = t, .tag_count = 1, .paths = x, .path_count = 1}),
                     4);
}

static void test_who_is_named_is_meant_whatever_the_filter(void **state)
{
    (void)state;
    char text[2][ID_TEXT_SIZE];
    const char *const names[] = {id_format(&list[3].id, text[0]), id_format(&list[0].id, text[1])};
    const char *const wrong[] = {text[0], "zzzzzzzz"};
    const char *const t[] = {"t"};
    bool chosen[COUNT];
    struct errmsg msg;
    assert_int_equal(choose(&(struct vault_select){
                         .snapshots = names, .snapshot_count = 2, .tags = t, .tag_count = 1}),
                     9);
    const struct vault_select select = {.snapshots = wrong, .snapshot_count = 2};
    assert_int_equal(vault_select(&snapshots, &select, &device, chosen, &msg), ERR_NOT_FOUND);
    assert_non_null(strstr(msg.text, "zzzzzzzz"));
}

static void test_lists_are_cut_at_commas(void **state)
{
    (void)state;
    struct slice out[3];
    assert_int_equal(vault_select_cut("a,bc,", out, 3), 3);
    assert_true(slice_equal(out[1], slice_text("bc")) && out[2].size == 0);
    assert_int_equal(vault_select_cut("", out, 3), 1);
    assert_int_equal(vault_select_cut("a,b,c,d", out, 3), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters_go_together),
        cmocka_unit_test(test_who_is_named_is_meant_whatever_the_filter),
        cmocka_unit_test(test_lists_are_cut_at_commas),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}

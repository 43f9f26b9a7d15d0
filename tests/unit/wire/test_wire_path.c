/* Paths: what the builder writes is what the parser takes, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/wire_path.h"

#include <stdio.h>
#include <stdlib.h>

static struct wire_path sample(enum wire_route route)
{
    struct wire_path path = {.route = route};
    switch (route) {
    case WIRE_ACCOUNT_SHARDS:
        path.has_after = true;
        memset(path.after_segment.bytes, 0x77, ID_SIZE);
        path.after_index = 254;
        /* fall through */
    case WIRE_SHARD:
    case WIRE_HEADS:
    case WIRE_DEVICES:
    case WIRE_SEGMENT:
        memset(path.id.bytes, 0x5a, ID_SIZE);
        path.index = route == WIRE_SHARD ? 17 : 0;
        break;
    default:
        break;
    }
    return path;
}

static void assert_same(const struct wire_path *a, const struct wire_path *b)
{
    assert_int_equal(a->route, b->route);
    assert_true(id_equal(&a->id, &b->id));
    assert_int_equal(a->index, b->index);
    assert_int_equal(a->has_after, b->has_after);
    assert_true(id_equal(&a->after_segment, &b->after_segment));
    assert_int_equal(a->after_index, b->after_index);
}

static void test_path_of_every_route_comes_back(void **state)
{
    (void)state;
    for (unsigned route = 0; route < WIRE_ROUTE_COUNT; route++) {
        const struct wire_path path = sample((enum wire_route)route);
        struct wire_path back;
        char text[WIRE_PATH_SIZE];
        wire_path_format(&path, text);
        assert_int_equal(wire_path_parse(text, &back), ERR_OK);
        assert_same(&path, &back);
    }
}

static void test_path_of_a_shard_reads_as_documented(void **state)
{
    (void)state;
    const struct wire_path path = sample(WIRE_SHARD);
    char text[WIRE_PATH_SIZE], id[ID_TEXT_SIZE], expected[WIRE_PATH_SIZE];
    snprintf(expected, sizeof(expected), "/v1/shards/%s/17", id_format(&path.id, id));
    assert_string_equal(wire_path_format(&path, text), expected);
    assert_string_equal(wire_path_plain(WIRE_FIND), "/v1/segments/find");
}

/* Every prefix, every changed byte: refused, or exactly what the builder writes for it. */
static void test_path_has_one_form(void **state)
{
    (void)state;
    for (unsigned route = 0; route < WIRE_ROUTE_COUNT; route++) {
        const struct wire_path path = sample((enum wire_route)route);
        char text[WIRE_PATH_SIZE], again[WIRE_PATH_SIZE];
        struct wire_path back;
        const size_t size = strlen(wire_path_format(&path, text));
        for (size_t at = 0; at <= size; at++) {
            char *copy = strndup(text, at);
            assert_non_null(copy);
            if (wire_path_parse(copy, &back) == ERR_OK)
                assert_string_equal(wire_path_format(&back, again), copy);
            free(copy);
        }
        for (size_t at = 0; at < size; at++) {
            for (int value = 1; value < 256; value++) {
                char *copy = strdup(text);
                assert_non_null(copy);
                copy[at] = (char)value;
                if (wire_path_parse(copy, &back) == ERR_OK)
                    assert_string_equal(wire_path_format(&back, again), copy);
                free(copy);
            }
        }
    }
}

static void test_path_refuses_what_is_near(void **state)
{
    (void)state;
    const struct wire_path shard = sample(WIRE_SHARD);
    struct wire_path back;
    char id[ID_TEXT_SIZE], text[4 * WIRE_PATH_SIZE];
    id_format(&shard.id, id);
    static const char *const indexes[] = {"",           "255", "007", "-1", "1000",
                                          "4294967297", "1x",  "1/",  "+1"};
    for (size_t i = 0; i < ARRAY_COUNT(indexes); i++) {
        snprintf(text, sizeof(text), "/v1/shards/%s/%s", id, indexes[i]);
        assert_int_equal(wire_path_parse(text, &back), ERR_FORMAT);
    }
    static const char *const unknown[] = {"",          "/",          "/v1",       "/v2/info",
                                          "/v1/info/", "/v1/info?x", "v1/info",   "/v1/Info",
                                          "/v1//info", "/v1/place%", "/v1/shard", "*"};
    for (size_t i = 0; i < ARRAY_COUNT(unknown); i++)
        assert_int_equal(wire_path_parse(unknown[i], &back), ERR_NOT_FOUND);
    snprintf(text, sizeof(text), "/v1/accounts/%s", id);
    assert_int_equal(wire_path_parse(text, &back), ERR_NOT_FOUND);
    snprintf(text, sizeof(text), "/v1/accounts/%s/shards?after=", id);
    assert_int_equal(wire_path_parse(text, &back), ERR_FORMAT);
    snprintf(text, sizeof(text), "/v1/accounts/%s/shards?before=1", id);
    assert_int_equal(wire_path_parse(text, &back), ERR_FORMAT);
    memset(text, 'a', sizeof(text) - 1);
    memcpy(text, "/v1/heads/", 10);
    text[sizeof(text) - 1] = 0;
    assert_int_equal(wire_path_parse(text, &back), ERR_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path_of_every_route_comes_back),
        cmocka_unit_test(test_path_of_a_shard_reads_as_documented),
        cmocka_unit_test(test_path_has_one_form),
        cmocka_unit_test(test_path_refuses_what_is_near),
    };
    return cmocka_run_group_tests_name("wire paths", tests, NULL, NULL);
}

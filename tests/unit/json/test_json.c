/* json/: exact lines, names of any bytes, and texts that are no JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "json/json_line.h"
#include "json/json_value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void expect(struct json_line *line, const char *text)
{
    struct buf out = BUF_INIT(65536);
    assert_int_equal(json_line_finish(line, &out), ERR_OK);
    assert_int_equal(buf_append_u8(&out, 0), ERR_OK);
    assert_string_equal((const char *)out.data, text);
    buf_free(&out);
}

static struct json_line *new_line(const char *type)
{
    struct json_line *line;
    assert_int_equal(json_line_new(type, &line), ERR_OK);
    return line;
}

static void test_json_line_is_exact(void **state)
{
    (void)state;
    struct json_line *line = new_line("summary");
    json_line_u64(line, "files_new", 3);
    json_line_u64(line, "huge", UINT64_MAX);
    json_line_i64(line, "less", -5);
    json_line_real(line, "share", 0.1);
    json_line_real(line, "whole", 2);
    json_line_real(line, "nan", (double)NAN);
    json_line_bool(line, "yes", true);
    json_line_null(line, "none");
    json_line_text(line, "missing", NULL);
    json_line_text(line, "text", "a\"b\\c\nd\x01/\xc3\xa9\xf0\x9f\x98\x80");
    json_line_time(line, "time", 1772366400123456789);
    json_line_time(line, "before", -1);
    json_line_open_array(line, "list");
    json_line_text(line, NULL, "x");
    json_line_open_object(line, NULL);
    json_line_i64(line, "y", 1);
    json_line_close(line);
    json_line_close(line);
    json_line_i64(line, "last", 9);
    expect(line, "{\"message_type\":\"summary\",\"files_new\":3,\"huge\":9223372036854775807,"
                 "\"less\":-5,\"share\":0.1,\"whole\":2.0,\"nan\":null,\"yes\":true,\"none\":null,"
                 "\"missing\":null,\"text\":\"a\\\"b\\\\c\\nd\\u0001/\xc3\xa9\xf0\x9f\x98\x80\","
                 "\"time\":\"2026-03-01T12:00:00.123456789Z\","
                 "\"before\":\"1969-12-31T23:59:59.999999999Z\","
                 "\"list\":[\"x\",{\"y\":1}],\"last\":9}\n");
    line = new_line(NULL);
    expect(line, "{}\n");
}

static void test_json_line_keeps_names_that_are_not_utf8(void **state)
{
    (void)state;
    struct json_line *line = new_line(NULL);
    json_line_path(line, "path", slice_text("/home/\xc3\xa9"));
    json_line_path(line, "other", slice_text("/home/\xe9t\xe9"));
    json_line_path(line, "nul", slice_of("a\0b", 3));
    json_line_bytes(line, "wrong", slice_text("\xed\xa0\x80|\xc0\xaf|\xf4\x90\x80\x80|\xe2\x82"));
    json_line_path(line, "empty", slice_of(NULL, 0));
    expect(line, "{\"path\":\"/home/\xc3\xa9\",\"other\":\"/home/\xef\xbf\xbdt\xef\xbf\xbd\","
                 "\"other_b64\":\"L2hvbWUv6XTp\",\"nul\":\"a\xef\xbf\xbd"
                 "b\",\"nul_b64\":\"YQBi\","
                 "\"wrong\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd|"
                 "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\","
                 "\"empty\":\"\"}\n");
}

static void test_json_line_limits(void **state)
{
    (void)state;
    struct json_line *line = new_line(NULL);
    for (int i = 0; i < 20; i++)
        json_line_open_object(line, "deeper");
    struct buf out = BUF_INIT(100);
    assert_int_equal(json_line_finish(line, &out), ERR_TOO_LARGE);
    line = new_line(NULL);
    for (int i = 0; i < 60; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "key%d", i);
        json_line_i64(line, key, i);
    }
    assert_int_equal(json_line_finish(line, &out), ERR_TOO_LARGE);
    assert_int_equal(out.size, 0);
    buf_free(&out);
    json_line_free(NULL);
}

static void test_json_value_reads(void **state)
{
    (void)state;
    static const char text[] = "{\"a\": [1, 2.5, \"x\", true, null], \"b\": {\"c\": -7}}";
    struct json_value *v;
    struct errmsg msg;
    assert_int_equal(json_value_parse(slice_text(text), &v, &msg), ERR_OK);
    const struct json_value *a = json_value_member(v, "a");
    assert_int_equal(json_value_count(a), 5);
    assert_int_equal(json_value_i64(json_value_at(a, 0), 0), 1);
    assert_true(json_value_number(json_value_at(a, 1), 0) == 2.5);
    assert_true(json_value_number(json_value_at(a, 0), 0) == 1);
    assert_string_equal(json_value_text(json_value_at(a, 2), ""), "x");
    assert_true(json_value_bool(json_value_at(a, 3), false));
    assert_int_equal(json_value_kind(json_value_at(a, 4)), JSON_KIND_NULL);
    assert_int_equal(json_value_kind(json_value_at(a, 5)), JSON_KIND_NONE);
    assert_int_equal(json_value_i64(json_value_member(json_value_member(v, "b"), "c"), 0), -7);
    assert_int_equal(json_value_i64(json_value_member(json_value_member(v, "x"), "c"), 42), 42);
    assert_int_equal(json_value_i64(json_value_at(a, 2), 42), 42);
    assert_null(json_value_member(a, "a"));
    json_value_free(v);
    json_value_free(NULL);
}

static void test_json_value_refuses_what_is_no_json(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",      "{",        "{\"a\":1,}", "[1,2",
                                        "nul",   "{a",       "\"\\x\"",    "{\"a\":1,\"a\":2}",
                                        "1e999", "\"\xff\"", "{}x"};
    struct json_value *v;
    struct errmsg msg;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        assert_int_equal(json_value_parse(slice_text(wrong[i]), &v, &msg), ERR_FORMAT);
        assert_null(v);
        assert_non_null(strstr(msg.text, "line "));
    }
    static char deep[5000];
    memset(deep, '[', sizeof(deep));
    assert_int_equal(json_value_parse(slice_of(deep, sizeof(deep)), &v, &msg), ERR_FORMAT);
    assert_int_equal(json_value_parse(slice_of(deep, JSON_VALUE_BYTES_MAX + 1), &v, &msg),
                     ERR_TOO_LARGE);
    static const char text[] = "{\"a\": [1, 2.5, \"x\\u00e9\", true, null], \"b\": {\"c\": -7}}";
    for (size_t size = 0; size < sizeof(text) - 1; size++)
        assert_int_equal(json_value_parse(slice_of(text, size), &v, &msg), ERR_FORMAT);
    char flipped[sizeof(text)];
    for (size_t bit = 0; bit < 8 * (sizeof(text) - 1); bit++) {
        memcpy(flipped, text, sizeof(text));
        flipped[bit / 8] = (char)(flipped[bit / 8] ^ (1 << bit % 8));
        if (json_value_parse(slice_of(flipped, sizeof(text) - 1), &v, &msg) == ERR_OK)
            json_value_free(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_line_is_exact),
        cmocka_unit_test(test_json_line_keeps_names_that_are_not_utf8),
        cmocka_unit_test(test_json_line_limits),
        cmocka_unit_test(test_json_value_reads),
        cmocka_unit_test(test_json_value_refuses_what_is_no_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

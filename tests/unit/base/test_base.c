/* base/: what every other room leans on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "base/id.h"
#include "base/idmap.h"
#include "base/list.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void test_err_wrap_reads_like_a_sentence(void **state)
{
    (void)state;
    struct errmsg msg;
    enum err e = err_say_errno(&msg, ENOSPC, "write shard 3");
    assert_int_equal(e, ERR_FULL);
    e = err_wrap(&msg, e, "cannot store segment %s", "abc");
    assert_int_equal(e, ERR_FULL);
    assert_string_equal(msg.text,
                        "cannot store segment abc: write shard 3: No space left on device");
    assert_int_equal(err_wrap(NULL, ERR_IO, "x"), ERR_IO);
    assert_true(err_known(ERR_STALE));
    assert_false(err_known(9999));
}

static void test_err_wrap_cuts_what_is_too_long(void **state)
{
    (void)state;
    struct errmsg msg;
    (void)err_say(&msg, ERR_IO, "%0*d", ERRMSG_SIZE - 1, 7);
    for (int i = 0; i < 3; i++)
        (void)err_wrap(&msg, ERR_IO, "%0*d", 400, 1);
    assert_int_equal(strlen(msg.text), ERRMSG_SIZE - 1);
}

static void test_buf_trim_keeps_the_bytes_and_may_grow_again(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1 << 20);
    buf_trim(&b); /* nothing to give back */
    assert_int_equal(buf_reserve(&b, 100000), ERR_OK);
    assert_int_equal(buf_append_text(&b, "seven"), ERR_OK);
    buf_trim(&b);
    assert_int_equal(b.capacity, 5);
    assert_int_equal(buf_append_text(&b, " lives"), ERR_OK);
    assert_int_equal(b.size, 11);
    assert_memory_equal(b.data, "seven lives", 11);
    buf_free(&b);
}

static void test_buf_stops_at_its_limit(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(100);
    for (int i = 0; i < 25; i++)
        assert_int_equal(buf_append_le32(&b, (uint32_t)i), ERR_OK);
    assert_int_equal(buf_append_u8(&b, 1), ERR_TOO_LARGE);
    assert_int_equal(b.size, 100);
    assert_int_equal(get_le32(b.data + 96), 24);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), ERR_TOO_LARGE);
    buf_free(&b);
    assert_int_equal(buf_append_format(&b, "%s-%d", "a", 5), ERR_OK);
    assert_true(slice_equal(buf_slice(&b), slice_text("a-5")));
    buf_free(&b);
}

static void test_cursor_never_reads_past_the_end(void **state)
{
    (void)state;
    uint8_t raw[15];
    for (size_t i = 0; i < sizeof(raw); i++)
        raw[i] = (uint8_t)(i + 1);
    struct cursor c = cursor_over(slice_of(raw, sizeof(raw)));
    uint8_t a;
    uint16_t b;
    uint32_t d;
    uint64_t f;
    assert_int_equal(cursor_u8(&c, &a), ERR_OK);
    assert_int_equal(cursor_le16(&c, &b), ERR_OK);
    assert_int_equal(cursor_le32(&c, &d), ERR_OK);
    assert_int_equal(a, 1);
    assert_int_equal(b, 0x0302);
    assert_int_equal(d, 0x07060504);
    assert_int_equal(cursor_end(&c), ERR_FORMAT);
    assert_int_equal(cursor_le64(&c, &f), ERR_OK);
    assert_int_equal(cursor_end(&c), ERR_OK);
    size_t at = c.at;
    struct slice s;
    assert_int_equal(cursor_take(&c, 1, &s), ERR_FORMAT);
    assert_int_equal(cursor_take(&c, SIZE_MAX, &s), ERR_FORMAT);
    assert_int_equal(c.at, at);
}

static void test_id_text_catches_every_single_typo(void **state)
{
    (void)state;
    struct id id, back;
    for (size_t i = 0; i < ID_SIZE; i++)
        id.bytes[i] = (uint8_t)(i * 37 + 5);
    char text[ID_TEXT_SIZE];
    assert_int_equal(strlen(id_format(&id, text)), ID_TEXT_LENGTH);
    assert_int_equal(id_parse(text, ID_TEXT_LENGTH, &back), ERR_OK);
    assert_true(id_equal(&id, &back));
    assert_int_equal(id_parse(text, ID_TEXT_LENGTH - 1, &back), ERR_FORMAT);
    for (size_t at = 0; at < ID_TEXT_LENGTH; at++) {
        for (const char *c = "abcdefghijklmnopqrstuvwxyz234567-"; *c; c++) {
            char typo[ID_TEXT_SIZE];
            memcpy(typo, text, sizeof(typo));
            if (typo[at] == *c)
                continue;
            typo[at] = *c;
            assert_int_equal(id_parse(typo, ID_TEXT_LENGTH, &back), ERR_FORMAT);
        }
    }
}

static void test_idmap_agrees_with_a_plain_array(void **state)
{
    (void)state;
    enum { KEYS = 500 };
    unsigned seed = 12345;
    const char *given = getenv("TEST_SEED");
    if (given)
        seed = (unsigned)strtoul(given, NULL, 0);
    printf("seed %u\n", seed);
    srand(seed);
    static int values[KEYS];
    bool there[KEYS] = {false};
    struct id keys[KEYS];
    memset(keys, 0, sizeof(keys));
    for (size_t i = 0; i < KEYS; i++) {
        keys[i].bytes[0] = (uint8_t)(i % 16); /* many collisions */
        put_le32(keys[i].bytes + 20, (uint32_t)i);
    }
    struct idmap map = IDMAP_INIT;
    for (int step = 0; step < 20000; step++) {
        size_t i = (size_t)rand() % KEYS;
        if (rand() % 2) {
            assert_int_equal(idmap_set(&map, &keys[i], &values[i]), ERR_OK);
            there[i] = true;
        } else {
            void *value = idmap_remove(&map, &keys[i]);
            assert_true(there[i] ? value == &values[i] : value == NULL);
            there[i] = false;
        }
    }
    size_t count = 0;
    for (size_t i = 0; i < KEYS; i++) {
        count += there[i];
        assert_ptr_equal(idmap_get(&map, &keys[i]), there[i] ? &values[i] : NULL);
    }
    assert_int_equal(map.count, count);
    size_t at = 0, seen = 0;
    while (idmap_next(&map, &at, NULL))
        seen++;
    assert_int_equal(seen, count);
    idmap_free(&map);
}

static void test_text_base32_and_hex_refuse_what_they_would_not_write(void **state)
{
    (void)state;
    uint8_t out[8];
    size_t size;
    char text[32];
    text_base32(slice_text("foobar"), text);
    assert_string_equal(text, "mzxw6ytboi");
    assert_int_equal(text_from_base32("MZXW6ytboi", 10, out, 8, &size), ERR_OK);
    assert_true(slice_equal(slice_of(out, size), slice_text("foobar")));
    assert_int_equal(text_from_base32("mzxw6ytbo", 9, out, 8, &size), ERR_FORMAT);
    assert_int_equal(text_from_base32("mzxw6ytb1i", 10, out, 8, &size), ERR_FORMAT);
    assert_int_equal(text_from_base32("mzxw6ytboj", 10, out, 8, &size), ERR_FORMAT);
    assert_int_equal(text_from_base32("mzxw6ytboi", 10, out, 5, &size), ERR_TOO_LARGE);
    text_hex(slice_text("\x01\xfe"), text);
    assert_string_equal(text, "01fe");
    assert_int_equal(text_from_hex("01Fe", 4, out, 8, &size), ERR_OK);
    assert_int_equal(out[1], 0xfe);
    assert_int_equal(text_from_hex("01f", 3, out, 8, &size), ERR_FORMAT);
    assert_int_equal(text_from_hex("0g", 2, out, 8, &size), ERR_FORMAT);
}

/* One of a thing is not called by its plural. */
static void test_counts_are_said_as_people_say_them(void **state)
{
    char a[TEXT_COUNT_SIZE], b[TEXT_COUNT_SIZE];
    (void)state;
    assert_string_equal(text_count(1, "file", a), "1 file");
    assert_string_equal(text_count(0, "file", a), "0 files");
    assert_string_equal(text_count(UINT64_MAX, "file", b), "18446744073709551615 files");
    assert_string_equal(TEXT_COUNT(2, "other device"), "2 other devices");
}

static void test_text_sizes_and_durations(void **state)
{
    (void)state;
    uint64_t v;
    char text[TEXT_DURATION_SIZE];
    assert_int_equal(text_parse_size("500G", &v), ERR_OK);
    assert_int_equal(v, 500ULL << 30);
    assert_int_equal(text_parse_size("1.5KiB", &v), ERR_OK);
    assert_int_equal(v, 1536);
    for (const char *const *bad =
             (const char *const[]){"", "G", "-1", "1.", "1X", "5GG", "1e9", NULL};
         *bad; bad++)
        assert_int_equal(text_parse_size(*bad, &v), ERR_FORMAT);
    assert_int_equal(text_parse_duration_ms("30d", &v), ERR_OK);
    assert_int_equal(v, 30ULL * 86400 * 1000);
    assert_int_equal(text_parse_duration_ms("500ms", &v), ERR_OK);
    assert_int_equal(v, 500);
    assert_int_equal(text_parse_duration_ms("soon", &v), ERR_FORMAT);
    assert_string_equal(text_size(1610612736, text), "1.50 GiB");
    assert_string_equal(text_size(1023, text), "1.00 KiB");
    assert_string_equal(text_size(17, text), "17 B");
    assert_string_equal(text_duration(3 * 3600 + 121, text), "3:02:01");
    assert_string_equal(text_duration(30 * 86400, text), "30 days");
    assert_string_equal(text_duration(48 * 3600 + 5 * 3600 + 59, text), "2 days 5 h");
    assert_string_equal(text_duration(48 * 3600 - 1, text), "47:59:59");
    assert_int_equal(text_parse_u64("18446744073709551615", UINT64_MAX, &v), ERR_OK);
    assert_true(v == UINT64_MAX);
    assert_int_equal(text_parse_u64("18446744073709551616", UINT64_MAX, &v), ERR_FORMAT);
    assert_int_equal(text_parse_u64("11", 10, &v), ERR_FORMAT);
}

static void test_list_keeps_order(void **state)
{
    (void)state;
    struct list head, nodes[3];
    list_init(&head);
    for (int i = 0; i < 3; i++)
        list_append(&head, &nodes[i]);
    list_remove(&nodes[1]);
    list_remove(&nodes[1]);
    list_prepend(&head, &nodes[1]);
    assert_ptr_equal(list_pop(&head), &nodes[1]);
    assert_ptr_equal(list_pop(&head), &nodes[0]);
    assert_ptr_equal(list_pop(&head), &nodes[2]);
    assert_null(list_pop(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_wrap_reads_like_a_sentence),
        cmocka_unit_test(test_err_wrap_cuts_what_is_too_long),
        cmocka_unit_test(test_buf_stops_at_its_limit),
        cmocka_unit_test(test_buf_trim_keeps_the_bytes_and_may_grow_again),
        cmocka_unit_test(test_cursor_never_reads_past_the_end),
        cmocka_unit_test(test_id_text_catches_every_single_typo),
        cmocka_unit_test(test_idmap_agrees_with_a_plain_array),
        cmocka_unit_test(test_text_base32_and_hex_refuse_what_they_would_not_write),
        cmocka_unit_test(test_counts_are_said_as_people_say_them),
        cmocka_unit_test(test_text_sizes_and_durations),
        cmocka_unit_test(test_list_keeps_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

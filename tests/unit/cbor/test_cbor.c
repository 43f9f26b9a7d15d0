/* cbor/: one accepted encoding for each value; everything else is refused without a read too far.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "cbor/cbor_read.h"
#include "cbor/cbor_utf8.h"
#include "cbor/cbor_write.h"
#include "harness/hostile.h"

#include <stdlib.h>

static struct slice from_hex(const char *hex, uint8_t *out, size_t out_max)
{
    size_t size;
    assert_int_equal(text_from_hex(hex, strlen(hex), out, out_max, &size), ERR_OK);
    return slice_of(out, size);
}

static void skip_any(struct cbor_reader *r)
{
    struct slice item = cbor_read_any(r);
    assert_true(r->e == ERR_OK || item.size == 0);
}

static void expect_bytes(struct buf *b, const char *hex)
{
    char text[4096];
    assert_true(2 * b->size < sizeof(text));
    text_hex(buf_slice(b), text);
    assert_string_equal(text, hex);
    buf_free(b);
}

/* RFC 8949, appendix A, as far as we have the types. */
static void test_cbor_appendix_a(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        const char *hex;
    } numbers[] = {
        {0, "00"},
        {1, "01"},
        {10, "0a"},
        {23, "17"},
        {24, "1818"},
        {100, "1864"},
        {1000, "1903e8"},
        {1000000, "1a000f4240"},
        {1000000000000, "1b000000e8d4a51000"},
        {UINT64_MAX, "1bffffffffffffffff"},
    };
    static const struct {
        int64_t value;
        const char *hex;
    } negatives[] = {{-1, "20"},
                     {-10, "29"},
                     {-100, "3863"},
                     {-1000, "3903e7"},
                     {INT64_MIN, "3b7fffffffffffffff"}};
    uint8_t bytes[64];
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        struct buf b = BUF_INIT(100);
        struct cbor_writer w = cbor_write_into(&b);
        cbor_write_u64(&w, numbers[i].value);
        assert_int_equal(cbor_write_finish(&w), ERR_OK);
        expect_bytes(&b, numbers[i].hex);
        struct cbor_reader r = cbor_read_over(from_hex(numbers[i].hex, bytes, sizeof(bytes)));
        assert_true(cbor_read_u64(&r, UINT64_MAX) == numbers[i].value);
        assert_int_equal(cbor_read_finish(&r, NULL, "n"), ERR_OK);
    }
    for (size_t i = 0; i < ARRAY_COUNT(negatives); i++) {
        struct buf b = BUF_INIT(100);
        struct cbor_writer w = cbor_write_into(&b);
        cbor_write_i64(&w, negatives[i].value);
        assert_int_equal(cbor_write_finish(&w), ERR_OK);
        expect_bytes(&b, negatives[i].hex);
        struct cbor_reader r = cbor_read_over(from_hex(negatives[i].hex, bytes, sizeof(bytes)));
        assert_true(cbor_read_i64(&r) == negatives[i].value);
        assert_int_equal(cbor_read_finish(&r, NULL, "n"), ERR_OK);
    }
}

/* {1: h'0102', 2: [1, [2, 3], -4], 300: "ü", "a": true, "b": null, "aa": false} */
static void test_cbor_writes_canonical(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(100);
    struct cbor_writer w = cbor_write_into(&b);
    cbor_write_map(&w);
    cbor_write_key(&w, 1), cbor_write_bytes(&w, slice_of("\x01\x02", 2));
    cbor_write_key(&w, 2), cbor_write_array(&w);
    cbor_write_u64(&w, 1);
    cbor_write_array(&w);
    cbor_write_u64(&w, 2), cbor_write_i64(&w, 3);
    cbor_write_end(&w);
    cbor_write_i64(&w, -4);
    cbor_write_end(&w);
    cbor_write_key(&w, 300), cbor_write_string(&w, "\xc3\xbc");
    cbor_write_key_text(&w, slice_text("a")), cbor_write_bool(&w, true);
    cbor_write_key_text(&w, slice_text("b")), cbor_write_null(&w);
    cbor_write_key_text(&w, slice_text("aa")), cbor_write_bool(&w, false);
    cbor_write_end(&w);
    assert_int_equal(cbor_write_finish(&w), ERR_OK);
    expect_bytes(&b, "a60142010202830182020323"
                     "19012c62c3bc6161f56162f6626161f4");
}

/* Heads grow when a container turns out long, and what is behind them moves. */
static void test_cbor_long_containers(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 23, 24, 255, 256, 65535, 65536};
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
        struct buf b = BUF_INIT(1 << 20);
        struct cbor_writer w = cbor_write_into(&b);
        cbor_write_array(&w);
        cbor_write_map(&w);
        for (size_t j = 0; j < counts[i]; j++)
            cbor_write_key(&w, j), cbor_write_u64(&w, j % 24);
        cbor_write_end(&w);
        cbor_write_end(&w);
        assert_int_equal(cbor_write_finish(&w), ERR_OK);
        struct cbor_reader r = cbor_read_over(buf_slice(&b));
        assert_int_equal(cbor_read_array(&r, 1), 1);
        cbor_read_map(&r);
        for (size_t j = 0; j < counts[i]; j++) {
            cbor_read_key(&r, j);
            assert_int_equal(cbor_read_u64(&r, UINT64_MAX), j % 24);
        }
        cbor_read_end(&r);
        cbor_read_end(&r);
        assert_int_equal(cbor_read_finish(&r, NULL, "x"), ERR_OK);
        r = cbor_read_over(buf_slice(&b));
        assert_int_equal(cbor_read_any(&r).size, b.size);
        assert_int_equal(cbor_read_finish(&r, NULL, "x"), ERR_OK);
        buf_free(&b);
    }
}

static void test_cbor_refuses_what_is_not_canonical(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",           /* nothing */
        "1817",       /* 23 in two bytes */
        "1900ff",     /* 255 in three */
        "1a0000ffff", /* 65535 in five */
        "1b00000000ffffffff",
        "3817",     /* -24 in two bytes */
        "5800",     /* byte string's length in two bytes */
        "1c",       /* reserved */
        "1f",       /* indefinite integer */
        "5f4101ff", /* indefinite byte string */
        "9f01ff",   /* indefinite array */
        "bf0101ff", /* indefinite map */
        "c001",     /* tag */
        "f7",       /* undefined */
        "f0",       /* another simple value */
        "f820",     /* a simple value in two bytes */
        "f93c00",   /* floats */
        "fa3f800000",
        "fb3ff0000000000000",
        "ff",               /* break */
        "a201010102",       /* a key twice */
        "a202010102",       /* keys out of order */
        "a26161010101",     /* text before integer */
        "a262616101616201", /* longer text first */
        "a1410101",         /* a byte string as key */
        "a12001",           /* a negative key */
        "a1f501",           /* true as key */
        "a101",             /* no value */
        "a1",               /* no pair */
        "8201",             /* an item missing */
        "4201",             /* a byte missing */
        "61ff",             /* not UTF-8 */
        "62c080",           /* overlong */
        "63eda080",         /* surrogate */
        "64f4908080",       /* beyond U+10FFFF */
        "0000",             /* two items */
        "9bffffffffffffffff",
        "bbffffffffffffffff",
        "5bffffffffffffffff",
        "7bffffffffffffffff",
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        uint8_t bytes[64];
        struct cbor_reader r = cbor_read_over(from_hex(bad[i], bytes, sizeof(bytes)));
        skip_any(&r);
        if (cbor_read_finish(&r, NULL, "x") != ERR_FORMAT)
            fail_msg("%s was accepted", bad[i]);
    }
}

static void test_cbor_depth_is_bounded(void **state)
{
    (void)state;
    uint8_t bytes[100000];
    memset(bytes, 0x81, sizeof(bytes));
    struct cbor_reader r = cbor_read_over(slice_of(bytes, sizeof(bytes)));
    skip_any(&r);
    assert_int_equal(r.e, ERR_FORMAT);
    for (size_t depth = 1; depth <= LIMIT_CBOR_DEPTH + 1; depth++) {
        memset(bytes, 0x81, depth);
        bytes[depth] = 0;
        r = cbor_read_over(slice_of(bytes, depth + 1));
        skip_any(&r);
        assert_int_equal(cbor_read_finish(&r, NULL, "x"),
                         depth <= LIMIT_CBOR_DEPTH ? ERR_OK : ERR_FORMAT);
    }
}

struct thing {
    uint64_t a;
    bool has_b;
    struct id b;
    size_t count;
    int64_t items[4];
    char name[8];
};

static enum err read_thing(struct slice bytes, struct thing *out, struct errmsg *msg)
{
    struct cbor_reader r = cbor_read_over(bytes);
    memset(out, 0, sizeof(*out));
    cbor_read_map(&r);
    cbor_read_key(&r, 0), out->a = cbor_read_u64(&r, 1000);
    out->has_b = cbor_read_key_optional(&r, 1);
    if (out->has_b)
        cbor_read_id(&r, &out->b);
    cbor_read_key(&r, 2), out->count = cbor_read_array(&r, 4);
    for (size_t i = 0; i < out->count; i++)
        out->items[i] = cbor_read_i64(&r);
    cbor_read_end(&r);
    cbor_read_key(&r, 3), cbor_read_string(&r, out->name, sizeof(out->name));
    cbor_read_end(&r);
    return cbor_read_finish(&r, msg, "a thing");
}

static void write_thing(const struct thing *in, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0), cbor_write_u64(&w, in->a);
    if (in->has_b)
        cbor_write_key(&w, 1), cbor_write_id(&w, &in->b);
    cbor_write_key(&w, 2), cbor_write_array(&w);
    for (size_t i = 0; i < in->count; i++)
        cbor_write_i64(&w, in->items[i]);
    cbor_write_end(&w);
    cbor_write_key(&w, 3), cbor_write_string(&w, in->name);
    cbor_write_end(&w);
    assert_int_equal(cbor_write_finish(&w), ERR_OK);
}

/* What is accepted gives the same bytes again: so there is no second form. */
static void accepted_is_canonical(void *user, struct slice bytes, const char *how)
{
    struct thing thing;
    struct buf b = BUF_INIT(1000);
    size_t *accepted = user;
    if (read_thing(bytes, &thing, NULL) != ERR_OK)
        return;
    write_thing(&thing, &b);
    if (!slice_equal(buf_slice(&b), bytes))
        fail_msg("another form was accepted: %s", how);
    buf_free(&b);
    (*accepted)++;
}

static void test_cbor_hostile(void **state)
{
    (void)state;
    struct thing thing = {.a = 1000,
                          .has_b = true,
                          .count = 4,
                          .items = {-1, 2, INT64_MIN, 500},
                          .name = "caf\xc3\xa9"};
    struct buf b = BUF_INIT(1000);
    size_t accepted = 0;
    write_thing(&thing, &b);
    hostile_truncations(buf_slice(&b), accepted_is_canonical, &accepted);
    hostile_trailing(buf_slice(&b), accepted_is_canonical, &accepted);
    assert_int_equal(accepted, 0);
    hostile_flips(buf_slice(&b), 0, accepted_is_canonical, &accepted);
    hostile_extremes(buf_slice(&b), 0, accepted_is_canonical, &accepted);
    hostile_mutations(buf_slice(&b), 7, 50000, accepted_is_canonical, &accepted);
    hostile_noise(7, 50000, 60, accepted_is_canonical, &accepted);
    assert_true(accepted > 0); /* a flipped bit of an ID is another ID */
    buf_free(&b);
}

/* Each thing that a field list can be wrong about, and the sentence. */
static void test_cbor_fields(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        enum err e;
    } cases[] = {
        {"a300010280036161", ERR_OK},
        {"a3001903e80280036161", ERR_OK},
        {"a3001903e90280036161", ERR_FORMAT},              /* number above its bound */
        {"a3000102850102030405036161", ERR_TOO_LARGE},     /* five items of four */
        {"a30001028003686162636465666768", ERR_TOO_LARGE}, /* eight letters of seven */
        {"a30001028003626100", ERR_FORMAT},                /* a NUL in a string */
        {"a200010280", ERR_FORMAT},                        /* field 3 missing */
        {"a4000102800361610401", ERR_FORMAT},              /* a field that nobody asked for */
        {"a400010141010280036161", ERR_FORMAT},            /* an ID of one byte */
        {"a300200280036161", ERR_FORMAT},                  /* a negative number */
        {"a3000102a0036161", ERR_FORMAT},                  /* a map for an array */
        {"a300010280034161", ERR_FORMAT},                  /* bytes for text */
        {"83000102", ERR_FORMAT},                          /* an array for the map */
    };
    struct errmsg msg;
    struct thing thing;
    uint8_t bytes[64];
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        enum err e = read_thing(from_hex(cases[i].hex, bytes, sizeof(bytes)), &thing, &msg);
        if (e != cases[i].e)
            fail_msg("%s: %s", cases[i].hex, err_name(e));
    }
    assert_int_equal(read_thing(from_hex("a200010280", bytes, sizeof(bytes)), &thing, &msg),
                     ERR_FORMAT);
    assert_string_equal(msg.text,
                        "a thing is not in the expected format: field 3, near byte 5 of 5");
}

static void test_cbor_text_keys(void **state)
{
    (void)state;
    uint8_t bytes[64];
    struct slice key;
    struct cbor_reader r = cbor_read_over(from_hex("a2616101626161f6", bytes, sizeof(bytes)));
    cbor_read_map(&r);
    assert_true(cbor_read_key_text(&r, &key));
    assert_true(slice_equal(key, slice_text("a")));
    assert_int_equal(cbor_read_u32(&r, 1), 1);
    assert_true(cbor_read_key_text(&r, &key));
    assert_true(slice_equal(key, slice_text("aa")));
    assert_true(cbor_read_null(&r));
    assert_false(cbor_read_key_text(&r, &key));
    cbor_read_end(&r);
    assert_int_equal(cbor_read_finish(&r, NULL, "x"), ERR_OK);
}

/* After an error: zeros, and no loop goes on. */
static void test_cbor_errors_stick(void **state)
{
    (void)state;
    struct id id;
    char text[4] = "abc";
    struct slice key;
    struct cbor_reader r = cbor_read_over(slice_of("\xff", 1));
    memset(&id, 1, sizeof(id));
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    assert_false(cbor_read_key_optional(&r, 1));
    assert_false(cbor_read_key_text(&r, &key));
    assert_true(cbor_read_u64(&r, UINT64_MAX) == 0 && cbor_read_i64(&r) == 0);
    assert_int_equal(cbor_read_array(&r, 100), 0);
    assert_int_equal(cbor_read_bytes(&r, 100).size, 0);
    assert_false(cbor_read_bool(&r));
    cbor_read_id(&r, &id);
    assert_true(id_is_zero(&id));
    cbor_read_string(&r, text, sizeof(text));
    assert_string_equal(text, "");
    cbor_read_refuse(&r, ERR_TOO_LARGE); /* the first one stays */
    cbor_read_end(&r);
    assert_int_equal(cbor_read_finish(&r, NULL, "x"), ERR_FORMAT);
}

static void test_cbor_writer_keeps_its_limit(void **state)
{
    (void)state;
    for (size_t limit = 0; limit < 40; limit++) {
        struct buf b = BUF_INIT(limit);
        struct cbor_writer w = cbor_write_into(&b);
        cbor_write_map(&w);
        cbor_write_key(&w, 1), cbor_write_array(&w);
        for (unsigned i = 0; i < 24; i++)
            cbor_write_u64(&w, i);
        cbor_write_end(&w);
        cbor_write_end(&w);
        assert_int_equal(cbor_write_finish(&w), limit < 28 ? ERR_TOO_LARGE : ERR_OK);
        assert_true(b.size <= limit);
        buf_free(&b);
    }
}

static void test_cbor_utf8(void **state)
{
    (void)state;
    assert_true(cbor_utf8_valid(slice_of("a\0b", 3)));
    assert_true(
        cbor_utf8_valid(slice_text("\xf4\x8f\xbf\xbf\xee\x80\x80\xed\x9f\xbf\xf0\x90\x80\x80")));
    static const char *const bad[] = {"\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xe2\x82",
                                      "\xe2\x82z"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_false(cbor_utf8_valid(slice_text(bad[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cbor_appendix_a),
        cmocka_unit_test(test_cbor_writes_canonical),
        cmocka_unit_test(test_cbor_long_containers),
        cmocka_unit_test(test_cbor_refuses_what_is_not_canonical),
        cmocka_unit_test(test_cbor_depth_is_bounded),
        cmocka_unit_test(test_cbor_hostile),
        cmocka_unit_test(test_cbor_fields),
        cmocka_unit_test(test_cbor_text_keys),
        cmocka_unit_test(test_cbor_errors_stick),
        cmocka_unit_test(test_cbor_writer_keeps_its_limit),
        cmocka_unit_test(test_cbor_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

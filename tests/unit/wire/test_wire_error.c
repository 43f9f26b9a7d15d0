/* Refusals: every error crosses the wire as itself, and what a stranger writes is safe to print. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/wire_error.h"

#include <stdio.h>

static void test_error_of_every_number_comes_back(void **state)
{
    (void)state;
    for (unsigned number = 1; err_known(number); number++) {
        struct buf body = BUF_INIT(4096);
        struct errmsg msg;
        const unsigned status = wire_status((enum err)number);
        assert_true(wire_status_failed(status));
        assert_int_equal(wire_error_encode((enum err)number, "no", slice_of(NULL, 0), &body),
                         ERR_OK);
        assert_int_equal(wire_error_take(status, buf_slice(&body), NULL, &msg), number);
        assert_string_equal(msg.text, "it says: no");
        /* and without a body there is still an error of a sensible class */
        assert_int_not_equal(wire_status_err(status), ERR_OK);
        buf_free(&body);
    }
    assert_int_equal(wire_status(ERR_OK), 200);
    assert_int_equal(wire_status_err(200), ERR_OK);
    assert_int_equal(wire_status_err(201), ERR_OK);
}

static void test_error_by_status_alone(void **state)
{
    (void)state;
    struct errmsg msg;
    const struct slice none = slice_of(NULL, 0);
    assert_int_equal(wire_error_take(404, none, NULL, &msg), ERR_NOT_FOUND);
    assert_int_equal(wire_error_take(429, none, NULL, &msg), ERR_BUSY);
    assert_int_equal(wire_error_take(401, none, NULL, &msg), ERR_DENIED);
    assert_int_equal(wire_error_take(302, none, NULL, &msg), ERR_PEER);
    assert_int_equal(wire_error_take(599, slice_text("<html>"), NULL, &msg), ERR_PEER);
    assert_non_null(strstr(msg.text, "599"));
    /* a caller's mistake must not become "no error" */
    assert_int_equal(wire_error_take(200, none, NULL, &msg), ERR_PEER);
}

static void test_error_brings_the_newer_document(void **state)
{
    (void)state;
    struct buf body = BUF_INIT(4096);
    struct slice document;
    assert_int_equal(wire_error_encode(ERR_STALE, "older", slice_text("newer one"), &body), ERR_OK);
    assert_int_equal(wire_error_take(409, buf_slice(&body), &document, NULL), ERR_STALE);
    assert_true(slice_equal(document, slice_text("newer one")));
    assert_int_equal(wire_error_take(409, slice_text("?"), &document, NULL), ERR_STALE);
    assert_int_equal(document.size, 0);
    buf_free(&body);
}

static void test_error_sentence_is_cut_and_cleaned(void **state)
{
    (void)state;
    struct buf body = BUF_INIT(8192);
    struct wire_error error;
    struct errmsg msg;
    char huge[3 * ERRMSG_SIZE];
    memset(huge, 'x', sizeof(huge));
    for (size_t i = 0; i + 1 < sizeof(huge); i += 2)
        memcpy(huge + i, "\xc3\xa9", 2); /* é: a cut between its two bytes would not be UTF-8 */
    huge[sizeof(huge) - 1] = 0;
    assert_int_equal(wire_error_encode(ERR_IO, huge, slice_of(NULL, 0), &body), ERR_OK);
    assert_int_equal(wire_error_decode(buf_slice(&body), &error), ERR_OK);
    assert_int_equal(error.sentence.size, WIRE_SENTENCE_BYTES - WIRE_SENTENCE_BYTES % 2);
    buf_clear(&body);
    assert_int_equal(wire_error_encode(ERR_IO, "file \xff\x80", slice_of(NULL, 0), &body), ERR_OK);
    assert_int_equal(wire_error_take(500, buf_slice(&body), NULL, &msg), ERR_IO);
    assert_string_equal(msg.text, "it says: file ??");
    buf_clear(&body);
    assert_int_equal(wire_error_encode(ERR_IO, "a\033[2Jb\n", slice_of(NULL, 0), &body), ERR_OK);
    assert_int_equal(wire_error_take(500, buf_slice(&body), NULL, &msg), ERR_IO);
    assert_string_equal(msg.text, "it says: a?[2Jb?");
    buf_free(&body);
}

static void test_error_of_a_newer_peer_is_still_an_error(void **state)
{
    (void)state;
    /* {0: 999, 1: "x"} and {0: 0, 1: "x"} */
    static const uint8_t unknown[] = {0xa2, 0x00, 0x19, 0x03, 0xe7, 0x01, 0x61, 0x78};
    static const uint8_t zero[] = {0xa2, 0x00, 0x00, 0x01, 0x61, 0x78};
    struct errmsg msg;
    assert_int_equal(wire_error_take(500, slice_of(unknown, sizeof(unknown)), NULL, &msg),
                     ERR_PEER);
    assert_int_equal(wire_error_take(500, slice_of(zero, sizeof(zero)), NULL, &msg), ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_of_every_number_comes_back),
        cmocka_unit_test(test_error_by_status_alone),
        cmocka_unit_test(test_error_brings_the_newer_document),
        cmocka_unit_test(test_error_sentence_is_cut_and_cleaned),
        cmocka_unit_test(test_error_of_a_newer_peer_is_still_an_error),
    };
    return cmocka_run_group_tests_name("wire errors", tests, NULL, NULL);
}

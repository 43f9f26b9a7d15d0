/*
 * Every message of both protocols: one encoding each, the one that docs/protocol.md shows; hostile
 * bytes are refused or are that one encoding of something else, and never crash.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire_examples.h"

#include "base/text.h"
#include "wire/wire_cell.h"
#include "wire/wire_coordinator.h"
#include "wire/wire_directory.h"
#include "wire/wire_heads.h"
#include "wire/wire_hello.h"
#include "wire/wire_shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct buf example(const struct wire_example *one)
{
    struct buf out = BUF_INIT(LIMIT_MESSAGE_BYTES);
    assert_int_equal(one->build(&out), ERR_OK);
    return out;
}

/* In memory of exactly its size, so that a sanitizer sees the first byte read behind it. When it is
   accepted, the same bytes must come out. */
static enum err try_bytes(const struct wire_example *one, const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    struct buf out = BUF_INIT(LIMIT_MESSAGE_BYTES);
    assert_non_null(copy);
    memcpy(copy, data, size);
    const enum err e = one->again(slice_of(copy, size), &out);
    if (e == ERR_OK && !slice_equal(buf_slice(&out), slice_of(copy, size)))
        fail_msg("%s: two encodings of one message are accepted", one->name);
    buf_free(&out);
    free(copy);
    return e;
}

static void test_messages_are_the_ones_of_the_page(void **state)
{
    (void)state;
    FILE *file = fopen(PROTOCOL_PAGE, "rb");
    assert_non_null(file);
    static char page[1 << 20];
    page[fread(page, 1, sizeof(page) - 1, file)] = 0;
    fclose(file);
    for (size_t i = 0; i < wire_example_count; i++) {
        struct buf bytes = example(&wire_examples[i]);
        char hex[4096], line[4200];
        assert_true(bytes.size * 2 < sizeof(hex));
        text_hex(buf_slice(&bytes), hex);
        snprintf(line, sizeof(line), "%s: %s\n", wire_examples[i].name, hex);
        if (!strstr(page, line))
            fail_msg("docs/protocol.md does not show  %s", line);
        buf_free(&bytes);
    }
}

static void test_messages_come_back_as_they_were(void **state)
{
    (void)state;
    for (size_t i = 0; i < wire_example_count; i++) {
        struct buf bytes = example(&wire_examples[i]);
        if (try_bytes(&wire_examples[i], bytes.data, bytes.size) != ERR_OK)
            fail_msg("%s is refused", wire_examples[i].name);
        buf_free(&bytes);
    }
}

static void test_messages_cut_short_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < wire_example_count; i++) {
        struct buf bytes = example(&wire_examples[i]);
        for (size_t size = 0; size < bytes.size; size++)
            if (try_bytes(&wire_examples[i], bytes.data, size) == ERR_OK)
                fail_msg("%s is accepted at %zu of %zu bytes", wire_examples[i].name, size,
                         bytes.size);
        assert_int_equal(buf_append_u8(&bytes, 0), ERR_OK);
        assert_int_not_equal(try_bytes(&wire_examples[i], bytes.data, bytes.size), ERR_OK);
        buf_free(&bytes);
    }
}

static void test_messages_with_a_changed_byte_have_one_encoding(void **state)
{
    (void)state;
    for (size_t i = 0; i < wire_example_count; i++) {
        struct buf bytes = example(&wire_examples[i]);
        size_t accepted = 0;
        for (size_t at = 0; at < bytes.size; at++) {
            const uint8_t was = bytes.data[at];
            for (unsigned value = 0; value < 256; value++) {
                bytes.data[at] = (uint8_t)value;
                accepted += try_bytes(&wire_examples[i], bytes.data, bytes.size) == ERR_OK;
            }
            bytes.data[at] = was;
        }
        assert_true(accepted >= bytes.size); /* the unchanged ones at least */
        buf_free(&bytes);
    }
}

static void test_messages_of_noise_do_no_harm(void **state)
{
    (void)state;
    const char *given = getenv("CELLAR_TEST_SEED");
    const unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    const int rounds = getenv("CELLAR_TEST_FULL") ? 200000 : 5000;
    print_message("seed %u\n", seed);
    srandom(seed);
    for (size_t i = 0; i < wire_example_count; i++) {
        struct buf bytes = example(&wire_examples[i]);
        for (int round = 0; round < rounds; round++) {
            uint8_t noisy[512];
            size_t size = bytes.size < sizeof(noisy) ? bytes.size : sizeof(noisy);
            memcpy(noisy, bytes.data, size);
            for (int change = 0; change < 4; change++)
                noisy[(size_t)random() % size] = (uint8_t)random();
            (void)try_bytes(&wire_examples[i], noisy, size);
        }
        buf_free(&bytes);
    }
}

/* One message is never taken for another one of a different shape. */
static void test_messages_of_another_kind_are_refused(void **state)
{
    (void)state;
    size_t refused = 0, tried = 0;
    for (size_t i = 0; i < wire_example_count; i++) {
        struct buf bytes = example(&wire_examples[i]);
        for (size_t j = 0; j < wire_example_count; j++) {
            if (i == j)
                continue;
            tried++;
            refused += try_bytes(&wire_examples[j], bytes.data, bytes.size) != ERR_OK;
        }
        buf_free(&bytes);
    }
    assert_true(refused * 10 > tried * 9);
}

/* ---- what the table above does not reach ---- */

static void test_hello_and_join_know_their_kinds_only(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1024);
    struct wire_hello hello = {.kind = (enum wire_peer_kind)0, .document = slice_text("x")};
    struct wire_join join = {
        .kind = (enum wire_join_kind)3, .invite = slice_text("x"), .document = slice_text("x")};
    assert_int_equal(wire_hello_encode(&hello, &b), ERR_OK);
    assert_int_equal(wire_hello_decode(buf_slice(&b), &hello), ERR_FORMAT);
    buf_clear(&b);
    hello.kind = (enum wire_peer_kind)5;
    assert_int_equal(wire_hello_encode(&hello, &b), ERR_OK);
    assert_int_equal(wire_hello_decode(buf_slice(&b), &hello), ERR_FORMAT);
    buf_clear(&b);
    assert_int_equal(wire_join_encode(&join, &b), ERR_OK);
    assert_int_equal(wire_join_decode(buf_slice(&b), &join), ERR_FORMAT);
    buf_free(&b);
}

static void test_prelude_size_has_bounds(void **state)
{
    (void)state;
    uint8_t head[WIRE_SHARD_HEAD_SIZE];
    uint32_t size;
    put_le32(head, 0);
    assert_int_equal(wire_prelude_size(head, &size), ERR_FORMAT);
    put_le32(head, WIRE_PRELUDE_BYTES);
    assert_int_equal(wire_prelude_size(head, &size), ERR_OK);
    put_le32(head, WIRE_PRELUDE_BYTES + 1);
    assert_int_equal(wire_prelude_size(head, &size), ERR_TOO_LARGE);
    put_le32(head, UINT32_MAX);
    assert_int_equal(wire_prelude_size(head, &size), ERR_TOO_LARGE);
}

static void test_leaf_path_is_whole_hashes(void **state)
{
    (void)state;
    uint8_t hashes[96] = {1};
    struct buf b = BUF_INIT(4096);
    uint32_t size;
    assert_int_equal(wire_leaf_path_encode(slice_of(hashes, 96), &b), ERR_OK);
    assert_int_equal(b.size, WIRE_SHARD_HEAD_SIZE + 96);
    assert_int_equal(wire_leaf_path_size(b.data, &size), ERR_OK);
    assert_int_equal(size, 96);
    assert_memory_equal(b.data + WIRE_SHARD_HEAD_SIZE, hashes, 96);
    put_le32(b.data, 95);
    assert_int_equal(wire_leaf_path_size(b.data, &size), ERR_FORMAT);
    put_le32(b.data, WIRE_LEAF_PATH_BYTES + 32);
    assert_int_equal(wire_leaf_path_size(b.data, &size), ERR_TOO_LARGE);
    assert_int_equal(wire_leaf_path_encode(slice_of(hashes, 31), &b), ERR_FORMAT);
    buf_free(&b);
}

static void test_segment_indexes_rise_and_are_held_or_damaged(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(4096);
    struct wire_segment out, segment = {.header = slice_text("h"), .record = slice_text("r")};
    segment.held_count = segment.damaged_count = 2;
    segment.held[0] = 1, segment.held[1] = 3;
    segment.damaged[0] = 2, segment.damaged[1] = 3;
    assert_int_equal(wire_segment_encode(&segment, &b), ERR_OK);
    assert_int_equal(wire_segment_decode(buf_slice(&b), &out), ERR_FORMAT);
    buf_clear(&b);
    segment.damaged[1] = 2;
    assert_int_equal(wire_segment_encode(&segment, &b), ERR_OK);
    assert_int_equal(wire_segment_decode(buf_slice(&b), &out), ERR_FORMAT);
    buf_clear(&b);
    segment.damaged[1] = 254;
    assert_int_equal(wire_segment_encode(&segment, &b), ERR_OK);
    assert_int_equal(wire_segment_decode(buf_slice(&b), &out), ERR_OK);
    assert_int_equal(out.damaged[1], 254);
    buf_free(&b);
}

static void test_lists_have_their_limits(void **state)
{
    (void)state;
    struct id *ids = calloc(WIRE_HAVE_IDS + 1, sizeof(*ids));
    struct buf b = BUF_INIT(LIMIT_MESSAGE_BYTES);
    struct wire_list list;
    struct id id;
    assert_non_null(ids);
    assert_int_equal(wire_ids_encode(ids, WIRE_HAVE_IDS, &b), ERR_OK);
    assert_true(b.size <= WIRE_HAVE_BYTES);
    assert_int_equal(wire_ids_decode(buf_slice(&b), WIRE_HAVE_IDS, &list), ERR_OK);
    assert_int_equal(list.count, WIRE_HAVE_IDS);
    size_t walked = 0;
    while (wire_ids_next(&list, &id))
        walked++;
    assert_int_equal(walked, WIRE_HAVE_IDS);
    assert_false(wire_ids_next(&list, &id));
    assert_int_equal(wire_ids_decode(buf_slice(&b), WIRE_FIND_IDS, &list), ERR_TOO_LARGE);
    assert_false(wire_ids_next(&list, &id)); /* a refused message has no items */
    buf_clear(&b);
    assert_int_equal(wire_ids_encode(ids, WIRE_HAVE_IDS + 1, &b), ERR_OK);
    assert_int_equal(wire_ids_decode(buf_slice(&b), WIRE_HAVE_IDS, &list), ERR_TOO_LARGE);
    free(ids);
    buf_free(&b);
}

static void test_a_full_answer_fits_its_limit(void **state)
{
    (void)state;
    struct wire_held *held = calloc(WIRE_HAVE_ANSWERS, sizeof(*held));
    struct wire_shard_name *names = calloc(WIRE_SHARD_NAMES, sizeof(*names));
    struct wire_want wants[WIRE_PLACE_CELLS] = {0};
    assert_non_null(held);
    assert_non_null(names);
    for (size_t i = 0; i < WIRE_HAVE_ANSWERS; i++)
        held[i] = (struct wire_held){WIRE_HAVE_IDS - 1, LIMIT_SHARDS - 1, WIRE_SHARD_DAMAGED};
    for (size_t i = 0; i < WIRE_SHARD_NAMES; i++)
        names[i].index = LIMIT_SHARDS - 1;
    for (size_t i = 0; i < WIRE_PLACE_CELLS; i++)
        wants[i].bytes = UINT64_MAX;
    struct buf b = BUF_INIT(WIRE_HAVE_REPLY_BYTES);
    assert_int_equal(wire_have_reply_encode(held, WIRE_HAVE_ANSWERS, &b), ERR_OK);
    buf_free(&b);
    b = BUF_INIT(WIRE_NAMES_BYTES);
    assert_int_equal(wire_names_encode(names, WIRE_SHARD_NAMES, true, &b), ERR_OK);
    buf_free(&b);
    b = BUF_INIT(WIRE_PLACE_BYTES);
    assert_int_equal(wire_place_encode(UINT64_MAX, wants, WIRE_PLACE_CELLS, &b), ERR_OK);
    buf_free(&b);
    free(held);
    free(names);
}

static void test_registration_has_no_more_receipts_than_shards(void **state)
{
    (void)state;
    const struct slice receipts[3] = {slice_text("a"), slice_text("b"), slice_text("c")};
    struct wire_registration one = {.record = slice_text("r"),
                                    .k = 1,
                                    .m = 1,
                                    .shard_bytes = 4096,
                                    .receipts = receipts,
                                    .receipt_count = 3};
    struct wire_list list;
    struct buf b = BUF_INIT(4096);
    assert_int_equal(wire_register_encode(&one, 1, &b), ERR_OK);
    assert_int_equal(wire_register_decode(buf_slice(&b), &list), ERR_TOO_LARGE);
    buf_clear(&b);
    one.receipt_count = 2, one.k = 0;
    assert_int_equal(wire_register_encode(&one, 1, &b), ERR_OK);
    assert_int_equal(wire_register_decode(buf_slice(&b), &list), ERR_FORMAT);
    buf_clear(&b);
    one.k = 200, one.m = 56; /* 256 shards */
    assert_int_equal(wire_register_encode(&one, 1, &b), ERR_OK);
    assert_int_equal(wire_register_decode(buf_slice(&b), &list), ERR_FORMAT);
    buf_free(&b);
}

static void test_what_may_be_missing_may_be_missing(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(4096);
    struct wire_heads heads;
    struct wire_claim claim;
    struct wire_heartbeat beat;
    struct wire_info info = {.role = WIRE_ROLE_COORDINATOR};
    assert_int_equal(wire_heads_encode(slice_of(NULL, 0), NULL, 0, &b), ERR_OK);
    assert_int_equal(wire_heads_decode(buf_slice(&b), &heads), ERR_OK);
    assert_int_equal(heads.manifest.size, 0);
    assert_int_equal(heads.list.count, 0);
    buf_clear(&b);
    assert_int_equal(wire_claim_encode(&(struct wire_claim){.claim = slice_text("c")}, &b), ERR_OK);
    assert_int_equal(wire_claim_decode(buf_slice(&b), &claim), ERR_OK);
    assert_int_equal(claim.code.size, 0);
    buf_clear(&b);
    assert_int_equal(wire_heartbeat_encode(&(struct wire_heartbeat){.free_bytes = 1}, &b), ERR_OK);
    assert_int_equal(wire_heartbeat_decode(buf_slice(&b), &beat), ERR_OK);
    assert_int_equal(beat.statement.size, 0);
    assert_int_equal(beat.free_bytes, 1);
    buf_clear(&b);
    assert_int_equal(wire_info_encode(&info, &b), ERR_OK);
    assert_int_equal(wire_info_decode(buf_slice(&b), &info), ERR_OK);
    assert_int_equal(info.coordinator.size, 0);
    buf_free(&b);
}

static void test_claim_code_is_text(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(4096);
    struct wire_claim claim = {.claim = slice_text("c"), .code = slice_text("\xff\xfe")};
    assert_int_equal(wire_claim_encode(&claim, &b), ERR_FORMAT);
    assert_int_equal(b.size, 0);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_are_the_ones_of_the_page),
        cmocka_unit_test(test_messages_come_back_as_they_were),
        cmocka_unit_test(test_messages_cut_short_are_refused),
        cmocka_unit_test(test_messages_with_a_changed_byte_have_one_encoding),
        cmocka_unit_test(test_messages_of_noise_do_no_harm),
        cmocka_unit_test(test_messages_of_another_kind_are_refused),
        cmocka_unit_test(test_hello_and_join_know_their_kinds_only),
        cmocka_unit_test(test_prelude_size_has_bounds),
        cmocka_unit_test(test_leaf_path_is_whole_hashes),
        cmocka_unit_test(test_segment_indexes_rise_and_are_held_or_damaged),
        cmocka_unit_test(test_lists_have_their_limits),
        cmocka_unit_test(test_a_full_answer_fits_its_limit),
        cmocka_unit_test(test_registration_has_no_more_receipts_than_shards),
        cmocka_unit_test(test_what_may_be_missing_may_be_missing),
        cmocka_unit_test(test_claim_code_is_text),
    };
    return cmocka_run_group_tests_name("wire messages", tests, NULL, NULL);
}

/* Two sessions back to back in memory: handshake, payload, ends, and hostile bytes. */
#include "tls/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct pair {
    struct tls_context *context[2];
    struct tls_session *session[2];
    struct buf out[2]; /* what side i wants to send */
    struct buf plain[2];
    bool ended[2];
    enum err failed[2];
    struct errmsg msg[2];
};

static void seed_of(uint8_t seed[TLS_SEED_SIZE], uint8_t number)
{
    memset(seed, number, TLS_SEED_SIZE);
}

static void pair_open(struct pair *p, bool wrong_id)
{
    uint8_t seed[TLS_SEED_SIZE], key[TLS_KEY_SIZE];
    struct id id;
    *p = (struct pair){0};
    for (int i = 0; i < 2; i++) {
        p->out[i] = p->plain[i] = BUF_INIT(8 << 20);
        seed_of(seed, (uint8_t)(i + 1));
        assert_int_equal(tls_context_new(seed, &p->context[i], &p->msg[i]), ERR_OK);
    }
    tls_context_identity(p->context[1], &id, key);
    id.bytes[31] ^= wrong_id;
    assert_int_equal(
        tls_session_new(p->context[0], TLS_CLIENT, &id, &p->out[0], &p->session[0], &p->msg[0]),
        ERR_OK);
    assert_int_equal(
        tls_session_new(p->context[1], TLS_SERVER, NULL, &p->out[1], &p->session[1], &p->msg[1]),
        ERR_OK);
}

static void pair_close(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        tls_session_free(p->session[i]);
        buf_free(&p->out[i]);
        buf_free(&p->plain[i]);
    }
    tls_context_free(p->context[0]);
    tls_context_free(p->context[1]);
}

/* Gives `wire` to side `to`. */
static void give(struct pair *p, int to, struct slice wire)
{
    uint8_t scratch[5000];
    struct tls_event event;
    if (p->failed[to] != ERR_OK)
        return;
    tls_session_input(p->session[to], wire);
    do {
        event = (struct tls_event){0};
        enum err e =
            tls_session_step(p->session[to], scratch, sizeof(scratch), &event, &p->msg[to]);
        p->failed[to] = e;
        if (e != ERR_OK)
            return;
        if (event.kind == TLS_PLAIN)
            assert_int_equal(buf_append(&p->plain[to], event.plain.data, event.plain.size), ERR_OK);
        p->ended[to] = event.kind == TLS_ENDED;
    } while (event.kind == TLS_OPENED || event.kind == TLS_PLAIN);
}

/* Carries bytes both ways in pieces of `piece` until nobody has more. */
static void carry(struct pair *p, size_t piece)
{
    while (p->out[0].size + p->out[1].size > 0) {
        for (int from = 0; from < 2; from++) {
            struct buf wire = p->out[from];
            p->out[from] = BUF_INIT(8 << 20);
            for (size_t at = 0; at < wire.size; at += piece) {
                size_t size = wire.size - at < piece ? wire.size - at : piece;
                give(p, 1 - from, slice_of(wire.data + at, size));
            }
            buf_free(&wire);
        }
    }
}

static void test_tls_handshake_in_pieces_of_any_size(void **state)
{
    (void)state;
    const size_t pieces[] = {1, 2, 7, 100, 1 << 20};
    for (size_t i = 0; i < ARRAY_COUNT(pieces); i++) {
        struct pair p;
        struct id id, known;
        uint8_t key[TLS_KEY_SIZE], known_key[TLS_KEY_SIZE];
        pair_open(&p, false);
        carry(&p, pieces[i]);
        for (int side = 0; side < 2; side++) {
            assert_int_equal(p.failed[side], ERR_OK);
            assert_true(tls_session_is_open(p.session[side]));
            tls_session_peer(p.session[side], &id, key);
            tls_context_identity(p.context[1 - side], &known, known_key);
            assert_true(id_equal(&id, &known));
            assert_memory_equal(key, known_key, TLS_KEY_SIZE);
            assert_non_null(strstr(tls_session_suite(p.session[side]), "TLS_"));
        }
        pair_close(&p);
    }
}

static void test_tls_payload_is_gathered_and_comes_out_whole(void **state)
{
    (void)state;
    enum { SIZE = 300000 };
    struct pair p;
    pair_open(&p, false);
    carry(&p, 1000);
    uint8_t *data = malloc(SIZE);
    assert_non_null(data);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 31 + (i >> 8));
    for (size_t at = 0, n = 0; at < SIZE; n++) { /* 9 bytes, then much: as HTTP/2 does */
        size_t size = n % 2 ? 40000 : 9;
        if (size > SIZE - at)
            size = SIZE - at;
        assert_int_equal(tls_session_write(p.session[0], slice_of(data + at, size), NULL), ERR_OK);
        at += size;
    }
    assert_int_equal(tls_session_flush(p.session[0], NULL), ERR_OK);
    /* full records only: header and tag are 22 bytes a record */
    assert_true(p.out[0].size <= SIZE + 22 * (SIZE / TLS_RECORD_BYTES + 1));
    carry(&p, 4321);
    assert_int_equal(p.plain[1].size, SIZE);
    assert_memory_equal(p.plain[1].data, data, SIZE);
    tls_session_end(p.session[0]);
    carry(&p, 100);
    assert_true(p.ended[1]);
    free(data);
    pair_close(&p);
}

static void test_tls_wrong_key_is_refused_before_payload(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, true);
    carry(&p, 1 << 20);
    assert_int_equal(p.failed[0], ERR_WRONG_PEER);
    assert_false(tls_session_is_open(p.session[0]));
    assert_int_not_equal(p.failed[1], ERR_OK);
    assert_int_equal(p.plain[1].size, 0);
    pair_close(&p);
}

static void test_tls_key_id_is_the_hash_of_the_spki(void **state)
{
    (void)state;
    /* SHA-256 of 302a300506032b6570032100 and 32 zero bytes, by sha256sum */
    uint8_t key[TLS_KEY_SIZE] = {0};
    struct id id;
    tls_key_id(key, &id);
    const uint8_t begin[] = {0x72, 0x2a, 0xbd, 0x12, 0xe9, 0x9a, 0x53, 0x67};
    assert_memory_equal(id.bytes, begin, sizeof(begin));
}

/* Records what a whole good run sends in each direction. */
static void record(struct buf sent[2])
{
    struct pair p;
    pair_open(&p, false);
    for (int i = 0; i < 2; i++)
        sent[i] = BUF_INIT(1 << 20);
    for (int turn = 0; turn < 4; turn++)
        for (int from = 0; from < 2; from++) {
            struct buf wire = p.out[from];
            p.out[from] = BUF_INIT(8 << 20);
            assert_int_equal(buf_append(&sent[from], wire.data, wire.size), ERR_OK);
            give(&p, 1 - from, buf_slice(&wire));
            buf_free(&wire);
        }
    assert_true(tls_session_is_open(p.session[1]));
    pair_close(&p);
}

/* A changed handshake never opens a session on the changed side, and never crashes. */
static void test_tls_changed_and_cut_handshakes_open_nothing(void **state)
{
    (void)state;
    const bool full = getenv("CELLAR_TEST_FULL") != NULL;
    struct buf sent[2];
    record(sent);
    for (size_t at = 0; at < sent[0].size; at += full ? 1 : 5) {
        struct pair p;
        pair_open(&p, false);
        if (at < p.out[0].size) {
            p.out[0].data[at] ^= (uint8_t)(1u << (at % 8));
            carry(&p, 1 << 20);
            assert_false(tls_session_is_open(p.session[0]) && tls_session_is_open(p.session[1]));
        } else { /* the client's second flight, of another session: nothing of it fits */
            give(&p, 1, slice_of(sent[0].data, at));
            assert_false(tls_session_is_open(p.session[1]));
        }
        pair_close(&p);
    }
    for (size_t at = 0; at < sent[1].size; at += full ? 1 : 5) { /* the server's bytes */
        struct pair p;
        pair_open(&p, false);
        struct buf hello = p.out[0];
        p.out[0] = BUF_INIT(8 << 20);
        give(&p, 1, buf_slice(&hello));
        buf_free(&hello);
        if (at < p.out[1].size)
            p.out[1].data[at] ^= (uint8_t)(1u << (at % 8));
        else
            p.out[1].size = at % (p.out[1].size + 1);
        carry(&p, 1 << 20);
        assert_false(tls_session_is_open(p.session[0]) && tls_session_is_open(p.session[1]));
        pair_close(&p);
    }
    buf_free(&sent[0]);
    buf_free(&sent[1]);
}

static void test_tls_random_bytes_are_refused(void **state)
{
    (void)state;
    uint32_t seed = 12345;
    print_message("seed %u\n", seed);
    for (int round = 0; round < 300; round++) {
        struct pair p;
        uint8_t bytes[400];
        pair_open(&p, false);
        for (size_t i = 0; i < sizeof(bytes); i++) {
            seed = seed * 1664525u + 1013904223u;
            bytes[i] = (uint8_t)(seed >> 24);
        }
        if (round % 2) { /* looks like a handshake record */
            bytes[0] = 22;
            bytes[1] = 3;
            bytes[2] = 3;
            bytes[3] = 1;
        }
        for (int side = 0; side < 2; side++) {
            give(&p, side, slice_of(bytes, sizeof(bytes)));
            assert_false(tls_session_is_open(p.session[side]));
        }
        pair_close(&p);
    }
}

static void test_tls_changed_payload_is_refused(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, false);
    carry(&p, 1 << 20);
    assert_int_equal(tls_session_write(p.session[0], slice_of("payload", 7), NULL), ERR_OK);
    assert_int_equal(tls_session_flush(p.session[0], NULL), ERR_OK);
    p.out[0].data[p.out[0].size - 1] ^= 1;
    carry(&p, 1 << 20);
    assert_int_equal(p.failed[1], ERR_AUTH);
    assert_int_equal(p.plain[1].size, 0);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls_handshake_in_pieces_of_any_size),
        cmocka_unit_test(test_tls_payload_is_gathered_and_comes_out_whole),
        cmocka_unit_test(test_tls_wrong_key_is_refused_before_payload),
        cmocka_unit_test(test_tls_key_id_is_the_hash_of_the_spki),
        cmocka_unit_test(test_tls_changed_and_cut_handshakes_open_nothing),
        cmocka_unit_test(test_tls_random_bytes_are_refused),
        cmocka_unit_test(test_tls_changed_payload_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

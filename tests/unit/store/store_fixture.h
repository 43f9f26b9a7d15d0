/* What the store's tests share: a simulated node, an open store, and made-up segments. */
#pragma once

#include "crypto/crypto.h"
#include "crypto/sha256.h"
#include "harness/sim_disk.h"
#include "harness/sim_vfs.h"
#include "segment/segment_header.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define GIVE_BYTES MIB(64)
#define NOW_S      1772323200

struct shard {
    struct id segment;
    unsigned index;
    uint8_t header[SEGMENT_HEADER_SIZE_MAX];
    size_t header_bytes;
    uint8_t *payload; /* owned */
    uint32_t bytes;
};

struct fixture {
    struct sim_world *world;
    struct sim_node *node;
    struct store *store;
    struct errmsg msg;
};

static inline struct store_options fixture_options(struct fixture *f, bool first_start)
{
    return (struct store_options){
        .disk = &f->node->disk,
        .random = &f->node->random,
        .catalogue_path = STORE_CATALOGUE_NAME,
        .vfs = f->node->vfs,
        .cell = f->node->id,
        .first_start = first_start,
        .give_bytes = GIVE_BYTES,
        .reserve_bytes = 4096,
    };
}

static inline enum err fixture_open(struct fixture *f, bool first_start)
{
    const struct store_options options = fixture_options(f, first_start);
    return store_open(&options, &f->store, &f->msg);
}

static inline struct fixture *fixture_new(uint64_t seed)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_int_equal(crypto_init(NULL), ERR_OK);
    f->world = sim_world_new(seed);
    f->node = sim_node_new(f->world, &(struct sim_identity){.name = "cell"});
    assert_int_equal(fixture_open(f, true), ERR_OK);
    return f;
}

static inline int fixture_setup(void **state)
{
    *state = fixture_new(1);
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    sim_world_free(f->world);
    free(f);
    return 0;
}

/* A 2+1 segment of which shard `index` exists: its payload comes from `seed`. */
static inline struct shard shard_make(uint64_t seed, unsigned index, uint32_t bytes)
{
    struct shard s = {.index = index, .bytes = bytes, .payload = malloc(bytes)};
    struct segment_header header = {.suite = 1, .k = 2, .m = 1, .shard_bytes = bytes};
    struct merkle_hash leaves[64];
    struct sha256 *hash;
    assert_int_equal(sha256_new(&hash), ERR_OK);
    for (uint32_t i = 0; i < bytes; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        s.payload[i] = (uint8_t)(seed >> 56);
    }
    put_le64(header.salt, seed);
    for (uint32_t i = 0; i < segment_leaf_count(bytes); i++)
        sha256_leaf(
            hash, slice_of(s.payload + (size_t)i * LIMIT_LEAF_BYTES, segment_leaf_bytes(bytes, i)),
            leaves[i].bytes);
    merkle_root(hash, leaves, segment_leaf_count(bytes), &header.roots[index]);
    sha256_free(hash);
    header.account.bytes[0] = 7;
    s.header_bytes = segment_header_size(2, 1);
    segment_header_encode(&header, s.header);
    segment_header_id(slice_of(s.header, s.header_bytes), &s.segment);
    return s;
}

static inline struct store_admission shard_admission(const struct shard *s)
{
    struct store_admission a = {
        .segment = s->segment,
        .index = s->index,
        .header = slice_of(s->header, s->header_bytes),
        .record = slice_text("a signed record"),
        .grant = {1},
        .grant_bytes = MIB(1000),
        .grant_expires_s = NOW_S + 1000,
        .now_s = NOW_S,
    };
    return a;
}

/* begin, write, seal; *out is NULL when one of them fails. */
static inline enum err shard_seal(struct fixture *f, const struct shard *s, struct store_put **out)
{
    const struct store_admission a = shard_admission(s);
    enum err e = store_put_begin(f->store, &a, out, &f->msg);
    for (uint32_t at = 0; e == ERR_OK && at < s->bytes;) {
        const uint32_t left = s->bytes - at;
        const uint32_t size = left < 50001 ? left : 50001;
        e = store_put_write(*out, slice_of(s->payload + at, size), &f->msg);
        at += size;
    }
    if (e == ERR_OK)
        e = store_put_seal(*out, &f->msg);
    if (e != ERR_OK) {
        store_put_abort(f->store, *out);
        *out = NULL;
    }
    return e;
}

static inline enum err shard_store(struct fixture *f, const struct shard *s)
{
    struct store_put *put;
    enum err e = shard_seal(f, s, &put);
    if (e == ERR_OK)
        store_put_commit(f->store, &put, 1, &e, &f->msg);
    return e;
}

/* Is it here, and exactly what was stored? */
static inline bool shard_is_whole(struct fixture *f, const struct shard *s)
{
    struct store_file *file;
    if (store_file_open(f->store, &s->segment, s->index, &file, &f->msg) != ERR_OK)
        return false;
    uint8_t *got = malloc(s->bytes);
    const bool same = store_file_bytes(file) == s->bytes &&
                      store_file_read(file, 0, got, s->bytes, &f->msg) == ERR_OK &&
                      memcmp(got, s->payload, s->bytes) == 0 &&
                      slice_equal(store_file_header(file), slice_of(s->header, s->header_bytes)) &&
                      slice_equal(store_file_record(file), slice_text("a signed record"));
    free(got);
    store_file_close(file);
    return same;
}

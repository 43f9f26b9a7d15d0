/* What the tests of this room share: a vault's index in a folder of its own, IDs and segments. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "db/db.h"
#include "index/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct fixture {
    char dir[64], path[96];
    struct index *index;
};

#define OK(call)                                    \
    do {                                            \
        struct errmsg *msg = &(struct errmsg){{0}}; \
        enum err ok_e = (call);                     \
        if (ok_e != ERR_OK)                         \
            fail_msg("%s: %s", #call, msg->text);   \
    } while (0)

/* An error with a sentence. */
#define FAILS(expected, call)                       \
    do {                                            \
        struct errmsg *msg = &(struct errmsg){{0}}; \
        assert_int_equal((call), (expected));       \
        assert_true(strlen(msg->text) > 10);        \
    } while (0)

static inline void fixture_open(struct fixture *f, bool create)
{
    const struct index_options options = {.path = f->path, .create = create};
    OK(index_open(&options, &f->index, msg));
}

static inline void fixture_reopen(struct fixture *f)
{
    index_close(f->index);
    fixture_open(f, false);
}

static inline int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/cellar-index-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof(f->path), "%s/%s", f->dir, INDEX_FILE);
    fixture_open(f, true);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    struct fixture *f = *state;
    index_close(f->index);
    for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
        char path[160];
        (void)snprintf(path, sizeof(path), "%s%s", f->path, ends[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(f->dir), 0);
    free(f);
    return 0;
}

#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

/* Well mixed, the same for the same numbers; kind: 'c'ell, 's'egment, 'k' chunk, ... */
static inline struct id make_id(char kind, uint64_t number)
{
    struct id id;
    uint64_t state = ((uint64_t)(uint8_t)kind << 56) + number;
    for (size_t i = 0; i < ID_SIZE; i += 8) {
        uint64_t z = (state += 0x9e3779b97f4a7c15U);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
        put_le64(id.bytes + i, z ^ (z >> 31));
        state = z;
    }
    return id;
}

/* k+m segment number `number` with shard i STORED on cell i. */
static inline uint64_t add_segment(struct fixture *f, uint64_t number, unsigned k, unsigned m,
                                   enum index_segment_state state)
{
    struct index_shard shards[LIMIT_SHARDS];
    for (unsigned i = 0; i < k + m; i++)
        shards[i] = (struct index_shard){make_id('c', i), INDEX_SHARD_STORED};
    struct index_segment segment = {.id = make_id('s', number),
                                    .kind = INDEX_DATA,
                                    .state = INDEX_BUILDING,
                                    .k = k,
                                    .m = m,
                                    .shard_bytes = 65536,
                                    .plain_bytes = 1000,
                                    .sealed_bytes = 900,
                                    .chunk_count = 3,
                                    .created_s = 1700000000};
    OK(index_segment_add(f->index, &segment, slice_text("header"), slice_text("record"), shards,
                         msg));
    assert_int_equal(segment.debt_count, 0);
    if (state != INDEX_BUILDING)
        OK(index_segment_set_state(f->index, segment.number, state, msg));
    return segment.number;
}

enum { INDEX_TEST_SCHEMA = 3 }; /* the version that the room writes */

/* Runs SQL on the file behind the room's back, as damage or another program would. The index is
   closed then, and must be opened again. */
static inline void damage_closed(struct fixture *f, const char *sql)
{
    static const char *const nothing[INDEX_TEST_SCHEMA] = {NULL}; /* none is to be applied */
    const struct db_options options = {.path = f->path,
                                       .what = "the damaged index",
                                       .application_id = 0x43697831,
                                       .migrations = nothing,
                                       .migration_count = INDEX_TEST_SCHEMA};
    struct db *db;
    index_close(f->index);
    f->index = NULL;
    OK(db_open(&options, &db, msg));
    OK(db_exec(db, sql, msg));
    assert_true(db_changes(db) > 0);
    db_close(db);
}

static inline void damage(struct fixture *f, const char *sql)
{
    damage_closed(f, sql);
    fixture_open(f, false);
}

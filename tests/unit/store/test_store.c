/* The store: what is taken, what is refused and why, what can be read, found and scrubbed. */
#include "store_fixture.h"

static void test_store_gives_back_what_it_took(void **state)
{
    struct fixture *f = *state;
    const uint32_t sizes[] = {4096, 65536, 69632, 1 << 20};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct shard s = shard_make(i + 1, (unsigned)(i % 3), sizes[i]);
        assert_int_equal(shard_store(f, &s), ERR_OK);
        assert_true(shard_is_whole(f, &s));
        free(s.payload);
    }
    struct store_usage usage;
    assert_int_equal(store_usage(f->store, &usage, NULL), ERR_OK);
    assert_int_equal(usage.shard_count, ARRAY_COUNT(sizes));
    assert_int_equal(usage.reserved_bytes, 0);
    assert_true(usage.used_bytes >= 4096 + 65536 + 69632 + (1 << 20));
}

/* A name that is not the hash of the header, an index that does not exist, bytes that are not the
   named ones, too many, too few: nothing of it is stored and nothing stays on the disk. */
static void test_store_refuses_what_does_not_match_its_name(void **state)
{
    struct fixture *f = *state;
    struct shard s = shard_make(1, 0, 8192);
    struct store_put *put;
    struct store_admission a = shard_admission(&s);
    a.segment.bytes[3] ^= 1;
    assert_int_equal(store_put_begin(f->store, &a, &put, &f->msg), ERR_CORRUPT);
    a = shard_admission(&s);
    a.index = 3;
    assert_int_equal(store_put_begin(f->store, &a, &put, &f->msg), ERR_CORRUPT);
    s.payload[8191] ^= 1;
    assert_int_equal(shard_store(f, &s), ERR_CORRUPT);
    s.payload[8191] ^= 1;
    s.bytes = 8191;
    assert_int_equal(shard_store(f, &s), ERR_FORMAT);
    a = shard_admission(&s);
    assert_int_equal(store_put_begin(f->store, &a, &put, &f->msg), ERR_OK);
    uint8_t many[8193] = {0};
    assert_int_equal(store_put_write(put, slice_of(many, sizeof(many)), &f->msg), ERR_TOO_LARGE);
    store_put_abort(f->store, put);
    struct store_usage usage;
    assert_int_equal(store_usage(f->store, &usage, NULL), ERR_OK);
    assert_int_equal(usage.shard_count + usage.used_bytes + usage.reserved_bytes, 0);
    free(s.payload);
}

static void test_store_knows_a_shard_that_is_here_or_on_its_way(void **state)
{
    struct fixture *f = *state;
    struct shard s = shard_make(1, 0, 4096);
    struct store_put *put, *other;
    const struct store_admission a = shard_admission(&s);
    assert_int_equal(shard_seal(f, &s, &put), ERR_OK);
    assert_int_equal(store_put_begin(f->store, &a, &other, &f->msg), ERR_BUSY);
    assert_null(other);
    enum err e;
    store_put_commit(f->store, &put, 1, &e, &f->msg);
    assert_int_equal(e, ERR_OK);
    assert_int_equal(store_put_begin(f->store, &a, &other, &f->msg), ERR_EXISTS);
    free(s.payload);
}

/* A receipt comes of "it is here already", so it is looked at: a copy that has rotted since is not
   here (found by cellsim, seed 1: a repair came back to a cell whose old copy was bad). */
static void test_store_looks_before_it_says_that_a_shard_is_here(void **state)
{
    struct fixture *f = *state;
    struct shard s = shard_make(1, 0, 4096);
    char name[ID_TEXT_SIZE], path[128];
    assert_int_equal(shard_store(f, &s), ERR_OK);
    assert_int_equal(shard_store(f, &s), ERR_EXISTS);
    id_format(&s.segment, name);
    snprintf(path, sizeof(path), "shards/%c/%s.0", name[0], name);
    assert_int_equal(sim_disk_rot(f->node, path, 4096 + 100, 1), ERR_OK);
    assert_int_equal(shard_store(f, &s), ERR_OK);
    assert_true(shard_is_whole(f, &s));
    assert_int_equal(shard_store(f, &s), ERR_EXISTS);
    free(s.payload);
}

/* A grant counts what was stored under it and what is on its way, also after a restart. */
static void test_store_holds_a_grant_to_its_budget_and_time(void **state)
{
    struct fixture *f = *state;
    struct shard s[3] = {shard_make(1, 0, 4096), shard_make(2, 0, 4096), shard_make(3, 0, 4096)};
    struct store_put *put, *refused;
    assert_int_equal(shard_store(f, &s[0]), ERR_OK);
    store_close(f->store);
    assert_int_equal(fixture_open(f, false), ERR_OK);
    struct store_admission a = shard_admission(&s[1]);
    a.grant_bytes = 4096 + 4095;
    assert_int_equal(store_put_begin(f->store, &a, &refused, &f->msg), ERR_QUOTA);
    a.grant_bytes = 2 * 4096;
    assert_int_equal(store_put_begin(f->store, &a, &put, &f->msg), ERR_OK);
    a = shard_admission(&s[2]);
    a.grant_bytes = 2 * 4096;
    assert_int_equal(store_put_begin(f->store, &a, &refused, &f->msg), ERR_QUOTA);
    store_put_abort(f->store, put);
    a.grant_expires_s = NOW_S - 1;
    assert_int_equal(store_put_begin(f->store, &a, &refused, &f->msg), ERR_QUOTA);
    assert_non_null(strstr(f->msg.text, "expired"));
    for (int i = 0; i < 3; i++)
        free(s[i].payload);
}

/* Neither the gift nor the disk is ever overrun, and what was there stays whole. */
static void test_store_says_full_before_a_byte_is_taken(void **state)
{
    struct fixture *f = *state;
    struct shard s = shard_make(1, 0, 1 << 20);
    struct shard more = shard_make(2, 0, 1 << 20);
    assert_int_equal(shard_store(f, &s), ERR_OK);
    store_set_give(f->store, (1 << 20) + 8192);
    assert_int_equal(shard_store(f, &more), ERR_FULL);
    store_set_give(f->store, GIVE_BYTES);
    struct sim_disk_counters disk;
    sim_disk_counters(f->node, &disk);
    sim_disk_set_capacity(f->node, disk.used_bytes + (1 << 19));
    assert_int_equal(shard_store(f, &more), ERR_FULL);
    sim_disk_set_capacity(f->node, 0);
    assert_true(shard_is_whole(f, &s));
    assert_int_equal(shard_store(f, &more), ERR_OK);
    free(s.payload);
    free(more.payload);
}

static enum err count_shard(void *user, const struct store_shard *shard)
{
    unsigned *counts = user;
    counts[shard->state]++;
    return ERR_OK;
}

static void test_store_lists_in_pieces(void **state)
{
    struct fixture *f = *state;
    struct id account = {{7}}, other = {{8}};
    for (unsigned i = 0; i < 10; i++) {
        struct shard s = shard_make(i + 1, i % 3, 4096);
        assert_int_equal(shard_store(f, &s), ERR_OK);
        free(s.payload);
    }
    unsigned counts[3] = {0};
    assert_int_equal(store_list(f->store, &other, NULL, 0, 100, count_shard, counts, &f->msg),
                     ERR_OK);
    assert_int_equal(counts[STORE_WHOLE], 0);
    assert_int_equal(store_list(f->store, &account, NULL, 0, 4, count_shard, counts, &f->msg),
                     ERR_OK);
    assert_int_equal(counts[STORE_WHOLE], 4);
    assert_int_equal(store_list(f->store, NULL, NULL, 0, 100, count_shard, counts, &f->msg),
                     ERR_OK);
    assert_int_equal(counts[STORE_WHOLE], 14);
}

/* A cycle looks at every shard once, finds the rotten byte, and a new copy heals it. */
static void test_scrub_finds_rot_and_a_new_copy_heals_it(void **state)
{
    struct fixture *f = *state;
    struct shard s[5];
    for (unsigned i = 0; i < 5; i++) {
        s[i] = shard_make(i + 1, 1, 70000 / 4096 * 4096);
        assert_int_equal(shard_store(f, &s[i]), ERR_OK);
    }
    char name[ID_TEXT_SIZE], path[128];
    id_format(&s[2].segment, name);
    snprintf(path, sizeof(path), "shards/%c/%s.1", name[0], name);
    assert_int_equal(sim_disk_rot(f->node, path, 4096 + 69000 - 4096, 1), ERR_OK);
    unsigned seen = 0, found = 0;
    struct store_scrub step = {0};
    while (!step.cycle_done) {
        assert_int_equal(store_scrub_step(f->store, NOW_S, &step, &f->msg), ERR_OK);
        seen += step.shard.index < LIMIT_SHARDS;
        if (step.found_damage) {
            assert_true(id_equal(&step.shard.segment, &s[2].segment));
            found++;
        }
        store_close(f->store); /* it goes on after a restart */
        assert_int_equal(fixture_open(f, false), ERR_OK);
    }
    assert_int_equal(seen, 5);
    assert_int_equal(found, 1);
    struct store_scrub_state progress;
    assert_int_equal(store_scrub_state(f->store, &progress, &f->msg), ERR_OK);
    assert_int_equal(progress.last_cycle_ended_s, NOW_S);
    unsigned counts[3] = {0};
    assert_int_equal(store_segment(f->store, &s[2].segment, count_shard, counts, &f->msg), ERR_OK);
    assert_int_equal(counts[STORE_DAMAGED], 1);
    assert_false(shard_is_whole(f, &s[2]));
    assert_int_equal(shard_store(f, &s[2]), ERR_OK);
    assert_true(shard_is_whole(f, &s[2]));
    struct store_usage usage;
    assert_int_equal(store_usage(f->store, &usage, NULL), ERR_OK);
    assert_int_equal(usage.damaged_count, 0);
    assert_int_equal(usage.shard_count, 5);
    for (unsigned i = 0; i < 5; i++)
        free(s[i].payload);
}

/* A mount point without its disk is silence, never a loss. */
static void test_store_does_not_open_without_its_disk(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    f->store = NULL;
    sim_disk_hide(f->node, true);
    assert_int_equal(fixture_open(f, false), ERR_STATE);
    assert_non_null(strstr(f->msg.text, "mounted"));
    sim_disk_hide(f->node, false);
    const struct id own = f->node->id;
    f->node->id.bytes[0] ^= 1;
    assert_int_equal(fixture_open(f, false), ERR_STATE);
    f->node->id = own;
    assert_int_equal(fixture_open(f, false), ERR_OK);
}

/* The catalogue can be thrown away, or be garbage: the shard files are the truth. */
static void test_store_makes_its_catalogue_from_the_files(void **state)
{
    struct fixture *f = *state;
    struct shard s[4];
    for (unsigned i = 0; i < 4; i++) {
        s[i] = shard_make(i + 1, i % 3, 4096);
        assert_int_equal(shard_store(f, &s[i]), ERR_OK);
    }
    for (int garbage = 0; garbage < 2; garbage++) {
        store_close(f->store);
        f->store = NULL;
        if (garbage)
            assert_int_equal(sim_disk_rot(f->node, STORE_CATALOGUE_NAME, 0, 4096), ERR_OK);
        else
            assert_int_equal(disk_remove(&f->node->disk, STORE_CATALOGUE_NAME, &f->msg), ERR_OK);
        assert_int_equal(fixture_open(f, false), ERR_OK);
        struct store_usage usage;
        assert_int_equal(store_usage(f->store, &usage, NULL), ERR_OK);
        assert_int_equal(usage.shard_count, 4);
        uint64_t spent;
        const uint8_t grant[STORE_GRANT_ID_SIZE] = {1};
        assert_int_equal(store_grant_spent(f->store, grant, &spent, &f->msg), ERR_OK);
        assert_int_equal(spent, 4 * 4096);
    }
    for (unsigned i = 0; i < 4; i++)
        free(s[i].payload);
}

int main(void)
{
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_store_gives_back_what_it_took),
        STORE_TEST(test_store_refuses_what_does_not_match_its_name),
        STORE_TEST(test_store_knows_a_shard_that_is_here_or_on_its_way),
        STORE_TEST(test_store_looks_before_it_says_that_a_shard_is_here),
        STORE_TEST(test_store_holds_a_grant_to_its_budget_and_time),
        STORE_TEST(test_store_says_full_before_a_byte_is_taken),
        STORE_TEST(test_store_lists_in_pieces),
        STORE_TEST(test_scrub_finds_rot_and_a_new_copy_heals_it),
        STORE_TEST(test_store_does_not_open_without_its_disk),
        STORE_TEST(test_store_makes_its_catalogue_from_the_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

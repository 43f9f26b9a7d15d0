/*
 * Reading snapshots at random on a swarm of the real daemons' code: what a mount, a dump and a
 * comparison stand on. What is read is what was backed up, with a cache that is too small, with
 * cells that die and come back, and when it is broken off at any moment.
 */
#include "vault_fixture.h"

#include "base/limits.h"
#include "browse/browse.h"
#include "browse/browse_diff.h"
#include "browse/browse_dump.h"
#include "vault/vault_snapshots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* --- operations on a cache --- */

struct task {
    struct transfer_cache_op op;
    struct vault_fixture *f;
    struct transfer_cache *cache;
    enum err (*step)(struct task *task, struct errmsg *msg);
    unsigned runs;
    bool done;
    enum err e;
    struct errmsg msg;
    /* looking up */
    struct buf entry; /* of what is looked up; first the root's */
    const char *path; /* what is left of it */
    /* reading */
    struct snapshot_entry file;
    uint64_t offset;
    uint8_t *out;
    size_t size, got;
};

static void task_run(struct task *task)
{
    task->runs++;
    task->e = task->step(task, &task->msg);
    if (task->e == ERR_BUSY)
        return;
    task->done = true;
    transfer_cache_release(task->cache, &task->op);
}

static void task_ready(struct transfer_cache_op *op)
{
    task_run(container_of(op, struct task, op));
}

static void task_start(struct task *task)
{
    task->op.ready = task_ready;
    task->done = false;
    transfer_cache_op_init(&task->op);
    task_run(task);
}

static bool task_is_done(void *user)
{
    return ((const struct task *)user)->done;
}

static void task_wait(struct task *task)
{
    const enum err e = sim_world_run_until(task->f->world, task_is_done, task, 86400000);
    if (e != ERR_OK)
        fail_msg("nothing happens any more: %s", err_words(e));
}

static void task_ok(struct task *task)
{
    task_start(task);
    task_wait(task);
    if (task->e != ERR_OK)
        fail_msg("%s", task->msg.text);
}

static struct transfer_cache *cache_new(struct vault_fixture *f, size_t bytes, uint32_t window)
{
    const struct transfer_cache_options options = {
        .cache_bytes = bytes, .data_window = window, .metadata_window = window};
    struct transfer_cache *cache;
    assert_int_equal(transfer_cache_new(f->vault, &options, &cache, &f->msg), ERR_OK);
    return cache;
}

static void stopped(void *user)
{
    ((struct vault_fixture *)user)->done = true;
}

static void cache_end(struct vault_fixture *f, struct transfer_cache *cache)
{
    transfer_cache_stop(cache, stopped, f);
    vault_fixture_wait(f);
    transfer_cache_free(cache);
}

/* --- looking up a path of the tree --- */

struct roots {
    struct vault_fixture *f;
    struct buf root; /* of the newest snapshot */
};

static void on_snapshots(void *user, enum err e, const struct vault_snapshots *snapshots,
                         const struct errmsg *msg)
{
    struct roots *roots = user;
    vault_fixture_done(roots->f, e, msg);
    if (e != ERR_OK)
        return;
    const struct slice root = snapshots->list[snapshots->count - 1].snapshot.root;
    roots->root = BUF_INIT(SNAPSHOT_ENTRY_BYTES_MAX);
    assert_int_equal(buf_append(&roots->root, root.data, root.size), ERR_OK);
}

static enum err step_find(struct task *task, struct errmsg *msg)
{
    while (*task->path) {
        struct snapshot_entry directory, found;
        struct slice bytes;
        uint64_t place;
        const size_t size = strcspn(task->path, "/");
        enum err e = snapshot_entry_decode(buf_slice(&task->entry), &directory, msg);
        if (e == ERR_OK && size > 0)
            e = browse_find(task->cache, &task->op, &directory.content, slice_of(task->path, size),
                            &place, &found, &bytes, msg);
        if (e != ERR_OK)
            return e;
        if (size > 0) {
            buf_clear(&task->entry);
            assert_int_equal(buf_append(&task->entry, bytes.data, bytes.size), ERR_OK);
        }
        task->path += size + (task->path[size] == '/');
    }
    return ERR_OK;
}

/* The entry of a name in the tree; its bytes stay in `task`. */
static enum err find(struct vault_fixture *f, struct transfer_cache *cache, const char *name,
                     struct task *task)
{
    struct roots roots = {.f = f};
    char path[4096];
    assert_int_equal(vault_snapshots(f->vault, on_snapshots, &roots, &f->msg), ERR_OK);
    vault_fixture_wait(f);
    vault_fixture_ok(f);
    snprintf(path, sizeof(path), "%s/%s", f->tree, name);
    *task = (struct task){.f = f, .cache = cache, .step = step_find, .entry = roots.root};
    task->path = path;
    task_start(task);
    task_wait(task);
    return task->e;
}

static enum err step_read(struct task *task, struct errmsg *msg)
{
    const enum err e = snapshot_entry_decode(buf_slice(&task->entry), &task->file, msg);
    if (e != ERR_OK)
        return e;
    return browse_read(task->cache, &task->op, &task->file, task->offset, task->out, task->size,
                       &task->got, msg);
}

static void prepare_read(struct task *task, uint64_t offset, size_t size)
{
    task->step = step_read;
    task->offset = offset;
    task->size = size;
    task->out = realloc(task->out, size + 1);
    assert_non_null(task->out);
    memset(task->out, 0xee, size);
}

/* What was read is what stands in the file on the disk. */
static void assert_same(const struct task *task, const char *name)
{
    char path[4096];
    uint8_t *there = malloc(task->size + 1);
    snprintf(path, sizeof(path), "%s/%s", task->f->tree, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_non_null(there);
    assert_int_equal(fseek(file, (long)task->offset, SEEK_SET), 0);
    const size_t size = fread(there, 1, task->size, file);
    fclose(file);
    assert_int_equal(task->got, size);
    assert_memory_equal(task->out, there, size);
    free(there);
}

static void task_clear(struct task *task)
{
    buf_free(&task->entry);
    free(task->out);
}

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13, *x ^= *x >> 7, *x ^= *x << 17;
    return *x;
}

/* --- the tests --- */

enum { READERS = 8, ROUNDS = 12 };

static void test_many_readers_of_a_cache_that_is_too_small(void **state)
{
    struct vault_fixture *f = *state;
    struct task tasks[READERS] = {0};
    uint64_t x = 4711;
    struct transfer_cache_counts counts;
    vault_fixture_back_up(f, false);
    vault_fixture_ok(f);
    struct transfer_cache *cache = cache_new(f, 64 << 10, 64 << 10); /* less than one piece */
    for (unsigned i = 0; i < READERS; i++)
        assert_int_equal(find(f, cache, i % 2 ? "large" : "sparse", &tasks[i]), ERR_OK);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < READERS; i++) {
            const uint64_t file_size = i % 2 ? 9 << 20 : 50 << 20;
            prepare_read(&tasks[i], next_random(&x) % file_size,
                         1 + (size_t)(next_random(&x) % 700000));
            if (round == 0) /* across the only data of the sparse one, and the end of the other */
                tasks[i].offset = i % 2 ? (9 << 20) - 1000 : (20 << 20) - 100;
            task_start(&tasks[i]);
        }
        for (unsigned i = 0; i < READERS; i++) {
            task_wait(&tasks[i]);
            assert_int_equal(tasks[i].e, ERR_OK);
            assert_same(&tasks[i], i % 2 ? "large" : "sparse");
        }
        transfer_cache_counts(cache, &counts);
        assert_true(counts.kept_bytes <= 64 << 10);
    }
    for (unsigned i = 0; i < READERS; i++)
        task_clear(&tasks[i]);
    cache_end(f, cache);
}

static void test_a_small_read_fetches_little_and_its_neighbours_nothing(void **state)
{
    struct vault_fixture *f = *state;
    struct transfer_cache_counts before, first, second;
    struct task task;
    vault_fixture_back_up(f, false);
    vault_fixture_ok(f);
    struct transfer_cache *cache = cache_new(f, 8 << 20, 256 << 10);
    assert_int_equal(find(f, cache, "dir-1/file-3", &task), ERR_OK);
    transfer_cache_counts(cache, &before);
    assert_true(before.fetched_bytes < 1 << 20); /* the directories on the way */
    prepare_read(&task, 0, 3000);
    task_ok(&task);
    assert_same(&task, "dir-1/file-3");
    transfer_cache_counts(cache, &first);
    assert_in_range(first.fetched_bytes - before.fetched_bytes, 1, 512 << 10);
    task_clear(&task);
    /* the next file lies beside it */
    assert_int_equal(find(f, cache, "dir-1/file-4", &task), ERR_OK);
    prepare_read(&task, 0, 4000);
    task_ok(&task);
    assert_same(&task, "dir-1/file-4");
    transfer_cache_counts(cache, &second);
    assert_int_equal(second.fetched_bytes, first.fetched_bytes);
    task_clear(&task);
    cache_end(f, cache);
}

static void test_names_that_are_not_there(void **state)
{
    struct vault_fixture *f = *state;
    static const char *const names[] = {"a",   "dir-1/file-3x", "dir-1/file-",
                                        "zzz", "dir-9",         "empty/x"};
    struct task task;
    vault_fixture_back_up(f, false);
    vault_fixture_ok(f);
    struct transfer_cache *cache = cache_new(f, 8 << 20, 256 << 10);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        assert_int_equal(find(f, cache, names[i], &task), ERR_END);
        task_clear(&task);
    }
    cache_end(f, cache);
}

static void test_dead_cells_cost_shards_and_too_many_an_error_until_they_are_back(void **state)
{
    struct vault_fixture *f = *state;
    struct task task;
    vault_fixture_back_up(f, false);
    vault_fixture_ok(f);
    struct transfer_cache *cache = cache_new(f, 1 << 20, 64 << 10);
    assert_int_equal(find(f, cache, "large", &task), ERR_OK);
    sim_swarm_stop_cell(f->swarm, 0, SIM_POWER);
    sim_swarm_stop_cell(f->swarm, 1, SIM_POWER);
    prepare_read(&task, 1 << 20, 3 << 20);
    task_ok(&task);
    assert_same(&task, "large");
    for (unsigned i = 2; i < 5; i++)
        sim_swarm_stop_cell(f->swarm, i, SIM_POWER);
    prepare_read(&task, 6 << 20, 2 << 20);
    task_start(&task);
    task_wait(&task);
    assert_int_equal(task.e, ERR_NOT_ENOUGH);
    assert_true(task.msg.text[0] != 0);
    for (unsigned i = 0; i < 5; i++)
        sim_swarm_start_cell(f->swarm, i);
    task_ok(&task); /* nothing of the failure is kept */
    assert_same(&task, "large");
    task_clear(&task);
    cache_end(f, cache);
}

/* Stopped while fetches are under way, and while operations wait in the queue behind them. */
static void test_it_can_be_broken_off_at_any_moment(void **state)
{
    struct vault_fixture *f = *state;
    vault_fixture_back_up(f, false);
    vault_fixture_ok(f);
    for (unsigned delay_ms = 0; delay_ms < 60; delay_ms += 7) {
        struct transfer_cache *cache = cache_new(f, 1 << 20, 64 << 10);
        struct task tasks[3] = {0};
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(find(f, cache, "large", &tasks[i]), ERR_OK);
            prepare_read(&tasks[i], (uint64_t)i * 3 << 20, 3 << 20);
        }
        for (unsigned i = 0; i < 3; i++)
            task_start(&tasks[i]);
        assert_int_equal(sim_world_run(f->world, delay_ms), ERR_OK);
        const unsigned runs[3] = {tasks[0].runs, tasks[1].runs, tasks[2].runs};
        transfer_cache_stop(cache, stopped, f);
        vault_fixture_wait(f);
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(tasks[i].runs, runs[i]); /* it was told nothing any more */
            transfer_cache_release(cache, &tasks[i].op);
            task_clear(&tasks[i]);
        }
        transfer_cache_free(cache);
    }
}

/* --- dump --- */

struct dumped {
    struct vault_fixture *f;
    unsigned entries, files;
    uint64_t bytes;
    char path[4096]; /* of the file that is told */
    FILE *there;
    struct browse_dump *dump;
    unsigned cancel_at;
};

static enum err dump_entry(void *user, const struct browse_dump_entry *entry, bool *content,
                           struct errmsg *msg)
{
    struct dumped *d = user;
    (void)msg;
    d->entries++;
    if (d->there)
        fclose(d->there);
    d->there = NULL;
    if (*content) {
        snprintf(d->path, sizeof(d->path), "%.*s", (int)entry->path.size, entry->path.data);
        d->there = fopen(d->path, "rb");
        assert_non_null(d->there);
        d->files++;
    }
    if (d->entries == d->cancel_at)
        browse_dump_cancel(d->dump);
    return ERR_OK;
}

static enum err dump_bytes(void *user, struct slice bytes, struct errmsg *msg)
{
    struct dumped *d = user;
    uint8_t *there = malloc(bytes.size + 1);
    (void)msg;
    assert_non_null(there);
    assert_int_equal(fread(there, 1, bytes.size, d->there), bytes.size);
    assert_memory_equal(there, bytes.data, bytes.size);
    d->bytes += bytes.size;
    free(there);
    return ERR_OK;
}

static void dump_problem(void *user, struct slice path, enum err e, const char *sentence)
{
    (void)user, (void)path, (void)e;
    fail_msg("%s", sentence);
}

static void dump(struct dumped *d, const char *path)
{
    const struct browse_dump_options options = {
        .snapshot = "latest",
        .path = path,
        .entry = dump_entry,
        .bytes = dump_bytes,
        .problem = dump_problem,
        .user = d,
    };
    assert_int_equal(
        browse_dump_start(d->f->vault, &options, vault_fixture_done, d->f, &d->dump, &d->f->msg),
        ERR_OK);
    vault_fixture_wait(d->f);
    if (d->there)
        fclose(d->there);
    d->there = NULL;
}

static void test_a_dump_tells_every_entry_and_every_byte(void **state)
{
    struct vault_fixture *f = *state;
    struct dumped d = {.f = f};
    char path[4096];
    vault_fixture_back_up(f, false);
    vault_fixture_ok(f);
    dump(&d, f->tree);
    vault_fixture_ok(f);
    assert_int_equal(d.files, 102);
    assert_int_equal(d.entries, 102 + 1 + 5 + 1 + 1); /* itself, five and an empty one, a link */
    assert_int_equal(d.bytes, 5 * 190000 + (9 << 20) + (50 << 20));
    snprintf(path, sizeof(path), "%s/dir-2/file-7", f->tree);
    d = (struct dumped){.f = f};
    dump(&d, path);
    vault_fixture_ok(f);
    assert_int_equal(d.bytes, 7000);
    dump(&d, "/not/there");
    assert_int_equal(f->e, ERR_NOT_FOUND);
}

static void test_a_dump_can_be_broken_off(void **state)
{
    struct vault_fixture *f = *state;
    vault_fixture_back_up(f, false);
    vault_fixture_ok(f);
    for (unsigned at = 1; at < 110; at += 18) {
        struct dumped d = {.f = f, .cancel_at = at};
        dump(&d, f->tree);
        assert_int_equal(f->e, ERR_CANCELLED);
        assert_int_equal(d.entries, at);
    }
}

/* --- diff --- */

struct compared {
    struct vault_fixture *f;
    struct buf text; /* "M /path\n" each */
    struct browse_diff_summary summary;
};

static enum err diff_change(void *user, const char *modifier, struct slice path)
{
    struct compared *c = user;
    return buf_append_format(&c->text, "%s %.*s\n", modifier, (int)path.size, path.data);
}

static void diff_done(void *user, enum err e, const struct browse_diff_summary *summary,
                      const struct errmsg *msg)
{
    struct compared *c = user;
    c->summary = *summary;
    vault_fixture_done(c->f, e, msg);
}

static void test_a_comparison_tells_what_has_changed(void **state)
{
    struct vault_fixture *f = *state;
    struct compared c = {.f = f, .text = BUF_INIT(1 << 20)};
    char path[4096], wanted[8192], old_id[ID_TEXT_SIZE];
    vault_fixture_back_up(f, false);
    vault_fixture_ok(f);
    id_format(&f->summary.snapshot_id, old_id);
    snprintf(path, sizeof(path), "%s/dir-1/file-3", f->tree);
    assert_int_equal(unlink(path), 0);
    vault_fixture_write(f, "dir-1/file-30", 5000, 1);
    vault_fixture_write(f, "dir-2/file-2", 4000, 2);
    snprintf(path, sizeof(path), "%s/empty", f->tree);
    assert_int_equal(rmdir(path), 0);
    vault_fixture_back_up(f, false);
    vault_fixture_ok(f);
    const struct browse_diff_options options = {
        .old_snapshot = old_id,
        .new_snapshot = "latest",
        .change = diff_change,
        .problem = dump_problem,
        .done = diff_done,
        .user = &c,
    };
    struct browse_diff *diff;
    assert_int_equal(browse_diff_start(f->vault, &options, &diff, &f->msg), ERR_OK);
    vault_fixture_wait(f);
    vault_fixture_ok(f);
    snprintf(wanted, sizeof(wanted),
             "- %s/dir-1/file-3\n+ %s/dir-1/file-30\nM %s/dir-2/file-2\n- %s/empty/\n", f->tree,
             f->tree, f->tree, f->tree);
    assert_int_equal(buf_append_u8(&c.text, 0), ERR_OK);
    assert_string_equal(c.text.data, wanted);
    assert_int_equal(c.summary.changed_files, 1);
    assert_int_equal(c.summary.added.files, 1);
    assert_int_equal(c.summary.removed.files, 1);
    assert_int_equal(c.summary.removed.dirs, 1);
    assert_int_equal(c.summary.added.data_blobs, 2);
    assert_true(c.summary.blobs_known);
    buf_free(&c.text);
}

#define CASE(test) \
    cmocka_unit_test_setup_teardown(test, vault_fixture_setup, vault_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_many_readers_of_a_cache_that_is_too_small),
        CASE(test_a_small_read_fetches_little_and_its_neighbours_nothing),
        CASE(test_names_that_are_not_there),
        CASE(test_dead_cells_cost_shards_and_too_many_an_error_until_they_are_back),
        CASE(test_it_can_be_broken_off_at_any_moment),
        CASE(test_a_dump_tells_every_entry_and_every_byte),
        CASE(test_a_dump_can_be_broken_off),
        CASE(test_a_comparison_tells_what_has_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

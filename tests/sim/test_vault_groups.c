/*
 * Small chunks that share records, from a backup to a restore on a swarm of the real daemons' code:
 * half of each group is forgotten and pruned, the rest is stored anew in groups, an index that is
 * made anew from the swarm says the same. And at every moment no byte of a segment is counted twice
 * or lost.
 */
#include "vault_fixture.h"

#include "heads/heads_rebuild.h"
#include "index/index_removal.h"
#include "removal/removal_forget.h"
#include "removal/removal_prune.h"
#include "restore/restore.h"
#include "vault/vault_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILES = 300, SEGMENTS_MAX = 64, CHUNKS_MAX = 4096 };

static size_t size_of_file(unsigned number)
{
    return 200 + number * 37 % 7000;
}

/* Words, so that a group is packed; no two files alike but each tenth, which is its neighbour. */
static void write_text(struct vault_fixture *f, unsigned number)
{
    static const char *const words[] = {"segment ", "cell ", "shard ", "chunk\n", "group ", "of "};
    char path[4096];
    const unsigned same = number % 10 == 9 ? number - 1 : number;
    size_t size = size_of_file(same);
    snprintf(path, sizeof(path), "%s/text-%03u", f->tree, number);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    uint32_t x = same * 2654435761u + 1;
    for (; size >= 16; size -= 8) {
        x = x * 1664525u + 1013904223u;
        fprintf(file, "%.8s", words[(x >> 20) % ARRAY_COUNT(words)]);
    }
    fprintf(file, "%u", x);
    fclose(file);
}

static void remove_text(struct vault_fixture *f, unsigned number)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/text-%03u", f->tree, number);
    assert_int_equal(unlink(path), 0);
}

/* --- what the index says --- */

struct counts {
    size_t grouped, alone, groups; /* chunks of data; records with several of them */
    uint64_t sealed;               /* bytes, of all committed segments of data */
};

static struct index_chunk chunks[CHUNKS_MAX];

/* Of a segment: members of a group have one place, and what is theirs is the whole. */
static void check_segment(struct vault_fixture *f, const struct index_segment *row,
                          struct counts *out)
{
    uint64_t sum = 0, group = 0;
    size_t count;
    assert_int_equal(
        index_segment_chunks(f->vault->index, row->number, chunks, CHUNKS_MAX, &count, &f->msg),
        ERR_OK);
    assert_int_equal(count, row->chunk_count);
    for (size_t i = 0; i < count; i++) {
        const struct index_chunk *c = &chunks[i];
        const bool next = i + 1 < count && chunks[i + 1].record == c->record;
        const bool first = i == 0 || chunks[i - 1].record != c->record;
        sum += c->sealed_bytes;
        group = (first ? 0 : group) + c->sealed_bytes;
        assert_int_equal(c->record, first ? (i ? chunks[i - 1].record + 1 : 0) : c[-1].record);
        if (!first)
            assert_true(c->offset == c[-1].offset && c->group_bytes == c[-1].group_bytes);
        assert_int_equal(c->group_bytes > 0, !first || next);
        if (c->group_bytes > 0 && !next)
            assert_int_equal(group, c->group_bytes);
        out->grouped += c->group_bytes > 0;
        out->alone += c->group_bytes == 0;
        out->groups += c->group_bytes > 0 && first;
    }
    assert_int_equal(sum, row->sealed_bytes);
    out->sealed += row->sealed_bytes;
    for (size_t i = 0; i < count; i++) {
        size_t fresh;
        assert_int_equal(index_marks_add(f->vault->index, &chunks[i].id, 1, NULL, &fresh, &f->msg),
                         ERR_OK);
        assert_int_equal(fresh, 1);
    }
}

/* All chunks are marked: then every sealed byte is live. */
static void check_live(struct vault_fixture *f, const struct index_segment *row)
{
    struct index_segment_live live;
    size_t count;
    assert_int_equal(index_marks_live(f->vault->index, row->number - 1, &live, 1, &count, &f->msg),
                     ERR_OK);
    assert_true(count == 1 && live.number == row->number);
    assert_int_equal(live.live_bytes, row->sealed_bytes);
}

static struct counts check_index(struct vault_fixture *f)
{
    const struct index_segment_filter filter = {.states = 1u << INDEX_COMMITTED,
                                                .kind = INDEX_DATA};
    struct index_segment rows[SEGMENTS_MAX];
    struct counts counts = {0};
    size_t count;
    assert_int_equal(index_segments(f->vault->index, &filter, rows, SEGMENTS_MAX, &count, &f->msg),
                     ERR_OK);
    assert_true(count > 0 && count < SEGMENTS_MAX);
    assert_int_equal(index_marks_clear(f->vault->index, &f->msg), ERR_OK);
    for (size_t i = 0; i < count; i++)
        check_segment(f, &rows[i], &counts);
    for (size_t i = 0; i < count; i++)
        check_live(f, &rows[i]);
    return counts;
}

/* --- operations --- */

static void on_problem(void *user, enum err e, struct slice path, const char *sentence)
{
    (void)e, (void)path;
    struct vault_fixture *f = user;
    f->problems++;
    printf("%s\n", sentence);
}

static void on_restored(void *user, enum err e, const struct restore_summary *summary,
                        const struct errmsg *msg)
{
    (void)summary;
    vault_fixture_done(user, e, msg);
}

static void on_forgotten(void *user, enum err e, const struct removal_forget_summary *summary,
                         const struct errmsg *msg)
{
    (void)summary;
    vault_fixture_done(user, e, msg);
}

static struct removal_prune_summary pruned;

static void on_pruned(void *user, enum err e, const struct removal_prune_summary *summary,
                      const struct errmsg *msg)
{
    pruned = *summary;
    vault_fixture_done(user, e, msg);
}

static void on_rebuilt(void *user, enum err e, const struct heads_sync_summary *summary,
                       const struct errmsg *msg)
{
    (void)summary;
    vault_fixture_done(user, e, msg);
}

static void back_up(struct vault_fixture *f)
{
    vault_fixture_back_up(f, false);
    vault_fixture_ok(f);
    assert_int_equal(f->problems, 0);
}

/* The newest snapshot is the tree as it is; verify reads what was written and names it anew. */
static void assert_restores(struct vault_fixture *f)
{
    static const struct restore_events events = {.problem = on_problem, .done = on_restored};
    static unsigned number;
    char target[4096], command[9000];
    struct restore *restore;
    snprintf(target, sizeof(target), "%s/out-%u", f->dir, number++);
    const struct restore_options options = {
        .snapshot = "latest", .subpath = f->tree, .target = target, .verify = true};
    f->problems = 0;
    assert_int_equal(restore_start(f->vault, &options, &events, f, &restore, &f->msg), ERR_OK);
    vault_fixture_wait(f);
    vault_fixture_ok(f);
    assert_int_equal(f->problems, 0);
    snprintf(command, sizeof(command), "diff -r --no-dereference %s %s", f->tree, target);
    assert_int_equal(system(command), 0);
}

static void forget(struct vault_fixture *f, const struct id *snapshot)
{
    static const struct removal_forget_events events = {.done = on_forgotten};
    char text[ID_TEXT_SIZE];
    const char *names[1] = {id_format(snapshot, text)};
    const struct removal_forget_options options = {
        .select = {.snapshots = names, .snapshot_count = 1}};
    struct removal_forget *operation;
    assert_int_equal(removal_forget_start(f->vault, &options, &events, f, &operation, &f->msg),
                     ERR_OK);
    vault_fixture_wait(f);
    vault_fixture_ok(f);
}

static void prune_all(struct vault_fixture *f)
{
    static const struct removal_prune_events events = {.done = on_pruned};
    const struct removal_prune_options options = {.unused = REMOVAL_UNUSED_BYTES};
    struct removal_prune *operation;
    assert_int_equal(removal_prune_start(f->vault, &options, &events, f, &operation, &f->msg),
                     ERR_OK);
    vault_fixture_wait(f);
    vault_fixture_ok(f);
}

/* The index is made anew from what the swarm holds. */
static void rebuild(struct vault_fixture *f)
{
    static const struct heads_sync_events events = {.done = on_rebuilt};
    const struct vault_open_options options = {
        .dir = f->vault_dir, .access = VAULT_WRITE, .rebuild = true};
    vault_close(f->vault);
    f->vault = NULL;
    if (vault_open(&options, &f->ports, &f->vault, &f->msg) != ERR_OK)
        fail_msg("%s", f->msg.text);
    assert_int_equal(vault_connect(f->vault, f->node->net, &f->msg), ERR_OK);
    assert_int_equal(vault_refresh(f->vault, vault_fixture_done, f, &f->msg), ERR_OK);
    vault_fixture_wait(f);
    vault_fixture_ok(f);
    assert_int_equal(heads_rebuild_start(f->vault, &events, f, &f->msg), ERR_OK);
    vault_fixture_wait(f);
    vault_fixture_ok(f);
    vault_close(f->vault);
    f->vault = NULL;
    vault_fixture_open(f);
}

/* The committed segments of data that no index object lists, the first of them in *out. */
static size_t unpublished(struct vault_fixture *f, struct index_segment *out)
{
    const struct index_segment_filter filter = {
        .states = 1u << INDEX_COMMITTED, .kind = INDEX_DATA, .unpublished = true};
    struct index_segment rows[SEGMENTS_MAX];
    size_t count;
    assert_int_equal(index_segments(f->vault->index, &filter, rows, SEGMENTS_MAX, &count, &f->msg),
                     ERR_OK);
    *out = rows[0];
    return count;
}

static void on_backup(void *user, enum err e, const struct backup_summary *summary,
                      const struct errmsg *msg)
{
    (void)summary;
    vault_fixture_done(user, e, msg);
}

static bool has_committed(void *user)
{
    struct vault_fixture *f = user;
    struct index_segment row;
    return f->done || unpublished(f, &row) > 0;
}

/* A backup that ends as soon as its first segment of data is committed: no head names that. */
static struct index_segment back_up_and_break_off(struct vault_fixture *f)
{
    const char *paths[1] = {f->tree};
    const struct backup_options options = {.paths = paths, .path_count = 1, .program = "test"};
    const struct backup_events events = {.problem = on_problem, .done = on_backup};
    struct index_segment row;
    struct backup *backup;
    assert_int_equal(backup_start(f->vault, &options, &events, f, &backup, &f->msg), ERR_OK);
    assert_int_equal(sim_world_run_until(f->world, has_committed, f, 86400000), ERR_OK);
    assert_false(f->done);
    backup_cancel(backup);
    vault_fixture_wait(f);
    assert_int_equal(f->e, ERR_CANCELLED);
    assert_int_equal(unpublished(f, &row), 1);
    return row;
}

static void set_state(struct vault_fixture *f, const struct index_segment *row,
                      enum index_segment_state state)
{
    assert_int_equal(index_segment_set_state(f->vault->index, row->number, state, &f->msg), ERR_OK);
}

static void assert_same_counts(const struct counts *one, const struct counts *two)
{
    assert_int_equal(one->grouped, two->grouped);
    assert_int_equal(one->alone, two->alone);
    assert_int_equal(one->groups, two->groups);
    assert_int_equal(one->sealed, two->sealed);
}

static void test_half_dead_groups_are_pruned_and_the_rest_is_grouped_again(void **state)
{
    struct vault_fixture *f = *state;
    for (unsigned i = 0; i < FILES; i++)
        write_text(f, i);
    back_up(f);
    const struct id first = f->summary.snapshot_id;
    const struct counts all = check_index(f);
    /* of 300 texts 270 are different; 95 of the fixture's hundred are not empty; one may be the
       last of its batch */
    assert_true(all.grouped > 350 && all.grouped <= 270 + 95);
    assert_true(all.groups >= 2 && all.groups < 20);
    assert_restores(f);

    /* of each group the half goes; what stays needs nothing new */
    for (unsigned i = 0; i < FILES; i++)
        if (i % 4 < 2)
            remove_text(f, i);
    back_up(f);
    assert_int_equal(f->summary.data_blobs, 0);
    forget(f, &first);
    prune_all(f);
    assert_true(pruned.segments_repacked > 0);
    assert_int_equal(pruned.bytes_unused_left, 0);
    assert_restores(f);
    const struct counts half = check_index(f);
    assert_true(half.groups > 0 && half.groups <= all.groups && half.grouped < all.grouped);
    assert_true(half.sealed < all.sealed && half.sealed > (all.sealed - all.sealed / 8) / 8);

    rebuild(f);
    const struct counts again = check_index(f);
    assert_same_counts(&half, &again);
    assert_restores(f);
    back_up(f); /* all is known */
    assert_int_equal(f->summary.data_blobs, 0);
}

/* A segment of a run that was broken off is lost, most of it is stored again, its cells come back,
   and only then is it published: without what lies elsewhere. The numbers of the records behind
   that must not be off for who reads the list. */
static void test_a_segment_is_published_after_chunks_of_it_moved(void **state)
{
    struct vault_fixture *f = *state;
    struct index_segment left;
    for (unsigned i = 0; i < FILES; i++)
        write_text(f, i);
    const struct index_segment row = back_up_and_break_off(f);
    set_state(f, &row, INDEX_LOST); /* as check does while too few cells have it */
    char large[4096];
    snprintf(large, sizeof(large), "%s/large", f->tree);
    assert_int_equal(unlink(large), 0);
    back_up(f);
    assert_true(f->summary.data_blobs > 0);
    set_state(f, &row, INDEX_COMMITTED); /* and when they are back */
    size_t count;
    assert_int_equal(
        index_segment_chunks(f->vault->index, row.number, chunks, CHUNKS_MAX, &count, &f->msg),
        ERR_OK);
    assert_true(count > 2 && count < row.chunk_count);
    assert_true(chunks[0].record > 0);

    vault_fixture_write(f, "large", 9 << 20, 77);
    back_up(f);
    assert_int_equal(f->summary.data_blobs, 0); /* its chunks are known from the broken run */
    assert_int_equal(unpublished(f, &left), 0);
    assert_restores(f);
    rebuild(f);
    assert_restores(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_half_dead_groups_are_pruned_and_the_rest_is_grouped_again, vault_fixture_setup,
            vault_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_segment_is_published_after_chunks_of_it_moved,
                                        vault_fixture_setup, vault_fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* fs/: the N-th allocation fails, for every N, while a tree is walked, read and restored. Whatever
   happens: an error that says so, nothing leaked, nothing left open, no half file under a name. */
#include "fs_test.h"

#include "harness/alloc_fault.h"
#include "harness/fault.h"

struct pass {
    struct fs_exclude *list;
    struct fs_walk *walk;
    struct fs_target *target;
    struct fs_dir *root;
};

static enum err restore_entry(struct pass *pass, const struct fs_event *event)
{
    struct fs_details details = FS_DETAILS_INIT;
    struct fs_reader reader = {.fd = -1};
    const struct fs_entry *entry = &event->entry;
    if (event->kind == FS_EVENT_PROBLEM)
        return ERR_NOMEM; /* the tree has none of its own */
    if (event->kind == FS_EVENT_ENTER)
        return fs_details_read(event->dir, entry, &details, NULL) == ERR_OK
                   ? (fs_details_free(&details), ERR_OK)
                   : ERR_NOMEM;
    if (event->kind != FS_EVENT_ENTRY)
        return ERR_OK;
    enum err e;
    if (entry->type == FS_SYMLINK) {
        e = fs_details_read(event->dir, entry, &details, NULL);
        if (e == ERR_OK)
            e = fs_target_symlink(pass->target, pass->root, entry, &details, NULL);
        fs_details_free(&details);
        return e;
    }
    uint8_t data[64];
    size_t got = 0, run_count = 0;
    const struct fs_run *runs;
    struct fs_file *file;
    e = fs_reader_open(&reader, event->dir, entry, NULL);
    if (e == ERR_OK)
        e = fs_reader_details(&reader, &details, NULL);
    if (e == ERR_OK)
        e = fs_reader_runs(&reader, &runs, &run_count, NULL);
    if (e == ERR_OK)
        e = fs_reader_next(&reader, data, sizeof(data), &got, NULL);
    if (e == ERR_OK)
        e = fs_target_file(pass->target, pass->root, entry, &details, runs, run_count,
                           slice_of(data, got), NULL);
    if (e == ERR_OK)
        e = fs_target_file_begin(pass->target, pass->root, entry, &file, NULL);
    if (e == ERR_OK) {
        e = fs_target_file_write(file, 0, slice_of(data, got), NULL);
        if (e == ERR_OK)
            e = fs_target_file_finish(file, entry, &details, NULL);
        else
            fs_target_file_abandon(file);
    }
    fs_details_free(&details);
    fs_reader_close(&reader);
    return e;
}

static enum err do_pass(struct pass *pass)
{
    const char *roots[] = {"src"}, *markers[] = {"nothing"};
    struct fs_target_options target_options = {.path = "out"};
    struct fs_walk_options options = {.roots = roots,
                                      .root_count = 1,
                                      .exclude_if_present = markers,
                                      .exclude_if_present_count = 1};
    enum err e = fs_exclude_new(&pass->list);
    if (e == ERR_OK)
        e = fs_exclude_add(pass->list, "*.o", false, NULL);
    options.exclude = pass->list;
    if (e == ERR_OK)
        e = fs_target_open(&target_options, &pass->target, NULL);
    if (e != ERR_OK)
        return e;
    pass->root = fs_target_root(pass->target);
    e = fs_walk_open(&options, &pass->walk, NULL);
    for (bool last = false; !last && e == ERR_OK;) {
        struct fs_batch *batch;
        e = fs_walk_next(pass->walk, &batch, NULL);
        if (e != ERR_OK)
            break;
        (void)fs_walk_scout(pass->walk);
        for (size_t i = 0; i < batch->count && e == ERR_OK; i++)
            e = restore_entry(pass, &batch->events[i]);
        last = batch->last;
        fs_batch_free(batch);
    }
    if (e == ERR_OK)
        e = fs_target_delete_others(pass->target, pass->root, NULL, 0, NULL, NULL, NULL);
    return e;
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static bool scenario(void *user, uint64_t at, bool for_good)
{
    (void)user;
    struct pass pass = {0};
    int before = open_descriptors();
    alloc_fault_arm(at, for_good);
    enum err e = do_pass(&pass);
    bool met = alloc_fault_disarm();
    fs_dir_release(pass.root);
    fs_target_close(pass.target);
    fs_walk_close(pass.walk);
    fs_exclude_free(pass.list);
    /* a lookup of a name, or the cleaning up before, may do without */
    if (!met)
        assert_int_equal(e, ERR_OK);
    else
        assert_true(e == ERR_OK || e == ERR_NOMEM);
    assert_int_equal(open_descriptors(), before);
    assert_int_equal(run("! ls -A out 2>/dev/null | grep -q cellar-part"), 0);
    return met;
}

static void test_fs_allocation_faults(void **state)
{
    (void)state;
    assert_int_equal(run("mkdir -p src/sub && echo content >src/file && ln -s to src/sub/link && "
                         "touch src/sub/x.o src/sub/empty"),
                     0);
    (void)setxattr("src/file", "user.x", "value", 5, 0);
    uint64_t points = fault_loop(scenario, NULL, 10000);
    print_message("%u fault points\n", (unsigned)points);
    assert_true(points > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fs_allocation_faults, scratch_make, scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

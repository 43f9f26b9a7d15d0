/* fs/fs_walk: order, what is left out, what cannot be read, and trees that are deep or wide. */
#include "fs_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

/* The walk as text: "+name" enters, "name" stands there, "-" leaves, "!ERR name" is a problem;
   parents of the roots in brackets. */
static char told[1 << 20];
static uint64_t excluded;

static void tell(const struct fs_event *event)
{
    size_t used = strlen(told);
    const char *name = (const char *)event->entry.name.data;
    char *to = told + used;
    size_t room = sizeof(told) - used;
    if (event->kind == FS_EVENT_ENTER)
        (void)snprintf(to, room, event->partial ? "[%s " : "+%s ", name);
    else if (event->kind == FS_EVENT_LEAVE)
        (void)snprintf(to, room, "- ");
    else if (event->kind == FS_EVENT_PROBLEM)
        (void)snprintf(to, room, "!%s %s ", err_name(event->error), name);
    else
        (void)snprintf(to, room, "%s ", name);
}

struct scout {
    struct fs_walk *walk;
    atomic_bool over;
};

static void *scout(void *argument)
{
    struct scout *s = argument;
    while (!atomic_load(&s->over))
        if (!fs_walk_scout(s->walk))
            (void)usleep(50);
    return NULL;
}

static void walk(struct fs_walk_options *options, size_t scouts)
{
    struct fs_walk *w;
    pthread_t threads[4];
    told[0] = 0;
    excluded = 0;
    OK(fs_walk_open(options, &w, &msg));
    struct scout help = {.walk = w};
    for (size_t i = 0; i < scouts; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, scout, &help), 0);
    for (bool last = false; !last;) {
        struct fs_batch *batch;
        OK(fs_walk_next(w, &batch, &msg));
        for (size_t i = 0; i < batch->count; i++)
            tell(&batch->events[i]);
        last = batch->last;
        excluded += batch->excluded;
        fs_batch_free(batch);
    }
    atomic_store(&help.over, true);
    for (size_t i = 0; i < scouts; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    fs_walk_close(w);
}

/* `inside`: what is told between "/tmp/<scratch>" and its end. */
static void assert_told(const char *inside)
{
    char expected[8192];
    (void)snprintf(expected, sizeof(expected), "[ [tmp %s- - ", inside);
    assert_string_equal(told, expected);
}

__attribute__((format(printf, 2, 0))) static void expect(struct fs_walk_options *options,
                                                         const char *format)
{
    char inside[8192];
    (void)snprintf(inside, sizeof(inside), format, scratch + strlen("/tmp/"));
    walk(options, 2);
    assert_told(inside);
    const uint64_t with_scouts = excluded;
    walk(options, 0);
    assert_told(inside);
    assert_int_equal(excluded, with_scouts);
}

static void test_walk_order_and_roots(void **state)
{
    (void)state;
    assert_int_equal(run("mkdir -p b/sub ba a-b a && touch b/sub/f b/z 'b!' a/x ba/y top && "
                         "ln -s b link && mkfifo b/fifo"),
                     0);
    const char *here[] = {"."};
    struct fs_walk_options options = {.roots = here, .root_count = 1};
    expect(&options, "+%s +a x - +a-b - +b fifo +sub f - z - b! +ba y - link top - ");
    const char *many[] = {"ba", "b/sub", "top", "a/../b/sub/f", "b!", "link"};
    options = (struct fs_walk_options){.roots = many, .root_count = ARRAY_COUNT(many)};
    expect(&options, "[%s [b +sub f - - b! +ba y - link top - ");
    const char *followed[] = {"link/"};
    options = (struct fs_walk_options){.roots = followed, .root_count = 1};
    expect(&options, "[%s +b fifo +sub f - z - - ");
    struct fs_walk *w;
    const char *const *paths;
    options = (struct fs_walk_options){.roots = many, .root_count = ARRAY_COUNT(many)};
    OK(fs_walk_open(&options, &w, &msg));
    assert_int_equal(fs_walk_roots(w, &paths), 5);
    assert_int_equal(strncmp(paths[0], scratch, strlen(scratch)), 0);
    assert_string_equal(paths[0] + strlen(scratch), "/b/sub");
    fs_walk_close(w); /* without a step */
    const char *missing[] = {"top", "nothing"};
    options = (struct fs_walk_options){.roots = missing, .root_count = 2};
    assert_int_equal(fs_walk_open(&options, &w, &msg), ERR_NOT_FOUND);
    assert_non_null(strstr(msg.text, "nothing"));
}

static void test_walk_leaves_out(void **state)
{
    (void)state;
    assert_int_equal(run("mkdir -p src/obj src/cache src/keep src/marked/deep && "
                         "touch src/a.o src/a.c src/obj/x src/keep/b.o src/marked/f "
                         "src/marked/.nobackup src/cache/data && "
                         "printf 'Signature: 8a477f597d28d172789f06886806bc55\\n' "
                         ">src/cache/CACHEDIR.TAG"),
                     0);
    struct fs_exclude *list;
    OK(fs_exclude_new(&list));
    OK(fs_exclude_add(list, "*.o", false, &msg));
    OK(fs_exclude_add(list, "obj", false, &msg));
    OK(fs_exclude_add(list, "!keep/b.o", false, &msg));
    OK(fs_exclude_add(list, "/tmp", false, &msg)); /* a parent of the root is never asked about */
    OK(fs_exclude_add(list, "!/tmp/**", false, &msg));
    OK(fs_exclude_add(list, "*.o", false, &msg));
    OK(fs_exclude_add(list, "obj", false, &msg));
    OK(fs_exclude_add(list, "!keep/b.o", false, &msg));
    const char *roots[] = {"src"}, *markers[] = {".nobackup", "a.c:not its header"};
    struct fs_walk_options options = {
        .roots = roots,
        .root_count = 1,
        .exclude = list,
        .exclude_caches = true,
        .exclude_if_present = markers,
        .exclude_if_present_count = 2,
    };
    expect(&options, "[%s +src a.c +cache CACHEDIR.TAG - +keep b.o - +marked .nobackup - - - ");
    assert_int_equal(excluded, 5); /* a.o obj; cache/data; marked/deep marked/f */
    write_text("src/cache/CACHEDIR.TAG", "Signature: something else, shorter or not");
    expect(&options,
           "[%s +src a.c +cache CACHEDIR.TAG data - +keep b.o - +marked .nobackup - - - ");
    const char *object[] = {"src/a.o", "src/a.c"};
    options.roots = object;
    options.root_count = 2;
    expect(&options, "[%s [src a.c - - ");
    fs_exclude_free(list);
}

static void test_walk_one_file_system(void **state)
{
    (void)state;
    const char *roots[] = {"."};
    struct fs_walk_options options = {.roots = roots, .root_count = 1, .one_file_system = true};
    if (geteuid() != 0 || run("mkdir m && mount -t tmpfs none m 2>/dev/null") != 0) {
        print_message("skipped: cannot mount here\n");
        skip();
    }
    write_text("m/f", "x");
    expect(&options, "+%s +m - - ");
    options.one_file_system = false;
    expect(&options, "+%s +m f - - ");
    const char *mounted[] = {"m"};
    options = (struct fs_walk_options){.roots = mounted, .root_count = 1, .one_file_system = true};
    expect(&options, "[%s +m f - - ");
    assert_int_equal(run("umount m"), 0);
}

/* What an ordinary user may not read is said, and the rest is there. */
static void test_walk_tells_what_it_cannot_read(void **state)
{
    (void)state;
    assert_int_equal(run("mkdir -p a/closed/in z && touch a/f a/closed/g && chmod 755 . && "
                         "chmod 311 a/closed && chmod 0 z"),
                     0);
    if (geteuid() == 0)
        assert_int_equal(seteuid(65534), 0);
    const char *roots[] = {"a", "z"};
    struct fs_walk_options options = {.roots = roots, .root_count = 2};
    expect(&options, "[%s +a +closed !DENIED  - f - +z !DENIED  - - ");
    const char *inside[] = {"a/closed/in"}; /* to be searched is enough on the way to a root */
    options = (struct fs_walk_options){.roots = inside, .root_count = 1};
    expect(&options, "[%s [a [closed +in - - - - ");
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(run("chmod -R u+rwx a z"), 0);
}

/* A directory is exchanged for a link between two steps; files vanish. */
static void test_walk_is_not_led_astray(void **state)
{
    (void)state;
    assert_int_equal(run("mkdir d outside && touch outside/secret d/f && for i in $(seq 2000); do "
                         "echo d/n$i; done | xargs touch && mkdir zz && touch zz/g"),
                     0);
    const char *roots[] = {"."};
    struct fs_walk_options options = {.roots = roots, .root_count = 1};
    struct fs_walk *w;
    struct fs_batch *batch;
    OK(fs_walk_open(&options, &w, &msg));
    OK(fs_walk_next(w, &batch, &msg)); /* the first 1024 events */
    assert_false(batch->last);
    fs_batch_free(batch);
    assert_int_equal(run("rm -rf zz && ln -s outside zz"), 0);
    size_t problems = 0;
    for (bool last = false; !last;) {
        OK(fs_walk_next(w, &batch, &msg));
        for (size_t i = 0; i < batch->count; i++) {
            const struct fs_event *event = &batch->events[i];
            if (event->kind == FS_EVENT_PROBLEM) {
                assert_int_equal(event->error, ERR_STALE);
                assert_non_null(strstr(event->problem, "/zz"));
                problems++;
            }
            if (event->kind == FS_EVENT_ENTRY &&
                strcmp((const char *)event->entry.name.data, "secret") == 0) {
                char text[FS_PATH_TEXT_SIZE];
                assert_non_null(strstr(fs_dir_path_text(event->dir, event->entry.name, text),
                                       "/outside/secret"));
            }
        }
        last = batch->last;
        fs_batch_free(batch);
    }
    assert_int_equal(problems, 1);
    fs_walk_close(w);
}

static void test_walk_deep_beyond_path_max(void **state)
{
    (void)state;
    enum { DEPTH = 300 };
    char name[100];
    memset(name, 'n', 99);
    name[99] = 0;
    int fd = open(".", O_RDONLY | O_DIRECTORY);
    for (size_t i = 0; i < DEPTH; i++) { /* 30 kB of path */
        assert_int_equal(mkdirat(fd, name, 0700), 0);
        int below = openat(fd, name, O_RDONLY | O_DIRECTORY);
        close(fd);
        fd = below;
    }
    close(openat(fd, "bottom", O_CREAT | O_WRONLY, 0600));
    close(fd);
    const char *roots[] = {"."};
    struct fs_walk_options options = {.roots = roots, .root_count = 1};
    struct fs_walk *w;
    OK(fs_walk_open(&options, &w, &msg));
    size_t depth = 0, deepest = 0, bottom = 0;
    for (bool last = false; !last;) {
        struct fs_batch *batch;
        OK(fs_walk_next(w, &batch, &msg));
        for (size_t i = 0; i < batch->count; i++) {
            const struct fs_event *event = &batch->events[i];
            assert_int_not_equal(event->kind, FS_EVENT_PROBLEM);
            depth += event->kind == FS_EVENT_ENTER;
            depth -= event->kind == FS_EVENT_LEAVE;
            deepest = depth > deepest ? depth : deepest;
            if (event->kind == FS_EVENT_ENTRY) {
                struct fs_reader reader;
                OK(fs_reader_open(&reader, event->dir, &event->entry, &msg));
                fs_reader_close(&reader);
                bottom++;
            }
        }
        last = batch->last;
        fs_batch_free(batch);
    }
    fs_walk_close(w);
    assert_int_equal(depth, 0);
    assert_int_equal(deepest, DEPTH + 3);
    assert_int_equal(bottom, 1);
}

static long resident_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
    (void)fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* A hundred thousand names (a fifth in the normal tier) in order, and memory for names only. */
static void test_walk_wide(void **state)
{
    (void)state;
    const size_t names = getenv("CELLAR_TEST_FULL") ? 100000 : 20000;
    char name[32], previous[32] = "";
    assert_int_equal(mkdir("wide", 0700), 0);
    int fd = open("wide", O_RDONLY | O_DIRECTORY);
    for (size_t i = 0; i < names; i++) {
        (void)snprintf(name, sizeof(name), "name-%06zx", (i * 7919) % names);
        assert_int_equal(mknodat(fd, name, S_IFREG | 0600, 0), 0);
    }
    close(fd);
    const char *roots[] = {"wide"};
    struct fs_walk_options options = {.roots = roots, .root_count = 1};
    struct fs_walk *w;
    size_t seen = 0;
    long before = resident_kib(), most = before;
    OK(fs_walk_open(&options, &w, &msg));
    for (bool last = false; !last;) {
        struct fs_batch *batch;
        OK(fs_walk_next(w, &batch, &msg));
        for (size_t i = 0; i < batch->count; i++)
            if (batch->events[i].kind == FS_EVENT_ENTRY) {
                const char *at = (const char *)batch->events[i].entry.name.data;
                assert_true(strcmp(previous, at) < 0);
                (void)snprintf(previous, sizeof(previous), "%s", at);
                seen++;
            }
        long now = resident_kib();
        most = now > most ? now : most;
        last = batch->last;
        fs_batch_free(batch);
    }
    fs_walk_close(w);
    assert_int_equal(seen, names);
    print_message("%zu names: %ld KiB\n", names, most - before);
    /* 8192 looked at ahead take 2 MiB, a batch less than 1, a name 24 bytes and itself */
    assert_true(most - before < 16384);
}

/* Who looks ahead changes nothing of what is told, with directories of more names than are looked
   at with a scan, and with more of them than may be ready. */
static void test_walk_scouts_change_nothing(void **state)
{
    (void)state;
    assert_int_equal(run("for i in $(seq 12); do mkdir -p t/d$i/sub/deep t/e$i; "
                         "(cd t/d$i/sub && touch $(seq $((i * 12)))); touch t/e$i/x; done; "
                         "mkdir t/many && cd t/many && seq 1030 | xargs mkdir && touch 7/f 990/g"),
                     0);
    const char *roots[] = {"t"};
    struct fs_walk_options options = {.roots = roots, .root_count = 1};
    walk(&options, 0);
    char *alone = strdup(told);
    assert_true(strlen(alone) > 10000);
    for (size_t round = 0; round < 8; round++) {
        walk(&options, round % 4 + 1);
        assert_string_equal(told, alone);
    }
    free(alone);
}

/* What scouts have made ready is freed when the walk ends early. */
static void test_walk_closed_early(void **state)
{
    (void)state;
    assert_int_equal(run("for i in $(seq 300); do mkdir -p t/d$i/sub; done"), 0);
    const char *roots[] = {"t"};
    struct fs_walk_options options = {.roots = roots, .root_count = 1};
    struct fs_walk *w;
    struct fs_batch *batch;
    OK(fs_walk_open(&options, &w, &msg));
    assert_false(fs_walk_scout(w)); /* nothing is known yet */
    OK(fs_walk_next(w, &batch, &msg));
    assert_true(fs_walk_scout(w));
    assert_false(fs_walk_scout(w)); /* all of it is ready */
    fs_batch_free(batch);
    fs_walk_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_walk_scouts_change_nothing, scratch_make,
                                        scratch_remove),
        cmocka_unit_test_setup_teardown(test_walk_closed_early, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_walk_order_and_roots, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_walk_leaves_out, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_walk_one_file_system, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_walk_tells_what_it_cannot_read, scratch_make,
                                        scratch_remove),
        cmocka_unit_test_setup_teardown(test_walk_is_not_led_astray, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_walk_deep_beyond_path_max, scratch_make,
                                        scratch_remove),
        cmocka_unit_test_setup_teardown(test_walk_wide, scratch_make, scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

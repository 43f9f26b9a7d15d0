/* fs/fs_target: odd trees come back as they were; policies; nothing leads out of the target. */
#include "fs_test.h"

#include <dirent.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>

static struct copier copier;
static size_t notes;

static void count_note(void *user, enum err e, const char *sentence)
{
    (void)user;
    (void)e;
    assert_non_null(strstr(sentence, "cannot "));
    notes++;
}

/* --- the source --- */

static void set_flags_of(const char *path, int flags)
{
    int fd = open(path, O_RDONLY);
    int now = 0, result = ioctl(fd, FS_IOC_GETFLAGS, &now);
    flags |= now;
    result |= ioctl(fd, FS_IOC_SETFLAGS, &flags);
    close(fd);
    assert_int_equal(result, 0);
}

static void make_sparse(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0640);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "begin", 5, 1 << 20), 5);
    assert_int_equal(pwrite(fd, "middle", 6, 5 << 20), 6);
    assert_int_equal(ftruncate(fd, 9 << 20), 0);
    close(fd);
}

static void make_odd_tree(const char *at)
{
    assert_int_equal(mkdir(at, 0755), 0);
    assert_int_equal(chdir(at), 0);
    write_text("plain", "content");
    write_text("empty", "");
    write_text("\xff\xfe\n\t bytes\x01", "any bytes");
    write_text("setuid", "x");
    chmod("setuid", 06755);
    mkdir("sticky", 01777);
    mkdir("closed", 0755);
    write_text("closed/in", "x");
    chmod("closed", 0555);
    write_text("link1", "linked");
    assert_int_equal(link("link1", "link2"), 0);
    assert_int_equal(link("link1", "sticky/link3"), 0);
    assert_int_equal(symlink("nowhere/at all", "dangling"), 0);
    assert_int_equal(symlink("/etc/passwd", "absolute"), 0);
    assert_int_equal(mkfifo("fifo", 0622), 0);
    make_sparse("sparse");
    assert_int_equal(truncate("empty", 0), 0);
    write_text("hole", "");
    assert_int_equal(truncate("hole", 3 << 20), 0);
    if (setxattr("plain", "user.note", "v\0w", 3, 0) != 0)
        print_message("no user.* attributes here\n");
    (void)setxattr("sticky", "user.dir", "d", 1, 0);
    struct timespec times[2] = {{12345, 678}, {-5, 999999999}};
    assert_int_equal(utimensat(AT_FDCWD, "dangling", times, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(utimensat(AT_FDCWD, "plain", times, 0), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown("setuid", 12345, 54321), 0);
        chmod("setuid", 06755);
        assert_int_equal(lchown("dangling", 77, 88), 0);
        assert_int_equal(mknod("char", S_IFCHR | 0644, makedev(1, 3)), 0);
        assert_int_equal(mknod("block", S_IFBLK | 0600, makedev(259, 300)), 0);
        assert_int_equal(chown("char", 5, 6), 0);
        (void)setxattr("fifo", "trusted.f", "t", 1, 0);
        assert_int_equal(lsetxattr("dangling", "trusted.l", "link", 4, 0), 0);
        static const uint8_t capability[20] = {1, 0, 0, 2, 0, 4};
        assert_int_equal(setxattr("setuid", "security.capability", capability, 20, 0), 0);
        if (run("setfacl -m u:1234:rwx,m:r-x plain; setfacl -d -m g:99:r sticky") != 0)
            print_message("no ACLs here\n");
    }
    times[0] = times[1] = (struct timespec){1000000000, 123456789};
    assert_int_equal(utimensat(AT_FDCWD, "sticky", times, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, "closed", times, 0), 0);
    assert_int_equal(chdir(scratch), 0);
}

/* --- comparing by plain calls --- */

static char other_root[64];
static size_t compared;

static void assert_same_xattrs(const char *a, const char *b)
{
    char names[2][4096], values[2][4096];
    ssize_t size = llistxattr(a, names[0], 4096);
    assert_int_equal(llistxattr(b, names[1], 4096), size);
    for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names[0] + at) + 1) {
        ssize_t got = lgetxattr(a, names[0] + at, values[0], 4096);
        assert_int_equal(lgetxattr(b, names[0] + at, values[1], 4096), got);
        assert_memory_equal(values[0], values[1], (size_t)got);
    }
}

static void assert_same_bytes(const char *a, const char *b)
{
    FILE *x = fopen(a, "re"), *y = fopen(b, "re");
    assert_true(x && y);
    char p[4096], q[4096];
    size_t n;
    while ((n = fread(p, 1, sizeof(p), x)) > 0) {
        assert_int_equal(fread(q, 1, sizeof(q), y), n);
        assert_memory_equal(p, q, n);
    }
    assert_int_equal(fread(q, 1, 1, y), 0);
    (void)fclose(x);
    (void)fclose(y);
}

static int flags_of(const char *path)
{
    int flags = 0, fd = open(path, O_RDONLY | O_NOFOLLOW);
    if (fd >= 0)
        (void)ioctl(fd, FS_IOC_GETFLAGS, &flags);
    close(fd);
    return flags & (FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL | FS_SYNC_FL);
}

static int compare_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)type;
    (void)ftw;
    char other[4096];
    struct stat got;
    (void)snprintf(other, sizeof(other), "%s%s", other_root, path + strlen("src"));
    if (lstat(other, &got) != 0)
        fail_msg("%s is not there", other);
    assert_int_equal(got.st_mode, st->st_mode);
    assert_int_equal(got.st_uid, st->st_uid);
    assert_int_equal(got.st_gid, st->st_gid);
    assert_int_equal(got.st_rdev, st->st_rdev);
    assert_int_equal(got.st_mtim.tv_sec, st->st_mtim.tv_sec);
    assert_int_equal(got.st_mtim.tv_nsec, st->st_mtim.tv_nsec);
    if (!S_ISDIR(st->st_mode)) {
        assert_int_equal(got.st_size, st->st_size);
        assert_int_equal(got.st_nlink, st->st_nlink);
        assert_true(got.st_blocks <= st->st_blocks + 16); /* holes stay holes */
    }
    if (S_ISREG(st->st_mode))
        assert_same_bytes(path, other);
    if (S_ISLNK(st->st_mode)) {
        char a[256] = {0}, b[256] = {0};
        assert_true(readlink(path, a, 255) > 0 && readlink(other, b, 255) > 0);
        assert_string_equal(a, b);
    }
    if (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode))
        assert_int_equal(flags_of(path), flags_of(other));
    assert_same_xattrs(path, other);
    compared++;
    return 0;
}

static void assert_same_trees(const char *to)
{
    (void)snprintf(other_root, sizeof(other_root), "%s", to);
    compared = 0;
    assert_int_equal(nftw("src", compare_one, 32, FTW_PHYS), 0);
    assert_int_equal(run("test \"$(find src | wc -l)\" = \"$(find %s | wc -l)\"", to), 0);
    assert_true(compared > 10);
}

static void copy_to(const char *to, enum fs_overwrite overwrite, size_t pieces)
{
    char from[128];
    (void)snprintf(from, sizeof(from), "%s/src", scratch);
    struct fs_target_options options = {.path = to, .overwrite = overwrite, .on_note = count_note};
    notes = 0;
    copy_tree(from, &options, pieces, &copier);
}

static int make_source(void **state)
{
    int result = scratch_make(state);
    if (result == 0)
        make_odd_tree("src");
    return result;
}

static void test_target_restores_an_odd_tree(void **state)
{
    (void)state;
    copy_to("a/new/path", FS_OVERWRITE_ALWAYS, 0);
    assert_int_equal(notes, 0);
    assert_same_trees("a/new/path");
    copy_to("b", FS_OVERWRITE_ALWAYS, 3); /* in pieces of three bytes */
    assert_same_trees("b");
    copy_to("b", FS_OVERWRITE_ALWAYS, 0); /* over what is there */
    assert_same_trees("b");
    copy_to("b", FS_OVERWRITE_ALWAYS, 100000);
    assert_same_trees("b");
}

/* Everything of another type, size or attribute gives way. */
static void test_target_replaces_what_is_in_the_way(void **state)
{
    (void)state;
    assert_int_equal(run("mkdir -p t/plain t/fifo t/absolute t/link2 && echo x >t/sticky && "
                         "ln -s /tmp t/closed && mkfifo t/empty && ln -s /etc/shadow t/setuid && "
                         "touch t/dangling t/.cellar-part-0123456789abcdef-1f && "
                         "touch t/.cellar-part-mine"),
                     0);
    (void)setxattr("t/plain", "user.wrong", "x", 1, 0);
    copy_to("t", FS_OVERWRITE_ALWAYS, 0);
    assert_int_equal(access("t/.cellar-part-0123456789abcdef-1f", F_OK), -1); /* a left-over */
    assert_int_equal(unlink("t/.cellar-part-mine"), 0);                       /* no left-over */
    copy_to("t", FS_OVERWRITE_ALWAYS, 0);
    assert_same_trees("t");
    assert_int_equal(run("rm -rf src/plain2 t/plain; mkdir t/plain; touch t/plain/in"), 0);
    struct fs_target *target;
    struct fs_target_options options = {.path = "t"};
    struct fs_entry entry = {.name = slice_text("plain"), .type = FS_FILE, .mode = 0600};
    OK(fs_target_open(&options, &target, &msg));
    struct fs_dir *root = fs_target_root(target);
    assert_int_equal(fs_target_file(target, root, &entry, NULL, NULL, 0, slice_of(NULL, 0), &msg),
                     ERR_EXISTS);
    assert_non_null(strstr(msg.text, "--delete"));
    assert_int_equal(access("t/plain/in", F_OK), 0);
    fs_dir_release(root);
    fs_target_close(target);
    options.replace_directories = true;
    OK(fs_target_open(&options, &target, &msg));
    root = fs_target_root(target);
    OK(fs_target_file(target, root, &entry, NULL, NULL, 0, slice_of(NULL, 0), &msg));
    fs_dir_release(root);
    fs_target_close(target);
    assert_int_equal(run("test -f t/plain && ! ls -A t | grep -q cellar-part"), 0);
}

static void test_target_flags_on_ext4(void **state)
{
    (void)state;
    if (geteuid() != 0 || run("truncate -s 32M img && mkfs.ext4 -q img && mkdir m && "
                              "mount -o loop img m 2>/dev/null") != 0) {
        print_message("skipped: no loop-mounted ext4 here (needs root and loop devices)\n");
        skip();
    }
    char from[128];
    (void)snprintf(from, sizeof(from), "%s/m/src", scratch);
    assert_int_equal(run("mkdir -p m/src/dir && echo x >m/src/fixed && echo y >m/src/grow && "
                         "echo z >m/src/dir/nodump && ln m/src/fixed m/src/dir/fixed2"),
                     0);
    set_flags_of("m/src/dir/nodump", FS_NODUMP_FL | FS_NOATIME_FL);
    set_flags_of("m/src/fixed", FS_IMMUTABLE_FL);
    set_flags_of("m/src/grow", FS_APPEND_FL | FS_SYNC_FL);
    set_flags_of("m/src/dir", FS_IMMUTABLE_FL);
    struct fs_target_options options = {.path = "m/out", .on_note = count_note};
    notes = 0;
    for (int round = 0; round < 2; round++) { /* over immutable things too */
        copy_tree(from, &options, (size_t)round * 5, &copier);
        assert_int_equal(notes, 0);
        assert_int_equal(chdir("m"), 0);
        (void)snprintf(other_root, sizeof(other_root), "out");
        int result = nftw("src", compare_one, 32, FTW_PHYS);
        assert_int_equal(chdir(scratch), 0);
        assert_int_equal(result, 0);
        assert_int_equal(flags_of("m/out/fixed"), FS_IMMUTABLE_FL);
        assert_int_equal(flags_of("m/out/dir"), FS_IMMUTABLE_FL);
    }
    /* a full disk: said so, and nothing half under a real name */
    struct fs_target *target;
    OK(fs_target_open(&options, &target, &msg));
    struct fs_dir *root = fs_target_root(target);
    size_t size = 64 << 20;
    void *large = calloc(1, size);
    memset(large, 1, size);
    struct fs_entry entry = {.name = slice_text("large"), .type = FS_FILE, .size = size};
    assert_int_equal(
        fs_target_file(target, root, &entry, NULL, NULL, 0, slice_of(large, size), &msg), ERR_FULL);
    struct fs_file *file;
    OK(fs_target_file_begin(target, root, &entry, &file, &msg));
    assert_int_equal(fs_target_file_write(file, 0, slice_of(large, size), &msg), ERR_FULL);
    fs_target_file_abandon(file);
    free(large);
    fs_dir_release(root);
    fs_target_close(target);
    assert_int_equal(run("! ls -A m/out | grep -E 'large|part'"), 0);
    assert_int_equal(run("chattr -R -ia m/src m/out && umount m"), 0);
}

/* A file whose pages are written and dropped behind while others are still to come, in any order.
 */
static void test_target_large_file_in_pieces(void **state)
{
    (void)state;
    enum { SIZE = (40 << 20) + 5, PIECE = 1000003 };
    struct fs_target_options options = {.path = "large"};
    struct fs_entry entry = {.name = slice_text("f"), .type = FS_FILE, .size = SIZE, .mode = 0600};
    struct fs_target *target;
    struct fs_file *file;
    uint8_t *data = malloc(SIZE), *got = calloc(1, SIZE);
    assert_true(data && got);
    for (uint32_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 24);
    OK(fs_target_open(&options, &target, &msg));
    struct fs_dir *root = fs_target_root(target);
    OK(fs_target_file_begin(target, root, &entry, &file, &msg));
    for (unsigned odd = 0; odd < 2; odd++) /* every second piece first: edges share pages */
        for (uint32_t i = odd, at; (at = i * PIECE) < SIZE; i += 2) {
            const uint32_t size = SIZE - at < PIECE ? SIZE - at : PIECE;
            OK(fs_target_file_write(file, at, slice_of(data + at, size), &msg));
        }
    OK(fs_target_file_finish(file, &entry, NULL, &msg));
    fs_dir_release(root);
    fs_target_close(target);
    FILE *in = fopen("large/f", "rb");
    assert_non_null(in);
    assert_int_equal(fread(got, 1, SIZE, in), SIZE);
    assert_int_equal(fgetc(in), EOF);
    fclose(in);
    assert_memory_equal(got, data, SIZE);
    free(got);
    free(data);
}

/* --- policies --- */

static void test_target_policies(void **state)
{
    (void)state;
    struct fs_target *target;
    struct fs_target_options options = {.path = "p", .overwrite = FS_OVERWRITE_NEVER};
    struct fs_entry entry = {.name = slice_text("f"), .type = FS_FILE, .size = 3, .mode = 0600};
    struct fs_entry sub = {.name = slice_text("d"), .type = FS_DIRECTORY, .mode = 0700};
    enum fs_want want;
    assert_int_equal(run("mkdir -p p/d && printf abc >p/f && chmod 644 p/f && chmod 711 p/d"), 0);
    struct stat st;
    assert_int_equal(stat("p/f", &st), 0);
    entry.mtime = (struct fs_time){st.st_mtim.tv_sec, (uint32_t)st.st_mtim.tv_nsec};
    for (int policy = 0; policy < 3; policy++) {
        options.overwrite = (enum fs_overwrite)policy;
        OK(fs_target_open(&options, &target, &msg));
        struct fs_dir *root = fs_target_root(target), *dir;
        static const enum fs_want files[] = {FS_WANT_REPLACE, FS_WANT_METADATA, FS_WANT_NOTHING};
        OK(fs_target_wants(target, root, &entry, &want, &msg));
        assert_int_equal(want, files[policy]);
        OK(fs_target_wants(target, root, &sub, &want, &msg));
        assert_int_equal(want, policy == 2 ? FS_WANT_NOTHING : FS_WANT_METADATA);
        entry.name = slice_text("new");
        OK(fs_target_wants(target, root, &entry, &want, &msg));
        assert_int_equal(want, FS_WANT_CREATE);
        entry.name = slice_text("f");
        if (options.overwrite == FS_OVERWRITE_NEVER) {
            struct fs_file *file;
            assert_int_equal(
                fs_target_file(target, root, &entry, NULL, NULL, 0, slice_text("xyz"), &msg),
                ERR_EXISTS);
            OK(fs_target_file_begin(target, root, &entry, &file, &msg));
            assert_int_equal(fs_target_file_finish(file, &entry, NULL, &msg), ERR_EXISTS);
            OK(fs_target_dir(target, root, &sub, &dir, &msg));
            OK(fs_target_dir_finish(target, dir, &sub, NULL, &msg));
            fs_dir_release(dir);
        }
        fs_dir_release(root);
        fs_target_close(target);
    }
    assert_int_equal(run("test \"$(cat p/f)\" = abc -a \"$(stat -c %%a p/d)\" = 711 && "
                         "! ls -A p | grep part"),
                     0);
    options.overwrite = FS_OVERWRITE_IF_CHANGED;
    OK(fs_target_open(&options, &target, &msg));
    struct fs_dir *root = fs_target_root(target);
    OK(fs_target_touch(target, root, &entry, NULL, &msg));
    fs_dir_release(root);
    fs_target_close(target);
    assert_int_equal(run("test \"$(cat p/f)\" = abc -a \"$(stat -c %%a p/f)\" = 600"), 0);
}

/* What a killed restore left in a directory that it made: the next one takes away what was not
   whole, also when it is to leave alone what is there; what somebody else put there stays. */
static void test_target_goes_on_where_one_was_killed(void **state)
{
    (void)state;
    struct fs_target *target;
    struct fs_target_options options = {.path = "k", .overwrite = FS_OVERWRITE_NEVER};
    struct fs_entry left = {.name = slice_text("left"), .type = FS_DIRECTORY, .mode = 0751};
    struct fs_entry users = {.name = slice_text("users"), .type = FS_DIRECTORY, .mode = 0751};
    struct fs_entry file = {.type = FS_FILE, .size = 3, .mode = 0640, .mtime = {1000, 7}};
    static const char *const names[] = {"half", "mine", "whole"};
    assert_int_equal(run("mkdir -p k/left k/users && printf ab | tee k/left/half >k/users/half && "
                         "echo mine | tee k/left/mine >k/users/mine && chmod 1200 k/*/half && "
                         "chmod 1700 k/left && chmod 755 k/users"),
                     0);
    OK(fs_target_open(&options, &target, &msg));
    struct fs_dir *root = fs_target_root(target);
    for (int i = 0; i < 2; i++) {
        struct fs_dir *dir;
        const struct fs_entry *entry = i ? &users : &left;
        OK(fs_target_dir(target, root, entry, &dir, &msg));
        for (size_t n = 0; n < ARRAY_COUNT(names); n++) {
            enum fs_want want;
            file.name = slice_text(names[n]);
            OK(fs_target_wants(target, dir, &file, &want, &msg));
            assert_true(want == FS_WANT_CREATE || want == FS_WANT_NOTHING);
            if (want == FS_WANT_CREATE)
                OK(fs_target_file(target, dir, &file, NULL, NULL, 0, slice_text("new"), &msg));
        }
        OK(fs_target_dir_finish(target, dir, entry, NULL, &msg));
        fs_dir_release(dir);
    }
    fs_dir_release(root);
    fs_target_close(target);
    assert_int_equal(run("test \"$(cat k/left/half k/left/mine k/left/whole)\" = \"newmine\nnew\""),
                     0);
    assert_int_equal(
        run("test \"$(cat k/users/half k/users/mine k/users/whole)\" = \"abmine\nnew\""), 0);
    assert_int_equal(run("test \"$(stat -c %%a k/left k/left/half k/users)\" = \"751\n640\n755\""),
                     0);
}

/* Until it is finished nobody else looks into a directory that a restore makes; a file in it that
   could not be made whole is gone. */
static void test_target_unfinished_directory_is_closed(void **state)
{
    (void)state;
    struct fs_target *target;
    struct fs_target_options options = {.path = "u"};
    struct fs_entry sub = {.name = slice_text("d"), .type = FS_DIRECTORY, .mode = 0755};
    struct fs_entry file = {.name = slice_text("f"), .type = FS_FILE, .size = 3, .mode = 0644};
    struct fs_dir *dir;
    OK(fs_target_open(&options, &target, &msg));
    struct fs_dir *root = fs_target_root(target);
    OK(fs_target_dir(target, root, &sub, &dir, &msg));
    OK(fs_target_file(target, dir, &file, NULL, NULL, 0, slice_text("one"), &msg));
    assert_int_equal(run("test \"$(stat -c %%a u/d u/d/f)\" = \"1700\n644\""), 0);
    /* the same name again, as only a hostile snapshot has it */
    OK(fs_target_file(target, dir, &file, NULL, NULL, 0, slice_text("two"), &msg));
    struct rlimit size;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &size), 0);
    const struct rlimit small = {2, size.rlim_max};
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    file.name = slice_text("g");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const enum err e = fs_target_file(target, dir, &file, NULL, NULL, 0, slice_text("one"), &msg);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &size), 0);
    signal(SIGXFSZ, before);
    assert_int_not_equal(e, ERR_OK);
    OK(fs_target_dir_finish(target, dir, &sub, NULL, &msg));
    assert_int_equal(run("test \"$(stat -c %%a u/d)-$(ls -A u/d)-$(cat u/d/f)\" = 755-f-two"), 0);
    fs_dir_release(dir);
    fs_dir_release(root);
    fs_target_close(target);
}

static size_t deleted;

static void count_deleted(void *user, struct fs_dir *dir, struct slice name, enum fs_type type)
{
    (void)user;
    (void)type;
    char text[FS_PATH_TEXT_SIZE];
    assert_non_null(fs_dir_path_text(dir, name, text));
    deleted++;
}

static void test_target_delete_others(void **state)
{
    (void)state;
    struct slice names[] = {slice_text("a"), slice_text("c")};
    assert_int_equal(run("mkdir -p victim x/b/deep/er x/c x/d && touch x/a x/b/deep/f x/d/g x/e && "
                         "touch victim/precious && ln -s $PWD/victim x/link && "
                         "ln -s $PWD/victim x/b/deep/link"),
                     0);
    for (int dry = 1; dry >= 0; dry--) {
        struct fs_target *target;
        struct fs_target_options options = {.path = "x", .dry_run = dry};
        OK(fs_target_open(&options, &target, &msg));
        struct fs_dir *root = fs_target_root(target);
        deleted = 0;
        OK(fs_target_delete_others(target, root, names, 2, count_deleted, NULL, &msg));
        assert_int_equal(deleted, 9); /* b b/deep b/deep/er f link, d d/g, e, link */
        fs_dir_release(root);
        fs_target_close(target);
        assert_int_equal(run("test $(find x | wc -l) = %d", dry ? 12 : 3), 0);
    }
    assert_int_equal(access("victim/precious", F_OK), 0);
}

static void test_target_dry_run_changes_nothing(void **state)
{
    (void)state;
    struct fs_target *target;
    struct fs_target_options options = {.path = "not/there", .dry_run = true};
    struct fs_entry entry = {.name = slice_text("f"), .type = FS_FILE, .size = 3};
    struct fs_dir *dir;
    enum fs_want want;
    OK(fs_target_open(&options, &target, &msg));
    assert_null(fs_target_root(target));
    OK(fs_target_wants(target, NULL, &entry, &want, &msg));
    assert_int_equal(want, FS_WANT_CREATE);
    OK(fs_target_file(target, NULL, &entry, NULL, NULL, 0, slice_text("abc"), &msg));
    OK(fs_target_dir(target, NULL, &entry, &dir, &msg));
    assert_null(dir);
    fs_target_close(target);
    assert_int_equal(access("not", F_OK), -1);
}

/* --- hostile --- */

static void test_target_refuses_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t size;
    } bad[] = {{"", 0}, {".", 1}, {"..", 2}, {"a/b", 3}, {"/", 1}, {"a\0b", 3}, {"../x", 4}};
    struct fs_target *target;
    struct fs_target_options options = {.path = "n"};
    struct fs_details details = {.target = slice_text("t")};
    OK(fs_target_open(&options, &target, &msg));
    struct fs_dir *root = fs_target_root(target), *dir;
    struct fs_file *file;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct fs_entry entry = {.name = slice_of(bad[i].name, bad[i].size), .type = FS_FILE};
        struct slice none = slice_of(NULL, 0);
        enum fs_want want;
        assert_int_equal(fs_target_wants(target, root, &entry, &want, &msg), ERR_FORMAT);
        assert_int_equal(fs_target_file(target, root, &entry, NULL, NULL, 0, none, &msg),
                         ERR_FORMAT);
        assert_int_equal(fs_target_file_begin(target, root, &entry, &file, &msg), ERR_FORMAT);
        assert_int_equal(fs_target_dir(target, root, &entry, &dir, &msg), ERR_FORMAT);
        assert_int_equal(fs_target_touch(target, root, &entry, NULL, &msg), ERR_FORMAT);
        assert_int_equal(fs_target_link(target, root, &entry, root, slice_text("x"), &msg),
                         ERR_FORMAT);
        entry.type = FS_SYMLINK;
        assert_int_equal(fs_target_symlink(target, root, &entry, &details, &msg), ERR_FORMAT);
        entry.type = FS_FIFO;
        assert_int_equal(fs_target_node(target, root, &entry, &details, &msg), ERR_FORMAT);
    }
    fs_dir_release(root);
    fs_target_close(target);
    assert_int_equal(run("test -z \"$(ls -A n)\""), 0);
}

/* A directory is exchanged for a link to outside while it is restored into. */
static void test_target_is_not_led_out(void **state)
{
    (void)state;
    struct fs_target *target;
    struct fs_target_options options = {.path = "t/root"};
    struct fs_entry d = {.name = slice_text("d"), .type = FS_DIRECTORY, .mode = 0700};
    struct fs_entry f = {.name = slice_text("f"), .type = FS_FILE, .size = 1, .mode = 0600};
    struct fs_dir *dir, *sub;
    struct fs_file *file;
    assert_int_equal(run("mkdir outside"), 0);
    OK(fs_target_open(&options, &target, &msg));
    struct fs_dir *root = fs_target_root(target);
    OK(fs_target_dir(target, root, &d, &dir, &msg));
    assert_int_equal(run("rmdir t/root/d && ln -s $PWD/outside t/root/d"), 0);
    assert_int_equal(fs_target_file(target, dir, &f, NULL, NULL, 0, slice_text("x"), &msg),
                     ERR_STALE);
    assert_int_equal(fs_target_file_begin(target, dir, &f, &file, &msg), ERR_STALE);
    assert_int_equal(fs_target_dir(target, dir, &d, &sub, &msg), ERR_STALE);
    assert_int_equal(fs_target_dir_finish(target, dir, &d, NULL, &msg), ERR_STALE);
    fs_dir_release(dir);
    /* the link itself gives way to the directory; then another directory takes its place */
    OK(fs_target_dir(target, root, &d, &dir, &msg));
    OK(fs_target_file(target, dir, &f, NULL, NULL, 0, slice_text("x"), &msg));
    assert_int_equal(run("test -f t/root/d/f && ! test -L t/root/d && test -z \"$(ls outside)\""),
                     0);
    /* a link under the name of a file is replaced, never written through */
    assert_int_equal(run("rm t/root/d/f && ln -s $PWD/outside/f t/root/d/f"), 0);
    OK(fs_target_file(target, dir, &f, NULL, NULL, 0, slice_text("y"), &msg));
    assert_int_equal(run("test -z \"$(ls outside)\" && ! test -L t/root/d/f"), 0);
    fs_dir_release(dir);
    fs_dir_release(root);
    fs_target_close(target);
}

/* --- many at once --- */

enum { THREADS = 4, FILES = 300 };

struct share {
    struct fs_target *target;
    struct fs_dir *root;
    size_t number;
    const char *failed;
};

/* Files in pieces, all under way at once: more than descriptors are kept. */
static void *write_share(void *given)
{
    struct share *share = given;
    struct errmsg own;
    struct fs_file *files[FILES];
    char names[FILES][32];
    struct fs_entry entry = {.type = FS_FILE, .size = 8, .mode = 0600};
    for (size_t i = 0; i < FILES; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "t%zu-%zu", share->number, i);
        entry.name = slice_text(names[i]);
        if (fs_target_file_begin(share->target, share->root, &entry, &files[i], &own) != ERR_OK)
            return (void)(share->failed = "begin"), NULL;
    }
    for (uint64_t offset = 0; offset < 8; offset += 4)
        for (size_t i = 0; i < FILES; i++)
            if (fs_target_file_write(files[i], offset, slice_text(offset ? "next" : "frst"),
                                     &own) != ERR_OK)
                return (void)(share->failed = "write"), NULL;
    for (size_t i = 0; i < FILES; i++) {
        entry.name = slice_text(names[i]);
        if (fs_target_file_finish(files[i], &entry, NULL, &own) != ERR_OK)
            return (void)(share->failed = "finish"), NULL;
    }
    return NULL;
}

static void test_target_many_files_from_threads(void **state)
{
    (void)state;
    struct fs_target *target;
    struct fs_target_options options = {.path = "many"};
    struct rlimit before, few = {.rlim_cur = 256};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    OK(fs_target_open(&options, &target, &msg));
    pthread_t threads[THREADS];
    struct share shares[THREADS];
    struct fs_dir *root = fs_target_root(target);
    for (size_t i = 0; i < THREADS; i++) {
        shares[i] = (struct share){.target = target, .root = root, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_share, &shares[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        if (shares[i].failed)
            fail_msg("thread %zu: %s", i, shares[i].failed);
    }
    struct fs_file *file;
    struct fs_entry entry = {.name = slice_text("gone"), .type = FS_FILE, .size = 1};
    OK(fs_target_file_begin(target, root, &entry, &file, &msg));
    assert_int_equal(fs_target_file_write(file, 1, slice_text("x"), &msg), ERR_USAGE);
    fs_target_file_abandon(file);
    OK(fs_target_sync(target, &msg));
    fs_dir_release(root);
    fs_target_close(target);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(run("test $(ls -A many | wc -l) = %d && test $(cat many/* | wc -c) = %d",
                         THREADS * FILES, THREADS * FILES * 8),
                     0);
}

static void test_target_deep_beyond_path_max(void **state)
{
    (void)state;
    enum { DEPTH = 60 };
    char name[101];
    memset(name, 'n', 100);
    name[100] = 0;
    struct fs_target *target;
    struct fs_target_options options = {.path = "deep"};
    struct fs_entry d = {.name = slice_text(name), .type = FS_DIRECTORY, .mode = 0755};
    struct fs_entry f = {.name = slice_text("f"), .type = FS_FILE, .size = 1, .mode = 0600};
    struct fs_dir *chain[DEPTH + 1];
    OK(fs_target_open(&options, &target, &msg));
    chain[0] = fs_target_root(target);
    for (size_t i = 0; i < DEPTH; i++)
        OK(fs_target_dir(target, chain[i], &d, &chain[i + 1], &msg));
    OK(fs_target_file(target, chain[DEPTH], &f, NULL, NULL, 0, slice_text("x"), &msg));
    for (size_t i = DEPTH; i > 0; i--) {
        OK(fs_target_dir_finish(target, chain[i], &d, NULL, &msg));
        fs_dir_release(chain[i]);
    }
    assert_int_equal(run("test $(find deep | wc -l) = %d", DEPTH + 2), 0);
    deleted = 0;
    OK(fs_target_delete_others(target, chain[0], NULL, 0, count_deleted, NULL, &msg));
    assert_int_equal(deleted, DEPTH + 1);
    fs_dir_release(chain[0]);
    fs_target_close(target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_target_restores_an_odd_tree, make_source,
                                        scratch_remove),
        cmocka_unit_test_setup_teardown(test_target_replaces_what_is_in_the_way, make_source,
                                        scratch_remove),
        cmocka_unit_test_setup_teardown(test_target_flags_on_ext4, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_target_large_file_in_pieces, scratch_make,
                                        scratch_remove),
        cmocka_unit_test_setup_teardown(test_target_policies, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_target_goes_on_where_one_was_killed, scratch_make,
                                        scratch_remove),
        cmocka_unit_test_setup_teardown(test_target_unfinished_directory_is_closed, scratch_make,
                                        scratch_remove),
        cmocka_unit_test_setup_teardown(test_target_delete_others, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_target_dry_run_changes_nothing, scratch_make,
                                        scratch_remove),
        cmocka_unit_test_setup_teardown(test_target_refuses_names, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_target_is_not_led_out, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_target_many_files_from_threads, scratch_make,
                                        scratch_remove),
        cmocka_unit_test_setup_teardown(test_target_deep_beyond_path_max, scratch_make,
                                        scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * A forget and a prune whose process dies behind each commit of its index, on a swarm of the real
 * daemons' code: a next run ends what it began, nothing that is needed is lost, and the space is
 * freed.
 */
#include "machines.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* The vault's directory as it was right behind the N-th commit since `from`. */
struct crash {
    struct machine *m;
    unsigned target, seen;
    off_t wal_size;
    bool hit;
    char copy[MACHINES_PATH_SIZE];
};

static off_t size_of(const char *dir, const char *name)
{
    char path[2 * MACHINES_PATH_SIZE];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return stat(path, &st) == 0 ? st.st_size : 0;
}

static void copy_file(const char *from, const char *to, const char *name, off_t size_max)
{
    char path[2 * MACHINES_PATH_SIZE];
    uint8_t block[65536];
    snprintf(path, sizeof(path), "%s/%s", from, name);
    FILE *in = fopen(path, "r");
    if (!in)
        return;
    snprintf(path, sizeof(path), "%s/%s", to, name);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    while (size_max > 0) {
        const size_t want = size_max < (off_t)sizeof(block) ? (size_t)size_max : sizeof(block);
        const size_t got = fread(block, 1, want, in);
        if (got == 0)
            break;
        assert_int_equal(fwrite(block, 1, got, out), got);
        size_max -= (off_t)got;
    }
    fclose(in);
    fclose(out);
}

static void copy_vault(const char *from, const char *to, off_t wal_size)
{
    static const char *const names[] = {"settings.ini", "keys", "key", "members", "index.db"};
    assert_int_equal(mkdir(to, 0700), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        copy_file(from, to, names[i], INT64_MAX);
    copy_file(from, to, "index.db-wal", wal_size);
}

/* Ends of the commits in the write-ahead log between two sizes: a frame's header tells the size of
   the database when it is a transaction's last one (SQLite's file format, section 4.1). */
static bool next_commit(const char *dir, off_t *at, off_t end)
{
    enum { HEADER = 32, FRAME = 24 + 4096 };
    char path[2 * MACHINES_PATH_SIZE];
    uint8_t frame[8];
    snprintf(path, sizeof(path), "%s/index.db-wal", dir);
    const int fd = open(path, O_RDONLY);
    bool found = false;
    if (*at < HEADER)
        *at = HEADER;
    while (!found && *at + FRAME <= end) {
        assert_int_equal(pread(fd, frame, sizeof(frame), *at), sizeof(frame));
        *at += FRAME;
        found = frame[4] || frame[5] || frame[6] || frame[7];
    }
    close(fd);
    return found;
}

static bool crash_or_done(void *user)
{
    struct crash *c = user;
    const off_t size = size_of(c->m->vault_dir, "index.db-wal");
    while (c->wal_size < size && !c->hit && next_commit(c->m->vault_dir, &c->wal_size, size))
        if (c->seen++ == c->target) {
            copy_vault(c->m->vault_dir, c->copy, c->wal_size);
            c->hit = true;
        }
    return c->hit || c->m->done;
}

/* What runs on the machine is gone, and what it would still write. */
static void die_and_come_back(struct crash *c)
{
    struct machine *m = c->m;
    sim_node_crash(m->node, SIM_KILL);
    machines_wait(m);
    vault_close(m->vault);
    m->vault = NULL;
    temp_dir_remove(m->vault_dir);
    assert_int_equal(rename(c->copy, m->vault_dir), 0);
    sim_node_start(m->node);
    machines_open(m);
}

/* False: everything was done before there were so many commits. */
static bool run_with_crash(unsigned target)
{
    struct machines w;
    struct id s[3];
    machines_set_up(&w, 7000 + target);
    for (unsigned n = 0; n < 3; n++)
        s[n] = machines_back_up(&w.a, n);
    const uint64_t before = machines_shards(&w);
    struct crash c = {.m = &w.a, .target = target};
    snprintf(c.copy, sizeof(c.copy), "%s/crashed", w.dir);
    c.wal_size = size_of(w.a.vault_dir, "index.db-wal");
    assert_int_equal(machines_start_forget(&w.a, &s[0]), ERR_OK);
    assert_int_equal(sim_world_run_until(w.sim, crash_or_done, &c, MACHINES_DAY_MS), ERR_OK);
    if (!c.hit) {
        w.a.done = false;
        machines_ok(&w.a);
        machines_start_prune(&w.a);
        assert_int_equal(sim_world_run_until(w.sim, crash_or_done, &c, MACHINES_DAY_MS), ERR_OK);
    }
    if (c.hit)
        die_and_come_back(&c);
    else
        w.a.done = false;
    machines_restores(&w.a, &s[1], 1);
    machines_restores(&w.a, &s[2], 2);
    /* again, when the tombstone was not there yet */
    if (machines_start_forget(&w.a, &s[0]) == ERR_OK)
        machines_wait(&w.a);
    assert_true(w.a.e == ERR_OK || w.a.e == ERR_NOT_FOUND);
    machines_prune(&w.a);
    machines_pass(&w, 3 * MACHINES_HOLD_S * 1000ull);
    const uint64_t left = machines_shards(&w);
    if (left >= before)
        fail_msg("commit %u: nothing was freed: %llu shards before, %llu now", target,
                 (unsigned long long)before, (unsigned long long)left);
    machines_restores(&w.a, &s[1], 1);
    machines_restores(&w.a, &s[2], 2);
    const struct id again = machines_back_up(&w.a, 0); /* what only the forgotten one had */
    machines_restores(&w.a, &again, 0);
    machines_tear_down(&w);
    return c.hit;
}

static void test_a_crash_behind_any_commit_of_forget_and_prune_loses_nothing(void **state)
{
    (void)state;
    const bool full = getenv("CELLAR_TEST_FULL") != NULL;
    unsigned target = 0, runs = 0;
    while (run_with_crash(target)) {
        target += full ? 1 : 3;
        runs++;
    }
    assert_true(target >= 12 && runs >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_crash_behind_any_commit_of_forget_and_prune_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

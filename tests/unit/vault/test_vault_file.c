/* The vault's lock: it goes with its process, and who takes it for a moment only is waited for. */
#include "harness/temp_dir.h"
#include "vault/vault_parts.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char dir[TEMP_DIR_SIZE], path[TEMP_DIR_SIZE + 8];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    temp_dir_make(f->dir);
    snprintf(f->path, sizeof(f->path), "%s/lock", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    temp_dir_remove(f->dir);
    free(f);
    return 0;
}

/* Another process that holds the lock for `hold_ms`, or until it is killed (-1). Returns when it
   has it. */
static pid_t holder(const struct fixture *f, bool short_use, int hold_ms)
{
    int ready[2], fd;
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (vault_file_lock(f->path, short_use, &fd, NULL) != ERR_OK ||
            write(ready[1], "x", 1) != 1)
            _exit(1);
        (void)poll(NULL, 0, hold_ms);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void test_the_holder_is_named_and_its_death_frees_the_lock(void **state)
{
    struct fixture *f = *state;
    struct errmsg msg;
    char pid[32];
    int fd;
    const pid_t child = holder(f, false, -1);
    snprintf(pid, sizeof(pid), "process %ld;", (long)child);
    assert_int_equal(vault_file_lock(f->path, false, &fd, &msg), ERR_LOCKED);
    assert_non_null(strstr(msg.text, pid));
    assert_int_equal(vault_file_lock(f->path, true, &fd, &msg), ERR_LOCKED);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(vault_file_lock(f->path, false, &fd, &msg), ERR_OK);
    close(fd);
}

/* A backup that meets a reader which is catching up waits; another reader does not. */
static void test_a_moment_is_waited_for(void **state)
{
    struct fixture *f = *state;
    struct errmsg msg;
    int fd;
    const pid_t child = holder(f, true, 300);
    assert_int_equal(vault_file_lock(f->path, true, &fd, &msg), ERR_LOCKED);
    assert_int_equal(vault_file_lock(f->path, false, &fd, &msg), ERR_OK);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_holder_is_named_and_its_death_frees_the_lock,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_moment_is_waited_for, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

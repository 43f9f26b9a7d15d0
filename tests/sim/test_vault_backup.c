/*
 * The vault on a swarm of the real daemons' code: a new account, backups of a real tree, what is
 * sent again and what is not, too few cells, and a chain of references that can be walked back from
 * the head with the vault's keys.
 */
#include "vault_fixture.h"

#include "index/index.h"
#include "snapshot/snapshot.h"
#include "snapshot/snapshot_entry.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

static void test_a_first_backup_sends_all_and_a_second_next_to_nothing(void **state)
{
    struct vault_fixture *f = *state;
    vault_fixture_back_up(f, true);
    vault_fixture_ok(f);
    assert_int_equal(f->summary.files_new, 102);
    assert_int_equal(f->summary.bytes_sent, 0);

    vault_fixture_back_up(f, false);
    vault_fixture_ok(f);
    assert_int_equal(f->problems, 0);
    assert_int_equal(f->summary.files_new, 102);
    assert_int_equal(f->summary.files_changed + f->summary.files_unmodified, 0);
    assert_int_equal(f->summary.margin_min, 2);
    assert_int_equal(f->summary.debts, 0);
    assert_int_equal(f->summary.cells_used, VAULT_FIXTURE_CELLS);
    assert_true(f->summary.data_added > 9 << 20 && f->summary.data_added < 12 << 20);
    assert_true(f->summary.bytes_sent > f->summary.data_added_packed * 3 / 2);
    assert_false(id_is_zero(&f->summary.snapshot_id));
    const struct backup_summary first = f->summary;

    vault_fixture_back_up(f, false);
    vault_fixture_ok(f);
    assert_int_equal(f->summary.files_new + f->summary.files_changed, 0);
    assert_int_equal(f->summary.files_unmodified, 102);
    assert_int_equal(f->summary.dirs_new, 0);
    assert_int_equal(f->summary.data_blobs, 0);
    assert_true(f->summary.bytes_sent <= 2 * 6 * 8192);
    assert_memory_not_equal(&f->summary.snapshot_id, &first.snapshot_id, 32);

    /* one file changed, one new, one gone */
    char path[4096];
    vault_fixture_write(f, "dir-1/file-3", 500, 5555);
    vault_fixture_write(f, "dir-2/new", 700, 6666);
    snprintf(path, sizeof(path), "%s/dir-3/file-4", f->tree);
    assert_int_equal(unlink(path), 0);
    vault_fixture_back_up(f, false);
    vault_fixture_ok(f);
    assert_int_equal(f->summary.files_new, 1);
    assert_int_equal(f->summary.files_changed, 1);
    assert_int_equal(f->summary.files_unmodified, 100);
    assert_int_equal(f->summary.data_blobs, 2);
}

static void test_a_vault_that_is_opened_again_goes_on(void **state)
{
    struct vault_fixture *f = *state;
    vault_fixture_back_up(f, false);
    vault_fixture_ok(f);
    vault_close(f->vault);
    vault_fixture_open(f);
    vault_fixture_back_up(f, false);
    vault_fixture_ok(f);
    assert_int_equal(f->summary.files_unmodified, 102);
    /* a second process is told so */
    struct vault *other;
    const struct vault_open_options options = {.dir = f->vault_dir, .access = VAULT_WRITE};
    assert_int_equal(vault_open(&options, &f->ports, &other, &f->msg), ERR_LOCKED);
}

static void test_too_few_cells_make_no_snapshot_and_the_next_run_goes_on(void **state)
{
    struct vault_fixture *f = *state;
    for (unsigned i = 0; i < 4; i++)
        sim_swarm_stop_cell(f->swarm, i, SIM_STOP);
    vault_fixture_back_up(f, false);
    assert_int_equal(f->e, ERR_NOT_ENOUGH);
    assert_true(id_is_zero(&f->summary.snapshot_id));
    for (unsigned i = 0; i < 4; i++)
        sim_swarm_start_cell(f->swarm, i);
    vault_close(f->vault);
    assert_int_equal(sim_world_run(f->world, 3600000), ERR_OK);
    vault_fixture_open(f);
    vault_fixture_back_up(f, false);
    vault_fixture_ok(f);
    assert_int_equal(f->summary.files_new, 102);
}

static void test_what_cannot_be_read_is_said_and_the_rest_is_stored(void **state)
{
    struct vault_fixture *f = *state;
    if (geteuid() == 0)
        skip(); /* root reads everything */
    char path[4096];
    snprintf(path, sizeof(path), "%s/dir-0/file-1", f->tree);
    assert_int_equal(chmod(path, 0), 0);
    vault_fixture_back_up(f, false);
    vault_fixture_ok(f);
    assert_int_equal(f->problems, 1);
    assert_int_equal(f->summary.problems, 1);
    assert_int_equal(f->summary.files_new, 101);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_first_backup_sends_all_and_a_second_next_to_nothing,
                                        vault_fixture_setup, vault_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_vault_that_is_opened_again_goes_on,
                                        vault_fixture_setup, vault_fixture_teardown),
        cmocka_unit_test_setup_teardown(
            test_too_few_cells_make_no_snapshot_and_the_next_run_goes_on, vault_fixture_setup,
            vault_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_read_is_said_and_the_rest_is_stored,
                                        vault_fixture_setup, vault_fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

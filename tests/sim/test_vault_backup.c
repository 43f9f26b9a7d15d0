/*
 * The vault on a swarm of the real daemons' code: a new account, backups of a real tree, what is
 * sent again and what is not, too few cells, and a chain of references that can be walked back from
 * the head with the vault's keys.
 */
#include "sim_swarm.h"

#include "harness/temp_dir.h"
#include "identity/invite_text.h"
#include "index/index.h"
#include "snapshot/snapshot.h"
#include "snapshot/snapshot_entry.h"
#include "vault/vault_backup.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

enum { CELLS = 7 };

struct fixture {
    struct sim_world *world;
    struct sim_swarm *swarm;
    struct sim_node *tools; /* whose clock, work and random bytes the vault has */
    struct sim_node *node;  /* whose net */
    char dir[TEMP_DIR_SIZE], tree[TEMP_DIR_SIZE + 16], vault_dir[TEMP_DIR_SIZE + 16];
    char phrase[TEMP_DIR_SIZE + 16];
    struct vault_ports ports;
    struct vault *vault;
    struct errmsg msg;
    bool done;
    enum err e;
    struct vault_backup_summary summary;
    unsigned problems;
};

static bool is_done(void *user)
{
    return ((struct fixture *)user)->done;
}

static void wait_done(struct fixture *f)
{
    const enum err e = sim_world_run_until(f->world, is_done, f, 86400000);
    if (e != ERR_OK)
        fail_msg("nothing happens any more: %s", err_words(e));
    f->done = false;
}

static void on_done(void *user, enum err e, const struct errmsg *msg)
{
    struct fixture *f = user;
    f->done = true;
    f->e = e;
    f->msg = *msg;
}

static void write_file(struct fixture *f, const char *name, size_t size, unsigned seed)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", f->tree, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    uint64_t x = seed * 2654435761u + 88172645463325252u;
    for (size_t i = 0; i < size; i += 8) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        assert_int_equal(fwrite(&x, 1, size - i < 8 ? size - i : 8, file),
                         size - i < 8 ? size - i : 8);
    }
    fclose(file);
}

static void make_tree(struct fixture *f)
{
    char path[4096], name[64];
    assert_int_equal(mkdir(f->tree, 0755), 0);
    for (int d = 0; d < 5; d++) {
        snprintf(path, sizeof(path), "%s/dir-%d", f->tree, d);
        assert_int_equal(mkdir(path, 0755), 0);
        for (int i = 0; i < 20; i++) {
            snprintf(name, sizeof(name), "dir-%d/file-%d", d, i);
            write_file(f, name, (size_t)(i * 1000), (unsigned)(d * 100 + i));
        }
    }
    write_file(f, "large", 9 << 20, 77);
    snprintf(path, sizeof(path), "%s/link", f->tree);
    assert_int_equal(symlink("large", path), 0);
    snprintf(path, sizeof(path), "%s/sparse", f->tree);
    const int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(ftruncate(fd, 50 << 20), 0);
    assert_int_equal(pwrite(fd, "data", 4, 20 << 20), 4);
    close(fd);
    snprintf(path, sizeof(path), "%s/empty", f->tree);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void connect_vault(struct fixture *f)
{
    struct sign_key *key;
    assert_int_equal(sign_key_new(vault_seed(f->vault), &key), ERR_OK);
    if (!f->node) {
        struct sim_identity identity = {.name = "device", .id = *sign_key_id(key)};
        memcpy(identity.key, sign_key_public(key), 32);
        f->node = sim_node_new(f->world, &identity);
    }
    sign_key_free(key);
}

static void create_vault(struct fixture *f)
{
    struct invite_text invite = {.swarm = f->swarm->root,
                                 .coordinator = buf_slice(&f->swarm->certificate)};
    struct buf document = BUF_INIT(INVITE_BYTES_MAX), text = BUF_INIT(INVITE_TEXT_MAX);
    sim_swarm_invite(f->swarm, INVITE_ACCOUNT, 1, &document);
    invite.invite = buf_slice(&document);
    assert_int_equal(address_list_add(&invite.addresses, "coordinator:1"), ERR_OK);
    assert_int_equal(invite_text_make(&invite, &text), ERR_OK);
    assert_int_equal(buf_append_u8(&text, 0), ERR_OK);
    const struct vault_create_options options = {
        .dir = f->vault_dir,
        .invite = (const char *)text.data,
        .phrase_file = f->phrase,
        .redundancy = "4+2",
    };
    if (vault_create(&options, &f->ports, &f->vault, &f->msg) != ERR_OK)
        fail_msg("%s", f->msg.text);
    connect_vault(f);
    assert_int_equal(vault_join(f->vault, f->node->net, on_done, f, &f->msg), ERR_OK);
    wait_done(f);
    if (f->e != ERR_OK)
        fail_msg("%s", f->msg.text);
    vault_close(f->vault);
    f->vault = NULL;
    buf_free(&document);
    buf_free(&text);
}

static void open_vault(struct fixture *f)
{
    const struct vault_open_options options = {.dir = f->vault_dir, .access = VAULT_WRITE};
    if (vault_open(&options, &f->ports, &f->vault, &f->msg) != ERR_OK)
        fail_msg("%s", f->msg.text);
    connect_vault(f);
    if (vault_connect(f->vault, f->node->net, &f->msg) != ERR_OK)
        fail_msg("%s", f->msg.text);
    assert_int_equal(vault_refresh(f->vault, on_done, f, &f->msg), ERR_OK);
    wait_done(f);
    if (f->e != ERR_OK)
        fail_msg("%s", f->msg.text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->world = sim_world_new(11);
    f->swarm = sim_swarm_new(f->world, &(struct sim_swarm_options){.cells = CELLS});
    f->tools = sim_node_new(f->world, &(struct sim_identity){.name = "tools"});
    f->ports = (struct vault_ports){
        .clock = &f->tools->clock, .random = &f->tools->random, .work = &f->tools->work};
    temp_dir_make(f->dir);
    snprintf(f->tree, sizeof(f->tree), "%s/tree", f->dir);
    snprintf(f->vault_dir, sizeof(f->vault_dir), "%s/vault", f->dir);
    snprintf(f->phrase, sizeof(f->phrase), "%s/phrase", f->dir);
    make_tree(f);
    create_vault(f);
    open_vault(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    vault_close(f->vault);
    sim_node_stop(f->node);
    sim_node_stop(f->tools);
    sim_swarm_free(f->swarm);
    sim_world_free(f->world);
    temp_dir_remove(f->dir);
    free(f);
    return 0;
}

static void on_problem(void *user, enum err e, struct slice path, const char *sentence)
{
    (void)e, (void)path, (void)sentence;
    ((struct fixture *)user)->problems++;
}

static void on_backup(void *user, enum err e, const struct vault_backup_summary *summary,
                      const struct errmsg *msg)
{
    struct fixture *f = user;
    f->done = true;
    f->e = e;
    f->msg = *msg;
    f->summary = *summary;
}

static void back_up(struct fixture *f, bool dry_run)
{
    const char *paths[1] = {f->tree};
    const struct vault_backup_options options = {
        .paths = paths, .path_count = 1, .program = "test", .dry_run = dry_run};
    const struct vault_backup_events events = {.problem = on_problem, .done = on_backup};
    struct vault_backup *backup;
    f->problems = 0;
    if (vault_backup_start(f->vault, &options, &events, f, &backup, &f->msg) != ERR_OK)
        fail_msg("%s", f->msg.text);
    wait_done(f);
}

static void assert_done(struct fixture *f)
{
    if (f->e != ERR_OK)
        fail_msg("%s", f->msg.text);
}

static void test_a_first_backup_sends_all_and_a_second_next_to_nothing(void **state)
{
    struct fixture *f = *state;
    back_up(f, true);
    assert_done(f);
    assert_int_equal(f->summary.files_new, 102);
    assert_int_equal(f->summary.bytes_sent, 0);

    back_up(f, false);
    assert_done(f);
    assert_int_equal(f->problems, 0);
    assert_int_equal(f->summary.files_new, 102);
    assert_int_equal(f->summary.files_changed + f->summary.files_unmodified, 0);
    assert_int_equal(f->summary.margin_min, 2);
    assert_int_equal(f->summary.debts, 0);
    assert_int_equal(f->summary.cells_used, CELLS);
    assert_true(f->summary.data_added > 9 << 20 && f->summary.data_added < 12 << 20);
    assert_true(f->summary.bytes_sent > f->summary.data_added_packed * 3 / 2);
    assert_false(id_is_zero(&f->summary.snapshot_id));
    const struct vault_backup_summary first = f->summary;

    back_up(f, false);
    assert_done(f);
    assert_int_equal(f->summary.files_new + f->summary.files_changed, 0);
    assert_int_equal(f->summary.files_unmodified, 102);
    assert_int_equal(f->summary.dirs_new, 0);
    assert_int_equal(f->summary.data_blobs, 0);
    assert_true(f->summary.bytes_sent <= 2 * 6 * 8192);
    assert_memory_not_equal(&f->summary.snapshot_id, &first.snapshot_id, 32);

    /* one file changed, one new, one gone */
    char path[4096];
    write_file(f, "dir-1/file-3", 500, 5555);
    write_file(f, "dir-2/new", 700, 6666);
    snprintf(path, sizeof(path), "%s/dir-3/file-4", f->tree);
    assert_int_equal(unlink(path), 0);
    back_up(f, false);
    assert_done(f);
    assert_int_equal(f->summary.files_new, 1);
    assert_int_equal(f->summary.files_changed, 1);
    assert_int_equal(f->summary.files_unmodified, 100);
    assert_int_equal(f->summary.data_blobs, 2);
}

static void test_a_vault_that_is_opened_again_goes_on(void **state)
{
    struct fixture *f = *state;
    back_up(f, false);
    assert_done(f);
    vault_close(f->vault);
    open_vault(f);
    back_up(f, false);
    assert_done(f);
    assert_int_equal(f->summary.files_unmodified, 102);
    /* a second process is told so */
    struct vault *other;
    const struct vault_open_options options = {.dir = f->vault_dir, .access = VAULT_WRITE};
    assert_int_equal(vault_open(&options, &f->ports, &other, &f->msg), ERR_LOCKED);
}

static void test_too_few_cells_make_no_snapshot_and_the_next_run_goes_on(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 4; i++)
        sim_swarm_stop_cell(f->swarm, i, SIM_STOP);
    back_up(f, false);
    assert_int_equal(f->e, ERR_NOT_ENOUGH);
    assert_true(id_is_zero(&f->summary.snapshot_id));
    for (unsigned i = 0; i < 4; i++)
        sim_swarm_start_cell(f->swarm, i);
    vault_close(f->vault);
    assert_int_equal(sim_world_run(f->world, 3600000), ERR_OK);
    open_vault(f);
    back_up(f, false);
    assert_done(f);
    assert_int_equal(f->summary.files_new, 102);
}

static void test_what_cannot_be_read_is_said_and_the_rest_is_stored(void **state)
{
    struct fixture *f = *state;
    if (geteuid() == 0)
        skip(); /* root reads everything */
    char path[4096];
    snprintf(path, sizeof(path), "%s/dir-0/file-1", f->tree);
    assert_int_equal(chmod(path, 0), 0);
    back_up(f, false);
    assert_done(f);
    assert_int_equal(f->problems, 1);
    assert_int_equal(f->summary.problems, 1);
    assert_int_equal(f->summary.files_new, 101);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_first_backup_sends_all_and_a_second_next_to_nothing,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_vault_that_is_opened_again_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_too_few_cells_make_no_snapshot_and_the_next_run_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_read_is_said_and_the_rest_is_stored,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

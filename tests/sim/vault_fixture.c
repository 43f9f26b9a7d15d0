#include "vault_fixture.h"

#include "identity/invite_text.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static bool is_done(void *user)
{
    return ((struct vault_fixture *)user)->done;
}

void vault_fixture_wait(struct vault_fixture *f)
{
    const enum err e = sim_world_run_until(f->world, is_done, f, 86400000);
    if (e != ERR_OK)
        fail_msg("nothing happens any more: %s", err_words(e));
    f->done = false;
}

void vault_fixture_done(void *user, enum err e, const struct errmsg *msg)
{
    struct vault_fixture *f = user;
    f->done = true;
    f->e = e;
    f->msg = *msg;
}

void vault_fixture_write(struct vault_fixture *f, const char *name, size_t size, unsigned seed)
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

static void make_tree(struct vault_fixture *f)
{
    char path[4096], name[64];
    assert_int_equal(mkdir(f->tree, 0755), 0);
    for (int d = 0; d < 5; d++) {
        snprintf(path, sizeof(path), "%s/dir-%d", f->tree, d);
        assert_int_equal(mkdir(path, 0755), 0);
        for (int i = 0; i < 20; i++) {
            snprintf(name, sizeof(name), "dir-%d/file-%d", d, i);
            vault_fixture_write(f, name, (size_t)(i * 1000), (unsigned)(d * 100 + i));
        }
    }
    vault_fixture_write(f, "large", 9 << 20, 77);
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

static void connect_vault(struct vault_fixture *f)
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

static void create_vault(struct vault_fixture *f)
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
    assert_int_equal(vault_join(f->vault, f->node->net, vault_fixture_done, f, &f->msg), ERR_OK);
    vault_fixture_wait(f);
    if (f->e != ERR_OK)
        fail_msg("%s", f->msg.text);
    vault_close(f->vault);
    f->vault = NULL;
    buf_free(&document);
    buf_free(&text);
}

void vault_fixture_open(struct vault_fixture *f)
{
    const struct vault_open_options options = {.dir = f->vault_dir, .access = VAULT_WRITE};
    if (vault_open(&options, &f->ports, &f->vault, &f->msg) != ERR_OK)
        fail_msg("%s", f->msg.text);
    connect_vault(f);
    if (vault_connect(f->vault, f->node->net, &f->msg) != ERR_OK)
        fail_msg("%s", f->msg.text);
    assert_int_equal(vault_refresh(f->vault, vault_fixture_done, f, &f->msg), ERR_OK);
    vault_fixture_wait(f);
    if (f->e != ERR_OK)
        fail_msg("%s", f->msg.text);
}

int vault_fixture_setup(void **state)
{
    struct vault_fixture *f = calloc(1, sizeof(*f));
    f->world = sim_world_new(11);
    f->swarm = sim_swarm_new(f->world, &(struct sim_swarm_options){.cells = VAULT_FIXTURE_CELLS});
    f->tools = sim_node_new(f->world, &(struct sim_identity){.name = "tools"});
    f->ports = (struct vault_ports){
        .clock = &f->tools->clock, .random = &f->tools->random, .work = &f->tools->work};
    temp_dir_make(f->dir);
    snprintf(f->tree, sizeof(f->tree), "%s/tree", f->dir);
    snprintf(f->vault_dir, sizeof(f->vault_dir), "%s/vault", f->dir);
    snprintf(f->phrase, sizeof(f->phrase), "%s/phrase", f->dir);
    make_tree(f);
    create_vault(f);
    vault_fixture_open(f);
    *state = f;
    return 0;
}

int vault_fixture_teardown(void **state)
{
    struct vault_fixture *f = *state;
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
    ((struct vault_fixture *)user)->problems++;
}

static void on_backup(void *user, enum err e, const struct backup_summary *summary,
                      const struct errmsg *msg)
{
    struct vault_fixture *f = user;
    f->done = true;
    f->e = e;
    f->msg = *msg;
    f->summary = *summary;
}

void vault_fixture_back_up(struct vault_fixture *f, bool dry_run)
{
    const char *paths[1] = {f->tree};
    const struct backup_options options = {
        .paths = paths, .path_count = 1, .program = "test", .dry_run = dry_run};
    const struct backup_events events = {.problem = on_problem, .done = on_backup};
    struct backup *backup;
    f->problems = 0;
    if (backup_start(f->vault, &options, &events, f, &backup, &f->msg) != ERR_OK)
        fail_msg("%s", f->msg.text);
    vault_fixture_wait(f);
}

void vault_fixture_ok(struct vault_fixture *f)
{
    if (f->e != ERR_OK)
        fail_msg("%s", f->msg.text);
}

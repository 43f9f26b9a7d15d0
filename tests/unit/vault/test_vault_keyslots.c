/* DIR/keys: what opens it and what does not; slots added, changed, removed; a damaged file. */
#include "vault/vault_keyslots.h"

#include "crypto/crypto.h"
#include "crypto/password.h"
#include "harness/sim_node.h"
#include "harness/sim_world.h"
#include "harness/temp_dir.h"
#include "vault/vault_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct sim_world *world;
    struct sim_node *node;
    char dir[TEMP_DIR_SIZE];
    struct vault *vault; /* that wrote the keys */
};

static struct vault *open_new(struct fixture *f)
{
    const struct vault_ports ports = {
        .clock = &f->node->clock, .random = &f->node->random, .work = &f->node->work};
    struct vault *vault;
    assert_int_equal(vault_new(f->dir, VAULT_WRITE, &ports, &vault, NULL), ERR_OK);
    vault->access = VAULT_WRITE;
    return vault;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_int_equal(crypto_init(NULL), ERR_OK);
    f->world = sim_world_new(3);
    f->node = sim_node_new(f->world, &(struct sim_identity){.name = "node"});
    temp_dir_make(f->dir);
    f->vault = open_new(f);
    struct vault *v = f->vault;
    struct vault_secrets *s = v->secrets;
    memset(s->device_seed, 7, sizeof(s->device_seed));
    memset(s->seal_seed, 8, sizeof(s->seal_seed));
    memset(&s->account, 9, sizeof(s->account));
    s->slot = 3;
    s->epoch_count = 2;
    for (uint32_t i = 0; i < 2; i++) {
        s->epochs[i].epoch = i + 1;
        memset(s->epochs[i].data_key, (int)i + 1, sizeof(s->epochs[i].data_key));
    }
    memset(v->vault_key, 5, sizeof(v->vault_key));
    v->account = (struct id){{4}};
    swarm_root_of((const uint8_t[32]){6}, &v->swarm_root);
    assert_int_equal(sign_key_new(s->device_seed, &v->device), ERR_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    vault_close(f->vault);
    temp_dir_remove(f->dir);
    sim_world_free(f->world);
    free(f);
    return 0;
}

/* Opens what is on the disk; the slot that did it, or -1. */
static int try_open(struct fixture *f, const char *passphrase, enum err *e)
{
    struct vault *vault = open_new(f);
    struct errmsg msg;
    *e = vault_keys_read(vault, slice_text(passphrase), &msg);
    int slot = -1;
    if (*e == ERR_OK) {
        slot = (int)vault->keyslot;
        assert_memory_equal(vault->secrets, f->vault->secrets, sizeof(*vault->secrets));
        assert_true(id_equal(&vault->account, &f->vault->account));
        assert_true(id_equal(vault_device(vault), vault_device(f->vault)));
    }
    vault_close(vault);
    return slot;
}

static int slot_of(struct fixture *f, const char *passphrase)
{
    enum err e;
    const int slot = try_open(f, passphrase, &e);
    assert_true(e == ERR_OK || e == ERR_SECRET);
    return slot;
}

static void test_a_passphrase_opens_and_another_does_not(void **state)
{
    struct fixture *f = *state;
    bool needed = false;
    assert_int_equal(vault_keys_write(f->vault, slice_text("right"), NULL), ERR_OK);
    assert_int_equal(vault_keys_need_passphrase(f->dir, &needed, NULL), ERR_OK);
    assert_true(needed);
    assert_int_equal(slot_of(f, "right"), 0);
    assert_int_equal(slot_of(f, "wrong"), -1);
    assert_int_equal(slot_of(f, "righ"), -1);
    assert_int_equal(slot_of(f, ""), -1);
}

static void test_slots_are_added_changed_and_removed(void **state)
{
    struct fixture *f = *state;
    struct vault_keyslot slots[VAULT_KEYSLOTS_MAX];
    unsigned number;
    size_t count;
    bool needed;
    assert_int_equal(vault_keys_write(f->vault, slice_text("one"), NULL), ERR_OK);
    assert_int_equal(vault_keyslots_remove(f->vault, 1, NULL), ERR_DENIED);
    assert_int_equal(vault_keyslots_add(f->vault, slice_text("two"), &number, NULL), ERR_OK);
    assert_int_equal(number, 2);
    assert_int_equal(vault_keyslots_add(f->vault, slice_of(NULL, 0), &number, NULL), ERR_OK);
    assert_int_equal(vault_keyslots_add(f->vault, slice_of(NULL, 0), &number, NULL), ERR_EXISTS);
    assert_int_equal(slot_of(f, "one"), 0);
    assert_int_equal(slot_of(f, "two"), 1);
    assert_int_equal(slot_of(f, ""), 2);
    assert_int_equal(vault_keys_need_passphrase(f->dir, &needed, NULL), ERR_OK);
    assert_false(needed);
    /* the secrets change, the slots stay */
    memset(f->vault->secrets->epochs[1].data_key, 77, SEGMENT_DATA_KEY_SIZE);
    assert_int_equal(vault_keys_save(f->vault, NULL), ERR_OK);
    assert_int_equal(slot_of(f, "one"), 0);
    assert_int_equal(slot_of(f, ""), 2);
    f->vault->keyslot = 1; /* as if "two" had opened it */
    assert_int_equal(vault_keyslots_change(f->vault, slice_text("new two"), NULL), ERR_OK);
    assert_int_equal(slot_of(f, "two"), -1);
    assert_int_equal(slot_of(f, "new two"), 1);
    assert_int_equal(vault_keyslots_remove(f->vault, 1, NULL), ERR_OK);
    assert_int_equal(vault_keyslots_remove(f->vault, 3, NULL), ERR_NOT_FOUND);
    assert_int_equal(vault_keyslots_remove(f->vault, 0, NULL), ERR_NOT_FOUND);
    assert_int_equal(slot_of(f, "one"), -1);
    assert_int_equal(vault_keyslots_list(f->vault, slots, &count, NULL), ERR_OK);
    assert_int_equal(count, 2);
    assert_true(!slots[0].key_file && slots[0].used && slots[1].key_file && !slots[1].used);
    assert_int_equal(vault_keyslots_remove(f->vault, 2, NULL), ERR_OK);
    assert_int_equal(slot_of(f, ""), -1);
    assert_int_equal(slot_of(f, "new two"), 0);
    assert_int_equal(vault_keyslots_remove(f->vault, 1, NULL), ERR_DENIED);
}

static void test_a_key_file_that_is_gone_leaves_the_passphrase(void **state)
{
    struct fixture *f = *state;
    char path[TEMP_DIR_SIZE + 8];
    unsigned number;
    bool needed;
    assert_int_equal(vault_keys_write(f->vault, slice_of(NULL, 0), NULL), ERR_OK);
    assert_int_equal(vault_keyslots_add(f->vault, slice_text("spare"), &number, NULL), ERR_OK);
    snprintf(path, sizeof(path), "%s/key", f->dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(vault_keys_need_passphrase(f->dir, &needed, NULL), ERR_OK);
    assert_true(needed);
    assert_int_equal(slot_of(f, ""), -1);
    assert_int_equal(slot_of(f, "spare"), 1);
}

/* Every byte changed, every length: never a crash, and never other secrets (try_open compares
   them). It opens only where the byte means nothing: a key file's slot has a salt and a cost for
   nobody. */
static void test_a_damaged_file_is_never_opened(void **state)
{
    struct fixture *f = *state;
    char path[TEMP_DIR_SIZE + 8];
    struct buf good = BUF_INIT(65536);
    size_t opened = 0;
    enum err e;
    snprintf(path, sizeof(path), "%s/keys", f->dir);
    assert_int_equal(vault_keys_write(f->vault, slice_of(NULL, 0), NULL), ERR_OK);
    assert_int_equal(file_read(path, &good, NULL), ERR_OK);
    for (size_t at = 0; at < good.size; at++) {
        good.data[at] ^= (uint8_t)(1u << at % 8);
        assert_int_equal(file_write(path, 0600, buf_slice(&good), NULL), ERR_OK);
        opened += try_open(f, "", &e) >= 0;
        good.data[at] ^= (uint8_t)(1u << at % 8);
    }
    assert_in_range(opened, PASSWORD_SALT_SIZE, PASSWORD_SALT_SIZE + 4);
    for (size_t size = 0; size < good.size; size++) {
        assert_int_equal(file_write(path, 0600, slice_of(good.data, size), NULL), ERR_OK);
        if (try_open(f, "", &e) >= 0 || e == ERR_OK)
            fail_msg("%zu of %zu bytes are enough", size, good.size);
    }
    assert_int_equal(buf_append_u8(&good, 0), ERR_OK);
    assert_int_equal(file_write(path, 0600, buf_slice(&good), NULL), ERR_OK);
    assert_int_equal(try_open(f, "", &e), -1);
    good.size--;
    assert_int_equal(file_write(path, 0600, buf_slice(&good), NULL), ERR_OK);
    assert_int_equal(try_open(f, "", &e), 0);
    buf_free(&good);
}

static void test_there_are_eight_slots_at_most(void **state)
{
    struct fixture *f = *state;
    unsigned number;
    assert_int_equal(vault_keys_write(f->vault, slice_of(NULL, 0), NULL), ERR_OK);
    for (unsigned i = 1; i < VAULT_KEYSLOTS_MAX; i++)
        assert_int_equal(vault_keyslots_add(f->vault, slice_text("x"), &number, NULL), ERR_OK);
    assert_int_equal(vault_keyslots_add(f->vault, slice_text("y"), &number, NULL), ERR_TOO_LARGE);
    assert_int_equal(slot_of(f, ""), 0);
}

static void test_readers_change_nothing(void **state)
{
    struct fixture *f = *state;
    unsigned number;
    assert_int_equal(vault_keys_write(f->vault, slice_of(NULL, 0), NULL), ERR_OK);
    f->vault->access = VAULT_READ;
    assert_int_equal(vault_keyslots_add(f->vault, slice_text("x"), &number, NULL), ERR_STATE);
    assert_int_equal(vault_keyslots_remove(f->vault, 1, NULL), ERR_STATE);
    assert_int_equal(vault_keyslots_change(f->vault, slice_text("x"), NULL), ERR_STATE);
}

int main(void)
{
#define KEYS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        KEYS_TEST(test_a_passphrase_opens_and_another_does_not),
        KEYS_TEST(test_slots_are_added_changed_and_removed),
        KEYS_TEST(test_a_key_file_that_is_gone_leaves_the_passphrase),
        KEYS_TEST(test_a_damaged_file_is_never_opened),
        KEYS_TEST(test_there_are_eight_slots_at_most),
        KEYS_TEST(test_readers_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* identity/manifest: who may change what. Each refused change is one that a stolen admin key would
 * make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "identity/manifest.h"
#include "identity_examples.h"

#include <stdlib.h>

static const struct identity_world *w;

static struct manifest *open_bytes(struct buf *bytes)
{
    struct manifest *m;
    struct errmsg msg = {{0}};
    if (manifest_open(buf_slice(bytes), &w->swarm, &m, &msg) != ERR_OK)
        fail_msg("%s", msg.text);
    buf_free(bytes);
    return m;
}

static struct manifest *signed_by(struct manifest *m, const struct sign_key *key)
{
    struct buf bytes = BUF_INIT(LIMIT_MANIFEST_BYTES);
    assert_int_equal(manifest_make(m, &w->swarm, key, &bytes), ERR_OK);
    return open_bytes(&bytes);
}

static uint32_t add(struct manifest *m, const struct sign_key *key, unsigned capabilities)
{
    uint32_t slot;
    struct manifest_device device = {.capabilities = capabilities, .name = "a device"};
    struct manifest_epoch epoch = {.epoch = 4};
    memcpy(device.key, sign_key_public(key), SIGN_PUBLIC_SIZE);
    assert_int_equal(manifest_add_device(m, &device, &slot), ERR_OK);
    memset(epoch.sealed, 0x44, sizeof(epoch.sealed));
    assert_int_equal(manifest_add_epoch(m, slot, &epoch), ERR_OK);
    return slot;
}

/* Number 1 << 32, by the root: slot 0 admin, slot 1 the device, slot 2 (the cell's key) admin too.
 */
static struct manifest *first(void)
{
    struct manifest *m, *out;
    assert_int_equal(
        manifest_new(&w->swarm, sign_key_public(w->account.root), w->account.reading_public, &m),
        ERR_OK);
    assert_int_equal(add(m, w->admin, MANIFEST_CAPABILITIES), 0);
    assert_int_equal(add(m, w->device, MANIFEST_PUT), 1);
    assert_int_equal(add(m, w->cell, MANIFEST_ADMIN), 2);
    assert_int_equal(manifest_certify_admins(m, &w->swarm, w->account.root), ERR_OK);
    out = signed_by(m, w->account.root);
    manifest_free(m);
    return out;
}

/* A copy to be changed: the next one that an admin would make. */
static struct manifest *next_of(const struct manifest *m)
{
    struct buf bytes = BUF_INIT(LIMIT_MANIFEST_BYTES);
    assert_int_equal(manifest_make(m, &w->swarm, w->account.root, &bytes), ERR_OK);
    struct manifest *copy = open_bytes(&bytes);
    copy->number = manifest_next_number(copy->number, false);
    return copy;
}

static void test_manifest_rights(void **state)
{
    (void)state;
    struct manifest *m = first();
    const struct manifest_device *device = manifest_device_find(m, sign_key_id(w->device));
    assert_true(id_equal(&m->account, &w->account.account));
    assert_true(m->by_root && m->number == UINT64_C(1) << 32);
    assert_true(m->hold_s == 30 * 86400);
    assert_non_null(device);
    assert_true(device == manifest_device_at(m, 1));
    assert_null(manifest_device_at(m, 3));
    assert_null(manifest_device_find(m, sign_key_id(w->coordinator)));
    assert_true(manifest_may(device, MANIFEST_PUT));
    assert_false(manifest_may(device, MANIFEST_PUT | MANIFEST_READ));
    assert_non_null(manifest_epoch_find(device, 4));
    assert_null(manifest_epoch_find(device, 5));
    assert_int_equal(manifest_revoke(m, 1, 7), ERR_OK);
    assert_false(manifest_may(device, MANIFEST_PUT));
    assert_true(manifest_valid(device, 7) && !manifest_valid(device, 8));
    assert_int_equal(manifest_revoke(m, 1, 9), ERR_OK); /* what was void stays so */
    assert_false(manifest_valid(device, 8));
    assert_int_equal(manifest_revoke(m, 9, 0), ERR_NOT_FOUND);
    manifest_free(m);
    manifest_free(NULL);
}

static void test_manifest_needs_a_right_signer(void **state)
{
    (void)state;
    struct manifest *m = first(), *admin;
    struct buf bytes = BUF_INIT(LIMIT_MANIFEST_BYTES);
    assert_int_equal(manifest_make(m, &w->swarm, w->device, &bytes), ERR_DENIED);
    assert_int_equal(manifest_make(m, &w->swarm, w->coordinator, &bytes), ERR_DENIED);
    admin = signed_by(m, w->admin);
    assert_false(admin->by_root);
    manifest_free(admin);
    /* an admin whom the root did not certify */
    m->devices[1].capabilities |= MANIFEST_ADMIN;
    assert_int_equal(manifest_make(m, &w->swarm, w->admin, &bytes), ERR_OK);
    assert_int_equal(manifest_open(buf_slice(&bytes), &w->swarm, &admin, NULL), ERR_AUTH);
    buf_clear(&bytes);
    assert_int_equal(manifest_make(m, &w->swarm, w->device, &bytes), ERR_OK);
    assert_int_equal(manifest_open(buf_slice(&bytes), &w->swarm, &admin, NULL), ERR_AUTH);
    buf_free(&bytes);
    manifest_free(m);
}

static void test_manifest_admin_may_add_and_revoke(void **state)
{
    (void)state;
    struct manifest *old = first(), *draft = next_of(old), *next;
    struct id cell = identity_id(0x71);
    struct manifest_epoch epoch = {.epoch = 5};
    assert_int_equal(add(draft, w->coordinator, MANIFEST_PUT | MANIFEST_READ), 3);
    assert_int_equal(manifest_revoke(draft, 1, 12), ERR_OK);
    assert_int_equal(manifest_add_claim(draft, &cell), ERR_OK);
    assert_int_equal(manifest_add_claim(draft, &cell), ERR_EXISTS);
    assert_int_equal(manifest_add_epoch(draft, 0, &epoch), ERR_OK);
    assert_int_equal(manifest_add_epoch(draft, 0, &epoch), ERR_EXISTS);
    draft->hold_s += 1;
    next = signed_by(draft, w->admin);
    assert_int_equal(manifest_follows(old, next, NULL), ERR_OK);
    assert_true(manifest_claims(next, &cell));
    assert_int_equal(manifest_follows(next, old, NULL), ERR_STALE);
    assert_int_equal(manifest_follows(next, next, NULL), ERR_STALE);
    assert_int_equal(manifest_drop_claim(draft, &cell), ERR_OK);
    assert_int_equal(manifest_drop_claim(draft, &cell), ERR_NOT_FOUND);
    manifest_free(next);
    next = signed_by(draft, w->cell); /* the other admin */
    assert_int_equal(manifest_follows(old, next, NULL), ERR_OK);
    manifest_free(next);
    manifest_free(draft);
    manifest_free(old);
}

static void shorten_hold(struct manifest *m)
{
    m->hold_s = 0;
}

static void change_reading_key(struct manifest *m)
{
    m->reading_key[0] ^= 1;
}

static void take_device_out(struct manifest *m)
{
    free(m->devices[1].epochs);
    m->devices[1] = m->devices[2];
    m->device_count = 2;
}

static void take_epoch_out(struct manifest *m)
{
    m->devices[1].epoch_count = 0;
}

static void change_data_key(struct manifest *m)
{
    m->devices[1].epochs[0].sealed[3] ^= 1;
}

static void change_seal_key(struct manifest *m)
{
    m->devices[1].seal_key[3] ^= 1;
}

static void revoke_admin(struct manifest *m)
{
    assert_int_equal(manifest_revoke(m, 2, 0), ERR_OK);
}

static void dismiss_admin(struct manifest *m)
{
    m->devices[2].capabilities = MANIFEST_PUT;
}

static void jump(struct manifest *m)
{
    m->number += UINT64_C(1) << 32;
    assert_int_equal(manifest_certify_admins(m, &w->swarm, w->account.root), ERR_OK);
}

static void test_manifest_admin_may_not(void **state)
{
    (void)state;
    static void (*const changes[])(struct manifest * m) = {
        shorten_hold,    change_reading_key, take_device_out, take_epoch_out,
        change_data_key, change_seal_key,    revoke_admin,    dismiss_admin,
    };
    struct manifest *old = first();
    for (size_t i = 0; i < ARRAY_COUNT(changes); i++) {
        struct manifest *draft = next_of(old), *next;
        changes[i](draft);
        next = signed_by(draft, w->admin);
        if (manifest_follows(old, next, NULL) != ERR_DENIED)
            fail_msg("change %zu goes through", i);
        manifest_free(next);
        draft->number = manifest_next_number(old->number, true); /* the root may */
        assert_int_equal(manifest_certify_admins(draft, &w->swarm, w->account.root), ERR_OK);
        next = signed_by(draft, w->account.root);
        if (manifest_follows(old, next, NULL) != ERR_OK)
            fail_msg("change %zu does not go through", i);
        manifest_free(next);
        manifest_free(draft);
    }
    manifest_free(old);
}

/* Who was away when the root began a new row is shown an admin's manifest of that row first: it
   counts, as the root certified that admin for the row; but nothing may be lost by it. */
static void test_manifest_of_a_row_whose_beginning_was_missed(void **state)
{
    (void)state;
    static const struct {
        void (*change)(struct manifest *m);
        enum err e;
    } rows[] = {
        {jump, ERR_OK},
        {revoke_admin, ERR_OK}, /* the root's doing, in the one that was missed */
        {dismiss_admin, ERR_OK},
        {shorten_hold, ERR_DENIED},
        {change_reading_key, ERR_DENIED},
        {take_device_out, ERR_DENIED},
        {take_epoch_out, ERR_DENIED},
        {change_data_key, ERR_DENIED},
    };
    struct manifest *old = first();
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct manifest *draft = next_of(old), *next;
        if (rows[i].change != jump)
            rows[i].change(draft);
        jump(draft);
        next = signed_by(draft, w->admin);
        if (manifest_follows(old, next, NULL) != rows[i].e)
            fail_msg("change %zu: another end than %s", i, err_words(rows[i].e));
        assert_int_equal(manifest_follows(next, old, NULL), ERR_STALE);
        manifest_free(next);
        manifest_free(draft);
    }
    manifest_free(old);
}

/* An invite counts once: the mark in the manifest stays. */
static void test_manifest_knows_which_invites_were_used(void **state)
{
    (void)state;
    struct manifest *old = first(), *draft, *next;
    const uint8_t invite[INVITE_ID_SIZE] = {9, 9}, other[INVITE_ID_SIZE] = {9, 8};
    old->devices[1].invited = true;
    memcpy(old->devices[1].invite, invite, sizeof(invite));
    assert_true(manifest_invite_used(old, invite));
    assert_false(manifest_invite_used(old, other));
    draft = next_of(old);
    next = signed_by(draft, w->admin);
    assert_true(manifest_invite_used(next, invite));
    assert_int_equal(manifest_follows(old, next, NULL), ERR_OK);
    manifest_free(next);
    draft->devices[1].invited = false;
    next = signed_by(draft, w->admin);
    assert_int_equal(manifest_follows(old, next, NULL), ERR_DENIED);
    manifest_free(next);
    manifest_free(draft);
    manifest_free(old);
}

static void test_manifest_knows_whose_invites_count(void **state)
{
    (void)state;
    struct manifest *m = first();
    struct invite_device invite = {.account = m->account, .capabilities = MANIFEST_PUT};
    invite.signer = *sign_key_id(w->admin);
    assert_true(manifest_invites(m, &invite));
    invite.capabilities |= MANIFEST_ADMIN; /* admins are made by the root */
    assert_false(manifest_invites(m, &invite));
    invite.signer = *sign_key_id(w->account.root);
    assert_true(manifest_invites(m, &invite));
    invite.account.bytes[0] ^= 1;
    assert_false(manifest_invites(m, &invite));
    invite.account = m->account;
    invite.capabilities = MANIFEST_PUT;
    invite.signer = *sign_key_id(w->device);
    assert_false(manifest_invites(m, &invite));
    invite.signer = *sign_key_id(w->admin);
    for (size_t i = 0; i < m->device_count; i++)
        if (id_equal(&m->devices[i].id, &invite.signer))
            assert_int_equal(manifest_revoke(m, m->devices[i].slot, 1), ERR_OK);
    assert_false(manifest_invites(m, &invite));
    manifest_free(m);
}

/* Keys of another phrase, as manifest_replace_root() takes them. */
static struct account_keys other_keys(uint8_t first)
{
    struct account_keys keys;
    const uint8_t entropy[32] = {first, 77};
    assert_int_equal(account_keys_derive(entropy, &w->swarm, &keys), ERR_OK);
    return keys;
}

static void replace(struct manifest *m, const struct account_keys *old,
                    const struct account_keys *next)
{
    uint8_t sealed[ACCOUNT_SECRETS_SEALED_SIZE];
    const uint8_t ephemeral[SEAL_SEED_SIZE] = {3};
    assert_int_equal(account_secrets_seal(&old->secrets, next->reading_public, ephemeral, sealed),
                     ERR_OK);
    assert_int_equal(
        manifest_replace_root(m, &w->swarm, old->root, next->root, next->reading_public, sealed),
        ERR_OK);
    m->number = manifest_next_number(m->number, true);
    assert_int_equal(manifest_certify_admins(m, &w->swarm, next->root), ERR_OK);
}

/* Another phrase: the account stays, the old root counts for nothing, what was sealed to the old
   reading key can still be opened. */
static void test_manifest_root_is_replaced(void **state)
{
    (void)state;
    struct manifest *old = first(), *draft = next_of(old), *next, *third, *late;
    struct account_keys two = other_keys(2), three = other_keys(3);
    struct account_secrets secrets;
    struct buf bytes = BUF_INIT(LIMIT_MANIFEST_BYTES);
    bool now;
    memcpy(draft->reading_key, w->account.reading_public, SEAL_PUBLIC_SIZE);
    memcpy(old->reading_key, w->account.reading_public, SEAL_PUBLIC_SIZE);
    replace(draft, &w->account, &two);
    assert_int_equal(manifest_make(draft, &w->swarm, w->account.root, &bytes), ERR_DENIED);
    next = signed_by(draft, two.root);
    assert_true(id_equal(&next->account, &old->account) && next->by_root);
    assert_int_equal(manifest_follows(old, next, NULL), ERR_OK);
    assert_true(manifest_is_root(next, sign_key_id(two.root), &now) && now);
    assert_true(manifest_is_root(next, sign_key_id(w->account.root), &now) && !now);
    assert_false(manifest_is_root(next, sign_key_id(w->admin), &now));
    assert_int_equal(manifest_secrets_before(next, &two.secrets, 0, &secrets), ERR_OK);
    assert_memory_equal(&secrets, &w->account.secrets, sizeof(secrets));
    assert_int_equal(manifest_secrets_before(next, &two.secrets, 1, &secrets), ERR_NOT_FOUND);
    assert_int_equal(manifest_secrets_before(next, &three.secrets, 0, &secrets), ERR_AUTH);
    /* the old root outranks nobody any more */
    old->number = next->number + (UINT64_C(1) << 32);
    assert_int_equal(manifest_certify_admins(old, &w->swarm, w->account.root), ERR_OK);
    late = signed_by(old, w->account.root);
    assert_int_equal(manifest_follows(next, late, NULL), ERR_DENIED);
    /* and once more; who missed all of it is shown an admin's manifest first */
    replace(draft, &two, &three);
    draft->number++;
    third = signed_by(draft, w->admin);
    assert_int_equal(manifest_follows(next, third, NULL), ERR_OK);
    assert_int_equal(manifest_secrets_before(third, &three.secrets, 1, &secrets), ERR_OK);
    assert_memory_equal(&secrets, &w->account.secrets, sizeof(secrets));
    manifest_free(late);
    manifest_free(next);
    manifest_free(third);
    manifest_free(draft);
    manifest_free(old);
    account_keys_clear(&two);
    account_keys_clear(&three);
    buf_free(&bytes);
}

/* Only the root that counts names the next one, and its reading key with it. */
static void test_manifest_roots_are_a_chain(void **state)
{
    (void)state;
    struct manifest *old = first(), *draft, *m;
    struct account_keys two = other_keys(2), three = other_keys(3);
    const uint8_t sealed[ACCOUNT_SECRETS_SEALED_SIZE] = {0};
    struct buf bytes = BUF_INIT(LIMIT_MANIFEST_BYTES);
    assert_int_equal(
        manifest_replace_root(old, &w->swarm, two.root, three.root, three.reading_public, sealed),
        ERR_AUTH);
    for (int change = 0; change < 6; change++) {
        draft = next_of(old);
        replace(draft, &w->account, &two);
        if (change == 0)
            draft->roots[0].signature[5] ^= 1;
        else if (change == 1)
            memcpy(draft->roots[0].key, sign_key_public(three.root), SIGN_PUBLIC_SIZE);
        else if (change == 2)
            draft->reading_key[3] ^= 1;
        else if (change == 3)
            draft->roots[0].reading_before[3] ^= 1;
        else if (change == 4)
            draft->roots[0].accepted[5] ^= 1;
        assert_int_equal(
            manifest_certify_admins(draft, &w->swarm, change == 1 ? three.root : two.root), ERR_OK);
        buf_clear(&bytes);
        assert_int_equal(
            manifest_make(draft, &w->swarm, change == 1 ? three.root : two.root, &bytes), ERR_OK);
        assert_int_equal(manifest_open(buf_slice(&bytes), &w->swarm, &m, NULL),
                         change == 5 ? ERR_OK : ERR_AUTH);
        if (change == 5)
            manifest_free(m);
        manifest_free(draft);
    }
    manifest_free(old);
    account_keys_clear(&two);
    account_keys_clear(&three);
    buf_free(&bytes);
}

static void test_manifest_keeps_revocations(void **state)
{
    (void)state;
    struct manifest *old = first(), *draft, *next;
    assert_int_equal(manifest_revoke(old, 1, 10), ERR_OK);
    for (int kind = 0; kind < 3; kind++) {
        draft = next_of(old);
        draft->devices[1].revoked = kind != 0;
        draft->devices[1].last_sequence = kind == 1 ? 11 : 9;
        next = signed_by(draft, w->admin);
        assert_int_equal(manifest_follows(old, next, NULL), kind == 2 ? ERR_OK : ERR_DENIED);
        manifest_free(next);
        manifest_free(draft);
    }
    manifest_free(old);
}

/* A revoked admin makes manifests with ever higher numbers; to somebody who has seen nothing else
   they look good until the root's next one comes, which outranks them all. */
static void test_manifest_root_outranks(void **state)
{
    (void)state;
    struct manifest *old = first(), *rogue, *root, *evil;
    struct buf bytes = BUF_INIT(LIMIT_MANIFEST_BYTES);
    evil = next_of(old);
    evil->number = (UINT64_C(1) << 32) | UINT32_MAX;
    rogue = signed_by(evil, w->admin);
    assert_int_equal(manifest_revoke(old, 0, 3), ERR_OK);
    old->number = manifest_next_number(old->number, true);
    assert_int_equal(manifest_certify_admins(old, &w->swarm, w->account.root), ERR_OK);
    root = signed_by(old, w->account.root);
    assert_int_equal(manifest_follows(rogue, root, NULL), ERR_OK);
    assert_int_equal(manifest_follows(root, rogue, NULL), ERR_STALE);
    /* and with a number of the next row it has no certificate */
    evil->number = UINT64_C(3) << 32;
    assert_int_equal(manifest_make(evil, &w->swarm, w->admin, &bytes), ERR_OK);
    manifest_free(rogue);
    assert_int_equal(manifest_open(buf_slice(&bytes), &w->swarm, &rogue, NULL), ERR_AUTH);
    buf_free(&bytes);
    manifest_free(evil);
    manifest_free(root);
    manifest_free(old);
}

static void test_manifest_forks_and_strangers(void **state)
{
    (void)state;
    struct manifest *old = first(), *draft = next_of(old), *next, *other;
    next = signed_by(draft, w->admin);
    draft->time_s++;
    other = signed_by(draft, w->admin);
    assert_int_equal(manifest_follows(next, other, NULL), ERR_INCONSISTENT);
    manifest_free(next);
    next = signed_by(draft, w->account.root);
    next->account.bytes[0] ^= 1;
    assert_int_equal(manifest_follows(old, next, NULL), ERR_INCONSISTENT);
    next->account.bytes[0] ^= 1;
    next->devices[1].id.bytes[0] ^= 1; /* slot 1 given to another device, by the root even */
    assert_int_equal(manifest_follows(old, next, NULL), ERR_INCONSISTENT);
    manifest_free(next);
    manifest_free(other);
    manifest_free(draft);
    manifest_free(old);
}

static int setup(void **state)
{
    (void)state;
    w = identity_world();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifest_rights),
        cmocka_unit_test(test_manifest_needs_a_right_signer),
        cmocka_unit_test(test_manifest_admin_may_add_and_revoke),
        cmocka_unit_test(test_manifest_admin_may_not),
        cmocka_unit_test(test_manifest_of_a_row_whose_beginning_was_missed),
        cmocka_unit_test(test_manifest_knows_which_invites_were_used),
        cmocka_unit_test(test_manifest_knows_whose_invites_count),
        cmocka_unit_test(test_manifest_root_is_replaced),
        cmocka_unit_test(test_manifest_roots_are_a_chain),
        cmocka_unit_test(test_manifest_keeps_revocations),
        cmocka_unit_test(test_manifest_root_outranks),
        cmocka_unit_test(test_manifest_forks_and_strangers),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}

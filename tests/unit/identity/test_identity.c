/* identity/: invites as strings, member lists, claims, heads' chains, keys from the phrase,
 * addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "harness/hostile.h"
#include "identity/claim.h"
#include "identity/delete_order.h"
#include "identity/grant.h"
#include "identity/head.h"
#include "identity/invite_text.h"
#include "identity/member_list.h"
#include "identity_examples.h"

#include <stdio.h>
#include <stdlib.h>

static const struct identity_world *w;

static struct buf example(const char *name)
{
    struct buf out = BUF_INIT(1 << 20);
    for (size_t i = 0; i < identity_example_count; i++)
        if (strcmp(identity_examples[i].name, name) == 0)
            assert_int_equal(identity_examples[i].build(w, &out), ERR_OK);
    assert_true(out.size != 0);
    return out;
}

/* Computed by other means (Python's hashlib; libsodium's curves): a change would lose every
 * account. */
static void test_account_keys_are_frozen(void **state)
{
    (void)state;
    struct account_keys keys = {0}, other = {0};
    struct swarm_root swarm = w->swarm;
    char hex[65];
    struct id phrase = identity_id(0x06);
    assert_int_equal(account_keys_derive(phrase.bytes, &w->swarm, &keys), ERR_OK);
    text_hex(slice_of(w->swarm.key, 32), hex);
    assert_string_equal(hex, "e46772950c1f5d41b416ffa62c2d8d5c00c42ddbdbaca0d7395795931bc0ec5b");
    text_hex(slice_of(sign_key_public(keys.root), 32), hex);
    assert_string_equal(hex, "f281b84df7392cc7297b6db983547b3c14e901cf9cdf4f62f53e4d04cfb8d01f");
    text_hex(slice_of(keys.account.bytes, 32), hex);
    assert_string_equal(hex, "2f1060c2ef3655463cd8d8159789e87160093c7091cf4a2f6ecae7b8b6d52724");
    text_hex(slice_of(keys.reading_public, 32), hex);
    assert_string_equal(hex, "398768fb70b4a10c84b0fb52d3b278739bdfc8dfc468d97e1387597816338341");
    text_hex(slice_of(keys.secrets.chunk_id_key, 32), hex);
    assert_string_equal(hex, "19965d8706eed2fb06fc98d9c638448ee83e44a9ebe89f9450ee7a04ffe7fbba");
    text_hex(slice_of(keys.secrets.cut_point_key, 32), hex);
    assert_string_equal(hex, "9ed72d62e0ea8aa069e6c01d2e6c33cec622d76cd0a612d0614dc9f97947d66b");
    /* the same phrase in another swarm has nothing in common */
    swarm.hash.bytes[0] ^= 1;
    assert_int_equal(account_keys_derive(phrase.bytes, &swarm, &other), ERR_OK);
    assert_false(id_equal(&keys.account, &other.account));
    assert_memory_not_equal(keys.reading_public, other.reading_public, 32);
    assert_memory_not_equal(&keys.secrets, &other.secrets, sizeof(keys.secrets));
    account_keys_clear(&keys);
    account_keys_clear(&other);
    account_keys_clear(&other); /* nothing left, nothing done */
}

static void test_account_secrets_reach_the_device(void **state)
{
    (void)state;
    uint8_t public[32], secret[32], sealed[ACCOUNT_SECRETS_SEALED_SIZE];
    struct id seed = identity_id(0x77);
    struct account_secrets got;
    seal_pair(seed.bytes, public, secret);
    assert_int_equal(account_secrets_seal(&w->account.secrets, public, seed.bytes, sealed), ERR_OK);
    assert_int_equal(account_secrets_open(sealed, public, secret, &got), ERR_OK);
    assert_memory_equal(&got, &w->account.secrets, sizeof(got));
    sealed[40] ^= 1;
    assert_int_equal(account_secrets_open(sealed, public, secret, &got), ERR_AUTH);
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const good[] = {"a:1", "10.0.0.1:65535", "[::1]:7700", "nas.example:80"};
    static const char *const bad[] = {"",        "a",       ":1",         "a:",    "a:0",   "a:01",
                                      "a:65536", "::1:1",   "[::1]",      "a b:1", "a:1/x", "a:-1",
                                      "a:1 ",    "[::1:80", "\xc3\xbc:1", "a:1\n"};
    struct address_list list = {0};
    const char *pointers[LIMIT_ADDRESSES];
    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        assert_int_equal(address_list_add(&list, good[i]), ERR_OK);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        if (address_list_add(&list, bad[i]) != ERR_FORMAT)
            fail_msg("\"%s\" is taken", bad[i]);
    assert_int_equal(address_list_add(&list, "a:1"), ERR_OK); /* again */
    assert_int_equal(address_list_pointers(&list, pointers), 4);
    assert_string_equal(pointers[3], "nas.example:80");
    for (unsigned i = 2; i < 6; i++) {
        char text[8];
        snprintf(text, sizeof(text), "b:%u", i);
        assert_int_equal(address_list_add(&list, text), ERR_OK);
    }
    assert_int_equal(address_list_add(&list, "c:1"), ERR_TOO_LARGE);
}

static struct buf invite_string(const char *invite)
{
    struct buf certificate = example("coordinator"), doc = example(invite), out = BUF_INIT(1 << 16);
    struct invite_text in = {
        .swarm = w->swarm, .coordinator = buf_slice(&certificate), .invite = buf_slice(&doc)};
    assert_int_equal(address_list_add(&in.addresses, "192.0.2.9:7700"), ERR_OK);
    assert_int_equal(invite_text_make(&in, &out), ERR_OK);
    assert_int_equal(buf_append_u8(&out, 0), ERR_OK);
    buf_free(&certificate);
    buf_free(&doc);
    return out;
}

static void test_invite_text_opens(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum invite_kind kind;
    } cases[] = {{"invite", INVITE_CELL}, {"device-invite", INVITE_DEVICE}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct buf text = invite_string(cases[i].name), doc = example(cases[i].name);
        struct invite_text out;
        assert_memory_equal(text.data, "cellar-", 7);
        assert_int_equal(invite_text_open((const char *)text.data, &out, NULL), ERR_OK);
        assert_int_equal(out.kind, cases[i].kind);
        assert_memory_equal(out.swarm.key, w->swarm.key, 32);
        assert_true(id_equal(&out.swarm.hash, &w->swarm.hash));
        assert_true(id_equal(&out.certificate.id, sign_key_id(w->coordinator)));
        assert_string_equal(out.addresses.text[0], "192.0.2.9:7700");
        assert_true(slice_equal(out.invite, buf_slice(&doc)));
        invite_text_free(&out);
        buf_free(&text);
        buf_free(&doc);
    }
}

/* Broken into lines by a mail program, in capitals from a QR code. */
static void test_invite_text_as_it_arrives(void **state)
{
    (void)state;
    struct buf text = invite_string("invite"), broken = BUF_INIT(1 << 16);
    struct invite_text out;
    assert_int_equal(buf_append_text(&broken, " \n"), ERR_OK);
    for (size_t i = 0; i + 1 < text.size; i++) {
        uint8_t c = text.data[i];
        assert_int_equal(buf_append_u8(&broken, c >= 'a' && c <= 'z' ? (uint8_t)(c - 32) : c),
                         ERR_OK);
        if (i > 7 && i % 60 == 0)
            assert_int_equal(buf_append_text(&broken, "\r\n\t "), ERR_OK);
    }
    assert_int_equal(buf_append_text(&broken, "\n"), ERR_OK);
    assert_int_equal(buf_append_u8(&broken, 0), ERR_OK);
    assert_int_equal(invite_text_open((const char *)broken.data, &out, NULL), ERR_OK);
    invite_text_free(&out);
    buf_free(&broken);
    buf_free(&text);
}

static void test_invite_text_refuses(void **state)
{
    (void)state;
    struct buf text = invite_string("invite");
    struct invite_text out;
    struct errmsg msg;
    char *copy = (char *)text.data;
    size_t length = strlen(copy);
    for (size_t i = 0; i < length; i++) { /* any one letter */
        char was = copy[i];
        copy[i] = was == 'b' ? 'c' : 'b';
        if (invite_text_open(copy, &out, &msg) == ERR_OK)
            fail_msg("letter %zu does not matter", i);
        copy[i] = was;
    }
    for (size_t i = 0; i < length; i++) { /* any end cut off */
        char was = copy[i];
        copy[i] = 0;
        assert_int_equal(invite_text_open(copy, &out, &msg), ERR_FORMAT);
        copy[i] = was;
    }
    assert_int_equal(invite_text_open("hello", &out, &msg), ERR_FORMAT);
    assert_string_equal(msg.text, "this is no invite: an invite begins with \"cellar-\"");
    buf_free(&text);
    char *huge = malloc(100000);
    assert_non_null(huge);
    memset(huge, 'a', 99999);
    memcpy(huge, "cellar-", 7);
    huge[99999] = 0;
    assert_int_equal(invite_text_open(huge, &out, &msg), ERR_TOO_LARGE);
    free(huge);
}

/* Whole, but the invite is signed by somebody else than the certified coordinator. */
static void test_invite_text_by_a_stranger(void **state)
{
    (void)state;
    struct buf certificate = example("coordinator"), doc = BUF_INIT(4096), text = BUF_INIT(1 << 16);
    struct invite invite = {.kind = INVITE_CELL, .uses = 1};
    struct errmsg msg;
    assert_int_equal(invite_make(&invite, &w->swarm, w->device, &doc), ERR_OK);
    struct invite_text in = {.swarm = w->swarm,
                             .coordinator = buf_slice(&certificate),
                             .invite = buf_slice(&doc)},
                       out;
    assert_int_equal(invite_text_make(&in, &text), ERR_OK);
    assert_int_equal(buf_append_u8(&text, 0), ERR_OK);
    assert_int_equal(invite_text_open((const char *)text.data, &out, &msg), ERR_AUTH);
    assert_string_equal(msg.text,
                        "the invite is refused: it is signed by another key than the one that may");
    /* and under another root */
    buf_clear(&text);
    swarm_root_of(sign_key_public(w->device), &in.swarm);
    assert_int_equal(invite_text_make(&in, &text), ERR_OK);
    assert_int_equal(buf_append_u8(&text, 0), ERR_OK);
    assert_int_equal(invite_text_open((const char *)text.data, &out, &msg), ERR_AUTH);
    buf_free(&certificate);
    buf_free(&doc);
    buf_free(&text);
}

enum { MANY = 500 };

/* Cells in any order come out sorted, found, with their sites numbered. */
static void test_member_list(void **state)
{
    (void)state;
    static const char *const sites[] = {"", "attic", "office", "attic "};
    struct buf certificate = example("coordinator"), bytes = BUF_INIT(1 << 20);
    struct member *members = calloc(MANY, sizeof(*members));
    struct member_list draft = {.coordinator_doc = buf_slice(&certificate),
                                .number = 1,
                                .members = members,
                                .count = MANY},
                       *list;
    assert_non_null(members);
    for (uint32_t i = 0; i < MANY; i++) {
        put_le32(members[i].key, i * 2654435761u);
        members[i].weight = (uint16_t)i;
        members[i].site = slice_text(sites[i % 4]);
        members[i].addresses = slice_of("\x80", 1);
    }
    assert_int_equal(member_list_make(&draft, &w->swarm, w->coordinator, &bytes), ERR_OK);
    assert_int_equal(member_list_open(buf_slice(&bytes), &w->swarm, &list, NULL), ERR_OK);
    assert_int_equal(list->count, MANY);
    assert_true(list->incarnation == 1 && list->number == 1 && id_is_zero(&list->previous));
    uint32_t numbers[4] = {0};
    for (size_t i = 0; i < MANY; i++) {
        const struct member *m = &list->members[i];
        struct id id;
        sign_id(m->key, &id);
        assert_true(member_list_find(list, &id) == m);
        assert_true(id_equal(&m->household, &id) && !m->claimed);
        assert_true(slice_equal(m->site, slice_text(sites[m->weight % 4])));
        if (numbers[m->weight % 4] == 0)
            numbers[m->weight % 4] = m->site_number;
        assert_int_equal(m->site_number, numbers[m->weight % 4]);
    }
    assert_int_equal(numbers[0], 0);
    assert_true(numbers[1] != numbers[2] && numbers[2] != numbers[3] && numbers[1] != numbers[3]);
    assert_null(member_list_find(list, sign_key_id(w->cell)));
    struct member_list later = *list;
    later.number = 2;
    assert_true(member_list_compare(list, &later) < 0 && member_list_compare(&later, list) > 0);
    later.number = 0, later.incarnation = 2;
    assert_true(member_list_compare(list, &later) < 0 && member_list_compare(list, list) == 0);
    member_list_free(list);
    member_list_free(NULL);
    /* signed by a key that the certificate does not name */
    buf_clear(&bytes);
    assert_int_equal(member_list_make(&draft, &w->swarm, w->device, &bytes), ERR_OK);
    assert_int_equal(member_list_open(buf_slice(&bytes), &w->swarm, &list, NULL), ERR_AUTH);
    /* and an empty list is one */
    buf_clear(&bytes);
    draft.count = 0;
    assert_int_equal(member_list_make(&draft, &w->swarm, w->coordinator, &bytes), ERR_OK);
    assert_int_equal(member_list_open(buf_slice(&bytes), &w->swarm, &list, NULL), ERR_OK);
    assert_null(member_list_find(list, sign_key_id(w->cell)));
    member_list_free(list);
    free(members);
    buf_free(&certificate);
    buf_free(&bytes);
}

static void test_claim_halves(void **state)
{
    (void)state;
    struct claim in = {.account = w->account.account,
                       .cell = *sign_key_id(w->cell),
                       .manifest_number = 3},
                 out;
    struct buf half = BUF_INIT(4096), whole = BUF_INIT(4096), more = BUF_INIT(4096);
    assert_int_equal(claim_make(&in, &w->swarm, w->admin, &half), ERR_OK);
    assert_int_equal(claim_open(buf_slice(&half), &w->swarm, &out, NULL), ERR_OK);
    assert_true(!out.whole && !out.by_root && id_equal(&out.signer, sign_key_id(w->admin)));
    assert_int_equal(claim_countersign(buf_slice(&half), &w->swarm, w->device, &whole), ERR_AUTH);
    assert_int_equal(claim_countersign(buf_slice(&half), &w->swarm, w->cell, &whole), ERR_OK);
    assert_int_equal(claim_open(buf_slice(&whole), &w->swarm, &out, NULL), ERR_OK);
    assert_true(out.whole && id_equal(&out.cell, sign_key_id(w->cell)));
    assert_int_equal(claim_countersign(buf_slice(&whole), &w->swarm, w->cell, &more), ERR_STATE);
    buf_clear(&half);
    assert_int_equal(claim_make(&in, &w->swarm, w->account.root, &half), ERR_OK);
    assert_int_equal(claim_open(buf_slice(&half), &w->swarm, &out, NULL), ERR_OK);
    assert_true(out.by_root);
    buf_free(&half);
    buf_free(&whole);
    buf_free(&more);
}

static void make_head(uint64_t sequence, const struct id *previous, int64_t time_s,
                      struct head *out)
{
    static struct head head;
    struct buf bytes = BUF_INIT(HEAD_BYTES_MAX);
    head = (struct head){.account = w->account.account, .sequence = sequence, .time_s = time_s};
    if (previous != NULL)
        head.previous = *previous;
    assert_int_equal(head_make(&head, &w->swarm, w->device, &bytes), ERR_OK);
    assert_int_equal(head_open(buf_slice(&bytes), &w->swarm, sign_key_id(w->device), out, NULL),
                     ERR_OK);
    buf_free(&bytes);
    out->sealed = (struct slice){0};
}

static void test_heads_are_a_chain(void **state)
{
    (void)state;
    static struct head one, two, three, other, fork;
    make_head(1, NULL, 1, &one);
    make_head(2, &one.hash, 2, &two);
    make_head(3, &two.hash, 3, &three);
    make_head(2, &one.hash, 99, &other);
    make_head(3, &other.hash, 3, &fork);
    assert_int_equal(head_follows(&one, &two, NULL), ERR_OK);
    assert_int_equal(head_follows(&two, &three, NULL), ERR_OK);
    assert_int_equal(head_follows(&one, &three, NULL), ERR_NOT_ENOUGH);
    assert_int_equal(head_follows(&two, &one, NULL), ERR_STALE);
    assert_int_equal(head_follows(&two, &two, NULL), ERR_STALE);
    assert_int_equal(head_follows(&two, &other, NULL), ERR_INCONSISTENT);
    assert_int_equal(head_follows(&two, &fork, NULL), ERR_INCONSISTENT);
    two.slot = 4;
    assert_int_equal(head_follows(&one, &two, NULL), ERR_INCONSISTENT);
}

static void test_only_the_root_deletes_at_once(void **state)
{
    (void)state;
    struct deed deed = {.account = w->account.account, .sequence = 1};
    struct id segment = identity_id(0x31);
    struct delete_order order;
    struct buf bytes = BUF_INIT(1 << 20);
    assert_int_equal(delete_order_make(&deed, true, &segment, 1, &w->swarm, w->device, &bytes),
                     ERR_OK);
    assert_int_equal(delete_order_open(buf_slice(&bytes), &w->swarm, NULL, &order, NULL),
                     ERR_DENIED);
    buf_clear(&bytes);
    assert_int_equal(
        delete_order_make(&deed, true, &segment, 1, &w->swarm, w->account.root, &bytes), ERR_OK);
    assert_int_equal(delete_order_open(buf_slice(&bytes), &w->swarm, NULL, &order, NULL), ERR_OK);
    assert_true(order.deed.by_root && order.at_once && id_list_has(&order.segments, &segment));
    segment = identity_id(0x32);
    assert_false(id_list_has(&order.segments, &segment));
    buf_clear(&bytes);
    assert_int_equal(delete_order_make_undo(&deed, NULL, 0, &w->swarm, w->device, &bytes), ERR_OK);
    assert_int_equal(delete_order_open_undo(buf_slice(&bytes), &w->swarm, &order, NULL),
                     ERR_DENIED);
    buf_free(&bytes);
}

/* A cell that was told of a revocation, or does not know the newest manifest, frees nothing. */
static void test_who_may_delete_is_in_the_manifest(void **state)
{
    (void)state;
    const struct deed deed = {
        .account = w->account.account, .manifest_number = 7, .slot = 2, .sequence = 1};
    const struct id segment = identity_id(0x31);
    struct delete_order order;
    struct buf bytes = BUF_INIT(1 << 20);
    struct manifest_device device = {
        .slot = 2, .id = *sign_key_id(w->device), .capabilities = MANIFEST_DELETE};
    struct manifest m = {
        .account = w->account.account, .number = 7, .devices = &device, .device_count = 1};
    assert_int_equal(delete_order_make(&deed, false, &segment, 1, &w->swarm, w->device, &bytes),
                     ERR_OK);
    assert_int_equal(delete_order_open(buf_slice(&bytes), &w->swarm, NULL, &order, NULL), ERR_OK);
    assert_int_equal(delete_order_allowed(&order, &m, NULL), ERR_OK);
    m.number = 6;
    assert_int_equal(delete_order_allowed(&order, &m, NULL), ERR_STALE);
    m.number = 8;
    device.capabilities = MANIFEST_PUT | MANIFEST_READ;
    assert_int_equal(delete_order_allowed(&order, &m, NULL), ERR_DENIED);
    device.capabilities = MANIFEST_DELETE;
    device.revoked = true;
    assert_int_equal(delete_order_allowed(&order, &m, NULL), ERR_DENIED);
    device.revoked = false;
    device.slot = 3;
    assert_int_equal(delete_order_allowed(&order, &m, NULL), ERR_DENIED);
    m.device_count = 0;
    assert_int_equal(delete_order_allowed(&order, &m, NULL), ERR_DENIED);
    m.account = identity_id(0x77);
    order.deed.by_root = true;
    assert_int_equal(delete_order_allowed(&order, &m, NULL), ERR_DENIED);
    m.account = w->account.account;
    memcpy(m.root, sign_key_public(w->account.root), SIGN_PUBLIC_SIZE);
    assert_int_equal(delete_order_allowed(&order, &m, NULL), ERR_DENIED); /* it only says so */
    order.deed.signer = *sign_key_id(w->account.root);
    assert_int_equal(delete_order_allowed(&order, &m, NULL), ERR_OK);
    m.root_count = 1; /* replaced */
    memcpy(m.roots[0].key, sign_key_public(w->admin), SIGN_PUBLIC_SIZE);
    assert_int_equal(delete_order_allowed(&order, &m, NULL), ERR_DENIED);
    order.deed.signer = *sign_key_id(w->admin);
    assert_int_equal(delete_order_allowed(&order, &m, NULL), ERR_OK);
    buf_free(&bytes);
}

static void test_wanted_signer(void **state)
{
    (void)state;
    struct buf bytes = example("grant");
    struct grant grant;
    struct errmsg msg;
    assert_int_equal(grant_open(buf_slice(&bytes), &w->swarm, sign_key_id(w->device), &grant, &msg),
                     ERR_AUTH);
    assert_string_equal(msg.text,
                        "the grant is refused: it is signed by another key than the one that may");
    bytes.data[bytes.size - 1] ^= 1;
    assert_int_equal(grant_open(buf_slice(&bytes), &w->swarm, NULL, &grant, &msg), ERR_AUTH);
    assert_string_equal(msg.text,
                        "the grant is refused: its signature does not verify in this swarm");
    buf_free(&bytes);
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
        cmocka_unit_test(test_account_keys_are_frozen),
        cmocka_unit_test(test_account_secrets_reach_the_device),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_invite_text_opens),
        cmocka_unit_test(test_invite_text_as_it_arrives),
        cmocka_unit_test(test_invite_text_refuses),
        cmocka_unit_test(test_invite_text_by_a_stranger),
        cmocka_unit_test(test_member_list),
        cmocka_unit_test(test_claim_halves),
        cmocka_unit_test(test_heads_are_a_chain),
        cmocka_unit_test(test_only_the_root_deletes_at_once),
        cmocka_unit_test(test_who_may_delete_is_in_the_manifest),
        cmocka_unit_test(test_wanted_signer),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}

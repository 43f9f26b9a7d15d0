/* identity/member_changes.h: a later list from an earlier one and what has changed, to the byte, or
 * not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/hostile.h"
#include "identity/member_changes.h"
#include "identity_examples.h"

#include <stdlib.h>

enum { CELLS = 200, OUT_MAX = 1 << 20 };

static struct sign_key *keys[CELLS];
static struct buf certificate, addresses;

static int setup(void **state)
{
    (void)state;
    const struct identity_world *w = identity_world();
    struct coordinator_cert cert = {.incarnation = 1, .time_s = 1};
    struct address_list list = {0};
    memcpy(cert.key, sign_key_public(w->coordinator), SIGN_PUBLIC_SIZE);
    certificate = BUF_INIT(COORDINATOR_CERT_BYTES_MAX);
    addresses = BUF_INIT(4096);
    if (coordinator_cert_make(&cert, &w->swarm, w->root, &certificate) != ERR_OK ||
        address_list_add(&list, "192.0.2.7:7701") != ERR_OK ||
        address_list_encode(&list, &addresses) != ERR_OK)
        return 1;
    for (unsigned i = 0; i < CELLS; i++) {
        uint8_t seed[32] = {0x33, (uint8_t)i};
        if (sign_key_new(seed, &keys[i]) != ERR_OK)
            return 1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CELLS; i++)
        sign_key_free(keys[i]);
    buf_free(&certificate);
    buf_free(&addresses);
    return 0;
}

/* A list of the cells first .. last - 1; `heavy` has another weight. */
static struct member_list *make(uint64_t number, unsigned first, unsigned last, unsigned heavy)
{
    const struct identity_world *w = identity_world();
    struct member members[CELLS] = {0};
    struct member_list list = {
        .coordinator_doc = buf_slice(&certificate),
        .number = number,
        .previous = {{(uint8_t)number}},
        .time_s = 1000 + (int64_t)number,
        .members = members,
    };
    for (unsigned i = first; i < last; i++) {
        struct member *m = &members[list.count++];
        memcpy(m->key, sign_key_public(keys[i]), SIGN_PUBLIC_SIZE);
        m->weight = i == heavy ? 500 : 5;
        m->eligible = true;
        m->addresses = buf_slice(&addresses);
    }
    struct buf doc = BUF_INIT(OUT_MAX);
    struct member_list *out;
    assert_int_equal(member_list_make(&list, &w->swarm, w->coordinator, &doc), ERR_OK);
    assert_int_equal(member_list_open(buf_slice(&doc), &w->swarm, &out, NULL), ERR_OK);
    buf_free(&doc);
    return out;
}

static bool differs(void *user, const struct member *member)
{
    const struct member_list *base = user;
    const struct member *old = member_list_find(base, &member->id);
    return !old || member_changes_digest(old) != member_changes_digest(member);
}

static struct buf changes(const struct member_list *base, const struct member_list *later)
{
    struct buf out = BUF_INIT(OUT_MAX);
    struct id gone[CELLS];
    size_t count = 0;
    for (size_t i = 0; i < base->count; i++)
        if (!member_list_find(later, &base->members[i].id))
            gone[count++] = base->members[i].id;
    assert_int_equal(member_changes_make(later, base->number, differs, (void *)(uintptr_t)base,
                                         gone, count, &out),
                     ERR_OK);
    return out;
}

static void test_changes_give_the_later_list_to_the_byte(void **state)
{
    (void)state;
    struct member_list *base = make(7, 0, 190, 3), *later = make(9, 2, 200, 100), *again;
    struct buf told = changes(base, later);
    assert_int_equal(
        member_changes_apply(buf_slice(&told), base, &identity_world()->swarm, &again, NULL),
        ERR_OK);
    assert_true(slice_equal(again->bytes, later->bytes));
    assert_true(id_equal(&again->hash, &later->hash));
    assert_true(told.size < later->bytes.size / 4);
    member_list_free(again);
    buf_free(&told);
    /* nothing but the number */
    struct member_list *next = make(10, 2, 200, 100);
    told = changes(later, next);
    assert_true(told.size < 1024);
    assert_int_equal(
        member_changes_apply(buf_slice(&told), later, &identity_world()->swarm, &again, NULL),
        ERR_OK);
    assert_true(slice_equal(again->bytes, next->bytes));
    member_list_free(again);
    buf_free(&told);
    member_list_free(base);
    member_list_free(later);
    member_list_free(next);
}

static void test_a_whole_list_does_as_well(void **state)
{
    (void)state;
    struct member_list *later = make(9, 2, 40, 100), *again;
    assert_int_equal(
        member_changes_apply(later->bytes, NULL, &identity_world()->swarm, &again, NULL), ERR_OK);
    assert_true(slice_equal(again->bytes, later->bytes));
    member_list_free(again);
    member_list_free(later);
}

static void test_changes_since_another_list_are_refused(void **state)
{
    (void)state;
    const struct swarm_root *swarm = &identity_world()->swarm;
    struct member_list *base = make(7, 0, 20, 3), *later = make(9, 0, 20, 4), *again;
    /* the same number, another list: what a coordinator that signs two would do */
    struct member_list *other = make(7, 0, 20, 5), *third = make(8, 0, 20, 3);
    struct buf told = changes(base, later);
    assert_int_equal(member_changes_apply(buf_slice(&told), other, swarm, &again, NULL), ERR_AUTH);
    assert_int_equal(member_changes_apply(buf_slice(&told), third, swarm, &again, NULL), ERR_STATE);
    assert_int_equal(member_changes_apply(buf_slice(&told), NULL, swarm, &again, NULL), ERR_STATE);
    buf_free(&told);
    member_list_free(base);
    member_list_free(later);
    member_list_free(other);
    member_list_free(third);
}

struct pair {
    const struct member_list *base, *later;
};

/* Refused, or the very list that was signed. */
static void try_changes(void *user, struct slice bytes, const char *how)
{
    const struct pair *pair = user;
    struct member_list *list;
    struct errmsg msg;
    if (member_changes_apply(bytes, pair->base, &identity_world()->swarm, &list, &msg) != ERR_OK)
        return;
    if (!slice_equal(list->bytes, pair->later->bytes))
        fail_msg("another list comes of it: %s", how);
    member_list_free(list);
}

static void test_hostile_changes_make_no_other_list(void **state)
{
    (void)state;
    struct member_list *base = make(7, 0, 8, 3), *later = make(9, 1, 9, 4);
    struct pair pair = {base, later};
    struct buf told = changes(base, later);
    const struct slice good = buf_slice(&told);
    hostile_truncations(good, try_changes, &pair);
    hostile_flips(good, 0, try_changes, &pair);
    hostile_extremes(good, 0, try_changes, &pair);
    hostile_trailing(good, try_changes, &pair);
    hostile_noise(1, 2000, 300, try_changes, &pair);
    hostile_mutations(good, 2, 2000, try_changes, &pair);
    buf_free(&told);
    member_list_free(base);
    member_list_free(later);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes_give_the_later_list_to_the_byte),
        cmocka_unit_test(test_a_whole_list_does_as_well),
        cmocka_unit_test(test_changes_since_another_list_are_refused),
        cmocka_unit_test(test_hostile_changes_make_no_other_list),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

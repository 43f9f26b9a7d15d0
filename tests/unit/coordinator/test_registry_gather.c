/*
 * A registry rebuilt from what cells say: it comes out as the lost one was, and no cell's word
 * alone makes or unmakes anything. Every allocation on the way fails in turn.
 */
#include "registry_fixture.h"

#include "harness/alloc_fault.h"
#include "harness/fault.h"
#include "identity/claim.h"
#include "segment/segment_header.h"
#include "wire/wire_heads.h"
#include "wire/wire_inventory.h"

enum { CELLS = 6, ACCOUNTS = 2, SEGMENTS = 12, K = 2, M = 2, SHARD = 8192 };

struct told {
    struct id id;
    size_t account;
    uint8_t header[SEGMENT_HEADER_FIXED_SIZE + 32 * (K + M)];
    struct buf record;
};

struct stage {
    struct fixture *old, *new;
    struct told segments[SEGMENTS];
    struct buf manifests[ACCOUNTS];
};

static void make_told(struct stage *s, size_t number)
{
    struct told *t = &s->segments[number];
    struct account *a = &s->old->accounts[number % ACCOUNTS];
    struct segment_header header = {
        .suite = 1, .k = K, .m = M, .shard_bytes = SHARD, .account = a->keys.account};
    t->account = number % ACCOUNTS;
    put_le64(header.salt, number);
    segment_header_encode(&header, t->header);
    segment_header_id(slice_of(t->header, sizeof(t->header)), &t->id);
    const struct signed_record r = {
        .segment = t->id, .account = a->keys.account, .list_number = 1, .sequence = 1};
    t->record = BUF_INIT(SIGNED_RECORD_BYTES_MAX);
    OK(signed_record_make(&r, &s->old->root, a->device, &t->record));
}

/* The new one adopts the old one's members; both know the same keys. */
static struct stage *stage_new(void)
{
    struct stage *s = calloc(1, sizeof(*s));
    struct slice list_doc;
    struct member_list *list;
    uint64_t number;
    s->old = fixture_new(1);
    fixture_open(s->old);
    for (size_t i = 0; i < CELLS; i++)
        join_cell(s->old, i);
    for (size_t i = 0; i < ACCOUNTS; i++) {
        struct manifest *m;
        join_account(s->old, i);
        m = s->old->accounts[i].manifest;
        m->number = manifest_next_number(0, true);
        m->hold_s = MANIFEST_HOLD_DEFAULT_S;
        s->manifests[i] = BUF_INIT(LIMIT_MANIFEST_BYTES);
        OK(manifest_certify_admins(m, &s->old->root, s->old->accounts[i].keys.root));
        OK(manifest_make(m, &s->old->root, s->old->accounts[i].keys.root, &s->manifests[i]));
    }
    for (size_t i = 0; i < SEGMENTS; i++) {
        struct shard_at at[K + M];
        make_told(s, i);
        for (uint8_t j = 0; j < K + M; j++)
            at[j] = (struct shard_at){j, (i + j) % CELLS};
        OK(register_id(s->old, i % ACCOUNTS, &s->segments[i].id, K, M, SHARD, at, K + M));
    }
    OK(registry_members(s->old->registry, s->old->now_s, &list_doc, &number, &s->old->msg));
    OK(member_list_open(list_doc, &s->old->root, &list, &s->old->msg));
    s->new = fixture_new(2);
    s->new->options.incarnation = 2;
    for (size_t i = 0; i < CELLS; i++)
        s->new->cells[i] = fixture_key(1000 + i);
    for (size_t i = 0; i < ACCOUNTS; i++)
        make_account(s->new, i);
    fixture_open(s->new);
    OK(registry_adopt(s->new->registry, list, s->new->now_s, &s->new->msg));
    assert_int_equal(registry_adopt(s->new->registry, list, s->new->now_s, &s->new->msg),
                     ERR_STATE);
    member_list_free(list);
    return s;
}

static void stage_free(struct stage *s)
{
    fixture_free(s->old);
    fixture_free(s->new);
    for (size_t i = 0; i < SEGMENTS; i++)
        buf_free(&s->segments[i].record);
    for (size_t i = 0; i < ACCOUNTS; i++)
        buf_free(&s->manifests[i]);
    free(s);
}

/* --- one page, as coordinator_gather.c takes it --- */

static enum err take_heads(struct stage *s, const struct buf *accounts)
{
    enum err e = ERR_OK;
    for (size_t at = 0; at < accounts->size && e == ERR_OK; at += ID_SIZE) {
        for (size_t i = 0; i < ACCOUNTS && e == ERR_OK; i++) {
            struct buf heads = BUF_INIT(WIRE_HEADS_BYTES);
            struct id id;
            memcpy(id.bytes, accounts->data + at, ID_SIZE);
            if (!id_equal(&id, &s->old->accounts[i].keys.account))
                continue;
            e = wire_heads_encode(buf_slice(&s->manifests[i]), NULL, 0, &heads);
            if (e == ERR_OK)
                e = registry_gather_heads(s->new->registry, &id, buf_slice(&heads), &s->new->msg);
            buf_free(&heads);
        }
    }
    return e;
}

static enum err take_described(struct stage *s, const struct buf *ids, uint64_t *refused)
{
    struct wire_described described[SEGMENTS];
    struct buf body = BUF_INIT(WIRE_DESCRIBE_REPLY_BYTES);
    struct wire_list list;
    size_t count = 0;
    for (size_t at = 0; at < ids->size; at += ID_SIZE)
        for (size_t i = 0; i < SEGMENTS; i++)
            if (memcmp(s->segments[i].id.bytes, ids->data + at, ID_SIZE) == 0)
                described[count++] = (struct wire_described){
                    .position = (uint32_t)(at / ID_SIZE),
                    .header = slice_of(s->segments[i].header, sizeof(s->segments[i].header)),
                    .record = buf_slice(&s->segments[i].record)};
    enum err e = wire_described_encode(described, count, &body);
    if (e == ERR_OK)
        e = wire_described_decode(buf_slice(&body), &list);
    if (e == ERR_OK)
        e = registry_gather_segments(s->new->registry, buf_slice(ids), list, s->new->now_s, refused,
                                     &s->new->msg);
    buf_free(&body);
    return e;
}

static enum err take_page(struct stage *s, size_t cell, const struct wire_inventory_item *items,
                          size_t count, uint64_t *refused)
{
    struct registry *registry = s->new->registry;
    struct buf page = BUF_INIT(WIRE_INVENTORY_REPLY_BYTES), ids = BUF_INIT(1u << 20),
               accounts = BUF_INIT(1u << 20);
    struct wire_list list;
    struct slice claim;
    bool more;
    enum err e = wire_inventory_reply_encode(items, count, false, slice_of(NULL, 0), &page);
    if (e == ERR_OK)
        e = wire_inventory_reply_decode(buf_slice(&page), &list, &more, &claim);
    if (e == ERR_OK)
        e = registry_gather_page(registry, list, &ids, &accounts, &s->new->msg);
    if (e == ERR_OK)
        e = take_heads(s, &accounts);
    if (e == ERR_OK)
        e = take_described(s, &ids, refused);
    if (e == ERR_OK)
        e = registry_gather_places(registry, cell_id(s->new, cell), list, &s->new->msg);
    buf_free(&page);
    buf_free(&ids);
    buf_free(&accounts);
    return e;
}

static struct wire_inventory_item item(const struct stage *s, size_t segment, uint8_t index,
                                       enum wire_shard_state state)
{
    return (struct wire_inventory_item){
        .segment = s->segments[segment].id,
        .account = s->old->accounts[s->segments[segment].account].keys.account,
        .index = index,
        .state = state};
}

/* What an honest cell says. */
static enum err say_all(struct stage *s, size_t cell)
{
    struct wire_inventory_item items[SEGMENTS];
    size_t count = 0;
    uint64_t refused = 0;
    for (size_t i = 0; i < SEGMENTS; i++)
        for (uint8_t j = 0; j < K + M; j++)
            if ((i + j) % CELLS == cell)
                items[count++] = item(s, i, j, WIRE_SHARD_STORED);
    const enum err e = take_page(s, cell, items, count, &refused);
    assert_int_equal(refused, 0);
    return e;
}

static void end_cell(struct stage *s, size_t cell)
{
    OK(registry_gather_end(s->new->registry, cell_id(s->new, cell), ERR_OK, s->new->now_s,
                           &s->new->msg));
}

static struct registry_counts counts(struct stage *s)
{
    struct registry_counts out;
    OK(registry_counts(s->new->registry, s->new->now_s, &out, &s->new->msg));
    return out;
}

/* --- it comes out as it was --- */

struct lines {
    struct {
        struct id account, cell;
        uint64_t bytes;
    } line[ACCOUNTS * CELLS];
    size_t count;
};

static enum err add_line(void *user, const struct id *account, const struct id *cell,
                         uint64_t bytes)
{
    struct lines *lines = user;
    assert_true(lines->count < ARRAY_COUNT(lines->line));
    lines->line[lines->count].account = *account;
    lines->line[lines->count].cell = *cell;
    lines->line[lines->count++].bytes = bytes;
    return ERR_OK;
}

static void test_the_rebuilt_ledger_is_the_same(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct lines before = {0}, after = {0};
    size_t met = 0;
    for (size_t i = 0; i < CELLS; i++) {
        assert_int_equal(counts(s).ungathered, CELLS - i);
        OK(say_all(s, i));
        OK(say_all(s, i)); /* saying it twice changes nothing */
        end_cell(s, i);
    }
    assert_int_equal(counts(s).segments, SEGMENTS);
    assert_int_equal(counts(s).accounts, ACCOUNTS);
    OK(registry_ledger_check(s->new->registry, &s->new->msg));
    OK(registry_ledger(s->old->registry, add_line, &before, &s->old->msg));
    OK(registry_ledger(s->new->registry, add_line, &after, &s->new->msg));
    assert_int_equal(before.count, after.count);
    for (size_t i = 0; i < before.count; i++)
        for (size_t j = 0; j < after.count; j++)
            met += id_equal(&before.line[i].account, &after.line[j].account) &&
                   id_equal(&before.line[i].cell, &after.line[j].cell) &&
                   before.line[i].bytes == after.line[j].bytes;
    assert_int_equal(met, before.count);
    stage_free(s);
}

/* Nothing is given before it is proven; a receipt that the device brings proves it as well. */
static void test_a_shard_counts_only_after_a_proof(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct registry_cell *cell = registry_cell_find(s->new->registry, cell_id(s->new, 1));
    for (size_t i = 0; i < CELLS; i++) {
        OK(say_all(s, i));
        end_cell(s, i);
    }
    join_account(s->new, 2); /* one that has nothing at the cell itself */
    OK(claim(s->new, 1, 2, false));
    assert_int_equal(standing(s->new, 0).used_bytes, SEGMENTS / 2 * (K + M) * SHARD);
    assert_int_equal(standing(s->new, 2).given_bytes, 0);
    assert_int_equal(counts(s).unproven, SEGMENTS * (K + M));
    /* segment 0 is account 0's, its shard 1 is at cell 1 */
    OK(registry_unproven_clear(s->new->registry, &s->segments[0].id, 1, cell, SHARD, &s->new->msg));
    assert_int_equal(standing(s->new, 2).given_bytes, SHARD);
    const struct shard_at at = {3, 1}; /* and segment 4's shard 3 */
    OK(register_id(s->new, 0, &s->segments[4].id, K, M, SHARD, &at, 1));
    assert_int_equal(standing(s->new, 2).given_bytes, 2 * SHARD);
    stage_free(s);
}

/* What moves away or is deleted is no debt of proofs any more. */
static void test_what_is_gone_needs_no_proof(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct registry_segment row;
    uint64_t refused = 0;
    bool busy;
    for (size_t i = 0; i < CELLS; i++) {
        const struct wire_inventory_item waits = item(s, 2, 0, WIRE_SHARD_WAITING);
        OK(say_all(s, i));
        if (i < 2)
            OK(take_page(s, i, &waits, 1, &refused));
        end_cell(s, i);
    }
    /* cell 0 and 1 said that segment 2 is deleted, by which cell 0 also has a shard of it */
    assert_int_equal(counts(s).segments, SEGMENTS - 1);
    const uint64_t before = counts(s).unproven;
    OK(db_begin(registry_db(s->new->registry), &s->new->msg));
    OK(registry_segment_get(s->new->registry, &s->segments[0].id, &row, &s->new->msg));
    row.count--;
    OK(registry_segment_put(s->new->registry, &row, &s->new->msg));
    OK(db_commit(registry_db(s->new->registry), &s->new->msg));
    assert_int_equal(counts(s).unproven, before - 1);
    s->new->now_s += 31 * 86400;
    for (size_t i = 0; i < CELLS; i++)
        beat(s->new, i, 1);
    OK(registry_tick(s->new->registry, s->new->now_s, &busy, &s->new->msg));
    assert_int_equal(counts(s).unproven, (SEGMENTS - 1) * (K + M) - 1);
    OK(registry_ledger_check(s->new->registry, &s->new->msg));
    stage_free(s);
}

/* --- liars --- */

static void test_what_no_device_signed_is_no_segment(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    uint64_t refused = 0;
    const struct wire_inventory_item one = item(s, 0, 0, WIRE_SHARD_STORED);
    struct buf good = s->segments[0].record;
    const struct signed_record r = {.segment = s->segments[0].id,
                                    .account = s->old->accounts[0].keys.account,
                                    .list_number = 1,
                                    .sequence = 1};
    s->segments[0].record = BUF_INIT(SIGNED_RECORD_BYTES_MAX);
    OK(signed_record_make(&r, &s->old->root, s->old->cells[0], &s->segments[0].record));
    OK(take_page(s, 0, &one, 1, &refused));
    assert_int_equal(refused, 1);
    s->segments[0].header[60] ^= 1; /* another header under that name */
    OK(take_page(s, 0, &one, 1, &refused));
    assert_int_equal(refused, 2);
    assert_int_equal(counts(s).segments, 0);
    s->segments[0].header[60] ^= 1;
    buf_free(&s->segments[0].record);
    s->segments[0].record = good;
    OK(take_page(s, 0, &one, 1, &refused));
    assert_int_equal(refused, 2);
    assert_int_equal(counts(s).segments, 1);
    /* an index that the segment does not have, and another account's name on it */
    struct wire_inventory_item lie = item(s, 0, K + M, WIRE_SHARD_STORED);
    OK(take_page(s, 1, &lie, 1, &refused));
    lie = item(s, 0, 1, WIRE_SHARD_STORED);
    lie.account = s->old->accounts[1].keys.account;
    OK(take_page(s, 1, &lie, 1, &refused));
    assert_int_equal(counts(s).unproven, 1);
    stage_free(s);
}

static void test_an_account_needs_two_households(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    bool known;
    const struct id *account = &s->old->accounts[0].keys.account;
    OK(say_all(s, 0));
    end_cell(s, 0);
    OK(registry_account_known(s->new->registry, account, &known, &s->new->msg));
    assert_false(known);
    OK(say_all(s, 1));
    end_cell(s, 1);
    OK(registry_account_known(s->new->registry, account, &known, &s->new->msg));
    assert_true(known);
    stage_free(s);
}

static bool removed(struct stage *s, size_t segment)
{
    bool out;
    OK(registry_is_removed(s->new->registry, &s->segments[segment].id, &out, &s->new->msg));
    return out;
}

/* One cell alone kills nothing that others hold; two do; and dead names stay dead. */
static void test_dead_names(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    uint64_t refused = 0;
    const struct wire_inventory_item lie = item(s, 0, 0, WIRE_SHARD_DEAD),
                                     truth = item(s, 1, 0, WIRE_SHARD_DEAD),
                                     unknown = {.segment = segment_id(77),
                                                .state = WIRE_SHARD_DEAD};
    for (size_t i = 0; i < CELLS; i++) {
        OK(say_all(s, i));
        if (i == 5)
            OK(take_page(s, i, &lie, 1, &refused));
        if (i == 0 || i == 5)
            OK(take_page(s, i, &truth, 1, &refused));
        if (i == 2)
            OK(take_page(s, i, &unknown, 1, &refused));
        end_cell(s, i);
    }
    assert_false(removed(s, 0));
    assert_true(removed(s, 1));
    assert_int_equal(counts(s).segments, SEGMENTS - 1);
    bool dead;
    OK(registry_is_removed(s->new->registry, &unknown.segment, &dead, &s->new->msg));
    assert_true(dead);
    const struct shard_at at = {0, 1};
    assert_int_equal(register_id(s->new, 1, &s->segments[1].id, K, M, SHARD, &at, 1), ERR_DENIED);
    OK(say_all(s, 1)); /* a cell that comes back with it revives nothing */
    assert_int_equal(counts(s).segments, SEGMENTS - 1);
    OK(registry_ledger_check(s->new->registry, &s->new->msg));
    stage_free(s);
}

/* A claim counts by both signatures, the account's an admin's. */
static void test_claims_of_a_rebuilt_registry(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    struct registry_cell *cell = registry_cell_find(s->new->registry, cell_id(s->new, 2));
    struct buf half = BUF_INIT(CLAIM_BYTES_MAX), whole = BUF_INIT(CLAIM_BYTES_MAX),
               accounts = BUF_INIT(256);
    struct claim c = {.account = s->old->accounts[0].keys.account,
                      .manifest_number = 1,
                      .cell = *cell_id(s->new, 2),
                      .time_s = s->new->now_s};
    OK(claim_make(&c, &s->old->root, s->old->accounts[0].device, &half));
    OK(claim_countersign(buf_slice(&half), &s->old->root, s->old->cells[2], &whole));
    OK(registry_gather_claim(s->new->registry, cell_id(s->new, 2), buf_slice(&half), 1,
                             &s->new->msg));
    assert_false(cell->claimed); /* the cell has not signed */
    OK(registry_gather_claim(s->new->registry, cell_id(s->new, 2), buf_slice(&whole), 1,
                             &s->new->msg));
    assert_false(cell->claimed); /* no manifest says whose device that is */
    OK(registry_gather_claimant(s->new->registry, buf_slice(&whole), &accounts));
    OK(take_heads(s, &accounts));
    OK(registry_gather_claim(s->new->registry, cell_id(s->new, 3), buf_slice(&whole), 1,
                             &s->new->msg));
    OK(registry_gather_claim(s->new->registry, cell_id(s->new, 2), buf_slice(&whole), 1,
                             &s->new->msg));
    assert_true(cell->claimed && id_equal(&cell->household, &c.account));
    assert_false(registry_cell_find(s->new->registry, cell_id(s->new, 3))->claimed);
    buf_free(&half);
    buf_free(&whole);
    buf_free(&accounts);
    stage_free(s);
}

/* --- memory --- */

static bool scenario(void *user, uint64_t at, bool for_good)
{
    struct stage *s = user;
    alloc_fault_arm(at, for_good);
    const enum err e = say_all(s, 0);
    const bool met = alloc_fault_disarm();
    if (met)
        assert_true(e == ERR_NOMEM || e == ERR_OK);
    else
        assert_int_equal(e, ERR_OK);
    OK(registry_ledger_check(s->new->registry, &s->new->msg));
    return met;
}

static void test_every_allocation_of_a_page_fails_in_turn(void **state)
{
    (void)state;
    struct stage *s = stage_new();
    fault_loop(scenario, s, 10000);
    OK(say_all(s, 0));
    assert_int_equal(counts(s).unproven, 8);
    stage_free(s);
}

/* Trust begins anew, but not for who was not trusted: one proof at least comes first. */
static void test_who_was_not_trusted_has_to_prove_something_first(void **state)
{
    (void)state;
    struct fixture *old = fixture_new(5), *new = fixture_new(6);
    struct slice doc;
    struct member_list *list;
    struct registry_cell_info info;
    uint64_t number;
    fixture_open(old);
    for (size_t i = 0; i < 3; i++)
        join_cell(old, i);
    for (size_t i = 0; i < 2; i++) /* at 160 of 1000 */
        registry_fault(old->registry, registry_cell_find(old->registry, cell_id(old, 1)), false);
    OK(registry_members(old->registry, old->now_s, &doc, &number, &old->msg));
    OK(member_list_open(doc, &old->root, &list, &old->msg));
    new->options.incarnation = 2;
    fixture_open(new);
    OK(registry_adopt(new->registry, list, new->now_s, &new->msg));
    member_list_free(list);
    for (size_t i = 0; i < 3; i++) {
        OK(registry_cell_info(new->registry, cell_id(old, i), &info));
        if (i == 1)
            assert_in_range(info.trust, 250, 499); /* no new shards; what it has stays there */
        else
            assert_int_equal(info.trust, 1000);
    }
    fixture_free(old);
    fixture_free(new);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_was_not_trusted_has_to_prove_something_first),
        cmocka_unit_test(test_the_rebuilt_ledger_is_the_same),
        cmocka_unit_test(test_a_shard_counts_only_after_a_proof),
        cmocka_unit_test(test_what_is_gone_needs_no_proof),
        cmocka_unit_test(test_what_no_device_signed_is_no_segment),
        cmocka_unit_test(test_an_account_needs_two_households),
        cmocka_unit_test(test_dead_names),
        cmocka_unit_test(test_claims_of_a_rebuilt_registry),
        cmocka_unit_test(test_every_allocation_of_a_page_fails_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Shards that have moved, and who repairs first: what the coordinator keeps for old holders, and
 * which tickets the owner's device gets before cells do.
 */
#include "registry_fixture.h"

#include "identity/drop_order.h"
#include "wire/wire_removal.h"
#include "wire/wire_repair.h"

enum { CELLS = 6, SHARD_BYTES = 65536, DELAY_S = 3 * 86400, DAY_S = 86400 };

static struct fixture *swarm_new(void)
{
    struct fixture *f = fixture_new(5);
    f->options.repair_delay_s = DELAY_S;
    f->options.repair_percent = 100;
    fixture_open(f);
    for (size_t i = 0; i < CELLS; i++) {
        join_cell(f, i);
        beat(f, i, GIB(100));
    }
    join_account(f, 0);
    join_account(f, 1);
    return f;
}

static void beat_all_but(struct fixture *f, size_t silent)
{
    for (size_t i = 0; i < CELLS; i++)
        if (i != silent)
            beat(f, i, GIB(100));
}

static void tick(struct fixture *f)
{
    bool busy;
    do
        OK(registry_tick(f->registry, f->now_s, &busy, &f->msg));
    while (busy);
}

/* Everybody but cell 0 says something every ten minutes; the coordinator is awake all the while. */
static void pass(struct fixture *f, int64_t seconds)
{
    for (const int64_t end_s = f->now_s + seconds; f->now_s < end_s;) {
        f->now_s += 600;
        beat_all_but(f, 0);
        tick(f);
    }
}

/* --- a device's drop order --- */

static enum err drop(struct fixture *f, size_t account, uint64_t segment, uint8_t index,
                     size_t cell, uint32_t *count)
{
    const struct drop_order order = {
        .deed = {.account = f->accounts[account].keys.account, .sequence = 1},
        .cell = *cell_id(f, cell),
        .segment = segment_id(segment),
        .index = index,
        .generation = (uint32_t)f->now_s,
    };
    return registry_drop_take(f->registry, slice_text("a signed drop order"), &order, f->now_s,
                              count, &f->msg);
}

static unsigned places_of(struct fixture *f, uint64_t number)
{
    struct registry_segment segment;
    const struct id id = segment_id(number);
    OK(registry_segment_get(f->registry, &id, &segment, &f->msg));
    return (unsigned)segment.count;
}

static bool order_waits(struct fixture *f, size_t cell)
{
    bool waits;
    OK(registry_orders_waiting(f->registry, cell_id(f, cell), &waits, &f->msg));
    return waits;
}

static void test_a_place_is_dropped_when_the_shard_has_another(void **state)
{
    (void)state;
    struct fixture *f = swarm_new();
    const struct shard_at shards[] = {{0, 0}, {1, 2}, {0, 1}};
    uint32_t count;
    OK(register_segment(f, 0, 1, 1, 1, SHARD_BYTES, shards, 2));
    OK(register_segment(f, 0, 1, 1, 1, SHARD_BYTES, shards + 2, 1));
    assert_int_equal(drop(f, 1, 1, 0, 0, &count), ERR_DENIED); /* another account's */
    assert_int_equal(drop(f, 0, 1, 1, 2, &count), ERR_DENIED); /* the only place */
    OK(drop(f, 0, 1, 0, 3, &count));                           /* it never was there */
    assert_int_equal(count, 0);
    assert_int_equal(places_of(f, 1), 3);
    OK(drop(f, 0, 1, 0, 0, &count));
    assert_int_equal(count, 1);
    assert_int_equal(places_of(f, 1), 2);
    assert_true(order_waits(f, 0));
    assert_false(order_waits(f, 1));
    assert_int_equal(drop(f, 0, 1, 0, 1, &count), ERR_DENIED);
    OK(registry_ledger_check(f->registry, &f->msg));
    fixture_free(f);
}

/* The shard is stored there again before the cell asked: the old order is forgotten. */
static void test_what_comes_back_is_not_to_be_dropped_any_more(void **state)
{
    (void)state;
    struct fixture *f = swarm_new();
    const struct shard_at shards[] = {{0, 0}, {1, 2}, {0, 1}};
    uint32_t count;
    OK(register_segment(f, 0, 1, 1, 1, SHARD_BYTES, shards, 2));
    OK(register_segment(f, 0, 1, 1, 1, SHARD_BYTES, shards + 2, 1));
    OK(drop(f, 0, 1, 0, 0, &count));
    assert_true(order_waits(f, 0));
    OK(register_segment(f, 0, 1, 1, 1, SHARD_BYTES, shards, 1));
    assert_false(order_waits(f, 0));
    fixture_free(f);
}

/* --- tickets --- */

static enum err take(struct fixture *f, const struct id *repairer, const struct id *account)
{
    struct buf ticket = BUF_INIT(TICKET_BYTES_MAX);
    const enum err e =
        registry_repair_take(f->registry, repairer, account, f->now_s, &ticket, &f->msg);
    buf_free(&ticket);
    return e;
}

/* Cell 0 is gone. A segment that can wait is the owner's alone for three days; one that cannot lose
   more is anybody's at once. */
static void test_the_owner_comes_first_where_it_can_wait(void **state)
{
    (void)state;
    struct fixture *f = swarm_new();
    const struct shard_at shards[] = {{0, 0}, {1, 1}, {2, 2}, {3, 3}};
    const struct id *owner = sign_key_id(f->accounts[0].device),
                    *other = sign_key_id(f->accounts[1].device);
    OK(register_segment(f, 0, 1, 2, 2, SHARD_BYTES, shards, 4));
    pass(f, 15 * DAY_S);
    assert_int_equal(take(f, cell_id(f, 4), NULL), ERR_NOT_FOUND);
    assert_int_equal(take(f, other, &f->accounts[1].keys.account), ERR_NOT_FOUND);
    OK(take(f, owner, &f->accounts[0].keys.account));
    /* it is under way, and given back when the owner asks again without having reported */
    assert_int_equal(take(f, cell_id(f, 4), NULL), ERR_NOT_FOUND);
    pass(f, DELAY_S + 86400);
    OK(take(f, cell_id(f, 4), NULL));
    fixture_free(f);
}

static void test_nobody_waits_where_one_more_loss_would_be_one_too_many(void **state)
{
    (void)state;
    struct fixture *f = swarm_new();
    const struct shard_at shards[] = {{0, 0}, {1, 1}, {2, 2}};
    OK(register_segment(f, 0, 1, 2, 1, SHARD_BYTES, shards, 3));
    pass(f, 15 * DAY_S);
    OK(take(f, cell_id(f, 4), NULL));
    fixture_free(f);
}

/* Takes the ticket for the only repair and returns the cell that is to store the shard. */
static size_t take_target(struct fixture *f, size_t repairer, struct ticket *ticket)
{
    struct buf doc = BUF_INIT(TICKET_BYTES_MAX);
    OK(registry_repair_take(f->registry, cell_id(f, repairer), NULL, f->now_s, &doc, &f->msg));
    OK(ticket_open(buf_slice(&doc), &f->root, sign_key_id(f->key), ticket, &f->msg));
    buf_free(&doc);
    assert_int_equal(ticket->target_count, 1);
    for (size_t i = 0; i < CELLS; i++)
        if (id_equal(cell_id(f, i), &ticket->targets[0].cell))
            return i;
    fail();
    return CELLS;
}

static void report_failure(struct fixture *f, size_t repairer, const struct ticket *ticket)
{
    struct buf body = BUF_INIT(WIRE_REPORT_BYTES);
    struct wire_report report = {.outcome = WIRE_OUTCOME_FAILED, .segment = ticket->segment};
    memcpy(report.ticket, ticket->id, sizeof(report.ticket));
    OK(wire_report_encode(&report, &body));
    OK(wire_report_decode(buf_slice(&body), &report));
    OK(registry_report(f->registry, cell_id(f, repairer), &report, f->now_s, &f->msg));
    buf_free(&body);
}

/* A cell that stopped a minute ago counts as up for hours: each try would fetch k shards for it. */
static void test_the_next_try_goes_elsewhere_until_the_cell_is_heard_again(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(5);
    f->options.repair_percent = 100;
    fixture_open(f);
    for (size_t i = 0; i < CELLS; i++) {
        join_cell(f, i);
        beat(f, i, GIB(100));
    }
    join_account(f, 0);
    const struct shard_at shards[] = {{0, 0}, {1, 1}};
    OK(register_segment(f, 0, 1, 1, 1, SHARD_BYTES, shards, 2));
    const struct wire_damaged damaged = {.segment = segment_id(1), .index = 0};
    struct buf body = BUF_INIT(WIRE_DAMAGE_BYTES);
    struct wire_list list;
    OK(wire_damage_encode(&damaged, 1, &body));
    OK(wire_damage_decode(buf_slice(&body), &list));
    OK(registry_damage(f->registry, cell_id(f, 0), &list, f->now_s, &f->msg));
    buf_free(&body);
    tick(f);

    struct ticket ticket;
    const size_t first = take_target(f, 1, &ticket);
    report_failure(f, 1, &ticket);
    for (unsigned i = 0; i < 18; i++) { /* three hours: it is not asleep yet */
        f->now_s += 600;
        beat_all_but(f, first);
        tick(f);
    }
    const size_t second = take_target(f, 1, &ticket);
    assert_int_not_equal(second, first);
    report_failure(f, 1, &ticket);
    for (unsigned i = 0; i < 36; i++) {
        f->now_s += 600;
        for (size_t c = 0; c < CELLS; c++)
            beat(f, c, GIB(100));
        tick(f);
    }
    assert_int_equal(take_target(f, 1, &ticket), first);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_place_is_dropped_when_the_shard_has_another),
        cmocka_unit_test(test_what_comes_back_is_not_to_be_dropped_any_more),
        cmocka_unit_test(test_the_owner_comes_first_where_it_can_wait),
        cmocka_unit_test(test_nobody_waits_where_one_more_loss_would_be_one_too_many),
        cmocka_unit_test(test_the_next_try_goes_elsewhere_until_the_cell_is_heard_again),
    };
    return cmocka_run_group_tests_name("coordinator/moved", tests, NULL, NULL);
}

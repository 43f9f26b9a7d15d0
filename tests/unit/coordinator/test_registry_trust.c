/*
 * Trust: who gets new shards, who few, who none; how it is lost and earned.
 */
#include "registry_fixture.h"

#include "wire/wire_repair.h"

enum { LARGE = 12, STRANGER = LARGE, SHARD_BYTES = 65536 };

static struct fixture *swarm_of(size_t cells)
{
    struct fixture *f = fixture_new(7);
    f->options.proof_period_ms = 1000;
    fixture_open(f);
    for (size_t i = 0; i < cells; i++) {
        join_cell(f, i);
        beat(f, i, GIB(100));
    }
    join_account(f, 0);
    return f;
}

static struct registry_cell *cell_of(struct fixture *f, size_t number)
{
    return registry_cell_find(f->registry, cell_id(f, number));
}

static uint32_t trust_of(struct fixture *f, size_t number)
{
    struct registry_cell_info info;
    OK(registry_cell_info(f->registry, cell_id(f, number), &info));
    return info.trust;
}

static void beat_used(struct fixture *f, size_t cell, uint64_t used_bytes, uint64_t shards)
{
    const struct wire_heartbeat heartbeat = {
        .free_bytes = GIB(50), .used_bytes = used_bytes, .shard_count = shards};
    OK(registry_heartbeat(f->registry, cell_id(f, cell), &heartbeat, f->now_s, &f->msg));
}

/* As the member list has it. */
static struct member listed(struct fixture *f, size_t cell)
{
    struct slice doc;
    uint64_t number;
    struct member_list *list;
    OK(registry_members(f->registry, f->now_s, &doc, &number, &f->msg));
    OK(member_list_open(doc, &f->root, &list, &f->msg));
    const struct member *member = member_list_find(list, cell_id(f, cell));
    assert_non_null(member);
    const struct member out = *member;
    member_list_free(list);
    return out;
}

static bool gets_grant(struct fixture *f, size_t cell)
{
    uint64_t budget;
    unsigned grants;
    OK(place(f, 0, cell, 1, MIB(4), &budget, &grants));
    return grants == 1;
}

/* Takes one proof's ticket as `auditor` and reports; false: there is none. *asked: which cell. */
static bool prove(struct fixture *f, size_t auditor, enum wire_outcome outcome, struct id *asked)
{
    struct buf doc = BUF_INIT(TICKET_BYTES_MAX), body = BUF_INIT(WIRE_REPORT_BYTES);
    struct ticket ticket;
    bool busy;
    OK(registry_tick(f->registry, f->now_s, &busy, &f->msg));
    const enum err e =
        registry_proof_take(f->registry, cell_id(f, auditor), f->now_s, &doc, &f->msg);
    if (e == ERR_OK) {
        OK(ticket_open(buf_slice(&doc), &f->root, sign_key_id(f->key), &ticket, &f->msg));
        struct wire_report report = {.outcome = outcome, .segment = ticket.segment};
        memcpy(report.ticket, ticket.id, sizeof(report.ticket));
        OK(wire_report_encode(&report, &body));
        OK(wire_report_decode(buf_slice(&body), &report));
        OK(registry_report(f->registry, cell_id(f, auditor), &report, f->now_s, &f->msg));
        *asked = ticket.sources[0].cell;
    } else {
        assert_int_equal(e, ERR_NOT_FOUND);
    }
    buf_free(&doc);
    buf_free(&body);
    return e == ERR_OK;
}

/* In a small swarm everybody is needed, whoever invited him. */
static void test_a_stranger_in_a_small_swarm_is_trusted_at_once(void **state)
{
    (void)state;
    struct fixture *f = swarm_of(LARGE - 2);
    join_cell_as(f, STRANGER, true);
    beat_used(f, STRANGER, GIB(50), 1);
    assert_int_equal(trust_of(f, STRANGER), 1000);
    assert_true(listed(f, STRANGER).eligible);
    assert_int_equal(listed(f, STRANGER).weight, 100);
    assert_true(gets_grant(f, STRANGER));
    fixture_free(f);
}

/* In a large one it gets few shards, until 25 proofs; somebody's friend gets them at once. */
static void test_a_stranger_gets_few_shards_until_it_has_proven_itself(void **state)
{
    (void)state;
    struct fixture *f = swarm_of(LARGE);
    join_cell_as(f, STRANGER, true);
    join_cell_as(f, STRANGER + 1, false);
    beat_used(f, STRANGER, 0, 0);
    beat_used(f, STRANGER + 1, 0, 0);
    assert_int_equal(trust_of(f, STRANGER), 500);
    assert_int_equal(trust_of(f, STRANGER + 1), 1000);
    assert_true(listed(f, STRANGER).eligible);
    assert_int_equal(listed(f, STRANGER).weight, 12);
    assert_int_equal(listed(f, STRANGER + 1).weight, 100);
    assert_true(gets_grant(f, STRANGER));
    /* no more than 256 MiB */
    beat_used(f, STRANGER, MIB(256), 64);
    assert_false(listed(f, STRANGER).eligible);
    assert_false(gets_grant(f, STRANGER));
    beat_used(f, STRANGER + 1, MIB(256), 64);
    assert_true(gets_grant(f, STRANGER + 1));
    for (unsigned i = 0; i < 25; i++)
        registry_trust_proven(f->registry, cell_of(f, STRANGER));
    assert_true(listed(f, STRANGER).eligible);
    assert_int_equal(listed(f, STRANGER).weight, 100);
    assert_true(gets_grant(f, STRANGER));
    /* and that is not forgotten */
    const uint32_t earned = trust_of(f, STRANGER);
    registry_close(f->registry);
    fixture_open(f);
    assert_int_equal(trust_of(f, STRANGER), earned);
    fixture_free(f);
}

/* One with a single shard is asked for proofs as well, though the others have a thousand. */
static void test_a_cell_with_little_is_asked_for_proofs_too(void **state)
{
    (void)state;
    struct fixture *f = swarm_of(LARGE);
    join_cell_as(f, STRANGER, true);
    beat_used(f, STRANGER, 0, 0);
    for (uint64_t i = 0; i < 300; i++) {
        const struct shard_at shards[] = {{0, i % LARGE}, {1, (i + 1) % LARGE}};
        OK(register_segment(f, 0, i, 1, 1, SHARD_BYTES, shards, 2));
    }
    const struct shard_at rare[] = {{0, 0}, {1, STRANGER}};
    OK(register_segment(f, 0, 1000, 1, 1, SHARD_BYTES, rare, 2));
    unsigned mine = 0;
    for (unsigned day = 0; day < 40; day++) {
        f->now_s += 90000; /* another sweep */
        for (size_t i = 0; i <= STRANGER; i++)
            beat_used(f, i, SHARD_BYTES, 100);
        for (unsigned i = 0; i < 50; i++) {
            struct id asked;
            f->now_s++;
            if (prove(f, i % LARGE, WIRE_OUTCOME_DONE, &asked))
                mine += id_equal(&asked, cell_id(f, STRANGER));
        }
    }
    assert_true(mine >= 10); /* by segments alone it would be some 3 of 2000 */
    fixture_free(f);
}

/* The cell of an owner asks for the owner's segments more often than the lot alone would have it.
 */
static void test_an_owners_cell_asks_for_the_owners_segments(void **state)
{
    (void)state;
    struct fixture *f = swarm_of(6);
    const struct shard_at shards[] = {{0, 1}, {1, 2}};
    unsigned own = 0, all = 0;
    join_account(f, 1);
    OK(claim(f, 0, 1, false));
    for (uint64_t i = 0; i < 60; i++)
        OK(register_segment(f, i < 10 ? 1 : 0, i, 1, 1, SHARD_BYTES, shards, 2));
    for (unsigned i = 0; i < 300; i++) {
        struct buf doc = BUF_INIT(TICKET_BYTES_MAX);
        struct ticket ticket;
        bool busy;
        f->now_s++;
        for (size_t c = 0; c < 6; c++)
            beat_used(f, c, SHARD_BYTES, 100);
        OK(registry_tick(f->registry, f->now_s, &busy, &f->msg));
        if (registry_proof_take(f->registry, cell_id(f, 0), f->now_s, &doc, &f->msg) == ERR_OK) {
            OK(ticket_open(buf_slice(&doc), &f->root, sign_key_id(f->key), &ticket, &f->msg));
            own += id_equal(&ticket.account, &f->accounts[1].keys.account);
            all++;
        }
        buf_free(&doc);
    }
    assert_true(all > 100);
    assert_true(own * 3 > all); /* a sixth by the lot */
    fixture_free(f);
}

/* Two households must say so; the cell's own word costs less, and a third of them all at once stops
   new shards. What is held can be proven, and earns it back. */
static void test_trust_is_lost_by_others_word_or_ones_own_and_earned_again(void **state)
{
    (void)state;
    struct fixture *f = swarm_of(4);
    const struct shard_at shards[] = {{0, 0}, {1, 1}};
    for (uint64_t i = 0; i < 8; i++)
        OK(register_segment(f, 0, i, 1, 1, SHARD_BYTES, shards, 2));
    const struct id first = segment_id(0);
    OK(registry_doubt(f->registry, &first, 0, cell_of(f, 0), cell_id(f, 2), f->now_s, &f->msg));
    assert_int_equal(trust_of(f, 0), 1000);
    OK(registry_doubt(f->registry, &first, 0, cell_of(f, 0), cell_id(f, 2), f->now_s, &f->msg));
    assert_int_equal(trust_of(f, 0), 1000); /* the same voice twice */
    OK(registry_doubt(f->registry, &first, 0, cell_of(f, 0), cell_id(f, 3), f->now_s, &f->msg));
    assert_int_equal(trust_of(f, 0), 400);
    assert_false(listed(f, 0).eligible);
    assert_false(gets_grant(f, 0));
    for (unsigned i = 0; i < 10; i++)
        registry_trust_proven(f->registry, cell_of(f, 0));
    assert_true(listed(f, 0).eligible);
    /* cell 1 tells by itself, each shard once */
    struct wire_damaged damaged[8];
    struct buf body = BUF_INIT(WIRE_DAMAGE_BYTES);
    struct wire_list list;
    for (uint64_t i = 0; i < 8; i++)
        damaged[i] = (struct wire_damaged){.segment = segment_id(i), .index = 1};
    for (size_t told = 1; told <= 8; told += 7) {
        buf_clear(&body);
        OK(wire_damage_encode(damaged, told, &body));
        OK(wire_damage_decode(buf_slice(&body), &list));
        OK(registry_damage(f->registry, cell_id(f, 1), &list, f->now_s, &f->msg));
        assert_int_equal(trust_of(f, 1), told == 1 ? 900 : 429);
    }
    assert_false(gets_grant(f, 1));
    buf_free(&body);
    fixture_free(f);
}

/* While nearly all sleep, the one who is awake still cannot slander alone. */
static void test_one_voice_costs_nothing_while_the_others_sleep(void **state)
{
    (void)state;
    struct fixture *f = swarm_of(4);
    const struct shard_at shards[] = {{0, 0}, {1, 1}};
    OK(register_segment(f, 0, 0, 1, 1, SHARD_BYTES, shards, 2));
    const struct id segment = segment_id(0);
    for (int64_t passed_s = 0; passed_s < 86400; passed_s += 900, f->now_s += 900) {
        beat(f, 0, GIB(100));
        beat(f, 2, GIB(100));
    }
    assert_int_equal(registry_cell_state(f->registry, cell_of(f, 1), f->now_s), WIRE_CELL_ASLEEP);
    assert_int_equal(registry_cell_state(f->registry, cell_of(f, 3), f->now_s), WIRE_CELL_ASLEEP);
    OK(registry_doubt(f->registry, &segment, 0, cell_of(f, 0), cell_id(f, 2), f->now_s, &f->msg));
    assert_int_equal(trust_of(f, 0), 1000);
    beat(f, 3, GIB(100)); /* a second one has woken up, and says the same */
    OK(registry_doubt(f->registry, &segment, 0, cell_of(f, 0), cell_id(f, 3), f->now_s, &f->msg));
    assert_int_equal(trust_of(f, 0), 400);
    fixture_free(f);
}

/* Who has nothing left that he could prove is forgiven, slowly. */
static void test_a_cell_with_nothing_left_is_forgiven_in_time(void **state)
{
    (void)state;
    struct fixture *f = swarm_of(3);
    bool busy;
    for (unsigned i = 0; i < 2; i++)
        registry_fault(f->registry, cell_of(f, 0), false);
    assert_int_equal(trust_of(f, 0), 160);
    OK(registry_tick(f->registry, f->now_s, &busy, &f->msg));
    for (unsigned day = 0; day < 34; day++) {
        f->now_s += 86400;
        beat(f, 0, GIB(1));
        do
            OK(registry_tick(f->registry, f->now_s, &busy, &f->msg));
        while (busy);
    }
    assert_int_equal(trust_of(f, 0), 500);
    assert_true(gets_grant(f, 0));
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stranger_in_a_small_swarm_is_trusted_at_once),
        cmocka_unit_test(test_a_stranger_gets_few_shards_until_it_has_proven_itself),
        cmocka_unit_test(test_a_cell_with_little_is_asked_for_proofs_too),
        cmocka_unit_test(test_an_owners_cell_asks_for_the_owners_segments),
        cmocka_unit_test(test_trust_is_lost_by_others_word_or_ones_own_and_earned_again),
        cmocka_unit_test(test_one_voice_costs_nothing_while_the_others_sleep),
        cmocka_unit_test(test_a_cell_with_nothing_left_is_forgiven_in_time),
    };
    return cmocka_run_group_tests_name("coordinator/trust", tests, NULL, NULL);
}

/*
 * The daemons' libraries on the simulated net: who is let in, what a cell takes, from whom, and
 * what it gives to whom.
 */
#include "service_fixture.h"

static void test_a_shard_is_stored_receipted_and_given_back(void **state)
{
    struct fixture *f = *state;
    struct buf grant = BUF_INIT(GRANT_BYTES_MAX);
    struct shard *s = shard_make(f->owner, 1);
    struct receipt receipt;
    get_grant(f, f->owner, 0, MIB(1), &grant);
    struct put put = {s, f->owner, buf_slice(&grant), 0, 0, SHARD_BYTES};
    assert_int_equal(do_put(f, &put), ERR_OK);
    assert_int_equal(f->status, 201);
    assert_int_equal(receipt_open(buf_slice(&f->reply), &f->swarm->root,
                                  &f->swarm->cells[0].node->id, &receipt, NULL),
                     ERR_OK);
    assert_true(id_equal(&receipt.segment, &s->segment));
    assert_int_equal(receipt.shard_bytes, SHARD_BYTES);
    assert_int_equal(do_put(f, &put), ERR_OK);
    assert_int_equal(f->status, 200);
    assert_int_equal(do_get(f, f->owner->node, s, 0), ERR_OK);
    assert_int_equal(f->reply.size, 4 + SHARD_BYTES);
    assert_memory_equal(f->reply.data + 4, s->payload, SHARD_BYTES);
    buf_free(&grant);
    free(s);
}

/* What was receipted is there after a power cut. */
static void test_a_receipted_shard_outlives_a_power_cut(void **state)
{
    struct fixture *f = *state;
    struct buf grant = BUF_INIT(GRANT_BYTES_MAX);
    struct shard *s[4];
    for (uint8_t i = 0; i < 4; i++) {
        s[i] = shard_make(f->owner, i);
        get_grant(f, f->owner, 0, MIB(1), &grant);
        struct put put = {s[i], f->owner, buf_slice(&grant), 0, 0, SHARD_BYTES};
        assert_int_equal(do_put(f, &put), ERR_OK);
    }
    sim_swarm_stop_cell(f->swarm, 0, SIM_POWER);
    sim_swarm_start_cell(f->swarm, 0);
    /* the connection of before is dead, and is found to be so by the first request */
    assert_int_equal(do_get(f, f->owner->node, s[0], 0), ERR_UNREACHABLE);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(do_get(f, f->owner->node, s[i], 0), ERR_OK);
        assert_memory_equal(f->reply.data + 4, s[i]->payload, SHARD_BYTES);
        free(s[i]);
    }
    buf_free(&grant);
}

static void test_puts_without_a_right_or_a_grant_are_refused(void **state)
{
    struct fixture *f = *state;
    struct buf grant = BUF_INIT(GRANT_BYTES_MAX), small = BUF_INIT(GRANT_BYTES_MAX);
    struct shard *s = shard_make(f->owner, 1);
    get_grant(f, f->owner, 0, MIB(1), &grant);
    get_grant(f, f->owner, 0, SHARD_BYTES - 1, &small);
    struct put another_cell = {s, f->owner, buf_slice(&grant), 1, 0, SHARD_BYTES};
    assert_int_equal(do_put(f, &another_cell), ERR_DENIED);
    struct put another_device = {s, f->other, buf_slice(&grant), 0, 0, SHARD_BYTES};
    assert_int_equal(do_put(f, &another_device), ERR_DENIED);
    struct put too_small = {s, f->owner, buf_slice(&small), 0, 0, SHARD_BYTES};
    assert_int_equal(do_put(f, &too_small), ERR_QUOTA);
    struct put no_grant = {s, f->owner, slice_text("x"), 0, 0, SHARD_BYTES};
    assert_int_not_equal(do_put(f, &no_grant), ERR_OK);
    struct put wrong_index = {s, f->owner, buf_slice(&grant), 0, 1, SHARD_BYTES};
    assert_int_equal(do_put(f, &wrong_index), ERR_CORRUPT);
    struct put short_one = {s, f->owner, buf_slice(&grant), 0, 0, SHARD_BYTES - 1};
    assert_int_equal(do_put(f, &short_one), ERR_FORMAT);
    s->payload[70000] ^= 1;
    struct put damaged = {s, f->owner, buf_slice(&grant), 0, 0, SHARD_BYTES};
    assert_int_equal(do_put(f, &damaged), ERR_CORRUPT);
    struct store_usage usage;
    assert_int_equal(store_usage(f->swarm->cells[0].store, &usage, NULL), ERR_OK);
    assert_int_equal(usage.shard_count + usage.reserved_bytes + usage.used_bytes, 0);
    buf_free(&grant);
    buf_free(&small);
    free(s);
}

static void test_nobody_else_reads_or_finds_a_shard(void **state)
{
    struct fixture *f = *state;
    struct buf grant = BUF_INIT(GRANT_BYTES_MAX);
    struct shard *s = shard_make(f->owner, 1);
    struct wire_list list;
    struct wire_held held;
    get_grant(f, f->owner, 0, MIB(1), &grant);
    struct put put = {s, f->owner, buf_slice(&grant), 0, 0, SHARD_BYTES};
    assert_int_equal(do_put(f, &put), ERR_OK);
    assert_int_equal(do_get(f, f->other->node, s, 0), ERR_DENIED);
    assert_int_equal(do_get(f, f->swarm->cells[1].node, s, 0), ERR_DENIED);
    for (int own = 0; own < 2; own++) {
        buf_clear(&f->body);
        assert_int_equal(wire_ids_encode(&s->segment, 1, &f->body), ERR_OK);
        assert_int_equal(sim_ask(f->swarm, (own ? f->owner : f->other)->node,
                                 &f->swarm->cells[0].node->id, f->swarm->cells[0].address, NET_POST,
                                 wire_path_plain(WIRE_HAVE), buf_slice(&f->body), &f->status,
                                 &f->reply),
                         ERR_OK);
        assert_int_equal(wire_have_reply_decode(buf_slice(&f->reply), &list), ERR_OK);
        assert_int_equal(wire_have_reply_next(&list, &held), own);
    }
    buf_free(&grant);
    free(s);
}

static void test_an_invite_serves_once(void **state)
{
    struct fixture *f = *state;
    struct buf invite = BUF_INIT(INVITE_BYTES_MAX);
    sim_swarm_invite(f->swarm, INVITE_ACCOUNT, 1, &invite);
    for (int time = 0; time < 2; time++) {
        struct sim_device *d = time ? f->other : f->owner;
        const struct wire_join join = {.kind = WIRE_JOIN_ACCOUNT,
                                       .invite = buf_slice(&invite),
                                       .document = buf_slice(&d->manifest)};
        buf_clear(&f->body);
        assert_int_equal(wire_join_encode(&join, &f->body), ERR_OK);
        const enum err e =
            sim_ask(f->swarm, d->node, &f->swarm->coordinator_node->id, "coordinator:1", NET_POST,
                    wire_path_plain(WIRE_JOIN), buf_slice(&f->body), &f->status, &f->reply);
        assert_int_equal(e, time ? ERR_DENIED : ERR_OK);
        if (time)
            assert_non_null(memmem(f->reply.data, f->reply.size, "invite", 6));
    }
    buf_free(&invite);
}

/* From afar a claim takes the code; a claimed cell is nobody else's, and gives its owner no grant.
 */
static void test_a_claimed_cell_is_its_owners_and_holds_none_of_his_shards(void **state)
{
    struct fixture *f = *state;
    struct buf grant = BUF_INIT(GRANT_BYTES_MAX), before = BUF_INIT(GRANT_BYTES_MAX);
    struct shard *s = shard_make(f->owner, 1);
    get_grant(f, f->owner, 0, MIB(1), &before);
    assert_int_equal(sim_device_claim(f->owner, 0, "wrong"), ERR_DENIED);
    assert_int_equal(sim_device_claim(f->owner, 0, "a-code"), ERR_OK);
    assert_int_equal(sim_device_claim(f->other, 0, "a-code"), ERR_DENIED);
    get_grant(f, f->owner, 0, MIB(1), &grant);
    assert_int_equal(grant.size, 0);
    get_grant(f, f->other, 0, MIB(1), &grant);
    assert_true(grant.size > 0);
    struct put put = {s, f->owner, buf_slice(&before), 0, 0, SHARD_BYTES};
    assert_int_equal(do_put(f, &put), ERR_DENIED);
    buf_free(&grant);
    buf_free(&before);
    free(s);
}

/* The newest head counts, a fork is noticed, another account's is refused, and all of it outlives
   the process. */
static void test_heads_are_kept_in_order(void **state)
{
    struct fixture *f = *state;
    struct head *head = calloc(1, sizeof(*head));
    struct buf docs[3] = {BUF_INIT(HEAD_BYTES_MAX), BUF_INIT(HEAD_BYTES_MAX),
                          BUF_INIT(HEAD_BYTES_MAX)};
    char path[WIRE_PATH_SIZE];
    const struct wire_path name = {.route = WIRE_HEADS, .id = f->owner->account.account};
    const enum err wanted[3] = {ERR_OK, ERR_EXISTS, ERR_OK};
    head->account = f->owner->account.account;
    head->slot = f->owner->slot;
    wire_path_format(&name, path);
    for (int i = 0; i < 3; i++) {
        head->sequence = i == 2 ? 2 : 1;
        head->time_s = i;
        head->sealed = slice_text("sealed");
        if (i == 2)
            document_hash(buf_slice(&docs[0]), &head->previous);
        assert_int_equal(head_make(head, &f->swarm->root, f->owner->key, &docs[i]), ERR_OK);
        const struct slice doc = buf_slice(&docs[i]);
        for (int who = 0; who < 2; who++) {
            buf_clear(&f->body);
            assert_int_equal(wire_heads_encode(buf_slice(&f->owner->manifest), &doc, 1, &f->body),
                             ERR_OK);
            struct sim_cell *cell = &f->swarm->cells[1];
            const enum err e =
                sim_ask(f->swarm, (who ? f->owner : f->other)->node, &cell->node->id, cell->address,
                        NET_PUT, path, buf_slice(&f->body), &f->status, &f->reply);
            assert_int_equal(e, who ? wanted[i] : ERR_DENIED);
        }
    }
    sim_swarm_stop_cell(f->swarm, 1, SIM_POWER);
    sim_swarm_start_cell(f->swarm, 1);
    struct sim_cell *cell = &f->swarm->cells[1];
    for (int i = 0; i < 2; i++) /* the first request finds the old connection dead */
        assert_int_equal(sim_ask(f->swarm, f->owner->node, &cell->node->id, cell->address, NET_GET,
                                 path, slice_of(NULL, 0), &f->status, &f->reply),
                         i ? ERR_OK : ERR_UNREACHABLE);
    struct wire_heads heads;
    struct slice doc;
    assert_int_equal(wire_heads_decode(buf_slice(&f->reply), &heads), ERR_OK);
    assert_true(slice_equal(heads.manifest, buf_slice(&f->owner->manifest)));
    assert_true(wire_heads_next(&heads.list, &doc));
    assert_true(slice_equal(doc, buf_slice(&docs[2])));
    for (int i = 0; i < 3; i++)
        buf_free(&docs[i]);
    free(head);
}

/* Cells fall asleep and are gone by what the coordinator hears; who comes back is up again. */
static void test_silent_cells_fall_asleep_and_come_back(void **state)
{
    struct fixture *f = *state;
    const unsigned hours[] = {0, 3, 5, 24 * 15};
    const enum wire_cell_state wanted[] = {WIRE_CELL_UP, WIRE_CELL_UP, WIRE_CELL_ASLEEP,
                                           WIRE_CELL_GONE};
    struct registry_counts counts;
    sim_swarm_stop_cell(f->swarm, 2, SIM_KILL);
    unsigned passed = 0;
    for (size_t i = 0; i < ARRAY_COUNT(hours); i++) {
        assert_int_equal(sim_world_run(f->world, (uint64_t)(hours[i] - passed) * 3600000), ERR_OK);
        passed = hours[i];
        const int64_t now_s = clock_wall_ns(&f->swarm->coordinator_node->clock) / 1000000000;
        assert_int_equal(registry_counts(f->swarm->registry, now_s, &counts, NULL), ERR_OK);
        assert_int_equal(counts.up, wanted[i] == WIRE_CELL_UP ? 3 : 2);
        assert_int_equal(counts.asleep, wanted[i] == WIRE_CELL_ASLEEP);
        assert_int_equal(counts.gone, wanted[i] == WIRE_CELL_GONE);
    }
    sim_swarm_start_cell(f->swarm, 2);
    assert_int_equal(sim_world_run(f->world, 1000), ERR_OK);
    const int64_t now_s = clock_wall_ns(&f->swarm->coordinator_node->clock) / 1000000000;
    assert_int_equal(registry_counts(f->swarm->registry, now_s, &counts, NULL), ERR_OK);
    assert_int_equal(counts.up, 3);
}

/* The registry, its list and its invites are what they were after a power cut. */
static void test_the_coordinator_outlives_a_power_cut(void **state)
{
    struct fixture *f = *state;
    struct slice list;
    uint64_t number, after;
    assert_int_equal(registry_members(f->swarm->registry, 1, &list, &number, NULL), ERR_OK);
    sim_swarm_stop_coordinator(f->swarm, SIM_POWER);
    sim_swarm_start_coordinator(f->swarm);
    assert_int_equal(registry_members(f->swarm->registry, 1, &list, &after, NULL), ERR_OK);
    assert_int_equal(number, after);
    struct member_list *members;
    assert_int_equal(member_list_open(list, &f->swarm->root, &members, NULL), ERR_OK);
    assert_int_equal(members->count, CELLS);
    member_list_free(members);
}

int main(void)
{
#define SERVICE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        SERVICE_TEST(test_a_shard_is_stored_receipted_and_given_back),
        SERVICE_TEST(test_a_receipted_shard_outlives_a_power_cut),
        SERVICE_TEST(test_puts_without_a_right_or_a_grant_are_refused),
        SERVICE_TEST(test_nobody_else_reads_or_finds_a_shard),
        SERVICE_TEST(test_an_invite_serves_once),
        SERVICE_TEST(test_a_claimed_cell_is_its_owners_and_holds_none_of_his_shards),
        SERVICE_TEST(test_heads_are_kept_in_order),
        SERVICE_TEST(test_silent_cells_fall_asleep_and_come_back),
        SERVICE_TEST(test_the_coordinator_outlives_a_power_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

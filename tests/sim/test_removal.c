/*
 * Deleting in a swarm of the real code: who may, what stays how long, what comes back, and that a
 * cell that was away learns of it.
 */
#include "service_fixture.h"

#include "cell_internal.h"
#include "identity/delete_order.h"
#include "wire/wire_directory.h"
#include "wire/wire_removal.h"

enum { CELL = 0, HOUR_MS = 3600000 };

static const uint64_t DAY_MS = UINT64_C(24) * HOUR_MS;

struct order {
    uint64_t sequence;
    bool by_root, at_once, undelete;
};

static void make_order(struct fixture *f, struct sim_device *d, const struct order *o,
                       const struct shard *s, struct buf *out)
{
    const struct deed deed = {.account = d->account.account,
                              .manifest_number = manifest_next_number(0, true),
                              .slot = o->by_root ? 0 : d->slot,
                              .sequence = o->sequence,
                              .time_s = SIM_WALL_START_NS / 1000000000};
    const struct sign_key *key = o->by_root ? d->account.root : d->key;
    const enum err e = o->undelete ? delete_order_make_undo(&deed, s ? &s->segment : NULL,
                                                            s ? 1 : 0, &f->swarm->root, key, out)
                                   : delete_order_make(&deed, o->at_once, &s->segment, 1,
                                                       &f->swarm->root, key, out);
    assert_int_equal(e, ERR_OK);
}

/* Brought by `from`; *count: segments marked or taken back. */
static enum err send_order(struct fixture *f, struct sim_device *from, const struct id *to,
                           const char *address, enum wire_order_kind kind, struct slice doc,
                           uint32_t *count)
{
    const struct wire_order wire = {.kind = kind, .doc = doc};
    struct wire_list list;
    buf_clear(&f->body);
    *count = 0;
    assert_int_equal(wire_delete_encode(&wire, 1, &f->body), ERR_OK);
    const enum err e =
        sim_ask(f->swarm, from->node, to, address, NET_POST, wire_path_plain(WIRE_DELETE),
                buf_slice(&f->body), &f->status, &f->reply);
    if (e != ERR_OK)
        return e;
    assert_int_equal(wire_delete_reply_decode(buf_slice(&f->reply), &list), ERR_OK);
    assert_true(wire_delete_reply_next(&list, count));
    return ERR_OK;
}

static enum err order_cell(struct fixture *f, struct sim_device *signer, const struct order *o,
                           const struct shard *s, uint32_t *count)
{
    struct buf doc = BUF_INIT(DELETE_ORDER_BYTES_MAX);
    make_order(f, signer, o, s, &doc);
    const enum err e =
        send_order(f, signer, &f->swarm->cells[CELL].node->id, f->swarm->cells[CELL].address,
                   o->undelete ? WIRE_ORDER_UNDELETE : WIRE_ORDER_DELETE, buf_slice(&doc), count);
    buf_free(&doc);
    return e;
}

static enum err order_coordinator(struct fixture *f, struct sim_device *signer,
                                  const struct order *o, const struct shard *s, uint32_t *count)
{
    struct buf doc = BUF_INIT(DELETE_ORDER_BYTES_MAX);
    make_order(f, signer, o, s, &doc);
    const enum err e =
        send_order(f, signer, &f->swarm->coordinator_node->id, "coordinator:1",
                   o->undelete ? WIRE_ORDER_UNDELETE : WIRE_ORDER_DELETE, buf_slice(&doc), count);
    buf_free(&doc);
    return e;
}

/* 0: it has nothing of it, and knows of nothing. */
static unsigned state_of(struct fixture *f, const struct shard *s)
{
    struct wire_list list;
    struct wire_held held;
    buf_clear(&f->body);
    assert_int_equal(wire_ids_encode(&s->segment, 1, &f->body), ERR_OK);
    assert_int_equal(sim_ask(f->swarm, f->owner->node, &f->swarm->cells[CELL].node->id,
                             f->swarm->cells[CELL].address, NET_POST, wire_path_plain(WIRE_HAVE),
                             buf_slice(&f->body), &f->status, &f->reply),
                     ERR_OK);
    assert_int_equal(wire_have_reply_decode(buf_slice(&f->reply), &list), ERR_OK);
    return wire_have_reply_next(&list, &held) ? held.state : 0;
}

/* Stored on the cell, and in the directory. */
static struct shard *stored(struct fixture *f, uint8_t fill)
{
    struct buf grant = BUF_INIT(GRANT_BYTES_MAX), receipt = BUF_INIT(RECEIPT_BYTES_MAX),
               record = BUF_INIT(SIGNED_RECORD_BYTES_MAX);
    struct shard *s = shard_make(f->owner, fill);
    get_grant(f, f->owner, CELL, MIB(1), &grant);
    const struct put put = {s, f->owner, buf_slice(&grant), CELL, 0, SHARD_BYTES};
    assert_int_equal(do_put(f, &put), ERR_OK);
    assert_int_equal(buf_append(&receipt, f->reply.data, f->reply.size), ERR_OK);
    const struct signed_record r = {.segment = s->segment,
                                    .account = f->owner->account.account,
                                    .slot = f->owner->slot,
                                    .list_number = 1,
                                    .sequence = 1};
    assert_int_equal(signed_record_make(&r, &f->swarm->root, f->owner->key, &record), ERR_OK);
    const struct slice receipts[] = {buf_slice(&receipt)};
    const struct wire_registration registration = {.record = buf_slice(&record),
                                                   .k = 2,
                                                   .m = 1,
                                                   .shard_bytes = SHARD_BYTES,
                                                   .receipts = receipts,
                                                   .receipt_count = 1};
    buf_clear(&f->body);
    assert_int_equal(wire_register_encode(&registration, 1, &f->body), ERR_OK);
    assert_int_equal(sim_ask(f->swarm, f->owner->node, &f->swarm->coordinator_node->id,
                             "coordinator:1", NET_POST, wire_path_plain(WIRE_SEGMENTS),
                             buf_slice(&f->body), &f->status, &f->reply),
                     ERR_OK);
    buf_free(&grant);
    buf_free(&receipt);
    buf_free(&record);
    return s;
}

static bool directory_has(struct fixture *f, const struct shard *s)
{
    struct wire_list list;
    struct wire_found found;
    buf_clear(&f->body);
    assert_int_equal(wire_ids_encode(&s->segment, 1, &f->body), ERR_OK);
    assert_int_equal(sim_ask(f->swarm, f->owner->node, &f->swarm->coordinator_node->id,
                             "coordinator:1", NET_POST, wire_path_plain(WIRE_FIND),
                             buf_slice(&f->body), &f->status, &f->reply),
                     ERR_OK);
    assert_int_equal(wire_found_decode(buf_slice(&f->reply), &list), ERR_OK);
    return wire_found_next(&list, &found);
}

static void pass(struct fixture *f, uint64_t ms)
{
    assert_int_equal(sim_world_run(f->world, ms), ERR_OK);
}

/* A newer manifest of the owner, shown on new connections from now on. */
static void change_manifest(struct fixture *f, uint64_t hold_s, bool revoke)
{
    struct manifest *m;
    struct wire_hello hello = {.kind = WIRE_PEER_DEVICE};
    struct buf body = BUF_INIT(WIRE_HELLO_BYTES), heads = BUF_INIT(WIRE_HEADS_BYTES);
    char path[WIRE_PATH_SIZE];
    assert_int_equal(manifest_open(buf_slice(&f->owner->manifest), &f->swarm->root, &m, NULL),
                     ERR_OK);
    m->number = manifest_next_number(m->number, true);
    m->hold_s = hold_s;
    if (revoke)
        assert_int_equal(manifest_revoke(m, f->owner->slot, 1000), ERR_OK);
    assert_int_equal(manifest_certify_admins(m, &f->swarm->root, f->owner->account.root), ERR_OK);
    buf_clear(&f->owner->manifest);
    assert_int_equal(manifest_make(m, &f->swarm->root, f->owner->account.root, &f->owner->manifest),
                     ERR_OK);
    manifest_free(m);
    /* told to the cell while the device still may */
    const struct wire_path name = {.route = WIRE_HEADS, .id = f->owner->account.account};
    assert_int_equal(wire_heads_encode(buf_slice(&f->owner->manifest), NULL, 0, &heads), ERR_OK);
    assert_int_equal(sim_ask(f->swarm, f->owner->node, &f->swarm->cells[CELL].node->id,
                             f->swarm->cells[CELL].address, NET_PUT, wire_path_format(&name, path),
                             buf_slice(&heads), &f->status, &f->reply),
                     ERR_OK);
    assert_int_equal(sim_ask(f->swarm, f->owner->node, &f->swarm->coordinator_node->id,
                             "coordinator:1", NET_PUT, wire_path_format(&name, path),
                             buf_slice(&heads), &f->status, &f->reply),
                     ERR_OK);
    hello.document = buf_slice(&f->owner->manifest);
    assert_int_equal(wire_hello_encode(&hello, &body), ERR_OK);
    assert_int_equal(
        net_introduce(f->owner->node->net, wire_path_plain(WIRE_HELLO), buf_slice(&body)), ERR_OK);
    buf_free(&body);
    buf_free(&heads);
}

static void test_what_is_deleted_stays_for_the_hold_and_is_freed_then(void **state)
{
    struct fixture *f = *state;
    struct shard *s = stored(f, 1), *other = stored(f, 2);
    uint32_t count;
    change_manifest(f, 2 * 86400, false);
    assert_int_equal(order_cell(f, f->owner, &(struct order){.sequence = 1}, s, &count), ERR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(state_of(f, s), WIRE_SHARD_WAITING);
    assert_int_equal(do_get(f, f->owner->node, s, CELL), ERR_OK);
    pass(f, 2 * DAY_MS - HOUR_MS);
    assert_int_equal(state_of(f, s), WIRE_SHARD_WAITING);
    pass(f, 2 * HOUR_MS);
    assert_int_equal(state_of(f, s), WIRE_SHARD_DEAD);
    assert_int_equal(do_get(f, f->owner->node, s, CELL), ERR_NOT_FOUND);
    assert_int_equal(state_of(f, other), WIRE_SHARD_STORED);
    /* the name is never used again */
    struct buf grant = BUF_INIT(GRANT_BYTES_MAX);
    get_grant(f, f->owner, CELL, MIB(1), &grant);
    const struct put put = {s, f->owner, buf_slice(&grant), CELL, 0, SHARD_BYTES};
    assert_int_equal(do_put(f, &put), ERR_DENIED);
    buf_free(&grant);
    free(s);
    free(other);
}

static void test_time_in_which_a_cell_is_off_does_not_end_a_hold(void **state)
{
    struct fixture *f = *state;
    struct shard *s = stored(f, 1);
    uint32_t count;
    change_manifest(f, 2 * 86400, false);
    assert_int_equal(order_cell(f, f->owner, &(struct order){.sequence = 1}, s, &count), ERR_OK);
    pass(f, DAY_MS);
    sim_swarm_stop_cell(f->swarm, CELL, SIM_POWER); /* which costs up to six hours of its clock */
    pass(f, 10 * DAY_MS);
    sim_swarm_start_cell(f->swarm, CELL);
    pass(f, HOUR_MS);
    assert_int_equal(state_of(f, s), WIRE_SHARD_WAITING);
    assert_int_equal(do_get(f, f->owner->node, s, CELL), ERR_OK);
    pass(f, DAY_MS + 6 * HOUR_MS);
    assert_int_equal(state_of(f, s), WIRE_SHARD_DEAD);
    free(s);
}

static void set_flag(void *user)
{
    *(bool *)user = true;
}

static bool is_set(void *user)
{
    return *(bool *)user;
}

static uint64_t run_ms(struct fixture *f)
{
    return cell_removal_moment(f->swarm->cells[CELL].cell, 0).run_ms;
}

/* A machine that is on for minutes a day frees what is deleted, too. */
static void test_a_cell_that_stops_remembers_how_long_it_ran(void **state)
{
    struct fixture *f = *state;
    bool stopped = false;
    sim_swarm_stop_cell(f->swarm, CELL, SIM_STOP);
    sim_swarm_start_cell(f->swarm, CELL);
    const uint64_t before_ms = run_ms(f);
    pass(f, 5 * 60000); /* shorter than the first look at anything */
    cell_stop(f->swarm->cells[CELL].cell, set_flag, &stopped);
    assert_int_equal(sim_world_run_until(f->swarm->world, is_set, &stopped, 60000), ERR_OK);
    sim_swarm_stop_cell(f->swarm, CELL, SIM_POWER);
    pass(f, DAY_MS);
    sim_swarm_start_cell(f->swarm, CELL);
    assert_in_range(run_ms(f) - before_ms, 5 * 60000, 6 * 60000);
}

static void test_only_the_accounts_own_words_count(void **state)
{
    struct fixture *f = *state;
    struct shard *s = stored(f, 1);
    uint32_t count;
    struct buf doc = BUF_INIT(DELETE_ORDER_BYTES_MAX);
    /* another account's device deletes its own segments only */
    assert_int_equal(order_cell(f, f->other, &(struct order){.sequence = 1}, s, &count), ERR_OK);
    assert_int_equal(count, 0);
    /* a device cannot say "at once", nor take back */
    assert_int_equal(
        order_cell(f, f->owner, &(struct order){.sequence = 1, .at_once = true}, s, &count),
        ERR_DENIED);
    assert_int_equal(
        order_cell(f, f->owner, &(struct order){.sequence = 1, .undelete = true}, s, &count),
        ERR_DENIED);
    /* the owner's order, carried by a stranger, is judged by the stranger's account */
    make_order(f, f->owner, &(struct order){.sequence = 1}, s, &doc);
    assert_int_equal(send_order(f, f->other, &f->swarm->cells[CELL].node->id,
                                f->swarm->cells[CELL].address, WIRE_ORDER_DELETE, buf_slice(&doc),
                                &count),
                     ERR_DENIED);
    assert_int_equal(state_of(f, s), WIRE_SHARD_STORED);
    buf_free(&doc);
    free(s);
}

static void test_the_root_takes_back_and_the_old_order_stays_void(void **state)
{
    struct fixture *f = *state;
    struct shard *s = stored(f, 1);
    uint32_t count;
    const struct order del = {.sequence = 5}, undo = {.undelete = true, .by_root = true};
    assert_int_equal(order_cell(f, f->owner, &del, s, &count), ERR_OK);
    assert_int_equal(order_cell(f, f->owner, &undo, NULL, &count), ERR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(state_of(f, s), WIRE_SHARD_STORED);
    assert_int_equal(order_cell(f, f->owner, &del, s, &count), ERR_OK);
    assert_int_equal(count, 0);
    assert_int_equal(state_of(f, s), WIRE_SHARD_STORED);
    assert_int_equal(order_cell(f, f->owner, &(struct order){.sequence = 6}, s, &count), ERR_OK);
    assert_int_equal(count, 1);
    free(s);
}

static void test_the_root_alone_deletes_at_once(void **state)
{
    struct fixture *f = *state;
    struct shard *s = stored(f, 1);
    uint32_t count;
    assert_int_equal(
        order_cell(f, f->owner, &(struct order){.at_once = true, .by_root = true}, s, &count),
        ERR_OK);
    pass(f, 60000);
    assert_int_equal(state_of(f, s), WIRE_SHARD_DEAD);
    free(s);
}

/* Ransomware with every key of a device destroys nothing: its revocation brings all back. */
static void test_what_a_device_deleted_before_it_was_revoked_is_not_freed(void **state)
{
    struct fixture *f = *state;
    struct shard *s = stored(f, 1);
    uint32_t count;
    change_manifest(f, 86400, false);
    assert_int_equal(order_cell(f, f->owner, &(struct order){.sequence = 1}, s, &count), ERR_OK);
    pass(f, HOUR_MS);
    change_manifest(f, 86400, true);
    pass(f, 2 * DAY_MS);
    struct store_removal_state what;
    struct store *store = f->swarm->cells[CELL].store;
    enum store_name name;
    assert_int_equal(store_removal_name(store, &s->segment, &name, NULL, NULL), ERR_OK);
    assert_int_equal(name, STORE_NAME_LIVE);
    assert_int_equal(store_removal_state(store, &what, NULL), ERR_OK);
    assert_int_equal(what.waiting_count, 0);
    free(s);
}

static void test_a_cell_that_was_away_learns_what_to_delete(void **state)
{
    struct fixture *f = *state;
    struct shard *s = stored(f, 1), *other = stored(f, 2);
    uint32_t count;
    sim_swarm_stop_cell(f->swarm, CELL, SIM_STOP);
    assert_int_equal(order_coordinator(f, f->owner, &(struct order){.sequence = 1}, s, &count),
                     ERR_OK);
    assert_int_equal(count, 1);
    assert_false(directory_has(f, s));
    assert_true(directory_has(f, other));
    pass(f, DAY_MS);
    sim_swarm_stop_coordinator(f->swarm, SIM_POWER);
    sim_swarm_start_coordinator(f->swarm);
    sim_swarm_start_cell(f->swarm, CELL);
    pass(f, HOUR_MS);
    assert_int_equal(state_of(f, s), WIRE_SHARD_WAITING);
    assert_int_equal(state_of(f, other), WIRE_SHARD_STORED);
    bool waiting = true;
    assert_int_equal(registry_orders_waiting(f->swarm->registry, &f->swarm->cells[CELL].node->id,
                                             &waiting, NULL),
                     ERR_OK);
    assert_false(waiting);
    free(s);
    free(other);
}

static void test_taking_back_at_the_coordinator_reaches_the_cells_and_the_directory(void **state)
{
    struct fixture *f = *state;
    struct shard *s = stored(f, 1);
    uint32_t count;
    const struct order del = {.sequence = 1}, undo = {.undelete = true, .by_root = true};
    assert_int_equal(order_coordinator(f, f->owner, &del, s, &count), ERR_OK);
    pass(f, HOUR_MS);
    assert_int_equal(state_of(f, s), WIRE_SHARD_WAITING);
    assert_int_equal(order_coordinator(f, f->owner, &undo, NULL, &count), ERR_OK);
    assert_int_equal(count, 1);
    assert_true(directory_has(f, s));
    pass(f, HOUR_MS);
    assert_int_equal(state_of(f, s), WIRE_SHARD_STORED);
    assert_int_equal(order_coordinator(f, f->owner, &del, s, &count), ERR_OK);
    assert_int_equal(count, 0);
    assert_true(directory_has(f, s));
    free(s);
}

int main(void)
{
#define SIM_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_what_is_deleted_stays_for_the_hold_and_is_freed_then),
        SIM_TEST(test_time_in_which_a_cell_is_off_does_not_end_a_hold),
        SIM_TEST(test_a_cell_that_stops_remembers_how_long_it_ran),
        SIM_TEST(test_only_the_accounts_own_words_count),
        SIM_TEST(test_the_root_takes_back_and_the_old_order_stays_void),
        SIM_TEST(test_the_root_alone_deletes_at_once),
        SIM_TEST(test_what_a_device_deleted_before_it_was_revoked_is_not_freed),
        SIM_TEST(test_a_cell_that_was_away_learns_what_to_delete),
        SIM_TEST(test_taking_back_at_the_coordinator_reaches_the_cells_and_the_directory),
    };
    return cmocka_run_group_tests_name("sim/removal", tests, NULL, NULL);
}

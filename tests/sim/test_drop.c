/*
 * Freeing one shard that has moved: what proves it, and that nothing less does.
 */
#include "service_fixture.h"

#include "identity/drop_order.h"
#include "identity/ticket.h"
#include "wire/wire_removal.h"

enum {
    OLD = 0,
    NEW = 1,
    STRANGER = 2,
    NOW_S = SIM_WALL_START_NS / 1000000000,
    LATER_S = NOW_S + 86400
};

static struct shard *stored(struct fixture *f)
{
    struct buf grant = BUF_INIT(GRANT_BYTES_MAX);
    struct shard *s = shard_make(f->owner, 3);
    get_grant(f, f->owner, OLD, MIB(1), &grant);
    const struct put put = {s, f->owner, buf_slice(&grant), OLD, 0, SHARD_BYTES};
    assert_int_equal(do_put(f, &put), ERR_OK);
    buf_free(&grant);
    return s;
}

static bool is_there(struct fixture *f, const struct shard *s)
{
    return do_get(f, f->owner->node, s, OLD) == ERR_OK;
}

static enum err bring(struct fixture *f, struct sim_device *from, enum wire_order_kind kind,
                      struct slice doc, uint32_t *count)
{
    const struct wire_order wire = {.kind = kind, .doc = doc};
    struct wire_list list;
    buf_clear(&f->body);
    *count = 0;
    assert_int_equal(wire_delete_encode(&wire, 1, &f->body), ERR_OK);
    const enum err e =
        sim_ask(f->swarm, from->node, &f->swarm->cells[OLD].node->id, f->swarm->cells[OLD].address,
                NET_POST, wire_path_plain(WIRE_DELETE), buf_slice(&f->body), &f->status, &f->reply);
    if (e == ERR_OK) {
        assert_int_equal(wire_delete_reply_decode(buf_slice(&f->reply), &list), ERR_OK);
        assert_true(wire_delete_reply_next(&list, count));
    }
    return e;
}

/* --- a repair's proof --- */

/* What may be wrong with one. */
struct lie {
    const struct sign_key *ticket_key; /* NULL: the coordinator's */
    unsigned receipt_cell, target_cell;
    uint32_t incarnation;
    uint8_t receipt_index, ticket_byte;
    int64_t expires_s;
};

static enum err bring_moved(struct fixture *f, const struct shard *s, const struct lie *lie,
                            uint32_t *count)
{
    struct buf ticket_doc = BUF_INIT(TICKET_BYTES_MAX), receipt_doc = BUF_INIT(RECEIPT_BYTES_MAX),
               doc = BUF_INIT(WIRE_ORDER_BYTES);
    struct sim_swarm *swarm = f->swarm;
    struct ticket ticket = {
        .incarnation = lie->incarnation,
        .repairer = swarm->cells[STRANGER].node->id,
        .segment = s->segment,
        .account = f->owner->account.account,
        .bytes_max = 4096,
        .expires_s = lie->expires_s,
        .sources = {{.index = 1, .cell = swarm->cells[STRANGER].node->id}},
        .source_count = 1,
        .targets = {{.index = 0, .cell = swarm->cells[lie->target_cell].node->id}},
        .target_count = 1,
    };
    struct receipt receipt = {
        .segment = s->segment,
        .index = lie->receipt_index,
        .shard_bytes = SHARD_BYTES,
        .account = f->owner->account.account,
        .slot = f->owner->slot,
        .time_s = NOW_S,
        .grant = {lie->ticket_byte},
    };
    assert_int_equal(ticket_make(&ticket, &swarm->root,
                                 lie->ticket_key ? lie->ticket_key : swarm->coordinator_key,
                                 &ticket_doc),
                     ERR_OK);
    assert_int_equal(
        receipt_make(&receipt, &swarm->root, swarm->cells[lie->receipt_cell].key, &receipt_doc),
        ERR_OK);
    const struct wire_moved moved = {.ticket = buf_slice(&ticket_doc),
                                     .receipt = buf_slice(&receipt_doc)};
    assert_int_equal(wire_moved_encode(&moved, &doc), ERR_OK);
    const enum err e = bring(f, f->owner, WIRE_ORDER_MOVED, buf_slice(&doc), count);
    buf_free(&ticket_doc);
    buf_free(&receipt_doc);
    buf_free(&doc);
    return e;
}

static const struct lie TRUTH = {
    .receipt_cell = NEW, .target_cell = NEW, .incarnation = 1, .expires_s = LATER_S};

/* Ticket and receipt must fit each other, this shard, and this coordinator; else nothing is freed.
 */
static void test_only_a_proven_move_frees_a_shard(void **state)
{
    struct fixture *f = *state;
    struct shard *s = stored(f);
    uint32_t count;
    struct lie lies[] = {TRUTH, TRUTH, TRUTH, TRUTH, TRUTH, TRUTH};
    lies[0].ticket_key = f->swarm->cells[NEW].key;
    lies[1].receipt_cell = STRANGER;
    lies[2].target_cell = lies[2].receipt_cell = OLD;
    lies[3].incarnation = 2;
    lies[4].receipt_index = 1;
    lies[5].ticket_byte = 1;
    for (size_t i = 0; i < ARRAY_COUNT(lies); i++) {
        assert_int_not_equal(bring_moved(f, s, &lies[i], &count), ERR_OK);
        assert_true(is_there(f, s));
    }
    assert_int_equal(bring_moved(f, s, &TRUTH, &count), ERR_OK);
    assert_int_equal(count, 1);
    assert_false(is_there(f, s));
    free(s);
}

/* An old proof does not free what came back later. */
static void test_what_came_back_since_stays(void **state)
{
    struct fixture *f = *state;
    struct shard *s = stored(f);
    struct lie old = TRUTH;
    uint32_t count;
    old.expires_s = NOW_S - 1;
    assert_int_equal(bring_moved(f, s, &old, &count), ERR_OK);
    assert_int_equal(count, 0);
    assert_true(is_there(f, s));
    free(s);
}

/* --- a device's order --- */

static enum err bring_drop(struct fixture *f, struct sim_device *signer, const struct shard *s,
                           unsigned cell, uint8_t index, int64_t generation, uint32_t *count)
{
    struct buf doc = BUF_INIT(DROP_ORDER_BYTES_MAX);
    const struct drop_order order = {
        .deed = {.account = signer->account.account,
                 .manifest_number = manifest_next_number(0, true),
                 .slot = signer->slot,
                 .sequence = 1,
                 .time_s = NOW_S},
        .cell = f->swarm->cells[cell].node->id,
        .segment = s->segment,
        .index = index,
        .generation = (uint32_t)generation,
    };
    assert_int_equal(drop_order_make(&order, &f->swarm->root, signer->key, &doc), ERR_OK);
    const enum err e = bring(f, signer, WIRE_ORDER_DROP, buf_slice(&doc), count);
    buf_free(&doc);
    return e;
}

static void test_a_devices_order_frees_its_own_shard_at_the_cell_that_it_names(void **state)
{
    struct fixture *f = *state;
    struct shard *s = stored(f);
    uint32_t count;
    assert_int_equal(bring_drop(f, f->other, s, OLD, 0, LATER_S, &count), ERR_DENIED);
    assert_int_equal(bring_drop(f, f->owner, s, NEW, 0, LATER_S, &count), ERR_DENIED);
    assert_int_equal(bring_drop(f, f->owner, s, OLD, 1, LATER_S, &count), ERR_OK);
    assert_int_equal(count, 0);
    assert_int_equal(bring_drop(f, f->owner, s, OLD, 0, NOW_S - 1, &count), ERR_OK);
    assert_int_equal(count, 0);
    assert_true(is_there(f, s));
    assert_int_equal(bring_drop(f, f->owner, s, OLD, 0, LATER_S, &count), ERR_OK);
    assert_int_equal(count, 1);
    assert_false(is_there(f, s));
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_only_a_proven_move_frees_a_shard, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_came_back_since_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_devices_order_frees_its_own_shard_at_the_cell_that_it_names, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

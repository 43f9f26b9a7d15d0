/*
 * Leases: who renews keeps everything, who does not is let go in the end, and never because of a
 * clock, a coordinator that is away, or an order of nobody's.
 */
#include "sim_backup.h"

#include "identity/renewal.h"
#include "wire/wire_path.h"
#include "wire/wire_removal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CELLS = 4, TERM_DAYS = 12 }; /* and a day of grace, then 30 of hold */

static const uint64_t DAY_MS = UINT64_C(86400) * 1000;

struct lease {
    struct sim_world *world;
    struct sim_swarm *swarm;
    struct sim_device *device;
    struct sim_backup *backup;
};

static struct lease begin(void)
{
    struct lease l = {.world = sim_world_new(sim_world_test_seed(3))};
    l.swarm = sim_swarm_new(l.world, &(struct sim_swarm_options){
                                         .cells = CELLS,
                                         .heartbeat_ms = 6 * 3600000,
                                         .flush_ms = 60000,
                                         .asleep_after_ms = DAY_MS,
                                         .gone_after_ms = 400 * DAY_MS,
                                         .account_lease_s = TERM_DAYS * UINT64_C(86400),
                                     });
    l.device = sim_device_new(l.swarm, 1);
    l.backup = sim_backup_new(l.device);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(sim_backup_add(l.backup, 2, 1, 4096), ERR_OK);
    return l;
}

static void end(struct lease *l)
{
    sim_backup_free(l->backup);
    sim_device_free(l->device);
    sim_swarm_free(l->swarm);
    sim_world_free(l->world);
}

static void pass(struct lease *l, unsigned days)
{
    assert_int_equal(sim_world_run(l->world, days * DAY_MS), ERR_OK);
}

/* The account's device says that it lives; *count: it was news. */
static enum err renew(struct lease *l, uint64_t sequence, uint32_t *count)
{
    struct buf doc = BUF_INIT(RENEWAL_BYTES_MAX), body = BUF_INIT(WIRE_DELETE_BYTES),
               reply = BUF_INIT(WIRE_DELETE_REPLY_BYTES);
    const struct deed deed = {.account = l->device->account.account,
                              .manifest_number = manifest_next_number(0, true),
                              .slot = l->device->slot,
                              .sequence = sequence,
                              .time_s = 12345}; /* a device's clock counts for nothing */
    struct wire_list list;
    unsigned status;
    *count = 0;
    assert_int_equal(renewal_make(&deed, &l->swarm->root, l->device->key, &doc), ERR_OK);
    const struct wire_order order = {.kind = WIRE_ORDER_RENEW, .doc = buf_slice(&doc)};
    assert_int_equal(wire_delete_encode(&order, 1, &body), ERR_OK);
    const enum err e =
        sim_ask(l->swarm, l->device->node, &l->swarm->coordinator_node->id, "coordinator:1",
                NET_POST, wire_path_plain(WIRE_DELETE), buf_slice(&body), &status, &reply);
    if (e == ERR_OK) {
        assert_int_equal(wire_delete_reply_decode(buf_slice(&reply), &list), ERR_OK);
        assert_true(wire_delete_reply_next(&list, count));
    }
    buf_free(&doc);
    buf_free(&body);
    buf_free(&reply);
    return e;
}

/* Segments that wait for the end of their hold, and names that were freed, at all cells together.
 */
static void count_at_cells(struct lease *l, uint64_t *waiting, uint64_t *dead)
{
    *waiting = *dead = 0;
    for (unsigned i = 0; i < CELLS; i++) {
        struct store_removal_state state;
        assert_int_equal(store_removal_state(l->swarm->cells[i].store, &state, NULL), ERR_OK);
        *waiting += state.waiting_count;
        *dead += state.dead_count;
    }
}

static uint64_t segments_known(struct lease *l)
{
    struct registry_counts counts;
    struct errmsg msg;
    const int64_t now_s = (SIM_WALL_START_NS + (int64_t)sim_world_now_ns(l->world)) / 1000000000;
    assert_int_equal(registry_counts(l->swarm->registry, now_s, &counts, &msg), ERR_OK);
    return counts.segments;
}

static void assert_all_here(struct lease *l)
{
    uint64_t waiting, dead;
    count_at_cells(l, &waiting, &dead);
    assert_int_equal(waiting + dead, 0);
    assert_int_equal(segments_known(l), 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(sim_backup_read(l->backup, i), ERR_OK);
}

static void test_who_renews_keeps_everything(void **state)
{
    (void)state;
    struct lease l = begin();
    uint32_t count;
    for (uint64_t i = 1; i <= 3; i++) {
        pass(&l, 9);
        assert_int_equal(renew(&l, i, &count), ERR_OK);
        assert_int_equal(count, 1);
        assert_int_equal(renew(&l, i, &count), ERR_OK); /* the same once more */
        assert_int_equal(count, 0);
    }
    assert_all_here(&l);
    end(&l);
}

/* Held for 30 days after the term and the grace, then freed everywhere; a word within the hold
   brings all of it back. */
static void test_who_does_not_is_let_go_in_the_end(void **state)
{
    (void)state;
    struct lease l = begin();
    uint64_t waiting, dead;
    uint32_t count;
    pass(&l, TERM_DAYS + 1);
    assert_all_here(&l);
    pass(&l, 4);
    count_at_cells(&l, &waiting, &dead);
    assert_int_equal(waiting, 9);
    assert_int_equal(dead, 0);
    assert_int_equal(segments_known(&l), 0);
    pass(&l, 10);
    assert_int_equal(renew(&l, 1, &count), ERR_OK);
    pass(&l, 1);
    assert_all_here(&l);
    pass(&l, TERM_DAYS + 6);
    count_at_cells(&l, &waiting, &dead);
    assert_int_equal(waiting, 9);
    pass(&l, 31);
    count_at_cells(&l, &waiting, &dead);
    assert_int_equal(waiting, 0);
    assert_int_equal(dead, 9);
    end(&l);
}

/* Without a coordinator nothing is freed, however long. */
static void test_nothing_ends_while_the_coordinator_is_away(void **state)
{
    (void)state;
    struct lease l = begin();
    uint64_t waiting, dead;
    pass(&l, 5);
    sim_swarm_stop_coordinator(l.swarm, SIM_STOP);
    pass(&l, 2 * TERM_DAYS);
    count_at_cells(&l, &waiting, &dead);
    assert_int_equal(waiting + dead, 0);
    end(&l);
}

/* A cell that was off has not run: its term goes on where it was. */
static void test_a_cell_that_was_off_waits_for_its_own_running_time(void **state)
{
    (void)state;
    struct lease l = begin();
    struct store_removal_state what;
    pass(&l, 5);
    sim_swarm_stop_cell(l.swarm, 0, SIM_STOP);
    pass(&l, TERM_DAYS + 5);
    sim_swarm_start_cell(l.swarm, 0);
    pass(&l, 5);
    assert_int_equal(store_removal_state(l.swarm->cells[0].store, &what, NULL), ERR_OK);
    assert_int_equal(what.waiting_count, 0);
    pass(&l, TERM_DAYS);
    assert_int_equal(store_removal_state(l.swarm->cells[0].store, &what, NULL), ERR_OK);
    assert_true(what.waiting_count > 0);
    end(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_renews_keeps_everything),
        cmocka_unit_test(test_who_does_not_is_let_go_in_the_end),
        cmocka_unit_test(test_nothing_ends_while_the_coordinator_is_away),
        cmocka_unit_test(test_a_cell_that_was_off_waits_for_its_own_running_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Proofs while the coordinator is away: cells ask each other by the lot of the day, keep what they
 * find, and the coordinator hears it when it is back. The real daemons in the simulated world.
 */
#include "sim_backup.h"

#include "cell_internal.h"
#include "placement/placement_lot.h"
#include "wire/wire_audit.h"
#include "wire/wire_cell.h"
#include "wire/wire_path.h"
#include "wire/wire_shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { HOUR_MS = 3600000, DAY_MS = 24 * HOUR_MS, SEGMENTS = 6, PERIOD_MS = 6 * HOUR_MS };

struct life {
    struct sim_world *world;
    struct sim_swarm *swarm;
    struct sim_device *device;
    struct sim_backup *backup;
};

static struct life begin_with(const struct sim_swarm_options *options)
{
    struct life l = {.world = sim_world_new(sim_world_test_seed(23))};
    l.swarm = sim_swarm_new(l.world, options);
    l.device = sim_device_new(l.swarm, 1);
    l.backup = sim_backup_new(l.device);
    return l;
}

/* No proofs by ticket: what is found is found by lot. */
static struct life begin(unsigned cells)
{
    const struct sim_swarm_options options = {
        .cells = cells, .gone_after_ms = 14 * (uint64_t)DAY_MS, .audit_period_ms = PERIOD_MS};
    return begin_with(&options);
}

static void fill(struct life *l)
{
    for (unsigned i = 0; i < SEGMENTS; i++)
        assert_int_equal(sim_backup_add(l->backup, 2, 2, 4096), ERR_OK);
}

static void run(struct life *l, uint64_t ms)
{
    assert_int_equal(sim_world_run(l->world, ms), ERR_OK);
}

static void end(struct life *l)
{
    sim_backup_free(l->backup);
    sim_device_free(l->device);
    sim_swarm_free(l->swarm);
    sim_world_free(l->world);
}

static uint64_t proofs(const struct life *l)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < l->swarm->options.cells; i++) {
        struct cell_counters counters;
        sim_swarm_cell_counters(l->swarm, i, &counters);
        count += counters.proof_count;
    }
    return count;
}

static struct registry_cell_info info(struct life *l, unsigned cell)
{
    struct registry_cell_info out;
    assert_int_equal(registry_cell_info(l->swarm->registry, &l->swarm->cells[cell].node->id, &out),
                     ERR_OK);
    return out;
}

static unsigned shards_of(struct life *l, unsigned cell)
{
    struct store_usage usage;
    struct errmsg msg;
    assert_int_equal(store_usage(l->swarm->cells[cell].store, &usage, &msg), ERR_OK);
    return (unsigned)usage.shard_count;
}

/* The disk of cell 0 is put back to what it was before anything was stored on it, and the cell
   itself does not know. */
static void lose_by_an_old_image(struct life *l, const struct sim_disk_image *image)
{
    sim_swarm_stop_cell(l->swarm, 0, SIM_STOP);
    sim_disk_load(l->swarm->cells[0].node, image);
    sim_swarm_start_cell(l->swarm, 0);
    assert_int_equal(shards_of(l, 0), 0);
}

static struct sim_disk_image *save_image(struct life *l)
{
    run(l, HOUR_MS); /* it knows who the others are */
    sim_swarm_stop_cell(l->swarm, 0, SIM_STOP);
    sim_disk_sync_all(l->swarm->cells[0].node);
    struct sim_disk_image *image = sim_disk_save(l->swarm->cells[0].node);
    sim_swarm_start_cell(l->swarm, 0);
    run(l, HOUR_MS);
    return image;
}

static void test_who_loses_data_while_the_coordinator_is_away_is_found(void **state)
{
    (void)state;
    struct life l = begin(8);
    struct sim_disk_image *image = save_image(&l);
    fill(&l);
    assert_true(shards_of(&l, 0) > 0);
    run(&l, DAY_MS);
    assert_int_equal(proofs(&l), 0); /* with a coordinator the lots are its own */
    sim_swarm_stop_coordinator(l.swarm, SIM_POWER);
    lose_by_an_old_image(&l, image);
    run(&l, 5 * (uint64_t)DAY_MS);
    const uint64_t made = proofs(&l);
    assert_true(made > 40);
    /* auditors are restarted, and remember */
    for (unsigned i = 1; i < 8; i++) {
        sim_swarm_stop_cell(l.swarm, i, SIM_POWER);
        sim_swarm_start_cell(l.swarm, i);
    }
    sim_swarm_start_coordinator(l.swarm);
    run(&l, 2 * (uint64_t)HOUR_MS);
    assert_true(info(&l, 0).fault_count > 0);
    assert_true(info(&l, 0).trust < 500);
    uint64_t proven = 0;
    for (unsigned i = 1; i < 8; i++) {
        assert_int_equal(info(&l, i).fault_count, 0);
        proven += info(&l, i).proof_count;
    }
    assert_true(proven > 20);
    const uint64_t then = proofs(&l);
    run(&l, 2 * (uint64_t)DAY_MS);
    assert_int_equal(proofs(&l), then); /* and now the coordinator throws them again */
    for (unsigned s = 0; s < l.backup->count; s++)
        assert_int_equal(sim_backup_read(l.backup, s), ERR_OK);
    sim_disk_image_free(image);
    end(&l);
}

static void lie(void *user, const char *path, uint64_t offset, uint8_t *bytes, size_t size)
{
    (void)user;
    (void)offset;
    if (strncmp(path, "/v1/shards/", 11) == 0 && size > 64)
        bytes[size / 2] ^= 1;
}

/* Wrong bytes are a verdict; silence is none, nor is the word of one household. */
static void test_a_liar_is_found_and_who_is_silent_is_not_blamed(void **state)
{
    (void)state;
    struct life l = begin(8);
    fill(&l);
    run(&l, HOUR_MS);
    sim_swarm_stop_coordinator(l.swarm, SIM_KILL);
    sim_net_tamper(l.swarm->cells[1].node, lie, NULL);
    sim_swarm_stop_cell(l.swarm, 2, SIM_STOP);
    run(&l, 5 * (uint64_t)DAY_MS);
    sim_swarm_start_cell(l.swarm, 2);
    sim_net_tamper(l.swarm->cells[1].node, NULL, NULL);
    sim_swarm_start_coordinator(l.swarm);
    run(&l, HOUR_MS);
    assert_true(info(&l, 1).fault_count > 0);
    for (unsigned i = 0; i < 8; i++)
        if (i != 1)
            assert_int_equal(info(&l, i).fault_count, 0);
    end(&l);
}

/* The owner's own cell holds nothing of his: it asks others what they have, and has it proven. */
static void test_an_owners_cell_asks_for_its_owners_segments(void **state)
{
    (void)state;
    struct life l = begin(4);
    assert_int_equal(sim_device_claim(l.device, 3, "a-code"), ERR_OK);
    run(&l, HOUR_MS);
    for (unsigned i = 0; i < SEGMENTS; i++)
        assert_int_equal(sim_backup_add(l.backup, 2, 1, 4096), ERR_OK);
    assert_int_equal(shards_of(&l, 3), 0);
    sim_swarm_stop_coordinator(l.swarm, SIM_POWER);
    run(&l, 3 * (uint64_t)DAY_MS);
    struct cell_counters counters;
    sim_swarm_cell_counters(l.swarm, 3, &counters);
    assert_true(counters.proof_count >= 3);
    /* nobody else is told what there is of his */
    char path[WIRE_PATH_SIZE];
    const struct wire_path names = {.route = WIRE_ACCOUNT_SHARDS, .id = l.device->account.account};
    struct buf reply = BUF_INIT(WIRE_NAMES_BYTES);
    for (unsigned from = 1; from < 4; from++) {
        unsigned status;
        const enum err e =
            sim_ask(l.swarm, l.swarm->cells[from].node, &l.swarm->cells[0].node->id,
                    l.swarm->cells[0].address, NET_GET, wire_path_format(&names, path),
                    slice_of(NULL, 0), &status, &reply);
        assert_int_equal(e, from == 3 ? ERR_OK : ERR_DENIED);
    }
    buf_free(&reply);
    sim_swarm_start_coordinator(l.swarm);
    run(&l, HOUR_MS);
    uint64_t proven = 0;
    for (unsigned i = 0; i < 3; i++)
        proven += info(&l, i).proof_count;
    assert_true(proven >= 3);
    end(&l);
}

/* --- nobody makes a cell read its disk at will --- */

static enum err ask(struct life *l, struct sim_node *from, unsigned cell, uint64_t day)
{
    struct buf body = BUF_INIT(WIRE_LOT_BYTES), reply = BUF_INIT(WIRE_SEGMENT_REPLY_BYTES);
    const struct wire_lot lot = {.day = day, .segment = l->backup->segments[0].id};
    unsigned status;
    assert_int_equal(wire_lot_encode(&lot, &body), ERR_OK);
    const enum err e =
        sim_ask(l->swarm, from, &l->swarm->cells[cell].node->id, l->swarm->cells[cell].address,
                NET_POST, wire_path_plain(WIRE_AUDIT), buf_slice(&body), &status, &reply);
    buf_free(&body);
    buf_free(&reply);
    return e;
}

static uint64_t refused(const struct life *l, unsigned cell)
{
    struct cell_counters counters;
    cell_counters(l->swarm->cells[cell].cell, &counters);
    return counters.refused_count;
}

/* A member that today's lot falls on (or does not) to ask the cell. */
static bool find_auditor(struct life *l, unsigned about, bool wanted, struct sim_node **out)
{
    const struct sim_cell *cells = l->swarm->cells;
    const uint64_t day = cell_lot_day(cells[about].cell);
    for (unsigned i = 0; i < 16; i++) {
        *out = cells[i].node;
        if (i != about &&
            placement_lot_falls(&cells[i].node->id, &cells[about].node->id, day, 16) == wanted)
            return true;
    }
    return false;
}

static void test_only_members_by_the_lot_of_the_day_get_a_proof(void **state)
{
    (void)state;
    struct life l = begin(16);
    struct sim_node *lucky = NULL, *other = NULL;
    unsigned about = 0;
    fill(&l);
    for (unsigned i = 0; i < 4; i++) { /* one in a hundred is asked by nobody */
        about = (unsigned)sim_swarm_number(l.swarm, &l.backup->segments[0].holders[i]);
        if (find_auditor(&l, about, true, &lucky))
            break;
    }
    assert_true(find_auditor(&l, about, true, &lucky) && find_auditor(&l, about, false, &other));
    const uint64_t day = cell_lot_day(l.swarm->cells[about].cell);
    const uint64_t before = refused(&l, about);
    assert_int_equal(ask(&l, l.device->node, about, day), ERR_DENIED);
    assert_int_equal(ask(&l, other, about, day), ERR_DENIED);
    assert_int_equal(ask(&l, lucky, about, day + 2), ERR_DENIED);
    assert_int_equal(ask(&l, lucky, about, day - 2), ERR_DENIED);
    assert_int_equal(ask(&l, lucky, about, 0), ERR_DENIED);
    assert_int_equal(refused(&l, about), before + 5);
    assert_int_equal(ask(&l, lucky, about, day), ERR_OK);
    end(&l);
}

static void test_a_member_gets_so_many_proofs_a_day_and_no_more(void **state)
{
    (void)state;
    struct life l = begin(5);
    fill(&l);
    const unsigned about = (unsigned)sim_swarm_number(l.swarm, &l.backup->segments[0].holders[0]);
    struct sim_node *auditor = l.swarm->cells[(about + 1) % 5].node;
    const uint64_t day = cell_lot_day(l.swarm->cells[about].cell);
    for (unsigned i = 0; i < CELL_LOT_ASKS; i++)
        assert_int_equal(ask(&l, auditor, about, day), ERR_OK);
    assert_int_equal(ask(&l, auditor, about, day), ERR_BUSY);
    run(&l, DAY_MS);
    assert_int_equal(ask(&l, auditor, about, day + 1), ERR_OK);
    end(&l);
}

static uint64_t all_refused(const struct life *l)
{
    uint64_t count = 0;
    for (unsigned i = 0; i + 1 < l->swarm->options.cells; i++)
        count += refused(l, i);
    return count;
}

/* Each cell has just asked each other one for a leaf of every segment, when the same cells come
   with tickets for whole shards, larger than a leaf: what is left of a lot is not taken for what is
   left of a ticket, nor a ticket spent on a lot. */
static void test_a_lot_stands_in_no_tickets_way(void **state)
{
    (void)state;
    enum { MINUTE_MS = 60000 };
    const struct sim_swarm_options options = {.cells = 6,
                                              .heartbeat_ms = 5000,
                                              .asleep_after_ms = 15000,
                                              .gone_after_ms = 30000,
                                              .lease_s = 120,
                                              .audit_period_ms = 2000};
    struct life l = begin_with(&options);
    for (unsigned i = 0; i < SEGMENTS; i++)
        assert_int_equal(sim_backup_add(l.backup, 2, 2, 4 * LIMIT_LEAF_BYTES), ERR_OK);
    sim_swarm_stop_coordinator(l.swarm, SIM_STOP);
    run(&l, 2 * MINUTE_MS);
    assert_true(proofs(&l) >= 6);
    sim_swarm_start_coordinator(l.swarm);
    run(&l, MINUTE_MS / 2);
    const uint64_t before = all_refused(&l);
    assert_true(shards_of(&l, 5) > 0);
    sim_swarm_stop_cell(l.swarm, 5, SIM_POWER);
    run(&l, 3 * MINUTE_MS);
    struct registry_counts counts;
    struct errmsg msg;
    const int64_t now_s = (SIM_WALL_START_NS + (int64_t)sim_world_now_ns(l.world)) / 1000000000;
    assert_int_equal(registry_counts(l.swarm->registry, now_s, &counts, &msg), ERR_OK);
    assert_true(counts.repaired_count > 0);
    assert_int_equal(counts.repairs_ready + counts.repairs_leased, 0);
    assert_int_equal(all_refused(&l), before);
    end(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_loses_data_while_the_coordinator_is_away_is_found),
        cmocka_unit_test(test_a_liar_is_found_and_who_is_silent_is_not_blamed),
        cmocka_unit_test(test_an_owners_cell_asks_for_its_owners_segments),
        cmocka_unit_test(test_only_members_by_the_lot_of_the_day_get_a_proof),
        cmocka_unit_test(test_a_member_gets_so_many_proofs_a_day_and_no_more),
        cmocka_unit_test(test_a_lot_stands_in_no_tickets_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

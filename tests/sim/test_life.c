/*
 * The life of a swarm: cells sleep, go, leave, lose and lie, and what was stored stays whole, by
 * repairs without a key. The real daemons and the real client in the simulated world.
 */
#include "sim_backup.h"

#include "identity/ticket.h"
#include "wire/wire_path.h"
#include "wire/wire_repair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MINUTE_MS = 60000, HOUR_MS = 60 * MINUTE_MS, DAY_MS = 24 * HOUR_MS, SEGMENTS = 6 };

struct life {
    struct sim_world *world;
    struct sim_swarm *swarm;
    struct sim_device *device;
    struct sim_backup *backup;
};

/* 2+2 on `joined` of `cells` cells; gone after a day. */
static struct life begin(unsigned cells, unsigned joined, const struct sim_swarm_options *more)
{
    struct life l = {.world = sim_world_new(sim_world_test_seed(11))};
    struct sim_swarm_options options = more ? *more : (struct sim_swarm_options){0};
    options.cells = cells;
    options.joined = joined;
    options.gone_after_ms = DAY_MS;
    if (!options.repair_percent)
        options.repair_percent = 100;
    l.swarm = sim_swarm_new(l.world, &options);
    l.device = sim_device_new(l.swarm, 1);
    l.backup = sim_backup_new(l.device);
    return l;
}

static void fill(struct life *l, unsigned k, unsigned m)
{
    for (unsigned i = 0; i < SEGMENTS; i++)
        assert_int_equal(sim_backup_add(l->backup, k, m, 4096), ERR_OK);
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

static uint64_t repair_bytes(const struct life *l)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < l->swarm->options.cells; i++) {
        struct cell_counters counters = {0};
        if (l->swarm->cells[i].cell)
            cell_counters(l->swarm->cells[i].cell, &counters);
        bytes += counters.repair_bytes;
    }
    return bytes;
}

static struct registry_counts counts(struct life *l)
{
    struct registry_counts out;
    struct errmsg msg;
    const int64_t now_s = (SIM_WALL_START_NS + (int64_t)sim_world_now_ns(l->world)) / 1000000000;
    assert_int_equal(registry_counts(l->swarm->registry, now_s, &out, &msg), ERR_OK);
    return out;
}

static struct registry_cell_info info(struct life *l, unsigned cell)
{
    struct registry_cell_info out;
    assert_int_equal(registry_cell_info(l->swarm->registry, &l->swarm->cells[cell].node->id, &out),
                     ERR_OK);
    return out;
}

/* Every segment has all its shards on cells that run, and no cell two of them. */
static void assert_all_whole(struct life *l, unsigned n)
{
    for (unsigned i = 0; i < l->backup->count; i++) {
        struct sim_truth truth;
        sim_backup_truth(l->backup, i, &truth);
        assert_int_equal(truth.whole, n);
    }
}

static void assert_all_readable(struct life *l)
{
    for (unsigned i = 0; i < l->backup->count; i++)
        assert_int_equal(sim_backup_read(l->backup, i), ERR_OK);
}

static unsigned shards_on(struct life *l, unsigned cell)
{
    unsigned count = 0;
    for (unsigned i = 0; i < l->backup->count; i++) {
        struct sim_truth truth;
        sim_backup_truth(l->backup, i, &truth);
        for (unsigned s = 0; s < SIM_BACKUP_SHARDS_MAX; s++)
            count += truth.at[s][cell];
    }
    return count;
}

/* --- asleep, gone --- */

/* Whoever did not listen has heard nobody: a coordinator that was away for longer than the grace
   time, or whose clock jumps by a year, does not take its cells for gone. (Found by cellsim.) */
static void test_a_coordinator_that_was_away_takes_nobody_for_gone(void **state)
{
    (void)state;
    struct life l = begin(8, 0, NULL);
    fill(&l, 2, 2);
    for (unsigned i = 0; i < 8; i++) { /* so that their heartbeats are not at one time */
        sim_swarm_stop_cell(l.swarm, i, SIM_STOP);
        run(&l, 100000);
        sim_swarm_start_cell(l.swarm, i);
    }
    run(&l, HOUR_MS);
    sim_swarm_stop_coordinator(l.swarm, SIM_POWER);
    run(&l, 3 * (uint64_t)DAY_MS);
    /* and one of them just then: only the silence that was listened to counts (seed 45) */
    sim_swarm_stop_cell(l.swarm, 7, SIM_KILL);
    run(&l, 10 * (uint64_t)HOUR_MS);
    sim_swarm_start_coordinator(l.swarm);
    run(&l, 12 * (uint64_t)HOUR_MS);
    assert_int_equal(counts(&l).asleep, 1);
    sim_swarm_start_cell(l.swarm, 7);
    run(&l, HOUR_MS);
    assert_int_equal(counts(&l).up, 8);
    assert_int_equal(repair_bytes(&l), 0);
    sim_node_clock_jump(l.swarm->coordinator_node, 365 * (int64_t)DAY_MS);
    run(&l, 12 * (uint64_t)HOUR_MS);
    assert_int_equal(repair_bytes(&l), 0);
    sim_node_clock_jump(l.swarm->coordinator_node, -365 * (int64_t)DAY_MS);
    run(&l, 12 * (uint64_t)HOUR_MS);
    assert_int_equal(counts(&l).up, 8);
    assert_int_equal(repair_bytes(&l), 0);
    assert_all_readable(&l);
    /* who stays silent from now on is gone, only later */
    sim_swarm_stop_cell(l.swarm, 0, SIM_KILL);
    run(&l, 36 * (uint64_t)HOUR_MS);
    assert_int_equal(counts(&l).gone, 1);
    assert_all_whole(&l, 4);
    end(&l);
}

/* A lost cell's shards are made anew on others, from k others, and everything reads. */
static void test_a_gone_cells_shards_are_made_elsewhere(void **state)
{
    (void)state;
    struct life l = begin(6, 0, NULL);
    fill(&l, 2, 2);
    assert_all_whole(&l, 4);
    sim_swarm_stop_cell(l.swarm, 0, SIM_KILL);
    run(&l, 30 * (uint64_t)HOUR_MS);
    assert_int_equal(counts(&l).gone, 1);
    assert_all_whole(&l, 4);
    assert_true(repair_bytes(&l) > 0);
    assert_int_equal(counts(&l).repairs_ready + counts(&l).repairs_leased, 0);
    assert_int_equal(info(&l, 0).held, 0);
    assert_all_readable(&l);
    end(&l);
}

/* Half of the swarm is away for less than the grace time: not a byte is repaired. */
static void test_a_reboot_inside_the_grace_time_repairs_nothing(void **state)
{
    (void)state;
    struct life l = begin(8, 0, NULL);
    fill(&l, 2, 2);
    for (unsigned i = 0; i < 4; i++)
        sim_swarm_stop_cell(l.swarm, i, SIM_POWER);
    run(&l, 20 * (uint64_t)HOUR_MS);
    assert_int_equal(counts(&l).asleep, 4);
    for (unsigned i = 0; i < 4; i++)
        sim_swarm_start_cell(l.swarm, i);
    run(&l, 10 * (uint64_t)HOUR_MS);
    assert_int_equal(counts(&l).up, 8);
    assert_int_equal(repair_bytes(&l), 0);
    assert_all_readable(&l);
    end(&l);
}

/* 4+4 at 75 %: one loss is borne, the second one has both made with one download. */
static void test_repair_is_lazy_and_then_does_all(void **state)
{
    (void)state;
    struct life l = begin(10, 0, &(struct sim_swarm_options){.repair_percent = 75});
    assert_int_equal(sim_backup_add(l.backup, 4, 4, 4096), ERR_OK);
    const struct sim_segment *segment = &l.backup->segments[0];
    sim_swarm_stop_cell(l.swarm, (unsigned)sim_swarm_number(l.swarm, &segment->holders[1]),
                        SIM_KILL);
    run(&l, 40 * (uint64_t)HOUR_MS);
    assert_int_equal(repair_bytes(&l), 0);
    sim_swarm_stop_cell(l.swarm, (unsigned)sim_swarm_number(l.swarm, &segment->holders[6]),
                        SIM_KILL);
    run(&l, 40 * (uint64_t)HOUR_MS);
    assert_all_whole(&l, 8);
    assert_int_equal(repair_bytes(&l), (4 + 2) * 4096);
    end(&l);
}

/* Too few sources answer although the coordinator takes them for awake: each try ends before a byte
   is fetched. (Found by cellsim, seed 192: every try drew k - 1 shards and threw them away.) */
static void test_a_repair_without_enough_sources_fetches_nothing(void **state)
{
    (void)state;
    struct life l = begin(12, 0, &(struct sim_swarm_options){.asleep_after_ms = 20 * HOUR_MS});
    assert_int_equal(sim_backup_add(l.backup, 4, 4, 4096), ERR_OK);
    const struct sim_segment *segment = &l.backup->segments[0];
    sim_swarm_stop_cell(l.swarm, (unsigned)sim_swarm_number(l.swarm, &segment->holders[0]),
                        SIM_KILL);
    run(&l, DAY_MS - HOUR_MS);
    for (unsigned i = 1; i < 5; i++)
        sim_swarm_stop_cell(l.swarm, (unsigned)sim_swarm_number(l.swarm, &segment->holders[i]),
                            SIM_KILL);
    run(&l, 12 * (uint64_t)HOUR_MS);
    assert_int_equal(counts(&l).gone, 1);
    assert_int_equal(counts(&l).repairs_ready + counts(&l).repairs_leased, 1);
    assert_int_equal(repair_bytes(&l), 0);
    /* one more of them: now there are enough, and nothing more is fetched than needed */
    sim_swarm_start_cell(l.swarm, (unsigned)sim_swarm_number(l.swarm, &segment->holders[4]));
    run(&l, 7 * (uint64_t)HOUR_MS);
    assert_int_equal(repair_bytes(&l), (4 + 1) * 4096);
    end(&l);
}

/* With no domain to spare the repair waits, says so, and goes on when a new cell is there. */
static void test_without_a_spare_domain_repair_waits_for_a_new_cell(void **state)
{
    (void)state;
    struct life l = begin(5, 4, NULL);
    fill(&l, 2, 2);
    sim_swarm_stop_cell(l.swarm, 1, SIM_KILL);
    run(&l, 30 * (uint64_t)HOUR_MS);
    assert_int_equal(counts(&l).repairs_waiting, SEGMENTS);
    assert_int_equal(repair_bytes(&l), 0);
    sim_swarm_start_cell(l.swarm, 4);
    run(&l, 4 * (uint64_t)HOUR_MS);
    assert_int_equal(counts(&l).repairs_waiting, 0);
    assert_all_whole(&l, 4);
    assert_all_readable(&l);
    end(&l);
}

/* Copies: with 1+1 the one source and the new target may be the repairer itself. */
static void test_the_smallest_swarm_repairs_too(void **state)
{
    (void)state;
    struct life l = begin(3, 0, NULL);
    fill(&l, 1, 1);
    sim_swarm_stop_cell(l.swarm, 2, SIM_KILL);
    run(&l, 36 * (uint64_t)HOUR_MS);
    assert_all_whole(&l, 2);
    assert_all_readable(&l);
    end(&l);
}

/* --- leaving --- */

static void test_a_leaving_cell_is_drained_and_then_may_go(void **state)
{
    (void)state;
    struct life l = begin(6, 0, NULL);
    fill(&l, 2, 2);
    assert_true(shards_on(&l, 2) > 0);
    cell_set_leaving(l.swarm->cells[2].cell, true);
    run(&l, HOUR_MS);
    assert_int_equal(counts(&l).leaving, 1);
    run(&l, 6 * (uint64_t)HOUR_MS);
    assert_true(cell_drained(l.swarm->cells[2].cell));
    assert_int_equal(info(&l, 2).held, 0);
    /* it comes back with the same wish, and is empty for everybody else */
    sim_swarm_stop_cell(l.swarm, 2, SIM_STOP);
    assert_all_whole(&l, 4);
    assert_all_readable(&l);
    sim_swarm_start_cell(l.swarm, 2);
    run(&l, HOUR_MS);
    assert_int_equal(counts(&l).leaving, 1);
    end(&l);
}

/* What was made anew elsewhere does not stay twice: the cell that comes back after all learns what
   to drop, and only that. */
static void test_a_cell_that_was_away_drops_what_has_moved(void **state)
{
    (void)state;
    struct life l = begin(6, 0, NULL);
    fill(&l, 2, 2);
    const unsigned had = shards_on(&l, 0);
    assert_true(had > 0);
    sim_swarm_stop_cell(l.swarm, 0, SIM_KILL);
    run(&l, 30 * (uint64_t)HOUR_MS);
    assert_true(repair_bytes(&l) > 0);
    sim_swarm_start_cell(l.swarm, 0);
    run(&l, 2 * (uint64_t)HOUR_MS);
    assert_int_equal(counts(&l).up, 6);
    assert_int_equal(shards_on(&l, 0), 0);
    for (unsigned i = 0; i < l.backup->count; i++) {
        struct sim_truth truth;
        sim_backup_truth(l.backup, i, &truth);
        for (unsigned s = 0; s < 4; s++) {
            unsigned places = 0;
            for (unsigned c = 0; c < 6; c++)
                places += truth.at[s][c];
            assert_int_equal(places, 1);
        }
    }
    assert_all_readable(&l);
    end(&l);
}

/* --- damage and proof --- */

/* The scrub finds bit rot, says so, and the shard is made anew. */
static void test_bit_rot_is_found_told_and_repaired(void **state)
{
    (void)state;
    struct life l =
        begin(6, 0, &(struct sim_swarm_options){.scrub_period_ms = 12 * (uint64_t)HOUR_MS});
    char path[512];
    fill(&l, 2, 2);
    for (unsigned i = 0; i < 3; i++) {
        sim_disk_sync_all(l.swarm->cells[i].node);
        sim_disk_rot_any(l.swarm->cells[i].node, 8192, path, sizeof(path));
    }
    run(&l, 48 * (uint64_t)HOUR_MS);
    assert_all_whole(&l, 4);
    assert_int_equal(counts(&l).repairs_ready, 0);
    assert_int_equal(counts(&l).untrusted, 0); /* who says so himself loses no trust */
    end(&l);
}

static void lie(void *user, const char *path, uint64_t offset, uint8_t *bytes, size_t size)
{
    (void)user;
    (void)offset;
    if (strncmp(path, "/v1/shards/", 11) == 0 && size > 64)
        bytes[size / 2] ^= 1;
}

/* A cell that gives wrong bytes loses trust by several auditors' word, then its shards. */
static void test_a_lying_cell_loses_trust_and_its_shards(void **state)
{
    (void)state;
    struct life l = begin(7, 0, &(struct sim_swarm_options){.proof_period_ms = 2 * HOUR_MS});
    fill(&l, 2, 2);
    assert_true(shards_on(&l, 3) > 1);
    sim_net_tamper(l.swarm->cells[3].node, lie, NULL);
    run(&l, 10 * (uint64_t)DAY_MS);
    assert_true(info(&l, 3).trust < 500);
    assert_true(info(&l, 3).fault_count > 0);
    assert_true(info(&l, 0).proof_count > 0);
    assert_int_equal(counts(&l).untrusted, 1);
    assert_int_equal(info(&l, 3).held, 0);
    for (unsigned i = 0; i < l.backup->count; i++) {
        struct sim_truth truth;
        unsigned elsewhere = 0;
        sim_backup_truth(l.backup, i, &truth);
        for (unsigned s = 0; s < 4; s++)
            for (unsigned c = 0; c < 7; c++)
                if (c != 3 && truth.at[s][c]) {
                    elsewhere++;
                    break;
                }
        assert_int_equal(elsewhere, 4);
    }
    assert_all_readable(&l);
    end(&l);
}

/* Nobody loses trust where nothing is wrong. */
static void test_proofs_of_honest_cells_cost_nothing(void **state)
{
    (void)state;
    struct life l = begin(6, 0, &(struct sim_swarm_options){.proof_period_ms = HOUR_MS});
    fill(&l, 2, 2);
    run(&l, 3 * (uint64_t)DAY_MS);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(info(&l, i).trust, 1000);
        assert_int_equal(info(&l, i).fault_count, 0);
        assert_true(info(&l, i).proof_count > 10);
    }
    assert_int_equal(repair_bytes(&l), 0);
    end(&l);
}

/* --- leases and foreigners --- */

static enum err ask_ticket(struct life *l, struct sim_node *from, struct wire_work_reply *out,
                           struct buf *reply)
{
    struct buf body = BUF_INIT(64);
    unsigned status;
    assert_int_equal(wire_work_encode(WIRE_WORK_REPAIR, &body), ERR_OK);
    enum err e = sim_ask(l->swarm, from, &l->swarm->coordinator_node->id, "coordinator:1", NET_POST,
                         wire_path_plain(WIRE_REPAIRS), buf_slice(&body), &status, reply);
    buf_free(&body);
    return e == ERR_OK ? wire_work_reply_decode(buf_slice(reply), out) : e;
}

/* A repairer that dies with a ticket: after the lease somebody else does the work. Its own report
   comes too late. */
static void test_a_dead_repairers_work_is_taken_over(void **state)
{
    (void)state;
    struct life l = begin(6, 0, &(struct sim_swarm_options){.lease_s = 7200});
    struct buf reply = BUF_INIT(WIRE_WORK_REPLY_BYTES), body = BUF_INIT(WIRE_REPORT_BYTES);
    struct wire_work_reply work;
    struct ticket ticket;
    unsigned status;
    assert_int_equal(sim_backup_add(l.backup, 2, 2, 4096), ERR_OK);
    const unsigned lost = (unsigned)sim_swarm_number(l.swarm, &l.backup->segments[0].holders[0]);
    const unsigned mine = lost == 0 ? 1 : 0;
    /* so that nobody else hears of the work before us: heartbeats are 15 minutes apart */
    sim_swarm_stop_cell(l.swarm, lost, SIM_KILL);
    work.kind = 0;
    for (unsigned i = 0; i < 40 * 360 && work.kind == 0; i++) {
        run(&l, 10000);
        assert_int_equal(ask_ticket(&l, l.swarm->cells[mine].node, &work, &reply), ERR_OK);
        assert_int_equal(repair_bytes(&l), 0);
    }
    assert_int_equal(work.kind, WIRE_WORK_REPAIR);
    assert_int_equal(
        ticket_open(work.ticket, &l.swarm->root, &l.swarm->coordinator_node->id, &ticket, NULL),
        ERR_OK);
    assert_int_equal(ticket.target_count, 1);
    assert_int_equal(ticket.source_count, 3);
    run(&l, HOUR_MS); /* the lease keeps the others away */
    assert_int_equal(repair_bytes(&l), 0);
    assert_int_equal(counts(&l).repairs_leased, 1);
    run(&l, 3 * (uint64_t)HOUR_MS);
    assert_all_whole(&l, 4);
    struct wire_report late = {.outcome = WIRE_OUTCOME_INCONSISTENT, .segment = ticket.segment};
    memcpy(late.ticket, ticket.id, sizeof(late.ticket));
    assert_int_equal(wire_report_encode(&late, &body), ERR_OK);
    assert_int_equal(sim_ask(l.swarm, l.swarm->cells[mine].node, &l.swarm->coordinator_node->id,
                             "coordinator:1", NET_POST, wire_path_plain(WIRE_REPORT),
                             buf_slice(&body), &status, &reply),
                     ERR_STALE);
    buf_free(&reply);
    buf_free(&body);
    end(&l);
}

/* A ticket opens a source to its repairer alone, and only what it names; a device has no use of it.
 */
static void test_a_ticket_serves_its_repairer_alone(void **state)
{
    (void)state;
    struct life l = begin(6, 0, &(struct sim_swarm_options){.lease_s = 86400});
    struct buf reply = BUF_INIT(1 << 20), doc = BUF_INIT(TICKET_BYTES_MAX);
    const struct sim_segment *segment = &l.backup->segments[0];
    char path[WIRE_PATH_SIZE];
    unsigned status;
    assert_int_equal(sim_backup_add(l.backup, 2, 2, 4096), ERR_OK);
    struct sim_cell *source = &l.swarm->cells[sim_swarm_number(l.swarm, &segment->holders[1])];
    struct sim_cell *repairer = &l.swarm->cells[sim_swarm_number(l.swarm, &segment->holders[2])];
    struct sim_cell *other = &l.swarm->cells[sim_swarm_number(l.swarm, &segment->holders[3])];
    struct ticket ticket = {.incarnation = 1,
                            .repairer = repairer->node->id,
                            .segment = segment->id,
                            .account = l.device->account.account,
                            .list_number = 1,
                            .bytes_max = 4096,
                            .expires_s = SIM_WALL_START_NS / 1000000000 + 86400,
                            .source_count = 1,
                            .sources = {{.index = 1, .cell = source->node->id}}};
    const struct wire_path shard = {.route = WIRE_SHARD, .id = segment->id, .index = 1};
    wire_path_format(&shard, path);
    assert_int_equal(ticket_make(&ticket, &l.swarm->root, l.swarm->coordinator_key, &doc), ERR_OK);
    assert_int_equal(sim_ask(l.swarm, repairer->node, &source->node->id, source->address, NET_GET,
                             path, slice_of(NULL, 0), &status, &reply),
                     ERR_DENIED);
    assert_int_equal(sim_ask(l.swarm, other->node, &source->node->id, source->address, NET_POST,
                             "/v1/repair", buf_slice(&doc), &status, &reply),
                     ERR_DENIED);
    assert_int_equal(sim_ask(l.swarm, l.device->node, &source->node->id, source->address, NET_POST,
                             "/v1/repair", buf_slice(&doc), &status, &reply),
                     ERR_DENIED);
    assert_int_equal(sim_ask(l.swarm, repairer->node, &source->node->id, source->address, NET_POST,
                             "/v1/repair", buf_slice(&doc), &status, &reply),
                     ERR_OK);
    assert_int_equal(sim_ask(l.swarm, other->node, &source->node->id, source->address, NET_GET,
                             path, slice_of(NULL, 0), &status, &reply),
                     ERR_DENIED);
    assert_int_equal(sim_ask(l.swarm, repairer->node, &source->node->id, source->address, NET_GET,
                             path, slice_of(NULL, 0), &status, &reply),
                     ERR_OK);
    assert_int_equal(reply.size, 4 + 4096);
    /* all that it allows has been read; showing it again does not help */
    assert_int_equal(sim_ask(l.swarm, repairer->node, &source->node->id, source->address, NET_POST,
                             "/v1/repair", buf_slice(&doc), &status, &reply),
                     ERR_OK);
    assert_int_equal(sim_ask(l.swarm, repairer->node, &source->node->id, source->address, NET_GET,
                             path, slice_of(NULL, 0), &status, &reply),
                     ERR_DENIED);
    /* signed by somebody else than the coordinator */
    buf_clear(&doc);
    ticket.id[0] = 1;
    assert_int_equal(ticket_make(&ticket, &l.swarm->root, repairer->key, &doc), ERR_OK);
    assert_int_equal(sim_ask(l.swarm, repairer->node, &source->node->id, source->address, NET_POST,
                             "/v1/repair", buf_slice(&doc), &status, &reply),
                     ERR_AUTH);
    buf_free(&reply);
    buf_free(&doc);
    end(&l);
}

/* The coordinator forgets nothing of it over a power cut. */
static void test_the_queue_outlives_the_coordinator(void **state)
{
    (void)state;
    struct life l = begin(5, 4, NULL);
    fill(&l, 2, 2);
    sim_swarm_stop_cell(l.swarm, 3, SIM_KILL);
    run(&l, 30 * (uint64_t)HOUR_MS);
    assert_int_equal(counts(&l).repairs_waiting, SEGMENTS);
    sim_swarm_stop_coordinator(l.swarm, SIM_POWER);
    sim_swarm_start_coordinator(l.swarm);
    assert_int_equal(counts(&l).repairs_waiting, SEGMENTS);
    sim_swarm_start_cell(l.swarm, 4);
    run(&l, 4 * (uint64_t)HOUR_MS);
    assert_all_whole(&l, 4);
    end(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_gone_cells_shards_are_made_elsewhere),
        cmocka_unit_test(test_a_coordinator_that_was_away_takes_nobody_for_gone),
        cmocka_unit_test(test_a_reboot_inside_the_grace_time_repairs_nothing),
        cmocka_unit_test(test_repair_is_lazy_and_then_does_all),
        cmocka_unit_test(test_a_repair_without_enough_sources_fetches_nothing),
        cmocka_unit_test(test_without_a_spare_domain_repair_waits_for_a_new_cell),
        cmocka_unit_test(test_the_smallest_swarm_repairs_too),
        cmocka_unit_test(test_a_leaving_cell_is_drained_and_then_may_go),
        cmocka_unit_test(test_a_cell_that_was_away_drops_what_has_moved),
        cmocka_unit_test(test_bit_rot_is_found_told_and_repaired),
        cmocka_unit_test(test_a_lying_cell_loses_trust_and_its_shards),
        cmocka_unit_test(test_proofs_of_honest_cells_cost_nothing),
        cmocka_unit_test(test_a_dead_repairers_work_is_taken_over),
        cmocka_unit_test(test_a_ticket_serves_its_repairer_alone),
        cmocka_unit_test(test_the_queue_outlives_the_coordinator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

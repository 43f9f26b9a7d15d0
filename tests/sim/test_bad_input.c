/*
 * What a swarm meets that it has not asked for: forged documents, a cell that comes back with an
 * old copy of its disk, two processes with one identity, a clock that is a year off. docs/swarm.md
 * says what becomes of each.
 */
#include "service_fixture.h"

#include "identity/delete_order.h"
#include "identity/ticket.h"
#include "sim_backup.h"
#include "wire/wire_directory.h"
#include "wire/wire_removal.h"
#include "wire/wire_repair.h"

enum { HOUR_MS = 3600000 };

static const uint64_t DAY_MS = UINT64_C(24) * HOUR_MS;

/* --- forged documents: refused, counted, and the log names the peer --- */

struct witness {
    struct log log;
    char peer[ID_TEXT_SIZE]; /* whose name has to stand in the log */
    unsigned lines;
};

static void on_log(void *context, enum log_level level, const char *line)
{
    struct witness *w = context;
    (void)level;
    w->lines += w->peer[0] && strstr(line, w->peer);
}

static int setup_witnessed(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct witness *w = calloc(1, sizeof(*w));
    w->log = (struct log){.write = on_log, .context = w, .level_max = LOG_INFO};
    f->world = sim_world_new(7);
    f->swarm = sim_swarm_new(f->world, &(struct sim_swarm_options){.cells = CELLS, .log = &w->log});
    f->owner = sim_device_new(f->swarm, 1);
    f->other = sim_device_new(f->swarm, 2);
    f->reply = BUF_INIT(16u << 20);
    f->body = BUF_INIT(16u << 20);
    *state = f;
    return 0;
}

static int teardown_witnessed(void **state)
{
    const struct fixture *f = *state;
    struct witness *w = f->swarm->options.log->context;
    teardown(state);
    free(w);
    return 0;
}

static uint64_t refused(const struct fixture *f, unsigned cell)
{
    struct cell_counters counters;
    sim_swarm_cell_counters(f->swarm, cell, &counters);
    return counters.refused_count;
}

/* The last request of `peer` at cell 0 was refused with `e`: it is counted and the log tells. */
static void assert_refused(struct fixture *f, const struct sim_node *peer, enum err e,
                           enum err expected, uint64_t before)
{
    const struct witness *w = f->swarm->options.log->context;
    (void)peer;
    assert_int_equal(e, expected);
    assert_true(refused(f, 0) > before);
    assert_true(w->lines > 0);
}

static uint64_t watch(struct fixture *f, const struct sim_node *peer)
{
    struct witness *w = f->swarm->options.log->context;
    id_format(&peer->id, w->peer);
    w->lines = 0;
    return refused(f, 0);
}

static enum err post(struct fixture *f, struct sim_node *from, const char *path, struct slice body)
{
    struct sim_cell *cell = &f->swarm->cells[0];
    return sim_ask(f->swarm, from, &cell->node->id, cell->address, NET_POST, path, body, &f->status,
                   &f->reply);
}

static enum err put_head(struct fixture *f, struct sim_node *from, struct slice head)
{
    struct sim_cell *cell = &f->swarm->cells[0];
    char path[WIRE_PATH_SIZE];
    const struct wire_path heads = {.route = WIRE_HEADS, .id = f->owner->account.account};
    buf_clear(&f->body);
    assert_int_equal(wire_heads_encode(slice_of(NULL, 0), &head, 1, &f->body), ERR_OK);
    return sim_ask(f->swarm, from, &cell->node->id, cell->address, NET_PUT,
                   wire_path_format(&heads, path), buf_slice(&f->body), &f->status, &f->reply);
}

static void test_forged_documents_are_refused_counted_and_logged(void **state)
{
    struct fixture *f = *state;
    struct buf doc = BUF_INIT(DELETE_ORDER_BYTES_MAX), body = BUF_INIT(DELETE_ORDER_BYTES_MAX);
    struct shard *s = shard_make(f->owner, 1);
    struct sim_node *thief = f->other->node, *repairer = f->swarm->cells[1].node;

    /* a grant that the device has signed itself */
    const struct grant grant = {.incarnation = 1,
                                .account = f->other->account.account,
                                .device = thief->id,
                                .cell = f->swarm->cells[0].node->id,
                                .list_number = 1,
                                .expires_s = SIM_WALL_START_NS / 1000000000 + 86400,
                                .budget_bytes = MIB(1)};
    struct shard *own = shard_make(f->other, 2);
    assert_int_equal(grant_make(&grant, &f->swarm->root, f->other->key, &doc), ERR_OK);
    uint64_t before = watch(f, thief);
    const struct put put = {own, f->other, buf_slice(&doc), 0, 0, SHARD_BYTES};
    assert_refused(f, thief, do_put(f, &put), ERR_AUTH, before);

    /* tickets: signed by nobody who may, and over */
    struct ticket ticket = {.incarnation = 1,
                            .repairer = repairer->id,
                            .segment = s->segment,
                            .account = f->owner->account.account,
                            .list_number = 1,
                            .bytes_max = 4096,
                            .expires_s = SIM_WALL_START_NS / 1000000000 + 86400,
                            .source_count = 1,
                            .sources = {{.index = 0, .cell = f->swarm->cells[0].node->id}}};
    for (int over = 0; over < 2; over++) {
        buf_clear(&doc);
        ticket.expires_s -= over ? 2 * 86400 : 0;
        assert_int_equal(ticket_make(&ticket, &f->swarm->root,
                                     over ? f->swarm->coordinator_key : f->other->key, &doc),
                         ERR_OK);
        before = watch(f, repairer);
        const enum err e = post(f, repairer, "/v1/repair", buf_slice(&doc));
        assert_refused(f, repairer, e, over ? ERR_STALE : ERR_AUTH, before);
    }

    /* a grant of the coordinator's that is over */
    struct grant old = grant;
    old.expires_s = SIM_WALL_START_NS / 1000000000 - 1;
    buf_clear(&doc);
    assert_int_equal(grant_make(&old, &f->swarm->root, f->swarm->coordinator_key, &doc), ERR_OK);
    const struct put late = {own, f->other, buf_slice(&doc), 0, 0, SHARD_BYTES};
    before = watch(f, thief);
    assert_refused(f, thief, do_put(f, &late), ERR_QUOTA, before);

    /* a delete order for somebody else's account */
    const struct deed deed = {.account = f->owner->account.account,
                              .manifest_number = f->owner->manifest_number,
                              .slot = f->owner->slot,
                              .sequence = 1};
    buf_clear(&doc);
    assert_int_equal(
        delete_order_make(&deed, false, &s->segment, 1, &f->swarm->root, f->other->key, &doc),
        ERR_OK);
    const struct wire_order order = {.kind = WIRE_ORDER_DELETE, .doc = buf_slice(&doc)};
    assert_int_equal(wire_delete_encode(&order, 1, &body), ERR_OK);
    before = watch(f, thief);
    assert_refused(f, thief, post(f, thief, wire_path_plain(WIRE_DELETE), buf_slice(&body)),
                   ERR_DENIED, before);

    /* other people's heads */
    char path[WIRE_PATH_SIZE];
    const struct wire_path heads = {.route = WIRE_HEADS, .id = f->owner->account.account};
    before = watch(f, thief);
    const enum err e =
        sim_ask(f->swarm, thief, &f->swarm->cells[0].node->id, f->swarm->cells[0].address, NET_GET,
                wire_path_format(&heads, path), slice_of(NULL, 0), &f->status, &f->reply);
    assert_refused(f, thief, e, ERR_DENIED, before);
    buf_free(&doc);
    buf_free(&body);
    free(s);
    free(own);
}

/* A shard of somebody else's, and heads: forged and old. */
static void test_foreign_reads_and_heads_are_refused_counted_and_logged(void **state)
{
    struct fixture *f = *state;
    struct buf doc = BUF_INIT(HEAD_BYTES_MAX), grant = BUF_INIT(GRANT_BYTES_MAX);
    struct shard *s = shard_make(f->owner, 1);
    struct sim_node *thief = f->other->node, *owner = f->owner->node;
    get_grant(f, f->owner, 0, MIB(1), &grant);
    const struct put put = {s, f->owner, buf_slice(&grant), 0, 0, SHARD_BYTES};
    assert_int_equal(do_put(f, &put), ERR_OK);
    uint64_t before = watch(f, thief);
    assert_refused(f, thief, do_get(f, thief, s, 0), ERR_DENIED, before);
    before = watch(f, f->swarm->cells[1].node); /* a cell without a ticket */
    assert_refused(f, thief, do_get(f, f->swarm->cells[1].node, s, 0), ERR_DENIED, before);

    /* a head in the owner's name that another device has signed */
    struct sim_device forger = *f->other;
    forger.account = f->owner->account;
    forger.slot = f->owner->slot;
    sim_device_head(&forger, 1, &doc);
    before = watch(f, owner);
    assert_refused(f, owner, put_head(f, owner, buf_slice(&doc)), ERR_DENIED, before);
    /* its own, and then the one before */
    for (uint64_t sequence = 2; sequence > 0; sequence--) {
        buf_clear(&doc);
        sim_device_head(f->owner, sequence, &doc);
        before = watch(f, owner);
        const enum err e = put_head(f, owner, buf_slice(&doc));
        if (sequence == 1)
            assert_refused(f, owner, e, ERR_STALE, before);
        else
            assert_int_equal(e, ERR_OK);
    }
    buf_free(&doc);
    buf_free(&grant);
    free(s);
}

/* --- at the coordinator --- */

static uint64_t refused_there;

static void on_counted(void *user, enum err e, const struct registry_counts *counts,
                       const struct errmsg *msg)
{
    (void)msg;
    assert_int_equal(e, ERR_OK);
    refused_there = counts->refused_count;
    *(bool *)user = true;
}

static bool is_set(void *user)
{
    return *(bool *)user;
}

static uint64_t count_refused(struct fixture *f)
{
    struct errmsg msg;
    bool done = false;
    assert_int_equal(coordinator_count(f->swarm->coordinator, on_counted, &done, &msg), ERR_OK);
    assert_int_equal(sim_world_run_until(f->world, is_set, &done, HOUR_MS), ERR_OK);
    return refused_there;
}

static void assert_coordinator_refuses(struct fixture *f, struct sim_node *from,
                                       enum wire_route route, const struct buf *body,
                                       enum err expected)
{
    struct witness *w = f->swarm->options.log->context;
    const uint64_t before = count_refused(f);
    id_format(&from->id, w->peer);
    w->lines = 0;
    assert_int_equal(sim_ask(f->swarm, from, &f->swarm->coordinator_node->id, "coordinator:1",
                             NET_POST, wire_path_plain(route), buf_slice(body), &f->status,
                             &f->reply),
                     expected);
    assert_int_equal(count_refused(f), before + 1);
    assert_true(w->lines > 0);
}

static void register_with(struct fixture *f, const struct receipt *receipt, struct sign_key *key,
                          enum err expected)
{
    struct buf doc = BUF_INIT(RECEIPT_BYTES_MAX), record = BUF_INIT(SIGNED_RECORD_BYTES_MAX);
    struct buf body = BUF_INIT(WIRE_REGISTER_BYTES);
    const struct signed_record r = {.segment = receipt->segment,
                                    .account = f->owner->account.account,
                                    .slot = f->owner->slot,
                                    .list_number = 1,
                                    .sequence = 1};
    assert_int_equal(receipt_make(receipt, &f->swarm->root, key, &doc), ERR_OK);
    assert_int_equal(signed_record_make(&r, &f->swarm->root, f->owner->key, &record), ERR_OK);
    const struct slice receipts = buf_slice(&doc);
    const struct wire_registration one = {.record = buf_slice(&record),
                                          .k = 2,
                                          .m = 1,
                                          .shard_bytes = SHARD_BYTES,
                                          .receipts = &receipts,
                                          .receipt_count = 1};
    assert_int_equal(wire_register_encode(&one, 1, &body), ERR_OK);
    if (expected != ERR_OK)
        assert_coordinator_refuses(f, f->owner->node, WIRE_SEGMENTS, &body, expected);
    else
        assert_int_equal(sim_ask(f->swarm, f->owner->node, &f->swarm->coordinator_node->id,
                                 "coordinator:1", NET_POST, wire_path_plain(WIRE_SEGMENTS),
                                 buf_slice(&body), &f->status, &f->reply),
                         ERR_OK);
    buf_free(&doc);
    buf_free(&record);
    buf_free(&body);
}

static void test_the_coordinator_refuses_counts_and_logs_what_is_forged(void **state)
{
    struct fixture *f = *state;
    struct buf body = BUF_INIT(WIRE_REPORT_BYTES), doc = BUF_INIT(DELETE_ORDER_BYTES_MAX);
    struct shard *s = shard_make(f->owner, 1);
    struct sim_node *cell = f->swarm->cells[1].node, *thief = f->other->node;

    /* receipts: of another size; and of a cell that is no member, which is left out */
    struct sign_key *stranger = sim_swarm_key(12345);
    struct receipt receipt = {.segment = s->segment,
                              .shard_bytes = SHARD_BYTES / 2,
                              .account = f->owner->account.account,
                              .list_number = 1};
    register_with(f, &receipt, f->swarm->cells[0].key, ERR_DENIED);
    receipt.shard_bytes = SHARD_BYTES;
    register_with(f, &receipt, stranger, ERR_OK);
    sign_key_free(stranger);

    /* proofs: of a ticket that nobody has given out */
    struct wire_report report = {.segment = s->segment, .outcome = WIRE_OUTCOME_DISPROVED};
    memset(report.ticket, 7, sizeof(report.ticket));
    assert_int_equal(wire_report_encode(&report, &body), ERR_OK);
    assert_coordinator_refuses(f, cell, WIRE_REPORT, &body, ERR_STALE);
    assert_coordinator_refuses(f, thief, WIRE_REPORT, &body, ERR_STALE);

    /* a deletion that somebody else has signed */
    const struct deed deed = {.account = f->owner->account.account,
                              .manifest_number = f->owner->manifest_number,
                              .slot = f->owner->slot,
                              .sequence = 1};
    assert_int_equal(
        delete_order_make(&deed, false, &s->segment, 1, &f->swarm->root, f->other->key, &doc),
        ERR_OK);
    const struct wire_order order = {.kind = WIRE_ORDER_DELETE, .doc = buf_slice(&doc)};
    buf_clear(&body);
    assert_int_equal(wire_delete_encode(&order, 1, &body), ERR_OK);
    assert_coordinator_refuses(f, thief, WIRE_DELETE, &body, ERR_DENIED);
    buf_free(&body);
    buf_free(&doc);
    free(s);
}

/* --- a whole swarm --- */

struct life {
    struct sim_world *world;
    struct sim_swarm *swarm;
    struct sim_device *device;
    struct sim_backup *backup;
};

static struct life begin(unsigned cells, const struct sim_swarm_options *more)
{
    struct life l = {.world = sim_world_new(sim_world_test_seed(5))};
    struct sim_swarm_options options = *more;
    options.cells = cells;
    options.repair_percent = 100;
    l.swarm = sim_swarm_new(l.world, &options);
    l.device = sim_device_new(l.swarm, 1);
    l.backup = sim_backup_new(l.device);
    return l;
}

static void end(struct life *l)
{
    sim_backup_free(l->backup);
    sim_device_free(l->device);
    sim_swarm_free(l->swarm);
    sim_world_free(l->world);
}

static void pass(struct life *l, uint64_t ms)
{
    assert_int_equal(sim_world_run(l->world, ms), ERR_OK);
}

static void store(struct life *l, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(sim_backup_add(l->backup, 2, 2, 4096), ERR_OK);
}

static unsigned whole(struct life *l, unsigned segment)
{
    struct sim_truth truth;
    sim_backup_truth(l->backup, segment, &truth);
    return truth.whole;
}

static void assert_all_readable(struct life *l)
{
    for (unsigned i = 0; i < l->backup->count; i++)
        assert_int_equal(sim_backup_read(l->backup, i), ERR_OK);
}

/* What the cell lacks since is found by proofs and made elsewhere; what it has still counts. */
static void test_an_old_disk_image_costs_only_what_it_lacks(void **state)
{
    (void)state;
    struct life l = begin(7, &(struct sim_swarm_options){.proof_period_ms = 2 * HOUR_MS});
    store(&l, 4);
    struct sim_node *node = l.swarm->cells[2].node;
    sim_swarm_stop_cell(l.swarm, 2, SIM_STOP);
    struct sim_disk_image *image = sim_disk_save(node);
    sim_swarm_start_cell(l.swarm, 2);
    pass(&l, HOUR_MS);
    store(&l, 8);
    sim_swarm_stop_cell(l.swarm, 2, SIM_STOP);
    sim_disk_load(node, image);
    sim_disk_image_free(image);
    sim_swarm_start_cell(l.swarm, 2);
    assert_all_readable(&l);
    pass(&l, 12 * DAY_MS);
    for (unsigned i = 0; i < l.backup->count; i++)
        assert_int_equal(whole(&l, i), 4);
    assert_all_readable(&l);
    end(&l);
}

/* A copy of the machine is started beside it: whichever answers, nothing is lost, nothing is stored
   under the same name twice and then missed, and when the copy is gone all is as before. */
static void test_two_processes_with_one_identity_lose_nothing(void **state)
{
    (void)state;
    struct life l = begin(7, &(struct sim_swarm_options){.proof_period_ms = 2 * HOUR_MS});
    struct sim_cell *twin = &l.swarm->cells[7], *cell = &l.swarm->cells[3];
    store(&l, 6);
    sim_swarm_stop_cell(l.swarm, 3, SIM_STOP);
    struct sim_disk_image *image = sim_disk_save(cell->node);
    sim_swarm_start_cell(l.swarm, 3);
    *twin = (struct sim_cell){
        .swarm = l.swarm, .key = cell->key, .shape = cell->shape, .was_member = true};
    snprintf(twin->address, sizeof(twin->address), "twin:1");
    twin->node = sim_swarm_node(l.swarm, "twin", twin->key, twin->address);
    sim_disk_load(twin->node, image);
    sim_disk_image_free(image);
    sim_swarm_start_cell(l.swarm, 7);
    pass(&l, DAY_MS);
    store(&l, 6);
    pass(&l, 4 * DAY_MS);
    assert_all_readable(&l);
    sim_swarm_stop_cell(l.swarm, 7, SIM_STOP);
    pass(&l, 12 * DAY_MS);
    for (unsigned i = 0; i < l.backup->count; i++)
        assert_int_equal(whole(&l, i), 4);
    assert_all_readable(&l);
    end(&l);
}

/* Time is what the newest signed list says and what has passed since: a cell's own clock ends no
   grant, no ticket and no hold. */
static void test_a_clock_that_is_a_year_off_changes_nothing(void **state)
{
    (void)state;
    struct life l =
        begin(6, &(struct sim_swarm_options){
                     .proof_period_ms = 2 * HOUR_MS, .hold_s = 3 * 86400, .gone_after_ms = DAY_MS});
    store(&l, 4);
    for (unsigned i = 0; i < 6; i++)
        sim_node_clock_jump(l.swarm->cells[i].node, (i % 2 ? 1 : -1) * 365 * (int64_t)DAY_MS);
    store(&l, 4);
    assert_int_equal(sim_backup_delete(l.backup, 0, 1), ERR_OK);
    pass(&l, 2 * DAY_MS);
    assert_int_equal(whole(&l, 0), 4); /* held */
    for (unsigned i = 0; i < 6; i += 2) {
        sim_swarm_stop_cell(l.swarm, i, SIM_POWER);
        sim_swarm_start_cell(l.swarm, i);
    }
    pass(&l, HOUR_MS);
    assert_int_equal(whole(&l, 0), 4);
    pass(&l, 2 * DAY_MS);
    assert_int_equal(whole(&l, 0), 0);
    for (unsigned i = 1; i < l.backup->count; i++)
        assert_int_equal(whole(&l, i), 4);
    /* repairs go on by the same time */
    sim_swarm_stop_cell(l.swarm, 1, SIM_KILL);
    pass(&l, 2 * DAY_MS);
    for (unsigned i = 1; i < l.backup->count; i++)
        assert_int_equal(whole(&l, i), 4);
    end(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_forged_documents_are_refused_counted_and_logged,
                                        setup_witnessed, teardown_witnessed),
        cmocka_unit_test_setup_teardown(test_foreign_reads_and_heads_are_refused_counted_and_logged,
                                        setup_witnessed, teardown_witnessed),
        cmocka_unit_test_setup_teardown(test_the_coordinator_refuses_counts_and_logs_what_is_forged,
                                        setup_witnessed, teardown_witnessed),
        cmocka_unit_test(test_an_old_disk_image_costs_only_what_it_lacks),
        cmocka_unit_test(test_two_processes_with_one_identity_lose_nothing),
        cmocka_unit_test(test_a_clock_that_is_a_year_off_changes_nothing),
    };
    return cmocka_run_group_tests_name("sim/bad_input", tests, NULL, NULL);
}

/* swarm_upload: where shards go, what happens when cells fail, and what counts as stored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "swarm_play.h"

#include <stdlib.h>

#define OK(call) assert_int_equal(call, ERR_OK)

static unsigned cells_used(const struct play *play)
{
    unsigned used = 0;
    for (unsigned i = 0; i < play->cell_count; i++)
        used += play->cells[i].stored_count > 0;
    return used;
}

/* Each receipted shard really rests where it was told, byte for byte. */
static void assert_stored(struct play *play, const struct play_segment *segment,
                          const struct play_upload *upload)
{
    for (unsigned i = 0; i < segment->n; i++) {
        struct play_stored *stored = NULL;
        if (id_is_zero(&upload->cells[i]))
            continue;
        for (unsigned c = 0; c < play->cell_count; c++)
            if (id_equal(&play->cells[c].id, &upload->cells[i]))
                stored = play_find(&play->cells[c], &segment->id, i);
        assert_non_null(stored);
        assert_true(slice_equal(buf_slice(&stored->bytes), segment->shards[i]));
    }
}

static struct play_cell *cell_of(struct play *play, const struct id *id)
{
    for (unsigned i = 0; i < play->cell_count; i++)
        if (id_equal(&play->cells[i].id, id))
            return &play->cells[i];
    fail();
    return NULL;
}

/* The cell that the placement names for shard `index` when all are well. */
static struct play_cell *planned(struct play *play, const struct play_segment *segment,
                                 unsigned index)
{
    struct placement_cell cells[PLAY_CELLS_MAX];
    struct placement_group group;
    struct placement_plan plan;
    for (unsigned i = 0; i < play->cell_count; i++)
        cells[i] = (struct placement_cell){
            .id = play->cells[i].id, .household = play->cells[i].household, .weight = 100};
    placement_group_pick(cells, play->cell_count, &play->account, 0, &group);
    placement_plan(&group, &segment->id, segment->n, NULL, &plan);
    assert_int_not_equal(plan.cells[index], PLACEMENT_NONE);
    return cell_of(play, &group.cells[plan.cells[index]].id);
}

static void test_upload_puts_every_shard_on_its_own_cell(void **state)
{
    (void)state;
    struct play play;
    struct play_segment segment;
    struct play_upload upload;
    play_new(&play, sim_world_test_seed(1), 8);
    play_open(&play, true, true);
    play_segment_new(&play, &segment, 4, 2, 200 * 1024);
    play_upload(&play, &segment, &upload);
    OK(upload.end.e);
    assert_int_equal(upload.result.receipted, 6);
    assert_int_equal(upload.result.owed, 0);
    assert_int_equal(upload.receipts, 6);
    assert_int_equal(upload.result.retries, 0);
    assert_int_equal(upload.result.sent_bytes, 6 * 200 * 1024);
    assert_int_equal(cells_used(&play), 6);
    assert_int_equal(play.places, 1); /* one question for all grants */
    assert_stored(&play, &segment, &upload);
    for (unsigned i = 0; i < segment.n; i++)
        assert_ptr_equal(cell_of(&play, &upload.cells[i]), planned(&play, &segment, i));
    play_segment_free(&segment);
    play_free(&play);
}

static void test_upload_goes_to_a_spare_when_a_cell_is_gone_or_full(void **state)
{
    (void)state;
    struct play play;
    struct play_segment segment;
    struct play_upload upload;
    play_new(&play, sim_world_test_seed(2), 8);
    play_open(&play, true, true);
    play_segment_new(&play, &segment, 4, 2, 64 * 1024);
    struct play_cell *gone = planned(&play, &segment, 0), *full = planned(&play, &segment, 3);
    sim_node_crash(gone->node, SIM_KILL);
    full->full = true;
    play_upload(&play, &segment, &upload);
    OK(upload.end.e);
    assert_int_equal(upload.result.receipted, 6);
    assert_true(upload.result.retries >= 2);
    assert_int_equal(full->stored_count, 0);
    assert_int_equal(full->puts, 1);
    assert_stored(&play, &segment, &upload);

    /* both are remembered: the next segment does not try them */
    struct play_segment next;
    play_segment_new(&play, &next, 4, 2, 64 * 1024);
    play_upload(&play, &next, &upload);
    OK(upload.end.e);
    assert_int_equal(upload.result.receipted, 6);
    assert_int_equal(full->puts, 1);
    play_segment_free(&next);
    play_segment_free(&segment);
    play_free(&play);
}

static void test_upload_commits_with_debts_when_there_are_no_spares(void **state)
{
    (void)state;
    struct play play;
    struct play_segment segment;
    struct play_upload upload;
    play_new(&play, sim_world_test_seed(3), 6);
    play_open(&play, true, true);
    play_segment_new(&play, &segment, 4, 2, 64 * 1024);
    sim_node_crash(play.cells[2].node, SIM_KILL);
    play_upload(&play, &segment, &upload);
    OK(upload.end.e); /* 4 + 1 of 6 */
    assert_int_equal(upload.result.receipted, 5);
    assert_int_equal(upload.result.owed, 1);
    assert_int_equal(upload.receipts, 5);
    play_segment_free(&segment);
    play_free(&play);
}

static void test_upload_below_commitment_is_not_enough(void **state)
{
    (void)state;
    struct play play;
    struct play_segment segment;
    struct play_upload upload;
    play_new(&play, sim_world_test_seed(4), 6);
    play_open(&play, true, true);
    play_segment_new(&play, &segment, 4, 2, 64 * 1024);
    play.cells[0].full = play.cells[1].full = true;
    play_upload(&play, &segment, &upload);
    assert_int_equal(upload.end.e, ERR_NOT_ENOUGH);
    assert_int_equal(upload.result.receipted, 4);
    assert_int_equal(upload.result.owed, 2);
    assert_non_null(strstr(upload.end.msg.text, "only 4 of the 5 cells"));
    play_segment_free(&segment);
    play_free(&play);
}

/* Two cells of one household, and two at one site: never two shards with them. */
static void test_upload_keeps_to_failure_domains_with_spares_too(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 12; round++) {
        struct play play;
        struct play_segment segment;
        struct play_upload upload;
        play_new(&play, sim_world_test_seed(5) + round, 9);
        memset(play.cells[0].household.bytes, 7, ID_SIZE);
        play.cells[1].household = play.cells[2].household = play.cells[0].household;
        play.cells[0].claimed = play.cells[1].claimed = play.cells[2].claimed = true;
        play.cells[3].site = play.cells[4].site = 2;
        play_sign_list(&play);
        play_open(&play, true, true);
        play_segment_new(&play, &segment, 3, 2, 8192);
        for (unsigned i = 0; i < 2; i++)
            play.cells[sim_world_below(play.world, play.cell_count)].full = true;
        play_upload(&play, &segment, &upload);
        OK(upload.end.e);
        unsigned household = 0, site = 0;
        for (unsigned i = 0; i < 3; i++)
            household += play.cells[i].stored_count > 0;
        for (unsigned i = 3; i < 5; i++)
            site += play.cells[i].stored_count > 0;
        assert_true(household <= 1);
        assert_true(site <= 1);
        assert_stored(&play, &segment, &upload);
        play_segment_free(&segment);
        play_free(&play);
    }
}

static void test_upload_gives_own_cells_nothing(void **state)
{
    (void)state;
    struct play play;
    struct play_segment segment;
    struct play_upload upload;
    play_new(&play, sim_world_test_seed(6), 4);
    play.cells[1].household = play.account;
    play.cells[1].claimed = true;
    play_sign_list(&play);
    play_open(&play, true, true);
    play_segment_new(&play, &segment, 1, 2, 4096);
    play_upload(&play, &segment, &upload);
    OK(upload.end.e);
    assert_int_equal(upload.result.receipted, 3);
    assert_int_equal(play.cells[1].puts, 0);
    play_segment_free(&segment);
    play_free(&play);
}

static void test_upload_gets_past_a_slow_cell(void **state)
{
    (void)state;
    struct play play;
    struct play_segment first, segment;
    struct play_upload upload;
    play_new(&play, sim_world_test_seed(7), 8);
    play_open(&play, true, true);
    play_segment_new(&play, &first, 4, 2, 256 * 1024);
    play_upload(&play, &first, &upload); /* so that it is known what is usual */
    OK(upload.end.e);
    play_segment_new(&play, &segment, 4, 2, 256 * 1024);
    struct play_cell *slow = planned(&play, &segment, 1);
    sim_net_set_line(slow->node, &(struct sim_line){.latency_us = 500, .down_bytes_s = 4096});
    const uint64_t start_ms = sim_world_now_ms(play.world);
    play_upload(&play, &segment, &upload);
    OK(upload.end.e);
    assert_int_equal(upload.result.receipted, 6);
    assert_true(sim_world_now_ms(play.world) - start_ms < 10000); /* alone it takes 64 s */
    assert_ptr_not_equal(cell_of(&play, &upload.cells[1]), slow);
    assert_stored(&play, &segment, &upload);
    /* and the next segment does not even try it: there are others */
    const unsigned puts = slow->puts;
    play_upload(&play, &first, &upload);
    OK(upload.end.e);
    assert_int_equal(upload.result.receipted, 6);
    assert_int_equal(slow->puts, puts);
    play_segment_free(&first);
    play_segment_free(&segment);
    play_free(&play);
}

/* Without a spare the tail is waited for while it moves, then left: one cell at a crawl must not
   hold a backup for ever. */
static void test_upload_leaves_a_crawling_cell_behind(void **state)
{
    (void)state;
    struct play play;
    struct play_segment first, segment;
    struct play_upload upload;
    play_new(&play, sim_world_test_seed(8), 6);
    play_open(&play, true, true);
    play_segment_new(&play, &first, 4, 2, 256 * 1024);
    play_upload(&play, &first, &upload);
    OK(upload.end.e);
    play_segment_new(&play, &segment, 4, 2, 256 * 1024);
    sim_net_set_line(play.cells[0].node,
                     &(struct sim_line){.latency_us = 500, .down_bytes_s = 600});
    play_upload(&play, &segment, &upload);
    OK(upload.end.e);
    assert_int_equal(upload.result.receipted, 5);
    assert_int_equal(upload.result.owed, 1);
    play_segment_free(&first);
    play_segment_free(&segment);
    play_free(&play);
}

static void test_upload_waits_for_a_busy_cell(void **state)
{
    (void)state;
    struct play play;
    struct play_segment segment;
    struct play_upload upload;
    play_new(&play, sim_world_test_seed(9), 3);
    play_open(&play, true, true);
    play_segment_new(&play, &segment, 1, 2, 4096);
    play.cells[1].busy = 3;
    play_upload(&play, &segment, &upload);
    OK(upload.end.e);
    assert_int_equal(upload.result.receipted, 3);
    assert_int_equal(play.cells[1].puts, 4);
    play_segment_free(&segment);
    play_free(&play);
}

static void test_upload_asks_for_another_grant_when_one_is_refused(void **state)
{
    (void)state;
    struct play play;
    struct play_segment segment;
    struct play_upload upload;
    play_new(&play, sim_world_test_seed(10), 3);
    play_open(&play, true, true);
    play_segment_new(&play, &segment, 1, 2, 4096);
    play.cells[1].refuses = 1;
    play.cells[2].refuses = 100;
    play_upload(&play, &segment, &upload);
    OK(upload.end.e);
    assert_int_equal(upload.result.receipted, 2);
    assert_int_equal(play.cells[1].puts, 2);
    assert_int_equal(play.cells[2].puts, 2); /* a second grant, and no third */
    play_segment_free(&segment);
    play_free(&play);
}

static void test_upload_spends_grants_and_asks_again(void **state)
{
    (void)state;
    struct play play;
    struct play_upload upload;
    play_new(&play, sim_world_test_seed(11), 3);
    play.grant_bytes = 8192; /* two shards each */
    play_open(&play, true, true);
    for (unsigned i = 0; i < 5; i++) {
        struct play_segment segment;
        play_segment_new(&play, &segment, 1, 2, 4096);
        play_upload(&play, &segment, &upload);
        OK(upload.end.e);
        assert_int_equal(upload.result.receipted, 3);
        play_segment_free(&segment);
    }
    assert_int_equal(play.places, 3);
    play_free(&play);
}

static void test_upload_goes_on_without_a_coordinator_under_saved_grants(void **state)
{
    (void)state;
    struct play play;
    struct play_segment segment;
    struct play_upload upload;
    struct play_end end = {0};
    struct errmsg msg;
    struct buf saved = BUF_INIT(1 << 20);
    play_new(&play, sim_world_test_seed(12), 6);
    play_open(&play, true, true);
    OK(swarm_grants_ask(play.swarm, 1 << 20, play_done, &end, &msg));
    play_wait(&play, &end, 60000);
    OK(end.e);
    OK(swarm_grants_save(play.swarm, &saved));
    play_close(&play);

    sim_node_crash(play.coordinator, SIM_POWER);
    play_open(&play, true, false);
    play_segment_new(&play, &segment, 4, 2, 64 * 1024);
    play_upload(&play, &segment, &upload); /* nothing to show: nobody gives anything */
    assert_int_equal(upload.end.e, ERR_NOT_ENOUGH);
    assert_non_null(strstr(upload.end.msg.text, "coordinator"));
    assert_int_equal(play.cells[0].puts, 0);
    play_close(&play);

    play_open(&play, true, false);
    OK(swarm_grants_load(play.swarm, buf_slice(&saved)));
    play_upload(&play, &segment, &upload);
    OK(upload.end.e);
    assert_int_equal(upload.result.receipted, 6);

    /* bytes that are not ours do no harm */
    for (size_t size = 0; size < saved.size; size++)
        assert_int_not_equal(swarm_grants_load(play.swarm, slice_of(saved.data, size)), ERR_OK);
    buf_free(&saved);
    play_segment_free(&segment);
    play_free(&play);
}

static void test_upload_believes_no_forged_receipt(void **state)
{
    (void)state;
    struct play play;
    struct play_segment segment;
    struct play_upload upload;
    play_new(&play, sim_world_test_seed(13), 6);
    play_open(&play, true, true);
    play_segment_new(&play, &segment, 4, 2, 4096);
    play.cells[3].forges_receipts = true;
    play_upload(&play, &segment, &upload);
    OK(upload.end.e);
    assert_int_equal(upload.result.receipted, 5);
    for (unsigned i = 0; i < 6; i++)
        assert_false(id_equal(&upload.cells[i], &play.cells[3].id));
    play_segment_free(&segment);
    play_free(&play);
}

/* Paying a debt: one shard is sent, away from the domains of those that rest. */
static void test_upload_sends_only_what_is_missing(void **state)
{
    (void)state;
    struct play play;
    struct play_segment segment;
    struct play_upload upload, again;
    play_new(&play, sim_world_test_seed(14), 7);
    play_open(&play, true, true);
    play_segment_new(&play, &segment, 4, 2, 4096);
    play_upload(&play, &segment, &upload);
    OK(upload.end.e);
    struct slice shards[6] = {{0}};
    struct id stored[6];
    memcpy(stored, upload.cells, sizeof(stored));
    shards[5] = segment.shards[5];
    memset(&stored[5], 0, sizeof(stored[5]));
    cell_of(&play, &upload.cells[5])->full = true; /* it lost the shard and has no room */
    play_upload_start(&play, &segment,
                      &(struct swarm_upload_request){.shards = shards, .stored = stored}, &again);
    play_wait(&play, &again.end, 60000);
    OK(again.end.e);
    assert_int_equal(again.receipts, 1);
    assert_int_equal(again.result.receipted, 6);
    for (unsigned i = 0; i < 5; i++)
        assert_false(id_equal(&again.cells[5], &upload.cells[i]));
    assert_false(id_is_zero(&again.cells[5]));
    play_segment_free(&segment);
    play_free(&play);
}

static void test_upload_many_at_once_and_within_the_cells_limits(void **state)
{
    (void)state;
    enum { MANY = 24 };
    struct play play;
    struct play_segment segments[MANY];
    static struct play_upload uploads[MANY];
    play_new(&play, sim_world_test_seed(15), 8);
    play_open(&play, true, true);
    for (unsigned i = 0; i < MANY; i++) {
        play_segment_new(&play, &segments[i], 4, 2, 64 * 1024);
        play_upload_start(&play, &segments[i], NULL, &uploads[i]);
    }
    unsigned most = 0;
    for (unsigned i = 0; i < MANY; i++) {
        while (!uploads[i].end.done) {
            struct sim_net_counters counters;
            OK(sim_world_step(play.world));
            for (unsigned c = 0; c < play.cell_count; c++) {
                sim_net_counters(play.cells[c].node, &counters);
                if (counters.exchanges_now > most)
                    most = counters.exchanges_now;
            }
        }
        OK(uploads[i].end.e);
        assert_int_equal(uploads[i].result.receipted, 6);
        assert_stored(&play, &segments[i], &uploads[i]);
    }
    assert_true(most > 1 && most <= SWARM_CELL_UPLOADS);
    assert_int_equal(play.places, 1);
    for (unsigned i = 0; i < MANY; i++)
        play_segment_free(&segments[i]);
    play_free(&play);
}

/* Wherever it is cancelled, it ends once, and everything is free afterwards (ASan). */
static void test_upload_can_be_cancelled_at_any_moment(void **state)
{
    (void)state;
    for (unsigned steps = 0;; steps += 3) {
        struct play play;
        struct play_segment segment;
        struct play_upload upload;
        play_new(&play, sim_world_test_seed(16), 7);
        play_open(&play, true, true);
        play.cells[0].busy = 1;
        play.cells[1].full = true;
        play_segment_new(&play, &segment, 4, 2, 64 * 1024);
        play_upload_start(&play, &segment, NULL, &upload);
        for (unsigned i = 0; i < steps && !upload.end.done; i++)
            OK(sim_world_step(play.world));
        const bool ended = upload.end.done;
        if (!ended) {
            swarm_upload_cancel(upload.upload);
            assert_false(upload.end.done);
            swarm_upload_cancel(upload.upload); /* twice does no harm */
            play_wait(&play, &upload.end, 60000);
            assert_int_equal(upload.end.e, ERR_CANCELLED);
        }
        play_segment_free(&segment);
        play_free(&play);
        if (ended)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upload_puts_every_shard_on_its_own_cell),
        cmocka_unit_test(test_upload_goes_to_a_spare_when_a_cell_is_gone_or_full),
        cmocka_unit_test(test_upload_commits_with_debts_when_there_are_no_spares),
        cmocka_unit_test(test_upload_below_commitment_is_not_enough),
        cmocka_unit_test(test_upload_keeps_to_failure_domains_with_spares_too),
        cmocka_unit_test(test_upload_gives_own_cells_nothing),
        cmocka_unit_test(test_upload_gets_past_a_slow_cell),
        cmocka_unit_test(test_upload_leaves_a_crawling_cell_behind),
        cmocka_unit_test(test_upload_waits_for_a_busy_cell),
        cmocka_unit_test(test_upload_asks_for_another_grant_when_one_is_refused),
        cmocka_unit_test(test_upload_spends_grants_and_asks_again),
        cmocka_unit_test(test_upload_goes_on_without_a_coordinator_under_saved_grants),
        cmocka_unit_test(test_upload_believes_no_forged_receipt),
        cmocka_unit_test(test_upload_sends_only_what_is_missing),
        cmocka_unit_test(test_upload_many_at_once_and_within_the_cells_limits),
        cmocka_unit_test(test_upload_can_be_cancelled_at_any_moment),
    };
    return cmocka_run_group_tests_name("swarm upload", tests, NULL, NULL);
}

/* swarm: lists, states, surveys, grants, heads, questions to cells and directory, joining. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "swarm_play.h"

#include "identity/claim.h"
#include "swarm/swarm_directory.h"
#include "swarm/swarm_have.h"
#include "swarm/swarm_heads.h"
#include "swarm/swarm_join.h"

#include <stdlib.h>

#define OK(call) assert_int_equal(call, ERR_OK)

static enum err refresh(struct play *play)
{
    struct play_end end = {0};
    OK(swarm_refresh(play->swarm, play_done, &end, NULL));
    assert_int_equal(swarm_refresh(play->swarm, play_done, &end, NULL), ERR_BUSY);
    play_wait(play, &end, 120000);
    return end.e;
}

/* ---- refresh ---- */

static void test_refresh_brings_list_and_states(void **state)
{
    (void)state;
    struct play play;
    struct swarm_member member;
    play_new(&play, sim_world_test_seed(1), 5);
    play_open(&play, false, false);
    assert_int_equal(swarm_list_number(play.swarm), 0);
    assert_int_equal(swarm_list_bytes(play.swarm).size, 0);
    play.cells[2].state = WIRE_CELL_ASLEEP;
    OK(refresh(&play));
    assert_true(swarm_coordinator_up(play.swarm));
    assert_int_equal(swarm_list_number(play.swarm), play.list_number);
    assert_true(slice_equal(swarm_list_bytes(play.swarm), buf_slice(&play.members)));
    assert_int_equal(swarm_member_count(play.swarm), 5);
    OK(swarm_member_find(play.swarm, &play.cells[2].id, &member));
    assert_int_equal(member.state, WIRE_CELL_ASLEEP);
    assert_int_equal(member.free_bytes, 1002);
    assert_int_equal(swarm_member_find(play.swarm, &play.account, &member), ERR_NOT_FOUND);

    /* a newer one takes its place; nothing is asked for twice when nothing is new */
    play.cells[3].ineligible = true;
    play_sign_list(&play);
    OK(refresh(&play));
    OK(swarm_member_find(play.swarm, &play.cells[3].id, &member));
    assert_false(member.eligible);
    OK(swarm_member_find(play.swarm, &play.cells[2].id, &member));
    assert_int_equal(member.state, WIRE_CELL_ASLEEP);
    const unsigned lists = play.lists;
    OK(refresh(&play));
    assert_int_equal(play.lists, lists + 1);
    play_free(&play);
}

static void test_refresh_goes_to_cells_when_the_coordinator_is_gone(void **state)
{
    (void)state;
    struct play play;
    struct buf old = BUF_INIT(1 << 20);
    play_new(&play, sim_world_test_seed(2), 5);
    OK(buf_append(&old, play.members.data, play.members.size));
    play_open(&play, true, false); /* with the old list */
    play_sign_list(&play);         /* the cells have a newer one */
    sim_node_crash(play.coordinator, SIM_KILL);
    OK(refresh(&play));
    assert_false(swarm_coordinator_up(play.swarm));
    assert_int_equal(swarm_list_number(play.swarm), play.list_number);

    /* cells that were set back do not set us back */
    buf_clear(&play.members);
    OK(buf_append(&play.members, old.data, old.size));
    OK(refresh(&play));
    assert_int_equal(swarm_list_number(play.swarm), play.list_number);

    /* nor do they sell us a list that is none */
    play.members.data[play.members.size / 2] ^= 1;
    OK(refresh(&play));
    assert_int_equal(swarm_list_number(play.swarm), play.list_number);
    buf_free(&old);
    play_free(&play);
}

static void test_refresh_without_anybody_fails(void **state)
{
    (void)state;
    struct play play;
    struct errmsg msg;
    struct play_end end = {0};
    play_new(&play, sim_world_test_seed(3), 2);
    sim_node_crash(play.coordinator, SIM_KILL);
    play_open(&play, false, false);
    OK(swarm_refresh(play.swarm, play_done, &end, &msg));
    play_wait(&play, &end, 120000);
    assert_int_equal(end.e, ERR_UNREACHABLE);
    assert_non_null(strstr(end.msg.text, "the coordinator"));
    struct play_segment segment;
    play_segment_new(&play, &segment, 1, 1, 4096);
    assert_int_equal(
        swarm_upload_start(play.swarm,
                           &(struct swarm_upload_request){.k = 1, .m = 1, .shards = segment.shards},
                           NULL, NULL, NULL, NULL, &msg),
        ERR_STATE);
    play_segment_free(&segment);
    play_free(&play);
}

static void test_open_leaves_out_a_list_that_does_not_verify(void **state)
{
    (void)state;
    struct play play;
    play_new(&play, sim_world_test_seed(4), 3);
    play.members.data[play.members.size - 1] ^= 1;
    play_open(&play, true, false);
    assert_int_equal(swarm_list_number(play.swarm), 0);
    play_free(&play);
}

/* ---- survey ---- */

static void test_survey_counts_what_can_take_shards(void **state)
{
    (void)state;
    struct play play;
    struct swarm_survey survey;
    struct errmsg msg;
    play_new(&play, sim_world_test_seed(5), 8);
    play.cells[0].household = play.account;
    play.cells[0].claimed = true;
    play.cells[2].household = play.cells[1].household;
    play.cells[2].claimed = true;
    play.cells[3].ineligible = true;
    play_sign_list(&play);
    play.cells[4].state = WIRE_CELL_ASLEEP;
    play.cells[5].state = WIRE_CELL_LEAVING;
    play_open(&play, true, true);
    swarm_survey(play.swarm, &survey);
    assert_int_equal(survey.members, 8);
    assert_int_equal(survey.own, 1);
    assert_int_equal(survey.cells, 6);      /* 1 2 4 5 6 7 */
    assert_int_equal(survey.domains, 5);    /* 1 and 2 are one */
    assert_int_equal(survey.cells_up, 4);   /* 1 2 6 7 */
    assert_int_equal(survey.domains_up, 3); /* so that 2+2 (3) can be, 2+3 (4) cannot */
    OK(swarm_enough(play.swarm, 2, 2, &msg));
    assert_int_equal(swarm_enough(play.swarm, 2, 3, &msg), ERR_NOT_ENOUGH);
    assert_non_null(strstr(msg.text, "only 3 cells"));
    assert_non_null(strstr(msg.text, "2+3 needs 4"));
    play_free(&play);
}

/* ---- have, names, one segment ---- */

struct answers {
    struct play_end end;
    struct swarm_have_result result;
    unsigned held, damaged, cells, failed, names;
    struct id last;
    uint8_t last_index;
    bool rises;
};

static void held(void *user, const struct id *cell, const struct wire_held *what)
{
    (void)cell;
    struct answers *answers = user;
    answers->held += what->state == WIRE_SHARD_STORED;
    answers->damaged += what->state == WIRE_SHARD_DAMAGED;
}

static void cell_answered(void *user, const struct id *cell, enum err e)
{
    (void)cell;
    struct answers *answers = user;
    answers->cells++;
    answers->failed += e != ERR_OK;
}

static void have_done(void *user, enum err e, const struct swarm_have_result *result,
                      const struct errmsg *msg)
{
    struct answers *answers = user;
    answers->result = *result;
    play_done(&answers->end, e, msg);
}

static void test_have_asks_all_members(void **state)
{
    (void)state;
    struct play play;
    struct play_segment segments[2];
    struct swarm_holder holders[8];
    struct answers answers = {0};
    play_new(&play, sim_world_test_seed(6), 6);
    play_open(&play, true, true);
    for (unsigned i = 0; i < 2; i++) {
        play_segment_new(&play, &segments[i], 2, 2, 4096);
        play_store(&play, &segments[i], holders);
    }
    play_find(&play.cells[1], &segments[1].id, 1)->damaged = true;
    sim_node_crash(play.cells[3].node, SIM_KILL);
    const struct id ids[] = {segments[0].id, segments[1].id};
    OK(swarm_have_start(play.swarm,
                        &(struct swarm_have_request){.segments = ids,
                                                     .segment_count = 2,
                                                     .held = held,
                                                     .cell = cell_answered,
                                                     .done = have_done,
                                                     .user = &answers},
                        NULL, NULL));
    play_wait(&play, &answers.end, 60000);
    OK(answers.end.e);
    assert_int_equal(answers.held, 5); /* of 8: two rest on the dead cell, one is damaged */
    assert_int_equal(answers.damaged, 1);
    assert_int_equal(answers.result.asked, 6);
    assert_int_equal(answers.result.answered, 5);
    assert_int_equal(answers.cells, 6);
    assert_int_equal(answers.failed, 1);

    struct answers cancelled = {0};
    struct swarm_have *have;
    OK(swarm_have_start(play.swarm,
                        &(struct swarm_have_request){.segments = ids,
                                                     .segment_count = 2,
                                                     .held = held,
                                                     .done = have_done,
                                                     .user = &cancelled},
                        &have, NULL));
    swarm_have_cancel(have);
    play_wait(&play, &cancelled.end, 60000);
    assert_int_equal(cancelled.end.e, ERR_CANCELLED);
    assert_int_equal(cancelled.held, 0);
    play_segment_free(&segments[0]);
    play_segment_free(&segments[1]);
    play_free(&play);
}

static void name(void *user, const struct wire_shard_name *shard)
{
    struct answers *answers = user;
    const int order = id_compare(&shard->segment, &answers->last);
    if (answers->names > 0 && (order < 0 || (order == 0 && shard->index <= answers->last_index)))
        answers->rises = false;
    answers->names++;
    answers->last = shard->segment;
    answers->last_index = shard->index;
}

static void names_done(void *user, enum err e, const struct errmsg *msg)
{
    play_done(&((struct answers *)user)->end, e, msg);
}

static void test_names_come_in_pieces_and_rise(void **state)
{
    (void)state;
    struct play play;
    struct play_segment segments[5];
    struct swarm_holder holders[8];
    play_new(&play, sim_world_test_seed(7), 2);
    play_open(&play, true, true);
    for (unsigned i = 0; i < 5; i++) {
        play_segment_new(&play, &segments[i], 1, 1, 4096);
        play_store(&play, &segments[i], holders);
    }
    struct answers answers = {.rises = true};
    OK(swarm_names_start(play.swarm, &play.cells[1].id, &play.account, name, names_done, &answers,
                         NULL, NULL));
    play_wait(&play, &answers.end, 60000);
    OK(answers.end.e);
    assert_int_equal(answers.names, 5);
    assert_true(answers.rises);

    /* a cell that goes round in circles is left */
    struct answers liar = {.rises = true};
    play.cells[1].lies = true;
    OK(swarm_names_start(play.swarm, &play.cells[1].id, &play.account, name, names_done, &liar,
                         NULL, NULL));
    play_wait(&play, &liar.end, 60000);
    assert_int_equal(liar.end.e, ERR_PEER);

    struct answers cancelled = {0};
    struct swarm_names *names;
    OK(swarm_names_start(play.swarm, &play.cells[1].id, &play.account, name, names_done, &cancelled,
                         &names, NULL));
    swarm_names_cancel(names);
    play_wait(&play, &cancelled.end, 60000);
    assert_int_equal(cancelled.end.e, ERR_CANCELLED);
    for (unsigned i = 0; i < 5; i++)
        play_segment_free(&segments[i]);
    play_free(&play);
}

static void segment_told(void *user, enum err e, const struct wire_segment *segment,
                         const struct errmsg *msg)
{
    struct answers *answers = user;
    answers->held = segment ? segment->held_count : 0;
    answers->last_index = segment ? segment->held[0] : 0;
    play_done(&answers->end, e, msg);
}

static void test_segment_of_a_cell_has_the_header_that_its_name_says(void **state)
{
    (void)state;
    struct play play;
    struct play_segment segment;
    struct swarm_holder holders[8];
    struct answers answers = {0}, liar = {0}, missing = {0};
    play_new(&play, sim_world_test_seed(8), 3);
    play_open(&play, true, true);
    play_segment_new(&play, &segment, 1, 1, 4096);
    play_store(&play, &segment, holders);
    OK(swarm_segment_ask(play.swarm, &play.cells[1].id, &segment.id, segment_told, &answers, NULL));
    play_wait(&play, &answers.end, 60000);
    OK(answers.end.e);
    assert_int_equal(answers.held, 1);
    assert_int_equal(answers.last_index, 1);
    OK(swarm_segment_ask(play.swarm, &play.cells[2].id, &segment.id, segment_told, &missing, NULL));
    play_wait(&play, &missing.end, 60000);
    assert_int_equal(missing.end.e, ERR_NOT_FOUND);
    play.cells[1].lies = true;
    OK(swarm_segment_ask(play.swarm, &play.cells[1].id, &segment.id, segment_told, &liar, NULL));
    play_wait(&play, &liar.end, 60000);
    assert_int_equal(liar.end.e, ERR_PEER);
    play_segment_free(&segment);
    play_free(&play);
}

/* ---- heads ---- */

struct heads {
    struct play_end end;
    struct swarm_heads_result result;
    unsigned told, heads, newer;
};

static void heads_told(void *user, const struct id *peer, struct wire_heads *what)
{
    (void)peer;
    struct heads *heads = user;
    struct slice head;
    heads->told++;
    while (wire_heads_next(&what->list, &head))
        heads->heads += slice_equal(head, slice_text("a head"));
}

static void newer_told(void *user, const struct id *peer, struct slice document)
{
    (void)peer;
    ((struct heads *)user)->newer += slice_equal(document, slice_text("a newer head"));
}

static void heads_done(void *user, enum err e, const struct swarm_heads_result *result,
                       const struct errmsg *msg)
{
    struct heads *heads = user;
    heads->result = *result;
    play_done(&heads->end, e, msg);
}

static void put_heads(struct play *play, unsigned losses, struct heads *out)
{
    static const char head[] = "a head";
    const struct slice document = slice_of(head, sizeof(head) - 1);
    memset(out, 0, sizeof(*out));
    OK(swarm_heads_put(play->swarm,
                       &(struct swarm_heads_put){.account = play->account,
                                                 .heads = &document,
                                                 .head_count = 1,
                                                 .losses = losses,
                                                 .newer = newer_told,
                                                 .done = heads_done,
                                                 .user = out},
                       NULL, NULL));
    play_wait(play, &out->end, 120000);
}

static void get_heads(struct play *play, struct heads *out)
{
    memset(out, 0, sizeof(*out));
    OK(swarm_heads_get(play->swarm, &play->account, heads_told, heads_done, out, NULL, NULL));
    play_wait(play, &out->end, 120000);
}

static void test_heads_rest_with_coordinator_and_cells(void **state)
{
    (void)state;
    struct play play;
    struct heads heads;
    play_new(&play, sim_world_test_seed(9), 6);
    play.cells[0].household = play.account; /* its own cell keeps none */
    play.cells[0].claimed = true;
    play_sign_list(&play);
    play_open(&play, true, true);
    get_heads(&play, &heads);
    OK(heads.end.e); /* nobody has any, and all said so */
    assert_int_equal(heads.result.answered, 6);
    assert_int_equal(heads.told, 0);

    put_heads(&play, 2, &heads);
    OK(heads.end.e);
    assert_int_equal(heads.result.asked, 6);
    assert_int_equal(heads.result.answered, 6);
    assert_int_equal(heads.result.domains, 6);
    assert_int_equal(heads.result.needed, 3);
    assert_int_equal(play.cells[0].heads.size, 0);
    get_heads(&play, &heads);
    OK(heads.end.e);
    assert_int_equal(heads.heads, 6);

    /* the coordinator and all but one cell die: it is still there */
    sim_node_crash(play.coordinator, SIM_POWER);
    for (unsigned i = 2; i < 6; i++)
        sim_node_crash(play.cells[i].node, SIM_POWER);
    get_heads(&play, &heads);
    OK(heads.end.e);
    assert_int_equal(heads.heads, 1);
    put_heads(&play, 2, &heads);
    assert_int_equal(heads.end.e, ERR_NOT_ENOUGH);
    assert_int_equal(heads.result.domains, 1);
    sim_node_crash(play.cells[1].node, SIM_KILL);
    get_heads(&play, &heads);
    assert_int_equal(heads.end.e, ERR_UNREACHABLE);
    play_free(&play);
}

/* Cells of one household are one domain, however many acknowledge. */
static void test_heads_count_domains_not_cells(void **state)
{
    (void)state;
    struct play play;
    struct heads heads;
    play_new(&play, sim_world_test_seed(10), 4);
    for (unsigned i = 1; i < 4; i++) {
        play.cells[i].household = play.cells[0].household;
        play.cells[i].claimed = true;
    }
    play_sign_list(&play);
    play_open(&play, true, true);
    sim_node_crash(play.coordinator, SIM_KILL);
    put_heads(&play, 1, &heads);
    assert_int_equal(heads.result.answered, 4);
    assert_int_equal(heads.result.domains, 1);
    assert_int_equal(heads.result.needed, 2);
    assert_int_equal(heads.end.e, ERR_NOT_ENOUGH);
    play_free(&play);
}

static void test_heads_tell_what_is_newer(void **state)
{
    (void)state;
    struct play play;
    struct heads heads;
    play_new(&play, sim_world_test_seed(11), 4);
    play_open(&play, true, true);
    play.cells[2].holds_newer = true;
    put_heads(&play, 1, &heads);
    assert_int_equal(heads.end.e, ERR_STALE);
    assert_int_equal(heads.newer, 1);
    assert_int_equal(heads.result.stale, 1);
    play_free(&play);
}

/* A cell that says nothing does not hold up those who do. */
static void test_heads_have_patience_but_not_for_ever(void **state)
{
    (void)state;
    struct play play;
    struct heads heads;
    play_new(&play, sim_world_test_seed(12), 5);
    play_open(&play, true, true);
    play.cells[1].silent = true;
    const uint64_t start_ms = sim_world_now_ms(play.world);
    put_heads(&play, 2, &heads);
    OK(heads.end.e);
    assert_int_equal(heads.result.answered, 5);
    assert_true(sim_world_now_ms(play.world) - start_ms <= SWARM_HEADS_PATIENCE_MS + 1000);

    struct swarm_heads *running;
    memset(&heads, 0, sizeof(heads));
    OK(swarm_heads_get(play.swarm, &play.account, heads_told, heads_done, &heads, &running, NULL));
    swarm_heads_cancel(running);
    play_wait(&play, &heads.end, 60000);
    assert_int_equal(heads.end.e, ERR_CANCELLED);
    play_free(&play);
}

/* ---- directory, join, claim ---- */

struct told {
    struct play_end end;
    uint32_t number;
    size_t bytes;
};

static void registered(void *user, enum err e, uint32_t taken, const struct errmsg *msg)
{
    struct told *told = user;
    told->number = taken;
    play_done(&told->end, e, msg);
}

static void found(void *user, enum err e, struct wire_list *list, const struct errmsg *msg)
{
    struct told *told = user;
    struct wire_found one;
    struct wire_shard_at at;
    while (list && wire_found_next(list, &one))
        while (wire_shards_next(&one.shard_list, &at))
            told->number++;
    play_done(&told->end, e, msg);
}

static void test_directory_takes_and_finds(void **state)
{
    (void)state;
    struct play play;
    struct told told = {0}, search = {0}, dead = {0};
    static struct wire_registration many[WIRE_REGISTER_SEGMENTS + 1];
    const struct slice receipts[] = {slice_text("one"), slice_text("two")};
    play_new(&play, sim_world_test_seed(13), 2);
    play_open(&play, true, true);
    many[0] = many[1] = (struct wire_registration){.record = slice_text("record"),
                                                   .k = 1,
                                                   .m = 1,
                                                   .shard_bytes = 4096,
                                                   .receipts = receipts,
                                                   .receipt_count = 2};
    OK(swarm_register(play.swarm, many, 2, registered, &told, NULL));
    play_wait(&play, &told.end, 60000);
    OK(told.end.e);
    assert_int_equal(told.number, 2);
    assert_int_equal(play.registered, 4);
    assert_int_equal(
        swarm_register(play.swarm, many, WIRE_REGISTER_SEGMENTS + 1, registered, &told, NULL),
        ERR_TOO_LARGE);

    play.directory[0].cell = play.cells[0].id;
    play.directory_count = 2;
    OK(swarm_find(play.swarm, &play.account, 1, found, &search, NULL));
    play_wait(&play, &search.end, 60000);
    OK(search.end.e);
    assert_int_equal(search.number, 2);
    sim_node_crash(play.coordinator, SIM_KILL);
    OK(swarm_find(play.swarm, &play.account, 1, found, &dead, NULL));
    play_wait(&play, &dead.end, 60000);
    assert_int_equal(dead.end.e, ERR_UNREACHABLE);
    play_free(&play);
}

static void joined(void *user, enum err e, const struct wire_join_reply *reply,
                   const struct errmsg *msg)
{
    struct told *told = user;
    told->bytes = reply ? reply->members.size : 0;
    play_done(&told->end, e, msg);
}

static void test_join_brings_the_list(void **state)
{
    (void)state;
    struct play play;
    struct told told = {0}, dead = {0};
    static const char *const addresses[] = {"coordinator:7"};
    play_new(&play, sim_world_test_seed(14), 2);
    const struct swarm_join_request request = {
        .net = play.device->net,
        .coordinator = *sign_key_id(play.coordinator_key),
        .addresses = addresses,
        .address_count = 1,
        .join = {.kind = WIRE_JOIN_ACCOUNT,
                 .invite = slice_text("invite"),
                 .document = slice_text("manifest")},
    };
    OK(swarm_join(&request, joined, &told, NULL));
    play_wait(&play, &told.end, 60000);
    OK(told.end.e);
    assert_int_equal(told.bytes, play.members.size);
    sim_node_crash(play.coordinator, SIM_KILL);
    OK(swarm_join(&request, joined, &dead, NULL));
    play_wait(&play, &dead.end, 60000);
    assert_int_equal(dead.end.e, ERR_UNREACHABLE);
    play_free(&play);
}

static void claimed(void *user, enum err e, struct slice claim, const struct errmsg *msg)
{
    struct told *told = user;
    told->bytes = claim.size;
    play_done(&told->end, e, msg);
}

static void test_claim_is_signed_by_the_cell_and_told(void **state)
{
    (void)state;
    struct play play;
    struct told told = {0}, wrong = {0}, away = {0};
    struct buf half = BUF_INIT(4096);
    play_new(&play, sim_world_test_seed(15), 2);
    play_open(&play, true, true);
    OK(claim_make(&(struct claim){.account = play.account, .cell = play.cells[1].id}, &play.root,
                  play.device_key, &half));
    const struct id *cell = &play.cells[1].id;
    OK(swarm_claim(play.swarm, cell, buf_slice(&half), slice_text("1234"), claimed, &told, NULL));
    play_wait(&play, &told.end, 60000);
    OK(told.end.e);
    assert_true(told.bytes > half.size);
    OK(swarm_claim(play.swarm, cell, buf_slice(&half), slice_text("9"), claimed, &wrong, NULL));
    play_wait(&play, &wrong.end, 60000);
    assert_int_equal(wrong.end.e, ERR_DENIED);
    assert_int_equal(wrong.bytes, 0);
    assert_int_equal(
        swarm_claim(play.swarm, cell, buf_slice(&half), slice_text("\xff"), claimed, &wrong, NULL),
        ERR_FORMAT);
    sim_node_crash(play.coordinator, SIM_KILL);
    OK(swarm_claim(play.swarm, cell, buf_slice(&half), slice_text("1234"), claimed, &away, NULL));
    play_wait(&play, &away.end, 60000);
    assert_int_equal(away.end.e, ERR_UNREACHABLE);
    assert_true(away.bytes > half.size); /* the cell has signed all the same */
    buf_free(&half);
    play_free(&play);
}

static void test_introduce_is_what_peers_see_first(void **state)
{
    (void)state;
    struct play play;
    play_new(&play, sim_world_test_seed(16), 2);
    play_open(&play, true, false);
    OK(swarm_introduce(
        play.swarm,
        &(struct wire_hello){.kind = WIRE_PEER_DEVICE, .document = slice_text("manifest")}, NULL));
    OK(refresh(&play));
    play_free(&play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refresh_brings_list_and_states),
        cmocka_unit_test(test_refresh_goes_to_cells_when_the_coordinator_is_gone),
        cmocka_unit_test(test_refresh_without_anybody_fails),
        cmocka_unit_test(test_open_leaves_out_a_list_that_does_not_verify),
        cmocka_unit_test(test_survey_counts_what_can_take_shards),
        cmocka_unit_test(test_have_asks_all_members),
        cmocka_unit_test(test_names_come_in_pieces_and_rise),
        cmocka_unit_test(test_segment_of_a_cell_has_the_header_that_its_name_says),
        cmocka_unit_test(test_heads_rest_with_coordinator_and_cells),
        cmocka_unit_test(test_heads_count_domains_not_cells),
        cmocka_unit_test(test_heads_tell_what_is_newer),
        cmocka_unit_test(test_heads_have_patience_but_not_for_ever),
        cmocka_unit_test(test_directory_takes_and_finds),
        cmocka_unit_test(test_join_brings_the_list),
        cmocka_unit_test(test_claim_is_signed_by_the_cell_and_told),
        cmocka_unit_test(test_introduce_is_what_peers_see_first),
    };
    return cmocka_run_group_tests_name("swarm", tests, NULL, NULL);
}

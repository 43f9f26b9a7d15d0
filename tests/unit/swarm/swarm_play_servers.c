#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "swarm_play.h"

#include "identity/claim.h"
#include "identity/receipt.h"
#include "wire/wire_cell.h"
#include "wire/wire_error.h"
#include "wire/wire_heads.h"
#include "wire/wire_path.h"
#include "wire/wire_shard.h"

#include <stdio.h>
#include <stdlib.h>

#define OK(call) assert_int_equal(call, ERR_OK)

/* ---- a server that takes the whole request, then answers it ---- */

struct exchange {
    struct buf body, reply;
    unsigned status;
    struct wire_path path;
    enum net_method method;
    uint32_t leaf_first, leaf_count;
};

static void refuse(struct exchange *ex, enum err e)
{
    ex->status = wire_status(e);
    buf_clear(&ex->reply);
    OK(wire_error_encode(e, "as the test wants it", slice_of(NULL, 0), &ex->reply));
}

static void take_request(struct net_exchange *x, const struct net_incoming *request)
{
    struct exchange *ex = calloc(1, sizeof(*ex));
    assert_non_null(ex);
    ex->body = BUF_INIT(64 << 20);
    ex->reply = BUF_INIT(64 << 20);
    ex->status = 200;
    ex->method = request->method;
    ex->leaf_first = request->leaf_first;
    ex->leaf_count = request->leaf_count;
    OK(wire_path_parse(request->path, &ex->path));
    x->user = ex;
}

void (*play_aside)(bool aside);

static void aside(bool on)
{
    if (play_aside)
        play_aside(on);
}

static void on_body(void *user, struct net_exchange *x, struct slice bytes)
{
    (void)user;
    struct exchange *ex = x->user;
    aside(true);
    OK(buf_append(&ex->body, bytes.data, bytes.size));
    net_exchange_credit(x, bytes.size);
    aside(false);
}

static void answer(struct net_exchange *x)
{
    struct exchange *ex = x->user;
    OK(net_reply_start(x, ex->status, ex->reply.size));
    if (ex->reply.size > 0)
        OK(net_reply_write(x, buf_slice(&ex->reply)));
}

static void on_writable(void *user, struct net_exchange *x)
{
    (void)user, (void)x;
}

static void on_closed(void *user, struct net_exchange *x, enum err e)
{
    (void)user, (void)e;
    struct exchange *ex = x->user;
    if (!ex)
        return;
    buf_free(&ex->body);
    buf_free(&ex->reply);
    free(ex);
}

static void on_request(void *user, struct net_exchange *x, const struct net_incoming *request)
{
    (void)user;
    aside(true);
    take_request(x, request);
    aside(false);
}

/* ---- a cell ---- */

struct play_stored *play_find(struct play_cell *cell, const struct id *segment, unsigned index)
{
    for (unsigned i = 0; i < cell->stored_count; i++)
        if (id_equal(&cell->stored[i].segment, segment) && cell->stored[i].index == index)
            return &cell->stored[i];
    return NULL;
}

void play_keep(struct play_cell *cell, const struct id *segment, unsigned index,
               struct slice header, struct slice bytes)
{
    struct sha256 *h;
    const uint32_t count = segment_leaf_count((uint32_t)bytes.size);
    assert_true(cell->stored_count < PLAY_STORED_MAX);
    struct play_stored *stored = &cell->stored[cell->stored_count++];
    *stored = (struct play_stored){.segment = *segment,
                                   .index = (uint8_t)index,
                                   .header = BUF_INIT(65536),
                                   .bytes = BUF_INIT(LIMIT_SHARD_BYTES)};
    OK(buf_append(&stored->header, header.data, header.size));
    OK(buf_append(&stored->bytes, bytes.data, bytes.size));
    stored->leaves = calloc(count, sizeof(*stored->leaves));
    assert_non_null(stored->leaves);
    OK(sha256_new(&h));
    for (uint32_t i = 0; i < count; i++)
        sha256_leaf(h,
                    slice_of(bytes.data + (size_t)i * LIMIT_LEAF_BYTES,
                             segment_leaf_bytes((uint32_t)bytes.size, i)),
                    stored->leaves[i].bytes);
    sha256_free(h);
}

static void put_shard(struct play_cell *cell, struct exchange *ex)
{
    struct play *play = cell->play;
    struct wire_prelude prelude;
    struct segment_header *header = malloc(sizeof(*header));
    struct grant grant;
    struct id id;
    uint32_t size;
    assert_non_null(header);
    cell->puts++;
    assert_true(ex->body.size > WIRE_SHARD_HEAD_SIZE);
    OK(wire_prelude_size(ex->body.data, &size));
    OK(wire_prelude_decode(slice_of(ex->body.data + WIRE_SHARD_HEAD_SIZE, size), &prelude));
    OK(segment_header_decode(prelude.header, header, NULL));
    const uint8_t *payload = ex->body.data + WIRE_SHARD_HEAD_SIZE + size;
    assert_int_equal(ex->body.size - WIRE_SHARD_HEAD_SIZE - size, header->shard_bytes);
    segment_header_id(prelude.header, &id);
    assert_true(id_equal(&id, &ex->path.id));
    OK(grant_open(prelude.grant, &play->root, sign_key_id(play->coordinator_key), &grant, NULL));
    assert_true(id_equal(&grant.cell, &cell->id));
    assert_true(id_equal(&grant.account, &play->account));
    if (cell->busy > 0) {
        cell->busy--;
        refuse(ex, ERR_BUSY);
    } else if (cell->refuses > 0) {
        cell->refuses--;
        refuse(ex, ERR_QUOTA);
    } else if (cell->full) {
        refuse(ex, ERR_FULL);
    } else {
        struct receipt receipt = {.segment = id,
                                  .index = (uint8_t)(ex->path.index + cell->forges_receipts),
                                  .shard_bytes = header->shard_bytes,
                                  .account = header->account,
                                  .slot = header->device_slot,
                                  .list_number = play->list_number};
        ex->status = play_find(cell, &id, ex->path.index) ? 200 : 201;
        if (ex->status == 201)
            play_keep(cell, &id, ex->path.index, prelude.header,
                      slice_of(payload, header->shard_bytes));
        OK(receipt_make(&receipt, &play->root, cell->key, &ex->reply));
    }
    free(header);
}

static void get_shard(struct play_cell *cell, struct exchange *ex)
{
    struct play_stored *stored = play_find(cell, &ex->path.id, ex->path.index);
    cell->gets++;
    if (!stored) {
        refuse(ex, ERR_NOT_FOUND);
        return;
    }
    if (stored->damaged) {
        refuse(ex, ERR_CORRUPT);
        return;
    }
    struct merkle_hash path[MERKLE_PATH_MAX];
    struct sha256 *h;
    const uint32_t size = (uint32_t)stored->bytes.size, count = segment_leaf_count(size);
    const uint32_t first = ex->leaf_first, run = ex->leaf_count ? ex->leaf_count : count;
    assert_true(first + run <= count);
    OK(sha256_new(&h));
    merkle_path(h, stored->leaves, count, first, run, path);
    sha256_free(h);
    OK(wire_leaf_path_encode(slice_of(path, merkle_path_count(count, first, run) * sizeof(path[0])),
                             &ex->reply));
    OK(buf_append(&ex->reply, stored->bytes.data + (size_t)first * LIMIT_LEAF_BYTES,
                  segment_leaves_bytes(size, first, run)));
    if (cell->lies)
        ex->reply.data[ex->reply.size - 1] ^= 1;
}

static void get_segment(struct play_cell *cell, struct exchange *ex)
{
    struct wire_segment segment = {.record = slice_text("record")};
    for (unsigned i = 0; i < cell->stored_count; i++) {
        const struct play_stored *stored = &cell->stored[i];
        if (!id_equal(&stored->segment, &ex->path.id))
            continue;
        segment.header = cell->lies ? slice_text("header") : buf_slice(&stored->header);
        if (stored->damaged)
            segment.damaged[segment.damaged_count++] = stored->index;
        else
            segment.held[segment.held_count++] = stored->index;
    }
    if (segment.header.size > 0)
        OK(wire_segment_encode(&segment, &ex->reply));
    else
        refuse(ex, ERR_NOT_FOUND);
}

static void have(struct play_cell *cell, struct exchange *ex)
{
    struct wire_held held[PLAY_STORED_MAX];
    struct wire_list list;
    struct id id;
    size_t count = 0;
    cell->haves++;
    OK(wire_ids_decode(buf_slice(&ex->body), WIRE_HAVE_IDS, &list));
    for (uint32_t position = 0; wire_ids_next(&list, &id); position++)
        for (unsigned i = 0; i < cell->stored_count; i++)
            if (id_equal(&cell->stored[i].segment, &id))
                held[count++] = (struct wire_held){position, cell->stored[i].index,
                                                   cell->stored[i].damaged ? WIRE_SHARD_DAMAGED
                                                                           : WIRE_SHARD_STORED};
    OK(wire_have_reply_encode(held, count, &ex->reply));
}

/* Two at a time, so that the client must ask again. */
static void names(struct play_cell *cell, struct exchange *ex)
{
    struct wire_shard_name found[3];
    size_t count = 0;
    for (;;) {
        const struct wire_shard_name *after = count ? &found[count - 1] : NULL;
        const struct play_stored *next = NULL;
        for (unsigned i = 0; i < cell->stored_count; i++) {
            const struct play_stored *at = &cell->stored[i];
            const struct id *segment = after                ? &after->segment
                                       : ex->path.has_after ? &ex->path.after_segment
                                                            : NULL;
            const uint32_t index = after ? after->index : ex->path.after_index;
            const int order = segment ? id_compare(&at->segment, segment) : 1;
            if (order < 0 || (order == 0 && at->index <= index))
                continue;
            const int best = next ? id_compare(&at->segment, &next->segment) : -1;
            if (best < 0 || (best == 0 && at->index < next->index))
                next = at;
        }
        if (!next || count == 3)
            break;
        found[count++] = (struct wire_shard_name){next->segment, next->index};
    }
    if (cell->lies && count > 0 && ex->path.has_after)
        found[0] = (struct wire_shard_name){ex->path.after_segment, (uint8_t)ex->path.after_index};
    OK(wire_names_encode(found, count > 2 ? 2 : count, count > 2, &ex->reply));
}

static void heads(struct buf *kept, bool newer, struct exchange *ex)
{
    if (ex->method == NET_GET) {
        if (kept->size == 0)
            refuse(ex, ERR_NOT_FOUND);
        else
            OK(buf_append(&ex->reply, kept->data, kept->size));
        return;
    }
    if (newer) {
        ex->status = 409;
        OK(wire_error_encode(ERR_STALE, "newer", slice_text("a newer head"), &ex->reply));
        return;
    }
    struct wire_heads sent;
    OK(wire_heads_decode(buf_slice(&ex->body), &sent));
    buf_clear(kept);
    OK(buf_append(kept, ex->body.data, ex->body.size));
    OK(wire_heads_reply_encode(1, NULL, 0, &ex->reply));
}

static void claim(struct play_cell *cell, struct exchange *ex)
{
    struct wire_claim asked;
    OK(wire_claim_decode(buf_slice(&ex->body), &asked));
    if (!slice_equal(asked.code, slice_text("1234")))
        refuse(ex, ERR_DENIED);
    else
        OK(claim_countersign(asked.claim, &cell->play->root, cell->key, &ex->reply));
}

static void cell_on_body_end(void *user, struct net_exchange *x)
{
    struct play_cell *cell = user;
    struct exchange *ex = x->user;
    if (cell->silent)
        return;
    aside(true);
    switch (ex->path.route) {
    case WIRE_SHARD:
        if (ex->method == NET_PUT)
            put_shard(cell, ex);
        else
            get_shard(cell, ex);
        break;
    case WIRE_SEGMENT:
        get_segment(cell, ex);
        break;
    case WIRE_HAVE:
        have(cell, ex);
        break;
    case WIRE_ACCOUNT_SHARDS:
        names(cell, ex);
        break;
    case WIRE_HEADS:
        heads(&cell->heads, cell->holds_newer, ex);
        break;
    case WIRE_CLAIM:
        claim(cell, ex);
        break;
    case WIRE_MEMBERS:
        OK(buf_append(&ex->reply, cell->play->members.data, cell->play->members.size));
        break;
    case WIRE_HELLO:
        break;
    default:
        refuse(ex, ERR_NOT_FOUND);
    }
    answer(x);
    aside(false);
}

/* ---- the coordinator ---- */

static void cells(struct play *play, struct exchange *ex)
{
    struct wire_cell list[PLAY_CELLS_MAX];
    for (unsigned i = 0; i < play->cell_count; i++)
        list[i] = (struct wire_cell){
            .id = play->cells[i].id, .state = play->cells[i].state, .free_bytes = 1000 + i};
    play->lists++;
    const struct wire_cells swarm = {
        .time_s = SIM_WALL_START_NS / 1000000000 + (int64_t)(sim_world_now_ms(play->world) / 1000),
        .list_number = play->list_number,
    };
    OK(wire_cells_encode(&swarm, list, play->cell_count, &ex->reply));
}

static void place(struct play *play, struct exchange *ex)
{
    struct wire_list list;
    struct wire_want want;
    uint64_t number;
    struct buf documents[PLAY_CELLS_MAX];
    struct slice slices[PLAY_CELLS_MAX];
    size_t count = 0;
    play->places++;
    OK(wire_place_decode(buf_slice(&ex->body), &number, &list));
    assert_int_equal(number, play->list_number);
    while (wire_place_next(&list, &want)) {
        if (id_equal(&want.cell, &play->refuses_cell))
            continue;
        struct grant grant = {.id = {(uint8_t)play->places, (uint8_t)count},
                              .account = play->account,
                              .device = *sign_key_id(play->device_key),
                              .cell = want.cell,
                              .list_number = number,
                              .expires_s = SIM_WALL_START_NS / 1000000000 +
                                           (int64_t)(sim_world_now_ms(play->world) / 1000) +
                                           (play->grant_lasts_s ? play->grant_lasts_s : 7 * 86400),
                              .budget_bytes = play->grant_bytes && play->grant_bytes < want.bytes
                                                  ? play->grant_bytes
                                                  : want.bytes};
        documents[count] = BUF_INIT(4096);
        OK(grant_make(&grant, &play->root, play->coordinator_key, &documents[count]));
        slices[count] = buf_slice(&documents[count]);
        count++;
    }
    OK(wire_grants_encode(slices, count, &ex->reply));
    for (size_t i = 0; i < count; i++)
        buf_free(&documents[i]);
}

static void register_segments(struct play *play, struct exchange *ex)
{
    struct wire_list list;
    struct wire_registration one;
    struct slice receipt;
    uint32_t count = 0;
    OK(wire_register_decode(buf_slice(&ex->body), &list));
    while (wire_register_next(&list, &one)) {
        while (wire_receipts_next(&one.receipt_list, &receipt))
            play->registered++;
        count++;
    }
    OK(wire_register_reply_encode(count, &ex->reply));
}

static void find(struct play *play, struct exchange *ex)
{
    const struct wire_found found = {.k = 1,
                                     .m = 1,
                                     .shard_bytes = 4096,
                                     .shards = play->directory,
                                     .shard_count = play->directory_count};
    play->finds++;
    OK(wire_found_encode(&found, play->directory_count > 0, &ex->reply));
}

static void coordinator_on_body_end(void *user, struct net_exchange *x)
{
    struct play *play = user;
    struct exchange *ex = x->user;
    if (play->coordinator_silent)
        return;
    aside(true);
    switch (ex->path.route) {
    case WIRE_CELLS:
        cells(play, ex);
        break;
    case WIRE_MEMBERS:
        OK(buf_append(&ex->reply, play->members.data, play->members.size));
        break;
    case WIRE_PLACE:
        place(play, ex);
        break;
    case WIRE_SEGMENTS:
        register_segments(play, ex);
        break;
    case WIRE_FIND:
        find(play, ex);
        break;
    case WIRE_HEADS:
        heads(&play->heads, false, ex);
        break;
    case WIRE_JOIN:
        OK(wire_join_reply_encode(
            &(struct wire_join_reply){.coordinator = buf_slice(&play->certificate),
                                      .members = buf_slice(&play->members),
                                      .redundancy = slice_text("4+2")},
            &ex->reply));
        break;
    case WIRE_CLAIMS: {
        struct claim both;
        OK(claim_open(buf_slice(&ex->body), &play->root, &both, NULL));
        assert_true(both.whole);
        break;
    }
    case WIRE_HELLO:
        play->hellos++;
        break;
    default:
        refuse(ex, ERR_NOT_FOUND);
    }
    answer(x);
    aside(false);
}

const struct net_service play_cell_service = {on_request, on_body, cell_on_body_end, on_writable,
                                              on_closed};
const struct net_service play_coordinator_service = {on_request, on_body, coordinator_on_body_end,
                                                     on_writable, on_closed};

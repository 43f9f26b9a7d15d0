#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "swarm_play.h"

#include "crypto/crypto.h"
#include "erasure/erasure.h"
#include "identity/claim.h"
#include "identity/receipt.h"
#include "identity/signed_record.h"
#include "wire/wire_cell.h"
#include "wire/wire_directory.h"
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

static void store(struct play_cell *cell, const struct id *segment, unsigned index,
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
            store(cell, &id, ex->path.index, prelude.header,
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

/* ---- the world ---- */

static struct sign_key *key_of(uint8_t kind, uint8_t number)
{
    const uint8_t seed[SIGN_SEED_SIZE] = {kind, number, 0x5e};
    struct sign_key *key;
    OK(sign_key_new(seed, &key));
    return key;
}

static struct sim_node *node_of(struct play *play, const char *name, const struct sign_key *key,
                                const char *address)
{
    struct sim_identity identity = {.name = name, .id = *sign_key_id(key), .address = address};
    memcpy(identity.key, sign_key_public(key), sizeof(identity.key));
    return sim_node_new(play->world, &identity);
}

void play_sign_list(struct play *play)
{
    struct member members[PLAY_CELLS_MAX];
    struct buf addresses[PLAY_CELLS_MAX];
    struct member_list list = {.coordinator_doc = buf_slice(&play->certificate),
                               .number = ++play->list_number,
                               .time_s = SIM_WALL_START_NS / 1000000000,
                               .members = members,
                               .count = play->cell_count};
    memset(members, 0, sizeof(members));
    for (unsigned i = 0; i < play->cell_count; i++) {
        const struct play_cell *cell = &play->cells[i];
        static const char *const sites[] = {"", "Berlin", "Rome", "Oslo"};
        char address[32];
        struct address_list at = {0};
        snprintf(address, sizeof(address), "cell%u:7", i);
        OK(address_list_add(&at, address));
        addresses[i] = BUF_INIT(4096);
        OK(address_list_encode(&at, &addresses[i]));
        memcpy(members[i].key, sign_key_public(cell->key), SIGN_PUBLIC_SIZE);
        members[i].claimed = cell->claimed;
        members[i].household = cell->household;
        members[i].weight = 100;
        members[i].eligible = !cell->ineligible;
        members[i].site = slice_text(sites[cell->site]);
        members[i].addresses = buf_slice(&addresses[i]);
    }
    buf_clear(&play->members);
    OK(member_list_make(&list, &play->root, play->coordinator_key, &play->members));
    for (unsigned i = 0; i < play->cell_count; i++)
        buf_free(&addresses[i]);
}

void play_new(struct play *play, uint64_t seed, unsigned count)
{
    static const struct net_service cell_service = {on_request, on_body, cell_on_body_end,
                                                    on_writable, on_closed};
    static const struct net_service coordinator_service = {
        on_request, on_body, coordinator_on_body_end, on_writable, on_closed};
    struct coordinator_cert cert = {.incarnation = 1};
    memset(play, 0, sizeof(*play));
    OK(crypto_init(NULL));
    play->world = sim_world_new(seed);
    play->root_key = key_of(1, 0);
    play->coordinator_key = key_of(2, 0);
    play->device_key = key_of(3, 0);
    swarm_root_of(sign_key_public(play->root_key), &play->root);
    memset(play->account.bytes, 0xac, ID_SIZE);
    play->coordinator = node_of(play, "coordinator", play->coordinator_key, "coordinator:7");
    play->device = node_of(play, "device", play->device_key, NULL);
    net_serve(play->coordinator->net, &coordinator_service, play);
    memcpy(cert.key, sign_key_public(play->coordinator_key), SIGN_PUBLIC_SIZE);
    OK(address_list_add(&cert.addresses, "coordinator:7"));
    play->certificate = BUF_INIT(8192);
    play->members = BUF_INIT(1 << 20);
    play->heads = BUF_INIT(1 << 20);
    OK(coordinator_cert_make(&cert, &play->root, play->root_key, &play->certificate));
    play->cell_count = count;
    for (unsigned i = 0; i < count; i++) {
        struct play_cell *cell = &play->cells[i];
        char name[32];
        snprintf(name, sizeof(name), "cell%u:7", i);
        cell->play = play;
        cell->key = key_of(4, (uint8_t)i);
        cell->id = cell->household = *sign_key_id(cell->key);
        cell->state = WIRE_CELL_UP;
        cell->heads = BUF_INIT(1 << 20);
        cell->node = node_of(play, name, cell->key, name);
        net_serve(cell->node->net, &cell_service, cell);
    }
    play_sign_list(play);
}

void play_free(struct play *play)
{
    play_close(play);
    OK(sim_world_run(play->world, 1000)); /* what was cancelled reaches the servers */
    for (unsigned i = 0; i < sim_world_node_count(play->world); i++)
        sim_node_stop(sim_world_node(play->world, i));
    sim_world_free(play->world);
    for (unsigned i = 0; i < play->cell_count; i++) {
        struct play_cell *cell = &play->cells[i];
        for (unsigned j = 0; j < cell->stored_count; j++) {
            buf_free(&cell->stored[j].header);
            buf_free(&cell->stored[j].bytes);
            free(cell->stored[j].leaves);
        }
        buf_free(&cell->heads);
        sign_key_free(cell->key);
    }
    sign_key_free(play->root_key);
    sign_key_free(play->coordinator_key);
    sign_key_free(play->device_key);
    buf_free(&play->certificate);
    buf_free(&play->members);
    buf_free(&play->heads);
}

void play_open(struct play *play, bool cached, bool refresh)
{
    static const char *const addresses[] = {"coordinator:7"};
    struct errmsg msg;
    struct play_end end = {0};
    const struct swarm_options options = {
        .net = play->device->net,
        .clock = &play->device->clock,
        .random = &play->device->random,
        .work = &play->device->work,
        .root = &play->root,
        .account = play->account,
        .coordinator = *sign_key_id(play->coordinator_key),
        .coordinator_addresses = addresses,
        .coordinator_address_count = 1,
        .members = cached ? buf_slice(&play->members) : slice_of(NULL, 0),
    };
    OK(swarm_open(&options, &play->swarm, &msg));
    if (!refresh)
        return;
    OK(swarm_refresh(play->swarm, play_done, &end, &msg));
    play_wait(play, &end, 60000);
    OK(end.e);
}

void play_close(struct play *play)
{
    swarm_close(play->swarm);
    play->swarm = NULL;
}

void play_done(void *user, enum err e, const struct errmsg *msg)
{
    struct play_end *end = user;
    end->done = true;
    end->times++;
    end->e = e;
    end->msg = *msg;
}

static bool has_ended(void *user)
{
    return ((struct play_end *)user)->done;
}

void play_wait(struct play *play, struct play_end *end, uint64_t max_ms)
{
    if (sim_world_run_until(play->world, has_ended, end, max_ms) != ERR_OK)
        fail_msg("an operation has not ended after %llu ms", (unsigned long long)max_ms);
    assert_int_equal(end->times, 1);
}

/* ---- a segment ---- */

void play_segment_new(struct play *play, struct play_segment *segment, unsigned k, unsigned m,
                      uint32_t shard_bytes)
{
    const uint8_t *data[LIMIT_SHARDS];
    uint8_t *parity[LIMIT_SHARDS];
    struct sha256 *h;
    *segment = (struct play_segment){
        .k = k, .m = m, .n = k + m, .shard_bytes = shard_bytes, .record = BUF_INIT(4096)};
    segment->bytes = malloc((size_t)(k + m) * shard_bytes);
    assert_non_null(segment->bytes);
    for (size_t i = 0; i < (size_t)k * shard_bytes; i += 8) {
        const uint64_t value = sim_world_random(play->world);
        memcpy(segment->bytes + i, &value, 8);
    }
    for (unsigned i = 0; i < segment->n; i++) {
        uint8_t *shard = segment->bytes + (size_t)i * shard_bytes;
        segment->shards[i] = slice_of(shard, shard_bytes);
        if (i < k)
            data[i] = shard;
        else
            parity[i - k] = shard;
    }
    if (m > 0) {
        struct erasure *code;
        OK(erasure_new(k, m, NULL, &code, NULL));
        erasure_encode(code, data, parity, shard_bytes);
        erasure_free(code);
    }
    segment->header = (struct segment_header){.suite = 1,
                                              .k = (uint8_t)k,
                                              .m = (uint8_t)m,
                                              .shard_bytes = shard_bytes,
                                              .account = play->account};
    OK(sha256_new(&h));
    for (unsigned i = 0; i < segment->n; i++) {
        struct merkle_hash leaves[64];
        const uint32_t count = segment_leaf_count(shard_bytes);
        for (uint32_t j = 0; j < count; j++)
            sha256_leaf(h,
                        slice_of(segment->shards[i].data + (size_t)j * LIMIT_LEAF_BYTES,
                                 segment_leaf_bytes(shard_bytes, j)),
                        leaves[j].bytes);
        merkle_root(h, leaves, count, &segment->header.roots[i]);
    }
    sha256_free(h);
    segment->header_size = segment_header_size(k, m);
    segment_header_encode(&segment->header, segment->header_bytes);
    segment_header_id(slice_of(segment->header_bytes, segment->header_size), &segment->id);
    OK(signed_record_make(&(struct signed_record){.segment = segment->id,
                                                  .account = play->account,
                                                  .list_number = play->list_number,
                                                  .sequence = 1},
                          &play->root, play->device_key, &segment->record));
}

void play_segment_free(struct play_segment *segment)
{
    free(segment->bytes);
    buf_free(&segment->record);
}

size_t play_store(struct play *play, const struct play_segment *segment,
                  struct swarm_holder *holders)
{
    assert_true(segment->n <= play->cell_count);
    for (unsigned i = 0; i < segment->n; i++) {
        store(&play->cells[i], &segment->id, i,
              slice_of(segment->header_bytes, segment->header_size), segment->shards[i]);
        holders[i] = (struct swarm_holder){.cell = play->cells[i].id, .index = (uint8_t)i};
    }
    return segment->n;
}

/* ---- uploads ---- */

static void receipted(void *user, unsigned index, const struct id *cell, struct slice receipt)
{
    struct play_upload *upload = user;
    assert_true(receipt.size > 0);
    assert_true(id_is_zero(&upload->cells[index])); /* once a shard */
    upload->cells[index] = *cell;
    upload->receipts++;
}

static void uploaded(void *user, enum err e, const struct swarm_upload_result *result,
                     const struct errmsg *msg)
{
    struct play_upload *upload = user;
    upload->result = *result;
    play_done(&upload->end, e, msg);
}

void play_upload_start(struct play *play, const struct play_segment *segment,
                       const struct swarm_upload_request *changes, struct play_upload *out)
{
    struct errmsg msg;
    const struct swarm_upload_request request = {
        .segment = segment->id,
        .header = slice_of(segment->header_bytes, segment->header_size),
        .record = buf_slice(&segment->record),
        .k = segment->k,
        .m = segment->m,
        .shard_bytes = segment->shard_bytes,
        .shards = changes && changes->shards ? changes->shards : segment->shards,
        .stored = changes ? changes->stored : NULL,
        .net_class = NET_BACKUP,
    };
    memset(out, 0, sizeof(*out));
    OK(swarm_upload_start(play->swarm, &request, receipted, uploaded, out, &out->upload, &msg));
    assert_false(out->end.done);
}

void play_upload(struct play *play, const struct play_segment *segment, struct play_upload *out)
{
    play_upload_start(play, segment, NULL, out);
    play_wait(play, &out->end, 600000);
}

/* ---- gathers ---- */

static void gathered(void *user, enum err e, const struct swarm_gather_result *result,
                     const struct errmsg *msg)
{
    struct play_gather *gather = user;
    gather->result = *result;
    for (size_t i = 0; i < result->fault_count && i < 64; i++)
        gather->faults[i] = result->faults[i];
    for (size_t i = 0; i < result->found_count && i < 64; i++)
        gather->found[i] = result->found[i];
    play_done(&gather->end, e, msg);
}

void play_gather_start(struct play *play, const struct play_segment *segment,
                       const struct swarm_gather_request *given, struct play_gather *out)
{
    struct errmsg msg;
    struct swarm_gather_request request = *given;
    memset(out, 0, sizeof(*out));
    /* of exactly their size, so that a sanitizer sees what is written beside them */
    out->payload = malloc((size_t)segment->k * segment->shard_bytes);
    out->parity = malloc((size_t)segment->m * segment->shard_bytes + 1);
    assert_non_null(out->payload);
    assert_non_null(out->parity);
    memset(out->payload, 0xee, (size_t)segment->k * segment->shard_bytes);
    request.segment = segment->id;
    request.header = &segment->header;
    request.payload = out->payload;
    request.parity = given->shard_count > 0 ? out->parity : NULL;
    request.net_class = NET_RESTORE;
    OK(swarm_gather_start(play->swarm, &request, gathered, out, &out->gather, &msg));
    assert_false(out->end.done);
}

void play_gather_free(struct play_gather *gather)
{
    free(gather->payload);
    free(gather->parity);
}

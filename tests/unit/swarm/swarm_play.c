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

#include <stdio.h>
#include <stdlib.h>

#define OK(call) assert_int_equal(call, ERR_OK)

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
    net_serve(play->coordinator->net, &play_coordinator_service, play);
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
        net_serve(cell->node->net, &play_cell_service, cell);
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
        play_keep(&play->cells[i], &segment->id, i,
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

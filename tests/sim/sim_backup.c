#include "sim_backup.h"

#include "crypto/sha256.h"
#include "identity/delete_order.h"
#include "identity/head.h"
#include "identity/signed_record.h"
#include "segment/segment_builder.h"
#include "swarm/swarm_directory.h"
#include "swarm/swarm_gather.h"
#include "swarm/swarm_heads.h"
#include "swarm/swarm_upload.h"
#include "wire/wire_path.h"
#include "wire/wire_removal.h"

#include <stdio.h>
#include <stdlib.h>

enum { WAIT_MS = 48 * 3600000, RECEIPT_MAX = 4096 };

static const char *const coordinator_address[] = {"coordinator:1"};

static void must(enum err e, const struct errmsg *msg, const char *what)
{
    if (e == ERR_OK)
        return;
    fprintf(stderr, "%s: %s (%s)\n", what, err_name(e), msg ? msg->text : "");
    abort();
}

struct wait {
    bool done;
    enum err e;
    struct errmsg msg;
};

static bool is_done(void *user)
{
    return ((const struct wait *)user)->done;
}

static void end_wait(struct wait *wait, enum err e, const struct errmsg *msg)
{
    wait->done = true;
    wait->e = e;
    wait->msg = *msg;
}

static enum err wait_for(struct sim_backup *b, struct wait *wait)
{
    must(sim_world_run_until(b->world, is_done, wait, WAIT_MS), NULL, "waiting for the device");
    wait->done = false;
    return wait->e;
}

static void done(void *user, enum err e, const struct errmsg *msg)
{
    end_wait(user, e, msg);
}

struct sim_backup *sim_backup_new(struct sim_device *device)
{
    struct sim_backup *b = calloc(1, sizeof(*b));
    struct errmsg msg;
    if (!b)
        abort();
    b->device = device;
    b->world = device->swarm->world;
    const struct swarm_options options = {
        .net = device->node->net,
        .clock = &device->node->clock,
        .random = &device->node->random,
        .work = &device->node->work,
        .root = &device->swarm->root,
        .account = device->account.account,
        .coordinator = device->swarm->coordinator_node->id,
        .coordinator_addresses = coordinator_address,
        .coordinator_address_count = 1,
        .grant_bytes = MIB(1),
    };
    must(swarm_open(&options, &b->swarm, &msg), &msg, "opening a device's swarm");
    const struct wire_hello hello = {.kind = WIRE_PEER_DEVICE,
                                     .document = buf_slice(&device->manifest)};
    must(swarm_introduce(b->swarm, &hello, &msg), &msg, "introducing a device");
    return b;
}

void sim_backup_free(struct sim_backup *b)
{
    if (!b)
        return;
    swarm_close(b->swarm);
    free(b);
}

enum err sim_backup_refresh(struct sim_backup *b)
{
    struct wait wait = {0};
    const enum err e = swarm_refresh(b->swarm, done, &wait, &wait.msg);
    return e == ERR_OK ? wait_for(b, &wait) : e;
}

/* --- one segment --- */

struct building {
    struct sim_backup *backup;
    struct sim_segment *segment;
    struct segment_builder *builder;
    struct buf record;
    struct slice shards[SIM_BACKUP_SHARDS_MAX];
    struct buf receipts[SIM_BACKUP_SHARDS_MAX];
    struct wait wait;
};

static void digest_of(const uint8_t *bytes, size_t size, struct id *out)
{
    struct sha256 *hash;
    must(sha256_new(&hash), NULL, "hashing");
    sha256_leaf(hash, slice_of(bytes, size), out->bytes);
    sha256_free(hash);
}

static void build(struct sim_backup *b, struct building *w, unsigned k, unsigned m,
                  uint32_t shard_bytes)
{
    struct errmsg msg;
    const struct segment_shape shape = {.k = k, .m = m, .shard_bytes_max = shard_bytes, .suite = 1};
    const struct segment_identity identity = {.kind = SEGMENT_DATA,
                                              .account = b->device->account.account,
                                              .device_slot = b->device->slot,
                                              .epoch = 1};
    const uint8_t data_key[SEGMENT_DATA_KEY_SIZE] = {2};
    uint8_t salt[SEGMENT_SALT_SIZE] = "a salt", stored[64];
    struct segment_entry entry = {.type = SEGMENT_FILE, .plain_bytes = sizeof(stored)};
    struct aead *aead;
    uint32_t number;
    put_le64(salt + 8, sim_world_random(b->world));
    put_le64(salt + 16, ++b->salts);
    memset(stored, (int)b->salts, sizeof(stored));
    must(aead_new(&aead), NULL, "making a cipher");
    must(segment_builder_new(&shape, &w->builder, &msg), &msg, "making a builder");
    must(segment_builder_start(w->builder, &identity, data_key, salt), NULL, "starting a segment");
    /* as many records as make the payload large enough for its size class */
    while (segment_builder_fits(w->builder, sizeof(stored)) &&
           segment_builder_bytes(w->builder) < (uint64_t)k * shard_bytes * 3 / 4) {
        put_le64(entry.id.bytes, segment_builder_count(w->builder));
        must(segment_builder_reserve(w->builder, &entry, sizeof(stored), &number), NULL,
             "reserving");
        must(segment_builder_seal(w->builder, aead, number, slice_of(stored, sizeof(stored))), NULL,
             "sealing");
    }
    must(segment_builder_finish(w->builder, &msg), &msg, "finishing a segment");
    aead_free(aead);
    w->segment->id = *segment_builder_id(w->builder);
    w->segment->header = *segment_builder_header(w->builder);
    for (unsigned i = 0; i < k + m; i++)
        w->shards[i] = segment_builder_shard(w->builder, i);
    digest_of(w->shards[0].data, (size_t)k * w->segment->header.shard_bytes, &w->segment->digest);
    const struct signed_record record = {.segment = w->segment->id,
                                         .account = b->device->account.account,
                                         .slot = b->device->slot,
                                         .list_number = swarm_list_number(b->swarm),
                                         .sequence = 1};
    must(signed_record_make(&record, &b->device->swarm->root, b->device->key, &w->record), NULL,
         "signing a record");
}

static void receipted(void *user, unsigned index, const struct id *cell, struct slice receipt)
{
    struct building *w = user;
    w->segment->holders[index] = *cell;
    must(buf_append(&w->receipts[index], receipt.data, receipt.size), NULL, "keeping a receipt");
    if (w->backup->receipted)
        w->backup->receipted(w->backup->user, w->backup->count, index, cell);
}

static void uploaded(void *user, enum err e, const struct swarm_upload_result *result,
                     const struct errmsg *msg)
{
    (void)result;
    end_wait(&((struct building *)user)->wait, e, msg);
}

static enum err upload(struct sim_backup *b, struct building *w)
{
    struct swarm_upload *operation;
    const struct swarm_upload_request request = {
        .segment = w->segment->id,
        .header = segment_builder_header_bytes(w->builder),
        .record = buf_slice(&w->record),
        .k = w->segment->k,
        .m = w->segment->m,
        .shard_bytes = w->segment->header.shard_bytes,
        .device_slot = b->device->slot,
        .shards = w->shards,
        .net_class = NET_BACKUP,
    };
    const enum err e =
        swarm_upload_start(b->swarm, &request, receipted, uploaded, w, &operation, &w->wait.msg);
    return e == ERR_OK ? wait_for(b, &w->wait) : e;
}

static void registered(void *user, enum err e, uint32_t taken, const struct errmsg *msg)
{
    (void)taken;
    end_wait(user, e, msg);
}

static enum err enter(struct sim_backup *b, struct building *w)
{
    struct slice receipts[SIM_BACKUP_SHARDS_MAX];
    struct wire_registration one = {.record = buf_slice(&w->record),
                                    .k = (uint8_t)w->segment->k,
                                    .m = (uint8_t)w->segment->m,
                                    .shard_bytes = w->segment->header.shard_bytes,
                                    .receipts = receipts};
    for (unsigned i = 0; i < w->segment->k + w->segment->m; i++)
        if (w->receipts[i].size)
            receipts[one.receipt_count++] = buf_slice(&w->receipts[i]);
    const enum err e = swarm_register(b->swarm, &one, 1, registered, &w->wait, &w->wait.msg);
    return e == ERR_OK ? wait_for(b, &w->wait) : e;
}

enum err sim_backup_add(struct sim_backup *b, unsigned k, unsigned m, uint32_t shard_bytes)
{
    if (b->count == SIM_BACKUP_SEGMENTS_MAX || k + m > SIM_BACKUP_SHARDS_MAX)
        return ERR_USAGE;
    enum err e = sim_backup_refresh(b);
    if (e != ERR_OK)
        return e;
    struct building w = {.backup = b,
                         .segment = &b->segments[b->count],
                         .record = BUF_INIT(SIGNED_RECORD_BYTES_MAX)};
    *w.segment = (struct sim_segment){.k = k, .m = m};
    for (unsigned i = 0; i < SIM_BACKUP_SHARDS_MAX; i++)
        w.receipts[i] = BUF_INIT(RECEIPT_MAX);
    build(b, &w, k, m, shard_bytes);
    e = upload(b, &w);
    if (e == ERR_OK)
        e = enter(b, &w);
    if (e == ERR_OK)
        b->count++;
    for (unsigned i = 0; i < SIM_BACKUP_SHARDS_MAX; i++)
        buf_free(&w.receipts[i]);
    buf_free(&w.record);
    segment_builder_free(w.builder);
    return e;
}

/* --- deleting, heads --- */

enum err sim_backup_delete(struct sim_backup *b, unsigned number, uint64_t sequence)
{
    struct sim_device *d = b->device;
    struct buf doc = BUF_INIT(DELETE_ORDER_BYTES_MAX), body = BUF_INIT(DELETE_ORDER_BYTES_MAX);
    struct buf reply = BUF_INIT(65536);
    unsigned status;
    const struct deed deed = {.account = d->account.account,
                              .manifest_number = d->manifest_number,
                              .slot = d->slot,
                              .sequence = sequence,
                              .time_s = SIM_WALL_START_NS / 1000000000};
    must(delete_order_make(&deed, false, &b->segments[number].id, 1, &d->swarm->root, d->key, &doc),
         NULL, "signing a delete order");
    const struct wire_order order = {.kind = WIRE_ORDER_DELETE, .doc = buf_slice(&doc)};
    must(wire_delete_encode(&order, 1, &body), NULL, "encoding a delete order");
    const enum err e =
        sim_ask(d->swarm, d->node, &d->swarm->coordinator_node->id, "coordinator:1", NET_POST,
                wire_path_plain(WIRE_DELETE), buf_slice(&body), &status, &reply);
    buf_free(&doc);
    buf_free(&body);
    buf_free(&reply);
    return e;
}

void sim_device_head(const struct sim_device *d, uint64_t sequence, struct buf *out)
{
    struct head *head = calloc(1, sizeof(*head));
    if (!head)
        abort();
    head->account = d->account.account;
    head->slot = d->slot;
    head->sequence = sequence;
    head->manifest_number = d->manifest_number;
    head->sealed = slice_text("sealed");
    if (sequence > 1) /* cells do not follow the chain, devices do: any hash serves here */
        put_le64(head->previous.bytes, sequence);
    must(head_make(head, &d->swarm->root, d->key, out), NULL, "signing a head");
    free(head);
}

struct publishing {
    struct wait wait;
    unsigned acks;
};

static void published(void *user, enum err e, const struct swarm_heads_result *result,
                      const struct errmsg *msg)
{
    struct publishing *p = user;
    p->acks = result->answered;
    end_wait(&p->wait, e, msg);
}

enum err sim_backup_publish(struct sim_backup *b, uint64_t sequence, unsigned *acks)
{
    struct sim_device *d = b->device;
    struct buf doc = BUF_INIT(HEAD_BYTES_MAX);
    struct publishing p = {.acks = 0};
    struct swarm_heads *operation;
    enum err e = sim_backup_refresh(b);
    sim_device_head(d, sequence, &doc);
    const struct slice head = buf_slice(&doc);
    const struct swarm_heads_put put = {.account = d->account.account,
                                        .manifest = buf_slice(&d->manifest),
                                        .heads = &head,
                                        .head_count = 1,
                                        .losses = 2,
                                        .done = published,
                                        .user = &p};
    if (e == ERR_OK)
        e = swarm_heads_put(b->swarm, &put, &operation, &p.wait.msg);
    if (e == ERR_OK)
        e = wait_for(b, &p.wait);
    *acks = p.acks;
    buf_free(&doc);
    return e;
}

/* --- reading --- */

static void gathered(void *user, enum err e, const struct swarm_gather_result *result,
                     const struct errmsg *msg)
{
    (void)result;
    end_wait(user, e, msg);
}

enum err sim_backup_read(struct sim_backup *b, unsigned number)
{
    const struct sim_segment *segment = &b->segments[number];
    const size_t size = (size_t)segment->k * segment->header.shard_bytes;
    struct swarm_holder holders[SIM_BACKUP_SHARDS_MAX];
    struct swarm_gather *operation;
    struct wait wait = {0};
    struct id digest;
    size_t count = 0;
    enum err e = sim_backup_refresh(b);
    if (e != ERR_OK)
        return e;
    for (unsigned i = 0; i < segment->k + segment->m; i++)
        if (!id_is_zero(&segment->holders[i]))
            holders[count++] = (struct swarm_holder){segment->holders[i], (uint8_t)i};
    uint8_t *payload = calloc(1, size);
    const struct swarm_range whole = {.offset = 0, .size = (uint32_t)size};
    const struct swarm_gather_request request = {
        .segment = segment->id,
        .header = &segment->header,
        .holders = holders,
        .holder_count = count,
        .ranges = &whole,
        .range_count = 1,
        .payload = payload,
        .net_class = NET_RESTORE,
        .check_decoded = true,
    };
    e = swarm_gather_start(b->swarm, &request, gathered, &wait, &operation, &wait.msg);
    if (e == ERR_OK)
        e = wait_for(b, &wait);
    if (e == ERR_OK) {
        digest_of(payload, size, &digest);
        e = id_equal(&digest, &segment->digest) ? ERR_OK : ERR_CORRUPT;
    }
    free(payload);
    return e;
}

/* --- the truth --- */

int sim_swarm_number(const struct sim_swarm *s, const struct id *cell)
{
    for (unsigned i = 0; i < s->options.cells; i++)
        if (id_equal(&s->cells[i].node->id, cell))
            return (int)i;
    return -1;
}

struct looking {
    struct sim_truth *truth;
    unsigned cell;
};

static enum err look(void *user, const struct store_shard *shard)
{
    const struct looking *l = user;
    if (shard->state == STORE_WHOLE && shard->index < SIM_BACKUP_SHARDS_MAX)
        l->truth->at[shard->index][l->cell] = true;
    return ERR_OK;
}

void sim_backup_truth(struct sim_backup *b, unsigned number, struct sim_truth *out)
{
    struct sim_swarm *s = b->device->swarm;
    *out = (struct sim_truth){0};
    for (unsigned i = 0; i < s->options.cells; i++) {
        struct looking l = {out, i};
        struct errmsg msg;
        if (s->cells[i].store)
            must(store_segment(s->cells[i].store, &b->segments[number].id, look, &l, &msg), &msg,
                 "looking into a store");
    }
    for (unsigned i = 0; i < b->segments[number].k + b->segments[number].m; i++) {
        bool somewhere = false;
        for (unsigned c = 0; c < s->options.cells; c++)
            somewhere |= out->at[i][c];
        out->whole += somewhere;
    }
}

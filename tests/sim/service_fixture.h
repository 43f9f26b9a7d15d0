/* What the tests of the daemons' libraries share: a small swarm, two devices, made-up shards. */
#pragma once

#include "sim_swarm.h"

#include "identity/claim.h"
#include "identity/grant.h"
#include "identity/head.h"
#include "identity/receipt.h"
#include "identity/signed_record.h"
#include "segment/segment_header.h"
#include "wire/wire_cell.h"
#include "wire/wire_heads.h"
#include "wire/wire_hello.h"
#include "wire/wire_ids.h"
#include "wire/wire_path.h"
#include "wire/wire_shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CELLS = 3, SHARD_BYTES = 135168 /* two leaves and a bit */ };

struct fixture {
    struct sim_world *world;
    struct sim_swarm *swarm;
    struct sim_device *owner, *other;
    struct buf reply, body;
    unsigned status;
};

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->world = sim_world_new(7);
    f->swarm = sim_swarm_new(f->world, &(struct sim_swarm_options){.cells = CELLS});
    f->owner = sim_device_new(f->swarm, 1);
    f->other = sim_device_new(f->swarm, 2);
    f->reply = BUF_INIT(16u << 20);
    f->body = BUF_INIT(16u << 20);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    buf_free(&f->reply);
    buf_free(&f->body);
    sim_device_free(f->owner);
    sim_device_free(f->other);
    sim_swarm_free(f->swarm);
    sim_world_free(f->world);
    free(f);
    return 0;
}

/* --- a 2+1 segment of which shard 0 exists --- */

struct shard {
    struct id segment;
    uint8_t header[SEGMENT_HEADER_SIZE_MAX];
    size_t header_bytes;
    uint8_t payload[SHARD_BYTES];
    struct merkle_hash root;
};

static inline struct shard *shard_make(const struct sim_device *d, uint8_t fill)
{
    struct shard *s = calloc(1, sizeof(*s));
    struct segment_header header = {.suite = 1,
                                    .k = 2,
                                    .m = 1,
                                    .shard_bytes = SHARD_BYTES,
                                    .device_slot = d->slot,
                                    .epoch = 1,
                                    .account = d->account.account};
    struct merkle_hash leaves[3];
    struct sha256 *hash;
    assert_int_equal(sha256_new(&hash), ERR_OK);
    for (size_t i = 0; i < SHARD_BYTES; i++)
        s->payload[i] = (uint8_t)(i * 31 + i / 977 + fill);
    for (uint32_t i = 0; i < 3; i++)
        sha256_leaf(
            hash,
            slice_of(s->payload + (size_t)i * LIMIT_LEAF_BYTES, segment_leaf_bytes(SHARD_BYTES, i)),
            leaves[i].bytes);
    merkle_root(hash, leaves, 3, &s->root);
    header.roots[0] = s->root;
    sha256_free(hash);
    s->header_bytes = segment_header_size(2, 1);
    segment_header_encode(&header, s->header);
    segment_header_id(slice_of(s->header, s->header_bytes), &s->segment);
    return s;
}

/* A grant for `device` on cell `number`, from the coordinator. */
static inline void get_grant(struct fixture *f, struct sim_device *d, unsigned number,
                             uint64_t bytes, struct buf *out)
{
    const struct wire_want want = {.cell = f->swarm->cells[number].node->id, .bytes = bytes};
    struct wire_list list;
    struct slice doc;
    buf_clear(&f->body);
    assert_int_equal(wire_place_encode(1, &want, 1, &f->body), ERR_OK);
    assert_int_equal(sim_ask(f->swarm, d->node, &f->swarm->coordinator_node->id, "coordinator:1",
                             NET_POST, wire_path_plain(WIRE_PLACE), buf_slice(&f->body), &f->status,
                             &f->reply),
                     ERR_OK);
    assert_int_equal(wire_grants_decode(buf_slice(&f->reply), &list), ERR_OK);
    buf_clear(out);
    if (wire_grants_next(&list, &doc))
        assert_int_equal(buf_append(out, doc.data, doc.size), ERR_OK);
}

struct put {
    struct shard *shard;
    struct sim_device *as; /* who sends and signs the record */
    struct slice grant;
    unsigned cell;
    unsigned index;
    size_t payload_bytes; /* sent */
};

static inline enum err do_put(struct fixture *f, const struct put *put)
{
    struct buf record = BUF_INIT(SIGNED_RECORD_BYTES_MAX);
    const struct signed_record r = {.segment = put->shard->segment,
                                    .account = put->as->account.account,
                                    .slot = put->as->slot,
                                    .list_number = 1,
                                    .sequence = 1};
    struct sim_cell *cell = &f->swarm->cells[put->cell];
    char path[WIRE_PATH_SIZE];
    const struct wire_path name = {
        .route = WIRE_SHARD, .id = put->shard->segment, .index = put->index};
    assert_int_equal(signed_record_make(&r, &f->swarm->root, put->as->key, &record), ERR_OK);
    const struct wire_prelude prelude = {
        .grant = put->grant,
        .record = buf_slice(&record),
        .header = slice_of(put->shard->header, put->shard->header_bytes)};
    buf_clear(&f->body);
    assert_int_equal(wire_prelude_encode(&prelude, &f->body), ERR_OK);
    assert_int_equal(buf_append(&f->body, put->shard->payload, put->payload_bytes), ERR_OK);
    const enum err e =
        sim_ask(f->swarm, put->as->node, &cell->node->id, cell->address, NET_PUT,
                wire_path_format(&name, path), buf_slice(&f->body), &f->status, &f->reply);
    buf_free(&record);
    return e;
}

static inline enum err do_get(struct fixture *f, struct sim_node *from, const struct shard *s,
                              unsigned cell)
{
    char path[WIRE_PATH_SIZE];
    const struct wire_path name = {.route = WIRE_SHARD, .id = s->segment, .index = 0};
    return sim_ask(f->swarm, from, &f->swarm->cells[cell].node->id, f->swarm->cells[cell].address,
                   NET_GET, wire_path_format(&name, path), slice_of(NULL, 0), &f->status,
                   &f->reply);
}

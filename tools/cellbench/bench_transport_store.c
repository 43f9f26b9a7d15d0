#include "bench_transport_store.h"

#include "identity/grant.h"
#include "identity/signed_record.h"
#include "segment/segment_header.h"
#include "wire/wire_path.h"
#include "wire/wire_shard.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CODE_K = 4, CODE_M = 2, HEADER_SIZE = SEGMENT_HEADER_FIXED_SIZE + 32 * (CODE_K + CODE_M) };

/* --- the cells' process --- */

static void on_term(void *user, int number)
{
    (void)number;
    uvio_stop(user);
}

static bool announce(const struct machine *machine, int out)
{
    const struct bench_announced a = {.id = *sign_key_id(machine->key),
                                      .port = uvio_net_listen_port(machine->net)};
    return write(out, &a, sizeof(a)) == sizeof(a);
}

int bench_store_serve(const char *dir, unsigned cells, int out)
{
    struct machines *m = calloc(1, sizeof(*m));
    if (!m)
        return 1;
    enum err e = machines_begin(m, dir);
    if (e == ERR_OK)
        e = uvio_on_signal(m->io, SIGTERM, on_term, m->io, &m->msg);
    if (e == ERR_OK)
        e = machines_start_swarm(m, cells);
    if (e != ERR_OK) {
        (void)fprintf(stderr, "cellbench transport: %s\n", m->msg.text);
        return 1;
    }
    bool good = announce(&m->coordinator, out);
    for (unsigned i = 0; i < cells && good; i++)
        good = announce(&m->cells[i], out);
    if (good)
        uvio_run(m->io);
    return good ? 0 : 1;
}

/* --- the device --- */

struct shard {
    uint8_t header[HEADER_SIZE];
    struct id segment;
    struct buf record;
};

struct bench_store {
    struct machines *m;
    struct buf grants[MACHINES_CELLS_MAX];
    struct shard *shards;
    size_t count, next;
    uint32_t salt;
};

static enum err make_grant(struct bench_store *s, unsigned cell)
{
    const struct machines *m = s->m;
    const struct grant grant = {
        .id = {(uint8_t)(cell + 1)},
        .incarnation = 1,
        .account = m->keys.account,
        .device = *sign_key_id(m->device.key),
        .cell = *sign_key_id(m->cells[cell].key),
        .list_number = 1,
        .expires_s = machines_wall_s(m) + 86400,
        .budget_bytes = GIB(64),
    };
    s->grants[cell] = BUF_INIT(GRANT_BYTES_MAX);
    return grant_make(&grant, &m->root, m->coordinator.key, &s->grants[cell]);
}

struct bench_store *bench_store_join(struct machines *m, struct bench_client *client,
                                     unsigned cells, int in)
{
    char address[32];
    struct bench_announced coordinator;
    struct bench_store *s = calloc(1, sizeof(*s));
    if (!s || read(in, &coordinator, sizeof(coordinator)) != sizeof(coordinator) ||
        !bench_client_read_peers(client, cells, in)) {
        free(s);
        return NULL;
    }
    s->m = m;
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", coordinator.port);
    m->e = machines_start_device(m, address);
    for (unsigned i = 0; i < cells && m->e == ERR_OK; i++)
        m->e = make_grant(s, i);
    client->io = m->io;
    client->net = m->device.net;
    if (m->e == ERR_OK)
        return s;
    (void)fprintf(stderr, "cellbench transport: %s\n", m->msg.text);
    bench_store_free(s);
    return NULL;
}

static void drop_shards(struct bench_store *s)
{
    for (size_t i = 0; i < s->count; i++)
        buf_free(&s->shards[i].record);
    free(s->shards);
    s->shards = NULL;
    s->count = s->next = 0;
}

void bench_store_free(struct bench_store *s)
{
    if (!s)
        return;
    drop_shards(s);
    for (unsigned i = 0; i < MACHINES_CELLS_MAX; i++)
        buf_free(&s->grants[i]);
    free(s);
}

static enum err root_of(const struct bench_client *client, struct merkle_hash *out)
{
    struct merkle_hash leaves[LIMIT_SHARD_BYTES / LIMIT_LEAF_BYTES];
    const uint32_t count = segment_leaf_count((uint32_t)client->size);
    struct sha256 *h;
    const enum err e = sha256_new(&h);
    if (e != ERR_OK)
        return e;
    for (uint32_t i = 0; i < count; i++)
        sha256_leaf(h,
                    slice_of(client->bytes + (size_t)i * LIMIT_LEAF_BYTES,
                             segment_leaf_bytes((uint32_t)client->size, i)),
                    leaves[i].bytes);
    merkle_root(h, leaves, count, out);
    sha256_free(h);
    return ERR_OK;
}

/* All of a segment's shards have the same bytes here; only one of them is stored. */
static enum err make_shard(struct bench_store *s, const struct bench_client *client,
                           const struct merkle_hash *root, struct shard *out)
{
    const struct machines *m = s->m;
    struct segment_header header = {.suite = 1,
                                    .k = CODE_K,
                                    .m = CODE_M,
                                    .shard_bytes = (uint32_t)client->size,
                                    .account = m->keys.account};
    put_le32(header.salt, ++s->salt);
    for (unsigned i = 0; i < CODE_K + CODE_M; i++)
        header.roots[i] = *root;
    segment_header_encode(&header, out->header);
    segment_header_id(slice_of(out->header, HEADER_SIZE), &out->segment);
    out->record = BUF_INIT(4096);
    const struct signed_record record = {
        .segment = out->segment, .account = m->keys.account, .sequence = 1};
    return signed_record_make(&record, &m->root, m->device.key, &out->record);
}

static enum err next_shard(void *user, unsigned peer, char path[BENCH_PATH_SIZE], struct buf *head)
{
    struct bench_store *s = user;
    if (s->next == s->count)
        return ERR_STATE;
    const struct shard *shard = &s->shards[s->next++];
    const struct wire_path where = {.route = WIRE_SHARD, .id = shard->segment};
    const struct wire_prelude prelude = {.grant = buf_slice(&s->grants[peer]),
                                         .record = buf_slice(&shard->record),
                                         .header = slice_of(shard->header, HEADER_SIZE)};
    (void)wire_path_format(&where, path);
    return wire_prelude_encode(&prelude, head);
}

bool bench_store_prepare(struct bench_store *s, struct bench_client *client, uint64_t count)
{
    struct merkle_hash root;
    drop_shards(s);
    s->shards = calloc(count, sizeof(*s->shards));
    if (!s->shards || root_of(client, &root) != ERR_OK)
        return false;
    for (; s->count < count; s->count++)
        if (make_shard(s, client, &root, &s->shards[s->count]) != ERR_OK)
            return false;
    client->prepare = next_shard;
    client->prepare_user = s;
    return true;
}

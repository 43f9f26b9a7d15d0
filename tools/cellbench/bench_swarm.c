/*
 * cellbench swarm: a coordinator, k + m cells and a device in one process, over TCP, TLS 1.3 and
 * HTTP/2 on loopback, with real stores that fsync. Uploads segments of 16 MiB, some at once, then
 * gathers all of them, then again with one cell away, so that every segment is decoded. The one
 * loop thread does the network of all of them: a figure is for both ends together.
 */
#include "bench_swarm.h"

#include "bench_machines.h"
#include "erasure/erasure.h"
#include "identity/signed_record.h"
#include "swarm/swarm_gather.h"
#include "swarm/swarm_upload.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum { CELLS_MAX = MACHINES_CELLS_MAX, AT_ONCE_MAX = 16 };

/* A segment on its way: its bytes are made once and used for all, only the salt differs. */
struct job {
    struct bench *bench;
    bool busy;
    unsigned number; /* of the segment */
    uint8_t *payload;
};

struct made {
    struct segment_header header;
    uint8_t bytes[SEGMENT_HEADER_SIZE_MAX];
    struct id id;
    struct buf record;
    struct swarm_holder holders[CELLS_MAX];
};

struct bench {
    struct machines machines;
    unsigned k, m, n, segments, at_once;
    bool json;
    struct swarm *swarm;
    uint32_t shard_bytes;
    uint8_t *shards;
    struct slice shard[CELLS_MAX];
    struct made *made;
    struct job jobs[AT_ONCE_MAX];
    unsigned next, ended;
    bool gathering;
};

static void went(void *user, enum err e, const struct errmsg *msg)
{
    struct machines *m = user;
    (void)machines_failed(m, e, msg);
    uvio_stop(m->io);
}

/* ---- the device's side ---- */

static enum err open_swarm(struct bench *b)
{
    struct machines *m = &b->machines;
    const char *const coordinator[] = {uvio_net_listen_address(m->coordinator.net)};
    const struct swarm_options options = {
        .net = m->device.net,
        .clock = uvio_clock(m->io),
        .random = uvio_random(m->io),
        .work = uvio_work(m->io),
        .root = &m->root,
        .account = m->keys.account,
        .coordinator = *sign_key_id(m->coordinator.key),
        .coordinator_addresses = coordinator,
        .coordinator_address_count = 1,
    };
    m->e = swarm_open(&options, &b->swarm, &m->msg);
    if (m->e == ERR_OK)
        m->e = swarm_introduce(b->swarm, &m->hello, &m->msg);
    if (m->e == ERR_OK)
        m->e = swarm_refresh(b->swarm, went, m, &m->msg);
    if (m->e == ERR_OK)
        uvio_run(m->io);
    return m->e;
}

/* ---- segments ---- */

static enum err make_shards(struct bench *b)
{
    const uint8_t *data[CELLS_MAX];
    uint8_t *parity[CELLS_MAX];
    struct erasure *code;
    b->shard_bytes = segment_shard_bytes_max(b->k);
    b->shards = malloc((size_t)b->n * b->shard_bytes);
    b->made = calloc(b->segments, sizeof(*b->made));
    if (!b->shards || !b->made)
        return ERR_NOMEM;
    random_fill(uvio_random(b->machines.io), b->shards, (size_t)b->k * b->shard_bytes);
    for (unsigned i = 0; i < b->n; i++) {
        uint8_t *shard = b->shards + (size_t)i * b->shard_bytes;
        b->shard[i] = slice_of(shard, b->shard_bytes);
        if (i < b->k)
            data[i] = shard;
        else
            parity[i - b->k] = shard;
    }
    enum err e = erasure_new(b->k, b->m, NULL, &code, &b->machines.msg);
    if (e != ERR_OK)
        return e;
    erasure_encode(code, data, parity, b->shard_bytes);
    erasure_free(code);
    return ERR_OK;
}

static enum err make_headers(struct bench *b)
{
    struct merkle_hash roots[CELLS_MAX], leaves[64];
    const uint32_t count = segment_leaf_count(b->shard_bytes);
    struct sha256 *h;
    enum err e = sha256_new(&h);
    for (unsigned i = 0; i < b->n && e == ERR_OK; i++) {
        for (uint32_t j = 0; j < count; j++)
            sha256_leaf(h,
                        slice_of(b->shard[i].data + (size_t)j * LIMIT_LEAF_BYTES,
                                 segment_leaf_bytes(b->shard_bytes, j)),
                        leaves[j].bytes);
        merkle_root(h, leaves, count, &roots[i]);
    }
    for (unsigned i = 0; i < b->segments && e == ERR_OK; i++) {
        struct made *made = &b->made[i];
        made->header = (struct segment_header){.suite = 1,
                                               .k = (uint8_t)b->k,
                                               .m = (uint8_t)b->m,
                                               .shard_bytes = b->shard_bytes,
                                               .account = b->machines.keys.account};
        put_le32(made->header.salt, i);
        memcpy(made->header.roots, roots, b->n * sizeof(roots[0]));
        segment_header_encode(&made->header, made->bytes);
        segment_header_id(slice_of(made->bytes, segment_header_size(b->k, b->m)), &made->id);
        made->record = BUF_INIT(4096);
        e = signed_record_make(&(struct signed_record){.segment = made->id,
                                                       .account = b->machines.keys.account,
                                                       .sequence = 1},
                               &b->machines.root, b->machines.device.key, &made->record);
    }
    sha256_free(h);
    return e;
}

static void more(struct bench *b);

static void job_ended(struct job *job, enum err e, const struct errmsg *msg)
{
    struct bench *b = job->bench;
    job->busy = false;
    if (machines_failed(&b->machines, e, msg))
        return;
    if (++b->ended == b->segments)
        uvio_stop(b->machines.io);
    else
        more(b);
}

static void receipted(void *user, unsigned index, const struct id *cell, struct slice receipt)
{
    (void)receipt;
    struct job *job = user;
    job->bench->made[job->number].holders[index] =
        (struct swarm_holder){.cell = *cell, .index = (uint8_t)index};
}

static void uploaded(void *user, enum err e, const struct swarm_upload_result *result,
                     const struct errmsg *msg)
{
    (void)result;
    job_ended(user, e, msg);
}

static void gathered(void *user, enum err e, const struct swarm_gather_result *result,
                     const struct errmsg *msg)
{
    (void)result;
    struct job *job = user;
    struct bench *b = job->bench;
    static const struct errmsg wrong = {"the bytes that came are not those that were sent"};
    if (e == ERR_OK && memcmp(job->payload, b->shards, (size_t)b->k * b->shard_bytes) != 0)
        job_ended(job, ERR_CORRUPT, &wrong);
    else
        job_ended(job, e, msg);
}

static enum err job_start(struct bench *b, struct job *job)
{
    struct made *made = &b->made[job->number];
    const struct swarm_range all = {0, b->k * b->shard_bytes};
    if (b->gathering)
        return swarm_gather_start(b->swarm,
                                  &(struct swarm_gather_request){.segment = made->id,
                                                                 .header = &made->header,
                                                                 .holders = made->holders,
                                                                 .holder_count = b->n,
                                                                 .ranges = &all,
                                                                 .range_count = 1,
                                                                 .payload = job->payload,
                                                                 .net_class = NET_RESTORE},
                                  gathered, job, NULL, &b->machines.msg);
    return swarm_upload_start(b->swarm,
                              &(struct swarm_upload_request){
                                  .segment = made->id,
                                  .header = slice_of(made->bytes, segment_header_size(b->k, b->m)),
                                  .record = buf_slice(&made->record),
                                  .k = b->k,
                                  .m = b->m,
                                  .shard_bytes = b->shard_bytes,
                                  .shards = b->shard,
                                  .net_class = NET_BACKUP},
                              receipted, uploaded, job, NULL, &b->machines.msg);
}

static void more(struct bench *b)
{
    for (unsigned i = 0; i < b->at_once && b->next < b->segments; i++) {
        struct job *job = &b->jobs[i];
        if (job->busy)
            continue;
        job->bench = b;
        job->busy = true;
        job->number = b->next++;
        if (machines_failed(&b->machines, job_start(b, job), NULL))
            return;
    }
}

/* All segments once; seconds that it took. */
static double pass(struct bench *b, bool gathering)
{
    const uint64_t start_ns = clock_mono_ns(uvio_clock(b->machines.io));
    b->gathering = gathering;
    b->next = b->ended = 0;
    more(b);
    if (b->machines.e == ERR_OK)
        uvio_run(b->machines.io);
    return (double)(clock_mono_ns(uvio_clock(b->machines.io)) - start_ns) / 1e9;
}

static void net_gone(void *user)
{
    struct bench *b = user;
    uvio_stop(b->machines.io);
}

static void cell_gone(void *user)
{
    struct bench *b = user;
    uvio_net_close(b->machines.cells[0].net, 0, net_gone, b);
}

/* One cell is gone from here on: first the cell, which has heartbeats to send, then its net. */
static void lose_one(struct bench *b)
{
    cell_stop(b->machines.cells[0].cell, cell_gone, b);
    uvio_run(b->machines.io);
}

static void say(const struct bench *b, double upload_s, double gather_s, double decode_s)
{
    const double mb = (double)b->segments * b->k * b->shard_bytes / 1e6;
    if (b->json)
        (void)printf("{\"bench\":\"swarm\",\"k\":%u,\"m\":%u,\"segments\":%u,"
                     "\"upload_mb_s\":%.1f,\"gather_mb_s\":%.1f,\"gather_decoded_mb_s\":%.1f}\n",
                     b->k, b->m, b->segments, mb / upload_s, mb / gather_s, mb / decode_s);
    else
        (void)printf("%u+%u, %u segments of %.1f MB, %u at once; MB/s of payload, both ends on one "
                     "loop thread\n  upload, receipted  %8.1f\n  gather             %8.1f\n"
                     "  gather, one lost   %8.1f\n",
                     b->k, b->m, b->segments, (double)b->k * b->shard_bytes / 1e6, b->at_once,
                     mb / upload_s, mb / gather_s, mb / decode_s);
}

static enum err run(struct bench *b, const char *dir)
{
    struct machines *m = &b->machines;
    enum err e = machines_begin(m, dir);
    if (e == ERR_OK)
        e = machines_start_swarm(m, b->n);
    if (e == ERR_OK)
        e = machines_start_device(m, uvio_net_listen_address(m->coordinator.net));
    if (e == ERR_OK)
        e = open_swarm(b);
    if (e == ERR_OK)
        e = make_shards(b);
    if (e == ERR_OK)
        e = make_headers(b);
    for (unsigned i = 0; i < b->at_once && e == ERR_OK; i++)
        if (!(b->jobs[i].payload = malloc((size_t)b->k * b->shard_bytes)))
            e = ERR_NOMEM;
    if (e != ERR_OK)
        return e;
    const double upload_s = pass(b, false);
    const double gather_s = b->machines.e == ERR_OK ? pass(b, true) : 0;
    if (b->machines.e == ERR_OK)
        lose_one(b);
    const double decode_s = b->machines.e == ERR_OK ? pass(b, true) : 0;
    if (b->machines.e == ERR_OK)
        say(b, upload_s, gather_s, decode_s);
    return b->machines.e;
}

int bench_swarm(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"k", required_argument, NULL, 'k'},
                                            {"m", required_argument, NULL, 'm'},
                                            {"segments", required_argument, NULL, 's'},
                                            {"at-once", required_argument, NULL, 'a'},
                                            {"dir", required_argument, NULL, 'd'},
                                            {NULL, 0, NULL, 0}};
    static struct bench b = {.k = 4, .m = 2, .segments = 32, .at_once = 3};
    const char *base = NULL;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        const unsigned value = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;
        if (option == 'j')
            b.json = true;
        else if (option == 'k')
            b.k = value;
        else if (option == 'm')
            b.m = value;
        else if (option == 's')
            b.segments = value;
        else if (option == 'a')
            b.at_once = value;
        else if (option == 'd')
            base = optarg;
    }
    b.n = b.k + b.m;
    if (!base || b.k == 0 || b.m == 0 || b.n > CELLS_MAX || b.segments == 0 || b.at_once == 0 ||
        b.at_once > AT_ONCE_MAX) {
        (void)fputs("usage: cellbench swarm --dir DIRECTORY [--k K] [--m M] [--segments N] "
                    "[--at-once N] [--json]\n",
                    stderr);
        return 2;
    }
    char dir[256];
    (void)snprintf(dir, sizeof(dir), "%s/cellbench-XXXXXX", base);
    if (!mkdtemp(dir)) {
        perror("cellbench: the directory");
        return 1;
    }
    const enum err e = run(&b, dir);
    machines_remove(dir);
    if (e != ERR_OK)
        (void)fprintf(stderr, "cellbench: %s\n",
                      b.machines.msg.text[0] ? b.machines.msg.text : err_words(e));
    return e == ERR_OK ? 0 : 1; /* the process ends here: what is open ends with it */
}

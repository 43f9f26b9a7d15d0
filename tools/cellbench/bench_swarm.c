/*
 * cellbench swarm: a coordinator, k + m cells and a device in one process, over TCP, TLS 1.3 and
 * HTTP/2 on loopback, with real stores that fsync. Uploads segments of 16 MiB, some at once, then
 * gathers all of them, then again with one cell away, so that every segment is decoded. The one
 * loop thread does the network of all of them: a figure is for both ends together.
 */
#include "bench_swarm.h"

#include "cell.h"
#include "coordinator.h"
#include "crypto/crypto.h"
#include "erasure/erasure.h"
#include "identity/account.h"
#include "identity/signed_record.h"
#include "swarm/swarm_gather.h"
#include "swarm/swarm_join.h"
#include "swarm/swarm_upload.h"
#include "uvio/uvio_disk.h"
#include "uvio/uvio_net.h"

#include <ftw.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum { CELLS_MAX = 16, AT_ONCE_MAX = 16 };

struct node {
    struct bench *bench;
    uint8_t seed[UVIO_NET_SEED_SIZE];
    struct sign_key *key;
    struct net *net;
    struct work_lane *lane;
    struct disk *disk;
    struct store *store;
    struct cell *cell;
    char catalogue[512];
    const char *address, *coordinator; /* borrowed by the cell for its life */
};

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
    unsigned k, m, n, segments, at_once;
    const char *dir;
    bool json;
    struct uvio *io;
    struct sign_key *root_key;
    struct swarm_root root;
    struct buf certificate, cell_invite, account_invite, manifest;
    struct node coordinator, device, cells[CELLS_MAX];
    struct registry *registry;
    struct coordinator *service;
    struct account_keys keys;
    struct swarm *swarm;
    uint32_t shard_bytes;
    uint8_t *shards;
    struct slice shard[CELLS_MAX];
    struct made *made;
    struct job jobs[AT_ONCE_MAX];
    unsigned next, ended, joined;
    bool gathering, wait;
    enum err e;
    struct errmsg msg;
};

static int64_t wall_s(const struct bench *b)
{
    return clock_wall_ns(uvio_clock(b->io)) / 1000000000;
}

static bool failed(struct bench *b, enum err e, const struct errmsg *msg)
{
    if (e != ERR_OK && b->e == ERR_OK) {
        b->e = e;
        if (msg && msg != &b->msg)
            b->msg = *msg;
        uvio_stop(b->io);
    }
    return e != ERR_OK;
}

static void went(void *user, enum err e, const struct errmsg *msg)
{
    struct bench *b = user;
    (void)failed(b, e, msg);
    uvio_stop(b->io);
}

/* ---- the machines ---- */

static enum err node_new(struct bench *b, struct node *node, const char *name, uint8_t number,
                         bool listens)
{
    const struct uvio_net_options options = {.seed = node->seed,
                                             .listen = listens ? "127.0.0.1:0" : NULL};
    char path[512];
    node->bench = b;
    node->seed[0] = number;
    node->seed[1] = 0xbe;
    enum err e = sign_key_new(node->seed, &node->key);
    if (e == ERR_OK)
        e = uvio_net_open(b->io, &options, &node->net, &b->msg);
    if (e != ERR_OK)
        return e;
    node->lane = work_lane_new(uvio_work(b->io), name);
    (void)snprintf(path, sizeof(path), "%s/%s", b->dir, name);
    (void)snprintf(node->catalogue, sizeof(node->catalogue), "%s/%s", path,
                   number == 0 ? REGISTRY_FILE : STORE_CATALOGUE_NAME);
    if (!node->lane)
        return ERR_NOMEM;
    return uvio_disk_open(path, UVIO_DISK_CREATE, &node->disk, &b->msg);
}

static enum err invite(struct bench *b, enum invite_kind kind, struct buf *out)
{
    const struct invite made = {.kind = kind,
                                .id = {(uint8_t)kind},
                                .uses = CELLS_MAX,
                                .expires_s = wall_s(b) + 86400,
                                .incarnation = 1};
    *out = BUF_INIT(4096);
    return invite_make(&made, &b->root, b->coordinator.key, out);
}

static enum err start_coordinator(struct bench *b)
{
    struct coordinator_cert cert = {.incarnation = 1, .time_s = wall_s(b)};
    static const uint8_t seed[32] = {0x70};
    enum err e = sign_key_new(seed, &b->root_key);
    if (e == ERR_OK)
        e = node_new(b, &b->coordinator, "coordinator", 0, true);
    if (e != ERR_OK)
        return e;
    swarm_root_of(sign_key_public(b->root_key), &b->root);
    memcpy(cert.key, sign_key_public(b->coordinator.key), SIGN_PUBLIC_SIZE);
    b->certificate = BUF_INIT(8192);
    e = address_list_add(&cert.addresses, uvio_net_listen_address(b->coordinator.net));
    if (e == ERR_OK)
        e = coordinator_cert_make(&cert, &b->root, b->root_key, &b->certificate);
    const struct registry_options registry = {
        .path = b->coordinator.catalogue,
        .key = b->coordinator.key,
        .swarm = &b->root,
        .certificate = buf_slice(&b->certificate),
        .incarnation = 1,
        .random = uvio_random(b->io),
        .asleep_after_ms = 3600000,
        .gone_after_ms = 86400000,
    };
    if (e == ERR_OK)
        e = registry_open(&registry, &b->registry, &b->msg);
    const struct coordinator_options options = {
        .net = b->coordinator.net,
        .clock = uvio_clock(b->io),
        .work = uvio_work(b->io),
        .registry = b->registry,
        .lane = b->coordinator.lane,
        .key = b->coordinator.key,
        .swarm = &b->root,
        .certificate = buf_slice(&b->certificate),
        .redundancy = "",
        .heartbeat_ms = 60000,
    };
    if (e == ERR_OK)
        e = coordinator_new(&options, &b->service, &b->msg);
    if (e == ERR_OK)
        e = invite(b, INVITE_CELL, &b->cell_invite);
    return e != ERR_OK ? e : invite(b, INVITE_ACCOUNT, &b->account_invite);
}

static void cell_joined(void *user, enum err e, const struct errmsg *msg)
{
    struct bench *b = user;
    if (!failed(b, e, msg) && ++b->joined == b->n)
        uvio_stop(b->io);
}

static enum err start_cell(struct bench *b, unsigned number)
{
    struct node *node = &b->cells[number];
    char name[16];
    (void)snprintf(name, sizeof(name), "cell%u", number);
    enum err e = node_new(b, node, name, (uint8_t)(number + 2), true);
    if (e != ERR_OK)
        return e;
    const struct store_options store = {
        .disk = node->disk,
        .random = uvio_random(b->io),
        .catalogue_path = node->catalogue,
        .cell = *sign_key_id(node->key),
        .first_start = true,
        .give_bytes = GIB(64),
        .reserve_bytes = 4096,
    };
    e = store_open(&store, &node->store, &b->msg);
    node->address = uvio_net_listen_address(node->net);
    node->coordinator = uvio_net_listen_address(b->coordinator.net);
    struct cell_options options = {
        .net = node->net,
        .clock = uvio_clock(b->io),
        .random = uvio_random(b->io),
        .work = uvio_work(b->io),
        .store = node->store,
        .lane = node->lane,
        .key = node->key,
        .coordinator = *sign_key_id(b->coordinator.key),
        .coordinator_addresses = &node->coordinator,
        .coordinator_address_count = 1,
        .invite = buf_slice(&b->cell_invite),
        .addresses = &node->address,
        .address_count = 1,
        .site = "",
        .give_bytes = GIB(64),
        .claim_code = "",
    };
    memcpy(options.swarm_root, b->root.key, sizeof(options.swarm_root));
    if (e == ERR_OK)
        e = cell_new(&options, &node->cell, &b->msg);
    return e != ERR_OK ? e : cell_start(node->cell, cell_joined, b, &b->msg);
}

static void account_joined(void *user, enum err e, const struct wire_join_reply *reply,
                           const struct errmsg *msg)
{
    (void)reply;
    went(user, e, msg);
}

static enum err make_manifest(struct bench *b)
{
    static const uint8_t entropy[32] = {9};
    struct manifest_device device = {.capabilities = MANIFEST_PUT | MANIFEST_READ | MANIFEST_ADMIN,
                                     .name = "bench"};
    struct manifest *m = NULL;
    uint32_t slot;
    enum err e = account_keys_derive(entropy, &b->root, &b->keys);
    if (e == ERR_OK)
        e = manifest_new(&b->root, sign_key_public(b->keys.root), b->keys.reading_public, &m);
    if (e != ERR_OK)
        return e;
    memcpy(device.key, sign_key_public(b->device.key), SIGN_PUBLIC_SIZE);
    e = manifest_add_device(m, &device, &slot);
    m->number = manifest_next_number(0, true);
    m->hold_s = MANIFEST_HOLD_DEFAULT_S;
    m->time_s = wall_s(b);
    b->manifest = BUF_INIT(LIMIT_MANIFEST_BYTES);
    if (e == ERR_OK)
        e = manifest_certify_admins(m, &b->root, b->keys.root);
    if (e == ERR_OK)
        e = manifest_make(m, &b->root, b->keys.root, &b->manifest);
    manifest_free(m);
    return e;
}

/* Joins the swarm with an account, and opens it. */
static enum err start_device(struct bench *b)
{
    enum err e = node_new(b, &b->device, "device", 1, false);
    if (e == ERR_OK)
        e = make_manifest(b);
    if (e != ERR_OK)
        return e;
    const char *const coordinator[] = {uvio_net_listen_address(b->coordinator.net)};
    const struct swarm_join_request join = {
        .net = b->device.net,
        .coordinator = *sign_key_id(b->coordinator.key),
        .addresses = coordinator,
        .address_count = 1,
        .join = {.kind = WIRE_JOIN_ACCOUNT,
                 .invite = buf_slice(&b->account_invite),
                 .document = buf_slice(&b->manifest)},
    };
    e = swarm_join(&join, account_joined, b, &b->msg);
    if (e != ERR_OK)
        return e;
    uvio_run(b->io);
    const struct swarm_options options = {
        .net = b->device.net,
        .clock = uvio_clock(b->io),
        .random = uvio_random(b->io),
        .work = uvio_work(b->io),
        .root = &b->root,
        .account = b->keys.account,
        .coordinator = join.coordinator,
        .coordinator_addresses = coordinator,
        .coordinator_address_count = 1,
    };
    if (b->e == ERR_OK)
        b->e = swarm_open(&options, &b->swarm, &b->msg);
    const struct wire_hello hello = {.kind = WIRE_PEER_DEVICE,
                                     .document = buf_slice(&b->manifest),
                                     .manifest_number = manifest_next_number(0, true)};
    if (b->e == ERR_OK)
        b->e = swarm_introduce(b->swarm, &hello, &b->msg);
    if (b->e == ERR_OK)
        b->e = swarm_refresh(b->swarm, went, b, &b->msg);
    if (b->e == ERR_OK)
        uvio_run(b->io);
    return b->e;
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
    random_fill(uvio_random(b->io), b->shards, (size_t)b->k * b->shard_bytes);
    for (unsigned i = 0; i < b->n; i++) {
        uint8_t *shard = b->shards + (size_t)i * b->shard_bytes;
        b->shard[i] = slice_of(shard, b->shard_bytes);
        if (i < b->k)
            data[i] = shard;
        else
            parity[i - b->k] = shard;
    }
    enum err e = erasure_new(b->k, b->m, NULL, &code, &b->msg);
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
                                               .account = b->keys.account};
        put_le32(made->header.salt, i);
        memcpy(made->header.roots, roots, b->n * sizeof(roots[0]));
        segment_header_encode(&made->header, made->bytes);
        segment_header_id(slice_of(made->bytes, segment_header_size(b->k, b->m)), &made->id);
        made->record = BUF_INIT(4096);
        e = signed_record_make(
            &(struct signed_record){.segment = made->id, .account = b->keys.account, .sequence = 1},
            &b->root, b->device.key, &made->record);
    }
    sha256_free(h);
    return e;
}

static void more(struct bench *b);

static void job_ended(struct job *job, enum err e, const struct errmsg *msg)
{
    struct bench *b = job->bench;
    job->busy = false;
    if (failed(b, e, msg))
        return;
    if (++b->ended == b->segments)
        uvio_stop(b->io);
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
                                  gathered, job, NULL, &b->msg);
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
                              receipted, uploaded, job, NULL, &b->msg);
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
        if (failed(b, job_start(b, job), NULL))
            return;
    }
}

/* All segments once; seconds that it took. */
static double pass(struct bench *b, bool gathering)
{
    const uint64_t start_ns = clock_mono_ns(uvio_clock(b->io));
    b->gathering = gathering;
    b->next = b->ended = 0;
    more(b);
    if (b->e == ERR_OK)
        uvio_run(b->io);
    return (double)(clock_mono_ns(uvio_clock(b->io)) - start_ns) / 1e9;
}

static void net_gone(void *user)
{
    struct bench *b = user;
    uvio_stop(b->io);
}

static void cell_gone(void *user)
{
    struct bench *b = user;
    uvio_net_close(b->cells[0].net, 0, net_gone, b);
}

/* One cell is gone from here on: first the cell, which has heartbeats to send, then its net. */
static void lose_one(struct bench *b)
{
    cell_stop(b->cells[0].cell, cell_gone, b);
    uvio_run(b->io);
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

static enum err run(struct bench *b)
{
    enum err e = crypto_init(&b->msg);
    if (e == ERR_OK)
        e = uvio_new(NULL, &b->io, &b->msg);
    if (e == ERR_OK)
        e = start_coordinator(b);
    for (unsigned i = 0; i < b->n && e == ERR_OK; i++)
        e = start_cell(b, i);
    if (e != ERR_OK)
        return e;
    uvio_run(b->io);
    e = b->e;
    if (e == ERR_OK)
        e = start_device(b);
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
    const double gather_s = b->e == ERR_OK ? pass(b, true) : 0;
    if (b->e == ERR_OK)
        lose_one(b);
    const double decode_s = b->e == ERR_OK ? pass(b, true) : 0;
    if (b->e == ERR_OK)
        say(b, upload_s, gather_s, decode_s);
    return b->e;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info, (void)type, (void)at;
    return remove(path);
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
            b.dir = optarg;
    }
    b.n = b.k + b.m;
    if (!b.dir || b.k == 0 || b.m == 0 || b.n > CELLS_MAX || b.segments == 0 || b.at_once == 0 ||
        b.at_once > AT_ONCE_MAX) {
        (void)fputs("usage: cellbench swarm --dir DIRECTORY [--k K] [--m M] [--segments N] "
                    "[--at-once N] [--json]\n",
                    stderr);
        return 2;
    }
    char dir[256];
    (void)snprintf(dir, sizeof(dir), "%s/cellbench-XXXXXX", b.dir);
    b.dir = mkdtemp(dir);
    if (!b.dir) {
        perror("cellbench: the directory");
        return 1;
    }
    const enum err e = run(&b);
    (void)nftw(b.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (e != ERR_OK)
        (void)fprintf(stderr, "cellbench: %s\n", b.msg.text[0] ? b.msg.text : err_words(e));
    return e == ERR_OK ? 0 : 1; /* the process ends here: what is open ends with it */
}

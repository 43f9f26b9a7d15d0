/*
 * cellbench coordinator: the handlers' work without the network (heartbeats of many cells, grants,
 * a large directory), TLS handshakes by themselves, and a registry rebuilt from what cells say. All
 * on one thread, as the registry's lane is one.
 */
#include "bench_coordinator.h"

#include "base/text.h"
#include "coordinator.h"
#include "crypto/crypto.h"
#include "db/db.h"
#include "identity/account.h"
#include "identity/member_changes.h"
#include "identity/receipt.h"
#include "identity/signed_record.h"
#include "segment/segment_header.h"
#include "tls/tls.h"
#include "wire/wire_heads.h"
#include "wire/wire_ids.h"
#include "wire/wire_inventory.h"
#include "json/json_line.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    KEYS = 32, /* cells with keys of ours, that sign receipts */
    K = 8,
    M = 4,
    N = K + M,
    PLACES = 2000,
    FINDS = 200,
    REGISTERS = 2000,
    HANDSHAKES = 500,
    REBUILD_CELLS = 20,
    FILL_ROWS = 100000,
    SCRATCH = 65536,
};

struct bench {
    uint64_t cells, segments, shards;
    const char *folder;
    char path[512];
    struct random random;
    uint64_t seed;
    struct sign_key *root_key, *key, *device, *cell_keys[KEYS];
    struct swarm_root root;
    struct buf certificate, manifest_doc;
    struct account_keys account;
    struct manifest *manifest;
    struct registry *registry;
    struct id *ids; /* of the members */
    int64_t now_s;
    struct errmsg msg;
    /* what came out: seconds */
    double beats_s, flush_s, place_s, place_all_s, fill_s, sweep_s, find_s, register_s;
    double handshake_server_s, rebuild_s;
    uint64_t list_bytes, changes_bytes, states_bytes, group_bytes, file_bytes, directory_rss_bytes;
    double list_s, changes_s, apply_s;
};

static void must(enum err e, const struct bench *b, const char *what)
{
    if (e == ERR_OK)
        return;
    (void)fprintf(stderr, "cellbench: %s: %s: %s\n", what, err_name(e), b->msg.text);
    exit(1);
}

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* of our work, whoever else runs */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t rss_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

static uint64_t draw(struct bench *b)
{
    b->seed ^= b->seed >> 12;
    b->seed ^= b->seed << 25;
    b->seed ^= b->seed >> 27;
    return b->seed * UINT64_C(0x2545F4914F6CDD1D);
}

static void fill(void *context, void *out, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = (uint8_t)(draw(context) >> 56);
}

static struct sign_key *make_key(struct bench *b, uint64_t number)
{
    uint8_t seed[SIGN_SEED_SIZE] = "cellbench-coordinator";
    struct sign_key *key;
    put_le64(seed + 24, number);
    must(sign_key_new(seed, &key), b, "making a key");
    return key;
}

/* --- the stage --- */

static void make_account(struct bench *b)
{
    struct manifest_device device = {.capabilities = MANIFEST_PUT | MANIFEST_ADMIN,
                                     .name = "bench"};
    uint8_t entropy[32] = "bench", secret[SEAL_SECRET_SIZE];
    uint32_t slot;
    must(account_keys_derive(entropy, &b->root, &b->account), b, "deriving an account");
    b->device = make_key(b, 3);
    memcpy(device.key, sign_key_public(b->device), sizeof(device.key));
    seal_pair(sign_key_seed(b->device), device.seal_key, secret);
    must(manifest_new(&b->root, sign_key_public(b->account.root), b->account.reading_public,
                      &b->manifest),
         b, "making a manifest");
    b->manifest->number = manifest_next_number(0, true);
    b->manifest->hold_s = MANIFEST_HOLD_DEFAULT_S;
    must(manifest_add_device(b->manifest, &device, &slot), b, "adding a device");
    must(manifest_certify_admins(b->manifest, &b->root, b->account.root), b, "certifying");
    b->manifest_doc = BUF_INIT(LIMIT_MANIFEST_BYTES);
    must(manifest_make(b->manifest, &b->root, b->account.root, &b->manifest_doc), b, "signing");
}

static void prepare(struct bench *b)
{
    struct coordinator_cert cert = {.incarnation = 1, .time_s = b->now_s};
    must(crypto_init(&b->msg), b, "starting the cryptography");
    b->random = (struct random){fill, b};
    b->root_key = make_key(b, 1);
    b->key = make_key(b, 2);
    swarm_root_of(sign_key_public(b->root_key), &b->root);
    for (uint64_t i = 0; i < KEYS; i++)
        b->cell_keys[i] = make_key(b, 100 + i);
    b->certificate = BUF_INIT(COORDINATOR_CERT_BYTES_MAX);
    memcpy(cert.key, sign_key_public(b->key), sizeof(cert.key));
    must(address_list_add(&cert.addresses, "coordinator.example.net:7400"), b, "an address");
    must(coordinator_cert_make(&cert, &b->root, b->root_key, &b->certificate), b, "certifying");
    make_account(b);
}

static void open_registry(struct bench *b, const char *name)
{
    snprintf(b->path, sizeof(b->path), "%s/cellbench-%d-%s.db", b->folder, (int)getpid(), name);
    const struct registry_options options = {
        .path = b->path,
        .key = b->key,
        .swarm = &b->root,
        .certificate = buf_slice(&b->certificate),
        .incarnation = 1,
        .random = &b->random,
        .asleep_after_ms = UINT64_C(4) * 3600 * 1000,
        .gone_after_ms = UINT64_C(14) * 86400 * 1000,
        .starter_bytes = UINT64_C(1) << 50,
    };
    must(registry_open(&options, &b->registry, &b->msg), b, "opening a registry");
}

static void close_registry(struct bench *b)
{
    char path[600];
    registry_close(b->registry);
    b->registry = NULL;
    (void)unlink(b->path);
    snprintf(path, sizeof(path), "%s-wal", b->path);
    (void)unlink(path);
}

/* `count` members, the first ones with our keys. */
static void adopt(struct bench *b, uint64_t count)
{
    struct address_list one = {0};
    struct buf addresses = BUF_INIT(512);
    struct member *members = calloc(count, sizeof(*members));
    free(b->ids);
    b->ids = calloc(count, sizeof(*b->ids));
    if (!members || !b->ids)
        must(ERR_NOMEM, b, "making members");
    must(address_list_add(&one, "cell-0001.example.net:7401"), b, "an address");
    must(address_list_encode(&one, &addresses), b, "an address");
    for (uint64_t i = 0; i < count; i++) {
        fill(b, members[i].key, sizeof(members[i].key));
        if (i < KEYS)
            memcpy(members[i].key, sign_key_public(b->cell_keys[i]), sizeof(members[i].key));
        sign_id(members[i].key, &members[i].id);
        members[i].household = members[i].id;
        members[i].weight = 500;
        members[i].eligible = true;
        members[i].addresses = buf_slice(&addresses);
        b->ids[i] = members[i].id;
    }
    const struct member_list list = {.number = 1, .members = members, .count = count};
    must(registry_adopt(b->registry, &list, b->now_s, &b->msg), b, "taking members");
    free(members);
    buf_free(&addresses);
}

static void join_account(struct bench *b)
{
    struct buf invite = BUF_INIT(INVITE_BYTES_MAX);
    const struct invite one = {
        .kind = INVITE_ACCOUNT, .uses = 1, .expires_s = b->now_s + 86400, .incarnation = 1};
    must(invite_make(&one, &b->root, b->key, &invite), b, "making an invite");
    must(registry_join_account(b->registry, sign_key_id(b->device), buf_slice(&invite), b->manifest,
                               b->now_s, &b->msg),
         b, "an account joins");
    buf_free(&invite);
}

/* --- heartbeats, as post_heartbeat() handles them --- */

static void one_beat(struct bench *b, const struct id *cell, struct slice body, struct buf *reply)
{
    struct wire_heartbeat beat;
    struct wire_heartbeat_reply answer = {.time_s = b->now_s, .interval_ms = 60000};
    bool orders;
    must(wire_heartbeat_decode(body, &beat), b, "decoding a heartbeat");
    must(registry_heartbeat(b->registry, cell, &beat, b->now_s, &b->msg), b, "a heartbeat");
    must(registry_orders_waiting(b->registry, cell, &orders, &b->msg), b, "looking for orders");
    answer.list_number = registry_list_number(b->registry);
    registry_answer(b->registry, cell, b->now_s, &answer);
    buf_clear(reply);
    must(wire_heartbeat_reply_encode(&answer, reply), b, "encoding an answer");
}

/* Of the answer about the first `count` cells. */
static uint64_t states_bytes(struct bench *b, uint64_t count)
{
    struct buf body = BUF_INIT(WIRE_IDS_BYTES(LIMIT_GROUP_CELLS)),
               reply = BUF_INIT(LIMIT_MEMBER_LIST_BYTES);
    struct wire_list asked;
    if (count <= LIMIT_GROUP_CELLS) {
        must(wire_ids_encode(b->ids, count, &body), b, "asking");
        must(wire_ids_decode(buf_slice(&body), WIRE_CELLS_ASKED, &asked), b, "asking");
    }
    must(registry_cells(b->registry, count <= LIMIT_GROUP_CELLS ? &asked : NULL, b->now_s, &reply,
                        &b->msg),
         b, "how cells are");
    buf_free(&body);
    const uint64_t bytes = reply.size;
    buf_free(&reply);
    return bytes;
}

/* One cell leaves: the list is signed anew, and everybody asks what has changed. */
static void bench_changes(struct bench *b)
{
    struct slice answer;
    uint64_t number;
    struct member_list *base, *later;
    const struct wire_heartbeat leaving = {.free_bytes = UINT64_C(400) << 30, .leaving = true};
    must(registry_members(b->registry, b->now_s, &answer, &number, &b->msg), b, "the member list");
    must(member_list_open(answer, &b->root, &base, &b->msg), b, "opening the member list");
    must(registry_heartbeat(b->registry, &b->ids[0], &leaving, b->now_s, &b->msg), b,
         "a heartbeat");
    double at = seconds();
    must(registry_members(b->registry, b->now_s, &answer, &number, &b->msg), b, "the member list");
    b->list_s = seconds() - at;
    at = seconds();
    must(registry_changes(b->registry, base->number, b->now_s, &answer, &b->msg), b, "changes");
    b->changes_s = seconds() - at;
    b->changes_bytes = answer.size;
    at = seconds();
    must(member_changes_apply(answer, base, &b->root, &later, &b->msg), b, "applying changes");
    b->apply_s = seconds() - at;
    member_list_free(base);
    member_list_free(later);
    b->states_bytes = states_bytes(b, b->cells);
    b->group_bytes = states_bytes(b, b->cells < LIMIT_GROUP_CELLS ? b->cells : LIMIT_GROUP_CELLS);
}

static void bench_beats(struct bench *b)
{
    struct buf body = BUF_INIT(WIRE_HEARTBEAT_BYTES), reply = BUF_INIT(4096);
    struct slice list;
    uint64_t number;
    const struct wire_heartbeat beat = {
        .free_bytes = UINT64_C(400) << 30, .used_bytes = UINT64_C(100) << 30, .shard_count = 50000};
    must(wire_heartbeat_encode(&beat, &body), b, "encoding a heartbeat");
    must(registry_members(b->registry, b->now_s, &list, &number, &b->msg), b, "the member list");
    b->list_bytes = list.size;
    b->now_s += 60;
    double at = seconds();
    for (uint64_t i = 0; i < b->cells; i++)
        one_beat(b, &b->ids[i], buf_slice(&body), &reply);
    b->beats_s = seconds() - at;
    at = seconds();
    must(registry_flush(b->registry, &b->msg), b, "writing heartbeats");
    b->flush_s = seconds() - at;
    buf_free(&body);
    buf_free(&reply);
}

/* --- grants --- */

static double place_many(struct bench *b, size_t cells, unsigned times)
{
    struct wire_want wants[LIMIT_GROUP_CELLS];
    struct buf body = BUF_INIT(WIRE_PLACE_BYTES), reply = BUF_INIT(WIRE_GRANTS_BYTES);
    const double at = seconds();
    for (unsigned i = 0; i < times; i++) {
        struct wire_list list;
        uint64_t number;
        for (size_t j = 0; j < cells; j++)
            wants[j] = (struct wire_want){.cell = b->ids[draw(b) % b->cells], .bytes = 4 << 20};
        buf_clear(&body);
        buf_clear(&reply);
        must(wire_place_encode(1, wants, cells, &body), b, "encoding wishes");
        must(wire_place_decode(buf_slice(&body), &number, &list), b, "decoding wishes");
        must(registry_place(b->registry, &b->account.account, sign_key_id(b->device), &list,
                            b->now_s, &reply, &b->msg),
             b, "placing");
    }
    buf_free(&body);
    buf_free(&reply);
    return seconds() - at;
}

/* --- the directory --- */

static struct id segment_id(uint64_t number, uint64_t count)
{
    struct id id = {0};
    const uint64_t lead = UINT64_MAX / count * number; /* spread over all names, in their order */
    for (int i = 0; i < 8; i++)
        id.bytes[i] = (uint8_t)(lead >> (56 - 8 * i));
    put_le64(id.bytes + 8, number * UINT64_C(0x9e3779b97f4a7c15));
    return id;
}

static void fill_directory(struct bench *b)
{
    struct db *db = registry_db(b->registry);
    struct db_statement *s;
    uint8_t rows[N * 5];
    const double at = seconds();
    for (uint64_t i = 0; i < b->segments; i++) {
        if (i % FILL_ROWS == 0)
            must(db_begin(db, &b->msg), b, "filling the directory");
        const struct id id = segment_id(i, b->segments);
        for (uint8_t j = 0; j < N; j++) {
            rows[j * 5] = j;
            put_le32(rows + j * 5 + 1, (uint32_t)(draw(b) % b->cells) + 1);
        }
        must(db_prepare(db,
                        "INSERT INTO segment (id, account, k, m, shard_bytes, shards)"
                        " VALUES (?1, 1, 8, 4, 2097152, ?2)",
                        &s, &b->msg),
             b, "filling the directory");
        db_bind_id(s, 1, &id);
        db_bind_blob(s, 2, slice_of(rows, sizeof(rows)));
        must(db_run(s, &b->msg), b, "filling the directory");
        db_done(s);
        if (i % FILL_ROWS == FILL_ROWS - 1 || i + 1 == b->segments)
            must(db_commit(db, &b->msg), b, "filling the directory");
    }
    b->fill_s = seconds() - at;
    must(db_size(db, &b->file_bytes, &b->msg), b, "measuring the file");
}

static void bench_directory(struct bench *b)
{
    struct buf body = BUF_INIT(WIRE_FIND_BYTES), reply = BUF_INIT(WIRE_FOUND_BYTES);
    struct id *ids = calloc(WIRE_FIND_IDS, sizeof(*ids));
    bool busy = true;
    if (!ids)
        must(ERR_NOMEM, b, "asking the directory");
    fill_directory(b);
    double at = seconds();
    while (busy)
        must(registry_tick(b->registry, b->now_s, &busy, &b->msg), b, "sweeping");
    b->sweep_s = seconds() - at;
    at = seconds();
    for (unsigned i = 0; i < FINDS; i++) {
        struct wire_list list;
        for (size_t j = 0; j < WIRE_FIND_IDS; j++)
            ids[j] = segment_id(draw(b) % b->segments, b->segments);
        buf_clear(&body);
        buf_clear(&reply);
        must(wire_ids_encode(ids, WIRE_FIND_IDS, &body), b, "asking");
        must(wire_ids_decode(buf_slice(&body), WIRE_FIND_IDS, &list), b, "asking");
        must(registry_find(b->registry, &b->account.account, &list, &reply, &b->msg), b, "finding");
    }
    b->find_s = seconds() - at;
    b->directory_rss_bytes = rss_bytes();
    free(ids);
    buf_free(&body);
    buf_free(&reply);
}

/* Signed by the device and by twelve cells, verified one by one. */
static void bench_register(struct bench *b)
{
    struct buf body = BUF_INIT(WIRE_REGISTER_BYTES), record = BUF_INIT(512), docs = BUF_INIT(65536);
    for (unsigned i = 0; i < REGISTERS; i++) {
        struct slice receipts[N];
        size_t ends[N];
        struct signed_record r = {.account = b->account.account, .list_number = 1, .sequence = 1};
        struct wire_list list;
        uint32_t taken;
        fill(b, r.segment.bytes, ID_SIZE);
        buf_clear(&record);
        buf_clear(&docs);
        buf_clear(&body);
        must(signed_record_make(&r, &b->root, b->device, &record), b, "signing a record");
        for (uint8_t j = 0; j < N; j++) {
            const struct receipt receipt = {.segment = r.segment,
                                            .index = j,
                                            .shard_bytes = 2 << 20,
                                            .account = r.account,
                                            .list_number = 1};
            must(receipt_make(&receipt, &b->root, b->cell_keys[j], &docs), b, "signing a receipt");
            ends[j] = docs.size;
        }
        for (unsigned j = 0; j < N; j++)
            receipts[j] =
                slice_of(docs.data + (j ? ends[j - 1] : 0), ends[j] - (j ? ends[j - 1] : 0));
        const struct wire_registration registration = {.record = buf_slice(&record),
                                                       .k = K,
                                                       .m = M,
                                                       .shard_bytes = 2 << 20,
                                                       .receipts = receipts,
                                                       .receipt_count = N};
        must(wire_register_encode(&registration, 1, &body), b, "encoding a registration");
        const double at = seconds();
        must(wire_register_decode(buf_slice(&body), &list), b, "decoding a registration");
        must(registry_register(b->registry, &b->account.account, sign_key_id(b->device), &list,
                               &taken, &b->msg),
             b, "registering");
        b->register_s += seconds() - at;
    }
    buf_free(&body);
    buf_free(&record);
    buf_free(&docs);
}

/* --- handshakes --- */

/* Steps one side until it wants input; true when it is open. */
static bool steps(struct bench *b, struct tls_session *s, uint8_t *scratch)
{
    struct tls_event event;
    do {
        must(tls_session_step(s, scratch, SCRATCH, &event, &b->msg), b, "a handshake");
    } while (event.kind != TLS_WANT_INPUT);
    return tls_session_is_open(s);
}

static void one_handshake(struct bench *b, struct tls_context *client, struct tls_context *server,
                          const struct id *server_id, uint8_t *scratch)
{
    struct buf to_server = BUF_INIT(65536), to_client = BUF_INIT(65536);
    struct tls_session *c, *s;
    bool open = false;
    must(tls_session_new(client, TLS_CLIENT, server_id, &to_server, &c, &b->msg), b, "a client");
    double at = seconds();
    must(tls_session_new(server, TLS_SERVER, NULL, &to_client, &s, &b->msg), b, "a server");
    b->handshake_server_s += seconds() - at;
    while (!open) {
        struct buf wire = to_server;
        to_server = BUF_INIT(65536);
        at = seconds();
        tls_session_input(s, buf_slice(&wire));
        open = steps(b, s, scratch);
        b->handshake_server_s += seconds() - at;
        buf_free(&wire);
        wire = to_client;
        to_client = BUF_INIT(65536);
        tls_session_input(c, buf_slice(&wire));
        (void)steps(b, c, scratch);
        buf_free(&wire);
    }
    tls_session_free(c);
    tls_session_free(s);
    buf_free(&to_server);
    buf_free(&to_client);
}

static void bench_handshakes(struct bench *b)
{
    struct tls_context *client, *server;
    struct id id;
    uint8_t key[TLS_KEY_SIZE], *scratch = malloc(SCRATCH);
    if (!scratch)
        must(ERR_NOMEM, b, "handshakes");
    must(tls_context_new(sign_key_seed(b->device), &client, &b->msg), b, "an identity");
    must(tls_context_new(sign_key_seed(b->key), &server, &b->msg), b, "an identity");
    tls_context_identity(server, &id, key);
    for (unsigned i = 0; i < HANDSHAKES; i++)
        one_handshake(b, client, server, &id, scratch);
    tls_context_free(client);
    tls_context_free(server);
    free(scratch);
}

/* --- rebuilding: each segment's shards are at twelve of twenty cells --- */

struct made {
    struct id id;
    uint8_t header[SEGMENT_HEADER_FIXED_SIZE + 32 * N];
    uint8_t record[512];
    uint16_t record_size;
};

static int compare_made(const void *a, const void *b)
{
    return id_compare(&((const struct made *)a)->id, &((const struct made *)b)->id);
}

static struct made *make_segments(struct bench *b, uint64_t count)
{
    struct made *made = calloc(count, sizeof(*made));
    struct segment_header header = {
        .suite = 1, .k = K, .m = M, .shard_bytes = 4096, .account = b->account.account};
    struct buf record = BUF_INIT(512);
    if (!made)
        must(ERR_NOMEM, b, "making segments");
    for (uint64_t i = 0; i < count; i++) {
        put_le64(header.salt, i);
        segment_header_encode(&header, made[i].header);
        segment_header_id(slice_of(made[i].header, sizeof(made[i].header)), &made[i].id);
        const struct signed_record r = {
            .segment = made[i].id, .account = b->account.account, .list_number = 1, .sequence = 1};
        buf_clear(&record);
        must(signed_record_make(&r, &b->root, b->device, &record), b, "signing a record");
        memcpy(made[i].record, record.data, record.size);
        made[i].record_size = (uint16_t)record.size;
    }
    buf_free(&record);
    qsort(made, count, sizeof(*made), compare_made);
    return made;
}

/* The cell's answer to "describe". */
static void describe(struct bench *b, const struct made *made, uint64_t count, struct slice ids,
                     struct buf *out)
{
    struct wire_described described[WIRE_DESCRIBE_IDS];
    size_t found = 0;
    for (size_t at = 0; at < ids.size; at += ID_SIZE) {
        struct made key;
        memcpy(key.id.bytes, ids.data + at, ID_SIZE);
        const struct made *one = bsearch(&key, made, count, sizeof(*made), compare_made);
        described[found++] = (struct wire_described){
            .position = (uint32_t)(at / ID_SIZE),
            .header = slice_of(one->header, sizeof(one->header)),
            .record = slice_of(one->record, one->record_size),
        };
    }
    buf_clear(out);
    must(wire_described_encode(described, found, out), b, "describing");
}

struct gather {
    struct buf page, ids, accounts, described;
};

static void take_page(struct bench *b, struct gather *g, const struct made *made, uint64_t count,
                      const struct id *cell)
{
    struct wire_list items, list;
    struct slice claim;
    bool more;
    uint64_t refused = 0;
    double at = seconds();
    must(wire_inventory_reply_decode(buf_slice(&g->page), &items, &more, &claim), b, "a page");
    buf_clear(&g->ids);
    must(registry_gather_page(b->registry, items, &g->ids, &g->accounts, &b->msg), b, "a page");
    b->rebuild_s += seconds() - at;
    for (size_t from = 0; from < g->ids.size; from += (size_t)WIRE_DESCRIBE_IDS * ID_SIZE) {
        const size_t left = g->ids.size - from, most = (size_t)WIRE_DESCRIBE_IDS * ID_SIZE;
        const struct slice ids = slice_of(g->ids.data + from, left < most ? left : most);
        describe(b, made, count, ids, &g->described);
        at = seconds();
        must(wire_described_decode(buf_slice(&g->described), &list), b, "descriptions");
        must(registry_gather_segments(b->registry, ids, list, b->now_s, &refused, &b->msg), b,
             "taking segments");
        b->rebuild_s += seconds() - at;
    }
    at = seconds();
    must(registry_gather_places(b->registry, cell, items, &b->msg), b, "taking places");
    b->rebuild_s += seconds() - at;
    if (refused)
        must(ERR_CORRUPT, b, "segments were refused");
}

static void gather_cell(struct bench *b, struct gather *g, const struct made *made, uint64_t count,
                        unsigned cell)
{
    struct wire_inventory_item *items = calloc(WIRE_INVENTORY_ITEMS, sizeof(*items));
    size_t filled = 0;
    if (!items)
        must(ERR_NOMEM, b, "a page");
    for (uint64_t i = 0; i < count; i++) {
        const unsigned index =
            (cell + REBUILD_CELLS - (unsigned)(i % REBUILD_CELLS)) % REBUILD_CELLS;
        if (index < N)
            items[filled++] = (struct wire_inventory_item){.segment = made[i].id,
                                                           .account = b->account.account,
                                                           .index = (uint8_t)index,
                                                           .state = WIRE_SHARD_STORED};
        if (filled < WIRE_INVENTORY_ITEMS && i + 1 < count)
            continue;
        buf_clear(&g->page);
        must(wire_inventory_reply_encode(items, filled, i + 1 < count, slice_of(NULL, 0), &g->page),
             b, "a page");
        take_page(b, g, made, count, &b->ids[cell]);
        filled = 0;
    }
    free(items);
}

static void bench_rebuild(struct bench *b)
{
    const uint64_t count = b->shards / N;
    struct made *made = make_segments(b, count);
    struct gather g = {.page = BUF_INIT(WIRE_INVENTORY_REPLY_BYTES),
                       .ids = BUF_INIT((size_t)WIRE_INVENTORY_ITEMS * ID_SIZE),
                       .accounts = BUF_INIT(1u << 20),
                       .described = BUF_INIT(WIRE_DESCRIBE_REPLY_BYTES)};
    struct buf heads = BUF_INIT(WIRE_HEADS_BYTES);
    struct registry_counts counts;
    open_registry(b, "rebuilt");
    adopt(b, REBUILD_CELLS);
    must(wire_heads_encode(buf_slice(&b->manifest_doc), NULL, 0, &heads), b, "heads");
    must(registry_gather_heads(b->registry, &b->account.account, buf_slice(&heads), &b->msg), b,
         "taking a manifest");
    for (unsigned cell = 0; cell < REBUILD_CELLS; cell++) {
        gather_cell(b, &g, made, count, cell);
        const double at = seconds();
        must(registry_gather_end(b->registry, &b->ids[cell], ERR_OK, b->now_s, &b->msg), b,
             "ending");
        b->rebuild_s += seconds() - at;
    }
    must(registry_counts(b->registry, b->now_s, &counts, &b->msg), b, "counting");
    must(registry_ledger_check(b->registry, &b->msg), b, "checking the ledger");
    if (counts.segments != count || counts.accounts != 1 || counts.unproven != count * N)
        must(ERR_CORRUPT, b, "the rebuilt registry is not what was there");
    close_registry(b);
    buf_free(&g.page);
    buf_free(&g.ids);
    buf_free(&g.accounts);
    buf_free(&g.described);
    buf_free(&heads);
    free(made);
}

/* --- all of it --- */

static void print_text(const struct bench *b)
{
    const double beats = (double)b->cells / b->beats_s;
    const double shakes = HANDSHAKES / b->handshake_server_s;
    printf("one thread; seconds of CPU time, the network left out\n");
    printf("heartbeats   %.0f a second at the handler; a minute of %llu cells takes %.2f s, and "
           "%.2f s "
           "to write\n",
           beats, (unsigned long long)b->cells, b->beats_s, b->flush_s);
    printf(
        "member list  %.1f MiB for %llu cells; when one moves: %.2f s to sign it anew, %llu bytes "
        "for each who has the last one (%.2f s to make once, %.2f s to apply)\n",
        (double)b->list_bytes / 1048576, (unsigned long long)b->cells, b->list_s,
        (unsigned long long)b->changes_bytes, b->changes_s, b->apply_s);
    printf("how they are %.1f MiB of all, %.1f KiB of the %d of a group\n",
           (double)b->states_bytes / 1048576, (double)b->group_bytes / 1024, LIMIT_GROUP_CELLS);
    printf(
        "placements   %.0f a second (grants for the 12 cells of a segment); %.1f a second for all "
        "256 of a group\n",
        PLACES / b->place_s, PLACES / 20 / b->place_all_s);
    printf("directory    %llu segments, %.0f MiB on disk; swept in %.1f s; %.0f lookups a second; "
           "peak memory %.0f MiB\n",
           (unsigned long long)b->segments, (double)b->file_bytes / 1048576, b->sweep_s,
           FINDS * (double)WIRE_FIND_IDS / b->find_s, (double)b->directory_rss_bytes / 1048576);
    printf("registering  %.0f segments a second (8+4: a record and 12 receipts verified)\n",
           REGISTERS / b->register_s);
    printf("handshakes   %.0f a second on the server's side: %llu cells that all come back need "
           "%.0f s\n",
           shakes, (unsigned long long)b->cells, (double)b->cells / shakes);
    printf("rebuild      %llu shards of %llu segments from %d cells in %.1f s\n",
           (unsigned long long)b->shards, (unsigned long long)(b->shards / N), REBUILD_CELLS,
           b->rebuild_s);
}

static void print_json(const struct bench *b)
{
    struct json_line *line;
    struct buf out = BUF_INIT(4096);
    if (json_line_new("coordinator", &line) != ERR_OK)
        return;
    json_line_u64(line, "cells", b->cells);
    json_line_u64(line, "segments", b->segments);
    json_line_u64(line, "shards", b->shards);
    json_line_real(line, "heartbeats_s", (double)b->cells / b->beats_s);
    json_line_real(line, "flush_s", b->flush_s);
    json_line_u64(line, "list_bytes", b->list_bytes);
    json_line_u64(line, "changes_bytes", b->changes_bytes);
    json_line_real(line, "list_s", b->list_s);
    json_line_u64(line, "states_bytes", b->states_bytes);
    json_line_u64(line, "group_states_bytes", b->group_bytes);
    json_line_real(line, "changes_s", b->changes_s);
    json_line_real(line, "changes_apply_s", b->apply_s);
    json_line_real(line, "placements_s", PLACES / b->place_s);
    json_line_real(line, "group_placements_s", PLACES / 20 / b->place_all_s);
    json_line_u64(line, "directory_bytes", b->file_bytes);
    json_line_real(line, "sweep_s", b->sweep_s);
    json_line_real(line, "lookups_s", FINDS * (double)WIRE_FIND_IDS / b->find_s);
    json_line_u64(line, "rss_bytes", b->directory_rss_bytes);
    json_line_real(line, "registrations_s", REGISTERS / b->register_s);
    json_line_real(line, "handshakes_s", HANDSHAKES / b->handshake_server_s);
    json_line_real(line, "rebuild_s", b->rebuild_s);
    if (json_line_finish(line, &out) == ERR_OK)
        (void)fwrite(out.data, 1, out.size, stdout);
    buf_free(&out);
}

static void run(struct bench *b)
{
    prepare(b);
    open_registry(b, "coordinator");
    adopt(b, b->cells);
    join_account(b);
    bench_beats(b);
    bench_changes(b);
    b->place_s = place_many(b, N, PLACES);
    b->place_all_s = place_many(b, LIMIT_GROUP_CELLS, PLACES / 20);
    bench_directory(b);
    bench_register(b);
    close_registry(b);
    bench_handshakes(b);
    bench_rebuild(b);
    for (size_t i = 0; i < KEYS; i++)
        sign_key_free(b->cell_keys[i]);
    sign_key_free(b->root_key);
    sign_key_free(b->key);
    sign_key_free(b->device);
    manifest_free(b->manifest);
    account_keys_clear(&b->account);
    buf_free(&b->certificate);
    buf_free(&b->manifest_doc);
    free(b->ids);
}

static int usage(void)
{
    (void)fputs(
        "usage: cellbench coordinator [--json] [--cells N] [--segments N] [--shards N] [--dir "
        "FOLDER]\n"
        "  --cells N     members that send heartbeats (100000)\n"
        "  --segments N  in the directory (10000000: some 1.3 GiB of disk, minutes)\n"
        "  --shards N    that a new coordinator is told of (1000000)\n"
        "  --dir FOLDER  where the registries are made and removed (/var/tmp)\n",
        stderr);
    return 2;
}

int bench_coordinator(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},           {"cells", required_argument, NULL, 'c'},
        {"segments", required_argument, NULL, 's'}, {"shards", required_argument, NULL, 'h'},
        {"dir", required_argument, NULL, 'd'},      {NULL, 0, NULL, 0}};
    struct bench b = {.cells = 100000,
                      .segments = 10000000,
                      .shards = 1000000,
                      .folder = "/var/tmp",
                      .seed = 88172645463325252,
                      .now_s = 1800000000};
    bool json = false;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'j')
            json = true;
        else if (option == 'd')
            b.folder = optarg;
        else if (option == 'c' && text_parse_u64(optarg, REGISTRY_CELLS_MAX, &b.cells) == ERR_OK)
            continue;
        else if (option == 's' && text_parse_u64(optarg, 1000000000, &b.segments) == ERR_OK)
            continue;
        else if (option == 'h' && text_parse_u64(optarg, 1000000000, &b.shards) == ERR_OK)
            continue;
        else
            return usage();
    }
    if (optind != argc || b.cells < LIMIT_GROUP_CELLS || b.segments == 0 || b.shards < N)
        return usage();
    run(&b);
    if (json)
        print_json(&b);
    else
        print_text(&b);
    return 0;
}

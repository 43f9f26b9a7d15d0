/*
 * The client against the real servers: libcoordinator and libcell on simulated machines, an account
 * with a real manifest, a real segment. What the other tests of this room assume about the other
 * side of the protocol is what the other side does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cell.h"
#include "coordinator.h"
#include "crypto/crypto.h"
#include "harness/sim_net.h"
#include "harness/sim_vfs.h"
#include "identity/account.h"
#include "identity/claim.h"
#include "identity/head.h"
#include "identity/manifest.h"
#include "identity/signed_record.h"
#include "segment/segment_builder.h"
#include "swarm/swarm_directory.h"
#include "swarm/swarm_gather.h"
#include "swarm/swarm_have.h"
#include "swarm/swarm_heads.h"
#include "swarm/swarm_join.h"
#include "swarm/swarm_upload.h"

#include <stdio.h>
#include <stdlib.h>

#define OK(call) assert_int_equal(call, ERR_OK)

enum { CELLS = 5, K = 2, M = 2, SHARDS = K + M };

struct machine {
    struct sim_node *node;
    struct sign_key *key;
    struct store *store;
    struct work_lane *lane;
    struct cell *cell;
    char name[32];
    const char *addresses[1]; /* borrowed by the cell for its life */
    bool joined, stopped;
};

struct real {
    struct sim_world *world;
    struct sign_key *root_key;
    struct swarm_root root;
    struct buf certificate, cell_invite, account_invite, manifest_doc;
    struct machine coordinator, device, cells[CELLS];
    struct registry *registry;
    struct coordinator *service;
    struct account_keys keys;
    struct manifest *manifest;
    struct swarm *swarm;
    /* the segment */
    struct segment_builder *builder;
    struct buf record;
    /* what came of it */
    bool done;
    enum err e;
    struct errmsg msg;
    struct id stored[SHARDS];
    struct buf receipts[SHARDS];
    unsigned count;
    struct buf found;
    uint32_t states_whole; /* of the swarm that is opened; 0: as usual */
};

static const char *const coordinator_address[] = {"coordinator:7"};

static void finished(void *user, enum err e, const struct errmsg *msg)
{
    struct real *real = user;
    assert_false(real->done);
    real->done = true;
    real->e = e;
    real->msg = *msg;
}

static bool is_done(void *user)
{
    return ((struct real *)user)->done;
}

/* Runs until the operation that was just started has ended well. */
static void wait_ok(struct real *real)
{
    OK(sim_world_run_until(real->world, is_done, real, 120000));
    if (real->e != ERR_OK)
        fail_msg("it failed: %s", real->msg.text);
    real->done = false;
}

/* ---- the machines ---- */

static void machine_new(struct real *real, struct machine *machine, const char *name, uint8_t kind,
                        uint8_t number)
{
    const uint8_t seed[SIGN_SEED_SIZE] = {kind, number};
    OK(sign_key_new(seed, &machine->key));
    struct sim_identity identity = {
        .name = name, .id = *sign_key_id(machine->key), .address = name};
    memcpy(identity.key, sign_key_public(machine->key), sizeof(identity.key));
    machine->node = sim_node_new(real->world, &identity);
    machine->lane = work_lane_new(&machine->node->work, name);
    assert_non_null(machine->lane);
}

static void make_invite(struct real *real, enum invite_kind kind, struct buf *out)
{
    const struct invite invite = {.kind = kind,
                                  .id = {(uint8_t)kind},
                                  .uses = CELLS,
                                  .expires_s = SIM_WALL_START_NS / 1000000000 + 86400,
                                  .incarnation = 1};
    *out = BUF_INIT(4096);
    OK(invite_make(&invite, &real->root, real->coordinator.key, out));
}

static void start_coordinator(struct real *real)
{
    struct coordinator_cert cert = {.incarnation = 1};
    const uint8_t seed[SIGN_SEED_SIZE] = {1};
    OK(sign_key_new(seed, &real->root_key));
    swarm_root_of(sign_key_public(real->root_key), &real->root);
    machine_new(real, &real->coordinator, "coordinator:7", 2, 0);
    memcpy(cert.key, sign_key_public(real->coordinator.key), SIGN_PUBLIC_SIZE);
    OK(address_list_add(&cert.addresses, "coordinator:7"));
    real->certificate = BUF_INIT(8192);
    OK(coordinator_cert_make(&cert, &real->root, real->root_key, &real->certificate));
    const struct registry_options registry = {
        .path = REGISTRY_FILE,
        .vfs = real->coordinator.node->vfs,
        .key = real->coordinator.key,
        .swarm = &real->root,
        .certificate = buf_slice(&real->certificate),
        .incarnation = 1,
        .random = &real->coordinator.node->random,
        .asleep_after_ms = 3600000,
        .gone_after_ms = 86400000,
    };
    OK(registry_open(&registry, &real->registry, &real->msg));
    const struct coordinator_options options = {
        .net = real->coordinator.node->net,
        .clock = &real->coordinator.node->clock,
        .work = &real->coordinator.node->work,
        .registry = real->registry,
        .lane = real->coordinator.lane,
        .key = real->coordinator.key,
        .swarm = &real->root,
        .certificate = buf_slice(&real->certificate),
        .redundancy = "2+2",
        .heartbeat_ms = 1000,
    };
    OK(coordinator_new(&options, &real->service, &real->msg));
    make_invite(real, INVITE_CELL, &real->cell_invite);
    make_invite(real, INVITE_ACCOUNT, &real->account_invite);
}

static void joined(void *user, enum err e, const struct errmsg *msg)
{
    struct machine *machine = user;
    if (e != ERR_OK)
        fail_msg("a cell cannot join: %s", msg->text);
    machine->joined = true;
}

static bool has_joined(void *user)
{
    return ((struct machine *)user)->joined;
}

static void start_cell(struct real *real, unsigned number)
{
    struct machine *machine = &real->cells[number];
    snprintf(machine->name, sizeof(machine->name), "cell%u:7", number);
    machine_new(real, machine, machine->name, 4, (uint8_t)number);
    const struct store_options store = {
        .disk = &machine->node->disk,
        .random = &machine->node->random,
        .catalogue_path = STORE_CATALOGUE_NAME,
        .vfs = machine->node->vfs,
        .cell = machine->node->id,
        .first_start = true,
        .give_bytes = MIB(64),
        .reserve_bytes = 4096,
    };
    OK(store_open(&store, &machine->store, &real->msg));
    machine->addresses[0] = machine->name;
    struct cell_options options = {
        .net = machine->node->net,
        .clock = &machine->node->clock,
        .random = &machine->node->random,
        .work = &machine->node->work,
        .store = machine->store,
        .lane = machine->lane,
        .key = machine->key,
        .coordinator = real->coordinator.node->id,
        .coordinator_addresses = coordinator_address,
        .coordinator_address_count = 1,
        .invite = buf_slice(&real->cell_invite),
        .addresses = machine->addresses,
        .address_count = 1,
        .site = "",
        .give_bytes = MIB(64),
        .claim_code = "1234",
    };
    memcpy(options.swarm_root, real->root.key, sizeof(options.swarm_root));
    OK(cell_new(&options, &machine->cell, &real->msg));
    OK(cell_start(machine->cell, joined, machine, &real->msg));
    OK(sim_world_run_until(real->world, has_joined, machine, 60000));
}

static void make_account(struct real *real)
{
    static const uint8_t entropy[32] = {9};
    struct manifest_device device = {.capabilities = MANIFEST_PUT | MANIFEST_READ |
                                                     MANIFEST_DELETE | MANIFEST_ADMIN,
                                     .name = "test"};
    uint32_t slot;
    machine_new(real, &real->device, "device:7", 3, 0);
    OK(account_keys_derive(entropy, &real->root, &real->keys));
    OK(manifest_new(&real->root, sign_key_public(real->keys.root), real->keys.reading_public,
                    &real->manifest));
    memcpy(device.key, sign_key_public(real->device.key), SIGN_PUBLIC_SIZE);
    OK(manifest_add_device(real->manifest, &device, &slot));
    real->manifest->number = manifest_next_number(0, true);
    real->manifest->hold_s = MANIFEST_HOLD_DEFAULT_S;
    real->manifest->time_s = SIM_WALL_START_NS / 1000000000;
    OK(manifest_certify_admins(real->manifest, &real->root, real->keys.root));
    real->manifest_doc = BUF_INIT(LIMIT_MANIFEST_BYTES);
    OK(manifest_make(real->manifest, &real->root, real->keys.root, &real->manifest_doc));
}

static void has_joined_account(void *user, enum err e, const struct wire_join_reply *reply,
                               const struct errmsg *msg)
{
    if (e == ERR_OK)
        assert_true(slice_equal(reply->redundancy, slice_text("2+2")));
    finished(user, e, msg);
}

static void join_account(struct real *real)
{
    const struct swarm_join_request request = {
        .net = real->device.node->net,
        .coordinator = real->coordinator.node->id,
        .addresses = coordinator_address,
        .address_count = 1,
        .join = {.kind = WIRE_JOIN_ACCOUNT,
                 .invite = buf_slice(&real->account_invite),
                 .document = buf_slice(&real->manifest_doc)},
    };
    OK(swarm_join(&request, has_joined_account, real, &real->msg));
    wait_ok(real);
}

static void open_swarm(struct real *real)
{
    const struct swarm_options options = {
        .net = real->device.node->net,
        .clock = &real->device.node->clock,
        .random = &real->device.node->random,
        .work = &real->device.node->work,
        .root = &real->root,
        .account = real->keys.account,
        .coordinator = real->coordinator.node->id,
        .coordinator_addresses = coordinator_address,
        .coordinator_address_count = 1,
        .states_whole = real->states_whole,
    };
    OK(swarm_open(&options, &real->swarm, &real->msg));
    OK(swarm_introduce(real->swarm,
                       &(struct wire_hello){.kind = WIRE_PEER_DEVICE,
                                            .document = buf_slice(&real->manifest_doc),
                                            .manifest_number = real->manifest->number},
                       &real->msg));
    OK(swarm_refresh(real->swarm, finished, real, &real->msg));
    wait_ok(real);
}

static void real_new(struct real *real)
{
    memset(real, 0, sizeof(*real));
    OK(crypto_init(NULL));
    real->world = sim_world_new(sim_world_test_seed(1));
    start_coordinator(real);
    for (unsigned i = 0; i < CELLS; i++)
        start_cell(real, i);
    make_account(real);
    join_account(real);
    open_swarm(real);
}

static void stopped(void *user)
{
    ((struct machine *)user)->stopped = true;
}

static bool has_stopped(void *user)
{
    return ((struct machine *)user)->stopped;
}

static void machine_free(struct machine *machine)
{
    sim_node_stop(machine->node);
    cell_free(machine->cell);
    store_close(machine->store);
    work_lane_free(&machine->node->work, machine->lane);
    sign_key_free(machine->key);
}

static void real_free(struct real *real)
{
    swarm_close(real->swarm);
    for (unsigned i = 0; i < CELLS; i++) {
        cell_stop(real->cells[i].cell, stopped, &real->cells[i]);
        OK(sim_world_run_until(real->world, has_stopped, &real->cells[i], 60000));
    }
    coordinator_stop(real->service, stopped, &real->coordinator);
    OK(sim_world_run_until(real->world, has_stopped, &real->coordinator, 60000));
    OK(sim_world_run(real->world, 1000));
    coordinator_free(real->service);
    registry_close(real->registry);
    for (unsigned i = 0; i < CELLS; i++)
        machine_free(&real->cells[i]);
    machine_free(&real->coordinator);
    machine_free(&real->device);
    sim_world_free(real->world);
    segment_builder_free(real->builder);
    manifest_free(real->manifest);
    account_keys_clear(&real->keys);
    sign_key_free(real->root_key);
    for (unsigned i = 0; i < SHARDS; i++)
        buf_free(&real->receipts[i]);
    struct buf *const bufs[] = {&real->certificate,  &real->cell_invite, &real->account_invite,
                                &real->manifest_doc, &real->record,      &real->found};
    for (size_t i = 0; i < ARRAY_COUNT(bufs); i++)
        buf_free(bufs[i]);
}

/* ---- a segment ---- */

static void make_segment(struct real *real)
{
    static const uint8_t data_key[SEGMENT_DATA_KEY_SIZE] = {1}, salt[SEGMENT_SALT_SIZE] = {2};
    static uint8_t chunk[300000];
    const struct segment_shape shape = {.k = K, .m = M};
    const struct segment_identity identity = {.kind = SEGMENT_DATA, .account = real->keys.account};
    struct segment_entry entry = {.plain_bytes = sizeof(chunk), .type = SEGMENT_FILE};
    struct aead *aead;
    uint32_t number;
    for (size_t i = 0; i < sizeof(chunk); i++)
        chunk[i] = (uint8_t)sim_world_random(real->world);
    OK(segment_builder_new(&shape, &real->builder, &real->msg));
    OK(segment_builder_start(real->builder, &identity, data_key, salt));
    OK(segment_builder_reserve(real->builder, &entry, sizeof(chunk), &number));
    OK(aead_new(&aead));
    OK(segment_builder_seal(real->builder, aead, number, slice_of(chunk, sizeof(chunk))));
    aead_free(aead);
    OK(segment_builder_finish(real->builder, &real->msg));
    real->record = BUF_INIT(4096);
    OK(signed_record_make(&(struct signed_record){.segment = *segment_builder_id(real->builder),
                                                  .account = real->keys.account,
                                                  .list_number = swarm_list_number(real->swarm),
                                                  .sequence = 1},
                          &real->root, real->device.key, &real->record));
}

static void receipted(void *user, unsigned index, const struct id *cell, struct slice receipt)
{
    struct real *real = user;
    real->stored[index] = *cell;
    real->receipts[index] = BUF_INIT(4096);
    OK(buf_append(&real->receipts[index], receipt.data, receipt.size));
}

static void uploaded(void *user, enum err e, const struct swarm_upload_result *result,
                     const struct errmsg *msg)
{
    struct real *real = user;
    real->count = result->receipted;
    finished(real, e, msg);
}

static void upload(struct real *real)
{
    struct slice shards[SHARDS];
    for (unsigned i = 0; i < SHARDS; i++)
        shards[i] = segment_builder_shard(real->builder, i);
    const struct swarm_upload_request request = {
        .segment = *segment_builder_id(real->builder),
        .header = segment_builder_header_bytes(real->builder),
        .record = buf_slice(&real->record),
        .k = K,
        .m = M,
        .shard_bytes = segment_builder_header(real->builder)->shard_bytes,
        .shards = shards,
        .net_class = NET_BACKUP,
    };
    OK(swarm_upload_start(real->swarm, &request, receipted, uploaded, real, NULL, &real->msg));
    wait_ok(real);
    assert_int_equal(real->count, SHARDS);
}

static void gathered(void *user, enum err e, const struct swarm_gather_result *result,
                     const struct errmsg *msg)
{
    struct real *real = user;
    real->count = result->decoded_leaves;
    finished(real, e, msg);
}

/* Everything of the payload; `known`: from the cells that were receipted, else they are looked for.
 */
static void gather(struct real *real, bool known)
{
    const struct segment_header *header = segment_builder_header(real->builder);
    const uint32_t size = K * header->shard_bytes;
    uint8_t *payload = malloc(size);
    struct swarm_holder holders[SHARDS];
    const struct swarm_range range = {0, size};
    assert_non_null(payload);
    for (unsigned i = 0; i < SHARDS; i++)
        holders[i] = (struct swarm_holder){real->stored[i], (uint8_t)i};
    const struct swarm_gather_request request = {
        .segment = *segment_builder_id(real->builder),
        .header = header,
        .holders = holders,
        .holder_count = known ? SHARDS : 0,
        .ranges = &range,
        .range_count = 1,
        .payload = payload,
        .net_class = NET_RESTORE,
    };
    OK(swarm_gather_start(real->swarm, &request, gathered, real, NULL, &real->msg));
    wait_ok(real);
    for (unsigned i = 0; i < K; i++)
        assert_memory_equal(payload + (size_t)i * header->shard_bytes,
                            segment_builder_shard(real->builder, i).data, header->shard_bytes);
    free(payload);
}

static struct machine *holder_of(struct real *real, unsigned shard)
{
    for (unsigned i = 0; i < CELLS; i++)
        if (id_equal(&real->cells[i].node->id, &real->stored[shard]))
            return &real->cells[i];
    fail();
    return NULL;
}

/* ---- the tests ---- */

static void test_real_upload_and_gather_with_a_dead_cell(void **state)
{
    (void)state;
    struct real real;
    real_new(&real);
    make_segment(&real);
    upload(&real);
    gather(&real, true);
    assert_int_equal(real.count, 0);
    sim_net_refuse(holder_of(&real, 0)->node, true);
    sim_net_break(holder_of(&real, 0)->node, real.device.node);
    gather(&real, true);
    assert_true(real.count > 0); /* made from parity */
    real_free(&real);
}

static void registered(void *user, enum err e, uint32_t taken, const struct errmsg *msg)
{
    struct real *real = user;
    real->count = taken;
    finished(real, e, msg);
}

static void test_real_directory_leads_to_the_shards(void **state)
{
    (void)state;
    struct real real;
    struct slice receipts[SHARDS];
    real_new(&real);
    make_segment(&real);
    upload(&real);
    for (unsigned i = 0; i < SHARDS; i++)
        receipts[i] = buf_slice(&real.receipts[i]);
    const struct wire_registration one = {
        .record = buf_slice(&real.record),
        .k = K,
        .m = M,
        .shard_bytes = segment_builder_header(real.builder)->shard_bytes,
        .receipts = receipts,
        .receipt_count = SHARDS,
    };
    OK(swarm_register(real.swarm, &one, 1, registered, &real, &real.msg));
    wait_ok(&real);
    assert_int_equal(real.count, 1);
    gather(&real, false);
    /* and without the directory everybody is asked */
    sim_net_refuse(real.coordinator.node, true);
    sim_net_break(real.coordinator.node, real.device.node);
    gather(&real, false);
    real_free(&real);
}

static void heads_told(void *user, const struct id *peer, struct wire_heads *heads)
{
    (void)peer;
    struct real *real = user;
    struct slice head;
    while (wire_heads_next(&heads->list, &head)) {
        real->found = BUF_INIT(1 << 20);
        OK(buf_append(&real->found, head.data, head.size));
        real->count++;
        buf_free(&real->found);
    }
}

static void heads_done(void *user, enum err e, const struct swarm_heads_result *result,
                       const struct errmsg *msg)
{
    (void)result;
    finished(user, e, msg);
}

static void test_real_heads_outlive_the_coordinator(void **state)
{
    (void)state;
    struct real real;
    struct buf document = BUF_INIT(HEAD_BYTES_MAX);
    struct head *head = calloc(1, sizeof(*head));
    assert_non_null(head);
    real_new(&real);
    head->account = real.keys.account;
    head->sequence = 1;
    head->manifest_number = real.manifest->number;
    head->time_s = SIM_WALL_START_NS / 1000000000;
    head->sealed = slice_text("sealed");
    OK(head_make(head, &real.root, real.device.key, &document));
    const struct slice documents[] = {buf_slice(&document)};
    OK(swarm_heads_put(real.swarm,
                       &(struct swarm_heads_put){.account = real.keys.account,
                                                 .manifest = buf_slice(&real.manifest_doc),
                                                 .heads = documents,
                                                 .head_count = 1,
                                                 .losses = M,
                                                 .done = heads_done,
                                                 .user = &real},
                       NULL, &real.msg));
    wait_ok(&real);
    sim_net_refuse(real.coordinator.node, true);
    sim_net_break(real.coordinator.node, real.device.node);
    OK(swarm_heads_get(real.swarm, &real.keys.account, heads_told, heads_done, &real, NULL,
                       &real.msg));
    wait_ok(&real);
    assert_int_equal(real.count, CELLS);
    free(head);
    buf_free(&document);
    real_free(&real);
}

static void name_told(void *user, const struct wire_shard_name *name)
{
    (void)name;
    ((struct real *)user)->count++;
}

static void segment_told(void *user, enum err e, const struct wire_segment *segment,
                         const struct errmsg *msg)
{
    struct real *real = user;
    real->count = segment ? segment->held_count : 0;
    finished(real, e, msg);
}

static void test_real_cells_tell_what_they_hold(void **state)
{
    (void)state;
    struct real real;
    real_new(&real);
    make_segment(&real);
    upload(&real);
    real.count = 0;
    OK(swarm_names_start(real.swarm, &real.stored[1], &real.keys.account, name_told, finished,
                         &real, NULL, &real.msg));
    wait_ok(&real);
    assert_int_equal(real.count, 1);
    OK(swarm_segment_ask(real.swarm, &real.stored[1], segment_builder_id(real.builder),
                         segment_told, &real, &real.msg));
    wait_ok(&real);
    assert_int_equal(real.count, 1);
    real_free(&real);
}

static void claim_done(void *user, enum err e, struct slice claim, const struct errmsg *msg)
{
    struct real *real = user;
    real->count = claim.size > 0;
    finished(real, e, msg);
}

/* A claimed cell is the account's own from the next list on: it gets nothing of it. */
static void test_real_claim_changes_the_survey(void **state)
{
    (void)state;
    struct real real;
    struct swarm_survey survey;
    struct buf half = BUF_INIT(4096);
    real_new(&real);
    swarm_survey(real.swarm, &survey);
    assert_int_equal(survey.cells, CELLS);
    assert_int_equal(survey.own, 0);
    const struct claim claim = {.account = real.keys.account,
                                .manifest_number = real.manifest->number,
                                .cell = real.cells[2].node->id,
                                .time_s = SIM_WALL_START_NS / 1000000000};
    OK(claim_make(&claim, &real.root, real.device.key, &half));
    OK(swarm_claim(real.swarm, &claim.cell, buf_slice(&half), slice_text("1234"), claim_done, &real,
                   &real.msg));
    wait_ok(&real);
    assert_int_equal(real.count, 1);
    OK(swarm_refresh(real.swarm, finished, &real, &real.msg));
    wait_ok(&real);
    swarm_survey(real.swarm, &survey);
    assert_int_equal(survey.cells, CELLS - 1);
    assert_int_equal(survey.own, 1);
    assert_int_equal(survey.domains_up, CELLS - 1);
    buf_free(&half);
    real_free(&real);
}

/* A large swarm is asked about the cells that matter, by name; how many are up is told of all. */
static void test_real_large_swarm_is_asked_about_some(void **state)
{
    (void)state;
    struct real real;
    struct swarm_survey survey;
    struct swarm_member member;
    struct buf half = BUF_INIT(4096);
    real_new(&real);
    const struct id own = real.cells[2].node->id;
    const struct claim claim = {.account = real.keys.account,
                                .manifest_number = real.manifest->number,
                                .cell = own,
                                .time_s = SIM_WALL_START_NS / 1000000000};
    OK(claim_make(&claim, &real.root, real.device.key, &half));
    OK(swarm_claim(real.swarm, &own, buf_slice(&half), slice_text("1234"), claim_done, &real,
                   &real.msg));
    wait_ok(&real);
    assert_false(swarm_is_large(real.swarm));
    swarm_close(real.swarm);
    real.states_whole = 2;
    open_swarm(&real);
    OK(swarm_watch(real.swarm, &own, 1)); /* twice in one question does no harm */
    OK(swarm_refresh(real.swarm, finished, &real, &real.msg));
    wait_ok(&real);
    assert_true(swarm_is_large(real.swarm));
    assert_int_equal(swarm_members_up(real.swarm), CELLS);
    swarm_survey(real.swarm, &survey);
    assert_int_equal(survey.cells_up, CELLS - 1);
    OK(swarm_member_find(real.swarm, &own, &member));
    assert_int_equal(member.state, WIRE_CELL_UP);
    buf_free(&half);
    real_free(&real);
}

/* Puts the account's manifest, changed and signed by the root, where heads rest; then nobody has a
   connection to the device any more. */
static void publish_manifest(struct real *real)
{
    struct buf newer = BUF_INIT(LIMIT_MANIFEST_BYTES);
    real->manifest->number = manifest_next_number(real->manifest->number, true);
    OK(manifest_certify_admins(real->manifest, &real->root, real->keys.root));
    OK(manifest_make(real->manifest, &real->root, real->keys.root, &newer));
    OK(swarm_heads_put(real->swarm,
                       &(struct swarm_heads_put){.account = real->keys.account,
                                                 .manifest = buf_slice(&newer),
                                                 .done = heads_done,
                                                 .user = real},
                       NULL, &real->msg));
    wait_ok(real);
    buf_free(&newer);
    sim_net_break(real->coordinator.node, real->device.node);
    for (unsigned i = 0; i < CELLS; i++)
        sim_net_break(real->cells[i].node, real->device.node);
    OK(sim_world_run(real->world, 1000));
}

static void manifest_told(void *user, const struct id *peer, struct wire_heads *heads)
{
    (void)peer;
    struct real *real = user;
    struct manifest *m;
    OK(manifest_open(heads->manifest, &real->root, &m, &real->msg));
    real->count += m->number == real->manifest->number;
    manifest_free(m);
}

/* Another device has changed the manifest: who still shows the old one is let in, and learns. */
static void test_real_old_manifest_is_let_in_and_learns(void **state)
{
    (void)state;
    struct real real;
    real_new(&real);
    real.manifest->hold_s += 1;
    publish_manifest(&real);
    OK(swarm_heads_get(real.swarm, &real.keys.account, manifest_told, heads_done, &real, NULL,
                       &real.msg));
    wait_ok(&real);
    assert_int_equal(real.count, CELLS + 1);
    make_segment(&real);
    upload(&real);
    real_free(&real);
}

/* Unless the new one has revoked it. */
static void test_real_old_manifest_of_a_revoked_device_is_refused(void **state)
{
    (void)state;
    struct real real;
    const struct id nothing = {{1}};
    real_new(&real);
    OK(manifest_revoke(real.manifest, 0, 1));
    publish_manifest(&real);
    OK(swarm_heads_get(real.swarm, &real.keys.account, manifest_told, heads_done, &real, NULL,
                       &real.msg));
    OK(sim_world_run_until(real.world, is_done, &real, 120000));
    assert_int_equal(real.e, ERR_DENIED);
    assert_int_equal(real.count, 0);
    real.done = false;
    OK(swarm_segment_ask(real.swarm, &real.cells[0].node->id, &nothing, segment_told, &real,
                         &real.msg));
    OK(sim_world_run_until(real.world, is_done, &real, 120000));
    assert_int_equal(real.e, ERR_DENIED);
    real_free(&real);
}

static void change_done(void *user, enum err e, const struct swarm_heads_result *result,
                        const struct errmsg *msg)
{
    struct real *real = user;
    real->count = result->asked;
    finished(real, e, msg);
}

static enum err put_change(struct real *real, uint64_t hold_s)
{
    struct buf document = BUF_INIT(LIMIT_MANIFEST_BYTES);
    real->manifest->hold_s = hold_s;
    OK(manifest_certify_admins(real->manifest, &real->root, real->keys.root));
    OK(manifest_make(real->manifest, &real->root, real->keys.root, &document));
    OK(swarm_heads_put(real->swarm,
                       &(struct swarm_heads_put){.account = real->keys.account,
                                                 .manifest = buf_slice(&document),
                                                 .coordinator_first = true,
                                                 .done = change_done,
                                                 .user = real},
                       NULL, &real->msg));
    buf_free(&document);
    OK(sim_world_run_until(real->world, is_done, real, 120000));
    real->done = false;
    return real->e;
}

/* Of two changes under one number the coordinator takes the first, and no cell is even asked to
   take the other; without a coordinator the cells are. */
static void test_real_changes_pass_the_coordinator_first(void **state)
{
    (void)state;
    struct real real;
    real_new(&real);
    real.manifest->number = manifest_next_number(real.manifest->number, true);
    assert_int_equal(put_change(&real, 100), ERR_OK);
    assert_int_equal(real.count, CELLS + 1);
    assert_int_equal(put_change(&real, 200), ERR_STALE);
    assert_int_equal(real.count, 1);
    real.manifest->number = manifest_next_number(real.manifest->number, true);
    sim_net_refuse(real.coordinator.node, true);
    sim_net_break(real.coordinator.node, real.device.node);
    assert_int_equal(put_change(&real, 300), ERR_OK);
    assert_int_equal(real.count, CELLS + 1);
    real_free(&real);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_upload_and_gather_with_a_dead_cell),
        cmocka_unit_test(test_real_directory_leads_to_the_shards),
        cmocka_unit_test(test_real_heads_outlive_the_coordinator),
        cmocka_unit_test(test_real_cells_tell_what_they_hold),
        cmocka_unit_test(test_real_claim_changes_the_survey),
        cmocka_unit_test(test_real_large_swarm_is_asked_about_some),
        cmocka_unit_test(test_real_old_manifest_is_let_in_and_learns),
        cmocka_unit_test(test_real_old_manifest_of_a_revoked_device_is_refused),
        cmocka_unit_test(test_real_changes_pass_the_coordinator_first),
    };
    return cmocka_run_group_tests_name("swarm and the real servers", tests, NULL, NULL);
}

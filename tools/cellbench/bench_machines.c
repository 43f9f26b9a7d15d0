#include "bench_machines.h"

#include "crypto/crypto.h"
#include "swarm/swarm_join.h"
#include "uvio/uvio_disk.h"
#include "wire/wire_path.h"

#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

int64_t machines_wall_s(const struct machines *m)
{
    return clock_wall_ns(uvio_clock(m->io)) / 1000000000;
}

bool machines_failed(struct machines *m, enum err e, const struct errmsg *msg)
{
    if (e != ERR_OK && m->e == ERR_OK) {
        m->e = e;
        if (msg && msg != &m->msg)
            m->msg = *msg;
        uvio_stop(m->io);
    }
    return e != ERR_OK;
}

/* --- keys --- */

static enum err make_key(struct machine *machine, uint8_t number)
{
    machine->seed[0] = number;
    machine->seed[1] = 0xbe;
    return sign_key_new(machine->seed, &machine->key);
}

enum err machines_begin(struct machines *m, const char *dir)
{
    static const uint8_t seed[32] = {0x70};
    m->dir = dir;
    enum err e = crypto_init(&m->msg);
    if (e == ERR_OK)
        e = uvio_new(&(struct uvio_options){.threads_more = CELL_DISK_THREADS}, &m->io, &m->msg);
    if (e == ERR_OK)
        e = sign_key_new(seed, &m->root_key);
    if (e == ERR_OK)
        e = make_key(&m->coordinator, 0);
    if (e == ERR_OK)
        e = make_key(&m->device, 1);
    for (unsigned i = 0; i < MACHINES_CELLS_MAX && e == ERR_OK; i++)
        e = make_key(&m->cells[i], (uint8_t)(i + 2));
    if (e == ERR_OK)
        swarm_root_of(sign_key_public(m->root_key), &m->root);
    return e;
}

static enum err invite(struct machines *m, enum invite_kind kind, struct buf *out)
{
    const struct invite made = {.kind = kind,
                                .id = {(uint8_t)kind},
                                .uses = MACHINES_CELLS_MAX,
                                .expires_s = machines_wall_s(m) + 86400,
                                .incarnation = 1};
    *out = BUF_INIT(4096);
    return invite_make(&made, &m->root, m->coordinator.key, out);
}

/* --- the swarm --- */

static enum err machine_open(struct machines *m, struct machine *machine, const char *name,
                             const char *catalogue)
{
    const struct uvio_net_options options = {.seed = machine->seed, .listen = "127.0.0.1:0"};
    char path[512];
    const enum err e = uvio_net_open(m->io, &options, &machine->net, &m->msg);
    if (e != ERR_OK)
        return e;
    machine->lane = work_lane_new(uvio_work(m->io), name);
    (void)snprintf(path, sizeof(path), "%s/%s", m->dir, name);
    (void)snprintf(machine->catalogue, sizeof(machine->catalogue), "%s/%s", path, catalogue);
    if (!machine->lane)
        return ERR_NOMEM;
    return uvio_disk_open(path, UVIO_DISK_CREATE, &machine->disk, &m->msg);
}

static enum err certify_coordinator(struct machines *m)
{
    struct coordinator_cert cert = {.incarnation = 1, .time_s = machines_wall_s(m)};
    memcpy(cert.key, sign_key_public(m->coordinator.key), SIGN_PUBLIC_SIZE);
    m->certificate = BUF_INIT(8192);
    const enum err e =
        address_list_add(&cert.addresses, uvio_net_listen_address(m->coordinator.net));
    return e != ERR_OK ? e : coordinator_cert_make(&cert, &m->root, m->root_key, &m->certificate);
}

static enum err start_coordinator(struct machines *m)
{
    enum err e = machine_open(m, &m->coordinator, "coordinator", REGISTRY_FILE);
    if (e == ERR_OK)
        e = certify_coordinator(m);
    const struct registry_options registry = {
        .path = m->coordinator.catalogue,
        .key = m->coordinator.key,
        .swarm = &m->root,
        .certificate = buf_slice(&m->certificate),
        .incarnation = 1,
        .random = uvio_random(m->io),
        .asleep_after_ms = 3600000,
        .gone_after_ms = 86400000,
    };
    if (e == ERR_OK)
        e = registry_open(&registry, &m->registry, &m->msg);
    const struct coordinator_options options = {
        .net = m->coordinator.net,
        .clock = uvio_clock(m->io),
        .work = uvio_work(m->io),
        .registry = m->registry,
        .lane = m->coordinator.lane,
        .key = m->coordinator.key,
        .swarm = &m->root,
        .certificate = buf_slice(&m->certificate),
        .redundancy = "",
        .heartbeat_ms = 60000,
    };
    if (e == ERR_OK)
        e = coordinator_new(&options, &m->service, &m->msg);
    return e != ERR_OK ? e : invite(m, INVITE_CELL, &m->cell_invite);
}

static void cell_joined(void *user, enum err e, const struct errmsg *msg)
{
    struct machines *m = user;
    if (!machines_failed(m, e, msg) && ++m->joined == m->cell_count)
        uvio_stop(m->io);
}

static enum err start_cell(struct machines *m, unsigned number)
{
    struct machine *machine = &m->cells[number];
    char name[16];
    (void)snprintf(name, sizeof(name), "cell%u", number);
    enum err e = machine_open(m, machine, name, STORE_CATALOGUE_NAME);
    if (e != ERR_OK)
        return e;
    const struct store_options store = {
        .disk = machine->disk,
        .random = uvio_random(m->io),
        .catalogue_path = machine->catalogue,
        .cell = *sign_key_id(machine->key),
        .first_start = true,
        .give_bytes = GIB(64),
        .reserve_bytes = 4096,
    };
    e = store_open(&store, &machine->store, &m->msg);
    machine->address = uvio_net_listen_address(machine->net);
    machine->coordinator = uvio_net_listen_address(m->coordinator.net);
    struct cell_options options = {
        .net = machine->net,
        .clock = uvio_clock(m->io),
        .random = uvio_random(m->io),
        .work = uvio_work(m->io),
        .store = machine->store,
        .lane = machine->lane,
        .key = machine->key,
        .coordinator = *sign_key_id(m->coordinator.key),
        .coordinator_addresses = &machine->coordinator,
        .coordinator_address_count = 1,
        .invite = buf_slice(&m->cell_invite),
        .addresses = &machine->address,
        .address_count = 1,
        .site = "",
        .give_bytes = GIB(64),
        .claim_code = "",
    };
    memcpy(options.swarm_root, m->root.key, sizeof(options.swarm_root));
    if (e == ERR_OK)
        e = cell_new(&options, &machine->cell, &m->msg);
    return e != ERR_OK ? e : cell_start(machine->cell, cell_joined, m, &m->msg);
}

enum err machines_start_swarm(struct machines *m, unsigned cells)
{
    m->cell_count = cells;
    enum err e = start_coordinator(m);
    for (unsigned i = 0; i < cells && e == ERR_OK; i++)
        e = start_cell(m, i);
    if (e != ERR_OK)
        return e;
    uvio_run(m->io);
    return m->e;
}

/* --- the device --- */

static enum err make_manifest(struct machines *m)
{
    static const uint8_t entropy[32] = {9};
    struct manifest_device device = {.capabilities = MANIFEST_PUT | MANIFEST_READ | MANIFEST_ADMIN,
                                     .name = "bench"};
    struct manifest *manifest = NULL;
    uint32_t slot;
    enum err e = account_keys_derive(entropy, &m->root, &m->keys);
    if (e == ERR_OK)
        e = manifest_new(&m->root, sign_key_public(m->keys.root), m->keys.reading_public,
                         &manifest);
    if (e != ERR_OK)
        return e;
    memcpy(device.key, sign_key_public(m->device.key), SIGN_PUBLIC_SIZE);
    e = manifest_add_device(manifest, &device, &slot);
    manifest->number = manifest_next_number(0, true);
    manifest->hold_s = MANIFEST_HOLD_DEFAULT_S;
    manifest->time_s = machines_wall_s(m);
    m->manifest = BUF_INIT(LIMIT_MANIFEST_BYTES);
    if (e == ERR_OK)
        e = manifest_certify_admins(manifest, &m->root, m->keys.root);
    if (e == ERR_OK)
        e = manifest_make(manifest, &m->root, m->keys.root, &m->manifest);
    manifest_free(manifest);
    return e;
}

static void account_joined(void *user, enum err e, const struct wire_join_reply *reply,
                           const struct errmsg *msg)
{
    struct machines *m = user;
    (void)reply;
    (void)machines_failed(m, e, msg);
    uvio_stop(m->io);
}

static enum err introduce(struct machines *m)
{
    struct buf hello = BUF_INIT(WIRE_HELLO_BYTES);
    m->hello = (struct wire_hello){.kind = WIRE_PEER_DEVICE,
                                   .document = buf_slice(&m->manifest),
                                   .manifest_number = manifest_next_number(0, true)};
    enum err e = wire_hello_encode(&m->hello, &hello);
    if (e == ERR_OK)
        e = net_introduce(m->device.net, wire_path_plain(WIRE_HELLO), buf_slice(&hello));
    buf_free(&hello);
    return e;
}

enum err machines_start_device(struct machines *m, const char *coordinator)
{
    const struct uvio_net_options options = {.seed = m->device.seed};
    enum err e = uvio_net_open(m->io, &options, &m->device.net, &m->msg);
    if (e == ERR_OK)
        e = make_manifest(m);
    if (e == ERR_OK)
        e = invite(m, INVITE_ACCOUNT, &m->account_invite);
    if (e != ERR_OK)
        return e;
    const struct swarm_join_request join = {
        .net = m->device.net,
        .coordinator = *sign_key_id(m->coordinator.key),
        .addresses = &coordinator,
        .address_count = 1,
        .join = {.kind = WIRE_JOIN_ACCOUNT,
                 .invite = buf_slice(&m->account_invite),
                 .document = buf_slice(&m->manifest)},
    };
    e = swarm_join(&join, account_joined, m, &m->msg);
    if (e != ERR_OK)
        return e;
    uvio_run(m->io);
    return m->e == ERR_OK ? introduce(m) : m->e;
}

/* --- the end --- */

void machines_end(struct machines *m)
{
    uvio_free(m->io);
    buf_free(&m->certificate);
    buf_free(&m->cell_invite);
    buf_free(&m->account_invite);
    buf_free(&m->manifest);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info, (void)type, (void)at;
    return remove(path);
}

static int empty_one(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info, (void)at;
    return type == FTW_F ? truncate(path, 0) : 0;
}

void machines_empty(const char *dir)
{
    (void)nftw(dir, empty_one, 16, FTW_PHYS);
}

void machines_remove(const char *dir)
{
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/*
 * Devices of a simulated swarm: keys, manifests, joining, claims.
 */
#include "sim_swarm.h"

#include "crypto/crypto.h"
#include "identity/claim.h"
#include "wire/wire_cell.h"
#include "wire/wire_coordinator.h"
#include "wire/wire_hello.h"
#include "wire/wire_path.h"

#include <stdio.h>
#include <stdlib.h>

enum { DEVICE_SEED = 100000 };

static void must(enum err e, const struct errmsg *msg, const char *what)
{
    if (e == ERR_OK)
        return;
    fprintf(stderr, "%s: %s (%s)\n", what, err_name(e), msg ? msg->text : "");
    abort();
}

/* The device as a manifest names it, with one epoch. */
static void add_to_manifest(struct sim_device *d, struct manifest *m, unsigned number,
                            unsigned capabilities)
{
    struct manifest_device device = {
        .capabilities = capabilities,
        .has_secrets = (capabilities & MANIFEST_READ) != 0,
    };
    struct manifest_epoch epoch = {.epoch = 1};
    uint8_t seal_secret[SEAL_SECRET_SIZE], random[32] = {1}, data_key[32] = {2};
    put_le32(random + 8, number);
    put_le32(data_key + 8, number);
    memcpy(device.key, sign_key_public(d->key), sizeof(device.key));
    snprintf(device.name, sizeof(device.name), "device-%u", number);
    seal_pair(sign_key_seed(d->key), device.seal_key, seal_secret);
    if (device.has_secrets)
        must(account_secrets_seal(&d->account.secrets, device.seal_key, random, device.secrets),
             NULL, "sealing secrets");
    must(seal(d->account.reading_public, random, slice_of(data_key, 32), epoch.sealed), NULL,
         "sealing a data key");
    must(manifest_add_device(m, &device, &d->slot), NULL, "adding a device");
    must(manifest_add_epoch(m, d->slot, &epoch), NULL, "adding an epoch");
}

static void sign_manifest(struct sim_device *d, struct manifest *m)
{
    m->number = manifest_next_number(m->number, true);
    must(manifest_certify_admins(m, &d->swarm->root, d->account.root), NULL, "certifying");
    buf_clear(&d->manifest);
    must(manifest_make(m, &d->swarm->root, d->account.root, &d->manifest), NULL,
         "signing a manifest");
    d->manifest_number = m->number;
}

static void make_manifest(struct sim_device *d, unsigned number)
{
    struct manifest *m;
    must(manifest_new(&d->swarm->root, sign_key_public(d->account.root), d->account.reading_public,
                      &m),
         NULL, "making a manifest");
    m->time_s = SIM_WALL_START_NS / 1000000000;
    m->hold_s = d->swarm->options.hold_s ? d->swarm->options.hold_s : MANIFEST_HOLD_DEFAULT_S;
    add_to_manifest(d, m, number, MANIFEST_PUT | MANIFEST_READ | MANIFEST_DELETE | MANIFEST_ADMIN);
    sign_manifest(d, m);
    manifest_free(m);
}

static void show_hello(struct sim_device *d)
{
    struct buf hello = BUF_INIT(WIRE_HELLO_BYTES);
    const struct wire_hello message = {.kind = WIRE_PEER_DEVICE,
                                       .document = buf_slice(&d->manifest)};
    must(wire_hello_encode(&message, &hello), NULL, "encoding a hello");
    must(net_introduce(d->node->net, wire_path_plain(WIRE_HELLO), buf_slice(&hello)), NULL,
         "introducing a device");
    buf_free(&hello);
}

static void join_account(struct sim_device *d)
{
    struct buf invite = BUF_INIT(INVITE_BYTES_MAX), body = BUF_INIT(WIRE_JOIN_BYTES);
    struct buf reply = BUF_INIT(WIRE_JOIN_REPLY_BYTES);
    unsigned status;
    sim_swarm_invite(d->swarm, INVITE_ACCOUNT, 1, &invite);
    const struct wire_join join = {.kind = WIRE_JOIN_ACCOUNT,
                                   .invite = buf_slice(&invite),
                                   .document = buf_slice(&d->manifest)};
    must(wire_join_encode(&join, &body), NULL, "encoding a join");
    must(sim_ask(d->swarm, d->node, &d->swarm->coordinator_node->id, "coordinator:1", NET_POST,
                 wire_path_plain(WIRE_JOIN), buf_slice(&body), &status, &reply),
         NULL, "an account joins");
    show_hello(d);
    buf_free(&invite);
    buf_free(&body);
    buf_free(&reply);
}

static struct sim_device *new_device(struct sim_swarm *s, unsigned number)
{
    struct sim_device *d = calloc(1, sizeof(*d));
    char name[32];
    if (!d)
        abort();
    snprintf(name, sizeof(name), "device-%u", number);
    d->swarm = s;
    d->key = sim_swarm_key(DEVICE_SEED + number);
    d->node = sim_swarm_node(s, name, d->key, NULL);
    d->manifest = BUF_INIT(LIMIT_MANIFEST_BYTES);
    return d;
}

struct sim_device *sim_device_new(struct sim_swarm *s, unsigned number)
{
    struct sim_device *d = new_device(s, number);
    uint8_t entropy[32] = "phrase";
    put_le32(entropy + 8, number);
    must(account_keys_derive(entropy, &s->root, &d->account), NULL, "deriving an account");
    make_manifest(d, number);
    join_account(d);
    return d;
}

struct sim_device *sim_device_add(struct sim_device *owner, unsigned number, unsigned capabilities)
{
    struct sim_device *d = new_device(owner->swarm, number);
    struct manifest *m;
    d->account = owner->account;
    d->is_second = true;
    must(manifest_open(buf_slice(&owner->manifest), &owner->swarm->root, &m, NULL), NULL,
         "reading a manifest");
    add_to_manifest(d, m, number, capabilities);
    sign_manifest(owner, m);
    manifest_free(m);
    must(buf_append(&d->manifest, owner->manifest.data, owner->manifest.size), NULL,
         "keeping a manifest");
    d->manifest_number = owner->manifest_number;
    show_hello(owner);
    show_hello(d);
    return d;
}

void sim_device_revoke(struct sim_device *owner, const struct sim_device *device)
{
    struct manifest *m;
    must(manifest_open(buf_slice(&owner->manifest), &owner->swarm->root, &m, NULL), NULL,
         "reading a manifest");
    must(manifest_revoke(m, device->slot, 0), NULL, "revoking a device");
    sign_manifest(owner, m);
    manifest_free(m);
    show_hello(owner);
}

void sim_device_free(struct sim_device *d)
{
    if (!d)
        return;
    sim_node_stop(d->node);
    sign_key_free(d->key);
    if (!d->is_second)
        account_keys_clear(&d->account);
    buf_free(&d->manifest);
    free(d);
}

enum err sim_device_claim(struct sim_device *d, unsigned number, const char *code)
{
    struct sim_cell *cell = &d->swarm->cells[number];
    struct buf half = BUF_INIT(CLAIM_BYTES_MAX), body = BUF_INIT(WIRE_CLAIM_BYTES);
    struct buf whole = BUF_INIT(CLAIM_BYTES_MAX), none = BUF_INIT(4096);
    unsigned status;
    const struct claim claim = {
        .account = d->account.account, .manifest_number = 1, .cell = cell->node->id, .time_s = 1};
    must(claim_make(&claim, &d->swarm->root, d->key, &half), NULL, "making a claim");
    const struct wire_claim message = {.claim = buf_slice(&half), .code = slice_text(code)};
    must(wire_claim_encode(&message, &body), NULL, "encoding a claim");
    enum err e = sim_ask(d->swarm, d->node, &cell->node->id, cell->address, NET_POST,
                         wire_path_plain(WIRE_CLAIM), buf_slice(&body), &status, &whole);
    if (e == ERR_OK)
        e = sim_ask(d->swarm, d->node, &d->swarm->coordinator_node->id, "coordinator:1", NET_POST,
                    wire_path_plain(WIRE_CLAIMS), buf_slice(&whole), &status, &none);
    buf_free(&half);
    buf_free(&body);
    buf_free(&whole);
    buf_free(&none);
    return e;
}

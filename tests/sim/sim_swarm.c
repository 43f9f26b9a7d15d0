#include "sim_swarm.h"

#include "crypto/crypto.h"
#include "port/net_body.h"
#include "wire/wire_error.h"
#include "wire/wire_path.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROOT_SEED = 1, COORDINATOR_SEED = 2, CELL_SEED = 1000 };

static void must(enum err e, const struct errmsg *msg, const char *what)
{
    if (e == ERR_OK)
        return;
    fprintf(stderr, "%s: %s (%s)\n", what, err_name(e), msg ? msg->text : "");
    abort();
}

struct sign_key *sim_swarm_key(uint64_t number)
{
    uint8_t seed[SIGN_SEED_SIZE] = "cellar-sim-key";
    struct sign_key *key;
    put_le64(seed + 16, number);
    must(sign_key_new(seed, &key), NULL, "making a key");
    return key;
}

struct sim_node *sim_swarm_node(struct sim_swarm *s, const char *name, const struct sign_key *key,
                                const char *address)
{
    struct sim_identity identity = {.name = name, .id = *sign_key_id(key), .address = address};
    memcpy(identity.key, sign_key_public(key), sizeof(identity.key));
    return sim_node_new(s->world, &identity);
}

static void settle(struct sim_swarm *s)
{
    must(sim_world_run(s->world, 1), NULL, "running the world");
}

/* --- the coordinator --- */

void sim_swarm_start_coordinator(struct sim_swarm *s)
{
    struct errmsg msg;
    struct sim_node *node = s->coordinator_node;
    if (!node->alive)
        sim_node_start(node);
    const struct registry_options registry = {
        .path = REGISTRY_FILE,
        .vfs = node->vfs,
        .key = s->coordinator_key,
        .swarm = &s->root,
        .certificate = buf_slice(&s->certificate),
        .incarnation = 1,
        .random = &node->random,
        .beat_ms = s->options.heartbeat_ms,
        .asleep_after_ms = s->options.asleep_after_ms,
        .gone_after_ms = s->options.gone_after_ms,
        .account_lease_s = s->options.account_lease_s,
        .repair_percent = s->options.repair_percent,
        .lease_s = s->options.lease_s,
        .proof_period_ms = s->options.proof_period_ms,
        .log = s->options.log,
    };
    must(registry_open(&registry, &s->registry, &msg), &msg, "opening the registry");
    s->lane = work_lane_new(&node->work, "registry");
    const struct coordinator_options options = {
        .net = node->net,
        .clock = &node->clock,
        .work = &node->work,
        .registry = s->registry,
        .lane = s->lane,
        .key = s->coordinator_key,
        .swarm = &s->root,
        .certificate = buf_slice(&s->certificate),
        .redundancy = "",
        .heartbeat_ms = s->options.heartbeat_ms,
        .flush_ms = s->options.flush_ms,
        .log = s->options.log,
    };
    must(coordinator_new(&options, &s->coordinator, &msg), &msg, "starting the coordinator");
}

void sim_swarm_stop_coordinator(struct sim_swarm *s, enum sim_death how)
{
    if (!s->coordinator)
        return;
    sim_node_crash(s->coordinator_node, how);
    coordinator_free(s->coordinator);
    registry_close(s->registry);
    work_lane_free(&s->coordinator_node->work, s->lane);
    s->coordinator = NULL;
    s->registry = NULL;
}

static void certify(struct sim_swarm *s)
{
    struct coordinator_cert cert = {.incarnation = 1, .time_s = SIM_WALL_START_NS / 1000000000};
    s->certificate = BUF_INIT(COORDINATOR_CERT_BYTES_MAX);
    memcpy(cert.key, sign_key_public(s->coordinator_key), sizeof(cert.key));
    must(address_list_add(&cert.addresses, "coordinator:1"), NULL, "an address");
    must(coordinator_cert_make(&cert, &s->root, s->root_key, &s->certificate), NULL,
         "certifying the coordinator");
}

void sim_swarm_invite(struct sim_swarm *s, enum invite_kind kind, uint32_t uses, struct buf *out)
{
    struct invite invite = {.kind = kind,
                            .uses = uses,
                            .expires_s = SIM_WALL_START_NS / 1000000000 + INT64_C(3650) * 86400,
                            .incarnation = 1};
    put_le32(invite.id, ++s->invites);
    must(invite_make(&invite, &s->root, s->coordinator_key, out), NULL, "making an invite");
}

/* --- cells --- */

static void on_joined(void *user, enum err e, const struct errmsg *msg)
{
    struct sim_cell *c = user;
    must(e, msg, "a cell joins");
    c->joined = c->was_member = true;
}

static bool is_joined(void *user)
{
    return ((const struct sim_cell *)user)->joined;
}

static enum err open_store(struct sim_cell *c, struct errmsg *msg)
{
    const struct store_options options = {
        .disk = &c->node->disk,
        .random = &c->node->random,
        .catalogue_path = STORE_CATALOGUE_NAME,
        .vfs = c->node->vfs,
        .cell = c->node->id,
        .first_start = !c->was_member,
        .give_bytes = c->shape.give_bytes,
        .reserve_bytes = 4096,
        .log = c->swarm->options.log,
    };
    return store_open(&options, &c->store, msg);
}

static enum err make_cell(struct sim_cell *c, struct slice invite, struct errmsg *msg)
{
    struct sim_swarm *s = c->swarm;
    static const char *const coordinator_addresses[] = {"coordinator:1"};
    c->addresses[0] = c->address;
    struct cell_options options = {
        .net = c->node->net,
        .clock = &c->node->clock,
        .random = &c->node->random,
        .work = &c->node->work,
        .log = s->options.log,
        .store = c->store,
        .lane = c->lane,
        .key = c->key,
        .coordinator = s->coordinator_node->id,
        .coordinator_addresses = coordinator_addresses,
        .coordinator_address_count = 1,
        .invite = invite,
        .addresses = c->addresses,
        .address_count = 1,
        .site = c->shape.site,
        .give_bytes = c->shape.give_bytes,
        .lease_ms = s->options.account_lease_s * 1000,
        .claim_code = "a-code",
        .scrub_period_ms = s->options.scrub_period_ms,
        .audit_period_ms = s->options.audit_period_ms,
    };
    memcpy(options.swarm_root, s->root.key, sizeof(options.swarm_root));
    enum err e = cell_new(&options, &c->cell, msg);
    if (e == ERR_OK)
        e = cell_start(c->cell, on_joined, c, msg);
    return e;
}

enum err sim_swarm_launch_cell(struct sim_swarm *s, unsigned number, struct errmsg *msg)
{
    struct sim_cell *c = &s->cells[number];
    struct buf *invite = &c->invite;
    if (!c->node->alive)
        sim_node_start(c->node);
    enum err e = open_store(c, msg);
    if (e != ERR_OK) {
        c->store = NULL;
        sim_node_crash(c->node, SIM_STOP);
        return e;
    }
    c->lane = work_lane_new(&c->node->work, "store");
    c->joined = false;
    if (!c->was_member && invite->size == 0)
        sim_swarm_invite(s, INVITE_CELL, 1, invite);
    e = make_cell(c, c->was_member ? slice_of(NULL, 0) : buf_slice(invite), msg);
    if (e != ERR_OK)
        sim_swarm_stop_cell(s, number, SIM_STOP);
    return e;
}

void sim_swarm_start_cell(struct sim_swarm *s, unsigned number)
{
    struct errmsg msg;
    must(sim_swarm_launch_cell(s, number, &msg), &msg, "starting a cell");
    must(sim_world_run_until(s->world, is_joined, &s->cells[number], 600000), NULL,
         "waiting for a cell to join");
}

void sim_swarm_stop_cell(struct sim_swarm *s, unsigned number, enum sim_death how)
{
    struct sim_cell *c = &s->cells[number];
    struct cell_counters counters;
    if (!c->store)
        return;
    sim_swarm_cell_counters(s, number, &counters);
    c->past = counters;
    sim_node_crash(c->node, how);
    cell_free(c->cell);
    store_close(c->store);
    work_lane_free(&c->node->work, c->lane);
    c->cell = NULL;
    c->store = NULL;
}

void sim_swarm_cell_counters(const struct sim_swarm *s, unsigned number, struct cell_counters *out)
{
    const struct sim_cell *c = &s->cells[number];
    struct cell_counters now = {0};
    if (c->cell)
        cell_counters(c->cell, &now);
    *out = c->past;
    out->repair_count += now.repair_count;
    out->repair_bytes += now.repair_bytes;
    out->proof_count += now.proof_count;
    out->put_count += now.put_count;
    out->put_bytes += now.put_bytes;
    out->get_count += now.get_count;
    out->get_bytes += now.get_bytes;
    out->refused_count += now.refused_count;
}

/* --- the swarm --- */

struct sim_swarm *sim_swarm_new(struct sim_world *world, const struct sim_swarm_options *options)
{
    struct errmsg msg;
    must(crypto_init(&msg), &msg, "starting the cryptography");
    struct sim_swarm *s = calloc(1, sizeof(*s));
    if (!s || options->cells > SIM_SWARM_CELLS_MAX)
        abort();
    s->world = world;
    s->options = *options;
    if (!s->options.give_bytes)
        s->options.give_bytes = GIB(1);
    if (!s->options.heartbeat_ms)
        s->options.heartbeat_ms = 15 * 60 * 1000;
    if (!s->options.asleep_after_ms)
        s->options.asleep_after_ms = UINT64_C(4) * 3600 * 1000;
    if (!s->options.gone_after_ms)
        s->options.gone_after_ms = UINT64_C(14) * 86400 * 1000;
    s->root_key = sim_swarm_key(ROOT_SEED);
    swarm_root_of(sign_key_public(s->root_key), &s->root);
    s->coordinator_key = sim_swarm_key(COORDINATOR_SEED);
    certify(s);
    s->coordinator_node = sim_swarm_node(s, "coordinator", s->coordinator_key, "coordinator:1");
    sim_swarm_start_coordinator(s);
    for (unsigned i = 0; i < options->cells; i++) {
        struct sim_cell *c = &s->cells[i];
        char name[32];
        snprintf(name, sizeof(name), "cell-%u", i);
        snprintf(c->address, sizeof(c->address), "cell-%u:1", i);
        c->swarm = s;
        c->key = sim_swarm_key(CELL_SEED + i);
        c->node = sim_swarm_node(s, name, c->key, c->address);
        c->invite = BUF_INIT(INVITE_BYTES_MAX);
        if (options->shapes)
            c->shape = options->shapes[i];
        if (!c->shape.give_bytes)
            c->shape.give_bytes = s->options.give_bytes;
        if (!s->options.joined || i < s->options.joined)
            sim_swarm_start_cell(s, i);
        else
            sim_node_stop(c->node);
    }
    return s;
}

void sim_swarm_free(struct sim_swarm *s)
{
    for (unsigned i = 0; i < s->options.cells; i++) {
        sim_swarm_stop_cell(s, i, SIM_STOP);
        sign_key_free(s->cells[i].key);
        buf_free(&s->cells[i].invite);
    }
    sim_swarm_stop_coordinator(s, SIM_STOP);
    settle(s);
    sign_key_free(s->coordinator_key);
    sign_key_free(s->root_key);
    buf_free(&s->certificate);
    free(s);
}

/* --- asking --- */

struct ask {
    bool done;
    enum err e;
    unsigned status;
    struct buf *reply;
};

static void ask_done(void *user, enum err e, unsigned status, struct slice body,
                     const struct errmsg *msg)
{
    struct ask *ask = user;
    (void)msg;
    ask->done = true;
    ask->e = e;
    ask->status = status;
    if (e == ERR_OK && buf_append(ask->reply, body.data, body.size) != ERR_OK)
        abort();
    if (e == ERR_OK && wire_status_failed(status))
        ask->e = wire_error_take(status, body, NULL, NULL);
}

static bool is_asked(void *user)
{
    return ((const struct ask *)user)->done;
}

enum err sim_ask(struct sim_swarm *s, struct sim_node *from, const struct id *to,
                 const char *address, enum net_method method, const char *path, struct slice body,
                 unsigned *status, struct buf *reply)
{
    struct errmsg msg;
    struct net_message *message;
    const char *const addresses[] = {address};
    const struct net_request request = {
        .target = {.id = *to, .addresses = addresses, .address_count = 1},
        .method = method,
        .path = path,
        .net_class = NET_OTHER,
        .body = &body,
        .body_count = body.size ? 1 : 0,
    };
    struct ask ask = {.reply = reply};
    buf_clear(reply);
    must(net_message_start(from->net, &request, reply->size_max, ask_done, &ask, &message, &msg),
         &msg, "starting a request");
    must(sim_world_run_until(s->world, is_asked, &ask, 3600000), NULL, "waiting for an answer");
    *status = ask.status;
    return ask.e;
}

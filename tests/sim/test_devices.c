/*
 * Several devices of one account, as the daemons see them: whose requests to join rest where and
 * for how long, what a device may do that may only put, and what a revocation undoes.
 */
#include "service_fixture.h"

#include "documents/documents.h"
#include "identity/delete_order.h"
#include "identity/device_request.h"
#include "wire/wire_device.h"
#include "wire/wire_removal.h"

enum { CELL = 0, NOW_S = SIM_WALL_START_NS / 1000000000 };

struct joiner {
    struct sim_node *node;
    struct sign_key *key;
    uint32_t slot;
};

static struct joiner joiner_new(struct fixture *f, uint8_t number)
{
    struct joiner j;
    uint8_t seed[SIGN_SEED_SIZE] = {0xd0, number};
    char name[32];
    snprintf(name, sizeof(name), "joiner-%u", number);
    assert_int_equal(sign_key_new(seed, &j.key), ERR_OK);
    struct sim_identity identity = {.name = name, .id = *sign_key_id(j.key)};
    memcpy(identity.key, sign_key_public(j.key), sizeof(identity.key));
    j.node = sim_node_new(f->world, &identity);
    j.slot = UINT32_MAX;
    return j;
}

static void joiner_free(struct joiner *j)
{
    sim_node_stop(j->node);
    sign_key_free(j->key);
}

struct wish {
    const struct sign_key *inviter, *signer; /* of the request; NULL: the joiner */
    struct id account;
    unsigned capabilities;
    uint8_t invite, requested; /* their IDs' first byte */
    int64_t expires_s;
    bool no_request, no_invite;
};

static struct wish good_wish(const struct fixture *f)
{
    return (struct wish){.inviter = f->owner->key,
                         .account = f->owner->account.account,
                         .capabilities = MANIFEST_PUT,
                         .invite = 1,
                         .requested = 1,
                         .expires_s = NOW_S + 3600};
}

static enum err ask(struct fixture *f, struct sim_node *from, const struct id *to,
                    const char *address, const struct sign_key *joiner, const struct wish *w)
{
    struct invite_device invite = {
        .account = w->account, .capabilities = w->capabilities, .expires_s = w->expires_s};
    struct device_request request = {
        .account = w->account, .invited = true, .name = "new", .epoch = {.epoch = 1}};
    struct buf invite_doc = BUF_INIT(INVITE_BYTES_MAX),
               request_doc = BUF_INIT(DEVICE_REQUEST_BYTES_MAX);
    const struct wire_path path = {.route = WIRE_DEVICES, .id = f->owner->account.account};
    char text[WIRE_PATH_SIZE];
    invite.id[0] = w->invite;
    request.invite[0] = w->requested;
    assert_int_equal(invite_device_make(&invite, &f->swarm->root, w->inviter, &invite_doc), ERR_OK);
    assert_int_equal(device_request_make(&request, &f->swarm->root, w->signer ? w->signer : joiner,
                                         &request_doc),
                     ERR_OK);
    const struct wire_device_ask question = {
        .invite = w->no_invite ? slice_of(NULL, 0) : buf_slice(&invite_doc),
        .request = w->no_request ? slice_of(NULL, 0) : buf_slice(&request_doc)};
    buf_clear(&f->body);
    assert_int_equal(wire_device_ask_encode(&question, &f->body), ERR_OK);
    const enum err e = sim_ask(f->swarm, from, to, address, NET_POST, wire_path_format(&path, text),
                               buf_slice(&f->body), &f->status, &f->reply);
    buf_free(&invite_doc);
    buf_free(&request_doc);
    return e;
}

static enum err ask_cell(struct fixture *f, const struct joiner *j, const struct wish *w)
{
    return ask(f, j->node, &f->swarm->cells[CELL].node->id, f->swarm->cells[CELL].address, j->key,
               w);
}

static enum err ask_coordinator(struct fixture *f, const struct joiner *j, const struct wish *w)
{
    return ask(f, j->node, &f->swarm->coordinator_node->id, "coordinator:1", j->key, w);
}

/* How many wait at the cell; -1: refused. */
static int waiting(struct fixture *f, struct sim_node *from)
{
    const struct wire_path path = {.route = WIRE_DEVICES, .id = f->owner->account.account};
    char text[WIRE_PATH_SIZE];
    struct wire_list list;
    if (sim_ask(f->swarm, from, &f->swarm->cells[CELL].node->id, f->swarm->cells[CELL].address,
                NET_GET, wire_path_format(&path, text), slice_of(NULL, 0), &f->status,
                &f->reply) != ERR_OK)
        return -1;
    assert_int_equal(wire_device_requests_decode(buf_slice(&f->reply), &list), ERR_OK);
    return (int)list.count;
}

/* The owner's manifest, changed and signed by it or the root, to the cell and the coordinator. */
static void publish(struct fixture *f, struct manifest *m, bool by_root)
{
    const struct wire_path name = {.route = WIRE_HEADS, .id = f->owner->account.account};
    char path[WIRE_PATH_SIZE];
    m->number = manifest_next_number(m->number, by_root);
    if (by_root)
        assert_int_equal(manifest_certify_admins(m, &f->swarm->root, f->owner->account.root),
                         ERR_OK);
    buf_clear(&f->owner->manifest);
    assert_int_equal(manifest_make(m, &f->swarm->root,
                                   by_root ? f->owner->account.root : f->owner->key,
                                   &f->owner->manifest),
                     ERR_OK);
    buf_clear(&f->body);
    assert_int_equal(wire_heads_encode(buf_slice(&f->owner->manifest), NULL, 0, &f->body), ERR_OK);
    assert_int_equal(sim_ask(f->swarm, f->owner->node, &f->swarm->cells[CELL].node->id,
                             f->swarm->cells[CELL].address, NET_PUT, wire_path_format(&name, path),
                             buf_slice(&f->body), &f->status, &f->reply),
                     ERR_OK);
    assert_int_equal(sim_ask(f->swarm, f->owner->node, &f->swarm->coordinator_node->id,
                             "coordinator:1", NET_PUT, wire_path_format(&name, path),
                             buf_slice(&f->body), &f->status, &f->reply),
                     ERR_OK);
}

static struct manifest *newest(struct fixture *f)
{
    struct manifest *m;
    assert_int_equal(manifest_open(buf_slice(&f->owner->manifest), &f->swarm->root, &m, NULL),
                     ERR_OK);
    return m;
}

static void say_hello(struct fixture *f, struct sim_node *node)
{
    struct buf body = BUF_INIT(WIRE_HELLO_BYTES);
    const struct wire_hello hello = {.kind = WIRE_PEER_DEVICE,
                                     .document = buf_slice(&f->owner->manifest)};
    assert_int_equal(wire_hello_encode(&hello, &body), ERR_OK);
    assert_int_equal(net_introduce(node->net, wire_path_plain(WIRE_HELLO), buf_slice(&body)),
                     ERR_OK);
    buf_free(&body);
}

/* Taken in as an admin's program does it. */
static void take_in(struct fixture *f, struct joiner *j, unsigned capabilities, uint8_t invite)
{
    struct manifest *m = newest(f);
    struct manifest_device device = {.capabilities = capabilities, .name = "new", .invited = true};
    const struct manifest_epoch epoch = {.epoch = 1};
    memcpy(device.key, sign_key_public(j->key), sizeof(device.key));
    device.invite[0] = invite;
    assert_int_equal(manifest_add_device(m, &device, &j->slot), ERR_OK);
    assert_int_equal(manifest_add_epoch(m, j->slot, &epoch), ERR_OK);
    publish(f, m, false);
    manifest_free(m);
    say_hello(f, j->node);
}

static void test_a_request_waits_until_the_manifest_names_the_device(void **state)
{
    struct fixture *f = *state;
    struct joiner j = joiner_new(f, 1);
    struct wire_device_reply reply;
    struct wish w = good_wish(f);
    assert_int_equal(waiting(f, f->owner->node), 0); /* and the cell knows the account now */
    w.no_request = true;
    assert_int_equal(ask_cell(f, &j, &w), ERR_OK);
    assert_int_equal(wire_device_reply_decode(buf_slice(&f->reply), &reply), ERR_OK);
    assert_true(slice_equal(reply.manifest, buf_slice(&f->owner->manifest)));
    assert_false(reply.waiting);
    w.no_request = false;
    for (int time = 0; time < 2; time++) { /* again is the same */
        assert_int_equal(ask_cell(f, &j, &w), ERR_OK);
        assert_int_equal(wire_device_reply_decode(buf_slice(&f->reply), &reply), ERR_OK);
        assert_true(reply.waiting);
        assert_int_equal(waiting(f, f->owner->node), 1);
    }
    sim_swarm_stop_cell(f->swarm, CELL, SIM_POWER);
    sim_swarm_start_cell(f->swarm, CELL);
    assert_int_equal(waiting(f, f->owner->node), -1); /* the connection of before */
    assert_int_equal(waiting(f, f->owner->node), 1);
    take_in(f, &j, MANIFEST_PUT, 1);
    assert_int_equal(waiting(f, f->owner->node), 0);
    joiner_free(&j);
}

static void test_only_good_invites_open_the_door(void **state)
{
    struct fixture *f = *state;
    struct joiner j = joiner_new(f, 1), other = joiner_new(f, 2);
    struct wish w;
    assert_int_equal(waiting(f, f->owner->node), 0);
    w = good_wish(f), w.no_invite = true;
    assert_int_equal(ask_cell(f, &j, &w), ERR_DENIED);
    w = good_wish(f), w.inviter = f->other->key; /* no admin of this account */
    assert_int_equal(ask_cell(f, &j, &w), ERR_DENIED);
    w = good_wish(f), w.account = f->other->account.account;
    assert_int_equal(ask_cell(f, &j, &w), ERR_DENIED);
    w = good_wish(f), w.capabilities |= MANIFEST_ADMIN; /* which only the root gives */
    assert_int_equal(ask_cell(f, &j, &w), ERR_DENIED);
    w = good_wish(f), w.expires_s = NOW_S - 3600;
    assert_int_equal(ask_coordinator(f, &j, &w), ERR_DENIED);
    w = good_wish(f), w.signer = other.key; /* somebody else's request */
    assert_int_equal(ask_cell(f, &j, &w), ERR_AUTH);
    w = good_wish(f), w.requested = 2; /* another invite than the one shown */
    assert_int_equal(ask_cell(f, &j, &w), ERR_DENIED);
    assert_int_equal(waiting(f, f->owner->node), 0);
    w = good_wish(f), w.inviter = f->owner->account.root, w.capabilities |= MANIFEST_ADMIN;
    assert_int_equal(ask_cell(f, &j, &w), ERR_OK);
    w = good_wish(f); /* one device an invite */
    assert_int_equal(ask_cell(f, &other, &w), ERR_EXISTS);
    assert_int_equal(waiting(f, f->owner->node), 1);
    take_in(f, &j, MANIFEST_PUT, 1);
    assert_int_equal(ask_cell(f, &other, &w), ERR_DENIED); /* used */
    joiner_free(&j);
    joiner_free(&other);
}

static void test_invites_of_a_revoked_admin_are_void(void **state)
{
    struct fixture *f = *state;
    struct joiner j = joiner_new(f, 1);
    struct wish w = good_wish(f);
    struct manifest *m = newest(f);
    assert_int_equal(waiting(f, f->owner->node), 0);
    assert_int_equal(manifest_revoke(m, f->owner->slot, 0), ERR_OK);
    publish(f, m, true);
    manifest_free(m);
    assert_int_equal(ask_cell(f, &j, &w), ERR_DENIED);
    assert_int_equal(waiting(f, f->owner->node), -1);
    joiner_free(&j);
}

static void test_requests_are_bounded_and_end_with_their_invites(void **state)
{
    struct fixture *f = *state;
    struct joiner joiners[WIRE_DEVICE_REQUESTS_MAX + 1];
    assert_int_equal(waiting(f, f->owner->node), 0);
    for (uint8_t i = 0; i < ARRAY_COUNT(joiners); i++) {
        struct wish w = good_wish(f);
        joiners[i] = joiner_new(f, i);
        w.invite = w.requested = i;
        assert_int_equal(ask_cell(f, &joiners[i], &w),
                         i < WIRE_DEVICE_REQUESTS_MAX ? ERR_OK : ERR_TOO_LARGE);
    }
    assert_int_equal(waiting(f, f->owner->node), WIRE_DEVICE_REQUESTS_MAX);
    assert_int_equal(sim_world_run(f->world, UINT64_C(3) * 3600000), ERR_OK);
    assert_int_equal(waiting(f, f->owner->node), 0);
    for (uint8_t i = 0; i < ARRAY_COUNT(joiners); i++)
        joiner_free(&joiners[i]);
}

/* A put-only device stores under its own slot, and sees nothing else. */
static void test_a_device_that_may_only_put(void **state)
{
    struct fixture *f = *state;
    struct joiner j = joiner_new(f, 1);
    struct buf grant = BUF_INIT(GRANT_BYTES_MAX), doc = BUF_INIT(DELETE_ORDER_BYTES_MAX);
    struct shard *theirs = shard_make(f->owner, 1);
    const struct wire_path shards = {.route = WIRE_ACCOUNT_SHARDS, .id = f->owner->account.account},
                           heads = {.route = WIRE_HEADS, .id = f->owner->account.account};
    char text[WIRE_PATH_SIZE];
    struct wire_heads found;
    struct slice head;
    get_grant(f, f->owner, CELL, MIB(1), &grant);
    const struct put put = {theirs, f->owner, buf_slice(&grant), CELL, 0, SHARD_BYTES};
    assert_int_equal(do_put(f, &put), ERR_OK);
    take_in(f, &j, MANIFEST_PUT, 1);
    struct sim_device as = {.swarm = f->swarm,
                            .node = j.node,
                            .key = j.key,
                            .account = f->owner->account,
                            .slot = j.slot};
    struct shard *own = shard_make(&as, 2);
    get_grant(f, &as, CELL, MIB(1), &grant);
    const struct put own_put = {own, &as, buf_slice(&grant), CELL, 0, SHARD_BYTES};
    assert_int_equal(do_put(f, &own_put), ERR_OK);
    const struct put foreign = {theirs, &as, buf_slice(&grant), CELL, 0, SHARD_BYTES};
    assert_int_equal(do_put(f, &foreign), ERR_DENIED);
    assert_int_equal(do_get(f, j.node, own, CELL), ERR_OK);
    assert_int_equal(do_get(f, j.node, theirs, CELL), ERR_DENIED);
    assert_int_equal(do_get(f, f->owner->node, own, CELL), ERR_OK); /* who may read does */
    assert_int_equal(
        sim_ask(f->swarm, j.node, &f->swarm->cells[CELL].node->id, f->swarm->cells[CELL].address,
                NET_GET, wire_path_format(&shards, text), slice_of(NULL, 0), &f->status, &f->reply),
        ERR_DENIED);
    assert_int_equal(waiting(f, j.node), -1);
    assert_int_equal(sim_ask(f->swarm, j.node, &f->swarm->cells[CELL].node->id,
                             f->swarm->cells[CELL].address, NET_GET, wire_path_format(&heads, text),
                             slice_of(NULL, 0), &f->status, &f->reply),
                     ERR_OK);
    assert_int_equal(wire_heads_decode(buf_slice(&f->reply), &found), ERR_OK);
    assert_false(wire_heads_next(&found.list, &head));
    /* and deletes nothing, not even its own */
    struct shard *const each[] = {own, theirs};
    for (size_t i = 0; i < ARRAY_COUNT(each); i++) {
        struct manifest *m = newest(f);
        const struct deed deed = {.account = f->owner->account.account,
                                  .manifest_number = m->number,
                                  .slot = j.slot,
                                  .sequence = i + 1,
                                  .time_s = NOW_S};
        manifest_free(m);
        buf_clear(&doc);
        assert_int_equal(
            delete_order_make(&deed, false, &each[i]->segment, 1, &f->swarm->root, j.key, &doc),
            ERR_OK);
        const struct wire_order order = {.kind = WIRE_ORDER_DELETE, .doc = buf_slice(&doc)};
        buf_clear(&f->body);
        assert_int_equal(wire_delete_encode(&order, 1, &f->body), ERR_OK);
        assert_int_equal(sim_ask(f->swarm, j.node, &f->swarm->cells[CELL].node->id,
                                 f->swarm->cells[CELL].address, NET_POST,
                                 wire_path_plain(WIRE_DELETE), buf_slice(&f->body), &f->status,
                                 &f->reply),
                         ERR_DENIED);
        assert_int_equal(do_get(f, f->owner->node, each[i], CELL), ERR_OK);
    }
    buf_free(&grant);
    buf_free(&doc);
    free(own);
    free(theirs);
    joiner_free(&j);
}

static enum err put_head(struct fixture *f, struct sim_node *from, const struct sign_key *key,
                         uint32_t slot, uint64_t sequence, struct id *hash)
{
    struct head *head = calloc(1, sizeof(*head));
    struct buf doc = BUF_INIT(HEAD_BYTES_MAX);
    const struct wire_path name = {.route = WIRE_HEADS, .id = f->owner->account.account};
    char path[WIRE_PATH_SIZE];
    *head = (struct head){.account = f->owner->account.account,
                          .slot = slot,
                          .sequence = sequence,
                          .previous = *hash,
                          .manifest_number = 1,
                          .time_s = NOW_S,
                          .sealed = slice_text("sealed")};
    assert_int_equal(head_make(head, &f->swarm->root, key, &doc), ERR_OK);
    document_hash(buf_slice(&doc), hash);
    const struct slice docs[] = {buf_slice(&doc)};
    buf_clear(&f->body);
    assert_int_equal(wire_heads_encode(slice_of(NULL, 0), docs, 1, &f->body), ERR_OK);
    const enum err e =
        sim_ask(f->swarm, from, &f->swarm->cells[CELL].node->id, f->swarm->cells[CELL].address,
                NET_PUT, wire_path_format(&name, path), buf_slice(&f->body), &f->status, &f->reply);
    buf_free(&doc);
    free(head);
    return e;
}

static enum err add_sequence(void *user, const struct id *device, uint64_t sequence,
                             struct slice doc)
{
    (void)device;
    (void)doc;
    *(uint64_t *)user += sequence;
    return ERR_OK;
}

/* The cell's word for the newest head of all devices (there is one). */
static uint64_t newest_head(struct fixture *f)
{
    uint64_t sum = 0;
    assert_int_equal(documents_heads(store_db(f->swarm->cells[CELL].store),
                                     &f->owner->account.account, add_sequence, &sum, NULL),
                     ERR_OK);
    return sum;
}

/* What a revoked device signed past its last valid sequence is void: the cell forgets the head that
   is there, takes none of it, and takes the last valid one again from whoever has it. */
static void test_heads_past_a_revocation_are_void(void **state)
{
    struct fixture *f = *state;
    struct joiner j = joiner_new(f, 1);
    struct id hash = {{0}}, first;
    take_in(f, &j, MANIFEST_PUT, 1);
    assert_int_equal(put_head(f, j.node, j.key, j.slot, 1, &hash), ERR_OK);
    first = hash;
    assert_int_equal(put_head(f, j.node, j.key, j.slot, 2, &hash), ERR_OK);
    assert_int_equal(newest_head(f), 2);
    struct manifest *m = newest(f);
    assert_int_equal(manifest_revoke(m, j.slot, 1), ERR_OK);
    publish(f, m, false);
    manifest_free(m);
    assert_int_equal(newest_head(f), 0);
    struct id again = {{0}};
    assert_int_equal(put_head(f, j.node, j.key, j.slot, 1, &again), ERR_DENIED);
    again = (struct id){{0}};
    assert_int_equal(put_head(f, f->owner->node, j.key, j.slot, 1, &again), ERR_OK);
    assert_true(id_equal(&again, &first));
    assert_int_equal(put_head(f, f->owner->node, j.key, j.slot, 2, &again), ERR_DENIED);
    assert_int_equal(newest_head(f), 1);
    joiner_free(&j);
}

int main(void)
{
#define SIM_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        SIM_TEST(test_a_request_waits_until_the_manifest_names_the_device),
        SIM_TEST(test_only_good_invites_open_the_door),
        SIM_TEST(test_invites_of_a_revoked_admin_are_void),
        SIM_TEST(test_requests_are_bounded_and_end_with_their_invites),
        SIM_TEST(test_a_device_that_may_only_put),
        SIM_TEST(test_heads_past_a_revocation_are_void),
    };
    return cmocka_run_group_tests_name("sim/devices", tests, NULL, NULL);
}

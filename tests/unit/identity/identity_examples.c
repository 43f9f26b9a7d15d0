#include "identity_examples.h"

#include "crypto/crypto.h"
#include "identity/claim.h"
#include "identity/condemned.h"
#include "identity/coordinator_cert.h"
#include "identity/delete_order.h"
#include "identity/device_request.h"
#include "identity/drop_order.h"
#include "identity/grant.h"
#include "identity/head.h"
#include "identity/invite.h"
#include "identity/lift.h"
#include "identity/manifest.h"
#include "identity/member_list.h"
#include "identity/member_statement.h"
#include "identity/receipt.h"
#include "identity/recovery_cert.h"
#include "identity/renewal.h"
#include "identity/signed_record.h"
#include "identity/ticket.h"
#include "identity/tombstone.h"

#include <stdlib.h>

enum { TIME_S = 1700000000 };

static void must(enum err e)
{
    if (e != ERR_OK)
        abort();
}

static struct sign_key *key_of(uint8_t byte)
{
    struct id seed = identity_id(byte);
    struct sign_key *key;
    must(sign_key_new(seed.bytes, &key));
    return key;
}

const struct identity_world *identity_world(void)
{
    static struct identity_world world;
    if (world.root != NULL)
        return &world;
    struct id phrase = identity_id(0x01);
    must(crypto_init(NULL));
    must(swarm_root_key(phrase.bytes, &world.root));
    swarm_root_of(sign_key_public(world.root), &world.swarm);
    world.coordinator = key_of(0x02);
    world.cell = key_of(0x03);
    world.device = key_of(0x04);
    world.admin = key_of(0x05);
    phrase = identity_id(0x06);
    must(account_keys_derive(phrase.bytes, &world.swarm, &world.account));
    return &world;
}

struct id identity_id(uint8_t byte)
{
    struct id id;
    memset(id.bytes, byte, sizeof(id.bytes));
    return id;
}

struct slice identity_payload(struct slice document)
{
    struct cbor_reader r = cbor_read_over(document);
    if (cbor_read_array(&r, 5) < 3)
        abort();
    return cbor_read_bytes(&r, document.size);
}

enum err identity_resign(const struct identity_example *example, struct slice payload,
                         struct buf *out)
{
    const struct identity_world *w = identity_world();
    uint8_t signature[SIGN_SIZE];
    enum err e = document_sign(example->type, &w->swarm, example->key(w), payload, signature);
    if (e != ERR_OK)
        return e;
    struct cbor_writer writer = cbor_write_into(out);
    cbor_write_array(&writer);
    cbor_write_bytes(&writer, payload);
    cbor_write_bytes(&writer, slice_of(sign_key_public(example->key(w)), SIGN_PUBLIC_SIZE));
    cbor_write_bytes(&writer, slice_of(signature, SIGN_SIZE));
    cbor_write_end(&writer);
    return cbor_write_finish(&writer);
}

static const struct sign_key *by_root(const struct identity_world *w)
{
    return w->root;
}

static const struct sign_key *by_coordinator(const struct identity_world *w)
{
    return w->coordinator;
}

static const struct sign_key *by_cell(const struct identity_world *w)
{
    return w->cell;
}

static const struct sign_key *by_device(const struct identity_world *w)
{
    return w->device;
}

static const struct sign_key *by_account(const struct identity_world *w)
{
    return w->account.root;
}

/* --- what the swarm's root and its coordinator sign --- */

static enum err build_coordinator(const struct identity_world *w, struct buf *out)
{
    struct coordinator_cert cert = {.incarnation = 1, .time_s = TIME_S};
    memcpy(cert.key, sign_key_public(w->coordinator), SIGN_PUBLIC_SIZE);
    must(address_list_add(&cert.addresses, "coordinator.example:7700"));
    return coordinator_cert_make(&cert, &w->swarm, w->root, out);
}

static enum err again_coordinator(const struct identity_world *w, struct slice in, struct buf *out)
{
    struct coordinator_cert cert;
    enum err e = coordinator_cert_open(in, &w->swarm, &cert, NULL);
    return e != ERR_OK ? e : coordinator_cert_make(&cert, &w->swarm, w->root, out);
}

static enum err build_invite(const struct identity_world *w, struct buf *out)
{
    struct invite invite = {
        .kind = INVITE_CELL, .uses = 1, .expires_s = TIME_S + 604800, .incarnation = 1};
    memset(invite.id, 0x11, sizeof(invite.id));
    return invite_make(&invite, &w->swarm, w->coordinator, out);
}

static enum err again_invite(const struct identity_world *w, struct slice in, struct buf *out)
{
    struct invite invite;
    enum err e = invite_open(in, &w->swarm, sign_key_id(w->coordinator), &invite, NULL);
    return e != ERR_OK ? e : invite_make(&invite, &w->swarm, w->coordinator, out);
}

static enum err build_device_invite(const struct identity_world *w, struct buf *out)
{
    struct invite_device invite = {.account = w->account.account,
                                   .capabilities = MANIFEST_PUT | MANIFEST_READ,
                                   .expires_s = TIME_S + 3600};
    memset(invite.id, 0x12, sizeof(invite.id));
    return invite_device_make(&invite, &w->swarm, w->account.root, out);
}

static enum err again_device_invite(const struct identity_world *w, struct slice in,
                                    struct buf *out)
{
    struct invite_device invite;
    enum err e = invite_device_open(in, &w->swarm, NULL, &invite, NULL);
    return e != ERR_OK ? e : invite_device_make(&invite, &w->swarm, w->account.root, out);
}

static enum err build_device_request(const struct identity_world *w, struct buf *out)
{
    struct device_request request = {.account = w->account.account,
                                     .invited = true,
                                     .name = "attic",
                                     .epoch = {.epoch = 1},
                                     .time_s = TIME_S};
    memset(request.invite, 0x12, sizeof(request.invite));
    memset(request.seal_key, 0x13, sizeof(request.seal_key));
    memset(request.epoch.sealed, 0x14, sizeof(request.epoch.sealed));
    return device_request_make(&request, &w->swarm, w->device, out);
}

static enum err again_device_request(const struct identity_world *w, struct slice in,
                                     struct buf *out)
{
    struct device_request request;
    enum err e = device_request_open(in, &w->swarm, sign_key_id(w->device), &request, NULL);
    return e != ERR_OK ? e : device_request_make(&request, &w->swarm, w->device, out);
}

static enum err build_members(const struct identity_world *w, struct buf *out)
{
    struct buf cert = BUF_INIT(4096), addresses = BUF_INIT(4096);
    struct address_list list = {0};
    must(build_coordinator(w, &cert));
    must(address_list_add(&list, "192.0.2.1:7701"));
    must(address_list_add(&list, "[2001:db8::1]:7701"));
    must(address_list_encode(&list, &addresses));
    struct member members[2] = {
        {.weight = 100,
         .eligible = true,
         .claimed = true,
         .household = w->account.account,
         .site = slice_text("attic"),
         .addresses = buf_slice(&addresses)},
        {.weight = 7, .addresses = slice_of("\x80", 1)},
    };
    memcpy(members[0].key, sign_key_public(w->cell), SIGN_PUBLIC_SIZE);
    memcpy(members[1].key, sign_key_public(w->device), SIGN_PUBLIC_SIZE);
    struct member_list members_list = {.coordinator_doc = buf_slice(&cert),
                                       .number = 2,
                                       .previous = identity_id(0x21),
                                       .time_s = TIME_S,
                                       .members = members,
                                       .count = 2};
    enum err e = member_list_make(&members_list, &w->swarm, w->coordinator, out);
    buf_free(&cert);
    buf_free(&addresses);
    return e;
}

static enum err again_members(const struct identity_world *w, struct slice in, struct buf *out)
{
    struct member_list *list;
    enum err e = member_list_open(in, &w->swarm, &list, NULL);
    if (e != ERR_OK)
        return e;
    e = member_list_make(list, &w->swarm, w->coordinator, out);
    member_list_free(list);
    return e;
}

static enum err build_grant(const struct identity_world *w, struct buf *out)
{
    struct grant grant = {.incarnation = 1,
                          .account = w->account.account,
                          .device = *sign_key_id(w->device),
                          .cell = *sign_key_id(w->cell),
                          .list_number = 2,
                          .expires_s = TIME_S + 604800,
                          .budget_bytes = UINT64_C(4) << 30};
    memset(grant.id, 0x13, sizeof(grant.id));
    return grant_make(&grant, &w->swarm, w->coordinator, out);
}

static enum err again_grant(const struct identity_world *w, struct slice in, struct buf *out)
{
    struct grant grant;
    enum err e = grant_open(in, &w->swarm, sign_key_id(w->coordinator), &grant, NULL);
    return e != ERR_OK ? e : grant_make(&grant, &w->swarm, w->coordinator, out);
}

static enum err build_ticket(const struct identity_world *w, struct buf *out)
{
    static struct ticket ticket;
    ticket = (struct ticket){.incarnation = 1,
                             .repairer = *sign_key_id(w->cell),
                             .segment = identity_id(0x31),
                             .account = w->account.account,
                             .list_number = 2,
                             .bytes_max = 4 << 20,
                             .expires_s = TIME_S + 3600,
                             .source_count = 2,
                             .target_count = 1};
    memset(ticket.id, 0x14, sizeof(ticket.id));
    ticket.sources[0] = (struct ticket_place){.index = 0, .cell = identity_id(0x32)};
    ticket.sources[1] = (struct ticket_place){.index = 2, .cell = identity_id(0x33)};
    ticket.targets[0] = (struct ticket_place){.index = 1, .cell = *sign_key_id(w->cell)};
    return ticket_make(&ticket, &w->swarm, w->coordinator, out);
}

static enum err again_ticket(const struct identity_world *w, struct slice in, struct buf *out)
{
    static struct ticket ticket;
    enum err e = ticket_open(in, &w->swarm, sign_key_id(w->coordinator), &ticket, NULL);
    return e != ERR_OK ? e : ticket_make(&ticket, &w->swarm, w->coordinator, out);
}

/* --- what a cell signs --- */

static enum err build_member(const struct identity_world *w, struct buf *out)
{
    struct member_statement statement = {
        .site = "attic", .give_bytes = UINT64_C(500) << 30, .sequence = 3, .time_s = TIME_S};
    must(address_list_add(&statement.addresses, "192.0.2.1:7701"));
    return member_statement_make(&statement, &w->swarm, w->cell, out);
}

static enum err again_member(const struct identity_world *w, struct slice in, struct buf *out)
{
    struct member_statement statement;
    enum err e = member_statement_open(in, &w->swarm, sign_key_id(w->cell), &statement, NULL);
    return e != ERR_OK ? e : member_statement_make(&statement, &w->swarm, w->cell, out);
}

static enum err build_receipt(const struct identity_world *w, struct buf *out)
{
    struct receipt receipt = {.segment = identity_id(0x31),
                              .index = 1,
                              .shard_bytes = 1 << 20,
                              .account = w->account.account,
                              .slot = 0,
                              .list_number = 2,
                              .time_s = TIME_S};
    memset(receipt.grant, 0x13, sizeof(receipt.grant));
    return receipt_make(&receipt, &w->swarm, w->cell, out);
}

static enum err again_receipt(const struct identity_world *w, struct slice in, struct buf *out)
{
    struct receipt receipt;
    enum err e = receipt_open(in, &w->swarm, sign_key_id(w->cell), &receipt, NULL);
    return e != ERR_OK ? e : receipt_make(&receipt, &w->swarm, w->cell, out);
}

/* --- what an account's root and devices sign --- */

static enum err build_claim(const struct identity_world *w, struct buf *out)
{
    struct claim claim = {.account = w->account.account,
                          .manifest_number = UINT64_C(1) << 32,
                          .cell = *sign_key_id(w->cell),
                          .time_s = TIME_S};
    struct buf half = BUF_INIT(4096);
    must(claim_make(&claim, &w->swarm, w->account.root, &half));
    enum err e = claim_countersign(buf_slice(&half), &w->swarm, w->cell, out);
    buf_free(&half);
    return e;
}

static enum err again_claim(const struct identity_world *w, struct slice in, struct buf *out)
{
    struct claim claim;
    struct buf half = BUF_INIT(4096);
    enum err e = claim_open(in, &w->swarm, &claim, NULL);
    if (e != ERR_OK)
        return e;
    if (!claim.whole)
        return claim_make(&claim, &w->swarm, w->account.root, out);
    must(claim_make(&claim, &w->swarm, w->account.root, &half));
    e = claim_countersign(buf_slice(&half), &w->swarm, w->cell, out);
    buf_free(&half);
    return e;
}

static struct manifest *example_manifest(const struct identity_world *w)
{
    struct manifest *m;
    struct id cell = *sign_key_id(w->cell);
    uint32_t slot;
    must(manifest_new(&w->swarm, sign_key_public(w->account.root), w->account.reading_public, &m));
    struct manifest_device device = {.capabilities = MANIFEST_CAPABILITIES, .name = "laptop"};
    memcpy(device.key, sign_key_public(w->admin), SIGN_PUBLIC_SIZE);
    device.has_secrets = true;
    memset(device.seal_key, 0x41, sizeof(device.seal_key));
    memset(device.secrets, 0x42, sizeof(device.secrets));
    must(manifest_add_device(m, &device, &slot));
    struct manifest_epoch epoch = {.epoch = 0};
    memset(epoch.sealed, 0x43, sizeof(epoch.sealed));
    must(manifest_add_epoch(m, slot, &epoch));
    device = (struct manifest_device){.capabilities = MANIFEST_PUT, .name = "nas"};
    memcpy(device.key, sign_key_public(w->device), SIGN_PUBLIC_SIZE);
    must(manifest_add_device(m, &device, &slot));
    must(manifest_revoke(m, slot, 9));
    must(manifest_add_claim(m, &cell));
    m->time_s = TIME_S;
    return m;
}

static enum err build_manifest(const struct identity_world *w, struct buf *out)
{
    struct manifest *m = example_manifest(w);
    must(manifest_certify_admins(m, &w->swarm, w->account.root));
    enum err e = manifest_make(m, &w->swarm, w->account.root, out);
    manifest_free(m);
    return e;
}

/* The cell's key stands in for another phrase's root. */
static enum err build_replaced(const struct identity_world *w, struct buf *out)
{
    struct manifest *m = example_manifest(w);
    uint8_t reading_key[SEAL_PUBLIC_SIZE], secrets[ACCOUNT_SECRETS_SEALED_SIZE];
    memset(reading_key, 0x44, sizeof(reading_key));
    memset(secrets, 0x45, sizeof(secrets));
    must(manifest_replace_root(m, &w->swarm, w->account.root, w->cell, reading_key, secrets));
    m->number = manifest_next_number(m->number, true);
    must(manifest_certify_admins(m, &w->swarm, w->cell));
    enum err e = manifest_make(m, &w->swarm, w->cell, out);
    manifest_free(m);
    return e;
}

static enum err again_replaced(const struct identity_world *w, struct slice in, struct buf *out)
{
    struct manifest *m;
    enum err e = manifest_open(in, &w->swarm, &m, NULL);
    if (e != ERR_OK)
        return e;
    e = manifest_make(m, &w->swarm, w->cell, out);
    manifest_free(m);
    return e;
}

static enum err again_manifest(const struct identity_world *w, struct slice in, struct buf *out)
{
    struct manifest *m;
    enum err e = manifest_open(in, &w->swarm, &m, NULL);
    if (e != ERR_OK)
        return e;
    e = manifest_make(m, &w->swarm, w->account.root, out);
    manifest_free(m);
    return e;
}

static enum err build_recovery(const struct identity_world *w, struct buf *out)
{
    struct recovery_cert cert = {.capabilities = MANIFEST_READ, .time_s = TIME_S};
    memcpy(cert.device_key, sign_key_public(w->device), SIGN_PUBLIC_SIZE);
    return recovery_cert_make(&cert, &w->swarm, w->account.root, out);
}

static enum err again_recovery(const struct identity_world *w, struct slice in, struct buf *out)
{
    struct recovery_cert cert;
    enum err e = recovery_cert_open(in, &w->swarm, &cert, NULL);
    return e != ERR_OK ? e : recovery_cert_make(&cert, &w->swarm, w->account.root, out);
}

static enum err build_segment(const struct identity_world *w, struct buf *out)
{
    struct signed_record record = {.segment = identity_id(0x31),
                                   .account = w->account.account,
                                   .slot = 1,
                                   .list_number = 2,
                                   .sequence = 5};
    return signed_record_make(&record, &w->swarm, w->device, out);
}

static enum err again_segment(const struct identity_world *w, struct slice in, struct buf *out)
{
    struct signed_record record;
    enum err e = signed_record_open(in, &w->swarm, sign_key_id(w->device), &record, NULL);
    return e != ERR_OK ? e : signed_record_make(&record, &w->swarm, w->device, out);
}

static enum err build_head(const struct identity_world *w, struct buf *out)
{
    static struct head head;
    head = (struct head){.account = w->account.account,
                         .slot = 1,
                         .sequence = 5,
                         .previous = identity_id(0x51),
                         .manifest_number = UINT64_C(1) << 32,
                         .other_count = 1,
                         .time_s = TIME_S,
                         .sealed = slice_text("sealed to the reading key")};
    head.others[0] = (struct head_other){.slot = 0, .sequence = 8, .hash = identity_id(0x52)};
    return head_make(&head, &w->swarm, w->device, out);
}

static enum err again_head(const struct identity_world *w, struct slice in, struct buf *out)
{
    static struct head head;
    enum err e = head_open(in, &w->swarm, sign_key_id(w->device), &head, NULL);
    return e != ERR_OK ? e : head_make(&head, &w->swarm, w->device, out);
}

/* --- removal --- */

static struct deed deed_of(const struct identity_world *w, uint32_t slot)
{
    return (struct deed){.account = w->account.account,
                         .manifest_number = UINT64_C(1) << 32,
                         .slot = slot,
                         .sequence = 6,
                         .time_s = TIME_S};
}

/* A list's IDs as an array; freed by the caller. */
static struct id *ids_of(const struct id_list *list)
{
    struct id *ids = calloc(list->count + 1, sizeof(*ids));
    if (ids == NULL)
        abort();
    for (size_t i = 0; i < list->count; i++)
        id_list_at(list, i, &ids[i]);
    return ids;
}

static enum err build_tombstone(const struct identity_world *w, struct buf *out)
{
    struct deed deed = deed_of(w, 1);
    struct id ids[] = {identity_id(0x61), identity_id(0x62)};
    return tombstone_make(&deed, ids, 2, &w->swarm, w->device, out);
}

static enum err again_tombstone(const struct identity_world *w, struct slice in, struct buf *out)
{
    struct tombstone stone;
    enum err e = tombstone_open(in, &w->swarm, sign_key_id(w->device), &stone, NULL);
    if (e != ERR_OK)
        return e;
    struct id *ids = ids_of(&stone.snapshots);
    e = tombstone_make(&stone.deed, ids, stone.snapshots.count, &w->swarm, w->device, out);
    free(ids);
    return e;
}

static enum err build_condemned(const struct identity_world *w, struct buf *out)
{
    struct condemned condemned = {.deed = deed_of(w, 1), .excluded = {0, 3}, .excluded_count = 2};
    struct id ids[] = {identity_id(0x63), identity_id(0x64)};
    return condemned_make(&condemned, ids, 2, &w->swarm, w->device, out);
}

static enum err again_condemned(const struct identity_world *w, struct slice in, struct buf *out)
{
    struct condemned condemned;
    enum err e = condemned_open(in, &w->swarm, sign_key_id(w->device), &condemned, NULL);
    if (e != ERR_OK)
        return e;
    struct id *ids = ids_of(&condemned.segments);
    e = condemned_make(&condemned, ids, condemned.segments.count, &w->swarm, w->device, out);
    free(ids);
    return e;
}

static enum err build_delete(const struct identity_world *w, struct buf *out)
{
    struct deed deed = deed_of(w, 1);
    struct id ids[] = {identity_id(0x63)};
    return delete_order_make(&deed, false, ids, 1, &w->swarm, w->device, out);
}

static enum err again_delete(const struct identity_world *w, struct slice in, struct buf *out)
{
    struct delete_order order;
    enum err e = delete_order_open(in, &w->swarm, sign_key_id(w->device), &order, NULL);
    if (e != ERR_OK)
        return e;
    struct id *ids = ids_of(&order.segments);
    e = delete_order_make(&order.deed, order.at_once, ids, order.segments.count, &w->swarm,
                          w->device, out);
    free(ids);
    return e;
}

static enum err build_undelete(const struct identity_world *w, struct buf *out)
{
    struct deed deed = deed_of(w, 0);
    return delete_order_make_undo(&deed, NULL, 0, &w->swarm, w->account.root, out);
}

static enum err again_undelete(const struct identity_world *w, struct slice in, struct buf *out)
{
    struct delete_order order;
    enum err e = delete_order_open_undo(in, &w->swarm, &order, NULL);
    if (e != ERR_OK)
        return e;
    struct id *ids = ids_of(&order.segments);
    e = delete_order_make_undo(&order.deed, ids, order.segments.count, &w->swarm, w->account.root,
                               out);
    free(ids);
    return e;
}

static enum err build_lift(const struct identity_world *w, struct buf *out)
{
    struct deed deed = deed_of(w, 0);
    struct id ids[] = {identity_id(0x71), identity_id(0x72)};
    return lift_make(&deed, ids, 2, &w->swarm, w->account.root, out);
}

static enum err again_lift(const struct identity_world *w, struct slice in, struct buf *out)
{
    struct lift lift;
    enum err e = lift_open(in, &w->swarm, &lift, NULL);
    if (e != ERR_OK)
        return e;
    struct id *ids = ids_of(&lift.documents);
    e = lift_make(&lift.deed, ids, lift.documents.count, &w->swarm, w->account.root, out);
    free(ids);
    return e;
}

static enum err build_drop(const struct identity_world *w, struct buf *out)
{
    struct drop_order order = {.deed = deed_of(w, 1),
                               .cell = *sign_key_id(w->cell),
                               .segment = identity_id(0x31),
                               .index = 1,
                               .generation = 2};
    return drop_order_make(&order, &w->swarm, w->device, out);
}

static enum err again_drop(const struct identity_world *w, struct slice in, struct buf *out)
{
    struct drop_order order;
    enum err e = drop_order_open(in, &w->swarm, sign_key_id(w->device), &order, NULL);
    return e != ERR_OK ? e : drop_order_make(&order, &w->swarm, w->device, out);
}

static enum err build_renewal(const struct identity_world *w, struct buf *out)
{
    struct deed deed = deed_of(w, 1);
    return renewal_make(&deed, &w->swarm, w->device, out);
}

static enum err again_renewal(const struct identity_world *w, struct slice in, struct buf *out)
{
    struct deed deed;
    enum err e = renewal_open(in, &w->swarm, sign_key_id(w->device), &deed, NULL);
    return e != ERR_OK ? e : renewal_make(&deed, &w->swarm, w->device, out);
}

const struct identity_example identity_examples[] = {
    {"coordinator", "coordinator", by_root, build_coordinator, again_coordinator},
    {"invite", "invite", by_coordinator, build_invite, again_invite},
    {"device-invite", "device-invite", by_account, build_device_invite, again_device_invite},
    {"device-request", "device-request", by_device, build_device_request, again_device_request},
    {"member", "member", by_cell, build_member, again_member},
    {"members", "members", by_coordinator, build_members, again_members},
    {"claim", "claim", by_account, build_claim, again_claim},
    {"manifest", "manifest", by_account, build_manifest, again_manifest},
    {"manifest-replaced", "manifest", by_cell, build_replaced, again_replaced},
    {"recovery", "recovery", by_account, build_recovery, again_recovery},
    {"grant", "grant", by_coordinator, build_grant, again_grant},
    {"receipt", "receipt", by_cell, build_receipt, again_receipt},
    {"segment", "segment", by_device, build_segment, again_segment},
    {"head", "head", by_device, build_head, again_head},
    {"ticket", "ticket", by_coordinator, build_ticket, again_ticket},
    {"tombstone", "tombstone", by_device, build_tombstone, again_tombstone},
    {"condemned", "condemned", by_device, build_condemned, again_condemned},
    {"delete", "delete", by_device, build_delete, again_delete},
    {"undelete", "undelete", by_account, build_undelete, again_undelete},
    {"lift", "lift", by_account, build_lift, again_lift},
    {"drop", "drop", by_device, build_drop, again_drop},
    {"renewal", "renewal", by_device, build_renewal, again_renewal},
};
const size_t identity_example_count = ARRAY_COUNT(identity_examples);

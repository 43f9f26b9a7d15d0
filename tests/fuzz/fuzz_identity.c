/*
 * identity/: every signed document. The first byte chooses the kind; its top bit says whether what
 * follows is a whole document or a payload, which is then signed here, so that the payload's parser
 * is reached although nobody can guess a signature. One key plays every role.
 */
#include "fuzz.h"

#include "crypto/crypto.h"
#include "identity/claim.h"
#include "identity/coordinator_cert.h"
#include "identity/device_request.h"
#include "identity/grant.h"
#include "identity/head.h"
#include "identity/invite.h"
#include "identity/manifest.h"
#include "identity/member_list.h"
#include "identity/member_statement.h"
#include "identity/receipt.h"
#include "identity/recovery_cert.h"
#include "identity/signed_record.h"

enum { SIGN_IT = 0x80 };

static struct sign_key *key;
static struct swarm_root swarm;

/* Once a process: what never changes. */
static void prepare(void)
{
    static const uint8_t seed[SIGN_SEED_SIZE] = "the only key of the fuzz targets";
    if (key)
        return;
    FUZZ_CHECK(crypto_init(NULL) == ERR_OK);
    FUZZ_CHECK(sign_key_new(seed, &key) == ERR_OK);
    swarm_root_of(sign_key_public(key), &swarm);
}

/* Opens a document and makes it again from what was understood: there is one encoding of each, and
   Ed25519 gives one signature. */
#define AGAIN(kind, struct_type, open_call, make_call)             \
    static enum err again_##kind(struct slice in, struct buf *out) \
    {                                                              \
        static struct_type x;                                      \
        struct errmsg msg;                                         \
        enum err e = open_call;                                    \
        return e != ERR_OK ? e : make_call;                        \
    }

AGAIN(grant, struct grant, grant_open(in, &swarm, NULL, &x, &msg), grant_make(&x, &swarm, key, out))
AGAIN(receipt, struct receipt, receipt_open(in, &swarm, NULL, &x, &msg),
      receipt_make(&x, &swarm, key, out))
AGAIN(statement, struct member_statement, member_statement_open(in, &swarm, NULL, &x, &msg),
      member_statement_make(&x, &swarm, key, out))
AGAIN(coordinator, struct coordinator_cert, coordinator_cert_open(in, &swarm, &x, &msg),
      coordinator_cert_make(&x, &swarm, key, out))
AGAIN(head, struct head, head_open(in, &swarm, NULL, &x, &msg), head_make(&x, &swarm, key, out))
AGAIN(invite, struct invite, invite_open(in, &swarm, NULL, &x, &msg),
      invite_make(&x, &swarm, key, out))
AGAIN(device_invite, struct invite_device, invite_device_open(in, &swarm, NULL, &x, &msg),
      invite_device_make(&x, &swarm, key, out))
AGAIN(device_request, struct device_request, device_request_open(in, &swarm, NULL, &x, &msg),
      device_request_make(&x, &swarm, key, out))
AGAIN(recovery, struct recovery_cert, recovery_cert_open(in, &swarm, &x, &msg),
      recovery_cert_make(&x, &swarm, key, out))
AGAIN(record, struct signed_record, signed_record_open(in, &swarm, NULL, &x, &msg),
      signed_record_make(&x, &swarm, key, out))

static enum err again_manifest(struct slice in, struct buf *out)
{
    struct manifest *m;
    struct errmsg msg;
    enum err e = manifest_open(in, &swarm, &m, &msg);
    if (e != ERR_OK)
        return e;
    (void)manifest_next_number(m->number, m->by_root);
    e = manifest_make(m, &swarm, key, out);
    if (e == ERR_OK)
        FUZZ_CHECK(manifest_follows(m, m, &msg) != ERR_OK);
    manifest_free(m);
    return e;
}

static enum err again_members(struct slice in, struct buf *out)
{
    struct member_list *list;
    struct errmsg msg;
    enum err e = member_list_open(in, &swarm, &list, &msg);
    if (e != ERR_OK)
        return e;
    for (size_t i = 0; i < list->count; i++) {
        struct address_list addresses;
        FUZZ_CHECK(member_list_find(list, &list->members[i].id) == &list->members[i]);
        FUZZ_CHECK(address_list_decode(list->members[i].addresses, &addresses) == ERR_OK);
    }
    e = member_list_make(list, &swarm, key, out);
    member_list_free(list);
    return e;
}

/* A claim has two signatures of its own shape: it is opened, not made again. */
static enum err again_claim(struct slice in, struct buf *out)
{
    struct claim claim;
    struct errmsg msg;
    (void)out;
    enum err e = claim_open(in, &swarm, &claim, &msg);
    return e != ERR_OK ? e : ERR_UNSUPPORTED;
}

static const struct {
    const char *type;
    enum err (*again)(struct slice in, struct buf *out);
} kinds[] = {
    {"grant", again_grant},
    {"receipt", again_receipt},
    {"member", again_statement},
    {"coordinator", again_coordinator},
    {"head", again_head},
    {"invite", again_invite},
    {"device-invite", again_device_invite},
    {"device-request", again_device_request},
    {"recovery", again_recovery},
    {"segment", again_record},
    {"manifest", again_manifest},
    {"members", again_members},
    {"claim", again_claim},
};

static void sign_payload(const char *type, struct slice payload, struct buf *out)
{
    uint8_t signature[SIGN_SIZE];
    FUZZ_CHECK(document_sign(type, &swarm, key, payload, signature) == ERR_OK);
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_array(&w);
    cbor_write_bytes(&w, payload);
    cbor_write_bytes(&w, slice_of(sign_key_public(key), SIGN_PUBLIC_SIZE));
    cbor_write_bytes(&w, slice_of(signature, SIGN_SIZE));
    cbor_write_end(&w);
    FUZZ_CHECK(cbor_write_finish(&w) == ERR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    prepare();
    if (size == 0)
        return 0;
    size_t kind = (data[0] & 0x7fu) % ARRAY_COUNT(kinds);
    struct slice in = slice_of(data + 1, size - 1);
    struct buf signed_bytes = BUF_INIT(size + 256), out = BUF_INIT(LIMIT_MEMBER_LIST_BYTES);
    if (data[0] & SIGN_IT) {
        sign_payload(kinds[kind].type, in, &signed_bytes);
        in = buf_slice(&signed_bytes);
    }
    if (kinds[kind].again(in, &out) == ERR_OK)
        FUZZ_CHECK(slice_equal(buf_slice(&out), in));
    buf_free(&out);
    buf_free(&signed_bytes);
    return 0;
}

/* --- seeds: one of each, whole and as a payload --- */

static void put_both(fuzz_seed_fn *put, void *user, uint8_t kind, enum err made,
                     struct buf *document)
{
    FUZZ_CHECK(made == ERR_OK);
    struct buf seed = BUF_INIT(document->size + 1);
    FUZZ_CHECK(buf_append_u8(&seed, kind) == ERR_OK);
    FUZZ_CHECK(buf_append(&seed, document->data, document->size) == ERR_OK);
    put(user, kinds[kind].type, buf_slice(&seed));

    struct cbor_reader r = cbor_read_over(buf_slice(document));
    (void)!cbor_read_array(&r, 5);
    struct slice payload = cbor_read_bytes(&r, document->size);
    char name[64];
    (void)snprintf(name, sizeof(name), "%s-payload", kinds[kind].type);
    buf_clear(&seed);
    FUZZ_CHECK(buf_append_u8(&seed, kind | SIGN_IT) == ERR_OK);
    FUZZ_CHECK(buf_append(&seed, payload.data, payload.size) == ERR_OK);
    put(user, name, buf_slice(&seed));
    buf_free(&seed);
    buf_clear(document);
}

static struct id id_like(int byte)
{
    struct id id;
    memset(id.bytes, byte, sizeof(id.bytes));
    return id;
}

static enum err make_manifest(struct buf *out)
{
    struct manifest *m;
    static const uint8_t reading_key[SEAL_PUBLIC_SIZE] = {9, 1, 2};
    FUZZ_CHECK(manifest_new(&swarm, sign_key_public(key), reading_key, &m) == ERR_OK);
    m->number = manifest_next_number(0, true);
    m->time_s = 1700000000;
    struct manifest_device device = {.capabilities = MANIFEST_PUT, .name = "laptop"};
    for (uint8_t i = 0; i < 2; i++) {
        uint32_t slot = 0;
        device.key[0] = (uint8_t)(i + 1);
        FUZZ_CHECK(manifest_add_device(m, &device, &slot) == ERR_OK);
        FUZZ_CHECK(manifest_add_epoch(m, slot, &(struct manifest_epoch){.epoch = 1}) == ERR_OK);
    }
    struct id cell = id_like(0x33);
    FUZZ_CHECK(manifest_add_claim(m, &cell) == ERR_OK);
    FUZZ_CHECK(manifest_revoke(m, m->devices[1].slot, 7) == ERR_OK);
    FUZZ_CHECK(manifest_certify_admins(m, &swarm, key) == ERR_OK);
    enum err e = manifest_make(m, &swarm, key, out);
    manifest_free(m);
    return e;
}

static enum err make_members(struct slice certificate, const struct address_list *addresses,
                             struct buf *out)
{
    struct buf item = BUF_INIT(4096);
    FUZZ_CHECK(address_list_encode(addresses, &item) == ERR_OK);
    struct member members[3];
    memset(members, 0, sizeof(members));
    for (size_t i = 0; i < 3; i++) {
        members[i].key[0] = (uint8_t)(i + 1);
        members[i].claimed = i == 1;
        members[i].household = id_like(0x44);
        members[i].weight = (uint16_t)(100 * i + 1);
        members[i].eligible = i != 2;
        members[i].site = slice_text(i == 1 ? "attic" : "");
        members[i].addresses = buf_slice(&item);
    }
    for (size_t i = 0; i < 3; i += 2) /* not claimed: a household of its own */
        sign_id(members[i].key, &members[i].household);
    struct member_list list = {.coordinator_doc = certificate,
                               .number = 1,
                               .time_s = 1700000000,
                               .members = members,
                               .count = 3};
    enum err e = member_list_make(&list, &swarm, key, out);
    buf_free(&item);
    return e;
}

void fuzz_seeds(fuzz_seed_fn *put, void *user)
{
    prepare();
    struct buf b = BUF_INIT(LIMIT_MESSAGE_BYTES), certificate = BUF_INIT(4096);
    struct address_list addresses = {.count = 0};
    FUZZ_CHECK(address_list_add(&addresses, "[::1]:7400") == ERR_OK);
    FUZZ_CHECK(address_list_add(&addresses, "cell.example:7400") == ERR_OK);

    struct grant grant = {.incarnation = 1,
                          .account = id_like(1),
                          .device = id_like(2),
                          .cell = id_like(3),
                          .list_number = 18,
                          .expires_s = 1700000000,
                          .budget_bytes = 1 << 30};
    put_both(put, user, 0, grant_make(&grant, &swarm, key, &b), &b);
    struct receipt receipt = {.segment = id_like(4),
                              .index = 5,
                              .shard_bytes = 65536,
                              .account = id_like(1),
                              .slot = 2,
                              .list_number = 18,
                              .time_s = 1700000000};
    put_both(put, user, 1, receipt_make(&receipt, &swarm, key, &b), &b);
    struct member_statement statement = {.addresses = addresses,
                                         .site = "attic",
                                         .give_bytes = 500000000000,
                                         .sequence = 3,
                                         .time_s = 1700000000};
    put_both(put, user, 2, member_statement_make(&statement, &swarm, key, &b), &b);
    struct coordinator_cert cert = {.incarnation = 1, .time_s = 1700000000, .addresses = addresses};
    memcpy(cert.key, sign_key_public(key), sizeof(cert.key));
    put_both(put, user, 3, coordinator_cert_make(&cert, &swarm, key, &b), &b);
    static struct head head; /* large */
    head = (struct head){.account = id_like(1),
                         .slot = 1,
                         .sequence = 2,
                         .previous = id_like(6),
                         .manifest_number = (uint64_t)1 << 32,
                         .other_count = 1,
                         .time_s = 1700000000,
                         .sealed = slice_text("sealed bytes, which nobody here can open")};
    head.others[0] = (struct head_other){.slot = 2, .sequence = 9, .hash = id_like(7)};
    put_both(put, user, 4, head_make(&head, &swarm, key, &b), &b);
    struct invite invite = {
        .kind = INVITE_CELL, .uses = 1, .expires_s = 1700000000, .incarnation = 1};
    put_both(put, user, 5, invite_make(&invite, &swarm, key, &b), &b);
    struct invite_device device = {
        .account = id_like(1), .capabilities = MANIFEST_PUT, .expires_s = 1700000000};
    put_both(put, user, 6, invite_device_make(&device, &swarm, key, &b), &b);
    struct recovery_cert recovery = {.capabilities = MANIFEST_READ, .time_s = 1700000000};
    recovery.device_key[0] = 1;
    put_both(put, user, 7, recovery_cert_make(&recovery, &swarm, key, &b), &b);
    struct signed_record record = {
        .segment = id_like(4), .account = id_like(1), .slot = 1, .list_number = 18, .sequence = 2};
    put_both(put, user, 8, signed_record_make(&record, &swarm, key, &b), &b);
    put_both(put, user, 9, make_manifest(&b), &b);
    FUZZ_CHECK(coordinator_cert_make(&cert, &swarm, key, &certificate) == ERR_OK);
    put_both(put, user, 10, make_members(buf_slice(&certificate), &addresses, &b), &b);
    struct claim claim = {.account = id_like(1),
                          .manifest_number = (uint64_t)1 << 32,
                          .cell = *sign_key_id(key),
                          .time_s = 1700000000};
    put_both(put, user, 11, claim_make(&claim, &swarm, key, &b), &b);
    buf_free(&certificate);
    buf_free(&b);
}

/* A registry on a file of its own, with cells and accounts whose keys the test has. */
#pragma once

#include "crypto/crypto.h"
#include "harness/temp_dir.h"
#include "identity/account.h"
#include "identity/grant.h"
#include "identity/receipt.h"
#include "identity/signed_record.h"
#include "registry_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { FIXTURE_CELLS = 16, FIXTURE_ACCOUNTS = 8, FIXTURE_NOW_S = 1800000000 };

#define OK(expression) assert_int_equal((expression), ERR_OK)

struct account {
    struct account_keys keys;
    struct sign_key *device;
    struct manifest *manifest;
};

struct fixture {
    char dir[TEMP_DIR_SIZE], path[TEMP_DIR_SIZE + 32];
    uint64_t seed;
    struct random random;
    struct sign_key *root_key, *key;
    struct swarm_root root;
    struct buf certificate;
    struct registry_options options;
    struct registry *registry;
    struct sign_key *cells[FIXTURE_CELLS];
    struct account accounts[FIXTURE_ACCOUNTS];
    uint32_t invites;
    int64_t now_s;
    struct errmsg msg;
};

/* xorshift64*: good enough for lots, the same in every run. */
static inline uint64_t fixture_random(struct fixture *f)
{
    f->seed ^= f->seed >> 12;
    f->seed ^= f->seed << 25;
    f->seed ^= f->seed >> 27;
    return f->seed * UINT64_C(0x2545F4914F6CDD1D);
}

static inline uint64_t fixture_below(struct fixture *f, uint64_t bound)
{
    return fixture_random(f) % bound;
}

static inline void fixture_fill(void *context, void *out, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = (uint8_t)(fixture_random(context) >> 32);
}

static inline struct sign_key *fixture_key(uint64_t number)
{
    uint8_t seed[SIGN_SEED_SIZE] = "registry-test";
    struct sign_key *key;
    put_le64(seed + 16, number);
    OK(sign_key_new(seed, &key));
    return key;
}

static inline void fixture_open(struct fixture *f)
{
    if (registry_open(&f->options, &f->registry, &f->msg) != ERR_OK)
        fail_msg("%s", f->msg.text);
}

static inline struct fixture *fixture_new(uint64_t seed)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct coordinator_cert cert = {.incarnation = 1, .time_s = FIXTURE_NOW_S};
    OK(crypto_init(&f->msg));
    temp_dir_make(f->dir);
    snprintf(f->path, sizeof(f->path), "%s/" REGISTRY_FILE, f->dir);
    f->seed = seed;
    f->now_s = FIXTURE_NOW_S;
    f->random = (struct random){fixture_fill, f};
    f->root_key = fixture_key(1);
    f->key = fixture_key(2);
    swarm_root_of(sign_key_public(f->root_key), &f->root);
    f->certificate = BUF_INIT(COORDINATOR_CERT_BYTES_MAX);
    memcpy(cert.key, sign_key_public(f->key), sizeof(cert.key));
    OK(address_list_add(&cert.addresses, "coordinator:1"));
    OK(coordinator_cert_make(&cert, &f->root, f->root_key, &f->certificate));
    f->options = (struct registry_options){
        .path = f->path,
        .key = f->key,
        .swarm = &f->root,
        .certificate = buf_slice(&f->certificate),
        .incarnation = 1,
        .random = &f->random,
        .asleep_after_ms = UINT64_C(4) * 3600 * 1000,
        .gone_after_ms = UINT64_C(14) * 86400 * 1000,
        .starter_bytes = MIB(64),
    };
    return f;
}

static inline void fixture_free(struct fixture *f)
{
    registry_close(f->registry);
    for (size_t i = 0; i < FIXTURE_CELLS; i++)
        sign_key_free(f->cells[i]);
    for (size_t i = 0; i < FIXTURE_ACCOUNTS; i++) {
        sign_key_free(f->accounts[i].device);
        manifest_free(f->accounts[i].manifest);
        account_keys_clear(&f->accounts[i].keys);
    }
    sign_key_free(f->root_key);
    sign_key_free(f->key);
    buf_free(&f->certificate);
    temp_dir_remove(f->dir);
    free(f);
}

static inline void fixture_invite(struct fixture *f, enum invite_kind kind, bool stranger,
                                  struct buf *out)
{
    struct invite invite = {.kind = kind,
                            .stranger = stranger,
                            .uses = 1,
                            .expires_s = FIXTURE_NOW_S + INT64_C(3650) * 86400,
                            .incarnation = f->options.incarnation};
    put_le32(invite.id, ++f->invites);
    OK(invite_make(&invite, &f->root, f->key, out));
}

static inline const struct id *cell_id(const struct fixture *f, size_t cell)
{
    return sign_key_id(f->cells[cell]);
}

static inline void join_cell_as(struct fixture *f, size_t number, bool stranger)
{
    struct buf invite = BUF_INIT(INVITE_BYTES_MAX), doc = BUF_INIT(MEMBER_STATEMENT_BYTES_MAX);
    struct member_statement statement = {.give_bytes = GIB(100), .sequence = 1};
    f->cells[number] = fixture_key(1000 + number);
    OK(address_list_add(&statement.addresses, "cell:1"));
    OK(member_statement_make(&statement, &f->root, f->cells[number], &doc));
    fixture_invite(f, INVITE_CELL, stranger, &invite);
    OK(registry_join_cell(f->registry, cell_id(f, number), buf_slice(&invite), buf_slice(&doc),
                          f->now_s, &f->msg));
    buf_free(&invite);
    buf_free(&doc);
}

static inline void join_cell(struct fixture *f, size_t number)
{
    join_cell_as(f, number, false);
}

static inline void make_account(struct fixture *f, size_t number)
{
    struct account *a = &f->accounts[number];
    struct manifest_device device = {
        .capabilities = MANIFEST_PUT | MANIFEST_DELETE | MANIFEST_ADMIN, .name = "device"};
    uint8_t entropy[32] = "phrase", secret[SEAL_SECRET_SIZE];
    put_le32(entropy + 8, (uint32_t)number);
    uint32_t slot;
    OK(account_keys_derive(entropy, &f->root, &a->keys));
    a->device = fixture_key(2000 + number);
    memcpy(device.key, sign_key_public(a->device), sizeof(device.key));
    seal_pair(sign_key_seed(a->device), device.seal_key, secret);
    OK(manifest_new(&f->root, sign_key_public(a->keys.root), a->keys.reading_public, &a->manifest));
    OK(manifest_add_device(a->manifest, &device, &slot));
}

static inline void join_account(struct fixture *f, size_t number)
{
    struct buf invite = BUF_INIT(INVITE_BYTES_MAX);
    make_account(f, number);
    fixture_invite(f, INVITE_ACCOUNT, false, &invite);
    OK(registry_join_account(f->registry, sign_key_id(f->accounts[number].device),
                             buf_slice(&invite), f->accounts[number].manifest, f->now_s, &f->msg));
    buf_free(&invite);
}

/* What a cell says of itself. */
static inline void beat(struct fixture *f, size_t cell, uint64_t free_bytes)
{
    const struct wire_heartbeat heartbeat = {.free_bytes = free_bytes, .shard_count = 1};
    OK(registry_heartbeat(f->registry, cell_id(f, cell), &heartbeat, f->now_s, &f->msg));
}

static inline enum err claim(struct fixture *f, size_t cell, size_t account, bool released)
{
    return registry_claim(f->registry, cell_id(f, cell), &f->accounts[account].keys.account,
                          released, slice_text("a claim that both have signed"), &f->msg);
}

static inline struct id segment_id(uint64_t number)
{
    struct id id = {0};
    put_le64(id.bytes, number * UINT64_C(0x9e3779b97f4a7c15));
    put_le64(id.bytes + 8, number);
    return id;
}

struct shard_at {
    uint8_t index;
    size_t cell;
};

/* The account's device registers a k+m segment: receipts as the cells would sign them. */
static inline enum err register_id(struct fixture *f, size_t account, const struct id *segment,
                                   uint8_t k, uint8_t m, uint32_t shard_bytes,
                                   const struct shard_at *shards, size_t count)
{
    struct account *a = &f->accounts[account];
    struct buf record = BUF_INIT(SIGNED_RECORD_BYTES_MAX), body = BUF_INIT(WIRE_REGISTER_BYTES);
    struct buf docs[32];
    struct slice slices[32];
    struct signed_record r = {
        .segment = *segment, .account = a->keys.account, .list_number = 1, .sequence = 1};
    struct wire_list list;
    uint32_t taken;
    assert_true(count <= 32);
    OK(signed_record_make(&r, &f->root, a->device, &record));
    for (size_t i = 0; i < count; i++) {
        const struct receipt receipt = {.segment = r.segment,
                                        .index = shards[i].index,
                                        .shard_bytes = shard_bytes,
                                        .account = r.account,
                                        .list_number = 1};
        docs[i] = BUF_INIT(RECEIPT_BYTES_MAX);
        OK(receipt_make(&receipt, &f->root, f->cells[shards[i].cell], &docs[i]));
        slices[i] = buf_slice(&docs[i]);
    }
    const struct wire_registration registration = {.record = buf_slice(&record),
                                                   .k = k,
                                                   .m = m,
                                                   .shard_bytes = shard_bytes,
                                                   .receipts = slices,
                                                   .receipt_count = (uint32_t)count};
    OK(wire_register_encode(&registration, 1, &body));
    OK(wire_register_decode(buf_slice(&body), &list));
    const enum err e =
        registry_register(f->registry, &r.account, sign_key_id(a->device), &list, &taken, &f->msg);
    for (size_t i = 0; i < count; i++)
        buf_free(&docs[i]);
    buf_free(&record);
    buf_free(&body);
    return e;
}

static inline enum err register_segment(struct fixture *f, size_t account, uint64_t number,
                                        uint8_t k, uint8_t m, uint32_t shard_bytes,
                                        const struct shard_at *shards, size_t count)
{
    const struct id segment = segment_id(number);
    return register_id(f, account, &segment, k, m, shard_bytes, shards, count);
}

static inline struct registry_standing standing(struct fixture *f, size_t account)
{
    struct registry_standing s;
    OK(registry_standing(f->registry, &f->accounts[account].keys.account, f->now_s, &s, &f->msg));
    return s;
}

/* Grants of `bytes` at each of `count` cells from `first` on; the sum of their budgets. */
static inline enum err place(struct fixture *f, size_t account, size_t first, size_t count,
                             uint64_t bytes, uint64_t *budget, unsigned *grants)
{
    struct wire_want wants[FIXTURE_CELLS];
    struct buf body = BUF_INIT(WIRE_PLACE_BYTES), reply = BUF_INIT(WIRE_GRANTS_BYTES);
    struct wire_list list;
    struct slice doc;
    uint64_t number;
    *budget = 0;
    *grants = 0;
    for (size_t i = 0; i < count; i++)
        wants[i] = (struct wire_want){.cell = *cell_id(f, first + i), .bytes = bytes};
    OK(wire_place_encode(1, wants, count, &body));
    OK(wire_place_decode(buf_slice(&body), &number, &list));
    enum err e =
        registry_place(f->registry, &f->accounts[account].keys.account,
                       sign_key_id(f->accounts[account].device), &list, f->now_s, &reply, &f->msg);
    if (e == ERR_OK)
        OK(wire_grants_decode(buf_slice(&reply), &list));
    while (e == ERR_OK && wire_grants_next(&list, &doc)) {
        struct grant grant;
        OK(grant_open(doc, &f->root, sign_key_id(f->key), &grant, &f->msg));
        *budget += grant.budget_bytes;
        (*grants)++;
    }
    buf_free(&body);
    buf_free(&reply);
    return e;
}

/*
 * Hello, and the documents that a cell keeps for accounts: manifests and heads. On the lane.
 */
#include "cell_internal.h"

#include "identity/head.h"
#include "identity/manifest.h"
#include "identity/member_statement.h"
#include "identity/recovery_cert.h"
#include "wire/wire_heads.h"
#include "wire/wire_hello.h"

#include <stdlib.h>

/* --- manifests --- */

/* The newest manifest of `account` that is kept here; NULL when there is none. */
static enum err load_manifest(struct cell_query *query, const struct id *account, struct buf *doc,
                              struct manifest **out, struct errmsg *msg)
{
    uint64_t number;
    *out = NULL;
    enum err e = store_manifest_get(query->cell->options.store, account, &number, doc, msg);
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    return e == ERR_OK ? manifest_open(buf_slice(doc), query->view.swarm, out, msg) : e;
}

/* Keeps `next` when it may follow what is known; ERR_STALE puts the newer one into query->newer. */
static enum err keep_manifest(struct cell_query *query, const struct manifest *next,
                              struct slice doc, struct errmsg *msg)
{
    struct manifest *known;
    struct buf known_doc = BUF_INIT(LIMIT_MANIFEST_BYTES);
    enum err e = load_manifest(query, &next->account, &known_doc, &known, msg);
    if (e == ERR_OK && known && !slice_equal(buf_slice(&known_doc), doc)) {
        e = manifest_follows(known, next, msg);
        if (e == ERR_STALE && buf_append(query->newer, known_doc.data, known_doc.size) != ERR_OK)
            buf_clear(query->newer);
    }
    if (e == ERR_OK)
        e = store_manifest_put(query->cell->options.store, &next->account, next->number, doc, msg);
    manifest_free(known);
    buf_free(&known_doc);
    return e;
}

/* --- effects on the loop --- */

static void set_rights(struct cell_peer *peer, const struct manifest *m)
{
    const struct manifest_device *device = manifest_device_find(m, &peer->id);
    peer->capabilities = device && !device->revoked ? device->capabilities : 0;
    peer->slot = device ? device->slot : UINT32_MAX;
}

static void session_free(void *user)
{
    struct cell_peer *peer = user;
    list_remove(&peer->link);
    free(peer);
}

/* What other sessions of the account may do follows its newest manifest as well. */
static void apply_manifest(struct cell *cell, const struct manifest *m)
{
    list_for_each(node, &cell->sessions)
    {
        struct cell_peer *peer = container_of(node, struct cell_peer, link);
        if (peer->kind == CELL_PEER_DEVICE && id_equal(&peer->account, &m->account))
            set_rights(peer, m);
    }
}

static void apply(struct cell *cell, struct cell_query *query, struct cell_effect *effect,
                  bool connected)
{
    if (effect->manifest)
        apply_manifest(cell, effect->manifest);
    if (effect->is_hello && connected) {
        struct cell_peer *peer = query->session->user;
        if (!peer && (peer = calloc(1, sizeof(*peer)))) {
            list_append(&cell->sessions, &peer->link);
            query->session->user = peer;
            query->session->user_free = session_free;
        }
        if (peer) {
            const struct list link = peer->link;
            *peer = effect->peer;
            peer->link = link;
        }
    }
    manifest_free(effect->manifest);
    free(effect);
}

static enum err make_effect(struct cell_query *query, struct errmsg *msg)
{
    query->effect = calloc(1, sizeof(*query->effect));
    if (!query->effect)
        return err_say(msg, ERR_NOMEM, "out of memory for a request");
    query->effect->apply = apply;
    query->effect->peer = query->peer;
    return ERR_OK;
}

/* --- hello --- */

static enum err greet_device(struct cell_query *query, const struct wire_hello *hello,
                             struct cell_peer *peer, struct errmsg *msg)
{
    struct manifest *m;
    enum err e = manifest_open(hello->document, query->view.swarm, &m, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the manifest shown");
    query->effect->manifest = m;
    const struct manifest_device *device = manifest_device_find(m, &peer->id);
    if (!device || device->revoked)
        return err_say(msg, ERR_DENIED,
                       "the manifest shown does not name this device, or revokes it");
    e = keep_manifest(query, m, hello->document, msg);
    peer->kind = CELL_PEER_DEVICE;
    peer->account = m->account;
    set_rights(peer, m);
    return e;
}

static enum err greet_root(struct cell_query *query, const struct wire_hello *hello,
                           struct cell_peer *peer, struct errmsg *msg)
{
    struct recovery_cert cert;
    const enum err e = recovery_cert_open(hello->document, query->view.swarm, &cert, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the root's certificate shown");
    if (!id_equal(&cert.device, &peer->id))
        return err_say(msg, ERR_DENIED, "the root's certificate names another device");
    peer->kind = CELL_PEER_ROOT;
    peer->account = cert.account;
    peer->capabilities = cert.capabilities;
    peer->slot = UINT32_MAX;
    return ERR_OK;
}

static enum err greet_cell(struct cell_query *query, const struct wire_hello *hello,
                           struct cell_peer *peer, struct errmsg *msg)
{
    struct member_statement statement;
    const enum err e =
        member_statement_open(hello->document, query->view.swarm, &peer->id, &statement, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the member statement shown");
    peer->kind = CELL_PEER_CELL;
    return ERR_OK;
}

static enum err greet_coordinator(struct cell_query *query, const struct wire_hello *hello,
                                  struct cell_peer *peer, struct errmsg *msg)
{
    struct coordinator_cert cert;
    const enum err e = coordinator_cert_open(hello->document, query->view.swarm, &cert, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the coordinator's certificate shown");
    if (!id_equal(&cert.id, &peer->id))
        return err_say(msg, ERR_DENIED, "the coordinator's certificate names another key");
    if (cert.incarnation < query->view.incarnation)
        return err_say(msg, ERR_STALE, "a newer coordinator is known here");
    peer->kind = CELL_PEER_COORDINATOR;
    return ERR_OK;
}

enum err cell_hello(struct cell_query *query, struct slice body, struct buf *reply,
                    struct errmsg *msg)
{
    struct wire_hello hello;
    enum err e = wire_hello_decode(body, &hello);
    if (e != ERR_OK)
        return err_say(msg, e, "the hello cannot be read");
    if ((e = make_effect(query, msg)) != ERR_OK)
        return e;
    struct cell_peer *peer = &query->effect->peer;
    if (hello.kind == WIRE_PEER_DEVICE)
        e = greet_device(query, &hello, peer, msg);
    else if (hello.kind == WIRE_PEER_ROOT)
        e = greet_root(query, &hello, peer, msg);
    else if (hello.kind == WIRE_PEER_CELL)
        e = greet_cell(query, &hello, peer, msg);
    else
        e = greet_coordinator(query, &hello, peer, msg);
    query->effect->is_hello = e == ERR_OK;
    if (e != ERR_OK)
        return e;
    const struct wire_hello_reply answer = {
        .list_number = query->view.list_number,
        .time_s = query->view.now_s,
        .manifest_number = query->effect->manifest ? query->effect->manifest->number : 0,
    };
    return wire_hello_reply_encode(&answer, reply);
}

/* --- heads --- */

struct heads {
    const struct cell_peer *peer;
    struct buf bytes; /* all documents, one behind the other */
    size_t sizes[WIRE_HEADS_MAX];
    size_t count;
};

/* Its own chain only, for a device that may not read the others'. */
static enum err collect_head(void *user, const struct id *device, uint64_t sequence,
                             struct slice doc)
{
    struct heads *heads = user;
    (void)sequence;
    const bool all =
        (heads->peer->capabilities & MANIFEST_READ) || heads->peer->kind == CELL_PEER_COORDINATOR;
    if ((!all && !id_equal(device, &heads->peer->id)) || heads->count == WIRE_HEADS_MAX)
        return ERR_OK;
    heads->sizes[heads->count++] = doc.size;
    return buf_append(&heads->bytes, doc.data, doc.size);
}

static enum err encode_heads(const struct heads *heads, struct slice manifest, struct buf *reply)
{
    struct slice docs[WIRE_HEADS_MAX];
    size_t at = 0;
    for (size_t i = 0; i < heads->count; i++) {
        docs[i] = slice_of(heads->bytes.data + at, heads->sizes[i]);
        at += heads->sizes[i];
    }
    return wire_heads_encode(manifest, docs, heads->count, reply);
}

enum err cell_heads_get(struct cell_query *query, struct slice body, struct buf *reply,
                        struct errmsg *msg)
{
    (void)body;
    const struct id *account = &query->path.id;
    enum err e = cell_may_look(&query->peer, account, msg);
    if (e != ERR_OK)
        return e;
    struct heads *heads = calloc(1, sizeof(*heads));
    struct buf doc = BUF_INIT(LIMIT_MANIFEST_BYTES);
    uint64_t number;
    if (!heads)
        return err_say(msg, ERR_NOMEM, "out of memory for heads");
    heads->peer = &query->peer;
    heads->bytes = BUF_INIT(WIRE_HEADS_BYTES);
    e = store_manifest_get(query->cell->options.store, account, &number, &doc, msg);
    if (e == ERR_OK || e == ERR_NOT_FOUND)
        e = store_heads(query->cell->options.store, account, collect_head, heads, msg);
    if (e == ERR_OK)
        e = encode_heads(heads, buf_slice(&doc), reply);
    buf_free(&doc);
    buf_free(&heads->bytes);
    free(heads);
    return e;
}

/* One head: signed by a device of the account whose word still counts. */
static enum err keep_head(struct cell_query *query, const struct manifest *m, struct slice doc,
                          struct wire_head_held *held, struct errmsg *msg)
{
    struct head *head = malloc(sizeof(*head));
    if (!head)
        return err_say(msg, ERR_NOMEM, "out of memory for a head");
    enum err e = head_open(doc, query->view.swarm, NULL, head, msg);
    const struct manifest_device *device =
        e == ERR_OK ? manifest_device_find(m, &head->device) : NULL;
    if (e == ERR_OK &&
        (!device || device->slot != head->slot || !id_equal(&head->account, &m->account)))
        e = err_say(msg, ERR_DENIED, "the head is signed by no device of this account");
    if (e == ERR_OK && !manifest_valid(device, head->sequence))
        e = err_say(msg, ERR_DENIED, "the device that signed the head was revoked before it");
    if (e == ERR_OK)
        e = store_head_put(query->cell->options.store, &m->account, &head->device, head->sequence,
                           doc, msg);
    *held = (struct wire_head_held){.slot = head->slot, .sequence = head->sequence};
    free(head);
    return e;
}

/* The manifest in the request, or the one that is known here. */
static enum err manifest_for_heads(struct cell_query *query, struct slice doc, struct errmsg *msg)
{
    struct manifest **out = &query->effect->manifest;
    enum err e;
    if (doc.size == 0) {
        struct buf known = BUF_INIT(LIMIT_MANIFEST_BYTES);
        e = load_manifest(query, &query->path.id, &known, out, msg);
        buf_free(&known);
        if (e == ERR_OK && !*out)
            e = err_say(msg, ERR_NOT_FOUND, "no manifest of this account is known here");
        return e;
    }
    e = manifest_open(doc, query->view.swarm, out, msg);
    if (e == ERR_OK && !id_equal(&(*out)->account, &query->path.id))
        e = err_say(msg, ERR_DENIED, "the manifest is another account's");
    return e == ERR_OK ? keep_manifest(query, *out, doc, msg) : e;
}

enum err cell_heads_put(struct cell_query *query, struct slice body, struct buf *reply,
                        struct errmsg *msg)
{
    struct wire_heads heads;
    struct wire_head_held held[WIRE_HEADS_MAX];
    struct slice doc;
    size_t count = 0;
    enum err e = wire_heads_decode(body, &heads);
    if (e != ERR_OK)
        return err_say(msg, e, "the heads cannot be read");
    e = cell_may_look(&query->peer, &query->path.id, msg);
    if (e == ERR_OK)
        e = make_effect(query, msg);
    if (e == ERR_OK)
        e = manifest_for_heads(query, heads.manifest, msg);
    while (e == ERR_OK && count < WIRE_HEADS_MAX && wire_heads_next(&heads.list, &doc)) {
        e = keep_head(query, query->effect->manifest, doc, &held[count], msg);
        count++;
    }
    if (e == ERR_OK)
        e = wire_heads_reply_encode(query->effect->manifest->number, held, count, reply);
    return e;
}

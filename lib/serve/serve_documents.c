/*
 * The documents that a daemon keeps for accounts: manifests and heads. On the lane.
 */
#include "serve/serve_internal.h"

#include "documents/documents.h"
#include "identity/head.h"
#include "wire/wire_heads.h"

#include <stdio.h>
#include <stdlib.h>

/* --- manifests --- */

enum err serve_manifest_load(struct serve *serve, const struct id *account, struct buf *doc,
                             struct manifest **out, struct errmsg *msg)
{
    uint64_t number;
    struct buf known = BUF_INIT(LIMIT_MANIFEST_BYTES);
    *out = NULL;
    enum err e = documents_manifest_get(serve->options.db, account, &number, &known, msg);
    if (e == ERR_OK)
        e = manifest_open(buf_slice(&known), serve->options.swarm, out, msg);
    if (e == ERR_OK && doc)
        e = buf_append(doc, known.data, known.size);
    buf_free(&known);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* --- accounts whose root was replaced: found by the new root too, which knows no other name --- */

enum { ALIAS_NAME_SIZE = ID_TEXT_SIZE + 16 };

static void alias_name(const struct id *id, char out[ALIAS_NAME_SIZE])
{
    char text[ID_TEXT_SIZE];
    snprintf(out, ALIAS_NAME_SIZE, "account-of:%s", id_format(id, text));
}

static enum err keep_alias(struct serve *serve, const struct manifest *m, struct errmsg *msg)
{
    struct id derived;
    char name[ALIAS_NAME_SIZE];
    if (m->root_count == 0)
        return ERR_OK;
    account_id(serve->options.swarm, manifest_root_now(m), &derived);
    alias_name(&derived, name);
    return documents_fact_put(serve->options.db, name, slice_of(m->account.bytes, ID_SIZE), msg);
}

enum err serve_account_of(struct serve *serve, struct id *id, struct errmsg *msg)
{
    char name[ALIAS_NAME_SIZE];
    struct buf account = BUF_INIT(ID_SIZE);
    alias_name(id, name);
    enum err e = documents_fact_get(serve->options.db, name, &account, NULL);
    if (e == ERR_OK && account.size == ID_SIZE)
        memcpy(id->bytes, account.data, ID_SIZE);
    else if (e != ERR_OK && e != ERR_NOT_FOUND)
        (void)err_say(msg, e, "the account's name cannot be looked up: %s", err_words(e));
    buf_free(&account);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* What a revoked device signed past its last valid sequence is void: it must not stand in the way
   of the head before it. */
static enum err drop_void_heads(struct serve *serve, const struct manifest *m, struct errmsg *msg)
{
    enum err e = ERR_OK;
    bool dropped;
    for (size_t i = 0; e == ERR_OK && i < m->device_count; i++)
        if (m->devices[i].revoked)
            e = documents_head_void(serve->options.db, &m->account, &m->devices[i].id,
                                    m->devices[i].last_sequence, &dropped, msg);
    return e;
}

enum err serve_manifest_keep(struct serve *serve, const struct manifest *m, struct slice doc,
                             struct buf *newer, struct errmsg *msg)
{
    struct manifest *known;
    struct buf known_doc = BUF_INIT(LIMIT_MANIFEST_BYTES);
    enum err e = serve_manifest_load(serve, &m->account, &known_doc, &known, msg);
    const bool same = known && slice_equal(buf_slice(&known_doc), doc);
    if (e == ERR_OK && known && !same) {
        e = manifest_follows(known, m, msg);
        if (e == ERR_STALE && buf_append(newer, known_doc.data, known_doc.size) != ERR_OK)
            buf_clear(newer);
    }
    if (e == ERR_OK && !same)
        e = documents_manifest_put(serve->options.db, &m->account, m->number, doc, msg);
    if (e == ERR_OK && !same)
        e = drop_void_heads(serve, m, msg);
    if (e == ERR_OK && !same)
        e = keep_alias(serve, m, msg);
    manifest_free(known);
    buf_free(&known_doc);
    return e;
}

/* --- heads --- */

struct heads {
    const struct serve_peer *peer;
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
        (heads->peer->capabilities & MANIFEST_READ) || heads->peer->kind == SERVE_COORDINATOR;
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

enum err serve_heads_get(void *owner, struct serve_request *request, struct slice body,
                         struct buf *reply, struct errmsg *msg)
{
    struct serve *serve = request->serve;
    (void)owner;
    (void)body;
    struct id account = request->path.id;
    enum err e = serve_account_of(serve, &account, msg);
    if (e == ERR_OK)
        e = serve_may_look(&request->peer, &account, msg);
    if (e != ERR_OK)
        return e;
    struct heads *heads = calloc(1, sizeof(*heads));
    struct buf doc = BUF_INIT(LIMIT_MANIFEST_BYTES);
    uint64_t number;
    if (!heads)
        return err_say(msg, ERR_NOMEM, "out of memory for heads");
    heads->peer = &request->peer;
    heads->bytes = BUF_INIT(WIRE_HEADS_BYTES);
    e = documents_manifest_get(serve->options.db, &account, &number, &doc, msg);
    if (e == ERR_OK || e == ERR_NOT_FOUND)
        e = documents_heads(serve->options.db, &account, collect_head, heads, msg);
    if (e == ERR_OK)
        e = encode_heads(heads, buf_slice(&doc), reply);
    buf_free(&doc);
    buf_free(&heads->bytes);
    free(heads);
    return e;
}

/* One head: signed by a device of the account whose word still counts. */
static enum err keep_head(struct serve *serve, const struct manifest *m, struct slice doc,
                          struct wire_head_held *held, struct errmsg *msg)
{
    struct head *head = malloc(sizeof(*head));
    if (!head)
        return err_say(msg, ERR_NOMEM, "out of memory for a head");
    enum err e = head_open(doc, serve->options.swarm, NULL, head, msg);
    const struct manifest_device *device =
        e == ERR_OK ? manifest_device_find(m, &head->device) : NULL;
    if (e == ERR_OK &&
        (!device || device->slot != head->slot || !id_equal(&head->account, &m->account)))
        e = err_say(msg, ERR_DENIED, "the head is signed by no device of this account");
    if (e == ERR_OK && !manifest_valid(device, head->sequence))
        e = err_say(msg, ERR_DENIED, "the device that signed the head was revoked before it");
    if (e == ERR_OK)
        e = documents_head_put(serve->options.db, &m->account, &head->device, head->sequence, doc,
                               msg);
    *held = (struct wire_head_held){.slot = head->slot, .sequence = head->sequence};
    free(head);
    return e;
}

/* The manifest in the request, or the one that is known here. */
static enum err manifest_for_heads(struct serve *serve, struct serve_request *request,
                                   struct slice doc, struct errmsg *msg)
{
    struct manifest **out = &request->manifest;
    enum err e;
    if (doc.size == 0) {
        e = serve_manifest_load(serve, &request->path.id, NULL, out, msg);
        if (e == ERR_OK && !*out)
            e = err_say(msg, ERR_NOT_FOUND, "no manifest of this account is known here");
        return e;
    }
    e = manifest_open(doc, serve->options.swarm, out, msg);
    if (e == ERR_OK && !id_equal(&(*out)->account, &request->path.id))
        e = err_say(msg, ERR_DENIED, "the manifest is another account's");
    if (e == ERR_OK)
        e = serve_manifest_keep(serve, *out, doc, request->newer, msg);
    if (e != ERR_OK) {
        manifest_free(*out);
        *out = NULL;
    }
    return e;
}

enum err serve_heads_put(void *owner, struct serve_request *request, struct slice body,
                         struct buf *reply, struct errmsg *msg)
{
    struct serve *serve = request->serve;
    (void)owner;
    struct wire_heads heads;
    struct wire_head_held held[WIRE_HEADS_MAX];
    struct slice doc;
    size_t count = 0;
    enum err e = wire_heads_decode(body, &heads);
    if (e != ERR_OK)
        return err_say(msg, e, "the heads cannot be read");
    e = serve_may_look(&request->peer, &request->path.id, msg);
    if (e == ERR_OK)
        e = manifest_for_heads(serve, request, heads.manifest, msg);
    while (e == ERR_OK && count < WIRE_HEADS_MAX && wire_heads_next(&heads.list, &doc)) {
        e = keep_head(serve, request->manifest, doc, &held[count], msg);
        count++;
    }
    if (e == ERR_OK)
        e = wire_heads_reply_encode(request->manifest->number, held, count, reply);
    return e;
}

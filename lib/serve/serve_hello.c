/*
 * Hello: what a peer shows of itself once, first thing on each connection. On the lane.
 */
#include "serve/serve_internal.h"

#include "base/planted.h"
#include "identity/coordinator_cert.h"
#include "identity/member_statement.h"
#include "identity/recovery_cert.h"
#include "wire/wire_hello.h"

/* Has the manifest taken its rights back? */
static bool is_revoked(const struct manifest_device *device)
{
    return device->revoked && !PLANTED(REVOKED_OBEYED);
}

void serve_set_rights(struct serve_peer *peer, const struct manifest *m)
{
    const struct manifest_device *device = manifest_device_find(m, &peer->id);
    const bool counts = device && !is_revoked(device);
    peer->kind = counts ? SERVE_DEVICE : SERVE_STRANGER; /* who was revoked has to go */
    peer->capabilities = counts ? device->capabilities : 0;
    peer->slot = device ? device->slot : UINT32_MAX;
}

/* An older manifest was shown than the one that is kept (request->newer). A device that the newer
   one still names knows no better, and can learn it only once it is let in: it may do what the
   newer one says. Another one is refused, with the newer one. */
static enum err greet_by_newer(struct serve_request *request, struct errmsg *msg)
{
    struct manifest *newer;
    if (manifest_open(buf_slice(request->newer), request->serve->options.swarm, &newer, NULL) !=
        ERR_OK)
        return ERR_STALE;
    const struct manifest_device *device = manifest_device_find(newer, &request->peer.id);
    if (!device || is_revoked(device)) {
        manifest_free(newer);
        return err_say(msg, ERR_STALE, "a newer manifest does not name this device, or revokes it");
    }
    manifest_free(request->manifest);
    request->manifest = newer;
    buf_clear(request->newer);
    return ERR_OK;
}

static enum err greet_device(struct serve_request *request, struct slice doc, struct errmsg *msg)
{
    const struct serve_options *o = &request->serve->options;
    struct serve_peer *peer = &request->peer;
    enum err e = manifest_open(doc, o->swarm, &request->manifest, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the manifest shown");
    const struct manifest *m = request->manifest;
    const struct manifest_device *device = manifest_device_find(m, &peer->id);
    if (!device || is_revoked(device))
        e = err_say(msg, ERR_DENIED, "the manifest shown does not name this device, or revokes it");
    if (e == ERR_OK && o->check_account)
        e = o->check_account(o->owner, &m->account, msg);
    if (e == ERR_OK)
        e = serve_manifest_keep(request->serve, m, doc, request->newer, msg);
    if (e == ERR_STALE) {
        e = greet_by_newer(request, msg);
        m = request->manifest;
    }
    if (e != ERR_OK) {
        manifest_free(request->manifest);
        request->manifest = NULL;
        return e;
    }
    peer->account = m->account;
    serve_set_rights(peer, m);
    return ERR_OK;
}

/* Whose root is it, and does it count still? */
static enum err root_counts(struct serve_request *request, struct recovery_cert *cert,
                            struct errmsg *msg)
{
    const struct serve_options *o = &request->serve->options;
    struct manifest *m = NULL;
    struct id signer;
    bool now = true;
    enum err e = serve_account_of(request->serve, &cert->account, msg);
    if (e == ERR_OK && o->check_account)
        e = o->check_account(o->owner, &cert->account, msg);
    if (e == ERR_OK)
        e = serve_manifest_load(request->serve, &cert->account, NULL, &m, msg);
    sign_id(cert->root, &signer);
    if (e == ERR_OK && m && (!manifest_is_root(m, &signer, &now) || !now))
        e = err_say(msg, ERR_DENIED, "the recovery phrase of this account has been replaced");
    manifest_free(m);
    return e;
}

static enum err greet_root(struct serve_request *request, struct slice doc, struct errmsg *msg)
{
    struct serve_peer *peer = &request->peer;
    struct recovery_cert cert;
    const enum err e = recovery_cert_open(doc, request->serve->options.swarm, &cert, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the root's certificate shown");
    if (!id_equal(&cert.device, &peer->id))
        return err_say(msg, ERR_DENIED, "the root's certificate names another device");
    const enum err known = root_counts(request, &cert, msg);
    if (known != ERR_OK)
        return known;
    peer->kind = SERVE_ROOT;
    peer->account = cert.account;
    peer->capabilities = cert.capabilities;
    return ERR_OK;
}

static enum err greet_cell(struct serve_request *request, struct slice doc, struct errmsg *msg)
{
    struct member_statement statement;
    const enum err e = member_statement_open(doc, request->serve->options.swarm, &request->peer.id,
                                             &statement, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the member statement shown");
    request->peer.kind = SERVE_CELL;
    return ERR_OK;
}

static enum err greet_coordinator(struct serve_request *request, struct slice doc,
                                  struct errmsg *msg)
{
    const struct serve_options *o = &request->serve->options;
    struct coordinator_cert cert;
    enum err e = coordinator_cert_open(doc, o->swarm, &cert, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the coordinator's certificate shown");
    if (!id_equal(&cert.id, &request->peer.id))
        return err_say(msg, ERR_DENIED, "the coordinator's certificate names another key");
    if (o->check_coordinator)
        e = o->check_coordinator(o->owner, request, cert.incarnation, msg);
    if (e == ERR_OK)
        request->peer.kind = SERVE_COORDINATOR;
    return e;
}

enum err serve_hello(void *owner, struct serve_request *request, struct slice body,
                     struct buf *reply, struct errmsg *msg)
{
    struct wire_hello hello;
    struct wire_hello_reply answer = {0};
    enum err e = wire_hello_decode(body, &hello);
    if (e != ERR_OK)
        return err_say(msg, e, "the hello cannot be read");
    request->peer.kind = SERVE_STRANGER;
    request->peer.capabilities = 0;
    request->peer.slot = UINT32_MAX;
    switch (hello.kind) {
    case WIRE_PEER_DEVICE:
        e = greet_device(request, hello.document, msg);
        break;
    case WIRE_PEER_ROOT:
        e = greet_root(request, hello.document, msg);
        break;
    case WIRE_PEER_CELL:
        e = greet_cell(request, hello.document, msg);
        break;
    case WIRE_PEER_COORDINATOR:
        e = greet_coordinator(request, hello.document, msg);
        break;
    }
    request->is_hello = e == ERR_OK;
    if (e != ERR_OK)
        return e;
    answer.manifest_number = request->manifest ? request->manifest->number : 0;
    request->serve->options.describe(owner, request, &answer.list_number, &answer.time_s);
    return wire_hello_reply_encode(&answer, reply);
}

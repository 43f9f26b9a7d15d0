/*
 * Devices that want to become one of an account: their requests rest here until an admin of the
 * account asks for them. On the lane.
 *
 * A stranger is heard because of the invite: signed by the account's root or an admin of the newest
 * manifest that is known here, not over, not used. What rests is bounded for each account, one
 * request a device and one device an invite, and goes when the manifest names the device or the
 * invite is over.
 */
#include "serve/serve_internal.h"

#include "documents/documents.h"
#include "identity/device_request.h"
#include "wire/wire_device.h"

#include <stdlib.h>

enum { EPOCH_REQUEST_S = 90 * 86400 }; /* how long a device's next data key waits */

static int64_t now_of(void *owner, const struct serve_request *request)
{
    uint64_t list_number;
    int64_t time_s;
    request->serve->options.describe(owner, request, &list_number, &time_s);
    return time_s;
}

/* --- what need not wait any more --- */

struct sweep {
    const struct serve *serve;
    const struct manifest *m;
    struct id done[DOCUMENTS_REQUESTS_MAX];
    size_t count;
};

static bool is_done(const struct sweep *sweep, const struct documents_request *row)
{
    struct device_request request;
    const struct manifest_device *device = manifest_device_find(sweep->m, &row->device);
    if (device_request_open(row->doc, sweep->serve->options.swarm, &row->device, &request, NULL) !=
        ERR_OK)
        return true;
    if (device)
        return device->revoked || manifest_epoch_find(device, request.epoch.epoch) != NULL;
    return !request.invited || manifest_invite_used(sweep->m, request.invite);
}

static enum err note_done(void *user, const struct documents_request *row)
{
    struct sweep *sweep = user;
    if (sweep->count < ARRAY_COUNT(sweep->done) && is_done(sweep, row))
        sweep->done[sweep->count++] = row->device;
    return ERR_OK;
}

static enum err sweep(struct serve *serve, const struct manifest *m, int64_t now_s,
                      struct errmsg *msg)
{
    struct db *db = serve->options.db;
    struct sweep done = {.serve = serve, .m = m};
    enum err e = documents_requests_expire(db, now_s, msg);
    if (e == ERR_OK)
        e = documents_requests(db, &m->account, note_done, &done, msg);
    for (size_t i = 0; e == ERR_OK && i < done.count; i++)
        e = documents_request_drop(db, &m->account, &done.done[i], msg);
    return e;
}

/* --- POST --- */

static enum err check_invite(const struct serve *serve, const struct serve_request *request,
                             const struct manifest *m, struct slice doc, int64_t now_s,
                             struct invite_device *out, struct errmsg *msg)
{
    enum err e = invite_device_open(doc, serve->options.swarm, NULL, out, msg);
    if (e != ERR_OK)
        return e;
    if (!manifest_invites(m, out))
        return err_say(msg, ERR_DENIED,
                       "the invite is of another account, or who signed it is no admin any more");
    if (manifest_device_find(m, &request->peer.id))
        return ERR_OK; /* it has been taken in, and asks whether it was */
    if (manifest_invite_used(m, out->id))
        return err_say(msg, ERR_DENIED, "another device has joined by this invite already");
    if (now_s > out->expires_s)
        return err_say(msg, ERR_DENIED, "the invite is over; ask for a new one");
    return ERR_OK;
}

static enum err keep_request(const struct serve *serve, const struct serve_request *request,
                             const struct manifest *m, const struct wire_device_ask *ask,
                             const struct invite_device *invite, int64_t now_s, struct errmsg *msg)
{
    struct device_request wish;
    enum err e =
        device_request_open(ask->request, serve->options.swarm, &request->peer.id, &wish, msg);
    if (e != ERR_OK)
        return e;
    if (!id_equal(&wish.account, &m->account) || wish.invited != (invite != NULL) ||
        (invite && memcmp(wish.invite, invite->id, INVITE_ID_SIZE) != 0))
        return err_say(msg, ERR_DENIED, "the request is for another account or invite");
    if (invite && manifest_device_find(m, &request->peer.id))
        return ERR_OK;
    const struct documents_request row = {
        .device = request->peer.id,
        .invite_id = invite ? slice_of(invite->id, INVITE_ID_SIZE) : slice_of(NULL, 0),
        .invite = ask->invite,
        .doc = ask->request,
        .expires_s = invite ? invite->expires_s : now_s + EPOCH_REQUEST_S,
    };
    return documents_request_put(serve->options.db, &m->account, &row, msg);
}

struct find {
    const struct id *device;
    bool found;
};

static enum err find_own(void *user, const struct documents_request *row)
{
    struct find *find = user;
    find->found |= id_equal(&row->device, find->device);
    return ERR_OK;
}

static enum err answer(struct serve *serve, const struct serve_request *request,
                       const struct id *account, struct slice manifest, struct buf *reply,
                       struct errmsg *msg)
{
    struct find find = {.device = &request->peer.id};
    const enum err e = documents_requests(serve->options.db, account, find_own, &find, msg);
    const char *redundancy = serve->options.redundancy;
    const struct wire_device_reply out = {
        .manifest = manifest,
        .redundancy = redundancy ? slice_text(redundancy) : slice_of(NULL, 0),
        .waiting = find.found,
    };
    return e == ERR_OK ? wire_device_reply_encode(&out, reply) : e;
}

enum err serve_devices_post(void *owner, struct serve_request *request, struct slice body,
                            struct buf *reply, struct errmsg *msg)
{
    struct serve *serve = request->serve;
    struct wire_device_ask ask;
    struct invite_device invite;
    struct manifest *m = NULL;
    struct buf doc = BUF_INIT(LIMIT_MANIFEST_BYTES);
    const int64_t now_s = now_of(owner, request);
    enum err e = wire_device_ask_decode(body, &ask);
    if (e != ERR_OK)
        return err_say(msg, e, "the device's question cannot be read");
    const bool invited = ask.invite.size > 0;
    if (!invited && (request->peer.kind != SERVE_DEVICE ||
                     !id_equal(&request->peer.account, &request->path.id)))
        return serve_deny(&request->peer, msg, "ask to join an account without an invite");
    e = serve_manifest_load(serve, &request->path.id, &doc, &m, msg);
    if (e == ERR_OK && !m)
        e = err_say(msg, ERR_NOT_FOUND, "the account of this invite is not known here");
    if (e == ERR_OK && invited)
        e = check_invite(serve, request, m, ask.invite, now_s, &invite, msg);
    if (e == ERR_OK)
        e = sweep(serve, m, now_s, msg);
    if (e == ERR_OK && ask.request.size > 0)
        e = keep_request(serve, request, m, &ask, invited ? &invite : NULL, now_s, msg);
    if (e == ERR_OK)
        e = answer(serve, request, &m->account, buf_slice(&doc), reply, msg);
    manifest_free(m);
    buf_free(&doc);
    return e;
}

/* --- GET --- */

struct waiting {
    struct buf bytes; /* invites and requests, one behind the other */
    struct {
        size_t invite, request; /* their sizes */
    } sizes[WIRE_DEVICE_REQUESTS_MAX];
    size_t count;
};

static enum err collect(void *user, const struct documents_request *row)
{
    struct waiting *waiting = user;
    if (waiting->count == WIRE_DEVICE_REQUESTS_MAX)
        return ERR_OK;
    waiting->sizes[waiting->count].invite = row->invite.size;
    waiting->sizes[waiting->count++].request = row->doc.size;
    const enum err e = buf_append(&waiting->bytes, row->invite.data, row->invite.size);
    return e == ERR_OK ? buf_append(&waiting->bytes, row->doc.data, row->doc.size) : e;
}

enum err serve_devices_get(void *owner, struct serve_request *request, struct slice body,
                           struct buf *reply, struct errmsg *msg)
{
    struct serve *serve = request->serve;
    const struct serve_peer *peer = &request->peer;
    struct wire_device_ask asks[WIRE_DEVICE_REQUESTS_MAX];
    struct waiting waiting = {.bytes = BUF_INIT(WIRE_DEVICE_REQUESTS_BYTES)};
    struct manifest *m = NULL;
    (void)body;
    if (!serve_is_of(peer, &request->path.id) || !(peer->capabilities & MANIFEST_ADMIN))
        return serve_deny(peer, msg, "see which devices wait: it is no admin of the account");
    enum err e = serve_manifest_load(serve, &request->path.id, NULL, &m, msg);
    if (e == ERR_OK && m)
        e = sweep(serve, m, now_of(owner, request), msg);
    if (e == ERR_OK)
        e = documents_requests(serve->options.db, &request->path.id, collect, &waiting, msg);
    const uint8_t *at = waiting.bytes.data;
    for (size_t i = 0; e == ERR_OK && i < waiting.count; i++) {
        asks[i].invite = slice_of(at, waiting.sizes[i].invite);
        at += waiting.sizes[i].invite;
        asks[i].request = slice_of(at, waiting.sizes[i].request);
        at += waiting.sizes[i].request;
    }
    if (e == ERR_OK)
        e = wire_device_requests_encode(asks, waiting.count, reply);
    manifest_free(m);
    buf_free(&waiting.bytes);
    return e;
}

/*
 * What a cell answers, and what a peer must have shown first: its table of routes.
 */
#include "cell_internal.h"

#include "wire/wire_audit.h"
#include "wire/wire_cell.h"
#include "wire/wire_device.h"
#include "wire/wire_heads.h"
#include "wire/wire_hello.h"
#include "wire/wire_ids.h"
#include "wire/wire_inventory.h"
#include "wire/wire_removal.h"
#include "wire/wire_shard.h"

#include <assert.h>

static const struct serve_route routes[] = {
    {WIRE_INFO, NET_GET, true, 0, WIRE_INFO_BYTES, cell_info},
    {WIRE_MEMBERS, NET_GET, true, 0, LIMIT_MEMBER_LIST_BYTES, cell_members},
    {WIRE_MEMBERS, NET_PUT, false, LIMIT_MEMBER_LIST_BYTES, 4096, cell_members_put},
    {WIRE_INVENTORY, NET_POST, false, WIRE_INVENTORY_BYTES, WIRE_INVENTORY_REPLY_BYTES,
     cell_inventory},
    {WIRE_DESCRIBE, NET_POST, false, WIRE_DESCRIBE_BYTES, WIRE_DESCRIBE_REPLY_BYTES, cell_describe},
    {WIRE_HEADS, NET_GET, false, 0, WIRE_HEADS_BYTES, serve_heads_get},
    {WIRE_HEADS, NET_PUT, false, WIRE_HEADS_BYTES, LIMIT_MANIFEST_BYTES + 4096, serve_heads_put},
    {WIRE_DEVICES, NET_GET, false, 0, WIRE_DEVICE_REQUESTS_BYTES, serve_devices_get},
    {WIRE_DEVICES, NET_POST, true, WIRE_DEVICE_ASK_BYTES, WIRE_DEVICE_REPLY_BYTES,
     serve_devices_post},
    {WIRE_SEGMENT, NET_GET, false, 0, WIRE_SEGMENT_REPLY_BYTES, cell_segment},
    {WIRE_HAVE, NET_POST, false, WIRE_HAVE_BYTES, WIRE_HAVE_REPLY_BYTES, cell_have},
    {WIRE_ACCOUNT_SHARDS, NET_GET, false, 0, WIRE_NAMES_BYTES, cell_account_shards},
    {WIRE_CLAIM, NET_POST, false, WIRE_CLAIM_BYTES, WIRE_CLAIM_BYTES, cell_claim},
    {WIRE_STATE, NET_GET, false, 0, WIRE_STATE_BYTES, cell_state},
    {WIRE_REPAIR, NET_POST, false, TICKET_BYTES_MAX, WIRE_SEGMENT_REPLY_BYTES, cell_ticket_shown},
    {WIRE_AUDIT, NET_POST, false, WIRE_LOT_BYTES, WIRE_SEGMENT_REPLY_BYTES, cell_lot},
    {WIRE_DELETE, NET_POST, false, WIRE_DELETE_BYTES, WIRE_DELETE_REPLY_BYTES, cell_delete},
};

static void prepare(void *owner, struct serve_request *request)
{
    struct cell *cell = owner;
    static_assert(sizeof(struct cell_view) <= SERVE_CONTEXT_SIZE, "no room for a view");
    struct cell_view view = cell_view_now(cell);
    if (request->path.route == WIRE_AUDIT)
        cell_lot_prepare(cell, &request->peer, &view);
    if (request->path.route == WIRE_ACCOUNT_SHARDS)
        view.from_owners_cell = cell_is_of(cell, &request->peer, &request->path.id);
    memcpy(request->context, &view, sizeof(view));
}

static enum err stream(void *owner, const struct serve_peer *peer, struct net_exchange *x,
                       const struct net_incoming *request, const struct wire_path *path,
                       const struct serve_events **events, void **user)
{
    struct cell *cell = owner;
    if (path->route != WIRE_SHARD)
        return ERR_UNSUPPORTED;
    if (request->method == NET_PUT) {
        *events = &cell_put_events;
        return cell_put_start(cell, peer, x, request, &path->id, path->index, user);
    }
    if (request->method != NET_GET && request->method != NET_HEAD)
        return ERR_UNSUPPORTED;
    *events = &cell_get_events;
    return cell_get_start(cell, peer, x, request, &path->id, path->index, user);
}

static enum err check_coordinator(void *owner, struct serve_request *request, uint32_t incarnation,
                                  struct errmsg *msg)
{
    (void)owner;
    if (incarnation < cell_view_of(request)->incarnation)
        return err_say(msg, ERR_STALE, "a newer coordinator is known here");
    return ERR_OK;
}

static void describe(void *owner, const struct serve_request *request, uint64_t *list_number,
                     int64_t *time_s)
{
    (void)owner;
    *list_number = cell_view_of(request)->list_number;
    *time_s = cell_view_of(request)->now_s;
}

enum err cell_serve(struct cell *cell, struct errmsg *msg)
{
    const struct serve_options options = {
        .net = cell->options.net,
        .work = cell->options.work,
        .lane = cell->options.lane,
        .db = store_db(cell->options.store),
        .log = cell->options.log,
        .swarm = &cell->swarm,
        .owner = cell,
        .routes = routes,
        .route_count = ARRAY_COUNT(routes),
        .prepare = prepare,
        .stream = stream,
        .check_coordinator = check_coordinator,
        .describe = describe,
    };
    return serve_open(&options, &cell->serve, msg);
}

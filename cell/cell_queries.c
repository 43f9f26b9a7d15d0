/*
 * Small questions about what is here, answered on the lane: segments, have, an account's shards,
 * state; and the two that any stranger may ask: info and the member list.
 */
#include "cell_internal.h"

#include "segment/segment_header.h"
#include "wire/wire_cell.h"
#include "wire/wire_hello.h"
#include "wire/wire_ids.h"
#include "wire/wire_shard.h"

#include <stdlib.h>

enum err cell_info(void *owner, struct serve_request *request, struct slice body, struct buf *reply,
                   struct errmsg *msg)
{
    struct cell *cell = owner;
    (void)body;
    struct buf certificate = BUF_INIT(COORDINATOR_CERT_BYTES_MAX);
    enum err e =
        documents_fact_get(store_db(cell->options.store), CELL_FACT_COORDINATOR, &certificate, msg);
    if (e == ERR_OK || e == ERR_NOT_FOUND) {
        struct wire_info info = {
            .role = WIRE_ROLE_CELL,
            .id = cell->id,
            .version = slice_text(CELLAR_VERSION),
            .coordinator = buf_slice(&certificate),
            .list_number = cell_view_of(request)->list_number,
        };
        memcpy(info.swarm_root, cell->options.swarm_root, sizeof(info.swarm_root));
        e = wire_info_encode(&info, reply);
    }
    buf_free(&certificate);
    return e;
}

enum err cell_members(void *owner, struct serve_request *request, struct slice body,
                      struct buf *reply, struct errmsg *msg)
{
    struct cell *cell = owner;
    (void)body;
    (void)request;
    return documents_fact_get(store_db(cell->options.store), CELL_FACT_MEMBERS, reply, msg);
}

enum err cell_state(void *owner, struct serve_request *request, struct slice body,
                    struct buf *reply, struct errmsg *msg)
{
    struct cell *cell = owner;
    (void)body;
    const struct cell_view *view = cell_view_of(request);
    struct store *store = cell->options.store;
    struct store_usage usage;
    struct store_scrub_state scrub;
    enum err e = store_usage(store, &usage, msg);
    if (e == ERR_OK)
        e = store_scrub_state(store, &scrub, msg);
    if (e != ERR_OK)
        return e;
    const struct wire_state state = {
        .given_bytes = usage.give_bytes,
        .used_bytes = usage.used_bytes,
        .free_bytes = usage.free_bytes,
        .shard_count = usage.shard_count,
        .damaged_count = usage.damaged_count,
        .scrub_checked_count = scrub.checked,
        .scrub_started_s = scrub.cycle_began_s,
        .scrub_finished_s = scrub.last_cycle_ended_s,
        .scrub_next_s = cell_scrub_next_s(&scrub, view->scrub_period_ms),
        .read_only = usage.read_only,
        .leaving = view->leaving,
        .trust = view->trust,
        .fault_count = view->fault_count,
    };
    return wire_state_encode(&state, reply);
}

/* --- one segment --- */

static enum err collect_indexes(void *user, const struct store_shard *shard)
{
    struct wire_segment *segment = user;
    if (shard->state == STORE_WHOLE)
        segment->held[segment->held_count++] = (uint8_t)shard->index;
    else
        segment->damaged[segment->damaged_count++] = (uint8_t)shard->index;
    return ERR_OK;
}

static enum err may_know(const struct serve_peer *asker, const struct id *account,
                         const struct id *owner, struct errmsg *msg)
{
    if (!asker)
        return ERR_OK;
    if (!account)
        return serve_may_look(asker, owner, msg);
    return id_equal(account, owner)
               ? ERR_OK
               : err_say(msg, ERR_DENIED, "the ticket names another account than the segment");
}

/* The first file that opens; those that are missing or damaged go from `held` to `damaged`. */
static enum err open_any(struct cell *cell, const struct id *id, struct wire_segment *segment,
                         struct store_file **out, struct errmsg *msg)
{
    struct store *store = cell->options.store;
    while (segment->held_count > 0) {
        const uint8_t index = segment->held[0];
        enum err e = store_file_open(store, id, index, out, msg);
        if (e == ERR_OK || (e != ERR_NOT_FOUND && err_class(e) != ERR_CLASS_CORRUPT))
            return e;
        log_say(cell->options.log, LOG_ERROR, "a shard is damaged: %s", msg->text);
        if ((e = store_quarantine(store, id, index, msg)) != ERR_OK)
            return e;
        segment->damaged[segment->damaged_count++] = index;
        segment->held_count--;
        memmove(segment->held, segment->held + 1, segment->held_count);
    }
    return err_say(msg, ERR_NOT_FOUND, "no whole shard of this segment is here");
}

/* The header and the record stand in any whole shard's file. */
enum err cell_segment_reply(struct cell *cell, const struct id *id, const struct serve_peer *asker,
                            const struct id *account, struct buf *reply, struct errmsg *msg)
{
    struct store *store = cell->options.store;
    struct wire_segment *segment = calloc(1, sizeof(*segment));
    struct segment_header header;
    struct store_file *file = NULL;
    enum err e = segment ? ERR_OK : err_say(msg, ERR_NOMEM, "out of memory for a segment");
    if (e == ERR_OK)
        e = store_segment(store, id, collect_indexes, segment, msg);
    if (e == ERR_OK)
        e = open_any(cell, id, segment, &file, msg);
    if (e == ERR_OK)
        e = segment_header_decode(store_file_header(file), &header, msg);
    if (e == ERR_OK)
        e = may_know(asker, account, &header.account, msg);
    if (e == ERR_OK) {
        segment->header = store_file_header(file);
        segment->record = store_file_record(file);
        e = wire_segment_encode(segment, reply);
    }
    store_file_close(file);
    free(segment);
    return e;
}

enum err cell_segment(void *owner, struct serve_request *request, struct slice body,
                      struct buf *reply, struct errmsg *msg)
{
    (void)body;
    return cell_segment_reply(owner, &request->path.id, &request->peer, NULL, reply, msg);
}

/* --- many segments --- */

struct have {
    const struct serve_request *request;
    struct wire_held *held; /* WIRE_HAVE_ANSWERS of them, owned */
    size_t count;
    uint32_t position;
    enum store_name name; /* of the segment that is being asked about */
};

static enum wire_shard_state held_state(enum store_name name, const struct store_shard *shard)
{
    if (name == STORE_NAME_WAITING)
        return WIRE_SHARD_WAITING;
    return shard->state == STORE_WHOLE ? WIRE_SHARD_STORED : WIRE_SHARD_DAMAGED;
}

static enum err add_held(struct have *have, unsigned index, enum wire_shard_state state)
{
    if (have->count == WIRE_HAVE_ANSWERS)
        return ERR_TOO_LARGE;
    have->held[have->count++] =
        (struct wire_held){.position = have->position, .index = (uint8_t)index, .state = state};
    return ERR_OK;
}

static enum err collect_held(void *user, const struct store_shard *shard)
{
    struct have *have = user;
    if (serve_may_look(&have->request->peer, &shard->account, NULL) != ERR_OK)
        return ERR_OK; /* as if it were not here */
    return add_held(have, shard->index, held_state(have->name, shard));
}

static enum err have_one(struct store *store, struct have *have, const struct id *id,
                         struct errmsg *msg)
{
    struct id account;
    const enum err e = store_removal_name(store, id, &have->name, &account, msg);
    if (e != ERR_OK || have->name != STORE_NAME_DEAD)
        return e == ERR_OK ? store_segment(store, id, collect_held, have, msg) : e;
    if (serve_may_look(&have->request->peer, &account, NULL) != ERR_OK)
        return ERR_OK;
    return add_held(have, 0, WIRE_SHARD_DEAD);
}

enum err cell_have(void *owner, struct serve_request *request, struct slice body, struct buf *reply,
                   struct errmsg *msg)
{
    struct cell *cell = owner;
    struct wire_list ids;
    struct id id;
    enum err e = wire_ids_decode(body, WIRE_HAVE_IDS, &ids);
    if (e != ERR_OK)
        return err_say(msg, e, "the list of segments cannot be read");
    struct have have = {.request = request, .held = calloc(WIRE_HAVE_ANSWERS, sizeof(*have.held))};
    if (!have.held)
        return err_say(msg, ERR_NOMEM, "out of memory for an answer");
    while (e == ERR_OK && wire_ids_next(&ids, &id)) {
        e = have_one(cell->options.store, &have, &id, msg);
        have.position++;
    }
    if (e == ERR_OK)
        e = wire_have_reply_encode(have.held, have.count, reply);
    free(have.held);
    return e;
}

/* --- everything of one account --- */

struct names {
    struct wire_shard_name names[WIRE_SHARD_NAMES];
    size_t count;
};

static enum err collect_name(void *user, const struct store_shard *shard)
{
    struct names *names = user;
    names->names[names->count++] =
        (struct wire_shard_name){.segment = shard->segment, .index = (uint8_t)shard->index};
    return ERR_OK;
}

enum err cell_account_shards(void *owner, struct serve_request *request, struct slice body,
                             struct buf *reply, struct errmsg *msg)
{
    struct cell *cell = owner;
    (void)body;
    const struct wire_path *path = &request->path;
    const bool of_owner = cell_view_of(request)->from_owners_cell;
    enum err e = of_owner ? ERR_OK : serve_may_look(&request->peer, &path->id, msg);
    if (e == ERR_OK && !of_owner && request->peer.kind != SERVE_COORDINATOR &&
        !(request->peer.capabilities & MANIFEST_READ))
        e = serve_deny(&request->peer, msg, "list the account's segments: it may not read them");
    if (e != ERR_OK)
        return e;
    struct names *names = malloc(sizeof(*names));
    if (!names)
        return err_say(msg, ERR_NOMEM, "out of memory for a list of shards");
    names->count = 0;
    e = store_list(cell->options.store, &path->id, path->has_after ? &path->after_segment : NULL,
                   path->after_index, WIRE_SHARD_NAMES, collect_name, names, msg);
    if (e == ERR_OK)
        e = wire_names_encode(names->names, names->count, names->count == WIRE_SHARD_NAMES, reply);
    free(names);
    return e;
}

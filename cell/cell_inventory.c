/*
 * What a coordinator may ask that rebuilds its registry: everything that is here, page by page, and
 * what proves it: headers and the devices' records. And the member list that it brings.
 */
#include "cell_internal.h"

#include "wire/wire_ids.h"
#include "wire/wire_inventory.h"

#include <stdlib.h>

/* --- PUT /v1/members --- */

struct brought {
    struct serve_effect effect;
    struct buf doc;
};

static void take_list(void *owner, struct serve_effect *effect)
{
    struct cell *cell = owner;
    struct brought *brought = container_of(effect, struct brought, effect);
    struct errmsg msg;
    if (cell_take_members(cell, buf_slice(&brought->doc), &msg) != ERR_OK)
        log_say(cell->options.log, LOG_WARN, "the member list that was brought: %s", msg.text);
    buf_free(&brought->doc);
    free(brought);
}

/* Whether it is newer is looked at again on the loop, which owns the list. */
enum err cell_members_put(void *owner, struct serve_request *request, struct slice body,
                          struct buf *reply, struct errmsg *msg)
{
    struct cell *cell = owner;
    struct member_list *list;
    (void)reply;
    if (request->peer.kind != SERVE_COORDINATOR)
        return serve_deny(&request->peer, msg, "bring a member list: it is no coordinator");
    enum err e = member_list_open(body, &cell->swarm, &list, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the member list");
    const struct cell_view *view = cell_view_of(request);
    const bool older = list->incarnation < view->incarnation ||
                       (list->incarnation == view->incarnation && list->number < view->list_number);
    member_list_free(list);
    if (older)
        return err_say(msg, ERR_STALE, "a newer member list is known here");
    struct brought *brought = calloc(1, sizeof(*brought));
    if (!brought)
        return err_say(msg, ERR_NOMEM, "out of memory for a member list");
    brought->effect.apply = take_list;
    brought->doc = BUF_INIT(LIMIT_MEMBER_LIST_BYTES);
    e = buf_append(&brought->doc, body.data, body.size);
    if (e != ERR_OK) {
        buf_free(&brought->doc);
        free(brought);
        return err_say(msg, e, "out of memory for a member list");
    }
    request->effect = &brought->effect;
    return ERR_OK;
}

/* --- POST /v1/inventory --- */

struct page {
    struct store *store;
    struct wire_inventory_item items[WIRE_INVENTORY_ITEMS];
    size_t count;
    struct id waiting_of; /* the last segment that was asked about, and what came out */
    bool waiting;
};

static enum err add_shard(void *user, const struct store_shard *shard)
{
    struct page *page = user;
    enum store_name name;
    struct errmsg msg;
    if (page->count == 0 || !id_equal(&page->waiting_of, &shard->segment)) {
        const enum err e = store_removal_name(page->store, &shard->segment, &name, NULL, &msg);
        if (e != ERR_OK)
            return e;
        page->waiting_of = shard->segment;
        page->waiting = name == STORE_NAME_WAITING;
    }
    page->items[page->count++] = (struct wire_inventory_item){
        .segment = shard->segment,
        .account = shard->account,
        .index = (uint8_t)shard->index,
        .state = shard->state != STORE_WHOLE ? WIRE_SHARD_DAMAGED
                 : page->waiting             ? WIRE_SHARD_WAITING
                                             : WIRE_SHARD_STORED,
    };
    return ERR_OK;
}

static enum err add_dead(void *user, const struct id *segment, const struct id *account)
{
    struct page *page = user;
    page->items[page->count++] = (struct wire_inventory_item){
        .segment = *segment, .account = *account, .state = WIRE_SHARD_DEAD};
    return ERR_OK;
}

static enum err fill_page(struct cell *cell, const struct wire_inventory *question,
                          struct page *page, struct errmsg *msg)
{
    const struct id *after = question->has_after ? &question->after_segment : NULL;
    page->store = cell->options.store;
    if (question->dead)
        return store_removal_dead(page->store, after, WIRE_INVENTORY_ITEMS, add_dead, page, msg);
    return store_list(page->store, NULL, after, question->after_index, WIRE_INVENTORY_ITEMS,
                      add_shard, page, msg);
}

enum err cell_inventory(void *owner, struct serve_request *request, struct slice body,
                        struct buf *reply, struct errmsg *msg)
{
    struct cell *cell = owner;
    struct wire_inventory question;
    struct buf claim = BUF_INIT(LIMIT_MESSAGE_BYTES);
    enum err e = wire_inventory_decode(body, &question);
    if (e != ERR_OK)
        return err_say(msg, e, "the question for an inventory cannot be read");
    if (request->peer.kind != SERVE_COORDINATOR)
        return serve_deny(&request->peer, msg, "have the inventory: it is no coordinator");
    struct page *page = calloc(1, sizeof(*page));
    if (!page)
        return err_say(msg, ERR_NOMEM, "out of memory for an inventory");
    e = fill_page(cell, &question, page, msg);
    if (e == ERR_OK)
        e = documents_fact_get(store_db(cell->options.store), CELL_FACT_CLAIM, &claim, msg);
    if (e == ERR_OK || e == ERR_NOT_FOUND)
        e = wire_inventory_reply_encode(page->items, page->count,
                                        page->count == WIRE_INVENTORY_ITEMS, buf_slice(&claim),
                                        reply);
    buf_free(&claim);
    free(page);
    return e;
}

/* --- POST /v1/describe --- */

static enum err first_whole(void *user, const struct store_shard *shard)
{
    unsigned *index = user;
    if (*index == LIMIT_SHARDS && shard->state == STORE_WHOLE)
        *index = shard->index;
    return ERR_OK;
}

/* NOT_FOUND: nothing whole of it is here. */
static enum err describe(struct store *store, const struct id *id, struct store_file **file,
                         struct errmsg *msg)
{
    unsigned index = LIMIT_SHARDS;
    enum err e = store_segment(store, id, first_whole, &index, msg);
    if (e == ERR_OK && index == LIMIT_SHARDS)
        return ERR_NOT_FOUND;
    return e == ERR_OK ? store_file_open(store, id, index, file, msg) : e;
}

enum err cell_describe(void *owner, struct serve_request *request, struct slice body,
                       struct buf *reply, struct errmsg *msg)
{
    struct cell *cell = owner;
    struct wire_list ids;
    struct id id;
    struct store_file *files[WIRE_DESCRIBE_IDS];
    struct wire_described segments[WIRE_DESCRIBE_IDS];
    size_t count = 0;
    enum err e = wire_ids_decode(body, WIRE_DESCRIBE_IDS, &ids);
    if (e != ERR_OK)
        return err_say(msg, e, "the question about segments cannot be read");
    if (request->peer.kind != SERVE_COORDINATOR)
        return serve_deny(&request->peer, msg, "have segments described: it is no coordinator");
    for (uint32_t position = 0; e == ERR_OK && wire_ids_next(&ids, &id); position++) {
        if (describe(cell->options.store, &id, &files[count], msg) != ERR_OK)
            continue; /* another cell has it, or a later question finds it */
        segments[count] = (struct wire_described){.position = position,
                                                  .header = store_file_header(files[count]),
                                                  .record = store_file_record(files[count])};
        count++;
    }
    e = wire_described_encode(segments, count, reply);
    while (count > 0)
        store_file_close(files[--count]);
    return e;
}

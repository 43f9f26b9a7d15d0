/*
 * The signed list of members: made when somebody asks and something has changed, and told to those
 * who have an earlier one as what has changed since. For that each cell notes in which list its
 * entry was last another; what was before the start of this process is not known, and who has a
 * list from before gets the whole. Cells are never taken out of the list.
 */
#include "registry_internal.h"

#include "identity/member_changes.h"
#include "placement/placement.h"

#include <stdlib.h>

static void fill_member(const struct registry *registry, const struct registry_cell *cell,
                        int64_t now_s, struct member *out)
{
    const enum wire_cell_state state = registry_cell_state(registry, cell, now_s);
    *out = (struct member){
        .claimed = cell->claimed,
        .household = cell->claimed ? cell->household : cell->id,
        .weight = registry_cell_weight(registry, cell),
        .eligible = state != WIRE_CELL_GONE && registry_takes_new(registry, cell),
        .site = slice_text(cell->site),
        .addresses = buf_slice(&cell->addresses),
    };
    memcpy(out->key, cell->key, sizeof(out->key));
}

/* What the new list says of each cell that the last one did not. */
static void note_changes(struct registry *registry, const struct member *members, size_t count,
                         uint64_t number)
{
    for (size_t i = 0; i < count; i++) {
        struct registry_cell *cell = registry_cell_find(registry, &members[i].id);
        const uint64_t digest = member_changes_digest(&members[i]);
        if (!cell || (cell->listed_number && cell->listed_digest == digest))
            continue;
        cell->listed_digest = digest;
        cell->listed_number = number;
    }
    if (registry->changes_from == 0)
        registry->changes_from = number;
}

void registry_list_known(struct registry *registry, const struct member_list *list)
{
    note_changes(registry, list->members, list->count, list->number);
}

void registry_list_forget_changes(struct registry *registry)
{
    for (size_t i = 0; i < REGISTRY_CHANGES; i++)
        buf_free(&registry->changes[i].bytes);
    memset(registry->changes, 0, sizeof(registry->changes));
}

static enum err sign_list(struct registry *registry, int64_t now_s, struct errmsg *msg)
{
    struct member *members =
        calloc(registry->cell_count ? registry->cell_count : 1, sizeof(*members));
    if (!members)
        return err_say(msg, ERR_NOMEM, "out of memory for the member list");
    for (size_t i = 0; i < registry->cell_count; i++)
        fill_member(registry, registry->cells[i], now_s, &members[i]);
    struct member_list list = {
        .coordinator_doc = registry->options.certificate,
        .number = registry->list_number + 1,
        .previous = registry->list_hash,
        .time_s = now_s,
        .members = members,
        .count = registry->cell_count,
    };
    struct buf doc = BUF_INIT(LIMIT_MEMBER_LIST_BYTES);
    enum err e = member_list_make(&list, registry->options.swarm, registry->options.key, &doc);
    if (e != ERR_OK)
        err_say(msg, e, "the member list cannot be signed");
    if (e == ERR_OK)
        e = documents_fact_put(registry->db, REGISTRY_FACT_LIST, buf_slice(&doc), msg);
    if (e == ERR_OK)
        note_changes(registry, members, list.count, list.number);
    free(members);
    if (e != ERR_OK) {
        buf_free(&doc);
        return e;
    }
    registry_list_forget_changes(registry);
    buf_free(&registry->list);
    registry->list = doc;
    registry->list_number = list.number;
    document_hash(buf_slice(&doc), &registry->list_hash);
    registry->list_stale = false;
    return ERR_OK;
}

enum err registry_members(struct registry *registry, int64_t now_s, struct slice *out,
                          uint64_t *number, struct errmsg *msg)
{
    if (registry->list_stale || registry->list.size == 0) {
        const enum err e = sign_list(registry, now_s, msg);
        if (e != ERR_OK)
            return e;
    }
    *out = buf_slice(&registry->list);
    *number = registry->list_number;
    return ERR_OK;
}

uint64_t registry_list_number(const struct registry *registry)
{
    /* one that is stale gets the next number when it is asked for */
    return registry->list_number + (registry->list_stale ? 1 : 0);
}

/* --- what has changed --- */

struct asked {
    const struct registry *registry;
    uint64_t since;
};

static bool differs(void *user, const struct member *member)
{
    const struct asked *asked = user;
    const struct registry_cell *cell = registry_cell_find(asked->registry, &member->id);
    return !cell || cell->listed_number > asked->since;
}

static enum err make_changes(struct registry *registry, uint64_t since, struct buf *out,
                             struct errmsg *msg)
{
    struct asked asked = {registry, since};
    struct member_list *list;
    enum err e = member_list_open(buf_slice(&registry->list), registry->options.swarm, &list, msg);
    if (e != ERR_OK)
        return e;
    *out = BUF_INIT(LIMIT_MEMBER_LIST_BYTES);
    e = member_changes_make(list, since, differs, &asked, NULL, 0, out);
    member_list_free(list);
    return e == ERR_OK ? e : err_say(msg, e, "what has changed in the member list cannot be told");
}

enum err registry_changes(struct registry *registry, uint64_t since, int64_t now_s,
                          struct slice *out, struct errmsg *msg)
{
    uint64_t number;
    enum err e = registry_members(registry, now_s, out, &number, msg);
    if (e != ERR_OK || since < registry->changes_from || since >= number)
        return e;
    for (size_t i = 0; i < REGISTRY_CHANGES; i++)
        if (registry->changes[i].since == since && registry->changes[i].bytes.size) {
            *out = buf_slice(&registry->changes[i].bytes);
            return ERR_OK;
        }
    struct registry_changes *made = &registry->changes[registry->changes_next++ % REGISTRY_CHANGES];
    buf_free(&made->bytes);
    *made = (struct registry_changes){.since = since};
    e = make_changes(registry, since, &made->bytes, msg);
    if (e != ERR_OK)
        buf_free(&made->bytes);
    else if (made->bytes.size < registry->list.size)
        *out = buf_slice(&made->bytes);
    return e;
}

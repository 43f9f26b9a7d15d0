/*
 * What the scrub has put into quarantine is told to the coordinator, which has it made anew
 * somewhere: after a heartbeat that went well, and again until it has arrived.
 */
#include "cell_internal.h"

#include "wire/wire_repair.h"

#include <stdlib.h>

static void message_done(void *user, enum err e, unsigned status, struct slice body,
                         const struct errmsg *msg)
{
    struct cell *cell = user;
    struct cell_damage *d = &cell->damage;
    (void)body;
    d->message = NULL;
    d->busy = false;
    if (e == ERR_OK && status == 200)
        d->told = d->listed;
    else {
        d->news = true;
        if (e == ERR_OK || err_class(e) != ERR_CLASS_RETRYABLE)
            log_say(cell->options.log, LOG_WARN, "damage cannot be told: status %u %s", status,
                    msg->text);
    }
    cell_work_ended(cell);
}

struct listing {
    struct wire_damaged shards[WIRE_DAMAGED];
    size_t count;
};

static enum err collect(void *user, const struct store_shard *shard)
{
    struct listing *listing = user;
    listing->shards[listing->count++] =
        (struct wire_damaged){.segment = shard->segment, .index = (uint8_t)shard->index};
    return ERR_OK;
}

static void run_list(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, damage.job);
    struct cell_damage *d = &cell->damage;
    struct errmsg msg;
    struct listing *listing = calloc(1, sizeof(*listing));
    d->result = listing ? ERR_OK : ERR_NOMEM;
    buf_clear(&d->body);
    if (d->result == ERR_OK)
        d->result = store_damaged(cell->options.store, WIRE_DAMAGED, collect, listing, &msg);
    if (d->result == ERR_OK)
        d->result = wire_damage_encode(listing->shards, listing->count, &d->body);
    d->listed = listing ? listing->count : 0;
    free(listing);
}

static void list_done(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, damage.job);
    struct cell_damage *d = &cell->damage;
    struct net_request request = {
        .method = NET_POST,
        .path = wire_path_plain(WIRE_DAMAGE),
        .net_class = NET_OTHER,
        .body = &d->body_slice,
        .body_count = 1,
    };
    struct errmsg msg;
    d->body_slice = buf_slice(&d->body);
    if (d->result == ERR_OK && d->listed == 0) {
        d->told = 0;
    } else if (d->result == ERR_OK && !cell->stopping) {
        cell_coordinator(cell, &d->coordinator_addresses, d->addresses, &request.target);
        if (net_message_start(cell->options.net, &request, LIMIT_MESSAGE_BYTES, message_done, cell,
                              &d->message, &msg) == ERR_OK)
            return;
        d->message = NULL;
        d->news = true;
    } else {
        d->news = true;
    }
    d->busy = false;
    cell_work_ended(cell);
}

void cell_damage_tell(struct cell *cell)
{
    struct cell_damage *d = &cell->damage;
    if (d->busy || cell->stopping || (!d->news && d->told == cell->usage.damaged_count) ||
        (d->told == 0 && cell->usage.damaged_count == 0))
        return;
    d->busy = true;
    d->news = false;
    d->job = (struct work_job){.run = run_list, .done = list_done};
    cell_work_began(cell);
    work_submit(cell->options.work, cell->options.lane, &d->job);
}

void cell_damage_stop(struct cell *cell)
{
    if (cell->damage.message)
        net_message_cancel(cell->damage.message);
}

#include "swarm/swarm_ticket.h"

#include "identity/signed_record.h"

#include <stdlib.h>

/* The header is the one that the ticket's segment is named by; the record is some device's of the
   ticket's account: whether it may speak for the account is for the owner to say. */
static enum err take_header(struct swarm_showing *showing, const struct wire_segment *segment)
{
    struct segment_header header;
    struct signed_record record;
    struct id id;
    segment_header_id(segment->header, &id);
    if (!id_equal(&id, &showing->ticket->segment))
        return ERR_PEER;
    enum err e = segment_header_decode(segment->header, &header, NULL);
    if (e == ERR_OK)
        e = signed_record_open(segment->record, &showing->swarm->root, NULL, &record, NULL);
    if (e != ERR_OK)
        return e;
    if (!id_equal(&record.segment, &id) || !id_equal(&record.account, &header.account) ||
        record.slot != header.device_slot)
        return ERR_PEER;
    if (showing->has_header)
        return ERR_OK;
    e = buf_append(&showing->header_bytes, segment->header.data, segment->header.size);
    if (e == ERR_OK)
        e = buf_append(&showing->record, segment->record.data, segment->record.size);
    if (e != ERR_OK) {
        buf_clear(&showing->header_bytes);
        buf_clear(&showing->record);
        return e;
    }
    showing->header = header;
    showing->has_header = true;
    return ERR_OK;
}

static bool is_among(uint8_t index, const uint8_t *indexes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (indexes[i] == index)
            return true;
    return false;
}

static void judge(struct swarm_source *source, const struct wire_segment *segment)
{
    if (is_among(source->index, segment->held, segment->held_count)) {
        source->state = SWARM_SOURCE_HAS;
        return;
    }
    source->state = SWARM_SOURCE_LACKS;
    source->fault = is_among(source->index, segment->damaged, segment->damaged_count)
                        ? SWARM_FAULT_DAMAGED
                        : SWARM_FAULT_MISSING;
}

static void answered(void *user, enum err e, struct slice body, const struct errmsg *msg)
{
    struct swarm_source *source = user;
    struct swarm_showing *showing = source->showing;
    struct wire_segment segment;
    (void)msg;
    source->ask = NULL;
    source->state = SWARM_SOURCE_UNKNOWN;
    if (e == ERR_NOT_FOUND) {
        source->state = SWARM_SOURCE_LACKS;
        source->fault = SWARM_FAULT_MISSING;
    }
    if (e == ERR_OK && wire_segment_decode(body, &segment) == ERR_OK &&
        take_header(showing, &segment) == ERR_OK)
        judge(source, &segment);
    showing->asking--;
    swarm_task_wake(showing->task);
}

static enum err ask(struct swarm_showing *showing, struct swarm_source *source, struct errmsg *msg)
{
    struct buf body = BUF_INIT(TICKET_BYTES_MAX);
    source->state = SWARM_SOURCE_UNKNOWN;
    enum err e = buf_append(&body, showing->document.data, showing->document.size);
    if (e == ERR_OK)
        e = swarm_ask_start(showing->swarm, source->peer, NET_POST, wire_path_plain(WIRE_REPAIR),
                            &body, WIRE_SEGMENT_REPLY_BYTES, answered, source, &source->ask, msg);
    if (e != ERR_OK) {
        buf_free(&body);
        return e;
    }
    source->state = SWARM_SOURCE_ASKED;
    showing->asking++;
    return ERR_OK;
}

/* One that cannot be asked is as one that does not answer. */
enum err swarm_show_start(struct swarm_showing *showing, struct errmsg *msg)
{
    const struct ticket *ticket = showing->ticket;
    showing->sources = calloc(ticket->source_count + 1, sizeof(*showing->sources));
    showing->header_bytes = BUF_INIT(SEGMENT_HEADER_SIZE_MAX);
    showing->record = BUF_INIT(SIGNED_RECORD_BYTES_MAX);
    if (!showing->sources)
        return err_say(msg, ERR_NOMEM, "out of memory for a ticket's sources");
    for (size_t i = 0; i < ticket->source_count; i++) {
        struct swarm_source *source = &showing->sources[i];
        *source =
            (struct swarm_source){.showing = showing,
                                  .index = ticket->sources[i].index,
                                  .state = SWARM_SOURCE_UNKNOWN,
                                  .peer = swarm_peer_get(showing->swarm, &ticket->sources[i].cell)};
        showing->source_count++;
        if (source->peer)
            err_ignore(ask(showing, source, msg));
    }
    return ERR_OK;
}

void swarm_show_cancel(struct swarm_showing *showing)
{
    for (size_t i = 0; i < showing->source_count; i++)
        if (showing->sources[i].ask)
            swarm_ask_cancel(showing->sources[i].ask);
}

void swarm_show_clear(struct swarm_showing *showing)
{
    free(showing->sources);
    buf_free(&showing->header_bytes);
    buf_free(&showing->record);
}

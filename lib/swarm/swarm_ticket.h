/*
 * Of this room only. Showing a ticket to the cells that it names as sources, and what they say of
 * the segment.
 */
#pragma once

#include "identity/ticket.h"
#include "segment/segment_header.h"
#include "swarm/swarm_ask.h"
#include "swarm/swarm_gather.h"
#include "swarm/swarm_internal.h"
#include "wire/wire_shard.h"

enum swarm_source_state {
    SWARM_SOURCE_ASKED = 1,
    SWARM_SOURCE_HAS,     /* it says that it has the shard, and lets us read it */
    SWARM_SOURCE_LACKS,   /* it says that it has not, or a damaged one */
    SWARM_SOURCE_UNKNOWN, /* no answer, or none that counts */
};

struct swarm_source {
    struct swarm_showing *showing;
    struct swarm_peer *peer;
    struct swarm_ask *ask; /* under way; NULL: none */
    uint8_t index;
    enum swarm_source_state state;
    enum swarm_fault_kind fault; /* LACKS */
};

struct swarm_showing {
    /* given */
    struct swarm *swarm;
    const struct ticket *ticket; /* borrowed */
    struct slice document;       /* borrowed */
    struct swarm_task *task;     /* woken at each answer */
    /* read-only */
    struct swarm_source *sources; /* owned */
    size_t source_count, asking;
    bool has_header; /* the fields below are filled in, and belong to the ticket's segment */
    struct segment_header header;
    struct buf header_bytes, record; /* owned */
};

/* The given fields are set, all others zero. After an error nothing is under way. */
MUST_CHECK enum err swarm_show_start(struct swarm_showing *showing, struct errmsg *msg);
void swarm_show_cancel(struct swarm_showing *showing); /* answers still come */
void swarm_show_clear(struct swarm_showing *showing);  /* nothing may be asked any more */

/*
 * From committed segments to the head:
 *
 *     index objects (of what this run and killed ones committed), snapshots, documents ─▶ flush
 *     ─▶ catalogue (made anew from the index, and these) ─▶ flush ─▶ heads of the others (sync)
 *     ─▶ head: into the index, to the swarm
 *
 * The head is in our index before it is sent: were it the other way round, a kill between the two
 * would make the next run sign another head under the same sequence. It names the newest heads that
 * were seen of other devices, which acknowledges their condemned lists; so they are looked at right
 * before, and with `references` a list that came since the run began stops it (ERR_STALE: what the
 * run refers to may be condemned; the same run again stores it anew).
 */
#pragma once

#include "snapshot/snapshot.h"
#include "transfer/transfer_chunks.h"

struct heads_publish;

/* Something that the catalogue lists: a snapshot or a document about removal. */
struct heads_publish_item {
    uint8_t type;     /* segment/'s: snapshot, tombstone, condemned list, lift */
    int64_t time_ns;  /* of a snapshot */
    struct buf bytes; /* owned by the publish */
    struct id id;     /* out: its chunk */
    /* of a document: what it names (owned), for index_record_add() */
    struct id *named;
    size_t named_count;
    struct id hash;
    int64_t time_s;
};

struct heads_publish_options {
    struct vault *vault;
    struct transfer_writer *writer;
    unsigned losses; /* m: the head must rest in m + 1 failure domains */
    bool references; /* its snapshots refer to chunks that were known when the run began */
    /* On the lane, first: adds the items with heads_publish_add(). May be NULL. */
    enum err (*prepare)(void *user, struct heads_publish *publish, struct errmsg *msg);
    /* On the lane, in the transaction with the head. May be NULL. */
    enum err (*store)(void *user, struct heads_publish *publish, struct errmsg *msg);
    void (*done)(void *done_user, enum err e, const struct errmsg *msg);
    void *user;
    void *done_user;
};

MUST_CHECK enum err heads_publish_new(const struct heads_publish_options *options,
                                      struct heads_publish **out, struct errmsg *msg);
/* Not between start and done. NULL does nothing. */
void heads_publish_free(struct heads_publish *publish);

/* While the run commits segments: from the writer's `committed`. What was not noted is found in the
   index, so this only saves reading it again. */
MUST_CHECK enum err heads_publish_note(struct heads_publish *publish,
                                       const struct transfer_writer_committed *segment);

/* The writer is idle. `done` follows, not from inside this call. */
void heads_publish_start(struct heads_publish *publish);
/* Nothing more is done, and `done` gets this error: for an interrupt, and for the writer's `failed`
   (which alone does not end what waits for the writer's lane). */
void heads_publish_stop(struct heads_publish *publish, enum err e, const struct errmsg *msg);

/* After done(ERR_STALE): was it for a condemned list of another device? */
bool heads_publish_overtaken(const struct heads_publish *publish);

/* --- for prepare() and store() --- */

/* Moves `bytes` in. The item is good until heads_publish_free(), and its `id` from here on. */
MUST_CHECK enum err heads_publish_add(struct heads_publish *publish, uint8_t type,
                                      struct buf *bytes, struct heads_publish_item **out);
size_t heads_publish_count(const struct heads_publish *publish);
struct heads_publish_item *heads_publish_at(struct heads_publish *publish, size_t index);
int64_t heads_publish_time_ns(const struct heads_publish *publish);   /* one for all of it */
uint64_t heads_publish_sequence(const struct heads_publish *publish); /* store(): the head's */

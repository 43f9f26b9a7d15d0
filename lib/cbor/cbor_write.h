/*
 * Writer of deterministic CBOR (RFC 8949 section 4.2.1) into a struct buf; the counterpart of
 * cbor_read.h, which says what there is.
 *
 *     struct cbor_writer w = cbor_write_into(&buf);
 *     cbor_write_map(&w);
 *     cbor_write_key(&w, 1), cbor_write_id(&w, &in->account);
 *     cbor_write_key(&w, 2), cbor_write_u64(&w, in->serial);
 *     cbor_write_key(&w, 4), cbor_write_array(&w);
 *     for (size_t i = 0; i < in->count; i++)
 *         cbor_write_text(&w, in->addresses[i]);
 *     cbor_write_end(&w);
 *     cbor_write_end(&w);
 *     return cbor_write_finish(&w);
 *
 * Counts are filled in at the end of each container. The first error of the buffer (ERR_NOMEM,
 * ERR_TOO_LARGE) sticks and comes out of cbor_write_finish(). Keys out of order, a key without a
 * value, an open container at the end and text that is not UTF-8 are our own mistakes: they assert.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"

/* Private. */
struct cbor_writer {
    struct buf *out; /* borrowed */
    enum err e;
    unsigned depth;
    struct cbor_write_level {
        size_t at;  /* where the container's head stands in `out` */
        size_t key; /* where its newest key stands (maps) */
        size_t key_size;
        uint64_t count; /* items in it; in a map: keys and values */
        bool map;
    } levels[LIMIT_CBOR_DEPTH];
};

/* Appends to what is in `out`. */
struct cbor_writer cbor_write_into(struct buf *out);

void cbor_write_map(struct cbor_writer *w);
void cbor_write_array(struct cbor_writer *w);
void cbor_write_end(struct cbor_writer *w);

/* Keys of a map: integers first, in ascending order; text by length, then bytewise. */
void cbor_write_key(struct cbor_writer *w, uint64_t key);
void cbor_write_key_text(struct cbor_writer *w, struct slice key);

void cbor_write_u64(struct cbor_writer *w, uint64_t value);
void cbor_write_i64(struct cbor_writer *w, int64_t value);
void cbor_write_bool(struct cbor_writer *w, bool value);
void cbor_write_null(struct cbor_writer *w);
void cbor_write_bytes(struct cbor_writer *w, struct slice bytes);
void cbor_write_id(struct cbor_writer *w, const struct id *id);
void cbor_write_text(struct cbor_writer *w, struct slice text);
void cbor_write_string(struct cbor_writer *w, const char *text);

/* One item that is encoded already, as cbor_read_any() gave it; borrowed for the call. */
void cbor_write_any(struct cbor_writer *w, struct slice item);

MUST_CHECK enum err cbor_write_finish(struct cbor_writer *w);

/*
 * Of this room only: fields that many messages have. Documents and other opaque bytes are byte
 * strings; one that may be missing is left out, and is an empty slice in the struct.
 */
#pragma once

#include "cbor/cbor_read.h"
#include "cbor/cbor_write.h"

static inline void wire_put_number(struct cbor_writer *w, uint64_t key, uint64_t value)
{
    cbor_write_key(w, key);
    cbor_write_u64(w, value);
}

static inline void wire_put_time(struct cbor_writer *w, uint64_t key, int64_t value)
{
    cbor_write_key(w, key);
    cbor_write_i64(w, value);
}

static inline void wire_put_bytes(struct cbor_writer *w, uint64_t key, struct slice bytes)
{
    cbor_write_key(w, key);
    cbor_write_bytes(w, bytes);
}

static inline void wire_put_optional(struct cbor_writer *w, uint64_t key, struct slice bytes)
{
    if (bytes.size > 0)
        wire_put_bytes(w, key, bytes);
}

static inline uint64_t wire_take_number(struct cbor_reader *r, uint64_t key)
{
    cbor_read_key(r, key);
    return cbor_read_u64(r, UINT64_MAX);
}

static inline uint32_t wire_take_u32(struct cbor_reader *r, uint64_t key, uint32_t value_max)
{
    cbor_read_key(r, key);
    return cbor_read_u32(r, value_max);
}

static inline int64_t wire_take_time(struct cbor_reader *r, uint64_t key)
{
    cbor_read_key(r, key);
    return cbor_read_i64(r);
}

/* The next item: bytes, and not none. */
static inline struct slice wire_some_bytes(struct cbor_reader *r, size_t size_max)
{
    const struct slice bytes = cbor_read_bytes(r, size_max);
    if (r->e == ERR_OK && bytes.size == 0)
        cbor_read_refuse(r, ERR_FORMAT);
    return bytes;
}

/* The next item as one of a list of documents, for a wire_item_fn. */
static inline void wire_some_document(struct cbor_reader *r, size_t size_max, void *out)
{
    const struct slice document = wire_some_bytes(r, size_max);
    if (out)
        *(struct slice *)out = document;
}

static inline void wire_put_documents(struct cbor_writer *w, uint64_t key,
                                      const struct slice *documents, size_t count)
{
    cbor_write_key(w, key);
    cbor_write_array(w);
    for (size_t i = 0; i < count; i++)
        cbor_write_bytes(w, documents[i]);
    cbor_write_end(w);
}

/* Must be there and not be empty. */
static inline struct slice wire_take_bytes(struct cbor_reader *r, uint64_t key, size_t size_max)
{
    cbor_read_key(r, key);
    return wire_some_bytes(r, size_max);
}

/* When it is there it must not be empty: one encoding for "none". */
static inline struct slice wire_take_optional(struct cbor_reader *r, uint64_t key, size_t size_max)
{
    if (!cbor_read_key_optional(r, key))
        return slice_of(NULL, 0);
    return wire_some_bytes(r, size_max);
}

/* Left out when false, so "true" is the only value that may stand there. */
static inline void wire_put_flag(struct cbor_writer *w, uint64_t key, bool value)
{
    if (value) {
        cbor_write_key(w, key);
        cbor_write_bool(w, true);
    }
}

static inline bool wire_take_flag(struct cbor_reader *r, uint64_t key)
{
    if (!cbor_read_key_optional(r, key))
        return false;
    const bool value = cbor_read_bool(r);
    if (r->e == ERR_OK && !value)
        cbor_read_refuse(r, ERR_FORMAT);
    return value;
}

/* A message that is a map of one number, at key 0. */
static inline enum err wire_put_lone(uint64_t value, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_number(&w, 0, value);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

/* `what` is the message's name in the reader's refusals. */
static inline enum err wire_take_lone(struct slice in, uint32_t value_max, const char *what,
                                      uint32_t *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    *out = wire_take_u32(&r, 0, value_max);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, what);
}

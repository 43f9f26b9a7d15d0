/*
 * Reader of deterministic CBOR (RFC 8949 section 4.2.1), strict and without allocation.
 *
 * Accepted: unsigned and negative integers, byte and text strings, arrays, maps (keys: unsigned
 * integers or text), false, true, null. Refused with ERR_FORMAT: floats, tags, other simple values,
 * indefinite lengths, integers that are not of the shortest form, keys twice or out of order, text
 * that is not UTF-8, nesting deeper than LIMIT_CBOR_DEPTH, fields that nobody asked for, bytes left
 * over. So for each value there is exactly one accepted encoding.
 *
 * A decoder reads like its list of fields. The first error sticks: from then on every function
 * returns zeros, so that one check at the end is enough, and loops over counts end at once.
 *
 *     struct cbor_reader r = cbor_read_over(bytes);
 *     cbor_read_map(&r);
 *     cbor_read_key(&r, 1), cbor_read_id(&r, &out->account);
 *     cbor_read_key(&r, 2), out->serial = cbor_read_u64(&r, UINT64_MAX);
 *     if (cbor_read_key_optional(&r, 3))
 *         out->name = cbor_read_text(&r, LIMIT_NAME_BYTES);
 *     cbor_read_key(&r, 4);
 *     out->count = cbor_read_array(&r, LIMIT_ADDRESSES);
 *     for (size_t i = 0; i < out->count; i++)
 *         out->addresses[i] = cbor_read_text(&r, LIMIT_ADDRESS_BYTES);
 *     cbor_read_end(&r);                                   // the array
 *     cbor_read_end(&r);                                   // the map
 *     return cbor_read_finish(&r, msg, "a certificate");
 *
 * Slices point into the bytes given. Values out of their bounds are ERR_TOO_LARGE (counts and
 * sizes) or ERR_FORMAT (numbers).
 */
#pragma once

#include "base/cursor.h"
#include "base/err.h"
#include "base/id.h"
#include "base/limits.h"

struct cbor_level {
    uint64_t left;    /* items not yet read; in a map: pairs whose key was not yet read */
    struct slice key; /* a map's newest key, encoded; empty before the first */
    bool map;
    bool value_next; /* a map's key was read, its value not */
};

/* Private but for `e`. */
struct cbor_reader {
    struct cursor c;
    enum err e;     /* the first error; read it, do not set it */
    unsigned depth; /* open containers */
    uint64_t field; /* the newest integer key, for the sentence */
    struct cbor_level levels[LIMIT_CBOR_DEPTH];
};

struct cbor_reader cbor_read_over(struct slice bytes);

/* Opens a map. Its fields are then asked for in ascending order of their keys. */
void cbor_read_map(struct cbor_reader *r);

/* The next key must be `key`. */
void cbor_read_key(struct cbor_reader *r, uint64_t key);

/* Is the next key `key`? If so it is read and the value is next; else nothing is read. */
MUST_CHECK bool cbor_read_key_optional(struct cbor_reader *r, uint64_t key);

/* The next key of a map with text keys; false at the map's end (or after an error). */
MUST_CHECK bool cbor_read_key_text(struct cbor_reader *r, struct slice *out);

/* Opens an array; its count, 0 after an error. */
MUST_CHECK size_t cbor_read_array(struct cbor_reader *r, size_t count_max);

/* Closes the innermost map or array, all of which must have been read. */
void cbor_read_end(struct cbor_reader *r);

MUST_CHECK uint64_t cbor_read_u64(struct cbor_reader *r, uint64_t value_max);
MUST_CHECK uint32_t cbor_read_u32(struct cbor_reader *r, uint32_t value_max);
MUST_CHECK int64_t cbor_read_i64(struct cbor_reader *r);
MUST_CHECK bool cbor_read_bool(struct cbor_reader *r);

/* Is the next item null? If so it is read. */
MUST_CHECK bool cbor_read_null(struct cbor_reader *r);

/* A byte string of at most `size_max` bytes; of exactly `size` bytes, copied. */
MUST_CHECK struct slice cbor_read_bytes(struct cbor_reader *r, size_t size_max);
void cbor_read_fixed(struct cbor_reader *r, void *out, size_t size);
void cbor_read_id(struct cbor_reader *r, struct id *out);

/* UTF-8 of at most `size_max` bytes; may hold NULs. */
MUST_CHECK struct slice cbor_read_text(struct cbor_reader *r, size_t size_max);

/* The same, copied with a NUL behind it; a NUL inside is ERR_FORMAT. `out` holds `out_size` bytes.
 */
void cbor_read_string(struct cbor_reader *r, char *out, size_t out_size);

/* The next item whatever it is, checked to be canonical; its encoded bytes. */
MUST_CHECK struct slice cbor_read_any(struct cbor_reader *r);

/* The decoder's own complaint (a value that makes no sense); the first error wins. */
void cbor_read_refuse(struct cbor_reader *r, enum err e);

/* Everything must have been read. The sentence says what `what` ("a certificate") is wrong about.
 */
MUST_CHECK enum err cbor_read_finish(struct cbor_reader *r, struct errmsg *msg, const char *what);

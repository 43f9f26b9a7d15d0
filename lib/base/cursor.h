/*
 * The bounds-checked reader: the only way in which bytes from a disk or a peer are taken apart.
 *
 * A read past the end fails with ERR_FORMAT and leaves the cursor where it was. Slices point into
 * the bytes given to cursor_over() and live as long as they do.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct cursor {
    const uint8_t *data; /* borrowed */
    size_t size;
    size_t at; /* next byte to read, <= size */
};

static inline struct cursor cursor_over(struct slice bytes)
{
    return (struct cursor){.data = bytes.data, .size = bytes.size};
}

static inline size_t cursor_left(const struct cursor *c)
{
    return c->size - c->at;
}

MUST_CHECK enum err cursor_take(struct cursor *c, size_t size, struct slice *out);
MUST_CHECK enum err cursor_copy(struct cursor *c, void *out, size_t size);
MUST_CHECK enum err cursor_skip(struct cursor *c, size_t size);
MUST_CHECK enum err cursor_u8(struct cursor *c, uint8_t *out);
MUST_CHECK enum err cursor_le16(struct cursor *c, uint16_t *out);
MUST_CHECK enum err cursor_le32(struct cursor *c, uint32_t *out);
MUST_CHECK enum err cursor_le64(struct cursor *c, uint64_t *out);

/* ERR_FORMAT when bytes are left over. */
MUST_CHECK enum err cursor_end(const struct cursor *c);

/*
 * A growing byte buffer with a limit; the only way in which the house builds byte strings.
 *
 *     struct buf b = BUF_INIT(LIMIT_MESSAGE_BYTES);
 *     if ((e = buf_append(&b, data, size)) != ERR_OK) ...
 *     buf_free(&b);
 *
 * Growth doubles, so n appends cost O(n). Errors: ERR_NOMEM; ERR_TOO_LARGE when `size_max` would be
 * passed (the buffer is then unchanged).
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct buf {
    uint8_t *data;   /* owned */
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
    size_t size_max; /* the limit */
};

#define BUF_INIT(limit_bytes) ((struct buf){.size_max = (limit_bytes)})

void buf_free(struct buf *b); /* leaves an empty buffer with the same limit */
/* Gives back what was reserved and is not used, before the buffer is kept for long. */
void buf_trim(struct buf *b);

/* Room for `more` bytes behind `size` without another allocation. */
MUST_CHECK enum err buf_reserve(struct buf *b, size_t more);

MUST_CHECK enum err buf_append(struct buf *b, const void *data, size_t size);
MUST_CHECK enum err buf_append_zeros(struct buf *b, size_t size);
MUST_CHECK enum err buf_append_u8(struct buf *b, uint8_t value);
MUST_CHECK enum err buf_append_le16(struct buf *b, uint16_t value);
MUST_CHECK enum err buf_append_le32(struct buf *b, uint32_t value);
MUST_CHECK enum err buf_append_le64(struct buf *b, uint64_t value);
MUST_CHECK enum err buf_append_text(struct buf *b, const char *text);
MUST_CHECK enum err buf_append_format(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);

/* Forgets the contents, keeps the memory. */
static inline void buf_clear(struct buf *b)
{
    b->size = 0;
}

static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->data, b->size);
}

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

enum { BUF_FIRST_BYTES = 64 };

void buf_free(struct buf *b)
{
    free(b->data);
    *b = BUF_INIT(b->size_max);
}

enum err buf_reserve(struct buf *b, size_t more)
{
    if (more > b->size_max || b->size > b->size_max - more)
        return ERR_TOO_LARGE;
    size_t needed = b->size + more;
    if (needed <= b->capacity)
        return ERR_OK;
    size_t capacity = b->capacity ? b->capacity : BUF_FIRST_BYTES;
    while (capacity < needed)
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    if (capacity > b->size_max)
        capacity = b->size_max;
    uint8_t *data = realloc(b->data, capacity);
    if (!data)
        return ERR_NOMEM;
    b->data = data;
    b->capacity = capacity;
    return ERR_OK;
}

void buf_trim(struct buf *b)
{
    uint8_t *data = b->size > 0 && b->size < b->capacity ? realloc(b->data, b->size) : NULL;
    if (!data)
        return;
    b->data = data;
    b->capacity = b->size;
}

enum err buf_append(struct buf *b, const void *data, size_t size)
{
    enum err e = buf_reserve(b, size);
    if (e != ERR_OK)
        return e;
    if (size > 0)
        memcpy(b->data + b->size, data, size);
    b->size += size;
    return ERR_OK;
}

enum err buf_append_zeros(struct buf *b, size_t size)
{
    enum err e = buf_reserve(b, size);
    if (e != ERR_OK)
        return e;
    if (size > 0)
        memset(b->data + b->size, 0, size);
    b->size += size;
    return ERR_OK;
}

enum err buf_append_u8(struct buf *b, uint8_t value)
{
    return buf_append(b, &value, 1);
}

enum err buf_append_le16(struct buf *b, uint16_t value)
{
    uint8_t raw[2];
    put_le16(raw, value);
    return buf_append(b, raw, sizeof(raw));
}

enum err buf_append_le32(struct buf *b, uint32_t value)
{
    uint8_t raw[4];
    put_le32(raw, value);
    return buf_append(b, raw, sizeof(raw));
}

enum err buf_append_le64(struct buf *b, uint64_t value)
{
    uint8_t raw[8];
    put_le64(raw, value);
    return buf_append(b, raw, sizeof(raw));
}

enum err buf_append_text(struct buf *b, const char *text)
{
    return buf_append(b, text, strlen(text));
}

enum err buf_append_format(struct buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    enum err e = size < 0 ? ERR_USAGE : buf_reserve(b, (size_t)size + 1);
    if (e == ERR_OK) {
        (void)vsnprintf((char *)b->data + b->size, (size_t)size + 1, format, again);
        b->size += (size_t)size;
    }
    va_end(again);
    return e;
}

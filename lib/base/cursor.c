#include "base/cursor.h"

enum err cursor_take(struct cursor *c, size_t size, struct slice *out)
{
    if (size > cursor_left(c))
        return ERR_FORMAT;
    *out = slice_of(size ? c->data + c->at : NULL, size);
    c->at += size;
    return ERR_OK;
}

enum err cursor_copy(struct cursor *c, void *out, size_t size)
{
    struct slice s;
    enum err e = cursor_take(c, size, &s);
    if (e == ERR_OK && size > 0)
        memcpy(out, s.data, size);
    return e;
}

enum err cursor_skip(struct cursor *c, size_t size)
{
    struct slice s;
    return cursor_take(c, size, &s);
}

enum err cursor_u8(struct cursor *c, uint8_t *out)
{
    return cursor_copy(c, out, 1);
}

enum err cursor_le16(struct cursor *c, uint16_t *out)
{
    struct slice s;
    enum err e = cursor_take(c, 2, &s);
    if (e == ERR_OK)
        *out = get_le16(s.data);
    return e;
}

enum err cursor_le32(struct cursor *c, uint32_t *out)
{
    struct slice s;
    enum err e = cursor_take(c, 4, &s);
    if (e == ERR_OK)
        *out = get_le32(s.data);
    return e;
}

enum err cursor_le64(struct cursor *c, uint64_t *out)
{
    struct slice s;
    enum err e = cursor_take(c, 8, &s);
    if (e == ERR_OK)
        *out = get_le64(s.data);
    return e;
}

enum err cursor_end(const struct cursor *c)
{
    return cursor_left(c) == 0 ? ERR_OK : ERR_FORMAT;
}

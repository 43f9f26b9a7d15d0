#include "cbor/cbor_write.h"
#include "cbor/cbor_utf8.h"

#include <assert.h>

enum major { UNSIGNED = 0, NEGATIVE = 1, BYTES = 2, TEXT = 3, ARRAY = 4, MAP = 5, SIMPLE = 7 };
enum { HEAD_SIZE_MAX = 9 };

struct cbor_writer cbor_write_into(struct buf *out)
{
    return (struct cbor_writer){.out = out};
}

/* The shortest head; its size. */
static size_t make_head(enum major major, uint64_t value, uint8_t out[HEAD_SIZE_MAX])
{
    unsigned more = value < 24            ? 0
                    : value <= UINT8_MAX  ? 1
                    : value <= UINT16_MAX ? 2
                    : value <= UINT32_MAX ? 4
                                          : 8;
    unsigned info = more == 0   ? (unsigned)value
                    : more == 1 ? 24
                    : more == 2 ? 25
                    : more == 4 ? 26
                                : 27;
    out[0] = (uint8_t)((unsigned)major << 5 | info);
    for (unsigned i = 0; i < more; i++)
        out[1 + i] = (uint8_t)(value >> (8 * (more - 1 - i)));
    return 1 + more;
}

static void append(struct cbor_writer *w, const void *data, size_t size)
{
    if (w->e == ERR_OK)
        w->e = buf_append(w->out, data, size);
}

static void append_head(struct cbor_writer *w, enum major major, uint64_t value)
{
    uint8_t head[HEAD_SIZE_MAX];
    size_t size = make_head(major, value, head);
    append(w, head, size);
}

/* Counts one item in the container that it stands in. */
static void begin_item(struct cbor_writer *w)
{
    if (w->depth == 0)
        return;
    struct cbor_write_level *level = &w->levels[w->depth - 1];
    assert(!level->map || level->count % 2 == 1); /* a key before each value */
    level->count++;
}

static void open_level(struct cbor_writer *w, bool map)
{
    begin_item(w);
    assert(w->depth < LIMIT_CBOR_DEPTH);
    w->levels[w->depth++] = (struct cbor_write_level){.at = w->out->size, .map = map};
    append_head(w, map ? MAP : ARRAY, 0);
}

void cbor_write_map(struct cbor_writer *w)
{
    open_level(w, true);
}

void cbor_write_array(struct cbor_writer *w)
{
    open_level(w, false);
}

void cbor_write_end(struct cbor_writer *w)
{
    assert(w->depth > 0);
    struct cbor_write_level *level = &w->levels[--w->depth];
    assert(!level->map || level->count % 2 == 0);
    uint8_t head[HEAD_SIZE_MAX];
    size_t size =
        make_head(level->map ? MAP : ARRAY, level->map ? level->count / 2 : level->count, head);
    size_t body = w->out->size - level->at - 1;
    if (w->e == ERR_OK && size > 1)
        w->e = buf_append_zeros(w->out, size - 1);
    if (w->e != ERR_OK)
        return;
    uint8_t *at = w->out->data + level->at;
    if (size > 1)
        memmove(at + size, at + 1, body);
    memcpy(at, head, size);
}

/* Asserts that the key written at `at` comes after the one before. */
static void check_order(struct cbor_writer *w, size_t at)
{
    if (w->e != ERR_OK)
        return;
    struct cbor_write_level *level = &w->levels[w->depth - 1];
    size_t size = w->out->size - at;
    if (level->key_size != 0) {
        size_t least = size < level->key_size ? size : level->key_size;
        int order = memcmp(w->out->data + at, w->out->data + level->key, least);
        assert(order > 0 || (order == 0 && size > level->key_size));
        (void)order;
    }
    level->key = at;
    level->key_size = size;
}

static void begin_key(struct cbor_writer *w)
{
    assert(w->depth > 0 && w->levels[w->depth - 1].map);
    assert(w->levels[w->depth - 1].count % 2 == 0);
    w->levels[w->depth - 1].count++;
}

void cbor_write_key(struct cbor_writer *w, uint64_t key)
{
    size_t at = w->out->size;
    begin_key(w);
    append_head(w, UNSIGNED, key);
    check_order(w, at);
}

void cbor_write_key_text(struct cbor_writer *w, struct slice key)
{
    size_t at = w->out->size;
    begin_key(w);
    assert(cbor_utf8_valid(key));
    append_head(w, TEXT, key.size);
    append(w, key.data, key.size);
    check_order(w, at);
}

void cbor_write_u64(struct cbor_writer *w, uint64_t value)
{
    begin_item(w);
    append_head(w, UNSIGNED, value);
}

void cbor_write_i64(struct cbor_writer *w, int64_t value)
{
    begin_item(w);
    if (value >= 0)
        append_head(w, UNSIGNED, (uint64_t)value);
    else
        append_head(w, NEGATIVE, (uint64_t)(-1 - value));
}

void cbor_write_bool(struct cbor_writer *w, bool value)
{
    begin_item(w);
    append_head(w, SIMPLE, value ? 21 : 20);
}

void cbor_write_null(struct cbor_writer *w)
{
    begin_item(w);
    append_head(w, SIMPLE, 22);
}

void cbor_write_bytes(struct cbor_writer *w, struct slice bytes)
{
    begin_item(w);
    append_head(w, BYTES, bytes.size);
    append(w, bytes.data, bytes.size);
}

void cbor_write_id(struct cbor_writer *w, const struct id *id)
{
    cbor_write_bytes(w, slice_of(id->bytes, ID_SIZE));
}

void cbor_write_text(struct cbor_writer *w, struct slice text)
{
    assert(cbor_utf8_valid(text));
    begin_item(w);
    append_head(w, TEXT, text.size);
    append(w, text.data, text.size);
}

void cbor_write_string(struct cbor_writer *w, const char *text)
{
    cbor_write_text(w, slice_text(text));
}

void cbor_write_any(struct cbor_writer *w, struct slice item)
{
    begin_item(w);
    append(w, item.data, item.size);
}

enum err cbor_write_finish(struct cbor_writer *w)
{
    assert(w->depth == 0);
    return w->e;
}

#include "cbor/cbor_read.h"
#include "cbor/cbor_utf8.h"

#include <assert.h>

enum major { UNSIGNED = 0, NEGATIVE = 1, BYTES = 2, TEXT = 3, ARRAY = 4, MAP = 5, SIMPLE = 7 };
enum { SIMPLE_FALSE = 20, SIMPLE_TRUE = 21, SIMPLE_NULL = 22 };

struct head {
    enum major major;
    uint64_t value;
};

struct cbor_reader cbor_read_over(struct slice bytes)
{
    return (struct cbor_reader){.c = cursor_over(bytes)};
}

void cbor_read_refuse(struct cbor_reader *r, enum err e)
{
    if (r->e == ERR_OK)
        r->e = e;
}

/* An item's first byte and the number in or behind it, in the shortest form only. */
static bool take_head(struct cbor_reader *r, struct head *out)
{
    uint8_t first = 0;
    *out = (struct head){0};
    if (r->e != ERR_OK || cursor_u8(&r->c, &first) != ERR_OK)
        goto refused;
    unsigned info = first & 0x1f, size = 0;
    uint64_t value = info;
    if (info >= 24) {
        struct slice bytes;
        if (info > 27)
            goto refused; /* reserved, or of indefinite length */
        size = 1u << (info - 24);
        if (cursor_take(&r->c, size, &bytes) != ERR_OK)
            goto refused;
        value = 0;
        for (size_t i = 0; i < size; i++)
            value = value << 8 | bytes.data[i];
        /* each length begins where the next shorter one ends */
        if (value < (size == 1 ? 24u : UINT64_C(1) << (4 * size)))
            goto refused;
    }
    if (first >> 5 == 6)
        goto refused; /* a tag */
    if (first >> 5 == SIMPLE && (size != 0 || value < SIMPLE_FALSE || value > SIMPLE_NULL))
        goto refused;
    out->major = (enum major)(first >> 5);
    out->value = value;
    return true;
refused:
    cbor_read_refuse(r, ERR_FORMAT);
    return false;
}

/* Accounts for one item in the container that it stands in. */
static bool begin_item(struct cbor_reader *r)
{
    if (r->e != ERR_OK)
        return false;
    if (r->depth == 0)
        return true;
    struct cbor_level *level = &r->levels[r->depth - 1];
    if (level->map ? level->value_next : level->left > 0) {
        if (level->map)
            level->value_next = false;
        else
            level->left--;
        return true;
    }
    cbor_read_refuse(r, ERR_FORMAT);
    return false;
}

static bool take_item(struct cbor_reader *r, enum major major, uint64_t *value)
{
    struct head head;
    if (!begin_item(r) || !take_head(r, &head))
        return false;
    if (head.major != major) {
        cbor_read_refuse(r, ERR_FORMAT);
        return false;
    }
    *value = head.value;
    return true;
}

/* The next item's major type; nothing is read. */
static bool peek_major(const struct cbor_reader *r, enum major *out)
{
    if (r->e != ERR_OK || cursor_left(&r->c) == 0)
        return false;
    *out = (enum major)(r->c.data[r->c.at] >> 5);
    return true;
}

static void open_level(struct cbor_reader *r, uint64_t left, bool map)
{
    /* an item takes a byte at least, so a count beyond the bytes that are left is a lie */
    if (r->depth == LIMIT_CBOR_DEPTH || left > cursor_left(&r->c) / (map ? 2 : 1)) {
        cbor_read_refuse(r, ERR_FORMAT);
        return;
    }
    r->levels[r->depth++] = (struct cbor_level){.left = left, .map = map};
}

void cbor_read_map(struct cbor_reader *r)
{
    uint64_t count;
    if (take_item(r, MAP, &count))
        open_level(r, count, true);
}

size_t cbor_read_array(struct cbor_reader *r, size_t count_max)
{
    uint64_t count;
    if (!take_item(r, ARRAY, &count))
        return 0;
    if (count > count_max)
        cbor_read_refuse(r, ERR_TOO_LARGE);
    else
        open_level(r, count, false);
    return r->e == ERR_OK ? (size_t)count : 0;
}

void cbor_read_end(struct cbor_reader *r)
{
    if (r->e != ERR_OK)
        return;
    assert(r->depth > 0);
    struct cbor_level *level = &r->levels[r->depth - 1];
    if (level->left != 0 || level->value_next)
        cbor_read_refuse(r, ERR_FORMAT);
    else
        r->depth--;
}

static bool is_after(struct slice key, struct slice before)
{
    size_t size = key.size < before.size ? key.size : before.size;
    int order = size == 0 ? 0 : memcmp(key.data, before.data, size);
    return order != 0 ? order > 0 : key.size > before.size;
}

static struct slice take_string(struct cbor_reader *r, struct head head)
{
    struct slice out = {0};
    if (head.value > cursor_left(&r->c) || cursor_take(&r->c, (size_t)head.value, &out) != ERR_OK ||
        (head.major == TEXT && !cbor_utf8_valid(out))) {
        cbor_read_refuse(r, ERR_FORMAT);
        out = (struct slice){0};
    }
    return out;
}

/* The next key of the innermost map, of either kind, in its place in the order. */
static bool take_key(struct cbor_reader *r, struct head *head, struct slice *text)
{
    if (r->e != ERR_OK)
        return false;
    assert(r->depth > 0 && r->levels[r->depth - 1].map);
    struct cbor_level *level = &r->levels[r->depth - 1];
    size_t start = r->c.at;
    if (level->value_next || level->left == 0)
        goto refused;
    if (!take_head(r, head))
        return false;
    if (head->major != UNSIGNED && head->major != TEXT)
        goto refused;
    *text = head->major == TEXT ? take_string(r, *head) : (struct slice){0};
    if (r->e != ERR_OK)
        return false;
    struct slice key = slice_of(r->c.data + start, r->c.at - start);
    if (!is_after(key, level->key))
        goto refused;
    level->key = key;
    level->left--;
    level->value_next = true;
    if (head->major == UNSIGNED)
        r->field = head->value;
    return true;
refused:
    cbor_read_refuse(r, ERR_FORMAT);
    return false;
}

void cbor_read_key(struct cbor_reader *r, uint64_t key)
{
    struct head head;
    struct slice text;
    if (r->e == ERR_OK)
        r->field = key;
    if (take_key(r, &head, &text) && (head.major != UNSIGNED || head.value != key)) {
        r->field = key;
        cbor_read_refuse(r, ERR_FORMAT);
    }
}

bool cbor_read_key_optional(struct cbor_reader *r, uint64_t key)
{
    struct head head;
    struct slice text;
    if (r->e != ERR_OK)
        return false;
    assert(r->depth > 0);
    if (r->levels[r->depth - 1].left == 0)
        return false;
    struct cbor_level level = r->levels[r->depth - 1];
    size_t at = r->c.at;
    uint64_t field = r->field;
    if (!take_key(r, &head, &text))
        return false;
    if (head.major == UNSIGNED && head.value == key)
        return true;
    r->levels[r->depth - 1] = level;
    r->c.at = at;
    r->field = field;
    return false;
}

bool cbor_read_key_text(struct cbor_reader *r, struct slice *out)
{
    struct head head;
    *out = (struct slice){0};
    if (r->e != ERR_OK)
        return false;
    assert(r->depth > 0);
    if (r->levels[r->depth - 1].left == 0)
        return false;
    if (!take_key(r, &head, out))
        return false;
    if (head.major != TEXT)
        cbor_read_refuse(r, ERR_FORMAT);
    return r->e == ERR_OK;
}

uint64_t cbor_read_u64(struct cbor_reader *r, uint64_t value_max)
{
    uint64_t value;
    if (!take_item(r, UNSIGNED, &value))
        return 0;
    if (value <= value_max)
        return value;
    cbor_read_refuse(r, ERR_FORMAT);
    return 0;
}

uint32_t cbor_read_u32(struct cbor_reader *r, uint32_t value_max)
{
    return (uint32_t)cbor_read_u64(r, value_max);
}

int64_t cbor_read_i64(struct cbor_reader *r)
{
    enum major major;
    uint64_t value;
    if (!peek_major(r, &major) || major != NEGATIVE)
        return (int64_t)cbor_read_u64(r, INT64_MAX);
    if (!take_item(r, NEGATIVE, &value))
        return 0;
    if (value <= INT64_MAX)
        return -1 - (int64_t)value;
    cbor_read_refuse(r, ERR_FORMAT);
    return 0;
}

bool cbor_read_bool(struct cbor_reader *r)
{
    uint64_t value;
    if (!take_item(r, SIMPLE, &value))
        return false;
    if (value == SIMPLE_NULL)
        cbor_read_refuse(r, ERR_FORMAT);
    return value == SIMPLE_TRUE;
}

bool cbor_read_null(struct cbor_reader *r)
{
    uint64_t value;
    if (r->e != ERR_OK || cursor_left(&r->c) == 0 ||
        r->c.data[r->c.at] != (SIMPLE << 5 | SIMPLE_NULL))
        return false;
    return take_item(r, SIMPLE, &value);
}

static struct slice read_string(struct cbor_reader *r, enum major major, size_t size_max)
{
    struct head head = {.major = major};
    if (!take_item(r, major, &head.value))
        return (struct slice){0};
    if (head.value > size_max) {
        cbor_read_refuse(r, ERR_TOO_LARGE);
        return (struct slice){0};
    }
    return take_string(r, head);
}

struct slice cbor_read_bytes(struct cbor_reader *r, size_t size_max)
{
    return read_string(r, BYTES, size_max);
}

struct slice cbor_read_text(struct cbor_reader *r, size_t size_max)
{
    return read_string(r, TEXT, size_max);
}

void cbor_read_fixed(struct cbor_reader *r, void *out, size_t size)
{
    struct slice bytes = read_string(r, BYTES, size);
    if (bytes.size == size)
        memcpy(out, bytes.data, size);
    else {
        memset(out, 0, size);
        cbor_read_refuse(r, ERR_FORMAT);
    }
}

void cbor_read_id(struct cbor_reader *r, struct id *out)
{
    cbor_read_fixed(r, out->bytes, ID_SIZE);
}

void cbor_read_string(struct cbor_reader *r, char *out, size_t out_size)
{
    struct slice text = cbor_read_text(r, out_size - 1);
    if (text.size != 0 && memchr(text.data, 0, text.size) != NULL) {
        cbor_read_refuse(r, ERR_FORMAT);
        text.size = 0;
    }
    if (text.size != 0)
        memcpy(out, text.data, text.size);
    out[text.size] = 0;
}

/* Depth is bounded by open_level(). */
static void skip_item(struct cbor_reader *r)
{
    struct head head, key;
    struct slice text;
    if (!begin_item(r) || !take_head(r, &head))
        return;
    switch (head.major) {
    case UNSIGNED:
    case NEGATIVE:
    case SIMPLE:
        break;
    case BYTES:
    case TEXT:
        (void)take_string(r, head);
        break;
    case ARRAY:
        open_level(r, head.value, false);
        for (uint64_t i = 0; i < head.value && r->e == ERR_OK; i++)
            skip_item(r);
        cbor_read_end(r);
        break;
    case MAP:
        open_level(r, head.value, true);
        for (uint64_t i = 0; i < head.value && r->e == ERR_OK; i++)
            if (take_key(r, &key, &text))
                skip_item(r);
        cbor_read_end(r);
        break;
    }
}

struct slice cbor_read_any(struct cbor_reader *r)
{
    size_t start = r->c.at;
    uint64_t field = r->field;
    skip_item(r);
    if (r->e != ERR_OK)
        return (struct slice){0};
    r->field = field;
    return slice_of(r->c.data + start, r->c.at - start);
}

enum err cbor_read_finish(struct cbor_reader *r, struct errmsg *msg, const char *what)
{
    if (r->e == ERR_OK && (r->depth != 0 || cursor_left(&r->c) != 0))
        r->e = ERR_FORMAT;
    if (r->e == ERR_OK)
        return ERR_OK;
    return err_say(msg, r->e, "%s is %s: field %llu, near byte %zu of %zu", what, err_words(r->e),
                   (unsigned long long)r->field, r->c.at, r->c.size);
}

#include "json/json_line.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { DEPTH_MAX = 8 };

struct json_line {
    json_t *stack[DEPTH_MAX + 1]; /* [0] is owned, the others are borrowed from it */
    size_t depth;
    enum err error;
};

enum err json_line_new(const char *message_type, struct json_line **out)
{
    struct json_line *line = calloc(1, sizeof(*line));
    *out = line;
    if (!line)
        return ERR_NOMEM;
    line->stack[0] = json_object();
    if (!line->stack[0]) {
        free(line);
        *out = NULL;
        return ERR_NOMEM;
    }
    if (message_type)
        json_line_text(line, "message_type", message_type);
    return ERR_OK;
}

void json_line_free(struct json_line *line)
{
    if (!line)
        return;
    json_decref(line->stack[0]);
    free(line);
}

/* Takes `value`, NULL when it could not be made. */
static void put(struct json_line *line, const char *key, json_t *value)
{
    json_t *into = line->stack[line->depth];
    int failed;
    if (!value)
        failed = 1;
    else if (json_is_array(into))
        failed = json_array_append_new(into, value);
    else
        failed = json_object_set_new_nocheck(into, key ? key : "", value);
    if (failed && line->error == ERR_OK)
        line->error = ERR_NOMEM;
}

/* Bytes of the UTF-8 sequence at `at` (RFC 3629: no surrogates, none longer than needed), 0 if
 * wrong. */
static size_t utf8_sequence(struct slice text, size_t at)
{
    const uint8_t *b = text.data + at;
    size_t left = text.size - at;
    if (b[0] < 0x80)
        return b[0] ? 1 : 0;
    size_t size = b[0] >= 0xc2 && b[0] < 0xe0 ? 2 : b[0] >= 0xe0 && b[0] < 0xf0 ? 3 : 4;
    if (b[0] < 0xc2 || b[0] > 0xf4 || left < size)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((b[i] & 0xc0) != 0x80)
            return 0;
    if ((b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] >= 0xa0) ||
        (b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] >= 0x90))
        return 0;
    return size;
}

static bool is_utf8(struct slice text)
{
    for (size_t at = 0; at < text.size;) {
        size_t size = utf8_sequence(text, at);
        if (size == 0)
            return false;
        at += size;
    }
    return true;
}

static json_t *lossy_text(struct slice text)
{
    if (is_utf8(text))
        return json_stringn_nocheck(text.size ? (const char *)text.data : "", text.size);
    if (text.size > SIZE_MAX / 3)
        return NULL;
    char *fixed = malloc(3 * text.size);
    if (!fixed)
        return NULL;
    size_t used = 0;
    for (size_t at = 0; at < text.size;) {
        size_t size = utf8_sequence(text, at);
        memcpy(fixed + used, size ? (const char *)text.data + at : "\xef\xbf\xbd", size ? size : 3);
        used += size ? size : 3;
        at += size ? size : 1;
    }
    json_t *value = json_stringn_nocheck(fixed, used);
    free(fixed);
    return value;
}

void json_line_bytes(struct json_line *line, const char *key, struct slice text)
{
    put(line, key, lossy_text(text));
}

void json_line_text(struct json_line *line, const char *key, const char *text)
{
    put(line, key, text ? lossy_text(slice_text(text)) : json_null());
}

static json_t *base64_text(struct slice bytes)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (bytes.size > SIZE_MAX / 2)
        return NULL;
    size_t length = (bytes.size + 2) / 3 * 4;
    char *text = malloc(length + 1);
    if (!text)
        return NULL;
    char *out = text;
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t three = (uint32_t)bytes.data[i] << 16 |
                         (left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0) |
                         (left > 2 ? (uint32_t)bytes.data[i + 2] : 0);
        *out++ = alphabet[three >> 18];
        *out++ = alphabet[three >> 12 & 63];
        *out++ = left > 1 ? alphabet[three >> 6 & 63] : '=';
        *out++ = left > 2 ? alphabet[three & 63] : '=';
    }
    json_t *value = json_stringn_nocheck(text, length);
    free(text);
    return value;
}

void json_line_path(struct json_line *line, const char *key, struct slice path)
{
    put(line, key, lossy_text(path));
    char key_b64[64];
    if (!key || is_utf8(path))
        return;
    if (snprintf(key_b64, sizeof(key_b64), "%s_b64", key) < (int)sizeof(key_b64))
        put(line, key_b64, base64_text(path));
}

void json_line_id(struct json_line *line, const char *key, const struct id *id)
{
    char text[ID_TEXT_SIZE];
    put(line, key, json_string_nocheck(id_format(id, text)));
}

void json_line_i64(struct json_line *line, const char *key, int64_t value)
{
    put(line, key, json_integer(value));
}

void json_line_u64(struct json_line *line, const char *key, uint64_t value)
{
    put(line, key, json_integer(value > INT64_MAX ? INT64_MAX : (int64_t)value));
}

void json_line_real(struct json_line *line, const char *key, double value)
{
    put(line, key, isfinite(value) ? json_real(value) : json_null());
}

void json_line_bool(struct json_line *line, const char *key, bool value)
{
    put(line, key, json_boolean(value));
}

void json_line_null(struct json_line *line, const char *key)
{
    put(line, key, json_null());
}

void json_line_time(struct json_line *line, const char *key, int64_t wall_ns)
{
    int64_t ns = wall_ns % 1000000000;
    time_t seconds = (time_t)(wall_ns / 1000000000);
    if (ns < 0) {
        ns += 1000000000;
        seconds--;
    }
    struct tm parts;
    char text[64];
    (void)gmtime_r(&seconds, &parts); /* cannot fail: 64-bit nanoseconds end in the year 2262 */
    (void)snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%09dZ", parts.tm_year + 1900,
                   parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                   (int)ns);
    put(line, key, json_string_nocheck(text));
}

static void open_value(struct json_line *line, const char *key, json_t *value)
{
    if (line->depth == DEPTH_MAX) {
        json_decref(value);
        line->error = line->error == ERR_OK ? ERR_TOO_LARGE : line->error;
        return;
    }
    put(line, key, value);
    if (line->error == ERR_OK)
        line->stack[++line->depth] = value;
}

void json_line_open_object(struct json_line *line, const char *key)
{
    open_value(line, key, json_object());
}

void json_line_open_array(struct json_line *line, const char *key)
{
    open_value(line, key, json_array());
}

void json_line_close(struct json_line *line)
{
    if (line->depth > 0)
        line->depth--;
}

static int append(const char *bytes, size_t size, void *user)
{
    return buf_append(user, bytes, size) == ERR_OK ? 0 : -1;
}

enum err json_line_finish_bare(struct json_line *line, struct buf *out)
{
    size_t before = out->size;
    enum err e = line->error;
    if (e == ERR_OK && json_dump_callback(line->stack[0], append, out,
                                          JSON_COMPACT | JSON_REAL_PRECISION(12)) != 0)
        e = out->size_max - before < 4096 ? ERR_TOO_LARGE : ERR_NOMEM;
    if (e != ERR_OK)
        out->size = before;
    json_line_free(line);
    return e;
}

enum err json_line_finish(struct json_line *line, struct buf *out)
{
    size_t before = out->size;
    enum err e = json_line_finish_bare(line, out);
    if (e == ERR_OK)
        e = buf_append_u8(out, '\n');
    if (e != ERR_OK)
        out->size = before;
    return e;
}

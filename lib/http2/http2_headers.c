#include "base/text.h"
#include "http2/http2_internal.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const method_names[HTTP2_METHOD_COUNT] = {
    [HTTP2_GET] = "GET",   [HTTP2_PUT] = "PUT",       [HTTP2_POST] = "POST",
    [HTTP2_HEAD] = "HEAD", [HTTP2_DELETE] = "DELETE",
};

static bool is(struct slice s, const char *text)
{
    return slice_equal(s, slice_text(text));
}

/* Decimal digits only, at most `value_max`. */
static bool parse_number(struct slice text, uint64_t value_max, uint64_t *out)
{
    char copy[24];
    if (text.size == 0 || text.size >= sizeof(copy))
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    return strlen(copy) == text.size && text_parse_u64(copy, value_max, out) == ERR_OK;
}

static bool parse_leaves(struct slice value, uint32_t *first, uint32_t *count)
{
    const uint8_t *dash = value.size ? memchr(value.data, '-', value.size) : NULL;
    if (!dash)
        return false;
    size_t left = (size_t)(dash - value.data);
    uint64_t a, b;
    if (!parse_number(slice_of(value.data, left), UINT32_MAX, &a) ||
        !parse_number(slice_of(dash + 1, value.size - left - 1), UINT32_MAX, &b) || b == 0)
        return false;
    *first = (uint32_t)a;
    *count = (uint32_t)b;
    return true;
}

static enum err take_path(struct stream_state *s, struct slice value)
{
    if (value.size > s->session->limits.path_max) {
        s->refuse_status = 414;
        return ERR_OK;
    }
    bool good = value.size > 0 && value.data[0] == '/';
    for (size_t i = 0; i < value.size; i++)
        good = good && value.data[i] > 0x20 && value.data[i] < 0x7f;
    if (!good || s->path) {
        s->refuse_status = 400;
        return ERR_OK;
    }
    s->path = malloc(value.size + 1);
    if (!s->path)
        return ERR_NOMEM;
    memcpy(s->path, value.data, value.size);
    s->path[value.size] = 0;
    return ERR_OK;
}

static void take_method(struct stream_state *s, struct slice value)
{
    for (int m = 0; m < HTTP2_METHOD_COUNT; m++) {
        if (is(value, method_names[m])) {
            s->method = (enum http2_method)m;
            s->has_method = true;
            return;
        }
    }
    s->refuse_status = 405;
}

enum err http2_header_take(struct stream_state *s, struct slice name, struct slice value)
{
    uint64_t number;
    s->header_bytes += name.size + value.size;
    if (s->header_bytes > HTTP2_HEADER_BYTES)
        s->refuse_status = 431;
    if (s->refuse_status != 0 || s->shown)
        return ERR_OK; /* refused, or trailers, which nobody reads */
    if (s->session->role == HTTP2_SERVER) {
        if (is(name, ":path"))
            return take_path(s, value);
        if (is(name, ":method"))
            take_method(s, value);
        else if (is(name, "cellar-leaves") && !parse_leaves(value, &s->leaf_first, &s->leaf_count))
            s->refuse_status = 400;
    } else if (is(name, ":status")) {
        if (!parse_number(value, 999, &number))
            s->refuse_status = 400;
        else
            s->status = (unsigned)number;
    }
    if (is(name, "content-length")) {
        if (parse_number(value, UINT64_MAX - 1, &number))
            s->body_size = number;
        else
            s->refuse_status = 400;
    }
    return ERR_OK;
}

static nghttp2_nv nv(const char *name, const char *value)
{
    /* nghttp2 copies both; its pointers are merely not const */
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .namelen = strlen(name),
                        .value = (uint8_t *)(uintptr_t)value,
                        .valuelen = strlen(value),
                        .flags = NGHTTP2_NV_FLAG_NONE};
}

size_t http2_headers_request(const struct http2_request *request, uint64_t body_size,
                             struct http2_header_text *text, nghttp2_nv out[HTTP2_HEADERS_MAX])
{
    size_t count = 0;
    out[count++] = nv(":method", method_names[request->method]);
    out[count++] = nv(":scheme", "https");
    out[count++] = nv(":authority", "cellar");
    out[count++] = nv(":path", request->path);
    if (body_size > 0 || request->method == HTTP2_PUT || request->method == HTTP2_POST) {
        (void)snprintf(text->number, sizeof(text->number), "%llu", (unsigned long long)body_size);
        out[count++] = nv("content-length", text->number);
    }
    if (request->leaf_count > 0) {
        (void)snprintf(text->leaves, sizeof(text->leaves), "%u-%u", request->leaf_first,
                       request->leaf_count);
        out[count++] = nv("cellar-leaves", text->leaves);
    }
    return count;
}

size_t http2_headers_response(unsigned status, uint64_t body_size, struct http2_header_text *text,
                              nghttp2_nv out[HTTP2_HEADERS_MAX])
{
    (void)snprintf(text->status, sizeof(text->status), "%u", status);
    (void)snprintf(text->number, sizeof(text->number), "%llu", (unsigned long long)body_size);
    size_t count = 0;
    out[count++] = nv(":status", text->status);
    if (status != 204 && status != 304)
        out[count++] = nv("content-length", text->number);
    return count;
}

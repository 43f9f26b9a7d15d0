#pragma once

#include "base/list.h"
#include "http2/http2.h"

#include <nghttp2/nghttp2.h>

struct http2_session {
    nghttp2_session *ng;
    enum http2_role role;
    struct http2_limits limits;
    const struct http2_events *events; /* borrowed */
    void *user;
    struct list streams; /* of stream_state, all that nghttp2 or the caller knows */
    struct list drained; /* of stream_state: on_drained is due */
    http2_sink_fn *sink; /* during a pull */
    void *sink_user;
    enum err sink_failed;
    bool out_of_memory;
};

/* A stream, and what its headers said so far. */
struct stream_state {
    struct http2_stream public;
    struct http2_session *session;
    int32_t id;
    struct list link;         /* in session->streams */
    struct list drained_link; /* in session->drained, or alone */
    bool detached;            /* the caller forgot it: no events */
    bool shown;               /* on_request or on_response has run */
    bool discard; /* a reply was begun before the request ended: what still comes is dropped */

    /* what we send */
    struct slice *parts; /* owned; gathered in order */
    size_t part_count, part_index, part_offset;
    struct slice piece;   /* a reply's only part */
    uint64_t ready_bytes; /* in parts, not sent */
    bool deferred;        /* nghttp2 waits for nghttp2_session_resume_data */

    /* headers as they come in */
    size_t header_bytes;
    unsigned refuse_status; /* 0, or what we answer ourselves */
    enum http2_method method;
    bool has_method;
    char *path; /* owned; NULL before :path */
    uint64_t body_size;
    uint32_t leaf_first, leaf_count;
    unsigned status;
};

/* One header of a message that comes in; marks the stream when it breaks a rule. ERR_NOMEM. */
MUST_CHECK enum err http2_header_take(struct stream_state *s, struct slice name,
                                      struct slice value);

enum { HTTP2_HEADERS_MAX = 8 };

/* Headers to send; texts live in `text`, which must outlive the submit. Return the count. */
struct http2_header_text {
    char number[24], leaves[32], status[8];
};
size_t http2_headers_request(const struct http2_request *request, uint64_t body_size,
                             struct http2_header_text *text, nghttp2_nv out[HTTP2_HEADERS_MAX]);
size_t http2_headers_response(unsigned status, uint64_t body_size, struct http2_header_text *text,
                              nghttp2_nv out[HTTP2_HEADERS_MAX]);

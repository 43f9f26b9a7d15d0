/*
 * Between nghttp2's callbacks and ours. A stream's state lives in `streams` from its first header
 * (or from http2_request) until nghttp2 closes it; a caller that resets it earlier only detaches
 * it.
 */
#include "http2/http2_internal.h"

#include <stdlib.h>

static struct stream_state *state_of(struct http2_stream *s)
{
    return container_of(s, struct stream_state, public);
}

static struct stream_state *find(struct http2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session->ng, id);
}

static struct stream_state *state_new(struct http2_session *session)
{
    struct stream_state *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->session = session;
    s->body_size = UINT64_MAX;
    list_init(&s->drained_link);
    list_append(&session->streams, &s->link);
    return s;
}

static void state_free(struct stream_state *s)
{
    list_remove(&s->link);
    list_remove(&s->drained_link);
    if (s->parts != &s->piece)
        free(s->parts);
    free(s->path);
    free(s);
}

/* --- what comes in */

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct http2_session *session = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct stream_state *s = state_new(session);
    if (!s) {
        session->out_of_memory = true;
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    s->id = frame->hd.stream_id;
    (void)nghttp2_session_set_stream_user_data(ng, s->id, s);
    return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    (void)ng;
    (void)flags;
    struct http2_session *session = user;
    struct stream_state *s = find(session, frame->hd.stream_id);
    if (!s)
        return 0;
    if (http2_header_take(s, slice_of(name, name_size), slice_of(value, value_size)) != ERR_OK) {
        session->out_of_memory = true;
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

/* Answers in our own name; the request is never shown. */
static void refuse_request(struct stream_state *s)
{
    struct http2_header_text text;
    nghttp2_nv headers[HTTP2_HEADERS_MAX];
    size_t count = http2_headers_response(s->refuse_status, 0, &text, headers);
    s->detached = true;
    (void)nghttp2_submit_response(s->session->ng, s->id, headers, count, NULL);
}

static void request_complete(struct stream_state *s, bool no_body)
{
    struct http2_session *session = s->session;
    if (s->refuse_status == 0 && (!s->path || !s->has_method))
        s->refuse_status = 400;
    if (s->refuse_status != 0) {
        refuse_request(s);
        return;
    }
    struct http2_request request = {.method = s->method,
                                    .path = s->path,
                                    .body_size = no_body ? 0 : s->body_size,
                                    .leaf_first = s->leaf_first,
                                    .leaf_count = s->leaf_count};
    s->shown = true;
    session->events->on_request(session->user, &s->public, &request);
}

static void close_with(struct stream_state *s, uint32_t code, enum err e)
{
    struct http2_session *session = s->session;
    (void)nghttp2_submit_rst_stream(session->ng, NGHTTP2_FLAG_NONE, s->id, code);
    s->detached = true;
    session->events->on_closed(session->user, &s->public, e);
}

static void response_headers(struct stream_state *s, bool no_body)
{
    struct http2_session *session = s->session;
    if (s->status >= 100 && s->status < 200) { /* informational: the real one follows */
        s->status = 0;
        s->body_size = UINT64_MAX;
        return;
    }
    if (s->shown) /* trailers */
        return;
    if (s->refuse_status != 0) {
        close_with(s, NGHTTP2_PROTOCOL_ERROR, ERR_PEER);
        return;
    }
    s->shown = true;
    session->events->on_response(session->user, &s->public, s->status, no_body ? 0 : s->body_size);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct http2_session *session = user;
    (void)ng;
    if (frame->hd.type == NGHTTP2_GOAWAY && !nghttp2_session_check_request_allowed(ng) &&
        session->role == HTTP2_CLIENT)
        session->events->on_goaway(session->user);
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct stream_state *s = find(session, frame->hd.stream_id);
    if (!s)
        return 0;
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    s->public.receive_complete = s->public.receive_complete || end;
    if (frame->hd.type == NGHTTP2_HEADERS && !s->detached) {
        if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
            request_complete(s, end);
        else if (session->role == HTTP2_CLIENT)
            response_headers(s, end);
    }
    if (end && !s->detached && !s->discard)
        session->events->on_body_end(session->user, &s->public);
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t size,
                   void *user)
{
    (void)flags;
    struct http2_session *session = user;
    (void)nghttp2_session_consume_connection(ng, size);
    struct stream_state *s = find(session, id);
    if (!s)
        return 0;
    s->public.received_bytes += size;
    if (s->detached || s->discard)
        (void)nghttp2_session_consume_stream(ng, id, size);
    else
        session->events->on_body(session->user, &s->public, slice_of(data, size));
    return 0;
}

static enum err err_of_code(uint32_t code)
{
    switch (code) {
    case NGHTTP2_NO_ERROR:
        return ERR_OK;
    case NGHTTP2_CANCEL:
        return ERR_CANCELLED;
    case NGHTTP2_REFUSED_STREAM:
        return ERR_BUSY;
    case NGHTTP2_INTERNAL_ERROR:
        return ERR_UNREACHABLE;
    default:
        return ERR_PEER;
    }
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
    (void)ng;
    struct http2_session *session = user;
    struct stream_state *s = find(session, id);
    if (!s)
        return 0;
    enum err e = err_of_code(code);
    bool whole = session->role == HTTP2_CLIENT ? s->public.receive_complete && s->shown
                                               : s->public.send_complete;
    if (whole && code == NGHTTP2_CANCEL && session->role == HTTP2_CLIENT)
        e = ERR_OK; /* the answer is here; that the rest of our body was not wanted is no error */
    if (!whole && e == ERR_OK)
        e = ERR_CANCELLED;
    if (!s->detached)
        session->events->on_closed(session->user, &s->public, e);
    state_free(s);
    return 0;
}

/* --- what goes out */

static ssize_t read_body(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t length,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)ng;
    (void)id;
    (void)buf;
    (void)user;
    struct stream_state *s = source->ptr;
    if (s->detached)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t take = 0;
    size_t offset = s->part_offset;
    size_t index = s->part_index;
    for (size_t n = 0; n < HTTP2_FRAME_PARTS && index < s->part_count && take < length;
         n++, index++, offset = 0)
        take += s->parts[index].size - offset;
    if (take > length)
        take = length;
    if (take == 0) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (take == s->public.unsent_bytes)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)take;
}

static void advance(struct stream_state *s, size_t size)
{
    s->public.sent_bytes += size;
    s->public.unsent_bytes -= size;
    s->ready_bytes -= size;
    while (size > 0) {
        size_t left = s->parts[s->part_index].size - s->part_offset;
        size_t step = size < left ? size : left;
        s->part_offset += step;
        size -= step;
        if (s->part_offset == s->parts[s->part_index].size) {
            s->part_index++;
            s->part_offset = 0;
        }
    }
    s->public.send_complete = s->public.unsent_bytes == 0;
    if (s->ready_bytes == 0 && s->public.unsent_bytes > 0)
        list_append(&s->session->drained, &s->drained_link);
}

/* The server's last word is out: a client that still sends is told to stop (RFC 9113 section 8.1).
 * Not earlier, because nghttp2 sends nothing more on a stream that has a reset queued. */
static int on_frame_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct http2_session *session = user;
    bool end = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
               (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    struct stream_state *s =
        end && session->role == HTTP2_SERVER ? find(session, frame->hd.stream_id) : NULL;
    if (s && !s->public.receive_complete)
        (void)nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
    return 0;
}

static int pass(struct http2_session *session, const struct slice *parts, size_t count)
{
    enum err e = session->sink(session->sink_user, parts, count);
    if (e == ERR_OK)
        return 0;
    if (e == ERR_BUSY)
        return NGHTTP2_ERR_WOULDBLOCK;
    session->sink_failed = e;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t length,
                     nghttp2_data_source *source, void *user)
{
    (void)ng;
    (void)frame; /* never padded: there is no padding callback */
    struct http2_session *session = user;
    struct stream_state *s = source->ptr;
    if (s->detached)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    struct slice parts[1 + HTTP2_FRAME_PARTS];
    size_t count = 0, left = length;
    size_t index = s->part_index, offset = s->part_offset;
    parts[count++] = slice_of(head, 9);
    while (left > 0) {
        size_t size = s->parts[index].size - offset;
        if (size > left)
            size = left;
        parts[count++] = slice_of(s->parts[index].data + offset, size);
        left -= size;
        offset = 0;
        index++;
    }
    int result = pass(session, parts, count);
    if (result == 0)
        advance(s, length);
    return result;
}

static ssize_t send_bytes(nghttp2_session *ng, const uint8_t *bytes, size_t size, int flags,
                          void *user)
{
    (void)ng;
    (void)flags;
    struct slice part = slice_of(bytes, size);
    int result = pass(user, &part, 1);
    return result == 0 ? (ssize_t)size : result;
}

/* nghttp2 cuts it down to the windows itself. */
static ssize_t frame_length(nghttp2_session *ng, uint8_t type, int32_t id, int32_t session_window,
                            int32_t stream_window, uint32_t frame_max, void *user)
{
    (void)ng;
    (void)type;
    (void)id;
    (void)session_window;
    (void)stream_window;
    (void)user;
    return frame_max < HTTP2_FRAME_BYTES ? (ssize_t)frame_max : HTTP2_FRAME_BYTES;
}

/* --- the session */

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_send_callback(callbacks, send_bytes);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, frame_length);
    return callbacks;
}

static bool say_settings(struct http2_session *session)
{
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, session->limits.streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, session->limits.window_bytes},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, HTTP2_FRAME_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP2_HEADER_BYTES},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    };
    size_t count = ARRAY_COUNT(settings) - (session->role == HTTP2_SERVER ? 1 : 0);
    return nghttp2_submit_settings(session->ng, NGHTTP2_FLAG_NONE, settings, count) == 0 &&
           nghttp2_session_set_local_window_size(session->ng, NGHTTP2_FLAG_NONE, 0,
                                                 HTTP2_CONNECTION_WINDOW) == 0;
}

enum err http2_session_new(enum http2_role role, const struct http2_limits *limits,
                           const struct http2_events *events, void *user,
                           struct http2_session **out, struct errmsg *msg)
{
    enum err e = ERR_NOMEM;
    nghttp2_option *option = NULL;
    nghttp2_session_callbacks *callbacks = make_callbacks();
    struct http2_session *session = calloc(1, sizeof(*session));
    if (!session || !callbacks || nghttp2_option_new(&option) != 0)
        goto free_parts;
    session->role = role;
    session->limits = *limits;
    session->events = events;
    session->user = user;
    list_init(&session->streams);
    list_init(&session->drained);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    int made = role == HTTP2_CLIENT
                   ? nghttp2_session_client_new2(&session->ng, callbacks, session, option)
                   : nghttp2_session_server_new2(&session->ng, callbacks, session, option);
    if (made == 0 && say_settings(session))
        e = ERR_OK;
free_parts:
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    if (e != ERR_OK) {
        if (session)
            nghttp2_session_del(session->ng);
        free(session);
        return err_say(msg, e, "out of memory");
    }
    *out = session;
    return ERR_OK;
}

void http2_session_free(struct http2_session *session)
{
    if (!session)
        return;
    nghttp2_session_del(session->ng);
    while (!list_empty(&session->streams))
        state_free(container_of(session->streams.next, struct stream_state, link));
    free(session);
}

enum err http2_session_feed(struct http2_session *session, struct slice plain, struct errmsg *msg)
{
    ssize_t got = nghttp2_session_mem_recv(session->ng, plain.data, plain.size);
    if (got >= 0 && (size_t)got == plain.size)
        return ERR_OK;
    if (session->out_of_memory || got == NGHTTP2_ERR_NOMEM)
        return err_say(msg, ERR_NOMEM, "out of memory");
    return err_say(msg, ERR_PEER, "HTTP/2 failed: %s",
                   got < 0 ? nghttp2_strerror((int)got) : "the peer broke the protocol");
}

static void tell_drained(struct http2_session *session)
{
    struct list now;
    list_init(&now);
    while (
        !list_empty(&session->drained)) { /* those that drain meanwhile wait for the next round */
        struct list *node = list_pop(&session->drained);
        list_append(&now, node);
    }
    while (!list_empty(&now)) {
        struct stream_state *s = container_of(list_pop(&now), struct stream_state, drained_link);
        if (!s->detached)
            session->events->on_drained(session->user, &s->public);
    }
}

enum err http2_session_pull(struct http2_session *session, http2_sink_fn *sink, void *sink_user)
{
    session->sink = sink;
    session->sink_user = sink_user;
    session->sink_failed = ERR_OK;
    int result;
    bool drained;
    do {
        result = nghttp2_session_send(session->ng);
        drained = !list_empty(&session->drained);
        tell_drained(session);
    } while (result == 0 && drained);
    session->sink = NULL;
    if (session->sink_failed != ERR_OK)
        return session->sink_failed;
    if (result == NGHTTP2_ERR_NOMEM)
        return ERR_NOMEM;
    return result == 0 ? ERR_OK : ERR_PEER;
}

bool http2_session_wants_pull(const struct http2_session *session)
{
    return nghttp2_session_want_write(session->ng) != 0 || !list_empty(&session->drained);
}

bool http2_session_is_over(const struct http2_session *session)
{
    return !nghttp2_session_want_read(session->ng) && !nghttp2_session_want_write(session->ng);
}

void http2_session_goaway(struct http2_session *session)
{
    int32_t last = nghttp2_session_get_last_proc_stream_id(session->ng);
    (void)nghttp2_submit_goaway(session->ng, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
}

/* --- streams */

static bool take_parts(struct stream_state *s, const struct slice *body, size_t body_count)
{
    s->parts = calloc(body_count, sizeof(*body));
    if (!s->parts)
        return false;
    for (size_t i = 0; i < body_count; i++) {
        if (body[i].size == 0)
            continue; /* an empty part would look like the end */
        s->parts[s->part_count++] = body[i];
        s->ready_bytes += body[i].size;
    }
    s->public.unsent_bytes = s->ready_bytes;
    return true;
}

enum err http2_request(struct http2_session *session, const struct http2_request *request,
                       const struct slice *body, size_t body_count, void *user,
                       struct http2_stream **out)
{
    if (!nghttp2_session_check_request_allowed(session->ng))
        return ERR_STATE;
    struct stream_state *s = state_new(session);
    if (!s)
        return ERR_NOMEM;
    if (body_count > 0 && !take_parts(s, body, body_count)) {
        state_free(s);
        return ERR_NOMEM;
    }
    struct http2_header_text text;
    nghttp2_nv headers[HTTP2_HEADERS_MAX];
    size_t count = http2_headers_request(request, s->ready_bytes, &text, headers);
    nghttp2_priority_spec priority;
    nghttp2_priority_spec_init(&priority, 0, (int32_t)(request->weight ? request->weight : 16), 0);
    nghttp2_data_provider provider = {.source.ptr = s, .read_callback = read_body};
    s->public.user = user;
    s->public.send_complete = s->ready_bytes == 0;
    s->id = nghttp2_submit_request(session->ng, &priority, headers, count,
                                   s->ready_bytes > 0 ? &provider : NULL, s);
    if (s->id < 0) {
        int failed = s->id;
        state_free(s);
        return failed == NGHTTP2_ERR_NOMEM ? ERR_NOMEM : ERR_STATE;
    }
    *out = &s->public;
    return ERR_OK;
}

enum err http2_reply(struct http2_stream *stream, unsigned status, uint64_t body_size)
{
    struct stream_state *s = state_of(stream);
    struct http2_header_text text;
    nghttp2_nv headers[HTTP2_HEADERS_MAX];
    size_t count = http2_headers_response(status, body_size, &text, headers);
    bool empty = body_size == 0 || s->method == HTTP2_HEAD;
    nghttp2_data_provider provider = {.source.ptr = s, .read_callback = read_body};
    s->public.unsent_bytes = empty ? 0 : body_size;
    s->parts = &s->piece;
    s->discard = !s->public.receive_complete;
    int result =
        nghttp2_submit_response(s->session->ng, s->id, headers, count, empty ? NULL : &provider);
    if (result != 0)
        return result == NGHTTP2_ERR_NOMEM ? ERR_NOMEM : ERR_STATE;
    s->public.send_complete = empty;
    return ERR_OK;
}

enum err http2_reply_send(struct http2_stream *stream, struct slice bytes)
{
    struct stream_state *s = state_of(stream);
    if (bytes.size > stream->unsent_bytes)
        return ERR_USAGE;
    if (s->ready_bytes > 0)
        return ERR_STATE;
    s->piece = bytes;
    s->part_count = bytes.size > 0;
    s->part_index = s->part_offset = 0;
    s->ready_bytes = bytes.size;
    list_remove(&s->drained_link);
    if (bytes.size == 0)
        list_append(&s->session->drained, &s->drained_link);
    else if (s->deferred) {
        s->deferred = false;
        (void)nghttp2_session_resume_data(s->session->ng, s->id);
    }
    return ERR_OK;
}

void http2_consume(struct http2_stream *stream, size_t size)
{
    struct stream_state *s = state_of(stream);
    (void)nghttp2_session_consume_stream(s->session->ng, s->id, size);
}

void http2_reset(struct http2_stream *stream, enum http2_reset_reason reason)
{
    static const uint32_t codes[] = {[HTTP2_RESET_CANCEL] = NGHTTP2_CANCEL,
                                     [HTTP2_RESET_INTERNAL] = NGHTTP2_INTERNAL_ERROR,
                                     [HTTP2_RESET_ENOUGH] = NGHTTP2_NO_ERROR};
    struct stream_state *s = state_of(stream);
    s->detached = true;
    list_remove(&s->drained_link);
    (void)nghttp2_submit_rst_stream(s->session->ng, NGHTTP2_FLAG_NONE, s->id, codes[reason]);
}

/*
 * HTTP/2 sessions without sockets (nghttp2): plain bytes in, plain bytes out, requests and
 * responses as events. Both roles.
 *
 *     e = http2_session_new(HTTP2_CLIENT, &limits, &events, my, &session, msg);
 *     e = http2_request(session, &request, body, body_count, mine, &stream);
 *     e = http2_session_pull(session, sink, my);         // frames, as far as the sink takes them
 *     e = http2_session_feed(session, bytes, msg);       // events run inside
 *
 * Bodies out: a request's body is given whole, as a gather list that stays valid until the stream
 * is closed or reset; a reply's body is given piece by piece with http2_reply_send(), each piece
 * valid until on_drained. They go to the sink without a copy.
 *
 * Bodies in: each on_body hands over bytes (valid during the event) that count against the stream's
 * window until http2_consume() gives them back. The connection's own window is given back at once,
 * so that one stream that stands still stops no other.
 *
 * A stream is gone after on_closed, and after http2_reset() (then without any event). Within events
 * everything may be called but feed, pull and free.
 *
 * What a hostile peer can do is bounded: header bytes, path, streams, frames; nghttp2 itself limits
 * SETTINGS, PING and RESET floods. A request that breaks a rule of ours is answered here (400, 405,
 * 414, 431) and never shown.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

enum {
    HTTP2_HEADER_BYTES = 8192, /* of one request or response, names and values */
    HTTP2_FRAME_BYTES = 65536, /* the largest frame that we take or send */
    HTTP2_FRAME_PARTS = 16,    /* pieces of a gather list in one frame */
    HTTP2_CONNECTION_WINDOW =
        64 << 20, /* bytes in flight, all streams; streams are bound by their own */
};

enum http2_role { HTTP2_CLIENT, HTTP2_SERVER };

enum http2_method {
    HTTP2_GET,
    HTTP2_PUT,
    HTTP2_POST,
    HTTP2_HEAD,
    HTTP2_DELETE,
    HTTP2_METHOD_COUNT,
};

struct http2_limits {
    uint32_t streams_max;  /* that the peer may have open at once */
    uint32_t window_bytes; /* of each stream */
    size_t path_max;       /* bytes */
};

struct http2_request {
    enum http2_method method;
    const char *path;   /* borrowed during the call or the event */
    uint64_t body_size; /* incoming: as announced, UINT64_MAX when not; outgoing: not read */
    uint32_t leaf_first, leaf_count; /* header "cellar-leaves: first-count"; count 0: none */
    unsigned weight; /* 1..256: share among the streams of a connection (RFC 7540 5.3.2) */
};

struct http2_session;

/* Owned by the session. The fields are for reading, but for `user`. */
struct http2_stream {
    void *user;
    uint64_t sent_bytes;     /* body bytes that went to the sink */
    uint64_t received_bytes; /* body bytes that came */
    uint64_t unsent_bytes;   /* of the body, as announced */
    bool send_complete;      /* our side has said its last word */
    bool receive_complete;   /* the peer's has */
};

struct http2_events {
    /* server */
    void (*on_request)(void *user, struct http2_stream *s, const struct http2_request *request);
    /* client; once; body_size UINT64_MAX when not announced */
    void (*on_response)(void *user, struct http2_stream *s, unsigned status, uint64_t body_size);
    void (*on_body)(void *user, struct http2_stream *s, struct slice bytes);
    /* the peer's message is complete */
    void (*on_body_end)(void *user, struct http2_stream *s);
    /* server: the last piece is with the sink and more is to come; from inside pull */
    void (*on_drained)(void *user, struct http2_stream *s);
    /* OK: both sides have finished, or the peer wanted no more of our body after its whole answer;
       CANCELLED, BUSY (refused, safe to send again), PEER: as the peer's reset says */
    void (*on_closed)(void *user, struct http2_stream *s, enum err e);
    /* the peer takes no new requests */
    void (*on_goaway)(void *user);
};

/* `events` is borrowed, `user` is given to them. */
MUST_CHECK enum err http2_session_new(enum http2_role role, const struct http2_limits *limits,
                                      const struct http2_events *events, void *user,
                                      struct http2_session **out, struct errmsg *msg);
/* No events; all streams are gone. NULL does nothing. */
void http2_session_free(struct http2_session *session);

/* ERR_PEER (the connection must be closed, after a last pull), ERR_NOMEM. */
MUST_CHECK enum err http2_session_feed(struct http2_session *session, struct slice plain,
                                       struct errmsg *msg);

/* Takes all of the parts, in order, or ERR_BUSY and none of them (pull then returns ERR_OK and goes
 * on with them next time); any other error ends the pull and is returned. */
typedef enum err http2_sink_fn(void *user, const struct slice *parts, size_t count);

MUST_CHECK enum err http2_session_pull(struct http2_session *session, http2_sink_fn *sink,
                                       void *sink_user);

/* Something stands ready to be pulled (flow control permitting). */
bool http2_session_wants_pull(const struct http2_session *session);

/* Nothing more will come or go: after an error of the protocol, or after GOAWAY when all is done.
 */
bool http2_session_is_over(const struct http2_session *session);

/* No new requests from the peer; those that are here may finish. */
void http2_session_goaway(struct http2_session *session);

/* Client. The array `body` is copied, its bytes are not. Errors: NOMEM, STATE (after GOAWAY). */
MUST_CHECK enum err http2_request(struct http2_session *session,
                                  const struct http2_request *request, const struct slice *body,
                                  size_t body_count, void *user, struct http2_stream **out);

/* Server, once a stream. `body_size` 0, or any size after HEAD: the reply is complete with this. A
 * request whose body is still coming is told to stop when the reply is out. */
MUST_CHECK enum err http2_reply(struct http2_stream *s, unsigned status, uint64_t body_size);

/* The next piece of the reply's body; only when the one before is drained. ERR_USAGE when it is
 * more than was announced, ERR_STATE when a piece is still there. */
MUST_CHECK enum err http2_reply_send(struct http2_stream *s, struct slice bytes);

/* Gives `size` bytes of on_body back. */
void http2_consume(struct http2_stream *s, size_t size);

enum http2_reset_reason {
    HTTP2_RESET_CANCEL,   /* not wanted any more */
    HTTP2_RESET_INTERNAL, /* broken off by us */
    HTTP2_RESET_ENOUGH,   /* the whole answer is here; the rest of the request is not wanted */
};

/* The stream is gone for the caller at once; no event of it follows. */
void http2_reset(struct http2_stream *s, enum http2_reset_reason reason);

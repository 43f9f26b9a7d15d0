/*
 * http2/: what a peer sends on an open TLS session. First byte: the role that is attacked and how
 * the bytes are cut into pieces. The session answers, consumes and is pulled as the real port does.
 */
#include "fuzz.h"

#include "base/buf.h"
#include "http2/http2.h"

enum { OPEN_MAX = 512, STEPS_MAX = 64 };

struct peer {
    struct http2_session *session;
    bool serves;
    unsigned open; /* streams whose on_closed is owed */
};

static const uint8_t reply_bytes[3] = {'a', 'b', 'c'};

static void on_request(void *user, struct http2_stream *s, const struct http2_request *request)
{
    struct peer *peer = user;
    FUZZ_CHECK(request->path && request->path[0] == '/');
    FUZZ_CHECK(request->method < HTTP2_METHOD_COUNT);
    FUZZ_CHECK(++peer->open <= OPEN_MAX);
    s->user = peer;
}

static void on_response(void *user, struct http2_stream *s, unsigned status, uint64_t body_size)
{
    (void)s, (void)body_size;
    FUZZ_CHECK(((struct peer *)user)->open > 0);
    FUZZ_CHECK(status >= 100 && status <= 999);
}

static void on_body(void *user, struct http2_stream *s, struct slice bytes)
{
    (void)user;
    http2_consume(s, bytes.size);
}

static void on_body_end(void *user, struct http2_stream *s)
{
    (void)user;
    /* a server's stream; nothing is sent after HEAD */
    if (s->user && http2_reply(s, 200, sizeof(reply_bytes)) == ERR_OK && s->unsent_bytes > 0)
        FUZZ_CHECK(http2_reply_send(s, slice_of(reply_bytes, sizeof(reply_bytes))) == ERR_OK);
}

static void on_drained(void *user, struct http2_stream *s)
{
    (void)user, (void)s;
}

static void on_closed(void *user, struct http2_stream *s, enum err e)
{
    struct peer *peer = user;
    (void)e;
    if (peer->serves && !s->user)
        return; /* refused before it was shown; uvio passes over these */
    FUZZ_CHECK(peer->open-- > 0);
}

static void on_goaway(void *user)
{
    (void)user;
}

static const struct http2_events events = {on_request, on_response, on_body,  on_body_end,
                                           on_drained, on_closed,   on_goaway};
static const struct http2_limits limits = {
    .streams_max = 16, .window_bytes = 1 << 20, .path_max = 512};

static enum err take(void *user, const struct slice *parts, size_t count)
{
    struct buf *out = user;
    for (size_t i = 0; i < count; i++)
        if (out && buf_append(out, parts[i].data, parts[i].size) != ERR_OK)
            return ERR_NOMEM;
    return ERR_OK;
}

static void start(struct peer *peer, enum http2_role role)
{
    static const struct slice body = {.data = (const uint8_t *)"hello", .size = 5};
    FUZZ_CHECK(http2_session_new(role, &limits, &events, peer, &peer->session, NULL) == ERR_OK);
    peer->serves = role == HTTP2_SERVER;
    if (peer->serves)
        return;
    static const struct http2_request requests[] = {
        {.method = HTTP2_PUT, .path = "/v1/shards/x/0", .weight = 16},
        {.method = HTTP2_GET,
         .path = "/v1/shards/x/1",
         .leaf_first = 3,
         .leaf_count = 2,
         .weight = 256},
        {.method = HTTP2_HEAD, .path = "/v1/info", .weight = 1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        struct http2_stream *stream;
        FUZZ_CHECK(http2_request(peer->session, &requests[i], &body, i == 0, NULL, &stream) ==
                   ERR_OK);
        peer->open++;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct peer peer = {.open = 0};
    start(&peer, data[0] & 1 ? HTTP2_SERVER : HTTP2_CLIENT);
    size_t step = (size_t)(data[0] >> 1) + 1;
    if (size / step > STEPS_MAX)
        step = size / STEPS_MAX + 1;
    enum err e = http2_session_pull(peer.session, take, NULL);
    for (size_t at = 1; at < size && e == ERR_OK; at += step) {
        struct errmsg msg;
        e = http2_session_feed(peer.session,
                               slice_of(data + at, size - at < step ? size - at : step), &msg);
        FUZZ_CHECK(e == ERR_OK || e == ERR_PEER);
        enum err pulled = http2_session_pull(peer.session, take, NULL);
        e = e == ERR_OK ? pulled : e;
    }
    http2_session_free(peer.session);
    return 0;
}

/* Two sessions talk; what each one sent is a seed for the attack on the other. */
void fuzz_seeds(fuzz_seed_fn *put, void *user)
{
    struct peer client = {.open = 0}, server = {.open = 0};
    struct buf to_server = BUF_INIT(1 << 20), to_client = BUF_INIT(1 << 20);
    FUZZ_CHECK(buf_append_u8(&to_server, 0xff) == ERR_OK); /* odd: the server is attacked */
    FUZZ_CHECK(buf_append_u8(&to_client, 0xfe) == ERR_OK);
    start(&client, HTTP2_CLIENT);
    start(&server, HTTP2_SERVER);
    size_t fed_server = 1, fed_client = 1;
    for (int round = 0; round < 6; round++) {
        FUZZ_CHECK(http2_session_pull(client.session, take, &to_server) == ERR_OK);
        FUZZ_CHECK(
            http2_session_feed(server.session,
                               slice_of(to_server.data + fed_server, to_server.size - fed_server),
                               NULL) == ERR_OK);
        fed_server = to_server.size;
        FUZZ_CHECK(http2_session_pull(server.session, take, &to_client) == ERR_OK);
        FUZZ_CHECK(
            http2_session_feed(client.session,
                               slice_of(to_client.data + fed_client, to_client.size - fed_client),
                               NULL) == ERR_OK);
        fed_client = to_client.size;
    }
    FUZZ_CHECK(client.open == 0 && server.open == 0); /* all three were answered */
    put(user, "to-server", buf_slice(&to_server));
    put(user, "to-client", buf_slice(&to_client));
    http2_session_free(client.session);
    http2_session_free(server.session);
    buf_free(&to_server);
    buf_free(&to_client);
}

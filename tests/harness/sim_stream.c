#include "harness/sim_net_internal.h"

#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>

/* One direction's body, as its sender and its receiver know it. */
struct flow {
    uint64_t size;     /* in all */
    uint64_t sent;     /* on the line */
    uint64_t acked;    /* credited, as the sender has heard */
    uint64_t arrived;  /* at the receiver */
    uint64_t credited; /* by the receiver */
    struct sim_event pump;
};

/* A side: what is still owed to its code. */
struct side {
    bool open;  /* its last event is still to come */
    bool ended; /* and is on its way: nothing else is delivered */
    enum err e;
    const char *words; /* a literal's or the connection's */
    struct sim_event end, idle;
    uint64_t moved;     /* bytes so far, credits too */
    uint64_t seen;      /* of these, at the last look of `idle` */
    uint64_t moved_ns;  /* the last look that saw a movement, or an excuse for none */
    bool rating;        /* the least rate is being measured: */
    uint64_t rate_base; /*   moved at its begin */
    uint64_t rate_ns;   /*   which was then */
};

struct sim_stream {
    struct net_call call;         /* first: net_call is the stream */
    struct net_exchange exchange; /* the server's handle */
    unsigned references;
    struct sim_connection *connection; /* referenced */
    struct list on_connection;         /* in its `waiting`, then in its `streams` */
    struct list by_client, by_server;
    bool begun; /* the head is on its way */
    bool introduction;

    char *path; /* owned */
    enum net_method method;
    enum net_class net_class;
    uint32_t leaf_first, leaf_count, idle_ms, rate_min_bytes_s;
    struct slice *body; /* owned array of borrowed slices */
    size_t body_count;
    const struct net_call_events *events;
    void *user;

    struct net_incoming incoming;
    unsigned status;
    bool replied;       /* reply_start was called */
    struct slice write; /* borrowed: what is left of the service's write */
    bool writing;       /* on_writable is owed */
    uint64_t write_end; /* bytes of the body that the service has given */
    struct sim_event writable;

    struct flow up, down;
    struct side side[2];
};

static struct sim_world *world_of(const struct sim_stream *s)
{
    return s->connection->client->node->world;
}

static uint64_t now_of(const struct sim_stream *s)
{
    return sim_world_now_ns(world_of(s));
}

struct sim_stream *sim_stream_waiting(struct list *link)
{
    return container_of(link, struct sim_stream, on_connection);
}

struct sim_stream *sim_stream_on_connection(struct list *link)
{
    return container_of(link, struct sim_stream, on_connection);
}

void sim_stream_ref(struct sim_stream *s)
{
    s->references++;
}

void sim_stream_unref(struct sim_stream *s)
{
    assert(s->references > 0);
    if (--s->references > 0)
        return;
    assert(!s->side[SIM_CLIENT].open && !s->side[SIM_SERVER].open);
    struct sim_connection *c = s->connection;
    sim_world_unschedule(world_of(s), &s->up.pump);
    sim_world_unschedule(world_of(s), &s->down.pump);
    sim_world_unschedule(world_of(s), &s->writable);
    free(s->path);
    free(s->body);
    free(s);
    sim_net_unref(c);
}

static void leave_connection(struct sim_stream *s)
{
    if (s->side[SIM_CLIENT].open || s->side[SIM_SERVER].open)
        return;
    list_remove(&s->on_connection);
    sim_net_touch(s->connection);
}

/* --- ends --- */

static void arrive_broken_off(struct sim_message *m)
{
    if (m->from == SIM_CLIENT)
        sim_stream_end(m->stream, SIM_SERVER, ERR_CANCELLED, "the client left");
    else
        sim_stream_end(m->stream, SIM_CLIENT, ERR_UNREACHABLE, "the peer broke the request off");
}

void sim_stream_end(struct sim_stream *s, enum sim_side side, enum err e, const char *words)
{
    struct side *own = &s->side[side];
    if (!own->open || own->ended)
        return;
    own->ended = true;
    own->e = e;
    own->words = words;
    sim_world_unschedule(world_of(s), &own->idle);
    sim_world_unschedule(world_of(s), side == SIM_CLIENT ? &s->up.pump : &s->down.pump);
    if (side == SIM_SERVER)
        sim_world_unschedule(world_of(s), &s->writable);
    struct sim_connection *c = s->connection;
    if (e != ERR_OK && s->begun && c->open[SIM_CLIENT] && c->open[SIM_SERVER])
        (void)sim_net_send(c, s, side, arrive_broken_off, "stream reset", 0, NULL, 0);
    sim_world_schedule(world_of(s), &own->end, 0);
}

static void client_ends(struct sim_event *event)
{
    struct sim_stream *s = container_of(event, struct sim_stream, side[SIM_CLIENT].end);
    struct side *own = &s->side[SIM_CLIENT];
    own->open = false;
    list_remove(&s->by_client);
    leave_connection(s);
    s->connection->client->counters.calls_now--;
    struct errmsg msg = {.text = ""};
    char id[ID_TEXT_SIZE];
    if (own->e != ERR_OK)
        (void)err_say(&msg, own->e, "the request %s to %.12s failed: %s: %s", s->path,
                      id_format(&s->connection->peer, id), err_words(own->e), own->words);
    if (s->introduction)
        sim_net_introduced(s->connection, own->e, s->status);
    else
        s->events->on_done(s->user, &s->call, own->e, &msg);
    sim_stream_unref(s);
}

static void server_ends(struct sim_event *event)
{
    struct sim_stream *s = container_of(event, struct sim_stream, side[SIM_SERVER].end);
    struct sim_net *server = s->connection->server;
    s->side[SIM_SERVER].open = false;
    list_remove(&s->by_server);
    leave_connection(s);
    if (server->service)
        server->service->on_closed(server->service_user, &s->exchange, s->side[SIM_SERVER].e);
    sim_net_served_one(s->connection);
    sim_stream_unref(s);
}

bool sim_stream_drain_one(struct sim_net *net)
{
    struct sim_event *event;
    if (!list_empty(&net->calls))
        event = &container_of(net->calls.next, struct sim_stream, by_client)->side[SIM_CLIENT].end;
    else if (!list_empty(&net->exchanges))
        event =
            &container_of(net->exchanges.next, struct sim_stream, by_server)->side[SIM_SERVER].end;
    else
        return false;
    assert(sim_event_is_scheduled(event));
    sim_world_run_now(net->node->world, event);
    return true;
}

/* --- idle: no movement, or too little --- */

static uint64_t idle_ns(const struct sim_stream *s, enum sim_side side)
{
    return (side == SIM_CLIENT ? s->idle_ms : (uint64_t)NET_IDLE_DEFAULT_MS) * 1000000;
}

/* Late by a quarter of the idle time at most. */
static void look_later(struct sim_stream *s, enum sim_side side)
{
    sim_world_schedule(world_of(s), &s->side[side].idle, idle_ns(s, side) / 4);
}

/* Is it the peer who keeps us waiting? A server that thinks is not timed, nor one that does not
   take its peer's bytes. */
static bool is_peers_turn(const struct sim_stream *s, enum sim_side side)
{
    if (side == SIM_CLIENT)
        return true;
    if (s->replied)
        return s->write.size > 0;
    return s->up.arrived < s->up.size && s->up.arrived - s->up.credited < NET_WINDOW_BYTES / 2;
}

/* Should bytes be moving? Between the request and its answer they need not. */
static bool should_flow(const struct sim_stream *s, enum sim_side side)
{
    return side == SIM_SERVER || s->up.arrived < s->up.size || s->status != 0;
}

static void time_out(struct sim_stream *s, enum sim_side side, const char *words)
{
    struct sim_connection *c = s->connection;
    bool dead = now_of(s) - c->received_ns >= idle_ns(s, side);
    c->references++;
    sim_stream_end(s, side, ERR_TIMEOUT, words);
    if (dead && side == SIM_CLIENT) /* a later call shall dial again */
        sim_net_close_side(c, SIM_CLIENT, ERR_UNREACHABLE);
    sim_net_unref(c);
}

static void look(struct sim_stream *s, enum sim_side side)
{
    struct side *own = &s->side[side];
    uint64_t now = now_of(s), idle = idle_ns(s, side);
    uint64_t rate = side == SIM_CLIENT ? s->rate_min_bytes_s : NET_RATE_MIN_DEFAULT;
    bool moved = own->moved != own->seen, excused = !is_peers_turn(s, side);
    if (moved || excused)
        own->moved_ns = now;
    if (now - own->moved_ns >= idle) {
        time_out(s, side, "nothing moved for the idle time");
        return;
    }
    if (!should_flow(s, side) || excused)
        own->rating = false;
    else if (!own->rating || now - own->rate_ns >= idle) {
        if (own->rating &&
            own->moved - own->rate_base < rate * ((now - own->rate_ns) / 1000000) / 1000) {
            time_out(s, side, "it moved less than the least rate");
            return;
        }
        own->rating = true;
        own->rate_base = own->moved;
        own->rate_ns = now;
    }
    own->seen = own->moved;
    look_later(s, side);
}

static void client_looks(struct sim_event *event)
{
    look(container_of(event, struct sim_stream, side[SIM_CLIENT].idle), SIM_CLIENT);
}

static void server_looks(struct sim_event *event)
{
    look(container_of(event, struct sim_stream, side[SIM_SERVER].idle), SIM_SERVER);
}

static void start_looking(struct sim_stream *s, enum sim_side side)
{
    s->side[side].moved_ns = now_of(s);
    look_later(s, side);
}

/* --- bodies --- */

/* The next piece of `flow`: up to 64 KiB, now and then less. */
static size_t piece(struct sim_net *sender, const struct flow *flow, uint64_t left)
{
    uint64_t window = NET_WINDOW_BYTES - (flow->sent - flow->acked);
    uint64_t size = left < window ? left : window;
    if (size > LIMIT_BODY_EVENT_BYTES)
        size = LIMIT_BODY_EVENT_BYTES;
    if (size > 1 && sim_world_next(sender->random_state) % 8 == 0)
        size = 1 + sim_world_next(sender->random_state) % size;
    return (size_t)size;
}

static void count_sent(struct sim_stream *s, struct sim_net *sender, size_t size)
{
    sender->counters.sent_body_bytes += size;
    sender->counters.sent_class_bytes[s->net_class] += size;
}

static void arrive_up_chunk(struct sim_message *m);
static void arrive_down_chunk(struct sim_message *m);

static void gather(const struct sim_stream *s, uint64_t offset, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < s->body_count && size > 0; i++) {
        struct slice part = s->body[i];
        if (offset >= part.size) {
            offset -= part.size;
            continue;
        }
        size_t take = part.size - (size_t)offset;
        if (take > size)
            take = size;
        memcpy(out, part.data + offset, take);
        out += take;
        size -= take;
        offset = 0;
    }
    assert(size == 0);
}

static void pump_up(struct sim_event *event)
{
    struct sim_stream *s = container_of(event, struct sim_stream, up.pump);
    struct sim_net *client = s->connection->client;
    uint64_t left = s->up.size - s->up.sent;
    size_t size = left ? piece(client, &s->up, left) : 0;
    if (s->side[SIM_CLIENT].ended || size == 0)
        return;
    uint8_t *bytes = sim_world_alloc(size);
    gather(s, s->up.sent, bytes, size);
    s->up.sent += size;
    count_sent(s, client, size);
    uint64_t free_ns =
        sim_net_send(s->connection, s, SIM_CLIENT, arrive_up_chunk, "body", 0, bytes, size);
    free(bytes);
    if (s->up.sent < s->up.size)
        sim_world_schedule_at(world_of(s), event, free_ns);
}

static void pump_down(struct sim_event *event)
{
    struct sim_stream *s = container_of(event, struct sim_stream, down.pump);
    struct sim_net *server = s->connection->server;
    if (s->side[SIM_SERVER].ended || s->write.size == 0)
        return;
    size_t size = piece(server, &s->down, s->write.size);
    if (size == 0)
        return;
    uint8_t *bytes = sim_world_alloc(size);
    memcpy(bytes, s->write.data, size);
    if (server->tamper)
        server->tamper(server->tamper_user, s->path, s->down.sent, bytes, size);
    s->write = slice_of(s->write.data + size, s->write.size - size);
    s->down.sent += size;
    count_sent(s, server, size);
    uint64_t free_ns =
        sim_net_send(s->connection, s, SIM_SERVER, arrive_down_chunk, "reply body", 0, bytes, size);
    free(bytes);
    if (s->write.size > 0)
        sim_world_schedule_at(world_of(s), event, free_ns);
    else if (s->down.sent == s->down.size)
        sim_stream_end(s, SIM_SERVER, ERR_OK, "");
    else
        sim_world_schedule_at(world_of(s), &s->writable, free_ns);
}

static void tell_writable(struct sim_event *event)
{
    struct sim_stream *s = container_of(event, struct sim_stream, writable);
    struct sim_net *server = s->connection->server;
    s->writing = false;
    server->service->on_writable(server->service_user, &s->exchange);
}

static void arrive_up_credit(struct sim_message *m)
{
    struct sim_stream *s = m->stream;
    s->up.acked += m->number;
    if (s->side[SIM_CLIENT].open && !s->side[SIM_CLIENT].ended &&
        !sim_event_is_scheduled(&s->up.pump))
        sim_world_schedule(world_of(s), &s->up.pump, 0);
}

static void arrive_down_credit(struct sim_message *m)
{
    struct sim_stream *s = m->stream;
    s->down.acked += m->number;
    s->side[SIM_SERVER].moved += m->number;
    if (s->side[SIM_SERVER].open && !s->side[SIM_SERVER].ended && s->write.size > 0 &&
        !sim_event_is_scheduled(&s->down.pump))
        sim_world_schedule(world_of(s), &s->down.pump, 0);
}

static void credit_up(struct sim_stream *s, uint64_t size)
{
    s->up.credited += size;
    s->side[SIM_SERVER].moved += size;
    assert(s->up.credited <= s->up.arrived); /* credited more than was delivered */
    if (s->connection->open[SIM_SERVER] && s->up.arrived < s->up.size) /* else nobody waits */
        (void)sim_net_send(s->connection, s, SIM_SERVER, arrive_up_credit, "credit", size, NULL, 0);
}

static void arrive_up_chunk(struct sim_message *m)
{
    struct sim_stream *s = m->stream;
    s->up.arrived += m->size;
    s->side[SIM_CLIENT].moved += m->size; /* TCP has told the client's kernel */
    s->side[SIM_SERVER].moved += m->size;
    if (!s->side[SIM_SERVER].open || s->side[SIM_SERVER].ended)
        return;
    if (s->replied) {
        credit_up(s, m->size); /* thrown away */
        return;
    }
    struct sim_net *server = s->connection->server;
    server->service->on_body(server->service_user, &s->exchange, slice_of(m->bytes, m->size));
    if (s->up.arrived == s->up.size && !s->side[SIM_SERVER].ended && !s->replied)
        server->service->on_body_end(server->service_user, &s->exchange);
}

static void arrive_down_chunk(struct sim_message *m)
{
    struct sim_stream *s = m->stream;
    struct side *own = &s->side[SIM_CLIENT];
    s->down.arrived += m->size;
    own->moved += m->size;
    if (!own->open || own->ended)
        return;
    bool last = s->down.arrived == s->down.size;
    if (!s->introduction)
        s->events->on_body(s->user, &s->call, slice_of(m->bytes, m->size));
    else
        net_call_credit(&s->call, m->size);
    if (last)
        sim_stream_end(s, SIM_CLIENT, ERR_OK, "");
}

/* --- heads --- */

static void arrive_reply_head(struct sim_message *m)
{
    struct sim_stream *s = m->stream;
    struct side *own = &s->side[SIM_CLIENT];
    own->moved += m->size;
    if (!own->open || own->ended)
        return;
    s->status = (unsigned)m->number;
    if (!s->introduction)
        s->events->on_response(s->user, &s->call, s->status, s->down.size);
    if (s->down.size == 0 || s->method == NET_HEAD)
        sim_stream_end(s, SIM_CLIENT, ERR_OK, "");
}

static void arrive_request_head(struct sim_message *m)
{
    struct sim_stream *s = m->stream;
    struct sim_connection *c = m->connection;
    struct sim_net *server = c->server;
    struct side *own = &s->side[SIM_SERVER];
    own->open = true;
    own->end = (struct sim_event){.run = server_ends, .kind = "closed", .node = server->node};
    own->idle = (struct sim_event){.run = server_looks, .kind = "server idle?", .node = NULL};
    s->down.pump = (struct sim_event){.run = pump_down, .kind = "reply pump", .node = NULL};
    s->writable =
        (struct sim_event){.run = tell_writable, .kind = "writable", .node = server->node};
    s->exchange.ops = &sim_stream_ops;
    c->served++;
    sim_stream_ref(s);
    if (list_empty(&s->on_connection)) /* the client has left already, its reset is on its way */
        list_append(&c->streams, &s->on_connection);
    list_append(&server->exchanges, &s->by_server);
    server->counters.requests++;
    server->counters.exchanges_now++;
    start_looking(s, SIM_SERVER);
    s->incoming = (struct net_incoming){.session = &c->session,
                                        .method = s->method,
                                        .path = s->path,
                                        .body_size = s->up.size,
                                        .leaf_first = s->leaf_first,
                                        .leaf_count = s->leaf_count};
    if (!server->service) {
        if (net_reply_start(&s->exchange, 503, 0) != ERR_OK)
            assert(false);
        return;
    }
    server->service->on_request(server->service_user, &s->exchange, &s->incoming);
    /* without a body its end comes with the head: as in HTTP/2 it is told even when the service
       has replied at once */
    if (s->up.size == 0 && (!own->ended || own->e == ERR_OK))
        server->service->on_body_end(server->service_user, &s->exchange);
}

/* --- the port's calls --- */

static struct sim_stream *new_stream(struct sim_net *net, const struct net_request *request)
{
    struct sim_stream *s = sim_world_alloc(sizeof(*s));
    s->call.ops = &sim_stream_ops;
    s->references = 1; /* the client's side */
    s->path = sim_world_copy_text(request->path);
    s->method = request->method;
    s->net_class = request->net_class;
    s->leaf_first = request->leaf_first;
    s->leaf_count = request->leaf_count;
    s->idle_ms = request->idle_timeout_ms ? request->idle_timeout_ms : NET_IDLE_DEFAULT_MS;
    s->rate_min_bytes_s =
        request->rate_min_bytes_s ? request->rate_min_bytes_s : NET_RATE_MIN_DEFAULT;
    s->body_count = request->body_count;
    s->body = sim_world_alloc((request->body_count + 1) * sizeof(*s->body));
    for (size_t i = 0; i < request->body_count; i++) {
        s->body[i] = request->body[i];
        s->up.size += request->body[i].size;
    }
    struct side *own = &s->side[SIM_CLIENT];
    own->open = true;
    own->end = (struct sim_event){.run = client_ends, .kind = "done", .node = net->node};
    own->idle = (struct sim_event){.run = client_looks, .kind = "client idle?", .node = NULL};
    s->up.pump = (struct sim_event){.run = pump_up, .kind = "pump", .node = NULL};
    list_init(&s->on_connection);
    list_init(&s->by_server);
    list_append(&net->calls, &s->by_client);
    net->counters.calls++;
    net->counters.calls_now++;
    return s;
}

static void join(struct sim_stream *s, struct sim_connection *c)
{
    s->connection = c;
    c->references++;
}

void sim_stream_begin(struct sim_stream *s)
{
    struct sim_connection *c = s->connection;
    list_append(&c->streams, &s->on_connection);
    sim_net_touch(c);
    s->begun = true;
    (void)sim_net_send(c, s, SIM_CLIENT, arrive_request_head, "request", 0, NULL, strlen(s->path));
    start_looking(s, SIM_CLIENT);
    if (s->up.size > 0)
        pump_up(&s->up.pump);
}

void sim_stream_introduce(struct sim_connection *c)
{
    struct sim_net *net = c->client;
    struct slice bytes = slice_of(net->introduce_bytes, net->introduce_size);
    struct net_request request = {.method = NET_POST,
                                  .path = net->introduce_path,
                                  .net_class = NET_OTHER,
                                  .body = &bytes,
                                  .body_count = 1};
    struct sim_stream *s = new_stream(net, &request);
    s->introduction = true;
    c->introduced = net->introduce_number;
    /* a later introduction may replace the bytes while these are on their way: they all fit into
       the window, so they go out now */
    join(s, c);
    sim_stream_begin(s);
    while (s->up.sent < s->up.size)
        pump_up(&s->up.pump);
    sim_world_unschedule(world_of(s), &s->up.pump);
}

static enum err call_start(struct net *base, const struct net_request *request,
                           const struct net_call_events *events, void *user, struct net_call **out,
                           struct errmsg *msg)
{
    struct sim_net *net = container_of(base, struct sim_net, net);
    if (!request->path || request->path[0] != '/' || strlen(request->path) > LIMIT_PATH_BYTES)
        return err_say(msg, ERR_USAGE, "a request's path begins with / and has at most %u bytes",
                       LIMIT_PATH_BYTES);
    if (!net->node->alive)
        return err_say(msg, ERR_UNREACHABLE, "the network of %s is gone", net->node->name);
    if (net->fail_calls && fault_hit(net->fail_calls))
        return err_say(msg, ERR_NOMEM, "out of memory (injected)");
    struct sim_stream *s = new_stream(net, request);
    s->events = events;
    s->user = user;
    struct sim_connection *c = sim_net_connection(net, &request->target);
    join(s, c);
    if (c->state == SIM_READY)
        sim_stream_begin(s);
    else
        list_append(&c->waiting, &s->on_connection);
    if (out)
        *out = &s->call;
    return ERR_OK;
}

static void call_credit(struct net_call *call, size_t size)
{
    struct sim_stream *s = container_of(call, struct sim_stream, call);
    s->down.credited += size;
    s->side[SIM_CLIENT].moved += size;
    assert(s->down.credited <= s->down.arrived); /* credited more than was delivered */
    if (s->connection->open[SIM_CLIENT] && s->connection->server &&
        s->down.arrived < s->down.size) /* else nobody waits for it */
        (void)sim_net_send(s->connection, s, SIM_CLIENT, arrive_down_credit, "credit", size, NULL,
                           0);
}

static void call_cancel(struct net_call *call)
{
    struct sim_stream *s = container_of(call, struct sim_stream, call);
    if (!s->begun)
        list_remove(&s->on_connection); /* it waited for the connection */
    sim_stream_end(s, SIM_CLIENT, ERR_CANCELLED, "we cancelled it");
}

static void exchange_credit(struct net_exchange *x, size_t size)
{
    credit_up(container_of(x, struct sim_stream, exchange), size);
}

/* An exchange that has ended takes nothing more: its on_closed is on its way. */
static enum err usable(const struct sim_stream *s)
{
    const struct side *own = &s->side[SIM_SERVER];
    assert(own->open);
    if (!own->ended)
        return ERR_OK;
    return own->e == ERR_OK ? ERR_STATE : own->e;
}

static enum err reply_start(struct net_exchange *x, unsigned status, uint64_t body_size)
{
    struct sim_stream *s = container_of(x, struct sim_stream, exchange);
    enum err e = usable(s);
    if (e != ERR_OK)
        return e;
    if (s->replied)
        return ERR_STATE;
    s->replied = true;
    s->down.size = body_size;
    (void)sim_net_send(s->connection, s, SIM_SERVER, arrive_reply_head, "response", status, NULL,
                       32);
    if (body_size == 0 || s->method == NET_HEAD)
        sim_stream_end(s, SIM_SERVER, ERR_OK, "");
    return ERR_OK;
}

static enum err reply_write(struct net_exchange *x, struct slice bytes)
{
    struct sim_stream *s = container_of(x, struct sim_stream, exchange);
    enum err e = usable(s);
    if (e != ERR_OK)
        return e;
    if (!s->replied || s->writing)
        return ERR_STATE;
    if (bytes.size > s->down.size - s->write_end)
        return ERR_TOO_LARGE;
    s->write = bytes;
    s->writing = true;
    if (bytes.size == 0) {
        sim_world_schedule(world_of(s), &s->writable, 0);
        return ERR_OK;
    }
    s->write_end += bytes.size;
    pump_down(&s->down.pump);
    return ERR_OK;
}

static void exchange_abort(struct net_exchange *x)
{
    struct sim_stream *s = container_of(x, struct sim_stream, exchange);
    sim_stream_end(s, SIM_SERVER, ERR_CANCELLED, "the service broke it off");
}

static void serve(struct net *base, const struct net_service *service, void *user)
{
    struct sim_net *net = container_of(base, struct sim_net, net);
    net->service = service;
    net->service_user = user;
}

static enum err introduce(struct net *base, const char *path, struct slice bytes)
{
    struct sim_net *net = container_of(base, struct sim_net, net);
    if (bytes.size > NET_WINDOW_BYTES)
        return ERR_TOO_LARGE;
    free(net->introduce_path);
    free(net->introduce_bytes);
    net->introduce_path = sim_world_copy_text(path);
    net->introduce_bytes = sim_world_alloc(bytes.size);
    net->introduce_size = bytes.size;
    net->introduce_number++;
    if (bytes.size)
        memcpy(net->introduce_bytes, bytes.data, bytes.size);
    list_for_each(link, &net->dialled)
    {
        struct sim_connection *c = container_of(link, struct sim_connection, by_client);
        if (c->state == SIM_READY)
            sim_stream_introduce(c);
    }
    return ERR_OK;
}

const struct net_ops sim_stream_ops = {
    .call_start = call_start,
    .call_credit = call_credit,
    .call_cancel = call_cancel,
    .exchange_credit = exchange_credit,
    .reply_start = reply_start,
    .reply_write = reply_write,
    .exchange_abort = exchange_abort,
    .serve = serve,
    .introduce = introduce,
};

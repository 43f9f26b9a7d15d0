#include "harness/sim_net_internal.h"

#include <stdio.h>
#include <stdlib.h>

struct address {
    struct list link;
    char text[]; /* NUL-terminated */
};

enum { FRAME_BYTES = 64 }; /* what a message takes on the line beside its bytes */

/* --- lines --- */

static uint64_t draw_below(struct sim_net *net, uint64_t bound)
{
    return bound ? sim_world_next(net->random_state) % bound : 0;
}

static uint64_t latency_ns(struct sim_net *from, struct sim_net *to)
{
    uint64_t us = from->line.latency_us + to->line.latency_us +
                  draw_below(from, from->line.jitter_us + to->line.jitter_us + 1);
    return us * 1000;
}

static uint64_t line_ns(uint64_t bytes, uint64_t bytes_s)
{
    return bytes_s ? bytes * 1000000000 / bytes_s : 0;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static bool is_cut(const struct sim_net *from, const struct sim_net *to)
{
    return from->cut_to[to->node->index];
}

void sim_net_set_line(struct sim_node *node, const struct sim_line *line)
{
    node->sim_net->line = *line;
}

/* --- addresses --- */

static struct sim_net *find_address(const struct sim_world *world, const char *text,
                                    struct address **out)
{
    for (unsigned i = 0; i < sim_world_node_count(world); i++) {
        struct sim_net *net = sim_world_node(world, i)->sim_net;
        if (!net)
            continue; /* a node that is being made */
        list_for_each(link, &net->addresses)
        {
            struct address *a = container_of(link, struct address, link);
            if (strcmp(a->text, text) == 0) {
                *out = a;
                return net;
            }
        }
    }
    return NULL;
}

void sim_net_remove_address(struct sim_world *world, const char *address)
{
    struct address *a;
    if (find_address(world, address, &a)) {
        list_remove(&a->link);
        free(a);
    }
}

void sim_net_add_address(struct sim_node *node, const char *address)
{
    sim_net_remove_address(node->world, address);
    struct address *a = sim_world_alloc(sizeof(*a) + strlen(address) + 1);
    memcpy(a->text, address, strlen(address) + 1);
    list_append(&node->sim_net->addresses, &a->link);
}

/* --- messages --- */

static void arrival_of(struct sim_connection *c, enum sim_side from)
{
    if (list_empty(&c->queue[from]) || c->stalled[from])
        return;
    struct sim_message *first = container_of(c->queue[from].next, struct sim_message, link);
    c->arrival[from].kind = first->kind;
    c->arrival[from].node = sim_net_of(c, from == SIM_CLIENT ? SIM_SERVER : SIM_CLIENT)->node;
    sim_world_schedule_at(c->client->node->world, &c->arrival[from], first->due_ns);
}

static void free_message(struct sim_message *m)
{
    if (m->stream)
        sim_stream_unref(m->stream);
    sim_net_unref(m->connection);
    free(m->bytes);
    free(m);
}

uint64_t sim_net_send(struct sim_connection *c, struct sim_stream *stream, enum sim_side from,
                      void (*arrive)(struct sim_message *message), const char *kind,
                      uint64_t number, const uint8_t *bytes, size_t size)
{
    struct sim_net *sender = sim_net_of(c, from);
    struct sim_net *receiver = sim_net_of(c, from == SIM_CLIENT ? SIM_SERVER : SIM_CLIENT);
    struct sim_message *m = sim_world_alloc(sizeof(*m));
    m->connection = c;
    c->references++;
    m->stream = stream;
    if (stream)
        sim_stream_ref(stream);
    m->from = from;
    m->arrive = arrive;
    m->kind = kind;
    m->number = number;
    m->size = size;
    if (bytes) {
        m->bytes = sim_world_alloc(size);
        memcpy(m->bytes, bytes, size);
    }
    uint64_t now = sim_world_now_ns(sender->node->world);
    uint64_t left_ns =
        max_u64(now, sender->up_free_ns) + line_ns(size + FRAME_BYTES, sender->line.up_bytes_s);
    uint64_t there_ns = left_ns + latency_ns(sender, receiver);
    if (sender->line.up_bytes_s)
        sender->up_free_ns = left_ns;
    if (receiver->line.down_bytes_s) {
        there_ns = max_u64(there_ns, receiver->down_free_ns) +
                   line_ns(size + FRAME_BYTES, receiver->line.down_bytes_s);
        receiver->down_free_ns = there_ns;
    }
    if (!list_empty(&c->queue[from]))
        there_ns = max_u64(there_ns,
                           container_of(c->queue[from].previous, struct sim_message, link)->due_ns);
    m->due_ns = there_ns;
    bool first = list_empty(&c->queue[from]);
    list_append(&c->queue[from], &m->link);
    if (first)
        arrival_of(c, from);
    return left_ns;
}

static void arrive_reset(struct sim_message *m)
{
    enum sim_side to = m->from == SIM_CLIENT ? SIM_SERVER : SIM_CLIENT;
    sim_net_close_side(m->connection, to, ERR_UNREACHABLE);
}

static void break_now(struct sim_connection *c)
{
    c->references++;
    if (c->open[SIM_CLIENT])
        c->client->counters.broken++;
    if (c->open[SIM_SERVER])
        c->server->counters.broken++;
    /* nobody is told: both know */
    bool server_open = c->open[SIM_SERVER];
    c->open[SIM_SERVER] = false;
    sim_net_close_side(c, SIM_CLIENT, ERR_UNREACHABLE);
    c->open[SIM_SERVER] = server_open;
    sim_net_close_side(c, SIM_SERVER, ERR_UNREACHABLE);
    sim_net_unref(c);
}

static void deliver(struct sim_connection *c, enum sim_side from)
{
    enum sim_side to = from == SIM_CLIENT ? SIM_SERVER : SIM_CLIENT;
    struct sim_net *sender = sim_net_of(c, from), *receiver = sim_net_of(c, to);
    if (is_cut(sender, receiver)) {
        c->stalled[from] = true;
        return;
    }
    struct sim_message *m = container_of(list_pop(&c->queue[from]), struct sim_message, link);
    c->references++;
    arrival_of(c, from);
    if (to == SIM_CLIENT)
        c->received_ns = sim_world_now_ns(sender->node->world);
    uint64_t risk = sender->line.break_per_million + receiver->line.break_per_million;
    if (!c->open[to]) {
        /* nobody is at home: the sender's side is told, unless the machine is off */
        if (c->open[from] && !receiver->silent && m->arrive != arrive_reset)
            (void)sim_net_send(c, NULL, to, arrive_reset, "connection reset", 0, NULL, 0);
    } else if (risk && draw_below(sender, 1000000) < risk)
        break_now(c);
    else
        m->arrive(m);
    free_message(m);
    sim_net_unref(c);
}

static void client_message_arrives(struct sim_event *event)
{
    deliver(container_of(event, struct sim_connection, arrival[SIM_CLIENT]), SIM_CLIENT);
}

static void server_message_arrives(struct sim_event *event)
{
    deliver(container_of(event, struct sim_connection, arrival[SIM_SERVER]), SIM_SERVER);
}

/* --- connections --- */

void sim_net_unref(struct sim_connection *c)
{
    assert(c->references > 0);
    if (--c->references > 0)
        return;
    assert(!c->open[SIM_CLIENT] && !c->open[SIM_SERVER] && c->served == 0);
    for (size_t i = 0; i < c->address_count; i++)
        free(c->addresses[i]);
    free(c->addresses);
    list_remove(&c->by_dialler);
    free(c);
}

static void end_session(struct sim_connection *c)
{
    if (c->open[SIM_SERVER] || c->served > 0)
        return;
    if (c->session.user && c->session.user_free)
        c->session.user_free(c->session.user);
    c->session.user = NULL;
    c->session.user_free = NULL;
}

void sim_net_served_one(struct sim_connection *c)
{
    assert(c->served > 0);
    c->served--;
    c->server->counters.exchanges_now--;
    end_session(c);
}

void sim_net_fail_waiting(struct sim_connection *c, enum err e, const char *words)
{
    while (!list_empty(&c->waiting)) {
        struct sim_stream *stream = sim_stream_waiting(c->waiting.next);
        list_remove(c->waiting.next);
        sim_stream_end(stream, SIM_CLIENT, e, words);
    }
}

void sim_net_close_side(struct sim_connection *c, enum sim_side side, enum err e)
{
    if (!c->open[side])
        return;
    enum sim_side other = side == SIM_CLIENT ? SIM_SERVER : SIM_CLIENT;
    struct sim_net *net = sim_net_of(c, side);
    c->open[side] = false;
    if (c->open[other] && !net->silent)
        (void)sim_net_send(c, NULL, side, arrive_reset, "connection reset", 0, NULL, 0);
    list_for_each(link, &c->streams)
        sim_stream_end(sim_stream_on_connection(link), side, e, "the connection broke");
    net->counters.connections -= side == SIM_SERVER || c->state >= SIM_INTRODUCING;
    if (side == SIM_CLIENT) {
        c->state = SIM_GONE;
        sim_world_unschedule(net->node->world, &c->dial);
        sim_world_unschedule(net->node->world, &c->idle);
        sim_net_fail_waiting(c, e, "the connection broke");
        list_remove(&c->by_client);
    } else {
        list_remove(&c->by_server);
        end_session(c);
    }
    sim_net_unref(c);
}

static void idle_too_long(struct sim_event *event)
{
    struct sim_connection *c = container_of(event, struct sim_connection, idle);
    sim_net_close_side(c, SIM_CLIENT, ERR_UNREACHABLE);
}

void sim_net_touch(struct sim_connection *c)
{
    if (c->state == SIM_READY && list_empty(&c->streams))
        sim_world_schedule(c->client->node->world, &c->idle, c->client->idle_close_ms * 1000000);
    else
        sim_world_unschedule(c->client->node->world, &c->idle);
}

/* --- dialling: address after address --- */

static void dial_next(struct sim_event *event);

static void dial_failed(struct sim_connection *c)
{
    c->references++;
    sim_net_fail_waiting(c, c->dial_error, c->dial_words);
    sim_net_close_side(c, SIM_CLIENT, c->dial_error);
    sim_net_unref(c);
}

static void not_this_one(struct sim_connection *c, enum err e, const char *why)
{
    /* a wrong peer says more than an address that does not answer */
    if (c->dial_error != ERR_WRONG_PEER) {
        c->dial_error = e;
        (void)snprintf(c->dial_words, sizeof(c->dial_words), "%s %s", c->addresses[c->address_at],
                       why);
    }
    c->address_at++;
    c->dial.run = dial_next;
    sim_world_schedule(c->client->node->world, &c->dial, 0);
}

static void ready(struct sim_connection *c)
{
    c->state = SIM_READY;
    while (!list_empty(&c->waiting)) {
        struct sim_stream *stream = sim_stream_waiting(c->waiting.next);
        list_remove(c->waiting.next);
        sim_stream_begin(stream);
    }
    sim_net_touch(c);
}

void sim_net_introduced(struct sim_connection *c, enum err e, unsigned status)
{
    if (c->state != SIM_INTRODUCING)
        return;
    if (e == ERR_OK && status >= 200 && status < 300) {
        if (c->introduced == c->client->introduce_number)
            ready(c);
        else
            sim_stream_introduce(c); /* it has changed meanwhile */
        return;
    }
    c->references++;
    sim_net_fail_waiting(c, e == ERR_OK ? ERR_DENIED : e, "the introduction was not accepted");
    sim_net_close_side(c, SIM_CLIENT, ERR_DENIED);
    sim_net_unref(c);
}

static void connect_to(struct sim_connection *c, struct sim_net *server)
{
    c->server = server;
    c->open[SIM_SERVER] = true;
    c->references++;
    list_append(&server->accepted, &c->by_server);
    c->session.peer = c->client->node->id;
    memcpy(c->session.peer_key, c->client->node->key, sizeof(c->session.peer_key));
    (void)snprintf(c->session.address, sizeof(c->session.address), "sim-node-%u",
                   c->client->node->index);
    c->received_ns = sim_world_now_ns(server->node->world);
    c->client->counters.dialled++;
    c->client->counters.connections++;
    server->counters.connections++;
    if (c->client->introduce_path) {
        c->state = SIM_INTRODUCING;
        sim_stream_introduce(c);
    } else
        ready(c);
}

static void dial_answered(struct sim_event *event)
{
    struct sim_connection *c = container_of(event, struct sim_connection, dial);
    struct sim_net *found = c->dial_found;
    if (!found)
        not_this_one(c, ERR_UNREACHABLE, "is no known address");
    else if (is_cut(c->client, found) || is_cut(found, c->client) || found->silent)
        not_this_one(c, ERR_UNREACHABLE, "does not answer");
    else if (!found->node->alive || found->refuse)
        not_this_one(c, ERR_UNREACHABLE, "refuses the connection");
    else if (!id_equal(&found->node->id, &c->peer))
        not_this_one(c, ERR_WRONG_PEER, "belongs to another peer");
    else
        connect_to(c, found);
}

static void dial_next(struct sim_event *event)
{
    struct sim_connection *c = container_of(event, struct sim_connection, dial);
    struct sim_world *world = c->client->node->world;
    if (c->address_at == c->address_count) {
        dial_failed(c);
        return;
    }
    struct address *a;
    struct sim_net *found = find_address(world, c->addresses[c->address_at], &a);
    c->dial_found = found;
    uint64_t takes = 1000000;
    if (found && (is_cut(c->client, found) || is_cut(found, c->client) || found->silent))
        takes = SIM_NET_CONNECT_MS * (uint64_t)1000000;
    else if (found) /* TCP's round trip, then TLS's */
        takes = 2 * (latency_ns(c->client, found) + latency_ns(found, c->client));
    c->dial.run = dial_answered;
    sim_world_schedule(world, &c->dial, takes);
}

static struct sim_connection *new_connection(struct sim_net *net, const struct net_target *target)
{
    struct sim_connection *c = sim_world_alloc(sizeof(*c));
    c->client = net;
    c->peer = target->id;
    c->open[SIM_CLIENT] = true;
    c->references = 1;
    list_init(&c->by_server);
    list_init(&c->waiting);
    list_init(&c->streams);
    for (int side = 0; side < 2; side++)
        list_init(&c->queue[side]);
    c->arrival[SIM_CLIENT].run = client_message_arrives;
    c->arrival[SIM_SERVER].run = server_message_arrives;
    c->idle =
        (struct sim_event){.run = idle_too_long, .kind = "idle connection", .node = net->node};
    c->dial = (struct sim_event){.run = dial_next, .kind = "dial", .node = net->node};
    c->addresses = sim_world_alloc((target->address_count + 1) * sizeof(*c->addresses));
    for (; c->address_count < target->address_count; c->address_count++)
        c->addresses[c->address_count] = sim_world_copy_text(target->addresses[c->address_count]);
    c->dial_error = ERR_UNREACHABLE;
    (void)snprintf(c->dial_words, sizeof(c->dial_words), "no address is known");
    list_append(&net->dialled, &c->by_client);
    list_append(&net->all, &c->by_dialler);
    sim_world_schedule(net->node->world, &c->dial, 0);
    return c;
}

struct sim_connection *sim_net_connection(struct sim_net *net, const struct net_target *target)
{
    list_for_each(link, &net->dialled)
    {
        struct sim_connection *c = container_of(link, struct sim_connection, by_client);
        if (id_equal(&c->peer, &target->id))
            return c;
    }
    return new_connection(net, target);
}

/* --- faults --- */

void sim_net_refuse(struct sim_node *node, bool refuse)
{
    node->sim_net->refuse = refuse;
}

void sim_net_cut(struct sim_node *from, struct sim_node *to)
{
    from->sim_net->cut_to[to->index] = true;
}

static void unstall(struct sim_connection *c, enum sim_side from)
{
    if (!c->stalled[from])
        return;
    c->stalled[from] = false;
    struct sim_net *sender = sim_net_of(c, from);
    struct sim_net *receiver = sim_net_of(c, from == SIM_CLIENT ? SIM_SERVER : SIM_CLIENT);
    uint64_t due = sim_world_now_ns(sender->node->world) + latency_ns(sender, receiver);
    list_for_each(link, &c->queue[from])
    {
        struct sim_message *m = container_of(link, struct sim_message, link);
        m->due_ns = max_u64(m->due_ns, due);
    }
    arrival_of(c, from);
}

void sim_net_mend(struct sim_node *from, struct sim_node *to)
{
    from->sim_net->cut_to[to->index] = false;
    list_for_each(link, &from->sim_net->all)
    {
        struct sim_connection *c = container_of(link, struct sim_connection, by_dialler);
        if (c->server == to->sim_net)
            unstall(c, SIM_CLIENT);
    }
    list_for_each(link, &to->sim_net->all)
    {
        struct sim_connection *c = container_of(link, struct sim_connection, by_dialler);
        if (c->server == from->sim_net)
            unstall(c, SIM_SERVER);
    }
}

void sim_net_partition(struct sim_node *const *group, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct sim_world *world = group[i]->world;
        for (unsigned n = 0; n < sim_world_node_count(world); n++) {
            struct sim_node *other = sim_world_node(world, n);
            bool inside = false;
            for (size_t j = 0; j < count; j++)
                inside = inside || group[j] == other;
            if (!inside) {
                sim_net_cut(group[i], other);
                sim_net_cut(other, group[i]);
            }
        }
    }
}

void sim_net_heal(struct sim_world *world)
{
    for (unsigned i = 0; i < sim_world_node_count(world); i++)
        for (unsigned j = 0; j < sim_world_node_count(world); j++)
            if (sim_world_node(world, i)->sim_net->cut_to[j])
                sim_net_mend(sim_world_node(world, i), sim_world_node(world, j));
}

static void break_between(struct sim_net *client, const struct sim_net *server)
{
    for (struct list *link = client->all.next, *next; link != &client->all; link = next) {
        next = link->next;
        struct sim_connection *c = container_of(link, struct sim_connection, by_dialler);
        if (c->server == server && c->state >= SIM_INTRODUCING)
            break_now(c);
    }
}

void sim_net_break(struct sim_node *a, struct sim_node *b)
{
    break_between(a->sim_net, b->sim_net);
    break_between(b->sim_net, a->sim_net);
}

void sim_net_set_idle_close(struct sim_node *node, uint64_t idle_ms)
{
    node->sim_net->idle_close_ms = idle_ms;
}

void sim_net_tamper(struct sim_node *node, sim_net_tamper_fn *tamper, void *user)
{
    node->sim_net->tamper = tamper;
    node->sim_net->tamper_user = user;
}

void sim_net_fail_calls(struct sim_node *node, struct fault *fault)
{
    node->sim_net->fail_calls = fault;
}

void sim_net_counters(const struct sim_node *node, struct sim_net_counters *out)
{
    *out = node->sim_net->counters;
}

/* --- a node's net --- */

struct sim_net *sim_net_new(struct sim_node *node)
{
    struct sim_net *net = sim_world_alloc(sizeof(*net));
    net->net.ops = &sim_stream_ops;
    net->net.self = node->id;
    net->node = node;
    net->line.latency_us = SIM_NET_LATENCY_DEFAULT_US;
    net->idle_close_ms = SIM_NET_IDLE_CLOSE_MS;
    list_init(&net->addresses);
    list_init(&net->dialled);
    list_init(&net->accepted);
    list_init(&net->all);
    list_init(&net->calls);
    list_init(&net->exchanges);
    sim_world_seed_stream(net->random_state,
                          sim_world_seed(node->world) ^ (0x6e6574u + (uint64_t)node->index * 31));
    node->net = &net->net;
    return net;
}

void sim_net_down(struct sim_net *net, bool silent)
{
    net->silent = silent;
    while (!list_empty(&net->dialled))
        sim_net_close_side(container_of(net->dialled.next, struct sim_connection, by_client),
                           SIM_CLIENT, ERR_UNREACHABLE);
    while (!list_empty(&net->accepted))
        sim_net_close_side(container_of(net->accepted.next, struct sim_connection, by_server),
                           SIM_SERVER, ERR_UNREACHABLE);
    free(net->introduce_path);
    free(net->introduce_bytes);
    net->introduce_path = NULL;
    net->introduce_bytes = NULL;
}

void sim_net_up(struct sim_net *net)
{
    net->silent = false;
    net->service = NULL;
}

bool sim_net_drain_one(struct sim_net *net)
{
    return sim_stream_drain_one(net);
}

void sim_net_forget(struct sim_net *net)
{
    while (!list_empty(&net->all)) {
        struct sim_connection *c = container_of(net->all.next, struct sim_connection, by_dialler);
        c->references++;
        for (int side = 0; side < 2; side++) {
            sim_world_unschedule(net->node->world, &c->arrival[side]);
            struct list *link;
            while ((link = list_pop(&c->queue[side])) != NULL)
                free_message(container_of(link, struct sim_message, link));
        }
        assert(c->references == 1);
        sim_net_unref(c);
    }
}

void sim_net_free(struct sim_net *net)
{
    while (!list_empty(&net->addresses)) {
        struct list *link = list_pop(&net->addresses);
        free(container_of(link, struct address, link));
    }
    free(net);
}

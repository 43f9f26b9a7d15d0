/*
 * The simulated network: the net port (port/net.h) between the nodes of a world.
 *
 * Who dials is the client of a connection, who was dialled serves on it; a client keeps one
 * connection a peer and closes it after SIM_NET_IDLE_CLOSE_MS without a request. There is no TLS:
 * a node is its `id` and `key`, and dialling an address that belongs to another ID ends with
 * ERR_WRONG_PEER.
 *
 * Lines. A byte from a to b waits for a's uplink, travels a's plus b's latency plus jitter, then
 * waits for b's downlink. Messages of one connection keep their order. Body events are cut at up to
 * 64 KiB, now and then smaller (seeded), so that nobody relies on their size.
 *
 * Faults.
 *     dead node       killed or stopped: connections break after the latency, dialling is refused;
 *                     power cut: silence, dialling takes SIM_NET_CONNECT_MS
 *     sim_net_refuse  dialling is refused
 *     sim_net_cut     nothing passes from a to b; what is on its way waits, and arrives after
 *                     sim_net_mend if the connection still stands (as TCP does)
 *     sim_net_break   all connections between two nodes break
 *     line.break_per_million   of messages: the connection breaks instead
 *     sim_net_tamper  what a node answers is changed: a lying cell
 *     sim_net_fail_calls  the N-th net_call_start of a node fails (ERR_NOMEM)
 *
 * Errors are those of lib/uvio: a call ends with ERR_UNREACHABLE when its connection or stream
 * broke; an exchange whose client left with ERR_CANCELLED, one whose connection broke with
 * ERR_UNREACHABLE. A request to a node without a service is answered with 503.
 *
 * What is not simulated: the process's byte budget (only each stream's window) and the shaper's
 * classes.
 */
#pragma once

#include "harness/fault.h"
#include "harness/sim_node.h"

enum {
    SIM_NET_CONNECT_MS = 5000,
    SIM_NET_IDLE_CLOSE_MS = 180000,
    SIM_NET_LATENCY_DEFAULT_US = 500
};

struct sim_line {
    uint64_t latency_us;               /* one way, this node's share */
    uint64_t jitter_us;                /* up to so much more */
    uint64_t up_bytes_s, down_bytes_s; /* 0: no limit */
    uint64_t break_per_million;
};

/* Lines start with SIM_NET_LATENCY_DEFAULT_US and nothing else. */
void sim_net_set_line(struct sim_node *node, const struct sim_line *line);

/* Connections that this node dials close after so long without a request, from now on. */
void sim_net_set_idle_close(struct sim_node *node, uint64_t idle_ms);

/* A node may have several addresses; one address may move to another node. */
void sim_net_add_address(struct sim_node *node, const char *address);
void sim_net_remove_address(struct sim_world *world, const char *address);

void sim_net_refuse(struct sim_node *node, bool refuse);
/* One direction. */
void sim_net_cut(struct sim_node *from, struct sim_node *to);
void sim_net_mend(struct sim_node *from, struct sim_node *to);
/* Both directions between every one of `group` and every other node of the world. */
void sim_net_partition(struct sim_node *const *group, size_t count);
/* Mends every cut of the world. */
void sim_net_heal(struct sim_world *world);
void sim_net_break(struct sim_node *a, struct sim_node *b);

/* May change `bytes` of a reply's body, on their way out of `node`; `offset` is theirs in the body.
   NULL: no more. */
typedef void sim_net_tamper_fn(void *user, const char *path, uint64_t offset, uint8_t *bytes,
                               size_t size);
void sim_net_tamper(struct sim_node *node, sim_net_tamper_fn *tamper, void *user);

/* Borrowed until changed; NULL: none. */
void sim_net_fail_calls(struct sim_node *node, struct fault *fault);

struct sim_net_counters {
    uint64_t dialled;                           /* connections that came about, as client */
    uint64_t broken;                            /* connections that broke, either side */
    uint64_t calls, requests;                   /* started; served */
    uint64_t sent_body_bytes;                   /* bodies, both roles */
    uint64_t sent_class_bytes[NET_CLASS_COUNT]; /* bodies of requests and of the replies to them */
    uint32_t connections;                       /* open now, both roles */
    uint32_t calls_now, exchanges_now;
};

void sim_net_counters(const struct sim_node *node, struct sim_net_counters *out);

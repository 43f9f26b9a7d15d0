/* Whom the transport is compared with, and how time is taken. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bench_rate {
    double mb_s;     /* 10^6 bytes of body a second */
    double cpu_s_gb; /* CPU seconds, client and server together, for 10^9 bytes */
};

struct bench_watch {
    double wall_s, cpu_s;
    pid_t server;
};

/* This process's CPU time and that of `server` (0: none). */
struct bench_watch bench_watch_start(pid_t server);
struct bench_rate bench_watch_end(const struct bench_watch *watch, uint64_t bytes);

/* lib/tls over blocking sockets, one process to another. */
bool bench_raw_tls(const uint8_t *data, size_t size, uint64_t total_bytes, struct bench_rate *out);

/* h2load against nghttpd over TLS_AES_128_GCM_SHA256: `streams` at once on each of `connections`.
   False when they are not installed. */
bool bench_h2load(bool put, const uint8_t *data, size_t size, unsigned connections,
                  unsigned streams, uint64_t total_bytes, struct bench_rate *out);

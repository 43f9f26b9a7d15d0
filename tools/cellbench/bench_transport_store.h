/* The other half of a transport bench whose bodies are stored: real cells in a process of their
   own, which verify leaves and roots, write, sync file and directory, commit and sign receipts. */
#pragma once

#include "bench_machines.h"
#include "bench_transport_client.h"

/* Runs a coordinator and `cells` cells below `dir` until SIGTERM, after the coordinator and then
   each cell was announced to `out`. The exit code. */
int bench_store_serve(const char *dir, unsigned cells, int out);

struct bench_store; /* the device that stores there */

/* Joins; `in` is the pipe. Everything stands in `m`, also the error. */
struct bench_store *bench_store_join(struct machines *m, struct bench_client *client,
                                     unsigned cells, int in);
/* `count` shards of the client's bytes and size, each of a segment of its own, are ready then. */
bool bench_store_prepare(struct bench_store *s, struct bench_client *client, uint64_t count);
void bench_store_free(struct bench_store *s); /* NULL does nothing */

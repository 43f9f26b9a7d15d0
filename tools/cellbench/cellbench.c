/* cellbench: measures the rooms by themselves. Each bench is a file of its own; docs/benchmarks.md
   has what they said, when and where. */
#include "bench_chunk.h"
#include "bench_coordinator.h"
#include "bench_erasure.h"
#include "bench_index.h"
#include "bench_pipeline.h"
#include "bench_swarm.h"
#include "bench_transport.h"

#include "base/bytes.h"

#include <stdio.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} benches[] = {
    {"chunk", bench_chunk, "cutting files, packing and unpacking chunks"},
    {"coordinator", bench_coordinator, "heartbeats, grants, a large directory, a rebuild"},
    {"erasure", bench_erasure, "Reed-Solomon beside libisal, Jerasure and liberasurecode"},
    {"index", bench_index, "the vault's index with ten million chunks"},
    {"pipeline", bench_pipeline, "what a first backup of a tree costs at least, step by step"},
    {"swarm", bench_swarm, "segments to real cells over loopback TLS, and back"},
    {"transport", bench_transport, "PUT and GET of shards over TLS and HTTP/2 on loopback"},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < ARRAY_COUNT(benches); i++)
        if (strcmp(argv[1], benches[i].name) == 0)
            return benches[i].run(argc - 1, argv + 1);
    (void)fputs("usage: cellbench BENCH [--json] [OPTIONS]\n", stderr);
    for (size_t i = 0; i < ARRAY_COUNT(benches); i++)
        (void)fprintf(stderr, "  %-12s %s\n", benches[i].name, benches[i].what);
    return 2;
}

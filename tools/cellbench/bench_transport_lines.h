/* What was measured, line by line: one rate a round, said as medians. */
#pragma once

#include "bench_transport_peers.h"

enum { BENCH_ROUNDS_MAX = 15, BENCH_LINES_MAX = 32 };

struct bench_line_key {
    const char *what, *method; /* static; `what` is compared as a pointer */
    size_t size;
    unsigned peers, streams;
};

struct bench_line {
    struct bench_line_key key;
    struct bench_rate rates[BENCH_ROUNDS_MAX];
    unsigned count;
    const char *against; /* NULL: nothing */
    double ratio;        /* of MB/s, the median over the rounds */
    double cpu_ratio;    /* the other's CPU seconds over this one's */
};

struct bench_lines {
    struct bench_line list[BENCH_LINES_MAX];
    unsigned count;
};

void bench_lines_add(struct bench_lines *lines, const struct bench_line_key *key,
                     const struct bench_rate *rate);
/* Each line of `what` beside that of `against` with the same method, size and shape. */
void bench_lines_compare(struct bench_lines *lines, const char *what, const char *against);
/* To stdout; with `json` one object a line. */
void bench_lines_say(const struct bench_lines *lines, bool json);

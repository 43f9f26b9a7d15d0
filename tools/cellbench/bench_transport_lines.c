#include "bench_transport_lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool same_shape(const struct bench_line_key *a, const struct bench_line_key *b)
{
    return strcmp(a->method, b->method) == 0 && a->size == b->size && a->peers == b->peers &&
           a->streams == b->streams;
}

static struct bench_line *find(struct bench_lines *lines, const char *what,
                               const struct bench_line_key *key)
{
    for (unsigned i = 0; i < lines->count; i++)
        if (lines->list[i].key.what == what && same_shape(&lines->list[i].key, key))
            return &lines->list[i];
    return NULL;
}

void bench_lines_add(struct bench_lines *lines, const struct bench_line_key *key,
                     const struct bench_rate *rate)
{
    struct bench_line *line = find(lines, key->what, key);
    if (!line && lines->count < BENCH_LINES_MAX) {
        line = &lines->list[lines->count++];
        line->key = *key;
    }
    if (line && line->count < BENCH_ROUNDS_MAX)
        line->rates[line->count++] = *rate;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, unsigned count)
{
    if (count == 0)
        return 0;
    qsort(values, count, sizeof(*values), by_value);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static struct bench_rate median_rate(const struct bench_line *line)
{
    double mb_s[BENCH_ROUNDS_MAX], cpu[BENCH_ROUNDS_MAX];
    for (unsigned i = 0; i < line->count; i++) {
        mb_s[i] = line->rates[i].mb_s;
        cpu[i] = line->rates[i].cpu_s_gb;
    }
    return (struct bench_rate){median(mb_s, line->count), median(cpu, line->count)};
}

void bench_lines_compare(struct bench_lines *lines, const char *what, const char *against)
{
    for (unsigned i = 0; i < lines->count; i++) {
        struct bench_line *line = &lines->list[i];
        const struct bench_line *other = find(lines, against, &line->key);
        double mb_s[BENCH_ROUNDS_MAX], cpu[BENCH_ROUNDS_MAX];
        unsigned count = 0;
        if (line->key.what != what || !other)
            continue;
        for (; count < line->count && count < other->count; count++) {
            mb_s[count] = line->rates[count].mb_s / other->rates[count].mb_s;
            cpu[count] = other->rates[count].cpu_s_gb / line->rates[count].cpu_s_gb;
        }
        line->against = against;
        line->ratio = median(mb_s, count);
        line->cpu_ratio = median(cpu, count);
    }
}

void bench_lines_say(const struct bench_lines *lines, bool json)
{
    for (unsigned i = 0; i < lines->count; i++) {
        const struct bench_line *line = &lines->list[i];
        const struct bench_line_key *key = &line->key;
        const struct bench_rate rate = median_rate(line);
        if (json) {
            printf("{\"message_type\":\"bench\",\"bench\":\"transport\",\"what\":\"%s\","
                   "\"method\":\"%s\",\"body_bytes\":%zu,\"peers\":%u,\"streams\":%u,"
                   "\"rounds\":%u,\"mb_s\":%.1f,\"cpu_s_gb\":%.3f",
                   key->what, key->method, key->size, key->peers, key->streams, line->count,
                   rate.mb_s, rate.cpu_s_gb);
            if (line->against)
                printf(",\"against\":\"%s\",\"ratio\":%.3f,\"cpu_ratio\":%.3f", line->against,
                       line->ratio, line->cpu_ratio);
            printf("}\n");
            continue;
        }
        printf("%-15s %-4s %4zu KiB bodies, %2u peers x %u streams: %7.1f MB/s, %.2f CPU s/GB",
               key->what, key->method, key->size >> 10, key->peers, key->streams, rate.mb_s,
               rate.cpu_s_gb);
        if (line->against)
            printf(", %.2f of %s (CPU %.2f)", line->ratio, line->against, line->cpu_ratio);
        printf("\n");
    }
    (void)fflush(stdout);
}

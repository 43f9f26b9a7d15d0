#include "bench_erasure.h"

#include "bench_coders.h"

#include "base/bytes.h"
#include "crypto/crypto.h"
#include "crypto/sha256.h"
#include "json/json_line.h"

#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/*
 * Every contestant runs once a round, one after the other on the same shards, so that what disturbs
 * the machine disturbs all; a figure is the median over the rounds, a ratio the median of the
 * rounds' ratios. "cache": one set of shards, over and over. "memory": sets of 256 MiB together, in
 * turn.
 */

enum {
    ROUNDS_MAX = 101,
    THREADS_MAX = 64,
    MEMORY_BYTES = 256 << 20,
    LEAF = 65536,
};

struct options {
    bool json, quick;
    unsigned rounds, k, m; /* k 0: all codes */
    const char *kernel;
};

/* --- shards */

struct arena {
    uint8_t *memory;
    size_t bytes, stride, set_bytes;
    unsigned count, sets, next;
};

static enum err arena_new(struct arena *a, unsigned count, size_t size, bool from_memory,
                          const struct options *o)
{
    *a = (struct arena){.count = count, .stride = erasure_stride(size)};
    a->set_bytes = a->stride * count;
    size_t want = o->quick ? MEMORY_BYTES / 16 : MEMORY_BYTES;
    a->sets = from_memory ? (unsigned)(want / a->set_bytes) + 2 : 1;
    a->bytes = a->set_bytes * a->sets;
    a->memory = mmap(NULL, a->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (a->memory == MAP_FAILED)
        return ERR_NOMEM;
    (void)madvise(a->memory, a->bytes, MADV_HUGEPAGE);
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i + 8 <= a->bytes; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        put_le64(a->memory + i, x);
    }
    return ERR_OK;
}

static void arena_next(struct arena *a, uint8_t **shards)
{
    uint8_t *set = a->memory + a->next * a->set_bytes;
    a->next = (a->next + 1) % a->sets;
    for (unsigned i = 0; i < a->count; i++)
        shards[i] = set + i * a->stride;
}

/* --- timing */

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *values, unsigned count)
{
    double sorted[ROUNDS_MAX];
    memcpy(sorted, values, count * sizeof(double));
    qsort(sorted, count, sizeof(double), compare);
    return sorted[count / 2];
}

struct part {
    const struct coder *coder;
    struct arena arena; /* a copy: each thread walks the same sets */
    unsigned calls;
    struct erasure_range range;
};

static void *run_part(void *user)
{
    struct part *part = user;
    uint8_t *shards[256];
    for (unsigned i = 0; i < part->calls; i++) {
        arena_next(&part->arena, shards);
        coder_run(part->coder, shards, part->range.offset, part->range.size);
    }
    return NULL;
}

/* Seconds of `calls` calls, split by byte range over the threads. */
static double time_calls(const struct coder *coder, struct arena *arena, size_t size,
                         unsigned calls, unsigned threads)
{
    struct part parts[THREADS_MAX];
    pthread_t ids[THREADS_MAX];
    double start = now_s();
    for (unsigned i = 0; i < threads; i++) {
        parts[i] = (struct part){coder, *arena, calls, erasure_split(size, threads, i)};
        if (i + 1 < threads && pthread_create(&ids[i], NULL, run_part, &parts[i]) != 0)
            abort();
    }
    run_part(&parts[threads - 1]);
    for (unsigned i = 0; i + 1 < threads; i++)
        pthread_join(ids[i], NULL);
    arena->next = parts[0].arena.next;
    return now_s() - start;
}

/* --- a case */

struct result {
    const struct coder_case *c;
    const char *where, *kernel;
    unsigned threads;
    bool hashing;
    double ours, limit, two_pass;
};

static void print_peer(const struct options *o, const struct result *r, const char *peer,
                       double peer_gb_s, double ratio)
{
    if (!o->json) {
        printf("  %14s %6.2f GB/s, ours is %.2f times that\n", peer, peer_gb_s, ratio);
        return;
    }
    struct json_line *line;
    struct buf out = BUF_INIT(4096);
    if (json_line_new(NULL, &line) != ERR_OK)
        return;
    json_line_text(line, "op", r->c->lost ? "reconstruct" : "encode");
    json_line_u64(line, "lost", r->c->lost);
    json_line_u64(line, "k", r->c->k);
    json_line_u64(line, "m", r->c->m);
    json_line_u64(line, "shard_size", r->c->size);
    json_line_text(line, "where", r->where);
    json_line_u64(line, "threads", r->threads);
    json_line_bool(line, "hashing", r->hashing);
    json_line_text(line, "kernel", r->kernel);
    json_line_real(line, "ours_gb_s", r->ours);
    json_line_text(line, "peer", peer);
    json_line_real(line, "peer_gb_s", peer_gb_s);
    json_line_real(line, "ratio", ratio);
    if (r->limit > 0)
        json_line_real(line, "limit_gb_s", r->limit);
    if (r->two_pass > 0)
        json_line_real(line, "two_pass_gb_s", r->two_pass);
    if (json_line_finish(line, &out) == ERR_OK)
        (void)fwrite(out.data, 1, out.size, stdout);
    buf_free(&out);
}

static void print_ours(const struct options *o, const struct result *r)
{
    if (o->json)
        return;
    char lost[32] = "encode";
    if (r->c->lost)
        (void)snprintf(lost, sizeof(lost), "%u lost", r->c->lost);
    printf("%u+%u %s, %zu-byte shards, %s, %u thread%s%s: %.2f GB/s (%s)", r->c->k, r->c->m, lost,
           r->c->size, r->where, r->threads, r->threads == 1 ? "" : "s",
           r->hashing ? ", with leaf hashes" : "", r->ours, r->kernel);
    if (r->limit > 0)
        printf(", %.0f %% of the bound of %.2f", 100 * r->ours / r->limit, r->limit);
    if (r->two_pass > 0)
        printf(", in two passes %.2f", r->two_pass);
    printf("\n");
}

static unsigned calls_of(const struct coder_case *c, bool from_memory, const struct options *o)
{
    double seconds = (double)c->size * c->k / 4e9 * (1 + c->m / 8.0);
    double want = o->quick ? 2e-4 : 2e-3;
    return from_memory || seconds > want ? 1 : (unsigned)(want / seconds) + 1;
}

/* All contestants on one case; GB/s of data, that is of k shards. */
static enum err run_case(const struct options *o, const struct coder_case *c, const char *where,
                         unsigned threads)
{
    static double gb_s[CODER_KINDS][ROUNDS_MAX], ratios[ROUNDS_MAX];
    struct coder *coders[CODER_KINDS] = {NULL};
    struct arena arena;
    bool from_memory = strcmp(where, "memory") == 0;
    unsigned calls = calls_of(c, from_memory, o);
    enum err e = arena_new(&arena, c->k + c->m, c->size, from_memory, o);
    if (e != ERR_OK)
        return e;
    for (unsigned i = 0; i < CODER_KINDS; i++)
        if (coder_new((enum coder_kind)i, c, &coders[i]) != ERR_OK && i == CODER_OURS)
            goto done;
    for (unsigned round = 0; round < o->rounds; round++) {
        for (unsigned i = 0; i < CODER_KINDS; i++) {
            /* liberasurecode takes whole segments only; the slow ones need no long runs */
            if (!coders[i] || (threads > 1 && i == CODER_LIBERASURECODE))
                continue;
            unsigned n = i == CODER_JERASURE || i == CODER_LIBERASURECODE ? (calls + 3) / 4 : calls;
            double seconds = time_calls(coders[i], &arena, c->size, n, threads);
            gb_s[i][round] = (double)c->size * c->k * n / seconds / 1e9;
        }
    }
    double xor = median(gb_s[CODER_XOR], o->rounds);
    double xor_stream = median(gb_s[CODER_XOR_STREAM], o->rounds);
    struct result r = {.c = c,
                       .where = where,
                       .kernel = coder_kernel(coders[CODER_OURS]),
                       .threads = threads,
                       .ours = median(gb_s[CODER_OURS], o->rounds),
                       .limit = xor > xor_stream ? xor : xor_stream};
    print_ours(o, &r);
    for (unsigned i = CODER_ISAL; i <= CODER_MEMCPY; i++) {
        if (!coders[i] || (threads > 1 && i == CODER_LIBERASURECODE))
            continue;
        for (unsigned round = 0; round < o->rounds; round++)
            ratios[round] = gb_s[CODER_OURS][round] / gb_s[i][round];
        print_peer(o, &r, coder_names[i], median(gb_s[i], o->rounds), median(ratios, o->rounds));
    }
done:
    for (unsigned i = 0; i < CODER_KINDS; i++)
        coder_free(coders[i]);
    munmap(arena.memory, arena.bytes);
    return ERR_OK;
}

/* --- with hashing */

struct hasher {
    struct sha256 *of[256]; /* one a shard */
    uint8_t *shards[256];
    uint8_t root[32]; /* of the last leaf, so that nothing is left out */
    size_t size;
};

static void hash_block(void *user, unsigned first, unsigned count, size_t offset, size_t size)
{
    struct hasher *h = user;
    for (unsigned i = first; i < first + count; i++) {
        if (offset % LEAF == 0)
            sha256_start_leaf(h->of[i]);
        sha256_add(h->of[i], slice_of(h->shards[i] + offset, size));
        if ((offset + size) % LEAF == 0 || offset + size == h->size)
            sha256_finish(h->of[i], h->root);
    }
}

static void hash_all(struct hasher *h, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        for (size_t at = 0; at < h->size; at += LEAF) {
            size_t size = h->size - at < LEAF ? h->size - at : LEAF;
            sha256_leaf(h->of[i], slice_of(h->shards[i] + at, size), h->root);
        }
    }
}

enum { STEP_FUSED, STEP_HASH, STEP_CACHE, STEP_TWO_PASS, STEP_ISAL, STEPS };

/* From memory: fused; hashing alone; encoding alone, in cache; then ours and ISA-L in two passes.
 */
static void time_steps(struct coder *const *coders, const struct coder_case *c, struct hasher *h,
                       struct arena *memory, struct arena *cache, double *seconds)
{
    uint8_t **shards = h->shards;
    const struct erasure *code = coder_code(coders[0]);
    struct erasure_fuse fuse = {.on_block = hash_block, .user = h};
    for (unsigned step = 0; step < STEPS; step++) {
        arena_next(step == STEP_CACHE ? cache : memory, shards);
        size_t cached = cache->stride / 4096 * 4096, times = c->size / cached;
        double start = now_s();
        if (step == STEP_FUSED)
            erasure_encode_fused(code, (const uint8_t *const *)shards, shards + c->k, c->size,
                                 &fuse);
        for (size_t i = 0; step == STEP_CACHE && i < times; i++)
            coder_run(coders[0], shards, 0, cached);
        if (step == STEP_TWO_PASS || step == STEP_ISAL)
            coder_run(coders[step == STEP_ISAL], shards, 0, c->size);
        if (step == STEP_HASH || step == STEP_TWO_PASS || step == STEP_ISAL)
            hash_all(h, c->k + c->m);
        seconds[step] = now_s() - start;
        if (step == STEP_CACHE)
            seconds[step] *= (double)c->size / (double)(times * cached);
    }
}

static enum err run_hashing(const struct options *o, const struct coder_case *c)
{
    static double seconds[STEPS][ROUNDS_MAX], ratios[ROUNDS_MAX];
    struct coder *coders[2] = {NULL, NULL};
    struct arena memory, cache;
    struct hasher h = {.size = c->size};
    double step[STEPS];
    enum err e = arena_new(&memory, c->k + c->m, c->size, true, o);
    if (e != ERR_OK)
        return e;
    e = arena_new(&cache, c->k + c->m, 8192, false, o);
    for (unsigned i = 0; e == ERR_OK && i < c->k + c->m; i++)
        e = sha256_new(&h.of[i]);
    if (e == ERR_OK)
        e = coder_new(CODER_OURS, c, &coders[0]);
    if (e == ERR_OK)
        e = coder_new(CODER_ISAL, c, &coders[1]);
    if (e != ERR_OK)
        goto done;
    unsigned rounds = o->rounds < 15 ? o->rounds : 15;
    for (unsigned round = 0; round < rounds; round++) {
        time_steps(coders, c, &h, &memory, &cache, step);
        for (unsigned i = 0; i < STEPS; i++)
            seconds[i][round] = step[i];
        ratios[round] = step[STEP_ISAL] / step[STEP_FUSED];
    }
    for (unsigned i = 0; i < STEPS; i++)
        step[i] = median(seconds[i], rounds);
    double gb = (double)c->size * c->k / 1e9;
    struct result r = {.c = c,
                       .where = "memory",
                       .kernel = coder_kernel(coders[0]),
                       .threads = 1,
                       .hashing = true,
                       .ours = gb / step[STEP_FUSED],
                       .limit = gb / (step[STEP_HASH] + 1.1 * step[STEP_CACHE]),
                       .two_pass = gb / step[STEP_TWO_PASS]};
    print_ours(o, &r);
    print_peer(o, &r, "isal", gb / step[STEP_ISAL], median(ratios, rounds));
done:
    for (unsigned i = 0; i < c->k + c->m; i++)
        sha256_free(h.of[i]);
    coder_free(coders[0]);
    coder_free(coders[1]);
    munmap(memory.memory, memory.bytes);
    munmap(cache.memory, cache.bytes);
    return e;
}

/* --- all of it */

static enum err run_code(const struct options *o, unsigned k, unsigned m)
{
    const size_t segment = ((size_t)(k < 4 ? k * 4 : 16) << 20) / k / 64 * 64;
    const size_t sizes[] = {4096, LEAF, segment};
    unsigned cores = (unsigned)sysconf(_SC_NPROCESSORS_ONLN), losses[] = {0, 1, 2, m};
    enum err e = ERR_OK;
    if (cores > THREADS_MAX)
        cores = THREADS_MAX;
    for (unsigned l = 0; e == ERR_OK && l < 4; l++) {
        for (unsigned s = 0; e == ERR_OK && s < 3; s++) {
            struct coder_case c = {k, m, losses[l], sizes[s], o->kernel};
            const char *where = s < 2 ? "cache" : "memory";
            if (l == 3 && m <= 2)
                continue; /* was done */
            e = run_case(o, &c, where, 1);
            if (e == ERR_OK && cores > 1 && s == 2)
                e = run_case(o, &c, where, cores);
        }
    }
    struct coder_case c = {k, m, 0, segment, o->kernel};
    return e == ERR_OK ? run_hashing(o, &c) : e;
}

static int usage(void)
{
    (void)fputs("usage: cellbench erasure [--json] [--quick] [--code K+M] [--kernel NAME] "
                "[--rounds N]\n",
                stderr);
    return 2;
}

static bool read_options(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {
        {"json", no_argument, NULL, 'j'},         {"quick", no_argument, NULL, 'q'},
        {"code", required_argument, NULL, 'c'},   {"kernel", required_argument, NULL, 'k'},
        {"rounds", required_argument, NULL, 'r'}, {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 'j')
            o->json = true;
        else if (option == 'q')
            o->quick = true;
        else if (option == 'k')
            o->kernel = optarg;
        else if (option == 'r')
            o->rounds = (unsigned)strtoul(optarg, NULL, 10);
        else if (option != 'c' || sscanf(optarg, "%u+%u", &o->k, &o->m) != 2)
            return false;
    }
    if (o->quick)
        o->rounds = 3;
    return optind == argc && o->rounds >= 1 && o->rounds <= ROUNDS_MAX;
}

int bench_erasure(int argc, char **argv)
{
    static const unsigned codes[][2] = {{4, 2},   {8, 4},   {10, 4}, {16, 8},
                                        {24, 12}, {32, 16}, {20, 40}};
    struct options o = {.rounds = 21};
    struct errmsg msg = {""};
    struct erasure *probe;
    if (!read_options(argc, argv, &o))
        return usage();
    struct erasure_options options = {.kernel = o.kernel};
    enum err e = erasure_new(o.k ? o.k : 1, o.k ? o.m : 1, &options, &probe, &msg);
    if (e != ERR_OK) {
        (void)fprintf(stderr, "cellbench erasure: %s\n", msg.text);
        return 2;
    }
    erasure_free(probe);
    e = crypto_init(&msg);
    for (unsigned i = 0; e == ERR_OK && i < (o.k ? 1 : ARRAY_COUNT(codes)); i++) {
        e = run_code(&o, o.k ? o.k : codes[i][0], o.k ? o.m : codes[i][1]);
        (void)fflush(stdout);
    }
    if (e != ERR_OK)
        (void)fprintf(stderr, "cellbench erasure: %s\n", msg.text[0] ? msg.text : err_words(e));
    return e == ERR_OK ? 0 : 1;
}

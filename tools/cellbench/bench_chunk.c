/*
 * cellbench chunk: cuts, packs and unpacks in memory, on one core. Without a file it makes its own
 * bytes: random ones (what is encrypted or packed already) and words (what packs well). The best of
 * three rounds counts.
 */
#include "bench_chunk.h"

#include "base/text.h"
#include "chunker/chunker.h"
#include "compress/compress.h"
#include "json/json_line.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SIZE = 128 << 20, ROUNDS = 3, CHUNKS_MAX = SIZE / CHUNK_MIN_BYTES + 1 };

struct run {
    const char *what;
    uint8_t *data; /* SIZE bytes of room */
    size_t size;
    uint8_t *packed, *plain; /* a chunk each */
    size_t cuts[CHUNKS_MAX], count;
    double cut_s, pack_s, unpack_s;
    uint64_t packed_bytes, raw_chunks;
};

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t mix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15U); /* SplitMix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static void fill_random(struct run *run)
{
    uint64_t state = 1;
    for (size_t i = 0; i < SIZE; i += 8)
        put_le64(run->data + i, mix(&state));
    run->size = SIZE;
}

/* 4096 made-up words, short ones more often. */
static void fill_words(struct run *run)
{
    uint64_t state = 2;
    for (size_t at = 0; at < SIZE;) {
        uint64_t draw = mix(&state), word = (draw & 4095) & (draw >> 12);
        size_t length = 2 + word % 11;
        for (size_t i = 0; i < length && at < SIZE; i++)
            run->data[at++] = (uint8_t)('a' + (word * 31 + i * i * 7 + word * i) % 26);
        if (at < SIZE)
            run->data[at++] = draw >> 60 ? ' ' : '\n';
    }
    run->size = SIZE;
}

static enum err read_file(struct run *run, const char *path, struct errmsg *msg)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return err_say_errno(msg, errno, "cannot read %s", path);
    run->size = fread(run->data, 1, SIZE, file);
    (void)fclose(file);
    return run->size > 0 ? ERR_OK : err_say(msg, ERR_USAGE, "%s is empty", path);
}

static void cut(struct run *run, const struct chunker *chunker)
{
    double start = now_s();
    run->count = 0;
    for (size_t at = 0; at < run->size; at += run->cuts[run->count++])
        run->cuts[run->count] =
            chunker_cut(chunker, slice_of(run->data + at, run->size - at), true);
    double took = now_s() - start;
    run->cut_s = run->cut_s > 0 && run->cut_s < took ? run->cut_s : took;
}

static enum err pack(struct run *run, struct compressor *compressor, struct errmsg *msg)
{
    double pack_s = 0, unpack_s = 0;
    size_t at = 0;
    run->packed_bytes = run->raw_chunks = 0;
    for (size_t i = 0; i < run->count; at += run->cuts[i++]) {
        struct slice chunk = slice_of(run->data + at, run->cuts[i]);
        enum compress_form form;
        size_t size;
        double start = now_s();
        enum err e = compress_pack(compressor, chunk, run->packed, &form, &size, msg);
        double middle = now_s();
        struct slice packed = form == COMPRESS_RAW ? chunk : slice_of(run->packed, size);
        if (e == ERR_OK)
            e = compress_unpack(compressor, form, packed, run->plain, chunk.size, msg);
        unpack_s += now_s() - middle;
        pack_s += middle - start;
        if (e == ERR_OK && !slice_equal(chunk, slice_of(run->plain, chunk.size)))
            e = err_say(msg, ERR_INCONSISTENT, "a chunk came out otherwise than it went in");
        if (e != ERR_OK)
            return e;
        run->packed_bytes += size;
        run->raw_chunks += form == COMPRESS_RAW;
    }
    run->pack_s = run->pack_s > 0 && run->pack_s < pack_s ? run->pack_s : pack_s;
    run->unpack_s = run->unpack_s > 0 && run->unpack_s < unpack_s ? run->unpack_s : unpack_s;
    return ERR_OK;
}

static double rate(const struct run *run, double seconds)
{
    return seconds > 0 ? (double)run->size / seconds : 0;
}

static enum err print(const struct run *run, bool json)
{
    if (!json) {
        (void)printf("%-8s cut %.2f GB/s (%zu chunks), pack %.2f GB/s to %.1f %% (%llu raw), "
                     "unpack %.2f GB/s\n",
                     run->what, rate(run, run->cut_s) / 1e9, run->count,
                     rate(run, run->pack_s) / 1e9,
                     100.0 * (double)run->packed_bytes / (double)run->size,
                     (unsigned long long)run->raw_chunks, rate(run, run->unpack_s) / 1e9);
        return ERR_OK;
    }
    struct json_line *line;
    struct buf out = BUF_INIT(65536);
    enum err e = json_line_new("bench_chunk", &line);
    if (e != ERR_OK)
        return e;
    json_line_text(line, "data", run->what);
    json_line_u64(line, "plain_bytes", run->size);
    json_line_u64(line, "packed_bytes", run->packed_bytes);
    json_line_u64(line, "chunks", run->count);
    json_line_u64(line, "raw_chunks", run->raw_chunks);
    json_line_real(line, "cut_bytes_s", rate(run, run->cut_s));
    json_line_real(line, "pack_bytes_s", rate(run, run->pack_s));
    json_line_real(line, "unpack_bytes_s", rate(run, run->unpack_s));
    e = json_line_finish(line, &out);
    if (e == ERR_OK && fwrite(out.data, 1, out.size, stdout) != out.size)
        e = ERR_IO;
    buf_free(&out);
    return e;
}

static enum err measure(struct run *run, const char *what, int level, bool json, struct errmsg *msg)
{
    const struct chunker_limits limits = CHUNKER_LIMITS_DEFAULT;
    struct compressor *compressor;
    struct chunker chunker;
    uint8_t key[CHUNKER_KEY_SIZE];
    uint64_t state = 3;
    for (size_t i = 0; i < sizeof(key); i += 8)
        put_le64(key + i, mix(&state));
    run->what = what;
    run->cut_s = run->pack_s = run->unpack_s = 0;
    enum err e = chunker_init(&chunker, slice_of(key, sizeof(key)), &limits);
    if (e == ERR_OK)
        e = compress_new(level, &compressor, msg);
    if (e != ERR_OK)
        return e;
    for (unsigned round = 0; round < ROUNDS && e == ERR_OK; round++) {
        cut(run, &chunker);
        e = pack(run, compressor, msg);
    }
    compress_free(compressor);
    return e == ERR_OK ? print(run, json) : e;
}

static int usage(void)
{
    (void)fputs("usage: cellbench chunk [--json] [--level 0..19] [FILE]\n"
                "  without FILE: random bytes, and words; of FILE the first 128 MiB\n",
                stderr);
    return 2;
}

int bench_chunk(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"level", required_argument, NULL, 'l'},
                                            {NULL, 0, NULL, 0}};
    struct errmsg msg = {{0}};
    uint64_t level = COMPRESS_LEVEL_DEFAULT;
    bool json = false;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'j')
            json = true;
        else if (option != 'l' || text_parse_u64(optarg, COMPRESS_LEVEL_MAX, &level) != ERR_OK)
            return usage();
    }
    if (argc - optind > 1)
        return usage();
    struct run *run = calloc(1, sizeof(*run));
    if (run) {
        run->data = malloc(SIZE);
        run->packed = malloc(LIMIT_CHUNK_BYTES);
        run->plain = malloc(LIMIT_CHUNK_BYTES);
    }
    enum err e = run && run->data && run->packed && run->plain
                     ? ERR_OK
                     : err_say(&msg, ERR_NOMEM, "out of memory");
    if (e == ERR_OK && optind < argc) {
        e = read_file(run, argv[optind], &msg);
        if (e == ERR_OK)
            e = measure(run, argv[optind], (int)level, json, &msg);
    } else if (e == ERR_OK) {
        fill_random(run);
        e = measure(run, "random", (int)level, json, &msg);
        fill_words(run);
        if (e == ERR_OK)
            e = measure(run, "words", (int)level, json, &msg);
    }
    if (e != ERR_OK)
        (void)fprintf(stderr, "cellbench: %s\n", *msg.text ? msg.text : err_words(e));
    if (run) {
        free(run->data);
        free(run->packed);
        free(run->plain);
    }
    free(run);
    return e == ERR_OK ? 0 : 1;
}

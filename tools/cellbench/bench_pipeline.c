/*
 * The floor under a first backup: the same bytes through each step alone, CPU seconds of one
 * thread. A backup cannot need less CPU than their sum without doing less. TLS is counted as what
 * protecting its records takes; its copies and the kernel's sockets are not in it.
 */
#include "bench_pipeline.h"

#include "base/text.h"
#include "chunker/chunker.h"
#include "compress/compress.h"
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/keyed_hash.h"
#include "crypto/sha256.h"
#include "erasure/erasure.h"
#include "segment/segment_group.h"
#include "json/json_line.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    PIECE = 64 << 20, /* of a file at once */
    K = 10,
    M = 4,
    SHARD = 400 * 4096, /* about 16 MiB / 10 */
    LEAF = 65536,
    TLS_RECORD = 16384,
};

enum step { READING, CUTTING, IDS, ZSTD, AEAD, ENCODING, LEAVES, TLS, STEPS };

static const char *const step_names[STEPS] = {"read_s", "cut_s",    "ids_s",    "zstd_s",
                                              "aead_s", "encode_s", "leaves_s", "tls_s"};

struct run {
    uint8_t *piece, *packed, *sealed, *shards; /* owned */
    uint8_t *group;                            /* owned: small files until they fill a record */
    size_t group_bytes;
    uint64_t group_members;
    struct chunker *chunker; /* owned */
    struct keyed_hash *hash;
    struct compressor *compressor;
    struct aead *aead;
    struct erasure *code;
    struct sha256 *sha;
    uint64_t files, chunks, records, plain_bytes, packed_bytes, sent_bytes;
    double cost_s[STEPS];
    uint64_t level;
};

static double cpu_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Adds what passed since *since to a step. */
static void lap(struct run *run, enum step step, double *since)
{
    const double now = cpu_s();
    run->cost_s[step] += now - *since;
    *since = now;
}

static enum err do_record(struct run *run, struct slice plain, size_t list_bytes, double *since,
                          struct errmsg *msg)
{
    enum compress_form form;
    size_t size;
    compress_set_level(run->compressor,
                       list_bytes ? compress_level_of_groups((int)run->level) : (int)run->level);
    enum err e = compress_pack(run->compressor, plain, run->packed, &form, &size, msg);
    lap(run, ZSTD, since);
    const struct slice packed = form == COMPRESS_RAW ? plain : slice_of(run->packed, size);
    if (e == ERR_OK)
        e = aead_seal(run->aead, run->records, slice_of(NULL, 0), packed, run->sealed);
    lap(run, AEAD, since);
    run->records++;
    run->packed_bytes += packed.size + list_bytes + AEAD_TAG_SIZE;
    return e;
}

static enum err do_group(struct run *run, double *since, struct errmsg *msg)
{
    if (run->group_members == 0)
        return ERR_OK;
    const size_t list = segment_group_list_bytes(run->group_members);
    const struct slice plain = slice_of(run->group, run->group_bytes);
    run->group_bytes = 0;
    run->group_members = 0;
    return do_record(run, plain, list, since, msg);
}

/* Small chunks join as the writer's do; here the group is copied together, there it is read so. */
static enum err do_chunk(struct run *run, struct slice chunk, double *since, struct errmsg *msg)
{
    uint8_t id[KEYED_HASH_SIZE];
    enum err e = ERR_OK;
    keyed_hash(run->hash, chunk, id);
    lap(run, IDS, since);
    run->chunks++;
    const bool joins = chunk.size < GROUP_MEMBER_BYTES;
    if (!joins || run->group_bytes + chunk.size > GROUP_BYTES ||
        run->group_members == LIMIT_GROUP_MEMBERS)
        e = do_group(run, since, msg);
    if (e != ERR_OK || !joins)
        return e == ERR_OK ? do_record(run, chunk, 0, since, msg) : e;
    memcpy(run->group + run->group_bytes, chunk.data, chunk.size);
    run->group_bytes += chunk.size;
    run->group_members++;
    *since = cpu_s();
    return ERR_OK;
}

static enum err do_piece(struct run *run, size_t size, double *since, struct errmsg *msg)
{
    enum err e = ERR_OK;
    for (size_t at = 0; at < size && e == ERR_OK;) {
        const size_t cut = chunker_cut(run->chunker, slice_of(run->piece + at, size - at), true);
        lap(run, CUTTING, since);
        e = do_chunk(run, slice_of(run->piece + at, cut), since, msg);
        at += cut;
    }
    run->plain_bytes += size;
    return e;
}

static enum err do_file(struct run *run, const char *path, struct errmsg *msg)
{
    double since = cpu_s();
    ssize_t got = 1;
    enum err e = ERR_OK;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_say_errno(msg, errno, "cannot open %s", path);
    while (e == ERR_OK && (got = read(fd, run->piece, PIECE)) > 0) {
        lap(run, READING, &since);
        e = do_piece(run, (size_t)got, &since, msg);
    }
    if (got < 0)
        e = err_say_errno(msg, errno, "cannot read %s", path);
    (void)close(fd);
    lap(run, READING, &since);
    run->files++;
    return e;
}

static enum err do_tree(struct run *run, char *path, struct errmsg *msg)
{
    char *const roots[] = {path, NULL};
    double since = cpu_s();
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!walk)
        return err_say_errno(msg, errno, "cannot walk %s", path);
    enum err e = ERR_OK;
    for (FTSENT *entry; e == ERR_OK && (entry = fts_read(walk));) {
        lap(run, READING, &since);
        if (entry->fts_info == FTS_F)
            e = do_file(run, entry->fts_accpath, msg);
        since = cpu_s();
    }
    (void)fts_close(walk);
    return e == ERR_OK ? do_group(run, &since, msg) : e;
}

/* As many segments as the packed bytes fill: encoded, hashed leaf by leaf, protected for the line.
 */
static enum err do_segments(struct run *run)
{
    const uint8_t *data[K];
    uint8_t *parity[M];
    uint8_t leaf[SHA256_SIZE];
    enum err e = ERR_OK;
    for (unsigned i = 0; i < K; i++)
        data[i] = run->shards + (size_t)i * SHARD;
    for (unsigned i = 0; i < M; i++)
        parity[i] = run->shards + (size_t)(K + i) * SHARD;
    const uint64_t segments = run->packed_bytes / ((uint64_t)K * SHARD) + 1;
    for (uint64_t s = 0; s < segments && e == ERR_OK; s++) {
        double since = cpu_s();
        erasure_encode(run->code, data, parity, SHARD);
        lap(run, ENCODING, &since);
        for (size_t at = 0; at < (size_t)(K + M) * SHARD; at += LEAF)
            sha256_leaf(run->sha, slice_of(run->shards + at, LEAF), leaf);
        lap(run, LEAVES, &since);
        for (size_t at = 0; e == ERR_OK && at < (size_t)(K + M) * SHARD; at += TLS_RECORD)
            e = aead_seal(run->aead, at, slice_of(NULL, 0), slice_of(run->shards + at, TLS_RECORD),
                          run->sealed);
        lap(run, TLS, &since);
    }
    run->sent_bytes = segments * (K + M) * SHARD;
    return e;
}

static enum err prepare(struct run *run, struct errmsg *msg)
{
    static const uint8_t key[AEAD_KEY_SIZE] = {1};
    static uint8_t table[CHUNKER_KEY_SIZE];
    const struct chunker_limits limits = CHUNKER_LIMITS_DEFAULT;
    run->piece = malloc(PIECE);
    run->packed = malloc(LIMIT_CHUNK_BYTES);
    run->group = malloc(GROUP_BYTES);
    run->sealed = malloc(LIMIT_CHUNK_BYTES + AEAD_TAG_SIZE);
    run->shards = aligned_alloc(64, (size_t)(K + M) * SHARD);
    run->chunker = malloc(sizeof(*run->chunker));
    if (!run->piece || !run->packed || !run->group || !run->sealed || !run->shards || !run->chunker)
        return err_say(msg, ERR_NOMEM, "out of memory");
    uint32_t x = 1; /* any table with well mixed words */
    for (size_t i = 0; i < sizeof(table); i++)
        table[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
    for (size_t i = 0; i < (size_t)(K + M) * SHARD; i++)
        run->shards[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
    enum err e = crypto_init(msg);
    if (e == ERR_OK)
        e = chunker_init(run->chunker, slice_of(table, sizeof(table)), &limits);
    if (e == ERR_OK)
        e = keyed_hash_new(key, &run->hash);
    if (e == ERR_OK)
        e = compress_new((int)run->level, &run->compressor, msg);
    if (e == ERR_OK)
        e = aead_new(&run->aead);
    if (e == ERR_OK)
        e = aead_set_key(run->aead, aead_best_suite(), key);
    if (e == ERR_OK)
        e = sha256_new(&run->sha);
    return e == ERR_OK ? erasure_new(K, M, NULL, &run->code, msg) : e;
}

static enum err print(const struct run *run, bool json)
{
    double sum = 0;
    struct json_line *line;
    struct buf out = BUF_INIT(65536);
    for (int i = 0; i < STEPS; i++)
        sum += run->cost_s[i];
    if (!json) {
        (void)printf("%llu files, %.1f MB, packed and sealed %.1f MB, %d+%d shards %.1f MB\n",
                     (unsigned long long)run->files, (double)run->plain_bytes / 1e6,
                     (double)run->packed_bytes / 1e6, K, M, (double)run->sent_bytes / 1e6);
        for (int i = 0; i < STEPS; i++)
            (void)printf("%-10s %7.3f\n", step_names[i], run->cost_s[i]);
        (void)printf("%-10s %7.3f CPU seconds\n", "sum", sum);
        return ERR_OK;
    }
    enum err e = json_line_new("bench_pipeline", &line);
    if (e != ERR_OK)
        return e;
    json_line_u64(line, "files", run->files);
    json_line_u64(line, "plain_bytes", run->plain_bytes);
    json_line_u64(line, "packed_bytes", run->packed_bytes);
    json_line_u64(line, "sent_bytes", run->sent_bytes);
    for (int i = 0; i < STEPS; i++)
        json_line_real(line, step_names[i], run->cost_s[i]);
    json_line_real(line, "sum_s", sum);
    e = json_line_finish(line, &out);
    if (e == ERR_OK && fwrite(out.data, 1, out.size, stdout) != out.size)
        e = ERR_IO;
    buf_free(&out);
    return e;
}

static void clear(struct run *run)
{
    free(run->piece);
    free(run->packed);
    free(run->group);
    free(run->sealed);
    free(run->shards);
    free(run->chunker);
    keyed_hash_free(run->hash);
    compress_free(run->compressor);
    aead_free(run->aead);
    sha256_free(run->sha);
    erasure_free(run->code);
}

static int usage(void)
{
    (void)fputs("usage: cellbench pipeline [--json] [--level N] DIR\n", stderr);
    return 2;
}

int bench_pipeline(int argc, char **argv)
{
    struct run run = {0};
    struct errmsg msg = {0};
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"level", required_argument, NULL, 'l'},
                                            {NULL, 0, NULL, 0}};
    bool json = false;
    int option;
    run.level = COMPRESS_LEVEL_DEFAULT;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'j')
            json = true;
        else if (option != 'l' || text_parse_u64(optarg, COMPRESS_LEVEL_MAX, &run.level) != ERR_OK)
            return usage();
    }
    if (argc - optind != 1)
        return usage();
    enum err e = prepare(&run, &msg);
    if (e == ERR_OK)
        e = do_tree(&run, argv[optind], &msg);
    if (e == ERR_OK)
        e = do_segments(&run);
    if (e == ERR_OK)
        e = print(&run, json);
    if (e != ERR_OK)
        (void)fprintf(stderr, "cellbench pipeline: %s\n", *msg.text ? msg.text : err_words(e));
    clear(&run);
    return e == ERR_OK ? 0 : 1;
}

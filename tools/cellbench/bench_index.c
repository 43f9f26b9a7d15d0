/*
 * cellbench index: fills a vault's index with chunks as a rebuild does (large transactions), then
 * as a backup does (one segment a transaction), looks chunks up that are there and that are not,
 * with the file in the system's cache and without, and walks over all of them.
 */
#include "bench_index.h"

#include "base/text.h"
#include "index/index.h"
#include "json/json_line.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    CHUNKS_PER_SEGMENT = 16, /* of 1 MiB in 16 MiB */
    LOOKUP_BATCH = 4096,
    LOOKUPS = 1000000,
    LOOKUPS_COLD = 50000,
    COMMITS = 1000,
    K = 8,
    M = 4,
};

struct run {
    uint64_t chunks, batch;
    const char *folder;
    char path[4096];
    struct index *index;
    struct index_chunk *buffer; /* `batch` chunks, or LOOKUP_BATCH, whichever is more */
    struct id *ids;             /* LOOKUP_BATCH */
    uint64_t added;             /* chunks so far; chunk i has the id make_id(i) */
    uint64_t seed;
    /* what came out */
    double fill_s, commit_s, hit_s, miss_s, hit_cold_s, miss_cold_s, walk_s;
    uint64_t file_bytes, cold_lookups;
};

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t peak_rss_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

static uint64_t mix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15U); /* SplitMix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/* Stands for a keyed hash: nothing about the order of the ids can be told from the numbers. */
static struct id make_id(uint64_t number)
{
    struct id id;
    uint64_t state = number;
    state = mix(&state);
    for (size_t i = 0; i < ID_SIZE; i += 8)
        put_le64(id.bytes + i, mix(&state));
    return id;
}

/* One segment, and its chunks behind `chunks`. */
static enum err add_segment(struct run *run, struct index_chunk *chunks, struct errmsg *msg)
{
    uint8_t header[600] = {0}; /* about what k+m = 8+4 takes */
    struct index_shard shards[K + M];
    for (uint64_t i = 0; i < K + M; i++)
        shards[i] = (struct index_shard){make_id(UINT64_MAX - i), INDEX_SHARD_STORED};
    struct index_segment segment = {.id = make_id((1ULL << 62) + run->added),
                                    .kind = INDEX_DATA,
                                    .state = INDEX_COMMITTED,
                                    .k = K,
                                    .m = M,
                                    .shard_bytes = 2U << 20,
                                    .plain_bytes = 16U << 20,
                                    .sealed_bytes = 16U << 20,
                                    .chunk_count = CHUNKS_PER_SEGMENT};
    enum err e = index_segment_add(run->index, &segment, slice_of(header, sizeof(header)),
                                   slice_of(header, 200), shards, msg);
    for (uint32_t i = 0; i < CHUNKS_PER_SEGMENT && e == ERR_OK; i++)
        chunks[i] = (struct index_chunk){.id = make_id(run->added++),
                                         .segment = segment.number,
                                         .record = i,
                                         .offset = i << 20,
                                         .sealed_bytes = 1U << 20,
                                         .plain_bytes = 1U << 20,
                                         .type = 1};
    return e;
}

static enum err add_batch(struct run *run, uint64_t chunks, struct errmsg *msg)
{
    enum err e = index_begin(run->index, msg);
    if (e != ERR_OK)
        return e;
    size_t count = 0;
    for (; count < chunks && e == ERR_OK; count += CHUNKS_PER_SEGMENT)
        e = add_segment(run, run->buffer + count, msg);
    if (e == ERR_OK)
        e = index_chunks_add(run->index, run->buffer, count, msg);
    if (e == ERR_OK)
        return index_commit(run->index, msg);
    index_rollback(run->index);
    return e;
}

static enum err fill(struct run *run, struct errmsg *msg)
{
    enum err e = ERR_OK;
    double start = now_s();
    while (run->added < run->chunks && e == ERR_OK)
        e = add_batch(run, run->batch, msg);
    run->fill_s = now_s() - start;
    start = now_s();
    for (unsigned i = 0; i < COMMITS && e == ERR_OK; i++)
        e = add_batch(run, CHUNKS_PER_SEGMENT, msg);
    run->commit_s = now_s() - start;
    return e;
}

/* Random ones, `count` of them; every answer is checked. */
static enum err look_up(struct run *run, bool hits, uint64_t count, double *out_s,
                        struct errmsg *msg)
{
    enum err e = ERR_OK;
    double start = now_s();
    for (uint64_t done = 0; done < count && e == ERR_OK; done += LOOKUP_BATCH) {
        for (size_t i = 0; i < LOOKUP_BATCH; i++)
            run->ids[i] = make_id(mix(&run->seed) % run->added + (hits ? 0 : 1ULL << 61));
        e = index_chunks_find(run->index, run->ids, LOOKUP_BATCH, false, run->buffer, msg);
        for (size_t i = 0; i < LOOKUP_BATCH && e == ERR_OK; i++)
            if ((run->buffer[i].segment != 0) != hits)
                e = err_say(msg, ERR_INCONSISTENT, "a chunk that %s",
                            hits ? "was added is not found" : "was never added is found");
    }
    *out_s = now_s() - start;
    return e;
}

static enum err walk(struct run *run, struct errmsg *msg)
{
    struct id after = {{0}};
    uint64_t seen = 0;
    size_t count;
    enum err e;
    double start = now_s();
    do {
        e = index_chunks(run->index, &after, run->buffer, LOOKUP_BATCH, &count, msg);
        seen += count;
    } while (e == ERR_OK && count == LOOKUP_BATCH);
    run->walk_s = now_s() - start;
    if (e == ERR_OK && seen != run->added)
        e = err_say(msg, ERR_INCONSISTENT, "%llu chunks were added and %llu are there",
                    (unsigned long long)run->added, (unsigned long long)seen);
    return e;
}

/* Closes, takes the file out of the system's cache, opens again. */
static enum err open_cold(struct run *run, struct errmsg *msg)
{
    const struct index_options options = {.path = run->path};
    struct stat stat;
    index_close(run->index);
    run->index = NULL;
    int fd = open(run->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0 || fstat(fd, &stat) != 0)
        return err_say_errno(msg, errno, "cannot read %s", run->path);
    run->file_bytes = (uint64_t)stat.st_size;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    (void)close(fd);
    return index_open(&options, &run->index, msg);
}

static enum err measure(struct run *run, struct errmsg *msg)
{
    const struct index_options options = {.path = run->path, .create = true};
    enum err e = index_open(&options, &run->index, msg);
    if (e == ERR_OK)
        e = fill(run, msg);
    if (e == ERR_OK)
        e = look_up(run, true, LOOKUPS, &run->hit_s, msg);
    if (e == ERR_OK)
        e = look_up(run, false, LOOKUPS, &run->miss_s, msg);
    if (e == ERR_OK)
        e = walk(run, msg);
    if (e == ERR_OK)
        e = open_cold(run, msg);
    if (e == ERR_OK)
        e = look_up(run, true, LOOKUPS_COLD, &run->hit_cold_s, msg);
    if (e == ERR_OK)
        e = open_cold(run, msg);
    if (e == ERR_OK)
        e = look_up(run, false, LOOKUPS_COLD, &run->miss_cold_s, msg);
    return e;
}

static double rate(uint64_t count, double seconds)
{
    return seconds > 0 ? (double)count / seconds : 0;
}

static void print_text(const struct run *run)
{
    char size[TEXT_SIZE_SIZE], memory[TEXT_SIZE_SIZE];
    (void)printf("%llu chunks in %llu segments of %d+%d, transactions of %llu chunks\n",
                 (unsigned long long)run->added,
                 (unsigned long long)(run->added / CHUNKS_PER_SEGMENT), K, M,
                 (unsigned long long)run->batch);
    (void)printf("adding, in large transactions   %10.0f chunks/s\n",
                 rate(run->chunks, run->fill_s));
    (void)printf("adding, one segment each        %10.0f segments/s\n",
                 rate(COMMITS, run->commit_s));
    (void)printf("look-ups that hit               %10.0f /s, cold %.0f /s\n",
                 rate(LOOKUPS, run->hit_s), rate(LOOKUPS_COLD, run->hit_cold_s));
    (void)printf("look-ups that miss              %10.0f /s, cold %.0f /s\n",
                 rate(LOOKUPS, run->miss_s), rate(LOOKUPS_COLD, run->miss_cold_s));
    (void)printf("walk over all                   %10.0f chunks/s\n",
                 rate(run->added, run->walk_s));
    (void)printf("file %s, peak memory %s\n", text_size(run->file_bytes, size),
                 text_size(peak_rss_bytes(), memory));
}

static enum err print_json(const struct run *run)
{
    struct json_line *line;
    struct buf out = BUF_INIT(65536);
    enum err e = json_line_new("bench_index", &line);
    if (e != ERR_OK)
        return e;
    json_line_u64(line, "chunks", run->added);
    json_line_u64(line, "segments", run->added / CHUNKS_PER_SEGMENT);
    json_line_u64(line, "batch_chunks", run->batch);
    json_line_real(line, "add_chunks_s", rate(run->chunks, run->fill_s));
    json_line_real(line, "commit_segments_s", rate(COMMITS, run->commit_s));
    json_line_real(line, "hits_s", rate(LOOKUPS, run->hit_s));
    json_line_real(line, "misses_s", rate(LOOKUPS, run->miss_s));
    json_line_real(line, "hits_cold_s", rate(LOOKUPS_COLD, run->hit_cold_s));
    json_line_real(line, "misses_cold_s", rate(LOOKUPS_COLD, run->miss_cold_s));
    json_line_real(line, "walk_chunks_s", rate(run->added, run->walk_s));
    json_line_u64(line, "file_bytes", run->file_bytes);
    json_line_u64(line, "peak_memory_bytes", peak_rss_bytes());
    e = json_line_finish(line, &out);
    if (e == ERR_OK && fwrite(out.data, 1, out.size, stdout) != out.size)
        e = ERR_IO;
    buf_free(&out);
    return e;
}

static void remove_files(const struct run *run)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
        char path[sizeof(run->path) + 8];
        (void)snprintf(path, sizeof(path), "%s%s", run->path, ends[i]);
        (void)unlink(path);
    }
}

static int run_all(struct run *run, bool json)
{
    struct errmsg msg = {{0}};
    size_t room = run->batch > LOOKUP_BATCH ? run->batch : LOOKUP_BATCH;
    (void)snprintf(run->path, sizeof(run->path), "%s/cellbench-index-%d.db", run->folder,
                   (int)getpid());
    run->buffer = calloc(room, sizeof(*run->buffer));
    run->ids = calloc(LOOKUP_BATCH, sizeof(*run->ids));
    enum err e = run->buffer && run->ids ? ERR_OK : err_say(&msg, ERR_NOMEM, "out of memory");
    if (e == ERR_OK)
        e = measure(run, &msg);
    if (e == ERR_OK && !json)
        print_text(run);
    if (e == ERR_OK && json && (e = print_json(run)) != ERR_OK)
        (void)err_say(&msg, e, "cannot print: %s", err_words(e));
    if (e != ERR_OK)
        (void)fprintf(stderr, "cellbench: %s\n", msg.text);
    index_close(run->index);
    remove_files(run);
    free(run->ids);
    free(run->buffer);
    return e == ERR_OK ? 0 : 1;
}

static int usage(void)
{
    (void)fputs("usage: cellbench index [--json] [--chunks N] [--batch N] [--dir FOLDER]\n"
                "  --chunks N    how many are added (10000000)\n"
                "  --batch N     in one transaction, a multiple of 16 (16384)\n"
                "  --dir FOLDER  where the database is made and removed (/var/tmp)\n",
                stderr);
    return 2;
}

int bench_index(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"chunks", required_argument, NULL, 'c'},
                                            {"batch", required_argument, NULL, 'b'},
                                            {"dir", required_argument, NULL, 'd'},
                                            {NULL, 0, NULL, 0}};
    struct run run = {.chunks = 10000000, .batch = 16384, .folder = "/var/tmp", .seed = 1};
    bool json = false;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'j')
            json = true;
        else if (option == 'd')
            run.folder = optarg;
        else if (option == 'c' && text_parse_u64(optarg, 1000000000, &run.chunks) == ERR_OK)
            continue;
        else if (option == 'b' && text_parse_u64(optarg, 1000000, &run.batch) == ERR_OK)
            continue;
        else
            return usage();
    }
    if (optind != argc || run.chunks == 0 || run.batch == 0 || run.batch % CHUNKS_PER_SEGMENT != 0)
        return usage();
    return run_all(&run, json);
}

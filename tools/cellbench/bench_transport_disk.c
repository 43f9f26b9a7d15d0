#include "bench_transport_disk.h"

#include "base/limits.h"
#include "bench_machines.h"
#include "uvio/uvio_disk.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS_MAX = 16, PIECE = 256 << 10, AREA = 4096, FOLDERS = 32 };

struct run {
    struct disk *disk;
    const uint8_t *data; /* aligned for the disk */
    size_t size;
    uint64_t count;
    atomic_uint_fast64_t next;
    atomic_int failed; /* an enum err */
};

static enum err write_file(struct run *run, const char *path)
{
    struct disk_file *file;
    enum err e = disk_open(run->disk, path,
                           DISK_READ | DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE | DISK_UNCACHED,
                           &file, NULL);
    if (e != ERR_OK)
        return e;
    e = disk_allocate(file, AREA + run->size, NULL);
    for (size_t at = 0; at < run->size && e == ERR_OK; at += PIECE)
        e = disk_write_at(file, AREA + at, run->data + at, PIECE, NULL);
    if (e == ERR_OK)
        e = disk_write_at(file, 0, run->data, AREA, NULL);
    if (e == ERR_OK)
        e = disk_sync(file, NULL);
    disk_close(file);
    return e;
}

static void *work(void *argument)
{
    struct run *run = argument;
    for (;;) {
        char temp[64], folder[64], path[64];
        const uint64_t number = atomic_fetch_add(&run->next, 1);
        if (number >= run->count || atomic_load(&run->failed) != ERR_OK)
            return NULL;
        (void)snprintf(temp, sizeof(temp), "incoming/%llu", (unsigned long long)number);
        (void)snprintf(folder, sizeof(folder), "%llu", (unsigned long long)(number % FOLDERS));
        (void)snprintf(path, sizeof(path), "%s/%llu", folder, (unsigned long long)number);
        enum err e = write_file(run, temp);
        if (e == ERR_OK)
            e = disk_rename(run->disk, temp, path, NULL);
        if (e == ERR_OK)
            e = disk_sync_dir(run->disk, folder, NULL);
        if (e != ERR_OK)
            atomic_store(&run->failed, (int)e);
    }
}

static enum err make_folders(const struct disk *disk, struct errmsg *msg)
{
    enum err e = disk_make_dir(disk, "incoming", msg);
    for (unsigned i = 0; i < FOLDERS && e == ERR_OK; i++) {
        char folder[16];
        (void)snprintf(folder, sizeof(folder), "%u", i);
        e = disk_make_dir(disk, folder, msg);
    }
    return e;
}

bool bench_disk(const char *dir, const uint8_t *data, size_t size, unsigned threads,
                uint64_t total_bytes, struct bench_rate *out)
{
    struct run run = {.size = size, .count = total_bytes / size};
    pthread_t ids[THREADS_MAX];
    struct errmsg msg = {{0}};
    unsigned started = 0;
    uint8_t *aligned = aligned_alloc(DISK_UNCACHED_ALIGN, size);
    enum err e = aligned ? uvio_disk_open(dir, UVIO_DISK_CREATE, &run.disk, &msg) : ERR_NOMEM;
    if (e == ERR_OK)
        e = make_folders(run.disk, &msg);
    if (e == ERR_OK) {
        memcpy(aligned, data, size);
        run.data = aligned;
        const struct bench_watch watch = bench_watch_start(0);
        while (started < threads && started < THREADS_MAX &&
               pthread_create(&ids[started], NULL, work, &run) == 0)
            started++;
        for (unsigned i = 0; i < started; i++)
            (void)pthread_join(ids[i], NULL);
        *out = bench_watch_end(&watch, run.count * size);
        e = started ? (enum err)atomic_load(&run.failed) : ERR_NOMEM;
    }
    uvio_disk_close(run.disk);
    machines_empty(dir);
    free(aligned);
    if (e != ERR_OK)
        (void)fprintf(stderr, "cellbench transport: the disk alone: %s\n",
                      msg.text[0] ? msg.text : err_words(e));
    return e == ERR_OK;
}

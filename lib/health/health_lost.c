#include "health/health_lost.h"

#include "vault/vault_parts.h"

#include <stdlib.h>

enum { SEGMENTS_AT_ONCE = 64 };

struct count {
    struct work_job job;
    struct vault *vault;
    struct health_lost lost;
    health_lost_fn *done;
    void *user;
    enum err e;
    struct errmsg msg;
};

static enum err count_one(struct count *count, const struct index_segment *row)
{
    struct index_chunk none;
    size_t chunks = 0;
    enum err e =
        index_segment_chunks(count->vault->index, row->number, &none, 0, &chunks, &count->msg);
    if (e == ERR_TOO_LARGE) /* only how many is asked */
        e = ERR_OK;
    count->lost.segments += chunks > 0;
    count->lost.chunks += chunks;
    return e;
}

static void count_run(struct work_job *job)
{
    struct count *count = container_of(job, struct count, job);
    struct index_segment rows[SEGMENTS_AT_ONCE];
    struct index_segment_filter filter = {.states = 1u << INDEX_LOST};
    size_t found = SEGMENTS_AT_ONCE;
    enum err e = ERR_OK;
    while (e == ERR_OK && found == SEGMENTS_AT_ONCE) {
        e = index_segments(count->vault->index, &filter, rows, SEGMENTS_AT_ONCE, &found,
                           &count->msg);
        for (size_t i = 0; e == ERR_OK && i < found; i++) {
            filter.after_number = rows[i].number;
            e = count_one(count, &rows[i]);
        }
    }
    count->e = e;
}

static void count_done(struct work_job *job)
{
    struct count *count = container_of(job, struct count, job);
    count->done(count->user, count->e, &count->lost, &count->msg);
    free(count);
}

enum err health_lost_count(struct vault *vault, health_lost_fn *done, void *user,
                           struct errmsg *msg)
{
    struct count *count = calloc(1, sizeof(*count));
    if (!count)
        return err_say(msg, ERR_NOMEM, "out of memory");
    count->vault = vault;
    count->done = done;
    count->user = user;
    count->job = (struct work_job){.run = count_run, .done = count_done};
    work_submit(vault->ports.work, vault->lane, &count->job);
    return ERR_OK;
}

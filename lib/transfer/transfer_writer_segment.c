#include "transfer/transfer_registrations.h"
#include "transfer/transfer_writer_internal.h"

#include "identity/signed_record.h"
#include "swarm/swarm_directory.h"

#include <stdlib.h>

static void segment_free_again(struct transfer_writer_segment *s)
{
    struct transfer_writer *w = s->writer;
    s->state = SEGMENT_FREE;
    w->segments_out--;
    /* those that find no place even now wait again, in their order */
    struct list waiting;
    list_init(&waiting);
    for (struct list *node; (node = list_pop(&w->waiting[s->kind - 1]));)
        list_append(&waiting, node);
    for (struct list *node; (node = list_pop(&waiting));)
        transfer_writer_place(container_of(node, struct transfer_batch, link));
    transfer_writer_check_flushed(w);
}

static bool segment_failed(struct transfer_writer_segment *s)
{
    struct transfer_writer *w = s->writer;
    if (s->e != ERR_OK)
        transfer_writer_fail(w, s->e, &s->msg);
    if (w->e == ERR_OK)
        return false;
    segment_free_again(s);
    return true;
}

static void finish_job(struct work_job *job)
{
    struct transfer_writer_segment *s = container_of(job, struct transfer_writer_segment, job);
    struct vault *vault = s->writer->vault;
    s->e = segment_builder_finish(s->builder, &s->msg);
    if (s->e == ERR_OK && vault->settings.check_before_upload)
        s->e = segment_builder_check(s->builder, s->writer->data_key, &s->msg);
    if (s->e != ERR_OK)
        return;
    const struct segment_header *header = segment_builder_header(s->builder);
    const struct signed_record record = {
        .segment = *segment_builder_id(s->builder),
        .account = vault->account,
        .slot = header->device_slot,
        .list_number = s->list_number,
        .sequence = s->writer->options.sequence,
    };
    s->e = signed_record_make(&record, &vault->swarm_root, vault->device, &s->record);
    if (s->e != ERR_OK)
        (void)err_say(&s->msg, s->e, "cannot sign a segment's record");
    s->row.id = record.segment;
    s->row.k = header->k;
    s->row.m = header->m;
    s->row.shard_bytes = header->shard_bytes;
    s->row.epoch = header->epoch;
    s->row.created_s = clock_wall_ns(vault->ports.clock) / 1000000000;
    s->row.chunk_count = (uint32_t)s->chunk_count;
}

static void add_job(struct work_job *job)
{
    struct transfer_writer_segment *s = container_of(job, struct transfer_writer_segment, job);
    struct index *index = s->writer->vault->index;
    s->e = index_begin(index, &s->msg);
    if (s->e == ERR_OK)
        s->e = index_segment_add(index, &s->row, segment_builder_header_bytes(s->builder),
                                 buf_slice(&s->record), s->shards, &s->msg);
    if (s->e == ERR_OK)
        s->e = index_commit(index, &s->msg);
    else
        index_rollback(index);
}

static void commit_job(struct work_job *job)
{
    struct transfer_writer_segment *s = container_of(job, struct transfer_writer_segment, job);
    struct index *index = s->writer->vault->index;
    for (size_t i = 0; i < s->chunk_count; i++)
        s->chunks[i].segment = s->row.number;
    s->e = index_begin(index, &s->msg);
    if (s->e == ERR_OK)
        s->e =
            index_segment_set_shards(index, s->row.number, s->shards, s->row.k + s->row.m, &s->msg);
    if (s->e == ERR_OK)
        s->e = index_segment_set_state(index, s->row.number, INDEX_COMMITTED, &s->msg);
    if (s->e == ERR_OK)
        s->e = index_chunks_add(index, s->chunks, s->chunk_count, &s->msg);
    if (s->e == ERR_OK)
        s->e = index_commit(index, &s->msg);
    else
        index_rollback(index);
}

struct registering {
    struct work_job job;
    struct transfer_writer *writer;
    struct buf body; /* the message; kept in the vault when it is not taken */
};

static void registering_end(struct registering *r)
{
    struct transfer_writer *w = r->writer;
    buf_free(&r->body);
    free(r);
    w->registering--;
    transfer_writer_check_flushed(w);
}

static void run_keep(struct work_job *job)
{
    struct registering *r = container_of(job, struct registering, job);
    struct vault *vault = r->writer->vault;
    struct errmsg msg;
    if (transfer_registrations_add(vault, buf_slice(&r->body), &msg) != ERR_OK)
        log_say(vault->ports.log, LOG_WARN, "a segment's registration is not kept: %s", msg.text);
}

static void keep_done(struct work_job *job)
{
    registering_end(container_of(job, struct registering, job));
}

static void keep_for_later(struct registering *r)
{
    r->job = (struct work_job){.run = run_keep, .done = keep_done};
    work_submit(r->writer->vault->ports.work, r->writer->vault->lane, &r->job);
}

static void registered(void *user, enum err e, uint32_t taken, const struct errmsg *msg)
{
    struct registering *r = user;
    (void)taken;
    if (e == ERR_OK) {
        registering_end(r);
        return;
    }
    log_say(r->writer->vault->ports.log, LOG_INFO,
            "the coordinator is told of a segment by a later run: %s", msg->text);
    keep_for_later(r);
}

/* The directory learns of it; a coordinator that is away learns it from a later run. */
static void register_segment(struct transfer_writer_segment *s)
{
    struct transfer_writer *w = s->writer;
    struct slice receipts[LIMIT_SHARDS];
    struct errmsg msg;
    for (unsigned i = 0; i < s->receipt_count; i++)
        receipts[i] =
            slice_of(s->receipts.data + (uintptr_t)s->receipt_at[i].data, s->receipt_at[i].size);
    const struct wire_registration registration = {
        .record = buf_slice(&s->record),
        .k = (uint8_t)s->row.k,
        .m = (uint8_t)s->row.m,
        .shard_bytes = s->row.shard_bytes,
        .receipts = receipts,
        .receipt_count = s->receipt_count,
    };
    struct registering *r = calloc(1, sizeof(*r));
    if (r) {
        r->writer = w;
        r->body = BUF_INIT(WIRE_REGISTER_BYTES);
    }
    if (!r || wire_register_encode(&registration, 1, &r->body) != ERR_OK) {
        log_say(w->vault->ports.log, LOG_WARN, "a segment is not registered: out of memory");
        free(r);
        return;
    }
    w->registering++;
    if (swarm_register(w->vault->swarm, &registration, 1, registered, r, &msg) != ERR_OK)
        keep_for_later(r);
}

static void committed(struct work_job *job)
{
    struct transfer_writer_segment *s = container_of(job, struct transfer_writer_segment, job);
    struct transfer_writer *w = s->writer;
    if (segment_failed(s))
        return;
    for (size_t i = 0; i < s->chunk_count; i++)
        idmap_remove(&w->flying, &s->chunks[i].id);
    int32_t stored = 0;
    for (unsigned i = 0; i < s->row.k + s->row.m; i++)
        stored += s->shards[i].state == INDEX_SHARD_STORED;
    const int32_t margin = stored - (int32_t)s->row.k;
    w->totals.segments++;
    w->totals.margin_min = margin < w->totals.margin_min ? margin : w->totals.margin_min;
    w->totals.debts += s->row.k + s->row.m - (unsigned)stored;
    for (size_t i = 0; i < s->ticket_count; i++)
        s->tickets[i]->unsafe--;
    register_segment(s);
    const struct transfer_writer_committed done = {
        .row = &s->row,
        .header = segment_builder_header_bytes(s->builder),
        .record = buf_slice(&s->record),
        .shards = s->shards,
        .chunks = s->chunks,
        .chunk_count = s->chunk_count,
    };
    w->options.committed(w->options.user, &done);
    transfer_writer_count_safe(w);
    segment_free_again(s);
}

static void receipted(void *user, unsigned index, const struct id *cell, struct slice receipt)
{
    struct transfer_writer_segment *s = user;
    struct transfer_writer *w = s->writer;
    s->shards[index] = (struct index_shard){.cell = *cell, .state = INDEX_SHARD_STORED};
    w->totals.sent_bytes += s->row.shard_bytes;
    if (!idmap_get(&w->cells, cell) && idmap_set(&w->cells, cell, w) == ERR_OK)
        w->totals.cells++;
    const uintptr_t at = s->receipts.size;
    if (buf_append(&s->receipts, receipt.data, receipt.size) == ERR_OK)
        s->receipt_at[s->receipt_count++] = slice_of((const void *)at, receipt.size);
}

static void uploaded(void *user, enum err e, const struct swarm_upload_result *result,
                     const struct errmsg *msg)
{
    struct transfer_writer_segment *s = user;
    (void)result;
    s->upload = NULL;
    s->e = e;
    if (e != ERR_OK) {
        s->msg = *msg;
        (void)segment_failed(s);
        return;
    }
    for (unsigned i = 0; i < s->row.k + s->row.m; i++)
        if (s->shards[i].state != INDEX_SHARD_STORED)
            s->shards[i] = (struct index_shard){.state = INDEX_SHARD_DEBT};
    s->job.run = commit_job;
    s->job.done = committed;
    work_submit(s->writer->vault->ports.work, s->writer->vault->lane, &s->job);
}

static void added(struct work_job *job)
{
    struct transfer_writer_segment *s = container_of(job, struct transfer_writer_segment, job);
    struct transfer_writer *w = s->writer;
    if (segment_failed(s))
        return;
    for (unsigned i = 0; i < s->row.k + s->row.m; i++)
        s->parts[i] = segment_builder_shard(s->builder, i);
    const struct swarm_upload_request request = {
        .segment = s->row.id,
        .header = segment_builder_header_bytes(s->builder),
        .record = buf_slice(&s->record),
        .k = s->row.k,
        .m = s->row.m,
        .enough = w->options.accept_risk ? s->row.k : 0,
        .shard_bytes = s->row.shard_bytes,
        .device_slot = w->identity.device_slot,
        .shards = s->parts,
        .net_class = NET_BACKUP,
    };
    s->e =
        swarm_upload_start(w->vault->swarm, &request, receipted, uploaded, s, &s->upload, &s->msg);
    (void)segment_failed(s);
}

static void finished(struct work_job *job)
{
    struct transfer_writer_segment *s = container_of(job, struct transfer_writer_segment, job);
    if (segment_failed(s))
        return;
    s->job.run = add_job;
    s->job.done = added;
    work_submit(s->writer->vault->ports.work, s->writer->vault->lane, &s->job);
}

void transfer_writer_segment_finish(struct transfer_writer_segment *s)
{
    s->e = ERR_OK;
    s->state = SEGMENT_SENT;
    s->list_number = swarm_list_number(s->writer->vault->swarm);
    s->job.run = finish_job;
    s->job.done = finished;
    work_submit(s->writer->vault->ports.work, NULL, &s->job);
}

#include "transfer/transfer_writer_internal.h"

#include "compress/compress.h"
#include "identity/signed_record.h"
#include "segment/segment_group.h"

#include <assert.h>
#include <stdlib.h>

void transfer_writer_check_flushed(struct transfer_writer *w)
{
    if (!w->flushed || w->segments_out > 0 || w->batches_out > 0 || w->registering > 0)
        return;
    void (*flushed)(void *user) = w->flushed;
    w->flushed = NULL;
    flushed(w->flushed_user);
}

static void give_back(struct transfer_batch *batch)
{
    struct transfer_writer *w = batch->writer;
    free(batch->found);
    batch->found = NULL;
    w->batches_out--;
    batch->done(batch);
}

/* Batches that wait come back as they are: nothing will happen to them. */
void transfer_writer_fail(struct transfer_writer *w, enum err e, const struct errmsg *msg)
{
    if (w->e != ERR_OK)
        return;
    w->e = e;
    struct list back;
    list_init(&back);
    for (int i = 0; i < 2; i++)
        for (struct list *node; (node = list_pop(&w->waiting[i]));)
            list_append(&back, node);
    for (struct list *node; (node = list_pop(&w->waiting_tools));)
        list_append(&back, node);
    for (size_t i = 0; i < w->segment_count; i++)
        if (w->segments[i].upload)
            swarm_upload_cancel(w->segments[i].upload);
    w->options.failed(w->options.user, e, msg);
    for (struct list *node; (node = list_pop(&back));)
        give_back(container_of(node, struct transfer_batch, link));
}

/* --- tickets --- */

void transfer_writer_count_safe(struct transfer_writer *w)
{
    const uint64_t before = w->safe;
    while (!list_empty(&w->tickets)) {
        struct transfer_writer_ticket *t =
            container_of(w->tickets.next, struct transfer_writer_ticket, link);
        if (t->unsafe > 0)
            break;
        w->safe = t->number;
        list_remove(&t->link);
        free(t);
    }
    if (w->safe != before && w->e == ERR_OK)
        w->options.safe(w->options.user);
}

static enum err hold_ticket(struct transfer_writer_segment *s, struct transfer_writer_ticket *t)
{
    for (size_t i = s->ticket_count; i-- > 0 && s->ticket_count - i <= 16;)
        if (s->tickets[i] == t)
            return ERR_OK;
    if (s->ticket_count == s->ticket_capacity) {
        const size_t capacity = s->ticket_capacity ? 2 * s->ticket_capacity : 64;
        void *grown = realloc(s->tickets, capacity * sizeof(struct transfer_writer_ticket *));
        if (!grown)
            return ERR_NOMEM;
        s->tickets = grown;
        s->ticket_capacity = capacity;
    }
    s->tickets[s->ticket_count++] = t;
    t->unsafe++;
    return ERR_OK;
}

/* --- tools --- */

static void tools_free(struct transfer_writer_tools *tools)
{
    if (!tools)
        return;
    compress_free(tools->compressor);
    aead_free(tools->aead);
    free(tools->scratch);
    free(tools);
}

static enum err tools_new(struct transfer_writer *w, struct transfer_writer_tools **out)
{
    struct transfer_writer_tools *tools = calloc(1, sizeof(*tools));
    if (!tools)
        return ERR_NOMEM;
    enum err e = compress_new((int)w->vault->settings.compression, &tools->compressor, NULL);
    if (e == ERR_OK)
        e = aead_new(&tools->aead);
    if (e == ERR_OK && !(tools->scratch = malloc(LIMIT_CHUNK_BYTES)))
        e = ERR_NOMEM;
    if (e != ERR_OK) {
        tools_free(tools);
        return e;
    }
    list_init(&tools->link);
    *out = tools;
    return ERR_OK;
}

/* False: the batch waits for some, or the writer has failed. */
static bool take_tools(struct transfer_batch *batch)
{
    struct transfer_writer *w = batch->writer;
    struct list *node = list_pop(&w->tools);
    if (node) {
        batch->tools = container_of(node, struct transfer_writer_tools, link);
        return true;
    }
    if (w->tools_made == w->tools_max) {
        list_append(&w->waiting_tools, &batch->link);
        return false;
    }
    struct errmsg msg;
    enum err e = tools_new(w, &batch->tools);
    if (e == ERR_OK) {
        w->tools_made++;
        return true;
    }
    (void)err_say(&msg, e, "out of memory for packing");
    transfer_writer_fail(w, e, &msg);
    give_back(batch);
    return false;
}

static void start_pack(struct transfer_batch *batch);

static void return_tools(struct transfer_batch *batch)
{
    struct transfer_writer *w = batch->writer;
    list_append(&w->tools, &batch->tools->link);
    batch->tools = NULL;
    struct list *node = list_pop(&w->waiting_tools);
    if (!node)
        return;
    struct transfer_batch *next = container_of(node, struct transfer_batch, link);
    if (next->packed)
        transfer_writer_place(next);
    else
        start_pack(next);
}

/* --- a batch: known? --- */

static void look_up(struct work_job *job)
{
    struct transfer_batch *batch = container_of(job, struct transfer_batch, job);
    struct id *ids = malloc((batch->count + 1) * sizeof(*ids));
    batch->found = calloc(batch->count + 1, sizeof(*batch->found));
    if (!ids || !batch->found) {
        batch->e = err_say(&batch->msg, ERR_NOMEM, "out of memory for looking up chunks");
    } else {
        for (size_t i = 0; i < batch->count; i++)
            ids[i] = batch->chunks[i].id;
        batch->e = index_chunks_find(batch->writer->vault->index, ids, batch->count, false,
                                     batch->found, &batch->msg);
    }
    free(ids);
}

static void batch_placed(struct transfer_batch *batch)
{
    struct transfer_writer *w = batch->writer;
    batch->mark->unsafe--;
    transfer_writer_count_safe(w);
    give_back(batch);
    transfer_writer_check_flushed(w);
}

static bool batch_failed(struct transfer_batch *batch)
{
    struct transfer_writer *w = batch->writer;
    if (batch->e != ERR_OK)
        transfer_writer_fail(w, batch->e, &batch->msg);
    if (w->e == ERR_OK)
        return false;
    give_back(batch);
    transfer_writer_check_flushed(w);
    return true;
}

static void looked_up(struct work_job *job)
{
    struct transfer_batch *batch = container_of(job, struct transfer_batch, job);
    struct transfer_writer *w = batch->writer;
    size_t fresh = 0;
    for (size_t i = 0; batch->e == ERR_OK && i < batch->count; i++) {
        struct transfer_chunk *chunk = &batch->chunks[i];
        chunk->fresh = batch->found[i].segment == 0 && !idmap_get(&w->flying, &chunk->id);
        chunk->joined = false;
        if (!chunk->fresh)
            continue;
        fresh++;
        batch->e = idmap_set(&w->flying, &chunk->id, batch->mark);
        if (batch->e != ERR_OK)
            (void)err_say(&batch->msg, batch->e, "out of memory for chunks on their way");
    }
    if (batch_failed(batch))
        return;
    if (fresh == 0)
        batch_placed(batch);
    else
        start_pack(batch);
}

/* --- packing --- */

/* What heads and catalogues name is found by its record alone, and shares it with nobody. */
static bool may_join(const struct transfer_chunk *chunk)
{
    const bool kind =
        chunk->type == SEGMENT_FILE || chunk->type == SEGMENT_TREE || chunk->type == SEGMENT_LIST;
    return kind && chunk->plain_bytes > 0 && chunk->plain_bytes < GROUP_MEMBER_BYTES;
}

/* Which chunks share the record of chunk `first`: fresh small ones of its type that follow it,
   until one that is not small. Their bytes are moved together. *bytes: of all. */
static void join(struct transfer_batch *batch, size_t first, uint32_t *bytes)
{
    struct transfer_chunk *head = &batch->chunks[first];
    uint8_t *at = batch->bytes + head->offset;
    *bytes = head->plain_bytes;
    head->members = 1;
    head->joined = false;
    if (!may_join(head))
        return;
    for (size_t i = first + 1; i < batch->count && head->members < LIMIT_GROUP_MEMBERS; i++) {
        struct transfer_chunk *chunk = &batch->chunks[i];
        if (!chunk->fresh)
            continue;
        if (!may_join(chunk) || chunk->type != head->type ||
            *bytes + chunk->plain_bytes > GROUP_BYTES)
            return;
        memmove(at + *bytes, batch->bytes + chunk->offset, chunk->plain_bytes);
        *bytes += chunk->plain_bytes;
        chunk->joined = true;
        head->members++;
    }
}

/* Has it a record of its own, or one that others share with it? */
static bool has_record(const struct transfer_chunk *chunk)
{
    return chunk->fresh && !chunk->joined;
}

static void pack(struct work_job *job)
{
    struct transfer_batch *batch = container_of(job, struct transfer_batch, job);
    const int level = (int)batch->writer->vault->settings.compression;
    for (size_t i = 0; batch->e == ERR_OK && i < batch->count; i++) {
        struct transfer_chunk *chunk = &batch->chunks[i];
        enum compress_form form;
        uint32_t plain_bytes;
        size_t size;
        if (!has_record(chunk))
            continue;
        join(batch, i, &plain_bytes);
        uint8_t *bytes = batch->bytes + chunk->offset;
        compress_set_level(batch->tools->compressor,
                           chunk->members > 1 ? compress_level_of_groups(level) : level);
        batch->e = compress_pack(batch->tools->compressor, slice_of(bytes, plain_bytes),
                                 batch->tools->scratch, &form, &size, &batch->msg);
        if (batch->e != ERR_OK)
            break;
        if (form == COMPRESS_ZSTD)
            memcpy(bytes, batch->tools->scratch, size);
        chunk->flags = form == COMPRESS_ZSTD ? SEGMENT_ZSTD : 0;
        chunk->flags |= chunk->members > 1 ? SEGMENT_GROUP : 0;
        chunk->packed_bytes = (uint32_t)size;
    }
}

static void packed(struct work_job *job)
{
    struct transfer_batch *batch = container_of(job, struct transfer_batch, job);
    batch->packed = true;
    return_tools(batch);
    if (!batch_failed(batch))
        transfer_writer_place(batch);
}

static void start_pack(struct transfer_batch *batch)
{
    if (!take_tools(batch))
        return;
    batch->job.run = pack;
    batch->job.done = packed;
    work_submit(batch->writer->vault->ports.work, NULL, &batch->job);
}

/* --- placing and sealing --- */

/* The members of a record: chunk `first`, then the fresh ones behind it. */
static struct transfer_chunk *next_member(const struct transfer_batch *batch, size_t *at)
{
    while (!batch->chunks[*at].fresh)
        ++*at;
    return &batch->chunks[(*at)++];
}

/* What is sealed: of a group with the list of its members before it, put together in `scratch`. */
static struct slice stored_bytes(const struct transfer_batch *batch, size_t first)
{
    const struct transfer_chunk *head = &batch->chunks[first];
    const struct slice packed = slice_of(batch->bytes + head->offset, head->packed_bytes);
    uint8_t *scratch = batch->tools->scratch;
    if (!(head->flags & SEGMENT_GROUP))
        return packed;
    for (uint32_t i = 0; i < head->members; i++) {
        const struct transfer_chunk *member = next_member(batch, &first);
        segment_group_add(scratch, i, &member->id, member->plain_bytes);
    }
    const size_t list = segment_group_list_bytes(head->members);
    memcpy(scratch + list, packed.data, packed.size);
    return slice_of(scratch, list + packed.size);
}

static void fill(struct work_job *job)
{
    struct transfer_batch *batch = container_of(job, struct transfer_batch, job);
    for (size_t i = batch->from; batch->e == ERR_OK && i < batch->at; i++) {
        const struct transfer_chunk *chunk = &batch->chunks[i];
        if (has_record(chunk))
            batch->e = segment_builder_seal(chunk->segment->builder, batch->tools->aead,
                                            chunk->number, stored_bytes(batch, i));
    }
    if (batch->e != ERR_OK)
        (void)err_say(&batch->msg, batch->e, "cannot seal a chunk");
}

static void filled(struct work_job *job)
{
    struct transfer_batch *batch = container_of(job, struct transfer_batch, job);
    return_tools(batch);
    for (size_t i = batch->from; i < batch->at; i++) {
        struct transfer_writer_segment *segment = batch->chunks[i].segment;
        if (has_record(&batch->chunks[i]) && --segment->sealing == 0 &&
            segment->state == SEGMENT_CLOSED)
            transfer_writer_segment_finish(segment);
    }
    if (batch_failed(batch))
        return;
    if (batch->at == batch->count)
        batch_placed(batch);
    else
        transfer_writer_place(batch);
}

static enum err start_segment(struct transfer_writer_segment *s, struct errmsg *msg)
{
    struct transfer_writer *w = s->writer;
    uint8_t salt[SEGMENT_SALT_SIZE];
    enum err e = ERR_OK;
    if (!s->builder) {
        struct segment_shape shape = {.k = w->options.k, .m = w->options.m};
        const uint32_t most = segment_shard_bytes_max(shape.k);
        if (s->kind == INDEX_METADATA && (uint64_t)most * shape.k > METADATA_PAYLOAD_BYTES)
            shape.shard_bytes_max = segment_shard_bytes_for(shape.k, METADATA_PAYLOAD_BYTES, most);
        e = segment_builder_new(&shape, &s->builder, msg);
    }
    if (e != ERR_OK)
        return e;
    w->identity.kind = s->kind == INDEX_DATA ? SEGMENT_DATA : SEGMENT_METADATA;
    random_fill(w->vault->ports.random, salt, sizeof(salt));
    e = segment_builder_start(s->builder, &w->identity, w->data_key, salt);
    if (e != ERR_OK)
        return err_say(msg, e, "cannot begin a segment");
    s->state = SEGMENT_OPEN;
    s->sealing = 0;
    s->chunk_count = 0;
    s->ticket_count = 0;
    s->receipt_count = 0;
    s->row = (struct index_segment){.kind = s->kind, .state = INDEX_BUILDING};
    memset(s->shards, 0, sizeof(s->shards));
    buf_clear(&s->record);
    buf_clear(&s->receipts);
    w->segments_out++;
    return ERR_OK;
}

static void close_segment(struct transfer_writer_segment *s)
{
    struct transfer_writer_segment **open = s->writer->open[s->kind - 1];
    if (open[NEARLY_FULL] == s)
        open[NEARLY_FULL] = NULL;
    else
        open[FILLING] = NULL;
    s->state = SEGMENT_CLOSED;
    if (s->sealing == 0)
        transfer_writer_segment_finish(s);
}

static struct transfer_writer_segment *free_segment(struct transfer_writer *w, enum index_kind kind)
{
    for (size_t i = 0; i < w->segment_count; i++)
        if (w->segments[i].kind == kind && w->segments[i].state == SEGMENT_FREE)
            return &w->segments[i];
    return NULL;
}

static size_t record_stored_bytes(const struct transfer_chunk *head)
{
    const size_t list = head->flags & SEGMENT_GROUP ? segment_group_list_bytes(head->members) : 0;
    return list + head->packed_bytes;
}

/* A segment that the record does not fit into stays open beside the next one for a while: smaller
 * chunks fill its end. NULL without an error: all others are on their way. */
static struct transfer_writer_segment *segment_for(struct transfer_writer *w, enum index_kind kind,
                                                   const struct transfer_chunk *head, enum err *e,
                                                   struct errmsg *msg)
{
    struct transfer_writer_segment **open = w->open[kind - 1];
    *e = ERR_OK;
    for (size_t i = 0; i < OPEN_SEGMENTS; i++)
        if (open[i] && segment_builder_fits(open[i]->builder, record_stored_bytes(head)) &&
            open[i]->chunk_count + head->members <= LIMIT_SEGMENT_RECORDS)
            return open[i];
    struct transfer_writer_segment *next = free_segment(w, kind);
    if (open[NEARLY_FULL])
        close_segment(open[NEARLY_FULL]);
    if (!next)
        return NULL;
    *e = start_segment(next, msg);
    if (*e != ERR_OK)
        return NULL;
    open[NEARLY_FULL] = open[FILLING];
    open[FILLING] = next;
    return next;
}

/* The nearly full one goes when there is no hope left, or it has waited for a quarter of the next.
 */
static void close_nearly_full(struct transfer_writer *w, enum index_kind kind)
{
    struct transfer_writer_segment **open = w->open[kind - 1], *nearly = open[NEARLY_FULL];
    const uint64_t size = (uint64_t)w->options.k * segment_shard_bytes_max(w->options.k);
    if (nearly && (segment_builder_bytes(open[FILLING]->builder) > size / 4 ||
                   !segment_builder_fits(nearly->builder, NO_HOPE_BYTES)))
        close_segment(nearly);
}

/* The record's chunks, as the index will have them. */
static enum err add_chunks(struct transfer_batch *batch, size_t first, uint32_t plain_bytes,
                           const struct segment_entry *entry, struct transfer_writer_segment *s)
{
    const struct transfer_chunk *head = &batch->chunks[first];
    uint32_t before = 0;
    if (s->chunk_count + head->members > s->chunk_capacity) {
        const size_t capacity = 2 * s->chunk_capacity + head->members + 64;
        struct index_chunk *grown = realloc(s->chunks, capacity * sizeof(*grown));
        if (!grown)
            return ERR_NOMEM;
        s->chunks = grown;
        s->chunk_capacity = capacity;
    }
    for (uint32_t i = 0; i < head->members; i++) {
        const struct transfer_chunk *member = next_member(batch, &first);
        struct index_chunk *chunk = &s->chunks[s->chunk_count++];
        *chunk = (struct index_chunk){.id = member->id,
                                      .record = head->number,
                                      .offset = entry->offset,
                                      .sealed_bytes = entry->sealed_bytes,
                                      .plain_bytes = member->plain_bytes,
                                      .type = vault_type(head->type, head->flags)};
        if (!(head->flags & SEGMENT_GROUP))
            continue;
        chunk->group_bytes = entry->sealed_bytes;
        chunk->sealed_bytes =
            segment_group_share(entry->sealed_bytes, before, member->plain_bytes, plain_bytes);
        before += member->plain_bytes;
    }
    return ERR_OK;
}

static uint32_t record_plain_bytes(const struct transfer_batch *batch, size_t first)
{
    const uint32_t members = batch->chunks[first].members;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < members; i++)
        sum += next_member(batch, &first)->plain_bytes;
    return sum;
}

/* A place for the record of chunk `first`. */
static enum err reserve(struct transfer_batch *batch, size_t first,
                        struct transfer_writer_segment *s)
{
    struct transfer_writer *w = batch->writer;
    struct transfer_chunk *head = &batch->chunks[first];
    const uint32_t plain_bytes = record_plain_bytes(batch, first);
    struct segment_entry entry = {.type = head->type, .flags = head->flags};
    if (!(head->flags & SEGMENT_GROUP)) {
        entry.id = head->id;
        entry.plain_bytes = plain_bytes;
    }
    enum err e =
        segment_builder_reserve(s->builder, &entry, record_stored_bytes(head), &head->number);
    if (e == ERR_OK)
        e = hold_ticket(s, batch->mark);
    if (e == ERR_OK)
        e = add_chunks(batch, first, plain_bytes, &entry, s);
    if (e != ERR_OK)
        return err_say(&batch->msg, e, "cannot place a chunk in a segment");
    head->segment = s;
    s->sealing++;
    s->row.plain_bytes += plain_bytes;
    s->row.sealed_bytes += entry.sealed_bytes;
    if (head->type == SEGMENT_FILE)
        w->totals.data_chunks += head->members;
    else
        w->totals.tree_chunks += head->members;
    w->totals.plain_bytes += plain_bytes;
    w->totals.sealed_bytes += entry.sealed_bytes;
    return ERR_OK;
}

/* Takes places from batch->at on, until one has to wait. Returns whether any was taken. */
static bool reserve_all(struct transfer_batch *batch)
{
    bool any = false;
    batch->from = batch->at;
    for (; batch->at < batch->count; batch->at++) {
        struct transfer_chunk *chunk = &batch->chunks[batch->at];
        if (!has_record(chunk))
            continue;
        struct transfer_writer_segment *s =
            segment_for(batch->writer, batch->kind, chunk, &batch->e, &batch->msg);
        if (s)
            batch->e = reserve(batch, batch->at, s);
        if (!s || batch->e != ERR_OK)
            break;
        any = true;
        close_nearly_full(batch->writer, batch->kind);
    }
    return any;
}

void transfer_writer_place(struct transfer_batch *batch)
{
    struct transfer_writer *w = batch->writer;
    if (!batch->tools && !take_tools(batch))
        return;
    const bool any = reserve_all(batch);
    if (batch->e != ERR_OK) {
        for (size_t i = batch->from; i < batch->at; i++)
            if (has_record(&batch->chunks[i]))
                batch->chunks[i].segment->sealing--;
        return_tools(batch);
        (void)batch_failed(batch);
        return;
    }
    if (!any && batch->at < batch->count) { /* until one has been committed */
        list_append(&w->waiting[batch->kind - 1], &batch->link);
        return_tools(batch);
        return;
    }
    batch->job.run = fill;
    batch->job.done = filled;
    work_submit(w->vault->ports.work, NULL, &batch->job);
}

/* --- the writer --- */

static size_t data_segments(unsigned k, unsigned m)
{
    const uint64_t one = (uint64_t)(k + m) * segment_shard_bytes_max(k);
    const uint64_t fit = DATA_BUDGET_BYTES / one;
    return fit < 2 ? 2 : fit > DATA_SEGMENTS_MAX ? DATA_SEGMENTS_MAX : (size_t)fit;
}

enum err transfer_writer_new(struct vault *vault, const struct transfer_writer_options *options,
                             struct transfer_writer **out, struct errmsg *msg)
{
    const struct vault_epoch *epoch = vault_epoch_current(vault);
    struct transfer_writer *w = calloc(1, sizeof(*w));
    uint8_t *data_key = secret_new(SEGMENT_DATA_KEY_SIZE);
    if (!w || !data_key) {
        free(w);
        secret_free(data_key);
        return err_say(msg, ERR_NOMEM, "out of memory");
    }
    memcpy(data_key, epoch->data_key, SEGMENT_DATA_KEY_SIZE);
    const size_t data = data_segments(options->k, options->m);
    *w = (struct transfer_writer){
        .vault = vault,
        .options = *options,
        .identity = {.account = vault->account,
                     .device_slot = vault->secrets->slot,
                     .epoch = epoch->epoch},
        .data_key = data_key,
        .segment_count = data + METADATA_SEGMENTS,
        .tools_max = work_threads(vault->ports.work),
        .totals = {.margin_min = INT32_MAX},
    };
    for (size_t i = 0; i < w->segment_count; i++)
        w->segments[i] = (struct transfer_writer_segment){
            .writer = w,
            .kind = i < data ? INDEX_DATA : INDEX_METADATA,
            .record = BUF_INIT(SIGNED_RECORD_BYTES_MAX),
            .receipts = BUF_INIT(1 << 20),
        };
    list_init(&w->waiting[0]);
    list_init(&w->waiting[1]);
    list_init(&w->tools);
    list_init(&w->waiting_tools);
    list_init(&w->tickets);
    *out = w;
    return ERR_OK;
}

void transfer_writer_free(struct transfer_writer *w)
{
    if (!w)
        return;
    assert(w->batches_out == 0);
    for (size_t i = 0; i < w->segment_count; i++) {
        struct transfer_writer_segment *s = &w->segments[i];
        segment_builder_free(s->builder);
        free(s->tickets);
        free(s->chunks);
        buf_free(&s->record);
        buf_free(&s->receipts);
    }
    for (struct list *node; (node = list_pop(&w->tools));)
        tools_free(container_of(node, struct transfer_writer_tools, link));
    for (struct list *node; (node = list_pop(&w->tickets));)
        free(container_of(node, struct transfer_writer_ticket, link));
    idmap_free(&w->flying);
    idmap_free(&w->cells);
    secret_free(w->data_key);
    free(w);
}

void transfer_writer_put(struct transfer_writer *w, struct transfer_batch *batch)
{
    struct transfer_writer_ticket *mark = calloc(1, sizeof(*mark));
    batch->writer = w;
    batch->ticket = ++w->last;
    batch->mark = mark;
    batch->at = 0;
    batch->packed = false;
    batch->tools = NULL;
    batch->found = NULL;
    batch->e = mark ? ERR_OK : err_say(&batch->msg, ERR_NOMEM, "out of memory");
    w->batches_out++;
    if (mark) {
        *mark = (struct transfer_writer_ticket){.number = batch->ticket, .unsafe = 1};
        list_append(&w->tickets, &mark->link);
    }
    list_init(&batch->link);
    batch->job.run = look_up;
    batch->job.done = looked_up;
    work_submit(w->vault->ports.work, w->vault->lane, &batch->job);
}

bool transfer_writer_push(struct transfer_writer *w, bool metadata_only)
{
    bool any = false;
    for (int i = 0; i < 2; i++) {
        struct transfer_writer_segment **open = w->open[i];
        if (metadata_only && i != INDEX_METADATA - 1)
            continue;
        any |= open[NEARLY_FULL] != NULL;
        if (open[NEARLY_FULL])
            close_segment(open[NEARLY_FULL]);
        if (open[FILLING] && segment_builder_count(open[FILLING]->builder) > 0) {
            close_segment(open[FILLING]);
            any = true;
        }
    }
    return any;
}

void transfer_writer_flush(struct transfer_writer *w, void (*done)(void *user), void *user)
{
    w->flushed = done;
    w->flushed_user = user;
    (void)transfer_writer_push(w, false);
    for (int i = 0; i < 2; i++) /* begun and empty, or of a writer that has failed */
        if (w->open[i][FILLING]) {
            w->open[i][FILLING]->state = SEGMENT_FREE;
            w->open[i][FILLING] = NULL;
            w->segments_out--;
        }
    transfer_writer_check_flushed(w);
}

void transfer_writer_stop(struct transfer_writer *w)
{
    struct errmsg msg;
    (void)err_say(&msg, ERR_CANCELLED, "interrupted");
    transfer_writer_fail(w, ERR_CANCELLED, &msg);
}

uint64_t transfer_writer_last(const struct transfer_writer *w)
{
    return w->last;
}

uint64_t transfer_writer_safe(const struct transfer_writer *w)
{
    return w->safe;
}

void transfer_writer_totals(const struct transfer_writer *w, struct transfer_writer_totals *out)
{
    *out = w->totals;
}

uint32_t transfer_writer_chunk_max(const struct transfer_writer *w)
{
    const uint32_t most = segment_builder_record_max(w->options.k, 0);
    return most < LIMIT_CHUNK_BYTES ? most : LIMIT_CHUNK_BYTES;
}

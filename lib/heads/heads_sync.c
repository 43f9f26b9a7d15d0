#include "heads/heads_sync.h"

#include "heads/heads_import.h"
#include "identity/head.h"
#include "index/index_removal.h"
#include "swarm/swarm_heads.h"
#include "vault/vault_manifest.h"

#include <stdlib.h>

/* A device's newest head, as somebody showed it. */
struct sync_head {
    struct buf bytes;
    struct id device, hash, previous;
    uint32_t slot;
    uint64_t sequence;
    bool own, wanted; /* wanted: newer than what we have */
    bool forked;
};

struct heads_sync {
    struct work_job job;
    struct vault *vault;
    struct heads_sync_events events;
    void *user;
    struct heads_sync_summary summary;
    struct heads_import_summary read;
    struct head *opened; /* owned: room for one */
    struct sync_head *heads;
    size_t count, at;
    bool reads; /* this device may read what others wrote */
    bool told;  /* that a manifest does not follow ours */
    bool rest;  /* the second round: what is no document about removal */
    uint64_t problems_before;
    enum err e;
    struct errmsg msg;
};

bool heads_sync_is_needed(const struct vault *vault)
{
    const struct manifest_device *self = vault_manifest_self(vault);
    return vault->manifest->device_count > 1 || !self || !manifest_may(self, MANIFEST_ADMIN);
}

static void sync_end(struct heads_sync *s, enum err e)
{
    s->summary.snapshots = s->read.snapshots;
    s->summary.segments = s->read.segments;
    s->summary.chunks = s->read.chunks;
    s->summary.condemned = s->read.condemned;
    s->summary.problems += s->read.problems;
    s->events.done(s->user, e, &s->summary, &s->msg);
    for (size_t i = 0; i < s->count; i++)
        buf_free(&s->heads[i].bytes);
    free(s->heads);
    free(s->opened);
    free(s);
}

static void problem(void *user, enum err e, const char *sentence)
{
    struct heads_sync *s = user;
    if (s->events.problem)
        s->events.problem(s->user, e, sentence);
}

/* --- what peers show --- */

static void see_manifest(struct heads_sync *s, struct slice document)
{
    struct errmsg msg;
    bool taken;
    if (document.size == 0)
        return;
    const enum err e = vault_manifest_seen(s->vault, document, &taken, &msg);
    s->summary.manifest_changed |= e == ERR_OK && taken;
    if (e != ERR_OK && !s->told) {
        s->told = true;
        problem(s, e, msg.text);
    }
}

static struct sync_head *find(struct heads_sync *s, const struct id *device)
{
    for (size_t i = 0; i < s->count; i++)
        if (id_equal(&s->heads[i].device, device))
            return &s->heads[i];
    return NULL;
}

static struct sync_head *add(struct heads_sync *s)
{
    struct sync_head *more = realloc(s->heads, (s->count + 1) * sizeof(*more));
    if (!more)
        return NULL;
    s->heads = more;
    more[s->count] = (struct sync_head){.bytes = BUF_INIT(HEAD_BYTES_MAX)};
    return &more[s->count++];
}

/* Keeps the highest of each device; two of one number are a fork. Who may sign is looked at when
   the manifest is known. */
static void see_head(struct heads_sync *s, struct slice document)
{
    struct head *head = s->opened;
    if (head_open(document, &s->vault->swarm_root, NULL, head, NULL) != ERR_OK ||
        !id_equal(&head->account, &s->vault->account))
        return;
    struct sync_head *to = find(s, &head->device);
    if (to && to->sequence == head->sequence && !id_equal(&to->hash, &head->hash))
        to->forked = true;
    if (to && to->sequence >= head->sequence)
        return;
    if (!to && (s->count >= MANIFEST_DEVICES_MAX || !(to = add(s))))
        return;
    to->device = head->device;
    to->hash = head->hash;
    to->previous = head->previous;
    to->slot = head->slot;
    to->sequence = head->sequence;
    to->own = id_equal(&head->device, vault_device(s->vault));
    buf_clear(&to->bytes);
    if (buf_append(&to->bytes, document.data, document.size) != ERR_OK)
        to->sequence = 0;
}

static void on_heads(void *user, const struct id *peer, struct wire_heads *heads)
{
    struct heads_sync *s = user;
    struct slice document;
    (void)peer;
    see_manifest(s, heads->manifest);
    while (wire_heads_next(&heads->list, &document))
        see_head(s, document);
}

/* --- which of them are new: on the lane --- */

static void say_fork(struct heads_sync *s, const struct sync_head *h, const char *name)
{
    struct errmsg msg;
    s->summary.forks++;
    (void)err_say(&msg, ERR_INCONSISTENT,
                  "the chain of device %u (%s) has forked at head %llu: a copy of its vault was "
                  "used, or an old state of it was brought back",
                  h->slot, name, (unsigned long long)h->sequence);
    problem(s, ERR_INCONSISTENT, msg.text);
}

static enum err judge(struct heads_sync *s, struct sync_head *h)
{
    const struct manifest_device *device = manifest_device_find(s->vault->manifest, &h->device);
    struct slice known;
    struct id hash = {{0}};
    uint64_t sequence = 0;
    if (!device || device->slot != h->slot || !manifest_valid(device, h->sequence) ||
        h->sequence == 0)
        return ERR_OK;
    enum err e = index_head_get(s->vault->index, &h->device, &sequence, &known, &s->msg);
    if (e == ERR_OK)
        document_hash(known, &hash);
    else if (e != ERR_NOT_FOUND)
        return e;
    const bool same_number = e == ERR_OK && sequence == h->sequence;
    const bool follows = e == ERR_OK && h->sequence == sequence + 1;
    if (h->forked || (same_number && !id_equal(&hash, &h->hash)) ||
        (follows && !id_equal(&hash, &h->previous)))
        say_fork(s, h, device->name);
    h->wanted = h->sequence > sequence && s->reads;
    if (h->own && h->sequence > sequence && !s->reads) {
        return err_say(&s->msg, ERR_STATE,
                       "this vault is an old copy of itself: head %llu of this device is known to "
                       "the swarm, and the vault has only %llu. Join anew as another device",
                       (unsigned long long)h->sequence, (unsigned long long)sequence);
    }
    s->summary.devices += !h->own;
    return ERR_OK;
}

/* A device was revoked: what it published later than it was allowed to forgets and condemns
   nothing, also where it was believed before. */
static enum err void_records(struct heads_sync *s)
{
    struct index_record rows[64];
    size_t count = 64;
    uint64_t after = 0;
    enum err e = ERR_OK;
    while (e == ERR_OK && count == 64) {
        e = index_records(s->vault->index, 0, after, rows, 64, &count, &s->msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            const struct manifest_device *device =
                manifest_device_find(s->vault->manifest, &rows[i].device);
            after = rows[i].number;
            if (device && rows[i].type != INDEX_LIFT && !rows[i].lifted &&
                !manifest_valid(device, rows[i].head))
                e = index_record_void(s->vault->index, rows[i].number, &s->msg);
        }
    }
    return e;
}

static void judge_run(struct work_job *job)
{
    struct heads_sync *s = container_of(job, struct heads_sync, job);
    s->e = ERR_OK;
    if (s->summary.manifest_changed)
        s->e = index_fact_put(s->vault->index, "manifest", buf_slice(&s->vault->manifest_bytes),
                              &s->msg);
    if (s->e == ERR_OK && s->summary.manifest_changed)
        s->e = void_records(s);
    for (size_t i = 0; s->e == ERR_OK && i < s->count; i++)
        s->e = judge(s, &s->heads[i]);
}

/* --- reading them, one after the other --- */

static void next_head(struct heads_sync *s);

static void keep_run(struct work_job *job)
{
    struct heads_sync *s = container_of(job, struct heads_sync, job);
    const struct sync_head *h = &s->heads[s->at];
    s->e = index_head_put(s->vault->index, &h->device, h->sequence, buf_slice(&h->bytes), &s->msg);
}

static void keep_done(struct work_job *job)
{
    struct heads_sync *s = container_of(job, struct heads_sync, job);
    if (s->e != ERR_OK) {
        sync_end(s, s->e);
        return;
    }
    s->at++;
    next_head(s);
}

/* Nothing more of it in this run. */
static void leave_unread(struct heads_sync *s, struct sync_head *h)
{
    h->wanted = false;
    if (s->summary.unread < MANIFEST_DEVICES_MAX)
        s->summary.unread_slots[s->summary.unread++] = h->slot;
}

/* The head counts as seen when all that it leads to is here; else the next run tries again. */
static void imported(void *user, enum err e, const struct errmsg *msg,
                     const struct heads_import *import)
{
    struct heads_sync *s = user;
    (void)import;
    struct sync_head *h = &s->heads[s->at];
    if (e == ERR_NOMEM || e == ERR_FULL || e == ERR_IO) {
        s->msg = *msg;
        sync_end(s, e);
        return;
    }
    if (e != ERR_OK) {
        s->summary.problems++;
        problem(s, e, msg->text);
    }
    if (e != ERR_OK || s->read.problems != s->problems_before)
        leave_unread(s, h);
    if (!h->wanted || !s->rest) {
        s->at++;
        next_head(s);
        return;
    }
    s->job.run = keep_run;
    s->job.done = keep_done;
    work_submit(s->vault->ports.work, s->vault->lane, &s->job);
}

static enum err begin_import(struct heads_sync *s, const struct sync_head *h, struct errmsg *msg)
{
    const struct heads_import_options options = {
        .head = buf_slice(&h->bytes),
        .device = &h->device,
        .slot = h->slot,
        .sequence = h->sequence,
        .documents_only = !s->rest,
        .problem = problem,
        .done = imported,
        .user = s,
        .summary = &s->read,
    };
    s->problems_before = s->read.problems;
    return heads_import_start(s->vault, &options, msg);
}

/* Twice: the documents of all, then the rest. */
static void next_head(struct heads_sync *s)
{
    for (;; s->at++) {
        if (s->at == s->count && s->rest)
            break;
        if (s->at == s->count) {
            s->rest = true;
            s->at = 0;
            if (s->count == 0)
                break;
        }
        struct sync_head *h = &s->heads[s->at];
        struct errmsg msg = {0};
        if (!h->wanted)
            continue;
        const enum err e = begin_import(s, h, &msg);
        if (e == ERR_OK)
            return;
        leave_unread(s, h);
        s->summary.problems++;
        problem(s, e, msg.text[0] ? msg.text : err_words(e));
    }
    sync_end(s, ERR_OK);
}

static void judged(struct work_job *job)
{
    struct heads_sync *s = container_of(job, struct heads_sync, job);
    if (s->e != ERR_OK)
        sync_end(s, s->e);
    else
        next_head(s);
}

static void heads_got(void *user, enum err e, const struct swarm_heads_result *result,
                      const struct errmsg *msg)
{
    struct heads_sync *s = user;
    const struct manifest_device *self = vault_manifest_self(s->vault);
    (void)result;
    s->msg = *msg;
    if (e == ERR_OK && (!self || self->revoked))
        e = ERR_STALE;
    if (e == ERR_STALE || e == ERR_DENIED)
        e = err_say(&s->msg, ERR_DENIED,
                    "the swarm does not let this device in any more: it was revoked, or the "
                    "account is none of this swarm's");
    if (e != ERR_OK) {
        sync_end(s, e);
        return;
    }
    s->reads = manifest_may(self, MANIFEST_READ);
    s->job.run = judge_run;
    s->job.done = judged;
    work_submit(s->vault->ports.work, s->vault->lane, &s->job);
}

enum err heads_sync_start(struct vault *vault, const struct heads_sync_events *events, void *user,
                          struct errmsg *msg)
{
    if (vault->access != VAULT_WRITE || !vault->swarm)
        return err_say(msg, ERR_STATE, "the vault is not open for writing");
    struct heads_sync *s = calloc(1, sizeof(*s));
    struct head *opened = malloc(sizeof(*opened));
    if (!s || !opened) {
        free(s);
        free(opened);
        return err_say(msg, ERR_NOMEM, "out of memory");
    }
    *s = (struct heads_sync){.vault = vault, .events = *events, .user = user, .opened = opened};
    const enum err e =
        swarm_heads_get(vault->swarm, &vault->account, on_heads, heads_got, s, NULL, msg);
    if (e != ERR_OK) {
        free(opened);
        free(s);
    }
    return e;
}

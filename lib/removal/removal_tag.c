#include "removal/removal_tag.h"

#include "heads/heads_edit.h"
#include "removal/removal_tombstone.h"
#include "vault/vault_deed.h"
#include "vault/vault_snapshots.h"

#include <stdlib.h>

enum { TAGS_MAX = 1024 };

/* One whose tags change. */
struct changed {
    size_t at; /* in tag->all */
    struct slice *tags;
    size_t tag_count;
    struct id now;
};

struct removal_tag {
    struct vault *vault;
    struct removal_tag_options options;
    struct removal_tag_events events;
    void *user;
    struct vault_snapshots all;
    struct changed *changed; /* owned */
    size_t changed_count;
    struct heads_edit *edit;
    struct work_job job;
    bool cancelled;
    enum err e;
    struct errmsg msg;
};

static void tag_end(struct removal_tag *t, enum err e, const struct errmsg *why)
{
    const struct errmsg msg = *why;
    const struct removal_tag_events events = t->events;
    void *user = t->user;
    const size_t count = e == ERR_OK ? t->changed_count : 0;
    for (size_t i = 0; i < count && events.changed; i++)
        events.changed(user, &t->all.list[t->changed[i].at].id, &t->changed[i].now);
    for (size_t i = 0; i < t->changed_count; i++)
        free(t->changed[i].tags);
    free(t->changed);
    vault_snapshots_free(&t->all);
    free(t);
    events.done(user, e, count, &msg);
}

static bool find(const struct slice *tags, size_t count, struct slice wanted, size_t *at)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equal(tags[i], wanted)) {
            *at = i;
            return true;
        }
    }
    return false;
}

static void edit_tags(struct changed *c, const char *text, bool add)
{
    struct slice cut[TAGS_MAX];
    const size_t count = vault_select_cut(text, cut, TAGS_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t at;
        const bool there = find(c->tags, c->tag_count, cut[i], &at);
        if (!add && there)
            memmove(&c->tags[at], &c->tags[at + 1], (--c->tag_count - at) * sizeof(c->tags[0]));
        else if (add && !there && cut[i].size > 0 && c->tag_count < TAGS_MAX)
            c->tags[c->tag_count++] = cut[i];
    }
}

static bool same_tags(const struct changed *c, const struct snapshot *s)
{
    size_t at;
    for (size_t i = 0; i < c->tag_count; i++)
        if (!find(s->tags, s->tag_count, c->tags[i], &at))
            return false;
    return c->tag_count == s->tag_count;
}

static enum err change_one(struct removal_tag *t, size_t at)
{
    const struct removal_tag_options *o = &t->options;
    const struct snapshot *s = &t->all.list[at].snapshot;
    struct changed *c = &t->changed[t->changed_count];
    *c = (struct changed){.at = at, .tags = calloc(TAGS_MAX + 1, sizeof(struct slice))};
    if (!c->tags)
        return ERR_NOMEM;
    for (size_t i = 0; o->set_count == 0 && i < s->tag_count && i < TAGS_MAX; i++)
        c->tags[c->tag_count++] = s->tags[i];
    for (size_t i = 0; i < o->set_count; i++)
        edit_tags(c, o->set[i], true);
    for (size_t i = 0; i < o->add_count; i++)
        edit_tags(c, o->add[i], true);
    for (size_t i = 0; i < o->remove_count; i++)
        edit_tags(c, o->remove[i], false);
    if (same_tags(c, s))
        free(c->tags);
    else
        t->changed_count++;
    return ERR_OK;
}

static enum err choose(struct removal_tag *t)
{
    bool *chosen = calloc(t->all.count + 1, sizeof(*chosen));
    t->changed = calloc(t->all.count + 1, sizeof(*t->changed));
    enum err e =
        chosen && t->changed
            ? vault_select(&t->all, &t->options.select, vault_device(t->vault), chosen, &t->msg)
            : err_say(&t->msg, ERR_NOMEM, "out of memory for the list of snapshots");
    for (size_t i = 0; e == ERR_OK && i < t->all.count; i++)
        if (chosen[i])
            e = change_one(t, i);
    free(chosen);
    return e;
}

static void load_run(struct work_job *job)
{
    struct removal_tag *t = container_of(job, struct removal_tag, job);
    t->e = vault_snapshots_load(t->vault->index, &t->all, &t->msg);
}

static enum err add_changed(struct removal_tag *t, struct heads_publish *publish, struct changed *c)
{
    const struct vault_snapshot *old = &t->all.list[c->at];
    struct snapshot next = old->snapshot;
    struct buf bytes = BUF_INIT(SNAPSHOT_BYTES_MAX);
    struct heads_publish_item *item;
    next.tags = c->tags;
    next.tag_count = c->tag_count;
    next.original = next.revision ? next.original : old->id;
    next.revision++;
    enum err e = snapshot_encode(&next, &bytes);
    if (e == ERR_OK)
        e = heads_publish_add(publish, SEGMENT_SNAPSHOT, &bytes, &item);
    if (e == ERR_OK) {
        item->time_ns = next.time_ns;
        c->now = item->id;
    }
    buf_free(&bytes);
    return e;
}

static enum err prepare(void *user, struct heads_publish *publish, struct errmsg *msg)
{
    struct removal_tag *t = user;
    struct id *old = calloc(t->changed_count, sizeof(*old));
    enum err e = old ? ERR_OK : ERR_NOMEM;
    for (size_t i = 0; e == ERR_OK && i < t->changed_count; i++) {
        e = add_changed(t, publish, &t->changed[i]);
        old[i] = t->all.list[t->changed[i].at].id;
    }
    if (e == ERR_OK)
        e = removal_tombstone_add(t->vault, publish, old, t->changed_count, msg);
    free(old);
    return e;
}

static void edited(void *user, enum err e, const struct errmsg *msg)
{
    struct removal_tag *t = user;
    t->edit = NULL;
    tag_end(t, e, msg);
}

static void loaded(struct work_job *job)
{
    struct removal_tag *t = container_of(job, struct removal_tag, job);
    const struct heads_edit_options options = {.prepare = prepare, .done = edited, .user = t};
    if (t->e == ERR_OK && t->cancelled)
        t->e = err_say(&t->msg, ERR_CANCELLED, "interrupted");
    if (t->e == ERR_OK)
        t->e = choose(t);
    if (t->e == ERR_OK && t->changed_count > 0)
        t->e = heads_edit_new(t->vault, &options, &t->edit, &t->msg);
    if (t->edit)
        heads_edit_publish(t->edit);
    else
        tag_end(t, t->e, &t->msg);
}

enum err removal_tag_start(struct vault *vault, const struct removal_tag_options *options,
                           const struct removal_tag_events *events, void *user,
                           struct removal_tag **out, struct errmsg *msg)
{
    if (vault->access != VAULT_WRITE || !vault->swarm)
        return err_say(msg, ERR_STATE, "the vault is not open for writing");
    const enum err e = vault_deed_allowed(vault, msg);
    if (e != ERR_OK)
        return e;
    struct removal_tag *t = calloc(1, sizeof(*t));
    if (!t)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *t = (struct removal_tag){.vault = vault, .options = *options, .events = *events, .user = user};
    t->job = (struct work_job){.run = load_run, .done = loaded};
    work_submit(vault->ports.work, vault->lane, &t->job);
    *out = t;
    return ERR_OK;
}

void removal_tag_cancel(struct removal_tag *t)
{
    t->cancelled = true;
    if (t->edit)
        heads_edit_cancel(t->edit);
}

#include "removal/removal_forget.h"

#include "heads/heads_edit.h"
#include "removal/removal_tombstone.h"
#include "vault/vault_deed.h"
#include "vault/vault_snapshots.h"

#include <stdlib.h>

struct removal_forget {
    struct vault *vault;
    struct removal_forget_options options;
    struct removal_forget_events events;
    void *user;
    struct vault_snapshots all;
    bool *chosen;                 /* owned; of `all` */
    struct retention_item *items; /* owned; of the chosen ones */
    size_t *at;                   /* owned: where in `all` each item is */
    size_t item_count;
    struct id *removed; /* owned */
    size_t removed_count;
    struct removal_forget_summary summary;
    struct heads_edit *edit;
    struct work_job job;
    bool cancelled;
    enum err e;
    struct errmsg msg;
};

static void forget_end(struct removal_forget *f, enum err e, const struct errmsg *why)
{
    const struct errmsg msg = *why;
    const struct removal_forget_events events = f->events;
    const struct removal_forget_summary summary = f->summary;
    void *user = f->user;
    vault_snapshots_free(&f->all);
    free(f->chosen);
    free(f->items);
    free(f->at);
    free(f->removed);
    free(f);
    events.done(user, e, &summary, &msg);
}

/* --- which --- */

static void load_run(struct work_job *job)
{
    struct removal_forget *f = container_of(job, struct removal_forget, job);
    f->e = vault_snapshots_load(f->vault->index, &f->all, &f->msg);
}

static enum err make_items(struct removal_forget *f)
{
    const size_t count = f->all.count + 1;
    f->chosen = calloc(count, sizeof(*f->chosen));
    f->items = calloc(count, sizeof(*f->items));
    f->at = calloc(count, sizeof(*f->at));
    f->removed = calloc(count, sizeof(*f->removed));
    if (!f->chosen || !f->items || !f->at || !f->removed)
        return err_say(&f->msg, ERR_NOMEM, "out of memory for the list of snapshots");
    enum err e =
        vault_select(&f->all, &f->options.select, vault_device(f->vault), f->chosen, &f->msg);
    for (size_t i = 0; e == ERR_OK && i < f->all.count; i++) {
        const struct snapshot *s = &f->all.list[i].snapshot;
        if (!f->chosen[i])
            continue;
        f->at[f->item_count] = i;
        f->items[f->item_count++] = (struct retention_item){
            .time_ns = s->time_ns,
            .host = s->host,
            .paths = s->paths,
            .path_count = s->path_count,
            .tags = s->tags,
            .tag_count = s->tag_count,
        };
    }
    return e;
}

static enum err decide(struct removal_forget *f)
{
    enum err e = make_items(f);
    if (e == ERR_OK && f->options.policy) {
        e = retention_group(f->items, f->item_count, f->options.group_by, &f->msg);
        if (e == ERR_OK)
            e = retention_apply(f->options.policy, f->items, f->item_count,
                                clock_wall_ns(f->vault->ports.clock), &f->msg);
    }
    for (size_t i = 0; e == ERR_OK && i < f->item_count; i++) {
        if (!f->items[i].keep)
            f->removed[f->removed_count++] = f->all.list[f->at[i]].id;
    }
    f->summary.removed = f->removed_count;
    f->summary.kept = f->item_count - f->removed_count;
    return e;
}

static void tell_group(struct removal_forget *f, uint32_t number,
                       const struct vault_snapshot **snapshots, struct retention_item *items)
{
    struct removal_forget_group group = {.snapshots = snapshots, .items = items};
    for (size_t i = 0; i < f->item_count; i++) {
        if (f->items[i].group != number)
            continue;
        snapshots[group.count] = &f->all.list[f->at[i]];
        items[group.count++] = f->items[i];
    }
    if (group.count == 0)
        return;
    group.like = &snapshots[0]->snapshot;
    f->events.group(f->user, &group);
}

static enum err tell(struct removal_forget *f)
{
    const struct vault_snapshot **snapshots = calloc(f->item_count + 1, sizeof(*snapshots));
    struct retention_item *items = calloc(f->item_count + 1, sizeof(*items));
    uint32_t last = 0;
    enum err e = snapshots && items ? ERR_OK : ERR_NOMEM;
    for (size_t i = 0; i < f->item_count; i++)
        last = f->items[i].group > last ? f->items[i].group : last;
    for (uint32_t g = 0;
         e == ERR_OK && f->item_count > 0 && f->options.policy && f->events.group && g <= last; g++)
        tell_group(f, g, snapshots, items);
    for (size_t i = 0; e == ERR_OK && f->events.removed && i < f->item_count; i++)
        if (!f->items[i].keep)
            f->events.removed(f->user, &f->all.list[f->at[i]]);
    free(snapshots);
    free(items);
    return e;
}

/* --- and then --- */

static enum err prepare(void *user, struct heads_publish *publish, struct errmsg *msg)
{
    struct removal_forget *f = user;
    return removal_tombstone_add(f->vault, publish, f->removed, f->removed_count, msg);
}

static void edited(void *user, enum err e, const struct errmsg *msg)
{
    struct removal_forget *f = user;
    f->edit = NULL;
    forget_end(f, e, msg);
}

static void loaded(struct work_job *job)
{
    struct removal_forget *f = container_of(job, struct removal_forget, job);
    const struct heads_edit_options options = {.prepare = prepare, .done = edited, .user = f};
    if (f->e == ERR_OK && f->cancelled)
        f->e = err_say(&f->msg, ERR_CANCELLED, "interrupted");
    if (f->e == ERR_OK)
        f->e = decide(f);
    if (f->e == ERR_OK)
        f->e = tell(f);
    if (f->e == ERR_OK && f->removed_count > 0 && !f->options.dry_run)
        f->e = heads_edit_new(f->vault, &options, &f->edit, &f->msg);
    if (f->edit)
        heads_edit_publish(f->edit);
    else
        forget_end(f, f->e, &f->msg);
}

enum err removal_forget_start(struct vault *vault, const struct removal_forget_options *options,
                              const struct removal_forget_events *events, void *user,
                              struct removal_forget **out, struct errmsg *msg)
{
    if (!options->dry_run && (vault->access != VAULT_WRITE || !vault->swarm))
        return err_say(msg, ERR_STATE, "the vault is not open for writing");
    const enum err e = options->dry_run ? ERR_OK : vault_deed_allowed(vault, msg);
    if (e != ERR_OK)
        return e;
    struct removal_forget *f = calloc(1, sizeof(*f));
    if (!f)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *f = (struct removal_forget){
        .vault = vault, .options = *options, .events = *events, .user = user};
    f->job = (struct work_job){.run = load_run, .done = loaded};
    work_submit(vault->ports.work, vault->lane, &f->job);
    *out = f;
    return ERR_OK;
}

void removal_forget_cancel(struct removal_forget *f)
{
    f->cancelled = true;
    if (f->edit)
        heads_edit_cancel(f->edit);
}

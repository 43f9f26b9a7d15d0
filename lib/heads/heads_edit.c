#include "heads/heads_edit.h"

#include <stdlib.h>

struct heads_edit {
    struct vault *vault;
    struct heads_edit_options options;
    struct transfer_writer *writer;
    struct heads_publish *publish;
    struct work_job job;
    enum err e;
    struct errmsg msg;
};

static void edit_free(struct heads_edit *edit)
{
    heads_publish_free(edit->publish);
    transfer_writer_free(edit->writer);
    free(edit);
}

/* From a job of its own, so that the writer is not freed under its own call. */
static void end_done(struct work_job *job)
{
    struct heads_edit *edit = container_of(job, struct heads_edit, job);
    const struct heads_edit_options options = edit->options;
    const enum err e = edit->e;
    const struct errmsg msg = edit->msg;
    edit_free(edit);
    options.done(options.user, e, &msg);
}

static void end_soon(struct heads_edit *edit)
{
    edit->job.done = end_done;
    work_post(edit->vault->ports.work, &edit->job);
}

static void keep_error(struct heads_edit *edit, enum err e, const struct errmsg *msg)
{
    if (edit->e != ERR_OK || e == ERR_OK)
        return;
    edit->e = e;
    edit->msg = *msg;
}

static void published(void *user, enum err e, const struct errmsg *msg)
{
    struct heads_edit *edit = user;
    keep_error(edit, e, msg);
    end_soon(edit);
}

static void writer_failed(void *user, enum err e, const struct errmsg *msg)
{
    struct heads_edit *edit = user;
    keep_error(edit, e, msg);
    heads_publish_stop(edit->publish, e, msg);
}

static void writer_committed(void *user, const struct transfer_writer_committed *segment)
{
    struct heads_edit *edit = user;
    struct errmsg msg;
    const enum err e = heads_publish_note(edit->publish, segment);
    if (e != ERR_OK)
        keep_error(edit, err_say(&msg, e, "cannot note a segment for the index"), &msg);
}

static void writer_safe(void *user)
{
    (void)user;
}

static enum err make_writer(struct heads_edit *edit, unsigned k, unsigned m, struct errmsg *msg)
{
    struct vault *vault = edit->vault;
    struct slice head;
    uint64_t sequence = 0;
    enum err e = index_head_get(vault->index, vault_device(vault), &sequence, &head, msg);
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    const struct transfer_writer_options options = {
        .k = k,
        .m = m,
        .sequence = sequence + 1,
        .failed = writer_failed,
        .committed = writer_committed,
        .safe = writer_safe,
        .user = edit,
    };
    return transfer_writer_new(vault, &options, &edit->writer, msg);
}

enum err heads_edit_new(struct vault *vault, const struct heads_edit_options *options,
                        struct heads_edit **out, struct errmsg *msg)
{
    unsigned k, m;
    vault_level(vault, &k, &m);
    if (k == 0)
        return err_say(msg, ERR_NOT_ENOUGH,
                       "there is no cell of another household in the swarm yet: invite one "
                       "(\"coordinatord invite --cell\")");
    enum err e = swarm_enough(vault->swarm, k, m, msg);
    if (e != ERR_OK)
        return e;
    struct heads_edit *edit = calloc(1, sizeof(*edit));
    if (!edit)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *edit = (struct heads_edit){.vault = vault, .options = *options};
    e = make_writer(edit, k, m, msg);
    const struct heads_publish_options publish = {
        .vault = vault,
        .writer = edit->writer,
        .losses = m,
        .prepare = options->prepare,
        .store = options->store,
        .done = published,
        .user = options->user,
        .done_user = edit,
    };
    if (e == ERR_OK)
        e = heads_publish_new(&publish, &edit->publish, msg);
    if (e != ERR_OK) {
        edit_free(edit);
        return e;
    }
    *out = edit;
    return ERR_OK;
}

struct transfer_writer *heads_edit_writer(struct heads_edit *edit)
{
    return edit->writer;
}

enum err heads_edit_error(const struct heads_edit *edit, struct errmsg *msg)
{
    if (edit->e != ERR_OK)
        *msg = edit->msg;
    return edit->e;
}

static void flushed(void *user)
{
    struct heads_edit *edit = user;
    if (edit->e != ERR_OK)
        end_soon(edit);
    else
        heads_publish_start(edit->publish);
}

void heads_edit_publish(struct heads_edit *edit)
{
    transfer_writer_flush(edit->writer, flushed, edit);
}

void heads_edit_abandon(struct heads_edit *edit, enum err e, const struct errmsg *msg)
{
    keep_error(edit, e, msg);
    if (e != ERR_OK)
        transfer_writer_stop(edit->writer);
    heads_edit_publish(edit);
}

void heads_edit_cancel(struct heads_edit *edit)
{
    struct errmsg msg;
    (void)err_say(&msg, ERR_CANCELLED, "interrupted");
    keep_error(edit, ERR_CANCELLED, &msg);
    heads_publish_stop(edit->publish, ERR_CANCELLED, &msg);
    transfer_writer_stop(edit->writer);
}

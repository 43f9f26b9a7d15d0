#include "vault/vault_edit.h"

#include <stdlib.h>

struct vault_edit {
    struct vault *vault;
    struct vault_edit_options options;
    struct vault_writer *writer;
    struct vault_publish *publish;
    struct work_job job;
    enum err e;
    struct errmsg msg;
};

static void edit_free(struct vault_edit *edit)
{
    vault_publish_free(edit->publish);
    vault_writer_free(edit->writer);
    free(edit);
}

/* From a job of its own, so that the writer is not freed under its own call. */
static void end_done(struct work_job *job)
{
    struct vault_edit *edit = container_of(job, struct vault_edit, job);
    const struct vault_edit_options options = edit->options;
    const enum err e = edit->e;
    const struct errmsg msg = edit->msg;
    edit_free(edit);
    options.done(options.user, e, &msg);
}

static void end_soon(struct vault_edit *edit)
{
    edit->job.done = end_done;
    work_post(edit->vault->ports.work, &edit->job);
}

static void keep_error(struct vault_edit *edit, enum err e, const struct errmsg *msg)
{
    if (edit->e != ERR_OK || e == ERR_OK)
        return;
    edit->e = e;
    edit->msg = *msg;
}

static void published(void *user, enum err e, const struct errmsg *msg)
{
    struct vault_edit *edit = user;
    keep_error(edit, e, msg);
    end_soon(edit);
}

static void writer_failed(void *user, enum err e, const struct errmsg *msg)
{
    struct vault_edit *edit = user;
    keep_error(edit, e, msg);
    vault_publish_stop(edit->publish, e, msg);
}

static void writer_committed(void *user, const struct vault_writer_committed *segment)
{
    struct vault_edit *edit = user;
    struct errmsg msg;
    const enum err e = vault_publish_note(edit->publish, segment);
    if (e != ERR_OK)
        keep_error(edit, err_say(&msg, e, "cannot note a segment for the index"), &msg);
}

static void writer_safe(void *user)
{
    (void)user;
}

static enum err make_writer(struct vault_edit *edit, unsigned k, unsigned m, struct errmsg *msg)
{
    struct vault *vault = edit->vault;
    struct slice head;
    uint64_t sequence = 0;
    enum err e = index_head_get(vault->index, vault_device(vault), &sequence, &head, msg);
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    const struct vault_writer_options options = {
        .k = k,
        .m = m,
        .sequence = sequence + 1,
        .failed = writer_failed,
        .committed = writer_committed,
        .safe = writer_safe,
        .user = edit,
    };
    return vault_writer_new(vault, &options, &edit->writer, msg);
}

enum err vault_edit_new(struct vault *vault, const struct vault_edit_options *options,
                        struct vault_edit **out, struct errmsg *msg)
{
    unsigned k, m;
    vault_level(vault, &k, &m);
    if (k == 0)
        return err_say(msg, ERR_NOT_ENOUGH,
                       "there is no cell of another household in the swarm yet");
    enum err e = swarm_enough(vault->swarm, k, m, msg);
    if (e != ERR_OK)
        return e;
    struct vault_edit *edit = calloc(1, sizeof(*edit));
    if (!edit)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *edit = (struct vault_edit){.vault = vault, .options = *options};
    e = make_writer(edit, k, m, msg);
    const struct vault_publish_options publish = {
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
        e = vault_publish_new(&publish, &edit->publish, msg);
    if (e != ERR_OK) {
        edit_free(edit);
        return e;
    }
    *out = edit;
    return ERR_OK;
}

struct vault_writer *vault_edit_writer(struct vault_edit *edit)
{
    return edit->writer;
}

enum err vault_edit_error(const struct vault_edit *edit, struct errmsg *msg)
{
    if (edit->e != ERR_OK)
        *msg = edit->msg;
    return edit->e;
}

static void flushed(void *user)
{
    struct vault_edit *edit = user;
    if (edit->e != ERR_OK)
        end_soon(edit);
    else
        vault_publish_start(edit->publish);
}

void vault_edit_publish(struct vault_edit *edit)
{
    vault_writer_flush(edit->writer, flushed, edit);
}

void vault_edit_abandon(struct vault_edit *edit, enum err e, const struct errmsg *msg)
{
    keep_error(edit, e, msg);
    if (e != ERR_OK)
        vault_writer_stop(edit->writer);
    vault_edit_publish(edit);
}

void vault_edit_cancel(struct vault_edit *edit)
{
    struct errmsg msg;
    (void)err_say(&msg, ERR_CANCELLED, "interrupted");
    keep_error(edit, ERR_CANCELLED, &msg);
    vault_publish_stop(edit->publish, ERR_CANCELLED, &msg);
    vault_writer_stop(edit->writer);
}

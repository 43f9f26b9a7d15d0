#include "transfer/transfer_registrations.h"

#include "swarm/swarm_directory.h"
#include "vault/vault_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_MAX ((size_t)1 << 30)

struct sending {
    struct work_job job;
    struct vault *vault;
    char *path;
    struct buf file;
    size_t at;  /* of the registration that is under way */
    size_t end; /* behind it */
    vault_done_fn *done;
    void *user;
    enum err e;
    struct errmsg msg;
};

enum err transfer_registrations_add(struct vault *vault, struct slice body, struct errmsg *msg)
{
    struct buf framed = BUF_INIT(WIRE_REGISTER_BYTES + 4);
    char *path = vault_path(vault, "registrations");
    enum err e = path ? buf_append_le32(&framed, (uint32_t)body.size) : ERR_NOMEM;
    if (e == ERR_OK)
        e = buf_append(&framed, body.data, body.size);
    if (e != ERR_OK)
        err_say(msg, e, "out of memory for a registration");
    else if (access(path, F_OK) == 0)
        e = vault_file_append(path, buf_slice(&framed), msg);
    else
        e = file_write(path, 0600, buf_slice(&framed), msg);
    buf_free(&framed);
    free(path);
    return e;
}

static void end(struct sending *s)
{
    s->done(s->user, s->e, &s->msg);
    buf_free(&s->file);
    free(s->path);
    free(s);
}

static void written(struct work_job *job)
{
    end(container_of(job, struct sending, job));
}

/* What is left takes the place of the file; nothing left, no file. */
static void write_rest(struct work_job *job)
{
    struct sending *s = container_of(job, struct sending, job);
    const struct slice rest = slice_of(s->file.data + s->at, s->file.size - s->at);
    if (rest.size)
        s->e = file_write(s->path, 0600, rest, &s->msg);
    else if (unlink(s->path) != 0 && errno != ENOENT)
        s->e = err_say_errno(&s->msg, errno, "cannot remove %s", s->path);
}

static void finish(struct sending *s)
{
    s->job = (struct work_job){.run = write_rest, .done = written};
    if (s->at == 0) /* nothing has changed */
        s->job.run = NULL;
    if (s->job.run)
        work_submit(s->vault->ports.work, s->vault->lane, &s->job);
    else
        work_post(s->vault->ports.work, &s->job);
}

static void next(struct sending *s);

static void registered(void *user, enum err e, uint32_t taken, const struct errmsg *msg)
{
    struct sending *s = user;
    (void)taken;
    if (e != ERR_OK && err_class(e) == ERR_CLASS_RETRYABLE) {
        finish(s);
        return;
    }
    if (e != ERR_OK) /* deleted meanwhile, or known in another form: it will not be taken later */
        log_say(s->vault->ports.log, LOG_INFO, "the directory does not take a segment: %s",
                msg->text);
    s->at = s->end;
    next(s);
}

/* A registration that cannot be read is passed over. */
static bool send_one(struct sending *s, struct slice body)
{
    struct wire_registration registration;
    struct slice receipts[LIMIT_SHARDS];
    struct wire_list list;
    size_t count = 0;
    if (wire_register_decode(body, &list) != ERR_OK || !wire_register_next(&list, &registration))
        return false;
    while (count < LIMIT_SHARDS && wire_receipts_next(&registration.receipt_list, &receipts[count]))
        count++;
    registration.receipts = receipts;
    registration.receipt_count = (uint32_t)count;
    return swarm_register(s->vault->swarm, &registration, 1, registered, s, NULL) == ERR_OK;
}

static void next(struct sending *s)
{
    while (s->at + 4 <= s->file.size) {
        const size_t size = get_le32(s->file.data + s->at);
        if (size > s->file.size - s->at - 4)
            break; /* cut off by a crash */
        s->end = s->at + 4 + size;
        if (send_one(s, slice_of(s->file.data + s->at + 4, size)))
            return;
        s->at = s->end;
    }
    s->at = s->file.size;
    finish(s);
}

static void read_file(struct work_job *job)
{
    struct sending *s = container_of(job, struct sending, job);
    s->e = file_read(s->path, &s->file, &s->msg);
    if (s->e == ERR_NOT_FOUND)
        s->e = ERR_OK;
}

static void was_read(struct work_job *job)
{
    struct sending *s = container_of(job, struct sending, job);
    if (s->e != ERR_OK || s->file.size == 0 || !swarm_coordinator_up(s->vault->swarm))
        end(s);
    else
        next(s);
}

enum err transfer_registrations_send(struct vault *vault, vault_done_fn *done, void *user,
                                     struct errmsg *msg)
{
    struct sending *s = calloc(1, sizeof(*s));
    char *path = vault_path(vault, "registrations");
    if (!s || !path) {
        free(s);
        free(path);
        return err_say(msg, ERR_NOMEM, "out of memory");
    }
    *s = (struct sending){.job = {.run = read_file, .done = was_read},
                          .vault = vault,
                          .path = path,
                          .file = BUF_INIT(FILE_MAX),
                          .done = done,
                          .user = user};
    work_submit(vault->ports.work, vault->lane, &s->job);
    return ERR_OK;
}

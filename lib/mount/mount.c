/*
 * From the first request to the last:
 *
 *     pump ─▶ fuse_session_process_buf ─▶ on_*() ─▶ mount_begin ─▶ step ─▶ answered
 *                                                       │ BUSY: chunks, or the list of snapshots
 *                                                       ▼
 *                                                     waits ─▶ step again ─▶ answered
 *     stop, or unmounted ─▶ all that waits is answered with EIO ─▶ unmount ─▶ fetches broken off
 *                                                                              ─▶ done
 */
#include "mount/mount_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define CACHE_BYTES MIB(128)

enum {
    DATA_WINDOW = 256 << 10,
    METADATA_WINDOW = 512 << 10,
    PUMP_AT_ONCE = 32,
    VIEW_LASTS_MS = 1000,
    SAME_PROBLEM_MS = 10000,
    REFRESH_MS = 300000,
};

/* --- requests --- */

static void request_free(struct mount_request *r)
{
    struct mount *mount = r->mount;
    transfer_cache_release(mount->chunks, &r->op);
    list_remove(&r->link);
    list_remove(&r->view_link);
    free(r->name);
    free(r);
    mount->request_count--;
    if (mount->paused && !mount->stopping) {
        mount->paused = false;
        mount->events.pause(mount->user, false);
    }
}

static void say_problem(struct mount_request *r, enum err e, const struct errmsg *msg)
{
    struct mount *mount = r->mount;
    struct snapshot_entry entry = {0};
    const uint64_t now_ms = clock_mono_ms(mount->options.clock);
    const struct mount_dir *dir = mount_dir_of(mount, r->node);
    const struct buf *bytes = r->file ? &r->file->entry : dir && !dir->shelf ? &dir->entry : NULL;
    if (e == ERR_CANCELLED ||
        (!strcmp(mount->said, msg->text) && now_ms - mount->said_ms < SAME_PROBLEM_MS))
        return;
    memcpy(mount->said, msg->text, sizeof(mount->said));
    mount->said_ms = now_ms;
    if (bytes && snapshot_entry_decode(buf_slice(bytes), &entry, NULL) != ERR_OK)
        entry.name = slice_of(NULL, 0);
    mount->events.problem(mount->user, e, entry.name, msg->text[0] ? msg->text : err_words(e));
}

static void request_fail(struct mount_request *r, enum err e, const struct errmsg *msg)
{
    say_problem(r, e, msg);
    (void)fuse_reply_err(r->req, e == ERR_NOMEM ? ENOMEM : EIO);
    request_free(r);
}

static void request_run(struct mount_request *r)
{
    struct errmsg msg = {0};
    const enum err e = r->step(r, &msg);
    if (e == ERR_OK)
        request_free(r);
    else if (e != ERR_BUSY)
        request_fail(r, e, &msg);
}

static void request_ready(struct transfer_cache_op *op)
{
    request_run(container_of(op, struct mount_request, op));
}

void mount_begin(struct mount *mount, fuse_req_t req, mount_step_fn *step, fuse_ino_t node,
                 const char *name, size_t size, uint64_t offset, struct mount_file *file,
                 unsigned flags)
{
    struct mount_request *r = calloc(1, sizeof(*r));
    char *copy = name ? strdup(name) : NULL;
    if (!r || (name && !copy)) {
        free(r);
        free(copy);
        (void)fuse_reply_err(req, ENOMEM);
        return;
    }
    *r = (struct mount_request){
        .op = {.ready = request_ready},
        .mount = mount,
        .req = req,
        .step = step,
        .node = node,
        .name = copy,
        .size = size < MOUNT_READ_MAX ? size : MOUNT_READ_MAX,
        .offset = offset,
        .file = file,
        .plus = flags & MOUNT_PLUS,
        .hole = flags & MOUNT_HOLE,
    };
    transfer_cache_op_init(&r->op);
    list_init(&r->view_link);
    list_append(&mount->requests, &r->link);
    mount->request_count++;
    request_run(r);
}

/* --- the list of snapshots --- */

static void end_if_idle(struct mount *mount);

static void on_snapshots(void *user, enum err e, const struct vault_snapshots *snapshots,
                         const struct errmsg *msg)
{
    struct mount *mount = user;
    struct mount_view *view = NULL;
    struct list awaiting, *link;
    mount->view_loading = false;
    if (e == ERR_OK)
        e = mount_view_new(snapshots, mount->options.host, mount->options.tags,
                           mount->options.tag_count, &view);
    if (e == ERR_OK) {
        mount_view_free(mount->view);
        mount->view = view;
    }
    mount->view_ms = clock_mono_ms(mount->options.clock); /* an old one does while it fails */
    if (mount->stopping) {
        end_if_idle(mount);
        return;
    }
    list_init(&awaiting);
    while ((link = list_pop(&mount->awaiting)) != NULL)
        list_append(&awaiting, link);
    while ((link = list_pop(&awaiting)) != NULL) {
        struct mount_request *r = container_of(link, struct mount_request, view_link);
        if (mount->view)
            request_run(r);
        else
            request_fail(r, e, msg);
    }
}

enum err mount_fresh_view(struct mount_request *r, const struct mount_view **out)
{
    struct mount *mount = r->mount;
    const uint64_t now_ms = clock_mono_ms(mount->options.clock);
    *out = mount->view;
    if (mount->view && now_ms - mount->view_ms < VIEW_LASTS_MS)
        return ERR_OK;
    if (!mount->view_loading) {
        struct errmsg msg;
        const enum err e = vault_snapshots(mount->vault, on_snapshots, mount, &msg);
        if (e != ERR_OK)
            return e;
        mount->view_loading = true;
    }
    list_append(&mount->awaiting, &r->view_link);
    return ERR_BUSY;
}

/* --- who is there --- */

static void refreshed(void *user, enum err e, const struct errmsg *msg)
{
    struct mount *mount = user;
    (void)msg;
    err_ignore(e); /* what is known serves until the next time */
    mount->refreshing = false;
    if (mount->stopping)
        end_if_idle(mount);
    else
        err_ignore(timer_start(mount->options.clock, &mount->ticker, REFRESH_MS));
}

static void refresh(struct timer *timer)
{
    struct mount *mount = container_of(timer, struct mount, ticker);
    struct errmsg msg;
    mount->refreshing = vault_refresh(mount->vault, refreshed, mount, &msg) == ERR_OK;
    if (!mount->refreshing)
        err_ignore(timer_start(mount->options.clock, &mount->ticker, REFRESH_MS));
}

/* --- the beginning --- */

static void mount_free(struct mount *mount)
{
    if (mount->session)
        fuse_session_destroy(mount->session);
    transfer_cache_free(mount->chunks);
    while (!list_empty(&mount->files))
        mount_file_free(container_of(mount->files.next, struct mount_file, link));
    mount_dirs_free(mount);
    mount_view_free(mount->view);
    free(mount->buffer.mem);
    free(mount->scratch);
    free(mount);
}

static enum err session_new(struct mount *mount, struct errmsg *msg)
{
    const struct mount_options *o = &mount->options;
    char options[256], program[] = "cellctl", flag[] = "-o";
    /* what a snapshot holds of devices and setuid programs is to be seen, not to be used */
    snprintf(options, sizeof(options),
             "ro,nosuid,nodev,auto_unmount,fsname=cellar,subtype=cellar%s%s",
             o->allow_other ? ",allow_other" : "",
             o->allow_other && !o->no_default_permissions ? ",default_permissions" : "");
    char *argv[] = {program, flag, options, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(3, argv);
    mount->session = fuse_session_new(&args, &mount_ops, sizeof(mount_ops), mount);
    fuse_opt_free_args(&args);
    if (!mount->session)
        return err_say(msg, ERR_IO, "FUSE cannot be used here");
    if (fuse_session_mount(mount->session, o->dir) != 0)
        return err_say(msg, ERR_IO,
                       "cannot mount on %s: it must be a directory of yours, /dev/fuse must be "
                       "there, and fusermount3 (package fuse3)",
                       o->dir);
    mount->mounted = true;
    mount->fd = fuse_session_fd(mount->session);
    const int flags = fcntl(mount->fd, F_GETFL);
    if (flags < 0 || fcntl(mount->fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return err_say_errno(msg, errno, "cannot read /dev/fuse without blocking");
    return ERR_OK;
}

enum err mount_new(struct vault *vault, const struct mount_options *options,
                   const struct mount_events *events, void *user, struct mount **out,
                   struct errmsg *msg)
{
    struct mount *mount = calloc(1, sizeof(*mount));
    if (!mount)
        return err_say(msg, ERR_NOMEM, "out of memory");
    mount->vault = vault;
    mount->options = *options;
    mount->events = *events;
    mount->user = user;
    mount->ticker.fire = refresh;
    list_init(&mount->files);
    list_init(&mount->requests);
    list_init(&mount->awaiting);
    const struct transfer_cache_options chunks = {
        .cache_bytes = options->cache_bytes ? options->cache_bytes : CACHE_BYTES,
        .data_window = DATA_WINDOW,
        .metadata_window = METADATA_WINDOW,
    };
    mount->scratch = malloc(MOUNT_READ_MAX);
    enum err e = mount->scratch ? mount_dirs_open(mount) : ERR_NOMEM;
    if (e == ERR_OK)
        e = transfer_cache_new(vault, &chunks, &mount->chunks, msg);
    if (e == ERR_OK)
        e = session_new(mount, msg);
    if (e == ERR_OK)
        e = timer_start(options->clock, &mount->ticker, REFRESH_MS);
    if (e != ERR_OK) {
        if (mount->mounted)
            fuse_session_unmount(mount->session);
        mount_free(mount);
        return e;
    }
    *out = mount;
    return ERR_OK;
}

int mount_fd(const struct mount *mount)
{
    return mount->fd;
}

void mount_pump(struct mount *mount)
{
    for (unsigned i = 0; i < PUMP_AT_ONCE && !mount->stopping; i++) {
        if (mount->request_count >= MOUNT_REQUESTS) {
            mount->paused = true;
            mount->events.pause(mount->user, true);
            return;
        }
        const int size = fuse_session_receive_buf(mount->session, &mount->buffer);
        if (size == -EAGAIN || size == -EINTR)
            return;
        if (size <= 0 || fuse_session_exited(mount->session)) { /* unmounted */
            mount_stop(mount);
            return;
        }
        fuse_session_process_buf(mount->session, &mount->buffer);
    }
}

/* --- the end --- */

static void end_if_idle(struct mount *mount)
{
    if (!mount->chunks_stopped || mount->view_loading || mount->refreshing)
        return;
    const struct mount_events events = mount->events;
    void *user = mount->user;
    const struct errmsg msg = mount->msg;
    const enum err e = mount->e;
    mount_free(mount);
    events.done(user, e, &msg);
}

static void chunks_stopped(void *user)
{
    struct mount *mount = user;
    mount->chunks_stopped = true;
    end_if_idle(mount);
}

void mount_stop(struct mount *mount)
{
    if (mount->stopping)
        return;
    mount->stopping = true;
    timer_stop(mount->options.clock, &mount->ticker);
    while (!list_empty(&mount->requests)) {
        struct mount_request *r = container_of(mount->requests.next, struct mount_request, link);
        (void)fuse_reply_err(r->req, EIO);
        request_free(r);
    }
    mount->events.detach(mount->user);
    fuse_session_exit(mount->session);
    fuse_session_unmount(mount->session);
    transfer_cache_stop(mount->chunks, chunks_stopped, mount);
}

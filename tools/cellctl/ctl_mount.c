/* cellctl mount: until somebody unmounts it, or SIGINT or SIGTERM. */
#include "ctl.h"
#include "mount/mount.h"
#include "uvio/uvio_watch.h"

#include <errno.h>
#include <sys/stat.h>

struct mounted {
    struct ctl *ctl;
    struct mount *mount; /* NULL once it has ended */
    struct uvio_watch *watch;
};

static void on_readable(void *user)
{
    struct mounted *m = user;
    mount_pump(m->mount);
}

static void on_pause(void *user, bool paused)
{
    struct mounted *m = user;
    uvio_watch_pause(m->watch, paused);
}

static void on_detach(void *user)
{
    struct mounted *m = user;
    uvio_watch_close(m->watch);
    m->watch = NULL;
}

static void on_problem(void *user, enum err e, struct slice name, const char *sentence)
{
    struct mounted *m = user;
    char shown[CTL_TEXT_SIZE], text[CTL_TEXT_SIZE + ERRMSG_SIZE + 4];
    (void)e;
    snprintf(text, sizeof(text), "%s: %s", name.size ? ctl_text(name, shown) : "mount", sentence);
    ctl_problem(&m->ctl->out, "mount", name, text);
}

static void on_done(void *user, enum err e, const struct errmsg *msg)
{
    struct mounted *m = user;
    m->mount = NULL;
    ctl_done(m->ctl, e, msg);
}

/* Ending it is what an interrupt is for here: no failure, exit code 0. */
static void cancel(struct ctl *ctl)
{
    struct mounted *m = ctl->operation;
    ctl->interrupted = false;
    if (m->mount)
        mount_stop(m->mount);
}

/* It has ended; whoever still wants that gets it. */
static void cancel_nothing(struct ctl *ctl)
{
    ctl->interrupted = false;
}

static void say_mounted(struct ctl *ctl)
{
    struct json_line *line;
    const char *dir = ctl->options.arguments.items[0];
    char text[CTL_TEXT_SIZE];
    if (!ctl->out.json) {
        ctl_say(&ctl->out,
                "Mounted on %s. It ends with Ctrl-C, SIGTERM or \"fusermount3 -u\"; this process "
                "stays until then.",
                ctl_text(slice_text(dir), text));
    } else if (json_line_new("mounted", &line) == ERR_OK) {
        json_line_path(line, "mountpoint", slice_text(dir));
        ctl_json(&ctl->out, line);
    }
    (void)fflush(stdout);
}

static int check_dir(struct ctl *ctl)
{
    const char *dir = ctl->options.arguments.items[0];
    struct stat stat_of;
    if (stat(dir, &stat_of) != 0 && errno == ENOTCONN)
        err_ignore(err_say(&ctl->msg, ERR_USAGE,
                           "cannot mount on %s: a mount is left there whose process is gone; "
                           "\"fusermount3 -u %s\" takes it away",
                           dir, dir));
    else if (stat(dir, &stat_of) != 0)
        err_ignore(err_say_errno(&ctl->msg, errno, "cannot mount on %s", dir));
    else if (!S_ISDIR(stat_of.st_mode))
        err_ignore(err_say(&ctl->msg, ERR_USAGE, "cannot mount on %s: it is no directory", dir));
    else
        return CTL_OK;
    return ctl_fail(&ctl->out, CTL_FAILED, ctl->msg.text);
}

static enum err run(struct mounted *m)
{
    static const struct mount_events events = {
        .pause = on_pause, .detach = on_detach, .problem = on_problem, .done = on_done};
    struct ctl *ctl = m->ctl;
    const struct mount_options options = {
        .dir = ctl->options.arguments.items[0],
        .host = ctl->options.host,
        .tags = ctl->options.tags.items,
        .tag_count = ctl->options.tags.count,
        .allow_other = ctl->options.allow_other,
        .no_default_permissions = ctl->options.no_default_permissions,
        .owner_root = ctl->options.owner_root,
        .clock = uvio_clock(ctl->io),
    };
    enum err e = mount_new(ctl->vault, &options, &events, m, &m->mount, &ctl->msg);
    if (e != ERR_OK)
        return e;
    ctl->operation = m;
    ctl->cancel = cancel;
    struct errmsg why;
    e = uvio_watch_open(ctl->io, mount_fd(m->mount), on_readable, m, &m->watch, &why);
    if (e == ERR_OK)
        say_mounted(ctl);
    else
        mount_stop(m->mount);
    const enum err ended = ctl_wait(ctl);
    ctl->cancel = cancel_nothing;
    if (e != ERR_OK)
        ctl->msg = why;
    return e != ERR_OK ? e : ended;
}

int ctl_mount(struct ctl *ctl)
{
    struct mounted m = {.ctl = ctl};
    int code = check_dir(ctl);
    if (code == CTL_OK)
        code = ctl_open_swarm(ctl, VAULT_READ);
    if (code != CTL_OK)
        return code;
    const enum err e = run(&m);
    return e == ERR_OK ? CTL_OK : ctl_failed(ctl, e);
}

/* Is there room for a backup? Asked before anything is sent. */
#include "backup/backup.h"
#include "base/text.h"
#include "ctl.h"
#include "transfer/transfer_quota.h"

#include <sys/statvfs.h>

struct quota {
    struct ctl *ctl;
    struct transfer_quota standing;
    struct backup *running;
    struct backup_summary summary;
};

static void on_standing(void *user, const struct transfer_quota *standing)
{
    struct quota *quota = user;
    quota->standing = *standing;
    ctl_done(quota->ctl, ERR_OK, NULL);
}

static void on_problem(void *user, enum err e, struct slice path, const char *sentence)
{
    (void)user; /* the backup itself says it */
    (void)e;
    (void)path;
    (void)sentence;
}

static void on_done(void *user, enum err e, const struct backup_summary *summary,
                    const struct errmsg *msg)
{
    struct quota *quota = user;
    quota->running = NULL;
    quota->ctl->cancel = NULL;
    quota->summary = *summary;
    ctl_done(quota->ctl, e, msg);
}

static void cancel(struct ctl *ctl)
{
    struct quota *quota = ctl->operation;
    if (quota->running)
        backup_cancel(quota->running);
}

/* What the file systems of the paths hold, all in all: who has room for that need not be measured.
 */
static uint64_t disks_bytes(const struct backup_options *options)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < options->path_count; i++) {
        struct statvfs fs;
        if (statvfs(options->paths[i], &fs) != 0 || fs.f_blocks == 0)
            return UINT64_MAX;
        bytes += (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
    }
    return bytes;
}

/* How much has changed: a walk without reading. */
static enum err measure(struct quota *quota, const struct backup_options *options)
{
    static const struct backup_events events = {.problem = on_problem, .done = on_done};
    struct backup_options dry = *options;
    struct ctl *ctl = quota->ctl;
    dry.dry_run = true;
    ctl->operation = quota;
    enum err e = backup_start(ctl->vault, &dry, &events, quota, &quota->running, &ctl->msg);
    if (e != ERR_OK)
        return e;
    ctl->cancel = cancel;
    return ctl_wait(ctl);
}

static int refuse(struct ctl *ctl, const struct transfer_quota *s, uint64_t need_bytes)
{
    char used[TEXT_SIZE_SIZE], allowed[TEXT_SIZE_SIZE], need[TEXT_SIZE_SIZE];
    struct errmsg msg;
    if (need_bytes == 0)
        (void)err_say(
            &msg, ERR_QUOTA,
            "over quota: %s of %s are used, nothing was sent. Delete with \"cellctl forget "
            "--prune\", or give more to others: what your own cells hold counts",
            text_size(s->used_bytes, used), text_size(s->allowed_bytes, allowed));
    else
        (void)err_say(
            &msg, ERR_QUOTA,
            "over quota: this may need up to %s, and %s of %s are used; nothing was sent. "
            "--accept-risk tries it all the same (less is needed where data repeats or "
            "packs well)",
            text_size(need_bytes, need), text_size(s->used_bytes, used),
            text_size(s->allowed_bytes, allowed));
    return ctl_fail(&ctl->out, CTL_QUOTA, msg.text);
}

int ctl_quota(struct ctl *ctl, const struct backup_options *options)
{
    struct quota quota = {.ctl = ctl};
    const struct transfer_quota *s = &quota.standing;
    char used[TEXT_SIZE_SIZE], allowed[TEXT_SIZE_SIZE];
    struct errmsg msg;
    enum err e = transfer_quota_ask(ctl->vault, on_standing, &quota, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    if (e != ERR_OK || !s->known)
        return e == ERR_OK ? CTL_OK : ctl_failed(ctl, e);
    if (s->used_bytes >= s->allowed_bytes)
        return refuse(ctl, s, 0);
    if (s->used_bytes >= s->allowed_bytes / 100 * TRANSFER_QUOTA_WARN_PERCENT) {
        (void)err_say(&msg, ERR_QUOTA, "%s of the %s that this account may use are used",
                      text_size(s->used_bytes, used), text_size(s->allowed_bytes, allowed));
        ctl_warn(&ctl->out, msg.text);
    }
    const uint64_t left = s->allowed_bytes - s->used_bytes;
    unsigned k, m;
    vault_level(ctl->vault, &k, &m);
    if (options->stream || ctl->options.accept_risk ||
        transfer_quota_need(disks_bytes(options), k, m) <= left)
        return CTL_OK;
    e = measure(&quota, options);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    const uint64_t need =
        transfer_quota_need(quota.summary.bytes_changed, quota.summary.k, quota.summary.m);
    return need > left ? refuse(ctl, s, need) : CTL_OK;
}

#include "base/text.h"
#include "crypto/crypto.h"
#include "ctl.h"
#include "devices/devices.h"
#include "heads/heads_rebuild.h"
#include "heads/heads_sync.h"
#include "uvio/uvio_net.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *join_path(const char *first, const char *second)
{
    const size_t size = strlen(first) + strlen(second) + 1;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s%s", first, second);
    return path;
}

char *ctl_vault_dir(const struct ctl_options *options)
{
    const char *vault = options->vault ? options->vault : getenv("CELLAR_VAULT");
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (vault && vault[0])
        return join_path(vault, "");
    if (data && data[0])
        return join_path(data, "/cellar/vault");
    return join_path(home ? home : "", "/.local/share/cellar/vault");
}

static void write_log(void *context, enum log_level level, const char *line)
{
    struct ctl *ctl = context;
    if (level <= LOG_WARN)
        ctl_warn(&ctl->out, line);
    else if (ctl->options.verbose)
        ctl_tell(&ctl->out, line);
}

static void on_interrupt(void *user, int signal_number)
{
    struct ctl *ctl = user;
    (void)signal_number;
    if (!ctl->interrupted && ctl->cancel) {
        ctl->interrupted = true;
        ctl_live(&ctl->out, "");
        ctl->cancel(ctl);
        return;
    }
    ctl_live(&ctl->out, "");
    ctl_fail(&ctl->out, CTL_INTERRUPTED, "interrupted");
    fflush(NULL);
    _exit(CTL_INTERRUPTED);
}

enum err ctl_start(struct ctl *ctl)
{
    ctl->log = (struct log){.write = write_log, .context = ctl, .level_max = LOG_INFO};
    if (!ctl->options.verbose)
        ctl->log.level_max = LOG_ERROR;
    enum err e = crypto_init(&ctl->msg);
    const struct uvio_options options = {.log = &ctl->log};
    if (e == ERR_OK)
        e = uvio_new(&options, &ctl->io, &ctl->msg);
    if (e == ERR_OK)
        e = uvio_on_signal(ctl->io, SIGINT, on_interrupt, ctl, &ctl->msg);
    if (e == ERR_OK)
        e = uvio_on_signal(ctl->io, SIGTERM, on_interrupt, ctl, &ctl->msg);
    return e;
}

static enum err open_vault(struct ctl *ctl, const char *dir, enum vault_access access, bool rebuild)
{
    const struct vault_ports ports = {
        .clock = uvio_clock(ctl->io),
        .random = uvio_random(ctl->io),
        .work = uvio_work(ctl->io),
        .log = &ctl->log,
    };
    struct vault_open_options options = {.dir = dir, .access = access, .rebuild = rebuild};
    struct buf passphrase = BUF_INIT(CTL_PASSPHRASE_MAX);
    bool needed = false;
    enum err e = vault_needs_passphrase(dir, &needed, &ctl->msg);
    if (e == ERR_OK && needed)
        e = ctl_passphrase(&ctl->options, false, &passphrase, &ctl->msg);
    options.passphrase = buf_slice(&passphrase);
    if (e == ERR_OK)
        e = vault_open(&options, &ports, &ctl->vault, &ctl->msg);
    ctl_secret_clear(&passphrase);
    return e;
}

int ctl_open(struct ctl *ctl, enum vault_access access)
{
    char *dir = ctl_vault_dir(&ctl->options);
    if (dir && heads_rebuild_is_due(dir)) {
        ctl_warn(&ctl->out, "the vault's index is gone; it is made anew from what the swarm holds");
        const int code = ctl_rebuild(ctl);
        if (code != CTL_OK) {
            free(dir);
            return code;
        }
    }
    enum err e = dir ? ctl_start(ctl) : ERR_NOMEM;
    if (e == ERR_OK)
        e = open_vault(ctl, dir, access, false);
    free(dir);
    if (e == ERR_NOT_FOUND) /* all else that can be missing has another error */
        return ctl_fail(&ctl->out, CTL_NO_VAULT, ctl->msg.text);
    return e == ERR_OK ? CTL_OK : ctl_failed(ctl, e);
}

enum err ctl_connect(struct ctl *ctl)
{
    const struct uvio_net_options options = {
        .seed = vault_seed(ctl->vault),
        .upload_kib_s = vault_upload_limit(ctl->vault),
    };
    enum err e = uvio_net_open(ctl->io, &options, &ctl->net, &ctl->msg);
    if (e == ERR_OK)
        e = vault_connect(ctl->vault, ctl->net, &ctl->msg);
    return e;
}

/* --- the index anew --- */

static void on_rebuilt(void *user, enum err e, const struct heads_sync_summary *summary,
                       const struct errmsg *msg)
{
    struct ctl *ctl = user;
    if (e == ERR_OK)
        ctl_say(&ctl->out, "The index is there again: %s, %s in %s are known.",
                TEXT_COUNT(summary->snapshots, "snapshot"), TEXT_COUNT(summary->chunks, "chunk"),
                TEXT_COUNT(summary->segments, "segment"));
    ctl_done(ctl, e, msg);
}

static void on_rebuild_problem(void *user, enum err e, const char *sentence)
{
    struct ctl *ctl = user;
    ctl_problem(&ctl->out, "recover", slice_of(NULL, 0), sentence);
    (void)e;
}

int ctl_rebuild(struct ctl *ctl)
{
    static const struct heads_sync_events events = {.problem = on_rebuild_problem,
                                                    .done = on_rebuilt};
    char *dir = ctl_vault_dir(&ctl->options);
    enum err e = dir ? ctl_start(ctl) : ERR_NOMEM;
    if (e == ERR_OK)
        e = open_vault(ctl, dir, VAULT_WRITE, true);
    if (e == ERR_OK)
        e = ctl_connect(ctl);
    if (e == ERR_OK)
        e = vault_refresh(ctl->vault, ctl_done, ctl, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    if (e == ERR_OK)
        e = heads_rebuild_start(ctl->vault, &events, ctl, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    int code = CTL_OK;
    if (e == ERR_NOT_ENOUGH && !ctl->interrupted)
        code = ctl_fail(&ctl->out, CTL_NOT_ENOUGH, ctl->msg.text);
    else if (e != ERR_OK)
        code = ctl_failed(ctl, e);
    ctl_close(ctl);
    free(dir);
    return code;
}

/* --- catching up with the account's other devices --- */

static void on_sync_problem(void *user, enum err e, const char *sentence)
{
    struct ctl *ctl = user;
    if (e == ERR_INCONSISTENT || ctl->options.verbose)
        ctl_warn(&ctl->out, sentence);
}

static void on_synced(void *user, enum err e, const struct heads_sync_summary *summary,
                      const struct errmsg *msg)
{
    struct ctl *ctl = user;
    if (summary->problems > 0)
        ctl_warn(&ctl->out,
                 "some of what other devices have backed up cannot be read now (with -v: "
                 "why); the next run tries again");
    if (summary->snapshots > 0)
        ctl_say_more(&ctl->out, "New from other devices: %s.",
                     TEXT_COUNT(summary->snapshots, "snapshot"));
    ctl_done(ctl, e, msg);
}

static void on_admitted(void *user, const struct devices_row *device)
{
    ctl_device_admitted(user, device);
}

static void on_refused(void *user, enum err e, const char *sentence)
{
    struct ctl *ctl = user;
    (void)e;
    ctl_warn(&ctl->out, sentence);
}

static void on_admit_done(void *user, enum err e, uint32_t count, const struct errmsg *msg)
{
    (void)count;
    ctl_done(user, e, msg);
}

/* Who has joined by an invite of this device's is taken in; what goes wrong with it stops nothing
   else. */
static void admit_waiting(struct ctl *ctl)
{
    static const struct devices_events events = {
        .admitted = on_admitted, .refused = on_refused, .done = on_admit_done};
    enum err e = devices_admit(ctl->vault, NULL, &events, ctl, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    if (e != ERR_OK && ctl->options.verbose)
        ctl_warn(&ctl->out, ctl->msg.text);
    ctl->msg = (struct errmsg){{0}};
}

/* The swarm may be away, and a reader goes on with what it has; who changes the account (CATCH_UP,
   WRITE) and was revoked does not. */
static enum err catch_up(struct ctl *ctl, enum vault_access access)
{
    const bool writes = access != VAULT_READ;
    static const struct heads_sync_events events = {.problem = on_sync_problem, .done = on_synced};
    enum err e = ERR_OK;
    if (!vault_may_write(ctl->vault))
        return ERR_OK;
    if (writes || heads_sync_is_needed(ctl->vault)) {
        e = heads_sync_start(ctl->vault, &events, ctl, &ctl->msg);
        if (e == ERR_OK)
            e = ctl_wait(ctl);
    }
    if (e != ERR_OK && (err_class(e) == ERR_CLASS_RETRYABLE || !writes)) {
        if (e == ERR_DENIED || ctl->options.verbose)
            ctl_warn(&ctl->out, ctl->msg.text);
        e = ERR_OK;
    } else if (e == ERR_OK && writes && (devices_may(ctl->vault) & DEVICES_MAY_ADMIN)) {
        admit_waiting(ctl);
    }
    if (e == ERR_OK && access != VAULT_WRITE)
        e = vault_settle(ctl->vault, &ctl->msg);
    return e;
}

int ctl_open_swarm(struct ctl *ctl, enum vault_access access)
{
    const int code = ctl_open(ctl, access == VAULT_WRITE ? access : VAULT_CATCH_UP);
    if (code != CTL_OK)
        return code;
    enum err e = ctl_connect(ctl);
    if (e == ERR_OK)
        e = vault_refresh(ctl->vault, ctl_done, ctl, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    if (e == ERR_OK)
        e = catch_up(ctl, access);
    return e == ERR_OK ? CTL_OK : ctl_failed(ctl, e);
}

int ctl_open_reading(struct ctl *ctl)
{
    const int code = ctl_open(ctl, VAULT_CATCH_UP);
    if (code != CTL_OK || !vault_may_write(ctl->vault))
        return code;
    if (!heads_sync_is_needed(ctl->vault)) {
        const enum err e = vault_settle(ctl->vault, &ctl->msg);
        return e == ERR_OK ? CTL_OK : ctl_failed(ctl, e);
    }
    enum err e = ctl_connect(ctl);
    if (e == ERR_OK)
        e = vault_refresh(ctl->vault, ctl_done, ctl, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    if (e != ERR_OK) {
        ctl_warn(&ctl->out, "the swarm cannot be asked: this is what was known before");
        e = vault_settle(ctl->vault, &ctl->msg);
    } else {
        e = catch_up(ctl, VAULT_READ);
    }
    return e == ERR_OK ? CTL_OK : ctl_failed(ctl, e);
}

void ctl_done(void *user, enum err e, const struct errmsg *msg)
{
    struct ctl *ctl = user;
    ctl->ended = true;
    ctl->e = e;
    if (msg && e != ERR_OK)
        ctl->msg = *msg;
    uvio_stop(ctl->io);
}

enum err ctl_wait(struct ctl *ctl)
{
    while (!ctl->ended)
        uvio_run(ctl->io);
    ctl->ended = false;
    return ctl->e;
}

int ctl_exit_code(const struct ctl *ctl, enum err e)
{
    if (ctl->interrupted)
        return CTL_INTERRUPTED;
    switch (e) {
    case ERR_OK:
        return CTL_OK;
    case ERR_QUOTA:
        return CTL_QUOTA;
    case ERR_LOCKED:
        return CTL_LOCKED;
    case ERR_SECRET:
        return CTL_SECRET;
    default:
        return CTL_FAILED;
    }
}

int ctl_failed(struct ctl *ctl, enum err e)
{
    const char *sentence = ctl->msg.text[0] ? ctl->msg.text : err_words(e);
    if (e == ERR_IO && ctl_reader_gone())
        return CTL_OK;
    if (e == ERR_IO && ferror(stdout))
        sentence = "cannot write to standard output";
    char text[ERRMSG_SIZE + 64];
    if (ctl->interrupted) {
        sentence = "interrupted; the next run goes on from here";
    } else if (e == ERR_CORRUPT && strstr(sentence, "can be rebuilt from what the swarm holds")) {
        snprintf(text, sizeof(text), "%s: \"cellctl recover\" does that, with this vault's keys",
                 sentence);
        sentence = text;
    }
    return ctl_fail(&ctl->out, ctl_exit_code(ctl, e), sentence);
}

void ctl_close(struct ctl *ctl)
{
    vault_close(ctl->vault);
    uvio_free(ctl->io);
    ctl->vault = NULL;
    ctl->net = NULL;
    ctl->io = NULL;
}

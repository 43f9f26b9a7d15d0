#include "crypto/crypto.h"
#include "ctl.h"
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
    if (level <= LOG_WARN || ctl->options.verbose)
        ctl_warn(&ctl->out, line);
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

static enum err open_vault(struct ctl *ctl, const char *dir, enum vault_access access)
{
    const struct vault_ports ports = {
        .clock = uvio_clock(ctl->io),
        .random = uvio_random(ctl->io),
        .work = uvio_work(ctl->io),
        .log = &ctl->log,
    };
    struct vault_open_options options = {.dir = dir, .access = access};
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
    enum err e = ctl_start(ctl);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    char *dir = ctl_vault_dir(&ctl->options);
    e = dir ? open_vault(ctl, dir, access) : ERR_NOMEM;
    free(dir);
    if (e == ERR_NOT_FOUND)
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

int ctl_open_swarm(struct ctl *ctl, enum vault_access access)
{
    const int code = ctl_open(ctl, access);
    if (code != CTL_OK)
        return code;
    enum err e = ctl_connect(ctl);
    if (e == ERR_OK)
        e = vault_refresh(ctl->vault, ctl_done, ctl, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
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
    if (ctl->interrupted)
        sentence = "interrupted; the next run goes on from here";
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

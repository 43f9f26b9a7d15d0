#include "daemon/daemon.h"

#include "base/file.h"
#include "crypto/crypto.h"
#include "crypto/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* --- flags --- */

static bool is_key(const struct config_key *keys, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(keys[i].name, name) == 0)
            return true;
    return false;
}

enum extra { EXTRA_NONE, EXTRA_SWITCH, EXTRA_VALUE };

static enum extra extra_kind(const char *const *extra, const char *name)
{
    const size_t size = strlen(name);
    for (; extra && *extra; extra++)
        if (strncmp(*extra, name, size) == 0 && strcmp(*extra + size, "=") == 0)
            return EXTRA_VALUE;
        else if (strcmp(*extra, name) == 0)
            return EXTRA_SWITCH;
    return EXTRA_NONE;
}

/* `text` is behind "--"; cuts "name=value" apart in place. */
static enum err take_flag(char *text, char *next, bool *used_next, const struct config_key *keys,
                          size_t count, const char *const *extra, struct daemon_flags *out,
                          struct errmsg *msg)
{
    char *value = strchr(text, '=');
    *used_next = false;
    if (value)
        *value++ = 0;
    if (strcmp(text, "help") == 0) {
        out->help = true;
        return ERR_OK;
    }
    if (strcmp(text, "version") == 0) {
        out->version = true;
        return ERR_OK;
    }
    const enum extra kind = extra_kind(extra, text);
    const bool takes_none = kind == EXTRA_SWITCH;
    if (kind == EXTRA_NONE && strcmp(text, "data") != 0 && !is_key(keys, count, text))
        return err_say(msg, ERR_USAGE, "there is no flag --%s; try --help", text);
    if (takes_none && !value) {
        value = text + strlen(text); /* "" */
    } else if (!value) {
        if (!next)
            return err_say(msg, ERR_USAGE, "--%s needs a value; try --help", text);
        value = next;
        *used_next = true;
    }
    if (strcmp(text, "data") == 0) {
        out->data = value;
        return ERR_OK;
    }
    if (out->given_count == DAEMON_FLAGS_MAX)
        return err_say(msg, ERR_USAGE, "more than %d flags", DAEMON_FLAGS_MAX);
    out->given[out->given_count].name = text;
    out->given[out->given_count++].value = value;
    return ERR_OK;
}

enum err daemon_flags(int argc, char **argv, const struct config_key *keys, size_t count,
                      const char *const *extra, struct daemon_flags *out, struct errmsg *msg)
{
    *out = (struct daemon_flags){0};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0) {
            out->help = true;
        } else if (strncmp(argv[i], "--", 2) != 0) {
            if (out->word_count == DAEMON_WORDS_MAX)
                return err_say(msg, ERR_USAGE, "too many words on the command line");
            out->words[out->word_count++] = argv[i];
        } else {
            bool used_next;
            const enum err e = take_flag(argv[i] + 2, i + 1 < argc ? argv[i + 1] : NULL, &used_next,
                                         keys, count, extra, out, msg);
            if (e != ERR_OK)
                return e;
            i += used_next;
        }
    }
    return ERR_OK;
}

const char *daemon_flag(const struct daemon_flags *flags, const char *name)
{
    for (int i = flags->given_count - 1; i >= 0; i--)
        if (strcmp(flags->given[i].name, name) == 0)
            return flags->given[i].value;
    return NULL;
}

/* --- the log --- */

static void write_line(void *context, enum log_level level, const char *line)
{
    char when[32];
    struct tm tm;
    const time_t now = time(NULL);
    (void)context;
    gmtime_r(&now, &tm);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    fprintf(stderr, "%s %s: %s\n", when, log_level_name(level), line);
}

struct log daemon_log(void)
{
    return (struct log){.write = write_line, .level_max = LOG_INFO};
}

/* --- settings --- */

static enum err apply_flags(const struct daemon_flags *flags, const struct config_key *keys,
                            size_t count, void *settings, struct errmsg *msg)
{
    for (int i = 0; i < flags->given_count; i++) {
        if (!is_key(keys, count, flags->given[i].name))
            continue;
        const enum err e =
            config_set(keys, count, settings, flags->given[i].name, flags->given[i].value, msg);
        if (e != ERR_OK)
            return err_wrap(msg, ERR_USAGE, "--%s", flags->given[i].name);
    }
    return ERR_OK;
}

enum err daemon_settings(const struct daemon *d, const struct daemon_flags *flags,
                         const struct config_key *keys, size_t count, void *settings,
                         struct errmsg *msg)
{
    char path[DAEMON_PATH_SIZE];
    daemon_path(d, "settings.ini", path);
    config_defaults(keys, count, settings);
    const enum err e = config_read_file(path, keys, count, settings, &d->log, msg);
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return err_wrap(msg, e, "the settings");
    return apply_flags(flags, keys, count, settings, msg);
}

static enum err settings_for_start(const struct daemon *d, const struct daemon_flags *flags,
                                   const struct config_key *keys, size_t count, void *settings,
                                   struct errmsg *msg)
{
    char path[DAEMON_PATH_SIZE];
    const enum err e = daemon_settings(d, flags, keys, count, settings, msg);
    if (e != ERR_OK || access(daemon_path(d, "settings.ini", path), F_OK) == 0)
        return e;
    return config_write_file(path, 0600, keys, count, settings, msg);
}

/* --- the data directory --- */

const char *daemon_path(const struct daemon *d, const char *name, char out[DAEMON_PATH_SIZE])
{
    snprintf(out, DAEMON_PATH_SIZE, "%s/%s", d->data, name);
    return out;
}

static enum err find_directory(const char *data, struct daemon *d, struct errmsg *msg)
{
    char *resolved = realpath(data, NULL);
    if (!resolved || strlen(resolved) > DAEMON_PATH_SIZE - 64) {
        free(resolved);
        return err_say_errno(msg, resolved ? ENAMETOOLONG : errno, "cannot use %s", data);
    }
    snprintf(d->data, sizeof(d->data), "%s", resolved);
    free(resolved);
    return ERR_OK;
}

static enum err open_directory(const char *data, struct daemon *d, struct errmsg *msg)
{
    char path[DAEMON_PATH_SIZE];
    if (mkdir(data, 0700) != 0 && errno != EEXIST)
        return err_say_errno(msg, errno, "cannot make the data directory %s", data);
    const enum err e = find_directory(data, d, msg);
    if (e != ERR_OK)
        return e;
    d->lock_fd = open(daemon_path(d, "lock", path), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->lock_fd < 0)
        return err_say_errno(msg, errno, "cannot open %s", path);
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return err_say(msg, ERR_LOCKED, "another process runs on %s", d->data);
    return ERR_OK;
}

static enum err load_key(struct daemon *d, bool make, struct errmsg *msg)
{
    char path[DAEMON_PATH_SIZE];
    struct buf file = BUF_INIT(SIGN_SEED_SIZE + 1);
    daemon_path(d, "identity.key", path);
    enum err e = file_read(path, &file, msg);
    if (e == ERR_NOT_FOUND && make) {
        d->first_start = true;
        crypto_random(d->seed, sizeof(d->seed));
        e = file_write(path, 0600, slice_of(d->seed, sizeof(d->seed)), msg);
    } else if (e == ERR_OK && file.size == sizeof(d->seed)) {
        memcpy(d->seed, file.data, sizeof(d->seed));
    } else if (e == ERR_OK || e == ERR_TOO_LARGE) {
        e = err_say(msg, ERR_CORRUPT, "%s is not an identity key: it has not %d bytes", path,
                    SIGN_SEED_SIZE);
    }
    if (file.data)
        secret_wipe(file.data, file.size);
    buf_free(&file);
    return e == ERR_OK ? sign_key_new(d->seed, &d->key) : e;
}

enum err daemon_open(const struct daemon_flags *flags, const struct config_key *keys, size_t count,
                     void *settings, struct daemon *out, struct errmsg *msg)
{
    *out = (struct daemon){.lock_fd = -1, .log = daemon_log()};
    if (!flags->data)
        return err_say(msg, ERR_USAGE, "--data DIR is missing; try --help");
    enum err e = crypto_init(msg);
    if (e == ERR_OK)
        e = open_directory(flags->data, out, msg);
    if (e == ERR_OK)
        e = settings_for_start(out, flags, keys, count, settings, msg);
    if (e == ERR_OK)
        e = load_key(out, true, msg);
    if (e != ERR_OK)
        daemon_close(out);
    return e;
}

enum err daemon_open_beside(const struct daemon_flags *flags, const struct config_key *keys,
                            size_t count, void *settings, struct daemon *out, struct errmsg *msg)
{
    *out = (struct daemon){.lock_fd = -1, .log = daemon_log()};
    if (!flags->data)
        return err_say(msg, ERR_USAGE, "--data DIR is missing; try --help");
    enum err e = crypto_init(msg);
    if (e == ERR_OK)
        e = find_directory(flags->data, out, msg);
    if (e == ERR_OK)
        e = daemon_settings(out, flags, keys, count, settings, msg);
    if (e == ERR_OK)
        e = load_key(out, false, msg);
    return e;
}

void daemon_close(struct daemon *d)
{
    secret_wipe(d->seed, sizeof(d->seed));
    sign_key_free(d->key);
    d->key = NULL;
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    d->lock_fd = -1;
}

enum err daemon_say_address(const struct daemon *d, const char *address, struct errmsg *msg)
{
    char path[DAEMON_PATH_SIZE], name[ID_TEXT_SIZE], line[512];
    snprintf(line, sizeof(line), "%s@%s\n", id_format(sign_key_id(d->key), name), address);
    fputs(line, stdout);
    fflush(stdout);
    return file_write(daemon_path(d, "address", path), 0644, slice_text(line), msg);
}

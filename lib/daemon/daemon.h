/*
 * What the main of every server does before its own work begins: flags and settings, the data
 * directory and its lock, the identity key, the log, the file that says where it can be reached.
 *
 *     struct settings settings;
 *     config_defaults(keys, count, &settings);
 *     e = daemon_flags(argc, argv, keys, count, &settings, &flags, msg);   // --data DIR, --help
 *     e = daemon_open(&flags, keys, count, &settings, &d, msg);            // settings.ini, then
 * flags
 *     ... d.key, d.log ...
 *     daemon_say_address(&d, "127.0.0.1:7400", msg);    // DATA/address: ID@host:port
 *     daemon_close(&d);
 *
 * A flag "--name VALUE" (or --name=VALUE) sets the key "name" of settings.ini; flags win over the
 * file, and on the first start (no settings.ini yet) what was given becomes the file.
 */
#pragma once

#include "base/buf.h"
#include "config/config.h"
#include "crypto/sign.h"

enum { DAEMON_PATH_SIZE = 4096, DAEMON_WORDS_MAX = 16, DAEMON_FLAGS_MAX = 64 };

struct daemon_flags {
    const char *data; /* NULL: not given */
    bool help, version;
    const char *words[DAEMON_WORDS_MAX]; /* what is no flag: subcommands */
    int word_count;
    struct {
        const char *name, *value;
    } given[DAEMON_FLAGS_MAX]; /* borrowed from argv; name without "--" */
    int given_count;
};

/* Takes the command line apart. `extra` (NULL at its end; may be NULL) names the flags that are no
   settings: "uses=" takes a value, "cell" takes none and appears with value "". USAGE with a
   sentence for a flag that is neither there nor in `keys`. */
MUST_CHECK enum err daemon_flags(int argc, char **argv, const struct config_key *keys, size_t count,
                                 const char *const *extra, struct daemon_flags *out,
                                 struct errmsg *msg);
/* The value of a flag, or NULL. */
const char *daemon_flag(const struct daemon_flags *flags, const char *name);

struct daemon {
    char data[DAEMON_PATH_SIZE]; /* absolute */
    bool first_start;            /* there was no identity key yet */
    uint8_t seed[SIGN_SEED_SIZE];
    struct sign_key *key; /* owned */
    struct log log;       /* lines to standard error, with time and level */
    int lock_fd;
};

/* The log that daemons write: "2026-03-01T12:00:00Z warn: …" to standard error. */
struct log daemon_log(void);

/* Makes the directory when it is missing, locks it (LOCKED: another process runs on it), reads
   DATA/settings.ini and then the flags into `settings`, writes settings.ini on the first start,
   reads or makes DATA/identity.key (mode 0600). */
MUST_CHECK enum err daemon_open(const struct daemon_flags *flags, const struct config_key *keys,
                                size_t count, void *settings, struct daemon *out,
                                struct errmsg *msg);
/* For a subcommand beside a running process: the same without lock, and nothing is made. NOT_FOUND
   when there is no identity key yet. */
MUST_CHECK enum err daemon_open_beside(const struct daemon_flags *flags,
                                       const struct config_key *keys, size_t count, void *settings,
                                       struct daemon *out, struct errmsg *msg);
void daemon_close(struct daemon *d);

/* settings.ini again (SIGHUP), then the flags. */
MUST_CHECK enum err daemon_settings(const struct daemon *d, const struct daemon_flags *flags,
                                    const struct config_key *keys, size_t count, void *settings,
                                    struct errmsg *msg);

/* "DATA/<name>". */
const char *daemon_path(const struct daemon *d, const char *name, char out[DAEMON_PATH_SIZE]);

/* Writes "ID@host:port" and a newline to DATA/address and to standard output. */
MUST_CHECK enum err daemon_say_address(const struct daemon *d, const char *address,
                                       struct errmsg *msg);

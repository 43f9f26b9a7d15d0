/*
 * cellctl: the person's program. It parses, wires the ports on libuv, runs one operation of the
 * vault on the loop and says what came of it.
 *
 *     cellctl.c        main
 *     ctl_flags        the parser; ctl_commands: the table; ctl_help: what --help prints
 *     ctl_output       words, JSON lines, errors; ctl_progress: the live line
 *     ctl_run          vault, network and loop of one run; exit codes
 *     ctl_secret       where a passphrase comes from
 *     ctl_<command>    one or a few commands each
 */
#pragma once

#include "base/log.h"
#include "ctl_flags.h"
#include "ctl_output.h"
#include "uvio/uvio.h"
#include "vault/vault.h"

struct ctl {
    struct ctl_options options;
    const struct ctl_command *command;
    struct ctl_output out;
    struct log log;
    struct uvio *io;
    struct net *net;
    struct vault *vault;
    /* the operation that runs */
    bool ended;
    enum err e;
    struct errmsg msg;
    void (*cancel)(struct ctl *ctl); /* what an interrupt does; NULL: the process ends at once,
                                        which nothing minds */
    void *operation;                 /* the command's own */
    bool interrupted;
    uint32_t
        admitted; /* devices that this run has taken in, on its way or because it was told to */
};

/* --- ctl_run.c --- */

/* The vault's directory; owned by the caller (free). NULL: out of memory. */
char *ctl_vault_dir(const struct ctl_options *options);

/* Loop, ports and signals. */
MUST_CHECK enum err ctl_start(struct ctl *ctl);
/* The same with the vault opened. An error has been said; the exit code is returned, or CTL_OK. */
MUST_CHECK int ctl_open(struct ctl *ctl, enum vault_access access);
/* The vault's net, so that it can speak to the swarm. */
MUST_CHECK enum err ctl_connect(struct ctl *ctl);
/* Makes the index anew from the swarm, with the vault's own keys (heads_rebuild.h). An error has
   been said; the vault is closed again in any case. The exit code. */
MUST_CHECK int ctl_rebuild(struct ctl *ctl);
/* Opens, connects, refreshes, and catches up with the account's other devices (a reader only when
   nobody has the lock; with CATCH_UP an admin also takes in who waits): what most commands begin
   with. */
MUST_CHECK int ctl_open_swarm(struct ctl *ctl, enum vault_access access);

/* For what can do without the swarm: opens to read, and catches up when there are other devices and
   the swarm can be had. */
MUST_CHECK int ctl_open_reading(struct ctl *ctl);

/* Runs the loop until ctl_done(); returns what it was given. */
enum err ctl_wait(struct ctl *ctl);
void ctl_done(void *user, enum err e, const struct errmsg *msg); /* user: struct ctl */

/* Says the error (ctl->msg) and gives the exit code for it. */
int ctl_failed(struct ctl *ctl, enum err e);
int ctl_exit_code(const struct ctl *ctl, enum err e);

/* Frees everything but the options. */
void ctl_close(struct ctl *ctl);

/* --- ctl_secret.c --- */

enum { CTL_PASSPHRASE_MAX = 1024, CTL_PHRASE_FILE_MAX = 65536 };

/* From --passphrase-file, $CELLAR_PASSPHRASE_FILE, $CELLAR_PASSPHRASE_COMMAND or the terminal
   (asked twice with `anew`). One line end is taken off. ERR_SECRET when there is none to be had.
   `out` is to be wiped with ctl_secret_clear(). */
MUST_CHECK enum err ctl_passphrase(const struct ctl_options *options, bool anew, struct buf *out,
                                   struct errmsg *msg);
/* A line from the terminal without echo. ERR_NOT_FOUND: there is no terminal. */
MUST_CHECK enum err ctl_secret_ask(const char *prompt, struct buf *out, struct errmsg *msg);
/* The new one, for a vault that has one: from --new-passphrase-file, or the terminal, twice. */
MUST_CHECK enum err ctl_new_passphrase(const struct ctl_options *options, struct buf *out,
                                       struct errmsg *msg);
/* The recovery phrase: the first line of --phrase-file, or typed. With a NUL behind it; `out` of
   CTL_PHRASE_FILE_MAX. USAGE: neither. */
MUST_CHECK enum err ctl_phrase(const struct ctl_options *options, struct buf *out,
                               struct errmsg *msg);
/* The same with all lines of the file. */
MUST_CHECK enum err ctl_phrase_text(const struct ctl_options *options, struct buf *out,
                                    struct errmsg *msg);
void ctl_secret_clear(struct buf *secret);

/* --- ctl_forget.c --- */

/* Prunes, on a vault that is open and caught up; `rewrite`: what is under an old data key too. */
int ctl_prune_run(struct ctl *ctl, bool rewrite);

/* --- ctl_device.c --- */

struct devices_row;
/* Says that a device was taken in. */
void ctl_device_admitted(struct ctl *ctl, const struct devices_row *device);

/* --- ctl_look.c --- */

struct vault_snapshot;
/* A snapshot's fields, as restic has them. */
void ctl_snapshot_json(struct json_line *line, const struct vault_snapshot *snapshot);

/* --- the commands --- */

int ctl_help_all(struct ctl_output *out);
int ctl_help_command(struct ctl_output *out, const struct ctl_command *command);

int ctl_init(struct ctl *ctl);
int ctl_join(struct ctl *ctl);
int ctl_device(struct ctl *ctl);
int ctl_key(struct ctl *ctl);
int ctl_phrase_command(struct ctl *ctl);
int ctl_unlock(struct ctl *ctl);
int ctl_recover(struct ctl *ctl);
int ctl_backup(struct ctl *ctl);
/* Is there room for this backup? CTL_OK, or the refusal has been said. */
struct backup_options;
int ctl_quota(struct ctl *ctl, const struct backup_options *options);
int ctl_restore(struct ctl *ctl);
int ctl_snapshots(struct ctl *ctl);
int ctl_ls(struct ctl *ctl);
int ctl_find(struct ctl *ctl);
int ctl_diff(struct ctl *ctl);
int ctl_dump(struct ctl *ctl);
int ctl_mount(struct ctl *ctl);
int ctl_stats(struct ctl *ctl);
int ctl_stats_raw(struct ctl *ctl); /* all snapshots' pieces together */
int ctl_check(struct ctl *ctl);
int ctl_forget(struct ctl *ctl);
int ctl_prune(struct ctl *ctl);
int ctl_tag(struct ctl *ctl);
int ctl_undelete(struct ctl *ctl);
int ctl_hold(struct ctl *ctl);
int ctl_repair(struct ctl *ctl);
int ctl_drill(struct ctl *ctl);
int ctl_status(struct ctl *ctl);
int ctl_cells(struct ctl *ctl);
int ctl_version(struct ctl *ctl);
int ctl_completion(struct ctl *ctl);

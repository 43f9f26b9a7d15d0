/*
 * The command line: one table of commands, each with its flags, a help text and an example
 * (ctl_commands.c), and the parser for it.
 *
 * Accepted: "--flag value", "--flag=value", short flags "-q", "-t value", flags before, between and
 * behind the other arguments; "--" ends the flags. Whatever is not in the table is an error with
 * ERR_USAGE and a sentence that says what would be right.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct ctl;

/* Texts given several times; they point into argv. */
struct ctl_list {
    const char **items; /* owned array */
    size_t count;
};

/* What all flags of all commands set. Texts point into argv. */
struct ctl_options {
    /* of every command */
    const char *vault, *passphrase_file;
    bool json, quiet, verbose, help;
    /* init, recover, join */
    const char *invite, *phrase_file, *redundancy, *hold, *device_name;
    bool no_passphrase;
    struct ctl_list from;
    /* device, join, key, phrase */
    const char *capabilities, *expires, *new_passphrase_file, *new_phrase_file;
    bool wait, no_wait, rewrite;
    /* backup */
    struct ctl_list tags, exclude, exclude_files, exclude_if_present;
    const char *host, *stdin_filename, *limit_upload, *time;
    bool exclude_caches, one_file_system, ignore_ctime, ignore_inode, dry_run, from_stdin,
        stdin_from_command, accept_risk, force;
    /* restore */
    const char *target, *overwrite;
    struct ctl_list include;
    bool delete_others, verify, numeric_owners;
    /* check */
    bool read_data;
    const char *read_data_subset;
    /* drill */
    const char *sample;
    /* ls, find, diff, stats */
    bool long_listing, recursive, metadata, ignore_case;
    const char *newest, *oldest, *mode;
    struct ctl_list snapshots;
    /* dump */
    const char *archive;
    /* mount */
    bool allow_other, no_default_permissions, owner_root;
    /* forget, prune, tag */
    const char *keep_last, *keep_hourly, *keep_daily, *keep_weekly, *keep_monthly, *keep_yearly;
    const char *keep_within, *keep_within_hourly, *keep_within_daily, *keep_within_weekly,
        *keep_within_monthly, *keep_within_yearly;
    const char *group_by, *max_unused;
    struct ctl_list keep_tags, paths, exclude_devices, tags_set, tags_add, tags_remove;
    bool prune;
    /* cells */
    const char *code, *until;
    /* what is not a flag */
    struct ctl_list arguments;
};

enum ctl_flag_kind { CTL_BOOL, CTL_TEXT, CTL_LIST };

struct ctl_flag {
    const char *name;  /* without "--" */
    char letter;       /* 0: none */
    const char *value; /* what help calls it; NULL for CTL_BOOL */
    enum ctl_flag_kind kind;
    size_t offset; /* in struct ctl_options */
    const char *help;
};

struct ctl_command {
    const char *name;
    const char *arguments; /* as in the usage line: "SNAP[:SUBPATH]" */
    const char *summary;   /* one line of the list of commands */
    const char *text;      /* more, for its own help; may be NULL */
    const char *example;
    const struct ctl_flag *flags;
    size_t flag_count;
    unsigned arguments_min, arguments_max;
    /* Runs it; the exit code. */
    int (*run)(struct ctl *ctl);
};

const struct ctl_command *ctl_commands(size_t *count);
const struct ctl_command *ctl_command_find(const char *name);

/* Flags that every command has. */
const struct ctl_flag *ctl_flags_common(size_t *count);

/* `argv` without the program's name. *command is NULL when there is none (and `help` was asked for,
   or the line is empty). ERR_USAGE, ERR_NOMEM. `out` must be zeroed; ctl_flags_free() it in any
   case. */
MUST_CHECK enum err ctl_flags_parse(int argc, char *const *argv, const struct ctl_command **command,
                                    struct ctl_options *out, struct errmsg *msg);
void ctl_flags_free(struct ctl_options *options);

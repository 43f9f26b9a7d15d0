/*
 * A server's main: flags, --help and --version, subcommands, the data directory, start, the loop
 * until somebody stops it, the end. It prints what goes wrong to standard error.
 */
#pragma once

#include "daemon/daemon.h"
#include "uvio/uvio.h"

struct daemon_command {
    const char *name;
    const char *const *flags;  /* as daemon_flags() takes `extra`; may be NULL */
    int (*run)(void *program); /* its exit code; NULL: the server itself, with this word */
};

/* All borrowed. */
struct daemon_main {
    const char *name, *usage;
    const char *const *flags; /* without a subcommand; may be NULL */
    const struct daemon_command *commands;
    size_t command_count;
    const struct config_key *keys;
    size_t key_count;
    /* filled in on the way */
    void *settings;
    struct daemon_flags *given;
    struct daemon *daemon;
    struct errmsg *msg;
    /* `daemon` is open. Makes *io; what it has begun when it fails finish() ends. */
    enum err (*start)(void *program);
    struct uvio **io;
    /* After the loop, or a failed start; closes `daemon` too. */
    void (*finish)(void *program);
    const int *exit_code; /* when the loop has ended */
    void *program;
};

/* 0, a subcommand's or the program's exit code; 1 failed; 2 bad usage. */
int daemon_main(const struct daemon_main *m, int argc, char **argv);

/*
 * What is piped into a backup: standard input, or the output of a command that is started for it.
 */
#pragma once

#include "backup/backup.h"
#include "ctl.h"

struct ctl_stream;

/* `command`: its words, NULL-terminated and borrowed; NULL for standard input. `name` is the file's
   name in the snapshot; a slash is put in front. The command is not started yet. ERR_NOMEM. */
MUST_CHECK enum err ctl_stream_new(const char *name, const char *const *command,
                                   struct ctl_stream **out);

/* Starts the command, if there is one. ERR_NOT_FOUND, ERR_DENIED, ...: it cannot be run. */
MUST_CHECK enum err ctl_stream_start(struct ctl_stream *stream, struct errmsg *msg);

/* As the backup takes it; borrowed from `stream`. Its end is an error (ERR_STATE) when the command
   did not end with 0. */
const struct backup_stream *ctl_stream_vault(const struct ctl_stream *stream);

/* Ends a command that still runs. NULL does nothing. */
void ctl_stream_free(struct ctl_stream *stream);

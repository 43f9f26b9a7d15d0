/*
 * celld's subcommands: what the running process answers on its control socket, and what `leave`
 * does with the answers.
 *
 *     status [--json]     how the cell is
 *     leave | stay        begins to leave, or takes it back; answers as "leave-state" does
 *     leave-state         one line of progress; exit code 0 drained, CELLD_GOES_ON, or 1
 */
#pragma once

#include "cell.h"
#include "daemon/daemon_control.h"

/* Exit codes inside the conversation only. */
enum { CELLD_GOES_ON = 100, CELLD_NOTICE_OVER = 4 };

/* Answers `request` now or later; `cell` must live until then. */
void celld_control_answer(struct cell *cell, struct uvio_control_request *request,
                          struct slice words);

/* The side of the subcommands: `words[0]` is "status" or "leave". Prints; returns the exit code. */
int celld_control_run(const struct daemon *d, const struct daemon_flags *flags);

/* Devices that hold deletions back, as prune and status say it. */
#pragma once

#include "ctl.h"

/* Adds "deletions_wait_for": [...] to `line`, or says a sentence for each device when it is NULL.
 */
MUST_CHECK enum err ctl_waits(struct ctl *ctl, struct json_line *line);

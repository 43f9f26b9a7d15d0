/*
 * The log hook. Libraries print nothing: they hand lines to the hook of the program that runs them.
 * A NULL hook swallows everything.
 */
#pragma once

#include "base/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log {
    void (*write)(void *context, enum log_level level, const char *line); /* any thread */
    void *context;
    enum log_level level_max; /* more talkative lines are dropped before they are formatted */
};

void log_say(const struct log *log, enum log_level level, const char *format, ...)
    PRINTF_LIKE(3, 4);

const char *log_level_name(enum log_level level);

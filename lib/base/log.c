#include "base/log.h"

#include <stdio.h>

void log_say(const struct log *log, enum log_level level, const char *format, ...)
{
    if (!log || !log->write || level > log->level_max)
        return;
    char line[2048];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    log->write(log->context, level, line);
}

const char *log_level_name(enum log_level level)
{
    switch (level) {
    case LOG_ERROR:
        return "error";
    case LOG_WARN:
        return "warning";
    case LOG_INFO:
        return "info";
    case LOG_DEBUG:
        return "debug";
    }
    return "unknown";
}

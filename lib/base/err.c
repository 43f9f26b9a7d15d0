#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *err_words(enum err e)
{
    switch (e) {
#define X(name, number, class, words) \
    case ERR_##name:                  \
        return words;
        ERR_TABLE(X)
#undef X
    }
    return "unknown error";
}

const char *err_name(enum err e)
{
    switch (e) {
#define X(name, number, class, words) \
    case ERR_##name:                  \
        return #name;
        ERR_TABLE(X)
#undef X
    }
    return "UNKNOWN";
}

enum err_class err_class(enum err e)
{
    switch (e) {
#define X(name, number, class, words) \
    case ERR_##name:                  \
        return ERR_CLASS_##class;
        ERR_TABLE(X)
#undef X
    }
    return ERR_CLASS_SYSTEM;
}

bool err_known(unsigned number)
{
    switch (number) {
#define X(name, number, class, words) case number:
        ERR_TABLE(X)
#undef X
        return true;
    default:
        return false;
    }
}

enum err err_say(struct errmsg *msg, enum err e, const char *format, ...)
{
    if (msg) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(msg->text, sizeof(msg->text), format, args);
        va_end(args);
    }
    return e;
}

enum err err_wrap(struct errmsg *msg, enum err e, const char *format, ...)
{
    if (!msg)
        return e;
    char inner[ERRMSG_SIZE];
    (void)snprintf(inner, sizeof(inner), "%s", msg->text[0] ? msg->text : err_words(e));

    va_list args;
    va_start(args, format);
    int outer_size = vsnprintf(msg->text, sizeof(msg->text), format, args);
    va_end(args);
    if (outer_size >= 0 && (size_t)outer_size < sizeof(msg->text)) {
        size_t used = (size_t)outer_size;
        (void)snprintf(msg->text + used, sizeof(msg->text) - used, ": %s", inner);
    }
    return e;
}

enum err err_from_errno(int number)
{
    switch (number) {
    case 0:
        return ERR_OK;
    case ENOMEM:
        return ERR_NOMEM;
    case ENOENT:
    case ENOTDIR:
        return ERR_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return ERR_EXISTS;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_FULL;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    case EROFS:
        return ERR_READ_ONLY;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EPIPE:
        return ERR_UNREACHABLE;
    case EAGAIN:
    case EBUSY:
        return ERR_BUSY;
    case ECANCELED:
        return ERR_CANCELLED;
    case EINVAL:
        return ERR_USAGE;
    case ENOTSUP:
    case ENOSYS:
        return ERR_UNSUPPORTED;
    default:
        return ERR_IO;
    }
}

enum err err_say_errno(struct errmsg *msg, int number, const char *format, ...)
{
    enum err e = err_from_errno(number);
    if (!msg)
        return e;
    va_list args;
    va_start(args, format);
    int used = vsnprintf(msg->text, sizeof(msg->text), format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof(msg->text)) {
        char reason[128];
        const char *words = strerror_r(number, reason, sizeof(reason));
        (void)snprintf(msg->text + used, sizeof(msg->text) - (size_t)used, ": %s", words);
    }
    return e;
}

/*
 * Errors: one enum for the whole house, and a sentence for a person beside it.
 *
 * Every function that can fail returns `enum err` and is marked MUST_CHECK. What a person should
 * read goes into the caller's `struct errmsg` (may be NULL everywhere) and is wrapped on the way
 * up, so that the last line reads like a sentence: what was tried, on what, why it failed, what to
 * do.
 *
 *     return err_say(msg, ERR_FULL, "%s has %s free and the shard needs %s", ...);
 *     if (e != ERR_OK)
 *         return err_wrap(msg, e, "cannot store shard %u of %s", index, name);   // "cannot ...:
 * <inner>"
 *
 * The numbers cross the wire and rest on disks: they are pinned, never reused.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

#define MUST_CHECK                       __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_index, first) __attribute__((format(printf, format_index, first)))

enum err_class {
    ERR_CLASS_NONE,
    ERR_CLASS_RETRYABLE, /* the same call may succeed later or elsewhere */
    ERR_CLASS_CORRUPT,   /* bytes are not what they should be */
    ERR_CLASS_LIMIT,     /* a stated limit, quota or space */
    ERR_CLASS_USAGE,     /* the caller asked for something that cannot be */
    ERR_CLASS_SYSTEM,    /* the machine failed us */
};

/* X(name, pinned number, class, short words) */
#define ERR_TABLE(X)                                                          \
    X(OK, 0, NONE, "done")                                                    \
    X(NOMEM, 1, SYSTEM, "out of memory")                                      \
    X(IO, 2, SYSTEM, "input or output failed")                                \
    X(NOT_FOUND, 3, USAGE, "not found")                                       \
    X(EXISTS, 4, USAGE, "exists already")                                     \
    X(CORRUPT, 5, CORRUPT, "the data is damaged")                             \
    X(FORMAT, 6, CORRUPT, "not in the expected format")                       \
    X(VERSION, 7, CORRUPT, "of an unknown version")                           \
    X(TOO_LARGE, 8, LIMIT, "larger than the limit")                           \
    X(FULL, 9, LIMIT, "no space left")                                        \
    X(DENIED, 10, USAGE, "not allowed")                                       \
    X(AUTH, 11, CORRUPT, "a signature or authentication tag does not verify") \
    X(TIMEOUT, 12, RETRYABLE, "took too long")                                \
    X(UNREACHABLE, 13, RETRYABLE, "cannot be reached")                        \
    X(BUSY, 14, RETRYABLE, "busy")                                            \
    X(CANCELLED, 15, RETRYABLE, "cancelled")                                  \
    X(USAGE, 16, USAGE, "used wrongly")                                       \
    X(STATE, 17, USAGE, "not possible in this state")                         \
    X(PEER, 18, CORRUPT, "the peer broke the protocol")                       \
    X(NOT_ENOUGH, 19, RETRYABLE, "not enough of them")                        \
    X(QUOTA, 20, LIMIT, "over the quota")                                     \
    X(LOCKED, 21, RETRYABLE, "locked by another process")                     \
    X(SECRET, 22, USAGE, "wrong passphrase or phrase")                        \
    X(UNSUPPORTED, 23, USAGE, "not supported")                                \
    X(INCONSISTENT, 24, CORRUPT, "the pieces contradict each other")          \
    X(READ_ONLY, 25, SYSTEM, "read-only")                                     \
    X(STALE, 26, RETRYABLE, "older than what is known")                       \
    X(END, 27, NONE, "no more")                                               \
    X(WRONG_PEER, 28, CORRUPT, "the peer is not who was dialled")

enum err {
#define X(name, number, class, words) ERR_##name = number,
    ERR_TABLE(X)
#undef X
};

#define ERRMSG_SIZE 1024

struct errmsg {
    char text[ERRMSG_SIZE]; /* NUL-terminated; longer sentences are cut */
};

/* Short words for `e` ("out of memory"); "unknown error" for a number that is not in the table. */
const char *err_words(enum err e);

/* The name as in the table ("NOMEM"), for logs and JSON. */
const char *err_name(enum err e);

enum err_class err_class(enum err e);

/* True when `number` (from a wire or disk) is in the table. */
bool err_known(unsigned number);

/* Replaces the sentence and returns `e`. */
enum err err_say(struct errmsg *msg, enum err e, const char *format, ...) PRINTF_LIKE(3, 4);

/* Puts "<format>: " in front of the sentence that is there (or of err_words(e) if there is none).
 */
enum err err_wrap(struct errmsg *msg, enum err e, const char *format, ...) PRINTF_LIKE(3, 4);

/* For the rare call whose failure changes nothing (cleaning up after something worse). */
static inline void err_ignore(enum err e)
{
    (void)e;
}

/* Translates errno: ENOENT -> NOT_FOUND, ENOSPC/EDQUOT -> FULL, EACCES/EPERM -> DENIED, ... else
 * IO. */
enum err err_from_errno(int number);

/* err_say with "<format>: <strerror(number)>". */
enum err err_say_errno(struct errmsg *msg, int number, const char *format, ...) PRINTF_LIKE(3, 4);

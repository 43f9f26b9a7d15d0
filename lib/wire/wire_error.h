/*
 * What an answer that is not 2xx says: an HTTP status for the class of the refusal, and a small
 * body with our own error number and a sentence for a person.
 *
 *     server   status = wire_status(e); wire_error_encode(e, msg.text, newer, &body)
 *     client   if (wire_status_failed(status))
 *                  return wire_error_take(status, body, &newer, msg);
 *
 * | status | errors                                   | status | errors                    |
 * |--------|------------------------------------------|--------|---------------------------|
 * | 400    | FORMAT, VERSION, USAGE, PEER             | 409    | STALE, EXISTS, STATE      |
 * | 401    | DENIED before any hello (see below)      | 413    | TOO_LARGE                 |
 * | 403    | DENIED, AUTH, SECRET, WRONG_PEER         | 422    | CORRUPT, INCONSISTENT     |
 * | 404    | NOT_FOUND, UNSUPPORTED                   | 503    | BUSY, LOCKED, TIMEOUT, …  |
 * | 507    | FULL, QUOTA, READ_ONLY                   | 500    | everything else           |
 *
 * The number in the body is exact; the status alone is what a client has to go by when the body is
 * missing or not ours.
 */
#pragma once

#include "base/buf.h"
#include "base/limits.h"

enum {
    WIRE_SENTENCE_BYTES = ERRMSG_SIZE - 1,
    WIRE_STATUS_UNKNOWN_PEER = 401, /* the session showed nothing, or not enough, of itself */
};

/* The most that an error's body can be: a newer document may be in it. */
#define WIRE_ERROR_BYTES (LIMIT_MANIFEST_BYTES + 4096u)

struct wire_error {
    enum err code;
    struct slice sentence; /* borrowed */
    struct slice document; /* the newer one, with ERR_STALE; size 0: none. Borrowed */
};

/* 200 for ERR_OK. */
unsigned wire_status(enum err e);

/* What a status means without a body; ERR_PEER for one that we never send. */
enum err wire_status_err(unsigned status);

static inline bool wire_status_failed(unsigned status)
{
    return status < 200 || status > 299;
}

/* `sentence` is cut at WIRE_SENTENCE_BYTES. */
MUST_CHECK enum err wire_error_encode(enum err code, const char *sentence, struct slice document,
                                      struct buf *out);
/* An error number that we do not know (a newer peer's) becomes ERR_PEER. */
MUST_CHECK enum err wire_error_decode(struct slice body, struct wire_error *out);

/* The error that a failed answer stands for, never ERR_OK, with the peer's sentence in `msg` (made
   printable). `document` (may be NULL) gets the newer one; borrowed from `body`. */
enum err wire_error_take(unsigned status, struct slice body, struct slice *document,
                         struct errmsg *msg);

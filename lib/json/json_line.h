/*
 * Writing JSON: one object a line, as --json prints it.
 *
 *     struct json_line *line;
 *     e = json_line_new("summary", &line);           // {"message_type":"summary", ...
 *     json_line_u64(line, "files_new", 3);
 *     json_line_open_array(line, "errors");
 *     json_line_text(line, NULL, "...");             // in an array a value has no key
 *     json_line_close(line);
 *     e = json_line_finish(line, &out);              // appends {...}\n; frees the line
 *
 * Members come out in the order in which they were put. What goes wrong in between (memory,
 * nesting) comes out of json_line_finish(). Texts that are not UTF-8 have each wrong byte replaced
 * by U+FFFD; use json_line_path() where the bytes matter.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"

struct json_line;

/* `message_type` may be NULL: then there is no such member. ERR_NOMEM. */
MUST_CHECK enum err json_line_new(const char *message_type, struct json_line **out);
void json_line_free(struct json_line *line); /* NULL does nothing */

/* `key` is plain ASCII, NULL in an array. A key that is put twice keeps the last value. */
void json_line_text(struct json_line *line, const char *key, const char *text); /* NULL: null */
void json_line_bytes(struct json_line *line, const char *key, struct slice text);
/* A name of any bytes: "<key>" as text, and when it is not UTF-8 (or holds a NUL) also "<key>_b64"
   with all its bytes in base64 (RFC 4648 section 4). In an array: the text alone. */
void json_line_path(struct json_line *line, const char *key, struct slice path);
void json_line_id(struct json_line *line, const char *key, const struct id *id);
void json_line_i64(struct json_line *line, const char *key, int64_t value);
void json_line_u64(struct json_line *line, const char *key,
                   uint64_t value); /* <= INT64_MAX, else cut to it */
void json_line_real(struct json_line *line, const char *key,
                    double value); /* NaN, infinite: null */
void json_line_bool(struct json_line *line, const char *key, bool value);
void json_line_null(struct json_line *line, const char *key);
/* "2026-03-01T12:00:00.123456789Z", always UTC. */
void json_line_time(struct json_line *line, const char *key, int64_t wall_ns);

/* Nested, at most 8 deep. */
void json_line_open_object(struct json_line *line, const char *key);
void json_line_open_array(struct json_line *line, const char *key);
void json_line_close(struct json_line *line);

/* The object without its line end, for bodies and nested use; the line is freed in any case. */
MUST_CHECK enum err json_line_finish_bare(struct json_line *line, struct buf *out);
/* With "\n". The line is freed in any case. */
MUST_CHECK enum err json_line_finish(struct json_line *line, struct buf *out);

/*
 * What a person or a script sees: words or JSON lines on standard output, errors on standard error,
 * one live line on a terminal.
 *
 * Words never hold a control character: names are made printable (ctl_text). On a pipe there is no
 * live line and no colour.
 */
#pragma once

#include "base/buf.h"
#include "json/json_line.h"

#include <stdio.h>

/* Exit codes (cli.md); the first that holds. */
enum ctl_exit {
    CTL_OK = 0,
    CTL_FAILED = 1,
    CTL_USAGE = 2,
    CTL_UNREADABLE = 3,
    CTL_DEBTS = 4,
    CTL_QUOTA = 5,
    CTL_NO_VAULT = 10,
    CTL_LOCKED = 11,
    CTL_SECRET = 12,
    CTL_NOT_ENOUGH = 13,
    CTL_INTERRUPTED = 130,
};

struct ctl_output {
    bool json, quiet, verbose;
    bool live;          /* the live line is wanted: standard output is a terminal */
    bool colour;        /* standard output is a terminal and NO_COLOR is not set */
    bool colour_errors; /* the same of standard error */
    bool line_shown;    /* there is a live line now */
};

void ctl_output_init(struct ctl_output *out, bool json, bool quiet, bool verbose);

/* A line of words on standard output; nothing with --json or -q. */
void ctl_say(struct ctl_output *out, const char *format, ...) PRINTF_LIKE(2, 3);
/* The same, with -v only. */
void ctl_say_more(struct ctl_output *out, const char *format, ...) PRINTF_LIKE(2, 3);
/* What was asked for (a list, a secret), and what is not as it should be: also with -q. Nothing
   with --json. */
void ctl_print(struct ctl_output *out, const char *format, ...) PRINTF_LIKE(2, 3);

/* A problem that does not end the run: a sentence on standard error, with --json an object
   {"message_type":"error","error":{"message":...},"during":...,"item":...}. `item` may be empty. */
void ctl_problem(struct ctl_output *out, const char *during, struct slice item,
                 const char *sentence);
/* A warning: goes where problems go, as "warning: ..."; with --json message_type "warning". */
void ctl_warn(struct ctl_output *out, const char *sentence);
/* Something to know, with -v: goes there too, as it is; with --json message_type "info". */
void ctl_tell(struct ctl_output *out, const char *sentence);
/* The end of a run that failed: "cellctl: ..."; with --json message_type "exit_error". Returns
   `code`. */
int ctl_fail(struct ctl_output *out, int code, const char *sentence);

/* Standard output took no more because nobody reads it any longer: "cellctl ls latest | head -1".
   That is no failure and worth no words. */
bool ctl_reader_gone(void);

/* Escape codes for what comes next on standard output, "" without colour. */
enum ctl_tint { CTL_PLAIN, CTL_GOOD, CTL_BAD };
const char *ctl_tint(const struct ctl_output *out, enum ctl_tint tint);

/* Prints and frees the line. */
void ctl_json(struct ctl_output *out, struct json_line *line);

/* Replaces the live line; "" takes it away. Nothing without `live`. */
void ctl_live(struct ctl_output *out, const char *text);

/* Any bytes as printable text of at most CTL_TEXT_SIZE - 1 bytes: control characters and what is
   not UTF-8 as \xNN. Returns `out`. */
enum { CTL_TEXT_SIZE = 4096 };
const char *ctl_text(struct slice bytes, char out[CTL_TEXT_SIZE]);

/* Local time with zone: "2026-03-01 13:00:00 +0100". Returns `out`. */
enum { CTL_TIME_SIZE = 40 };
const char *ctl_time(int64_t wall_ns, char out[CTL_TIME_SIZE]);

/* --- one line that says how far it is --- */

struct ctl_progress {
    struct ctl_output *out;
    const char *verb; /* "backed up" */
    uint64_t started_ms, shown_ms;
    bool any;
};

struct ctl_progress_now {
    uint64_t bytes, bytes_total; /* total 0: not known */
    uint64_t files, files_total;
    uint64_t now_ms;
    const char *item; /* what it is at; may be NULL */
};

void ctl_progress_start(struct ctl_progress *progress, struct ctl_output *out, const char *verb,
                        uint64_t now_ms);
/* On a terminal the live line, at most five times a second; with --json (and not quiet) a "status"
   object at most once a second; else nothing. */
void ctl_progress_show(struct ctl_progress *progress, const struct ctl_progress_now *now);
void ctl_progress_end(struct ctl_progress *progress);

/* "12.3%  45.6 MiB of 370 MiB  123 files  34.5 MiB/s  0:10 left": for the live line. */
void ctl_progress_format(const struct ctl_progress *progress, const struct ctl_progress_now *now,
                         char *out, size_t size);

#include "celld_control.h"

#include "base/text.h"
#include "json/json_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long long ull;

enum { POLL_MS = 500 };

/* --- how the cell is --- */

static const char *when(int64_t time_s, char out[32])
{
    struct tm tm;
    const time_t t = (time_t)time_s;
    if (time_s == 0)
        return "never";
    gmtime_r(&t, &tm);
    strftime(out, 32, "%Y-%m-%d %H:%M UTC", &tm);
    return out;
}

static enum err scrub_text(const struct cell_report *r, struct buf *out)
{
    char last[32], next[32];
    enum err e = buf_append_format(out, "scrub:  last full cycle %s",
                                   when(r->scrub.last_cycle_ended_s, last));
    if (e == ERR_OK && r->scrub.cycle_began_s)
        e = buf_append_format(out, ", %llu of %s of this one read", (ull)r->scrub.checked,
                              TEXT_COUNT(r->scrub.total, "shard"));
    if (e == ERR_OK && r->scrub_next_s)
        e = buf_append_format(out, ", %s %s", r->scrub.cycle_began_s ? "done by" : "next",
                              when(r->scrub_next_s, next));
    return e == ERR_OK ? buf_append_format(out, "\n") : e;
}

static enum err leave_text(const struct cell_report *r, struct buf *out)
{
    char until[32];
    if (r->drained)
        return buf_append_format(out, "every shard has a place elsewhere: the cell can be stopped, "
                                      "and its data directory deleted\n");
    enum err e = buf_append_format(out, "leaving since %s: ", when(r->leaving_since_s, until));
    if (e == ERR_OK)
        e = r->left_known ? buf_append_format(out, "%s to go", TEXT_COUNT(r->left_count, "shard"))
                          : buf_append_format(out, "the coordinator %s",
                                              r->coordinator_away ? "cannot be reached"
                                                                  : "counts the shards");
    if (e == ERR_OK && r->left_known && r->stuck_count)
        e = buf_append_format(out, "; %s %s for a new cell in the swarm",
                              TEXT_COUNT(r->stuck_count, "segment"),
                              r->stuck_count == 1 ? "waits" : "wait");
    if (e == ERR_OK)
        e = buf_append_format(out, "; notice until %s\n",
                              when(r->leaving_since_s + CELL_NOTICE_S, until));
    return e;
}

static enum err status_text(const struct cell_report *r, struct buf *out)
{
    char used[TEXT_SIZE_SIZE], give[TEXT_SIZE_SIZE], room[TEXT_SIZE_SIZE], held[TEXT_SIZE_SIZE];
    enum err e = buf_append_format(out, "space:  %s of %s given are used, %s can still come%s\n",
                                   text_size(r->usage.used_bytes, used),
                                   text_size(r->usage.give_bytes, give),
                                   text_size(r->usage.free_bytes, room),
                                   r->usage.read_only ? "; READ-ONLY after a failed write" : "");
    if (e == ERR_OK)
        e = buf_append_format(out, "shards: %llu whole, %llu damaged, %s deleted and held\n",
                              (ull)r->usage.shard_count, (ull)r->usage.damaged_count,
                              text_size(r->removal.waiting_bytes, held));
    if (e == ERR_OK)
        e = scrub_text(r, out);
    if (e == ERR_OK && r->trust)
        e = buf_append_format(out, "trust:  %u of 1000; found missing or wrong: %s%s\n", r->trust,
                              TEXT_COUNT(r->fault_count, "shard"),
                              r->trust < CELL_TRUST_NEW ? "; no new ones come" : "");
    if (e == ERR_OK && r->coordinator_away)
        e = buf_append_format(out, "the coordinator cannot be reached\n");
    if (e == ERR_OK)
        e = buf_append_format(out, "work:   %s repaired, %s asked for, %s refused\n",
                              TEXT_COUNT(r->counters.repair_count, "segment"),
                              TEXT_COUNT(r->counters.proof_count, "proof"),
                              TEXT_COUNT(r->counters.refused_count, "request"));
    return e == ERR_OK && r->leaving ? leave_text(r, out) : e;
}

static void json_time(struct json_line *line, const char *key, int64_t time_s)
{
    if (time_s)
        json_line_time(line, key, time_s * 1000000000);
    else
        json_line_null(line, key);
}

static enum err status_json(const struct cell_report *r, struct buf *out)
{
    struct json_line *line;
    const enum err e = json_line_new("cell", &line);
    if (e != ERR_OK)
        return e;
    json_line_u64(line, "bytes_given", r->usage.give_bytes);
    json_line_u64(line, "bytes_used", r->usage.used_bytes);
    json_line_u64(line, "bytes_free", r->usage.free_bytes);
    json_line_bool(line, "read_only", r->usage.read_only);
    json_line_u64(line, "shards", r->usage.shard_count);
    json_line_u64(line, "shards_damaged", r->usage.damaged_count);
    json_line_u64(line, "bytes_held_deleted", r->removal.waiting_bytes);
    json_time(line, "scrub_started", r->scrub.cycle_began_s);
    json_line_u64(line, "scrub_checked", r->scrub.checked);
    json_time(line, "scrub_last", r->scrub.last_cycle_ended_s);
    json_time(line, "scrub_next", r->scrub_next_s);
    if (r->trust)
        json_line_u64(line, "trust", r->trust);
    else
        json_line_null(line, "trust");
    json_line_u64(line, "faults", r->fault_count);
    json_line_bool(line, "coordinator_away", r->coordinator_away);
    json_line_u64(line, "repairs", r->counters.repair_count);
    json_line_u64(line, "repair_bytes", r->counters.repair_bytes);
    json_line_u64(line, "proofs", r->counters.proof_count);
    json_line_u64(line, "refused", r->counters.refused_count);
    json_line_bool(line, "leaving", r->leaving);
    json_line_bool(line, "drained", r->drained);
    if (r->left_known)
        json_line_u64(line, "shards_left", r->left_count);
    else
        json_line_null(line, "shards_left");
    return json_line_finish(line, out);
}

/* --- answers --- */

enum question_kind { STATUS, STATUS_JSON, LEAVE_STATE };

struct question {
    struct uvio_control_request *request;
    enum question_kind kind;
};

static int leave_code(const struct cell_report *r)
{
    if (!r->leaving || r->drained)
        return 0;
    return r->now_s > r->leaving_since_s + CELL_NOTICE_S ? CELLD_NOTICE_OVER : CELLD_GOES_ON;
}

static void reported(void *user, enum err e, const struct cell_report *report,
                     const struct errmsg *msg)
{
    struct question *question = user;
    struct buf text = BUF_INIT(UVIO_CONTROL_BYTES / 2);
    int code = 0;
    if (e != ERR_OK)
        err_ignore(buf_append_format(&text, "%s\n", msg->text));
    else if (question->kind == STATUS)
        e = status_text(report, &text);
    else if (question->kind == STATUS_JSON)
        e = status_json(report, &text);
    else {
        code = leave_code(report);
        e = report->leaving ? leave_text(report, &text)
                            : buf_append_format(&text, "this cell stays\n");
    }
    daemon_control_answer(question->request, e == ERR_OK ? code : 1, buf_slice(&text));
    buf_free(&text);
    free(question);
}

void celld_control_answer(struct cell *cell, struct uvio_control_request *request,
                          struct slice words)
{
    struct errmsg msg;
    struct question *question = malloc(sizeof(*question));
    const bool leave = slice_equal(words, slice_text("leave"));
    const bool stay = slice_equal(words, slice_text("stay"));
    enum err e = question ? ERR_OK : err_say(&msg, ERR_NOMEM, "out of memory\n");
    if (e == ERR_OK)
        *question = (struct question){.request = request, .kind = LEAVE_STATE};
    if (e == ERR_OK && (leave || stay))
        cell_set_leaving(cell, leave);
    else if (e == ERR_OK && slice_equal(words, slice_text("status")))
        question->kind = STATUS;
    else if (e == ERR_OK && slice_equal(words, slice_text("status --json")))
        question->kind = STATUS_JSON;
    else if (e == ERR_OK && !slice_equal(words, slice_text("leave-state")))
        e = err_say(&msg, ERR_USAGE, "this is not understood\n");
    if (e == ERR_OK)
        e = cell_report(cell, reported, question, &msg);
    if (e == ERR_OK)
        return;
    free(question);
    daemon_control_answer(request, 1, slice_text(msg.text));
}

/* --- the subcommands --- */

/* One question; what is answered is in `text`, with a NUL behind it. Returns the exit code. */
static int ask(const struct daemon *d, const char *words, struct buf *text)
{
    struct errmsg msg;
    int code = 1;
    enum err e = daemon_control_ask(d, words, &code, text, &msg);
    if (e == ERR_OK)
        e = buf_append_u8(text, 0);
    if (e == ERR_OK)
        return code;
    fprintf(stderr, "celld: %s\n", msg.text);
    buf_clear(text);
    return 1;
}

static void show(FILE *out, const struct buf *text)
{
    if (text->size)
        fputs((const char *)text->data, out);
    fflush(out);
}

static int run_status(const struct daemon *d, bool json)
{
    struct buf text = BUF_INIT(UVIO_CONTROL_BYTES);
    const int code = ask(d, json ? "status --json" : "status", &text);
    show(code == 0 ? stdout : stderr, &text);
    buf_free(&text);
    return code;
}

/* How long it goes on, from the shards that went since the first count. */
struct forecast {
    time_t began;
    unsigned long long first, left;
    bool counted;
};

static void keep_forecast(struct forecast *f, const char *line)
{
    const char *at = strstr(line, ": ");
    char *end;
    if (!at)
        return;
    const unsigned long long left = strtoull(at + 2, &end, 10);
    if (end == at + 2 || strncmp(end, " shard", 6) != 0)
        return;
    if (!f->counted) {
        f->first = left;
        f->began = time(NULL);
    }
    f->counted = true;
    f->left = left;
}

static void show_forecast(const struct forecast *f)
{
    char text[TEXT_DURATION_SIZE];
    const double passed = difftime(time(NULL), f->began);
    if (!f->counted || f->left >= f->first || passed < 1)
        return;
    const double pace = (double)(f->first - f->left) / passed;
    printf("  %.0f%% done, about %s left\n", 100 * (double)(f->first - f->left) / (double)f->first,
           text_duration((uint64_t)((double)f->left / pace), text));
    fflush(stdout);
}

/* Shows each line once, until there is nothing left or the process is stopped; leaving goes on
   either way. */
static int run_leave(const struct daemon *d, bool stay, bool wait)
{
    struct buf text = BUF_INIT(UVIO_CONTROL_BYTES), last = BUF_INIT(UVIO_CONTROL_BYTES);
    struct forecast forecast = {0};
    int code = ask(d, stay ? "stay" : "leave", &text);
    if (code == CELLD_GOES_ON && wait)
        printf(
            "The cell keeps and serves its shards until each has a place elsewhere. To stop here\n"
            "(Ctrl-C) ends this report only; `celld --data DIR leave --stay` takes it back.\n");
    while (code == CELLD_GOES_ON) {
        if (!slice_equal(buf_slice(&text), buf_slice(&last))) {
            show(stdout, &text);
            keep_forecast(&forecast, (const char *)text.data);
            show_forecast(&forecast);
            buf_clear(&last);
            if (buf_append(&last, text.data, text.size) != ERR_OK)
                break;
        }
        if (!wait)
            break;
        usleep(POLL_MS * 1000);
        code = ask(d, "leave-state", &text);
    }
    if (code == CELLD_GOES_ON)
        printf(
            "the cell goes on with it by itself; `celld --data DIR status` says how far it is\n");
    else
        show(code == 1 ? stderr : stdout, &text);
    if (code == CELLD_NOTICE_OVER)
        printf("the notice is over: whoever still has shards here has no other place for them\n");
    buf_free(&text);
    buf_free(&last);
    return code == CELLD_GOES_ON ? 0 : code;
}

int celld_control_run(const struct daemon *d, const struct daemon_flags *flags)
{
    if (strcmp(flags->words[0], "status") == 0)
        return run_status(d, daemon_flag(flags, "json") != NULL);
    return run_leave(d, daemon_flag(flags, "stay") != NULL, daemon_flag(flags, "no-wait") == NULL);
}

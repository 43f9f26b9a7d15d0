/* cellctl check. */
#include "base/text.h"
#include "ctl.h"
#include "health/health_check.h"
#include "placement/placement_level.h"

#include <stdlib.h>
#include <string.h>

struct check {
    struct ctl *ctl;
    struct health_check *running;
    struct health_check_summary summary;
    struct ctl_progress progress;
};

static void on_problem(void *user, enum err e, const char *sentence)
{
    struct check *check = user;
    (void)e;
    ctl_problem(&check->ctl->out, "check", slice_of(NULL, 0), sentence);
}

static void on_progress(void *user, const struct health_check_progress *progress)
{
    struct check *check = user;
    const struct ctl_progress_now now = {
        .bytes = progress->bytes_read,
        .files = progress->segments_done,
        .files_total = progress->segments_total,
        .now_ms = clock_mono_ms(uvio_clock(check->ctl->io)),
    };
    ctl_progress_show(&check->progress, &now);
}

static void on_done(void *user, enum err e, const struct health_check_summary *summary,
                    const struct errmsg *msg)
{
    struct check *check = user;
    check->ctl->cancel = NULL;
    check->summary = *summary;
    ctl_done(check->ctl, e, msg);
}

static void cancel(struct ctl *ctl)
{
    struct check *check = ctl->operation;
    health_check_cancel(check->running);
}

/* "n/t", or "N%": then another part each time, chosen at random. */
static enum err subset(struct ctl *ctl, struct health_check_options *options)
{
    const char *text = ctl->options.read_data_subset;
    unsigned n = 0, t = 0;
    int used = 0;
    if (sscanf(text, "%5u/%5u%n", &n, &t, &used) == 2 && !text[used] && n >= 1 && n <= t) {
        options->part = n;
        options->parts = t;
        return ERR_OK;
    }
    if (sscanf(text, "%3u%%%n", &n, &used) == 1 && used > 0 && !text[used] && n >= 1 && n <= 100) {
        options->parts = 100 / n;
        options->part = 1 + (unsigned)random_below(uvio_random(ctl->io), options->parts);
        return ERR_OK;
    }
    return err_say(&ctl->msg, ERR_USAGE, "--read-data-subset takes n/t or N%%, not '%s'", text);
}

static void json_summary(struct ctl *ctl, const struct health_check_summary *s)
{
    struct json_line *line;
    if (json_line_new("summary", &line) != ERR_OK)
        return;
    json_line_u64(line, "num_errors",
                  s->errors + s->segments_lost + s->shards_damaged + s->shards_missing);
    json_line_u64(line, "segments", s->segments);
    json_line_u64(line, "segments_below_target", s->segments_below_target);
    json_line_u64(line, "segments_lost", s->segments_lost);
    json_line_u64(line, "shards_missing", s->shards_missing);
    json_line_u64(line, "shards_damaged", s->shards_damaged);
    json_line_u64(line, "shards_unreachable", s->shards_unreachable);
    json_line_u64(line, "shards_read", s->shards_read);
    json_line_u64(line, "bytes_read", s->bytes_read);
    json_line_u64(line, "cells_asked", s->cells_asked);
    json_line_u64(line, "cells_answered", s->cells_answered);
    if (s->margin_min == INT32_MAX)
        json_line_null(line, "margin_min");
    else
        json_line_i64(line, "margin_min", s->margin_min);
    ctl_json(&ctl->out, line);
}

static void say_summary(struct ctl *ctl, const struct health_check_summary *s)
{
    struct ctl_output *out = &ctl->out;
    char bytes[TEXT_SIZE_SIZE];
    ctl_say(out, "%u of %s answered about %s.", s->cells_answered,
            TEXT_COUNT(s->cells_asked, "cell"), TEXT_COUNT(s->segments, "segment"));
    if (s->shards_read > 0)
        ctl_say(out, "%s (%s) %s read and verified.", TEXT_COUNT(s->shards_read, "shard"),
                text_size(s->bytes_read, bytes), s->shards_read == 1 ? "was" : "were");
    if (s->shards_missing + s->shards_damaged + s->shards_unreachable > 0)
        ctl_print(out, "%s missing, %llu damaged, %llu on cells that do not answer.",
                  TEXT_COUNT(s->shards_missing, "shard"), (unsigned long long)s->shards_damaged,
                  (unsigned long long)s->shards_unreachable);
    if (s->marked)
        ctl_say(out, "The next backup makes what is missing or damaged again.");
    if (s->segments_lost > 0)
        ctl_print(out, "%s cannot be read now: too few shards are there.",
                  TEXT_COUNT(s->segments_lost, "segment"));
    else if (s->segments_below_target > 0)
        ctl_print(out,
                  "Everything can be read; %s %s below the level of safety: the worst can lose %d "
                  "more.",
                  TEXT_COUNT(s->segments_below_target, "segment"),
                  s->segments_below_target == 1 ? "is" : "are", s->margin_min);
    else
        ctl_say(out, "Everything is as it should be.");
}

static int run(struct check *check)
{
    static const struct health_check_events events = {
        .problem = on_problem, .progress = on_progress, .done = on_done};
    struct ctl *ctl = check->ctl;
    struct health_check_options options = {.read_data = ctl->options.read_data ||
                                                        ctl->options.read_data_subset};
    if (ctl->options.read_data_subset && subset(ctl, &options) != ERR_OK)
        return ctl_fail(&ctl->out, CTL_USAGE, ctl->msg.text);
    ctl_progress_start(&check->progress, &ctl->out, "checked", clock_mono_ms(uvio_clock(ctl->io)));
    ctl->operation = check;
    enum err e =
        health_check_start(ctl->vault, &options, &events, check, &check->running, &ctl->msg);
    if (e == ERR_OK) {
        ctl->cancel = cancel;
        e = ctl_wait(ctl);
    }
    ctl_progress_end(&check->progress);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    if (ctl->out.json)
        json_summary(ctl, &check->summary);
    else
        say_summary(ctl, &check->summary);
    if (check->summary.errors > 0)
        return CTL_FAILED;
    if (check->summary.segments_lost > 0)
        return CTL_NOT_ENOUGH;
    return check->summary.segments_below_target > 0 ? CTL_DEBTS : CTL_OK;
}

int ctl_check(struct ctl *ctl)
{
    struct check check = {.ctl = ctl};
    const int code = ctl_open_swarm(ctl, VAULT_READ);
    return code == CTL_OK ? run(&check) : code;
}

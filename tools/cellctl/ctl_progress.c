#include "base/text.h"
#include "ctl_output.h"

#include <string.h>

enum { LIVE_MS = 200, STATUS_MS = 1000 };

void ctl_progress_start(struct ctl_progress *progress, struct ctl_output *out, const char *verb,
                        uint64_t now_ms)
{
    *progress = (struct ctl_progress){.out = out, .verb = verb, .started_ms = now_ms};
}

static double part_done(const struct ctl_progress_now *now)
{
    double part = 0;
    if (now->bytes_total > 0)
        part = (double)now->bytes / (double)now->bytes_total;
    else if (now->files_total > 0)
        part = (double)now->files / (double)now->files_total;
    return part > 1 ? 1 : part;
}

static uint64_t rate_of(const struct ctl_progress *progress, const struct ctl_progress_now *now)
{
    const uint64_t ms = now->now_ms - progress->started_ms;
    return ms ? now->bytes * 1000 / ms : 0;
}

/* 0: cannot be told. */
static uint64_t seconds_left(const struct ctl_progress *progress,
                             const struct ctl_progress_now *now)
{
    const uint64_t rate = rate_of(progress, now);
    if (rate == 0 || now->bytes_total <= now->bytes)
        return 0;
    return (now->bytes_total - now->bytes) / rate + 1;
}

void ctl_progress_format(const struct ctl_progress *progress, const struct ctl_progress_now *now,
                         char *out, size_t size)
{
    char bytes[TEXT_SIZE_SIZE], total[TEXT_SIZE_SIZE], rate[TEXT_SIZE_SIZE];
    char left[TEXT_DURATION_SIZE], item[CTL_TEXT_SIZE] = "";
    const uint64_t seconds = seconds_left(progress, now);
    if (now->item)
        ctl_text(slice_text(now->item), item);
    snprintf(out, size, "%5.1f%%  %s of %s %s, %s, %s/s, %s left  %s", 100 * part_done(now),
             text_size(now->bytes, bytes),
             now->bytes_total ? text_size(now->bytes_total, total) : "?", progress->verb,
             TEXT_COUNT(now->files, "file"), text_size(rate_of(progress, now), rate),
             seconds ? text_duration(seconds, left) : "?", item);
}

static void show_json(struct ctl_progress *progress, const struct ctl_progress_now *now)
{
    struct json_line *line;
    if (json_line_new("status", &line) != ERR_OK)
        return;
    json_line_u64(line, "seconds_elapsed", (now->now_ms - progress->started_ms) / 1000);
    json_line_u64(line, "seconds_remaining", seconds_left(progress, now));
    json_line_real(line, "percent_done", part_done(now));
    json_line_u64(line, "total_files", now->files_total);
    json_line_u64(line, "files_done", now->files);
    json_line_u64(line, "total_bytes", now->bytes_total);
    json_line_u64(line, "bytes_done", now->bytes);
    ctl_json(progress->out, line);
}

void ctl_progress_show(struct ctl_progress *progress, const struct ctl_progress_now *now)
{
    const bool json = progress->out->json && !progress->out->quiet;
    if (!progress->out->live && !json)
        return;
    if (progress->any && now->now_ms - progress->shown_ms < (json ? STATUS_MS : LIVE_MS))
        return;
    if (json && !progress->any && now->now_ms - progress->started_ms < STATUS_MS)
        return;
    progress->any = true;
    progress->shown_ms = now->now_ms;
    if (json) {
        show_json(progress, now);
        return;
    }
    char text[512];
    ctl_progress_format(progress, now, text, sizeof(text));
    ctl_live(progress->out, text);
}

void ctl_progress_end(struct ctl_progress *progress)
{
    ctl_live(progress->out, "");
}

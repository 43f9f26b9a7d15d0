#include "coordinatord_status.h"

#include "base/text.h"
#include "json/json_line.h"

#include <stdlib.h>

typedef unsigned long long ull;

static enum err repair_text(const struct registry_counts *c, struct buf *out)
{
    char left[TEXT_DURATION_SIZE];
    const ull todo = (ull)(c->repairs_ready + c->repairs_leased);
    enum err e = buf_append_format(out, "repair: %s to do (%llu under way), %llu done",
                                   TEXT_COUNT(todo, "segment"), (ull)c->repairs_leased,
                                   (ull)c->repaired_count);
    if (e == ERR_OK && todo && c->repair_left_s)
        e = buf_append_format(out, ", about %s left", text_duration(c->repair_left_s, left));
    if (e == ERR_OK)
        e = buf_append_format(out, "\n");
    if (e == ERR_OK && c->repairs_waiting)
        e = buf_append_format(
            out, "        %s %s for a new cell: every household has a shard already\n",
            TEXT_COUNT(c->repairs_waiting, "segment"), c->repairs_waiting == 1 ? "waits" : "wait");
    if (e == ERR_OK && c->segments_lost)
        e = buf_append_format(
            out, "        %s with too few shards left: cells that are gone must come back\n",
            TEXT_COUNT(c->segments_lost, "segment"));
    if (e == ERR_OK && c->segments_inconsistent)
        e = buf_append_format(out, "        %s with records that contradict each other\n",
                              TEXT_COUNT(c->segments_inconsistent, "segment"));
    return e;
}

static enum err status_text(const struct registry_counts *c, struct buf *out)
{
    enum err e = buf_append_format(
        out, "cells:  %llu: %llu up, %llu asleep, %llu gone, %llu leaving; %llu not trusted\n",
        (ull)c->cells, (ull)c->up, (ull)c->asleep, (ull)c->gone, (ull)c->leaving,
        (ull)c->untrusted);
    if (e == ERR_OK)
        e = buf_append_format(out, "holds:  %s of %s\n", TEXT_COUNT(c->segments, "segment"),
                              TEXT_COUNT(c->accounts, "account"));
    if (e == ERR_OK)
        e = repair_text(c, out);
    if (e == ERR_OK)
        e = buf_append_format(out, "proofs: %llu passed, %llu failed since the start\n",
                              (ull)c->proofs_passed, (ull)c->proofs_failed);
    if (e == ERR_OK && c->refused_count)
        e = buf_append_format(out, "others: %s refused since the start\n",
                              TEXT_COUNT(c->refused_count, "request"));
    if (e == ERR_OK && c->leases_ending)
        e = buf_append_format(out, "leases: of %s end soon: nobody has renewed them\n",
                              TEXT_COUNT(c->leases_ending, "account"));
    if (e == ERR_OK && c->ungathered + c->unproven)
        e = buf_append_format(out,
                              "rebuilt: not heard yet of what it holds: %s; not proven yet: %s\n",
                              TEXT_COUNT(c->ungathered, "cell"), TEXT_COUNT(c->unproven, "shard"));
    return e;
}

static enum err status_json(const struct registry_counts *c, struct buf *out)
{
    struct json_line *line;
    const enum err e = json_line_new("coordinator", &line);
    if (e != ERR_OK)
        return e;
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"cells", c->cells},
        {"up", c->up},
        {"asleep", c->asleep},
        {"gone", c->gone},
        {"leaving", c->leaving},
        {"untrusted", c->untrusted},
        {"accounts", c->accounts},
        {"segments", c->segments},
        {"repairs_ready", c->repairs_ready},
        {"repairs_under_way", c->repairs_leased},
        {"repairs_waiting", c->repairs_waiting},
        {"repairs_done", c->repaired_count},
        {"segments_lost", c->segments_lost},
        {"segments_inconsistent", c->segments_inconsistent},
        {"proofs_passed", c->proofs_passed},
        {"proofs_failed", c->proofs_failed},
        {"refused", c->refused_count},
        {"leases_ending", c->leases_ending},
        {"ungathered", c->ungathered},
        {"unproven", c->unproven},
    };
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        json_line_u64(line, numbers[i].name, numbers[i].value);
    if (c->repair_left_s)
        json_line_u64(line, "repair_left_s", c->repair_left_s);
    else
        json_line_null(line, "repair_left_s");
    return json_line_finish(line, out);
}

/* --- answers --- */

struct question {
    struct uvio_control_request *request;
    bool json;
};

static void counted(void *user, enum err e, const struct registry_counts *counts,
                    const struct errmsg *msg)
{
    struct question *question = user;
    struct buf text = BUF_INIT(UVIO_CONTROL_BYTES / 2);
    if (e == ERR_OK)
        e = question->json ? status_json(counts, &text) : status_text(counts, &text);
    else
        err_ignore(buf_append_format(&text, "%s\n", msg->text));
    daemon_control_answer(question->request, e == ERR_OK ? 0 : 1, buf_slice(&text));
    buf_free(&text);
    free(question);
}

void coordinatord_status_answer(struct coordinator *coordinator,
                                struct uvio_control_request *request, struct slice words)
{
    struct errmsg msg;
    struct question *question = NULL;
    const bool json = slice_equal(words, slice_text("status --json"));
    enum err e = json || slice_equal(words, slice_text("status")) ? ERR_OK : ERR_UNSUPPORTED;
    if (e == ERR_OK && !(question = malloc(sizeof(*question))))
        e = ERR_NOMEM;
    if (e == ERR_OK) {
        *question = (struct question){.request = request, .json = json};
        e = coordinator_count(coordinator, counted, question, &msg);
    }
    if (e == ERR_OK)
        return;
    free(question);
    daemon_control_answer(request, 1, slice_text("this cannot be answered now\n"));
}

#include "ctl_waits.h"

#include "removal/removal_waits.h"

struct say {
    struct ctl *ctl;
    struct json_line *line; /* NULL: words */
};

static void say_words(struct ctl *ctl, const struct removal_wait *wait)
{
    char since[CTL_TIME_SIZE], until[CTL_TIME_SIZE], last[CTL_TIME_SIZE], id[ID_TEXT_SIZE];
    ctl_print(
        &ctl->out,
        "The deletion of %llu segments waits for the device \"%s\" since %s, and goes on "
        "without it on %s at the latest: it has %s%s and not yet seen what is not to be used "
        "any more. Let it make a backup and prune again; if it is lost: cellctl device revoke "
        "%.10s",
        (unsigned long long)wait->segments, wait->name, ctl_time(wait->since_s * 1000000000, since),
        ctl_time(wait->until_s * 1000000000, until),
        wait->last_s ? "made its last backup on " : "made no backup so far",
        wait->last_s ? ctl_time(wait->last_s * 1000000000, last) : "",
        id_format(&wait->device, id));
}

static void say_json(struct json_line *line, const struct removal_wait *wait)
{
    json_line_open_object(line, NULL);
    json_line_text(line, "device", wait->name);
    json_line_id(line, "id", &wait->device);
    json_line_u64(line, "segments", wait->segments);
    json_line_time(line, "since", wait->since_s * 1000000000);
    json_line_time(line, "until", wait->until_s * 1000000000);
    if (wait->last_s)
        json_line_time(line, "last_backup", wait->last_s * 1000000000);
    else
        json_line_null(line, "last_backup");
    json_line_close(line);
}

static void each(void *user, const struct removal_wait *wait)
{
    const struct say *say = user;
    if (say->line)
        say_json(say->line, wait);
    else
        say_words(say->ctl, wait);
}

enum err ctl_waits(struct ctl *ctl, struct json_line *line)
{
    struct say say = {ctl, line};
    if (line)
        json_line_open_array(line, "deletions_wait_for");
    const enum err e = removal_waits(ctl->vault, each, &say, &ctl->msg);
    if (line)
        json_line_close(line);
    return e;
}

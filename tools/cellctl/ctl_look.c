/* cellctl snapshots: which there are. */
#include "base/text.h"
#include "ctl.h"
#include "ctl_snapshot.h"

#include <string.h>

static bool has_tags(const struct snapshot *s, const struct ctl_list *tags)
{
    for (size_t i = 0; i < tags->count; i++) {
        bool found = false;
        for (size_t j = 0; j < s->tag_count; j++)
            found |= slice_equal(s->tags[j], slice_text(tags->items[i]));
        if (!found)
            return false;
    }
    return true;
}

static void say_snapshot(struct ctl *ctl, const struct vault_snapshot *s)
{
    char id[ID_TEXT_SIZE], when[CTL_TIME_SIZE], bytes[TEXT_SIZE_SIZE];
    char host[CTL_TEXT_SIZE], text[CTL_TEXT_SIZE];
    const struct snapshot *p = &s->snapshot;
    ctl_print(&ctl->out, "%.10s  %s  %s  %llu files, %s%s", id_format(&s->id, id),
              ctl_time(p->time_ns, when), ctl_text(p->host, host),
              (unsigned long long)p->totals.files, text_size(p->totals.bytes, bytes),
              p->totals.unreadable ? "  (some could not be read)" : "");
    for (size_t i = 0; i < p->path_count; i++)
        ctl_print(&ctl->out, "            %s", ctl_text(p->paths[i], text));
    for (size_t i = 0; i < p->tag_count; i++)
        ctl_print(&ctl->out, "            tag %s", ctl_text(p->tags[i], text));
}

static void on_snapshots(void *user, enum err e, const struct vault_snapshots *snapshots,
                         const struct errmsg *msg)
{
    struct ctl *ctl = user;
    struct json_line *line;
    size_t shown = 0;
    for (size_t i = 0; e == ERR_OK && i < snapshots->count; i++) {
        const struct vault_snapshot *s = &snapshots->list[i];
        if (!has_tags(&s->snapshot, &ctl->options.tags) ||
            (ctl->options.host && !slice_equal(s->snapshot.host, slice_text(ctl->options.host))))
            continue;
        shown++;
        if (!ctl->out.json) {
            say_snapshot(ctl, s);
        } else if (json_line_new("snapshot", &line) == ERR_OK) {
            ctl_snapshot_json(line, s);
            ctl_json(&ctl->out, line);
        }
    }
    if (e == ERR_OK)
        ctl_say(&ctl->out, "%zu snapshots", shown);
    ctl_done(ctl, e, msg);
}

int ctl_snapshots(struct ctl *ctl)
{
    const int code = ctl_open_reading(ctl);
    if (code != CTL_OK)
        return code;
    enum err e = vault_snapshots(ctl->vault, on_snapshots, ctl, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    return e == ERR_OK ? CTL_OK : ctl_failed(ctl, e);
}

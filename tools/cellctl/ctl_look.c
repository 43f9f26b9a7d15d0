/* cellctl snapshots: which there are. */
#include "base/text.h"
#include "ctl.h"
#include "ctl_snapshot.h"
#include "vault/vault_select.h"

#include <stdlib.h>

static void say_snapshot(struct ctl *ctl, const struct vault_snapshot *s)
{
    char id[ID_TEXT_SIZE], when[CTL_TIME_SIZE], bytes[TEXT_SIZE_SIZE];
    char host[CTL_TEXT_SIZE], text[CTL_TEXT_SIZE];
    const struct snapshot *p = &s->snapshot;
    ctl_print(&ctl->out, "%.10s  %s  %s  %s, %s%s", id_format(&s->id, id),
              ctl_time(p->time_ns, when), ctl_text(p->host, host),
              TEXT_COUNT(p->totals.files, "file"), text_size(p->totals.bytes, bytes),
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
    const struct ctl_options *o = &ctl->options;
    const struct vault_select select = {.snapshots = o->arguments.items,
                                        .snapshot_count = o->arguments.count,
                                        .host = o->host,
                                        .tags = o->tags.items,
                                        .tag_count = o->tags.count};
    struct json_line *line;
    struct errmsg why = msg ? *msg : (struct errmsg){0};
    bool *chosen = NULL;
    size_t shown = 0;
    if (e == ERR_OK && !(chosen = calloc(snapshots->count + 1, sizeof(*chosen))))
        e = ERR_NOMEM;
    if (e == ERR_OK)
        e = vault_select(snapshots, &select, vault_device(ctl->vault), chosen, &why);
    for (size_t i = 0; e == ERR_OK && i < snapshots->count; i++) {
        if (!chosen[i])
            continue;
        shown++;
        if (!ctl->out.json) {
            say_snapshot(ctl, &snapshots->list[i]);
        } else if (json_line_new("snapshot", &line) == ERR_OK) {
            ctl_snapshot_json(line, &snapshots->list[i]);
            ctl_json(&ctl->out, line);
        }
    }
    if (e == ERR_OK)
        ctl_say(&ctl->out, "%s", TEXT_COUNT(shown, "snapshot"));
    free(chosen);
    ctl_done(ctl, e, &why);
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

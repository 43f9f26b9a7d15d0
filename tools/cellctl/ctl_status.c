/* cellctl status, stats, cells: who is here, what is safe. */
#include "base/text.h"
#include "ctl.h"
#include "ctl_waits.h"
#include "health/health_drill.h"
#include "health/health_renew.h"
#include "health/health_status.h"
#include "placement/placement_level.h"
#include "vault/vault_cells.h"

#include <string.h>
#include <time.h>

struct ask {
    struct ctl *ctl;
    struct health_status status;
    struct health_drill drill; /* the last one */
};

static void on_status(void *user, enum err e, const struct health_status *status,
                      const struct errmsg *msg)
{
    struct ask *ask = user;
    ask->status = *status;
    ctl_done(ask->ctl, e, msg);
}

static void json_chance(struct json_line *line, const char *name, double chance)
{
    if (chance < 0)
        json_line_null(line, name);
    else
        json_line_real(line, name, chance);
}

static void json_known(struct json_line *line, const char *name, bool known, uint64_t value)
{
    if (known)
        json_line_u64(line, name, value);
    else
        json_line_null(line, name);
}

static enum err json_status(struct ctl *ctl, const struct health_status *s,
                            const struct health_drill *drill)
{
    struct json_line *line;
    enum err e = json_line_new("status", &line);
    if (e != ERR_OK)
        return e;
    if (s->margin_min == INT32_MAX)
        json_line_null(line, "margin_min");
    else
        json_line_i64(line, "margin_min", s->margin_min);
    json_line_i64(line, "margin_target", s->margin_target);
    json_line_u64(line, "segments", s->segments);
    json_line_u64(line, "segments_below_target", s->segments_below_target);
    json_line_u64(line, "segments_lost", s->segments_lost);
    json_line_u64(line, "debts", s->debts);
    json_chance(line, "p_loss_year", s->loss_year);
    json_chance(line, "p_unavailable", s->unavailable);
    json_known(line, "bytes_given", s->standing_known, s->bytes_given);
    json_line_u64(line, "bytes_used", s->bytes_used);
    json_known(line, "bytes_allowed", s->standing_known, s->bytes_allowed);
    if (s->last_backup_s)
        json_line_time(line, "last_backup", s->last_backup_s * 1000000000);
    else
        json_line_null(line, "last_backup");
    if (s->newest_s)
        json_line_time(line, "newest_snapshot", s->newest_s * 1000000000);
    else
        json_line_null(line, "newest_snapshot");
    if (s->newest_device[0])
        json_line_text(line, "newest_snapshot_device", s->newest_device);
    else
        json_line_null(line, "newest_snapshot_device"); /* this one's, or there is none */
    if (s->lease_until_s)
        json_line_time(line, "lease_until", s->lease_until_s * 1000000000);
    else
        json_line_null(line, "lease_until");
    if (drill->time_s) {
        json_line_time(line, "last_drill", (int64_t)drill->time_s * 1000000000);
        json_line_bool(line, "last_drill_passed", drill->passed);
    } else {
        json_line_null(line, "last_drill");
    }
    json_line_u64(line, "snapshots", s->snapshots);
    json_line_u64(line, "cells", s->members);
    json_known(line, "cells_up", s->coordinator_up, s->members_up);
    json_line_u64(line, "cells_own", s->own);
    json_line_bool(line, "coordinator_up", s->coordinator_up);
    e = ctl_waits(ctl, line);
    ctl_json(&ctl->out, line);
    return e;
}

static void say_drill(struct ctl *ctl, const struct health_drill *drill)
{
    char when[CTL_TIME_SIZE];
    if (drill->time_s == 0)
        ctl_print(&ctl->out, "Last drill: never; \"cellctl drill\" rehearses a recovery.");
    else
        ctl_print(&ctl->out, "Last drill: %s, %s (%s, %llu compared, %llu differed).",
                  ctl_time((int64_t)drill->time_s * 1000000000, when),
                  drill->passed ? "passed" : "FAILED", TEXT_COUNT(drill->files, "file"),
                  (unsigned long long)drill->compared, (unsigned long long)drill->different);
}

static void say_standing(struct ctl *ctl, const struct health_status *s)
{
    char given[TEXT_SIZE_SIZE], allowed[TEXT_SIZE_SIZE];
    if (s->unavailable >= 0)
        ctl_print(&ctl->out,
                  "Some of it is out of reach %.2g %% of the time, as the cells were up so far.",
                  s->unavailable * 100);
    if (s->loss_year >= 0)
        ctl_print(
            &ctl->out,
            "The chance to lose some of it within a year is %.2g %%, as cells were lost so far.",
            s->loss_year * 100);
    if (s->standing_known)
        ctl_print(&ctl->out, "You may use %s: your cells hold %s for others.%s",
                  text_size(s->bytes_allowed, allowed), text_size(s->bytes_given, given),
                  s->bytes_used >= s->bytes_allowed ? " That is used up: nothing new can be stored."
                  : s->bytes_used >= s->bytes_allowed / 5 * 4 ? " More than 80 % of that is used."
                                                              : "");
}

static void say_last_backup(struct ctl *ctl, const struct health_status *s)
{
    char when[CTL_TIME_SIZE], newest[CTL_TIME_SIZE], device[CTL_TEXT_SIZE];
    const char *own = s->last_backup_s ? ctl_time(s->last_backup_s * 1000000000, when) : "never";
    if (!s->newest_device[0])
        ctl_print(&ctl->out, "Last backup: %s.", own);
    else
        ctl_print(&ctl->out, "Last backup: %s, by device %s; by this one: %s.",
                  ctl_time(s->newest_s * 1000000000, newest),
                  ctl_text(slice_text(s->newest_device), device), own);
}

static void say_status(struct ctl *ctl, const struct health_status *s)
{
    struct ctl_output *out = &ctl->out;
    char words[PLACEMENT_WORDS_SIZE], bytes[TEXT_SIZE_SIZE], plain[TEXT_SIZE_SIZE];
    char when[CTL_TIME_SIZE];
    if (s->coordinator_up)
        ctl_print(out, "Swarm: %s, %u up, %u your own; the coordinator answers.",
                  TEXT_COUNT(s->members, "cell"), s->members_up, s->own);
    else
        ctl_print(
            out, "Swarm: %s, %u your own; the coordinator, which knows who is up, does not answer.",
            TEXT_COUNT(s->members, "cell"), s->own);
    if (s->margin_min == INT32_MAX)
        ctl_print(out, "Nothing is backed up yet.");
    else if (s->others == 0)
        ctl_print(out, "There is no other household that could keep your data: nothing is safe.");
    else
        ctl_print(out, "Your data %s.",
                  placement_level_words(s->margin_min, s->others, "household", words));
    if (s->segments_below_target > 0)
        ctl_print(
            out,
            "%llu of %s below the level of %u+%u: %s missing, which the next backup makes up for.",
            (unsigned long long)s->segments_below_target, TEXT_COUNT(s->segments, "segment"), s->k,
            s->m, TEXT_COUNT(s->debts, "shard"));
    ctl_print(out, "%s, %s of data in %s, which use %s on the cells.",
              TEXT_COUNT(s->snapshots, "snapshot"), text_size(s->plain_bytes, plain),
              TEXT_COUNT(s->segments, "segment"), text_size(s->bytes_used, bytes));
    say_standing(ctl, s);
    say_last_backup(ctl, s);
    if (s->lease_until_s && time(NULL) > s->lease_until_s - HEALTH_LEASE_WARN_S)
        ctl_print(out,
                  "The cells keep this account's shards until %s: a backup renews that for a year.",
                  ctl_time(s->lease_until_s * 1000000000, when));
}

static int ask_status(struct ctl *ctl, struct ask *ask)
{
    const int code = ctl_open_swarm(ctl, VAULT_READ);
    if (code != CTL_OK)
        return code;
    enum err e = health_status_ask(ctl->vault, on_status, ask, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    if (e == ERR_OK)
        e = health_drill_read(vault_dir(ctl->vault), &ask->drill, &ctl->msg);
    return e == ERR_OK ? CTL_OK : ctl_failed(ctl, e);
}

int ctl_status(struct ctl *ctl)
{
    struct ask ask = {.ctl = ctl};
    const int code = ask_status(ctl, &ask);
    if (code != CTL_OK)
        return code;
    enum err e;
    if (ctl->out.json)
        e = json_status(ctl, &ask.status, &ask.drill);
    else {
        say_status(ctl, &ask.status);
        say_drill(ctl, &ask.drill);
        e = ctl_waits(ctl, NULL);
    }
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    if (ask.status.segments_lost > 0)
        return CTL_NOT_ENOUGH;
    const bool alone = ask.status.others == 0 && ask.status.segments > 0;
    return ask.status.segments_below_target > 0 || alone ? CTL_DEBTS : CTL_OK;
}

int ctl_stats_raw(struct ctl *ctl)
{
    struct ask ask = {.ctl = ctl};
    struct json_line *line;
    const int code = ask_status(ctl, &ask);
    const struct health_status *s = &ask.status;
    char plain[TEXT_SIZE_SIZE], sealed[TEXT_SIZE_SIZE], used[TEXT_SIZE_SIZE];
    const double ratio = s->sealed_bytes > 0 ? (double)s->plain_bytes / (double)s->sealed_bytes : 1;
    const double saving =
        s->plain_bytes > 0 ? 100 - 100 * (double)s->sealed_bytes / (double)s->plain_bytes : 0;
    if (code != CTL_OK)
        return code;
    if (!ctl->out.json) {
        ctl_print(&ctl->out, "Stats in raw-data mode:");
        ctl_print(&ctl->out, "     Snapshots processed:  %llu", (unsigned long long)s->snapshots);
        ctl_print(&ctl->out, "        Total Blob Count:  %llu", (unsigned long long)s->chunks);
        ctl_print(&ctl->out, " Total Uncompressed Size:  %s", text_size(s->plain_bytes, plain));
        ctl_print(&ctl->out, "              Total Size:  %s", text_size(s->sealed_bytes, sealed));
        ctl_print(&ctl->out, "       Compression Ratio:  %.2fx", ratio);
        ctl_print(&ctl->out, "            On the cells:  %s in %s, parity included",
                  text_size(s->bytes_used, used), TEXT_COUNT(s->segments, "segment"));
    } else if (json_line_new("stats", &line) == ERR_OK) {
        json_line_text(line, "mode", "raw-data");
        json_line_u64(line, "snapshots_count", s->snapshots);
        json_line_u64(line, "total_blob_count", s->chunks);
        json_line_u64(line, "total_uncompressed_size", s->plain_bytes);
        json_line_u64(line, "total_size", s->sealed_bytes);
        json_line_real(line, "compression_ratio", ratio);
        json_line_real(line, "compression_space_saving", saving);
        json_line_u64(line, "segments", s->segments);
        json_line_u64(line, "bytes_used", s->bytes_used);
        ctl_json(&ctl->out, line);
    }
    return CTL_OK;
}

/* --- cells --- */

static const char *state_words(enum wire_cell_state state)
{
    switch (state) {
    case WIRE_CELL_UP:
        return "up";
    case WIRE_CELL_ASLEEP:
        return "asleep";
    case WIRE_CELL_GONE:
        return "gone";
    case WIRE_CELL_LEAVING:
        return "leaving";
    default:
        return "unknown";
    }
}

static void show_cell(struct ctl *ctl, const struct swarm_member *member)
{
    struct json_line *line;
    char id[ID_TEXT_SIZE], site[CTL_TEXT_SIZE], used[TEXT_SIZE_SIZE], left[TEXT_SIZE_SIZE];
    const bool own = member->claimed && id_equal(&member->household, vault_account(ctl->vault));
    const char *whose = own ? "yours" : member->claimed ? "another account's" : "unclaimed";
    if (!ctl->out.json) {
        ctl_print(&ctl->out, "%s  %-8s %-18s %10s used %10s free%s%s", id_format(&member->id, id),
                  state_words(member->state), whose, text_size(member->used_bytes, used),
                  text_size(member->free_bytes, left), member->site.size > 0 ? "  " : "",
                  ctl_text(member->site, site));
    } else if (json_line_new("cell", &line) == ERR_OK) {
        json_line_id(line, "id", &member->id);
        json_line_text(line, "state", state_words(member->state));
        json_line_bool(line, "claimed", member->claimed);
        json_line_bool(line, "own", own);
        json_line_bytes(line, "site", member->site);
        json_line_u64(line, "bytes_used", member->used_bytes);
        json_line_u64(line, "bytes_free", member->free_bytes);
        if (member->last_seen_s)
            json_line_time(line, "last_seen", member->last_seen_s * 1000000000);
        else
            json_line_null(line, "last_seen");
        ctl_json(&ctl->out, line);
    }
}

static int list_cells(struct ctl *ctl)
{
    const int code = ctl_open_swarm(ctl, VAULT_READ);
    if (code != CTL_OK)
        return code;
    const struct swarm *swarm = vault_swarm(ctl->vault);
    for (size_t i = 0; i < swarm_member_count(swarm); i++) {
        struct swarm_member member;
        swarm_member(swarm, i, &member);
        show_cell(ctl, &member);
    }
    return CTL_OK;
}

static int claim_cell(struct ctl *ctl, const char *text)
{
    struct id cell;
    struct json_line *line;
    if (id_parse(text, strlen(text), &cell) != ERR_OK)
        return ctl_fail(&ctl->out, CTL_USAGE, "that is no cell's ID; \"cellctl cells\" lists them");
    const int code = ctl_open_swarm(ctl, VAULT_WRITE);
    if (code != CTL_OK)
        return code;
    enum err e = vault_claim(ctl->vault, &cell, ctl->options.code, ctl_done, ctl, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    if (e == ERR_OK)
        e = vault_refresh(ctl->vault, ctl_done, ctl, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    if (!ctl->out.json) {
        ctl_say(&ctl->out,
                "Cell %.10s is yours now: it gets none of your shards, and counts for you.", text);
    } else if (json_line_new("claimed", &line) == ERR_OK) {
        json_line_id(line, "id", &cell);
        ctl_json(&ctl->out, line);
    }
    return CTL_OK;
}

/* A duration from now ("14d"), or a day ("2026-03-01") or minute ("2026-03-01 18:30") of local
 * time.
 */
static enum err parse_until(const char *text, int64_t now_s, int64_t *out)
{
    uint64_t ms;
    struct tm tm = {.tm_isdst = -1};
    if (text_parse_duration_ms(text, &ms) == ERR_OK) {
        *out = now_s + (int64_t)(ms / 1000);
        return ERR_OK;
    }
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (end && *end)
        end = strptime(end, " %H:%M", &tm);
    if (!end || *end)
        return ERR_FORMAT;
    *out = (int64_t)mktime(&tm);
    return ERR_OK;
}

static int send_away(struct ctl *ctl, const char *text)
{
    struct id cell;
    struct json_line *line;
    int64_t until_s = 0;
    char when[CTL_TIME_SIZE];
    if (id_parse(text, strlen(text), &cell) != ERR_OK)
        return ctl_fail(&ctl->out, CTL_USAGE, "that is no cell's ID; \"cellctl cells\" lists them");
    if (!ctl->options.until ||
        parse_until(ctl->options.until, (int64_t)time(NULL), &until_s) != ERR_OK)
        return ctl_fail(&ctl->out, CTL_USAGE,
                        "away needs --until: a duration as in 14d, or a time as in 2026-03-01 or "
                        "\"2026-03-01 18:30\"");
    const int code = ctl_open_swarm(ctl, VAULT_WRITE);
    if (code != CTL_OK)
        return code;
    enum err e = vault_cells_away(ctl->vault, &cell, until_s, ctl_done, ctl, &ctl->msg);
    if (e == ERR_OK)
        e = ctl_wait(ctl);
    if (e != ERR_OK)
        return ctl_failed(ctl, e);
    if (!ctl->out.json) {
        ctl_say(&ctl->out,
                "Cell %.10s may be silent until %s (90 days at most): it does not count as gone.",
                text, ctl_time(until_s * 1000000000, when));
    } else if (json_line_new("away", &line) == ERR_OK) {
        json_line_id(line, "id", &cell);
        json_line_time(line, "until", until_s * 1000000000);
        ctl_json(&ctl->out, line);
    }
    return CTL_OK;
}

int ctl_cells(struct ctl *ctl)
{
    const struct ctl_list *arguments = &ctl->options.arguments;
    if (arguments->count == 0)
        return list_cells(ctl);
    if (arguments->count == 2 && !strcmp(arguments->items[0], "claim"))
        return claim_cell(ctl, arguments->items[1]);
    if (arguments->count == 2 && !strcmp(arguments->items[0], "away"))
        return send_away(ctl, arguments->items[1]);
    return ctl_fail(&ctl->out, CTL_USAGE,
                    "cells takes nothing, claim ID, or away ID --until T; see: cellctl cells "
                    "--help");
}

/*
 * Which snapshots are kept: the `--keep-*` family, with the meaning that restic gives it. Pure: it
 * looks at times, hosts, paths and tags, and marks what stays.
 *
 *     retention_group(items, count, RETENTION_BY_HOST | RETENTION_BY_PATHS, msg);
 *     retention_apply(&policy, items, count, now_ns, msg);
 *     ... items[i].keep, items[i].reasons ...
 *
 * In each group, from the newest to the oldest: a rule of N hours, days, weeks, months or years
 * keeps the newest snapshot of each of the N newest such periods *in which there is one*; periods
 * without snapshots do not count. What one rule keeps, no other removes. When a counting rule has
 * places left, it keeps the oldest snapshot of the group too. `within` counts back from the newest
 * snapshot of the group that is not in the future, so a machine that was off for a year loses
 * nothing, and a clock that jumped ahead once takes no snapshot's place for good.
 *
 * Periods are those of the calendar in local time, with the zone's rules at that moment (the
 * process's TZ; call tzset() after changing it): days of 23 and 25 hours, ISO weeks (the year's
 * first is the one with its first Thursday), leap days. The hour that a clock goes through twice in
 * autumn is two hours.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

enum retention_period {
    RETENTION_LAST, /* each snapshot is a period of its own */
    RETENTION_HOURLY,
    RETENTION_DAILY,
    RETENTION_WEEKLY,
    RETENTION_MONTHLY,
    RETENTION_YEARLY,
    RETENTION_PERIODS,
};

#define RETENTION_ALL (-1) /* as many as there are */

/* "1y5m7d2h" back from a moment, by the calendar; all zero: not asked for. */
struct retention_span {
    uint32_t years, months, days, hours;
};

/* A snapshot has all of these tags. */
struct retention_tags {
    const struct slice *tags;
    size_t count;
};

struct retention_policy {
    int64_t keep[RETENTION_PERIODS]; /* 0: not asked for; RETENTION_ALL */
    /* [LAST]: everything within the span; the others: of what lies within, one a period */
    struct retention_span within[RETENTION_PERIODS];
    const struct retention_tags *tags; /* kept whatever its age when it matches one of these */
    size_t tag_count;
};

/* Bits of `reasons`: 1 << period, 1 << (RETENTION_WITHIN + period), and these. */
enum {
    RETENTION_WITHIN = 8,
    RETENTION_BY_TAG = 1 << 16,
    RETENTION_NO_POLICY = 1 << 17, /* nothing was asked for: everything stays */
};

struct retention_item {
    int64_t time_ns;
    struct slice host;
    const struct slice *paths, *tags; /* borrowed; any order */
    size_t path_count, tag_count;
    uint32_t group; /* set by retention_group(), or by the caller */
    bool keep;      /* both set by retention_apply() */
    uint32_t reasons;
};

enum { RETENTION_BY_HOST = 1, RETENTION_BY_PATHS = 2, RETENTION_BY_TAGS = 4 };

/* Numbers the groups from 0 in the order of their first item. Paths and tags are sets: their order
   and repeats do not matter. `by` 0: one group. ERR_NOMEM. */
MUST_CHECK enum err retention_group(struct retention_item *items, size_t count, unsigned by,
                                    struct errmsg *msg);

/* True when nothing is asked for: retention_apply() then keeps everything. */
bool retention_is_empty(const struct retention_policy *policy);

/* Any order of items. Of two with the same time the later one in the array counts as the newer.
   ERR_NOMEM. */
MUST_CHECK enum err retention_apply(const struct retention_policy *policy,
                                    struct retention_item *items, size_t count, int64_t now_ns,
                                    struct errmsg *msg);

/* --- as people write it --- */

/* A number, or "unlimited". ERR_FORMAT; `flag` is for the sentence. */
MUST_CHECK enum err retention_parse_count(const char *text, const char *flag, int64_t *out,
                                          struct errmsg *msg);
/* Numbers before y, m, d, h, each once, in this order. ERR_FORMAT. */
MUST_CHECK enum err retention_parse_span(const char *text, const char *flag,
                                         struct retention_span *out, struct errmsg *msg);
/* "host,paths", "host", "tags", "": bits for retention_group(). ERR_FORMAT. */
MUST_CHECK enum err retention_parse_group(const char *text, unsigned *out, struct errmsg *msg);

/* "last snapshot", "daily snapshot", ...: the reason of one bit, as restic says it. */
const char *retention_reason(uint32_t bit);

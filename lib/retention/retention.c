#include "retention/retention.h"

#include "base/buf.h"

#include <stdlib.h>
#include <time.h>

#define NS_S INT64_C(1000000000)

static int64_t floor_div(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

/* --- groups --- */

struct keyed {
    size_t begin, size, index; /* in the keys' buffer; of the item */
    const struct buf *keys;
};

static int compare_slices(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    const size_t size = x->size < y->size ? x->size : y->size;
    const int order = size ? memcmp(x->data, y->data, size) : 0;
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

static enum err append_text(struct buf *out, struct slice text)
{
    const enum err e = buf_append_le64(out, text.size);
    return e == ERR_OK ? buf_append(out, text.data, text.size) : e;
}

/* A set of texts, so that it has one form only. */
static enum err append_set(struct buf *out, const struct slice *texts, size_t count)
{
    struct slice *sorted = calloc(count ? count : 1, sizeof(*sorted));
    if (!sorted)
        return ERR_NOMEM;
    if (count) {
        memcpy(sorted, texts, count * sizeof(*sorted));
        qsort(sorted, count, sizeof(*sorted), compare_slices);
    }
    enum err e = ERR_OK;
    for (size_t i = 0; i < count && e == ERR_OK; i++)
        if (i == 0 || !slice_equal(sorted[i], sorted[i - 1]))
            e = append_text(out, sorted[i]);
    if (e == ERR_OK)
        e = buf_append_le64(out, UINT64_MAX); /* no text is so long: the set's end */
    free(sorted);
    return e;
}

static enum err append_key(struct buf *out, const struct retention_item *item, unsigned by)
{
    enum err e = ERR_OK;
    if (by & RETENTION_BY_HOST)
        e = append_text(out, item->host);
    if (e == ERR_OK && (by & RETENTION_BY_PATHS))
        e = append_set(out, item->paths, item->path_count);
    if (e == ERR_OK && (by & RETENTION_BY_TAGS))
        e = append_set(out, item->tags, item->tag_count);
    return e;
}

static bool same_key(const struct keyed *a, const struct keyed *b)
{
    return slice_equal(slice_of(a->keys->data + a->begin, a->size),
                       slice_of(b->keys->data + b->begin, b->size));
}

static int compare_keyed(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    const struct slice xs = slice_of(x->keys->data + x->begin, x->size);
    const struct slice ys = slice_of(y->keys->data + y->begin, y->size);
    const int order = compare_slices(&xs, &ys);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* After sorting, the first of each key has the smallest index: its group's mark. */
static void mark_groups(struct retention_item *items, const struct keyed *sorted, size_t count)
{
    size_t first = 0;
    for (size_t i = 0; i < count; i++) {
        if (!same_key(&sorted[i], &sorted[first]))
            first = i;
        items[sorted[i].index].group = (uint32_t)sorted[first].index;
    }
}

/* From the index of its first item to a number: an item that is its own first opens a new one. */
static void number_groups(struct retention_item *items, size_t count)
{
    uint32_t next = 0;
    for (size_t i = 0; i < count; i++)
        items[i].group = items[i].group == i ? next++ : items[items[i].group].group;
}

enum err retention_group(struct retention_item *items, size_t count, unsigned by,
                         struct errmsg *msg)
{
    struct buf keys = BUF_INIT(SIZE_MAX / 2);
    struct keyed *sorted = calloc(count ? count : 1, sizeof(*sorted));
    enum err e = sorted ? ERR_OK : ERR_NOMEM;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        sorted[i] = (struct keyed){.begin = keys.size, .index = i, .keys = &keys};
        e = append_key(&keys, &items[i], by);
        sorted[i].size = keys.size - sorted[i].begin;
    }
    if (e == ERR_OK && count) {
        qsort(sorted, count, sizeof(*sorted), compare_keyed);
        mark_groups(items, sorted, count);
        number_groups(items, count);
    }
    free(sorted);
    buf_free(&keys);
    return e == ERR_OK ? e : err_say(msg, e, "out of memory while snapshots are grouped");
}

/* --- the calendar --- */

/* The period in which a moment lies, as a number that no other period has. */
static int64_t period_of(enum retention_period period, int64_t time_ns, size_t position)
{
    const time_t time_s = (time_t)floor_div(time_ns, NS_S);
    struct tm local;
    /* cannot fail: 64 bits of nanoseconds are 292 years either way */
    localtime_r(&time_s, &local);
    const int64_t year = local.tm_year;
    switch (period) {
    case RETENTION_HOURLY: {
        /* with the distance from UTC, so that the hour that comes twice is two */
        const int64_t hour = floor_div((int64_t)time_s + local.tm_gmtoff, 3600);
        return hour * (INT64_C(1) << 20) + local.tm_gmtoff + 86400;
    }
    case RETENTION_DAILY:
        return year * 366 + local.tm_yday;
    case RETENTION_WEEKLY: {
        /* the week's Thursday lies in the year to which ISO counts it; two weeks never share one */
        const int64_t day = floor_div((int64_t)time_s + local.tm_gmtoff, 86400);
        return floor_div(day + 3, 7); /* 1970-01-01 was a Thursday */
    }
    case RETENTION_MONTHLY:
        return year * 12 + local.tm_mon;
    case RETENTION_YEARLY:
        return year;
    case RETENTION_LAST:
    case RETENTION_PERIODS:
        break;
    }
    return (int64_t)position;
}

static bool span_is_empty(const struct retention_span *span)
{
    return !span->years && !span->months && !span->days && !span->hours;
}

/* The moment that lies `span` before: years, months and days by the calendar at the same time of
   day, then hours that pass. */
static int64_t span_before(int64_t time_ns, const struct retention_span *span)
{
    const time_t time_s = (time_t)floor_div(time_ns, NS_S);
    const int64_t rest_ns = time_ns - (int64_t)time_s * NS_S;
    struct tm local;
    localtime_r(&time_s, &local);
    local.tm_year -= (int)span->years;
    local.tm_mon -= (int)span->months;
    local.tm_mday -= (int)span->days;
    local.tm_isdst = -1;
    const int64_t then_s = (int64_t)mktime(&local) - (int64_t)span->hours * 3600;
    if (then_s < INT64_MIN / NS_S + 1) /* before all times that there are */
        return INT64_MIN;
    return then_s * NS_S + rest_ns;
}

/* --- applying --- */

struct entry {
    struct retention_item *item;
    size_t index;
};

/* By group, in it from the newest to the oldest. */
static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->item->group != y->item->group)
        return x->item->group < y->item->group ? -1 : 1;
    if (x->item->time_ns != y->item->time_ns)
        return x->item->time_ns > y->item->time_ns ? -1 : 1;
    return (x->index < y->index) - (x->index > y->index);
}

static bool has_tag(const struct retention_item *item, struct slice tag)
{
    for (size_t i = 0; i < item->tag_count; i++)
        if (slice_equal(item->tags[i], tag))
            return true;
    return false;
}

static bool has_tags(const struct retention_item *item, const struct retention_policy *policy)
{
    for (size_t i = 0; i < policy->tag_count; i++) {
        size_t found = 0;
        while (found < policy->tags[i].count && has_tag(item, policy->tags[i].tags[found]))
            found++;
        if (found == policy->tags[i].count)
            return true;
    }
    return false;
}

struct rule {
    enum retention_period period;
    uint32_t reason;
    int64_t left;     /* RETENTION_ALL: without end */
    int64_t after_ns; /* only what is newer */
    bool started;
    int64_t last; /* the period that has its snapshot */
};

static void apply_rule(struct rule *rule, struct retention_item *item, size_t position, bool oldest)
{
    if (rule->left == 0 || item->time_ns <= rule->after_ns)
        return;
    const int64_t period = period_of(rule->period, item->time_ns, position);
    if (rule->started && period == rule->last && !oldest)
        return;
    rule->started = true;
    rule->last = period;
    if (rule->left > 0)
        rule->left--;
    item->keep = true;
    item->reasons |= rule->reason;
}

/* The newest that is not in the future; false: all are. */
static bool newest_of(const struct entry *entries, size_t count, int64_t now_ns, int64_t *out)
{
    for (size_t i = 0; i < count; i++) {
        if (entries[i].item->time_ns <= now_ns) {
            *out = entries[i].item->time_ns;
            return true;
        }
    }
    return false;
}

static size_t make_rules(const struct retention_policy *policy, const struct entry *entries,
                         size_t count, int64_t now_ns, struct rule rules[2 * RETENTION_PERIODS])
{
    size_t rule_count = 0;
    int64_t newest_ns = 0;
    const bool any = newest_of(entries, count, now_ns, &newest_ns);
    for (int p = 0; p < RETENTION_PERIODS; p++) {
        if (policy->keep[p])
            rules[rule_count++] = (struct rule){.period = (enum retention_period)p,
                                                .reason = 1u << p,
                                                .left = policy->keep[p],
                                                .after_ns = INT64_MIN};
        if (!span_is_empty(&policy->within[p]))
            rules[rule_count++] = (struct rule){
                .period = (enum retention_period)p,
                .reason = 1u << (RETENTION_WITHIN + p),
                .left = RETENTION_ALL,
                .after_ns = any ? span_before(newest_ns, &policy->within[p]) : INT64_MIN,
            };
    }
    return rule_count;
}

static void apply_to_group(const struct retention_policy *policy, const struct entry *entries,
                           size_t count, int64_t now_ns)
{
    struct rule rules[2 * RETENTION_PERIODS];
    const size_t rule_count = make_rules(policy, entries, count, now_ns, rules);
    for (size_t i = 0; i < count; i++) {
        struct retention_item *item = entries[i].item;
        item->keep = has_tags(item, policy);
        item->reasons = item->keep ? RETENTION_BY_TAG : 0;
        for (size_t r = 0; r < rule_count; r++)
            apply_rule(&rules[r], item, i, i + 1 == count);
    }
}

bool retention_is_empty(const struct retention_policy *policy)
{
    for (int p = 0; p < RETENTION_PERIODS; p++)
        if (policy->keep[p] || !span_is_empty(&policy->within[p]))
            return false;
    return policy->tag_count == 0;
}

enum err retention_apply(const struct retention_policy *policy, struct retention_item *items,
                         size_t count, int64_t now_ns, struct errmsg *msg)
{
    if (retention_is_empty(policy)) {
        for (size_t i = 0; i < count; i++) {
            items[i].keep = true;
            items[i].reasons = RETENTION_NO_POLICY;
        }
        return ERR_OK;
    }
    struct entry *entries = calloc(count ? count : 1, sizeof(*entries));
    if (!entries)
        return err_say(msg, ERR_NOMEM, "out of memory while snapshots are chosen");
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct entry){.item = &items[i], .index = i};
    qsort(entries, count, sizeof(*entries), compare_entries);
    for (size_t begin = 0, end; begin < count; begin = end) {
        for (end = begin + 1; end < count; end++)
            if (entries[end].item->group != entries[begin].item->group)
                break;
        apply_to_group(policy, entries + begin, end - begin, now_ns);
    }
    free(entries);
    return ERR_OK;
}

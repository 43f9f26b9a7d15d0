#include "base/text.h"
#include "retention/retention.h"

enum { SPAN_NUMBER_MAX = 1000000 };

enum err retention_parse_count(const char *text, const char *flag, int64_t *out, struct errmsg *msg)
{
    uint64_t number;
    if (strcmp(text, "unlimited") == 0) {
        *out = RETENTION_ALL;
        return ERR_OK;
    }
    if (text_parse_u64(text, INT32_MAX, &number) != ERR_OK)
        return err_say(msg, ERR_FORMAT, "%s wants a number or \"unlimited\", not \"%s\"", flag,
                       text);
    *out = (int64_t)number;
    return ERR_OK;
}

enum err retention_parse_span(const char *text, const char *flag, struct retention_span *out,
                              struct errmsg *msg)
{
    static const char units[] = "ymdh";
    struct retention_span span = {0};
    uint32_t *const fields[] = {&span.years, &span.months, &span.days, &span.hours};
    size_t next = 0;
    const char *at = text;
    while (*at) {
        uint32_t number = 0;
        const char *digits = at;
        while (*at >= '0' && *at <= '9' && number <= SPAN_NUMBER_MAX)
            number = number * 10 + (uint32_t)(*at++ - '0');
        const char *unit = *at ? strchr(units, *at) : NULL;
        if (at == digits || number > SPAN_NUMBER_MAX || !unit || (size_t)(unit - units) < next) {
            at = text; /* nothing was understood */
            break;
        }
        next = (size_t)(unit - units) + 1;
        *fields[next - 1] = number;
        at++;
    }
    if (*at || at == text)
        return err_say(msg, ERR_FORMAT, "%s wants a time like 1y5m7d2h, not \"%s\"", flag, text);
    *out = span;
    return ERR_OK;
}

enum err retention_parse_group(const char *text, unsigned *out, struct errmsg *msg)
{
    static const struct {
        const char *name;
        unsigned bit;
    } words[] = {{"host", RETENTION_BY_HOST},  {"hosts", RETENTION_BY_HOST},
                 {"path", RETENTION_BY_PATHS}, {"paths", RETENTION_BY_PATHS},
                 {"tag", RETENTION_BY_TAGS},   {"tags", RETENTION_BY_TAGS}};
    unsigned by = 0;
    const char *at = text;
    while (*at) {
        const size_t length = strcspn(at, ",");
        size_t i = 0;
        while (i < ARRAY_COUNT(words) &&
               (strlen(words[i].name) != length || memcmp(words[i].name, at, length) != 0))
            i++;
        const bool more = at[length] == ',';
        if (i == ARRAY_COUNT(words) || (more && !at[length + 1]))
            return err_say(msg, ERR_FORMAT,
                           "--group-by wants some of host, paths and tags with commas between "
                           "them, not \"%s\"",
                           text);
        by |= words[i].bit;
        at += length + more;
    }
    *out = by;
    return ERR_OK;
}

const char *retention_reason(uint32_t bit)
{
    static const char *const names[RETENTION_PERIODS] = {"last snapshot",    "hourly snapshot",
                                                         "daily snapshot",   "weekly snapshot",
                                                         "monthly snapshot", "yearly snapshot"};
    static const char *const within[RETENTION_PERIODS] = {"within",         "hourly within",
                                                          "daily within",   "weekly within",
                                                          "monthly within", "yearly within"};
    if (bit == RETENTION_BY_TAG)
        return "has tags";
    if (bit == RETENTION_NO_POLICY)
        return "no policy";
    for (int p = 0; p < RETENTION_PERIODS; p++) {
        if (bit == 1u << p)
            return names[p];
        if (bit == 1u << (RETENTION_WITHIN + p))
            return within[p];
    }
    return "";
}

#include "wire/wire_path.h"

#include <assert.h>
#include <stdio.h>

static const char *const plain[WIRE_ROUTE_COUNT] = {
    [WIRE_HELLO] = "/v1/hello",
    [WIRE_INFO] = "/v1/info",
    [WIRE_MEMBERS] = "/v1/members",
    [WIRE_HAVE] = "/v1/have",
    [WIRE_CLAIM] = "/v1/claim",
    [WIRE_STATE] = "/v1/state",
    [WIRE_JOIN] = "/v1/join",
    [WIRE_HEARTBEAT] = "/v1/heartbeat",
    [WIRE_CELLS] = "/v1/cells",
    [WIRE_PLACE] = "/v1/place",
    [WIRE_SEGMENTS] = "/v1/segments",
    [WIRE_FIND] = "/v1/segments/find",
    [WIRE_CLAIMS] = "/v1/claims",
    [WIRE_REPAIR] = "/v1/repair",
    [WIRE_REPAIRS] = "/v1/repairs",
    [WIRE_REPORT] = "/v1/repairs/done",
    [WIRE_DAMAGE] = "/v1/damage",
    [WIRE_AWAY] = "/v1/away",
    [WIRE_DELETE] = "/v1/delete",
    [WIRE_ORDERS] = "/v1/orders",
    [WIRE_ACCOUNT] = "/v1/account",
    [WIRE_INVENTORY] = "/v1/inventory",
    [WIRE_DESCRIBE] = "/v1/describe",
    [WIRE_RENEWALS] = "/v1/renewals",
    [WIRE_CHANGES] = "/v1/members/changes",
    [WIRE_AUDIT] = "/v1/audit",
    [WIRE_VERDICTS] = "/v1/verdicts",
};

static const char heads_prefix[] = "/v1/heads/", devices_prefix[] = "/v1/devices/",
                  shards_prefix[] = "/v1/shards/", segments_prefix[] = "/v1/segments/",
                  accounts_prefix[] = "/v1/accounts/", accounts_suffix[] = "/shards",
                  after_prefix[] = "?after=";

const char *wire_path_plain(enum wire_route route)
{
    assert(route < WIRE_ROUTE_COUNT && plain[route]);
    return plain[route];
}

const char *wire_path_format(const struct wire_path *path, char out[WIRE_PATH_SIZE])
{
    char id[ID_TEXT_SIZE], after[ID_TEXT_SIZE];
    assert(path->index < LIMIT_SHARDS && path->after_index < LIMIT_SHARDS);
    id_format(&path->id, id);
    switch (path->route) {
    case WIRE_HEADS:
        snprintf(out, WIRE_PATH_SIZE, "%s%s", heads_prefix, id);
        break;
    case WIRE_DEVICES:
        snprintf(out, WIRE_PATH_SIZE, "%s%s", devices_prefix, id);
        break;
    case WIRE_SHARD:
        snprintf(out, WIRE_PATH_SIZE, "%s%s/%u", shards_prefix, id, (unsigned)path->index);
        break;
    case WIRE_SEGMENT:
        snprintf(out, WIRE_PATH_SIZE, "%s%s", segments_prefix, id);
        break;
    case WIRE_ACCOUNT_SHARDS:
        if (path->has_after)
            snprintf(out, WIRE_PATH_SIZE, "%s%s%s%s%s.%u", accounts_prefix, id, accounts_suffix,
                     after_prefix, id_format(&path->after_segment, after),
                     (unsigned)path->after_index);
        else
            snprintf(out, WIRE_PATH_SIZE, "%s%s%s", accounts_prefix, id, accounts_suffix);
        break;
    default:
        snprintf(out, WIRE_PATH_SIZE, "%s", wire_path_plain(path->route));
    }
    return out;
}

/* ---- parsing: `*at` moves over what was understood ---- */

static bool take_text(const char **at, const char *text)
{
    const size_t size = strlen(text);
    if (strncmp(*at, text, size) != 0)
        return false;
    *at += size;
    return true;
}

/* Only the one form that the builder writes: lower case. */
static enum err take_id(const char **at, struct id *out)
{
    char again[ID_TEXT_SIZE];
    const size_t size = strnlen(*at, ID_TEXT_LENGTH);
    enum err e = id_parse(*at, size, out);
    if (e != ERR_OK)
        return e;
    if (memcmp(id_format(out, again), *at, ID_TEXT_LENGTH) != 0)
        return ERR_FORMAT;
    *at += ID_TEXT_LENGTH;
    return ERR_OK;
}

static enum err take_index(const char **at, uint32_t *out)
{
    const char *digit = *at;
    uint32_t value = 0;
    while (*digit >= '0' && *digit <= '9' && digit - *at < 3)
        value = value * 10 + (uint32_t)(*digit++ - '0');
    if (digit == *at || (**at == '0' && digit - *at > 1) || value >= LIMIT_SHARDS)
        return ERR_FORMAT;
    *at = digit;
    *out = value;
    return ERR_OK;
}

static enum err parse_shard(const char *at, struct wire_path *out)
{
    out->route = WIRE_SHARD;
    enum err e = take_id(&at, &out->id);
    if (e != ERR_OK)
        return e;
    if (*at++ != '/')
        return ERR_FORMAT;
    e = take_index(&at, &out->index);
    return e != ERR_OK ? e : *at ? ERR_FORMAT : ERR_OK;
}

static enum err parse_account(const char *at, struct wire_path *out)
{
    out->route = WIRE_ACCOUNT_SHARDS;
    enum err e = take_id(&at, &out->id);
    if (e != ERR_OK)
        return e;
    if (!take_text(&at, accounts_suffix))
        return ERR_NOT_FOUND;
    if (*at == 0)
        return ERR_OK;
    if (!take_text(&at, after_prefix))
        return ERR_FORMAT;
    out->has_after = true;
    e = take_id(&at, &out->after_segment);
    if (e != ERR_OK)
        return e;
    if (*at++ != '.')
        return ERR_FORMAT;
    e = take_index(&at, &out->after_index);
    return e != ERR_OK ? e : *at ? ERR_FORMAT : ERR_OK;
}

static enum err parse_lone_id(const char *at, enum wire_route route, struct wire_path *out)
{
    out->route = route;
    enum err e = take_id(&at, &out->id);
    return e != ERR_OK ? e : *at ? ERR_FORMAT : ERR_OK;
}

enum err wire_path_parse(const char *text, struct wire_path *out)
{
    const char *at = text;
    *out = (struct wire_path){0};
    for (unsigned route = 0; route < WIRE_ROUTE_COUNT; route++) {
        if (plain[route] && strcmp(text, plain[route]) == 0) {
            out->route = (enum wire_route)route;
            return ERR_OK;
        }
    }
    if (take_text(&at, shards_prefix))
        return parse_shard(at, out);
    if (take_text(&at, heads_prefix))
        return parse_lone_id(at, WIRE_HEADS, out);
    if (take_text(&at, devices_prefix))
        return parse_lone_id(at, WIRE_DEVICES, out);
    if (take_text(&at, segments_prefix))
        return parse_lone_id(at, WIRE_SEGMENT, out);
    if (take_text(&at, accounts_prefix))
        return parse_account(at, out);
    return ERR_NOT_FOUND;
}

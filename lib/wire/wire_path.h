/*
 * The paths of both protocols: one struct, a builder and a parser, so that no other room writes or
 * takes apart a path (docs/protocol.md lists them with their methods).
 *
 * IDs stand as their 56 base32 characters, with the check characters; numbers are decimal without
 * leading zeros. The parser accepts what the builder makes and nothing else.
 */
#pragma once

#include "base/err.h"
#include "base/id.h"
#include "base/limits.h"

enum wire_route {
    /* cell and coordinator */
    WIRE_HELLO,   /* POST /v1/hello */
    WIRE_INFO,    /* GET /v1/info */
    WIRE_MEMBERS, /* GET /v1/members */
    WIRE_HEADS,   /* GET, PUT /v1/heads/{account} */
    WIRE_DEVICES, /* GET, POST /v1/devices/{account} */
    /* cell */
    WIRE_SHARD,          /* PUT, GET, HEAD /v1/shards/{segment}/{index} */
    WIRE_SEGMENT,        /* GET /v1/segments/{segment} */
    WIRE_HAVE,           /* POST /v1/have */
    WIRE_ACCOUNT_SHARDS, /* GET /v1/accounts/{account}/shards[?after={segment}.{index}] */
    WIRE_CLAIM,          /* POST /v1/claim */
    WIRE_STATE,          /* GET /v1/state */
    WIRE_REPAIR,         /* POST /v1/repair */
    WIRE_AUDIT,          /* POST /v1/audit */
    WIRE_DELETE,         /* POST /v1/delete; at the coordinator too */
    WIRE_INVENTORY,      /* POST /v1/inventory */
    WIRE_DESCRIBE,       /* POST /v1/describe */
    /* coordinator */
    WIRE_CHANGES,   /* POST /v1/members/changes */
    WIRE_JOIN,      /* POST /v1/join */
    WIRE_HEARTBEAT, /* POST /v1/heartbeat */
    WIRE_CELLS,     /* GET, POST /v1/cells */
    WIRE_PLACE,     /* POST /v1/place */
    WIRE_SEGMENTS,  /* POST /v1/segments */
    WIRE_FIND,      /* POST /v1/segments/find */
    WIRE_CLAIMS,    /* POST /v1/claims */
    WIRE_REPAIRS,   /* POST /v1/repairs */
    WIRE_REPORT,    /* POST /v1/repairs/done */
    WIRE_DAMAGE,    /* POST /v1/damage */
    WIRE_VERDICTS,  /* POST /v1/verdicts */
    WIRE_AWAY,      /* POST /v1/away */
    WIRE_ORDERS,    /* POST /v1/orders */
    WIRE_RENEWALS,  /* POST /v1/renewals */
    WIRE_ACCOUNT,   /* GET /v1/account */
    WIRE_ROUTE_COUNT,
};

struct wire_path {
    enum wire_route route;
    struct id id;   /* HEADS, DEVICES, ACCOUNT_SHARDS: account; SHARD, SEGMENT: segment */
    uint32_t index; /* SHARD: of the shard */
    /* ACCOUNT_SHARDS: go on behind this shard */
    bool has_after;
    struct id after_segment;
    uint32_t after_index;
};

enum { WIRE_PATH_SIZE = 192 };

/* Writes the path and a NUL; returns `out`. An index must be below LIMIT_SHARDS. */
const char *wire_path_format(const struct wire_path *path, char out[WIRE_PATH_SIZE]);

/* "/v1/info" for a route without parts. */
const char *wire_path_plain(enum wire_route route);

/* ERR_NOT_FOUND for a path that is none of these; ERR_FORMAT when an ID or a number in it is not
   one. */
MUST_CHECK enum err wire_path_parse(const char *text, struct wire_path *out);

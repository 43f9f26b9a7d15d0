/*
 * What both daemons answer: who is there. hello (shown once on each connection), info, and the
 * limits of the member list.
 *
 * Documents travel as the exact bytes that were signed; this room does not look into them.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"

enum wire_peer_kind {
    WIRE_PEER_DEVICE = 1,      /* document: the account's manifest */
    WIRE_PEER_ROOT = 2,        /* document: a root certificate ("recovery") */
    WIRE_PEER_CELL = 3,        /* document: its member statement */
    WIRE_PEER_COORDINATOR = 4, /* document: its certificate */
};

#define WIRE_HELLO_BYTES       (LIMIT_MANIFEST_BYTES + 256u)
#define WIRE_HELLO_REPLY_BYTES 256u
#define WIRE_INFO_BYTES        65536u

/* POST /v1/hello. */
struct wire_hello {
    enum wire_peer_kind kind;
    struct slice document;
    uint64_t list_number;     /* of the newest member list that the peer holds; 0: none */
    uint64_t manifest_number; /* of the document shown, or of the newest one known; 0: none */
};

/* 200. A manifest older than what the server holds: 409 with the newer one (wire_error.h). */
struct wire_hello_reply {
    uint64_t list_number;
    int64_t time_s; /* the server's clock */
    uint64_t manifest_number;
};

MUST_CHECK enum err wire_hello_encode(const struct wire_hello *hello, struct buf *out);
MUST_CHECK enum err wire_hello_decode(struct slice in, struct wire_hello *out);
MUST_CHECK enum err wire_hello_reply_encode(const struct wire_hello_reply *reply, struct buf *out);
MUST_CHECK enum err wire_hello_reply_decode(struct slice in, struct wire_hello_reply *out);

enum wire_role { WIRE_ROLE_CELL = 1, WIRE_ROLE_COORDINATOR = 2 };

/* GET /v1/info -> 200; anybody may ask. */
struct wire_info {
    uint8_t swarm_root[32]; /* its public key */
    enum wire_role role;
    struct id id;             /* the server's */
    struct slice version;     /* of the program, printable text of at most 64 bytes */
    struct slice coordinator; /* the coordinator's certificate; size 0: not known */
    uint64_t list_number;     /* 0: no member list yet */
};

MUST_CHECK enum err wire_info_encode(const struct wire_info *info, struct buf *out);
MUST_CHECK enum err wire_info_decode(struct slice in, struct wire_info *out);

/*
 * The limits of the house. Everything that a peer, a file or a person can make large is bounded by
 * one of these; a run-time limit (leaf, shard, segment, heartbeat) has its default here and its
 * upper bound.
 */
#pragma once

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

/* coding and segments (docs/format-segment.md) */
#define LIMIT_SHARDS          255u        /* k + m, from GF(2^8) */
#define LIMIT_LEAF_BYTES      65536u      /* a Merkle leaf */
#define LIMIT_SHARD_BYTES     (4u << 20)  /* a shard's payload */
#define LIMIT_SEGMENT_BYTES   (16u << 20) /* a segment's payload: min(16 MiB, k * 4 MiB) */
#define LIMIT_CHUNK_BYTES     (4u << 20)  /* a chunk's plain bytes */
#define CHUNK_MIN_BYTES       (256u << 10)
#define CHUNK_AVERAGE_BYTES   (1u << 20)
#define LIMIT_SEGMENT_RECORDS 65536u     /* records in one segment, and chunks */
#define LIMIT_GROUP_BYTES     (1u << 20) /* plain bytes of the chunks that share a record */
#define LIMIT_GROUP_MEMBERS   1024u
#define GROUP_BYTES           (256u << 10) /* what a writer puts into a group, ... */
#define GROUP_MEMBER_BYTES    (128u << 10) /* of chunks smaller than that */

/* messages */
#define LIMIT_BODY_EVENT_BYTES  65536u      /* one body event (port/net.h) */
#define LIMIT_MESSAGE_BYTES     (1u << 20)  /* a CBOR body, unless its message says otherwise */
#define LIMIT_MEMBER_LIST_BYTES (64u << 20) /* the signed member list */
#define LIMIT_MANIFEST_BYTES    (4u << 20)  /* an account's manifest */
#define LIMIT_PATH_BYTES        512u        /* a request's path */
#define LIMIT_CBOR_DEPTH        16u

/* a process */
#define LIMIT_NET_BUDGET_BYTES                                         \
    (64u << 20) /* body bytes held by the net port, all peers together \
                 */
#define LIMIT_CONNECTIONS            4096u
#define LIMIT_STREAMS_PER_CONNECTION 256u

/* swarm */
#define LIMIT_GROUP_CELLS   256u /* cells of one account's placement group */
#define LIMIT_ADDRESSES     8u   /* of one cell */
#define LIMIT_ADDRESS_BYTES 256u /* "host:port" */
#define LIMIT_NAME_BYTES    255u /* host names, tags, site names */

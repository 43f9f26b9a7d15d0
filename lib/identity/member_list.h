/*
 * The member list, document "members": every cell of the swarm and every input of placement,
 * numbered, hash-chained, signed by a coordinator whose certificate it carries. Ordered by
 * (incarnation, number); two lists with one such pair and different hashes prove that the
 * coordinator cheats.
 *
 * Its cells stand in ascending order of their IDs, so a lookup is a binary search. Opening costs
 * one signature, and one hash of 44 bytes a cell.
 */
#pragma once

#include "identity/address.h"
#include "identity/coordinator_cert.h"
#include "identity/document.h"

struct member {
    struct id id; /* of `key`; ignored by _make */
    uint8_t key[SIGN_PUBLIC_SIZE];
    bool claimed;
    struct id household;    /* the claiming account; the cell's own ID while nobody claimed it */
    uint16_t weight;        /* a coarse measure of what it gives */
    bool eligible;          /* may get new shards */
    uint32_t site_number;   /* filled in by _open: equal for equal sites, 0: none given */
    struct slice site;      /* text, size 0: none given. Borrowed */
    struct slice addresses; /* CBOR, address_list_decode(). Borrowed */
};

struct member_list {
    struct slice bytes; /* owned copy of the document */
    struct id hash;     /* of `bytes` */
    struct coordinator_cert coordinator;
    struct slice coordinator_doc; /* its exact bytes, in `bytes` */
    uint32_t incarnation;         /* the coordinator's */
    uint64_t number;
    struct id previous; /* hash of the list before; zero for the first of an incarnation's chain */
    int64_t time_s;
    struct member *members; /* owned; their slices point into `bytes` */
    size_t count;
};

/* What a coordinator signs: `coordinator_doc`, `number`, `previous`, `time_s` and the members
   (sorted in place by their IDs, which are filled in) of `list`; the other fields are ignored. Two
   members with one key assert. */
MUST_CHECK enum err member_list_make(struct member_list *list, const struct swarm_root *swarm,
                                     const struct sign_key *coordinator, struct buf *out);

/* Verifies the list under its own certificate, and that under the root. The list keeps a copy of
   the bytes. Up to LIMIT_MEMBER_LIST_BYTES. */
MUST_CHECK enum err member_list_open(struct slice bytes, const struct swarm_root *swarm,
                                     struct member_list **out, struct errmsg *msg);
void member_list_free(struct member_list *list);

/* NULL when no member. */
const struct member *member_list_find(const struct member_list *list, const struct id *cell);

/* Less than, equal to or greater than zero, by (incarnation, number). */
int member_list_compare(const struct member_list *a, const struct member_list *b);

/*
 * Groups: small chunks that share one record of a segment (docs/format-segment.md). Packed
 * together they come out smaller and quicker than each by itself, and there is one seal, one line
 * in the table and one frame for all of them.
 *
 * A group's plain bytes are a list of its members, then their bytes one behind the other, raw or as
 * one zstd frame. Who knows the record and the name of a chunk finds it in the list; a name that is
 * not there is noticed. The list is outside of the frame, so that sizes are known, and bounded,
 * before anything is unpacked.
 *
 *     writing   segment_group_add() for each member, then the packed bytes behind the list;
 *               reserved and sealed as one record with SEGMENT_GROUP (its id and plain size zero)
 *     reading   segment_open_record(), segment_group_open(), unpack the body to
 *               group.plain_bytes, segment_group_find()
 */
#pragma once

#include "segment/segment_record.h"

enum {
    SEGMENT_GROUP_COUNT_SIZE = 4, /* before the members' lines */
    SEGMENT_MEMBER_SIZE = 36,
};

/* Of a group's list, in bytes. */
static inline size_t segment_group_list_bytes(size_t count)
{
    return SEGMENT_GROUP_COUNT_SIZE + count * SEGMENT_MEMBER_SIZE;
}

/* Writes the line of the next member into a list that holds `count` so far; `list` has room for
   segment_group_list_bytes(count + 1). The caller keeps to LIMIT_GROUP_MEMBERS and
   LIMIT_GROUP_BYTES, and names no chunk twice and no empty one. */
void segment_group_add(uint8_t *list, uint32_t count, const struct id *id, uint32_t plain_bytes);

/* Slices point into what was opened. */
struct segment_group {
    struct slice lines; /* of the members */
    uint32_t count;
    uint32_t plain_bytes; /* of all members: what the body unpacks to, at most LIMIT_GROUP_BYTES */
    struct slice body;
};

/* `plain`: an opened record with SEGMENT_GROUP, whose flags are `flags`. CORRUPT when the list is
   cut short or empty, when a member is empty, when it breaks a limit, or when a raw body is not as
   long as its members. */
MUST_CHECK enum err segment_group_open(struct slice plain, unsigned flags,
                                       struct segment_group *out);

/* Where the chunk's bytes begin in the unpacked body. CORRUPT when it is not there, or twice, or
   has another size than `plain_bytes`. */
MUST_CHECK enum err segment_group_find(const struct segment_group *group, const struct id *id,
                                       uint32_t plain_bytes, uint32_t *out_offset);

/* A member's share of the sealed bytes of its group: in proportion to its size, and such that the
   shares of all members are `sealed_bytes` together. `before`: plain bytes of the members that were
   counted before it, in any order; `all`: of all members, not 0. */
uint32_t segment_group_share(uint32_t sealed_bytes, uint32_t before, uint32_t plain_bytes,
                             uint32_t all);

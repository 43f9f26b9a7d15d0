#include "segment/segment_group.h"

#include <assert.h>

void segment_group_add(uint8_t *list, uint32_t count, const struct id *id, uint32_t plain_bytes)
{
    uint8_t *line = list + segment_group_list_bytes(count);
    assert(count < LIMIT_GROUP_MEMBERS && plain_bytes > 0);
    memcpy(line, id->bytes, ID_SIZE);
    put_le32(line + ID_SIZE, plain_bytes);
    put_le32(list, count + 1);
}

static uint32_t member_bytes(const struct segment_group *group, uint32_t index)
{
    return get_le32(group->lines.data + (size_t)index * SEGMENT_MEMBER_SIZE + ID_SIZE);
}

enum err segment_group_open(struct slice plain, unsigned flags, struct segment_group *out)
{
    *out = (struct segment_group){0};
    if (plain.size < SEGMENT_GROUP_COUNT_SIZE)
        return ERR_CORRUPT;
    const uint32_t count = get_le32(plain.data);
    if (count == 0 || count > LIMIT_GROUP_MEMBERS || plain.size < segment_group_list_bytes(count))
        return ERR_CORRUPT;
    const size_t list = segment_group_list_bytes(count);
    struct segment_group group = {
        .lines = slice_of(plain.data + SEGMENT_GROUP_COUNT_SIZE, list - SEGMENT_GROUP_COUNT_SIZE),
        .count = count,
        .body = slice_of(plain.data + list, plain.size - list),
    };
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t size = member_bytes(&group, i);
        if (size == 0 || size > LIMIT_GROUP_BYTES - group.plain_bytes)
            return ERR_CORRUPT;
        group.plain_bytes += size;
    }
    if (!(flags & SEGMENT_ZSTD) && group.body.size != group.plain_bytes)
        return ERR_CORRUPT;
    *out = group;
    return ERR_OK;
}

enum err segment_group_find(const struct segment_group *group, const struct id *id,
                            uint32_t plain_bytes, uint32_t *out_offset)
{
    uint32_t offset = 0, found = 0;
    for (uint32_t i = 0; i < group->count; i++) {
        const uint8_t *line = group->lines.data + (size_t)i * SEGMENT_MEMBER_SIZE;
        if (memcmp(line, id->bytes, ID_SIZE) == 0) {
            if (found++ > 0 || member_bytes(group, i) != plain_bytes)
                return ERR_CORRUPT;
            *out_offset = offset;
        }
        offset += member_bytes(group, i);
    }
    return found == 1 ? ERR_OK : ERR_CORRUPT;
}

/* What falls to all members up to this one, without what fell to those before. */
uint32_t segment_group_share(uint32_t sealed_bytes, uint32_t before, uint32_t plain_bytes,
                             uint32_t all)
{
    assert(all > 0 && before <= all && plain_bytes <= all - before);
    const uint64_t to = (uint64_t)sealed_bytes * (before + plain_bytes) / all;
    return (uint32_t)(to - (uint64_t)sealed_bytes * before / all);
}

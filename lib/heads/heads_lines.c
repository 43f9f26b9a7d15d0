#include "heads/heads_lines.h"

#include "segment/segment_group.h"
#include "snapshot/snapshot_index.h"
#include "vault/vault_parts.h"

enum err heads_lines_append(struct buf *lines, const struct index_chunk *chunks, size_t count)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        const struct index_chunk *chunk = &chunks[i];
        const uint8_t group = chunk->group_bytes > 0 ? SEGMENT_GROUP : 0;
        const struct snapshot_chunk line = {.id = chunk->id,
                                            .type = vault_type_of(chunk->type),
                                            .flags = vault_flags_of(chunk->type) | group,
                                            .offset = chunk->offset,
                                            .sealed_bytes = index_chunk_record_bytes(chunk),
                                            .plain_bytes = chunk->plain_bytes,
                                            .record = chunk->record};
        e = snapshot_chunk_append(lines, &line);
    }
    return e;
}

/* Chunks of one record are a group, and say the same of it. */
static bool same_record(const struct snapshot_chunk *one, const struct snapshot_chunk *two)
{
    return (one->flags & SEGMENT_GROUP) && two->flags == one->flags && two->type == one->type &&
           two->offset == one->offset && two->sealed_bytes == one->sealed_bytes;
}

static enum err line_at(struct slice lines, size_t index, struct snapshot_chunk *out)
{
    snapshot_chunk_at(lines, index, out);
    if (out->flags & ~(SEGMENT_ZSTD | SEGMENT_GROUP))
        return ERR_VERSION;
    return out->record < LIMIT_SEGMENT_RECORDS ? ERR_OK : ERR_CORRUPT;
}

/* How many lines from `first` on are one record, and their plain bytes. */
static enum err record_lines(struct slice lines, size_t first, size_t count, size_t *out_some,
                             uint64_t *plain_bytes)
{
    struct snapshot_chunk head, next;
    size_t i = first + 1;
    enum err e = line_at(lines, first, &head);
    *plain_bytes = head.plain_bytes;
    for (; e == ERR_OK && i < count; i++) {
        e = line_at(lines, i, &next);
        if (e == ERR_OK && next.record > head.record)
            break;
        if (e == ERR_OK && (next.record < head.record || !same_record(&head, &next)))
            e = ERR_CORRUPT;
        *plain_bytes += next.plain_bytes;
    }
    *out_some = i - first;
    return e;
}

static enum err read_record(struct slice lines, size_t first, size_t count, uint64_t plain_bytes,
                            struct index_chunk *out)
{
    uint32_t before = 0;
    for (size_t i = first; i < first + count; i++) {
        struct snapshot_chunk line;
        snapshot_chunk_at(lines, i, &line);
        struct index_chunk *chunk = &out[i];
        *chunk = (struct index_chunk){.id = line.id,
                                      .record = line.record,
                                      .offset = line.offset,
                                      .sealed_bytes = line.sealed_bytes,
                                      .plain_bytes = line.plain_bytes,
                                      .type = vault_type(line.type, line.flags)};
        if (!(line.flags & SEGMENT_GROUP))
            continue;
        if (line.plain_bytes == 0 || plain_bytes > LIMIT_GROUP_BYTES ||
            count > LIMIT_GROUP_MEMBERS ||
            line.sealed_bytes < SEGMENT_RECORD_OVERHEAD + segment_group_list_bytes(count))
            return ERR_CORRUPT;
        chunk->group_bytes = line.sealed_bytes;
        chunk->sealed_bytes =
            segment_group_share(line.sealed_bytes, before, line.plain_bytes, (uint32_t)plain_bytes);
        before += line.plain_bytes;
    }
    return ERR_OK;
}

enum err heads_lines_read(struct slice lines, struct index_chunk *out, struct errmsg *msg)
{
    const size_t count = lines.size / SNAPSHOT_CHUNK_SIZE;
    enum err e = ERR_OK;
    for (size_t at = 0, some = 0; e == ERR_OK && at < count; at += some) {
        uint64_t plain_bytes = 0;
        e = record_lines(lines, at, count, &some, &plain_bytes);
        if (e == ERR_OK)
            e = read_record(lines, at, some, plain_bytes, out);
    }
    return e == ERR_OK
               ? e
               : err_say(msg, e, "the chunks of a segment in an index object are %s", err_words(e));
}

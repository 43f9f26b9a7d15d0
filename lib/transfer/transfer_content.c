#include "transfer/transfer_reader.h"

enum { REFS_BYTES_MAX = SNAPSHOT_LIST_BYTES_MAX };

static enum err level_set(struct transfer_content *walk, unsigned level, struct slice refs)
{
    struct buf *to = &walk->levels[level].refs;
    to->size_max = REFS_BYTES_MAX;
    buf_clear(to);
    walk->levels[level].at = 0;
    return buf_append(to, refs.data, refs.size);
}

enum err transfer_content_start(struct transfer_content *walk,
                                const struct snapshot_content *content)
{
    if (content->depth > SNAPSHOT_DEPTH_MAX)
        return ERR_FORMAT;
    walk->depth = content->depth;
    walk->level = 0;
    return level_set(walk, 0, content->refs);
}

enum err transfer_content_next(struct transfer_content *walk, struct transfer_reader *reader,
                               struct snapshot_ref *out, struct errmsg *msg)
{
    for (;;) {
        const struct slice refs = buf_slice(&walk->levels[walk->level].refs);
        size_t *at = &walk->levels[walk->level].at;
        if (*at >= snapshot_ref_count(refs)) {
            if (walk->level == 0)
                return ERR_END;
            walk->level--;
            continue;
        }
        const struct snapshot_ref ref = snapshot_ref_at(refs, *at);
        if (walk->level == walk->depth) {
            (*at)++;
            *out = ref;
            return ERR_OK;
        }
        struct slice bytes, below;
        enum err e = transfer_reader_chunk(reader, &ref.id, &bytes, msg);
        if (e == ERR_BUSY)
            return e;
        (*at)++;
        if (e == ERR_OK)
            e = snapshot_list_decode(bytes, ref.bytes, &below);
        if (e == ERR_OK)
            e = level_set(walk, walk->level + 1, below);
        if (e != ERR_OK)
            return e;
        walk->level++;
    }
}

void transfer_content_free(struct transfer_content *walk)
{
    for (size_t i = 0; i <= SNAPSHOT_DEPTH_MAX; i++)
        buf_free(&walk->levels[i].refs);
    *walk = TRANSFER_CONTENT_INIT;
}

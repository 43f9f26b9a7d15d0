#include "snapshot/snapshot_list.h"

#include "base/cursor.h"

enum { LIST_VERSION = 1 };

struct snapshot_ref snapshot_ref_at(struct slice refs, size_t index)
{
    const uint8_t *at = refs.data + index * SNAPSHOT_REF_SIZE;
    struct snapshot_ref ref;
    memcpy(ref.id.bytes, at, ID_SIZE);
    ref.bytes = get_le64(at + ID_SIZE);
    return ref;
}

enum err snapshot_ref_append(struct buf *refs, const struct snapshot_ref *ref)
{
    uint8_t bytes[SNAPSHOT_REF_SIZE];
    memcpy(bytes, ref->id.bytes, ID_SIZE);
    put_le64(bytes + ID_SIZE, ref->bytes);
    return buf_append(refs, bytes, sizeof(bytes));
}

enum err snapshot_refs_bytes(struct slice refs, uint64_t *out)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < snapshot_ref_count(refs); i++)
        if (__builtin_add_overflow(sum, snapshot_ref_at(refs, i).bytes, &sum))
            return ERR_FORMAT;
    *out = sum;
    return ERR_OK;
}

enum err snapshot_list_decode(struct slice bytes, uint64_t content_bytes, struct slice *out_refs)
{
    struct cursor c = cursor_over(bytes);
    uint8_t version;
    uint64_t sum;
    if (cursor_u8(&c, &version) != ERR_OK)
        return ERR_FORMAT;
    if (version != LIST_VERSION)
        return ERR_VERSION;
    const size_t left = cursor_left(&c);
    if (left == 0 || left % SNAPSHOT_REF_SIZE != 0 || bytes.size > SNAPSHOT_LIST_BYTES_MAX)
        return ERR_FORMAT;
    if (cursor_take(&c, left, out_refs) != ERR_OK ||
        snapshot_refs_bytes(*out_refs, &sum) != ERR_OK || sum != content_bytes)
        return ERR_FORMAT;
    return ERR_OK;
}

void snapshot_list_init(struct snapshot_list *list, snapshot_list_emit_fn *emit, void *user)
{
    *list = (struct snapshot_list){.emit = emit, .user = user};
    for (unsigned i = 0; i <= SNAPSHOT_DEPTH_MAX; i++)
        list->levels[i] = BUF_INIT(SNAPSHOT_LIST_BYTES_MAX);
}

/* Refs in a level's buffer, which begins with the version byte. */
static struct slice level_refs(const struct buf *level)
{
    return level->size ? slice_of(level->data + 1, level->size - 1) : slice_of(NULL, 0);
}

static enum err add_at(struct snapshot_list *list, unsigned depth, const struct snapshot_ref *ref);

/* The level as a list chunk; its ref goes one up. */
static enum err emit_level(struct snapshot_list *list, unsigned depth)
{
    struct snapshot_ref up = {.bytes = list->bytes[depth]};
    enum err e = list->emit(list->user, buf_slice(&list->levels[depth]), &up.id);
    if (e != ERR_OK)
        return e;
    buf_clear(&list->levels[depth]);
    list->bytes[depth] = 0;
    return add_at(list, depth + 1, &up);
}

static bool cut_behind(const struct snapshot_ref *ref, size_t count)
{
    if (count >= SNAPSHOT_LIST_REFS)
        return true;
    return count >= SNAPSHOT_LIST_REFS_MIN && ref->id.bytes[31] == 0 &&
           (ref->id.bytes[30] & 0x0f) == 0;
}

static enum err add_at(struct snapshot_list *list, unsigned depth, const struct snapshot_ref *ref)
{
    if (depth > SNAPSHOT_DEPTH_MAX)
        return ERR_TOO_LARGE;
    struct buf *level = &list->levels[depth];
    enum err e = level->size == 0 ? buf_append_u8(level, LIST_VERSION) : ERR_OK;
    if (e == ERR_OK)
        e = snapshot_ref_append(level, ref);
    if (e != ERR_OK)
        return e;
    list->depth = depth > list->depth ? depth : list->depth;
    list->bytes[depth] += ref->bytes;
    if (cut_behind(ref, snapshot_ref_count(level_refs(level))))
        return emit_level(list, depth);
    return ERR_OK;
}

enum err snapshot_list_add(struct snapshot_list *list, const struct snapshot_ref *ref)
{
    return add_at(list, 0, ref);
}

enum err snapshot_list_finish(struct snapshot_list *list, struct snapshot_content *out)
{
    for (unsigned depth = 0;; depth++) {
        const struct slice refs = level_refs(&list->levels[depth]);
        if (depth == list->depth && snapshot_ref_count(refs) <= SNAPSHOT_INLINE_REFS) {
            *out = (struct snapshot_content){.depth = depth, .refs = refs};
            return ERR_OK;
        }
        enum err e = refs.size > 0 ? emit_level(list, depth) : ERR_OK;
        if (e != ERR_OK)
            return e;
    }
}

void snapshot_list_free(struct snapshot_list *list)
{
    for (unsigned i = 0; i <= SNAPSHOT_DEPTH_MAX; i++)
        buf_free(&list->levels[i]);
}

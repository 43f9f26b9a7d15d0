#include "segment/segment_header.h"

#include "base/cursor.h"
#include "crypto/aead.h"

#include <assert.h>

static const uint8_t magic[4] = {'C', 'L', 'S', 'G'};

enum { CLASSES_A_DOUBLING = 8 };

static bool sizes_possible(unsigned k, unsigned m, uint32_t shard_bytes)
{
    return k >= 1 && k + m <= LIMIT_SHARDS && shard_bytes > 0 &&
           shard_bytes % SEGMENT_SHARD_UNIT == 0 && shard_bytes <= segment_shard_bytes_max(k);
}

void segment_header_encode(const struct segment_header *header, uint8_t *out)
{
    assert(sizes_possible(header->k, header->m, header->shard_bytes));
    memcpy(out, magic, 4);
    out[4] = SEGMENT_VERSION;
    out[5] = header->suite;
    out[6] = header->k;
    out[7] = header->m;
    out[8] = SEGMENT_MATRIX_CAUCHY;
    memset(out + 9, 0, 3); /* flags, reserved */
    put_le32(out + 12, header->device_slot);
    put_le32(out + 16, header->epoch);
    put_le32(out + 20, header->shard_bytes);
    memcpy(out + 24, header->account.bytes, ID_SIZE);
    memcpy(out + 56, header->salt, SEGMENT_SALT_SIZE);
    memcpy(out + 88, header->commitment, SEGMENT_COMMITMENT_SIZE);
    memcpy(out + SEGMENT_HEADER_FIXED_SIZE, header->roots,
           (size_t)SHA256_SIZE * ((unsigned)header->k + header->m));
}

/* The first 12 bytes: whether it is a header of a kind that we can read. */
static enum err decode_kind(struct cursor *c, struct segment_header *out, struct errmsg *msg)
{
    struct slice found;
    uint8_t version, matrix, flags;
    uint16_t reserved;
    if (cursor_take(c, sizeof(magic), &found) != ERR_OK ||
        memcmp(found.data, magic, sizeof(magic)) != 0 || cursor_u8(c, &version) != ERR_OK)
        return err_say(msg, ERR_FORMAT, "this is not a segment's header");
    if (version != SEGMENT_VERSION)
        return err_say(msg, ERR_VERSION,
                       "a segment of version %u, which this program does not know", version);
    if (cursor_u8(c, &out->suite) != ERR_OK || cursor_u8(c, &out->k) != ERR_OK ||
        cursor_u8(c, &out->m) != ERR_OK || cursor_u8(c, &matrix) != ERR_OK ||
        cursor_u8(c, &flags) != ERR_OK || cursor_le16(c, &reserved) != ERR_OK)
        return err_say(msg, ERR_FORMAT, "a segment's header is cut short");
    if (out->suite != AEAD_AES_256_GCM && out->suite != AEAD_CHACHA20_POLY1305)
        return err_say(msg, ERR_VERSION, "a segment of cipher suite %u, which is unknown",
                       out->suite);
    if (matrix != SEGMENT_MATRIX_CAUCHY)
        return err_say(msg, ERR_VERSION, "a segment of code matrix %u, which is unknown", matrix);
    if (flags != 0 || reserved != 0)
        return err_say(msg, ERR_VERSION, "a segment with flags that are unknown");
    return ERR_OK;
}

enum err segment_header_decode(struct slice bytes, struct segment_header *out, struct errmsg *msg)
{
    struct cursor c = cursor_over(bytes);
    enum err e = decode_kind(&c, out, msg);
    if (e != ERR_OK)
        return e;
    if (cursor_le32(&c, &out->device_slot) != ERR_OK || cursor_le32(&c, &out->epoch) != ERR_OK ||
        cursor_le32(&c, &out->shard_bytes) != ERR_OK ||
        cursor_copy(&c, out->account.bytes, ID_SIZE) != ERR_OK ||
        cursor_copy(&c, out->salt, SEGMENT_SALT_SIZE) != ERR_OK ||
        cursor_copy(&c, out->commitment, SEGMENT_COMMITMENT_SIZE) != ERR_OK)
        return err_say(msg, ERR_FORMAT, "a segment's header is cut short");
    if (!sizes_possible(out->k, out->m, out->shard_bytes))
        return err_say(msg, ERR_FORMAT, "a segment's header says %u+%u shards of %u bytes", out->k,
                       out->m, out->shard_bytes);
    const size_t roots = (size_t)SHA256_SIZE * ((unsigned)out->k + out->m);
    if (cursor_copy(&c, out->roots, roots) != ERR_OK || cursor_end(&c) != ERR_OK)
        return err_say(msg, ERR_FORMAT, "a segment's header of %u+%u shards is %zu bytes long",
                       out->k, out->m, bytes.size);
    return ERR_OK;
}

void segment_header_id(struct slice header, struct id *out)
{
    static const char prefix[] = "cellar/segment/v1";
    uint8_t bytes[sizeof(prefix) - 1 + SEGMENT_HEADER_SIZE_MAX];
    assert(header.size <= SEGMENT_HEADER_SIZE_MAX);
    memcpy(bytes, prefix, sizeof(prefix) - 1);
    memcpy(bytes + sizeof(prefix) - 1, header.data, header.size);
    sha256(slice_of(bytes, sizeof(prefix) - 1 + header.size), out->bytes);
}

uint32_t segment_shard_bytes_max(unsigned k)
{
    assert(k >= 1 && k <= LIMIT_SHARDS);
    const uint32_t share = LIMIT_SEGMENT_BYTES / k;
    const uint32_t size = share < LIMIT_SHARD_BYTES ? share : LIMIT_SHARD_BYTES;
    return size / SEGMENT_SHARD_UNIT * SEGMENT_SHARD_UNIT;
}

uint32_t segment_shard_bytes_for(unsigned k, uint64_t payload_bytes, uint32_t shard_bytes_max)
{
    if (payload_bytes > (uint64_t)k * shard_bytes_max)
        return 0;
    uint32_t step = SEGMENT_SHARD_UNIT; /* an eighth of the power of two below, once that is more */
    for (uint32_t size = SEGMENT_SHARD_UNIT; size < shard_bytes_max; size += step) {
        if ((uint64_t)k * size >= payload_bytes)
            return size;
        if (size == 2 * CLASSES_A_DOUBLING * step)
            step *= 2;
    }
    return shard_bytes_max;
}

uint32_t segment_leaves_bytes(uint32_t shard_bytes, uint32_t first, uint32_t count)
{
    const uint32_t from = first * LIMIT_LEAF_BYTES;
    const uint64_t to = ((uint64_t)first + count) * LIMIT_LEAF_BYTES;
    return (to < shard_bytes ? (uint32_t)to : shard_bytes) - from;
}

struct segment_piece segment_piece_at(uint32_t shard_bytes, uint64_t offset, uint64_t size)
{
    assert(size > 0);
    const uint32_t from = (uint32_t)(offset % shard_bytes), left = shard_bytes - from;
    const uint32_t take = size < left ? (uint32_t)size : left;
    const uint32_t first = from / LIMIT_LEAF_BYTES;
    return (struct segment_piece){
        .shard = (unsigned)(offset / shard_bytes),
        .leaf_first = first,
        .leaf_count = (from + take - 1) / LIMIT_LEAF_BYTES - first + 1,
        .skip = from - first * LIMIT_LEAF_BYTES,
        .size = take,
    };
}

enum err segment_leaves_verify(struct sha256 *h, const struct segment_header *header,
                               unsigned shard, uint32_t leaf_first, uint32_t leaf_count,
                               struct slice bytes, struct slice path)
{
    enum { LEAVES_MAX = LIMIT_SHARD_BYTES / LIMIT_LEAF_BYTES };
    const uint32_t count = segment_leaf_count(header->shard_bytes);
    if (shard >= (unsigned)header->k + header->m || leaf_count == 0 || leaf_first >= count ||
        leaf_count > count - leaf_first)
        return ERR_FORMAT;
    if (bytes.size != segment_leaves_bytes(header->shard_bytes, leaf_first, leaf_count) ||
        path.size % SHA256_SIZE != 0 || path.size / SHA256_SIZE > MERKLE_PATH_MAX)
        return ERR_FORMAT;
    struct merkle_hash leaves[LEAVES_MAX], hashes[MERKLE_PATH_MAX];
    size_t at = 0;
    for (uint32_t i = 0; i < leaf_count; i++) {
        const uint32_t size = segment_leaf_bytes(header->shard_bytes, leaf_first + i);
        sha256_leaf(h, slice_of(bytes.data + at, size), leaves[i].bytes);
        at += size;
    }
    if (path.size > 0)
        memcpy(hashes, path.data, path.size);
    return merkle_verify(h, &header->roots[shard], count, leaf_first, leaf_count, leaves, hashes,
                         path.size / SHA256_SIZE);
}

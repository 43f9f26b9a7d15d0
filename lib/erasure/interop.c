#include "erasure/interop.h"

#include "base/cursor.h"

#include <liberasurecode/erasurecode.h>
#include <pthread.h>
#include <string.h>

enum {
    CHECKSUM_NONE = 1,
    CHECKSUM_CRC32 = 2,
    BACKEND_CAUCHY = 7,
    BACKEND_VERSION = 0x020e01,
    MAGIC = 0x0b0c5ecc,
    LIBRARY_VERSION = 0x010602,
    CHECKED_BYTES = 59, /* of the header, by the CRC behind them */
};

/* The only state in the room: liberasurecode keeps its instances in a list without a lock. */
static pthread_mutex_t peer_lock = PTHREAD_MUTEX_INITIALIZER;

static uint32_t crc32_of(struct slice bytes)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < bytes.size; i++) {
        crc ^= bytes.data[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

size_t interop_shard_size(unsigned k, size_t data_size)
{
    return data_size / k + (data_size % k != 0);
}

void interop_header(unsigned index, struct slice shard, uint64_t data_size, bool with_checksum,
                    uint8_t out[INTEROP_HEADER_BYTES])
{
    memset(out, 0, INTEROP_HEADER_BYTES);
    put_le32(out, index);
    put_le32(out + 4, (uint32_t)shard.size);
    put_le64(out + 12, data_size);
    out[20] = with_checksum ? CHECKSUM_CRC32 : CHECKSUM_NONE;
    if (with_checksum)
        put_le32(out + 21, crc32_of(shard));
    out[54] = BACKEND_CAUCHY;
    put_le32(out + 55, BACKEND_VERSION);
    put_le32(out + 59, MAGIC);
    put_le32(out + 63, LIBRARY_VERSION);
    put_le32(out + 67, crc32_of(slice_of(out, CHECKED_BYTES)));
}

struct header {
    uint32_t index, size, backend_size, checksum, backend_version, magic, library_version, crc;
    uint64_t data_size;
    uint8_t checksum_type, mismatch, backend;
};

static enum err header_read(struct cursor *c, struct header *h)
{
    const struct {
        void *out;
        unsigned size;
    } fields[] = {{&h->index, 4},
                  {&h->size, 4},
                  {&h->backend_size, 4},
                  {&h->data_size, 8},
                  {&h->checksum_type, 1},
                  {&h->checksum, 4},
                  {NULL, 28},
                  {&h->mismatch, 1},
                  {&h->backend, 1},
                  {&h->backend_version, 4},
                  {&h->magic, 4},
                  {&h->library_version, 4},
                  {&h->crc, 4},
                  {NULL, 9}};
    enum err e = ERR_OK;
    for (unsigned i = 0; e == ERR_OK && i < sizeof(fields) / sizeof(fields[0]); i++)
        e = !fields[i].out        ? cursor_skip(c, fields[i].size)
            : fields[i].size == 8 ? cursor_le64(c, fields[i].out)
            : fields[i].size == 4 ? cursor_le32(c, fields[i].out)
                                  : cursor_u8(c, fields[i].out);
    return e;
}

enum err interop_read(struct slice fragment, struct interop_fragment *out, struct errmsg *msg)
{
    struct cursor c = cursor_over(fragment);
    struct header h;
    struct slice shard;
    if (header_read(&c, &h) != ERR_OK || h.magic != MAGIC)
        return err_say(msg, ERR_FORMAT, "this is no liberasurecode fragment");
    if (h.crc != crc32_of(slice_of(fragment.data, CHECKED_BYTES)))
        return err_say(msg, ERR_CORRUPT, "the fragment's header is damaged");
    if (h.backend != BACKEND_CAUCHY || h.backend_size != 0)
        return err_say(msg, ERR_UNSUPPORTED, "the fragment is of backend %u, not isa_l_rs_cauchy",
                       h.backend);
    if (h.checksum_type != CHECKSUM_NONE && h.checksum_type != CHECKSUM_CRC32)
        return err_say(msg, ERR_UNSUPPORTED, "the fragment has a checksum of type %u",
                       h.checksum_type);
    if (h.index >= INTEROP_SHARDS_MAX || h.data_size > INTEROP_SIZE_MAX || h.size > h.data_size ||
        cursor_take(&c, h.size, &shard) != ERR_OK || cursor_left(&c) != 0)
        return err_say(msg, ERR_FORMAT, "the fragment's sizes do not fit together");
    if (h.checksum_type == CHECKSUM_CRC32 && h.checksum != crc32_of(shard))
        return err_say(msg, ERR_CORRUPT, "the fragment's shard %u is damaged", h.index);
    *out = (struct interop_fragment){.index = h.index,
                                     .data_size = h.data_size,
                                     .has_checksum = h.checksum_type == CHECKSUM_CRC32,
                                     .shard = shard};
    return ERR_OK;
}

/* --- liberasurecode */

static enum err peer_open(unsigned k, unsigned m, bool with_checksum, int *out, struct errmsg *msg)
{
    if (k < 1 || m < 1 || k > INTEROP_SHARDS_MAX || m > INTEROP_SHARDS_MAX - k)
        return err_say(msg, ERR_USAGE, "liberasurecode has no %u+%u code", k, m);
    struct ec_args args = {.k = (int)k,
                           .m = (int)m,
                           .hd = (int)m + 1,
                           .ct = with_checksum ? CHKSUM_CRC32 : CHKSUM_NONE};
    *out = liberasurecode_instance_create(EC_BACKEND_ISA_L_RS_CAUCHY, &args);
    if (*out <= 0)
        return err_say(msg, ERR_UNSUPPORTED, "liberasurecode cannot use isa_l_rs_cauchy (error %d)",
                       -*out);
    return ERR_OK;
}

enum err interop_peer_encode(unsigned k, unsigned m, struct slice data, bool with_checksum,
                             uint8_t *const fragments[], struct errmsg *msg)
{
    char **data_fragments, **parity_fragments;
    uint64_t size;
    int peer;
    if (data.size == 0 || data.size > INTEROP_SIZE_MAX)
        return err_say(msg, ERR_USAGE, "liberasurecode takes 1 to %d bytes", INTEROP_SIZE_MAX);
    pthread_mutex_lock(&peer_lock);
    enum err e = peer_open(k, m, with_checksum, &peer, msg);
    if (e != ERR_OK)
        goto unlock;
    int code = liberasurecode_encode(peer, (const char *)data.data, data.size, &data_fragments,
                                     &parity_fragments, &size);
    if (code != 0) {
        e = err_say(msg, ERR_IO, "liberasurecode cannot encode (error %d)", -code);
        goto destroy;
    }
    if (size != INTEROP_HEADER_BYTES + interop_shard_size(k, data.size))
        e = err_say(msg, ERR_INCONSISTENT, "liberasurecode's fragments have an unexpected size");
    for (unsigned i = 0; e == ERR_OK && i < k + m; i++)
        memcpy(fragments[i], i < k ? data_fragments[i] : parity_fragments[i - k], size);
    liberasurecode_encode_cleanup(peer, data_fragments, parity_fragments);
destroy:
    liberasurecode_instance_destroy(peer);
unlock:
    pthread_mutex_unlock(&peer_lock);
    return e;
}

enum err interop_peer_decode(unsigned k, unsigned m, uint8_t *const fragments[], unsigned count,
                             size_t fragment_size, uint8_t *out, size_t size, struct errmsg *msg)
{
    char *data, *list[INTEROP_SHARDS_MAX];
    uint64_t data_size;
    int peer;
    if (count > INTEROP_SHARDS_MAX || fragment_size > INTEROP_SIZE_MAX)
        return err_say(msg, ERR_USAGE, "liberasurecode cannot take so much");
    for (unsigned i = 0; i < count; i++)
        list[i] = (char *)fragments[i];
    pthread_mutex_lock(&peer_lock);
    enum err e = peer_open(k, m, false, &peer, msg);
    if (e != ERR_OK)
        goto unlock;
    int code = liberasurecode_decode(peer, list, (int)count, fragment_size, 1, &data, &data_size);
    if (code != 0) {
        e = err_say(msg, ERR_NOT_ENOUGH, "liberasurecode cannot decode (error %d)", -code);
        goto destroy;
    }
    if (data_size == size)
        memcpy(out, data, size);
    else
        e = err_say(msg, ERR_INCONSISTENT, "liberasurecode decodes %llu bytes where %zu should be",
                    (unsigned long long)data_size, size);
    liberasurecode_decode_cleanup(peer, data);
destroy:
    liberasurecode_instance_destroy(peer);
unlock:
    pthread_mutex_unlock(&peer_lock);
    return e;
}

#include "compress/compress.h"

#include <assert.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum {
    PIECE_BYTES = 4096,   /* looked at ... */
    STRIDE_BYTES = 65536, /* ... of each so many */
    PROBE_BYTES_MAX = (LIMIT_CHUNK_BYTES / STRIDE_BYTES) * PIECE_BYTES,
    WINDOW_LOG = 22, /* LIMIT_CHUNK_BYTES: the whole chunk, hence one segment a frame */
};
_Static_assert(1U << WINDOW_LOG == LIMIT_CHUNK_BYTES, "the window spans a whole chunk");

struct compressor {
    int level;
    ZSTD_CCtx *pack;   /* owned; NULL until it is needed */
    ZSTD_DCtx *unpack; /* owned; NULL until it is needed */
    uint8_t *probe; /* owned; PROBE_BYTES_MAX of pieces, then as much for what is packed of them */
};

enum err compress_new(int level, struct compressor **out, struct errmsg *msg)
{
    *out = NULL;
    if (level < COMPRESS_LEVEL_OFF || level > COMPRESS_LEVEL_MAX)
        return err_say(msg, ERR_USAGE, "there is no compression level %d; levels are 0 (off) to %d",
                       level, COMPRESS_LEVEL_MAX);
    struct compressor *c = calloc(1, sizeof(*c));
    if (!c)
        return err_say(msg, ERR_NOMEM, "cannot start to compress: out of memory");
    c->level = level;
    *out = c;
    return ERR_OK;
}

void compress_set_level(struct compressor *compressor, int level)
{
    assert(level >= COMPRESS_LEVEL_OFF && level <= COMPRESS_LEVEL_MAX);
    compressor->level = level;
}

void compress_free(struct compressor *compressor)
{
    if (!compressor)
        return;
    (void)ZSTD_freeCCtx(compressor->pack);
    (void)ZSTD_freeDCtx(compressor->unpack);
    free(compressor->probe);
    free(compressor);
}

/* What a chunk must shrink to, to be stored packed. */
static size_t worth(size_t plain_bytes)
{
    return plain_bytes - plain_bytes / 32 - (plain_bytes > 0);
}

static bool prepare_to_pack(struct compressor *c)
{
    if (!c->probe && !(c->probe = malloc(2 * PROBE_BYTES_MAX)))
        return false;
    if (c->pack)
        return true;
    c->pack = ZSTD_createCCtx();
    if (!c->pack)
        return false;
    (void)ZSTD_CCtx_setParameter(c->pack, ZSTD_c_checksumFlag, 0);
    (void)ZSTD_CCtx_setParameter(c->pack, ZSTD_c_contentSizeFlag, 1);
    (void)ZSTD_CCtx_setParameter(c->pack, ZSTD_c_dictIDFlag, 0);
    (void)ZSTD_CCtx_setParameter(c->pack, ZSTD_c_windowLog, WINDOW_LOG);
    return true;
}

/* *out_size = 0 when it does not fit into `room`. */
static enum err pack_at(struct compressor *c, int level, struct slice plain, uint8_t *out,
                        size_t room, size_t *out_size)
{
    (void)ZSTD_CCtx_setParameter(c->pack, ZSTD_c_compressionLevel, level);
    size_t size = ZSTD_compress2(c->pack, out, room, plain.data, plain.size);
    *out_size = 0;
    if (ZSTD_isError(size)) /* what else can fail is an allocation */
        return ZSTD_getErrorCode(size) == ZSTD_error_dstSize_tooSmall ? ERR_OK : ERR_NOMEM;
    *out_size = size;
    return ERR_OK;
}

/* Nearly as many of each byte value as of every other: packed already, or encrypted? The sum of the
   squares is least, size^2 / 256, when all are equally frequent. */
static bool looks_even(struct slice bytes)
{
    uint32_t count[4][256] = {
        {0}}; /* four, so that equal neighbours need not wait for each other */
    for (size_t i = 0; i < bytes.size; i++)
        count[i % 4][bytes.data[i]]++;
    uint64_t squares = 0;
    for (size_t i = 0; i < 256; i++) {
        uint64_t n = (uint64_t)count[0][i] + count[1][i] + count[2][i] + count[3][i];
        squares += n * n;
    }
    return squares * 256 / 5 * 4 < (uint64_t)bytes.size * bytes.size;
}

/* Whether the whole is worth a try, from a sixteenth of it. */
static enum err promising(struct compressor *c, struct slice plain, bool *yes)
{
    *yes = true;
    if (plain.size < STRIDE_BYTES)
        return ERR_OK;
    struct slice pieces = slice_of(c->probe, 0);
    for (size_t at = 0; plain.size - at >= STRIDE_BYTES; at += STRIDE_BYTES) {
        memcpy(c->probe + pieces.size, plain.data + at + (STRIDE_BYTES - PIECE_BYTES) / 2,
               PIECE_BYTES);
        pieces.size += PIECE_BYTES;
    }
    if (!looks_even(pieces))
        return ERR_OK;
    size_t size;
    enum err e = pack_at(c, 1, pieces, c->probe + PROBE_BYTES_MAX, worth(pieces.size), &size);
    *yes = size > 0;
    return e;
}

enum err compress_pack(struct compressor *c, struct slice plain, uint8_t *out,
                       enum compress_form *form, size_t *out_size, struct errmsg *msg)
{
    *form = COMPRESS_RAW;
    *out_size = plain.size;
    if (plain.size > LIMIT_CHUNK_BYTES)
        return err_say(msg, ERR_TOO_LARGE, "cannot compress %zu bytes: a chunk has at most %u",
                       plain.size, LIMIT_CHUNK_BYTES);
    if (c->level == COMPRESS_LEVEL_OFF || worth(plain.size) == 0)
        return ERR_OK;
    bool yes = true;
    size_t size = 0;
    enum err e = prepare_to_pack(c) ? promising(c, plain, &yes) : ERR_NOMEM;
    if (e == ERR_OK && yes)
        e = pack_at(c, c->level, plain, out, worth(plain.size), &size);
    if (e != ERR_OK)
        return err_say(msg, e, "cannot compress a chunk of %zu bytes: out of memory", plain.size);
    if (size > 0) {
        *form = COMPRESS_ZSTD;
        *out_size = size;
    }
    return ERR_OK;
}

/* One frame of today's format over all of `packed` that says it holds `plain_size` bytes. */
static bool frame_is_ours(struct slice packed, size_t plain_size)
{
    return packed.size >= 4 && get_le32(packed.data) == ZSTD_MAGICNUMBER &&
           ZSTD_getFrameContentSize(packed.data, packed.size) == plain_size &&
           ZSTD_getDictID_fromFrame(packed.data, packed.size) == 0 &&
           ZSTD_findFrameCompressedSize(packed.data, packed.size) == packed.size;
}

static enum err unpack_zstd(struct compressor *c, struct slice packed, uint8_t *out,
                            size_t plain_size, struct errmsg *msg)
{
    if (!frame_is_ours(packed, plain_size))
        return err_say(msg, ERR_CORRUPT,
                       "cannot unpack a chunk: these %zu bytes are no frame of %zu plain bytes",
                       packed.size, plain_size);
    if (!c->unpack && !(c->unpack = ZSTD_createDCtx()))
        return err_say(msg, ERR_NOMEM, "cannot unpack a chunk: out of memory");
    size_t size = ZSTD_decompressDCtx(c->unpack, out, plain_size, packed.data, packed.size);
    if (ZSTD_isError(size))
        return err_say(msg, ERR_CORRUPT, "cannot unpack a chunk: it is damaged (%s)",
                       ZSTD_getErrorName(size));
    if (size != plain_size)
        return err_say(msg, ERR_CORRUPT,
                       "cannot unpack a chunk: it holds %zu bytes where %zu are recorded", size,
                       plain_size);
    return ERR_OK;
}

enum err compress_unpack(struct compressor *c, unsigned form, struct slice packed, uint8_t *out,
                         size_t plain_size, struct errmsg *msg)
{
    if (plain_size > LIMIT_CHUNK_BYTES)
        return err_say(msg, ERR_TOO_LARGE, "cannot unpack %zu bytes: a chunk has at most %u",
                       plain_size, LIMIT_CHUNK_BYTES);
    if (form == COMPRESS_ZSTD)
        return unpack_zstd(c, packed, out, plain_size, msg);
    if (form != COMPRESS_RAW)
        return err_say(msg, ERR_VERSION,
                       "cannot unpack a chunk: it has form %u, which a newer program wrote", form);
    if (packed.size != plain_size)
        return err_say(msg, ERR_CORRUPT,
                       "cannot unpack a chunk: it has %zu bytes where %zu are recorded",
                       packed.size, plain_size);
    if (plain_size > 0)
        memcpy(out, packed.data, plain_size);
    return ERR_OK;
}

#include "segment/segment_record.h"

#include "base/cursor.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"
#include "segment/segment_internal.h"

#include <assert.h>
#include <stdlib.h>

void segment_key(const uint8_t data_key[SEGMENT_DATA_KEY_SIZE], unsigned suite,
                 const uint8_t salt[SEGMENT_SALT_SIZE], uint8_t out_key[AEAD_KEY_SIZE],
                 uint8_t out_commitment[SEGMENT_COMMITMENT_SIZE])
{
    uint8_t extra[2 + SEGMENT_SALT_SIZE], both[64];
    extra[0] = SEGMENT_VERSION;
    extra[1] = (uint8_t)suite;
    memcpy(extra + 2, salt, SEGMENT_SALT_SIZE);
    kdf_64(data_key, "cellar/segment", slice_of(extra, sizeof(extra)), both);
    memcpy(out_key, both, AEAD_KEY_SIZE);
    memcpy(out_commitment, both + AEAD_KEY_SIZE, SEGMENT_COMMITMENT_SIZE);
    secret_wipe(both, sizeof(both));
}

void segment_aad(unsigned suite, const uint8_t salt[SEGMENT_SALT_SIZE], uint64_t number,
                 const struct segment_entry *entry, uint32_t plain_bytes,
                 uint8_t out[SEGMENT_AAD_SIZE])
{
    memcpy(out, "cellar/record/v1", 16);
    out[16] = (uint8_t)suite;
    memcpy(out + 17, salt, SEGMENT_SALT_SIZE);
    put_le64(out + 49, number);
    out[57] = entry ? entry->type : 0;
    out[58] = entry ? entry->flags : 0;
    if (entry)
        memcpy(out + 59, entry->id.bytes, ID_SIZE);
    else
        memset(out + 59, 0, ID_SIZE);
    put_le32(out + 91, plain_bytes);
}

void segment_entry_encode(const struct segment_entry *entry, uint8_t out[SEGMENT_ENTRY_SIZE])
{
    memcpy(out, entry->id.bytes, ID_SIZE);
    put_le32(out + 32, entry->offset);
    put_le32(out + 36, entry->sealed_bytes);
    put_le32(out + 40, entry->plain_bytes);
    out[44] = entry->type;
    out[45] = entry->flags;
    put_le16(out + 46, 0);
}

void segment_locator_encode(const struct segment_locator *locator,
                            uint8_t out[SEGMENT_LOCATOR_PLAIN_SIZE])
{
    memset(out, 0, SEGMENT_LOCATOR_PLAIN_SIZE);
    out[0] = (uint8_t)locator->kind;
    put_le32(out + 4, locator->record_count);
    put_le32(out + 8, locator->table_offset);
    put_le32(out + 12, locator->table_sealed_bytes);
}

struct segment_opener {
    struct aead *aead; /* owned */
    unsigned suite;
    uint64_t payload_bytes;
    uint8_t salt[SEGMENT_SALT_SIZE];
};

enum err segment_opener_new(struct segment_opener **out)
{
    struct segment_opener *opener = calloc(1, sizeof(*opener));
    if (!opener)
        return ERR_NOMEM;
    enum err e = aead_new(&opener->aead);
    if (e != ERR_OK) {
        free(opener);
        return e;
    }
    *out = opener;
    return ERR_OK;
}

void segment_opener_free(struct segment_opener *opener)
{
    if (!opener)
        return;
    aead_free(opener->aead);
    free(opener);
}

enum err segment_opener_set(struct segment_opener *opener, const struct segment_header *header,
                            const uint8_t data_key[SEGMENT_DATA_KEY_SIZE])
{
    uint8_t key[AEAD_KEY_SIZE], commitment[SEGMENT_COMMITMENT_SIZE];
    segment_key(data_key, header->suite, header->salt, key, commitment);
    enum err e = ERR_SECRET;
    if (secret_equal(commitment, header->commitment, sizeof(commitment)))
        e = aead_set_key(opener->aead, header->suite, key);
    secret_wipe(key, sizeof(key));
    if (e != ERR_OK)
        return e;
    opener->suite = header->suite;
    opener->payload_bytes = (uint64_t)header->k * header->shard_bytes;
    memcpy(opener->salt, header->salt, SEGMENT_SALT_SIZE);
    return ERR_OK;
}

enum err segment_open_locator(struct segment_opener *opener, struct slice sealed,
                              struct segment_locator *out)
{
    uint8_t aad[SEGMENT_AAD_SIZE], plain[SEGMENT_LOCATOR_PLAIN_SIZE],
        again[SEGMENT_LOCATOR_PLAIN_SIZE];
    if (sealed.size != SEGMENT_LOCATOR_SIZE)
        return ERR_FORMAT;
    segment_aad(opener->suite, opener->salt, SEGMENT_NUMBER_LOCATOR, NULL, sizeof(plain), aad);
    enum err e =
        aead_open(opener->aead, SEGMENT_NUMBER_LOCATOR, slice_of(aad, sizeof(aad)), sealed, plain);
    if (e != ERR_OK)
        return e;
    *out = (struct segment_locator){
        .kind = plain[0],
        .record_count = get_le32(plain + 4),
        .table_offset = get_le32(plain + 8),
        .table_sealed_bytes = get_le32(plain + 12),
    };
    segment_locator_encode(out, again); /* refuses what is set and has no meaning */
    if (memcmp(plain, again, sizeof(plain)) != 0 ||
        (out->kind != SEGMENT_DATA && out->kind != SEGMENT_METADATA) ||
        out->record_count > LIMIT_SEGMENT_RECORDS ||
        out->table_sealed_bytes != out->record_count * SEGMENT_ENTRY_SIZE + AEAD_TAG_SIZE ||
        out->table_offset < SEGMENT_LOCATOR_SIZE ||
        (uint64_t)out->table_offset + out->table_sealed_bytes > opener->payload_bytes)
        return ERR_CORRUPT;
    return ERR_OK;
}

/* What a line says of its record beside its place. */
static enum err check_kind(const struct segment_entry *entry)
{
    const uint32_t stored = entry->sealed_bytes - SEGMENT_RECORD_OVERHEAD;
    if ((entry->flags & ~(SEGMENT_ZSTD | SEGMENT_GROUP)) != 0)
        return ERR_VERSION;
    if (entry->flags & SEGMENT_GROUP)
        return id_is_zero(&entry->id) && entry->plain_bytes == 0 ? ERR_OK : ERR_CORRUPT;
    return (entry->flags & SEGMENT_ZSTD) || stored == entry->plain_bytes ? ERR_OK : ERR_CORRUPT;
}

/* One line; `*at` is where its record must begin. */
static enum err decode_entry(struct cursor *c, uint32_t *at, uint32_t end,
                             struct segment_entry *out)
{
    uint16_t reserved;
    if (cursor_copy(c, out->id.bytes, ID_SIZE) != ERR_OK ||
        cursor_le32(c, &out->offset) != ERR_OK || cursor_le32(c, &out->sealed_bytes) != ERR_OK ||
        cursor_le32(c, &out->plain_bytes) != ERR_OK || cursor_u8(c, &out->type) != ERR_OK ||
        cursor_u8(c, &out->flags) != ERR_OK || cursor_le16(c, &reserved) != ERR_OK)
        return ERR_CORRUPT;
    if (out->offset != *at || out->sealed_bytes < SEGMENT_RECORD_OVERHEAD ||
        out->sealed_bytes > end - *at || out->plain_bytes > LIMIT_CHUNK_BYTES || reserved != 0)
        return ERR_CORRUPT;
    *at += out->sealed_bytes;
    return check_kind(out);
}

enum err segment_open_table(struct segment_opener *opener, const struct segment_locator *locator,
                            struct slice sealed, struct segment_entry *out)
{
    uint8_t aad[SEGMENT_AAD_SIZE];
    if (sealed.size != locator->table_sealed_bytes || sealed.size < AEAD_TAG_SIZE)
        return ERR_FORMAT;
    const size_t size = sealed.size - AEAD_TAG_SIZE;
    uint8_t *plain = malloc(size + 1);
    if (!plain)
        return ERR_NOMEM;
    segment_aad(opener->suite, opener->salt, SEGMENT_NUMBER_TABLE, NULL, (uint32_t)size, aad);
    enum err e =
        aead_open(opener->aead, SEGMENT_NUMBER_TABLE, slice_of(aad, sizeof(aad)), sealed, plain);
    struct cursor c = cursor_over(slice_of(plain, size));
    uint32_t at = SEGMENT_LOCATOR_SIZE;
    for (uint32_t i = 0; e == ERR_OK && i < locator->record_count; i++)
        e = decode_entry(&c, &at, locator->table_offset, &out[i]);
    if (e == ERR_OK && at != locator->table_offset)
        e = ERR_CORRUPT;
    free(plain);
    return e;
}

enum err segment_open_record(struct segment_opener *opener, uint32_t number,
                             const struct segment_entry *entry, struct slice sealed, uint8_t *out)
{
    uint8_t aad[SEGMENT_AAD_SIZE];
    if (sealed.size != entry->sealed_bytes || sealed.size < SEGMENT_RECORD_OVERHEAD)
        return ERR_FORMAT;
    segment_aad(opener->suite, opener->salt, number, entry, entry->plain_bytes, aad);
    return aead_open(opener->aead, number, slice_of(aad, sizeof(aad)), sealed, out);
}

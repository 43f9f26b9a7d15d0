#include "base/id.h"

#include "base/text.h"

enum { ID_CHECK_SIZE = 3 };

static uint32_t crc24(const uint8_t *data, size_t size)
{
    uint32_t crc = 0xB704CE;
    for (size_t i = 0; i < size; i++) {
        crc ^= (uint32_t)data[i] << 16;
        for (int bit = 0; bit < 8; bit++) {
            crc <<= 1;
            if (crc & 0x1000000)
                crc ^= 0x1864CFB;
        }
    }
    return crc;
}

static void append_check(uint8_t raw[ID_SIZE + ID_CHECK_SIZE])
{
    uint32_t crc = crc24(raw, ID_SIZE);
    raw[ID_SIZE] = (uint8_t)(crc >> 16);
    raw[ID_SIZE + 1] = (uint8_t)(crc >> 8);
    raw[ID_SIZE + 2] = (uint8_t)crc;
}

bool id_is_zero(const struct id *id)
{
    static const struct id zero;
    return id_equal(id, &zero);
}

const char *id_format(const struct id *id, char out[ID_TEXT_SIZE])
{
    uint8_t raw[ID_SIZE + ID_CHECK_SIZE];
    memcpy(raw, id->bytes, ID_SIZE);
    append_check(raw);
    text_base32(slice_of(raw, sizeof(raw)), out);
    return out;
}

enum err id_parse(const char *text, size_t size, struct id *out)
{
    uint8_t raw[ID_SIZE + ID_CHECK_SIZE], again[ID_SIZE + ID_CHECK_SIZE];
    size_t raw_size;
    if (size != ID_TEXT_LENGTH)
        return ERR_FORMAT;
    if (text_from_base32(text, size, raw, sizeof(raw), &raw_size) != ERR_OK ||
        raw_size != sizeof(raw))
        return ERR_FORMAT;
    memcpy(again, raw, ID_SIZE);
    append_check(again);
    if (memcmp(raw, again, sizeof(raw)) != 0)
        return ERR_FORMAT;
    memcpy(out->bytes, raw, ID_SIZE);
    return ERR_OK;
}

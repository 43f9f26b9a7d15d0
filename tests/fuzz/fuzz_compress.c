/* compress/: a frame and the length that its record claims. First two bytes: form and length. */
#include "fuzz.h"

#include "compress/compress.h"

enum { HEAD = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD)
        return 0;
    struct compressor *compressor;
    if (compress_new(COMPRESS_LEVEL_DEFAULT, &compressor, NULL) != ERR_OK)
        return 0;
    size_t plain_size = get_le16(data + 1);
    uint8_t *out = malloc(plain_size ? plain_size : 1); /* exactly: a byte more is seen */
    if (out) {
        enum err e = compress_unpack(compressor, data[0], slice_of(data + HEAD, size - HEAD), out,
                                     plain_size, NULL);
        FUZZ_CHECK(e == ERR_OK || e == ERR_CORRUPT || e == ERR_VERSION);
    }
    free(out);
    compress_free(compressor);
    return 0;
}

void fuzz_seeds(fuzz_seed_fn *put, void *user)
{
    static uint8_t plain[3000], packed[HEAD + sizeof(plain)];
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i / 50 * i % 7);
    struct compressor *compressor;
    if (compress_new(COMPRESS_LEVEL_DEFAULT, &compressor, NULL) != ERR_OK)
        return;
    enum compress_form form;
    size_t packed_size = 0;
    if (compress_pack(compressor, slice_of(plain, sizeof(plain)), packed + HEAD, &form,
                      &packed_size, NULL) == ERR_OK) {
        packed[0] = (uint8_t)form;
        put_le16(packed + 1, sizeof(plain));
        put(user, "packed", slice_of(packed, HEAD + packed_size));
        put_le16(packed + 1, sizeof(plain) - 1);
        put(user, "packed-too-long", slice_of(packed, HEAD + packed_size));
    }
    packed[0] = COMPRESS_RAW;
    put_le16(packed + 1, 20);
    put(user, "raw", slice_of(packed, HEAD + 20));
    compress_free(compressor);
}

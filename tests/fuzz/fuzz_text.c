/* base/id and base/text: what is typed or copied by people. The first byte chooses the parser. */
#include "fuzz.h"

#include "base/id.h"
#include "base/text.h"

static void try_id(const char *text, size_t size)
{
    struct id id;
    char again[ID_TEXT_SIZE];
    if (id_parse(text, size, &id) != ERR_OK)
        return;
    FUZZ_CHECK(size == ID_TEXT_LENGTH);
    (void)id_format(&id, again);
    for (size_t i = 0; i < size; i++) /* upper case is read, lower case is written */
        FUZZ_CHECK(again[i] == (text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]));
}

static void try_base32(const char *text, size_t size)
{
    uint8_t bytes[64];
    char again[128];
    size_t got = 0;
    if (text_from_base32(text, size, bytes, sizeof(bytes), &got) != ERR_OK)
        return;
    FUZZ_CHECK(got <= sizeof(bytes) && text_base32_length(got) == size);
    text_base32(slice_of(bytes, got), again);
    for (size_t i = 0; i < size; i++)
        FUZZ_CHECK(again[i] == (text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]));
}

static void try_hex(const char *text, size_t size)
{
    uint8_t bytes[64];
    size_t got = 0;
    if (text_from_hex(text, size, bytes, sizeof(bytes), &got) == ERR_OK)
        FUZZ_CHECK(2 * got == size && got <= sizeof(bytes));
}

static void try_numbers(const char *text)
{
    uint64_t value = 0;
    if (text_parse_u64(text, 1000, &value) == ERR_OK)
        FUZZ_CHECK(value <= 1000);
    if (text_parse_size(text, &value) == ERR_OK) {
        char shown[TEXT_SIZE_SIZE];
        FUZZ_CHECK(strlen(text_size(value, shown)) < sizeof(shown));
    }
    if (text_parse_duration_ms(text, &value) == ERR_OK) {
        char shown[TEXT_DURATION_SIZE];
        FUZZ_CHECK(strlen(text_duration(value / 1000, shown)) < sizeof(shown));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *text = malloc(size);
    if (!text)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    switch (data[0] % 4) {
    case 0:
        try_id(text, size - 1);
        break;
    case 1:
        try_base32(text, size - 1);
        break;
    case 2:
        try_hex(text, size - 1);
        break;
    default:
        try_numbers(text);
    }
    free(text);
    return 0;
}

static void put_text(fuzz_seed_fn *put, void *user, const char *name, char kind, const char *text)
{
    char seed[256];
    int size = snprintf(seed, sizeof(seed), "%c%s", kind, text);
    put(user, name, slice_of(seed, (size_t)size));
}

void fuzz_seeds(fuzz_seed_fn *put, void *user)
{
    struct id id;
    char text[ID_TEXT_SIZE];
    memset(id.bytes, 0x5a, sizeof(id.bytes));
    put_text(put, user, "id", '0', id_format(&id, text));
    put_text(put, user, "base32", '1', "mzxw6ytboi");
    put_text(put, user, "hex", '2', "00ff17aB");
    put_text(put, user, "number", '3', "1000");
    put_text(put, user, "size", '3', "1.5T");
    put_text(put, user, "size-long", '3', "10MiB");
    put_text(put, user, "duration", '3', "500ms");
    put_text(put, user, "duration-year", '3', "1y");
    put_text(put, user, "huge", '3', "18446744073709551615");
    put_text(put, user, "huge-size", '3', "16777215.999P");
}

/* json/: small JSON from pages and local tools. */
#include "fuzz.h"

#include "json/json_value.h"

/* Walks everything; depth is jansson's limit. */
static size_t walk(const struct json_value *value)
{
    size_t count = json_value_count(value), sum = 1;
    if (json_value_kind(value) == JSON_KIND_ARRAY)
        for (size_t i = 0; i < count; i++)
            sum += walk(json_value_at(value, i));
    FUZZ_CHECK(json_value_text(value, "") != NULL);
    FUZZ_CHECK(json_value_at(value, count) == NULL);
    (void)json_value_i64(value, 0);
    (void)json_value_number(value, 0);
    (void)json_value_bool(value, false);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_value *document;
    struct errmsg msg;
    enum err e = json_value_parse(slice_of(data, size), &document, &msg);
    FUZZ_CHECK((e == ERR_OK) == (document != NULL));
    if (e != ERR_OK)
        return 0;
    (void)walk(document);
    (void)walk(json_value_member(document, "a"));
    json_value_free(document);
    return 0;
}

void fuzz_seeds(fuzz_seed_fn *put, void *user)
{
    put(user, "all",
        slice_text("{\"a\": [1, -2.5e3, \"x\\u00e9\\n\", true, null, {}], \"b\": {\"c\": -7}}"));
    put(user, "deep", slice_text("[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]"));
    put(user, "numbers", slice_text("[9223372036854775807, -9223372036854775808, 1e308, 0.1]"));
}

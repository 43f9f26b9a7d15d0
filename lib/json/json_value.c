#include "json/json_value.h"

#include <jansson.h>

/* A struct json_value is a json_t under another name: only this file knows. */
static const json_t *of(const struct json_value *value)
{
    return (const json_t *)(const void *)value;
}

static const struct json_value *as_value(const json_t *value)
{
    return (const struct json_value *)(const void *)value;
}

enum err json_value_parse(struct slice text, struct json_value **out_document, struct errmsg *msg)
{
    *out_document = NULL;
    if (text.size > JSON_VALUE_BYTES_MAX)
        return err_say(msg, ERR_TOO_LARGE,
                       "a JSON text of %zu bytes is larger than the limit of %d", text.size,
                       JSON_VALUE_BYTES_MAX);
    json_error_t error;
    json_t *document = json_loadb(text.size ? (const char *)text.data : "", text.size,
                                  JSON_REJECT_DUPLICATES, &error);
    if (!document)
        return json_error_code(&error) == json_error_out_of_memory
                   ? err_say(msg, ERR_NOMEM, "cannot read JSON: out of memory")
                   : err_say(msg, ERR_FORMAT, "line %d, column %d: %s", error.line, error.column,
                             error.text);
    *out_document = (struct json_value *)(void *)document;
    return ERR_OK;
}

void json_value_free(struct json_value *document)
{
    json_decref((json_t *)(void *)document);
}

enum json_kind json_value_kind(const struct json_value *value)
{
    if (!value)
        return JSON_KIND_NONE;
    switch (json_typeof(of(value))) {
    case JSON_OBJECT:
        return JSON_KIND_OBJECT;
    case JSON_ARRAY:
        return JSON_KIND_ARRAY;
    case JSON_STRING:
        return JSON_KIND_TEXT;
    case JSON_INTEGER:
        return JSON_KIND_INTEGER;
    case JSON_REAL:
        return JSON_KIND_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE:
        return JSON_KIND_BOOL;
    case JSON_NULL:
        return JSON_KIND_NULL;
    }
    return JSON_KIND_NONE;
}

const struct json_value *json_value_member(const struct json_value *object, const char *key)
{
    return object ? as_value(json_object_get(of(object), key)) : NULL;
}

const struct json_value *json_value_at(const struct json_value *array, size_t index)
{
    return array ? as_value(json_array_get(of(array), index)) : NULL;
}

size_t json_value_count(const struct json_value *value)
{
    if (!value)
        return 0;
    return json_is_array(of(value)) ? json_array_size(of(value)) : json_object_size(of(value));
}

const char *json_value_text(const struct json_value *value, const char *fallback)
{
    return value && json_is_string(of(value)) ? json_string_value(of(value)) : fallback;
}

int64_t json_value_i64(const struct json_value *value, int64_t fallback)
{
    return value && json_is_integer(of(value)) ? json_integer_value(of(value)) : fallback;
}

double json_value_number(const struct json_value *value, double fallback)
{
    return value && json_is_number(of(value)) ? json_number_value(of(value)) : fallback;
}

bool json_value_bool(const struct json_value *value, bool fallback)
{
    return value && json_is_boolean(of(value)) ? json_is_true(of(value)) : fallback;
}

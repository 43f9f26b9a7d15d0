/*
 * Reading small JSON: settings of pages, answers of local tools. At most 1 MiB, nesting as jansson
 * allows (2048), duplicate keys refused.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct json_value; /* borrowed from the document, but for the document itself */

enum { JSON_VALUE_BYTES_MAX = 1 << 20 };

/* ERR_FORMAT with line, column and reason; TOO_LARGE. */
MUST_CHECK enum err json_value_parse(struct slice text, struct json_value **out_document,
                                     struct errmsg *msg);
void json_value_free(struct json_value *document); /* NULL does nothing */

enum json_kind {
    JSON_KIND_NONE, /* of NULL: no such member */
    JSON_KIND_NULL,
    JSON_KIND_BOOL,
    JSON_KIND_INTEGER,
    JSON_KIND_NUMBER,
    JSON_KIND_TEXT,
    JSON_KIND_ARRAY,
    JSON_KIND_OBJECT,
};

/* All take NULL, and give NULL, 0, false or the fallback for a value of another kind. */
enum json_kind json_value_kind(const struct json_value *value);
const struct json_value *json_value_member(const struct json_value *object, const char *key);
const struct json_value *json_value_at(const struct json_value *array, size_t index);
size_t json_value_count(const struct json_value *array_or_object);
const char *json_value_text(const struct json_value *value, const char *fallback);
int64_t json_value_i64(const struct json_value *value, int64_t fallback);
double json_value_number(const struct json_value *value, double fallback); /* integers too */
bool json_value_bool(const struct json_value *value, bool fallback);

/* A set of IDs in a document: one CBOR byte string of 32 bytes an ID, ascending, none twice. */
#pragma once

#include "base/id.h"
#include "cbor/cbor_read.h"
#include "cbor/cbor_write.h"

struct id_list {
    struct slice bytes; /* borrowed */
    size_t count;
};

/* `ids` ascending and none twice: else it asserts. */
void id_list_write(struct cbor_writer *w, const struct id *ids, size_t count);
void id_list_read(struct cbor_reader *r, size_t count_max, struct id_list *out);

/* `index` < count. */
void id_list_at(const struct id_list *list, size_t index, struct id *out);

/* Binary search. */
bool id_list_has(const struct id_list *list, const struct id *id);

#include "identity/id_list.h"

#include <assert.h>

void id_list_write(struct cbor_writer *w, const struct id *ids, size_t count)
{
    for (size_t i = 1; i < count; i++)
        assert(id_compare(&ids[i - 1], &ids[i]) < 0);
    cbor_write_bytes(w, slice_of(ids, count * sizeof(*ids)));
}

void id_list_read(struct cbor_reader *r, size_t count_max, struct id_list *out)
{
    out->bytes = cbor_read_bytes(r, count_max * ID_SIZE);
    out->count = out->bytes.size / ID_SIZE;
    bool good = out->bytes.size % ID_SIZE == 0;
    for (size_t at = ID_SIZE; good && at < out->bytes.size; at += ID_SIZE)
        good = memcmp(out->bytes.data + at - ID_SIZE, out->bytes.data + at, ID_SIZE) < 0;
    if (!good) {
        *out = (struct id_list){0};
        cbor_read_refuse(r, ERR_FORMAT);
    }
}

void id_list_at(const struct id_list *list, size_t index, struct id *out)
{
    assert(index < list->count);
    memcpy(out->bytes, list->bytes.data + index * ID_SIZE, ID_SIZE);
}

bool id_list_has(const struct id_list *list, const struct id *id)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(id->bytes, list->bytes.data + middle * ID_SIZE, ID_SIZE);
        if (order == 0)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

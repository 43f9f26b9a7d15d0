#include "wire/wire_list.h"

void wire_list_read(struct cbor_reader *r, size_t count_max, wire_item_fn *item,
                    struct wire_list *out)
{
    struct cbor_reader probe = cbor_read_over(cbor_read_any(r));
    *out = (struct wire_list){0};
    if (r->e != ERR_OK)
        return;
    const size_t count = cbor_read_array(&probe, count_max);
    out->reader = probe;
    for (size_t i = 0; i < count; i++)
        item(&probe, NULL);
    cbor_read_end(&probe);
    const enum err e = cbor_read_finish(&probe, NULL, "a list");
    if (e != ERR_OK)
        cbor_read_refuse(r, e);
    else
        out->count = (uint32_t)count;
}

bool wire_list_next(struct wire_list *list, wire_item_fn *item, void *out)
{
    if (list->taken == list->count)
        return false;
    item(&list->reader, out);
    list->taken++;
    return true;
}

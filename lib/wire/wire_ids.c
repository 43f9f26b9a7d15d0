#include "wire/wire_ids.h"

#include "wire/wire_fields.h"

enum err wire_ids_encode(const struct id *ids, size_t count, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0);
    cbor_write_array(&w);
    for (size_t i = 0; i < count; i++)
        cbor_write_id(&w, &ids[i]);
    cbor_write_end(&w);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_id(struct cbor_reader *r, void *out)
{
    struct id checked;
    cbor_read_id(r, out ? out : &checked);
}

enum err wire_ids_decode(struct slice in, size_t count_max, struct wire_list *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    wire_list_read(&r, count_max, read_id, out);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "a list of segments");
}

bool wire_ids_next(struct wire_list *list, struct id *out)
{
    return wire_list_next(list, read_id, out);
}

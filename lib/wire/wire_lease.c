#include "wire/wire_lease.h"

#include "wire/wire_fields.h"

enum err wire_renewals_encode(const struct wire_renewed *renewed, size_t count, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0);
    cbor_write_array(&w);
    for (size_t i = 0; i < count; i++) {
        cbor_write_map(&w);
        wire_put_optional(&w, 0, renewed[i].doc);
        wire_put_time(&w, 1, renewed[i].received_s);
        wire_put_flag(&w, 2, renewed[i].over);
        cbor_write_end(&w);
    }
    cbor_write_end(&w);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_renewed(struct cbor_reader *r, void *out)
{
    struct wire_renewed renewed;
    cbor_read_map(r);
    renewed.doc = wire_take_optional(r, 0, WIRE_RENEWAL_BYTES);
    renewed.received_s = wire_take_time(r, 1);
    renewed.over = wire_take_flag(r, 2);
    cbor_read_end(r);
    if (out)
        *(struct wire_renewed *)out = renewed;
}

enum err wire_renewals_decode(struct slice in, struct wire_list *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    wire_list_read(&r, WIRE_RENEWALS_MAX, read_renewed, out);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "the answer about renewals");
}

bool wire_renewals_next(struct wire_list *list, struct wire_renewed *out)
{
    return wire_list_next(list, read_renewed, out);
}

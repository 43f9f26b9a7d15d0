#include "wire/wire_device.h"

#include "wire/wire_fields.h"

enum { INVITE_BYTES = 512, REQUEST_BYTES = 1024 };

static void write_ask(struct cbor_writer *w, const struct wire_device_ask *ask)
{
    cbor_write_map(w);
    wire_put_optional(w, 0, ask->invite);
    wire_put_optional(w, 1, ask->request);
    cbor_write_end(w);
}

static void read_ask(struct cbor_reader *r, struct wire_device_ask *out)
{
    cbor_read_map(r);
    out->invite = wire_take_optional(r, 0, INVITE_BYTES);
    out->request = wire_take_optional(r, 1, REQUEST_BYTES);
    cbor_read_end(r);
    if (r->e == ERR_OK && out->invite.size == 0 && out->request.size == 0)
        cbor_read_refuse(r, ERR_FORMAT);
}

enum err wire_device_ask_encode(const struct wire_device_ask *ask, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    write_ask(&w, ask);
    return cbor_write_finish(&w);
}

enum err wire_device_ask_decode(struct slice in, struct wire_device_ask *out)
{
    struct cbor_reader r = cbor_read_over(in);
    read_ask(&r, out);
    return cbor_read_finish(&r, NULL, "a device's question");
}

enum err wire_device_reply_encode(const struct wire_device_reply *reply, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_bytes(&w, 0, reply->manifest);
    cbor_write_key(&w, 1);
    cbor_write_text(&w, reply->redundancy);
    wire_put_flag(&w, 2, reply->waiting);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err wire_device_reply_decode(struct slice in, struct wire_device_reply *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    out->manifest = wire_take_bytes(&r, 0, LIMIT_MANIFEST_BYTES);
    cbor_read_key(&r, 1);
    out->redundancy = cbor_read_text(&r, WIRE_DEVICE_REDUNDANCY_BYTES);
    out->waiting = wire_take_flag(&r, 2);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "the answer to a device");
}

enum err wire_device_requests_encode(const struct wire_device_ask *asks, size_t count,
                                     struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0);
    cbor_write_array(&w);
    for (size_t i = 0; i < count; i++)
        write_ask(&w, &asks[i]);
    cbor_write_end(&w);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_request(struct cbor_reader *r, void *out)
{
    struct wire_device_ask ask;
    read_ask(r, &ask);
    if (r->e == ERR_OK && ask.request.size == 0)
        cbor_read_refuse(r, ERR_FORMAT);
    if (out)
        *(struct wire_device_ask *)out = ask;
}

enum err wire_device_requests_decode(struct slice in, struct wire_list *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    wire_list_read(&r, WIRE_DEVICE_REQUESTS_MAX, read_request, out);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "the devices that wait");
}

bool wire_device_requests_next(struct wire_list *list, struct wire_device_ask *out)
{
    return wire_list_next(list, read_request, out);
}

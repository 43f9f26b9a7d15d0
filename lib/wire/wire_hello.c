#include "wire/wire_hello.h"

#include "wire/wire_fields.h"

enum { VERSION_BYTES = 64, CERTIFICATE_BYTES = 8192 };

enum err wire_hello_encode(const struct wire_hello *hello, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_number(&w, 0, (uint64_t)hello->kind);
    wire_put_bytes(&w, 1, hello->document);
    wire_put_number(&w, 2, hello->list_number);
    wire_put_number(&w, 3, hello->manifest_number);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err wire_hello_decode(struct slice in, struct wire_hello *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    out->kind = (enum wire_peer_kind)wire_take_u32(&r, 0, WIRE_PEER_COORDINATOR);
    out->document = wire_take_bytes(&r, 1, LIMIT_MANIFEST_BYTES);
    out->list_number = wire_take_number(&r, 2);
    out->manifest_number = wire_take_number(&r, 3);
    cbor_read_end(&r);
    if (r.e == ERR_OK && out->kind < WIRE_PEER_DEVICE)
        cbor_read_refuse(&r, ERR_FORMAT);
    return cbor_read_finish(&r, NULL, "a hello");
}

enum err wire_hello_reply_encode(const struct wire_hello_reply *reply, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_number(&w, 0, reply->list_number);
    wire_put_time(&w, 1, reply->time_s);
    wire_put_number(&w, 2, reply->manifest_number);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err wire_hello_reply_decode(struct slice in, struct wire_hello_reply *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    out->list_number = wire_take_number(&r, 0);
    out->time_s = wire_take_time(&r, 1);
    out->manifest_number = wire_take_number(&r, 2);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "the answer to a hello");
}

enum err wire_info_encode(const struct wire_info *info, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_bytes(&w, 0, slice_of(info->swarm_root, sizeof(info->swarm_root)));
    wire_put_number(&w, 1, (uint64_t)info->role);
    cbor_write_key(&w, 2);
    cbor_write_id(&w, &info->id);
    cbor_write_key(&w, 3);
    cbor_write_text(&w, info->version);
    wire_put_optional(&w, 4, info->coordinator);
    wire_put_number(&w, 5, info->list_number);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static bool is_printable(struct slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    return true;
}

enum err wire_info_decode(struct slice in, struct wire_info *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    cbor_read_fixed(&r, out->swarm_root, sizeof(out->swarm_root));
    out->role = (enum wire_role)wire_take_u32(&r, 1, WIRE_ROLE_COORDINATOR);
    cbor_read_key(&r, 2);
    cbor_read_id(&r, &out->id);
    cbor_read_key(&r, 3);
    out->version = cbor_read_text(&r, VERSION_BYTES);
    out->coordinator = wire_take_optional(&r, 4, CERTIFICATE_BYTES);
    out->list_number = wire_take_number(&r, 5);
    cbor_read_end(&r);
    if (r.e == ERR_OK && (out->role < WIRE_ROLE_CELL || !is_printable(out->version)))
        cbor_read_refuse(&r, ERR_FORMAT);
    return cbor_read_finish(&r, NULL, "the answer to info");
}

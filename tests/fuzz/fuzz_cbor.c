/* cbor/: any item, and a decoder of the shape that every message has. */
#include "fuzz.h"

#include "cbor/cbor_read.h"
#include "cbor/cbor_write.h"

struct thing {
    struct id id;
    uint64_t serial;
    int64_t time;
    bool has_name, sure;
    struct slice name, bytes;
    size_t count;
    struct slice addresses[LIMIT_ADDRESSES];
};

static enum err decode(struct slice in, struct thing *out)
{
    struct cbor_reader r = cbor_read_over(in);
    memset(out, 0, sizeof(*out));
    cbor_read_map(&r);
    cbor_read_key(&r, 1), cbor_read_id(&r, &out->id);
    cbor_read_key(&r, 2), out->serial = cbor_read_u64(&r, UINT64_MAX);
    out->has_name = cbor_read_key_optional(&r, 3);
    if (out->has_name)
        out->name = cbor_read_text(&r, LIMIT_NAME_BYTES);
    cbor_read_key(&r, 4);
    out->count = cbor_read_array(&r, LIMIT_ADDRESSES);
    for (size_t i = 0; i < out->count; i++)
        out->addresses[i] = cbor_read_text(&r, LIMIT_ADDRESS_BYTES);
    cbor_read_end(&r);
    cbor_read_key(&r, 5), out->time = cbor_read_i64(&r);
    cbor_read_key(&r, 6), out->sure = cbor_read_bool(&r);
    cbor_read_key(&r, 300), out->bytes = cbor_read_bytes(&r, 100);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "a thing");
}

static enum err encode(const struct thing *in, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 1), cbor_write_id(&w, &in->id);
    cbor_write_key(&w, 2), cbor_write_u64(&w, in->serial);
    if (in->has_name)
        cbor_write_key(&w, 3), cbor_write_text(&w, in->name);
    cbor_write_key(&w, 4), cbor_write_array(&w);
    for (size_t i = 0; i < in->count; i++)
        cbor_write_text(&w, in->addresses[i]);
    cbor_write_end(&w);
    cbor_write_key(&w, 5), cbor_write_i64(&w, in->time);
    cbor_write_key(&w, 6), cbor_write_bool(&w, in->sure);
    cbor_write_key(&w, 300), cbor_write_bytes(&w, in->bytes);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct cbor_reader r = cbor_read_over(in);
    struct slice item = cbor_read_any(&r);
    enum err e = cbor_read_finish(&r, NULL, "anything");
    if (e == ERR_OK)
        FUZZ_CHECK(slice_equal(item, in));
    struct thing thing;
    if (decode(in, &thing) != ERR_OK)
        return 0;
    FUZZ_CHECK(e == ERR_OK);
    struct buf out = BUF_INIT(size + 1);
    FUZZ_CHECK(encode(&thing, &out) == ERR_OK);
    FUZZ_CHECK(slice_equal(buf_slice(&out), in));
    buf_free(&out);
    return 0;
}

void fuzz_seeds(fuzz_seed_fn *put, void *user)
{
    struct thing thing = {.serial = 70000,
                          .time = -1700000000,
                          .has_name = true,
                          .sure = true,
                          .name = slice_text("caf\xc3\xa9"),
                          .bytes = slice_text("0123456789012345678901234567890123456789"),
                          .count = 3,
                          .addresses = {slice_text("a:1"), slice_text(""), slice_text("b:2")}};
    struct buf out = BUF_INIT(4096);
    if (encode(&thing, &out) == ERR_OK)
        put(user, "thing", buf_slice(&out));
    buf_clear(&out);
    thing.has_name = false;
    thing.count = 0;
    thing.serial = UINT64_MAX;
    if (encode(&thing, &out) == ERR_OK)
        put(user, "thing-small", buf_slice(&out));
    buf_free(&out);
    static const uint8_t nested[] = {0x83, 0x81, 0x81, 0x80, 0xa2, 0x01,
                                     0xf6, 0x61, 0x61, 0xf5, 0x38, 0x63};
    static const uint8_t not_shortest[] = {0x18, 0x17};
    static const uint8_t endless[] = {0x9f, 0x01, 0xff};
    static const uint8_t huge[] = {0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    put(user, "nested", slice_of(nested, sizeof(nested)));
    put(user, "not-shortest", slice_of(not_shortest, sizeof(not_shortest)));
    put(user, "endless", slice_of(endless, sizeof(endless)));
    put(user, "huge-count", slice_of(huge, sizeof(huge)));
}

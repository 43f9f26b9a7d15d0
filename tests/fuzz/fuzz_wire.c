/* wire/: every message of both protocols, and paths. The first byte chooses the message. */
#include "fuzz.h"

#include "wire/wire_error.h"
#include "wire/wire_path.h"
#include "wire/wire_shard.h"

#include "wire_examples.h"

static void try_path(struct slice in)
{
    char text[1024], again[WIRE_PATH_SIZE];
    struct wire_path path;
    if (in.size >= sizeof(text))
        return;
    if (in.size)
        memcpy(text, in.data, in.size);
    text[in.size] = 0;
    if (wire_path_parse(text, &path) == ERR_OK)
        FUZZ_CHECK(strcmp(wire_path_format(&path, again), text) == 0);
}

static void try_shard_heads(struct slice in)
{
    uint32_t size = 0;
    if (in.size < WIRE_SHARD_HEAD_SIZE)
        return;
    if (wire_prelude_size(in.data, &size) == ERR_OK)
        FUZZ_CHECK(size > 0 && size <= WIRE_PRELUDE_BYTES);
    if (wire_leaf_path_size(in.data, &size) == ERR_OK)
        FUZZ_CHECK(size % 32 == 0 && size <= WIRE_LEAF_PATH_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice in = slice_of(data + 1, size - 1);
    size_t kind = data[0] % (wire_example_count + 3);
    struct errmsg msg;
    if (kind == wire_example_count)
        try_path(in);
    else if (kind == wire_example_count + 1)
        try_shard_heads(in);
    else if (kind == wire_example_count + 2)
        FUZZ_CHECK(wire_error_take(500, in, NULL, &msg) != ERR_OK);
    else {
        struct buf out = BUF_INIT(size + 64);
        if (wire_examples[kind].again(in, &out) == ERR_OK)
            FUZZ_CHECK(slice_equal(buf_slice(&out), in));
        buf_free(&out);
    }
    return 0;
}

void fuzz_seeds(fuzz_seed_fn *put, void *user)
{
    struct buf out = BUF_INIT(1 << 20);
    for (size_t i = 0; i < wire_example_count; i++) {
        char name[64];
        (void)snprintf(name, sizeof(name), "message-%02zu", i);
        buf_clear(&out);
        if (buf_append_u8(&out, (uint8_t)i) == ERR_OK && wire_examples[i].build(&out) == ERR_OK)
            put(user, name, buf_slice(&out));
    }
    for (int route = 0; route < WIRE_ROUTE_COUNT; route++) {
        char name[64], text[WIRE_PATH_SIZE];
        struct wire_path path = {.route = (enum wire_route)route, .index = 7, .after_index = 11};
        memset(path.id.bytes, 0x11, sizeof(path.id.bytes));
        memset(path.after_segment.bytes, 0x22, sizeof(path.after_segment.bytes));
        path.has_after = path.route == WIRE_ACCOUNT_SHARDS;
        (void)snprintf(name, sizeof(name), "path-%02d", route);
        buf_clear(&out);
        if (buf_append_u8(&out, (uint8_t)wire_example_count) == ERR_OK &&
            buf_append_text(&out, wire_path_format(&path, text)) == ERR_OK)
            put(user, name, buf_slice(&out));
    }
    buf_free(&out);
}

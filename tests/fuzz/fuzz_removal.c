/*
 * identity/: tickets and the documents about removal (the others are in fuzz_identity.c). The first
 * byte chooses; its top bit says that a payload follows, which is signed here.
 */
#include "fuzz.h"

#include "identity_examples.h"

enum { SIGN_IT = 0x80, OUT_MAX = 8 << 20 };

static const char *const names[] = {"ticket",   "tombstone", "condemned", "delete",
                                    "undelete", "drop",      "renewal",   "lift"};
enum { NAME_COUNT = ARRAY_COUNT(names) };

static const struct identity_example *example_of(size_t kind)
{
    for (size_t i = 0; i < identity_example_count; i++)
        if (strcmp(identity_examples[i].name, names[kind]) == 0)
            return &identity_examples[i];
    abort(); /* renamed there, and not here */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct identity_world *w = identity_world();
    if (size == 0)
        return 0;
    size_t kind = (data[0] & 0x7fu) % NAME_COUNT;
    struct slice in = slice_of(data + 1, size - 1);
    struct buf document = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
    if (data[0] & SIGN_IT) {
        FUZZ_CHECK(identity_resign(example_of(kind), in, &document) == ERR_OK);
        in = buf_slice(&document);
    }
    if (example_of(kind)->again(w, in, &out) == ERR_OK)
        FUZZ_CHECK(slice_equal(buf_slice(&out), in));
    buf_free(&document);
    buf_free(&out);
    return 0;
}

static void put_seed(fuzz_seed_fn *put, void *user, const char *name, uint8_t first,
                     struct slice bytes)
{
    struct buf seed = BUF_INIT(OUT_MAX);
    FUZZ_CHECK(buf_append_u8(&seed, first) == ERR_OK);
    FUZZ_CHECK(buf_append(&seed, bytes.data, bytes.size) == ERR_OK);
    put(user, name, buf_slice(&seed));
    buf_free(&seed);
}

void fuzz_seeds(fuzz_seed_fn *put, void *user)
{
    const struct identity_world *w = identity_world();
    struct buf b = BUF_INIT(OUT_MAX);
    char name[64];
    for (uint8_t kind = 0; kind < NAME_COUNT; kind++) {
        buf_clear(&b);
        FUZZ_CHECK(example_of(kind)->build(w, &b) == ERR_OK);
        put_seed(put, user, names[kind], kind, buf_slice(&b));
        (void)snprintf(name, sizeof(name), "%s-payload", names[kind]);
        put_seed(put, user, name, kind | SIGN_IT, identity_payload(buf_slice(&b)));
    }
    buf_free(&b);
}

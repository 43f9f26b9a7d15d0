/* fs/: a pattern, a zero byte, a path. Time must stay proportional, whatever the pattern is. */
#include "fuzz.h"

#include "fs/fs_exclude.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    struct fs_exclude *list;
    struct errmsg msg;
    if (!zero || fs_exclude_new(&list) != ERR_OK)
        return 0;
    struct slice path = slice_of(zero + 1, size - (size_t)(zero + 1 - data));
    bool empty = fs_exclude_empty(list);
    FUZZ_CHECK(empty && !fs_exclude_matches(list, path));
    enum err e = fs_exclude_add(list, (const char *)data, size % 2, &msg);
    FUZZ_CHECK((e == ERR_OK) == !fs_exclude_empty(list));
    if (e == ERR_OK && path.size > 0 && path.data[0] == '/') {
        bool matches = fs_exclude_matches(list, path);
        (void)fs_exclude_may_match_below(list, path);
        /* what lies below a path that matches does too */
        uint8_t *below = malloc(path.size + 2);
        if (below && matches && path.size > 1 && path.data[path.size - 1] != '/') {
            memcpy(below, path.data, path.size);
            memcpy(below + path.size, "/x", 2);
            FUZZ_CHECK(fs_exclude_matches(list, slice_of(below, path.size + 2)));
        }
        free(below);
    }
    fs_exclude_free(list);
    return 0;
}

void fuzz_seeds(fuzz_seed_fn *put, void *user)
{
    static const struct {
        const char *name;
        struct slice bytes;
    } seeds[] = {
#define SEED(name_, text_)                              \
    {                                                   \
        name_,                                          \
        {                                               \
            (const uint8_t *)(text_), sizeof(text_) - 1 \
        }                                               \
    }
        SEED("suffix", "*.o\0/home/x/a.o"),
        SEED("two-names", "cache/tmp\0/home/cache/tmp/y"),
        SEED("rooted", "/home/x/tmp\0/home/x/tmp"),
        SEED("any-depth", "/a/**/b\0/a/c/d/b"),
        SEED("set", "[^a-z]?[\\]x]\0/1\xc3\xa9]"),
        SEED("back", "!keep.o\0/keep.o"),
        SEED("stars", "*a*a*a*a*a*a*a*a*b\0/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
#undef SEED
    };
    for (size_t i = 0; i < ARRAY_COUNT(seeds); i++)
        put(user, seeds[i].name, seeds[i].bytes);
}

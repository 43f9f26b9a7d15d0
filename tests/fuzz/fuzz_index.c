/* index/: the row of a cached directory. What is accepted encodes back to the same bytes. */
#include "fuzz.h"

#include "index/index_cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf body = BUF_INIT(INDEX_DIR_BYTES_MAX), again;
    struct index_dir dir;
    struct index_cached entry;
    if (buf_append(&body, data, size) != ERR_OK)
        return 0;
    enum err e = index_dir_parse(&body, &dir);
    FUZZ_CHECK(e == ERR_OK || e == ERR_FORMAT);
    if (e != ERR_OK)
        return 0;
    e = index_dir_start(&again);
    while (e == ERR_OK && (e = index_dir_next(&dir, &entry)) == ERR_OK)
        e = index_dir_append(&again, &entry);
    FUZZ_CHECK(e == ERR_END || e == ERR_NOMEM);
    if (e == ERR_END) {
        index_dir_set_tree(&again, &dir.tree);
        FUZZ_CHECK(slice_equal(buf_slice(&again), slice_of(data, size)));
    }
    buf_free(&again);
    index_dir_free(&dir);
    return 0;
}

void fuzz_seeds(fuzz_seed_fn *put, void *user)
{
    static const char *const names[] = {"a", "a file with a longer name", "b", "\xff"};
    struct buf row;
    if (index_dir_start(&row) != ERR_OK)
        return;
    put(user, "empty", buf_slice(&row));
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct index_cached entry = {.name = slice_text(names[i]),
                                     .type = (uint8_t)(i + 1),
                                     .size = i << 40,
                                     .mtime_s = -1,
                                     .inode = UINT64_MAX,
                                     .node = slice_text("a node")};
        if (index_dir_append(&row, &entry) != ERR_OK)
            break;
    }
    put(user, "four", buf_slice(&row));
    buf_free(&row);
}

#include "segment/merkle.h"

#include <assert.h>

/* The largest power of two below n; n > 1. */
static size_t left_size(size_t n)
{
    size_t size = 1;
    while (size * 2 < n)
        size *= 2;
    return size;
}

void merkle_root(struct sha256 *h, const struct merkle_hash *leaves, size_t count,
                 struct merkle_hash *out)
{
    assert(count > 0 && count <= MERKLE_LEAVES_MAX);
    if (count == 1) {
        *out = leaves[0];
        return;
    }
    const size_t half = left_size(count);
    struct merkle_hash left, right;
    merkle_root(h, leaves, half, &left);
    merkle_root(h, leaves + half, count - half, &right);
    sha256_node(h, left.bytes, right.bytes, out->bytes);
}

/* The tree of leaves at..at+count-1 with a run in it: is the run outside of it, or all of it? */
static bool outside(size_t at, size_t count, size_t first, size_t run)
{
    return at + count <= first || first + run <= at;
}

static bool inside(size_t at, size_t count, size_t first, size_t run)
{
    return first <= at && at + count <= first + run;
}

static size_t count_in(size_t at, size_t count, size_t first, size_t run)
{
    if (outside(at, count, first, run))
        return 1;
    if (inside(at, count, first, run))
        return 0;
    const size_t half = left_size(count);
    return count_in(at, half, first, run) + count_in(at + half, count - half, first, run);
}

size_t merkle_path_count(size_t count, size_t first, size_t run)
{
    assert(run > 0 && first < count && run <= count - first);
    return count_in(0, count, first, run);
}

struct path_writer {
    struct sha256 *h;
    const struct merkle_hash *leaves;
    size_t first, run;
    struct merkle_hash *next;
};

static void write_path(struct path_writer *w, size_t at, size_t count)
{
    if (outside(at, count, w->first, w->run)) {
        merkle_root(w->h, w->leaves + at, count, w->next++);
    } else if (!inside(at, count, w->first, w->run)) {
        const size_t half = left_size(count);
        write_path(w, at, half);
        write_path(w, at + half, count - half);
    }
}

void merkle_path(struct sha256 *h, const struct merkle_hash *leaves, size_t count, size_t first,
                 size_t run, struct merkle_hash *out)
{
    assert(run > 0 && first < count && run <= count - first);
    struct path_writer w = {.h = h, .leaves = leaves, .first = first, .run = run, .next = out};
    write_path(&w, 0, count);
}

struct path_reader {
    struct sha256 *h;
    const struct merkle_hash *leaves; /* of the run */
    size_t first, run;
    const struct merkle_hash *next;
};

static void read_path(struct path_reader *r, size_t at, size_t count, struct merkle_hash *out)
{
    if (outside(at, count, r->first, r->run)) {
        *out = *r->next++;
    } else if (inside(at, count, r->first, r->run)) {
        merkle_root(r->h, r->leaves + (at - r->first), count, out);
    } else {
        const size_t half = left_size(count);
        struct merkle_hash left, right;
        read_path(r, at, half, &left);
        read_path(r, at + half, count - half, &right);
        sha256_node(r->h, left.bytes, right.bytes, out->bytes);
    }
}

enum err merkle_verify(struct sha256 *h, const struct merkle_hash *root, size_t count, size_t first,
                       size_t run, const struct merkle_hash *leaves, const struct merkle_hash *path,
                       size_t path_count)
{
    if (count == 0 || count > MERKLE_LEAVES_MAX || run == 0 || first >= count ||
        run > count - first)
        return ERR_FORMAT;
    if (path_count != merkle_path_count(count, first, run))
        return ERR_FORMAT;
    struct path_reader r = {.h = h, .leaves = leaves, .first = first, .run = run, .next = path};
    struct merkle_hash top;
    read_path(&r, 0, count, &top);
    return memcmp(top.bytes, root->bytes, SHA256_SIZE) == 0 ? ERR_OK : ERR_CORRUPT;
}

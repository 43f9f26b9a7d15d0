/* snapshot/: every object comes back as it was, has one encoding only, and hostile bytes are
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/hostile.h"
#include "snapshot/snapshot.h"
#include "snapshot/snapshot_catalogue.h"
#include "snapshot/snapshot_entry.h"
#include "snapshot/snapshot_head.h"
#include "snapshot/snapshot_index.h"

#include <stdio.h>
#include <stdlib.h>

static struct id make_id(uint32_t number)
{
    struct id id;
    memset(id.bytes, 0x11, ID_SIZE);
    put_le32(id.bytes, number + 1);
    return id;
}

static struct slice text(const char *t)
{
    return slice_text(t);
}

struct made {
    struct snapshot_entry entry;
    struct buf refs, runs, xattrs;
};

static void make_file(struct made *m)
{
    *m = (struct made){.refs = BUF_INIT(4096), .runs = BUF_INIT(4096), .xattrs = BUF_INIT(4096)};
    struct snapshot_xattr xattrs[2] = {{text("security.x"), text("value")},
                                       {text("user.empty"), {NULL, 0}}};
    for (uint32_t i = 0; i < 3; i++) {
        struct snapshot_ref ref = {.id = make_id(i), .bytes = 1000};
        assert_int_equal(snapshot_ref_append(&m->refs, &ref), ERR_OK);
    }
    assert_int_equal(snapshot_run_append(&m->runs, 4096, 2000), ERR_OK);
    assert_int_equal(snapshot_run_append(&m->runs, 8192, 1000), ERR_OK);
    assert_int_equal(snapshot_xattrs_encode(xattrs, 2, &m->xattrs), ERR_OK);
    m->entry = (struct snapshot_entry){
        .name = text("a \xff name"),
        .type = SNAPSHOT_TYPE_FILE,
        .mode = 04755,
        .uid = 1000,
        .gid = 100,
        .user = text("ann"),
        .size = 10000,
        .mtime_s = -5,
        .mtime_ns = 999999999,
        .ctime_s = 1700000000,
        .inode = 77,
        .device = 9,
        .links = 2,
        .inode_flags = 0x10,
        .xattrs = buf_slice(&m->xattrs),
        .content = {.refs = buf_slice(&m->refs)},
        .sparse = true,
        .runs = buf_slice(&m->runs),
    };
}

static void free_made(struct made *m)
{
    buf_free(&m->refs);
    buf_free(&m->runs);
    buf_free(&m->xattrs);
}

static void assert_slices(struct slice a, struct slice b)
{
    assert_true(slice_equal(a, b));
}

/* What is accepted must be the one encoding of what it says. */
static void entry_refused_or_canonical(void *user, struct slice bytes, const char *how)
{
    struct snapshot_entry entry;
    struct buf again = BUF_INIT(SNAPSHOT_ENTRY_BYTES_MAX);
    (void)user;
    if (snapshot_entry_decode(bytes, &entry, NULL) == ERR_OK) {
        struct snapshot_xattrs walk;
        struct snapshot_xattr xattr;
        snapshot_xattrs_open(&walk, entry.xattrs);
        while (snapshot_xattrs_next(&walk, &xattr))
            assert_true(xattr.name.size > 0);
        assert_int_equal(snapshot_entry_encode(&entry, &again), ERR_OK);
        if (!slice_equal(bytes, buf_slice(&again)))
            fail_msg("not canonical: %s", how);
    }
    buf_free(&again);
}

static void test_an_entry_comes_back_whole(void **state)
{
    (void)state;
    struct made m;
    struct buf bytes = BUF_INIT(SNAPSHOT_ENTRY_BYTES_MAX);
    struct snapshot_entry out;
    make_file(&m);
    assert_int_equal(snapshot_entry_encode(&m.entry, &bytes), ERR_OK);
    assert_int_equal(snapshot_entry_decode(buf_slice(&bytes), &out, NULL), ERR_OK);
    assert_slices(out.name, m.entry.name);
    assert_slices(out.user, m.entry.user);
    assert_slices(out.xattrs, m.entry.xattrs);
    assert_slices(out.content.refs, m.entry.content.refs);
    assert_slices(out.runs, m.entry.runs);
    assert_true(out.type == 1 && out.mode == 04755 && out.uid == 1000 && out.gid == 100);
    assert_true(out.size == 10000 && out.mtime_s == -5 && out.mtime_ns == 999999999);
    assert_true(out.inode == 77 && out.device == 9 && out.links == 2 && out.inode_flags == 0x10);
    assert_true(out.sparse && out.group.size == 0 && out.rdev_major == 0);

    hostile_truncations(buf_slice(&bytes), entry_refused_or_canonical, NULL);
    hostile_flips(buf_slice(&bytes), 0, entry_refused_or_canonical, NULL);
    hostile_extremes(buf_slice(&bytes), 0, entry_refused_or_canonical, NULL);
    hostile_trailing(buf_slice(&bytes), entry_refused_or_canonical, NULL);
    hostile_noise(1, 3000, 200, entry_refused_or_canonical, NULL);
    hostile_mutations(buf_slice(&bytes), 2, 20000, entry_refused_or_canonical, NULL);
    buf_free(&bytes);
    free_made(&m);
}

static void refused(const struct snapshot_entry *entry)
{
    struct buf bytes = BUF_INIT(SNAPSHOT_ENTRY_BYTES_MAX);
    struct snapshot_entry out;
    assert_int_equal(snapshot_entry_encode(entry, &bytes), ERR_OK);
    assert_int_equal(snapshot_entry_decode(buf_slice(&bytes), &out, NULL), ERR_FORMAT);
    buf_free(&bytes);
}

static void test_entries_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct made m;
    make_file(&m);
    struct snapshot_entry e = m.entry;
    e.name = text("../x"), refused(&e);
    e = m.entry, e.name = slice_of("a\0b", 3), refused(&e);
    e = m.entry, e.type = 5, refused(&e);
    e = m.entry, e.type = SNAPSHOT_TYPE_SYMLINK, refused(&e);     /* a link with content */
    e = m.entry, e.sparse = false, refused(&e);                   /* 10000 bytes, refs say 3000 */
    e = m.entry, e.size = 9000, refused(&e);                      /* the last run is beyond it */
    e = m.entry, e.runs = slice_of(m.runs.data, 16), refused(&e); /* runs and refs disagree */
    e = m.entry, e.content.refs.size--, refused(&e);
    e = m.entry, e.mtime_ns = 1000000000, refused(&e);
    free_made(&m);
}

static void test_nodes_are_in_order_and_cut_by_names(void **state)
{
    (void)state;
    struct buf node = BUF_INIT(SNAPSHOT_NODE_BYTES_MAX), bytes = BUF_INIT(SNAPSHOT_ENTRY_BYTES_MAX);
    struct snapshot_entry entry = {.type = 1, .links = 1}, out;
    struct snapshot_node_reader r;
    struct slice own;
    char name[300];
    unsigned cuts = 0, count = 0, read = 0;
    assert_int_equal(snapshot_node_start(&node), ERR_OK);
    for (; cuts == 0; count++) {
        snprintf(name, sizeof(name), "%08u-%0200d", count, 0);
        entry.name = text(name);
        buf_clear(&bytes);
        assert_int_equal(snapshot_entry_encode(&entry, &bytes), ERR_OK);
        assert_int_equal(buf_append(&node, bytes.data, bytes.size), ERR_OK);
        cuts += snapshot_node_full(node.size, entry.name);
    }
    assert_true(node.size >= SNAPSHOT_NODE_CUT_MIN_BYTES);
    assert_true(node.size <= SNAPSHOT_NODE_CUT_MAX_BYTES + 400);
    assert_int_equal(snapshot_node_open(&r, buf_slice(&node)), ERR_OK);
    enum err e;
    while ((e = snapshot_node_next(&r, &out, &own, NULL)) == ERR_OK)
        read++;
    assert_int_equal(e, ERR_END);
    assert_int_equal(read, count);
    assert_slices(own, buf_slice(&bytes)); /* the last one, as it was put in */

    /* the same name again, and a smaller one */
    assert_int_equal(buf_append(&node, bytes.data, bytes.size), ERR_OK);
    assert_int_equal(snapshot_node_open(&r, buf_slice(&node)), ERR_OK);
    while ((e = snapshot_node_next(&r, &out, NULL, NULL)) == ERR_OK)
        ;
    assert_int_equal(e, ERR_FORMAT);
    node.data[0] = 2;
    assert_int_equal(snapshot_node_open(&r, buf_slice(&node)), ERR_VERSION);
    buf_free(&node);
    buf_free(&bytes);
}

/* A store of list chunks by the number in their made-up IDs. */
struct lists {
    struct buf chunks[64];
    uint32_t count;
};

static enum err emit(void *user, struct slice bytes, struct id *out_id)
{
    struct lists *lists = user;
    assert_true(lists->count < 64);
    lists->chunks[lists->count] = BUF_INIT(SNAPSHOT_LIST_BYTES_MAX);
    assert_int_equal(buf_append(&lists->chunks[lists->count], bytes.data, bytes.size), ERR_OK);
    *out_id = make_id(1u << 24 | lists->count++);
    return ERR_OK;
}

/* Reads the refs back through the lists; *next is the number of the next data chunk. */
static void walk(struct lists *lists, unsigned depth, struct slice refs, uint32_t *next)
{
    for (size_t i = 0; i < snapshot_ref_count(refs); i++) {
        const struct snapshot_ref ref = snapshot_ref_at(refs, i);
        const uint32_t number = get_le32(ref.id.bytes) - 1;
        if (depth == 0) {
            assert_int_equal(number, (*next)++);
            continue;
        }
        struct slice inner;
        const struct slice chunk = buf_slice(&lists->chunks[number & 0xffffff]);
        assert_int_equal(snapshot_list_decode(chunk, ref.bytes + 1, &inner), ERR_FORMAT);
        assert_int_equal(snapshot_list_decode(chunk, ref.bytes, &inner), ERR_OK);
        walk(lists, depth - 1, inner, next);
    }
}

static void check_list(uint32_t count, unsigned depth)
{
    struct snapshot_list list;
    struct snapshot_content content;
    static struct lists lists;
    uint32_t next = 0;
    uint64_t bytes;
    lists.count = 0;
    snapshot_list_init(&list, emit, &lists);
    for (uint32_t i = 0; i < count; i++) {
        struct snapshot_ref ref = {.id = make_id(i), .bytes = 10};
        assert_int_equal(snapshot_list_add(&list, &ref), ERR_OK);
    }
    assert_int_equal(snapshot_list_finish(&list, &content), ERR_OK);
    assert_int_equal(content.depth, depth);
    assert_true(snapshot_ref_count(content.refs) <= SNAPSHOT_INLINE_REFS);
    assert_int_equal(snapshot_refs_bytes(content.refs, &bytes), ERR_OK);
    assert_int_equal(bytes, 10u * count);
    walk(&lists, depth, content.refs, &next);
    assert_int_equal(next, count);
    snapshot_list_free(&list);
    for (uint32_t i = 0; i < lists.count; i++)
        buf_free(&lists.chunks[i]);
}

static void test_lists_of_any_length(void **state)
{
    (void)state;
    check_list(0, 0);
    check_list(1, 0);
    check_list(64, 0);
    check_list(65, 1);
    check_list(16383, 1);
    check_list(16384, 1);
    check_list(16385, 1);
    check_list(16384 * 20 + 5, 1);
}

static void test_a_cut_list_refuses_foreign_bytes(void **state)
{
    (void)state;
    const uint8_t bad[2][41] = {{1}, {2}};
    struct slice refs;
    assert_int_equal(snapshot_list_decode(slice_of(bad[0], 0), 0, &refs), ERR_FORMAT);
    assert_int_equal(snapshot_list_decode(slice_of(bad[0], 1), 0, &refs), ERR_FORMAT);
    assert_int_equal(snapshot_list_decode(slice_of(bad[0], 40), 0, &refs), ERR_FORMAT);
    assert_int_equal(snapshot_list_decode(slice_of(bad[1], 41), 0, &refs), ERR_VERSION);
    assert_int_equal(snapshot_list_decode(slice_of(bad[0], 41), 0, &refs), ERR_OK);
}

static void snapshot_refused_or_canonical(void *user, struct slice bytes, const char *how)
{
    struct snapshot s;
    struct buf again = BUF_INIT(SNAPSHOT_BYTES_MAX);
    (void)user;
    if (snapshot_decode(bytes, &s, NULL) == ERR_OK) {
        assert_int_equal(snapshot_encode(&s, &again), ERR_OK);
        if (!slice_equal(bytes, buf_slice(&again)))
            fail_msg("not canonical: %s", how);
    }
    snapshot_free(&s);
    buf_free(&again);
}

static void test_a_snapshot_comes_back_whole(void **state)
{
    (void)state;
    const struct slice paths[2] = {text("/home/ann"), text("/srv")}, tags[1] = {text("t")};
    const struct snapshot in = {.time_ns = -1,
                                .host = text("box"),
                                .user = text("ann"),
                                .uid = 1000,
                                .paths = paths,
                                .path_count = 2,
                                .tags = tags,
                                .tag_count = 1,
                                .root = text("an entry"),
                                .program = text("cellctl 0.1.0"),
                                .parent = make_id(5),
                                .totals = {.files = 1, .bytes = UINT64_MAX}};
    struct buf bytes = BUF_INIT(SNAPSHOT_BYTES_MAX);
    struct snapshot out;
    assert_int_equal(snapshot_encode(&in, &bytes), ERR_OK);
    assert_int_equal(snapshot_decode(buf_slice(&bytes), &out, NULL), ERR_OK);
    assert_true(out.path_count == 2 && out.tag_count == 1 && out.exclude_count == 0);
    assert_slices(out.paths[1], paths[1]);
    assert_slices(out.tags[0], tags[0]);
    assert_true(out.time_ns == -1 && out.totals.bytes == UINT64_MAX &&
                id_equal(&out.parent, &in.parent));
    snapshot_free(&out);
    hostile_truncations(buf_slice(&bytes), snapshot_refused_or_canonical, NULL);
    hostile_flips(buf_slice(&bytes), 0, snapshot_refused_or_canonical, NULL);
    hostile_mutations(buf_slice(&bytes), 3, 20000, snapshot_refused_or_canonical, NULL);
    buf_free(&bytes);
}

/* One with other tags: what it was made from, and a number that makes it another one each time. */
static void test_a_changed_snapshot_tells_what_it_was(void **state)
{
    (void)state;
    struct snapshot in = {.host = text("box"), .original = make_id(6), .revision = 1}, out;
    struct buf first = BUF_INIT(SNAPSHOT_BYTES_MAX), second = BUF_INIT(SNAPSHOT_BYTES_MAX);
    assert_int_equal(snapshot_encode(&in, &first), ERR_OK);
    assert_int_equal(snapshot_decode(buf_slice(&first), &out, NULL), ERR_OK);
    assert_true(out.revision == 1 && id_equal(&out.original, &in.original));
    snapshot_free(&out);
    in.revision = 2;
    assert_int_equal(snapshot_encode(&in, &second), ERR_OK);
    assert_false(slice_equal(buf_slice(&first), buf_slice(&second)));
    hostile_truncations(buf_slice(&first), snapshot_refused_or_canonical, NULL);
    hostile_flips(buf_slice(&first), 0, snapshot_refused_or_canonical, NULL);
    /* revision 0 is written by leaving both out */
    first.data[first.size - 2] = 0;
    assert_int_equal(snapshot_decode(buf_slice(&first), &out, NULL), ERR_FORMAT);
    snapshot_free(&out);
    buf_free(&first);
    buf_free(&second);
}

static void try_index(void *user, struct slice bytes, const char *how)
{
    struct snapshot_index_reader r;
    struct snapshot_segment s;
    struct snapshot_chunk chunk;
    (void)user, (void)how;
    if (snapshot_index_open(&r, bytes, NULL) != ERR_OK)
        return;
    while (snapshot_index_next(&r, &s, NULL) == ERR_OK) {
        for (size_t i = 0; i < s.holders.size / 2; i++)
            (void)snapshot_cells_at(r.table, s.holders, i).bytes[31];
        for (size_t i = 0; i < s.chunks.size / SNAPSHOT_CHUNK_SIZE; i++)
            snapshot_chunk_at(s.chunks, i, &chunk);
    }
}

static void test_an_index_object_comes_back_whole(void **state)
{
    (void)state;
    struct snapshot_index index;
    struct buf chunks = BUF_INIT(1 << 20), bytes = BUF_INIT(SNAPSHOT_INDEX_BYTES_MAX);
    const struct snapshot_chunk chunk = {.id = make_id(1),
                                         .type = 1,
                                         .flags = 1,
                                         .offset = 64,
                                         .sealed_bytes = 100,
                                         .plain_bytes = 300,
                                         .record = 70000};
    const struct id shards[3] = {make_id(7), {{0}}, make_id(8)};
    struct snapshot_segment in = {.kind = 1, .header = text("header"), .record = text("record")},
                            out;
    struct snapshot_index_reader r;
    struct snapshot_chunk back;
    snapshot_index_init(&index);
    assert_int_equal(snapshot_chunk_append(&chunks, &chunk), ERR_OK);
    in.chunks = buf_slice(&chunks);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(snapshot_index_add(&index, &in, shards, 3), ERR_OK);
        assert_int_equal(snapshot_index_add(&index, &in, shards + 2, 1), ERR_OK);
        assert_true(snapshot_index_size(&index) > 100);
        buf_clear(&bytes);
        assert_int_equal(snapshot_index_finish(&index, &bytes), ERR_OK);
        assert_int_equal(snapshot_index_open(&r, buf_slice(&bytes), NULL), ERR_OK);
        assert_int_equal(r.table.size, 64);
        assert_int_equal(snapshot_index_next(&r, &out, NULL), ERR_OK);
        assert_slices(out.header, in.header);
        assert_slices(out.record, in.record);
        for (size_t i = 0; i < 3; i++) {
            const struct id cell = snapshot_cells_at(r.table, out.holders, i);
            assert_true(id_equal(&cell, &shards[i]));
        }
        snapshot_chunk_at(out.chunks, 0, &back);
        assert_true(id_equal(&back.id, &chunk.id) && back.offset == 64 &&
                    back.sealed_bytes == 100 && back.plain_bytes == 300 && back.flags == 1 &&
                    back.record == 70000);
        assert_int_equal(snapshot_index_next(&r, &out, NULL), ERR_OK);
        assert_int_equal(snapshot_index_next(&r, &out, NULL), ERR_END);
    }
    hostile_truncations(buf_slice(&bytes), try_index, NULL);
    hostile_flips(buf_slice(&bytes), 0, try_index, NULL);
    hostile_mutations(buf_slice(&bytes), 4, 20000, try_index, NULL);
    snapshot_index_free(&index);
    buf_free(&chunks);
    buf_free(&bytes);
}

/* An object that is not ended yet takes the largest segment that there is, and can be read. */
static void test_the_largest_segment_fits_behind_others(void **state)
{
    (void)state;
    static uint8_t header[SNAPSHOT_HEADER_BYTES_MAX], record[SNAPSHOT_RECORD_BYTES_MAX];
    struct snapshot_index index;
    struct snapshot_index_reader r;
    struct id shards[LIMIT_SHARDS];
    struct snapshot_segment in = {.kind = 1,
                                  .header = slice_of(header, sizeof(header)),
                                  .record = slice_of(record, sizeof(record))},
                            out;
    struct buf chunks = BUF_INIT(SNAPSHOT_INDEX_BYTES_MAX),
               bytes = BUF_INIT(2 * SNAPSHOT_INDEX_BYTES_MAX);
    unsigned cell = 0;
    snapshot_index_init(&index);
    assert_int_equal(buf_append_zeros(&chunks, 1000 * SNAPSHOT_CHUNK_SIZE), ERR_OK);
    for (bool full = false; !full;) {
        for (unsigned i = 0; i < LIMIT_SHARDS; i++)
            shards[i] = make_id((uint8_t)(1 + cell++ % 200));
        in.chunks = buf_slice(&chunks);
        full = snapshot_index_size(&index) + chunks.size + sizeof(header) + sizeof(record) + 1000 >=
               SNAPSHOT_INDEX_BYTES;
        assert_int_equal(snapshot_index_add(&index, &in, shards, LIMIT_SHARDS), ERR_OK);
    }
    const size_t before = snapshot_index_size(&index);
    assert_true(before > SNAPSHOT_INDEX_BYTES * 9 / 10);
    buf_clear(&chunks);
    assert_int_equal(buf_append_zeros(&chunks, (size_t)LIMIT_SEGMENT_RECORDS * SNAPSHOT_CHUNK_SIZE),
                     ERR_OK);
    in.chunks = buf_slice(&chunks);
    assert_int_equal(snapshot_index_add(&index, &in, shards, LIMIT_SHARDS), ERR_OK);
    const size_t count = index.count;
    assert_int_equal(snapshot_index_finish(&index, &bytes), ERR_OK);
    assert_true(bytes.size <= SNAPSHOT_INDEX_BYTES_MAX);
    assert_int_equal(snapshot_index_open(&r, buf_slice(&bytes), NULL), ERR_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(snapshot_index_next(&r, &out, NULL), ERR_OK);
    assert_int_equal(out.chunks.size, chunks.size);
    assert_int_equal(snapshot_index_next(&r, &out, NULL), ERR_END);
    snapshot_index_free(&index);
    buf_free(&chunks);
    buf_free(&bytes);
}

static void try_catalogue(void *user, struct slice bytes, const char *how)
{
    struct snapshot_catalogue_reader r;
    struct snapshot_object object;
    struct id segment;
    struct slice holders;
    (void)user, (void)how;
    if (snapshot_catalogue_open(&r, bytes, NULL) != ERR_OK)
        return;
    while (snapshot_catalogue_next_segment(&r, &segment, &holders) == ERR_OK)
        for (size_t i = 0; i < holders.size / 2; i++)
            (void)snapshot_cells_at(r.table, holders, i).bytes[31];
    for (size_t i = 0; i < snapshot_catalogue_count(&r); i++)
        snapshot_catalogue_at(&r, i, &object);
}

static void test_a_catalogue_comes_back_whole(void **state)
{
    (void)state;
    struct snapshot_catalogue catalogue;
    struct buf bytes = BUF_INIT(SNAPSHOT_CATALOGUE_BYTES_MAX);
    const struct id shards[2] = {make_id(1), make_id(2)}, name = make_id(3);
    struct snapshot_object object = {.chunk = make_id(4),
                                     .record = 5,
                                     .offset = 6,
                                     .sealed_bytes = 7,
                                     .plain_bytes = 8,
                                     .type = 4,
                                     .flags = 1,
                                     .time_ns = -9},
                           back;
    struct snapshot_catalogue_reader r;
    struct id segment;
    struct slice holders;
    snapshot_catalogue_init(&catalogue);
    assert_int_equal(snapshot_catalogue_segment(&catalogue, &name, shards, 2, &object.segment),
                     ERR_OK);
    assert_int_equal(object.segment, 0);
    assert_int_equal(snapshot_catalogue_object(&catalogue, &object), ERR_OK);
    assert_int_equal(snapshot_catalogue_finish(&catalogue, &bytes), ERR_OK);
    assert_int_equal(snapshot_catalogue_open(&r, buf_slice(&bytes), NULL), ERR_OK);
    assert_int_equal(snapshot_catalogue_count(&r), 1);
    snapshot_catalogue_at(&r, 0, &back);
    assert_memory_equal(&back.chunk, &object.chunk, 32);
    assert_true(back.record == 5 && back.offset == 6 && back.sealed_bytes == 7 &&
                back.plain_bytes == 8 && back.time_ns == -9 && back.type == 4 && back.flags == 1);
    assert_int_equal(snapshot_catalogue_next_segment(&r, &segment, &holders), ERR_OK);
    assert_true(id_equal(&segment, &name) && holders.size == 4);
    assert_int_equal(snapshot_catalogue_next_segment(&r, &segment, &holders), ERR_END);
    /* an object that names a segment which is not there */
    object.segment = 1;
    assert_int_equal(snapshot_catalogue_object(&catalogue, &object), ERR_OK);
    struct buf wrong = BUF_INIT(SNAPSHOT_CATALOGUE_BYTES_MAX);
    assert_int_equal(snapshot_catalogue_finish(&catalogue, &wrong), ERR_OK);
    assert_int_equal(snapshot_catalogue_open(&r, buf_slice(&wrong), NULL), ERR_FORMAT);
    hostile_truncations(buf_slice(&bytes), try_catalogue, NULL);
    hostile_flips(buf_slice(&bytes), 0, try_catalogue, NULL);
    hostile_mutations(buf_slice(&bytes), 5, 20000, try_catalogue, NULL);
    snapshot_catalogue_free(&catalogue);
    buf_free(&bytes);
    buf_free(&wrong);
}

static void head_refused_or_canonical(void *user, struct slice bytes, const char *how)
{
    struct snapshot_head head;
    struct buf again = BUF_INIT(SNAPSHOT_HEAD_BYTES_MAX);
    (void)user;
    if (snapshot_head_decode(bytes, &head, NULL) == ERR_OK) {
        assert_int_equal(snapshot_head_encode(&head, &again), ERR_OK);
        if (!slice_equal(bytes, buf_slice(&again)))
            fail_msg("not canonical: %s", how);
    }
    buf_free(&again);
}

static void test_a_head_s_contents_come_back_whole(void **state)
{
    (void)state;
    const uint8_t cells[64] = {1};
    const struct snapshot_head in = {.chunk = make_id(1),
                                     .header = text("header"),
                                     .cells = slice_of(cells, 64),
                                     .record = 1,
                                     .offset = 64,
                                     .sealed_bytes = 10,
                                     .plain_bytes = 20,
                                     .flags = 1};
    struct buf bytes = BUF_INIT(SNAPSHOT_HEAD_BYTES_MAX);
    struct snapshot_head out;
    assert_int_equal(snapshot_head_encode(&in, &bytes), ERR_OK);
    assert_int_equal(snapshot_head_decode(buf_slice(&bytes), &out, NULL), ERR_OK);
    assert_slices(out.header, in.header);
    assert_slices(out.cells, in.cells);
    assert_true(out.offset == 64 && out.plain_bytes == 20);
    hostile_truncations(buf_slice(&bytes), head_refused_or_canonical, NULL);
    hostile_flips(buf_slice(&bytes), 0, head_refused_or_canonical, NULL);
    hostile_mutations(buf_slice(&bytes), 6, 10000, head_refused_or_canonical, NULL);
    buf_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_entry_comes_back_whole),
        cmocka_unit_test(test_entries_that_make_no_sense_are_refused),
        cmocka_unit_test(test_nodes_are_in_order_and_cut_by_names),
        cmocka_unit_test(test_lists_of_any_length),
        cmocka_unit_test(test_a_cut_list_refuses_foreign_bytes),
        cmocka_unit_test(test_a_snapshot_comes_back_whole),
        cmocka_unit_test(test_a_changed_snapshot_tells_what_it_was),
        cmocka_unit_test(test_an_index_object_comes_back_whole),
        cmocka_unit_test(test_the_largest_segment_fits_behind_others),
        cmocka_unit_test(test_a_catalogue_comes_back_whole),
        cmocka_unit_test(test_a_head_s_contents_come_back_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

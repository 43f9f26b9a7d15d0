/* snapshot/: what a chunk of metadata may hold once it is decrypted. The first byte chooses. */
#include "fuzz.h"

#include "snapshot/snapshot.h"
#include "snapshot/snapshot_catalogue.h"
#include "snapshot/snapshot_entry.h"
#include "snapshot/snapshot_head.h"
#include "snapshot/snapshot_index.h"

static void check_entry(const struct snapshot_entry *entry, struct slice bytes)
{
    struct buf again = BUF_INIT(SNAPSHOT_ENTRY_BYTES_MAX);
    FUZZ_CHECK(memchr(entry->name.size ? entry->name.data : (const uint8_t *)"", '/',
                      entry->name.size) == NULL);
    FUZZ_CHECK(snapshot_entry_encode(entry, &again) == ERR_OK);
    FUZZ_CHECK(slice_equal(buf_slice(&again), bytes)); /* one encoding of each */
    buf_free(&again);
    struct snapshot_xattrs xattrs;
    struct snapshot_xattr xattr;
    size_t count = 0;
    snapshot_xattrs_open(&xattrs, entry->xattrs);
    while (snapshot_xattrs_next(&xattrs, &xattr))
        FUZZ_CHECK(++count <= SNAPSHOT_XATTRS_MAX);
    uint64_t sum = 0;
    (void)!snapshot_refs_bytes(entry->content.refs, &sum);
}

static void try_node(struct slice in)
{
    struct snapshot_node_reader reader;
    struct snapshot_entry entry;
    struct slice bytes;
    struct errmsg msg;
    enum err e = snapshot_node_open(&reader, in);
    if (e != ERR_OK)
        return;
    size_t count = 0;
    while ((e = snapshot_node_next(&reader, &entry, &bytes, &msg)) == ERR_OK) {
        FUZZ_CHECK(++count <= in.size);
        check_entry(&entry, bytes);
    }
    FUZZ_CHECK(e != ERR_NOMEM);
}

static void try_entry(struct slice in)
{
    struct snapshot_entry entry;
    struct errmsg msg;
    if (snapshot_entry_decode(in, &entry, &msg) == ERR_OK)
        check_entry(&entry, in);
}

static void try_snapshot(struct slice in)
{
    struct snapshot snapshot;
    struct errmsg msg;
    struct buf again = BUF_INIT(SNAPSHOT_BYTES_MAX);
    if (snapshot_decode(in, &snapshot, &msg) == ERR_OK) {
        FUZZ_CHECK(snapshot_encode(&snapshot, &again) == ERR_OK);
        FUZZ_CHECK(slice_equal(buf_slice(&again), in));
    }
    snapshot_free(&snapshot);
    buf_free(&again);
}

static void try_head(struct slice in)
{
    struct snapshot_head head;
    struct errmsg msg;
    struct buf again = BUF_INIT(SNAPSHOT_HEAD_BYTES_MAX);
    if (snapshot_head_decode(in, &head, &msg) == ERR_OK) {
        FUZZ_CHECK(snapshot_head_encode(&head, &again) == ERR_OK);
        FUZZ_CHECK(slice_equal(buf_slice(&again), in));
    }
    buf_free(&again);
}

static void check_holders(struct slice table, struct slice holders)
{
    for (size_t i = 0; i < holders.size / 2; i++)
        (void)snapshot_cells_at(table, holders, i);
}

static void try_index(struct slice in)
{
    struct snapshot_index_reader reader;
    struct snapshot_segment segment;
    struct errmsg msg;
    if (snapshot_index_open(&reader, in, &msg) != ERR_OK)
        return;
    size_t count = 0;
    while (snapshot_index_next(&reader, &segment, &msg) == ERR_OK) {
        struct snapshot_chunk chunk;
        FUZZ_CHECK(++count <= in.size);
        check_holders(reader.table, segment.holders);
        for (size_t i = 0; i < segment.chunks.size / SNAPSHOT_CHUNK_SIZE; i++)
            snapshot_chunk_at(segment.chunks, i, &chunk);
    }
}

static void try_catalogue(struct slice in)
{
    struct snapshot_catalogue_reader reader;
    struct snapshot_object object;
    struct errmsg msg;
    struct id segment;
    struct slice holders;
    if (snapshot_catalogue_open(&reader, in, &msg) != ERR_OK)
        return;
    size_t count = 0;
    while (snapshot_catalogue_next_segment(&reader, &segment, &holders) == ERR_OK) {
        FUZZ_CHECK(++count <= reader.segment_count);
        check_holders(reader.table, holders);
    }
    for (size_t i = 0; i < snapshot_catalogue_count(&reader); i++) {
        snapshot_catalogue_at(&reader, i, &object);
        FUZZ_CHECK(object.segment < reader.segment_count);
    }
}

static void try_list(struct slice in)
{
    struct slice refs;
    uint64_t bytes = 0, data = 0;
    if (in.size > 8 && snapshot_list_decode(slice_of(in.data + 8, in.size - 8), get_le64(in.data),
                                            &refs) == ERR_OK)
        FUZZ_CHECK(snapshot_refs_bytes(refs, &bytes) == ERR_OK && bytes == get_le64(in.data));
    if (snapshot_runs_check(in, UINT64_MAX, &data) == ERR_OK)
        for (size_t i = 0; i < in.size / SNAPSHOT_RUN_SIZE; i++) {
            uint64_t offset, size;
            snapshot_run_at(in, i, &offset, &size);
            FUZZ_CHECK(size <= data && offset <= UINT64_MAX - size);
        }
}

static void (*const kinds[])(struct slice in) = {try_node,  try_entry,     try_snapshot, try_head,
                                                 try_index, try_catalogue, try_list};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0)
        kinds[data[0] % ARRAY_COUNT(kinds)](slice_of(data + 1, size - 1));
    return 0;
}

/* --- seeds --- */

static void put_kind(fuzz_seed_fn *put, void *user, const char *name, uint8_t kind,
                     struct buf *bytes)
{
    struct buf seed = BUF_INIT(1 << 20);
    FUZZ_CHECK(buf_append_u8(&seed, kind) == ERR_OK);
    FUZZ_CHECK(buf_append(&seed, bytes->data, bytes->size) == ERR_OK);
    put(user, name, buf_slice(&seed));
    buf_free(&seed);
    buf_clear(bytes);
}

static struct id id_like(int byte)
{
    struct id id;
    memset(id.bytes, byte, sizeof(id.bytes));
    return id;
}

static void put_entries(fuzz_seed_fn *put, void *user, struct buf *b)
{
    struct buf refs = BUF_INIT(4096), runs = BUF_INIT(4096), xattrs = BUF_INIT(4096);
    struct buf node = BUF_INIT(1 << 20);
    struct snapshot_ref ref = {.id = id_like(1), .bytes = 5000};
    static const struct snapshot_xattr list[] = {
        {{(const uint8_t *)"user.a", 6}, {(const uint8_t *)"1", 1}},
        {{(const uint8_t *)"user.b", 6}, {NULL, 0}}};
    FUZZ_CHECK(snapshot_ref_append(&refs, &ref) == ERR_OK);
    FUZZ_CHECK(snapshot_run_append(&runs, 4096, 5000) == ERR_OK);
    FUZZ_CHECK(snapshot_xattrs_encode(list, 2, &xattrs) == ERR_OK);
    FUZZ_CHECK(snapshot_node_start(&node) == ERR_OK);
    struct snapshot_entry file = {.name = slice_text("holes"),
                                  .type = SNAPSHOT_TYPE_FILE,
                                  .mode = 0644,
                                  .uid = 1000,
                                  .gid = 1000,
                                  .user = slice_text("u"),
                                  .group = slice_text("g"),
                                  .size = 100000,
                                  .mtime_s = 1700000000,
                                  .ctime_s = -1,
                                  .mtime_ns = 999999999,
                                  .inode = 77,
                                  .device = 5,
                                  .links = 2,
                                  .xattrs = buf_slice(&xattrs),
                                  .content = {.refs = buf_slice(&refs)},
                                  .sparse = true,
                                  .runs = buf_slice(&runs)};
    struct snapshot_entry link = {.name = slice_text("link"),
                                  .type = SNAPSHOT_TYPE_SYMLINK,
                                  .mode = 0777,
                                  .size = 6,
                                  .links = 1,
                                  .target = slice_text("target")};
    const struct snapshot_entry *both[] = {&file, &link};
    for (size_t i = 0; i < 2; i++) {
        FUZZ_CHECK(snapshot_entry_encode(both[i], b) == ERR_OK);
        FUZZ_CHECK(buf_append(&node, b->data, b->size) == ERR_OK);
        put_kind(put, user, i ? "entry-link" : "entry-file", 1, b);
    }
    put_kind(put, user, "node", 0, &node);
    put_kind(put, user, "runs", 6, &runs);
    buf_free(&node);
    buf_free(&xattrs);
    buf_free(&runs);
    buf_free(&refs);
}

static void put_objects(fuzz_seed_fn *put, void *user, struct buf *b)
{
    static uint8_t header[120 + 3 * 32];
    struct id shards[3] = {id_like(1), {{0}}, id_like(2)}, segment_id = id_like(9);
    struct buf chunks = BUF_INIT(4096);
    struct snapshot_chunk chunk = {.id = id_like(4),
                                   .type = 1,
                                   .offset = 64,
                                   .sealed_bytes = 1016,
                                   .plain_bytes = 1000,
                                   .record = 3};
    FUZZ_CHECK(snapshot_chunk_append(&chunks, &chunk) == ERR_OK);
    struct snapshot_segment segment = {.kind = 1,
                                       .header = slice_of(header, sizeof(header)),
                                       .record = slice_text("a record"),
                                       .chunks = buf_slice(&chunks)};
    struct snapshot_index index;
    snapshot_index_init(&index);
    FUZZ_CHECK(snapshot_index_add(&index, &segment, shards, 3) == ERR_OK);
    FUZZ_CHECK(snapshot_index_finish(&index, b) == ERR_OK);
    snapshot_index_free(&index);
    put_kind(put, user, "index", 4, b);

    struct snapshot_catalogue catalogue;
    snapshot_catalogue_init(&catalogue);
    struct snapshot_object object = {
        .chunk = id_like(5), .sealed_bytes = 500, .plain_bytes = 484, .type = 4, .time_ns = 1};
    FUZZ_CHECK(snapshot_catalogue_segment(&catalogue, &segment_id, shards, 3, &object.segment) ==
               ERR_OK);
    FUZZ_CHECK(snapshot_catalogue_object(&catalogue, &object) == ERR_OK);
    FUZZ_CHECK(snapshot_catalogue_finish(&catalogue, b) == ERR_OK);
    snapshot_catalogue_free(&catalogue);
    put_kind(put, user, "catalogue", 5, b);

    struct snapshot_head head = {.chunk = id_like(6),
                                 .header = slice_of(header, sizeof(header)),
                                 .cells = slice_of(shards, sizeof(shards)),
                                 .offset = 64,
                                 .sealed_bytes = 300,
                                 .plain_bytes = 284};
    FUZZ_CHECK(snapshot_head_encode(&head, b) == ERR_OK);
    put_kind(put, user, "head", 3, b);
    buf_free(&chunks);
}

void fuzz_seeds(fuzz_seed_fn *put, void *user)
{
    struct buf b = BUF_INIT(1 << 20), root = BUF_INIT(4096);
    put_entries(put, user, &b);
    put_objects(put, user, &b);
    struct snapshot_entry slash = {.type = SNAPSHOT_TYPE_DIRECTORY, .mode = 0755, .links = 1};
    struct slice paths[] = {slice_text("/home"), slice_text("/srv")}, tags[] = {slice_text("t")};
    FUZZ_CHECK(snapshot_entry_encode(&slash, &root) == ERR_OK);
    struct snapshot snapshot = {.time_ns = 1700000000000000000,
                                .host = slice_text("host"),
                                .user = slice_text("user"),
                                .paths = paths,
                                .path_count = 2,
                                .tags = tags,
                                .tag_count = 1,
                                .root = buf_slice(&root),
                                .program = slice_text("cellctl 0.1.0"),
                                .totals = {.files = 2, .bytes = 100000}};
    FUZZ_CHECK(snapshot_encode(&snapshot, &b) == ERR_OK);
    put_kind(put, user, "snapshot", 2, &b);
    buf_free(&root);
    buf_free(&b);
}

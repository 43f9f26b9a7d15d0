/*
 * store/: a shard file as a broken disk, or somebody with access to it, may leave it. The first
 * byte: 0 the file as it is; 1 the area's hash and the segment's name are made to fit, so that what
 * stands behind them is reached; 2 a file's name.
 */
#include "fuzz.h"

#include "crypto/crypto.h"
#include "harness/sim_node.h"
#include "store/store_internal.h"

enum { HASH_AT = 48, SHARD_BYTES = 4096, FILE_MAX = 1 << 20 };

/* What a shard file of this content would be called. */
static void fit(uint8_t *bytes, size_t size, struct id *segment)
{
    if (size < STORE_AREA_FIXED_SIZE)
        return;
    uint32_t area = get_le32(bytes + 8), header = get_le32(bytes + 12);
    if (header <= size - STORE_AREA_FIXED_SIZE)
        segment_header_id(slice_of(bytes + STORE_AREA_FIXED_SIZE, header), segment);
    memset(bytes + HASH_AT, 0, SHA256_SIZE);
    uint8_t hash[SHA256_SIZE];
    if (area <= size) {
        sha256(slice_of(bytes, area), hash);
        memcpy(bytes + HASH_AT, hash, sizeof(hash));
    }
}

static void look(struct store_file *file, struct sha256 *hash)
{
    uint8_t byte, sum = 0;
    struct slice parts[] = {
        store_file_header(file), store_file_record(file),
        slice_of(store_file_leaves(file), (size_t)store_file_leaf_count(file) * SHA256_SIZE)};
    for (size_t p = 0; p < ARRAY_COUNT(parts); p++) /* all of it may be read */
        for (size_t i = 0; i < parts[p].size; i++)
            sum = (uint8_t)(sum + parts[p].data[i]);
    FUZZ_CHECK(store_file_leaf_count(file) == segment_leaf_count(store_file_bytes(file)));
    struct errmsg msg;
    enum err e = store_file_read(file, store_file_bytes(file) - 1 + (sum & 0u), &byte, 1, &msg);
    if (e != ERR_OK)
        FUZZ_CHECK(store_file_check(file, hash, &msg) != ERR_OK); /* it is too short */
    else
        (void)!store_file_check(file, hash, &msg);
}

static void try_file(struct slice in, bool make_fit)
{
    struct sim_world *world = sim_world_new(1);
    struct sim_node *node = sim_node_new(world, &(struct sim_identity){.name = "store"});
    struct store store;
    memset(&store, 0, sizeof(store));
    store.options.disk = &node->disk;
    struct id segment = {{0}};
    uint8_t *bytes = malloc(in.size + 1);
    struct disk_file *raw;
    struct sha256 *hash;
    FUZZ_CHECK(bytes && sha256_new(&hash) == ERR_OK);
    if (in.size)
        memcpy(bytes, in.data, in.size);
    if (make_fit)
        fit(bytes, in.size, &segment);
    FUZZ_CHECK(disk_open(&node->disk, "x", DISK_WRITE | DISK_CREATE, &raw, NULL) == ERR_OK);
    FUZZ_CHECK(disk_write_at(raw, 0, bytes, in.size, NULL) == ERR_OK);
    disk_close(raw);
    struct store_file *file;
    struct errmsg msg;
    unsigned index = in.size > 5 ? bytes[5] : 0;
    enum err e = store_file_open_path(&store, "x", &segment, index, hash, &file, &msg);
    FUZZ_CHECK((e == ERR_OK) == (file != NULL));
    if (e == ERR_OK)
        look(file, hash);
    store_file_close(file);
    sha256_free(hash);
    free(bytes);
    sim_world_free(world);
}

static void try_name(struct slice in)
{
    char name[STORE_PATH_SIZE], path[STORE_PATH_SIZE];
    struct id segment;
    unsigned index;
    if (in.size >= sizeof(name))
        return;
    if (in.size)
        memcpy(name, in.data, in.size);
    name[in.size] = 0;
    if (store_shard_name_parse(name, &segment, &index) != ERR_OK)
        return;
    store_shard_path(&segment, index, path);
    FUZZ_CHECK(strcmp(strrchr(path, '/') + 1, name) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FUZZ_CHECK(crypto_init(NULL) == ERR_OK);
    if (size == 0 || size > FILE_MAX)
        return 0;
    struct slice in = slice_of(data + 1, size - 1);
    if (data[0] % 3 == 2)
        try_name(in);
    else
        try_file(in, data[0] % 3 == 1);
    return 0;
}

void fuzz_seeds(fuzz_seed_fn *put, void *user)
{
    static struct segment_header header;
    static uint8_t file[1 + STORE_AREA_UNIT + SHARD_BYTES];
    static const char record[] = "a device's signed record, opaque here";
    struct merkle_hash leaf;
    struct sha256 *hash;
    uint8_t *area = file + 1;
    FUZZ_CHECK(crypto_init(NULL) == ERR_OK && sha256_new(&hash) == ERR_OK);
    memset(area + STORE_AREA_UNIT, 0x42, SHARD_BYTES);
    sha256_leaf(hash, slice_of(area + STORE_AREA_UNIT, SHARD_BYTES), leaf.bytes);
    header = (struct segment_header){.suite = 1, .k = 1, .m = 1, .shard_bytes = SHARD_BYTES};
    header.roots[0] = header.roots[1] = leaf; /* of one leaf: its hash */
    size_t header_size = segment_header_size(1, 1);
    memcpy(area, "CLSH", 4);
    area[4] = 1;
    area[5] = 1; /* the shard's index */
    put_le32(area + 8, STORE_AREA_UNIT);
    put_le32(area + 12, (uint32_t)header_size);
    put_le32(area + 16, sizeof(record) - 1);
    put_le32(area + 20, 1);
    put_le32(area + 24, SHARD_BYTES);
    uint8_t *at = area + STORE_AREA_FIXED_SIZE;
    segment_header_encode(&header, at);
    memcpy(at + header_size, record, sizeof(record) - 1);
    memcpy(at + header_size + sizeof(record) - 1, leaf.bytes, SHA256_SIZE);
    struct id segment;
    fit(area, STORE_AREA_UNIT + SHARD_BYTES, &segment);
    file[0] = 1;
    put(user, "file", slice_of(file, sizeof(file)));
    file[0] = 0;
    put(user, "file-raw", slice_of(file, sizeof(file)));
    char path[STORE_PATH_SIZE];
    store_shard_path(&segment, 7, path);
    char *name = strrchr(path, '/');
    *name = 2; /* the kind */
    put(user, "name", slice_text(name));
    sha256_free(hash);
}

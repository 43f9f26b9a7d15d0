/*
 * segment/: headers, what is sealed inside, Merkle paths, and groups. The first byte chooses.
 * Locator and table are sealed here with the right key, as a broken writer or a stolen key would:
 * behind the seal they must still make sense.
 */
#include "fuzz.h"

#include "crypto/crypto.h"
#include "segment/segment_group.h"
#include "segment/segment_internal.h"

enum { K = 4, SHARD_BYTES = 65536, LOCATOR_PLAIN = SEGMENT_LOCATOR_PLAIN_SIZE };

static const uint8_t data_key[SEGMENT_DATA_KEY_SIZE] = "the data key of the fuzz target";

static void try_header(struct slice in)
{
    static struct segment_header header; /* large */
    static uint8_t again[SEGMENT_HEADER_SIZE_MAX];
    struct errmsg msg;
    if (segment_header_decode(in, &header, &msg) != ERR_OK)
        return;
    FUZZ_CHECK(in.size == segment_header_size(header.k, header.m));
    segment_header_encode(&header, again);
    FUZZ_CHECK(memcmp(again, in.data, in.size) == 0);
    struct segment_piece piece = segment_piece_at(header.shard_bytes, 1, 100000);
    FUZZ_CHECK(piece.size > 0 && piece.leaf_count > 0);
    FUZZ_CHECK(piece.leaf_first + piece.leaf_count <= segment_leaf_count(header.shard_bytes));
}

static void seal(struct aead *aead, const struct segment_header *header, uint64_t number,
                 struct slice plain, uint8_t *out)
{
    uint8_t aad[SEGMENT_AAD_SIZE];
    segment_aad(header->suite, header->salt, number, NULL, (uint32_t)plain.size, aad);
    FUZZ_CHECK(aead_seal(aead, number, slice_of(aad, sizeof(aad)), plain, out) == ERR_OK);
}

static void check_entries(const struct segment_locator *locator, const struct segment_entry *e)
{
    uint64_t at = SEGMENT_LOCATOR_SIZE;
    for (uint32_t i = 0; i < locator->record_count; i++) {
        FUZZ_CHECK(e[i].offset == at && e[i].plain_bytes <= LIMIT_CHUNK_BYTES);
        FUZZ_CHECK(!(e[i].flags & SEGMENT_GROUP) || (id_is_zero(&e[i].id) && !e[i].plain_bytes));
        at += e[i].sealed_bytes;
    }
    FUZZ_CHECK(at == locator->table_offset);
}

/* 48 bytes of a locator, then a table. */
static void try_inside(struct slice in)
{
    static struct segment_header header;
    uint8_t key[AEAD_KEY_SIZE], sealed_locator[SEGMENT_LOCATOR_SIZE];
    struct segment_opener *opener;
    struct segment_locator locator;
    struct aead *aead;
    if (in.size < LOCATOR_PLAIN)
        return;
    struct slice table = slice_of(in.data + LOCATOR_PLAIN, in.size - LOCATOR_PLAIN);
    header = (struct segment_header){
        .suite = AEAD_CHACHA20_POLY1305, .k = K, .m = 2, .shard_bytes = SHARD_BYTES};
    segment_key(data_key, header.suite, header.salt, key, header.commitment);
    FUZZ_CHECK(aead_new(&aead) == ERR_OK && aead_set_key(aead, header.suite, key) == ERR_OK);
    FUZZ_CHECK(segment_opener_new(&opener) == ERR_OK);
    FUZZ_CHECK(segment_opener_set(opener, &header, data_key) == ERR_OK);
    seal(aead, &header, SEGMENT_NUMBER_LOCATOR, slice_of(in.data, LOCATOR_PLAIN), sealed_locator);
    enum err e =
        segment_open_locator(opener, slice_of(sealed_locator, sizeof(sealed_locator)), &locator);
    FUZZ_CHECK(e == ERR_OK || e == ERR_CORRUPT || e == ERR_VERSION);
    if (e == ERR_OK) {
        FUZZ_CHECK((uint64_t)locator.table_offset + locator.table_sealed_bytes <=
                   (uint64_t)K * SHARD_BYTES);
        struct segment_entry *entries =
            calloc(locator.record_count ? locator.record_count : 1, sizeof(*entries));
        uint8_t *sealed = malloc(table.size + AEAD_TAG_SIZE);
        FUZZ_CHECK(entries && sealed);
        seal(aead, &header, SEGMENT_NUMBER_TABLE, table, sealed);
        if (segment_open_table(opener, &locator, slice_of(sealed, table.size + AEAD_TAG_SIZE),
                               entries) == ERR_OK)
            check_entries(&locator, entries);
        free(sealed);
        free(entries);
    }
    segment_opener_free(opener);
    aead_free(aead);
}

/* le16 count, first, run; root; then hashes: `run` leaves, the rest is the path. */
static void try_path(struct slice in)
{
    if (in.size < 6 + SHA256_SIZE)
        return;
    size_t count = get_le16(in.data), first = get_le16(in.data + 2), run = get_le16(in.data + 4);
    size_t hashes = (in.size - 6) / SHA256_SIZE - 1;
    if (run > hashes)
        return; /* the caller's promise: that many leaf hashes are there */
    struct merkle_hash *all = malloc((hashes + 1) * sizeof(*all));
    struct sha256 *h;
    FUZZ_CHECK(all && sha256_new(&h) == ERR_OK);
    memcpy(all, in.data + 6, (hashes + 1) * sizeof(*all));
    enum err e = merkle_verify(h, &all[0], count, first, run, all + 1, all + 1 + run, hashes - run);
    FUZZ_CHECK(e == ERR_OK || e == ERR_FORMAT || e == ERR_CORRUPT);
    sha256_free(h);
    free(all);
}

/* The record's flags, then the opened record. */
static void try_group(struct slice in)
{
    struct segment_group group;
    if (in.size == 0 ||
        segment_group_open(slice_of(in.data + 1, in.size - 1), in.data[0], &group) != ERR_OK)
        return;
    FUZZ_CHECK(group.count > 0 && group.count <= LIMIT_GROUP_MEMBERS);
    FUZZ_CHECK(group.plain_bytes <= LIMIT_GROUP_BYTES);
    FUZZ_CHECK(segment_group_list_bytes(group.count) + group.body.size == in.size - 1);
    FUZZ_CHECK((in.data[0] & SEGMENT_ZSTD) || group.body.size == group.plain_bytes);
    uint32_t shares = 0, before = 0;
    for (uint32_t i = 0; i < group.count; i++) {
        const uint8_t *line = group.lines.data + (size_t)i * SEGMENT_MEMBER_SIZE;
        const uint32_t size = get_le32(line + ID_SIZE);
        struct id id;
        uint32_t offset;
        memcpy(id.bytes, line, ID_SIZE);
        if (segment_group_find(&group, &id, size, &offset) == ERR_OK)
            FUZZ_CHECK(offset == before && size <= group.plain_bytes - offset);
        shares += segment_group_share((uint32_t)in.size, before, size, group.plain_bytes);
        before += size;
    }
    FUZZ_CHECK(shares == in.size && before == group.plain_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FUZZ_CHECK(crypto_init(NULL) == ERR_OK);
    if (size == 0)
        return 0;
    struct slice in = slice_of(data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        try_header(in);
        break;
    case 1:
        try_inside(in);
        break;
    case 2:
        try_path(in);
        break;
    default:
        try_group(in);
    }
    return 0;
}

static void put_kind(fuzz_seed_fn *put, void *user, const char *name, char kind, struct slice bytes)
{
    struct buf seed = BUF_INIT(1 << 20);
    if (buf_append_u8(&seed, (uint8_t)kind) == ERR_OK &&
        buf_append(&seed, bytes.data, bytes.size) == ERR_OK)
        put(user, name, buf_slice(&seed));
    buf_free(&seed);
}

static void put_inside(fuzz_seed_fn *put, void *user)
{
    uint8_t plain[LOCATOR_PLAIN + 3 * SEGMENT_ENTRY_SIZE];
    struct segment_entry entries[3] = {
        {.offset = 64, .sealed_bytes = 1016, .plain_bytes = 1000, .type = SEGMENT_FILE},
        {.offset = 1080,
         .sealed_bytes = 500,
         .plain_bytes = 1000,
         .type = SEGMENT_TREE,
         .flags = SEGMENT_ZSTD},
        {.offset = 1580,
         .sealed_bytes = 300,
         .type = SEGMENT_FILE,
         .flags = SEGMENT_GROUP | SEGMENT_ZSTD}};
    struct segment_locator locator = {.kind = SEGMENT_DATA,
                                      .record_count = 3,
                                      .table_offset = 1880,
                                      .table_sealed_bytes = 3 * SEGMENT_ENTRY_SIZE + AEAD_TAG_SIZE};
    segment_locator_encode(&locator, plain);
    for (size_t i = 0; i < 3; i++)
        segment_entry_encode(&entries[i], plain + LOCATOR_PLAIN + i * SEGMENT_ENTRY_SIZE);
    put_kind(put, user, "inside", '1', slice_of(plain, sizeof(plain)));
}

static void put_merkle(fuzz_seed_fn *put, void *user)
{
    enum { COUNT = 11, FIRST = 3, RUN = 2 };
    struct merkle_hash leaves[COUNT], seed[1 + RUN + MERKLE_PATH_MAX];
    uint8_t bytes[6 + sizeof(seed)];
    struct sha256 *h;
    FUZZ_CHECK(crypto_init(NULL) == ERR_OK && sha256_new(&h) == ERR_OK);
    for (size_t i = 0; i < COUNT; i++)
        memset(leaves[i].bytes, (int)i, sizeof(leaves[i].bytes));
    merkle_root(h, leaves, COUNT, &seed[0]);
    memcpy(&seed[1], &leaves[FIRST], RUN * sizeof(*leaves));
    merkle_path(h, leaves, COUNT, FIRST, RUN, &seed[1 + RUN]);
    sha256_free(h);
    size_t size = (1 + RUN + merkle_path_count(COUNT, FIRST, RUN)) * sizeof(*seed);
    put_le16(bytes, COUNT);
    put_le16(bytes + 2, FIRST);
    put_le16(bytes + 4, RUN);
    memcpy(bytes + 6, seed, size);
    put_kind(put, user, "merkle", '2', slice_of(bytes, 6 + size));
}

/* Three members; raw, and with a flag that says packed. */
static void put_groups(fuzz_seed_fn *put, void *user)
{
    uint8_t bytes[1 + SEGMENT_GROUP_COUNT_SIZE + 3 * SEGMENT_MEMBER_SIZE + 12] = {0};
    for (uint32_t i = 0; i < 3; i++) {
        const struct id id = {{(uint8_t)(i + 1)}};
        segment_group_add(bytes + 1, i, &id, 3 + i);
    }
    put_kind(put, user, "group", '3', slice_of(bytes, sizeof(bytes)));
    bytes[0] = SEGMENT_ZSTD;
    put_kind(put, user, "group-packed", '3', slice_of(bytes, sizeof(bytes) - 1));
}

void fuzz_seeds(fuzz_seed_fn *put, void *user)
{
    static struct segment_header header;
    static uint8_t bytes[SEGMENT_HEADER_SIZE_MAX];
    header = (struct segment_header){.suite = AEAD_AES_256_GCM,
                                     .k = K,
                                     .m = 2,
                                     .device_slot = 3,
                                     .epoch = 1,
                                     .shard_bytes = SHARD_BYTES};
    memset(header.roots, 0x77, sizeof(header.roots));
    segment_header_encode(&header, bytes);
    put_kind(put, user, "header", '0', slice_of(bytes, segment_header_size(header.k, header.m)));
    put_inside(put, user);
    put_merkle(put, user);
    put_groups(put, user);
}

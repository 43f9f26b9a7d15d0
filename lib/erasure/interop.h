/*
 * Shards as fragments of liberasurecode 1.6 (backend isa_l_rs_cauchy), for the export and import of
 * trusted data, and liberasurecode itself as a second implementation to compare with. Never for
 * shards from strangers: liberasurecode writes out of bounds on hostile headers. interop_read() is
 * ours and is safe on any bytes.
 *
 * A fragment is 80 bytes of header and the shard. liberasurecode writes the header in the host's
 * order; these functions read and write the little-endian one (all of liberasurecode's homes
 * today):
 *
 *     0   4  index of the shard         20   1  checksum type: 1 none, 2 CRC-32
 *     4   4  bytes of the shard         21  32  checksum of the shard, in the first 4 bytes
 *     8   4  0                          53   1  0 (checksum mismatch)
 *     12  8  bytes of all the data      54   1  7 (isa_l_rs_cauchy)    55  4  backend version
 *     59  4  magic 0x0b0c5ecc           63   4  library version 1.6.2
 *     67  4  CRC-32 of bytes 0..58      71   9  0
 *
 * The data is cut into k shards of ceil(size / k) bytes, the last ones filled up with zeros.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

enum {
    INTEROP_HEADER_BYTES = 80,
    INTEROP_SHARDS_MAX = 32,           /* k + m, liberasurecode's limit */
    INTEROP_SIZE_MAX = 0x7fffffff / 2, /* of data; it takes sizes through int */
};

struct interop_fragment {
    unsigned index;
    uint64_t data_size;
    bool has_checksum;  /* and it was right */
    struct slice shard; /* borrowed from the fragment */
};

/* ceil(data_size / k) */
size_t interop_shard_size(unsigned k, size_t data_size);

/* Writes the header of shard `index`; the shard goes behind it. */
void interop_header(unsigned index, struct slice shard, uint64_t data_size, bool with_checksum,
                    uint8_t out[INTEROP_HEADER_BYTES]);

/* ERR_FORMAT: no such fragment, or a size that does not fit; ERR_UNSUPPORTED: of another backend or
   with an MD5 checksum; ERR_CORRUPT: a checksum is wrong. */
MUST_CHECK enum err interop_read(struct slice fragment, struct interop_fragment *out,
                                 struct errmsg *msg);

/* What liberasurecode makes of `data`: fragments[k + m], the caller's, of INTEROP_HEADER_BYTES +
   interop_shard_size() bytes each. ERR_USAGE: beyond its limits; ERR_UNSUPPORTED: it has
   no ISA-L; ERR_IO: it failed. Calls are serialised, since its instances are not
   safe to make and destroy at once. */
MUST_CHECK enum err interop_peer_encode(unsigned k, unsigned m, struct slice data,
                                        bool with_checksum, uint8_t *const fragments[],
                                        struct errmsg *msg);

/* What liberasurecode reads from `count` fragments of one size that the caller trusts; `out` takes
   `size` bytes, exactly those of the data. */
MUST_CHECK enum err interop_peer_decode(unsigned k, unsigned m, uint8_t *const fragments[],
                                        unsigned count, size_t fragment_size, uint8_t *out,
                                        size_t size, struct errmsg *msg);

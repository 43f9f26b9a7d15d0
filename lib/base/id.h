/*
 * 32-byte names: cells, accounts, devices, segments, chunks, snapshots.
 *
 * Printed as 56 lower-case base32 characters (RFC 4648 alphabet): the 32 bytes, then a CRC-24
 * (OpenPGP's polynomial, RFC 4880 section 6.1) of them, so that a mistyped ID is refused rather
 * than dialled. People may type upper case.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

enum { ID_SIZE = 32, ID_TEXT_LENGTH = 56, ID_TEXT_SIZE = ID_TEXT_LENGTH + 1 };

struct id {
    uint8_t bytes[ID_SIZE];
};

static inline bool id_equal(const struct id *a, const struct id *b)
{
    return memcmp(a->bytes, b->bytes, ID_SIZE) == 0;
}

static inline int id_compare(const struct id *a, const struct id *b)
{
    return memcmp(a->bytes, b->bytes, ID_SIZE);
}

bool id_is_zero(const struct id *id);

/* Writes 56 characters and a NUL; returns `out`. */
const char *id_format(const struct id *id, char out[ID_TEXT_SIZE]);

/* ERR_FORMAT when `text` (`size` characters) is not 56 base32 characters or its check does not
 * match. */
MUST_CHECK enum err id_parse(const char *text, size_t size, struct id *out);

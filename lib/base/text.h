/*
 * Small texts: base32, hex, sizes ("500G") and durations ("30d") as people write and read them.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

/* Lower-case RFC 4648 base32 without padding. `out` holds text_base32_length(size) characters +
 * NUL. */
static inline size_t text_base32_length(size_t size)
{
    return (size * 8 + 4) / 5;
}
void text_base32(struct slice bytes, char *out);

/* Either case. Spare bits must be zero. ERR_FORMAT, or ERR_TOO_LARGE when `out_max` is too small.
 */
MUST_CHECK enum err text_from_base32(const char *text, size_t length, uint8_t *out, size_t out_max,
                                     size_t *out_size);

/* Lower-case hex; `out` holds 2 * size characters + NUL. */
void text_hex(struct slice bytes, char *out);
MUST_CHECK enum err text_from_hex(const char *text, size_t length, uint8_t *out, size_t out_max,
                                  size_t *out_size);

/* "1.5 GiB" with binary units, three significant digits. `out` holds 16 bytes; returns `out`. */
enum { TEXT_SIZE_SIZE = 16 };
const char *text_size(uint64_t bytes, char out[TEXT_SIZE_SIZE]);

/* "500G", "1.5T", "4096", "10MiB": K, M, G, T, P are powers of 1024. ERR_FORMAT on anything else.
 */
MUST_CHECK enum err text_parse_size(const char *text, uint64_t *out_bytes);

/* "90s", "15m", "4h", "30d", "2w", "1y" (365 d), "500ms", or seconds alone. ERR_FORMAT otherwise.
 */
MUST_CHECK enum err text_parse_duration_ms(const char *text, uint64_t *out_ms);

/* "0:07", "12:34", "3:02:01", and from two days on "2 days 5 h", "30 days". Returns `out`. */
enum { TEXT_DURATION_SIZE = 32 };
const char *text_duration(uint64_t seconds, char out[TEXT_DURATION_SIZE]);

/* "1 file", "17 files": `one` is the thing's name, which takes an s. Returns `out`. TEXT_COUNT has
   room of its own, until the block around it ends. */
enum { TEXT_COUNT_SIZE = 64 };
const char *text_count(uint64_t count, const char *one, char out[TEXT_COUNT_SIZE]);
#define TEXT_COUNT(count, one) text_count(count, one, (char[TEXT_COUNT_SIZE]){0})

/* Decimal digits only, at most `value_max`. ERR_FORMAT otherwise. */
MUST_CHECK enum err text_parse_u64(const char *text, uint64_t value_max, uint64_t *out);

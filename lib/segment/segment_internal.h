/* What sealing and opening share: nonces, additional data, the table's bytes. */
#pragma once

#include "segment/segment_record.h"

/* Numbers that no record has (records count from 0 and are LIMIT_SEGMENT_RECORDS at most). */
#define SEGMENT_NUMBER_LOCATOR UINT64_MAX
#define SEGMENT_NUMBER_TABLE   (UINT64_MAX - 1)
#define SEGMENT_NUMBER_PADDING (UINT64_MAX - 2)

enum { SEGMENT_AAD_SIZE = 95, SEGMENT_LOCATOR_PLAIN_SIZE = 48 };

/* `entry` NULL: of locator, table and padding (type, flags and id zero). */
void segment_aad(unsigned suite, const uint8_t salt[SEGMENT_SALT_SIZE], uint64_t number,
                 const struct segment_entry *entry, uint32_t plain_bytes,
                 uint8_t out[SEGMENT_AAD_SIZE]);

void segment_entry_encode(const struct segment_entry *entry, uint8_t out[SEGMENT_ENTRY_SIZE]);
void segment_locator_encode(const struct segment_locator *locator,
                            uint8_t out[SEGMENT_LOCATOR_PLAIN_SIZE]);

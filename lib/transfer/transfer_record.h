/*
 * Chunks out of a segment's payload: a record is opened, and unpacked when it is
 * packed. Of a group all members are unpacked at once and kept, so that who asks for one after the
 * other opens and unpacks their group once.
 *
 * One a thread. Memory: a chunk's worth of plain bytes, and with `apart` as much again.
 */
#pragma once

#include "segment/segment_group.h"
#include "vault/vault_parts.h"

struct transfer_record;

/* `apart`: payloads are only read. Without, a record is opened in its place, which saves memory and
   time, and each record may then be opened once (a group once for all of its members in a row). */
MUST_CHECK enum err transfer_record_new(bool apart, struct transfer_record **out);
void transfer_record_free(struct transfer_record *record); /* NULL does nothing */

/* The segment that the next chunks are of. Errors of segment_opener_set(). */
MUST_CHECK enum err transfer_record_set(struct transfer_record *record,
                                        const struct segment_header *header,
                                        const uint8_t data_key[SEGMENT_DATA_KEY_SIZE]);

/* The chunk's plain bytes, borrowed until the next call. `payload` is the segment's; what is
   looked at is the record's place, which must lie within `payload_bytes`. CORRUPT, AUTH, NOMEM;
   `msg` says which record. */
MUST_CHECK enum err transfer_record_open(struct transfer_record *record,
                                         const struct index_chunk *chunk, uint8_t *payload,
                                         size_t payload_bytes, struct slice *out,
                                         struct errmsg *msg);

/*
 * What a segment holds: encrypted records, each a chunk or a group of small ones
 * (segment_group.h), a table of them and a locator that finds the table (docs/format-segment.md).
 * Nothing of it is readable without the device's data key, lengths included.
 *
 * Reading: a struct segment_opener is set to a segment (its header and data key; the key is checked
 * against the header's commitment), then opens the locator, the table, and single records whose
 * place is known from the table or from the index.
 */
#pragma once

#include "crypto/aead.h"
#include "segment/segment_header.h"

enum segment_kind { SEGMENT_DATA = 1, SEGMENT_METADATA = 2 };

/* What a chunk is. The numbers rest in tables and indexes. */
enum segment_type {
    SEGMENT_FILE = 1,      /* a piece of a file's content */
    SEGMENT_TREE = 2,      /* a directory, or a piece of a large one */
    SEGMENT_LIST = 3,      /* a list of chunk IDs */
    SEGMENT_SNAPSHOT = 4,  /* a snapshot */
    SEGMENT_INDEX = 5,     /* an index object */
    SEGMENT_CATALOGUE = 6, /* a catalogue */
    SEGMENT_TOMBSTONE = 7, /* documents about removal: identity/tombstone.h, condemned.h, lift.h */
    SEGMENT_CONDEMNED = 8,
    SEGMENT_LIFT = 9,
};

/* Flags of a record. */
enum {
    SEGMENT_ZSTD = 1,  /* stored compressed: one zstd frame of plain_bytes; of a group the body */
    SEGMENT_GROUP = 2, /* several chunks of one type; id and plain_bytes are zero */
};

enum {
    SEGMENT_LOCATOR_SIZE = 64, /* sealed; at payload offset 0, the records follow */
    SEGMENT_ENTRY_SIZE = 48,   /* of the table, plain */
    SEGMENT_RECORD_OVERHEAD = AEAD_TAG_SIZE,
    SEGMENT_DATA_KEY_SIZE = 32,
};

/* One line of the table. */
struct segment_entry {
    struct id id;          /* the chunk's; zero: of a group */
    uint32_t offset;       /* of the sealed record in the payload */
    uint32_t sealed_bytes; /* stored bytes + SEGMENT_RECORD_OVERHEAD */
    uint32_t plain_bytes;  /* of the chunk, before compression; zero: of a group */
    uint8_t type;          /* enum segment_type */
    uint8_t flags;
};

struct segment_locator {
    enum segment_kind kind;
    uint32_t record_count;
    uint32_t table_offset;       /* in the payload; the records end there */
    uint32_t table_sealed_bytes; /* record_count * SEGMENT_ENTRY_SIZE + AEAD_TAG_SIZE */
};

/* Key and commitment of a segment: BLAKE2b-512(data key, "cellar/segment" ‖ version ‖ suite ‖
 * salt). */
void segment_key(const uint8_t data_key[SEGMENT_DATA_KEY_SIZE], unsigned suite,
                 const uint8_t salt[SEGMENT_SALT_SIZE], uint8_t out_key[AEAD_KEY_SIZE],
                 uint8_t out_commitment[SEGMENT_COMMITMENT_SIZE]);

struct segment_opener; /* one a thread; used for one segment after the other */

MUST_CHECK enum err segment_opener_new(struct segment_opener **out);
void segment_opener_free(struct segment_opener *opener); /* NULL does nothing */

/* SECRET when the data key is not the one that the header commits to; VERSION; NOMEM. */
MUST_CHECK enum err segment_opener_set(struct segment_opener *opener,
                                       const struct segment_header *header,
                                       const uint8_t data_key[SEGMENT_DATA_KEY_SIZE]);

/* `sealed` are the payload's first SEGMENT_LOCATOR_SIZE bytes. AUTH when they are not authentic;
   CORRUPT when they are and make no sense. */
MUST_CHECK enum err segment_open_locator(struct segment_opener *opener, struct slice sealed,
                                         struct segment_locator *out);

/* `sealed` is the table as the locator says; `out` holds locator->record_count entries. Records lie
   one behind the other from SEGMENT_LOCATOR_SIZE to table_offset: anything else is CORRUPT. */
MUST_CHECK enum err segment_open_table(struct segment_opener *opener,
                                       const struct segment_locator *locator, struct slice sealed,
                                       struct segment_entry *out);

/* Record `number`. `out` holds entry->sealed_bytes - SEGMENT_RECORD_OVERHEAD bytes (compressed,
   when the flag says so) and may be sealed.data itself. AUTH when it is not the record that `entry`
   names; FORMAT when `sealed` has another size. */
MUST_CHECK enum err segment_open_record(struct segment_opener *opener, uint32_t number,
                                        const struct segment_entry *entry, struct slice sealed,
                                        uint8_t *out);

/*
 * Authenticated encryption of a segment's records.
 *
 *     aead_new(&a);
 *     aead_set_key(a, suite, key);                  // once a segment
 *     aead_seal(a, number, aad, plain, out);        // once a record, plain.size + AEAD_TAG_SIZE
 *
 * The 96-bit nonce is the record's number (le64, then four zero bytes), so a key is good for one
 * segment build only and a number for one record: never seal two things under one (key, number).
 * Neither suite commits to its key; the segment's commitment (kdf.h) does.
 *
 * One object a thread. On one Zen 3 core: AES-256-GCM 2.7 GB/s, ChaCha20-Poly1305 1.5.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

/* The numbers rest in segment headers. */
enum aead_suite { AEAD_AES_256_GCM = 1, AEAD_CHACHA20_POLY1305 = 2 };

enum { AEAD_KEY_SIZE = 32, AEAD_TAG_SIZE = 16 };

/* The faster one on this machine: AES-256-GCM where the processor has AES and carry-less
   multiplication, else ChaCha20-Poly1305. */
enum aead_suite aead_best_suite(void);

struct aead;

/* ERR_NOMEM. */
MUST_CHECK enum err aead_new(struct aead **out);
void aead_free(struct aead *a); /* wipes the key */

/* ERR_VERSION for a suite that is neither 1 nor 2 (`suite` may come from a disk); ERR_NOMEM. */
MUST_CHECK enum err aead_set_key(struct aead *a, unsigned suite, const uint8_t key[AEAD_KEY_SIZE]);

/* Writes the ciphertext and behind it the tag. `out` holds plain.size + AEAD_TAG_SIZE bytes and is
   plain.data itself or does not overlap it. ERR_TOO_LARGE above 1 GiB; ERR_STATE without a key. */
MUST_CHECK enum err aead_seal(struct aead *a, uint64_t number, struct slice aad, struct slice plain,
                              uint8_t *out);

/* The reverse: `sealed` is ciphertext and tag, `out` holds sealed.size - AEAD_TAG_SIZE bytes and is
   sealed.data itself or does not overlap it. ERR_AUTH when anything differs, `out` is then zeroed;
   ERR_FORMAT when shorter than a tag. */
MUST_CHECK enum err aead_open(struct aead *a, uint64_t number, struct slice aad,
                              struct slice sealed, uint8_t *out);

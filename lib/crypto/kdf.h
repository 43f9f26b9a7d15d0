/*
 * Keys from keys: keyed BLAKE2b (RFC 7693) over label ‖ extra, with the output's size as BLAKE2b's
 * own parameter (so kdf_32 is no prefix of kdf_64).
 *
 * Labels are fixed texts of ours ("cellar/segment"); under one key no label is another one's
 * prefix, and `extra` is of fixed width for each label.
 */
#pragma once

#include "base/bytes.h"

enum { KDF_KEY_SIZE = 32 };

/* A subkey. `out` may be `key`. */
void kdf_32(const uint8_t key[KDF_KEY_SIZE], const char *label, struct slice extra,
            uint8_t out[32]);

/* A subkey (first 32 bytes) and a commitment to `key` and `extra` (last 32), which may be shown:
   another key that gives the same commitment cannot be found. */
void kdf_64(const uint8_t key[KDF_KEY_SIZE], const char *label, struct slice extra,
            uint8_t out[64]);

/* `size` pseudorandom bytes: ChaCha20's key stream (RFC 8439, nonce zero, from block 0) under
   kdf_32(key, label). For tables. */
void kdf_stream(const uint8_t key[KDF_KEY_SIZE], const char *label, uint8_t *out, size_t size);

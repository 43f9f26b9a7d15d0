/*
 * Hostile bytes for decoders: every truncation of a good message, every flipped bit, foreign bytes.
 *
 *     static void try(void *user, struct slice bytes, const char *how)
 *     {
 *         struct thing out;
 *         if (thing_decode(bytes, &out) == ERR_OK) ...   // accepted: then it must be canonical
 *     }
 *     hostile_truncations(good, try, NULL);
 *     hostile_flips(good, 0, try, NULL);
 *     hostile_noise(seed, 10000, 300, try, NULL);
 *
 * The bytes lie in a block of memory of exactly their size, so AddressSanitizer sees the first byte
 * that is read too far.
 */
#pragma once

#include "base/bytes.h"

/* `how` says what was done ("cut to 17 bytes"), for a failing test's message. */
typedef void hostile_fn(void *user, struct slice bytes, const char *how);

/* 0 … size - 1 bytes. */
void hostile_truncations(struct slice good, hostile_fn *each, void *user);

/* Every bit; or, when that makes more than `tries_max` (0: no limit), evenly spread ones. */
void hostile_flips(struct slice good, uint64_t tries_max, hostile_fn *each, void *user);

/* Each byte set to 0x00, 0x7f, 0x80 and 0xff, with the same limit. */
void hostile_extremes(struct slice good, uint64_t tries_max, hostile_fn *each, void *user);

/* `good` followed by one more byte of each value. */
void hostile_trailing(struct slice good, hostile_fn *each, void *user);

/* `count` strings of random bytes of up to `size_max`. */
void hostile_noise(uint64_t seed, uint64_t count, size_t size_max, hostile_fn *each, void *user);

/* `count` mixtures of the good message: bytes changed, pieces doubled, removed, swapped. */
void hostile_mutations(struct slice good, uint64_t seed, uint64_t count, hostile_fn *each,
                       void *user);

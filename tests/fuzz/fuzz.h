/*
 * Fuzz targets: one file a decoder, fuzz_<decoder>.c, with two functions.
 *
 * LLVMFuzzerTestOneInput() gives hostile bytes to the decoder and checks what must hold for every
 * input: no bad access (the sanitizers see that), an error or a value, and for a value that it
 * encodes back to the same bytes (there is one encoding of each).
 * fuzz_seeds() names good messages, made with the room's own encoder, so that they are never out of
 * date.
 *
 * Each target is always built with fuzz_replay.c as a program that replays the seeds, the files of
 * corpus/<decoder>/ and mutations of both, and runs in the normal tests. With clang and
 * -Dfuzz=true it is built for libFuzzer as well (docs/testing.md).
 */
#pragma once

#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* `name` becomes a file's name in a corpus; the bytes are copied. */
typedef void fuzz_seed_fn(void *user, const char *name, struct slice bytes);
void fuzz_seeds(fuzz_seed_fn *put, void *user);

/* Holds in every build; a broken one is a finding. */
#define FUZZ_CHECK(condition)                                                             \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            (void)fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                      \
        }                                                                                 \
    } while (0)

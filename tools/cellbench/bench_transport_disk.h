/* What the disk alone can take of a cell's work: no network, no hashing, no catalogue. */
#pragma once

#include "bench_transport_peers.h"

/* Below `dir`, which is made, and whose files are empty in the end: files of `size` bytes in pieces
   past the page cache, each reserved, written, synced, renamed into one of 32 folders, and the
   folder synced; `threads` at once. False when it cannot be done (said to stderr). */
bool bench_disk(const char *dir, const uint8_t *data, size_t size, unsigned threads,
                uint64_t total_bytes, struct bench_rate *out);

/*
 * Another device's index, from its head, into ours:
 *
 *     unseal the head (loop) ─▶ catalogue (reader) ─▶ headers of its segments (asked of the cells)
 *     ─▶ index objects and snapshots that we do not have, one after the other (reader) ─▶ done
 *
 * For recovery, where nothing is known yet, and for devices that read what others of the account
 * wrote. An object is taken in one transaction, with the segment that it lies in: what is in the
 * index was read, and is not read again.
 *
 * Nothing is believed but what the head's device signed: of segments, only those that it wrote
 * itself; of documents about removal (tombstones, condemned lists, lifts), those whose signer may
 * by the vault's manifest. That the head is valid is the caller's business.
 *
 * Of several heads all documents have to be read before the rest (`documents_only`, then again):
 * then nothing that one head forgot is looked for in another, and nothing condemned counts.
 */
#pragma once

#include "transfer/transfer_reader.h"

struct heads_import_summary {
    uint64_t snapshots, segments, chunks; /* new ones */
    uint64_t condemned;                   /* segments that counted before, and are on a new list */
    uint64_t problems; /* objects that could not be had: their snapshots or chunks are missing */
};

struct heads_import;

/* ERR_OK also when parts could not be had. `import` is there during the call. */
typedef void heads_import_fn(void *user, enum err e, const struct errmsg *msg,
                             const struct heads_import *import);

struct heads_import_options {
    struct slice head;       /* document; borrowed until done */
    const struct id *device; /* who signed it; borrowed until done */
    uint32_t slot;
    uint64_t sequence;   /* of the head */
    bool documents_only; /* else the rest; first the one, then the other */
    void (*problem)(void *user, enum err e, const char *sentence);
    heads_import_fn *done;
    void *user;
    struct heads_import_summary *summary; /* added to */
};

/* The vault is connected and open for writing, and has the account's reading key. */
MUST_CHECK enum err heads_import_start(struct vault *vault,
                                       const struct heads_import_options *options,
                                       struct errmsg *msg);

/* k and m of the segment in which the device's catalogue lies. */
void heads_import_level(const struct heads_import *import, unsigned *k, unsigned *m);

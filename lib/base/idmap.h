/*
 * A hash map from 32-byte IDs to pointers: open addressing, linear probing, at most 3/4 full.
 *
 * IDs are hashes or public keys, so their first eight bytes serve as the hash; an attacker who
 * grinds IDs can slow a lookup down to O(count), which is why every user bounds the count. Values
 * are borrowed.
 */
#pragma once

#include "base/id.h"

struct idmap_slot {
    struct id key;
    void *value; /* NULL: empty */
};

struct idmap {
    struct idmap_slot *slots; /* owned */
    size_t capacity;          /* power of two, or 0 */
    size_t count;
};

#define IDMAP_INIT ((struct idmap){0})

void idmap_free(struct idmap *map); /* the slots; never the values */

/* The value under `key`, or NULL. */
void *idmap_get(const struct idmap *map, const struct id *key);

/* Sets or replaces; `value` must not be NULL. ERR_NOMEM leaves the map unchanged. */
MUST_CHECK enum err idmap_set(struct idmap *map, const struct id *key, void *value);

/* Takes the key out; returns its value, or NULL when it was not there. */
void *idmap_remove(struct idmap *map, const struct id *key);

/* Walks in slot order: start with *at = 0; returns NULL at the end. No change to the map in
 * between. */
void *idmap_next(const struct idmap *map, size_t *at, const struct id **key);

#include "base/idmap.h"

#include <stdlib.h>

enum { IDMAP_FIRST_SLOTS = 16 };

void idmap_free(struct idmap *map)
{
    free(map->slots);
    *map = IDMAP_INIT;
}

static size_t home_slot(const struct idmap *map, const struct id *key)
{
    return (size_t)get_le64(key->bytes) & (map->capacity - 1);
}

/* The slot of `key`, or the empty one where it would go. */
static size_t find_slot(const struct idmap *map, const struct id *key)
{
    size_t at = home_slot(map, key);
    while (map->slots[at].value && !id_equal(&map->slots[at].key, key))
        at = (at + 1) & (map->capacity - 1);
    return at;
}

void *idmap_get(const struct idmap *map, const struct id *key)
{
    return map->count ? map->slots[find_slot(map, key)].value : NULL;
}

static enum err grow(struct idmap *map)
{
    struct idmap bigger = {.capacity = map->capacity ? map->capacity * 2 : IDMAP_FIRST_SLOTS,
                           .count = map->count};
    bigger.slots = calloc(bigger.capacity, sizeof(*bigger.slots));
    if (!bigger.slots)
        return ERR_NOMEM;
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->slots[i].value)
            bigger.slots[find_slot(&bigger, &map->slots[i].key)] = map->slots[i];
    }
    free(map->slots);
    *map = bigger;
    return ERR_OK;
}

enum err idmap_set(struct idmap *map, const struct id *key, void *value)
{
    if ((map->count + 1) * 4 > map->capacity * 3) {
        enum err e = grow(map);
        if (e != ERR_OK)
            return e;
    }
    struct idmap_slot *slot = &map->slots[find_slot(map, key)];
    if (!slot->value) {
        slot->key = *key;
        map->count++;
    }
    slot->value = value;
    return ERR_OK;
}

void *idmap_remove(struct idmap *map, const struct id *key)
{
    if (!map->count)
        return NULL;
    size_t hole = find_slot(map, key);
    void *value = map->slots[hole].value;
    if (!value)
        return NULL;
    map->count--;
    /* close the gap, so that no lookup stops early */
    size_t mask = map->capacity - 1;
    for (size_t at = (hole + 1) & mask; map->slots[at].value; at = (at + 1) & mask) {
        size_t home = home_slot(map, &map->slots[at].key);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    map->slots[hole].value = NULL;
    return value;
}

void *idmap_next(const struct idmap *map, size_t *at, const struct id **key)
{
    for (; *at < map->capacity; (*at)++) {
        struct idmap_slot *slot = &map->slots[*at];
        if (slot->value) {
            (*at)++;
            if (key)
                *key = &slot->key;
            return slot->value;
        }
    }
    return NULL;
}

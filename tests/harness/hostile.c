#include "harness/hostile.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint8_t *copy_of(struct slice bytes, size_t room)
{
    uint8_t *copy = malloc(room ? room : 1);
    if (!copy)
        abort();
    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    return copy;
}

void hostile_truncations(struct slice good, hostile_fn *each, void *user)
{
    for (size_t size = 0; size < good.size; size++) {
        char how[48];
        (void)snprintf(how, sizeof(how), "cut to %zu bytes", size);
        uint8_t *copy = copy_of(slice_of(good.data, size), size);
        each(user, slice_of(copy, size), how);
        free(copy);
    }
}

static uint64_t stride_of(uint64_t count, uint64_t tries_max)
{
    return tries_max == 0 || count <= tries_max ? 1 : (count + tries_max - 1) / tries_max;
}

void hostile_flips(struct slice good, uint64_t tries_max, hostile_fn *each, void *user)
{
    uint8_t *copy = copy_of(good, good.size);
    uint64_t bits = 8 * (uint64_t)good.size;
    for (uint64_t bit = 0; bit < bits; bit += stride_of(bits, tries_max)) {
        char how[48];
        (void)snprintf(how, sizeof(how), "bit %" PRIu64 " of byte %" PRIu64, bit % 8, bit / 8);
        copy[bit / 8] = (uint8_t)(good.data[bit / 8] ^ 1 << bit % 8);
        each(user, slice_of(copy, good.size), how);
        copy[bit / 8] = good.data[bit / 8];
    }
    free(copy);
}

void hostile_extremes(struct slice good, uint64_t tries_max, hostile_fn *each, void *user)
{
    static const uint8_t values[] = {0x00, 0x7f, 0x80, 0xff};
    uint8_t *copy = copy_of(good, good.size);
    uint64_t count = 4 * (uint64_t)good.size;
    for (uint64_t i = 0; i < count; i += stride_of(count, tries_max)) {
        char how[48];
        (void)snprintf(how, sizeof(how), "byte %" PRIu64 " set to 0x%02x", i / 4, values[i % 4]);
        copy[i / 4] = values[i % 4];
        if (copy[i / 4] != good.data[i / 4])
            each(user, slice_of(copy, good.size), how);
        copy[i / 4] = good.data[i / 4];
    }
    free(copy);
}

void hostile_trailing(struct slice good, hostile_fn *each, void *user)
{
    uint8_t *copy = copy_of(good, good.size + 1);
    for (unsigned value = 0; value < 256; value++) {
        char how[48];
        (void)snprintf(how, sizeof(how), "a byte 0x%02x behind it", value);
        copy[good.size] = (uint8_t)value;
        each(user, slice_of(copy, good.size + 1), how);
    }
    free(copy);
}

void hostile_noise(uint64_t seed, uint64_t count, size_t size_max, hostile_fn *each, void *user)
{
    for (uint64_t i = 0; i < count; i++) {
        char how[64];
        (void)snprintf(how, sizeof(how), "noise %" PRIu64 " of seed %" PRIu64, i, seed);
        uint64_t state = seed + i * 0x100000001u;
        size_t size = (size_t)(next(&state) % (size_max + 1));
        uint8_t *bytes = copy_of(slice_of(NULL, 0), size);
        for (size_t at = 0; at < size; at++)
            bytes[at] = (uint8_t)next(&state);
        each(user, slice_of(bytes, size), how);
        free(bytes);
    }
}

/* One change in place; returns the new size, at most `room`. */
static size_t mutate(uint8_t *bytes, size_t size, size_t room, uint64_t *state)
{
    uint64_t draw = next(state);
    size_t at = size ? (size_t)(next(state) % size) : 0;
    size_t length = size ? 1 + (size_t)(next(state) % (size - at)) : 0;
    if (length > 16 && draw % 8)
        length = 16;
    switch (size ? draw % 5 : 0) {
    case 0: /* a byte more */
        if (size < room) {
            memmove(bytes + at + 1, bytes + at, size - at);
            bytes[at] = (uint8_t)(draw >> 8);
            size++;
        }
        return size;
    case 1:
        bytes[at] = (uint8_t)(draw >> 8);
        return size;
    case 2: /* a piece less */
        memmove(bytes + at, bytes + at + length, size - at - length);
        return size - length;
    case 3: /* a piece twice */
        if (length > room - size)
            length = room - size;
        memmove(bytes + at + length, bytes + at, size - at);
        return size + length;
    default: /* a piece somewhere else */
        memmove(bytes + (size_t)(next(state) % (size - length + 1)), bytes + at, length);
        return size;
    }
}

void hostile_mutations(struct slice good, uint64_t seed, uint64_t count, hostile_fn *each,
                       void *user)
{
    size_t room = good.size + 64;
    for (uint64_t i = 0; i < count; i++) {
        char how[64];
        (void)snprintf(how, sizeof(how), "mutation %" PRIu64 " of seed %" PRIu64, i, seed);
        uint64_t state = seed + i * 0x100000001u;
        uint8_t *bytes = copy_of(good, room);
        size_t size = good.size;
        for (uint64_t changes = 1 + next(&state) % 4; changes > 0; changes--)
            size = mutate(bytes, size, room, &state);
        uint8_t *exact = copy_of(slice_of(bytes, size), size);
        each(user, slice_of(exact, size), how);
        free(exact);
        free(bytes);
    }
}

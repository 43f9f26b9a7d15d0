#include "placement/placement.h"

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

struct sip {
    uint64_t v[4];
};

static void sip_round(struct sip *s)
{
    uint64_t *v = s->v;
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static void sip_word(struct sip *s, uint64_t word)
{
    s->v[3] ^= word;
    sip_round(s);
    sip_round(s);
    s->v[0] ^= word;
}

static struct sip sip_start(const uint8_t key[16])
{
    const uint64_t k0 = get_le64(key);
    const uint64_t k1 = get_le64(key + 8);
    return (struct sip){{k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du,
                         k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u}};
}

static uint64_t sip_end(struct sip *s, uint64_t last)
{
    sip_word(s, last);
    s->v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(s);
    return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}

uint64_t placement_siphash(const uint8_t key[16], struct slice message)
{
    struct sip s = sip_start(key);
    size_t at = 0;
    for (; at + 8 <= message.size; at += 8)
        sip_word(&s, get_le64(message.data + at));
    uint64_t last = (uint64_t)message.size << 56;
    for (unsigned bits = 0; at < message.size; at++, bits += 8)
        last |= (uint64_t)message.data[at] << bits;
    return sip_end(&s, last);
}

uint64_t placement_hash(const struct id *subject, const struct id *cell, uint64_t number)
{
    struct sip s = sip_start(subject->bytes);
    for (size_t at = 0; at < ID_SIZE; at += 8)
        sip_word(&s, get_le64(cell->bytes + at));
    sip_word(&s, get_le64(subject->bytes + 16));
    sip_word(&s, get_le64(subject->bytes + 24));
    sip_word(&s, number);
    return sip_end(&s, (uint64_t)56 << 56);
}

uint64_t placement_cost(uint64_t hash)
{
    enum { FRACTION_BITS = 24 };
    uint64_t x = (hash >> 32) + 1; /* 1..2^32 */
    unsigned whole = 0;
    while (x >> (whole + 1))
        whole++;
    /* the mantissa in [1, 2), as 32 bits with 31 behind the point */
    uint64_t mantissa = whole > 31 ? x >> (whole - 31) : x << (31 - whole);
    uint64_t log = whole;
    for (int i = 0; i < FRACTION_BITS; i++) {
        mantissa = mantissa * mantissa >> 31;
        log <<= 1;
        if (mantissa >> 32) {
            mantissa >>= 1;
            log |= 1;
        }
    }
    return ((uint64_t)32 << FRACTION_BITS) - log;
}

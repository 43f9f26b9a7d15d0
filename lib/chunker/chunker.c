#include "chunker/chunker.h"

enum err chunker_init(struct chunker *chunker, struct slice key,
                      const struct chunker_limits *limits)
{
    uint32_t average = limits->average_bytes;
    if (key.size != CHUNKER_KEY_SIZE || limits->min_bytes < CHUNKER_WINDOW_BYTES ||
        average <= limits->min_bytes || average >= limits->max_bytes ||
        (average & (average - 1)) != 0 || average > (1U << 30))
        return ERR_USAGE;
    for (size_t i = 0; i < 256; i++)
        chunker->gear[i] = get_le64(key.data + 8 * i);
    chunker->limits = *limits;
    /* With a quarter and four times the rate of cuts, this is where the mean comes out at 0.99 of
       the average (min a quarter of it, max four times). */
    chunker->switch_bytes = limits->min_bytes + (average - limits->min_bytes) / 4 * 3;
    uint64_t at_average = UINT64_MAX / average + 1; /* 2^64 / average: one cut in so many bytes */
    chunker->strict = at_average / 4;
    chunker->loose = at_average * 4;
    return ERR_OK;
}

/* Where the first hash below `below` ends in from .. to - 1, else `to`. `*hash` is that of the
   window before `from` and is carried on. */
static size_t scan(const uint64_t gear[256], const uint8_t *data, size_t from, size_t to,
                   uint64_t below, uint64_t *hash)
{
    uint64_t h = *hash;
    const uint8_t *p = data + from, *end = data + to;
#define STEP(i)                        \
    if (h < below)                     \
        return (size_t)(p + (i)-data); \
    h = (h << 1) + gear[p[i]];
    for (; end - p >= 8; p += 8) {
        STEP(0)
        STEP(1)
        STEP(2)
        STEP(3)
        STEP(4)
        STEP(5)
        STEP(6)
        STEP(7)
    }
    for (; p < end; p++) {
        STEP(0)
    }
#undef STEP
    *hash = h;
    return to;
}

size_t chunker_cut(const struct chunker *chunker, struct slice bytes, bool last)
{
    const struct chunker_limits *limits = &chunker->limits;
    size_t min = limits->min_bytes, max = limits->max_bytes, change = chunker->switch_bytes;
    size_t end = bytes.size < max ? bytes.size : max;
    size_t cut = end;
    if (end > min) {
        uint64_t hash = 0;
        for (size_t i = min - CHUNKER_WINDOW_BYTES; i < min; i++)
            hash = (hash << 1) + chunker->gear[bytes.data[i]];
        size_t strict_end = end < change ? end : change;
        cut = scan(chunker->gear, bytes.data, min, strict_end, chunker->strict, &hash);
        if (cut == strict_end && cut < end)
            cut = scan(chunker->gear, bytes.data, cut, end, chunker->loose, &hash);
        if (cut == end && end < max && hash < (end < change ? chunker->strict : chunker->loose))
            return cut; /* right behind the last byte that is here */
    }
    return cut < end || end == max || last ? cut : 0;
}

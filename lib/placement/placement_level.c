#include "placement/placement_level.h"

#include "base/limits.h"
#include "base/text.h"
#include "placement/placement_durability.h"

#include <stdio.h>

struct placement_level placement_level_for(uint32_t others)
{
    static const struct {
        uint32_t others; /* from so many on */
        struct placement_level level;
    } table[] = {
        {24, {16, 8}}, {12, {8, 4}}, {8, {4, 4}}, {7, {4, 3}}, {6, {2, 4}}, {5, {2, 3}},
        {4, {2, 2}},   {3, {1, 2}},  {2, {1, 1}}, {1, {1, 0}}, {0, {0, 0}},
    };
    size_t i = 0;
    while (others < table[i].others)
        i++;
    return table[i].level;
}

struct placement_level placement_level_measured(uint32_t others, double up)
{
    const struct placement_level table = placement_level_for(others);
    struct placement_level best = table;
    double best_chance = placement_tail(table.k + table.m, table.m, 1 - up);
    if (up <= 0 || up > 1 || table.k == 0)
        return table;
    for (uint32_t k = table.k; k >= 1 && best_chance > PLACEMENT_UNAVAILABLE_MOST; k /= 2) {
        uint32_t most = others < PLACEMENT_OVERHEAD_MOST * k ? others : PLACEMENT_OVERHEAD_MOST * k;
        most = most < LIMIT_SHARDS ? most : LIMIT_SHARDS;
        for (uint32_t m = table.m; k + m <= most && best_chance > PLACEMENT_UNAVAILABLE_MOST; m++) {
            const double chance = placement_tail(k + m, m, 1 - up);
            if (chance < best_chance) {
                best = (struct placement_level){k, m};
                best_chance = chance;
            }
        }
    }
    return best;
}

bool placement_level_valid(struct placement_level level)
{
    return level.k >= 1 && level.k <= LIMIT_SHARDS && level.m <= LIMIT_SHARDS - level.k;
}

enum err placement_level_parse(const char *text, struct placement_level *out, struct errmsg *msg)
{
    const char *plus = strchr(text, '+');
    char k_text[8] = "";
    uint64_t k = 0, m = 0;
    if (plus && plus - text < (ptrdiff_t)sizeof(k_text)) {
        memcpy(k_text, text, (size_t)(plus - text));
        if (text_parse_u64(k_text, LIMIT_SHARDS, &k) == ERR_OK &&
            text_parse_u64(plus + 1, LIMIT_SHARDS, &m) == ERR_OK) {
            struct placement_level level = {.k = (uint32_t)k, .m = (uint32_t)m};
            if (placement_level_valid(level)) {
                *out = level;
                return ERR_OK;
            }
        }
    }
    return err_say(
        msg, ERR_FORMAT,
        "'%s' is no redundancy: write K+M, such as 4+2 (4 shards restore, any 2 more may "
        "be lost), K at least 1 and K+M at most %u",
        text, LIMIT_SHARDS);
}

static const char *number_words(uint32_t number, char out[12])
{
    static const char *const words[] = {"no",    "one",   "two",  "three", "four",   "five",  "six",
                                        "seven", "eight", "nine", "ten",   "eleven", "twelve"};
    if (number < ARRAY_COUNT(words))
        return words[number];
    snprintf(out, 12, "%u", number);
    return out;
}

const char *placement_level_words(int32_t margin, uint32_t others, const char *unit,
                                  char out[PLACEMENT_WORDS_SIZE])
{
    char a[12], b[12];
    const char *plural = others == 1 ? "" : "s";
    const char *all = number_words(others, b);
    if (others == 0)
        snprintf(out, PLACEMENT_WORDS_SIZE, "there is no other %s to keep anything", unit);
    else if (margin < 0)
        snprintf(out, PLACEMENT_WORDS_SIZE, "data is missing: %s more shard%s needed than there %s",
                 number_words((uint32_t)-margin, a), margin == -1 ? " is" : "s are",
                 margin == -1 ? "is" : "are");
    else if (margin == 0 && others == 1)
        snprintf(out, PLACEMENT_WORDS_SIZE, "a single copy, lost when the one other %s loses it",
                 unit);
    else if (margin == 0)
        snprintf(out, PLACEMENT_WORDS_SIZE, "survives no loss among the %s other %s%s", all, unit,
                 plural);
    else
        snprintf(out, PLACEMENT_WORDS_SIZE, "survives any %s of the %s other %s%s",
                 number_words((uint32_t)margin, a), all, unit, plural);
    return out;
}

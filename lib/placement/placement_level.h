/*
 * From "how many other households are there" to k and m, and to words that people understand.
 *
 * k is 1, 2, 4, 8 or 16 (blocks of a power of two code fastest), m what makes the promise: any m
 * households can be lost. The table is the one of docs/placement.md.
 */
#pragma once

#include "base/err.h"

#include <stdint.h>

struct placement_level {
    uint32_t k, m;
};

enum { PLACEMENT_WORDS_SIZE = 160 };

/* The default for `others` other failure domains. {0, 0} for none: there is nowhere to put
 * anything. */
struct placement_level placement_level_for(uint32_t others);

/* The same where the domains' measured uptime is known (0..1; 0: not): the least m from the table's
   on with which a segment is unavailable less than PLACEMENT_UNAVAILABLE_MOST of the time; k is
   halved where no m is enough. Costs at most PLACEMENT_OVERHEAD_MOST times the data (or the table's
   own cost); where even that does not do, the best that can be had. */
struct placement_level placement_level_measured(uint32_t others, double up);
#define PLACEMENT_UNAVAILABLE_MOST 1e-4
enum { PLACEMENT_OVERHEAD_MOST = 4 };

/* Is k+m one that can be asked for by hand: k >= 1, k + m <= LIMIT_SHARDS? */
bool placement_level_valid(struct placement_level level);

/* "4+2"; ERR_FORMAT with a sentence for anything else. */
MUST_CHECK enum err placement_level_parse(const char *text, struct placement_level *out,
                                          struct errmsg *msg);

/* A promise in words: how many of the `others` may be lost when the worst segment can lose
   `margin`. `unit` is the singular of what a domain is to the reader ("household", "cell"). 2 of 6
   "survives any two of the six other households" 0 of 3    "survives no loss among the three other
   households" 0 of 1    "a single copy, lost when the one other household loses it" below 0   "data
   is missing: two more shards are needed than there are" Returns `out`. */
const char *placement_level_words(int32_t margin, uint32_t others, const char *unit,
                                  char out[PLACEMENT_WORDS_SIZE]);

/*
 * The lot by which cells ask each other for proofs while no coordinator throws one: who may ask
 * whom on which day. Everybody who knows the members computes the same, so the one who is asked
 * can check it, and nobody can make a cell read its disk whenever he likes.
 */
#pragma once

#include "base/id.h"

enum {
    PLACEMENT_LOTS = 4, /* cells that the lots of one auditor fall on in a day, on average */
    PLACEMENT_LOT_DAY_S = 86400,
};

/* `day`: whole days since 1970. `members`: cells of the swarm, both of them among these; with at
   most PLACEMENT_LOTS others every lot falls. */
bool placement_lot_falls(const struct id *auditor, const struct id *cell, uint64_t day,
                         size_t members);

#include "placement/placement_lot.h"

#include "placement/placement.h"

bool placement_lot_falls(const struct id *auditor, const struct id *cell, uint64_t day,
                         size_t members)
{
    if (id_equal(auditor, cell))
        return false;
    if (members <= PLACEMENT_LOTS + 1)
        return true;
    return placement_hash(auditor, cell, day) < UINT64_MAX / (members - 1) * PLACEMENT_LOTS;
}

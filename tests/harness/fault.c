#include "harness/fault.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t loop(fault_scenario_fn *scenario, void *user, uint64_t points_max, bool for_good)
{
    uint64_t at = 0;
    while (scenario(user, at, for_good)) {
        if (++at > points_max) {
            (void)fprintf(stderr, "fault_loop: more than %" PRIu64 " fault points\n", points_max);
            abort();
        }
    }
    if (at == 0) {
        (void)fprintf(stderr, "fault_loop: the scenario met no fault at all\n");
        abort();
    }
    return at;
}

uint64_t fault_loop(fault_scenario_fn *scenario, void *user, uint64_t points_max)
{
    uint64_t once = loop(scenario, user, points_max, false);
    uint64_t for_good = loop(scenario, user, points_max, true);
    return once > for_good ? once : for_good;
}

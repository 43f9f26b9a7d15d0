/*
 * Faults by number: the N-th operation fails, once or for good; and the loop that tries every N.
 *
 *     static bool scenario(void *user, uint64_t at, bool for_good)
 *     {
 *         struct fault fault = FAULT_INIT(at, for_good);
 *         ... make a disk or network that asks fault_hit(&fault) before each operation ...
 *         enum err e = operation_under_test(...);
 *         ... whatever e is: nothing is leaked, what was promised holds ...
 *         if (!fault.failed)
 *             assert_int_equal(e, ERR_OK);
 *         return fault.failed > 0;
 *     }
 *     fault_loop(scenario, user, 10000);
 *
 * So every place where an operation can fail is tried, and none is picked by hand.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct fault {
    uint64_t at;     /* number of the operation that fails, from 0; UINT64_MAX: none */
    bool for_good;   /* and every one after it */
    uint64_t seen;   /* operations so far */
    uint64_t failed; /* of these, how many failed */
};

#define FAULT_INIT(at_, for_good_) ((struct fault){.at = (at_), .for_good = (for_good_)})
#define FAULT_NONE                 FAULT_INIT(UINT64_MAX, false)

/* Counts an operation; true when it has to fail. */
static inline bool fault_hit(struct fault *fault)
{
    uint64_t number = fault->seen++;
    bool hit = fault->for_good ? number >= fault->at : number == fault->at;
    fault->failed += hit;
    return hit;
}

/* Runs the operation with its `at`-th fault point failing; true when a fault was met. */
typedef bool fault_scenario_fn(void *user, uint64_t at, bool for_good);

/* at = 0, 1, 2, … until no fault is met, with faults that come once, then with faults for good.
   Returns the number of fault points. Aborts with a sentence when `points_max` is passed or when
   there was not even one point (then the fault is not wired to anything). */
uint64_t fault_loop(fault_scenario_fn *scenario, void *user, uint64_t points_max);

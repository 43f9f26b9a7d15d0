/*
 * The N-th allocation fails. For programs linked with `harness_alloc_dep`, whose link arguments
 * send malloc, calloc, realloc and reallocarray of our own code (not of shared libraries) here.
 *
 *     static bool scenario(void *user, uint64_t at, bool for_good)
 *     {
 *         alloc_fault_arm(at, for_good);
 *         enum err e = operation_under_test();
 *         bool met = alloc_fault_disarm();
 *         assert_int_equal(e, met ? ERR_NOMEM : ERR_OK);
 *         return met;
 *     }
 *     fault_loop(scenario, NULL, 10000);
 *
 * One counter for the process (the only way, since malloc has no context); single-threaded tests
 * only. cmocka's own and the harness's allocations are not counted (aligned_alloc, shared library).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Starts counting at 0. */
void alloc_fault_arm(uint64_t at, bool for_good);

/* No more failures; true when at least one was met since alloc_fault_arm(). */
bool alloc_fault_disarm(void);

/* Allocations since alloc_fault_arm(). */
uint64_t alloc_fault_seen(void);

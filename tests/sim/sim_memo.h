/*
 * Verified signatures are remembered. Verifying is a pure function, and in a simulated month the
 * same hello is shown thousands of times; so a program that links `sim_memo_dep` answers a question
 * that was asked before from a table (keyed by SHA-256 over key, message and signature), which
 * halves its time. Only questions that were asked exactly so are answered from it, and those about
 * signatures that the process has just made itself.
 */
#pragma once

#include <stdint.h>

struct sim_memo_counters {
    uint64_t asked, remembered;
};
void sim_memo_counters(struct sim_memo_counters *out);

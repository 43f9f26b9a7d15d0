/*
 * One seed of the simulator: a swarm of the real code lives through some weeks of bad weather, and
 * what it has promised is held against what is on its disks.
 *
 *     sim_life_run(&options, &result)
 *
 * A seed draws its *climate* first: which kinds of faults there are, how often, how the cells lie
 * in households and sites, which redundancy the owner takes. Then days pass; every few hours
 * something happens (sim_weather.c), somebody tries what he must not (sim_intruder.c), the owner
 * stores, deletes, publishes; and the promises are checked (sim_promise.c). At the end the weather
 * clears, the swarm has some days to repair itself, and everything must be there.
 *
 * The weather is rough but not unfair: it never takes more shards of a segment than m since the
 * directory knew it whole, by what the *promises* say. Whoever keeps less than he promised is found
 * out by that.
 */
#pragma once

#include "sim_backup.h"

struct sim_life_options {
    uint64_t seed;
    unsigned cells, days;
    bool verbose; /* what happens goes to stdout */
};

enum { SIM_LIFE_WORDS = 400 };

struct sim_life_result {
    bool broken;
    char invariant[24];          /* which */
    char words[SIM_LIFE_WORDS];  /* what was found */
    uint64_t hash;               /* of the whole trace */
    uint64_t steps;              /* events */
    unsigned segments, restored; /* committed; read back at the end */
    unsigned faults, attacks;    /* of the weather, of intruders */
    uint64_t repair_bytes, refused, proofs;
    double cpu_s;
};

void sim_life_run(const struct sim_life_options *options, struct sim_life_result *result);

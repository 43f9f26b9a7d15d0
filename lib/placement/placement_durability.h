/*
 * How likely it is that data cannot be read, or is lost: formulas, pure (docs/durability.md has
 * where they come from, what they leave out, and how they were checked against a simulation).
 *
 * A segment has n = k + m shards in n failure domains, and can be read while k of them are there.
 * Unavailable: at a moment drawn at random, fewer than k domains are up. Lost: more than m shards
 * are gone at one time, before they have been made anew. Probabilities are on the safe side: what
 * is not known exactly makes them larger, not smaller.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The largest number of domains in one question: a placement group. */
enum { PLACEMENT_DURABILITY_MAX = 256 };

/* The probability that fewer than `k` of `count` are up, up[i] being the i-th one's: exact, for
   independent ones (Poisson-binomial distribution, O(count²)). `count` at most
   PLACEMENT_DURABILITY_MAX. 1 when count < k. */
double placement_unavailable(const double *up, size_t count, uint32_t k);

/* The probability that more than `m` of `count` are hit when each is with probability `each`,
   independently (upper tail of the binomial distribution). */
double placement_tail(uint32_t count, uint32_t m, double each);

/* What hits many domains at one blow: a site or a region, a bad batch of disks, a bad release. */
struct placement_event {
    double rate_year; /* how often it comes, a year */
    double each;      /* the probability that it destroys a given domain's shard */
};

struct placement_loss {
    uint32_t count, m;   /* domains; lost when more than m of them are gone at once */
    uint32_t unrepaired; /* losses that lazy repair leaves as they are; at most m */
    double rate_year;    /* losses of one domain, a year, by itself */
    double window_year;  /* from a loss until its shards stand elsewhere, in years */
    const struct placement_event *events;
    size_t event_count;
};

/* Losses a year to be expected. Each domain is there and gone by turns: gone for the window, with
   the stationary probability q = r w / (1 + r w), which does not depend on how the window is
   distributed (r counts the events' losses too); data is lost when the (m + 1)-th goes while m are
   gone, or when an event takes so many, with those that were gone before and those that go in the
   window after it. */
double placement_loss_rate(const struct placement_loss *loss);

/* The probability that something happens within a year that is expected `rate` times in it. */
double placement_year(double rate);

/* How many losses lazy repair leaves alone, by registry.h's repair_percent. */
uint32_t placement_unrepaired(uint32_t m, unsigned repair_percent);

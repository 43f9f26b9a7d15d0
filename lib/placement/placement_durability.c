#include "placement/placement_durability.h"

#include <assert.h>
#include <math.h>

double placement_unavailable(const double *up, size_t count, uint32_t k)
{
    double chance[PLACEMENT_DURABILITY_MAX + 1]; /* that so many of those seen are up */
    double sum = 0;
    assert(count <= PLACEMENT_DURABILITY_MAX);
    if (count < k)
        return 1;
    chance[0] = 1;
    for (size_t i = 0; i < count; i++) {
        chance[i + 1] = chance[i] * up[i];
        for (size_t j = i; j > 0; j--)
            chance[j] = chance[j] * (1 - up[i]) + chance[j - 1] * up[i];
        chance[0] *= 1 - up[i];
    }
    for (uint32_t j = 0; j < k; j++)
        sum += chance[j];
    return sum < 1 ? sum : 1;
}

/* log of (count over hit) each^hit (1 - each)^(count - hit) */
static double binomial(uint32_t count, uint32_t hit, double each)
{
    const double ways =
        lgamma((double)count + 1) - lgamma((double)hit + 1) - lgamma((double)(count - hit) + 1);
    return exp(ways + hit * log(each) + (count - hit) * log1p(-each));
}

double placement_tail(uint32_t count, uint32_t m, double each)
{
    double sum = 0;
    if (m >= count || each <= 0)
        return 0;
    if (each >= 1)
        return 1;
    for (uint32_t hit = m + 1; hit <= count; hit++)
        sum += binomial(count, hit, each);
    return sum < 1 ? sum : 1;
}

double placement_loss_rate(const struct placement_loss *loss)
{
    /* what lazy repair leaves alone counts as gone all the time */
    const uint32_t left = loss->unrepaired < loss->m ? loss->unrepaired : loss->m;
    const uint32_t count = loss->count - left, m = loss->m - left;
    double all_year = loss->rate_year; /* of one domain, whatever takes it */
    for (size_t i = 0; i < loss->event_count; i++)
        all_year += loss->events[i].rate_year * loss->events[i].each;
    const double load = all_year * loss->window_year;
    const double gone = load / (1 + load);
    double rate = 0;
    if (loss->count <= loss->m)
        return 0;
    if (gone > 0)
        rate = binomial(count, m, gone) * (count - m) * loss->rate_year;
    else if (m == 0)
        rate = count * loss->rate_year;
    for (size_t i = 0; i < loss->event_count; i++) {
        /* stays, if it is there, is not hit, and does not go in the window after the blow either */
        const double stays = (1 - gone) * (1 - loss->events[i].each) * exp(-load);
        rate += loss->events[i].rate_year * placement_tail(count, m, 1 - stays);
    }
    return rate;
}

double placement_year(double rate)
{
    return -expm1(-rate);
}

uint32_t placement_unrepaired(uint32_t m, unsigned repair_percent)
{
    /* due when margin * 100 < m * percent, the margin being m less what is lost */
    uint32_t lost = 0;
    while (lost < m && (m - lost) * 100 >= m * repair_percent)
        lost++;
    return lost ? lost - 1 : 0;
}

#include "histogram.h"

/*
 * Values below 64 have a bucket each. Above, a value's highest bit selects a group and the six bits below it one of
 * the group's 64 buckets.
 */
void histogram_add(struct histogram *histogram, uint64_t value)
{
    unsigned bucket = (unsigned)value;
    if (value >= SUB_BUCKETS) {
        unsigned shift = 63u - (unsigned)__builtin_clzll(value) - 6u;
        bucket = (shift + 1) * SUB_BUCKETS + (unsigned)((value >> shift) & (SUB_BUCKETS - 1));
    }
    histogram->counts[bucket]++;
    histogram->total++;
}

static uint64_t lower_edge(unsigned bucket)
{
    if (bucket < SUB_BUCKETS)
        return bucket;
    return (uint64_t)(SUB_BUCKETS + bucket % SUB_BUCKETS) << (bucket / SUB_BUCKETS - 1);
}

uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->total), seen = 0;
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        seen += histogram->counts[bucket];
        if (seen > wanted)
            return lower_edge(bucket);
    }
    return 0;
}

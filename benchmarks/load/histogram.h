/* Latencies in buckets whose width is at most 1/64 of their value: a fixed size, whatever is recorded. */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdint.h>

#define SUB_BUCKETS 64
#define BUCKETS (SUB_BUCKETS * 60)

struct histogram {
    uint64_t counts[BUCKETS];
    uint64_t total;
};

void histogram_add(struct histogram *histogram, uint64_t value);

/* The value below which the given share (0 to 1) of the recorded ones lies; 0 if there are none. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

#endif

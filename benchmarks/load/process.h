/* What the kernel knows about the server's processes. */
#ifndef LOAD_PROCESS_H
#define LOAD_PROCESS_H

#include <stdint.h>

#define MAX_PROCESSES 64

struct process_list {
    int pids[MAX_PROCESSES];
    int count;
};

uint64_t monotonic_nanoseconds(void);

/*
 * CPU time of all threads of all the processes. From schedstat, which counts nanoseconds: the clock ticks of
 * /proc/PID/stat are too coarse for runs of a second. A thread that has ended is no longer counted.
 */
uint64_t cpu_nanoseconds(const struct process_list *list);

/* Resident memory of all the processes. Socket buffers are the kernel's and not in it. */
uint64_t resident_kilobytes(const struct process_list *list);

double own_cpu_seconds(void);

#endif

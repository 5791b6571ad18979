#define _GNU_SOURCE
#include "process.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

uint64_t monotonic_nanoseconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t thread_nanoseconds(int pid, const char *thread)
{
    char path[320];
    unsigned long long on_cpu = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, thread);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0; /* the thread ended between readdir and now */
    if (fscanf(file, "%llu", &on_cpu) != 1)
        on_cpu = 0;
    fclose(file);
    return on_cpu;
}

static uint64_t process_nanoseconds(int pid)
{
    char path[64];
    uint64_t sum = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    if (!threads)
        return 0;
    for (struct dirent *entry; (entry = readdir(threads));)
        if (entry->d_name[0] != '.')
            sum += thread_nanoseconds(pid, entry->d_name);
    closedir(threads);
    return sum;
}

uint64_t cpu_nanoseconds(const struct process_list *list)
{
    uint64_t sum = 0;
    for (int i = 0; i < list->count; i++)
        sum += process_nanoseconds(list->pids[i]);
    return sum;
}

uint64_t resident_kilobytes(const struct process_list *list)
{
    uint64_t pages = 0;
    for (int i = 0; i < list->count; i++) {
        char path[64];
        unsigned long long size, resident;
        snprintf(path, sizeof path, "/proc/%d/statm", list->pids[i]);
        FILE *file = fopen(path, "r");
        if (!file)
            continue;
        if (fscanf(file, "%llu %llu", &size, &resident) == 2)
            pages += resident;
        fclose(file);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

double own_cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* SPDX-License-Identifier: MIT */
/*
 * prefetch: a few threads that do small jobs in the background, in order; jobs that find the queue full are dropped.
 * The threads are started by the first job, so whoever forks (a daemon) may do so before. Any thread.
 */
#ifndef CAIRN_PREFETCH_H
#define CAIRN_PREFETCH_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>

struct prefetch;

struct prefetch_opts {
    unsigned threads;
    size_t jobs;     /* waiting at most */
    size_t job_size; /* bytes of one */
    void (*run)(void *ctx, const void *job);
    /* Called every few seconds by one of the threads while it returns true; false: not before there was a job again. */
    bool (*idle)(void *ctx);
    void *ctx;
};

int prefetch_new(const struct prefetch_opts *o, struct prefetch **ret, struct err *e);
/* Waits for jobs that run now, drops the others. NULL: no-op. */
void prefetch_free(struct prefetch *p);
/* Copies the job. false: dropped (queue full, no memory, no threads to be had). */
bool prefetch_add(struct prefetch *p, const void *job);

#endif

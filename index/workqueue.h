/* SPDX-License-Identifier: MIT */
/*
 * workqueue: a bounded queue of pointers between threads. A full one makes the producer wait, which is what
 * bounds a pipeline's memory. Any number of threads on either side.
 *
 *   init → put…, get… → close (no more will be put) or abort (stop at once) → drain what is left → release
 */
#ifndef CAIRN_WORKQUEUE_H
#define CAIRN_WORKQUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct workqueue {
    pthread_mutex_t lock;
    pthread_cond_t not_empty, not_full;
    void **items; /* ring */
    size_t cap, head, count;
    bool closed, aborted;
};

/* -1 for want of memory. */
int workqueue_init(struct workqueue *q, size_t cap);
/* Nobody may use it any more; items that are left are not freed. A zeroed struct is fine. */
void workqueue_release(struct workqueue *q);
/* Waits for room. -1 when the queue was aborted or closed: the item stays the caller's. */
int workqueue_put(struct workqueue *q, void *item);
/* As workqueue_put, but -1 at once when there is no room. */
int workqueue_try_put(struct workqueue *q, void *item);
/* Waits for an item, in order. NULL: closed and empty, or aborted. */
void *workqueue_get(struct workqueue *q);
/* As workqueue_get, but gives up at a time of CLOCK_MONOTONIC: NULL and *ret_late. */
void *workqueue_get_until(struct workqueue *q, const struct timespec *when, bool *ret_late);
/* An item if there is one, whatever the state: to free what an abort left. */
void *workqueue_drain(struct workqueue *q);
void workqueue_close(struct workqueue *q);
void workqueue_abort(struct workqueue *q);

#endif

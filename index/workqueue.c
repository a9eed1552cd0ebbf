/* SPDX-License-Identifier: MIT */
/* A ring under one mutex. Items are large (a slab, a block), so the lock is taken some thousand times a second at most.
 */
#include "workqueue.h"

#include <errno.h>
#include <stdlib.h>

int workqueue_init(struct workqueue *q, size_t cap)
{
    *q = (struct workqueue){.cap = cap};
    q->items = calloc(cap, sizeof *q->items);
    if (!q->items)
        return -1;
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&q->not_empty, &monotonic);
    pthread_cond_init(&q->not_full, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return 0;
}

void workqueue_release(struct workqueue *q)
{
    if (!q->items)
        return;
    free(q->items);
    q->items = NULL;
    pthread_cond_destroy(&q->not_full);
    pthread_cond_destroy(&q->not_empty);
    pthread_mutex_destroy(&q->lock);
}

static int put(struct workqueue *q, void *item, bool wait)
{
    int rc = -1;
    pthread_mutex_lock(&q->lock);
    while (wait && q->count == q->cap && !q->aborted && !q->closed)
        pthread_cond_wait(&q->not_full, &q->lock);
    if (q->count < q->cap && !q->aborted && !q->closed) {
        q->items[(q->head + q->count++) % q->cap] = item;
        pthread_cond_signal(&q->not_empty);
        rc = 0;
    }
    pthread_mutex_unlock(&q->lock);
    return rc;
}

int workqueue_put(struct workqueue *q, void *item)
{
    return put(q, item, true);
}

int workqueue_try_put(struct workqueue *q, void *item)
{
    return put(q, item, false);
}

static void *take(struct workqueue *q)
{
    void *item = q->items[q->head];
    q->head = (q->head + 1) % q->cap;
    q->count--;
    pthread_cond_signal(&q->not_full);
    return item;
}

void *workqueue_get_until(struct workqueue *q, const struct timespec *when, bool *ret_late)
{
    void *item = NULL;
    int rc = 0;
    pthread_mutex_lock(&q->lock);
    while (!q->count && !q->closed && !q->aborted && rc != ETIMEDOUT)
        rc = when ? pthread_cond_timedwait(&q->not_empty, &q->lock, when) : pthread_cond_wait(&q->not_empty, &q->lock);
    *ret_late = !q->count && !q->closed && !q->aborted;
    if (q->count && !q->aborted)
        item = take(q);
    pthread_mutex_unlock(&q->lock);
    return item;
}

void *workqueue_get(struct workqueue *q)
{
    bool late;
    return workqueue_get_until(q, NULL, &late);
}

void *workqueue_drain(struct workqueue *q)
{
    pthread_mutex_lock(&q->lock);
    void *item = q->count ? take(q) : NULL;
    pthread_mutex_unlock(&q->lock);
    return item;
}

static void stop(struct workqueue *q, bool *flag)
{
    pthread_mutex_lock(&q->lock);
    *flag = true;
    pthread_cond_broadcast(&q->not_empty);
    pthread_cond_broadcast(&q->not_full);
    pthread_mutex_unlock(&q->lock);
}

void workqueue_close(struct workqueue *q)
{
    stop(q, &q->closed);
}

void workqueue_abort(struct workqueue *q)
{
    stop(q, &q->aborted);
}

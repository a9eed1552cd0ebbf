/* SPDX-License-Identifier: MIT */
/*
 * firsterr: the first error of several threads that work on one thing. Any thread.
 */
#ifndef CAIRN_FIRSTERR_H
#define CAIRN_FIRSTERR_H

#include "err.h"

#include <pthread.h>
#include <stdbool.h>

struct firsterr {
    pthread_mutex_t lock;
    _Atomic bool set;
    struct err e;
};

static inline void firsterr_init(struct firsterr *f)
{
    pthread_mutex_init(&f->lock, NULL);
    f->set = false;
}

static inline void firsterr_release(struct firsterr *f)
{
    pthread_mutex_destroy(&f->lock);
}

/* Keeps e unless there is one already. */
static inline void firsterr_set(struct firsterr *f, const struct err *e)
{
    pthread_mutex_lock(&f->lock);
    if (!f->set) {
        f->e = *e;
        f->set = true;
    }
    pthread_mutex_unlock(&f->lock);
}

/* 0 when there is none, else -1 and the error. */
static inline int firsterr_get(struct firsterr *f, struct err *e)
{
    if (!f->set)
        return 0;
    pthread_mutex_lock(&f->lock);
    *e = f->e;
    pthread_mutex_unlock(&f->lock);
    return -1;
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Two slabs go round: the producer fills one while the reader has the other. A slab is handed over when it is full or
 * the producer is done; the reader gives its slab back with the next pull, as the stream contract has it.
 */
#include "feed.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SLAB = 256 << 10 };

struct feed {
    struct stream s; /* first: the stream is the feed */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    int (*produce)(struct feed *, void *, struct err *);
    void *ctx;
    void (*free_ctx)(void *);
    /* under lock */
    size_t full[2]; /* bytes ready in slab i; 0: it is the producer's */
    bool done, stop;
    struct err err; /* the producer's, set before done */
    /* producer only */
    unsigned put;
    size_t fill;
    /* reader only */
    unsigned take;
    bool holding;
    uint8_t slab[2][SLAB];
};

/* Hands the slab in hand over and waits until the other one is free. */
static int hand_over(struct feed *f, struct err *e)
{
    pthread_mutex_lock(&f->lock);
    f->full[f->put] = f->fill;
    f->put ^= 1;
    f->fill = 0;
    pthread_cond_broadcast(&f->change);
    while (f->full[f->put] && !f->stop)
        pthread_cond_wait(&f->change, &f->lock);
    bool stop = f->stop;
    pthread_mutex_unlock(&f->lock);
    return stop ? err_set(e, ERR_CANCELLED, "the reader went away") : 0;
}

int feed_write(struct feed *f, const void *p, size_t n, struct err *e)
{
    const uint8_t *q = p;
    while (n) {
        size_t k = SLAB - f->fill;
        if (k > n)
            k = n;
        memcpy(f->slab[f->put] + f->fill, q, k);
        f->fill += k;
        q += k;
        n -= k;
        if (f->fill == SLAB && hand_over(f, e) < 0)
            return -1;
    }
    return 0;
}

static void *feed_main(void *arg)
{
    struct feed *f = arg;
    struct err e = {0};
    int rc = f->produce(f, f->ctx, &e);
    pthread_mutex_lock(&f->lock);
    if (f->fill)
        f->full[f->put] = f->fill;
    if (rc < 0)
        f->err = e;
    f->done = true;
    pthread_cond_broadcast(&f->change);
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

static int feed_pull(struct stream *s, const uint8_t **p, size_t *n, struct err *e)
{
    struct feed *f = (struct feed *)s;
    int rc = 0;
    pthread_mutex_lock(&f->lock);
    if (f->holding) {
        f->full[f->take] = 0;
        f->take ^= 1;
        f->holding = false;
        pthread_cond_broadcast(&f->change);
    }
    while (!f->full[f->take] && !f->done)
        pthread_cond_wait(&f->change, &f->lock);
    *n = f->full[f->take];
    *p = f->slab[f->take];
    if (*n) {
        f->holding = true;
    } else if (f->err.kind != ERR_NONE) {
        *e = f->err;
        rc = -1;
    }
    pthread_mutex_unlock(&f->lock);
    return rc;
}

static void feed_free(struct feed *f)
{
    if (f->free_ctx)
        f->free_ctx(f->ctx);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->change);
    free(f);
}

static void feed_close(struct stream *s)
{
    struct feed *f = (struct feed *)s;
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_cond_broadcast(&f->change);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    feed_free(f);
}

int feed_open(int (*produce)(struct feed *f, void *ctx, struct err *e), void *ctx, void (*free_ctx)(void *ctx),
              struct stream **ret, struct err *e)
{
    struct feed *f = calloc(1, sizeof *f);
    if (!f) {
        if (free_ctx)
            free_ctx(ctx);
        return err_nomem(e);
    }
    f->s.pull = feed_pull;
    f->s.close = feed_close;
    f->produce = produce;
    f->ctx = ctx;
    f->free_ctx = free_ctx;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->change, NULL);
    int rc = pthread_create(&f->thread, NULL, feed_main, f);
    if (rc) {
        feed_free(f);
        return err_sys(e, rc, "start a thread");
    }
    *ret = &f->s;
    return 0;
}

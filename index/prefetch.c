/* SPDX-License-Identifier: MIT */
#include "prefetch.h"

#include "workqueue.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX  8
#define IDLE_SECONDS 10

struct prefetch {
    struct prefetch_opts o;
    struct workqueue q;
    pthread_mutex_t lock; /* starting */
    _Atomic bool started;
    pthread_t thread[THREADS_MAX];
    unsigned running;
};

int prefetch_new(const struct prefetch_opts *o, struct prefetch **ret, struct err *e)
{
    struct prefetch *p = calloc(1, sizeof *p);
    if (!p || workqueue_init(&p->q, o->jobs) < 0) {
        free(p);
        return err_nomem(e);
    }
    p->o = *o;
    if (p->o.threads > THREADS_MAX)
        p->o.threads = THREADS_MAX;
    pthread_mutex_init(&p->lock, NULL);
    *ret = p;
    return 0;
}

void prefetch_free(struct prefetch *p)
{
    void *job;
    if (!p)
        return;
    workqueue_abort(&p->q);
    for (unsigned i = 0; i < p->running; i++)
        pthread_join(p->thread[i], NULL);
    while ((job = workqueue_drain(&p->q)))
        free(job);
    workqueue_release(&p->q);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static void *work(void *ctx)
{
    struct prefetch *p = ctx;
    bool more = true; /* there may be something to do when idle */
    for (;;) {
        struct timespec when;
        bool late;
        clock_gettime(CLOCK_MONOTONIC, &when);
        when.tv_sec += IDLE_SECONDS;
        void *job = workqueue_get_until(&p->q, more ? &when : NULL, &late);
        if (job) {
            p->o.run(p->o.ctx, job);
            free(job);
            more = true;
        } else if (late) {
            more = p->o.idle(p->o.ctx);
        } else {
            return NULL;
        }
    }
}

static void start(struct prefetch *p)
{
    sigset_t all, old;
    pthread_mutex_lock(&p->lock);
    if (!p->started) {
        /* Signals are for the program's own threads. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        while (p->running < p->o.threads && pthread_create(&p->thread[p->running], NULL, work, p) == 0)
            p->running++;
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        p->started = true;
    }
    pthread_mutex_unlock(&p->lock);
}

bool prefetch_add(struct prefetch *p, const void *job)
{
    if (!p->started)
        start(p);
    if (!p->running)
        return false;
    void *copy = malloc(p->o.job_size);
    if (!copy)
        return false;
    memcpy(copy, job, p->o.job_size);
    if (workqueue_try_put(&p->q, copy) == 0)
        return true;
    free(copy);
    return false;
}

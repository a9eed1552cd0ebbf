/* SPDX-License-Identifier: MIT */
/* logonce: see logonce.h. */
#include "logonce.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void logonce_init(struct logonce *l, void (*log)(void *, const char *), void *ctx)
{
    memset(l, 0, sizeof *l);
    pthread_mutex_init(&l->lock, NULL);
    l->log = log;
    l->ctx = ctx;
}

void logonce_release(struct logonce *l)
{
    pthread_mutex_destroy(&l->lock);
}

/* FNV-1a; a collision only costs a line. */
static uint64_t hash(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 0x100000001b3u;
    return h ? h : 1;
}

static bool is_new(struct logonce *l, uint64_t h)
{
    bool found = false;
    pthread_mutex_lock(&l->lock);
    for (unsigned i = 0; i < LOGONCE_KEEP && !found; i++)
        found = l->seen[i] == h;
    if (!found) {
        l->seen[l->next] = h;
        l->next = (l->next + 1) % LOGONCE_KEEP;
    }
    pthread_mutex_unlock(&l->lock);
    return !found;
}

void logonce(struct logonce *l, const char *fmt, ...)
{
    char line[1200];
    va_list ap;
    if (!l->log)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (is_new(l, hash(line)))
        l->log(l->ctx, line);
}

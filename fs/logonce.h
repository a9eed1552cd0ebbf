/* SPDX-License-Identifier: MIT */
/*
 * logonce: hands lines to the tool's log hook, each text once, so that a damaged block that is read a thousand times
 * makes one line. Remembers hashes of the last few hundred texts. Any thread.
 */
#ifndef CAIRN_FS_LOGONCE_H
#define CAIRN_FS_LOGONCE_H

#include <pthread.h>
#include <stdint.h>

enum { LOGONCE_KEEP = 256 };

struct logonce {
    pthread_mutex_t lock;
    uint64_t seen[LOGONCE_KEEP]; /* a ring; 0: free */
    unsigned next;
    void (*log)(void *ctx, const char *line); /* NULL: nobody listens */
    void *ctx;
};

void logonce_init(struct logonce *l, void (*log)(void *, const char *), void *ctx);
void logonce_release(struct logonce *l);
void logonce(struct logonce *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif

/* SPDX-License-Identifier: MIT */
/*
 * feed: a stream whose bytes a thread of its own makes (a directory walked as tar or NAR), two slabs ahead of the
 * reader. The producer's failure comes out of the stream as an error, after the bytes that it had made. stream_close
 * stops the producer at its next feed_write, and waits for it.
 */
#ifndef CAIRN_FEED_H
#define CAIRN_FEED_H

#include "../stream.h"

struct feed;

/*
 * produce runs in the thread: it calls feed_write and returns 0 or -1 with e. free_ctx (may be NULL) is called once,
 * at stream_close, and by feed_open itself when it fails.
 */
int feed_open(int (*produce)(struct feed *f, void *ctx, struct err *e), void *ctx, void (*free_ctx)(void *ctx),
              struct stream **ret, struct err *e);
/* Copies n bytes over; waits for room. -1 (ERR_CANCELLED) when the reader is gone: return it. */
int feed_write(struct feed *f, const void *p, size_t n, struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * counted: a stream that reports what passes, and stops when the user asks to. One thread.
 */
#ifndef CAIRN_COUNTED_H
#define CAIRN_COUNTED_H

#include "../stream.h"

/* Shared by all streams of an import. */
struct counter {
    void (*fn)(void *ctx, const char *what, uint64_t done, uint64_t total); /* may be NULL; total 0: unknown */
    void *ctx;
    const volatile int *cancel; /* non-zero: ERR_CANCELLED; may be NULL */
    uint64_t done, total;
};

/* n bytes more are to come; UINT64_MAX: unknown, no change. */
void counter_expect(struct counter *c, uint64_t n);
int counter_check(const struct counter *c, struct err *e);
/* Owns inner, also on failure. c and what must stay valid. */
int counted_open(struct counter *c, struct stream *inner, const char *what, struct stream **ret, struct err *e);
/* The bytes come from fd, which may let wait for them (a pipe, a terminal): stopping is noticed meanwhile. */
void counted_waits(struct stream *counted, int fd);

#endif

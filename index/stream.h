/* SPDX-License-Identifier: MIT */
/*
 * stream: a sequence of bytes that is pulled, with as little copying as the producer allows.
 *
 * A producer fills in `pull` and `close`; consumers use the functions below only. `pull` gives the next
 * run of bytes (at least one; *n = 0 means the end) which stays valid until the next pull or close.
 * One thread. The stream_open_* makers allocate; stream_close frees whatever they made (also NULL: no-op).
 */
#ifndef CAIRN_STREAM_H
#define CAIRN_STREAM_H

#include "crypto.h"
#include "err.h"

struct stream {
    int (*pull)(struct stream *s, const uint8_t **p, size_t *n, struct err *e);
    void (*close)(struct stream *s);
    const uint8_t *p; /* unread rest of the last run */
    size_t n;
    uint64_t pos; /* bytes consumed so far */
    bool ended;
};

void stream_close(struct stream *s);
/* Next bytes without copying, at most max, consumed by the call; *ret_n = 0 at the end. */
int stream_run(struct stream *s, size_t max, const uint8_t **ret_p, size_t *ret_n, struct err *e);
/* Copies up to n bytes; short only at the end. */
int stream_read(struct stream *s, void *p, size_t n, size_t *ret_n, struct err *e);
/* Exactly n bytes, or ERR_INPUT "<what>: truncated: n bytes wanted at offset …, m left". */
int stream_need(struct stream *s, void *p, size_t n, const char *what, struct err *e);
/* Skips exactly n bytes, else as stream_need. */
int stream_skip(struct stream *s, uint64_t n, const char *what, struct err *e);
/* Reads and drops the rest (so that a hash below sees all bytes). */
int stream_drain(struct stream *s, struct err *e);

/* Bytes in memory, not owned. */
int stream_open_mem(const void *p, size_t n, struct stream **ret, struct err *e);
/* From fd: [off, off+len) by pread when len != UINT64_MAX, else read() till the end. Takes fd over when own. */
int stream_open_fd(int fd, bool own, uint64_t off, uint64_t len, struct stream **ret, struct err *e);
/*
 * Passes `inner` through (owning it, also on failure) and hashes what is pulled. After the end was reached
 * (stream_drain), stream_hash_final gives digest and length; ERR_USAGE before.
 */
int stream_open_hash(struct stream *inner, struct stream **ret, struct err *e);
int stream_hash_final(struct stream *s, struct digest *ret, uint64_t *ret_len, struct err *e);

#endif

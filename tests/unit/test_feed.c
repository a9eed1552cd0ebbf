/* SPDX-License-Identifier: MIT */
/* Streams made by a thread: all bytes, its failure, a reader that goes away early. */
#include "tap.h"
#include "../../index/source/feed.h"

#include <stdlib.h>

struct job {
    size_t pieces, piece; /* writes that many times that many bytes */
    bool fail;
    bool freed;
    size_t written;
};

static int produce(struct feed *f, void *ctx, struct err *e)
{
    struct job *j = ctx;
    uint8_t *p = calloc(1, j->piece + 1);
    int rc = p ? 0 : err_nomem(e);
    for (size_t i = 0; rc == 0 && i < j->pieces; i++) {
        for (size_t k = 0; k < j->piece; k++)
            p[k] = (uint8_t)((j->written + k) * 7 >> 3);
        rc = feed_write(f, p, j->piece, e);
        if (rc == 0)
            j->written += j->piece;
    }
    free(p);
    return rc == 0 && j->fail ? err_set(e, ERR_INPUT, "the well is dry") : rc;
}

static void free_job(void *ctx)
{
    ((struct job *)ctx)->freed = true;
}

static void run(size_t pieces, size_t piece, bool fail)
{
    struct job j = {.pieces = pieces, .piece = piece, .fail = fail};
    struct stream *s;
    struct err e = {0};
    const uint8_t *p;
    size_t n, at = 0, wrong = 0;
    int rc = feed_open(produce, &j, free_job, &s, &e);
    ok(rc == 0, "open");
    while ((rc = stream_run(s, 70001, &p, &n, &e)) == 0 && n)
        for (size_t k = 0; k < n; k++, at++)
            wrong += p[k] != (uint8_t)(at * 7 >> 3);
    ok(at == pieces * piece && !wrong, "%zu times %zu bytes", pieces, piece);
    if (fail) {
        ok(rc < 0 && e.kind == ERR_INPUT, "the producer's failure comes after its bytes");
        is_str(e.text, "the well is dry", "as it was");
    } else {
        ok(rc == 0, "a clean end");
        ok(stream_run(s, 1, &p, &n, &e) == 0 && !n, "which stays");
    }
    stream_close(s);
    ok(j.freed, "context freed");
}

int main(void)
{
    run(0, 1, false);
    run(1, 1, false);
    run(1, 256 << 10, false);
    run(2, 256 << 10, false);
    run(3, 256 << 10, true);
    run(1000, 999, false);
    run(7, 1000003, true);
    run(0, 0, true);
    for (size_t taken = 0; taken < 3; taken++) {
        struct job j = {.pieces = 100, .piece = 100 << 10};
        struct stream *s;
        struct err e = {0};
        const uint8_t *p;
        size_t n;
        feed_open(produce, &j, free_job, &s, &e);
        for (size_t i = 0; i < taken; i++)
            stream_run(s, SIZE_MAX, &p, &n, &e);
        stream_close(s);
        ok(j.freed && j.written < 100 * (100 << 10), "closed after %zu runs: the producer stopped early", taken);
    }
    return tap_done();
}

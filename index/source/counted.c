/* SPDX-License-Identifier: MIT */
#include "counted.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#define STEP    ((size_t)1 << 20)
#define WAIT_MS 200

struct counted {
    struct stream s;
    struct stream *inner;
    struct counter *c;
    const char *what;
    int fd; /* waited for; -1: none */
};

void counter_expect(struct counter *c, uint64_t n)
{
    if (n != UINT64_MAX)
        c->total = c->total + n < n ? UINT64_MAX : c->total + n;
}

int counter_check(const struct counter *c, struct err *e)
{
    return c->cancel && *c->cancel ? err_set(e, ERR_CANCELLED, "stopped") : 0;
}

/* A signal may come between the check and the read, so it isn't left to EINTR. */
static int wait_for_bytes(const struct counted *c, struct err *e)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    for (;;) {
        if (counter_check(c->c, e) < 0)
            return -1;
        int n = c->fd < 0 ? 1 : poll(&p, 1, WAIT_MS);
        if (n > 0 || (n < 0 && errno != EINTR))
            return 0; /* what is wrong with fd, reading will say */
    }
}

void counted_waits(struct stream *counted, int fd)
{
    ((struct counted *)counted)->fd = fd;
}

static int pull(struct stream *s, const uint8_t **p, size_t *n, struct err *e)
{
    struct counted *c = (struct counted *)s;
    if (wait_for_bytes(c, e) < 0 || stream_run(c->inner, STEP, p, n, e) < 0)
        return -1;
    c->c->done += *n;
    if (c->c->fn)
        c->c->fn(c->c->ctx, c->what, c->c->done, c->c->total);
    return 0;
}

static void finish(struct stream *s)
{
    struct counted *c = (struct counted *)s;
    stream_close(c->inner);
    free(c);
}

int counted_open(struct counter *c, struct stream *inner, const char *what, struct stream **ret, struct err *e)
{
    struct counted *x = calloc(1, sizeof *x);
    if (!x) {
        stream_close(inner);
        return err_nomem(e);
    }
    x->s.pull = pull;
    x->s.close = finish;
    x->inner = inner;
    x->c = c;
    x->what = what;
    x->fd = -1;
    *ret = &x->s;
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "counted.h"

#include <stdlib.h>

#define STEP ((size_t)1 << 20)

struct counted {
    struct stream s;
    struct stream *inner;
    struct counter *c;
    const char *what;
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

static int pull(struct stream *s, const uint8_t **p, size_t *n, struct err *e)
{
    struct counted *c = (struct counted *)s;
    if (counter_check(c->c, e) < 0 || stream_run(c->inner, STEP, p, n, e) < 0)
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
    *ret = &x->s;
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "peek.h"
#include "../buf.h"

#include <stdlib.h>

struct peek {
    struct stream s;
    struct stream *inner;
    struct buf b;
    bool given; /* what was looked at has been handed out */
};

static int pull(struct stream *s, const uint8_t **p, size_t *n, struct err *e)
{
    struct peek *k = (struct peek *)s;
    if (!k->given && k->b.len) {
        k->given = true;
        *p = k->b.p;
        *n = k->b.len;
        return 0;
    }
    k->given = true;
    return stream_run(k->inner, SIZE_MAX, p, n, e);
}

static void finish(struct stream *s)
{
    struct peek *k = (struct peek *)s;
    stream_close(k->inner);
    buf_release(&k->b);
    free(k);
}

int peek_open(struct stream *inner, struct stream **ret, struct err *e)
{
    struct peek *k = calloc(1, sizeof *k);
    if (!k) {
        stream_close(inner);
        return err_nomem(e);
    }
    k->s.pull = pull;
    k->s.close = finish;
    k->inner = inner;
    *ret = &k->s;
    return 0;
}

int peek_bytes(struct stream *s, size_t want, const uint8_t **ret_p, size_t *ret_n, struct err *e)
{
    struct peek *k = (struct peek *)s;
    size_t n = 0;
    if (s->pull != pull || k->given)
        return err_set(e, ERR_USAGE, "peek after reading");
    if (want > k->b.len) {
        if (buf_reserve(&k->b, want - k->b.len) < 0)
            return err_nomem(e);
        if (stream_read(k->inner, k->b.p + k->b.len, want - k->b.len, &n, e) < 0)
            return -1;
        k->b.len += n;
    }
    *ret_p = k->b.p;
    *ret_n = k->b.len < want ? k->b.len : want;
    return 0;
}

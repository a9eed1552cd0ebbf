/* SPDX-License-Identifier: MIT */
/* Output is given as soon as the input at hand is used up, so that a slow source isn't waited for with bytes in hand.
 */
#include "gunzip.h"

#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>

enum { OUT = 256 << 10 };

struct gunzip {
    struct stream s; /* first: the stream is the gunzip */
    struct stream *inner;
    z_stream z;
    bool in_member;
    uint64_t members;
    uint8_t out[OUT];
};

static int damaged(struct gunzip *g, int rc, struct err *e)
{
    if (rc == Z_MEM_ERROR)
        return err_nomem(e);
    return err_set(e, ERR_INPUT, "gzip: damaged data at offset %llu%s%s", (unsigned long long)g->inner->pos,
                   g->z.msg ? ": " : "", g->z.msg ? g->z.msg : "");
}

/* More input, if z has none left. *ret_end: there is no more. */
static int more_input(struct gunzip *g, bool *ret_end, struct err *e)
{
    const uint8_t *p;
    size_t n;
    if (g->z.avail_in)
        return 0;
    if (stream_run(g->inner, 1u << 30, &p, &n, e) < 0)
        return -1;
    g->z.next_in = p;
    g->z.avail_in = (uInt)n;
    *ret_end = n == 0;
    return 0;
}

static int gunzip_pull(struct stream *s, const uint8_t **p, size_t *n, struct err *e)
{
    struct gunzip *g = (struct gunzip *)s;
    g->z.next_out = g->out;
    g->z.avail_out = OUT;
    while (g->z.avail_out == OUT || (g->z.avail_out && g->z.avail_in)) {
        bool end = false;
        if (more_input(g, &end, e) < 0)
            return -1;
        if (end && !g->in_member && g->members)
            break;
        if (end)
            return err_set(e, ERR_INPUT, "gzip: truncated after %llu bytes", (unsigned long long)g->inner->pos);
        if (!g->in_member) {
            if (g->members && inflateReset(&g->z) != Z_OK)
                return damaged(g, Z_DATA_ERROR, e);
            g->in_member = true;
            g->members++;
        }
        int rc = inflate(&g->z, Z_NO_FLUSH);
        if (rc == Z_STREAM_END)
            g->in_member = false;
        else if (rc != Z_OK && rc != Z_BUF_ERROR)
            return damaged(g, rc, e);
    }
    *p = g->out;
    *n = OUT - g->z.avail_out;
    return 0;
}

static void gunzip_close(struct stream *s)
{
    struct gunzip *g = (struct gunzip *)s;
    inflateEnd(&g->z);
    stream_close(g->inner);
    free(g);
}

int gunzip_open(struct stream *inner, struct stream **ret, struct err *e)
{
    struct gunzip *g = calloc(1, sizeof *g);
    if (!g || inflateInit2(&g->z, 16 + MAX_WBITS) != Z_OK) {
        free(g);
        stream_close(inner);
        return err_nomem(e);
    }
    g->inner = inner;
    g->s.pull = gunzip_pull;
    g->s.close = gunzip_close;
    *ret = &g->s;
    return 0;
}

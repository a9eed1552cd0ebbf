/* SPDX-License-Identifier: MIT */
/* Streams over memory, over descriptors, and one that hashes what passes through. */
#include "stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#define FD_BUFFER (256u << 10)

/* Makes sure that something unread is there, or the end is known. */
static int fill(struct stream *s, struct err *e)
{
    if (s->n || s->ended)
        return 0;
    const uint8_t *p = NULL;
    size_t n = 0;
    if (s->pull(s, &p, &n, e) < 0)
        return -1;
    s->p = p;
    s->n = n;
    s->ended = !n;
    return 0;
}

void stream_close(struct stream *s)
{
    if (s)
        s->close(s);
}

int stream_run(struct stream *s, size_t max, const uint8_t **ret_p, size_t *ret_n, struct err *e)
{
    if (max && fill(s, e) < 0)
        return -1;
    size_t n = s->n < max ? s->n : max;
    *ret_p = s->p;
    *ret_n = n;
    if (n)
        s->p += n;
    s->n -= n;
    s->pos += n;
    return 0;
}

int stream_read(struct stream *s, void *p, size_t n, size_t *ret_n, struct err *e)
{
    size_t done = 0;
    while (done < n) {
        const uint8_t *q;
        size_t got;
        if (stream_run(s, n - done, &q, &got, e) < 0)
            return -1;
        if (!got)
            break;
        memcpy((uint8_t *)p + done, q, got);
        done += got;
    }
    *ret_n = done;
    return 0;
}

static int cut_off(uint64_t want, uint64_t at, uint64_t left, const char *what, struct err *e)
{
    return err_set(e, ERR_INPUT, "%s: truncated: %" PRIu64 " bytes wanted at offset %" PRIu64 ", %" PRIu64 " left",
                   what, want, at, left);
}

int stream_need(struct stream *s, void *p, size_t n, const char *what, struct err *e)
{
    uint64_t at = s->pos;
    size_t got;
    if (stream_read(s, p, n, &got, e) < 0)
        return -1;
    return got == n ? 0 : cut_off(n, at, got, what, e);
}

int stream_skip(struct stream *s, uint64_t n, const char *what, struct err *e)
{
    uint64_t at = s->pos;
    for (uint64_t left = n; left;) {
        const uint8_t *p;
        size_t got;
        if (stream_run(s, left < SIZE_MAX ? (size_t)left : SIZE_MAX, &p, &got, e) < 0)
            return -1;
        if (!got)
            return cut_off(n, at, n - left, what, e);
        left -= got;
    }
    return 0;
}

int stream_drain(struct stream *s, struct err *e)
{
    const uint8_t *p;
    size_t n;
    do {
        if (stream_run(s, SIZE_MAX, &p, &n, e) < 0)
            return -1;
    } while (n);
    return 0;
}

/* --- memory --- */

struct mem_stream {
    struct stream s;
    const uint8_t *p;
    size_t n;
};

static int mem_pull(struct stream *s, const uint8_t **p, size_t *n, struct err *e)
{
    struct mem_stream *m = (struct mem_stream *)s;
    (void)e;
    *p = m->p;
    *n = m->n;
    m->n = 0;
    return 0;
}

static void mem_close(struct stream *s)
{
    free(s);
}

int stream_open_mem(const void *p, size_t n, struct stream **ret, struct err *e)
{
    struct mem_stream *m = calloc(1, sizeof *m);
    if (!m)
        return err_nomem(e);
    m->s.pull = mem_pull;
    m->s.close = mem_close;
    m->p = p;
    m->n = n;
    *ret = &m->s;
    return 0;
}

/* --- descriptors --- */

struct fd_stream {
    struct stream s;
    int fd;
    bool own, ranged;
    uint64_t off, left;
    uint8_t buf[FD_BUFFER];
};

static int fd_pull(struct stream *s, const uint8_t **p, size_t *n, struct err *e)
{
    struct fd_stream *f = (struct fd_stream *)s;
    size_t want = f->left < sizeof f->buf ? (size_t)f->left : sizeof f->buf;
    ssize_t got = 0;
    while (want) {
        got = f->ranged ? pread(f->fd, f->buf, want, (off_t)f->off) : read(f->fd, f->buf, want);
        if (got >= 0 || errno != EINTR)
            break;
    }
    if (got < 0)
        return err_sys(e, errno, "read");
    if (f->ranged) {
        if (want && !got)
            return err_set(e, ERR_INPUT, "truncated: the file ends at offset %" PRIu64 ", %" PRIu64 " bytes early",
                           f->off, f->left);
        f->left -= (uint64_t)got;
    }
    f->off += (uint64_t)got;
    *p = f->buf;
    *n = (size_t)got;
    return 0;
}

static void fd_close(struct stream *s)
{
    struct fd_stream *f = (struct fd_stream *)s;
    if (f->own)
        close(f->fd);
    free(f);
}

int stream_open_fd(int fd, bool own, uint64_t off, uint64_t len, struct stream **ret, struct err *e)
{
    struct fd_stream *f = NULL;
    bool ranged = len != UINT64_MAX;
    if (ranged && (off > INT64_MAX || len > INT64_MAX - off))
        err_set(e, ERR_INPUT, "range of %" PRIu64 " bytes at offset %" PRIu64 " is beyond any file", len, off);
    else if (!(f = malloc(sizeof *f)))
        err_nomem(e);
    if (!f) {
        if (own)
            close(fd);
        return -1;
    }
    f->s = (struct stream){.pull = fd_pull, .close = fd_close};
    f->fd = fd;
    f->own = own;
    f->ranged = ranged;
    f->off = ranged ? off : 0;
    f->left = len;
    *ret = &f->s;
    return 0;
}

/* --- hashing --- */

struct hash_stream {
    struct stream s;
    struct stream *inner;
    struct sha256 h;
    uint64_t len;
    bool final;
    struct digest digest;
};

static int hash_pull(struct stream *s, const uint8_t **p, size_t *n, struct err *e)
{
    struct hash_stream *h = (struct hash_stream *)s;
    if (stream_run(h->inner, SIZE_MAX, p, n, e) < 0)
        return -1;
    if (*n) {
        sha256_update(&h->h, *p, *n);
        h->len += *n;
    } else if (!h->final) {
        sha256_final(&h->h, &h->digest);
        h->final = true;
    }
    return 0;
}

static void hash_close(struct stream *s)
{
    struct hash_stream *h = (struct hash_stream *)s;
    stream_close(h->inner);
    sha256_release(&h->h);
    free(h);
}

int stream_open_hash(struct stream *inner, struct stream **ret, struct err *e)
{
    struct hash_stream *h = calloc(1, sizeof *h);
    if (!h || sha256_init(&h->h) < 0) {
        free(h);
        stream_close(inner);
        return err_nomem(e);
    }
    h->s.pull = hash_pull;
    h->s.close = hash_close;
    h->inner = inner;
    *ret = &h->s;
    return 0;
}

int stream_hash_final(struct stream *s, struct digest *ret, uint64_t *ret_len, struct err *e)
{
    struct hash_stream *h = (struct hash_stream *)s;
    if (s->pull != hash_pull)
        return err_set(e, ERR_USAGE, "this stream doesn't hash");
    if (!h->final || s->n)
        return err_set(e, ERR_USAGE, "the stream's digest isn't known before its end was read");
    *ret = h->digest;
    if (ret_len)
        *ret_len = h->len;
    return 0;
}

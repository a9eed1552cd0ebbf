/* SPDX-License-Identifier: MIT */
/*
 * The compression is found by its first bytes here, and exactly that one filter is appended: libarchive's own detection
 * would go on to unwrap a compressed stream inside a compressed stream, which no image reader does, and it would run
 * programs for some formats. Traps of libarchive 3.6.2 that this file answers:
 *  - the "raw" format refuses an empty stream, so the "empty" format is enabled too; but that one takes a stream that
 *    fails in its first block for an empty one: the error number that archive_read_open leaves behind tells;
 *  - several filters end quietly before bytes that they don't know: what they consumed is compared with what there was;
 *  - zstd isn't recognised when skippable frames come first: they are skipped here.
 * gzip is gunzip.h's.
 */
#include "unpack.h"
#include "gunzip.h"
#include "../buf.h"

#include <archive.h>
#include <errno.h>
#include <stdlib.h>

enum compression { NONE, GZIP, ZSTD, BZIP2, XZ, LZMA, LZIP, LZ4, COMPRESS, KINDS };

static const struct {
    const char *name;
    int filter;
    bool named; /* may be asked for by name */
} kinds[KINDS] = {
    [NONE] = {"none", ARCHIVE_FILTER_NONE, true},
    [GZIP] = {"gzip", ARCHIVE_FILTER_GZIP, true},
    [ZSTD] = {"zstd", ARCHIVE_FILTER_ZSTD, true},
    [BZIP2] = {"bzip2", ARCHIVE_FILTER_BZIP2, true},
    [XZ] = {"xz", ARCHIVE_FILTER_XZ, true},
    [LZMA] = {"lzma", ARCHIVE_FILTER_LZMA, false},
    [LZIP] = {"lzip", ARCHIVE_FILTER_LZIP, true},
    [LZ4] = {"lz4", ARCHIVE_FILTER_LZ4, true},
    [COMPRESS] = {"compress", ARCHIVE_FILTER_COMPRESS, false},
};

enum { PEEK = 16 };

/* Some bytes that were read to look at, then the rest of inner. */
struct prefixed {
    struct stream s; /* first */
    struct stream *inner;
    uint8_t head[PEEK];
    size_t n;
};

static int prefixed_pull(struct stream *s, const uint8_t **p, size_t *n, struct err *e)
{
    struct prefixed *pr = (struct prefixed *)s;
    if (!pr->n)
        return stream_run(pr->inner, SIZE_MAX, p, n, e);
    *p = pr->head;
    *n = pr->n;
    pr->n = 0;
    return 0;
}

static void prefixed_close(struct stream *s)
{
    struct prefixed *pr = (struct prefixed *)s;
    stream_close(pr->inner);
    free(pr);
}

/* Looks at the first bytes of *s without consuming them; *s may be replaced by a stream that has them in front. */
static int peek(struct stream **s, uint8_t head[PEEK], size_t *ret_n, struct err *e)
{
    struct stream *in = *s;
    const uint8_t *p;
    size_t n;
    if (stream_run(in, PEEK, &p, &n, e) < 0)
        return -1;
    if (n == PEEK || !n) {
        /* Within one run: the bytes are still there to be given again. */
        if (n)
            memcpy(head, p, n);
        in->p = p;
        in->n += n;
        in->pos -= n;
        *ret_n = n;
        return 0;
    }
    struct prefixed *pr = calloc(1, sizeof *pr);
    if (!pr)
        return err_nomem(e);
    memcpy(pr->head, p, n);
    size_t more;
    if (stream_read(in, pr->head + n, PEEK - n, &more, e) < 0) {
        free(pr);
        return -1;
    }
    pr->n = n + more;
    pr->inner = in;
    pr->s.pull = prefixed_pull;
    pr->s.close = prefixed_close;
    memcpy(head, pr->head, pr->n);
    *ret_n = pr->n;
    *s = &pr->s;
    return 0;
}

/* A .lzma file has no magic: properties, a dictionary size of 2^n or 3*2^n, a size that is unknown or plausible. */
static bool looks_like_lzma(const uint8_t *h, size_t n)
{
    if (n < 13 || h[0] != 0x5d)
        return false;
    uint32_t dict = (uint32_t)h[1] | (uint32_t)h[2] << 8 | (uint32_t)h[3] << 16 | (uint32_t)h[4] << 24;
    uint32_t top = dict;
    while (top > 3 && !(top & 1))
        top >>= 1;
    bool unknown = true;
    for (size_t i = 5; i < 13; i++)
        unknown = unknown && h[i] == 0xff;
    return dict >= 4096 && (top == 1 || top == 2 || top == 3) && (unknown || (!h[11] && !h[12]));
}

static bool starts(const uint8_t *h, size_t n, const char *magic, size_t len)
{
    return n >= len && !memcmp(h, magic, len);
}

static bool is_skippable_zstd(const uint8_t *h, size_t n)
{
    return n >= 8 && (h[0] & 0xf0) == 0x50 && !memcmp(h + 1, "\x2a\x4d\x18", 3);
}

static enum compression find(const uint8_t *h, size_t n)
{
    if (starts(h, n, "\x1f\x8b", 2))
        return GZIP;
    if (starts(h, n, "\x28\xb5\x2f\xfd", 4) || is_skippable_zstd(h, n))
        return ZSTD;
    if (starts(h, n, "BZh", 3) && n > 3 && h[3] >= '1' && h[3] <= '9')
        return BZIP2;
    if (starts(h, n,
               "\xfd"
               "7zXZ\0",
               6))
        return XZ;
    if (starts(h, n, "LZIP", 4))
        return LZIP;
    if (starts(h, n, "\x04\x22\x4d\x18", 4) || starts(h, n, "\x02\x21\x4c\x18", 4))
        return LZ4;
    if (starts(h, n, "\x1f\x9d", 2))
        return COMPRESS;
    return looks_like_lzma(h, n) ? LZMA : NONE;
}

struct unpack {
    struct stream s; /* first: the stream is the unpacker */
    struct stream *inner;
    struct archive *a;
    const char *name; /* of the compression */
    uint64_t given;   /* bytes handed to libarchive */
    bool started, ended;
    bool inner_failed;
    struct err inner_err; /* of inner, inside a callback */
};

static la_ssize_t read_cb(struct archive *a, void *ctx, const void **p)
{
    struct unpack *u = ctx;
    const uint8_t *q;
    size_t n;
    if (stream_run(u->inner, 1u << 30, &q, &n, &u->inner_err) < 0) {
        u->inner_failed = true;
        archive_set_error(a, EIO, "input failed");
        return ARCHIVE_FATAL;
    }
    u->given += n;
    *p = q;
    return (la_ssize_t)n;
}

static int failed(struct unpack *u, struct err *e)
{
    const char *why = archive_error_string(u->a);
    if (u->inner_failed) {
        *e = u->inner_err;
        return -1;
    }
    if (archive_errno(u->a) == ENOMEM)
        return err_nomem(e);
    return err_set(e, ERR_INPUT, "%s: truncated or damaged after %llu bytes: %s", u->name,
                   (unsigned long long)u->inner->pos, why ? why : "no reason given");
}

/* At the end: everything that there was must have been used. */
static int check_end(struct unpack *u, struct err *e)
{
    const uint8_t *p;
    size_t n;
    uint64_t used = (uint64_t)archive_filter_bytes(u->a, -1);
    if (u->inner_failed || archive_errno(u->a))
        return failed(u, e);
    if (stream_run(u->inner, 1, &p, &n, e) < 0)
        return -1;
    if (n || used != u->given)
        return err_set(e, ERR_INPUT, "%s: data that doesn't belong to it follows at offset %llu", u->name,
                       (unsigned long long)used);
    u->ended = true;
    return 0;
}

static int start(struct unpack *u, struct err *e)
{
    struct archive_entry *en;
    u->started = true;
    if (archive_read_open(u->a, u, NULL, read_cb, NULL) != ARCHIVE_OK || archive_errno(u->a))
        return failed(u, e);
    int rc = archive_read_next_header(u->a, &en);
    if (rc == ARCHIVE_EOF)
        return check_end(u, e);
    return rc == ARCHIVE_OK ? 0 : failed(u, e);
}

static int unpack_pull(struct stream *s, const uint8_t **p, size_t *n, struct err *e)
{
    struct unpack *u = (struct unpack *)s;
    const void *q;
    la_int64_t off;
    *n = 0;
    if (!u->started && start(u, e) < 0)
        return -1;
    while (!u->ended && !*n) {
        int rc = archive_read_data_block(u->a, &q, n, &off);
        if (rc == ARCHIVE_EOF) {
            *n = 0;
            if (check_end(u, e) < 0)
                return -1;
        } else if (rc != ARCHIVE_OK) {
            return failed(u, e);
        } else {
            *p = q;
        }
    }
    return 0;
}

static void unpack_close(struct stream *s)
{
    struct unpack *u = (struct unpack *)s;
    archive_read_free(u->a);
    stream_close(u->inner);
    free(u);
}

/* Skippable frames (and the header of what follows) may be all that there is: then the content is empty. */
static int skip_skippable(struct stream **inner, bool *ret_empty, struct err *e)
{
    uint8_t h[PEEK];
    size_t n;
    *ret_empty = false;
    for (;;) {
        if (peek(inner, h, &n, e) < 0)
            return -1;
        if (!is_skippable_zstd(h, n)) {
            *ret_empty = n == 0;
            return 0;
        }
        if (stream_skip(*inner, 8 + (uint64_t)get_u32(h + 4), "zstd: skippable frame", e) < 0)
            return -1;
    }
}

static int open_filter(struct stream *inner, enum compression k, struct stream **ret, struct err *e)
{
    struct unpack *u = calloc(1, sizeof *u);
    if (!u || !(u->a = archive_read_new())) {
        free(u);
        return err_nomem(e);
    }
    u->name = kinds[k].name;
    u->s.pull = unpack_pull;
    u->s.close = unpack_close;
    if (archive_read_support_format_raw(u->a) != ARCHIVE_OK || archive_read_support_format_empty(u->a) != ARCHIVE_OK ||
        archive_read_append_filter(u->a, kinds[k].filter) != ARCHIVE_OK) {
        const char *why = archive_error_string(u->a);
        err_set(e, ERR_UNSUPPORTED, "%s: libarchive can't read it: %s", u->name, why ? why : "not built in");
        archive_read_free(u->a);
        free(u);
        return -1;
    }
    u->inner = inner;
    *ret = &u->s;
    return 0;
}

/* inner is owned, also on failure. */
static int open_kind(struct stream *inner, enum compression k, struct stream **ret, struct err *e)
{
    bool empty = false;
    if (k == NONE) {
        *ret = inner;
        return 0;
    }
    if (k == GZIP)
        return gunzip_open(inner, ret, e);
    int rc = k == ZSTD ? skip_skippable(&inner, &empty, e) : 0;
    if (rc == 0 && empty) {
        *ret = inner;
        return 0;
    }
    if (rc == 0)
        rc = open_filter(inner, k, ret, e);
    if (rc < 0)
        stream_close(inner);
    return rc;
}

int unpack_open(struct stream *inner, enum unpack_filters f, struct stream **ret, struct err *e)
{
    uint8_t h[PEEK];
    size_t n;
    if (peek(&inner, h, &n, e) < 0) {
        stream_close(inner);
        return -1;
    }
    enum compression k = find(h, n);
    if (f == UNPACK_LAYER && k == LZMA)
        k = NONE; /* only a guess; as no layer is compressed so, it is not made */
    if (f == UNPACK_LAYER && k > ZSTD) {
        stream_close(inner);
        return err_set(e, ERR_UNSUPPORTED, "compressed with %s: an image's layers are plain tar, gzip or zstd",
                       kinds[k].name);
    }
    return open_kind(inner, k, ret, e);
}

int unpack_open_named(struct stream *inner, const char *name, struct stream **ret, struct err *e)
{
    for (int k = 0; k < KINDS; k++)
        if (kinds[k].named && !strcmp(name, kinds[k].name))
            return open_kind(inner, (enum compression)k, ret, e);
    stream_close(inner);
    return err_set(e, ERR_UNSUPPORTED,
                   "compression '%s' is unknown here (known: none, gzip, zstd, xz, bzip2, lz4, lzip)", name);
}

/* SPDX-License-Identifier: MIT */
/*
 * renar: reads a NAR out of memory and writes what was read anew. There is one NAR for a tree, so the two must be the
 * same bytes, whatever was accepted.
 */
#ifndef CAIRN_RENAR_H
#define CAIRN_RENAR_H

#include "../../index/buf.h"
#include "../../index/source/nar.h"

struct renar {
    struct nar_writer w;
    struct buf out;   /* written anew */
    struct buf bytes; /* what the parser says it read */
    unsigned depth, nodes;
    uint64_t pos; /* of the input, behind the archive */
};

static int renar_write(void *ctx, const void *p, size_t n, struct err *e)
{
    struct renar *r = ctx;
    return buf_append(&r->out, p, n) < 0 ? err_nomem(e) : 0;
}

static int renar_bytes(void *ctx, const uint8_t *p, size_t n, struct err *e)
{
    struct renar *r = ctx;
    return buf_append(&r->bytes, p, n) < 0 ? err_nomem(e) : 0;
}

static int renar_entry(struct renar *r, const char *name, size_t len, struct err *e)
{
    r->nodes++;
    return r->depth ? nar_writer_entry_begin(&r->w, name, len, e) : 0;
}

static int renar_entry_end(struct renar *r, struct err *e)
{
    return r->depth ? nar_writer_entry_end(&r->w, e) : 0;
}

static int renar_dir_begin(void *ctx, const char *name, size_t len, struct err *e)
{
    struct renar *r = ctx;
    if (renar_entry(r, name, len, e) < 0)
        return -1;
    r->depth++;
    return nar_writer_dir_begin(&r->w, e);
}

static int renar_dir_end(void *ctx, struct err *e)
{
    struct renar *r = ctx;
    r->depth--;
    return nar_writer_dir_end(&r->w, e) < 0 ? -1 : renar_entry_end(r, e);
}

static int renar_file_begin(void *ctx, const char *name, size_t len, bool executable, uint64_t size, struct err *e)
{
    struct renar *r = ctx;
    return renar_entry(r, name, len, e) < 0 ? -1 : nar_writer_file_begin(&r->w, executable, size, e);
}

static int renar_file_data(void *ctx, const uint8_t *p, size_t n, struct err *e)
{
    struct renar *r = ctx;
    return nar_writer_data(&r->w, p, n, e);
}

static int renar_file_end(void *ctx, struct err *e)
{
    struct renar *r = ctx;
    return nar_writer_file_end(&r->w, e) < 0 ? -1 : renar_entry_end(r, e);
}

static int renar_symlink(void *ctx, const char *name, size_t len, const char *target, size_t tlen, struct err *e)
{
    struct renar *r = ctx;
    if (renar_entry(r, name, len, e) < 0 || nar_writer_symlink(&r->w, target, tlen, e) < 0)
        return -1;
    return renar_entry_end(r, e);
}

static inline void renar_release(struct renar *r)
{
    buf_release(&r->out);
    buf_release(&r->bytes);
}

/* 0: accepted, r->out and r->bytes filled; release in any case. */
static inline int renar_stream(struct stream *in, struct renar *r, struct err *e)
{
    static const struct nar_events ev = {renar_dir_begin, renar_dir_end, renar_file_begin, renar_file_data,
                                         renar_file_end,  renar_symlink, renar_bytes};
    *r = (struct renar){0};
    int rc = nar_writer_begin(&r->w, renar_write, r, e);
    if (!rc)
        rc = nar_parse(in, &ev, r, e);
    if (!rc)
        rc = nar_writer_end(&r->w, e);
    r->pos = in->pos;
    return rc;
}

static inline int renar_mem(const void *p, size_t n, struct renar *r, struct err *e)
{
    struct stream *in;
    *r = (struct renar){0};
    if (stream_open_mem(p, n, &in, e) < 0)
        return -1;
    int rc = renar_stream(in, r, e);
    stream_close(in);
    return rc;
}

/* Whether an accepted archive came back as it was. */
static inline bool renar_same(const struct renar *r, const void *p)
{
    return r->out.len == r->pos && r->bytes.len == r->pos && !memcmp(r->out.p, p, r->out.len) &&
           !memcmp(r->bytes.p, p, r->out.len);
}

#endif

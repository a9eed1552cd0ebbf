/* SPDX-License-Identifier: MIT */
/*
 * verify_pack: every pack from its first byte to its last, in order of the disk, beside what the catalog says stands in
 * it. Packs are independent, so each of two threads takes the next one that nobody has. Packs never change, so what the
 * catalog said at the start must hold for as long as the file is there; one that gc takes meanwhile is left alone.
 */
#include "catalog.h"
#include "catalog_gc.h"
#include "codec.h"
#include "crypto.h"
#include "io.h"
#include "limits.h"
#include "pack.h"
#include "verify_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { THREADS = 2 };

struct file {
    uint64_t id, bytes;
};

/* A block as the catalog has it; its chunks are `rows` from `first` on. */
struct listed {
    struct block_loc loc;
    size_t first;
    uint32_t count;
};

struct walk {
    struct verify *v;
    struct buf blocks, rows; /* struct listed, ordered by pack and offset; struct chunk_row */
    pthread_mutex_t mu;      /* what follows, and v */
    struct buf files, missing;
    size_t next;
    uint64_t done, total;
    int rc;
};

/* One thread's work on one pack. */
struct one {
    struct walk *w;
    struct decoder *z;
    struct buf frame, raw;
    struct file f;
    int fd;
    size_t next, end; /* what the catalog lists of this pack and hasn't been met yet */
    bool hurt;        /* damage since the last block */
};

static void report(struct one *o, uint64_t off, const char *reason)
{
    pthread_mutex_lock(&o->w->mu);
    verify_report(o->w->v, NULL, NULL, o->f.id, off, reason);
    pthread_mutex_unlock(&o->w->mu);
}

static int take_good(struct one *o, const struct chunk_row *rows, const bool *good, uint32_t n, uint32_t clen,
                     struct err *e)
{
    struct walk *w = o->w;
    struct verify *v = w->v;
    int rc = 0;
    pthread_mutex_lock(&w->mu);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        v->st->chunks++;
        v->st->bytes += rows[i].len;
        if (good[i] && digestset_add(&v->good, &rows[i].digest) < 0)
            rc = err_nomem(e);
    }
    v->st->blocks++;
    w->done += clen;
    if (v->o->progress)
        v->o->progress(v->o->ctx, "verify packs", w->done, w->total);
    if (verify_cancelled(v))
        rc = err_set(e, ERR_CANCELLED, "cancelled");
    pthread_mutex_unlock(&w->mu);
    return rc;
}

/* --- beside the catalog --- */

static const struct listed *listed_at(const struct walk *w, size_t i)
{
    return (const struct listed *)(const void *)w->blocks.p + i;
}

static int list_block(const struct cat_block *b, void *ctx)
{
    struct walk *w = ctx;
    struct listed l = {.loc = b->loc, .first = w->rows.len / sizeof(struct chunk_row), .count = b->count};
    return buf_append(&w->blocks, &l, sizeof l) < 0 ||
                   (b->count && buf_append(&w->rows, b->rows, b->count * sizeof *b->rows) < 0)
               ? err_nomem(w->v->e)
               : 0;
}

/* The part of the list that is about the pack. */
static void find_listed(struct one *o)
{
    const struct walk *w = o->w;
    size_t n = w->blocks.len / sizeof(struct listed), lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if ((int64_t)listed_at(w, mid)->loc.pack < (int64_t)o->f.id)
            lo = mid + 1;
        else
            hi = mid;
    }
    o->next = o->end = lo;
    while (o->end < n && listed_at(w, o->end)->loc.pack == o->f.id)
        o->end++;
    o->hurt = false;
}

/* What the catalog has before off (and wasn't met): not in the pack, unless damage hides it, which was reported. */
static void pass_listed(struct one *o, uint64_t off)
{
    for (; o->next < o->end && listed_at(o->w, o->next)->loc.off < off; o->next++)
        if (!o->hurt)
            report(o, listed_at(o->w, o->next)->loc.off, "the catalog has a block here, the pack doesn't");
    o->hurt = false;
}

/* Leaves good only what the catalog, too, has at this very place: this is where a reader gets it from. */
static void compare(struct one *o, uint64_t off, uint32_t clen, uint32_t rlen, const struct chunk_row *rows, bool *good,
                    uint32_t n)
{
    const struct listed *l = NULL;
    uint32_t k = 0;
    pass_listed(o, off);
    if (o->next < o->end && listed_at(o->w, o->next)->loc.off == off)
        l = listed_at(o->w, o->next++);
    if (l && (l->loc.clen != clen || l->loc.rlen != rlen)) {
        report(o, off, "the catalog has other sizes for this block");
        l = NULL;
    }
    const struct chunk_row *want = l ? (const struct chunk_row *)(const void *)o->w->rows.p + l->first : NULL;
    for (uint32_t i = 0; i < n; i++) {
        bool same = l && k < l->count && rows[i].off == want[k].off && rows[i].len == want[k].len &&
                    digest_eq(&rows[i].digest, &want[k].digest);
        k += same;
        good[i] = good[i] && same;
    }
    if (l && k != l->count)
        report(o, off, "the catalog has a chunk in this block that the pack doesn't have there");
}

static int on_block(void *ctx, uint64_t off, uint32_t clen, uint32_t rlen, const struct chunk_row *rows, uint32_t n,
                    struct err *e)
{
    struct one *o = ctx;
    struct err bad = {0};
    bool *good = calloc(n ? n : 1, sizeof *good);
    o->frame.len = o->raw.len = 0;
    if (!good || buf_reserve(&o->frame, clen) < 0 || buf_reserve(&o->raw, rlen) < 0) {
        free(good);
        return err_nomem(e);
    }
    if (io_pread(o->fd, o->frame.p, clen, off, "pack", &bad) < 0 ||
        decoder_run(o->z, o->frame.p, clen, o->raw.p, rlen, &bad) < 0) {
        report(o, off, bad.text);
    } else {
        for (uint32_t i = 0; i < n; i++) {
            struct digest d;
            sha256_of(o->raw.p + rows[i].off, rows[i].len, &d);
            good[i] = digest_eq(&d, &rows[i].digest);
            if (!good[i])
                report(o, off, "a chunk doesn't match its digest");
        }
    }
    compare(o, off, clen, rlen, rows, good, n);
    int rc = take_good(o, rows, good, n, clen, e);
    free(good);
    return rc;
}

static int on_damage(void *ctx, uint64_t off, const struct err *why, struct err *e)
{
    struct one *o = ctx;
    (void)e;
    o->hurt = true;
    report(o, off, why->text);
    return 0;
}

static void check_end(struct one *o, uint64_t end)
{
    char reason[128];
    struct stat sb;
    if (fstat(o->fd, &sb) < 0)
        return;
    if ((uint64_t)sb.st_size != o->f.bytes) {
        snprintf(reason, sizeof reason, "the pack has %" PRIu64 " bytes, the catalog says %" PRIu64,
                 (uint64_t)sb.st_size, o->f.bytes);
        report(o, end, reason);
    } else if (end < o->f.bytes) {
        report(o, end, "nothing valid from here to the end of the pack");
    }
    o->hurt |= end < o->f.bytes;
    pass_listed(o, UINT64_MAX);
}

static int scan(struct one *o, struct err *e)
{
    struct pack_visitor v = {.block = on_block, .damaged = on_damage, .ctx = o};
    struct store *s = o->w->v->s;
    char name[PACK_NAME_LEN + 1];
    uint64_t end = 0;
    struct err bad = {0};
    pack_name(o->f.id, name);
    o->fd = openat(store_packsfd(s), name, O_RDONLY | O_CLOEXEC);
    if (o->fd < 0)
        return errno == ENOENT ? 0 : err_sys(e, errno, "open %s/packs/%s", store_path(s), name); /* gc took it */
    posix_fadvise(o->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    find_listed(o);
    int rc = pack_scan(s, o->f.id, true, &v, &end, &bad);
    if (rc == 0)
        check_end(o, end);
    posix_fadvise(o->fd, 0, 0, POSIX_FADV_DONTNEED);
    close(o->fd);
    if (rc == 0 || bad.errnum == ENOENT) /* gc took it in between */
        return 0;
    if (bad.kind != ERR_DAMAGED) {
        *e = bad;
        return -1;
    }
    report(o, end, bad.text);
    return 0;
}

static void *work(void *ctx)
{
    struct walk *w = ctx;
    struct one o = {.w = w, .fd = -1};
    struct err e = {0};
    int rc = decoder_new(&o.z, &e);
    while (rc == 0) {
        pthread_mutex_lock(&w->mu);
        bool more = w->rc == 0 && w->next < w->files.len / sizeof(struct file);
        if (more) {
            o.f = ((const struct file *)(const void *)w->files.p)[w->next++];
            w->v->st->packs++;
        }
        pthread_mutex_unlock(&w->mu);
        if (!more)
            break;
        rc = scan(&o, &e);
    }
    if (rc < 0) {
        pthread_mutex_lock(&w->mu);
        if (w->rc == 0)
            *w->v->e = e;
        w->rc = -1;
        pthread_mutex_unlock(&w->mu);
    }
    decoder_free(o.z);
    buf_release(&o.frame);
    buf_release(&o.raw);
    return NULL;
}

/* Packs that the catalog knows: others are an import's that isn't finished, or leftovers. */
static int see_pack(uint64_t id, uint64_t bytes, void *ctx)
{
    struct walk *w = ctx;
    struct file f = {id, bytes};
    w->total += bytes;
    return buf_append(&w->files, &f, sizeof f) < 0 ? err_nomem(w->v->e) : 0;
}

/* The list is asked anew: gc takes packs out of the catalog before their files go. */
static int see_missing(uint64_t id, uint64_t bytes, void *ctx)
{
    struct walk *w = ctx;
    struct file f = {id, bytes};
    char name[PACK_NAME_LEN + 1];
    pack_name(id, name);
    if (faccessat(store_packsfd(w->v->s), name, F_OK, 0) == 0 || errno != ENOENT)
        return 0;
    return buf_append(&w->missing, &f, sizeof f) < 0 ? err_nomem(w->v->e) : 0;
}

static int see_known(uint64_t id, uint64_t bytes, void *ctx)
{
    struct walk *w = ctx;
    (void)bytes;
    for (size_t i = 0; i < w->missing.len / sizeof(struct file); i++)
        if (((const struct file *)(const void *)w->missing.p)[i].id == id)
            verify_report(w->v, NULL, NULL, id, 0, "the pack is missing");
    return 0;
}

static int check_missing(struct walk *w)
{
    struct catalog *c = store_catalog(w->v->s);
    return catalog_each_pack(c, see_missing, w, w->v->e) < 0 ? -1 : catalog_each_pack(c, see_known, w, w->v->e);
}

int verify_packs(struct verify *v)
{
    struct walk w = {.v = v};
    pthread_t t[THREADS];
    unsigned n = 0;
    pthread_mutex_init(&w.mu, NULL);
    int rc = check_missing(&w);
    if (rc == 0)
        rc = catalog_each_block(store_catalog(v->s), list_block, &w, v->e);
    if (rc == 0)
        rc = catalog_each_pack(store_catalog(v->s), see_pack, &w, v->e);
    if (rc == 0) {
        while (n < THREADS - 1 && pthread_create(&t[n], NULL, work, &w) == 0)
            n++;
        work(&w);
        while (n)
            pthread_join(t[--n], NULL);
        rc = w.rc;
    }
    buf_release(&w.blocks);
    buf_release(&w.rows);
    buf_release(&w.files);
    buf_release(&w.missing);
    pthread_mutex_destroy(&w.mu);
    return rc;
}

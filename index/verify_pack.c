/* SPDX-License-Identifier: MIT */
/*
 * verify_pack: every pack from its first byte to its last, in order of the disk. Packs are independent, so each of two
 * threads takes the next one that nobody has.
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
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS = 2 };

struct file {
    uint64_t id, bytes;
};

struct walk {
    struct verify *v;
    pthread_mutex_t mu; /* what follows, and v */
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
    int rc = take_good(o, rows, good, n, clen, e);
    free(good);
    return rc;
}

static int scan(struct one *o, struct err *e)
{
    struct pack_visitor v = {.block = on_block, .ctx = o};
    struct store *s = o->w->v->s;
    char name[PACK_NAME_LEN + 1];
    uint64_t end = 0;
    struct err bad = {0};
    pack_name(o->f.id, name);
    o->fd = openat(store_packsfd(s), name, O_RDONLY | O_CLOEXEC);
    if (o->fd < 0)
        return errno == ENOENT ? 0 : err_sys(e, errno, "open %s/packs/%s", store_path(s), name); /* gc took it */
    posix_fadvise(o->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    int rc = pack_scan(s, o->f.id, false, &v, &end, &bad);
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
        rc = catalog_each_pack(store_catalog(v->s), see_pack, &w, v->e);
    if (rc == 0) {
        while (n < THREADS - 1 && pthread_create(&t[n], NULL, work, &w) == 0)
            n++;
        work(&w);
        while (n)
            pthread_join(t[--n], NULL);
        rc = w.rc;
    }
    buf_release(&w.files);
    buf_release(&w.missing);
    pthread_mutex_destroy(&w.mu);
    return rc;
}

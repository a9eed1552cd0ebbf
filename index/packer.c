/* SPDX-License-Identifier: MIT */
/*
 * Compressors take raw blocks from a queue; what they make is appended to the current pack under a mutex (a write of
 * some 30 KiB into the page cache, short beside the compression of a block). Whoever fills a pack brings it to the
 * disk, outside the mutex, while the others go on with the next.
 */
#include "packer.h"

#include "codec.h"
#include "io.h"
#include "limits.h"
#include "pack.h"
#include "segvec.h"
#include "workqueue.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

struct made_pack {
    uint64_t id, bytes;
};

struct packer {
    struct store *store;
    struct firsterr *first;
    _Atomic uint64_t *stored;
    struct workqueue q;
    pthread_t *thread;
    unsigned running;
    pthread_mutex_t lock; /* what follows, while threads run */
    struct pack_writer *current;
    struct segvec packs; /* struct made_pack: all that were created */
    struct segvec locs;  /* struct block_loc by block number */
    bool keep;
};

/* --- packs --- */

static int new_pack(struct packer *p, struct err *e)
{
    struct made_pack *m = segvec_add(&p->packs);
    if (!m)
        return err_nomem(e);
    if (pack_create(p->store, &p->current, e) < 0) {
        p->packs.count--;
        return -1;
    }
    m->id = pack_writer_id(p->current);
    return 0;
}

static struct made_pack *last_pack(struct packer *p)
{
    return segvec_at(&p->packs, p->packs.count - 1);
}

/* Takes the current pack out when it is full; the caller finishes it without the lock. */
static struct pack_writer *take_full(struct packer *p)
{
    struct pack_writer *w = p->current;
    if (pack_writer_size(w) < PACK_TARGET)
        return NULL;
    last_pack(p)->bytes = pack_writer_size(w);
    p->current = NULL;
    return w;
}

/* --- compressing --- */

static int note_loc(struct packer *p, uint32_t number, const struct block_loc *loc, struct err *e)
{
    while (p->locs.count <= number)
        if (!segvec_add(&p->locs))
            return err_nomem(e);
    *(struct block_loc *)segvec_at(&p->locs, number) = *loc;
    return 0;
}

static int append(struct packer *p, const struct raw_block *b, const struct buf *frame, struct pack_writer **ret_full,
                  struct err *e)
{
    struct block_loc loc = {.clen = (uint32_t)frame->len, .rlen = (uint32_t)b->data.len};
    int rc = 0;
    pthread_mutex_lock(&p->lock);
    if (!p->current)
        rc = new_pack(p, e);
    if (rc == 0) {
        loc.pack = pack_writer_id(p->current);
        rc = pack_writer_block(p->current, b->rows, b->count, loc.rlen, frame->p, loc.clen, &loc.off, e);
    }
    if (rc == 0)
        rc = note_loc(p, b->number, &loc, e);
    if (rc == 0)
        *ret_full = take_full(p);
    pthread_mutex_unlock(&p->lock);
    return rc;
}

static int compress(struct packer *p, struct encoder *z, const struct raw_block *b, struct buf *frame, struct err *e)
{
    struct pack_writer *full = NULL;
    frame->len = 0;
    if (encoder_run(z, b->data.p, b->data.len, frame, e) < 0 || append(p, b, frame, &full, e) < 0)
        return -1;
    atomic_fetch_add_explicit(p->stored, frame->len, memory_order_relaxed);
    if (!full)
        return 0;
    int rc = pack_writer_sync(full, e);
    pack_writer_close(full);
    return rc;
}

static void *work(void *ctx)
{
    struct packer *p = ctx;
    struct err e = {0};
    struct encoder *z = NULL;
    struct buf frame = {0};
    struct raw_block *b;
    int rc = encoder_new(ZSTD_LEVEL_IMPORT, &z, &e);
    while (rc == 0 && (b = workqueue_get(&p->q))) {
        rc = compress(p, z, b, &frame, &e);
        raw_block_free(b);
    }
    if (rc < 0) {
        firsterr_set(p->first, &e);
        workqueue_abort(&p->q);
    }
    encoder_free(z);
    buf_release(&frame);
    return NULL;
}

/* --- life --- */

int packer_new(struct store *s, unsigned threads, struct firsterr *first, _Atomic uint64_t *stored, struct packer **ret,
               struct err *e)
{
    struct packer *p = calloc(1, sizeof *p);
    if (!p || workqueue_init(&p->q, threads + 4) < 0) {
        free(p);
        return err_nomem(e);
    }
    pthread_mutex_init(&p->lock, NULL);
    p->store = s;
    p->first = first;
    p->stored = stored;
    p->packs.size = sizeof(struct made_pack);
    p->locs.size = sizeof(struct block_loc);
    p->thread = calloc(threads, sizeof *p->thread);
    int rc = p->thread ? 0 : ENOMEM;
    while (!rc && p->running < threads) {
        rc = pthread_create(&p->thread[p->running], NULL, work, p);
        if (!rc)
            p->running++;
    }
    if (rc && !p->running) {
        packer_free(p);
        return err_sys(e, rc, "start a thread");
    }
    *ret = p;
    return 0;
}

int packer_put(struct packer *p, struct raw_block *b, struct err *e)
{
    if (workqueue_put(&p->q, b) == 0)
        return 0;
    raw_block_free(b);
    return firsterr_get(p->first, e) < 0 ? -1 : err_set(e, ERR_CANCELLED, "cancelled");
}

void packer_abort(struct packer *p)
{
    workqueue_abort(&p->q);
}

static void join(struct packer *p)
{
    while (p->running)
        pthread_join(p->thread[--p->running], NULL);
}

int packer_finish(struct packer *p, struct err *e)
{
    workqueue_close(&p->q);
    join(p);
    return firsterr_get(p->first, e);
}

void packer_keep(struct packer *p)
{
    p->keep = true;
}

void packer_free(struct packer *p)
{
    struct raw_block *b;
    if (!p)
        return;
    workqueue_abort(&p->q);
    join(p);
    while ((b = workqueue_drain(&p->q)))
        raw_block_free(b);
    workqueue_release(&p->q);
    pack_writer_close(p->current);
    for (uint32_t i = 0; !p->keep && i < p->packs.count; i++)
        pack_remove(p->store, ((struct made_pack *)segvec_at(&p->packs, i))->id);
    segvec_release(&p->packs);
    segvec_release(&p->locs);
    pthread_mutex_destroy(&p->lock);
    free(p->thread);
    free(p);
}

/* --- after packer_finish --- */

int packer_records(struct packer *p, uint64_t seq, const void *lines, size_t n, uint64_t next_no, struct err *e)
{
    if (!p->current && new_pack(p, e) < 0)
        return -1;
    return pack_writer_records(p->current, seq, lines, n, next_no, e);
}

int packer_sync(struct packer *p, struct err *e)
{
    if (p->current) {
        if (pack_writer_sync(p->current, e) < 0)
            return -1;
        last_pack(p)->bytes = pack_writer_size(p->current);
    }
    return p->packs.count ? io_fsync_dir(store_packsfd(p->store), NULL, e) : 0;
}

void packer_loc(const struct packer *p, uint32_t number, struct block_loc *ret)
{
    *ret = *(const struct block_loc *)segvec_at(&p->locs, number);
}

uint32_t packer_packs(const struct packer *p)
{
    return p->packs.count;
}

void packer_pack(const struct packer *p, uint32_t i, uint64_t *ret_id, uint64_t *ret_bytes)
{
    const struct made_pack *m = segvec_at(&p->packs, i);
    *ret_id = m->id;
    *ret_bytes = m->bytes;
}

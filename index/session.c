/* SPDX-License-Identifier: MIT */
/*
 * The pipeline of an import:
 *
 *   caller ── slabs ──> cutter ── raw blocks ──> compressors ──> packs
 *     (session.c)      (ingest.c)               (packer.c)      (pack.c)
 *
 * A slab is 256 KiB of content bytes plus what they mean (struct op). Memory: SLABS slabs (4 MiB), up to 5 MiB of a
 * content that is being cut, and two blocks a compressor with four waiting (under 1 MiB each): some 20 MiB on 8 cores,
 * and the tables of ingest.h.
 *
 * The first failure of any thread is kept in `first`; both queues are aborted, and every later call returns it. The
 * caller's thread reads what the cutter has found out (ingest_content …) only while the cutter waits for a slab, after
 * a sync.
 */
#include "session.h"

#include "crypto.h"
#include "firsterr.h"
#include "ingest.h"
#include "lease.h"
#include "limits.h"
#include "packer.h"
#include "session_commit.h"
#include "workqueue.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SLABS       16
#define SLAB_BYTES  (256u << 10)
#define SLAB_OPS    1024
#define THREADS_MAX 64

enum op_kind { OP_DATA, OP_HOLE, OP_END, OP_END_PUT, OP_SYNC };

struct op {
    uint64_t n; /* bytes of OP_DATA and OP_HOLE */
    enum op_kind kind;
};

struct slab {
    uint32_t used, ops; /* of data, of op */
    struct op op[SLAB_OPS];
    uint8_t data[SLAB_BYTES];
};

struct session {
    struct store *store;
    struct lease *lease;
    uint64_t seq; /* of the catalog, before the first look-up */
    const volatile int *cancel;
    struct firsterr first;
    _Atomic uint64_t bytes_in, bytes_new, bytes_stored, files;
    /* caller's side */
    struct slab *slab; /* being filled */
    uint32_t slabs;    /* that exist */
    struct workqueue full, empty;
    bool in_content, dirty, ended; /* dirty: something was given that no sync covers; ended: committed or beyond use */
    uint64_t content_size, holes;
    uint32_t slots;
    struct json **records;
    size_t record_count, record_cap;
    /* cutter's side */
    pthread_t cutter;
    bool cutter_runs;
    struct ingest *ingest;
    struct packer *packer;
    pthread_mutex_t lock;
    pthread_cond_t synced_cond;
    uint64_t synced, sync_wanted;
};

/* --- cutter --- */

static int run_op(struct session *s, struct slab *b, uint32_t i, const uint8_t **p, struct err *e)
{
    const struct op *op = &b->op[i];
    switch (op->kind) {
    case OP_DATA: {
        bool whole = i + 1 < b->ops && (op[1].kind == OP_END || op[1].kind == OP_END_PUT);
        const uint8_t *q = *p;
        *p += op->n;
        return ingest_data(s->ingest, q, (size_t)op->n, whole, e);
    }
    case OP_HOLE:
        return ingest_hole(s->ingest, op->n, e);
    case OP_END:
    case OP_END_PUT:
        return ingest_end(s->ingest, op->kind == OP_END, e);
    case OP_SYNC:
        pthread_mutex_lock(&s->lock);
        s->synced++;
        pthread_cond_signal(&s->synced_cond);
        pthread_mutex_unlock(&s->lock);
        return 0;
    }
    return 0;
}

static int run_slab(struct session *s, struct slab *b, struct err *e)
{
    const uint8_t *p = b->data;
    for (uint32_t i = 0; i < b->ops; i++)
        if (run_op(s, b, i, &p, e) < 0)
            return -1;
    return 0;
}

static void give_up(struct session *s, const struct err *e)
{
    firsterr_set(&s->first, e);
    workqueue_abort(&s->full);
    workqueue_abort(&s->empty);
    packer_abort(s->packer);
    pthread_mutex_lock(&s->lock);
    pthread_cond_signal(&s->synced_cond);
    pthread_mutex_unlock(&s->lock);
}

static void *cut(void *ctx)
{
    struct session *s = ctx;
    struct err e = {0};
    struct slab *b;
    int rc = 0;
    while (rc == 0 && (b = workqueue_get(&s->full))) {
        rc = run_slab(s, b, &e);
        b->used = b->ops = 0;
        if (rc < 0 || workqueue_put(&s->empty, b) < 0)
            free(b);
    }
    if (rc == 0 && !s->first.set)
        rc = ingest_finish(s->ingest, &e);
    if (rc < 0)
        give_up(s, &e);
    return NULL;
}

static int sink(void *ctx, struct raw_block *b, struct err *e)
{
    struct session *s = ctx;
    return packer_put(s->packer, b, e);
}

/* --- life --- */

/* Signals are for the caller's thread, whose reads they shall interrupt: the pipeline's threads start with all blocked.
 */
static int start_threads(struct session *s, unsigned threads, struct err *e)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = packer_new(s->store, threads, &s->first, &s->bytes_stored, &s->packer, e);
    if (rc == 0) {
        int errnum = pthread_create(&s->cutter, NULL, cut, s);
        s->cutter_runs = !errnum;
        rc = errnum ? err_sys(e, errnum, "start a thread") : 0;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

static int start(struct session *s, const struct session_opts *o, struct err *e)
{
    char json[64];
    struct catalog *c = store_catalog(s->store);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = o && o->threads ? o->threads : cores > 0 ? (unsigned)cores : 1;
    struct ingest_opts io = {.catalog = c, .sink = sink, .ctx = s, .cancel = s->cancel, .bytes_new = &s->bytes_new};
    snprintf(json, sizeof json, "{\"pid\":%ld}", (long)getpid());
    if (workqueue_init(&s->full, SLABS) < 0 || workqueue_init(&s->empty, SLABS) < 0)
        return err_nomem(e);
    if (lease_take(s->store, LEASE_IMPORT, json, &s->lease, e) < 0 || catalog_seq(c, &s->seq, e) < 0 ||
        ingest_new(&io, &s->ingest, e) < 0)
        return -1;
    return start_threads(s, threads < THREADS_MAX ? threads : THREADS_MAX, e);
}

int session_begin(struct store *store, const struct session_opts *o, struct session **ret, struct err *e)
{
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        return err_nomem(e);
    s->store = store;
    s->cancel = o ? o->cancel : NULL;
    firsterr_init(&s->first);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->synced_cond, NULL);
    if (start(s, o, e) < 0) {
        session_end(s);
        return -1;
    }
    *ret = s;
    return 0;
}

static void join_cutter(struct session *s)
{
    if (s->cutter_runs)
        pthread_join(s->cutter, NULL);
    s->cutter_runs = false;
}

static void free_slabs(struct workqueue *q)
{
    struct slab *b;
    if (q->items)
        while ((b = workqueue_drain(q)))
            free(b);
    workqueue_release(q);
}

void session_end(struct session *s)
{
    if (!s)
        return;
    if (s->cutter_runs) {
        workqueue_abort(&s->full);
        workqueue_abort(&s->empty);
        packer_abort(s->packer);
        join_cutter(s);
    }
    packer_free(s->packer);
    ingest_free(s->ingest);
    free(s->slab);
    free_slabs(&s->full);
    free_slabs(&s->empty);
    for (size_t i = 0; i < s->record_count; i++)
        json_unref(s->records[i]);
    free(s->records);
    lease_drop(s->lease); /* only now: gc may take what was left */
    firsterr_release(&s->first);
    pthread_cond_destroy(&s->synced_cond);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

struct store *session_store(struct session *s)
{
    return s->store;
}

void session_stats(struct session *s, struct session_stats *ret)
{
    ret->bytes_in = s->bytes_in;
    ret->bytes_new = s->bytes_new;
    ret->bytes_stored = s->bytes_stored;
    ret->files = s->files;
}

/* --- caller's side --- */

static int check(struct session *s, struct err *e)
{
    if (firsterr_get(&s->first, e) < 0)
        return -1;
    if (s->cancel && __atomic_load_n(s->cancel, __ATOMIC_RELAXED))
        return err_set(e, ERR_CANCELLED, "cancelled");
    if (s->ended)
        return err_set(e, ERR_USAGE, "the session has ended");
    return 0;
}

/* Why a queue refused: the failure, or (nothing else aborts them) an end. */
static int refused(struct session *s, struct err *e)
{
    return firsterr_get(&s->first, e) < 0 ? -1 : err_set(e, ERR_USAGE, "the session has ended");
}

static int new_slab(struct session *s, struct err *e)
{
    s->slab = workqueue_drain(&s->empty);
    if (s->slab)
        return 0;
    if (s->slabs < SLABS) {
        s->slab = malloc(sizeof *s->slab);
        if (!s->slab)
            return err_nomem(e);
        s->slab->used = s->slab->ops = 0;
        s->slabs++;
        return 0;
    }
    s->slab = workqueue_get(&s->empty);
    return s->slab ? 0 : refused(s, e);
}

static int send_slab(struct session *s, struct err *e)
{
    if (!s->slab || !s->slab->ops)
        return 0;
    if (workqueue_put(&s->full, s->slab) < 0)
        return refused(s, e);
    s->slab = NULL;
    return 0;
}

/* Room for one more op (and, for data, at least one byte). */
static int make_room(struct session *s, bool data, struct err *e)
{
    if (s->slab && (s->slab->ops == SLAB_OPS || (data && s->slab->used == SLAB_BYTES)) && send_slab(s, e) < 0)
        return -1;
    return s->slab ? 0 : new_slab(s, e);
}

static int add_op(struct session *s, enum op_kind kind, uint64_t n, struct err *e)
{
    if (make_room(s, false, e) < 0)
        return -1;
    s->slab->op[s->slab->ops++] = (struct op){.kind = kind, .n = n};
    s->dirty = kind != OP_SYNC;
    return 0;
}

static int add_data(struct session *s, const uint8_t *p, size_t n, struct err *e)
{
    while (n) {
        if (make_room(s, true, e) < 0)
            return -1;
        struct slab *b = s->slab;
        size_t k = SLAB_BYTES - b->used < n ? SLAB_BYTES - b->used : n;
        memcpy(b->data + b->used, p, k);
        b->used += (uint32_t)k;
        if (b->ops && b->op[b->ops - 1].kind == OP_DATA)
            b->op[b->ops - 1].n += k;
        else
            b->op[b->ops++] = (struct op){.kind = OP_DATA, .n = k};
        p += k;
        n -= k;
        s->dirty = true;
    }
    return 0;
}

int session_content_begin(struct session *s, struct err *e)
{
    if (check(s, e) < 0)
        return -1;
    if (s->in_content)
        return err_set(e, ERR_USAGE, "a content is begun inside another");
    s->in_content = true;
    s->content_size = 0;
    return 0;
}

static int grow(struct session *s, uint64_t n, struct err *e)
{
    if (check(s, e) < 0)
        return -1;
    if (!s->in_content)
        return err_set(e, ERR_USAGE, "bytes without a content");
    if (n > LIMIT_FILE - s->content_size)
        return err_set(e, ERR_LIMIT, "a file of more than %" PRIu64 " bytes", LIMIT_FILE);
    s->content_size += n;
    return 0;
}

int session_data(struct session *s, const void *p, size_t n, struct err *e)
{
    if (grow(s, n, e) < 0 || add_data(s, p, n, e) < 0)
        return -1;
    s->bytes_in += n;
    return 0;
}

int session_hole(struct session *s, uint64_t n, struct err *e)
{
    if (grow(s, n, e) < 0)
        return -1;
    if (n > LIMIT_HOLES - s->holes)
        return err_set(e, ERR_LIMIT, "more than %" PRIu64 " bytes of holes in one import", LIMIT_HOLES);
    s->holes += n;
    return n ? add_op(s, OP_HOLE, n, e) : 0;
}

int session_content_end(struct session *s, uint32_t *ret_slot, struct err *e)
{
    if (check(s, e) < 0)
        return -1;
    if (!s->in_content || !s->content_size)
        return err_set(e, ERR_USAGE, s->in_content ? "a content without bytes" : "a content ends that wasn't begun");
    if (s->slots == UINT32_MAX >> 1)
        return err_set(e, ERR_LIMIT, "more than %" PRIu32 " files in one import", s->slots);
    if (add_op(s, OP_END, 0, e) < 0)
        return -1;
    s->in_content = false;
    s->files++;
    *ret_slot = s->slots++;
    return 0;
}

/* Waits until the cutter has done all that was given to it. */
static int sync_cutter(struct session *s, struct err *e)
{
    if (!s->dirty)
        return 0;
    if (add_op(s, OP_SYNC, 0, e) < 0 || send_slab(s, e) < 0)
        return -1;
    uint64_t want = ++s->sync_wanted;
    pthread_mutex_lock(&s->lock);
    while (s->synced < want && !s->first.set)
        pthread_cond_wait(&s->synced_cond, &s->lock);
    pthread_mutex_unlock(&s->lock);
    return firsterr_get(&s->first, e);
}

int session_flush(struct session *s, struct err *e)
{
    if (check(s, e) < 0)
        return -1;
    if (s->in_content)
        return err_set(e, ERR_USAGE, "flush inside a content");
    return sync_cutter(s, e);
}

int session_put(struct session *s, const void *p, size_t n, struct digest *ret, struct err *e)
{
    struct content c;
    if (session_content_begin(s, e) < 0)
        return -1;
    s->in_content = false;
    if (!n) {
        if (ret)
            sha256_of("", 0, ret);
        return 0;
    }
    if (n > LIMIT_FILE)
        return err_set(e, ERR_LIMIT, "a content of %zu bytes", n);
    if (add_data(s, p, n, e) < 0 || add_op(s, OP_END_PUT, 0, e) < 0 || sync_cutter(s, e) < 0)
        return -1;
    s->bytes_in += n;
    ingest_keep_last(s->ingest);
    ingest_last(s->ingest, &c);
    if (ret)
        *ret = c.digest;
    return 0;
}

/* The slot can be asked for: everything is settled, and it exists. */
static int check_slot(struct session *s, uint32_t slot, struct err *e)
{
    if (!s->ended && session_flush(s, e) < 0)
        return -1;
    if (slot >= ingest_slots(s->ingest))
        return err_set(e, ERR_USAGE, "there is no content number %" PRIu32, slot);
    return 0;
}

int session_content(struct session *s, uint32_t slot, struct content *ret, struct err *e)
{
    if (check_slot(s, slot, e) < 0)
        return -1;
    ingest_content(s->ingest, slot, ret);
    return 0;
}

int session_content_keep(struct session *s, uint32_t slot, struct err *e)
{
    if (check_slot(s, slot, e) < 0)
        return -1;
    ingest_keep(s->ingest, slot);
    return 0;
}

/* --- records --- */

int session_record(struct session *s, struct json *r, struct err *e)
{
    if (check(s, e) < 0) {
        json_unref(r);
        return -1;
    }
    if (!json_str(json_get(r, "type"))) {
        json_unref(r);
        return err_set(e, ERR_USAGE, "a record without a type");
    }
    if (s->record_count == s->record_cap) {
        size_t cap = s->record_cap ? s->record_cap * 2 : 16;
        struct json **p = realloc(s->records, cap * sizeof *p);
        if (!p) {
            json_unref(r);
            return err_nomem(e);
        }
        s->records = p;
        s->record_cap = cap;
    }
    s->records[s->record_count++] = r;
    return 0;
}

static bool has_str(const struct json *r, const char *field, const char *want)
{
    const char *got = json_str(json_get(r, field));
    return got && !strcmp(got, want);
}

struct json *session_recorded(struct session *s, const char *type, const char *key_field, const char *key)
{
    for (size_t i = s->record_count; i--;) /* the newest counts */
        if (has_str(s->records[i], "type", type) && has_str(s->records[i], key_field, key))
            return s->records[i];
    return NULL;
}

int session_commit(struct session *s, struct err *e)
{
    if (check(s, e) < 0)
        return -1;
    if (s->in_content)
        return err_set(e, ERR_USAGE, "commit inside a content");
    if (send_slab(s, e) < 0)
        return -1;
    s->ended = true;
    workqueue_close(&s->full);
    join_cutter(s);
    if (firsterr_get(&s->first, e) < 0 || packer_finish(s->packer, e) < 0)
        return -1;
    struct commit c = {.store = s->store,
                       .ingest = s->ingest,
                       .packer = s->packer,
                       .seq_at_begin = s->seq,
                       .records = s->records,
                       .record_count = s->record_count};
    return s->record_count ? commit_publish(&c, e) : 0;
}

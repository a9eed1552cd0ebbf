/* SPDX-License-Identifier: MIT */
/*
 * How a content goes through:
 *
 *   up to LIMIT_WHOLE_FILE          hashed, looked up, one chunk
 *   up to WHOLE_MAX, without holes  hashed as a whole and looked up before it is cut (the common case of an update:
 * most files are there already, and this finds out at the price of one hash) larger, or with holes           cut while
 * it comes, its hash computed alongside
 *
 * A content with holes is never taken for an equal one without or the other way round: where the holes are is part of
 * what a layer's export must bring back.
 *
 * Tables: `seen` has every distinct chunk once, in the form of a tree_chunk, so that a content of one chunk is just an
 * index into it. `multi` has the contents with a list. A slot is an index into either (MULTI_BIT).
 */
#include "ingest.h"

#include "chunker.h"
#include "crypto.h"
#include "hashtab.h"
#include "limits.h"
#include "segvec.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#define WHOLE_MAX  (4u << 20)
#define COMPACT_AT (1u << 20) /* consumed bytes of the gathering buffer that are worth a memmove */
#define MULTI_BIT  (UINT32_C(1) << 31)
#define REF_NONE   UINT32_MAX

enum multi_flags { MULTI_HOLES = 1 << 0, MULTI_REUSED = 1 << 1, MULTI_KEEP = 1 << 2 };

struct multi {
    struct digest digest;
    uint64_t size, stored;
    struct tree_chunk *chunks; /* owned */
    uint32_t count, flags;
};

struct made_block {
    uint32_t first, count; /* in `order` */
};

struct ingest {
    struct ingest_opts o;
    struct hashkey key;
    struct segvec seen; /* struct tree_chunk */
    struct hashtab seen_by_digest;
    struct segvec reused; /* uint32_t: indices into seen */
    struct segvec multi;  /* struct multi */
    struct hashtab multi_by_digest;
    struct segvec slots;  /* uint32_t */
    struct segvec blocks; /* struct made_block */
    struct segvec order;  /* uint32_t: indices into seen, block by block */
    struct raw_block *small;
    struct buf small_refs; /* uint32_t: what is in it */
    uint32_t last;         /* reference of the content that ended last */
    /* the content that is coming in */
    struct buf gather; /* bytes not cut yet, from `done` on */
    size_t done;
    bool streaming, settled; /* settled: `last` is its reference already */
    struct sha256 hash;
    uint64_t size, holes;
    struct buf list; /* struct tree_chunk, when streaming */
};

void raw_block_free(struct raw_block *b)
{
    if (!b)
        return;
    free(b->rows);
    buf_release(&b->data);
    free(b);
}

int ingest_new(const struct ingest_opts *o, struct ingest **ret, struct err *e)
{
    struct ingest *g = calloc(1, sizeof *g);
    if (!g || sha256_init(&g->hash) < 0) {
        free(g);
        return err_nomem(e);
    }
    g->o = *o;
    g->seen.size = sizeof(struct tree_chunk);
    g->reused.size = g->slots.size = g->order.size = sizeof(uint32_t);
    g->multi.size = sizeof(struct multi);
    g->blocks.size = sizeof(struct made_block);
    g->last = REF_NONE;
    if (hashkey_init(&g->key) < 0) {
        ingest_free(g);
        return err_set(e, ERR_SYSTEM, "the system gives no random bytes");
    }
    *ret = g;
    return 0;
}

void ingest_free(struct ingest *g)
{
    if (!g)
        return;
    for (uint32_t i = 0; i < g->multi.count; i++)
        free(((struct multi *)segvec_at(&g->multi, i))->chunks);
    segvec_release(&g->seen);
    segvec_release(&g->reused);
    segvec_release(&g->multi);
    segvec_release(&g->slots);
    segvec_release(&g->blocks);
    segvec_release(&g->order);
    hashtab_release(&g->seen_by_digest);
    hashtab_release(&g->multi_by_digest);
    raw_block_free(g->small);
    buf_release(&g->small_refs);
    buf_release(&g->gather);
    buf_release(&g->list);
    sha256_release(&g->hash);
    free(g);
}

static int check_cancel(const struct ingest *g, struct err *e)
{
    if (g->o.cancel && __atomic_load_n(g->o.cancel, __ATOMIC_RELAXED))
        return err_set(e, ERR_CANCELLED, "cancelled");
    return 0;
}

/* --- tables --- */

struct finder {
    const struct segvec *v;
    const struct digest *d;
};

/* Both kinds of elements begin with their digest. */
static bool same_digest(const void *ctx, uint32_t i)
{
    const struct finder *f = ctx;
    return digest_eq(segvec_at(f->v, i), f->d);
}

static uint32_t hash_of(const struct ingest *g, const struct digest *d)
{
    return (uint32_t)hashkey_of(&g->key, 0, d->b, DIGEST_LEN);
}

static uint32_t find(const struct hashtab *t, const struct segvec *v, uint32_t hash, const struct digest *d)
{
    struct finder f = {v, d};
    return hashtab_find(t, hash, same_digest, &f);
}

static int add_index(struct segvec *v, uint32_t i, struct err *e)
{
    uint32_t *p = segvec_add(v);
    if (!p)
        return err_nomem(e);
    *p = i;
    return 0;
}

static int remember_chunk(struct ingest *g, uint32_t hash, const struct digest *d, uint64_t n, uint32_t *ret,
                          struct err *e)
{
    struct tree_chunk *c = segvec_add(&g->seen);
    uint32_t i = g->seen.count - 1;
    if (!c || hashtab_put(&g->seen_by_digest, hash, i) < 0)
        return err_nomem(e);
    c->digest = *d;
    c->end = n;
    *ret = i;
    return 0;
}

/* Takes chunks over on success. */
static int remember_multi(struct ingest *g, const struct multi *m, struct err *e)
{
    struct multi *p = segvec_add(&g->multi);
    uint32_t i = g->multi.count - 1;
    if (!p)
        return err_nomem(e);
    if (!(m->flags & MULTI_HOLES) && hashtab_put(&g->multi_by_digest, hash_of(g, &m->digest), i) < 0)
        return err_nomem(e);
    *p = *m;
    g->last = i | MULTI_BIT;
    return 0;
}

/* --- blocks --- */

static int raw_block_add(struct raw_block *b, const struct digest *d, const uint8_t *p, size_t n)
{
    if (b->count == b->cap) {
        uint32_t cap = b->cap ? b->cap * 2 : 1;
        struct chunk_row *rows = realloc(b->rows, cap * sizeof *rows);
        if (!rows)
            return -1;
        b->rows = rows;
        b->cap = cap;
    }
    b->rows[b->count++] = (struct chunk_row){.digest = *d, .off = (uint32_t)b->data.len, .len = (uint32_t)n};
    return buf_append(&b->data, p, n);
}

static int send_block(struct ingest *g, struct raw_block *b, const uint32_t *refs, struct err *e)
{
    struct made_block *m = segvec_add(&g->blocks);
    if (!m) {
        raw_block_free(b);
        return err_nomem(e);
    }
    m->first = g->order.count;
    m->count = b->count;
    b->number = g->blocks.count - 1;
    for (uint32_t i = 0; i < b->count; i++)
        if (add_index(&g->order, refs[i], e) < 0) {
            raw_block_free(b);
            return -1;
        }
    return g->o.sink(g->o.ctx, b, e);
}

static int send_small(struct ingest *g, struct err *e)
{
    struct raw_block *b = g->small;
    if (!b)
        return 0;
    g->small = NULL;
    int rc = send_block(g, b, (const uint32_t *)(const void *)g->small_refs.p, e);
    g->small_refs.len = 0;
    return rc;
}

static int new_chunk(struct ingest *g, uint32_t ref, const struct digest *d, const uint8_t *p, size_t n, struct err *e)
{
    bool alone = n >= BLOCK_TARGET;
    struct raw_block *b = alone ? NULL : g->small;
    if (!b) {
        b = calloc(1, sizeof *b);
        if (!b || buf_reserve(&b->data, alone ? n : 2 * BLOCK_TARGET) < 0) {
            raw_block_free(b);
            return err_nomem(e);
        }
        if (!alone)
            g->small = b;
    }
    atomic_fetch_add_explicit(g->o.bytes_new, n, memory_order_relaxed);
    if (raw_block_add(b, d, p, n) < 0) {
        if (alone)
            raw_block_free(b);
        return err_nomem(e);
    }
    if (alone)
        return send_block(g, b, &ref, e);
    if (buf_append(&g->small_refs, &ref, sizeof ref) < 0)
        return err_nomem(e);
    return b->data.len >= BLOCK_TARGET ? send_small(g, e) : 0;
}

/* --- chunks --- */

/* *ret: the chunk's index when this session or the store has it, else REF_NONE. */
static int find_chunk(struct ingest *g, const struct digest *d, size_t n, uint32_t hash, uint32_t *ret, struct err *e)
{
    struct chunk_loc loc;
    *ret = find(&g->seen_by_digest, &g->seen, hash, d);
    if (*ret != HASHTAB_NONE)
        return 0;
    *ret = REF_NONE;
    if (catalog_chunk(g->o.catalog, d, true, &loc, e) < 0) {
        if (e->kind != ERR_NOT_FOUND)
            return -1;
        err_clear(e);
        return 0;
    }
    if (loc.len != n) {
        char hex[DIGEST_HEX_LEN + 1];
        digest_hex(d, hex);
        return err_set(e, ERR_DAMAGED, "catalog: chunk %s has %zu bytes, not %" PRIu32 ": rebuild the catalog", hex, n,
                       loc.len);
    }
    if (remember_chunk(g, hash, d, n, ret, e) < 0)
        return -1;
    return add_index(&g->reused, *ret, e);
}

static int store_chunk(struct ingest *g, const struct digest *d, const uint8_t *p, size_t n, uint32_t *ret,
                       struct err *e)
{
    uint32_t hash = hash_of(g, d);
    if (find_chunk(g, d, n, hash, ret, e) < 0)
        return -1;
    if (*ret != REF_NONE)
        return 0;
    return remember_chunk(g, hash, d, n, ret, e) < 0 ? -1 : new_chunk(g, *ret, d, p, n, e);
}

/* --- whole contents --- */

static bool usable_list(const struct tree_chunk *c, size_t n, uint64_t size)
{
    for (size_t i = 0; i < n; i++)
        if (digest_is_zero(&c[i].digest))
            return false;
    return n > 1 && c[n - 1].end == size;
}

/* Does this session or the store have a content of several chunks by that name? Then g->last is it. */
static int find_content(struct ingest *g, const struct digest *d, uint64_t size, bool *ret, struct err *e)
{
    struct buf b = {0};
    uint32_t i = find(&g->multi_by_digest, &g->multi, hash_of(g, d), d);
    *ret = i != HASHTAB_NONE;
    if (*ret) {
        g->last = i | MULTI_BIT;
        return 0;
    }
    if (catalog_content(g->o.catalog, d, true, &b, e) < 0) {
        buf_release(&b);
        if (e->kind != ERR_NOT_FOUND)
            return -1;
        err_clear(e);
        return 0;
    }
    struct multi m = {.digest = *d, .size = size, .stored = size, .flags = MULTI_REUSED};
    m.count = (uint32_t)(b.len / sizeof *m.chunks);
    m.chunks = (struct tree_chunk *)(void *)buf_steal(&b, NULL);
    *ret = usable_list(m.chunks, m.count, size);
    if (*ret && remember_multi(g, &m, e) == 0)
        return 0;
    free(m.chunks);
    return *ret ? -1 : 0;
}

/* Adds a chunk to the list of the content. */
static int list_chunk(struct ingest *g, const uint8_t *p, size_t n, struct err *e)
{
    struct tree_chunk c = {.end = g->size + n};
    uint32_t ref;
    sha256_of(p, n, &c.digest);
    if (store_chunk(g, &c.digest, p, n, &ref, e) < 0)
        return -1;
    g->size += n;
    return buf_append(&g->list, &c, sizeof c) < 0 ? err_nomem(e) : 0;
}

/* The list becomes a content. */
static int settle_list(struct ingest *g, const struct digest *d, struct err *e)
{
    struct multi m = {.digest = *d, .size = g->size, .stored = g->size - g->holes, .flags = g->holes ? MULTI_HOLES : 0};
    uint32_t i = g->holes ? HASHTAB_NONE : find(&g->multi_by_digest, &g->multi, hash_of(g, d), d);
    g->settled = true;
    if (i != HASHTAB_NONE) {
        g->last = i | MULTI_BIT;
        return 0;
    }
    m.count = (uint32_t)(g->list.len / sizeof *m.chunks);
    m.chunks = malloc(g->list.len);
    if (!m.chunks)
        return err_nomem(e);
    memcpy(m.chunks, g->list.p, g->list.len);
    if (remember_multi(g, &m, e) < 0) {
        free(m.chunks);
        return -1;
    }
    return 0;
}

/* All bytes of a content at once. */
static int take_whole(struct ingest *g, const uint8_t *p, size_t n, struct err *e)
{
    struct digest d;
    bool known = false;
    sha256_of(p, n, &d);
    g->settled = true;
    if (n <= LIMIT_WHOLE_FILE)
        return store_chunk(g, &d, p, n, &g->last, e);
    if (n <= CHUNK_MAX) { /* it may be one chunk */
        if (find_chunk(g, &d, n, hash_of(g, &d), &g->last, e) < 0)
            return -1;
        if (g->last != REF_NONE)
            return 0;
    }
    if (find_content(g, &d, n, &known, e) < 0 || known)
        return known ? 0 : -1;
    size_t first = chunker_cut(p, n < CHUNK_MAX ? n : CHUNK_MAX);
    if (first == n)
        return store_chunk(g, &d, p, n, &g->last, e);
    for (size_t at = 0, len = first; at < n; at += len) {
        if (at)
            len = chunker_cut(p + at, n - at < CHUNK_MAX ? n - at : CHUNK_MAX);
        if (list_chunk(g, p + at, len, e) < 0)
            return -1;
    }
    return settle_list(g, &d, e);
}

/* --- streaming --- */

/* Cuts what can be cut; end: the run of data ends here. */
static int cut_run(struct ingest *g, bool end, struct err *e)
{
    while (g->gather.len - g->done >= CHUNK_MAX || (end && g->gather.len > g->done)) {
        const uint8_t *p = g->gather.p + g->done;
        size_t left = g->gather.len - g->done, n = chunker_cut(p, left < CHUNK_MAX ? left : CHUNK_MAX);
        if (list_chunk(g, p, n, e) < 0)
            return -1;
        g->done += n;
    }
    if (g->done == g->gather.len) {
        g->gather.len = g->done = 0;
    } else if (g->done >= COMPACT_AT) {
        memmove(g->gather.p, g->gather.p + g->done, g->gather.len - g->done);
        g->gather.len -= g->done;
        g->done = 0;
    }
    return 0;
}

static int start_streaming(struct ingest *g, struct err *e)
{
    g->streaming = true;
    if (sha256_init(&g->hash) < 0)
        return err_nomem(e);
    sha256_update(&g->hash, g->gather.p, g->gather.len);
    return cut_run(g, false, e);
}

int ingest_data(struct ingest *g, const uint8_t *p, size_t n, bool whole, struct err *e)
{
    if (check_cancel(g, e) < 0)
        return -1;
    if (!n)
        return 0;
    if (whole && !g->streaming && !g->gather.len && n <= WHOLE_MAX)
        return take_whole(g, p, n, e);
    if (g->streaming)
        sha256_update(&g->hash, p, n);
    if (buf_append(&g->gather, p, n) < 0)
        return err_nomem(e);
    if (g->streaming)
        return cut_run(g, false, e);
    return g->gather.len > WHOLE_MAX ? start_streaming(g, e) : 0;
}

int ingest_hole(struct ingest *g, uint64_t n, struct err *e)
{
    static const uint8_t zeros[64 << 10];
    if (!n)
        return 0;
    if (!g->streaming && start_streaming(g, e) < 0)
        return -1;
    if (cut_run(g, true, e) < 0)
        return -1;
    for (uint64_t left = n; left;) {
        size_t k = left < sizeof zeros ? (size_t)left : sizeof zeros;
        if (check_cancel(g, e) < 0)
            return -1;
        sha256_update(&g->hash, zeros, k);
        left -= k;
    }
    g->size += n;
    g->holes += n;
    struct tree_chunk *last = (struct tree_chunk *)(void *)(g->list.p + g->list.len);
    if (g->list.len && digest_is_zero(&last[-1].digest)) {
        last[-1].end = g->size;
        return 0;
    }
    struct tree_chunk c = {.end = g->size};
    return buf_append(&g->list, &c, sizeof c) < 0 ? err_nomem(e) : 0;
}

static int settle(struct ingest *g, struct err *e)
{
    struct digest d;
    if (!g->streaming)
        return take_whole(g, g->gather.p, g->gather.len, e);
    if (cut_run(g, true, e) < 0)
        return -1;
    sha256_final(&g->hash, &d);
    return settle_list(g, &d, e);
}

int ingest_end(struct ingest *g, bool slot, struct err *e)
{
    if (!g->settled && !g->streaming && !g->gather.len)
        return err_set(e, ERR_USAGE, "a content without bytes");
    if (!g->settled && settle(g, e) < 0)
        return -1;
    g->settled = g->streaming = false;
    g->size = g->holes = 0;
    g->list.len = g->gather.len = g->done = 0;
    return slot ? add_index(&g->slots, g->last, e) : 0;
}

int ingest_finish(struct ingest *g, struct err *e)
{
    return send_small(g, e);
}

/* --- results --- */

static void multi_content(const struct multi *m, struct content *ret)
{
    *ret = (struct content){
        .digest = m->digest, .size = m->size, .stored = m->stored, .chunks = m->chunks, .chunk_count = m->count};
}

static void ref_content(const struct ingest *g, uint32_t ref, struct content *ret)
{
    if (ref & MULTI_BIT) {
        multi_content(segvec_at(&g->multi, ref & ~MULTI_BIT), ret);
        return;
    }
    const struct tree_chunk *c = segvec_at(&g->seen, ref);
    *ret = (struct content){.digest = c->digest, .size = c->end, .stored = c->end, .chunks = c, .chunk_count = 1};
}

uint32_t ingest_slots(const struct ingest *g)
{
    return g->slots.count;
}

void ingest_content(const struct ingest *g, uint32_t slot, struct content *ret)
{
    ref_content(g, *(const uint32_t *)segvec_at(&g->slots, slot), ret);
}

void ingest_last(const struct ingest *g, struct content *ret)
{
    ref_content(g, g->last, ret);
}

static void keep_ref(struct ingest *g, uint32_t ref)
{
    if (ref & MULTI_BIT)
        ((struct multi *)segvec_at(&g->multi, ref & ~MULTI_BIT))->flags |= MULTI_KEEP;
}

void ingest_keep(struct ingest *g, uint32_t slot)
{
    keep_ref(g, *(const uint32_t *)segvec_at(&g->slots, slot));
}

void ingest_keep_last(struct ingest *g)
{
    keep_ref(g, g->last);
}

uint32_t ingest_blocks(const struct ingest *g)
{
    return g->blocks.count;
}

int ingest_rows(const struct ingest *g, uint32_t block, struct buf *out, uint32_t *ret_n, struct err *e)
{
    const struct made_block *m = segvec_at(&g->blocks, block);
    uint32_t off = 0;
    out->len = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct tree_chunk *c = segvec_at(&g->seen, *(const uint32_t *)segvec_at(&g->order, m->first + i));
        struct chunk_row row = {.digest = c->digest, .off = off, .len = (uint32_t)c->end};
        if (buf_append(out, &row, sizeof row) < 0)
            return err_nomem(e);
        off += row.len;
    }
    *ret_n = m->count;
    return 0;
}

static int each_multi(const struct ingest *g, uint32_t mask, uint32_t want, ingest_content_fn fn, void *ctx,
                      struct err *e)
{
    for (uint32_t i = 0; i < g->multi.count; i++) {
        struct content c;
        const struct multi *m = segvec_at(&g->multi, i);
        if ((m->flags & mask) != want)
            continue;
        multi_content(m, &c);
        if (fn(&c, ctx, e) < 0)
            return -1;
    }
    return 0;
}

int ingest_each_new(const struct ingest *g, ingest_content_fn fn, void *ctx, struct err *e)
{
    return each_multi(g, MULTI_REUSED | MULTI_HOLES, 0, fn, ctx, e);
}

int ingest_each_kept(const struct ingest *g, ingest_content_fn fn, void *ctx, struct err *e)
{
    return each_multi(g, MULTI_KEEP, MULTI_KEEP, fn, ctx, e);
}

int ingest_each_reused(const struct ingest *g, ingest_digest_fn fn, void *ctx, struct err *e)
{
    for (uint32_t i = 0; i < g->reused.count; i++) {
        const struct tree_chunk *c = segvec_at(&g->seen, *(const uint32_t *)segvec_at(&g->reused, i));
        if (fn(&c->digest, ctx, e) < 0)
            return -1;
    }
    for (uint32_t i = 0; i < g->multi.count; i++) {
        const struct multi *m = segvec_at(&g->multi, i);
        for (uint32_t k = 0; m->flags & MULTI_REUSED && k < m->count; k++)
            if (fn(&m->chunks[k].digest, ctx, e) < 0)
                return -1;
    }
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * One mutex over a hash table and a list in order of use: an operation under it takes well under a microsecond, a
 * decode 50 to 100, so that the lock is idle even with many threads.
 *
 * States of an entry:
 *
 *   loading ──ok──> ready: refs > 0 in use; refs = 0 also in the list, may be evicted
 *      └──error──> failed: out of the table at once; freed by the last of those who waited
 *
 * The table holds loading and ready entries. Memory that is being loaded isn't counted yet.
 */
#include "blockcache.h"

#include <pthread.h>
#include <stdlib.h>

enum state { LOADING, READY, FAILED };

struct entry {
    struct cached_block b;       /* first: what callers hold */
    struct entry *next;          /* in the bucket */
    struct entry *newer, *older; /* in the list of unused ones */
    uint32_t refs;
    enum state state;
    struct err *error; /* FAILED; NULL when there was no memory for it */
};

struct blockcache {
    pthread_mutex_t lock;
    pthread_cond_t loaded;
    blockcache_load load;
    void *ctx;
    uint64_t bound;
    struct entry **bucket;
    size_t mask;
    struct entry *newest, *oldest;
    struct blockcache_stats stats;
};

int blockcache_new(uint64_t bytes, blockcache_load load, void *ctx, struct blockcache **ret, struct err *e)
{
    struct blockcache *c = calloc(1, sizeof *c);
    size_t buckets = 256;
    while (buckets < bytes >> 15 && buckets < (size_t)1 << 24)
        buckets *= 2;
    if (!c || !(c->bucket = calloc(buckets, sizeof(struct entry *)))) {
        free(c);
        return err_nomem(e);
    }
    c->mask = buckets - 1;
    c->bound = bytes;
    c->load = load;
    c->ctx = ctx;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->loaded, NULL);
    *ret = c;
    return 0;
}

static void entry_free(struct entry *n)
{
    union {
        const uint8_t *in;
        void *out;
    } data = {.in = n->b.data}; /* const for the callers only */
    free(data.out);
    free(n->error);
    free(n);
}

void blockcache_free(struct blockcache *c)
{
    if (!c)
        return;
    for (struct entry *n = c->newest, *older; n; n = older) {
        older = n->older;
        entry_free(n);
    }
    pthread_cond_destroy(&c->loaded);
    pthread_mutex_destroy(&c->lock);
    free(c->bucket);
    free(c);
}

static struct entry **bucket_of(struct blockcache *c, uint64_t number)
{
    return &c->bucket[(number * UINT64_C(0x9e3779b97f4a7c15) >> 32) & c->mask];
}

static struct entry *find(struct blockcache *c, uint64_t number)
{
    struct entry *n = *bucket_of(c, number);
    while (n && n->b.number != number)
        n = n->next;
    return n;
}

static void table_remove(struct blockcache *c, struct entry *n)
{
    struct entry **p = bucket_of(c, n->b.number);
    while (*p != n)
        p = &(*p)->next;
    *p = n->next;
}

static void list_remove(struct blockcache *c, struct entry *n)
{
    if (n->newer)
        n->newer->older = n->older;
    else
        c->newest = n->older;
    if (n->older)
        n->older->newer = n->newer;
    else
        c->oldest = n->newer;
}

static void list_add(struct blockcache *c, struct entry *n)
{
    n->newer = NULL;
    n->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = n;
    c->newest = n;
}

/* Takes unused blocks out until the bound holds; returns them as a list to free without the lock. */
static struct entry *evict(struct blockcache *c)
{
    struct entry *out = NULL;
    while (c->stats.cached_bytes > c->bound && c->oldest) {
        struct entry *n = c->oldest;
        list_remove(c, n);
        table_remove(c, n);
        c->stats.cached_bytes -= n->b.len;
        n->next = out;
        out = n;
    }
    return out;
}

static void free_all(struct entry *n)
{
    for (struct entry *next; n; n = next) {
        next = n->next; /* NOLINT(clang-analyzer-unix.Malloc): an entry is in the list once, which clang can't see */
        entry_free(n);
    }
}

static void take_ref(struct blockcache *c, struct entry *n)
{
    if (!n->refs++ && n->state == READY)
        list_remove(c, n);
}

/* With the lock: an entry that failed; the caller has a reference. Unlocks. */
static int give_error(struct blockcache *c, struct entry *n, struct err *e)
{
    int rc = n->error ? -1 : err_nomem(e);
    if (n->error)
        *e = *n->error;
    bool last = !--n->refs;
    pthread_mutex_unlock(&c->lock);
    if (last)
        entry_free(n);
    return rc;
}

/* Loads the entry that this thread has just put into the table. */
static int load(struct blockcache *c, struct entry *n, struct err *e)
{
    struct err why = {0};
    uint8_t *data = NULL;
    uint32_t len = 0;
    int rc = c->load(c->ctx, n->b.number, &data, &len, &why);
    struct err *kept = rc < 0 ? malloc(sizeof *kept) : NULL;
    if (kept)
        *kept = why;

    pthread_mutex_lock(&c->lock);
    pthread_cond_broadcast(&c->loaded);
    if (rc < 0) {
        n->state = FAILED;
        n->error = kept;
        table_remove(c, n);
        give_error(c, n, e);
        *e = why;
        return -1;
    }
    n->b.data = data;
    n->b.len = len;
    n->state = READY;
    c->stats.cached_bytes += len;
    c->stats.decoded_bytes += len;
    struct entry *out = evict(c);
    pthread_mutex_unlock(&c->lock);
    free_all(out);
    return 0;
}

int blockcache_get(struct blockcache *c, uint64_t number, const struct cached_block **ret, struct err *e)
{
    pthread_mutex_lock(&c->lock);
    struct entry *n = find(c, number);
    if (n) {
        take_ref(c, n);
        while (n->state == LOADING)
            pthread_cond_wait(&c->loaded, &c->lock);
        if (n->state == FAILED)
            return give_error(c, n, e);
        c->stats.hits++;
        pthread_mutex_unlock(&c->lock);
        *ret = &n->b;
        return 0;
    }
    n = calloc(1, sizeof *n);
    if (!n) {
        pthread_mutex_unlock(&c->lock);
        return err_nomem(e);
    }
    n->b.number = number;
    n->refs = 1;
    n->state = LOADING;
    struct entry **p = bucket_of(c, number);
    n->next = *p;
    *p = n;
    c->stats.misses++;
    pthread_mutex_unlock(&c->lock);
    if (load(c, n, e) < 0)
        return -1;
    *ret = &n->b;
    return 0;
}

void blockcache_put(struct blockcache *c, const struct cached_block *b)
{
    pthread_mutex_lock(&c->lock);
    struct entry *n = find(c, b->number);
    if (!--n->refs)
        list_add(c, n);
    struct entry *out = evict(c);
    pthread_mutex_unlock(&c->lock);
    free_all(out);
}

bool blockcache_has(struct blockcache *c, uint64_t number)
{
    pthread_mutex_lock(&c->lock);
    bool has = find(c, number) != NULL;
    pthread_mutex_unlock(&c->lock);
    return has;
}

void blockcache_stats(struct blockcache *c, struct blockcache_stats *ret)
{
    pthread_mutex_lock(&c->lock);
    *ret = c->stats;
    pthread_mutex_unlock(&c->lock);
}

/* SPDX-License-Identifier: MIT */
/*
 * A hash table by number, and a list of the unpinned trees from the least to the most recently used, under a mutex that
 * is held for a few instructions: an image of 500 layers costs the same per look-up as one of 5. Loading happens
 * outside the mutex, once per number: others wait for it.
 *
 * A slot is loading (pinned by its loader) → loaded, pinned → loaded, in the list → freed. A load that failed takes its
 * slot out of the table at once, so whoever asks next tries again; the last of those who waited frees it.
 */
#include "treecache.h"

#include "catalog.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    struct loaded_tree lt;
    struct treecache *cache;
    struct slot *chain;       /* of its bucket */
    struct slot *prev, *next; /* of the list, when unpinned */
    unsigned pins;
    size_t bytes;
    bool loading, failed;
    struct err e; /* of a failed load, for those who waited */
};

struct treecache {
    struct store *s;
    pthread_mutex_t mu;
    pthread_cond_t loaded;
    struct slot **bucket;
    uint32_t buckets, count;      /* buckets: a power of two */
    struct slot *oldest, *newest; /* the list */
    uint64_t bytes, max;
};

int treecache_new(struct store *s, uint64_t bytes, struct treecache **ret, struct err *e)
{
    struct treecache *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
    c->buckets = 64;
    c->bucket = calloc(c->buckets, sizeof(struct slot *));
    if (!c->bucket) {
        free(c);
        return err_nomem(e);
    }
    c->s = s;
    c->max = bytes;
    pthread_mutex_init(&c->mu, NULL);
    pthread_cond_init(&c->loaded, NULL);
    *ret = c;
    return 0;
}

static void free_slot(struct slot *t)
{
    tree_close(t->lt.tree);
    free(t->lt.ref_no);
    free((void *)(uintptr_t)t->lt.where);
    free(t);
}

void treecache_free(struct treecache *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->buckets; i++) {
        for (struct slot *t = c->bucket[i], *next; t; t = next) {
            next = t->chain;
            free_slot(t);
        }
    }
    free(c->bucket);
    pthread_cond_destroy(&c->loaded);
    pthread_mutex_destroy(&c->mu);
    free(c);
}

/* The digest of the tree that object `no` has, and of which kind it must be. */
static int tree_of(struct catalog *c, uint32_t no, struct digest *ret, enum tree_kind *ret_kind, struct err *e)
{
    char kind[16];
    if (catalog_kind(c, no, kind, e) < 0)
        return -1;
    if (!strcmp(kind, "layer")) {
        struct cat_layer l;
        if (catalog_layer_no(c, no, &l, e) < 0)
            return -1;
        *ret = l.tree;
        *ret_kind = TREE_LAYER;
    } else if (!strcmp(kind, "package")) {
        struct cat_package p;
        if (catalog_package_no(c, no, &p, e) < 0)
            return -1;
        *ret = p.tree;
        *ret_kind = TREE_PACKAGE;
        cat_package_release(&p);
    } else if (!strcmp(kind, "image")) {
        struct cat_image im;
        if (catalog_image_no(c, no, &im, e) < 0)
            return -1;
        *ret = im.rootfs;
        *ret_kind = TREE_ROOTFS;
        cat_image_release(&im);
    } else {
        return err_set(e, ERR_NOT_FOUND, "object %" PRIu32 " is a %s and has no tree", no, kind);
    }
    return 0;
}

static int damaged(int rc, uint32_t no, struct err *e)
{
    if (rc < 0) {
        /* The catalog names it: if it can't be had, that is damage. */
        if (e->kind == ERR_NOT_FOUND || e->kind == ERR_INPUT)
            e->kind = ERR_DAMAGED;
        err_wrap(e, "tree of object %" PRIu32, no);
    }
    return rc;
}

static int load_refs(struct slot *t, struct catalog *c, struct err *e)
{
    uint32_t n = tree_ref_count(t->lt.tree);
    t->lt.ref_no = calloc(n ? n : 1, sizeof *t->lt.ref_no);
    if (!t->lt.ref_no)
        return err_nomem(e);
    for (uint32_t i = 0; i < n; i++) {
        struct cat_layer l;
        if (catalog_layer(c, tree_ref(t->lt.tree, i), &l, e) < 0)
            return -1;
        t->lt.ref_no[i] = l.no;
    }
    return 0;
}

/* The tree, its layers' numbers; what goes wrong here is damage, as the catalog names the tree. */
static int load_tree(struct slot *t, const struct digest *d, enum tree_kind kind, struct err *e)
{
    if (reader_tree(store_reader(t->cache->s), d, &t->lt.tree, e) < 0)
        return -1;
    if (tree_kind(t->lt.tree) != kind)
        return err_set(e, ERR_DAMAGED, "it is of another kind than the object");
    return load_refs(t, store_catalog(t->cache->s), e);
}

static int load(struct slot *t, struct err *e)
{
    struct digest d;
    enum tree_kind kind;
    if (!store_reader(t->cache->s))
        return err_nomem(e);
    if (tree_of(store_catalog(t->cache->s), t->lt.no, &d, &kind, e) < 0 ||
        damaged(load_tree(t, &d, kind, e), t->lt.no, e) < 0)
        return -1;
    uint32_t chunks = tree_chunk_count(t->lt.tree);
    t->lt.where = calloc(chunks ? chunks : 1, sizeof *t->lt.where);
    t->bytes = sizeof *t + tree_bytes(t->lt.tree) + chunks * sizeof *t->lt.where;
    return t->lt.where ? 0 : err_nomem(e);
}

/* Numbers are given out one after the other, so they are their own hash. */
static struct slot **bucket_of(const struct treecache *c, uint32_t no)
{
    return &c->bucket[no & (c->buckets - 1)];
}

static void unlink_slot(struct treecache *c, struct slot *t)
{
    struct slot **at = bucket_of(c, t->lt.no);
    while (*at != t)
        at = &(*at)->chain;
    *at = t->chain;
    c->count--;
}

static void leave_list(struct treecache *c, struct slot *t)
{
    if (t->prev)
        t->prev->next = t->next;
    else
        c->oldest = t->next;
    if (t->next)
        t->next->prev = t->prev;
    else
        c->newest = t->prev;
}

static void enter_list(struct treecache *c, struct slot *t)
{
    t->next = NULL;
    t->prev = c->newest;
    if (t->prev)
        t->prev->next = t;
    else
        c->oldest = t;
    c->newest = t;
}

/* Drops the least recently used unpinned trees until the rest fits. */
static void shrink(struct treecache *c)
{
    while (c->bytes > c->max && c->oldest) {
        struct slot *t = c->oldest;
        c->oldest = t->next;
        if (c->oldest)
            c->oldest->prev = NULL;
        else
            c->newest = NULL;
        unlink_slot(c, t);
        c->bytes -= t->bytes;
        free_slot(t);
    }
}

static struct slot *find(const struct treecache *c, uint32_t no)
{
    struct slot *t = *bucket_of(c, no);
    while (t && t->lt.no != no)
        t = t->chain;
    return t;
}

/* Twice the buckets; without memory for that the chains just get longer. */
static void spread(struct treecache *c)
{
    struct slot **old = c->bucket, **v = calloc((size_t)c->buckets * 2, sizeof(struct slot *));
    uint32_t n = c->buckets;
    if (!v)
        return;
    c->bucket = v;
    c->buckets *= 2;
    for (uint32_t i = 0; i < n; i++) {
        for (struct slot *t = old[i], *next; t; t = next) {
            struct slot **at = bucket_of(c, t->lt.no);
            next = t->chain;
            t->chain = *at;
            *at = t;
        }
    }
    free(old);
}

/* A slot that is loading, pinned. */
static struct slot *add(struct treecache *c, uint32_t no)
{
    struct slot *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    if (c->count >= c->buckets && c->buckets < 1u << 24)
        spread(c);
    t->lt.no = no;
    t->cache = c;
    t->loading = true;
    t->pins = 1;
    t->chain = *bucket_of(c, no);
    *bucket_of(c, no) = t;
    c->count++;
    return t;
}

/* With the mutex: gives up a pin; a failed load's slot goes with its last waiter. */
static void unpin(struct treecache *c, struct slot *t)
{
    if (--t->pins)
        return;
    if (t->failed) {
        free_slot(t);
        return;
    }
    enter_list(c, t);
    shrink(c);
}

/* Takes the mutex, which the caller gives back. */
static void finish_load(struct treecache *c, struct slot *t, int rc)
{
    pthread_mutex_lock(&c->mu);
    t->loading = false;
    t->failed = rc < 0;
    if (t->failed)
        unlink_slot(c, t);
    else
        c->bytes += t->bytes;
    pthread_cond_broadcast(&c->loaded);
}

int treecache_get(struct treecache *c, uint32_t no, const struct loaded_tree **ret, struct err *e)
{
    pthread_mutex_lock(&c->mu);
    struct slot *t = find(c, no);
    if (!t) {
        t = add(c, no);
        pthread_mutex_unlock(&c->mu);
        if (!t)
            return err_nomem(e);
        finish_load(c, t, load(t, &t->e));
    } else if (!t->pins++) {
        leave_list(c, t);
    }
    while (t->loading)
        pthread_cond_wait(&c->loaded, &c->mu);
    int rc = 0;
    if (t->failed) {
        *e = t->e;
        rc = -1;
        unpin(c, t);
    } else {
        *ret = &t->lt;
    }
    pthread_mutex_unlock(&c->mu);
    return rc;
}

void treecache_put(struct treecache *c, const struct loaded_tree *lt)
{
    if (!lt)
        return;
    struct slot *t = (struct slot *)(uintptr_t)lt; /* lt is its first member */
    pthread_mutex_lock(&c->mu);
    unpin(c, t);
    pthread_mutex_unlock(&c->mu);
}

void treecache_map(const struct loaded_tree *lt, uint32_t content, struct content_map *ret)
{
    const struct tree_content *tc = tree_content(lt->tree, content);
    *ret = (struct content_map){.c = {.digest = tc->digest,
                                      .size = tc->size,
                                      .stored = tc->stored,
                                      .chunks = tree_chunk(lt->tree, tc->first_chunk),
                                      .chunk_count = tc->chunk_count},
                                .where = lt->where + tc->first_chunk};
}

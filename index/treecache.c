/* SPDX-License-Identifier: MIT */
/*
 * A small array under a mutex, searched linearly: a process has some dozens of trees open, and a look-up in the mount
 * costs one search. Loading happens outside the mutex, once per number: others wait for it.
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
    unsigned pins;
    uint64_t used; /* clock at the last put */
    size_t bytes;
    bool loading, failed;
    struct err e; /* of a failed load, for those who waited */
};

struct treecache {
    struct store *s;
    pthread_mutex_t mu;
    pthread_cond_t loaded;
    struct slot **v;
    size_t count, cap;
    uint64_t bytes, max, clock;
};

int treecache_new(struct store *s, uint64_t bytes, struct treecache **ret, struct err *e)
{
    struct treecache *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
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
    for (size_t i = 0; i < c->count; i++)
        free_slot(c->v[i]);
    free(c->v);
    pthread_cond_destroy(&c->loaded);
    pthread_mutex_destroy(&c->mu);
    free(c);
}

/* The digest of the tree that object `no` has. */
static int tree_of(struct catalog *c, uint32_t no, struct digest *ret, struct err *e)
{
    char kind[16];
    if (catalog_kind(c, no, kind, e) < 0)
        return -1;
    if (!strcmp(kind, "layer")) {
        struct cat_layer l;
        if (catalog_layer_no(c, no, &l, e) < 0)
            return -1;
        *ret = l.tree;
    } else if (!strcmp(kind, "package")) {
        struct cat_package p;
        if (catalog_package_no(c, no, &p, e) < 0)
            return -1;
        *ret = p.tree;
        cat_package_release(&p);
    } else if (!strcmp(kind, "image")) {
        struct cat_image im;
        if (catalog_image_no(c, no, &im, e) < 0)
            return -1;
        *ret = im.rootfs;
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

static int load(struct slot *t, struct err *e)
{
    struct catalog *c = store_catalog(t->cache->s);
    struct reader *r = store_reader(t->cache->s);
    struct digest d;
    if (!r)
        return err_nomem(e);
    if (tree_of(c, t->lt.no, &d, e) < 0)
        return -1;
    if (damaged(reader_tree(r, &d, &t->lt.tree, e), t->lt.no, e) < 0 || damaged(load_refs(t, c, e), t->lt.no, e) < 0)
        return -1;
    uint32_t chunks = tree_chunk_count(t->lt.tree);
    t->lt.where = calloc(chunks ? chunks : 1, sizeof *t->lt.where);
    t->bytes = sizeof *t + tree_bytes(t->lt.tree) + chunks * sizeof *t->lt.where;
    return t->lt.where ? 0 : err_nomem(e);
}

static void unlink_slot(struct treecache *c, size_t i)
{
    c->bytes -= c->v[i]->bytes;
    c->v[i] = c->v[--c->count];
}

/* Drops the least recently used unpinned trees until the rest fits. */
static void shrink(struct treecache *c)
{
    while (c->bytes > c->max) {
        size_t oldest = SIZE_MAX;
        for (size_t i = 0; i < c->count; i++)
            if (!c->v[i]->pins && (oldest == SIZE_MAX || c->v[i]->used < c->v[oldest]->used))
                oldest = i;
        if (oldest == SIZE_MAX)
            return;
        struct slot *t = c->v[oldest];
        unlink_slot(c, oldest);
        free_slot(t);
    }
}

static struct slot *find(struct treecache *c, uint32_t no)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->v[i]->lt.no == no)
            return c->v[i];
    return NULL;
}

static struct slot *add(struct treecache *c, uint32_t no)
{
    if (c->count == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 32;
        struct slot **v = realloc(c->v, cap * sizeof(struct slot *));
        if (!v)
            return NULL;
        c->v = v;
        c->cap = cap;
    }
    struct slot *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->lt.no = no;
    t->cache = c;
    t->loading = true;
    c->v[c->count++] = t;
    return t;
}

/* With the mutex: gives up a pin; a failed load's slot goes with its last waiter. */
static void unpin(struct treecache *c, struct slot *t)
{
    t->used = ++c->clock;
    if (--t->pins)
        return;
    if (t->failed) {
        free_slot(t);
        return;
    }
    shrink(c);
}

static void finish_load(struct treecache *c, struct slot *t, int rc)
{
    pthread_mutex_lock(&c->mu);
    t->loading = false;
    t->failed = rc < 0;
    for (size_t i = 0; rc < 0 && i < c->count; i++) {
        if (c->v[i] == t) {
            t->bytes = 0;
            unlink_slot(c, i); /* whoever asks next tries again */
        }
    }
    if (rc == 0)
        c->bytes += t->bytes;
    pthread_cond_broadcast(&c->loaded);
}

int treecache_get(struct treecache *c, uint32_t no, const struct loaded_tree **ret, struct err *e)
{
    pthread_mutex_lock(&c->mu);
    struct slot *t = find(c, no);
    bool mine = !t;
    if (mine && !(t = add(c, no))) {
        pthread_mutex_unlock(&c->mu);
        return err_nomem(e);
    }
    t->pins++;
    if (mine) {
        pthread_mutex_unlock(&c->mu);
        finish_load(c, t, load(t, &t->e));
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

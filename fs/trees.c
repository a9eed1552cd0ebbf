/* SPDX-License-Identifier: MIT */
/* trees: see trees.h. */
#include "trees.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct orphan {
    struct loaded_tree lt;
    unsigned pins;
    struct orphan *next;
};

int trees_init(struct trees *t, struct store *s, struct objects *o, uint64_t bytes, struct err *e)
{
    memset(t, 0, sizeof *t);
    t->s = s;
    t->objects = o;
    pthread_mutex_init(&t->lock, NULL);
    return treecache_new(s, bytes, &t->cache, e);
}

static void orphan_free(struct orphan *p)
{
    if (!p)
        return;
    tree_close(p->lt.tree);
    free(p->lt.ref_no);
    free(p->lt.where);
    free(p);
}

void trees_release(struct trees *t)
{
    while (t->orphans) {
        struct orphan *next = t->orphans->next;
        orphan_free(t->orphans);
        t->orphans = next;
    }
    treecache_free(t->cache);
    pthread_mutex_destroy(&t->lock);
    memset(t, 0, sizeof *t);
}

static int orphan_load(struct trees *t, const struct object *obj, struct orphan **ret, struct err *e)
{
    struct orphan *p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(e);
    p->lt.no = obj->no;
    if (reader_tree(store_reader(t->s), &obj->tree, &p->lt.tree, e) < 0) {
        free(p);
        return -1;
    }
    uint32_t refs = tree_ref_count(p->lt.tree);
    p->lt.ref_no = calloc((size_t)refs + 1, sizeof *p->lt.ref_no);
    p->lt.where = calloc((size_t)tree_chunk_count(p->lt.tree) + 1, sizeof *p->lt.where);
    if (!p->lt.ref_no || !p->lt.where) {
        orphan_free(p);
        return err_nomem(e);
    }
    for (uint32_t i = 0; i < refs; i++)
        p->lt.ref_no[i] = objects_layer_no(t->objects, tree_ref(p->lt.tree, i));
    *ret = p;
    return 0;
}

/* With the lock held. */
static struct orphan *orphan_find(struct trees *t, uint32_t no)
{
    struct orphan *p = t->orphans;
    while (p && p->lt.no != no)
        p = p->next;
    return p;
}

static const struct loaded_tree *orphan_pin(struct trees *t, uint32_t no)
{
    pthread_mutex_lock(&t->lock);
    struct orphan *p = orphan_find(t, no);
    if (p)
        p->pins++;
    pthread_mutex_unlock(&t->lock);
    return p ? &p->lt : NULL;
}

static int get_orphan(struct trees *t, uint32_t no, const struct loaded_tree **ret, struct err *e)
{
    struct object obj;
    struct orphan *fresh = NULL;
    *ret = orphan_pin(t, no);
    if (*ret)
        return 0;
    if (objects_get(t->objects, no, &obj, e) < 0 || orphan_load(t, &obj, &fresh, e) < 0)
        return -1;
    pthread_mutex_lock(&t->lock);
    struct orphan *p = orphan_find(t, no); /* loaded by another thread meanwhile? */
    if (!p) {
        fresh->next = t->orphans;
        t->orphans = p = fresh;
        fresh = NULL;
        atomic_fetch_add(&t->orphan_count, 1);
    }
    p->pins++;
    pthread_mutex_unlock(&t->lock);
    orphan_free(fresh);
    *ret = &p->lt;
    return 0;
}

int trees_get(struct trees *t, uint32_t no, const struct loaded_tree **ret, struct err *e)
{
    struct err first = {0};
    if (treecache_get(t->cache, no, ret, &first) == 0)
        return 0;
    if (first.kind == ERR_NOT_FOUND) {
        err_clear(e);
        return get_orphan(t, no, ret, e);
    }
    *e = first;
    return -1;
}

void trees_put(struct trees *t, const struct loaded_tree *lt)
{
    if (!lt)
        return;
    if (atomic_load(&t->orphan_count) != 0) {
        pthread_mutex_lock(&t->lock);
        struct orphan *p = orphan_find(t, lt->no);
        bool is_orphan = p && &p->lt == lt;
        if (is_orphan)
            p->pins--;
        pthread_mutex_unlock(&t->lock);
        if (is_orphan)
            return;
    }
    treecache_put(t->cache, lt);
}

void trees_reap(struct trees *t)
{
    struct orphan *dead = NULL;
    if (atomic_load(&t->orphan_count) == 0)
        return;
    pthread_mutex_lock(&t->lock);
    for (struct orphan **at = &t->orphans; *at;) {
        struct orphan *p = *at;
        struct object obj;
        struct err e = {0};
        if (p->pins != 0 || objects_get(t->objects, p->lt.no, &obj, &e) == 0) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        p->next = dead;
        dead = p;
        atomic_fetch_sub(&t->orphan_count, 1);
    }
    pthread_mutex_unlock(&t->lock);
    while (dead) {
        struct orphan *next = dead->next;
        orphan_free(dead);
        dead = next;
    }
}

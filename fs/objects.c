/* SPDX-License-Identifier: MIT */
/*
 * objects: a table of all objects by number, and three listings over it. Readers hold the rwlock for the length of a
 * look and copy out; a refresh reads the catalog with no lock held but its own, and swaps under the write lock.
 */
#include "objects.h"

#include "../index/catalog.h"

#include "objload.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct objects {
    struct store *s;
    pthread_mutex_t refresh; /* one reader of the catalog at a time */
    pthread_rwlock_t lock;   /* all below */
    struct obj **v;          /* sorted by number */
    uint32_t n;
    struct topdir list[LIST_COUNT];
    int64_t newest[LIST_COUNT];
    uint64_t seq;
    struct objects_change pending; /* gone and listing only */
    uint32_t gone_cap;
    _Atomic uint64_t version; /* of the catalog, as taken in */
    _Atomic bool loaded;
};

static const enum object_kind list_kind[LIST_COUNT] = {OBJ_PACKAGE, OBJ_LAYER, OBJ_NAME};

int objects_new(struct store *s, struct objects **ret, struct err *e)
{
    struct objects *o = calloc(1, sizeof *o);
    if (!o)
        return err_nomem(e);
    o->s = s;
    pthread_mutex_init(&o->refresh, NULL);
    pthread_rwlock_init(&o->lock, NULL);
    if (objects_refresh(o, e) < 0) {
        objects_free(o);
        return -1;
    }
    *ret = o;
    return 0;
}

void objects_change_release(struct objects_change *c)
{
    for (uint32_t i = 0; i < c->gone_count; i++)
        free(c->gone[i].name);
    free(c->gone);
    free(c->held);
    memset(c, 0, sizeof *c);
}

void objects_free(struct objects *o)
{
    if (!o)
        return;
    for (uint32_t i = 0; i < o->n; i++)
        obj_free(o->v[i]);
    free(o->v);
    for (int i = 0; i < LIST_COUNT; i++)
        topdir_release(&o->list[i]);
    objects_change_release(&o->pending);
    pthread_rwlock_destroy(&o->lock);
    pthread_mutex_destroy(&o->refresh);
    free(o);
}

/* --- taking in a new reading --- */

/* Numbers are never used again, so an object known already is the same one: only what may change is taken over. */
static void adopt(struct obj *known, struct obj *fresh)
{
    known->pub.live = true;
    known->shown = fresh->shown;
    if (known->pub.kind == OBJ_NAME && known->pub.image_no == 0) {
        known->pub.image_no = fresh->pub.image_no;
        known->pub.config = fresh->pub.config;
        known->pub.layer_count = fresh->pub.layer_count;
    }
    if (known->layer_nos && fresh->layer_nos && known->pub.layer_count == fresh->pub.layer_count)
        for (uint32_t k = 0; k < known->pub.layer_count; k++)
            if (fresh->layer_nos[k])
                known->layer_nos[k] = fresh->layer_nos[k];
}

static bool is_used(struct obj *o)
{
    return o->used_before || atomic_load(&o->lookups) != 0;
}

static void keep(const struct objects *o, uint32_t no)
{
    struct obj *x = obj_find(o->v, o->n, no);
    if (x)
        x->keep = true;
}

/* Marks what is to stay known: what the catalog has, what is in use, and the images and layers that such names need. */
static void mark(const struct objects *o, const struct objload *l)
{
    for (uint32_t i = 0; i < o->n; i++) {
        struct obj *x = o->v[i];
        x->pub.live = obj_find(l->v, l->n, x->pub.no) != NULL;
        x->keep = x->pub.live || is_used(x);
    }
    for (uint32_t i = 0; i < o->n; i++)
        if (o->v[i]->keep && o->v[i]->pub.kind == OBJ_NAME)
            keep(o, o->v[i]->pub.image_no);
    for (uint32_t i = 0; i < o->n; i++)
        for (uint32_t k = 0; o->v[i]->keep && o->v[i]->layer_nos && k < o->v[i]->pub.layer_count; k++)
            keep(o, o->v[i]->layer_nos[k]);
}

/* Merges l into a new table, *ret (o->n + l->n slots): which old ones stay is decided first. Can't fail. */
static uint32_t merge(struct objects *o, struct objload *l, struct obj **to, struct obj **reaped, uint32_t *ret_reaped)
{
    uint32_t n = 0, a = 0, b = 0, dead = 0;
    mark(o, l);
    while (a < o->n || b < l->n) {
        struct obj *old = a < o->n ? o->v[a] : NULL, *fresh = b < l->n ? l->v[b] : NULL;
        if (old && fresh && old->pub.no == fresh->pub.no) {
            adopt(old, fresh);
            reaped[dead++] = fresh;
            to[n++] = old;
            a++;
            b++;
        } else if (old && (!fresh || old->pub.no < fresh->pub.no)) {
            old->shown = false;
            if (old->keep)
                to[n++] = old;
            else
                reaped[dead++] = old;
            a++;
        } else {
            to[n++] = fresh;
            b++;
        }
    }
    l->n = 0; /* all taken over */
    *ret_reaped = dead;
    return n;
}

static int build_list(struct obj *const *v, uint32_t n, enum object_list list, struct topdir *ret, int64_t *ret_newest)
{
    uint32_t count = 0;
    int64_t newest = 0;
    struct top_entry *t = calloc((size_t)n + 1, sizeof *t);
    if (!t)
        return -1;
    for (uint32_t i = 0; i < n; i++) {
        if (v[i]->pub.kind != list_kind[list] || !v[i]->name)
            continue;
        t[count++] = (struct top_entry){.name = v[i]->name, .no = v[i]->pub.no};
        if (v[i]->pub.time > newest)
            newest = v[i]->pub.time;
    }
    *ret_newest = newest;
    return topdir_build(ret, t, count);
}

struct gone_ctx {
    struct objects *o;
    enum object_list list;
};

static int add_gone(void *ctx, const struct top_entry *t)
{
    struct gone_ctx *g = ctx;
    struct objects *o = g->o;
    struct objects_change *p = &o->pending;
    if (p->gone_count == o->gone_cap) {
        uint32_t cap = o->gone_cap ? o->gone_cap * 2 : 16;
        struct gone_name *v = realloc(p->gone, cap * sizeof *v);
        if (!v)
            return -1;
        p->gone = v;
        o->gone_cap = cap;
    }
    char *name = strdup(t->name);
    if (!name)
        return -1;
    p->gone[p->gone_count++] = (struct gone_name){.list = g->list, .name = name};
    return 0;
}

/* Names in the new lists must be those of the objects that stay: built from l before the merge they are found again by
 * number. */
static void rebind_names(struct objects *o, struct topdir *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        struct obj *x = obj_find(o->v, o->n, t->v[i].no);
        if (x && x->name)
            t->v[i].name = x->name;
    }
}

static int swap(struct objects *o, struct objload *l)
{
    struct topdir fresh[LIST_COUNT] = {{0}};
    int64_t newest[LIST_COUNT] = {0};
    uint32_t dead = 0;
    size_t most = (size_t)o->n + l->n + 1;
    struct obj **to = calloc(most, sizeof *to), **reaped = calloc(most, sizeof *reaped);
    int r = to && reaped ? 0 : -1;
    for (int i = 0; i < LIST_COUNT && r == 0; i++)
        r = build_list(l->v, l->n, (enum object_list)i, &fresh[i], &newest[i]);
    for (int i = 0; i < LIST_COUNT && r == 0; i++) {
        struct gone_ctx g = {.o = o, .list = (enum object_list)i};
        /* A failure here leaves names in `pending` that aren't gone: dropping their dentries costs a look-up. */
        r = topdir_gone(&o->list[i], &fresh[i], add_gone, &g);
    }
    if (r == 0) {
        uint32_t n = merge(o, l, to, reaped, &dead);
        free(o->v);
        o->v = to;
        o->n = n;
        to = NULL;
        for (int i = 0; i < LIST_COUNT; i++) {
            if (o->list[i].n != fresh[i].n || o->newest[i] != newest[i])
                o->pending.listing[i] = true;
            topdir_release(&o->list[i]);
            o->list[i] = fresh[i];
            o->newest[i] = newest[i];
            rebind_names(o, &o->list[i]);
        }
        o->seq = l->seq;
    } else {
        for (int i = 0; i < LIST_COUNT; i++)
            topdir_release(&fresh[i]);
    }
    for (uint32_t i = 0; i < dead; i++)
        obj_free(reaped[i]);
    free(to);
    free(reaped);
    return r;
}

static int reload(struct objects *o, struct err *e)
{
    struct objload l;
    int r = objload(o->s, &l, e);
    if (r == 0) {
        pthread_rwlock_wrlock(&o->lock);
        r = swap(o, &l);
        pthread_rwlock_unlock(&o->lock);
        if (r < 0)
            err_nomem(e);
    }
    if (r == 0) {
        atomic_store(&o->version, l.version);
        atomic_store(&o->loaded, true);
    }
    objload_release(&l);
    return r;
}

int objects_refresh(struct objects *o, struct err *e)
{
    uint64_t now = 0;
    if (catalog_version(store_catalog(o->s), &now, e) < 0)
        return -1;
    if (atomic_load(&o->loaded) && atomic_load(&o->version) == now)
        return 0;
    pthread_mutex_lock(&o->refresh);
    int r = 0;
    /* Somebody else may have done it while this thread waited. */
    if (!atomic_load(&o->loaded) || catalog_version(store_catalog(o->s), &now, e) < 0 ||
        atomic_load(&o->version) != now)
        r = reload(o, e);
    pthread_mutex_unlock(&o->refresh);
    return r;
}

/* --- looking --- */

int objects_lookup(struct objects *o, enum object_list list, const char *name, struct object *ret, bool *ret_found,
                   struct err *e)
{
    if (objects_refresh(o, e) < 0)
        return -1;
    pthread_rwlock_rdlock(&o->lock);
    struct obj *x = obj_find(o->v, o->n, topdir_find(&o->list[list], name));
    if (x) {
        atomic_fetch_add(&x->lookups, 1);
        *ret = x->pub;
    }
    pthread_rwlock_unlock(&o->lock);
    *ret_found = x != NULL;
    return 0;
}

int objects_list(struct objects *o, enum object_list list, uint32_t after,
                 int (*fn)(void *, const char *, const struct object *), void *ctx, struct err *e)
{
    if (objects_refresh(o, e) < 0)
        return -1;
    pthread_rwlock_rdlock(&o->lock);
    const struct topdir *t = &o->list[list];
    for (uint32_t i = topdir_after(t, after); i < t->n; i++) {
        struct obj *x = obj_find(o->v, o->n, t->v[i].no);
        if (x && fn(ctx, t->v[i].name, &x->pub) != 0)
            break;
    }
    pthread_rwlock_unlock(&o->lock);
    return 0;
}

int objects_list_info(struct objects *o, enum object_list list, uint32_t *ret_n, int64_t *ret_time, struct err *e)
{
    if (objects_refresh(o, e) < 0)
        return -1;
    pthread_rwlock_rdlock(&o->lock);
    *ret_n = o->list[list].n;
    *ret_time = o->newest[list];
    pthread_rwlock_unlock(&o->lock);
    return 0;
}

static bool get(struct objects *o, uint32_t no, struct object *ret)
{
    pthread_rwlock_rdlock(&o->lock);
    struct obj *x = obj_find(o->v, o->n, no);
    if (x)
        *ret = x->pub;
    pthread_rwlock_unlock(&o->lock);
    return x != NULL;
}

int objects_get(struct objects *o, uint32_t no, struct object *ret, struct err *e)
{
    if (get(o, no, ret))
        return 0;
    if (objects_refresh(o, e) < 0)
        return -1;
    if (get(o, no, ret))
        return 0;
    return err_set(e, ERR_NOT_FOUND, "object %" PRIu32 " isn't in the store any more", no);
}

int objects_name_layer(struct objects *o, uint32_t name_no, uint32_t k, struct digest *ret, struct err *e)
{
    int r = -1;
    pthread_rwlock_rdlock(&o->lock);
    struct obj *name = obj_find(o->v, o->n, name_no);
    struct obj *image = name && name->pub.kind == OBJ_NAME ? obj_find(o->v, o->n, name->pub.image_no) : NULL;
    if (image && k < image->pub.layer_count) {
        *ret = image->layers[k];
        r = 0;
    }
    pthread_rwlock_unlock(&o->lock);
    return r == 0 ? 0 : err_set(e, ERR_NOT_FOUND, "object %" PRIu32 " has no layer %" PRIu32, name_no, k);
}

uint32_t objects_layer_no(struct objects *o, const struct digest *diffid)
{
    uint32_t no = 0;
    pthread_rwlock_rdlock(&o->lock);
    for (uint32_t i = 0; i < o->n && no == 0; i++)
        if (o->v[i]->pub.kind == OBJ_LAYER && digest_eq(&o->v[i]->pub.key, diffid))
            no = o->v[i]->pub.no;
    pthread_rwlock_unlock(&o->lock);
    return no;
}

/* --- counting --- */

void objects_ref(struct objects *o, uint32_t no, uint64_t n)
{
    pthread_rwlock_rdlock(&o->lock);
    struct obj *x = obj_find(o->v, o->n, no);
    if (x)
        atomic_fetch_add(&x->lookups, n);
    pthread_rwlock_unlock(&o->lock);
}

void objects_unref(struct objects *o, uint32_t no, uint64_t n)
{
    pthread_rwlock_rdlock(&o->lock);
    struct obj *x = obj_find(o->v, o->n, no);
    if (x) {
        uint64_t have = atomic_load(&x->lookups);
        /* Never below zero, whatever the kernel says. */
        while (!atomic_compare_exchange_weak(&x->lookups, &have, have > n ? have - n : 0))
            ;
    }
    pthread_rwlock_unlock(&o->lock);
}

/* Collects numbers; on want of memory `failed`. */
struct numbers {
    uint32_t *v, n, cap;
    bool failed;
};

static void add_number(struct numbers *s, uint32_t no)
{
    if (no == 0 || s->failed)
        return;
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 32;
        uint32_t *v = realloc(s->v, cap * sizeof *v);
        if (!v) {
            s->failed = true;
            return;
        }
        s->v = v;
        s->cap = cap;
    }
    s->v[s->n++] = no;
}

static int cmp_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void sort_unique(struct numbers *s)
{
    uint32_t kept = 0;
    if (s->n == 0)
        return;
    qsort(s->v, s->n, sizeof *s->v, cmp_u32);
    for (uint32_t i = 0; i < s->n; i++)
        if (kept == 0 || s->v[kept - 1] != s->v[i])
            s->v[kept++] = s->v[i];
    s->n = kept;
}

/*
 * What is in use and wouldn't survive a gc. An object counts as used for one drain longer than it is: between reading
 * its count and that of the object it led to (a folder's and a layer's, say) the one may have gone and the other come.
 */
static void collect_held(struct objects *o, struct numbers *held)
{
    for (uint32_t i = 0; i < o->n; i++) {
        struct obj *x = o->v[i];
        bool now = atomic_load(&x->lookups) != 0, used = now || x->used_before;
        x->used_before = now;
        if (!used || x->shown)
            continue;
        add_number(held, x->pub.no);
        struct obj *image = x->pub.kind == OBJ_NAME ? obj_find(o->v, o->n, x->pub.image_no) : NULL;
        if (!image)
            continue;
        add_number(held, image->pub.no);
        for (uint32_t k = 0; k < image->pub.layer_count; k++)
            add_number(held, image->layer_nos[k]);
    }
    sort_unique(held);
}

int objects_drain(struct objects *o, struct objects_change *ret, struct err *e)
{
    struct numbers held = {0};
    if (objects_refresh(o, e) < 0)
        return -1;
    pthread_rwlock_wrlock(&o->lock);
    collect_held(o, &held);
    if (!held.failed) {
        *ret = o->pending;
        memset(&o->pending, 0, sizeof o->pending);
        o->gone_cap = 0;
        ret->seq = o->seq;
    }
    pthread_rwlock_unlock(&o->lock);
    if (held.failed) {
        free(held.v);
        return err_nomem(e);
    }
    ret->held = held.v;
    ret->held_count = held.n;
    return 0;
}

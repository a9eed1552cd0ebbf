/* SPDX-License-Identifier: MIT */
/*
 * objects: listings that follow the catalog, removed objects that are still in use, what the watcher is told. The
 * catalog is a made-up one (the functions below stand in for catalog.c), so that every order of events can be had.
 */
#include "../../fs/objects.h"

#include "../../index/catalog.h"

#include "tap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* --- the made-up catalog --- */

enum { MAX = 8 };
struct fake {
    uint64_t version;
    struct cat_layer layer[MAX];
    struct cat_package package[MAX];
    struct cat_image image[MAX];
    struct cat_name name[MAX];
    struct digest layers[2];
    bool broken;
};

struct store {
    struct fake f;
    pthread_mutex_t lock;
};

struct catalog *store_catalog(struct store *s)
{
    return (struct catalog *)s;
}

static struct fake *fake_of(struct catalog *c)
{
    return &((struct store *)c)->f;
}

int catalog_version(struct catalog *c, uint64_t *ret, struct err *e)
{
    struct store *s = (struct store *)c;
    pthread_mutex_lock(&s->lock);
    bool broken = s->f.broken;
    *ret = s->f.version;
    pthread_mutex_unlock(&s->lock);
    return broken ? err_set(e, ERR_DAMAGED, "catalog is damaged") : 0;
}

int catalog_seq(struct catalog *c, uint64_t *ret, struct err *e)
{
    return catalog_version(c, ret, e);
}

#define EACH(kind)                                                                                                     \
    int catalog_each_##kind(struct catalog *c, int (*fn)(const struct cat_##kind *, void *), void *ctx, struct err *e) \
    {                                                                                                                  \
        struct store *s = (struct store *)c;                                                                           \
        (void)e;                                                                                                       \
        pthread_mutex_lock(&s->lock);                                                                                  \
        int r = 0;                                                                                                     \
        for (int i = 0; i < MAX && r == 0; i++)                                                                        \
            if (fake_of(c)->kind[i].no)                                                                                \
                r = fn(&fake_of(c)->kind[i], ctx);                                                                     \
        pthread_mutex_unlock(&s->lock);                                                                                \
        return r;                                                                                                      \
    }
EACH(layer)
EACH(package)
EACH(image)
EACH(name)

static struct digest digest_of(uint8_t n)
{
    struct digest d = {{n}};
    d.b[31] = 1;
    return d;
}

static char repo[] = "r", tag_a[] = "a", tag_b[] = "b", pkg[] = "x-pkg", none[] = "";

/* Layers 10 and 11, image 20 of both, names r@a (30) and r@b (31), package 40. */
static void fill(struct store *s)
{
    memset(s, 0, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    struct fake *f = &s->f;
    f->version = 5;
    f->layers[0] = digest_of(1);
    f->layers[1] = digest_of(2);
    f->layer[0] = (struct cat_layer){.no = 10, .diffid = f->layers[0], .tree = digest_of(101), .time = 100};
    f->layer[1] = (struct cat_layer){.no = 11, .diffid = f->layers[1], .tree = digest_of(102), .time = 200};
    f->image[0] =
        (struct cat_image){.no = 20, .manifest = digest_of(3), .config = digest_of(4), .rootfs = digest_of(103)};
    f->image[0].layers = f->layers;
    f->image[0].layer_count = 2;
    f->name[0] = (struct cat_name){.no = 30, .repo = repo, .tag = tag_a, .manifest = digest_of(3), .time = 300};
    f->name[1] = (struct cat_name){.no = 31, .repo = repo, .tag = tag_b, .manifest = digest_of(3), .time = 400};
    f->package[0] = (struct cat_package){.no = 40, .name = pkg, .dir = none, .tree = digest_of(104), .time = 500};
}

static struct objects *start(struct store *s)
{
    struct objects *o = NULL;
    struct err e = {0};
    fill(s);
    if (objects_new(s, &o, &e) < 0) {
        printf("Bail out! %s\n", e.text);
        exit(1);
    }
    return o;
}

/* --- helpers --- */

static uint32_t find(struct objects *o, enum object_list list, const char *name)
{
    struct object obj;
    struct err e = {0};
    bool found = false;
    if (objects_lookup(o, list, name, &obj, &found, &e) < 0)
        return UINT32_MAX;
    return found ? obj.no : 0;
}

static int add_name(void *ctx, const char *name, const struct object *obj)
{
    char *text = ctx;
    snprintf(text + strlen(text), 200 - strlen(text), "%.4s=%u ", name, obj->no);
    return 0;
}

static const char *list(struct objects *o, enum object_list l, uint32_t after)
{
    static char text[200];
    struct err e = {0};
    text[0] = '\0';
    if (objects_list(o, l, after, add_name, text, &e) < 0)
        return e.text[0] ? "error" : "";
    return text;
}

static const char *drain(struct objects *o)
{
    static char text[300];
    struct objects_change c;
    struct err e = {0};
    if (objects_drain(o, &c, &e) < 0)
        return "error";
    int n = snprintf(text, sizeof text, "seq %u gone", (unsigned)c.seq);
    for (uint32_t i = 0; i < c.gone_count; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, " %d:%s", (int)c.gone[i].list, c.gone[i].name);
    n += snprintf(text + n, sizeof text - (size_t)n, " held");
    for (uint32_t i = 0; i < c.held_count; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, " %u", c.held[i]);
    objects_change_release(&c);
    return text;
}

/* --- tests --- */

static void test_look(void)
{
    struct store s;
    struct objects *o = start(&s);
    struct object obj;
    struct err e = {0};
    struct digest d;
    uint32_t n = 0;
    int64_t time = 0;
    is_str(list(o, LIST_IMAGES, 0), "r@a=30 r@b=31 ", "images");
    is_str(list(o, LIST_IMAGES, 30), "r@b=31 ", "from a position");
    is_str(list(o, LIST_STORE, 0), "x-pk=40 ", "store");
    is_str(list(o, LIST_LAYERS, 0), "0100=10 0200=11 ", "layers by digest");
    is_int(find(o, LIST_IMAGES, "r@a"), 30, "by name");
    is_int(find(o, LIST_IMAGES, "r@c"), 0, "not there");
    is_int(find(o, LIST_STORE, "r@a"), 0, "not in another list");
    ok(objects_get(o, 30, &obj, &e) == 0 && obj.kind == OBJ_NAME && obj.image_no == 20 && obj.layer_count == 2,
       "a name knows its image");
    ok(objects_get(o, 20, &obj, &e) == 0 && obj.kind == OBJ_IMAGE && obj.tree.b[0] == 103, "an image its tree");
    ok(objects_get(o, 99, &obj, &e) < 0 && e.kind == ERR_NOT_FOUND, "no such number");
    is_str(e.text, "object 99 isn't in the store any more", "message");
    ok(objects_name_layer(o, 31, 1, &d, &e) == 0 && d.b[0] == 2, "second layer of a name");
    ok(objects_name_layer(o, 31, 2, &d, &e) < 0 && e.kind == ERR_NOT_FOUND, "no third");
    is_str(e.text, "object 31 has no layer 2", "message");
    ok(objects_name_layer(o, 40, 0, &d, &e) < 0, "a package has no layers");
    is_int(objects_layer_no(o, &s.f.layers[1]), 11, "a layer by its digest");
    ok(objects_list_info(o, LIST_IMAGES, &n, &time, &e) == 0 && n == 2 && time == 400, "count and newest");
    objects_free(o);
}

static void test_follow(void)
{
    struct store s;
    struct objects *o = start(&s);
    is_str(drain(o), "seq 5 gone held", "nothing at first");
    s.f.name[2] = (struct cat_name){.no = 50, .repo = repo, .tag = none, .manifest = digest_of(3)};
    is_int(find(o, LIST_IMAGES, "r@"), 0, "the same version: not looked at again");
    s.f.version++;
    is_int(find(o, LIST_IMAGES, "r@"), 50, "visible at the next look");
    is_str(drain(o), "seq 6 gone held", "a new name needs nothing dropped");
    s.f.name[0].no = 60; /* r@a moved to another number */
    s.f.name[1].no = 0;  /* r@b removed */
    s.f.package[0].no = 0;
    s.f.version++;
    is_str(list(o, LIST_IMAGES, 0), "r@=50 r@a=60 ", "as it is now");
    is_str(drain(o), "seq 7 gone 0:x-pkg 2:r@a 2:r@b held",
           "gone and moved names; 50 is in use, but gc keeps it anyway");
    objects_free(o);
}

static void test_held(void)
{
    struct store s;
    struct objects *o = start(&s);
    struct object obj;
    struct err e = {0};
    is_int(find(o, LIST_IMAGES, "r@a"), 30, "look up: counted");
    objects_ref(o, 11, 3);
    is_str(drain(o), "seq 5 gone held", "in use, but gc keeps it anyway");
    s.f.name[0].no = s.f.name[1].no = 0;
    s.f.version++;
    is_str(drain(o), "seq 6 gone 2:r@a 2:r@b held 10 11 20 30", "the removed name, its image, its layers");
    memset(s.f.image, 0, sizeof s.f.image);
    memset(s.f.layer, 0, sizeof s.f.layer);
    s.f.version++;
    is_int(find(o, LIST_IMAGES, "r@a"), 0, "(a refresh)");
    ok(objects_get(o, 30, &obj, &e) == 0 && !obj.live && obj.image_no == 20, "still known after gc's records went");
    ok(objects_get(o, 20, &obj, &e) == 0 && !obj.live && obj.tree.b[0] == 103, "and its image");
    is_int(objects_layer_no(o, &s.f.layers[0]), 10, "and its layers, by digest too");
    objects_unref(o, 30, 1);
    is_str(drain(o),
           "seq 7 gone 1:0100000000000000000000000000000000000000000000000000000000000001 "
           "1:0200000000000000000000000000000000000000000000000000000000000001 held 10 11 20 30",
           "held for one drain more than it is used");
    is_str(drain(o), "seq 7 gone held 11", "then only what is");
    objects_unref(o, 11, 2);
    drain(o);
    is_str(drain(o), "seq 7 gone held 11", "one left");
    objects_unref(o, 11, 99);
    drain(o);
    is_str(drain(o), "seq 7 gone held", "never below zero");
    s.f.version++;
    ok(objects_get(o, 99, &obj, &e) < 0, "(a refresh)");
    ok(objects_get(o, 30, &obj, &e) < 0 && objects_get(o, 20, &obj, &e) < 0 && objects_get(o, 11, &obj, &e) < 0,
       "all forgotten");
    objects_free(o);
}

static void test_odd(void)
{
    struct store s;
    struct objects *o = start(&s);
    struct object obj;
    struct err e = {0};
    char slash[] = "a/b", dots[] = "..";
    s.f.name[0].manifest = digest_of(77); /* an image that there is none of */
    s.f.name[0].no = 70;
    s.f.package[1] = (struct cat_package){.no = 71, .name = slash, .dir = none};
    s.f.package[2] = (struct cat_package){.no = 72, .name = dots, .dir = none};
    s.f.version++;
    ok(find(o, LIST_IMAGES, "r@a") == 70 && objects_get(o, 70, &obj, &e) == 0 && obj.image_no == 0,
       "a name without an image");
    is_str(list(o, LIST_STORE, 0), "x-pk=40 ", "what can't be a file name isn't shown");
    s.f.broken = true;
    is_int(find(o, LIST_IMAGES, "r@b"), UINT32_MAX, "a catalog that can't be read is an error");
    ok(objects_get(o, 31, &obj, &e) == 0, "and what is known stays known");
    is_str(drain(o), "error", "the watcher hears of it");
    objects_free(o);
}

struct race {
    struct objects *o;
    _Atomic bool stop;
    _Atomic unsigned bad;
};

static void *look(void *arg)
{
    struct race *r = arg;
    while (!atomic_load(&r->stop)) {
        struct object obj;
        struct err e = {0};
        bool found = false;
        if (objects_lookup(r->o, LIST_IMAGES, "r@a", &obj, &found, &e) < 0)
            atomic_fetch_add(&r->bad, 1);
        /* What was found is counted, so it must be known until it is let go. */
        struct object again;
        if (found && objects_get(r->o, obj.no, &again, &e) < 0)
            atomic_fetch_add(&r->bad, 1);
        if (found)
            objects_unref(r->o, obj.no, 1);
        objects_list(r->o, LIST_IMAGES, 0, add_name, (char[200]){""}, &e);
    }
    return NULL;
}

static void test_race(void)
{
    struct store s;
    struct race r = {.o = start(&s)};
    pthread_t t[3];
    unsigned drained = 0;
    for (int i = 0; i < 3; i++)
        if (pthread_create(&t[i], NULL, look, &r) != 0)
            exit(1);
    for (uint32_t i = 0; i < 300; i++) {
        pthread_mutex_lock(&s.lock);
        s.f.name[0].no = i % 3 == 0 ? 0 : 1000 + i;
        s.f.version++;
        pthread_mutex_unlock(&s.lock);
        drained += strcmp(drain(r.o), "error") != 0;
    }
    atomic_store(&r.stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    is_int(drained, 300, "drained at each change");
    is_int(atomic_load(&r.bad), 0, "what is counted is known");
    objects_free(r.o);
}

int main(void)
{
    test_look();
    test_follow();
    test_held();
    test_odd();
    test_race();
    return tap_done();
}

/* SPDX-License-Identifier: MIT */
/* objload: catalog rows → objects, with names, images and layers bound to each other. */
#include "objload.h"

#include "../index/catalog.h"
#include "../index/limits.h"
#include "../index/source/image.h"

#include <stdlib.h>
#include <string.h>

/* A writer that never rests must not keep the listing from ever being made. */
enum { MAX_TRIES = 8 };

void obj_free(struct obj *o)
{
    if (!o)
        return;
    free(o->name);
    free(o->layers);
    free(o->layer_nos);
    free(o);
}

struct obj *obj_find(struct obj *const *v, uint32_t n, uint32_t no)
{
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (v[mid]->pub.no == no)
            return v[mid];
        if (v[mid]->pub.no < no)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static void clear(struct objload *l)
{
    for (uint32_t i = 0; i < l->n; i++)
        obj_free(l->v[i]);
    l->n = 0;
}

void objload_release(struct objload *l)
{
    clear(l);
    free(l->v);
    memset(l, 0, sizeof *l);
}

/* Adds an empty object. NULL: no memory, in l->e. */
static struct obj *add(struct objload *l, uint32_t no, enum object_kind kind, int64_t time)
{
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? l->cap * 2 : 64;
        struct obj **v = realloc(l->v, cap * sizeof(struct obj *));
        if (!v) {
            err_nomem(l->e);
            return NULL;
        }
        l->v = v;
        l->cap = cap;
    }
    struct obj *o = calloc(1, sizeof *o);
    if (!o) {
        err_nomem(l->e);
        return NULL;
    }
    o->pub = (struct object){.no = no, .kind = kind, .live = true, .time = time};
    l->v[l->n++] = o;
    return o;
}

/* What the kernel takes for a name. The catalog's are so; a damaged one must not break the whole listing. */
static bool is_file_name(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n <= LIMIT_NAME && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int set_name(struct objload *l, struct obj *o, const char *name)
{
    o->name = strdup(name);
    return o->name ? 0 : err_nomem(l->e);
}

static int on_package(const struct cat_package *p, void *ctx)
{
    struct objload *l = ctx;
    if (!is_file_name(p->name))
        return 0;
    struct obj *o = add(l, p->no, OBJ_PACKAGE, p->time);
    if (!o)
        return -1;
    o->pub.tree = p->tree;
    return set_name(l, o, p->name);
}

static int on_layer(const struct cat_layer *c, void *ctx)
{
    struct objload *l = ctx;
    char hex[DIGEST_HEX_LEN + 1];
    struct obj *o = add(l, c->no, OBJ_LAYER, c->time);
    if (!o)
        return -1;
    o->pub.key = c->diffid;
    o->pub.tree = c->tree;
    digest_hex(&c->diffid, hex);
    return set_name(l, o, hex);
}

static int on_image(const struct cat_image *c, void *ctx)
{
    struct objload *l = ctx;
    struct obj *o = add(l, c->no, OBJ_IMAGE, c->time);
    if (!o)
        return -1;
    o->pub.key = c->manifest;
    o->pub.tree = c->rootfs;
    o->pub.config = c->config;
    o->pub.layer_count = c->layer_count;
    if (c->layer_count == 0)
        return 0;
    o->layers = calloc(c->layer_count, sizeof *o->layers);
    o->layer_nos = calloc(c->layer_count, sizeof *o->layer_nos);
    if (!o->layers || !o->layer_nos)
        return err_nomem(l->e);
    memcpy(o->layers, c->layers, c->layer_count * sizeof *o->layers);
    return 0;
}

static int on_name(const struct cat_name *c, void *ctx)
{
    struct objload *l = ctx;
    struct err e = {0};
    char *folder = NULL;
    if (image_folder(c->repo, c->tag, &c->manifest, &folder, &e) < 0) {
        if (e.kind != ERR_NOMEM)
            return 0; /* one odd name is no reason to show none */
        *l->e = e;
        return -1;
    }
    if (!is_file_name(folder)) {
        free(folder);
        return 0;
    }
    struct obj *o = add(l, c->no, OBJ_NAME, c->time);
    if (!o) {
        free(folder);
        return -1;
    }
    o->name = folder;
    o->pub.key = c->manifest;
    return 0;
}

static int cmp_no(const void *a, const void *b)
{
    const struct obj *x = *(struct obj *const *)a, *y = *(struct obj *const *)b;
    return (x->pub.no > y->pub.no) - (x->pub.no < y->pub.no);
}

static int cmp_key(const void *a, const void *b)
{
    const struct obj *x = *(struct obj *const *)a, *y = *(struct obj *const *)b;
    return memcmp(x->pub.key.b, y->pub.key.b, DIGEST_LEN);
}

static struct obj *find_key(struct obj *const *v, uint32_t n, const struct digest *key)
{
    struct obj want = {.pub.key = *key};
    const struct obj *p = &want;
    struct obj **hit = n ? bsearch(&p, v, n, sizeof *v, cmp_key) : NULL;
    return hit ? *hit : NULL;
}

/* A sorted copy of the objects of one kind. */
static int by_key(const struct objload *l, enum object_kind kind, struct obj ***ret, uint32_t *ret_n)
{
    uint32_t n = 0;
    struct obj **v = calloc((size_t)l->n + 1, sizeof *v);
    if (!v)
        return err_nomem(l->e);
    for (uint32_t i = 0; i < l->n; i++)
        if (l->v[i]->pub.kind == kind)
            v[n++] = l->v[i];
    qsort(v, n, sizeof *v, cmp_key);
    *ret = v;
    *ret_n = n;
    return 0;
}

static void show_name(struct obj *name, struct obj *image, struct objload *l)
{
    name->pub.image_no = image->pub.no;
    name->pub.config = image->pub.config;
    name->pub.layer_count = image->pub.layer_count;
    if (image->shown)
        return;
    image->shown = true;
    for (uint32_t k = 0; k < image->pub.layer_count; k++) {
        struct obj *layer = obj_find(l->v, l->n, image->layer_nos[k]);
        if (layer)
            layer->shown = true;
    }
}

static int bind(struct objload *l)
{
    struct obj **layers = NULL, **images = NULL;
    uint32_t layer_count = 0, image_count = 0;
    int r = by_key(l, OBJ_LAYER, &layers, &layer_count);
    if (r == 0)
        r = by_key(l, OBJ_IMAGE, &images, &image_count);
    for (uint32_t i = 0; r == 0 && i < image_count; i++)
        for (uint32_t k = 0; k < images[i]->pub.layer_count; k++) {
            struct obj *layer = find_key(layers, layer_count, &images[i]->layers[k]);
            images[i]->layer_nos[k] = layer ? layer->pub.no : 0;
        }
    for (uint32_t i = 0; r == 0 && i < l->n; i++) {
        struct obj *o = l->v[i], *image;
        if (o->pub.kind == OBJ_PACKAGE)
            o->shown = true;
        if (o->pub.kind != OBJ_NAME)
            continue;
        o->shown = true;
        image = find_key(images, image_count, &o->pub.key);
        if (image)
            show_name(o, image, l);
    }
    free(layers);
    free(images);
    return r;
}

static int read_rows(struct catalog *c, struct objload *l)
{
    if (catalog_each_package(c, on_package, l, l->e) < 0 || catalog_each_layer(c, on_layer, l, l->e) < 0 ||
        catalog_each_image(c, on_image, l, l->e) < 0 || catalog_each_name(c, on_name, l, l->e) < 0)
        return -1;
    return 0;
}

/* Numbers are unique in the catalog; if damage makes two of one, the first is kept and nothing is leaked. */
static void drop_doubles(struct objload *l)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        if (l->v[i]->pub.no == 0 || (kept && l->v[kept - 1]->pub.no == l->v[i]->pub.no))
            obj_free(l->v[i]);
        else
            l->v[kept++] = l->v[i];
    }
    l->n = kept;
}

int objload(struct store *s, struct objload *ret, struct err *e)
{
    struct catalog *c = store_catalog(s);
    uint64_t after = 0;
    memset(ret, 0, sizeof *ret);
    ret->e = e;
    /* The four lists are four queries: read again when somebody committed in between. */
    for (int i = 0; i < MAX_TRIES; i++) {
        clear(ret);
        if (catalog_version(c, &ret->version, e) < 0 || catalog_seq(c, &ret->seq, e) < 0 || read_rows(c, ret) < 0 ||
            catalog_version(c, &after, e) < 0)
            return err_wrap(e, "read the list of objects");
        if (after == ret->version)
            break;
    }
    if (ret->n)
        qsort(ret->v, ret->n, sizeof(struct obj *), cmp_no);
    drop_doubles(ret);
    return bind(ret);
}

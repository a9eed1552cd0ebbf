/* SPDX-License-Identifier: MIT */
#include "usage.h"

#include "../index/catalog.h"
#include "../index/hashtab.h"
#include "../index/reader.h"
#include "out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MANY = UINT32_MAX };

/* A distinct content and who shows it. */
struct item {
    struct digest digest;
    uint64_t size;
    uint32_t owner; /* MANY: several */
};

struct pass {
    struct store *s;
    struct err *e;
    struct buf items; /* struct item */
    struct hashtab by_digest;
    struct buf rows; /* struct usage_row */
    struct err damage;
};

static struct item *item_at(const struct pass *p, uint32_t i)
{
    return (struct item *)(void *)p->items.p + i;
}

struct key {
    const struct pass *p;
    const struct digest *d;
};

static bool same(const void *ctx, uint32_t i)
{
    const struct key *k = ctx;
    return digest_eq(&item_at(k->p, i)->digest, k->d);
}

static uint32_t hash_of(const struct digest *d)
{
    return get_u32(d->b); /* digests are evenly spread; contents of one's own store choose them */
}

static int own(struct pass *p, const struct tree_content *c, uint32_t owner)
{
    struct key k = {p, &c->digest};
    uint32_t i = hashtab_find(&p->by_digest, hash_of(&c->digest), same, &k);
    if (i != HASHTAB_NONE) {
        struct item *it = item_at(p, i);
        if (it->owner != owner)
            it->owner = MANY;
        return 0;
    }
    struct item it = {c->digest, c->stored, owner};
    i = (uint32_t)(p->items.len / sizeof it);
    if (buf_append(&p->items, &it, sizeof it) < 0 || hashtab_put(&p->by_digest, hash_of(&c->digest), i) < 0)
        return err_nomem(p->e);
    return 0;
}

/* what: for the message about damage. */
static int add_tree(struct pass *p, const struct digest *tree, const char *what, uint32_t owner, struct usage_row *row)
{
    struct tree *t;
    int rc = 0;
    if (reader_tree(store_reader(p->s), tree, &t, p->e) < 0) {
        if (p->e->kind != ERR_DAMAGED)
            return -1;
        err_wrap(p->e, "%s", what);
        if (p->damage.kind == ERR_NONE)
            p->damage = *p->e;
        row->damaged = true;
        err_clear(p->e);
        return 0;
    }
    for (uint32_t i = 0; i < tree_node_count(t); i++) {
        const struct tree_node *n = tree_node(t, i);
        row->files += !S_ISDIR(n->mode);
        row->size += S_ISREG(n->mode) ? n->size : 0;
    }
    for (uint32_t i = 0; rc == 0 && i < tree_content_count(t); i++)
        rc = own(p, tree_content(t, i), owner);
    tree_close(t);
    return rc;
}

static int add_row(struct pass *p, const struct usage_row *row)
{
    return buf_append(&p->rows, row, sizeof *row) < 0 ? err_nomem(p->e) : 0;
}

static int see_package(const struct cat_package *pk, void *ctx)
{
    struct usage_row row = {.no = pk->no};
    return add_tree(ctx, &pk->tree, pk->name, pk->no, &row) < 0 ? -1 : add_row(ctx, &row);
}

static int add_layer(struct pass *p, const struct cat_layer *l, uint32_t owner, struct usage_row *row)
{
    char oci[DIGEST_OCI_LEN + 1];
    digest_oci(&l->diffid, oci);
    return add_tree(p, &l->tree, oci, owner, row);
}

static int see_layer(const struct cat_layer *l, void *ctx)
{
    struct usage_row row = {.no = l->no};
    return add_layer(ctx, l, l->no, &row) < 0 ? -1 : add_row(ctx, &row);
}

static int see_image(const struct cat_image *im, void *ctx)
{
    struct pass *p = ctx;
    struct usage_row row = {.no = im->no};
    for (uint32_t i = 0; i < im->layer_count; i++) {
        struct cat_layer l;
        if (catalog_layer(store_catalog(p->s), &im->layers[i], &l, p->e) < 0 || add_layer(p, &l, im->no, &row) < 0)
            return -1;
    }
    return add_row(p, &row);
}

static int by_no(const void *a, const void *b)
{
    uint32_t x = ((const struct usage_row *)a)->no, y = ((const struct usage_row *)b)->no;
    return x < y ? -1 : x > y;
}

int usage_compute(struct store *s, enum usage_owners owners, struct usage *ret, struct err *e)
{
    struct pass p = {.s = s, .e = e};
    struct catalog *c = store_catalog(s);
    *ret = (struct usage){0};
    int rc = catalog_each_package(c, see_package, &p, e);
    if (rc == 0)
        rc = owners == USAGE_IMAGES ? catalog_each_image(c, see_image, &p, e) : catalog_each_layer(c, see_layer, &p, e);
    if (rc == 0) {
        ret->damage = p.damage;
        ret->count = p.rows.len / sizeof(struct usage_row);
        ret->rows = (struct usage_row *)(void *)buf_steal(&p.rows, NULL);
        if (ret->count)
            qsort(ret->rows, ret->count, sizeof *ret->rows, by_no);
        for (size_t i = 0; i < p.items.len / sizeof(struct item); i++) {
            const struct item *it = item_at(&p, (uint32_t)i);
            struct usage_row *row = it->owner == MANY ? NULL : (struct usage_row *)(uintptr_t)usage_of(ret, it->owner);
            if (row)
                row->unique += it->size;
        }
    }
    buf_release(&p.items);
    buf_release(&p.rows);
    hashtab_release(&p.by_digest);
    return rc;
}

void usage_release(struct usage *u)
{
    free(u->rows);
    *u = (struct usage){0};
}

const struct usage_row *usage_of(const struct usage *u, uint32_t no)
{
    struct usage_row key = {.no = no};
    return u->count ? bsearch(&key, u->rows, u->count, sizeof key, by_no) : NULL;
}

void usage_text(const struct usage_row *row, char size[16], char unique[16])
{
    human_size(row ? row->size : 0, size);
    human_size(row ? row->unique : 0, unique);
    if (row && row->damaged) {
        snprintf(size, 16, "?");
        snprintf(unique, 16, "?");
    }
}

int usage_json(const struct usage_row *row, struct json *obj)
{
    bool known = !row || !row->damaged;
    return json_set(obj, "size", known ? json_new_int((int64_t)(row ? row->size : 0)) : json_new_null()) |
           json_set(obj, "unique", known ? json_new_int((int64_t)(row ? row->unique : 0)) : json_new_null());
}

/* SPDX-License-Identifier: MIT */
/*
 * verify_object: what objects reach. In a whole-store run every chunk was hashed already, so it is enough that each is
 * among the good ones; for one object its contents are read and hashed as a reader would get them. So they are when a
 * chunk isn't among the good ones: an import or gc may have written it since the packs were listed. And an object that
 * was removed meanwhile isn't damaged.
 */
#include "catalog.h"
#include "crypto.h"
#include "limits.h"
#include "reader.h"
#include "verify_walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PIECE = 1 << 20, SHOWN_PER_OBJECT = 20 };

struct subject {
    struct verify *v;
    const char *name;
    uint32_t no;
    uint64_t shown;
};

static void hurt(struct subject *s, const char *path, const char *reason)
{
    char kind[16];
    struct err e = {0};
    if (catalog_kind(store_catalog(s->v->s), s->no, kind, &e) < 0 && e.kind == ERR_NOT_FOUND)
        return;
    if (s->shown++ < SHOWN_PER_OBJECT)
        verify_report(s->v, s->name, path, 0, 0, reason);
    else
        s->v->st->findings++;
}

/* --- the path of a content in a tree, for the report --- */

static int prepend(char *out, size_t n, const char *name, size_t len)
{
    size_t have = strlen(out);
    if (have + len + 2 > n)
        return -1;
    memmove(out + len + 1, out, have + 1);
    out[0] = '/';
    memcpy(out + 1, name, len);
    return 0;
}

static const struct tree_entry *entry_of(const struct tree *t, uint32_t dir, uint32_t node)
{
    const struct tree_node *d = tree_node(t, dir);
    for (uint32_t i = 0; i < d->count; i++) {
        const struct tree_entry *en = tree_entry_at(t, d, i);
        if (en->tree == TREE_SELF && en->node == node)
            return en;
    }
    return NULL;
}

static void path_of(const struct tree *t, uint32_t node, char *out, size_t n)
{
    uint32_t dir = TREE_NONE;
    out[0] = '\0';
    for (uint32_t i = 0; i < tree_node_count(t) && dir == TREE_NONE; i++)
        if (S_ISDIR(tree_node(t, i)->mode) && entry_of(t, i, node))
            dir = i;
    while (dir != TREE_NONE) {
        const struct tree_entry *en = entry_of(t, dir, node);
        if (!en || prepend(out, n, tree_string(t, en->name), en->name_len) < 0 || dir == 0)
            break;
        node = dir;
        dir = tree_node(t, dir)->parent;
    }
}

/* --- contents --- */

static bool chunks_good(const struct verify *v, const struct tree *t, const struct tree_content *c)
{
    for (uint32_t i = 0; i < c->chunk_count; i++) {
        const struct tree_chunk *k = tree_chunk(t, c->first_chunk + i);
        if (!digest_is_zero(&k->digest) && !digestset_has(&v->good, &k->digest))
            return false;
    }
    return true;
}

/* Reads the content and hashes it. bad: why not; empty when it is right. */
static int read_content(struct verify *v, const struct tree *t, uint32_t i, char *piece, char bad[256])
{
    struct reader *r = store_reader(v->s);
    struct content_map m;
    struct sha256 h = {0};
    struct digest d;
    struct err e = {0};
    uint64_t off = 0;
    size_t got = 1;
    bad[0] = '\0';
    if (content_map_tree(t, i, &m, v->e) < 0)
        return -1;
    if (sha256_init(&h) < 0) {
        content_map_release(&m);
        return err_nomem(v->e);
    }
    while (off < m.c.size && got) {
        if (reader_pread(r, &m, piece, PIECE, off, &got, &e) < 0) {
            snprintf(bad, 256, "%.255s", e.text);
            break;
        }
        sha256_update(&h, piece, got);
        off += got;
        v->st->bytes += got;
    }
    sha256_final(&h, &d);
    sha256_release(&h);
    if (!bad[0] && !digest_eq(&d, &m.c.digest))
        snprintf(bad, 256, "contents don't match their digest");
    content_map_release(&m);
    return 0;
}

static uint32_t node_with(const struct tree *t, uint32_t content)
{
    for (uint32_t i = 0; i < tree_node_count(t); i++)
        if (tree_node(t, i)->content == content)
            return i;
    return 0;
}

static int check_tree(struct subject *s, const struct digest *d)
{
    struct verify *v = s->v;
    struct tree *t;
    struct err e = {0};
    char path[LIMIT_PATH + 1], bad[256];
    int rc = 0;
    if (reader_tree(store_reader(v->s), d, &t, &e) < 0) {
        if (e.kind == ERR_NOMEM) {
            *v->e = e;
            return -1;
        }
        hurt(s, NULL, e.text);
        return 0;
    }
    char *piece = malloc(PIECE);
    if (!piece)
        rc = err_nomem(v->e);
    for (uint32_t i = 0; rc == 0 && i < tree_content_count(t); i++) {
        const struct tree_content *c = tree_content(t, i);
        if (verify_cancelled(v)) {
            rc = err_set(v->e, ERR_CANCELLED, "cancelled");
            break;
        }
        bad[0] = '\0';
        if (v->o->no || !chunks_good(v, t, c))
            rc = read_content(v, t, i, piece, bad);
        if (rc == 0 && bad[0]) {
            path_of(t, node_with(t, i), path, sizeof path);
            hurt(s, path, bad);
        }
    }
    if (v->o->no)
        v->st->chunks += tree_chunk_count(t);
    free(piece);
    tree_close(t);
    return rc;
}

/* A document, recipe or such: whole and right. */
static int check_content(struct subject *s, const struct digest *d, const char *what)
{
    struct buf b = {0};
    struct err e = {0};
    char reason[512];
    if (reader_get(store_reader(s->v->s), d, LIMIT_TREE_BYTES, &b, &e) < 0) {
        if (e.kind == ERR_NOMEM) {
            *s->v->e = e;
            return -1;
        }
        snprintf(reason, sizeof reason, "%s: %.400s", what, e.text);
        hurt(s, NULL, reason);
    }
    buf_release(&b);
    return 0;
}

/* --- objects --- */

static int see_layer(const struct cat_layer *l, void *ctx)
{
    char oci[DIGEST_OCI_LEN + 1];
    struct subject s = {ctx, oci, l->no, 0};
    digest_oci(&l->diffid, oci);
    s.v->st->objects++;
    return check_tree(&s, &l->tree) < 0 ? -1 : check_content(&s, &l->recipe, "the recipe of its tar");
}

static int see_package(const struct cat_package *p, void *ctx)
{
    struct subject s = {ctx, p->name, p->no, 0};
    s.v->st->objects++;
    return check_tree(&s, &p->tree);
}

struct naming {
    const struct digest *manifest;
    char name[600];
};

static int see_name(const struct cat_name *n, void *ctx)
{
    struct naming *g = ctx;
    if (n->tag && digest_eq(&n->manifest, g->manifest))
        snprintf(g->name, sizeof g->name, "%s:%s", n->repo, n->tag);
    return 0;
}

static int see_image(const struct cat_image *im, void *ctx)
{
    struct verify *v = ctx;
    struct naming g = {.manifest = &im->manifest};
    char oci[DIGEST_OCI_LEN + 1];
    digest_oci(&im->manifest, oci);
    if (catalog_each_name(store_catalog(v->s), see_name, &g, v->e) < 0)
        return -1;
    struct subject s = {v, g.name[0] ? g.name : oci, im->no, 0};
    v->st->objects++;
    if (check_tree(&s, &im->rootfs) < 0 || check_content(&s, &im->manifest, "manifest") < 0 ||
        check_content(&s, &im->config, "config") < 0)
        return -1;
    for (uint32_t i = 0; i < im->layer_count; i++) {
        struct cat_layer l;
        struct err e = {0};
        if (catalog_layer(store_catalog(v->s), &im->layers[i], &l, &e) < 0)
            hurt(&s, NULL, e.text);
        else if (v->o->no && see_layer(&l, v) < 0)
            return -1;
    }
    return 0;
}

int verify_objects(struct verify *v)
{
    struct catalog *c = store_catalog(v->s);
    if (!store_reader(v->s))
        return err_nomem(v->e);
    if (catalog_each_layer(c, see_layer, v, v->e) < 0 || catalog_each_package(c, see_package, v, v->e) < 0)
        return -1;
    return catalog_each_image(c, see_image, v, v->e);
}

int verify_object(struct verify *v, uint32_t no)
{
    struct catalog *c = store_catalog(v->s);
    char kind[16];
    int rc;
    if (!store_reader(v->s))
        return err_nomem(v->e);
    if (catalog_kind(c, no, kind, v->e) < 0)
        return -1;
    if (!strcmp(kind, "layer")) {
        struct cat_layer l;
        rc = catalog_layer_no(c, no, &l, v->e);
        return rc < 0 ? -1 : see_layer(&l, v);
    }
    if (!strcmp(kind, "package")) {
        struct cat_package p;
        if (catalog_package_no(c, no, &p, v->e) < 0)
            return -1;
        rc = see_package(&p, v);
        cat_package_release(&p);
        return rc;
    }
    struct cat_image im;
    if (catalog_image_no(c, no, &im, v->e) < 0)
        return -1;
    rc = see_image(&im, v);
    cat_image_release(&im);
    return rc;
}

/* SPDX-License-Identifier: MIT */
/*
 * unionlab: layers out of short descriptions, and the root filesystem that they give, for the tests of the union.
 * A layer goes the whole way: operations, its own tree (union_write_layer), written, opened, applied.
 */
#ifndef CAIRN_UNIONLAB_H
#define CAIRN_UNIONLAB_H

#include "../../index/union.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct lab_layer {
    struct treewrite *w;
    struct tree *tree;
    struct digest diffid;
    struct tree_op *ops;
    uint32_t op_count, op_cap;
};

static inline uint32_t lab_string(struct treewrite *w, const char *s)
{
    uint32_t off = 0;
    struct err e = {0};
    if (treewrite_string(w, s, strlen(s), &off, &e) < 0)
        abort();
    return off;
}

static inline void lab_begin(struct lab_layer *l, unsigned id)
{
    struct err e = {0};
    struct tree_node root = {.mode = S_IFDIR | 0755, .content = TREE_NONE, .xattrs = TREE_NONE};
    uint32_t n;
    *l = (struct lab_layer){.diffid = {{(uint8_t)id, (uint8_t)(id >> 8), 1}}};
    if (treewrite_new(TREE_LAYER, &l->w, &e) < 0 || treewrite_node(l->w, &root, &n, &e) < 0)
        abort();
}

static inline void lab_add(struct lab_layer *l, struct tree_op op, const char *path, const char *link)
{
    struct err e = {0};
    op.path = lab_string(l->w, path);
    op.path_len = (uint32_t)strlen(path);
    if (link) {
        op.link = lab_string(l->w, link);
        op.link_len = (uint32_t)strlen(link);
    }
    if (l->op_count == l->op_cap) {
        l->op_cap = l->op_cap ? l->op_cap * 2 : 16;
        l->ops = realloc(l->ops, l->op_cap * sizeof *l->ops);
    }
    if (!l->ops || treewrite_op(l->w, &op, &e) < 0)
        abort();
    l->ops[l->op_count++] = op;
}

/* A node put at path; its mtime tells it from others. Returns its number. */
static inline uint32_t lab_node(struct lab_layer *l, const char *path, uint32_t mode, const char *target, int64_t mtime)
{
    struct err e = {0};
    struct tree_node n = {.mode = mode, .mtime = mtime, .content = TREE_NONE, .xattrs = TREE_NONE};
    struct tree_op op = {.kind = OP_NODE};
    if (target) {
        n.first = lab_string(l->w, target);
        n.size = n.count = (uint32_t)strlen(target);
    }
    if (treewrite_node(l->w, &n, &op.node, &e) < 0)
        abort();
    lab_add(l, op, path, NULL);
    return op.node;
}

static inline void lab_op(struct lab_layer *l, enum tree_op_kind kind, const char *path, const char *link)
{
    lab_add(l, (struct tree_op){.kind = kind, .node = TREE_NONE}, path, link);
}

/* Gives the layer its tree, in its flat form. */
static inline int lab_write(struct lab_layer *l, struct buf *out, struct err *e)
{
    struct union_ *u = NULL;
    struct layer_ops o = {treewrite_node_at(l->w, 0), treewrite_string_at(l->w, 0), l->ops, treewrite_node_count(l->w),
                          l->op_count};
    int r = union_new(UNION_KEEP_WHITEOUTS, &u, e);
    if (!r)
        r = union_apply_ops(u, &o, e);
    if (!r)
        r = union_write_layer(u, l->w, e);
    union_free(u);
    return r ? r : treewrite_finish(l->w, out, e);
}

/* The same, and opened. */
static inline int lab_end(struct lab_layer *l, struct err *e)
{
    struct buf b = {0};
    int r = lab_write(l, &b, e);
    size_t n = b.len;
    if (!r)
        r = tree_open(buf_steal(&b, NULL), n, &l->tree, e);
    buf_release(&b);
    return r;
}

static inline void lab_release(struct lab_layer *l)
{
    treewrite_free(l->w);
    tree_close(l->tree);
    free(l->ops);
    *l = (struct lab_layer){0};
}

static inline int lab_compile(const struct lab_layer *const *layers, unsigned n, struct tree **ret, struct err *e)
{
    struct union_ *u = NULL;
    struct buf b = {0};
    int r = union_new(0, &u, e);
    for (unsigned i = 0; i < n && !r; i++)
        r = union_apply(u, layers[i]->tree, &layers[i]->diffid, e);
    if (!r)
        r = union_compile(u, &b, e);
    union_free(u);
    size_t len = b.len;
    if (!r)
        r = tree_open(buf_steal(&b, NULL), len, ret, e);
    buf_release(&b);
    return r;
}

/* The node that an entry of a root filesystem (or layer) shows. */
static inline const struct tree_node *lab_entry_node(const struct tree *t, const struct tree_entry *en,
                                                     const struct lab_layer *const *layers, unsigned n,
                                                     const struct tree **ret)
{
    *ret = t;
    if (en->tree != TREE_SELF) {
        *ret = NULL;
        for (unsigned i = 0; i < n; i++)
            if (digest_eq(&layers[i]->diffid, tree_ref(t, en->tree)))
                *ret = layers[i]->tree;
    }
    if (!*ret || en->node >= tree_node_count(*ret))
        abort();
    return tree_node(*ret, en->node);
}

#endif

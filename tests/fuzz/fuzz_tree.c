/* SPDX-License-Identifier: MIT */
/* Any bytes as a tree: refused, or everything in it can be followed, and a layer can be put into a root filesystem that
 * opens. */
#include "../../index/union.h"

#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check(bool good)
{
    if (!good)
        abort();
}

static void follow(const struct tree *t)
{
    for (uint32_t i = 0; i < tree_node_count(t); i++) {
        const struct tree_node *x = tree_node(t, i);
        for (uint32_t k = 0; S_ISDIR(x->mode) && k < x->count; k++) {
            const struct tree_entry *en = tree_entry_at(t, x, k);
            check(tree_lookup(t, x, tree_string(t, en->name), en->name_len) == en);
            check(en->tree == TREE_SELF ? tree_node(t, en->node)->mode >> 12 == en->type
                                        : en->tree < tree_ref_count(t));
        }
        for (uint32_t k = 0; k < tree_xattr_count(t, x); k++)
            check(tree_string(t, tree_xattr(t, x, k)->name)[0] != '\0');
        if (S_ISLNK(x->mode))
            check(x->count && tree_string(t, x->first)[x->count - 1] != '\0');
        if (x->content != TREE_NONE)
            check(tree_chunk(t, tree_content(t, x->content)->first_chunk)->end <= x->size);
    }
}

static struct tree *reopen(struct buf *b)
{
    struct err e = {0};
    struct tree *t = NULL;
    size_t n = b->len;
    uint8_t *p = buf_steal(b, NULL);
    check(tree_open(p, n, &t, &e) == 0);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const struct digest diffid = {{1}};
    struct err e = {0};
    struct tree *t;
    struct union_ *u = NULL;
    struct buf out = {0};
    uint8_t *copy = malloc(n ? n : 1);
    check(copy != NULL);
    if (n)
        memcpy(copy, p, n);
    if (tree_open(copy, n, &t, &e) < 0)
        return 0;
    follow(t);
    check(union_new(0, &u, &e) == 0);
    int r = union_apply(u, t, &diffid, &e);
    if (!r)
        r = union_apply(u, t, &diffid, &e); /* the same layer twice */
    if (!r && !union_compile(u, &out, &e)) {
        struct tree *rootfs = reopen(&out);
        follow(rootfs);
        tree_close(rootfs);
    }
    union_free(u);
    buf_release(&out);
    tree_close(t);
    return 0;
}

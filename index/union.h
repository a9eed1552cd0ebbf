/* SPDX-License-Identifier: MIT */
/*
 * union: applies layers in sequence, each onto the result so far, links resolved inside it (as umoci and
 * docker do it), and compiles the result into one tree. The rules are drawn at the top of union.c.
 *
 * Used twice: over nothing with UNION_KEEP_WHITEOUTS to give a layer its own directories (layer.c), and over
 * all layers of an image to compile its root filesystem. Cost does not depend on the number of layers once
 * compiled. One thread.
 */
#ifndef CAIRN_UNION_H
#define CAIRN_UNION_H

#include "treewrite.h"

enum union_flags { UNION_KEEP_WHITEOUTS = 1 << 0 };

struct union_;
/* Nodes and strings of a layer that is still being written. */
struct layer_ops {
    const struct tree_node *nodes;
    const char *pool;
    const struct tree_op *ops;
    uint32_t node_count, op_count;
};

int union_new(int flags, struct union_ **ret, struct err *e);
void union_free(struct union_ *u);
/* Applies one more layer. The tree must stay open until union_free. diffid names it in the references. */
int union_apply(struct union_ *u, const struct tree *layer, const struct digest *diffid, struct err *e);
/* The same over arrays, for a layer that is being built. They must stay until union_write_layer, which reads nodes and
 * strings through w: they may be w's own. */
int union_apply_ops(struct union_ *u, const struct layer_ops *ops, struct err *e);
/* Compiles the root filesystem: appends the flat tree (TREE_ROOTFS) to out. */
int union_compile(struct union_ *u, struct buf *out, struct err *e);
/*
 * For a layer being built (one union_apply_ops, UNION_KEEP_WHITEOUTS): writes the directories, whiteouts,
 * opaque flags, implicit directories and link counts into w, which holds the layer's nodes already
 * (node numbers equal those of the ops). What only a root filesystem can judge isn't refused here
 * (union.c says what is): a hard link to nothing becomes a NODE_HARDLINK, an entry that can't be placed has no name.
 * The root becomes node 0: w's node 0 must have been reserved for it.
 */
int union_write_layer(struct union_ *u, struct treewrite *w, struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * treewrite: builds the flat form of a tree (tree.h). Calling sequence: new; node, string, xattr, op, ref,
 * dir in any order; content for each file once the session knows them; finish; free.
 * Nothing is validated twice: names and paths are the caller's promise, tree_open is the judge.
 * One thread.
 */
#ifndef CAIRN_TREEWRITE_H
#define CAIRN_TREEWRITE_H

#include "buf.h"
#include "tree.h"

struct treewrite;
struct content; /* session.h */

int treewrite_new(enum tree_kind kind, struct treewrite **ret, struct err *e);
void treewrite_free(struct treewrite *w);

/* Copies *n and returns its number in *ret. Fields can be changed later through treewrite_node_at. */
int treewrite_node(struct treewrite *w, const struct tree_node *n, uint32_t *ret, struct err *e);
struct tree_node *treewrite_node_at(struct treewrite *w, uint32_t node); /* valid until the next treewrite_node */
uint32_t treewrite_node_count(const struct treewrite *w);
/* Adds to the string pool (equal strings may be stored once). */
int treewrite_string(struct treewrite *w, const void *p, size_t n, uint32_t *ret, struct err *e);
const char *treewrite_string_at(const struct treewrite *w, uint32_t off); /* valid until the next treewrite_string */
/* Sets the node's xattrs; sorted by name here; equal sets are stored once. */
struct xattr {
    const char *name;
    size_t name_len;
    const void *value;
    size_t value_len;
};
int treewrite_xattrs(struct treewrite *w, uint32_t node, struct xattr *x, size_t n, struct err *e);
/* Sets the entries of a directory, sorted here. Sets first and count. Duplicate names: ERR_INPUT. */
int treewrite_dir(struct treewrite *w, uint32_t dir, struct tree_entry *entries, uint32_t n, struct err *e);
int treewrite_op(struct treewrite *w, const struct tree_op *op, struct err *e);
int treewrite_ref(struct treewrite *w, const struct digest *diffid, uint32_t *ret, struct err *e);
/* Adds a content (equal digests are stored once); *ret is what a node's `content` holds. */
int treewrite_content(struct treewrite *w, const struct content *c, uint32_t *ret, struct err *e);
/* Appends the finished tree to out, and sets every directory's parent and every node's link count in it, whatever the
 * caller said. Only treewrite_free may follow. */
int treewrite_finish(struct treewrite *w, struct buf *out, struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * treecache: opened trees by object number, loaded once, shared by threads, the least recently used dropped beyond a
 * byte bound (pinned ones stay). A dropped tree can be loaded again at any time: numbers are never used again.
 *
 *   treecache_get → use lt->tree, treecache_map + reader_pread, … → treecache_put
 */
#ifndef CAIRN_TREECACHE_H
#define CAIRN_TREECACHE_H

#include "reader.h"
#include "tree.h"

struct treecache;

struct loaded_tree {
    uint32_t no; /* of the layer, package, or image (its root filesystem) */
    struct tree *tree;
    uint32_t *ref_no;        /* per tree reference: the layer's object number */
    _Atomic uint64_t *where; /* per chunk of the tree: places found so far (reader.h) */
};

int treecache_new(struct store *s, uint64_t bytes, struct treecache **ret, struct err *e);
void treecache_free(struct treecache *c);
/* no: of a layer, package or image. ERR_NOT_FOUND: no such object; ERR_DAMAGED: its tree can't be had. Single flight.
 */
int treecache_get(struct treecache *c, uint32_t no, const struct loaded_tree **ret, struct err *e);
void treecache_put(struct treecache *c, const struct loaded_tree *lt);
/* A map for reading content number `content` of the tree: allocates nothing, valid while lt is pinned, not to be
 * released. */
void treecache_map(const struct loaded_tree *lt, uint32_t content, struct content_map *ret);

/*
 * Walking by path without a mount (ls, cat, diff). A place is a node of a loaded tree; the root filesystem's entries
 * that point at layers are followed. lt is pinned: treewalk_release.
 */
struct place {
    const struct loaded_tree *lt; /* tree that the node is in */
    uint32_t node;
};
int treewalk_root(struct treecache *c, uint32_t no, struct place *ret, struct err *e);
/* path relative to dir, "/" separated; follow_last: resolve a symlink at the end too; symlinks inside resolve within
 * `root` (absolute ones start there). */
int treewalk_path(struct treecache *c, const struct place *root, const char *path, bool follow_last, struct place *ret,
                  struct err *e);
/* The node that an entry of dir names (pins its tree). */
int treewalk_entry(struct treecache *c, const struct place *dir, const struct tree_entry *en, struct place *ret,
                   struct err *e);
void treewalk_release(struct treecache *c, struct place *p);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * trees: the trees behind the mount's objects: treecache (index/), and beyond it those of objects that were removed
 * from the catalog while the kernel still has something of them. Those are loaded by the digest that objects.h
 * remembers, since the catalog can't tell it any more; gc keeps their bytes as long as the mount's lease names them.
 *
 *   trees_get → use → trees_put.  Any number of threads.
 */
#ifndef CAIRN_FS_TREES_H
#define CAIRN_FS_TREES_H

#include "../index/treecache.h"

#include "objects.h"

#include <pthread.h>

struct orphan;

struct trees {
    struct store *s;
    struct objects *objects;
    struct treecache *cache;
    pthread_mutex_t lock; /* orphans */
    struct orphan *orphans;
    _Atomic uint32_t orphan_count;
};

int trees_init(struct trees *t, struct store *s, struct objects *o, uint64_t bytes, struct err *e);
void trees_release(struct trees *t);
/* no: of a layer, package or image. */
int trees_get(struct trees *t, uint32_t no, const struct loaded_tree **ret, struct err *e);
void trees_put(struct trees *t, const struct loaded_tree *lt); /* NULL: no-op */
/* Frees trees of removed objects that nobody can ask for any more. Call it now and then. */
void trees_reap(struct trees *t);

#endif

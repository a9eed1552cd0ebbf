/* SPDX-License-Identifier: MIT */
/*
 * union_state: what union.c (applying layers) and union_write.c (writing the result) share, and nobody else uses.
 */
#ifndef CAIRN_UNION_STATE_H
#define CAIRN_UNION_STATE_H

#include "hashtab.h"
#include "limits.h"
#include "union.h"

#define NAME_NONE UINT32_MAX
#define NAME_ROOT 0u
/* Names that a result may have: entries plus the directories that nobody named. */
#define NAMES_MAX (2 * LIMIT_ENTRIES)

enum name_type { /* S_IFMT bits >> 12 */
                 NAME_WHITEOUT = 0,
                 NAME_DIR = 4,
                 NAME_SYMLINK = 10,
};

enum name_flags {
    NAME_OPAQUE = 1 << 0, /* directory (UNION_KEEP_WHITEOUTS only) */
    NAME_LINK = 1 << 1,   /* hard link to something below (UNION_KEEP_WHITEOUTS only); node is an index into links */
};

/* One name of the result so far: 44 bytes, in an array; children of a directory are a list and in the index. */
struct uname {
    uint32_t parent, prev, next; /* next: also of the free list */
    uint32_t child;              /* directory: first child */
    uint32_t layer, node;        /* the layer's node that it shows; node TREE_NONE: directory that nobody named */
    uint32_t name_layer, name;   /* spelled in that layer's pool */
    uint16_t name_len;
    uint8_t type, flags;
    uint32_t upper; /* stamp of the last layer that put it here, or something below it */
    uint32_t clean; /* stamp of the last layer for which nothing of lower layers is below it */
};

struct ulayer {
    const struct tree *tree; /* NULL: a layer that is being built */
    struct digest diffid;
    struct layer_ops o;
    uint32_t first;   /* first application of a layer with this diffID */
    uint32_t ref;     /* while writing: reference number */
    uint32_t *names;  /* while writing: per node, see union_write.c */
    uint8_t *claimed; /* while writing, of the first application: nodes that are referred to */
};

/* A stretch of a layer's pool. */
struct ustr {
    uint32_t layer, off, len;
};

struct union_ {
    int flags;
    bool sure;    /* all names of this layer are where they are in any stack: see union.c */
    bool written; /* the index is gone: only union_free is left to do */
    struct hashkey key;
    struct hashtab index; /* (directory, name) → name number */
    struct uname *v;
    uint32_t count, cap, live, free; /* free: head of the list of unused numbers */
    struct ulayer *layers;
    uint32_t layer_count, layer_cap;
    struct ustr *links; /* targets of NAME_LINK names */
    uint32_t link_count, link_cap;
    struct ustr missing[LIMIT_DEPTH]; /* resolve's result: parts of the path that aren't there */
    /* The directory of the last operation: tars come directory by directory. Good while generation is the same. */
    struct {
        const char *path;
        uint32_t len, dir, depth;
        uint64_t generation;
    } last;
    uint64_t generation; /* grows when a directory or symlink goes, or a symlink comes */
};

static inline const char *ustr_at(const struct union_ *u, uint32_t layer, uint32_t off)
{
    return u->layers[layer].o.pool + off;
}

/* Room for one more element of a growing array: the array, maybe elsewhere; NULL without memory (then it is as it was).
 */
void *union_grow(void *array, uint32_t count, uint32_t *cap, size_t size);

#endif

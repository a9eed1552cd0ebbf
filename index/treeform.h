/* SPDX-License-Identifier: MIT */
/*
 * treeform: the layout of a flat tree's header and sections (FORMAT.md, "Trees"), shared by tree.c and treewrite.c
 * and by nobody else. The structures of tree.h are stored as the host has them in memory, so the host must be
 * little-endian and lay them out as expected: anything else stops the build here.
 */
#ifndef CAIRN_TREEFORM_H
#define CAIRN_TREEFORM_H

#include "tree.h"

#define TREE_MAGIC   "CAIRNTRE"
#define TREE_VERSION 1
#define TREE_HEADER  128u

enum tree_section {
    TREE_SEC_NODES,
    TREE_SEC_ENTRIES,
    TREE_SEC_CONTENTS,
    TREE_SEC_CHUNKS,
    TREE_SEC_XATTR_SETS,
    TREE_SEC_XATTRS,
    TREE_SEC_OPS,
    TREE_SEC_REFS,
    TREE_SEC_POOL,
    TREE_SECTIONS,
};

/* A run of struct tree_xattr. */
struct tree_xattr_set {
    uint32_t first, count;
};

static const uint32_t tree_section_size[TREE_SECTIONS] = {
    [TREE_SEC_NODES] = sizeof(struct tree_node),
    [TREE_SEC_ENTRIES] = sizeof(struct tree_entry),
    [TREE_SEC_CONTENTS] = sizeof(struct tree_content),
    [TREE_SEC_CHUNKS] = sizeof(struct tree_chunk),
    [TREE_SEC_XATTR_SETS] = sizeof(struct tree_xattr_set),
    [TREE_SEC_XATTRS] = sizeof(struct tree_xattr),
    [TREE_SEC_OPS] = sizeof(struct tree_op),
    [TREE_SEC_REFS] = sizeof(struct digest),
    [TREE_SEC_POOL] = 1,
};

/* Bit per type that a node can have: S_IFMT bits >> 12 of fifo, chr, dir, blk, reg, lnk, sock. */
#define TREE_TYPES (1u << 1 | 1u << 2 | 1u << 4 | 1u << 6 | 1u << 8 | 1u << 10 | 1u << 12)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a flat tree is little-endian and used as stored");
_Static_assert(sizeof(struct tree_node) == 64, "stored form of a node");
_Static_assert(sizeof(struct tree_entry) == 20, "stored form of an entry");
_Static_assert(sizeof(struct tree_content) == 56, "stored form of a content");
_Static_assert(sizeof(struct tree_chunk) == 40, "stored form of a chunk");
_Static_assert(sizeof(struct tree_xattr_set) == 8, "stored form of an xattr set");
_Static_assert(sizeof(struct tree_xattr) == 16, "stored form of an xattr");
_Static_assert(sizeof(struct tree_op) == 32, "stored form of an operation");
_Static_assert(sizeof(struct digest) == 32, "stored form of a reference");
_Static_assert(24 + 4 * TREE_SECTIONS <= TREE_HEADER, "the counts fit into the header");

#endif

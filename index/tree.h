/* SPDX-License-Identifier: MIT */
/*
 * tree: one immutable directory tree (a layer, a package, a merged root filesystem) in its flat form,
 * used as loaded: no parsing, no allocation, no query per look-up. FORMAT.md, "Trees".
 *
 * tree_open checks every offset, index and order once, in one pass; afterwards all accessors are O(1) or a
 * binary search and can't fail. Immutable: any number of threads.
 *
 * Nodes are numbered from 0, the root. In a package, the root may be a file or symlink.
 * An entry names a node of this tree (entry.tree == TREE_SELF) or of one of the trees in its reference
 * table: a root filesystem's own nodes are its directories (and those hard-linked files whose link count
 * differs from the layer's); its other entries point at the layers' nodes (design: union files *are* the
 * layers' files).
 */
#ifndef CAIRN_TREE_H
#define CAIRN_TREE_H

#include "digest.h"
#include "err.h"

#define TREE_NONE UINT32_MAX
#define TREE_SELF UINT32_MAX /* entry.tree: a node of this tree */

enum tree_kind { TREE_LAYER = 1, TREE_PACKAGE = 2, TREE_ROOTFS = 3 };

enum tree_node_flags {
    NODE_WHITEOUT = 1 << 0, /* layer: hides a name of the layers below; shown as char 0:0 */
    NODE_OPAQUE = 1 << 1,   /* layer: directory that hides all names of the layers below */
    NODE_IMPLICIT = 1 << 2, /* layer: directory that no tar entry describes (0755 root, time 0) */
    NODE_HARDLINK = 1 << 3, /* layer: hard link to a file that only a lower layer has; target as for a symlink;
                               shown as a symlink in layers/, resolved when a root filesystem is made */
};

/* All little-endian, fixed size: this is the stored form (64 bytes). */
struct tree_node {
    uint32_t mode; /* type and permission bits, as st_mode */
    uint32_t uid, gid;
    uint32_t nlink; /* as stat shows it: for a directory 2 + its subdirectories */
    uint64_t size;  /* file: bytes; symlink: length of target; else 0 */
    int64_t mtime;
    uint32_t mtime_nsec;
    uint32_t rdev;    /* major << 20 | minor, for devices (12 and 20 bits, as the kernel's own) */
    uint32_t content; /* non-empty file: index of its content; else TREE_NONE */
    uint32_t xattrs;  /* index of its xattr set; TREE_NONE if it has none */
    uint32_t first;   /* directory: first entry; symlink or NODE_HARDLINK: offset of target in the string pool */
    uint32_t count;   /* directory: number of entries; symlink or NODE_HARDLINK: length of target */
    uint32_t parent;  /* directory: its parent (root: itself); else TREE_NONE (a file can have several) */
    uint32_t flags;
};

/* Directory entry (20 bytes), sorted by unsigned bytes of the name within its directory. */
struct tree_entry {
    uint32_t name; /* offset in the string pool */
    uint32_t node;
    uint32_t tree; /* TREE_SELF or index into the tree references */
    uint16_t name_len;
    uint16_t type; /* S_IFMT bits of the node's mode, >> 12 (DT_*) */
    uint32_t reserved;
};

/* Content of a file: a run of chunks (56 bytes). */
struct tree_content {
    struct digest digest; /* SHA-256 of the raw bytes, holes as zeros */
    uint64_t size;
    uint64_t stored; /* size without holes: st_blocks = (stored + 511) / 512 */
    uint32_t first_chunk, chunk_count;
};

/* One chunk (40 bytes). A hole has the zero digest. */
struct tree_chunk {
    struct digest digest;
    uint64_t end; /* offset in the content behind this chunk (cumulative), so a position is found by binary search */
};

struct tree_xattr {
    uint32_t name, name_len;   /* string pool; full name ("security.capability") */
    uint32_t value, value_len; /* string pool */
};

enum tree_op_kind { OP_NODE = 1, OP_HARDLINK = 2, OP_WHITEOUT = 3, OP_OPAQUE = 4 };

/*
 * Layers only: what the tar's entries do, in their order; union_apply replays them (32 bytes).
 * path is relative, without "." or ".." or empty parts, "" for the root; not yet resolved through symlinks.
 */
struct tree_op {
    uint32_t kind;
    uint32_t node;           /* OP_NODE: the node; else TREE_NONE */
    uint32_t path, path_len; /* OP_WHITEOUT: the hidden name's path; OP_OPAQUE: the directory's */
    uint32_t link, link_len; /* OP_HARDLINK: path of the target */
    uint32_t reserved[2];
};

struct tree;

/* Takes p over (free()d by tree_close) on success and failure. ERR_DAMAGED when anything is out of line. */
int tree_open(uint8_t *p, size_t n, struct tree **ret, struct err *e);
void tree_close(struct tree *t);

enum tree_kind tree_kind(const struct tree *t);
size_t tree_bytes(const struct tree *t);
uint32_t tree_node_count(const struct tree *t);
const struct tree_node *tree_node(const struct tree *t, uint32_t node); /* node < count */
/* Entry of a directory node by position; i < node->count. */
const struct tree_entry *tree_entry_at(const struct tree *t, const struct tree_node *dir, uint32_t i);
/* NULL when the directory has no such name (or the node is no directory). */
const struct tree_entry *tree_lookup(const struct tree *t, const struct tree_node *dir, const char *name, size_t len);
/* Pooled strings aren't NUL-terminated. Offsets are checked at open. */
const char *tree_string(const struct tree *t, uint32_t off);
uint32_t tree_content_count(const struct tree *t);
const struct tree_content *tree_content(const struct tree *t, uint32_t i);
const struct tree_chunk *tree_chunk(const struct tree *t, uint32_t i);
uint32_t tree_chunk_count(const struct tree *t);
bool tree_has_xattrs(const struct tree *t); /* of this tree's own nodes */
uint32_t tree_xattr_count(const struct tree *t, const struct tree_node *n);
const struct tree_xattr *tree_xattr(const struct tree *t, const struct tree_node *n, uint32_t i);
uint32_t tree_op_count(const struct tree *t);
const struct tree_op *tree_op(const struct tree *t, uint32_t i);
/* Root filesystems: the layers (diffIDs) that entries refer to. */
uint32_t tree_ref_count(const struct tree *t);
const struct digest *tree_ref(const struct tree *t, uint32_t i);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * view: the mount's tree as plain functions over node ids, without FUSE: what an id is, its attributes, its names, its
 * bytes. ops.c translates between this and the kernel.
 *
 *   view_open(id) → view_attr, view_lookup, view_readdir, view_readlink, view_read, … → view_close
 *
 * Nothing is remembered between calls: any id can be opened at any time. A vnode pins the tree that it is in; it
 * belongs to one thread. The view itself may be used by any number.
 */
#ifndef CAIRN_FS_VIEW_H
#define CAIRN_FS_VIEW_H

#include "nodeid.h"
#include "objects.h"
#include "trees.h"

#include <sys/stat.h>

struct view {
    struct store *s;
    struct reader *reader;
    struct objects *objects;
    struct trees trees;
    uid_t uid; /* owner of what is the mount's own */
    gid_t gid;
    bool ahead; /* decode ahead of large reads */
};

enum vkind {
    V_TOP,    /* one of enum node_top */
    V_FOLDER, /* images/X */
    V_DOC,    /* images/X/config.json, manifest.json */
    V_LINKS,  /* images/X/layers */
    V_LINK,   /* images/X/layers/000 */
    V_NODE,   /* a node of a tree */
};

struct vnode {
    uint64_t id;
    enum vkind kind;
    struct object obj;            /* of the id's number; not set for V_TOP */
    enum node_part part;          /* V_DOC */
    uint32_t k;                   /* V_LINK */
    const struct loaded_tree *lt; /* V_NODE: pinned */
    uint32_t node;
    const struct tree_node *n;
};

int view_init(struct view *v, struct store *s, uint64_t tree_bytes, struct err *e);
void view_release(struct view *v);

/* ERR_NOT_FOUND: the id is none (any more). */
int view_open(struct view *v, uint64_t id, struct vnode *ret, struct err *e);
void view_close(struct view *v, struct vnode *n);

int view_attr(struct view *v, const struct vnode *n, struct stat *ret, struct err *e);
/* Target of a symlink, NUL-terminated, into buf (at least PATH_MAX bytes). ERR_USAGE: no symlink. */
int view_readlink(struct view *v, const struct vnode *n, char *buf, size_t cap, struct err *e);
/* Bytes of a file: [off, off+len), short only at its end. ERR_USAGE: no file. */
int view_read(struct view *v, const struct vnode *n, void *p, size_t len, uint64_t off, size_t *ret_len, struct err *e);
/* SEEK_DATA (data true) or SEEK_HOLE from off; *ret UINT64_MAX: there is none (ENXIO). */
int view_seek(struct view *v, const struct vnode *n, uint64_t off, bool data, uint64_t *ret, struct err *e);
/* Directory above a directory. */
uint64_t view_parent(const struct vnode *dir);
bool view_is_dir(const struct vnode *n);
/* Is the directory one of the listings of objects? */
bool view_is_list(const struct vnode *n, enum object_list *ret);
/* Do names in this directory come and go? */
bool view_changes(const struct vnode *n);
/* Id of the directory that shows the list. */
uint64_t view_list_id(enum object_list list);

/* --- names (viewdir.c) --- */
struct found {
    bool exists;
    bool final; /* !exists: and never will: the kernel may remember it */
    uint64_t id;
    struct stat st;
};
/* Where the name exists its object's look-up count is raised: objects_unref(nodeid_no(id)) if the kernel isn't told.
 * ERR_USAGE: no directory. */
int view_lookup(struct view *v, const struct vnode *dir, const char *name, struct found *ret, struct err *e);

/* st NULL: attributes aren't known; mode: type bits, 0 if not even they are. next: position behind this entry.
 * Non-zero: no room, stop. */
typedef int view_emit(void *ctx, const char *name, uint64_t id, mode_t mode, const struct stat *st, uint64_t next);
/* Entries from position off (0: the start), "." and ".." first. want_attr: give attributes where they are to be had. */
int view_readdir(struct view *v, const struct vnode *dir, uint64_t off, bool want_attr, view_emit *emit, void *ctx,
                 struct err *e);

/* For view.c and viewdir.c. */
void view_node_attr(const struct loaded_tree *lt, const struct tree_node *n, uint64_t id, struct stat *ret);
int view_doc_map(struct view *v, const struct object *name, enum node_part part, struct content_map *ret,
                 struct err *e);
int view_part_attr(struct view *v, const struct object *name, enum node_part part, struct stat *ret, struct err *e);
void view_link_attr(struct view *v, const struct object *name, uint32_t k, struct stat *ret);
int view_top_attr(struct view *v, uint64_t id, struct stat *ret, struct err *e);
int view_rootfs(struct view *v, const struct object *name, const struct loaded_tree **ret, struct err *e);

#endif

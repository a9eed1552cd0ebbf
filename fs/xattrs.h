/* SPDX-License-Identifier: MIT */
/*
 * xattrs: which extended attributes a node shows. Two things differ from what is stored:
 *
 *  - *.overlay.* attributes that an image brought must never reach an overlayfs as its own (a redirect in a hostile
 * layer would open any file): "trusted.overlay.X" shows as "trusted.overlay.overlay.X", likewise "user.", which is
 * overlayfs's own escape: an overlay of Linux 6.7 and later shows it as the plain name again.
 *  - An opaque directory of a layer has trusted.overlay.opaque and user.overlay.opaque = "y", for overlays as root and
 * as a user.
 *
 * Pure functions over an open tree; any thread.
 */
#ifndef CAIRN_FS_XATTRS_H
#define CAIRN_FS_XATTRS_H

#include "../index/buf.h"
#include "../index/tree.h"

/* No node of this tree shows any: the quick answer. */
bool xattrs_none(const struct tree *t);
/* 0 and the value (the tree's), or -1: it has no such attribute. */
int xattrs_get(const struct tree *t, const struct tree_node *n, const char *name, const void **ret, size_t *ret_len);
/* Appends the NUL-terminated names; -1 only for want of memory. */
int xattrs_list(const struct tree *t, const struct tree_node *n, struct buf *out);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * entrypath: names of tar entries as paths of a tree: relative, without "", "." and ".." parts, "" for the root, within
 * the limits of limits.h; and what the name says of the entry (whiteouts). Pure functions, any thread.
 */
#ifndef CAIRN_ENTRYPATH_H
#define CAIRN_ENTRYPATH_H

#include "../buf.h"
#include "../err.h"

#include <stdbool.h>

/*
 * Cleans lexically, as docker does: "a/../b" is "b"; what leads out of the root is ERR_INPUT, but an absolute name
 * can't (rooted: true for names, false for targets of hard links, where docker refuses "/../x" too). Replaces out's
 * bytes.
 */
int entrypath_clean(const char *name, size_t n, bool rooted, struct buf *out, struct err *e);

enum entry_role {
    ENTRY_NODE,
    ENTRY_WHITEOUT, /* hides a path of the layers below */
    ENTRY_OPAQUE,   /* hides all of a directory of the layers below */
    ENTRY_IGNORED,  /* bookkeeping of aufs, ".wh..wh.*" in the root: docker leaves it out */
};
/* What a clean path means; for whiteouts and opaque marks, path becomes what they are about. */
int entrypath_role(struct buf *path, enum entry_role *ret, struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/* mountinfo: the mounts of this process's namespace, out of /proc/self/mountinfo. Any thread. */
#ifndef CAIRN_FS_MOUNTINFO_H
#define CAIRN_FS_MOUNTINFO_H

#include "../index/err.h"

#include <stdbool.h>
#include <sys/types.h>

#define FS_TYPE "fuse.cairn"

struct mount_entry {
    char type[64];
    dev_t dev;
    bool part; /* a directory of the file system rather than its root is mounted */
};

/* What is mounted at exactly this absolute path (without symlinks, "." or "//"), topmost. *ret_found false: nothing. */
int mountinfo_at(const char *path, struct mount_entry *ret, bool *ret_found, struct err *e);
/* Is a part of that file system mounted (bound) anywhere, in any mount namespace that this process may look at? When in
 * doubt, yes. */
bool mountinfo_has_parts(dev_t dev);
/* One line taken apart, with its path unescaped in place; false when it is none. For mountinfo_at and tests. */
bool mountinfo_line(char *line, const char **ret_path, struct mount_entry *ret);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * attach: the two ways of mounting and unmounting FUSE: mount(2) where this process may (root, also of a user
 * namespace), and else fusermount3. libfuse would do it too, but prints what goes wrong instead of telling.
 */
#ifndef CAIRN_FS_ATTACH_H
#define CAIRN_FS_ATTACH_H

#include "mount.h"

/* Mounts at o->mountpoint's real path `at` and returns the FUSE descriptor. */
int attach_mount(const char *at, const char *fsname, const struct mount_opts *o, int *ret_fd, struct err *e);
/* ERR_BUSY: in use (lazy never is). */
int attach_umount(const char *at, bool lazy, struct err *e);

#endif

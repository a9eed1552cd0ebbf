/* SPDX-License-Identifier: MIT */
/*
 * shed: asks the kernel to let go of what it merely has cached of an object that gc waits for (removed, or a layer that
 * no image has any more). What is open or otherwise in use stays: it can be read on.
 *
 * Dropping a directory's dentry drops unused ones below it, but also takes it out of its parent, so those that come
 * into being later, below one that is in use, can't be reached from above any more: hence every directory of the object
 * is gone through. Mounts on top of a dropped dentry would be detached: not to be called while a part of the mount is
 * bound somewhere (mountinfo_has_parts). Never from a request's thread.
 */
#ifndef CAIRN_FS_SHED_H
#define CAIRN_FS_SHED_H

#include "fs.h"

#include <stdatomic.h>

/* Ends early when *stop. */
void shed_object(struct fs *fs, uint32_t no, const _Atomic bool *stop);

#endif

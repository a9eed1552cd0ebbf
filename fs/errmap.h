/* SPDX-License-Identifier: MIT */
/*
 * errmap: struct err → errno for the kernel; the only such table. What a reader is told is about the file it reads, so
 * whatever is wrong with the store (a pack that is missing, cut off, damaged, unreadable) is EIO: never ENOENT, which
 * would look like a file that isn't part of the image. Names that don't exist aren't errors and never come through
 * here. Pure function.
 */
#ifndef CAIRN_FS_ERRMAP_H
#define CAIRN_FS_ERRMAP_H

#include "../index/err.h"

/* A positive errno, never 0. */
int errmap(const struct err *e);

#endif

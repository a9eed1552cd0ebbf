/* SPDX-License-Identifier: MIT */
/* fs: one running mount, as its parts see it. Made by mount.c; inside of fs/ only. */
#ifndef CAIRN_FS_FS_H
#define CAIRN_FS_FS_H

#include "../index/limits.h"

#include "logonce.h"
#include "view.h"

#include <fuse_lowlevel.h>
#include <pthread.h>

/* Most bytes in one READ: what the kernel's max_pages allows. */
#define FS_MAX_READ (1u << 20)
/* Files up to here are pushed: those that are one chunk, and share a block with their neighbours. */
#define PUSH_MAX LIMIT_WHOLE_FILE

struct push;

struct fs {
    struct view view;
    struct logonce log;
    struct fuse_session *se;
    struct push *push;    /* NULL: off. Set before the loop starts, freed after it ended */
    dev_t dev;            /* st_dev of the mount */
    pthread_key_t buffer; /* per thread: FS_MAX_READ bytes for replies (ops.c) */
};

/* The callbacks; userdata is a struct fs. */
extern const struct fuse_lowlevel_ops fs_ops;

#endif

/* SPDX-License-Identifier: MIT */
/*
 * mount: a store shown as a file system (the tree is drawn in fs/README.md). What the tools call; nothing below
 * fs/mount.h is theirs.
 *
 *   store_open → mount_serve (returns when the mount is gone) → store_close
 *
 * mount_serve works as root (mount(2)) and as an ordinary user (fusermount3), and inside a user namespace. It neither
 * forks nor daemonises nor prints: the tool forks first, hands in `ready`, and lets its parent wait for that.
 *
 * mount_serve blocks SIGTERM and SIGINT in the calling thread (they end the mount in good order), ignores SIGHUP and
 * SIGPIPE, and changes the working directory to "/", so that the mount isn't kept busy by its own server. The mask and
 * dispositions are put back at the end. Threads that the process has already must have SIGTERM and SIGINT blocked, else
 * a signal may kill the process, which leaves a dead mount.
 */
#ifndef CAIRN_FS_MOUNT_H
#define CAIRN_FS_MOUNT_H

#include "../index/store.h"

#include <stdbool.h>

struct mount_opts {
    const char *mountpoint;
    const char *fsname;  /* first column of /proc/mounts; NULL: the store's path */
    uint64_t cache_size; /* decoded blocks, bytes; 0: the default. Counts only if the store has no reader yet */
    unsigned threads;    /* most requests served at once; 0: by the number of cores */
    bool allow_other;    /* for everybody (modes still count). As root it is always on, unless no_allow_other */
    bool no_allow_other;
    bool suid,
        dev; /* root only: let set-user-id files and devices of images work through the mount itself; default off */
    /* Called once from another thread, when the mount answers. May be NULL. */
    void (*ready)(void *ctx);
    /* A line for the log (damage found, a failed read-ahead setting…), from any thread, each text once. May be NULL. */
    void (*log)(void *ctx, const char *line);
    void *ctx; /* of ready and log */
};

/* Serves until unmounted by anybody, or SIGTERM or SIGINT, then unmounts (lazily if it is in use): 0. -1: it was never
 * ready. */
int mount_serve(struct store *s, const struct mount_opts *o, struct err *e);

/*
 * Unmounts a cairn mount. ERR_USAGE: path is none; ERR_BUSY: somebody uses it (lazy: it goes when they do).
 * Works on the mount of a server that died, too.
 */
int mount_umount(const char *path, bool lazy, struct err *e);

/* A mount of this store that is alive and that the caller can enter; *ret is the caller's to free. ERR_NOT_FOUND: none.
 */
int mount_find(struct store *s, char **ret, struct err *e);

/*
 * Waits until every mount of this store has taken in all that is committed now, so that names removed or moved are so
 * for everybody (new names need no waiting: they are there at once). Call it after rm, tag, and an import that moves a
 * name. ERR_BUSY after timeout_ms: a mount is stopped or very busy; what was done is done all the same. No mount:
 * returns at once.
 */
int mount_wait(struct store *s, unsigned timeout_ms, struct err *e);

#endif

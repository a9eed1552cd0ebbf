/* SPDX-License-Identifier: MIT */
/*
 * watch: the thread that keeps the kernel in step with the store: drops dentries of names that went away or moved, and
 * says in the mount's lease how far it has got ("seq") and which removed objects are still in use ("held").
 *
 * Where a part of the mount is bound to another place, dentries are not dropped but expire (they are asked for again at
 * their next use): dropping would detach whatever is mounted below, say the /proc of a running container.
 *
 * It wakes by inotify on the store's folder (the catalog's files are written at every commit), and twice a second for
 * what inotify can't see. Notifications to the kernel wait for locks that a request may hold, so they are never sent
 * from a request's thread, and the thread is to be stopped before the session's loop is.
 */
#ifndef CAIRN_FS_WATCH_H
#define CAIRN_FS_WATCH_H

#include "fs.h"

#include "../index/lease.h"

struct watch;

/* The lease's first text, before the thread runs. Result in b. */
int watch_lease_text(struct fs *fs, const char *mountpoint, struct buf *b, struct err *e);
/* lease NULL: a store on a read-only medium. Both must stay until watch_stop; mountpoint is copied. */
int watch_start(struct fs *fs, struct lease *lease, const char *mountpoint, struct watch **ret, struct err *e);
/* Waits for the thread's end. NULL: no-op. */
void watch_stop(struct watch *w);

#endif

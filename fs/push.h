/* SPDX-License-Identifier: MIT */
/*
 * push: puts small files into the kernel's page cache before they are asked for. Who reads small files one after the
 * other in the order of the tree (tar, grep -r, cp -a, a build) gets the next ones without a request: they lie in the
 * blocks that are decoded anyway. Measured in fs/README.md.
 *
 * A notification waits for the page's lock, which a READ may hold, so it is sent by a thread of its own, never from a
 * request's; push_stop must come before the session's loop is stopped. Nothing is ever written past a file's end.
 * push_note may be called by any thread.
 */
#ifndef CAIRN_FS_PUSH_H
#define CAIRN_FS_PUSH_H

#include "fs.h"

struct push;

int push_start(struct fs *fs, struct push **ret, struct err *e);
/* Waits for the thread's end; notes are ignored from then on. NULL: no-op. */
void push_stop(struct push *p);
void push_free(struct push *p); /* after push_stop, and after the loop. NULL: no-op */
/* A small file of object `no` was read. Never waits. p NULL: no-op. */
void push_note(struct push *p, uint32_t no, uint32_t node);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * packfds: open pack files for reading, a bounded number of them. Any thread.
 * A pack that gc has unlinked can still be read while it is open here; packfds_sweep lets go of such files, so that
 * their room on the disk becomes free.
 */
#ifndef CAIRN_PACKFDS_H
#define CAIRN_PACKFDS_H

#include "err.h"

#include <stdint.h>

struct packfds;

/* packsfd stays the caller's; store_path is for messages. max: files kept open (more only while in use). */
int packfds_new(int packsfd, const char *store_path, unsigned max, struct packfds **ret, struct err *e);
void packfds_free(struct packfds *f); /* NULL: no-op */
/* A descriptor to pread from until packfds_put. ERR_NOT_FOUND when there is no such pack. */
int packfds_get(struct packfds *f, uint64_t pack, int *ret_fd, struct err *e);
void packfds_put(struct packfds *f, uint64_t pack);
/* Closes what wasn't used since the last sweep. Returns how many stay open. */
unsigned packfds_sweep(struct packfds *f);

#endif

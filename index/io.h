/* SPDX-License-Identifier: MIT */
/*
 * io: whole reads and writes, durable replacement, locks. The only place of index/ that writes files.
 * All functions retry EINTR. Paths in errors are the ones given.
 */
#ifndef CAIRN_IO_H
#define CAIRN_IO_H

#include "buf.h"
#include "err.h"

#include <stdbool.h>
#include <sys/types.h>

/* All n bytes or an error; a short pread is ERR_DAMAGED "…: file ends at …". */
int io_pread(int fd, void *p, size_t n, uint64_t off, const char *what, struct err *e);
int io_write(int fd, const void *p, size_t n, const char *what, struct err *e);
int io_pwrite(int fd, const void *p, size_t n, uint64_t off, const char *what, struct err *e);
int io_fsync(int fd, const char *what, struct err *e);
/* fsync of the directory dirfd/path (path NULL: dirfd itself). */
int io_fsync_dir(int dirfd, const char *path, struct err *e);
/* mkdir -p with mode; existing directories are fine. */
int io_mkdirs(const char *path, mode_t mode, struct err *e);
/* Whole file into b; ERR_LIMIT beyond limit bytes; ERR_NOT_FOUND when there is none. */
int io_read_file(int dirfd, const char *path, size_t limit, struct buf *b, struct err *e);
/* Write-temp, fsync, rename, fsync directory. */
int io_replace_file(int dirfd, const char *path, const void *p, size_t n, mode_t mode, struct err *e);
/* flock(2) on an open file. wait=false: ERR_BUSY at once. Closing the fd unlocks. */
int io_lock(int fd, bool exclusive, bool wait, const char *what, struct err *e);
void io_unlock(int fd);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * capture: what a function prints to standard output or error, as a string, for tests of tools/. One capture at a time;
 * what TAP prints in between is lost. capture_begin(STDOUT_FILENO); …; char *text = capture_end(); free(text);
 */
#ifndef CAIRN_CAPTURE_H
#define CAIRN_CAPTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int capture_fd, capture_saved, capture_file;

static inline void capture_begin(int fd)
{
    fflush(NULL);
    capture_fd = fd;
    capture_saved = dup(fd);
    capture_file = memfd_create("capture", MFD_CLOEXEC);
    if (capture_saved < 0 || capture_file < 0 || dup2(capture_file, fd) < 0)
        abort();
}

/* NUL-terminated, free() it. */
static inline char *capture_end(void)
{
    fflush(NULL);
    off_t n = lseek(capture_file, 0, SEEK_END);
    char *text = calloc(1, (size_t)n + 1);
    if (!text || pread(capture_file, text, (size_t)n, 0) != n || dup2(capture_saved, capture_fd) < 0)
        abort();
    close(capture_saved);
    close(capture_file);
    return text;
}

#endif

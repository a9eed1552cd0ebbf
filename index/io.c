/* SPDX-License-Identifier: MIT */
/*
 * Whole reads and writes over the system calls that may do less than asked, and the one place that replaces files
 * durably. Writes are cut into pieces so that a signal or a full disk is noticed in time.
 */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Linux moves at most 2 GiB - 4 KiB by one call. */
#define IO_PIECE ((size_t)1 << 30)

static size_t piece(size_t n)
{
    return n < IO_PIECE ? n : IO_PIECE;
}

int io_pread(int fd, void *p, size_t n, uint64_t off, const char *what, struct err *e)
{
    size_t done = 0;
    if (off > INT64_MAX || n > INT64_MAX - off)
        return err_set(e, ERR_DAMAGED, "%s: offset %" PRIu64 " is beyond any file", what, off);
    while (done < n) {
        ssize_t r = pread(fd, (char *)p + done, piece(n - done), (off_t)(off + done));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return err_sys(e, errno, "%s: read %zu bytes at %" PRIu64, what, n, off);
        if (r == 0)
            return err_set(e, ERR_DAMAGED, "%s: file ends at %" PRIu64 ", %zu bytes wanted at %" PRIu64, what,
                           off + done, n, off);
        done += (size_t)r;
    }
    return 0;
}

int io_write(int fd, const void *p, size_t n, const char *what, struct err *e)
{
    size_t done = 0;
    while (done < n) {
        ssize_t r = write(fd, (const char *)p + done, piece(n - done));
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return err_sys(e, r < 0 ? errno : ENOSPC, "%s: write", what);
        done += (size_t)r;
    }
    return 0;
}

int io_pwrite(int fd, const void *p, size_t n, uint64_t off, const char *what, struct err *e)
{
    size_t done = 0;
    if (off > INT64_MAX || n > INT64_MAX - off)
        return err_sys(e, EFBIG, "%s: write at %" PRIu64, what, off);
    while (done < n) {
        ssize_t r = pwrite(fd, (const char *)p + done, piece(n - done), (off_t)(off + done));
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return err_sys(e, r < 0 ? errno : ENOSPC, "%s: write %zu bytes at %" PRIu64, what, n, off);
        done += (size_t)r;
    }
    return 0;
}

int io_fsync(int fd, const char *what, struct err *e)
{
    int r;
    /* Not retried on EIO: the kernel reports a lost write once, a second fsync would claim success. */
    do
        r = fsync(fd);
    while (r < 0 && errno == EINTR);
    return r < 0 ? err_sys(e, errno, "%s: fsync", what) : 0;
}

int io_fsync_dir(int dirfd, const char *path, struct err *e)
{
    const char *what = path ? path : "directory";
    if (!path)
        path = ".";
    int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, errno, "open %s", what);
    int r = io_fsync(fd, what, e);
    close(fd);
    return r;
}

static int mkdir_one(const char *path, mode_t mode, struct err *e)
{
    struct stat st;
    if (mkdir(path, mode) == 0) {
        /* The name must last as long as what will be in it. */
        char *parent = NULL;
        const char *slash = strrchr(path, '/');
        if (slash && !(parent = strndup(path, slash == path ? 1 : (size_t)(slash - path))))
            return err_nomem(e);
        int r = io_fsync_dir(AT_FDCWD, parent, e);
        free(parent);
        if (r < 0 && e->errnum == EACCES) { /* may be written and not read */
            err_clear(e);
            r = 0;
        }
        return r;
    }
    int errnum = errno;
    if (errnum == EEXIST || errnum == EROFS || errnum == EACCES || errnum == EPERM)
        if (stat(path, &st) == 0) {
            if (S_ISDIR(st.st_mode))
                return 0;
            errnum = ENOTDIR;
        }
    return err_sys(e, errnum, "create directory %s", path);
}

int io_mkdirs(const char *path, mode_t mode, struct err *e)
{
    char *copy = strdup(path);
    if (!copy)
        return err_nomem(e);
    int r = 0;
    for (char *p = copy + strspn(copy, "/"); *p && r == 0;) {
        p += strcspn(p, "/");
        char *next = p + strspn(p, "/");
        char sep = *p;
        *p = '\0';
        r = mkdir_one(copy, mode, e);
        *p = sep;
        p = next;
    }
    free(copy);
    return r;
}

static int read_all(int fd, const char *path, size_t limit, struct buf *b, struct err *e)
{
    size_t start = b->len;
    for (;;) {
        if (buf_reserve(b, 64 << 10) < 0)
            return err_nomem(e);
        ssize_t r = read(fd, b->p + b->len, b->cap - b->len - 1);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return err_sys(e, errno, "%s: read", path);
        if ((size_t)r > limit - (b->len - start))
            return err_set(e, ERR_LIMIT, "%s: larger than the limit of %zu bytes", path, limit);
        b->len += (size_t)r;
        b->p[b->len] = '\0';
        if (r == 0)
            return 0;
    }
}

int io_read_file(int dirfd, const char *path, size_t limit, struct buf *b, struct err *e)
{
    int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int errnum = errno;
        err_sys(e, errnum, "open %s", path);
        if (errnum == ENOENT || errnum == ENOTDIR)
            e->kind = ERR_NOT_FOUND;
        return -1;
    }
    size_t before = b->len;
    int r = read_all(fd, path, limit, b, e);
    if (r < 0)
        b->len = before;
    close(fd);
    return r;
}

/* A name beside path that nobody else uses. Free it. */
static char *temp_name(const char *path)
{
    uint64_t v;
    struct buf b = {0};
    if (getrandom(&v, sizeof v, 0) != (ssize_t)sizeof v)
        v = (uint64_t)getpid();
    if (buf_printf(&b, "%s.%016" PRIx64 ".tmp", path, v) < 0) {
        buf_release(&b);
        return NULL;
    }
    return (char *)buf_steal(&b, NULL);
}

static int write_temp(int dirfd, const char *tmp, const void *p, size_t n, mode_t mode, struct err *e)
{
    int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return err_sys(e, errno, "create %s", tmp);
    int r = io_write(fd, p, n, tmp, e);
    if (r == 0)
        r = io_fsync(fd, tmp, e);
    if (close(fd) < 0 && r == 0)
        r = err_sys(e, errno, "close %s", tmp);
    return r;
}

int io_replace_file(int dirfd, const char *path, const void *p, size_t n, mode_t mode, struct err *e)
{
    char *tmp = temp_name(path);
    if (!tmp)
        return err_nomem(e);
    int r = write_temp(dirfd, tmp, p, n, mode, e);
    if (r == 0 && renameat(dirfd, tmp, dirfd, path) < 0)
        r = err_sys(e, errno, "rename %s to %s", tmp, path);
    if (r < 0)
        unlinkat(dirfd, tmp, 0);
    free(tmp);
    if (r < 0)
        return -1;
    const char *slash = strrchr(path, '/');
    if (!slash)
        return io_fsync_dir(dirfd, NULL, e);
    char *dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (!dir)
        return err_nomem(e);
    r = io_fsync_dir(dirfd, dir, e);
    free(dir);
    return r;
}

int io_lock(int fd, bool exclusive, bool wait, const char *what, struct err *e)
{
    int op = (exclusive ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB);
    while (flock(fd, op) < 0) {
        if (errno == EINTR)
            continue;
        if (errno == EWOULDBLOCK)
            return err_set(e, ERR_BUSY, "%s: in use by another process", what);
        return err_sys(e, errno, "lock %s", what);
    }
    return 0;
}

void io_unlock(int fd)
{
    int r;
    do
        r = flock(fd, LOCK_UN);
    while (r < 0 && errno == EINTR);
}

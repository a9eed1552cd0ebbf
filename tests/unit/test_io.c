/* SPDX-License-Identifier: MIT */
/* io: whole reads or an error, durable replacement, nested directories, locks between open files. */
#include "../../index/io.h"
#include "tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/cairn-io-XXXXXX";
static int dirfd_;

static void files(void)
{
    struct err e = {0};
    struct buf b = {0};
    char got[8];
    is_int(io_replace_file(dirfd_, "f", "hello", 5, 0600, &e), 0, "write a file");
    is_int(io_replace_file(dirfd_, "f", "world!", 6, 0600, &e), 0, "replace it");
    is_int(io_read_file(dirfd_, "f", 6, &b, &e), 0, "read at the limit");
    is_str((char *)b.p, "world!", "new bytes");
    is_int(io_read_file(dirfd_, "f", 5, &b, &e), -1, "over the limit");
    is_int(e.kind, ERR_LIMIT, "is ERR_LIMIT");
    is_str(e.text, "f: larger than the limit of 5 bytes", "message");
    is_int(b.len, 6, "buffer as before");
    is_int(io_read_file(dirfd_, "none", 5, &b, &e), -1, "no file");
    is_int(e.kind, ERR_NOT_FOUND, "is ERR_NOT_FOUND");
    ok(strstr(e.text, "open none: No such file"), "message: %s", e.text);
    buf_release(&b);

    int fd = openat(dirfd_, "f", O_RDWR);
    is_int(io_pread(fd, got, 3, 2, "f", &e), 0, "pread inside");
    ok(!memcmp(got, "rld", 3), "its bytes");
    is_int(io_pread(fd, got, 8, 2, "f", &e), -1, "pread over the end");
    is_int(e.kind, ERR_DAMAGED, "is ERR_DAMAGED");
    is_str(e.text, "f: file ends at 6, 8 bytes wanted at 2", "message");
    is_int(io_pread(fd, got, 8, UINT64_MAX - 2, "f", &e), -1, "absurd offset");
    is_int(e.kind, ERR_DAMAGED, "is ERR_DAMAGED too");
    is_int(io_pwrite(fd, "XY", 2, 5, "f", &e), 0, "pwrite over the end");
    is_int(io_pread(fd, got, 7, 0, "f", &e), 0, "grows the file");
    ok(!memcmp(got, "worldXY", 7), "with these bytes");
    close(fd);
    is_int(io_pread(fd, got, 1, 0, "f", &e), -1, "closed descriptor");
    is_int(e.errnum, EBADF, "gives its errno");
    int full = open("/dev/full", O_WRONLY);
    is_int(io_write(full, "x", 1, "pack", &e), -1, "full disk");
    is_int(e.errnum, ENOSPC, "is ENOSPC");
    is_str(e.text, "pack: write: No space left on device", "message");
    close(full);
    is_int(io_replace_file(dirfd_, "no/f", "x", 1, 0600, &e), -1, "no such folder");
    is_int(e.errnum, ENOENT, "ENOENT");
    int n = 0;
    DIR *d = opendir(dir);
    while (readdir(d))
        n++;
    closedir(d);
    is_int(n, 3, "no temporary file is left");
}

static void directories(void)
{
    struct err e = {0};
    struct stat st;
    char path[256];
    snprintf(path, sizeof path, "%s/a/b//c/", dir);
    is_int(io_mkdirs(path, 0700, &e), 0, "nested directories");
    is_int(io_mkdirs(path, 0700, &e), 0, "again");
    is_int(stat(path, &st), 0, "there");
    is_int(io_fsync_dir(dirfd_, "a/b", &e), 0, "fsync by path");
    is_int(io_fsync_dir(dirfd_, NULL, &e), 0, "fsync of the folder itself");
    snprintf(path, sizeof path, "%s/f/x", dir);
    is_int(io_mkdirs(path, 0700, &e), -1, "below a file");
    is_int(e.errnum, ENOTDIR, "is ENOTDIR");
    ok(strstr(e.text, "create directory"), "message: %s", e.text);
    snprintf(path, sizeof path, "%s/a/b/c", dir);
    rmdir(path);
    snprintf(path, sizeof path, "%s/a/b", dir);
    rmdir(path);
    snprintf(path, sizeof path, "%s/a", dir);
    rmdir(path);
}

static void locks(void)
{
    struct err e = {0};
    int a = openat(dirfd_, "f", O_RDONLY), b = openat(dirfd_, "f", O_RDONLY);
    is_int(io_lock(a, true, false, "lock", &e), 0, "exclusive");
    is_int(io_lock(b, false, false, "lock", &e), -1, "shared beside it");
    is_int(e.kind, ERR_BUSY, "is ERR_BUSY");
    is_str(e.text, "lock: in use by another process", "message");
    io_unlock(a);
    is_int(io_lock(b, false, true, "lock", &e), 0, "after unlock");
    is_int(io_lock(a, false, false, "lock", &e), 0, "two readers");
    close(a);
    close(b);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    dirfd_ = open(dir, O_RDONLY | O_DIRECTORY);
    files();
    directories();
    locks();
    unlinkat(dirfd_, "f", 0);
    close(dirfd_);
    rmdir(dir);
    return tap_done();
}

/* SPDX-License-Identifier: MIT */
/*
 * A lease is two files: <kind>-<pid>-<random>.lock, which its owner keeps flock'd, and the same .json, replaced by
 * rename. A lock that can be had is a dead owner's: both files go. The owner may lose the race between creating
 * and locking against somebody who cleans up; it looks whether its file is still there, and begins again if not.
 */
#include "lease.h"

#include "buf.h"
#include "crypto.h"
#include "io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MAX_LEN = 80, TEXT_MAX = 4 << 20 };

static const char *const kind_names[] = {"mount", "import", "run"};

struct lease {
    int dirfd, fd;
    char base[NAME_MAX_LEN];
};

static void file_name(const char *base, const char *suffix, char out[NAME_MAX_LEN + 16])
{
    snprintf(out, NAME_MAX_LEN + 16, "%s%s", base, suffix);
}

static int open_run(struct store *s, struct err *e)
{
    int fd = openat(store_dirfd(s), "run", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? err_sys(e, errno, "open %s/run", store_path(s)) : fd;
}

static int write_text(int dirfd, const char *base, const char *text, struct err *e)
{
    char name[NAME_MAX_LEN + 16], tmp[NAME_MAX_LEN + 16];
    file_name(base, ".json", name);
    file_name(base, ".tmp", tmp);
    int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(e, errno, "write %s", tmp);
    int rc = io_write(fd, text, strlen(text), tmp, e);
    close(fd);
    /* No fsync: after a power cut nobody holds it any more. */
    if (rc == 0 && renameat(dirfd, tmp, dirfd, name) < 0)
        rc = err_sys(e, errno, "rename %s", tmp);
    if (rc < 0)
        unlinkat(dirfd, tmp, 0);
    return rc;
}

/* 0: locked and still there; 1: somebody removed it meanwhile. */
static int make_lock(struct lease *l, struct err *e)
{
    char name[NAME_MAX_LEN + 16];
    struct stat sb;
    file_name(l->base, ".lock", name);
    l->fd = openat(l->dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (l->fd < 0)
        return err_sys(e, errno, "create %s", name);
    if (io_lock(l->fd, true, true, name, e) < 0)
        return -1;
    if (fstat(l->fd, &sb) < 0)
        return err_sys(e, errno, "stat %s", name);
    if (sb.st_nlink > 0)
        return 0;
    close(l->fd);
    l->fd = -1;
    return 1;
}

int lease_take(struct store *s, enum lease_kind kind, const char *json, struct lease **ret, struct err *e)
{
    uint8_t rnd[8];
    char hex[17];
    int rc = 1;
    struct lease *l = calloc(1, sizeof *l);
    if (!l)
        return err_nomem(e);
    l->dirfd = l->fd = -1;
    if (store_is_readonly(s)) { /* nothing can be removed from under us by this program */
        *ret = l;
        return 0;
    }
    l->dirfd = open_run(s, e);
    if (l->dirfd < 0)
        goto fail;
    if (random_bytes(rnd, sizeof rnd) < 0) {
        err_set(e, ERR_SYSTEM, "no random bytes from the system");
        goto fail;
    }
    hex_encode(rnd, sizeof rnd, hex);
    snprintf(l->base, sizeof l->base, "%s-%ld-%s", kind_names[kind], (long)getpid(), hex);
    /* The text first: whoever sees the lock finds it. */
    while (rc == 1) {
        if (write_text(l->dirfd, l->base, json, e) < 0)
            goto fail;
        rc = make_lock(l, e);
    }
    if (rc < 0)
        goto fail;
    *ret = l;
    return 0;
fail:
    err_wrap(e, "take a lease in %s/run", store_path(s));
    lease_drop(l);
    return -1;
}

int lease_update(struct lease *l, const char *json, struct err *e)
{
    return l->fd < 0 ? 0 : write_text(l->dirfd, l->base, json, e);
}

static void remove_files(int dirfd, const char *base)
{
    static const char *const suffixes[] = {".json", ".tmp", ".lock"};
    char name[NAME_MAX_LEN + 16];
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        file_name(base, suffixes[i], name);
        unlinkat(dirfd, name, 0);
    }
}

void lease_drop(struct lease *l)
{
    if (!l)
        return;
    if (l->dirfd >= 0 && l->base[0])
        remove_files(l->dirfd, l->base);
    if (l->fd >= 0)
        close(l->fd);
    if (l->dirfd >= 0)
        close(l->dirfd);
    free(l);
}

/* 1: its owner lives; 0: it was left over (and is removed now). */
static int is_alive(int dirfd, const char *base)
{
    char name[NAME_MAX_LEN + 16];
    struct stat sb;
    struct err e = {0};
    file_name(base, ".lock", name);
    int fd = openat(dirfd, name, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno != ENOENT;
    bool dead = io_lock(fd, true, false, name, &e) == 0;
    /* Removed already: then the name may belong to the owner's second try. */
    bool ours = dead && fstat(fd, &sb) == 0 && sb.st_nlink > 0;
    if (ours)
        remove_files(dirfd, base);
    close(fd);
    return dead && !ours ? is_alive(dirfd, base) : !dead;
}

static int visit(int dirfd, const char *base, int (*fn)(const char *json, void *ctx), void *ctx, struct err *e)
{
    char name[NAME_MAX_LEN + 16];
    struct buf text = {0};
    if (!is_alive(dirfd, base))
        return 0;
    file_name(base, ".json", name);
    int rc = io_read_file(dirfd, name, TEXT_MAX, &text, e);
    if (rc == 0)
        rc = fn(text.p ? (const char *)text.p : "", ctx);
    else if (e->kind == ERR_NOT_FOUND) { /* dropped meanwhile */
        err_clear(e);
        rc = 0;
    }
    buf_release(&text);
    return rc;
}

int lease_each(struct store *s, enum lease_kind kind, int (*fn)(const char *json, void *ctx), void *ctx, struct err *e)
{
    struct buf names = {0};
    struct dirent *de;
    int dirfd = open_run(s, e), rc = 0;
    if (dirfd < 0)
        return store_is_readonly(s) ? (err_clear(e), 0) : -1;
    int listfd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = listfd < 0 ? NULL : fdopendir(listfd);
    if (!d) {
        rc = err_sys(e, errno, "list %s/run", store_path(s));
        close(dirfd);
        return rc;
    }
    size_t want = strlen(kind_names[kind]);
    while (rc == 0 && (de = readdir(d))) {
        size_t n = strlen(de->d_name);
        if (n < want + 6 || n >= NAME_MAX_LEN || strncmp(de->d_name, kind_names[kind], want) != 0 ||
            de->d_name[want] != '-' || strcmp(de->d_name + n - 5, ".lock") != 0)
            continue;
        de->d_name[n - 5] = '\0';
        if (buf_append(&names, de->d_name, n - 4) < 0)
            rc = err_nomem(e);
    }
    closedir(d);
    for (size_t at = 0; rc == 0 && at < names.len; at += strlen((char *)names.p + at) + 1)
        rc = visit(dirfd, (char *)names.p + at, fn, ctx, e);
    buf_release(&names);
    close(dirfd);
    return rc;
}

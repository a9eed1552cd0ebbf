/* SPDX-License-Identifier: MIT */
#include "store.h"

#include "catalog.h"
#include "io.h"
#include "limits.h"
#include "pack.h"
#include "reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char format_line[] = "cairn store 1\n";

struct store {
    char *path;
    int dirfd, packsfd, lockfd, flags;
    struct catalog *catalog;
    pthread_mutex_t mu; /* reader */
    struct reader *reader;
    uint64_t cache_bytes;
};

/* Names that a folder may have before it becomes a store. */
static int check_empty(int dirfd, const char *path, struct err *e)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *de;
    if (!d) {
        rc = err_sys(e, errno, "list %s", path);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    while (rc == 0 && (de = readdir(d))) {
        static const char *const ours[] = {".", "..", "lock", "packs", "run", "tmp", "lost+found"};
        bool known = !strncmp(de->d_name, "format", 6);
        for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
            known |= !strcmp(de->d_name, ours[i]);
        if (!known)
            rc = err_set(e, ERR_USAGE, "%s is not empty and not a store (it has '%s'): name another folder", path,
                         de->d_name);
    }
    closedir(d);
    return rc;
}

/* With the lock held: the parts, the version line last. */
static int make_parts(struct store *s, struct err *e)
{
    static const char *const dirs[] = {"packs", "run", "tmp"};
    if (check_empty(s->dirfd, s->path, e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        if (mkdirat(s->dirfd, dirs[i], 0700) < 0 && errno != EEXIST)
            return err_sys(e, errno, "make %s/%s", s->path, dirs[i]);
    return io_replace_file(s->dirfd, "format", format_line, sizeof format_line - 1, 0600, e);
}

static int check_format(struct store *s, struct err *e)
{
    struct buf b = {0};
    int rc = io_read_file(s->dirfd, "format", 256, &b, e);
    if (rc < 0 && e->kind == ERR_NOT_FOUND)
        return err_set(e, ERR_NOT_FOUND, "%s is no store (it has no file 'format')", s->path);
    if (rc < 0)
        return err_wrap(e, "%s", s->path);
    if (b.len != sizeof format_line - 1 || memcmp(b.p, format_line, b.len) != 0) {
        int n = (int)strcspn(b.p ? (char *)b.p : "", "\n");
        rc = err_set(e, ERR_UNSUPPORTED,
                     "%s says '%.*s', and this program knows 'cairn store 1' only: use the program that made it",
                     s->path, n > 60 ? 60 : n, b.p ? (char *)b.p : "");
    }
    buf_release(&b);
    return rc;
}

static int open_lock(struct store *s, struct err *e)
{
    bool ro = s->flags & STORE_READONLY;
    s->lockfd =
        openat(s->dirfd, "lock", (ro ? O_RDONLY : O_RDWR) | O_CLOEXEC | (s->flags & STORE_CREATE ? O_CREAT : 0), 0600);
    if (s->lockfd < 0 && !ro) {
        if (errno == ENOENT)
            return err_set(e, ERR_NOT_FOUND, "%s is no store (it has no file 'lock')", s->path);
        return err_sys(e, errno, "open %s/lock", s->path);
    }
    return 0;
}

static int create(struct store *s, struct err *e)
{
    if (faccessat(s->dirfd, "format", F_OK, 0) == 0)
        return 0;
    if (io_lock(s->lockfd, true, true, s->path, e) < 0)
        return -1;
    int rc = faccessat(s->dirfd, "format", F_OK, 0) == 0 ? 0 : make_parts(s, e);
    io_unlock(s->lockfd);
    return rc;
}

static int any_pack(void *ctx, uint64_t id, uint64_t bytes, struct err *e)
{
    (void)id, (void)bytes, (void)e;
    *(bool *)ctx = true;
    return 0;
}

static int open_catalog(struct store *s, struct err *e)
{
    char path[4096];
    bool packs = false, ro = s->flags & STORE_READONLY;
    if ((size_t)snprintf(path, sizeof path, "%s/catalog.db", s->path) >= sizeof path)
        return err_set(e, ERR_LIMIT, "the store's path is too long");
    if (faccessat(s->dirfd, "catalog.db", F_OK, 0) < 0) {
        if (pack_each(s, any_pack, &packs, e) < 0)
            return -1;
        if (packs)
            return err_set(e, ERR_DAMAGED, "%s is missing; `cairn rebuild` makes it anew from the packs", path);
    }
    return catalog_open(s->dirfd, path, s->lockfd, ro, !ro, &s->catalog, e);
}

int store_open(const char *path, int flags, struct store **ret, struct err *e)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return err_nomem(e);
    s->dirfd = s->packsfd = s->lockfd = -1;
    s->flags = flags;
    s->cache_bytes = CACHE_DEFAULT;
    pthread_mutex_init(&s->mu, NULL);
    if ((flags & STORE_CREATE) && io_mkdirs(path, 0700, e) < 0)
        goto fail;
    /* Absolute, so that a later chdir changes nothing. */
    s->path = realpath(path, NULL);
    s->dirfd = s->path ? open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (s->dirfd < 0) {
        if (errno == ENOENT)
            err_set(e, ERR_NOT_FOUND, "no store at %s (the first import makes one)", path);
        else
            err_sys(e, errno, "open the store %s", path);
        goto fail;
    }
    if (open_lock(s, e) < 0 || ((flags & STORE_CREATE) && create(s, e) < 0) || check_format(s, e) < 0)
        goto fail;
    s->packsfd = openat(s->dirfd, "packs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->packsfd < 0) {
        err_sys(e, errno, "open %s/packs", s->path);
        goto fail;
    }
    if (!(flags & STORE_BARE) && open_catalog(s, e) < 0)
        goto fail;
    *ret = s;
    return 0;
fail:
    store_close(s);
    return -1;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    reader_free(s->reader);
    catalog_close(s->catalog);
    if (s->packsfd >= 0)
        close(s->packsfd);
    if (s->lockfd >= 0)
        close(s->lockfd);
    if (s->dirfd >= 0)
        close(s->dirfd);
    pthread_mutex_destroy(&s->mu);
    free(s->path);
    free(s);
}

const char *store_path(const struct store *s)
{
    return s->path;
}

int store_dirfd(const struct store *s)
{
    return s->dirfd;
}

int store_packsfd(const struct store *s)
{
    return s->packsfd;
}

int store_lockfd(const struct store *s)
{
    return s->lockfd;
}

bool store_is_readonly(const struct store *s)
{
    return s->flags & STORE_READONLY;
}

struct catalog *store_catalog(struct store *s)
{
    return s->catalog;
}

struct reader *store_reader(struct store *s)
{
    struct err e = {0};
    pthread_mutex_lock(&s->mu);
    if (!s->reader && reader_new(s, s->cache_bytes, &s->reader, &e) < 0)
        s->reader = NULL;
    struct reader *r = s->reader;
    pthread_mutex_unlock(&s->mu);
    return r;
}

void store_set_cache_size(struct store *s, uint64_t bytes)
{
    s->cache_bytes = bytes < CACHE_MIN ? CACHE_MIN : bytes;
}

int store_tmpfile(struct store *s, int *ret_fd, struct err *e)
{
    int fd = openat(s->dirfd, "tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        char name[4200];
        snprintf(name, sizeof name, "%s/tmp/spool-XXXXXX", s->path);
        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0)
            unlink(name);
    }
    if (fd < 0)
        return err_sys(e, errno, "make a temporary file in %s/tmp", s->path);
    *ret_fd = fd;
    return 0;
}

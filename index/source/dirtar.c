/* SPDX-License-Identifier: MIT */
/*
 * A directory as tar. Every name is opened relative to its directory and never through a symlink, so a tree that
 * changes meanwhile can spoil the archive but not lead out of the directory. Members come in order of their names, a
 * directory before what is in it; equal trees (numbers of inodes apart) give equal bytes.
 */
#include "feed.h"
#include "layer.h"
#include "tarwrite.h"
#include "../hashtab.h"
#include "../limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { PIECE = 256 << 10, XATTR_LIST = 64 << 10 /* the kernel's XATTR_LIST_MAX */ };

/* A directory that the walk is in. */
struct level {
    int fd;
    char **names;
    size_t n, next;
    size_t path_len; /* of the walker's path, without this level's current name */
};

/* A file of several names, seen before. */
struct first_name {
    dev_t dev;
    ino_t ino;
    size_t path; /* offset in walker.paths */
};

struct walker {
    struct feed *f;
    int root;
    char *root_name; /* as given, for errors */
    struct buf path; /* of the current member, relative; "" for the root */
    struct level *levels;
    size_t depth, cap;
    struct hashkey key;
    struct hashtab seen;
    struct buf firsts; /* struct first_name[] */
    struct buf paths;  /* NUL-terminated */
    struct buf out;
    struct buf xattr_text, xattrs; /* names and values; struct xattr[] */
    uint8_t *piece;
};

static const char *relative(const struct walker *w)
{
    return w->path.p ? (const char *)w->path.p : "";
}

static int fail_sys(const struct walker *w, const char *what, struct err *e)
{
    int err = errno;
    return err_sys(e, err, "%s '%s%s%s'", what, w->root_name, w->path.len ? "/" : "", relative(w));
}

static int changed(const struct walker *w, struct err *e)
{
    return err_set(e, ERR_INPUT, "'%s/%s': changed while reading", w->root_name, relative(w));
}

static int send_out(struct walker *w, struct err *e)
{
    int rc = feed_write(w->f, w->out.p, w->out.len, e);
    w->out.len = 0;
    return rc;
}

/* --- extended attributes --- */

/* listxattr and getxattr of an open file, or (fd < 0) of a name that can't be opened for reading, like a symlink. */
struct xattr_of {
    int fd;
    char path[64 + LIMIT_NAME];
};

static ssize_t list_xattrs(const struct xattr_of *o, char *p, size_t n)
{
    return o->fd >= 0 ? flistxattr(o->fd, p, n) : llistxattr(o->path, p, n);
}

static ssize_t get_xattr(const struct xattr_of *o, const char *name, void *p, size_t n)
{
    return o->fd >= 0 ? fgetxattr(o->fd, name, p, n) : lgetxattr(o->path, name, p, n);
}

static int cmp_xattr(const void *a, const void *b)
{
    return strcmp(((const struct xattr *)a)->name, ((const struct xattr *)b)->name);
}

/* Names, then values, go to xattr_text; pointers are set when it no longer moves. */
static int collect_xattrs(struct walker *w, const struct xattr_of *o, struct err *e)
{
    w->xattrs.len = w->xattr_text.len = 0;
    if (buf_reserve(&w->xattr_text, XATTR_LIST) < 0)
        return err_nomem(e);
    ssize_t names = list_xattrs(o, (char *)w->xattr_text.p, XATTR_LIST);
    if (names < 0)
        return errno == ENOTSUP || errno == ENOENT ? 0 : fail_sys(w, "list extended attributes of", e);
    w->xattr_text.len = (size_t)names;
    w->xattr_text.p[names] = 0;
    for (size_t at = 0; at < (size_t)names;) {
        size_t len = strlen((char *)w->xattr_text.p + at);
        if (buf_reserve(&w->xattr_text, LIMIT_XATTR_VALUE) < 0)
            return err_nomem(e);
        ssize_t n = get_xattr(o, (char *)w->xattr_text.p + at, w->xattr_text.p + w->xattr_text.len, LIMIT_XATTR_VALUE);
        if (n < 0)
            return fail_sys(w, "read an extended attribute of", e);
        struct xattr x = {NULL, len, NULL, (size_t)n};
        if (buf_append(&w->xattrs, &x, sizeof x) < 0)
            return err_nomem(e);
        w->xattr_text.len += (size_t)n;
        at += len + 1;
    }
    struct xattr *x = (struct xattr *)(void *)w->xattrs.p;
    size_t count = w->xattrs.len / sizeof *x, value = (size_t)names;
    const char *name = (const char *)w->xattr_text.p;
    for (size_t i = 0; i < count; i++) {
        x[i].name = name;
        x[i].value = w->xattr_text.p + value;
        name += x[i].name_len + 1;
        value += x[i].value_len;
    }
    if (count)
        qsort(x, count, sizeof *x, cmp_xattr);
    return 0;
}

/* --- members --- */

static bool same_file(const void *ctx, uint32_t val)
{
    const void *const *c = ctx;
    const struct first_name *f = c[0];
    const struct stat *st = c[1];
    return f[val].dev == st->st_dev && f[val].ino == st->st_ino;
}

/* *ret_first: the name under which this file went out before; NULL: remembered now. */
static int find_first(struct walker *w, const struct stat *st, const char **ret_first, struct err *e)
{
    uint64_t id[2] = {st->st_dev, st->st_ino};
    uint32_t h = (uint32_t)hashkey_of(&w->key, 0, id, sizeof id);
    const void *ctx[2] = {w->firsts.p, st};
    uint32_t i = hashtab_find(&w->seen, h, same_file, ctx);
    *ret_first = NULL;
    if (i != HASHTAB_NONE) {
        const struct first_name *f = (const struct first_name *)(const void *)w->firsts.p;
        *ret_first = (const char *)w->paths.p + f[i].path;
        return 0;
    }
    struct first_name f = {st->st_dev, st->st_ino, w->paths.len};
    i = (uint32_t)(w->firsts.len / sizeof f);
    if (buf_append(&w->paths, relative(w), w->path.len + 1) < 0 || buf_append(&w->firsts, &f, sizeof f) < 0 ||
        hashtab_put(&w->seen, h, i) < 0)
        return err_nomem(e);
    return 0;
}

/* The header; link NULL: what st says. */
static int write_header(struct walker *w, const struct stat *st, char type, const char *link, struct err *e)
{
    struct tarwrite_member m = {.type = type,
                                .name = w->path.len ? relative(w) : ".",
                                .link = link,
                                .mode = st->st_mode & 07777,
                                .uid = st->st_uid,
                                .gid = st->st_gid,
                                .size = type == '0' ? (uint64_t)st->st_size : 0,
                                .mtime = st->st_mtim.tv_sec,
                                .mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
                                .devmajor = major(st->st_rdev),
                                .devminor = minor(st->st_rdev)};
    if (type != '1') {
        m.xattrs = (const struct xattr *)(const void *)w->xattrs.p;
        m.xattr_count = w->xattrs.len / sizeof *m.xattrs;
    }
    return tarwrite_header(&m, &w->out, e) < 0 ? -1 : send_out(w, e);
}

static int copy_file(struct walker *w, int fd, const struct stat *st, struct err *e)
{
    uint64_t left = (uint64_t)st->st_size;
    for (;;) {
        /* One byte more than there should be shows that the file has grown. */
        ssize_t n = read(fd, w->piece, left < PIECE ? (size_t)left + 1 : PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_sys(w, "read", e);
        if ((uint64_t)n > left || (!n && left))
            return changed(w, e);
        if (!n)
            break;
        if (feed_write(w->f, w->piece, (size_t)n, e) < 0)
            return -1;
        left -= (uint64_t)n;
    }
    return tarwrite_pad((uint64_t)st->st_size, &w->out, e) < 0 ? -1 : send_out(w, e);
}

static int add_file(struct walker *w, int dir, const char *name, struct err *e)
{
    struct stat st;
    struct xattr_of o = {.fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)};
    const char *first = NULL;
    if (o.fd < 0)
        return fail_sys(w, "open", e);
    int rc = fstat(o.fd, &st) < 0 ? fail_sys(w, "stat", e) : 0;
    if (rc == 0 && !S_ISREG(st.st_mode))
        rc = changed(w, e);
    if (rc == 0 && st.st_nlink > 1)
        rc = find_first(w, &st, &first, e);
    if (rc == 0 && first)
        rc = write_header(w, &st, '1', first, e);
    else if (rc == 0)
        rc = collect_xattrs(w, &o, e) < 0 || write_header(w, &st, '0', NULL, e) < 0 ? -1 : copy_file(w, o.fd, &st, e);
    close(o.fd);
    return rc;
}

/* What has no content: symlinks, devices, fifos. */
static int add_special(struct walker *w, int dir, const char *name, const struct stat *st, char type, struct err *e)
{
    char target[LIMIT_PATH + 1];
    const char *link = NULL;
    struct xattr_of o = {.fd = -1};
    if (st->st_nlink > 1) {
        if (find_first(w, st, &link, e) < 0)
            return -1;
        if (link)
            return write_header(w, st, '1', link, e);
    }
    if (type == '2') {
        ssize_t n = readlinkat(dir, name, target, sizeof target - 1);
        if (n < 0)
            return fail_sys(w, "read link", e);
        target[n] = '\0';
        link = target;
    }
    snprintf(o.path, sizeof o.path, "/proc/self/fd/%d/%s", dir, name);
    if (collect_xattrs(w, &o, e) < 0)
        return -1;
    return write_header(w, st, type, link, e);
}

/* --- the walk --- */

static int cmp_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(struct walker *w, struct level *l, struct err *e)
{
    int fd = openat(l->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    size_t cap = 0;
    int rc = 0;
    if (!d) {
        rc = fail_sys(w, "open", e);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    for (;;) {
        errno = 0;
        struct dirent *de = readdir(d);
        if (!de) {
            rc = errno ? fail_sys(w, "read directory", e) : 0;
            break;
        }
        if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
            continue;
        if (l->n == cap) {
            char **names = reallocarray(l->names, cap ? cap * 2 : 32, sizeof *names);
            if (!names) {
                rc = err_nomem(e);
                break;
            }
            l->names = names;
            cap = cap ? cap * 2 : 32;
        }
        if (!(l->names[l->n] = strdup(de->d_name))) {
            rc = err_nomem(e);
            break;
        }
        l->n++;
    }
    closedir(d);
    if (l->n)
        qsort(l->names, l->n, sizeof *l->names, cmp_name);
    return rc;
}

static void leave(struct walker *w)
{
    struct level *l = &w->levels[--w->depth];
    for (size_t i = 0; i < l->n; i++)
        free(l->names[i]);
    free(l->names);
    close(l->fd);
}

/* Writes the directory's own member and puts it on the stack; takes fd over. */
static int enter(struct walker *w, int fd, struct err *e)
{
    struct stat st;
    struct xattr_of o = {.fd = fd};
    if (w->depth == w->cap) {
        struct level *l = reallocarray(w->levels, w->cap ? w->cap * 2 : 16, sizeof *l);
        if (!l) {
            close(fd);
            return err_nomem(e);
        }
        w->levels = l;
        w->cap = w->cap ? w->cap * 2 : 16;
    }
    w->levels[w->depth++] = (struct level){.fd = fd, .path_len = w->path.len};
    if (w->depth > LIMIT_DEPTH + 1)
        return err_set(e, ERR_LIMIT, "'%s/%s': over %d directories deep", w->root_name, relative(w), LIMIT_DEPTH);
    if (fstat(fd, &st) < 0)
        return fail_sys(w, "stat", e);
    if (collect_xattrs(w, &o, e) < 0 || write_header(w, &st, '5', NULL, e) < 0)
        return -1;
    return read_names(w, &w->levels[w->depth - 1], e);
}

static int add_member(struct walker *w, int dir, const char *name, struct err *e)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? changed(w, e) : fail_sys(w, "stat", e);
    switch (st.st_mode & S_IFMT) {
    case S_IFREG:
        return add_file(w, dir, name, e);
    case S_IFDIR: {
        int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? fail_sys(w, "open", e) : enter(w, fd, e);
    }
    case S_IFLNK:
        return add_special(w, dir, name, &st, '2', e);
    case S_IFCHR:
        return add_special(w, dir, name, &st, '3', e);
    case S_IFBLK:
        return add_special(w, dir, name, &st, '4', e);
    case S_IFIFO:
        return add_special(w, dir, name, &st, '6', e);
    default:
        return 0; /* sockets mean nothing without their owner: tar leaves them out too */
    }
}

static int walk(struct feed *f, void *ctx, struct err *e)
{
    struct walker *w = ctx;
    w->f = f;
    int fd = w->root;
    w->root = -1;
    int rc = buf_append(&w->path, "", 0) < 0 ? err_nomem(e) : 0;
    if (rc < 0)
        close(fd);
    else
        rc = enter(w, fd, e);
    while (rc == 0 && w->depth) {
        struct level *l = &w->levels[w->depth - 1];
        w->path.len = l->path_len;
        w->path.p[w->path.len] = 0;
        if (l->next == l->n) {
            leave(w);
            continue;
        }
        const char *name = l->names[l->next++];
        if ((w->path.len && buf_append(&w->path, "/", 1) < 0) || buf_append(&w->path, name, strlen(name)) < 0)
            rc = err_nomem(e);
        else
            rc = add_member(w, l->fd, name, e);
    }
    if (rc == 0)
        rc = tarwrite_end(&w->out, e) < 0 ? -1 : send_out(w, e);
    return rc;
}

static void free_walker(void *ctx)
{
    struct walker *w = ctx;
    while (w->depth)
        leave(w);
    if (w->root >= 0)
        close(w->root);
    free(w->levels);
    free(w->root_name);
    free(w->piece);
    hashtab_release(&w->seen);
    buf_release(&w->path);
    buf_release(&w->firsts);
    buf_release(&w->paths);
    buf_release(&w->out);
    buf_release(&w->xattr_text);
    buf_release(&w->xattrs);
    free(w);
}

int dirtar_open(const char *path, struct stream **ret, struct err *e)
{
    struct walker *w = calloc(1, sizeof *w);
    if (!w)
        return err_nomem(e);
    w->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (w->root < 0) {
        err_sys(e, errno, "open directory '%s'", path);
        free_walker(w);
        return -1;
    }
    w->root_name = strdup(path);
    w->piece = malloc(PIECE);
    if (!w->root_name || !w->piece || hashkey_init(&w->key) < 0) {
        free_walker(w);
        return err_nomem(e);
    }
    return feed_open(walk, w, free_walker, ret, e);
}

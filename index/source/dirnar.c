/* SPDX-License-Identifier: MIT */
/*
 * A thread walks the tree and writes the NAR into a pipe that the stream reads. What it can't read, or what changes
 * under it, becomes the stream's error: the thread leaves it in the struct, closes its end, and whoever reads to the
 * end joins it and finds it. A reader that stops early closes the other end: the thread's next write fails and it ends.
 */
#include "package.h"

#include "../io.h"
#include "../limits.h"
#include "nar.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN (256u << 10)

struct dirnar {
    struct stream s;
    char *path;
    struct buf at; /* path of what is being read, for messages */
    int in, out;   /* ends of the pipe */
    pthread_t thread;
    bool joined, failed;
    struct err err; /* the thread's, once joined */
    struct nar_writer w;
    uint8_t run[RUN]; /* the thread's, for files */
    uint8_t got[RUN]; /* the stream's */
};

/* An open directory with its names in order. */
struct listing {
    int fd;
    char **names;
    size_t n, next;
    size_t at_len;  /* length of the path up to here */
    struct stat st; /* when it was opened */
};

static const char *at(const struct dirnar *d)
{
    return (const char *)d->at.p;
}

static int write_pipe(void *ctx, const void *p, size_t n, struct err *e)
{
    const struct dirnar *d = ctx;
    return io_write(d->out, p, n, "pipe", e);
}

static int changed(const struct dirnar *d, struct err *e)
{
    return err_set(e, ERR_INPUT, "%s: changed while it was read", at(d));
}

static bool same_state(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int copy_file(struct dirnar *d, int fd, const struct stat *st, struct err *e)
{
    struct stat now;
    uint64_t left = (uint64_t)st->st_size;
    if (nar_writer_file_begin(&d->w, st->st_mode & S_IXUSR, left, e) < 0)
        return -1;
    for (;;) {
        ssize_t n = read(fd, d->run, RUN);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(e, errno, "read %s", at(d));
        if (!n)
            break;
        if ((uint64_t)n > left)
            return changed(d, e);
        left -= (uint64_t)n;
        if (nar_writer_data(&d->w, d->run, (size_t)n, e) < 0)
            return -1;
    }
    if (fstat(fd, &now) < 0)
        return err_sys(e, errno, "stat %s", at(d));
    if (left || !same_state(st, &now))
        return changed(d, e);
    return nar_writer_file_end(&d->w, e);
}

static int put_file(struct dirnar *d, int dirfd, const char *name, const struct stat *was, struct err *e)
{
    struct stat st;
    int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), rc;
    if (fd < 0)
        return err_sys(e, errno, "open %s", at(d));
    if (fstat(fd, &st) < 0)
        rc = err_sys(e, errno, "stat %s", at(d));
    else if (!S_ISREG(st.st_mode) || !same_state(&st, was))
        rc = changed(d, e);
    else
        rc = copy_file(d, fd, &st, e);
    close(fd);
    return rc;
}

static int put_symlink(struct dirnar *d, int dirfd, const char *name, struct err *e)
{
    char target[LIMIT_NAR_TARGET + 1];
    ssize_t n = readlinkat(dirfd, name, target, sizeof target);
    if (n < 0)
        return err_sys(e, errno, "read the symlink %s", at(d));
    if (!n || (size_t)n > LIMIT_NAR_TARGET)
        return err_set(e, ERR_LIMIT, "%s: a symlink's target must have 1 to %d bytes", at(d), LIMIT_NAR_TARGET);
    return nar_writer_symlink(&d->w, target, (size_t)n, e);
}

static void listing_close(struct listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->names[i]);
    free(l->names);
    if (l->fd >= 0)
        close(l->fd);
    *l = (struct listing){.fd = -1};
}

static int by_bytes(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static int read_names(const struct dirnar *d, DIR *dir, struct listing *l, struct err *e)
{
    size_t cap = 0;
    const struct dirent *de;
    while (errno = 0, (de = readdir(dir)) != NULL) {
        if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
            continue;
        if (l->n == LIMIT_ENTRIES)
            return err_set(e, ERR_LIMIT, "%s: has more than %u entries", at(d), LIMIT_ENTRIES);
        if (l->n == cap) {
            cap = cap ? 2 * cap : 16;
            char **v = reallocarray(l->names, cap, sizeof *v);
            if (!v)
                return err_nomem(e);
            l->names = v;
        }
        l->names[l->n] = strdup(de->d_name);
        if (!l->names[l->n])
            return err_nomem(e);
        l->n++;
    }
    return errno ? err_sys(e, errno, "read the directory %s", at(d)) : 0;
}

static int listing_open(struct dirnar *d, int dirfd, const char *name, struct listing *l, struct err *e)
{
    *l = (struct listing){.fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                          .at_len = d->at.len};
    if (l->fd < 0)
        return err_sys(e, errno, "open %s", at(d));
    int copy = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    int rc;
    if (fstat(l->fd, &l->st) < 0 || !dir) {
        rc = err_sys(e, errno, "open %s", at(d));
        if (dir)
            closedir(dir);
        else if (copy >= 0)
            close(copy);
    } else {
        rc = read_names(d, dir, l, e);
        closedir(dir);
    }
    if (rc < 0) {
        listing_close(l);
        return -1;
    }
    if (l->n)
        qsort(l->names, l->n, sizeof *l->names, by_bytes);
    if (nar_writer_dir_begin(&d->w, e) == 0)
        return 0;
    listing_close(l);
    return -1;
}

/* One node; a directory is opened into stack[*depth]. */
static int put_node(struct dirnar *d, int dirfd, const char *name, struct listing *stack, unsigned *depth,
                    struct err *e)
{
    struct stat st;
    if (*depth == LIMIT_NAR_DEPTH)
        return err_set(e, ERR_LIMIT, "%s: nested more than %d deep, which no NAR can be", at(d), LIMIT_NAR_DEPTH);
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(e, errno, "stat %s", at(d));
    switch (st.st_mode & S_IFMT) {
    case S_IFREG:
        return put_file(d, dirfd, name, &st, e);
    case S_IFLNK:
        return put_symlink(d, dirfd, name, e);
    case S_IFDIR:
        if (listing_open(d, dirfd, name, &stack[*depth], e) < 0)
            return -1;
        ++*depth;
        return 0;
    default:
        return err_set(e, ERR_INPUT, "%s: is neither a file, a directory nor a symlink: no package can hold it", at(d));
    }
}

static int put_next(struct dirnar *d, struct listing *stack, unsigned *depth, struct err *e)
{
    struct listing *l = &stack[*depth - 1];
    unsigned before = *depth;
    d->at.len = l->at_len;
    d->at.p[d->at.len] = '\0';
    if (l->next == l->n) {
        struct stat now;
        if (fstat(l->fd, &now) < 0)
            return err_sys(e, errno, "stat %s", at(d));
        if (!same_state(&l->st, &now))
            return changed(d, e);
        listing_close(l);
        --*depth;
        if (nar_writer_dir_end(&d->w, e) < 0)
            return -1;
        return *depth ? nar_writer_entry_end(&d->w, e) : 0;
    }
    const char *name = l->names[l->next++];
    if (buf_printf(&d->at, "/%s", name) < 0)
        return err_nomem(e);
    if (nar_writer_entry_begin(&d->w, name, strlen(name), e) < 0 || put_node(d, l->fd, name, stack, depth, e) < 0)
        return -1;
    return *depth > before ? 0 : nar_writer_entry_end(&d->w, e);
}

static int put_all(struct dirnar *d, struct err *e)
{
    struct listing stack[LIMIT_NAR_DEPTH];
    unsigned depth = 0;
    if (buf_printf(&d->at, "%s", d->path) < 0)
        return err_nomem(e);
    int rc = nar_writer_begin(&d->w, write_pipe, d, e);
    if (!rc)
        rc = put_node(d, AT_FDCWD, d->path, stack, &depth, e);
    while (!rc && depth)
        rc = put_next(d, stack, &depth, e);
    if (!rc)
        rc = nar_writer_end(&d->w, e);
    while (depth)
        listing_close(&stack[--depth]);
    return rc;
}

static void *run_thread(void *ctx)
{
    struct dirnar *d = ctx;
    d->failed = put_all(d, &d->err) < 0;
    close(d->out);
    return NULL;
}

static void join(struct dirnar *d)
{
    if (!d->joined)
        pthread_join(d->thread, NULL);
    d->joined = true;
}

static int dirnar_pull(struct stream *s, const uint8_t **p, size_t *n, struct err *e)
{
    struct dirnar *d = (struct dirnar *)s;
    ssize_t k;
    do
        k = read(d->in, d->got, sizeof d->got);
    while (k < 0 && errno == EINTR);
    if (k < 0)
        return err_sys(e, errno, "read the pipe of %s", d->path);
    if (!k) {
        join(d);
        if (d->failed) {
            *e = d->err;
            return -1;
        }
    }
    *p = d->got;
    *n = (size_t)k;
    return 0;
}

static void dirnar_close(struct stream *s)
{
    struct dirnar *d = (struct dirnar *)s;
    close(d->in);
    join(d);
    buf_release(&d->at);
    free(d->path);
    free(d);
}

/* With all signals blocked: they are for the program's own threads, and a closed pipe is to be EPIPE, no signal. */
static int start_thread(struct dirnar *d, struct err *e)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&d->thread, NULL, run_thread, d);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc ? err_sys(e, rc, "start a thread") : 0;
}

int dirnar_open(const char *path, struct stream **ret, struct err *e)
{
    struct stat st;
    int fd[2];
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "%s: no such file or directory", path)
                               : err_sys(e, errno, "%s", path);
    struct dirnar *d = calloc(1, sizeof *d);
    if (!d)
        return err_nomem(e);
    d->s.pull = dirnar_pull;
    d->s.close = dirnar_close;
    d->path = strdup(path);
    if (!d->path) {
        free(d);
        return err_nomem(e);
    }
    if (pipe2(fd, O_CLOEXEC) < 0) {
        int err = errno;
        free(d->path);
        free(d);
        return err_sys(e, err, "make a pipe");
    }
    d->in = fd[0];
    d->out = fd[1];
    (void)fcntl(d->out, F_SETPIPE_SZ, 1 << 20); /* fewer switches; smaller works too */
    if (start_thread(d, e) < 0) {
        close(fd[0]);
        close(fd[1]);
        free(d->path);
        free(d);
        return -1;
    }
    *ret = &d->s;
    return 0;
}

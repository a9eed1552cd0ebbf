/* SPDX-License-Identifier: MIT */
/* A short array under a mutex, searched linearly: a store has some dozens of packs in use, and one search a decoded
 * block. */
#include "packfds.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct packfd {
    uint64_t pack, used; /* used: the clock at its last use */
    int fd;
    unsigned refs;
};

struct packfds {
    pthread_mutex_t lock;
    int packsfd;
    char *store_path;
    struct packfd *v;
    unsigned count, cap, max;
    uint64_t clock, swept; /* uses so far; the clock at the last sweep */
};

int packfds_new(int packsfd, const char *store_path, unsigned max, struct packfds **ret, struct err *e)
{
    struct packfds *f = calloc(1, sizeof *f);
    if (!f || !(f->store_path = strdup(store_path))) {
        free(f);
        return err_nomem(e);
    }
    pthread_mutex_init(&f->lock, NULL);
    f->packsfd = packsfd;
    f->max = max;
    *ret = f;
    return 0;
}

void packfds_free(struct packfds *f)
{
    if (!f)
        return;
    for (unsigned i = 0; i < f->count; i++)
        close(f->v[i].fd);
    pthread_mutex_destroy(&f->lock);
    free(f->v);
    free(f->store_path);
    free(f);
}

static void drop(struct packfds *f, unsigned i)
{
    close(f->v[i].fd);
    f->v[i] = f->v[--f->count];
}

/* Closes the file that was used longest ago, of those that nobody uses now. */
static bool drop_oldest(struct packfds *f)
{
    unsigned oldest = f->count;
    for (unsigned i = 0; i < f->count; i++)
        if (!f->v[i].refs && (oldest == f->count || f->v[i].used < f->v[oldest].used))
            oldest = i;
    if (oldest == f->count)
        return false;
    drop(f, oldest);
    return true;
}

static int open_pack(struct packfds *f, uint64_t pack, struct err *e)
{
    char name[32];
    snprintf(name, sizeof name, "%016" PRIx64 ".pack", pack);
    for (;;) {
        int fd = openat(f->packsfd, name, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            /* Blocks are read whole; the kernel's read-ahead would bring in neighbours that nobody asked for. */
            posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
            return fd;
        }
        if (errno == EINTR || ((errno == EMFILE || errno == ENFILE) && drop_oldest(f)))
            continue;
        if (errno == ENOENT)
            return err_set(e, ERR_NOT_FOUND, "%s/packs/%s is missing", f->store_path, name);
        return err_sys(e, errno, "open %s/packs/%s", f->store_path, name);
    }
}

static struct packfd *find(struct packfds *f, uint64_t pack)
{
    for (unsigned i = 0; i < f->count; i++)
        if (f->v[i].pack == pack)
            return &f->v[i];
    return NULL;
}

static struct packfd *add(struct packfds *f, uint64_t pack, struct err *e)
{
    while (f->count >= f->max && drop_oldest(f))
        ;
    if (f->count == f->cap) {
        unsigned cap = f->cap ? f->cap * 2 : 16;
        struct packfd *v = realloc(f->v, cap * sizeof *v);
        if (!v) {
            err_nomem(e);
            return NULL;
        }
        f->v = v;
        f->cap = cap;
    }
    int fd = open_pack(f, pack, e);
    if (fd < 0)
        return NULL;
    f->v[f->count] = (struct packfd){.pack = pack, .fd = fd};
    return &f->v[f->count++];
}

int packfds_get(struct packfds *f, uint64_t pack, int *ret_fd, struct err *e)
{
    pthread_mutex_lock(&f->lock);
    struct packfd *p = find(f, pack);
    if (!p)
        p = add(f, pack, e);
    if (p) {
        p->refs++;
        p->used = ++f->clock;
        *ret_fd = p->fd;
    }
    pthread_mutex_unlock(&f->lock);
    return p ? 0 : -1;
}

void packfds_put(struct packfds *f, uint64_t pack)
{
    pthread_mutex_lock(&f->lock);
    find(f, pack)->refs--;
    pthread_mutex_unlock(&f->lock);
}

unsigned packfds_sweep(struct packfds *f)
{
    pthread_mutex_lock(&f->lock);
    for (unsigned i = 0; i < f->count;) {
        if (!f->v[i].refs && f->v[i].used <= f->swept)
            drop(f, i);
        else
            i++;
    }
    f->swept = f->clock;
    unsigned left = f->count;
    pthread_mutex_unlock(&f->lock);
    return left;
}

/* SPDX-License-Identifier: MIT */
/* umount: what other processes do about mounts: end one, find one, wait for all. See mount.h. */
#include "mount.h"

#include "../index/catalog.h"
#include "../index/json.h"
#include "../index/lease.h"

#include "attach.h"
#include "mountinfo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { LIMIT_LEASE = 4 << 20 };

/* Real path of a mountpoint whose server may be dead, so that nothing below it is touched. */
static int real_mountpoint(const char *path, char **ret, struct err *e)
{
    char *copy, *dir = NULL;
    *ret = realpath(path, NULL);
    if (*ret)
        return 0;
    if (errno != ENOTCONN && errno != EACCES && errno != EIO)
        return err_sys(e, errno, "%s", path);
    copy = strdup(path);
    if (!copy)
        return err_nomem(e);
    size_t n = strlen(copy);
    while (n > 1 && copy[n - 1] == '/')
        copy[--n] = '\0';
    char *slash = strrchr(copy, '/');
    const char *last = slash ? slash + 1 : copy;
    if (slash == copy)
        dir = strdup("");
    else if (slash) {
        *slash = '\0';
        dir = realpath(copy, NULL);
    } else {
        dir = realpath(".", NULL);
    }
    int r = 0;
    if (!dir)
        r = err_sys(e, errno, "%s", path);
    else if (asprintf(ret, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, last) < 0) {
        *ret = NULL;
        r = err_nomem(e);
    }
    free(dir);
    free(copy);
    return r;
}

int mount_umount(const char *path, bool lazy, struct err *e)
{
    struct mount_entry m;
    bool found = false;
    char *at = NULL;
    if (real_mountpoint(path, &at, e) < 0)
        return err_wrap(e, "unmount");
    int r = mountinfo_at(at, &m, &found, e);
    if (r == 0 && !found)
        r = err_set(e, ERR_USAGE, "%s isn't a mountpoint", path);
    else if (r == 0 && strcmp(m.type, FS_TYPE) != 0)
        r = err_set(e, ERR_USAGE, "%s is a mount of type %s, not one of cairn's", path, m.type);
    if (r == 0)
        r = attach_umount(at, lazy, e);
    free(at);
    return r;
}

struct finding {
    char *path;
    struct err *e;
};

static int try_mount(const char *text, void *ctx)
{
    struct finding *f = ctx;
    struct json *j = NULL;
    struct err ignored = {0};
    struct mount_entry m;
    struct stat st;
    bool found = false;
    if (json_parse(text, strlen(text), LIMIT_LEASE, "lease", &j, &ignored) < 0)
        return 0;
    const char *path = json_str(json_get(j, "mountpoint"));
    int r = 0;
    /* It may be mounted in another namespace, not yet, or not for this user. */
    if (path && mountinfo_at(path, &m, &found, &ignored) == 0 && found && strcmp(m.type, FS_TYPE) == 0 &&
        stat(path, &st) == 0) {
        f->path = strdup(path);
        r = f->path ? 1 : err_nomem(f->e);
    }
    json_unref(j);
    return r;
}

int mount_find(struct store *s, char **ret, struct err *e)
{
    struct finding f = {.e = e};
    int r = lease_each(s, LEASE_MOUNT, try_mount, &f, e);
    if (r < 0)
        return err_wrap(e, "look for a mount of the store");
    if (!f.path)
        return err_set(e, ERR_NOT_FOUND, "the store %s isn't mounted anywhere here", store_path(s));
    *ret = f.path;
    return 0;
}

struct waiting {
    uint64_t seq;
    bool behind;
    int64_t pid;
};

static int check_seq(const char *text, void *ctx)
{
    struct waiting *w = ctx;
    struct json *j = NULL;
    struct err ignored = {0};
    int64_t seq = 0;
    if (json_parse(text, strlen(text), LIMIT_LEASE, "lease", &j, &ignored) < 0)
        return 0;
    if (json_int(json_get(j, "seq"), &seq) && (uint64_t)seq < w->seq) {
        w->behind = true;
        json_int(json_get(j, "pid"), &w->pid);
    }
    json_unref(j);
    return w->behind;
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int mount_wait(struct store *s, unsigned timeout_ms, struct err *e)
{
    struct waiting w = {0};
    struct timespec pause = {.tv_nsec = 1000000};
    uint64_t until = now_ms() + timeout_ms;
    if (catalog_seq(store_catalog(s), &w.seq, e) < 0)
        return -1;
    for (;;) {
        w.behind = false;
        if (lease_each(s, LEASE_MOUNT, check_seq, &w, e) < 0)
            return err_wrap(e, "wait for mounts of the store");
        if (!w.behind)
            return 0;
        if (now_ms() >= until)
            return err_set(e, ERR_BUSY, "the mount served by process %" PRId64 " hasn't taken the change in yet",
                           w.pid);
        nanosleep(&pause, NULL);
    }
}

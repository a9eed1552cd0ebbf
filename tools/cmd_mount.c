/* SPDX-License-Identifier: MIT */
/* cairn mount, cairn umount, and the helper that mount(8) calls */
#include "../fs/mount.h"
#include "../index/limits.h"
#include "command.h"
#include "object.h"
#include "out.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

struct server {
    const char *mountpoint;
    bool foreground, allow_other, suid, dev;
    unsigned long long cache_size;
    int ready_fd; /* -1: in the foreground */
};

static void on_ready(void *ctx)
{
    const struct server *v = ctx;
    if (v->ready_fd < 0)
        return;
    ssize_t n = write(v->ready_fd, "", 1);
    (void)n; /* the reader is gone: nobody waits */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2 && null >= 0; fd++)
        dup2(null, fd);
    close(v->ready_fd);
}

static void on_log(void *ctx, const char *line)
{
    const struct server *v = ctx;
    if (v->foreground)
        fprintf(stderr, "cairn mount: %s\n", line);
    else
        syslog(LOG_WARNING, "%s: %s", v->mountpoint, line);
}

static int serve(const struct invocation *in, struct server *v, struct err *e)
{
    struct store *s;
    if (tool_store(in, STORE_CREATE, &s, e) < 0) {
        /* A store on a medium that can't be written is shown all the same. */
        if (e->errnum != EROFS && e->errnum != EACCES)
            return -1;
        err_clear(e);
        if (tool_store(in, STORE_READONLY, &s, e) < 0)
            return -1;
    }
    struct mount_opts o = {.mountpoint = v->mountpoint,
                           .cache_size = v->cache_size,
                           .allow_other = v->allow_other,
                           .suid = v->suid,
                           .dev = v->dev,
                           .ready = on_ready,
                           .log = on_log,
                           .ctx = v};
    openlog("cairn", LOG_PID, LOG_DAEMON);
    int rc = mount_serve(s, &o, e);
    store_close(s);
    return rc;
}

/* The child's failure, as bytes behind a non-zero first one. */
static int child(const struct invocation *in, struct server *v)
{
    struct err e = {0};
    setsid();
    if (serve(in, v, &e) == 0)
        return 0;
    ssize_t n = write(v->ready_fd, "!", 1);
    n = n == 1 ? write(v->ready_fd, &e, sizeof e) : n;
    return n > 0 ? 1 : 2;
}

/* Returns when the mount answers, or with the child's error. */
static int daemonise(const struct invocation *in, struct server *v, struct err *e)
{
    int fds[2];
    char c;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_sys(e, errno, "pipe");
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        return err_sys(e, errno, "fork");
    if (pid == 0) {
        close(fds[0]);
        v->ready_fd = fds[1];
        _exit(child(in, v));
    }
    close(fds[1]);
    ssize_t n = read(fds[0], &c, 1);
    int rc = 0;
    if (n == 1 && c == '!') {
        if (read(fds[0], e, sizeof *e) != (ssize_t)sizeof *e)
            err_set(e, ERR_SYSTEM, "the server failed");
        rc = -1;
    } else if (n != 1) {
        rc = err_set(e, ERR_SYSTEM, "the server ended before the mount answered");
    }
    close(fds[0]);
    if (rc < 0)
        waitpid(pid, NULL, 0);
    return rc;
}

/* One of the comma-separated options of -o. Generic ones that mean nothing to a read-only mount are passed over. */
static int mount_option(struct server *v, const char *o, struct err *e)
{
    static const char *const ignored[] = {
        "ro",     "auto",     "noauto",  "_netdev", "defaults",   "nosuid", "nodev",
        "exec",   "noexec",   "user",    "nouser",  "users",      "owner",  "group",
        "nofail", "relatime", "noatime", "atime",   "nodiratime", "async",  "default_permissions",
        ""};
    if (!strcmp(o, "allow_other"))
        v->allow_other = true;
    else if (!strcmp(o, "suid"))
        v->suid = true;
    else if (!strcmp(o, "dev"))
        v->dev = true;
    else if (!strncmp(o, "cache-size=", 11))
        return opt_size(o + 11, "cache-size", &v->cache_size, e);
    else if (!strcmp(o, "rw"))
        return err_set(e, ERR_USAGE, "option 'rw': a store is shown read-only");
    else {
        for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
            if (!strcmp(o, ignored[i]))
                return 0;
        if (strncmp(o, "x-", 2) != 0 && strncmp(o, "user=", 5) != 0 && strncmp(o, "fsname=", 7) != 0 &&
            strncmp(o, "subtype=", 8) != 0)
            return err_set(e, ERR_USAGE, "unknown mount option '%s'", o);
    }
    return 0;
}

static int mount_options(struct server *v, const char *list, struct err *e)
{
    char *copy = strdup(list), *rest = copy, *o;
    int rc = copy ? 0 : err_nomem(e);
    while (rc == 0 && (o = strsep(&rest, ",")))
        rc = mount_option(v, o, e);
    free(copy);
    return rc;
}

static int start(const struct invocation *in, struct server *v, struct err *e)
{
    v->ready_fd = -1;
    for (size_t i = 0; opt_at(in, "options", i); i++)
        if (mount_options(v, opt_at(in, "options", i), e) < 0)
            return -1;
    if (v->cache_size && v->cache_size < CACHE_MIN)
        return err_set(e, ERR_USAGE, "a cache of less than %uM is of no use", CACHE_MIN >> 20);
    /* A mount whose server died is taken away, rather than covered. */
    struct err ignored = {0};
    struct statvfs fs; /* what access() asks of a dead mount is answered from the kernel's cache */
    if (statvfs(v->mountpoint, &fs) < 0 && (errno == ENOTCONN || errno == ECONNABORTED))
        mount_umount(v->mountpoint, true, &ignored);
    int rc = v->foreground ? serve(in, v, e) : daemonise(in, v, e);
    return rc < 0 ? -1 : EXIT_DONE;
}

static int run_mount(struct invocation *in, struct err *e)
{
    struct server v = {
        .mountpoint = in->args[0], .foreground = opt_has(in, "foreground"), .allow_other = opt_has(in, "allow-other")};
    if (opt_get(in, "cache-size") && opt_size(opt_get(in, "cache-size"), "cache size", &v.cache_size, e) < 0)
        return -1;
    return start(in, &v, e);
}

static const struct option_def mount_opts[] = {
    {'f', "foreground", NULL, "stay in the foreground, log to standard error"},
    {'o', "options", "OPT[,OPT…]", "mount options as mount(8) has them: allow_other, suid, dev, cache-size=…"},
    {0, "cache-size", "SIZE", "bound of the cache of decoded blocks (default 64M)"},
    {0, "allow-other", NULL, "let other users see the mount (always so for root)"},
    {0, NULL, NULL, NULL},
};

const struct command cmd_mount = {
    .name = "mount",
    .args = "MNT",
    .summary = "show the store as a read-only file system",
    .text = "Returns once the mount answers; the server goes on in the background until the mount is gone. Imports and "
            "removals show at once.\n\n"
            "Below MNT: store/HASH-NAME (packages), layers/sha256/DIFFID (layers, whiteouts in overlayfs form), "
            "images/REPO@TAG/ with rootfs/, config.json, "
            "manifest.json, layers/. In a folder's name the '/' of a repository is '+', a port's ':' is '^'.",
    .examples = "cairn mount /mnt/cairn\nls /mnt/cairn/images/deb@nginx/rootfs\nmount -t fuse.cairn /var/lib/cairn "
                "/mnt/cairn # the same through mount(8)",
    .options = mount_opts,
    .min_args = 1,
    .max_args = 1,
    .run = run_mount,
};

static int run_umount(struct invocation *in, struct err *e)
{
    for (int i = 0; i < in->arg_count; i++)
        if (mount_umount(in->args[i], opt_has(in, "lazy"), e) < 0)
            return -1;
    return EXIT_DONE;
}

static const struct option_def umount_options[] = {
    {'l', "lazy", NULL, "detach now, and clean up when nobody uses it any more"},
    {0, NULL, NULL, NULL},
};

const struct command cmd_umount = {
    .name = "umount",
    .args = "MNT…",
    .summary = "unmount what mount mounted",
    .text = "Works on the mount of a server that has died, too.",
    .examples = "cairn umount /mnt/cairn",
    .options = umount_options,
    .min_args = 1,
    .max_args = -1,
    .run = run_umount,
};

/* STORE MNT [-sfnv] [-o …]: what mount(8) and mount.fuse3 give. */
static int run_helper(struct invocation *in, struct err *e)
{
    struct server v = {.mountpoint = in->args[1]};
    /* "mount -t fuse cairn#STORE MNT" */
    const char *hash = strchr(in->args[0], '#');
    if (strcmp(in->args[0], "cairn") != 0 && strcmp(in->args[0], "none") != 0)
        in->store = hash ? hash + 1 : in->args[0];
    return start(in, &v, e);
}

static const struct option_def helper_options[] = {
    {'o', "options", "OPT[,OPT…]", "mount options"},
    {'s', "sloppy", NULL, "accepted"},
    {'n', "no-mtab", NULL, "accepted"},
    {'t', "type", "TYPE", "accepted"},
    {'f', "fake", NULL, "accepted"},
    {0, NULL, NULL, NULL},
};

const struct command cmd_mount_helper = {
    .name = "mount-helper",
    .args = "STORE MNT",
    .summary = "mount for mount(8), installed as mount.fuse.cairn",
    .options = helper_options,
    .min_args = 2,
    .max_args = 2,
    .hidden = true,
    .run = run_helper,
};

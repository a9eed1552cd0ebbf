/* SPDX-License-Identifier: MIT */
/* attach: see attach.h. */
#include "attach.h"

#include "../index/buf.h"

#include "fs.h"
#include "mountinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char helper[] = "fusermount3";

/* --- mount(2) --- */

static int mount_directly(const char *at, const char *fsname, const struct mount_opts *o, int *ret_fd, struct err *e)
{
    char data[256];
    unsigned long flags = MS_RDONLY | MS_NOATIME | (o->suid ? 0 : MS_NOSUID) | (o->dev ? 0 : MS_NODEV);
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, errno, "open /dev/fuse");
    snprintf(data, sizeof data, "fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions,max_read=%u%s", fd,
             (unsigned)geteuid(), (unsigned)getegid(), FS_MAX_READ, o->no_allow_other ? "" : ",allow_other");
    if (mount(fsname, at, FS_TYPE, flags, data) < 0) {
        int code = errno;
        close(fd);
        return err_sys(e, code, "mount at %s", at);
    }
    *ret_fd = fd;
    return 0;
}

/* --- fusermount3 --- */

/* Reads what the helper says until it closes its end; the first line is kept. */
static void read_text(int fd, char *text, size_t cap)
{
    size_t n = 0;
    char buf[256];
    ssize_t got;
    while ((got = read(fd, buf, sizeof buf)) > 0 || (got < 0 && errno == EINTR)) {
        for (ssize_t i = 0; i < got && n + 1 < cap; i++)
            text[n++] = buf[i];
    }
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
}

/* The environment with _FUSE_COMMFD; only the outer array is allocated, number must outlive it. */
static char **environment(char *commfd)
{
    size_t n = 0, k = 0;
    while (environ[n])
        n++;
    char **v = calloc(n + 2, sizeof *v);
    if (!v)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "_FUSE_COMMFD=", 13) != 0)
            v[k++] = environ[i];
    v[k] = commfd;
    return v;
}

/* Starts it with stderr in the pipe and, when comm >= 0, that socket. */
static int spawn(char *const argv[], int comm, int errfd, pid_t *ret, struct err *e)
{
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t at;
    sigset_t none;
    char var[64];
    snprintf(var, sizeof var, "_FUSE_COMMFD=%d", comm);
    char **env = environment(comm >= 0 ? var : NULL);
    if (!env)
        return err_nomem(e);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&fa);
    posix_spawnattr_init(&at);
    posix_spawnattr_setsigmask(&at, &none);
    posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSIGMASK);
    int r = posix_spawn_file_actions_adddup2(&fa, errfd, STDERR_FILENO);
    if (r == 0 && comm >= 0)
        r = posix_spawn_file_actions_adddup2(&fa, comm, comm); /* so that it isn't closed at exec */
    if (r == 0)
        r = posix_spawnp(ret, helper, &fa, &at, argv, env);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&at);
    free(env);
    if (r == ENOENT)
        return err_set(e, ERR_UNSUPPORTED,
                       "fusermount3 isn't installed (package fuse3), and without it only root can mount");
    return r == 0 ? 0 : err_sys(e, r, "run fusermount3");
}

/* Runs it to its end. -1 with what it said. */
static int run_helper(char *const argv[], int comm, struct err *e)
{
    int p[2], status = 0;
    char text[512] = "";
    pid_t pid = 0;
    if (pipe2(p, O_CLOEXEC) < 0)
        return err_sys(e, errno, "pipe");
    int r = spawn(argv, comm, p[1], &pid, e);
    close(p[1]);
    if (r == 0) {
        read_text(p[0], text, sizeof text);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            r = err_set(e, ERR_SYSTEM, "%s", text[0] ? text : "fusermount3 failed and doesn't say why");
    }
    close(p[0]);
    return r;
}

static int receive_fd(int sock, int *ret, struct err *e)
{
    char byte;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } ctl;
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.space, .msg_controllen = sizeof ctl.space};
    ssize_t n;
    while ((n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
        return err_set(e, ERR_SYSTEM, "fusermount3 handed no descriptor over");
    memcpy(ret, CMSG_DATA(c), sizeof *ret);
    return 0;
}

/* Appends a mount option's value, in fusermount3's escapes. */
static int add_escaped(struct buf *b, const char *s)
{
    for (; *s; s++)
        if (((*s == ',' || *s == '\\') && buf_append(b, "\\", 1) < 0) || buf_append(b, s, 1) < 0)
            return -1;
    return 0;
}

static int mount_by_helper(const char *at, const char *fsname, const struct mount_opts *o, int *ret_fd, struct err *e)
{
    int sock[2];
    struct buf opts = {0};
    char *path = strdup(at);
    char argv0[sizeof helper], dash_o[] = "-o", dashes[] = "--";
    memcpy(argv0, helper, sizeof helper);
    int r = !path ||
                    buf_printf(&opts, "ro,nosuid,nodev,noatime,default_permissions,max_read=%u,subtype=cairn%s,fsname=",
                               FS_MAX_READ, o->allow_other ? ",allow_other" : "") < 0 ||
                    add_escaped(&opts, fsname) < 0
                ? err_nomem(e)
                : 0;
    if (r == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) < 0)
        r = err_sys(e, errno, "socketpair");
    else if (r == 0) {
        char *argv[] = {argv0, dash_o, (char *)opts.p, dashes, path, NULL};
        r = run_helper(argv, sock[1], e);
        close(sock[1]);
        if (r == 0)
            r = receive_fd(sock[0], ret_fd, e);
        close(sock[0]);
    }
    buf_release(&opts);
    free(path);
    return r;
}

int attach_mount(const char *at, const char *fsname, const struct mount_opts *o, int *ret_fd, struct err *e)
{
    struct err first = {0};
    if (mount_directly(at, fsname, o, ret_fd, &first) == 0)
        return 0;
    if (geteuid() == 0 || (first.errnum != EPERM && first.errnum != EACCES)) {
        *e = first;
        return -1;
    }
    return mount_by_helper(at, fsname, o, ret_fd, e);
}

int attach_umount(const char *at, bool lazy, struct err *e)
{
    char argv0[sizeof helper], dash_u[] = "-u", dash_z[] = "-z", dashes[] = "--";
    if (umount2(at, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
        return 0;
    if (errno == EBUSY)
        return err_set(e, ERR_BUSY, "%s is in use (`fuser -vm %s` shows by whom); try again, or use --lazy", at, at);
    if (errno != EPERM || geteuid() == 0)
        return err_sys(e, errno, "unmount %s", at);
    char *path = strdup(at);
    if (!path)
        return err_nomem(e);
    memcpy(argv0, helper, sizeof helper);
    char *argv[] = {argv0, dash_u, lazy ? dash_z : dashes, lazy ? dashes : path, lazy ? path : NULL, NULL};
    int r = run_helper(argv, -1, e);
    free(path);
    if (r < 0 && strstr(e->text, "busy")) {
        e->kind = ERR_BUSY;
        return err_wrap(e, "in use (`fuser -vm %s` shows by whom); try again, or use --lazy", at);
    }
    return r;
}

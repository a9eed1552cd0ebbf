/* SPDX-License-Identifier: MIT */
/*
 * mount: sets one mount up, serves it, takes it down. Threads: the caller's runs libfuse's loop and its workers;
 * `watch` follows the store; `control` waits for signals, and says when the mount answers.
 *
 * Order at the end: the watcher stops while requests are still served (it may wait for one of them), then the loop,
 * then the descriptor is closed (which ends whatever still waits for an answer), then the mount goes, then the lease.
 */
#include "mount.h"

#include "attach.h"
#include "fs.h"
#include "mountinfo.h"
#include "push.h"
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Opened trees kept beyond those in use: some dozens of Debian-sized layers. */
enum { TREE_BYTES = 128 << 20 };
/* Wakes the loop; nobody else sends it to that thread. */
enum { WAKE = SIGUSR1 };

struct server {
    struct fs fs;
    const struct mount_opts *o;
    char *at; /* real path of the mountpoint */
    struct lease *lease;
    struct watch *watch;
    pthread_t loop, control;
    int sigfd, done; /* done: eventfd, the loop has ended */
    _Atomic bool ended, answers;
    sigset_t old_mask;
    struct sigaction old_hup, old_pipe, old_wake;
};

static void wake_handler(int sig)
{
    (void)sig; /* sem_wait in libfuse's loop returns EINTR: all that is wanted */
}

static void signals_set(struct server *s, sigset_t *stop)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, wake = {.sa_handler = wake_handler};
    sigset_t wake_set;
    sigemptyset(stop);
    sigaddset(stop, SIGTERM);
    sigaddset(stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, stop, &s->old_mask);
    sigaction(SIGHUP, &ignore, &s->old_hup);
    sigaction(SIGPIPE, &ignore, &s->old_pipe);
    sigaction(WAKE, &wake, &s->old_wake);
    sigemptyset(&wake_set);
    sigaddset(&wake_set, WAKE);
    pthread_sigmask(SIG_UNBLOCK, &wake_set, NULL);
}

static void signals_restore(struct server *s)
{
    sigaction(SIGHUP, &s->old_hup, NULL);
    sigaction(SIGPIPE, &s->old_pipe, NULL);
    sigaction(WAKE, &s->old_wake, NULL);
    pthread_sigmask(SIG_SETMASK, &s->old_mask, NULL);
}

/* --- the control thread --- */

static void end_loop(struct server *s)
{
    struct timespec pause = {.tv_nsec = 5000000};
    watch_stop(s->watch);
    s->watch = NULL;
    push_stop(s->fs.push);
    fuse_session_exit(s->fs.se);
    while (!atomic_load(&s->ended)) { /* again and again: it may be just about to wait */
        pthread_kill(s->loop, WAKE);
        nanosleep(&pause, NULL);
    }
}

static void *control(void *arg)
{
    struct server *s = arg;
    struct stat st;
    struct pollfd p[2] = {{.fd = s->sigfd, .events = POLLIN}, {.fd = s->done, .events = POLLIN}};
    if (stat(s->at, &st) == 0) {
        atomic_store(&s->answers, true);
        if (s->o->ready)
            s->o->ready(s->o->ctx);
    }
    while (poll(p, 2, -1) < 0 && errno == EINTR)
        ;
    if (p[1].revents == 0 && p[0].revents != 0)
        end_loop(s);
    return NULL;
}

/* --- set-up --- */

/* The kernel's default of 128 KiB is for slow disks; an ordinary user can't change it, and does without. */
static void set_read_ahead(struct server *s)
{
    char path[64];
    snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", major(s->fs.dev), minor(s->fs.dev));
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, "1024", 4) != 4)
        logonce(&s->fs.log, "%s can't be set: reading large files will be slower", path);
    close(fd);
}

static int resolve(struct server *s, struct err *e)
{
    struct stat st;
    s->at = realpath(s->o->mountpoint, NULL);
    if (!s->at || stat(s->at, &st) < 0) {
        if (errno == ENOTCONN)
            return err_sys(e, errno, "%s is a mount whose server died; run `cairn umount %s` first", s->o->mountpoint,
                           s->o->mountpoint);
        return err_sys(e, errno, "mount at %s", s->o->mountpoint);
    }
    if (!S_ISDIR(st.st_mode))
        return err_set(e, ERR_USAGE, "mount at %s: not a directory", s->at);
    return 0;
}

static int take_lease(struct server *s, struct err *e)
{
    struct buf text = {0};
    if (watch_lease_text(&s->fs, s->at, &text, e) < 0)
        return -1;
    int r = lease_take(s->fs.view.s, LEASE_MOUNT, (const char *)text.p, &s->lease, e);
    buf_release(&text);
    if (r < 0 && e->kind == ERR_SYSTEM && e->errnum == EROFS) {
        /* Nobody can remove anything from a read-only medium. */
        err_clear(e);
        return 0;
    }
    return r;
}

static int start_session(struct server *s, const char *fsname, struct err *e)
{
    char name[] = "cairn", dash_o[] = "-o", max_read[32], path[32];
    char *argv[] = {name, dash_o, max_read, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(3, argv);
    int fd = -1;
    struct mount_entry m;
    bool found = false;
    if (attach_mount(s->at, fsname, s->o, &fd, e) < 0)
        return -1;
    if (mountinfo_at(s->at, &m, &found, e) == 0 && found)
        s->fs.dev = m.dev;
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    snprintf(max_read, sizeof max_read, "max_read=%u", FS_MAX_READ); /* once more: libfuse compares it with op_init's */
    s->fs.se = fuse_session_new(&args, &fs_ops, sizeof fs_ops, &s->fs);
    fuse_opt_free_args(&args);
    if (s->fs.se && fuse_session_mount(s->fs.se, path) == 0) /* takes fd over */
        return 0;
    if (s->fs.se) {
        fuse_session_destroy(s->fs.se);
        s->fs.se = NULL;
    }
    close(fd);
    struct err ignored = {0};
    attach_umount(s->at, true, &ignored);
    return err_set(e, ERR_SYSTEM, "libfuse refuses the session");
}

/* Has the kernel dropped the connection, since somebody unmounted it? */
static bool is_gone(const struct server *s)
{
    struct pollfd p = {.fd = fuse_session_fd(s->fs.se)};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLERR) != 0;
}

/*
 * Takes the mount down, unless that has been done: then there may be another one in its place by now, even with the
 * same device number. The descriptor is closed first, so that no part of unmounting can wait for an answer.
 */
static void end_session(struct server *s)
{
    struct mount_entry m;
    struct err e = {0};
    bool found = false;
    if (!s->fs.se)
        return;
    bool gone = is_gone(s);
    fuse_session_destroy(s->fs.se);
    s->fs.se = NULL;
    if (gone)
        return;
    if (mountinfo_at(s->at, &m, &found, &e) < 0 || (found && m.dev == s->fs.dev && attach_umount(s->at, true, &e) < 0))
        logonce(&s->fs.log, "%s", e.text);
}

/* --- serving --- */

static unsigned thread_count(const struct mount_opts *o)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (o->threads)
        return o->threads;
    /* More than cores: some wait for the disk, or for the block that another is decoding. */
    return cores < 2 ? 8 : cores > 16 ? 64 : (unsigned)cores * 4;
}

static int loop(struct server *s, struct err *e)
{
    struct fuse_loop_config *cfg = fuse_loop_cfg_create();
    unsigned n = thread_count(s->o);
    if (!cfg)
        return err_nomem(e);
    fuse_loop_cfg_set_clone_fd(cfg, 0);
    fuse_loop_cfg_set_max_threads(cfg, n);
    fuse_loop_cfg_set_idle_threads(cfg, n);
    int r = fuse_session_loop_mt(s->fs.se, cfg);
    fuse_loop_cfg_destroy(cfg);
    atomic_store(&s->ended, true);
    /* Whatever ended it: once the mount answered, its end is no failure. */
    if (r != 0 && !atomic_load(&s->answers))
        return err_sys(e, r < 0 ? -r : EIO, "serve the mount");
    return 0;
}

/* The loop failed with the kernel still waiting for answers: let go of the connection, which ends every wait. */
static void cut_off(struct server *s)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return;
    dup2(null, fuse_session_fd(s->fs.se));
    close(null);
}

static int run(struct server *s, struct err *e)
{
    uint64_t one = 1;
    s->loop = pthread_self();
    if (watch_start(&s->fs, s->lease, s->at, &s->watch, e) < 0)
        return -1;
    if (push_start(&s->fs, &s->fs.push, e) < 0)
        return -1;
    int r = pthread_create(&s->control, NULL, control, s);
    if (r != 0)
        return err_sys(e, r, "start a thread");
    r = loop(s, e);
    while (write(s->done, &one, sizeof one) < 0 && errno == EINTR)
        ;
    if (r < 0)
        cut_off(s);
    pthread_join(s->control, NULL);
    return r;
}

static void server_release(struct server *s)
{
    watch_stop(s->watch);
    push_stop(s->fs.push);
    push_free(s->fs.push);
    end_session(s);
    lease_drop(s->lease);
    view_release(&s->fs.view);
    if (s->done >= 0)
        close(s->done);
    if (s->sigfd >= 0) {
        struct signalfd_siginfo got;
        /* Those that came are dealt with: pending, they would kill the process once they are unblocked again. */
        while (read(s->sigfd, &got, sizeof got) == (ssize_t)sizeof got)
            ;
        close(s->sigfd);
    }
    pthread_key_delete(s->fs.buffer);
    logonce_release(&s->fs.log);
    free(s->at);
}

static int serve(struct server *s, const sigset_t *stop, struct err *e)
{
    const char *fsname = s->o->fsname ? s->o->fsname : store_path(s->fs.view.s);
    s->done = eventfd(0, EFD_CLOEXEC);
    s->sigfd = signalfd(-1, stop, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->done < 0 || s->sigfd < 0)
        return err_sys(e, errno, "set up signals");
    if (resolve(s, e) < 0 || take_lease(s, e) < 0)
        return -1;
    if (chdir("/") < 0)
        return err_sys(e, errno, "change to /");
    if (start_session(s, fsname, e) < 0)
        return -1;
    set_read_ahead(s);
    return run(s, e);
}

int mount_serve(struct store *store, const struct mount_opts *o, struct err *e)
{
    struct server s = {.o = o, .done = -1, .sigfd = -1};
    sigset_t stop;
    if (o->cache_size)
        store_set_cache_size(store, o->cache_size);
    int r = pthread_key_create(&s.fs.buffer, free);
    if (r != 0)
        return err_sys(e, r, "make a thread key");
    logonce_init(&s.fs.log, o->log, o->ctx);
    /* Before the reader starts its threads: they must not be the ones to get SIGTERM. */
    signals_set(&s, &stop);
    r = view_init(&s.fs.view, store, TREE_BYTES, e);
    if (r == 0)
        r = serve(&s, &stop, e);
    server_release(&s);
    signals_restore(&s);
    return r;
}

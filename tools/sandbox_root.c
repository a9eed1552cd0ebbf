/* SPDX-License-Identifier: MIT */
#include "sandbox_root.h"

#include "user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Docker's default set. */
static const cap_value_t kept_caps[] = {
    CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FSETID,  CAP_FOWNER,     CAP_MKNOD, CAP_NET_RAW,     CAP_SETGID,
    CAP_SETUID, CAP_SETFCAP,      CAP_SETPCAP, CAP_SYS_CHROOT, CAP_KILL,  CAP_AUDIT_WRITE, CAP_NET_BIND_SERVICE,
};

struct root {
    const struct sandbox *s;
    int fd;         /* the container's root */
    unsigned files; /* generated so far */
    char path[96];  /* host path of the root */
};

static int open_in(const struct root *r, const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned)flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, r->fd, path, &how, sizeof how);
}

enum { MAX_LINKS = 40 };

/* Opens dst inside the root (O_PATH), making missing directories; the last part becomes a directory or an empty file.
 * Links that lead to nothing are followed, inside the root, and what they name is made; `links` counts them. */
static int target_from(const struct root *r, const char *dst, bool directory, int links, struct err *e)
{
    char part[4096], link[4096], next[4096];
    size_t len = strlen(dst);
    if (dst[0] != '/' || len >= sizeof part)
        return err_set(e, ERR_USAGE, "'%s' is no absolute path", dst);
    int fd = open_in(r, dst, O_PATH);
    if (fd >= 0 || errno != ENOENT)
        return fd >= 0 ? fd : err_sys(e, errno, "%s in the root", dst);
    for (size_t i = 1; i <= len; i++) {
        if (i < len && dst[i] != '/')
            continue;
        memcpy(part, dst, i);
        part[i] = '\0';
        fd = open_in(r, part, O_PATH);
        if (fd >= 0) {
            close(fd);
            continue;
        }
        char *slash = strrchr(part, '/');
        *slash = '\0';
        int parent = open_in(r, part[0] ? part : "/", O_PATH | O_DIRECTORY);
        if (parent < 0) {
            *slash = '/';
            return err_sys(e, errno, "%s in the root", part);
        }
        ssize_t n = readlinkat(parent, slash + 1, link, sizeof link - 1);
        if (n > 0) {
            close(parent);
            link[n] = '\0';
            n = snprintf(next, sizeof next, "%s/%s%s", link[0] == '/' ? "" : part, link, dst + i);
            if (links >= MAX_LINKS || n >= (ssize_t)sizeof next)
                return err_sys(e, ELOOP, "%s in the root", dst);
            return target_from(r, next, directory, links + 1, e);
        }
        *slash = '/';
        int rc;
        if (i == len && !directory) {
            int file = openat(parent, slash + 1, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
            rc = file < 0 ? -1 : close(file);
        } else {
            rc = mkdirat(parent, slash + 1, 0755);
        }
        int saved = errno;
        close(parent);
        if (rc < 0 && saved != EEXIST)
            return err_sys(e, saved, "make %s in the root", part);
    }
    fd = open_in(r, dst, O_PATH);
    return fd >= 0 ? fd : err_sys(e, errno, "%s in the root", dst);
}

static int target(const struct root *r, const char *dst, bool directory, struct err *e)
{
    return target_from(r, dst, directory, 0, e);
}

static unsigned long mount_attrs(int flags)
{
    return (flags & STEP_RO ? MOUNT_ATTR_RDONLY : 0UL) | (flags & STEP_NOSUID ? MOUNT_ATTR_NOSUID : 0UL) |
           (flags & STEP_NODEV ? MOUNT_ATTR_NODEV : 0UL) | (flags & STEP_NOEXEC ? MOUNT_ATTR_NOEXEC : 0UL);
}

/* Puts the detached mount on dst. */
static int attach(const struct root *r, int mnt, const char *dst, bool directory, struct err *e)
{
    int at = target(r, dst, directory, e);
    if (at < 0)
        return -1;
    int rc = move_mount(mnt, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    int saved = errno;
    close(at);
    return rc == 0 ? 0 : err_sys(e, saved, "mount on %s", dst);
}

static int new_mount(const char *type, char *data, int flags, struct err *e)
{
    int fs = fsopen(type, FSOPEN_CLOEXEC);
    if (fs < 0)
        return err_sys(e, errno, "file system %s", type);
    int rc = 0;
    fsconfig(fs, FSCONFIG_SET_STRING, "source", "cairn", 0);
    for (char *save = NULL, *opt = strtok_r(data, ",", &save); opt && rc == 0; opt = strtok_r(NULL, ",", &save)) {
        char *value = strchr(opt, '=');
        if (value)
            *value++ = '\0';
        rc = fsconfig(fs, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, opt, value, 0);
        if (rc < 0)
            err_sys(e, errno, "option %s of %s", opt, type);
    }
    if (rc == 0 && (rc = fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) < 0)
        err_sys(e, errno, "make %s", type);
    int mnt = rc < 0 ? -1 : fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)mount_attrs(flags));
    if (rc == 0 && mnt < 0)
        err_sys(e, errno, "mount %s", type);
    close(fs);
    return mnt;
}

static int do_mount(const struct root *r, const struct step *st, struct err *e)
{
    char data[512];
    snprintf(data, sizeof data, "%s", st->data ? st->data : "");
    int mnt = new_mount(st->src, data, st->flags, e);
    if (mnt < 0)
        return -1;
    int rc = attach(r, mnt, st->dst, true, e);
    close(mnt);
    return rc;
}

static int do_bind(const struct root *r, int from, const char *dst, int flags, struct err *e)
{
    struct stat sb;
    struct mount_attr attr = {.attr_set = mount_attrs(flags), .propagation = MS_PRIVATE};
    int mnt = open_tree(from, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    if (mnt < 0)
        return err_sys(e, errno, "clone the mount");
    int rc = fstat(from, &sb) < 0 ? err_sys(e, errno, "stat") : 0;
    if (rc == 0 && mount_setattr(mnt, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) < 0)
        rc = err_sys(e, errno, "set mount attributes");
    if (rc == 0)
        rc = attach(r, mnt, dst, S_ISDIR(sb.st_mode), e);
    close(mnt);
    return rc;
}

static int do_bind_path(const struct root *r, const struct step *st, struct err *e)
{
    int from = open(st->src, O_PATH | O_CLOEXEC);
    if (from < 0)
        return err_sys(e, errno, "open %s", st->src);
    int rc = do_bind(r, from, st->dst, st->flags, e);
    close(from);
    return rc;
}

static int do_symlink(const struct root *r, const struct step *st, struct err *e)
{
    char dir[4096];
    const char *slash = strrchr(st->dst, '/');
    snprintf(dir, sizeof dir, "%.*s", (int)(slash == st->dst ? 1 : slash - st->dst), st->dst);
    int fd = target(r, dir, true, e);
    if (fd < 0)
        return -1;
    int rc = symlinkat(st->src, fd, slash + 1), saved = errno;
    close(fd);
    return rc == 0 || saved == EEXIST ? 0 : err_sys(e, saved, "link");
}

static int do_file(struct root *r, const struct step *st, struct err *e)
{
    char name[160];
    int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    snprintf(name, sizeof name, "%s/file-%u", r->s->scratch, r->files++);
    int fd = open(name, flags, 0644);
    if (fd < 0)
        return err_sys(e, errno, "%s", name);
    ssize_t n = write(fd, st->data, strlen(st->data));
    int saved = errno;
    close(fd);
    if (n != (ssize_t)strlen(st->data))
        return err_sys(e, saved, "%s", name);
    struct step bind = {.src = name, .dst = st->dst};
    return do_bind_path(r, &bind, e);
}

static int do_mask(const struct root *r, const struct step *st, struct err *e)
{
    struct stat sb;
    int fd = open_in(r, st->dst, O_PATH), rc;
    if (fd < 0)
        return 0;
    rc = fstat(fd, &sb);
    close(fd);
    if (rc < 0)
        return err_sys(e, errno, "stat %s", st->dst);
    if (S_ISDIR(sb.st_mode)) {
        struct step t = {.src = (char *)(uintptr_t) "tmpfs",
                         .dst = st->dst,
                         .flags = STEP_RO | STEP_NOSUID | STEP_NODEV | STEP_NOEXEC};
        return do_mount(r, &t, e);
    }
    struct step t = {.src = (char *)(uintptr_t) "/dev/null", .dst = st->dst, .flags = STEP_RO};
    return do_bind_path(r, &t, e);
}

static int do_readonly(const struct root *r, const struct step *st, struct err *e)
{
    int fd = open_in(r, st->dst, O_PATH);
    if (fd < 0)
        return 0;
    int rc = do_bind(r, fd, st->dst, STEP_RO, e);
    close(fd);
    return rc;
}

static int do_loopback(struct err *e)
{
    struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = fd < 0 ? -1 : ioctl(fd, SIOCSIFFLAGS, &ifr), saved = errno;
    if (fd >= 0)
        close(fd);
    return rc < 0 ? err_sys(e, saved, "lo") : 0;
}

/* A path that overlayfs' options can't hold is bound to one that they can. */
static int plain_lower(const struct root *r, const char *src, char *out, size_t n, struct err *e)
{
    snprintf(out, n, "%s", src);
    if (!strpbrk(src, ":,\\") && strlen(src) < 2048)
        return 0;
    snprintf(out, n, "%s/lower", r->s->scratch);
    if (mkdir(out, 0755) < 0 || mount(src, out, NULL, MS_BIND | MS_REC, NULL) < 0)
        return err_sys(e, errno, "bind %s on %s", src, out);
    return 0;
}

/* The root mount; opens r->fd. */
static int do_root(struct root *r, const struct step *st, struct err *e)
{
    char up[128], work[128], data[4096 + 512];
    snprintf(r->path, sizeof r->path, "%s/root", r->s->scratch);
    snprintf(up, sizeof up, "%s/upper", r->s->scratch);
    snprintf(work, sizeof work, "%s/work", r->s->scratch);
    if (mkdir(r->path, 0755) < 0 || mkdir(up, 0755) < 0 || mkdir(work, 0755) < 0)
        return err_sys(e, errno, "make folders in %s", r->s->scratch);
    if (st->kind == STEP_ROOT_TMPFS) {
        if (mount("cairn", r->path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0)
            return err_sys(e, errno, "tmpfs");
    } else {
        char lower[2048 + 1];
        struct stat sb;
        if (plain_lower(r, st->src, lower, sizeof lower, e) < 0)
            return -1;
        /* The upper root takes over what the lower one has. */
        if (stat(st->src, &sb) < 0 || chmod(up, sb.st_mode & 07777) < 0)
            return err_sys(e, errno, "%s", st->src);
        if (chown(up, sb.st_uid, sb.st_gid) < 0 && !r->s->rootless)
            return err_sys(e, errno, "chown %s", up);
        snprintf(data, sizeof data, "lowerdir=%s,upperdir=%s,workdir=%s%s", lower, up, work,
                 r->s->rootless ? ",userxattr" : "");
        if (mount("cairn", r->path, "overlay", 0, data) < 0)
            return err_sys(e, errno, "overlay (%s)", data);
    }
    r->fd = open(r->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return r->fd < 0 ? err_sys(e, errno, "open the root") : 0;
}

static int do_step(struct root *r, const struct step *st, struct err *e)
{
    switch (st->kind) {
    case STEP_OVERLAY:
    case STEP_ROOT_TMPFS:
        return do_root(r, st, e);
    case STEP_MOUNT:
        return do_mount(r, st, e);
    case STEP_BIND:
        return do_bind_path(r, st, e);
    case STEP_DIR: {
        int fd = target(r, st->dst, true, e);
        return fd < 0 ? -1 : close(fd);
    }
    case STEP_SYMLINK:
        return do_symlink(r, st, e);
    case STEP_FILE:
        return do_file(r, st, e);
    case STEP_MASK:
        return do_mask(r, st, e);
    case STEP_READONLY:
        return do_readonly(r, st, e);
    case STEP_HOSTNAME:
        return sethostname(st->src, strlen(st->src)) < 0 ? err_sys(e, errno, "sethostname") : 0;
    case STEP_LOOPBACK:
        return do_loopback(e);
    }
    return err_set(e, ERR_USAGE, "unknown step");
}

static int build_root(struct root *r, const struct plan *p, struct err *e)
{
    char text[512];
    for (size_t i = 0; i < p->count; i++) {
        if (do_step(r, &p->steps[i], e) == 0)
            continue;
        if (p->steps[i].flags & STEP_OPTIONAL) {
            err_clear(e);
            continue;
        }
        plan_step_text(&p->steps[i], text, sizeof text);
        return err_wrap(e, "step %zu, %s", i + 1, text);
    }
    if (p->readonly) {
        struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
        if (mount_setattr(r->fd, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
            return err_sys(e, errno, "make the root read-only");
    }
    return 0;
}

static int enter_root(const struct root *r, struct err *e)
{
    /* Old root over the new one, then let go of it: the classic pivot without a folder for the old one. */
    if (fchdir(r->fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return err_sys(e, errno, "pivot_root");
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return err_sys(e, errno, "leave the old root");
    return 0;
}

/* Bounding set down to docker's, nothing inheritable or ambient (CVE-2022-29162). */
static int drop_caps(struct err *e)
{
    for (int c = 0; c <= CAP_LAST_CAP; c++) {
        bool keep = false;
        for (size_t i = 0; i < sizeof kept_caps / sizeof *kept_caps; i++)
            keep |= kept_caps[i] == c;
        if (!keep && cap_get_bound(c) > 0 && cap_drop_bound(c) < 0)
            return err_sys(e, errno, "drop capability %d", c);
    }
    cap_t caps = cap_get_proc(), want = cap_init();
    int rc = caps && want ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < sizeof kept_caps / sizeof *kept_caps; i++) {
        cap_flag_value_t have;
        if (cap_get_flag(caps, kept_caps[i], CAP_PERMITTED, &have) == 0 && have == CAP_SET)
            rc = cap_set_flag(want, CAP_PERMITTED, 1, &kept_caps[i], CAP_SET) |
                 cap_set_flag(want, CAP_EFFECTIVE, 1, &kept_caps[i], CAP_SET);
    }
    if (rc == 0)
        rc = cap_set_proc(want);
    int saved = errno;
    cap_free(caps);
    cap_free(want);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return rc < 0 ? err_sys(e, saved, "give up capabilities") : 0;
}

static int become(const struct sandbox *s, const struct user *u, struct err *e)
{
    if (s->rootless && !s->all_ids) {
        if (u->uid || u->gid)
            return err_set(e, ERR_UNSUPPORTED,
                           "only root's id is mapped here; for others give yourself a range in /etc/subuid and "
                           "/etc/subgid, and install newuidmap");
        return 0;
    }
    if (setgroups(u->group_count, u->groups) < 0 || setresgid(u->gid, u->gid, u->gid) < 0 ||
        setresuid(u->uid, u->uid, u->uid) < 0)
        return err_sys(e, errno, "become user %u, group %u", u->uid, u->gid);
    return 0;
}

/* Looks argv[0] up in PATH as execvpe does, but tells "not there" from "not executable". */
static void execute(const struct plan *p, int *ret_status, struct err *e)
{
    const char *name = p->argv[0], *path = plan_getenv(p, "PATH");
    char full[4096];
    int why = ENOENT;
    if (strchr(name, '/')) {
        execve(name, p->argv, p->env);
        why = errno;
    } else {
        for (const char *d = path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"; *d;) {
            size_t n = strcspn(d, ":");
            if ((size_t)snprintf(full, sizeof full, "%.*s/%s", (int)n, n ? d : ".", name) < sizeof full) {
                execve(full, p->argv, p->env);
                if (errno != ENOENT && errno != ENOTDIR)
                    why = errno;
            }
            d += n + (d[n] == ':');
        }
    }
    *ret_status = why == ENOENT || why == ENOTDIR ? SANDBOX_NOT_FOUND : SANDBOX_NOT_EXECUTABLE;
    err_sys(e, why, "%s", name);
}

/* PID 1: starts the command, passes signals on, reaps whatever is left to it, ends with the command's code. */
static void init_main(pid_t command, const sigset_t *passed)
{
    for (;;) {
        siginfo_t si;
        int status;
        pid_t got;
        while ((got = waitpid(-1, &status, WNOHANG)) > 0)
            if (got == command)
                _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
        if (got < 0 && errno == ECHILD)
            _exit(SANDBOX_FAILED);
        if (sigwaitinfo(passed, &si) > 0 && si.si_signo != SIGCHLD && si.si_code != SI_KERNEL)
            kill(command, si.si_signo);
    }
}

static int start_init(const struct plan *p, struct err *e)
{
    sigset_t all, none;
    if (!p->init)
        return 0;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    pid_t pid = fork();
    if (pid < 0)
        return err_sys(e, errno, "fork");
    if (pid > 0) {
        /* The failure pipe must close with the command's exec: init may not hold it open. */
        close_range(3, ~0U, 0);
        init_main(pid, &all);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    return 0;
}

void sandbox_root_run(const struct sandbox *s, const struct plan *p, int *ret_status, struct err *e)
{
    struct root r = {.s = s, .fd = -1};
    struct plan mine = *p; /* this process's own: its environment grows */
    struct user u;
    sigset_t none;
    char home[280];

    *ret_status = SANDBOX_FAILED;
    umask(0022);
    if (build_root(&r, p, e) < 0 || enter_root(&r, e) < 0)
        return;
    close(r.fd);
    if (user_lookup(p->user, &u, e) < 0)
        return;
    snprintf(home, sizeof home, "HOME=%s", u.home);
    if (!plan_getenv(p, "HOME") && plan_env(&mine, home, e) < 0)
        return;
    if (p->workdir) {
        int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct root inside = {.s = s, .fd = fd};
        int at = fd < 0 ? err_sys(e, errno, "open /") : target(&inside, p->workdir, true, e);
        if (at < 0 || fchdir(at) < 0) {
            if (at >= 0)
                err_sys(e, errno, "working directory %s", p->workdir);
            return;
        }
        close(at);
        close(fd);
    }
    /* The capabilities that changing ids needs go with the change; for root the set below is what stays. */
    if (prctl(PR_SET_KEEPCAPS, 0) < 0 || (s->rootless && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)) {
        err_sys(e, errno, "prctl");
        return;
    }
    if (drop_caps(e) < 0 || become(s, &u, e) < 0)
        return;
    /* Another user id has cleared what sandbox.c set. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_DFL); /* main ignores it */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    if (start_init(p, e) < 0)
        return;
    execute(&mine, ret_status, e);
}

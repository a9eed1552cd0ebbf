/* SPDX-License-Identifier: MIT */
/*
 * sandbox: the parent's side: namespaces, the child's life, signals. What happens inside the new root is
 * sandbox_root.c.
 */
#include "sandbox.h"

#include "sandbox_root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int write_text(const char *path, const char *text, struct err *e)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, errno, "open %s", path);
    ssize_t n = write(fd, text, strlen(text));
    int saved = errno;
    close(fd);
    return n == (ssize_t)strlen(text) ? 0 : err_sys(e, saved, "write %s", path);
}

/* First range of user in /etc/subuid or /etc/subgid that has room for 65,535 ids. */
static bool sub_range(const char *file, const char *user, uid_t uid, unsigned long *ret)
{
    char line[512], id[32];
    bool found = false;
    FILE *f = fopen(file, "re");
    if (!f)
        return false;
    snprintf(id, sizeof id, "%lu", (unsigned long)uid);
    while (!found && fgets(line, sizeof line, f)) {
        char *first = strchr(line, ':'), *count, *end;
        if (!first || !(count = strchr(first + 1, ':')))
            continue;
        *first++ = *count++ = '\0';
        if (strcmp(line, user) != 0 && strcmp(line, id) != 0)
            continue;
        *ret = strtoul(first, &end, 10);
        found = !*end && strtoul(count, NULL, 10) >= 65535;
    }
    fclose(f);
    return found;
}

static bool run_mapper(const char *program, pid_t pid, unsigned long own, unsigned long first)
{
    char p[16], o[24], f[24];
    snprintf(p, sizeof p, "%d", (int)pid);
    snprintf(o, sizeof o, "%lu", own);
    snprintf(f, sizeof f, "%lu", first);
    pid_t child = fork();
    if (child == 0) {
        execlp(program, program, p, "0", o, "1", "1", f, "65535", (char *)NULL);
        _exit(127);
    }
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/*
 * newuidmap must be called from outside the new user namespace: a helper process forked before waits for the word,
 * maps, and answers through its exit code.
 */
static int enter_userns(struct sandbox *s, struct err *e)
{
    unsigned long uid = geteuid(), gid = getegid(), subuid = 0, subgid = 0;
    char map[64], name[64];
    int go[2];
    const struct passwd *pw = getpwuid((uid_t)uid);
    snprintf(name, sizeof name, "%s", pw ? pw->pw_name : "");
    bool sub =
        sub_range("/etc/subuid", name, (uid_t)uid, &subuid) && sub_range("/etc/subgid", name, (uid_t)uid, &subgid);
    if (pipe2(go, O_CLOEXEC) < 0)
        return err_sys(e, errno, "pipe");
    pid_t parent = getpid(), helper = sub ? fork() : -1;
    if (helper == 0) {
        char c;
        close(go[1]);
        bool good = read(go[0], &c, 1) == 1 && run_mapper("newgidmap", parent, gid, subgid) &&
                    run_mapper("newuidmap", parent, uid, subuid);
        _exit(good ? 0 : 1);
    }
    int rc = unshare(CLONE_NEWUSER | CLONE_NEWNS), saved = errno;
    if (rc == 0 && write(go[1], "g", 1) != 1)
        rc = -1;
    close(go[0]);
    close(go[1]);
    int status = -1;
    if (helper > 0)
        waitpid(helper, &status, 0);
    if (rc < 0)
        return err_sys(e, saved,
                       "make a user namespace (is kernel.unprivileged_userns_clone or user.max_user_namespaces 0?)");
    s->all_ids = helper > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (s->all_ids)
        return 0;
    snprintf(map, sizeof map, "0 %lu 1\n", uid);
    if (write_text("/proc/self/setgroups", "deny", e) < 0 || write_text("/proc/self/uid_map", map, e) < 0)
        return -1;
    snprintf(map, sizeof map, "0 %lu 1\n", gid);
    return write_text("/proc/self/gid_map", map, e);
}

/* Folders of runs that were killed: empty, and nobody's lock is on them. */
static void sweep(const char *base)
{
    DIR *d = opendir(base);
    struct dirent *de;
    while (d && (de = readdir(d))) {
        if (strncmp(de->d_name, "cairn-run-", 10) != 0)
            continue;
        int fd = openat(dirfd(d), de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            unlinkat(dirfd(d), de->d_name, AT_REMOVEDIR);
        if (fd >= 0)
            close(fd);
    }
    if (d)
        closedir(d);
}

/* Another run may sweep the folder away before it is locked: then once more. */
static int make_scratch(struct sandbox *s, const char *base, struct err *e)
{
    struct stat sb;
    sweep(base);
    for (;;) {
        snprintf(s->scratch, sizeof s->scratch, "%s/cairn-run-XXXXXX", base);
        if (!mkdtemp(s->scratch)) {
            err_sys(e, errno, "make a scratch folder in %s", base);
            s->scratch[0] = '\0';
            return -1;
        }
        s->lock_fd = open(s->scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->lock_fd < 0 && errno == ENOENT)
            continue;
        if (s->lock_fd < 0 || flock(s->lock_fd, LOCK_EX) < 0 || fstat(s->lock_fd, &sb) < 0)
            return err_sys(e, errno, "lock %s", s->scratch);
        if (sb.st_nlink > 0)
            return 0;
        close(s->lock_fd);
        s->lock_fd = -1;
    }
}

int sandbox_enter(struct sandbox *s, struct err *e)
{
    *s = (struct sandbox){.rootless = geteuid() != 0, .lock_fd = -1};
    const char *base = getenv("XDG_RUNTIME_DIR");
    if (!s->rootless)
        base = access("/run", W_OK) == 0 ? "/run" : "/tmp";
    else if (!base || strlen(base) > 40 || access(base, W_OK) < 0)
        base = "/tmp";
    if (make_scratch(s, base, e) < 0)
        return -1;
    if (s->rootless) {
        if (enter_userns(s, e) < 0)
            return -1;
    } else if (unshare(CLONE_NEWNS) < 0) {
        return err_sys(e, errno, "make a mount namespace");
    }
    s->entered = true;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_sys(e, errno, "make mounts private");
    /* In memory, and only in this namespace: nothing to clean up whatever happens. */
    if (mount("cairn", s->scratch, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700") < 0)
        return err_sys(e, errno, "mount tmpfs on %s", s->scratch);
    return 0;
}

void sandbox_leave(struct sandbox *s)
{
    if (!s->scratch[0])
        return;
    if (s->entered)
        umount2(s->scratch, MNT_DETACH);
    rmdir(s->scratch);
    s->scratch[0] = '\0';
    if (s->lock_fd >= 0)
        close(s->lock_fd);
}

/* What the child says when it can't go on: a fixed-size message through a pipe that exec closes. */
struct failure {
    int status;
    struct err err;
};

struct child {
    const struct sandbox *s;
    const struct plan *p;
    int fail_fd;
};

static int child_main(void *arg)
{
    const struct child *c = arg;
    struct failure f = {.status = SANDBOX_FAILED};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sandbox_root_run(c->s, c->p, &f.status, &f.err);
    ssize_t n = write(c->fail_fd, &f, sizeof f);
    _exit(n == (ssize_t)sizeof f ? f.status : SANDBOX_FAILED);
}

static pid_t spawn(const struct child *c, int flags)
{
    long pid = syscall(SYS_clone, (unsigned long)flags | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        child_main((void *)(uintptr_t)c);
    return (pid_t)pid;
}

static int status_of(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Passes signals on until the child is gone. Those that the terminal sends reach the child by themselves. */
static int wait_child(pid_t pid, int sigfd, struct err *e)
{
    for (;;) {
        int status;
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid)
            return status_of(status);
        if (got < 0)
            return err_sys(e, errno, "wait for the process");
        struct signalfd_siginfo si;
        struct pollfd pfd = {.fd = sigfd, .events = POLLIN};
        if (poll(&pfd, 1, -1) < 0 && errno != EINTR)
            return err_sys(e, errno, "poll");
        if (read(sigfd, &si, sizeof si) == (ssize_t)sizeof si && si.ssi_signo != SIGCHLD && si.ssi_code != SI_KERNEL)
            kill(pid, (int)si.ssi_signo);
    }
}

/* A shell inside makes itself the terminal's foreground group, and can't give it back: our group has no number in its
 * namespace. Whoever started us, and isn't a shell with job control, would read from the terminal no more. */
static void take_terminal_back(void)
{
    sigset_t ttou, old;
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return;
    pid_t group = tcgetpgrp(fd);
    if (group > 0 && group != getpgrp() && kill(-group, 0) < 0 && errno == ESRCH) {
        sigemptyset(&ttou);
        sigaddset(&ttou, SIGTTOU);
        sigprocmask(SIG_BLOCK, &ttou, &old);
        tcsetpgrp(fd, getpgrp());
        sigprocmask(SIG_SETMASK, &old, NULL);
    }
    close(fd);
}

int sandbox_run(struct sandbox *s, const struct plan *p, int *ret_status, struct err *e)
{
    static const int passed[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT, SIGCHLD};
    sigset_t set, old;
    int fail[2], status;
    struct failure f;

    *ret_status = SANDBOX_FAILED;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        sigaddset(&set, passed[i]);
    if (pipe2(fail, O_CLOEXEC) < 0)
        return err_sys(e, errno, "pipe");
    sigprocmask(SIG_BLOCK, &set, &old);
    int sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    struct child c = {.s = s, .p = p, .fail_fd = fail[1]};
    int flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
    if (p->private_network)
        flags |= CLONE_NEWNET;
    fflush(NULL);
    pid_t pid = sigfd < 0 ? -1 : spawn(&c, flags);
    int saved = errno;
    close(fail[1]);
    if (pid < 0) {
        close(fail[0]);
        sigprocmask(SIG_SETMASK, &old, NULL);
        return err_sys(e, saved, "make PID, IPC and UTS namespaces");
    }
    ssize_t n;
    do
        n = read(fail[0], &f, sizeof f);
    while (n < 0 && errno == EINTR);
    close(fail[0]);
    status = wait_child(pid, sigfd, e);
    take_terminal_back();
    close(sigfd);
    sigprocmask(SIG_SETMASK, &old, NULL);
    if (n == (ssize_t)sizeof f) {
        *ret_status = f.status;
        *e = f.err;
        return -1;
    }
    if (status < 0)
        return -1;
    *ret_status = status;
    return 0;
}

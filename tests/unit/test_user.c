/* SPDX-License-Identifier: MIT */
/*
 * Users of a root filesystem: names, numbers, groups, and hostile files. Each look-up happens in a child that makes a
 * scratch folder its root (in a user namespace where it isn't root).
 */
#include "../../tools/user.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct answer {
    int rc;
    bool no_root;
    struct user u;
    struct err e;
};

static char top[64], etc[80];

static void child(const char *spec, int fd)
{
    static struct answer a;
    char root[80];
    snprintf(root, sizeof root, "%s/root", top);
    a.no_root = (geteuid() != 0 && unshare(CLONE_NEWUSER) < 0) || chroot(root) < 0 || chdir("/") < 0;
    alarm(20); /* a fifo that is waited for is a failure, not a hang */
    if (!a.no_root)
        a.rc = user_lookup(spec, &a.u, &a.e);
    _exit(write(fd, &a, sizeof a) != (ssize_t)sizeof a);
}

static struct answer look_up(const char *spec)
{
    struct answer a = {.rc = -2};
    int fds[2], status = 0;
    size_t got = 0;
    fflush(NULL);
    if (pipe(fds) < 0)
        abort();
    pid_t pid = fork();
    if (pid == 0)
        child(spec, fds[1]);
    close(fds[1]);
    for (ssize_t n; got < sizeof a && (n = read(fds[0], (char *)&a + got, sizeof a - got)) > 0;)
        got += (size_t)n;
    close(fds[0]);
    waitpid(pid, &status, 0);
    if (got != sizeof a || status)
        a = (struct answer){.rc = -2};
    return a;
}

static void put(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", etc, name);
    unlink(path);
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        abort();
}

static void is_user(const char *spec, unsigned uid, unsigned gid, const char *home, const char *groups)
{
    struct answer a = look_up(spec);
    char got[256] = "";
    for (size_t i = 0; i < a.u.group_count && strlen(got) < 200; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%u", i ? " " : "", a.u.groups[i]);
    ok(a.rc == 0 && a.u.uid == uid && a.u.gid == gid, "'%s' is %u:%u (%d, %u:%u %s)", spec ? spec : "(null)", uid, gid,
       a.rc, a.u.uid, a.u.gid, a.e.text);
    is_str(a.u.home, home, "home");
    is_str(got, groups, "supplementary groups");
}

static void refused(const char *spec, enum err_kind kind, const char *text)
{
    struct answer a = look_up(spec);
    ok(a.rc == -1 && a.e.kind == kind, "'%.40s' is refused (%d, kind %d)", spec, a.rc, a.e.kind);
    is_str(a.e.text, text, "message");
}

static void test_names(void)
{
    put("passwd", "root:x:0:0:root:/root:/bin/sh\n"
                  "www:x:33:33:w w w:/var/www:/none\n"
                  "nohome:x:7:7::relative:/bin/sh\n"
                  "short:x:8:8\n"
                  "www:x:99:99:second:/x:/x\n"
                  "last:x:1000:1000::/home/last:/bin/sh");
    put("group", "root:x:0:\nwww:x:33:\nextra:x:50:www,last\nmore:x:51:last,www\nother:x:52:wwww\nwww:x:98:\n"
                 "www2:x:33:www\n");
    is_user(NULL, 0, 0, "/root", "");
    is_user("", 0, 0, "/root", "");
    is_user("root", 0, 0, "/root", "");
    is_user("www", 33, 33, "/var/www", "50 51");
    is_user("33", 33, 33, "/var/www", "50 51");
    is_user("www:more", 33, 51, "/var/www", "");
    is_user("www:7", 33, 7, "/var/www", "");
    is_user("33:extra", 33, 50, "/var/www", "");
    is_user("www:", 33, 33, "/var/www", "50 51");
    is_user(":more", 0, 51, "/root", "");
    is_user("12345", 12345, 0, "/", "");
    is_user("12345:6", 12345, 6, "/", "");
    is_user("4294967294", 4294967294U, 0, "/", "");
    is_user("nohome", 7, 7, "/", "");
    is_user("short", 8, 8, "/", "");
    is_user("last", 1000, 1000, "/home/last", "50 51");
    refused("nobody", ERR_NOT_FOUND, "user 'nobody': no user 'nobody' in the root's /etc/passwd");
    refused("WWW", ERR_NOT_FOUND, "user 'WWW': no user 'WWW' in the root's /etc/passwd");
    refused("www:none", ERR_NOT_FOUND, "user 'www:none': no group 'none' in the root's /etc/group");
    refused("-1", ERR_NOT_FOUND, "user '-1': no user '-1' in the root's /etc/passwd");
    refused("4294967295", ERR_NOT_FOUND, "user '4294967295': no user '4294967295' in the root's /etc/passwd");
    refused("0x21", ERR_NOT_FOUND, "user '0x21': no user '0x21' in the root's /etc/passwd");
    char name[301];
    memset(name, 'n', 300);
    name[300] = '\0';
    refused(name, ERR_USAGE, "user name is too long");
}

static void test_malformed(void)
{
    /* Lines that say nothing are passed over; the first that does counts. */
    put("passwd",
        "\n\n:::::::::::\nx\nx:\nx:y:z:0:::\nx:y:-1:0:::\nx:y:1:4294967295:::\nx:y:99999999999999999999:0:::\n"
        "x:y: 5:5:::\nx:y:5:5:gecos:/h:shell:more:and:more\nx:y:6:6:::\n:y:1:1::/empty:\n");
    put("group", "g\ng:x\ng:x:\ng:x:y:\ng:x:-3:\ng:x:4\nh:x:9:,,x,\n");
    is_user("x", 5, 5, "/h", "9");
    is_user("x:g", 5, 4, "/h", "");
    refused("y", ERR_NOT_FOUND, "user 'y': no user 'y' in the root's /etc/passwd");
    /* More groups than there is room for. */
    char *many = calloc(400, 32);
    for (int i = 0; i < 400; i++)
        snprintf(many + strlen(many), 32, "g%d:x:%d:x\n", i, 1000 + i);
    put("group", many);
    struct answer a = look_up("x");
    ok(a.rc == 0 && a.u.group_count == USER_GROUPS_MAX && a.u.groups[255] == 1255, "groups are bounded");
    free(many);
    /* A long home is cut, a long name isn't taken for another. */
    char line[1400], home[400], want[256];
    memset(home, 'h', sizeof home);
    home[0] = '/';
    home[399] = '\0';
    snprintf(line, sizeof line, "%s%s:x:1:1::/:\nlong:x:2:2::%s:\n", home + 1, home + 1, home);
    put("passwd", line);
    put("group", "");
    memcpy(want, home, 255);
    want[255] = '\0';
    is_user("long", 2, 2, want, "");
    char path[128];
    snprintf(path, sizeof path, "%s/passwd", etc);
    FILE *f = fopen(path, "w");
    if (!f || fwrite("a:x:1:1::/a:\n\0b:x:2:2::/b:\n", 1, 28, f) != 28 || fclose(f) != 0)
        abort();
    is_user("a", 1, 1, "/a", "");
    refused("b", ERR_NOT_FOUND, "user 'b': no user 'b' in the root's /etc/passwd");
}

static void test_hostile(void)
{
    char path[128], other[128];
    put("group", "");
    snprintf(path, sizeof path, "%s/passwd", etc);
    unlink(path);
    is_user("5", 5, 0, "/", "");
    is_user(NULL, 0, 0, "/root", "");
    refused("x", ERR_NOT_FOUND, "user 'x': no user 'x' in the root's /etc/passwd");
    put("passwd", "");
    refused("x", ERR_NOT_FOUND, "user 'x': no user 'x' in the root's /etc/passwd");
    /* Links lead nowhere outside. */
    snprintf(other, sizeof other, "%s/passwd", top);
    FILE *f = fopen(other, "w");
    if (!f || fputs("evil:x:0:0::/evil:\n", f) < 0 || fclose(f) != 0)
        abort();
    unlink(path);
    if (symlink("../../passwd", path) < 0)
        abort();
    refused("evil", ERR_NOT_FOUND, "user 'evil': no user 'evil' in the root's /etc/passwd");
    unlink(path);
    if (symlink(other, path) < 0)
        abort();
    refused("evil", ERR_NOT_FOUND, "user 'evil': no user 'evil' in the root's /etc/passwd");
    unlink(path);
    if (symlink("passwd", path) < 0)
        abort();
    refused("5", ERR_SYSTEM, "user '5': /etc/passwd: Too many levels of symbolic links");
    unlink(path);
    if (symlink("elsewhere", path) < 0)
        abort();
    put("elsewhere", "inside:x:3:3::/i:\n");
    is_user("inside", 3, 3, "/i", "");
    unlink(path);
    if (mkfifo(path, 0666) < 0)
        abort();
    refused("5", ERR_INPUT, "user '5': /etc/passwd is no regular file");
    unlink(path);
    if (mkdir(path, 0755) < 0)
        abort();
    refused("5", ERR_INPUT, "user '5': /etc/passwd is no regular file");
    rmdir(path);
    put("passwd", "a:x:1:1::/a:\n");
    if (truncate(path, 1 << 20) < 0)
        abort();
    is_user("a", 1, 1, "/a", "");
    if (truncate(path, (1 << 20) + 1) < 0)
        abort();
    refused("5", ERR_LIMIT, "user '5': /etc/passwd has 1048577 bytes; at most 1048576 are read");
    if (truncate(path, (off_t)1 << 40) < 0)
        abort();
    refused("a", ERR_LIMIT, "user 'a': /etc/passwd has 1099511627776 bytes; at most 1048576 are read");
    unlink(path);
    snprintf(path, sizeof path, "%s/group", etc);
    unlink(path);
    if (mkfifo(path, 0666) < 0)
        abort();
    refused("5", ERR_INPUT, "user '5': /etc/group is no regular file");
    unlink(path);
    /* /etc itself is a file. */
    char cmd[256];
    snprintf(cmd, sizeof cmd, "rm -r %s && touch %s", etc, etc);
    if (system(cmd))
        abort();
    is_user("5:6", 5, 6, "/", "");
}

int main(void)
{
    char cmd[128];
    snprintf(top, sizeof top, "/tmp/cairn-user.XXXXXX");
    if (!mkdtemp(top))
        return 1;
    snprintf(etc, sizeof etc, "%s/root/etc", top);
    snprintf(cmd, sizeof cmd, "mkdir -p %s", etc);
    if (system(cmd))
        return 1;
    if (look_up("0").no_root) {
        ok(1, "users # SKIP needs root or user namespaces");
    } else {
        test_names();
        test_malformed();
        test_hostile();
    }
    snprintf(cmd, sizeof cmd, "rm -rf %s", top);
    if (system(cmd))
        ok(0, "clean up");
    return tap_done();
}

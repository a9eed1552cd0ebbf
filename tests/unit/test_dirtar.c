/* SPDX-License-Identifier: MIT */
/* A directory with one of everything as tar, read back with tar.h; equal when made again; errors while it is read. */
#include "tap.h"
#include "tarmake.h"
#include "../../index/source/layer.h"
#include "../../index/source/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

static char dir[] = "/tmp/cairn-dirtar-XXXXXX";

static void put(const char *name, const void *p, size_t n, mode_t mode)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n || fchmod(fd, mode) < 0)
        abort();
    close(fd);
}

static void set_time(const char *name, long sec, long nsec)
{
    struct timespec t[2] = {{sec, nsec}, {sec, nsec}};
    if (utimensat(AT_FDCWD, name, t, AT_SYMLINK_NOFOLLOW) < 0)
        abort();
}

static bool pack(struct buf *out, struct err *e)
{
    struct stream *s;
    const uint8_t *p;
    size_t n;
    out->len = 0;
    *e = (struct err){0};
    if (dirtar_open(dir, &s, e) < 0)
        return false;
    int rc;
    while ((rc = stream_run(s, SIZE_MAX, &p, &n, e)) == 0 && n)
        tm_bytes(out, p, n);
    stream_close(s);
    return rc == 0;
}

/* "type name link size" lines, attributes and times where they are set here. */
static void list(const struct buf *b, struct buf *out)
{
    struct stream *s;
    struct tar *t;
    const struct tar_entry *en;
    struct err e = {0};
    out->len = 0;
    stream_open_mem(b->p, b->len, &s, &e);
    tar_open(s, NULL, NULL, &t, &e);
    while (tar_next(t, &en, &e) == 0 && en) {
        buf_printf(out, "%c %.60s %o", en->type, en->name, (unsigned)en->mode);
        if (en->link_len)
            buf_printf(out, " -> %.30s", en->link);
        if (en->size)
            buf_printf(out, " %llu", (unsigned long long)en->size);
        if (en->mtime < 1000000000)
            buf_printf(out, " %lld.%09u", (long long)en->mtime, en->mtime_nsec);
        if (en->devmajor)
            buf_printf(out, " %lld,%lld", (long long)en->devmajor, (long long)en->devminor);
        for (size_t i = 0; i < en->xattr_count; i++)
            buf_printf(out, " %.*s(%zu)", (int)en->xattrs[i].name_len, en->xattrs[i].name, en->xattrs[i].value_len);
        buf_printf(out, "\n");
    }
    if (e.kind)
        buf_printf(out, "%s\n", e.text);
    tar_close(t);
    stream_close(s);
}

static void fill(bool *ret_xattrs, bool *ret_devices)
{
    static char big[600000];
    char name[256];
    memset(big, 'b', sizeof big);
    if (mkdir("d", 0750) < 0 || mkdir("d/sub", 01777) < 0 || mkdir("empty", 0755) < 0)
        abort();
    put("a", "", 0, 0644);
    put("d/big", big, sizeof big, 04755);
    put("d.file", "before d/", 9, 0600);
    put("h1", "linked", 6, 0644);
    if (link("h1", "d/h2") < 0 || link("h1", "z") < 0 || symlink("/not/there", "d/s") < 0)
        abort();
    put("\xff\xfe", "?", 1, 0644);
    memset(name, 'n', 255);
    name[255] = '\0';
    put(name, "long", 4, 0644);
    if (mkfifo("fifo", 0600) < 0)
        abort();
    *ret_devices = mknod("null", S_IFCHR | 0666, makedev(1, 3)) == 0;
    *ret_xattrs = setxattr("a", "user.two", "22", 2, 0) == 0 && setxattr("a", "user.one", "1", 1, 0) == 0 &&
                  setxattr("d", "user.dir", "d\0d", 3, 0) == 0;
    struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = "socket"};
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    if (s < 0 || bind(s, (struct sockaddr *)&sa, sizeof sa) < 0)
        abort();
    close(s);
    set_time("a", -5, 250000000);
    set_time("d/s", 77, 1);
}

static void test_all(void)
{
    struct buf a = {0}, b = {0}, l = {0};
    struct err e;
    bool xattrs, devices;
    char want[2000];
    fill(&xattrs, &devices);
    ok(pack(&a, &e), "packed %s", e.text);
    ok(pack(&b, &e) && a.len == b.len && !memcmp(a.p, b.p, a.len), "the same again");
    is_int(a.len % 512, 0, "whole blocks");
    list(&a, &l);
    if (!xattrs)
        printf("ok %d - attributes # SKIP this file system has none\n", ++tap_run);
    if (!devices)
        printf("ok %d - devices # SKIP may not make them\n", ++tap_run);
    snprintf(want, sizeof want,
             "5 ./ 700\n0 a 644 -5.250000000%s\n5 d/ 750%s\n0 d/big 4755 600000\n0 d/h2 644 6\n"
             "2 d/s 777 -> /not/there 77.000000001\n5 d/sub/ 1777\n0 d.file 600 9\n5 empty/ 755\n6 fifo 600\n"
             "1 h1 644 -> d/h2\n0 %.60s 644 4\n%s1 z 644 -> d/h2\n0 \xff\xfe 644 1\n",
             xattrs ? " user.one(1) user.two(2)" : "", xattrs ? " user.dir(3)" : "",
             "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", devices ? "3 null 666 1,3\n" : "");
    is_str((const char *)l.p, want, "members");
    buf_release(&a);
    buf_release(&b);
    buf_release(&l);
}

/* The stream is two slabs ahead at most: what is changed after the first run is seen while it is read. */
static void test_changes(void)
{
    struct stream *s;
    struct err e = {0};
    const uint8_t *p;
    size_t n;
    for (int grow = 0; grow < 2; grow++) {
        static char big[4 << 20];
        unlink("aaa");
        put("aaa", big, sizeof big, 0644);
        e = (struct err){0};
        ok(dirtar_open(dir, &s, &e) == 0 && stream_run(s, 512, &p, &n, &e) == 0, "begun");
        if (truncate("aaa", (off_t)(grow ? sizeof big + 100 : sizeof big - 100)) < 0)
            abort();
        ok(stream_drain(s, &e) < 0 && e.kind == ERR_INPUT, "a file that %s is an error", grow ? "grows" : "shrinks");
        char want[100];
        snprintf(want, sizeof want, "'%s/aaa': changed while reading", dir);
        is_str(e.text, want, "its message");
        stream_close(s);
    }
    e = (struct err){0};
    dirtar_open(dir, &s, &e);
    stream_run(s, 512, &p, &n, &e);
    stream_close(s);
    ok(1, "closed early");
    unlink("aaa");
    ok(dirtar_open("/nonexistent", &s, &e) < 0 && e.kind == ERR_SYSTEM && e.errnum == ENOENT, "no such directory");
    is_str(e.text, "open directory '/nonexistent': No such file or directory", "its message");
    ok(dirtar_open("fifo", &s, &e) < 0 && e.errnum == ENOTDIR, "no directory: %s", e.text);
}

int main(void)
{
    char cmd[100];
    umask(0);
    if (!mkdtemp(dir) || chdir(dir) < 0)
        abort();
    test_all();
    test_changes();
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return system(cmd) != 0 || tap_done();
}

/* SPDX-License-Identifier: MIT */
/*
 * treelist: one line for every entry below a directory, in a fixed order, for comparing two trees with diff:
 * path, type, mode, owner, size, time, links, device, target, xattrs, SHA-256 of the content.
 *   treelist [-t] [-d] [-n] DIR     -t: leave times out; -d: leave times of directories out; -n: leave link counts out
 * Times are whole: seconds.nanoseconds. A directory's size is left out (it is the file system's own matter).
 */
#include "../../index/crypto.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

struct opts {
    bool no_times, no_dir_times, no_links;
};

static void die(const char *what)
{
    fprintf(stderr, "treelist: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void quoted(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c <= ' ' || c >= 0x7f || c == '\\')
            printf("\\%03o", c);
        else
            putchar(c);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void print_xattrs(const char *path)
{
    char names[65536], value[65536];
    char *list[1024];
    size_t count = 0;
    ssize_t n = llistxattr(path, names, sizeof names);
    if (n < 0)
        die(path);
    for (char *p = names; p < names + n && count < 1024; p += strlen(p) + 1)
        if (strcmp(p, "security.selinux"))
            list[count++] = p;
    qsort(list, count, sizeof *list, by_name);
    for (size_t i = 0; i < count; i++) {
        ssize_t len = lgetxattr(path, list[i], value, sizeof value);
        if (len < 0)
            die(path);
        printf(" %s=", list[i]);
        quoted(value, (size_t)len);
    }
}

static void print_digest(const char *path)
{
    static char block[1 << 20];
    struct sha256 h = {0};
    struct digest d;
    char hex[DIGEST_HEX_LEN + 1];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || sha256_init(&h) < 0)
        die(path);
    while ((n = read(fd, block, sizeof block)) > 0)
        sha256_update(&h, block, (size_t)n);
    if (n < 0)
        die(path);
    close(fd);
    sha256_final(&h, &d);
    sha256_release(&h);
    digest_hex(&d, hex);
    printf(" %s", hex);
}

static void print_entry(const char *path, const char *shown, const struct stat *st, const struct opts *o)
{
    static const char types[] = "?pc?d?b?-?l?s???";
    quoted(shown, strlen(shown));
    printf(" %c%04o %u:%u", types[st->st_mode >> 12 & 15], st->st_mode & 07777, st->st_uid, st->st_gid);
    if (!S_ISDIR(st->st_mode))
        printf(" size=%lld", (long long)st->st_size);
    if (!o->no_times && !(o->no_dir_times && S_ISDIR(st->st_mode)))
        printf(" %lld.%09ld", (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
    if (!o->no_links)
        printf(" links=%lu", (unsigned long)st->st_nlink);
    if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
        printf(" dev=%u:%u", major(st->st_rdev), minor(st->st_rdev));
    if (S_ISLNK(st->st_mode)) {
        char target[4097];
        ssize_t n = readlink(path, target, sizeof target);
        if (n < 0)
            die(path);
        printf(" -> ");
        quoted(target, (size_t)n);
    }
    print_xattrs(path);
    if (S_ISREG(st->st_mode))
        print_digest(path);
    putchar('\n');
}

static void walk(char *path, size_t len, size_t base, const struct opts *o)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        die(path);
    print_entry(path, len == base ? "/" : path + base, &st, o);
    if (!S_ISDIR(st.st_mode))
        return;
    DIR *d = opendir(path);
    if (!d)
        die(path);
    char **names = NULL;
    size_t count = 0, cap = 0;
    struct dirent *de;
    errno = 0;
    while ((de = readdir(d))) {
        if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
            continue;
        if (count == cap && !(names = realloc(names, (cap = cap ? cap * 2 : 16) * sizeof *names)))
            die("memory");
        if (!(names[count++] = strdup(de->d_name)))
            die("memory");
        errno = 0;
    }
    if (errno)
        die(path);
    closedir(d);
    if (count)
        qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(names[i]);
        if (len + n + 2 > 65536)
            die("path too long");
        path[len] = '/';
        memcpy(path + len + 1, names[i], n + 1);
        walk(path, len + 1 + n, base, o);
        path[len] = '\0';
        free(names[i]);
    }
    free(names);
}

int main(int argc, char **argv)
{
    static char path[65536];
    struct opts o = {0};
    int c;
    while ((c = getopt(argc, argv, "tdn")) != -1) {
        if (c == 't')
            o.no_times = true;
        else if (c == 'd')
            o.no_dir_times = true;
        else if (c == 'n')
            o.no_links = true;
        else
            return 2;
    }
    if (optind + 1 != argc || strlen(argv[optind]) >= sizeof path)
        return 2;
    strcpy(path, argv[optind]);
    size_t len = strlen(path);
    walk(path, len, len, &o);
    return fflush(stdout) ? 1 : 0;
}

/* SPDX-License-Identifier: MIT */
#include "user.h"

#include "../index/buf.h"
#include "../index/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20, FIELDS = 7 };

/* The file's text, NUL-terminated; empty when there is none (images without /etc/passwd are common). */
static int read_text(const char *path, struct buf *b, struct err *e)
{
    struct stat sb;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : err_sys(e, errno, "%s", path);
    int rc = 0;
    if (fstat(fd, &sb) < 0 || !S_ISREG(sb.st_mode))
        rc = err_set(e, ERR_INPUT, "%s is no regular file", path);
    else if (sb.st_size > FILE_MAX)
        rc = err_set(e, ERR_LIMIT, "%s has %lld bytes; at most %d are read", path, (long long)sb.st_size, FILE_MAX);
    else if (buf_reserve(b, (size_t)sb.st_size) < 0)
        rc = err_nomem(e);
    else if (sb.st_size && (rc = io_pread(fd, b->p, (size_t)sb.st_size, 0, path, e)) == 0)
        b->len = (size_t)sb.st_size;
    close(fd);
    if (rc == 0 && b->p)
        b->p[b->len] = 0;
    return rc;
}

/* Splits the next line at colons; lines with too few fields come out with NULLs. false at the end. */
static bool next_line(char **text, char *field[FIELDS])
{
    char *line = *text;
    if (!line || !*line)
        return false;
    char *end = strchr(line, '\n');
    *text = end ? end + 1 : line + strlen(line);
    if (end)
        *end = '\0';
    memset(field, 0, FIELDS * sizeof *field);
    for (int i = 0; i < FIELDS && line; i++)
        field[i] = strsep(&line, ":");
    return true;
}

static bool number(const char *s, unsigned *ret)
{
    char *end;
    if (!s || *s < '0' || *s > '9')
        return false;
    errno = 0;
    unsigned long v = strtoul(s, &end, 10);
    if (errno || *end || v > 0xfffffffeUL)
        return false;
    *ret = (unsigned)v;
    return true;
}

static void find_passwd(char *text, const char *name, bool is_number, unsigned id, struct user *u, char found[256],
                        bool *ret)
{
    char *f[FIELDS];
    unsigned uid, gid;
    while (!*ret && next_line(&text, f)) {
        if (!f[3] || !number(f[2], &uid) || !number(f[3], &gid))
            continue;
        if (is_number ? uid != id : strcmp(f[0], name) != 0)
            continue;
        u->uid = uid;
        u->gid = gid;
        snprintf(u->home, sizeof u->home, "%s", f[5] && f[5][0] == '/' ? f[5] : "/");
        snprintf(found, 256, "%s", f[0]);
        *ret = true;
    }
}

static bool has_member(char *list, const char *name)
{
    for (char *m = list ? strsep(&list, ",") : NULL; m; m = strsep(&list, ","))
        if (!strcmp(m, name))
            return true;
    return false;
}

/* group NULL: collects the supplementary groups of user; else finds that group. */
static bool scan_groups(char *text, const char *group, const char *user, struct user *u)
{
    char *f[FIELDS];
    unsigned gid;
    while (next_line(&text, f)) {
        if (!f[2] || !number(f[2], &gid))
            continue;
        if (group && !strcmp(f[0], group)) {
            u->gid = gid;
            return true;
        }
        if (!group && gid != u->gid && u->group_count < USER_GROUPS_MAX && has_member(f[3], user))
            u->groups[u->group_count++] = gid;
    }
    return false;
}

int user_lookup(const char *spec, struct user *ret, struct err *e)
{
    struct buf passwd = {0}, groups = {0};
    char name[256], found[256] = "";
    unsigned id = 0;
    bool known = false;
    int rc = -1;

    *ret = (struct user){.home = "/"};
    if (!spec || !*spec)
        spec = "0";
    size_t n = strcspn(spec, ":");
    const char *group = spec[n] == ':' && spec[n + 1] ? spec + n + 1 : NULL;
    if (n >= sizeof name)
        return err_set(e, ERR_USAGE, "user name is too long");
    snprintf(name, sizeof name, "%.*s", n ? (int)n : 1, n ? spec : "0"); /* ":group" is root's, as in docker */
    bool is_number = number(name, &id);
    if (read_text("/etc/passwd", &passwd, e) < 0 || read_text("/etc/group", &groups, e) < 0)
        goto out;
    find_passwd((char *)passwd.p, name, is_number, id, ret, found, &known);
    if (!known && !is_number) {
        err_set(e, ERR_NOT_FOUND, "no user '%s' in the root's /etc/passwd", name);
        goto out;
    }
    if (!known) {
        ret->uid = id;
        if (id == 0)
            snprintf(ret->home, sizeof ret->home, "/root");
    }
    if (group) {
        if (!number(group, &ret->gid) && !scan_groups((char *)groups.p, group, NULL, ret)) {
            err_set(e, ERR_NOT_FOUND, "no group '%s' in the root's /etc/group", group);
            goto out;
        }
    } else if (known) {
        scan_groups((char *)groups.p, NULL, found, ret);
    }
    rc = 0;
out:
    if (rc < 0)
        err_wrap(e, "user '%s'", spec);
    buf_release(&passwd);
    buf_release(&groups);
    return rc;
}

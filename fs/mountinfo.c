/* SPDX-License-Identifier: MIT */
/* mountinfo: see mountinfo.h, and proc(5) for the format. */
#include "mountinfo.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Space, tab, newline and backslash stand as three octal digits. */
static void unescape(char *s)
{
    char *to = s;
    for (; *s; to++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
            *to = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 4;
        } else {
            *to = *s++;
        }
    }
    *to = '\0';
}

/* "major:minor" */
static bool parse_dev(const char *s, dev_t *ret)
{
    char *end = NULL;
    unsigned long ma = strtoul(s, &end, 10);
    if (end == s || *end != ':')
        return false;
    s = end + 1;
    unsigned long mi = strtoul(s, &end, 10);
    if (end == s || *end)
        return false;
    *ret = makedev((unsigned)ma, (unsigned)mi);
    return true;
}

bool mountinfo_line(char *line, const char **ret_path, struct mount_entry *ret)
{
    /* id parent major:minor root mountpoint options [optional…] - type source options */
    char *save = NULL, *field[5], *type = NULL;
    line[strcspn(line, "\n")] = '\0';
    for (int i = 0; i < 5; i++) {
        field[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
        if (!field[i])
            return false;
    }
    for (char *p = strtok_r(NULL, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
        if (strcmp(p, "-") != 0)
            continue;
        type = strtok_r(NULL, " ", &save);
        break;
    }
    if (!type || strlen(type) >= sizeof ret->type || !parse_dev(field[2], &ret->dev))
        return false;
    unescape(field[4]);
    *ret_path = field[4];
    memcpy(ret->type, type, strlen(type) + 1);
    ret->part = strcmp(field[3], "/") != 0;
    return true;
}

/* Calls fn for each mount that the file lists; fn returns true to stop. -1: it can't be read. */
static int each_mount(const char *file, bool (*fn)(void *ctx, const char *at, const struct mount_entry *m), void *ctx)
{
    FILE *f = fopen(file, "re");
    char *line = NULL;
    size_t cap = 0;
    if (!f)
        return -1;
    while (getline(&line, &cap, f) > 0) {
        struct mount_entry m;
        const char *at = NULL;
        if (mountinfo_line(line, &at, &m) && fn(ctx, at, &m))
            break;
    }
    int failed = ferror(f);
    free(line);
    fclose(f);
    return failed ? -1 : 0;
}

struct at_ctx {
    const char *path;
    struct mount_entry *ret;
    bool *ret_found;
};

static bool is_at(void *ctx, const char *at, const struct mount_entry *m)
{
    struct at_ctx *c = ctx;
    if (strcmp(at, c->path) == 0) {
        *c->ret = *m;
        *c->ret_found = true;
    }
    return false; /* later ones are on top */
}

int mountinfo_at(const char *path, struct mount_entry *ret, bool *ret_found, struct err *e)
{
    struct at_ctx c = {.path = path, .ret = ret, .ret_found = ret_found};
    *ret_found = false;
    if (each_mount("/proc/self/mountinfo", is_at, &c) < 0)
        return err_sys(e, errno, "read /proc/self/mountinfo");
    return 0;
}

/* --- parts, in all namespaces --- */

/* Namespaces looked at. More than this many aren't told apart any more, which costs time only. */
enum { NAMESPACES = 256 };

struct parts_ctx {
    dev_t dev;
    bool found;
    ino_t seen[NAMESPACES];
    unsigned count;
};

static bool is_part(void *ctx, const char *at, const struct mount_entry *m)
{
    struct parts_ctx *c = ctx;
    (void)at;
    c->found = m->dev == c->dev && m->part;
    return c->found;
}

static bool is_new(struct parts_ctx *c, ino_t ns)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->seen[i] == ns)
            return false;
    if (c->count < NAMESPACES)
        c->seen[c->count++] = ns;
    return true;
}

bool mountinfo_has_parts(dev_t dev)
{
    struct parts_ctx c = {.dev = dev};
    DIR *proc = opendir("/proc");
    if (!proc)
        return true;
    for (struct dirent *d = readdir(proc); d && !c.found; d = readdir(proc)) {
        char path[300];
        struct stat st;
        if (d->d_name[0] < '1' || d->d_name[0] > '9')
            continue;
        snprintf(path, sizeof path, "/proc/%s/ns/mnt", d->d_name);
        /* Processes of others that may not be looked at are no users of a mount of ours, unless it is root's, who may.
         */
        if (stat(path, &st) < 0 || !is_new(&c, st.st_ino))
            continue;
        snprintf(path, sizeof path, "/proc/%s/mountinfo", d->d_name);
        each_mount(path, is_part, &c); /* may have ended meanwhile */
    }
    closedir(proc);
    return c.found;
}

/* SPDX-License-Identifier: MIT */
/* mountinfo: see mountinfo.h, and proc(5) for the format. */
#include "mountinfo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

bool mountinfo_line(char *line, const char **ret_path, struct mount_entry *ret)
{
    /* id parent major:minor root mountpoint options [optional…] - type source options */
    unsigned major = 0, minor = 0;
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
    if (!type || strlen(type) >= sizeof ret->type || sscanf(field[2], "%u:%u", &major, &minor) != 2)
        return false;
    unescape(field[4]);
    *ret_path = field[4];
    strcpy(ret->type, type);
    ret->dev = makedev(major, minor);
    return true;
}

int mountinfo_at(const char *path, struct mount_entry *ret, bool *ret_found, struct err *e)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t cap = 0;
    if (!f)
        return err_sys(e, errno, "open /proc/self/mountinfo");
    *ret_found = false;
    while (getline(&line, &cap, f) > 0) {
        struct mount_entry m;
        const char *at = NULL;
        if (!mountinfo_line(line, &at, &m) || strcmp(at, path) != 0)
            continue;
        *ret = m; /* later ones are on top */
        *ret_found = true;
    }
    int failed = ferror(f);
    free(line);
    fclose(f);
    return failed ? err_sys(e, EIO, "read /proc/self/mountinfo") : 0;
}

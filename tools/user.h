/* SPDX-License-Identifier: MIT */
/*
 * user: "user[:group]" of an image's config or of -u, looked up in /etc/passwd and /etc/group of the root that the
 * process is in. Both files are hostile input: regular files only, read up to a bound, malformed lines passed over.
 */
#ifndef CAIRN_USER_H
#define CAIRN_USER_H

#include "../index/err.h"

#include <stddef.h>
#include <sys/types.h>

#define USER_GROUPS_MAX 256

struct user {
    uid_t uid;
    gid_t gid;
    gid_t groups[USER_GROUPS_MAX]; /* supplementary */
    size_t group_count;
    char home[256];
};

/* spec NULL or "": root. Numbers needn't be in the files. ERR_NOT_FOUND: no such name. */
int user_lookup(const char *spec, struct user *ret, struct err *e);

#endif

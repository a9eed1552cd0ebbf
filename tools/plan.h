/* SPDX-License-Identifier: MIT */
/*
 * plan: what `cairn run` is going to do, as data: a list of set-up steps inside the container's root, and the process
 * to start. Pure: making a plan touches nothing, so it can be printed (--dry-run) and tested; sandbox.h carries it out
 * and names the step that failed. Strings are owned by the plan. One thread.
 */
#ifndef CAIRN_PLAN_H
#define CAIRN_PLAN_H

#include "../index/err.h"
#include "../index/json.h"

#include <stdint.h>
#include <sys/types.h>

enum step_kind {
    STEP_OVERLAY,    /* the root: src is the lower directory (host path), the upper one is private and discarded */
    STEP_ROOT_TMPFS, /* the root: an empty tmpfs (packages) */
    STEP_MOUNT,      /* a new file system of type src on dst, with data */
    STEP_BIND,       /* host path src on dst, with everything mounted below it */
    STEP_DIR,        /* directory dst */
    STEP_SYMLINK,    /* dst -> src, unless something is there */
    STEP_FILE,       /* generated contents (data) on dst, read-only */
    STEP_MASK,       /* hides dst (file or directory), if it is there */
    STEP_READONLY,   /* makes dst read-only, if it is there */
    STEP_HOSTNAME,   /* src */
    STEP_LOOPBACK,   /* brings lo up in the private network */
};

enum step_flags {
    STEP_RO = 1 << 0,
    STEP_NOSUID = 1 << 1,
    STEP_NODEV = 1 << 2,
    STEP_NOEXEC = 1 << 3,
    STEP_OPTIONAL = 1 << 4, /* a source that isn't there, or a mount that this machine refuses, is passed over */
};

struct step {
    enum step_kind kind;
    int flags;
    char *src, *dst, *data;
    mode_t mode; /* STEP_DIR */
};

struct plan {
    struct step *steps;
    size_t count, cap;
    char **argv, **env; /* NULL-terminated; argv[0] is looked up in env's PATH, inside */
    char *workdir;      /* made when it isn't there; NULL: / */
    char *user;         /* "user[:group]", names looked up inside; NULL: root */
    bool private_network, init, readonly;
};

void plan_release(struct plan *p);
/* Appends a step; strings are copied (NULL allowed). */
int plan_step(struct plan *p, enum step_kind kind, int flags, const char *src, const char *dst, const char *data,
              struct err *e);
/* The mounts that every container has: /proc, /dev, /sys, masked and read-only paths. rootless: what a user namespace
 * allows. */
int plan_system(struct plan *p, bool rootless, struct err *e);
/* /etc/resolv.conf of the host, hostname and hosts made for `hostname`. */
int plan_etc(struct plan *p, const char *hostname, struct err *e);
/* Copies of NULL-terminated lists; env: later assignments of a name win. */
int plan_args(struct plan *p, char *const *entrypoint, char *const *command, struct err *e);
int plan_env(struct plan *p, const char *assignment, struct err *e);
const char *plan_getenv(const struct plan *p, const char *name); /* NULL when not set */
/* "SRC:DST[:ro]" as docker has it; SRC must be absolute or ./relative. */
int plan_volume(struct plan *p, const char *spec, struct err *e);

/* One line a step, for people; and the same as JSON. */
int plan_print(const struct plan *p, struct buf *out);
struct json *plan_json(const struct plan *p);
/* "mount proc on /proc", for errors and plan_print. */
void plan_step_text(const struct step *s, char *out, size_t n);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * sandbox: carries a plan out: namespaces, mounts, a new root, fewer rights, exec.
 *
 *   sandbox_enter       own mount namespace (rootless: own user namespace too); a private scratch folder
 *   … the caller may mount a store below sandbox_scratch() now: it is seen by nobody else and goes with the namespace
 *   sandbox_run         own PID, IPC, UTS (network) namespaces, the plan's steps, exec; waits, passes signals on
 *   sandbox_leave       always
 *
 * Every target inside the root is resolved with openat2(RESOLVE_IN_ROOT), created when missing, and mounted on by
 * descriptor, so links in an image can't lead a mount outside (CVE-2021-30465 and its kin). One thread; sandbox_enter
 * can't be undone for the calling process.
 */
#ifndef CAIRN_SANDBOX_H
#define CAIRN_SANDBOX_H

#include "plan.h"

#include <stdbool.h>

/* Exit codes of run, docker's. */
enum { SANDBOX_FAILED = 125, SANDBOX_NOT_EXECUTABLE = 126, SANDBOX_NOT_FOUND = 127 };

struct sandbox {
    char scratch[64];       /* host path of the scratch folder */
    bool rootless, all_ids; /* all_ids: ids 0..65535 are mapped, not only our own */
    bool entered;
    int lock_fd; /* the scratch folder's, flock'd for as long as it is in use */
};

int sandbox_enter(struct sandbox *s, struct err *e);
/* *ret_status is what `cairn run` exits with: the process's code, 128 + signal, or 125 to 127 (then -1 is returned and
 * e tells). */
int sandbox_run(struct sandbox *s, const struct plan *p, int *ret_status, struct err *e);
void sandbox_leave(struct sandbox *s);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * sandbox_root: the child's side of a sandbox: it runs as PID 1 of the new namespaces, builds the root, gives up rights
 * and executes.
 */
#ifndef CAIRN_SANDBOX_ROOT_H
#define CAIRN_SANDBOX_ROOT_H

#include "sandbox.h"

/* Returns only on failure: e says which step, *ret_status is 125, 126 or 127. */
void sandbox_root_run(const struct sandbox *s, const struct plan *p, int *ret_status, struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * pathgraph: walks over the references between store paths (base names). Where the references come from is the caller's
 * business. Neither walk recurses; references of a path to itself, and circles, are passed over. One thread.
 */
#ifndef CAIRN_PATHGRAPH_H
#define CAIRN_PATHGRAPH_H

#include "../err.h"

#include <stddef.h>

/*
 * References of `name`: NULL-terminated list in *ret, taken over (free()d, as its strings). needed_by: who refers to
 * it, NULL for the names that the walk began with.
 */
typedef int (*pathgraph_refs)(void *ctx, const char *name, const char *needed_by, char ***ret, struct err *e);

/* All that is reached from names, each once, dependencies first; NULL-terminated. */
int pathgraph_order(const char *const *names, pathgraph_refs refs, void *ctx, char ***ret, struct err *e);
/* A shortest chain from a to b, both included; *ret NULL when there is none. */
int pathgraph_chain(const char *a, const char *b, pathgraph_refs refs, void *ctx, char ***ret, struct err *e);
/* NULL-terminated lists of strings, as everywhere here. NULL: no-op. copy: -1 only for want of memory. */
void pathgraph_free(char **list);
int pathgraph_copy(const char *const *list, char ***ret);

#endif

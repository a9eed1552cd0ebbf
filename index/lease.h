/* SPDX-License-Identifier: MIT */
/*
 * lease: who uses the store right now: mounts, imports, running containers. One file a lease in STORE/run/,
 * flock'd by its living owner; a file without lock is left over and removed by whoever sees it. So nothing needs
 * cleaning up after kill -9, and no clock is involved.
 * A lease carries a small JSON text: {"pid":N,"mountpoint":…,"seq":N,"held":[no…]} for a mount, {"pid":N,"held":[…]}
 * else. gc doesn't free objects in "held", nor (mounts) objects removed after "seq", the last change that the mount has
 * taken in.
 */
#ifndef CAIRN_LEASE_H
#define CAIRN_LEASE_H

#include "store.h"

struct lease;
enum lease_kind { LEASE_MOUNT, LEASE_IMPORT, LEASE_RUN };

int lease_take(struct store *s, enum lease_kind kind, const char *json, struct lease **ret, struct err *e);
int lease_update(struct lease *l, const char *json, struct err *e); /* seen whole or not at all by others */
void lease_drop(struct lease *l);                                   /* NULL: no-op */
/* fn for each living lease of that kind (own process's too); returns non-zero to stop. */
int lease_each(struct store *s, enum lease_kind kind, int (*fn)(const char *json, void *ctx), void *ctx, struct err *e);

#endif

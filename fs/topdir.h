/* SPDX-License-Identifier: MIT */
/*
 * topdir: the listing of one of the mount's own directories (store, layers/sha256, images), whose names come and go.
 *
 * Read in order of object number, and that number is the readdir position: a name that comes or goes between two reads
 * never makes another one appear twice or not at all. Looked up by name through a second, sorted index.
 * Of two objects with one name the older (lower number) is shown. Names are borrowed. Immutable once built; any thread.
 */
#ifndef CAIRN_FS_TOPDIR_H
#define CAIRN_FS_TOPDIR_H

#include <stdint.h>

struct top_entry {
    const char *name;
    uint32_t no;
};

struct topdir {
    struct top_entry *v; /* by number */
    uint32_t *by_name;   /* indexes of v */
    uint32_t n;
};

/* Takes v (malloc'd, n entries in any order) over, also on failure. -1 only for want of memory. */
int topdir_build(struct topdir *t, struct top_entry *v, uint32_t n);
void topdir_release(struct topdir *t);
/* Object number, or 0. */
uint32_t topdir_find(const struct topdir *t, const char *name);
/* Index of the first entry whose number is above no; n when there is none. */
uint32_t topdir_after(const struct topdir *t, uint32_t no);
/* Calls fn for each name of `old` that `fresh` lacks or gives another number. fn returns non-zero to stop; that is
 * returned. */
int topdir_gone(const struct topdir *old, const struct topdir *fresh, int (*fn)(void *ctx, const struct top_entry *e),
                void *ctx);

#endif

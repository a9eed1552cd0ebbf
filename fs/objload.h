/* SPDX-License-Identifier: MIT */
/* objload: one consistent reading of the catalog's objects; inside of objects.c only. One thread. */
#ifndef CAIRN_FS_OBJLOAD_H
#define CAIRN_FS_OBJLOAD_H

#include "objects.h"

#include <stdatomic.h>

struct obj {
    struct object pub;
    char *name;            /* in its list; image: NULL (has no list) */
    struct digest *layers; /* image: diffIDs, lowest first */
    uint32_t *layer_nos;   /* image: their numbers, 0 where the catalog has no such layer */
    _Atomic uint64_t lookups;
    bool used_before; /* at the last drain */
    bool keep;        /* objects.c, while it merges */
    bool shown;       /* the catalog keeps it whatever the kernel has: reachable from a name, or a package */
};

struct objload {
    struct obj **v; /* sorted by number, no number twice */
    uint32_t n, cap;
    uint64_t version, seq; /* of the catalog */
    struct err *e;
};

void obj_free(struct obj *o);
struct obj *obj_find(struct obj *const *v, uint32_t n, uint32_t no);
/* Release with objload_release whatever this returned. */
int objload(struct store *s, struct objload *ret, struct err *e);
void objload_release(struct objload *l);

#endif

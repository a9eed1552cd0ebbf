/* SPDX-License-Identifier: MIT */
/*
 * gc: frees what nothing reaches. Safe beside imports, mounts and running containers, and at any crash (gc.c says why).
 */
#ifndef CAIRN_GC_H
#define CAIRN_GC_H

#include "store.h"

struct gc_opts {
    bool dry_run; /* changes nothing; the same figures */
    bool full;    /* also rewrites blocks and packs that hold anything dead */
};

struct gc_result {
    uint64_t objects_removed; /* images without a name, layers without an image */
    uint64_t chunks;          /* that nothing reaches */
    uint64_t raw_bytes;       /* of these */
    uint64_t bytes_freed;     /* of packs/; dry_run: an estimate, from the share of dead bytes */
    uint64_t bytes_waiting;   /* raw, condemned, but an import is running that may build on them */
};

int gc_run(struct store *s, const struct gc_opts *o, struct gc_result *ret, struct err *e);

#endif

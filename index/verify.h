/* SPDX-License-Identifier: MIT */
/*
 * verify: reads and hashes again what the store, or one object, holds. Damage is data, not an error: findings are
 * reported one by one, and the walk goes on. -1 only when verifying itself can't go on.
 *
 * Whole store: the catalog's own check; each pack frame by frame, each block decoded, each chunk hashed and compared
 * with its name; the catalog's blocks against the packs; each object's tree, contents, recipe and documents. One
 * object: what it reaches, read as a reader would.
 */
#ifndef CAIRN_VERIFY_H
#define CAIRN_VERIFY_H

#include "store.h"

struct verify_finding {
    const char *object;    /* "deb:nginx", "sha256:…", a package's name; NULL: not of one object */
    const char *path;      /* a file that it hurts; may be NULL */
    uint64_t pack, offset; /* pack 0: not of one place */
    const char *reason;
};

struct verify_opts {
    uint32_t no; /* one object (image, layer, package); 0: the whole store */
    const volatile int *cancel;
    void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total); /* bytes; may be NULL */
    void (*finding)(void *ctx, const struct verify_finding *f);
    void *ctx;
};

struct verify_stats {
    uint64_t packs, blocks, chunks, bytes; /* bytes: raw, hashed */
    uint64_t objects, findings;
};

int verify_run(struct store *s, const struct verify_opts *o, struct verify_stats *ret, struct err *e);

#endif

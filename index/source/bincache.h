/* SPDX-License-Identifier: MIT */
/*
 * bincache: a Nix binary cache in a folder, as `nix copy --to file://…` writes it:
 * nix-cache-info, <hash>.narinfo, nar/….
 *
 * First all metadata that is needed is read and checked, signatures too; then the NARs are read, dependencies before
 * dependents, each checked against FileHash and FileSize (where given), NarHash and NarSize before it is recorded.
 */
#ifndef CAIRN_BINCACHE_H
#define CAIRN_BINCACHE_H

#include "package.h"
#include "narinfo.h"

struct bincache_opts {
    bool closure;                    /* what is asked for refers to comes along; else its references are left open */
    const struct trusted_keys *keys; /* NULL: signatures aren't asked for */
    /* May be NULL. From the calling thread; in bytes of NARs. */
    void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);
    void *ctx;
};

/* Whether the folder looks like one (has nix-cache-info). */
bool bincache_is(const char *dir);

/*
 * paths: base names, full store paths or hash parts, NULL-terminated; NULL: everything in the cache. Appends to results
 * in the order of import. A path that the store has with the same NAR hash isn't read again. ERR_NOT_FOUND: a path, or
 * a reference (named with who needs it), has neither a narinfo nor a package in the store.
 */
int bincache_import(struct session *s, const char *dir, const char *const *paths, const struct bincache_opts *o,
                    struct package_results *results, struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * source: finds out what a thing is (image layout, docker archive, tar, NAR, export stream, binary cache, directory)
 * and imports it in one session: all or nothing.
 */
#ifndef CAIRN_SOURCE_H
#define CAIRN_SOURCE_H

#include "../session.h"

struct import_opts {
    const char *name;                /* --name REPO[:TAG]; NULL: the image's own reference, else <folder>:<ref.name> */
    const char *platform;            /* "os/arch[/variant]"; NULL: the host's */
    const char *store_path;          /* --store-path: import as this package */
    const char *const *trusted_keys; /* "name:base64", NULL-terminated; NULL: signatures aren't asked for */
    bool all_of_closure;             /* binary cache: what is asked for, with its closure (default true in the tool) */
    const char *created_by;          /* history text of images made from a tar or directory; NULL: a default */
    unsigned threads;
    const volatile int *cancel;
    /* Called from the importing thread now and then; total 0: unknown. */
    void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);
    void *ctx;
};

enum imported_kind { IMPORTED_IMAGE, IMPORTED_PACKAGE };

struct imported {
    enum imported_kind kind;
    char *name;  /* "deb:nginx", or the store path */
    char *id;    /* manifest digest (OCI spelling), or NAR hash "sha256:<nix32>" */
    bool is_new; /* false: the store had it, with this name */
};
struct import_result {
    struct imported *v;
    size_t n;
    struct session_stats stats;
    bool nothing_new; /* the store is exactly as before */
};
void import_result_release(struct import_result *r);

/*
 * source: "-" (standard input), PATH, PATH:TAG (an image of several), or a store path inside a binary cache:
 * "CACHEDIR" imports everything in it, "CACHEDIR:<hash>-<name>" (or the full path) one path with its closure.
 */
int source_import(struct store *s, const char *source, const struct import_opts *o, struct import_result *ret,
                  struct err *e);

/* `cairn add`: computes the store path as nix-store --add does and adds it. name NULL: the last part of path. */
int source_add(struct store *s, const char *path, const char *name, const struct import_opts *o,
               struct import_result *ret, struct err *e);

#endif

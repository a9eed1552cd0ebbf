/* SPDX-License-Identifier: MIT */
/*
 * package: Nix store objects in and out. NARs are parsed strictly (nix-formats 1), and a package is recorded only
 * after the hash and size of its NAR were checked.
 */
#ifndef CAIRN_PACKAGE_H
#define CAIRN_PACKAGE_H

#include "../catalog.h"
#include "../session.h"
#include "../stream.h"
#include "storepath.h"

struct package_meta {
    const char *path;              /* full store path, "/nix/store/<hash>-<name>" */
    const struct digest *narhash;  /* NULL: not known, taken from the bytes */
    int64_t narsize;               /* -1: not known */
    const char *const *refs;       /* base names, NULL-terminated; NULL: scan the NAR for `candidates` */
    const char *const *candidates; /* base names to scan for (self is always one); NULL: all packages of the store */
    const char *deriver, *ca;      /* may be NULL */
    const char *const *sigs;       /* NULL-terminated, may be NULL */
    bool trusted;                  /* a signature was verified (set by itself where ca is proved by the contents) */
};

/* What an import of several packages did, in its order. `struct package_results r = {0};` is an empty list. */
struct package_result {
    char *path; /* full store path */
    struct digest narhash;
    bool is_new;
};
struct package_results {
    struct package_result *v;
    size_t n, cap;
};
int package_results_add(struct package_results *r, const char *path, const struct digest *narhash, bool is_new,
                        struct err *e);
void package_results_release(struct package_results *r);

/* Reads one NAR to its closing parenthesis (and checks nothing follows when whole). Stores and records it. *ret_new =
 * false when the store had it (with the same NAR hash; with another it is ERR_EXISTS). ret_new may be NULL. */
int package_import(struct session *s, struct stream *nar, bool whole, const struct package_meta *m, bool *ret_new,
                   struct err *e);

/* The package's NAR; hash checked at the end (ERR_DAMAGED). */
int package_export_nar(struct store *s, const struct cat_package *p,
                       int (*write)(void *, const void *, size_t, struct err *), void *ctx, struct err *e);
/* `nix-store --export` of these packages, given in the order to write them (dependencies first). */
int package_export(struct store *s, const struct cat_package *const *p, size_t n,
                   int (*write)(void *, const void *, size_t, struct err *), void *ctx, struct err *e);

/* Closure of names (base names): every package reached over refs, dependencies first; NULL-terminated, each free()d. A
 * reference that the store lacks is ERR_NOT_FOUND. */
int package_closure(struct catalog *c, const char *const *names, char ***ret, struct err *e);
/* Shortest chain from a to b, both included; *ret NULL when there is none. */
int package_why(struct catalog *c, const char *a, const char *b, char ***ret, struct err *e);

/* A stream that gives path as a NAR, metadata canonicalised (only the executable bit of the owner counts). Made by a
 * thread of its own. */
int dirnar_open(const char *path, struct stream **ret, struct err *e);

#endif

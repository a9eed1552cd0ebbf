/* SPDX-License-Identifier: MIT */
/*
 * storepath: what a store path may look like, and how one is computed from contents.
 *
 *   path = dir "/" hash "-" name;  hash = nix32(fold20(sha256(type ":sha256:" hex(inner) ":" dir ":" name)))
 *
 * "Base name" below is "<hash>-<name>". Pure functions, any thread. Strings returned are the caller's to free.
 */
#ifndef CAIRN_STOREPATH_H
#define CAIRN_STOREPATH_H

#include "../digest.h"
#include "../err.h"

#define STOREPATH_DIR      "/nix/store" /* where no metadata says otherwise */
#define STOREPATH_HASH_LEN 32
#define STOREPATH_NAME_MAX 211
#define STOREPATH_BASE_MAX (STOREPATH_HASH_LEN + 1 + STOREPATH_NAME_MAX)

/* The part behind the hash: 1..211 of [0-9a-zA-Z+-._?=], first dash-separated piece neither "." nor "..". ERR_INPUT
 * says why not. */
int storepath_check_name(const char *name, size_t len, struct err *e);
/* "<hash>-<name>". */
int storepath_check_base(const char *base, size_t len, struct err *e);
/* 32 characters of the nix32 alphabet. */
bool storepath_is_hash(const char *s, size_t len);
/* Absolute, no empty, "." or ".." parts, no trailing slash, printable. */
int storepath_check_dir(const char *dir, size_t len, struct err *e);
/* Splits and checks "<dir>/<hash>-<name>"; *ret_base points at the base name. */
int storepath_check(const char *path, size_t *ret_dirlen, const char **ret_base, struct err *e);

/* The formula above: type as it stands before ":sha256:". */
int storepath_make(const char *type, const struct digest *inner, const char *dir, const char *name, char **ret,
                   struct err *e);
/* Recursive SHA-256 with references (base names, sorted; NULL: none), `self` when the path refers to itself. */
int storepath_source_refs(const struct digest *narhash, const char *dir, const char *name, const char *const *refs,
                          bool self, char **ret, struct err *e);
/* As `nix-store --add` computes it: recursive SHA-256, no references, in STOREPATH_DIR. */
int storepath_source(const struct digest *narhash, const char *name, char **ret, struct err *e);
/* A text file (writeText, .drv) with references (base names, sorted; NULL: none). */
int storepath_text(const struct digest *contents, const char *dir, const char *name, const char *const *refs,
                   char **ret, struct err *e);
/* Fixed output, anything but recursive SHA-256: method "" (flat) or "r:", algo "sha1", …, hash in hex. */
int storepath_fixed(const char *method, const char *algo, const char *hex, const char *dir, const char *name,
                    char **ret, struct err *e);

/* How the `CA` field of a path says it was made. */
enum storepath_ca_kind {
    STOREPATH_CA_OTHER, /* well-formed or not, but nothing that SHA-256 alone can prove (fixed:sha1:…, fixed:git:…) */
    STOREPATH_CA_TEXT, /* hash is of a single file's contents */
    STOREPATH_CA_FLAT, /* the same */
    STOREPATH_CA_NAR,  /* hash is of the NAR, self references zeroed */
};
struct storepath_ca {
    enum storepath_ca_kind kind;
    struct digest hash;
};
void storepath_ca_parse(const char *ca, struct storepath_ca *ret);
/* Recomputes the path from its CA and references (base names, sorted, may hold the path's own): 0 when it comes out as
 * `path`; ERR_INPUT when it doesn't, ERR_UNSUPPORTED for STOREPATH_CA_OTHER. That contents have that hash is the
 * caller's to check. */
int storepath_ca_check(const struct storepath_ca *ca, const char *path, const char *const *refs, struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * narinfo: the metadata of one path in a binary cache, trusted keys, and the signature between them.
 *
 * A signature covers path, NAR hash, NAR size and references; URL, Compression, FileHash, FileSize, Deriver and CA are
 * not covered: nothing of them is to be believed before the NAR's hash was checked. Tolerated, because real caches have
 * it: references out of order, missing or empty, hashes in hex, "unknown-deriver", no Compression (bzip2), unknown
 * keys. Anything else out of line is ERR_INPUT naming line and key.
 */
#ifndef CAIRN_NARINFO_H
#define CAIRN_NARINFO_H

#include "../digest.h"
#include "../buf.h"
#include "../err.h"

struct narinfo {
    char *path;       /* full store path, checked */
    const char *base; /* points into path */
    size_t dirlen;
    char *url, *compression;
    bool has_filehash;
    struct digest filehash, narhash;
    int64_t filesize; /* -1: not given */
    int64_t narsize;
    char **refs;   /* base names, sorted by bytes, each once; NULL-terminated, never NULL */
    char *deriver; /* base name or NULL */
    char *ca;      /* or NULL */
    char **sigs;   /* as they stand; NULL-terminated, never NULL */
};

/* One whole narinfo (LIMIT_NARINFO at most: ERR_LIMIT). Release on success. */
int narinfo_parse(const void *p, size_t n, struct narinfo *ret, struct err *e);
void narinfo_release(struct narinfo *i);

/* The string that is signed. refs: base names, sorted. Appends to out. */
int narinfo_fingerprint(const char *path, const struct digest *narhash, uint64_t narsize, const char *const *refs,
                        struct buf *out, struct err *e);

/* "name:base64(32 bytes)" each. */
struct trusted_key {
    char *name;
    uint8_t pub[32];
};
struct trusted_keys {
    struct trusted_key *v;
    size_t n;
};
/* texts: NULL-terminated. ERR_USAGE names the one that is malformed. Release on success. */
int trusted_keys_parse(const char *const *texts, struct trusted_keys *ret, struct err *e);
void trusted_keys_release(struct trusted_keys *k);

/* Name of the trusted key that signed this (borrowed from keys), or NULL when none did; ERR_* only for want of memory.
 */
int narinfo_verify(const char *path, const struct digest *narhash, uint64_t narsize, const char *const *refs,
                   const char *const *sigs, const struct trusted_keys *keys, const char **ret_key, struct err *e);

#endif

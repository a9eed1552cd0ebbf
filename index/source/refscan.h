/* SPDX-License-Identifier: MIT */
/*
 * refscan: which of a set of store paths a stream of bytes refers to: wherever the 32 characters of one's hash stand in
 * it, in any context and also overlapping. And the hash of a stream whose own hash part counts as zeros, by which
 * content-addressed paths that refer to themselves are named.
 * A scan belongs to one thread.
 */
#ifndef CAIRN_REFSCAN_H
#define CAIRN_REFSCAN_H

#include "../crypto.h"
#include "../err.h"

struct refscan;

/* candidates: base names "<hash>-<name>" (checked by the caller), copied; two of one hash part are both found. */
int refscan_new(const char *const *candidates, size_t n, struct refscan **ret, struct err *e);
void refscan_free(struct refscan *r); /* NULL: no-op */
void refscan_feed(struct refscan *r, const void *p, size_t n);
/* The candidates found so far, sorted by bytes, each once, NULL-terminated; free() each and the list. */
int refscan_found(const struct refscan *r, char ***ret, struct err *e);

/* SHA-256 of the stream with each occurrence of `hash` (32 characters) as zero bytes, followed by "|<offset>" for each.
 */
struct modhash;
int modhash_new(const char *hash, struct modhash **ret, struct err *e);
void modhash_free(struct modhash *m); /* NULL: no-op */
int modhash_feed(struct modhash *m, const void *p, size_t n, struct err *e);
int modhash_final(struct modhash *m, struct digest *ret, struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * hashtab: an open-addressed set of 32-bit values, for look-up tables over things that somebody else named.
 * The table keeps (hash, value) pairs of 8 bytes; what a value means, and when two are equal, is the caller's business.
 * Hashes of foreign bytes come from hashkey_of under a random key, so that nobody can make them collide on purpose.
 * Values must be below UINT32_MAX. `struct hashtab t = {0};` is an empty one. One thread at a time.
 */
#ifndef CAIRN_HASHTAB_H
#define CAIRN_HASHTAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASHTAB_NONE UINT32_MAX

struct hashkey {
    uint64_t k[2];
};

struct hashtab {
    struct hashtab_slot {
        uint32_t hash, val; /* val HASHTAB_NONE: free */
    } * v;
    uint32_t mask, used; /* slots - 1 */
};

/* A fresh random key. */
int hashkey_init(struct hashkey *k);
/* SipHash-1-3 of n bytes; seed is mixed in like eight more bytes in front. */
uint64_t hashkey_of(const struct hashkey *k, uint64_t seed, const void *p, size_t n);

void hashtab_release(struct hashtab *t);
/* The value with this hash for which eq says true; HASHTAB_NONE when there is none. */
uint32_t hashtab_find(const struct hashtab *t, uint32_t hash, bool (*eq)(const void *ctx, uint32_t val),
                      const void *ctx);
/* Adds a value (which must not be in it). -1 only for want of memory. */
int hashtab_put(struct hashtab *t, uint32_t hash, uint32_t val);
/* Takes out a value that is in it. */
void hashtab_remove(struct hashtab *t, uint32_t hash, uint32_t val);

#endif

/* SPDX-License-Identifier: MIT */
/* digestset: a set of digests, 40 bytes each. One thread. */
#ifndef CAIRN_DIGESTSET_H
#define CAIRN_DIGESTSET_H

#include "buf.h"
#include "digest.h"
#include "hashtab.h"

struct digestset {
    struct hashkey key; /* digests may be chosen by whoever made the contents */
    struct hashtab table;
    struct buf items;
};

int digestset_init(struct digestset *s); /* -1: no random bytes */
void digestset_release(struct digestset *s);
int digestset_add(struct digestset *s, const struct digest *d); /* -1: no memory */
bool digestset_has(const struct digestset *s, const struct digest *d);

#endif

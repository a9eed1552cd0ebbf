/* SPDX-License-Identifier: MIT */
/*
 * nartree: one NAR in, its contents into the session, its tree built, its hash and references found on the way. Two
 * steps, because an export stream says behind the NAR what it was, and because a cache's file has to be checked to its
 * end first:
 *
 *   nartree_read → (checks) → nartree_store → nartree_free
 *
 * Nothing is recorded by this: package.c does that.
 */
#ifndef CAIRN_NARTREE_H
#define CAIRN_NARTREE_H

#include "../session.h"
#include "../stream.h"
#include "refscan.h"

struct nartree;

struct nartree_opts {
    bool hash_only;       /* the store has it: only hash and size are wanted, nothing is given to the session */
    int64_t limit;        /* more bytes are ERR_INPUT (a bomb stops here); -1: not known */
    struct refscan *scan; /* fed with the whole NAR; NULL: none */
    const char *self;     /* hash part: also compute the hash modulo it; NULL: not wanted */
};

struct nartree_result {
    struct digest narhash;
    uint64_t narsize;
    struct digest modhash; /* with opts.self */
    bool is_file;          /* the root is one non-executable file … */
    struct digest flat;    /* … and this is the SHA-256 of its contents */
};

/* Reads one NAR up to its closing parenthesis. `whole`: anything behind it is ERR_INPUT. nartree_free in any case but
 * failure. */
int nartree_read(struct session *s, struct stream *in, bool whole, const struct nartree_opts *o, struct nartree **ret,
                 struct nartree_result *ret_result, struct err *e);
/* Flushes the session and puts the finished tree into it. Not after hash_only. */
int nartree_store(struct nartree *t, struct digest *ret_tree, struct err *e);
void nartree_free(struct nartree *t); /* NULL: no-op */

#endif

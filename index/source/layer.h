/* SPDX-License-Identifier: MIT */
/*
 * layer: an uncompressed tar stream in, a layer in the store; and the same tar out again, bit for bit.
 * Refuses what Go's archive/tar refuses. Nothing of the host's file system is touched.
 */
#ifndef CAIRN_LAYER_H
#define CAIRN_LAYER_H

#include "../catalog.h"
#include "../session.h"
#include "../stream.h"

struct layer_result {
    struct digest diffid, tree_digest, recipe;
    uint64_t size; /* of the tar */
    uint32_t entries;
    struct tree *tree; /* caller closes */
};

/*
 * Reads the tar to its end, puts contents, tree and recipe into the session, and records the layer (unless the store or
 * the session has it). expect: the diffID it must have, or NULL. Doesn't close tar.
 */
int layer_import(struct session *s, struct stream *tar, const struct digest *expect, struct layer_result *ret,
                 struct err *e);

/* The layer's tar, as it went in: bytes go to write(ctx, p, n) (0 or -1 with e). The digest is checked at the end:
 * ERR_DAMAGED. */
int layer_export(struct store *s, const struct cat_layer *l,
                 int (*write)(void *ctx, const void *p, size_t n, struct err *e), void *ctx, struct err *e);

/* A stream that gives the directory as a tar (sorted names, PAX with times and xattrs, hard links kept, numeric owners;
 * one file system is not enforced; sockets left out as tar does). Made by a thread of its own; its failure comes out of
 * the stream as an error. */
int dirtar_open(const char *path, struct stream **ret, struct err *e);

#endif

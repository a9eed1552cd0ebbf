/* SPDX-License-Identifier: MIT */
/*
 * recipe: what a layer's tar holds beside its files' contents, so that it can be made again byte for byte
 * (FORMAT.md, "Layer recipes"). Written and read in one pass each, in memory that doesn't depend on its length.
 * One thread.
 */
#ifndef CAIRN_RECIPE_H
#define CAIRN_RECIPE_H

#include "tar.h"

struct recipe;

/* Finished bytes go to sink(ctx, p, n), some tens of KiB at a time. */
int recipe_new(int (*sink)(void *ctx, const void *p, size_t n, struct err *e), void *ctx, struct recipe **ret,
               struct err *e);
void recipe_free(struct recipe *r);
/* Next bytes of the tar that aren't payload; their division into calls doesn't matter. */
int recipe_literal(struct recipe *r, const void *p, size_t n, struct err *e);
/* Next in the tar stands the content of op number `op`: all of it (length bytes), or these fragments of it. */
int recipe_payload(struct recipe *r, uint32_t op, uint64_t length, struct err *e);
int recipe_fragments(struct recipe *r, uint32_t op, const struct tar_fragment *f, size_t n, struct err *e);
/* Writes out what is pending and the end mark. */
int recipe_finish(struct recipe *r, struct err *e);

struct recipe_replay {
    int (*literal)(void *ctx, const void *p, size_t n, struct err *e);
    int (*payload)(void *ctx, uint32_t op, uint64_t off, uint64_t len, struct err *e);
    void *ctx;
    uint64_t size; /* of the tar: a recipe that makes more is damaged */
};
/* Reads a recipe to its end and calls for each part, in order. ERR_DAMAGED when it is malformed. */
int recipe_replay(struct stream *s, const struct recipe_replay *to, struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * ingest: the thinking part of a session (session.h): cuts contents into chunks, hashes them, finds out what is there
 * already and gathers the rest into raw blocks. It belongs to one thread at a time: the session's cutter; the session
 * itself while that waits.
 *
 *   ingest_new → { ingest_data/ingest_hole…, ingest_end } per content → ingest_finish → results → ingest_free
 *
 * Memory: some MiB of buffers, plus about 64 bytes per distinct chunk and 4 per content (72 + 40 a chunk when it has
 * several).
 */
#ifndef CAIRN_INGEST_H
#define CAIRN_INGEST_H

#include "catalog.h"
#include "session.h"

struct ingest;

/* New chunks that are to be compressed as one. */
struct raw_block {
    uint32_t number; /* of this session, from 0 */
    uint32_t count, cap;
    struct chunk_row *rows;
    struct buf data;
};
void raw_block_free(struct raw_block *b); /* NULL: no-op */

struct ingest_opts {
    struct catalog *catalog; /* what is there already */
    /* Takes each block over, also on failure. */
    int (*sink)(void *ctx, struct raw_block *b, struct err *e);
    void *ctx;
    const volatile int *cancel;  /* may be NULL */
    _Atomic uint64_t *bytes_new; /* counts up */
};

int ingest_new(const struct ingest_opts *o, struct ingest **ret, struct err *e);
void ingest_free(struct ingest *g);

/* whole: these bytes are all of the content, and ingest_end comes next (then nothing is copied unless it is new). */
int ingest_data(struct ingest *g, const uint8_t *p, size_t n, bool whole, struct err *e);
int ingest_hole(struct ingest *g, uint64_t n, struct err *e);
/* slot: it gets the next slot number. Else it is only reachable through ingest_last. ERR_USAGE for a content without
 * bytes. */
int ingest_end(struct ingest *g, bool slot, struct err *e);
/* Sends the last, unfilled block. */
int ingest_finish(struct ingest *g, struct err *e);

uint32_t ingest_slots(const struct ingest *g);
/* slot < ingest_slots. Valid until ingest_free. */
void ingest_content(const struct ingest *g, uint32_t slot, struct content *ret);
/* The content that ended last; there must be one. */
void ingest_last(const struct ingest *g, struct content *ret);
/* Such a content is in no tree: it needs a record of its own (when it has several chunks). */
void ingest_keep(struct ingest *g, uint32_t slot);
void ingest_keep_last(struct ingest *g);

/* --- for the commit. Functions called return -1 to stop. --- */
typedef int (*ingest_content_fn)(const struct content *c, void *ctx, struct err *e);
typedef int (*ingest_digest_fn)(const struct digest *d, void *ctx, struct err *e);
uint32_t ingest_blocks(const struct ingest *g);
/* Appends the chunk_row[] of a block to out (which is emptied first). */
int ingest_rows(const struct ingest *g, uint32_t block, struct buf *out, uint32_t *ret_n, struct err *e);
/* Calls fn for each content of several chunks that is new; those with holes aren't: their layout is only their tree's.
 */
int ingest_each_new(const struct ingest *g, ingest_content_fn fn, void *ctx, struct err *e);
/* The same for contents that need a record. */
int ingest_each_kept(const struct ingest *g, ingest_content_fn fn, void *ctx, struct err *e);
/* Calls fn for each chunk of the store that this session builds on. */
int ingest_each_reused(const struct ingest *g, ingest_digest_fn fn, void *ctx, struct err *e);

#endif

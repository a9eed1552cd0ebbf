/* SPDX-License-Identifier: MIT */
/*
 * catalog_gc: what gc, verify and rebuild ask of the catalog beyond catalog.h. "In a transaction": between
 * catalog_begin and catalog_commit.
 */
#ifndef CAIRN_CATALOG_GC_H
#define CAIRN_CATALOG_GC_H

#include "catalog.h"

/* --- rebuild --- */
/* In a transaction, which then doesn't count itself: sets the sequence number and the next object number. */
int catalog_set_counters(struct catalog *c, uint64_t seq, uint64_t next_no, struct err *e);
/* Brings everything into the main file and empties the log. */
int catalog_flatten(struct catalog *c, struct err *e);

/* --- verify --- */
/* SQLite's own check; *ret_ok false: text says what is wrong. */
int catalog_integrity(struct catalog *c, bool *ret_ok, struct buf *text, struct err *e);
/* fn for each pack the catalog knows; non-zero stops. */
int catalog_each_pack(struct catalog *c, int (*fn)(uint64_t pack, uint64_t bytes, void *ctx), void *ctx, struct err *e);
/* fn for each block, with its chunks in order of offset; n = 0: it has none. Ordered by pack and offset. */
struct cat_block {
    uint64_t block;
    struct block_loc loc;
    struct chunk_row *rows;
    uint32_t count;
};
int catalog_each_block(struct catalog *c, int (*fn)(const struct cat_block *b, void *ctx), void *ctx, struct err *e);

/* --- gc --- */
/* Packages that were removed: their trees, for as long as a mount may hold them. */
int catalog_each_removed(struct catalog *c, int (*fn)(uint32_t no, uint64_t seq, const struct digest *tree, void *ctx),
                         void *ctx, struct err *e);
int catalog_forget_removed(struct catalog *c, uint32_t no, struct err *e); /* in a transaction */
/* Numbers with a keep record. */
int catalog_each_kept(struct catalog *c, int (*fn)(uint32_t no, void *ctx), void *ctx, struct err *e);
/* In a transaction: marks every chunk for which live says false, unmarks the others. */
int catalog_condemn(struct catalog *c, bool (*live)(const struct digest *d, void *ctx), void *ctx, uint64_t *ret_chunks,
                    uint64_t *ret_bytes, struct err *e);
/* In a transaction: deletes condemned chunks, contents that use any, and blocks without chunks. */
int catalog_sweep(struct catalog *c, struct err *e);
int catalog_move_block(struct catalog *c, uint64_t block, uint64_t pack, uint64_t off, struct err *e);
int catalog_move_chunk(struct catalog *c, const struct digest *d, uint64_t block, uint32_t off, struct err *e);
int catalog_drop_block(struct catalog *c, uint64_t block, struct err *e);
int catalog_drop_pack(struct catalog *c, uint64_t pack, struct err *e);
/* Everything that records say, as JSON lines behind a snapshot record (FORMAT.md): what a rebuild needs, and nothing
 * older. */
/* loose: contents that are in no tree (trees themselves, recipes, manifests, configs), whose chunk lists nothing else
 * has. */
int catalog_dump(struct catalog *c, bool (*loose)(const struct digest *d, void *ctx), void *ctx, struct buf *lines,
                 struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * gc_pack: what gc does to packs, within its transaction: which go, which are rewritten, and the snapshot of all
 * records that lets packs with old records go. For gc.c only.
 *
 *   gc_pack_list (before it is checked that no import runs) → gc_pack_run (in the transaction) → after the commit
 * gc_pack_unlink, else gc_pack_undo → gc_pack_release
 */
#ifndef CAIRN_GC_PACK_H
#define CAIRN_GC_PACK_H

#include "buf.h"
#include "digest.h"
#include "store.h"

struct pack_writer;

struct gc_pack {
    struct store *s;
    bool full;
    bool (*loose)(const struct digest *d, void *ctx); /* catalog_dump */
    void *ctx;
    /* private */
    struct buf files;  /* struct pack_file: all in packs/ */
    struct buf states; /* struct pack_state: those the catalog knows */
    struct buf made;   /* uint64_t ids of new packs */
    struct buf gone;   /* struct pack_file: to be unlinked */
    struct pack_writer *w;
    struct buf raw;      /* live chunks of blocks that are partly dead, gathered for a new block */
    struct buf raw_rows; /* their struct chunk_row */
};

int gc_pack_list(struct gc_pack *p, struct err *e);
int gc_pack_run(struct gc_pack *p, struct err *e);
void gc_pack_unlink(struct gc_pack *p, uint64_t *ret_freed);
void gc_pack_undo(struct gc_pack *p);
void gc_pack_release(struct gc_pack *p);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * packer: the writing part of a session (session.h): compresses raw blocks on several threads, appends them to packs,
 * starts a new pack when one is full, and remembers where each block went. Full packs are on disk (fsync) before the
 * next is begun, so that a commit waits for one pack at most.
 *
 *   packer_new → packer_put… → packer_finish → { packer_records, packer_sync, packer_loc, packer_pack…, packer_keep } →
 * packer_free
 *
 * packer_put comes from one thread, everything behind packer_finish too. A failure is kept in `first` and makes
 * packer_put fail.
 */
#ifndef CAIRN_PACKER_H
#define CAIRN_PACKER_H

#include "firsterr.h"
#include "ingest.h"

struct packer;

/* stored counts the compressed bytes up. */
int packer_new(struct store *s, unsigned threads, struct firsterr *first, _Atomic uint64_t *stored, struct packer **ret,
               struct err *e);
/* Takes b over, also on failure. Waits when enough blocks are waiting. */
int packer_put(struct packer *p, struct raw_block *b, struct err *e);
/* Waits until all blocks are in packs, ends the threads. */
int packer_finish(struct packer *p, struct err *e);
/* Makes threads stop soon; then packer_finish or packer_free. Any thread. */
void packer_abort(struct packer *p);

/* Writes records (JSON lines) and a seal into the last pack, or a new one. */
int packer_records(struct packer *p, uint64_t seq, const void *lines, size_t n, uint64_t next_no, struct err *e);
/* All packs are on disk, and their names. */
int packer_sync(struct packer *p, struct err *e);
/* Where block `number` went. */
void packer_loc(const struct packer *p, uint32_t number, struct block_loc *ret);
uint32_t packer_packs(const struct packer *p);
void packer_pack(const struct packer *p, uint32_t i, uint64_t *ret_id, uint64_t *ret_bytes);

/* Frees; packs are removed unless packer_keep was called. NULL: no-op. */
void packer_keep(struct packer *p);
void packer_free(struct packer *p);

#endif

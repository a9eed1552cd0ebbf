/* SPDX-License-Identifier: MIT */
/*
 * pack: one pack file (FORMAT.md, "Packs"): written once, in one go, then only read.
 *
 * Writing: pack_create → { pack_writer_block }… → pack_writer_records (optional, with its seal) → pack_writer_sync →
 * pack_writer_close. A writer belongs to one thread at a time. pack_writer_sync brings the file to the disk; the name
 * needs an fsync of packs/ as well (io_fsync_dir(store_packsfd)).
 * Reading: pack_scan goes through a whole pack and says what it holds, without decoding blocks.
 */
#ifndef CAIRN_PACK_H
#define CAIRN_PACK_H

#include "catalog.h"
#include "store.h"

#define PACK_NAME_LEN 21 /* "<16 hex digits>.pack" */
void pack_name(uint64_t id, char out[PACK_NAME_LEN + 1]);
/* -1: not the name of a pack. */
int pack_parse_name(const char *name, uint64_t *ret);

struct pack_writer;
/* A new file with a random id, readable by its owner only. */
int pack_create(struct store *s, struct pack_writer **ret, struct err *e);
uint64_t pack_writer_id(const struct pack_writer *w);
uint64_t pack_writer_size(const struct pack_writer *w);
/* Appends a block: its table and the zstd frame. *ret_off: where the frame stands. */
int pack_writer_block(struct pack_writer *w, const struct chunk_row *rows, uint32_t n, uint32_t rlen, const void *frame,
                      uint32_t clen, uint64_t *ret_off, struct err *e);
/* Appends records (JSON lines) and the seal that makes them count. */
int pack_writer_records(struct pack_writer *w, uint64_t seq, const void *lines, size_t n, uint64_t next_no,
                        struct err *e);
int pack_writer_sync(struct pack_writer *w, struct err *e);
void pack_writer_close(struct pack_writer *w); /* NULL: no-op. The file stays. */
void pack_remove(struct store *s, uint64_t id);

/* What a scan reports; each returns -1 (with e) to stop. Members may be NULL. */
struct pack_visitor {
    /* off: of the frame. */
    int (*block)(void *ctx, uint64_t off, uint32_t clen, uint32_t rlen, const struct chunk_row *rows, uint32_t n,
                 struct err *e);
    /* Sealed records only: JSON lines. */
    int (*records)(void *ctx, uint64_t seq, const char *lines, size_t n, uint64_t next_no, struct err *e);
    /* A tolerant scan went over damaged bytes from off on, and found something valid behind them. why: what was wrong.
     */
    int (*damaged)(void *ctx, uint64_t off, const struct err *why, struct err *e);
    void *ctx;
};
/*
 * *ret_end: where the last valid frame ends. What follows is cut-off work of a crash when it is at the end of an
 * unsealed pack; damage in between is ERR_DAMAGED naming pack and offset, unless `tolerant`, which goes on at the next
 * valid frame behind it.
 */
int pack_scan(struct store *s, uint64_t id, bool tolerant, const struct pack_visitor *v, uint64_t *ret_end,
              struct err *e);
/* Whether the file ends in a valid seal, and of which transaction; any file is fine. Cheap. */
int pack_sealed(struct store *s, uint64_t id, bool *ret_sealed, uint64_t *ret_seq, struct err *e);
/* Calls fn for each pack file in packs/, in order of id. */
int pack_each(struct store *s, int (*fn)(void *ctx, uint64_t id, uint64_t bytes, struct err *e), void *ctx,
              struct err *e);

#endif

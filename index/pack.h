/* SPDX-License-Identifier: MIT */
/*
 * pack: the files that hold the truth (FORMAT.md, "Packs"): written once, from front to back, closed by a seal, never changed.
 *
 * Writing, one transaction (possibly several packs):
 *
 *   pack_create → pack_append_block… (any thread) → pack_sync          as often as needed, before the lock is taken
 *   catalog_begin, catalog_apply… →
 *   pack_append_records (in one of the packs) → pack_seal (every pack; the one with the records last)
 *   → io_fsync_dir(packsfd) → catalog_add_pack, catalog_add_block… → catalog_commit → pack_close
 *   pack_abandon instead of pack_close at any point: the file goes.
 *
 * Only a sealed pack counts: one without a seal is work in progress, or left over from a crash. A sealed pack that the catalog doesn't
 * know (crash between seal and commit) is removed by the next catalog_begin, because its numbers will be given out again.
 *
 * Errors name pack and offset: "pack 00ab…: block at 4711: …".
 */
#ifndef CAIRN_PACK_H
#define CAIRN_PACK_H

#include "catalog.h"

#define PACK_NAME_LEN 21 /* 16 hex digits and ".pack" */

/* Bytes of pack file that one block needs besides its frame. */
#define PACK_BLOCK_OVERHEAD(chunks) (8u + 32u + 40u * (chunks))

void pack_name(uint64_t id, char out[PACK_NAME_LEN + 1]);

/* --- writing --- */
struct pack_writer;

/* A new pack with a random id that no pack of the folder has; id is never 0. */
int pack_create(int packsfd, struct pack_writer **ret, struct err *e);
uint64_t pack_id(const struct pack_writer *w);
/* Bytes so far; any thread. The caller starts a new pack when it has passed PACK_TARGET. */
uint64_t pack_size(struct pack_writer *w);
/*
 * Appends one block: its chunk table and the frame (one zstd frame of clen bytes that decodes to rlen bytes). *ret is where the frame
 * is, as the catalog wants it. Any number of threads: room is reserved under a lock, written outside of it.
 * After an error the pack can only be abandoned. ERR_USAGE for a table that no reader would accept.
 */
int pack_append_block(struct pack_writer *w, const struct chunk_row *chunks, uint32_t n, const void *frame, uint32_t clen,
                      uint32_t rlen, struct block_loc *ret, struct err *e);
/* Appends records for transaction seq. One thread, no pack_append_block at the same time or afterwards. */
int pack_append_records(struct pack_writer *w, const struct json *const *records, size_t n, uint64_t seq, struct err *e);
/* fsync of what was appended. */
int pack_sync(struct pack_writer *w, struct err *e);
/* Syncs what was appended, then the seal, syncs again: the pack is complete and durable (but for its name: io_fsync_dir(packsfd)). */
int pack_seal(struct pack_writer *w, uint64_t seq, uint64_t next_no, struct err *e);
/* Frees; the file stays. NULL: no-op. */
void pack_close(struct pack_writer *w);
/* Frees and removes the file. NULL: no-op. */
void pack_abandon(struct pack_writer *w);

/* --- reading --- */
/*
 * Opens a pack for pack_read and checks its header. ERR_NOT_FOUND when there is no such file: gc may just have replaced it, so look
 * the chunk up again; if the catalog still names this pack, the store is damaged.
 */
int pack_open(int packsfd, uint64_t id, int *ret_fd, struct err *e);
/* The frame of a block (b->clen bytes into p). ERR_DAMAGED if the pack ends before. Any thread. */
int pack_read(int fd, const struct block_loc *b, void *p, struct err *e);

struct pack_info {
    uint64_t id, size;
    int64_t time;
    bool sealed;
    uint64_t seq, next_no; /* of the seal */
};

/*
 * What pack_scan calls, in file order; NULL members are skipped. Non-zero returned stops the scan; -1 means e is set (and pack_scan
 * returns -1), a positive value makes pack_scan return 0.
 */
struct pack_visitor {
    int (*block)(void *ctx, const struct block_loc *b, const struct chunk_row *chunks, uint32_t n, struct err *e);
    /* One record; only of sealed packs. */
    int (*record)(void *ctx, uint64_t seq, const struct json *record, struct err *e);
    /* Something at off isn't as it should be. 0: go on behind it, at the next thing that is valid. Without this member the scan
     * fails with *why. */
    int (*damaged)(void *ctx, uint64_t off, const struct err *why, struct err *e);
    void *ctx;
};
/*
 * Reads a whole pack's structure (frames of blocks aren't decoded). In a pack without seal, what stands behind the last valid frame is
 * cut-off work and ignored; in a sealed one everything must be valid. ret may be NULL; v may be NULL.
 */
int pack_scan(int packsfd, uint64_t id, const struct pack_visitor *v, struct pack_info *ret, struct err *e);
/* Header and seal only: cheap. A file without a valid header or seal is just not sealed. ERR_NOT_FOUND as pack_open. */
int pack_stat(int packsfd, uint64_t id, struct pack_info *ret, struct err *e);
/* fn for every *.pack in the folder, in order of id. fn returns non-zero to stop: that is returned (-1: e is set). */
int pack_each(int packsfd, int (*fn)(uint64_t id, void *ctx, struct err *e), void *ctx, struct err *e);
/* Removes the file; fine when there is none. */
int pack_unlink(int packsfd, uint64_t id, struct err *e);

#endif

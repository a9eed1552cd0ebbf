/* SPDX-License-Identifier: MIT */
/*
 * reader: bytes of contents, out of a bounded cache of decoded blocks. Any number of threads: one decode per
 * block at a time (single flight), no lock held while reading or decoding.
 * What it returns was checked by the zstd frame checksum; a block or pack that is damaged or gone is ERR_DAMAGED,
 * naming pack and offset: never short or wrong data.
 */
#ifndef CAIRN_READER_H
#define CAIRN_READER_H

#include "session.h"

struct reader;

/* A content that can be read: chunk list plus the places found so far. */
struct content_map {
    struct content c;
    _Atomic uint64_t *where; /* per chunk, owned: block << 24 | offset; 0 unknown */
    struct tree_chunk *own;  /* when the chunk list is the map's own */
};

int reader_new(struct store *s, uint64_t cache_bytes, struct reader **ret, struct err *e);
void reader_free(struct reader *r);

/* Of a tree's content: chunks are borrowed from the tree, which must stay open. */
int content_map_tree(const struct tree *t, uint32_t content, struct content_map *ret, struct err *e);
/* Of a content known by digest only (manifest, config, tree, recipe). */
int content_map_digest(struct reader *r, const struct digest *d, struct content_map *ret, struct err *e);
void content_map_release(struct content_map *m);

/* Reads [off, off+n) of it; short only at its end. */
int reader_pread(struct reader *r, struct content_map *m, void *p, size_t n, uint64_t off, size_t *ret_n,
                 struct err *e);
/*
 * The whole content into b; ERR_LIMIT beyond limit. Checks the SHA-256 against d (used for trees and JSON).
 */
int reader_get(struct reader *r, const struct digest *d, uint64_t limit, struct buf *b, struct err *e);
/* Starts decoding the blocks of [off, off+n) in the background (read-ahead); never waits, never fails. */
void reader_prefetch(struct reader *r, struct content_map *m, uint64_t off, uint64_t n);
/* Loads and opens the tree with that content digest. */
int reader_tree(struct reader *r, const struct digest *d, struct tree **ret, struct err *e);
/* A stream over a whole content (export). Doesn't take m over. */
struct stream;
int reader_stream(struct reader *r, struct content_map *m, struct stream **ret, struct err *e);

struct reader_stats {
    uint64_t hits, misses, decoded_bytes, cached_bytes;
};
void reader_stats(struct reader *r, struct reader_stats *ret);

#endif

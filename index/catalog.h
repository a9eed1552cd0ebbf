/* SPDX-License-Identifier: MIT */
/*
 * catalog: what the store holds and where; the door to SQLite (no other file includes it).
 * Everything in it can be made anew from the packs, because everything gets in one of two ways:
 * block and chunk rows repeat what stands in a pack's block headers, and object rows are made by catalog_apply
 * from the records in the packs.
 *
 * One connection behind a mutex: any thread. Reads see the newest commit of any process. Writes: catalog_begin takes
 * the store's lock (flock) and BEGIN IMMEDIATE; only the thread that began may write until catalog_commit or
 * catalog_rollback. (Debian 12's SQLite has the WAL-reset bug: design.md 4, reliability.md 0.)
 *
 * Records are JSON objects; unknown members are kept in the pack and ignored here:
 *  {"type":"layer","no":N,"diffid":OCI,"tree":HEX,"recipe":HEX,"size":TARBYTES,"entries":N,"time":T}
 *  {"type":"package","no":N,"name":"<hash>-<name>","dir":"/nix/store","narhash":HEX,"narsize":N,"refs":[names],
 *   "deriver":name|null,"ca":s|null,"sigs":[s],"trusted":bool,"tree":HEX,"time":T}
 *  {"type":"image","no":N,"manifest":HEX,"config":HEX,"rootfs":HEX,"layers":[diffid OCI…],"blobs":[compressed
 * OCI…],"time":T} manifest and config are contents of their own: their digest is the SHA-256 of their bytes. no numbers
 * the root filesystem's tree.
 *  {"type":"name","no":N,"repo":S,"tag":S,"manifest":HEX,"time":T}          one folder images/<repo>@<tag>
 *  {"type":"digestname","no":N,"repo":S,"manifest":HEX,"time":T}            one folder images/<repo>@sha256-<digest>
 *  {"type":"remove","of":"name"|"digestname"|"image"|"layer"|"package","no":N,"time":T}
 * An image row without a name is garbage for gc, as is a layer that no image has and that has no "keep" record:
 *  {"type":"keep","no":N,"time":T}: object N is a root of its own. Packages are always roots (until removed).
 * "no" is drawn from one counter for all objects (never 0, never used again): node ids are made of it.
 */
#ifndef CAIRN_CATALOG_H
#define CAIRN_CATALOG_H

#include "digest.h"
#include "json.h"
#include "tree.h"

struct catalog;

struct chunk_loc {
    uint64_t block;
    uint32_t off, len; /* inside the decoded block */
};
struct block_loc {
    uint64_t pack, off; /* off of the zstd frame */
    uint32_t clen, rlen;
};
/* Where a chunk stands in a block, as catalog_add_block takes it. */
struct chunk_row {
    struct digest digest;
    uint32_t off, len;
};

int catalog_open(int dirfd, const char *path_for_errors, int lockfd, bool readonly, bool create, struct catalog **ret,
                 struct err *e);
void catalog_close(struct catalog *c);

/* --- reading the index of bytes. ERR_NOT_FOUND when there is none. --- */
/* for_reuse: don't answer with a chunk that gc has condemned (an import must not build on it). */
int catalog_chunk(struct catalog *c, const struct digest *d, bool for_reuse, struct chunk_loc *ret, struct err *e);
int catalog_block(struct catalog *c, uint64_t block, struct block_loc *ret, struct err *e);
/* Content of several chunks: its chunk list, appended to out as tree_chunk[] (a content of one chunk has no row: ask
 * catalog_chunk). for_reuse: only if all its chunks are usable so. */
int catalog_content(struct catalog *c, const struct digest *d, bool for_reuse, struct buf *out, struct err *e);

/* --- objects --- */
struct cat_layer {
    uint32_t no;
    struct digest diffid, tree, recipe;
    uint64_t size;
    uint32_t entries;
    int64_t time;
};
struct cat_package {
    uint32_t no;
    char *name, *dir, *deriver, *ca; /* deriver, ca may be NULL */
    struct digest narhash, tree;
    uint64_t narsize;
    char **refs, **sigs; /* NULL-terminated */
    bool trusted;
    int64_t time;
};
struct cat_image {
    uint32_t no;
    struct digest manifest, config, rootfs;
    struct digest *layers, *blobs; /* layer_count each; blobs may be zero digests */
    uint32_t layer_count;
    int64_t time;
};
struct cat_name { /* a folder of images/ */
    uint32_t no;
    char *repo, *tag; /* tag NULL: by digest */
    struct digest manifest;
    int64_t time;
};
void cat_package_release(struct cat_package *p);
void cat_image_release(struct cat_image *p);
void cat_name_release(struct cat_name *p);

int catalog_layer(struct catalog *c, const struct digest *diffid, struct cat_layer *ret, struct err *e);
int catalog_layer_no(struct catalog *c, uint32_t no, struct cat_layer *ret, struct err *e);
/* diffID of a compressed blob that was read whole before; ERR_NOT_FOUND otherwise. */
int catalog_blob(struct catalog *c, const struct digest *blob, struct digest *ret_diffid, struct err *e);
int catalog_package(struct catalog *c, const char *name, struct cat_package *ret, struct err *e);
int catalog_package_no(struct catalog *c, uint32_t no, struct cat_package *ret, struct err *e);
int catalog_image(struct catalog *c, const struct digest *manifest, struct cat_image *ret, struct err *e);
int catalog_image_no(struct catalog *c, uint32_t no, struct cat_image *ret, struct err *e);
/* tag NULL: the digestname row with that manifest. */
int catalog_name(struct catalog *c, const char *repo, const char *tag, const struct digest *manifest,
                 struct cat_name *ret, struct err *e);
int catalog_name_no(struct catalog *c, uint32_t no, struct cat_name *ret, struct err *e);
/* Each calls fn for every row, ordered by name (layers, images: by no); fn returns non-zero to stop (that value is
 * returned). The structs are the callee's only during the call. fn may use the catalog. */
int catalog_each_layer(struct catalog *c, int (*fn)(const struct cat_layer *, void *), void *ctx, struct err *e);
int catalog_each_package(struct catalog *c, int (*fn)(const struct cat_package *, void *), void *ctx, struct err *e);
int catalog_each_image(struct catalog *c, int (*fn)(const struct cat_image *, void *), void *ctx, struct err *e);
int catalog_each_name(struct catalog *c, int (*fn)(const struct cat_name *, void *), void *ctx, struct err *e);
/* What object `no` is: "layer", "package", "image", "name", "digestname" in ret (16 bytes). */
int catalog_kind(struct catalog *c, uint32_t no, char ret[16], struct err *e);
/* Changes with every commit of any process: for caches and live mounts. Cheap (~2 us). */
int catalog_version(struct catalog *c, uint64_t *ret, struct err *e);
/* Sequence number of the last committed write: persistent, grows by one a commit. */
int catalog_seq(struct catalog *c, uint64_t *ret, struct err *e);
/* Sums for statfs and reports. */
struct cat_totals {
    uint64_t packs, pack_bytes, blocks, chunks, raw_bytes;
};
int catalog_totals(struct catalog *c, struct cat_totals *ret, struct err *e);

/* --- writing --- */
int catalog_begin(struct catalog *c, struct err *e);
int catalog_commit(struct catalog *c, struct err *e);
void catalog_rollback(struct catalog *c);
int catalog_add_pack(struct catalog *c, uint64_t pack, uint64_t bytes, struct err *e);
/* A chunk that is there already is left as it is (and un-condemned); *ret_block is the new number, never used again. */
int catalog_add_block(struct catalog *c, const struct block_loc *b, const struct chunk_row *chunks, uint32_t n,
                      uint64_t *ret_block, struct err *e);
int catalog_add_content(struct catalog *c, const struct digest *d, uint64_t size, const struct tree_chunk *chunks,
                        uint32_t n, struct err *e);
/* Clears the mark of gc on a chunk that this transaction builds on; ERR_NOT_FOUND if it is gone. */
int catalog_keep_chunk(struct catalog *c, const struct digest *d, struct err *e);
/* The next object number, without drawing it: the high-water mark of a seal. */
int catalog_peek_no(struct catalog *c, uint32_t *ret, struct err *e);
/* Draws the next object number. */
int catalog_next_no(struct catalog *c, uint32_t *ret, struct err *e);
/* Applies one record (see above), "no" set. A name that exists is moved (its old row goes). */
int catalog_apply(struct catalog *c, const struct json *record, struct err *e);
/*
 * In a transaction, after all of its records were applied: what a record names (layers of an image, the image of a
 * name) must be there, although it was looked up before the transaction began. ERR_BUSY: gc was faster.
 */
int catalog_check_named(struct catalog *c, const struct json *record, struct err *e);

#endif

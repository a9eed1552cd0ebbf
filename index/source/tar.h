/* SPDX-License-Identifier: MIT */
/*
 * tar: a strict streaming reader of tar archives that accepts and means what Go's archive/tar accepts and means,
 * because that is what docker and containerd read images with (reliability.md 0.5): V7, ustar, STAR, GNU (long names,
 * base 256, old sparse), PAX (records, GNU sparse 0.0, 0.1, 1.0). Beyond that it refuses what passes a limit of
 * limits.h.
 *
 *   tar_open → { tar_next → tar_data… } … until tar_next gives NULL → tar_drain → tar_close
 *
 * Bytes that no tar_data call hands out (headers, sparse maps, padding, payload that the caller didn't ask for, end
 * blocks, and with tar_drain all that follows) go to `literal` in the order of the archive, so that literals and
 * payload together are the archive, byte for byte. Payload is not copied: it is the stream's own memory.
 *
 * Errors are ERR_INPUT or ERR_LIMIT and say where: "entry 17 'usr/bin/x' at offset 12345: …". One thread.
 */
#ifndef CAIRN_TAR_H
#define CAIRN_TAR_H

#include "../stream.h"
#include "../treewrite.h" /* struct xattr */

/* Takes bytes that aren't payload; 0 or -1 with e. */
typedef int tar_literal_fn(void *ctx, const void *p, size_t n, struct err *e);

/* A run of a sparse member that the archive holds; what lies between is zeros. */
struct tar_fragment {
    uint64_t off, len;
};

/* All memory belongs to the reader and is valid until the next tar_next. */
struct tar_entry {
    uint32_t number;         /* from 1; meta entries (PAX, GNU long names) aren't counted */
    uint64_t offset;         /* of its first block, meta entries in front of it included */
    char type;               /* '0' file … as in the archive, but never '\0': that became '0' or '5' */
    const char *name, *link; /* as in the archive; NUL-terminated, name may contain more NULs (GNU.sparse.name) */
    size_t name_len, link_len;
    int64_t mode, uid, gid, devmajor, devminor; /* unchecked: any value that the archive can say */
    int64_t mtime;
    uint32_t mtime_nsec;
    uint64_t size;   /* of the file, holes included; 0 for types that hold no data */
    uint64_t stored; /* bytes of payload in the archive */
    bool sparse;     /* only the fragments are stored: none empty, in order, not overlapping; there may be none */
    const struct tar_fragment *fragments;
    size_t fragment_count;
    struct xattr *xattrs; /* PAX SCHILY.xattr.*; sorted by name, names are unique; the caller may reorder them */
    size_t xattr_count;
};

struct tar;

/* Reads from s, which stays the caller's. literal may be NULL. */
int tar_open(struct stream *s, tar_literal_fn *literal, void *ctx, struct tar **ret, struct err *e);
void tar_close(struct tar *t);
/* The next entry, global PAX headers left out as docker does; *ret = NULL at the end of the archive. */
int tar_next(struct tar *t, const struct tar_entry **ret, struct err *e);
/* The next run of payload and its place in the file; *ret_n = 0 at its end. */
int tar_data(struct tar *t, uint64_t *ret_off, const uint8_t **ret_p, size_t *ret_n, struct err *e);
/* After the end: gives what follows to `literal`. */
int tar_drain(struct tar *t, struct err *e);
/* Puts the place of the current entry in front of e: for what a caller finds wrong with it. -1. */
int tar_wrap(const struct tar *t, struct err *e);

#endif

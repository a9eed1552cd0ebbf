/* SPDX-License-Identifier: MIT */
/*
 * blobtar: a tar whose members are read by name, in any order: docker archives and OCI layouts in one file. Only an
 * index of names and offsets is in memory. A file that is there twice is refused: readers disagree which one counts.
 * One thread.
 */
#ifndef CAIRN_BLOBTAR_H
#define CAIRN_BLOBTAR_H

#include "../buf.h"
#include "../store.h"
#include "../stream.h"
#include "counted.h"

struct blobtar;

/* An uncompressed tar in a seekable file. Takes fd over, also on failure. cancel: non-zero stops it; may be NULL. */
int blobtar_open(int fd, const volatile int *cancel, struct blobtar **ret, struct err *e);
/* Copies in (not closed) to an unlinked file of the store first. */
int blobtar_spool(struct store *s, struct stream *in, const volatile int *cancel, struct blobtar **ret, struct err *e);
void blobtar_close(struct blobtar *t);

struct blobtar_member {
    uint64_t off, size;
};
/* A file by its path in the archive; symbolic and hard links are followed inside it. "./" in front is nothing.
 * ERR_NOT_FOUND. */
int blobtar_find(const struct blobtar *t, const char *name, struct blobtar_member *ret, struct err *e);
/* Whole member, appended to out; ERR_LIMIT beyond limit. */
int blobtar_get(const struct blobtar *t, const char *name, size_t limit, struct buf *out, struct err *e);
/* Stream over a member; t must outlive it. */
int blobtar_stream(const struct blobtar *t, const struct blobtar_member *m, struct stream **ret, struct err *e);
/* Stream over the whole archive. */
int blobtar_whole(const struct blobtar *t, struct stream **ret, struct err *e);

#endif

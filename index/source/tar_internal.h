/* SPDX-License-Identifier: MIT */
/*
 * tar_internal: what tar.c, tar_pax.c and tar_sparse.c share; for nobody else.
 */
#ifndef CAIRN_TAR_INTERNAL_H
#define CAIRN_TAR_INTERNAL_H

#include "tar.h"

enum { TAR_BLOCK = 512 };

/* The PAX keys that mean something here. */
enum pax_key {
    PAX_PATH,
    PAX_LINKPATH,
    PAX_SIZE,
    PAX_UID,
    PAX_GID,
    PAX_MTIME,
    PAX_ATIME,
    PAX_CTIME,
    PAX_SPARSE_MAJOR,
    PAX_SPARSE_MINOR,
    PAX_SPARSE_MAP,
    PAX_SPARSE_NUMBLOCKS,
    PAX_SPARSE_NAME,
    PAX_SPARSE_SIZE,
    PAX_SPARSE_REALSIZE,
    PAX_KEYS
};

struct pax_span {
    size_t off, len; /* in pax.text */
};
struct pax_xattr {
    struct pax_span name, value;
    const uint8_t *text; /* for sorting */
};

/* One extended header: of several records with one key the last one counts. */
struct pax {
    struct buf text;                 /* the records, then the map of sparse format 0.0 */
    struct pax_span value[PAX_KEYS]; /* len 0: absent or empty, which is the same */
    struct buf xattrs;               /* struct pax_xattr[] */
};

void pax_reset(struct pax *p);
void pax_release(struct pax *p);
/* Parses p->text, the records as they stand. */
int pax_parse(struct pax *p, struct err *e);
/* Value of a key; NULL when absent or empty. */
const char *pax_value(const struct pax *p, enum pax_key key, size_t *ret_len);
/* The xattrs as struct xattr[] appended to out (emptied before), sorted by name. They point into p. */
int pax_xattrs(struct pax *p, struct buf *out, struct err *e);

/* Decimal as Go's strconv.ParseInt(s, 10, 64) has it: sign, digits, no overflow. -1 otherwise. */
int tar_decimal(const char *s, size_t n, int64_t *ret);
/* "seconds[.fraction]" of PAX. -1 when malformed or beyond int64. */
int tar_pax_time(const char *s, size_t n, int64_t *ret_sec, uint32_t *ret_nsec);
/* Number field of a header: octal, or base 256 when the first bit is set. -1 when malformed. */
int tar_number(const uint8_t *field, size_t n, int64_t *ret);
/* Octal only (checksum). */
int tar_octal(const uint8_t *field, size_t n, int64_t *ret);

struct tar {
    struct stream *s;
    tar_literal_fn *literal;
    void *ctx;
    struct tar_entry en;
    bool located; /* en.name is that of the entry under way, for errors */
    bool ended, failed;
    uint8_t block[TAR_BLOCK];
    uint64_t pad;    /* zeros behind the payload */
    uint64_t left;   /* payload of the current entry that wasn't read yet */
    size_t fragment; /* current one */
    uint64_t in_fragment;
    struct pax pax;
    struct buf name, link, gnu_name, gnu_link, fragments, xattrs, text;
};

/* Hands a block or more of non-payload to the caller. */
int tar_give_literal(struct tar *t, const void *p, size_t n, struct err *e);
/* Reads n bytes to p and gives them as literals; truncated input is an error that names `what`. */
int tar_literal_bytes(struct tar *t, void *p, size_t n, const char *what, struct err *e);

/* Header of type 'S': map in the header and the blocks behind it. Sets size and fragments. */
int tar_sparse_old(struct tar *t, struct err *e);
/* Sparse formats in PAX records, if the entry is one. Sets name, size and fragments, takes the map of 1.0 off the
 * payload. */
int tar_sparse_pax(struct tar *t, bool *ret_sparse, struct err *e);
/* Order, overlap, bounds and sum of the fragments; drops empty ones. */
int tar_sparse_check(struct tar *t, int64_t size, struct err *e);

#endif

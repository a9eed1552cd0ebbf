/* SPDX-License-Identifier: MIT */
/*
 * unpack: takes compression off a stream; the door to libarchive (its filters only: Cairn reads tar itself, because
 * the exact header bytes are needed for a bit-exact round trip and libarchive 3.6.2 hides or bends several
 * things that docker refuses; reliability.md 0.5, 0.6).
 * Truncated or damaged input is ERR_INPUT, never a clean end. Multi-member gzip and multi-frame zstd are read whole.
 */
#ifndef CAIRN_UNPACK_H
#define CAIRN_UNPACK_H

#include "../stream.h"

enum unpack_filters {
    UNPACK_LAYER = 1, /* none, gzip, zstd: what image layers may use */
    UNPACK_ANY = 2,   /* also bzip2, xz, lzma, lzip, lz4, compress: what libarchive reads without running a program */
};

/* Wraps `inner` (owned, also on failure); detects the compression by content; no compression passes through. */
int unpack_open(struct stream *inner, enum unpack_filters f, struct stream **ret, struct err *e);
/* Exactly one compression by name: "none", "gzip", "zstd", "xz", "bzip2", "lz4", "lzip"; else ERR_UNSUPPORTED. */
int unpack_open_named(struct stream *inner, const char *name, struct stream **ret, struct err *e);

#endif

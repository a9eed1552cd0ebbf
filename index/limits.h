/* SPDX-License-Identifier: MIT */
/*
 * limits: every default and bound, with its reason. Sizes in bytes.
 */
#ifndef CAIRN_LIMITS_H
#define CAIRN_LIMITS_H

#include <stdint.h>

/* Chunking. Measured optimum, flat from 16 to 128 KiB average (index/README.md). */
#define LIMIT_WHOLE_FILE (16u << 10) /* up to here a file is one chunk */
#define CHUNK_MIN        (16u << 10)
#define CHUNK_AVG        (64u << 10)
#define CHUNK_MAX        (256u << 10)
/* A block is compressed as one: small chunks are gathered up to here, a larger chunk is a block alone.
 * 4 KiB cold reads: 124 us out of 64 KiB, 232 us out of 128 KiB, 360 us out of 256 KiB. */
#define BLOCK_TARGET      (64u << 10)
#define BLOCK_MAX         (BLOCK_TARGET + CHUNK_MAX) /* no valid block is larger, raw */
#define PACK_TARGET       (64u << 20)                /* a pack is closed when it has grown past this */
#define ZSTD_LEVEL_IMPORT 3

/* Foreign JSON documents: manifest, index, config (containerd and podman cap at 4 MiB). */
#define LIMIT_JSON_DOC   (4u << 20)
#define LIMIT_JSON_DEPTH 64
#define LIMIT_NARINFO    (64u << 10)

/* Trees. Names and paths as Linux has them. */
#define LIMIT_NAME        255
#define LIMIT_PATH        4096
#define LIMIT_DEPTH       1024
#define LIMIT_XATTR_VALUE (64u << 10) /* the kernel's XATTR_SIZE_MAX */
#define LIMIT_XATTR_TOTAL (1u << 20)  /* per entry */
#define LIMIT_ENTRIES     500000u     /* per layer or package: with the next, keeps an import under 256 MiB */
/* Per image; docker stops at 127. The trees of all layers are in memory while they are merged. */
#define LIMIT_LAYERS   4096
#define LIMIT_SYMLINKS 40 /* followed in one path, as the kernel's MAXSYMLINKS */
/* A tree's flat form. It is built in memory out of parts of about its own size: 2.3 times this is an import's worst. */
#define LIMIT_TREE_BYTES (104u << 20)

/* Tar. */
#define LIMIT_TAR_SPECIAL (1u << 20) /* PAX header, GNU long name, sparse map (Go: 1 MiB, CVE-2025-58183) */
#define LIMIT_HOLES                                                                                                    \
    ((uint64_t)64 << 30) /* zeros that one import may ask for without bringing them: they are hashed, at ~2 GB/s */
#define LIMIT_FILE ((uint64_t)1 << 43) /* one file: 8 TiB */

/* NAR: nix HEAD since 2026-04 (CVE-2026-44028). */
#define LIMIT_NAR_DEPTH  64
#define LIMIT_NAR_TARGET 4095

/* Decoded blocks kept by a mount. */
#define CACHE_DEFAULT (64u << 20)
#define CACHE_MIN     (4u << 20)

#endif

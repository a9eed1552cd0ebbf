/* SPDX-License-Identifier: MIT */
/*
 * source_probe: what a stream is, by its first bytes. Pure functions, any thread.
 */
#ifndef CAIRN_SOURCE_PROBE_H
#define CAIRN_SOURCE_PROBE_H

#include <stddef.h>
#include <stdint.h>

#define PROBE_BYTES ((size_t)64 << 10) /* enough for the first entries of a tar with their PAX headers */

enum probe {
    PROBE_UNKNOWN,
    PROBE_NAR,
    PROBE_NIX_EXPORT,
    PROBE_TAR_ARCHIVE, /* begins like an image archive: OCI layout or docker's */
    PROBE_TAR,         /* any other tar: a root filesystem */
};

/* n bytes at the head; fewer than PROBE_BYTES only when that is all. */
enum probe source_probe(const uint8_t *p, size_t n);

#endif

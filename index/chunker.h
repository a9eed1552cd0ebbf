/* SPDX-License-Identifier: MIT */
/*
 * chunker: where to cut a content into chunks (FastCDC; FORMAT.md). A pure function of the bytes: equal contents are
 * cut alike whoever brings them, and a change moves only the cuts near it. Any thread.
 *
 * Changing what it answers doesn't make a store unreadable, but new imports would share nothing with old ones: the
 * golden cuts in test_chunker.c say so.
 */
#ifndef CAIRN_CHUNKER_H
#define CAIRN_CHUNKER_H

#include <stddef.h>
#include <stdint.h>

/*
 * Length of the first chunk of p. n must be at least CHUNK_MAX unless the content (or its run of data before a hole)
 * ends at p + n. At most CHUNK_MAX; n when there is no cut before its end; 0 only for n = 0.
 */
size_t chunker_cut(const uint8_t *p, size_t n);

#endif

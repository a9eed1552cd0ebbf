/* SPDX-License-Identifier: MIT */
/*
 * blockcache: decoded blocks in a bounded amount of memory, the least recently used dropped first. Single flight: of
 * several threads that want a block that isn't there, one loads it (no lock held meanwhile) and the others wait for
 * that. Any thread.
 *
 *   blockcache_get → use b->data → blockcache_put
 *
 * Blocks in use stay whatever the bound says; they are few (one or two a thread). A block that couldn't be loaded isn't
 * remembered: those who waited for it get the same error, the next one tries again.
 */
#ifndef CAIRN_BLOCKCACHE_H
#define CAIRN_BLOCKCACHE_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blockcache;

struct cached_block {
    uint64_t number;
    const uint8_t *data;
    uint32_t len;
};

/* Decodes a block into fresh memory (malloc), which the cache takes over. */
typedef int (*blockcache_load)(void *ctx, uint64_t number, uint8_t **ret, uint32_t *ret_len, struct err *e);

struct blockcache_stats {
    uint64_t hits, misses, decoded_bytes, cached_bytes;
};

int blockcache_new(uint64_t bytes, blockcache_load load, void *ctx, struct blockcache **ret, struct err *e);
/* Nobody may hold a block any more. NULL: no-op. */
void blockcache_free(struct blockcache *c);
int blockcache_get(struct blockcache *c, uint64_t number, const struct cached_block **ret, struct err *e);
void blockcache_put(struct blockcache *c, const struct cached_block *b);
/* Is it there, or being loaded? Doesn't count as use. */
bool blockcache_has(struct blockcache *c, uint64_t number);
void blockcache_stats(struct blockcache *c, struct blockcache_stats *ret);

#endif

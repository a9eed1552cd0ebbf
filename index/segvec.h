/* SPDX-License-Identifier: MIT */
/*
 * segvec: a growing array of fixed-size elements that never move, so pointers into it stay valid until segvec_release,
 * and growing never holds two copies. `struct segvec v = SEGVEC(type);` One thread at a time.
 */
#ifndef CAIRN_SEGVEC_H
#define CAIRN_SEGVEC_H

#include <stdint.h>
#include <stdlib.h>

#define SEGVEC_BITS 12 /* elements a segment: 4096 */
#define SEGVEC(type)                                                                                                   \
    {                                                                                                                  \
        .size = sizeof(type)                                                                                           \
    }

struct segvec {
    size_t size; /* of an element */
    uint8_t **seg;
    uint32_t segs, cap, count;
};

/* Element i < count. */
static inline void *segvec_at(const struct segvec *v, uint32_t i)
{
    return v->seg[i >> SEGVEC_BITS] + (size_t)(i & ((1u << SEGVEC_BITS) - 1)) * v->size;
}

/* One more element, zeroed, at the end; its index is count - 1. NULL for want of memory (or beyond 2^31 elements). */
static inline void *segvec_add(struct segvec *v)
{
    if (v->count >> 31)
        return NULL;
    if (v->count >> SEGVEC_BITS == v->segs) {
        if (v->segs == v->cap) {
            uint32_t cap = v->cap ? v->cap * 2 : 16;
            uint8_t **seg = realloc(v->seg, cap * sizeof *seg);
            if (!seg)
                return NULL;
            v->seg = seg;
            v->cap = cap;
        }
        uint8_t *s = calloc((size_t)1 << SEGVEC_BITS, v->size);
        if (!s)
            return NULL;
        v->seg[v->segs++] = s;
    }
    return segvec_at(v, v->count++);
}

static inline void segvec_release(struct segvec *v)
{
    for (uint32_t i = 0; i < v->segs; i++)
        free(v->seg[i]);
    free(v->seg);
    *v = (struct segvec){.size = v->size};
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * buf: growable bytes. `struct buf b = {0};` is an empty one; buf_release frees and empties it.
 * Appending can fail only for want of memory: -1, and the buffer is as it was.
 * The bytes are always followed by a NUL that isn't counted, once anything was appended.
 * One thread at a time.
 */
#ifndef CAIRN_BUF_H
#define CAIRN_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *p;
    size_t len, cap;
};

void buf_release(struct buf *b);
/* Room for n more bytes behind the end. */
int buf_reserve(struct buf *b, size_t n);
int buf_append(struct buf *b, const void *p, size_t n);
int buf_append_zero(struct buf *b, size_t n);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Little-endian integers; varint is LEB128. */
int buf_u32(struct buf *b, uint32_t v);
int buf_u64(struct buf *b, uint64_t v);
int buf_varint(struct buf *b, uint64_t v);
/* Hands the memory to the caller (free() it) and empties the buffer. NULL if it was empty. */
uint8_t *buf_steal(struct buf *b, size_t *ret_len);

static inline uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t get_u64(const uint8_t *p)
{
    return (uint64_t)get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

static inline void put_u32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static inline void put_u64(uint8_t *p, uint64_t v)
{
    put_u32(p, (uint32_t)v);
    put_u32(p + 4, (uint32_t)(v >> 32));
}

/* Reads a LEB128 from [*p, end) and moves *p behind it; -1 when it is cut off, over 64 bits or not the shortest form.
 */
int get_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret);

#endif

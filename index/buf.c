/* SPDX-License-Identifier: MIT */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_release(struct buf *b)
{
    free(b->p);
    *b = (struct buf){0};
}

int buf_reserve(struct buf *b, size_t n)
{
    if (n > SIZE_MAX / 2 - b->len - 1)
        return -1;
    size_t need = b->len + n + 1;
    if (need <= b->cap)
        return 0;
    size_t cap = b->cap + b->cap / 2;
    if (cap < need)
        cap = need;
    if (cap < 64)
        cap = 64;
    uint8_t *p = realloc(b->p, cap);
    if (!p)
        return -1;
    b->p = p;
    b->cap = cap;
    return 0;
}

int buf_append(struct buf *b, const void *p, size_t n)
{
    if (buf_reserve(b, n) < 0)
        return -1;
    if (n)
        memcpy(b->p + b->len, p, n);
    b->len += n;
    b->p[b->len] = 0;
    return 0;
}

int buf_append_zero(struct buf *b, size_t n)
{
    if (buf_reserve(b, n) < 0)
        return -1;
    memset(b->p + b->len, 0, n + 1);
    b->len += n;
    return 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || buf_reserve(b, (size_t)n) < 0)
        return -1;
    va_start(ap, fmt);
    vsnprintf((char *)b->p + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
    return 0;
}

int buf_u32(struct buf *b, uint32_t v)
{
    uint8_t t[4];
    put_u32(t, v);
    return buf_append(b, t, sizeof t);
}

int buf_u64(struct buf *b, uint64_t v)
{
    uint8_t t[8];
    put_u64(t, v);
    return buf_append(b, t, sizeof t);
}

int buf_varint(struct buf *b, uint64_t v)
{
    uint8_t t[10];
    size_t n = 0;
    while (v >= 0x80) {
        t[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    t[n++] = (uint8_t)v;
    return buf_append(b, t, n);
}

int get_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
    uint64_t v = 0;
    const uint8_t *q = *p;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (q == end)
            return -1;
        uint8_t c = *q++;
        if (shift == 63 && c > 1)
            return -1;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80)) {
            if (!c && shift)
                return -1;
            *p = q;
            *ret = v;
            return 0;
        }
    }
    return -1;
}

uint8_t *buf_steal(struct buf *b, size_t *ret_len)
{
    uint8_t *p = b->p;
    if (ret_len)
        *ret_len = b->len;
    *b = (struct buf){0};
    return p;
}

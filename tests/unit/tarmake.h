/* SPDX-License-Identifier: MIT */
/*
 * tarmake: archives for tests, block by block, right or wrong as the test wants it. Appends to a buf; aborts without
 * memory.
 */
#ifndef CAIRN_TARMAKE_H
#define CAIRN_TARMAKE_H

#include "../../index/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TARMAKE static __attribute__((unused))

TARMAKE void tm_bytes(struct buf *b, const void *p, size_t n)
{
    if (buf_append(b, p, n) < 0)
        abort();
}

TARMAKE void tm_zeros(struct buf *b, size_t n)
{
    if (buf_append_zero(b, n) < 0)
        abort();
}

TARMAKE void tm_pad(struct buf *b)
{
    tm_zeros(b, -b->len & 511);
}

/* Checksum of the header at the offset. */
TARMAKE void tm_sum(struct buf *b, size_t at)
{
    unsigned sum = 0;
    memset(b->p + at + 148, ' ', 8);
    for (size_t i = 0; i < 512; i++)
        sum += b->p[at + i];
    snprintf((char *)b->p + at + 148, 8, "%06o", sum);
}

/* A ustar header; gives its offset, so that fields can be changed (then tm_sum). */
TARMAKE size_t tm_header(struct buf *b, const char *name, char type, unsigned long long size)
{
    size_t at = b->len, n = strlen(name);
    tm_zeros(b, 512);
    uint8_t *h = b->p + at;
    memcpy(h, name, n < 100 ? n : 100);
    memcpy(h + 100, "0000644", 7);
    memcpy(h + 108, "0001750", 7);
    memcpy(h + 116, "0001751", 7);
    snprintf((char *)h + 124, 12, "%011llo", size);
    memcpy(h + 136, "13270202427", 11); /* 1524696343 */
    h[156] = (uint8_t)type;
    memcpy(h + 257,
           "ustar\0"
           "00",
           8);
    tm_sum(b, at);
    return at;
}

TARMAKE void tm_field(struct buf *b, size_t header, size_t off, const void *p, size_t n)
{
    memcpy(b->p + header + off, p, n);
    tm_sum(b, header);
}

TARMAKE void tm_link(struct buf *b, const char *name, char type, const char *target)
{
    size_t at = tm_header(b, name, type, 0);
    tm_field(b, at, 157, target, strlen(target));
}

TARMAKE void tm_file(struct buf *b, const char *name, const char *text)
{
    tm_header(b, name, '0', strlen(text));
    tm_bytes(b, text, strlen(text));
    tm_pad(b);
}

/* A meta entry ('x', 'g', 'L', 'K') with these bytes. */
TARMAKE void tm_meta(struct buf *b, char type, const void *p, size_t n)
{
    tm_header(b, "meta", type, n);
    tm_bytes(b, p, n);
    tm_pad(b);
}

TARMAKE void tm_record(struct buf *b, const char *key, const void *value, size_t n)
{
    size_t len = strlen(key) + n + 3, digits = 1;
    for (size_t all = len + 1; all >= 10; all /= 10)
        digits++;
    if (len + digits >= 100 && digits < 3)
        digits = 3;
    if (len + digits >= 1000 && digits < 4)
        digits = 4;
    if (buf_printf(b, "%zu %s=", len + digits, key) < 0)
        abort();
    tm_bytes(b, value, n);
    tm_bytes(b, "\n", 1);
}

/* A PAX header of "key=value" texts, ended by NULL. */
TARMAKE void tm_pax(struct buf *b, const char *const *records)
{
    struct buf r = {0};
    for (; *records; records++) {
        const char *eq = strchr(*records, '=');
        char key[128] = "";
        memcpy(key, *records, (size_t)(eq - *records));
        tm_record(&r, key, eq + 1, strlen(eq + 1));
    }
    tm_meta(b, 'x', r.p ? (const void *)r.p : "", r.len);
    buf_release(&r);
}
#define TM_PAX(b, ...) tm_pax((b), (const char *const[]){__VA_ARGS__, NULL})

TARMAKE void tm_end(struct buf *b)
{
    tm_zeros(b, 1024);
}

#endif

/* SPDX-License-Identifier: MIT */
/* Frames: round trip, hard bounds, damage of every byte, frames that aren't ours. */
#include "../../index/codec.h"
#include "tap.h"

#include <stdlib.h>

static uint8_t raw[100000], out[100001];

/* Decodes a copy of exactly clen bytes, so that a sanitizer sees any read beyond. */
static int decode(struct decoder *d, const uint8_t *p, size_t clen, size_t rlen, struct err *e)
{
    uint8_t *copy = malloc(clen ? clen : 1);
    if (!copy)
        return err_nomem(e);
    if (clen)
        memcpy(copy, p, clen);
    int rc = decoder_run(d, copy, clen, out, rlen, e);
    free(copy);
    return rc;
}

static void round_trip(struct encoder *z, struct decoder *d)
{
    static const size_t sizes[] = {0, 1, 255, 256, 65536, sizeof raw};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct err e = {0};
        struct buf b = {0};
        ok(!buf_append(&b, "x", 1) && !encoder_run(z, raw, sizes[i], &b, &e), "encode %zu", sizes[i]);
        ok(b.p[0] == 'x', "appended");
        ok(!decode(d, b.p + 1, b.len - 1, sizes[i], &e) && !memcmp(out, raw, sizes[i]), "decode %zu: %s", sizes[i],
           e.text);
        ok(decode(d, b.p + 1, b.len - 1, sizes[i] + 1, &e) < 0 && e.kind == ERR_DAMAGED, "longer than it is");
        ok(decode(d, b.p + 1, b.len - 2, sizes[i], &e) < 0 && e.kind == ERR_DAMAGED, "cut off");
        if (sizes[i])
            ok(decode(d, b.p + 1, b.len - 1, sizes[i] - 1, &e) < 0 && e.kind == ERR_DAMAGED, "output bound is kept");
        ok(!buf_append(&b, "y", 1) && decode(d, b.p + 1, b.len - 1, sizes[i], &e) < 0 && e.kind == ERR_DAMAGED,
           "bytes behind the frame");
        buf_release(&b);
    }
}

static void damage(struct encoder *z, struct decoder *d)
{
    struct err e = {0};
    struct buf b = {0};
    int missed = 0;
    ok(!encoder_run(z, raw, 3000, &b, &e), "encode");
    for (size_t i = 0; i < b.len * 8; i++) {
        b.p[i / 8] ^= (uint8_t)(1 << i % 8);
        /* Some bits of the frame say nothing (an unused one in its header): same bytes are fine, others aren't. */
        if (!decode(d, b.p, b.len, 3000, &e))
            missed += memcmp(out, raw, 3000) != 0;
        b.p[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    is_int(missed, 0, "no flipped bit gives other bytes");
    buf_release(&b);
}

static void foreign(struct decoder *d)
{
    /* An empty frame without a checksum, a skippable frame, bytes that are none. */
    static const uint8_t plain[] = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0x00, 0x00};
    static const uint8_t skip[] = {0x5c, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 'x'};
    struct err e = {0};
    ok(decode(d, plain, sizeof plain, 0, &e) < 0 && e.kind == ERR_DAMAGED, "no checksum");
    is_str(e.text, "zstd frame has no checksum", "message");
    ok(decode(d, skip, sizeof skip, 0, &e) < 0 && e.kind == ERR_DAMAGED, "skippable frame");
    is_str(e.text, "no zstd frame", "message");
    ok(decode(d, plain, 0, 0, &e) < 0 && decode(d, plain, 3, 0, &e) < 0, "nothing, and too little");
}

int main(void)
{
    struct err e = {0};
    struct encoder *z;
    struct decoder *d;
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] = (uint8_t)(i / 3 * (i % 11) ^ i >> 9);
    if (encoder_new(3, &z, &e) < 0 || decoder_new(&d, &e) < 0)
        return 1;
    round_trip(z, d);
    damage(z, d);
    foreign(d);
    encoder_free(z);
    decoder_free(d);
    encoder_free(NULL);
    decoder_free(NULL);
    return tap_done();
}

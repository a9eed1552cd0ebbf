/* SPDX-License-Identifier: MIT */
/* libzstd's door. One frame in, one frame out, both sizes known before anything is decoded. */
#include "codec.h"

#include <zstd.h>

#include <stdlib.h>

struct encoder {
    ZSTD_CCtx *c;
};

struct decoder {
    ZSTD_DCtx *d;
};

int encoder_new(int level, struct encoder **ret, struct err *e)
{
    struct encoder *z = calloc(1, sizeof *z);
    if (!z || !(z->c = ZSTD_createCCtx())) {
        free(z);
        return err_nomem(e);
    }
    size_t rc = ZSTD_CCtx_setParameter(z->c, ZSTD_c_compressionLevel, level);
    if (!ZSTD_isError(rc))
        rc = ZSTD_CCtx_setParameter(z->c, ZSTD_c_checksumFlag, 1);
    if (!ZSTD_isError(rc))
        rc = ZSTD_CCtx_setParameter(z->c, ZSTD_c_contentSizeFlag, 1);
    if (ZSTD_isError(rc)) {
        encoder_free(z);
        return err_set(e, ERR_USAGE, "zstd level %d: %s", level, ZSTD_getErrorName(rc));
    }
    *ret = z;
    return 0;
}

void encoder_free(struct encoder *z)
{
    if (!z)
        return;
    ZSTD_freeCCtx(z->c);
    free(z);
}

int encoder_run(struct encoder *z, const void *p, size_t n, struct buf *out, struct err *e)
{
    size_t bound = ZSTD_compressBound(n);
    if (ZSTD_isError(bound) || buf_reserve(out, bound) < 0)
        return err_nomem(e);
    size_t got = ZSTD_compress2(z->c, out->p + out->len, bound, p, n);
    if (ZSTD_isError(got))
        return err_set(e, ERR_NOMEM, "zstd: %s", ZSTD_getErrorName(got));
    out->len += got;
    out->p[out->len] = 0;
    return 0;
}

int decoder_new(struct decoder **ret, struct err *e)
{
    struct decoder *z = calloc(1, sizeof *z);
    if (!z || !(z->d = ZSTD_createDCtx())) {
        free(z);
        return err_nomem(e);
    }
    *ret = z;
    return 0;
}

void decoder_free(struct decoder *z)
{
    if (!z)
        return;
    ZSTD_freeDCtx(z->d);
    free(z);
}

int decoder_run(struct decoder *z, const void *frame, size_t clen, void *out, size_t rlen, struct err *e)
{
    const uint8_t *p = frame;
    if (clen < 9 || get_u32(p) != ZSTD_MAGICNUMBER)
        return err_set(e, ERR_DAMAGED, "no zstd frame");
    if (!(p[4] & 4)) /* frame header descriptor: without the checksum flag a flipped bit would go unseen */
        return err_set(e, ERR_DAMAGED, "zstd frame has no checksum");
    unsigned long long size = ZSTD_getFrameContentSize(p, clen);
    if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR)
        return err_set(e, ERR_DAMAGED, "zstd frame doesn't say its size");
    if (size != rlen)
        return err_set(e, ERR_DAMAGED, "zstd frame holds %llu bytes, not %zu", size, rlen);
    size_t whole = ZSTD_findFrameCompressedSize(p, clen);
    if (ZSTD_isError(whole))
        return err_set(e, ERR_DAMAGED, "zstd frame: %s", ZSTD_getErrorName(whole));
    if (whole != clen)
        return err_set(e, ERR_DAMAGED, "zstd frame is %zu bytes long, not %zu", whole, clen);
    size_t got = ZSTD_decompressDCtx(z->d, out, rlen, p, clen);
    if (ZSTD_isError(got))
        return err_set(e, ERR_DAMAGED, "zstd frame: %s", ZSTD_getErrorName(got));
    if (got != rlen)
        return err_set(e, ERR_DAMAGED, "zstd frame holds %zu bytes, not %zu", got, rlen);
    return 0;
}

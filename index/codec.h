/* SPDX-License-Identifier: MIT */
/*
 * codec: zstd frames with a hard output bound; the door to libzstd (no other file includes it).
 * Frames carry their content size and a checksum, which every decode checks.
 * An encoder/decoder belongs to one thread at a time.
 */
#ifndef CAIRN_CODEC_H
#define CAIRN_CODEC_H

#include "buf.h"
#include "err.h"

struct encoder;
struct decoder;

int encoder_new(int level, struct encoder **ret, struct err *e);
void encoder_free(struct encoder *z);
/* Appends one frame that holds the n bytes at p. */
int encoder_run(struct encoder *z, const void *p, size_t n, struct buf *out, struct err *e);

int decoder_new(struct decoder **ret, struct err *e);
void decoder_free(struct decoder *z);
/* Decodes exactly one frame of clen bytes to exactly rlen bytes at out; anything else is ERR_DAMAGED. */
int decoder_run(struct decoder *z, const void *frame, size_t clen, void *out, size_t rlen, struct err *e);

#endif

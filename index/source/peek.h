/* SPDX-License-Identifier: MIT */
/*
 * peek: a stream whose first bytes can be looked at before it is read. One thread.
 *
 *   peek_open → peek_bytes (as often as wanted, growing) → read it like any stream
 */
#ifndef CAIRN_PEEK_H
#define CAIRN_PEEK_H

#include "../stream.h"

/* Owns inner, also on failure. */
int peek_open(struct stream *inner, struct stream **ret, struct err *e);
/* The first bytes, up to want; fewer only when there are no more. Valid until the next call on s. ERR_USAGE once s was
 * read. */
int peek_bytes(struct stream *s, size_t want, const uint8_t **ret_p, size_t *ret_n, struct err *e);

#endif

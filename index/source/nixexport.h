/* SPDX-License-Identifier: MIT */
/*
 * nixexport: what `nix-store --export` writes, read. (Written by package_export.)
 *
 *   { u64 1, NAR, u64 0x4558494e, str(path), u64 count, str(reference)…, str(deriver or ""), u64 0 or (1,
 * str(signature)) }…, u64 0
 *
 * The stream holds no hash of a NAR: what is there is taken as it is, and the packages are marked as not trusted.
 */
#ifndef CAIRN_NIXEXPORT_H
#define CAIRN_NIXEXPORT_H

#include "package.h"

/* Imports all paths of the stream, to its end (bytes behind the end mark are ERR_INPUT). Appends to results. Doesn't
 * close in. */
int nixexport_import(struct session *s, struct stream *in, struct package_results *results, struct err *e);

#endif

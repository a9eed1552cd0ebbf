/* SPDX-License-Identifier: MIT */
/*
 * gunzip: takes gzip off a stream; the door to zlib (no other file includes it). Not libarchive's filter, because that
 * one (3.6.2) checks neither CRC nor length of a member and takes garbage behind it for a clean end; Go, and so docker,
 * refuses both. Any number of members; what is cut off or damaged is ERR_INPUT. One thread.
 */
#ifndef CAIRN_GUNZIP_H
#define CAIRN_GUNZIP_H

#include "../stream.h"

/* inner is owned, also on failure. */
int gunzip_open(struct stream *inner, struct stream **ret, struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * settle: what a crash between a seal and its commit left behind.
 *
 * Records that are sealed but that the catalog never took in carry a sequence number and object numbers that the next
 * transaction draws again. Left lying, they would come to life in a rebuild, in place of what was acknowledged. So
 * every transaction that writes records settles first. Call it between catalog_begin and the first record. ERR_DAMAGED
 * when a pack is further than the catalog: then catalog.db is an older copy, and packs are the truth.
 */
#ifndef CAIRN_SETTLE_H
#define CAIRN_SETTLE_H

#include "store.h"

int settle(struct store *s, struct err *e);

#endif

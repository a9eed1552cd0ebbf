/* SPDX-License-Identifier: MIT */
/*
 * store: a store's folder: its parts, its version, its locks.
 *
 *   STORE/format          "cairn store 1\n": checked at each open; anything else is refused with a message
 *   STORE/packs/<id>.pack the truth (FORMAT.md); id is 16 hex digits, random
 *   STORE/catalog.db      the SQLite index, rebuilt from the packs by store_rebuild
 *   STORE/lock            flock: exclusive around every write transaction, checkpoint and last close of the catalog
 *   STORE/run/            who uses the store now: lease.h
 *   STORE/tmp/            spools; anything unlocked in it is left over and removed
 *
 * A struct store may be shared by threads. Several processes may have the same store open.
 */
#ifndef CAIRN_STORE_H
#define CAIRN_STORE_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum store_flags {
    STORE_CREATE = 1 << 0,   /* make it when it isn't there */
    STORE_READONLY = 1 << 1, /* never write; works on a read-only medium */
    STORE_BARE = 1 << 2,     /* without the catalog (store_catalog gives NULL): for making it anew */
};

struct store;
struct catalog;
struct reader;

int store_open(const char *path, int flags, struct store **ret, struct err *e);
void store_close(struct store *s);
const char *store_path(const struct store *s);
int store_dirfd(const struct store *s);   /* the folder */
int store_packsfd(const struct store *s); /* packs/ */
int store_lockfd(const struct store *s);  /* -1: a read-only store without one */
bool store_is_readonly(const struct store *s);
/* The store's catalog connection; internally locked, so any thread may use it. */
struct catalog *store_catalog(struct store *s);
/* The store's reader (block cache of reader_cache_size, default CACHE_DEFAULT); made at the first call. */
struct reader *store_reader(struct store *s);
void store_set_cache_size(struct store *s, uint64_t bytes); /* before the first store_reader */
/* An unlinked temporary file in STORE/tmp, open for reading and writing. */
int store_tmpfile(struct store *s, int *ret_fd, struct err *e);

/*
 * Changes that bring no bytes (name, remove, keep…): writes the records into a pack of their own and applies them, in
 * one durable transaction. Records without a number get one. The records stay the caller's.
 */
struct json;
int store_record(struct store *s, struct json **records, size_t n, struct err *e);

/* Makes catalog.db anew from the packs. Refused (ERR_BUSY) while mounts or imports use the store. */
int store_rebuild(const char *path, struct err *e);

#endif

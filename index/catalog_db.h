/* SPDX-License-Identifier: MIT */
/* catalog_db: what the catalog's files share: the connection, cached statements, error translation. For catalog*.c
 * only. */
#ifndef CAIRN_CATALOG_DB_H
#define CAIRN_CATALOG_DB_H

#include "catalog.h"

#include <pthread.h>
#include <sqlite3.h>
#include <sys/types.h>

enum { CATALOG_STATEMENTS = 80 };

struct catalog {
    sqlite3 *db;
    pthread_mutex_t mu; /* recursive: held for each call, and from catalog_begin to its end */
    int lockfd;
    bool readonly, writing;
    dev_t dev; /* of the file that is open: a rebuild puts another in its place */
    ino_t ino;
    uint64_t own_writes, seq; /* seq: of the running transaction */
    int wal_pages;
    struct {
        const char *sql; /* compared by address: each statement has one literal */
        sqlite3_stmt *st;
    } cache[CATALOG_STATEMENTS];
    char path[4096]; /* for errors */
};

/* Locks and gives the statement of that literal, bindings cleared; NULL with e set (and unlocked). End with
 * catalog_done. */
sqlite3_stmt *catalog_prepare(struct catalog *c, const char *sql, struct err *e);
/* Resets st and unlocks. */
void catalog_done(struct catalog *c, sqlite3_stmt *st);
/* ERR_… from the connection's last error; returns -1. */
int catalog_fail(struct catalog *c, const char *what, struct err *e);
/* Runs a statement that gives no rows; ends it. */
int catalog_run(struct catalog *c, sqlite3_stmt *st, const char *what, struct err *e);
/* SQLITE_ROW: 1; SQLITE_DONE: 0; else -1 with e set. */
int catalog_step(struct catalog *c, sqlite3_stmt *st, const char *what, struct err *e);

static inline void bind_digest(sqlite3_stmt *st, int i, const struct digest *d)
{
    sqlite3_bind_blob(st, i, d->b, DIGEST_LEN, SQLITE_STATIC);
}
/* ERR_DAMAGED unless the column is a digest. */
int column_digest(sqlite3_stmt *st, int i, struct digest *ret, struct err *e);

#endif

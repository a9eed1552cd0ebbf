/* SPDX-License-Identifier: MIT */
/*
 * catalog: the connection, its transactions, and the index of bytes. Objects are in catalog_object.c, records in
 * catalog_apply.c.
 *
 * Locking (design.md 4; SQLite before 3.51.3 may corrupt a WAL database when a writer and a checkpointer run in two
 * connections): one flock is held around every write transaction, checkpoint and close, whichever process it is;
 * SQLite never checkpoints by itself (wal_autocheckpoint=0, no checkpoint on close).
 */
#include "catalog_db.h"

#include "io.h"
#include "limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Pages in the write-ahead log from which a commit also checkpoints. */
enum { CHECKPOINT_PAGES = 1000, BUSY_MS = 30000 };

static const char schema[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "INSERT INTO meta VALUES('version', 1), ('next_no', 1), ('seq', 0);"
    "CREATE TABLE pack(id INTEGER PRIMARY KEY, bytes INTEGER NOT NULL);"
    "CREATE TABLE block(id INTEGER PRIMARY KEY AUTOINCREMENT, pack INTEGER NOT NULL, off INTEGER NOT NULL,"
    " clen INTEGER NOT NULL, rlen INTEGER NOT NULL);"
    "CREATE INDEX block_pack ON block(pack);"
    "CREATE TABLE chunk(digest BLOB PRIMARY KEY, block INTEGER NOT NULL, off INTEGER NOT NULL, len INTEGER NOT NULL,"
    " condemned INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
    "CREATE TABLE content(digest BLOB PRIMARY KEY, size INTEGER NOT NULL, chunks BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE object(no INTEGER PRIMARY KEY, kind TEXT NOT NULL);"
    "CREATE TABLE layer(no INTEGER PRIMARY KEY, diffid BLOB NOT NULL UNIQUE, tree BLOB NOT NULL, recipe BLOB NOT NULL,"
    " size INTEGER NOT NULL, entries INTEGER NOT NULL, time INTEGER NOT NULL);"
    "CREATE TABLE blob(digest BLOB PRIMARY KEY, diffid BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE package(no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, dir TEXT NOT NULL, narhash BLOB NOT NULL,"
    " narsize INTEGER NOT NULL, refs TEXT NOT NULL, deriver TEXT, ca TEXT, sigs TEXT NOT NULL, trusted INTEGER NOT "
    "NULL,"
    " tree BLOB NOT NULL, time INTEGER NOT NULL);"
    "CREATE TABLE image(no INTEGER PRIMARY KEY, manifest BLOB NOT NULL UNIQUE, config BLOB NOT NULL, rootfs BLOB NOT "
    "NULL,"
    " layers BLOB NOT NULL, blobs BLOB NOT NULL, time INTEGER NOT NULL);"
    "CREATE TABLE name(no INTEGER PRIMARY KEY, repo TEXT NOT NULL, tag TEXT, manifest BLOB NOT NULL, time INTEGER NOT "
    "NULL);"
    "CREATE UNIQUE INDEX name_tag ON name(repo, tag) WHERE tag IS NOT NULL;"
    "CREATE UNIQUE INDEX name_digest ON name(repo, manifest) WHERE tag IS NULL;"
    "CREATE TABLE keep(no INTEGER PRIMARY KEY);"
    "CREATE TABLE removed(no INTEGER PRIMARY KEY, seq INTEGER NOT NULL, tree BLOB NOT NULL);";

/* --- statements and errors --- */

int catalog_fail(struct catalog *c, const char *what, struct err *e)
{
    int code = sqlite3_errcode(c->db) & 0xff, sys = sqlite3_system_errno(c->db);
    const char *why = sqlite3_errmsg(c->db);
    switch (code) {
    case SQLITE_FULL:
        return err_sys(e, ENOSPC, "%s: %s", c->path, what);
    case SQLITE_NOMEM:
        return err_nomem(e);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return err_set(e, ERR_DAMAGED, "%s: %s: %s; `cairn rebuild` makes it anew from the packs", c->path, what, why);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(e, ERR_BUSY, "%s: %s: another process holds it", c->path, what);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return err_sys(e, sys ? sys : code == SQLITE_READONLY ? EROFS : EIO, "%s: %s (%s)", c->path, what, why);
    default:
        return err_set(e, ERR_SYSTEM, "%s: %s: %s", c->path, what, why);
    }
}

sqlite3_stmt *catalog_prepare(struct catalog *c, const char *sql, struct err *e)
{
    size_t i;
    pthread_mutex_lock(&c->mu);
    for (i = 0; i < CATALOG_STATEMENTS && c->cache[i].sql; i++) {
        if (c->cache[i].sql == sql) {
            if (!sqlite3_stmt_busy(c->cache[i].st))
                return c->cache[i].st;
            i = CATALOG_STATEMENTS;
            break;
        }
    }
    sqlite3_stmt *st = NULL;
    if (i == CATALOG_STATEMENTS ||
        sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK) {
        if (i == CATALOG_STATEMENTS)
            err_set(e, ERR_SYSTEM, "%s: statement is in use", c->path);
        else
            catalog_fail(c, "prepare", e);
        pthread_mutex_unlock(&c->mu);
        return NULL;
    }
    c->cache[i].sql = sql;
    c->cache[i].st = st;
    return st;
}

void catalog_done(struct catalog *c, sqlite3_stmt *st)
{
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    pthread_mutex_unlock(&c->mu);
}

int catalog_step(struct catalog *c, sqlite3_stmt *st, const char *what, struct err *e)
{
    int rc = sqlite3_step(st);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : catalog_fail(c, what, e);
}

int catalog_run(struct catalog *c, sqlite3_stmt *st, const char *what, struct err *e)
{
    int rc = catalog_step(c, st, what, e);
    catalog_done(c, st);
    return rc < 0 ? -1 : 0;
}

int column_digest(sqlite3_stmt *st, int i, struct digest *ret, struct err *e)
{
    if (sqlite3_column_bytes(st, i) != DIGEST_LEN)
        return err_set(e, ERR_DAMAGED, "catalog: column %d is no digest; `cairn rebuild` makes it anew", i);
    memcpy(ret->b, sqlite3_column_blob(st, i), DIGEST_LEN);
    return 0;
}

static int exec(struct catalog *c, const char *sql, struct err *e)
{
    return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : catalog_fail(c, "set up", e);
}

/* --- opening --- */

static int on_wal(void *ctx, sqlite3 *db, const char *name, int pages)
{
    (void)db, (void)name;
    ((struct catalog *)ctx)->wal_pages = pages;
    return SQLITE_OK;
}

static int get_meta(struct catalog *c, const char *key, uint64_t *ret, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "SELECT value FROM meta WHERE key = ?", e);
    if (!st)
        return -1;
    sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
    int rc = catalog_step(c, st, key, e);
    if (rc == 1)
        *ret = (uint64_t)sqlite3_column_int64(st, 0);
    catalog_done(c, st);
    if (rc == 0)
        err_set(e, ERR_DAMAGED, "%s: no '%s'; `cairn rebuild` makes it anew from the packs", c->path, key);
    return rc == 1 ? 0 : -1;
}

static int set_meta(struct catalog *c, const char *key, uint64_t value, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "UPDATE meta SET value = ?2 WHERE key = ?1", e);
    if (!st)
        return -1;
    sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(st, 2, (sqlite3_int64)value);
    return catalog_run(c, st, key, e);
}

static int has_schema(struct catalog *c, bool *ret, struct err *e)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(c->db, "SELECT count(*) FROM sqlite_master WHERE name = 'meta'", -1, &st, NULL) != SQLITE_OK)
        return catalog_fail(c, "open", e);
    int rc = catalog_step(c, st, "open", e);
    *ret = rc == 1 && sqlite3_column_int(st, 0) > 0;
    sqlite3_finalize(st);
    return rc < 0 ? -1 : 0;
}

/* Called with the lock held when the catalog may have to be made. */
static int set_up(struct catalog *c, bool create, struct err *e)
{
    bool there = false;
    uint64_t version;
    if (!c->readonly && (exec(c, "PRAGMA journal_mode=WAL", e) < 0 || exec(c, "PRAGMA synchronous=FULL", e) < 0))
        return -1;
    if (exec(c,
             "PRAGMA wal_autocheckpoint=0; PRAGMA mmap_size=0; PRAGMA trusted_schema=OFF; PRAGMA cache_size=-16384;"
             "PRAGMA temp_store=MEMORY",
             e) < 0 ||
        has_schema(c, &there, e) < 0)
        return -1;
    if (!there) {
        if (!create || c->readonly)
            return err_set(e, ERR_DAMAGED, "%s: empty; `cairn rebuild` makes it anew from the packs", c->path);
        if (exec(c, "BEGIN IMMEDIATE", e) < 0 || exec(c, schema, e) < 0 || exec(c, "COMMIT", e) < 0)
            return -1;
    }
    if (get_meta(c, "version", &version, e) < 0)
        return -1;
    if (version != 1)
        return err_set(e, ERR_UNSUPPORTED, "%s has version %" PRIu64 ", and this program knows 1: use a newer one",
                       c->path, version);
    return 0;
}

/*
 * A catalog on a read-only medium and without a log: SQLite would want to make the log's index there, and can't. Nobody
 * writes here, so it may be told to do without.
 */
static bool is_still(const char *path)
{
    char wal[4200];
    struct stat sb;
    struct statvfs fs;
    snprintf(wal, sizeof wal, "%s-wal", path);
    return statvfs(path, &fs) == 0 && (fs.f_flag & ST_RDONLY) && (stat(wal, &sb) < 0 || sb.st_size == 0);
}

static int still_uri(const char *path, struct buf *uri)
{
    int rc = buf_printf(uri, "file:");
    for (const char *p = path; rc == 0 && *p; p++)
        rc = strchr("%?#", *p) ? buf_printf(uri, "%%%02x", (unsigned)*p) : buf_append(uri, p, 1);
    return rc == 0 ? buf_printf(uri, "?immutable=1") : -1;
}

int catalog_open(int dirfd, const char *path, int lockfd, bool readonly, bool create, struct catalog **ret,
                 struct err *e)
{
    struct catalog *c = calloc(1, sizeof *c);
    pthread_mutexattr_t attr;
    if (!c)
        return err_nomem(e);
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&c->mu, &attr);
    pthread_mutexattr_destroy(&attr);
    c->lockfd = lockfd;
    c->readonly = readonly;
    snprintf(c->path, sizeof c->path, "%s", path);
    (void)dirfd;
    int flags = SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_PRIVATECACHE |
                (readonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) |
                (create && !readonly ? SQLITE_OPEN_CREATE : 0);
    bool locked = !readonly && lockfd >= 0;
    if (locked && io_lock(lockfd, true, true, path, e) < 0)
        goto fail;
    struct buf uri = {0};
    bool still = readonly && is_still(path);
    if (still && still_uri(path, &uri) < 0) {
        err_nomem(e);
        goto fail;
    }
    int rc = sqlite3_open_v2(still ? (const char *)uri.p : path, &c->db, flags | (still ? SQLITE_OPEN_URI : 0), NULL);
    buf_release(&uri);
    if (rc != SQLITE_OK) {
        catalog_fail(c, "open", e);
        goto fail;
    }
    sqlite3_busy_timeout(c->db, BUSY_MS);
    sqlite3_extended_result_codes(c->db, 1);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_wal_hook(c->db, on_wal, c);
    if (set_up(c, create, e) < 0)
        goto fail;
    struct stat sb;
    if (stat(path, &sb) < 0) {
        err_sys(e, errno, "stat %s", path);
        goto fail;
    }
    c->dev = sb.st_dev;
    c->ino = sb.st_ino;
    if (locked)
        io_unlock(lockfd);
    *ret = c;
    return 0;
fail:
    if (locked)
        io_unlock(lockfd);
    catalog_close(c);
    return -1;
}

void catalog_close(struct catalog *c)
{
    struct err ignored = {0};
    if (!c)
        return;
    bool locked = c->db && c->lockfd >= 0 && !c->readonly && io_lock(c->lockfd, true, true, c->path, &ignored) == 0;
    for (size_t i = 0; i < CATALOG_STATEMENTS; i++)
        sqlite3_finalize(c->cache[i].st);
    sqlite3_close(c->db);
    if (locked)
        io_unlock(c->lockfd);
    pthread_mutex_destroy(&c->mu);
    free(c);
}

/* --- transactions --- */

/* lockfd -1: whoever opened it holds the store's lock for all of the time (rebuild). */
static void unlock(struct catalog *c)
{
    if (c->lockfd >= 0)
        io_unlock(c->lockfd);
}

/* A commit to a file that a rebuild has replaced would be acknowledged and lost. */
static int check_in_place(struct catalog *c, struct err *e)
{
    struct stat sb;
    if (stat(c->path, &sb) < 0)
        return err_sys(e, errno, "stat %s", c->path);
    return sb.st_dev == c->dev && sb.st_ino == c->ino
               ? 0
               : err_set(e, ERR_BUSY, "%s was made anew meanwhile: run this command again", c->path);
}

int catalog_begin(struct catalog *c, struct err *e)
{
    if (c->readonly)
        return err_sys(e, EROFS, "%s", c->path);
    pthread_mutex_lock(&c->mu);
    if (c->writing) {
        pthread_mutex_unlock(&c->mu);
        return err_set(e, ERR_USAGE, "%s: a transaction is running already", c->path);
    }
    if (c->lockfd >= 0 && io_lock(c->lockfd, true, true, c->path, e) < 0) {
        pthread_mutex_unlock(&c->mu);
        return -1;
    }
    if (c->lockfd >= 0 && check_in_place(c, e) < 0) {
        unlock(c);
        pthread_mutex_unlock(&c->mu);
        return -1;
    }
    if (exec(c, "BEGIN IMMEDIATE", e) < 0 || get_meta(c, "seq", &c->seq, e) < 0) {
        sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
        unlock(c);
        pthread_mutex_unlock(&c->mu);
        return -1;
    }
    c->seq++;
    c->writing = true;
    return 0; /* the mutex stays ours until the end */
}

static void end_transaction(struct catalog *c)
{
    c->writing = false;
    unlock(c);
    pthread_mutex_unlock(&c->mu);
}

int catalog_commit(struct catalog *c, struct err *e)
{
    if (set_meta(c, "seq", c->seq, e) < 0 || exec(c, "COMMIT", e) < 0)
        return -1;
    c->own_writes++;
    if (c->wal_pages >= CHECKPOINT_PAGES) {
        /* What readers still need stays; a failure leaves a longer log and nothing else. */
        sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        c->wal_pages = 0;
    }
    end_transaction(c);
    return 0;
}

void catalog_rollback(struct catalog *c)
{
    if (!c->writing)
        return;
    sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
    end_transaction(c);
}

int catalog_version(struct catalog *c, uint64_t *ret, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "PRAGMA data_version", e);
    if (!st)
        return -1;
    int rc = catalog_step(c, st, "version", e);
    if (rc == 1)
        *ret = (uint64_t)sqlite3_column_int64(st, 0) << 32 ^ c->own_writes;
    catalog_done(c, st);
    return rc == 1 ? 0 : -1;
}

int catalog_seq(struct catalog *c, uint64_t *ret, struct err *e)
{
    return get_meta(c, "seq", ret, e);
}

int catalog_peek_no(struct catalog *c, uint32_t *ret, struct err *e)
{
    uint64_t no;
    if (get_meta(c, "next_no", &no, e) < 0)
        return -1;
    *ret = (uint32_t)no;
    return 0;
}

int catalog_next_no(struct catalog *c, uint32_t *ret, struct err *e)
{
    uint64_t no;
    if (get_meta(c, "next_no", &no, e) < 0)
        return -1;
    if (no >= UINT32_MAX)
        return err_set(e, ERR_LIMIT, "%s: no object numbers are left", c->path);
    if (set_meta(c, "next_no", no + 1, e) < 0)
        return -1;
    *ret = (uint32_t)no;
    return 0;
}

/* --- bytes --- */

int catalog_chunk(struct catalog *c, const struct digest *d, bool for_reuse, struct chunk_loc *ret, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "SELECT block, off, len, condemned FROM chunk WHERE digest = ?", e);
    if (!st)
        return -1;
    bind_digest(st, 1, d);
    int rc = catalog_step(c, st, "look up a chunk", e);
    if (rc == 1 && !(for_reuse && sqlite3_column_int(st, 3))) {
        ret->block = (uint64_t)sqlite3_column_int64(st, 0);
        ret->off = (uint32_t)sqlite3_column_int64(st, 1);
        ret->len = (uint32_t)sqlite3_column_int64(st, 2);
    } else if (rc >= 0) {
        char hex[DIGEST_HEX_LEN + 1];
        digest_hex(d, hex);
        rc = err_set(e, ERR_NOT_FOUND, "chunk %s isn't in the store", hex);
    }
    catalog_done(c, st);
    return rc == 1 ? 0 : -1;
}

int catalog_block(struct catalog *c, uint64_t block, struct block_loc *ret, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "SELECT pack, off, clen, rlen FROM block WHERE id = ?", e);
    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, (sqlite3_int64)block);
    int rc = catalog_step(c, st, "look up a block", e);
    if (rc == 1) {
        ret->pack = (uint64_t)sqlite3_column_int64(st, 0);
        ret->off = (uint64_t)sqlite3_column_int64(st, 1);
        ret->clen = (uint32_t)sqlite3_column_int64(st, 2);
        ret->rlen = (uint32_t)sqlite3_column_int64(st, 3);
    } else if (rc == 0) {
        rc = err_set(e, ERR_NOT_FOUND, "block %" PRIu64 " isn't in the store", block);
    }
    catalog_done(c, st);
    return rc == 1 ? 0 : -1;
}

static int usable(struct catalog *c, const struct tree_chunk *chunks, size_t n, struct err *e)
{
    struct chunk_loc loc;
    for (size_t i = 0; i < n; i++)
        if (!digest_is_zero(&chunks[i].digest) && catalog_chunk(c, &chunks[i].digest, true, &loc, e) < 0)
            return -1;
    return 0;
}

int catalog_content(struct catalog *c, const struct digest *d, bool for_reuse, struct buf *out, struct err *e)
{
    size_t before = out->len;
    sqlite3_stmt *st = catalog_prepare(c, "SELECT chunks FROM content WHERE digest = ?", e);
    if (!st)
        return -1;
    bind_digest(st, 1, d);
    int rc = catalog_step(c, st, "look up a content", e);
    if (rc == 1) {
        size_t n = (size_t)sqlite3_column_bytes(st, 0);
        if (n == 0 || n % sizeof(struct tree_chunk))
            rc = err_set(e, ERR_DAMAGED, "%s: chunk list of %zu bytes; `cairn rebuild` makes it anew", c->path, n);
        else if (buf_append(out, sqlite3_column_blob(st, 0), n) < 0)
            rc = err_nomem(e);
    } else if (rc == 0) {
        char hex[DIGEST_HEX_LEN + 1];
        digest_hex(d, hex);
        rc = err_set(e, ERR_NOT_FOUND, "content %s isn't in the store", hex);
    }
    catalog_done(c, st);
    if (rc == 1 && for_reuse &&
        usable(c, (const struct tree_chunk *)(const void *)(out->p + before),
               (out->len - before) / sizeof(struct tree_chunk), e) < 0) {
        out->len = before;
        rc = -1;
    }
    return rc == 1 ? 0 : -1;
}

int catalog_totals(struct catalog *c, struct cat_totals *ret, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c,
                                       "SELECT (SELECT count(*) FROM pack), (SELECT coalesce(sum(bytes), 0) FROM pack),"
                                       " (SELECT count(*) FROM block), (SELECT count(*) FROM chunk),"
                                       " (SELECT coalesce(sum(rlen), 0) FROM block)",
                                       e);
    if (!st)
        return -1;
    int rc = catalog_step(c, st, "sum up", e);
    if (rc == 1)
        *ret = (struct cat_totals){.packs = (uint64_t)sqlite3_column_int64(st, 0),
                                   .pack_bytes = (uint64_t)sqlite3_column_int64(st, 1),
                                   .blocks = (uint64_t)sqlite3_column_int64(st, 2),
                                   .chunks = (uint64_t)sqlite3_column_int64(st, 3),
                                   .raw_bytes = (uint64_t)sqlite3_column_int64(st, 4)};
    catalog_done(c, st);
    return rc == 1 ? 0 : -1;
}

int catalog_add_pack(struct catalog *c, uint64_t pack, uint64_t bytes, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "INSERT OR REPLACE INTO pack VALUES(?, ?)", e);
    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, (sqlite3_int64)pack);
    sqlite3_bind_int64(st, 2, (sqlite3_int64)bytes);
    return catalog_run(c, st, "add a pack", e);
}

static int add_chunk(struct catalog *c, uint64_t block, const struct chunk_row *k, struct err *e)
{
    sqlite3_stmt *st =
        catalog_prepare(c,
                        "INSERT INTO chunk VALUES(?, ?, ?, ?, 0) ON CONFLICT(digest) DO UPDATE SET condemned = 0"
                        " WHERE condemned != 0",
                        e);
    if (!st)
        return -1;
    bind_digest(st, 1, &k->digest);
    sqlite3_bind_int64(st, 2, (sqlite3_int64)block);
    sqlite3_bind_int64(st, 3, k->off);
    sqlite3_bind_int64(st, 4, k->len);
    return catalog_run(c, st, "add a chunk", e);
}

int catalog_add_block(struct catalog *c, const struct block_loc *b, const struct chunk_row *chunks, uint32_t n,
                      uint64_t *ret_block, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "INSERT INTO block(pack, off, clen, rlen) VALUES(?, ?, ?, ?)", e);
    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, (sqlite3_int64)b->pack);
    sqlite3_bind_int64(st, 2, (sqlite3_int64)b->off);
    sqlite3_bind_int64(st, 3, b->clen);
    sqlite3_bind_int64(st, 4, b->rlen);
    if (catalog_run(c, st, "add a block", e) < 0)
        return -1;
    uint64_t id = (uint64_t)sqlite3_last_insert_rowid(c->db);
    for (uint32_t i = 0; i < n; i++)
        if (add_chunk(c, id, &chunks[i], e) < 0)
            return -1;
    *ret_block = id;
    return 0;
}

int catalog_add_content(struct catalog *c, const struct digest *d, uint64_t size, const struct tree_chunk *chunks,
                        uint32_t n, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "INSERT OR IGNORE INTO content VALUES(?, ?, ?)", e);
    if (!st)
        return -1;
    bind_digest(st, 1, d);
    sqlite3_bind_int64(st, 2, (sqlite3_int64)size);
    sqlite3_bind_blob64(st, 3, chunks, (sqlite3_uint64)n * sizeof *chunks, SQLITE_STATIC);
    return catalog_run(c, st, "add a content", e);
}

int catalog_keep_chunk(struct catalog *c, const struct digest *d, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "UPDATE chunk SET condemned = 0 WHERE digest = ? AND condemned != 0", e);
    struct chunk_loc loc;
    if (!st)
        return -1;
    bind_digest(st, 1, d);
    if (catalog_run(c, st, "keep a chunk", e) < 0)
        return -1;
    return catalog_chunk(c, d, false, &loc, e);
}

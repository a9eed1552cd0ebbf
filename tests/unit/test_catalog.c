/* SPDX-License-Identifier: MIT */
/*
 * Covers: catalog, catalog_apply. What a record must have, the life of a chunk between an import and gc, and what a
 * transaction promises: to another connection, after a rollback, and after a kill.
 */
#include "../../index/catalog.h"
#include "../../index/catalog_gc.h"

#include "teststore.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <time.h>

#define HEX "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OCI "sha256:" HEX

static int apply(struct catalog *c, const char *text, struct err *e)
{
    struct json *j;
    err_clear(e);
    if (json_parse(text, strlen(text), 4096, "record", &j, e) < 0)
        return -1;
    int rc = catalog_apply(c, j, e);
    json_unref(j);
    return rc;
}

static void records(struct catalog *c)
{
    static const struct {
        const char *text, *why; /* why NULL: accepted */
    } v[] = {
        {"{}", "record without a type"},
        {"[]", "record without a type"},
        {"{\"type\":7}", "record without a type"},
        {"{\"type\":\"name\"}", "member 'no'"},
        {"{\"type\":\"name\",\"no\":0}", "member 'no'"},
        {"{\"type\":\"name\",\"no\":-1}", "member 'no'"},
        {"{\"type\":\"name\",\"no\":4294967296}", "member 'no'"},
        {"{\"type\":\"name\",\"no\":\"1\"}", "member 'no'"},
        {"{\"type\":\"name\",\"no\":1,\"repo\":\"\",\"tag\":\"t\",\"manifest\":\"" HEX "\",\"time\":1}", "'repo'"},
        {"{\"type\":\"name\",\"no\":1,\"repo\":\"r\",\"tag\":null,\"manifest\":\"" HEX "\",\"time\":1}", "'tag'"},
        {"{\"type\":\"name\",\"no\":1,\"repo\":\"r\",\"tag\":\"t\",\"manifest\":\"" OCI "\",\"time\":1}", "'manifest'"},
        {"{\"type\":\"name\",\"no\":1,\"repo\":\"r\",\"tag\":\"t\",\"manifest\":\"" HEX "\"}", "'time'"},
        {"{\"type\":\"layer\",\"no\":1,\"diffid\":\"" HEX "\"}", "'diffid'"},
        {"{\"type\":\"layer\",\"no\":1,\"diffid\":\"" OCI "\",\"tree\":\"AA\"}", "'tree'"},
        {"{\"type\":\"layer\",\"no\":1,\"diffid\":\"" OCI "\",\"tree\":\"" HEX "\",\"recipe\":\"" HEX
         "\",\"size\":-1,\"entries\":0,\"time\":0}",
         "'size'"},
        {"{\"type\":\"package\",\"no\":1,\"name\":\"a/b\",\"dir\":\"/nix/store\",\"narhash\":\"" HEX
         "\",\"narsize\":1,\"tree\":\"" HEX "\",\"time\":0}",
         "'name'"},
        {"{\"type\":\"package\",\"no\":1,\"name\":\"ab\",\"dir\":\"/nix/store\",\"narhash\":\"" HEX
         "\",\"narsize\":1,\"tree\":\"" HEX "\",\"time\":0,\"refs\":[\"x\\ny\"]}",
         "'refs'"},
        {"{\"type\":\"image\",\"no\":1,\"manifest\":\"" HEX "\",\"config\":\"" HEX "\",\"rootfs\":\"" HEX
         "\",\"time\":0,\"layers\":[null],\"blobs\":[null]}",
         "'layers'"},
        {"{\"type\":\"image\",\"no\":1,\"manifest\":\"" HEX "\",\"config\":\"" HEX "\",\"rootfs\":\"" HEX
         "\",\"time\":0,\"layers\":[\"" OCI "\"],\"blobs\":[]}",
         "'blobs'"},
        {"{\"type\":\"remove\",\"no\":1,\"of\":\"everything\"}", "'of'"},
        {"{\"type\":\"content\",\"digest\":\"" HEX "\",\"size\":5,\"chunks\":[[\"" HEX "\",3],[null,3]]}", "'chunks'"},
        {"{\"type\":\"content\",\"digest\":\"" HEX "\",\"size\":5,\"chunks\":[[\"" HEX "\",3]]}", "'chunks'"},
        {"{\"type\":\"content\",\"digest\":\"" HEX "\",\"size\":5,\"chunks\":[[\"" HEX "\",-3],[null,8]]}", "'chunks'"},
        {"{\"type\":\"content\",\"digest\":\"" HEX "\",\"size\":5,\"chunks\":7}", "'chunks'"},
        {"{\"type\":\"remove\",\"no\":77,\"of\":\"layer\"}", NULL},
        {"{\"type\":\"keep\",\"no\":77}", NULL},
        {"{\"type\":\"of tomorrow\",\"no\":1,\"x\":{}}", NULL},
        {"{\"type\":\"digestname\",\"no\":900,\"repo\":\"r\",\"manifest\":\"" HEX "\",\"time\":1,\"new\":[]}", NULL},
        {"{\"type\":\"content\",\"digest\":\"" HEX "\",\"size\":6,\"chunks\":[[\"" HEX "\",3],[null,3]]}", NULL},
    };
    struct err e = {0};
    ok(catalog_begin(c, &e) == 0, "begin: %s", e.text);
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        int rc = apply(c, v[i].text, &e);
        if (v[i].why)
            ok(rc < 0 && e.kind == ERR_DAMAGED && strstr(e.text, v[i].why), "%.60s: %s", v[i].text, e.text);
        else
            ok(rc == 0, "%.60s: %s", v[i].text, e.text);
    }
    catalog_rollback(c);
    struct cat_name n;
    ok(catalog_name_no(c, 900, &n, &e) < 0 && e.kind == ERR_NOT_FOUND, "a rollback leaves nothing: %s", e.text);
}

static struct digest digest(uint32_t i)
{
    struct digest d;
    sha256_of(&i, sizeof i, &d);
    return d;
}

static bool none_live(const struct digest *d, void *ctx)
{
    (void)d, (void)ctx;
    return false;
}

static void chunks(struct catalog *c)
{
    struct block_loc b = {.pack = 5, .off = 100, .clen = 50, .rlen = 64}, got;
    struct chunk_row rows[2] = {{digest(1), 0, 32}, {digest(2), 32, 32}};
    struct tree_chunk list[3] = {{digest(1), 32}, {{{0}}, 64}, {digest(2), 96}};
    struct digest whole = digest(3);
    struct chunk_loc loc;
    struct buf out = {0};
    struct err e = {0};
    uint64_t first, second, n, bytes;
    ok(catalog_begin(c, &e) == 0 && catalog_add_pack(c, 5, 1000, &e) == 0 &&
           catalog_add_block(c, &b, rows, 2, &first, &e) == 0 && catalog_add_content(c, &whole, 96, list, 3, &e) == 0 &&
           catalog_commit(c, &e) == 0,
       "a block and a content: %s", e.text);
    b.off = 300;
    ok(catalog_begin(c, &e) == 0 && catalog_add_block(c, &b, rows, 2, &second, &e) == 0 && catalog_commit(c, &e) == 0,
       "the same chunks again: %s", e.text);
    ok(first != second && catalog_chunk(c, &rows[1].digest, true, &loc, &e) == 0 && loc.block == first &&
           loc.off == 32 && loc.len == 32,
       "a chunk that is there stays where it is");
    ok(catalog_block(c, first, &got, &e) == 0 && got.pack == 5 && got.off == 100 && got.clen == 50 && got.rlen == 64,
       "its block");
    ok(catalog_content(c, &whole, true, &out, &e) == 0 && out.len == sizeof list && !memcmp(out.p, list, out.len),
       "the content's chunks");

    ok(catalog_begin(c, &e) == 0 && catalog_condemn(c, none_live, NULL, &n, &bytes, &e) == 0 &&
           catalog_commit(c, &e) == 0,
       "condemn: %s", e.text);
    ok(n == 2 && bytes == 64, "two chunks of 64 bytes");
    ok(catalog_chunk(c, &rows[0].digest, false, &loc, &e) == 0, "a condemned chunk can be read");
    ok(catalog_chunk(c, &rows[0].digest, true, &loc, &e) < 0 && e.kind == ERR_NOT_FOUND, "but not built on: %s",
       e.text);
    ok(catalog_content(c, &whole, true, &out, &e) < 0 && e.kind == ERR_NOT_FOUND, "nor its content: %s", e.text);
    is_int(out.len, sizeof list, "which adds nothing");
    ok(catalog_begin(c, &e) == 0 && catalog_keep_chunk(c, &rows[0].digest, &e) == 0 && catalog_sweep(c, &e) == 0 &&
           catalog_commit(c, &e) == 0,
       "an import keeps one, then the sweep: %s", e.text);
    ok(catalog_chunk(c, &rows[0].digest, true, &loc, &e) == 0, "what was kept is usable again");
    ok(catalog_chunk(c, &rows[1].digest, false, &loc, &e) < 0 && e.kind == ERR_NOT_FOUND, "the other is gone");
    ok(catalog_block(c, second, &got, &e) < 0 && e.kind == ERR_NOT_FOUND, "a block that nothing is in, too: %s",
       e.text);
    ok(catalog_begin(c, &e) == 0 && catalog_keep_chunk(c, &rows[1].digest, &e) < 0 && e.kind == ERR_NOT_FOUND,
       "keeping a chunk that is gone: %s", e.text);
    uint64_t third;
    ok(catalog_add_block(c, &b, rows, 2, &third, &e) == 0 && third > second, "block numbers aren't used again");
    catalog_rollback(c);
    buf_release(&out);
}

static void transactions(struct catalog *c, const char *path)
{
    struct store *other;
    struct err e = {0};
    uint64_t before, after, seq, seq2;
    uint32_t a, b, peek;
    struct cat_name n;
    ok(store_open(path, 0, &other, &e) == 0, "a second connection: %s", e.text);
    struct catalog *o = store_catalog(other);
    ok(catalog_version(o, &before, &e) == 0 && catalog_seq(o, &seq, &e) == 0, "its version");
    ok(catalog_begin(c, &e) == 0, "begin: %s", e.text);
    ok(catalog_begin(c, &e) < 0 && e.kind == ERR_USAGE && strstr(e.text, "running already"), "twice: %s", e.text);
    ok(catalog_next_no(c, &a, &e) == 0 && catalog_next_no(c, &b, &e) == 0 && b == a + 1 &&
           catalog_peek_no(c, &peek, &e) == 0 && peek == b + 1,
       "numbers");
    char text[300];
    snprintf(text, sizeof text,
             "{\"type\":\"name\",\"no\":%u,\"repo\":\"r\",\"tag\":\"t\",\"manifest\":\"" HEX "\",\"time\":1}", a);
    ok(apply(c, text, &e) == 0, "a name: %s", e.text);
    ok(catalog_name(o, "r", "t", NULL, &n, &e) < 0, "isn't seen by others yet");
    err_clear(&e);
    ok(catalog_version(o, &after, &e) == 0 && after == before, "whose version is the same");
    ok(catalog_commit(c, &e) == 0, "commit: %s", e.text);
    ok(catalog_version(o, &after, &e) == 0 && after != before, "now it is another");
    ok(catalog_seq(o, &seq2, &e) == 0 && seq2 == seq + 1, "sequence number");
    ok(catalog_name(o, "r", "t", NULL, &n, &e) == 0 && n.no == a, "and the name is there: %s", e.text);
    cat_name_release(&n);
    store_close(other);
    ok(store_open(path, STORE_READONLY, &other, &e) == 0, "read only: %s", e.text);
    ok(catalog_begin(store_catalog(other), &e) < 0 && e.kind == ERR_SYSTEM && strstr(e.text, "Read-only"), "%s",
       e.text);
    store_close(other);
}

static void killed(struct catalog *c, const char *path)
{
    struct err e = {0};
    struct cat_name n;
    int status = 0;
    uint32_t no, again;
    catalog_peek_no(c, &no, &e);
    pid_t pid = fork();
    if (pid == 0) {
        struct store *s;
        if (store_open(path, 0, &s, &e) < 0 || catalog_begin(store_catalog(s), &e) < 0 ||
            catalog_next_no(store_catalog(s), &again, &e) < 0 ||
            apply(store_catalog(s),
                  "{\"type\":\"digestname\",\"no\":50,\"repo\":\"k\",\"manifest\":\"" HEX "\",\"time\":1}", &e) < 0)
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    waitpid(pid, &status, 0);
    ok(WIFSIGNALED(status), "killed in a transaction");
    ok(catalog_name_no(c, 50, &n, &e) < 0 && e.kind == ERR_NOT_FOUND, "of which nothing is seen: %s", e.text);
    ok(catalog_peek_no(c, &again, &e) == 0 && again == no, "no number is drawn");
    ok(catalog_begin(c, &e) == 0, "and the lock is free: %s", e.text);
    catalog_rollback(c);
    bool fine = false;
    struct buf text = {0};
    ok(catalog_integrity(c, &fine, &text, &e) == 0 && fine, "SQLite finds it whole");
    buf_release(&text);
}

static void rate(struct catalog *c)
{
    enum { BLOCKS = 2000, ROWS = 32 };
    static struct chunk_row rows[ROWS];
    struct block_loc b = {.pack = 5, .clen = 100, .rlen = ROWS};
    struct timespec t0, t1;
    struct err e = {0};
    uint64_t id;
    int rc = catalog_begin(c, &e);
    clock_gettime(CLOCK_MONOTONIC, &t0);
    for (uint32_t i = 0; rc == 0 && i < BLOCKS; i++) {
        for (uint32_t k = 0; k < ROWS; k++)
            rows[k] = (struct chunk_row){digest(1000 + i * ROWS + k), k, 1};
        b.off = i;
        rc = catalog_add_block(c, &b, rows, ROWS, &id, &e);
    }
    ok(rc == 0 && catalog_commit(c, &e) == 0, "many chunks in one transaction: %s", e.text);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    double s = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9;
    printf("# %d chunk rows in %.0f ms, commit included: %.0f a second\n", BLOCKS * ROWS, s * 1e3, BLOCKS * ROWS / s);
}

static void newer(struct teststore *t, const char *path)
{
    char db[120];
    sqlite3 *h = NULL;
    struct err e = {0};
    snprintf(db, sizeof db, "%s/catalog.db", path);
    store_close(t->store);
    t->store = NULL;
    ok(sqlite3_open(db, &h) == SQLITE_OK &&
           sqlite3_exec(h, "UPDATE meta SET value = 2 WHERE key = 'version'", NULL, NULL, NULL) == SQLITE_OK,
       "a catalog of a later version");
    sqlite3_close(h);
    ok(store_open(path, 0, &t->store, &e) < 0 && e.kind == ERR_UNSUPPORTED && strstr(e.text, "has version 2"),
       "is refused: %s", e.text);
    t->store = NULL;
}

int main(void)
{
    struct teststore t = teststore_open();
    char path[80];
    snprintf(path, sizeof path, "%s/store", t.dir);
    struct catalog *c = store_catalog(t.store);
    records(c);
    chunks(c);
    transactions(c, path);
    killed(c, path);
    rate(c);
    newer(&t, path);
    teststore_close(&t);
    return tap_done();
}

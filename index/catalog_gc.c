/* SPDX-License-Identifier: MIT */
#include "catalog_gc.h"

#include "catalog_db.h"
#include "digestset.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int catalog_set_counters(struct catalog *c, uint64_t seq, uint64_t next_no, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "UPDATE meta SET value = ? WHERE key = 'next_no'", e);
    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, (sqlite3_int64)next_no);
    if (catalog_run(c, st, "set counters", e) < 0)
        return -1;
    c->seq = seq; /* catalog_commit writes it */
    return 0;
}

int catalog_flatten(struct catalog *c, struct err *e)
{
    pthread_mutex_lock(&c->mu);
    int rc = sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) == SQLITE_OK
                 ? 0
                 : catalog_fail(c, "checkpoint", e);
    pthread_mutex_unlock(&c->mu);
    return rc;
}

int catalog_integrity(struct catalog *c, bool *ret_ok, struct buf *text, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "PRAGMA integrity_check(5)", e);
    int rc;
    if (!st)
        return -1;
    *ret_ok = true;
    while ((rc = catalog_step(c, st, "check", e)) == 1) {
        const char *line = (const char *)sqlite3_column_text(st, 0);
        if (!strcmp(line, "ok"))
            continue;
        *ret_ok = false;
        if (buf_printf(text, "%s%s", text->len ? "; " : "", line) < 0) {
            rc = err_nomem(e);
            break;
        }
    }
    catalog_done(c, st);
    return rc;
}

int catalog_each_pack(struct catalog *c, int (*fn)(uint64_t pack, uint64_t bytes, void *ctx), void *ctx, struct err *e)
{
    struct buf rows = {0};
    sqlite3_stmt *st = catalog_prepare(c, "SELECT id, bytes FROM pack ORDER BY id", e);
    int rc;
    if (!st)
        return -1;
    while ((rc = catalog_step(c, st, "list packs", e)) == 1) {
        uint64_t row[2] = {(uint64_t)sqlite3_column_int64(st, 0), (uint64_t)sqlite3_column_int64(st, 1)};
        if (buf_append(&rows, row, sizeof row) < 0) {
            rc = err_nomem(e);
            break;
        }
    }
    catalog_done(c, st);
    for (size_t at = 0; rc == 0 && at < rows.len; at += 2 * sizeof(uint64_t)) {
        uint64_t row[2];
        memcpy(row, rows.p + at, sizeof row);
        rc = fn(row[0], row[1], ctx);
    }
    buf_release(&rows);
    return rc;
}

/* The chunks of all blocks, in the order in which the blocks come. */
struct block_walk {
    struct buf blocks; /* struct cat_block, rows NULL */
    struct buf rows;   /* struct chunk_row */
    struct buf owner;  /* uint64_t block per row */
};

static int load_blocks(struct catalog *c, struct block_walk *w, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "SELECT id, pack, off, clen, rlen FROM block ORDER BY pack, off", e);
    int rc;
    if (!st)
        return -1;
    while ((rc = catalog_step(c, st, "list blocks", e)) == 1) {
        struct cat_block b = {.block = (uint64_t)sqlite3_column_int64(st, 0),
                              .loc = {.pack = (uint64_t)sqlite3_column_int64(st, 1),
                                      .off = (uint64_t)sqlite3_column_int64(st, 2),
                                      .clen = (uint32_t)sqlite3_column_int64(st, 3),
                                      .rlen = (uint32_t)sqlite3_column_int64(st, 4)}};
        if (buf_append(&w->blocks, &b, sizeof b) < 0) {
            rc = err_nomem(e);
            break;
        }
    }
    catalog_done(c, st);
    return rc;
}

static int load_rows(struct catalog *c, struct block_walk *w, struct err *e)
{
    sqlite3_stmt *st =
        catalog_prepare(c,
                        "SELECT k.digest, k.off, k.len, k.block FROM chunk k JOIN block b ON b.id = k.block"
                        " ORDER BY b.pack, b.off, k.off",
                        e);
    int rc;
    if (!st)
        return -1;
    while ((rc = catalog_step(c, st, "list chunks", e)) == 1) {
        struct chunk_row r = {.off = (uint32_t)sqlite3_column_int64(st, 1),
                              .len = (uint32_t)sqlite3_column_int64(st, 2)};
        uint64_t block = (uint64_t)sqlite3_column_int64(st, 3);
        if ((rc = column_digest(st, 0, &r.digest, e)) < 0)
            break;
        if (buf_append(&w->rows, &r, sizeof r) < 0 || buf_append(&w->owner, &block, sizeof block) < 0) {
            rc = err_nomem(e);
            break;
        }
    }
    catalog_done(c, st);
    return rc;
}

int catalog_each_block(struct catalog *c, int (*fn)(const struct cat_block *b, void *ctx), void *ctx, struct err *e)
{
    struct block_walk w = {0};
    size_t row = 0;
    int rc = load_blocks(c, &w, e);
    if (rc == 0)
        rc = load_rows(c, &w, e);
    size_t rows = w.rows.len / sizeof(struct chunk_row);
    const uint64_t *owner = (const uint64_t *)(const void *)w.owner.p;
    for (size_t i = 0; rc == 0 && i < w.blocks.len / sizeof(struct cat_block); i++) {
        struct cat_block *b = (struct cat_block *)(void *)w.blocks.p + i;
        b->rows = (struct chunk_row *)(void *)w.rows.p + row;
        while (row < rows && owner[row] == b->block) {
            b->count++;
            row++;
        }
        rc = fn(b, ctx);
    }
    buf_release(&w.blocks);
    buf_release(&w.rows);
    buf_release(&w.owner);
    return rc;
}

/* --- gc --- */

struct removed_row {
    uint32_t no;
    uint64_t seq;
    struct digest tree;
};

int catalog_each_removed(struct catalog *c, int (*fn)(uint32_t no, uint64_t seq, const struct digest *tree, void *ctx),
                         void *ctx, struct err *e)
{
    struct buf rows = {0};
    sqlite3_stmt *st = catalog_prepare(c, "SELECT no, seq, tree FROM removed ORDER BY no", e);
    int rc;
    if (!st)
        return -1;
    while ((rc = catalog_step(c, st, "list removed objects", e)) == 1) {
        struct removed_row r = {.no = (uint32_t)sqlite3_column_int64(st, 0),
                                .seq = (uint64_t)sqlite3_column_int64(st, 1)};
        if ((rc = column_digest(st, 2, &r.tree, e)) < 0)
            break;
        if (buf_append(&rows, &r, sizeof r) < 0) {
            rc = err_nomem(e);
            break;
        }
    }
    catalog_done(c, st);
    for (size_t i = 0; rc == 0 && i < rows.len / sizeof(struct removed_row); i++) {
        const struct removed_row *r = (const struct removed_row *)(const void *)rows.p + i;
        rc = fn(r->no, r->seq, &r->tree, ctx);
    }
    buf_release(&rows);
    return rc;
}

static int run_with(struct catalog *c, const char *sql, uint64_t a, uint64_t b, uint64_t d, int n, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, sql, e);
    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, (sqlite3_int64)a);
    if (n > 1)
        sqlite3_bind_int64(st, 2, (sqlite3_int64)b);
    if (n > 2)
        sqlite3_bind_int64(st, 3, (sqlite3_int64)d);
    return catalog_run(c, st, "change the index", e);
}

int catalog_forget_removed(struct catalog *c, uint32_t no, struct err *e)
{
    return run_with(c, "DELETE FROM removed WHERE no = ?", no, 0, 0, 1, e);
}

int catalog_each_kept(struct catalog *c, int (*fn)(uint32_t no, void *ctx), void *ctx, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "SELECT no FROM keep", e);
    int rc;
    if (!st)
        return -1;
    while ((rc = catalog_step(c, st, "list kept objects", e)) == 1)
        if ((rc = fn((uint32_t)sqlite3_column_int64(st, 0), ctx)) != 0)
            break;
    catalog_done(c, st);
    return rc;
}

static int set_condemned(struct catalog *c, const struct digest *d, int value, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "UPDATE chunk SET condemned = ?2 WHERE digest = ?1", e);
    if (!st)
        return -1;
    bind_digest(st, 1, d);
    sqlite3_bind_int(st, 2, value);
    return catalog_run(c, st, "condemn a chunk", e);
}

static int condemn_chunks(struct catalog *c, bool (*live)(const struct digest *d, void *ctx), void *ctx,
                          uint64_t *ret_chunks, uint64_t *ret_bytes, struct err *e)
{
    struct buf change = {0};
    sqlite3_stmt *st = catalog_prepare(c, "SELECT digest, len, condemned FROM chunk", e);
    int rc;
    if (!st)
        return -1;
    while ((rc = catalog_step(c, st, "mark chunks", e)) == 1) {
        struct digest d;
        if ((rc = column_digest(st, 0, &d, e)) < 0)
            break;
        uint8_t dead = !live(&d, ctx);
        *ret_chunks += dead;
        *ret_bytes += dead ? (uint64_t)sqlite3_column_int64(st, 1) : 0;
        if (dead != (sqlite3_column_int(st, 2) != 0) &&
            (buf_append(&change, d.b, DIGEST_LEN) < 0 || buf_append(&change, &dead, 1) < 0)) {
            rc = err_nomem(e);
            break;
        }
    }
    catalog_done(c, st);
    for (size_t at = 0; rc == 0 && at < change.len; at += DIGEST_LEN + 1) {
        struct digest d;
        memcpy(d.b, change.p + at, DIGEST_LEN);
        rc = set_condemned(c, &d, change.p[at + DIGEST_LEN], e);
    }
    buf_release(&change);
    return rc;
}

static int condemned_set(struct catalog *c, struct digestset *set, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "SELECT digest FROM chunk WHERE condemned != 0", e);
    int rc;
    if (!st)
        return -1;
    while ((rc = catalog_step(c, st, "list condemned chunks", e)) == 1) {
        struct digest d;
        if ((rc = column_digest(st, 0, &d, e)) < 0)
            break;
        if (digestset_add(set, &d) < 0) {
            rc = err_nomem(e);
            break;
        }
    }
    catalog_done(c, st);
    return rc;
}

/* Into drop: contents that have a chunk of the set. */
static int find_contents(struct catalog *c, const struct digestset *set, struct buf *drop, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "SELECT digest, chunks FROM content", e);
    int rc;
    if (!st)
        return -1;
    while ((rc = catalog_step(c, st, "list contents", e)) == 1) {
        struct digest d;
        const struct tree_chunk *k = sqlite3_column_blob(st, 1);
        size_t n = (size_t)sqlite3_column_bytes(st, 1) / sizeof *k;
        bool dead = false;
        if ((rc = column_digest(st, 0, &d, e)) < 0)
            break;
        for (size_t i = 0; i < n && !dead; i++)
            dead = digestset_has(set, &k[i].digest);
        if (dead && buf_append(drop, d.b, DIGEST_LEN) < 0) {
            rc = err_nomem(e);
            break;
        }
    }
    catalog_done(c, st);
    return rc;
}

static int drop_contents(struct catalog *c, struct err *e)
{
    struct digestset set = {0};
    struct buf drop = {0};
    if (digestset_init(&set) < 0)
        return err_nomem(e);
    int rc = condemned_set(c, &set, e);
    if (rc == 0)
        rc = find_contents(c, &set, &drop, e);
    for (size_t at = 0; rc == 0 && at < drop.len; at += DIGEST_LEN) {
        struct digest d;
        memcpy(d.b, drop.p + at, DIGEST_LEN);
        sqlite3_stmt *st = catalog_prepare(c, "DELETE FROM content WHERE digest = ?", e);
        if (!st) {
            rc = -1;
            break;
        }
        bind_digest(st, 1, &d);
        rc = catalog_run(c, st, "drop a content", e);
    }
    digestset_release(&set);
    buf_release(&drop);
    return rc;
}

/* Contents of condemned chunks stay until the sweep: an import that found one before may yet take its chunks back. */
int catalog_condemn(struct catalog *c, bool (*live)(const struct digest *d, void *ctx), void *ctx, uint64_t *ret_chunks,
                    uint64_t *ret_bytes, struct err *e)
{
    *ret_chunks = *ret_bytes = 0;
    return condemn_chunks(c, live, ctx, ret_chunks, ret_bytes, e);
}

int catalog_sweep(struct catalog *c, struct err *e)
{
    if (drop_contents(c, e) < 0)
        return -1;
    sqlite3_stmt *st = catalog_prepare(c, "DELETE FROM chunk WHERE condemned != 0", e);
    if (!st || catalog_run(c, st, "delete chunks", e) < 0)
        return -1;
    st = catalog_prepare(c, "DELETE FROM block WHERE id NOT IN (SELECT block FROM chunk)", e);
    return st ? catalog_run(c, st, "delete blocks", e) : -1;
}

int catalog_move_block(struct catalog *c, uint64_t block, uint64_t pack, uint64_t off, struct err *e)
{
    return run_with(c, "UPDATE block SET pack = ?2, off = ?3 WHERE id = ?1", block, pack, off, 3, e);
}

int catalog_move_chunk(struct catalog *c, const struct digest *d, uint64_t block, uint32_t off, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "UPDATE chunk SET block = ?2, off = ?3 WHERE digest = ?1", e);
    if (!st)
        return -1;
    bind_digest(st, 1, d);
    sqlite3_bind_int64(st, 2, (sqlite3_int64)block);
    sqlite3_bind_int64(st, 3, off);
    return catalog_run(c, st, "move a chunk", e);
}

int catalog_drop_block(struct catalog *c, uint64_t block, struct err *e)
{
    return run_with(c, "DELETE FROM block WHERE id = ?", block, 0, 0, 1, e);
}

int catalog_drop_pack(struct catalog *c, uint64_t pack, struct err *e)
{
    return run_with(c, "DELETE FROM pack WHERE id = ?", pack, 0, 0, 1, e);
}

/* --- dumping --- */

struct dump {
    struct catalog *c;
    struct buf *out;
    struct err *e;
};

static int line(struct dump *d, struct json *j, int rc)
{
    if (rc == 0)
        rc = json_dump(j, 0, d->out) | buf_append(d->out, "\n", 1);
    json_unref(j);
    return rc ? err_nomem(d->e) : 0;
}

static struct json *hex_json(const struct digest *d)
{
    char hex[DIGEST_HEX_LEN + 1];
    digest_hex(d, hex);
    return json_new_str(hex);
}

static struct json *oci_json(const struct digest *d)
{
    char oci[DIGEST_OCI_LEN + 1];
    digest_oci(d, oci);
    return digest_is_zero(d) ? json_new_null() : json_new_str(oci);
}

static int head(struct json *j, const char *type, uint32_t no, int64_t time)
{
    return json_set(j, "type", json_new_str(type)) | json_set(j, "no", json_new_int(no)) |
           json_set(j, "time", json_new_int(time));
}

static int dump_layer(const struct cat_layer *l, void *ctx)
{
    struct json *j = json_new_object();
    int rc = head(j, "layer", l->no, l->time) | json_set(j, "diffid", oci_json(&l->diffid)) |
             json_set(j, "tree", hex_json(&l->tree)) | json_set(j, "recipe", hex_json(&l->recipe)) |
             json_set(j, "size", json_new_int((int64_t)l->size)) | json_set(j, "entries", json_new_int(l->entries));
    return line(ctx, j, rc);
}

static struct json *list_json(char *const *v)
{
    struct json *a = json_new_array();
    int rc = 0;
    for (size_t i = 0; v && v[i]; i++)
        rc |= json_add(a, json_new_str(v[i]));
    if (rc == 0)
        return a;
    json_unref(a);
    return NULL;
}

static int dump_package(const struct cat_package *p, void *ctx)
{
    struct json *j = json_new_object();
    int rc = head(j, "package", p->no, p->time) | json_set(j, "name", json_new_str(p->name)) |
             json_set(j, "dir", json_new_str(p->dir)) | json_set(j, "narhash", hex_json(&p->narhash)) |
             json_set(j, "narsize", json_new_int((int64_t)p->narsize)) | json_set(j, "refs", list_json(p->refs)) |
             json_set(j, "deriver", json_new_str(p->deriver)) | json_set(j, "ca", json_new_str(p->ca)) |
             json_set(j, "sigs", list_json(p->sigs)) | json_set(j, "trusted", json_new_bool(p->trusted)) |
             json_set(j, "tree", hex_json(&p->tree));
    return line(ctx, j, rc);
}

static int dump_image(const struct cat_image *im, void *ctx)
{
    struct json *j = json_new_object(), *layers = json_new_array(), *blobs = json_new_array();
    int rc = 0;
    for (uint32_t i = 0; i < im->layer_count; i++)
        rc |= json_add(layers, oci_json(&im->layers[i])) | json_add(blobs, oci_json(&im->blobs[i]));
    rc |= head(j, "image", im->no, im->time) | json_set(j, "manifest", hex_json(&im->manifest)) |
          json_set(j, "config", hex_json(&im->config)) | json_set(j, "rootfs", hex_json(&im->rootfs));
    rc |= json_set(j, "layers", layers) | json_set(j, "blobs", blobs);
    return line(ctx, j, rc);
}

static int dump_name(const struct cat_name *n, void *ctx)
{
    struct json *j = json_new_object();
    int rc = head(j, n->tag ? "name" : "digestname", n->no, n->time) | json_set(j, "repo", json_new_str(n->repo)) |
             json_set(j, "manifest", hex_json(&n->manifest));
    if (n->tag)
        rc |= json_set(j, "tag", json_new_str(n->tag));
    return line(ctx, j, rc);
}

static int dump_kept(uint32_t no, void *ctx)
{
    struct json *j = json_new_object();
    return line(ctx, j, head(j, "keep", no, 0));
}

static struct json *chunks_json(const struct tree_chunk *k, size_t n)
{
    struct json *list = json_new_array();
    uint64_t at = 0;
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        struct json *pair = json_new_array();
        rc |= json_add(pair, digest_is_zero(&k[i].digest) ? json_new_null() : hex_json(&k[i].digest));
        rc |= json_add(pair, json_new_int((int64_t)(k[i].end - at))) | json_add(list, pair);
        at = k[i].end;
    }
    if (rc == 0)
        return list;
    json_unref(list);
    return NULL;
}

/* Those that are in no tree: a rebuild gets the others from the trees. */
static int dump_contents(struct dump *d, bool (*loose)(const struct digest *d, void *ctx), void *ctx)
{
    sqlite3_stmt *st = catalog_prepare(d->c, "SELECT digest, size, chunks FROM content", d->e);
    int rc;
    if (!st)
        return -1;
    while ((rc = catalog_step(d->c, st, "list contents", d->e)) == 1) {
        struct digest digest;
        const struct tree_chunk *k = sqlite3_column_blob(st, 2);
        if ((rc = column_digest(st, 0, &digest, d->e)) < 0)
            break;
        if (!loose(&digest, ctx))
            continue;
        struct json *j = json_new_object();
        int bad = json_set(j, "type", json_new_str("content")) | json_set(j, "digest", hex_json(&digest)) |
                  json_set(j, "size", json_new_int(sqlite3_column_int64(st, 1))) |
                  json_set(j, "chunks", chunks_json(k, (size_t)sqlite3_column_bytes(st, 2) / sizeof *k));
        if ((rc = line(d, j, bad)) < 0)
            break;
    }
    catalog_done(d->c, st);
    return rc;
}

int catalog_dump(struct catalog *c, bool (*loose)(const struct digest *d, void *ctx), void *ctx, struct buf *lines,
                 struct err *e)
{
    struct dump d = {c, lines, e};
    if (buf_printf(lines, "{\"type\":\"snapshot\"}\n") < 0)
        return err_nomem(e);
    if (catalog_each_layer(c, dump_layer, &d, e) < 0 || catalog_each_package(c, dump_package, &d, e) < 0 ||
        catalog_each_image(c, dump_image, &d, e) < 0 || catalog_each_name(c, dump_name, &d, e) < 0 ||
        catalog_each_kept(c, dump_kept, &d, e) < 0)
        return -1;
    return dump_contents(&d, loose, ctx);
}

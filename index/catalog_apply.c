/* SPDX-License-Identifier: MIT */
/*
 * catalog_apply: one record (catalog.h) → rows. The only way that object rows are made, by imports and by rebuild
 * alike; so what a damaged or foreign pack says is checked here, member by member.
 */
#include "catalog_db.h"

#include "limits.h"

#include <inttypes.h>
#include <string.h>

struct record {
    const struct json *j;
    const char *type;
    uint32_t no;
};

static int bad(const struct record *r, const char *member, struct err *e)
{
    return err_set(e, ERR_DAMAGED, "record '%s' %" PRIu32 ": member '%s' is missing or makes no sense", r->type, r->no,
                   member);
}

static int get_hex(const struct record *r, const char *key, struct digest *ret, struct err *e)
{
    const char *s = json_str(json_get(r->j, key));
    return s && digest_parse_hex(s, strlen(s), ret) == 0 ? 0 : bad(r, key, e);
}

static int get_oci(const struct record *r, const char *key, struct digest *ret, struct err *e)
{
    const char *s = json_str(json_get(r->j, key));
    return s && digest_parse_oci(s, strlen(s), ret) == 0 ? 0 : bad(r, key, e);
}

static int get_int(const struct record *r, const char *key, int64_t min, int64_t *ret, struct err *e)
{
    return json_int(json_get(r->j, key), ret) && *ret >= min ? 0 : bad(r, key, e);
}

static int get_text(const struct record *r, const char *key, bool optional, const char **ret, struct err *e)
{
    struct json *v = json_get(r->j, key);
    *ret = json_str(v);
    if (!*ret)
        return optional && (json_type(v) == JSON_ABSENT || json_type(v) == JSON_NULL) ? 0 : bad(r, key, e);
    return (*ret)[0] && !strchr(*ret, '\n') ? 0 : bad(r, key, e);
}

/* Strings of an array, one a line. */
static int get_lines(const struct record *r, const char *key, struct buf *out, struct err *e)
{
    struct json *a = json_get(r->j, key);
    if (json_type(a) != JSON_ARRAY && json_type(a) != JSON_ABSENT && json_type(a) != JSON_NULL)
        return bad(r, key, e);
    for (size_t i = 0; i < json_count(a); i++) {
        const char *s = json_str(json_at(a, i));
        if (!s || !*s || strchr(s, '\n'))
            return bad(r, key, e);
        if (buf_printf(out, "%s\n", s) < 0)
            return err_nomem(e);
    }
    return 0;
}

/* An array of OCI digests, as bytes; null gives the zero digest when nulls are allowed. */
static int get_digests(const struct record *r, const char *key, bool nulls, struct buf *out, struct err *e)
{
    struct json *a = json_get(r->j, key);
    if (json_type(a) != JSON_ARRAY)
        return bad(r, key, e);
    for (size_t i = 0; i < json_count(a); i++) {
        struct digest d = {0};
        const char *s = json_str(json_at(a, i));
        if (s ? digest_parse_oci(s, strlen(s), &d) < 0 : !nulls || json_type(json_at(a, i)) != JSON_NULL)
            return bad(r, key, e);
        if (buf_append(out, d.b, DIGEST_LEN) < 0)
            return err_nomem(e);
    }
    return 0;
}

/* Unless the row before was left out, because the object is there already under another number. */
static int add_object(struct catalog *c, const struct record *r, struct err *e)
{
    if (sqlite3_changes(c->db) == 0)
        return 0;
    sqlite3_stmt *st = catalog_prepare(c, "INSERT OR IGNORE INTO object VALUES(?, ?)", e);
    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, r->no);
    sqlite3_bind_text(st, 2, r->type, -1, SQLITE_STATIC);
    return catalog_run(c, st, "add an object", e);
}

static int delete_by_no(struct catalog *c, const char *sql, uint32_t no, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, sql, e);
    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, no);
    return catalog_run(c, st, "remove an object", e);
}

static int apply_layer(struct catalog *c, const struct record *r, struct err *e)
{
    struct digest diffid, tree, recipe;
    int64_t size, entries, time;
    if (get_oci(r, "diffid", &diffid, e) < 0 || get_hex(r, "tree", &tree, e) < 0 ||
        get_hex(r, "recipe", &recipe, e) < 0 || get_int(r, "size", 0, &size, e) < 0 ||
        get_int(r, "entries", 0, &entries, e) < 0 || get_int(r, "time", INT64_MIN, &time, e) < 0)
        return -1;
    sqlite3_stmt *st = catalog_prepare(c, "INSERT OR IGNORE INTO layer VALUES(?, ?, ?, ?, ?, ?, ?)", e);
    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, r->no);
    bind_digest(st, 2, &diffid);
    bind_digest(st, 3, &tree);
    bind_digest(st, 4, &recipe);
    sqlite3_bind_int64(st, 5, size);
    sqlite3_bind_int64(st, 6, entries);
    sqlite3_bind_int64(st, 7, time);
    return catalog_run(c, st, "add a layer", e) < 0 ? -1 : add_object(c, r, e);
}

static int apply_package(struct catalog *c, const struct record *r, struct err *e)
{
    struct digest narhash, tree;
    struct buf refs = {0}, sigs = {0};
    const char *name, *dir, *deriver, *ca;
    int64_t narsize, time;
    sqlite3_stmt *st = NULL;
    int rc = -1;
    if (get_text(r, "name", false, &name, e) < 0 || get_text(r, "dir", false, &dir, e) < 0 ||
        get_hex(r, "narhash", &narhash, e) < 0 || get_int(r, "narsize", 0, &narsize, e) < 0 ||
        get_text(r, "deriver", true, &deriver, e) < 0 || get_text(r, "ca", true, &ca, e) < 0 ||
        get_hex(r, "tree", &tree, e) < 0 || get_int(r, "time", INT64_MIN, &time, e) < 0 ||
        get_lines(r, "refs", &refs, e) < 0 || get_lines(r, "sigs", &sigs, e) < 0)
        goto out;
    if (strlen(name) > LIMIT_NAME || strchr(name, '/')) {
        bad(r, "name", e);
        goto out;
    }
    st = catalog_prepare(c, "INSERT OR IGNORE INTO package VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", e);
    if (!st)
        goto out;
    sqlite3_bind_int64(st, 1, r->no);
    sqlite3_bind_text(st, 2, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 3, dir, -1, SQLITE_STATIC);
    bind_digest(st, 4, &narhash);
    sqlite3_bind_int64(st, 5, narsize);
    sqlite3_bind_text(st, 6, refs.len ? (const char *)refs.p : "", (int)refs.len, SQLITE_STATIC);
    if (deriver)
        sqlite3_bind_text(st, 7, deriver, -1, SQLITE_STATIC);
    if (ca)
        sqlite3_bind_text(st, 8, ca, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 9, sigs.len ? (const char *)sigs.p : "", (int)sigs.len, SQLITE_STATIC);
    sqlite3_bind_int(st, 10, json_bool(json_get(r->j, "trusted"), false));
    bind_digest(st, 11, &tree);
    sqlite3_bind_int64(st, 12, time);
    rc = catalog_run(c, st, "add a package", e);
    if (rc == 0)
        rc = add_object(c, r, e);
out:
    buf_release(&refs);
    buf_release(&sigs);
    return rc;
}

static int add_blobs(struct catalog *c, const struct buf *layers, const struct buf *blobs, struct err *e)
{
    const uint8_t *from = layers->p, *to = blobs->p;
    for (size_t at = 0; from && to && at < layers->len; at += DIGEST_LEN) {
        struct digest diffid, blob;
        memcpy(diffid.b, from + at, DIGEST_LEN);
        memcpy(blob.b, to + at, DIGEST_LEN);
        if (digest_is_zero(&blob))
            continue;
        sqlite3_stmt *st = catalog_prepare(c, "INSERT OR IGNORE INTO blob VALUES(?, ?)", e);
        if (!st)
            return -1;
        bind_digest(st, 1, &blob);
        bind_digest(st, 2, &diffid);
        if (catalog_run(c, st, "add a blob", e) < 0)
            return -1;
    }
    return 0;
}

static int apply_image(struct catalog *c, const struct record *r, struct err *e)
{
    struct digest manifest, config, rootfs;
    struct buf layers = {0}, blobs = {0};
    sqlite3_stmt *st;
    int64_t time;
    int rc = -1;
    if (get_hex(r, "manifest", &manifest, e) < 0 || get_hex(r, "config", &config, e) < 0 ||
        get_hex(r, "rootfs", &rootfs, e) < 0 || get_int(r, "time", INT64_MIN, &time, e) < 0 ||
        get_digests(r, "layers", false, &layers, e) < 0 || get_digests(r, "blobs", true, &blobs, e) < 0)
        goto out;
    if (layers.len != blobs.len) {
        bad(r, "blobs", e);
        goto out;
    }
    st = catalog_prepare(c, "INSERT OR IGNORE INTO image VALUES(?, ?, ?, ?, ?, ?, ?)", e);
    if (!st)
        goto out;
    sqlite3_bind_int64(st, 1, r->no);
    bind_digest(st, 2, &manifest);
    bind_digest(st, 3, &config);
    bind_digest(st, 4, &rootfs);
    sqlite3_bind_blob(st, 5, layers.p ? (const void *)layers.p : "", (int)layers.len, SQLITE_STATIC);
    sqlite3_bind_blob(st, 6, blobs.p ? (const void *)blobs.p : "", (int)blobs.len, SQLITE_STATIC);
    sqlite3_bind_int64(st, 7, time);
    if (catalog_run(c, st, "add an image", e) == 0 && add_object(c, r, e) == 0)
        rc = add_blobs(c, &layers, &blobs, e);
out:
    buf_release(&layers);
    buf_release(&blobs);
    return rc;
}

static int apply_name(struct catalog *c, const struct record *r, bool tagged, struct err *e)
{
    struct digest manifest;
    const char *repo, *tag = NULL;
    int64_t time;
    if (get_text(r, "repo", false, &repo, e) < 0 || (tagged && get_text(r, "tag", false, &tag, e) < 0) ||
        get_hex(r, "manifest", &manifest, e) < 0 || get_int(r, "time", INT64_MIN, &time, e) < 0)
        return -1;
    if (tagged) {
        /* A tag moves: the folder that it was is gone, its number isn't used again. */
        sqlite3_stmt *old =
            catalog_prepare(c, "DELETE FROM object WHERE no IN (SELECT no FROM name WHERE repo = ? AND tag = ?)", e);
        if (!old)
            return -1;
        sqlite3_bind_text(old, 1, repo, -1, SQLITE_STATIC);
        sqlite3_bind_text(old, 2, tag, -1, SQLITE_STATIC);
        if (catalog_run(c, old, "move a name", e) < 0)
            return -1;
    }
    sqlite3_stmt *st = catalog_prepare(c,
                                       tagged ? "INSERT OR REPLACE INTO name VALUES(?, ?, ?, ?, ?)"
                                              : "INSERT OR IGNORE INTO name VALUES(?, ?, ?, ?, ?)",
                                       e);
    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, r->no);
    sqlite3_bind_text(st, 2, repo, -1, SQLITE_STATIC);
    if (tag)
        sqlite3_bind_text(st, 3, tag, -1, SQLITE_STATIC);
    bind_digest(st, 4, &manifest);
    sqlite3_bind_int64(st, 5, time);
    return catalog_run(c, st, "add a name", e) < 0 ? -1 : add_object(c, r, e);
}

/* A mount may have files of the package open: until it has let go of them, gc must know what they are. */
static int note_removed(struct catalog *c, uint32_t no, struct err *e)
{
    sqlite3_stmt *st =
        catalog_prepare(c, "INSERT OR IGNORE INTO removed SELECT no, ?2, tree FROM package WHERE no = ?1", e);
    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, no);
    sqlite3_bind_int64(st, 2, (sqlite3_int64)c->seq);
    return catalog_run(c, st, "note a removal", e);
}

static int apply_remove(struct catalog *c, const struct record *r, struct err *e)
{
    static const struct {
        const char *of, *sql;
    } tables[] = {
        {"name", "DELETE FROM name WHERE no = ? AND tag IS NOT NULL"},
        {"digestname", "DELETE FROM name WHERE no = ? AND tag IS NULL"},
        {"image", "DELETE FROM image WHERE no = ?"},
        {"layer", "DELETE FROM layer WHERE no = ?"},
        {"package", "DELETE FROM package WHERE no = ?"},
    };
    const char *of = json_str(json_get(r->j, "of"));
    for (size_t i = 0; of && i < sizeof tables / sizeof *tables; i++) {
        if (strcmp(of, tables[i].of) != 0)
            continue;
        if (!strcmp(of, "package") && note_removed(c, r->no, e) < 0)
            return -1;
        return delete_by_no(c, tables[i].sql, r->no, e) < 0 ||
                       delete_by_no(c, "DELETE FROM keep WHERE no = ?", r->no, e) < 0
                   ? -1
                   : delete_by_no(c, "DELETE FROM object WHERE no = ?", r->no, e);
    }
    return bad(r, "of", e);
}

static int apply_content(struct catalog *c, const struct record *r, struct err *e)
{
    struct digest d;
    struct buf chunks = {0};
    struct json *list = json_get(r->j, "chunks");
    int64_t size, len;
    uint64_t end = 0;
    int rc = -1;
    if (get_hex(r, "digest", &d, e) < 0 || get_int(r, "size", 1, &size, e) < 0)
        return -1;
    for (size_t i = 0; i < json_count(list); i++) {
        struct tree_chunk k = {0};
        struct json *pair = json_at(list, i), *hex = json_at(pair, 0);
        const char *s = json_str(hex);
        if (!json_int(json_at(pair, 1), &len) || len <= 0 || len > size - (int64_t)end ||
            (s ? digest_parse_hex(s, strlen(s), &k.digest) < 0 : json_type(hex) != JSON_NULL)) {
            bad(r, "chunks", e);
            goto out;
        }
        k.end = end += (uint64_t)len;
        if (buf_append(&chunks, &k, sizeof k) < 0) {
            err_nomem(e);
            goto out;
        }
    }
    if (end != (uint64_t)size)
        bad(r, "chunks", e);
    else
        rc = catalog_add_content(c, &d, (uint64_t)size, (const struct tree_chunk *)(const void *)chunks.p,
                                 (uint32_t)(chunks.len / sizeof(struct tree_chunk)), e);
out:
    buf_release(&chunks);
    return rc;
}

int catalog_apply(struct catalog *c, const struct json *record, struct err *e)
{
    struct record r = {.j = record, .type = json_str(json_get(record, "type"))};
    int64_t no;
    if (!r.type)
        return err_set(e, ERR_DAMAGED, "record without a type");
    if (!strcmp(r.type, "content"))
        return apply_content(c, &r, e);
    if (!strcmp(r.type, "snapshot"))
        return 0; /* says something to rebuild only */
    if (!json_int(json_get(record, "no"), &no) || no < 1 || no >= UINT32_MAX)
        return bad(&r, "no", e);
    r.no = (uint32_t)no;
    if (!strcmp(r.type, "layer"))
        return apply_layer(c, &r, e);
    if (!strcmp(r.type, "package"))
        return apply_package(c, &r, e);
    if (!strcmp(r.type, "image"))
        return apply_image(c, &r, e);
    if (!strcmp(r.type, "name"))
        return apply_name(c, &r, true, e);
    if (!strcmp(r.type, "digestname"))
        return apply_name(c, &r, false, e);
    if (!strcmp(r.type, "remove"))
        return apply_remove(c, &r, e);
    if (!strcmp(r.type, "keep")) {
        sqlite3_stmt *st = catalog_prepare(c, "INSERT OR IGNORE INTO keep VALUES(?)", e);
        if (!st)
            return -1;
        sqlite3_bind_int64(st, 1, r.no);
        return catalog_run(c, st, "keep an object", e);
    }
    return 0; /* of a later version: kept in the pack, nothing to us */
}

static int gone(const char *what, struct err *e)
{
    return err_set(e, ERR_BUSY, "gc has removed %s that this builds on: run the command again", what);
}

int catalog_check_named(struct catalog *c, const struct json *record, struct err *e)
{
    const char *type = json_str(json_get(record, "type")), *hex = json_str(json_get(record, "manifest"));
    struct json *layers = json_get(record, "layers");
    struct digest d;
    if (type && !strcmp(type, "image")) {
        for (size_t i = 0; i < json_count(layers); i++) {
            const char *oci = json_str(json_at(layers, i));
            struct cat_layer l;
            if (!oci || digest_parse_oci(oci, strlen(oci), &d) < 0)
                return err_set(e, ERR_USAGE, "image record with a bad layer");
            if (catalog_layer(c, &d, &l, e) < 0)
                return e->kind == ERR_NOT_FOUND ? gone("a layer", e) : -1;
        }
    } else if (type && hex && (!strcmp(type, "name") || !strcmp(type, "digestname"))) {
        struct cat_image im;
        if (digest_parse_hex(hex, strlen(hex), &d) < 0)
            return err_set(e, ERR_USAGE, "name record with a bad manifest");
        if (catalog_image(c, &d, &im, e) < 0)
            return e->kind == ERR_NOT_FOUND ? gone("an image", e) : -1;
        cat_image_release(&im);
    }
    return 0;
}

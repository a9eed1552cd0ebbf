/* SPDX-License-Identifier: MIT */
/* catalog_object: reading the rows of objects. Lists (references, signatures) are one text column, one item a line. */
#include "catalog_db.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int not_found(struct err *e, const char *what, const char *key)
{
    return err_set(e, ERR_NOT_FOUND, "no %s %s in the store", what, key);
}

static int dup_column(sqlite3_stmt *st, int i, char **ret, struct err *e)
{
    const char *s = (const char *)sqlite3_column_text(st, i);
    *ret = s ? strdup(s) : NULL;
    return s && !*ret ? err_nomem(e) : 0;
}

static int list_column(sqlite3_stmt *st, int i, char ***ret, struct err *e)
{
    const char *s = (const char *)sqlite3_column_text(st, i);
    size_t n = 0, k = 0;
    for (const char *p = s; p && *p; p++)
        n += *p == '\n';
    char **v = calloc(n + 1, sizeof *v);
    if (!v)
        return err_nomem(e);
    *ret = v;
    for (const char *end; k < n && (end = strchr(s, '\n')); s = end + 1)
        if (!(v[k++] = strndup(s, (size_t)(end - s))))
            return err_nomem(e);
    return 0;
}

static void free_list(char **v)
{
    for (size_t i = 0; v && v[i]; i++)
        free(v[i]);
    free(v);
}

void cat_package_release(struct cat_package *p)
{
    free(p->name);
    free(p->dir);
    free(p->deriver);
    free(p->ca);
    free_list(p->refs);
    free_list(p->sigs);
    *p = (struct cat_package){0};
}

void cat_image_release(struct cat_image *p)
{
    free(p->layers);
    free(p->blobs);
    *p = (struct cat_image){0};
}

void cat_name_release(struct cat_name *p)
{
    free(p->repo);
    free(p->tag);
    *p = (struct cat_name){0};
}

/* --- one row → one struct --- */

static int fill_layer(sqlite3_stmt *st, void *ret, struct err *e)
{
    struct cat_layer *l = ret;
    l->no = (uint32_t)sqlite3_column_int64(st, 0);
    l->size = (uint64_t)sqlite3_column_int64(st, 4);
    l->entries = (uint32_t)sqlite3_column_int64(st, 5);
    l->time = sqlite3_column_int64(st, 6);
    return column_digest(st, 1, &l->diffid, e) < 0 || column_digest(st, 2, &l->tree, e) < 0
               ? -1
               : column_digest(st, 3, &l->recipe, e);
}
#define LAYER_COLUMNS "SELECT no, diffid, tree, recipe, size, entries, time FROM layer "

static int fill_package(sqlite3_stmt *st, void *ret, struct err *e)
{
    struct cat_package *p = ret;
    p->no = (uint32_t)sqlite3_column_int64(st, 0);
    p->narsize = (uint64_t)sqlite3_column_int64(st, 4);
    p->trusted = sqlite3_column_int(st, 9) != 0;
    p->time = sqlite3_column_int64(st, 11);
    if (dup_column(st, 1, &p->name, e) < 0 || dup_column(st, 2, &p->dir, e) < 0 ||
        column_digest(st, 3, &p->narhash, e) < 0 || list_column(st, 5, &p->refs, e) < 0 ||
        dup_column(st, 6, &p->deriver, e) < 0 || dup_column(st, 7, &p->ca, e) < 0 ||
        list_column(st, 8, &p->sigs, e) < 0)
        return -1;
    return column_digest(st, 10, &p->tree, e);
}
#define PACKAGE_COLUMNS                                                                                                \
    "SELECT no, name, dir, narhash, narsize, refs, deriver, ca, sigs, trusted, tree, time FROM package "

static int fill_image(sqlite3_stmt *st, void *ret, struct err *e)
{
    struct cat_image *p = ret;
    size_t n = (size_t)sqlite3_column_bytes(st, 4), m = (size_t)sqlite3_column_bytes(st, 5);
    p->no = (uint32_t)sqlite3_column_int64(st, 0);
    p->time = sqlite3_column_int64(st, 6);
    if (n != m || n % DIGEST_LEN)
        return err_set(e, ERR_DAMAGED,
                       "catalog: layers of image %" PRIu32 " make no sense; `cairn rebuild` makes it anew", p->no);
    p->layer_count = (uint32_t)(n / DIGEST_LEN);
    p->layers = calloc(p->layer_count + 1, DIGEST_LEN);
    p->blobs = calloc(p->layer_count + 1, DIGEST_LEN);
    if (!p->layers || !p->blobs)
        return err_nomem(e);
    if (n) {
        memcpy(p->layers, sqlite3_column_blob(st, 4), n);
        memcpy(p->blobs, sqlite3_column_blob(st, 5), n);
    }
    return column_digest(st, 1, &p->manifest, e) < 0 || column_digest(st, 2, &p->config, e) < 0
               ? -1
               : column_digest(st, 3, &p->rootfs, e);
}
#define IMAGE_COLUMNS "SELECT no, manifest, config, rootfs, layers, blobs, time FROM image "

static int fill_name(sqlite3_stmt *st, void *ret, struct err *e)
{
    struct cat_name *p = ret;
    p->no = (uint32_t)sqlite3_column_int64(st, 0);
    p->time = sqlite3_column_int64(st, 4);
    if (dup_column(st, 1, &p->repo, e) < 0 || dup_column(st, 2, &p->tag, e) < 0)
        return -1;
    return column_digest(st, 3, &p->manifest, e);
}
#define NAME_COLUMNS "SELECT no, repo, tag, manifest, time FROM name "

static void release_layer(void *p)
{
    (void)p;
}
static void release_package(void *p)
{
    cat_package_release(p);
}
static void release_image(void *p)
{
    cat_image_release(p);
}
static void release_name(void *p)
{
    cat_name_release(p);
}

struct kind {
    const char *what;
    size_t size;
    int (*fill)(sqlite3_stmt *, void *, struct err *);
    void (*release)(void *);
};
static const struct kind layers = {"layer", sizeof(struct cat_layer), fill_layer, release_layer};
static const struct kind packages = {"package", sizeof(struct cat_package), fill_package, release_package};
static const struct kind images = {"image", sizeof(struct cat_image), fill_image, release_image};
static const struct kind names = {"name", sizeof(struct cat_name), fill_name, release_name};

/* Steps st once into ret; ends it. key: for "no … in the store". */
static int get_one(struct catalog *c, sqlite3_stmt *st, const struct kind *k, const char *key, void *ret, struct err *e)
{
    memset(ret, 0, k->size);
    int rc = catalog_step(c, st, "look up an object", e);
    if (rc == 1 && k->fill(st, ret, e) < 0) {
        k->release(ret);
        rc = -1;
    }
    catalog_done(c, st);
    if (rc == 0)
        return not_found(e, k->what, key);
    return rc == 1 ? 0 : -1;
}

static int get_by_no(struct catalog *c, const char *sql, const struct kind *k, uint32_t no, void *ret, struct err *e)
{
    char key[32];
    sqlite3_stmt *st = catalog_prepare(c, sql, e);
    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, no);
    snprintf(key, sizeof key, "number %" PRIu32, no);
    return get_one(c, st, k, key, ret, e);
}

static int get_by_digest(struct catalog *c, const char *sql, const struct kind *k, const struct digest *d, void *ret,
                         struct err *e)
{
    char key[DIGEST_OCI_LEN + 1];
    sqlite3_stmt *st = catalog_prepare(c, sql, e);
    if (!st)
        return -1;
    bind_digest(st, 1, d);
    digest_oci(d, key);
    return get_one(c, st, k, key, ret, e);
}

int catalog_layer(struct catalog *c, const struct digest *diffid, struct cat_layer *ret, struct err *e)
{
    return get_by_digest(c, LAYER_COLUMNS "WHERE diffid = ?", &layers, diffid, ret, e);
}

int catalog_layer_no(struct catalog *c, uint32_t no, struct cat_layer *ret, struct err *e)
{
    return get_by_no(c, LAYER_COLUMNS "WHERE no = ?", &layers, no, ret, e);
}

int catalog_blob(struct catalog *c, const struct digest *blob, struct digest *ret_diffid, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "SELECT diffid FROM blob WHERE digest = ?", e);
    if (!st)
        return -1;
    bind_digest(st, 1, blob);
    int rc = catalog_step(c, st, "look up a blob", e);
    if (rc == 1)
        rc = column_digest(st, 0, ret_diffid, e);
    else if (rc == 0)
        rc = err_set(e, ERR_NOT_FOUND, "blob isn't known");
    catalog_done(c, st);
    return rc;
}

int catalog_package(struct catalog *c, const char *name, struct cat_package *ret, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, PACKAGE_COLUMNS "WHERE name = ?", e);
    if (!st)
        return -1;
    sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
    return get_one(c, st, &packages, name, ret, e);
}

int catalog_package_no(struct catalog *c, uint32_t no, struct cat_package *ret, struct err *e)
{
    return get_by_no(c, PACKAGE_COLUMNS "WHERE no = ?", &packages, no, ret, e);
}

int catalog_image(struct catalog *c, const struct digest *manifest, struct cat_image *ret, struct err *e)
{
    return get_by_digest(c, IMAGE_COLUMNS "WHERE manifest = ?", &images, manifest, ret, e);
}

int catalog_image_no(struct catalog *c, uint32_t no, struct cat_image *ret, struct err *e)
{
    return get_by_no(c, IMAGE_COLUMNS "WHERE no = ?", &images, no, ret, e);
}

int catalog_name(struct catalog *c, const char *repo, const char *tag, const struct digest *manifest,
                 struct cat_name *ret, struct err *e)
{
    char key[600];
    sqlite3_stmt *st = catalog_prepare(c,
                                       tag ? NAME_COLUMNS "WHERE repo = ?1 AND tag = ?2"
                                           : NAME_COLUMNS "WHERE repo = ?1 AND tag IS NULL AND manifest = ?2",
                                       e);
    if (!st)
        return -1;
    sqlite3_bind_text(st, 1, repo, -1, SQLITE_STATIC);
    if (tag)
        sqlite3_bind_text(st, 2, tag, -1, SQLITE_STATIC);
    else
        bind_digest(st, 2, manifest);
    snprintf(key, sizeof key, "%s:%s", repo, tag ? tag : "(by digest)");
    return get_one(c, st, &names, key, ret, e);
}

int catalog_name_no(struct catalog *c, uint32_t no, struct cat_name *ret, struct err *e)
{
    return get_by_no(c, NAME_COLUMNS "WHERE no = ?", &names, no, ret, e);
}

/* Reads all rows first, so that fn may use the catalog. */
static int collect(struct catalog *c, const char *sql, const struct kind *k, struct buf *rows, struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, sql, e);
    int rc;
    if (!st)
        return -1;
    while ((rc = catalog_step(c, st, "list objects", e)) == 1) {
        if (buf_append_zero(rows, k->size) < 0) {
            rc = err_nomem(e);
            break;
        }
        if (k->fill(st, rows->p + rows->len - k->size, e) < 0) {
            rc = -1;
            break;
        }
    }
    catalog_done(c, st);
    return rc;
}

static int each(struct catalog *c, const char *sql, const struct kind *k,
                int (*call)(void *fn, const void *row, void *ctx), void *fn, void *ctx, struct err *e)
{
    struct buf rows = {0};
    int rc = collect(c, sql, k, &rows, e);
    for (size_t at = 0; rc == 0 && at < rows.len; at += k->size)
        rc = call(fn, rows.p + at, ctx);
    for (size_t at = 0; at < rows.len; at += k->size)
        k->release(rows.p + at);
    buf_release(&rows);
    return rc;
}

/* NOLINTBEGIN(bugprone-macro-parentheses): a type can't stand in parentheses */
/* Function pointers travel inside a struct: a void * needn't hold one. */
#define EACH(NAME, TYPE, KIND, SQL)                                                                                    \
    struct call_##NAME {                                                                                               \
        int (*fn)(const struct TYPE *, void *);                                                                        \
    };                                                                                                                 \
    static int call_##NAME(void *fn, const void *row, void *ctx)                                                       \
    {                                                                                                                  \
        return ((struct call_##NAME *)fn)->fn(row, ctx);                                                               \
    }                                                                                                                  \
    int catalog_each_##NAME(struct catalog *c, int (*fn)(const struct TYPE *, void *), void *ctx, struct err *e)       \
    {                                                                                                                  \
        struct call_##NAME f = {fn};                                                                                   \
        return each(c, SQL, &KIND, call_##NAME, &f, ctx, e);                                                           \
    }

/* NOLINTEND(bugprone-macro-parentheses) */
EACH(layer, cat_layer, layers, LAYER_COLUMNS "ORDER BY no")
EACH(package, cat_package, packages, PACKAGE_COLUMNS "ORDER BY name")
EACH(image, cat_image, images, IMAGE_COLUMNS "ORDER BY no")
EACH(name, cat_name, names, NAME_COLUMNS "ORDER BY repo, tag, manifest")

int catalog_kind(struct catalog *c, uint32_t no, char ret[16], struct err *e)
{
    sqlite3_stmt *st = catalog_prepare(c, "SELECT kind FROM object WHERE no = ?", e);
    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, no);
    int rc = catalog_step(c, st, "look up a number", e);
    if (rc == 1)
        snprintf(ret, 16, "%s", (const char *)sqlite3_column_text(st, 0));
    catalog_done(c, st);
    if (rc == 0)
        return err_set(e, ERR_NOT_FOUND, "no object has the number %" PRIu32, no);
    return rc == 1 ? 0 : -1;
}

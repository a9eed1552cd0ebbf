/* SPDX-License-Identifier: MIT */
/*
 * An image is put together in this order, each step resting on what the one before proved:
 *
 *   manifest bytes ─ digest ─→ config bytes ─ digest, layer count ─→ layers ─ digest, diffID ─→ union ─→ records
 *
 * Three kinds of key never mix: digest of a blob as it came, diffID of a layer's tar, digest of the manifest. A blob's
 * digest is recorded beside a diffID only when that blob was read whole and gave that diffID.
 */
#include "image_importer.h"
#include "../limits.h"
#include "../union.h"

#include <stdlib.h>
#include <stdio.h>
#include <time.h>

int image_importer_new(struct session *s, const struct image_importer_opts *o, struct image_importer **ret,
                       struct err *e)
{
    struct image_importer *im = calloc(1, sizeof *im);
    if (!im)
        return err_nomem(e);
    im->s = s;
    im->o = *o;
    im->counter = (struct counter){.fn = o->progress, .ctx = o->ctx, .cancel = o->cancel};
    *ret = im;
    return 0;
}

void image_importer_free(struct image_importer *im)
{
    if (!im)
        return;
    for (size_t i = 0; i < im->n; i++)
        tree_close(im->layers[i].tree);
    for (size_t i = 0; i < im->name_count; i++) {
        free(im->names[i].repo);
        free(im->names[i].tag);
    }
    free(im->layers);
    free(im->stack);
    free(im->names);
    free(im);
}

void *importer_grow(void *v, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return v;
    size_t want = *cap ? *cap * 2 : 16;
    void *p = reallocarray(v, want, size);
    if (p)
        *cap = want;
    return p;
}

struct catalog *importer_catalog(struct image_importer *im)
{
    return store_catalog(session_store(im->s));
}

/* --- blobs --- */

int image_blob_get(struct blob_source *b, const struct digest *d, uint64_t size, const char *what, struct buf *out,
                   struct err *e)
{
    char want[DIGEST_SHORT_LEN + 1], got[DIGEST_SHORT_LEN + 1];
    struct stream *s = NULL;
    struct digest real;
    uint64_t have;
    size_t n = 0, old = out->len;
    digest_short(d, want);
    if (size > LIMIT_JSON_DOC)
        return err_set(e, ERR_LIMIT, "%s (%s): %llu bytes, the limit is %u", what, want, (unsigned long long)size,
                       LIMIT_JSON_DOC);
    if (b->open(b, d, &s, &have, e) < 0)
        return err_wrap(e, "%s (%s)", what, want);
    /* One byte more than there should be, to see that there is no more. */
    int r =
        buf_reserve(out, (size_t)size + 1) < 0 ? err_nomem(e) : stream_read(s, out->p + old, (size_t)size + 1, &n, e);
    stream_close(s);
    if (r < 0)
        return err_wrap(e, "%s (%s)", what, want);
    if (n != size)
        return err_set(e, ERR_INPUT, "%s (%s): is %s than the %llu bytes that its descriptor says", what, want,
                       n > size ? "longer" : "shorter", (unsigned long long)size);
    sha256_of(out->p + old, n, &real);
    if (!digest_eq(&real, d))
        return err_set(e, ERR_INPUT, "%s (%s): digest mismatch, got %s", what, want, digest_short(&real, got));
    out->len += n;
    out->p[out->len] = 0;
    return 0;
}
/* --- what binds them --- */

static int merge(struct image_importer *im, struct digest *ret, struct err *e)
{
    struct union_ *u;
    struct buf flat = {0};
    if (union_new(0, &u, e) < 0)
        return -1;
    int r = 0;
    for (size_t i = 0; r == 0 && i < im->height; i++) {
        const struct importer_layer *l = &im->layers[im->stack[i].layer];
        r = union_apply(u, l->tree, &l->diffid, e);
        if (r < 0)
            err_wrap(e, "layer %zu", i + 1);
    }
    if (r == 0)
        r = union_compile(u, &flat, e);
    union_free(u);
    if (r == 0)
        r = session_put(im->s, flat.p, flat.len, ret, e);
    buf_release(&flat);
    return r < 0 ? err_wrap(e, "root filesystem") : 0;
}

struct json *json_hex(const struct digest *d)
{
    char hex[DIGEST_HEX_LEN + 1];
    digest_hex(d, hex);
    return json_new_str(hex);
}

struct json *json_oci(const struct digest *d)
{
    char oci[DIGEST_OCI_LEN + 1];
    digest_oci(d, oci);
    return json_new_str(oci);
}

static int record_image(struct image_importer *im, const struct digest *manifest, const struct digest *config,
                        const struct digest *rootfs, struct err *e)
{
    struct json *r = json_new_object(), *layers = json_new_array(), *blobs = json_new_array();
    int bad = 0;
    for (size_t i = 0; i < im->height; i++) {
        const struct importer_layer *l = &im->layers[im->stack[i].layer];
        bad |= json_add(layers, json_oci(&l->diffid)) | json_add(blobs, json_oci(&im->stack[i].blob));
    }
    bad |= json_set(r, "type", json_new_str("image")) | json_set(r, "manifest", json_hex(manifest)) |
           json_set(r, "config", json_hex(config)) | json_set(r, "rootfs", json_hex(rootfs)) |
           json_set(r, "layers", layers) | json_set(r, "blobs", blobs) | json_set(r, "time", json_new_int(time(NULL)));
    if (bad) {
        json_unref(r);
        return err_nomem(e);
    }
    return session_record(im->s, r, e);
}

/* Whether the store or this session has the image. */
static int image_known(struct image_importer *im, const struct digest *manifest, bool *ret, struct err *e)
{
    char hex[DIGEST_HEX_LEN + 1];
    struct cat_image row;
    digest_hex(manifest, hex);
    *ret = session_recorded(im->s, "image", "manifest", hex) != NULL;
    if (*ret)
        return 0;
    if (catalog_image(importer_catalog(im), manifest, &row, e) == 0) {
        *ret = true;
        for (uint32_t i = 0; *ret && i < row.layer_count; i++) {
            struct cat_layer l;
            if (catalog_layer(importer_catalog(im), &row.layers[i], &l, e) < 0)
                *ret = false;
        }
        cat_image_release(&row);
        if (*ret)
            return 0;
    }
    if (e->kind != ERR_NOT_FOUND)
        return -1;
    err_clear(e);
    return 0;
}

static int record_name(struct image_importer *im, const struct digest *manifest, const char *repo, const char *tag,
                       bool *ret_new, struct err *e)
{
    struct cat_name row;
    bool same = false;
    if (catalog_name(importer_catalog(im), repo, tag, manifest, &row, e) == 0) {
        same = digest_eq(&row.manifest, manifest);
        cat_name_release(&row);
    } else if (e->kind != ERR_NOT_FOUND) {
        return -1;
    } else {
        err_clear(e);
    }
    if (same)
        return 0;
    struct json *r = json_new_object();
    int bad = json_set(r, "type", json_new_str(tag ? "name" : "digestname")) | json_set(r, "repo", json_new_str(repo));
    if (tag)
        bad |= json_set(r, "tag", json_new_str(tag));
    bad |= json_set(r, "manifest", json_hex(manifest)) | json_set(r, "time", json_new_int(time(NULL)));
    if (bad) {
        json_unref(r);
        return err_nomem(e);
    }
    *ret_new = true;
    return session_record(im->s, r, e);
}

/* Names that this session gave; *ret_there when this one is among them. */
static int remember_name(struct image_importer *im, const struct digest *manifest, const char *repo, const char *tag,
                         bool *ret_there, struct err *e)
{
    for (size_t i = 0; i < im->name_count; i++) {
        const struct importer_name *n = &im->names[i];
        if (strcmp(n->repo, repo) != 0 || !tag != !n->tag || (tag && strcmp(n->tag, tag) != 0))
            continue;
        if (digest_eq(&n->manifest, manifest)) {
            *ret_there = true;
            return 0;
        }
        if (tag)
            return err_set(e, ERR_INPUT, "two different images are called %s:%s; import them one by one with --name",
                           repo, tag);
    }
    struct importer_name *v = importer_grow(im->names, im->name_count, &im->name_cap, sizeof *v);
    if (!v)
        return err_nomem(e);
    im->names = v;
    struct importer_name n = {.repo = strdup(repo), .tag = tag ? strdup(tag) : NULL, .manifest = *manifest};
    if (!n.repo || (tag && !n.tag)) {
        free(n.repo);
        free(n.tag);
        return err_nomem(e);
    }
    im->names[im->name_count++] = n;
    *ret_there = false;
    return 0;
}

int image_name_add(struct image_importer *im, const struct digest *manifest, const char *repo, const char *tag,
                   bool *ret_new, struct err *e)
{
    bool there = false, fresh = false;
    if (tag) {
        if (remember_name(im, manifest, repo, tag, &there, e) < 0 ||
            (!there && record_name(im, manifest, repo, tag, &fresh, e) < 0))
            return -1;
    }
    if (remember_name(im, manifest, repo, NULL, &there, e) < 0 ||
        (!there && record_name(im, manifest, repo, NULL, &fresh, e) < 0))
        return -1;
    *ret_new = fresh;
    return 0;
}

/* Stores the documents over the layers on the stack. */
static int bind_image(struct image_importer *im, const void *manifest, size_t n, const void *config, size_t config_len,
                      const struct digest *digest, struct err *e)
{
    struct digest stored, config_digest = {{0}}, rootfs = {{0}};
    if (counter_check(&im->counter, e) < 0 || merge(im, &rootfs, e) < 0 ||
        session_put(im->s, manifest, n, &stored, e) < 0 ||
        session_put(im->s, config, config_len, &config_digest, e) < 0)
        return -1;
    return record_image(im, digest, &config_digest, &rootfs, e);
}

static int check_platform(struct image_importer *im, const struct image_platform *have, struct err *e)
{
    struct image_platform want = {0};
    if (!im->o.platform || !have->os || !have->arch)
        return 0;
    if (image_platform_parse(im->o.platform, &want, e) < 0)
        return -1;
    int r = 0;
    if (strcmp(want.os, have->os) != 0 || strcmp(want.arch, have->arch) != 0)
        r = err_set(e, ERR_NOT_FOUND, "image is for %s/%s, not for %s/%s", have->os, have->arch, want.os, want.arch);
    image_platform_release(&want);
    return r;
}

static int import_layers(struct image_importer *im, struct blob_source *b, const struct image_manifest *m,
                         const struct image_rootfs *rootfs, struct err *e)
{
    char dig[DIGEST_SHORT_LEN + 1], what[64];
    if (rootfs->n != m->layer_count)
        return err_set(e, ERR_INPUT, "manifest has %zu layers, the config %zu diffIDs", m->layer_count, rootfs->n);
    if (rootfs->n > LIMIT_LAYERS)
        return err_set(e, ERR_LIMIT, "%zu layers, the limit is %d", rootfs->n, LIMIT_LAYERS);
    for (size_t i = 0; i < rootfs->n; i++) {
        snprintf(what, sizeof what, "layer %zu of %zu", i + 1, rootfs->n);
        if (importer_manifest_layer(im, b, &m->layers[i], &rootfs->diffids[i], what, e) < 0)
            return err_wrap(e, "layer %zu (%s)", i + 1, digest_short(&m->layers[i].digest, dig));
    }
    return 0;
}

static int import_new(struct image_importer *im, struct blob_source *b, const struct image_manifest *m,
                      const void *manifest, size_t n, const struct digest *digest, struct err *e)
{
    struct buf config = {0};
    struct image_rootfs rootfs = {0};
    struct image_config parsed = {0};
    int r = image_blob_get(b, &m->config.digest, m->config.size, "config", &config, e);
    if (r == 0)
        r = image_rootfs_parse(config.p, config.len, &rootfs, e);
    /* What run would trip over later is refused now. */
    if (r == 0)
        r = image_config_parse(config.p, config.len, &parsed, e);
    if (r == 0)
        r = check_platform(im, &rootfs.platform, e);
    if (r == 0)
        r = import_layers(im, b, m, &rootfs, e);
    if (r == 0)
        r = bind_image(im, manifest, n, config.p, config.len, digest, e);
    image_config_release(&parsed);
    image_rootfs_release(&rootfs);
    buf_release(&config);
    return r;
}

int image_import(struct image_importer *im, struct blob_source *b, const void *manifest, size_t n,
                 const char *media_type, const char *repo, const char *tag, struct digest *ret_manifest, bool *ret_new,
                 struct err *e)
{
    struct image_manifest m;
    struct digest digest;
    bool known, fresh;
    if (image_manifest_parse(manifest, n, media_type, &m, e) < 0)
        return -1;
    sha256_of(manifest, n, &digest);
    im->height = 0;
    int r = image_known(im, &digest, &known, e);
    if (r == 0 && !known)
        r = import_new(im, b, &m, manifest, n, &digest, e);
    image_manifest_release(&m);
    if (r < 0 || image_name_add(im, &digest, repo, tag, &fresh, e) < 0)
        return -1;
    *ret_manifest = digest;
    *ret_new = fresh || !known;
    return 0;
}

static int make_manifest(struct image_importer *im, const void *config, size_t n, struct buf *out, struct err *e)
{
    struct image_layer_desc *v = calloc(im->height ? im->height : 1, sizeof *v);
    struct digest d;
    if (!v)
        return err_nomem(e);
    for (size_t i = 0; i < im->height; i++)
        v[i] = (struct image_layer_desc){im->layers[im->stack[i].layer].diffid, im->layers[im->stack[i].layer].size};
    sha256_of(config, n, &d);
    int r = image_manifest_make(&d, n, v, im->height, NULL, out, e);
    free(v);
    return r;
}

static int check_stack(struct image_importer *im, const void *config, size_t n, struct err *e)
{
    struct image_rootfs rootfs;
    struct image_config parsed = {0};
    if (image_rootfs_parse(config, n, &rootfs, e) < 0)
        return -1;
    int r = 0;
    if (rootfs.n != im->height)
        r = err_set(e, ERR_INPUT, "there are %zu layers, the config has %zu diffIDs", im->height, rootfs.n);
    for (size_t i = 0; r == 0 && i < rootfs.n; i++)
        if (!digest_eq(&rootfs.diffids[i], &im->layers[im->stack[i].layer].diffid))
            r = err_set(e, ERR_INPUT, "layer %zu: diffID mismatch", i + 1);
    if (r == 0)
        r = image_config_parse(config, n, &parsed, e);
    if (r == 0)
        r = check_platform(im, &rootfs.platform, e);
    image_config_release(&parsed);
    image_rootfs_release(&rootfs);
    return r;
}

int image_bind(struct image_importer *im, const void *config, size_t n, const char *repo, const char *tag,
               struct digest *ret_manifest, bool *ret_new, struct err *e)
{
    struct buf manifest = {0};
    struct digest digest;
    bool known = false, fresh = false;
    int r = check_stack(im, config, n, e);
    /* An uncompressed layer is its own blob. */
    for (size_t i = 0; r == 0 && i < im->height; i++)
        im->stack[i].blob = im->layers[im->stack[i].layer].diffid;
    if (r == 0)
        r = make_manifest(im, config, n, &manifest, e);
    if (r == 0) {
        sha256_of(manifest.p, manifest.len, &digest);
        r = image_known(im, &digest, &known, e);
    }
    if (r == 0 && !known)
        r = bind_image(im, manifest.p, manifest.len, config, n, &digest, e);
    if (r == 0)
        r = image_name_add(im, &digest, repo, tag, &fresh, e);
    im->height = 0;
    buf_release(&manifest);
    if (r < 0)
        return -1;
    *ret_manifest = digest;
    *ret_new = fresh || !known;
    return 0;
}
/* --- results --- */

int image_results_add(struct image_results *r, const char *repo, const char *tag, const struct digest *manifest,
                      bool is_new, struct err *e)
{
    struct image_result *v = importer_grow(r->v, r->n, &r->cap, sizeof *v);
    char oci[DIGEST_OCI_LEN + 1];
    char *name;
    if (!v)
        return err_nomem(e);
    r->v = v;
    digest_oci(manifest, oci);
    if (asprintf(&name, tag ? "%s:%s" : "%s@%s", repo, tag ? tag : oci) < 0)
        return err_nomem(e);
    r->v[r->n++] = (struct image_result){.name = name, .manifest = *manifest, .is_new = is_new};
    return 0;
}

void image_results_release(struct image_results *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->v[i].name);
    free(r->v);
    *r = (struct image_results){0};
}

/* SPDX-License-Identifier: MIT */
/*
 * Images out: a tar of an OCI layout or a docker archive, streamed: all sizes are known beforehand. Documents come
 * before layers, so that a reader can check as it goes. Equal images give equal bytes.
 */
#include "image.h"
#include "layer.h"
#include "tarwrite.h"
#include "../json.h"
#include "../limits.h"
#include "../reader.h"

#include <stdio.h>
#include <stdlib.h>

typedef int write_fn(void *, const void *, size_t, struct err *);

struct exporter {
    struct store *s;
    const struct cat_image *im;
    write_fn *write;
    void *ctx;
    struct buf out, manifest, config;
    struct digest manifest_digest;
    struct image_layer_desc *layers; /* im->layer_count */
};

static int flush(struct exporter *x, struct err *e)
{
    int r = x->write(x->ctx, x->out.p, x->out.len, e);
    x->out.len = 0;
    return r;
}

static int member(struct exporter *x, char type, const char *name, uint64_t size, struct err *e)
{
    struct tarwrite_member m = TARWRITE_FILE;
    m.type = type;
    m.name = name;
    m.size = size;
    if (type == '5')
        m.mode = 0755;
    return tarwrite_header(&m, &x->out, e);
}

static int file(struct exporter *x, const char *name, const void *p, size_t n, struct err *e)
{
    if (member(x, '0', name, n, e) < 0)
        return -1;
    if (buf_append(&x->out, p, n) < 0)
        return err_nomem(e);
    return tarwrite_pad(n, &x->out, e) < 0 ? -1 : flush(x, e);
}

static int layer_file(struct exporter *x, uint32_t i, const char *name, struct err *e)
{
    struct cat_layer row;
    char dig[DIGEST_SHORT_LEN + 1];
    if (catalog_layer(store_catalog(x->s), &x->im->layers[i], &row, e) < 0 ||
        member(x, '0', name, x->layers[i].size, e) < 0 || flush(x, e) < 0 ||
        layer_export(x->s, &row, x->write, x->ctx, e) < 0)
        return err_wrap(e, "layer %s", digest_short(&x->im->layers[i], dig));
    return tarwrite_pad(row.size, &x->out, e) < 0 ? -1 : flush(x, e);
}

/* The same layer may be in an image twice: its bytes needn't. */
static bool seen_before(const struct exporter *x, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++)
        if (digest_eq(&x->im->layers[k], &x->im->layers[i]))
            return true;
    return false;
}

/* The imported manifest where it fits as it is: over uncompressed layers, in OCI's form. Else one is made from it. */
static int prepare_manifest(struct exporter *x, struct err *e)
{
    struct image_manifest m = {0};
    struct buf old = {0};
    struct json *doc = NULL;
    struct reader *r = store_reader(x->s);
    if (!r)
        return err_nomem(e);
    int rc = reader_get(r, &x->im->manifest, LIMIT_JSON_DOC, &old, e);
    if (rc == 0)
        rc = image_manifest_parse(old.p, old.len, NULL, &m, e);
    if (rc < 0) {
        buf_release(&old);
        return err_wrap(e, "manifest");
    }
    bool fits =
        m.config.media_type && m.layer_count == x->im->layer_count && !strcmp(m.config.media_type, MEDIA_TYPE_CONFIG);
    for (size_t i = 0; fits && i < m.layer_count; i++)
        fits = digest_eq(&m.layers[i].digest, &x->im->layers[i]) && !strcmp(m.layers[i].media_type, MEDIA_TYPE_LAYER);
    image_manifest_release(&m);
    if (fits) {
        buf_release(&x->manifest);
        x->manifest = old;
        x->manifest_digest = x->im->manifest;
        return 0;
    }
    rc = json_parse(old.p, old.len, LIMIT_JSON_DOC, "manifest", &doc, e);
    buf_release(&old);
    if (rc < 0)
        return -1;
    struct json *notes = json_get(doc, "annotations");
    rc = image_manifest_make(&x->im->config, x->config.len, x->layers, x->im->layer_count,
                             json_type(notes) == JSON_OBJECT ? notes : NULL, &x->manifest, e);
    json_unref(doc);
    if (rc == 0)
        sha256_of(x->manifest.p, x->manifest.len, &x->manifest_digest);
    return rc;
}

static int prepare(struct exporter *x, struct err *e)
{
    struct reader *r = store_reader(x->s);
    x->layers = calloc(x->im->layer_count ? x->im->layer_count : 1, sizeof *x->layers);
    if (!x->layers || !r)
        return err_nomem(e);
    for (uint32_t i = 0; i < x->im->layer_count; i++) {
        struct cat_layer row;
        if (catalog_layer(store_catalog(x->s), &x->im->layers[i], &row, e) < 0)
            return err_wrap(e, "layer %u", i + 1);
        x->layers[i] = (struct image_layer_desc){row.diffid, row.size};
    }
    if (reader_get(r, &x->im->config, LIMIT_JSON_DOC, &x->config, e) < 0)
        return err_wrap(e, "config");
    return 0;
}

/* --- OCI layout --- */

static int blob_name(const struct digest *d, char *out, size_t n)
{
    char hex[DIGEST_HEX_LEN + 1];
    digest_hex(d, hex);
    return snprintf(out, n, "blobs/sha256/%s", hex);
}

static int make_index(struct exporter *x, const char *ref, struct buf *out, struct err *e)
{
    char oci[DIGEST_OCI_LEN + 1];
    struct json *doc = json_new_object(), *list = json_new_array(), *d = json_new_object(), *notes = NULL;
    struct image_rootfs rootfs;
    int bad = 0;
    if (image_rootfs_parse(x->config.p, x->config.len, &rootfs, e) < 0) {
        json_unref(doc), json_unref(list), json_unref(d);
        return -1;
    }
    digest_oci(&x->manifest_digest, oci);
    bad |= json_set(d, "mediaType", json_new_str(MEDIA_TYPE_MANIFEST)) | json_set(d, "digest", json_new_str(oci)) |
           json_set(d, "size", json_new_int((int64_t)x->manifest.len));
    if (ref) {
        notes = json_new_object();
        bad |= json_set(notes, "org.opencontainers.image.ref.name", json_new_str(ref));
        bad |= json_set(d, "annotations", notes);
    }
    if (rootfs.platform.os && rootfs.platform.arch) {
        struct json *p = json_new_object();
        bad |= json_set(p, "architecture", json_new_str(rootfs.platform.arch)) |
               json_set(p, "os", json_new_str(rootfs.platform.os));
        if (rootfs.platform.variant)
            bad |= json_set(p, "variant", json_new_str(rootfs.platform.variant));
        bad |= json_set(d, "platform", p);
    }
    image_rootfs_release(&rootfs);
    bad |= json_add(list, d) | json_set(doc, "schemaVersion", json_new_int(2)) |
           json_set(doc, "mediaType", json_new_str(MEDIA_TYPE_INDEX)) | json_set(doc, "manifests", list);
    if (!bad)
        bad = json_dump(doc, 0, out);
    json_unref(doc);
    return bad ? err_nomem(e) : 0;
}

static int export_oci(struct exporter *x, const char *ref, struct err *e)
{
    static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    char name[128];
    struct buf index = {0};
    int r = prepare_manifest(x, e);
    if (r == 0)
        r = make_index(x, ref, &index, e);
    if (r == 0)
        r = file(x, "oci-layout", layout, sizeof layout - 1, e);
    if (r == 0)
        r = file(x, "index.json", index.p, index.len, e);
    buf_release(&index);
    if (r < 0 || member(x, '5', "blobs", 0, e) < 0 || member(x, '5', "blobs/sha256", 0, e) < 0)
        return -1;
    blob_name(&x->manifest_digest, name, sizeof name);
    if (file(x, name, x->manifest.p, x->manifest.len, e) < 0)
        return -1;
    blob_name(&x->im->config, name, sizeof name);
    if (file(x, name, x->config.p, x->config.len, e) < 0)
        return -1;
    for (uint32_t i = 0; i < x->im->layer_count; i++) {
        blob_name(&x->im->layers[i], name, sizeof name);
        if (!seen_before(x, i) && layer_file(x, i, name, e) < 0)
            return -1;
    }
    return 0;
}

/* --- docker archive --- */

static int make_docker_manifest(struct exporter *x, const char *config, const char *ref, struct buf *out, struct err *e)
{
    struct json *doc = json_new_array(), *im = json_new_object(), *tags = json_new_array(), *layers = json_new_array();
    char name[128], hex[DIGEST_HEX_LEN + 1];
    int bad = 0;
    if (ref)
        bad |= json_add(tags, json_new_str(ref));
    for (uint32_t i = 0; i < x->im->layer_count; i++) {
        digest_hex(&x->im->layers[i], hex);
        snprintf(name, sizeof name, "%s.tar", hex);
        bad |= json_add(layers, json_new_str(name));
    }
    bad |= json_set(im, "Config", json_new_str(config)) | json_set(im, "RepoTags", tags) |
           json_set(im, "Layers", layers) | json_add(doc, im);
    if (!bad)
        bad = json_dump(doc, 0, out);
    json_unref(doc);
    return bad ? err_nomem(e) : 0;
}

static int export_docker(struct exporter *x, const char *ref, struct err *e)
{
    char name[128], hex[DIGEST_HEX_LEN + 1];
    struct buf manifest = {0};
    digest_hex(&x->im->config, hex);
    snprintf(name, sizeof name, "%s.json", hex);
    int r = make_docker_manifest(x, name, ref, &manifest, e);
    if (r == 0)
        r = file(x, "manifest.json", manifest.p, manifest.len, e);
    buf_release(&manifest);
    if (r < 0 || file(x, name, x->config.p, x->config.len, e) < 0)
        return -1;
    for (uint32_t i = 0; i < x->im->layer_count; i++) {
        digest_hex(&x->im->layers[i], hex);
        snprintf(name, sizeof name, "%s.tar", hex);
        if (!seen_before(x, i) && layer_file(x, i, name, e) < 0)
            return -1;
    }
    return 0;
}

int image_export(struct store *s, const struct cat_image *im, const char *ref, enum image_export_form form,
                 int (*write)(void *, const void *, size_t, struct err *), void *ctx, struct err *e)
{
    struct exporter x = {.s = s, .im = im, .write = write, .ctx = ctx};
    int r = prepare(&x, e);
    if (r == 0)
        r = form == IMAGE_EXPORT_OCI ? export_oci(&x, ref, e) : export_docker(&x, ref, e);
    if (r == 0)
        r = tarwrite_end(&x.out, e);
    if (r == 0)
        r = flush(&x, e);
    free(x.layers);
    buf_release(&x.out);
    buf_release(&x.manifest);
    buf_release(&x.config);
    return r;
}

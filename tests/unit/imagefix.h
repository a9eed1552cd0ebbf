/* SPDX-License-Identifier: MIT */
/*
 * imagefix: small images and stores made for a test, in a temporary folder that goes away with fix_end. Want of memory
 * or disk aborts. `struct fix f; fix_begin(&f); … fix_end(&f);`
 */
#ifndef CAIRN_IMAGEFIX_H
#define CAIRN_IMAGEFIX_H

#include "../../index/catalog.h"
#include "../../index/crypto.h"
#include "../../index/io.h"
#include "../../index/source/source.h"
#include "../../index/source/tarwrite.h"
#include "../../index/store.h"
#include "tap.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct fix {
    char dir[64];
    char layout[96]; /* dir/oci */
    struct store *store;
    struct import_result res; /* of the last fix_import */
    struct err e;
};

#define must(x) ((x) ? (void)0 : (perror(#x), abort()))

static inline void fix_system(const char *command, const char *arg)
{
    char cmd[400];
    snprintf(cmd, sizeof cmd, "%s %s", command, arg);
    must(system(cmd) == 0);
}

static inline void fix_begin(struct fix *f)
{
    char store[128];
    *f = (struct fix){.dir = "/tmp/cairn-imagefix.XXXXXX"};
    must(mkdtemp(f->dir));
    snprintf(f->layout, sizeof f->layout, "%s/oci", f->dir);
    snprintf(store, sizeof store, "%s/blobs/sha256", f->layout);
    fix_system("mkdir -p", store);
    snprintf(store, sizeof store, "%s/store", f->dir);
    if (store_open(store, STORE_CREATE, &f->store, &f->e) < 0) {
        printf("# %s\n", f->e.text);
        abort();
    }
}

static inline void fix_end(struct fix *f)
{
    import_result_release(&f->res);
    store_close(f->store);
    fix_system("rm -rf", f->dir);
}

/* Writes dir/name. */
static inline void fix_file(const char *dir, const char *name, const void *p, size_t n)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *o = fopen(path, "w");
    must(o && fwrite(p, 1, n, o) == n && fclose(o) == 0);
}

static inline void fix_text(const char *dir, const char *name, const char *text)
{
    fix_file(dir, name, text, strlen(text));
}

/* A blob of the layout; its digest in ret, spelt as OCI does. */
static inline void fix_blob(struct fix *f, const void *p, size_t n, char ret[DIGEST_OCI_LEN + 1])
{
    struct digest d;
    char name[128];
    sha256_of(p, n, &d);
    digest_oci(&d, ret);
    snprintf(name, sizeof name, "blobs/sha256/%s", ret + 7);
    fix_file(f->layout, name, p, n);
}

/* One more member of a tar; data NULL: none. */
static inline void fix_member(struct buf *tar, char type, const char *name, const char *link, const void *data,
                              size_t n)
{
    struct err e = {0};
    struct tarwrite_member m = TARWRITE_FILE;
    m.type = type;
    m.name = name;
    m.link = link;
    m.size = type == '0' ? n : 0;
    if (type == '5')
        m.mode = 0755;
    must(tarwrite_header(&m, tar, &e) == 0);
    if (n)
        must(buf_append(tar, data, n) == 0 && tarwrite_pad(n, tar, &e) == 0);
}

static inline void fix_tar_end(struct buf *tar)
{
    struct err e = {0};
    must(tarwrite_end(tar, &e) == 0);
}

/* A layer with one file. */
static inline void fix_layer(struct buf *tar, const char *name, const char *text)
{
    tar->len = 0;
    fix_member(tar, '0', name, NULL, text, strlen(text));
    fix_tar_end(tar);
}

/* diffids: NULL-terminated, OCI spelling. */
static inline void fix_config(struct buf *out, const char *arch, const char *const *diffids)
{
    out->len = 0;
    must(buf_printf(out,
                    "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"/bin/"
                    "true\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[",
                    arch) == 0);
    for (size_t i = 0; diffids[i]; i++)
        must(buf_printf(out, "%s\"%s\"", i ? "," : "", diffids[i]) == 0);
    must(buf_printf(out, "]},\"history\":[{\"created_by\":\"base\"},{\"created_by\":\"env\",\"empty_layer\":true}]}") ==
         0);
}

struct fix_desc {
    const char *type; /* media type */
    const char *digest;
    size_t size;
    const char *more; /* further members, with a comma in front; NULL: none */
};

static inline void fix_descriptor(struct buf *out, const struct fix_desc *d)
{
    must(buf_printf(out, "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu%s}", d->type, d->digest, d->size,
                    d->more ? d->more : "") == 0);
}

#define T_CONFIG   "application/vnd.oci.image.config.v1+json"
#define T_LAYER    "application/vnd.oci.image.layer.v1.tar"
#define T_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define T_INDEX    "application/vnd.oci.image.index.v1+json"

/* layers: n of them. */
static inline void fix_manifest(struct buf *out, const struct fix_desc *config, const struct fix_desc *layers, size_t n)
{
    out->len = 0;
    must(buf_printf(out, "{\"schemaVersion\":2,\"config\":") == 0);
    fix_descriptor(out, config);
    must(buf_printf(out, ",\"layers\":[") == 0);
    for (size_t i = 0; i < n; i++) {
        must(buf_printf(out, i ? "," : "") == 0);
        fix_descriptor(out, &layers[i]);
    }
    must(buf_printf(out, "]}") == 0);
}

/* entries: n of them; text of an image index. */
static inline void fix_index(struct buf *out, const struct fix_desc *entries, size_t n)
{
    out->len = 0;
    must(buf_printf(out, "{\"schemaVersion\":2,\"manifests\":[") == 0);
    for (size_t i = 0; i < n; i++) {
        must(buf_printf(out, i ? "," : "") == 0);
        fix_descriptor(out, &entries[i]);
    }
    must(buf_printf(out, "]}") == 0);
}

#define REF(name) ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"" name "\"}"

/* An image of two layers in the layout (the second's file says `text`); its manifest's digest and size. */
static inline void fix_image(struct fix *f, const char *arch, const char *text, char ret[DIGEST_OCI_LEN + 1],
                             size_t *ret_size)
{
    struct buf a = {0}, b = {0}, c = {0}, m = {0};
    char da[DIGEST_OCI_LEN + 1], db[DIGEST_OCI_LEN + 1], dc[DIGEST_OCI_LEN + 1];
    fix_layer(&a, "base", "the base of all\n");
    fix_layer(&b, "etc/text", text);
    fix_blob(f, a.p, a.len, da);
    fix_blob(f, b.p, b.len, db);
    fix_config(&c, arch, (const char *const[]){da, db, NULL});
    fix_blob(f, c.p, c.len, dc);
    fix_manifest(&m, &(struct fix_desc){T_CONFIG, dc, c.len, NULL},
                 (struct fix_desc[]){{T_LAYER, da, a.len, NULL}, {T_LAYER, db, b.len, NULL}}, 2);
    fix_blob(f, m.p, m.len, ret);
    *ret_size = m.len;
    buf_release(&a);
    buf_release(&b);
    buf_release(&c);
    buf_release(&m);
}

static inline int fix_import(struct fix *f, const char *source, const char *name, const char *platform)
{
    struct import_opts o = {.name = name, .platform = platform};
    import_result_release(&f->res);
    err_clear(&f->e);
    return source_import(f->store, source, &o, &f->res, &f->e);
}

static inline int fix_count(const struct cat_image *im, void *ctx)
{
    (void)im;
    ++*(int *)ctx;
    return 0;
}

static inline int fix_images(struct fix *f)
{
    struct err e = {0};
    int n = 0;
    must(catalog_each_image(store_catalog(f->store), fix_count, &n, &e) == 0);
    return n;
}

/* The import must fail so, and leave the store as it was. */
static inline void fix_refused(struct fix *f, const char *source, const char *name, const char *platform,
                               enum err_kind kind, const char *why)
{
    struct err e = {0};
    struct cat_totals before, after;
    uint64_t seq, seq2;
    must(catalog_totals(store_catalog(f->store), &before, &e) == 0 &&
         catalog_seq(store_catalog(f->store), &seq, &e) == 0);
    is_int(fix_import(f, source, name, platform), -1, "refused: %s", why);
    is_int(f->e.kind, kind, "kind");
    ok(strstr(f->e.text, why), "message: %s", f->e.text);
    const char *end = "; nothing was imported";
    size_t n = strlen(f->e.text);
    ok(!strncmp(f->e.text, "import ", 7) && n > strlen(end) && !strcmp(f->e.text + n - strlen(end), end),
       "says that nothing was imported");
    must(catalog_totals(store_catalog(f->store), &after, &e) == 0 &&
         catalog_seq(store_catalog(f->store), &seq2, &e) == 0);
    ok(!memcmp(&before, &after, sizeof before) && seq == seq2, "and nothing was");
}

#endif

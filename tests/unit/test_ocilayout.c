/* SPDX-License-Identifier: MIT */
/*
 * OCI layouts into a store, and all that must be refused.
 * Covers: image_import image_layers image_history ocilayout counted
 */
#include "imagefix.h"
#include "../../index/reader.h"
#include "../../index/source/image.h"

static void index_of(struct fix *f, const struct fix_desc *v, size_t n)
{
    struct buf b = {0};
    fix_index(&b, v, n);
    fix_file(f->layout, "index.json", b.p, b.len);
    fix_text(f->layout, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    buf_release(&b);
}

static char *source(struct fix *f, const char *tag)
{
    static char s[200];
    snprintf(s, sizeof s, "%s%s%s", f->layout, tag ? ":" : "", tag ? tag : "");
    return s;
}

static void two_images(void)
{
    struct fix f;
    char a[DIGEST_OCI_LEN + 1], b[DIGEST_OCI_LEN + 1];
    size_t na, nb;
    fix_begin(&f);
    fix_image(&f, "amd64", "one\n", a, &na);
    fix_image(&f, "amd64", "two\n", b, &nb);
    index_of(&f,
             (struct fix_desc[]){{T_MANIFEST, a, na, REF("one")},
                                 {T_MANIFEST, b, nb, REF("reg.example.org:5000/my/two:v2")}},
             2);
    fix_refused(&f, source(&f, NULL), "x", NULL, ERR_USAGE, "--name is for one image");
    ok(strstr(f.e.text, "one, reg.example.org:5000/my/two:v2"), "lists what there is");
    fix_refused(&f, source(&f, "three"), NULL, NULL, ERR_NOT_FOUND, "no image \"three\" here; there is: one, reg.");
    fix_refused(&f, source(&f, NULL), "No Name", NULL, ERR_USAGE, "--name: reference");
    fix_refused(&f, source(&f, "one"), NULL, "linux/riscv64", ERR_NOT_FOUND,
                "image is for linux/amd64, not for linux/riscv64");
    if (ok(fix_import(&f, source(&f, NULL), NULL, NULL) == 0, "both are imported (%s)", f.e.text)) {
        is_int(f.res.n, 2, "two results");
        is_str(f.res.v[0].name, "oci:one", "called after folder and ref.name");
        is_str(f.res.v[1].name, "reg.example.org:5000/my/two:v2", "called by its own reference");
        is_str(f.res.v[0].id, a, "manifest digest");
        ok(f.res.v[0].is_new && f.res.v[1].is_new && !f.res.nothing_new, "new");
    }
    is_int(fix_images(&f), 2, "the store has two");
    if (ok(fix_import(&f, source(&f, NULL), NULL, NULL) == 0, "again (%s)", f.e.text)) {
        ok(f.res.nothing_new && !f.res.v[0].is_new, "nothing is new");
        is_int(f.res.stats.bytes_new, 0, "nothing is stored");
    }
    if (ok(fix_import(&f, source(&f, "v2"), "deb", NULL) == 0, "one by its tag, with a name (%s)", f.e.text)) {
        is_str(f.res.v[0].name, "deb:latest", "tag latest");
        is_str(f.res.v[0].id, b, "the right one");
        ok(f.res.v[0].is_new, "the name is new");
    }
    is_int(fix_images(&f), 2, "but no image");
    ok(fix_import(&f, source(&f, a), NULL, NULL) == 0 && f.res.nothing_new, "one by its digest");
    struct digest d;
    struct cat_image im;
    struct image_config c;
    struct image_history *h;
    struct err e = {0};
    size_t n;
    digest_parse_oci(a, strlen(a), &d);
    if (ok(catalog_image(store_catalog(f.store), &d, &im, &e) == 0, "in the catalog")) {
        is_int(im.layer_count, 2, "layers");
        ok(digest_eq(&im.layers[0], &im.blobs[0]), "blob and layer are the same: it isn't compressed");
        if (ok(image_config_load(f.store, &im, &c, &e) == 0, "its config loads (%s)", e.text)) {
            is_str(c.cmd[0], "/bin/true", "Cmd");
            image_config_release(&c);
        }
        if (ok(image_history_load(f.store, &im, &h, &n, &e) == 0, "its history loads (%s)", e.text)) {
            is_int(n, 3, "two rows, and one for the layer without");
            is_str(h[0].created_by, "base", "first");
            is_int(h[0].size, strlen("the base of all\n"), "size of its files");
            ok(h[1].empty && !h[1].size, "the second has no layer");
            ok(!h[2].empty && digest_eq(&h[2].diffid, &im.layers[1]) && h[2].size == 4,
               "the layer that history forgot");
            image_history_free(h, n);
        }
        cat_image_release(&im);
    }
    struct cat_name name;
    ok(catalog_name(store_catalog(f.store), "oci", NULL, &d, &name, &e) == 0, "it is there by digest, too");
    cat_name_release(&name);
    fix_end(&f);
}

static void platforms(void)
{
    struct fix f;
    struct buf inner = {0}, outer = {0};
    char a[DIGEST_OCI_LEN + 1], b[DIGEST_OCI_LEN + 1], i[DIGEST_OCI_LEN + 1], o[DIGEST_OCI_LEN + 1];
    size_t na, nb;
    fix_begin(&f);
    fix_image(&f, "amd64", "one\n", a, &na);
    fix_image(&f, "arm64", "two\n", b, &nb);
#define ON(arch) ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" arch "\"}"
    fix_index(
        &inner,
        (struct fix_desc[]){{T_MANIFEST, a, na, ON("amd64")},
                            {T_MANIFEST, b, nb, ON("arm64")},
                            {T_MANIFEST, b, nb, ",\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"}"},
                            {"application/x-what", a, 1, NULL}},
        4);
    fix_blob(&f, inner.p, inner.len, i);
    fix_index(&outer, &(struct fix_desc){T_INDEX, i, inner.len, NULL}, 1);
    fix_blob(&f, outer.p, outer.len, o);
    index_of(&f, &(struct fix_desc){T_INDEX, o, outer.len, REF("multi")}, 1);
    fix_refused(&f, source(&f, NULL), NULL, "linux/s390x", ERR_NOT_FOUND, "no image for linux/s390x; there is:");
    if (ok(fix_import(&f, source(&f, NULL), NULL, "linux/arm64") == 0, "a platform out of an index in an index (%s)",
           f.e.text))
        is_str(f.res.v[0].id, b, "the right one");
    if (ok(fix_import(&f, source(&f, NULL), NULL, "linux/amd64") == 0, "the other (%s)", f.e.text))
        is_str(f.res.v[0].id, a, "the right one");
    index_of(&f,
             (struct fix_desc[]){{T_MANIFEST, a, na, ON("amd64") REF("x")}, {T_MANIFEST, b, nb, ON("arm64") REF("x")}},
             2);
    if (ok(fix_import(&f, source(&f, NULL), NULL, "linux/arm64") == 0, "platforms of one name in index.json (%s)",
           f.e.text))
        is_str(f.res.v[0].id, b, "the right one");
    index_of(&f,
             (struct fix_desc[]){{T_MANIFEST, a, na, REF("x:1")},
                                 {T_MANIFEST, b, nb, ",\"annotations\":{\"io.containerd.image.name\":\"x:1\"}"}},
             2);
    fix_refused(&f, source(&f, NULL), NULL, NULL, ERR_INPUT, "two different images are called x:1");
    buf_release(&inner);
    buf_release(&outer);
    fix_end(&f);
}

/* One image whose parts can be bent. */
struct bent {
    struct fix f;
    struct buf layer, config, manifest;
    char dl[DIGEST_OCI_LEN + 1], dc[DIGEST_OCI_LEN + 1], dm[DIGEST_OCI_LEN + 1];
    struct fix_desc cd, ld;
    const char *diffids[4];
};

static void bent_begin(struct bent *b)
{
    *b = (struct bent){0};
    fix_begin(&b->f);
    fix_layer(&b->layer, "file", "some text that is long enough to be damaged in the middle\n");
    fix_blob(&b->f, b->layer.p, b->layer.len, b->dl);
    b->diffids[0] = b->dl;
    b->ld = (struct fix_desc){T_LAYER, b->dl, b->layer.len, NULL};
}

static void bent_bind(struct bent *b)
{
    fix_config(&b->config, "amd64", b->diffids);
    fix_blob(&b->f, b->config.p, b->config.len, b->dc);
    if (!b->cd.type)
        b->cd = (struct fix_desc){T_CONFIG, b->dc, b->config.len, NULL};
    fix_manifest(&b->manifest, &b->cd, &b->ld, 1);
    fix_blob(&b->f, b->manifest.p, b->manifest.len, b->dm);
    index_of(&b->f, &(struct fix_desc){T_MANIFEST, b->dm, b->manifest.len, REF("x")}, 1);
}

static void bent_refused(struct bent *b, enum err_kind kind, const char *why)
{
    fix_refused(&b->f, source(&b->f, NULL), NULL, NULL, kind, why);
    is_int(fix_images(&b->f), 0, "no image is there");
    buf_release(&b->layer);
    buf_release(&b->config);
    buf_release(&b->manifest);
    fix_end(&b->f);
}

static void overwrite(struct bent *b, const char *digest, const void *p, size_t n)
{
    char name[128];
    snprintf(name, sizeof name, "blobs/sha256/%s", digest + 7);
    fix_file(b->f.layout, name, p, n);
}

static void refusals(void)
{
    struct bent b;
    char why[256];

    bent_begin(&b);
    bent_bind(&b);
    b.layer.p[520] ^= 1;
    overwrite(&b, b.dl, b.layer.p, b.layer.len);
    snprintf(why, sizeof why, "layer 1 (%.19s\xe2\x80\xa6): digest mismatch, got sha256:", b.dl);
    bent_refused(&b, ERR_INPUT, why);

    bent_begin(&b);
    bent_bind(&b);
    b.layer.p[0] ^= 1; /* not even a tar any more */
    overwrite(&b, b.dl, b.layer.p, b.layer.len);
    bent_refused(&b, ERR_INPUT, "digest mismatch, got sha256:");

    bent_begin(&b);
    bent_bind(&b);
    overwrite(&b, b.dl, b.layer.p, b.layer.len - 512);
    bent_refused(&b, ERR_INPUT, "its descriptor says");

    bent_begin(&b);
    b.ld.size++;
    bent_bind(&b);
    bent_refused(&b, ERR_INPUT, "its descriptor says");

    bent_begin(&b);
    b.diffids[0] = "sha256:0101010101010101010101010101010101010101010101010101010101010101";
    bent_bind(&b);
    snprintf(why, sizeof why, "layer 1 (%.19s\xe2\x80\xa6)", b.dl);
    bent_refused(&b, ERR_INPUT, why);
    ok(strstr(b.f.e.text, "diffID"), "a wrong diffID is called so: %s", b.f.e.text);

    bent_begin(&b);
    b.diffids[1] = b.dl;
    bent_bind(&b);
    bent_refused(&b, ERR_INPUT, "manifest has 1 layers, the config 2 diffIDs");

    bent_begin(&b);
    b.diffids[0] = NULL;
    bent_bind(&b);
    bent_refused(&b, ERR_INPUT, "manifest has 1 layers, the config 0 diffIDs");

    bent_begin(&b);
    bent_bind(&b);
    overwrite(&b, b.dc, "{}", 2);
    bent_refused(&b, ERR_INPUT, "config (sha256:");

    bent_begin(&b);
    bent_bind(&b);
    b.manifest.p[b.manifest.len - 1] = ' ';
    overwrite(&b, b.dm, b.manifest.p, b.manifest.len);
    bent_refused(&b, ERR_INPUT, "manifest (sha256:");

    bent_begin(&b);
    b.ld.digest = "sha256:0101010101010101010101010101010101010101010101010101010101010101";
    bent_bind(&b);
    bent_refused(&b, ERR_NOT_FOUND, "blob is missing: no blobs/sha256/0101");

    bent_begin(&b);
    b.ld.digest = "sha256:0101010101010101010101010101010101010101010101010101010101010101";
    b.ld.more = ",\"urls\":[\"http://x/\"]";
    bent_bind(&b);
    bent_refused(&b, ERR_UNSUPPORTED, "foreign layer");

    bent_begin(&b);
    b.ld.digest = "sha256:../../../../../../etc/passwd";
    bent_bind(&b);
    bent_refused(&b, ERR_INPUT, "64 lower-case hex digits");

    bent_begin(&b);
    b.cd = (struct fix_desc){"application/vnd.example.thing", b.dl, b.layer.len, NULL};
    bent_bind(&b);
    bent_refused(&b, ERR_UNSUPPORTED, "not an image but an artifact");

    bent_begin(&b);
    b.cd = (struct fix_desc){T_CONFIG, b.dl, (size_t)5 << 20, NULL};
    bent_bind(&b);
    bent_refused(&b, ERR_LIMIT, "the limit is");

    bent_begin(&b);
    bent_bind(&b);
    fix_text(b.f.layout, "oci-layout", "{\"imageLayoutVersion\":\"2.0.0\"}");
    bent_refused(&b, ERR_UNSUPPORTED, "version \"2.0.0\"");

    bent_begin(&b);
    bent_bind(&b);
    fix_text(b.f.layout, "index.json", "{\"schemaVersion\":2,\"manifests\":[]}");
    bent_refused(&b, ERR_NOT_FOUND, "index.json has no images");

    bent_begin(&b);
    bent_bind(&b);
    index_of(&b.f,
             &(struct fix_desc){"application/vnd.docker.distribution.manifest.v2+json", b.dm, b.manifest.len, NULL}, 1);
    ok(fix_import(&b.f, source(&b.f, NULL), NULL, NULL) == 0, "a manifest that doesn't say what it is (%s)",
       b.f.e.text);
    is_str(b.f.res.v[0].name, "oci:latest", "a nameless image is called after the folder");
    buf_release(&b.layer);
    buf_release(&b.config);
    buf_release(&b.manifest);
    fix_end(&b.f);
}

/* A layer that is there already isn't read again, and a lie about it is still seen. */
static void known_layers(void)
{
    struct bent b;
    bent_begin(&b);
    bent_bind(&b);
    ok(fix_import(&b.f, source(&b.f, NULL), NULL, NULL) == 0, "an image (%s)", b.f.e.text);
    overwrite(&b, b.dl, "gone", 4);
    b.cd = (struct fix_desc){0};
    fix_config(&b.config, "arm64", b.diffids);
    fix_blob(&b.f, b.config.p, b.config.len, b.dc);
    b.cd = (struct fix_desc){T_CONFIG, b.dc, b.config.len, NULL};
    fix_manifest(&b.manifest, &b.cd, &b.ld, 1);
    fix_blob(&b.f, b.manifest.p, b.manifest.len, b.dm);
    index_of(&b.f, &(struct fix_desc){T_MANIFEST, b.dm, b.manifest.len, REF("y")}, 1);
    ok(fix_import(&b.f, source(&b.f, NULL), NULL, NULL) == 0, "another over the same layer, whose blob is gone (%s)",
       b.f.e.text);
    is_int(fix_images(&b.f), 2, "both are there");
    b.diffids[0] = "sha256:0101010101010101010101010101010101010101010101010101010101010101";
    fix_config(&b.config, "arm64", b.diffids);
    fix_blob(&b.f, b.config.p, b.config.len, b.dc);
    b.cd.size = b.config.len;
    fix_manifest(&b.manifest, &b.cd, &b.ld, 1);
    fix_blob(&b.f, b.manifest.p, b.manifest.len, b.dm);
    index_of(&b.f, &(struct fix_desc){T_MANIFEST, b.dm, b.manifest.len, REF("z")}, 1);
    fix_refused(&b.f, source(&b.f, NULL), NULL, NULL, ERR_INPUT, "diffID mismatch: the config says sha256:0101");
    buf_release(&b.layer);
    buf_release(&b.config);
    buf_release(&b.manifest);
    fix_end(&b.f);
}

int main(void)
{
    two_images();
    platforms();
    refusals();
    known_layers();
    return tap_done();
}

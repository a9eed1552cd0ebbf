/* SPDX-License-Identifier: MIT */
/*
 * docker save archives of all ages, and images out again.
 * Covers: dockerarchive image_export
 */
#include "imagefix.h"
#include "../../index/codec.h"
#include "../../index/source/image.h"

static struct buf tar, layer1, layer2, config;
static char d1[DIGEST_OCI_LEN + 1], d2[DIGEST_OCI_LEN + 1];

static void parts(void)
{
    struct digest d;
    fix_layer(&layer1, "base", "the base of all\n");
    fix_layer(&layer2, "etc/text", "on top\n");
    sha256_of(layer1.p, layer1.len, &d);
    digest_oci(&d, d1);
    sha256_of(layer2.p, layer2.len, &d);
    digest_oci(&d, d2);
    fix_config(&config, "amd64", (const char *const[]){d1, d2, NULL});
    tar.len = 0;
}

static char *config_name(void)
{
    static char name[80];
    char hex[DIGEST_HEX_LEN + 1];
    struct digest d;
    sha256_of(config.p, config.len, &d);
    digest_hex(&d, hex);
    snprintf(name, sizeof name, "%s.json", hex);
    return name;
}

static void text_member(const char *name, const char *text)
{
    fix_member(&tar, '0', name, NULL, text, strlen(text));
}

static char *archive(struct fix *f)
{
    static char path[128];
    fix_tar_end(&tar);
    fix_file(f->dir, "my-images.tar", tar.p, tar.len);
    snprintf(path, sizeof path, "%s/my-images.tar", f->dir);
    return path;
}

static void manifest_json(const char *config_path, const char *layers, const char *tags)
{
    char text[600];
    snprintf(text, sizeof text, "[{\"Config\":\"%s\",\"Layers\":[%s],\"RepoTags\":%s}]", config_path, layers, tags);
    text_member("manifest.json", text);
}

#define ID1 "1111111111111111111111111111111111111111111111111111111111111111"
#define ID2 "2222222222222222222222222222222222222222222222222222222222222222"

static void new_form(void)
{
    struct fix f;
    char first[DIGEST_OCI_LEN + 1];
    fix_begin(&f);
    parts();
    fix_member(&tar, '0', config_name(), NULL, config.p, config.len);
    fix_member(&tar, '5', ID1, NULL, NULL, 0);
    fix_member(&tar, '0', ID1 "/layer.tar", NULL, layer1.p, layer1.len);
    fix_member(&tar, '2', ID2 "/layer.tar", "../x/../" ID1 "/second.tar", NULL, 0);
    fix_member(&tar, '0', ID1 "/second.tar", NULL, layer2.p, layer2.len);
    manifest_json(config_name(), "\"" ID1 "/layer.tar\",\"" ID2 "/layer.tar\"", "[\"deb:one\",\"deb:two\"]");
    if (ok(fix_import(&f, archive(&f), NULL, NULL) == 0, "an archive with manifest.json (%s)", f.e.text)) {
        is_int(f.res.n, 2, "both its names");
        is_str(f.res.v[0].name, "deb:one", "the first");
        is_str(f.res.v[1].name, "deb:two", "the second");
        is_str(f.res.v[0].id, f.res.v[1].id, "one image");
        snprintf(first, sizeof first, "%s", f.res.v[0].id);
    }
    is_int(fix_images(&f), 1, "one image is there");
    char chosen[160];
    snprintf(chosen, sizeof chosen, "%s:two", archive(&f));
    ok(fix_import(&f, chosen, NULL, NULL) == 0 && f.res.n == 1 && f.res.nothing_new,
       "one of the names, again: nothing is new (%s)", f.e.text);
    snprintf(chosen, sizeof chosen, "%s:three", archive(&f));
    fix_refused(&f, chosen, NULL, NULL, ERR_NOT_FOUND, "no image \"three\" here; there is: deb:one, deb:two");
    if (ok(fix_import(&f, archive(&f), "other:v", NULL) == 0, "under another name (%s)", f.e.text)) {
        is_int(f.res.n, 1, "that one only");
        is_str(f.res.v[0].name, "other:v", "as asked for");
    }

    /* The same image with a compressed layer gives the same manifest: it is made of the uncompressed ones. */
    struct fix g;
    struct encoder *z;
    struct buf packed = {0};
    fix_begin(&g);
    must(encoder_new(3, &z, &g.e) == 0 && encoder_run(z, layer2.p, layer2.len, &packed, &g.e) == 0);
    encoder_free(z);
    parts();
    fix_member(&tar, '0', "c", NULL, config.p, config.len);
    fix_member(&tar, '0', "l1", NULL, layer1.p, layer1.len);
    fix_member(&tar, '0', "l2", NULL, packed.p, packed.len);
    manifest_json("c", "\"l1\",\"l2\"", "null");
    char *path = archive(&g);
    /* It begins like a root filesystem, so say what it is by its first member. */
    parts();
    manifest_json("c", "\"l1\",\"l2\"", "null");
    fix_member(&tar, '0', "c", NULL, config.p, config.len);
    fix_member(&tar, '0', "l1", NULL, layer1.p, layer1.len);
    fix_member(&tar, '0', "l2", NULL, packed.p, packed.len);
    path = archive(&g);
    if (ok(fix_import(&g, path, NULL, NULL) == 0, "with a layer in zstd (%s)", g.e.text)) {
        is_str(g.res.v[0].name, "my-images:latest", "a nameless one is called after the file");
        is_str(g.res.v[0].id, first, "the manifest is the same");
    }
    buf_release(&packed);
    fix_end(&g);
    fix_end(&f);
}

static void refused(const char *config_path, const char *layers, enum err_kind kind, const char *why)
{
    struct fix f;
    fix_begin(&f);
    parts();
    manifest_json(config_path, layers, "[\"x:1\"]");
    fix_member(&tar, '0', "config", NULL, config.p, config.len);
    fix_member(&tar, '0', "c/" ID1 ".json", NULL, config.p, config.len);
    fix_member(&tar, '0', "l1", NULL, layer1.p, layer1.len);
    fix_member(&tar, '0', "l2", NULL, layer2.p, layer2.len);
    fix_refused(&f, archive(&f), NULL, NULL, kind, why);
    fix_end(&f);
}

static void refusals(void)
{
    refused("config", "\"l1\"", ERR_INPUT, "manifest.json has 1 layers, the config 2 diffIDs");
    refused("config", "\"l2\",\"l1\"", ERR_INPUT, "diffID");
    refused("config", "\"l1\",\"l3\"", ERR_NOT_FOUND, "layer 2: archive has no file \"l3\"");
    refused("config", "\"l1\",\"../../etc/passwd\"", ERR_NOT_FOUND, "layer 2: archive has no file");
    refused("config", "\"l1\",7", ERR_INPUT, "layer 2 is not a string");
    refused("nothing", "\"l1\",\"l2\"", ERR_NOT_FOUND, "config: archive has no file \"nothing\"");
    refused("c/" ID1 ".json", "\"l1\",\"l2\"", ERR_INPUT, "digest mismatch, got sha256:");
}

static void old_form(void)
{
    struct fix f;
    fix_begin(&f);
    parts();
    text_member(ID1 "/VERSION", "1.0");
    text_member(
        ID1 "/json",
        "{\"id\":\"" ID1
        "\",\"created\":\"2014-01-01T00:00:00Z\",\"container_config\":{\"Cmd\":[\"/bin/sh\",\"-c\",\"base\"]}}");
    fix_member(&tar, '0', ID1 "/layer.tar", NULL, layer1.p, layer1.len);
    text_member(ID2 "/json", "{\"id\":\"" ID2 "\",\"parent\":\"" ID1
                             "\",\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Env\":[\"A=b\"]}}");
    fix_member(&tar, '0', ID2 "/layer.tar", NULL, layer2.p, layer2.len);
    text_member("repositories", "{\"deb\":{\"old\":\"" ID2 "\"}}");
    if (ok(fix_import(&f, archive(&f), NULL, NULL) == 0, "an archive of before 1.10 (%s)", f.e.text)) {
        struct digest d;
        struct cat_image im;
        struct image_config c;
        struct image_history *h;
        size_t n;
        is_str(f.res.v[0].name, "deb:old", "its name");
        digest_parse_oci(f.res.v[0].id, strlen(f.res.v[0].id), &d);
        if (ok(catalog_image(store_catalog(f.store), &d, &im, &f.e) == 0, "in the catalog")) {
            char oci[DIGEST_OCI_LEN + 1];
            digest_oci(&im.layers[1], oci);
            is_int(im.layer_count, 2, "layers");
            is_str(oci, d2, "the upper one is above");
            ok(image_config_load(f.store, &im, &c, &f.e) == 0 && c.env, "a config was made (%s)", f.e.text);
            image_config_release(&c);
            if (ok(image_history_load(f.store, &im, &h, &n, &f.e) == 0, "and a history (%s)", f.e.text)) {
                is_int(n, 2, "of two rows");
                is_str(h[0].created_by, "/bin/sh -c base", "from the lowest up");
                image_history_free(h, n);
            }
            cat_image_release(&im);
        }
    }
    ok(fix_import(&f, archive(&f), NULL, NULL) == 0 && f.res.nothing_new, "again: nothing is new (%s)", f.e.text);
    parts();
    text_member("repositories", "{\"deb\":{\"old\":\"" ID2 "\"}}");
    text_member(ID1 "/json", "{\"parent\":\"" ID2 "\"}");
    text_member(ID2 "/json", "{\"parent\":\"" ID1 "\"}");
    fix_refused(&f, archive(&f), NULL, NULL, ERR_LIMIT, "bites its tail");
    parts();
    text_member("repositories", "{\"deb\":{\"old\":\"../../x\"}}");
    fix_refused(&f, archive(&f), NULL, NULL, ERR_INPUT, "is not 64 hex digits");
    fix_end(&f);
}

/* --- out again --- */

static int take(void *ctx, const void *p, size_t n, struct err *e)
{
    return buf_append(ctx, p, n) < 0 ? err_nomem(e) : 0;
}

static void export_as(struct fix *f, const char *id, enum image_export_form form, const char *ref)
{
    struct digest d;
    struct cat_image im, im2;
    struct fix g;
    digest_parse_oci(id, strlen(id), &d);
    if (!ok(catalog_image(store_catalog(f->store), &d, &im, &f->e) == 0, "in the catalog"))
        return;
    tar.len = 0;
    ok(image_export(f->store, &im, ref, form, take, &tar, &f->e) == 0, "it is exported (%s)", f->e.text);
    fix_begin(&g);
    fix_file(g.dir, "out.tar", tar.p, tar.len);
    char path[128];
    snprintf(path, sizeof path, "%s/out.tar", g.dir);
    if (ok(fix_import(&g, path, NULL, NULL) == 0, "and read back (%s)", g.e.text)) {
        is_str(g.res.v[0].name, ref, "the same name");
        is_str(g.res.v[0].id, id, "the same manifest, since its layers were not compressed");
        if (ok(catalog_image(store_catalog(g.store), &d, &im2, &g.e) == 0, "in the other catalog")) {
            ok(digest_eq(&im.config, &im2.config) && digest_eq(&im.rootfs, &im2.rootfs),
               "config and root filesystem are the same");
            cat_image_release(&im2);
        }
    }
    fix_end(&g);
    cat_image_release(&im);
}

static void round_trip(void)
{
    struct fix f;
    fix_begin(&f);
    parts();
    manifest_json("c", "\"l1\",\"l2\",\"l1\"", "[\"deb:x\"]");
    fix_config(&config, "amd64", (const char *const[]){d1, d2, d1, NULL});
    fix_member(&tar, '0', "c", NULL, config.p, config.len);
    fix_member(&tar, '0', "l1", NULL, layer1.p, layer1.len);
    fix_member(&tar, '0', "l2", NULL, layer2.p, layer2.len);
    if (ok(fix_import(&f, archive(&f), NULL, NULL) == 0, "an image with one layer twice (%s)", f.e.text)) {
        char id[DIGEST_OCI_LEN + 1];
        snprintf(id, sizeof id, "%s", f.res.v[0].id);
        export_as(&f, id, IMAGE_EXPORT_OCI, "deb:x");
        export_as(&f, id, IMAGE_EXPORT_DOCKER, "deb:x");
    }
    fix_end(&f);
}

int main(void)
{
    new_form();
    refusals();
    old_form();
    round_trip();
    buf_release(&tar);
    buf_release(&layer1);
    buf_release(&layer2);
    buf_release(&config);
    return tap_done();
}

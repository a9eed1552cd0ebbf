/* SPDX-License-Identifier: MIT */
/*
 * What a person means by OBJECT, on a real store: names, digests, beginnings, packages, paths behind them; and how many
 * bytes each object shows. Covers: object usage
 */
#include "../../tools/object.h"
#include "../../tools/usage.h"
#include "imagefix.h"

struct world {
    struct fix f;
    char manifest[2][DIGEST_OCI_LEN + 1]; /* deb:one and its like */
    struct cat_image image;               /* deb:one */
    char *package[4];                     /* store paths: nginx-1.22, nginx-env, zlib-1.2, face-9 */
};

static void add_package(struct world *w, size_t i, const char *name, const char *text)
{
    struct import_opts o = {0};
    char path[128];
    fix_text(w->f.dir, name, text);
    snprintf(path, sizeof path, "%s/%s", w->f.dir, name);
    import_result_release(&w->f.res);
    if (source_add(w->f.store, path, NULL, &o, &w->f.res, &w->f.e) < 0) {
        printf("Bail out! %s\n", w->f.e.text);
        exit(1);
    }
    must(w->package[i] = strdup(w->f.res.v[0].name));
}

static void import_image(struct world *w, const char *tag, const char *name)
{
    char source[128];
    snprintf(source, sizeof source, "%s:%s", w->f.layout, tag);
    if (fix_import(&w->f, source, name, "linux/amd64") < 0) {
        printf("Bail out! %s\n", w->f.e.text);
        exit(1);
    }
}

static void begin(struct world *w)
{
    struct buf b = {0};
    size_t n[2];
    *w = (struct world){0};
    fix_begin(&w->f);
    fix_image(&w->f, "amd64", "one\n", w->manifest[0], &n[0]);
    fix_image(&w->f, "amd64", "another\n", w->manifest[1], &n[1]);
    fix_index(&b,
              (struct fix_desc[]){{T_MANIFEST, w->manifest[0], n[0], REF("one")},
                                  {T_MANIFEST, w->manifest[1], n[1], REF("two")}},
              2);
    fix_file(w->f.layout, "index.json", b.p, b.len);
    fix_text(w->f.layout, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    buf_release(&b);
    import_image(w, "one", "deb:one");
    import_image(w, "two", "deb");
    import_image(w, "one", "registry.example:5000/team/web:1");
    add_package(w, 0, "nginx-1.22", "nginx itself\n");
    add_package(w, 1, "nginx-env", "one\n"); /* as in deb:one */
    add_package(w, 2, "zlib-1.2", "zlib\n");
    add_package(w, 3, "face-9", "");
    struct digest d;
    must(digest_parse_oci(w->manifest[0], DIGEST_OCI_LEN, &d) == 0 &&
         catalog_image(store_catalog(w->f.store), &d, &w->image, &w->f.e) == 0);
}

static void end(struct world *w)
{
    cat_image_release(&w->image);
    for (size_t i = 0; i < 4; i++)
        free(w->package[i]);
    fix_end(&w->f);
}

/* title NULL: any. */
static void found(struct world *w, const char *text, enum object_type type, uint32_t no, const char *title)
{
    struct object o;
    char got[512] = "";
    err_clear(&w->f.e);
    int rc = object_find(w->f.store, text, &o, &w->f.e);
    ok(rc == 0 && o.type == type && (!no || o.no == no), "'%s' is found: %s", text, w->f.e.text);
    if (rc < 0)
        return;
    object_title(&o, got);
    if (title)
        is_str(got, title, "its title");
    object_release(&o);
}

static void refused(struct world *w, const char *text, enum err_kind kind, const char *message)
{
    struct object o;
    err_clear(&w->f.e);
    is_int(object_find(w->f.store, text, &o, &w->f.e), -1, "'%s' isn't found", text);
    is_int(w->f.e.kind, kind, "kind");
    is_str(w->f.e.text, message, "message");
}

static void absent(struct world *w, const char *text)
{
    char want[512];
    snprintf(want, sizeof want, "no image, layer or package '%s' in the store (cairn images, cairn packages)", text);
    refused(w, text, ERR_NOT_FOUND, want);
}

static void test_images(struct world *w)
{
    char text[256], latest[256];
    uint32_t no = w->image.no;
    found(w, "deb:one", OBJECT_IMAGE, no, "deb:one");
    found(w, "deb", OBJECT_IMAGE, 0, "deb:latest");
    found(w, "registry.example:5000/team/web:1", OBJECT_IMAGE, no, "registry.example:5000/team/web:1");
    snprintf(text, sizeof text, "deb@%s", w->manifest[0]);
    found(w, text, OBJECT_IMAGE, no, text);
    found(w, w->manifest[0], OBJECT_IMAGE, no, w->manifest[0]);
    found(w, w->manifest[0] + 7, OBJECT_IMAGE, no, w->manifest[0]);
    snprintf(text, sizeof text, "%.12s", w->manifest[0] + 7);
    found(w, text, OBJECT_IMAGE, no, w->manifest[0]);
    snprintf(text, sizeof text, "%.20s", w->manifest[0]); /* sha256:… cut */
    found(w, text, OBJECT_IMAGE, no, w->manifest[0]);
    char config[DIGEST_OCI_LEN + 1];
    digest_oci(&w->image.config, config);
    snprintf(text, sizeof text, "%.16s", config + 7);
    found(w, text, OBJECT_IMAGE, no, w->manifest[0]);
    snprintf(text, sizeof text, "%.3s", w->manifest[0] + 7);
    absent(w, text); /* too short to mean a digest */
    snprintf(latest, sizeof latest, "other@%s", w->manifest[0]);
    absent(w, latest);
    absent(w, "deb:none");
    absent(w, "registry.example:5000/team/web");
    absent(w, "team/web:1");
    absent(w, "");
    absent(w, ":");
    absent(w, "Deb:one");
    absent(w, "sha256:0000000000000000000000000000000000000000000000000000000000000000");
}

static void test_layers(struct world *w)
{
    char oci[DIGEST_OCI_LEN + 1], text[64];
    struct cat_layer l;
    must(catalog_layer(store_catalog(w->f.store), &w->image.layers[1], &l, &w->f.e) == 0);
    digest_oci(&l.diffid, oci);
    found(w, oci, OBJECT_LAYER, l.no, oci);
    found(w, oci + 7, OBJECT_LAYER, l.no, oci);
    snprintf(text, sizeof text, "%.10s", oci + 7);
    found(w, text, OBJECT_LAYER, l.no, oci);
    snprintf(text, sizeof text, "%.17s", oci);
    found(w, text, OBJECT_LAYER, l.no, oci);
}

static void test_packages(struct world *w)
{
    char text[512], want[1024];
    const char *nginx = strrchr(w->package[0], '/') + 1, *env = strrchr(w->package[1], '/') + 1;
    found(w, w->package[0], OBJECT_PACKAGE, 0, w->package[0]);
    found(w, nginx, OBJECT_PACKAGE, 0, w->package[0]);
    snprintf(text, sizeof text, "%.8s", nginx);
    found(w, text, OBJECT_PACKAGE, 0, w->package[0]);
    found(w, "zlib", OBJECT_PACKAGE, 0, w->package[2]);
    found(w, "zl", OBJECT_PACKAGE, 0, w->package[2]);
    found(w, "zlib-1.2", OBJECT_PACKAGE, 0, w->package[2]);
    /* A name without its version goes before names that only begin so. */
    found(w, "nginx", OBJECT_PACKAGE, 0, w->package[0]);
    found(w, "nginx-e", OBJECT_PACKAGE, 0, w->package[1]);
    found(w, "face", OBJECT_PACKAGE, 0, w->package[3]); /* hex digits, too */
    /* In the order of names: by hash. */
    bool turned = strcmp(nginx, env) > 0;
    snprintf(want, sizeof want, "'ngi' could be %s, %s: write more of it", turned ? env : nginx, turned ? nginx : env);
    refused(w, "ngi", ERR_USAGE, want);
    absent(w, "nginx-1.22.9");
    absent(w, "/");
    absent(w, "/nix/store/");
    snprintf(text, sizeof text, "/nix/store/%.31sx-nginx-1.22", nginx);
    absent(w, text);
    /* Found by its place in a mount, too. */
    snprintf(text, sizeof text, "/mnt/store/%s", nginx);
    found(w, text, OBJECT_PACKAGE, 0, w->package[0]);
}

static void path_is(struct world *w, const char *text, enum object_type type, const char *path)
{
    struct object o;
    const char *got = NULL;
    err_clear(&w->f.e);
    int rc = object_find_path(w->f.store, text, &o, &got, &w->f.e);
    ok(rc == 0 && o.type == type, "'%s' is found: %s", text, w->f.e.text);
    is_str(got, path, "the path behind it");
    if (rc == 0)
        object_release(&o);
}

static void test_paths(struct world *w)
{
    char text[512];
    path_is(w, "deb:one", OBJECT_IMAGE, "");
    path_is(w, "deb:one:", OBJECT_IMAGE, "");
    path_is(w, "deb:one:/etc/text", OBJECT_IMAGE, "/etc/text");
    path_is(w, "deb:/etc", OBJECT_IMAGE, "/etc"); /* deb:latest */
    path_is(w, "deb:one:/a:b:c", OBJECT_IMAGE, "/a:b:c");
    path_is(w, "deb:one:relative", OBJECT_IMAGE, "relative");
    path_is(w, "zlib:/x", OBJECT_PACKAGE, "/x");
    snprintf(text, sizeof text, "%s:/lib", w->package[2]);
    path_is(w, text, OBJECT_PACKAGE, "/lib");
    snprintf(text, sizeof text, "%s:/etc", w->manifest[0]);
    path_is(w, text, OBJECT_IMAGE, "/etc");
    snprintf(text, sizeof text, "deb@%s:/etc", w->manifest[0]);
    path_is(w, text, OBJECT_IMAGE, "/etc");
    struct object o;
    const char *path;
    err_clear(&w->f.e);
    is_int(object_find_path(w->f.store, "nothing:/etc:x", &o, &path, &w->f.e), -1, "nothing's path");
    is_str(w->f.e.text, "no image, layer or package 'nothing:/etc:x' in the store (cairn images, cairn packages)",
           "message");
    err_clear(&w->f.e);
    is_int(object_find_path(w->f.store, "ngi:/etc", &o, &path, &w->f.e), -1, "a path of two");
    ok(w->f.e.kind == ERR_USAGE && strstr(w->f.e.text, "'ngi' could be "), "%s", w->f.e.text);
}

static const struct usage_row *row(const struct usage *u, uint32_t no)
{
    static const struct usage_row none = {.size = 12345, .unique = 12345, .files = 12345};
    const struct usage_row *r = usage_of(u, no);
    return r ? r : &none;
}

/* deb:one and web:1 are one image: base 16 bytes, "one\n" 4. deb:latest: base, "another\n" 8. nginx-env is "one\n". */
static void test_usage(struct world *w)
{
    struct usage u;
    struct object two, env, face;
    struct cat_layer base, one;
    struct catalog *c = store_catalog(w->f.store);
    must(object_find(w->f.store, "deb", &two, &w->f.e) == 0 &&
         object_find(w->f.store, "nginx-env", &env, &w->f.e) == 0 &&
         object_find(w->f.store, "face", &face, &w->f.e) == 0 &&
         catalog_layer(c, &w->image.layers[0], &base, &w->f.e) == 0 &&
         catalog_layer(c, &w->image.layers[1], &one, &w->f.e) == 0);
    is_int(usage_compute(w->f.store, USAGE_IMAGES, &u, &w->f.e), 0, "usage by images");
    is_int(u.count, 6, "two images, four packages");
    const struct usage_row *r = row(&u, w->image.no);
    ok(r->size == 20 && r->unique == 0 && r->files == 2,
       "deb:one: the base is deb's, too, the other file the package's");
    r = row(&u, two.no);
    ok(r->size == 24 && r->unique == 8 && r->files == 2, "deb:latest: one file of its own");
    r = row(&u, env.no);
    ok(r->size == 4 && r->unique == 0 && r->files == 1, "the package that has what the image has");
    r = row(&u, face.no);
    ok(r->size == 0 && r->unique == 0 && r->files == 1, "an empty file");
    ok(!usage_of(&u, base.no) && !usage_of(&u, 0) && !usage_of(&u, UINT32_MAX), "layers aren't among them");
    usage_release(&u);
    ok(!u.rows && !usage_of(&u, 1), "released");
    is_int(usage_compute(w->f.store, USAGE_LAYERS, &u, &w->f.e), 0, "usage by layers");
    is_int(u.count, 7, "three layers, four packages");
    r = row(&u, base.no);
    ok(r->size == 16 && r->unique == 16, "the base is one layer's alone");
    r = row(&u, one.no);
    ok(r->size == 4 && r->unique == 0, "the other is in a package, too");
    usage_release(&u);
    object_release(&two);
    object_release(&env);
    object_release(&face);
}

/* Hard links and equal files of one owner count once in what is unique; links once in the size, too. */
static void test_links(void)
{
    struct world w = {0};
    struct usage u;
    struct buf t = {0};
    char path[128];
    fix_begin(&w.f);
    is_int(usage_compute(w.f.store, USAGE_LAYERS, &u, &w.f.e), 0, "usage of an empty store");
    ok(u.count == 0 && !usage_of(&u, 1), "nothing");
    usage_release(&u);
    fix_member(&t, '0', "a", NULL, "12345", 5);
    fix_member(&t, '1', "b", "a", NULL, 0);
    fix_member(&t, '0', "c", NULL, "12345", 5);
    fix_member(&t, '2', "d", "a", NULL, 0);
    fix_tar_end(&t);
    fix_file(w.f.dir, "x.tar", t.p, t.len);
    buf_release(&t);
    snprintf(path, sizeof path, "%s/x.tar", w.f.dir);
    is_int(fix_import(&w.f, path, "x:1", "linux/amd64"), 0, "an image with links");
    is_int(usage_compute(w.f.store, USAGE_IMAGES, &u, &w.f.e), 0, "its usage");
    ok(u.count == 1 && u.rows[0].size == 10 && u.rows[0].unique == 5 && u.rows[0].files == 3,
       "two files of 5 bytes, one content, three that are no directories");
    usage_release(&u);
    fix_end(&w.f);
}

int main(void)
{
    struct world w;
    setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
    begin(&w);
    test_images(&w);
    test_layers(&w);
    test_packages(&w);
    test_paths(&w);
    test_usage(&w);
    end(&w);
    test_links();
    return tap_done();
}

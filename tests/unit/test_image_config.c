/* SPDX-License-Identifier: MIT */
/*
 * Documents of images: manifest, index, config. What a store does with them: test_ocilayout.c.
 * Covers: image_manifest image_config
 */
#include "../../index/source/image.h"
#include "../../index/limits.h"
#include "tap.h"

#include <stdlib.h>

#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define CONFIG                                                                                                         \
    "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"" D1 "\",\"size\":7}"
#define LAYER(x) "{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"" D2 "\",\"size\":9" x "}"
#define LAYERS   "\"layers\":[" LAYER("") "]"
#define OCI      "application/vnd.oci.image.manifest.v1+json"
#define DOCKER   "application/vnd.docker.distribution.manifest.v2+json"

static void refused(const char *doc, const char *expected, enum err_kind kind, const char *why)
{
    struct err e = {0};
    struct image_manifest m;
    is_int(image_manifest_parse(doc, strlen(doc), expected, &m, &e), -1, "refused: %s", why);
    is_int(e.kind, kind, "kind");
    ok(strstr(e.text, why), "message: %s", e.text);
}

static void manifests(void)
{
    static const char good[] = "{\"schemaVersion\":2,\"what\":[1],\"mediaType\":\"" OCI "\"," CONFIG
                               ",\"layers\":[" LAYER("") "," LAYER(",\"urls\":[\"http://x\"]") "]}";
    static const char docker[] =
        "{\"schemaVersion\":2,\"mediaType\":\"" DOCKER
        "\",\"config\":{\"mediaType\":\"application/vnd.docker.container.image.v1+json\",\"digest\":\"" D1
        "\",\"size\":0},\"layers\":[]}";
    struct err e = {0};
    struct image_manifest m;
    char oci[DIGEST_OCI_LEN + 1];
    if (ok(image_manifest_parse(good, strlen(good), OCI, &m, &e) == 0, "an OCI manifest (%s)", e.text)) {
        digest_oci(&m.config.digest, oci);
        is_str(oci, D1, "config digest");
        is_int(m.config.size, 7, "config size");
        is_int(m.layer_count, 2, "layers");
        is_int(m.layers[0].size, 9, "layer size");
        ok(!m.layers[0].foreign && m.layers[1].foreign, "the second is foreign");
        image_manifest_release(&m);
    }
    if (ok(image_manifest_parse(docker, strlen(docker), NULL, &m, &e) == 0, "a docker manifest (%s)", e.text)) {
        is_str(m.media_type, DOCKER, "says what it is");
        image_manifest_release(&m);
    }
    refused("[]", NULL, ERR_INPUT, "not a JSON object");
    refused("{\"schemaVersion\":2", NULL, ERR_INPUT, "manifest: line 1");
    refused("{\"schemaVersion\":2," CONFIG "," LAYERS ",\"manifests\":[]}", NULL, ERR_INPUT,
            "both manifests and layers");
    refused("{\"schemaVersion\":2," CONFIG "," LAYERS "," CONFIG "}", NULL, ERR_INPUT, "duplicate");
    refused("{\"schemaVersion\":2,\"mediaType\":\"" OCI "\"," CONFIG "," LAYERS "}", DOCKER, ERR_INPUT,
            "its descriptor says");
    refused("{\"schemaVersion\":1,\"fsLayers\":[]}", NULL, ERR_UNSUPPORTED, "schema 1");
    refused("{\"schemaVersion\":2," CONFIG "," LAYERS ",\"fsLayers\":[]}", NULL, ERR_INPUT, "mixes schema 1");
    refused("{\"schemaVersion\":3," CONFIG "," LAYERS "}", NULL, ERR_INPUT, "schemaVersion is not 2");
    refused("{" CONFIG "," LAYERS "}", NULL, ERR_INPUT, "schemaVersion is not 2");
    refused("{\"schemaVersion\":2," CONFIG "}", NULL, ERR_INPUT, "has no layers");
    refused("{\"schemaVersion\":2," LAYERS "}", NULL, ERR_INPUT, "config: not an object");
    refused("{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\"," CONFIG "," LAYERS "}",
            NULL, ERR_UNSUPPORTED, "is not an image manifest");
    refused("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":\"" D1
            "\",\"size\":2},\"layers\":[]}",
            NULL, ERR_UNSUPPORTED, "not an image but an artifact");
    refused("{\"schemaVersion\":2," CONFIG
            ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+encrypted\",\"digest\":\"" D2
            "\",\"size\":1}]}",
            NULL, ERR_UNSUPPORTED, "layer 1: media type");
    static const char *const digests[] = {
        "sha256:../../x", "sha512:11", "SHA256:1111111111111111111111111111111111111111111111111111111111111111",
        "sha256:AAAA111111111111111111111111111111111111111111111111111111111111", ""};
    for (size_t i = 0; i < sizeof digests / sizeof *digests; i++) {
        char doc[600];
        snprintf(doc, sizeof doc,
                 "{\"schemaVersion\":2," CONFIG
                 ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\","
                 "\"size\":1}]}",
                 digests[i]);
        refused(doc, NULL, ERR_INPUT, "64 lower-case hex digits");
    }
    refused("{\"schemaVersion\":2," CONFIG
            ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"" D2
            "\",\"size\":-1}]}",
            NULL, ERR_INPUT, "size is not a number of bytes");
    refused("{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"digest\":\"" D2 "\",\"size\":1}]}", NULL, ERR_INPUT,
            "no mediaType");

    struct buf big = {0};
    buf_append_zero(&big, LIMIT_JSON_DOC + 1);
    is_int(image_manifest_parse(big.p, big.len, NULL, &m, &e), -1, "a huge document is refused");
    is_int(e.kind, ERR_LIMIT, "kind");
    buf_release(&big);
    struct buf deep = {0};
    for (int i = 0; i < 100000; i++)
        buf_append(&deep, "[", 1);
    is_int(image_manifest_parse(deep.p, deep.len, NULL, &m, &e), -1, "deep nesting is refused");
    is_int(e.kind, ERR_LIMIT, "kind");
    buf_release(&deep);
}

#define ENTRY(type, digest, more) "{\"mediaType\":\"" type "\",\"digest\":\"" digest "\",\"size\":5" more "}"
#define FOR(os, arch)             ",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"}"
#define FORV(os, arch, v)         ",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\",\"variant\":\"" v "\"}"

static void select_for(const struct image_index *x, const char *platform, int want)
{
    struct err e = {0};
    struct image_platform p;
    const struct image_descriptor *v[16];
    size_t at = 0;
    for (size_t i = 0; i < x->n && i < 16; i++)
        v[i] = &x->v[i];
    if (!ok(image_platform_parse(platform, &p, &e) == 0, "%s is a platform", platform))
        return;
    int r = image_index_select(v, x->n, &p, &at, &e);
    if (want < 0) {
        is_int(r, -1, "nothing for %s", platform);
        is_int(e.kind, ERR_NOT_FOUND, "kind");
        ok(strstr(e.text, "linux/arm/v6") && !strstr(e.text, "unknown"), "message: %s", e.text);
    } else {
        is_int(r, 0, "something for %s", platform);
        is_int(at, want, "the right one for %s", platform);
    }
    image_platform_release(&p);
}

static void indexes(void)
{
    static const char doc[] =
        "{\"schemaVersion\":2,\"manifests\":[" ENTRY(OCI, D1, FORV("linux", "amd64", "v3")) "," ENTRY(
            OCI, D1,
            FOR("linux",
                "amd64")) "," ENTRY(DOCKER, D2,
                                    FORV("linux", "arm",
                                         "v6")) "," ENTRY(OCI, D2,
                                                          FORV("linux", "arm",
                                                               "v7")) "," ENTRY(OCI, D1,
                                                                                FOR("linux",
                                                                                    "arm64")) "," ENTRY(OCI, D2,
                                                                                                        FOR("unknown",
                                                                                                            "unknow"
                                                                                                            "n")) ",{"
                                                                                                                  "\""
                                                                                                                  "me"
                                                                                                                  "di"
                                                                                                                  "aT"
                                                                                                                  "yp"
                                                                                                                  "e"
                                                                                                                  "\""
                                                                                                                  ":"
                                                                                                                  "\""
                                                                                                                  "te"
                                                                                                                  "xt"
                                                                                                                  "/p"
                                                                                                                  "la"
                                                                                                                  "in"
                                                                                                                  "\""
                                                                                                                  ","
                                                                                                                  "\""
                                                                                                                  "di"
                                                                                                                  "ge"
                                                                                                                  "st"
                                                                                                                  "\""
                                                                                                                  ":"
                                                                                                                  "\""
                                                                                                                  "sh"
                                                                                                                  "a5"
                                                                                                                  "12"
                                                                                                                  ":9"
                                                                                                                  "\""
                                                                                                                  "}]"
                                                                                                                  "}";
    struct err e = {0};
    struct image_index x;
    if (ok(image_index_parse(doc, strlen(doc), NULL, "index.json", &x, &e) == 0, "an index (%s)", e.text)) {
        is_int(x.n, 6, "the unknown media type is left out");
        ok(x.v[5].artifact && !x.v[0].artifact, "the attestation is told");
        select_for(&x, "linux/amd64", 1);
        select_for(&x, "linux/x86_64", 1);
        select_for(&x, "linux/amd64/v3", 0);
        select_for(&x, "linux/arm/v6", 2);
        select_for(&x, "linux/arm", 3);
        select_for(&x, "linux/arm64/v8", 4);
        select_for(&x, "linux/amd64/v2", -1);
        select_for(&x, "windows/amd64", -1);
        image_index_release(&x);
    }
    static const char both[] = "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}";
    is_int(image_index_parse(both, strlen(both), NULL, "index.json", &x, &e), -1, "an index with layers is refused");
    ok(e.kind == ERR_INPUT && strstr(e.text, "index.json has both"), "message: %s", e.text);
    static const char wrong[] =
        "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" OCI "\",\"digest\":\"sha256:xx\",\"size\":1}]}";
    is_int(image_index_parse(wrong, strlen(wrong), NULL, "index.json", &x, &e), -1, "a bad digest is refused");
    ok(e.kind == ERR_INPUT && strstr(e.text, "index.json: entry 1: digest"), "message: %s", e.text);
    static const char one[] = "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/"
                              "vnd.docker.distribution.manifest.v1+prettyjws\"}]}";
    is_int(image_index_parse(one, strlen(one), NULL, "index.json", &x, &e), -1, "schema 1 in an index is refused");
    ok(e.kind == ERR_UNSUPPORTED || strstr(e.text, "digest"), "message: %s", e.text);
    struct image_platform p;
    static const char *const bad[] = {"linux", "linux/", "/amd64", "linux/amd64/", "linux/am d64", "a/b/c/d"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        is_int(image_platform_parse(bad[i], &p, &e), -1, "\"%s\" is no platform", bad[i]);
        is_int(e.kind, ERR_USAGE, "kind");
    }
    ok(image_platform_parse(NULL, &p, &e) == 0, "this machine has one");
    is_str(p.os, "linux", "os");
    image_platform_release(&p);
}

static void configs(void)
{
    static const char doc[] = "{\"created\":\"2024-01-01T00:00:00Z\",\"architecture\":\"amd64\",\"os\":\"linux\","
                              "\"config\":{\"Entrypoint\":[\"/e\",\"a b\"],\"Cmd\":null,"
                              "\"Env\":[\"A=1\",\"B=\"],\"WorkingDir\":\"/"
                              "w\",\"User\":\"\",\"StopSignal\":\"SIGQUIT\",\"Volumes\":{\"/x\":{}}},"
                              "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D1 "\",\"" D2 "\"]}}";
    struct err e = {0};
    struct image_config c;
    struct image_rootfs r;
    if (ok(image_config_parse(doc, strlen(doc), &c, &e) == 0, "a config (%s)", e.text)) {
        is_str(c.entrypoint[1], "a b", "entrypoint");
        ok(!c.entrypoint[2] && !c.cmd, "ends, and null is none");
        is_str(c.env[1], "B=", "env");
        is_str(c.workdir, "/w", "workdir");
        ok(!c.user, "an empty user is none");
        is_str(c.stop_signal, "SIGQUIT", "stop signal");
        is_str(c.os, "linux", "os");
        is_str(c.created, "2024-01-01T00:00:00Z", "created");
        image_config_release(&c);
    }
    if (ok(image_rootfs_parse(doc, strlen(doc), &r, &e) == 0, "its layers (%s)", e.text)) {
        is_int(r.n, 2, "two");
        is_int(r.diffids[1].b[31], 0x22, "the second");
        is_str(r.platform.arch, "amd64", "architecture");
        image_rootfs_release(&r);
    }
    ok(image_config_parse("{}", 2, &c, &e) == 0 && !c.env, "an empty config says nothing");
    static const struct {
        const char *doc, *why;
    } bad[] = {
        {"[]", "not a JSON object"},
        {"{\"config\":[]}", "not an object"},
        {"{\"config\":{\"Env\":\"A\"}}", "Env is not a list"},
        {"{\"config\":{\"Cmd\":[\"a\",1]}}", "Cmd: element 2"},
        {"{\"config\":{\"User\":0}}", "User is not a string"},
        {"{\"config\":{\"User\":\"a\\u0000b\"}}", "config: line 1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        is_int(image_config_parse(bad[i].doc, strlen(bad[i].doc), &c, &e), -1, "refused: %s", bad[i].why);
        ok(e.kind == ERR_INPUT && strstr(e.text, bad[i].why), "message: %s", e.text);
    }
    static const struct {
        const char *doc, *why;
    } bad_rootfs[] = {
        {"{}", "rootfs.type"},
        {"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":\"x\"}}", "not a list"},
        {"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:1\"]}}", "diffID 1"},
    };
    for (size_t i = 0; i < sizeof bad_rootfs / sizeof *bad_rootfs; i++) {
        is_int(image_rootfs_parse(bad_rootfs[i].doc, strlen(bad_rootfs[i].doc), &r, &e), -1, "refused: %s",
               bad_rootfs[i].why);
        ok(e.kind == ERR_INPUT && strstr(e.text, bad_rootfs[i].why), "message: %s", e.text);
    }
}

static void made(void)
{
    struct err e = {0};
    struct buf out = {0}, again = {0};
    struct digest config;
    struct image_layer_desc l = {.size = 1024};
    struct image_manifest m;
    memset(config.b, 0x11, DIGEST_LEN);
    memset(l.diffid.b, 0x22, DIGEST_LEN);
    ok(image_manifest_make(&config, 7, &l, 1, NULL, &out, &e) == 0, "a manifest is made");
    is_str((char *)out.p,
           "{\"schemaVersion\":2,\"mediaType\":\"" OCI "\"," CONFIG
           ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"" D2
           "\",\"size\":1024}]}",
           "its bytes are what they always are");
    ok(image_manifest_make(&config, 7, &l, 1, NULL, &again, &e) == 0 && again.len == out.len, "and again");
    ok(image_manifest_parse(out.p, out.len, OCI, &m, &e) == 0, "it reads back (%s)", e.text);
    image_manifest_release(&m);
    buf_release(&out);
    buf_release(&again);
}

int main(void)
{
    manifests();
    indexes();
    configs();
    made();
    return tap_done();
}

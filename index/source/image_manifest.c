/* SPDX-License-Identifier: MIT */
/*
 * A document is refused as a whole when anything in it is out of line; only what the specifications
 * leave open (unknown members, unknown media types in an index) is passed over.
 */
#include "image_manifest.h"
#include "../json.h"
#include "../limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

enum { MANIFEST_V1 = MEDIA_LAYER + 1 };

static const struct {
    const char *type;
    int media;
} media_types[] = {
    {MEDIA_TYPE_MANIFEST, MEDIA_MANIFEST},
    {"application/vnd.docker.distribution.manifest.v2+json", MEDIA_MANIFEST},
    {MEDIA_TYPE_INDEX, MEDIA_INDEX},
    {"application/vnd.docker.distribution.manifest.list.v2+json", MEDIA_INDEX},
    {MEDIA_TYPE_CONFIG, MEDIA_CONFIG},
    {"application/vnd.docker.container.image.v1+json", MEDIA_CONFIG},
    {MEDIA_TYPE_LAYER, MEDIA_LAYER},
    {MEDIA_TYPE_LAYER "+gzip", MEDIA_LAYER},
    {MEDIA_TYPE_LAYER "+zstd", MEDIA_LAYER},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar", MEDIA_LAYER},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", MEDIA_LAYER},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", MEDIA_LAYER},
    {"application/vnd.docker.image.rootfs.diff.tar", MEDIA_LAYER},
    {"application/vnd.docker.image.rootfs.diff.tar.gzip", MEDIA_LAYER},
    {"application/vnd.docker.image.rootfs.diff.tar.zstd", MEDIA_LAYER},
    {"application/vnd.docker.image.rootfs.foreign.diff.tar", MEDIA_LAYER},
    {"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", MEDIA_LAYER},
    {"application/vnd.docker.distribution.manifest.v1+json", MANIFEST_V1},
    {"application/vnd.docker.distribution.manifest.v1+prettyjws", MANIFEST_V1},
};

static int media_number(const char *type)
{
    for (size_t i = 0; i < sizeof media_types / sizeof *media_types; i++)
        if (!strcmp(type, media_types[i].type))
            return media_types[i].media;
    return MEDIA_OTHER;
}

enum image_media image_media_of(const char *media_type)
{
    int m = media_number(media_type);
    return m > MEDIA_LAYER ? MEDIA_OTHER : (enum image_media)m;
}

const char *digest_short(const struct digest *d, char out[DIGEST_SHORT_LEN + 1])
{
    char full[DIGEST_OCI_LEN + 1];
    digest_oci(d, full);
    snprintf(out, DIGEST_SHORT_LEN + 1, "%.19s\xe2\x80\xa6", full);
    return out;
}

/* --- platforms --- */

void image_platform_release(struct image_platform *p)
{
    free(p->os);
    free(p->arch);
    free(p->variant);
    *p = (struct image_platform){0};
}

/* Go's names for what uname and people call otherwise. */
static const struct {
    const char *from, *arch, *variant;
} arch_names[] = {
    {"x86_64", "amd64", NULL},  {"x86-64", "amd64", NULL},
    {"aarch64", "arm64", NULL}, {"armv8l", "arm", "v7"},
    {"armv7l", "arm", "v7"},    {"armhf", "arm", "v7"},
    {"armv6l", "arm", "v6"},    {"armv5tel", "arm", "v5"},
    {"armel", "arm", "v5"},     {"i386", "386", NULL},
    {"i486", "386", NULL},      {"i586", "386", NULL},
    {"i686", "386", NULL},      {"loongarch64", "loong64", NULL},
};

/* The variant that an absent one stands for. */
static const char *default_variant(const char *arch)
{
    return !strcmp(arch, "arm64") ? "v8" : !strcmp(arch, "arm") ? "v7" : !strcmp(arch, "amd64") ? "v1" : "";
}

static bool platform_word(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'A' && s[i] <= 'Z') ||
              s[i] == '_' || s[i] == '-' || s[i] == '.'))
            return false;
    return len > 0;
}

static int set_platform(const char *os, size_t os_len, const char *arch, size_t arch_len, const char *variant,
                        struct image_platform *ret, struct err *e)
{
    struct image_platform p = {.os = strndup(os, os_len)};
    for (size_t i = 0; i < sizeof arch_names / sizeof *arch_names; i++)
        if (strlen(arch_names[i].from) == arch_len && !memcmp(arch_names[i].from, arch, arch_len)) {
            arch = arch_names[i].arch;
            arch_len = strlen(arch);
            if (!variant)
                variant = arch_names[i].variant;
            break;
        }
    p.arch = strndup(arch, arch_len);
    p.variant = variant ? strdup(variant) : NULL;
    if (!p.os || !p.arch || (variant && !p.variant)) {
        image_platform_release(&p);
        return err_nomem(e);
    }
    *ret = p;
    return 0;
}

int image_platform_parse(const char *s, struct image_platform *ret, struct err *e)
{
    struct utsname u;
    if (!s) {
        if (uname(&u) < 0)
            return err_set(e, ERR_SYSTEM, "uname failed");
        return set_platform("linux", 5, u.machine, strlen(u.machine), NULL, ret, e);
    }
    const char *slash = strchr(s, '/');
    const char *second = slash ? strchr(slash + 1, '/') : NULL;
    size_t arch_len = !slash ? 0 : second ? (size_t)(second - slash - 1) : strlen(slash + 1);
    if (!slash || !platform_word(s, (size_t)(slash - s)) || !platform_word(slash + 1, arch_len) ||
        (second && !platform_word(second + 1, strlen(second + 1))))
        return err_set(e, ERR_USAGE,
                       "platform \"%s\": write it as os/architecture or os/architecture/variant, such as linux/amd64",
                       s);
    return set_platform(s, (size_t)(slash - s), slash + 1, arch_len, second ? second + 1 : NULL, ret, e);
}

/* 0: doesn't fit; more is better. */
static int platform_fit(const struct image_platform *have, const struct image_platform *want)
{
    if (!have->os || !have->arch || strcmp(have->os, want->os) != 0 || strcmp(have->arch, want->arch) != 0)
        return 0;
    const char *dflt = default_variant(want->arch);
    const char *h = have->variant ? have->variant : dflt;
    if (!strcmp(h, want->variant ? want->variant : dflt))
        return 3;
    if (want->variant)
        return 0;
    /* A machine runs what older ones run: the lower variant is the safe one. */
    return strcmp(h, dflt) < 0 ? 2 : 1;
}

int image_index_select(const struct image_descriptor *const *v, size_t n, const struct image_platform *want,
                       size_t *ret, struct err *e)
{
    int best = 0;
    size_t at = 0, open = 0, open_at = 0;
    for (size_t i = 0; i < n; i++) {
        if (v[i]->artifact)
            continue;
        int fit = platform_fit(&v[i]->platform, want);
        if (fit > best) {
            best = fit;
            at = i;
        }
        if (!v[i]->platform.os && !v[i]->platform.arch) {
            open++;
            open_at = i;
        }
    }
    if (best || open == 1) {
        *ret = best ? at : open_at;
        return 0;
    }
    struct buf have = {0};
    for (size_t i = 0; i < n; i++) {
        const struct image_platform *p = &v[i]->platform;
        if (p->os && p->arch && !v[i]->artifact)
            buf_printf(&have, "%s%s/%s%s%s", have.len ? ", " : "", p->os, p->arch, p->variant ? "/" : "",
                       p->variant ? p->variant : "");
    }
    if (open > 1)
        err_set(e, ERR_NOT_FOUND, "%zu images that don't say their platform: can't choose one", open);
    else
        err_set(e, ERR_NOT_FOUND, "no image for %s/%s%s%s; there is: %s (choose with --platform)", want->os, want->arch,
                want->variant ? "/" : "", want->variant ? want->variant : "", have.len ? (char *)have.p : "none");
    buf_release(&have);
    return -1;
}

/* --- descriptors --- */

static void descriptor_release(struct image_descriptor *d)
{
    free(d->media_type);
    free(d->ref_name);
    free(d->image_name);
    image_platform_release(&d->platform);
    *d = (struct image_descriptor){0};
}

/* A string member, copied; absent and null give NULL; another type is refused. */
static int get_string(const struct json *obj, const char *key, char **ret, struct err *e)
{
    const struct json *j = json_get(obj, key);
    enum json_type t = json_type(j);
    *ret = NULL;
    if (t == JSON_ABSENT || t == JSON_NULL)
        return 0;
    if (t != JSON_STRING)
        return err_set(e, ERR_INPUT, "\"%s\" is not a string", key);
    *ret = strdup(json_str(j));
    return *ret ? 0 : err_nomem(e);
}

static int get_digest(const struct json *obj, struct digest *ret, struct err *e)
{
    const char *s = json_str(json_get(obj, "digest"));
    if (!s)
        return err_set(e, ERR_INPUT, "no digest");
    if (digest_parse_oci(s, strlen(s), ret) < 0)
        return err_set(e, ERR_INPUT, "digest \"%.100s\" is not sha256: and 64 lower-case hex digits", s);
    return 0;
}

static int get_platform(const struct json *obj, struct image_platform *ret, struct err *e)
{
    if (get_string(obj, "os", &ret->os, e) < 0 || get_string(obj, "architecture", &ret->arch, e) < 0 ||
        get_string(obj, "variant", &ret->variant, e) < 0)
        return -1;
    if (ret->variant && !ret->variant[0]) {
        free(ret->variant);
        ret->variant = NULL;
    }
    return 0;
}

/* Attestations are listed like images, for a platform that nobody has. */
static bool is_artifact(const struct json *obj, const struct image_descriptor *d)
{
    const struct json *notes = json_get(obj, "annotations");
    return json_str(json_get(obj, "artifactType")) || json_str(json_get(notes, "vnd.docker.reference.type")) ||
           (d->platform.os && !strcmp(d->platform.os, "unknown"));
}

static int parse_descriptor(const struct json *obj, struct image_descriptor *d, struct err *e)
{
    int64_t size;
    if (json_type(obj) != JSON_OBJECT)
        return err_set(e, ERR_INPUT, "not an object");
    if (get_string(obj, "mediaType", &d->media_type, e) < 0)
        return -1;
    if (!d->media_type)
        return err_set(e, ERR_INPUT, "no mediaType");
    if (get_digest(obj, &d->digest, e) < 0)
        return -1;
    if (!json_int(json_get(obj, "size"), &size) || size < 0)
        return err_set(e, ERR_INPUT, "size is not a number of bytes");
    d->size = (uint64_t)size;
    d->media = image_media_of(d->media_type);
    d->foreign = json_count(json_get(obj, "urls")) > 0;
    const struct json *notes = json_get(obj, "annotations");
    if (get_string(notes, "org.opencontainers.image.ref.name", &d->ref_name, e) < 0 ||
        get_string(notes, "io.containerd.image.name", &d->image_name, e) < 0 ||
        get_platform(json_get(obj, "platform"), &d->platform, e) < 0)
        return -1;
    d->artifact = is_artifact(obj, d);
    return 0;
}

/* --- documents --- */

/* What every document is checked for: one kind of content, and the media type it was announced with. */
static int check_document(const struct json *doc, const char *expected, const char *what, char **ret_type,
                          struct err *e)
{
    int64_t version;
    char *type;
    if (json_type(doc) != JSON_OBJECT)
        return err_set(e, ERR_INPUT, "%s is not a JSON object", what);
    if (get_string(doc, "mediaType", &type, e) < 0)
        return err_wrap(e, "%s", what);
    const char *said = type ? type : expected;
    if ((json_int(json_get(doc, "schemaVersion"), &version) && version == 1) ||
        (said && media_number(said) == MANIFEST_V1))
        err_set(e, ERR_UNSUPPORTED, "%s has docker's schema 1, given up in 2017: convert the image first", what);
    else if (json_get(doc, "manifests") && (json_get(doc, "layers") || json_get(doc, "config")))
        err_set(e, ERR_INPUT, "%s has both manifests and layers: it means different things to different readers", what);
    else if (json_get(doc, "fsLayers"))
        err_set(e, ERR_INPUT, "%s mixes schema 1 and schema 2", what);
    else if (!json_int(json_get(doc, "schemaVersion"), &version) || version != 2)
        err_set(e, ERR_INPUT, "%s: schemaVersion is not 2", what);
    else if (type && expected && strcmp(type, expected) != 0)
        err_set(e, ERR_INPUT, "%s says it is \"%.100s\", its descriptor says \"%.100s\"", what, type, expected);
    else {
        *ret_type = type;
        return 0;
    }
    free(type);
    return -1;
}

void image_manifest_release(struct image_manifest *m)
{
    descriptor_release(&m->config);
    for (size_t i = 0; i < m->layer_count; i++)
        descriptor_release(&m->layers[i]);
    free(m->layers);
    free(m->media_type);
    *m = (struct image_manifest){0};
}

static int fill_manifest(const struct json *doc, struct image_manifest *m, struct err *e)
{
    const struct json *layers = json_get(doc, "layers");
    size_t n = json_count(layers);
    if (m->media_type && image_media_of(m->media_type) != MEDIA_MANIFEST)
        return err_set(e, ERR_UNSUPPORTED, "manifest: media type \"%.100s\" is not an image manifest", m->media_type);
    if (json_type(layers) != JSON_ARRAY)
        return err_set(e, ERR_INPUT, "manifest has no layers");
    if (parse_descriptor(json_get(doc, "config"), &m->config, e) < 0)
        return err_wrap(e, "manifest: config");
    if (m->config.media != MEDIA_CONFIG)
        return err_set(e, ERR_UNSUPPORTED, "not an image but an artifact: its config is \"%.100s\"",
                       m->config.media_type);
    m->layers = calloc(n ? n : 1, sizeof *m->layers);
    if (!m->layers)
        return err_nomem(e);
    for (; m->layer_count < n; m->layer_count++) {
        struct image_descriptor *d = &m->layers[m->layer_count];
        if (parse_descriptor(json_at(layers, m->layer_count), d, e) < 0) {
            descriptor_release(d);
            return err_wrap(e, "manifest: layer %zu", m->layer_count + 1);
        }
        if (d->media != MEDIA_LAYER) {
            err_set(e, ERR_UNSUPPORTED, "manifest: layer %zu: media type \"%.100s\" is none that Cairn knows",
                    m->layer_count + 1, d->media_type);
            descriptor_release(d);
            return -1;
        }
    }
    return 0;
}

int image_manifest_parse(const void *p, size_t n, const char *expected, struct image_manifest *ret, struct err *e)
{
    struct json *doc;
    struct image_manifest m = {0};
    if (json_parse(p, n, LIMIT_JSON_DOC, "manifest", &doc, e) < 0)
        return -1;
    int r = check_document(doc, expected, "manifest", &m.media_type, e);
    if (r == 0)
        r = fill_manifest(doc, &m, e);
    json_unref(doc);
    if (r < 0)
        image_manifest_release(&m);
    else
        *ret = m;
    return r;
}

void image_index_release(struct image_index *x)
{
    for (size_t i = 0; i < x->n; i++)
        descriptor_release(&x->v[i]);
    free(x->v);
    *x = (struct image_index){0};
}

static int fill_index(struct json *doc, const char *what, struct image_index *x, struct err *e)
{
    struct json *list = json_get(doc, "manifests");
    size_t n = json_count(list);
    if (json_type(list) != JSON_ARRAY)
        return err_set(e, ERR_INPUT, "%s has no manifests", what);
    x->v = calloc(n ? n : 1, sizeof *x->v);
    if (!x->v)
        return err_nomem(e);
    for (size_t i = 0; i < n; i++) {
        struct json *obj = json_at(list, i);
        struct image_descriptor *d = &x->v[x->n];
        const char *type = json_str(json_get(obj, "mediaType"));
        /* What isn't known may be anything, digests of other algorithms included. */
        if (type && media_number(type) != MANIFEST_V1 && image_media_of(type) != MEDIA_MANIFEST &&
            image_media_of(type) != MEDIA_INDEX)
            continue;
        if (parse_descriptor(obj, d, e) < 0) {
            descriptor_release(d);
            return err_wrap(e, "%s: entry %zu", what, i + 1);
        }
        if (d->media == MEDIA_OTHER) {
            descriptor_release(d);
            return err_set(e, ERR_UNSUPPORTED,
                           "%s: entry %zu has docker's schema 1, given up in 2017: convert the image first", what,
                           i + 1);
        }
        x->n++;
    }
    return 0;
}

int image_index_parse(const void *p, size_t n, const char *expected, const char *what, struct image_index *ret,
                      struct err *e)
{
    struct json *doc;
    struct image_index x = {0};
    char *type = NULL;
    if (json_parse(p, n, LIMIT_JSON_DOC, what, &doc, e) < 0)
        return -1;
    int r = check_document(doc, expected, what, &type, e);
    if (r == 0 && type && image_media_of(type) != MEDIA_INDEX)
        r = err_set(e, ERR_INPUT, "%s: media type \"%.100s\" is not an image index", what, type);
    if (r == 0)
        r = fill_index(doc, what, &x, e);
    free(type);
    json_unref(doc);
    if (r < 0)
        image_index_release(&x);
    else
        *ret = x;
    return r;
}

void image_rootfs_release(struct image_rootfs *r)
{
    free(r->diffids);
    image_platform_release(&r->platform);
    *r = (struct image_rootfs){0};
}

static int fill_rootfs(const struct json *doc, struct image_rootfs *r, struct err *e)
{
    const struct json *rootfs = json_get(doc, "rootfs");
    struct json *ids = json_get(rootfs, "diff_ids");
    const char *type = json_str(json_get(rootfs, "type"));
    size_t n = json_count(ids);
    if (json_type(doc) != JSON_OBJECT)
        return err_set(e, ERR_INPUT, "config is not a JSON object");
    if (!type || strcmp(type, "layers") != 0)
        return err_set(e, ERR_INPUT, "config: rootfs.type is not \"layers\"");
    if (json_type(ids) != JSON_ARRAY && json_type(ids) != JSON_NULL && json_type(ids) != JSON_ABSENT)
        return err_set(e, ERR_INPUT, "config: rootfs.diff_ids is not a list");
    r->diffids = calloc(n ? n : 1, sizeof *r->diffids);
    if (!r->diffids)
        return err_nomem(e);
    for (; r->n < n; r->n++) {
        const char *s = json_str(json_at(ids, r->n));
        if (!s || digest_parse_oci(s, strlen(s), &r->diffids[r->n]) < 0)
            return err_set(e, ERR_INPUT, "config: diffID %zu is not sha256: and 64 lower-case hex digits", r->n + 1);
    }
    return get_platform(doc, &r->platform, e) < 0 ? err_wrap(e, "config") : 0;
}

int image_rootfs_parse(const void *config, size_t n, struct image_rootfs *ret, struct err *e)
{
    struct json *doc;
    struct image_rootfs r = {0};
    if (json_parse(config, n, LIMIT_JSON_DOC, "config", &doc, e) < 0)
        return -1;
    int rc = fill_rootfs(doc, &r, e);
    json_unref(doc);
    if (rc < 0)
        image_rootfs_release(&r);
    else
        *ret = r;
    return rc;
}

static struct json *make_descriptor(const char *media_type, const struct digest *d, uint64_t size)
{
    char oci[DIGEST_OCI_LEN + 1];
    struct json *j = json_new_object();
    digest_oci(d, oci);
    if (json_set(j, "mediaType", json_new_str(media_type)) | json_set(j, "digest", json_new_str(oci)) |
        json_set(j, "size", json_new_int((int64_t)size))) {
        json_unref(j);
        return NULL;
    }
    return j;
}

int image_manifest_make(const struct digest *config, uint64_t config_size, const struct image_layer_desc *layers,
                        size_t n, struct json *annotations, struct buf *out, struct err *e)
{
    struct json *doc = json_new_object(), *list = json_new_array();
    int r = 0;
    for (size_t i = 0; i < n; i++)
        r |= json_add(list, make_descriptor(MEDIA_TYPE_LAYER, &layers[i].diffid, layers[i].size));
    r |= json_set(doc, "schemaVersion", json_new_int(2));
    r |= json_set(doc, "mediaType", json_new_str(MEDIA_TYPE_MANIFEST));
    r |= json_set(doc, "config", make_descriptor(MEDIA_TYPE_CONFIG, config, config_size));
    r |= json_set(doc, "layers", list);
    if (annotations)
        r |= json_set(doc, "annotations", json_ref(annotations));
    if (r == 0)
        r = json_dump(doc, 0, out);
    json_unref(doc);
    return r < 0 ? err_nomem(e) : 0;
}

/* SPDX-License-Identifier: MIT */
/* cairn info */
#include "../index/limits.h"
#include "../index/reader.h"
#include "../index/source/image.h"
#include "command.h"
#include "object.h"
#include "out.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct names {
    const struct digest *manifest;
    struct json *list;
};

static int see_name(const struct cat_name *n, void *ctx)
{
    struct names *v = ctx;
    char text[600];
    if (!n->tag || !digest_eq(&n->manifest, v->manifest))
        return 0;
    snprintf(text, sizeof text, "%s:%s", n->repo, n->tag);
    return json_add(v->list, json_new_str(text));
}

static struct json *oci_str(const struct digest *d)
{
    char oci[DIGEST_OCI_LEN + 1];
    digest_oci(d, oci);
    return digest_is_zero(d) ? json_new_null() : json_new_str(oci);
}

static struct json *strings(char *const *v)
{
    struct json *a = json_new_array();
    int rc = 0;
    for (size_t i = 0; v && v[i]; i++)
        rc |= json_add(a, json_new_str(v[i]));
    if (rc) {
        json_unref(a);
        return NULL;
    }
    return a;
}

static int image_info(struct store *s, const struct object *o, struct json *j, struct err *e)
{
    struct names names = {&o->image.manifest, json_new_array()};
    struct json *layers = json_new_array(), *config = NULL;
    struct buf b = {0};
    int rc = 0;
    if (catalog_each_name(store_catalog(s), see_name, &names, e) < 0)
        return -1;
    for (uint32_t i = 0; i < o->image.layer_count; i++) {
        struct json *x = json_new_object();
        rc |= json_set(x, "diffid", oci_str(&o->image.layers[i])) | json_set(x, "blob", oci_str(&o->image.blobs[i])) |
              json_add(layers, x);
    }
    rc |= json_set(j, "names", names.list) | json_set(j, "manifest", oci_str(&o->image.manifest)) |
          json_set(j, "config_digest", oci_str(&o->image.config)) | json_set(j, "layers", layers);
    if (rc)
        return err_nomem(e);
    if (reader_get(store_reader(s), &o->image.config, LIMIT_JSON_DOC, &b, e) < 0)
        return -1;
    rc = json_parse(b.p, b.len, LIMIT_JSON_DOC, "config", &config, e);
    buf_release(&b);
    return rc < 0 ? -1 : json_set(j, "config", config) < 0 ? err_nomem(e) : 0;
}

static int package_info(const struct cat_package *p, struct json *j, struct err *e)
{
    char path[600], nar[80] = "sha256:";
    snprintf(path, sizeof path, "%s/%s", p->dir, p->name);
    nix32_encode(p->narhash.b, DIGEST_LEN, nar + 7);
    int rc = json_set(j, "path", json_new_str(path)) | json_set(j, "nar_hash", json_new_str(nar)) |
             json_set(j, "nar_size", json_new_int((int64_t)p->narsize)) | json_set(j, "references", strings(p->refs)) |
             json_set(j, "deriver", json_new_str(p->deriver)) | json_set(j, "ca", json_new_str(p->ca)) |
             json_set(j, "signatures", strings(p->sigs)) | json_set(j, "trusted", json_new_bool(p->trusted));
    return rc ? err_nomem(e) : 0;
}

static int layer_info(const struct cat_layer *l, struct json *j, struct err *e)
{
    int rc = json_set(j, "diffid", oci_str(&l->diffid)) | json_set(j, "tar_size", json_new_int((int64_t)l->size)) |
             json_set(j, "entries", json_new_int(l->entries));
    return rc ? err_nomem(e) : 0;
}

/* The same document for people: "key: value", lists one item a line, objects indented. */
static void print_value(const struct json *v, int indent)
{
    void *it = NULL;
    const char *key;
    struct json *member;
    int64_t n;
    switch (json_type(v)) {
    case JSON_OBJECT:
        putchar('\n');
        while (json_next(v, &it, &key, &member)) {
            printf("%*s", indent, "");
            out_name(key, strlen(key));
            putchar(':');
            print_value(member, indent + 2);
        }
        break;
    case JSON_ARRAY:
        if (json_count(v) == 0)
            puts(" none");
        else
            putchar('\n');
        for (size_t i = 0; i < json_count(v); i++) {
            printf("%*s-", indent, "");
            print_value(json_at(v, i), indent + 2);
        }
        break;
    case JSON_STRING:
        putchar(' ');
        out_name(json_str(v), strlen(json_str(v)));
        putchar('\n');
        break;
    case JSON_INT:
        json_int(v, &n);
        printf(" %" PRId64 "\n", n);
        break;
    case JSON_BOOL:
        puts(json_bool(v, false) ? " yes" : " no");
        break;
    default:
        puts(" -");
    }
}

static int show(struct store *s, const struct invocation *in, const struct object *o, struct err *e)
{
    static const char *const types[] = {"image", "layer", "package"};
    char when[32];
    struct json *j = json_new_object();
    int64_t time = o->type == OBJECT_IMAGE ? o->image.time : o->type == OBJECT_LAYER ? o->layer.time : o->package.time;
    rfc3339(time, when);
    int rc = json_set(j, "type", json_new_str(types[o->type])) < 0 || json_set(j, "imported", json_new_str(when)) < 0
                 ? err_nomem(e)
                 : 0;
    if (rc == 0)
        rc = o->type == OBJECT_IMAGE   ? image_info(s, o, j, e)
             : o->type == OBJECT_LAYER ? layer_info(&o->layer, j, e)
                                       : package_info(&o->package, j, e);
    if (rc == 0 && in->json)
        return out_json(j, e);
    if (rc == 0) {
        void *it = NULL;
        const char *key;
        struct json *v;
        while (json_next(j, &it, &key, &v)) {
            printf("%s:", key);
            print_value(v, 2);
        }
    }
    json_unref(j);
    return rc;
}

static int run(struct invocation *in, struct err *e)
{
    struct store *s;
    struct object o;
    int rc = 0;
    if (tool_store(in, 0, &s, e) < 0)
        return -1;
    for (int i = 0; rc == 0 && i < in->arg_count; i++) {
        rc = object_find(s, in->args[i], &o, e);
        if (rc == 0) {
            rc = show(s, in, &o, e);
            object_release(&o);
        }
    }
    store_close(s);
    return rc < 0 ? -1 : EXIT_DONE;
}

const struct command cmd_info = {
    .name = "info",
    .args = "OBJECT…",
    .summary = "show all that is known of an image, layer or package",
    .text = "OBJECT is an image (deb:nginx), a digest or the beginning of one, a store path, or the beginning of a "
            "package's name.",
    .examples = "cairn info deb:nginx\ncairn info --json nginx",
    .min_args = 1,
    .max_args = -1,
    .run = run,
};

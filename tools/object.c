/* SPDX-License-Identifier: MIT */
#include "object.h"

#include "../index/source/imageref.h"
#include "../index/source/storepath.h"
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_PREFIX = 4 };

int tool_store(const struct invocation *in, int flags, struct store **ret, struct err *e)
{
    if (store_open(in->store, flags, ret, e) == 0)
        return 0;
    /* A store on a medium that can't be written can be looked at all the same. */
    if (flags || e->kind != ERR_SYSTEM || (e->errnum != EROFS && e->errnum != EACCES))
        return -1;
    struct err ignored = {0};
    return store_open(in->store, STORE_READONLY, ret, &ignored);
}

void object_release(struct object *o)
{
    if (o->type == OBJECT_IMAGE)
        cat_image_release(&o->image);
    else if (o->type == OBJECT_PACKAGE)
        cat_package_release(&o->package);
    cat_name_release(&o->name);
}

void object_title(const struct object *o, char out[512])
{
    char oci[DIGEST_OCI_LEN + 1];
    if (o->type == OBJECT_PACKAGE) {
        snprintf(out, 512, "%s/%s", o->package.dir, o->package.name);
        return;
    }
    digest_oci(o->type == OBJECT_LAYER ? &o->layer.diffid : &o->image.manifest, oci);
    if (o->type == OBJECT_IMAGE && o->name.repo)
        snprintf(out, 512, "%s%c%s", o->name.repo, o->name.tag ? ':' : '@', o->name.tag ? o->name.tag : oci);
    else
        snprintf(out, 512, "%s", oci);
}

/* 0 found, 1 not there, -1 error. */
static int missing(int rc, struct err *e)
{
    if (rc < 0 && e->kind == ERR_NOT_FOUND) {
        err_clear(e);
        return 1;
    }
    return rc;
}

static int find_image(struct catalog *c, const struct digest *manifest, struct object *ret, struct err *e)
{
    int rc = missing(catalog_image(c, manifest, &ret->image, e), e);
    ret->type = OBJECT_IMAGE;
    ret->no = ret->image.no;
    return rc;
}

static int find_package(struct catalog *c, const char *base, struct object *ret, struct err *e)
{
    int rc = missing(catalog_package(c, base, &ret->package, e), e);
    ret->type = OBJECT_PACKAGE;
    ret->no = ret->package.no;
    return rc;
}

static int find_digest(struct catalog *c, const struct digest *d, struct object *ret, struct err *e)
{
    struct digest diffid;
    int rc = find_image(c, d, ret, e);
    if (rc == 1) {
        rc = missing(catalog_layer(c, d, &ret->layer, e), e);
        if (rc == 1 && (rc = missing(catalog_blob(c, d, &diffid, e), e)) == 0)
            rc = missing(catalog_layer(c, &diffid, &ret->layer, e), e);
        ret->type = OBJECT_LAYER;
        ret->no = ret->layer.no;
    }
    return rc;
}

static int find_name(struct catalog *c, const char *text, struct object *ret, struct err *e)
{
    struct image_ref r = {0};
    if (image_ref_parse(text, &r, e) < 0) {
        err_clear(e); /* not the form of a reference: it may be something else */
        return 1;
    }
    int rc = missing(catalog_name(c, r.repo,
                                  r.has_digest ? NULL
                                  : r.tag      ? r.tag
                                               : "latest",
                                  r.has_digest ? &r.digest : NULL, &ret->name, e),
                     e);
    image_ref_release(&r);
    if (rc == 0 && (rc = find_image(c, &ret->name.manifest, ret, e)) == 1)
        return err_set(e, ERR_DAMAGED, "the image of '%s' isn't in the catalog; `cairn rebuild` makes it anew", text);
    return rc;
}

/* --- unique beginnings --- */

struct search {
    const char *text;
    size_t len;
    bool hex;
    struct digest manifest, diffid;
    char package[256];
    int exact; /* packages whose name without version is the text */
    int found;
    char list[600]; /* candidates, for the message */
};

static void candidate(struct search *s, const char *what)
{
    size_t n = strlen(s->list);
    if (s->found++ < 6)
        snprintf(s->list + n, sizeof s->list - n, "%s%s", n ? ", " : "", what);
}

static bool hex_match(const struct search *s, const struct digest *d, char oci[DIGEST_OCI_LEN + 1])
{
    digest_oci(d, oci);
    return s->hex && !strncmp(oci + 7, s->text, s->len);
}

static int see_image(const struct cat_image *im, void *ctx)
{
    struct search *s = ctx;
    char oci[DIGEST_OCI_LEN + 1];
    if (hex_match(s, &im->manifest, oci) || hex_match(s, &im->config, oci)) {
        s->manifest = im->manifest;
        candidate(s, oci);
    }
    return 0;
}

static int see_layer(const struct cat_layer *l, void *ctx)
{
    struct search *s = ctx;
    char oci[DIGEST_OCI_LEN + 1];
    if (hex_match(s, &l->diffid, oci)) {
        s->diffid = l->diffid;
        candidate(s, oci);
    }
    return 0;
}

static int see_package(const struct cat_package *p, void *ctx)
{
    struct search *s = ctx;
    const char *name = strlen(p->name) > STOREPATH_HASH_LEN ? p->name + STOREPATH_HASH_LEN + 1 : p->name;
    bool begins = !strncmp(name, s->text, s->len);
    /* Nix's rule: the version begins at the first dash that no letter follows. */
    bool exact =
        begins && (!name[s->len] || (name[s->len] == '-' && name[s->len + 1] >= '0' && name[s->len + 1] <= '9'));
    if (!begins && strncmp(p->name, s->text, s->len) != 0)
        return 0;
    if (exact && !s->exact) { /* better than all beginnings so far */
        s->found = 0;
        s->list[0] = '\0';
    }
    if (exact || !s->exact) {
        snprintf(s->package, sizeof s->package, "%s", p->name);
        candidate(s, p->name);
    }
    s->exact += exact;
    return 0;
}

static int find_prefix(struct catalog *c, const char *text, struct object *ret, struct err *e)
{
    struct search s = {.text = text, .len = strlen(text)};
    s.hex = s.len >= MIN_PREFIX && s.len <= DIGEST_HEX_LEN && strspn(text, "0123456789abcdef") == s.len;
    if (s.len == 0 || strchr(text, '/') || strchr(text, ':'))
        return 1;
    if (catalog_each_package(c, see_package, &s, e) < 0)
        return -1;
    int packages = s.found;
    if (s.hex && (catalog_each_image(c, see_image, &s, e) < 0 || catalog_each_layer(c, see_layer, &s, e) < 0))
        return -1;
    if (s.found == 0)
        return 1;
    if (s.found > 1)
        return err_set(e, ERR_USAGE, "'%s' could be %s%s: write more of it", text, s.list, s.found > 6 ? ", …" : "");
    if (packages)
        return find_package(c, s.package, ret, e);
    return find_digest(c, digest_is_zero(&s.manifest) ? &s.diffid : &s.manifest, ret, e);
}

static int find(struct store *st, const char *text, struct object *ret, struct err *e)
{
    struct catalog *c = store_catalog(st);
    struct digest d;
    const char *base = strrchr(text, '/');
    *ret = (struct object){0};
    if (text[0] == '/')
        return base[1] ? find_package(c, base + 1, ret, e) : 1;
    if (digest_parse_oci(text, strlen(text), &d) == 0 || digest_parse_hex(text, strlen(text), &d) == 0)
        return find_digest(c, &d, ret, e);
    int rc = find_name(c, text, ret, e);
    if (rc == 1)
        rc = base ? 1 : find_package(c, text, ret, e);
    if (rc == 1)
        rc = find_prefix(c, !strncmp(text, "sha256:", 7) ? text + 7 : text, ret, e);
    return rc;
}

static int no_such(const char *text, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "no image, layer or package '%s' in the store (cairn images, cairn packages)",
                   text);
}

int object_find(struct store *s, const char *text, struct object *ret, struct err *e)
{
    int rc = find(s, text, ret, e);
    return rc == 1 ? no_such(text, e) : rc;
}

int object_find_path(struct store *s, const char *text, struct object *ret, const char **ret_path, struct err *e)
{
    char *copy = strdup(text);
    if (!copy)
        return err_nomem(e);
    size_t n = strlen(text);
    int rc = find(s, copy, ret, e);
    *ret_path = "";
    while (rc == 1 && n > 0) {
        while (n > 0 && copy[n - 1] != ':')
            n--;
        if (n == 0)
            break;
        copy[--n] = '\0';
        rc = find(s, copy, ret, e);
        *ret_path = text + n + 1;
    }
    free(copy);
    return rc == 1 ? no_such(text, e) : rc;
}

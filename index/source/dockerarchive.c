/* SPDX-License-Identifier: MIT */
/*
 * Both forms come down to the same: paths of layers, a config, names. Layers are told by diffID, since their members
 * may be called anything; a member that is called after its digest must have it.
 */
#include "dockerarchive.h"
#include "../json.h"
#include "../limits.h"

#include <stdlib.h>
#include <stdio.h>

bool dockerarchive_is(const struct blobtar *t)
{
    struct blobtar_member m;
    struct err e = {0};
    return blobtar_find(t, "manifest.json", &m, &e) == 0 || blobtar_find(t, "repositories", &m, &e) == 0;
}

struct opening {
    const struct blobtar *t;
    const char *path;
};

static int open_layer(void *ctx, struct stream **ret, uint64_t *ret_size, struct err *e)
{
    struct opening *o = ctx;
    struct blobtar_member m;
    if (blobtar_find(o->t, o->path, &m, e) < 0)
        return -1;
    *ret_size = m.size;
    return blobtar_stream(o->t, &m, ret, e);
}

static int get_json(const struct blobtar *t, const char *name, struct json **ret, struct err *e)
{
    struct buf b = {0};
    int r = blobtar_get(t, name, LIMIT_JSON_DOC, &b, e);
    if (r == 0)
        r = json_parse(b.p, b.len, LIMIT_JSON_DOC, name, ret, e);
    buf_release(&b);
    return r;
}

/* Gives an image that was bound under `first` its further names. */
static int add_name(struct image_importer *im, const struct digest *manifest, const char *own,
                    const struct image_wanted *w, bool image_new, struct image_results *results, struct err *e)
{
    struct image_ref name;
    bool fresh = false;
    if (image_ref_choose(w->name, own, NULL, w->folder, &name, e) < 0)
        return -1;
    int r = image_name_add(im, manifest, name.repo, name.tag, &fresh, e);
    if (r == 0)
        r = image_results_add(results, name.repo, name.tag, manifest, image_new || fresh, e);
    image_ref_release(&name);
    return r;
}

/* Binds the layers that were added, under all wanted names among tags (an array of strings, or NULL). */
static int bind(struct image_importer *im, const void *config, size_t n, const struct json *tags,
                const struct image_wanted *w, struct image_results *results, struct err *e)
{
    struct image_ref name;
    struct digest manifest;
    bool is_new, bound = false;
    size_t count = json_count(tags);
    for (size_t i = 0; i < (count ? count : 1); i++) {
        const char *own = json_str(json_at(tags, i));
        if (w->tag && own && !image_ref_matches(own, w->tag))
            continue;
        if (bound && w->name)
            break; /* one name is enough */
        if (bound) {
            if (add_name(im, &manifest, own, w, is_new, results, e) < 0)
                return -1;
            continue;
        }
        if (image_ref_choose(w->name, own, NULL, w->folder, &name, e) < 0)
            return -1;
        int r = image_bind(im, config, n, name.repo, name.tag, &manifest, &is_new, e);
        if (r == 0)
            r = image_results_add(results, name.repo, name.tag, &manifest, is_new, e);
        image_ref_release(&name);
        if (r < 0)
            return -1;
        bound = true;
    }
    return 0;
}

/* --- manifest.json --- */

/* The digest that a member's name claims: the last part of the path, if it is hex, with or without "sha256:" and
 * extension. */
static bool named_digest(const char *path, struct digest *ret)
{
    const char *slash = strrchr(path, '/'), *p = slash ? slash + 1 : path;
    if (!strncmp(p, "sha256:", 7))
        p += 7;
    size_t n = strcspn(p, ".");
    return digest_parse_hex(p, n, ret) == 0;
}

static int get_config(const struct blobtar *t, const char *path, struct buf *config, struct err *e)
{
    char got[DIGEST_SHORT_LEN + 1];
    struct digest want, real;
    if (blobtar_get(t, path, LIMIT_JSON_DOC, config, e) < 0)
        return err_wrap(e, "config");
    sha256_of(config->p, config->len, &real);
    if (named_digest(path, &want) && !digest_eq(&want, &real))
        return err_set(e, ERR_INPUT, "config (%s): digest mismatch, got %s", path, digest_short(&real, got));
    return 0;
}

static int import_entry(const struct blobtar *t, const struct json *entry, struct image_importer *im,
                        const struct image_wanted *w, struct image_results *results, struct err *e)
{
    struct buf config = {0};
    struct image_rootfs rootfs = {0};
    const struct json *layers = json_get(entry, "Layers");
    const char *path = json_str(json_get(entry, "Config"));
    if (!path)
        return err_set(e, ERR_INPUT, "manifest.json: an image without Config");
    int r = get_config(t, path, &config, e);
    if (r == 0)
        r = image_rootfs_parse(config.p, config.len, &rootfs, e);
    if (r == 0 && json_count(layers) != rootfs.n)
        r = err_set(e, ERR_INPUT, "manifest.json has %zu layers, the config %zu diffIDs", json_count(layers), rootfs.n);
    for (size_t i = 0; r == 0 && i < rootfs.n; i++) {
        struct opening o = {t, json_str(json_at(layers, i))};
        if (!o.path)
            r = err_set(e, ERR_INPUT, "manifest.json: layer %zu is not a string", i + 1);
        else
            r = image_add_layer(im, &rootfs.diffids[i], open_layer, &o, NULL, e);
    }
    if (r == 0)
        r = bind(im, config.p, config.len, json_get(entry, "RepoTags"), w, results, e);
    image_rootfs_release(&rootfs);
    buf_release(&config);
    return r;
}

static bool wanted(const struct json *entry, const char *tag)
{
    const struct json *tags = json_get(entry, "RepoTags");
    for (size_t i = 0; tag && i < json_count(tags); i++)
        if (image_ref_matches(json_str(json_at(tags, i)), tag))
            return true;
    return !tag;
}

static void list_names(const struct json *doc, char *out, size_t cap)
{
    size_t len = 0;
    out[0] = 0;
    for (size_t i = 0; i < json_count(doc) && len < cap; i++) {
        const struct json *tags = json_get(json_at(doc, i), "RepoTags");
        size_t n = json_count(tags);
        for (size_t k = 0; k < (n ? n : 1) && len < cap; k++) {
            const char *name = json_str(json_at(tags, k));
            len += (size_t)snprintf(out + len, cap - len, "%s%.80s", len ? ", " : "", name ? name : "(nameless)");
        }
    }
}

static int import_new_form(const struct blobtar *t, const struct json *doc, struct image_importer *im,
                           const struct image_wanted *w, struct image_results *results, struct err *e)
{
    char names[400];
    size_t n = json_count(doc), count = 0;
    if (json_type(doc) != JSON_ARRAY)
        return err_set(e, ERR_INPUT, "manifest.json is not a list of images");
    for (size_t i = 0; i < n; i++)
        count += wanted(json_at(doc, i), w->tag);
    list_names(doc, names, sizeof names);
    if (!n)
        return err_set(e, ERR_NOT_FOUND, "manifest.json has no images");
    if (!count)
        return err_set(e, ERR_NOT_FOUND, "no image \"%.100s\" here; there is: %s", w->tag, names);
    if (count > 1 && (w->name || w->tag))
        return err_set(e, ERR_USAGE, "%s; choose one as PATH:TAG of: %s",
                       w->tag ? "that may be several images" : "--name is for one image", names);
    for (size_t i = 0; i < n; i++)
        if (wanted(json_at(doc, i), w->tag) && import_entry(t, json_at(doc, i), im, w, results, e) < 0)
            return n > 1 ? err_wrap(e, "image %zu of %zu", i + 1, n) : -1;
    return 0;
}

/* --- repositories --- */

/* The chain of <id>/json from the top down: v[0] is the top. Each is to be unref'd. */
struct chain {
    struct json *v[LIMIT_LAYERS];
    char *ids[LIMIT_LAYERS];
    size_t n;
};

static void chain_free(struct chain *c)
{
    for (size_t i = 0; c && i < c->n; i++) {
        json_unref(c->v[i]);
        free(c->ids[i]);
    }
    free(c);
}

static int walk_chain(const struct blobtar *t, const char *top, struct chain *c, struct err *e)
{
    char name[DIGEST_HEX_LEN + 8];
    struct digest d;
    for (const char *id = top; id && *id;) {
        if (digest_parse_hex(id, strlen(id), &d) < 0)
            return err_set(e, ERR_INPUT, "layer id \"%.80s\" is not 64 hex digits", id);
        if (c->n == LIMIT_LAYERS)
            return err_set(e, ERR_LIMIT, "more than %d layers, or a chain that bites its tail", LIMIT_LAYERS);
        snprintf(name, sizeof name, "%s/json", id);
        c->ids[c->n] = strdup(id);
        if (!c->ids[c->n])
            return err_nomem(e);
        if (get_json(t, name, &c->v[c->n], e) < 0) {
            free(c->ids[c->n]);
            return err_wrap(e, "layer %.12s", id);
        }
        id = json_str(json_get(c->v[c->n], "parent"));
        c->n++;
    }
    return 0;
}

static int copy_member(struct json *to, const char *to_key, const struct json *from, const char *key)
{
    struct json *j = json_get(from, key);
    return j ? json_set(to, to_key, json_ref(j)) : 0;
}

/* A config as docker 1.10 made it of such a chain. ids: the diffIDs, lowest first (taken over). */
static int make_config(const struct chain *c, struct json *ids, struct buf *out, struct err *e)
{
    static const char *const keep[] = {"created", "author", "architecture", "os", "config"};
    const struct json *top = c->v[0];
    struct json *doc = json_new_object(), *rootfs = json_new_object(), *history = json_new_array();
    int bad = 0;
    for (size_t i = 0; i < sizeof keep / sizeof *keep; i++)
        bad |= copy_member(doc, keep[i], top, keep[i]);
    bad |= json_set(rootfs, "type", json_new_str("layers")) | json_set(rootfs, "diff_ids", ids) |
           json_set(doc, "rootfs", rootfs);
    for (size_t i = c->n; i-- > 0;) {
        struct json *row = json_new_object();
        const struct json *cmd = json_get(json_get(c->v[i], "container_config"), "Cmd");
        struct buf text = {0};
        for (size_t k = 0; k < json_count(cmd); k++) {
            const char *s = json_str(json_at(cmd, k));
            bad |= buf_printf(&text, "%s%s", k ? " " : "", s ? s : "");
        }
        bad |= copy_member(row, "created", c->v[i], "created");
        if (text.len)
            bad |= json_set(row, "created_by", json_new_str((char *)text.p));
        bad |= copy_member(row, "author", c->v[i], "author") | copy_member(row, "comment", c->v[i], "comment");
        buf_release(&text);
        bad |= json_add(history, row);
    }
    bad |= json_set(doc, "history", history);
    if (!bad)
        bad = json_dump(doc, 0, out);
    json_unref(doc);
    return bad ? err_nomem(e) : 0;
}

static int import_chain(const struct blobtar *t, const struct chain *c, const char *name, struct image_importer *im,
                        const struct image_wanted *w, struct image_results *results, struct err *e)
{
    char path[DIGEST_HEX_LEN + 16], oci[DIGEST_OCI_LEN + 1];
    struct json *ids = json_new_array(), *tags = json_new_array();
    struct buf config = {0};
    int r = 0;
    for (size_t i = c->n; r == 0 && i-- > 0;) {
        struct opening o = {t, path};
        struct digest diffid;
        snprintf(path, sizeof path, "%s/layer.tar", c->ids[i]);
        r = image_add_layer(im, NULL, open_layer, &o, &diffid, e);
        if (r == 0) {
            digest_oci(&diffid, oci);
            if (json_add(ids, json_new_str(oci)) < 0)
                r = err_nomem(e);
        }
    }
    if (r == 0)
        r = make_config(c, json_ref(ids), &config, e);
    if (r == 0 && json_add(tags, json_new_str(name)) < 0)
        r = err_nomem(e);
    if (r == 0)
        r = bind(im, config.p, config.len, tags, w, results, e);
    json_unref(ids);
    json_unref(tags);
    buf_release(&config);
    return r;
}

static int import_repository(const struct blobtar *t, const char *id, const char *name, struct image_importer *im,
                             const struct image_wanted *w, struct image_results *results, struct err *e)
{
    struct chain *c = calloc(1, sizeof *c);
    if (!c)
        return err_nomem(e);
    int r = walk_chain(t, id, c, e);
    if (r == 0 && !c->n)
        r = err_set(e, ERR_INPUT, "repositories: no image id");
    if (r == 0)
        r = import_chain(t, c, name, im, w, results, e);
    chain_free(c);
    return r < 0 ? err_wrap(e, "%s", name) : 0;
}

static int import_old_form(const struct blobtar *t, const struct json *doc, struct image_importer *im,
                           const struct image_wanted *w, struct image_results *results, struct err *e)
{
    char names[400] = "", name[512];
    size_t len = 0, count = 0;
    if (json_type(doc) != JSON_OBJECT)
        return err_set(e, ERR_INPUT, "repositories is not an object");
    for (int pass = 0; pass < 2; pass++) {
        void *i = NULL, *k;
        const char *repo, *tag;
        struct json *tags, *id;
        while (json_next(doc, &i, &repo, &tags))
            for (k = NULL; json_next(tags, &k, &tag, &id);) {
                snprintf(name, sizeof name, "%.300s:%.150s", repo, tag);
                if (!pass && len < sizeof names)
                    len += (size_t)snprintf(names + len, sizeof names - len, "%s%.80s", len ? ", " : "", name);
                if (w->tag && !image_ref_matches(name, w->tag))
                    continue;
                count += !pass;
                if (pass && import_repository(t, json_str(id) ? json_str(id) : "", name, im, w, results, e) < 0)
                    return -1;
            }
        if (!count)
            return err_set(e, ERR_NOT_FOUND, "no image \"%.100s\" here; there is: %s", w->tag ? w->tag : "", names);
        if (count > 1 && (w->name || w->tag))
            return err_set(e, ERR_USAGE, "%s; choose one as PATH:TAG of: %s",
                           w->tag ? "that may be several images" : "--name is for one image", names);
    }
    return 0;
}

int dockerarchive_import(const struct blobtar *t, struct image_importer *im, const struct image_wanted *w,
                         struct image_results *results, struct err *e)
{
    struct blobtar_member m;
    struct json *doc = NULL;
    bool new_form = blobtar_find(t, "manifest.json", &m, e) == 0;
    if (!new_form)
        err_clear(e);
    if (get_json(t, new_form ? "manifest.json" : "repositories", &doc, e) < 0)
        return -1;
    int r = (new_form ? import_new_form : import_old_form)(t, doc, im, w, results, e);
    json_unref(doc);
    return r;
}

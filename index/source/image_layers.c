/* SPDX-License-Identifier: MIT */
/*
 * Layers of an image on their way into a session: found where they are already, else read, hashed twice (as it came and
 * unpacked) and compared with what names them.
 */
#include "image_importer.h"
#include "layer.h"
#include "unpack.h"
#include "../limits.h"
#include "../reader.h"

#include <stdio.h>
#include <stdlib.h>

static int remember(struct image_importer *im, const struct importer_layer *l, uint32_t *ret, struct err *e)
{
    struct importer_layer *v = importer_grow(im->layers, im->n, &im->cap, sizeof *v);
    if (!v) {
        tree_close(l->tree);
        return err_nomem(e);
    }
    im->layers = v;
    *ret = (uint32_t)im->n;
    im->layers[im->n++] = *l;
    return 0;
}

/* The layer, out of this session or the store; TREE_NONE when neither has it. */
static int find_layer(struct image_importer *im, const struct digest *diffid, uint32_t *ret, struct err *e)
{
    struct cat_layer row;
    for (size_t i = 0; i < im->n; i++)
        if (digest_eq(&im->layers[i].diffid, diffid)) {
            *ret = (uint32_t)i;
            return 0;
        }
    if (catalog_layer(importer_catalog(im), diffid, &row, e) < 0) {
        if (e->kind != ERR_NOT_FOUND)
            return -1;
        err_clear(e);
        *ret = TREE_NONE;
        return 0;
    }
    struct importer_layer l = {.diffid = *diffid, .size = row.size};
    struct reader *r = store_reader(session_store(im->s));
    if (!r)
        return err_nomem(e);
    if (reader_tree(r, &row.tree, &l.tree, e) < 0)
        return err_wrap(e, "layer that the store has");
    return remember(im, &l, ret, e);
}

/* A blob that this session or an earlier one read whole: its diffID. */
static int find_blob(struct image_importer *im, const struct digest *blob, struct digest *ret_diffid, bool *ret_found,
                     struct err *e)
{
    *ret_found = false;
    if (digest_is_zero(blob)) /* stands for "not known" */
        return 0;
    for (size_t i = 0; i < im->n; i++)
        if (digest_eq(&im->layers[i].blob, blob)) {
            *ret_diffid = im->layers[i].diffid;
            *ret_found = true;
            return 0;
        }
    if (catalog_blob(importer_catalog(im), blob, ret_diffid, e) == 0) {
        *ret_found = true;
        return 0;
    }
    if (e->kind != ERR_NOT_FOUND)
        return -1;
    err_clear(e);
    return 0;
}

/* blob NULL: not known. */
static int push(struct image_importer *im, uint32_t layer, const struct digest *blob, struct err *e)
{
    struct importer_slot *v = importer_grow(im->stack, im->height, &im->stack_cap, sizeof *v);
    if (!v)
        return err_nomem(e);
    im->stack = v;
    im->stack[im->height] = (struct importer_slot){.layer = layer};
    if (blob)
        im->stack[im->height].blob = *blob;
    im->height++;
    return 0;
}

int importer_push_new(struct image_importer *im, const struct importer_layer *l, struct err *e)
{
    uint32_t i = 0;
    return remember(im, l, &i, e) < 0 ? -1 : push(im, i, NULL, e);
}

/* What a blob must be, besides its diffID. */
struct blob_claim {
    const struct digest *digest; /* NULL: nothing is claimed */
    uint64_t size;               /* UINT64_MAX: nothing */
};

static int check_blob(struct stream *hash, const struct blob_claim *c, struct err *e)
{
    char got[DIGEST_SHORT_LEN + 1];
    struct digest d;
    uint64_t len;
    if (stream_drain(hash, e) < 0 || stream_hash_final(hash, &d, &len, e) < 0)
        return -1;
    if (c->size != UINT64_MAX && len != c->size)
        return err_set(e, ERR_INPUT, "%llu bytes long, its descriptor says %llu", (unsigned long long)len,
                       (unsigned long long)c->size);
    if (c->digest && !digest_eq(&d, c->digest))
        return err_set(e, ERR_INPUT, "digest mismatch, got %s", digest_short(&d, got));
    return 0;
}

/* Reads one layer (raw is owned) into the session. */
static int read_layer(struct image_importer *im, struct stream *raw, const struct digest *diffid,
                      const struct blob_claim *claim, const char *what, uint32_t *ret, struct err *e)
{
    struct stream *counted = NULL, *hash = NULL, *tar;
    struct layer_result res = {0};
    if (counted_open(&im->counter, raw, what, &counted, e) < 0 || stream_open_hash(counted, &hash, e) < 0 ||
        unpack_open(hash, UNPACK_LAYER, &tar, e) < 0)
        return -1;
    int r = layer_import(im->s, tar, diffid, &res, e);
    if (r == 0 && (r = stream_drain(tar, e)) < 0)
        tree_close(res.tree);
    if (r == 0) {
        r = check_blob(hash, claim, e);
        if (r < 0)
            tree_close(res.tree);
    } else if (e->kind == ERR_INPUT) {
        /* A damaged blob shows as all sorts of nonsense; that it is damaged is what one wants to know. */
        struct err why = {0};
        if (check_blob(hash, claim, &why) < 0 && why.kind == ERR_INPUT)
            *e = why;
    }
    stream_close(tar);
    if (r < 0)
        return -1;
    struct importer_layer l = {.diffid = res.diffid, .size = res.size, .tree = res.tree};
    if (claim->digest)
        l.blob = *claim->digest;
    return remember(im, &l, ret, e);
}

int image_add_layer(struct image_importer *im, const struct digest *diffid,
                    int (*open)(void *ctx, struct stream **ret, uint64_t *ret_size, struct err *e), void *ctx,
                    struct digest *ret_diffid, struct err *e)
{
    static const struct blob_claim nothing = {NULL, UINT64_MAX};
    char what[32];
    uint32_t layer = TREE_NONE;
    struct stream *raw = NULL;
    uint64_t size = UINT64_MAX;
    snprintf(what, sizeof what, "layer %zu", im->height + 1);
    if (im->height >= LIMIT_LAYERS)
        return err_set(e, ERR_LIMIT, "more than %d layers", LIMIT_LAYERS);
    if (diffid && find_layer(im, diffid, &layer, e) < 0)
        return err_wrap(e, "%s", what);
    if (layer == TREE_NONE) {
        if (open(ctx, &raw, &size, e) < 0)
            return err_wrap(e, "%s", what);
        counter_expect(&im->counter, size);
        if (read_layer(im, raw, diffid, &nothing, what, &layer, e) < 0)
            return err_wrap(e, "%s", what);
    }
    if (ret_diffid)
        *ret_diffid = im->layers[layer].diffid;
    return push(im, layer, NULL, e);
}

/* One layer of a manifest. */
int importer_manifest_layer(struct image_importer *im, struct blob_source *b, const struct image_descriptor *d,
                            const struct digest *diffid, const char *what, struct err *e)
{
    char got[DIGEST_SHORT_LEN + 1], want[DIGEST_SHORT_LEN + 1];
    struct digest gave;
    bool known = false;
    uint32_t layer = TREE_NONE;
    struct stream *raw = NULL;
    uint64_t size = UINT64_MAX;
    if (find_blob(im, &d->digest, &gave, &known, e) < 0)
        return -1;
    if (known && !digest_eq(&gave, diffid))
        return err_set(e, ERR_INPUT, "diffID mismatch: the config says %s, it unpacks to %s",
                       digest_short(diffid, want), digest_short(&gave, got));
    if (find_layer(im, diffid, &layer, e) < 0)
        return -1;
    if (layer == TREE_NONE) {
        struct blob_claim claim = {&d->digest, d->size};
        if (b->open(b, &d->digest, &raw, &size, e) < 0) {
            if (e->kind == ERR_NOT_FOUND && d->foreign)
                return err_set(e, ERR_UNSUPPORTED,
                               "its bytes aren't here: it is a foreign layer, to be fetched from elsewhere");
            return -1;
        }
        if (size != UINT64_MAX && size != d->size) {
            stream_close(raw);
            return err_set(e, ERR_INPUT, "%llu bytes long, its descriptor says %llu", (unsigned long long)size,
                           (unsigned long long)d->size);
        }
        counter_expect(&im->counter, d->size);
        if (read_layer(im, raw, diffid, &claim, what, &layer, e) < 0)
            return -1;
        known = true;
    }
    return push(im, layer, known ? &d->digest : NULL, e);
}

/* SPDX-License-Identifier: MIT */
/*
 * The tar again: its recipe is read from the store, and each file's bytes are put where they stood. What goes out is
 * hashed on the way; a byte that differs is known at the end at the latest.
 */
#include "layer.h"
#include "recipe.h"
#include "../limits.h"
#include "../reader.h"

#include <stdlib.h>

enum { PIECE = 256 << 10 };

struct exporter {
    struct reader *reader;
    struct tree *tree;
    struct sha256 sha;
    uint64_t done;
    uint8_t *piece;
    int (*write)(void *ctx, const void *p, size_t n, struct err *e);
    void *ctx;
    /* the content that was used last: fragments of one file come one by one */
    bool has_map;
    uint32_t map_content;
    struct content_map map;
};

static int give(void *ctx, const void *p, size_t n, struct err *e)
{
    struct exporter *x = ctx;
    sha256_update(&x->sha, p, n);
    x->done += n;
    return x->write(x->ctx, p, n, e);
}

static int use_content(struct exporter *x, uint32_t content, struct err *e)
{
    if (x->has_map && x->map_content == content)
        return 0;
    if (x->has_map)
        content_map_release(&x->map);
    x->has_map = false;
    if (content_map_tree(x->tree, content, &x->map, e) < 0)
        return -1;
    x->has_map = true;
    x->map_content = content;
    return 0;
}

static int give_payload(void *ctx, uint32_t op, uint64_t off, uint64_t len, struct err *e)
{
    struct exporter *x = ctx;
    if (op >= tree_op_count(x->tree) || tree_op(x->tree, op)->kind != OP_NODE)
        return err_set(e, ERR_DAMAGED, "recipe asks for a file that the tree hasn't");
    const struct tree_node *n = tree_node(x->tree, tree_op(x->tree, op)->node);
    if (n->content == TREE_NONE || off > n->size || len > n->size - off)
        return err_set(e, ERR_DAMAGED, "recipe asks for bytes that a file hasn't");
    if (use_content(x, n->content, e) < 0)
        return -1;
    while (len) {
        size_t want = len < PIECE ? (size_t)len : PIECE, got;
        if (reader_pread(x->reader, &x->map, x->piece, want, off, &got, e) < 0)
            return -1;
        if (got != want)
            return err_set(e, ERR_DAMAGED, "a file ends early");
        if (give(x, x->piece, got, e) < 0)
            return -1;
        off += got;
        len -= got;
    }
    return 0;
}

static int replay(struct exporter *x, const struct cat_layer *l, struct err *e)
{
    struct content_map map;
    struct stream *s = NULL;
    struct recipe_replay to = {.literal = give, .payload = give_payload, .ctx = x, .size = l->size};
    if (content_map_digest(x->reader, &l->recipe, &map, e) < 0)
        return err_wrap(e, "recipe");
    int rc = reader_stream(x->reader, &map, &s, e);
    if (rc == 0)
        rc = recipe_replay(s, &to, e);
    stream_close(s);
    content_map_release(&map);
    return rc;
}

static int check(struct exporter *x, const struct cat_layer *l, struct err *e)
{
    struct digest d;
    char got[DIGEST_OCI_LEN + 1];
    sha256_final(&x->sha, &d);
    if (x->done == l->size && digest_eq(&d, &l->diffid))
        return 0;
    digest_oci(&d, got);
    return err_set(e, ERR_DAMAGED, "made again, it is %llu bytes with digest %s, not %llu bytes",
                   (unsigned long long)x->done, got, (unsigned long long)l->size);
}

int layer_export(struct store *s, const struct cat_layer *l,
                 int (*write)(void *ctx, const void *p, size_t n, struct err *e), void *ctx, struct err *e)
{
    struct exporter x = {.reader = store_reader(s), .write = write, .ctx = ctx};
    char name[DIGEST_OCI_LEN + 1];
    int rc = -1;
    digest_oci(&l->diffid, name);
    x.piece = malloc(PIECE);
    if (!x.piece || sha256_init(&x.sha) < 0)
        err_nomem(e);
    else if (!x.reader)
        err_nomem(e);
    else if (reader_tree(x.reader, &l->tree, &x.tree, e) == 0 && replay(&x, l, e) == 0)
        rc = check(&x, l, e);
    if (x.has_map)
        content_map_release(&x.map);
    tree_close(x.tree);
    sha256_release(&x.sha);
    free(x.piece);
    return rc < 0 ? err_wrap(e, "layer %s", name) : 0;
}

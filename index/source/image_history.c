/* SPDX-License-Identifier: MIT */
/*
 * What the store knows of an image's config: how to run it, and how it came to be.
 */
#include "image.h"
#include "../json.h"
#include "../limits.h"
#include "../reader.h"

#include <stdlib.h>
#include <sys/stat.h>

static int load(struct store *s, const struct cat_image *im, struct buf *b, struct err *e)
{
    struct reader *r = store_reader(s);
    if (!r)
        return err_nomem(e);
    return reader_get(r, &im->config, LIMIT_JSON_DOC, b, e) < 0 ? err_wrap(e, "config") : 0;
}

int image_config_load(struct store *s, const struct cat_image *im, struct image_config *ret, struct err *e)
{
    struct buf b = {0};
    int r = load(s, im, &b, e);
    if (r == 0)
        r = image_config_parse(b.p, b.len, ret, e);
    buf_release(&b);
    return r;
}

/* --- history --- */

void image_history_free(struct image_history *h, size_t n)
{
    for (size_t i = 0; h && i < n; i++) {
        free(h[i].created);
        free(h[i].created_by);
        free(h[i].comment);
    }
    free(h);
}

/* Absent, null, empty and what isn't a string are the same: history is for reading only. */
static int copy_text(const struct json *row, const char *key, char **ret, struct err *e)
{
    const char *s = json_str(json_get(row, key));
    *ret = s && *s ? strdup(s) : NULL;
    return s && *s && !*ret ? err_nomem(e) : 0;
}

/* A file with several names counts once, as in the tar. */
static int layer_size(struct store *s, const struct digest *diffid, uint64_t *ret, struct err *e)
{
    struct cat_layer row = {0};
    struct tree *t = NULL;
    if (catalog_layer(store_catalog(s), diffid, &row, e) < 0 || reader_tree(store_reader(s), &row.tree, &t, e) < 0)
        return -1;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < tree_node_count(t); i++) {
        const struct tree_node *n = tree_node(t, i);
        if (S_ISREG(n->mode) && !(n->flags & NODE_HARDLINK))
            sum += n->size;
    }
    tree_close(t);
    *ret = sum;
    return 0;
}

static int fill_row(struct store *s, const struct cat_image *im, const struct json *row, uint32_t *layer,
                    struct image_history *h, struct err *e)
{
    if (copy_text(row, "created", &h->created, e) < 0 || copy_text(row, "created_by", &h->created_by, e) < 0 ||
        copy_text(row, "comment", &h->comment, e) < 0)
        return -1;
    /* A row too many has no layer, whatever it says. */
    h->empty = (row && json_bool(json_get(row, "empty_layer"), false)) || *layer >= im->layer_count;
    if (h->empty)
        return 0;
    h->diffid = im->layers[(*layer)++];
    return layer_size(s, &h->diffid, &h->size, e);
}

int image_history_load(struct store *s, const struct cat_image *im, struct image_history **ret, size_t *ret_n,
                       struct err *e)
{
    struct buf b = {0};
    struct json *doc = NULL;
    if (load(s, im, &b, e) < 0 || json_parse(b.p, b.len, LIMIT_JSON_DOC, "config", &doc, e) < 0) {
        buf_release(&b);
        return -1;
    }
    buf_release(&b);
    const struct json *rows = json_get(doc, "history");
    size_t listed = json_type(rows) == JSON_ARRAY ? json_count(rows) : 0, n = 0;
    struct image_history *h = calloc(listed + im->layer_count + 1, sizeof *h);
    uint32_t layer = 0;
    int r = 0;
    if (!h) {
        json_unref(doc);
        return err_nomem(e);
    }
    while (r == 0 && (n < listed || layer < im->layer_count)) {
        r = fill_row(s, im, n < listed ? json_at(rows, n) : NULL, &layer, &h[n], e);
        n++;
    }
    json_unref(doc);
    if (r < 0) {
        image_history_free(h, n);
        return -1;
    }
    *ret = h;
    *ret_n = n;
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* cairn layers */
#include "command.h"
#include "object.h"
#include "out.h"
#include "usage.h"

#include <stdio.h>

struct listing {
    const struct invocation *in;
    struct store *s;
    struct usage usage;
    struct table table;
    struct json *list;
    struct err *e;
};

struct users {
    const struct digest *diffid;
    unsigned count;
};

static int see_image(const struct cat_image *im, void *ctx)
{
    struct users *u = ctx;
    for (uint32_t i = 0; i < im->layer_count; i++) {
        if (digest_eq(&im->layers[i], u->diffid)) {
            u->count++;
            break;
        }
    }
    return 0;
}

static int see(const struct cat_layer *y, void *ctx)
{
    struct listing *l = ctx;
    char oci[DIGEST_OCI_LEN + 1], text[32], size[16], unique[16];
    struct users users = {&y->diffid, 0};
    digest_oci(&y->diffid, oci);
    if (l->in->quiet && !l->in->json) {
        puts(oci);
        return 0;
    }
    if (catalog_each_image(store_catalog(l->s), see_image, &users, l->e) < 0)
        return -1;
    const struct usage_row *u = usage_of(&l->usage, y->no);
    if (l->in->json) {
        struct json *o = json_new_object();
        rfc3339(y->time, text);
        int rc = json_set(o, "diffid", json_new_str(oci)) | usage_json(u, o) |
                 json_set(o, "tar_size", json_new_int((int64_t)y->size)) |
                 json_set(o, "entries", json_new_int(y->entries)) | json_set(o, "images", json_new_int(users.count)) |
                 json_set(o, "imported", json_new_str(text)) | json_add(l->list, o);
        return rc ? err_nomem(l->e) : 0;
    }
    bool whole = opt_has(l->in, "no-trunc");
    table_cellf(&l->table, "%.*s", whole ? DIGEST_OCI_LEN : 12, whole ? oci : oci + 7);
    table_cellf(&l->table, "%u", y->entries);
    usage_text(u, size, unique);
    table_cell(&l->table, size);
    table_cell(&l->table, unique);
    table_cellf(&l->table, "%u", users.count);
    human_age(y->time, text);
    table_cell(&l->table, text);
    return 0;
}

static int run(struct invocation *in, struct err *e)
{
    struct listing l = {.in = in, .e = e};
    if (tool_store(in, 0, &l.s, e) < 0)
        return -1;
    int rc = in->quiet && !in->json ? 0 : usage_compute(l.s, USAGE_LAYERS, &l.usage, e);
    table_init(&l.table, "DIFFID|>ENTRIES|>SIZE|>UNIQUE|>IMAGES|IMPORTED");
    l.list = json_new_array();
    if (rc == 0)
        rc = catalog_each_layer(store_catalog(l.s), see, &l, e);
    if (rc == 0 && in->json)
        rc = out_json(json_ref(l.list), e);
    else if (rc == 0 && !in->quiet)
        rc = table_print(&l.table, e);
    if (rc == 0 && l.usage.damage.kind != ERR_NONE) {
        *e = l.usage.damage; /* the list is whole, some sizes aren't known */
        rc = -1;
    }
    json_unref(l.list);
    table_release(&l.table);
    usage_release(&l.usage);
    store_close(l.s);
    return rc < 0 ? -1 : EXIT_DONE;
}

static const struct option_def options[] = {
    {0, "no-trunc", NULL, "whole digests"},
    {0, NULL, NULL, NULL},
};

const struct command cmd_layers = {
    .name = "layers",
    .args = "",
    .summary = "list layers",
    .text = "SIZE is that of the files, UNIQUE of those whose contents no other layer or package has, IMAGES how many "
            "images use the layer.",
    .examples = "cairn layers\ncairn layers -q # whole digests only",
    .options = options,
    .run = run,
};

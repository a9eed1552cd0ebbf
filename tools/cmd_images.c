/* SPDX-License-Identifier: MIT */
/* cairn images */
#include "command.h"
#include "object.h"
#include "out.h"
#include "usage.h"

#include <stdio.h>
#include <string.h>

struct listing {
    struct store *s;
    const struct invocation *in;
    struct usage usage;
    struct table table;
    struct json *list;
    struct err *e;
    int rc;
};

static int add_json(struct listing *l, const struct cat_name *n, const struct cat_image *im, const struct usage_row *u)
{
    char oci[DIGEST_OCI_LEN + 1], when[32];
    struct json *o = json_new_object();
    digest_oci(&im->manifest, oci);
    rfc3339(n->time, when);
    int rc = json_set(o, "repository", json_new_str(n->repo)) | json_set(o, "tag", json_new_str(n->tag)) |
             json_set(o, "digest", json_new_str(oci));
    digest_oci(&im->config, oci);
    rc |= json_set(o, "config", json_new_str(oci)) | json_set(o, "layers", json_new_int(im->layer_count));
    rc |= usage_json(u, o);
    rc |= json_set(o, "imported", json_new_str(when)) | json_add(l->list, o);
    return rc ? err_nomem(l->e) : 0;
}

static void add_row(struct listing *l, const struct cat_name *n, const struct cat_image *im, const struct usage_row *u)
{
    char oci[DIGEST_OCI_LEN + 1], text[32], size[16], unique[16];
    bool whole = opt_has(l->in, "no-trunc");
    table_cell(&l->table, n->repo);
    table_cell(&l->table, n->tag ? n->tag : "<none>");
    digest_oci(&im->manifest, oci);
    table_cellf(&l->table, "%.*s", whole ? DIGEST_OCI_LEN : 12, whole ? oci : oci + 7);
    table_cellf(&l->table, "%u", im->layer_count);
    usage_text(u, size, unique);
    table_cell(&l->table, size);
    table_cell(&l->table, unique);
    human_age(n->time, text);
    table_cell(&l->table, text);
}

static bool has_tag(struct store *s, const struct cat_name *digest_name);

static int see(const struct cat_name *n, void *ctx)
{
    struct listing *l = ctx;
    struct cat_image im;
    char oci[DIGEST_OCI_LEN + 1];
    /* The folder by digest is listed only when no tag shows the same. */
    if (!n->tag && has_tag(l->s, n))
        return 0;
    if (l->in->arg_count && strcmp(n->repo, l->in->args[0]) != 0)
        return 0;
    if (l->in->quiet && !l->in->json) {
        digest_oci(&n->manifest, oci);
        if (opt_has(l->in, "names"))
            printf("%s%c%s\n", n->repo, n->tag ? ':' : '@', n->tag ? n->tag : oci);
        else
            printf("%.*s\n", opt_has(l->in, "no-trunc") ? DIGEST_OCI_LEN : 12,
                   opt_has(l->in, "no-trunc") ? oci : oci + 7);
        return 0;
    }
    if (catalog_image(store_catalog(l->s), &n->manifest, &im, l->e) < 0)
        return -1;
    const struct usage_row *u = usage_of(&l->usage, im.no);
    int rc = 0;
    if (l->in->json)
        rc = add_json(l, n, &im, u);
    else
        add_row(l, n, &im, u);
    cat_image_release(&im);
    return rc;
}

struct tag_search {
    const struct cat_name *wanted;
    bool found;
};

static int see_tag(const struct cat_name *n, void *ctx)
{
    struct tag_search *t = ctx;
    t->found |= n->tag && !strcmp(n->repo, t->wanted->repo) && digest_eq(&n->manifest, &t->wanted->manifest);
    return 0;
}

static bool has_tag(struct store *s, const struct cat_name *digest_name)
{
    struct tag_search t = {digest_name, false};
    struct err ignored = {0};
    return catalog_each_name(store_catalog(s), see_tag, &t, &ignored) == 0 && t.found;
}

static int run(struct invocation *in, struct err *e)
{
    struct listing l = {.in = in, .e = e};
    if (tool_store(in, 0, &l.s, e) < 0)
        return -1;
    int rc = in->quiet && !in->json ? 0 : usage_compute(l.s, USAGE_IMAGES, &l.usage, e);
    table_init(&l.table, "REPOSITORY|TAG|DIGEST|>LAYERS|>SIZE|>UNIQUE|IMPORTED");
    l.list = in->json ? json_new_array() : NULL;
    if (rc == 0)
        rc = catalog_each_name(store_catalog(l.s), see, &l, e);
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
    {0, "names", NULL, "with -q: names instead of digests"},
    {0, NULL, NULL, NULL},
};

const struct command cmd_images = {
    .name = "images",
    .args = "[REPOSITORY]",
    .summary = "list images",
    .text = "SIZE is that of the files in all layers, UNIQUE of those whose contents no other image or package has: "
            "what removing the image frees, before compression.",
    .examples = "cairn images\ncairn images -q --names\ncairn images --json",
    .options = options,
    .max_args = 1,
    .run = run,
};

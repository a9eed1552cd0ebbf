/* SPDX-License-Identifier: MIT */
/* cairn packages */
#include "command.h"
#include "object.h"
#include "out.h"
#include "usage.h"

#include <stdio.h>
#include <string.h>

struct listing {
    const struct invocation *in;
    struct usage usage;
    struct table table;
    struct json *list;
    struct err *e;
};

static struct json *strings(char *const *v)
{
    struct json *a = json_new_array();
    for (size_t i = 0; v && v[i]; i++)
        if (json_add(a, json_new_str(v[i])) < 0)
            return json_unref(a), NULL;
    return a;
}

static int see(const struct cat_package *p, void *ctx)
{
    struct listing *l = ctx;
    char text[32], size[16], unique[16], hash[DIGEST_NIX32_LEN + 1];
    size_t refs = 0;
    if (l->in->quiet && !l->in->json) {
        printf("%s/%s\n", p->dir, p->name);
        return 0;
    }
    for (size_t i = 0; p->refs && p->refs[i]; i++)
        refs += strcmp(p->refs[i], p->name) != 0;
    const struct usage_row *u = usage_of(&l->usage, p->no);
    if (l->in->json) {
        char path[600], nar[80];
        struct json *o = json_new_object();
        nix32_encode(p->narhash.b, DIGEST_LEN, hash);
        snprintf(path, sizeof path, "%s/%s", p->dir, p->name);
        snprintf(nar, sizeof nar, "sha256:%s", hash);
        rfc3339(p->time, text);
        int rc = json_set(o, "path", json_new_str(path)) | json_set(o, "nar_hash", json_new_str(nar)) |
                 json_set(o, "nar_size", json_new_int((int64_t)p->narsize)) | usage_json(u, o) |
                 json_set(o, "references", strings(p->refs)) | json_set(o, "trusted", json_new_bool(p->trusted)) |
                 json_set(o, "imported", json_new_str(text)) | json_add(l->list, o);
        return rc ? err_nomem(l->e) : 0;
    }
    table_cell(&l->table, p->name);
    usage_text(u, size, unique);
    table_cell(&l->table, size);
    table_cell(&l->table, unique);
    table_cellf(&l->table, "%zu", refs);
    table_cell(&l->table, p->trusted ? "yes" : "no");
    human_age(p->time, text);
    table_cell(&l->table, text);
    return 0;
}

static int run(struct invocation *in, struct err *e)
{
    struct listing l = {.in = in, .e = e};
    struct store *s;
    if (tool_store(in, 0, &s, e) < 0)
        return -1;
    int rc = in->quiet && !in->json ? 0 : usage_compute(s, USAGE_LAYERS, &l.usage, e);
    table_init(&l.table, "NAME|>SIZE|>UNIQUE|>REFS|TRUSTED|IMPORTED");
    l.list = json_new_array();
    if (rc == 0)
        rc = catalog_each_package(store_catalog(s), see, &l, e);
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
    store_close(s);
    return rc < 0 ? -1 : EXIT_DONE;
}

const struct command cmd_packages = {
    .name = "packages",
    .args = "",
    .summary = "list packages",
    .text = "UNIQUE is the size of files whose contents no other package or layer has. TRUSTED: a signature of a "
            "trusted key was verified when the package came, "
            "or its path is computed from its contents.",
    .examples = "cairn packages\ncairn packages -q # store paths",
    .run = run,
};

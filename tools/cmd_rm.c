/* SPDX-License-Identifier: MIT */
/* cairn rm */
#include "../fs/mount.h"
#include "command.h"
#include "object.h"
#include "records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct removal {
    struct store *s;
    struct json **records;
    size_t count;
    struct err *e;
};

static int add(struct removal *r, const char *of, uint32_t no)
{
    struct json **v = realloc(r->records, (r->count + 1) * sizeof *v);
    if (!v)
        return err_nomem(r->e);
    r->records = v;
    v[r->count] = record_remove(of, no);
    return v[r->count++] ? 0 : err_nomem(r->e);
}

/* --- images: a name goes; with the last tag of its repository, the folder by digest, too --- */

struct names {
    struct removal *r;
    const struct digest *manifest;
    const char *repo; /* NULL: all */
    uint32_t except;  /* number of the name that goes in any case */
    bool other_tag;
    int pass;
};

static int see_name(const struct cat_name *n, void *ctx)
{
    struct names *v = ctx;
    if (!digest_eq(&n->manifest, v->manifest) || (v->repo && strcmp(n->repo, v->repo) != 0))
        return 0;
    if (v->pass == 0)
        v->other_tag |= n->tag && n->no != v->except;
    else if (!v->repo || n->no == v->except || (!n->tag && !v->other_tag))
        return add(v->r, n->tag ? "name" : "digestname", n->no);
    return 0;
}

static int remove_image(struct removal *r, const struct object *o)
{
    struct names v = {.r = r, .manifest = &o->image.manifest, .repo = o->name.repo, .except = o->name.no};
    for (v.pass = 0; v.pass < 2; v.pass++)
        if (catalog_each_name(store_catalog(r->s), see_name, &v, r->e) < 0)
            return -1;
    return 0;
}

/* --- packages: not while others refer to them --- */

struct referrers {
    const struct invocation *in;
    const char *name;
    char list[512];
};

static bool is_argument(const struct invocation *in, const char *name)
{
    for (int i = 0; i < in->arg_count; i++) {
        const char *slash = strrchr(in->args[i], '/');
        if (!strcmp(slash ? slash + 1 : in->args[i], name))
            return true;
    }
    return false;
}

static int see_package(const struct cat_package *p, void *ctx)
{
    struct referrers *v = ctx;
    for (size_t i = 0; p->refs && p->refs[i]; i++) {
        size_t n = strlen(v->list);
        if (!strcmp(p->refs[i], v->name) && strcmp(p->name, v->name) != 0 && !is_argument(v->in, p->name))
            snprintf(v->list + n, sizeof v->list - n, "%s%s", n ? ", " : "", p->name);
    }
    return 0;
}

static int remove_package(struct removal *r, const struct invocation *in, const struct cat_package *p)
{
    struct referrers v = {.in = in, .name = p->name};
    if (!opt_has(in, "force")) {
        if (catalog_each_package(store_catalog(r->s), see_package, &v, r->e) < 0)
            return -1;
        if (v.list[0])
            return err_set(r->e, ERR_BUSY, "%s is referred to by %s: remove these, too, or use --force", p->name,
                           v.list);
    }
    return add(r, "package", p->no);
}

static int remove_one(struct removal *r, const struct invocation *in, const char *text)
{
    struct object o;
    int rc;
    if (object_find(r->s, text, &o, r->e) < 0)
        return -1;
    if (o.type == OBJECT_IMAGE)
        rc = remove_image(r, &o);
    else if (o.type == OBJECT_PACKAGE)
        rc = remove_package(r, in, &o.package);
    else
        rc = err_set(r->e, ERR_USAGE, "'%s' is a layer: layers go with the last image that uses them", text);
    object_release(&o);
    return rc;
}

static int run(struct invocation *in, struct err *e)
{
    struct removal r = {.e = e};
    struct err ignored = {0};
    int rc = 0;
    if (tool_store(in, 0, &r.s, e) < 0)
        return -1;
    /* All or nothing: looked up first, removed in one transaction. */
    for (int i = 0; rc == 0 && i < in->arg_count; i++)
        rc = remove_one(&r, in, in->args[i]);
    if (rc == 0)
        rc = store_record(r.s, r.records, r.count, e);
    if (rc == 0 && mount_wait(r.s, RECORDS_MOUNT_WAIT_MS, &ignored) < 0 && !in->quiet)
        fprintf(stderr, "cairn rm: removed, but a mount hasn't followed yet: %s\n", ignored.text);
    for (int i = 0; rc == 0 && i < in->arg_count && !in->quiet; i++)
        printf("removed %s\n", in->args[i]);
    for (size_t i = 0; i < r.count; i++)
        json_unref(r.records[i]);
    free(r.records);
    store_close(r.s);
    return rc < 0 ? -1 : EXIT_DONE;
}

static const struct option_def options[] = {
    {'f', "force", NULL, "remove packages although others refer to them"},
    {0, NULL, NULL, NULL},
};

const struct command cmd_rm = {
    .name = "rm",
    .args = "OBJECT…",
    .summary = "remove images and packages",
    .text = "An image's name is removed; without any name the image is gone. Space is freed by 'cairn gc'. Running "
            "containers and open files keep what they use. Several "
            "objects are removed all or none.",
    .examples = "cairn rm deb:nginx\ncairn rm sha256:641e… # all names of that image\ncairn gc",
    .options = options,
    .min_args = 1,
    .max_args = -1,
    .run = run,
};

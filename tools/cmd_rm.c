/* SPDX-License-Identifier: MIT */
/* cairn rm */
#include "../fs/mount.h"
#include "command.h"
#include "object.h"
#include "out.h"
#include "records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct removal {
    struct store *s;
    struct object *objects; /* what the arguments mean */
    size_t object_count;
    struct json **records;
    uint32_t *gone; /* numbers of names and packages, one for each record */
    size_t count;
    struct err *e;
};

static bool is_gone(const struct removal *r, uint32_t no)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->gone[i] == no)
            return true;
    return false;
}

static int add(struct removal *r, const char *of, uint32_t no)
{
    if (is_gone(r, no))
        return 0;
    struct json **v = realloc(r->records, (r->count + 1) * sizeof *v);
    if (!v)
        return err_nomem(r->e);
    r->records = v;
    uint32_t *w = realloc(r->gone, (r->count + 1) * sizeof *w);
    if (!w)
        return err_nomem(r->e);
    r->gone = w;
    if (!(v[r->count] = record_remove(of, no)))
        return err_nomem(r->e);
    w[r->count++] = no;
    return 0;
}

/* --- images: a name goes, or all names of a digest --- */

struct names {
    struct removal *r;
    const struct cat_name *of; /* a folder by digest */
    const struct digest *manifest;
    bool tag_goes, tag_stays;
};

static int see_name(const struct cat_name *n, void *ctx)
{
    struct names *v = ctx;
    return digest_eq(&n->manifest, v->manifest) ? add(v->r, n->tag ? "name" : "digestname", n->no) : 0;
}

static int remove_image(struct removal *r, const struct object *o)
{
    struct names v = {.r = r, .manifest = &o->image.manifest};
    if (o->name.repo)
        return add(r, o->name.tag ? "name" : "digestname", o->name.no);
    return catalog_each_name(store_catalog(r->s), see_name, &v, r->e);
}

static int see_tag(const struct cat_name *n, void *ctx)
{
    struct names *v = ctx;
    if (n->tag && !strcmp(n->repo, v->of->repo) && digest_eq(&n->manifest, &v->of->manifest))
        *(is_gone(v->r, n->no) ? &v->tag_goes : &v->tag_stays) = true;
    return 0;
}

/* With the last tag that a repository has for an image its folder by digest goes, too. */
static int see_digest_name(const struct cat_name *n, void *ctx)
{
    struct removal *r = ctx;
    struct names v = {.r = r, .of = n};
    bool touched = false;
    for (size_t i = 0; i < r->object_count && !n->tag; i++)
        touched |= r->objects[i].type == OBJECT_IMAGE && digest_eq(&r->objects[i].image.manifest, &n->manifest);
    if (!touched)
        return 0;
    if (catalog_each_name(store_catalog(r->s), see_tag, &v, r->e) < 0)
        return -1;
    return v.tag_goes && !v.tag_stays ? add(r, "digestname", n->no) : 0;
}

/* --- packages: not while others refer to them --- */

struct referrers {
    const struct removal *r;
    const char *name;
    char list[512];
};

static int see_package(const struct cat_package *p, void *ctx)
{
    struct referrers *v = ctx;
    for (size_t i = 0; p->refs && p->refs[i]; i++) {
        size_t n = strlen(v->list);
        if (!strcmp(p->refs[i], v->name) && strcmp(p->name, v->name) != 0 && !is_gone(v->r, p->no))
            snprintf(v->list + n, sizeof v->list - n, "%s%s", n ? ", " : "", p->name);
    }
    return 0;
}

static int check_referrers(struct removal *r, const struct cat_package *p)
{
    struct referrers v = {.r = r, .name = p->name};
    if (catalog_each_package(store_catalog(r->s), see_package, &v, r->e) < 0)
        return -1;
    if (v.list[0])
        return err_set(r->e, ERR_BUSY, "%s is referred to by %s: remove these, too, or use --force", p->name, v.list);
    return 0;
}

/* All or nothing: looked up first, removed in one transaction. */
static int collect(struct removal *r, const struct invocation *in)
{
    int rc = 0;
    for (; rc == 0 && r->object_count < (size_t)in->arg_count; r->object_count += rc == 0)
        rc = object_find(r->s, in->args[r->object_count], &r->objects[r->object_count], r->e);
    for (size_t i = 0; rc == 0 && i < r->object_count; i++) {
        const struct object *o = &r->objects[i];
        if (o->type == OBJECT_LAYER)
            rc = err_set(r->e, ERR_USAGE, "'%s' is a layer: layers go with the last image that uses them", in->args[i]);
        else
            rc = o->type == OBJECT_IMAGE ? remove_image(r, o) : add(r, "package", o->no);
    }
    for (size_t i = 0; rc == 0 && i < r->object_count && !opt_has(in, "force"); i++)
        if (r->objects[i].type == OBJECT_PACKAGE)
            rc = check_referrers(r, &r->objects[i].package);
    return rc < 0 ? -1 : catalog_each_name(store_catalog(r->s), see_digest_name, r, r->e);
}

static int print_removed(const struct invocation *in, struct err *e)
{
    struct json *o = in->json ? json_new_object() : NULL, *list = in->json ? json_new_array() : NULL;
    int rc = 0;
    for (int i = 0; i < in->arg_count; i++) {
        if (in->json)
            rc |= json_add(list, json_new_str(in->args[i]));
        else if (!in->quiet)
            printf("removed %s\n", in->args[i]);
    }
    if (!in->json)
        return 0;
    rc |= json_set(o, "removed", list);
    if (rc) {
        json_unref(o);
        return err_nomem(e);
    }
    return out_json(o, e);
}

static int run(struct invocation *in, struct err *e)
{
    struct removal r = {.e = e};
    struct err ignored = {0};
    if (tool_store(in, 0, &r.s, e) < 0)
        return -1;
    r.objects = calloc((size_t)in->arg_count, sizeof *r.objects);
    int rc = r.objects ? collect(&r, in) : err_nomem(e);
    if (rc == 0)
        rc = store_record(r.s, r.records, r.count, e);
    if (rc == 0 && mount_wait(r.s, RECORDS_MOUNT_WAIT_MS, &ignored) < 0 && !in->quiet)
        fprintf(stderr, "cairn rm: removed, but a mount hasn't followed yet: %s\n", ignored.text);
    if (rc == 0)
        rc = print_removed(in, e);
    for (size_t i = 0; i < r.object_count; i++)
        object_release(&r.objects[i]);
    for (size_t i = 0; i < r.count; i++)
        json_unref(r.records[i]);
    free(r.objects);
    free(r.records);
    free(r.gone);
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

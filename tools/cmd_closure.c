/* SPDX-License-Identifier: MIT */
/* cairn closure, cairn why */
#include "../index/source/package.h"
#include "command.h"
#include "object.h"
#include "out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int find_package(struct store *s, const char *text, struct object *ret, struct err *e)
{
    if (object_find(s, text, ret, e) < 0)
        return -1;
    if (ret->type == OBJECT_PACKAGE)
        return 0;
    object_release(ret);
    return err_set(e, ERR_USAGE, "'%s' is no package", text);
}

static void free_list(char **v)
{
    for (size_t i = 0; v && v[i]; i++)
        free(v[i]);
    free(v);
}

/* Prints base names as full paths; as a chain with arrows when chain. */
static int print_paths(struct store *s, const struct invocation *in, char **v, bool chain, struct err *e)
{
    struct json *list = in->json ? json_new_array() : NULL;
    int rc = 0;
    for (size_t i = 0; rc == 0 && v[i]; i++) {
        struct cat_package p;
        char path[600];
        if ((rc = catalog_package(store_catalog(s), v[i], &p, e)) < 0)
            break;
        snprintf(path, sizeof path, "%s/%s", p.dir, p.name);
        cat_package_release(&p);
        if (in->json)
            rc = json_add(list, json_new_str(path)) < 0 ? err_nomem(e) : 0;
        else if (chain && i)
            printf("%*s\xe2\x94\x94\xe2\x94\x80 %s\n", (int)(i - 1) * 3, "", path);
        else
            puts(path);
    }
    if (rc == 0 && in->json)
        return out_json(list, e);
    json_unref(list);
    return rc;
}

static int run_closure(struct invocation *in, struct err *e)
{
    struct store *s;
    char **bases = calloc((size_t)in->arg_count + 1, sizeof *bases), **closure = NULL;
    int rc = bases ? 0 : err_nomem(e);
    if (rc == 0 && (rc = tool_store(in, 0, &s, e)) == 0) {
        for (int i = 0; rc == 0 && i < in->arg_count; i++) {
            struct object o;
            rc = find_package(s, in->args[i], &o, e);
            if (rc == 0 && !(bases[i] = strdup(o.package.name)))
                rc = err_nomem(e);
            if (rc == 0)
                object_release(&o);
        }
        if (rc == 0)
            rc = package_closure(store_catalog(s), (const char *const *)bases, &closure, e);
        if (rc == 0)
            rc = print_paths(s, in, closure, false, e);
        store_close(s);
    }
    free_list(bases);
    free_list(closure);
    return rc < 0 ? -1 : EXIT_DONE;
}

const struct command cmd_closure = {
    .name = "closure",
    .args = "PACKAGE…",
    .summary = "list packages with all that they refer to",
    .text = "As nix-store -qR: dependencies first.",
    .examples = "cairn closure nginx",
    .min_args = 1,
    .max_args = -1,
    .run = run_closure,
};

static int run_why(struct invocation *in, struct err *e)
{
    struct store *s;
    struct object a, b;
    char **chain = NULL;
    int rc, code = EXIT_DONE;
    if (tool_store(in, 0, &s, e) < 0)
        return -1;
    rc = find_package(s, in->args[0], &a, e);
    if (rc == 0) {
        rc = find_package(s, in->args[1], &b, e);
        if (rc == 0) {
            rc = package_why(store_catalog(s), a.package.name, b.package.name, &chain, e);
            if (rc == 0 && chain) {
                rc = print_paths(s, in, chain, true, e);
            } else if (rc == 0) {
                fprintf(stderr, "cairn why: %s doesn't refer to %s, directly or indirectly\n", a.package.name,
                        b.package.name);
                code = EXIT_FAILED;
            }
            object_release(&b);
        }
        object_release(&a);
    }
    free_list(chain);
    store_close(s);
    return rc < 0 ? -1 : code;
}

const struct command cmd_why = {
    .name = "why",
    .args = "PACKAGE DEPENDENCY",
    .summary = "show a shortest chain of references from one package to another",
    .text = "Exit code 1 when there is none.",
    .examples = "cairn why nginx zlib",
    .min_args = 2,
    .max_args = 2,
    .run = run_why,
};

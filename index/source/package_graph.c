/* SPDX-License-Identifier: MIT */
/* Questions about references between the packages of a store. */
#include "package.h"

#include "pathgraph.h"

#include <stdlib.h>

struct asking {
    struct catalog *c;
    bool lenient; /* a reference that the store lacks has none of its own */
};

static int refs_of(void *ctx, const char *name, const char *needed_by, char ***ret, struct err *e)
{
    const struct asking *a = ctx;
    struct cat_package p;
    if (catalog_package(a->c, name, &p, e) < 0) {
        if (e->kind != ERR_NOT_FOUND)
            return -1;
        if (!needed_by)
            return err_set(e, ERR_NOT_FOUND, "the store has no package %s", name);
        if (!a->lenient)
            return err_set(e, ERR_NOT_FOUND, "the store has no package %s, which %s refers to", name, needed_by);
        err_clear(e);
        *ret = NULL;
        return 0;
    }
    *ret = p.refs;
    p.refs = NULL;
    cat_package_release(&p);
    return 0;
}

int package_closure(struct catalog *c, const char *const *names, char ***ret, struct err *e)
{
    struct asking a = {.c = c};
    return pathgraph_order(names, refs_of, &a, ret, e);
}

int package_why(struct catalog *c, const char *a, const char *b, char ***ret, struct err *e)
{
    struct asking ask = {.c = c, .lenient = true};
    struct cat_package p;
    if (catalog_package(c, a, &p, e) < 0)
        return e->kind == ERR_NOT_FOUND ? err_set(e, ERR_NOT_FOUND, "the store has no package %s", a) : -1;
    cat_package_release(&p);
    return pathgraph_chain(a, b, refs_of, &ask, ret, e);
}

/* SPDX-License-Identifier: MIT */
/* topdir: see topdir.h. */
#include "topdir.h"

#include <stdlib.h>
#include <string.h>

static int cmp_name(const void *a, const void *b)
{
    const struct top_entry *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c ? c : (x->no > y->no) - (x->no < y->no);
}

static int cmp_no(const void *a, const void *b)
{
    const struct top_entry *x = a, *y = b;
    return (x->no > y->no) - (x->no < y->no);
}

static int cmp_index(const void *a, const void *b, void *v)
{
    const struct top_entry *e = v;
    return strcmp(e[*(const uint32_t *)a].name, e[*(const uint32_t *)b].name);
}

int topdir_build(struct topdir *t, struct top_entry *v, uint32_t n)
{
    memset(t, 0, sizeof *t);
    if (n == 0) {
        free(v);
        return 0;
    }
    qsort(v, n, sizeof *v, cmp_name);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < n; i++)
        if (strcmp(v[i].name, v[kept - 1].name) != 0)
            v[kept++] = v[i];
    qsort(v, kept, sizeof *v, cmp_no);
    t->v = v;
    t->n = kept;
    t->by_name = calloc(kept, sizeof *t->by_name);
    if (!t->by_name) {
        topdir_release(t);
        return -1;
    }
    for (uint32_t i = 0; i < kept; i++)
        t->by_name[i] = i;
    qsort_r(t->by_name, kept, sizeof *t->by_name, cmp_index, v);
    return 0;
}

void topdir_release(struct topdir *t)
{
    free(t->v);
    free(t->by_name);
    memset(t, 0, sizeof *t);
}

uint32_t topdir_find(const struct topdir *t, const char *name)
{
    uint32_t lo = 0, hi = t->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const struct top_entry *e = &t->v[t->by_name[mid]];
        int c = strcmp(e->name, name);
        if (c == 0)
            return e->no;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return 0;
}

uint32_t topdir_after(const struct topdir *t, uint32_t no)
{
    uint32_t lo = 0, hi = t->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (t->v[mid].no <= no)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int topdir_gone(const struct topdir *old, const struct topdir *fresh, int (*fn)(void *, const struct top_entry *),
                void *ctx)
{
    for (uint32_t i = 0; i < old->n; i++) {
        if (topdir_find(fresh, old->v[i].name) == old->v[i].no)
            continue;
        int r = fn(ctx, &old->v[i]);
        if (r)
            return r;
    }
    return 0;
}

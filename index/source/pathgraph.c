/* SPDX-License-Identifier: MIT */
#include "pathgraph.h"

#include "../hashtab.h"

#include <stdlib.h>
#include <string.h>

struct vertex {
    char *name;
    char **refs;   /* once it was asked for them */
    size_t next;   /* reference that the walk looks at next */
    uint32_t from; /* vertex that led here; itself at the beginning */
};

struct graph {
    struct vertex *v;
    uint32_t *order; /* vertices that are done, in that order; room for all */
    uint32_t n, cap, n_order;
    struct hashtab index;
    struct hashkey key;
    pathgraph_refs refs;
    void *ctx;
};

void pathgraph_free(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

int pathgraph_copy(const char *const *list, char ***ret)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    char **v = calloc(n + 1, sizeof *v);
    for (size_t i = 0; v && i < n; i++) {
        v[i] = strdup(list[i]);
        if (!v[i]) {
            pathgraph_free(v);
            v = NULL;
        }
    }
    *ret = v;
    return v ? 0 : -1;
}

static int graph_init(struct graph *g, pathgraph_refs refs, void *ctx, struct err *e)
{
    *g = (struct graph){.refs = refs, .ctx = ctx};
    return hashkey_init(&g->key) < 0 ? err_set(e, ERR_SYSTEM, "the system gives no random bytes") : 0;
}

static void graph_release(struct graph *g)
{
    for (uint32_t i = 0; i < g->n; i++) {
        free(g->v[i].name);
        pathgraph_free(g->v[i].refs);
    }
    free(g->v);
    free(g->order);
    hashtab_release(&g->index);
}

struct wanted {
    const struct graph *g;
    const char *name;
};

static bool is_wanted(const void *ctx, uint32_t val)
{
    const struct wanted *w = ctx;
    return !strcmp(w->g->v[val].name, w->name);
}

/* Number of the vertex with that name; it is made, coming from `from`, when there is none (*ret_new). */
static int vertex(struct graph *g, const char *name, uint32_t from, uint32_t *ret, bool *ret_new, struct err *e)
{
    struct wanted w = {g, name};
    uint32_t hash = (uint32_t)hashkey_of(&g->key, 0, name, strlen(name));
    *ret = hashtab_find(&g->index, hash, is_wanted, &w);
    *ret_new = *ret == HASHTAB_NONE;
    if (!*ret_new)
        return 0;
    if (g->n == g->cap) {
        uint32_t cap = g->cap ? 2 * g->cap : 64;
        struct vertex *v = reallocarray(g->v, cap, sizeof *v);
        if (!v)
            return err_nomem(e);
        g->v = v;
        uint32_t *order = reallocarray(g->order, cap, sizeof *order);
        if (!order)
            return err_nomem(e);
        g->order = order;
        g->cap = cap;
    }
    g->v[g->n] = (struct vertex){.name = strdup(name), .from = from == HASHTAB_NONE ? g->n : from};
    if (!g->v[g->n].name)
        return err_nomem(e);
    *ret = g->n++;
    return hashtab_put(&g->index, hash, *ret) < 0 ? err_nomem(e) : 0;
}

static int ask(struct graph *g, uint32_t i, struct err *e)
{
    const struct vertex *v = &g->v[i];
    char **refs = NULL;
    if (g->refs(g->ctx, v->name, v->from == i ? NULL : g->v[v->from].name, &refs, e) < 0)
        return -1;
    g->v[i].refs = refs;
    return 0;
}

/* From vertex i down: a vertex is done when all behind it are. The way back is `from`. */
static int walk_down(struct graph *g, uint32_t i, struct err *e)
{
    if (ask(g, i, e) < 0)
        return -1;
    for (;;) {
        const char *ref = g->v[i].refs ? g->v[i].refs[g->v[i].next] : NULL;
        uint32_t k;
        bool is_new;
        if (!ref) {
            g->order[g->n_order++] = i;
            if (g->v[i].from == i)
                return 0;
            i = g->v[i].from;
            continue;
        }
        g->v[i].next++;
        if (vertex(g, ref, i, &k, &is_new, e) < 0)
            return -1;
        if (is_new) {
            i = k;
            if (ask(g, i, e) < 0)
                return -1;
        }
    }
}

/* The names of n vertices, as a list of its own. */
static int take_names(struct graph *g, const uint32_t *which, uint32_t n, char ***ret, struct err *e)
{
    char **v = calloc((size_t)n + 1, sizeof *v);
    if (!v)
        return err_nomem(e);
    for (uint32_t i = 0; i < n; i++) {
        v[i] = g->v[which[i]].name;
        g->v[which[i]].name = NULL;
    }
    *ret = v;
    return 0;
}

int pathgraph_order(const char *const *names, pathgraph_refs refs, void *ctx, char ***ret, struct err *e)
{
    struct graph g;
    int rc = graph_init(&g, refs, ctx, e);
    for (; !rc && *names; names++) {
        uint32_t i;
        bool is_new;
        rc = vertex(&g, *names, HASHTAB_NONE, &i, &is_new, e);
        if (!rc && is_new)
            rc = walk_down(&g, i, e);
    }
    if (!rc)
        rc = take_names(&g, g.order, g.n_order, ret, e);
    graph_release(&g);
    return rc;
}

/* Breadth first: vertices are asked in the order in which they were met. *ret: the one named b, or HASHTAB_NONE. */
static int walk_wide(struct graph *g, const char *b, uint32_t *ret, struct err *e)
{
    for (uint32_t i = 0; i < g->n; i++) {
        if (!strcmp(g->v[i].name, b)) {
            *ret = i;
            return 0;
        }
        if (ask(g, i, e) < 0)
            return -1;
        for (char **r = g->v[i].refs; r && *r; r++) {
            uint32_t k;
            bool is_new;
            if (vertex(g, *r, i, &k, &is_new, e) < 0)
                return -1;
        }
    }
    *ret = HASHTAB_NONE;
    return 0;
}

int pathgraph_chain(const char *a, const char *b, pathgraph_refs refs, void *ctx, char ***ret, struct err *e)
{
    struct graph g;
    uint32_t i = HASHTAB_NONE;
    bool is_new;
    int rc = graph_init(&g, refs, ctx, e);
    if (!rc)
        rc = vertex(&g, a, HASHTAB_NONE, &i, &is_new, e);
    if (!rc)
        rc = walk_wide(&g, b, &i, e);
    if (!rc && i == HASHTAB_NONE)
        *ret = NULL;
    else if (!rc) {
        uint32_t n = 1;
        for (uint32_t k = i; g.v[k].from != k; k = g.v[k].from)
            n++;
        for (uint32_t at = n; at; i = g.v[i].from)
            g.order[--at] = i;
        rc = take_names(&g, g.order, n, ret, e);
    }
    graph_release(&g);
    return rc;
}

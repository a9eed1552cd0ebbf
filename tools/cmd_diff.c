/* SPDX-License-Identifier: MIT */
/*
 * cairn diff: both trees are walked together, directory by directory, names in order. Files with the same digest are
 * equal without being read.
 */
#include "../index/treecache.h"
#include "command.h"
#include "object.h"
#include "out.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TREES = 64 << 20 };

struct differ {
    struct treecache *c;
    const struct invocation *in;
    struct json *list;
    uint64_t added, removed, changed;
    int64_t bytes;
    struct err *e;
};

static uint64_t size_of(const struct place *p)
{
    const struct tree_node *n = tree_node(p->lt->tree, p->node);
    return S_ISREG(n->mode) ? n->size : 0;
}

static int report(struct differ *d, char what, const char *path, const struct place *a, const struct place *b)
{
    uint64_t before = a ? size_of(a) : 0, after = b ? size_of(b) : 0;
    char x[16], y[16];
    d->added += what == 'A';
    d->removed += what == 'D';
    d->changed += what == 'C';
    d->bytes += (int64_t)after - (int64_t)before;
    if (d->in->json) {
        char w[2] = {what, '\0'};
        struct json *o = json_new_object();
        int rc = json_set(o, "change", json_new_str(w)) | json_set(o, "path", json_new_str(path)) |
                 json_set(o, "size_before", a ? json_new_int((int64_t)before) : json_new_null()) |
                 json_set(o, "size_after", b ? json_new_int((int64_t)after) : json_new_null()) | json_add(d->list, o);
        return rc ? err_nomem(d->e) : 0;
    }
    if (opt_has(d->in, "stat"))
        return 0;
    human_size(before, x);
    human_size(after, y);
    printf("%c %7s %7s  ", what, a ? x : "", b ? y : "");
    out_name(path, strlen(path));
    putchar('\n');
    return 0;
}

static bool same_xattrs(const struct place *a, const struct place *b)
{
    const struct tree *s = a->lt->tree, *t = b->lt->tree;
    const struct tree_node *m = tree_node(s, a->node), *n = tree_node(t, b->node);
    uint32_t count = tree_xattr_count(s, m);
    if (count != tree_xattr_count(t, n))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct tree_xattr *x = tree_xattr(s, m, i), *y = tree_xattr(t, n, i);
        if (x->name_len != y->name_len || x->value_len != y->value_len ||
            memcmp(tree_string(s, x->name), tree_string(t, y->name), x->name_len) != 0 ||
            memcmp(tree_string(s, x->value), tree_string(t, y->value), x->value_len) != 0)
            return false;
    }
    return true;
}

static bool same_node(const struct differ *d, const struct place *a, const struct place *b)
{
    const struct tree *s = a->lt->tree, *t = b->lt->tree;
    const struct tree_node *m = tree_node(s, a->node), *n = tree_node(t, b->node);
    if (a->lt->no == b->lt->no && a->node == b->node)
        return true;
    if (m->mode != n->mode || m->uid != n->uid || m->gid != n->gid || m->size != n->size || m->rdev != n->rdev ||
        (m->flags & NODE_HARDLINK) != (n->flags & NODE_HARDLINK))
        return false;
    if (opt_has(d->in, "times") && (m->mtime != n->mtime || m->mtime_nsec != n->mtime_nsec))
        return false;
    if (S_ISLNK(m->mode) &&
        (m->count != n->count || memcmp(tree_string(s, m->first), tree_string(t, n->first), m->count) != 0))
        return false;
    if (S_ISREG(m->mode) && m->content != TREE_NONE && n->content != TREE_NONE &&
        !digest_eq(&tree_content(s, m->content)->digest, &tree_content(t, n->content)->digest))
        return false;
    return same_xattrs(a, b);
}

static int walk(struct differ *d, const struct place *a, const struct place *b, const char *path);

/* path/name; NULL: no memory. */
static char *below(const char *path, const struct tree *t, const struct tree_entry *en)
{
    char *sub = NULL;
    return asprintf(&sub, "%s/%.*s", path, (int)en->name_len, tree_string(t, en->name)) < 0 ? NULL : sub;
}

/* One name that one side or both have. */
static int visit(struct differ *d, const struct place *a, const struct place *b, const char *path)
{
    const struct tree_node *m = a ? tree_node(a->lt->tree, a->node) : NULL,
                           *n = b ? tree_node(b->lt->tree, b->node) : NULL;
    int rc = 0;
    if (!a || !b)
        rc = report(d, a ? 'D' : 'A', path, a, b);
    else if (!same_node(d, a, b))
        rc = report(d, 'C', path, a, b);
    if (rc == 0 && ((m && S_ISDIR(m->mode)) || (n && S_ISDIR(n->mode))))
        rc = walk(d, m && S_ISDIR(m->mode) ? a : NULL, n && S_ISDIR(n->mode) ? b : NULL, path);
    return rc;
}

static int compare_names(const struct tree *s, const struct tree_entry *x, const struct tree *t,
                         const struct tree_entry *y)
{
    if (!x || !y)
        return x ? -1 : 1;
    size_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
    int c = memcmp(tree_string(s, x->name), tree_string(t, y->name), n);
    return c ? c : (int)x->name_len - (int)y->name_len;
}

/* Recursion is bounded: paths are, by LIMIT_DEPTH. */
static int walk(struct differ *d, const struct place *a, const struct place *b, const char *path)
{
    const struct tree *s = a ? a->lt->tree : NULL, *t = b ? b->lt->tree : NULL;
    const struct tree_node *m = a ? tree_node(s, a->node) : NULL, *n = b ? tree_node(t, b->node) : NULL;
    uint32_t i = 0, k = 0;
    int rc = 0;
    while (rc == 0 && ((m && i < m->count) || (n && k < n->count))) {
        const struct tree_entry *x = m && i < m->count ? tree_entry_at(s, m, i) : NULL;
        const struct tree_entry *y = n && k < n->count ? tree_entry_at(t, n, k) : NULL;
        int c = compare_names(s, x, t, y);
        struct place p = {0}, q = {0};
        char *sub = x && c <= 0 ? below(path, s, x) : y ? below(path, t, y) : NULL;
        if (!sub)
            return err_nomem(d->e);
        if (c <= 0) {
            rc = treewalk_entry(d->c, a, x, &p, d->e);
            i++;
        }
        if (rc == 0 && c >= 0) {
            rc = treewalk_entry(d->c, b, y, &q, d->e);
            k++;
        }
        if (rc == 0)
            rc = visit(d, p.lt ? &p : NULL, q.lt ? &q : NULL, sub);
        if (p.lt)
            treewalk_release(d->c, &p);
        if (q.lt)
            treewalk_release(d->c, &q);
        free(sub);
    }
    return rc;
}

static int open_side(struct differ *d, struct store *s, const char *text, struct place *ret)
{
    struct object o;
    const char *path;
    struct place root;
    if (object_find_path(s, text, &o, &path, d->e) < 0)
        return -1;
    int rc = treewalk_root(d->c, o.no, &root, d->e);
    object_release(&o);
    if (rc == 0) {
        rc = treewalk_path(d->c, &root, path, true, ret, d->e);
        treewalk_release(d->c, &root);
    }
    return rc < 0 ? err_wrap(d->e, "%s", text) : 0;
}

static int print_end(struct differ *d)
{
    char size[16];
    if (d->in->json)
        return out_json(json_ref(d->list), d->e);
    human_size((uint64_t)(d->bytes < 0 ? -d->bytes : d->bytes), size);
    if (!d->in->quiet)
        printf("%" PRIu64 " added, %" PRIu64 " removed, %" PRIu64 " changed, %s%s\n", d->added, d->removed, d->changed,
               d->bytes < 0 ? "-" : "+", size);
    return 0;
}

static int run(struct invocation *in, struct err *e)
{
    struct store *s;
    struct differ d = {.in = in, .e = e};
    struct place a = {0}, b = {0};
    if (tool_store(in, 0, &s, e) < 0)
        return -1;
    d.list = json_new_array();
    int rc = treecache_new(s, TREES, &d.c, e);
    if (rc == 0)
        rc = open_side(&d, s, in->args[0], &a);
    if (rc == 0 && a.lt) {
        rc = open_side(&d, s, in->args[1], &b);
        if (rc == 0 && b.lt) {
            rc = visit(&d, &a, &b, "");
            if (rc == 0)
                rc = print_end(&d);
            treewalk_release(d.c, &b);
        }
        treewalk_release(d.c, &a);
    }
    json_unref(d.list);
    treecache_free(d.c);
    store_close(s);
    return rc < 0 ? -1 : EXIT_DONE;
}

static const struct option_def options[] = {
    {0, "stat", NULL, "the sums only"},
    {0, "times", NULL, "other times are a difference, too"},
    {0, NULL, NULL, NULL},
};

const struct command cmd_diff = {
    .name = "diff",
    .args = "OBJECT[:PATH] OBJECT[:PATH]",
    .summary = "show what differs between two images, layers or packages",
    .text = "A: added, D: removed, C: changed (contents, type, mode, owner, link target, extended attributes); sizes "
            "before and after.",
    .examples =
        "cairn diff deb:nginx deb:apache2\ncairn diff --stat web:1 web:2\ncairn diff deb:nginx:/etc deb:apache2:/etc",
    .options = options,
    .min_args = 2,
    .max_args = 2,
    .run = run,
};

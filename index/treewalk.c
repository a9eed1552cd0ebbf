/* SPDX-License-Identifier: MIT */
/* treewalk: paths through trees without a mount (treecache.h). */
#include "treecache.h"

#include "limits.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct tree_node *node_of(const struct place *p)
{
    return tree_node(p->lt->tree, p->node);
}

int treewalk_root(struct treecache *c, uint32_t no, struct place *ret, struct err *e)
{
    ret->node = 0;
    return treecache_get(c, no, &ret->lt, e);
}

void treewalk_release(struct treecache *c, struct place *p)
{
    treecache_put(c, p->lt);
    p->lt = NULL;
}

int treewalk_entry(struct treecache *c, const struct place *dir, const struct tree_entry *en, struct place *ret,
                   struct err *e)
{
    uint32_t no = en->tree == TREE_SELF ? dir->lt->no : dir->lt->ref_no[en->tree];
    struct place p = {.node = en->node};
    if (treecache_get(c, no, &p.lt, e) < 0)
        return -1;
    if (p.node >= tree_node_count(p.lt->tree) || node_of(&p)->mode >> 12 != en->type) {
        treewalk_release(c, &p);
        return err_set(e, ERR_DAMAGED, "an entry names a node that the tree of object %u hasn't got", no);
    }
    *ret = p;
    return 0;
}

/* The way down: the last place is where we are; ".." goes back. */
struct way {
    struct treecache *c;
    struct place v[LIMIT_DEPTH + 1];
    size_t n;
};

static int start(struct way *w, const struct place *root, struct err *e)
{
    while (w->n)
        treewalk_release(w->c, &w->v[--w->n]);
    w->v[0].node = root->node;
    if (treecache_get(w->c, root->lt->no, &w->v[0].lt, e) < 0)
        return -1;
    w->n = 1;
    return 0;
}

static int no_entry(const char *path, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "no '%s'", path);
}

/* A symlink's target in front of what is left of the path (nothing, or a "/" and more). */
static char *splice(const struct place *link, const char *rest)
{
    const struct tree_node *n = node_of(link);
    size_t len = strlen(rest);
    char *s = malloc(n->count + len + 1);
    if (!s)
        return NULL;
    memcpy(s, tree_string(link->lt->tree, n->first), n->count);
    memcpy(s + n->count, rest, len + 1);
    return s;
}

/* Takes one name from *left; *ret_link: a link that has to be followed (and isn't on the way). */
static int step(struct way *w, const char *name, size_t len, bool follow, struct place *ret_link, const char *path,
                struct err *e)
{
    const struct place *at = &w->v[w->n - 1];
    const struct tree_node *n = node_of(at);
    struct place p;
    ret_link->lt = NULL;
    if (!S_ISDIR(n->mode))
        return err_set(e, ERR_NOT_FOUND, "no '%s': something on the way is no directory", path);
    if (len == 1 && name[0] == '.')
        return 0;
    if (len == 2 && name[0] == '.' && name[1] == '.') {
        if (w->n > 1)
            treewalk_release(w->c, &w->v[--w->n]);
        return 0;
    }
    const struct tree_entry *en = tree_lookup(at->lt->tree, n, name, len);
    if (!en)
        return no_entry(path, e);
    if (treewalk_entry(w->c, at, en, &p, e) < 0)
        return -1;
    if (follow && S_ISLNK(node_of(&p)->mode) && !(node_of(&p)->flags & NODE_HARDLINK)) {
        *ret_link = p;
        return 0;
    }
    if (w->n > LIMIT_DEPTH) {
        treewalk_release(w->c, &p);
        return err_set(e, ERR_LIMIT, "'%s' is deeper than %d directories", path, LIMIT_DEPTH);
    }
    w->v[w->n++] = p;
    return 0;
}

static int walk(struct way *w, const struct place *root, const char *path, bool follow_last, struct err *e)
{
    char *own = NULL;
    const char *left = path;
    unsigned links = 0;
    int rc = start(w, root, e);
    while (rc == 0) {
        struct place link;
        left += strspn(left, "/");
        size_t len = strcspn(left, "/");
        if (!len) {
            if (w->n > 1 && left[-1] == '/' && !S_ISDIR(node_of(&w->v[w->n - 1])->mode))
                rc = err_set(e, ERR_NOT_FOUND, "no '%s': what is there is no directory", path);
            break;
        }
        const char *rest = left + len;
        bool last = rest[strspn(rest, "/")] == '\0';
        rc = step(w, left, len, !last || follow_last || *rest, &link, path, e);
        left = rest;
        if (rc < 0 || !link.lt)
            continue;
        char *next = ++links > LIMIT_SYMLINKS ? NULL : splice(&link, rest);
        treewalk_release(w->c, &link);
        if (!next) {
            rc = links > LIMIT_SYMLINKS ? err_set(e, ERR_INPUT, "'%s': too many links", path) : err_nomem(e);
            break;
        }
        free(own);
        left = own = next;
        if (*own == '/')
            rc = start(w, root, e);
    }
    free(own);
    return rc;
}

int treewalk_path(struct treecache *c, const struct place *root, const char *path, bool follow_last, struct place *ret,
                  struct err *e)
{
    struct way *w = calloc(1, sizeof *w);
    if (!w)
        return err_nomem(e);
    w->c = c;
    int rc = walk(w, root, path, follow_last, e);
    if (rc == 0)
        *ret = w->v[--w->n];
    while (w->n)
        treewalk_release(c, &w->v[--w->n]);
    free(w);
    return rc;
}

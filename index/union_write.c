/* SPDX-License-Identifier: MIT */
/*
 * Writes the result of a union: a root filesystem over its layers (union_compile), or the directories of one layer
 * (union_write_layer). Both walk breadth first with names in order, so that the same result always gives the same
 * bytes and the same node numbers.
 *
 * In a root filesystem, a name that is no directory refers to the layer's node if that tells the truth about its link
 * count: when the result has as many names for the node as the layer's tree says. Otherwise the root filesystem gets a
 * node of its own with the real count. A layer that was applied twice brought two files for each of its nodes: only
 * names of one application may refer to the node. So two names for one node are only ever hard links (design.md 2.5).
 */
#include "session.h"
#include "union_state.h"

#include <stdlib.h>
#include <sys/stat.h>

/* ulayer.names, per node: while counting, the names; then one of these or the number of the root filesystem's own node.
 */
#define NODE_REFERRED UINT32_MAX
#define NODE_COPIED   (UINT32_MAX - 1) /* not made yet */

struct walk {
    struct union_ *u;
    struct treewrite *w;
    uint32_t *queue; /* directories whose node exists; uname.upper holds its number from here on */
    uint32_t head, tail, cap;
    uint32_t *kids; /* of one directory, sorted */
    struct tree_entry *entries;
    uint32_t kids_cap, entries_cap;
    uint32_t *link_node; /* union_write_layer: nodes of u->links */
};

static void walk_release(struct walk *k)
{
    free(k->queue);
    free(k->kids);
    free(k->entries);
    free(k->link_node);
}

static int enqueue(struct walk *k, uint32_t dir, uint32_t node, struct err *e)
{
    uint32_t *queue = union_grow(k->queue, k->tail, &k->cap, sizeof *queue);
    if (!queue)
        return err_nomem(e);
    k->queue = queue;
    k->queue[k->tail++] = dir;
    k->u->v[dir].upper = node;
    return 0;
}

static const char *spelling(const struct walk *k, const struct uname *x)
{
    /* The pool of a layer that is being written moves as it grows: ask its owner. */
    const struct ulayer *l = &k->u->layers[x->name_layer];
    return l->tree ? l->o.pool + x->name : treewrite_string_at(k->w, x->name);
}

static int by_name(const void *a, const void *b, void *ctx)
{
    const struct walk *k = ctx;
    const struct uname *x = &k->u->v[*(const uint32_t *)a], *y = &k->u->v[*(const uint32_t *)b];
    int c = memcmp(spelling(k, x), spelling(k, y), x->name_len < y->name_len ? x->name_len : y->name_len);
    return c ? c : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

/* The directory's children in order of their names, and as many entries to fill in. */
static int gather(struct walk *k, uint32_t dir, uint32_t *ret_n, struct err *e)
{
    uint32_t n = 0;
    for (uint32_t c = k->u->v[dir].child; c != NAME_NONE; c = k->u->v[c].next) {
        uint32_t *kids = union_grow(k->kids, n, &k->kids_cap, sizeof *kids);
        if (!kids)
            return err_nomem(e);
        k->kids = kids;
        struct tree_entry *entries = union_grow(k->entries, n, &k->entries_cap, sizeof *entries);
        if (!entries)
            return err_nomem(e);
        k->entries = entries;
        k->kids[n++] = c;
    }
    if (n)
        qsort_r(k->kids, n, sizeof *k->kids, by_name, k);
    *ret_n = n;
    return 0;
}

static const struct tree_node implicit_dir = {
    .mode = S_IFDIR | 0755, .content = TREE_NONE, .xattrs = TREE_NONE, .flags = NODE_IMPLICIT};

/* --- a root filesystem --- */

static int count_names(struct union_ *u, struct err *e)
{
    uint32_t x = NAME_ROOT;
    for (;;) {
        const struct uname *n = &u->v[x];
        struct ulayer *l = n->type == NAME_DIR ? NULL : &u->layers[n->layer];
        if (l && !l->names && !(l->names = calloc(l->o.node_count, sizeof *l->names)))
            return err_nomem(e);
        if (l)
            l->names[n->node]++;
        /* Onwards in preorder. */
        if (n->child != NAME_NONE) {
            x = n->child;
            continue;
        }
        while (x != NAME_ROOT && u->v[x].next == NAME_NONE)
            x = u->v[x].parent;
        if (x == NAME_ROOT)
            return 0;
        x = u->v[x].next;
    }
}

struct by_diffid {
    struct digest diffid;
    uint32_t layer;
};

static int diffid_cmp(const void *a, const void *b)
{
    const struct by_diffid *x = a, *y = b;
    int c = memcmp(x->diffid.b, y->diffid.b, DIGEST_LEN);
    return c ? c : (x->layer > y->layer) - (x->layer < y->layer);
}

/* Finds layers that were applied several times. */
static int pair_layers(struct union_ *u, struct err *e)
{
    struct by_diffid *v = calloc(u->layer_count ? u->layer_count : 1, sizeof *v);
    if (!v)
        return err_nomem(e);
    for (uint32_t i = 0; i < u->layer_count; i++)
        v[i] = (struct by_diffid){u->layers[i].diffid, i};
    qsort(v, u->layer_count, sizeof *v, diffid_cmp);
    int r = 0;
    for (uint32_t i = 1; i < u->layer_count && !r; i++) {
        struct ulayer *prev = &u->layers[v[i - 1].layer], *l = &u->layers[v[i].layer];
        if (!digest_eq(&prev->diffid, &l->diffid))
            continue;
        l->first = prev->first;
        struct ulayer *first = &u->layers[l->first];
        if (!first->claimed && !(first->claimed = calloc(first->o.node_count / 8 + 1, 1)))
            r = err_nomem(e);
        if (l->o.node_count != first->o.node_count)
            r = err_set(e, ERR_DAMAGED, "one layer is there as two different trees");
    }
    free(v);
    return r;
}

/* Decides for each node that has names whether they refer to it, and adds the references that are needed. */
static int settle_layer(struct union_ *u, struct treewrite *w, uint32_t i, struct err *e)
{
    struct ulayer *l = &u->layers[i], *first = &u->layers[l->first];
    uint32_t referred = 0;
    for (uint32_t n = 0; l->names && n < l->o.node_count; n++) {
        bool claimed = first->claimed && first->claimed[n / 8] & 1u << n % 8;
        if (!l->names[n])
            continue;
        if (claimed || l->names[n] != l->o.nodes[n].nlink) {
            l->names[n] = NODE_COPIED;
            continue;
        }
        if (first->claimed)
            first->claimed[n / 8] |= (uint8_t)(1u << n % 8);
        l->names[n] = NODE_REFERRED;
        referred++;
    }
    if (!referred || first->ref != TREE_NONE)
        return 0;
    return treewrite_ref(w, &first->diffid, &first->ref, e);
}

static int settle_nodes(struct union_ *u, struct treewrite *w, struct err *e)
{
    if (count_names(u, e) < 0 || pair_layers(u, e) < 0)
        return -1;
    for (uint32_t i = 0; i < u->layer_count; i++)
        u->layers[i].ref = TREE_NONE;
    for (uint32_t i = 0; i < u->layer_count; i++)
        if (settle_layer(u, w, i, e) < 0)
            return -1;
    return 0;
}

static int copy_xattrs(struct treewrite *w, uint32_t node, const struct tree *t, const struct tree_node *n,
                       struct err *e)
{
    uint32_t count = tree_xattr_count(t, n);
    if (!count)
        return 0;
    struct xattr *x = calloc(count, sizeof *x);
    if (!x)
        return err_nomem(e);
    for (uint32_t i = 0; i < count; i++) {
        const struct tree_xattr *s = tree_xattr(t, n, i);
        x[i] = (struct xattr){tree_string(t, s->name), s->name_len, tree_string(t, s->value), s->value_len};
    }
    int r = treewrite_xattrs(w, node, x, count, e);
    free(x);
    return r;
}

/* The root filesystem's own node with the attributes of a layer's. */
static int copy_node(struct treewrite *w, const struct tree *t, uint32_t node, uint32_t *ret, struct err *e)
{
    const struct tree_node *s = tree_node(t, node);
    struct tree_node n = *s;
    uint32_t number;
    n.flags = 0;
    n.xattrs = n.content = TREE_NONE;
    if (S_ISLNK(s->mode) && treewrite_string(w, tree_string(t, s->first), s->count, &n.first, e) < 0)
        return -1;
    if (s->content != TREE_NONE) {
        const struct tree_content *c = tree_content(t, s->content);
        struct content k = {c->digest, c->size, c->stored, tree_chunk(t, c->first_chunk), c->chunk_count};
        if (treewrite_content(w, &k, &n.content, e) < 0)
            return -1;
    }
    if (treewrite_node(w, &n, &number, e) < 0 || copy_xattrs(w, number, t, s, e) < 0)
        return -1;
    *ret = number;
    return 0;
}

static int compile_dir_node(struct walk *k, uint32_t dir, uint32_t *ret, struct err *e)
{
    const struct uname *x = &k->u->v[dir];
    if (x->node == TREE_NONE ? treewrite_node(k->w, &implicit_dir, ret, e) < 0
                             : copy_node(k->w, k->u->layers[x->layer].tree, x->node, ret, e) < 0)
        return -1;
    return enqueue(k, dir, *ret, e);
}

static int compile_entry(struct walk *k, uint32_t name, struct tree_entry *en, struct err *e)
{
    const struct uname *x = &k->u->v[name];
    struct ulayer *l = &k->u->layers[x->layer];
    *en = (struct tree_entry){.tree = TREE_SELF, .type = x->type, .name_len = x->name_len};
    if (treewrite_string(k->w, spelling(k, x), x->name_len, &en->name, e) < 0)
        return -1;
    if (x->type == NAME_DIR)
        return compile_dir_node(k, name, &en->node, e);
    if (l->names[x->node] == NODE_REFERRED) {
        en->tree = k->u->layers[l->first].ref;
        en->node = x->node;
        return 0;
    }
    if (l->names[x->node] == NODE_COPIED && copy_node(k->w, l->tree, x->node, &l->names[x->node], e) < 0)
        return -1;
    en->node = l->names[x->node];
    return 0;
}

static int compile_dirs(struct walk *k, struct err *e)
{
    uint32_t node, n;
    if (compile_dir_node(k, NAME_ROOT, &node, e) < 0)
        return -1;
    while (k->head < k->tail) {
        uint32_t dir = k->queue[k->head++];
        if (gather(k, dir, &n, e) < 0)
            return -1;
        for (uint32_t i = 0; i < n; i++)
            if (compile_entry(k, k->kids[i], &k->entries[i], e) < 0)
                return -1;
        if (treewrite_dir(k->w, k->u->v[dir].upper, k->entries, n, e) < 0)
            return -1;
    }
    return 0;
}

int union_compile(struct union_ *u, struct buf *out, struct err *e)
{
    struct walk k = {.u = u};
    if (u->written || u->flags & UNION_KEEP_WHITEOUTS)
        return err_set(e, ERR_USAGE, "this union can't give a root filesystem");
    for (uint32_t i = 0; i < u->layer_count; i++)
        if (!u->layers[i].tree)
            return err_set(e, ERR_USAGE, "a root filesystem over a layer that isn't written yet");
    u->written = true;
    hashtab_release(&u->index);
    if (treewrite_new(TREE_ROOTFS, &k.w, e) < 0)
        return -1;
    int r = settle_nodes(u, k.w, e);
    if (!r)
        r = compile_dirs(&k, e);
    walk_release(&k);
    free(u->v); /* a large tree's names and its flat form needn't be in memory together */
    u->v = NULL;
    if (!r)
        r = treewrite_finish(k.w, out, e);
    treewrite_free(k.w);
    return r;
}

/* --- one layer --- */

static int layer_root(struct walk *k, struct err *e)
{
    const struct uname *x = &k->u->v[NAME_ROOT];
    struct tree_node *root = treewrite_node_at(k->w, 0);
    if (x->node == TREE_NONE)
        *root = implicit_dir;
    else if (x->node)
        *root = *treewrite_node_at(k->w, x->node);
    root->flags |= x->flags & NAME_OPAQUE ? NODE_OPAQUE : 0;
    return enqueue(k, NAME_ROOT, 0, e);
}

static int layer_dir(struct walk *k, uint32_t dir, uint32_t *ret, struct err *e)
{
    const struct uname *x = &k->u->v[dir];
    *ret = x->node;
    if (x->node == TREE_NONE && treewrite_node(k->w, &implicit_dir, ret, e) < 0)
        return -1;
    if (x->flags & NAME_OPAQUE)
        treewrite_node_at(k->w, *ret)->flags |= NODE_OPAQUE;
    return enqueue(k, dir, *ret, e);
}

/* The node of a hard link to something below: its target is written as an absolute path. */
static int layer_link(struct walk *k, uint32_t link, uint32_t *ret, struct err *e)
{
    const struct ustr *s = &k->u->links[link];
    struct tree_node n = {.mode = S_IFLNK | 0777, .content = TREE_NONE, .xattrs = TREE_NONE, .flags = NODE_HARDLINK};
    char path[LIMIT_PATH];
    if (k->link_node[link] == TREE_NONE) {
        if (s->len + 1 >= LIMIT_PATH)
            return err_set(e, ERR_INPUT, "hard link to a path of %u bytes", s->len);
        path[0] = '/';
        memcpy(path + 1, treewrite_string_at(k->w, s->off), s->len);
        n.size = n.count = s->len + 1;
        if (treewrite_string(k->w, path, n.count, &n.first, e) < 0 ||
            treewrite_node(k->w, &n, &k->link_node[link], e) < 0)
            return -1;
    }
    *ret = k->link_node[link];
    return 0;
}

static int layer_entry(struct walk *k, uint32_t name, struct tree_entry *en, struct err *e)
{
    static const struct tree_node whiteout = {
        .mode = S_IFCHR, .content = TREE_NONE, .xattrs = TREE_NONE, .flags = NODE_WHITEOUT};
    const struct uname *x = &k->u->v[name];
    *en = (struct tree_entry){
        .tree = TREE_SELF, .type = x->type, .name_len = x->name_len, .name = x->name, .node = x->node};
    if (x->type == NAME_WHITEOUT) {
        en->type = S_IFCHR >> 12;
        return treewrite_node(k->w, &whiteout, &en->node, e);
    }
    if (x->type == NAME_DIR)
        return layer_dir(k, name, &en->node, e);
    return x->flags & NAME_LINK ? layer_link(k, x->node, &en->node, e) : 0;
}

static int layer_dirs(struct walk *k, struct err *e)
{
    uint32_t n;
    if (layer_root(k, e) < 0)
        return -1;
    while (k->head < k->tail) {
        uint32_t dir = k->queue[k->head++];
        if (gather(k, dir, &n, e) < 0)
            return -1;
        for (uint32_t i = 0; i < n; i++)
            if (layer_entry(k, k->kids[i], &k->entries[i], e) < 0)
                return -1;
        if (treewrite_dir(k->w, k->u->v[dir].upper, k->entries, n, e) < 0)
            return -1;
    }
    return 0;
}

int union_write_layer(struct union_ *u, struct treewrite *w, struct err *e)
{
    struct walk k = {.u = u, .w = w};
    if (u->written || !(u->flags & UNION_KEEP_WHITEOUTS) || u->layer_count != 1 || u->layers[0].tree ||
        !treewrite_node_count(w))
        return err_set(e, ERR_USAGE, "this union can't give a layer");
    u->written = true;
    hashtab_release(&u->index);
    k.link_node = malloc((u->link_count + 1) * sizeof *k.link_node);
    if (!k.link_node)
        return err_nomem(e);
    memset(k.link_node, 0xff, (u->link_count + 1) * sizeof *k.link_node); /* TREE_NONE */
    int r = layer_dirs(&k, e);
    walk_release(&k);
    return r;
}

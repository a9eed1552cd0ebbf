/* SPDX-License-Identifier: MIT */
/*
 * The rules of the union. They are what umoci 0.4.7 was seen to do, entry by entry; each has a test in test_union.c.
 *
 * - Sequence: operations are replayed strictly in order onto the result so far, of this layer and all before it.
 * - Parents: all parts of a path but the last are resolved inside that result. Symlinks are followed (absolute ones
 *   from the root; ".." stops at the root and is lexical, so "missing/../x" is "x"; at most LIMIT_SYMLINKS), the last
 *   part isn't. So over lib -> usr/lib, "lib/foo" is usr/lib/foo.
 * - Missing parts are made, also at the end of a dangling symlink: 0755 root:root, time 0 (NODE_IMPLICIT). They never
 *   change a directory that is there. Whiteouts make nothing.
 * - A parent that is no directory: ERR_INPUT for an entry, nothing happens for a whiteout.
 * - Node: a directory over a directory takes its place in attributes and xattrs, and the children stay. Anything else
 *   takes the name over, and what was below it is gone (a directory over a symlink, too). The root stays a directory.
 * - Whiteout: removes the name (a symlink itself, not its target) and all below it, save what this layer has put there
 *   before: names that its entries made, and all directories above these ("upper").
 * - Opaque: the same for everything below the directory (all symlinks of its path followed), not for itself.
 * - Hard link: the old name goes first, then the target is looked up like any path (its last part not followed), in the
 *   result so far. No such target, or a directory: ERR_INPUT.
 *
 * With UNION_KEEP_WHITEOUTS, a layer alone, which can't know where the links of lower layers lead:
 *
 * - Whiteouts are kept under the names that they hide (in directories made for them if need be), unless the layer has
 *   an entry there: a file stays a file; a directory becomes opaque, as a directory does that took the place of
 *   something else in the same layer (over a lower layer's directory it mustn't merge).
 * - A hard link that leads to no file of the layer becomes a node of its own (NODE_HARDLINK). An entry whose parent is
 * no directory, or lies behind a ring of symlinks, gets no name. Refusing them is left to the root filesystem.
 * - Yet while all entries so far named their directories and went through no symlink, what is here is there over any
 * lower layers, too ("sure"): then a file as parent and a hard link to a directory are refused at once.
 *
 * Cost. A name is found by one probe of a hash table, a path in as many as it has parts. "Upper" is a stamp: marking
 * stops at the first directory marked already, so a layer marks each name once. A directory that was searched for lower
 * names, or made by this layer, is "clean" for the rest of the layer: 10^5 opaque markers on a wide directory search it
 * once. Nothing recurses.
 */
#include "union_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Parts of paths that one look-up may walk: symlinks of symlinks could otherwise ask for 40 times 2000. */
#define STEPS_MAX 4096

/* Where a path leads. */
struct where {
    uint32_t at;      /* the last part that is there (may be no directory) */
    uint32_t depth;   /* of `at`; the root's is 0 */
    uint32_t missing; /* parts behind it that aren't: u->missing */
};

void *union_grow(void *array, uint32_t count, uint32_t *cap, size_t size)
{
    if (count < *cap)
        return array;
    uint32_t n = *cap ? *cap + *cap / 2 : 16;
    void *grown = realloc(array, n * size);
    if (grown)
        *cap = n;
    return grown;
}

int union_new(int flags, struct union_ **ret, struct err *e)
{
    struct union_ *u = calloc(1, sizeof *u);
    if (!u)
        return err_nomem(e);
    if (hashkey_init(&u->key) < 0) {
        union_free(u);
        return err_set(e, ERR_SYSTEM, "the system gives no random bytes");
    }
    u->flags = flags;
    u->free = NAME_NONE;
    u->v = union_grow(NULL, 0, &u->cap, sizeof *u->v);
    if (!u->v) {
        union_free(u);
        return err_nomem(e);
    }
    u->v[u->count++] =
        (struct uname){.prev = NAME_NONE, .next = NAME_NONE, .child = NAME_NONE, .node = TREE_NONE, .type = NAME_DIR};
    *ret = u;
    return 0;
}

void union_free(struct union_ *u)
{
    if (!u)
        return;
    for (uint32_t i = 0; i < u->layer_count; i++) {
        free(u->layers[i].names);
        free(u->layers[i].claimed);
    }
    hashtab_release(&u->index);
    free(u->v);
    free(u->layers);
    free(u->links);
    free(u);
}

/* --- names --- */

struct probe {
    const struct union_ *u;
    uint32_t dir, len;
    const char *name;
};

static bool probe_eq(const void *ctx, uint32_t val)
{
    const struct probe *p = ctx;
    const struct uname *x = &p->u->v[val];
    return x->parent == p->dir && x->name_len == p->len &&
           memcmp(ustr_at(p->u, x->name_layer, x->name), p->name, p->len) == 0;
}

static uint32_t name_hash(const struct union_ *u, uint32_t dir, const char *name, uint32_t len)
{
    return (uint32_t)hashkey_of(&u->key, dir, name, len);
}

static uint32_t find(const struct union_ *u, uint32_t dir, const char *name, uint32_t len)
{
    struct probe p = {u, dir, len, name};
    return hashtab_find(&u->index, name_hash(u, dir, name, len), probe_eq, &p);
}

static uint32_t stamp(const struct union_ *u)
{
    return u->layer_count;
}

static void mark_upper(struct union_ *u, uint32_t x)
{
    for (; u->v[x].upper != stamp(u); x = u->v[x].parent)
        u->v[x].upper = stamp(u);
}

static int new_name(struct union_ *u, uint32_t dir, struct ustr name, struct uname *x, struct err *e)
{
    uint32_t i = u->free;
    if (u->live >= NAMES_MAX)
        return err_set(e, ERR_LIMIT, "more than %u names in one tree", NAMES_MAX);
    if (i != NAME_NONE) {
        u->free = u->v[i].next;
    } else {
        struct uname *v = union_grow(u->v, u->count, &u->cap, sizeof *v);
        if (!v)
            return err_nomem(e);
        u->v = v;
        i = u->count;
        u->v[u->count++] = (struct uname){.next = NAME_NONE};
    }
    const char *s = ustr_at(u, name.layer, name.off);
    if (hashtab_put(&u->index, name_hash(u, dir, s, name.len), i) < 0) {
        u->v[i].next = u->free;
        u->free = i;
        return err_nomem(e);
    }
    x->parent = dir;
    x->prev = x->child = NAME_NONE;
    x->next = u->v[dir].child;
    x->name_layer = name.layer;
    x->name = name.off;
    x->name_len = (uint16_t)name.len;
    x->upper = 0;
    x->clean = stamp(u);
    u->v[i] = *x;
    u->v[dir].child = i;
    if (x->next != NAME_NONE)
        u->v[x->next].prev = i;
    u->live++;
    if (x->type == NAME_SYMLINK)
        u->generation++;
    mark_upper(u, i);
    return 0;
}

static void remove_leaf(struct union_ *u, uint32_t i)
{
    struct uname *x = &u->v[i];
    hashtab_remove(&u->index, name_hash(u, x->parent, ustr_at(u, x->name_layer, x->name), x->name_len), i);
    if (x->prev == NAME_NONE)
        u->v[x->parent].child = x->next;
    else
        u->v[x->prev].next = x->next;
    if (x->next != NAME_NONE)
        u->v[x->next].prev = x->prev;
    if (x->type == NAME_DIR || x->type == NAME_SYMLINK)
        u->generation++;
    x->next = u->free;
    u->free = i;
    u->live--;
}

/* Removes a name and all below it, leaves first. */
static void remove_name(struct union_ *u, uint32_t top)
{
    uint32_t x = top;
    for (;;) {
        while (u->v[x].child != NAME_NONE)
            x = u->v[x].child;
        uint32_t parent = u->v[x].parent;
        remove_leaf(u, x);
        if (x == top)
            return;
        x = parent;
    }
}

/* Puts a name: merges directories, replaces anything else. x says type, layer, node, flags. */
static int put(struct union_ *u, uint32_t dir, struct ustr name, struct uname x, struct err *e)
{
    uint32_t old = find(u, dir, ustr_at(u, name.layer, name.off), name.len);
    if (old != NAME_NONE && u->v[old].type == NAME_DIR && x.type == NAME_DIR) {
        u->v[old].layer = x.layer;
        u->v[old].node = x.node;
        mark_upper(u, old);
        return 0;
    }
    if (old != NAME_NONE) {
        if (x.type == NAME_DIR && u->flags & UNION_KEEP_WHITEOUTS)
            x.flags |= NAME_OPAQUE;
        remove_name(u, old);
    }
    return new_name(u, dir, name, &x, e);
}

/* --- paths --- */

/*
 * Functions on paths return 1, with the error in e, when a path leads nowhere. For a root filesystem that is the end;
 * a layer alone can't tell.
 */
#define nowhere(e, kind, ...) (err_set((e), (kind), __VA_ARGS__), 1)

/* The part of s that comes next, "/" taken off; *s shrinks. Length 0 at the end. */
static struct ustr next_part(const struct union_ *u, struct ustr *s)
{
    const char *p = ustr_at(u, s->layer, s->off), *end = p + s->len, *start;
    while (p < end && *p == '/')
        p++;
    start = p;
    const char *slash = memchr(p, '/', (size_t)(end - p));
    p = slash ? slash : end;
    struct ustr part = {s->layer, s->off + s->len - (uint32_t)(end - start), (uint32_t)(p - start)};
    s->off += s->len - (uint32_t)(end - p);
    s->len = (uint32_t)(end - p);
    return part;
}

static void step_up(const struct union_ *u, struct where *w)
{
    if (w->missing) {
        w->missing--;
    } else if (w->at != NAME_ROOT) {
        w->at = u->v[w->at].parent;
        w->depth--;
    }
}

/* One part further down. *ret_link is the symlink met there (w stays before it), or NAME_NONE. */
static int step_down(struct union_ *u, struct where *w, struct ustr part, uint32_t *ret_link, struct err *e)
{
    const char *s = ustr_at(u, part.layer, part.off);
    *ret_link = NAME_NONE;
    if (part.len > LIMIT_NAME)
        return nowhere(e, ERR_INPUT, "a part of %" PRIu32 " bytes, over %d", part.len, LIMIT_NAME);
    if (w->depth + w->missing >= LIMIT_DEPTH)
        return nowhere(e, ERR_LIMIT, "deeper than %d directories", LIMIT_DEPTH);
    uint32_t x = NAME_NONE;
    if (!w->missing && u->v[w->at].type == NAME_DIR)
        x = find(u, w->at, s, part.len);
    if (x == NAME_NONE || u->v[x].type == NAME_WHITEOUT) {
        u->missing[w->missing++] = part;
    } else if (u->v[x].type == NAME_SYMLINK && !(u->v[x].flags & NAME_LINK)) {
        *ret_link = x;
    } else {
        w->at = x;
        w->depth++;
    }
    return 0;
}

/* Follows a whole path, symlinks at its end included. */
static int resolve(struct union_ *u, struct ustr path, struct where *w, struct err *e)
{
    struct ustr todo[LIMIT_SYMLINKS + 1] = {path}; /* what is left; a symlink's target goes on top, so top <= links */
    unsigned top = 0, links = 0, steps = 0;
    *w = (struct where){.at = NAME_ROOT};
    for (;;) {
        struct ustr part = next_part(u, &todo[top]);
        const char *s = ustr_at(u, part.layer, part.off);
        uint32_t link;
        if (!part.len) {
            if (!top--)
                return 0;
            continue;
        }
        if (++steps > STEPS_MAX)
            return nowhere(e, ERR_LIMIT, "symlinks make this path longer than %d parts", STEPS_MAX);
        if (part.len == 1 && s[0] == '.')
            continue;
        if (part.len == 2 && s[0] == '.' && s[1] == '.') {
            step_up(u, w);
            continue;
        }
        if (step_down(u, w, part, &link, e))
            return 1;
        if (link == NAME_NONE)
            continue;
        if (++links > LIMIT_SYMLINKS)
            return nowhere(e, ERR_INPUT, "more than %d symlinks to follow", LIMIT_SYMLINKS);
        const struct uname *x = &u->v[link];
        const struct tree_node *n = &u->layers[x->layer].o.nodes[x->node];
        todo[++top] = (struct ustr){x->layer, n->first, n->count};
        if (n->count && *ustr_at(u, x->layer, n->first) == '/')
            *w = (struct where){.at = NAME_ROOT};
        u->sure = false;
    }
}

/* Resolves the parent of a path and gives its last part. */
static int resolve_parent(struct union_ *u, struct ustr path, struct where *w, struct ustr *ret_last, struct err *e)
{
    const char *s = ustr_at(u, path.layer, path.off);
    const char *slash = memrchr(s, '/', path.len);
    uint32_t len = slash ? (uint32_t)(slash - s) : 0, skip = slash ? len + 1 : 0;
    *ret_last = (struct ustr){path.layer, path.off + skip, path.len - skip};
    if (!ret_last->len || ret_last->len > LIMIT_NAME)
        return err_set(e, ERR_INPUT, "the last part has %" PRIu32 " bytes, 1 to %d are possible", ret_last->len,
                       LIMIT_NAME);
    if (u->last.path && u->last.generation == u->generation && u->last.len == len && !memcmp(u->last.path, s, len)) {
        *w = (struct where){.at = u->last.dir, .depth = u->last.depth};
        return 0;
    }
    if (resolve(u, (struct ustr){path.layer, path.off, len}, w, e))
        return 1;
    if (!w->missing && u->v[w->at].type == NAME_DIR) {
        u->last.path = s;
        u->last.len = len;
        u->last.dir = w->at;
        u->last.depth = w->depth;
        u->last.generation = u->generation;
    }
    return 0;
}

static bool is_there(const struct union_ *u, const struct where *w)
{
    return !w->missing && u->v[w->at].type == NAME_DIR;
}

/* Makes the directories that are missing on the way. */
static int make_dirs(struct union_ *u, struct where *w, struct err *e)
{
    const struct uname *x = &u->v[w->at];
    if (x->type != NAME_DIR) {
        err_set(e, ERR_INPUT, "\"%.*s\" on its way is no directory", x->name_len, ustr_at(u, x->name_layer, x->name));
        return u->sure ? -1 : 1;
    }
    if (w->missing)
        u->sure = false;
    for (uint32_t i = 0; i < w->missing; i++) {
        struct ustr name = u->missing[i];
        if (put(u, w->at, name, (struct uname){.type = NAME_DIR, .node = TREE_NONE}, e) < 0)
            return -1;
        w->at = find(u, w->at, ustr_at(u, name.layer, name.off), name.len);
    }
    w->depth += w->missing;
    w->missing = 0;
    return w->depth < LIMIT_DEPTH ? 0 : nowhere(e, ERR_LIMIT, "deeper than %d directories", LIMIT_DEPTH);
}

/* --- operations --- */

static int apply_node(struct union_ *u, uint32_t layer, const struct tree_op *op, struct err *e)
{
    struct ustr path = {layer, op->path, op->path_len}, name;
    struct where w;
    if (op->node >= u->layers[layer].o.node_count)
        return err_set(e, ERR_DAMAGED, "no node %" PRIu32 " in the layer", op->node);
    const struct tree_node *n = &u->layers[layer].o.nodes[op->node];
    if (!path.len) {
        if (!S_ISDIR(n->mode))
            return err_set(e, ERR_INPUT, "the root must stay a directory");
        u->v[NAME_ROOT].layer = layer;
        u->v[NAME_ROOT].node = op->node;
        return 0;
    }
    if (n->flags & (NODE_WHITEOUT | NODE_HARDLINK))
        return err_set(e, ERR_DAMAGED, "node %" PRIu32 " of the layer is no entry's", op->node);
    int r = resolve_parent(u, path, &w, &name, e);
    if (!r)
        r = make_dirs(u, &w, e);
    if (r)
        return r;
    return put(u, w.at, name, (struct uname){.type = (uint8_t)(n->mode >> 12 & 15), .layer = layer, .node = op->node},
               e);
}

static int keep_link(struct union_ *u, uint32_t dir, struct ustr name, struct ustr target, struct err *e)
{
    struct ustr *links = union_grow(u->links, u->link_count, &u->link_cap, sizeof *links);
    if (!links)
        return err_nomem(e);
    u->links = links;
    u->links[u->link_count] = target;
    u->sure = false;
    struct uname x = {.type = NAME_SYMLINK, .flags = NAME_LINK, .layer = target.layer, .node = u->link_count++};
    return new_name(u, dir, name, &x, e);
}

/* The file that a hard link is to. */
static int find_target(struct union_ *u, struct ustr link, uint32_t *ret, struct err *e)
{
    const char *s = ustr_at(u, link.layer, link.off);
    struct ustr last;
    struct where w;
    uint32_t x = NAME_ROOT;
    if (link.len) {
        int r = resolve_parent(u, link, &w, &last, e);
        if (r) {
            err_wrap(e, "hard link to \"%.*s\"", (int)link.len, s);
            return r;
        }
        x = is_there(u, &w) ? find(u, w.at, ustr_at(u, last.layer, last.off), last.len) : NAME_NONE;
    }
    if (x == NAME_NONE || u->v[x].type == NAME_WHITEOUT)
        return nowhere(e, ERR_INPUT, "hard link to \"%.*s\", which isn't there", (int)link.len, s);
    if (u->v[x].type == NAME_DIR) {
        err_set(e, ERR_INPUT, "hard link to \"%.*s\", which is a directory", (int)link.len, s);
        return u->sure ? -1 : 1;
    }
    *ret = x;
    return 0;
}

static int apply_hardlink(struct union_ *u, uint32_t layer, const struct tree_op *op, struct err *e)
{
    struct ustr path = {layer, op->path, op->path_len}, name;
    struct where w;
    if (!path.len)
        return err_set(e, ERR_INPUT, "the root must stay a directory");
    int r = resolve_parent(u, path, &w, &name, e);
    if (!r)
        r = make_dirs(u, &w, e);
    if (r)
        return r;
    uint32_t x = find(u, w.at, ustr_at(u, layer, name.off), name.len);
    if (x != NAME_NONE)
        remove_name(u, x);
    r = find_target(u, (struct ustr){layer, op->link, op->link_len}, &x, e);
    if (r > 0 && u->flags & UNION_KEEP_WHITEOUTS) {
        err_clear(e);
        return keep_link(u, w.at, name, (struct ustr){layer, op->link, op->link_len}, e);
    }
    if (r)
        return r;
    struct uname n = {.type = u->v[x].type, .flags = u->v[x].flags, .layer = u->v[x].layer, .node = u->v[x].node};
    return new_name(u, w.at, name, &n, e);
}

/* Removes what lower layers put below x; keeps x itself. Walks along the lists; each directory once a layer. */
static void sweep(struct union_ *u, uint32_t x)
{
    uint32_t dir = x, c = u->v[x].child;
    if (u->v[x].type != NAME_DIR || u->v[x].clean == stamp(u))
        return;
    for (;;) {
        if (c == NAME_NONE) {
            u->v[dir].clean = stamp(u);
            if (dir == x)
                return;
            c = u->v[dir].next;
            dir = u->v[dir].parent;
        } else if (u->v[c].upper != stamp(u)) {
            uint32_t next = u->v[c].next;
            remove_name(u, c);
            c = next;
        } else if (u->v[c].type == NAME_DIR && u->v[c].clean != stamp(u)) {
            dir = c;
            c = u->v[c].child;
        } else {
            c = u->v[c].next;
        }
    }
}

static int apply_whiteout(struct union_ *u, uint32_t layer, const struct tree_op *op, struct err *e)
{
    struct ustr path = {layer, op->path, op->path_len}, name;
    bool keep = u->flags & UNION_KEEP_WHITEOUTS;
    struct where w;
    int r = resolve_parent(u, path, &w, &name, e);
    if (r)
        return r;
    if (u->v[w.at].type != NAME_DIR || (w.missing && !keep))
        return 0;
    if (keep && (r = make_dirs(u, &w, e)))
        return r;
    uint32_t x = find(u, w.at, ustr_at(u, layer, name.off), name.len);
    if (keep) {
        if (x == NAME_NONE)
            return new_name(u, w.at, name, &(struct uname){.type = NAME_WHITEOUT, .layer = layer, .node = TREE_NONE},
                            e);
        if (u->v[x].type == NAME_DIR)
            u->v[x].flags |= NAME_OPAQUE;
    } else if (x != NAME_NONE) {
        if (u->v[x].upper == stamp(u))
            sweep(u, x);
        else
            remove_name(u, x);
    }
    return 0;
}

static int apply_opaque(struct union_ *u, uint32_t layer, const struct tree_op *op, struct err *e)
{
    struct where w;
    int r = resolve(u, (struct ustr){layer, op->path, op->path_len}, &w, e);
    if (r)
        return r;
    if (u->flags & UNION_KEEP_WHITEOUTS) {
        if (u->v[w.at].type != NAME_DIR)
            return 0;
        if ((r = make_dirs(u, &w, e)))
            return r;
        u->v[w.at].flags |= NAME_OPAQUE;
    } else if (is_there(u, &w)) {
        sweep(u, w.at);
    }
    return 0;
}

static int apply_op(struct union_ *u, uint32_t layer, const struct tree_op *op, struct err *e)
{
    switch ((enum tree_op_kind)op->kind) {
    case OP_NODE:
        return apply_node(u, layer, op, e);
    case OP_HARDLINK:
        return apply_hardlink(u, layer, op, e);
    case OP_WHITEOUT:
        return apply_whiteout(u, layer, op, e);
    case OP_OPAQUE:
        return apply_opaque(u, layer, op, e);
    }
    return err_set(e, ERR_DAMAGED, "unknown operation %" PRIu32, op->kind);
}

static int apply(struct union_ *u, const struct tree *tree, const struct layer_ops *o, const struct digest *diffid,
                 struct err *e)
{
    if (u->written)
        return err_set(e, ERR_USAGE, "a layer after the result was written");
    struct ulayer *layers = union_grow(u->layers, u->layer_count, &u->layer_cap, sizeof *layers);
    if (!layers)
        return err_nomem(e);
    u->layers = layers;
    uint32_t layer = u->layer_count++;
    struct ulayer *l = &u->layers[layer];
    *l = (struct ulayer){.tree = tree, .o = *o, .first = layer};
    if (!o->pool)
        l->o.pool = "";
    if (diffid)
        l->diffid = *diffid;
    u->last.path = NULL;
    u->sure = true;
    for (uint32_t i = 0; i < o->op_count; i++) {
        int r = apply_op(u, layer, &o->ops[i], e);
        if (r > 0 && u->flags & UNION_KEEP_WHITEOUTS)
            err_clear(e);
        else if (r)
            return err_wrap(e, "layer entry \"%.*s\"", (int)o->ops[i].path_len, ustr_at(u, layer, o->ops[i].path));
    }
    return 0;
}

int union_apply(struct union_ *u, const struct tree *layer, const struct digest *diffid, struct err *e)
{
    struct layer_ops o = {tree_node(layer, 0), tree_string(layer, 0), tree_op(layer, 0), tree_node_count(layer),
                          tree_op_count(layer)};
    if (tree_kind(layer) != TREE_LAYER)
        return err_set(e, ERR_DAMAGED, "a tree that is no layer among the layers");
    return apply(u, layer, &o, diffid, e);
}

int union_apply_ops(struct union_ *u, const struct layer_ops *ops, struct err *e)
{
    return apply(u, NULL, ops, NULL, e);
}

/* SPDX-License-Identifier: MIT */
/* viewdir: names of the view: looking one up, listing a directory. */
#include "view.h"

#include "../index/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Positions: 1 behind ".", 2 behind "..", then 2 + what the kind of directory counts in. */
enum { DOTS = 2 };

struct own_name {
    const char *name;
    uint64_t id; /* enum node_top, or enum node_part */
};
static const struct own_name root_names[] = {
    {"images", NODE_IMAGES}, {"layers", NODE_LAYERS}, {"store", NODE_STORE}, {"views", NODE_VIEWS}};
static const struct own_name layers_names[] = {{"sha256", NODE_LAYERS_SHA256}};
/* rootfs is no part: it is node 0 of the image's tree. */
enum { ROOTFS = PART_COUNT };
static const struct own_name folder_names[] = {
    {"config.json", PART_CONFIG}, {"layers", PART_LAYERS}, {"manifest.json", PART_MANIFEST}, {"rootfs", ROOTFS}};

/* The fixed names of a directory of the mount's own; NULL: it has none. */
static const struct own_name *own_names(const struct vnode *dir, uint32_t *ret_n)
{
    if (dir->kind == V_FOLDER) {
        *ret_n = sizeof folder_names / sizeof *folder_names;
        return folder_names;
    }
    if (dir->kind == V_TOP && dir->id == NODE_ROOT) {
        *ret_n = sizeof root_names / sizeof *root_names;
        return root_names;
    }
    if (dir->kind == V_TOP && dir->id == NODE_LAYERS) {
        *ret_n = sizeof layers_names / sizeof *layers_names;
        return layers_names;
    }
    return NULL;
}

/* Id and attributes of one of those. */
static int own_child(struct view *v, const struct vnode *dir, const struct own_name *o, uint64_t *ret_id,
                     struct stat *ret, struct err *e)
{
    if (dir->kind == V_TOP) {
        *ret_id = o->id;
        return view_top_attr(v, o->id, ret, e);
    }
    if (o->id != ROOTFS) {
        *ret_id = nodeid_part(dir->obj.no, (enum node_part)o->id);
        return view_part_attr(v, &dir->obj, (enum node_part)o->id, ret, e);
    }
    const struct loaded_tree *lt = NULL;
    *ret_id = nodeid_make(dir->obj.no, 0);
    if (view_rootfs(v, &dir->obj, &lt, e) < 0)
        return -1;
    view_node_attr(lt, tree_node(lt->tree, 0), *ret_id, ret);
    trees_put(&v->trees, lt);
    return 0;
}

static mode_t own_type(const struct vnode *dir, const struct own_name *o)
{
    return dir->kind == V_FOLDER && (o->id == PART_CONFIG || o->id == PART_MANIFEST) ? S_IFREG : S_IFDIR;
}

/* --- entries of trees --- */

/* The layer trees that one listing goes through: mostly one or two. */
struct pins {
    struct view *v;
    const struct loaded_tree *lt[4];
    unsigned next;
};

static void pins_release(struct pins *p)
{
    for (unsigned i = 0; i < sizeof p->lt / sizeof *p->lt; i++)
        trees_put(&p->v->trees, p->lt[i]);
}

static int pins_get(struct pins *p, uint32_t no, const struct loaded_tree **ret, struct err *e)
{
    unsigned n = sizeof p->lt / sizeof *p->lt;
    for (unsigned i = 0; i < n; i++)
        if (p->lt[i] && p->lt[i]->no == no) {
            *ret = p->lt[i];
            return 0;
        }
    if (trees_get(&p->v->trees, no, ret, e) < 0)
        return -1;
    trees_put(&p->v->trees, p->lt[p->next]);
    p->lt[p->next] = *ret;
    p->next = (p->next + 1) % n;
    return 0;
}

/* The id that a directory's entry leads to; 0 when the tree refers to a layer that there is none of. */
static uint64_t entry_id(const struct vnode *dir, const struct tree_entry *en)
{
    if (en->tree != TREE_SELF) {
        uint32_t no = dir->lt->ref_no[en->tree];
        return no ? nodeid_make(no, en->node) : 0;
    }
    if (dir->obj.kind == OBJ_NAME && !S_ISDIR(tree_node(dir->lt->tree, en->node)->mode))
        return nodeid_make(dir->lt->no, en->node);
    return nodeid_make(dir->obj.no, en->node);
}

static int entry_attr(struct pins *pins, const struct vnode *dir, const struct tree_entry *en, uint64_t id,
                      struct stat *ret, struct err *e)
{
    const struct loaded_tree *lt = dir->lt;
    if (en->tree != TREE_SELF) {
        if (id == 0)
            return err_set(e, ERR_DAMAGED,
                           "object %" PRIu32 " refers to a layer that the store lacks; try `cairn verify`",
                           dir->lt->no);
        if (pins_get(pins, nodeid_no(id), &lt, e) < 0)
            return -1;
        /* The root file system's tree can't know how large the layer's is. A directory of a layer would be shown in two
         * places. */
        if (en->node >= tree_node_count(lt->tree) || S_ISDIR(tree_node(lt->tree, en->node)->mode))
            return err_set(e, ERR_DAMAGED,
                           "object %" PRIu32 " refers to a wrong node of object %" PRIu32 "; try `cairn verify`",
                           dir->lt->no, lt->no);
    }
    view_node_attr(lt, tree_node(lt->tree, en->node), id, ret);
    return 0;
}

/* --- looking up --- */

static int lookup_list(struct view *v, enum object_list list, const char *name, struct found *ret, struct err *e)
{
    struct object obj;
    const struct loaded_tree *lt = NULL;
    if (objects_lookup(v->objects, list, name, &obj, &ret->exists, e) < 0)
        return -1;
    if (!ret->exists)
        return 0;
    int r;
    if (list == LIST_IMAGES) {
        ret->id = nodeid_part(obj.no, PART_FOLDER);
        r = view_part_attr(v, &obj, PART_FOLDER, &ret->st, e);
    } else {
        ret->id = nodeid_make(obj.no, 0);
        r = trees_get(&v->trees, obj.no, &lt, e);
        if (r == 0)
            view_node_attr(lt, tree_node(lt->tree, 0), ret->id, &ret->st);
        trees_put(&v->trees, lt);
    }
    if (r < 0)
        objects_unref(v->objects, obj.no, 1);
    return r;
}

static int lookup_own(struct view *v, const struct vnode *dir, const struct own_name *names, uint32_t n,
                      const char *name, struct found *ret, struct err *e)
{
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(names[i].name, name) != 0)
            continue;
        ret->exists = true;
        return own_child(v, dir, &names[i], &ret->id, &ret->st, e);
    }
    ret->final = true;
    return 0;
}

static int lookup_node(struct view *v, const struct vnode *dir, const char *name, struct found *ret, struct err *e)
{
    const struct tree_entry *en = tree_lookup(dir->lt->tree, dir->n, name, strlen(name));
    struct pins pins = {.v = v};
    if (!en) {
        ret->final = true;
        return 0;
    }
    ret->exists = true;
    ret->id = entry_id(dir, en);
    int r = entry_attr(&pins, dir, en, ret->id, &ret->st, e);
    pins_release(&pins);
    return r;
}

/* "." and "..": asked for by file handles (NFS, overlayfs) whose inode the kernel has dropped. */
static int lookup_dots(struct view *v, const struct vnode *n, const char *name, struct found *ret, struct err *e)
{
    struct vnode up;
    if (name[1] && !view_is_dir(n))
        return err_set(e, ERR_NOT_FOUND, "node %#" PRIx64 " has no one place", n->id);
    ret->id = name[1] ? view_parent(n) : n->id;
    if (view_open(v, ret->id, &up, e) < 0)
        return -1;
    int r = view_attr(v, &up, &ret->st, e);
    view_close(v, &up);
    ret->exists = r == 0;
    return r;
}

int view_lookup(struct view *v, const struct vnode *dir, const char *name, struct found *ret, struct err *e)
{
    enum object_list list;
    uint32_t n = 0, k = 0;
    const struct own_name *names = own_names(dir, &n);
    struct found f = {0};
    int r = 0;
    bool dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
    if (!dots && !view_is_dir(dir))
        return err_set(e, ERR_USAGE, "node %#" PRIx64 " is no directory", dir->id);
    if (!dots && view_is_list(dir, &list)) {
        r = lookup_list(v, list, name, &f, e); /* counts by itself */
        if (r == 0)
            *ret = f;
        return r;
    }
    if (dots)
        r = lookup_dots(v, dir, name, &f, e);
    else if (names)
        r = lookup_own(v, dir, names, n, name, &f, e);
    else if (dir->kind == V_NODE)
        r = lookup_node(v, dir, name, &f, e);
    else if (dir->kind == V_LINKS) {
        f.exists = nodeid_link_parse(name, dir->obj.layer_count, &k);
        f.final = !f.exists;
        f.id = nodeid_link(dir->obj.no, k);
        view_link_attr(v, &dir->obj, k, &f.st);
    } /* views/: nothing yet, and no promise that it stays so */
    if (r < 0)
        return -1;
    if (f.exists)
        objects_ref(v->objects, nodeid_no(f.id), 1);
    *ret = f;
    return 0;
}

/* --- listing --- */

struct listing {
    struct view *v;
    const struct vnode *dir;
    uint64_t off;
    bool want_attr;
    view_emit *emit;
    void *ctx;
    enum object_list list;
};

static int emit_object(void *ctx, const char *name, const struct object *obj)
{
    struct listing *l = ctx;
    /* Attributes would mean reading every package's tree: whoever wants them looks the name up. */
    uint64_t id = l->list == LIST_IMAGES ? nodeid_part(obj->no, PART_FOLDER) : nodeid_make(obj->no, 0);
    mode_t mode = l->list == LIST_STORE ? 0 : S_IFDIR;
    return l->emit(l->ctx, name, id, mode, NULL, DOTS + (uint64_t)obj->no);
}

static int list_own(struct listing *l, const struct own_name *names, uint32_t n)
{
    for (uint64_t i = l->off - DOTS; i < n; i++) {
        struct stat st;
        struct err e = {0};
        uint64_t id = 0;
        bool known = own_child(l->v, l->dir, &names[i], &id, &st, &e) == 0;
        if (l->emit(l->ctx, names[i].name, id, own_type(l->dir, &names[i]), known && l->want_attr ? &st : NULL,
                    DOTS + i + 1) != 0)
            break;
    }
    return 0;
}

static int list_links(struct listing *l)
{
    const struct object *obj = &l->dir->obj;
    int width = (int)nodeid_link_width(obj->layer_count);
    for (uint64_t k = l->off - DOTS; k < obj->layer_count; k++) {
        struct stat st;
        char name[16];
        snprintf(name, sizeof name, "%0*" PRIu32, width, (uint32_t)k);
        view_link_attr(l->v, obj, (uint32_t)k, &st);
        if (l->emit(l->ctx, name, st.st_ino, S_IFLNK, l->want_attr ? &st : NULL, DOTS + k + 1) != 0)
            break;
    }
    return 0;
}

static int list_node(struct listing *l)
{
    const struct vnode *dir = l->dir;
    struct pins pins = {.v = l->v};
    for (uint64_t i = l->off - DOTS; i < dir->n->count; i++) {
        const struct tree_entry *en = tree_entry_at(dir->lt->tree, dir->n, (uint32_t)i);
        char name[LIMIT_NAME + 1];
        struct stat st;
        struct err e = {0};
        uint64_t id = entry_id(dir, en);
        /* An entry whose layer can't be had is listed all the same: damage shows where it is, when it is asked for. */
        bool known = l->want_attr && entry_attr(&pins, dir, en, id, &st, &e) == 0;
        memcpy(name, tree_string(dir->lt->tree, en->name), en->name_len);
        name[en->name_len] = '\0';
        if (l->emit(l->ctx, name, id, (mode_t)en->type << 12, known ? &st : NULL, DOTS + i + 1) != 0)
            break;
    }
    pins_release(&pins);
    return 0;
}

int view_readdir(struct view *v, const struct vnode *dir, uint64_t off, bool want_attr, view_emit *emit, void *ctx,
                 struct err *e)
{
    struct listing l = {.v = v, .dir = dir, .off = off, .want_attr = want_attr, .emit = emit, .ctx = ctx};
    uint32_t n = 0;
    const struct own_name *names = own_names(dir, &n);
    if (!view_is_dir(dir))
        return err_set(e, ERR_USAGE, "node %#" PRIx64 " is no directory", dir->id);
    if (l.off == 0 && emit(ctx, ".", dir->id, S_IFDIR, NULL, ++l.off) != 0)
        return 0;
    if (l.off == 1 && emit(ctx, "..", view_parent(dir), S_IFDIR, NULL, ++l.off) != 0)
        return 0;
    if (view_is_list(dir, &l.list))
        return l.off - DOTS > UINT32_MAX
                   ? 0
                   : objects_list(v->objects, l.list, (uint32_t)(l.off - DOTS), emit_object, &l, e);
    if (names)
        return list_own(&l, names, n);
    if (dir->kind == V_LINKS)
        return list_links(&l);
    return dir->kind == V_NODE ? list_node(&l) : 0;
}

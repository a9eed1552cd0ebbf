/* SPDX-License-Identifier: MIT */
/* view: what a node id is, its attributes and bytes. Names are in viewdir.c. */
#include "view.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/*
 * Large reads are decoded ahead, by threads of the reader, up to AHEAD behind the request. Not on two cores: there the
 * kernel's own read-ahead, which has two requests under way, keeps both busy, and handing work around cost 5 to 10 %.
 */
enum { AHEAD_FROM = 128 << 10, AHEAD = 1 << 20, AHEAD_CORES = 3 };

int view_init(struct view *v, struct store *s, uint64_t tree_bytes, struct err *e)
{
    memset(v, 0, sizeof *v);
    v->s = s;
    v->uid = geteuid();
    v->gid = getegid();
    v->ahead = sysconf(_SC_NPROCESSORS_ONLN) >= AHEAD_CORES;
    v->reader = store_reader(s);
    if (!v->reader)
        return err_nomem(e);
    if (objects_new(s, &v->objects, e) < 0)
        return -1;
    if (trees_init(&v->trees, s, v->objects, tree_bytes, e) < 0) {
        objects_free(v->objects);
        v->objects = NULL;
        return -1;
    }
    return 0;
}

void view_release(struct view *v)
{
    if (!v->objects)
        return;
    trees_release(&v->trees);
    objects_free(v->objects);
    v->objects = NULL;
}

/* --- opening an id --- */

static int no_such(uint64_t id, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "node %#" PRIx64 " doesn't exist", id);
}

int view_rootfs(struct view *v, const struct object *name, const struct loaded_tree **ret, struct err *e)
{
    if (name->image_no == 0)
        return err_set(e, ERR_DAMAGED, "the image of object %" PRIu32 " isn't in the catalog; try `cairn verify`",
                       name->no);
    return trees_get(&v->trees, name->image_no, ret, e);
}

static int open_name(struct vnode *n, struct err *e)
{
    if (nodeid_parse_part(n->id, &n->part)) {
        n->kind = n->part == PART_FOLDER ? V_FOLDER : n->part == PART_LAYERS ? V_LINKS : V_DOC;
        return 0;
    }
    if (nodeid_parse_link(n->id, &n->k)) {
        n->kind = V_LINK;
        return n->k < n->obj.layer_count ? 0 : no_such(n->id, e);
    }
    n->kind = V_NODE;
    return 0;
}

int view_open(struct view *v, uint64_t id, struct vnode *ret, struct err *e)
{
    struct vnode n = {.id = id, .kind = V_NODE, .node = nodeid_index(id)};
    if (nodeid_no(id) == 0) {
        if (id < NODE_ROOT || id > NODE_VIEWS)
            return no_such(id, e);
        n.kind = V_TOP;
        *ret = n;
        return 0;
    }
    if (objects_get(v->objects, nodeid_no(id), &n.obj, e) < 0 || (n.obj.kind == OBJ_NAME && open_name(&n, e) < 0))
        return -1;
    if (n.kind == V_NODE) {
        int r = n.obj.kind == OBJ_NAME ? view_rootfs(v, &n.obj, &n.lt, e) : trees_get(&v->trees, n.obj.no, &n.lt, e);
        if (r < 0)
            return -1;
        if (n.node < tree_node_count(n.lt->tree))
            n.n = tree_node(n.lt->tree, n.node);
        /* Of a root file system, directories have the folder's number and all else the image's: nothing has two ids. */
        bool wants_dir = n.obj.kind == OBJ_NAME, never_dir = n.obj.kind == OBJ_IMAGE;
        if (!n.n || (wants_dir && !S_ISDIR(n.n->mode)) || (never_dir && S_ISDIR(n.n->mode))) {
            trees_put(&v->trees, n.lt);
            return no_such(id, e);
        }
    }
    *ret = n;
    return 0;
}

void view_close(struct view *v, struct vnode *n)
{
    trees_put(&v->trees, n->lt);
    n->lt = NULL;
}

bool view_is_dir(const struct vnode *n)
{
    if (n->kind == V_NODE)
        return S_ISDIR(n->n->mode);
    return n->kind == V_TOP || n->kind == V_FOLDER || n->kind == V_LINKS;
}

static const uint64_t list_ids[LIST_COUNT] = {NODE_STORE, NODE_LAYERS_SHA256, NODE_IMAGES};

uint64_t view_list_id(enum object_list list)
{
    return list_ids[list];
}

bool view_is_list(const struct vnode *n, enum object_list *ret)
{
    for (int i = 0; n->kind == V_TOP && i < LIST_COUNT; i++) {
        if (n->id != list_ids[i])
            continue;
        *ret = (enum object_list)i;
        return true;
    }
    return false;
}

bool view_changes(const struct vnode *n)
{
    enum object_list list;
    return view_is_list(n, &list) || (n->kind == V_TOP && n->id == NODE_VIEWS);
}

uint64_t view_parent(const struct vnode *dir)
{
    switch (dir->kind) {
    case V_TOP:
        return dir->id == NODE_LAYERS_SHA256 ? NODE_LAYERS : NODE_ROOT;
    case V_FOLDER:
        return NODE_IMAGES;
    case V_DOC:
    case V_LINKS:
        return nodeid_part(dir->obj.no, PART_FOLDER);
    case V_LINK:
        return nodeid_part(dir->obj.no, PART_LAYERS);
    case V_NODE:
        break;
    }
    if (dir->node != 0 && S_ISDIR(dir->n->mode))
        return nodeid_make(dir->obj.no, dir->n->parent);
    if (dir->obj.kind == OBJ_NAME)
        return nodeid_part(dir->obj.no, PART_FOLDER);
    return dir->obj.kind == OBJ_LAYER ? NODE_LAYERS_SHA256 : NODE_STORE;
}

/* --- attributes --- */

static void own_attr(struct view *v, uint64_t id, mode_t mode, nlink_t nlink, int64_t time, struct stat *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->st_ino = id;
    ret->st_mode = mode;
    ret->st_nlink = nlink;
    ret->st_uid = v->uid;
    ret->st_gid = v->gid;
    ret->st_blksize = 4096;
    ret->st_mtim.tv_sec = ret->st_ctim.tv_sec = ret->st_atim.tv_sec = time;
}

int view_top_attr(struct view *v, uint64_t id, struct stat *ret, struct err *e)
{
    struct vnode n = {.id = id, .kind = V_TOP};
    enum object_list list;
    uint32_t count = 0;
    int64_t time = 0;
    nlink_t nlink = id == NODE_ROOT ? 2 + 4 : id == NODE_LAYERS ? 2 + 1 : 2;
    if (view_is_list(&n, &list)) {
        if (objects_list_info(v->objects, list, &count, &time, e) < 0)
            return -1;
        /* A package may be a file, and to know that its tree would have to be read: 1 says "not known", as btrfs does.
         */
        nlink = list == LIST_STORE ? 1 : 2 + (nlink_t)count;
    }
    own_attr(v, id, S_IFDIR | 0555, nlink, time, ret);
    return 0;
}

int view_doc_map(struct view *v, const struct object *name, enum node_part part, struct content_map *ret, struct err *e)
{
    if (name->image_no == 0)
        return err_set(e, ERR_DAMAGED, "the image of object %" PRIu32 " isn't in the catalog; try `cairn verify`",
                       name->no);
    const struct digest *d = part == PART_CONFIG ? &name->config : &name->key;
    if (content_map_digest(v->reader, d, ret, e) < 0) {
        /* Named by the catalog: if it is missing, that is damage. */
        if (e->kind == ERR_NOT_FOUND)
            e->kind = ERR_DAMAGED;
        return err_wrap(e, "read the image's %s", part == PART_CONFIG ? "config" : "manifest");
    }
    return 0;
}

int view_part_attr(struct view *v, const struct object *name, enum node_part part, struct stat *ret, struct err *e)
{
    uint64_t id = nodeid_part(name->no, part);
    struct content_map m;
    switch (part) {
    case PART_FOLDER:
        own_attr(v, id, S_IFDIR | 0555, 2 + 2, name->time, ret);
        return 0;
    case PART_LAYERS:
        own_attr(v, id, S_IFDIR | 0555, 2, name->time, ret);
        return 0;
    case PART_CONFIG:
    case PART_MANIFEST:
    case PART_COUNT:
        break;
    }
    if (view_doc_map(v, name, part, &m, e) < 0)
        return -1;
    own_attr(v, id, S_IFREG | 0444, 1, name->time, ret);
    ret->st_size = (off_t)m.c.size;
    ret->st_blocks = (blkcnt_t)((m.c.stored + 511) / 512);
    content_map_release(&m);
    return 0;
}

static const char link_up[] = "../../../layers/sha256/";

void view_link_attr(struct view *v, const struct object *name, uint32_t k, struct stat *ret)
{
    own_attr(v, nodeid_link(name->no, k), S_IFLNK | 0777, 1, name->time, ret);
    ret->st_size = sizeof link_up - 1 + DIGEST_HEX_LEN;
}

void view_node_attr(const struct loaded_tree *lt, const struct tree_node *n, uint64_t id, struct stat *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->st_ino = id;
    ret->st_mode = n->mode;
    ret->st_nlink = n->nlink;
    ret->st_uid = n->uid;
    ret->st_gid = n->gid;
    ret->st_size = (off_t)n->size;
    ret->st_blksize = 4096;
    ret->st_mtim = (struct timespec){.tv_sec = n->mtime, .tv_nsec = n->mtime_nsec};
    ret->st_atim = ret->st_ctim = ret->st_mtim;
    if (S_ISREG(n->mode) && n->content != TREE_NONE)
        ret->st_blocks = (blkcnt_t)((tree_content(lt->tree, n->content)->stored + 511) / 512);
    if (S_ISCHR(n->mode) || S_ISBLK(n->mode))
        ret->st_rdev = makedev(n->rdev >> 20, n->rdev & 0xFFFFF);
    if (n->flags & NODE_WHITEOUT) {
        ret->st_mode = S_IFCHR | (n->mode & 07777);
        ret->st_rdev = 0;
        ret->st_size = 0;
    } else if (n->flags & NODE_HARDLINK) {
        ret->st_mode = S_IFLNK | 0777;
        ret->st_size = n->count;
        ret->st_blocks = 0;
    }
}

int view_attr(struct view *v, const struct vnode *n, struct stat *ret, struct err *e)
{
    switch (n->kind) {
    case V_TOP:
        return view_top_attr(v, n->id, ret, e);
    case V_FOLDER:
    case V_DOC:
    case V_LINKS:
        return view_part_attr(v, &n->obj, n->part, ret, e);
    case V_LINK:
        view_link_attr(v, &n->obj, n->k, ret);
        return 0;
    case V_NODE:
        view_node_attr(n->lt, n->n, n->id, ret);
        return 0;
    }
    return no_such(n->id, e);
}

int view_readlink(struct view *v, const struct vnode *n, char *buf, size_t cap, struct err *e)
{
    struct digest d;
    char hex[DIGEST_HEX_LEN + 1];
    if (n->kind == V_LINK) {
        if (objects_name_layer(v->objects, n->obj.no, n->k, &d, e) < 0)
            return -1;
        digest_hex(&d, hex);
        snprintf(buf, cap, "%s%s", link_up, hex);
        return 0;
    }
    if (n->kind != V_NODE || (!S_ISLNK(n->n->mode) && !(n->n->flags & NODE_HARDLINK)))
        return err_set(e, ERR_USAGE, "node %#" PRIx64 " is no symlink", n->id);
    if (n->n->count >= cap)
        return err_set(e, ERR_LIMIT, "the target of the symlink has %" PRIu32 " bytes, which is too long", n->n->count);
    memcpy(buf, tree_string(n->lt->tree, n->n->first), n->n->count);
    buf[n->n->count] = '\0';
    return 0;
}

/* --- bytes --- */

static bool is_file(const struct vnode *n)
{
    return n->kind == V_NODE && S_ISREG(n->n->mode) && !(n->n->flags & (NODE_HARDLINK | NODE_WHITEOUT));
}

static int read_doc(struct view *v, const struct vnode *n, void *p, size_t len, uint64_t off, size_t *ret_len,
                    struct err *e)
{
    struct content_map m;
    if (view_doc_map(v, &n->obj, n->part, &m, e) < 0)
        return -1;
    int r = 0;
    if (off >= m.c.size)
        *ret_len = 0;
    else
        r = reader_pread(v->reader, &m, p, len, off, ret_len, e);
    content_map_release(&m);
    return r;
}

int view_read(struct view *v, const struct vnode *n, void *p, size_t len, uint64_t off, size_t *ret_len, struct err *e)
{
    struct content_map m;
    if (n->kind == V_DOC)
        return read_doc(v, n, p, len, off, ret_len, e);
    if (!is_file(n))
        return err_set(e, ERR_USAGE, "node %#" PRIx64 " is no file", n->id);
    if (n->n->content == TREE_NONE || off >= n->n->size) {
        *ret_len = 0;
        return 0;
    }
    treecache_map(n->lt, n->n->content, &m);
    if (len > n->n->size - off)
        len = n->n->size - off;
    if (v->ahead && len >= AHEAD_FROM)
        reader_prefetch(v->reader, &m, off, len + AHEAD);
    if (reader_pread(v->reader, &m, p, len, off, ret_len, e) < 0)
        return err_wrap(e, "read node %#" PRIx64 " at %" PRIu64, n->id, off);
    return 0;
}

/* First chunk of the content that ends behind off. */
static uint32_t chunk_at(const struct tree *t, const struct tree_content *c, uint64_t off)
{
    uint32_t lo = 0, hi = c->chunk_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (tree_chunk(t, c->first_chunk + mid)->end <= off)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int view_seek(struct view *v, const struct vnode *n, uint64_t off, bool data, uint64_t *ret, struct err *e)
{
    struct stat st;
    if (view_attr(v, n, &st, e) < 0)
        return -1;
    if (off >= (uint64_t)st.st_size) {
        *ret = UINT64_MAX;
        return 0;
    }
    if (!is_file(n) || n->n->content == TREE_NONE) {
        *ret = data ? off : (uint64_t)st.st_size;
        return 0;
    }
    const struct tree *t = n->lt->tree;
    const struct tree_content *c = tree_content(t, n->n->content);
    uint64_t at = off;
    for (uint32_t i = chunk_at(t, c, off); i < c->chunk_count; i++) {
        const struct tree_chunk *ch = tree_chunk(t, c->first_chunk + i);
        if (digest_is_zero(&ch->digest) != data) {
            *ret = at;
            return 0;
        }
        at = ch->end;
    }
    *ret = data ? UINT64_MAX : c->size; /* every file ends in a hole, as lseek(2) has it */
    return 0;
}

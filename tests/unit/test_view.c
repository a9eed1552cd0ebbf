/* SPDX-License-Identifier: MIT */
/*
 * view: the mount's tree without a mount: a store of one image and one package, looked up, listed and read by node id;
 * and what was removed while in use.
 */
#include "../../fs/view.h"

#include "../../index/catalog.h"
#include "../../index/json.h"
#include "../../index/session.h"
#include "../../index/source/source.h"

#include "tap.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

static void bail(const char *what, const struct err *e)
{
    printf("Bail out! %s: %s\n", what, e->text);
    exit(1);
}

/* --- a store --- */

static char top[] = "/tmp/cairn-view-XXXXXX";

static const char *in(const char *name)
{
    static char path[4][256];
    static unsigned i;
    char *p = path[i++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", top, name);
    return p;
}

static void put(const char *name, const void *p, size_t n)
{
    int fd = open(in(name), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n)
        exit(1);
    close(fd);
}

static struct store *make(void)
{
    struct store *s = NULL;
    struct err e = {0};
    struct import_result r = {0};
    struct import_opts o = {.name = "t:one"};
    static char large[300000];
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (char)(i * 2654435761u >> 13);
    if (!mkdtemp(top) || mkdir(in("d"), 0755) || mkdir(in("d/sub"), 0700) || mkdir(in("p-1"), 0755))
        exit(1);
    put("d/a", "aaa", 3);
    put("d/large", large, sizeof large);
    put("d/sub/b", "bbb", 3);
    put("p-1/x", "xyz", 3);
    if (symlink("sub/b", in("d/link")) || link(in("d/a"), in("d/sub/hard")) || truncate(in("d/sub/b"), 100000))
        exit(1);
    if (store_open(in("store"), STORE_CREATE, &s, &e) < 0)
        bail("store", &e);
    if (source_import(s, in("d"), &o, &r, &e) < 0)
        bail("import", &e);
    import_result_release(&r);
    o.name = NULL;
    if (source_add(s, in("p-1"), NULL, &o, &r, &e) < 0)
        bail("add", &e);
    import_result_release(&r);
    return s;
}

static void removed(struct store *s, const char *of, uint32_t no)
{
    struct err e = {0};
    struct session *x = NULL;
    struct json *j = json_new_object();
    json_set(j, "type", json_new_str("remove"));
    json_set(j, "of", json_new_str(of));
    json_set(j, "no", json_new_int(no));
    json_set(j, "time", json_new_int(1));
    if (session_begin(s, NULL, &x, &e) < 0 || session_record(x, j, &e) < 0 || session_commit(x, &e) < 0)
        bail("remove", &e);
    session_end(x);
}

/* --- helpers: paths over view_lookup --- */

/* The id of a path, 0 if it isn't there; st may be NULL. */
static uint64_t walk(struct view *v, const char *path, struct stat *st)
{
    uint64_t id = NODE_ROOT;
    char copy[256], *rest = copy;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *name = strsep(&rest, "/"); name; name = strsep(&rest, "/")) {
        struct vnode n;
        struct found f;
        struct err e = {0};
        if (view_open(v, id, &n, &e) < 0)
            bail(path, &e);
        if (view_lookup(v, &n, name, &f, &e) < 0)
            bail(path, &e);
        view_close(v, &n);
        if (!f.exists)
            return 0;
        id = f.id;
        if (st)
            *st = f.st;
    }
    return id;
}

static struct vnode at(struct view *v, uint64_t id)
{
    struct vnode n;
    struct err e = {0};
    if (view_open(v, id, &n, &e) < 0)
        bail("open", &e);
    return n;
}

struct text {
    char p[600];
    uint64_t last;
    unsigned room; /* entries */
};

static int add(void *ctx, const char *name, uint64_t id, mode_t mode, const struct stat *st, uint64_t next)
{
    struct text *t = ctx;
    size_t n = strlen(t->p);
    if (t->room == 0)
        return 1;
    t->room--;
    (void)id;
    snprintf(t->p + n, sizeof t->p - n, "%.12s:%o%s ", name, (unsigned)mode >> 12, st ? "+" : "");
    t->last = next;
    return 0;
}

static const char *list(struct view *v, uint64_t id, bool attr)
{
    static struct text t;
    struct err e = {0};
    struct vnode n = at(v, id);
    memset(&t, 0, sizeof t);
    t.room = 100;
    if (view_readdir(v, &n, 0, attr, add, &t, &e) < 0)
        bail("readdir", &e);
    view_close(v, &n);
    return t.p;
}

static const char *read_at(struct view *v, uint64_t id, size_t len, uint64_t off)
{
    static char p[64];
    size_t got = 0;
    struct err e = {0};
    struct vnode n = at(v, id);
    int r = view_read(v, &n, p, len < 63 ? len : 63, off, &got, &e);
    view_close(v, &n);
    if (r < 0)
        return e.text[0] ? "error" : "?";
    p[got] = '\0';
    return p;
}

/* --- tests --- */

static void test_names(struct view *v)
{
    struct stat st;
    is_str(list(v, NODE_ROOT, true), ".:4 ..:4 images:4+ layers:4+ store:4+ views:4+ ", "the root");
    is_str(list(v, NODE_VIEWS, true), ".:4 ..:4 ", "views");
    is_str(list(v, walk(v, "images/t@one", NULL), true),
           ".:4 ..:4 config.json:10+ layers:4+ manifest.jso:10+ rootfs:4+ ", "an image's folder");
    is_str(list(v, walk(v, "images/t@one/layers", NULL), false), ".:4 ..:4 000:12 ", "its layers");
    is_str(list(v, walk(v, "images/t@one/rootfs", NULL), true), ".:4 ..:4 a:10+ large:10+ link:12+ sub:4+ ",
           "its root file system");
    ok(walk(v, "images/t@two", NULL) == 0, "no such image");
    ok(walk(v, "images/t@one/rootfs/nosuch", NULL) == 0, "no such file");
    ok(walk(v, "images/t@one/layers/001", NULL) == 0, "no such layer");
    uint64_t sub = walk(v, "images/t@one/rootfs/sub", &st);
    is_int(st.st_ino, sub, "st_ino is the node id");
    is_int(nodeid_no(sub), nodeid_no(walk(v, "images/t@one", NULL)), "a directory has the name's number");
    is_int(st.st_mode, S_IFDIR | 0700, "mode");
    uint64_t hard = walk(v, "images/t@one/rootfs/sub/hard", &st);
    is_int(hard, walk(v, "images/t@one/rootfs/a", NULL), "hard links are one node");
    is_int(st.st_nlink, 2, "with two links");
}

static void test_positions(struct view *v)
{
    struct text t = {.room = 4};
    struct err e = {0};
    uint64_t id = walk(v, "images/t@one/rootfs", NULL);
    struct vnode n = at(v, id);
    ok(view_readdir(v, &n, 0, false, add, &t, &e) == 0, "as much as there is room for");
    is_str(t.p, ".:4 ..:4 a:10 large:10 ", "four entries");
    uint64_t pos = t.last;
    t = (struct text){.room = 100};
    ok(view_readdir(v, &n, pos, false, add, &t, &e) == 0, "from there on");
    is_str(t.p, "link:12 sub:4 ", "the rest");
    t = (struct text){.room = 100};
    ok(view_readdir(v, &n, UINT64_MAX / 2, false, add, &t, &e) == 0 && !t.p[0], "far behind the end: nothing");
    view_close(v, &n);
    n = at(v, NODE_IMAGES);
    ok(view_readdir(v, &n, UINT64_MAX / 2, false, add, &t, &e) == 0 && !t.p[0], "of a list too");
    view_close(v, &n);
}

static void test_bytes(struct view *v)
{
    uint64_t large = walk(v, "images/t@one/rootfs/large", NULL), b = walk(v, "images/t@one/rootfs/sub/b", NULL);
    uint64_t doc = walk(v, "images/t@one/config.json", NULL), link = walk(v, "images/t@one/rootfs/link", NULL);
    struct err e = {0};
    char target[4096];
    size_t got = 1;
    is_str(read_at(v, walk(v, "images/t@one/rootfs/a", NULL), 60, 0), "aaa", "a small file");
    is_str(read_at(v, walk(v, "images/t@one/rootfs/a", NULL), 1, 2), "a", "its end");
    is_str(read_at(v, walk(v, "images/t@one/rootfs/a", NULL), 60, 3), "", "behind its end");
    is_str(read_at(v, large, 60, UINT64_MAX), "", "far behind the end");
    is_str(read_at(v, doc, 1, 0), "{", "a document");
    is_str(read_at(v, doc, 60, 1u << 30), "", "behind its end");
    is_str(read_at(v, b, 3, 0), "bbb", "in front of a hole");
    struct vnode n = at(v, large);
    static char p[300000];
    ok(view_read(v, &n, p, sizeof p, 0, &got, &e) == 0 && got == sizeof p &&
           p[299999] == (char)(299999 * 2654435761u >> 13),
       "a large file");
    ok(view_readlink(v, &n, target, sizeof target, &e) < 0 && e.kind == ERR_USAGE, "is no symlink");
    view_close(v, &n);
    n = at(v, link);
    ok(view_readlink(v, &n, target, sizeof target, &e) == 0, "a symlink");
    is_str(target, "sub/b", "its target");
    ok(view_read(v, &n, p, 10, 0, &got, &e) < 0 && e.kind == ERR_USAGE, "has no bytes");
    struct found f;
    ok(view_lookup(v, &n, "x", &f, &e) < 0 && e.kind == ERR_USAGE, "and no names");
    view_close(v, &n);
}

static void test_seek(struct view *v)
{
    struct vnode n = at(v, walk(v, "images/t@one/rootfs/a", NULL));
    struct err e = {0};
    uint64_t at_ = 0;
    ok(view_seek(v, &n, 1, true, &at_, &e) == 0 && at_ == 1, "data at once");
    ok(view_seek(v, &n, 1, false, &at_, &e) == 0 && at_ == 3, "a hole at the end");
    ok(view_seek(v, &n, 3, true, &at_, &e) == 0 && at_ == UINT64_MAX, "nothing behind the end");
    view_close(v, &n);
}

static void test_wrong_ids(struct view *v)
{
    uint32_t name = nodeid_no(walk(v, "images/t@one", NULL)), layer = nodeid_no(walk(v, "images/t@one/rootfs/a", NULL));
    struct object obj;
    struct err e = {0};
    ok(objects_get(v->objects, name, &obj, &e) == 0, "the name");
    const uint64_t bad[] = {0,
                            7,
                            63,
                            64,
                            UINT32_MAX,
                            nodeid_make(9999, 0),
                            nodeid_make(name, 1000000),
                            nodeid_make(name, NODEID_PARTS + PART_COUNT),
                            nodeid_link(name, 1),
                            nodeid_make(layer, 1000000),
                            nodeid_make(obj.image_no, 0),
                            nodeid_make(layer, NODEID_PARTS)};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct vnode n;
        ok(view_open(v, bad[i], &n, &e) < 0 && e.kind == ERR_NOT_FOUND, "%llx is no node", (unsigned long long)bad[i]);
    }
}

/* File handles: "." of anything, ".." of directories. */
static void test_dots(struct view *v)
{
    uint64_t sub = walk(v, "images/t@one/rootfs/sub", NULL), root = walk(v, "images/t@one/rootfs", NULL);
    is_int(walk(v, "images/t@one/rootfs/sub/.", NULL), sub, ".");
    is_int(walk(v, "images/t@one/rootfs/sub/..", NULL), root, "..");
    is_int(walk(v, "images/t@one/rootfs/..", NULL), nodeid_part(nodeid_no(root), PART_FOLDER), ".. of a root");
    is_int(walk(v, "images/t@one/..", NULL), NODE_IMAGES, ".. of a folder");
    is_int(walk(v, "layers/sha256/..", NULL), NODE_LAYERS, ".. of layers/sha256");
    is_int(walk(v, "images/t@one/rootfs/a/.", NULL), walk(v, "images/t@one/rootfs/a", NULL), ". of a file");
    struct vnode n = at(v, walk(v, "images/t@one/rootfs/a", NULL));
    struct found f;
    struct err e = {0};
    ok(view_lookup(v, &n, "..", &f, &e) < 0 && e.kind == ERR_NOT_FOUND, "a file has no one directory");
    view_close(v, &n);
}

static int last_number(void *ctx, const char *name, const struct object *obj)
{
    (void)name;
    *(uint32_t *)ctx = obj->no;
    return 0;
}

/* Removed from the catalog, no tree kept in memory, and read on by id. */
static void test_removed(struct view *v, struct store *s)
{
    struct err e = {0};
    uint64_t folder = walk(v, "images/t@one", NULL), dir = walk(v, "images/t@one/rootfs/sub", NULL),
             file = walk(v, "images/t@one/rootfs/a", NULL), doc = walk(v, "images/t@one/config.json", NULL);
    struct object name, image, layer;
    if (objects_get(v->objects, nodeid_no(folder), &name, &e) < 0 ||
        objects_get(v->objects, name.image_no, &image, &e) < 0 ||
        objects_get(v->objects, nodeid_no(file), &layer, &e) < 0)
        bail("objects", &e);
    removed(s, "name", name.no);
    ok(walk(v, "images/t@one", NULL) == 0, "the name is gone");
    uint32_t other = 0; /* by digest */
    objects_list(v->objects, LIST_IMAGES, 0, last_number, &other, &e);
    removed(s, "digestname", other);
    removed(s, "image", image.no);
    removed(s, "layer", layer.no);
    ok(walk(v, "layers/sha256", NULL) != 0 && strstr(list(v, NODE_LAYERS_SHA256, false), ".:4 ..:4 ") &&
           strlen(list(v, NODE_LAYERS_SHA256, false)) == 9,
       "no layers are listed");
    /* Another tree, so that nothing of these is in the cache any more (it holds none that isn't pinned). */
    is_str(list(v, dir, true), ".:4 ..:4 b:10+ hard:10+ ", "a removed image's directory is listed");
    is_str(read_at(v, file, 60, 0), "aaa", "its file read");
    is_str(read_at(v, doc, 1, 0), "{", "its document");
    is_int(walk(v, "images", NULL), NODE_IMAGES, "and all else works");
    ok(v->trees.orphan_count == 2, "two trees were loaded by digest");
    trees_reap(&v->trees);
    ok(v->trees.orphan_count == 2, "and stay as long as they are in use");
    objects_unref(v->objects, name.no, 1000);
    objects_unref(v->objects, layer.no, 1000);
    struct objects_change c;
    for (int i = 0; i < 2; i++)
        if (objects_drain(v->objects, &c, &e) == 0)
            objects_change_release(&c);
    uint32_t package = 0;
    objects_list(v->objects, LIST_STORE, 0, last_number, &package, &e);
    removed(s, "package", package); /* any commit: the next look refreshes */
    walk(v, "images/x", NULL);
    trees_reap(&v->trees);
    is_int(v->trees.orphan_count, 0, "forgotten by the kernel, forgotten here");
    struct vnode n;
    ok(view_open(v, file, &n, &e) < 0 && e.kind == ERR_NOT_FOUND, "the id is none any more");
}

static int unlink_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st, (void)type, (void)f;
    return remove(path);
}

int main(void)
{
    struct store *s = make();
    struct view v;
    struct err e = {0};
    if (view_init(&v, s, 0, &e) < 0)
        bail("view", &e);
    test_names(&v);
    test_positions(&v);
    test_bytes(&v);
    test_seek(&v);
    test_wrong_ids(&v);
    test_dots(&v);
    test_removed(&v, s);
    view_release(&v);
    store_close(s);
    nftw(top, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
    return tap_done();
}

/* SPDX-License-Identifier: MIT */
/* treecache: loaded once, shared, dropped beyond the bound, and what damage looks like. Covers: treewalk. */
#include "teststore.h"
#include "unionlab.h"

#include "../../index/treecache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static struct teststore t;
static struct err e;
static uint32_t layer_no[3], image_no, odd_no, lost_no;

static const char text[] = "what the file says\n";

static void record(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void record(struct session *s, const char *fmt, ...)
{
    struct buf b = {0};
    struct json *j = NULL;
    char line[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    buf_printf(&b, "%s", line);
    ok(json_parse(b.p, b.len, 1 << 20, "record", &j, &e) == 0 && session_record(s, j, &e) == 0, "record: %s", e.text);
    buf_release(&b);
}

static void record_layer(struct session *s, const struct digest *diffid, const struct digest *tree)
{
    char d[DIGEST_OCI_LEN + 1], h[DIGEST_HEX_LEN + 1];
    digest_oci(diffid, d);
    digest_hex(tree, h);
    record(
        s,
        "{\"type\":\"layer\",\"diffid\":\"%s\",\"tree\":\"%s\",\"recipe\":\"%s\",\"size\":1,\"entries\":1,\"time\":1}",
        d, h, h);
}

static void record_image(struct session *s, const struct digest *manifest, const struct digest *rootfs,
                         const struct digest *diffid)
{
    char m[DIGEST_HEX_LEN + 1], h[DIGEST_HEX_LEN + 1], d[DIGEST_OCI_LEN + 1];
    digest_hex(manifest, m);
    digest_hex(rootfs, h);
    digest_oci(diffid, d);
    record(s,
           "{\"type\":\"image\",\"manifest\":\"%s\",\"config\":\"%s\",\"rootfs\":\"%s\",\"layers\":[\"%s\"],\"blobs\":["
           "\"%s\"],"
           "\"time\":1}",
           m, m, h, d, d);
}

/* base: usr/lib/f (a file with contents), lib -> usr/lib, abs -> /usr, up -> ../../usr, ring -> ring, and a link in a
 * directory */
static void describe_base(struct lab_layer *l, const struct content *c)
{
    uint32_t i;
    lab_begin(l, 1);
    uint32_t f = lab_node(l, "usr/lib/f", S_IFREG | 0644, NULL, 1);
    treewrite_content(l->w, c, &i, &e);
    treewrite_node_at(l->w, f)->content = i;
    treewrite_node_at(l->w, f)->size = c->size;
    lab_node(l, "lib", S_IFLNK | 0777, "usr/lib", 2);
    lab_node(l, "abs", S_IFLNK | 0777, "/usr", 3);
    lab_node(l, "up", S_IFLNK | 0777, "../../usr", 4);
    lab_node(l, "ring", S_IFLNK | 0777, "ring", 5);
    lab_node(l, "usr/lib/l", S_IFLNK | 0777, "./f", 6);
    lab_node(l, "lost", S_IFLNK | 0777, "nowhere", 7);
}

/* Puts a layer's tree into the session; keeps it open in l too. */
static struct digest put_layer(struct session *s, struct lab_layer *l)
{
    struct buf b = {0};
    struct digest d;
    ok(lab_write(l, &b, &e) == 0 && session_put(s, b.p, b.len, &d, &e) == 0, "a layer's tree: %s", e.text);
    size_t n = b.len;
    ok(tree_open(buf_steal(&b, NULL), n, &l->tree, &e) == 0, "opens: %s", e.text);
    record_layer(s, &l->diffid, &d);
    return d;
}

static struct digest put_rootfs(struct session *s, struct lab_layer *l, unsigned n)
{
    struct union_ *u;
    struct buf b = {0};
    struct digest d;
    union_new(0, &u, &e);
    for (unsigned i = 0; i < n; i++)
        ok(union_apply(u, l[i].tree, &l[i].diffid, &e) == 0, "applied: %s", e.text);
    ok(union_compile(u, &b, &e) == 0 && session_put(s, b.p, b.len, &d, &e) == 0, "a root filesystem's tree: %s",
       e.text);
    union_free(u);
    buf_release(&b);
    return d;
}

static void fill(void)
{
    static const struct session_opts plain;
    struct session *s;
    struct lab_layer l[3];
    struct content c;
    struct digest m = {{1}}, odd = {{2}}, lost = {{3}}, nothing = {{4}};
    uint32_t slot;
    session_begin(t.store, &plain, &s, &e);
    ok(!session_content_begin(s, &e) && !session_data(s, text, sizeof text - 1, &e) &&
           !session_content_end(s, &slot, &e) && !session_flush(s, &e) && !session_content(s, slot, &c, &e),
       "a content: %s", e.text);
    describe_base(&l[0], &c);
    lab_begin(&l[1], 2);
    lab_node(&l[1], "lib/g", S_IFREG | 0600, NULL, 8);
    lab_begin(&l[2], 3);
    lab_op(&l[2], OP_HARDLINK, "lib/h", "usr/lib/g");
    struct digest first = {{0}};
    for (int i = 0; i < 3; i++) {
        struct digest d = put_layer(s, &l[i]);
        if (!i)
            first = d;
    }
    struct digest rootfs = put_rootfs(s, l, 3);
    record_image(s, &m, &rootfs, &l[0].diffid);
    record_image(s, &odd, &first, &l[0].diffid);
    record_image(s, &lost, &nothing, &l[0].diffid);
    ok(session_commit(s, &e) == 0, "committed: %s", e.text);
    session_end(s);
    struct catalog *cat = store_catalog(t.store);
    struct cat_image im;
    for (int i = 0; i < 3; i++) {
        struct cat_layer cl = {0};
        ok(catalog_layer(cat, &l[i].diffid, &cl, &e) == 0, "layer %d", i);
        layer_no[i] = cl.no;
        lab_release(&l[i]);
    }
    const struct {
        struct digest *d;
        uint32_t *no;
    } images[] = {{&m, &image_no}, {&odd, &odd_no}, {&lost, &lost_no}};
    for (size_t i = 0; i < 3; i++) {
        ok(catalog_image(cat, images[i].d, &im, &e) == 0, "image: %s", e.text);
        *images[i].no = im.no;
        cat_image_release(&im);
    }
}

static void test_get(void)
{
    struct treecache *c;
    const struct loaded_tree *a, *b;
    struct err x = {0};
    ok(treecache_new(t.store, 1 << 20, &c, &e) == 0, "a cache");
    ok(treecache_get(c, image_no, &a, &e) == 0 && treecache_get(c, image_no, &b, &e) == 0 && a == b, "loaded once: %s",
       e.text);
    is_int(tree_ref_count(a->tree), 1,
           "the root filesystem refers to one layer: g has two names, one of them from another layer");
    is_int(a->ref_no[0], layer_no[0], "which has this number");
    treecache_put(c, a);
    treecache_put(c, b);
    treecache_put(c, NULL);
    ok(treecache_get(c, image_no, &b, &e) == 0 && a == b, "it stays after the last put");
    treecache_put(c, b);
    ok(treecache_get(c, 4000, &a, &x) < 0 && x.kind == ERR_NOT_FOUND, "no such object: %s", x.text);
    ok(treecache_get(c, odd_no, &a, &x) < 0 && x.kind == ERR_DAMAGED && strstr(x.text, "of another kind"),
       "an image whose tree is a layer's: %s", x.text);
    ok(treecache_get(c, lost_no, &a, &x) < 0 && x.kind == ERR_DAMAGED && strstr(x.text, "tree of object"),
       "an image whose tree is gone: %s", x.text);
    ok(treecache_get(c, lost_no, &a, &x) < 0 && x.kind == ERR_DAMAGED, "again");
    treecache_free(c);
    treecache_free(NULL);
}

/* With no room for anything, only what is pinned stays. */
static void test_bound(void)
{
    struct treecache *c;
    const struct loaded_tree *a, *b, *again;
    treecache_new(t.store, 1, &c, &e);
    treecache_get(c, layer_no[0], &a, &e);
    treecache_get(c, layer_no[1], &b, &e);
    ok(treecache_get(c, layer_no[0], &again, &e) == 0 && a == again, "pinned: stays over the bound");
    treecache_put(c, again);
    atomic_store(&a->where[0], 77);
    treecache_put(c, a);
    treecache_get(c, layer_no[0], &a, &e);
    is_int(atomic_load(&a->where[0]), 0, "unpinned: dropped and loaded anew");
    ok(tree_lookup(b->tree, tree_node(b->tree, 0), "lib", 3) != NULL, "the other one is still there");
    treecache_put(c, a);
    treecache_put(c, b);
    treecache_free(c);

    /* Room for two layers of three: the one that was used last but two goes. */
    size_t sum = 0;
    treecache_new(t.store, UINT64_MAX, &c, &e);
    for (int i = 0; i < 2; i++) {
        treecache_get(c, layer_no[i], &a, &e);
        sum += tree_bytes(a->tree) + 1500;
        treecache_put(c, a);
    }
    treecache_free(c);
    treecache_new(t.store, sum, &c, &e);
    treecache_get(c, layer_no[0], &a, &e);
    atomic_store(&a->where[0], 77);
    treecache_put(c, a);
    treecache_get(c, layer_no[1], &b, &e);
    treecache_put(c, b);
    treecache_get(c, layer_no[0], &a, &e);
    is_int(atomic_load(&a->where[0]), 77, "both fit");
    treecache_put(c, a);
    treecache_get(c, layer_no[2], &b, &e);
    treecache_put(c, b);
    treecache_get(c, layer_no[0], &a, &e);
    is_int(atomic_load(&a->where[0]), 77, "the least recently used one went, not this one");
    treecache_put(c, a);
    treecache_free(c);
}

struct shared {
    struct treecache *c;
    atomic_uint bad;
};

static void *hammer(void *ctx)
{
    struct shared *s = ctx;
    unsigned seed = (unsigned)(uintptr_t)&seed;
    for (int i = 0; i < 3000; i++) {
        const uint32_t no[] = {layer_no[0], layer_no[1], layer_no[2], image_no, lost_no};
        const struct loaded_tree *lt;
        struct err x = {0};
        uint32_t k = (uint32_t)rand_r(&seed) % 5;
        int r = treecache_get(s->c, no[k], &lt, &x);
        if (k == 4 ? r == 0 || x.kind != ERR_DAMAGED : r < 0 || lt->no != no[k] || !tree_node_count(lt->tree))
            atomic_fetch_add(&s->bad, 1);
        if (r == 0)
            treecache_put(s->c, lt);
    }
    return NULL;
}

static void test_threads(uint64_t bytes)
{
    struct shared s = {.bad = 0};
    pthread_t th[6];
    treecache_new(t.store, bytes, &s.c, &e);
    for (int i = 0; i < 6; i++)
        pthread_create(&th[i], NULL, hammer, &s);
    for (int i = 0; i < 6; i++)
        pthread_join(th[i], NULL);
    is_int(atomic_load(&s.bad), 0, "six threads, %llu bytes", (unsigned long long)bytes);
    treecache_free(s.c);
}

static void test_speed(void)
{
    struct treecache *c;
    const struct loaded_tree *lt;
    struct timespec a, b;
    enum { N = 1000000 };
    treecache_new(t.store, 1 << 20, &c, &e);
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < N; i++) {
        treecache_get(c, layer_no[i % 3], &lt, &e);
        treecache_put(c, lt);
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("# get and put: %.0f ns\n", ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / N);
    treecache_free(c);
}

static void test_map(void)
{
    struct treecache *c;
    const struct loaded_tree *lt;
    struct content_map m;
    char got[64];
    size_t n = 0;
    treecache_new(t.store, 1 << 20, &c, &e);
    treecache_get(c, layer_no[0], &lt, &e);
    treecache_map(lt, 0, &m);
    is_int(m.c.size, sizeof text - 1, "size of the content");
    ok(reader_pread(store_reader(t.store), &m, got, sizeof got, 0, &n, &e) == 0 && n == sizeof text - 1 &&
           !memcmp(got, text, n),
       "its bytes: %s", e.text);
    ok(atomic_load(&lt->where[0]) != 0, "the place is kept for the next reader");
    treecache_put(c, lt);
    treecache_free(c);
}

/* Where a path leads: "kind mtime" or the error. */
static void leads(struct treecache *c, const struct place *root, const char *path, bool follow, uint32_t mode,
                  int64_t mtime)
{
    struct place p;
    struct err x = {0};
    int r = treewalk_path(c, root, path, follow, &p, &x);
    ok(r == 0, "'%s': %s", path, x.text);
    if (r < 0)
        return;
    const struct tree_node *n = tree_node(p.lt->tree, p.node);
    is_int(n->mode & S_IFMT, mode, "'%s': type", path);
    is_int(n->mtime, mtime, "'%s': which one", path);
    treewalk_release(c, &p);
}

static void refused(struct treecache *c, const struct place *root, const char *path, enum err_kind kind,
                    const char *want)
{
    struct place p;
    struct err x = {0};
    ok(treewalk_path(c, root, path, true, &p, &x) < 0 && x.kind == kind, "'%s' leads nowhere", path);
    is_str(x.text, want, "says why");
}

static void test_walk(void)
{
    struct treecache *c;
    struct place root, lib, p;
    treecache_new(t.store, 1, &c, &e);
    ok(treewalk_root(c, image_no, &root, &e) == 0, "the root");
    leads(c, &root, "", true, S_IFDIR, 0);
    leads(c, &root, "/", true, S_IFDIR, 0);
    leads(c, &root, "usr/lib/f", true, S_IFREG, 1);
    leads(c, &root, "//lib/./../lib/f", true, S_IFREG, 1);
    leads(c, &root, "lib", false, S_IFLNK, 2);
    leads(c, &root, "lib", true, S_IFDIR, 0);
    leads(c, &root, "lib/", false, S_IFDIR, 0);
    leads(c, &root, "abs/lib/l", true, S_IFREG, 1);
    leads(c, &root, "abs/lib/l", false, S_IFLNK, 6);
    leads(c, &root, "up/lib/f", true, S_IFREG, 1);
    leads(c, &root, "../../lib/g", true, S_IFREG, 8);
    leads(c, &root, "lib/h", true, S_IFREG, 8);
    refused(c, &root, "nope", ERR_NOT_FOUND, "no 'nope'");
    refused(c, &root, "lost", ERR_NOT_FOUND, "no 'lost'");
    refused(c, &root, "lib/f/x", ERR_NOT_FOUND, "no 'lib/f/x': something on the way is no directory");
    refused(c, &root, "lib/f/", ERR_NOT_FOUND, "no 'lib/f/': what is there is no directory");
    refused(c, &root, "ring/x", ERR_INPUT, "'ring/x': too many links");
    ok(treewalk_path(c, &root, "usr/lib", true, &lib, &e) == 0, "a directory as root");
    leads(c, &lib, "l", true, S_IFREG, 1);
    leads(c, &lib, "../../f", true, S_IFREG, 1);
    const struct tree_entry *en = tree_lookup(lib.lt->tree, tree_node(lib.lt->tree, lib.node), "f", 1);
    ok(en && treewalk_entry(c, &lib, en, &p, &e) == 0 && p.lt->no == layer_no[0], "an entry leads into its layer");
    treewalk_release(c, &p);
    struct tree_entry wrong = *en;
    struct err x = {0};
    wrong.node = 1000;
    ok(treewalk_entry(c, &lib, &wrong, &p, &x) < 0 && x.kind == ERR_DAMAGED, "a node out of range: %s", x.text);
    wrong = *en;
    wrong.type = S_IFLNK >> 12;
    ok(treewalk_entry(c, &lib, &wrong, &p, &x) < 0 && x.kind == ERR_DAMAGED, "a node of another type: %s", x.text);
    treewalk_release(c, &lib);
    treewalk_release(c, &root);
    treecache_free(c);
}

int main(void)
{
    t = teststore_open();
    fill();
    test_get();
    test_bound();
    test_threads(1 << 20);
    test_threads(1);
    test_map();
    test_walk();
    test_speed();
    teststore_close(&t);
    return tap_done();
}

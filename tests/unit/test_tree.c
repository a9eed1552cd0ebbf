/* SPDX-License-Identifier: MIT */
/*
 * tree_open as the judge of foreign bytes: each rule of FORMAT.md, "Trees", is broken once, and random damage must
 * never lead outside the buffer (run with sanitizers).
 */
#include "tap.h"

#include "../../index/limits.h"
#include "../../index/session.h"
#include "../../index/treeform.h"
#include "../../index/treewrite.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

static struct err e;

static uint32_t str(struct treewrite *w, const char *s)
{
    uint32_t off = 0;
    ok(treewrite_string(w, s, strlen(s), &off, &e) == 0, "string %.20s", s);
    return off;
}

static struct tree_entry entry(struct treewrite *w, const char *name, uint32_t node, uint32_t mode)
{
    return (struct tree_entry){.name = str(w, name),
                               .name_len = (uint16_t)strlen(name),
                               .node = node,
                               .tree = TREE_SELF,
                               .type = (uint16_t)(mode >> 12)};
}

static uint32_t node(struct treewrite *w, uint32_t mode, const char *target)
{
    struct tree_node n = {
        .mode = mode, .content = TREE_NONE, .xattrs = TREE_NONE, .mtime = -5, .mtime_nsec = 999999999};
    uint32_t i = 0;
    if (target) {
        n.first = str(w, target);
        n.size = n.count = (uint32_t)strlen(target);
    }
    treewrite_node(w, &n, &i, &e);
    return i;
}

enum { ROOT, SUB, FILE1, LINK, DEEP, GONE, WHITE };

/* A layer with a bit of everything: / {a (file, also sub/b), l -> t, sub/ {b, deep/}, w (whiteout)}, and a superseded
 * directory. */
static void sample(struct buf *out)
{
    struct treewrite *w;
    struct tree_chunk chunks[3] = {{{{1}}, 100}, {{{0}}, 5000}, {{{2}}, 5010}};
    struct content c = {{{9}}, 5010, 110, chunks, 3};
    struct xattr x[2] = {{"user.z", 6, "1", 1}, {"security.capability", 19, "\1\0\0\2", 4}};
    struct tree_op op[4] = {{.kind = OP_NODE, .node = FILE1},
                            {.kind = OP_HARDLINK, .node = TREE_NONE},
                            {.kind = OP_WHITEOUT, .node = TREE_NONE},
                            {.kind = OP_OPAQUE, .node = TREE_NONE}};
    treewrite_new(TREE_LAYER, &w, &e);
    node(w, S_IFDIR | 0755, NULL);
    node(w, S_IFDIR | 0700, NULL);
    node(w, S_IFREG | 0644, NULL);
    node(w, S_IFLNK | 0777, "t");
    node(w, S_IFDIR | 01777, NULL);
    node(w, S_IFDIR | 0755, NULL);
    node(w, S_IFCHR, NULL);
    treewrite_node_at(w, WHITE)->flags = NODE_WHITEOUT;
    treewrite_node_at(w, DEEP)->flags = NODE_OPAQUE;
    treewrite_content(w, &c, &treewrite_node_at(w, FILE1)->content, &e);
    treewrite_node_at(w, FILE1)->size = 5010;
    treewrite_xattrs(w, FILE1, x, 2, &e);
    struct tree_entry root[4] = {entry(w, "sub", SUB, S_IFDIR), entry(w, "a", FILE1, S_IFREG),
                                 entry(w, "w", WHITE, S_IFCHR), entry(w, "l", LINK, S_IFLNK)};
    struct tree_entry sub[2] = {entry(w, "deep", DEEP, S_IFDIR), entry(w, "b", FILE1, S_IFREG)};
    treewrite_dir(w, ROOT, root, 4, &e);
    treewrite_dir(w, SUB, sub, 2, &e);
    for (int i = 0; i < 4; i++) {
        op[i].path = str(w, "sub/b");
        op[i].path_len = 5;
        op[i].link = i == 1 ? str(w, "q") : 7;
        op[i].link_len = 1;
        treewrite_op(w, &op[i], &e);
    }
    ok(treewrite_finish(w, out, &e) == 0, "the sample is written");
    treewrite_free(w);
}

static uint8_t *copy(const struct buf *b)
{
    uint8_t *p = malloc(b->len ? b->len : 1);
    memcpy(p, b->p, b->len);
    return p;
}

static void *section(uint8_t *p, enum tree_section s)
{
    size_t off = TREE_HEADER;
    for (unsigned i = 0; i < s; i++)
        off += ((size_t)get_u32(p + 24 + 4 * i) * tree_section_size[i] + 7) / 8 * 8;
    return p + off;
}

#define SEC(p, s, type) ((struct type *)section((p), (s)))

/* Opens a damaged copy; the error's kind and text must be as given. */
static void refuse(uint8_t *p, size_t n, const char *want, const char *what)
{
    struct tree *t = NULL;
    struct err x = {0};
    int r = tree_open(p, n, &t, &x);
    ok(r < 0 && (x.kind == ERR_DAMAGED || x.kind == ERR_UNSUPPORTED) && strstr(x.text, want), "%s: %s", what, x.text);
    if (!r)
        tree_close(t);
}

#define BREAK(change, want)                                                                                            \
    do {                                                                                                               \
        uint8_t *p = copy(&b);                                                                                         \
        struct tree_node *nodes = SEC(p, TREE_SEC_NODES, tree_node);                                                   \
        struct tree_entry *en = SEC(p, TREE_SEC_ENTRIES, tree_entry);                                                  \
        struct tree_content *ct = SEC(p, TREE_SEC_CONTENTS, tree_content);                                             \
        struct tree_chunk *ch = SEC(p, TREE_SEC_CHUNKS, tree_chunk);                                                   \
        struct tree_xattr_set *set = SEC(p, TREE_SEC_XATTR_SETS, tree_xattr_set);                                      \
        struct tree_xattr *xa = SEC(p, TREE_SEC_XATTRS, tree_xattr);                                                   \
        struct tree_op *op = SEC(p, TREE_SEC_OPS, tree_op);                                                            \
        char *pool = section(p, TREE_SEC_POOL);                                                                        \
        (void)nodes, (void)en, (void)ct, (void)ch, (void)set, (void)xa, (void)op, (void)pool;                          \
        change;                                                                                                        \
        refuse(p, b.len, want, #change);                                                                               \
    } while (0)

static void test_header(void)
{
    struct buf b = {0};
    sample(&b);
    BREAK(p[0] = 'X', "this is no tree");
    BREAK(put_u32(p + 8, 2), "version 2 isn't known");
    BREAK(put_u32(p + 12, 4), "unknown kind");
    BREAK(put_u32(p + 12, 2), "operations in a tree that is no layer");
    BREAK(put_u64(p + 16, b.len + 8), "header says");
    BREAK(p[127] = 1, "reserved header byte");
    BREAK(put_u32(p + 24, UINT32_MAX), "section ends behind the end");
    BREAK(put_u32(p + 24 + 4 * TREE_SEC_POOL, 1), "padding");
    BREAK(put_u32(p + 24 + 4 * TREE_SEC_REFS, UINT32_MAX), "section ends behind the end");
    for (size_t n = 0; n < b.len; n += n < 140 ? 1 : 8) {
        uint8_t *p = copy(&b);
        struct tree *t;
        struct err x = {0};
        if (n >= 24)
            put_u64(p + 16, n);
        p = realloc(p, n ? n : 1);
        if (tree_open(p, n, &t, &x) == 0 || x.kind != ERR_DAMAGED)
            ok(0, "a tree cut at %zu is refused", n);
    }
    ok(1, "a tree cut anywhere is refused");
    buf_release(&b);
}

static void test_nodes(void)
{
    struct buf b = {0};
    sample(&b);
    BREAK(nodes[FILE1].mode |= 1u << 16, "mode, time or flags");
    BREAK(nodes[LINK].mode = 0777, "type of node");
    BREAK(nodes[FILE1].mtime_nsec = 1000000000, "mode, time or flags");
    BREAK(nodes[FILE1].flags = NODE_OPAQUE, "mode, time or flags");
    BREAK(nodes[WHITE].rdev = 5, "mode, time or flags");
    BREAK(nodes[SUB].flags = 1 << 7, "mode, time or flags");
    BREAK(nodes[FILE1].xattrs = 1, "xattrs of node");
    BREAK(nodes[FILE1].content = 1, "content of node");
    BREAK(nodes[SUB].content = 0, "content of node");
    BREAK(nodes[FILE1].size = 5011, "size of node");
    BREAK(nodes[FILE1].parent = 0, "parent of node");
    BREAK(nodes[SUB].size = 1, "size of node");
    BREAK(nodes[LINK].count = 0, "target of symlink");
    BREAK(nodes[LINK].first = UINT32_MAX, "target of symlink");
    BREAK(pool[nodes[LINK].first] = 0, "target of symlink");
    BREAK(nodes[LINK].size = 2, "size of node");
    BREAK(nodes[FILE1].nlink = 1, "link count of node");
    BREAK(nodes[SUB].nlink = 2, "link count of directory");
    BREAK(nodes[ROOT].nlink = 0, "root is out of line");
    BREAK(nodes[ROOT].parent = 1, "root is out of line");
    BREAK(nodes[SUB].parent = SUB, "directory of entry");
    BREAK(nodes[DEEP].parent = ROOT, "directory of entry");
    BREAK(nodes[GONE].nlink = 2, "no name for node");
    BREAK(nodes[GONE].parent = 0, "no name for node");
    BREAK(nodes[SUB].count = 3, "entries of directory");
    BREAK(nodes[SUB].first = UINT32_MAX, "entries of directory");
    BREAK(nodes[DEEP].count = 1, "two directories have entry");
    BREAK((nodes[ROOT].count = 3, nodes[ROOT].nlink = 3), "entries without directory");
    buf_release(&b);
}

static void test_entries(void)
{
    struct buf b = {0};
    sample(&b);
    BREAK(en[0].name = UINT32_MAX, "name of entry");
    BREAK(en[0].name_len = 0, "name of entry");
    BREAK(en[0].name_len = 256, "name of entry");
    BREAK(pool[en[0].name] = '/', "name of entry");
    BREAK(pool[en[0].name] = 0, "name of entry");
    BREAK(pool[en[0].name] = '.', "name of entry");
    BREAK(en[0].reserved = 1, "name of entry");
    BREAK(pool[en[0].name] = 'z', "order of entry");
    BREAK(en[1].name = en[0].name, "order of entry");
    BREAK(en[0].node = 7, "node or type of entry");
    BREAK(en[0].type = 4, "node or type of entry");
    BREAK(en[0].tree = 0, "reference or type of entry");
    BREAK((en[0].node = DEEP, en[0].type = 4), "directory of entry");
    BREAK((en[0].node = ROOT, en[0].type = 4), "directory of entry");
    buf_release(&b);
}

static void test_tables(void)
{
    struct buf b = {0};
    sample(&b);
    BREAK(ct[0].first_chunk = 1, "chunk range of content");
    BREAK(ct[0].chunk_count = 4, "chunk range of content");
    BREAK(ct[0].chunk_count = 0, "chunk range of content");
    BREAK(ct[0].size = 0, "size or digest of content");
    BREAK(memset(&ct[0].digest, 0, 32), "size or digest of content");
    BREAK(ct[0].stored = 111, "chunks don't add up");
    BREAK(ct[0].size = 5011, "chunks don't add up");
    BREAK(ct[0].chunk_count = 2, "chunks don't add up");
    BREAK(ch[1].end = 100, "offset of chunk");
    BREAK(ch[2].end = UINT64_MAX, "offset of chunk");
    BREAK((ct[0].size = ch[2].end = 5001 + CHUNK_MAX), "length of chunk");
    BREAK(set[0].count = 3, "range of xattr set");
    BREAK(set[0].first = 1, "range of xattr set");
    BREAK(set[0].count = 1, "xattr without set");
    BREAK(xa[0].name = UINT32_MAX, "strings of xattr");
    BREAK(xa[0].value = UINT32_MAX - 2, "strings of xattr");
    BREAK(xa[0].name_len = 0, "name or length of xattr");
    BREAK(pool[xa[0].name + 3] = 0, "name or length of xattr");
    BREAK(xa[1] = xa[0], "order of xattr");
    BREAK(op[0].kind = 0, "kind of operation");
    BREAK(op[0].kind = 5, "kind of operation");
    BREAK(op[0].reserved[1] = 5, "kind of operation");
    BREAK(op[0].node = 7, "node of operation");
    BREAK(op[1].node = 1, "node of operation");
    BREAK(op[0].path = UINT32_MAX, "path of operation");
    BREAK(pool[op[0].path] = '/', "path of operation");
    BREAK(pool[op[0].path + 4] = '/', "path of operation");
    BREAK(memcpy(pool + op[0].path, "../ab", 5), "path of operation");
    BREAK(memcpy(pool + op[0].path, "abc/.", 5), "path of operation");
    BREAK(memcpy(pool + op[0].path, "ab//c", 5), "path of operation");
    BREAK(op[0].link_len = 1, "link of operation");
    BREAK(op[1].link = UINT32_MAX, "link of operation");
    buf_release(&b);
}

/* Two directories that hold each other, and nobody else holds: all but the walk from the root accepts it. */
static void test_ring(void)
{
    struct treewrite *w;
    struct buf b = {0};
    treewrite_new(TREE_PACKAGE, &w, &e);
    for (int i = 0; i < 3; i++)
        node(w, S_IFDIR | 0755, NULL);
    struct tree_entry one[1] = {entry(w, "x", 2, S_IFDIR)}, two[1] = {entry(w, "y", 1, S_IFDIR)};
    treewrite_dir(w, 1, one, 1, &e);
    treewrite_dir(w, 2, two, 1, &e);
    treewrite_finish(w, &b, &e);
    treewrite_free(w);
    refuse(copy(&b), b.len, "directories that the root doesn't lead to", "ring");
    buf_release(&b);
}

/* Follows everything that can be followed: a sanitizer sees what leaves the buffer. */
static uint64_t touch(const struct tree *t)
{
    uint64_t sum = tree_bytes(t) + (uint64_t)tree_kind(t);
    for (uint32_t i = 0; i < tree_node_count(t); i++) {
        const struct tree_node *n = tree_node(t, i);
        for (uint32_t k = 0; S_ISDIR(n->mode) && k < n->count; k++) {
            const struct tree_entry *en = tree_entry_at(t, n, k);
            if (tree_lookup(t, n, tree_string(t, en->name), en->name_len) != en)
                return 0;
            sum += en->tree == TREE_SELF ? tree_node(t, en->node)->mode : tree_ref(t, en->tree)->b[0];
        }
        for (uint32_t k = 0; k < tree_xattr_count(t, n); k++)
            sum += (uint8_t)tree_string(t, tree_xattr(t, n, k)->value)[0];
        if (S_ISLNK(n->mode))
            sum += (uint8_t)tree_string(t, n->first)[n->count - 1];
        if (n->content != TREE_NONE)
            sum += tree_chunk(t, tree_content(t, n->content)->first_chunk)->end;
    }
    for (uint32_t i = 0; i < tree_op_count(t); i++)
        sum += (uint8_t)tree_string(t, tree_op(t, i)->path)[0];
    return sum + tree_content_count(t) + tree_chunk_count(t) + tree_has_xattrs(t);
}

static void test_random(void)
{
    struct buf b = {0};
    const char *env = getenv("CAIRN_SEED");
    unsigned seed = env ? (unsigned)strtoul(env, NULL, 0) : 1, opened = 0;
    printf("# seed %u (CAIRN_SEED)\n", seed);
    srandom(seed);
    sample(&b);
    for (int round = 0; round < 200000; round++) {
        uint8_t *p = copy(&b);
        struct tree *t;
        struct err x = {0};
        for (long k = random() % 3; k >= 0; k--) {
            size_t at = (size_t)random() % b.len;
            if (random() % 2)
                p[at] ^= (uint8_t)(1u << random() % 8);
            else
                put_u32(p + at / 4 * 4, random() % 2 ? (uint32_t)random() % 16 : UINT32_MAX - (uint32_t)random() % 4);
        }
        if (tree_open(p, b.len, &t, &x) == 0) {
            opened += touch(t) > 0;
            tree_close(t);
        } else if (x.kind != ERR_DAMAGED && x.kind != ERR_UNSUPPORTED) {
            ok(0, "round %d gives kind %d: %s", round, x.kind, x.text);
        }
    }
    ok(opened > 0, "200000 damaged trees: %u still open and are safe to use", opened);
    buf_release(&b);
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void test_use(void)
{
    struct buf b = {0};
    struct tree *t = NULL;
    sample(&b);
    size_t n = b.len;
    ok(tree_open(buf_steal(&b, NULL), n, &t, &e) == 0, "the sample opens");
    const struct tree_node *root = tree_node(t, 0);
    const struct tree_entry *en = tree_lookup(t, root, "sub", 3);
    ok(en && en->node == SUB && en->type == 4, "look-up of a directory");
    ok(!tree_lookup(t, root, "su", 2) && !tree_lookup(t, root, "subx", 4) && !tree_lookup(t, root, "", 0),
       "names that aren't there");
    en = tree_lookup(t, root, "a", 1);
    ok(en && !tree_lookup(t, tree_node(t, en->node), "x", 1), "a file has no entries");
    is_int(tree_node(t, FILE1)->nlink, 2, "link count of a hard-linked file");
    is_int(root->nlink, 3, "link count of the root");
    is_int(tree_node(t, DEEP)->parent, SUB, "parent of a directory");
    is_int(tree_xattr_count(t, tree_node(t, FILE1)), 2, "xattrs");
    is_int(tree_xattr_count(t, tree_node(t, SUB)), 0, "no xattrs");
    ok(!memcmp(tree_string(t, tree_xattr(t, tree_node(t, FILE1), 0)->name), "security.capability", 19),
       "xattrs are sorted");
    ok(touch(t) > 0, "everything can be followed");
    tree_close(t);
    tree_close(NULL);
}

static void test_speed(void)
{
    enum { N = 100000, LOOKUPS = 1000000 };
    struct treewrite *w;
    struct buf b = {0};
    struct tree *t = NULL;
    struct tree_entry *all = calloc(N, sizeof *all);
    uint32_t off, i;
    char name[32];
    treewrite_new(TREE_PACKAGE, &w, &e);
    node(w, S_IFDIR | 0755, NULL);
    for (i = 0; i < N; i++) {
        struct tree_node x = {.mode = S_IFREG | 0644, .content = TREE_NONE, .xattrs = TREE_NONE};
        int len = snprintf(name, sizeof name, "libfile-%06u.so", (i * 7919u) % N);
        treewrite_node(w, &x, &all[i].node, &e);
        treewrite_string(w, name, (size_t)len, &off, &e);
        all[i] =
            (struct tree_entry){.name = off, .name_len = (uint16_t)len, .node = i + 1, .tree = TREE_SELF, .type = 8};
    }
    double t0 = now();
    ok(treewrite_dir(w, 0, all, N, &e) == 0 && treewrite_finish(w, &b, &e) == 0, "a directory of %d", N);
    double t1 = now();
    size_t n = b.len;
    ok(tree_open(buf_steal(&b, NULL), n, &t, &e) == 0, "opens: %s", e.text);
    double t2 = now();
    uint64_t found = 0;
    srandom(1);
    for (i = 0; i < LOOKUPS; i++) {
        int len = snprintf(name, sizeof name, "libfile-%06lu.so", (unsigned long)random() % N);
        found += tree_lookup(t, tree_node(t, 0), name, (size_t)len) != NULL;
    }
    double t3 = now();
    ok(found == LOOKUPS, "all found");
    printf("# %d entries: write %.0f ms, open %.0f ms, look-up %.0f ns (with making the name), %.0f bytes an entry\n",
           N, (t1 - t0) * 1e3, (t2 - t1) * 1e3, (t3 - t2) * 1e9 / LOOKUPS, (double)n / N);
    tree_close(t);
    treewrite_free(w);
    free(all);
}

int main(void)
{
    test_use();
    test_header();
    test_nodes();
    test_entries();
    test_tables();
    test_ring();
    test_random();
    test_speed();
    return tap_done();
}

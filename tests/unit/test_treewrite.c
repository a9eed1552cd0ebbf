/* SPDX-License-Identifier: MIT */
/* What treewrite promises: things stored once, sorted directories, links settled, the same bytes for the same calls. */
#include "tap.h"

#include "../../index/limits.h"
#include "../../index/session.h"
#include "../../index/treewrite.h"

#include <stdlib.h>
#include <sys/stat.h>

static struct err e;

static uint32_t add(struct treewrite *w, uint32_t mode)
{
    struct tree_node n = {
        .mode = mode, .content = TREE_NONE, .xattrs = TREE_NONE, .nlink = 77, .parent = 12, .first = 9};
    uint32_t i = TREE_NONE;
    ok(treewrite_node(w, &n, &i, &e) == 0, "node %u", i);
    return i;
}

static struct tree_entry named(struct treewrite *w, const char *name, uint32_t node, uint32_t mode)
{
    struct tree_entry en = {
        .node = node, .tree = TREE_SELF, .type = (uint16_t)(mode >> 12), .name_len = (uint16_t)strlen(name)};
    treewrite_string(w, name, strlen(name), &en.name, &e);
    return en;
}

static struct tree *finish(struct treewrite *w)
{
    struct buf b = {0};
    struct tree *t = NULL;
    ok(treewrite_finish(w, &b, &e) == 0, "finish");
    ok(b.len % 8 == 0, "whole words");
    size_t n = b.len;
    ok(tree_open(buf_steal(&b, NULL), n, &t, &e) == 0, "what was written opens: %s", e.text);
    return t;
}

static void test_once(void)
{
    struct treewrite *w;
    uint32_t a, b, c, d;
    treewrite_new(TREE_LAYER, &w, &e);
    treewrite_string(w, "abc", 3, &a, &e);
    treewrite_string(w, "ab", 2, &b, &e);
    treewrite_string(w, "abc", 3, &c, &e);
    ok(a == c && a != b, "equal strings are stored once, prefixes aren't equal");
    ok(!memcmp(treewrite_string_at(w, b), "ab", 2), "a string is where it was said to be");
    ok(treewrite_string(w, "", 0, &d, &e) == 0 && d <= a + 5, "the empty string lies in the pool");
    struct tree_chunk one = {{{5}}, 10}, two[2] = {{{{6}}, 10}, {{{0}}, 30}};
    struct content x = {{{1}}, 10, 10, &one, 1}, y = {{{2}}, 30, 10, two, 2};
    treewrite_content(w, &x, &a, &e);
    treewrite_content(w, &y, &b, &e);
    treewrite_content(w, &x, &c, &e);
    ok(a == c && b == 1, "equal contents are stored once");
    uint32_t root = add(w, S_IFDIR | 0755), f1 = add(w, S_IFREG | 0600), f2 = add(w, S_IFREG), f3 = add(w, S_IFREG);
    treewrite_node_at(w, f1)->content = b;
    treewrite_node_at(w, f1)->size = 30;
    struct xattr s1[2] = {{"user.b", 6, "2", 1}, {"user.a", 6, "1", 1}},
                 s2[2] = {{"user.a", 6, "1", 1}, {"user.b", 6, "2", 1}}, s3[1] = {{"user.a", 6, "", 0}},
                 s4[2] = {{"user.a", 6, "1", 1}, {"user.a", 6, "2", 1}};
    ok(!treewrite_xattrs(w, f1, s1, 2, &e) && !treewrite_xattrs(w, f2, s2, 2, &e) &&
           !treewrite_xattrs(w, f3, s3, 1, &e),
       "xattrs");
    is_int(treewrite_node_at(w, f1)->xattrs, treewrite_node_at(w, f2)->xattrs,
           "equal sets are stored once, whatever their order");
    ok(treewrite_node_at(w, f3)->xattrs != treewrite_node_at(w, f1)->xattrs, "other sets aren't");
    struct err x1 = {0};
    ok(treewrite_xattrs(w, f3, s4, 2, &x1) < 0 && x1.kind == ERR_INPUT, "an xattr twice");
    is_str(x1.text, "xattr \"user.a\" is given twice", "says so");
    ok(treewrite_xattrs(w, f3, NULL, 0, &e) == 0 && treewrite_node_at(w, f3)->xattrs == TREE_NONE,
       "an empty set takes xattrs away");
    struct tree_entry en[3] = {named(w, "z", f1, S_IFREG), named(w, "a", f2, S_IFREG), named(w, "b", f3, S_IFREG)};
    treewrite_dir(w, root, en, 3, &e);
    struct tree *t = finish(w);
    is_int(tree_content_count(t), 2, "contents");
    is_int(tree_chunk_count(t), 3, "chunks");
    is_int(tree_node(t, f1)->size, 30, "size");
    tree_close(t);
    treewrite_free(w);
}

static void test_links(void)
{
    struct treewrite *w;
    treewrite_new(TREE_LAYER, &w, &e);
    uint32_t root = add(w, S_IFDIR | 0755), d = add(w, S_IFDIR | 0700), f = add(w, S_IFREG | 0600),
             gone = add(w, S_IFREG), old = add(w, S_IFDIR);
    struct tree_entry r[3] = {named(w, "f", f, S_IFREG), named(w, "d", d, S_IFDIR), named(w, "F", f, S_IFREG)};
    struct tree_entry s[1] = {named(w, "f", f, S_IFREG)};
    treewrite_dir(w, d, s, 1, &e);
    treewrite_dir(w, root, r, 3, &e);
    struct tree *t = finish(w);
    is_int(tree_node(t, f)->nlink, 3, "a file has as many links as names");
    is_int(tree_node(t, root)->nlink, 3, "a directory has 2 + subdirectories");
    is_int(tree_node(t, d)->nlink, 2, "a directory without any");
    is_int(tree_node(t, d)->parent, root, "parent");
    is_int(tree_node(t, root)->parent, root, "parent of the root");
    ok(tree_node(t, gone)->nlink == 0 && tree_node(t, old)->nlink == 0, "nobody names these");
    is_int(tree_node(t, old)->parent, TREE_NONE, "no parent");
    tree_close(t);
    struct err x = {0};
    struct tree_entry twice[3] = {named(w, "q", f, S_IFREG), named(w, "p", f, S_IFREG), named(w, "q", gone, S_IFREG)};
    ok(treewrite_dir(w, root, twice, 3, &x) < 0 && x.kind == ERR_INPUT, "a name twice");
    is_str(x.text, "the name \"q\" is given twice in one directory", "says which");
    treewrite_free(w);
}

static void test_file_package(void)
{
    struct treewrite *w;
    treewrite_new(TREE_PACKAGE, &w, &e);
    add(w, S_IFREG | 0444);
    struct tree *t = finish(w);
    is_int(tree_kind(t), TREE_PACKAGE, "a package that is one file");
    is_int(tree_node(t, 0)->nlink, 1, "has one link");
    tree_close(t);
    treewrite_free(w);
}

static void test_same_bytes(void)
{
    struct buf b[2] = {{0}, {0}};
    for (int i = 0; i < 2; i++) {
        struct treewrite *w;
        treewrite_new(TREE_LAYER, &w, &e);
        struct tree_entry en[2000];
        add(w, S_IFDIR | 0755);
        for (uint32_t k = 0; k < 2000; k++) {
            char name[16];
            struct tree_node n = {.mode = S_IFREG, .content = TREE_NONE, .xattrs = TREE_NONE};
            uint32_t no;
            snprintf(name, sizeof name, "%u", k * 7919u % 2000);
            treewrite_node(w, &n, &no, &e);
            en[k] = named(w, name, no, S_IFREG);
        }
        treewrite_dir(w, 0, en, 2000, &e);
        treewrite_finish(w, &b[i], &e);
        treewrite_free(w);
    }
    ok(b[0].len == b[1].len && !memcmp(b[0].p, b[1].p, b[0].len), "the same calls give the same bytes");
    buf_release(&b[0]);
    buf_release(&b[1]);
}

static void test_limit(void)
{
    struct treewrite *w;
    struct err x = {0};
    uint32_t off;
    char *big = calloc(1, LIMIT_TREE_BYTES / 4 + 1);
    treewrite_new(TREE_LAYER, &w, &e);
    int r = 0;
    for (int i = 0; i < 5 && !r; i++) {
        big[0] = (char)i;
        r = treewrite_string(w, big, LIMIT_TREE_BYTES / 4 + 1, &off, &x);
    }
    ok(r < 0 && x.kind == ERR_LIMIT && strstr(x.text, "a tree of over"), "a pool over the limit: %s", x.text);
    treewrite_free(w);
    treewrite_free(NULL);
    free(big);
}

int main(void)
{
    test_once();
    test_links();
    test_file_package();
    test_same_bytes();
    test_limit();
    return tap_done();
}

/* SPDX-License-Identifier: MIT */
/* xattrs: what a node shows: overlayfs's names escaped, opaque directories marked. */
#include "../../fs/xattrs.h"

#include "../../index/treewrite.h"

#include "tap.h"

#include <stdlib.h>
#include <sys/stat.h>

#define X(n, v)                                                                                                        \
    {                                                                                                                  \
        .name = (n), .name_len = strlen(n), .value = (v), .value_len = sizeof(v) - 1                                   \
    }

/* A root directory with these attributes. */
static struct tree *make(enum tree_kind kind, uint32_t flags, struct xattr *x, size_t n)
{
    struct treewrite *w = NULL;
    struct err e = {0};
    struct buf b = {0};
    struct tree *t = NULL;
    size_t len = 0;
    uint32_t node = 0;
    struct tree_node root = {
        .mode = S_IFDIR | 0755, .nlink = 2, .content = TREE_NONE, .xattrs = TREE_NONE, .flags = flags};
    int r = treewrite_new(kind, &w, &e);
    r |= treewrite_node(w, &root, &node, &e);
    if (n)
        r |= treewrite_xattrs(w, node, x, n, &e);
    r |= treewrite_dir(w, node, NULL, 0, &e);
    r |= treewrite_finish(w, &b, &e);
    uint8_t *p = buf_steal(&b, &len);
    if (r != 0 || tree_open(p, len, &t, &e) < 0) {
        printf("Bail out! %s\n", e.text);
        exit(1);
    }
    treewrite_free(w);
    return t;
}

static const char *get(const struct tree *t, const char *name)
{
    static char text[64];
    const void *p = NULL;
    size_t n = 0;
    if (xattrs_get(t, tree_node(t, 0), name, &p, &n) < 0)
        return "none";
    snprintf(text, sizeof text, "%.*s", (int)n, (const char *)p);
    return text;
}

/* Names joined by spaces. */
static const char *list(const struct tree *t)
{
    static char text[512];
    struct buf b = {0};
    if (xattrs_list(t, tree_node(t, 0), &b) < 0)
        return "no memory";
    for (size_t i = 0; i < b.len; i++)
        text[i] = b.p[i] ? (char)b.p[i] : ' ';
    text[b.len] = '\0';
    buf_release(&b);
    return text;
}

static void test_plain(void)
{
    struct xattr x[] = {X("security.capability", "cap"), X("user.note", ""), X("trusted.overlayfs", "1"),
                        X("user.overlay", "2")};
    struct tree *t = make(TREE_PACKAGE, 0, x, 4);
    is_str(get(t, "security.capability"), "cap", "value");
    is_str(get(t, "user.note"), "", "empty value");
    is_str(get(t, "trusted.overlayfs"), "1", "not overlayfs's: no dot behind overlay");
    is_str(get(t, "user.overlay"), "2", "nor this");
    is_str(get(t, "user.not"), "none", "no beginning of a name");
    is_str(get(t, "user.notes"), "none", "no longer name");
    is_str(get(t, "trusted.overlay.opaque"), "none", "a package has no marks");
    is_str(list(t), "security.capability trusted.overlayfs user.note user.overlay ", "list");
    ok(!xattrs_none(t), "has some");
    tree_close(t);
}

static void test_escape(void)
{
    struct xattr x[] = {X("trusted.overlay.redirect", "/etc"), X("user.overlay.opaque", "y"),
                        X("trusted.overlay.overlay.a", "b"), X("trusted.overlay.", "c")};
    struct tree *t = make(TREE_LAYER, 0, x, 4);
    is_str(get(t, "trusted.overlay.redirect"), "none", "an image's redirect isn't overlayfs's");
    is_str(get(t, "trusted.overlay.overlay.redirect"), "/etc", "but there, escaped");
    is_str(get(t, "user.overlay.opaque"), "none", "an image's mark isn't either");
    is_str(get(t, "user.overlay.overlay.opaque"), "y", "escaped");
    is_str(get(t, "trusted.overlay.overlay.a"), "none", "an escaped name is escaped again");
    is_str(get(t, "trusted.overlay.overlay.overlay.a"), "b", "twice");
    is_str(get(t, "trusted.overlay."), "none", "the bare prefix");
    is_str(get(t, "trusted.overlay.overlay."), "c", "escaped too");
    is_str(list(t),
           "trusted.overlay.overlay. trusted.overlay.overlay.overlay.a trusted.overlay.overlay.redirect "
           "user.overlay.overlay.opaque ",
           "list");
    tree_close(t);
}

static void test_opaque(void)
{
    struct xattr x[] = {X("trusted.overlay.opaque", "n"), X("user.a", "b")};
    struct tree *t = make(TREE_LAYER, NODE_OPAQUE, x, 2);
    is_str(get(t, "trusted.overlay.opaque"), "y", "marked for root's overlays");
    is_str(get(t, "user.overlay.opaque"), "y", "and for users'");
    is_str(get(t, "trusted.overlay.overlay.opaque"), "n", "what the image brought");
    is_str(list(t), "trusted.overlay.opaque user.overlay.opaque trusted.overlay.overlay.opaque user.a ", "list");
    tree_close(t);
    t = make(TREE_LAYER, NODE_OPAQUE, NULL, 0);
    ok(!xattrs_none(t), "a layer without stored ones may have marks");
    is_str(get(t, "user.overlay.opaque"), "y", "such as here");
    tree_close(t);
    t = make(TREE_LAYER, 0, NULL, 0);
    is_str(get(t, "trusted.overlay.opaque"), "none", "not opaque, no mark");
    is_str(list(t), "", "nothing");
    tree_close(t);
    t = make(TREE_PACKAGE, 0, NULL, 0);
    ok(xattrs_none(t), "a package without any");
    tree_close(t);
}

int main(void)
{
    test_plain();
    test_escape();
    test_opaque();
    return tap_done();
}

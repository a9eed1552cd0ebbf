/* SPDX-License-Identifier: MIT */
/* Covers: union, union_write */
/*
 * The rules at the top of union.c, one by one, and what they may cost.
 *
 * Stacks are written like "d:usr l:lib>usr/lib | f:lib/foo": layers between bars, entries d(irectory), f(ile), l(ink)
 * and h(ard link) with their target, w(hiteout), o(paque), c(har 0:0). The n-th entry of all has mtime n, which shows
 * where attributes come from. Results are listed as "path:mtime", directories with "/", symlinks with ">target", "*n"
 * for n > 1 links, "i" made for want of an entry,
 * "!" a node of the root filesystem's own, "W" whiteout, "O" opaque, "H" hard link to something below.
 */
#include "tap.h"
#include "unionlab.h"

#include "../../index/limits.h"
#include "../../index/session.h"

#include <malloc.h>
#include <sys/resource.h>
#include <time.h>

enum { MAX_LAYERS = 8 };

struct stack {
    struct lab_layer l[MAX_LAYERS];
    const struct lab_layer *p[MAX_LAYERS];
    unsigned n;
};

static void stack_release(struct stack *s)
{
    for (unsigned i = 0; i < s->n; i++)
        lab_release(&s->l[i]);
}

static void parse_entry(struct lab_layer *l, char *s, int mtime)
{
    char *path = s + 2, *target = strchr(path, '>');
    if (target)
        *target++ = 0;
    switch (s[0]) {
    case 'd':
        lab_node(l, path, S_IFDIR | 0700, NULL, mtime);
        break;
    case 'f':
        lab_node(l, path, S_IFREG | 0600, NULL, mtime);
        break;
    case 'c':
        lab_node(l, path, S_IFCHR | 0600, NULL, mtime);
        break;
    case 'l':
        lab_node(l, path, S_IFLNK | 0777, target, mtime);
        break;
    case 'h':
        lab_op(l, OP_HARDLINK, path, target);
        break;
    default:
        lab_op(l, s[0] == 'w' ? OP_WHITEOUT : OP_OPAQUE, path, NULL);
    }
}

/* Makes the layers' trees. */
static int parse(const char *text, struct stack *s, struct err *e)
{
    char *copy = strdup(text), *save = NULL;
    int mtime = 0, r = 0;
    *s = (struct stack){.n = 1};
    lab_begin(&s->l[0], 1);
    for (char *t = strtok_r(copy, " ", &save); t; t = strtok_r(NULL, " ", &save)) {
        if (*t == '|')
            lab_begin(&s->l[s->n], s->n + 1), s->n++;
        else
            parse_entry(&s->l[s->n - 1], t, ++mtime);
    }
    free(copy);
    for (unsigned i = 0; i < s->n && !r; i++) {
        s->p[i] = &s->l[i];
        r = lab_end(&s->l[i], e);
    }
    return r;
}

static void list_dir(const struct tree *t, const struct tree_node *dir, const char *prefix, const struct stack *s,
                     struct buf *out)
{
    for (uint32_t i = 0; i < dir->count; i++) {
        const struct tree_entry *en = tree_entry_at(t, dir, i);
        const struct tree *owner;
        const struct tree_node *n = lab_entry_node(t, en, s->p, s->n, &owner);
        char path[512];
        snprintf(path, sizeof path, "%s%.*s", prefix, en->name_len, tree_string(t, en->name));
        buf_printf(out, "%s%s:%d", out->len ? " " : "", path, (int)n->mtime);
        if (S_ISLNK(n->mode))
            buf_printf(out, ">%.*s", (int)n->count, tree_string(owner, n->first));
        if (!S_ISDIR(n->mode) && n->nlink != 1)
            buf_printf(out, "*%u", n->nlink);
        if (tree_kind(t) == TREE_ROOTFS && !S_ISDIR(n->mode) && en->tree == TREE_SELF)
            buf_printf(out, "!");
        buf_printf(out, "%s%s%s%s", n->flags & NODE_IMPLICIT ? "i" : "", n->flags & NODE_WHITEOUT ? "W" : "",
                   n->flags & NODE_OPAQUE ? "O" : "", n->flags & NODE_HARDLINK ? "H" : "");
        if (S_ISDIR(n->mode)) {
            buf_printf(out, "/");
            strcat(path, "/");
            list_dir(t, n, path, s, out);
        }
    }
}

static void is_rootfs(const char *text, const char *want)
{
    struct err e = {0};
    struct stack s;
    struct tree *t = NULL;
    struct buf b = {0};
    if (parse(text, &s, &e) < 0 || lab_compile(s.p, s.n, &t, &e) < 0) {
        ok(0, "%s: %s", text, e.text);
    } else {
        buf_printf(&b, "%s", "");
        list_dir(t, tree_node(t, 0), "", &s, &b);
        is_str((char *)b.p, want, "%s", text);
    }
    buf_release(&b);
    tree_close(t);
    stack_release(&s);
}

/* The only layer's own tree. */
static void is_layer(const char *text, const char *want)
{
    struct err e = {0};
    struct stack s;
    struct buf b = {0};
    if (parse(text, &s, &e) < 0) {
        ok(0, "%s: %s", text, e.text);
    } else {
        buf_printf(&b, "%s", tree_node(s.l[0].tree, 0)->flags & NODE_OPAQUE ? "O/" : "");
        list_dir(s.l[0].tree, tree_node(s.l[0].tree, 0), "", &s, &b);
        is_str((char *)b.p, want, "layer: %s", text);
    }
    buf_release(&b);
    stack_release(&s);
}

static void fails(const char *text, enum err_kind kind, const char *want)
{
    struct err e = {0};
    struct stack s;
    struct tree *t = NULL;
    int r = parse(text, &s, &e);
    if (!r)
        r = lab_compile(s.p, s.n, &t, &e);
    ok(r < 0 && e.kind == kind, "%s: refused (kind %d)", text, e.kind);
    is_str(e.text, want, "says why");
    tree_close(t);
    stack_release(&s);
}

static void test_parents(void)
{
    is_rootfs("", "");
    is_rootfs("d:usr d:usr/lib l:lib>usr/lib | f:lib/foo", "lib:3>usr/lib usr:1/ usr/lib:2/ usr/lib/foo:4");
    is_rootfs("l:lib>usr/lib | f:lib/foo", "lib:1>usr/lib usr:0i/ usr/lib:0i/ usr/lib/foo:2");
    is_rootfs("l:lib>/a/../b | f:lib/foo", "b:0i/ b/foo:2 lib:1>/a/../b");
    is_rootfs("f:f l:lib>f/../b | f:lib/foo", "b:0i/ b/foo:3 f:1 lib:2>f/../b");
    is_rootfs("l:lib>../../../b | f:lib/foo", "b:0i/ b/foo:2 lib:1>../../../b");
    is_rootfs("d:b f:b/x l:a>m/../b | f:a/y", "a:3>m/../b b:1/ b/x:2 b/y:4");
    is_rootfs("d:d l:d/up>.. l:p>d/up/d | f:p/x", "d:1/ d/up:2>.. d/x:4 p:3>d/up/d");
    is_rootfs("d:d d:d/e l:d/e/abs>/d | f:d/e/abs/x", "d:1/ d/e:2/ d/e/abs:3>/d d/x:4");
    is_rootfs("d:d | f:m/n/o f:d/p/q", "d:1/ d/p:0i/ d/p/q:3 m:0i/ m/n:0i/ m/n/o:2");
    is_rootfs("f:m/n/o | d:m", "m:2/ m/n:0i/ m/n/o:1");
    fails("f:f | f:f/x", ERR_INPUT, "layer entry \"f/x\": \"f\" on its way is no directory");
    fails("f:f f:f/x", ERR_INPUT, "layer entry \"f/x\": \"f\" on its way is no directory");
    fails("l:a>b l:b>a | f:a/x", ERR_INPUT, "layer entry \"a/x\": more than 40 symlinks to follow");
    fails("l:a>b l:b>a | w:a/x", ERR_INPUT, "layer entry \"a/x\": more than 40 symlinks to follow");
}

static void test_nodes(void)
{
    is_rootfs("d:d f:d/x | d:d", "d:3/ d/x:2");
    is_rootfs("d:d f:f | d:f f:f/y f:d", "d:5 f:3/ f/y:4");
    is_rootfs("d:d f:d/x | l:l>d | d:l f:l/y", "d:1/ d/x:2 l:4/ l/y:5");
    is_rootfs("d:d f:d/x | f:d/y l:d>e f:d/z", "d:4>e e:0i/ e/z:5");
    is_rootfs("f:x f:x", "x:2");
    is_rootfs("c:c | d:q", "c:1 q:2/");
    is_rootfs("d: d:d | d:", "d:2/");
    fails("d:d | l:>d", ERR_INPUT, "layer entry \"\": the root must stay a directory");
    fails("f:", ERR_INPUT, "layer entry \"\": the root must stay a directory");
    fails("d:d h:>d", ERR_INPUT, "layer entry \"\": the root must stay a directory");
    struct err e = {0};
    struct stack s;
    struct tree *t = NULL;
    parse("d: | f:a | d: f:b", &s, &e);
    ok(lab_compile(s.p, s.n, &t, &e) == 0 && tree_node(t, 0)->mtime == 3 && !tree_node(t, 0)->flags,
       "the root's attributes are the last ones");
    is_int(tree_node(t, 0)->mode, S_IFDIR | 0700, "and its mode");
    is_int(tree_node(s.l[2].tree, 0)->mtime, 3, "also in the layer's own tree");
    is_int(tree_node(s.l[1].tree, 0)->flags, NODE_IMPLICIT, "a layer that doesn't name its root");
    tree_close(t);
    stack_release(&s);
}

static void test_whiteouts(void)
{
    is_rootfs("f:x | w:x", "");
    is_rootfs("f:x | f:x w:x", "x:2");
    is_rootfs("f:x | w:x f:x", "x:3");
    is_rootfs("f:f | w:f/x w:f/x/y o:f o:f/x", "f:1");
    is_rootfs("f:f | w:nope/x o:no", "f:1");
    is_rootfs("d:d f:d/x l:l>d | w:l/x f:l/y", "d:1/ d/y:5 l:3>d");
    is_rootfs("d:d f:d/x l:l>d | w:l", "d:1/ d/x:2");
    is_rootfs("d:d f:d/x l:l>d | f:l/y o:l", "d:1/ d/y:4 l:3>d");
    is_rootfs("d:d f:d/x d:d/s f:d/s/q | f:d/s/y w:d", "d:1/ d/s:3/ d/s/y:5");
    is_rootfs("d:d f:d/x d:d/s f:d/s/q | w:d f:d/s/y", "d:0i/ d/s:0i/ d/s/y:6");
    is_rootfs("d:d f:d/x d:d/s f:d/s/q | f:d/s/y o:d", "d:1/ d/s:3/ d/s/y:5");
    is_rootfs("d:d f:d/x d:d/s f:d/s/q | o:d f:d/s/y", "d:1/ d/s:0i/ d/s/y:6");
    is_rootfs("d:d f:d/x | o: f:z", "z:4");
    is_rootfs("d:d f:d/x | f:z o:", "z:3");
    is_rootfs("d:a f:a/x | f:a/b f:a d:a f:a/c w:a", "a:5/ a/c:6");
    is_rootfs("d:b f:b/x l:a>m/../b | w:a/x", "a:3>m/../b b:1/");
    is_rootfs("d:d f:d/x | d:d | w:d/x", "d:3/");
    is_rootfs("w:x o: | f:x", "x:3");
    is_rootfs("d:d f:d/a f:d/b | o:d f:d/c | o:d f:d/e", "d:1/ d/e:7");
    fails("f:x | w:", ERR_INPUT, "layer entry \"\": the last part has 0 bytes, 1 to 255 are possible");
}

static void test_hardlinks(void)
{
    is_rootfs("f:f h:g>f", "f:1*2 g:1*2");
    is_rootfs("f:f | h:g>f", "f:1*2! g:1*2!");
    is_rootfs("f:f h:g>f | w:g", "f:1!");
    is_rootfs("f:f h:g>f | w:g h:h>f", "f:1*2 h:1*2");
    is_rootfs("f:f | h:g>f | w:f", "g:1");
    is_rootfs("d:d f:d/x l:l>d | h:e>l/x h:e2>l", "d:1/ d/x:2*2! e:2*2! e2:3>d*2! l:3>d*2!");
    is_rootfs("d:d f:d/x | h:y>d/x o:d h:y2>y", "d:1/ y:2*2! y2:2*2!");
    is_rootfs("f:x | h:y>x w:x", "y:1");
    is_rootfs("d:d f:d/x f:y | h:d>y", "d:3*2! y:3*2!");
    fails("f:f | h:f>f", ERR_INPUT, "layer entry \"f\": hard link to \"f\", which isn't there");
    fails("d:d f:d/x | h:d>d/x", ERR_INPUT, "layer entry \"d\": hard link to \"d/x\", which isn't there");
    fails("d:d | h:e>d", ERR_INPUT, "layer entry \"e\": hard link to \"d\", which is a directory");
    fails("d:d | h:e>", ERR_INPUT, "layer entry \"e\": hard link to \"\", which is a directory");
    fails("d:d | h:e>nope", ERR_INPUT, "layer entry \"e\": hard link to \"nope\", which isn't there");
    fails("f:x | w:x h:y>x", ERR_INPUT, "layer entry \"y\": hard link to \"x\", which isn't there");
    fails("l:a>b l:b>a | h:y>a/x", ERR_INPUT,
          "layer entry \"y\": hard link to \"a/x\": more than 40 symlinks to follow");
}

/* Layers alone, as layers/ shows them. */
static void test_layers(void)
{
    is_layer("f:x w:y w:d/z", "d:0i/ d/z:0W x:1 y:0W");
    is_layer("f:x w:x", "x:1");
    is_layer("w:x f:x", "x:2");
    is_layer("w:d d:d f:d/a", "d:2O/ d/a:3");
    is_layer("f:d/a w:d", "d:0iO/ d/a:1");
    is_layer("f:d d:d", "d:2O/");
    is_layer("o:d f:d/a", "d:0iO/ d/a:2");
    is_layer("d:d f:d/a o:d", "d:1O/ d/a:2");
    is_layer("o: f:a", "O/ a:2");
    is_layer("o:d f:d", "d:2");
    is_layer("f:f w:f/x o:f", "f:1");
    is_layer("l:l>d w:l/x", "d:0i/ d/x:0W l:1>d");
    is_layer("h:y>d/x h:z>y f:q", "q:3 y:0>/d/x*2H z:0>/d/x*2H");
    is_layer("f:x h:y>x", "x:1*2 y:1*2");
    is_layer("d:d d:d f:d/x f:d/x", "d:2/ d/x:4");
    is_layer("f:d/f f:d/f/x w:d/f/y f:g", "d:0i/ d/f:1 g:4");
    is_layer("d:d l:l>d f:d/f f:l/f/x f:g", "d:1/ d/f:3 g:5 l:2>d");
    fails("d:d f:d/f f:d/f/x", ERR_INPUT, "layer entry \"d/f/x\": \"f\" on its way is no directory");
    is_layer("f:f w:f/y f:g", "f:1 g:3");
    is_rootfs("d:e l:d>e f:f | f:d/f h:f>d f:g", "d:2>e*2! e:1/ e/f:4 f:2>e*2! g:6");
    is_layer("l:a>b l:b>a f:a/x w:a/y o:a h:z>a/q", "a:1>b b:2>a z:0>/a/qH");
    is_layer("f:d/x h:y>d", "d:0i/ d/x:1 y:0>/dH");
    is_rootfs("d:e l:d>e | f:d/x h:y>d", "d:2>e*2! e:1/ e/x:3 y:2>e*2!");
    is_layer("f:a/b/c", "a:0i/ a/b:0i/ a/b/c:1");
}

/* The same layer twice, its nodes being two files each. */
static void test_twice(void)
{
    struct err e = {0};
    struct stack s;
    struct tree *t = NULL;
    struct buf b = {0};
    parse("f:f f:g | h:x>f", &s, &e);
    const struct lab_layer *p[3] = {&s.l[0], &s.l[1], &s.l[0]};
    ok(lab_compile(p, 3, &t, &e) == 0, "A, B, A: %s", e.text);
    list_dir(t, tree_node(t, 0), "", &s, &b);
    is_str((char *)b.p, "f:1! g:2 x:1", "x is the first A's file, f the second's");
    buf_release(&b);
    tree_close(t);
    stack_release(&s);
}

/* What a root filesystem copies of a node keeps contents and xattrs. */
static void test_copies(void)
{
    struct err e = {0};
    struct lab_layer a, b;
    const struct lab_layer *p[2] = {&a, &b};
    struct tree *t = NULL;
    const struct tree *owner;
    struct tree_chunk chunks[2] = {{{{7}}, 10}, {{{0}}, 30}};
    struct content c = {{{9}}, 30, 10, chunks, 2};
    struct xattr x[1] = {{"user.k", 6, "v", 1}}, y[1] = {{"user.k", 6, "w", 1}};
    lab_begin(&a, 1);
    uint32_t f = lab_node(&a, "f", S_IFREG | 0600, NULL, 1), d = lab_node(&a, "d", S_IFDIR | 0755, NULL, 2), i;
    treewrite_content(a.w, &c, &i, &e);
    treewrite_node_at(a.w, f)->content = i;
    treewrite_node_at(a.w, f)->size = 30;
    treewrite_xattrs(a.w, f, x, 1, &e);
    treewrite_xattrs(a.w, d, y, 1, &e);
    lab_begin(&b, 2);
    lab_op(&b, OP_HARDLINK, "g", "f");
    ok(!lab_end(&a, &e) && !lab_end(&b, &e) && !lab_compile(p, 2, &t, &e), "a file with two names in two layers: %s",
       e.text);
    const struct tree_entry *en = tree_lookup(t, tree_node(t, 0), "g", 1);
    ok(en && en->tree == TREE_SELF, "it is the root filesystem's own");
    const struct tree_node *n = lab_entry_node(t, en, p, 2, &owner);
    ok(n->size == 30 && tree_content(t, n->content)->stored == 10 && tree_chunk_count(t) == 2,
       "content and size are the layer's");
    ok(tree_xattr_count(t, n) == 1 && *tree_string(t, tree_xattr(t, n, 0)->value) == 'v', "xattrs too");
    n = lab_entry_node(t, tree_lookup(t, tree_node(t, 0), "d", 1), p, 2, &owner);
    ok(tree_xattr_count(t, n) == 1 && *tree_string(t, tree_xattr(t, n, 0)->value) == 'w', "and those of directories");
    tree_close(t);
    lab_release(&a);
    lab_release(&b);
}

static void test_misuse(void)
{
    struct err e = {0};
    struct union_ *u;
    struct stack s;
    struct buf b = {0};
    struct treewrite *w;
    parse("f:f", &s, &e);
    union_new(0, &u, &e);
    union_apply(u, s.l[0].tree, &s.l[0].diffid, &e);
    treewrite_new(TREE_LAYER, &w, &e);
    ok(union_write_layer(u, w, &e) < 0 && e.kind == ERR_USAGE, "a root filesystem's union gives no layer");
    ok(union_compile(u, &b, &e) == 0, "compiled");
    ok(union_apply(u, s.l[0].tree, &s.l[0].diffid, &e) < 0 && e.kind == ERR_USAGE, "no layer after that");
    ok(union_compile(u, &b, &e) < 0 && e.kind == ERR_USAGE, "no second result");
    union_free(u);
    union_free(NULL);
    treewrite_free(w);
    buf_release(&b);
    stack_release(&s);
}

/* --- cost --- */

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Compiles and reports; layers are released. */
static void timed(struct lab_layer *l, unsigned n, double limit, uint32_t want_names, const char *what)
{
    struct err e = {0};
    struct tree *t = NULL;
    const struct lab_layer *p[600];
    double t0 = now();
    for (unsigned i = 0; i < n; i++) {
        p[i] = &l[i];
        if (lab_end(&l[i], &e) < 0)
            ok(0, "%s: layer %u: %s", what, i, e.text);
    }
    double t1 = now();
    int r = lab_compile(p, n, &t, &e);
    double t2 = now();
    ok(!r, "%s: %s", what, e.text);
    uint32_t names = 0;
    for (uint32_t i = 0; t && i < tree_node_count(t); i++)
        if (S_ISDIR(tree_node(t, i)->mode))
            names += tree_node(t, i)->count;
    is_int(names, want_names, "%s: names", what);
    ok(t2 - t0 < limit, "%s: in time", what);
    printf("# %s: layers %.0f ms, root filesystem %.0f ms, %.1f MB\n", what, (t1 - t0) * 1e3, (t2 - t1) * 1e3,
           t ? (double)tree_bytes(t) / 1e6 : 0);
    tree_close(t);
    for (unsigned i = 0; i < n; i++)
        lab_release(&l[i]);
}

static void test_cost(void)
{
    enum { N = 100000 };
    static struct lab_layer l[600];
    char path[8192], target[32];
    lab_begin(&l[0], 1);
    lab_begin(&l[1], 2);
    for (int i = 0; i < N; i++) {
        snprintf(path, sizeof path, "wide/name-%d", i);
        lab_node(&l[0], path, S_IFREG, NULL, i);
        snprintf(path, sizeof path, "wide/new-%d", i);
        lab_node(&l[1], path, S_IFREG, NULL, i);
        lab_op(&l[1], OP_OPAQUE, i % 2 ? "wide" : "", NULL);
    }
    timed(l, 2, 5, N + 1, "10^5 opaque markers on a directory of 10^5, after entries");
    lab_begin(&l[0], 1);
    lab_begin(&l[1], 2);
    for (int i = 0; i < N; i++) {
        snprintf(path, sizeof path, "wide/name-%d/x", i);
        lab_node(&l[0], path, S_IFREG, NULL, i);
        snprintf(path, sizeof path, "wide/name-%d", i);
        lab_op(&l[1], i % 2 ? OP_OPAQUE : OP_WHITEOUT, path, NULL);
        lab_op(&l[1], OP_WHITEOUT, "wide", NULL);
        lab_node(&l[1], "wide/keep", S_IFREG, NULL, i);
    }
    timed(l, 2, 5, 2, "10^5 whiteouts and opaque markers, all below a whiteout");
    lab_begin(&l[0], 1);
    lab_node(&l[0], "f", S_IFREG, NULL, 1);
    for (int i = 1; i < N; i++) {
        snprintf(path, sizeof path, "l-%d", i);
        lab_op(&l[0], OP_HARDLINK, path, "f");
    }
    timed(l, 1, 5, N, "10^5 hard links");
    size_t len = 0;
    lab_begin(&l[0], 1);
    for (int i = 0; i < 1000; i++)
        len += (size_t)snprintf(path + len, sizeof path - len, "%sd", i ? "/" : "");
    for (int i = 0; i < 1000; i++) {
        snprintf(path + len, sizeof path - len, "/x%d", i);
        lab_node(&l[0], path, S_IFREG, NULL, 1);
    }
    timed(l, 1, 5, 2000, "1000 deep");
    for (int i = 0; i < 500; i++) {
        lab_begin(&l[i], (unsigned)i);
        for (int k = 0; k < 200; k++) {
            snprintf(path, sizeof path, "usr/share/d%d/f%d-%d", k % 20, i % 100, k);
            lab_node(&l[i], path, S_IFREG | 0644, NULL, i);
        }
    }
    timed(l, 500, 5, 2 + 20 + 100 * 200, "500 layers of 200 files");
    lab_begin(&l[0], 1);
    for (int i = 0; i < 20000; i++) {
        snprintf(path, sizeof path, "usr/lib/pkg%d/sub%d/file-number-%d.so", i % 200, i % 7, i);
        snprintf(target, sizeof target, "file-%d", i);
        lab_node(&l[0], path, i % 5 ? S_IFREG | 0644 : S_IFLNK | 0777, i % 5 ? NULL : target, i);
    }
    lab_begin(&l[1], 2);
    for (int i = 0; i < 2000; i++) {
        snprintf(path, sizeof path, "usr/share/new%d/file-number-%d.so", i % 50, i);
        lab_node(&l[1], path, S_IFREG | 0644, NULL, i);
    }
    timed(l, 2, 5, 3 + 200 + 200 * 7 + 20000 + 50 + 2000, "20,000 + 2,000 entries");
}

static void test_memory(void)
{
    enum { N = 450000 };
    struct err e = {0};
    struct lab_layer l;
    char path[64];
    struct union_ *u;
    struct buf b = {0};
    lab_begin(&l, 1);
    for (int i = 0; i < N; i++) {
        snprintf(path, sizeof path, "usr/lib/dir-%d/name-%d.so", i / 100, i);
        lab_node(&l, path, S_IFREG | 0644, NULL, i);
    }
    ok(lab_end(&l, &e) == 0, "a large layer: %s", e.text);
    if (!l.tree)
        return;
    treewrite_free(l.w);
    l.w = NULL;
    free(l.ops);
    l.ops = NULL;
    malloc_trim(0);
    struct rusage before, after;
    FILE *f = fopen("/proc/self/clear_refs", "w"); /* resets the peak */
    if (f) {
        fputs("5", f);
        fclose(f);
    }
    long rss = 0, peak = 0;
    char line[128];
    getrusage(RUSAGE_SELF, &before);
    f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        sscanf(line, "VmRSS: %ld", &rss);
    if (f)
        fclose(f);
    union_new(0, &u, &e);
    ok(!union_apply(u, l.tree, &l.diffid, &e) && !union_compile(u, &b, &e), "its root filesystem: %s", e.text);
    f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        sscanf(line, "VmHWM: %ld", &peak);
    if (f)
        fclose(f);
    getrusage(RUSAGE_SELF, &after);
    printf("# 450,000 entries: union takes %ld MiB with its result of %zu MiB, %.0f ms\n", (peak - rss) / 1024,
           b.len >> 20,
           (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1e3 +
               (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec) / 1e3);
    union_free(u);
    buf_release(&b);
    lab_release(&l);
}

int main(void)
{
    test_parents();
    test_nodes();
    test_whiteouts();
    test_hardlinks();
    test_layers();
    test_twice();
    test_copies();
    test_misuse();
    test_cost();
    test_memory();
    return tap_done();
}

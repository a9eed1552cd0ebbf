/* SPDX-License-Identifier: MIT */
/* package: what is recorded and when, what is refused, the tree that a NAR becomes and the NAR that comes out again.
 * Covers: package_export, package_graph, package_add, nartree, pathgraph. */
#include "teststore.h"

#include "../../index/reader.h"

#define NAME_A "g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-a"
#define NAME_B "h1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-b"
#define NAME_C "i1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-c"
#define NAME_D "j1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-d"
#define DIR_   "/nix/store/"

static struct teststore t;

static bool has(const char *name)
{
    struct cat_package p;
    struct err e = {0};
    if (catalog_package(store_catalog(t.store), name, &p, &e) < 0)
        return false;
    cat_package_release(&p);
    return true;
}

static void is_node(const struct tree *tr, const struct tree_node *dir, const char *name, mode_t mode, uint64_t size,
                    uint32_t nlink)
{
    const struct tree_entry *en = tree_lookup(tr, dir, name, strlen(name));
    ok(en != NULL, "%s is there", name);
    if (!en)
        return;
    const struct tree_node *n = tree_node(tr, en->node);
    is_int(n->mode, mode, "%s: mode", name);
    is_int(n->size, size, "%s: size", name);
    is_int(n->nlink, nlink, "%s: links", name);
    ok(n->mtime == 1 && !n->mtime_nsec && !n->uid && !n->gid, "%s: time 1, root's", name);
}

/* A package with everything in it that a NAR can hold. */
static struct buf full_nar(void)
{
    return words("nix-archive-1 ( type directory "
                 "entry ( name d node ( type directory entry ( name e node ( type directory ) ) "
                 "entry ( name x node ( type regular executable ~ contents #!/nix/store/" NAME_B "/bin/sh ) ) ) ) "
                 "entry ( name empty node ( type regular contents ~ ) ) "
                 "entry ( name f node ( type regular contents text ) ) "
                 "entry ( name l node ( type symlink target /nix/store/" NAME_C "/f ) ) )");
}

static void whole(void)
{
    static const char *const cand[] = {NAME_D, NAME_C, NAME_B, NULL};
    static const char *const sigs[] = {"k:x", NULL};
    struct buf nar = full_nar(), out = {0};
    struct digest h = hash_of(&nar);
    struct err e = {0};
    struct cat_package p;
    struct tree *tr;
    bool is_new = false;
    struct package_meta m = {.path = DIR_ NAME_A,
                             .narhash = &h,
                             .narsize = (int64_t)nar.len,
                             .candidates = cand,
                             .deriver = NAME_A ".drv",
                             .sigs = sigs};
    is_int(import_nar(t.store, &nar, &m, &is_new, &e), 0, "import %s", e.text);
    ok(is_new, "is new");
    is_int(catalog_package(store_catalog(t.store), NAME_A, &p, &e), 0, "is in the catalog");
    ok(digest_eq(&p.narhash, &h) && p.narsize == nar.len, "hash and size");
    is_str(p.dir, "/nix/store", "folder");
    is_str(p.refs[0], NAME_B, "reference in a file");
    is_str(p.refs[1], NAME_C, "reference in a symlink's target");
    ok(!p.refs[2], "no others");
    is_str(p.deriver, NAME_A ".drv", "deriver");
    is_str(p.sigs[0], "k:x", "signature");
    ok(!p.trusted && !p.ca, "not trusted by itself");
    is_int(reader_tree(store_reader(t.store), &p.tree, &tr, &e), 0, "its tree %s", e.text);
    const struct tree_node *root = tree_node(tr, 0), *d;
    is_int(tree_kind(tr), TREE_PACKAGE, "kind of tree");
    is_int(root->mode, S_IFDIR | 0555, "root's mode");
    is_int(root->nlink, 3, "root's links");
    is_node(tr, root, "d", S_IFDIR | 0555, 0, 3);
    is_node(tr, root, "empty", S_IFREG | 0444, 0, 1);
    is_node(tr, root, "f", S_IFREG | 0444, 4, 1);
    is_node(tr, root, "l", S_IFLNK | 0777, strlen(DIR_ NAME_C "/f"), 1);
    d = tree_node(tr, tree_lookup(tr, root, "d", 1)->node);
    is_node(tr, d, "e", S_IFDIR | 0555, 0, 2);
    is_node(tr, d, "x", S_IFREG | 0555, strlen("#!" DIR_ NAME_B "/bin/sh"), 1);
    tree_close(tr);
    is_int(package_export_nar(t.store, &p, to_buf, &out, &e), 0, "export %s", e.text);
    ok(out.len == nar.len && !memcmp(out.p, nar.p, out.len), "the same bytes");
    p.narhash.b[5] ^= 1;
    is_int(package_export_nar(t.store, &p, to_buf, &out, &e), -1, "export of something else than was recorded");
    is_int(e.kind, ERR_DAMAGED, "kind");
    ok(strstr(e.text, "the NAR comes out with the hash sha256:") != NULL, "message: %s", e.text);
    cat_package_release(&p);
    is_int(import_nar(t.store, &nar, &m, &is_new, &e), 0, "import again");
    ok(!is_new, "is not new");
    buf_release(&nar);
    buf_release(&out);
}

static void roots(void)
{
    struct buf nar[] = {file_nar("a file\n"), words("nix-archive-1 ( type symlink target ../x )"),
                        words("nix-archive-1 ( type regular executable ~ contents ~ )"),
                        words("nix-archive-1 ( type directory )")};
    static const char *const path[] = {
        DIR_ "01w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-file", DIR_ "11w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-link",
        DIR_ "21w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-exec", DIR_ "31w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-dir"};
    for (size_t i = 0; i < 4; i++) {
        struct err e = {0};
        struct buf out = {0};
        struct cat_package p;
        struct package_meta m = {.path = path[i], .narsize = -1};
        is_int(import_nar(t.store, &nar[i], &m, NULL, &e), 0, "import %s %s", path[i], e.text);
        is_int(catalog_package(store_catalog(t.store), path[i] + strlen(DIR_), &p, &e), 0, "in the catalog");
        is_int(package_export_nar(t.store, &p, to_buf, &out, &e), 0, "export %s", e.text);
        ok(out.len == nar[i].len && !memcmp(out.p, nar[i].p, out.len), "the same bytes");
        cat_package_release(&p);
        buf_release(&out);
        buf_release(&nar[i]);
    }
}

static void refused(const struct buf *nar, const struct package_meta *m, enum err_kind kind, const char *why)
{
    struct err e = {0};
    uint64_t before, after;
    catalog_seq(store_catalog(t.store), &before, &e);
    is_int(import_nar(t.store, nar, m, NULL, &e), -1, "refused: %s", why);
    is_int(e.kind, kind, "kind");
    ok(strstr(e.text, why) != NULL, "message: %s", e.text);
    catalog_seq(store_catalog(t.store), &after, &e);
    ok(before == after, "the store is as before");
}

static void refusals(void)
{
    static const char *const bad_refs[] = {"nonsense", NULL};
    static const char *const bad_sigs[] = {"k:\n", NULL};
    struct buf nar = file_nar("other"), cut = {.p = nar.p, .len = nar.len - 8}, more = {0};
    struct digest h = hash_of(&nar), wrong = h;
    wrong.b[0] ^= 1;
    buf_append(&more, nar.p, nar.len);
    buf_append(&more, "x", 1);
    struct package_meta m = {.path = DIR_ NAME_D, .narhash = &wrong, .narsize = -1};
    refused(&nar, &m, ERR_INPUT, DIR_ NAME_D ": its NAR has the hash sha256:");
    ok(!has(NAME_D), "nothing is recorded");
    m.narhash = &h;
    m.narsize = 5;
    refused(&nar, &m, ERR_INPUT, DIR_ NAME_D ": NAR has more than the 5 bytes that its metadata says");
    m.narsize = 500;
    refused(&nar, &m, ERR_INPUT, ": its NAR has 120 bytes, not the 500 that its metadata says");
    m.narsize = -1;
    refused(&cut, &m, ERR_INPUT, "truncated");
    refused(&more, &m, ERR_INPUT, "bytes follow the end of the NAR, which is at offset 120");
    m.refs = bad_refs;
    refused(&nar, &m, ERR_INPUT, "reference: 'nonsense' is no store path");
    m.refs = NULL;
    m.sigs = bad_sigs;
    refused(&nar, &m, ERR_INPUT, "its signature has a character that isn't printable ASCII");
    m.sigs = NULL;
    m.deriver = "x";
    refused(&nar, &m, ERR_INPUT, "deriver: 'x' is no store path");
    m.deriver = NULL;
    m.path = "/nix/store/x";
    refused(&nar, &m, ERR_INPUT, "'x' is no store path");
    m.path = DIR_ NAME_A;
    refused(&nar, &m, ERR_EXISTS, DIR_ NAME_A ": the store has this path with NAR hash sha256:");
    m.narhash = NULL;
    refused(&nar, &m, ERR_EXISTS, "here it has sha256:");
    buf_release(&nar);
    buf_release(&more);
}

static void content_addresses(void)
{
    struct buf nar = file_nar("hello\n");
    struct digest flat;
    struct err e = {0};
    struct cat_package p;
    sha256_of("hello\n", 6, &flat);
    char text[100], hash[DIGEST_NIX32_LEN + 1];
    static const char *const none[] = {NULL};
    nix32_encode(flat.b, DIGEST_LEN, hash);
    snprintf(text, sizeof text, "fixed:sha256:%s", hash);
    struct package_meta m = {
        .path = DIR_ "gy454w1cxaq731grqwylhzf4pp9r5izh-hello.txt", .narsize = -1, .refs = none, .ca = text};
    struct buf other = file_nar("hullo\n"), dir = words("nix-archive-1 ( type directory )");
    refused(&other, &m, ERR_INPUT, "its contents have the hash sha256:");
    refused(&dir, &m, ERR_INPUT, "is that of a single file, which it isn't");
    is_int(import_nar(t.store, &nar, &m, NULL, &e), 0, "flat content address %s", e.text);
    is_int(catalog_package(store_catalog(t.store), m.path + strlen(DIR_), &p, &e), 0, "in the catalog");
    ok(p.trusted, "proved by its contents");
    cat_package_release(&p);
    snprintf(text, sizeof text, "text:sha256:%s", hash);
    refused(&nar, &m, ERR_INPUT,
            "isn't what its content address gives, /nix/store/qa1w9gdfrba6jl2r57mb3c43863gqywp-hello.txt");
    m.path = DIR_ "qa1w9gdfrba6jl2r57mb3c43863gqywp-hello.txt";
    is_int(import_nar(t.store, &nar, &m, NULL, &e), 0, "text %s", e.text);
    snprintf(text, sizeof text, "fixed:r:sha256:%s", "04zwf782yjwnh3q6hz5izfd6jyip8kgw6g6yj43fiqhbyhdd0dqw");
    m.path = DIR_ "i9pmrzmpshapij2kin22pff6fc2adavx-hello.txt";
    refused(&other, &m, ERR_INPUT, "its contents have the hash sha256:");
    is_int(import_nar(t.store, &nar, &m, NULL, &e), 0, "recursive %s", e.text);
    buf_release(&nar);
    buf_release(&other);
    buf_release(&dir);
}

static void link_package(const char *path, const char *const *refs)
{
    struct buf nar = file_nar(path);
    struct err e = {0};
    struct package_meta m = {.path = path, .narsize = -1, .refs = refs};
    is_int(import_nar(t.store, &nar, &m, NULL, &e), 0, "import %s %s", path, e.text);
    buf_release(&nar);
}

static void is_list(char **v, const char *want, const char *what)
{
    struct buf b = {0};
    buf_append(&b, "", 0);
    for (size_t i = 0; v && v[i]; i++) {
        buf_printf(&b, "%s%s", i ? " " : "", v[i] + 33);
        free(v[i]);
    }
    free(v);
    is_str((char *)b.p, want, "%s", what);
    buf_release(&b);
}

/* p → q → s, p → r → s → t, and all refer to themselves too. */
#define P "p1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-p"
#define Q "q1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-q"
#define R "r1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-r"
#define S "s1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-s"
#define T "v1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-t"

static void graph(void)
{
    static const char *const of_p[] = {R, Q, P, NULL}, *const of_q[] = {Q, S, NULL}, *const of_r[] = {R, S, NULL},
                             *const of_s[] = {S, T, NULL}, *const of_t[] = {T, NULL}, *const p[] = {P, NULL},
                             *const two[] = {S, Q, S, NULL};
    struct catalog *c = store_catalog(t.store);
    struct err e = {0};
    char **v = NULL;
    link_package(DIR_ P, of_p);
    link_package(DIR_ Q, of_q);
    link_package(DIR_ R, of_r);
    link_package(DIR_ S, of_s);
    is_int(package_closure(c, p, &v, &e), -1, "a closure with a hole");
    is_int(e.kind, ERR_NOT_FOUND, "kind");
    is_str(e.text, "the store has no package " T ", which " S " refers to", "message");
    is_int(package_why(c, P, T, &v, &e), 0, "but why needs only the names %s", e.text);
    is_list(v, "p q s t", "shortest chain, to what isn't there");
    link_package(DIR_ T, of_t);
    is_int(package_closure(c, p, &v, &e), 0, "closure");
    is_list(v, "t s q r p", "dependencies first");
    is_int(package_closure(c, two, &v, &e), 0, "closure of two");
    is_list(v, "t s q", "each once");
    is_int(package_why(c, P, T, &v, &e), 0, "why");
    is_list(v, "p q s t", "shortest chain");
    is_int(package_why(c, T, T, &v, &e), 0, "why itself");
    is_list(v, "t", "itself");
    is_int(package_why(c, T, P, &v, &e), 0, "why not");
    ok(!v, "no chain");
    is_int(package_why(c, NAME_B, P, &v, &e), -1, "from what isn't there");
    is_str(e.text, "the store has no package " NAME_B, "message");
    is_int(package_closure(c, (const char *const[]){NAME_B, NULL}, &v, &e), -1, "closure of what isn't there");
    is_int(e.kind, ERR_NOT_FOUND, "kind");
}

/* Scans for everything that the store has, when nothing is said. */
static void scan_store(void)
{
    struct buf nar = file_nar("refers to " DIR_ P " and " NAME_C " and itself k1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q");
    struct err e = {0};
    struct cat_package p;
    struct package_meta m = {.path = DIR_ "k1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-k", .narsize = -1};
    is_int(import_nar(t.store, &nar, &m, NULL, &e), 0, "import %s", e.text);
    is_int(catalog_package(store_catalog(t.store), m.path + strlen(DIR_), &p, &e), 0, "in the catalog");
    is_str(p.refs[0], m.path + strlen(DIR_), "itself");
    is_str(p.refs[1], P, "a package of the store");
    ok(!p.refs[2], "and nothing that the store doesn't have");
    cat_package_release(&p);
    buf_release(&nar);
}

int main(void)
{
    t = teststore_open();
    whole();
    roots();
    refusals();
    content_addresses();
    graph();
    scan_store();
    teststore_close(&t);
    return tap_done();
}

/* SPDX-License-Identifier: MIT */
/*
 * Layers in and out over a real store: what the tree says, what is refused, and that every accepted tar comes out as it
 * went in: odd padding, sparse members, data behind the end, random archives. Covers: layer_export.
 */
#include "tarmake.h"
#include "teststore.h"
#include "../../index/limits.h"
#include "../../index/reader.h"
#include "../../index/session.h"
#include "../../index/source/layer.h"

#include <inttypes.h>

static struct store *store;

/* Imports in a session of its own; commits on success. The tree stays open in ret. */
static int import(const struct buf *tar, const struct digest *expect, struct layer_result *ret, struct err *e)
{
    static const struct session_opts plain;
    struct session *s;
    struct stream *in;
    *e = (struct err){0};
    *ret = (struct layer_result){0};
    if (session_begin(store, &plain, &s, e) < 0)
        return -1;
    int rc = stream_open_mem(tar->p, tar->len, &in, e);
    if (rc == 0)
        rc = layer_import(s, in, expect, ret, e);
    if (rc == 0)
        rc = session_commit(s, e);
    stream_close(in);
    session_end(s);
    return rc;
}

static bool comes_back(const struct digest *diffid, const struct buf *tar)
{
    struct cat_layer l;
    struct err e = {0};
    struct buf out = {0};
    bool same = catalog_layer(store_catalog(store), diffid, &l, &e) == 0 &&
                layer_export(store, &l, to_buf, &out, &e) == 0 && out.len == tar->len &&
                (!out.len || !memcmp(out.p, tar->p, out.len));
    if (!same)
        printf("# %s\n", e.text);
    buf_release(&out);
    return same;
}

/* A line a node, depth first in order of names. */
static void list_dir(const struct tree *t, uint32_t dir, const char *path, struct buf *out)
{
    const struct tree_node *d = tree_node(t, dir);
    for (uint32_t i = 0; i < d->count; i++) {
        const struct tree_entry *en = tree_entry_at(t, d, i);
        const struct tree_node *n = tree_node(t, en->node);
        char name[600];
        snprintf(name, sizeof name, "%s%.*s", path, en->name_len, tree_string(t, en->name));
        buf_printf(out, "%s %o %u:%u n%u s%" PRIu64 " t%" PRId64, name, n->mode, n->uid, n->gid, n->nlink, n->size,
                   n->mtime);
        if (n->mtime_nsec)
            buf_printf(out, ".%09u", n->mtime_nsec);
        if (n->rdev)
            buf_printf(out, " r%x", n->rdev);
        if (n->flags)
            buf_printf(out, " f%u", n->flags);
        if (S_ISLNK(n->mode))
            buf_printf(out, " -> %.*s", (int)n->count, tree_string(t, n->first));
        for (uint32_t k = 0; k < tree_xattr_count(t, n); k++) {
            const struct tree_xattr *x = tree_xattr(t, n, k);
            buf_printf(out, " %.*s=%.*s", (int)x->name_len, tree_string(t, x->name), (int)x->value_len,
                       tree_string(t, x->value));
        }
        buf_printf(out, "\n");
        if (S_ISDIR(n->mode)) {
            snprintf(name + strlen(name), sizeof name - strlen(name), "/");
            list_dir(t, en->node, name, out);
        }
    }
}

/* Imports, compares the tree, exports, compares the bytes. Empties tar. */
static void accept(struct buf *tar, const char *want, const char *what)
{
    struct layer_result r;
    struct err e;
    struct buf l = {0};
    struct digest d;
    sha256_of(tar->p, tar->len, &d);
    if (ok(import(tar, &d, &r, &e) == 0, "%s: imported %s", what, e.text)) {
        buf_printf(&l, "%s", "");
        list_dir(r.tree, 0, "", &l);
        if (want)
            is_str((const char *)l.p, want, "%s: its tree", what);
        ok(digest_eq(&r.diffid, &d) && r.size == tar->len, "%s: diffID and size", what);
        ok(comes_back(&d, tar), "%s: comes out as it went in", what);
        tree_close(r.tree);
    }
    buf_release(&l);
    tar->len = 0;
}

static void refuse(struct buf *tar, enum err_kind kind, const char *want, const char *what)
{
    struct layer_result r;
    struct err e;
    struct cat_layer l;
    struct digest d;
    sha256_of(tar->p, tar->len, &d);
    ok(import(tar, NULL, &r, &e) < 0 && e.kind == kind, "%s: refused", what);
    is_str(e.text, want, "%s: message", what);
    ok(catalog_layer(store_catalog(store), &d, &l, &e) < 0 && e.kind == ERR_NOT_FOUND, "%s: nothing is left", what);
    tar->len = 0;
}

static void test_types(struct buf *b)
{
    size_t h;
    tm_header(b, "./", '5', 0);
    tm_header(b, "bin/", '5', 0);
    TM_PAX(b, "SCHILY.xattr.user.k=v", "SCHILY.xattr.security.capability=cap", "SCHILY.xattr.weird=x", "mtime=-1.5",
           "uid=4000000000");
    tm_file(b, "bin/sh", "#!");
    tm_link(b, "bin/ln", '1', "bin/sh");
    tm_link(b, "bin/sl", '2', "../../else where");
    h = tm_header(b, "null", '3', 0);
    tm_field(b, h, 329,
             "0000001\0"
             "0000003\0",
             16);
    h = tm_header(b, "disk", '4', 0);
    tm_field(b, h, 329,
             "0007777\0"
             "3777777\0",
             16);
    h = tm_header(b, "zero", '3', 0);
    tm_header(b, "pipe", '6', 0);
    tm_file(b, "empty", "");
    tm_file(b, "implicit/dir/f", "f");
    tm_header(b, "seven", '7', 1);
    tm_bytes(b, "7", 1);
    tm_zeros(b, 511);
    tm_end(b);
    accept(b,
           "bin 40644 1000:1001 n2 s0 t1524696343\n"
           "bin/ln 100644 4000000000:1001 n2 s2 t-2.500000000 security.capability=cap user.k=v\n"
           "bin/sh 100644 4000000000:1001 n2 s2 t-2.500000000 security.capability=cap user.k=v\n"
           "bin/sl 120644 1000:1001 n1 s16 t1524696343 -> ../../else where\n"
           "disk 60644 1000:1001 n1 s0 t1524696343 rffffffff\n"
           "empty 100644 1000:1001 n1 s0 t1524696343\n"
           "implicit 40755 0:0 n3 s0 t0 f4\n"
           "implicit/dir 40755 0:0 n2 s0 t0 f4\n"
           "implicit/dir/f 100644 1000:1001 n1 s1 t1524696343\n"
           "null 20644 1000:1001 n1 s0 t1524696343 r100003\n"
           "pipe 10644 1000:1001 n1 s0 t1524696343\n"
           "seven 100644 1000:1001 n1 s1 t1524696343\n"
           "zero 20644 1000:1001 n1 s0 t1524696343\n",
           "all types");
}

static void test_whiteouts(struct buf *b)
{
    tm_file(b, "d/.wh.gone", "payload nobody asked for");
    tm_file(b, "d/.wh..wh..opq", "");
    tm_file(b, "d/stays", "s");
    tm_header(b, ".wh..wh.plnk/", '5', 0);
    tm_file(b, ".wh..wh.plnk/1.2", "aufs");
    tm_file(b, ".wh.x", "");
    tm_link(b, "below", '1', "usr/bin/below");
    tm_end(b);
    accept(b,
           "below 120777 0:0 n1 s14 t0 f8 -> /usr/bin/below\n"
           "d 40755 0:0 n2 s0 t0 f6\n"
           "d/gone 20000 0:0 n1 s0 t0 f1\n"
           "d/stays 100644 1000:1001 n1 s1 t1524696343\n"
           "x 20000 0:0 n1 s0 t0 f1\n",
           "whiteouts");
}

static void test_bytes(struct buf *b)
{
    accept(b, "", "no byte at all");
    tm_end(b);
    accept(b, "", "only an end");
    tm_zeros(b, 512);
    accept(b, "", "half an end");
    tm_file(b, "a", "x");
    accept(b, NULL, "no end blocks");
    tm_header(b, "a", '0', 3);
    tm_bytes(b, "abc", 3);
    accept(b, NULL, "no padding either");
    tm_header(b, "a", '0', 3);
    for (int i = 0; i < 16; i++)
        tm_bytes(b, "abcdefghijklmnopqrstuvwxyz012345", 32);
    tm_end(b);
    for (int i = 0; i < 10000; i++)
        tm_bytes(b, "behind the end ", 15);
    tm_zeros(b, 100000);
    accept(b, "a 100644 1000:1001 n1 s3 t1524696343\n", "padding that isn't zeros, data behind the end");
    tm_file(b, "a", "first");
    tm_file(b, "a", "second");
    tm_header(b, "a/", '5', 0);
    tm_file(b, "a/b", "third");
    tm_file(b, "a", "last, and larger");
    tm_end(b);
    accept(b, "a 100644 1000:1001 n1 s16 t1524696343\n", "one name five times");
    tm_meta(b, 'g', "12 path=glo\n", 12);
    tm_file(b, "same", "same content");
    tm_file(b, "/same2", "same content");
    tm_file(b, "x/../same3", "same content");
    tm_meta(b, 'g', "12 path=glo\n", 12);
    accept(b,
           "same 100644 1000:1001 n1 s12 t1524696343\nsame2 100644 1000:1001 n1 s12 t1524696343\n"
           "same3 100644 1000:1001 n1 s12 t1524696343\n",
           "global headers, names that need cleaning, equal files");
}

static void sparse_member(struct buf *b, const char *map, size_t data, const char *size, uint8_t fill)
{
    char rec[64];
    snprintf(rec, sizeof rec, "GNU.sparse.realsize=%s", size);
    TM_PAX(b, "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=s", rec);
    size_t map_len = strlen(map), blocks = (map_len + 511) / 512 * 512;
    tm_header(b, "GNUSparse/s", '0', blocks + data);
    tm_bytes(b, map, map_len);
    tm_zeros(b, blocks - map_len);
    for (size_t i = 0; i < data; i++)
        tm_bytes(b, fill ? &fill : (const uint8_t *)"\0", 1);
    tm_pad(b);
}

static void test_sparse(struct buf *b)
{
    sparse_member(b, "2\n1000\n5\n1048576\n3\n", 8, "5000000000", 'x');
    tm_end(b);
    accept(b, "s 100644 1000:1001 n1 s5000000000 t1524696343\n", "sparse");
    sparse_member(b, "2\n0\n70000\n200000\n70000\n", 140000, "300000", 0);
    accept(b, "s 100644 1000:1001 n1 s300000 t1524696343\n", "sparse, with zeros that are stored");
    sparse_member(b, "3\n5\n5\n10\n5\n15\n0\n", 10, "15", 'y');
    accept(b, "s 100644 1000:1001 n1 s15 t1524696343\n", "sparse, fragments that touch");
    sparse_member(b, "0\n", 0, "12345", 0);
    accept(b, "s 100644 1000:1001 n1 s12345 t1524696343\n", "sparse, nothing stored");
    sparse_member(b, "1\n0\n0\n", 0, "0", 0);
    accept(b, "s 100644 1000:1001 n1 s0 t1524696343\n", "sparse, empty");
    sparse_member(b, "0\n", 0, "60000000000", 0);
    sparse_member(b, "0\n", 0, "60000000000", 0);
    refuse(b, ERR_LIMIT, "entry 2 's' at offset 2048: the layer's sparse files have over 68719476736 bytes of holes",
           "too many holes");
}

static void test_refusals(struct buf *b)
{
    size_t h;
    tm_file(b, "ok", "x");
    tm_file(b, "../etc/passwd", "x");
    refuse(b, ERR_INPUT, "entry 2 '../etc/passwd' at offset 1024: leads out of the layer's root",
           "a name that leads out");
    tm_link(b, "l", '1', "/../x");
    refuse(b, ERR_INPUT, "entry 1 'l' at offset 0: target of the hard link: leads out of the layer's root",
           "a link that leads out");
    tm_link(b, "l", '1', ".");
    refuse(b, ERR_INPUT, "entry 1 'l' at offset 0: a hard link from or to the root", "a link to the root");
    tm_file(b, "./", "x");
    refuse(b, ERR_INPUT, "entry 1 './' at offset 0: the root must be a directory", "the root as file");
    tm_link(b, "/", '2', "elsewhere");
    refuse(b, ERR_INPUT, "entry 1 '/' at offset 0: the root must be a directory", "the root as symlink");
    tm_header(b, "V", 'V', 0);
    refuse(b, ERR_INPUT, "entry 1 'V' at offset 0: unhandled tar header type 0x56", "volume label");
    tm_file(b, "a/.wh.", "");
    refuse(b, ERR_INPUT, "entry 1 'a/.wh.' at offset 0: a whiteout that names nothing", "bare whiteout");
    TM_PAX(b, "uid=4294967295");
    tm_file(b, "u", "");
    refuse(b, ERR_INPUT, "entry 1 'u' at offset 0: uid 4294967295 is out of range (0 to 4294967294)", "uid -1");
    TM_PAX(b, "gid=-1");
    tm_file(b, "u", "");
    refuse(b, ERR_INPUT, "entry 1 'u' at offset 0: gid -1 is out of range (0 to 4294967294)", "negative gid");
    TM_PAX(b, "size=8796093022209");
    tm_file(b, "f", "");
    refuse(b, ERR_LIMIT, "entry 1 'f' at offset 0: a file of 8796093022209 bytes is over the limit of 8796093022208",
           "too large");
    tm_link(b, "l", '2', "");
    refuse(b, ERR_INPUT, "entry 1 'l' at offset 0: a symbolic link without a proper target", "empty target");
    h = tm_header(b, "dev", '3', 0);
    tm_field(b, h, 329, "0010000", 7);
    refuse(b, ERR_INPUT, "entry 1 'dev' at offset 0: device number 4096:0 is out of range", "device");
    TM_PAX(b, "SCHILY.xattr.=v");
    tm_file(b, "x", "");
    refuse(b, ERR_INPUT, "entry 1 'x' at offset 0: an extended attribute without name", "xattr without name");
    tm_header(b, "cut", '0', 100000);
    tm_zeros(b, 5000);
    refuse(b, ERR_INPUT, "entry 1 'cut' at offset 0: truncated: 95000 of the entry's 100000 bytes are missing", "cut");
    tm_file(b, "f", "");
    tm_file(b, "f/below", "");
    struct layer_result r;
    struct err e;
    ok(import(b, NULL, &r, &e) < 0 && e.kind == ERR_INPUT, "a file as parent: %s", e.text);
    b->len = 0;

    struct digest d = {{1}};
    tm_file(b, "f", "x");
    ok(import(b, &d, &r, &e) < 0 && e.kind == ERR_INPUT, "another diffID");
    ok(strstr(e.text, "diffID mismatch: the layer's bytes give sha256:") &&
           strstr(e.text, "but it should be sha256:01000000"),
       "its message: %s", e.text);
    b->len = 0;
}

static void test_xattr_limits(struct buf *b)
{
    struct buf r = {0};
    char *big = malloc(70000), name[300];
    if (!big)
        abort();
    memset(big, 'v', 70000);
    tm_record(&r, "SCHILY.xattr.user.big", big, LIMIT_XATTR_VALUE);
    tm_meta(b, 'x', r.p, r.len);
    tm_file(b, "x", "");
    accept(b, NULL, "an attribute of 64 KiB");
    r.len = 0;
    tm_record(&r, "SCHILY.xattr.user.big", big, LIMIT_XATTR_VALUE + 1);
    tm_meta(b, 'x', r.p, r.len);
    tm_file(b, "x", "");
    refuse(b, ERR_LIMIT,
           "entry 1 'x' at offset 0: extended attributes over the limit (name 255 bytes, value 65536, all of an entry "
           "1048576)",
           "one byte more");
    r.len = 0;
    memset(name, 'n', 299);
    memcpy(name, "SCHILY.xattr.user.", 18);
    name[13 + 256] = '\0';
    tm_record(&r, name, "v", 1);
    tm_meta(b, 'x', r.p, r.len);
    tm_file(b, "x", "");
    refuse(b, ERR_LIMIT,
           "entry 1 'x' at offset 0: extended attributes over the limit (name 255 bytes, value 65536, all of an entry "
           "1048576)",
           "a name of 256 bytes");
    free(big);
    buf_release(&r);
}

static uint32_t rnd(uint32_t *x, uint32_t n)
{
    *x = *x * 1664525 + 1013904223;
    return (*x >> 8) % n;
}

/* Contents of all sizes around the chunker's, and literals that need the recipe's file. */
static void test_large(struct buf *b)
{
    static const unsigned sizes[] = {1, 511, 512, 513, 16383, 16384, 16385, 65536, 262144, 262145, 1000000, 5000000};
    uint32_t x = 7;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char name[32];
        snprintf(name, sizeof name, "f%u", sizes[i]);
        tm_header(b, name, '0', sizes[i]);
        if (buf_reserve(b, sizes[i] + 3) < 0)
            abort();
        for (unsigned k = 0; k < sizes[i]; k++)
            b->p[b->len++] = (uint8_t)rnd(&x, 256);
        tm_pad(b);
    }
    tm_end(b);
    if (buf_reserve(b, 9 << 20) < 0)
        abort();
    for (unsigned k = 0; k < 9 << 20; k++)
        b->p[b->len++] = (uint8_t)(rnd(&x, 255) + 1);
    accept(b, NULL, "contents of many sizes, and 9 MiB behind the end");
}

static void test_random(struct buf *b)
{
    uint32_t x = 2024;
    size_t bad = 0;
    for (int round = 0; round < 60; round++) {
        unsigned n = rnd(&x, 40);
        for (unsigned i = 0; i < n; i++) {
            char name[64], text[3000];
            snprintf(name, sizeof name, "%c/%c/%c", 'a' + (int)rnd(&x, 3), 'a' + (int)rnd(&x, 3),
                     'A' + (int)rnd(&x, 5));
            unsigned len = rnd(&x, 2999);
            for (unsigned k = 0; k < len; k++)
                text[k] = (char)('a' + rnd(&x, rnd(&x, 10) ? 1 : 20));
            text[len] = '\0';
            switch (rnd(&x, 6)) {
            case 0:
                tm_link(b, name, '2', "../target");
                break;
            case 1:
                TM_PAX(b, "mtime=1.5");
                /* fall through */
            default:
                tm_file(b, name, text);
            }
        }
        tm_zeros(b, rnd(&x, 3) * 512);
        struct layer_result r;
        struct err e;
        if (import(b, NULL, &r, &e) < 0) {
            printf("# %s\n", e.text);
            bad++;
        } else {
            bad += !comes_back(&r.diffid, b);
            tree_close(r.tree);
        }
        b->len = 0;
    }
    is_int(bad, 0, "60 random archives come out as they went in");
}

static int refuse_write(void *ctx, const void *p, size_t n, struct err *e)
{
    (void)ctx, (void)p, (void)n;
    return err_set(e, ERR_SYSTEM, "the disk is full");
}

static void test_again(struct buf *b)
{
    static const struct session_opts plain;
    struct layer_result one = {0}, two = {0};
    struct session *s;
    struct stream *in;
    struct err e = {0};
    struct cat_layer l;
    tm_file(b, "twice", "in one session");
    session_begin(store, &plain, &s, &e);
    stream_open_mem(b->p, b->len, &in, &e);
    ok(layer_import(s, in, NULL, &one, &e) == 0, "once %s", e.text);
    stream_close(in);
    stream_open_mem(b->p, b->len, &in, &e);
    ok(layer_import(s, in, NULL, &two, &e) == 0, "twice %s", e.text);
    stream_close(in);
    ok(digest_eq(&one.tree_digest, &two.tree_digest) && digest_eq(&one.recipe, &two.recipe) && one.entries == 1 &&
           tree_node_count(two.tree) == tree_node_count(one.tree),
       "the same");
    tree_close(one.tree);
    tree_close(two.tree);
    ok(session_commit(s, &e) == 0, "commit %s", e.text);
    session_end(s);
    ok(import(b, NULL, &one, &e) == 0 && digest_eq(&one.tree_digest, &two.tree_digest), "and once more");
    tree_close(one.tree);
    ok(catalog_layer(store_catalog(store), &two.diffid, &l, &e) == 0 && l.size == b->len && l.entries == 1, "its row");
    ok(layer_export(store, &l, refuse_write, NULL, &e) < 0 && e.kind == ERR_SYSTEM, "an error of the taker");
    ok(strstr(e.text, "layer sha256:") == e.text && strstr(e.text, ": the disk is full"), "its message: %s", e.text);
    l.size--;
    struct buf out = {0};
    ok(layer_export(store, &l, to_buf, &out, &e) < 0 && e.kind == ERR_DAMAGED, "a recipe that says too much: %s",
       e.text);
    l.size += 2;
    ok(layer_export(store, &l, to_buf, &out, &e) < 0 && e.kind == ERR_DAMAGED, "another size: %s", e.text);
    l.size--;
    l.diffid.b[0] ^= 1;
    ok(layer_export(store, &l, to_buf, &out, &e) < 0 && e.kind == ERR_DAMAGED, "another digest: %s", e.text);
    buf_release(&out);
    b->len = 0;
}

int main(void)
{
    struct buf b = {0};
    struct teststore t = teststore_open();
    store = t.store;
    test_types(&b);
    test_whiteouts(&b);
    test_bytes(&b);
    test_sparse(&b);
    test_refusals(&b);
    test_xattr_limits(&b);
    test_large(&b);
    test_random(&b);
    test_again(&b);
    buf_release(&b);
    teststore_close(&t);
    return tap_done();
}

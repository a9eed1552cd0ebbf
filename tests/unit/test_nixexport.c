/* SPDX-License-Identifier: MIT */
/* nixexport: streams of our own making come back byte for byte, every fault in one is refused, and Nix gives and takes
 * the same. */
#include "../../index/source/nixexport.h"
#include "teststore.h"

#define NAME_A "g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-a"
#define NAME_B "h1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-b"
#define DIR_   "/nix/store/"

static struct teststore t;

static int import_stream(const void *p, size_t n, struct package_results *r, struct err *e)
{
    static const struct session_opts plain;
    struct session *ses;
    struct stream *in = NULL;
    if (session_begin(t.store, &plain, &ses, e) < 0)
        return -1;
    int rc = stream_open_mem(p, n, &in, e);
    if (!rc)
        rc = nixexport_import(ses, in, r, e);
    if (!rc)
        rc = session_commit(ses, e);
    stream_close(in);
    session_end(ses);
    return rc;
}

static int export_paths(const char *const *names, struct buf *out, struct err *e)
{
    struct cat_package p[32];
    const struct cat_package *list[32] = {0};
    size_t n = 0;
    for (; names[n] && n < 32; n++) {
        if (catalog_package(store_catalog(t.store), names[n], &p[n], e) < 0)
            return -1;
        list[n] = &p[n];
    }
    int rc = package_export(t.store, list, n, to_buf, out, e);
    while (n)
        cat_package_release(&p[--n]);
    return rc;
}

static void add(struct buf *b, const char *s)
{
    add_str(b, s, strlen(s));
}

/* Two paths, the second refers to both and has a deriver and an old signature. */
static struct buf two(bool sig)
{
    struct buf b = {0}, nar = file_nar("first");
    buf_u64(&b, 1);
    buf_append(&b, nar.p, nar.len);
    buf_u64(&b, 0x4558494e);
    add(&b, DIR_ NAME_A);
    buf_u64(&b, 0);
    add(&b, "");
    buf_u64(&b, 0);
    buf_release(&nar);
    nar = file_nar("second " DIR_ NAME_A);
    buf_u64(&b, 1);
    buf_append(&b, nar.p, nar.len);
    buf_u64(&b, 0x4558494e);
    add(&b, DIR_ NAME_B);
    buf_u64(&b, 2);
    add(&b, DIR_ NAME_A);
    add(&b, DIR_ NAME_B);
    add(&b, DIR_ NAME_B ".drv");
    buf_u64(&b, sig);
    if (sig)
        add(&b, "a signature");
    buf_u64(&b, 0);
    buf_release(&nar);
    return b;
}

static void refused(const struct buf *b, const char *why)
{
    struct package_results r = {0};
    struct err e = {0};
    is_int(import_stream(b->p, b->len, &r, &e), -1, "refused: %s", why);
    is_int(e.kind, ERR_INPUT, "kind");
    ok(strstr(e.text, why) != NULL, "message: %s", e.text);
    package_results_release(&r);
}

static void refusals(void)
{
    struct buf b = two(false);
    uint8_t *mark = memmem(b.p, b.len, "NIXE", 4),
            *mark2 = memmem(mark + 4, b.len - (size_t)(mark + 4 - b.p), "NIXE", 4);
    unsigned wrong = 0;
    struct cat_package p;
    struct err none = {0};
    ok(mark && mark2, "the marks are read as text");
    for (size_t n = 0; n < b.len; n++) {
        struct package_results r = {0};
        struct err e = {0};
        wrong += import_stream(b.p, n, &r, &e) == 0 || e.kind != ERR_INPUT || !strstr(e.text, "truncated");
        package_results_release(&r);
    }
    is_int(wrong, 0, "cut anywhere it is refused as truncated");
    b.p[0] = 2;
    refused(&b, "export stream, offset 0: 1 (one more path) or 0 (the end) expected");
    b.p[0] = 1;
    *mark = 'X';
    refused(&b, "no mark 'NIXE' behind the NAR");
    *mark = 'N';
    buf_append(&b, "x", 1);
    refused(&b, "bytes follow its end, which is at offset");
    b.len--;
    uint8_t *ref = memmem(mark2 + 80, 200, DIR_ NAME_A, strlen(DIR_ NAME_A));
    memcpy(ref, "/gnu", 4);
    refused(&b, "is in another store than " DIR_ NAME_B);
    ref[0] = 0;
    refused(&b, "string with a NUL byte");
    memcpy(ref, "/nix", 4);
    ref[strlen(DIR_ NAME_A)] = 1;
    refused(&b, "padding is not zero");
    ref[strlen(DIR_ NAME_A)] = 0;
    b.p[b.len - 16] = 7;
    refused(&b, "0 or 1 expected, got 7");
    b.p[b.len - 16] = 0;
    is_int(catalog_package(store_catalog(t.store), NAME_A, &p, &none), -1, "after all this the store is empty");
    buf_release(&b);
}

static void round_trip(void)
{
    static const char *const names[] = {NAME_A, NAME_B, NULL};
    struct buf b = two(true), plain = two(false), out = {0};
    struct package_results r = {0};
    struct err e = {0};
    struct cat_package p;
    is_int(import_stream(b.p, b.len, &r, &e), 0, "import %s", e.text);
    is_int(r.n, 2, "two paths");
    is_str(r.v[0].path, DIR_ NAME_A, "in the stream's order");
    ok(r.v[0].is_new && r.v[1].is_new, "both new");
    is_int(catalog_package(store_catalog(t.store), NAME_B, &p, &e), 0, "in the catalog");
    ok(!p.trusted, "nobody vouched for it");
    is_str(p.deriver, NAME_B ".drv", "deriver");
    is_str(p.refs[0], NAME_A, "references");
    is_str(p.refs[1], NAME_B, "of the stream");
    cat_package_release(&p);
    is_int(export_paths(names, &out, &e), 0, "export %s", e.text);
    ok(out.len == plain.len && !memcmp(out.p, plain.p, out.len), "the same bytes, but for the old signature");
    package_results_release(&r);
    r = (struct package_results){0};
    is_int(import_stream(plain.p, plain.len, &r, &e), 0, "import again %s", e.text);
    ok(r.n == 2 && !r.v[0].is_new && !r.v[1].is_new, "nothing is new");
    package_results_release(&r);
    is_int(import_stream("\0\0\0\0\0\0\0\0", 8, &r, &e), 0, "no paths at all");
    buf_release(&b);
    buf_release(&plain);
    buf_release(&out);
}

static void with_nix(void)
{
    struct buf b = {0}, out = {0};
    struct package_results r = {0};
    struct err e = {0};
    const char *names[33] = {0};
    if (!nix_setup(&t)) {
        printf("ok %d - with Nix # SKIP it can't be run\n", ++tap_run);
        return;
    }
    is_int(shell(&t,
                 "mkdir -p $T/tree/a/b; echo hi >$T/tree/a/x; chmod +x $T/tree/a/x; ln -s a/x $T/tree/l; "
                 "head -c 300000 /dev/urandom >$T/tree/big; p=$(nix-store --add $T/tree); "
                 "echo '{p}: builtins.toFile \"t\" \"see ${builtins.storePath p}\"' >$T/t.nix; "
                 "q=$(nix-instantiate --eval --read-write-mode $T/t.nix --argstr p $p | tr -d '\"'); "
                 "nix-store --export $p $q",
                 &b),
           0, "nix-store --export");
    is_int(import_stream(b.p, b.len, &r, &e), 0, "import what Nix exports, %zu bytes %s", b.len, e.text);
    for (size_t i = 0; i < r.n; i++)
        names[i] = strrchr(r.v[i].path, '/') + 1;
    is_int(r.n, 2, "its paths");
    is_int(export_paths(names, &out, &e), 0, "export %s", e.text);
    ok(out.len == b.len && !memcmp(out.p, b.p, out.len), "byte for byte what Nix exported");
    char path[100];
    snprintf(path, sizeof path, "%s/export", t.dir);
    is_int(io_replace_file(AT_FDCWD, path, out.p, out.len, 0600, &e), 0, "write it");
    is_int(shell(&t, "NIX_REMOTE=\"local?root=$T/root2\" nix-store --import <$T/export >/dev/null 2>&1", NULL), 0,
           "a fresh Nix store imports it");
    is_int(shell(&t, "NIX_REMOTE=\"local?root=$T/root2\" nix-store --verify --check-contents >/dev/null 2>&1", NULL), 0,
           "and finds it whole");
    package_results_release(&r);
    buf_release(&b);
    buf_release(&out);
}

int main(void)
{
    t = teststore_open();
    refusals();
    round_trip();
    with_nix();
    shell(&t, "chmod -R u+w $T", NULL);
    teststore_close(&t);
    return tap_done();
}

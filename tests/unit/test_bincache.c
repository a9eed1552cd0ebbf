/* SPDX-License-Identifier: MIT */
/* bincache: caches of our own making with every fault, and caches that Nix wrote, in all compressions, signed. */
#include "../../index/source/bincache.h"
#include "teststore.h"

#define A    "g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-a"
#define B    "h1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-b"
#define C    "i1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-c"
#define DIR_ "/nix/store/"

static struct teststore t;
static char cache[100];

static void put(const char *name, const void *p, size_t n)
{
    char path[200];
    struct err e = {0};
    snprintf(path, sizeof path, "%s/%s", cache, name);
    if (io_replace_file(AT_FDCWD, path, p, n, 0600, &e) < 0)
        ok(0, "%s", e.text);
}

/* What a narinfo says; NULL or 0: as it should be. */
struct says {
    const char *url, *hash, *filehash, *more, *path, *compression;
    uint64_t size, filesize;
};

/* A path whose file holds `text` and refers to refs. */
static void put_path(const char *base, const char *text, const char *refs, const struct says *s)
{
    struct buf nar = file_nar(text), info = {0};
    char file[100], hash[DIGEST_NIX32_LEN + 1];
    struct digest d = hash_of(&nar);
    nix32_encode(d.b, DIGEST_LEN, hash);
    snprintf(file, sizeof file, "nar/%s.nar", hash);
    put(file, nar.p, nar.len);
    buf_printf(&info, "StorePath: %s%s\nURL: %s\nCompression: %s\n", s->path ? "" : DIR_, s->path ? s->path : base,
               s->url ? s->url : file, s->compression ? s->compression : "none");
    buf_printf(&info, "FileHash: sha256:%s\nFileSize: %llu\nNarHash: sha256:%s\nNarSize: %llu\nReferences: %s\n%s",
               s->filehash ? s->filehash : hash, (unsigned long long)(s->filesize ? s->filesize : nar.len),
               s->hash ? s->hash : hash, (unsigned long long)(s->size ? s->size : nar.len), refs,
               s->more ? s->more : "");
    snprintf(file, sizeof file, "%.32s.narinfo", base);
    put(file, info.p, info.len);
    buf_release(&info);
    buf_release(&nar);
}

/* An empty cache with nix-cache-info. */
static void new_cache(void)
{
    snprintf(cache, sizeof cache, "%s/cache", t.dir);
    shell(&t, "rm -rf $T/cache; mkdir -p $T/cache/nar", NULL);
    put("nix-cache-info", "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 30\n", 50);
}

static int import_cache(const char *const *paths, const struct bincache_opts *o, struct package_results *r,
                        struct err *e)
{
    static const struct session_opts plain;
    struct session *ses;
    *r = (struct package_results){0};
    if (session_begin(t.store, &plain, &ses, e) < 0)
        return -1;
    int rc = bincache_import(ses, cache, paths, o, r, e);
    if (!rc)
        rc = session_commit(ses, e);
    session_end(ses);
    return rc;
}

static bool has(const char *name)
{
    struct cat_package p;
    struct err e = {0};
    if (catalog_package(store_catalog(t.store), name, &p, &e) < 0)
        return false;
    cat_package_release(&p);
    return true;
}

static void refused(const char *const *paths, const struct bincache_opts *o, enum err_kind kind, const char *why)
{
    struct package_results r;
    struct err e = {0};
    is_int(import_cache(paths, o, &r, &e), -1, "refused: %s", why);
    is_int(e.kind, kind, "kind");
    ok(strstr(e.text, why) != NULL, "message: %s", e.text);
    ok(!has(A) && !has(B) && !has(C), "the store is as before");
    package_results_release(&r);
}

static const struct bincache_opts closure = {.closure = true};
static const char *const just_a[] = {A, NULL};

static void faults(void)
{
    static const struct {
        struct says says;
        enum err_kind kind;
        const char *why;
    } f[] = {
        {{.url = "../x.nar"}, ERR_INPUT, "URL '../x.nar' isn't a plain path inside the cache"},
        {{.url = "/etc/passwd"}, ERR_INPUT, "URL '/etc/passwd' isn't"},
        {{.url = "nar/../../x"}, ERR_INPUT, "URL 'nar/../../x' isn't"},
        {{.url = "nar//x"}, ERR_INPUT, "isn't a plain path inside the cache"},
        {{.url = "nar/"}, ERR_INPUT, "isn't a plain path inside the cache"},
        {{.url = "./x"}, ERR_INPUT, "isn't a plain path inside the cache"},
        {{.url = "file:///etc/passwd"}, ERR_INPUT, "isn't a plain path inside the cache"},
        {{.url = "nar/none.nar"}, ERR_NOT_FOUND, "cache/nar/none.nar: no such file"},
        {{.url = "nar"}, ERR_INPUT, "cache/nar: is no regular file"},
        {{.url = "out"}, ERR_INPUT, "cache/out: leads out of the cache"},
        {{.url = "fifo"}, ERR_INPUT, "cache/fifo: is no regular file"},
        {{.hash = "1bb3srw3x77mnck1gk0cbnf1a9915fdrqdjb27y7rxmmlrb3dzjw"}, ERR_INPUT, "its NAR has the hash sha256:"},
        {{.filehash = "1bb3srw3x77mnck1gk0cbnf1a9915fdrqdjb27y7rxmmlrb3dzjw"},
         ERR_INPUT,
         "not the FileHash sha256:1bb3"},
        {{.size = 7}, ERR_INPUT, "NAR has more than the 7 bytes that its metadata says"},
        {{.size = 700}, ERR_INPUT, "bytes, not the 700 that its metadata says"},
        {{.filesize = 7}, ERR_INPUT, "bytes, not the FileSize 7"},
        {{.path = DIR_ B}, ERR_INPUT, "g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q.narinfo: is about another path, " DIR_ B},
        {{.path = DIR_ A "2"}, ERR_INPUT, "the cache has " A "2 under the hash of " A},
        {{.path = "/gnu/store/" A}, ERR_INPUT, "/gnu/store/" A " is not in the cache's store /nix/store"},
        {{.compression = "br"}, ERR_UNSUPPORTED, "br"},
        {{.compression = "zstd"}, ERR_INPUT, A},
        {{.more = "NarSize: 1\n"}, ERR_INPUT, "narinfo: line 9: NarSize: stands here a second time"},
        {{.more = "CA: fixed:r:sha256:1bb3srw3x77mnck1gk0cbnf1a9915fdrqdjb27y7rxmmlrb3dzjw\n"},
         ERR_INPUT,
         "isn't what its content address gives"},
    };
    new_cache();
    shell(&t, "ln -s /etc/passwd $T/cache/out; mkfifo $T/cache/fifo", NULL);
    for (size_t i = 0; i < sizeof f / sizeof f[0]; i++) {
        put_path(A, "text of a", "", &f[i].says);
        refused(just_a, &closure, f[i].kind, f[i].why);
    }
    put("nix-cache-info", "StoreDir: nonsense\n", 19);
    refused(just_a, &closure, ERR_INPUT, "cache/nix-cache-info: StoreDir: 'nonsense' can't be a store's folder");
    shell(&t, "rm $T/cache/nix-cache-info", NULL);
    ok(!bincache_is(cache), "not seen as a cache");
    refused(just_a, &closure, ERR_INPUT, "is no Nix binary cache: nix-cache-info is missing");
}

static const struct says plain;

static void missing(void)
{
    new_cache();
    ok(bincache_is(cache), "seen as a cache");
    refused(NULL, &closure, ERR_NOT_FOUND, "the cache holds no path (no narinfo)");
    refused(just_a, &closure, ERR_NOT_FOUND, "cache: the cache has no " DIR_ A);
    refused((const char *const[]){"g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q", NULL}, &closure, ERR_NOT_FOUND,
            "the cache has no path with the hash g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q");
    refused((const char *const[]){"/gnu/store/" A, NULL}, &closure, ERR_NOT_FOUND,
            "the cache is of the store /nix/store");
    refused((const char *const[]){"nonsense", NULL}, &closure, ERR_INPUT, "'nonsense' is no store path");
    put_path(A, "a", B " " C, &plain);
    put_path(B, "b", "", &plain);
    refused(just_a, &closure, ERR_NOT_FOUND, "neither the cache nor the store has " DIR_ C ", which " A " refers to");
    refused(NULL, &closure, ERR_NOT_FOUND, "neither the cache nor the store has " DIR_ C ", which " A " refers to");
}

static void signatures(void)
{
    static const char *const text[] = {"k:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=", NULL};
    struct trusted_keys keys;
    struct err e = {0};
    is_int(trusted_keys_parse(text, &keys, &e), 0, "a key");
    const struct bincache_opts o = {.closure = true, .keys = &keys};
    new_cache();
    put_path(A, "a", "", &plain);
    refused(just_a, &o, ERR_INPUT, DIR_ A ": no signature by a trusted key (signed by: nobody)");
    put_path(A, "a", "", &(struct says){.more = "Sig: x-1:AAAA\nSig: k:AAAA\n"});
    refused(just_a, &o, ERR_INPUT, DIR_ A ": no signature by a trusted key (signed by: x-1, k)");
    trusted_keys_release(&keys);
}

static uint64_t last_done, last_total;

static void on_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    (void)ctx;
    (void)what;
    last_done = done;
    last_total = total;
}

static void good(void)
{
    const struct bincache_opts o = {.closure = true, .progress = on_progress}, alone = {.closure = false};
    struct package_results r;
    struct err e = {0};
    new_cache();
    put_path(A, "a", B " " A " " C, &plain);
    put_path(B, "b", C, &plain);
    put_path(C, "c", "", &plain);
    is_int(import_cache((const char *const[]){DIR_ C, NULL}, &alone, &r, &e), 0, "one alone %s", e.text);
    ok(r.n == 1 && r.v[0].is_new, "is new");
    package_results_release(&r);
    is_int(import_cache((const char *const[]){"g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q", A, NULL}, &o, &r, &e), 0,
           "one by its hash with its closure %s", e.text);
    is_int(r.n, 3, "three paths");
    is_str(r.v[0].path, DIR_ C, "dependencies");
    is_str(r.v[1].path, DIR_ B, "before");
    is_str(r.v[2].path, DIR_ A, "dependents");
    ok(!r.v[0].is_new && r.v[1].is_new && r.v[2].is_new, "what was there isn't new");
    ok(last_done == last_total && last_total == 3 * 120, "progress reaches the end");
    package_results_release(&r);
    put_path(B, "something else", C, &plain);
    is_int(import_cache(NULL, &o, &r, &e), -1, "another content for a path that is there");
    is_int(e.kind, ERR_EXISTS, "kind");
    ok(strstr(e.text, DIR_ B ": the store has this path with NAR hash sha256:"), "message: %s", e.text);
    package_results_release(&r);
    shell(&t, "rm $T/cache/h1w7*", NULL);
    is_int(import_cache(NULL, &o, &r, &e), 0, "what the cache lacks and the store has is no hole %s", e.text);
    package_results_release(&r);
}

/* What `nix copy` writes in this compression, with the key in $T/pk or without. */
static void from_nix(const char *name, const struct trusted_keys *keys)
{
    const struct bincache_opts o = {.closure = true, .keys = keys};
    struct teststore outer = t;
    struct package_results r;
    struct err e = {0};
    struct cat_package p;
    snprintf(cache, sizeof cache, "%s/cache-%s", outer.dir, name);
    t = teststore_open();
    is_int(import_cache(NULL, &o, &r, &e), 0, "Nix's cache, %s %s", name, e.text);
    is_int(r.n, 2, "two paths");
    for (size_t i = 0; i < r.n; i++) {
        struct buf nar = {0}, nix = {0};
        char cmd[300];
        is_int(catalog_package(store_catalog(t.store), strrchr(r.v[i].path, '/') + 1, &p, &e), 0, "in the catalog");
        ok(p.trusted && p.sigs[0], "signed or proved, signature kept");
        is_int(package_export_nar(t.store, &p, to_buf, &nar, &e), 0, "NAR %s", e.text);
        snprintf(cmd, sizeof cmd, "nix-store --dump $T/root%s", r.v[i].path);
        shell(&outer, cmd, &nix);
        ok(nar.len == nix.len && !memcmp(nar.p, nix.p, nar.len), "is what Nix dumps, %zu bytes", nix.len);
        cat_package_release(&p);
        buf_release(&nar);
        buf_release(&nix);
    }
    package_results_release(&r);
    teststore_close(&t);
    t = outer;
}

/* A content-addressed path that refers to itself, as Nix makes it from an input-addressed one. */
static void self_reference(void)
{
    const struct bincache_opts o = {.closure = true};
    struct package_results r;
    struct err e = {0};
    struct cat_package p;
    if (shell(&t,
              "echo 'derivation { name = \"selfy\"; system = \"x86_64-linux\"; builder = \"/bin/sh\"; args = [ \"-c\" "
              "\"echo me $out and $out > $out\" ]; }' >$T/self.nix; s=$(nix-build --no-out-link $T/self.nix "
              "2>/dev/null) && "
              "c=$(nix store make-content-addressed --json $s 2>/dev/null | sed 's/.*:\"//; s/\".*//') && "
              "nix copy --to file://$T/cache-self $c 2>/dev/null && grep -q '^CA: fixed:r:' $T/cache-self/*.narinfo",
              NULL)) {
        printf("ok %d - content-addressed with a reference to itself # SKIP Nix can't build it here\n", ++tap_run);
        return;
    }
    snprintf(cache, sizeof cache, "%s/cache-self", t.dir);
    is_int(import_cache(NULL, &o, &r, &e), 0, "content-addressed with a reference to itself %s", e.text);
    is_int(r.n, 1, "one path");
    if (r.n && !catalog_package(store_catalog(t.store), strrchr(r.v[0].path, '/') + 1, &p, &e)) {
        ok(p.trusted, "proved by its contents");
        is_str(p.refs[0], p.name, "refers to itself");
        cat_package_release(&p);
    }
    package_results_release(&r);
}

static void with_nix(void)
{
    static const char *const names[] = {"none", "xz", "zstd", "bzip2", "gzip"};
    struct buf pk = {0};
    struct trusted_keys keys;
    struct err e = {0};
    if (!nix_setup(&t) ||
        shell(
            &t,
            "head -c 300000 /dev/urandom | od -x >$T/big; p=$(nix-store --add $T/big); "
            "echo '{p}: builtins.toFile \"t\" \"see ${builtins.storePath p}\"' >$T/t.nix; "
            "q=$(nix-instantiate --eval --read-write-mode $T/t.nix --argstr p $p | tr -d '\"'); "
            "nix-store --generate-binary-cache-key test-1 $T/sk $T/pk && nix store sign -k $T/sk -r $q 2>/dev/null && "
            "for c in none xz zstd bzip2 gzip; do nix copy --to \"file://$T/cache-$c?compression=$c\" $q 2>/dev/null "
            "|| exit 1; "
            "done; cat $T/pk",
            &pk)) {
        printf("ok %d - with Nix # SKIP it can't be run\n", ++tap_run);
        return;
    }
    const char *text[] = {(char *)pk.p, NULL};
    is_int(trusted_keys_parse(text, &keys, &e), 0, "the key that Nix made %s", e.text);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        from_nix(names[i], &keys);
    trusted_keys_release(&keys);
    buf_release(&pk);
    self_reference();
}

int main(void)
{
    t = teststore_open();
    faults();
    missing();
    signatures();
    good();
    with_nix();
    shell(&t, "chmod -R u+w $T", NULL);
    teststore_close(&t);
    return tap_done();
}

/* SPDX-License-Identifier: MIT */
/*
 * Covers: gc, gc_pack, catalog_gc, digestset, verify, verify_pack, verify_object, rebuild.
 * Packages of random contents come and go; after each step the store verifies, what is left reads back right, and a
 * rebuild gives the same catalog.
 */
#include "../../index/crypto.h"
#include "../../index/digestset.h"
#include "../../index/gc.h"
#include "../../index/lease.h"
#include "../../index/limits.h"
#include "../../index/pack.h"
#include "../../index/reader.h"
#include "../../index/session.h"
#include "../../index/verify.h"

#include "treenar.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

enum { SIZE = 300000 };

static void fill(uint8_t *p, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        p[i] = (uint8_t)(seed >> 56);
    }
}

/* One package: a file of SIZE bytes whose first half is made from `half`, the second from `seed`. */
static int add(struct store *s, const char *name, uint64_t half, uint64_t seed, struct err *e)
{
    static uint8_t data[SIZE];
    char path[100];
    struct buf nar = words("nix-archive-1 ( type regular contents");
    struct stream *in;
    struct session *ss;
    struct package_meta m = {.path = path, .narsize = -1};
    const char *none[] = {NULL};
    fill(data, SIZE / 2, half);
    fill(data + SIZE / 2, SIZE / 2, seed);
    snprintf(path, sizeof path, "/nix/store/%032d-%s", 0, name);
    m.refs = none;
    add_str(&nar, data, SIZE);
    add_str(&nar, ")", 1);
    err_clear(e);
    int rc = session_begin(s, NULL, &ss, e);
    if (rc == 0) {
        rc = stream_open_mem(nar.p, nar.len, &in, e);
        if (rc == 0) {
            rc = package_import(ss, in, true, &m, NULL, e);
            stream_close(in);
        }
        if (rc == 0)
            rc = session_commit(ss, e);
        session_end(ss);
    }
    buf_release(&nar);
    return rc;
}

static int drop(struct store *s, const char *name, struct err *e)
{
    struct cat_package p;
    char base[100];
    snprintf(base, sizeof base, "%032d-%s", 0, name);
    if (catalog_package(store_catalog(s), base, &p, e) < 0)
        return -1;
    struct json *j = json_new_object();
    json_set(j, "type", json_new_str("remove"));
    json_set(j, "of", json_new_str("package"));
    json_set(j, "no", json_new_int(p.no));
    json_set(j, "time", json_new_int(1));
    cat_package_release(&p);
    int rc = store_record(s, &j, 1, e);
    json_unref(j);
    return rc;
}

static int sink(void *ctx, const void *p, size_t n, struct err *e)
{
    (void)p, (void)e;
    *(size_t *)ctx += n;
    return 0;
}

/* Exports it: the NAR hash is checked on the way. */
static bool reads(struct store *s, const char *name)
{
    struct cat_package p;
    struct err e = {0};
    char base[100];
    size_t n = 0;
    snprintf(base, sizeof base, "%032d-%s", 0, name);
    if (catalog_package(store_catalog(s), base, &p, &e) < 0)
        return false;
    int rc = package_export_nar(s, &p, sink, &n, &e);
    if (rc < 0)
        printf("# %s\n", e.text);
    cat_package_release(&p);
    return rc == 0 && n > SIZE;
}

static char last_reason[600];

static void on_finding(void *ctx, const struct verify_finding *f)
{
    (void)ctx;
    snprintf(last_reason, sizeof last_reason, "%s|%s|%s", f->object ? f->object : "", f->path ? f->path : "",
             f->reason);
}

static uint64_t findings(struct store *s)
{
    struct verify_opts o = {.finding = on_finding};
    struct verify_stats st;
    struct err e = {0};
    last_reason[0] = '\0';
    ok(verify_run(s, &o, &st, &e) == 0, "verify: %s", e.text);
    if (st.findings)
        printf("# %s\n", last_reason);
    return st.findings;
}

static uint64_t pack_bytes(struct store *s)
{
    struct cat_totals t = {0};
    struct err e = {0};
    catalog_totals(store_catalog(s), &t, &e);
    return t.pack_bytes;
}

static struct gc_result collect(struct store *s, bool full, bool dry)
{
    struct gc_opts o = {.full = full, .dry_run = dry};
    struct gc_result r;
    struct err e = {0};
    ok(gc_run(s, &o, &r, &e) == 0, "gc%s%s: %s", full ? " full" : "", dry ? " dry" : "", e.text);
    return r;
}

static void dump(const char *dir, const char *to)
{
    char cmd[500];
    snprintf(cmd, sizeof cmd,
             "sqlite3 -cmd '.mode quote' %s/store/catalog.db \"select * from package order by no; select * from layer; "
             "select * from name;"
             " select digest,len from chunk order by 1; select digest,size,chunks from content order by 1; select * "
             "from meta where key != 'seq'\" >%s/%s",
             dir, dir, to);
    ok(system(cmd) == 0, "dump %s", to);
}

static void come_and_go(struct teststore *t)
{
    struct store *s = t->store;
    struct err e = {0};
    char name[16], cmd[200], path[100];
    for (int i = 0; i < 6; i++) { /* pairs share their first half */
        snprintf(name, sizeof name, "p%d", i);
        ok(add(s, name, (uint64_t)(i / 2), 100 + (uint64_t)i, &e) == 0, "import %s: %s", name, e.text);
    }
    is_int(findings(s), 0, "findings");
    uint64_t all = pack_bytes(s);
    is_int(collect(s, false, false).chunks, 0, "nothing is garbage");
    ok(drop(s, "p0", &e) == 0 && drop(s, "p2", &e) == 0 && drop(s, "p3", &e) == 0, "remove three: %s", e.text);
    struct gc_result dry = collect(s, false, true);
    ok(dry.chunks > 0 && dry.raw_bytes >= SIZE * 5 / 4 && pack_bytes(s) >= all, "a dry run: %llu bytes",
       (unsigned long long)dry.raw_bytes);
    struct gc_result r = collect(s, false, false);
    is_int(r.chunks, dry.chunks, "chunks, as the dry run said");
    is_int(findings(s), 0, "findings afterwards");
    r = collect(s, true, false);
    is_int(findings(s), 0, "findings after a full one");
    ok(pack_bytes(s) < all * 3 / 4, "%llu bytes of %llu", (unsigned long long)pack_bytes(s), (unsigned long long)all);
    ok(reads(s, "p1") && reads(s, "p4") && reads(s, "p5") && !reads(s, "p0"), "the others read back");
    uint64_t least = pack_bytes(s);
    collect(s, true, false);
    is_int(pack_bytes(s), least, "there is nothing more to gain");
    /* The packs alone give the same catalog, and nothing that was removed comes back. */
    dump(t->dir, "before");
    snprintf(path, sizeof path, "%s/store", t->dir);
    store_close(s);
    snprintf(cmd, sizeof cmd, "rm -f %s/catalog.db*", path);
    ok(system(cmd) == 0, "the catalog is lost");
    ok(store_open(path, 0, &t->store, &e) < 0 && e.kind == ERR_DAMAGED && strstr(e.text, "rebuild"), "%s", e.text);
    err_clear(&e);
    ok(store_rebuild(path, &e) == 0, "rebuild: %s", e.text);
    if (store_open(path, 0, &t->store, &e) < 0)
        exit(1);
    dump(t->dir, "after");
    snprintf(cmd, sizeof cmd, "cd %s && diff before after", t->dir);
    is_int(system(cmd), 0, "the same catalog");
    is_int(findings(t->store), 0, "findings");
    ok(reads(t->store, "p1"), "it reads");
}

/* What a mount holds stays, also when it was removed; a rebuild is refused meanwhile. */
static void held(struct teststore *t)
{
    struct cat_package p;
    struct err e = {0};
    struct lease *l;
    char text[100], path[100];
    ok(catalog_package(store_catalog(t->store), "00000000000000000000000000000000-p1", &p, &e) == 0, "a package");
    struct digest tree = p.tree;
    snprintf(text, sizeof text, "{\"pid\":1,\"seq\":1000000,\"held\":[%u]}", p.no);
    cat_package_release(&p);
    ok(lease_take(t->store, LEASE_MOUNT, text, &l, &e) == 0 && drop(t->store, "p1", &e) == 0, "held and removed");
    is_int(collect(t->store, true, false).chunks, 0, "gc leaves it");
    struct tree *tr = NULL;
    ok(reader_tree(store_reader(t->store), &tree, &tr, &e) == 0, "its tree is still there: %s", e.text);
    tree_close(tr);
    snprintf(path, sizeof path, "%s/store", t->dir);
    ok(store_rebuild(path, &e) < 0 && e.kind == ERR_BUSY && strstr(e.text, "in use"), "%s", e.text);
    lease_drop(l);
    ok(collect(t->store, true, false).chunks > 0, "then it goes");
    is_int(findings(t->store), 0, "findings");
}

/* An import that may build on what is condemned makes gc wait; its commit takes it back. */
static void beside_import(struct teststore *t)
{
    struct err e = {0};
    struct lease *l;
    ok(add(t->store, "w", 50, 51, &e) == 0 && drop(t->store, "w", &e) == 0, "garbage: %s", e.text);
    ok(lease_take(t->store, LEASE_IMPORT, "{\"pid\":1}", &l, &e) == 0, "an import runs");
    struct gc_result r = collect(t->store, false, false);
    ok(r.bytes_waiting > 0 && r.bytes_freed == 0, "its bytes wait");
    ok(add(t->store, "w2", 50, 51, &e) == 0, "the same contents again: %s", e.text);
    lease_drop(l);
    collect(t->store, true, false);
    ok(reads(t->store, "w2"), "they are there");
    is_int(findings(t->store), 0, "findings");
}

static struct store *open_again(const struct teststore *t)
{
    struct store *s = NULL;
    struct err e = {0};
    char path[100];
    snprintf(path, sizeof path, "%s/store", t->dir);
    ok(store_open(path, 0, &s, &e) == 0, "open: %s", e.text);
    return s;
}

static void rebuilt(struct teststore *t)
{
    struct err e = {0};
    char path[100];
    snprintf(path, sizeof path, "%s/store", t->dir);
    store_close(t->store);
    ok(store_rebuild(path, &e) == 0, "rebuild: %s", e.text);
    t->store = open_again(t);
    is_int(findings(t->store), 0, "findings after a rebuild");
}

/* An import has found a tree of several chunks; then they are condemned; then it commits an object that has it. */
static void tree_of_import(struct teststore *t)
{
    struct store *other = open_again(t);
    struct session *ss;
    struct stream *in;
    struct err e = {0};
    struct buf nar = folder_nar(0, 2000, 10, 21);
    static const char *const none[] = {NULL};
    struct package_meta m = {.path = "/nix/store/00000000000000000000000000000000-t2", .narsize = -1, .refs = none};
    ok(add_package(t->store, "t1", &nar, &e) == 0 && drop_package(t->store, "t1", &e) == 0, "garbage: %s", e.text);
    ok(session_begin(t->store, NULL, &ss, &e) == 0 && stream_open_mem(nar.p, nar.len, &in, &e) == 0 &&
           package_import(ss, in, true, &m, NULL, &e) == 0,
       "an import builds on it: %s", e.text);
    stream_close(in);
    struct gc_result r = collect(other, true, false);
    ok(r.chunks > 2000 && r.bytes_waiting > 0, "all of it is condemned, and waits");
    ok(session_commit(ss, &e) == 0, "commit: %s", e.text);
    session_end(ss);
    is_int(findings(t->store), 0, "findings");
    collect(other, true, false);
    is_int(findings(t->store), 0, "findings after the next gc");
    store_close(other);
    rebuilt(t);
    buf_release(&nar);
}

/* All contents of the package's tree, read with the places that m has. */
static int read_all(struct reader *r, const struct tree *tr, struct content_map *m, struct err *e)
{
    static uint8_t piece[1 << 20];
    int bad = 0;
    for (uint32_t i = 0; i < tree_content_count(tr); i++) {
        struct digest d;
        size_t n = 0;
        if (reader_pread(r, &m[i], piece, sizeof piece, 0, &n, e) < 0) {
            printf("# %s\n", e->text);
            bad++;
        } else {
            sha256_of(piece, n, &d);
            bad += n != m[i].c.size || !digest_eq(&d, &m[i].c.digest);
        }
    }
    return bad;
}

/*
 * A mount's reader knows where everything is; then gc puts blocks into other packs, and chunks into other blocks. With
 * descriptors and decoded blocks of before, and without either, reads go on.
 */
static void places(struct teststore *t)
{
    struct store *other = open_again(t);
    struct reader *old = NULL, *fresh = NULL;
    struct err e = {0};
    struct cat_package p;
    struct tree *tr = NULL;
    /* big: files of one chunk, a block each; small: they share blocks with those that go. */
    struct buf all = folder_nar(0, 8, 90000, 31), some = folder_nar(2, 3, 90000, 31);
    struct buf lots = folder_nar(0, 200, 3000, 32), few = folder_nar(50, 60, 3000, 32);
    ok(add_package(other, "all", &all, &e) == 0 && add_package(other, "some", &some, &e) == 0 &&
           add_package(other, "lots", &lots, &e) == 0 && add_package(other, "few", &few, &e) == 0,
       "packages that share files: %s", e.text);
    static const char *const names[] = {"some", "few"};
    struct content_map *m[2];
    struct tree *trees[2];
    ok(reader_new(t->store, CACHE_MIN, &old, &e) == 0, "a reader: %s", e.text);
    for (int k = 0; k < 2; k++) {
        char base[100];
        package_base(names[k], base);
        ok(catalog_package(store_catalog(t->store), base, &p, &e) == 0 && reader_tree(old, &p.tree, &tr, &e) == 0,
           "its tree: %s", e.text);
        cat_package_release(&p);
        trees[k] = tr;
        m[k] = calloc(tree_content_count(tr) + 1, sizeof *m[k]);
        for (uint32_t i = 0; i < tree_content_count(tr); i++)
            ok(content_map_tree(tr, i, &m[k][i], &e) == 0, "map");
        is_int(read_all(old, tr, m[k], &e), 0, "all places are known");
    }
    ok(drop_package(other, "all", &e) == 0 && drop_package(other, "lots", &e) == 0, "the others go: %s", e.text);
    struct gc_result r = collect(other, true, false);
    ok(r.chunks >= 140 && r.bytes_freed > 200000, "blocks move");
    for (int k = 0; k < 2; k++)
        is_int(read_all(old, trees[k], m[k], &e), 0, "%s: with what it has cached", names[k]);
    collect(other, true, false);
    ok(reader_new(t->store, CACHE_MIN, &fresh, &e) == 0, "a reader that has nothing: %s", e.text);
    for (int k = 0; k < 2; k++)
        is_int(read_all(fresh, trees[k], m[k], &e), 0, "%s: with old places only", names[k]);
    for (int k = 0; k < 2; k++) {
        for (uint32_t i = 0; i < tree_content_count(trees[k]); i++)
            content_map_release(&m[k][i]);
        free(m[k]);
        tree_close(trees[k]);
    }
    reader_free(old);
    reader_free(fresh);
    store_close(other);
    is_int(findings(t->store), 0, "findings");
    buf_release(&all);
    buf_release(&some);
    buf_release(&lots);
    buf_release(&few);
}

/* --- races --- */

static int name_it(struct store *s, const char *hex, struct err *e)
{
    char text[400];
    snprintf(text, sizeof text, "{\"type\":\"name\",\"repo\":\"r\",\"tag\":\"t\",\"manifest\":\"%s\",\"time\":1}", hex);
    if (put_record(s, text, e) == 0)
        return 0;
    if (e->kind != ERR_BUSY) /* else gc was faster: as if it were imported again */
        return -1;
    snprintf(text, sizeof text,
             "{\"type\":\"image\",\"manifest\":\"%s\",\"config\":\"%s\",\"rootfs\":\"%s\",\"layers\":[],"
             "\"blobs\":[],\"time\":1}",
             hex, hex, hex);
    return put_record(s, text, e);
}

/* A name is given and taken away, over and over: an image that has one must be there. */
static int name_loop(const char *path, const struct digest *manifest)
{
    struct store *s;
    struct err e = {0};
    char hex[DIGEST_HEX_LEN + 1], text[100];
    struct cat_image im;
    struct cat_name n;
    digest_hex(manifest, hex);
    int bad = store_open(path, 0, &s, &e) < 0, named = 0;
    for (int i = 0; i < 250 && !bad; i++) {
        bad = name_it(s, hex, &e) < 0;
        if (bad || catalog_name(store_catalog(s), "r", "t", NULL, &n, &e) < 0)
            continue;
        usleep(500);
        bad = catalog_image(store_catalog(s), manifest, &im, &e) < 0;
        if (!bad)
            cat_image_release(&im);
        snprintf(text, sizeof text, "{\"type\":\"remove\",\"of\":\"name\",\"no\":%u,\"time\":1}", n.no);
        cat_name_release(&n);
        bad = bad || put_record(s, text, &e) < 0;
        named++;
    }
    if (bad)
        printf("# after %d names: %s\n", named, e.text);
    fflush(stdout);
    return bad;
}

/* Folders whose trees have several chunks come and go, as do names. What is left must survive a rebuild. */
static void race_of_trees(struct teststore *t)
{
    struct err e = {0};
    char path[100];
    struct cat_package p;
    struct buf keep = folder_nar(0, 2, 100, 41);
    pid_t child[3];
    int status, bad = 0, left = 3, rounds = 0;
    snprintf(path, sizeof path, "%s/store", t->dir);
    ok(add_package(t->store, "stays", &keep, &e) == 0 &&
           catalog_package(store_catalog(t->store), "00000000000000000000000000000000-stays", &p, &e) == 0,
       "a tree: %s", e.text);
    fflush(stdout);
    for (int k = 0; k < 3; k++) {
        child[k] = fork();
        if (child[k])
            continue;
        if (k == 2)
            _exit(name_loop(path, &p.tree));
        struct store *s;
        int wrong = store_open(path, 0, &s, &e) < 0;
        for (int i = 0; i < 20 && !wrong; i++) {
            char name[32];
            struct buf nar = folder_nar(0, 1500, 8, (uint64_t)(50 + i % 3));
            snprintf(name, sizeof name, "f%d-%d", k, i % 3);
            wrong = add_package(s, name, &nar, &e) < 0 && e.kind != ERR_BUSY;
            if (!wrong && i < 17)
                wrong = drop_package(s, name, &e) < 0 && e.kind != ERR_NOT_FOUND;
            buf_release(&nar);
        }
        if (wrong)
            printf("# importer: %s\n", e.text);
        fflush(stdout);
        _exit(wrong);
    }
    while (left) {
        struct gc_opts o = {.full = rounds++ % 2};
        struct gc_result r;
        if (gc_run(t->store, &o, &r, &e) < 0) {
            printf("# gc: %s\n", e.text);
            bad++;
            break;
        }
        if (waitpid(-1, &status, WNOHANG) > 0) {
            left--;
            bad += status != 0;
        }
    }
    while (left-- > 0)
        wait(&status);
    cat_package_release(&p);
    is_int(bad, 0, "failures in %d rounds of gc beside imports of folders and names", rounds);
    is_int(findings(t->store), 0, "findings after the race");
    rebuilt(t);
    buf_release(&keep);
}

static void race(const char *path)
{
    struct err e = {0};
    struct store *s;
    pid_t child[2];
    for (int k = 0; k < 2; k++) {
        child[k] = fork();
        if (child[k] == 0) {
            int bad = store_open(path, 0, &s, &e) < 0;
            for (int i = 0; i < 60 && !bad; i++) {
                char name[32];
                snprintf(name, sizeof name, "r%d-%d", k, i % 5);
                /* "gc has removed what this import builds on" may be said; all else is wrong. */
                bad = add(s, name, (uint64_t)(i % 5 % 3), (uint64_t)(1000 + i % 5), &e) < 0 && e.kind != ERR_BUSY;
                if (!bad && i % 2)
                    bad = drop(s, name, &e) < 0 && e.kind != ERR_NOT_FOUND;
            }
            if (bad)
                printf("# importer: %s\n", e.text);
            fflush(stdout);
            _exit(bad);
        }
    }
    ok(store_open(path, 0, &s, &e) == 0, "open");
    int status, bad = 0, left = 2, rounds = 0;
    while (left) {
        struct gc_opts o = {.full = rounds++ % 2};
        struct gc_result r;
        if (gc_run(s, &o, &r, &e) < 0) {
            printf("# gc: %s\n", e.text);
            bad++;
            break;
        }
        pid_t p = waitpid(-1, &status, WNOHANG);
        if (p > 0) {
            left--;
            bad += status != 0;
        }
    }
    is_int(bad, 0, "failures in %d rounds of gc beside two importers", rounds);
    is_int(findings(s), 0, "findings after the race");
    store_close(s);
}

/* A flipped bit anywhere in a pack is found. */
static void damage(struct teststore *t)
{
    char dir[120], path[400] = "";
    struct dirent *de;
    struct stat sb;
    snprintf(dir, sizeof dir, "%s/store/packs", t->dir);
    DIR *d = opendir(dir);
    off_t most = 0;
    while ((de = readdir(d))) {
        char p[400];
        snprintf(p, sizeof p, "%s/%.200s", dir, de->d_name);
        if (stat(p, &sb) == 0 && S_ISREG(sb.st_mode) && sb.st_size > most) {
            most = sb.st_size;
            snprintf(path, sizeof path, "%s", p);
        }
    }
    closedir(d);
    int fd = open(path, O_RDWR | O_CLOEXEC), missed = 0;
    for (int i = 0; i < 20; i++) {
        uint8_t c;
        off_t at = most / 20 * i + 5;
        if (pread(fd, &c, 1, at) != 1)
            break;
        c ^= 1;
        if (pwrite(fd, &c, 1, at) != 1)
            break;
        struct verify_opts o = {.finding = on_finding};
        struct verify_stats st;
        struct err e = {0};
        if (verify_run(t->store, &o, &st, &e) < 0 || st.findings == 0)
            missed++;
        c ^= 1;
        if (pwrite(fd, &c, 1, at) != 1)
            break;
    }
    close(fd);
    is_int(missed, 0, "flipped bits that verify misses");
    is_int(findings(t->store), 0, "and without them");
}

static void set(void)
{
    struct digestset s;
    struct digest d = {{0}};
    int bad = digestset_init(&s);
    for (uint32_t i = 0; i < 5000; i++) {
        put_u32(d.b, i * 2);
        bad |= digestset_add(&s, &d) | digestset_add(&s, &d);
    }
    for (uint32_t i = 0; i < 10000; i++) {
        put_u32(d.b, i);
        bad += digestset_has(&s, &d) != (i % 2 == 0);
    }
    is_int(bad, 0, "a set of 5,000 digests");
    digestset_release(&s);
}

int main(void)
{
    struct teststore t = teststore_open();
    char path[100];
    if (system("command -v sqlite3 >/dev/null")) {
        printf("1..0 # SKIP needs sqlite3 to compare catalogs\n");
        return 77;
    }
    snprintf(path, sizeof path, "%s/store", t.dir);
    set();
    come_and_go(&t);
    held(&t);
    beside_import(&t);
    tree_of_import(&t);
    places(&t);
    race(path);
    race_of_trees(&t);
    damage(&t);
    teststore_close(&t);
    return tap_done();
}

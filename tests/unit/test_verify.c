/* SPDX-License-Identifier: MIT */
/*
 * Covers: verify, verify_pack, verify_object. Damage of packs and of the catalog is found and named; what comes or
 * moves while verify runs is not damage. (Flipped bits everywhere in a pack: test_gc.c.)
 */
#include "../../index/gc.h"
#include "../../index/pack.h"
#include "../../index/verify.h"

#include "treenar.h"

#include <pthread.h>
#include <stdatomic.h>

struct seen {
    struct buf text; /* "object|path|reason" a line */
    uint64_t n;
};

static void on_finding(void *ctx, const struct verify_finding *f)
{
    struct seen *s = ctx;
    s->n++;
    buf_printf(&s->text, "%s|%s|%s|%s\n", f->object ? f->object : "", f->path ? f->path : "", f->pack ? "pack" : "",
               f->reason);
}

/* What verify says; `want` must be part of it (NULL: it must say nothing). */
static struct verify_stats look(struct store *s, uint32_t no, const char *want, const char *what)
{
    struct seen seen = {{0}, 0};
    struct verify_opts o = {.no = no, .finding = on_finding, .ctx = &seen};
    struct verify_stats st = {0};
    struct err e = {0};
    ok(verify_run(s, &o, &st, &e) == 0, "verify, %s: %s", what, e.text);
    is_int(st.findings, seen.n, "each is counted");
    buf_append(&seen.text, "", 1);
    const char *text = (const char *)seen.text.p;
    if (!ok(want ? strstr(text, want) != NULL : st.findings == 0, "%s: %s", what, want ? want : "nothing"))
        printf("# said:\n# %.900s\n", text);
    buf_release(&seen.text);
    return st;
}

static int sql(const struct teststore *t, const char *text)
{
    char cmd[800];
    snprintf(cmd, sizeof cmd, "sqlite3 %s/store/catalog.db \"%s\"", t->dir, text);
    return system(cmd);
}

static uint32_t number(struct store *s, const char *name)
{
    char base[100];
    struct cat_package p;
    struct err e = {0};
    package_base(name, base);
    if (catalog_package(store_catalog(s), base, &p, &e) < 0)
        return 0;
    uint32_t no = p.no;
    cat_package_release(&p);
    return no;
}

static void clean(struct teststore *t)
{
    struct verify_stats st = look(t->store, 0, NULL, "a whole store");
    ok(st.packs == 3 && st.objects == 2 && st.chunks >= 9 && st.bytes > 800000, "it counts: %llu bytes",
       (unsigned long long)st.bytes);
    st = look(t->store, number(t->store, "a"), NULL, "one object");
    ok(st.objects == 1 && st.bytes >= 3 * 100000 && st.bytes < 400000, "only what it reaches: %llu bytes",
       (unsigned long long)st.bytes);
    struct verify_opts o = {.no = 999};
    struct err e = {0};
    ok(verify_run(t->store, &o, &st, &e) < 0 && e.kind == ERR_NOT_FOUND && strstr(e.text, "999"), "no object: %s",
       e.text);
    int stop = 1;
    o = (struct verify_opts){.cancel = &stop};
    err_clear(&e);
    ok(verify_run(t->store, &o, &st, &e) < 0 && e.kind == ERR_CANCELLED && strstr(e.text, "cancelled"), "%s", e.text);
}

/* The catalog says other than the pack: a reader would fail or get it wrong. */
static void rows(struct teststore *t)
{
    static const struct {
        const char *harm, *heal, *want;
    } v[] = {
        {"off = off + 1", "off = off - 1", "||pack|the catalog has a block here, the pack doesn't"},
        {"rlen = rlen + 1", "rlen = rlen - 1", "||pack|the catalog has other sizes for this block"},
        {"clen = clen - 1", "clen = clen + 1", "||pack|the catalog has other sizes for this block"},
    };
    char text[300];
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        snprintf(text, sizeof text, "UPDATE block SET %s WHERE id = 1", v[i].harm);
        ok(sql(t, text) == 0, "%s", text);
        look(t->store, 0, v[i].want, v[i].harm);
        snprintf(text, sizeof text, "UPDATE block SET %s WHERE id = 1", v[i].heal);
        ok(sql(t, text) == 0, "%s", text);
    }
    ok(sql(t, "UPDATE chunk SET off = off + 1 WHERE block = 1") == 0, "a chunk that is elsewhere");
    look(t->store, 0, "a chunk in this block that the pack doesn't have there", "its place");
    ok(sql(t, "UPDATE chunk SET off = off - 1 WHERE block = 1;"
              "CREATE TABLE aside AS SELECT * FROM chunk WHERE block = 1; DELETE FROM chunk WHERE block = 1") == 0,
       "chunks without a row");
    look(t->store, 0, "-a|/00000", "the file that it hurts");
    look(t->store, number(t->store, "a"), "is missing", "the object alone");
    look(t->store, number(t->store, "b"), NULL, "the other one");
    ok(sql(t, "INSERT INTO chunk SELECT * FROM aside; DROP TABLE aside") == 0, "put back");
    look(t->store, 0, NULL, "the catalog is right again");
}

static void pack_path(const struct teststore *t, char out[200])
{
    struct buf b = {0};
    ok(shell(t, "ls -S $T/store/packs | head -1 | tr -d '\\n'", &b) == 0, "the largest pack");
    snprintf(out, 200, "%s/store/packs/%.*s", t->dir, (int)b.len, (const char *)b.p);
    buf_release(&b);
}

static void files(struct teststore *t)
{
    char path[200], aside[220];
    struct stat sb;
    pack_path(t, path);
    snprintf(aside, sizeof aside, "%s.aside", path);
    ok(rename(path, aside) == 0, "a pack is lost");
    store_close(t->store); /* no descriptor of it may be left */
    struct err e = {0};
    snprintf(path, sizeof path, "%s/store", t->dir);
    ok(store_open(path, 0, &t->store, &e) == 0, "open: %s", e.text);
    look(t->store, 0, "||pack|the pack is missing", "lost");
    look(t->store, 0, "-b|", "what it hurts");
    snprintf(path, sizeof path, "%.*s", (int)(strlen(aside) - 6), aside);
    ok(rename(aside, path) == 0 && stat(path, &sb) == 0, "it is back");
    look(t->store, 0, NULL, "back");
    /* Cut off behind a whole frame: the scan alone would see nothing. */
    struct buf seal = {0};
    int fd = open(path, O_RDWR | O_CLOEXEC);
    size_t tail = 56;
    buf_reserve(&seal, tail);
    ok(pread(fd, seal.p, tail, sb.st_size - (off_t)tail) == (ssize_t)tail &&
           ftruncate(fd, sb.st_size - (off_t)tail) == 0,
       "without its seal");
    look(t->store, 0, "bytes, the catalog says", "cut off");
    ok(pwrite(fd, seal.p, tail, sb.st_size - (off_t)tail) == (ssize_t)tail, "whole again");
    /* Damage in the first header: what stands behind is checked all the same. */
    uint8_t c;
    ok(pread(fd, &c, 1, 60) == 1, "a byte of the first block's header");
    c ^= 4;
    ok(pwrite(fd, &c, 1, 60) == 1, "flipped");
    struct verify_stats st = look(t->store, 0, "checksum of a header", "a header");
    ok(st.blocks >= 5, "%llu blocks checked behind it", (unsigned long long)st.blocks);
    c ^= 4;
    ok(pwrite(fd, &c, 1, 60) == 1, "and back");
    close(fd);
    buf_release(&seal);
    look(t->store, 0, NULL, "whole");
}

/* --- what others do meanwhile --- */

struct other {
    char path[100];
    _Atomic bool stop;
    _Atomic int rounds;
    int bad;
};

static void *others(void *arg)
{
    struct other *o = arg;
    struct store *s;
    struct err e = {0};
    if (store_open(o->path, 0, &s, &e) < 0) {
        o->bad++;
        return NULL;
    }
    while (!atomic_load(&o->stop) && o->rounds < 200) {
        struct gc_opts opts = {.full = o->rounds % 2};
        struct gc_result r;
        char name[16];
        snprintf(name, sizeof name, "m%d", o->rounds % 3);
        struct buf nar = folder_nar((unsigned)o->rounds, 400, 200, 3);
        if (add_package(s, name, &nar, &e) < 0 || gc_run(s, &opts, &r, &e) < 0 || drop_package(s, name, &e) < 0 ||
            gc_run(s, &opts, &r, &e) < 0) {
            printf("# meanwhile: %s\n", e.text);
            o->bad++;
        }
        buf_release(&nar);
        o->rounds++;
    }
    store_close(s);
    return NULL;
}

/* At the first sign of progress the list of packs is made already: then an import and a gc happen. */
struct midway {
    struct store *s;
    bool done;
    struct err e;
    int rc;
};

static void in_between(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    struct midway *m = ctx;
    struct buf nar = folder_nar(0, 400, 200, 8);
    struct gc_opts opts = {.full = true};
    struct gc_result r;
    (void)what, (void)done, (void)total;
    if (!m->done) {
        m->done = true;
        m->rc = add_package(m->s, "midway", &nar, &m->e);
        if (m->rc == 0)
            m->rc = drop_package(m->s, "dead", &m->e);
        if (m->rc == 0)
            m->rc = gc_run(m->s, &opts, &r, &m->e);
    }
    buf_release(&nar);
}

static void midway(struct teststore *t)
{
    struct midway m = {.s = NULL};
    struct err e = {0};
    char path[100];
    struct buf nar = folder_nar(0, 9, 50000, 9), part = folder_nar(0, 5, 50000, 9);
    snprintf(path, sizeof path, "%s/store", t->dir);
    ok(add_package(t->store, "dead", &nar, &e) == 0 && add_package(t->store, "part", &part, &e) == 0, "%s", e.text);
    ok(store_open(path, 0, &m.s, &e) == 0, "another connection: %s", e.text);
    struct verify_opts o = {.progress = in_between, .ctx = &m};
    struct verify_stats st;
    ok(verify_run(t->store, &o, &st, &e) == 0, "verify: %s", e.text);
    ok(m.done && m.rc == 0, "import and gc in the middle: %s", m.e.text);
    is_int(st.findings, 0, "what came and moved meanwhile isn't damage");
    store_close(m.s);
    look(t->store, 0, NULL, "afterwards");
    buf_release(&nar);
    buf_release(&part);
}

static void beside(struct teststore *t)
{
    struct other o = {.stop = false};
    pthread_t th;
    uint64_t wrong = 0;
    int failed = 0;
    snprintf(o.path, sizeof o.path, "%s/store", t->dir);
    ok(pthread_create(&th, NULL, others, &o) == 0, "imports and gc go on");
    for (int i = 0; i < 400 && (i < 25 || atomic_load(&o.rounds) < 15); i++) {
        struct seen seen = {{0}, 0};
        struct verify_opts vo = {.finding = on_finding, .ctx = &seen};
        struct verify_stats st;
        struct err e = {0};
        if (verify_run(t->store, &vo, &st, &e) < 0) {
            printf("# %s\n", e.text);
            failed++;
        } else if (st.findings) {
            wrong += st.findings;
            printf("# %.*s\n", (int)(seen.text.len < 300 ? seen.text.len : 300), (const char *)seen.text.p);
        }
        buf_release(&seen.text);
    }
    atomic_store(&o.stop, true);
    pthread_join(th, NULL);
    is_int(o.bad, 0, "failures of %d rounds of import and gc", o.rounds);
    is_int(failed, 0, "failures of verify");
    is_int(wrong, 0, "findings where nothing is damaged");
}

/* Last: the catalog's own pages. */
static void pages(struct teststore *t)
{
    char path[200], junk[4096];
    struct stat sb;
    struct err e = {0};
    store_close(t->store);
    ok(sql(t, "PRAGMA wal_checkpoint(TRUNCATE)") == 0, "all in one file");
    snprintf(path, sizeof path, "%s/store/catalog.db", t->dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    memset(junk, 0x5a, sizeof junk);
    bool wrote = fstat(fd, &sb) == 0;
    for (off_t at = 8 * 4096; wrote && at < sb.st_size; at += 4 * 4096)
        wrote = pwrite(fd, junk, sizeof junk, at) == (ssize_t)sizeof junk;
    close(fd);
    ok(wrote, "every fourth page is overwritten");
    snprintf(path, sizeof path, "%s/store", t->dir);
    ok(store_open(path, 0, &t->store, &e) == 0, "it opens: %s", e.text);
    look(t->store, 0, "cairn rebuild", "a damaged catalog is a finding that says what to do");
    store_close(t->store);
    ok(store_rebuild(path, &e) == 0, "rebuild: %s", e.text);
    ok(store_open(path, 0, &t->store, &e) == 0, "it opens: %s", e.text);
    look(t->store, 0, NULL, "rebuilt");
}

int main(void)
{
    struct err e = {0};
    if (system("command -v sqlite3 >/dev/null")) {
        printf("1..0 # SKIP needs sqlite3 to damage catalogs\n");
        return 77;
    }
    struct teststore t = teststore_open();
    struct buf a = folder_nar(0, 3, 100000, 1), b = folder_nar(0, 6, 90000, 2), c = folder_nar(0, 2, 1000, 4);
    ok(add_package(t.store, "a", &a, &e) == 0, "a: %s", e.text);
    ok(add_package(t.store, "b", &b, &e) == 0, "b: %s", e.text);
    ok(put_record(t.store, "{\"type\":\"keep\",\"no\":1,\"time\":1}", &e) == 0, "a pack of records: %s", e.text);
    clean(&t);
    rows(&t);
    files(&t);
    ok(add_package(t.store, "c", &c, &e) == 0, "c: %s", e.text);
    midway(&t);
    beside(&t);
    pages(&t);
    buf_release(&a);
    buf_release(&b);
    buf_release(&c);
    teststore_close(&t);
    return tap_done();
}

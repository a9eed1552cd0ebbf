/* SPDX-License-Identifier: MIT */
/*
 * Imports as a whole: what comes back, what is shared, what is left behind by failures.
 * Covers: ingest, packer, session, session_commit.
 */
#include "../../index/catalog.h"
#include "../../index/crypto.h"
#include "../../index/ingest.h"
#include "../../index/limits.h"
#include "../../index/packer.h"
#include "../../index/reader.h"
#include "../../index/session_commit.h"
#include "../../index/store.h"
#include "tap.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static char dir[] = "/tmp/test_session.XXXXXX";
static struct store *store;
static uint8_t *noise; /* bytes that don't compress and don't repeat */
#define NOISE (24u << 20)

static void fill(uint8_t *p, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        p[i] = (uint8_t)(seed >> 24);
    }
}

static int packs(void)
{
    int n = 0;
    DIR *d = fdopendir(dup(store_packsfd(store)));
    if (!d)
        return -1;
    rewinddir(d);
    for (const struct dirent *en; (en = readdir(d));)
        n += strstr(en->d_name, ".pack") != NULL;
    closedir(d);
    return n;
}

/* A record of a kind that needs nothing else to exist. */
static struct json *record(const char *tag)
{
    struct json *r = json_new_object();
    char hex[DIGEST_HEX_LEN + 1], oci[DIGEST_OCI_LEN + 1];
    struct digest d;
    sha256_of(tag, strlen(tag), &d);
    digest_hex(&d, hex);
    digest_oci(&d, oci);
    if (!r || json_set(r, "type", json_new_str("layer")) < 0 || json_set(r, "tag", json_new_str(tag)) < 0 ||
        json_set(r, "diffid", json_new_str(oci)) < 0 || json_set(r, "tree", json_new_str(hex)) < 0 ||
        json_set(r, "recipe", json_new_str(hex)) < 0 || json_set(r, "size", json_new_int(1)) < 0 ||
        json_set(r, "entries", json_new_int(1)) < 0 || json_set(r, "time", json_new_int(1)) < 0)
        exit(1);
    return r;
}

static int give(struct session *s, const uint8_t *p, size_t n, size_t piece, uint32_t *slot, struct err *e)
{
    if (session_content_begin(s, e) < 0)
        return -1;
    for (size_t at = 0; at < n; at += piece)
        if (session_data(s, p + at, n - at < piece ? n - at : piece, e) < 0)
            return -1;
    return session_content_end(s, slot, e);
}

/* The chunk list covers the content and each chunk is what it says. */
static int right(const struct content *c, const uint8_t *p, size_t n)
{
    struct digest d;
    uint64_t at = 0;
    sha256_of(p, n, &d);
    if (!digest_eq(&d, &c->digest) || c->size != n || !c->chunk_count)
        return 0;
    for (uint32_t i = 0; i < c->chunk_count; i++) {
        if (c->chunks[i].end <= at || c->chunks[i].end > n)
            return 0;
        sha256_of(p + at, c->chunks[i].end - at, &d);
        if (!digest_is_zero(&c->chunks[i].digest) && !digest_eq(&d, &c->chunks[i].digest))
            return 0;
        at = c->chunks[i].end;
    }
    return at == n;
}

static int comes_back(const uint8_t *p, size_t n)
{
    struct err e = {0};
    struct digest d;
    struct buf b = {0};
    sha256_of(p, n, &d);
    int good = reader_get(store_reader(store), &d, UINT64_MAX, &b, &e) == 0 && b.len == n && (!n || !memcmp(b.p, p, n));
    if (!good)
        printf("# %s\n", e.text);
    buf_release(&b);
    return good;
}

static const struct shape {
    size_t n, piece;
} shapes[] = {{1, 1},
              {100, 7},
              {LIMIT_WHOLE_FILE, 4096},
              {LIMIT_WHOLE_FILE + 1, 100000},
              {60000, 60000},
              {CHUNK_MAX, 1 << 20},
              {300000, 1000},
              {1 << 20, 1 << 20},
              {4 << 20, 65536},
              {(4 << 20) + 1, 65536},
              {9000000, 333333}};
#define SHAPES (sizeof shapes / sizeof *shapes)

static void first_import(void)
{
    struct err e = {0};
    struct session *s;
    struct session_stats st;
    struct content c;
    struct digest d;
    uint32_t slot[SHAPES];
    size_t sum = 0, off = 0;
    int bad = 0;
    ok(!session_begin(store, NULL, &s, &e), "begin: %s", e.text);
    for (size_t i = 0; i < SHAPES; off += shapes[i].n, sum += shapes[i].n, i++)
        if (give(s, noise + off, shapes[i].n, shapes[i].piece, &slot[i], &e) < 0 || slot[i] != i)
            bad++;
    ok(!bad, "contents are numbered in their order: %s", e.text);
    ok(!session_flush(s, &e), "flush: %s", e.text);
    off = 0;
    for (size_t i = 0; i < SHAPES; off += shapes[i].n, i++)
        ok(!session_content(s, slot[i], &c, &e) && right(&c, noise + off, shapes[i].n) && c.stored == c.size,
           "content of %zu bytes: %u chunks", shapes[i].n, c.chunk_count);
    ok(!session_content(s, slot[2], &c, &e) && c.chunk_count == 1, "up to 16 KiB: one chunk");
    ok(session_content(s, 999, &c, &e) < 0 && e.kind == ERR_USAGE, "no such slot");
    is_str(e.text, "there is no content number 999", "message");
    ok(!session_put(s, "tree", 4, &d, &e), "put");
    ok(!session_put(s, noise + 3, 700000, NULL, &e), "put a larger one");
    ok(!session_put(s, NULL, 0, &d, &e), "put nothing");
    ok(!session_record(s, record("one"), &e), "record");
    ok(session_recorded(s, "layer", "tag", "one") && !session_recorded(s, "layer", "tag", "two") &&
           !session_recorded(s, "package", "tag", "one"),
       "found again in the session");
    ok(!session_commit(s, &e), "commit: %s", e.text);
    int64_t no = 0;
    ok(json_int(json_get(session_recorded(s, "layer", "tag", "one"), "no"), &no) && no > 0, "it got a number");
    session_stats(s, &st);
    ok(st.bytes_in == sum + 4 + 700000 && st.files == SHAPES, "bytes in");
    ok(st.bytes_new > sum && st.bytes_stored > sum, "all of it is new: %llu", (unsigned long long)st.bytes_new);
    session_end(s);
    off = 0;
    for (size_t i = 0; i < SHAPES; off += shapes[i].n, i++)
        bad += !comes_back(noise + off, shapes[i].n);
    ok(!bad && comes_back((const uint8_t *)"tree", 4) && comes_back(noise + 3, 700000) && comes_back(NULL, 0),
       "everything comes back");
}

static void second_import(void)
{
    struct err e = {0};
    struct session *s;
    struct session_stats st;
    struct content c;
    uint32_t slot;
    size_t off = 0;
    int bad = 0, before = packs();
    ok(!session_begin(store, NULL, &s, &e), "begin");
    for (size_t i = 0; i < SHAPES; off += shapes[i].n, i++)
        bad += give(s, noise + off, shapes[i].n, shapes[SHAPES - 1 - i].piece, &slot, &e) < 0 ||
               session_content(s, slot, &c, &e) < 0 || !right(&c, noise + off, shapes[i].n);
    ok(!bad, "the same again: %s", e.text);
    ok(!session_commit(s, &e), "commit");
    session_stats(s, &st);
    is_int(st.bytes_new, 0, "nothing is new");
    session_end(s);
    is_int(packs(), before, "no pack is left behind when nothing was recorded");

    ok(!session_begin(store, NULL, &s, &e) && !give(s, noise, NOISE / 2, 1 << 20, &slot, &e) &&
           !session_record(s, record("two"), &e) && !session_commit(s, &e),
       "a content that has the others inside: %s", e.text);
    session_stats(s, &st);
    ok(st.bytes_new < NOISE / 2 - 10000000, "shares chunks with them: %llu new", (unsigned long long)st.bytes_new);
    ok(comes_back(noise, NOISE / 2), "and comes back");
    session_end(s);
}

static void within_one(void)
{
    struct err e = {0};
    struct session *s;
    struct session_stats st;
    struct content a, b;
    uint32_t slot[3];
    const uint8_t *p = noise + NOISE - 5000000;
    ok(!session_begin(store, NULL, &s, &e) && !give(s, p, 1000000, 4096, &slot[0], &e) &&
           !give(s, p, 1000000, 1 << 20, &slot[1], &e) && !give(s, p + 1, 5000, 10, &slot[2], &e) &&
           !give(s, p + 1, 5000, 5000, &slot[2], &e) && !session_flush(s, &e),
       "equal contents in one session");
    session_stats(s, &st);
    is_int(st.bytes_new, 1005000, "are stored once");
    ok(!session_content(s, slot[0], &a, &e) && !session_content(s, slot[1], &b, &e) && a.chunks == b.chunks,
       "and share their list");
    session_end(s);
}

static void holes(void)
{
    struct err e = {0};
    struct session *s;
    struct content c, plain;
    uint32_t slot, other, all;
    static uint8_t flat[400000];
    const uint8_t *p = noise + 12345;
    memcpy(flat + 1000, p, 99000);
    memcpy(flat + 300000, p, 7);
    int bad = session_begin(store, NULL, &s, &e) < 0 || session_content_begin(s, &e) < 0 ||
              session_hole(s, 500, &e) < 0 || session_hole(s, 500, &e) < 0 || session_data(s, p, 99000, &e) < 0 ||
              session_hole(s, 200000, &e) < 0 || session_data(s, p, 7, &e) < 0 ||
              session_hole(s, sizeof flat - 300007, &e) < 0 || session_content_end(s, &slot, &e) < 0;
    ok(!bad, "a sparse file: %s", e.text);
    ok(!give(s, flat, sizeof flat, sizeof flat, &other, &e), "the same without holes");
    ok(!session_content_begin(s, &e) && !session_hole(s, 4096, &e) && !session_content_end(s, &all, &e),
       "one hole only");
    ok(!session_content(s, slot, &c, &e) && right(&c, flat, sizeof flat) && c.stored == 99007,
       "digest is that of zeros");
    ok(digest_is_zero(&c.chunks[0].digest) && c.chunks[0].end == 1000 &&
           digest_is_zero(&c.chunks[c.chunk_count - 1].digest),
       "holes next to each other are one entry");
    ok(!session_content(s, other, &plain, &e) && digest_eq(&plain.digest, &c.digest) && plain.stored == sizeof flat &&
           !digest_is_zero(&plain.chunks[0].digest),
       "each keeps its own layout");
    ok(!session_content(s, all, &c, &e) && c.chunk_count == 1 && c.stored == 0 && c.size == 4096, "only a hole");
    session_end(s);
    ok(!session_begin(store, NULL, &s, &e) && !session_content_begin(s, &e) &&
           session_hole(s, LIMIT_HOLES + 1, &e) < 0 && e.kind == ERR_LIMIT,
       "too many zeros");
    is_str(e.text, "more than 68719476736 bytes of holes in one import", "message");
    session_end(s);
}

static void misuse(void)
{
    struct err e = {0};
    struct session *s;
    uint32_t slot;
    ok(!session_begin(store, NULL, &s, &e), "begin");
    ok(session_data(s, "x", 1, &e) < 0 && e.kind == ERR_USAGE, "data without a content");
    is_str(e.text, "bytes without a content", "message");
    ok(session_content_end(s, &slot, &e) < 0 && e.kind == ERR_USAGE, "end without a content");
    ok(!session_content_begin(s, &e) && session_content_begin(s, &e) < 0 && e.kind == ERR_USAGE, "begin twice");
    ok(session_content_end(s, &slot, &e) < 0 && e.kind == ERR_USAGE, "no bytes");
    is_str(e.text, "a content without bytes", "message");
    ok(session_flush(s, &e) < 0 && session_commit(s, &e) < 0 && e.kind == ERR_USAGE, "commit inside a content");
    ok(session_record(s, json_new_object(), &e) < 0 && e.kind == ERR_USAGE, "a record without a type");
    session_end(s);
    ok(!session_begin(store, NULL, &s, &e) && !session_commit(s, &e) && session_content_begin(s, &e) < 0 &&
           e.kind == ERR_USAGE,
       "nothing after a commit");
    is_str(e.text, "the session has ended", "message");
    session_end(s);
    session_end(NULL);
}

static void left_behind(void)
{
    struct err e = {0};
    struct session *s;
    uint32_t slot;
    volatile int cancel = 0;
    struct session_opts o = {.threads = 3, .cancel = &cancel};
    uint8_t *fresh = malloc(NOISE);
    if (!fresh)
        exit(1);
    fill(fresh, NOISE, 4711);
    int before = packs();
    ok(!session_begin(store, &o, &s, &e) && !give(s, fresh, NOISE, 1 << 20, &slot, &e) && !session_flush(s, &e),
       "import");
    session_end(s);
    is_int(packs(), before, "without commit nothing stays");
    ok(!session_begin(store, &o, &s, &e) && !session_content_begin(s, &e), "begin");
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < NOISE; at += 100000) {
        if (at > NOISE / 2)
            __atomic_store_n(&cancel, 1, __ATOMIC_RELAXED);
        rc = session_data(s, fresh + at, 100000 < NOISE - at ? 100000 : NOISE - at, &e);
    }
    ok(rc < 0 && e.kind == ERR_CANCELLED, "cancelled");
    is_str(e.text, "cancelled", "message");
    err_clear(&e);
    ok(session_commit(s, &e) < 0 && e.kind == ERR_CANCELLED, "no commit then");
    session_end(s);
    is_int(packs(), before, "nothing stays");
    free(fresh);
}

/* More than one pack; then the same with a disk that takes no more. */
static void several_packs(void)
{
    struct err e = {0};
    struct session *s;
    struct rlimit old, tight;
    uint32_t slot;
    size_t n = PACK_TARGET / 8, at = 0;
    uint8_t *fresh = malloc(n);
    int before = packs(), rc;
    if (!fresh)
        exit(1);
    ok(!session_begin(store, NULL, &s, &e), "begin");
    for (uint64_t i = 0; i < 12; i++) {
        fill(fresh, n, 1000 + i);
        at += give(s, fresh, n, 1 << 20, &slot, &e) == 0;
    }
    ok(at == 12 && !session_record(s, record("large"), &e) && !session_commit(s, &e), "a large import: %s", e.text);
    session_end(s);
    is_int(packs(), before + 2, "a full pack is followed by another");
    ok(comes_back(fresh, n), "it comes back");
    getrlimit(RLIMIT_FSIZE, &old);
    tight = (struct rlimit){.rlim_cur = 10 << 20, .rlim_max = old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &tight);
    ok(!session_begin(store, NULL, &s, &e), "begin");
    rc = 0;
    for (uint64_t i = 0; rc == 0 && i < 12; i++) {
        fill(fresh, n, 2000 + i);
        rc = give(s, fresh, n, 1 << 20, &slot, &e);
    }
    ok(rc < 0 && e.kind == ERR_SYSTEM && e.errnum == EFBIG, "a failed write stops the import");
    ok(strstr(e.text, ".pack") && strstr(e.text, "File too large"), "message: %s", e.text);
    err_clear(&e);
    ok(session_commit(s, &e) < 0 && e.errnum == EFBIG, "the first error stays");
    session_end(s);
    setrlimit(RLIMIT_FSIZE, &old);
    is_int(packs(), before + 2, "its packs are gone");
    free(fresh);
}

/* A record that the catalog refuses: the transaction goes, and the packs with it. */
static void refused_commit(void)
{
    struct err e = {0};
    struct session *s;
    struct json *r = json_new_object();
    uint32_t slot;
    uint64_t a = 0, b = 0;
    int before = packs();
    ok(!catalog_seq(store_catalog(store), &a, &e) && !session_begin(store, NULL, &s, &e) &&
           !give(s, noise + 77, 100000, 1000, &slot, &e) && !json_set(r, "type", json_new_str("layer")) &&
           !session_record(s, r, &e),
       "a record without what it needs");
    ok(session_commit(s, &e) < 0 && e.kind == ERR_DAMAGED, "refused");
    ok(strstr(e.text, "record 'layer'") != NULL, "message: %s", e.text);
    session_end(s);
    is_int(packs(), before, "nothing stays");
    ok(!catalog_seq(store_catalog(store), &b, &e) && a == b, "not even a number");
}

static void *import_noise(void *ctx)
{
    struct err e = {0};
    struct session *s;
    uint32_t slot;
    char tag[16];
    int n = *(int *)ctx;
    snprintf(tag, sizeof tag, "p%d", n);
    int bad = session_begin(store, NULL, &s, &e) < 0;
    for (size_t i = 0; !bad && i < 200; i++)
        bad = give(s, noise + NOISE / 2 + i * 3000 + (size_t)n * 300, 3000 + i * 50, 1000, &slot, &e) < 0;
    bad = bad || session_record(s, record(tag), &e) < 0 || session_commit(s, &e) < 0;
    if (bad)
        printf("# %s\n", e.text);
    session_end(s);
    *(int *)ctx = bad ? -1 : n;
    return NULL;
}

static void parallel(void)
{
    pthread_t t[4];
    int n[4], bad = 0;
    for (int i = 0; i < 4; i++) {
        n[i] = i % 2; /* two of each */
        pthread_create(&t[i], NULL, import_noise, &n[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
        bad += n[i] < 0;
    }
    is_int(bad, 0, "four imports at once");
    for (size_t i = 0; i < 200; i++)
        bad += !comes_back(noise + NOISE / 2 + i * 3000, 3000 + i * 50) ||
               !comes_back(noise + NOISE / 2 + i * 3000 + 300, 3000 + i * 50);
    is_int(bad, 0, "all is there");
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
    (void)st, (void)flag, (void)f;
    return remove(path);
}

int main(void)
{
    struct err e = {0};
    noise = malloc(NOISE);
    if (!noise || !mkdtemp(dir))
        return 1;
    fill(noise, NOISE, 88172645463325252u);
    if (!ok(!store_open(dir, STORE_CREATE, &store, &e), "a new store: %s", e.text))
        return tap_done();
    first_import();
    second_import();
    within_one();
    holes();
    misuse();
    left_behind();
    several_packs();
    refused_commit();
    parallel();
    store_close(store);
    if (!ok(!store_open(dir, 0, &store, &e), "opened again: %s", e.text))
        return tap_done();
    ok(comes_back(noise, NOISE / 2), "still there");
    store_close(store);
    free(noise);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return tap_done();
}

/* SPDX-License-Identifier: MIT */
/* Reading contents: positions, ends, holes, many threads, stale places, and every kind of damage with kind and message.
 */
#include "../../index/catalog.h"
#include "../../index/crypto.h"
#include "../../index/limits.h"
#include "../../index/reader.h"
#include "../../index/store.h"
#include "../../index/stream.h"
#include "tap.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BIG   3000000
#define SMALL 64

static char dir[] = "/tmp/test_reader.XXXXXX";
static struct store *store;
static uint8_t big[BIG], small[SMALL][5000];
static struct digest big_digest, small_digest[SMALL];

static void fill(uint8_t *p, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        p[i] = (uint8_t)(seed >> 24 & (i & 4096 ? 255 : 15));
    }
}

static void import(void)
{
    struct err e = {0};
    struct session *s;
    struct json *r = json_new_object();
    char hex[DIGEST_HEX_LEN + 1], oci[DIGEST_OCI_LEN + 1];
    fill(big, BIG, 99);
    int bad = session_begin(store, NULL, &s, &e) < 0 || session_put(s, big, BIG, &big_digest, &e) < 0;
    for (size_t i = 0; !bad && i < SMALL; i++) {
        fill(small[i], sizeof small[i], i + 1);
        bad = session_put(s, small[i], sizeof small[i], &small_digest[i], &e) < 0;
    }
    digest_hex(&big_digest, hex);
    digest_oci(&big_digest, oci);
    json_set(r, "type", json_new_str("layer"));
    json_set(r, "diffid", json_new_str(oci));
    json_set(r, "tree", json_new_str(hex));
    json_set(r, "recipe", json_new_str(hex));
    json_set(r, "size", json_new_int(1));
    json_set(r, "entries", json_new_int(1));
    json_set(r, "time", json_new_int(1));
    bad = bad || session_record(s, r, &e) < 0 || session_commit(s, &e) < 0;
    session_end(s);
    if (!ok(!bad, "import: %s", e.text))
        exit(tap_done());
}

static int read_is(struct reader *r, struct content_map *m, size_t off, size_t n, size_t want_n)
{
    struct err e = {0};
    size_t got = 12345;
    uint8_t *p = malloc(n ? n : 1);
    int good = p && !reader_pread(r, m, p, n, off, &got, &e) && got == want_n && (!got || !memcmp(p, big + off, got));
    free(p);
    return good;
}

static void positions(void)
{
    struct err e = {0};
    struct reader *r = store_reader(store);
    struct content_map m, none;
    struct digest other = big_digest, empty;
    ok(!content_map_digest(r, &big_digest, &m, &e) && m.c.size == BIG && m.c.chunk_count > 5, "map");
    ok(read_is(r, &m, 0, BIG, BIG), "all");
    ok(read_is(r, &m, 0, BIG + 100, BIG), "short at the end");
    ok(read_is(r, &m, BIG - 1, 10, 1), "the last byte");
    ok(read_is(r, &m, BIG, 10, 0) && read_is(r, &m, BIG + 1000, 10, 0), "behind the end");
    ok(read_is(r, &m, 5, 0, 0), "nothing");
    int bad = 0;
    for (uint32_t i = 0; i < m.c.chunk_count; i++)
        bad += !read_is(r, &m, m.c.chunks[i].end - 3, 6, i + 1 < m.c.chunk_count ? 6 : 3);
    is_int(bad, 0, "over each border between chunks");
    for (unsigned i = 0, seed = 5; i < 300; i++) {
        size_t off = (size_t)rand_r(&seed) % BIG, n = (size_t)rand_r(&seed) % 200000;
        bad += !read_is(r, &m, off, n, n < BIG - off ? n : BIG - off);
    }
    is_int(bad, 0, "anywhere");
    content_map_release(&m);
    other.b[0] ^= 1;
    ok(content_map_digest(r, &other, &none, &e) < 0 && e.kind == ERR_NOT_FOUND, "no such content");
    ok(strstr(e.text, "is not there") && strstr(e.text, dir), "message names the store: %s", e.text);
    sha256_of("", 0, &empty);
    ok(!content_map_digest(r, &empty, &m, &e) && m.c.size == 0 && read_is(r, &m, 0, 10, 0), "the empty content");
    content_map_release(&m);
}

static void whole(void)
{
    struct err e = {0};
    struct reader *r = store_reader(store);
    struct content_map m;
    struct buf b = {0};
    struct stream *s;
    struct tree *t;
    size_t n;
    int bad = buf_append(&b, "x", 1) < 0;
    ok(!bad && !reader_get(r, &small_digest[3], 5000, &b, &e) && b.len == 5001 && !memcmp(b.p + 1, small[3], 5000),
       "get appends");
    ok(reader_get(r, &big_digest, 1000, &b, &e) < 0 && e.kind == ERR_LIMIT && b.len == 5001, "limit");
    ok(strstr(e.text, "has 3000000 bytes, more than 1000") != NULL, "message: %s", e.text);
    buf_release(&b);
    err_clear(&e);
    ok(reader_tree(r, &small_digest[0], &t, &e) < 0 && e.kind == ERR_DAMAGED, "a tree that is none: %s", e.text);
    ok(!content_map_digest(r, &big_digest, &m, &e) && !reader_stream(r, &m, &s, &e), "stream");
    uint8_t *p = malloc(BIG + 1);
    ok(p && !stream_read(s, p, BIG + 1, &n, &e) && n == BIG && !memcmp(p, big, BIG), "gives all of it");
    stream_close(s);
    free(p);
    reader_prefetch(r, &m, 0, UINT64_MAX);
    reader_prefetch(r, &m, BIG + 5, 1);
    content_map_release(&m);
}

/* A map made by hand: data between holes. */
static void holes(void)
{
    struct err e = {0};
    struct reader *r = store_reader(store);
    struct tree_chunk list[3] = {{.end = 100}, {.digest = small_digest[0], .end = 5100}, {.end = 6000}};
    struct content_map m = {.c = {.size = 6000, .stored = 5000, .chunks = list, .chunk_count = 3}};
    uint8_t p[7000];
    size_t n;
    m.where = calloc(3, sizeof *m.where);
    memset(p, 1, sizeof p);
    ok(m.where && !reader_pread(r, &m, p, sizeof p, 0, &n, &e) && n == 6000, "read: %s", e.text);
    int bad = memcmp(p + 100, small[0], 5000) != 0;
    for (size_t i = 0; i < 100; i++)
        bad += p[i] != 0 || p[5100 + i] != 0;
    is_int(bad, 0, "holes are zeros");
    /* A place that is out of date: looked up again. */
    m.where[1] = UINT64_C(999999) << 24;
    ok(!reader_pread(r, &m, p, 10, 100, &n, &e) && !memcmp(p, small[0], 10), "stale place: %s", e.text);
    ok(m.where[1] >> 24 != 999999 && m.where[1], "brought up to date");
    list[1].digest.b[5] ^= 1;
    m.where[1] = 0;
    ok(reader_pread(r, &m, p, 10, 100, &n, &e) < 0 && e.kind == ERR_DAMAGED, "a chunk that nobody has");
    ok(strstr(e.text, "chunk ") && strstr(e.text, "is missing"), "message: %s", e.text);
    list[1].digest.b[5] ^= 1;
    err_clear(&e);
    list[1].end = 300000; /* longer than its block */
    list[2].end = m.c.size = 300001;
    m.where[1] = 0;
    ok(reader_pread(r, &m, p, 10, 100, &n, &e) < 0 && e.kind == ERR_DAMAGED, "a chunk longer than its block");
    ok(strstr(e.text, "doesn't fit into its block") != NULL, "message: %s", e.text);
    free(m.where);
}

struct job {
    struct reader *r;
    struct content_map *m;
    unsigned seed;
    int bad;
};

static void *hammer(void *ctx)
{
    struct job *j = ctx;
    struct buf b = {0};
    for (int i = 0; i < 150; i++) {
        struct err e = {0};
        size_t off = (size_t)rand_r(&j->seed) % BIG, n = (size_t)rand_r(&j->seed) % 300000,
               k = (size_t)rand_r(&j->seed) % SMALL;
        j->bad += !read_is(j->r, j->m, off, n, n < BIG - off ? n : BIG - off);
        reader_prefetch(j->r, j->m, off + n, 100000);
        b.len = 0;
        j->bad += reader_get(j->r, &small_digest[k], 5000, &b, &e) < 0 || memcmp(b.p, small[k], 5000) != 0;
    }
    buf_release(&b);
    return NULL;
}

static void threads(void)
{
    struct err e = {0};
    struct reader *r;
    struct content_map m;
    struct reader_stats st;
    pthread_t t[6];
    struct job j[6];
    int bad = 0;
    ok(!reader_new(store, 0, &r, &e) && !content_map_digest(r, &big_digest, &m, &e), "a reader of its own");
    for (unsigned i = 0; i < 6; i++) {
        j[i] = (struct job){.r = r, .m = &m, .seed = i + 1};
        pthread_create(&t[i], NULL, hammer, &j[i]);
    }
    for (int i = 0; i < 6; i++) {
        pthread_join(t[i], NULL);
        bad += j[i].bad;
    }
    is_int(bad, 0, "six threads read the right bytes");
    reader_stats(r, &st);
    ok(st.cached_bytes <= CACHE_MIN && st.misses && st.hits, "within the bound: %llu bytes",
       (unsigned long long)st.cached_bytes);
    content_map_release(&m);
    reader_free(r);
    reader_free(NULL);
}

/* Path of the only pack that is larger than 1 MB. */
static void pack_path(char *out, size_t n)
{
    struct stat st;
    DIR *d = fdopendir(dup(store_packsfd(store)));
    out[0] = '\0';
    if (!d)
        exit(1);
    rewinddir(d);
    for (const struct dirent *en; (en = readdir(d));)
        if (strstr(en->d_name, ".pack") && !fstatat(dirfd(d), en->d_name, &st, 0) && st.st_size > 1000000)
            snprintf(out, n, "%s/packs/%s", dir, en->d_name);
    closedir(d);
}

/* How the big content reads now with a fresh reader: 1 right, 0 refused as damage, -1 anything else. */
static int outcome(struct err *e)
{
    struct reader *r;
    struct content_map m;
    size_t n;
    uint8_t *p = malloc(BIG);
    int rc = -1;
    err_clear(e);
    if (!p || reader_new(store, 0, &r, e) < 0)
        exit(1);
    if (content_map_digest(r, &big_digest, &m, e) == 0) {
        if (reader_pread(r, &m, p, BIG, 0, &n, e) == 0)
            rc = n == BIG && !memcmp(p, big, BIG) ? 1 : -1;
        else
            rc = e->kind == ERR_DAMAGED ? 0 : -1;
        content_map_release(&m);
    }
    reader_free(r);
    free(p);
    return rc;
}

static void damage(void)
{
    struct err e = {0};
    struct stat st;
    char path[300], moved[320], last[1024] = "";
    uint8_t c;
    int wrong = 0, refused = 0;
    pack_path(path, sizeof path);
    int fd = open(path, O_RDWR);
    if (!ok(fd >= 0 && !fstat(fd, &st), "the pack: %s", path))
        return;
    for (off_t at = 100; at < st.st_size; at += st.st_size / 40) {
        if (pread(fd, &c, 1, at) != 1)
            exit(1);
        c ^= 0x10;
        wrong += pwrite(fd, &c, 1, at) != 1;
        int rc = outcome(&e);
        wrong += rc < 0;
        refused += rc == 0;
        if (!rc)
            snprintf(last, sizeof last, "%s", e.text);
        c ^= 0x10;
        wrong += pwrite(fd, &c, 1, at) != 1;
    }
    is_int(wrong, 0, "a flipped bit gives an error or the right bytes, nothing else: %s", e.text);
    ok(refused > 20, "most flips are in the way: %d", refused);
    ok(strstr(last, "pack ") && strstr(last, "block at offset") && strstr(last, dir),
       "message names store, pack and offset: %s", last);
    is_int(outcome(&e), 1, "mended");
    ok(!ftruncate(fd, st.st_size / 2), "cut off");
    is_int(outcome(&e), 0, "a pack that ends early is damage: %s", e.text);
    close(fd);
    snprintf(moved, sizeof moved, "%s.away", path);
    ok(!rename(path, moved), "take it away");
    is_int(outcome(&e), 0, "a missing pack is damage, not 'no such file'");
    ok(strstr(e.text, ".pack is missing") != NULL, "message: %s", e.text);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
    (void)st, (void)flag, (void)f;
    return remove(path);
}

int main(void)
{
    struct err e = {0};
    if (!mkdtemp(dir))
        return 1;
    if (!ok(!store_open(dir, STORE_CREATE, &store, &e), "a new store: %s", e.text))
        return tap_done();
    import();
    positions();
    whole();
    holes();
    threads();
    damage();
    store_close(store);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return tap_done();
}

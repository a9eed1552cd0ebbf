/* SPDX-License-Identifier: MIT */
/*
 * Covers: rebuild, record. A store with every kind of object, with names that moved and things removed, is the same
 * after its catalog was made anew, also beside a pack whose end is cut off. (Contents: test_gc.c.)
 */
#include "../../index/catalog_gc.h"
#include "../../index/lease.h"
#include "../../index/pack.h"

#include "teststore.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static uint32_t put(struct store *s, const char *text)
{
    struct json *j;
    struct err e = {0};
    int64_t no = 0;
    if (json_parse(text, strlen(text), 4096, "record", &j, &e) < 0 || store_record(s, &j, 1, &e) < 0) {
        ok(0, "%s: %s", text, e.text);
        return 0;
    }
    json_int(json_get(j, "no"), &no);
    json_unref(j);
    return (uint32_t)no;
}

static void drop(struct store *s, const char *of, uint32_t no)
{
    char text[100];
    snprintf(text, sizeof text, "{\"type\":\"remove\",\"of\":\"%s\",\"no\":%u,\"time\":9}", of, no);
    put(s, text);
}

static uint32_t package(struct store *s, const char *name)
{
    char text[400];
    snprintf(text, sizeof text,
             "{\"type\":\"package\",\"name\":\"%s\",\"dir\":\"/nix/store\",\"narhash\":\"" A
             "\",\"narsize\":5,\"refs\":[\"x\",\"y\"],\"deriver\":null,\"ca\":\"c\",\"sigs\":[],\"trusted\":true,"
             "\"tree\":\"" B "\",\"time\":-3}",
             name);
    return put(s, text);
}

static uint32_t layer(struct store *s, const char *hex)
{
    char text[400];
    snprintf(text, sizeof text,
             "{\"type\":\"layer\",\"diffid\":\"sha256:%s\",\"tree\":\"" A "\",\"recipe\":\"" B
             "\",\"size\":10240,\"entries\":3,\"time\":1}",
             hex);
    return put(s, text);
}

static void populate(struct store *s)
{
    uint32_t l1 = layer(s, A);
    layer(s, A); /* the same again: its number is lost */
    uint32_t l2 = layer(s, B);
    char keep[60];
    put(s, "{\"type\":\"image\",\"manifest\":\"" A "\",\"config\":\"" B "\",\"rootfs\":\"" A
           "\",\"layers\":[\"sha256:" A "\"],\"blobs\":[\"sha256:" B "\"],\"time\":2}");
    uint32_t i2 = put(s, "{\"type\":\"image\",\"manifest\":\"" B "\",\"config\":\"" B "\",\"rootfs\":\"" B
                         "\",\"layers\":[],\"blobs\":[],\"time\":2}");
    put(s, "{\"type\":\"name\",\"repo\":\"deb\",\"tag\":\"x\",\"manifest\":\"" B "\",\"time\":3}");
    put(s, "{\"type\":\"name\",\"repo\":\"deb\",\"tag\":\"x\",\"manifest\":\"" A "\",\"time\":4}"); /* moves */
    uint32_t gone = put(s, "{\"type\":\"name\",\"repo\":\"deb\",\"tag\":\"y\",\"manifest\":\"" A "\",\"time\":3}");
    put(s, "{\"type\":\"digestname\",\"repo\":\"deb\",\"manifest\":\"" A "\",\"time\":3}");
    snprintf(keep, sizeof keep, "{\"type\":\"keep\",\"no\":%u,\"time\":5}", l2);
    put(s, keep);
    snprintf(keep, sizeof keep, "{\"type\":\"keep\",\"no\":%u,\"time\":5}", l1);
    put(s, keep);
    package(s, "p-one");
    uint32_t p2 = package(s, "p-two");
    drop(s, "name", gone);
    drop(s, "image", i2);
    drop(s, "package", p2);
    package(s, "p-two");
    uint32_t last = package(s, "p-three");
    drop(s, "package", last); /* the highest number belongs to nothing */
}

static bool all(const struct digest *d, void *ctx)
{
    (void)d, (void)ctx;
    return true;
}

/* Everything that records say, and the next number. *ret_seq: the last change. */
static char *logical_seq(const char *path, uint64_t *ret_seq)
{
    struct store *s;
    struct err e = {0};
    struct buf b = {0};
    uint32_t next = 0;
    if (store_open(path, 0, &s, &e) < 0 || catalog_dump(store_catalog(s), all, NULL, &b, &e) < 0 ||
        catalog_seq(store_catalog(s), ret_seq, &e) < 0 || catalog_peek_no(store_catalog(s), &next, &e) < 0) {
        ok(0, "dump: %s", e.text);
        exit(tap_done());
    }
    for (uint32_t no = 1; no < next; no++) {
        char kind[16] = "";
        if (catalog_kind(store_catalog(s), no, kind, &e) < 0)
            err_clear(&e);
        buf_printf(&b, "%u %s\n", no, kind);
    }
    buf_printf(&b, "next %u\n", next);
    store_close(s);
    return (char *)buf_steal(&b, NULL);
}

static char *logical(const char *path)
{
    uint64_t seq;
    return logical_seq(path, &seq);
}

/* seq: the least that it may say; not the same, since a rebuild is a change itself. */
static void same_after_rebuild(const char *path, const char *want, uint64_t seq, const char *what)
{
    struct err e = {0};
    uint64_t seq_now = 0;
    ok(store_rebuild(path, &e) == 0, "rebuild, %s: %s", what, e.text);
    char *now = logical_seq(path, &seq_now);
    is_str(now, want, "the same catalog, %s", what);
    ok(seq_now >= seq, "no sequence number comes again, %s", what);
    free(now);
}

static void erase(const char *path, bool catalog_too)
{
    static const char *const names[] = {"catalog.db", "catalog.db-wal", "catalog.db-shm"};
    for (int i = !catalog_too; i < 3; i++) {
        char p[120];
        snprintf(p, sizeof p, "%s/%s", path, names[i]);
        unlink(p);
    }
}

/* What a crash leaves of an import that wasn't sealed: cut off in its last frame, and in its first. */
static void leave_torn(const char *path)
{
    struct store *s;
    struct pack_writer *w;
    struct err e = {0};
    struct chunk_row row = {.len = 4};
    uint64_t off;
    if (store_open(path, 0, &s, &e) < 0)
        return;
    for (int k = 0; k < 2; k++) {
        char name[PACK_NAME_LEN + 1], record[] = "{\"type\":\"keep\",\"no\":1,\"time\":1}\n";
        if (pack_create(s, &w, &e) < 0 || pack_writer_block(w, &row, 1, 4, "frame...", 8, &off, &e) < 0 ||
            pack_writer_records(w, 1000, record, strlen(record), 9000, &e) < 0)
            break;
        pack_name(pack_writer_id(w), name);
        int fd = openat(store_packsfd(s), name, O_RDWR | O_CLOEXEC);
        ok(ftruncate(fd, k ? 20 : (off_t)pack_writer_size(w) - 3) == 0, "a pack that ends in the middle of a frame");
        close(fd);
        pack_writer_close(w);
    }
    store_close(s);
}

static void busy(const char *path, const char *want)
{
    struct store *s;
    struct lease *l;
    struct err e = {0};
    ok(store_open(path, 0, &s, &e) == 0 && lease_take(s, LEASE_IMPORT, "{}", &l, &e) == 0, "an import: %s", e.text);
    ok(store_rebuild(path, &e) < 0 && e.kind == ERR_BUSY && strstr(e.text, "in use"), "no rebuild beside it: %s",
       e.text);
    lease_drop(l);
    store_close(s);
    char *now = logical(path);
    is_str(now, want, "which changes nothing");
    free(now);
}

/* A record that makes no sense fails the rebuild, and the old catalog stays. */
static void damaged_record(const char *path, const char *want)
{
    struct store *s;
    struct pack_writer *w;
    struct err e = {0};
    const char *line = "{\"type\":\"keep\",\"no\":-1}\n";
    if (store_open(path, 0, &s, &e) < 0 || pack_create(s, &w, &e) < 0 ||
        pack_writer_records(w, 900, line, strlen(line), 1, &e) < 0)
        return;
    uint64_t id = pack_writer_id(w);
    pack_writer_close(w);
    ok(store_rebuild(path, &e) < 0 && e.kind == ERR_DAMAGED && strstr(e.text, "records of transaction 900") &&
           strstr(e.text, "'no'"),
       "a record that makes no sense: %s", e.text);
    pack_remove(s, id);
    store_close(s);
    char *now = logical(path);
    is_str(now, want, "the old catalog stays");
    free(now);
}

int main(void)
{
    struct teststore t = teststore_open();
    char path[80];
    snprintf(path, sizeof path, "%s/store", t.dir);
    populate(t.store);
    store_close(t.store);
    uint64_t seq = 0;
    char *want = logical_seq(path, &seq);
    same_after_rebuild(path, want, seq, "over the old one");
    erase(path, true);
    struct store *s;
    struct err e = {0};
    ok(store_open(path, 0, &s, &e) < 0 && e.kind == ERR_DAMAGED && strstr(e.text, "cairn rebuild"), "without: %s",
       e.text);
    same_after_rebuild(path, want, seq, "over none");
    erase(path, false);
    same_after_rebuild(path, want, seq, "without a log");
    leave_torn(path);
    erase(path, true);
    same_after_rebuild(path, want, seq, "beside packs that are cut off");
    busy(path, want);
    damaged_record(path, want);
    char cmd[200];
    snprintf(cmd, sizeof cmd, "printf 'not a database, but as long as one would have to be' >%s/catalog.db", path);
    ok(system(cmd) == 0, "a catalog that is none");
    same_after_rebuild(path, want, seq, "over it");
    free(want);
    t.store = NULL;
    teststore_close(&t);
    return tap_done();
}

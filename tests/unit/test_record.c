/* SPDX-License-Identifier: MIT */
/*
 * Covers: record. Changes without bytes are one durable transaction: all or nothing, in a pack of their own that a
 * rebuild reads again; numbers are drawn once and never again.
 */
#include "../../index/pack.h"

#include "treenar.h"

#include <sys/wait.h>

static int count_pack(void *ctx, uint64_t id, uint64_t bytes, struct err *e)
{
    (void)id, (void)bytes, (void)e;
    ++*(int *)ctx;
    return 0;
}

static int packs(struct store *s)
{
    struct err e = {0};
    int n = 0;
    ok(pack_each(s, count_pack, &n, &e) == 0, "list packs: %s", e.text);
    return n;
}

static uint64_t seq_of(struct store *s)
{
    struct err e = {0};
    uint64_t seq = 0;
    ok(catalog_seq(store_catalog(s), &seq, &e) == 0, "sequence number: %s", e.text);
    return seq;
}

static struct json *parse(const char *text)
{
    struct json *j = NULL;
    struct err e = {0};
    ok(json_parse(text, strlen(text), 4096, "record", &j, &e) == 0, "parse: %s", e.text);
    return j;
}

static bool is_kept(struct store *s, uint32_t no)
{
    struct buf out = {0};
    char cmd[300];
    struct teststore none = {.dir = "", .store = s};
    snprintf(cmd, sizeof cmd, "sqlite3 %s/catalog.db 'SELECT count(*) FROM keep WHERE no = %u'", store_path(s), no);
    bool yes = shell(&none, cmd, &out) == 0 && out.len && out.p[0] == '1';
    buf_release(&out);
    return yes;
}

static void numbers(struct store *s)
{
    struct json *v[3] = {parse("{\"type\":\"keep\",\"time\":1}"), parse("{\"type\":\"keep\",\"no\":1000,\"time\":1}"),
                         parse("{\"type\":\"keep\",\"time\":1}")};
    struct err e = {0};
    int64_t a = 0, b = 0, c = 0;
    uint64_t seq = seq_of(s);
    int before = packs(s);
    ok(store_record(s, v, 3, &e) == 0, "three at once: %s", e.text);
    is_int(seq_of(s), seq + 1, "one transaction");
    is_int(packs(s), before + 1, "one pack");
    ok(json_int(json_get(v[0], "no"), &a) && json_int(json_get(v[1], "no"), &b) && json_int(json_get(v[2], "no"), &c) &&
           b == 1000 && c == a + 1,
       "numbers where there were none");
    ok(is_kept(s, (uint32_t)a) && is_kept(s, 1000) && is_kept(s, (uint32_t)c), "all are applied");
    for (int i = 0; i < 3; i++)
        json_unref(v[i]);
}

/* The second is refused: then neither the first nor the pack stays, and the numbers are free again. */
static void all_or_nothing(struct store *s)
{
    struct json *v[2] = {parse("{\"type\":\"keep\",\"time\":1}"),
                         parse("{\"type\":\"remove\",\"of\":\"nonsense\",\"no\":7,\"time\":1}")};
    struct err e = {0};
    uint32_t next, after;
    int64_t no = 0;
    uint64_t seq = seq_of(s);
    int before = packs(s);
    ok(catalog_peek_no(store_catalog(s), &next, &e) == 0, "next number");
    ok(store_record(s, v, 2, &e) < 0 && e.kind == ERR_DAMAGED && strstr(e.text, "'of'"), "refused: %s", e.text);
    err_clear(&e);
    is_int(seq_of(s), seq, "nothing happened");
    is_int(packs(s), before, "no pack is left");
    ok(catalog_peek_no(store_catalog(s), &after, &e) == 0 && after == next, "no number was used up");
    ok(json_int(json_get(v[0], "no"), &no) && !is_kept(s, (uint32_t)no), "not the first either");
    json_unref(v[0]);
    json_unref(v[1]);
    static const char dangling[] = "{\"type\":\"name\",\"repo\":\"r\",\"tag\":\"t\",\"manifest\":"
                                   "\"1111111111111111111111111111111111111111111111111111111111111111\",\"time\":1}";
    ok(put_record(s, dangling, &e) < 0 && e.kind == ERR_BUSY && strstr(e.text, "an image"), "no name of nothing: %s",
       e.text);
    is_int(packs(s), before, "no pack is left");
}

static void readonly(const char *path)
{
    struct store *s;
    struct err e = {0};
    ok(store_open(path, STORE_READONLY, &s, &e) == 0, "read only: %s", e.text);
    ok(put_record(s, "{\"type\":\"keep\",\"time\":1}", &e) < 0 && e.kind == ERR_SYSTEM &&
           strstr(e.text, "Read-only file system"),
       "refused: %s", e.text);
    store_close(s);
}

/* Several processes record at the same time: every number is drawn once, and the packs have all of it. */
static struct store *together(struct store *s, const char *path)
{
    enum { CHILDREN = 3, EACH = 15 };
    struct err e = {0};
    uint32_t first, next;
    int bad = 0, status, kept = 0;
    ok(catalog_peek_no(store_catalog(s), &first, &e) == 0, "next number");
    fflush(stdout);
    for (int k = 0; k < CHILDREN; k++) {
        if (fork() == 0) {
            struct store *mine;
            int rc = store_open(path, 0, &mine, &e);
            for (int i = 0; i < EACH && rc == 0; i++)
                rc = put_record(mine, "{\"type\":\"keep\",\"time\":1}", &e);
            _exit(rc != 0);
        }
    }
    for (int k = 0; k < CHILDREN; k++)
        bad += wait(&status) < 0 || status != 0;
    is_int(bad, 0, "failures");
    ok(catalog_peek_no(store_catalog(s), &next, &e) == 0, "next number");
    is_int(next - first, CHILDREN * EACH, "numbers drawn");
    store_close(s);
    ok(store_rebuild(path, &e) == 0, "rebuild: %s", e.text);
    ok(store_open(path, 0, &s, &e) == 0, "open: %s", e.text);
    for (uint32_t no = first; no < next; no++)
        kept += is_kept(s, no);
    is_int(kept, CHILDREN * EACH, "the packs have all of it");
    ok(catalog_peek_no(store_catalog(s), &next, &e) == 0 && next >= first + CHILDREN * EACH, "and the next number");
    return s;
}

int main(void)
{
    if (system("command -v sqlite3 >/dev/null")) {
        printf("1..0 # SKIP needs sqlite3 to look into catalogs\n");
        return 77;
    }
    struct teststore t = teststore_open();
    char path[100];
    snprintf(path, sizeof path, "%s/store", t.dir);
    numbers(t.store);
    all_or_nothing(t.store);
    readonly(path);
    t.store = together(t.store, path);
    teststore_close(&t);
    return tap_done();
}

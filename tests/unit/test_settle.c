/* SPDX-License-Identifier: MIT */
/*
 * Covers: settle, and what rebuild and catalog_begin owe to what was acknowledged. A transaction that died between its
 * seal and its commit never comes to life; one that was acknowledged never gets lost.
 */
#include "../../index/gc.h"
#include "../../index/pack.h"
#include "../../index/settle.h"

#include "teststore.h"

#include <signal.h>
#include <sys/wait.h>

#define HEX        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME(repo) "{\"type\":\"digestname\",\"repo\":\"" repo "\",\"manifest\":\"" HEX "\",\"time\":1}"

static int put(struct store *s, const char *text, struct err *e)
{
    struct json *j;
    err_clear(e);
    if (json_parse(text, strlen(text), 4096, "record", &j, e) < 0)
        return -1;
    int rc = store_record(s, &j, 1, e);
    json_unref(j);
    return rc;
}

static uint32_t number(struct store *s, const char *repo)
{
    struct cat_name n;
    struct digest d;
    struct err e = {0};
    memset(d.b, 0xaa, sizeof d.b);
    if (catalog_name(store_catalog(s), repo, NULL, &d, &n, &e) < 0)
        return 0;
    uint32_t no = n.no;
    cat_name_release(&n);
    return no;
}

static struct store *again(struct store *s)
{
    char *path = strdup(store_path(s));
    struct err e = {0};
    store_close(s);
    ok(store_rebuild(path, &e) == 0, "rebuild: %s", e.text);
    ok(store_open(path, 0, &s, &e) == 0, "open: %s", e.text);
    free(path);
    return s;
}

/* A process does all that a transaction does, and dies before its commit. ahead: of the sequence number that is due. */
static void die_before_commit(struct store *s, const char *line, uint64_t ahead)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        struct store *mine;
        struct pack_writer *w;
        struct err e = {0};
        uint64_t seq;
        uint32_t no, next;
        struct catalog *c;
        if (store_open(store_path(s), 0, &mine, &e) < 0 || catalog_begin(c = store_catalog(mine), &e) < 0 ||
            catalog_next_no(c, &no, &e) < 0 || catalog_peek_no(c, &next, &e) < 0 || catalog_seq(c, &seq, &e) < 0 ||
            pack_create(mine, &w, &e) < 0 ||
            pack_writer_records(w, seq + 1 + ahead, line, strlen(line), next, &e) < 0 || pack_writer_sync(w, &e) < 0)
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    waitpid(pid, &status, 0);
    ok(WIFSIGNALED(status), "a process dies between seal and commit");
}

static struct store *crashed(struct store *s)
{
    struct err e = {0};
    char line[200];
    ok(put(s,
           "{\"type\":\"image\",\"manifest\":\"" HEX "\",\"config\":\"" HEX "\",\"rootfs\":\"" HEX
           "\",\"layers\":[],\"blobs\":[],\"time\":1}",
           &e) == 0,
       "an image to name: %s", e.text);
    ok(put(s, NAME("stays"), &e) == 0, "a name: %s", e.text);
    uint32_t stays = number(s, "stays");
    die_before_commit(s, "{\"type\":\"digestname\",\"no\":3,\"repo\":\"ghost\",\"manifest\":\"" HEX "\",\"time\":1}\n",
                      0);
    ok(put(s, NAME("real"), &e) == 0, "the next draws its numbers again: %s", e.text);
    uint32_t real = number(s, "real");
    snprintf(line, sizeof line, "{\"type\":\"remove\",\"of\":\"digestname\",\"no\":%u,\"time\":1}\n", stays);
    die_before_commit(s, line, 0);
    ok(put(s, NAME("later"), &e) == 0, "more work: %s", e.text);
    s = again(s);
    is_int(number(s, "real"), real, "what was acknowledged has its number after a rebuild");
    is_int(number(s, "ghost"), 0, "what wasn't is not there");
    is_int(number(s, "stays"), stays, "what a dead transaction would have removed is");
    return s;
}

/* The newest transaction may have happened or not: both are whole. But then nothing takes its numbers. */
static struct store *crashed_last(struct store *s)
{
    struct err e = {0};
    die_before_commit(s, "{\"type\":\"digestname\",\"no\":50,\"repo\":\"last\",\"manifest\":\"" HEX "\",\"time\":1}\n",
                      0);
    s = again(s);
    is_int(number(s, "last"), 50, "a rebuild right after the crash takes it in, whole");
    ok(put(s, NAME("after"), &e) == 0 && number(s, "after") > 50, "and goes on behind it: %s", e.text);
    return s;
}

static void older_catalog(struct store *s)
{
    struct err e = {0};
    struct gc_result r;
    int files = 0;
    char cmd[200];
    die_before_commit(s, "{\"type\":\"keep\",\"no\":1,\"time\":1}\n", 5);
    ok(put(s, NAME("x"), &e) < 0 && e.kind == ERR_DAMAGED && strstr(e.text, "is an older copy"), "%s", e.text);
    err_clear(&e);
    ok(gc_run(s, &(struct gc_opts){0}, &r, &e) < 0 && e.kind == ERR_DAMAGED && strstr(e.text, "cairn rebuild"),
       "gc: %s", e.text);
    snprintf(cmd, sizeof cmd, "ls %s/packs/*.pack | wc -l", store_path(s));
    FILE *f = popen(cmd, "re");
    ok(f && fscanf(f, "%d", &files) == 1 && files >= 5, "no pack was removed");
    if (f)
        pclose(f);
}

static struct store *replaced(struct store *s)
{
    struct store *old = s;
    struct err e = {0};
    ok(store_rebuild(store_path(old), &e) == 0, "a rebuild while a store is open: %s", e.text);
    ok(put(old, NAME("lost"), &e) < 0 && e.kind == ERR_BUSY && strstr(e.text, "made anew meanwhile"),
       "no commit to the catalog of before: %s", e.text);
    ok(store_open(store_path(old), 0, &s, &e) == 0, "open: %s", e.text);
    store_close(old);
    ok(put(s, NAME("found"), &e) == 0 && number(s, "found"), "the new one takes it: %s", e.text);
    return s;
}

/* A flipped bit in a block's header, and records behind it. */
static struct store *flipped(struct store *s)
{
    struct pack_writer *w;
    struct chunk_row row = {.len = 4};
    struct err e = {0};
    uint64_t off = 0, seq = 0;
    char name[PACK_NAME_LEN + 1];
    uint8_t c = 0;
    struct catalog *cat = store_catalog(s);
    const char *line = "{\"type\":\"digestname\",\"no\":300,\"repo\":\"behind\",\"manifest\":\"" HEX "\",\"time\":1}\n";
    struct json *j = NULL;
    ok(catalog_begin(cat, &e) == 0 && catalog_seq(cat, &seq, &e) == 0 && pack_create(s, &w, &e) == 0 &&
           pack_writer_block(w, &row, 1, 4, "frame...", 8, &off, &e) == 0 &&
           pack_writer_records(w, seq + 1, line, strlen(line), 301, &e) == 0 &&
           catalog_add_pack(cat, pack_writer_id(w), pack_writer_size(w), &e) == 0 &&
           json_parse(line, strlen(line), 4096, "record", &j, &e) == 0 && catalog_apply(cat, j, &e) == 0 &&
           catalog_commit(cat, &e) == 0,
       "an import: %s", e.text);
    json_unref(j);
    pack_name(pack_writer_id(w), name);
    pack_writer_close(w);
    int fd = openat(store_packsfd(s), name, O_RDWR | O_CLOEXEC);
    ok(pread(fd, &c, 1, (off_t)off - 20) == 1 && (c ^= 1, pwrite(fd, &c, 1, (off_t)off - 20) == 1), "a flipped bit");
    char *path = strdup(store_path(s));
    store_close(s);
    ok(store_rebuild(path, &e) < 0 && e.kind == ERR_DAMAGED && strstr(e.text, name) && strstr(e.text, "made anew"),
       "a rebuild tells of it: %s", e.text);
    err_clear(&e);
    ok(store_open(path, 0, &s, &e) == 0 && number(s, "behind") == 300, "and has what stands behind it: %s", e.text);
    free(path);
    return s;
}

int main(void)
{
    struct teststore t = teststore_open();
    t.store = crashed(t.store);
    t.store = crashed_last(t.store);
    t.store = replaced(t.store);
    t.store = flipped(t.store);
    older_catalog(t.store);
    teststore_close(&t);
    return tap_done();
}

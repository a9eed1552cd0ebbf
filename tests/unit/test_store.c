/* SPDX-License-Identifier: MIT */
/* Covers: store, lease, record, catalog, catalog_object, catalog_apply: opening and refusing, records in and out,
 * numbers, locks between processes. */
#include "../../index/catalog.h"
#include "../../index/lease.h"
#include "../../index/store.h"

#include "teststore.h"

#include <signal.h>
#include <sys/wait.h>

static struct json *parse(const char *text)
{
    struct json *j = NULL;
    struct err e = {0};
    if (json_parse(text, strlen(text), 1 << 20, "record", &j, &e) < 0) {
        printf("# %s\n", e.text);
        exit(1);
    }
    return j;
}

static int record(struct store *s, const char *text, struct err *e)
{
    struct json *j = parse(text);
    err_clear(e);
    int rc = store_record(s, &j, 1, e);
    json_unref(j);
    return rc;
}

#define HEX(c) #c #c #c #c #c #c #c #c #c #c #c #c #c #c #c #c /* 64 digits of 4 */
#define H1     HEX(1111)
#define H2     HEX(2222)
#define H3     HEX(3333)
#define LAYER                                                                                                          \
    "{\"type\":\"layer\",\"diffid\":\"sha256:" H1 "\",\"tree\":\"" H2 "\",\"recipe\":\"" H3                            \
    "\",\"size\":5,\"entries\":2,\"time\":9}"
#define IMAGE                                                                                                          \
    "{\"type\":\"image\",\"manifest\":\"" H2 "\",\"config\":\"" H3 "\",\"rootfs\":\"" H1 "\",\"layers\":[\"sha256:" H1 \
    "\"],\"blobs\":[\"sha256:" H3 "\"],\"time\":9}"
#define PACKAGE                                                                                                        \
    "{\"type\":\"package\",\"name\":\"abc-x\",\"dir\":\"/nix/store\",\"narhash\":\"" H1                                \
    "\",\"narsize\":3,\"refs\":[\"abc-x\",\"def-y\"],\"deriver\":null,\"ca\":null,\"sigs\":[\"k:s\"],"                 \
    "\"trusted\":true,\"tree\":\"" H2 "\",\"time\":4}"

/* An image of no layers, for names to show. */
static void image(struct store *s, const char *manifest)
{
    char text[500];
    struct err e = {0};
    snprintf(text, sizeof text,
             "{\"type\":\"image\",\"manifest\":\"%s\",\"config\":\"" H3 "\",\"rootfs\":\"" H1
             "\",\"layers\":[],\"blobs\":[],\"time\":9}",
             manifest);
    ok(record(s, text, &e) == 0, "an image: %s", e.text);
}

static void objects(struct store *s)
{
    struct catalog *c = store_catalog(s);
    struct err e = {0};
    struct digest d, got;
    struct cat_layer l;
    struct cat_image im;
    struct cat_package p;
    struct cat_name n;
    char kind[16];
    uint64_t before, after;
    catalog_version(c, &before, &e);
    ok(record(s, LAYER, &e) == 0, "a layer: %s", e.text);
    catalog_version(c, &after, &e);
    ok(before != after, "the version moved");
    digest_parse_hex(H1, 64, &d);
    ok(catalog_layer(c, &d, &l, &e) == 0 && l.size == 5 && l.entries == 2 && l.time == 9 && l.no == 1, "it is there");
    ok(record(s, LAYER, &e) == 0 && catalog_layer_no(c, 2, &l, &e) < 0 && e.kind == ERR_NOT_FOUND, "once");
    ok(record(s, IMAGE, &e) == 0, "an image: %s", e.text);
    digest_parse_hex(H2, 64, &d);
    ok(catalog_image(c, &d, &im, &e) == 0 && im.layer_count == 1, "it is there");
    cat_image_release(&im);
    digest_parse_hex(H3, 64, &d);
    ok(catalog_blob(c, &d, &got, &e) == 0 && got.b[0] == 0x11, "its compressed layer is known");
    ok(record(s, PACKAGE, &e) == 0 && catalog_package(c, "abc-x", &p, &e) == 0, "a package: %s", e.text);
    is_str(p.refs[1], "def-y", "its reference");
    is_str(p.sigs[0], "k:s", "its signature");
    ok(!p.deriver && p.trusted && p.narsize == 3, "the rest");
    ok(catalog_kind(c, p.no, kind, &e) == 0, "kind");
    is_str(kind, "package", "kind of its number");
    uint32_t package = p.no;
    cat_package_release(&p);
    ok(record(s, "{\"type\":\"name\",\"repo\":\"a\",\"tag\":\"b\",\"manifest\":\"" H2 "\",\"time\":1}", &e) == 0,
       "a name");
    ok(catalog_name(c, "a", "b", NULL, &n, &e) == 0, "it is there");
    uint32_t first = n.no;
    cat_name_release(&n);
    ok(record(s, "{\"type\":\"name\",\"repo\":\"a\",\"tag\":\"b\",\"manifest\":\"" H3 "\",\"time\":1}", &e) < 0 &&
           e.kind == ERR_BUSY,
       "a name of no image: %s", e.text);
    image(s, H3);
    image(s, H1);
    ok(record(s, "{\"type\":\"name\",\"repo\":\"a\",\"tag\":\"b\",\"manifest\":\"" H3 "\",\"time\":1}", &e) == 0,
       "it moves");
    ok(catalog_name(c, "a", "b", NULL, &n, &e) == 0 && n.no > first && n.manifest.b[0] == 0x33, "under a new number");
    cat_name_release(&n);
    ok(catalog_kind(c, first, kind, &e) < 0 && e.kind == ERR_NOT_FOUND, "the old number is nobody's");
    char remove[100];
    snprintf(remove, sizeof remove, "{\"type\":\"remove\",\"of\":\"package\",\"no\":%u,\"time\":1}", package);
    ok(record(s, remove, &e) == 0 && catalog_package(c, "abc-x", &p, &e) < 0 && e.kind == ERR_NOT_FOUND, "removed");
}

static void refused(struct store *s)
{
    static const char *const bad[] = {
        "{}",
        "{\"type\":\"layer\"}",
        "{\"type\":\"layer\",\"no\":0,\"diffid\":\"sha256:" H1 "\"}",
        "{\"type\":\"layer\",\"no\":-1}",
        "{\"type\":\"name\",\"repo\":\"a\\nb\",\"tag\":\"c\",\"manifest\":\"" H1 "\",\"time\":1}",
        "{\"type\":\"name\",\"repo\":\"\",\"tag\":\"c\",\"manifest\":\"" H1 "\",\"time\":1}",
        "{\"type\":\"name\",\"repo\":\"a\",\"tag\":\"c\",\"manifest\":\"../../etc\",\"time\":1}",
        "{\"type\":\"remove\",\"of\":\"everything\",\"no\":1,\"time\":1}",
        "{\"type\":\"image\",\"manifest\":\"" H1 "\",\"config\":\"" H1 "\",\"rootfs\":\"" H1
        "\",\"layers\":[\"sha256:" H1 "\"],\"blobs\":[],\"time\":1}",
        "{\"type\":\"content\",\"digest\":\"" H1 "\",\"size\":5,\"chunks\":[[\"" H2 "\",4]]}",
    };
    struct err e = {0};
    uint64_t before, after;
    catalog_seq(store_catalog(s), &before, &e);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ok(record(s, bad[i], &e) < 0 && e.kind == ERR_DAMAGED, "%s: %s", bad[i], e.text);
    catalog_seq(store_catalog(s), &after, &e);
    is_int(after, before, "nothing was committed");
    ok(record(s, "{\"type\":\"of a later version\",\"no\":77}", &e) == 0, "an unknown type is kept and ignored");
}

/* Two processes write 100 records each: all are there, no number is given twice. */
static void two_writers(const char *path)
{
    struct err e = {0};
    struct store *s;
    for (int p = 0; p < 2; p++) {
        if (fork() == 0) {
            int bad = store_open(path, 0, &s, &e) < 0;
            for (int i = 0; i < 100 && !bad; i++) {
                char text[200];
                snprintf(text, sizeof text,
                         "{\"type\":\"name\",\"repo\":\"p%d\",\"tag\":\"t%d\",\"manifest\":\"" H1 "\",\"time\":1}", p,
                         i);
                bad = record(s, text, &e) < 0;
            }
            if (bad)
                printf("# %s\n", e.text);
            fflush(stdout);
            _exit(bad);
        }
    }
    int status, bad = 0;
    while (wait(&status) > 0)
        bad += status != 0;
    is_int(bad, 0, "writers that failed");
    struct cat_name n;
    int missing = 0;
    uint32_t last = 0;
    ok(store_open(path, 0, &s, &e) == 0, "open");
    for (int i = 0; i < 100; i++) {
        char tag[16];
        snprintf(tag, sizeof tag, "t%d", i);
        for (int p = 0; p < 2; p++) {
            if (catalog_name(store_catalog(s), p ? "p1" : "p0", tag, NULL, &n, &e) < 0) {
                missing++;
                continue;
            }
            if (n.no > last)
                last = n.no;
            cat_name_release(&n);
        }
    }
    is_int(missing, 0, "records that are missing");
    ok(last >= 200, "numbers");
    store_close(s);
}

static int count_lease(const char *json, void *ctx)
{
    *(int *)ctx += strstr(json, "\"pid\"") != NULL;
    return 0;
}

static int leases(struct store *s, enum lease_kind kind)
{
    struct err e = {0};
    int n = 0;
    ok(lease_each(s, kind, count_lease, &n, &e) == 0, "list leases: %s", e.text);
    return n;
}

static void lease(struct store *s)
{
    struct lease *l;
    struct err e = {0};
    int fds[2];
    char c;
    ok(lease_take(s, LEASE_MOUNT, "{\"pid\":1}", &l, &e) == 0, "take: %s", e.text);
    is_int(leases(s, LEASE_MOUNT), 1, "it is there");
    is_int(leases(s, LEASE_IMPORT), 0, "others aren't");
    ok(lease_update(l, "{\"pid\":2,\"seq\":5}", &e) == 0, "update");
    lease_drop(l);
    is_int(leases(s, LEASE_MOUNT), 0, "dropped");
    if (pipe(fds) < 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        int rc = lease_take(s, LEASE_IMPORT, "{\"pid\":3}", &l, &e);
        if (write(fds[1], rc ? "n" : "y", 1) == 1)
            pause();
        _exit(1);
    }
    ok(read(fds[0], &c, 1) == 1 && c == 'y', "another process takes one");
    is_int(leases(s, LEASE_IMPORT), 1, "it lives");
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    is_int(leases(s, LEASE_IMPORT), 0, "it went with its owner");
    lease_drop(NULL);
}

static void opening(void)
{
    char dir[] = "/tmp/cairn-test-XXXXXX", path[100], cmd[160];
    struct store *s;
    struct err e = {0};
    if (!mkdtemp(dir))
        return;
    snprintf(path, sizeof path, "%s/no", dir);
    ok(store_open(path, 0, &s, &e) < 0 && e.kind == ERR_NOT_FOUND, "no store: %s", e.text);
    ok(store_open(dir, STORE_CREATE, &s, &e) == 0, "an empty folder becomes one");
    store_close(s);
    snprintf(path, sizeof path, "%s/format", dir);
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    ok(write(fd, "cairn store 2\n", 14) == 14, "a later version");
    close(fd);
    ok(store_open(dir, STORE_CREATE, &s, &e) < 0 && e.kind == ERR_UNSUPPORTED && strstr(e.text, "cairn store 2"), "%s",
       e.text);
    unlink(path);
    snprintf(path, sizeof path, "%s/letter.txt", dir);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    close(fd);
    ok(store_open(dir, STORE_CREATE, &s, &e) < 0 && strstr(e.text, "is not empty"), "%s", e.text);
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    ok(system(cmd) == 0, "clean up");
}

int main(void)
{
    struct teststore t = teststore_open();
    char path[100];
    snprintf(path, sizeof path, "%s/store", t.dir);
    objects(t.store);
    refused(t.store);
    lease(t.store);
    two_writers(path);
    opening();
    teststore_close(&t);
    return tap_done();
}

/* SPDX-License-Identifier: MIT */
/* dirnar: trees on disk as NARs, equal to what Nix makes of them, and every refusal with its path. */
#include "../../index/source/package.h"
#include "renar.h"
#include "tap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/cairn-dirnar-XXXXXX";

static const char *in(const char *name)
{
    static char path[4][8192];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void file(const char *name, const char *text, mode_t mode)
{
    int fd = open(in(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fchmod(fd, mode) < 0)
        ok(0, "write %s", name);
    close(fd);
}

static int dump(const char *path, struct renar *r, struct err *e)
{
    struct stream *s;
    *r = (struct renar){0};
    if (dirnar_open(path, &s, e) < 0)
        return -1;
    int rc = renar_stream(s, r, e);
    if (!rc)
        rc = stream_drain(s, e);
    stream_close(s);
    return rc;
}

static void is_hash(const char *path, const char *want, const char *what)
{
    struct renar r;
    struct err e = {0};
    struct digest d;
    char got[DIGEST_NIX32_LEN + 1];
    is_int(dump(path, &r, &e), 0, "%s is read %s", what, e.text);
    sha256_of(r.out.p, r.out.len, &d);
    nix32_encode(d.b, DIGEST_LEN, got);
    is_str(got, want, "%s", what);
    renar_release(&r);
}

static void golden(void)
{
    file("hello", "hello\n", 0644);
    is_hash(in("hello"), "04zwf782yjwnh3q6hz5izfd6jyip8kgw6g6yj43fiqhbyhdd0dqw", "a file");
    chmod(in("hello"), 0677);
    is_hash(in("hello"), "04zwf782yjwnh3q6hz5izfd6jyip8kgw6g6yj43fiqhbyhdd0dqw", "only the owner's x counts");
    mkdir(in("empty"), 0700);
    is_hash(in("empty"), "0sjjj9z1dhilhpc8pq4154czrb79z9cm044jvn75kxcjv6v5l2m5", "an empty directory");
    ok(!symlink("/bin", in("link")), "a link");
    is_hash(in("link"), "0z2mdmkd43l0ijdxfbj1y8vzli15yh9b09n3a3rrygmjshbyypsw", "a symlink, not followed");
}

/* Against `nix-store --dump`, when it is there. */
static void peer(const char *path, const char *what)
{
    char cmd[4200], got[65536];
    struct renar r;
    struct err e = {0};
    struct buf b = {0};
    snprintf(cmd, sizeof cmd, "nix-store --dump '%s' 2>/dev/null", path);
    FILE *f = popen(cmd, "re");
    for (size_t n; f && (n = fread(got, 1, sizeof got, f)) > 0;)
        buf_append(&b, got, n);
    int rc = f ? pclose(f) : -1;
    if (rc) {
        printf("ok %d - %s as nix-store --dump gives it # SKIP it can't be run\n", ++tap_run, what);
        buf_release(&b);
        return;
    }
    is_int(dump(path, &r, &e), 0, "%s is read %s", what, e.text);
    ok(r.out.len == b.len && !memcmp(r.out.p, b.p, b.len), "%s is as nix-store --dump gives it, %zu bytes, %u nodes",
       what, b.len, r.nodes);
    renar_release(&r);
    buf_release(&b);
}

static void peers(void)
{
    mkdir(in("tree"), 0755);
    mkdir(in("tree/b"), 0755);
    mkdir(in("tree/b/c"), 0755);
    file("tree/b-", "x", 0755);
    file("tree/b.", "", 0600);
    file("tree/\xff\x01 odd\n", "12345678", 0444);
    file("tree/B", "1234567", 0444);
    ok(!symlink("../b", in("tree/b/l")), "a link");
    peer(in("tree"), "an odd tree");
    peer("/etc/alternatives", "/etc/alternatives");
    peer("/usr/include", "/usr/include");
}

static void refused(const char *path, enum err_kind kind, const char *why)
{
    struct renar r;
    struct err e = {0};
    is_int(dump(path, &r, &e), -1, "refused: %s", why);
    is_int(e.kind, kind, "kind");
    ok(strstr(e.text, why) != NULL, "message: %s", e.text);
    renar_release(&r);
}

static void refusals(void)
{
    char deep[4096];
    refused(in("none"), ERR_NOT_FOUND, "none: no such file or directory");
    mkdir(in("special"), 0755);
    mkdir(in("special/a"), 0755);
    mkfifo(in("special/a/fifo"), 0600);
    refused(in("special"), ERR_INPUT, "special/a/fifo: is neither a file, a directory nor a symlink");
    snprintf(deep, sizeof deep, "deep");
    for (int i = 0; i < 64; i++) {
        mkdir(in(deep), 0755);
        strcat(deep, "/d");
    }
    struct renar r;
    struct err e = {0};
    is_int(dump(in("deep"), &r, &e), 0, "64 directories in each other %s", e.text);
    renar_release(&r);
    mkdir(in(deep), 0755);
    refused(in("deep"), ERR_LIMIT, "nested more than 64 deep");
}

/* A file that grows while it is read; and a reader that gives up. */
static void changes(void)
{
    struct stream *s;
    struct err e = {0};
    const uint8_t *p;
    size_t n;
    int fd = open(in("big"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ok(!ftruncate(fd, 8 << 20), "a file of 8 MiB");
    is_int(dirnar_open(in("big"), &s, &e), 0, "open");
    is_int(stream_run(s, 1, &p, &n, &e), 0, "it has begun");
    ok(pwrite(fd, "x", 1, (8 << 20) + 5) == 1, "the file grows");
    is_int(stream_drain(s, &e), -1, "the stream fails");
    is_int(e.kind, ERR_INPUT, "kind");
    ok(strstr(e.text, "big: changed while it was read"), "message: %s", e.text);
    is_int(stream_drain(s, &e), -1, "and goes on failing");
    stream_close(s);
    is_int(dirnar_open(in("big"), &s, &e), 0, "open again");
    is_int(stream_run(s, 1, &p, &n, &e), 0, "it has begun");
    ok(!ftruncate(fd, 100), "the file shrinks");
    is_int(stream_drain(s, &e), -1, "the stream fails");
    ok(strstr(e.text, "big: changed while it was read"), "message: %s", e.text);
    stream_close(s);
    ok(!ftruncate(fd, 8 << 20), "large again");
    is_int(dirnar_open(in("big"), &s, &e), 0, "open");
    is_int(stream_run(s, 1, &p, &n, &e), 0, "read a byte");
    stream_close(s);
    ok(1, "closing early ends the thread, without a signal");
    close(fd);
}

int main(void)
{
    char cmd[200];
    if (!mkdtemp(dir))
        return 1;
    golden();
    peers();
    refusals();
    changes();
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    ok(!system(cmd), "clean up");
    return tap_done();
}

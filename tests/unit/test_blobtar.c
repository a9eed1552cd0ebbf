/* SPDX-License-Identifier: MIT */
#include "../../index/source/blobtar.h"
#include "../../index/source/tarwrite.h"
#include "tap.h"

#include <stdlib.h>
#include <unistd.h>

static struct buf archive;

static void put(char type, const char *name, const char *link, const char *data)
{
    struct err e = {0};
    struct tarwrite_member m = TARWRITE_FILE;
    m.type = type;
    m.name = name;
    m.link = link;
    m.size = data ? strlen(data) : 0;
    if (tarwrite_header(&m, &archive, &e) < 0)
        abort();
    if (data && (buf_append(&archive, data, strlen(data)) < 0 || tarwrite_pad(m.size, &archive, &e) < 0))
        abort();
}

static int as_file(void)
{
    char path[] = "/tmp/test_blobtar.XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || unlink(path) < 0 || write(fd, archive.p, archive.len) != (ssize_t)archive.len)
        abort();
    return fd;
}

static void finds(const struct blobtar *t, const char *name, const char *want)
{
    struct err e = {0};
    struct buf b = {0};
    struct blobtar_member m;
    struct stream *s;
    char got[64] = "";
    size_t n = 0;
    if (ok(blobtar_get(t, name, 1000, &b, &e) == 0, "%s is there (%s)", name, e.text))
        is_str((char *)b.p, want, "its bytes");
    buf_release(&b);
    if (blobtar_find(t, name, &m, &e) == 0 && blobtar_stream(t, &m, &s, &e) == 0) {
        ok(stream_read(s, got, sizeof got - 1, &n, &e) == 0, "it streams");
        is_str(got, want, "the same bytes");
        stream_close(s);
    }
}

static void lacks(const struct blobtar *t, const char *name, enum err_kind kind)
{
    struct err e = {0};
    struct blobtar_member m;
    is_int(blobtar_find(t, name, &m, &e), -1, "%s isn't there", name);
    is_int(e.kind, kind, "kind");
    ok(strstr(e.text, name), "message: %s", e.text);
}

int main(void)
{
    struct err e = {0};
    struct blobtar *t;
    struct buf b = {0};
    put('5', "./", NULL, NULL);
    put('5', "blobs/", NULL, NULL);
    put('0', "./blobs/sha256/aa", NULL, "first");
    put('0', "index.json", NULL, "{}");
    put('0', "empty", NULL, NULL);
    put('0', "one/layer.tar", NULL, "layer one");
    put('2', "two/layer.tar", "../one/layer.tar", NULL);
    put('2', "three/layer.tar", "../two/./layer.tar", NULL);
    put('1', "hard", "blobs/sha256/aa", NULL);
    put('2', "loop", "loop", NULL);
    put('2', "out", "../etc/passwd", NULL);
    put('2', "dangling", "nothing", NULL);
    put('0', "../escape", NULL, "x");
    tarwrite_end(&archive, &e);
    if (ok(blobtar_open(as_file(), NULL, &t, &e) == 0, "an archive opens (%s)", e.text)) {
        finds(t, "blobs/sha256/aa", "first");
        finds(t, "./index.json", "{}");
        finds(t, "empty", "");
        finds(t, "two/layer.tar", "layer one");
        finds(t, "three//layer.tar", "layer one");
        finds(t, "hard", "first");
        lacks(t, "loop", ERR_NOT_FOUND);
        lacks(t, "out", ERR_NOT_FOUND);
        lacks(t, "dangling", ERR_NOT_FOUND);
        lacks(t, "../escape", ERR_NOT_FOUND);
        lacks(t, "escape", ERR_NOT_FOUND);
        lacks(t, "blobs", ERR_NOT_FOUND);
        is_int(blobtar_get(t, "one/layer.tar", 3, &b, &e), -1, "a limit holds");
        ok(e.kind == ERR_LIMIT && strstr(e.text, "9 bytes"), "message: %s", e.text);
        blobtar_close(t);
    }
    archive.len = 0;
    put('0', "a", NULL, "1");
    put('0', "./a", NULL, "2");
    tarwrite_end(&archive, &e);
    is_int(blobtar_open(as_file(), NULL, &t, &e), -1, "a member that is there twice is refused");
    ok(e.kind == ERR_INPUT && strstr(e.text, "two members called \"a\""), "message: %s", e.text);
    archive.len = 0;
    put('0', "a", NULL, "1");
    archive.len -= 512;
    is_int(blobtar_open(as_file(), NULL, &t, &e), -1, "a cut-off archive is refused");
    is_int(e.kind, ERR_INPUT, "kind");
    buf_release(&archive);
    buf_release(&b);
    return tap_done();
}

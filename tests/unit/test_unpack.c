/* SPDX-License-Identifier: MIT */
/* Every compression out and in, cut off at every place, with bytes changed, with something behind it. Covers: gunzip.
 */
#include "tap.h"
#include "../../index/source/unpack.h"
#include "../../index/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* A stream that gives at most `step` bytes a time, and may fail at its end. */
struct drip {
    struct stream s;
    const uint8_t *p;
    size_t n, step;
    bool fail;
    bool *closed;
};

static int drip_pull(struct stream *s, const uint8_t **p, size_t *n, struct err *e)
{
    struct drip *d = (struct drip *)s;
    *n = d->n < d->step ? d->n : d->step;
    *p = d->p;
    d->p += *n;
    d->n -= *n;
    return !*n && d->fail ? err_set(e, ERR_SYSTEM, "the disk is gone") : 0;
}

static void drip_close(struct stream *s)
{
    struct drip *d = (struct drip *)s;
    if (d->closed)
        *d->closed = true;
    free(d);
}

static struct stream *drip(const void *p, size_t n, size_t step, bool fail, bool *closed)
{
    struct drip *d = calloc(1, sizeof *d);
    if (!d)
        abort();
    d->s.pull = drip_pull;
    d->s.close = drip_close;
    d->p = p;
    d->n = n;
    d->step = step;
    d->fail = fail;
    d->closed = closed;
    return &d->s;
}

/* Runs a compressor over p; false when there is none. */
static bool compress(const char *cmd, const struct buf *in, struct buf *out)
{
    char name[] = "/tmp/cairn-unpack-XXXXXX", line[256];
    int fd = mkstemp(name);
    if (fd < 0 || write(fd, in->p, in->len) != (ssize_t)in->len)
        abort();
    snprintf(line, sizeof line, "%s <%s 2>/dev/null", cmd, name);
    FILE *f = popen(line, "r");
    char b[4096];
    size_t n;
    out->len = 0;
    while (f && (n = fread(b, 1, sizeof b, f)) > 0)
        buf_append(out, b, n);
    int rc = f ? pclose(f) : -1;
    close(fd);
    unlink(name);
    return rc == 0 && out->len;
}

/* Unpacks; -1 with e, else 0 and the bytes in out. */
static int unpack(struct stream *in, const char *named, enum unpack_filters f, struct buf *out, struct err *e)
{
    struct stream *s;
    const uint8_t *p;
    size_t n;
    out->len = 0;
    *e = (struct err){0};
    if ((named ? unpack_open_named(in, named, &s, e) : unpack_open(in, f, &s, e)) < 0)
        return -1;
    int rc;
    while ((rc = stream_run(s, 70000, &p, &n, e)) == 0 && n)
        buf_append(out, p, n);
    stream_close(s);
    return rc;
}

static bool same(const struct buf *a, const struct buf *b)
{
    return a->len == b->len && (!a->len || !memcmp(a->p, b->p, a->len));
}

static void make_data(struct buf *b, size_t n)
{
    uint32_t x = 12345;
    b->len = 0;
    while (b->len < n) {
        char line[64];
        x = x * 1664525 + 1013904223;
        int k = snprintf(line, sizeof line, "%u some text that packs %x\n", x % 1000, x >> 8);
        buf_append(b, line, (size_t)k);
    }
}

static const struct {
    const char *name, *cmd;
    bool by_name, checks; /* a changed byte is found by a checksum */
    size_t slack;         /* bytes at the end that may be missing without anybody noticing */
} tools[] = {
    {"gzip", "gzip -c", true, true, 0},
    {"zstd", "zstd -q -c --check", true, true, 0},
    {"bzip2", "bzip2 -c", true, true, 0},
    {"xz", "xz -c", true, true, 0},
    {"lz4", "lz4 -q -c", true, true, 0},
    {"lzip", "lzip -c", true, true, 0},
    {"lzma", "xz -c --format=lzma", false, false, 0},
};

static void test_tool(size_t i, const struct buf *data)
{
    struct buf z = {0}, out = {0}, twice = {0};
    struct err e;
    const char *name = tools[i].name;
    if (!compress(tools[i].cmd, data, &z)) {
        printf("ok %d - %s # SKIP no program to make it\n", ++tap_run, name);
        return;
    }
    ok(unpack(drip(z.p, z.len, 1 << 20, false, NULL), NULL, UNPACK_ANY, &out, &e) == 0 && same(&out, data), "%s: %s",
       name, e.text);
    ok(unpack(drip(z.p, z.len, 1, false, NULL), NULL, UNPACK_ANY, &out, &e) == 0 && same(&out, data),
       "%s in single bytes: %s", name, e.text);
    if (tools[i].by_name)
        ok(unpack(drip(z.p, z.len, 999, false, NULL), name, UNPACK_ANY, &out, &e) == 0 && same(&out, data),
           "%s by name", name);

    size_t silent = 0, kinds = 0, step = z.len / 150 + 1;
    for (size_t cut = 16; cut<z.len; cut += z.len - cut> 40 ? step : 1) {
        int rc = unpack(drip(z.p, cut, 4096, false, NULL), NULL, UNPACK_ANY, &out, &e);
        silent += rc == 0;
        kinds += rc < 0 && e.kind != ERR_INPUT;
        if (rc == 0)
            printf("# %s: %zu of %zu bytes taken for whole\n", name, cut, z.len);
    }
    ok(!silent && !kinds, "%s cut off anywhere is ERR_INPUT", name);

    if (tools[i].checks) {
        size_t wrong = 0;
        for (size_t at = 0; at < z.len; at += step) {
            z.p[at] ^= 0x10;
            if (unpack(drip(z.p, z.len, 4096, false, NULL), name, UNPACK_ANY, &out, &e) == 0 && !same(&out, data))
                wrong++;
            z.p[at] ^= 0x10;
        }
        ok(!wrong, "%s: no changed byte gives other data", name);
    }

    buf_append(&twice, z.p, z.len);
    buf_append(&twice, "garbage that follows", 20);
    int rc = unpack(drip(twice.p, twice.len, 4096, false, NULL), NULL, UNPACK_ANY, &out, &e);
    ok(rc < 0 && e.kind == ERR_INPUT, "%s with garbage behind it is refused: %s", name, e.text);

    ok(unpack(drip(z.p, z.len / 2, 4096, true, NULL), NULL, UNPACK_ANY, &out, &e) < 0 && e.kind == ERR_SYSTEM,
       "%s: an error of the source comes through: %s", name, e.text);
    is_str(e.text, "the disk is gone", "%s: as it was", name);

    /* Compressed twice: one layer is taken off, as every image reader does. */
    if (compress(tools[i].cmd, &z, &twice))
        ok(unpack(drip(twice.p, twice.len, 4096, false, NULL), NULL, UNPACK_ANY, &out, &e) == 0 && same(&out, &z),
           "%s twice: unpacked once", name);

    struct buf none = {0};
    /* (libarchive 3.6.2 doesn't read the trailer of an empty lzip member, which is refused, then: nothing is lost by
     * it) */
    if (strcmp(name, "lzip") != 0 && compress(tools[i].cmd, &none, &twice)) {
        rc = unpack(drip(twice.p, twice.len, 4096, false, NULL), tools[i].by_name ? name : NULL, UNPACK_ANY, &out, &e);
        ok(rc == 0 && !out.len, "%s of nothing is nothing: %s", name, e.text);
        rc = unpack(drip(twice.p, twice.len - 1, 4096, false, NULL), tools[i].by_name ? name : NULL, UNPACK_ANY, &out,
                    &e);
        ok(rc < 0 && e.kind == ERR_INPUT, "%s of nothing, cut off: %s", name, e.text);
    }
    buf_release(&z);
    buf_release(&out);
    buf_release(&twice);
}

static void test_members(const struct buf *data)
{
    struct buf z = {0}, out = {0}, all = {0}, want = {0};
    struct err e;
    static const char *const cmds[] = {"gzip -c", "zstd -q -c", "xz -c", "bzip2 -c"};
    for (size_t i = 0; i < 4; i++) {
        if (!compress(cmds[i], data, &z))
            continue;
        all.len = want.len = 0;
        for (int k = 0; k < 3; k++) {
            buf_append(&all, z.p, z.len);
            buf_append(&want, data->p, data->len);
        }
        ok(unpack(drip(all.p, all.len, 777, false, NULL), NULL, UNPACK_ANY, &out, &e) == 0 && same(&out, &want),
           "%s: members one behind the other are read whole: %s", cmds[i], e.text);
        ok(unpack(drip(all.p, all.len - z.len / 2, 777, false, NULL), NULL, UNPACK_ANY, &out, &e) < 0 &&
               e.kind == ERR_INPUT,
           "%s: the last one cut off: %s", cmds[i], e.text);
        ok(unpack(drip(all.p, z.len * 2 + 1, 777, false, NULL), NULL, UNPACK_ANY, &out, &e) < 0 && e.kind == ERR_INPUT,
           "%s: the last one cut to a byte: %s", cmds[i], e.text);
    }
    buf_release(&z);
    buf_release(&out);
    buf_release(&all);
    buf_release(&want);
}

static void test_zstd_frames(const struct buf *data)
{
    static const uint8_t skip[] = {0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'};
    struct buf z = {0}, all = {0}, out = {0};
    struct err e;
    if (!compress("zstd -q -c", data, &z)) {
        printf("ok %d - zstd frames # SKIP no zstd\n", ++tap_run);
        return;
    }
    buf_append(&all, skip, sizeof skip);
    buf_append(&all, skip, sizeof skip);
    buf_append(&all, z.p, z.len);
    buf_append(&all, skip, sizeof skip);
    for (size_t step = 1; step < 20000; step = step * 3 + 1)
        ok(unpack(drip(all.p, all.len, step, false, NULL), NULL, UNPACK_LAYER, &out, &e) == 0 && same(&out, data),
           "zstd with skippable frames around, in steps of %zu: %s", step, e.text);
    ok(unpack(drip(all.p, all.len - 1, 100, false, NULL), NULL, UNPACK_LAYER, &out, &e) < 0 && e.kind == ERR_INPUT,
       "the last skippable frame cut off: %s", e.text);
    ok(unpack(drip(skip, sizeof skip, 100, false, NULL), NULL, UNPACK_LAYER, &out, &e) == 0 && !out.len,
       "a skippable frame alone is nothing: %s", e.text);
    ok(unpack(drip(skip, sizeof skip - 1, 100, false, NULL), NULL, UNPACK_LAYER, &out, &e) < 0 && e.kind == ERR_INPUT,
       "cut off: %s", e.text);
    if (compress("zstd -q -c --ultra --long=31", data, &z))
        ok(unpack(drip(z.p, z.len, 100, false, NULL), NULL, UNPACK_LAYER, &out, &e) == 0 || e.kind == ERR_INPUT,
           "a window of 2 GiB is read (the data are small) or refused: %s", e.text);
    buf_release(&z);
    buf_release(&all);
    buf_release(&out);
}

static void test_plain(void)
{
    struct buf out = {0}, in = {0};
    struct err e;
    struct stream *s;
    bool closed = false;
    make_data(&in, 5000);
    for (size_t step = 1; step < 6000; step = step * 5) {
        ok(unpack(drip(in.p, in.len, step, false, NULL), NULL, UNPACK_LAYER, &out, &e) == 0 && same(&out, &in),
           "plain data pass through in steps of %zu", step);
        ok(unpack(drip(in.p, 3, step, false, NULL), NULL, UNPACK_LAYER, &out, &e) == 0 && out.len == 3,
           "three bytes in steps of %zu", step);
    }
    ok(unpack(drip(in.p, 0, 1, false, NULL), NULL, UNPACK_ANY, &out, &e) == 0 && !out.len, "nothing is nothing");
    ok(unpack(drip(in.p, 0, 1, false, NULL), "gzip", UNPACK_ANY, &out, &e) < 0 && e.kind == ERR_INPUT,
       "but nothing isn't gzip: %s", e.text);
    ok(unpack(drip(in.p, in.len, 100, false, NULL), "gzip", UNPACK_ANY, &out, &e) < 0 && e.kind == ERR_INPUT,
       "text isn't gzip: %s", e.text);
    ok(unpack(drip(in.p, in.len, 100, false, NULL), "zstd", UNPACK_ANY, &out, &e) < 0 && e.kind == ERR_INPUT,
       "text isn't zstd: %s", e.text);
    ok(unpack(drip(in.p, in.len, 100, false, NULL), "xz", UNPACK_ANY, &out, &e) < 0 && e.kind == ERR_INPUT,
       "text isn't xz: %s", e.text);
    ok(unpack(drip(in.p, in.len, 100, false, NULL), "none", UNPACK_ANY, &out, &e) == 0 && same(&out, &in), "none");
    ok(unpack(drip(in.p, in.len, 100, false, &closed), "rar", UNPACK_ANY, &out, &e) < 0 && e.kind == ERR_UNSUPPORTED,
       "an unknown name");
    is_str(e.text, "compression 'rar' is unknown here (known: none, gzip, zstd, xz, bzip2, lz4, lzip)", "its message");
    ok(closed, "the stream is closed on failure");

    e = (struct err){0};
    struct stream *in_s = drip(in.p, in.len, 4096, false, NULL);
    ok(unpack_open(in_s, UNPACK_LAYER, &s, &e) == 0 && s == in_s && s->pos == 0, "plain data: the very same stream");
    stream_close(s);
    closed = false;
    ok(unpack(drip("BZh91AY&SYxxxxxxxxxxxx", 20, 100, false, &closed), NULL, UNPACK_LAYER, &out, &e) < 0 &&
           e.kind == ERR_UNSUPPORTED && closed,
       "bzip2 isn't for layers");
    is_str(e.text, "compressed with bzip2: an image's layers are plain tar, gzip or zstd", "its message");
    /* A tar whose first name is "]" looks a little like .lzma. */
    uint8_t tar[512] = "]";
    ok(unpack(drip(tar, sizeof tar, 4096, false, NULL), NULL, UNPACK_ANY, &out, &e) == 0 && out.len == sizeof tar,
       "a tar with a member \"]\" isn't lzma");
    buf_release(&in);
    buf_release(&out);
}

int main(void)
{
    struct buf data = {0};
    make_data(&data, 300000);
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++)
        test_tool(i, &data);
    test_members(&data);
    test_zstd_frames(&data);
    test_plain();
    buf_release(&data);
    return tap_done();
}

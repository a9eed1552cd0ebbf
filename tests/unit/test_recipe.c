/* SPDX-License-Identifier: MIT */
/* Recipes written and replayed: random parts in random pieces, and every malformed byte. */
#include "tap.h"
#include "tarmake.h"
#include "../../index/source/recipe.h"

struct made {
    struct buf out; /* what the replay gives: literals, and payload as text */
    size_t fail_at; /* refuse the byte at this offset (0: never) */
};

static int to_buf(void *ctx, const void *p, size_t n, struct err *e)
{
    (void)e;
    tm_bytes(ctx, p, n);
    return 0;
}

static int literal(void *ctx, const void *p, size_t n, struct err *e)
{
    struct made *m = ctx;
    tm_bytes(&m->out, p, n);
    return m->fail_at && m->out.len >= m->fail_at ? err_set(e, ERR_SYSTEM, "no room") : 0;
}

static int payload(void *ctx, uint32_t op, uint64_t off, uint64_t len, struct err *e)
{
    struct made *m = ctx;
    (void)e;
    if (buf_printf(&m->out, "<%u:%llu+%llu>", op, (unsigned long long)off, (unsigned long long)len) < 0)
        abort();
    return 0;
}

static int replay(const void *p, size_t n, uint64_t size, struct made *m, struct err *e)
{
    struct recipe_replay to = {.literal = literal, .payload = payload, .ctx = m, .size = size};
    struct stream *s;
    m->out.len = 0;
    *e = (struct err){0};
    if (stream_open_mem(p, n, &s, e) < 0)
        abort();
    int rc = recipe_replay(s, &to, e);
    stream_close(s);
    return rc;
}

static void test_parts(void)
{
    static const struct tar_fragment f[] = {{0, 10}, {10, 5}, {1ull << 40, 1}};
    struct buf r = {0};
    struct made m = {0};
    struct recipe *w;
    struct err e = {0};
    ok(recipe_new(to_buf, &r, &w, &e) == 0, "new");
    recipe_literal(w, "head", 4, &e);
    recipe_payload(w, 7, 1000, &e);
    recipe_literal(w, "\0\0\0x", 4, &e);
    recipe_fragments(w, 8, f, 3, &e);
    recipe_fragments(w, 9, f, 0, &e);
    recipe_payload(w, UINT32_MAX - 1, 1ull << 42, &e);
    ok(recipe_finish(w, &e) == 0, "finish");
    recipe_free(w);
    ok(replay(r.p, r.len, 1ull << 43, &m, &e) == 0, "replay %s", e.text);
    static const char want[] = "head<7:0+1000>\0\0\0x<8:0+10><8:10+5><8:1099511627776+1><4294967294:0+4398046511104>";
    ok(m.out.len == sizeof want - 1 && !memcmp(m.out.p, want, m.out.len), "parts in order");
    ok(replay(r.p, r.len, 2000, &m, &e) < 0 && e.kind == ERR_DAMAGED, "more than the tar's size");
    is_str(e.text, "recipe makes more than the layer's 2000 bytes", "its message");
    m.fail_at = 2;
    ok(replay(r.p, r.len, 1ull << 43, &m, &e) < 0 && e.kind == ERR_SYSTEM, "an error of the taker comes through");
    is_str(e.text, "no room", "as it was");
    m.fail_at = 0;
    size_t good = 0;
    for (size_t cut = 0; cut < r.len; cut++)
        good += replay(r.p, cut, 1ull << 43, &m, &e) == 0 || e.kind != ERR_DAMAGED;
    is_int(good, 0, "cut off anywhere is damage");
    buf_append(&r, "x", 1);
    ok(replay(r.p, r.len, 1ull << 43, &m, &e) < 0 && e.kind == ERR_DAMAGED, "bytes behind the end");
    r.p[4] = 2;
    ok(replay(r.p, r.len, 1ull << 43, &m, &e) < 0 && e.kind == ERR_UNSUPPORTED, "another version");
    is_str(e.text, "recipe of version 2: this program knows version 1", "its message");
    ok(replay("abcdefgh", 8, 100, &m, &e) < 0 && e.kind == ERR_DAMAGED, "no recipe");
    is_str(e.text, "not a recipe", "its message");
    buf_release(&r);
    buf_release(&m.out);
}

/* Random literals with runs of zeros around the lengths that matter, given in random pieces. */
static void test_literals(void)
{
    uint32_t x = 1;
    struct buf in = {0}, a = {0}, b = {0};
    struct made m = {0};
    struct err e = {0};
    size_t bad = 0, differ = 0, larger = 0;
    for (int round = 0; round < 200; round++) {
        in.len = 0;
        for (int k = 0; k < 60; k++) {
            x = x * 1664525 + 1013904223;
            size_t n = (x >> 8) % (round % 10 == 0 ? 3000 : 60);
            if (x >> 30 & 1)
                tm_zeros(&in, n);
            else
                for (size_t i = 0; i < n; i++)
                    tm_bytes(&in, "ABCDEFG" + (x + i) % 7, 1);
        }
        struct recipe *w;
        a.len = b.len = 0;
        recipe_new(to_buf, &a, &w, &e);
        recipe_literal(w, in.p, in.len, &e);
        recipe_finish(w, &e);
        recipe_free(w);
        recipe_new(to_buf, &b, &w, &e);
        for (size_t at = 0; at < in.len;) {
            x = x * 1664525 + 1013904223;
            size_t n = 1 + (x >> 8) % 100;
            if (n > in.len - at)
                n = in.len - at;
            recipe_literal(w, in.p + at, n, &e);
            at += n;
        }
        recipe_finish(w, &e);
        recipe_free(w);
        differ += a.len != b.len || memcmp(a.p, b.p, a.len) != 0;
        bad +=
            replay(a.p, a.len, in.len, &m, &e) < 0 || m.out.len != in.len || (in.len && memcmp(m.out.p, in.p, in.len));
        larger += a.len > in.len + 200;
    }
    is_int(bad, 0, "literals come back as they were");
    is_int(differ, 0, "how they are cut into calls doesn't matter");
    is_int(larger, 0, "a recipe isn't much longer than its literals");

    struct recipe *w;
    a.len = in.len = 0;
    tm_zeros(&in, 10 << 20);
    recipe_new(to_buf, &a, &w, &e);
    for (int i = 0; i < 100; i++)
        recipe_literal(w, in.p, in.len, &e);
    recipe_finish(w, &e);
    recipe_free(w);
    ok(a.len < 32, "a gigabyte of zeros takes %zu bytes", a.len);
    buf_release(&in);
    buf_release(&a);
    buf_release(&b);
    buf_release(&m.out);
}

static void test_malformed(void)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *what;
    } bad[] = {
        {"\x04", 1, "end with a number"},
        {"\x07\x00\x00\x00", 4, "payload of no bytes"},
        {"\x07\x01\x00\x00\x00", 5, "fragment of no bytes"},
        {"\x80\x00\x00", 3, "a number that is longer than need be"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x00", 11, "a number over 64 bits"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", 11, "an op number over 32 bits"},
        {"\x07\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01\x00", 14, "a fragment beyond 2^63"},
        {"\x02\x02", 2, "no end"},
    };
    struct made m = {0};
    struct err e;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf b = {0};
        tm_bytes(&b, "CRCP\1\0\0\0", 8);
        tm_bytes(&b, bad[i].bytes, bad[i].n);
        ok(replay(b.p, b.len, UINT64_MAX, &m, &e) < 0 && e.kind == ERR_DAMAGED, "%s: %s", bad[i].what, e.text);
        buf_release(&b);
    }
    buf_release(&m.out);
}

int main(void)
{
    test_parts();
    test_literals();
    test_malformed();
    return tap_done();
}

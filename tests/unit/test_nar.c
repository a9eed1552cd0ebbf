/* SPDX-License-Identifier: MIT */
/* nar: golden hashes, others' vectors, every kind of refusal with its message, and that whatever is accepted comes back
 * byte for byte. */
#include "renar.h"
#include "tap.h"

#include "../../index/io.h"
#include "../../index/limits.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static void tok(struct buf *b, const char *s)
{
    size_t n = strlen(s);
    buf_u64(b, n);
    buf_append(b, s, n);
    buf_append_zero(b, (8 - n % 8) % 8);
}

/* Words by spaces; "~" is the empty string. */
static struct buf words(const char *s)
{
    struct buf b = {0};
    char w[512];
    while (*s) {
        size_t n = strcspn(s, " ");
        snprintf(w, sizeof w, "%.*s", (int)n, s);
        tok(&b, strcmp(w, "~") ? w : "");
        s += n + (s[n] == ' ');
    }
    return b;
}

static void golden_one(const char *what, const char *text, size_t len, const char *hash)
{
    struct buf b = words(text);
    struct renar r;
    struct err e = {0};
    struct digest d;
    char got[DIGEST_NIX32_LEN + 1];
    is_int(renar_mem(b.p, b.len, &r, &e), 0, "%s parses %s", what, e.text);
    ok(renar_same(&r, b.p) && r.pos == b.len, "%s comes back", what);
    sha256_of(r.out.p, r.out.len, &d);
    nix32_encode(d.b, DIGEST_LEN, got);
    if (len)
        is_int(b.len, len, "%s length", what);
    is_str(got, hash, "%s hash", what);
    renar_release(&r);
    buf_release(&b);
}

static void golden(void)
{
    golden_one("empty dir", "nix-archive-1 ( type directory )", 96,
               "0sjjj9z1dhilhpc8pq4154czrb79z9cm044jvn75kxcjv6v5l2m5");
    golden_one("hi", "nix-archive-1 ( type regular contents hi\n )", 120,
               "1xmr8jicvzszfzpz46g37mlpvbzjl2wpwvl2b05psipssyp1sm8h");
    golden_one("hello", "nix-archive-1 ( type regular contents hello\n )", 120,
               "04zwf782yjwnh3q6hz5izfd6jyip8kgw6g6yj43fiqhbyhdd0dqw");
    golden_one("symlink", "nix-archive-1 ( type symlink target /bin )", 0,
               "0z2mdmkd43l0ijdxfbj1y8vzli15yh9b09n3a3rrygmjshbyypsw");
    golden_one("dangling symlink", "nix-archive-1 ( type symlink target /non-existent-48cujwe8ndf4as0bne )", 0,
               "1bl5ry3x1fcbwgr5c2x50bn572iixh4j1p6ax5isxly2ddgn8pbp");
    struct buf b = words("nix-archive-1 ( type regular contents ~ )");
    struct digest d;
    char hex[DIGEST_HEX_LEN + 1];
    sha256_of(b.p, b.len, &d);
    digest_hex(&d, hex);
    is_int(b.len, 112, "empty file length");
    is_str(hex, "77ac62e2629d8e45f624589c0c8bf99e24b3a722349bf1e79bc186008534e246", "empty file hash");
    buf_release(&b);
}

/* Where the fast writers of other programs expect lengths and contents. */
static void offsets(void)
{
    struct buf b = words("nix-archive-1 ( type regular contents hello\n )");
    is_int(get_u64(b.p + 88), 6, "single file: length at 88");
    ok(!memcmp(b.p + 96, "hello\n", 6), "contents at 96");
    buf_release(&b);
    b = words("nix-archive-1 ( type regular executable ~ contents hello\n )");
    is_int(get_u64(b.p + 120), 6, "executable: length at 120");
    buf_release(&b);
    b = words("nix-archive-1 ( type directory entry ( name a node ( type regular contents hello\n ) ) )");
    ok(!memcmp(b.p + 232 + 56, "hello\n", 6) || !memcmp(b.p + 232, "hello\n", 6), "first entry's contents");
    buf_release(&b);
}

static void refused(const char *what, const void *p, size_t n, enum err_kind kind, const char *text)
{
    struct renar r;
    struct err e = {0};
    is_int(renar_mem(p, n, &r, &e), -1, "refused: %s", what);
    is_int(e.kind, kind, "%s: kind", what);
    ok(strstr(e.text, text) != NULL, "%s: says '%s' (%s)", what, text, e.text);
    renar_release(&r);
}

static void bad_words(const char *what, const char *text, const char *msg)
{
    struct buf b = words(text);
    refused(what, b.p, b.len, ERR_INPUT, msg);
    buf_release(&b);
}

#define FILE_       "( type regular contents x )"
#define ENTRY(name) "entry ( name " name " node " FILE_ " )"
#define DIR_(in)    "nix-archive-1 ( type directory " in " )"

static void refusals(void)
{
    bad_words("magic", "nix-archive-2 ( type directory )", "offset 0: expected 'nix-archive-1', got 'nix-archive-2'");
    bad_words("type", "nix-archive-1 ( type fifo )",
              "expected the type 'regular', 'symlink' or 'directory', got 'fifo'");
    bad_words("twice", DIR_(ENTRY("a") " " ENTRY("a")), "at 'a': directory has the name 'a' twice");
    bad_words("order", DIR_(ENTRY("b") " " ENTRY("a")), "directory is not sorted: 'a' follows 'b'");
    bad_words("prefix order", DIR_(ENTRY("ab") " " ENTRY("a")), "directory is not sorted: 'a' follows 'ab'");
    bad_words("empty name", DIR_(ENTRY("~")), "an entry's name is empty");
    bad_words("dot", DIR_(ENTRY(".")), "an entry has the name '.', which no file can have");
    bad_words("dot dot", DIR_(ENTRY("..")), "an entry has the name '..'");
    bad_words("slash", DIR_(ENTRY("a/b")), "an entry has the name 'a/b'");
    bad_words("node before name", DIR_("entry ( node " FILE_ " name a )"), "expected 'name', got 'node'");
    bad_words("no node", DIR_("entry ( name a )"), "at 'a': expected 'node', got ')'");
    bad_words("junk in directory", DIR_("target x"), "expected 'entry' or ')', got 'target'");
    bad_words("no contents", "nix-archive-1 ( type regular )", "expected 'executable' or 'contents', got ')'");
    bad_words("executable later", "nix-archive-1 ( type regular contents x executable ~ )",
              "expected ')', got 'executable'");
    bad_words("executable twice", "nix-archive-1 ( type regular executable ~ executable ~ contents x )",
              "expected 'contents', got 'executable'");
    bad_words("value of executable", "nix-archive-1 ( type regular executable x contents x )",
              "expected an empty value of 'executable', got 'x'");
    bad_words("empty target", "nix-archive-1 ( type symlink target ~ )", "symlink target is empty");
    bad_words("long keyword", "nix-archive-1 ( type 123456789012345678901234567890123 )",
              "keyword of 33 bytes, at most 32 are allowed");
    bad_words("nested path", DIR_("entry ( name d node ( type directory entry ( name e node ( type x ) ) ) )"),
              "at 'd/e': expected the type");
    bad_words("control bytes are shown", DIR_(ENTRY("b") " entry ( name a\nz node " FILE_ " )"),
              "'a\\x0az' follows 'b'");
}

static void limits(void)
{
    struct buf b = {0};
    struct renar r;
    struct err e = {0};
    char name[300], target[4200];
    for (int depth = LIMIT_NAR_DEPTH - 1; depth <= LIMIT_NAR_DEPTH; depth++) { /* nodes down to this depth */
        buf_release(&b);
        tok(&b, "nix-archive-1");
        for (int i = 0; i < depth; i++) {
            const char *t[] = {"(", "type", "directory", "entry", "(", "name", "d", "node"};
            for (size_t k = 0; k < 8; k++)
                tok(&b, t[k]);
        }
        for (const char *t = "( type directory )"; *t; t += strcspn(t, " ") + (strchr(t, ' ') != NULL)) {
            snprintf(name, sizeof name, "%.*s", (int)strcspn(t, " "), t);
            tok(&b, name);
        }
        for (int i = 0; i < depth; i++) {
            tok(&b, ")");
            tok(&b, ")");
        }
        if (depth < LIMIT_NAR_DEPTH) {
            is_int(renar_mem(b.p, b.len, &r, &e), 0, "%d levels: %s", depth, e.text);
            ok(renar_same(&r, b.p), "come back");
            renar_release(&r);
        } else
            refused("too deep", b.p, b.len, ERR_LIMIT, "directories are nested more than 64 deep");
    }
    for (size_t n = 255; n <= 256; n++) {
        buf_release(&b);
        b = words("nix-archive-1 ( type directory entry ( name");
        memset(name, 'n', n);
        name[n] = 0;
        tok(&b, name);
        struct buf rest = words("node " FILE_ " ) )");
        buf_append(&b, rest.p, rest.len);
        buf_release(&rest);
        if (n == 255) {
            is_int(renar_mem(b.p, b.len, &r, &e), 0, "name of 255");
            renar_release(&r);
        } else
            refused("name of 256", b.p, b.len, ERR_INPUT, "name of 256 bytes, at most 255 are allowed");
    }
    for (size_t n = 4095; n <= 4096; n++) {
        buf_release(&b);
        b = words("nix-archive-1 ( type symlink target");
        memset(target, 't', n);
        target[n] = 0;
        tok(&b, target);
        tok(&b, ")");
        if (n == 4095) {
            is_int(renar_mem(b.p, b.len, &r, &e), 0, "target of 4095: %s", e.text);
            ok(renar_same(&r, b.p), "comes back");
            renar_release(&r);
        } else
            refused("target of 4096", b.p, b.len, ERR_INPUT, "symlink target of 4096 bytes, at most 4095 are allowed");
    }
    buf_release(&b);
}

/* Cut at every length: always an error, never a crash; and followed by more: what follows stays unread. */
static void cuts(void)
{
    struct buf b = words(DIR_("entry ( name l node ( type symlink target xyz ) ) " ENTRY("m")));
    struct renar r;
    unsigned wrong = 0;
    for (size_t n = 0; n < b.len; n++) {
        struct err e = {0};
        wrong += renar_mem(b.p, n, &r, &e) == 0 || e.kind != ERR_INPUT || !strstr(e.text, "truncated");
        renar_release(&r);
    }
    is_int(wrong, 0, "every cut is an error that says so");
    size_t n = b.len;
    struct err e = {0};
    buf_append(&b, "more", 4);
    is_int(renar_mem(b.p, b.len, &r, &e), 0, "with bytes behind it");
    is_int(r.pos, n, "those stay unread");
    renar_release(&r);
    buf_release(&b);
}

/* Every byte of a seed changed in several ways: refused, or comes back as it is. */
static unsigned mutate(const struct buf *seed, unsigned *accepted)
{
    static const uint8_t with[] = {1, 2, 0x20, 0x80, 0xff};
    unsigned wrong = 0;
    uint8_t *p = malloc(seed->len);
    for (size_t i = 0; p && i < seed->len; i++)
        for (size_t k = 0; k < sizeof with; k++) {
            struct err e = {0};
            struct renar r;
            memcpy(p, seed->p, seed->len);
            p[i] ^= with[k];
            if (!renar_mem(p, seed->len, &r, &e)) {
                ++*accepted;
                wrong += !renar_same(&r, p);
            } else
                wrong += e.kind != ERR_INPUT && e.kind != ERR_LIMIT;
            renar_release(&r);
        }
    free(p);
    return wrong;
}

/* What must be refused of others' vectors, and why. */
static const struct {
    const char *file, *why;
} vectors[] = {
    {"functional-duplicate.nar", "twice"},
    {"head-dot.nar", "name '.'"},
    {"head-dotdot.nar", "name '..'"},
    {"head-empty.nar", "name is empty"},
    {"head-executable-after-contents.nar", "got 'executable'"},
    {"head-invalid-tag-instead-of-contents.nar", "expected 'executable' or 'contents'"},
    {"head-name-after-node.nar", "expected 'name', got 'node'"},
    {"head-nul-character.nar", "NUL byte"},
    {"head-regular-one-byte-non-zero-padding.nar", "padding is not zero"},
    {"head-regular-truncated-large-contents.nar", "file of 18446744073709551615 bytes"},
    {"head-regular-truncated-padding.nar", "truncated"},
    {"head-slash.nar", "which no file can have"},
};

static void vector(int dirfd, const char *file)
{
    struct buf b = {0};
    struct err e = {0};
    struct renar r;
    const char *why = NULL;
    unsigned accepted = 0;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        if (!strcmp(vectors[i].file, file))
            why = vectors[i].why;
    if (io_read_file(dirfd, file, 1 << 20, &b, &e) < 0) {
        ok(0, "%s", e.text);
        return;
    }
    int rc = renar_mem(b.p, b.len, &r, &e);
    if (why) {
        is_int(rc, -1, "%s is refused", file);
        ok(strstr(e.text, why) != NULL, "%s: says '%s' (%s)", file, why, e.text);
    } else {
        is_int(rc, 0, "%s is accepted %s", file, e.text);
        ok(!rc && r.pos == b.len && renar_same(&r, b.p), "%s comes back", file);
    }
    is_int(mutate(&b, &accepted), 0, "%s: changed bytes are refused or come back (%u did)", file, accepted);
    renar_release(&r);
    buf_release(&b);
}

static void all_vectors(void)
{
    char path[4096];
    const char *data = getenv("CAIRN_DATA");
    snprintf(path, sizeof path, "%s/nar", data ? data : "../shared/data");
    DIR *d = opendir(path);
    if (!d) {
        printf("ok %d - others' vectors # SKIP no %s\n", ++tap_run, path);
        return;
    }
    for (const struct dirent *de; (de = readdir(d)) != NULL;)
        if (strlen(de->d_name) > 4 && !strcmp(de->d_name + strlen(de->d_name) - 4, ".nar"))
            vector(dirfd(d), de->d_name);
    closedir(d);
}

static void writer(void)
{
    struct renar r = {0};
    struct err e = {0};
    nar_writer_begin(&r.w, renar_write, &r, &e);
    is_int(nar_writer_file_begin(&r.w, false, 3, &e), 0, "a file of 3 bytes");
    is_int(nar_writer_data(&r.w, "abcd", 4, &e), -1, "doesn't take 4");
    is_str(e.text, "file has more than the 3 bytes that it was to have", "message");
    is_int(nar_writer_data(&r.w, "ab", 2, &e), 0, "takes 2");
    is_int(nar_writer_file_end(&r.w, &e), -1, "but can't end with them");
    is_str(e.text, "file is 1 bytes shorter than the 3 that it was to have", "message");
    renar_release(&r);
}

int main(void)
{
    golden();
    offsets();
    refusals();
    limits();
    cuts();
    writer();
    all_vectors();
    return tap_done();
}

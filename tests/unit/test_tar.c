/* SPDX-License-Identifier: MIT */
/*
 * The tar reader against what Go's archive/tar is tested with (reader_test.go: which file gives which entries, which is
 * refused, where a cut archive ends cleanly), and against archives made here. Covers: tar_pax, tar_sparse.
 */
#include "tap.h"
#include "tarmake.h"
#include "../../index/source/tar.h"
#include "../../index/source/unpack.h"
#include "../../index/limits.h"

#include <glob.h>
#include <inttypes.h>

/* Gives at most `step` bytes a run. */
struct steps {
    struct stream s;
    const uint8_t *p;
    size_t n, step;
};

static int steps_pull(struct stream *s, const uint8_t **p, size_t *n, struct err *e)
{
    struct steps *d = (struct steps *)s;
    (void)e;
    *n = d->n < d->step ? d->n : d->step;
    *p = d->p;
    d->p += *n;
    d->n -= *n;
    return 0;
}

static void steps_close(struct stream *s)
{
    (void)s;
}

static int keep_literal(void *ctx, const void *p, size_t n, struct err *e)
{
    (void)e;
    tm_bytes(ctx, p, n);
    return 0;
}

struct reading {
    int entries;
    bool refused, whole; /* whole: literals and payload are the archive */
    struct err err;
    struct buf list; /* a line an entry */
    struct buf data; /* of the last file, holes as zeros */
};

static void release(struct reading *r)
{
    buf_release(&r->list);
    buf_release(&r->data);
}

static void describe(struct reading *r, const struct tar_entry *en)
{
    buf_printf(&r->list, "%c %s", en->type, en->name);
    if (en->link_len)
        buf_printf(&r->list, " -> %s", en->link);
    buf_printf(&r->list, " %" PRIo64 " %" PRId64 ":%" PRId64 " %" PRIu64 " %" PRId64, en->mode, en->uid, en->gid,
               en->size, en->mtime);
    if (en->mtime_nsec)
        buf_printf(&r->list, ".%09u", en->mtime_nsec);
    if (en->devmajor || en->devminor)
        buf_printf(&r->list, " dev %" PRId64 ",%" PRId64, en->devmajor, en->devminor);
    for (size_t i = 0; i < en->xattr_count; i++)
        buf_printf(&r->list, " %.*s=%.*s", (int)en->xattrs[i].name_len, en->xattrs[i].name,
                   (int)en->xattrs[i].value_len, (const char *)en->xattrs[i].value);
    buf_printf(&r->list, "\n");
}

/* Reads an archive; read_data false: payload is left to the reader, which gives it as literals. */
static void read_tar(const void *p, size_t n, size_t step, bool read_data, struct reading *r)
{
    struct steps s = {.s = {.pull = steps_pull, .close = steps_close}, .p = p, .n = n, .step = step};
    struct buf all = {0};
    struct tar *t;
    const struct tar_entry *en;
    *r = (struct reading){0};
    buf_printf(&r->list, "%s", "");
    if (tar_open(&s.s, keep_literal, &all, &t, &r->err) < 0)
        abort();
    for (;;) {
        if (tar_next(t, &en, &r->err) < 0) {
            r->refused = true;
            break;
        }
        if (!en)
            break;
        r->entries++;
        describe(r, en);
        r->data.len = 0;
        if (!read_data || en->size > 1 << 20)
            continue;
        uint64_t off;
        const uint8_t *q;
        size_t k;
        int rc;
        while ((rc = tar_data(t, &off, &q, &k, &r->err)) == 0 && k) {
            tm_zeros(&r->data, (size_t)off - r->data.len);
            tm_bytes(&r->data, q, k);
            tm_bytes(&all, q, k);
        }
        if (rc < 0) {
            r->refused = true;
            break;
        }
        tm_zeros(&r->data, (size_t)en->size - r->data.len);
    }
    if (!r->refused && tar_drain(t, &r->err) == 0)
        r->whole = all.len == n && (!n || !memcmp(all.p, p, n));
    tar_close(t);
    buf_release(&all);
}

static const char *list(const struct reading *r)
{
    return (const char *)r->list.p;
}

/* --- Go's own test data --- */

static const struct {
    const char *file;
    int entries;      /* -1: refused */
    const char *says; /* list or part of the error; NULL: not looked at */
} go_files[] = {
    {"gnu.tar", 2, "0 small.txt 640 73025:5000 5 1244428340\n0 small2.txt 640 73025:5000 11 1244436044\n"},
    {"sparse-formats.tar", 5,
     "S sparse-gnu 644 1000:1000 200 1392395740\n0 sparse-posix-0.0 644 1000:1000 200 1392342187\n"
     "0 sparse-posix-0.1 644 1000:1000 200 1392340456\n0 sparse-posix-1.0 644 1000:1000 200 1392337404\n"
     "0 end 644 1000:1000 4 1392398319\n"},
    {"star.tar", 2, "0 small.txt 640 73025:5000 5 1244592783\n0 small2.txt 640 73025:5000 11 1244592783\n"},
    {"v7.tar", 2, "0 small.txt 444 73025:5000 5 1244593104\n0 small2.txt 444 73025:5000 11 1244593104\n"},
    {"pax.tar", 2, NULL},
    {"pax-bad-hdr-file.tar", -1, "entry 1 at offset 0: malformed PAX header"},
    {"pax-bad-hdr-large.tar.bz2", -1, "over the limit"},
    {"pax-bad-mtime-file.tar", -1, "malformed PAX header: bad time"},
    {"pax-pos-size-file.tar", 1, "0 foo 640 319973:5000 999 1442282516\n"},
    {"pax-records.tar", 1, "0 file 0 0:0 0 0\n"},
    {"pax-global-records.tar", 4,
     "0 file1 0 0:0 0 0\n0 file2 0 0:0 0 0\n0 file3 0 0:0 0 0\n0 file4 0 0:0 0 1400000000\n"},
    {"nil-uid.tar", 1, "0 P1050238.JPG.log 664 0:0 14 1365454838\n"},
    {"xattrs.tar", 2, NULL},
    {"gnu-multi-hdrs.tar", 1, "2 GNU2/GNU2/long-path-name -> GNU4/GNU4/long-linkpath-name 0 0:0 0 0\n"},
    {"gnu-incremental.tar", 3,
     "D test2/ 40755 1000:1000 14 1441973427\n0 test2/foo 100644 1000:1000 64 1441973363\n"
     "S test2/sparse 100644 1000:1000 536870912 1441973427\n"},
    {"pax-multi-hdrs.tar", 1, "2 bar -> PAX4/PAX4/long-linkpath-name 0 0:0 0 0\n"},
    {"gnu-long-nul.tar", 1, "0 0123456789 644 1000:1000 0 1486082191\n"},
    {"gnu-utf8.tar", 1, NULL},
    {"gnu-not-utf8.tar", 1,
     "0 hi\x80\x81\x82\x83"
     "bye 644 1000:1000 0 0\n"},
    {"pax-nul-xattrs.tar", -1, "NUL byte in a key"},
    {"pax-nul-path.tar", -1, "NUL byte in a name"},
    {"neg-size.tar", -1, "malformed number in the header"},
    {"issue10968.tar", -1, NULL},
    {"issue11169.tar", -1, NULL},
    {"issue12435.tar", -1, NULL},
    {"invalid-go17.tar", 1, NULL},
    {"ustar-file-devs.tar", 1, "0 file 644 0:0 0 0 dev 1,1\n"},
    {"gnu-nil-sparse-data.tar", 1, "S sparse.db 0 0:0 1000 0\n"},
    {"gnu-nil-sparse-hole.tar", 1, "S sparse.db 0 0:0 1000 0\n"},
    {"pax-nil-sparse-data.tar", 1, "0 sparse.db 0 0:0 1000 0\n"},
    {"pax-nil-sparse-hole.tar", 1, "0 sparse.db 0 0:0 1000 0\n"},
    {"trailing-slash.tar", 1, NULL},
    {"hdr-only.tar", 16, NULL},
    {"gnu-sparse-big.tar", 1, NULL},
    {"pax-sparse-big.tar", 1, NULL},
    {"hardlink.tar", 2, "0 file.txt 644 1000:100 15 1425484303\n1 hard.txt -> file.txt 644 1000:100 0 1425484303\n"},
    {"file-and-dir.tar", 2, NULL},
    {"writer.tar", 3, NULL},
    {"pax-path-hdr.tar", 0, ""},
};

static bool go_file(const char *dir, const char *name, struct buf *out)
{
    char path[512];
    struct err e = {0};
    struct stream *raw, *s;
    const uint8_t *p;
    size_t n;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "r");
    struct buf b = {0};
    uint8_t piece[4096];
    out->len = 0;
    if (!f)
        return false;
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        tm_bytes(&b, piece, n);
    fclose(f);
    if (stream_open_mem(b.p, b.len, &raw, &e) < 0 || unpack_open(raw, UNPACK_ANY, &s, &e) < 0)
        abort();
    while (stream_run(s, SIZE_MAX, &p, &n, &e) == 0 && n)
        tm_bytes(out, p, n);
    stream_close(s);
    buf_release(&b);
    return true;
}

static void test_go_file(const char *dir, size_t i)
{
    struct buf b = {0};
    struct reading r;
    const char *name = go_files[i].file;
    if (!go_file(dir, name, &b)) {
        printf("ok %d - %s # SKIP not in this Go\n", ++tap_run, name);
        return;
    }
    static const size_t steps[] = {SIZE_MAX, 1000, 7};
    for (size_t k = 0; k < 3; k++) {
        read_tar(b.p, b.len, steps[k], k != 1, &r);
        if (go_files[i].entries < 0) {
            ok(r.refused && (r.err.kind == ERR_INPUT || r.err.kind == ERR_LIMIT), "%s is refused: %s", name,
               r.err.text);
            if (go_files[i].says)
                ok(strstr(r.err.text, go_files[i].says), "%s says why", name);
        } else {
            ok(!r.refused && r.entries == go_files[i].entries, "%s: %d entries %s", name, r.entries, r.err.text);
            ok(r.whole, "%s: literals and payload are the archive", name);
            if (go_files[i].says)
                is_str(list(&r), go_files[i].says, "%s: entries", name);
        }
        release(&r);
    }
    buf_release(&b);
}

/* reader_test.go, TestReadTruncation. */
static const struct {
    const char *file;
    long cut;         /* -1: whole */
    int trash, zeros; /* bytes added behind: zeros first */
    int entries;
    bool refused;
} cuts[] = {
    {"gnu.tar", 0, 0, 0, 0, false},
    {"gnu.tar", 511, 0, 0, 0, true},
    {"gnu.tar", 512, 0, 0, 1, true},
    {"gnu.tar", 1024, 0, 0, 1, false},
    {"gnu.tar", 1536, 0, 0, 2, true},
    {"gnu.tar", 2048, 0, 0, 2, false},
    {"gnu.tar", -1, 0, 0, 2, false},
    {"ustar-file-reg.tar", 511, 0, 0, 0, true},
    {"ustar-file-reg.tar", 512, 0, 0, 1, true},
    {"ustar-file-reg.tar", 1195, 0, 0, 1, true},
    {"ustar-file-reg.tar", 1196, 0, 0, 1, false},
    {"ustar-file-reg.tar", 1200, 0, 0, 1, false},
    {"ustar-file-reg.tar", 1535, 0, 0, 1, false},
    {"ustar-file-reg.tar", 1536, 0, 0, 1, false},
    {"ustar-file-reg.tar", 1536, 1, 0, 1, true},
    {"ustar-file-reg.tar", 1536, 511, 0, 1, true},
    {"ustar-file-reg.tar", 1536, 512, 0, 1, true},
    {"ustar-file-reg.tar", 1536, 0, 512, 1, false},
    {"ustar-file-reg.tar", 1536, 1, 512, 1, true},
    {"ustar-file-reg.tar", 1536, 511, 512, 1, true},
    {"ustar-file-reg.tar", 1536, 512, 512, 1, true},
    {"ustar-file-reg.tar", 1536, 0, 1024, 1, false},
    {"ustar-file-reg.tar", 1536, 1, 1024, 1, false},
    {"ustar-file-reg.tar", 1536, 511, 1024, 1, false},
    {"ustar-file-reg.tar", 1536, 512, 1024, 1, false},
    {"ustar-file-reg.tar", 1536, 0, 1536, 1, false},
    {"pax-path-hdr.tar", -1, 0, 0, 0, false},
    {"pax-path-hdr.tar", -1, 1, 0, 0, true},
    {"pax-path-hdr.tar", -1, 511, 0, 0, true},
    {"sparse-formats.tar", 511, 0, 0, 0, true},
    {"sparse-formats.tar", 512, 0, 0, 0, true},
    {"sparse-formats.tar", 3584, 0, 0, 1, false},
    {"sparse-formats.tar", 9200, 0, 0, 1, false},
    {"sparse-formats.tar", 9216, 0, 0, 1, false},
    {"sparse-formats.tar", 9728, 0, 0, 2, true},
    {"sparse-formats.tar", 10240, 0, 0, 2, false},
    {"sparse-formats.tar", 11264, 0, 0, 2, true},
    {"sparse-formats.tar", -1, 0, 0, 5, false},
    {"sparse-formats.tar", -1, 512, 0, 5, false},
};

static void test_cut(const char *dir, size_t i)
{
    struct buf b = {0};
    struct reading r;
    if (!go_file(dir, cuts[i].file, &b)) {
        printf("ok %d - %s # SKIP not in this Go\n", ++tap_run, cuts[i].file);
        return;
    }
    if (cuts[i].cut >= 0)
        b.len = (size_t)cuts[i].cut;
    tm_zeros(&b, (size_t)cuts[i].zeros);
    for (int k = 0; k < cuts[i].trash; k++)
        tm_bytes(&b, "garbage " + k % 8, 1);
    read_tar(b.p, b.len, 4096, true, &r);
    ok(r.refused == cuts[i].refused && r.entries == cuts[i].entries, "%s cut at %ld, %d zeros, %d trash: %d entries %s",
       cuts[i].file, cuts[i].cut, cuts[i].zeros, cuts[i].trash, r.entries, r.err.text);
    ok(r.refused || r.whole, "nothing is lost");
    ok(!r.refused || r.err.kind == ERR_INPUT, "refused as input");
    release(&r);
    buf_release(&b);
}

static void test_go(void)
{
    glob_t g;
    if (glob("/usr/share/go-*/src/archive/tar/testdata", 0, NULL, &g) != 0) {
        printf("ok %d - Go's test data # SKIP Go's source isn't installed (golang-src)\n", ++tap_run);
        return;
    }
    const char *dir = g.gl_pathv[g.gl_pathc - 1];
    for (size_t i = 0; i < sizeof go_files / sizeof *go_files; i++)
        test_go_file(dir, i);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
        test_cut(dir, i);
    globfree(&g);
}

/* --- archives made here --- */

/* Reads b in several ways; all must agree. Empties b. */
static void check(struct buf *b, const char *want, const char *what)
{
    struct reading r;
    static const size_t steps[] = {SIZE_MAX, 513, 1};
    for (size_t k = 0; k < 3; k++) {
        read_tar(b->p, b->len, steps[k], k != 1, &r);
        if (r.refused)
            is_str(r.err.text, want, "%s", what);
        else
            is_str(list(&r), want, "%s", what);
        ok(r.refused || r.whole, "%s: whole", what);
        release(&r);
    }
    b->len = 0;
}

/* As check, for what must be refused with this kind. */
static void refuse(struct buf *b, enum err_kind kind, const char *want, const char *what)
{
    struct reading r;
    read_tar(b->p, b->len, 512, true, &r);
    ok(r.refused && r.err.kind == kind, "%s: refused", what);
    is_str(r.err.text, want, "%s: message", what);
    release(&r);
    b->len = 0;
}

static void test_overrides(struct buf *b)
{
    TM_PAX(b, "path=long/name", "size=3", "uid=5000000000", "gid=-1", "mtime=-1.25");
    tm_header(b, "x", '0', 0);
    tm_bytes(b, "abc", 3);
    tm_pad(b);
    tm_file(b, "y", "yy");
    tm_end(b);
    check(b, "0 long/name 644 5000000000:-1 3 -2.750000000\n0 y 644 1000:1001 2 1524696343\n", "PAX overrides, once");

    TM_PAX(b, "mtime=junk", "mtime=-0.5", "path=a", "path=b", "SCHILY.xattr.user.k=1", "SCHILY.xattr.user.b=x",
           "SCHILY.xattr.user.k=2", "SCHILY.xattr.user.gone=1",
           "SCHILY.xattr.user.gone=", "LIBARCHIVE.xattr.user.z=AA");
    tm_header(b, "x", '0', 0);
    check(b, "0 b 644 1000:1001 0 -1.500000000 user.b=x user.k=2\n", "of several records the last counts");

    TM_PAX(b, "path=from-pax", "linkpath=pax-target");
    tm_meta(b, 'L', "from-gnu\0rest", 13);
    tm_meta(b, 'K', "gnu-target", 10);
    tm_link(b, "x", '2', "t");
    tm_end(b);
    check(b, "2 from-gnu -> gnu-target 644 1000:1001 0 1524696343\n", "GNU long names win over PAX");

    TM_PAX(b, "path=lost");
    tm_meta(b, 'g', "12 path=glo\n", 12);
    tm_file(b, "x", "");
    check(b, "0 x 644 1000:1001 0 1524696343\n", "a global header counts for nothing and voids what stood before it");

    TM_PAX(b, "path=", "mtime=", "size=");
    tm_file(b, "x", "1");
    check(b, "0 x 644 1000:1001 1 1524696343\n", "empty values keep the header's");

    size_t h = tm_header(b, "old/dir/", '\0', 1024);
    tm_field(b, h, 257, "\0\0\0\0\0\0\0\0", 8);
    h = tm_header(b, "old/file", '\0', 0);
    tm_field(b, h, 257, "\0\0\0\0\0\0\0\0", 8);
    check(b, "5 old/dir/ 644 1000:1001 0 1524696343\n0 old/file 644 1000:1001 0 1524696343\n",
          "type NUL: file, or directory by its slash, and then without data");

    h = tm_header(b, "name", '5', 4096);
    tm_field(b, h, 345, "some/prefix", 11);
    tm_field(b, h, 108, "\x80\0\0\x01\0\0\0\0", 8);
    tm_field(b, h, 136, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", 12);
    check(b, "5 some/prefix/name 644 4294967296:1001 0 -2\n",
          "prefix, base 256, negative too; a directory has no data");
}

static void test_refusals(struct buf *b)
{
    size_t h;
    tm_file(b, "good", "x");
    h = tm_header(b, "bad", '0', 0);
    b->p[h + 5] = 'x';
    refuse(b, ERR_INPUT, "entry 2 at offset 1024: not a tar header: its checksum is wrong", "checksum");
    tm_file(b, "good", "x");
    tm_zeros(b, 512);
    tm_file(b, "more", "");
    refuse(b, ERR_INPUT, "entry 2 at offset 1024: a single block of zeros in the middle of the archive", "zero block");
    h = tm_header(b, "neg", '0', 0);
    tm_field(b, h, 124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfb", 12);
    refuse(b, ERR_INPUT, "entry 1 at offset 0: negative size -5", "negative size");
    TM_PAX(b, "size=-5");
    tm_header(b, "neg", '0', 0);
    refuse(b, ERR_INPUT, "entry 1 'neg' at offset 0: negative size -5", "negative PAX size");
    tm_header(b, "short\n", '0', 10);
    tm_bytes(b, "abc", 3);
    refuse(b, ERR_INPUT, "entry 1 'short\\x0a' at offset 0: truncated: 7 of the entry's 10 bytes are missing",
           "cut payload");
    tm_header(b, "x", 'x', 100);
    tm_bytes(b, "10 a=b", 6);
    refuse(b, ERR_INPUT, "entry 1 at offset 0: PAX header: truncated: 100 bytes wanted at offset 512, 6 left",
           "cut PAX");
    tm_header(b, "x", 'x', LIMIT_TAR_SPECIAL + 1);
    refuse(b, ERR_LIMIT, "entry 1 at offset 0: PAX header of 1048577 bytes: over the limit of 1048576", "large PAX");
    tm_header(b, "x", 'L', 1ull << 32);
    refuse(b, ERR_LIMIT, "entry 1 at offset 0: GNU long name of 4294967296 bytes: over the limit of 1048576",
           "large name");
    h = tm_header(b, "x", '0', 0);
    tm_field(b, h, 108, "0000 9", 6);
    refuse(b, ERR_INPUT, "entry 1 at offset 0: malformed number in the header", "uid that is none");

    static const char *const bad[] = {"5 a=b\n",  "6 a=b",   "6 a=bc",   "06 a=b\nx", "a=b\n",
                                      "-6 a=b\n", "6 =b\nx", "6  =bb\n", "6 abcd\n",  "3 \n",
                                      "99 a=b\n", "4 a\n",   "",         " 6 a=b\n",  "6.0 a=b\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bool fine = !bad[i][0]; /* no record at all is fine */
        tm_meta(b, 'x', bad[i], strlen(bad[i]));
        tm_file(b, "x", "");
        if (fine)
            check(b, "0 x 644 1000:1001 0 1524696343\n", "an empty PAX header");
        else
            refuse(b, ERR_INPUT, "entry 1 at offset 0: malformed PAX header", "a malformed record");
    }
    static const char *const times[] = {"1.2.3", "",     "abc", "1e5", "-", ".5", "9223372036854775808",
                                        "1.-5",  "0x10", "1 "};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        char rec[64];
        snprintf(rec, sizeof rec, "atime=%s", times[i]);
        TM_PAX(b, rec);
        tm_file(b, "x", "");
        if (!times[i][0])
            check(b, "0 x 644 1000:1001 0 1524696343\n", "an empty time");
        else
            refuse(b, ERR_INPUT, "entry 1 'x' at offset 0: malformed PAX header: bad time", times[i]);
    }
    struct buf r = {0};
    tm_record(&r, "path", "a\0b", 3);
    tm_meta(b, 'x', r.p, r.len);
    tm_file(b, "x", "");
    refuse(b, ERR_INPUT, "entry 1 at offset 0: malformed PAX header: NUL byte in a name", "NUL in a path");
    r.len = 0;
    tm_record(&r, "SCHILY.xattr.user.v", "a\0b", 3);
    tm_meta(b, 'x', r.p, r.len);
    tm_file(b, "x", "");
    struct reading got;
    read_tar(b->p, b->len, 99, true, &got);
    ok(!got.refused && got.entries == 1, "NUL in an xattr's value is fine");
    release(&got);
    buf_release(&r);
    b->len = 0;
}

/* The same file, "ab" at 1 and "cde" at 600, 700 bytes long, in four encodings. */
static void sparse_file(struct buf *b, int kind, const char *second)
{
    char rec[64];
    size_t h;
    switch (kind) {
    case 0: /* old GNU, second half of the map in an extension block */
        h = tm_header(b, "s", 'S', 5);
        tm_field(b, h, 257, "ustar  ", 8);
        tm_field(b, h, 386,
                 "00000000001\0"
                 "00000000002\0",
                 24);
        tm_field(b, h, 482, "\1", 1);
        tm_field(b, h, 483, "00000001274", 12);
        tm_bytes(b, second, 24);
        tm_zeros(b, 488);
        break;
    case 1:
        snprintf(rec, sizeof rec, "GNU.sparse.offset=%s", second);
        TM_PAX(b, "GNU.sparse.size=700", "GNU.sparse.numblocks=2", "GNU.sparse.offset=1", "GNU.sparse.numbytes=2", rec,
               "GNU.sparse.numbytes=3");
        tm_header(b, "s", '0', 5);
        break;
    case 2:
        snprintf(rec, sizeof rec, "GNU.sparse.map=1,2,%s,3", second);
        TM_PAX(b, "GNU.sparse.major=0", "GNU.sparse.minor=1", "GNU.sparse.realsize=700", "GNU.sparse.numblocks=2", rec,
               "GNU.sparse.name=s");
        tm_header(b, "GNUSparse/s", '0', 5);
        break;
    default:
        TM_PAX(b, "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=700", "GNU.sparse.name=s");
        tm_header(b, "GNUSparse/s", '0', 517);
        snprintf(rec, sizeof rec, "2\n1\n2\n%s\n3\n", second);
        tm_bytes(b, rec, strlen(rec));
        tm_pad(b);
    }
    tm_bytes(b, "abcde", 5);
    tm_pad(b);
    tm_file(b, "next", "n");
    tm_end(b);
}

static void test_sparse(struct buf *b)
{
    static const char *const fine[4] = {"00000001130\0"
                                        "00000000003\0",
                                        "600", "600", "600"};
    static const char *const over[4] = {"00000001272\0"
                                        "00000000003\0",
                                        "698", "698", "698"};
    static const char *const back[4] = {"00000000002\0"
                                        "00000000003\0",
                                        "2", "2", "2"};
    uint8_t want[700] = {0};
    memcpy(want + 1, "ab", 2);
    memcpy(want + 600, "cde", 3);
    for (int k = 0; k < 4; k++) {
        struct reading r;
        sparse_file(b, k, fine[k]);
        b->len -= 1024 + 1024; /* without "next" and the end */
        read_tar(b->p, b->len, 100, true, &r);
        ok(!r.refused && r.entries == 1 && r.data.len == 700 && !memcmp(r.data.p, want, 700),
           "sparse %d: its content %s", k, r.err.text);
        release(&r);
        b->len = 0;
        sparse_file(b, k, fine[k]);
        check(b,
              k ? "0 s 644 1000:1001 700 1524696343\n0 next 644 1000:1001 1 1524696343\n"
                : "S s 644 1000:1001 700 1524696343\n0 next 644 1000:1001 1 1524696343\n",
              "a sparse file and what follows");
        sparse_file(b, k, over[k]);
        refuse(b, ERR_INPUT, "entry 1 's' at offset 0: malformed map of a sparse file", "map beyond the end");
        sparse_file(b, k, back[k]);
        refuse(b, ERR_INPUT, "entry 1 's' at offset 0: malformed map of a sparse file", "map that goes back");
    }
    TM_PAX(b, "GNU.sparse.map=0,3", "GNU.sparse.numblocks=1", "GNU.sparse.size=9");
    tm_file(b, "s", "four");
    refuse(b, ERR_INPUT, "entry 1 's' at offset 0: a sparse file's map speaks of 3 bytes, its data are 4",
           "data left over");
    TM_PAX(b, "GNU.sparse.map=0,3", "GNU.sparse.numblocks=1", "GNU.sparse.size=9");
    tm_link(b, "s", '2', "t");
    refuse(b, ERR_INPUT, "entry 1 's' at offset 0: a sparse file's map speaks of 3 bytes, its data are 0",
           "sparse link");
    TM_PAX(b, "GNU.sparse.map=0,0", "GNU.sparse.numblocks=1", "GNU.sparse.size=9");
    tm_link(b, "s", '2', "t");
    refuse(b, ERR_INPUT, "entry 1 's' at offset 0: sparse, but of a type that holds no data", "sparse link");
    TM_PAX(b, "GNU.sparse.major=2", "GNU.sparse.minor=0", "GNU.sparse.name=n");
    tm_file(b, "s", "x");
    check(b, "0 s 644 1000:1001 1 1524696343\n", "a version that nobody knows is an ordinary file");
    TM_PAX(b, "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=1");
    tm_header(b, "s", '0', 2048);
    tm_bytes(b, "99999999999999\n", 15);
    tm_zeros(b, 2048 - 15);
    refuse(b, ERR_LIMIT, "entry 1 's' at offset 0: map of a sparse file is over 1048576 bytes",
           "a map of 10^14 entries");
    TM_PAX(b, "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=1");
    tm_header(b, "s", '0', 2 << 20);
    tm_bytes(b, "9\n", 2);
    tm_zeros(b, (2 << 20) - 2);
    refuse(b, ERR_LIMIT, "entry 1 's' at offset 0: map of a sparse file is over 1048576 bytes",
           "a map that doesn't end");
    size_t h = tm_header(b, "s", 'S', 0);
    tm_field(b, h, 257, "ustar  ", 8);
    tm_field(b, h, 482, "\1", 1);
    for (int i = 0; i < 2100; i++) {
        tm_zeros(b, 512);
        b->p[b->len - 8] = 1;
    }
    refuse(b, ERR_LIMIT, "entry 1 's' at offset 0: map of a sparse file is over 1048576 bytes",
           "extensions without end");
    h = tm_header(b, "s", 'S', 0);
    refuse(b, ERR_INPUT, "entry 1 's' at offset 0: a sparse file that isn't in GNU format", "sparse ustar");
}

static void test_use(void)
{
    struct buf b = {0};
    struct stream *s;
    struct err e = {0};
    struct tar *t;
    const struct tar_entry *en;
    const uint8_t *p;
    uint64_t off;
    size_t n;
    tm_file(&b, "a", "content");
    tm_end(&b);
    tm_bytes(&b, "behind", 6);
    stream_open_mem(b.p, b.len, &s, &e);
    ok(tar_open(s, NULL, NULL, &t, &e) == 0 && tar_next(t, &en, &e) == 0 && en, "without a taker of literals");
    ok(tar_data(t, &off, &p, &n, &e) == 0 && n == 7 && off == 0 && p == b.p + 512,
       "payload is the stream's own memory");
    ok(tar_drain(t, &e) < 0 && e.kind == ERR_USAGE, "not to be drained before the end");
    err_set(&e, ERR_LIMIT, "too much");
    tar_wrap(t, &e);
    is_str(e.text, "entry 1 'a' at offset 0: too much", "tar_wrap");
    ok(tar_next(t, &en, &e) == 0 && !en && tar_next(t, &en, &e) == 0 && !en, "the end, and again");
    ok(tar_drain(t, &e) == 0 && s->pos == b.len, "drained");
    tar_close(t);
    stream_close(s);
    buf_release(&b);
}

int main(void)
{
    struct buf b = {0};
    test_overrides(&b);
    test_refusals(&b);
    test_sparse(&b);
    test_use();
    test_go();
    buf_release(&b);
    return tap_done();
}

/* SPDX-License-Identifier: MIT */
/* Headers written are read back by tar.h with the same values, and listed by GNU tar. */
#include "tap.h"
#include "tarmake.h"
#include "../../index/source/tar.h"
#include "../../index/source/tarwrite.h"

#include <inttypes.h>
#include <unistd.h>

static char long_name[300], deep_name[256], long_dir[131];

static struct xattr some_xattrs[] = {{"security.capability", 19, "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20},
                                     {"user.empty line", 15, "a\n=b\0", 5}};

static const struct tarwrite_member members[] = {
    {.type = '5', .name = ".", .mode = 0755},
    {.type = '0', .name = "file", .mode = 04755, .uid = 1000, .gid = 1000, .size = 5, .mtime = 1500000000},
    {.type = '0', .name = "nsec", .mode = 0644, .mtime = 1500000000, .mtime_nsec = 1},
    {.type = '0', .name = "tenths", .mode = 0644, .mtime = 0, .mtime_nsec = 500000000},
    {.type = '0', .name = "before 1970", .mode = 0644, .mtime = -1},
    {.type = '0', .name = "a little before", .mode = 0644, .mtime = -1, .mtime_nsec = 999999999},
    {.type = '0', .name = "long before", .mode = 0644, .mtime = -3000000000, .mtime_nsec = 250000000},
    {.type = '0', .name = "end of time", .mode = 0644, .mtime = INT64_MAX},
    {.type = '0', .name = "beginning of time", .mode = 0644, .mtime = INT64_MIN},
    {.type = '0', .name = "last octal ids", .mode = 0644, .uid = 07777777, .gid = 07777777},
    {.type = '0', .name = "large ids", .mode = 0644, .uid = 010000000, .gid = UINT32_MAX - 1},
    {.type = '1', .name = "hard", .link = "file", .mode = 0644},
    {.type = '2', .name = "soft", .link = "anywhere/at all", .mode = 0777},
    {.type = '2', .name = "soft and long", .link = long_name, .mode = 0777},
    {.type = '3', .name = "null", .mode = 0666, .devmajor = 1, .devminor = 3},
    {.type = '4', .name = "disk", .mode = 0660, .devmajor = 4095, .devminor = 1048575},
    {.type = '6', .name = "fifo", .mode = 0600},
    {.type = '0', .name = long_name, .mode = 0644},
    {.type = '0', .name = deep_name, .mode = 0644},
    {.type = '5', .name = long_dir, .mode = 01777},
    {.type = '5', .name = "slash/", .mode = 0755},
    {.type = '0', .name = "\xc3\xa4 and \xff", .mode = 0644},
    {.type = '0', .name = "attributes", .mode = 0644, .xattrs = some_xattrs, .xattr_count = 2},
};
enum { MEMBERS = sizeof members / sizeof *members };

static void compare(const struct tarwrite_member *m, const struct tar_entry *en)
{
    char name[400];
    size_t n = strlen(m->name);
    snprintf(name, sizeof name, "%s%s", m->name, m->type == '5' && m->name[n - 1] != '/' ? "/" : "");
    is_str(en->name, name, "name");
    is_str(en->link, m->link ? m->link : "", "%.20s: link", name);
    ok(en->type == m->type && en->mode == m->mode && en->uid == m->uid && en->gid == m->gid && en->size == m->size,
       "%.20s: type, mode, owner, size", name);
    ok(en->mtime == m->mtime && en->mtime_nsec == m->mtime_nsec, "%.20s: time %" PRId64 ".%09u", name, en->mtime,
       en->mtime_nsec);
    ok(en->devmajor == m->devmajor && en->devminor == m->devminor, "%.20s: device", name);
    bool same = en->xattr_count == m->xattr_count;
    for (size_t i = 0; same && i < m->xattr_count; i++)
        same = en->xattrs[i].name_len == m->xattrs[i].name_len && en->xattrs[i].value_len == m->xattrs[i].value_len &&
               !memcmp(en->xattrs[i].name, m->xattrs[i].name, m->xattrs[i].name_len) &&
               !memcmp(en->xattrs[i].value, m->xattrs[i].value, m->xattrs[i].value_len);
    ok(same, "%.20s: attributes", name);
}

static void write_all(struct buf *b)
{
    struct err e = {0};
    size_t bad = 0;
    for (size_t i = 0; i < MEMBERS; i++) {
        bad += tarwrite_header(&members[i], b, &e) < 0;
        for (uint64_t k = 0; k < members[i].size; k++)
            tm_bytes(b, "x", 1);
        bad += tarwrite_pad(members[i].size, b, &e) < 0;
    }
    bad += tarwrite_end(b, &e) < 0;
    is_int(bad, 0, "all written");
}

static void test_read_back(const struct buf *b)
{
    struct stream *s;
    struct tar *t;
    const struct tar_entry *en;
    struct err e = {0};
    stream_open_mem(b->p, b->len, &s, &e);
    tar_open(s, NULL, NULL, &t, &e);
    size_t i = 0;
    while (ok(tar_next(t, &en, &e) == 0, "next %s", e.text) && en && i < MEMBERS)
        compare(&members[i++], en);
    is_int(i, MEMBERS, "as many as were written");
    ok(!en, "and no more");
    tar_close(t);
    stream_close(s);
}

static void test_gnu_tar(const struct buf *b)
{
    char path[] = "/tmp/cairn-tarwrite-XXXXXX", line[512];
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, b->p, b->len) != (ssize_t)b->len)
        abort();
    close(fd);
    snprintf(line, sizeof line, "tar --version >/dev/null 2>&1");
    if (system(line) != 0) {
        printf("ok %d - GNU tar # SKIP there is no tar\n", ++tap_run);
        unlink(path);
        return;
    }
    snprintf(line, sizeof line, "LC_ALL=C tar -tf %s --quoting-style=literal 2>&1", path);
    FILE *f = popen(line, "r");
    size_t n = 0;
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        if (n < MEMBERS && strncmp(line, members[n].name, strlen(members[n].name)))
            printf("# %s\n", line);
        n++;
    }
    ok(f && pclose(f) == 0 && n == MEMBERS, "GNU tar lists all %zu without complaint", n);
    unlink(path);
}

static void test_large(void)
{
    struct tarwrite_member m = TARWRITE_FILE;
    struct buf b = {0};
    struct err e = {0};
    m.name = "x";
    m.size = 077777777777;
    ok(tarwrite_header(&m, &b, &e) == 0 && b.len == 512, "8 GiB less one byte fit into the header");
    m.size++;
    b.len = 0;
    ok(tarwrite_header(&m, &b, &e) == 0 && b.len == 1536 && !memcmp(b.p + 512, "19 size=8589934592\n", 19),
       "8 GiB need a record");
    struct buf pad = {0};
    tarwrite_pad(0, &pad, &e);
    tarwrite_pad(512, &pad, &e);
    is_int(pad.len, 0, "no padding");
    tarwrite_pad(1, &pad, &e);
    is_int(pad.len, 511, "padding");
    struct xattr x = {"user.a=b", 8, "v", 1};
    m = (struct tarwrite_member){.type = '0', .name = "x", .xattrs = &x, .xattr_count = 1};
    ok(tarwrite_header(&m, &b, &e) < 0 && e.kind == ERR_UNSUPPORTED, "an attribute that tar can't hold");
    is_str(e.text, "'x': a tar can't hold the extended attribute 'user.a=b'", "its message");
    buf_release(&b);
    buf_release(&pad);
}

/* Lengths around the places where the number of digits of a record's length changes. */
static void test_record_lengths(void)
{
    size_t bad = 0;
    for (size_t n = 101; n < 1200; n++) {
        char name[1300] = "";
        memset(name, 'n', n);
        struct tarwrite_member m = {.type = '0', .name = name, .mode = 0644};
        struct buf b = {0};
        struct err e = {0};
        struct stream *s;
        struct tar *t;
        const struct tar_entry *en;
        tarwrite_header(&m, &b, &e);
        stream_open_mem(b.p, b.len, &s, &e);
        tar_open(s, NULL, NULL, &t, &e);
        bad += tar_next(t, &en, &e) < 0 || !en || strcmp(en->name, name) != 0;
        tar_close(t);
        stream_close(s);
        buf_release(&b);
    }
    is_int(bad, 0, "names of 101 to 1199 bytes");
}

int main(void)
{
    struct buf b = {0}, again = {0};
    memset(long_name, 'l', sizeof long_name - 1);
    memset(deep_name, 'd', sizeof deep_name - 1);
    deep_name[150] = '/';
    memset(long_dir, 'D', sizeof long_dir - 1);
    long_dir[99] = long_dir[98] = '/';
    write_all(&b);
    write_all(&again);
    ok(b.len == again.len && !memcmp(b.p, again.p, b.len), "equal input, equal bytes");
    test_read_back(&b);
    test_gnu_tar(&b);
    test_large();
    test_record_lengths();
    buf_release(&b);
    buf_release(&again);
    return tap_done();
}

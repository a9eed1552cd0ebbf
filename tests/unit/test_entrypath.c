/* SPDX-License-Identifier: MIT */
/* Names of entries: what they become, what they mean, what is refused. */
#include "tap.h"
#include "../../index/source/entrypath.h"
#include "../../index/limits.h"

#include <stdlib.h>

static void test_clean(void)
{
    static const struct {
        const char *in, *name, *link; /* NULL: refused */
    } t[] = {
        {"a", "a", "a"},
        {"./a/b/", "a/b", "a/b"},
        {"/a//b", "a/b", "a/b"},
        {"", "", ""},
        {".", "", ""},
        {"./", "", ""},
        {"/", "", ""},
        {"a/../b", "b", "b"},
        {"a/b/../../c", "c", "c"},
        {"a/..", "", ""},
        {"..", NULL, NULL},
        {"../a", NULL, NULL},
        {"a/../../b", NULL, NULL},
        {"/..", "", NULL},
        {"/../a", "a", NULL},
        {"/a/../../b", "b", NULL},
        {"...", "...", "..."},
        {"a/.../b", "a/.../b", "a/.../b"},
        {"..a", "..a", "..a"},
        {"\xff\x01\t", "\xff\x01\t", "\xff\x01\t"},
    };
    struct buf b = {0};
    struct err e = {0};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        for (int rooted = 0; rooted < 2; rooted++) {
            const char *want = rooted ? t[i].name : t[i].link;
            e = (struct err){0};
            int rc = entrypath_clean(t[i].in, strlen(t[i].in), rooted, &b, &e);
            if (want)
                is_str(rc < 0 ? e.text : (const char *)b.p, want, "'%s' %s", t[i].in,
                       rooted ? "as a name" : "as a target");
            else
                ok(rc < 0 && e.kind == ERR_INPUT && !strcmp(e.text, "leads out of the layer's root"), "'%s' is refused",
                   t[i].in);
        }
    ok(entrypath_clean("a\0b", 3, true, &b, &e) < 0 && e.kind == ERR_INPUT, "NUL: %s", e.text);

    char *s = malloc(3 * LIMIT_PATH);
    if (!s)
        abort();
    memset(s, 'x', 3 * LIMIT_PATH);
    ok(entrypath_clean(s, 255, true, &b, &e) == 0 && b.len == 255, "a name of 255 bytes");
    ok(entrypath_clean(s, 256, true, &b, &e) < 0 && e.kind == ERR_LIMIT, "of 256");
    is_str(e.text, "a name of 256 bytes is over the limit of 255", "its message");
    for (size_t i = 200; i < 3 * LIMIT_PATH; i += 200)
        s[i] = '/';
    ok(entrypath_clean(s, 4090, true, &b, &e) == 0 && b.len == 4090, "a path of 4090 bytes");
    ok(entrypath_clean(s, 4097, true, &b, &e) < 0 && e.kind == ERR_LIMIT, "of 4097");
    is_str(e.text, "its path is over the limit of 4095 bytes", "its message");
    memset(s, 'x', 3 * LIMIT_PATH);
    for (size_t i = 1; i < 3 * LIMIT_PATH; i += 2)
        s[i] = '/';
    ok(entrypath_clean(s, 2 * LIMIT_DEPTH, true, &b, &e) == 0, "1024 names deep");
    ok(entrypath_clean(s, 2 * LIMIT_DEPTH + 1, true, &b, &e) < 0 && e.kind == ERR_LIMIT, "1025");
    is_str(e.text, "its path is over 1024 names deep", "its message");
    free(s);
    buf_release(&b);
}

static void test_role(void)
{
    static const struct {
        const char *in;
        enum entry_role role;
        const char *out;
    } t[] = {
        {"", ENTRY_NODE, ""},
        {"a/b", ENTRY_NODE, "a/b"},
        {".wh.a", ENTRY_WHITEOUT, "a"},
        {"a/.wh.b", ENTRY_WHITEOUT, "a/b"},
        {"a/.wh.b/c", ENTRY_NODE, "a/.wh.b/c"},
        {"a/.wh..b", ENTRY_WHITEOUT, "a/.b"},
        {"a/.wh....", ENTRY_WHITEOUT, "a/..."},
        {".wh..wh..opq", ENTRY_OPAQUE, ""},
        {"a/b/.wh..wh..opq", ENTRY_OPAQUE, "a/b"},
        {".wh..wh.plnk", ENTRY_IGNORED, ".wh..wh.plnk"},
        {".wh..wh.plnk/1.2", ENTRY_IGNORED, ".wh..wh.plnk/1.2"},
        {".wh..wh.aufs", ENTRY_IGNORED, ".wh..wh.aufs"},
        {".wh..wh..opq/x", ENTRY_IGNORED, ".wh..wh..opq/x"},
        {"a/.wh..wh.x", ENTRY_WHITEOUT, "a/.wh.x"},
        {"a/.wh", ENTRY_NODE, "a/.wh"},
        {".whx", ENTRY_NODE, ".whx"},
    };
    static const char *const bad[] = {".wh.", "a/.wh.", "a/.wh..", "a/.wh..."};
    struct buf b = {0};
    struct err e = {0};
    enum entry_role role;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        b.len = 0;
        buf_printf(&b, "%s", t[i].in);
        ok(entrypath_role(&b, &role, &e) == 0 && role == t[i].role, "'%s': role", t[i].in);
        is_str((const char *)b.p, t[i].out, "'%s': path", t[i].in);
        is_int(b.len, strlen(t[i].out), "'%s': length", t[i].in);
    }
    for (size_t i = 0; i < 4; i++) {
        b.len = 0;
        buf_printf(&b, "%s", bad[i]);
        ok(entrypath_role(&b, &role, &e) < 0 && e.kind == ERR_INPUT, "'%s' is refused", bad[i]);
        is_str(e.text, "a whiteout that names nothing", "its message");
    }
    buf_release(&b);
}

int main(void)
{
    test_clean();
    test_role();
    return tap_done();
}

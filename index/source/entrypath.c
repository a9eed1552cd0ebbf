/* SPDX-License-Identifier: MIT */
#include "entrypath.h"
#include "../limits.h"

#include <string.h>

static const char whiteout[] = ".wh.", meta[] = ".wh..wh.", opaque[] = ".wh..wh..opq";

/* Takes the last part off. -1 when there is none. */
static int pop(struct buf *path)
{
    if (!path->len)
        return -1;
    const uint8_t *slash = memrchr(path->p, '/', path->len);
    path->len = slash ? (size_t)(slash - path->p) : 0;
    path->p[path->len] = 0;
    return 0;
}

static int push(struct buf *path, const char *part, size_t n, struct err *e)
{
    if (n > LIMIT_NAME)
        return err_set(e, ERR_LIMIT, "a name of %zu bytes is over the limit of %d", n, LIMIT_NAME);
    if (path->len + n + 1 >= LIMIT_PATH)
        return err_set(e, ERR_LIMIT, "its path is over the limit of %d bytes", LIMIT_PATH - 1);
    if ((path->len && buf_append(path, "/", 1) < 0) || buf_append(path, part, n) < 0)
        return err_nomem(e);
    return 0;
}

int entrypath_clean(const char *name, size_t n, bool rooted, struct buf *out, struct err *e)
{
    bool absolute = rooted && n && name[0] == '/';
    size_t depth = 0;
    out->len = 0;
    if (buf_append(out, "", 0) < 0)
        return err_nomem(e);
    if (n && memchr(name, 0, n))
        return err_set(e, ERR_INPUT, "NUL byte in a name");
    for (size_t i = 0; i < n;) {
        const char *slash = memchr(name + i, '/', n - i);
        size_t len = slash ? (size_t)(slash - (name + i)) : n - i;
        const char *part = name + i;
        i += len + 1;
        if (!len || (len == 1 && part[0] == '.'))
            continue;
        if (len == 2 && part[0] == '.' && part[1] == '.') {
            if (pop(out) == 0)
                depth--;
            else if (!absolute)
                return err_set(e, ERR_INPUT, "leads out of the layer's root");
            continue;
        }
        if (++depth > LIMIT_DEPTH)
            return err_set(e, ERR_LIMIT, "its path is over %d names deep", LIMIT_DEPTH);
        if (push(out, part, len, e) < 0)
            return -1;
    }
    return 0;
}

static bool is(const char *s, size_t n, const char *want)
{
    return n == strlen(want) && !memcmp(s, want, n);
}

static bool starts(const char *s, size_t n, const char *prefix)
{
    return n >= strlen(prefix) && !memcmp(s, prefix, strlen(prefix));
}

int entrypath_role(struct buf *path, enum entry_role *ret, struct err *e)
{
    const char *s = (const char *)path->p, *slash = memrchr(s, '/', path->len);
    const char *base = slash ? slash + 1 : s;
    size_t n = path->len - (size_t)(base - s);

    *ret = ENTRY_NODE;
    if (starts(s, path->len, meta) && !is(s, path->len, opaque)) {
        *ret = ENTRY_IGNORED;
        return 0;
    }
    if (!starts(base, n, whiteout))
        return 0;
    if (is(base, n, opaque)) {
        pop(path);
        *ret = ENTRY_OPAQUE;
        return 0;
    }
    const char *name = base + strlen(whiteout);
    n -= strlen(whiteout);
    if (!n || is(name, n, ".") || is(name, n, ".."))
        return err_set(e, ERR_INPUT, "a whiteout that names nothing");
    memmove(path->p + (base - s), name, n + 1); /* with the NUL */
    path->len -= strlen(whiteout);
    *ret = ENTRY_WHITEOUT;
    return 0;
}

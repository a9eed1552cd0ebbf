/* SPDX-License-Identifier: MIT */
/* xattrs: overlayfs's escape and marks; see xattrs.h. */
#include "xattrs.h"

#include <sys/stat.h>

static const char *const spaces[] = {"trusted.overlay.", "user.overlay."};
static const char inner[] = "overlay."; /* what the escape puts behind it */
static const char opaque[] = "opaque";

enum { SPACES = sizeof spaces / sizeof *spaces };

/* Length of overlayfs's prefix that the name begins with; 0: none. */
static size_t overlay_prefix(const char *name, size_t len)
{
    for (int i = 0; i < SPACES; i++) {
        size_t n = strlen(spaces[i]);
        if (len >= n && memcmp(name, spaces[i], n) == 0)
            return n;
    }
    return 0;
}

static bool is_opaque(const struct tree *t, const struct tree_node *n)
{
    return tree_kind(t) == TREE_LAYER && S_ISDIR(n->mode) && (n->flags & NODE_OPAQUE) != 0;
}

bool xattrs_none(const struct tree *t)
{
    return !tree_has_xattrs(t) && tree_kind(t) != TREE_LAYER;
}

/* Is `name` what the stored name shows as? */
static bool shown_as(const char *stored, size_t stored_len, const char *name, size_t len)
{
    size_t prefix = overlay_prefix(stored, stored_len), more = sizeof inner - 1;
    if (prefix == 0)
        return len == stored_len && memcmp(name, stored, len) == 0;
    return len == stored_len + more && memcmp(name, stored, prefix) == 0 && memcmp(name + prefix, inner, more) == 0 &&
           memcmp(name + prefix + more, stored + prefix, stored_len - prefix) == 0;
}

int xattrs_get(const struct tree *t, const struct tree_node *n, const char *name, const void **ret, size_t *ret_len)
{
    size_t len = strlen(name), prefix = overlay_prefix(name, len);
    if (prefix != 0 && strcmp(name + prefix, opaque) == 0) {
        if (!is_opaque(t, n))
            return -1;
        *ret = "y";
        *ret_len = 1;
        return 0;
    }
    uint32_t count = tree_xattr_count(t, n);
    for (uint32_t i = 0; i < count; i++) {
        const struct tree_xattr *x = tree_xattr(t, n, i);
        if (!shown_as(tree_string(t, x->name), x->name_len, name, len))
            continue;
        *ret = tree_string(t, x->value);
        *ret_len = x->value_len;
        return 0;
    }
    return -1;
}

int xattrs_list(const struct tree *t, const struct tree_node *n, struct buf *out)
{
    size_t start = out->len;
    int r = 0;
    if (is_opaque(t, n))
        for (int i = 0; i < SPACES && r == 0; i++)
            r = buf_append(out, spaces[i], strlen(spaces[i])) | buf_append(out, opaque, sizeof opaque);
    uint32_t count = tree_xattr_count(t, n);
    for (uint32_t i = 0; i < count && r == 0; i++) {
        const struct tree_xattr *x = tree_xattr(t, n, i);
        const char *name = tree_string(t, x->name);
        size_t prefix = overlay_prefix(name, x->name_len);
        r = buf_append(out, name, prefix);
        if (r == 0 && prefix)
            r = buf_append(out, inner, sizeof inner - 1);
        if (r == 0)
            r = buf_append(out, name + prefix, x->name_len - prefix) | buf_append_zero(out, 1);
    }
    if (r != 0)
        out->len = start;
    return r;
}

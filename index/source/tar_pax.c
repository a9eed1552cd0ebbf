/* SPDX-License-Identifier: MIT */
/*
 * PAX records and the numbers of tar headers. Strictness is Go's: a malformed record refuses the archive, keys hold no
 * NUL, and neither do the values that are names.
 */
#include "tar_internal.h"

#include <stdlib.h>

static const char *const key_names[PAX_KEYS] = {
    [PAX_PATH] = "path",
    [PAX_LINKPATH] = "linkpath",
    [PAX_SIZE] = "size",
    [PAX_UID] = "uid",
    [PAX_GID] = "gid",
    [PAX_MTIME] = "mtime",
    [PAX_ATIME] = "atime",
    [PAX_CTIME] = "ctime",
    [PAX_SPARSE_MAJOR] = "GNU.sparse.major",
    [PAX_SPARSE_MINOR] = "GNU.sparse.minor",
    [PAX_SPARSE_MAP] = "GNU.sparse.map",
    [PAX_SPARSE_NUMBLOCKS] = "GNU.sparse.numblocks",
    [PAX_SPARSE_NAME] = "GNU.sparse.name",
    [PAX_SPARSE_SIZE] = "GNU.sparse.size",
    [PAX_SPARSE_REALSIZE] = "GNU.sparse.realsize",
};
static const char xattr_prefix[] = "SCHILY.xattr.";

void pax_reset(struct pax *p)
{
    p->text.len = 0;
    p->xattrs.len = 0;
    memset(p->value, 0, sizeof p->value);
}

void pax_release(struct pax *p)
{
    buf_release(&p->text);
    buf_release(&p->xattrs);
}

int tar_decimal(const char *s, size_t n, int64_t *ret)
{
    bool neg = n && *s == '-';
    if (n && (*s == '-' || *s == '+')) {
        s++;
        n--;
    }
    if (!n)
        return -1;
    uint64_t v = 0, limit = neg ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
    for (; n; s++, n--) {
        if (*s < '0' || *s > '9')
            return -1;
        unsigned d = (unsigned)(*s - '0');
        if (v > (limit - d) / 10)
            return -1;
        v = v * 10 + d;
    }
    *ret = neg ? (int64_t)(0 - v) : (int64_t)v;
    return 0;
}

int tar_pax_time(const char *s, size_t n, int64_t *ret_sec, uint32_t *ret_nsec)
{
    const char *dot = memchr(s, '.', n);
    size_t whole = dot ? (size_t)(dot - s) : n;
    int64_t sec;
    uint32_t nsec = 0;
    if (tar_decimal(s, whole, &sec) < 0)
        return -1;
    for (size_t i = whole + 1, place = 0; i < n; i++, place++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        if (place < 9)
            nsec = nsec * 10 + (uint32_t)(s[i] - '0');
    }
    for (size_t place = dot ? n - whole - 1 : 9; place < 9; place++)
        nsec *= 10;
    /* "-0.5" is half a second before 1970: the sign belongs to the fraction too. */
    if (nsec && *s == '-') {
        if (sec == INT64_MIN)
            return -1;
        sec--;
        nsec = 1000000000u - nsec;
    }
    *ret_sec = sec;
    *ret_nsec = nsec;
    return 0;
}

int tar_octal(const uint8_t *f, size_t n, int64_t *ret)
{
    while (n && (*f == ' ' || !*f)) {
        f++;
        n--;
    }
    while (n && (f[n - 1] == ' ' || !f[n - 1]))
        n--;
    uint64_t v = 0;
    for (size_t i = 0; i < n && f[i]; i++) {
        if (f[i] < '0' || f[i] > '7' || v >> 61)
            return -1;
        v = v << 3 | (uint64_t)(f[i] - '0');
    }
    *ret = (int64_t)v;
    return 0;
}

int tar_number(const uint8_t *f, size_t n, int64_t *ret)
{
    if (!n || !(f[0] & 0x80))
        return tar_octal(f, n, ret);
    /* Two's complement, big-endian, below the marker bit. A negative number is read as its complement. */
    uint8_t inv = f[0] & 0x40 ? 0xff : 0;
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = f[i] ^ inv;
        if (i == 0)
            c &= 0x7f;
        if (v >> 56)
            return -1;
        v = v << 8 | c;
    }
    if (v >> 63)
        return -1;
    *ret = inv ? -(int64_t)v - 1 : (int64_t)v;
    return 0;
}

/* Sparse 0.0 repeats the keys offset and numbytes in turn: gathered to the list that 0.1 has. */
static int add_sparse00(struct buf *map, size_t *count, bool is_offset, const uint8_t *v, size_t n, struct err *e)
{
    if ((*count % 2 == 0) != is_offset || memchr(v, ',', n))
        return err_set(e, ERR_INPUT, "malformed PAX header: GNU.sparse.offset and numbytes out of order");
    if ((*count && buf_append(map, ",", 1) < 0) || buf_append(map, v, n) < 0)
        return err_nomem(e);
    (*count)++;
    return 0;
}

static bool is_key(const uint8_t *key, size_t n, const char *name)
{
    return n == strlen(name) && !memcmp(key, name, n);
}

/* Splits the record at text+off: "LEN key=value\n". */
static int next_record(const uint8_t *text, size_t len, size_t off, struct pax_span *key, struct pax_span *value)
{
    const uint8_t *rec = text + off, *sp = memchr(rec, ' ', len - off);
    int64_t n;
    if (!sp || tar_decimal((const char *)rec, (size_t)(sp - rec), &n) < 0 || n < 5 || (uint64_t)n > len - off)
        return -1;
    size_t start = (size_t)(sp - rec) + 1;
    if ((size_t)n <= start || rec[n - 1] != '\n')
        return -1;
    const uint8_t *eq = memchr(sp + 1, '=', (size_t)n - 1 - start);
    if (!eq || eq == sp + 1)
        return -1;
    *key = (struct pax_span){off + start, (size_t)(eq - sp) - 1};
    *value = (struct pax_span){(size_t)(eq + 1 - text), (size_t)(rec + n - 1 - eq) - 1};
    return 0;
}

static int take_record(struct pax *p, struct pax_span key, struct pax_span value, struct buf *map, size_t *count,
                       struct err *e)
{
    const uint8_t *k = p->text.p + key.off, *v = p->text.p + value.off;
    bool names = is_key(k, key.len, "path") || is_key(k, key.len, "linkpath") || is_key(k, key.len, "uname") ||
                 is_key(k, key.len, "gname");
    if (names ? !!memchr(v, 0, value.len) : !!memchr(k, 0, key.len))
        return err_set(e, ERR_INPUT, "malformed PAX header: NUL byte in %s", names ? "a name" : "a key");
    if (is_key(k, key.len, "GNU.sparse.offset") || is_key(k, key.len, "GNU.sparse.numbytes"))
        return add_sparse00(map, count, k[11] == 'o', v, value.len, e);
    for (int i = 0; i < PAX_KEYS; i++)
        if (is_key(k, key.len, key_names[i])) {
            p->value[i] = value;
            return 0;
        }
    size_t prefix = sizeof xattr_prefix - 1;
    if (key.len >= prefix && !memcmp(k, xattr_prefix, prefix)) {
        struct pax_xattr x = {.name = {key.off + prefix, key.len - prefix}, .value = value};
        if (buf_append(&p->xattrs, &x, sizeof x) < 0)
            return err_nomem(e);
    }
    return 0;
}

int pax_parse(struct pax *p, struct err *e)
{
    struct buf map = {0};
    size_t count = 0, len = p->text.len;
    int rc = -1;

    for (size_t off = 0; off < len;) {
        struct pax_span key, value;
        if (next_record(p->text.p, len, off, &key, &value) < 0) {
            err_set(e, ERR_INPUT, "malformed PAX header");
            goto out;
        }
        if (take_record(p, key, value, &map, &count, e) < 0)
            goto out;
        off = value.off + value.len + 1;
    }
    if (count) {
        p->value[PAX_SPARSE_MAP] = (struct pax_span){p->text.len, map.len};
        if (buf_append(&p->text, map.p, map.len) < 0) {
            err_nomem(e);
            goto out;
        }
    }
    rc = 0;
out:
    buf_release(&map);
    return rc;
}

const char *pax_value(const struct pax *p, enum pax_key key, size_t *ret_len)
{
    if (!p->value[key].len)
        return NULL;
    *ret_len = p->value[key].len;
    return (const char *)p->text.p + p->value[key].off;
}

/* By name, then by place in the header. */
static int cmp_xattr(const void *a, const void *b)
{
    const struct pax_xattr *x = a, *y = b;
    size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
    int d = n ? memcmp(x->text + x->name.off, y->text + y->name.off, n) : 0;
    if (d)
        return d;
    if (x->name.len != y->name.len)
        return x->name.len < y->name.len ? -1 : 1;
    return x->name.off < y->name.off ? -1 : x->name.off > y->name.off;
}

static bool same_name(const struct pax_xattr *x, const struct pax_xattr *y)
{
    return x->name.len == y->name.len &&
           (!x->name.len || !memcmp(x->text + x->name.off, y->text + y->name.off, x->name.len));
}

int pax_xattrs(struct pax *p, struct buf *out, struct err *e)
{
    struct pax_xattr *x = (struct pax_xattr *)(void *)p->xattrs.p;
    size_t n = p->xattrs.len / sizeof *x;
    out->len = 0;
    for (size_t i = 0; i < n; i++)
        x[i].text = p->text.p;
    if (n > 1)
        qsort(x, n, sizeof *x, cmp_xattr);
    for (size_t i = 0; i < n; i++) {
        if ((i + 1 < n && same_name(&x[i], &x[i + 1])) || !x[i].value.len)
            continue; /* a later one counts; an empty value unsets, as Go has it */
        struct xattr v = {(const char *)p->text.p + x[i].name.off, x[i].name.len, p->text.p + x[i].value.off,
                          x[i].value.len};
        if (buf_append(out, &v, sizeof v) < 0)
            return err_nomem(e);
    }
    return 0;
}

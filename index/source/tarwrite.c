/* SPDX-License-Identifier: MIT */
/*
 * The ustar fields are filled as far as they reach; what doesn't fit goes into a PAX header in front, and then the
 * field holds a harmless stand-in (cut name, zero number), which any reader that knows PAX overrides.
 */
#include "tarwrite.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 512, NAME_LEN = 100, PREFIX_AT = 345, PREFIX_LEN = 155 };

static const uint8_t magic[8] = {'u', 's', 't', 'a', 'r', 0, '0', '0'};
/* Always the same: the only name that depends on nothing. */
static const char pax_name[] = "PaxHeaders/member";

/* Octal digits and a NUL in a field of n bytes; 0 stands in for what is too large. */
static void put_octal(uint8_t *field, size_t n, uint64_t v, bool *ret_fits)
{
    bool fits = v >> (3 * (n - 1)) == 0;
    if (!fits) {
        v = 0;
        if (ret_fits)
            *ret_fits = false;
    }
    field[n - 1] = 0;
    for (size_t i = n - 1; i-- > 0; v >>= 3)
        field[i] = (uint8_t)('0' + (v & 7));
}

static size_t digits(uint64_t n)
{
    size_t d = 1;
    while (n >= 10) {
        n /= 10;
        d++;
    }
    return d;
}

/* "LEN key=value\n", where LEN counts itself. */
static int pax_record(struct buf *b, const char *prefix, const char *key, size_t key_len, const void *value, size_t n)
{
    size_t body = strlen(prefix) + key_len + n + 3, len = body + digits(body);
    if (body + digits(len) != len)
        len = body + digits(len);
    if (buf_printf(b, "%zu %s", len, prefix) < 0 || buf_append(b, key, key_len) < 0 || buf_append(b, "=", 1) < 0 ||
        buf_append(b, value, n) < 0 || buf_append(b, "\n", 1) < 0)
        return -1;
    return 0;
}

static int pax_text(struct buf *b, const char *key, const char *value)
{
    return pax_record(b, "", key, strlen(key), value, strlen(value));
}

static int pax_number(struct buf *b, const char *key, uint64_t v)
{
    char t[24];
    snprintf(t, sizeof t, "%" PRIu64, v);
    return pax_text(b, key, t);
}

/* Seconds with a fraction; before 1970 the sign is that of the whole number: -1.25 is 1.25 s before. */
static int pax_time(struct buf *b, const char *key, int64_t sec, uint32_t nsec)
{
    char t[48];
    uint64_t whole = sec < 0 ? (uint64_t)0 - (uint64_t)sec : (uint64_t)sec;
    if (sec < 0 && nsec) {
        whole--;
        nsec = 1000000000u - nsec;
    }
    int n = snprintf(t, sizeof t, "%s%" PRIu64, sec < 0 ? "-" : "", whole);
    if (nsec) {
        n += snprintf(t + n, sizeof t - (size_t)n, ".%09" PRIu32, nsec);
        while (t[n - 1] == '0')
            t[--n] = '\0';
    }
    return pax_text(b, key, t);
}

static bool is_ascii(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s >= 0x80)
            return false;
    return true;
}

/* Splits a name over prefix and name at a slash, if ustar can hold it. */
static bool put_name(uint8_t *h, const char *name)
{
    size_t len = strlen(name);
    if (len <= NAME_LEN) {
        memcpy(h, name, len);
        return true;
    }
    for (size_t i = len - NAME_LEN - 1; i <= PREFIX_LEN && i < len - 1; i++)
        if (name[i] == '/' && i > 0) {
            memcpy(h + PREFIX_AT, name, i);
            memcpy(h, name + i + 1, len - i - 1);
            return true;
        }
    /* A cut name must not end in a slash: old readers would take the member for a directory. */
    size_t cut = NAME_LEN;
    memcpy(h, name, cut);
    while (cut && h[cut - 1] == '/')
        h[--cut] = 0;
    return false;
}

static void put_checksum(uint8_t *h)
{
    unsigned sum = 0;
    memset(h + 148, ' ', 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += h[i];
    put_octal(h + 148, 7, sum, NULL);
}

static int pax_xattrs(struct buf *pax, const struct tarwrite_member *m, struct err *e)
{
    for (size_t i = 0; i < m->xattr_count; i++) {
        const struct xattr *x = &m->xattrs[i];
        if (!x->name_len || memchr(x->name, '=', x->name_len) || memchr(x->name, 0, x->name_len))
            return err_set(e, ERR_UNSUPPORTED, "'%s': a tar can't hold the extended attribute '%.*s'", m->name,
                           (int)x->name_len, x->name);
        if (pax_record(pax, "SCHILY.xattr.", x->name, x->name_len, x->value, x->value_len) < 0)
            return err_nomem(e);
    }
    return 0;
}

/* Fills the ustar block; what it can't hold is appended to pax. */
static int fill(const struct tarwrite_member *m, const char *name, uint8_t *h, struct buf *pax, struct err *e)
{
    bool uid = true, gid = true, size = true, mtime = true;
    const char *link = m->link ? m->link : "";
    int bad = 0;

    bool name_fits = put_name(h, name) && is_ascii(name);
    put_octal(h + 100, 8, m->mode & 07777, NULL);
    put_octal(h + 108, 8, m->uid, &uid);
    put_octal(h + 116, 8, m->gid, &gid);
    put_octal(h + 124, 12, m->type == '0' ? m->size : 0, &size);
    put_octal(h + 136, 12, m->mtime < 0 ? UINT64_MAX : (uint64_t)m->mtime, &mtime);
    h[156] = (uint8_t)m->type;
    size_t link_len = strlen(link);
    memcpy(h + 157, link, link_len < NAME_LEN ? link_len : NAME_LEN);
    memcpy(h + 257, magic, sizeof magic);
    put_octal(h + 329, 8, m->type == '3' || m->type == '4' ? m->devmajor : 0, NULL);
    put_octal(h + 337, 8, m->type == '3' || m->type == '4' ? m->devminor : 0, NULL);
    put_checksum(h);

    if (!name_fits)
        bad |= pax_text(pax, "path", name);
    if (link_len > NAME_LEN || !is_ascii(link))
        bad |= pax_text(pax, "linkpath", link);
    if (!size)
        bad |= pax_number(pax, "size", m->size);
    if (!uid)
        bad |= pax_number(pax, "uid", m->uid);
    if (!gid)
        bad |= pax_number(pax, "gid", m->gid);
    if (!mtime || m->mtime_nsec)
        bad |= pax_time(pax, "mtime", m->mtime, m->mtime_nsec);
    if (bad)
        return err_nomem(e);
    return pax_xattrs(pax, m, e);
}

static void fill_pax_header(uint8_t *h, size_t size)
{
    memcpy(h, pax_name, sizeof pax_name);
    put_octal(h + 100, 8, 0644, NULL);
    put_octal(h + 108, 8, 0, NULL);
    put_octal(h + 116, 8, 0, NULL);
    put_octal(h + 124, 12, size, NULL);
    put_octal(h + 136, 12, 0, NULL);
    h[156] = 'x';
    memcpy(h + 257, magic, sizeof magic);
    put_octal(h + 329, 8, 0, NULL);
    put_octal(h + 337, 8, 0, NULL);
    put_checksum(h);
}

int tarwrite_header(const struct tarwrite_member *m, struct buf *out, struct err *e)
{
    struct buf pax = {0}, name = {0};
    uint8_t h[BLOCK] = {0}, px[BLOCK] = {0};
    int rc = -1;

    size_t len = strlen(m->name);
    bool slash = m->type == '5' && (!len || m->name[len - 1] != '/');
    if (buf_printf(&name, "%s%s", m->name, slash ? "/" : "") < 0) {
        err_nomem(e);
        goto out;
    }
    if (fill(m, (const char *)name.p, h, &pax, e) < 0)
        goto out;
    if (pax.len) {
        fill_pax_header(px, pax.len);
        if (buf_append(out, px, BLOCK) < 0 || buf_append(out, pax.p, pax.len) < 0) {
            err_nomem(e);
            goto out;
        }
        if (tarwrite_pad(pax.len, out, e) < 0)
            goto out;
    }
    rc = buf_append(out, h, BLOCK) < 0 ? err_nomem(e) : 0;
out:
    buf_release(&pax);
    buf_release(&name);
    return rc;
}

int tarwrite_pad(uint64_t size, struct buf *out, struct err *e)
{
    size_t pad = (size_t)(-size & (BLOCK - 1));
    return buf_append_zero(out, pad) < 0 ? err_nomem(e) : 0;
}

int tarwrite_end(struct buf *out, struct err *e)
{
    return buf_append_zero(out, 2 * BLOCK) < 0 ? err_nomem(e) : 0;
}

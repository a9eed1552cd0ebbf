/* SPDX-License-Identifier: MIT */
/*
 * Sparse members. Four encodings of one thing, a list of fragments that are stored: old GNU (in the header and in
 * blocks behind it), PAX 0.0 and 0.1 (in records), PAX 1.0 (in front of the payload). Maps are bounded by
 * LIMIT_TAR_SPECIAL (CVE-2025-58183), and no memory is taken on the word of a count.
 */
#include "tar_internal.h"
#include "../limits.h"

enum { OLD_MAP = 386, OLD_MAP_ENTRIES = 4, OLD_REALSIZE = 483, EXT_ENTRIES = 21, ENTRY_LEN = 24 };

static int add(struct tar *t, int64_t off, int64_t len, struct err *e)
{
    /* As long as the list isn't checked, negative values are kept as they are. */
    struct tar_fragment f = {(uint64_t)off, (uint64_t)len};
    return buf_append(&t->fragments, &f, sizeof f) < 0 ? err_nomem(e) : 0;
}

static int malformed(struct err *e)
{
    return err_set(e, ERR_INPUT, "malformed map of a sparse file");
}

static int too_long(struct err *e)
{
    return err_set(e, ERR_LIMIT, "map of a sparse file is over %u bytes", LIMIT_TAR_SPECIAL);
}

int tar_sparse_check(struct tar *t, int64_t size, struct err *e)
{
    struct tar_fragment *f = (struct tar_fragment *)(void *)t->fragments.p;
    size_t n = t->fragments.len / sizeof *f, kept = 0;
    uint64_t end = 0, sum = 0;
    if (size < 0)
        return malformed(e);
    for (size_t i = 0; i < n; i++) {
        if (f[i].off > (uint64_t)size || f[i].len > (uint64_t)size - f[i].off || f[i].off < end)
            return malformed(e);
        end = f[i].off + f[i].len;
        sum += f[i].len;
        if (f[i].len)
            f[kept++] = f[i];
    }
    if (sum != t->left)
        return err_set(e, ERR_INPUT, "a sparse file's map speaks of %llu bytes, its data are %llu",
                       (unsigned long long)sum, (unsigned long long)t->left);
    t->en.sparse = true;
    t->en.size = (uint64_t)size;
    t->en.fragments = f;
    t->en.fragment_count = kept;
    return 0;
}

/* Entries of one block until the first empty one. */
static int old_entries(struct tar *t, const uint8_t *map, size_t n, struct err *e)
{
    for (size_t i = 0; i < n && map[i * ENTRY_LEN]; i++) {
        int64_t off, len;
        if (tar_number(map + i * ENTRY_LEN, 12, &off) < 0 || tar_number(map + i * ENTRY_LEN + 12, 12, &len) < 0)
            return malformed(e);
        if (add(t, off, len, e) < 0)
            return -1;
    }
    return 0;
}

int tar_sparse_old(struct tar *t, struct err *e)
{
    int64_t size;
    uint8_t ext[TAR_BLOCK];
    /* STAR has the same type letter with another layout. */
    if (memcmp(t->block + 257, "ustar  ", 8) != 0)
        return err_set(e, ERR_INPUT, "a sparse file that isn't in GNU format");
    if (tar_number(t->block + OLD_REALSIZE, 12, &size) < 0)
        return malformed(e);
    if (old_entries(t, t->block + OLD_MAP, OLD_MAP_ENTRIES, e) < 0)
        return -1;
    bool more = t->block[OLD_MAP + OLD_MAP_ENTRIES * ENTRY_LEN];
    for (size_t bytes = 0; more; bytes += TAR_BLOCK) {
        if (bytes >= LIMIT_TAR_SPECIAL)
            return too_long(e);
        if (tar_literal_bytes(t, ext, sizeof ext, "map of a sparse file", e) < 0 ||
            old_entries(t, ext, EXT_ENTRIES, e) < 0)
            return -1;
        more = ext[EXT_ENTRIES * ENTRY_LEN];
    }
    return tar_sparse_check(t, size, e);
}

/* "off,len,off,len" */
static int map_01(struct tar *t, struct err *e)
{
    size_t n = 0, count_len = 0;
    const char *s = pax_value(&t->pax, PAX_SPARSE_MAP, &n);
    const char *count = pax_value(&t->pax, PAX_SPARSE_NUMBLOCKS, &count_len);
    int64_t want, v[2] = {0, 0};
    if (!count || tar_decimal(count, count_len, &want) < 0 || want < 0)
        return malformed(e);
    int64_t numbers = 0;
    while (s) {
        const char *comma = memchr(s, ',', n);
        size_t len = comma ? (size_t)(comma - s) : n;
        if (tar_decimal(s, len, &v[numbers & 1]) < 0)
            return malformed(e);
        if (++numbers % 2 == 0 && add(t, v[0], v[1], e) < 0)
            return -1;
        n -= comma ? len + 1 : len;
        s = comma ? comma + 1 : NULL;
    }
    return numbers % 2 || numbers / 2 != want ? malformed(e) : 0;
}

/* Reads blocks off the payload into t->text until `lines` newlines are there. */
static int feed_lines(struct tar *t, uint64_t *have, uint64_t lines, struct err *e)
{
    uint8_t block[TAR_BLOCK];
    while (*have < lines) {
        if (t->text.len >= LIMIT_TAR_SPECIAL)
            return too_long(e);
        if (t->left < TAR_BLOCK)
            return err_set(e, ERR_INPUT, "map of a sparse file is cut off");
        if (tar_literal_bytes(t, block, sizeof block, "map of a sparse file", e) < 0)
            return -1;
        t->left -= TAR_BLOCK;
        if (buf_append(&t->text, block, sizeof block) < 0)
            return err_nomem(e);
        for (size_t i = 0; i < sizeof block; i++)
            *have += block[i] == '\n';
    }
    return 0;
}

static int next_line(struct tar *t, size_t *off, int64_t *ret)
{
    const char *s = (const char *)t->text.p + *off, *nl = memchr(s, '\n', t->text.len - *off);
    if (!nl || tar_decimal(s, (size_t)(nl - s), ret) < 0)
        return -1;
    *off += (size_t)(nl - s) + 1;
    return 0;
}

/* One number a line: how many, then pairs; ends at the block that holds the last line's end. */
static int map_10(struct tar *t, struct err *e)
{
    uint64_t have = 0;
    size_t off = 0;
    int64_t count, o, len;
    t->text.len = 0;
    if (feed_lines(t, &have, 1, e) < 0)
        return -1;
    if (next_line(t, &off, &count) < 0 || count < 0 || count > INT64_MAX / 2)
        return malformed(e);
    if (count > LIMIT_TAR_SPECIAL)
        return too_long(e);
    if (feed_lines(t, &have, 2 * (uint64_t)count + 1, e) < 0)
        return -1;
    for (int64_t i = 0; i < count; i++) {
        if (next_line(t, &off, &o) < 0 || next_line(t, &off, &len) < 0)
            return malformed(e);
        if (add(t, o, len, e) < 0)
            return -1;
    }
    return 0;
}

static bool is(const char *s, size_t n, const char *want)
{
    return s && n == strlen(want) && !memcmp(s, want, n);
}

int tar_sparse_pax(struct tar *t, bool *ret_sparse, struct err *e)
{
    size_t major_n = 0, minor_n = 0, n = 0;
    const char *major = pax_value(&t->pax, PAX_SPARSE_MAJOR, &major_n);
    const char *minor = pax_value(&t->pax, PAX_SPARSE_MINOR, &minor_n);
    bool v1 = is(major, major_n, "1") && is(minor, minor_n, "0");
    bool v0 = is(major, major_n, "0") && (is(minor, minor_n, "0") || is(minor, minor_n, "1"));
    *ret_sparse = false;
    if (!v0 && !v1 && (major || minor || !pax_value(&t->pax, PAX_SPARSE_MAP, &n)))
        return 0; /* none, or of a version that Go takes for an ordinary file */

    const char *s = pax_value(&t->pax, PAX_SPARSE_NAME, &n);
    if (s) {
        t->name.len = 0;
        if (buf_append(&t->name, s, n) < 0)
            return err_nomem(e);
        t->en.name = (const char *)t->name.p;
        t->en.name_len = n;
    }
    int64_t size = (int64_t)t->en.size;
    s = pax_value(&t->pax, PAX_SPARSE_SIZE, &n);
    if (!s)
        s = pax_value(&t->pax, PAX_SPARSE_REALSIZE, &n);
    if (s && tar_decimal(s, n, &size) < 0)
        return malformed(e);
    if ((v1 ? map_10(t, e) : map_01(t, e)) < 0)
        return -1;
    *ret_sparse = true;
    return tar_sparse_check(t, size, e);
}

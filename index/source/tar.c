/* SPDX-License-Identifier: MIT */
/*
 * One pass, no seeking. An entry is a header block with any number of meta entries in front of it; state between calls
 * of tar_next is: payload not yet read (left), then padding (pad), then the next header.
 *
 * What ends an archive is what ends it for Go: the end of the stream between entries or inside padding, one zero block
 * at the end of the stream, or two zero blocks, whatever follows them.
 */
#include "tar_internal.h"
#include "../limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum format { FORMAT_BAD, FORMAT_V7, FORMAT_USTAR, FORMAT_STAR, FORMAT_GNU };

int tar_open(struct stream *s, tar_literal_fn *literal, void *ctx, struct tar **ret, struct err *e)
{
    struct tar *t = calloc(1, sizeof *t);
    if (!t)
        return err_nomem(e);
    t->s = s;
    t->literal = literal;
    t->ctx = ctx;
    *ret = t;
    return 0;
}

void tar_close(struct tar *t)
{
    if (!t)
        return;
    pax_release(&t->pax);
    buf_release(&t->name);
    buf_release(&t->link);
    buf_release(&t->gnu_name);
    buf_release(&t->gnu_link);
    buf_release(&t->fragments);
    buf_release(&t->xattrs);
    buf_release(&t->text);
    free(t);
}

/* Foreign bytes end up on a terminal: control characters are shown, not sent. */
static void printable(const char *s, size_t n, char *out, size_t cap)
{
    size_t o = 0;
    for (size_t i = 0; i < n && o + 8 < cap; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c < 0x20 || c == 0x7f)
            o += (size_t)snprintf(out + o, cap - o, "\\x%02x", c);
        else
            out[o++] = (char)c;
    }
    out[o] = '\0';
}

int tar_wrap(const struct tar *t, struct err *e)
{
    char name[300];
    if (!t->located)
        return err_wrap(e, "entry %" PRIu32 " at offset %" PRIu64, t->en.number, t->en.offset);
    printable(t->en.name, t->en.name_len, name, sizeof name);
    return err_wrap(e, "entry %" PRIu32 " '%s' at offset %" PRIu64, t->en.number, name, t->en.offset);
}

int tar_give_literal(struct tar *t, const void *p, size_t n, struct err *e)
{
    return t->literal && n ? t->literal(t->ctx, p, n, e) : 0;
}

int tar_literal_bytes(struct tar *t, void *p, size_t n, const char *what, struct err *e)
{
    if (stream_need(t->s, p, n, what, e) < 0)
        return -1;
    return tar_give_literal(t, p, n, e);
}

static int truncated(struct tar *t, struct err *e)
{
    return err_set(e, ERR_INPUT, "truncated: %" PRIu64 " of the entry's %" PRIu64 " bytes are missing", t->left,
                   t->en.stored);
}

/* Gives the rest of the payload and its padding as literals. *ret_end: the stream ended inside the padding. */
static int finish_member(struct tar *t, bool *ret_end, struct err *e)
{
    const uint8_t *p;
    size_t n;
    while (t->left) {
        if (stream_run(t->s, t->left > SIZE_MAX ? SIZE_MAX : (size_t)t->left, &p, &n, e) < 0)
            return -1;
        if (!n)
            return truncated(t, e);
        t->left -= n;
        if (tar_give_literal(t, p, n, e) < 0)
            return -1;
    }
    while (t->pad) {
        if (stream_run(t->s, (size_t)t->pad, &p, &n, e) < 0)
            return -1;
        if (!n) {
            *ret_end = true;
            return 0;
        }
        t->pad -= n;
        if (tar_give_literal(t, p, n, e) < 0)
            return -1;
    }
    return 0;
}

static int read_block(struct tar *t, bool *ret_end, struct err *e)
{
    size_t n;
    if (stream_read(t->s, t->block, sizeof t->block, &n, e) < 0)
        return -1;
    *ret_end = n == 0;
    if (n && n < sizeof t->block)
        return err_set(e, ERR_INPUT, "truncated: the archive ends inside a header");
    return tar_give_literal(t, t->block, n, e);
}

static bool is_zero_block(const uint8_t *b)
{
    return !b[0] && !memcmp(b, b + 1, TAR_BLOCK - 1);
}

/* The next header into t->block; *ret_end when the archive ended instead. */
static int read_header(struct tar *t, bool *ret_end, struct err *e)
{
    if (read_block(t, ret_end, e) < 0 || *ret_end)
        return *ret_end ? 0 : -1;
    if (!is_zero_block(t->block))
        return 0;
    if (read_block(t, ret_end, e) < 0)
        return -1;
    if (!*ret_end && !is_zero_block(t->block))
        return err_set(e, ERR_INPUT, "a single block of zeros in the middle of the archive");
    *ret_end = true;
    return 0;
}

static enum format find_format(const uint8_t *b)
{
    int64_t want, sum = 0, sum_signed = 0; /* some writers summed signed bytes */
    for (size_t i = 0; i < TAR_BLOCK; i++) {
        uint8_t c = i >= 148 && i < 156 ? ' ' : b[i];
        sum += c;
        sum_signed += (int8_t)c;
    }
    if (tar_octal(b + 148, 8, &want) < 0 || (want != sum && want != sum_signed))
        return FORMAT_BAD;
    if (!memcmp(b + 257, "ustar", 6))
        return memcmp(b + 508, "tar", 4) ? FORMAT_USTAR : FORMAT_STAR;
    return memcmp(b + 257, "ustar  ", 8) ? FORMAT_V7 : FORMAT_GNU;
}

/* A field that ends at a NUL or at its last byte; prefix in front, unless empty. */
static int set_text(struct buf *b, const uint8_t *prefix, size_t prefix_n, const uint8_t *field, size_t n,
                    struct err *e)
{
    size_t pl = prefix ? strnlen((const char *)prefix, prefix_n) : 0, len = strnlen((const char *)field, n);
    b->len = 0;
    if ((pl && (buf_append(b, prefix, pl) < 0 || buf_append(b, "/", 1) < 0)) || buf_append(b, field, len) < 0)
        return err_nomem(e);
    return 0;
}

static bool is_ascii(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n && p[i]; i++)
        if (p[i] >= 0x80)
            return false;
    return true;
}

/* Go before 1.8 wrote GNU headers with a ustar prefix where GNU has times: taken for one when they aren't numbers. */
static const uint8_t *gnu_prefix(const uint8_t *b)
{
    int64_t v;
    bool times = (!b[345] || tar_number(b + 345, 12, &v) == 0) && (!b[357] || tar_number(b + 357, 12, &v) == 0);
    return times || !is_ascii(b + 345, 155) ? NULL : b + 345;
}

static bool header_only(char type)
{
    return type >= '1' && type <= '6';
}

static int set_payload(struct tar *t, int64_t size, struct err *e)
{
    int64_t n = header_only(t->en.type) ? 0 : size;
    if (n < 0)
        return err_set(e, ERR_INPUT, "negative size %" PRId64, n);
    t->left = t->en.stored = (uint64_t)n;
    t->pad = -(uint64_t)n & (TAR_BLOCK - 1);
    return 0;
}

/* Takes the fields of t->block into t->en. */
static int parse_header(struct tar *t, int64_t *ret_size, struct err *e)
{
    const uint8_t *b = t->block, *prefix = NULL;
    size_t prefix_n = 155;
    int64_t v;
    struct tar_entry *en = &t->en;
    enum format f = find_format(b);

    if (f == FORMAT_BAD)
        return err_set(e, ERR_INPUT, "not a tar header: its checksum is wrong");
    if (tar_number(b + 124, 12, ret_size) < 0 || tar_number(b + 100, 8, &en->mode) < 0 ||
        tar_number(b + 108, 8, &en->uid) < 0 || tar_number(b + 116, 8, &en->gid) < 0 ||
        tar_number(b + 136, 12, &en->mtime) < 0)
        return err_set(e, ERR_INPUT, "malformed number in the header");
    en->mtime_nsec = 0;
    en->devmajor = en->devminor = 0;
    if (f != FORMAT_V7 && (tar_number(b + 329, 8, &en->devmajor) < 0 || tar_number(b + 337, 8, &en->devminor) < 0))
        return err_set(e, ERR_INPUT, "malformed device number in the header");
    if (f == FORMAT_USTAR) {
        prefix = b + 345;
    } else if (f == FORMAT_STAR) {
        prefix = b + 345;
        prefix_n = 131;
        if (tar_number(b + 476, 12, &v) < 0 || tar_number(b + 488, 12, &v) < 0)
            return err_set(e, ERR_INPUT, "malformed time in the header");
    } else if (f == FORMAT_GNU) {
        prefix = gnu_prefix(b);
    }
    en->type = (char)b[156];
    if (set_text(&t->name, prefix, prefix_n, b, 100, e) < 0 || set_text(&t->link, NULL, 0, b + 157, 100, e) < 0)
        return -1;
    return set_payload(t, *ret_size, e);
}

/* Payload of a meta entry. */
static int read_special(struct tar *t, struct buf *b, const char *what, struct err *e)
{
    b->len = 0;
    if (t->left > LIMIT_TAR_SPECIAL)
        return err_set(e, ERR_LIMIT, "%s of %" PRIu64 " bytes: over the limit of %u", what, t->left, LIMIT_TAR_SPECIAL);
    size_t n = (size_t)t->left;
    if (buf_reserve(b, n) < 0)
        return err_nomem(e);
    if (tar_literal_bytes(t, b->p, n, what, e) < 0)
        return -1;
    b->len = n;
    b->p[n] = 0;
    t->left = 0;
    return 0;
}

/* Handles a meta entry; *ret_meta false: it is none. */
static int take_meta(struct tar *t, bool *ret_meta, struct err *e)
{
    struct buf *b = t->en.type == 'L' ? &t->gnu_name : &t->gnu_link;
    *ret_meta = true;
    switch (t->en.type) {
    case 'x':
    case 'g':
        pax_reset(&t->pax);
        if (read_special(t, &t->pax.text, "PAX header", e) < 0 || pax_parse(&t->pax, e) < 0)
            return -1;
        if (t->en.type == 'g') {
            /* To Go a global header is an entry of its own, without effect on others; what stood before it is void. */
            pax_reset(&t->pax);
            t->gnu_name.len = t->gnu_link.len = 0;
        }
        return 0;
    case 'L':
    case 'K':
        if (read_special(t, b, "GNU long name", e) < 0)
            return -1;
        b->len = strlen((const char *)b->p);
        return 0;
    default:
        *ret_meta = false;
        return 0;
    }
}

static int merge_text(struct tar *t, enum pax_key key, const struct buf *gnu, struct buf *into, struct err *e)
{
    size_t n = gnu->len;
    const char *s = n ? (const char *)gnu->p : pax_value(&t->pax, key, &n);
    if (!s)
        return 0;
    into->len = 0;
    return buf_append(into, s, n) < 0 ? err_nomem(e) : 0;
}

static int merge_number(struct tar *t, enum pax_key key, const char *what, int64_t *into, struct err *e)
{
    size_t n;
    const char *s = pax_value(&t->pax, key, &n);
    if (s && tar_decimal(s, n, into) < 0)
        return err_set(e, ERR_INPUT, "malformed PAX header: bad %s", what);
    return 0;
}

static int merge_time(struct tar *t, enum pax_key key, int64_t *sec, uint32_t *nsec, struct err *e)
{
    size_t n;
    const char *s = pax_value(&t->pax, key, &n);
    if (s && tar_pax_time(s, n, sec, nsec) < 0)
        return err_set(e, ERR_INPUT, "malformed PAX header: bad time");
    return 0;
}

/* Names as they are now: final ones, or those of the header for errors. */
static void point_names(struct tar *t)
{
    t->en.name = (const char *)t->name.p;
    t->en.name_len = t->name.len;
    t->en.link = (const char *)t->link.p;
    t->en.link_len = t->link.len;
    t->located = true;
}

/* The header of the entry proper is in t->block: what the meta entries say overrides it. */
static int merge(struct tar *t, int64_t size, struct err *e)
{
    struct tar_entry *en = &t->en;
    int64_t sec;
    uint32_t nsec;
    if (merge_text(t, PAX_PATH, &t->gnu_name, &t->name, e) < 0 ||
        merge_text(t, PAX_LINKPATH, &t->gnu_link, &t->link, e) < 0)
        return -1;
    point_names(t);
    if (merge_number(t, PAX_SIZE, "size", &size, e) < 0 || merge_number(t, PAX_UID, "uid", &en->uid, e) < 0 ||
        merge_number(t, PAX_GID, "gid", &en->gid, e) < 0 ||
        merge_time(t, PAX_MTIME, &en->mtime, &en->mtime_nsec, e) < 0 || merge_time(t, PAX_ATIME, &sec, &nsec, e) < 0 ||
        merge_time(t, PAX_CTIME, &sec, &nsec, e) < 0)
        return -1;
    if (en->type == '\0')
        en->type = en->name_len && en->name[en->name_len - 1] == '/' ? '5' : '0';
    if (set_payload(t, size, e) < 0 || pax_xattrs(&t->pax, &t->xattrs, e) < 0)
        return -1;
    en->size = t->left;
    en->xattrs = (struct xattr *)(void *)t->xattrs.p;
    en->xattr_count = t->xattrs.len / sizeof *en->xattrs;

    bool sparse = en->type == 'S';
    if ((sparse ? tar_sparse_old(t, e) : tar_sparse_pax(t, &sparse, e)) < 0)
        return -1;
    if (sparse && header_only(en->type))
        return err_set(e, ERR_INPUT, "sparse, but of a type that holds no data");
    en->stored = t->left;
    return 0;
}

static int next(struct tar *t, struct err *e)
{
    bool end = false, meta = true, global = true;
    int64_t size = 0;
    while (meta) {
        if (finish_member(t, &end, e) < 0)
            return -1;
        if (!end) {
            if (global) { /* a new entry begins here */
                uint32_t number = t->en.number + (t->located || !t->en.number);
                t->en = (struct tar_entry){.number = number, .offset = t->s->pos};
                t->located = false;
            }
            if (read_header(t, &end, e) < 0)
                return -1;
        }
        if (end) {
            t->ended = true;
            return 0;
        }
        if (parse_header(t, &size, e) < 0 || take_meta(t, &meta, e) < 0)
            return -1;
        global = t->en.type == 'g';
    }
    return merge(t, size, e);
}

int tar_next(struct tar *t, const struct tar_entry **ret, struct err *e)
{
    if (t->failed)
        return err_set(e, ERR_USAGE, "the archive can't be read on after an error");
    if (!t->ended) {
        t->fragment = 0;
        t->in_fragment = 0;
        pax_reset(&t->pax);
        t->gnu_name.len = t->gnu_link.len = t->fragments.len = 0;
        if (next(t, e) < 0) {
            t->failed = true;
            return tar_wrap(t, e);
        }
    }
    *ret = t->ended ? NULL : &t->en;
    return 0;
}

int tar_data(struct tar *t, uint64_t *ret_off, const uint8_t **ret_p, size_t *ret_n, struct err *e)
{
    uint64_t max = t->left, off = t->en.stored - t->left;
    const struct tar_fragment *f = NULL;
    *ret_n = 0;
    if (!max)
        return 0;
    if (t->failed)
        return err_set(e, ERR_USAGE, "the archive can't be read on after an error");
    if (t->en.sparse) {
        f = &t->en.fragments[t->fragment];
        max = f->len - t->in_fragment;
        off = f->off + t->in_fragment;
    }
    size_t n;
    int rc = stream_run(t->s, max > SIZE_MAX ? SIZE_MAX : (size_t)max, ret_p, &n, e);
    if (rc == 0 && !n)
        rc = truncated(t, e);
    if (rc < 0) {
        t->failed = true;
        return tar_wrap(t, e);
    }
    t->left -= n;
    if (f) {
        t->in_fragment += n;
        if (t->in_fragment == f->len) {
            t->fragment++;
            t->in_fragment = 0;
        }
    }
    *ret_off = off;
    *ret_n = n;
    return 0;
}

int tar_drain(struct tar *t, struct err *e)
{
    const uint8_t *p;
    size_t n;
    if (!t->ended)
        return err_set(e, ERR_USAGE, "the archive's end wasn't reached yet");
    for (;;) {
        if (stream_run(t->s, SIZE_MAX, &p, &n, e) < 0)
            return -1;
        if (!n)
            return 0;
        if (tar_give_literal(t, p, n, e) < 0)
            return -1;
    }
}

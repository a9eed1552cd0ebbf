/* SPDX-License-Identifier: MIT */
/*
 * The parser is a loop over three places of the grammar:
 *
 *   AT_NODE   before a "(" that opens a node            → file or link: AFTER_NODE; directory: one level down, AT_ENTRY
 *   AT_ENTRY  inside a directory, between entries       → "entry": AT_NODE; ")": one level up, AFTER_NODE
 *   AFTER_NODE  behind a node's ")"                     → outermost: done; else the entry's ")" and AT_ENTRY
 *
 * A level remembers the name of its last entry: for the order of the next, and for the path in messages.
 */
#include "nar.h"

#include "../buf.h"
#include "../limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char magic[] = "nix-archive-1";

struct level {
    char name[LIMIT_NAME]; /* of its newest entry */
    size_t len;
};

struct parser {
    struct stream *in;
    const struct nar_events *ev;
    void *ctx;
    unsigned depth; /* open directories */
    struct level level[LIMIT_NAR_DEPTH];
    char str[LIMIT_NAR_TARGET + 9];
    size_t len;   /* of str */
    uint64_t at;  /* where str began */
    size_t n_raw; /* bytes read but not told yet */
    uint8_t raw[4096];
};

/* Appends text to a C string of cap bytes, what isn't printable as \xNN; cut when it doesn't fit. */
static void append_safe(char *out, size_t cap, const char *s, size_t n)
{
    size_t len = strlen(out);
    for (size_t i = 0; i < n && len + 5 < cap; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c < 0x20 || c == 0x7f || c == '\\')
            len += (size_t)snprintf(out + len, cap - len, "\\x%02x", c);
        else
            out[len++] = (char)c;
        out[len] = '\0';
    }
}

/* The error with offset and path around it. */
__attribute__((format(printf, 4, 5))) static int bad(struct parser *p, struct err *e, enum err_kind kind,
                                                     const char *fmt, ...)
{
    char text[512], path[256] = "";
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (unsigned i = 0; i < p->depth; i++) {
        if (i)
            append_safe(path, sizeof path, "/", 1);
        append_safe(path, sizeof path, p->level[i].name, p->level[i].len);
    }
    if (*path)
        return err_set(e, kind, "NAR, offset %" PRIu64 ", at '%s': %s", p->at, path, text);
    return err_set(e, kind, "NAR, offset %" PRIu64 ": %s", p->at, text);
}

static int tell_raw(struct parser *p, struct err *e)
{
    size_t n = p->n_raw;
    p->n_raw = 0;
    return n && p->ev->bytes ? p->ev->bytes(p->ctx, p->raw, n, e) : 0;
}

/* Reads n bytes (a token, a name: few) and remembers to tell them. */
static int need(struct parser *p, void *out, size_t n, struct err *e)
{
    if (stream_need(p->in, out, n, "NAR", e) < 0)
        return -1;
    if (p->n_raw + n > sizeof p->raw && tell_raw(p, e) < 0)
        return -1;
    if (n > sizeof p->raw)
        return p->ev->bytes ? p->ev->bytes(p->ctx, out, n, e) : 0;
    memcpy(p->raw + p->n_raw, out, n);
    p->n_raw += n;
    return 0;
}

static int need_u64(struct parser *p, uint64_t *ret, struct err *e)
{
    uint8_t b[8];
    p->at = p->in->pos;
    if (need(p, b, sizeof b, e) < 0)
        return -1;
    *ret = get_u64(b);
    return 0;
}

static int check_padding(struct parser *p, const char *pad, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (pad[i])
            return bad(p, e, ERR_INPUT, "padding is not zero");
    return 0;
}

/* A string of at most max bytes into p->str. */
static int need_str(struct parser *p, size_t max, const char *what, struct err *e)
{
    uint64_t n;
    if (need_u64(p, &n, e) < 0)
        return -1;
    if (n > max)
        return bad(p, e, ERR_INPUT, "%s of %" PRIu64 " bytes, at most %zu are allowed", what, n, max);
    size_t pad = (8 - n % 8) % 8;
    if (need(p, p->str, (size_t)n + pad, e) < 0)
        return -1;
    p->len = (size_t)n;
    return check_padding(p, p->str + n, pad, e);
}

static bool token_is(const struct parser *p, const char *want)
{
    return p->len == strlen(want) && !memcmp(p->str, want, p->len);
}

static int unexpected(struct parser *p, const char *want, struct err *e)
{
    char got[4 * NAR_TOKEN_MAX + 8] = "";
    append_safe(got, sizeof got, p->str, p->len);
    return bad(p, e, ERR_INPUT, "expected %s, got '%s'", want, got);
}

static int need_token(struct parser *p, struct err *e)
{
    return need_str(p, NAR_TOKEN_MAX, "keyword", e);
}

static int expect(struct parser *p, const char *want, struct err *e)
{
    char quoted[NAR_TOKEN_MAX + 3];
    if (need_token(p, e) < 0)
        return -1;
    if (token_is(p, want))
        return 0;
    snprintf(quoted, sizeof quoted, "'%s'", want);
    return unexpected(p, quoted, e);
}

static int parse_contents(struct parser *p, uint64_t size, struct err *e)
{
    if (tell_raw(p, e) < 0)
        return -1;
    for (uint64_t left = size; left;) {
        const uint8_t *run;
        size_t n;
        if (stream_run(p->in, left > SIZE_MAX ? SIZE_MAX : (size_t)left, &run, &n, e) < 0)
            return -1;
        p->at = p->in->pos;
        if (!n)
            return bad(p, e, ERR_INPUT, "truncated: %" PRIu64 " of a file's %" PRIu64 " bytes are missing", left, size);
        if ((p->ev->bytes && p->ev->bytes(p->ctx, run, n, e) < 0) || p->ev->file_data(p->ctx, run, n, e) < 0)
            return -1;
        left -= n;
    }
    char pad[8];
    size_t n = (8 - size % 8) % 8;
    p->at = p->in->pos;
    return need(p, pad, n, e) < 0 ? -1 : check_padding(p, pad, n, e);
}

static int parse_file(struct parser *p, const char *name, size_t len, struct err *e)
{
    bool executable = false;
    uint64_t size;
    if (need_token(p, e) < 0)
        return -1;
    if (token_is(p, "executable")) {
        executable = true;
        if (need_token(p, e) < 0)
            return -1;
        if (p->len)
            return unexpected(p, "an empty value of 'executable'", e);
        if (need_token(p, e) < 0)
            return -1;
    }
    if (!token_is(p, "contents"))
        return unexpected(p, executable ? "'contents'" : "'executable' or 'contents'", e);
    if (need_u64(p, &size, e) < 0)
        return -1;
    if (size > LIMIT_FILE)
        return bad(p, e, ERR_LIMIT, "file of %" PRIu64 " bytes, at most %" PRIu64 " are allowed", size, LIMIT_FILE);
    if (p->ev->file_begin(p->ctx, name, len, executable, size, e) < 0 || parse_contents(p, size, e) < 0 ||
        p->ev->file_end(p->ctx, e) < 0)
        return -1;
    return expect(p, ")", e);
}

static int parse_symlink(struct parser *p, const char *name, size_t len, struct err *e)
{
    if (expect(p, "target", e) < 0 || need_str(p, LIMIT_NAR_TARGET, "symlink target", e) < 0)
        return -1;
    if (!p->len)
        return bad(p, e, ERR_INPUT, "symlink target is empty");
    if (memchr(p->str, 0, p->len))
        return bad(p, e, ERR_INPUT, "symlink target contains a NUL byte");
    if (p->ev->symlink(p->ctx, name, len, p->str, p->len, e) < 0)
        return -1;
    return expect(p, ")", e);
}

/* A node from its "(" on. *ret_dir: a directory was opened, its entries follow. */
static int parse_node(struct parser *p, bool *ret_dir, struct err *e)
{
    const struct level *in = p->depth ? &p->level[p->depth - 1] : NULL;
    const char *name = in ? in->name : "";
    size_t len = in ? in->len : 0;
    *ret_dir = false;
    if (p->depth >= LIMIT_NAR_DEPTH)
        return bad(p, e, ERR_LIMIT, "directories are nested more than %d deep", LIMIT_NAR_DEPTH);
    if (expect(p, "(", e) < 0 || expect(p, "type", e) < 0 || need_token(p, e) < 0)
        return -1;
    if (token_is(p, "regular"))
        return parse_file(p, name, len, e);
    if (token_is(p, "symlink"))
        return parse_symlink(p, name, len, e);
    if (!token_is(p, "directory"))
        return unexpected(p, "the type 'regular', 'symlink' or 'directory'", e);
    if (p->ev->dir_begin(p->ctx, name, len, e) < 0)
        return -1;
    p->level[p->depth++].len = 0;
    *ret_dir = true;
    return 0;
}

static int check_name(struct parser *p, const struct level *l, struct err *e)
{
    char shown[256] = "", last[256] = "";
    append_safe(shown, sizeof shown, p->str, p->len);
    if (!p->len)
        return bad(p, e, ERR_INPUT, "an entry's name is empty");
    if (token_is(p, ".") || token_is(p, "..") || memchr(p->str, '/', p->len))
        return bad(p, e, ERR_INPUT, "an entry has the name '%s', which no file can have", shown);
    if (memchr(p->str, 0, p->len))
        return bad(p, e, ERR_INPUT, "an entry's name contains a NUL byte: '%s'", shown);
    int c = memcmp(p->str, l->name, p->len < l->len ? p->len : l->len);
    if (!l->len || c > 0 || (!c && p->len > l->len))
        return 0;
    append_safe(last, sizeof last, l->name, l->len);
    if (!c && p->len == l->len)
        return bad(p, e, ERR_INPUT, "directory has the name '%s' twice", shown);
    return bad(p, e, ERR_INPUT, "directory is not sorted: '%s' follows '%s'", shown, last);
}

/* Between the entries of a directory. *ret_entry: one was begun, its node follows; else the directory was closed. */
static int parse_entry(struct parser *p, bool *ret_entry, struct err *e)
{
    struct level *l = &p->level[p->depth - 1];
    if (need_token(p, e) < 0)
        return -1;
    *ret_entry = token_is(p, "entry");
    if (token_is(p, ")")) {
        p->depth--;
        return p->ev->dir_end(p->ctx, e);
    }
    if (!*ret_entry)
        return unexpected(p, "'entry' or ')'", e);
    if (expect(p, "(", e) < 0 || expect(p, "name", e) < 0 || need_str(p, LIMIT_NAME, "name", e) < 0 ||
        check_name(p, l, e) < 0)
        return -1;
    memcpy(l->name, p->str, p->len);
    l->len = p->len;
    return expect(p, "node", e);
}

static int parse_all(struct parser *p, struct err *e)
{
    enum { AT_NODE, AT_ENTRY, AFTER_NODE } state = AT_NODE;
    bool inside;
    if (expect(p, magic, e) < 0)
        return -1;
    for (;;)
        switch (state) {
        case AT_NODE:
            if (parse_node(p, &inside, e) < 0)
                return -1;
            state = inside ? AT_ENTRY : AFTER_NODE;
            break;
        case AT_ENTRY:
            if (parse_entry(p, &inside, e) < 0)
                return -1;
            state = inside ? AT_NODE : AFTER_NODE;
            break;
        case AFTER_NODE:
            if (!p->depth)
                return tell_raw(p, e);
            if (expect(p, ")", e) < 0)
                return -1;
            state = AT_ENTRY;
            break;
        }
}

int nar_parse(struct stream *in, const struct nar_events *ev, void *ctx, struct err *e)
{
    struct parser *p = calloc(1, sizeof *p);
    if (!p)
        return err_nomem(e);
    p->in = in;
    p->ev = ev;
    p->ctx = ctx;
    int rc = parse_all(p, e);
    free(p);
    return rc;
}

int nar_writer_flush(struct nar_writer *w, struct err *e)
{
    size_t n = w->n;
    w->n = 0;
    return n ? w->write(w->ctx, w->buf, n, e) : 0;
}

static int put(struct nar_writer *w, const void *p, size_t n, struct err *e)
{
    if (w->n + n > sizeof w->buf && nar_writer_flush(w, e) < 0)
        return -1;
    if (n > sizeof w->buf)
        return w->write(w->ctx, p, n, e);
    if (n)
        memcpy(w->buf + w->n, p, n);
    w->n += n;
    return 0;
}

static int put_padding(struct nar_writer *w, uint64_t size, struct err *e)
{
    static const uint8_t zero[8];
    return put(w, zero, (8 - size % 8) % 8, e);
}

int nar_writer_u64(struct nar_writer *w, uint64_t v, struct err *e)
{
    uint8_t b[8];
    put_u64(b, v);
    return put(w, b, sizeof b, e);
}

int nar_writer_str(struct nar_writer *w, const void *p, size_t n, struct err *e)
{
    return nar_writer_u64(w, n, e) < 0 || put(w, p, n, e) < 0 ? -1 : put_padding(w, n, e);
}

#define TOKENS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Several keywords, up to a NULL. */
static int put_tokens(struct nar_writer *w, const char *const *t, struct err *e)
{
    for (; *t; t++)
        if (nar_writer_str(w, *t, strlen(*t), e) < 0)
            return -1;
    return 0;
}

int nar_writer_begin(struct nar_writer *w, int (*write)(void *, const void *, size_t, struct err *), void *ctx,
                     struct err *e)
{
    w->write = write;
    w->ctx = ctx;
    w->left = w->size = 0;
    w->n = 0;
    return put_tokens(w, TOKENS(magic), e);
}

int nar_writer_file_begin(struct nar_writer *w, bool executable, uint64_t size, struct err *e)
{
    w->left = w->size = size;
    if (put_tokens(w, TOKENS("(", "type", "regular"), e) < 0 ||
        (executable && put_tokens(w, TOKENS("executable", ""), e) < 0) || put_tokens(w, TOKENS("contents"), e) < 0)
        return -1;
    return nar_writer_u64(w, size, e);
}

int nar_writer_data(struct nar_writer *w, const void *p, size_t n, struct err *e)
{
    if (n > w->left)
        return err_set(e, ERR_INPUT, "file has more than the %" PRIu64 " bytes that it was to have", w->size);
    w->left -= n;
    return put(w, p, n, e);
}

int nar_writer_file_end(struct nar_writer *w, struct err *e)
{
    if (w->left)
        return err_set(e, ERR_INPUT, "file is %" PRIu64 " bytes shorter than the %" PRIu64 " that it was to have",
                       w->left, w->size);
    return put_padding(w, w->size, e) < 0 ? -1 : put_tokens(w, TOKENS(")"), e);
}

int nar_writer_symlink(struct nar_writer *w, const char *target, size_t len, struct err *e)
{
    if (put_tokens(w, TOKENS("(", "type", "symlink", "target"), e) < 0 || nar_writer_str(w, target, len, e) < 0)
        return -1;
    return put_tokens(w, TOKENS(")"), e);
}

int nar_writer_dir_begin(struct nar_writer *w, struct err *e)
{
    return put_tokens(w, TOKENS("(", "type", "directory"), e);
}

int nar_writer_entry_begin(struct nar_writer *w, const char *name, size_t len, struct err *e)
{
    if (put_tokens(w, TOKENS("entry", "(", "name"), e) < 0 || nar_writer_str(w, name, len, e) < 0)
        return -1;
    return put_tokens(w, TOKENS("node"), e);
}

int nar_writer_entry_end(struct nar_writer *w, struct err *e)
{
    return put_tokens(w, TOKENS(")"), e);
}

int nar_writer_dir_end(struct nar_writer *w, struct err *e)
{
    return put_tokens(w, TOKENS(")"), e);
}

int nar_writer_end(struct nar_writer *w, struct err *e)
{
    return nar_writer_flush(w, e);
}

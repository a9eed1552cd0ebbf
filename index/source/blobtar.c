/* SPDX-License-Identifier: MIT */
/*
 * One pass over the headers makes a table sorted by name. Paths are plain text: "." parts and doubled slashes are taken
 * out, a name with ".." in it is never found.
 */
#include "blobtar.h"
#include "tar.h"
#include "../io.h"
#include "../limits.h"

#include <stdlib.h>
#include <unistd.h>

#define NAME_MAX_LEN 1024        /* longer ones are no names of blobs */
#define NAMES_MAX    (64u << 20) /* of all members */

struct member {
    uint32_t name, link; /* offsets in names; link: 0 when it is a file */
    uint64_t off, size;
    char type;
};

struct blobtar {
    int fd;
    struct member *v;
    size_t n, cap;
    struct buf names;
};

void blobtar_close(struct blobtar *t)
{
    if (!t)
        return;
    close(t->fd);
    free(t->v);
    buf_release(&t->names);
    free(t);
}

/* Appends base "/" path to b, ".", ".." and empty parts worked out; b has been emptied. -1: leaves the archive, or no
 * memory. */
static int normalise(const char *base, size_t base_len, const char *path, size_t len, struct buf *b)
{
    const char *piece[2] = {base, path};
    size_t piece_len[2] = {base_len, len};
    b->len = 0;
    for (int k = 0; k < 2; k++) {
        const char *p = piece[k], *end = p + piece_len[k];
        while (p < end) {
            const char *slash = memchr(p, '/', (size_t)(end - p));
            size_t n = (size_t)((slash ? slash : end) - p);
            if (n == 2 && !memcmp(p, "..", 2)) {
                if (!b->len)
                    return -1;
                while (b->len && b->p[b->len - 1] != '/')
                    b->len--;
                if (b->len)
                    b->len--;
            } else if (n && !(n == 1 && *p == '.')) {
                if ((b->len && buf_append(b, "/", 1) < 0) || buf_append(b, p, n) < 0)
                    return -1;
            }
            p += n + 1;
        }
    }
    return buf_append(b, "", 0);
}

static int keep(struct blobtar *t, const struct buf *b, uint32_t *ret, struct err *e)
{
    if (b->len >= NAMES_MAX - t->names.len)
        return err_set(e, ERR_LIMIT, "too many names");
    *ret = (uint32_t)t->names.len;
    return buf_append(&t->names, b->p, b->len + 1) < 0 ? err_nomem(e) : 0;
}

static int add(struct blobtar *t, const struct tar_entry *en, uint64_t off, struct buf *tmp, struct err *e)
{
    struct member m = {.off = off, .size = en->size, .type = en->sparse ? 'S' : en->type};
    if (en->type != '0' && en->type != '1' && en->type != '2')
        return 0;
    if (en->name_len > NAME_MAX_LEN || en->link_len > NAME_MAX_LEN)
        return 0;
    if (memchr(en->name, 0, en->name_len) || normalise("", 0, en->name, en->name_len, tmp) < 0 || !tmp->len)
        return 0; /* nothing that could be asked for */
    if (t->n >= LIMIT_ENTRIES)
        return err_set(e, ERR_LIMIT, "more than %u members", LIMIT_ENTRIES);
    if (keep(t, tmp, &m.name, e) < 0)
        return -1;
    if (en->type != '0') {
        size_t dir = 0;
        for (size_t i = 0; en->type == '2' && i < tmp->len; i++)
            if (tmp->p[i] == '/')
                dir = i;
        char *base = strndup((char *)tmp->p, dir);
        if (!base)
            return err_nomem(e);
        int r = normalise(base, dir, en->link, en->link_len, tmp);
        free(base);
        if (r < 0)
            return 0;
        if (keep(t, tmp, &m.link, e) < 0)
            return -1;
    }
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        struct member *v = reallocarray(t->v, cap, sizeof *v);
        if (!v)
            return err_nomem(e);
        t->v = v;
        t->cap = cap;
    }
    t->v[t->n++] = m;
    return 0;
}

static int by_name(const void *a, const void *b, void *names)
{
    const struct member *x = a, *y = b;
    return strcmp((const char *)names + x->name, (const char *)names + y->name);
}

static int build(struct blobtar *t, const volatile int *cancel, struct err *e)
{
    struct counter c = {.cancel = cancel};
    struct stream *file = NULL;
    struct stream *s = NULL;
    struct tar *tar = NULL;
    struct buf tmp = {0};
    if (blobtar_whole(t, &file, e) < 0 || counted_open(&c, file, "", &s, e) < 0)
        return -1;
    int r = tar_open(s, NULL, NULL, &tar, e);
    if (r == 0) {
        const struct tar_entry *en = NULL;
        while ((r = tar_next(tar, &en, e)) == 0 && en)
            if ((r = add(t, en, s->pos, &tmp, e)) < 0)
                break;
        tar_close(tar);
    }
    stream_close(s);
    buf_release(&tmp);
    if (r < 0)
        return -1;
    if (t->n)
        qsort_r(t->v, t->n, sizeof *t->v, by_name, t->names.p);
    for (size_t i = 1; i < t->n; i++)
        if (by_name(&t->v[i - 1], &t->v[i], t->names.p) == 0)
            return err_set(e, ERR_INPUT, "archive has two members called \"%s\"", (char *)t->names.p + t->v[i].name);
    return 0;
}

int blobtar_open(int fd, const volatile int *cancel, struct blobtar **ret, struct err *e)
{
    struct blobtar *t = calloc(1, sizeof *t);
    if (!t) {
        close(fd);
        return err_nomem(e);
    }
    t->fd = fd;
    /* Offset 0 of the names is "no link". */
    if (buf_append_zero(&t->names, 1) < 0 || build(t, cancel, e) < 0) {
        if (!t->names.p)
            err_nomem(e);
        blobtar_close(t);
        return -1;
    }
    *ret = t;
    return 0;
}

int blobtar_spool(struct store *s, struct stream *in, const volatile int *cancel, struct blobtar **ret, struct err *e)
{
    int fd;
    const uint8_t *p;
    size_t n;
    if (store_tmpfile(s, &fd, e) < 0)
        return -1;
    do {
        if (stream_run(in, SIZE_MAX, &p, &n, e) < 0 || (n && io_write(fd, p, n, "spool file", e) < 0)) {
            close(fd);
            return -1;
        }
    } while (n);
    return blobtar_open(fd, cancel, ret, e);
}

static const struct member *look_up(const struct blobtar *t, const char *name)
{
    size_t lo = 0, hi = t->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = strcmp(name, (const char *)t->names.p + t->v[mid].name);
        if (!c)
            return &t->v[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

int blobtar_find(const struct blobtar *t, const char *name, struct blobtar_member *ret, struct err *e)
{
    struct buf b = {0};
    const struct member *m = NULL;
    if (normalise("", 0, name, strlen(name), &b) == 0)
        m = look_up(t, (char *)b.p);
    buf_release(&b);
    for (int hops = 0; m && m->link && hops < LIMIT_SYMLINKS; hops++)
        m = look_up(t, (const char *)t->names.p + m->link);
    if (!m || m->type == '1' || m->type == '2')
        return err_set(e, ERR_NOT_FOUND, "archive has no file \"%.200s\"", name);
    if (m->type == 'S')
        return err_set(e, ERR_UNSUPPORTED, "archive has \"%.200s\" as a sparse file", name);
    ret->off = m->off;
    ret->size = m->size;
    return 0;
}

int blobtar_get(const struct blobtar *t, const char *name, size_t limit, struct buf *out, struct err *e)
{
    struct blobtar_member m = {0};
    if (blobtar_find(t, name, &m, e) < 0)
        return -1;
    if (m.size > limit)
        return err_set(e, ERR_LIMIT, "%s: %llu bytes, the limit is %zu", name, (unsigned long long)m.size, limit);
    if (buf_reserve(out, (size_t)m.size) < 0)
        return err_nomem(e);
    if (io_pread(t->fd, out->p + out->len, (size_t)m.size, m.off, name, e) < 0) {
        if (e->kind == ERR_DAMAGED)
            e->kind = ERR_INPUT; /* it isn't the store's file */
        return -1;
    }
    out->len += (size_t)m.size;
    out->p[out->len] = 0;
    return 0;
}

int blobtar_stream(const struct blobtar *t, const struct blobtar_member *m, struct stream **ret, struct err *e)
{
    return stream_open_fd(t->fd, false, m->off, m->size, ret, e);
}

int blobtar_whole(const struct blobtar *t, struct stream **ret, struct err *e)
{
    off_t end = lseek(t->fd, 0, SEEK_END);
    if (end < 0)
        return err_set(e, ERR_UNSUPPORTED, "file can't be read at any place");
    return stream_open_fd(t->fd, false, 0, (uint64_t)end, ret, e);
}

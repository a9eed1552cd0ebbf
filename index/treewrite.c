/* SPDX-License-Identifier: MIT */
/*
 * Sections grow as arrays and are put one behind the other at the end. Strings, xattr sets and contents are stored
 * once: a hash table each, over what is in the arrays already. The same calls in the same order give the same bytes.
 *
 * treewrite_finish sets what follows from the entries and so can't be got wrong by a caller: the parent of each
 * directory and the link count of every node.
 */
#include "treewrite.h"

#include "hashtab.h"
#include "limits.h"
#include "session.h"
#include "treeform.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

struct treewrite {
    enum tree_kind kind;
    struct buf sec[TREE_SECTIONS];
    struct hashkey key;
    struct hashtab strings, sets, contents;
    struct strref {
        uint32_t off, len;
    } * str; /* what the values of `strings` stand for */
    uint32_t str_count, str_cap;
};

static uint32_t count(const struct treewrite *w, enum tree_section s)
{
    return (uint32_t)(w->sec[s].len / tree_section_size[s]);
}

/* Adds n elements to a section, keeping the whole within what a tree may be. */
static int add(struct treewrite *w, enum tree_section s, const void *p, size_t n, struct err *e)
{
    size_t bytes = n * tree_section_size[s];
    if (n > LIMIT_TREE_BYTES / tree_section_size[s] || w->sec[s].len + bytes > LIMIT_TREE_BYTES)
        return err_set(e, ERR_LIMIT, "a tree of over %u bytes", LIMIT_TREE_BYTES);
    return buf_append(&w->sec[s], p, bytes) < 0 ? err_nomem(e) : 0;
}

int treewrite_new(enum tree_kind kind, struct treewrite **ret, struct err *e)
{
    struct treewrite *w = calloc(1, sizeof *w);
    if (!w)
        return err_nomem(e);
    w->kind = kind;
    if (hashkey_init(&w->key) < 0) {
        free(w);
        return err_set(e, ERR_SYSTEM, "the system gives no random bytes");
    }
    *ret = w;
    return 0;
}

void treewrite_free(struct treewrite *w)
{
    if (!w)
        return;
    for (unsigned i = 0; i < TREE_SECTIONS; i++)
        buf_release(&w->sec[i]);
    hashtab_release(&w->strings);
    hashtab_release(&w->sets);
    hashtab_release(&w->contents);
    free(w->str);
    free(w);
}

int treewrite_node(struct treewrite *w, const struct tree_node *n, uint32_t *ret, struct err *e)
{
    uint32_t number = treewrite_node_count(w);
    if (add(w, TREE_SEC_NODES, n, 1, e) < 0)
        return -1;
    if (S_ISDIR(n->mode)) {
        treewrite_node_at(w, number)->first = 0;
        treewrite_node_at(w, number)->count = 0;
    }
    *ret = number;
    return 0;
}

struct tree_node *treewrite_node_at(struct treewrite *w, uint32_t node)
{
    return (struct tree_node *)(void *)w->sec[TREE_SEC_NODES].p + node;
}

uint32_t treewrite_node_count(const struct treewrite *w)
{
    return count(w, TREE_SEC_NODES);
}

/* --- things stored once --- */

struct string_probe {
    const struct treewrite *w;
    const void *p;
    size_t n;
};

static bool string_eq(const void *ctx, uint32_t val)
{
    const struct string_probe *pr = ctx;
    const struct strref *s = &pr->w->str[val];
    return s->len == pr->n && memcmp(pr->w->sec[TREE_SEC_POOL].p + s->off, pr->p, pr->n) == 0;
}

static int string_slot(struct treewrite *w, struct err *e)
{
    if (w->str_count < w->str_cap)
        return 0;
    uint32_t cap = w->str_cap ? w->str_cap + w->str_cap / 2 : 256;
    struct strref *s = realloc(w->str, (size_t)cap * sizeof *s);
    if (!s)
        return err_nomem(e);
    w->str = s;
    w->str_cap = cap;
    return 0;
}

int treewrite_string(struct treewrite *w, const void *p, size_t n, uint32_t *ret, struct err *e)
{
    struct string_probe pr = {w, p, n};
    uint32_t off = (uint32_t)w->sec[TREE_SEC_POOL].len;
    if (!n) {
        *ret = 0;
        return 0;
    }
    uint32_t h = (uint32_t)hashkey_of(&w->key, 0, p, n);
    uint32_t val = hashtab_find(&w->strings, h, string_eq, &pr);
    if (val != HASHTAB_NONE) {
        *ret = w->str[val].off;
        return 0;
    }
    if (string_slot(w, e) < 0 || add(w, TREE_SEC_POOL, p, n, e) < 0)
        return -1;
    w->str[w->str_count] = (struct strref){off, (uint32_t)n};
    if (hashtab_put(&w->strings, h, w->str_count) < 0)
        return err_nomem(e);
    w->str_count++;
    *ret = off;
    return 0;
}

const char *treewrite_string_at(const struct treewrite *w, uint32_t off)
{
    return (const char *)w->sec[TREE_SEC_POOL].p + off;
}

static int xattr_cmp(const void *a, const void *b)
{
    const struct xattr *x = a, *y = b;
    int c = memcmp(x->name, y->name, x->name_len < y->name_len ? x->name_len : y->name_len);
    return c ? c : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

struct set_probe {
    const struct treewrite *w;
    const struct tree_xattr *x;
    size_t n;
};

static const struct tree_xattr_set *set_at(const struct treewrite *w, uint32_t i)
{
    return (const struct tree_xattr_set *)(const void *)w->sec[TREE_SEC_XATTR_SETS].p + i;
}

/* Equal strings have equal offsets, so sets are equal when their structures are. */
static bool set_eq(const void *ctx, uint32_t val)
{
    const struct set_probe *pr = ctx;
    const struct tree_xattr_set *s = set_at(pr->w, val);
    const struct tree_xattr *x = (const struct tree_xattr *)(const void *)pr->w->sec[TREE_SEC_XATTRS].p;
    return s->count == pr->n && memcmp(x + s->first, pr->x, pr->n * sizeof *x) == 0;
}

static int add_set(struct treewrite *w, const struct tree_xattr *x, size_t n, uint32_t *ret, struct err *e)
{
    struct set_probe pr = {w, x, n};
    struct tree_xattr_set set = {count(w, TREE_SEC_XATTRS), (uint32_t)n};
    uint32_t h = (uint32_t)hashkey_of(&w->key, 1, x, n * sizeof *x);
    uint32_t val = hashtab_find(&w->sets, h, set_eq, &pr);
    if (val == HASHTAB_NONE) {
        val = count(w, TREE_SEC_XATTR_SETS);
        if (add(w, TREE_SEC_XATTRS, x, n, e) < 0 || add(w, TREE_SEC_XATTR_SETS, &set, 1, e) < 0)
            return -1;
        if (hashtab_put(&w->sets, h, val) < 0)
            return err_nomem(e);
    }
    *ret = val;
    return 0;
}

int treewrite_xattrs(struct treewrite *w, uint32_t node, struct xattr *x, size_t n, struct err *e)
{
    uint32_t set = TREE_NONE;
    int r = 0;
    if (n) {
        struct tree_xattr *t = calloc(n, sizeof *t);
        if (!t)
            return err_nomem(e);
        qsort(x, n, sizeof *x, xattr_cmp);
        for (size_t i = 0; i < n && !r; i++) {
            t[i].name_len = (uint32_t)x[i].name_len;
            t[i].value_len = (uint32_t)x[i].value_len;
            if (i && !xattr_cmp(&x[i - 1], &x[i]))
                r = err_set(e, ERR_INPUT, "xattr \"%.*s\" is given twice", (int)x[i].name_len, x[i].name);
            else if (treewrite_string(w, x[i].name, x[i].name_len, &t[i].name, e) < 0 ||
                     treewrite_string(w, x[i].value, x[i].value_len, &t[i].value, e) < 0)
                r = -1;
        }
        if (!r)
            r = add_set(w, t, n, &set, e);
        free(t);
    }
    if (!r)
        treewrite_node_at(w, node)->xattrs = set;
    return r;
}

struct content_probe {
    const struct treewrite *w;
    const struct digest *d;
};

static bool content_eq(const void *ctx, uint32_t val)
{
    const struct content_probe *pr = ctx;
    const struct tree_content *c = (const struct tree_content *)(const void *)pr->w->sec[TREE_SEC_CONTENTS].p;
    return digest_eq(&c[val].digest, pr->d);
}

int treewrite_content(struct treewrite *w, const struct content *c, uint32_t *ret, struct err *e)
{
    struct content_probe pr = {w, &c->digest};
    struct tree_content t = {c->digest, c->size, c->stored, count(w, TREE_SEC_CHUNKS), c->chunk_count};
    uint32_t h = (uint32_t)hashkey_of(&w->key, 2, c->digest.b, DIGEST_LEN);
    uint32_t val = hashtab_find(&w->contents, h, content_eq, &pr);
    if (val == HASHTAB_NONE) {
        val = count(w, TREE_SEC_CONTENTS);
        if (add(w, TREE_SEC_CHUNKS, c->chunks, c->chunk_count, e) < 0 || add(w, TREE_SEC_CONTENTS, &t, 1, e) < 0)
            return -1;
        if (hashtab_put(&w->contents, h, val) < 0)
            return err_nomem(e);
    }
    *ret = val;
    return 0;
}

/* --- the rest --- */

static int entry_cmp(const void *a, const void *b, void *pool)
{
    const struct tree_entry *x = a, *y = b;
    const char *s = pool;
    int c = memcmp(s + x->name, s + y->name, x->name_len < y->name_len ? x->name_len : y->name_len);
    return c ? c : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

int treewrite_dir(struct treewrite *w, uint32_t dir, struct tree_entry *entries, uint32_t n, struct err *e)
{
    uint8_t *pool = w->sec[TREE_SEC_POOL].p;
    uint32_t first = count(w, TREE_SEC_ENTRIES);
    bool sorted = true;
    for (uint32_t i = 0; i < n; i++) {
        entries[i].reserved = 0;
        if (i && sorted)
            sorted = entry_cmp(&entries[i - 1], &entries[i], pool) < 0;
    }
    if (!sorted) {
        qsort_r(entries, n, sizeof *entries, entry_cmp, pool);
        for (uint32_t i = 1; i < n; i++)
            if (!entry_cmp(&entries[i - 1], &entries[i], pool))
                return err_set(e, ERR_INPUT, "the name \"%.*s\" is given twice in one directory", entries[i].name_len,
                               (const char *)pool + entries[i].name);
    }
    if (add(w, TREE_SEC_ENTRIES, entries, n, e) < 0)
        return -1;
    treewrite_node_at(w, dir)->first = first;
    treewrite_node_at(w, dir)->count = n;
    return 0;
}

int treewrite_op(struct treewrite *w, const struct tree_op *op, struct err *e)
{
    struct tree_op o = *op;
    if (o.kind != OP_NODE)
        o.node = TREE_NONE;
    if (o.kind != OP_HARDLINK)
        o.link = o.link_len = 0;
    o.reserved[0] = o.reserved[1] = 0;
    return add(w, TREE_SEC_OPS, &o, 1, e);
}

int treewrite_ref(struct treewrite *w, const struct digest *diffid, uint32_t *ret, struct err *e)
{
    uint32_t n = count(w, TREE_SEC_REFS);
    if (add(w, TREE_SEC_REFS, diffid, 1, e) < 0)
        return -1;
    *ret = n;
    return 0;
}

/* Parents and link counts, from the entries. */
static void settle_links(struct treewrite *w)
{
    struct tree_node *nodes = treewrite_node_at(w, 0);
    const struct tree_entry *entries = (const struct tree_entry *)(const void *)w->sec[TREE_SEC_ENTRIES].p;
    uint32_t n = treewrite_node_count(w);
    for (uint32_t i = 0; i < n; i++) {
        nodes[i].parent = TREE_NONE;
        nodes[i].nlink = 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!S_ISDIR(nodes[i].mode))
            continue;
        for (uint32_t k = nodes[i].first; k < nodes[i].first + nodes[i].count; k++) {
            if (entries[k].tree != TREE_SELF)
                continue;
            struct tree_node *c = &nodes[entries[k].node];
            if (S_ISDIR(c->mode)) {
                c->parent = i;
                c->nlink += 2;
                nodes[i].nlink++;
            } else {
                c->nlink++;
            }
        }
    }
    if (n && S_ISDIR(nodes[0].mode)) {
        nodes[0].parent = 0;
        nodes[0].nlink += 2;
    } else if (n) {
        nodes[0].nlink = 1;
    }
}

int treewrite_finish(struct treewrite *w, struct buf *out, struct err *e)
{
    uint8_t h[TREE_HEADER] = TREE_MAGIC;
    uint64_t total = TREE_HEADER;
    for (unsigned i = 0; i < TREE_SECTIONS; i++)
        total += (w->sec[i].len + 7) / 8 * 8;
    if (total > LIMIT_TREE_BYTES)
        return err_set(e, ERR_LIMIT, "a tree of %" PRIu64 " bytes is over the limit of %u", total, LIMIT_TREE_BYTES);
    settle_links(w);
    put_u32(h + 8, TREE_VERSION);
    put_u32(h + 12, (uint32_t)w->kind);
    put_u64(h + 16, total);
    for (unsigned i = 0; i < TREE_SECTIONS; i++)
        put_u32(h + 24 + 4 * i, count(w, (enum tree_section)i));
    /* From here on the writer is empty: a large tree would be in memory twice. */
    hashtab_release(&w->strings);
    hashtab_release(&w->sets);
    hashtab_release(&w->contents);
    if (buf_reserve(out, total) < 0)
        return err_nomem(e);
    buf_append(out, h, sizeof h);
    for (unsigned i = 0; i < TREE_SECTIONS; i++) {
        buf_append(out, w->sec[i].p, w->sec[i].len);
        buf_append_zero(out, (8 - w->sec[i].len % 8) % 8);
        buf_release(&w->sec[i]);
    }
    return 0;
}

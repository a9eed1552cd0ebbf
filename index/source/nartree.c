/* SPDX-License-Identifier: MIT */
/*
 * Nodes are made in the order of the archive: a directory before its entries, node 0 the root. A directory's entries
 * are gathered on one stack for all open directories: each level knows where its own begin.
 */
#include "nartree.h"

#include "../limits.h"
#include "../treewrite.h"
#include "nar.h"

#include <stdlib.h>
#include <sys/stat.h>

struct open_dir {
    uint32_t node;
    uint32_t first; /* of its entries on the stack */
    uint32_t subdirs;
};

struct nartree {
    struct session *s;
    struct nartree_opts o;
    struct treewrite *w; /* NULL with hash_only */
    struct sha256 hash, flat;
    bool hash_init, flat_init;
    struct modhash *mod;
    struct nartree_result r;
    unsigned depth;
    struct open_dir dir[LIMIT_NAR_DEPTH];
    struct tree_entry *entries;
    uint32_t n_entries, cap_entries;
    struct slot { /* a file whose content the session will know */
        uint32_t node, slot;
    } * slots;
    uint32_t n_slots, cap_slots, n_nodes;
    uint64_t size; /* of the file being read */
    uint32_t file; /* its node */
};

/* Room for one more element of a growing array. */
static int grow(void **v, uint32_t n, uint32_t *cap, size_t size, struct err *e)
{
    if (n < *cap)
        return 0;
    uint32_t want = *cap ? *cap * 2 : 64;
    void *p = reallocarray(*v, want, size);
    if (!p)
        return err_nomem(e);
    *v = p;
    *cap = want;
    return 0;
}

/* Adds a node and its entry in the innermost open directory. */
static int add_node(struct nartree *t, const char *name, size_t len, struct tree_node *n, uint32_t *ret, struct err *e)
{
    struct open_dir *d = t->depth ? &t->dir[t->depth - 1] : NULL;
    struct tree_entry en = {.tree = TREE_SELF, .name_len = (uint16_t)len, .type = (uint16_t)((n->mode & S_IFMT) >> 12)};
    if (t->n_nodes++ >= LIMIT_ENTRIES)
        return err_set(e, ERR_LIMIT, "NAR has more than %u entries", LIMIT_ENTRIES);
    n->mtime = 1;
    n->xattrs = TREE_NONE;
    n->parent = S_ISDIR(n->mode) ? (d ? d->node : 0) : TREE_NONE;
    if (treewrite_node(t->w, n, ret, e) < 0)
        return -1;
    if (!d)
        return 0;
    en.node = *ret;
    d->subdirs += S_ISDIR(n->mode);
    void *v = t->entries;
    if (treewrite_string(t->w, name, len, &en.name, e) < 0 ||
        grow(&v, t->n_entries, &t->cap_entries, sizeof *t->entries, e) < 0)
        return -1;
    t->entries = v;
    t->entries[t->n_entries++] = en;
    return 0;
}

static int on_dir_begin(void *ctx, const char *name, size_t len, struct err *e)
{
    struct nartree *t = ctx;
    struct tree_node n = {.mode = S_IFDIR | 0555, .nlink = 2, .content = TREE_NONE};
    uint32_t node;
    if (t->o.hash_only)
        return 0;
    if (add_node(t, name, len, &n, &node, e) < 0)
        return -1;
    t->dir[t->depth++] = (struct open_dir){.node = node, .first = t->n_entries};
    return 0;
}

static int on_dir_end(void *ctx, struct err *e)
{
    struct nartree *t = ctx;
    if (t->o.hash_only)
        return 0;
    const struct open_dir *d = &t->dir[--t->depth];
    treewrite_node_at(t->w, d->node)->nlink = 2 + d->subdirs;
    uint32_t n = t->n_entries - d->first;
    t->n_entries = d->first;
    return treewrite_dir(t->w, d->node, n ? t->entries + d->first : NULL, n, e);
}

static int on_file_begin(void *ctx, const char *name, size_t len, bool executable, uint64_t size, struct err *e)
{
    struct nartree *t = ctx;
    struct tree_node n = {.mode = S_IFREG | (executable ? 0555 : 0444), .nlink = 1, .size = size, .content = TREE_NONE};
    t->size = size;
    if (!len && !executable) {
        t->r.is_file = true;
        if (sha256_init(&t->flat) < 0)
            return err_nomem(e);
        t->flat_init = true;
    }
    if (t->o.hash_only)
        return 0;
    if (add_node(t, name, len, &n, &t->file, e) < 0)
        return -1;
    return size ? session_content_begin(t->s, e) : 0;
}

static int on_file_data(void *ctx, const uint8_t *p, size_t n, struct err *e)
{
    struct nartree *t = ctx;
    if (t->flat_init)
        sha256_update(&t->flat, p, n);
    return t->o.hash_only ? 0 : session_data(t->s, p, n, e);
}

static int on_file_end(void *ctx, struct err *e)
{
    struct nartree *t = ctx;
    uint32_t slot;
    if (t->flat_init)
        sha256_final(&t->flat, &t->r.flat);
    if (t->o.hash_only || !t->size)
        return 0;
    void *v = t->slots;
    if (session_content_end(t->s, &slot, e) < 0 || grow(&v, t->n_slots, &t->cap_slots, sizeof *t->slots, e) < 0)
        return -1;
    t->slots = v;
    t->slots[t->n_slots++] = (struct slot){.node = t->file, .slot = slot};
    return 0;
}

static int on_symlink(void *ctx, const char *name, size_t len, const char *target, size_t target_len, struct err *e)
{
    struct nartree *t = ctx;
    struct tree_node n = {
        .mode = S_IFLNK | 0777, .nlink = 1, .size = target_len, .content = TREE_NONE, .count = (uint32_t)target_len};
    uint32_t node;
    if (t->o.hash_only)
        return 0;
    if (treewrite_string(t->w, target, target_len, &n.first, e) < 0)
        return -1;
    return add_node(t, name, len, &n, &node, e);
}

static int on_bytes(void *ctx, const uint8_t *p, size_t n, struct err *e)
{
    struct nartree *t = ctx;
    t->r.narsize += n;
    if (t->o.limit >= 0 && t->r.narsize > (uint64_t)t->o.limit)
        return err_set(e, ERR_INPUT, "NAR has more than the %lld bytes that its metadata says", (long long)t->o.limit);
    sha256_update(&t->hash, p, n);
    if (t->o.scan)
        refscan_feed(t->o.scan, p, n);
    return t->mod ? modhash_feed(t->mod, p, n, e) : 0;
}

static const struct nar_events events = {
    .dir_begin = on_dir_begin,
    .dir_end = on_dir_end,
    .file_begin = on_file_begin,
    .file_data = on_file_data,
    .file_end = on_file_end,
    .symlink = on_symlink,
    .bytes = on_bytes,
};

static int read_all(struct nartree *t, struct stream *in, bool whole, struct err *e)
{
    const uint8_t *p;
    size_t n = 0;
    if (sha256_init(&t->hash) < 0)
        return err_nomem(e);
    t->hash_init = true;
    if ((t->o.self && modhash_new(t->o.self, &t->mod, e) < 0) ||
        (!t->o.hash_only && treewrite_new(TREE_PACKAGE, &t->w, e) < 0) || nar_parse(in, &events, t, e) < 0)
        return -1;
    if (whole && stream_run(in, 1, &p, &n, e) < 0)
        return -1;
    if (n)
        return err_set(e, ERR_INPUT, "bytes follow the end of the NAR, which is at offset %llu",
                       (unsigned long long)t->r.narsize);
    sha256_final(&t->hash, &t->r.narhash);
    return t->mod ? modhash_final(t->mod, &t->r.modhash, e) : 0;
}

int nartree_read(struct session *s, struct stream *in, bool whole, const struct nartree_opts *o, struct nartree **ret,
                 struct nartree_result *ret_result, struct err *e)
{
    struct nartree *t = calloc(1, sizeof *t);
    if (!t)
        return err_nomem(e);
    t->s = s;
    t->o = *o;
    if (read_all(t, in, whole, e) < 0) {
        nartree_free(t);
        return -1;
    }
    *ret = t;
    *ret_result = t->r;
    return 0;
}

static int set_contents(struct nartree *t, struct err *e)
{
    for (uint32_t i = 0; i < t->n_slots; i++) {
        struct content c;
        uint32_t content;
        if (session_content(t->s, t->slots[i].slot, &c, e) < 0 || treewrite_content(t->w, &c, &content, e) < 0)
            return -1;
        treewrite_node_at(t->w, t->slots[i].node)->content = content;
    }
    return 0;
}

int nartree_store(struct nartree *t, struct digest *ret_tree, struct err *e)
{
    struct buf b = {0};
    int rc = -1;
    if (session_flush(t->s, e) == 0 && set_contents(t, e) == 0 && treewrite_finish(t->w, &b, e) == 0)
        rc = session_put(t->s, b.p, b.len, ret_tree, e);
    buf_release(&b);
    return rc;
}

void nartree_free(struct nartree *t)
{
    if (!t)
        return;
    if (t->hash_init)
        sha256_release(&t->hash);
    if (t->flat_init)
        sha256_release(&t->flat);
    modhash_free(t->mod);
    treewrite_free(t->w);
    free(t->entries);
    free(t->slots);
    free(t);
}

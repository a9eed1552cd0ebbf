/* SPDX-License-Identifier: MIT */
/*
 * Packages out again: the NAR is written anew from the tree, which is possible because there is one NAR for a tree
 * (nar.h). Its hash is compared at the end, so whoever reads to the end knows that nothing was lost in between.
 */
#include "package.h"

#include "../limits.h"
#include "../reader.h"
#include "nar.h"

#include <stdlib.h>
#include <sys/stat.h>

#define RUN  (256u << 10) /* bytes read at once */
#define MORE 1u           /* marks of an export stream */
#define NIXE 0x4558494eu

typedef int (*write_fn)(void *, const void *, size_t, struct err *);

struct exporter {
    struct reader *reader;
    struct tree *tree;
    struct nar_writer w;
    struct sha256 hash;
    write_fn write;
    void *ctx;
    uint8_t *run;
    struct {
        const struct tree_node *dir;
        uint32_t next; /* entry */
    } open[LIMIT_NAR_DEPTH];
    unsigned depth;
};

static int hash_and_write(void *ctx, const void *p, size_t n, struct err *e)
{
    struct exporter *x = ctx;
    sha256_update(&x->hash, p, n);
    return x->write(x->ctx, p, n, e);
}

static int put_contents(struct exporter *x, const struct tree_node *n, struct err *e)
{
    struct content_map m;
    if (n->content >= tree_content_count(x->tree))
        return err_set(e, ERR_DAMAGED, "a file of the tree has no content");
    if (content_map_tree(x->tree, n->content, &m, e) < 0)
        return -1;
    int rc = 0;
    for (uint64_t off = 0; !rc && off < n->size;) {
        size_t got = 0, want = n->size - off < RUN ? (size_t)(n->size - off) : RUN;
        if (off + want < n->size)
            reader_prefetch(x->reader, &m, off + want, RUN);
        rc = reader_pread(x->reader, &m, x->run, want, off, &got, e);
        if (!rc && !got)
            rc = err_set(e, ERR_DAMAGED, "a file's content is shorter than the file");
        if (!rc)
            rc = nar_writer_data(&x->w, x->run, got, e);
        off += got;
    }
    content_map_release(&m);
    return rc;
}

static int put_node(struct exporter *x, const struct tree_node *n, struct err *e)
{
    switch (n->mode & S_IFMT) {
    case S_IFREG:
        if (nar_writer_file_begin(&x->w, n->mode & 0100, n->size, e) < 0 || (n->size && put_contents(x, n, e) < 0))
            return -1;
        return nar_writer_file_end(&x->w, e);
    case S_IFLNK:
        return nar_writer_symlink(&x->w, tree_string(x->tree, n->first), n->count, e);
    case S_IFDIR:
        if (x->depth == LIMIT_NAR_DEPTH)
            return err_set(e, ERR_DAMAGED, "the tree's directories are nested too deep");
        x->open[x->depth].dir = n;
        x->open[x->depth++].next = 0;
        return nar_writer_dir_begin(&x->w, e);
    default:
        return err_set(e, ERR_DAMAGED, "the tree has a node that no NAR can hold");
    }
}

/* The root, then always the next entry of the innermost open directory. A directory's entry is closed with the
 * directory. */
static int put_tree(struct exporter *x, struct err *e)
{
    if (put_node(x, tree_node(x->tree, 0), e) < 0)
        return -1;
    while (x->depth) {
        const struct tree_node *dir = x->open[x->depth - 1].dir;
        uint32_t i = x->open[x->depth - 1].next++;
        if (i == dir->count) {
            x->depth--;
            if (nar_writer_dir_end(&x->w, e) < 0 || (x->depth && nar_writer_entry_end(&x->w, e) < 0))
                return -1;
            continue;
        }
        const struct tree_entry *en = tree_entry_at(x->tree, dir, i);
        if (en->tree != TREE_SELF)
            return err_set(e, ERR_DAMAGED, "the tree of a package points into another tree");
        const struct tree_node *n = tree_node(x->tree, en->node);
        if (nar_writer_entry_begin(&x->w, tree_string(x->tree, en->name), en->name_len, e) < 0 || put_node(x, n, e) < 0)
            return -1;
        if (!S_ISDIR(n->mode) && nar_writer_entry_end(&x->w, e) < 0)
            return -1;
    }
    return nar_writer_end(&x->w, e);
}

static int export_with(struct exporter *x, const struct cat_package *p, struct err *e)
{
    struct digest got;
    char want32[DIGEST_NIX32_LEN + 1], got32[DIGEST_NIX32_LEN + 1];
    if (reader_tree(x->reader, &p->tree, &x->tree, e) < 0 || nar_writer_begin(&x->w, hash_and_write, x, e) < 0 ||
        put_tree(x, e) < 0)
        return err_wrap(e, "export %s", p->name);
    sha256_final(&x->hash, &got);
    if (digest_eq(&got, &p->narhash))
        return 0;
    nix32_encode(p->narhash.b, DIGEST_LEN, want32);
    nix32_encode(got.b, DIGEST_LEN, got32);
    return err_set(e, ERR_DAMAGED, "export %s: the NAR comes out with the hash sha256:%s instead of sha256:%s", p->name,
                   got32, want32);
}

int package_export_nar(struct store *s, const struct cat_package *p, write_fn write, void *ctx, struct err *e)
{
    struct exporter *x = calloc(1, sizeof *x);
    int rc = -1;
    if (!x)
        return err_nomem(e);
    x->write = write;
    x->ctx = ctx;
    x->run = malloc(RUN);
    x->reader = store_reader(s);
    if (!x->run || sha256_init(&x->hash) < 0)
        err_nomem(e);
    else {
        rc = x->reader ? export_with(x, p, e) : err_nomem(e);
        sha256_release(&x->hash);
    }
    tree_close(x->tree);
    free(x->run);
    free(x);
    return rc;
}

/* "<dir>/<base>", or "" for no base. */
static int put_path(struct nar_writer *w, const char *dir, const char *base, struct err *e)
{
    struct buf b = {0};
    if (base && buf_printf(&b, "%s/%s", dir, base) < 0)
        return buf_release(&b), err_nomem(e);
    int rc = nar_writer_str(w, b.p, b.len, e);
    buf_release(&b);
    return rc;
}

static int export_one(struct store *s, const struct cat_package *p, struct nar_writer *w, struct err *e)
{
    uint64_t n = 0;
    if (nar_writer_u64(w, MORE, e) < 0 || nar_writer_flush(w, e) < 0 ||
        package_export_nar(s, p, w->write, w->ctx, e) < 0 || nar_writer_u64(w, NIXE, e) < 0 ||
        put_path(w, p->dir, p->name, e) < 0)
        return -1;
    while (p->refs && p->refs[n])
        n++;
    if (nar_writer_u64(w, n, e) < 0)
        return -1;
    for (uint64_t i = 0; i < n; i++)
        if (put_path(w, p->dir, p->refs[i], e) < 0)
            return -1;
    if (put_path(w, p->dir, p->deriver, e) < 0)
        return -1;
    return nar_writer_u64(w, 0, e); /* no signature of the old kind */
}

int package_export(struct store *s, const struct cat_package *const *p, size_t n, write_fn write, void *ctx,
                   struct err *e)
{
    struct nar_writer *w = calloc(1, sizeof *w);
    int rc = 0;
    if (!w)
        return err_nomem(e);
    w->write = write;
    w->ctx = ctx;
    for (size_t i = 0; !rc && i < n; i++)
        rc = export_one(s, p[i], w, e);
    if (!rc)
        rc = nar_writer_u64(w, 0, e);
    if (!rc)
        rc = nar_writer_flush(w, e);
    free(w);
    return rc;
}

/* SPDX-License-Identifier: MIT */
/*
 * gc: roots → objects → chunks → packs.
 *
 *   1  objects    images without a name and layers without an image are removed, by records, as rm would do it
 *   2  mark       every chunk that a live object reaches: its tree, the tree's contents, recipe, manifest, config
 *   3  condemn    all other chunks are condemned. An import that looks one up from now on stores it anew
 *                 (catalog_chunk for_reuse); one that did so before asks for it at its commit (catalog_keep_chunk).
 *                 1 to 3 are one transaction: no name can be given to an image between the look and its removal
 *   4  wait       is an import running that may have looked before 3? Then stop: the next gc goes on
 *   5  sweep      one transaction: condemned chunks, empty blocks and packs go; packs worth it are rewritten
 *                 (gc_pack.c); the snapshot of all records is written anew, so that packs with records can go, too
 *   6  unlink     after the commit
 *
 * Roots are names, packages, keep records, what leases hold, and what was removed after the last change that a living
 * mount has taken in.
 */
#include "gc.h"

#include "catalog.h"
#include "catalog_gc.h"
#include "digestset.h"
#include "gc_pack.h"
#include "io.h"
#include "json.h"
#include "lease.h"
#include "limits.h"
#include "pack.h"
#include "reader.h"
#include "settle.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct gc {
    struct store *s;
    struct catalog *c;
    struct reader *r;
    struct err *e;
    struct buf held;       /* uint32_t numbers */
    uint64_t oldest_mount; /* least "seq" of living mounts; UINT64_MAX: none */
    bool imports;
    uint64_t seq;            /* of the transaction that condemned */
    struct digestset live;   /* chunks */
    struct digestset loose;  /* contents that are in no tree */
    struct digestset layers; /* diffIDs that live images show */
    struct digestset images; /* manifests that names show */
    struct buf remove;       /* struct json * */
    struct gc_pack packs;
    struct gc_result *ret;
};

/* --- leases --- */

static int see_lease(const char *text, void *ctx)
{
    struct gc *g = ctx;
    struct json *j, *held;
    int64_t n;
    /* Somebody lives and it isn't known what they hold: then nothing may go. */
    if (json_parse(text, strlen(text), 16 << 20, "a lease of this store", &j, g->e) < 0)
        return -1;
    held = json_get(j, "held");
    for (size_t i = 0; i < json_count(held); i++) {
        uint32_t no;
        if (!json_int(json_at(held, i), &n) || n <= 0 || n >= UINT32_MAX)
            continue;
        no = (uint32_t)n;
        if (buf_append(&g->held, &no, sizeof no) < 0) {
            json_unref(j);
            return err_nomem(g->e);
        }
    }
    if (json_int(json_get(j, "seq"), &n) && n >= 0 && (uint64_t)n < g->oldest_mount)
        g->oldest_mount = (uint64_t)n;
    json_unref(j);
    return 0;
}

static int see_import(const char *text, void *ctx)
{
    (void)text;
    ((struct gc *)ctx)->imports = true;
    return 0;
}

static int read_leases(struct gc *g)
{
    g->held.len = 0;
    g->oldest_mount = UINT64_MAX;
    if (lease_each(g->s, LEASE_MOUNT, see_lease, g, g->e) < 0 || lease_each(g->s, LEASE_RUN, see_lease, g, g->e) < 0)
        return -1;
    return 0;
}

static bool is_held(const struct gc *g, uint32_t no)
{
    for (size_t at = 0; at < g->held.len; at += sizeof no) {
        uint32_t x;
        memcpy(&x, g->held.p + at, sizeof x);
        if (x == no)
            return true;
    }
    return false;
}

/* --- 1: objects --- */

static int see_name(const struct cat_name *n, void *ctx)
{
    struct gc *g = ctx;
    return digestset_add(&g->images, &n->manifest) < 0 ? err_nomem(g->e) : 0;
}

static int mark_removal(struct gc *g, const char *of, uint32_t no)
{
    struct json *j = json_new_object();
    int rc = json_set(j, "type", json_new_str("remove")) | json_set(j, "of", json_new_str(of)) |
             json_set(j, "no", json_new_int(no)) | json_set(j, "time", json_new_int((int64_t)time(NULL)));
    if (rc || buf_append(&g->remove, &j, sizeof j) < 0) {
        json_unref(j);
        return err_nomem(g->e);
    }
    g->ret->objects_removed++;
    return 0;
}

static int see_image(const struct cat_image *im, void *ctx)
{
    struct gc *g = ctx;
    /* A mount that hasn't taken in the last change may still show it under a name that is gone. */
    uint64_t seq;
    if (catalog_seq(g->c, &seq, g->e) < 0)
        return -1;
    if (!digestset_has(&g->images, &im->manifest) && !is_held(g, im->no) && g->oldest_mount >= seq)
        return mark_removal(g, "image", im->no);
    for (uint32_t i = 0; i < im->layer_count; i++)
        if (digestset_add(&g->layers, &im->layers[i]) < 0)
            return err_nomem(g->e);
    return 0;
}

static int see_layer(const struct cat_layer *l, void *ctx)
{
    struct gc *g = ctx;
    if (digestset_has(&g->layers, &l->diffid) || is_held(g, l->no))
        return 0;
    return mark_removal(g, "layer", l->no);
}

static int keep_no(uint32_t no, void *ctx)
{
    struct gc *g = ctx;
    return buf_append(&g->held, &no, sizeof no) < 0 ? err_nomem(g->e) : 0;
}

static void drop_removals(struct gc *g)
{
    struct json **v = (struct json **)(void *)g->remove.p;
    for (size_t i = 0; i < g->remove.len / sizeof *v; i++)
        json_unref(v[i]);
    g->remove.len = 0;
}

static int find_garbage(struct gc *g)
{
    if (catalog_each_kept(g->c, keep_no, g, g->e) < 0 || catalog_each_name(g->c, see_name, g, g->e) < 0 ||
        catalog_each_image(g->c, see_image, g, g->e) < 0)
        return -1;
    return catalog_each_layer(g->c, see_layer, g, g->e);
}

/* The removals, on disk. *ret: the pack, for who has to remove it again. */
static int write_removals(struct gc *g, struct pack_writer **ret)
{
    struct json **v = (struct json **)(void *)g->remove.p;
    struct buf lines = {0};
    uint64_t seq;
    uint32_t next;
    int rc = pack_create(g->s, ret, g->e);
    for (size_t i = 0; rc == 0 && i < g->remove.len / sizeof *v; i++)
        if (json_dump(v[i], 0, &lines) < 0 || buf_append(&lines, "\n", 1) < 0)
            rc = err_nomem(g->e);
    if (rc == 0 && (catalog_seq(g->c, &seq, g->e) < 0 || catalog_peek_no(g->c, &next, g->e) < 0 ||
                    pack_writer_records(*ret, seq + 1, lines.p, lines.len, next, g->e) < 0 ||
                    pack_writer_sync(*ret, g->e) < 0 || io_fsync_dir(store_packsfd(g->s), NULL, g->e) < 0))
        rc = -1;
    if (rc == 0)
        rc = catalog_add_pack(g->c, pack_writer_id(*ret), pack_writer_size(*ret), g->e);
    buf_release(&lines);
    return rc;
}

/* In the transaction. keep false (a dry run): only what the catalog says, which is rolled back. */
static int remove_objects(struct gc *g, bool keep, struct pack_writer **ret)
{
    struct json **v;
    if (find_garbage(g) < 0)
        return -1;
    if (!g->remove.len)
        return 0;
    if (keep && write_removals(g, ret) < 0)
        return -1;
    v = (struct json **)(void *)g->remove.p;
    for (size_t i = 0; i < g->remove.len / sizeof *v; i++)
        if (catalog_apply(g->c, v[i], g->e) < 0)
            return -1;
    return 0;
}

/* --- 2: marking --- */

static int mark_content(struct gc *g, const struct digest *d)
{
    struct buf chunks = {0};
    int rc = 0;
    if (digestset_add(&g->loose, d) < 0)
        return err_nomem(g->e);
    if (catalog_content(g->c, d, false, &chunks, g->e) < 0) {
        if (g->e->kind != ERR_NOT_FOUND)
            return -1;
        err_clear(g->e); /* one chunk, named like its content */
        return digestset_add(&g->live, d) < 0 ? err_nomem(g->e) : 0;
    }
    const struct tree_chunk *k = (const struct tree_chunk *)(const void *)chunks.p;
    for (size_t i = 0; rc == 0 && i < chunks.len / sizeof *k; i++)
        if (!digest_is_zero(&k[i].digest) && digestset_add(&g->live, &k[i].digest) < 0)
            rc = err_nomem(g->e);
    buf_release(&chunks);
    return rc;
}

static int mark_tree(struct gc *g, const struct digest *d)
{
    struct tree *t;
    int rc = 0;
    if (digestset_has(&g->loose, d))
        return 0; /* done already: two objects with one tree */
    if (mark_content(g, d) < 0)
        return -1;
    /* Without the tree it isn't known what it reaches: nothing may be freed, then. */
    if (reader_tree(g->r, d, &t, g->e) < 0)
        return err_wrap(g->e, "nothing was freed: a tree can't be read (cairn verify)");
    for (uint32_t i = 0; rc == 0 && i < tree_chunk_count(t); i++) {
        const struct tree_chunk *k = tree_chunk(t, i);
        if (!digest_is_zero(&k->digest) && digestset_add(&g->live, &k->digest) < 0)
            rc = err_nomem(g->e);
    }
    tree_close(t);
    return rc;
}

static int mark_layer(const struct cat_layer *l, void *ctx)
{
    return mark_tree(ctx, &l->tree) < 0 ? -1 : mark_content(ctx, &l->recipe);
}

static int mark_package(const struct cat_package *p, void *ctx)
{
    return mark_tree(ctx, &p->tree);
}

static int mark_image(const struct cat_image *im, void *ctx)
{
    struct gc *g = ctx;
    return mark_tree(g, &im->rootfs) < 0 || mark_content(g, &im->manifest) < 0 ? -1 : mark_content(g, &im->config);
}

/* Packages that were removed, while a mount has them open or may not know yet. */
static int mark_removed(uint32_t no, uint64_t seq, const struct digest *tree, void *ctx)
{
    struct gc *g = ctx;
    if (is_held(g, no) || seq > g->oldest_mount)
        return mark_tree(g, tree);
    return 0;
}

static int mark_all(struct gc *g)
{
    if (catalog_each_layer(g->c, mark_layer, g, g->e) < 0 || catalog_each_package(g->c, mark_package, g, g->e) < 0 ||
        catalog_each_image(g->c, mark_image, g, g->e) < 0)
        return -1;
    return catalog_each_removed(g->c, mark_removed, g, g->e);
}

/* --- 3 to 6 --- */

static bool is_live(const struct digest *d, void *ctx)
{
    return digestset_has(&((struct gc *)ctx)->live, d);
}

static bool is_loose(const struct digest *d, void *ctx)
{
    return digestset_has(&((struct gc *)ctx)->loose, d);
}

/* What would be freed, by the share of dead bytes. */
static int estimate(struct gc *g)
{
    struct cat_totals t;
    if (catalog_totals(g->c, &t, g->e) < 0)
        return -1;
    if (t.raw_bytes)
        g->ret->bytes_freed = (uint64_t)((double)t.pack_bytes * (double)g->ret->raw_bytes / (double)t.raw_bytes);
    return 0;
}

/* An import that runs may build on any object that it found: then none is removed. */
static int condemn_in_transaction(struct gc *g, bool keep, struct pack_writer **ret)
{
    if (keep && settle(g->s, g->e) < 0)
        return -1;
    if (read_leases(g) < 0 || lease_each(g->s, LEASE_IMPORT, see_import, g, g->e) < 0 ||
        catalog_seq(g->c, &g->seq, g->e) < 0 || (!g->imports && remove_objects(g, keep, ret) < 0) || mark_all(g) < 0 ||
        catalog_condemn(g->c, is_live, g, &g->ret->chunks, &g->ret->raw_bytes, g->e) < 0)
        return -1;
    g->seq++; /* what this transaction is going to be */
    return keep ? 0 : estimate(g);
}

static int condemn(struct gc *g, bool keep)
{
    struct pack_writer *w = NULL;
    if (catalog_begin(g->c, g->e) < 0)
        return -1;
    int rc = condemn_in_transaction(g, keep, &w);
    if (rc < 0 || !keep) {
        catalog_rollback(g->c);
        if (w)
            pack_remove(g->s, pack_writer_id(w));
    } else if ((rc = catalog_commit(g->c, g->e)) < 0) {
        catalog_rollback(g->c); /* it may have happened all the same: the next transaction settles it */
    }
    pack_writer_close(w);
    return rc;
}

static int forget_removed(uint32_t no, uint64_t seq, const struct digest *tree, void *ctx)
{
    struct gc *g = ctx;
    (void)tree;
    return is_held(g, no) || seq > g->oldest_mount ? 0 : catalog_forget_removed(g->c, no, g->e);
}

static int sweep(struct gc *g, bool full)
{
    struct gc_pack *p = &g->packs;
    p->full = full;
    p->loose = is_loose;
    p->ctx = g;
    if (catalog_begin(g->c, g->e) < 0)
        return -1;
    uint64_t seq;
    int rc = settle(g->s, g->e);
    if (rc == 0)
        rc = catalog_seq(g->c, &seq, g->e);
    /* An import that came and went since: the snapshot must know its contents, too. */
    if (rc == 0 && seq != g->seq)
        rc = mark_all(g);
    if (rc == 0)
        rc = catalog_sweep(g->c, g->e);
    if (rc == 0)
        rc = catalog_each_removed(g->c, forget_removed, g, g->e);
    if (rc == 0)
        rc = gc_pack_run(p, g->e);
    if (rc < 0) {
        catalog_rollback(g->c);
        gc_pack_undo(p);
        return -1;
    }
    if (catalog_commit(g->c, g->e) < 0) { /* it may have happened all the same: leftovers go next time */
        catalog_rollback(g->c);
        return -1;
    }
    gc_pack_unlink(p, &g->ret->bytes_freed);
    return 0;
}

static int run(struct gc *g, const struct gc_opts *o)
{
    if (condemn(g, !o->dry_run) < 0)
        return -1;
    if (o->dry_run)
        return 0;
    /* Before imports are looked for: a pack that is there now and belongs to none of them is nobody's. */
    if (gc_pack_list(&g->packs, g->e) < 0)
        return -1;
    /* Imports that began before the commit above may have looked at what is condemned now. */
    g->imports = false;
    if (lease_each(g->s, LEASE_IMPORT, see_import, g, g->e) < 0)
        return -1;
    if (g->imports) {
        g->ret->bytes_waiting = g->ret->raw_bytes;
        return 0;
    }
    return sweep(g, o->full);
}

int gc_run(struct store *s, const struct gc_opts *o, struct gc_result *ret, struct err *e)
{
    struct gc g = {.packs = {.s = s}, .s = s, .c = store_catalog(s), .r = store_reader(s), .e = e, .ret = ret};
    *ret = (struct gc_result){0};
    if (!g.r)
        return err_nomem(e);
    int rc = digestset_init(&g.live) | digestset_init(&g.loose) | digestset_init(&g.layers) | digestset_init(&g.images);
    rc = rc ? err_nomem(e) : run(&g, o);
    digestset_release(&g.live);
    digestset_release(&g.loose);
    digestset_release(&g.layers);
    digestset_release(&g.images);
    drop_removals(&g);
    gc_pack_release(&g.packs);
    buf_release(&g.held);
    buf_release(&g.remove);
    return rc < 0 ? err_wrap(e, "gc") : 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * rebuild: packs → catalog. Blocks and their chunks come from the block headers, objects from the sealed records in
 * order of their sequence numbers. A snapshot record (written by gc) repeats all that was there: what is older is left
 * out, so nothing that was removed comes back. Then the contents that trees name get their rows. The old catalog is
 * replaced only when the new one is whole.
 */
#include "catalog.h"
#include "catalog_gc.h"
#include "io.h"
#include "lease.h"
#include "limits.h"
#include "pack.h"
#include "reader.h"
#include "store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char new_name[] = "catalog.new";

/* The records of one transaction. */
struct txn {
    uint64_t seq;
    char *lines;
    size_t n;
};

struct rebuild {
    struct store *s;
    struct catalog *c;
    struct buf txns; /* struct txn */
    uint64_t seq, next_no, snapshot;
    uint64_t damages;
    struct err first; /* of these */
    struct err *e;
};

static int on_damage(void *ctx, uint64_t off, const struct err *why, struct err *e)
{
    struct rebuild *r = ((void **)ctx)[0];
    (void)off, (void)e;
    if (!r->damages++)
        r->first = *why;
    return 0;
}

static int on_block(void *ctx, uint64_t off, uint32_t clen, uint32_t rlen, const struct chunk_row *rows, uint32_t n,
                    struct err *e)
{
    struct rebuild *r = ((void **)ctx)[0];
    struct block_loc loc = {.pack = *(uint64_t *)((void **)ctx)[1], .off = off, .clen = clen, .rlen = rlen};
    uint64_t id;
    return catalog_add_block(r->c, &loc, rows, n, &id, e);
}

static int on_records(void *ctx, uint64_t seq, const char *lines, size_t n, uint64_t next_no, struct err *e)
{
    static const char snapshot[] = "{\"type\":\"snapshot\"";
    struct rebuild *r = ((void **)ctx)[0];
    struct txn t = {.seq = seq, .lines = malloc(n + 1), .n = n};
    if (!t.lines || buf_append(&r->txns, &t, sizeof t) < 0) {
        free(t.lines);
        return err_nomem(e);
    }
    memcpy(t.lines, lines, n);
    t.lines[n] = '\0';
    if (seq > r->seq)
        r->seq = seq;
    if (next_no > r->next_no)
        r->next_no = next_no;
    if (n >= sizeof snapshot - 1 && !memcmp(lines, snapshot, sizeof snapshot - 1) && seq > r->snapshot)
        r->snapshot = seq;
    return 0;
}

static int on_pack(void *ctx, uint64_t id, uint64_t bytes, struct err *e)
{
    struct rebuild *r = ctx;
    void *both[2] = {r, &id};
    struct pack_visitor v = {.block = on_block, .records = on_records, .damaged = on_damage, .ctx = both};
    uint64_t end;
    /* Tolerant: what stands before and behind a damage counts, and the caller hears of it; a cut-off tail doesn't. */
    return pack_scan(r->s, id, true, &v, &end, e) < 0 ? -1 : catalog_add_pack(r->c, id, bytes, e);
}

static int by_seq(const void *a, const void *b)
{
    uint64_t x = ((const struct txn *)a)->seq, y = ((const struct txn *)b)->seq;
    return x < y ? -1 : x > y;
}

static int apply_line(struct rebuild *r, const char *p, size_t n)
{
    struct json *j;
    int64_t no;
    if (json_parse(p, n, n, "record", &j, r->e) < 0)
        return -1;
    if (json_int(json_get(j, "no"), &no) && no > 0 && (uint64_t)no >= r->next_no)
        r->next_no = (uint64_t)no + 1;
    int rc = catalog_apply(r->c, j, r->e);
    json_unref(j);
    return rc;
}

static int apply_all(struct rebuild *r)
{
    struct txn *t = (struct txn *)(void *)r->txns.p;
    size_t count = r->txns.len / sizeof *t;
    if (count)
        qsort(t, count, sizeof *t, by_seq);
    for (size_t i = 0; i < count; i++) {
        const char *p = t[i].lines, *end = p + t[i].n, *nl;
        if (t[i].seq < r->snapshot)
            continue;
        for (; p < end && (nl = memchr(p, '\n', (size_t)(end - p))); p = nl + 1)
            if (nl > p && apply_line(r, p, (size_t)(nl - p)) < 0)
                return err_wrap(r->e, "records of transaction %" PRIu64, t[i].seq);
    }
    return 0;
}

static int fill(struct rebuild *r)
{
    if (catalog_begin(r->c, r->e) < 0)
        return -1;
    r->next_no = 1;
    int rc = pack_each(r->s, on_pack, r, r->e);
    if (rc == 0)
        rc = apply_all(r);
    if (rc == 0)
        rc = catalog_set_counters(r->c, r->seq, r->next_no, r->e);
    if (rc < 0 || (rc = catalog_commit(r->c, r->e)) < 0)
        catalog_rollback(r->c);
    else
        rc = catalog_flatten(r->c, r->e);
    for (size_t i = 0; i < r->txns.len / sizeof(struct txn); i++)
        free(((struct txn *)(void *)r->txns.p)[i].lines);
    buf_release(&r->txns);
    return rc;
}

static int in_use(const char *json, void *ctx)
{
    (void)json;
    *(bool *)ctx = true;
    return 0;
}

static int check_unused(struct store *s, struct err *e)
{
    bool used = false;
    if (lease_each(s, LEASE_MOUNT, in_use, &used, e) < 0 || lease_each(s, LEASE_IMPORT, in_use, &used, e) < 0 ||
        lease_each(s, LEASE_RUN, in_use, &used, e) < 0)
        return -1;
    return used ? err_set(e, ERR_BUSY, "%s is in use: unmount it and let imports and containers end first",
                          store_path(s))
                : 0;
}

static void remove_new(struct store *s)
{
    static const char *const names[] = {"catalog.new", "catalog.new-wal", "catalog.new-shm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlinkat(store_dirfd(s), names[i], 0);
}

/*
 * The old log must never meet the new file: SQLite would play it back. An old catalog that can still be read is
 * flattened first: then its log says nothing, and the new one takes the name in one step. One that can't goes before
 * the log: a crash in between leaves no catalog, which every command says, rather than one that lacks what only its log
 * had.
 */
static int replace(struct store *s, struct err *e)
{
    static const char *const files[] = {"catalog.new-wal", "catalog.new-shm", "catalog.db", "catalog.db-wal",
                                        "catalog.db-shm"};
    char name[4200];
    struct catalog *old = NULL;
    struct err ignored = {0};
    int rc = 0;
    snprintf(name, sizeof name, "%s/catalog.db", store_path(s));
    bool flat = faccessat(store_dirfd(s), "catalog.db", F_OK, 0) == 0 &&
                catalog_open(store_dirfd(s), name, -1, false, false, &old, &ignored) == 0 &&
                catalog_flatten(old, &ignored) == 0;
    catalog_close(old);
    for (size_t i = 0; rc == 0 && i < sizeof files / sizeof *files; i++)
        if (!(flat && !strcmp(files[i], "catalog.db")) && unlinkat(store_dirfd(s), files[i], 0) < 0 && errno != ENOENT)
            rc = err_sys(e, errno, "remove %s/%s", store_path(s), files[i]);
    if (rc == 0 && renameat(store_dirfd(s), new_name, store_dirfd(s), "catalog.db") < 0)
        rc = err_sys(e, errno, "rename %s/%s", store_path(s), new_name);
    return rc == 0 ? io_fsync_dir(store_dirfd(s), NULL, e) : -1;
}

/* --- rows of contents that trees name: only a help for later imports --- */

static int add_contents(struct catalog *c, struct reader *rd, const struct digest *tree, struct err *e)
{
    struct tree *t;
    int rc = 0;
    if (reader_tree(rd, tree, &t, e) < 0) {
        err_clear(e); /* damage: for verify to tell */
        return 0;
    }
    for (uint32_t i = 0; rc == 0 && i < tree_content_count(t); i++) {
        const struct tree_content *tc = tree_content(t, i);
        bool holes = tc->stored != tc->size;
        if (tc->chunk_count > 1 && !holes)
            rc = catalog_add_content(c, &tc->digest, tc->size, tree_chunk(t, tc->first_chunk), tc->chunk_count, e);
    }
    tree_close(t);
    return rc;
}

struct trees {
    struct buf digests;
};

static int take_layer(const struct cat_layer *l, void *ctx)
{
    return buf_append(&((struct trees *)ctx)->digests, l->tree.b, DIGEST_LEN);
}

static int take_package(const struct cat_package *p, void *ctx)
{
    return buf_append(&((struct trees *)ctx)->digests, p->tree.b, DIGEST_LEN);
}

static int fill_contents(struct store *s, struct err *e)
{
    struct catalog *c = store_catalog(s);
    struct reader *rd = store_reader(s);
    struct trees t = {{0}};
    if (!rd)
        return err_nomem(e);
    if (catalog_each_layer(c, take_layer, &t, e) < 0 || catalog_each_package(c, take_package, &t, e) < 0) {
        buf_release(&t.digests);
        return e->kind == ERR_NONE ? err_nomem(e) : -1;
    }
    int rc = catalog_begin(c, e);
    if (rc == 0) {
        for (size_t at = 0; rc == 0 && at < t.digests.len; at += DIGEST_LEN) {
            struct digest d;
            memcpy(d.b, t.digests.p + at, DIGEST_LEN);
            rc = add_contents(c, rd, &d, e);
        }
        if (rc < 0 || (rc = catalog_commit(c, e)) < 0)
            catalog_rollback(c);
    }
    buf_release(&t.digests);
    return rc;
}

int store_rebuild(const char *path, struct err *e)
{
    struct rebuild r = {.e = e};
    char name[4200];
    if (store_open(path, STORE_BARE, &r.s, e) < 0)
        return -1;
    int rc = check_unused(r.s, e);
    if (rc == 0)
        rc = io_lock(store_lockfd(r.s), true, true, path, e);
    if (rc == 0) {
        remove_new(r.s);
        snprintf(name, sizeof name, "%s/%s", store_path(r.s), new_name);
        /* The store's lock is held here, for all of it: the new catalog needs none of its own. */
        rc = catalog_open(store_dirfd(r.s), name, -1, false, true, &r.c, e);
    }
    if (rc == 0)
        rc = fill(&r);
    catalog_close(r.c);
    if (rc == 0)
        rc = replace(r.s, e);
    else
        remove_new(r.s);
    store_close(r.s);
    if (rc < 0)
        return err_wrap(e, "rebuild the catalog of %s", path);
    struct store *s;
    if (store_open(path, 0, &s, e) < 0)
        return -1;
    rc = fill_contents(s, e);
    store_close(s);
    if (rc == 0 && r.damages)
        return err_set(e, ERR_DAMAGED,
                       "%s: the catalog was made anew, without what stood in %" PRIu64
                       " damaged places of packs; the first: %s; `cairn verify` says what it hurts. Run no gc before "
                       "the packs are repaired or copied",
                       path, r.damages, r.first.text);
    return rc;
}

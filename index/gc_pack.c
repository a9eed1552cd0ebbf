/* SPDX-License-Identifier: MIT */
#include "gc_pack.h"

#include "catalog.h"
#include "catalog_gc.h"
#include "codec.h"
#include "io.h"
#include "limits.h"
#include "pack.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SMALL_PACK = 1 << 20, SMALL_PACKS = 8 };

struct pack_file {
    uint64_t id, bytes;
};

struct pack_state {
    uint64_t id, bytes;
    uint32_t blocks, in_file; /* alive; that the file has */
    bool partial;             /* a block has dead content */
    bool rewrite;
};

/* --- what is there --- */

static int see_file(void *ctx, uint64_t id, uint64_t bytes, struct err *e)
{
    struct gc_pack *p = ctx;
    struct pack_file f = {id, bytes};
    return buf_append(&p->files, &f, sizeof f) < 0 ? err_nomem(e) : 0;
}

int gc_pack_list(struct gc_pack *p, struct err *e)
{
    return pack_each(p->s, see_file, p, e);
}

static int see_pack(uint64_t id, uint64_t bytes, void *ctx)
{
    struct gc_pack *p = ctx;
    struct pack_state st = {.id = id, .bytes = bytes};
    return buf_append(&p->states, &st, sizeof st);
}

static size_t state_count(const struct gc_pack *p)
{
    return p->states.len / sizeof(struct pack_state);
}

static struct pack_state *state_at(const struct gc_pack *p, size_t i)
{
    return (struct pack_state *)(void *)p->states.p + i;
}

/* Sorted by id as signed numbers, as the catalog lists them; ids are positive. */
static struct pack_state *state_of(const struct gc_pack *p, uint64_t id)
{
    size_t lo = 0, hi = state_count(p);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (state_at(p, mid)->id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < state_count(p) && state_at(p, lo)->id == id ? state_at(p, lo) : NULL;
}

static int see_block(const struct cat_block *b, void *ctx)
{
    struct pack_state *st = state_of(ctx, b->loc.pack);
    uint64_t live = 0;
    for (uint32_t i = 0; i < b->count; i++)
        live += b->rows[i].len;
    if (st) {
        st->blocks++;
        st->partial |= live != b->loc.rlen;
    }
    return 0;
}

static int count_block(void *ctx, uint64_t off, uint32_t clen, uint32_t rlen, const struct chunk_row *rows, uint32_t n,
                       struct err *e)
{
    (void)off, (void)clen, (void)rlen, (void)rows, (void)n, (void)e;
    ((struct pack_state *)ctx)->in_file++;
    return 0;
}

/* Which packs are worth rewriting. */
static int decide(struct gc_pack *p, struct err *e)
{
    size_t small = 0;
    for (size_t i = 0; i < state_count(p); i++)
        small += state_at(p, i)->blocks && state_at(p, i)->bytes < SMALL_PACK;
    for (size_t i = 0; i < state_count(p); i++) {
        struct pack_state *st = state_at(p, i);
        if (!st->blocks)
            continue;
        st->rewrite = small > SMALL_PACKS && st->bytes < SMALL_PACK;
        if (p->full && !st->rewrite) {
            struct pack_visitor v = {.block = count_block, .ctx = st};
            uint64_t end;
            if (pack_scan(p->s, st->id, true, &v, &end, e) < 0)
                return -1;
            st->rewrite = st->partial || st->in_file != st->blocks;
        }
    }
    return 0;
}

/* --- writing --- */

static int need_writer(struct gc_pack *p, struct err *e)
{
    uint64_t id;
    if (p->w && pack_writer_size(p->w) < PACK_TARGET)
        return 0;
    if (p->w) {
        if (pack_writer_sync(p->w, e) < 0 ||
            catalog_add_pack(store_catalog(p->s), pack_writer_id(p->w), pack_writer_size(p->w), e) < 0)
            return -1;
        pack_writer_close(p->w);
        p->w = NULL;
    }
    if (pack_create(p->s, &p->w, e) < 0)
        return -1;
    id = pack_writer_id(p->w);
    return buf_append(&p->made, &id, sizeof id) < 0 ? err_nomem(e) : 0;
}

static int read_frame(struct gc_pack *p, const struct cat_block *b, struct buf *frame, struct err *e)
{
    char name[PACK_NAME_LEN + 1];
    pack_name(b->loc.pack, name);
    int fd = openat(store_packsfd(p->s), name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, errno, "open %s/packs/%s", store_path(p->s), name);
    frame->len = 0;
    int rc =
        buf_reserve(frame, b->loc.clen) < 0 ? err_nomem(e) : io_pread(fd, frame->p, b->loc.clen, b->loc.off, name, e);
    if (rc == 0)
        frame->len = b->loc.clen;
    close(fd);
    return rc;
}

/* Writes what was gathered as a new block, and points its chunks there. */
static int flush_raw(struct gc_pack *p, struct err *e)
{
    struct catalog *c = store_catalog(p->s);
    struct encoder *z = NULL;
    struct buf frame = {0};
    const struct chunk_row *rows = (const struct chunk_row *)(const void *)p->raw_rows.p;
    uint32_t n = (uint32_t)(p->raw_rows.len / sizeof *rows);
    struct block_loc loc = {.rlen = (uint32_t)p->raw.len};
    uint64_t id;
    if (!n)
        return 0;
    int rc = need_writer(p, e);
    if (rc == 0)
        rc = encoder_new(ZSTD_LEVEL_IMPORT, &z, e);
    if (rc == 0)
        rc = encoder_run(z, p->raw.p, p->raw.len, &frame, e);
    if (rc == 0) {
        loc.pack = pack_writer_id(p->w);
        loc.clen = (uint32_t)frame.len;
        rc = pack_writer_block(p->w, rows, n, loc.rlen, frame.p, loc.clen, &loc.off, e);
    }
    if (rc == 0)
        rc = catalog_add_block(c, &loc, rows, n, &id, e);
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        rc = catalog_move_chunk(c, &rows[i].digest, id, rows[i].off, e);
    encoder_free(z);
    buf_release(&frame);
    p->raw.len = p->raw_rows.len = 0;
    return rc;
}

/* The live chunks of a partly dead block join others. */
static int gather(struct gc_pack *p, const struct cat_block *b, const struct buf *frame, struct err *e)
{
    struct decoder *z = NULL;
    uint8_t *raw = malloc(b->loc.rlen);
    int rc = raw ? decoder_new(&z, e) : err_nomem(e);
    if (rc == 0)
        rc = decoder_run(z, frame->p, frame->len, raw, b->loc.rlen, e);
    for (uint32_t i = 0; rc == 0 && i < b->count; i++) {
        struct chunk_row r = b->rows[i];
        if (r.off > b->loc.rlen || r.len > b->loc.rlen - r.off) {
            rc = err_set(e, ERR_DAMAGED, "a chunk lies outside block %" PRIu64, b->block);
            break;
        }
        const uint8_t *bytes = raw + r.off;
        r.off = (uint32_t)p->raw.len;
        if (buf_append(&p->raw, bytes, r.len) < 0 || buf_append(&p->raw_rows, &r, sizeof r) < 0)
            rc = err_nomem(e);
        else if (p->raw.len >= BLOCK_TARGET)
            rc = flush_raw(p, e);
    }
    decoder_free(z);
    free(raw);
    if (rc == 0)
        rc = catalog_drop_block(store_catalog(p->s), b->block, e);
    return rc;
}

static int move(struct gc_pack *p, const struct cat_block *b, struct err *e)
{
    struct buf frame = {0};
    uint64_t live = 0, off;
    for (uint32_t i = 0; i < b->count; i++)
        live += b->rows[i].len;
    int rc = read_frame(p, b, &frame, e);
    if (rc == 0 && live != b->loc.rlen) {
        rc = gather(p, b, &frame, e);
    } else if (rc == 0) {
        rc = need_writer(p, e);
        if (rc == 0)
            rc = pack_writer_block(p->w, b->rows, b->count, b->loc.rlen, frame.p, b->loc.clen, &off, e);
        if (rc == 0)
            rc = catalog_move_block(store_catalog(p->s), b->block, pack_writer_id(p->w), off, e);
    }
    buf_release(&frame);
    return rc;
}

struct mover {
    struct gc_pack *p;
    struct err *e;
};

static int move_block(const struct cat_block *b, void *ctx)
{
    struct mover *m = ctx;
    const struct pack_state *st = state_of(m->p, b->loc.pack);
    return st && st->rewrite ? move(m->p, b, m->e) : 0;
}

static int write_snapshot(struct gc_pack *p, struct err *e)
{
    struct catalog *c = store_catalog(p->s);
    struct buf lines = {0};
    uint64_t seq;
    uint32_t next;
    int rc = need_writer(p, e);
    if (rc == 0)
        rc = catalog_dump(c, p->loose, p->ctx, &lines, e);
    if (rc == 0 && (catalog_seq(c, &seq, e) < 0 || catalog_peek_no(c, &next, e) < 0))
        rc = -1;
    if (rc == 0)
        rc = pack_writer_records(p->w, seq + 1, lines.p, lines.len, next, e);
    if (rc == 0)
        rc = pack_writer_sync(p->w, e);
    if (rc == 0)
        rc = catalog_add_pack(c, pack_writer_id(p->w), pack_writer_size(p->w), e);
    if (rc == 0)
        rc = io_fsync_dir(store_packsfd(p->s), NULL, e);
    buf_release(&lines);
    return rc;
}

static int drop_packs(struct gc_pack *p, struct err *e)
{
    for (size_t i = 0; i < state_count(p); i++) {
        const struct pack_state *st = state_at(p, i);
        struct pack_file f = {st->id, st->bytes};
        if (st->blocks && !st->rewrite)
            continue;
        if (catalog_drop_pack(store_catalog(p->s), st->id, e) < 0)
            return -1;
        if (buf_append(&p->gone, &f, sizeof f) < 0)
            return err_nomem(e);
    }
    return 0;
}

/* Files that were there before it was known that no import runs, and that the catalog doesn't know. */
static int add_leftovers(struct gc_pack *p, struct err *e)
{
    for (size_t i = 0; i < p->files.len / sizeof(struct pack_file); i++) {
        const struct pack_file *f = (const struct pack_file *)(const void *)p->files.p + i;
        if (!state_of(p, f->id) && buf_append(&p->gone, f, sizeof *f) < 0)
            return err_nomem(e);
    }
    return 0;
}

int gc_pack_run(struct gc_pack *p, struct err *e)
{
    struct catalog *c = store_catalog(p->s);
    struct mover m = {p, e};
    size_t without = 0, rewrite = 0;
    if (catalog_each_pack(c, see_pack, p, e) != 0)
        return e->kind == ERR_NONE ? err_nomem(e) : -1;
    if (catalog_each_block(c, see_block, p, e) < 0 || decide(p, e) < 0 || add_leftovers(p, e) < 0)
        return -1;
    for (size_t i = 0; i < state_count(p); i++) {
        without += !state_at(p, i)->blocks;
        rewrite += state_at(p, i)->rewrite;
    }
    /* One pack of records alone is the last snapshot, or not worth one. */
    if (without <= 1 && !rewrite)
        return 0;
    if (catalog_each_block(c, move_block, &m, e) < 0 || flush_raw(p, e) < 0 || drop_packs(p, e) < 0)
        return -1;
    return write_snapshot(p, e);
}

void gc_pack_unlink(struct gc_pack *p, uint64_t *ret_freed)
{
    uint64_t made = p->w ? pack_writer_size(p->w) : 0;
    uint64_t freed = 0;
    for (size_t i = 0; i < p->gone.len / sizeof(struct pack_file); i++) {
        const struct pack_file *f = (const struct pack_file *)(const void *)p->gone.p + i;
        pack_remove(p->s, f->id);
        freed += f->bytes;
    }
    size_t n = p->made.len / sizeof(uint64_t);
    if (n > 1)
        made += (n - 1) * (uint64_t)PACK_TARGET;
    *ret_freed = freed > made ? freed - made : 0;
}

void gc_pack_undo(struct gc_pack *p)
{
    const uint64_t *ids = (const uint64_t *)(const void *)p->made.p;
    for (size_t i = 0; i < p->made.len / sizeof *ids; i++)
        pack_remove(p->s, ids[i]);
}

void gc_pack_release(struct gc_pack *p)
{
    pack_writer_close(p->w);
    p->w = NULL;
    buf_release(&p->files);
    buf_release(&p->states);
    buf_release(&p->made);
    buf_release(&p->gone);
    buf_release(&p->raw);
    buf_release(&p->raw_rows);
}

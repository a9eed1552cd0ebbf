/* SPDX-License-Identifier: MIT */
/*
 * One catalog transaction around everything, so that the numbers drawn and the sequence number belong to it alone:
 *
 *   packs fsynced (no lock) → begin (lock) → numbers → records and seal → fsync, names of packs → rows → commit
 *
 * If it fails before the commit, the packs are removed. If the commit itself reports a failure, it may have happened
 * all the same: then the catalog is asked, and in doubt the packs stay: the next transaction settles it (settle.h).
 */
#include "session_commit.h"

#include "settle.h"

#include <inttypes.h>
#include <string.h>

static int assign_numbers(struct commit *c, struct catalog *cat, uint32_t *ret_next, struct err *e)
{
    uint32_t no;
    for (size_t i = 0; i < c->record_count; i++) {
        if (json_get(c->records[i], "no"))
            continue;
        if (catalog_next_no(cat, &no, e) < 0)
            return -1;
        if (json_set(c->records[i], "no", json_new_int(no)) < 0)
            return err_nomem(e);
    }
    return catalog_peek_no(cat, ret_next, e);
}

/* --- records --- */

static int add_line(struct json *j, struct buf *out, struct err *e)
{
    return json_dump(j, 0, out) < 0 || buf_append(out, "\n", 1) < 0 ? err_nomem(e) : 0;
}

static struct json *chunk_list(const struct content *c)
{
    struct json *list = json_new_array();
    uint64_t at = 0;
    for (uint32_t i = 0; list && i < c->chunk_count; i++) {
        char hex[DIGEST_HEX_LEN + 1];
        const struct tree_chunk *k = &c->chunks[i];
        struct json *pair = json_new_array();
        digest_hex(&k->digest, hex);
        if (!pair || json_add(pair, digest_is_zero(&k->digest) ? json_new_null() : json_new_str(hex)) < 0 ||
            json_add(pair, json_new_int((int64_t)(k->end - at))) < 0 || json_add(list, json_ref(pair)) < 0) {
            json_unref(pair);
            json_unref(list);
            return NULL;
        }
        json_unref(pair);
        at = k->end;
    }
    return list;
}

static int add_content_line(const struct content *c, void *ctx, struct err *e)
{
    char hex[DIGEST_HEX_LEN + 1];
    digest_hex(&c->digest, hex);
    struct json *j = json_new_object();
    int rc = -1;
    if (!j || json_set(j, "type", json_new_str("content")) < 0 || json_set(j, "digest", json_new_str(hex)) < 0 ||
        json_set(j, "size", json_new_int((int64_t)c->size)) < 0 || json_set(j, "chunks", chunk_list(c)) < 0)
        err_nomem(e);
    else
        rc = add_line(j, ctx, e);
    json_unref(j);
    return rc;
}

static int write_records(struct commit *c, uint64_t seq, uint64_t next_no, struct err *e)
{
    struct buf lines = {0};
    int rc = ingest_each_kept(c->ingest, add_content_line, &lines, e);
    for (size_t i = 0; rc == 0 && i < c->record_count; i++)
        rc = add_line(c->records[i], &lines, e);
    if (rc == 0)
        rc = packer_records(c->packer, seq, lines.p, lines.len, next_no, e);
    buf_release(&lines);
    return rc;
}

/* --- rows --- */

static int add_blocks(struct commit *c, struct catalog *cat, struct err *e)
{
    struct buf rows = {0};
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < ingest_blocks(c->ingest); i++) {
        struct block_loc loc;
        uint64_t number;
        uint32_t n;
        packer_loc(c->packer, i, &loc);
        rc = ingest_rows(c->ingest, i, &rows, &n, e);
        if (rc == 0)
            rc = catalog_add_block(cat, &loc, (const struct chunk_row *)(const void *)rows.p, n, &number, e);
    }
    buf_release(&rows);
    return rc;
}

static int add_content_row(const struct content *c, void *ctx, struct err *e)
{
    return catalog_add_content(ctx, &c->digest, c->size, c->chunks, c->chunk_count, e);
}

static int keep_chunk(const struct digest *d, void *ctx, struct err *e)
{
    if (catalog_keep_chunk(ctx, d, e) == 0)
        return 0;
    if (e->kind == ERR_NOT_FOUND)
        return err_set(e, ERR_BUSY, "gc has removed what this import builds on: import again");
    return -1;
}

static int write_rows(struct commit *c, struct catalog *cat, uint64_t seq_before, struct err *e)
{
    for (uint32_t i = 0; i < packer_packs(c->packer); i++) {
        uint64_t id, bytes;
        packer_pack(c->packer, i, &id, &bytes);
        if (catalog_add_pack(cat, id, bytes, e) < 0)
            return -1;
    }
    if (add_blocks(c, cat, e) < 0 || ingest_each_new(c->ingest, add_content_row, cat, e) < 0)
        return -1;
    /* Nobody has written since the session began: then nothing can have been condemned. */
    if (seq_before != c->seq_at_begin && ingest_each_reused(c->ingest, keep_chunk, cat, e) < 0)
        return -1;
    for (size_t i = 0; i < c->record_count; i++)
        if (catalog_apply(cat, c->records[i], e) < 0)
            return -1;
    for (size_t i = 0; i < c->record_count; i++)
        if (catalog_check_named(cat, c->records[i], e) < 0)
            return -1;
    return 0;
}

static int in_transaction(struct commit *c, struct catalog *cat, uint64_t *ret_seq, struct err *e)
{
    uint64_t seq;
    uint32_t next_no = 0;
    if (catalog_seq(cat, &seq, e) < 0)
        return -1;
    *ret_seq = seq;
    if (assign_numbers(c, cat, &next_no, e) < 0 || write_records(c, seq + 1, next_no, e) < 0 ||
        packer_sync(c->packer, e) < 0)
        return -1;
    return write_rows(c, cat, seq, e);
}

int commit_publish(struct commit *c, struct err *e)
{
    struct catalog *cat = store_catalog(c->store);
    uint64_t before = 0, after = 0;
    if (packer_sync(c->packer, e) < 0 || catalog_begin(cat, e) < 0)
        return -1;
    if (settle(c->store, e) < 0 || in_transaction(c, cat, &before, e) < 0) {
        catalog_rollback(cat);
        return -1;
    }
    if (catalog_commit(cat, e) == 0) {
        packer_keep(c->packer);
        return 0;
    }
    struct err ignored = {0};
    catalog_rollback(cat);
    if (catalog_seq(cat, &after, &ignored) < 0 || after != before)
        packer_keep(c->packer);
    return -1;
}

/* SPDX-License-Identifier: MIT */
/* record: changes that bring no bytes (tag, rm, keep): a small pack of records, and the catalog, in one transaction. */
#include "catalog.h"
#include "io.h"
#include "pack.h"
#include "settle.h"
#include "store.h"

static int give_numbers(struct catalog *c, struct json **records, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t no;
        if (json_get(records[i], "no"))
            continue;
        if (catalog_next_no(c, &no, e) < 0)
            return -1;
        if (json_set(records[i], "no", json_new_int(no)) < 0)
            return err_nomem(e);
    }
    return 0;
}

static int write_pack(struct store *s, struct pack_writer *w, struct json **records, size_t n, struct err *e)
{
    struct catalog *c = store_catalog(s);
    struct buf lines = {0};
    uint64_t seq;
    uint32_t next;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (json_dump(records[i], 0, &lines) < 0 || buf_append(&lines, "\n", 1) < 0)
            rc = err_nomem(e);
    if (rc == 0 && catalog_seq(c, &seq, e) == 0 && catalog_peek_no(c, &next, e) == 0 &&
        pack_writer_records(w, seq + 1, lines.p, lines.len, next, e) == 0 && pack_writer_sync(w, e) == 0)
        rc = io_fsync_dir(store_packsfd(s), NULL, e);
    else
        rc = -1;
    buf_release(&lines);
    return rc;
}

int store_record(struct store *s, struct json **records, size_t n, struct err *e)
{
    struct catalog *c = store_catalog(s);
    struct pack_writer *w = NULL;
    if (catalog_begin(c, e) < 0)
        return -1;
    int rc = settle(s, e);
    if (rc == 0)
        rc = give_numbers(c, records, n, e);
    if (rc == 0)
        rc = pack_create(s, &w, e);
    if (rc == 0)
        rc = write_pack(s, w, records, n, e);
    if (rc == 0)
        rc = catalog_add_pack(c, pack_writer_id(w), pack_writer_size(w), e);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = catalog_apply(c, records[i], e);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = catalog_check_named(c, records[i], e);
    if (rc < 0) {
        catalog_rollback(c);
        if (w)
            pack_remove(s, pack_writer_id(w));
    } else if ((rc = catalog_commit(c, e)) < 0) {
        /* It may have happened all the same: the pack stays, and the next transaction settles it. */
        catalog_rollback(c);
    }
    pack_writer_close(w);
    return rc;
}

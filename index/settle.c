/* SPDX-License-Identifier: MIT */
#include "settle.h"

#include "catalog.h"
#include "catalog_gc.h"
#include "io.h"
#include "pack.h"

#include <inttypes.h>
#include <stdlib.h>

struct walk {
    struct store *s;
    struct buf known; /* uint64_t, ascending */
    uint64_t seq;
    bool removed;
};

static int see_known(uint64_t id, uint64_t bytes, void *ctx)
{
    (void)bytes;
    return buf_append(&((struct walk *)ctx)->known, &id, sizeof id);
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int see_file(void *ctx, uint64_t id, uint64_t bytes, struct err *e)
{
    struct walk *w = ctx;
    uint64_t seq;
    bool sealed;
    size_t n = w->known.len / sizeof id;
    (void)bytes;
    if (n && bsearch(&id, w->known.p, n, sizeof id, by_id))
        return 0;
    if (pack_sealed(w->s, id, &sealed, &seq, e) < 0)
        return -1;
    if (!sealed) /* a running import's, or what is left of one: for gc */
        return 0;
    if (seq > w->seq + 1)
        return err_set(e, ERR_DAMAGED,
                       "%s/catalog.db is an older copy: it ends at change %" PRIu64 ", pack %016" PRIx64
                       " has change %" PRIu64 "; `cairn rebuild` makes it anew from the packs",
                       store_path(w->s), w->seq, id, seq);
    pack_remove(w->s, id);
    w->removed = true;
    return 0;
}

int settle(struct store *s, struct err *e)
{
    struct walk w = {.s = s};
    int rc = catalog_seq(store_catalog(s), &w.seq, e);
    if (rc == 0 && catalog_each_pack(store_catalog(s), see_known, &w, e) != 0)
        rc = e->kind == ERR_NONE ? err_nomem(e) : -1;
    if (rc == 0)
        rc = pack_each(s, see_file, &w, e);
    /* Gone for good before its numbers are used: otherwise a power cut could bring it back. */
    if (rc == 0 && w.removed)
        rc = io_fsync_dir(store_packsfd(s), NULL, e);
    buf_release(&w.known);
    return rc;
}

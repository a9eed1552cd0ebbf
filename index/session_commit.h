/* SPDX-License-Identifier: MIT */
/* session_commit: how a session's work becomes part of the store. The order of writes is that of FORMAT.md. For
 * session.c only. */
#ifndef CAIRN_SESSION_COMMIT_H
#define CAIRN_SESSION_COMMIT_H

#include "ingest.h"
#include "packer.h"

struct commit {
    struct store *store;
    const struct ingest *ingest; /* finished */
    struct packer *packer;       /* finished; packer_keep is called when its packs belong to the store */
    uint64_t seq_at_begin;       /* of the catalog, before the session's first look-up */
    struct json **records;       /* those that need a number get one */
    size_t record_count;
};

int commit_publish(struct commit *c, struct err *e);

#endif

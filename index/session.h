/* SPDX-License-Identifier: MIT */
/*
 * session: one import. All that it adds becomes visible by one session_commit, after everything is on disk;
 * without it (error, Ctrl-C, crash) the store is as before.
 *
 *   session_begin → { session_content_begin, session_data/session_hole…, session_content_end } per file
 *                 → session_flush → session_content (digest and chunks of each slot)
 *                 → session_put (trees, recipes, manifests) → session_record (objects) → session_commit
 *                 → session_end (always)
 *
 * Inside is a pipeline: the caller reads and parses; one thread cuts, hashes and looks up; all cores compress;
 * packs are written in between. The caller's thread only copies bytes into slabs, and waits when
 * the pipeline is full (memory is bounded: LIMIT in session.c, some tens of MiB).
 * A failure inside the pipeline shows up as -1 from the next call. Calls come from one thread.
 *
 * Contents are numbered from 0 in the order of session_content_end ("slots"). Empty files have none: don't begin one.
 * What the store (or this session) has already is not stored again.
 */
#ifndef CAIRN_SESSION_H
#define CAIRN_SESSION_H

#include "json.h"
#include "store.h"
#include "tree.h"

struct session;

struct session_stats {
    uint64_t bytes_in;     /* raw bytes given to it (holes not counted) */
    uint64_t bytes_new;    /* of these, not in the store before: raw */
    uint64_t bytes_stored; /* compressed size of these on disk */
    uint64_t files;
};

struct session_opts {
    unsigned threads;           /* compressing; 0: one per core */
    const volatile int *cancel; /* non-zero: stop with ERR_CANCELLED as soon as may be; may be NULL */
};

struct content {
    struct digest digest;
    uint64_t size, stored;           /* as tree_content */
    const struct tree_chunk *chunks; /* owned by the session (or by whoever made the struct) */
    uint32_t chunk_count;
};

int session_begin(struct store *s, const struct session_opts *o, struct session **ret, struct err *e);
struct store *session_store(struct session *s);

int session_content_begin(struct session *s, struct err *e);
int session_data(struct session *s, const void *p, size_t n, struct err *e);
/* n zeros that needn't be stored. */
int session_hole(struct session *s, uint64_t n, struct err *e);
int session_content_end(struct session *s, uint32_t *ret_slot, struct err *e);
/* One whole content. Waits for it: small things only (trees, JSON). *ret may be NULL. n may be 0. */
int session_put(struct session *s, const void *p, size_t n, struct digest *ret, struct err *e);
/* Waits until every content so far is known. */
int session_flush(struct session *s, struct err *e);
/* After session_flush. Valid until session_end. */
int session_content(struct session *s, uint32_t slot, struct content *ret, struct err *e);

/* Of a content that is in no tree although it has a slot (a large recipe): it gets a record of its own, as
 * session_put's do, so that a rebuild of the catalog finds its chunks. */
int session_content_keep(struct session *s, uint32_t slot, struct err *e);

/*
 * Adds an object record (catalog.h lists the types). Takes r over. It is applied to the catalog at commit, where a
 * record that needs a number ("no") gets one. A record equal to what is there already may be left out by the caller
 * (see catalog_*), or is dropped by catalog_apply.
 */
int session_record(struct session *s, struct json *r, struct err *e);
/* Objects recorded in this very session, by type and key, for imports that build on each other; NULL when none.
 * Borrowed. */
struct json *session_recorded(struct session *s, const char *type, const char *key_field, const char *key);

/* Publishes everything: packs fsynced, then one catalog transaction. Nothing recorded: nothing is kept. */
int session_commit(struct session *s, struct err *e);
void session_stats(struct session *s, struct session_stats *ret); /* any thread, any time */
/* Frees; without a commit it removes what was written. NULL: no-op. */
void session_end(struct session *s);

#endif

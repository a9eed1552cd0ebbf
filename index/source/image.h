/* SPDX-License-Identifier: MIT */
/*
 * image: an image's documents (manifest, config) and what they bind together. The adapters for OCI layouts, docker
 * archives, tars and directories find the bytes; here they are checked, stored and given a name. Export writes an OCI
 * layout or docker archive.
 *
 * Checked before anything is recorded: each blob against its digest and size, each layer against its diffID, the number
 * of layers against the config. A layer whose diffID the store has is not read again.
 */
#ifndef CAIRN_IMAGE_H
#define CAIRN_IMAGE_H

#include "../catalog.h"
#include "../session.h"
#include "../stream.h"
#include "imageref.h"
#include "image_manifest.h"

/* Where an image's blobs come from. open gives the raw (compressed) bytes and their number (UINT64_MAX: not known
 * beforehand); image.c checks the digest. ERR_NOT_FOUND if absent. */
struct blob_source {
    int (*open)(struct blob_source *b, const struct digest *d, struct stream **ret, uint64_t *ret_size, struct err *e);
};
/* A small blob whole, its digest and size checked. what: for errors. Appends to out. */
int image_blob_get(struct blob_source *b, const struct digest *d, uint64_t size, const char *what, struct buf *out,
                   struct err *e);

/* What run needs of a config; strings NULL when absent or empty, lists NULL-terminated (empty list: NULL). */
struct image_config {
    char **entrypoint, **cmd, **env;
    char *workdir, *user, *stop_signal, *os, *arch, *created;
};
int image_config_parse(const void *p, size_t n, struct image_config *ret, struct err *e);
void image_config_release(struct image_config *c);
/* Loads and parses the config of an image in the store. */
int image_config_load(struct store *s, const struct cat_image *im, struct image_config *ret, struct err *e);

/* One row of `history`: newest last, as in the config. A layer without a row of its own comes behind them. */
struct image_history {
    char *created, *created_by, *comment; /* NULL: not said */
    bool empty;
    struct digest diffid; /* when not empty */
    uint64_t size;        /* of the layer's file contents: sum of sizes, as docker shows it */
};
int image_history_load(struct store *s, const struct cat_image *im, struct image_history **ret, size_t *ret_n,
                       struct err *e);
void image_history_free(struct image_history *h, size_t n);

/*
 * One importer per session: it remembers the session's layers for the next image. What goes wrong leaves the session
 * fit for session_end only.
 */
struct image_importer;
struct image_importer_opts {
    const char *platform;       /* when given, a config that says another one is refused; NULL: not checked here */
    const volatile int *cancel; /* as in session_opts; may be NULL */
    /* May be NULL. From the calling thread, in bytes as they come (compressed); total grows with each image. */
    void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);
    void *ctx;
};
int image_importer_new(struct session *s, const struct image_importer_opts *o, struct image_importer **ret,
                       struct err *e);
void image_importer_free(struct image_importer *im);

/* Imports the image of these manifest bytes under repo (and tag, unless NULL). media_type: its descriptor's, or NULL.
 * *ret_new false: image and name were there. */
int image_import(struct image_importer *im, struct blob_source *b, const void *manifest, size_t n,
                 const char *media_type, const char *repo, const char *tag, struct digest *ret_manifest, bool *ret_new,
                 struct err *e);
/* An image of one layer out of a plain tar (which it doesn't close): config and manifest are made here, and depend on
 * nothing but the tar's bytes, platform (NULL: the host's), created_by and SOURCE_DATE_EPOCH. */
int image_import_single(struct image_importer *im, struct stream *tar, const char *platform, const char *created_by,
                        const char *repo, const char *tag, struct digest *ret_manifest, bool *ret_new, struct err *e);

/* For archives without a manifest: layers one by one, lowest first, then image_bind over all since the last image_bind.
 * diffid: what it must be, or NULL. open is called only when the layer isn't there already (diffid NULL: always). */
int image_add_layer(struct image_importer *im, const struct digest *diffid,
                    int (*open)(void *ctx, struct stream **ret, uint64_t *ret_size, struct err *e), void *ctx,
                    struct digest *ret_diffid, struct err *e);
/* An OCI manifest over the uncompressed layers is made. The config must name exactly these diffIDs. */
int image_bind(struct image_importer *im, const void *config, size_t n, const char *repo, const char *tag,
               struct digest *ret_manifest, bool *ret_new, struct err *e);
/* One more name for an image of this session or store. */
int image_name_add(struct image_importer *im, const struct digest *manifest, const char *repo, const char *tag,
                   bool *ret_new, struct err *e);

/* What an adapter imported, in its order. `struct image_results r = {0};` is an empty list. */
struct image_result {
    char *name; /* "repo:tag", or "repo@sha256:…" */
    struct digest manifest;
    bool is_new;
};
struct image_results {
    struct image_result *v;
    size_t n, cap;
};
int image_results_add(struct image_results *r, const char *repo, const char *tag, const struct digest *manifest,
                      bool is_new, struct err *e);
void image_results_release(struct image_results *r);

enum image_export_form { IMAGE_EXPORT_OCI, IMAGE_EXPORT_DOCKER };
/* Writes a tar of an OCI layout or a docker archive. The config is byte for byte the imported one, the layers
 * uncompressed. ref: for ref.name / RepoTags; NULL: none. */
int image_export(struct store *s, const struct cat_image *im, const char *ref, enum image_export_form form,
                 int (*write)(void *, const void *, size_t, struct err *), void *ctx, struct err *e);

#endif

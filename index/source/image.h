/* SPDX-License-Identifier: MIT */
/*
 * image: an image's documents (manifest, config) and what they bind together. Used by the adapters for
 * OCI layouts, docker archives, tars and directories; export writes an OCI layout or docker archive.
 */
#ifndef CAIRN_IMAGE_H
#define CAIRN_IMAGE_H

#include "../catalog.h"
#include "../session.h"
#include "../stream.h"

/* Where an image's blobs come from. open gives the raw (compressed) bytes; the digest is checked by the caller (image.c). ERR_NOT_FOUND if absent. */
struct blob_source {
    int (*open)(struct blob_source *b, const struct digest *d, struct stream **ret, struct err *e);
};

/* What run needs of a config; strings NULL when absent, lists NULL-terminated (empty list: NULL). */
struct image_config {
    char **entrypoint, **cmd, **env;
    char *workdir, *user, *stop_signal, *os, *arch, *created;
};
int image_config_parse(const void *p, size_t n, struct image_config *ret, struct err *e);
void image_config_release(struct image_config *c);
/* Loads and parses the config of an image in the store. */
int image_config_load(struct store *s, const struct cat_image *im, struct image_config *ret, struct err *e);

/* One row of `history`: newest last, as in the config. */
struct image_history {
    char *created, *created_by, *comment;
    bool empty;
    struct digest diffid; /* when not empty */
    uint64_t size;        /* of the layer's file contents: sum of sizes, as docker shows it */
};
int image_history_load(struct store *s, const struct cat_image *im, struct image_history **ret, size_t *ret_n, struct err *e);
void image_history_free(struct image_history *h, size_t n);

/* Imports the image of these manifest bytes under repo (and tag, unless NULL). *ret_new false: image and name were there. */
int image_import(struct session *s, struct blob_source *b, const void *manifest, size_t n, const char *repo, const char *tag,
                 struct digest *ret_manifest, bool *ret_new, struct err *e);
/* Makes manifest and config for one layer (tar or directory import) and imports that. */
int image_import_single(struct session *s, struct stream *tar, const char *repo, const char *tag, const char *created_by,
                        struct digest *ret_manifest, bool *ret_new, struct err *e);

enum image_export_form { IMAGE_EXPORT_OCI, IMAGE_EXPORT_DOCKER };
/* Writes a tar of an OCI layout or a docker archive. The config is byte for byte the imported one, the layers uncompressed. ref: for ref.name / RepoTags; NULL: none. */
int image_export(struct store *s, const struct cat_image *im, const char *ref, enum image_export_form form,
                 int (*write)(void *, const void *, size_t, struct err *), void *ctx, struct err *e);

/* Reference grammar (docker's distribution/reference, without host defaults): "repo[:tag][@sha256:…]". Strict. */
struct image_ref {
    char *repo, *tag; /* tag NULL when absent */
    bool has_digest;
    struct digest digest;
};
int image_ref_parse(const char *s, struct image_ref *ret, struct err *e);
void image_ref_release(struct image_ref *r);
/* Name of the folder in images/: '/' of the repository stays out: it becomes '_' … see image.c; "repo@tag". */
int image_folder(const char *repo, const char *tag, const struct digest *manifest, char **ret, struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * image_manifest: the JSON documents of images: manifest, index (manifest list), and the layer list of a config; OCI's
 * and docker's schema 2. Bytes in, checked structures out: what comes out has valid digests, no field set twice, and
 * says what it is only once (CVE-2021-41190). Pure functions, any thread.
 */
#ifndef CAIRN_IMAGE_MANIFEST_H
#define CAIRN_IMAGE_MANIFEST_H

#include "../buf.h"
#include "../digest.h"
#include "../err.h"

enum image_media {
    MEDIA_OTHER, /* something else: skipped in an index, refused in a manifest */
    MEDIA_MANIFEST,
    MEDIA_INDEX,
    MEDIA_CONFIG,
    MEDIA_LAYER,
};

#define MEDIA_TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_TYPE_CONFIG   "application/vnd.oci.image.config.v1+json"
#define MEDIA_TYPE_LAYER    "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_TYPE_INDEX    "application/vnd.oci.image.index.v1+json"

enum image_media image_media_of(const char *media_type);

struct image_platform {
    char *os, *arch, *variant; /* NULL: not said */
};
/* "os/arch[/variant]"; NULL: this machine's. ERR_USAGE. */
int image_platform_parse(const char *s, struct image_platform *ret, struct err *e);
void image_platform_release(struct image_platform *p);

struct image_descriptor {
    enum image_media media;
    char *media_type;
    struct digest digest;
    uint64_t size;
    bool foreign;  /* has urls: its bytes may be elsewhere */
    bool artifact; /* index: not an image to run (attestation, signature, …) */
    char *ref_name,
        *image_name; /* index: annotations org.opencontainers.image.ref.name, io.containerd.image.name; or NULL */
    struct image_platform platform;
};

struct image_manifest {
    char *media_type; /* as the document says; NULL when it doesn't */
    struct image_descriptor config, *layers;
    size_t layer_count;
};
/* expected: media type of the descriptor that led here, or NULL. Release on success. */
int image_manifest_parse(const void *p, size_t n, const char *expected, struct image_manifest *ret, struct err *e);
void image_manifest_release(struct image_manifest *m);

struct image_index {
    struct image_descriptor *v; /* in the document's order; MEDIA_MANIFEST and MEDIA_INDEX only, others are left out */
    size_t n;
};
/* what: for errors ("index.json"). */
int image_index_parse(const void *p, size_t n, const char *expected, const char *what, struct image_index *ret,
                      struct err *e);
void image_index_release(struct image_index *x);
/* The one of these n entries that is for that platform. None fits: ERR_NOT_FOUND, naming the platforms that there are.
 */
int image_index_select(const struct image_descriptor *const *v, size_t n, const struct image_platform *want,
                       size_t *ret, struct err *e);

/* The diffIDs that a config names, lowest first, and its platform. */
struct image_rootfs {
    struct digest *diffids;
    size_t n;
    struct image_platform platform;
};
int image_rootfs_parse(const void *config, size_t n, struct image_rootfs *ret, struct err *e);
void image_rootfs_release(struct image_rootfs *r);

/* An OCI manifest over uncompressed layers: equal arguments, equal bytes. annotations: a JSON object to copy in, or
 * NULL. */
struct json;
struct image_layer_desc {
    struct digest diffid;
    uint64_t size;
};
int image_manifest_make(const struct digest *config, uint64_t config_size, const struct image_layer_desc *layers,
                        size_t n, struct json *annotations, struct buf *out, struct err *e);

/* "sha256:0123456789ab…" for messages. */
#define DIGEST_SHORT_LEN (7 + 12 + 3)
const char *digest_short(const struct digest *d, char out[DIGEST_SHORT_LEN + 1]);

#endif

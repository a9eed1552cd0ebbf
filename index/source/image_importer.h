/* SPDX-License-Identifier: MIT */
/*
 * image_importer: what the files image_import.c, image_layers.c and image_single.c share; nobody else includes it.
 */
#ifndef CAIRN_IMAGE_IMPORTER_H
#define CAIRN_IMAGE_IMPORTER_H

#include "counted.h"
#include "image.h"

struct importer_layer {
    struct digest diffid;
    struct digest blob; /* that gave it, in this session; else zero */
    uint64_t size;      /* of the tar */
    struct tree *tree;
};

/* One layer of the image in work. */
struct importer_slot {
    uint32_t layer;
    struct digest blob; /* as the image has it, if it is known to give that layer; else zero */
};

struct importer_name {
    char *repo, *tag;
    struct digest manifest;
};

struct image_importer {
    struct session *s;
    struct image_importer_opts o;
    struct importer_layer *layers; /* all of the session's images */
    size_t n, cap;
    struct importer_slot *stack; /* the image in work, lowest first */
    size_t height, stack_cap;
    struct importer_name *names;
    size_t name_count, name_cap;
    struct counter counter;
};

/* The array with room for one more element; NULL only for want of memory (the old array is then as it was). */
void *importer_grow(void *v, size_t n, size_t *cap, size_t size);
struct catalog *importer_catalog(struct image_importer *im);

/* One layer of a manifest, onto the stack. what: for progress; must stay valid during the call. */
int importer_manifest_layer(struct image_importer *im, struct blob_source *b, const struct image_descriptor *d,
                            const struct digest *diffid, const char *what, struct err *e);
/* A layer that was read: onto the stack. Takes the tree over. */
int importer_push_new(struct image_importer *im, const struct importer_layer *l, struct err *e);

struct json *json_hex(const struct digest *d);
struct json *json_oci(const struct digest *d);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * ocilayout: an OCI image layout in a folder or in a tar of one: index.json, blobs/sha256/<hex>. One thread.
 */
#ifndef CAIRN_OCILAYOUT_H
#define CAIRN_OCILAYOUT_H

#include "blobtar.h"
#include "image.h"

/* Which images of a layout or archive are wanted, and how they shall be called. */
struct image_wanted {
    const struct image_ref *name; /* --name, for one image; NULL: their own */
    const char *tag;              /* PATH:TAG: a name, its tag part, or a manifest's digest; NULL: all */
    const char *platform;         /* NULL: the host's */
    const char *folder;           /* what nameless images are called after; NULL: they are refused */
};

struct ocilayout;

/* Whether the folder looks like one. */
bool ocilayout_is(const char *path);
int ocilayout_open_dir(const char *path, struct ocilayout **ret, struct err *e);
/* t stays the caller's, and open till the end. ERR_NOT_FOUND: it has no index.json. */
int ocilayout_open_tar(const struct blobtar *t, struct ocilayout **ret, struct err *e);
void ocilayout_close(struct ocilayout *o);
/* Images in index.json. */
size_t ocilayout_count(const struct ocilayout *o);

/* Imports what is wanted; appends to results. ERR_NOT_FOUND and ERR_USAGE name what there is. */
int ocilayout_import(struct ocilayout *o, struct image_importer *im, const struct image_wanted *w,
                     struct image_results *results, struct err *e);

#endif

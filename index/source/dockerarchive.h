/* SPDX-License-Identifier: MIT */
/*
 * dockerarchive: what `docker save` writes. Since 1.10 manifest.json lists images (config, layers, names); before,
 * `repositories` names the topmost of a chain of <id>/json + <id>/layer.tar, for which a config is made. (Since 25 the
 * archive is an OCI layout too: ocilayout.h reads it then.) One thread.
 */
#ifndef CAIRN_DOCKERARCHIVE_H
#define CAIRN_DOCKERARCHIVE_H

#include "ocilayout.h"

/* Whether the archive has manifest.json or repositories. */
bool dockerarchive_is(const struct blobtar *t);
/* As ocilayout_import. */
int dockerarchive_import(const struct blobtar *t, struct image_importer *im, const struct image_wanted *w,
                         struct image_results *results, struct err *e);

#endif

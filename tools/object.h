/* SPDX-License-Identifier: MIT */
/*
 * object: what a person means by OBJECT: an image reference ("deb:nginx", "deb" for deb:latest, "repo@sha256:…"), a
 * digest ("sha256:…" of a manifest, config, layer or compressed layer; or a unique beginning of its hex digits, from 4
 * on), a store path or its last part, or a unique beginning of a package's name ("nginx") or hash.
 */
#ifndef CAIRN_OBJECT_H
#define CAIRN_OBJECT_H

#include "../index/catalog.h"
#include "../index/store.h"

enum object_type { OBJECT_IMAGE, OBJECT_LAYER, OBJECT_PACKAGE };

struct object {
    enum object_type type;
    uint32_t no; /* of its tree: image (root filesystem), layer or package */
    union {
        struct cat_image image;
        struct cat_layer layer;
        struct cat_package package;
    };
    struct cat_name name; /* images: the name that was meant; repo NULL when it was found by digest alone */
};

/* ERR_NOT_FOUND, or ERR_USAGE when several are meant: the text lists them. */
int object_find(struct store *s, const char *text, struct object *ret, struct err *e);
/* "OBJECT[:PATH]": the longest beginning that names an object; *ret_path "" when there is no path. */
int object_find_path(struct store *s, const char *text, struct object *ret, const char **ret_path, struct err *e);
void object_release(struct object *o);
/* "deb:nginx", "sha256:…", "/nix/store/…": for messages and tables; out has 512 bytes. */
void object_title(const struct object *o, char out[512]);

/* Opens in->store for reading (no error texts about a store that isn't there yet: ERR_NOT_FOUND says so). */
struct invocation;
int tool_store(const struct invocation *in, int flags, struct store **ret, struct err *e);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * objects: what the store holds, as the mount sees it: packages, layers, images and names by their numbers, and the
 * listings of store, layers/sha256 and images made of them.
 *
 * The lists follow the catalog: every look at a listing asks for the catalog's version first (2 µs) and reads
 * it anew when it moved, so an import is visible as soon as its commit returned. An object that was removed stays known
 * as long as the kernel has something of it (its look-up count): what is open can be read on.
 *
 * Look-up counts are per object, not per inode: ids say all else. The kernel's dentries of names that went away or
 * moved are dropped by the watcher (watch.h), which takes them from objects_drain. Any number of threads.
 */
#ifndef CAIRN_FS_OBJECTS_H
#define CAIRN_FS_OBJECTS_H

#include "../index/buf.h"
#include "../index/digest.h"
#include "../index/store.h"

#include "topdir.h"

#include <stdbool.h>
#include <stdint.h>

enum object_kind { OBJ_PACKAGE = 1, OBJ_LAYER, OBJ_IMAGE, OBJ_NAME };
enum object_list { LIST_STORE, LIST_LAYERS, LIST_IMAGES, LIST_COUNT };

/* A copy of what is needed of an object. */
struct object {
    uint32_t no;
    enum object_kind kind;
    bool live;            /* the catalog has it */
    int64_t time;         /* of its import, seconds */
    struct digest key;    /* layer: diffID; image, name: manifest */
    struct digest tree;   /* package, layer: its tree; image: its root file system */
    uint32_t image_no;    /* name: of its image (0: the image is missing) */
    uint32_t layer_count; /* name: layers of its image */
    struct digest config; /* image, name */
};

struct objects;

int objects_new(struct store *s, struct objects **ret, struct err *e);
void objects_free(struct objects *o);

/* Takes in what was committed since. Cheap when nothing was. */
int objects_refresh(struct objects *o, struct err *e);

/* The object shown under this name now; *ret_found false: none. On true its look-up count has been raised by one, in
 * one step with the look: undo with objects_unref when the kernel isn't told after all. */
int objects_lookup(struct objects *o, enum object_list list, const char *name, struct object *ret, bool *ret_found,
                   struct err *e);
/*
 * Calls fn for the entries of the list in order of number, from the first above `after`. fn returns non-zero to
 * stop. It may not call back into objects.
 */
int objects_list(struct objects *o, enum object_list list, uint32_t after,
                 int (*fn)(void *ctx, const char *name, const struct object *obj), void *ctx, struct err *e);
/* Number of entries and the newest import's time. */
int objects_list_info(struct objects *o, enum object_list list, uint32_t *ret_n, int64_t *ret_time, struct err *e);

/* By number; removed ones too while they are in use. ERR_NOT_FOUND: no such object. */
int objects_get(struct objects *o, uint32_t no, struct object *ret, struct err *e);
/* DiffID of the k-th layer of a name's image; ERR_NOT_FOUND beyond the last. */
int objects_name_layer(struct objects *o, uint32_t name_no, uint32_t k, struct digest *ret, struct err *e);
/* Number of the layer with this diffID, also a removed one; 0: unknown. */
uint32_t objects_layer_no(struct objects *o, const struct digest *diffid);

/* Look-up counts, as LOOKUP and FORGET have them. Unknown numbers are ignored (top directories have none). */
void objects_ref(struct objects *o, uint32_t no, uint64_t n);
void objects_unref(struct objects *o, uint32_t no, uint64_t n);

/* What changed for the kernel since the last drain. */
struct objects_change {
    struct gone_name {
        enum object_list list;
        char *name;
    } * gone;
    uint32_t gone_count;
    bool listing[LIST_COUNT]; /* its attributes changed */
    uint64_t seq;             /* catalog_seq that all this leads up to */
    uint32_t *held;           /* removed objects that the kernel still has something of */
    uint32_t held_count;
};
/* Refreshes and takes the changes out. One caller. */
int objects_drain(struct objects *o, struct objects_change *ret, struct err *e);
void objects_change_release(struct objects_change *c);

#endif

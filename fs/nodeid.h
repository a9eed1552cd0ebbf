/* SPDX-License-Identifier: MIT */
/*
 * nodeid: what a FUSE node id stands for. Ids are made of the catalog's object numbers, which are never used again, so
 * an id is one entry of one tree for ever: stable over remounts, never another content or type, and served without any
 * table of inodes. st_ino is the id. The whole map:
 *
 *   1 … 63                      virtual directories: enum node_top
 *   layer no   << 32 | node     node of the layer's tree
 *   package no << 32 | node     node of the package's tree
 *   name no    << 32 | node     directory `node` of the root file system shown in this folder of images/
 *   image no   << 32 | node     node of the image's root file system tree that is its own and no directory
 *   name no    << 32 | 0xFF000000 + enum node_part      the folder images/X itself and what stands in it
 *   name no    << 32 | 0xF0000000 + k                   images/X/layers/<k>, a symlink
 *
 * Directories of a root file system are made of the name's number, not the image's: two folders may show one image, and
 * no directory may have two places (the kernel would move its dentry to and fro). Their files are the layers' own.
 *
 * Which of the middle four an id is depends on what kind of object its number is (objects.h). Pure functions.
 */
#ifndef CAIRN_FS_NODEID_H
#define CAIRN_FS_NODEID_H

#include <stdbool.h>
#include <stdint.h>

enum node_top {
    NODE_ROOT = 1,
    NODE_STORE = 2,
    NODE_LAYERS = 3,
    NODE_LAYERS_SHA256 = 4,
    NODE_IMAGES = 5,
    NODE_VIEWS = 6,
    NODE_TOP_END = 64,
};

enum node_part { /* of images/X */
                 PART_FOLDER = 0,
                 PART_CONFIG = 1,
                 PART_MANIFEST = 2,
                 PART_LAYERS = 3,
                 PART_COUNT
};

#define NODEID_PARTS    0xFF000000u
#define NODEID_LINKS    0xF0000000u
#define NODEID_LINK_MAX (NODEID_PARTS - NODEID_LINKS) /* more layers than any manifest can name */

/* Number 0 is no object: such an id is a top directory or nothing. */
static inline uint32_t nodeid_no(uint64_t id)
{
    return (uint32_t)(id >> 32);
}

static inline uint32_t nodeid_index(uint64_t id)
{
    return (uint32_t)id;
}

static inline uint64_t nodeid_make(uint32_t no, uint32_t index)
{
    return (uint64_t)no << 32 | index;
}

static inline uint64_t nodeid_part(uint32_t name_no, enum node_part part)
{
    return nodeid_make(name_no, NODEID_PARTS + (uint32_t)part);
}

static inline uint64_t nodeid_link(uint32_t name_no, uint32_t k)
{
    return nodeid_make(name_no, NODEID_LINKS + k);
}

static inline bool nodeid_is_top(uint64_t id)
{
    return id >= NODE_ROOT && id < NODE_TOP_END;
}

/* Of a name's id: which part or link it is. False for a directory of its root file system. */
bool nodeid_parse_part(uint64_t id, enum node_part *ret);
bool nodeid_parse_link(uint64_t id, uint32_t *ret_k);

/* Names of the links in images/X/layers: decimal, zero padded to a width that the layer count gives (at least 3). */
unsigned nodeid_link_width(uint32_t layer_count);
/* The k that the name stands for; false unless it is spelt exactly so and below layer_count. */
bool nodeid_link_parse(const char *name, uint32_t layer_count, uint32_t *ret_k);

#endif

/* SPDX-License-Identifier: MIT */
/* shed: see shed.h. */
#include "shed.h"

#include <stdio.h>
#include <string.h>

static void drop(struct fs *fs, uint64_t dir, const char *name, size_t len)
{
    /* ENOENT: the kernel has no such thing. */
    fuse_lowlevel_notify_inval_entry(fs->se, dir, name, len);
}

/* no: as the ids of these directories have it. */
static void shed_tree(struct fs *fs, uint32_t no, const struct tree *t, const _Atomic bool *stop)
{
    char name[LIMIT_NAME + 1];
    for (uint32_t i = 0; i < tree_node_count(t) && !atomic_load(stop); i++) {
        const struct tree_node *n = tree_node(t, i);
        for (uint32_t k = 0; S_ISDIR(n->mode) && k < n->count; k++) {
            const struct tree_entry *en = tree_entry_at(t, n, k);
            memcpy(name, tree_string(t, en->name), en->name_len);
            name[en->name_len] = '\0';
            drop(fs, nodeid_make(no, i), name, en->name_len);
        }
    }
}

static void shed_folder(struct fs *fs, const struct object *name)
{
    static const char *const names[] = {"rootfs", "config.json", "manifest.json", "layers"};
    int width = (int)nodeid_link_width(name->layer_count);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        drop(fs, nodeid_part(name->no, PART_FOLDER), names[i], strlen(names[i]));
    for (uint32_t k = 0; k < name->layer_count; k++) {
        char link[16];
        int n = snprintf(link, sizeof link, "%0*u", width, (unsigned)k);
        drop(fs, nodeid_part(name->no, PART_LAYERS), link, (size_t)n);
    }
}

void shed_object(struct fs *fs, uint32_t no, const _Atomic bool *stop)
{
    struct object obj;
    struct err e = {0};
    const struct loaded_tree *lt = NULL;
    char hex[DIGEST_HEX_LEN + 1];
    if (objects_get(fs->view.objects, no, &obj, &e) < 0)
        return;
    switch (obj.kind) {
    case OBJ_LAYER:
        /* Listed until gc takes it. */
        digest_hex(&obj.key, hex);
        drop(fs, view_list_id(LIST_LAYERS), hex, DIGEST_HEX_LEN);
        break;
    case OBJ_NAME:
        shed_folder(fs, &obj);
        break;
    case OBJ_IMAGE: /* has no directories of its own */
        return;
    case OBJ_PACKAGE:
        break;
    }
    int r = obj.kind == OBJ_NAME ? view_rootfs(&fs->view, &obj, &lt, &e) : trees_get(&fs->view.trees, no, &lt, &e);
    if (r == 0)
        shed_tree(fs, no, lt->tree, stop);
    trees_put(&fs->view.trees, lt);
}

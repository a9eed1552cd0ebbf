/* SPDX-License-Identifier: MIT */
/*
 * usage: how many bytes each object shows, and how many of them nothing else does. One pass over all trees; contents
 * are told apart by digest. A damaged tree costs its own objects' figures (and others' `unique` may be too high), no
 * more.
 */
#ifndef CAIRN_USAGE_H
#define CAIRN_USAGE_H

#include "../index/json.h"
#include "../index/store.h"

#include <stdbool.h>

enum usage_owners {
    USAGE_IMAGES, /* owners are images (all of their layers) and packages */
    USAGE_LAYERS, /* owners are layers and packages */
};

struct usage_row {
    uint32_t no;     /* image, layer or package */
    uint64_t size;   /* of its files: hard links once */
    uint64_t unique; /* of these, in contents that no other owner has */
    uint64_t files;
    bool damaged; /* a tree of it can't be read: the figures say nothing */
};

struct usage {
    struct usage_row *rows; /* sorted by no */
    size_t count;
    struct err damage; /* the first that was met; kind ERR_NONE: none */
};

int usage_compute(struct store *s, enum usage_owners owners, struct usage *ret, struct err *e);
void usage_release(struct usage *u);
/* NULL when there is none. */
const struct usage_row *usage_of(const struct usage *u, uint32_t no);
/* For tables and JSON: "?" and null where the figures say nothing. */
void usage_text(const struct usage_row *row, char size[16], char unique[16]);
int usage_json(const struct usage_row *row, struct json *obj);

#endif

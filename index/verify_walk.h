/* SPDX-License-Identifier: MIT */
/* verify_walk: the two halves of verify: packs (verify_pack.c) and objects (verify_object.c). For verify*.c only. */
#ifndef CAIRN_VERIFY_WALK_H
#define CAIRN_VERIFY_WALK_H

#include "digestset.h"
#include "verify.h"

#include <inttypes.h>

struct verify {
    struct store *s;
    const struct verify_opts *o;
    struct verify_stats *st;
    struct digestset good; /* chunks that were found and hash right; whole store only */
    struct err *e;
};

void verify_report(struct verify *v, const char *object, const char *path, uint64_t pack, uint64_t offset,
                   const char *reason);
bool verify_cancelled(const struct verify *v);
int verify_packs(struct verify *v);
int verify_objects(struct verify *v);
int verify_object(struct verify *v, uint32_t no);

#endif

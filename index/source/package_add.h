/* SPDX-License-Identifier: MIT */
/*
 * package_add: the second half of an import, for those that read a NAR before (or otherwise than) package_import does:
 *
 *   package_known → nartree_read → (checks of their own) → package_add
 */
#ifndef CAIRN_PACKAGE_ADD_H
#define CAIRN_PACKAGE_ADD_H

#include "nartree.h"
#include "package.h"

/* Whether the store, or this session, has the base name; then also its NAR hash. */
int package_known(struct session *s, const char *base, bool *ret_known, struct digest *ret_narhash, struct err *e);
/* 0 when both hashes are one, else ERR_EXISTS naming both. */
int package_same(const char *path, const struct digest *known, const struct digest *now, struct err *e);
/*
 * Checks what was read against all that m says (m->refs must be set), and only then stores and records it.
 * t may have been read with hash_only if the package is known.
 */
int package_add(struct session *s, struct nartree *t, const struct nartree_result *r, const struct package_meta *m,
                bool *ret_new, struct err *e);

#endif

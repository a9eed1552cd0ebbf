/* SPDX-License-Identifier: MIT */
/* Any bytes as a NAR: refused, or the same bytes again when written anew. */
#include "../unit/renar.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct renar r;
    struct err e = {0};
    if (!renar_mem(p, n, &r, &e) && !renar_same(&r, p))
        abort();
    renar_release(&r);
    return 0;
}

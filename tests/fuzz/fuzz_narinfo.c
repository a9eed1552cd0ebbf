/* SPDX-License-Identifier: MIT */
/* Any bytes as a narinfo, and what is accepted as something to verify. */
#include "../../index/source/narinfo.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const char *const text[] = {"cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=", NULL};
    struct narinfo i;
    struct trusted_keys keys;
    struct err e = {0};
    const char *key = NULL;
    if (narinfo_parse(p, n, &i, &e) < 0)
        return 0;
    if (i.narsize <= 0 || i.path[i.dirlen] != '/' || !i.url || !i.compression)
        abort();
    if (!trusted_keys_parse(text, &keys, &e)) {
        if (narinfo_verify(i.path, &i.narhash, (uint64_t)i.narsize, (const char *const *)i.refs,
                           (const char *const *)i.sigs, &keys, &key, &e) < 0)
            abort();
        trusted_keys_release(&keys);
    }
    narinfo_release(&i);
    return 0;
}

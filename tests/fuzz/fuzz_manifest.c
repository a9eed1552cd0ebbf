/* SPDX-License-Identifier: MIT */
/*
 * Image documents: the same bytes as manifest, index, config and history-free parts. What is accepted must hold what
 * the header promises.
 */
#include "../../index/source/image.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void must(int good)
{
    if (!good)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct err e = {0};
    struct image_manifest m;
    struct image_index x;
    struct image_rootfs r;
    struct image_config c;
    if (image_manifest_parse(p, n, NULL, &m, &e) == 0) {
        must(m.config.media == MEDIA_CONFIG);
        for (size_t i = 0; i < m.layer_count; i++)
            must(m.layers[i].media == MEDIA_LAYER && m.layers[i].media_type);
        image_manifest_release(&m);
    } else {
        must(e.kind != ERR_NONE && e.text[0]);
    }
    err_clear(&e);
    if (image_index_parse(p, n, NULL, "index.json", &x, &e) == 0) {
        struct image_platform want;
        const struct image_descriptor **v = calloc(x.n + 1, sizeof *v);
        size_t at;
        must(image_platform_parse("linux/arm64", &want, &e) == 0);
        for (size_t i = 0; v && i < x.n; i++) {
            must(x.v[i].media == MEDIA_MANIFEST || x.v[i].media == MEDIA_INDEX);
            v[i] = &x.v[i];
        }
        if (v && image_index_select(v, x.n, &want, &at, &e) == 0)
            must(at < x.n);
        free(v);
        image_platform_release(&want);
        image_index_release(&x);
    }
    if (image_rootfs_parse(p, n, &r, &e) == 0)
        image_rootfs_release(&r);
    if (image_config_parse(p, n, &c, &e) == 0)
        image_config_release(&c);
    return 0;
}

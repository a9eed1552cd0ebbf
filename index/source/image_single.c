/* SPDX-License-Identifier: MIT */
/*
 * Images of one tar: the documents that it lacks are made so that the same tar always gives the same image.
 */
#include "image_importer.h"
#include "layer.h"

#include <stdlib.h>
#include <time.h>

/* --- images of one tar --- */

static struct json *created_time(void)
{
    const char *s = getenv("SOURCE_DATE_EPOCH");
    char text[32], *end;
    struct tm tm;
    if (!s || !*s)
        return NULL;
    long long v = strtoll(s, &end, 10);
    time_t t = (time_t)v;
    if (*end || v < 0 || v > 253402300799 || !gmtime_r(&t, &tm) ||
        !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm))
        return NULL;
    return json_new_str(text);
}

static int make_config(const struct digest *diffid, const char *platform, const char *created_by, struct buf *out,
                       struct err *e)
{
    struct image_platform p;
    struct json *doc = json_new_object(), *rootfs = json_new_object(), *ids = json_new_array(),
                *row = json_new_object(), *history = json_new_array(), *created = created_time();
    if (image_platform_parse(platform, &p, e) < 0) {
        json_unref(doc), json_unref(rootfs), json_unref(ids), json_unref(row), json_unref(history), json_unref(created);
        return -1;
    }
    int bad = 0;
    if (created)
        bad |= json_set(doc, "created", json_ref(created)) | json_set(row, "created", created);
    bad |= json_set(doc, "architecture", json_new_str(p.arch)) | json_set(doc, "os", json_new_str(p.os));
    if (p.variant)
        bad |= json_set(doc, "variant", json_new_str(p.variant));
    bad |= json_set(doc, "config", json_new_object());
    bad |= json_add(ids, json_oci(diffid)) | json_set(rootfs, "type", json_new_str("layers")) |
           json_set(rootfs, "diff_ids", ids);
    bad |= json_set(doc, "rootfs", rootfs);
    bad |= json_set(row, "created_by", json_new_str(created_by)) | json_add(history, row) |
           json_set(doc, "history", history);
    if (!bad)
        bad = json_dump(doc, 0, out);
    image_platform_release(&p);
    json_unref(doc);
    return bad ? err_nomem(e) : 0;
}

int image_import_single(struct image_importer *im, struct stream *tar, const char *platform, const char *created_by,
                        const char *repo, const char *tag, struct digest *ret_manifest, bool *ret_new, struct err *e)
{
    struct layer_result res = {0};
    struct buf config = {0};
    im->height = 0;
    if (layer_import(im->s, tar, NULL, &res, e) < 0)
        return -1;
    struct importer_layer l = {.diffid = res.diffid, .size = res.size, .tree = res.tree};
    int r = importer_push_new(im, &l, e);
    if (r == 0)
        r = stream_drain(tar, e);
    if (r == 0)
        r = make_config(&res.diffid, platform, created_by ? created_by : "cairn import", &config, e);
    if (r == 0)
        r = image_bind(im, config.p, config.len, repo, tag, ret_manifest, ret_new, e);
    buf_release(&config);
    return r;
}

/* SPDX-License-Identifier: MIT */
/* cairn history */
#include "../index/source/image.h"
#include "command.h"
#include "object.h"
#include "out.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static void created_text(const char *created, char out[32])
{
    struct tm tm = {0};
    const char *end = created ? strptime(created, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
    if (end)
        human_age((int64_t)timegm(&tm), out);
    else
        snprintf(out, 32, "%s", created ? created : "");
}

static int print_text(const struct invocation *in, const struct image_history *h, size_t n, struct err *e)
{
    struct table t;
    char text[32], oci[DIGEST_OCI_LEN + 1];
    bool whole = opt_has(in, "no-trunc");
    table_init(&t, "LAYER|CREATED|CREATED BY|>SIZE|COMMENT");
    for (size_t i = n; i-- > 0;) { /* newest first, as docker does */
        digest_oci(&h[i].diffid, oci);
        if (h[i].empty)
            table_cell(&t, "<none>");
        else
            table_cellf(&t, "%s", whole ? oci : (oci[19] = '\0', oci + 7));
        created_text(h[i].created, text);
        table_cell(&t, text);
        const char *by = h[i].created_by ? h[i].created_by : "";
        if (!whole && strlen(by) > 45)
            table_cellf(&t, "%.44s\xe2\x80\xa6", by);
        else
            table_cell(&t, by);
        human_size(h[i].size, text);
        table_cell(&t, text);
        table_cell(&t, h[i].comment ? h[i].comment : "");
    }
    int rc = table_print(&t, e);
    table_release(&t);
    return rc;
}

static int print_json(const struct image_history *h, size_t n, struct err *e)
{
    char oci[DIGEST_OCI_LEN + 1];
    struct json *list = json_new_array();
    int rc = 0;
    for (size_t i = n; i-- > 0;) {
        struct json *o = json_new_object();
        digest_oci(&h[i].diffid, oci);
        rc |= json_set(o, "layer", h[i].empty ? json_new_null() : json_new_str(oci));
        rc |= json_set(o, "created", json_new_str(h[i].created)) |
              json_set(o, "created_by", json_new_str(h[i].created_by));
        rc |= json_set(o, "size", json_new_int((int64_t)h[i].size)) |
              json_set(o, "comment", json_new_str(h[i].comment)) | json_add(list, o);
    }
    if (rc) {
        json_unref(list);
        return err_nomem(e);
    }
    return out_json(list, e);
}

static int run(struct invocation *in, struct err *e)
{
    struct store *s;
    struct object o;
    struct image_history *h = NULL;
    size_t n = 0;
    int rc = -1;
    if (tool_store(in, 0, &s, e) < 0)
        return -1;
    if (object_find(s, in->args[0], &o, e) == 0) {
        if (o.type != OBJECT_IMAGE)
            err_set(e, ERR_USAGE, "'%s' is no image", in->args[0]);
        else if (image_history_load(s, &o.image, &h, &n, e) == 0)
            rc = in->json ? print_json(h, n, e) : print_text(in, h, n, e);
        image_history_free(h, n);
        object_release(&o);
    }
    store_close(s);
    return rc;
}

static const struct option_def options[] = {
    {0, "no-trunc", NULL, "whole digests and commands"},
    {0, NULL, NULL, NULL},
};

const struct command cmd_history = {
    .name = "history",
    .args = "IMAGE",
    .summary = "show how an image was built, layer by layer, with real sizes",
    .examples = "cairn history deb:nginx",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};

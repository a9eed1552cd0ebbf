/* SPDX-License-Identifier: MIT */
/* cairn tag */
#include "../fs/mount.h"
#include "../index/source/imageref.h"
#include "command.h"
#include "object.h"
#include "records.h"

#include <stdio.h>

static int tag(struct store *s, const struct object *o, const char *name, struct err *e)
{
    struct image_ref r = {0};
    struct cat_name old;
    struct json *records[2] = {0};
    size_t n = 0;
    if (image_ref_parse(name, &r, e) < 0)
        return -1;
    int rc = r.has_digest ? err_set(e, ERR_USAGE, "'%s': a name is given, not a digest", name) : 0;
    const char *t = r.tag ? r.tag : "latest";
    if (rc == 0 && (rc = catalog_name(store_catalog(s), r.repo, t, NULL, &old, e)) == 0) {
        bool same = digest_eq(&old.manifest, &o->image.manifest);
        cat_name_release(&old);
        if (same)
            goto out;
    } else if (rc < 0 && e->kind == ERR_NOT_FOUND) {
        err_clear(e);
        rc = 0;
    }
    if (rc == 0 && !(records[n++] = record_name(r.repo, t, &o->image.manifest)))
        rc = err_nomem(e);
    if (rc == 0 && catalog_name(store_catalog(s), r.repo, NULL, &o->image.manifest, &old, e) == 0) {
        cat_name_release(&old);
    } else if (rc == 0 && e->kind == ERR_NOT_FOUND) {
        err_clear(e);
        if (!(records[n++] = record_name(r.repo, NULL, &o->image.manifest)))
            rc = err_nomem(e);
    } else {
        rc = -1;
    }
    if (rc == 0)
        rc = store_record(s, records, n, e);
out:
    for (size_t i = 0; i < n; i++)
        json_unref(records[i]);
    image_ref_release(&r);
    return rc;
}

static int run(struct invocation *in, struct err *e)
{
    struct store *s;
    struct object o;
    struct err ignored = {0};
    int rc = -1;
    if (tool_store(in, 0, &s, e) < 0)
        return -1;
    if (object_find(s, in->args[0], &o, e) == 0) {
        if (o.type != OBJECT_IMAGE)
            err_set(e, ERR_USAGE, "'%s' is no image", in->args[0]);
        else if ((rc = tag(s, &o, in->args[1], e)) == 0)
            mount_wait(s, RECORDS_MOUNT_WAIT_MS, &ignored);
        object_release(&o);
    }
    store_close(s);
    return rc < 0 ? -1 : EXIT_DONE;
}

const struct command cmd_tag = {
    .name = "tag",
    .args = "IMAGE NAME[:TAG]",
    .summary = "give an image one more name",
    .text = "A name that another image had moves to this one.",
    .examples = "cairn tag deb:nginx web:1",
    .min_args = 2,
    .max_args = 2,
    .run = run,
};

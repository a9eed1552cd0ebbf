/* SPDX-License-Identifier: MIT */
/* cairn verify */
#include "../index/verify.h"
#include "command.h"
#include "object.h"
#include "out.h"
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct verifier {
    const struct invocation *in;
    struct progress progress;
    struct json *list;
    uint64_t shown;
};

static void on_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    struct verifier *v = ctx;
    progress_show(&v->progress, what, done, total);
}

static void on_finding(void *ctx, const struct verify_finding *f)
{
    struct verifier *v = ctx;
    v->shown++;
    if (v->in->json) {
        char pack[32];
        struct json *o = json_new_object();
        snprintf(pack, sizeof pack, "%016" PRIx64 ".pack", f->pack);
        int rc = json_set(o, "object", json_new_str(f->object)) | json_set(o, "path", json_new_str(f->path)) |
                 json_set(o, "pack", f->pack ? json_new_str(pack) : json_new_null()) |
                 json_set(o, "offset", f->pack ? json_new_int((int64_t)f->offset) : json_new_null()) |
                 json_set(o, "reason", json_new_str(f->reason)) | json_add(v->list, o);
        (void)rc; /* a list that lacks one is still a list of damage; the count is right */
        return;
    }
    progress_end(&v->progress);
    fputs("damaged: ", stdout);
    if (f->object)
        printf("%s", f->object);
    if (f->path) {
        putchar(' ');
        out_name(f->path, strlen(f->path));
    }
    if (f->object || f->path)
        fputs(": ", stdout);
    printf("%s", f->reason);
    if (f->pack)
        printf(" (pack %016" PRIx64 " at %" PRIu64 ")", f->pack, f->offset);
    putchar('\n');
}

static int print_end(struct verifier *v, const struct verify_stats *st, struct err *e)
{
    char size[16];
    if (v->in->json) {
        struct json *o = json_new_object();
        int rc = json_set(o, "objects", json_new_int((int64_t)st->objects)) |
                 json_set(o, "packs", json_new_int((int64_t)st->packs)) |
                 json_set(o, "chunks", json_new_int((int64_t)st->chunks)) |
                 json_set(o, "bytes", json_new_int((int64_t)st->bytes)) |
                 json_set(o, "damaged", json_new_int((int64_t)st->findings)) |
                 json_set(o, "findings", json_ref(v->list));
        if (rc) {
            json_unref(o);
            return err_nomem(e);
        }
        return out_json(o, e);
    }
    human_size(st->bytes, size);
    if (!v->in->quiet)
        printf("%" PRIu64 " objects, %" PRIu64 " chunks, %s: %s\n", st->objects, st->chunks, size,
               st->findings ? "DAMAGED" : "all as it should be");
    return 0;
}

static int run(struct invocation *in, struct err *e)
{
    struct store *s;
    struct verifier v = {.in = in, .list = json_new_array()};
    struct verify_opts o = {.progress = on_progress, .finding = on_finding, .ctx = &v};
    struct verify_stats st = {0};
    int rc = tool_store(in, 0, &s, e);
    if (rc < 0) {
        json_unref(v.list);
        return -1;
    }
    if (in->arg_count) {
        struct object ob;
        rc = object_find(s, in->args[0], &ob, e);
        if (rc == 0) {
            o.no = ob.no;
            object_release(&ob);
        }
    }
    progress_init(&v.progress, in->quiet || in->json, in->verbose);
    if (rc == 0)
        rc = verify_run(s, &o, &st, e);
    progress_end(&v.progress);
    if (rc == 0)
        rc = print_end(&v, &st, e);
    json_unref(v.list);
    store_close(s);
    return rc < 0 ? -1 : st.findings ? EXIT_DAMAGED : EXIT_DONE;
}

const struct command cmd_verify = {
    .name = "verify",
    .args = "[OBJECT]",
    .summary = "read and hash again all that the store, or one object, holds",
    .text = "Finds any flipped bit, and names what it hurts. Exit code 3 when there is damage.",
    .examples = "cairn verify\ncairn verify deb:nginx",
    .max_args = 1,
    .run = run,
};

/* SPDX-License-Identifier: MIT */
/* cairn gc */
#include "../index/gc.h"
#include "command.h"
#include "object.h"
#include "out.h"

#include <inttypes.h>
#include <stdio.h>

static int print_json(const struct gc_result *r, bool dry, struct err *e)
{
    struct json *o = json_new_object();
    int rc = json_set(o, "dry_run", json_new_bool(dry)) |
             json_set(o, "objects_removed", json_new_int((int64_t)r->objects_removed)) |
             json_set(o, "chunks", json_new_int((int64_t)r->chunks)) |
             json_set(o, "bytes_freed", json_new_int((int64_t)r->bytes_freed)) |
             json_set(o, "bytes_waiting", json_new_int((int64_t)r->bytes_waiting));
    if (rc) {
        json_unref(o);
        return err_nomem(e);
    }
    return out_json(o, e);
}

static int run(struct invocation *in, struct err *e)
{
    struct store *s;
    struct gc_opts o = {.dry_run = opt_has(in, "dry-run"), .full = opt_has(in, "full")};
    struct gc_result r = {0};
    char size[16];
    if (tool_store(in, 0, &s, e) < 0)
        return -1;
    int rc = gc_run(s, &o, &r, e);
    store_close(s);
    if (rc < 0)
        return -1;
    if (in->json)
        return print_json(&r, o.dry_run, e) < 0 ? -1 : EXIT_DONE;
    if (!in->quiet) {
        human_size(r.bytes_freed, size);
        printf("%" PRIu64 " objects and %" PRIu64 " chunks %s, %s %s\n", r.objects_removed, r.chunks,
               o.dry_run ? "would go" : "removed", size, o.dry_run ? "would be freed" : "freed");
        human_size(r.bytes_waiting, size);
        if (r.bytes_waiting)
            printf("%s wait for a running import: run gc again when it has ended\n", size);
    }
    return EXIT_DONE;
}

static const struct option_def options[] = {
    {'n', "dry-run", NULL, "say what would be freed, change nothing"},
    {0, "full", NULL, "also rewrite blocks and packs that hold anything dead"},
    {0, NULL, NULL, NULL},
};

const struct command cmd_gc = {
    .name = "gc",
    .args = "",
    .summary = "free what nothing reaches",
    .text = "Reached is what has a name, every package, what running containers hold and what a mount has open. Safe "
            "beside imports, mounts and running containers.",
    .examples = "cairn gc --dry-run\ncairn gc --full # smallest store",
    .options = options,
    .run = run,
};

/* SPDX-License-Identifier: MIT */
/* cairn import, cairn add */
#include "../index/source/source.h"
#include "../fs/mount.h"
#include "command.h"
#include "object.h"
#include "out.h"
#include "progress.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOUNT_WAIT_MS = 2000 };

/* Written by the signal handler: the one thing that can't be passed as an argument. */
static volatile int cancelled;

static void on_signal(int sig)
{
    (void)sig;
    cancelled = 1;
}

static void catch_signals(void)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
}

static void on_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    progress_show(ctx, what, done, total);
}

static struct json *result_json(const struct import_result *r)
{
    struct json *o = json_new_object(), *list = json_new_array();
    int rc = 0;
    for (size_t i = 0; i < r->n; i++) {
        struct json *x = json_new_object();
        rc |= json_set(x, "kind", json_new_str(r->v[i].kind == IMPORTED_IMAGE ? "image" : "package"));
        rc |= json_set(x, "name", json_new_str(r->v[i].name)) | json_set(x, "id", json_new_str(r->v[i].id));
        rc |= json_set(x, "new", json_new_bool(r->v[i].is_new)) | json_add(list, x);
    }
    rc |= json_set(o, "imported", list) | json_set(o, "bytes_in", json_new_int((int64_t)r->stats.bytes_in));
    rc |= json_set(o, "bytes_new", json_new_int((int64_t)r->stats.bytes_new));
    rc |= json_set(o, "bytes_stored", json_new_int((int64_t)r->stats.bytes_stored));
    rc |= json_set(o, "files", json_new_int((int64_t)r->stats.files)) |
          json_set(o, "nothing_new", json_new_bool(r->nothing_new));
    if (rc) {
        json_unref(o);
        return NULL;
    }
    return o;
}

static void print_text(const struct import_result *r, bool quiet, bool names)
{
    char in[16], fresh[16], stored[16];
    for (size_t i = 0; i < r->n; i++) {
        const struct imported *v = &r->v[i];
        if (quiet)
            puts(names || v->kind == IMPORTED_PACKAGE ? v->name : v->id);
        else if (r->n <= 40 || v->is_new)
            printf("%-10s %s  %s\n", v->is_new ? "imported" : "here", v->name, v->id);
    }
    if (quiet)
        return;
    if (r->nothing_new) {
        puts("nothing new: all of it is here already");
        return;
    }
    human_size(r->stats.bytes_in, in);
    human_size(r->stats.bytes_new, fresh);
    human_size(r->stats.bytes_stored, stored);
    printf("%" PRIu64 " files, %s in, %s new, %s stored\n", r->stats.files, in, fresh, stored);
}

/* Signals, bar, waiting for mounts, printing: what import and add have in common. */
static int finish(struct store *s, struct invocation *in, struct progress *p, int rc, struct import_result *r,
                  struct err *e)
{
    struct err ignored = {0};
    progress_end(p);
    if (rc < 0)
        return -1;
    /* Names that moved must have moved for everybody when this returns. */
    if (!r->nothing_new)
        mount_wait(s, MOUNT_WAIT_MS, &ignored);
    if (in->json)
        rc = out_json(result_json(r), e);
    else
        print_text(r, in->quiet, !strcmp(in->command->name, "add"));
    import_result_release(r);
    return rc;
}

static int run_import(struct invocation *in, struct err *e)
{
    struct store *s;
    struct progress p;
    const char *keys[65] = {0};
    int rc = 0;
    for (size_t i = 0; opt_at(in, "trusted-key", i); i++) {
        if (i == 64)
            return err_set(e, ERR_USAGE, "more than 64 trusted keys");
        keys[i] = opt_at(in, "trusted-key", i);
    }
    if (in->arg_count > 1 && (opt_get(in, "name") || opt_get(in, "store-path")))
        return err_set(e, ERR_USAGE, "--name and --store-path are for one source");
    if (tool_store(in, STORE_CREATE, &s, e) < 0)
        return -1;
    catch_signals();
    progress_init(&p, in->quiet || in->json, in->verbose);
    for (int i = 0; rc == 0 && i < in->arg_count; i++) {
        struct import_opts o = {.name = opt_get(in, "name"),
                                .platform = opt_get(in, "platform"),
                                .store_path = opt_get(in, "store-path"),
                                .trusted_keys = keys[0] ? keys : NULL,
                                .all_of_closure = !opt_has(in, "no-closure"),
                                .created_by = opt_get(in, "created-by"),
                                .cancel = &cancelled,
                                .progress = on_progress,
                                .ctx = &p};
        struct import_result r = {0};
        rc = finish(s, in, &p, source_import(s, in->args[i], &o, &r, e), &r, e);
    }
    store_close(s);
    return rc < 0 ? -1 : EXIT_DONE;
}

static const struct option_def import_options[] = {
    {'n', "name", "REPO[:TAG]", "what to call the image (default: its own reference, else FOLDER:TAG)"},
    {0, "platform", "OS/ARCH", "which image of a multi-platform index (default: this machine's)"},
    {0, "store-path", "PATH", "import as this package; a NAR needs it, a directory becomes it"},
    {0, "trusted-key", "NAME:KEY", "refuse packages of a binary cache that no such key has signed (repeatable)"},
    {0, "no-closure", NULL, "from a binary cache: the path alone, without what it refers to"},
    {0, "created-by", "TEXT", "history text of an image made from a tar or directory"},
    {0, NULL, NULL, NULL},
};

const struct command cmd_import = {
    .name = "import",
    .args = "SOURCE…",
    .summary = "bring images and packages into the store",
    .text = "SOURCE is found out by its contents: an OCI layout (folder, or tar of it), a docker save archive, a tar "
            "of a root filesystem in any usual "
            "compression, a plain directory (as a one-layer image), a path below /nix/store, a NAR (with "
            "--store-path), an export stream of nix-store, "
            "or a Nix binary cache in a folder. PATH:TAG names one image of several, CACHE:HASH-NAME one path of a "
            "cache with its closure; - is standard "
            "input.\n\nEverything is verified against the digests that name it. A source is imported as a whole or not "
            "at all; what the store has already is not "
            "stored again.",
    .examples = "cairn import --name deb:nginx ./oci:nginx # one image of a layout\n"
                "docker save web:1 | cairn import - # what docker calls it\n"
                "cairn import --name base:1 rootfs.tar.zst # one-layer image\n"
                "cairn import ./cache # all of a binary cache\n"
                "cairn import --store-path /nix/store/… x.nar # a package",
    .options = import_options,
    .min_args = 1,
    .max_args = -1,
    .run = run_import,
};

static int run_add(struct invocation *in, struct err *e)
{
    struct store *s;
    struct progress p;
    int rc = 0;
    if (in->arg_count > 1 && opt_get(in, "name"))
        return err_set(e, ERR_USAGE, "--name is for one path");
    if (tool_store(in, STORE_CREATE, &s, e) < 0)
        return -1;
    catch_signals();
    progress_init(&p, in->quiet || in->json, in->verbose);
    for (int i = 0; rc == 0 && i < in->arg_count; i++) {
        struct import_opts o = {.cancel = &cancelled, .progress = on_progress, .ctx = &p};
        struct import_result r = {0};
        rc = finish(s, in, &p, source_add(s, in->args[i], opt_get(in, "name"), &o, &r, e), &r, e);
    }
    store_close(s);
    return rc < 0 ? -1 : EXIT_DONE;
}

static const struct option_def add_options[] = {
    {'n', "name", "NAME", "name of the package (default: the last part of PATH)"},
    {0, NULL, NULL, NULL},
};

const struct command cmd_add = {
    .name = "add",
    .args = "PATH…",
    .summary = "add a file or directory as a package, as nix-store --add does",
    .text = "The store path is computed from the contents (recursive SHA-256, no references), so that the same "
            "contents have the same path everywhere.",
    .examples = "cairn add ./config # prints its store path with -q",
    .options = add_options,
    .min_args = 1,
    .max_args = -1,
    .run = run_add,
};

/* SPDX-License-Identifier: MIT */
/* cairn export */
#include "../index/io.h"
#include "../index/source/image.h"
#include "../index/source/layer.h"
#include "../index/source/package.h"
#include "command.h"
#include "object.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct sink {
    int fd;
    const char *what;
};

static int write_out(void *ctx, const void *p, size_t n, struct err *e)
{
    const struct sink *k = ctx;
    return io_write(k->fd, p, n, k->what, e);
}

static int export_packages(struct store *s, const struct object *o, bool closure, struct sink *k, struct err *e)
{
    const char *names[] = {o->package.name, NULL};
    char **list = NULL;
    struct cat_package *p = NULL;
    const struct cat_package **refs = NULL;
    size_t n = 0, loaded = 0;
    int rc = 0;
    if (closure)
        rc = package_closure(store_catalog(s), names, &list, e);
    while (rc == 0 && list && list[n])
        n++;
    if (!closure)
        n = 1;
    p = calloc(n + 1, sizeof *p);
    refs = calloc(n + 1, sizeof *refs);
    if (rc == 0 && (!p || !refs))
        rc = err_nomem(e);
    while (rc == 0 && loaded < n) {
        rc = catalog_package(store_catalog(s), list ? list[loaded] : names[0], &p[loaded], e);
        if (rc == 0) {
            refs[loaded] = &p[loaded];
            loaded++;
        }
    }
    if (rc == 0)
        rc = package_export(s, refs, n, write_out, k, e);
    while (loaded)
        cat_package_release(&p[--loaded]);
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
    free(p);
    free(refs);
    return rc;
}

static int export_image(struct store *s, const struct object *o, enum image_export_form form, struct sink *k,
                        struct err *e)
{
    char ref[600];
    if (o->name.repo)
        snprintf(ref, sizeof ref, "%s:%s", o->name.repo, o->name.tag ? o->name.tag : "latest");
    return image_export(s, &o->image, o->name.repo ? ref : NULL, form, write_out, k, e);
}

static int export_as(struct store *s, const struct invocation *in, const struct object *o, struct sink *k,
                     struct err *e)
{
    static const char *const defaults[] = {"oci", "layer", "nar"}; /* by type of object */
    static const char *const forms[] = {"oci docker", "layer", "nar nix-export"};
    const char *as = opt_get(in, "as");
    if (!as)
        as = o->type == OBJECT_PACKAGE && opt_has(in, "closure") ? "nix-export" : defaults[o->type];
    if (o->type == OBJECT_IMAGE && !strcmp(as, "oci"))
        return export_image(s, o, IMAGE_EXPORT_OCI, k, e);
    if (o->type == OBJECT_IMAGE && !strcmp(as, "docker"))
        return export_image(s, o, IMAGE_EXPORT_DOCKER, k, e);
    if (o->type == OBJECT_LAYER && !strcmp(as, "layer"))
        return layer_export(s, &o->layer, write_out, k, e);
    if (o->type == OBJECT_PACKAGE && !strcmp(as, "nar") && !opt_has(in, "closure"))
        return package_export_nar(s, &o->package, write_out, k, e);
    if (o->type == OBJECT_PACKAGE && !strcmp(as, "nix-export"))
        return export_packages(s, o, opt_has(in, "closure"), k, e);
    return err_set(e, ERR_USAGE, "'%s' can't be exported as '%s'%s; its forms: %s", in->args[0], as,
                   !strcmp(as, "nar") ? " with a closure" : "", forms[o->type]);
}

/* Into FILE: under another name until it is whole. */
static int to_file(struct store *s, const struct invocation *in, const struct object *o, const char *file,
                   struct err *e)
{
    size_t n = strlen(file) + 16;
    char *tmp = malloc(n);
    if (!tmp)
        return err_nomem(e);
    snprintf(tmp, n, "%s.XXXXXX", file);
    struct sink k = {mkostemp(tmp, O_CLOEXEC), file};
    int rc = k.fd < 0 ? err_sys(e, errno, "create %s", tmp) : 0;
    mode_t mask = umask(0);
    umask(mask);
    if (rc == 0 && fchmod(k.fd, 0666 & ~mask) < 0)
        rc = err_sys(e, errno, "chmod %s", tmp);
    if (rc == 0)
        rc = export_as(s, in, o, &k, e);
    if (rc == 0)
        rc = io_fsync(k.fd, file, e);
    if (k.fd >= 0 && close(k.fd) < 0 && rc == 0)
        rc = err_sys(e, errno, "write %s", file);
    if (rc == 0 && rename(tmp, file) < 0)
        rc = err_sys(e, errno, "rename %s to %s", tmp, file);
    if (rc < 0 && k.fd >= 0)
        unlink(tmp);
    free(tmp);
    return rc;
}

static int run(struct invocation *in, struct err *e)
{
    struct store *s;
    struct object o;
    const char *file = opt_get(in, "output");
    struct sink out = {STDOUT_FILENO, "standard output"};
    int rc;
    if (file && !strcmp(file, "-"))
        file = NULL;
    if (!file && isatty(STDOUT_FILENO))
        return err_set(e, ERR_USAGE, "standard output is a terminal: name a file with -o, or redirect");
    if (tool_store(in, 0, &s, e) < 0)
        return -1;
    rc = object_find(s, in->args[0], &o, e);
    if (rc == 0) {
        rc = file ? to_file(s, in, &o, file, e) : export_as(s, in, &o, &out, e);
        object_release(&o);
    }
    store_close(s);
    return rc < 0 ? -1 : EXIT_DONE;
}

static const struct option_def options[] = {
    {'o', "output", "FILE", "write to FILE (default: standard output, unless it is a terminal)"},
    {0, "as", "FORM", "nar, nix-export (packages), layer (layers), oci, docker (images)"},
    {0, "closure", NULL, "packages: with all that they refer to (nix-export)"},
    {0, NULL, NULL, NULL},
};

const struct command cmd_export = {
    .name = "export",
    .args = "OBJECT",
    .summary = "get an image, layer or package out as it went in",
    .text = "A layer is its uncompressed tar with exactly the original diffID, a package its NAR bit for bit, an image "
            "an OCI layout (in a tar) or docker archive with "
            "the same config and diffIDs. What is written is verified: exit code 3 when the store is damaged.",
    .examples = "cairn export deb:nginx -o nginx.tar\ncairn export deb:nginx --as docker | docker load\ncairn export "
                "nginx --closure | nix-store --import",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};

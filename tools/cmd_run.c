/* SPDX-License-Identifier: MIT */
/*
 * cairn run: arguments and the image's config → a plan (plan.h) → a sandbox (sandbox.h). The store's mount is found, or
 * made for this run alone inside the sandbox's mount namespace; what runs is held by a lease, so that gc leaves it.
 */
#include "../fs/mount.h"
#include "../index/lease.h"
#include "../index/source/image.h"
#include "../index/source/package.h"
#include "command.h"
#include "object.h"
#include "out.h"
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct run {
    const struct invocation *in;
    struct store *store;  /* NULL: a folder is the root */
    struct object object; /* image, or the first package */
    bool is_object;
    char **closure; /* packages: base names */
    char *rootfs;   /* host path of the lower directory */
    char mount[4096];
    pid_t server; /* private mount's; 0: none */
    struct lease *lease;
    struct sandbox sandbox;
    struct plan plan;
};

/* --- the store's mount --- */

static void ready(void *ctx)
{
    ssize_t n = write(*(int *)ctx, "", 1);
    (void)n;
}

/* The server of a private mount: it lives in the sandbox's mount namespace and goes when its parent does. */
static void serve_privately(const struct run *r, int fd)
{
    struct err e = {0};
    struct store *s;
    struct mount_opts o = {.mountpoint = r->mount, .suid = true, .dev = false, .ready = ready, .ctx = &fd};
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    setsid(); /* Ctrl-C is the container's business */
    if (tool_store(r->in, 0, &s, &e) == 0 && mount_serve(s, &o, &e) == 0)
        _exit(0);
    ssize_t n = write(fd, &e, sizeof e);
    _exit(n == (ssize_t)sizeof e ? 1 : 2);
}

static int mount_privately(struct run *r, struct err *e)
{
    struct err from;
    int fds[2];
    snprintf(r->mount, sizeof r->mount, "%s/store", r->sandbox.scratch);
    if (mkdir(r->mount, 0755) < 0 || pipe2(fds, O_CLOEXEC) < 0)
        return err_sys(e, errno, "%s", r->mount);
    fflush(NULL);
    r->server = fork();
    if (r->server == 0) {
        close(fds[0]);
        serve_privately(r, fds[1]);
    }
    close(fds[1]);
    ssize_t n = r->server < 0 ? -1 : read(fds[0], &from, sizeof from);
    close(fds[0]);
    if (n == 1)
        return 0;
    if (n == (ssize_t)sizeof from)
        *e = from;
    else
        err_set(e, ERR_SYSTEM, "the server ended before the mount answered");
    return err_wrap(e, "mount the store");
}

static int need_mount(struct run *r, struct err *e)
{
    char *found = NULL;
    struct err ignored = {0};
    /* A user namespace sees another's mount with other owners: it needs its own. */
    if (!r->sandbox.rootless && mount_find(r->store, &found, &ignored) == 0) {
        snprintf(r->mount, sizeof r->mount, "%s", found);
        free(found);
        return 0;
    }
    return mount_privately(r, e);
}

static void stop_server(struct run *r)
{
    if (r->server <= 0)
        return;
    kill(r->server, SIGTERM);
    waitpid(r->server, NULL, 0);
    r->server = 0;
}

/* --- what is run --- */

static int hold(struct run *r, struct err *e)
{
    struct json *o = json_new_object(), *held = json_new_array();
    struct buf text = {0};
    int rc = 0;
    if (r->is_object)
        rc |= json_add(held, json_new_int(r->object.no));
    for (size_t i = 0; r->closure && r->closure[i]; i++) {
        struct cat_package p;
        if (catalog_package(store_catalog(r->store), r->closure[i], &p, e) < 0) {
            json_unref(held);
            json_unref(o);
            return -1;
        }
        rc |= json_add(held, json_new_int(p.no));
        cat_package_release(&p);
    }
    rc |= json_set(o, "pid", json_new_int(getpid())) | json_set(o, "held", held) | json_dump(o, 0, &text);
    rc = rc ? err_nomem(e) : lease_take(r->store, LEASE_RUN, (const char *)text.p, &r->lease, e);
    buf_release(&text);
    json_unref(o);
    return rc;
}

static int find_packages(struct run *r, struct err *e)
{
    const char *names[65] = {0};
    char *copies[65] = {0};
    int rc = 0;
    size_t n = 0;
    for (const char *text; rc == 0 && (text = opt_at(r->in, "package", n)); n++) {
        struct object o;
        if (n == 64) {
            rc = err_set(e, ERR_USAGE, "more than 64 packages");
            break;
        }
        if ((rc = object_find(r->store, text, &o, e)) < 0)
            break;
        if (o.type != OBJECT_PACKAGE)
            rc = err_set(e, ERR_USAGE, "'%s' is no package", text);
        else if (!(names[n] = copies[n] = strdup(o.package.name)))
            rc = err_nomem(e);
        object_release(&o);
    }
    if (rc == 0)
        rc = package_closure(store_catalog(r->store), names, &r->closure, e);
    for (size_t i = 0; i < n; i++)
        free(copies[i]);
    return rc;
}

static bool is_folder(const char *text)
{
    struct stat sb;
    return (text[0] == '/' || text[0] == '.') && stat(text, &sb) == 0 && S_ISDIR(sb.st_mode);
}

/* Finds what REF means: before the sandbox, while the host's view is whole. */
static int find_target(struct run *r, struct err *e)
{
    const char *ref = r->in->args[0];
    if (opt_has(r->in, "package")) {
        if (tool_store(r->in, 0, &r->store, e) < 0 || find_packages(r, e) < 0)
            return -1;
        return hold(r, e);
    }
    if (is_folder(ref)) {
        r->rootfs = realpath(ref, NULL);
        return r->rootfs ? 0 : err_sys(e, errno, "%s", ref);
    }
    if (tool_store(r->in, 0, &r->store, e) < 0 || object_find(r->store, ref, &r->object, e) < 0)
        return -1;
    r->is_object = true;
    if (r->object.type != OBJECT_IMAGE)
        return err_set(e, ERR_USAGE, "'%s' is no image (for packages: cairn run --package PATH -- COMMAND)", ref);
    return hold(r, e);
}

/* --- the plan --- */

static int env_options(struct run *r, struct err *e)
{
    const char *v;
    for (size_t i = 0; (v = opt_at(r->in, "env", i)); i++) {
        char *inherited = NULL;
        if (!strchr(v, '=')) { /* -e NAME: from our own environment, if it is there */
            const char *value = getenv(v);
            if (!value)
                continue;
            if (asprintf(&inherited, "%s=%s", v, value) < 0)
                return err_nomem(e);
        }
        int rc = plan_env(&r->plan, inherited ? inherited : v, e);
        free(inherited);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static int default_env(struct run *r, const char *path, struct err *e)
{
    char text[600];
    if (!plan_getenv(&r->plan, "PATH")) {
        snprintf(text, sizeof text, "PATH=%s", path);
        if (plan_env(&r->plan, text, e) < 0)
            return -1;
    }
    const char *term = getenv("TERM");
    if (isatty(STDIN_FILENO) && term && !plan_getenv(&r->plan, "TERM")) {
        snprintf(text, sizeof text, "TERM=%.200s", term);
        return plan_env(&r->plan, text, e);
    }
    return 0;
}

static int set_string(char **to, const char *from, struct err *e)
{
    if (!from)
        return 0;
    free(*to);
    *to = strdup(from);
    return *to ? 0 : err_nomem(e);
}

/* Everything that doesn't depend on what the root is. */
static int common_plan(struct run *r, const char *hostname, struct err *e)
{
    const char *v;
    if (plan_system(&r->plan, r->sandbox.rootless, e) < 0)
        return -1;
    if (!r->closure && plan_etc(&r->plan, hostname, e) < 0)
        return -1;
    if (r->closure && plan_step(&r->plan, STEP_HOSTNAME, 0, hostname, NULL, NULL, e) < 0)
        return -1;
    for (size_t i = 0; (v = opt_at(r->in, "tmpfs", i)); i++)
        if (plan_step(&r->plan, STEP_MOUNT, STEP_NOSUID | STEP_NODEV, "tmpfs", v, "mode=1777", e) < 0)
            return -1;
    for (size_t i = 0; (v = opt_at(r->in, "volume", i)); i++)
        if (plan_volume(&r->plan, v, e) < 0)
            return -1;
    return set_string(&r->plan.workdir, opt_get(r->in, "workdir"), e) < 0
               ? -1
               : set_string(&r->plan.user, opt_get(r->in, "user"), e);
}

static int image_plan(struct run *r, struct err *e)
{
    static char *const shell[] = {(char *)(uintptr_t) "/bin/sh", NULL};
    struct image_config c = {0};
    char *ep[2] = {0};
    const char *given = opt_get(r->in, "entrypoint");
    char *const *command = r->in->args + 1;
    if (r->is_object && image_config_load(r->store, &r->object.image, &c, e) < 0)
        return -1;
    ep[0] = (char *)(uintptr_t)given;
    char *const *entrypoint = given ? (*given ? ep : NULL) : c.entrypoint;
    /* The image's own command goes with its own entry point only. */
    if (!*command && !given)
        command = c.cmd;
    if ((!command || !*command) && !entrypoint)
        command = shell;
    int rc = plan_args(&r->plan, (char **)(uintptr_t)entrypoint, (char **)(uintptr_t)command, e);
    for (size_t i = 0; rc == 0 && c.env && c.env[i]; i++)
        if (strchr(c.env[i], '=') > c.env[i])
            rc = plan_env(&r->plan, c.env[i], e);
    if (rc == 0 && (set_string(&r->plan.workdir, c.workdir, e) < 0 || set_string(&r->plan.user, c.user, e) < 0))
        rc = -1;
    image_config_release(&c);
    return rc;
}

static int lower_path(struct run *r, char *out, size_t n, struct err *e)
{
    char *folder;
    if (!r->is_object) {
        snprintf(out, n, "%s", r->rootfs);
        return 0;
    }
    if (image_folder(r->object.name.repo, r->object.name.tag, &r->object.image.manifest, &folder, e) < 0)
        return -1;
    snprintf(out, n, "%s/images/%s/rootfs", r->mount, folder);
    free(folder);
    return 0;
}

/* An image found by digest alone still needs a folder to be seen through: any name of it. */
static int any_name(const struct cat_name *n, void *ctx)
{
    struct run *r = ctx;
    if (r->object.name.repo || !digest_eq(&n->manifest, &r->object.image.manifest))
        return 0;
    r->object.name.manifest = n->manifest;
    r->object.name.repo = strdup(n->repo);
    r->object.name.tag = n->tag ? strdup(n->tag) : NULL;
    return 0;
}

static int make_image_plan(struct run *r, struct err *e)
{
    char lower[8192];
    if (r->is_object && !r->object.name.repo) {
        if (catalog_each_name(store_catalog(r->store), any_name, r, e) < 0)
            return -1;
        if (!r->object.name.repo)
            return err_set(e, ERR_NOT_FOUND, "the image has no name any more: give it one with cairn tag");
    }
    if (lower_path(r, lower, sizeof lower, e) < 0 || plan_step(&r->plan, STEP_OVERLAY, 0, lower, NULL, NULL, e) < 0)
        return -1;
    return image_plan(r, e) < 0 ? -1
                                : default_env(r, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", e);
}

/* An empty root with the closure at its true paths, and nothing else. */
static int make_package_plan(struct run *r, struct err *e)
{
    char src[8192], dst[600], path[8192] = "";
    if (!r->in->args[0])
        return err_set(e, ERR_USAGE, "no command: cairn run --package PATH -- COMMAND");
    if (plan_step(&r->plan, STEP_ROOT_TMPFS, 0, NULL, NULL, NULL, e) < 0 ||
        plan_step(&r->plan, STEP_MOUNT, STEP_NOSUID | STEP_NODEV, "tmpfs", "/tmp", "mode=1777", e) < 0)
        return -1;
    for (size_t i = 0; r->closure[i]; i++) {
        struct cat_package p;
        if (catalog_package(store_catalog(r->store), r->closure[i], &p, e) < 0)
            return -1;
        snprintf(src, sizeof src, "%s/store/%s", r->mount, p.name);
        snprintf(dst, sizeof dst, "%s/%s", p.dir, p.name);
        cat_package_release(&p);
        if (plan_step(&r->plan, STEP_BIND, STEP_RO | STEP_NODEV, src, dst, NULL, e) < 0)
            return -1;
    }
    for (size_t i = 0; opt_at(r->in, "package", i); i++) {
        struct object o;
        size_t n = strlen(path);
        if (object_find(r->store, opt_at(r->in, "package", i), &o, e) < 0)
            return -1;
        snprintf(path + n, sizeof path - n, "%s%s/%s/bin", n ? ":" : "", o.package.dir, o.package.name);
        object_release(&o);
    }
    return plan_args(&r->plan, NULL, r->in->args, e) < 0 ? -1 : default_env(r, path, e);
}

static int make_plan(struct run *r, struct err *e)
{
    const char *hostname = opt_get(r->in, "hostname"), *net = opt_get(r->in, "network"), *init = opt_get(r->in, "init");
    if (init && strcmp(init, "true") != 0 && strcmp(init, "false") != 0)
        return err_set(e, ERR_USAGE, "init '%s': true or false", init);
    r->plan.init = !init || strcmp(init, "false") != 0;
    r->plan.readonly = opt_has(r->in, "read-only");
    if (net && strcmp(net, "host") != 0 && strcmp(net, "none") != 0)
        return err_set(e, ERR_UNSUPPORTED, "network '%s': host and none are what there is", net);
    r->plan.private_network = net && !strcmp(net, "none");
    if ((r->closure ? make_package_plan(r, e) : make_image_plan(r, e)) < 0)
        return -1;
    return env_options(r, e) < 0 ? -1 : common_plan(r, hostname ? hostname : "cairn", e);
}

static int print_plan(const struct run *r, struct err *e)
{
    struct buf text = {0};
    if (r->in->json)
        return out_json(plan_json(&r->plan), e);
    int rc = plan_print(&r->plan, &text) ? err_nomem(e) : 0;
    for (char *line = (char *)text.p, *end; rc == 0 && line && (end = memchr(line, '\n', text.len)); line = end + 1) {
        out_name(line, (size_t)(end - line));
        putchar('\n');
        text.len -= (size_t)(end - line) + 1;
    }
    buf_release(&text);
    return rc;
}

static int run_it(struct run *r, int *ret_code, struct err *e)
{
    if (find_target(r, e) < 0)
        return -1;
    if (opt_has(r->in, "dry-run")) {
        snprintf(r->mount, sizeof r->mount, "MNT");
        r->sandbox.rootless = geteuid() != 0;
        *ret_code = EXIT_DONE;
        return make_plan(r, e) < 0 ? -1 : print_plan(r, e);
    }
    if (sandbox_enter(&r->sandbox, e) < 0 || (r->store && need_mount(r, e) < 0) || make_plan(r, e) < 0)
        return -1;
    return sandbox_run(&r->sandbox, &r->plan, ret_code, e);
}

static int run(struct invocation *in, struct err *e)
{
    struct run r = {.in = in};
    int code = SANDBOX_FAILED;
    if (!opt_has(in, "package") && !in->args[0])
        return err_set(e, ERR_USAGE, "what is to be run? cairn run IMAGE [COMMAND…]");
    if (run_it(&r, &code, e) < 0) {
        fprintf(stderr, "cairn run: %s\n", out_plain(e->text, '?'));
        if (e->kind == ERR_USAGE)
            help_usage(in->command);
        if (code < SANDBOX_FAILED)
            code = SANDBOX_FAILED;
    }
    stop_server(&r);
    sandbox_leave(&r.sandbox);
    lease_drop(r.lease);
    plan_release(&r.plan);
    if (r.is_object)
        object_release(&r.object);
    for (size_t i = 0; r.closure && r.closure[i]; i++)
        free(r.closure[i]);
    free(r.closure);
    free(r.rootfs);
    store_close(r.store);
    return code;
}

static const struct option_def options[] = {
    {'e', "env", "NAME=VALUE", "set a variable (NAME alone: as it is here); repeatable"},
    {'w', "workdir", "DIR", "working directory inside"},
    {'u', "user", "USER[:GROUP]", "user inside, by name or number"},
    {'h', "hostname", "NAME", "host name inside"},
    {'v', "volume", "SRC:DST[:ro]", "show a folder or file of the host inside; repeatable"},
    {0, "tmpfs", "DIR", "an empty folder in memory; repeatable"},
    {0, "entrypoint", "COMMAND", "instead of the image's entry point (empty: none)"},
    {0, "network", "host|none", "the host's network (default), or none"},
    {0, "read-only", NULL, "no writable layer"},
    {0, "init", "true|false", "a small init as PID 1, which reaps and passes signals on (default true)"},
    {0, "package", "PATH", "run in an empty root that holds exactly the closure of this package; repeatable"},
    {0, "dry-run", NULL, "print what would be done"},
    {'i', "interactive", NULL, "accepted: standard input is always passed through"},
    {'t', "tty", NULL, "accepted: the terminal is passed through as it is"},
    {0, "rm", NULL, "accepted: what is written is always discarded at the end"},
    {0, NULL, NULL, NULL},
};

const struct command cmd_run = {
    .name = "run",
    .args = "IMAGE|ROOTFS [COMMAND…]",
    .summary = "run a process in an image, or with a package's closure",
    .text = "The root is the mounted one, never extracted, with a private writable layer on top that is discarded at "
            "the end. The process has its own mount, PID, IPC and "
            "UTS namespaces, docker's default capabilities, and the image's entry point, command, environment, working "
            "directory and user. As an ordinary "
            "user it runs in a user namespace (with the ids of /etc/subuid where these are set up, else with one "
            "id).\n\nThe exit code is the process's own; 125: cairn "
            "failed, 126: the command can't be executed, 127: there is no such command.",
    .examples = "cairn run deb:nginx nginx -v\n"
                "cairn run -v $PWD:/src -w /src deb:base sh # a shell with this folder\n"
                "cairn run --package nginx -- nginx -v # nothing else is visible\n"
                "cairn run /srv/rootfs /bin/sh # any folder",
    .options = options,
    .min_args = 0,
    .max_args = -1,
    .rest_verbatim = true,
    .own_error_code = SANDBOX_FAILED,
    .run = run,
};

/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void free_list(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

void plan_release(struct plan *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->steps[i].src);
        free(p->steps[i].dst);
        free(p->steps[i].data);
    }
    free(p->steps);
    free_list(p->argv);
    free_list(p->env);
    free(p->workdir);
    free(p->user);
    *p = (struct plan){0};
}

static int copy(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return from && !*to ? -1 : 0;
}

int plan_step(struct plan *p, enum step_kind kind, int flags, const char *src, const char *dst, const char *data,
              struct err *e)
{
    if (p->count == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 32;
        struct step *steps = realloc(p->steps, cap * sizeof *steps);
        if (!steps)
            return err_nomem(e);
        p->steps = steps;
        p->cap = cap;
    }
    struct step s = {.kind = kind, .flags = flags, .mode = 0755};
    if (copy(&s.src, src) < 0 || copy(&s.dst, dst) < 0 || copy(&s.data, data) < 0) {
        free(s.src);
        free(s.dst);
        free(s.data);
        return err_nomem(e);
    }
    p->steps[p->count++] = s;
    return 0;
}

int plan_system(struct plan *p, bool rootless, struct err *e)
{
    static const char *const nodes[] = {"null", "zero", "full", "random", "urandom", "tty"};
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"},
                                           {"/proc/self/fd/2", "/dev/stderr"},
                                           {"pts/ptmx", "/dev/ptmx"}};
    /* Docker's lists: what tells about, or changes, the machine and not the container. */
    static const char *const masked[] = {"/proc/acpi",          "/proc/kcore",      "/proc/keys",
                                         "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
                                         "/proc/sched_debug",   "/proc/scsi",       "/sys/firmware"};
    static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
    char src[64], dst[64];
    int safe = STEP_NOSUID | STEP_NODEV | STEP_NOEXEC;

    if (plan_step(p, STEP_MOUNT, safe, "proc", "/proc", NULL, e) < 0 ||
        plan_step(p, STEP_MOUNT, STEP_NOSUID | STEP_NOEXEC, "tmpfs", "/dev", "mode=0755,size=65536k", e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        snprintf(src, sizeof src, "/dev/%s", nodes[i]);
        snprintf(dst, sizeof dst, "/dev/%s", nodes[i]);
        /* They are the host's nodes: read-only keeps their mode and owner as they are, and lets everybody write. */
        if (plan_step(p, STEP_BIND, STEP_RO | STEP_OPTIONAL, src, dst, NULL, e) < 0)
            return -1;
    }
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (plan_step(p, STEP_SYMLINK, 0, links[i][0], links[i][1], NULL, e) < 0)
            return -1;
    /* A user namespace may not map the tty group (5). */
    if (plan_step(p, STEP_MOUNT, STEP_NOSUID | STEP_NOEXEC, "devpts", "/dev/pts",
                  rootless ? "newinstance,ptmxmode=0666,mode=0620" : "newinstance,ptmxmode=0666,mode=0620,gid=5",
                  e) < 0 ||
        plan_step(p, STEP_MOUNT, safe, "tmpfs", "/dev/shm", "mode=1777,size=65536k", e) < 0 ||
        plan_step(p, STEP_MOUNT, safe | STEP_OPTIONAL, "mqueue", "/dev/mqueue", NULL, e) < 0)
        return -1;
    /* sysfs shows the network namespace that mounts it: only its owner may. */
    if (rootless && !p->private_network) {
        if (plan_step(p, STEP_BIND, safe | STEP_RO | STEP_OPTIONAL, "/sys", "/sys", NULL, e) < 0)
            return -1;
    } else if (plan_step(p, STEP_MOUNT, safe | STEP_RO, "sysfs", "/sys", NULL, e) < 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof masked / sizeof *masked; i++)
        if (plan_step(p, STEP_MASK, 0, NULL, masked[i], NULL, e) < 0)
            return -1;
    for (size_t i = 0; i < sizeof readonly / sizeof *readonly; i++)
        if (plan_step(p, STEP_READONLY, 0, NULL, readonly[i], NULL, e) < 0)
            return -1;
    return p->private_network ? plan_step(p, STEP_LOOPBACK, 0, NULL, NULL, NULL, e) : 0;
}

int plan_etc(struct plan *p, const char *hostname, struct err *e)
{
    char text[512];
    snprintf(text, sizeof text, "%s\n", hostname);
    if (plan_step(p, STEP_FILE, 0, NULL, "/etc/hostname", text, e) < 0)
        return -1;
    snprintf(text, sizeof text, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t%s\n",
             hostname);
    if (plan_step(p, STEP_FILE, 0, NULL, "/etc/hosts", text, e) < 0)
        return -1;
    if (!p->private_network &&
        plan_step(p, STEP_BIND, STEP_RO | STEP_OPTIONAL, "/etc/resolv.conf", "/etc/resolv.conf", NULL, e) < 0)
        return -1;
    return plan_step(p, STEP_HOSTNAME, 0, hostname, NULL, NULL, e);
}

static size_t list_len(char *const *list)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    return n;
}

int plan_args(struct plan *p, char *const *entrypoint, char *const *command, struct err *e)
{
    size_t ne = list_len(entrypoint), nc = list_len(command);
    char **v = calloc(ne + nc + 1, sizeof *v);
    if (!v)
        return err_nomem(e);
    for (size_t i = 0; i < ne + nc; i++) {
        if (!(v[i] = strdup(i < ne ? entrypoint[i] : command[i - ne]))) {
            free_list(v);
            return err_nomem(e);
        }
    }
    free_list(p->argv);
    p->argv = v;
    return 0;
}

const char *plan_getenv(const struct plan *p, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; p->env && p->env[i]; i++)
        if (!strncmp(p->env[i], name, len) && p->env[i][len] == '=')
            return p->env[i] + len + 1;
    return NULL;
}

int plan_env(struct plan *p, const char *assignment, struct err *e)
{
    size_t n = list_len(p->env);
    const char *eq = strchr(assignment, '=');
    size_t len = eq ? (size_t)(eq - assignment) + 1 : 0;
    if (len < 2)
        return err_set(e, ERR_USAGE, "environment '%s': NAME=VALUE wanted", assignment);
    char *s = strdup(assignment);
    if (!s)
        return err_nomem(e);
    for (size_t i = 0; i < n; i++) {
        if (!strncmp(p->env[i], assignment, len)) {
            free(p->env[i]);
            p->env[i] = s;
            return 0;
        }
    }
    char **v = realloc(p->env, (n + 2) * sizeof *v);
    if (!v) {
        free(s);
        return err_nomem(e);
    }
    v[n] = s;
    v[n + 1] = NULL;
    p->env = v;
    return 0;
}

int plan_volume(struct plan *p, const char *spec, struct err *e)
{
    char *s = strdup(spec), *dst, *opt;
    char *real = NULL;
    int flags = 0, rc = -1;
    if (!s)
        return err_nomem(e);
    dst = strchr(s, ':');
    if (!dst || dst == s || dst[1] != '/') {
        err_set(e, ERR_USAGE, "volume '%s': SRC:DST[:ro] wanted, DST absolute", spec);
        goto out;
    }
    *dst++ = '\0';
    opt = strchr(dst, ':');
    if (opt) {
        *opt++ = '\0';
        if (!strcmp(opt, "ro")) {
            flags = STEP_RO;
        } else if (strcmp(opt, "rw") != 0) {
            err_set(e, ERR_USAGE, "volume '%s': unknown option '%s' (ro, rw)", spec, opt);
            goto out;
        }
    }
    if (s[0] != '/' && s[0] != '.') {
        err_set(e, ERR_USAGE, "volume '%s': '%s' is no path (begin it with / or ./)", spec, s);
        goto out;
    }
    if (!dst[strspn(dst, "/.")]) {
        err_set(e, ERR_USAGE, "volume '%s': the root itself can't be one (cairn run FOLDER makes a folder the root)",
                spec);
        goto out;
    }
    if (!(real = realpath(s, NULL))) {
        err_sys(e, errno, "volume '%s': %s", spec, s);
        goto out;
    }
    rc = plan_step(p, STEP_BIND, flags, real, dst, NULL, e);
out:
    free(real);
    free(s);
    return rc;
}

void plan_step_text(const struct step *s, char *out, size_t n)
{
    switch (s->kind) {
    case STEP_OVERLAY:
        snprintf(out, n, "root: overlay of %s and a private writable layer", s->src);
        break;
    case STEP_ROOT_TMPFS:
        snprintf(out, n, "root: empty tmpfs");
        break;
    case STEP_MOUNT:
        snprintf(out, n, "mount %s on %s%s%s", s->src, s->dst, s->data ? ", " : "", s->data ? s->data : "");
        break;
    case STEP_BIND:
        snprintf(out, n, "bind %s on %s%s", s->src, s->dst, s->flags & STEP_RO ? ", read-only" : "");
        break;
    case STEP_DIR:
        snprintf(out, n, "directory %s", s->dst);
        break;
    case STEP_SYMLINK:
        snprintf(out, n, "link %s -> %s", s->dst, s->src);
        break;
    case STEP_FILE:
        snprintf(out, n, "write %s", s->dst);
        break;
    case STEP_MASK:
        snprintf(out, n, "hide %s", s->dst);
        break;
    case STEP_READONLY:
        snprintf(out, n, "make %s read-only", s->dst);
        break;
    case STEP_HOSTNAME:
        snprintf(out, n, "hostname %s", s->src);
        break;
    case STEP_LOOPBACK:
        snprintf(out, n, "bring up lo");
        break;
    }
}

int plan_print(const struct plan *p, struct buf *out)
{
    char text[8192];
    int rc = 0;
    for (size_t i = 0; i < p->count; i++) {
        plan_step_text(&p->steps[i], text, sizeof text);
        rc |= buf_printf(out, "%s\n", text);
    }
    rc |= buf_printf(out, "user %s\n", p->user ? p->user : "root");
    rc |= buf_printf(out, "directory %s\n", p->workdir ? p->workdir : "/");
    for (size_t i = 0; p->env && p->env[i]; i++)
        rc |= buf_printf(out, "env %s\n", p->env[i]);
    rc |= buf_printf(out, "%s", p->init ? "init, exec" : "exec");
    for (size_t i = 0; p->argv && p->argv[i]; i++)
        rc |= buf_printf(out, " %s", p->argv[i]);
    return rc | buf_printf(out, "\n");
}

static struct json *list_json(char *const *list)
{
    struct json *a = json_new_array();
    for (size_t i = 0; list && list[i]; i++)
        if (json_add(a, json_new_str(list[i])) < 0)
            return json_unref(a), NULL;
    return a;
}

struct json *plan_json(const struct plan *p)
{
    char text[8192];
    struct json *o = json_new_object(), *steps = json_new_array();
    int rc = 0;
    for (size_t i = 0; i < p->count; i++) {
        plan_step_text(&p->steps[i], text, sizeof text);
        rc |= json_add(steps, json_new_str(text));
    }
    rc |= json_set(o, "steps", steps);
    rc |= json_set(o, "user", json_new_str(p->user ? p->user : "root"));
    rc |= json_set(o, "workdir", json_new_str(p->workdir ? p->workdir : "/"));
    rc |= json_set(o, "env", list_json(p->env));
    rc |= json_set(o, "init", json_new_bool(p->init));
    rc |= json_set(o, "args", list_json(p->argv));
    if (rc) {
        json_unref(o);
        return NULL;
    }
    return o;
}

/* SPDX-License-Identifier: MIT */
/* Plans of cairn run: steps, environment, arguments, volumes, and how they are shown. */
#include "../../tools/plan.h"
#include "tap.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* The plan's text, NUL-terminated; free() it. */
static char *text_of(const struct plan *p)
{
    struct buf b = {0};
    if (plan_print(p, &b))
        abort();
    return (char *)buf_steal(&b, NULL);
}

static void has(const struct plan *p, const char *line, int want)
{
    char *text = text_of(p), with[512];
    snprintf(with, sizeof with, "\n%s\n", line);
    const char *at = !strncmp(text, line, strlen(line)) && text[strlen(line)] == '\n' ? text : strstr(text, with);
    ok(!at == !want, "%s: %s", want ? "planned" : "not planned", line);
    free(text);
}

static void test_system(void)
{
    struct plan p = {0};
    struct err e = {0};
    is_int(plan_system(&p, false, &e), 0, "steps of root");
    has(&p, "mount proc on /proc", 1);
    has(&p, "mount tmpfs on /dev, mode=0755,size=65536k", 1);
    has(&p, "bind /dev/null on /dev/null, read-only", 1);
    has(&p, "mount devpts on /dev/pts, newinstance,ptmxmode=0666,mode=0620,gid=5", 1);
    has(&p, "mount sysfs on /sys", 1);
    has(&p, "link /dev/fd -> /proc/self/fd", 1);
    has(&p, "hide /proc/kcore", 1);
    has(&p, "hide /sys/firmware", 1);
    has(&p, "make /proc/sys read-only", 1);
    has(&p, "bring up lo", 0);
    int safe = STEP_NOSUID | STEP_NODEV | STEP_NOEXEC, seen = 0, late = 0;
    for (size_t i = 0; i < p.count; i++) {
        const struct step *s = &p.steps[i];
        if (s->kind == STEP_MOUNT && !strcmp(s->dst, "/proc"))
            seen += s->flags == safe;
        if (s->kind == STEP_MOUNT && !strcmp(s->dst, "/sys"))
            seen += s->flags == (safe | STEP_RO);
        /* What is hidden must be mounted before. */
        late |= s->kind == STEP_MASK;
        ok(!late || s->kind == STEP_MASK || s->kind == STEP_READONLY, "step %zu is in order", i);
    }
    is_int(seen, 2, "/proc and /sys hold no devices, no programs; /sys is read-only");
    plan_release(&p);
    ok(!p.steps && !p.count, "released");

    is_int(plan_system(&p, true, &e), 0, "steps in a user namespace");
    has(&p, "mount devpts on /dev/pts, newinstance,ptmxmode=0666,mode=0620", 1);
    has(&p, "bind /sys on /sys, read-only", 1);
    has(&p, "mount sysfs on /sys", 0);
    plan_release(&p);

    p.private_network = true;
    is_int(plan_system(&p, true, &e), 0, "with a network of its own");
    has(&p, "mount sysfs on /sys", 1);
    has(&p, "bring up lo", 1);
    plan_release(&p);
}

static const struct step *find(const struct plan *p, const char *dst)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->steps[i].dst && !strcmp(p->steps[i].dst, dst))
            return &p->steps[i];
    return NULL;
}

static void test_etc(void)
{
    struct plan p = {0};
    struct err e = {0};
    is_int(plan_etc(&p, "box", &e), 0, "files of /etc");
    const struct step *hosts = find(&p, "/etc/hosts"), *name = find(&p, "/etc/hostname"),
                      *resolv = find(&p, "/etc/resolv.conf");
    is_str(name ? name->data : NULL, "box\n", "/etc/hostname");
    ok(hosts && hosts->kind == STEP_FILE && strstr(hosts->data, "127.0.0.1\tlocalhost\n") &&
           strstr(hosts->data, "\tbox\n"),
       "/etc/hosts");
    ok(resolv && resolv->kind == STEP_BIND && resolv->flags == (STEP_RO | STEP_OPTIONAL),
       "/etc/resolv.conf: the host's");
    has(&p, "hostname box", 1);
    has(&p, "write /etc/hosts", 1);
    plan_release(&p);
    p.private_network = true;
    ok(plan_etc(&p, "box", &e) == 0 && !find(&p, "/etc/resolv.conf"), "without network nothing is resolved");
    plan_release(&p);
}

static void test_env(void)
{
    struct plan p = {0};
    struct err e = {0};
    static const char *const good[] = {"A=1", "B=", "AB=2", "A=3", "C=x=y z", "B=last"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        is_int(plan_env(&p, good[i], &e), 0, "%s", good[i]);
    is_str(plan_getenv(&p, "A"), "3", "the later assignment wins");
    is_str(plan_getenv(&p, "AB"), "2", "a longer name is another");
    is_str(plan_getenv(&p, "B"), "last", "an empty value is overwritten");
    is_str(plan_getenv(&p, "C"), "x=y z", "= in a value");
    ok(!plan_getenv(&p, "D") && !plan_getenv(&p, "A="), "what isn't set");
    is_int(p.env[4] == NULL, 1, "four variables in the end");
    static const char *const bad[] = {"", "A", "=x", "="};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char want[80];
        err_clear(&e);
        snprintf(want, sizeof want, "environment '%s': NAME=VALUE wanted", bad[i]);
        is_int(plan_env(&p, bad[i], &e), -1, "'%s' is refused", bad[i]);
        ok(e.kind == ERR_USAGE && !strcmp(e.text, want), "%s", e.text);
    }
    plan_release(&p);
    ok(!plan_getenv(&p, "A"), "released");
}

static void test_args(void)
{
    struct plan p = {0};
    struct err e = {0};
    char *entry[] = {(char[]){"entry"}, (char[]){"-x"}, NULL}, *cmd[] = {(char[]){"a b"}, NULL};
    is_int(plan_args(&p, entry, cmd, &e), 0, "entry point and command");
    ok(!strcmp(p.argv[0], "entry") && !strcmp(p.argv[1], "-x") && !strcmp(p.argv[2], "a b") && !p.argv[3],
       "one behind the other");
    is_int(plan_args(&p, NULL, cmd, &e), 0, "again, without entry point");
    ok(!strcmp(p.argv[0], "a b") && !p.argv[1], "the earlier ones are gone");
    is_int(plan_args(&p, NULL, NULL, &e), 0, "nothing");
    ok(p.argv && !p.argv[0], "an empty list");
    plan_release(&p);
}

static void volume_refused(const char *spec, enum err_kind kind, const char *text)
{
    struct plan p = {0};
    struct err e = {0};
    is_int(plan_volume(&p, spec, &e), -1, "'%s' is refused", spec);
    is_int(e.kind, kind, "kind");
    is_str(e.text, text, "message");
    ok(p.count == 0, "no step");
    plan_release(&p);
}

static void test_volumes(void)
{
    struct plan p = {0};
    struct err e = {0};
    char *here = realpath(".", NULL);
    is_int(plan_volume(&p, "/usr/../etc:/data", &e), 0, "a volume");
    is_int(plan_volume(&p, "./:/src:ro", &e), 0, "relative, read-only");
    is_int(plan_volume(&p, "/etc:/x:rw", &e), 0, "rw said");
    ok(p.count == 3 && !strcmp(p.steps[0].src, "/etc") && !strcmp(p.steps[0].dst, "/data") && p.steps[0].flags == 0,
       "its source is resolved");
    ok(!strcmp(p.steps[1].src, here) && p.steps[1].flags == STEP_RO && p.steps[2].flags == 0, "flags");
    has(&p, "bind /etc on /data", 1);
    plan_release(&p);
    free(here);
    volume_refused("", ERR_USAGE, "volume '': SRC:DST[:ro] wanted, DST absolute");
    volume_refused("/etc", ERR_USAGE, "volume '/etc': SRC:DST[:ro] wanted, DST absolute");
    volume_refused(":/x", ERR_USAGE, "volume ':/x': SRC:DST[:ro] wanted, DST absolute");
    volume_refused("/etc:", ERR_USAGE, "volume '/etc:': SRC:DST[:ro] wanted, DST absolute");
    volume_refused("/etc:data", ERR_USAGE, "volume '/etc:data': SRC:DST[:ro] wanted, DST absolute");
    volume_refused("/etc:/x:z", ERR_USAGE, "volume '/etc:/x:z': unknown option 'z' (ro, rw)");
    volume_refused("/etc:/x:ro:ro", ERR_USAGE, "volume '/etc:/x:ro:ro': unknown option 'ro:ro' (ro, rw)");
    volume_refused("name:/x", ERR_USAGE, "volume 'name:/x': 'name' is no path (begin it with / or ./)");
    volume_refused("/etc:/", ERR_USAGE,
                   "volume '/etc:/': the root itself can't be one (cairn run FOLDER makes a folder the root)");
    volume_refused("/etc:/.//..", ERR_USAGE,
                   "volume '/etc:/.//..': the root itself can't be one (cairn run FOLDER makes a folder the root)");
    volume_refused("/no/such:/x", ERR_SYSTEM, "volume '/no/such:/x': /no/such: No such file or directory");
}

/* All kinds of steps as people and programs see them. */
static void test_shown(void)
{
    struct plan p = {.workdir = strdup("/work"), .user = strdup("www:33"), .init = true};
    struct err e = {0};
    char *cmd[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"exit 3"}, NULL};
    int rc =
        plan_step(&p, STEP_OVERLAY, 0, "/lower", NULL, NULL, &e) |
        plan_step(&p, STEP_ROOT_TMPFS, 0, NULL, NULL, NULL, &e) |
        plan_step(&p, STEP_MOUNT, STEP_RO, "tmpfs", "/tmp", "size=1", &e) |
        plan_step(&p, STEP_BIND, STEP_RO, "/a", "/b", NULL, &e) | plan_step(&p, STEP_DIR, 0, NULL, "/d", NULL, &e) |
        plan_step(&p, STEP_SYMLINK, 0, "to", "/l", NULL, &e) | plan_step(&p, STEP_FILE, 0, NULL, "/f", "secret", &e) |
        plan_step(&p, STEP_MASK, 0, NULL, "/m", NULL, &e) | plan_step(&p, STEP_READONLY, 0, NULL, "/r", NULL, &e) |
        plan_step(&p, STEP_HOSTNAME, 0, "h", NULL, NULL, &e) | plan_step(&p, STEP_LOOPBACK, 0, NULL, NULL, NULL, &e) |
        plan_env(&p, "A=b", &e) | plan_args(&p, NULL, cmd, &e);
    is_int(rc, 0, "a plan of all kinds");
    char *text = text_of(&p);
    is_str(text,
           "root: overlay of /lower and a private writable layer\nroot: empty tmpfs\nmount tmpfs on /tmp, size=1\n"
           "bind /a on /b, read-only\ndirectory /d\nlink /l -> to\nwrite /f\nhide /m\nmake /r read-only\nhostname h\n"
           "bring up lo\nuser www:33\ndirectory /work\nenv A=b\ninit, exec sh -c exit 3\n",
           "for people");
    free(text);
    struct json *j = plan_json(&p);
    struct json *steps = json_get(j, "steps"), *args = json_get(j, "args"), *env = json_get(j, "env");
    ok(json_count(steps) == p.count && !strcmp(json_str(json_at(steps, 4)), "directory /d"), "for programs: steps");
    ok(json_count(args) == 3 && !strcmp(json_str(json_at(args, 2)), "exit 3"), "arguments");
    ok(json_count(env) == 1 && !strcmp(json_str(json_at(env, 0)), "A=b"), "environment");
    is_str(json_str(json_get(j, "user")), "www:33", "user");
    is_str(json_str(json_get(j, "workdir")), "/work", "directory");
    ok(json_bool(json_get(j, "init"), false), "init");
    json_unref(j);
    plan_release(&p);

    text = text_of(&p);
    is_str(text, "user root\ndirectory /\nexec\n", "an empty plan");
    free(text);
    /* Many steps, and a text longer than its place. */
    for (int i = 0; i < 200; i++)
        rc |= plan_step(&p, STEP_DIR, 0, NULL, "/x", NULL, &e);
    ok(rc == 0 && p.count == 200, "200 steps");
    char small[8];
    plan_step_text(&p.steps[0], small, sizeof small);
    is_str(small, "directo", "a step's text is cut");
    plan_release(&p);
}

int main(void)
{
    test_system();
    test_etc();
    test_env();
    test_args();
    test_volumes();
    test_shown();
    return tap_done();
}

/* SPDX-License-Identifier: MIT */
/* main: finds the command, parses, runs it, turns errors into messages and exit codes. */
#include "command.h"

#include "out.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char version[] = "0.1";

static const char *default_store(char *buf, size_t n)
{
    const char *s = getenv("CAIRN_STORE"), *home;
    if (s && *s)
        return s;
    if (geteuid() == 0)
        return "/var/lib/cairn";
    s = getenv("XDG_DATA_HOME");
    home = getenv("HOME");
    if (s && *s == '/')
        snprintf(buf, n, "%s/cairn", s);
    else
        snprintf(buf, n, "%s/.local/share/cairn", home && *home ? home : "");
    return buf;
}

static int exit_code(const struct err *e)
{
    switch (e->kind) {
    case ERR_USAGE:
        return EXIT_WRONG_USAGE;
    case ERR_DAMAGED:
        return EXIT_DAMAGED;
    case ERR_CANCELLED:
        return EXIT_INTERRUPTED;
    default:
        return EXIT_FAILED;
    }
}

static int report(const struct command *c, const struct err *e, bool usage)
{
    int code = exit_code(e);
    /* A reader that went away wants to hear nothing of it. */
    if (!(e->kind == ERR_SYSTEM && e->errnum == EPIPE)) {
        /* Names in it may come from anywhere: no control characters reach the terminal. */
        struct err safe = *e;
        fprintf(stderr, "cairn%s%s: %s\n", c ? " " : "", c ? c->name : "", out_plain(safe.text, '?'));
    }
    if (usage && code == EXIT_WRONG_USAGE)
        help_usage(c);
    return c && c->own_error_code ? c->own_error_code : code;
}

static int run_command(struct invocation *in, const struct command *c, int argc, char **argv)
{
    struct err e = {0};
    int code = EXIT_DONE;
    if (opt_parse(in, c, argc, argv, &e) < 0) {
        code = report(c, &e, true);
    } else if (opt_wants_help(in)) {
        help_command(c);
    } else {
        code = c->run(in, &e);
        if (code < 0)
            code = report(c, &e, false);
    }
    struct err out = {0};
    if (out_finish(&out) < 0 && code == EXIT_DONE)
        code = report(c, &out, false);
    opt_release(in);
    return code;
}

/* What was printed without a command must have arrived, too. */
static int printed(void)
{
    struct err e = {0};
    return out_finish(&e) < 0 ? report(NULL, &e, false) : EXIT_DONE;
}

static int unknown_command(const char *name)
{
    struct err e = {0};
    err_set(&e, ERR_USAGE, "unknown command '%s' (cairn help lists them)", name);
    return report(NULL, &e, false);
}

static int help(int argc, char **argv)
{
    bool man = argc > 0 && !strcmp(argv[0], "--man");
    const char *name = argc > man ? argv[man] : NULL;
    if (name && !strcmp(name, "--help"))
        name = NULL;
    const struct command *c = name ? command_find(name) : NULL;
    if (name && !c && strcmp(name, "cairn") != 0)
        return unknown_command(name);
    if (man)
        help_man(c);
    else if (c)
        help_command(c);
    else
        help_overview();
    return printed();
}

/* mount -t fuse.cairn STORE MNT -o …: as mount(8) and mount.fuse3 call a helper. */
static bool is_mount_helper(const char *argv0)
{
    const char *slash = strrchr(argv0, '/');
    const char *name = slash ? slash + 1 : argv0;
    return !strcmp(name, "mount.fuse.cairn") || !strcmp(name, "mount.cairn") || !strcmp(name, "mount.fuse3.cairn");
}

/* Options that may stand before the command: index of the command in argv, or -1 after an error. */
static int before_command(struct invocation *in, int argc, char **argv, struct err *e)
{
    int i = 1;
    while (i < argc && argv[i][0] == '-' && argv[i][1]) {
        bool takes = !strcmp(argv[i], "--store");
        int n = takes && i + 1 < argc ? 2 : 1;
        if (!strcmp(argv[i], "--version"))
            return i;
        int rc = opt_parse(in, NULL, n, argv + i, e);
        bool wants = opt_wants_help(in);
        opt_release(in);
        if (rc < 0)
            return -1;
        if (wants)
            return i;
        i += n;
    }
    return i;
}

/* Standard streams that are closed are taken by /dev/null, opened so that using them fails as before: else files of the
 * store would get their numbers, and output would be written into them. */
static int fill_standard_fds(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            return -1;
    return 0;
}

int main(int argc, char **argv)
{
    if (fill_standard_fds() < 0)
        return EXIT_FAILED;
    char path[4096];
    struct invocation in = {.store = default_store(path, sizeof path)};
    struct err e = {0};
    signal(SIGPIPE, SIG_IGN);
    /* Large buffers go back to the system when they are freed: the growing arrays of a large import would stay
     * otherwise. */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    if (argc > 0 && is_mount_helper(argv[0]))
        return run_command(&in, command_find("mount-helper"), argc - 1, argv + 1);
    int i = before_command(&in, argc, argv, &e);
    if (i < 0)
        return report(NULL, &e, true);
    if (argc <= 1) {
        help_overview();
        return printed();
    }
    const char *name = i < argc ? argv[i] : "";
    if (!*name) {
        err_set(&e, ERR_USAGE, "no command");
        return report(NULL, &e, true);
    }
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help"))
        return help(argc - i - 1, argv + i + 1);
    if (!strcmp(name, "--version") || !strcmp(name, "version")) {
        printf("cairn %s\n", version);
        return printed();
    }
    const struct command *c = command_find(name);
    /* mount.fuse3, where our own helper isn't installed, calls the program itself: cairn STORE MNT -o … */
    if (!c && strchr(name, '/') && argc - i >= 2)
        return run_command(&in, command_find("mount-helper"), argc - i, argv + i);
    return c ? run_command(&in, c, argc - i - 1, argv + i + 1) : unknown_command(name);
}

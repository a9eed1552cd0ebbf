/* SPDX-License-Identifier: MIT */
/* Options: clusters, values, --, mistakes and what is said of them, sizes. */
#include "../../tools/command.h"
#include "tap.h"

#include <stdlib.h>

static const struct option_def options[] = {
    {'l', "long", NULL, "a flag"},
    {'R', "recursive", NULL, "a flag"},
    {'n', "name", "NAME", "takes a value"},
    {0, "platform", "OS/ARCH", "long only"},
    {'v', "volume", "SRC:DST", "hides the global -v"},
    {0, "rm", NULL, "a short name"},
    {0, NULL, NULL, NULL},
};
static const struct command plain = {
    .name = "test", .args = "[-l] ARG…", .options = options, .min_args = 1, .max_args = 3};
static const struct command runlike = {
    .name = "runlike", .args = "IMAGE [COMMAND…]", .options = options, .max_args = -1, .rest_verbatim = true};
static const struct command none = {.name = "none", .args = "", .max_args = 0};

struct parsed {
    struct invocation in;
    struct err e;
    int rc;
    char line[256];
    char *argv[32];
};

/* Words divided by spaces; "~" is the empty word. */
static void parse(struct parsed *p, const struct command *c, const char *line)
{
    int argc = 0;
    *p = (struct parsed){.in = {.store = "/default"}};
    snprintf(p->line, sizeof p->line, "%s", line);
    for (char *rest = p->line, *w; (w = strsep(&rest, " "));)
        if (*w)
            p->argv[argc++] = strcmp(w, "~") == 0 ? w + 1 : w;
    p->rc = opt_parse(&p->in, c, argc, p->argv, &p->e);
}

static void args_are(const struct parsed *p, const char *want)
{
    char got[256] = "";
    for (int i = 0; i < p->in.arg_count; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s[%s]", i ? " " : "", p->in.args[i]);
    is_str(got, want, "arguments");
    ok(p->in.args[p->in.arg_count] == NULL, "their list is ended");
}

static void refused(const struct command *c, const char *line, const char *text)
{
    struct parsed p;
    parse(&p, c, line);
    is_int(p.rc, -1, "'%s' is refused", line);
    is_int(p.e.kind, ERR_USAGE, "as wrong usage");
    is_str(p.e.text, text, "with this message");
    opt_release(&p.in);
}

static void test_forms(void)
{
    struct parsed p;
    parse(&p, &plain, "-lR a --name=x b --platform linux/arm64 -n y");
    is_int(p.rc, 0, "options among arguments: %s", p.e.text);
    args_are(&p, "[a] [b]");
    ok(opt_has(&p.in, "long") && opt_has(&p.in, "recursive"), "a cluster of flags");
    is_str(opt_get(&p.in, "name"), "y", "the last value counts");
    is_str(opt_at(&p.in, "name", 0), "x", "the first of several");
    is_str(opt_at(&p.in, "name", 1), "y", "the second");
    ok(!opt_at(&p.in, "name", 2), "there is no third");
    is_str(opt_get(&p.in, "platform"), "linux/arm64", "a value as the next word");
    ok(!opt_get(&p.in, "volume") && !opt_has(&p.in, "volume"), "what isn't given");
    is_str(p.in.store, "/default", "the store is as it was");
    ok(!p.in.json && !p.in.quiet && !p.in.verbose, "no global flags");
    opt_release(&p.in);

    parse(&p, &plain, "-lnvalue -n=other -Rn third a");
    is_str(opt_at(&p.in, "name", 0), "value", "-nVALUE behind a flag");
    is_str(opt_at(&p.in, "name", 1), "other", "-n=VALUE");
    is_str(opt_at(&p.in, "name", 2), "third", "-n VALUE behind a flag");
    opt_release(&p.in);

    parse(&p, &plain, "--name= --platform=a=b x");
    is_str(opt_get(&p.in, "name"), "", "an empty value");
    is_str(opt_get(&p.in, "platform"), "a=b", "only the first = divides");
    opt_release(&p.in);

    parse(&p, &plain, "-n --long x");
    is_str(opt_get(&p.in, "name"), "--long", "a value may look like an option");
    ok(!opt_has(&p.in, "long"), "and isn't one then");
    opt_release(&p.in);

    parse(&p, &plain, "-l -- -R --name");
    args_are(&p, "[-R] [--name]");
    ok(!opt_has(&p.in, "recursive"), "behind -- there are arguments only");
    opt_release(&p.in);

    parse(&p, &plain, "- ~ x");
    args_are(&p, "[-] [] [x]");
    opt_release(&p.in);
}

static void test_globals(void)
{
    struct parsed p;
    parse(&p, &plain, "--json -q x --verbose --store /other");
    ok(p.rc == 0 && p.in.json && p.in.quiet && p.in.verbose, "flags of all commands");
    is_str(p.in.store, "/other", "--store");
    opt_release(&p.in);
    parse(&p, &plain, "-v a:b x");
    is_str(opt_get(&p.in, "volume"), "a:b", "a command's letter goes before the global one");
    ok(!p.in.verbose, "which isn't meant");
    opt_release(&p.in);
    parse(&p, NULL, "-qv --json --store=/s");
    ok(p.rc == 0 && p.in.json && p.in.quiet && p.in.verbose, "flags before the command");
    is_str(p.in.store, "/s", "and the store");
    opt_release(&p.in);
    parse(&p, &plain, "--help");
    ok(p.rc == 0 && opt_wants_help(&p.in), "--help needs no arguments");
    opt_release(&p.in);
    parse(&p, &none, "-h too many");
    ok(p.rc == 0 && opt_wants_help(&p.in), "nor minds too many");
    opt_release(&p.in);
}

static void test_rest(void)
{
    struct parsed p;
    parse(&p, &runlike, "-l -n x image ls -l --name -- -v");
    args_are(&p, "[image] [ls] [-l] [--name] [--] [-v]");
    ok(opt_has(&p.in, "long") && !opt_has(&p.in, "volume"), "options end at the first argument");
    is_str(opt_get(&p.in, "name"), "x", "those before it count");
    opt_release(&p.in);
    parse(&p, &runlike, "-n x -- -image --help");
    args_are(&p, "[-image] [--help]");
    ok(!opt_wants_help(&p.in), "help for the command inside isn't ours");
    opt_release(&p.in);
}

static void test_mistakes(void)
{
    refused(&plain, "--platfrom x y", "unknown option '--platfrom' (did you mean '--platform'?)");
    refused(&plain, "--jsn x", "unknown option '--jsn' (did you mean '--json'?)");
    refused(&plain, "--nme=x y", "unknown option '--nme=x' (did you mean '--name'?)");
    refused(&plain, "--zebra x", "unknown option '--zebra'");
    refused(&plain, "--xy x", "unknown option '--xy'");
    refused(&plain, "--mr x", "unknown option '--mr'");
    refused(&plain, "--rmm x", "unknown option '--rmm' (did you mean '--rm'?)");
    refused(&plain, "-lz x", "unknown option '-z'");
    refused(&plain, "-l-x y", "unknown option '--'");
    refused(&plain, "--long=yes x", "option '--long' takes no value");
    refused(&plain, "--json= x", "option '--json' takes no value");
    refused(&plain, "x --platform", "option '--platform' wants OS/ARCH");
    refused(&plain, "x -ln", "option '-n' wants NAME");
    refused(NULL, "--store", "option '--store' wants DIR");
    refused(NULL, "--name", "unknown option '--name'");
    refused(&plain, "-l", "too few arguments: cairn test [-l] ARG…");
    refused(&plain, "a b c d", "too many arguments: cairn test [-l] ARG…");
    refused(&none, "a", "too many arguments: cairn none");
    /* A name longer than what is compared. */
    char line[128];
    snprintf(line, sizeof line, "--%0100d x", 7);
    struct parsed p;
    parse(&p, &plain, line);
    ok(p.rc < 0 && !strncmp(p.e.text, "unknown option '--000", 21) && !strstr(p.e.text, "mean"), "a very long option");
    opt_release(&p.in);
    /* What was given for one call is gone after it. */
    parse(&p, &plain, "-l x");
    opt_release(&p.in);
    ok(!p.in.values && !p.in.args && !opt_has(&p.in, "long") && !opt_wants_help(&p.in), "released");
}

static void test_sizes(void)
{
    static const struct {
        const char *text;
        unsigned long long want;
    } good[] = {{"0", 0},
                {"1", 1},
                {"4096", 4096},
                {"4096B", 4096},
                {"1k", 1024},
                {"1K", 1024},
                {"64M", 64ULL << 20},
                {"64m", 64ULL << 20},
                {"64MB", 64ULL << 20},
                {"64MiB", 64ULL << 20},
                {"1G", 1ULL << 30},
                {"18446744073709551615", ~0ULL},
                {"17179869183G", 17179869183ULL << 30}};
    static const char *const bad[] = {"",
                                      "M",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1T",
                                      "0x10",
                                      "1.5G",
                                      "1MM",
                                      "1Mi",
                                      "1iB",
                                      "1Bk",
                                      "1kb",
                                      "18446744073709551616",
                                      "17179869184G",
                                      "1M\n"};
    struct err e = {0};
    unsigned long long v;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        v = 7;
        ok(opt_size(good[i].text, "size", &v, &e) == 0 && v == good[i].want, "size '%s' is %llu", good[i].text, v);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char want[120];
        v = 7;
        err_clear(&e);
        snprintf(want, sizeof want, "cache size '%s': a size like 64M or 1G is wanted", bad[i]);
        int rc = opt_size(bad[i], "cache size", &v, &e);
        ok(rc < 0 && v == 7 && e.kind == ERR_USAGE && !strcmp(e.text, want), "no size: '%s'",
           strchr(bad[i], '\n') ? "1M, newline" : bad[i]);
    }
}

static int noted(const char *name)
{
    const struct command *c = command_find(name);
    return c && !strcmp(c->name, name);
}

/* The real table keeps to what parsing takes for granted. */
static void test_table(void)
{
    size_t n = 0;
    for (; command_table[n]; n++) {
        const struct command *c = command_table[n];
        int good = c->name && c->args && c->summary && c->run && noted(c->name) && c->min_args >= 0 &&
                   (c->max_args == -1 || c->max_args >= c->min_args) && c->summary[strlen(c->summary) - 1] != '.';
        for (size_t i = 0; i < n; i++)
            good &= strcmp(command_table[i]->name, c->name) != 0;
        for (const struct option_def *o = c->options; o && o->name; o++) {
            good &= o->help && o->help[strlen(o->help) - 1] != '.' && o->name[0] != '-';
            for (const struct option_def *q = c->options; q != o; q++)
                good &= strcmp(q->name, o->name) != 0 && (!o->letter || q->letter != o->letter);
            for (const struct option_def *g = global_options; g->name; g++)
                good &= strcmp(g->name, o->name) != 0;
        }
        ok(good, "table entry %s", c->name ? c->name : "without name");
    }
    ok(n > 20 && !command_find("no-such") && !command_find(""), "the table, and what isn't in it");
}

int main(void)
{
    test_forms();
    test_globals();
    test_rest();
    test_mistakes();
    test_sizes();
    test_table();
    return tap_done();
}

/* SPDX-License-Identifier: MIT */
/* Help, manual pages and completion, as the table gives them; tests/check/man compares them with each other. */
#include "../../tools/command.h"
#include "capture.h"
#include "tap.h"

static char *help_of(const struct command *c)
{
    capture_begin(STDOUT_FILENO);
    c ? help_command(c) : help_overview();
    return capture_end();
}

static char *man_of(const struct command *c)
{
    capture_begin(STDOUT_FILENO);
    help_man(c);
    return capture_end();
}

/* The longest line, in characters. */
static size_t widest(const char *text)
{
    size_t most = 0, n = 0;
    for (; *text; text++) {
        n = *text == '\n' ? 0 : n + ((*text & 0xc0) != 0x80);
        most = n > most ? n : most;
    }
    return most;
}

static bool has_option(const char *text, const struct option_def *o)
{
    char want[128], letter[8] = "    ";
    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(want, sizeof want, "\n  %s--%s%s%s", letter, o->name, o->arg ? " " : "", o->arg ? o->arg : "");
    return strstr(text, want);
}

static void test_help(const struct command *c)
{
    char *text = help_of(c), want[256];
    snprintf(want, sizeof want, "usage: cairn %s ", c->name);
    bool good = !strncmp(text, want, strlen(want) - !*c->args) && widest(text) <= 79 && !strstr(text, " \n");
    for (const struct option_def *o = c->options; o && o->name; o++)
        good &= has_option(text, o);
    for (const struct option_def *o = global_options; o->name; o++) {
        snprintf(want, sizeof want, "--%s", o->name);
        good &= strstr(text, want) != NULL;
    }
    ok(good, "help of %s has all options, no line is over 79 columns, none ends in a blank", c->name);
    if (!good)
        printf("# %s\n", text);
    free(text);
}

/* Lines that begin with a dot are requests: of these only. */
static bool roff_lines(const char *text)
{
    static const char *const requests[] = {".TH ", ".SH ", ".SS ", ".TP\n", ".PP\n", ".nf\n", ".fi\n"};
    for (const char *p = text; *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : p + strlen(p)) {
        bool known = *p != '.' && *p != '\'' && *p != '\n';
        for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
            known |= !strncmp(p, requests[i], strlen(requests[i]));
        if (!known) {
            printf("# %.40s\n", p);
            return false;
        }
    }
    return true;
}

static void test_man(const struct command *c)
{
    char *text = man_of(c);
    const char *name = c ? c->name : "";
    ok(!strncmp(text, ".TH CAIRN", 9) && strstr(text, "\n.SH NAME\n") && strstr(text, "\n.SH SYNOPSIS\n") &&
           strstr(text, "\n.SH DESCRIPTION\n") && strstr(text, "\n.SH OPTIONS\n") && roff_lines(text),
       "manual page cairn%s%s", c ? "-" : "", name);
    free(text);
}

/* Text that would be requests, escapes or other characters in roff. */
static void test_escapes(void)
{
    static const struct option_def options[] = {{'x', "x-y", "A\\B", ".dot - and \\ back"}, {0, NULL, NULL, NULL}};
    static const struct command c = {.name = "made-up",
                                     .args = "[-x] 'A'…",
                                     .summary = "it's made up",
                                     .text = ".first\n\n'second\\n",
                                     .examples = "cairn x # \\comment\n.y",
                                     .options = options};
    char *text = man_of(&c);
    ok(roff_lines(text), "no text becomes a request");
    ok(strstr(text, "\n\\&.first\n.PP\n\\&'second\\en\n"), "escaped at the start of lines");
    ok(strstr(text, "\\fB\\-x\\fR, \\fB\\-\\-x\\-y\\fR \\fIA\\eB\\fR\n\\&.dot \\- and \\e back\n"), "and in options");
    ok(strstr(text, "\n\\&.y\n"), "and in examples");
    free(text);
}

/* Letters that a command takes for something else aren't shown as global ones. */
static void test_shadowed(void)
{
    char *text = help_of(command_find("run"));
    ok(strstr(text, "  -v, --volume ") && !strstr(text, "-v, --verbose") && strstr(text, "      --verbose"),
       "run: -v is --volume only");
    ok(strstr(text, "  -h, --hostname ") && !strstr(text, "-h, --help") && strstr(text, "      --help"),
       "run: -h is --hostname only");
    ok(strstr(text, "  -q, --quiet"), "run: -q is --quiet");
    free(text);
    text = man_of(command_find("run"));
    ok(strstr(text, "\\fB\\-v\\fR, \\fB\\-\\-volume") && !strstr(text, "\\fB\\-v\\fR, \\fB\\-\\-verbose"),
       "and in its page");
    free(text);
    text = help_of(command_find("ls"));
    ok(strstr(text, "  -v, --verbose") && strstr(text, "  -h, --help"), "ls has no such letters");
    free(text);
}

static void test_usage(void)
{
    capture_begin(STDERR_FILENO);
    help_usage(command_find("tag"));
    help_usage(command_find("gc"));
    help_usage(command_find("import"));
    help_usage(NULL);
    char *text = capture_end();
    is_str(text,
           "usage: cairn tag IMAGE NAME[:TAG] (cairn help tag)\nusage: cairn gc [options] (cairn help gc)\n"
           "usage: cairn import [options] SOURCE… (cairn help import)\nusage: cairn [--store DIR] COMMAND … (cairn "
           "help)\n",
           "usage lines, on standard error");
    free(text);
}

static void test_overview(void)
{
    char *text = help_of(NULL), want[128];
    bool good = !strncmp(text, "usage: cairn ", 13) && strstr(text, "exit codes: 0 done") && widest(text) <= 79;
    for (size_t i = 0; command_table[i]; i++) {
        snprintf(want, sizeof want, "\n  %-12s %s\n", command_table[i]->name, command_table[i]->summary);
        good &= !strstr(text, want) == command_table[i]->hidden;
    }
    ok(good, "the overview lists all commands but hidden ones");
    free(text);
}

static void test_completion(void)
{
    static const char *const shells[] = {"bash", "zsh", "fish"};
    struct err e = {0};
    for (size_t i = 0; i < 3; i++) {
        capture_begin(STDOUT_FILENO);
        int rc = help_completion(shells[i], &e);
        char *text = capture_end();
        ok(rc == 0 && strstr(text, "import") && strstr(text, "platform") && strstr(text, "closure") &&
               !strstr(text, "mount-helper") && !strstr(text, "(null)"),
           "completion for %s", shells[i]);
        free(text);
    }
    is_int(help_completion("tcsh", &e), -1, "another shell");
    is_int(e.kind, ERR_USAGE, "is wrong usage");
    is_str(e.text, "no completion for 'tcsh' (bash, zsh, fish)", "message");
}

int main(void)
{
    for (size_t i = 0; command_table[i]; i++) {
        test_help(command_table[i]);
        test_man(command_table[i]);
    }
    test_man(NULL);
    test_escapes();
    test_shadowed();
    test_usage();
    test_overview();
    test_completion();
    return tap_done();
}

/* SPDX-License-Identifier: MIT */
/* help: the command table as text, as manual pages and as shell completion. */
#include "command.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char intro[] = "Cairn shows container images (OCI, Docker) and Nix packages as one read-only tree, out of "
                            "one compressed store that keeps "
                            "each distinct byte once.";

enum { WIDTH = 79, OPTION_MARGIN = 28 };

/* Characters, not bytes. */
static int columns(const char *s, size_t n)
{
    int c = 0;
    for (size_t i = 0; i < n; i++)
        c += (s[i] & 0xc0) != 0x80;
    return c;
}

/* Words of s, lines of WIDTH columns, all but the first behind `margin` blanks. */
static void wrapped(const char *s, int margin)
{
    int column = margin;
    for (const char *p = s; *p;) {
        size_t n = strcspn(p, " \n");
        int w = columns(p, n);
        if (column > margin && column + 1 + w > WIDTH) {
            printf("\n%*s", margin, "");
            column = margin;
        } else if (column > margin) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)n, p);
        column += w;
        p += n;
        if (!strncmp(p, "\n\n", 2)) {
            printf("\n\n%*s", margin, "");
            column = margin;
        }
        p += strspn(p, " \n");
    }
    putchar('\n');
}

/* A command's own letters go before those of all commands; `own` is NULL where these are what is shown. */
static char letter_of(const struct option_def *o, const struct option_def *own)
{
    for (; own && own->name; own++)
        if (own->letter == o->letter)
            return 0;
    return o->letter;
}

static void option_head(const struct option_def *o, char shown, char *out, size_t n)
{
    char letter[8] = "    ";
    if (shown)
        snprintf(letter, sizeof letter, "-%c, ", shown);
    snprintf(out, n, "%s--%s%s%s", letter, o->name, o->arg ? " " : "", o->arg ? o->arg : "");
}

static void print_options(const struct option_def *o, const struct option_def *own)
{
    char head[80];
    for (; o && o->name; o++) {
        option_head(o, letter_of(o, own), head, sizeof head);
        if (strlen(head) < OPTION_MARGIN - 2)
            printf("  %-*s", OPTION_MARGIN - 2, head);
        else
            printf("  %s\n%*s", head, OPTION_MARGIN, "");
        wrapped(o->help, OPTION_MARGIN);
    }
}

void help_usage(const struct command *c)
{
    if (c)
        fprintf(stderr, "usage: cairn %s%s%s%s (cairn help %s)\n", c->name, c->options ? " [options]" : "",
                *c->args ? " " : "", c->args, c->name);
    else
        fprintf(stderr, "usage: cairn [--store DIR] COMMAND … (cairn help)\n");
}

void help_overview(void)
{
    puts("usage: cairn [options] COMMAND [arguments]\n");
    wrapped(intro, 0);
    puts("\ncommands:");
    for (size_t i = 0; command_table[i]; i++)
        if (!command_table[i]->hidden)
            printf("  %-12s %s\n", command_table[i]->name, command_table[i]->summary);
    puts("\noptions of all commands:");
    print_options(global_options, NULL);
    puts("\nexit codes: 0 done, 1 failed, 2 wrong usage, 3 store damaged, 130 interrupted\n"
         "\n'cairn help COMMAND' explains a command, with examples.");
}

/* Bytes of the command in front of " # comment"; 0: the line has none. */
static size_t example_command(const char *line, size_t n)
{
    for (size_t i = n; i-- > 1;)
        if (line[i] == '#' && line[i - 1] == ' ')
            return i - 1;
    return 0;
}

static void print_examples(const char *text)
{
    int widest = 0;
    for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        int w = columns(p, example_command(p, strcspn(p, "\n")));
        widest = w > widest ? w : widest;
    }
    for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        size_t n = strcspn(p, "\n"), cut = example_command(p, n);
        if (cut)
            printf("  %.*s%*s%.*s\n", (int)cut, p, widest - columns(p, cut) + 2, "", (int)(n - cut - 1), p + cut + 1);
        else
            printf("  %.*s\n", (int)n, p);
    }
}

void help_command(const struct command *c)
{
    printf("usage: cairn %s%s%s%s\n\n%c%s.\n", c->name, c->options ? " [options]" : "", *c->args ? " " : "", c->args,
           toupper((unsigned char)c->summary[0]), c->summary + 1);
    if (c->text) {
        putchar('\n');
        wrapped(c->text, 0);
    }
    if (c->options) {
        puts("\noptions:");
        print_options(c->options, NULL);
    }
    puts("\noptions of all commands:");
    print_options(global_options, c->options);
    if (c->examples) {
        puts("\nexamples:");
        print_examples(c->examples);
    }
}

/* --- roff --- */

static void roff_text(const char *s)
{
    bool start = true;
    for (; *s; s++) {
        if (start && (*s == '.' || *s == '\''))
            fputs("\\&", stdout);
        start = *s == '\n';
        if (!strncmp(s, "\n\n", 2)) {
            fputs("\n.PP\n", stdout);
            s++;
            start = true;
        } else if (*s == '\\') {
            fputs("\\e", stdout);
        } else if (*s == '-') {
            fputs("\\-", stdout);
        } else {
            putchar(*s);
        }
    }
}

static void roff_options(const struct option_def *o, const struct option_def *own)
{
    for (; o && o->name; o++) {
        fputs(".TP\n\\fB", stdout);
        if (letter_of(o, own))
            printf("\\-%c\\fR, \\fB", o->letter);
        roff_text("--");
        roff_text(o->name);
        fputs("\\fR", stdout);
        if (o->arg) {
            fputs(" \\fI", stdout);
            roff_text(o->arg);
            fputs("\\fR", stdout);
        }
        putchar('\n');
        roff_text(o->help);
        putchar('\n');
    }
}

static void roff_examples(const char *p)
{
    puts(".SH EXAMPLES\n.nf");
    while (p && *p) {
        size_t n = strcspn(p, "\n");
        char line[256];
        snprintf(line, sizeof line, "%.*s", (int)n, p);
        roff_text(line);
        putchar('\n');
        p += n + (p[n] == '\n');
    }
    puts(".fi");
}

static void man_overview(void)
{
    puts(".TH CAIRN 1 \"\" \"Cairn\" \"Cairn\"\n.SH NAME\ncairn \\- container images and Nix packages in one store, as "
         "one tree\n.SH SYNOPSIS\n"
         "\\fBcairn\\fR [\\fIoptions\\fR] \\fICOMMAND\\fR [\\fIarguments\\fR]\n.SH DESCRIPTION");
    roff_text(intro);
    puts("\n.SH COMMANDS");
    for (size_t i = 0; command_table[i]; i++) {
        if (command_table[i]->hidden)
            continue;
        printf(".TP\n\\fBcairn\\-%s\\fR(1)\n", command_table[i]->name);
        roff_text(command_table[i]->summary);
        putchar('\n');
    }
    puts(".SH OPTIONS");
    roff_options(global_options, NULL);
    puts(".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage, 3 the store is damaged, 130 interrupted. "
         "\\fBcairn\\-run\\fR(1) has its own.\n.SH FILES\n"
         ".TP\n\\fI/var/lib/cairn\\fR, \\fI$XDG_DATA_HOME/cairn\\fR\nThe store of root, and of others.\n.SH "
         "ENVIRONMENT\n.TP\n\\fBCAIRN_STORE\\fR\n"
         "The store, unless \\fB\\-\\-store\\fR is given.");
}

void help_man(const struct command *c)
{
    if (!c) {
        man_overview();
        return;
    }
    printf(".TH CAIRN\\-");
    for (const char *p = c->name; *p; p++)
        putchar(toupper((unsigned char)*p));
    printf(" 1 \"\" \"Cairn\" \"Cairn\"\n.SH NAME\ncairn\\-%s \\- ", c->name);
    roff_text(c->summary);
    printf("\n.SH SYNOPSIS\n\\fBcairn %s\\fR%s%s", c->name, c->options ? " [\\fIoptions\\fR]" : "",
           *c->args ? " " : "");
    roff_text(c->args);
    printf("\n.SH DESCRIPTION\n%c", toupper((unsigned char)c->summary[0]));
    roff_text(c->summary + 1);
    puts(".");
    if (c->text) {
        puts(".PP");
        roff_text(c->text);
        putchar('\n');
    }
    puts(".SH OPTIONS");
    roff_options(c->options, NULL);
    puts(".SS Options of all commands");
    roff_options(global_options, c->options);
    if (c->examples)
        roff_examples(c->examples);
    puts(".SH SEE ALSO\n\\fBcairn\\fR(1)");
}

/* --- completion --- */

static void words_of(const struct option_def *o, const struct option_def *own)
{
    for (; o && o->name; o++) {
        printf(" --%s", o->name);
        if (letter_of(o, own))
            printf(" -%c", o->letter);
    }
}

/* Bash divides words at ':' and '=', too: the word to complete is taken from the line, and what stands before its last
 * ':' off the answers. */
static void complete_bash(void)
{
    fputs("# bash completion for cairn; made by: cairn completion bash\n_cairn() {\n"
          "    local line=${COMP_LINE:0:COMP_POINT} verb= i words=\n    local cur=${line##*[[:space:]]} verbs=\"help",
          stdout);
    for (size_t i = 0; command_table[i]; i++)
        if (!command_table[i]->hidden)
            printf(" %s", command_table[i]->name);
    puts("\"\n    for ((i = 1; i < COMP_CWORD; i++)); do\n        case ${COMP_WORDS[i]} in\n"
         "        --store) ((i++)); [[ ${COMP_WORDS[i]} == = ]] && ((i++)) ;;\n        -*) ;;\n"
         "        *) verb=${COMP_WORDS[i]}; break ;;\n        esac\n    done\n    case $verb in");
    printf("    '') words=\"$verbs");
    words_of(global_options, NULL);
    puts("\" ;;");
    for (size_t i = 0; command_table[i]; i++) {
        if (command_table[i]->hidden)
            continue;
        printf("    %s) words=\"", command_table[i]->name);
        words_of(command_table[i]->options, NULL);
        words_of(global_options, command_table[i]->options);
        puts("\" ;;");
    }
    puts("    esac\n    if [[ $cur != -* && -n $verb ]]; then\n        case $verb in\n"
         "        help) words=$verbs ;;\n        completion) words=\"bash zsh fish\" ;;\n"
         "        closure|why) words=$(cairn packages -q 2>/dev/null) ;;\n"
         "        history|tag) words=$(cairn images -q --names 2>/dev/null) ;;\n"
         "        run|info|ls|cat|diff|rm|export|verify)\n"
         "            words=$({ cairn images -q --names; cairn packages -q; } 2>/dev/null) ;;\n"
         "        *) words= ;;\n        esac\n    fi\n"
         "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
         "    case ${COMP_WORDS[COMP_CWORD - 1]}:$verb in -*|*:import|*:add|*:mount|*:umount|*:run)\n"
         "        if [[ $cur != -* ]]; then\n            compopt -o filenames 2>/dev/null\n"
         "            COMPREPLY+=($(compgen -f -- \"$cur\"))\n        fi ;;\n    esac\n"
         "    [[ $cur != *:* ]] || COMPREPLY=(\"${COMPREPLY[@]#\"${cur%\"${cur##*:}\"}\"}\")\n"
         "}\ncomplete -F _cairn cairn");
}

static void zsh_quoted(const char *s)
{
    for (; *s; s++)
        if (strchr("'[]:", *s))
            printf(*s == '\'' ? "'\\''" : "\\%c", *s);
        else
            putchar(*s);
}

static void complete_zsh(void)
{
    puts("#compdef cairn\n# made by: cairn completion zsh\n_cairn() {\n    local -a verbs\n    verbs=(");
    for (size_t i = 0; command_table[i]; i++) {
        if (command_table[i]->hidden)
            continue;
        printf("        '%s:", command_table[i]->name);
        zsh_quoted(command_table[i]->summary);
        puts("'");
    }
    puts("    )\n    if (( CURRENT == 2 )); then _describe command verbs; return; fi\n    case $words[2] in");
    for (size_t i = 0; command_table[i]; i++) {
        if (command_table[i]->hidden || !command_table[i]->options)
            continue;
        printf("    %s) _arguments", command_table[i]->name);
        for (const struct option_def *o = command_table[i]->options; o->name; o++) {
            printf(" '--%s[", o->name);
            zsh_quoted(o->help);
            printf("]%s%s%s'", o->arg ? ":" : "", o->arg ? o->arg : "", o->arg ? ":_files" : "");
        }
        puts(" '*:file:_files' ;;");
    }
    puts("    *) _files ;;\n    esac\n}\n_cairn \"$@\"");
}

static void complete_fish(void)
{
    puts("# made by: cairn completion fish");
    for (size_t i = 0; command_table[i]; i++) {
        const struct command *c = command_table[i];
        if (c->hidden)
            continue;
        printf("complete -c cairn -n __fish_use_subcommand -a %s -d \"%s\"\n", c->name, c->summary);
        for (const struct option_def *o = c->options; o && o->name; o++) {
            printf("complete -c cairn -n '__fish_seen_subcommand_from %s' -l %s", c->name, o->name);
            if (o->letter)
                printf(" -s %c", o->letter);
            printf("%s -d \"%s\"\n", o->arg ? " -r" : "", o->help);
        }
    }
}

int help_completion(const char *shell, struct err *e)
{
    if (!strcmp(shell, "bash"))
        complete_bash();
    else if (!strcmp(shell, "zsh"))
        complete_zsh();
    else if (!strcmp(shell, "fish"))
        complete_fish();
    else
        return err_set(e, ERR_USAGE, "no completion for '%s' (bash, zsh, fish)", shell);
    return 0;
}

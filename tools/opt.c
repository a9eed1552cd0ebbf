/* SPDX-License-Identifier: MIT */
/* opt: GNU-style options by the command table: -x, -xyz, -xVALUE, --name, --name=VALUE, --; anywhere among the
 * arguments. */
#include "command.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

const struct option_def global_options[] = {
    {0, "store", "DIR",
     "the store (default: $CAIRN_STORE, else /var/lib/cairn for root, $XDG_DATA_HOME/cairn for others)"},
    {0, "json", NULL, "print for programs"},
    {'q', "quiet", NULL, "print less: names and ids only"},
    {'v', "verbose", NULL, "print more"},
    {'h', "help", NULL, "print help and exit"},
    {0, NULL, NULL, NULL},
};

static const struct option_def *find_in(const struct option_def *o, const char *name, size_t len, char letter)
{
    for (; o && o->name; o++)
        if (letter ? o->letter == letter : strlen(o->name) == len && !memcmp(o->name, name, len))
            return o;
    return NULL;
}

static const struct option_def *find(const struct command *c, const char *name, size_t len, char letter)
{
    const struct option_def *o = c ? find_in(c->options, name, len, letter) : NULL;
    return o ? o : find_in(global_options, name, len, letter);
}

/* Number of edits between two words, bounded by short inputs. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);
    if (n >= 64 || strlen(a) >= 64)
        return 99;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

static const char *nearest(const struct command *c, const char *word)
{
    const char *best = NULL;
    /* At most two edits, and fewer than half of the word: a letter alone resembles nothing. */
    size_t half = (strlen(word) + 1) / 2, least = half < 3 ? half : 3;
    const struct option_def *lists[] = {c ? c->options : NULL, global_options};
    for (size_t k = 0; k < 2; k++) {
        for (const struct option_def *o = lists[k]; o && o->name; o++) {
            size_t d = distance(word, o->name);
            if (d < least) {
                least = d;
                best = o->name;
            }
        }
    }
    return best;
}

static int unknown(const struct command *c, const char *shown, const char *word, struct err *e)
{
    const char *near = nearest(c, word);
    if (near)
        return err_set(e, ERR_USAGE, "unknown option '%s' (did you mean '--%s'?)", shown, near);
    return err_set(e, ERR_USAGE, "unknown option '%s'", shown);
}

static int add(struct invocation *in, const struct option_def *o, const char *value, struct err *e)
{
    struct option_value *v = realloc(in->values, (in->value_count + 1) * sizeof *v);
    if (!v)
        return err_nomem(e);
    in->values = v;
    v[in->value_count++] = (struct option_value){o, value};
    return 0;
}

/* One "--name[=value]"; *i moves over a value that is the next word. */
static int long_option(struct invocation *in, int argc, char **argv, int *i, struct err *e)
{
    const char *name = argv[*i] + 2, *eq = strchr(name, '=');
    size_t len = eq ? (size_t)(eq - name) : strlen(name);
    const struct option_def *o = find(in->command, name, len, 0);
    if (!o) {
        char word[64];
        size_t n = len < sizeof word - 1 ? len : sizeof word - 1;
        memcpy(word, name, n);
        word[n] = '\0';
        return unknown(in->command, argv[*i], word, e);
    }
    if (!o->arg)
        return eq ? err_set(e, ERR_USAGE, "option '--%s' takes no value", o->name) : add(in, o, NULL, e);
    if (eq)
        return add(in, o, eq + 1, e);
    if (*i + 1 >= argc)
        return err_set(e, ERR_USAGE, "option '--%s' wants %s", o->name, o->arg);
    return add(in, o, argv[++*i], e);
}

static int short_options(struct invocation *in, int argc, char **argv, int *i, struct err *e)
{
    for (const char *p = argv[*i] + 1; *p; p++) {
        const struct option_def *o = find(in->command, "", 0, *p);
        if (!o) {
            char shown[3] = {'-', *p, '\0'};
            return unknown(in->command, shown, shown + 1, e);
        }
        if (!o->arg) {
            if (add(in, o, NULL, e) < 0)
                return -1;
            continue;
        }
        if (p[1])
            return add(in, o, p[1] == '=' ? p + 2 : p + 1, e);
        if (*i + 1 >= argc)
            return err_set(e, ERR_USAGE, "option '-%c' wants %s", *p, o->arg);
        return add(in, o, argv[++*i], e);
    }
    return 0;
}

int opt_parse(struct invocation *in, const struct command *c, int argc, char **argv, struct err *e)
{
    bool ended = false;
    in->command = c;
    in->args = calloc((size_t)argc + 1, sizeof *in->args);
    if (!in->args)
        return err_nomem(e);
    for (int i = 0; i < argc; i++) {
        int rc = 0;
        if (ended || argv[i][0] != '-' || !argv[i][1]) {
            in->args[in->arg_count++] = argv[i];
            ended |= c && c->rest_verbatim;
        } else if (!strcmp(argv[i], "--")) {
            ended = true;
        } else if (argv[i][1] == '-') {
            rc = long_option(in, argc, argv, &i, e);
        } else {
            rc = short_options(in, argc, argv, &i, e);
        }
        if (rc < 0)
            return -1;
    }
    in->json |= opt_has(in, "json");
    in->quiet |= opt_has(in, "quiet");
    in->verbose |= opt_has(in, "verbose");
    if (opt_get(in, "store"))
        in->store = opt_get(in, "store");
    if (opt_wants_help(in))
        return 0;
    if (c && (in->arg_count < c->min_args || (c->max_args >= 0 && in->arg_count > c->max_args)))
        return err_set(e, ERR_USAGE, "too %s arguments: cairn %s%s%s", in->arg_count < c->min_args ? "few" : "many",
                       c->name, *c->args ? " " : "", c->args);
    return 0;
}

void opt_release(struct invocation *in)
{
    free(in->values);
    free(in->args);
    in->values = NULL;
    in->args = NULL;
    in->value_count = 0;
    in->arg_count = 0;
}

bool opt_has(const struct invocation *in, const char *name)
{
    for (size_t i = 0; i < in->value_count; i++)
        if (!strcmp(in->values[i].def->name, name))
            return true;
    return false;
}

bool opt_wants_help(const struct invocation *in)
{
    return opt_has(in, "help");
}

const char *opt_get(const struct invocation *in, const char *name)
{
    for (size_t i = in->value_count; i-- > 0;)
        if (!strcmp(in->values[i].def->name, name))
            return in->values[i].value;
    return NULL;
}

const char *opt_at(const struct invocation *in, const char *name, size_t k)
{
    for (size_t i = 0; i < in->value_count; i++)
        if (!strcmp(in->values[i].def->name, name) && k-- == 0)
            return in->values[i].value;
    return NULL;
}

int opt_size(const char *text, const char *what, unsigned long long *ret, struct err *e)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10), unit = 1;
    switch (*end) {
    case 'k':
    case 'K':
        unit = 1ULL << 10;
        break;
    case 'm':
    case 'M':
        unit = 1ULL << 20;
        break;
    case 'g':
    case 'G':
        unit = 1ULL << 30;
        break;
    default:
        break;
    }
    end += unit != 1;
    if (!strcmp(end, "B") || (unit != 1 && !strcmp(end, "iB")))
        end += strlen(end);
    if (errno || end == text || *end || *text < '0' || *text > '9' || v > ULLONG_MAX / unit)
        return err_set(e, ERR_USAGE, "%s '%s': a size like 64M or 1G is wanted", what, text);
    *ret = v * unit;
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * command: the one table from which parsing, --help, manual pages and completion come. A command is a file cmd_<verb>.c
 * that defines one `struct command`; table.c lists them.
 */
#ifndef CAIRN_COMMAND_H
#define CAIRN_COMMAND_H

#include "../index/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Exit codes; run has its own (sandbox.h). */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_WRONG_USAGE = 2, EXIT_DAMAGED = 3, EXIT_INTERRUPTED = 130 };

struct option_def {
    char letter;      /* 0: none */
    const char *name; /* without "--" */
    const char *arg;  /* what it takes, as shown in help; NULL: nothing */
    const char *help;
};

struct invocation;

struct command {
    const char *name;
    const char *args;                 /* "[-l] OBJECT[:PATH]": behind the name in the synopsis, options left out */
    const char *summary;              /* one line, no full stop */
    const char *text;                 /* what help and manual say more; paragraphs divided by empty lines */
    const char *examples;             /* lines "command # comment" */
    const struct option_def *options; /* ended by one without a name */
    int min_args, max_args;           /* max -1: any number */
    bool rest_verbatim;               /* options end at the first argument (run) */
    bool hidden;
    int own_error_code; /* exit code for errors before and in run, when not the usual ones; 0: the usual */
    /* Returns an exit code; on -1 the error in e is printed and turned into one. */
    int (*run)(struct invocation *in, struct err *e);
};

struct option_value {
    const struct option_def *def;
    const char *value; /* NULL for flags */
};

/* One call of a command, parsed. */
struct invocation {
    const struct command *command;
    const char *store; /* path; never NULL */
    bool json, quiet, verbose;
    struct option_value *values;
    size_t value_count;
    char **args; /* NULL-terminated */
    int arg_count;
};

extern const struct command *const command_table[]; /* NULL-terminated, in the order of help */
extern const struct option_def global_options[];
const struct command *command_find(const char *name);

/* --- options of an invocation --- */
bool opt_has(const struct invocation *in, const char *name);
/* Last value given; NULL when not given. */
const char *opt_get(const struct invocation *in, const char *name);
/* The i-th value of a repeatable option, NULL behind the last. */
const char *opt_at(const struct invocation *in, const char *name, size_t i);
/* "64M", "1G", "4096": bytes. ERR_USAGE otherwise. */
int opt_size(const char *text, const char *what, unsigned long long *ret, struct err *e);

/* Parses argv (behind the command's name). The invocation borrows argv. ERR_USAGE with a hint. */
int opt_parse(struct invocation *in, const struct command *c, int argc, char **argv, struct err *e);
void opt_release(struct invocation *in);
/* *ret: --help was asked for. */
bool opt_wants_help(const struct invocation *in);

/* --- help.c: what the table says, for people, man and shells --- */
void help_overview(void);
void help_command(const struct command *c);
void help_usage(const struct command *c); /* one line, to stderr */
void help_man(const struct command *c);   /* roff; NULL: cairn(1) */
int help_completion(const char *shell, struct err *e);

#endif
